/** Which wire has a word for which part of a run: every part has a row, also one that is added later. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, Stream } from "effect"
import { Prompt, Response } from "effect/ai"
import type { RpcSchema } from "effect/rpc"
import { A2aServer } from "../src/a2a/index.ts"
import { Agent, type AgentRun } from "../src/index.ts"
import { AgentRpc, AgUi, OpenAiApi, UiMessages } from "../src/server/index.ts"
import * as Sse from "../src/server/internal/sse.ts"
import * as EveryPart from "./fixtures/everyPart.ts"

type Parts = ReadonlyArray<AgentRun.Part>

const rpcPart = AgentRpc.group("agent").requests.get("agent.run")!.successSchema as RpcSchema.Stream<
  Schema.Codec<unknown, unknown>,
  Schema.Top
>
const encodeRpc = Schema.encodeUnknownEffect(Schema.toCodecJson(rpcPart.success))

const wires: Readonly<Record<string, (parts: Parts) => Stream.Stream<unknown, unknown>>> = {
  http: (parts) => Sse.events(Stream.fromIterable(parts.map((part, seq) => ({ seq, part })))),
  rpc: (parts) =>
    Stream.mapEffect(Stream.fromIterable(parts.map((part, seq) => ({ seq, part }))), (part) => encodeRpc(part)),
  ui: (parts) => UiMessages.fromParts(Stream.fromIterable(parts), { messageId: "m" }),
  agUi: (parts) => AgUi.fromParts(Stream.fromIterable(parts), { threadId: "t", tools: EveryPart.toolkit.tools }),
  chat: (parts) =>
    OpenAiApi.chatChunksFromParts(Stream.fromIterable(parts), {
      id: "chatcmpl-1",
      model: "agent",
      created: 1,
      includeUsage: true
    }),
  responses: (parts) =>
    OpenAiApi.responseEventsFromParts(Stream.fromIterable(parts), { id: "resp_1", model: "agent", created: 1 }),
  a2a: (parts) => A2aServer.fromParts(Stream.fromIterable(parts), { taskId: "t", contextId: "c", runId: "r" })
}

/**
 * The wires on which a client sees whether a part is there. The approvals of AG-UI, responses and A2A come with the end of
 * the run, and what begins or ends a text is told by the text itself where a wire has no word for it.
 */
const table: Readonly<Record<AgentRun.Part["type"], string>> = {
  "run-start": "http rpc ui agUi chat responses a2a",
  "step-start": "http rpc ui agUi chat a2a",
  "text-start": "http rpc agUi a2a",
  "text-delta": "http rpc ui agUi chat responses a2a",
  "text-end": "http rpc ui agUi responses a2a",
  "reasoning-start": "http rpc agUi",
  "reasoning-delta": "http rpc ui agUi chat responses",
  "reasoning-end": "http rpc ui agUi responses",
  "tool-params-start": "http rpc ui agUi",
  "tool-params-delta": "http rpc ui agUi a2a",
  "tool-params-end": "http rpc",
  "tool-call": "http rpc ui agUi responses",
  "tool-result": "http rpc ui agUi responses",
  "tool-approval-request": "http rpc ui",
  "agent-part": "http rpc ui agUi",
  "response-metadata": "http rpc ui",
  source: "http rpc ui agUi chat responses a2a",
  file: "http rpc ui agUi a2a",
  "output-partial": "http rpc ui agUi a2a",
  steering: "http rpc ui agUi",
  error: "http rpc",
  finish: "http rpc",
  "step-end": "http rpc ui agUi",
  "run-end": "http rpc ui agUi chat responses a2a"
}

/** The parts of runs with everything that the agents of the fixture do, and two that no scripted model says. */
const runs = Effect.gen(function*() {
  const every = EveryPart.make()
  const collect = <E, R>(parts: Stream.Stream<AgentRun.Part, E, R>) =>
    Effect.gen(function*() {
      const seen: Array<AgentRun.Part> = []
      yield* Effect.exit(Stream.runForEach(parts, (part) => Effect.sync(() => void seen.push(part))))
      return seen
    })
  const words = EveryPart.words.filter((word) => word !== "hangs")
  const all: Array<Parts> = yield* Effect.provide(
    Effect.forEach(
      words,
      (word, index) =>
        Effect.flatMap(
          collect(Agent.stream(every.agent, { prompt: word, runId: `run_${index}` })),
          (first) =>
            Effect.map(
              word === "reports"
                ? collect(Agent.stream(every.reporter, { prompt: word, runId: `report_${index}` }))
                : Effect.succeed([]),
              (second) => [first, second]
            )
        )
    ),
    every.layer
  ).pipe(Effect.map((all) => all.flat()))
  const text = all.find((parts) => parts.some(({ type }) => type === "text-delta") && parts.at(-1)?.type === "run-end")!
  const end = text.findIndex(({ type }) => type === "step-end")
  const message = Prompt.makeMessage("user", { content: [Prompt.makePart("text", { text: "and this" })] })
  const added: Parts = [
    { type: "steering", message } as AgentRun.Part,
    Response.makePart("error", { error: new Error("no") }) as AgentRun.Part
  ]
  return [...all, ...added.map((part) => text.toSpliced(end, 0, part))]
})

/** What a client reads, without ids and times that are made anew. */
const told = (wire: string, parts: Parts) =>
  Effect.map(Effect.exit(Stream.runCollect(wires[wire](parts))), (exit) => {
    assert.isTrue(Exit.isSuccess(exit), `${wire} fails`)
    return JSON.stringify(exit).replace(/"[0-9a-f-]{36}"|"timestamp":"[^"]*"|"\w+_at":\d+/g, "")
  })

describe("the parts of a run", () => {
  it.effect("are told on the wires that have a word for them, and change nothing on the others", () =>
    Effect.gen(function*() {
      const all = yield* Effect.forEach(yield* runs, (parts) =>
        Effect.gen(function*() {
          const whole: Record<string, string> = {}
          for (const wire of Object.keys(wires)) {
            whole[wire] = yield* told(wire, parts)
            assert.strictEqual(yield* told(wire, parts), whole[wire], "without what is made anew")
          }
          return { parts, whole }
        }))
      for (const [type, wordedBy] of Object.entries(table)) {
        const having = all.filter(({ parts }) => parts.some((part) => part.type === type))
        assert.isAbove(having.length, 0, `a run with ${type}`)
        const seen: Array<string> = []
        for (const wire of Object.keys(wires)) {
          for (const { parts, whole } of having) {
            if (whole[wire] === (yield* told(wire, parts.filter((part) => part.type !== type)))) continue
            seen.push(wire)
            break
          }
        }
        assert.strictEqual(seen.join(" "), wordedBy, type)
      }
    }).pipe(Effect.scoped))
})

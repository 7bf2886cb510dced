/** Parts with values that are not JSON, on the wires that have words of their own for the end of a run. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Stream } from "effect"
import { Prompt, Response } from "effect/ai"
import { A2aServer } from "../src/a2a/index.ts"
import { AgentRun } from "../src/index.ts"
import { AgUi, OpenAiApi, UiMessages } from "../src/server/index.ts"
import * as Valued from "../src/server/internal/valued.ts"

const secret = "s3cret"

const itself: Record<string, unknown> = { a: 1 }
itself["self"] = itself

const deep = (): unknown => {
  const root: Record<string, any> = {}
  for (let depth = 0, at = root; depth < 20_000; depth++) at = at["d"] = {}
  return root
}

/** With whether it can be told: everywhere, or only where an agent gives a value of its own. */
const values: Readonly<Record<string, readonly [value: unknown, isJson: boolean | "as a value"]>> = {
  "a big integer": [1n, "as a value"],
  "a map": [new Map([["a", 1n]]), true],
  "a date": [new Date(0), true],
  "no number": [NaN, true],
  "a function": [() => secret, true],
  nothing: [undefined, true],
  "itself": [itself, false],
  "a value that is nested too deeply": [deep(), false],
  "a value that does not want to be JSON": [
    {
      toJSON() {
        throw new Error(secret)
      }
    },
    false
  ]
}

const result = (more: Partial<AgentRun.Result>): AgentRun.Result => ({
  agent: "agent",
  runId: "r",
  session: undefined,
  text: "hello",
  value: undefined,
  usage: AgentRun.emptyUsage,
  totalUsage: AgentRun.emptyUsage,
  steps: [],
  stopReason: "stop",
  transcript: Prompt.empty,
  approvals: [],
  ...more
})

const call = (params: unknown) =>
  Response.makePart("tool-call", { id: "c", name: "t", params, providerExecuted: false } as const)

const places: Readonly<
  Record<string, (value: any) => readonly [parts: ReadonlyArray<AgentRun.Part>, end?: Partial<AgentRun.Result>]>
> = {
  "a partial value": (value) => [[{ type: "output-partial", value }]],
  "the parameters of a call": (value) => [[call(value)]],
  "a result": (value) => [[
    call({}),
    Response.makePart("tool-result", {
      ...{ id: "c", name: "t", isFailure: false, providerExecuted: false, preliminary: false } as const,
      result: value,
      encodedResult: value
    })
  ]],
  "the value": (value) => [[], { value, text: "" }],
  "an approval": (params) => {
    const approval = { approvalId: "a", toolCallId: "c", tool: "t", params, path: [] }
    return [[call({}), {
      ...Response.makePart("tool-approval-request", { approvalId: "a", toolCallId: "c" }),
      approval
    }], {
      stopReason: "approval-required",
      approvals: [approval]
    }]
  },
  "a nested run": (value) => [[{
    type: "agent-part",
    agent: "other",
    runId: "n",
    parentRunId: "r",
    toolCallId: "c",
    path: ["x"],
    part: { type: "output-partial", value }
  } as AgentRun.Part]]
}

const partsOf = ([parts, end = {}]: ReturnType<typeof places[string]>): ReadonlyArray<AgentRun.Part> => [
  { type: "run-start", agent: "agent", runId: "r", session: undefined },
  { type: "step-start", index: 0 },
  Response.makePart("text-start", { id: "t" }),
  Response.makePart("text-delta", { id: "t", delta: "hello" }),
  ...parts,
  { type: "run-end", result: result(end) }
]

/** What a wire sends, and the words for the end of a run. */
const wires: Readonly<
  Record<string, readonly [send: (parts: Stream.Stream<AgentRun.Part>) => Stream.Stream<unknown>, end: RegExp]>
> = {
  UiMessages: [(parts) => UiMessages.fromParts(parts), /"type":"(finish|error)"/],
  AgUi: [(parts) => AgUi.fromParts(parts, { threadId: "t" }), /"type":"RUN_(FINISHED|ERROR)"/],
  "chat completions": [
    (parts) => OpenAiApi.chatChunksFromParts(parts, { id: "c", model: "m", created: 0 }),
    /"finish_reason":"\w+"|^\{"error"/
  ],
  responses: [
    (parts) => OpenAiApi.responseEventsFromParts(parts, { id: "resp_a_b", model: "m", created: 0 }),
    /"type":"response\.(completed|failed|incomplete)"/
  ],
  A2A: [
    (parts) => A2aServer.fromParts(parts, { taskId: "t", contextId: "c", runId: "r" }),
    /"state":(?!2)\d/
  ]
}

describe("values that a run may have", () => {
  for (const [wire, [send, end]] of Object.entries(wires)) {
    it.effect(`${wire}: end the stream with its own words, once, and tell nothing of the inside`, () =>
      Effect.gen(function*() {
        for (const [place, at] of Object.entries(places)) {
          for (const [name, [value]] of Object.entries(values)) {
            const sent = yield* Stream.runCollect(send(Stream.fromIterable(partsOf(at(value)))))
            const texts = sent.map((one) => JSON.stringify(one))
            assert.deepStrictEqual(texts.map((text) => end.test(text)).filter(Boolean), [true], `${place}: ${name}`)
            assert.isTrue(end.test(texts.at(-1)!), `${place}: ${name}: ${texts.at(-1)}`)
            assert.isTrue(texts.some((text) => text.includes("hello")), `${place}: ${name}`)
            assert.notMatch(texts.join(), /s3cret|BigInt|circular|call stack/, `${place}: ${name}`)
          }
        }
      }))
  }

  it.effect("are JSON, or the end after all that came before them", () =>
    Effect.gen(function*() {
      for (const [place, at] of Object.entries(places)) {
        for (const [name, [value, told]] of Object.entries(values)) {
          const isJson = told === "as a value" ? /value|nested/.test(place) : told
          const parts = partsOf(at(value))
          const seen: Array<AgentRun.Part> = []
          const exit = yield* Effect.exit(
            Stream.runForEach(Valued.asJson(Stream.fromIterable(parts)), (part) => Effect.sync(() => seen.push(part)))
          )
          assert.strictEqual(Exit.isSuccess(exit), isJson, `${place}: ${name}`)
          assert.isTrue(isJson ? seen.length === parts.length : seen.length >= 4 && seen.length < parts.length)
          if (Exit.isFailure(exit)) assert.isTrue(Cause.hasDies(exit.cause))
        }
      }
    }))
})

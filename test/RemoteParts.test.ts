/** Every part of a run at the other end of each wire: it is what the run has, but for what the documentation says. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Schema, Stream } from "effect"
import { Agent, AgentRun, Approval, SessionStore } from "../src/index.ts"
import * as EveryPart from "./fixtures/everyPart.ts"
import { Wires, wires } from "./fixtures/remoteWires.ts"
import { types } from "./utils.ts"

/** Serves one of the agents with every part, with its own services, on a wire. */
const serve = (wire: typeof wires[number], which: "agent" | "reporter") =>
  Effect.gen(function*() {
    const { remote, store } = yield* Wires
    const every = EveryPart.make()
    const services = yield* Layer.build(every.layer)
    return yield* remote(wire, every[which]).pipe(
      Effect.provide(services),
      Effect.provideService(SessionStore.SessionStore, store)
    )
  })

const encode = (parts: ReadonlyArray<AgentRun.Part>) =>
  Effect.map(
    Effect.forEach(parts, (part) => Schema.encodeEffect(AgentRun.parts())(part)),
    (encoded) => JSON.parse(JSON.stringify(encoded)) as ReadonlyArray<unknown>
  )

/** What no client sees: the metadata of providers, how the store calls a session, and the errors of the server. */
const masked = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(masked)
  if (typeof value !== "object" || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, one]) => {
      if (key === "metadata" || key === "options") return []
      // a client without the toolkit knows the JSON of a result alone
      if (key === "isVerbatim") return []
      // a message that is one text without options is written as that text
      if (key === "content" && typeof one === "string") return [[key, [{ type: "text", text: one }]]]
      if (key === "session" && typeof one === "string") return [[key, one.replace(/^ann\//, "")]]
      return [[key, masked(one)]]
    })
  )
}

let runs = 0

/** The parts that a client reads, and those that the run has. */
const bothEnds = <E>(stream: (runId: string) => Stream.Stream<AgentRun.Part, E>) =>
  Effect.gen(function*() {
    const { hub } = yield* Wires
    const runId = `every_${String(++runs).padStart(8, "0")}`
    const seen: Array<AgentRun.Part> = []
    const exit = yield* Effect.exit(
      Stream.runForEach(stream(runId), (part) => Effect.sync(() => void seen.push(part)))
    )
    const live = yield* hub.get(runId)
    const there: Array<AgentRun.Part> = []
    if (live !== undefined) {
      yield* Effect.exit(Stream.runForEach(live.parts(), ({ part }) => Effect.sync(() => void there.push(part))))
    }
    return { exit, seen, there }
  })

const compare = Effect.fnUntraced(
  function*(what: string, { exit, seen, there }: Effect.Success<ReturnType<typeof bothEnds>>) {
    assert.deepStrictEqual(types(seen), types(there), what)
    const received = yield* encode(seen)
    assert.deepStrictEqual(masked(received), masked(yield* encode(there)), what)
    assert.notInclude(JSON.stringify([received, exit]), EveryPart.secret, what)
    const [end, endThere] = [seen.at(-1), there.at(-1)]
    if (end?.type !== "run-end" || endThere?.type !== "run-end") return
    const result = yield* AgentRun.fold(Stream.fromIterable(seen))
    const { session: _, transcript: __, ...expected } = yield* AgentRun.fold(Stream.fromIterable(there))
    const { session: ___, transcript, ...own } = result
    assert.deepStrictEqual(own, expected, what)
    assert.deepStrictEqual(
      masked(JSON.parse(JSON.stringify(transcript.content))),
      masked(JSON.parse(JSON.stringify(endThere.result.transcript.content))),
      what
    )
  }
)

describe("the parts of a remote run", () => {
  it.layer(Wires.layer, { excludeTestServices: true })((it) => {
    for (const wire of wires) {
      it.effect(`${wire}: have every kind, each as it is in the run`, () =>
        Effect.gen(function*() {
          const agent = yield* serve(wire, "agent")
          const kinds = new Set<string>()
          for (const word of EveryPart.words.filter((word) => word !== "hangs" && word !== "reports")) {
            const session = `${wire} ${word}`
            const told = yield* bothEnds((runId) => Agent.stream(agent, { prompt: word, session, runId }))
            yield* compare(word, told)
            const isCompleting = EveryPart.completing.includes(word)
            assert.strictEqual(Exit.isSuccess(told.exit), isCompleting, word)
            for (const part of told.seen) kinds.add(part.type === "agent-part" ? `agent: ${part.part.type}` : part.type)
            const end = told.seen.at(-1)
            if (end?.type !== "run-end" || end.result.approvals.length === 0) continue
            const answers = end.result.approvals.map((approval) => Approval.approve(approval))
            const rest = yield* bothEnds((runId) => Agent.stream(agent, { prompt: [], session, answers, runId }))
            yield* compare(`${word}, answered`, rest)
            assert.include(types(rest.seen), "tool-result", word)
          }
          for (
            const kind of [
              "agent: run-end",
              "agent: text-delta",
              "agent: tool-approval-request",
              "file",
              "finish",
              "reasoning-delta",
              "response-metadata",
              "run-end",
              "run-start",
              "source",
              "step-end",
              "step-start",
              "text-delta",
              "tool-approval-request",
              "tool-call",
              "tool-params-delta",
              "tool-result"
            ]
          ) {
            assert.isTrue(kinds.has(kind), `${kind} in ${[...kinds].toSorted().join()}`)
          }
        }))

      it.effect(`${wire}: have an output, and its partial values`, () =>
        Effect.gen(function*() {
          const agent = yield* serve(wire, "reporter")
          const session = `${wire} reports`
          const told = yield* bothEnds((runId) => Agent.stream(agent, { prompt: "reports", session, runId }))
          yield* compare("reports", told)
          assert.include(types(told.seen), "output-partial")
          const { value } = yield* AgentRun.fold(Stream.fromIterable(told.seen))
          assert.deepStrictEqual(value, { title: "A", points: [1, 2] })
        }))
    }
  })
})

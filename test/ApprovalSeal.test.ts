import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Redacted, Schema } from "effect"
import { Agent, AgentRun, Approval, ApprovalSeal, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { agent, approveAll, handlers, ids, keeper, rejection, remove, toolkit } from "./fixtures/approvals.ts"
import type { Log } from "./utils.ts"

const { layer: script, text, toolCalls } = ScriptedModel

const codec = Schema.toCodecJson(AgentRun.Result)

const toWire = (result: AgentRun.Result): Schema.Json =>
  JSON.parse(JSON.stringify(Schema.encodeUnknownSync(codec)(result)))
const fromWire = (json: unknown) =>
  Schema.decodeUnknownEffect(codec)(json) as Effect.Effect<AgentRun.Result, Schema.SchemaError>

const sealing = (key: string, ...accepted: ReadonlyArray<string>) =>
  ApprovalSeal.layer({ key: Redacted.make(key), accepted: accepted.map((key) => Redacted.make(key)) })

const layers = () =>
  Layer.mergeAll(
    script([toolCalls(remove("a"), remove("b")), text("done"), text("more")]),
    SessionStore.layerMemory,
    ids
  )

/** The result of a run, sealed, as a client has it. */
const sealed = Effect.fnUntraced(function*(log: Log) {
  const asked = yield* Agent.run(agent, { prompt: "go" }).pipe(Effect.provide(handlers(log)))
  return toWire(yield* ApprovalSeal.seal(agent, asked))
})

const resume = (wire: Schema.Json, log: Log, pick: (result: AgentRun.Result) => AgentRun.Result = (result) => result) =>
  Effect.flatMap(Effect.orDie(fromWire(wire)), (result) => Agent.resume(agent, { result }, approveAll(pick(result))))
    .pipe(Effect.provide(handlers(log)))

/** The same JSON with one value changed, for every value in it. */
const changes = (json: Schema.Json): ReadonlyArray<Schema.Json> => {
  if (Array.isArray(json)) {
    return [
      ...json.flatMap((one, index) => changes(one).map((other) => json.with(index, other))),
      [...json, json.at(-1) ?? null],
      ...json.map((_, index) => json.toSpliced(index, 1))
    ]
  }
  if (typeof json === "object" && json !== null) {
    return Object.entries(json as Schema.JsonObject).flatMap(([key, value]) =>
      changes(value).map((other) => ({ ...json, [key]: other }))
    )
  }
  return [typeof json === "string" ? `${json}x` : typeof json === "number" ? json + 1 : !json]
}

describe("ApprovalSeal", () => {
  it.effect("goes on with a result that comes back from a client, whatever the order of its keys, once", () =>
    Effect.gen(function*() {
      const log: Log = []
      const wire = yield* sealed(log)
      const reversed = JSON.parse(
        JSON.stringify(wire),
        (_, value) =>
          typeof value === "object" && value !== null && !Array.isArray(value)
            ? Object.fromEntries(Object.entries(value).toReversed())
            : value
      )
      assert.strictEqual((yield* resume(reversed, log)).text, "done")
      assert.deepStrictEqual(yield* rejection(resume(wire, log)), ["answered", "approval-1"])
      assert.deepStrictEqual(log, ["remove a", "remove b"])
    }).pipe(Effect.provide([layers(), sealing("k")])))

  it.effect("rejects a result that was changed anywhere", () =>
    Effect.gen(function*() {
      const log: Log = []
      const wire = yield* sealed(log)
      let rejected = 0
      for (const changed of changes(wire)) {
        const decoded = yield* Effect.exit(fromWire(changed))
        // it is no result any more, or an array of nothing
        if (Exit.isFailure(decoded) || decoded.value.approvals.length === 0) continue
        const [problem] = (yield* rejection(resume(changed, log))) as ReadonlyArray<string>
        assert.strictEqual(problem, "unknown")
        rejected++
      }
      assert.isAbove(rejected, 40)
      assert.deepStrictEqual(log, [])
      // the one that was not changed is as good as before
      assert.strictEqual((yield* resume(wire, log)).text, "done")
    }).pipe(Effect.provide([layers(), sealing("k")])))

  it.effect("rejects an answer that is not to what was asked, for another agent, and without a seal", () =>
    Effect.gen(function*() {
      const log: Log = []
      const wire = yield* sealed(log)
      const swapped = resume(wire, log, (result) => ({
        ...result,
        approvals: result.approvals.map((approval) => ({ ...approval, params: { file: "/" } }))
      }))
      assert.deepStrictEqual(yield* rejection(swapped), ["changed", "approval-1"])
      const result = yield* Effect.orDie(fromWire(wire))
      const other = Agent.make("other", { toolkit })
      for (
        const run of [
          Agent.resume(other, { result }, approveAll(result)),
          Agent.resume(agent, { result: { ...result, seal: undefined } }, approveAll(result)),
          Agent.resume(agent, { result: { ...result, seal: "not base64!" } }, approveAll(result))
        ]
      ) {
        assert.deepStrictEqual(yield* rejection(Effect.provide(run, handlers(log))), ["unknown", "approval-1"])
      }
      assert.deepStrictEqual(log, [])
    }).pipe(Effect.provide([layers(), sealing("k")])))

  it.effect("knows the seals of accepted keys, and of no other", () =>
    Effect.gen(function*() {
      const log: Log = []
      const wire = yield* Effect.provide(sealed(log), sealing("old"))
      assert.deepStrictEqual(yield* rejection(Effect.provide(resume(wire, log), sealing("new"))), [
        "unknown",
        "approval-1"
      ])
      assert.deepStrictEqual(yield* rejection(resume(wire, log)), ["unknown", "approval-1"])
      assert.strictEqual((yield* Effect.provide(resume(wire, log), sealing("new", "older", "old"))).text, "done")
    }).pipe(Effect.provide(layers())))

  it.effect("seals only what a run has given out, and what no session keeps", () =>
    Effect.gen(function*() {
      const log: Log = []
      const asked = yield* Agent.run(agent, { prompt: "go" }).pipe(Effect.provide(handlers(log)))
      for (const result of [{ ...asked }, yield* Effect.orDie(fromWire(toWire(asked)))]) {
        assert.deepStrictEqual(yield* rejection(ApprovalSeal.seal(agent, result)), ["unknown", "approval-1"])
      }
      const done = yield* Agent.resume(agent, { result: asked }, approveAll(asked)).pipe(Effect.provide(handlers(log)))
      assert.strictEqual(yield* ApprovalSeal.seal(agent, done), done)
    }).pipe(Effect.provide([layers(), sealing("k")])))

  it.effect("leaves a session its approvals", () =>
    Effect.gen(function*() {
      const asked = yield* Agent.run(keeper, { prompt: "go", session: "s" }).pipe(Effect.provide(handlers([])))
      assert.deepStrictEqual(yield* rejection(ApprovalSeal.seal(keeper, asked)), ["unknown", "approval-1"])
    }).pipe(Effect.provide([layers(), sealing("k")])))

  it.effect("shares what was answered between the result itself, its seal, and what waits on", () =>
    Effect.gen(function*() {
      const log: Log = []
      const run = Effect.provide(handlers(log))
      const asked = yield* run(Agent.run(agent, { prompt: "go" }))
      const wire = toWire(yield* ApprovalSeal.seal(agent, asked))
      const [a, b] = asked.approvals
      const half = yield* run(Agent.resume(agent, { result: asked }, [Approval.approve(a!)]))
      const halfWire = toWire(yield* ApprovalSeal.seal(agent, half))
      yield* run(
        Effect.flatMap(
          Effect.orDie(fromWire(halfWire)),
          (result) => Agent.resume(agent, { result }, [Approval.approve(b!)])
        )
      )
      assert.deepStrictEqual(yield* rejection(resume(wire, log)), ["answered", "approval-1"])
      for (const result of [asked, half]) {
        assert.deepStrictEqual(yield* rejection(run(Agent.resume(agent, { result }, [Approval.approve(b!)]))), [
          "answered",
          "approval-2"
        ])
      }
      assert.deepStrictEqual(log, ["remove a", "remove b"])
    }).pipe(Effect.provide([layers(), sealing("k")])))

  it.effect("refuses an empty key", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(Effect.scoped(Layer.build(sealing(""))))
      assert.isTrue(Exit.isFailure(exit) && !Cause.hasDies(exit.cause))
    }))
})

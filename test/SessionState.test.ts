import { assert, describe, it } from "@effect/vitest"
import { DateTime, Effect, Exit, Layer, Option, Schema, Stream } from "effect"
import { AiError } from "effect/ai"
import { Agent, ContextProvider, Session, SessionHistory, SessionState, SessionStore } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const { fail, layer: script, step, text } = ScriptedModel

const Visits = SessionState.make("visits", { schema: Schema.Int, initial: 0 })
const Seen = SessionState.make("seen", {
  schema: Schema.Struct({ at: Schema.Option(Schema.DateTimeUtc) }),
  initial: { at: Option.none() }
})

const visits = (log: Array<unknown> = []) =>
  ContextProvider.make("visits", {
    beforeRun: () => Effect.map(SessionState.update(Visits, (count) => count + 1), (count) => void log.push(count))
  })
const seen = ContextProvider.make("seen", {
  beforeRun: () => Effect.asVoid(SessionState.get(Seen)),
  afterRun: () => SessionState.set(Seen, { at: Option.some(DateTime.makeUnsafe(0)) })
})

const load = Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s"))
const input = { prompt: "hi", session: "s" }
const overloaded = AiError.make({ module: "test", method: "test", reason: new AiError.RateLimitError({}) })
const layers = (...steps: ReadonlyArray<ScriptedModel.Step>) => Layer.merge(script(steps), SessionStore.layerMemory)

describe("SessionState", () => {
  for (const keep of ["completed", "every-step", "always"] as const) {
    it.effect(`is saved with the history, also what afterRun writes, and read by the next run (${keep})`, () =>
      Effect.gen(function*() {
        const log: Array<unknown> = []
        const agent = Agent.make("a", { providers: [SessionHistory.make({ keep }), visits(log), seen] })
        yield* Agent.run(agent, input)
        yield* Agent.run(agent, input)
        const { history, state } = yield* load
        assert.deepStrictEqual(log, [1, 2])
        assert.deepStrictEqual<unknown>(state, {
          visits: 2,
          seen: { at: { _tag: "Some", value: "1970-01-01T00:00:00.000Z" } }
        })
        assert.strictEqual(history.content.length, 4)
      }).pipe(Effect.provide(layers(text("a"), text("b")))))

    it.effect(`of a run that fails, or is left early, is as it was (${keep})`, () =>
      Effect.gen(function*() {
        const log: Array<unknown> = []
        const agent = Agent.make("a", { providers: [SessionHistory.make({ keep }), visits(log)] })
        yield* Agent.run(agent, input)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Agent.run(agent, input))))
        yield* Stream.runDrain(Stream.take(Agent.stream(agent, input), 1))
        assert.deepStrictEqual((yield* load).state, { visits: 1 })
        yield* Agent.run(agent, input)
        assert.deepStrictEqual((yield* load).state, { visits: 2 })
        assert.deepStrictEqual(log, [1, 2, 2, 2])
      }).pipe(Effect.provide(layers(text("a"), step(text("x"), fail(overloaded)), text("b"), text("c")))))
  }

  it.effect("is saved in the version of the history", () =>
    Effect.gen(function*() {
      yield* Agent.run(Agent.make("a", { providers: [SessionHistory.provider, visits()] }), input)
      assert.strictEqual((yield* load).version, 1)
    }).pipe(Effect.provide(layers(text("a")))))

  it.effect("that does not decode is a typed error with the name, and nothing is written", () =>
    Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      yield* store.save(Session.empty("s"), { append: [], state: { visits: "many", other: 1 } })
      const agent = Agent.make("a", { providers: [SessionHistory.provider, visits()] })
      const name = yield* Agent.run(agent, input).pipe(
        Effect.as("ran"),
        Effect.catchReason("SessionError", "SessionStateInvalid", ({ name }) => Effect.succeed(name))
      )
      assert.strictEqual(name, "visits")
      assert.deepStrictEqual((yield* load).state, { visits: "many", other: 1 })
    }).pipe(Effect.provide(layers(text("a")))))

  it.effect("has a name that no object has by itself", () =>
    Effect.gen(function*() {
      const odd = SessionState.make("__proto__", { schema: Schema.Array(Schema.String), initial: ["first"] })
      const log: Array<unknown> = []
      const provider = ContextProvider.make("odd", {
        beforeRun: () => Effect.map(SessionState.update(odd, (all) => [...all, "next"]), (all) => void log.push(all))
      })
      const agent = Agent.make("a", { providers: [SessionHistory.provider, provider] })
      yield* Agent.run(agent, input)
      yield* Agent.run(agent, input)
      assert.deepStrictEqual(log, [["first", "next"], ["first", "next", "next"]])
    }).pipe(Effect.provide(layers(text("a"), text("b")))))

  it.effect("without a session is the first value, and is not kept", () =>
    Effect.gen(function*() {
      const log: Array<unknown> = []
      const agent = Agent.make("a", { providers: [SessionHistory.provider, visits(log)] })
      yield* Agent.run(agent, { prompt: "hi" })
      assert.deepStrictEqual(log, [1])
      assert.strictEqual(yield* SessionState.get(Visits), 0)
    }).pipe(Effect.provide(layers(text("a")))))

  it.effect("before the history is loaded, or with a name that another state has, is a defect", () =>
    Effect.gen(function*() {
      const same = SessionState.make("visits", { schema: Schema.String, initial: "" })
      const other = ContextProvider.make("other", { beforeRun: () => Effect.asVoid(SessionState.get(same)) })
      for (const providers of [[visits(), SessionHistory.provider], [SessionHistory.provider, visits(), other]]) {
        const exit = yield* Effect.exit(Agent.run(Agent.make("a", { providers }), input))
        assert.isTrue(Exit.isFailure(exit) && exit.cause.reasons.every((reason) => reason._tag === "Die"))
      }
      assert.strictEqual((yield* load).version, 0)
    }).pipe(Effect.provide(layers(text("a")))))
})

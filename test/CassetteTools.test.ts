import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, FileSystem, Layer, Schema, Stream } from "effect"
import { AiError, EmbeddingModel, LanguageModel, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent } from "../src/index.ts"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"

const temporary = Effect.flatMap(
  FileSystem.FileSystem,
  (files) => Effect.map(files.makeTempDirectoryScoped(), (directory) => `${directory}/cassette.jsonl`)
)

const read = (path: string) => Effect.flatMap(FileSystem.FileSystem, (files) => files.readFileString(path))

const failureOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason) : undefined
  return reason === undefined ? "no failure" : (reason.error as Error).message
}

describe("Cassette", () => {
  describe("layerEmbeddingModel", () => {
    /** Embeds a text as its length, and notes what it is asked for. */
    const model = (asked: Array<ReadonlyArray<string>>) =>
      Layer.effect(EmbeddingModel.EmbeddingModel)(EmbeddingModel.make({
        embedMany: ({ inputs }) =>
          Effect.suspend(() => {
            asked.push(inputs)
            if (inputs.includes("refused")) {
              return Effect.fail(AiError.make({
                module: "m",
                method: "embedMany",
                reason: new AiError.RateLimitError({ metadata: {} })
              }))
            }
            return Effect.succeed({
              results: inputs.map((input) => [input.length, 0.1, -1e-7]),
              usage: { inputTokens: inputs.join().length }
            })
          })
      }))

    const embed = (input: string) => Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => model.embed(input))

    const embedMany = (...inputs: ReadonlyArray<string>) =>
      Effect.flatMap(EmbeddingModel.EmbeddingModel, (model) => model.embedMany(inputs))

    const program = Effect.all([
      embedMany("one", "three"),
      embedMany(),
      Effect.all([embed("a"), embed("bb"), embed("a")], { concurrency: "unbounded" }),
      Effect.flip(embedMany("refused")),
      Effect.flip(embed("refused"))
    ])

    it.effect("has the vectors, the usage and the failures, one by one however they were asked for together", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const asked: Array<ReadonlyArray<string>> = []
        const recorded = yield* Effect.provide(
          program,
          Layer.provide(Cassette.layerEmbeddingModel({ path, mode: "record" }), model(asked))
        )
        assert.isTrue(asked.some((inputs) => inputs.length === 3), "the model is still asked for several at once")
        const replay = Cassette.layerEmbeddingModel({ path, mode: "replay" })
        assert.deepStrictEqual(yield* Effect.provide(program, replay), recorded)
        assert.deepStrictEqual(
          yield* Effect.provide(Effect.forEach(["bb", "a", "a"], embed), replay),
          [recorded[2][1], recorded[2][0], recorded[2][2]]
        )
        const missing = yield* Effect.exit(Effect.provide(embedMany("one", "tree"), replay))
        assert.match(
          failureOf(missing),
          /The nearest is [0-9a-f]{16}, which differs at request\.inputs\.1: recorded "three", now "tree"/
        )
        assert.match(
          failureOf(yield* Effect.exit(Effect.provide(embed("c"), replay))),
          /Cassette\.embed: .* differs at request\.inputs\.0/
        )
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("shares a file with a language model, and auto asks for what is missing", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const asked: Array<ReadonlyArray<string>> = []
        const cassette = Layer.merge(
          Cassette.layer({ path, mode: "auto", isCI: false }),
          Cassette.layerEmbeddingModel({ path, mode: "auto", isCI: false })
        )
        const ask = (script: ReadonlyArray<ScriptedModel.Step>, ...inputs: ReadonlyArray<string>) =>
          Effect.provide(
            Effect.all([LanguageModel.generateText({ prompt: "a" }), embedMany(...inputs)], { concurrency: 2 }),
            Layer.provide(cassette, [ScriptedModel.layer(script), model(asked)])
          )
        const [first] = yield* ask([ScriptedModel.text("1")], "one")
        const [again] = yield* ask([], "two")
        yield* ask([], "one")
        assert.deepStrictEqual(again.content, first.content)
        assert.deepStrictEqual(asked, [["one"], ["two"]])
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("waits as the model did, if timing says so, and says where it was cut", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const slow = Layer.effect(EmbeddingModel.EmbeddingModel)(EmbeddingModel.make({
          embedMany: ({ inputs }) =>
            Effect.delay(Effect.succeed({ results: [[inputs.length]], usage: { inputTokens: undefined } }), "1 minute")
        }))
        const run = Effect.gen(function*() {
          const whole = yield* Effect.forkChild(embedMany("whole"))
          const short = yield* Effect.forkChild(Effect.timeoutOption(embedMany("cut"), "30 seconds"))
          yield* TestClock.adjust("59 seconds")
          const early = whole.pollUnsafe()
          yield* TestClock.adjust("1 second")
          return [early, yield* Fiber.join(whole), yield* Fiber.join(short)] as const
        })
        const recorded = yield* Effect.provide(
          run,
          Layer.provide(Cassette.layerEmbeddingModel({ path, mode: "record" }), slow)
        )
        const replay = Cassette.layerEmbeddingModel({ path, mode: "replay", timing: "recorded" })
        assert.deepStrictEqual(yield* Effect.provide(run, replay), recorded)
        const more = yield* Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(Effect.exit(embedMany("cut")))
          yield* TestClock.adjust("1 minute")
          return yield* Fiber.join(fiber)
        }).pipe(Effect.provide(Cassette.layerEmbeddingModel({ path, mode: "replay" })))
        assert.match(
          failureOf(more),
          /More is asked for than was recorded of call [0-9a-f]{16}: it was interrupted here/
        )
      }).pipe(Effect.provide(NodeFileSystem.layer)))
  })

  describe("layerTools", () => {
    const At = Schema.Struct({ at: Schema.DateTimeUtcFromString, count: Schema.FiniteFromString })
    class Refused extends Schema.Error<Refused>("Refused")({ _tag: Schema.tag("Refused"), until: Schema.Date }) {}

    const Find = Tool.make("find", { parameters: At, success: At, failure: Refused, failureMode: "return" })
    const Strict = Tool.make("strict", { parameters: Schema.Struct({ id: Schema.String }), success: Schema.String })
    const toolkit = Toolkit.make(Find, Strict)

    const handlers = (called: Array<string>) =>
      toolkit.toLayer({
        find: (params, { preliminary }) =>
          Effect.gen(function*() {
            called.push("find")
            if (params.count === 0) return yield* new Refused({ until: new Date(0) })
            if (params.count === 1) return yield* Effect.fail(new AiError.RateLimitError({ metadata: {} }) as never)
            if (params.count === 2) return yield* Effect.die(new Error("broken"))
            yield* preliminary({ ...params, count: params.count + 1 })
            yield* Effect.sleep("1 second")
            return { ...params, count: params.count + 2 }
          }),
        strict: ({ id }) => Effect.sync(() => (called.push("strict"), `strict ${id}`))
      })

    const handle = (name: "find" | "strict", params: object) =>
      Effect.flatMap(
        toolkit,
        (tools) =>
          Effect.exit(Effect.flatMap(tools.handle(name, params as never), (results) =>
            Stream.runCollect(results as Stream.Stream<unknown, unknown>)))
      )

    const params = (count: number) => ({ at: "2026-01-02T00:00:00.000Z", count: String(count) })

    const program = Effect.gen(function*() {
      const fiber = yield* Effect.forkChild(
        Effect.all([...[0, 1, 2, 3, 3].map((count) => handle("find", params(count))), handle("strict", { id: "a" })])
      )
      // real files are written between the moments of the test clock
      while (fiber.pollUnsafe() === undefined) {
        yield* TestClock.adjust("1 second")
        yield* Effect.promise(() => new Promise((resolve) => setImmediate(resolve)))
      }
      return yield* Fiber.join(fiber)
    })

    it.effect("has results, preliminary ones, failures and defects, with their types", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const called: Array<string> = []
        const recorded = yield* Effect.provide(
          program,
          Layer.provide(Cassette.layerTools(toolkit, { path, mode: "record" }), handlers(called))
        )
        assert.lengthOf(called, 6)
        assert.deepStrictEqual(recorded.map(Exit.isSuccess), [true, true, false, true, true, true])
        const replayed = yield* Effect.provide(program, Cassette.layerTools(toolkit, { path, mode: "replay" }))
        assert.deepStrictEqual(replayed, recorded)
        const file = yield* read(path)
        assert.include(file, `{"method":"tool","name":"find","params":{"at":"2026-01-02T00:00:00.000Z","count":"0"}}`)
        assert.include(file, `{"parts":[{"result":{"at":"2026-01-02T00:00:00.000Z","count":"5"}}]}`)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("runs an agent without its model and without its tools", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const called: Array<string> = []
        const agent = Agent.make("agent", { toolkit })
        const run = Effect.map(Agent.run(agent, { prompt: "go" }), ({ steps, text }) => [steps.length, text])
        const cassette = <const M extends Cassette.Mode>(mode: M) =>
          Layer.merge(Cassette.layer({ path, mode }), Cassette.layerTools(toolkit, { path, mode }))
        const script = [
          ScriptedModel.toolCalls(
            { name: "strict", params: { id: "a" } },
            { name: "strict", params: { id: "b" } },
            { name: "find", params: params(0) }
          ),
          ScriptedModel.text("done")
        ]
        const recorded = yield* Effect.provide(
          run,
          Layer.provide(cassette("record"), [ScriptedModel.layer(script), handlers(called)])
        )
        assert.deepStrictEqual(recorded, [2, "done"])
        assert.deepStrictEqual(yield* Effect.provide(run, cassette("replay")), recorded)
        assert.lengthOf(called, 3)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("fails a call that was not recorded, or whose result the tool does not have any more", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        yield* Effect.provide(
          handle("strict", { id: "a" }),
          Layer.provide(Cassette.layerTools(toolkit, { path, mode: "record" }), handlers([]))
        )
        const replay = Cassette.layerTools(toolkit, { path, mode: "replay" })
        assert.match(
          failureOf(yield* Effect.provide(handle("strict", { id: "b" }), replay)),
          /which differs at request\.params\.id: recorded "a", now "b"/
        )
        const changed = Toolkit.make(
          Tool.make("strict", { parameters: Schema.Struct({ id: Schema.String }), success: Schema.Finite })
        )
        const exit = yield* Effect.flatMap(
          changed,
          (tools) => Effect.exit(Effect.flatMap(tools.handle("strict", { id: "a" }), Stream.runDrain))
        ).pipe(
          Effect.provide(Cassette.layerTools(changed, { path, mode: "replay" }))
        )
        assert.match(failureOf(exit), /The recorded answer of call [0-9a-f]{16} cannot be read: Expected number/)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("fails where a handler was interrupted, and does not wait", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const begun = yield* Deferred.make<void>()
        const hanging = toolkit.toLayer({
          find: () => Effect.never,
          strict: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
        })
        yield* Effect.gen(function*() {
          const fiber = yield* Effect.forkChild(handle("strict", { id: "a" }))
          yield* Deferred.await(begun)
          yield* Fiber.interrupt(fiber)
        }).pipe(Effect.provide(Layer.provide(Cassette.layerTools(toolkit, { path, mode: "record" }), hanging)))
        const exit = yield* Effect.provide(
          handle("strict", { id: "a" }),
          Cassette.layerTools(toolkit, { path, mode: "replay" })
        )
        assert.match(failureOf(exit), /More is asked for than was recorded/)
        // what was interrupted is missing
        const called: Array<string> = []
        yield* Effect.provide(
          handle("strict", { id: "a" }),
          Layer.provide(Cassette.layerTools(toolkit, { path, mode: "auto", isCI: false }), handlers(called))
        )
        assert.deepStrictEqual(called, ["strict"])
        yield* Effect.provide(handle("strict", { id: "a" }), Cassette.layerTools(toolkit, { path, mode: "replay" }))
      }).pipe(Effect.provide(NodeFileSystem.layer)))
  })
})

import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Cause, ConfigProvider, Effect, Exit, Fiber, FileSystem, Layer, Schema, Stream } from "effect"
import { AiError, LanguageModel, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentTool } from "../src/index.ts"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"

const temporary = Effect.flatMap(
  FileSystem.FileSystem,
  (files) => Effect.map(files.makeTempDirectoryScoped(), (directory) => `${directory}/cassette.jsonl`)
)

const read = (path: string) => Effect.flatMap(FileSystem.FileSystem, (files) => files.readFileString(path))

const text = (script: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(script, { chunking: "all" })

const arrays = (prompt: string) =>
  LanguageModel.streamText({ prompt }).pipe(
    Stream.chunks,
    Stream.map((array): ReadonlyArray<unknown> => array),
    Stream.runCollect
  )

const recording = (path: string, model: Layer.Layer<LanguageModel.LanguageModel>) =>
  Layer.provide(Cassette.layer({ path, mode: "record" }), model)

const replaying = (path: string) => Cassette.layer({ path, mode: "replay" })

/** What a program sees of a model, twice: while it is recorded, and from the file. */
const twice = <A, E>(
  program: Effect.Effect<A, E, LanguageModel.LanguageModel>,
  model: Layer.Layer<LanguageModel.LanguageModel>
) =>
  Effect.gen(function*() {
    const path = yield* temporary
    const recorded = yield* Effect.exit(Effect.provide(program, recording(path, model)))
    const replayed = yield* Effect.exit(Effect.provide(program, replaying(path)))
    return { recorded, replayed, path }
  })

const failureOf = (exit: Exit.Exit<unknown, unknown>): string => {
  const reason = Exit.isFailure(exit) ? exit.cause.reasons.find(Cause.isFailReason) : undefined
  return reason === undefined ? "no failure" : (reason.error as Error).message
}

describe("Cassette", () => {
  describe("replay", () => {
    it.effect("has the parts and their arrays, for one answer after the other to the same request", () =>
      Effect.gen(function*() {
        const { recorded, replayed } = yield* twice(
          Effect.all([arrays("a"), arrays("a"), arrays("b")]),
          text([
            [ScriptedModel.reasoning("hm"), ScriptedModel.delay(0), ScriptedModel.text(["1", "2"])],
            ScriptedModel.text("second"),
            ScriptedModel.text("third")
          ])
        )
        assert.isTrue(Exit.isSuccess(recorded))
        assert.deepStrictEqual(replayed, recorded)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("has the failure of the model after the parts before it, and its defect", () =>
      Effect.gen(function*() {
        for (
          const cut of [
            ScriptedModel.fail(new AiError.RateLimitError({})),
            ScriptedModel.die(new Error("broken")),
            ScriptedModel.end
          ]
        ) {
          const seen: Array<unknown> = []
          const { recorded, replayed } = yield* twice(
            LanguageModel.streamText({ prompt: "a" }).pipe(
              Stream.runForEach((part) => Effect.sync(() => seen.push(part)))
            ),
            text([[ScriptedModel.text("half"), cut]])
          )
          assert.deepStrictEqual(replayed, recorded)
          assert.strictEqual(seen.length, 4)
          assert.deepStrictEqual(seen.slice(2), seen.slice(0, 2))
        }
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("waits where the consumer left, or was interrupted", () =>
      Effect.gen(function*() {
        const left = yield* twice(
          LanguageModel.streamText({ prompt: "a" }).pipe(Stream.take(2), Stream.runCollect),
          ScriptedModel.layer([ScriptedModel.text(["1", "2"])])
        )
        assert.deepStrictEqual(left.replayed, left.recorded)
        assert.include(yield* read(left.path), `{"end":"cut"}`)
        const path = yield* temporary
        const run = Effect.gen(function*() {
          const seen: Array<string> = []
          const fiber = yield* LanguageModel.streamText({ prompt: "a" }).pipe(
            Stream.runForEach(({ type }) => Effect.sync(() => seen.push(type))),
            Effect.timeoutOption("1 second"),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 second")
          return [yield* Fiber.join(fiber), seen] as const
        })
        const recorded = yield* Effect.provide(
          run,
          recording(path, text([[ScriptedModel.text("half"), ScriptedModel.hang]]))
        )
        assert.deepStrictEqual(recorded[1], ["text-start", "text-delta"])
        assert.deepStrictEqual(yield* Effect.provide(run, replaying(path)), recorded)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("answers nested and parallel agents in another order", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const now = Toolkit.make(
          Tool.make("now", { parameters: Schema.Struct({ zone: Schema.String }), success: Schema.String })
        )
        const clock = Agent.make("clock", { toolkit: now })
        const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(clock, { name: "clock" })) })
        const ask = (prompt: string) => Effect.map(Agent.run(lead, { prompt }), (result) => result.text)
        const script = (name: string) => [
          ScriptedModel.toolCalls({ id: `a-${name}`, name: "clock", params: { prompt: name } }),
          ScriptedModel.toolCalls({ id: `b-${name}`, name: "now", params: { zone: name } }),
          ScriptedModel.text(`noon in ${name}`),
          ScriptedModel.text(`it is noon in ${name}`)
        ]
        const program = (names: ReadonlyArray<string>) =>
          Effect.provide(
            Effect.forEach(names, ask, { concurrency: 2 }),
            now.toLayer({ now: ({ zone }) => Effect.succeed(`12:00 ${zone}`) })
          )
        yield* Effect.forEach(["Oslo", "Rome"], (name) => program([name])).pipe(
          Effect.provide(recording(path, ScriptedModel.layer([...script("Oslo"), ...script("Rome")])))
        )
        assert.deepStrictEqual(
          yield* Effect.provide(program(["Rome", "Oslo"]), replaying(path)),
          ["it is noon in Rome", "it is noon in Oslo"]
        )
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("has the texts and objects that come at once", () =>
      Effect.gen(function*() {
        const { recorded, replayed } = yield* twice(
          Effect.all([
            Effect.map(LanguageModel.generateText({ prompt: "a" }), ({ content }) => content),
            Effect.map(
              LanguageModel.generateObject({ prompt: "a", schema: Schema.Struct({ day: Schema.String }) }),
              ({ content, value }) => [content, value]
            )
          ]),
          text([ScriptedModel.text("once"), ScriptedModel.text(`{ "day": "Friday" }`)])
        )
        assert.isTrue(Exit.isSuccess(recorded))
        assert.deepStrictEqual(replayed, recorded)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("waits as the model did, if timing says so", () =>
      Effect.gen(function*() {
        const path = yield* temporary
        const run = (layer: Layer.Layer<LanguageModel.LanguageModel, unknown, FileSystem.FileSystem>) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(arrays("a"))
            yield* TestClock.adjust("59 seconds")
            const before = fiber.pollUnsafe()
            yield* TestClock.adjust("1 second")
            yield* Fiber.join(fiber)
            return before
          }).pipe(Effect.provide(layer))
        assert.isUndefined(yield* run(recording(path, text([ScriptedModel.text(["1", "2"], { every: "30 seconds" })]))))
        assert.isUndefined(yield* run(Cassette.layer({ path, mode: "replay", timing: "recorded" })))
        yield* Effect.provide(arrays("a"), replaying(path))
      }).pipe(Effect.provide(NodeFileSystem.layer)))
  })

  it.effect("fails a request that is not recorded, and names the nearest one and what differs", () =>
    Effect.gen(function*() {
      const { path } = yield* twice(arrays("What is the time?"), text([ScriptedModel.text("noon")]))
      const other = yield* Effect.exit(Effect.provide(arrays("What is the day?"), replaying(path)))
      assert.match(
        failureOf(other),
        /The nearest is [0-9a-f]{16}, which differs at request\.prompt\.content\.0\.content.*: recorded "What is the time\?", now "What is the day\?"/
      )
      const again = yield* Effect.exit(
        Effect.provide(Effect.all([arrays("What is the time?"), arrays("What is the time?")]), replaying(path))
      )
      assert.include(failureOf(again), "recorded once, and is made once more")
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("normalises requests before they are compared and kept", () =>
    Effect.gen(function*() {
      const path = yield* temporary
      const normalise = Cassette.replaceText(/\d{4}-\d\d-\d\d/g, "<day>")
      yield* Effect.provide(
        arrays("Today is 2026-01-02"),
        Layer.provide(Cassette.layer({ path, mode: "record", normalise }), text([ScriptedModel.text("yes")]))
      )
      yield* Effect.provide(arrays("Today is 2027-11-12"), Cassette.layer({ path, mode: "replay", normalise }))
      assert.notInclude(yield* read(path), "2026-01-02")
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("auto records what is missing, and nothing in CI", () =>
    Effect.gen(function*() {
      const path = yield* temporary
      const auto = (script: ReadonlyArray<ScriptedModel.Step>, CI: string) =>
        Cassette.layer({ path, mode: "auto" }).pipe(
          Layer.provide(text(script)),
          Layer.provide(ConfigProvider.layer(ConfigProvider.fromUnknown({ CI })))
        )
      const refused = yield* Effect.exit(Effect.provide(arrays("a"), auto([ScriptedModel.text("1")], "true")))
      assert.isTrue(Exit.isFailure(refused))
      const one = yield* Effect.provide(arrays("a"), auto([ScriptedModel.text("1")], "false"))
      const both = yield* Effect.provide(Effect.all([arrays("a"), arrays("b")]), auto([ScriptedModel.text("2")], ""))
      assert.deepStrictEqual(both[0], one)
      assert.deepStrictEqual(yield* Effect.provide(Effect.all([arrays("a"), arrays("b")]), auto([], "1")), both)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("auto takes what another layer has recorded meanwhile, and keeps what was changed by hand", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const path = yield* temporary
      const open = (script: ReadonlyArray<ScriptedModel.Step>) =>
        Effect.map(
          Layer.build(Layer.provide(Cassette.layer({ path, mode: "auto", isCI: false }), text(script))),
          (context) => (prompt: string) => Effect.provide(arrays(prompt), context)
        )
      const first = yield* open([ScriptedModel.text("1"), ScriptedModel.text("3"), ScriptedModel.text("4")])
      const second = yield* open([ScriptedModel.text("2")])
      const one = yield* first("a")
      assert.deepStrictEqual(yield* second("a"), one)
      yield* second("b")
      yield* first("c")
      // an answer that somebody mends is another text before the end of the file
      yield* files.writeFileString(path, (yield* read(path)).replace(`"delta":"1"`, `"delta":"mended"`))
      yield* first("d")
      const lines = (yield* read(path)).split("\n")
      assert.deepStrictEqual(
        lines.flatMap((line) => /"delta":"(\w+)"/.exec(line)?.[1] ?? []),
        ["mended", "2", "3", "4"]
      )
      yield* files.writeFileString(path, lines.with(1, "{").join("\n"))
      const failed = yield* Effect.exit(second("e"))
      assert.include(failureOf(failed), `\`${path}\`, line 2: The line is not a JSON object`)
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("refuses a file that is foreign, newer or damaged, and says in which line", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const { path } = yield* twice(arrays("a"), text([ScriptedModel.text("1")]))
      const good = (yield* read(path)).split("\n")
      const opened = (lines: ReadonlyArray<string>) =>
        Effect.gen(function*() {
          yield* files.writeFileString(path, lines.join("\n"))
          const { description, line } = yield* Effect.flip(
            Effect.provide(arrays("a"), replaying(path))
          ) as Effect.Effect<Cassette.InvalidCassette>
          return `${line}: ${description.split("\n")[0]}`
        })
      assert.strictEqual(yield* opened(["# a text"]), "1: This file is not a cassette")
      assert.strictEqual(yield* opened([`{"cassette":2}`]), "1: The cassette has version 2, and this package reads 1")
      assert.match(yield* opened(good.with(1, good[1].replace(`"a"`, `"b"`))), /^2: The request of call .* was changed/)
      assert.strictEqual(yield* opened(good.with(2, good[2].slice(0, 20))), "3: The line is not a JSON object")
      assert.match(yield* opened(good.with(2, `{"parts":[]}`)), /^3: /)
      assert.match(yield* opened(good.slice(0, 3)), /^3: The file ends within call/)
      assert.strictEqual(yield* opened(good.toSpliced(1, 1)), "2: Expected a call")
    }).pipe(Effect.provide(NodeFileSystem.layer)))

  it.effect("leaves only the file", () =>
    Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const { path } = yield* twice(
        Effect.andThen(arrays("a"), Effect.fail("the run failed")),
        text([ScriptedModel.text("1")])
      )
      assert.deepStrictEqual(yield* files.readDirectory(path.slice(0, path.lastIndexOf("/"))), ["cassette.jsonl"])
    }).pipe(Effect.provide(NodeFileSystem.layer)))
})

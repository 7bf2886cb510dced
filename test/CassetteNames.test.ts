import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer, Logger } from "effect"
import { LanguageModel } from "effect/ai"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"

const ask = (prompt: string) => Effect.map(LanguageModel.generateText({ prompt }), ({ text }) => text)

const nameOf = (context: Cassette.TestContext) => {
  const path = Cassette.testPath(context)
  const folder = `${import.meta.dirname}/__cassettes__/CassetteNames.test.ts/`
  assert.isTrue(path.startsWith(folder), path)
  return path.slice(folder.length)
}

describe("Cassette", () => {
  describe("testPath", () => {
    it("has a folder for each describe", (context) =>
      assert.strictEqual(nameOf(context), "Cassette/testPath/has a folder for each describe.jsonl"))

    describe.each(["a", "b"])("in %s", (name) => {
      it.for([1, 2])(
        "case %i",
        (number, context) => assert.strictEqual(nameOf(context), `Cassette/testPath/in ${name}/case ${number}.jsonl`)
      )

      it("has the name of its case", (context) =>
        assert.strictEqual(nameOf(context), `Cassette/testPath/in ${name}/has the name of its case.jsonl`))
    })

    const seen: Array<string> = []

    for (
      const name of ["same", "Same", "same?", "../../etc/passwd", "..", "", "日本 é?: \"x\"", "x".repeat(300), "\ud83d"]
    ) {
      it(name, (context) => {
        seen.push(nameOf(context))
      })
    }

    it("does not leave its folder, and no two tests have one file", () =>
      assert.deepStrictEqual(seen.map((path) => path.slice("Cassette/testPath/".length)), [
        "same.jsonl",
        "Same (2).jsonl",
        "same (3).jsonl",
        "- .. etc passwd.jsonl",
        "-.jsonl",
        "- (2).jsonl",
        "日本 é x.jsonl",
        `${"x".repeat(50)}.jsonl`,
        "- (3).jsonl"
      ]))

    describe.concurrent("parallel", () => {
      for (const prompt of ["one", "two", "three"]) {
        it.effect(`records and replays ${prompt}`, (context) =>
          Effect.gen(function*() {
            const files = yield* FileSystem.FileSystem
            const directory = yield* files.makeTempDirectoryScoped()
            const path = Cassette.testPath(context, { directory })
            assert.strictEqual(
              path,
              `${directory}/CassetteNames.test.ts/Cassette/testPath/parallel/records and replays ${prompt}.jsonl`
            )
            const live = ScriptedModel.layer([ScriptedModel.text(`answer ${prompt}`)])
            const auto = Layer.provide(Cassette.layer({ path, mode: "auto", isCI: false }), live)
            assert.strictEqual(yield* Effect.provide(ask(prompt), auto), `answer ${prompt}`)
            assert.strictEqual(
              yield* Effect.provide(
                ask(prompt),
                Cassette.layer({ path, mode: "auto", isCI: true }).pipe(Layer.provide(live))
              ),
              `answer ${prompt}`
            )
          }).pipe(Effect.provide(NodeFileSystem.layer)))
      }
    })
  })

  describe("onUnused", () => {
    const inFile = Effect.gen(function*() {
      const files = yield* FileSystem.FileSystem
      const path = `${yield* files.makeTempDirectoryScoped()}/unused.jsonl`
      const script = ["1", "2", "3"].map((text) => ScriptedModel.text(text))
      yield* Effect.provide(
        Effect.forEach(["a", "b", "a"], ask),
        Layer.provide(Cassette.layer({ path, mode: "record" }), ScriptedModel.layer(script))
      )
      return path
    })

    const callsIn = (path: string) =>
      Effect.map(
        Effect.flatMap(FileSystem.FileSystem, (files) => files.readFileString(path)),
        (text) => text.split("\n").filter((line) => line.startsWith("{\"call\"")).length
      )

    it.effect("tells the recorded calls that were not replayed, and removes them", () =>
      Effect.gen(function*() {
        const path = yield* inFile
        const told: Array<unknown> = []
        const replay = (remove: boolean) =>
          Cassette.layer({
            path,
            mode: "replay",
            onUnused: (unused) =>
              Effect.andThen(
                Effect.sync(() =>
                  told.push(unused.calls.map(({ nth, request }) => [nth, JSON.stringify(request).includes("\"b\"")]))
                ),
                remove ? Effect.orDie(unused.remove) : Effect.void
              )
          })
        yield* Effect.provide(ask("a"), replay(false))
        assert.strictEqual(yield* callsIn(path), 3)
        yield* Effect.provide(ask("a"), replay(true))
        assert.strictEqual(yield* callsIn(path), 1)
        yield* Effect.provide(ask("a"), replay(true))
        assert.deepStrictEqual(told, [[[1, true], [2, false]], [[1, true], [2, false]]])
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("makes a recording that has only what was recorded now", () =>
      Effect.gen(function*() {
        const path = yield* inFile
        const record = Cassette.layer({ path, mode: "record", onUnused: ({ remove }) => Effect.orDie(remove) })
        yield* Effect.provide(ask("b"), Layer.provide(record, ScriptedModel.layer([ScriptedModel.text("new")])))
        assert.strictEqual(yield* callsIn(path), 1)
        assert.strictEqual(yield* Effect.provide(ask("b"), Cassette.layer({ path, mode: "replay" })), "new")
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.effect("warns with the addresses", () =>
      Effect.gen(function*() {
        const path = yield* inFile
        const messages: Array<string> = []
        const logger = Logger.make(({ message }) => {
          messages.push(String(message))
        })
        const replay = Cassette.layer({ path, mode: "replay", onUnused: Cassette.warnUnused })
        yield* Effect.provide(ask("b"), Layer.provideMerge(replay, Logger.layer([logger])))
        assert.match(messages.join(), /were not used: [0-9a-f]{16}, [0-9a-f]{16} \(2\)$/)
      }).pipe(Effect.provide(NodeFileSystem.layer)))
  })
})

import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { LanguageModel } from "effect/ai"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"
import { killAtRandom, replayed, start } from "./fixtures/cassetteProcesses.ts"

const temporary = Effect.flatMap(FileSystem.FileSystem, (files) => files.makeTempDirectoryScoped())

describe("Cassette", () => {
  describe("in several processes", () => {
    it.live("keeps every call that has ended in a process that is killed", () =>
      Effect.gen(function*() {
        const directory = yield* temporary
        assert.isAtLeast(yield* killAtRandom(`${directory}/killed.jsonl`, 2), 2)
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    it.live("keeps the calls of two that record at the same time, and one answer to a request of both", () =>
      Effect.gen(function*() {
        const files = yield* FileSystem.FileSystem
        const directory = yield* temporary
        const path = `${directory}/cassettes/deep/shared.jsonl`
        const processes = yield* Effect.all([
          start(path, "auto", "both", 15),
          start(path, "auto", "both", 15),
          start(path, "record", "own", 15)
        ])
        for (const { rest } of processes) assert.strictEqual((yield* rest).at(-1), "ends")
        assert.lengthOf(yield* replayed(path, "both", 15), 15)
        assert.lengthOf(yield* replayed(path, "own", 15), 15)
        const text = yield* files.readFileString(path)
        assert.lengthOf(text.split("\n").filter((line) => line.startsWith(`{"call"`)), 30)
        assert.deepStrictEqual(yield* files.readDirectory(`${directory}/cassettes/deep`), ["shared.jsonl"])
      }).pipe(Effect.provide(NodeFileSystem.layer)))

    // the clock of a test stands still; a lock is waited for in real time
    it.effect("takes away the lock that a dead process has left, with what it had begun to write", () =>
      Effect.gen(function*() {
        const files = yield* FileSystem.FileSystem
        const directory = yield* temporary
        const path = `${directory}/left.jsonl`
        yield* files.writeFileString(`${path}.lock`, "the token of a dead process")
        yield* files.writeFileString(`${path}.1234.tmp`, "{\"cassette\":1}\n{\"call")
        yield* files.writeFileString(`${directory}/other.jsonl.1234.tmp`, "of another cassette")
        const ask = Effect.forEach(["a", "b"], (prompt) => LanguageModel.generateText({ prompt }), { concurrency: 2 })
        yield* ask.pipe(
          Effect.provide(Layer.provide(
            Cassette.layer({ path, mode: "record" }),
            ScriptedModel.layer([ScriptedModel.text("1"), ScriptedModel.text("2")])
          ))
        )
        assert.lengthOf(yield* Effect.provide(ask, Cassette.layer({ path, mode: "replay" })), 2)
        assert.deepStrictEqual(
          (yield* files.readDirectory(directory)).sort(),
          ["left.jsonl", "other.jsonl.1234.tmp"]
        )
      }).pipe(Effect.provide(NodeFileSystem.layer)))
  })
})

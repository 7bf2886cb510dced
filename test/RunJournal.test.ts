import { NodeFileSystem } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, FileSystem, Layer } from "effect"
import { AgentRun } from "../src/index.ts"
import { RunJournal } from "../src/playground/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"

const run = (index: number, session = "ann/chat") =>
  RunJournal.begun({ runId: `${session}-${index}`, agent: "assistant", session, startedAt: 1000 + index, prompt: "Hi" })

const told = (...deltas: ReadonlyArray<string>) =>
  deltas.map((delta, at) => ({ at, part: { type: "text-delta", id: "0", delta } }))

const layers = {
  layerMemory: RunJournal.layerMemory({ maximumRuns: 3 }),
  layer: Layer.provide(RunJournal.layer({ maximumRuns: 3 }), SqliteClient.layer({ filename: ":memory:" }))
}

describe("RunJournal", () => {
  for (const [name, layer] of Object.entries(layers)) {
    describe(name, () => {
      it.effect("has what was written last, and all parts in their order", () =>
        Effect.gen(function*() {
          const journal = yield* RunJournal.RunJournal
          const begun = run(1)
          const ended: RunJournal.Run = {
            ...begun,
            outcome: "failed",
            endedAt: 2000.5,
            failure: {
              code: "rate-limit",
              message: "\0 \ud83d\ude00 '",
              retryable: true,
              details: [{ tags: ["A", "B"], message: "\0", isDefect: false, data: { a: ["\0"] } }]
            },
            usage: AgentRun.emptyUsage,
            cost: 0.25,
            traceId: "abc",
            isCut: true
          }
          yield* journal.write(begun)
          yield* journal.append(begun.runId, told("a", "b"))
          yield* journal.append(begun.runId, [])
          yield* journal.append(begun.runId, told("c"))
          assert.deepStrictEqual(yield* journal.get(begun.runId), begun)
          yield* journal.write(ended)
          assert.deepStrictEqual(yield* journal.get(begun.runId), ended)
          assert.deepStrictEqual(yield* journal.parts(begun.runId), [...told("a", "b"), ...told("c")])
          assert.isUndefined(yield* journal.get("unknown"))
          assert.deepStrictEqual([yield* journal.parts("unknown"), yield* journal.list("unknown")], [[], []])
        }).pipe(Effect.provide(layer)))

      it.effect("has no parts of a run that begins again, as one that a durable execution goes on with", () =>
        Effect.gen(function*() {
          const journal = yield* RunJournal.RunJournal
          yield* journal.write(run(1))
          yield* journal.append(run(1).runId, told("a", "b"))
          yield* journal.write({ ...run(1), before: 2 })
          assert.deepStrictEqual(yield* journal.parts(run(1).runId), [])
          yield* journal.append(run(1).runId, told("a"))
          assert.deepStrictEqual(yield* journal.get(run(1).runId), { ...run(1), before: 2 })
          assert.deepStrictEqual(yield* journal.parts(run(1).runId), told("a"))
        }).pipe(Effect.provide(layer)))

      it.effect("lists for a fork the runs that its messages are of, as long as their session is there", () =>
        Effect.gen(function*() {
          const journal = yield* RunJournal.RunJournal
          const idsOf = (session: string) => Effect.map(journal.list(session), (runs) => runs.map(({ runId }) => runId))
          for (const [index, before] of [0, 2, 4].entries()) {
            yield* journal.write({ ...run(index), before })
            yield* journal.append(run(index).runId, told(`${index}`))
          }
          yield* journal.fork("ann/chat", { to: "ann/fork", length: 4 })
          yield* journal.write({ ...run(3, "ann/fork"), before: 4 })
          yield* journal.fork("ann/fork", { to: "ann/again", length: 2 })
          yield* journal.fork("ann/chat", { to: "ann/empty", length: 0 })
          yield* journal.fork("unknown", { to: "ann/none", length: 9 })
          assert.deepStrictEqual(yield* idsOf("ann/fork"), ["ann/fork-3", "ann/chat-1", "ann/chat-0"])
          assert.deepStrictEqual(yield* idsOf("ann/again"), ["ann/chat-0"])
          assert.deepStrictEqual([yield* idsOf("ann/empty"), yield* idsOf("ann/none")], [[], []])
          // a session that is gone takes its own runs along, and no others
          yield* journal.remove("ann/again")
          yield* journal.remove("ann/fork")
          assert.deepStrictEqual([yield* idsOf("ann/again"), yield* idsOf("ann/fork")], [[], []])
          assert.deepStrictEqual(yield* idsOf("ann/chat"), ["ann/chat-2", "ann/chat-1", "ann/chat-0"])
          assert.deepStrictEqual(yield* journal.parts("ann/chat-0"), told("0"))
          yield* journal.fork("ann/chat", { to: "ann/fork", length: 9 })
          yield* journal.remove("ann/chat")
          assert.deepStrictEqual(yield* idsOf("ann/fork"), [])
        }).pipe(Effect.provide(layer)))

      it.effect("keeps the last runs of each session, and forgets a session whole", () =>
        Effect.gen(function*() {
          const journal = yield* RunJournal.RunJournal
          const idsOf = (session: string) => Effect.map(journal.list(session), (runs) => runs.map(({ runId }) => runId))
          yield* journal.write(run(0, "bob/chat"))
          yield* journal.append("bob/chat-0", told("other"))
          for (const index of [1, 2, 3, 4, 5]) {
            yield* journal.write(run(index))
            yield* journal.append(`ann/chat-${index}`, told(`${index}`))
            yield* journal.write({ ...run(index), outcome: "completed", endedAt: 3000 })
          }
          assert.deepStrictEqual(yield* idsOf("ann/chat"), ["ann/chat-5", "ann/chat-4", "ann/chat-3"])
          assert.isUndefined(yield* journal.get("ann/chat-2"))
          assert.deepStrictEqual(yield* journal.parts("ann/chat-2"), [])
          yield* journal.remove("ann/chat")
          assert.deepStrictEqual([yield* idsOf("ann/chat"), yield* journal.parts("ann/chat-5")], [[], []])
          assert.deepStrictEqual(yield* journal.parts("bob/chat-0"), told("other"))
        }).pipe(Effect.provide(layer)))
    })
  }

  it.effect("is there after a restart, and a journal that cannot be read says so", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const filename = `${yield* fs.makeTempDirectoryScoped()}/runs.db`
      const database = SqliteClient.layer({ filename })
      const journal = Layer.provide(RunJournal.layer(), database)
      yield* Effect.provide(
        Effect.flatMap(RunJournal.RunJournal, ({ write }) => write(run(1))),
        journal,
        { local: true }
      )
      const found = yield* Effect.provide(
        Effect.flatMap(RunJournal.RunJournal, ({ list }) => list("ann/chat")),
        journal,
        { local: true }
      )
      assert.deepStrictEqual(found, [run(1)])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))
})

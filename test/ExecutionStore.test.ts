/** The stores of durable executions: in memory, in SQLite and in PostgreSQL they do the same. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { Durable, ExecutionStore, SqlRunner } from "../src/durable/index.ts"
import { Agent } from "../src/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import * as Postgres from "./fixtures/postgres.ts"
import { client } from "./fixtures/postgresClient.ts"

const created = (id: string, payload = "{}", session?: string) =>
  Effect.flatMap(
    ExecutionStore.ExecutionStore,
    (store) =>
      Effect.flatMap(ExecutionStore.created({ id, agent: "cashier", version: 1, payload, session }), store.create)
  )

const rows = (seq: number, ...parts: ReadonlyArray<string>) =>
  [{
    seq,
    count: parts.length,
    isEnd: parts.at(-1) === "run-end",
    parts: JSON.stringify(parts.map((type) => ({ type })))
  }] as const

/** What the rest of the subpath relies on. */
const works = Effect.gen(function*() {
  const store = yield* ExecutionStore.ExecutionStore
  const first = yield* created("b")
  assert.deepStrictEqual(yield* created("b", "another"), first, "the first one stays")
  const { payload: _, ...rest } = first
  assert.deepStrictEqual(yield* store.get("b"), rest)
  assert.isUndefined(yield* store.get("nobody"))
  const ofSession = Effect.map(store.ofSession("cashier", "ann/s"), (found) => found.map(({ id }) => id))
  const inSession = yield* created("s", "{}", "ann/s")
  yield* created("t", "{}", "ann/t")
  assert.deepStrictEqual(yield* ofSession, ["s"])
  yield* store.change("s", inSession.instance, { status: "completed", endedAt: 1 })
  assert.deepStrictEqual(yield* ofSession, [])
  yield* Effect.forEach(["s", "t"], store.remove)

  const begun = yield* store.begin("b")
  const epoch = first.instance + 1
  assert.deepStrictEqual(begun, { ...first, epoch, attempts: 1 })
  assert.isTrue(yield* store.append("b", epoch, rows(0, "x", "y")))
  const newer = yield* store.begin("b")
  assert.strictEqual(newer?.epoch, epoch + 1)
  // an older attempt writes nothing more
  assert.isFalse(yield* store.append("b", epoch, rows(2, "stale")))
  assert.isFalse(yield* store.change("b", epoch, { status: "failed" }))
  assert.isFalse(yield* store.ask("b", epoch, ["stale"]))
  assert.isTrue(yield* store.append("b", epoch + 1, rows(2, "lost")))
  // nothing was heard of it
  assert.isTrue(yield* store.append("b", epoch + 1, rows(2, "z")))
  assert.deepStrictEqual(yield* store.rows("b", -1, 10), [...rows(0, "x", "y"), ...rows(2, "z")])
  assert.deepStrictEqual(yield* store.rows("b", 0, 10), [...rows(0, "x", "y"), ...rows(2, "z")])
  assert.deepStrictEqual(yield* store.rows("b", 1, 10), [...rows(2, "z")])
  assert.deepStrictEqual(yield* store.rows("b", -1, 1), [...rows(0, "x", "y")])
  assert.deepStrictEqual(yield* store.ends("b"), [])
  for (const row of [rows(3, "w", "run-end"), rows(5, "v"), rows(6, "run-end")]) {
    yield* store.append("b", epoch + 1, row)
  }
  assert.deepStrictEqual(yield* store.ends("b"), [...rows(3, "w", "run-end"), ...rows(6, "run-end")])
  assert.deepStrictEqual(yield* store.ends("nobody"), [])

  assert.isTrue(yield* store.ask("b", epoch + 1, ["p", "q"]))
  assert.isTrue(yield* store.ask("b", epoch + 1, ["q", "r"]))
  assert.strictEqual((yield* store.get("b"))?.status, "waiting")
  assert.strictEqual(yield* store.answer("b", "q", "yes"), "yes")
  assert.strictEqual(yield* store.answer("b", "q", "no"), "yes", "the first answer stays")
  assert.isUndefined(yield* store.answer("b", "nobody", "yes"))
  assert.deepStrictEqual(yield* store.asked("b"), [
    { approvalId: "p", answer: undefined },
    { approvalId: "q", answer: "yes" },
    { approvalId: "r", answer: undefined }
  ])
  yield* store.reopen("b", ["q"])
  assert.strictEqual(yield* store.answer("b", "q", "no"), "no")
  assert.strictEqual(yield* store.ofApproval("cashier", "r"), "b")
  assert.isUndefined(yield* store.ofApproval("another", "r"))

  yield* store.interrupt("b")
  assert.strictEqual((yield* store.get("b"))?.isInterrupted, true)
  assert.isTrue(yield* store.change("b", epoch + 1, { status: "parked", cause: "fire", attempts: 0 }))
  assert.strictEqual((yield* store.get("b"))?.cause, "fire")
  const endedAt = first.createdAt + 1
  assert.isTrue(yield* store.change("b", epoch + 1, { status: "failed", failure: "{}", endedAt }))
  // what has ended stays so
  const ended = yield* store.get("b")
  assert.deepStrictEqual([ended?.status, ended?.failure, ended?.endedAt], ["failed", "{}", endedAt])
  assert.deepStrictEqual(yield* store.begin("b"), { ...ended, payload: "{}" })
  const third = yield* created("c")
  yield* store.change("c", third.epoch, { status: "completed", endedAt })
  yield* store.interrupt("c")
  assert.strictEqual((yield* store.get("c"))?.isInterrupted, false)

  yield* created("a")
  const ids = (after: string, limit: number) =>
    Effect.map(store.list("cashier", after, limit), (all) => all.map(({ id }) => id))
  assert.deepStrictEqual(yield* ids("", 10), ["a", "b", "c"])
  assert.deepStrictEqual(yield* ids("a", 1), ["b"])
  // `b` and `c` have ended
  assert.deepStrictEqual((yield* store.unended("cashier", "", 10)).map(({ id }) => id), ["a"])
  assert.deepStrictEqual(yield* store.unended("cashier", "a", 10), [])
  yield* store.remove("b")
  assert.deepStrictEqual(yield* ids("", 10), ["a", "c"])
  assert.deepStrictEqual([yield* store.rows("b", -1, 10), yield* store.asked("b")], [[], []])
})

describe("ExecutionStore", () => {
  it.effect("in memory", () => Effect.provide(works, ExecutionStore.layerMemory))

  it.effect("in SQLite", () =>
    Effect.provide(works, Layer.provide(ExecutionStore.layer, SqliteClient.layer({ filename: ":memory:" }))))

  layer(Postgres.Server.layer, { timeout: "2 minutes", excludeTestServices: true })("in PostgreSQL", (it) => {
    it.effect("as in the others, also when its tables are there", () =>
      Effect.gen(function*() {
        const port = yield* Postgres.Server
        const database = yield* Postgres.createDatabase(port)
        const stored = Layer.provide(ExecutionStore.layer, client(port, database))
        yield* Effect.provide(works, stored)
        yield* Effect.provide(created("d"), stored)
      }))

    it.effect("an input that the client cannot read back is refused at the start, and disturbs nothing else", () =>
      Effect.gen(function*() {
        const port = yield* Postgres.Server
        const database = client(port, yield* Postgres.createDatabase(port), { maxMessageSize: 100_000 })
        const agent = Durable.make(Agent.make("cashier"), { version: 1 })
        const ids = Effect.map(Durable.list(agent), (all) => all.map(({ id, status }) => [id, status]))
        yield* Effect.gen(function*() {
          yield* Durable.start(agent, { id: "small", prompt: "x" })
          const refused = yield* Effect.flip(Durable.start(agent, { id: "large", prompt: "x".repeat(200_000) }))
          assert.strictEqual(refused._tag, "ExecutionStoreError")
          assert.deepStrictEqual(yield* ids, [["small", "queued"]])
          // one that another client has stored
          yield* Effect.provide(created("7:cashier:large", "x".repeat(200_000)), Layer.fresh(ExecutionStore.layer))
            .pipe(
              Effect.ignore
            )
          assert.strictEqual((yield* Durable.status(agent, "large")).status, "queued")
          assert.deepStrictEqual(yield* ids, [["large", "queued"], ["small", "queued"]])
        }).pipe(Effect.provide(Layer.provideMerge(SqlRunner.layerClient(), database)))
      }))
  })
})

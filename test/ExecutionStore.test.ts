/** The stores of durable executions: in memory, in SQLite and in PostgreSQL they do the same. */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { SqlClient } from "effect/sql"
import { Durable, ExecutionStore, SqlRunner } from "../src/durable/index.ts"
import { Agent } from "../src/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
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

const rest = `status TEXT NOT NULL, instance INTEGER NOT NULL, epoch INTEGER NOT NULL, attempts INTEGER NOT NULL,
  interrupted INTEGER NOT NULL, trace TEXT, cause TEXT, failure TEXT, created_at BIGINT NOT NULL, ended_at BIGINT`

const table = (columns: string) =>
  Effect.flatMap(SqlClient.SqlClient, (sql) =>
    sql.unsafe(
      `CREATE TABLE effect_agents_executions (id TEXT PRIMARY KEY, agent TEXT NOT NULL, payload TEXT NOT NULL, ${columns})`
    ))

const opened = Effect.scoped(Layer.build(Layer.fresh(ExecutionStore.layer)))

/** The session was in the input only, and had an index there. */
const ofEarlierBuild = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* table(`version INTEGER NOT NULL, ${rest}`)
  yield* sql`CREATE INDEX effect_agents_executions_session ON effect_agents_executions (agent, payload)`
  for (const [id, payload] of [["a", `{"prompt":{},"session":"ann/chat"}`], ["b", `{"prompt":{}}`]] as const) {
    yield* sql`INSERT INTO effect_agents_executions ${
      sql.insert({
        id,
        agent: "cashier",
        payload,
        version: 1,
        status: "running",
        instance: 1,
        epoch: 1,
        attempts: 0,
        interrupted: 0,
        created_at: 1
      })
    }`
  }
  // twice: the second time there is nothing to do
  yield* opened
  yield* Effect.gen(function*() {
    const store = yield* ExecutionStore.ExecutionStore
    const found = yield* store.ofSession("cashier", "ann/chat")
    assert.deepStrictEqual(found.map(({ id, session }) => [id, session]), [["a", "ann/chat"]])
    assert.isUndefined((yield* store.get("b"))!.session)
  }).pipe(Effect.provide(Layer.fresh(ExecutionStore.layer)))
})

/** What it was before cannot be known. */
const ofFirstBuild = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* sql`DROP TABLE effect_agents_executions`
  yield* table(rest)
  const refused = yield* Effect.flip(opened)
  assert.strictEqual(refused._tag, "SqlError")
  assert.include(refused.message, "was made by an earlier build of effect-agents, and has no `session`, `version`")
})

describe("ExecutionStore", () => {
  const earlier = Effect.andThen(ofEarlierBuild, ofFirstBuild)

  it.effect("on the tables of an earlier build adds the sessions, or says what is missing", () =>
    Effect.provide(earlier, SqliteClient.layer({ filename: ":memory:" })))

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

    it.effect("on the tables of an earlier build adds the sessions, or says what is missing", () =>
      Effect.gen(function*() {
        const port = yield* Postgres.Server
        yield* Effect.provide(earlier, client(port, yield* Postgres.createDatabase(port)))
      }))

    it.effect("agents with the longest and the strangest names work", () =>
      Effect.gen(function*() {
        const port = yield* Postgres.Server
        const names = [
          "x".repeat(300),
          `${"x".repeat(299)}y`,
          `${"x".repeat(120)}${"\u{1F600}".repeat(30)}`,
          "a\0b",
          "a\ud800b"
        ]
        const agents = names.map((name) => Durable.make(Agent.make(name), { version: 1 }))
        const workers = agents.map((agent) =>
          Durable.layer(agent).pipe(Layer.provide(ScriptedModel.layer([ScriptedModel.text(agent.agent.name)])))
        )
        const runner = Layer.mergeAll(workers[0]!, ...workers.slice(1)).pipe(
          Layer.provideMerge(SqlRunner.layer({ poll: "50 millis" })),
          Layer.provide(client(port, yield* Postgres.createDatabase(port)))
        )
        const texts = yield* Effect.forEach(agents, (agent) =>
          Effect.andThen(
            Durable.start(agent, { id: "hello", prompt: "Hi" }),
            Effect.map(Durable.result(agent, "hello"), ({ text }) => text)
          )).pipe(Effect.provide(runner))
        assert.deepStrictEqual(texts, names)
      }), 30_000)

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

import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Context, DateTime, Effect, FileSystem, Layer } from "effect"
import { Prompt } from "effect/ai"
import { SqlClient, SqlError } from "effect/sql"
import * as Session from "../src/Session.ts"
import * as SessionStore from "../src/SessionStore.ts"
import { SqliteClient, SqliteSessionStore } from "../src/sqlite/index.ts"
import * as SessionStoreSuite from "../src/testing/SessionStoreSuite.ts"

const user = (text: string) => Prompt.userMessage({ content: [Prompt.textPart({ text })] })

const texts = (session: Session.Session) =>
  session.history.content.flatMap((message) =>
    message.role === "user" ? message.content.map((part) => part.type === "text" ? part.text : part.type) : []
  )

const inFolder = <A, E, R>(f: (folder: string) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), f))).pipe(
    Effect.provide(NodeFileSystem.layer)
  )

const memory = Layer.provideMerge(SqliteSessionStore.layer, SqliteClient.layer({ filename: ":memory:" }))

const file = (filename: string) => SqliteSessionStore.layerFile({ filename, synchronous: "NORMAL" })

describe("SqliteSessionStore", () => {
  describe("layer", () => {
    for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
      it.effect(name, () => Effect.provide(effect, memory))
    }
  })

  describe("layerFile", () => {
    for (
      const cases of [SessionStoreSuite.casesDurable, SessionStoreSuite.casesShared, SessionStoreSuite.casesExpiring]
    ) {
      cases(file("")).forEach(({ name }, index) => {
        it.effect(name, () => inFolder((folder) => cases(file(`${folder}/s.db`))[index]!.effect))
      })
    }
  })

  describe("save", () => {
    it.effect("writes what it appends, however long the history is", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const sql = yield* SqlClient.SqlClient
        const changes = Effect.map(sql<{ n: number }>`SELECT total_changes() AS n`, (rows) => rows[0]!.n)
        const append = Array.from({ length: 200 }, (_, index) => user(`${index}`))
        const long = yield* store.save(Session.empty("x"), { append })
        const before = yield* changes
        yield* store.save(long, { append: [user("a"), user("b")] })
        // The two messages and the session itself
        assert.strictEqual((yield* changes) - before, 3)
      }).pipe(Effect.provide(memory)))

    it.effect("is all or nothing when it fails in the middle", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const sql = yield* SqlClient.SqlClient
        const first = yield* store.save(Session.empty("x"), { append: [user("first")], state: { n: 1 } })
        yield* sql`
          CREATE TRIGGER full BEFORE INSERT ON effect_agents_session_messages WHEN NEW.seq = 2
          BEGIN SELECT RAISE(ABORT, 'disk is full'); END
        `
        const error = yield* Effect.flip(store.save(first, { append: [user("a"), user("b")], state: { n: 2 } }))
        assert.strictEqual(error.reason._tag, "SessionStoreUnavailable")
        assert.strictEqual(
          error.message,
          "Session `x`: the session store is not available for `save`: disk is full"
        )
        assert.deepStrictEqual(yield* store.load("x"), first)
        yield* sql`DROP TRIGGER full`
        yield* store.save(first, { append: [user("a"), user("b")], state: { n: 2 } })
        assert.deepStrictEqual(texts(yield* store.load("x")), ["first", "a", "b"])
      }).pipe(Effect.provide(memory)))

    it.effect("belongs to the transaction of its caller", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const sql = yield* SqlClient.SqlClient
        yield* Effect.exit(sql.withTransaction(Effect.gen(function*() {
          yield* store.save(Session.empty("x"), { append: [user("undone")] })
          return yield* Effect.fail("roll back")
        })))
        assert.deepStrictEqual(yield* store.load("x"), Session.empty("x"))
      }).pipe(Effect.provide(memory)))

    it.effect("of a message that JSON cannot hold is a typed error, and nothing is written", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const part = Prompt.toolResultPart({
          id: "c",
          name: "t",
          isFailure: false,
          result: { big: 1n },
          providerExecuted: false
        })
        const append = [user("lost"), Prompt.toolMessage({ content: [part] })]
        const error = yield* Effect.flip(store.save(Session.empty("x"), { append }))
        assert.strictEqual(error.reason._tag, "SessionRecordInvalid")
        assert.deepStrictEqual(yield* store.load("x"), Session.empty("x"))
      }).pipe(Effect.provide(memory)))
  })

  describe("load", () => {
    const damaged: ReadonlyArray<readonly [name: string, record: string, damage: string]> = [
      [
        "a message with edited bytes",
        "effect_agents_session_messages/x/1",
        "UPDATE effect_agents_session_messages SET message = substr(message, 1, 20) WHERE session_id = 'x' AND seq = 1"
      ],
      [
        "a message of another program",
        "effect_agents_session_messages/x/0",
        "UPDATE effect_agents_session_messages SET message = '{\"from\":\"elsewhere\"}' WHERE session_id = 'x' AND seq = 0"
      ],
      [
        "a message under another number",
        "effect_agents_session_messages/x/1",
        "UPDATE effect_agents_session_messages SET seq = 7 WHERE session_id = 'x' AND seq = 1"
      ],
      [
        "a message that is missing",
        "effect_agents_sessions/x",
        "DELETE FROM effect_agents_session_messages WHERE session_id = 'x' AND seq = 1"
      ],
      [
        "a message too many",
        "effect_agents_sessions/x",
        "INSERT INTO effect_agents_session_messages (session_id, seq, message) VALUES ('x', 3, '{\"role\":\"user\",\"content\":\"extra\"}')"
      ],
      [
        "state that is not JSON",
        "effect_agents_sessions/x",
        "UPDATE effect_agents_sessions SET state = '{\"notes\":' WHERE id = 'x'"
      ],
      [
        "state that is not a record",
        "effect_agents_sessions/x",
        "UPDATE effect_agents_sessions SET state = '[1]' WHERE id = 'x'"
      ],
      [
        "messages without their session",
        "effect_agents_sessions/x",
        "DELETE FROM effect_agents_sessions WHERE id = 'x'"
      ]
    ]
    for (const [name, record, damage] of damaged) {
      it.effect(`${name}: a typed error that names the record, until it is removed`, () =>
        Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const sql = yield* SqlClient.SqlClient
          yield* store.save(Session.empty("x"), { append: [user("a"), user("b"), user("c")], state: { notes: 1 } })
          const other = yield* store.save(Session.empty("y"), { append: [user("other")] })
          yield* sql`PRAGMA foreign_keys = OFF`
          yield* sql.unsafe(damage)
          yield* sql`PRAGMA foreign_keys = ON`

          const error = yield* Effect.flip(store.load("x"))
          assert.strictEqual(error.sessionId, "x")
          assert.strictEqual(error.reason._tag, "SessionRecordInvalid")
          assert.include(error.reason, { record })
          assert.deepStrictEqual(yield* store.load("y"), other)

          yield* store.remove("x")
          assert.deepStrictEqual(yield* store.load("x"), Session.empty("x"))
          yield* store.save(Session.empty("x"), { append: [user("again")] })
          assert.deepStrictEqual(texts(yield* store.load("x")), ["again"])
        }).pipe(Effect.provide(memory)))
    }

    const times = ["9000000000000000000", "-9000000000000000000"]
    for (const time of times) {
      const cases = SessionStoreSuite.casesDamaged(memory, (id) =>
        Effect.flatMap(
          SqlClient.SqlClient,
          (sql) => sql`UPDATE effect_agents_sessions SET updated = ${sql.literal(time)} WHERE id = ${id}`
        ))
      for (const { effect, name } of cases) it.effect(`${name}: a time of ${time}`, () => effect)
    }

    it.effect("of a damaged file is a typed error that keeps its cause", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const filename = `${folder}/s.db`
          const withStore = <A>(
            f: (store: SessionStore.SessionStore["Service"]) => Effect.Effect<A, Session.SessionError>
          ) => Effect.provide(Effect.flatMap(SessionStore.SessionStore, f), Layer.fresh(Layer.orDie(file(filename))))
          const append = Array.from({ length: 300 }, (_, index) => user(`${index} ${"long ".repeat(20)}`))
          yield* withStore((store) => store.save(Session.empty("x"), { append }))
          const bytes = yield* fs.readFile(filename)
          // All but the first pages, which hold the schema
          yield* fs.writeFile(filename, bytes.fill(0xab, 4096 * 8))
          const error = yield* Effect.flip(withStore((store) => store.load("x")))
          assert.strictEqual(error.reason._tag, "SessionStoreUnavailable")
          if (error.reason._tag !== "SessionStoreUnavailable") return
          assert.strictEqual(error.reason.operation, "load")
          assert.isTrue(SqlError.isSqlError(error.reason.cause) && SqliteClient.isCorrupt(error.reason.cause))
        })
      ))
  })

  describe("tables", () => {
    const client = Effect.map(
      Layer.build(SqliteClient.layer({ filename: ":memory:" })),
      Context.get(SqlClient.SqlClient)
    )

    const build = (sql: SqlClient.SqlClient) =>
      Effect.scoped(Layer.build(Layer.fresh(SqliteSessionStore.layer))).pipe(
        Effect.provideService(SqlClient.SqlClient, sql)
      )

    it.effect("are made once, beside those of others, and opening again writes nothing", () =>
      Effect.gen(function*() {
        const sql = yield* client
        yield* sql`CREATE TABLE theirs (n)`
        yield* sql`PRAGMA user_version = 7`
        yield* build(sql)
        const tables = yield* sql`SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name`.values
        assert.deepStrictEqual(tables.flat(), [
          "effect_agents_schema",
          "effect_agents_session_changes",
          "effect_agents_session_messages",
          "effect_agents_sessions",
          "theirs"
        ])
        const before = yield* sql`SELECT total_changes()`.values
        yield* build(sql)
        assert.deepStrictEqual(yield* sql`SELECT total_changes()`.values, before)
        assert.deepStrictEqual(yield* sql`SELECT * FROM effect_agents_schema`, [{ name: "sessions", version: 2 }])
        assert.deepStrictEqual(yield* sql`PRAGMA user_version`, [{ user_version: 7 }])
      }))

    it.effect("of a newer version are a typed error, and stay as they are", () =>
      Effect.gen(function*() {
        const sql = yield* client
        yield* build(sql)
        yield* sql`UPDATE effect_agents_schema SET version = 3`
        const error = yield* Effect.flip(build(sql))
        assert.strictEqual(error._tag, "SchemaTooNew")
        assert.strictEqual(
          error.message,
          "The sessions in this database have schema version 3, and this version of effect-agents knows versions up to 2"
        )
        assert.deepStrictEqual(yield* sql`SELECT version FROM effect_agents_schema`, [{ version: 3 }])
      }))

    it.effect("of the first version get what they lack, and their sessions go on", () =>
      Effect.gen(function*() {
        const sql = yield* client
        yield* sql`CREATE TABLE effect_agents_schema (name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL) STRICT`
        yield* sql`INSERT INTO effect_agents_schema VALUES ('sessions', 1)`
        yield* sql`
          CREATE TABLE effect_agents_sessions (
            id TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL, length INTEGER NOT NULL, state TEXT NOT NULL
          ) STRICT
        `
        yield* sql`
          CREATE TABLE effect_agents_session_messages (
            session_id TEXT NOT NULL REFERENCES effect_agents_sessions (id) ON DELETE CASCADE,
            seq INTEGER NOT NULL, message TEXT NOT NULL, PRIMARY KEY (session_id, seq)
          ) STRICT
        `
        yield* sql`INSERT INTO effect_agents_sessions VALUES ('x', 4, 1, '{"notes":1}')`
        yield* sql`INSERT INTO effect_agents_sessions VALUES ('~utf16:d800', 1, 0, '{}')`
        yield* sql`INSERT INTO effect_agents_session_messages VALUES ('x', 0, '{"role":"user","content":"m1"}')`
        yield* Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const old = yield* store.load("x")
          assert.deepStrictEqual(old, {
            id: "x",
            history: Prompt.fromMessages([user("m1")]),
            state: { notes: 1 },
            version: 4
          })
          assert.deepStrictEqual((yield* store.list()).sessions, [
            { id: "\ud800", updated: DateTime.makeUnsafe(0), version: 1, size: 0 },
            { id: "x", title: "m1", updated: DateTime.makeUnsafe(0), version: 4, size: 1 }
          ])
          const next = yield* store.save(old, { append: [user("m2")], state: { more: 2 } })
          assert.deepStrictEqual(yield* store.load("x"), next)
          const fork = yield* store.fork("x", { to: "y", version: 4 })
          assert.deepStrictEqual([texts(fork), fork.state], [["m1"], { notes: 1 }])
          for (const version of [1, 3]) {
            const { reason } = yield* Effect.flip(store.fork("x", { to: "z", version }))
            assert.strictEqual(reason._tag, "SessionVersionUnknown")
          }
          yield* store.remove("x")
          let again = yield* store.load("x")
          while (again.version < 4) again = yield* store.save(again, { append: [user("again")] })
          const late = yield* Effect.flip(store.save(old, { append: [user("late")] }))
          assert.deepStrictEqual(late, SessionStore.conflict(old, 4))
          assert.deepStrictEqual(yield* store.load("x"), again)
        }).pipe(
          Effect.provide(Layer.fresh(SqliteSessionStore.layer)),
          Effect.provideService(SqlClient.SqlClient, sql)
        )
        yield* build(sql)
      }))

    it.effect("of somebody else with our names are an error when the layer is built", () =>
      Effect.gen(function*() {
        const sql = yield* client
        yield* sql`CREATE TABLE effect_agents_sessions (something TEXT)`
        const error = yield* Effect.flip(build(sql))
        assert.strictEqual(error._tag, "SqlError")
        assert.strictEqual(error.message, "no such column: id")
        assert.deepStrictEqual(yield* sql`SELECT name FROM sqlite_master WHERE type = 'table'`.values, [
          ["effect_agents_sessions"]
        ])
      }))
  })
})

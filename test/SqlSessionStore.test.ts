import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Arbitrary, Context, Effect, Layer, Logger, Redacted, Result, Schema } from "effect"
import { Prompt } from "effect/ai"
import { Base64Url } from "effect/encoding"
import { Reactivity } from "effect/reactivity"
import { SqlClient, Statement } from "effect/sql"
import * as Session from "../src/Session.ts"
import * as SessionStore from "../src/SessionStore.ts"
import { SqlSessionStore } from "../src/sql/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import * as SessionStoreSuite from "../src/testing/SessionStoreSuite.ts"
import { racing, start } from "./fixtures/approvalProcesses.ts"
import * as Postgres from "./fixtures/postgres.ts"
import { client, password, sessions } from "./fixtures/postgresClient.ts"
import { texts } from "./fixtures/sessions.ts"

const user = (text: string) => Prompt.userMessage({ content: [Prompt.textPart({ text })] })

/** Runs with a database of its own. */
const inDatabase = <A, E, R>(f: (port: number, database: string) => Effect.Effect<A, E, R>) =>
  Effect.flatMap(
    Postgres.Server,
    (port) => Effect.flatMap(Postgres.createDatabase(port), (database) => f(port, database))
  )

/** A store and its client in a database of their own. */
const withStore = <A, E>(
  f: (
    store: SessionStore.SessionStore["Service"],
    sql: SqlClient.SqlClient
  ) => Effect.Effect<A, E>
) =>
  inDatabase((port, database) =>
    Effect.provide(
      Effect.flatMap(
        Effect.all([SessionStore.SessionStore, SqlClient.SqlClient]),
        ([store, sql]) => f(store, sql)
      ),
      Layer.provideMerge(SqlSessionStore.layer, client(port, database))
    )
  )

layer(Postgres.Server.layer, { timeout: "2 minutes", excludeTestServices: true })(
  "SqlSessionStore on PostgreSQL",
  (it) => {
    describe("layer", () => {
      for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
        it.effect(name, () => withStore((store) => Effect.provideService(effect, SessionStore.SessionStore, store)))
      }
      for (
        const cases of [
          SessionStoreSuite.casesDurable,
          SessionStoreSuite.casesShared,
          SessionStoreSuite.casesExpiring
        ]
      ) {
        cases(SessionStore.layerMemory).forEach(({ name }, index) => {
          it.effect(name, () => inDatabase((port, database) => cases(sessions(port, database))[index]!.effect))
        })
      }
    })

    describe("list", () => {
      const opened = (port: number, database: string) =>
        Layer.provideMerge(SqlSessionStore.layer, client(port, database))
      const damage = (assignment: string) => (id: string) =>
        Effect.flatMap(
          SqlClient.SqlClient,
          (sql) => sql`UPDATE effect_agents_sessions SET ${sql.literal(assignment)} WHERE id = ${id}`
        )
      const outOfTime = damage("updated = 9000000000000000000")
      SessionStoreSuite.casesDamaged(opened(0, ""), outOfTime).forEach(({ name }, index) => {
        it.effect(
          name,
          () =>
            inDatabase((port, database) =>
              SessionStoreSuite.casesDamaged(opened(port, database), outOfTime)[index]!.effect
            )
        )
      })

      it.effect("of any text as a cursor is a page, or refused as a cursor", () =>
        withStore((store) =>
          Effect.gen(function*() {
            for (const id of ["a", "b"]) yield* store.save(Session.empty(id), { append: [user(id)] })
            const Place = Schema.Tuple([
              Schema.Finite,
              Schema.Union([Schema.String, Schema.Literals(["\0", "\ud800", "~"])])
            ])
            const found = yield* Arbitrary.checkEffect(
              Arbitrary.schema(Schema.Union([Schema.String, Place])),
              (value) => {
                const cursor = typeof value === "string" ? value : Base64Url.encode(JSON.stringify(value))
                return Effect.map(Effect.result(store.list({ cursor })), (listed) => {
                  if (Result.isFailure(listed)) {
                    assert.strictEqual(listed.failure.reason._tag, "SessionCursorInvalid")
                  }
                  return true
                })
              },
              { runs: 200, seed: "cursors" }
            )
            assert.strictEqual(found._tag, "Passed")
          })
        ))

      it.effect("leaves out a session whose name is damaged or of another session", () =>
        withStore((store, sql) =>
          Effect.gen(function*() {
            for (const id of ["a", "b", "c", "d"]) yield* store.save(Session.empty(id), { append: [user(id)] })
            yield* damage("name = '{'")("b")
            yield* damage("name = '\"e\"'")("c")
            const first = yield* store.list({ pageSize: 2 })
            const second = yield* store.list({ pageSize: 2, cursor: first.next })
            assert.deepStrictEqual([first, second].map(({ sessions }) => sessions.map(({ id }) => id)), [["d"], ["a"]])
          }).pipe(Effect.provideService(SqlClient.SqlClient, sql), Effect.provide(Logger.layer([])))
        ))
    })

    for (const isolation of ["repeatable read", "serializable"]) {
      describe(`where transactions are ${isolation} by default`, () => {
        SessionStoreSuite.casesShared(SessionStore.layerMemory).forEach(({ name }, index) => {
          it.effect(name, () =>
            inDatabase((port, database) =>
              Effect.gen(function*() {
                yield* Effect.provide(
                  Effect.flatMap(
                    SqlClient.SqlClient,
                    (sql) => sql.unsafe(`ALTER DATABASE ${database} SET default_transaction_isolation = '${isolation}'`)
                  ),
                  client(port)
                )
                yield* SessionStoreSuite.casesShared(sessions(port, database))[index]!.effect
              })
            ))
        })
      })
    }

    describe("save", () => {
      it.effect("of several megabytes, in one message or in many, is loaded as it was saved", () =>
        withStore((store) =>
          Effect.gen(function*() {
            const append = [
              user("é".repeat(3_000_000)),
              ...Array.from({ length: 3000 }, (_, index) => user(`${index} ${"long ".repeat(100)}`))
            ]
            const first = yield* store.save(Session.empty("x"), { append, state: { big: "y".repeat(2_000_000) } })
            const second = yield* store.save(first, { append: [user("last")] })
            assert.deepStrictEqual(yield* store.load("x"), second)
            const fork = yield* store.fork("x", { to: "y", version: 1 })
            assert.deepStrictEqual([fork.history, fork.state], [first.history, first.state])
          })
        ))

      it.effect("writes what it appends, however long the history is", () =>
        withStore((store, sql) =>
          Effect.gen(function*() {
            const counts = Effect.map(
              sql<{ name: string; inserted: unknown; updated: unknown; deleted: unknown }>`
              SELECT relname AS name, n_tup_ins AS inserted, n_tup_upd AS updated, n_tup_del AS deleted
              FROM pg_stat_xact_user_tables ORDER BY relname
            `,
              (rows) =>
                rows.map(({ deleted, inserted, name, updated }) => ({
                  name,
                  counts: [inserted, updated, deleted].map(Number)
                }))
            )
            const written = (session: Session.Session) =>
              sql.withTransaction(Effect.gen(function*() {
                const before = yield* counts
                yield* store.save(session, { append: [user("a"), user("b")] })
                return (yield* counts).map(({ counts, name }, table) => [
                  name,
                  ...counts.map((count, index) => count - before[table]!.counts[index]!)
                ])
              }))
            for (const length of [10, 10_000]) {
              const append = Array.from({ length }, (_, index) => user(`${index}`))
              const session = yield* store.save(Session.empty(`${length}`), { append })
              assert.deepStrictEqual(yield* written(session), [
                ["effect_agents_schema", 0, 0, 0],
                ["effect_agents_session_changes", 0, 0, 0],
                ["effect_agents_session_messages", 2, 0, 0],
                ["effect_agents_sessions", 0, 1, 0]
              ])
            }
          })
        ))

      it.effect("is all or nothing when it fails in the middle", () =>
        withStore((store, sql) =>
          Effect.gen(function*() {
            const first = yield* store.save(Session.empty("x"), { append: [user("first")], state: { n: 1 } })
            yield* sql.unsafe(`
            CREATE FUNCTION disk_full() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN IF NEW.seq = 2 THEN RAISE EXCEPTION 'disk is full'; END IF; RETURN NEW; END $$
          `)
            yield* sql`
            CREATE TRIGGER disk_full BEFORE INSERT ON effect_agents_session_messages
            FOR EACH ROW EXECUTE FUNCTION disk_full()
          `
            const error = yield* Effect.flip(store.save(first, { append: [user("a"), user("b")], state: { n: 2 } }))
            assert.strictEqual(error.reason._tag, "SessionStoreUnavailable")
            assert.include(error.message, "Session `x`: the session store is not available for `save`: ")
            assert.deepStrictEqual(yield* store.load("x"), first)
            yield* sql`DROP TRIGGER disk_full ON effect_agents_session_messages`
            yield* store.save(first, { append: [user("a"), user("b")], state: { n: 2 } })
            assert.deepStrictEqual(texts(yield* store.load("x")), ["first", "a", "b"])
          })
        ))

      it.effect("belongs to the transaction of its caller", () =>
        withStore((store, sql) =>
          Effect.gen(function*() {
            yield* Effect.exit(sql.withTransaction(Effect.gen(function*() {
              yield* store.save(Session.empty("x"), { append: [user("undone")] })
              return yield* Effect.fail("roll back")
            })))
            assert.deepStrictEqual(yield* store.load("x"), Session.empty("x"))
          })
        ))
    })

    it.effect("a connection that is cut is a typed error, and the next call has another one", () =>
      inDatabase((port, database) =>
        Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const first = yield* store.save(Session.empty("x"), { append: [user("first")] })
          yield* Effect.provide(
            Effect.flatMap(SqlClient.SqlClient, (sql) =>
              sql`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = ${database}`),
            client(port)
          )
          const results = [
            yield* Effect.result(store.load("x")),
            yield* Effect.result(store.load("x")),
            yield* Effect.result(store.load("x"))
          ]
          for (const result of results) {
            if (Result.isFailure(result)) {
              assert.strictEqual(result.failure.reason._tag, "SessionStoreUnavailable")
            }
          }
          assert.deepStrictEqual(results.at(-1), Result.succeed(first))
          assert.strictEqual((yield* store.save(first, { append: [] })).version, 2)
        }).pipe(Effect.provide(sessions(port, database)))
      ))

    it.effect(
      "of two processes that answer one approval one runs the tool, the other one has a conflict",
      () =>
        Effect.scoped(inDatabase((port, database) =>
          Effect.gen(function*() {
            const where = `postgres:${port}:${database}`
            const { rest } = yield* start("ask", where)
            assert.deepStrictEqual(yield* rest, ["completed approval-required "])
            const said = yield* racing(where)
            const [lost, won] = [...said].sort((one, other) => one.length - other.length)
            assert.deepStrictEqual(won, ["paying Ada", "completed stop All is paid"])
            assert.match(
              lost!.join(),
              /^failed Session `s`: the save was made from version 1, but version [234] is stored/
            )
          })
        )),
      60_000
    )

    describe("tables", () => {
      it.effect("are made once, however many open the database at the same moment", () =>
        inDatabase((port, database) =>
          Effect.gen(function*() {
            const stores = Array.from({ length: 6 }, () => Layer.build(Layer.fresh(sessions(port, database))))
            const opened = yield* Effect.scoped(Effect.flatMap(
              Effect.all(stores, { concurrency: "unbounded" }),
              Effect.forEach((context) => Context.get(context, SessionStore.SessionStore).load("x"))
            ))
            assert.strictEqual(opened.length, 6)
            const rows = yield* Effect.provide(
              Effect.flatMap(SqlClient.SqlClient, (sql) => sql`SELECT name, version FROM effect_agents_schema`),
              client(port, database)
            )
            assert.deepStrictEqual(rows, [{ name: "sessions", version: 2 }])
          })
        ))

      it.effect("of a newer version are a typed error, and stay as they are", () =>
        withStore((_, sql) =>
          Effect.gen(function*() {
            yield* sql`UPDATE effect_agents_schema SET version = 3`
            const error = yield* Effect.flip(Effect.scoped(Layer.build(Layer.fresh(SqlSessionStore.layer)))).pipe(
              Effect.provideService(SqlClient.SqlClient, sql)
            )
            assert.strictEqual(error._tag, "SchemaTooNew")
            assert.deepStrictEqual(yield* sql`SELECT version FROM effect_agents_schema`, [{ version: 3 }])
          })
        ))

      it.effect("have names of their own, whatever the client makes of names", () =>
        inDatabase((port, database) =>
          Effect.gen(function*() {
            const store = yield* SessionStore.SessionStore
            const saved = yield* store.save(Session.empty("x"), { append: [user("hi")], state: { snake_case: 1 } })
            assert.deepStrictEqual(yield* store.load("x"), saved)
            assert.deepStrictEqual((yield* store.list()).sessions.map(({ title }) => title), ["hi"])
          }).pipe(Effect.provide(Layer.provide(
            SqlSessionStore.layer,
            PgClient.layer({
              host: "127.0.0.1",
              port,
              database,
              username: "postgres",
              password: Redacted.make(password),
              transformResultNames: (name) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
              transformQueryNames: (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
            })
          )))
        ))
    })
  }
)

describe("SqlSessionStore", () => {
  const sqlite = Layer.provide(SqlSessionStore.layer, SqliteClient.layer({ filename: ":memory:" }))
  for (const { effect, name } of [...SessionStoreSuite.cases, ...SessionStoreSuite.casesMany]) {
    it.effect(`on SQLite: ${name}`, () => Effect.provide(effect, sqlite))
  }

  it.effect("refuses a database of another kind by its name", () =>
    Effect.gen(function*() {
      const sql = yield* SqlClient.make({
        acquirer: Effect.die("nothing is asked"),
        compiler: Statement.makeCompiler({
          dialect: "mysql",
          placeholder: () => "?",
          onIdentifier: (name) => name,
          onCustom: () => ["", []],
          onRecordUpdate: () => ["", []]
        }),
        driver: "test",
        spanAttributes: []
      })
      const error = yield* Effect.flip(Effect.scoped(Layer.build(SqlSessionStore.layer))).pipe(
        Effect.provideService(SqlClient.SqlClient, sql)
      )
      assert.strictEqual(error._tag, "DialectUnsupported")
      assert.strictEqual(error.message, "Sessions can be kept in SQLite and in PostgreSQL, not in `mysql`")
    }).pipe(Effect.provide(Reactivity.layer)))
})

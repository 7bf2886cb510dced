import * as NodeFileSystem from "@effect/platform-node/NodeFileSystem"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, FileSystem, Layer, Stream } from "effect"
import { SqlClient, type SqlError } from "effect/sql"
import { TestClock } from "effect/testing"
import { SqliteClient } from "../src/sqlite/index.ts"

const inFolder = <A, E, R>(f: (folder: string) => Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.flatMap(FileSystem.FileSystem, (fs) => Effect.flatMap(fs.makeTempDirectoryScoped(), f))).pipe(
    Effect.provide(NodeFileSystem.layer)
  )

const opened = (options: SqliteClient.Options) =>
  Effect.map(Layer.build(Layer.fresh(SqliteClient.layer(options))), Context.get(SqlClient.SqlClient))

const memory = SqliteClient.layer({ filename: ":memory:" })

const reason = <A, R>(effect: Effect.Effect<A, SqlError.SqlError, R>) =>
  Effect.map(Effect.flip(effect), (error) => error.reason)

describe("SqliteClient", () => {
  describe("queries", () => {
    it.effect("returns rows as plain objects, and every kind of value", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const rows = yield* sql`
          SELECT ${1} AS n, ${"ä"} AS t, ${null} AS z, ${new Uint8Array([0, 255])} AS b, ${1.5} AS r,
            ${undefined} AS u, ${true} AS yes, ${new Date(0)} AS d
        `
        assert.deepStrictEqual(rows, [
          { n: 1, t: "ä", z: null, b: new Uint8Array([0, 255]), r: 1.5, u: null, yes: 1, d: "1970-01-01T00:00:00.000Z" }
        ])
        assert.deepStrictEqual(yield* sql`SELECT 1 AS a, 2 AS b UNION ALL SELECT 3, 4`.values, [[1, 2], [3, 4]])
        assert.deepStrictEqual(yield* sql`SELECT 1 AS a`.unprepared, [{ a: 1 }])
        assert.deepStrictEqual(yield* sql`SELECT 1 AS a`.valuesUnprepared, [[1]])
        assert.deepStrictEqual(yield* sql`SELECT 1 AS a`, [{ a: 1 }])
      }).pipe(Effect.provide(memory)))

    it.effect("inserts with helpers, and gives the raw result of a statement without rows", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT)`
        yield* sql`INSERT INTO t ${sql.insert([{ id: 1, name: "a" }, { id: 2, name: "b" }])}`
        assert.deepStrictEqual(yield* sql`UPDATE t SET name = ${"c"} WHERE id IN ${sql.in([1, 2])}`.raw, {
          changes: 2,
          lastInsertRowid: 2
        })
        assert.deepStrictEqual(yield* sql`DELETE FROM t WHERE id = 1 RETURNING *`.raw, [{ id: 1, name: "c" }])
      }).pipe(Effect.provide(memory)))

    it.effect("reads large integers as bigint on demand, and refuses to round them", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const query = sql`SELECT 9007199254740993 AS n`
        assert.strictEqual((yield* reason(query))._tag, "UnknownError")
        assert.deepStrictEqual(yield* Effect.provideService(query, SqlClient.SafeIntegers, true), [
          { n: 9007199254740993n }
        ])
      }).pipe(Effect.provide(memory)))

    it.effect("gives the same answers when prepared statements are evicted", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        for (let round = 0; round < 2; round++) {
          for (let n = 0; n < 5; n++) {
            assert.deepStrictEqual(yield* sql`SELECT ${sql.literal(String(n))} AS n`, [{ n }])
          }
        }
      }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:", statementCacheSize: 2 }))))

    it.effect("streams rows, and stops reading when the consumer leaves", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        const numbers = sql<{ n: number }>`
          WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 300) SELECT n FROM c
        `
        const all = yield* Stream.runCollect(numbers.stream)
        assert.deepStrictEqual(all, Array.from({ length: 300 }, (_, index) => ({ n: index + 1 })))
        assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(numbers.stream, 2)), [{ n: 1 }, { n: 2 }])
        assert.deepStrictEqual(yield* Stream.runCollect(sql`SELECT 1 AS n WHERE 1 = 0`.stream), [])
        assert.strictEqual((yield* reason(Stream.runDrain(sql`SELECT nothing`.stream)))._tag, "UnknownError")
        // A reader that is still open would keep the table locked
        yield* sql`CREATE TABLE t (n)`
        yield* Stream.runCollect(Stream.take(sql`SELECT n FROM t`.stream, 1))
        yield* sql`DROP TABLE t`
      }).pipe(Effect.provide(memory)))
  })

  describe("errors", () => {
    it.effect("are typed for constraints", () =>
      Effect.gen(function*() {
        const sql = yield* SqlClient.SqlClient
        yield* sql`CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL)`
        yield* sql`CREATE TABLE c (t_id INTEGER REFERENCES t (id))`
        yield* sql`INSERT INTO t VALUES (1, 'a')`
        const unique = yield* reason(sql`INSERT INTO t VALUES (2, 'a')`)
        assert.strictEqual(unique._tag, "UniqueViolation")
        assert.include(unique, { constraint: "t.name" })
        assert.strictEqual((yield* reason(sql`INSERT INTO t VALUES (2, NULL)`))._tag, "ConstraintError")
        assert.strictEqual((yield* reason(sql`INSERT INTO c VALUES (7)`))._tag, "ConstraintError")
        const syntax = yield* reason(sql`SELEC`)
        assert.deepStrictEqual([syntax._tag, syntax.message], ["UnknownError", "near \"SELEC\": syntax error"])
        assert.strictEqual((yield* reason(sql`SELECT ${{ not: "a value" }}`))._tag, "UnknownError")
      }).pipe(Effect.provide(memory)))

    it.effect("a file that is not a database is found out when the layer is built", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const filename = `${folder}/notes.txt`
          yield* fs.writeFileString(filename, "These are notes, not a database. ".repeat(100))
          const error = yield* Effect.flip(Effect.scoped(opened({ filename })))
          assert.strictEqual(error.message, `Could not open the database \`${filename}\`: file is not a database`)
          assert.isTrue(SqliteClient.isCorrupt(error))
          const reading = yield* Effect.flip(Effect.scoped(opened({ filename, readOnly: true })))
          assert.isTrue(SqliteClient.isCorrupt(reading))
          assert.strictEqual(
            yield* fs.readFileString(filename),
            "These are notes, not a database. ".repeat(100)
          )
        })
      ))

    it.effect("a database that cannot be opened is a connection error", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          for (const filename of [folder, `${folder}/missing/a.db`]) {
            const error = yield* Effect.flip(Effect.scoped(opened({ filename })))
            assert.strictEqual(error.reason._tag, "ConnectionError")
            assert.strictEqual(
              error.message,
              `Could not open the database \`${filename}\`: unable to open database file`
            )
            assert.isFalse(SqliteClient.isCorrupt(error))
          }
          const missing = yield* Effect.flip(Effect.scoped(opened({ filename: `${folder}/a.db`, readOnly: true })))
          assert.strictEqual(missing.reason._tag, "ConnectionError")
        })
      ))

    it.effect("a damaged page is an error that isCorrupt knows", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const filename = `${folder}/a.db`
          yield* Effect.scoped(Effect.gen(function*() {
            const sql = yield* opened({ filename })
            yield* sql`CREATE TABLE t (name TEXT)`
            yield* Effect.forEach(
              Array.from({ length: 400 }, () => "x".repeat(100)),
              (name) => sql`INSERT INTO t VALUES (${name})`,
              { discard: true }
            )
          }))
          const bytes = yield* fs.readFile(filename)
          yield* fs.writeFile(filename, bytes.fill(0xab, 4096))
          const error = yield* Effect.flip(Effect.scoped(
            Effect.flatMap(opened({ filename }), (sql) => sql`SELECT * FROM t`)
          ))
          assert.isTrue(SqliteClient.isCorrupt(error))
          assert.strictEqual(error.message, "database disk image is malformed")
        })
      ))
  })

  describe("opening", () => {
    it.effect("turns on the write-ahead log and foreign keys, and syncs as asked", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const settings = (sql: SqlClient.SqlClient) =>
            Effect.all([
              sql`PRAGMA journal_mode`.values,
              sql`PRAGMA synchronous`.values,
              sql`PRAGMA foreign_keys`.values
            ])
          const full = yield* opened({ filename: `${folder}/full.db` })
          assert.deepStrictEqual(yield* settings(full), [[["wal"]], [[2]], [[1]]])
          const normal = yield* opened({ filename: `${folder}/normal.db`, synchronous: "NORMAL" })
          assert.deepStrictEqual(yield* settings(normal), [[["wal"]], [[1]], [[1]]])
        })
      ))

    it.effect("closes the file with the scope, and leaves no log behind", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const sql = yield* Effect.scoped(Effect.gen(function*() {
            const sql = yield* opened({ filename: `${folder}/a.db` })
            yield* sql`CREATE TABLE t (n)`
            assert.deepStrictEqual((yield* fs.readDirectory(folder)).sort(), ["a.db", "a.db-shm", "a.db-wal"])
            return sql
          }))
          assert.deepStrictEqual(yield* fs.readDirectory(folder), ["a.db"])
          assert.strictEqual((yield* reason(sql`SELECT 1`)).message, "database is not open")
        })
      ))

    it.effect("opens for reading what may only be read", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const filename = `${folder}/a.db`
          const writer = yield* opened({ filename })
          yield* writer`CREATE TABLE t (n)`
          const reader = yield* opened({ filename, readOnly: true })
          assert.deepStrictEqual(yield* reader.withTransaction(reader`SELECT * FROM t`), [])
          assert.strictEqual(
            (yield* reason(reader`INSERT INTO t VALUES (1)`)).message,
            "attempt to write a readonly database"
          )
        })
      ))
  })

  describe("transactions", () => {
    const table = Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      yield* sql`CREATE TABLE t (n INTEGER)`
      return {
        sql,
        insert: (n: number) => sql`INSERT INTO t VALUES (${n})`,
        numbers: Effect.map(sql<{ n: number }>`SELECT n FROM t ORDER BY n`, (rows) => rows.map((row) => row.n))
      }
    })

    it.effect("commit on success, roll back on failure, defect and interruption", () =>
      Effect.gen(function*() {
        const { insert, numbers, sql } = yield* table
        yield* sql.withTransaction(insert(1))
        yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(2), Effect.fail("no"))))
        yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(3), Effect.die("no"))))
        const fiber = yield* Effect.forkChild(sql.withTransaction(Effect.andThen(insert(4), Effect.never)), {
          startImmediately: true
        })
        yield* Fiber.interrupt(fiber)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
        yield* insert(5)
        assert.deepStrictEqual(yield* numbers, [1, 5])
      }).pipe(Effect.provide(memory)))

    it.effect("nest as savepoints", () =>
      Effect.gen(function*() {
        const { insert, numbers, sql } = yield* table
        yield* sql.withTransaction(Effect.gen(function*() {
          yield* insert(1)
          yield* Effect.exit(sql.withTransaction(Effect.andThen(insert(2), Effect.fail("inner"))))
          yield* sql.withTransaction(Effect.andThen(insert(3), sql.withTransaction(insert(4))))
        }))
        assert.deepStrictEqual(yield* numbers, [1, 3, 4])
      }).pipe(Effect.provide(memory)))

    it.effect("follow each other when they come from several fibers", () =>
      Effect.gen(function*() {
        const { insert, numbers, sql } = yield* table
        yield* Effect.forEach(Array.from({ length: 10 }, (_, index) => index), (index) =>
          sql.withTransaction(Effect.gen(function*() {
            const before = (yield* numbers).length
            yield* Effect.yieldNow
            yield* insert(before)
            return yield* index % 3 === 0 ? Effect.fail("roll back") : Effect.void
          })).pipe(Effect.exit), { concurrency: "unbounded" })
        assert.deepStrictEqual(yield* numbers, [0, 1, 2, 3, 4, 5])
      }).pipe(Effect.provide(memory)))

    it.effect("wait for a lock without blocking, and go on when it is released", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const filename = `${folder}/a.db`
          const one = yield* opened({ filename })
          const two = yield* opened({ filename, busyTimeout: "1 second" })
          yield* one`CREATE TABLE t (n)`
          yield* one`BEGIN IMMEDIATE`
          const waiting = yield* Effect.forkChild(two`INSERT INTO t VALUES (1)`, { startImmediately: true })
          yield* TestClock.adjust("900 millis")
          assert.isUndefined(waiting.pollUnsafe())
          yield* one`COMMIT`
          yield* TestClock.adjust("100 millis")
          yield* Fiber.join(waiting)
          assert.deepStrictEqual(yield* one`SELECT * FROM t`, [{ n: 1 }])
        })
      ))

    it.effect("give up with a typed error after the busy timeout, not before", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const filename = `${folder}/a.db`
          const one = yield* opened({ filename })
          const two = yield* opened({ filename, busyTimeout: "1 second" })
          yield* one`CREATE TABLE t (n)`
          yield* one`BEGIN IMMEDIATE`
          const waiting = yield* Effect.forkChild(two.withTransaction(two`INSERT INTO t VALUES (1)`), {
            startImmediately: true
          })
          yield* TestClock.adjust("999 millis")
          assert.isUndefined(waiting.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          const error = yield* reason(Fiber.join(waiting))
          assert.deepStrictEqual([error._tag, error.message, error.isRetryable], [
            "LockTimeoutError",
            "database is locked",
            true
          ])
          // Readers do not wait
          assert.deepStrictEqual(yield* two`SELECT * FROM t`, [])
          yield* one`COMMIT`
          yield* two`INSERT INTO t VALUES (2)`
        })
      ))

    it.effect("do not wait for what waiting cannot give", () =>
      inFolder((folder) =>
        Effect.gen(function*() {
          const filename = `${folder}/a.db`
          const one = yield* opened({ filename })
          const two = yield* opened({ filename })
          yield* one`CREATE TABLE t (n)`
          const overtaken = two.withTransaction(Effect.gen(function*() {
            yield* two`SELECT * FROM t`
            yield* one`INSERT INTO t VALUES (1)`
            yield* two`INSERT INTO t VALUES (2)`
          }))
          const error = yield* reason(Effect.provideService(overtaken, SqlClient.BeginTransaction, "BEGIN"))
          assert.strictEqual(error._tag, "LockTimeoutError")
          assert.deepStrictEqual(yield* two`SELECT * FROM t`, [{ n: 1 }])
        })
      ))
  })
})

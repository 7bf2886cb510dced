/**
 * effect's `SqlClient` over the SQLite that is part of Node (`node:sqlite`, Node 24 or later).
 *
 * `layer` opens one database file for one process. Other processes may open the same file: writers wait for each other,
 * readers do not wait. Calls into SQLite are synchronous, so a slow query blocks its process; waiting for another
 * process's lock does not.
 *
 * **Example** (A table in memory)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { SqlClient } from "effect/sql"
 * import { SqliteClient } from "effect-agents/sqlite"
 *
 * const program = Effect.gen(function*() {
 *   const sql = yield* SqlClient.SqlClient
 *   yield* sql`CREATE TABLE pots (name TEXT NOT NULL, glaze TEXT)`
 *   yield* sql`INSERT INTO pots ${sql.insert([{ name: "jug", glaze: "celadon" }, { name: "cup", glaze: null }])}`
 *   const glazed = yield* sql<{ readonly name: string }>`SELECT name FROM pots WHERE glaze IS NOT NULL`
 *   yield* Console.log(glazed.map(({ name }) => name).join(", "))
 * })
 *
 * Effect.runPromise(Effect.provide(program, SqliteClient.layer({ filename: ":memory:" })))
 * // => jug
 * ```
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Reactivity from "effect/reactivity/Reactivity"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlConnection from "effect/sql/SqlConnection"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
import * as Stream from "effect/Stream"
import { DatabaseSync, type SQLInputValue, type StatementSync } from "node:sqlite"

/**
 * The options of a database.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The database file, or `:memory:`. The file is created if it does not exist, its folder is not. */
  readonly filename: string
  /**
   * How long a statement waits for another process's lock before it fails with `LockTimeoutError`. Default: 5 seconds.
   */
  readonly busyTimeout?: Duration.Input | undefined
  /**
   * When a commit is on the disk. `"FULL"` survives a power failure. `"NORMAL"` survives only the death of the process,
   * but commits several times faster. Neither can corrupt the database. Default: `"FULL"`.
   */
  readonly synchronous?: "FULL" | "NORMAL" | undefined
  /** Whether an existing database is opened for reading only. Default: it is opened for reading and writing. */
  readonly readOnly?: boolean | undefined
  /** The number of prepared statements that are kept. Default: 200. */
  readonly statementCacheSize?: number | undefined
}

/**
 * Returns `true` if the error says that the file is damaged, or that it is not a database.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCorrupt = (error: SqlError.SqlError): boolean => {
  const code = resultCode(error.reason.cause)
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB
}

/**
 * Opens a database with a write-ahead log and foreign keys, and closes it with the scope.
 *
 * **Details**
 *
 * A transaction begins with `BEGIN IMMEDIATE`, so that no other process can change what it has read before it writes.
 * Provide `SqlClient.BeginTransaction` for another statement. Nested transactions are savepoints.
 *
 * **Gotchas**
 *
 * Only the first of several statements in one string is run. An integer outside the safe range is an error unless
 * `SqlClient.SafeIntegers` is provided as `true`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  options: Options
): Effect.fn.Return<SqlClient.SqlClient, SqlError.SqlError, Scope.Scope | Reactivity.Reactivity> {
  const database = yield* open(options)
  const connection = makeConnection(database, options)
  const semaphore = yield* Semaphore.make(1)

  yield* connection.executeUnprepared("PRAGMA foreign_keys = ON", [], undefined)
  // The first statement that reads the file: it fails if the file is not a database
  yield* connection.executeUnprepared(
    options.readOnly === true ? "PRAGMA schema_version" : "PRAGMA journal_mode = WAL",
    [],
    undefined
  ).pipe(Effect.mapError((error) => openError(options, error.reason.cause)))
  yield* connection.executeUnprepared(`PRAGMA synchronous = ${options.synchronous ?? "FULL"}`, [], undefined)

  return yield* SqlClient.make({
    ...SqlClient.makeSqliteAcquirers({
      connection: Effect.succeed(connection),
      semaphore,
      isTransaction: () => database.isTransaction
    }),
    compiler: Statement.makeCompilerSqlite(),
    driver: "node-sqlite",
    beginTransaction: options.readOnly === true ? "BEGIN" : "BEGIN IMMEDIATE",
    prepareTransactionControls: true,
    releaseSavepoint: (name) => `RELEASE SAVEPOINT ${name}`,
    spanAttributes: [["db.system.name", "sqlite"]]
  })
})

/**
 * Layer that opens a database, and closes it with the layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<SqlClient.SqlClient, SqlError.SqlError> =>
  Layer.effect(SqlClient.SqlClient)(make(options)).pipe(Layer.provide(Reactivity.layer))

const open = (options: Options): Effect.Effect<DatabaseSync, SqlError.SqlError, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.try({
      try: () => new DatabaseSync(options.filename, { readOnly: options.readOnly === true, timeout: 0 }),
      catch: (cause) => openError(options, cause)
    }),
    (database) => Effect.sync(() => database.close())
  )

const openError = (options: Options, cause: unknown): SqlError.SqlError => {
  const detail = Predicate.hasProperty(cause, "message") ? String(cause.message) : String(cause)
  return sqlError(cause, "open", `Could not open the database \`${options.filename}\`: ${detail}`)
}

const makeConnection = (database: DatabaseSync, options: Options): SqlConnection.Connection => {
  const prepare = makePrepare(database, options.statementCacheSize ?? 200)
  const busyTimeout = Duration.toMillis(options.busyTimeout ?? "5 seconds")

  const run = <A>(evaluate: (safeIntegers: boolean) => A): Effect.Effect<A, SqlError.SqlError> =>
    Effect.withFiber((fiber) => {
      const safeIntegers = fiber.getRef(SqlClient.SafeIntegers)
      return whenFree(
        Effect.try({ try: () => evaluate(safeIntegers), catch: (cause) => sqlError(cause, "execute") }),
        busyTimeout
      )
    })
  const rows = (statement: StatementSync, params: ReadonlyArray<unknown>, safeIntegers: boolean) => {
    statement.setReadBigInts(safeIntegers)
    statement.setReturnArrays(false)
    return statement.all(...params.map(toInput)).map((row) => ({ ...row }))
  }
  const values = (statement: StatementSync, params: ReadonlyArray<unknown>, safeIntegers: boolean) => {
    statement.setReadBigInts(safeIntegers)
    statement.setReturnArrays(true)
    // With `setReturnArrays` rows are arrays, but the types of `all` do not say so
    return statement.all(...params.map(toInput)) as unknown as ReadonlyArray<ReadonlyArray<unknown>>
  }

  return {
    execute: (sql, params, transformRows) =>
      Effect.map(
        run((safeIntegers) => rows(prepare(sql), params, safeIntegers)),
        (rows) => transformRows === undefined ? rows : transformRows(rows)
      ),
    executeUnprepared: (sql, params, transformRows) =>
      Effect.map(
        run((safeIntegers) => rows(database.prepare(sql), params, safeIntegers)),
        (rows) => transformRows === undefined ? rows : transformRows(rows)
      ),
    executeRaw: (sql, params) =>
      run((safeIntegers) => {
        const statement = prepare(sql)
        return statement.columns().length > 0
          ? rows(statement, params, safeIntegers)
          : statement.run(...params.map(toInput))
      }),
    executeValues: (sql, params) => run((safeIntegers) => values(prepare(sql), params, safeIntegers)),
    executeValuesUnprepared: (sql, params) =>
      run((safeIntegers) => values(database.prepare(sql), params, safeIntegers)),
    executeStream: (sql, params, transformRows) =>
      Stream.unwrap(Effect.map(
        Effect.acquireRelease(
          run((safeIntegers) => {
            // Not a cached statement, because the stream still reads from it when the same query runs again
            const statement = database.prepare(sql)
            statement.setReadBigInts(safeIntegers)
            return statement.iterate(...params.map(toInput))
          }),
          (iterator) => Effect.sync(() => iterator.return?.())
        ),
        (iterator) =>
          Stream.fromPull(Effect.succeed(Effect.flatMap(
            run(() => readPage(iterator)),
            (rows) => {
              const page = transformRows === undefined ? rows : transformRows(rows)
              return isNonEmpty(page) ? Effect.succeed(page) : Cause.done()
            }
          )))
      ))
  }
}

/** Not `iterator.take(128)`, which closes the iterator at the end of the page. */
const readPage = (iterator: Iterator<Record<string, unknown>>): ReadonlyArray<Record<string, unknown>> => {
  const page: Array<Record<string, unknown>> = []
  while (page.length < 128) {
    const next = iterator.next()
    if (next.done === true) break
    page.push({ ...next.value })
  }
  return page
}

const isNonEmpty = <A>(array: ReadonlyArray<A>): array is readonly [A, ...Array<A>] => array.length > 0

/** Keeps the statements that were used last. */
const makePrepare = (database: DatabaseSync, capacity: number) => {
  const statements = new Map<string, StatementSync>()
  return (sql: string): StatementSync => {
    const cached = statements.get(sql)
    const statement = cached ?? database.prepare(sql)
    statements.delete(sql)
    statements.set(sql, statement)
    if (statements.size > capacity) statements.delete(statements.keys().next().value!)
    return statement
  }
}

/**
 * Waits like SQLite's own busy handler, with the same delays, but does not block the process, and can be interrupted at
 * any time.
 */
const whenFree = <A>(
  attempt: Effect.Effect<A, SqlError.SqlError>,
  busyTimeout: number,
  attempts = 0,
  waited = 0
): Effect.Effect<A, SqlError.SqlError> =>
  Effect.catchIf(
    attempt,
    (error) => waited < busyTimeout && isBusy(error),
    () => {
      const delay = Math.min(busyDelays[attempts] ?? 100, busyTimeout - waited)
      return Effect.andThen(
        Effect.interruptible(Effect.sleep(delay)),
        whenFree(attempt, busyTimeout, attempts + 1, waited + delay)
      )
    }
  )

const busyDelays = [1, 2, 5, 10, 15, 20, 25, 25, 25, 50, 50]

const SQLITE_BUSY = 5
const SQLITE_BUSY_SNAPSHOT = 517
const SQLITE_CORRUPT = 11
const SQLITE_NOTADB = 26

/** A snapshot that is out of date stays so, however long one waits. */
const isBusy = (error: SqlError.SqlError): boolean =>
  resultCode(error.reason.cause) === SQLITE_BUSY && extendedResultCode(error.reason.cause) !== SQLITE_BUSY_SNAPSHOT

const extendedResultCode = (cause: unknown): number | undefined =>
  Predicate.hasProperty(cause, "errcode") && Predicate.isNumber(cause.errcode) ? cause.errcode : undefined

const resultCode = (cause: unknown): number | undefined => {
  const code = extendedResultCode(cause)
  return code === undefined ? undefined : code & 0xff
}

const sqlError = (cause: unknown, operation: string, message?: string): SqlError.SqlError => {
  const errno = extendedResultCode(cause)
  // Node calls SQLite's result code `errcode`; effect looks for it under `errno`
  if (errno !== undefined) Object.assign(cause as object, { errno })
  return new SqlError.SqlError({
    reason: SqlError.classifySqliteError(cause, {
      message: message ?? (Predicate.hasProperty(cause, "message") ? String(cause.message) : undefined),
      operation
    })
  })
}

const toInput = (value: unknown): SQLInputValue => {
  if (value === undefined) return null
  if (value instanceof Date) return value.toISOString()
  // SQLite rejects any other value that it cannot store, as a typed error
  return value as SQLInputValue
}

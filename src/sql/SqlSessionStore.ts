/**
 * Sessions in a SQL database: SQLite or PostgreSQL, over any `SqlClient`.
 *
 * Many processes may share the database. Of two saves made from the same version exactly one succeeds, and a process
 * that dies in a save leaves the session as it was. A save writes only what it appends, not the whole history. Lists of
 * sessions are read from an index, without reading histories. The store has its own tables; it upgrades the tables of
 * an older version when it opens the database.
 *
 * With PostgreSQL use `PgClient.layer` of `@effect/sql-pg` as the client, with SQLite `SqliteClient.layer` of
 * `effect-agents/sqlite`, or any client that the program already has.
 *
 * **Example** (The sessions of many users, page by page)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Prompt } from "effect/ai"
 * import * as SessionStore from "effect-agents/SessionStore"
 * import { SqlSessionStore } from "effect-agents/sql"
 * import { SqliteClient } from "effect-agents/sqlite"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* SessionStore.SessionStore
 *   for (const user of ["ada", "bob", "cleo"]) {
 *     yield* store.save(yield* store.load(user), { append: Prompt.make(`Hello, I am ${user}.`).content })
 *   }
 *   const first = yield* store.list({ pageSize: 2 })
 *   const second = yield* store.list({ pageSize: 2, cursor: first.next })
 *   return [...first.sessions, ...second.sessions].map(({ title }) => title).sort()
 * })
 *
 * const store = Layer.provide(SqlSessionStore.layer, SqliteClient.layer({ filename: ":memory:" }))
 *
 * Effect.runPromise(Effect.provide(program, store)).then((titles) => titles.forEach((title) => console.log(title)))
 * // => Hello, I am ada.
 * // => Hello, I am bob.
 * // => Hello, I am cleo.
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as Sql from "../internal/session/sql.ts"
import * as Tables from "../internal/session/sqlTables.ts"
import * as SessionStore from "../SessionStore.ts"

/**
 * The tables were made by a newer version of this package. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export const SchemaTooNew: typeof Tables.SchemaTooNew = Tables.SchemaTooNew

/**
 * The tables were made by a newer version of this package. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export type SchemaTooNew = Tables.SchemaTooNew

/**
 * The client's SQL dialect is not supported. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export const DialectUnsupported: typeof Tables.DialectUnsupported = Tables.DialectUnsupported

/**
 * The client's SQL dialect is not supported. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export type DialectUnsupported = Tables.DialectUnsupported

/**
 * Layer that keeps sessions in the database of the `SqlClient`. It creates its tables if they do not exist.
 *
 * **Details**
 *
 * A save, a fork and a truncation are one transaction each. On PostgreSQL it runs at `READ COMMITTED`, and the write
 * itself checks the version. On SQLite it begins with `BEGIN IMMEDIATE`. A transaction that the database rolls back,
 * because of a serialization failure or a deadlock, is tried again, at most 10 times. Within a transaction of the
 * caller these operations are a part of that transaction, and are tried once.
 *
 * **Gotchas**
 *
 * A save that fails with `SessionStoreUnavailable` because the connection was lost may have been written. On SQLite a
 * failed save has never written anything.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<
  SessionStore.SessionStore,
  SqlError.SqlError | SchemaTooNew | DialectUnsupported,
  SqlClient.SqlClient
> = Layer.effect(SessionStore.SessionStore)(
  Effect.flatMap(
    Effect.flatMap(
      Effect.all([SqlClient.SqlClient, SessionStore.TimeToLive]),
      ([sql, timeToLive]) => Sql.make(sql, timeToLive)
    ),
    SessionStore.make
  )
)

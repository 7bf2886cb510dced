/**
 * Sessions in a SQLite database.
 *
 * `layer` keeps them in its own tables of any database that a `SqlClient` with the SQLite dialect has open. `layerFile`
 * opens a file. Many processes may share the database. Of two saves made from the same version exactly one succeeds,
 * and a process that dies in a save leaves the session as it was. A save writes only what it appends, not the whole
 * history.
 *
 * **Example** (Two saves of one version)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Prompt } from "effect/ai"
 * import * as SessionStore from "effect-agents/SessionStore"
 * import { SqliteSessionStore } from "effect-agents/sqlite"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* SessionStore.SessionStore
 *   const session = yield* store.load("user-7")
 *   yield* store.save(session, { append: Prompt.make("Will it rain in Oslo?").content })
 *   return yield* store.save(session, { append: Prompt.make("And in Rome?").content }).pipe(
 *     Effect.as("saved"),
 *     Effect.catchReason("SessionError", "SessionConflict", (reason) => Effect.succeed(reason.message))
 *   )
 * })
 *
 * Effect.runPromise(Effect.provide(program, SqliteSessionStore.layerFile({ filename: ":memory:" }))).then(console.log)
 * // => the save was made from version 0, but version 1 is stored; load it again
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
import * as SqliteClient from "./SqliteClient.ts"

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
 * Layer that keeps sessions in the database of a `SqlClient` with the SQLite dialect. It creates its tables if they do
 * not exist. It is `SqlSessionStore.layer` of `effect-agents/sql`, and dies if the client has another dialect.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<
  SessionStore.SessionStore,
  SqlError.SqlError | SchemaTooNew,
  SqlClient.SqlClient
> = Layer.effect(SessionStore.SessionStore)(
  Effect.flatMap(
    Effect.flatMap(
      Effect.all([SqlClient.SqlClient, SessionStore.TimeToLive]),
      ([sql, timeToLive]) => Effect.catchTag(Sql.make(sql, timeToLive), "DialectUnsupported", Effect.die)
    ),
    SessionStore.make
  )
)

/**
 * Layer that keeps sessions in a database file of their own: `layerFile({ filename: "sessions.db" })`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFile = (
  options: SqliteClient.Options
): Layer.Layer<SessionStore.SessionStore, SqlError.SqlError | SchemaTooNew> =>
  Layer.provide(layer, SqliteClient.layer(options))

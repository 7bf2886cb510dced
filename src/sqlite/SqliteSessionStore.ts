/**
 * Sessions in a SQLite database.
 *
 * `layer` keeps them in any database that a `SqlClient` of the SQLite dialect has open, in tables of their own;
 * `layerFile` opens a file for it. Many processes may share the database: of two saves made from one version exactly one
 * succeeds, and a process that dies in a save leaves the session as it was. A save writes what it appends, not the whole
 * history.
 *
 * **Example** (Two savers of one version)
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

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as Names from "../internal/session/names.ts"
import * as Session from "../Session.ts"
import * as SessionStore from "../SessionStore.ts"
import * as SqliteClient from "./SqliteClient.ts"

/**
 * The tables were made by a newer version of this package. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class SchemaTooNew extends Schema.Error<SchemaTooNew>("effect-agents/sqlite/SchemaTooNew")({
  _tag: Schema.tag("SchemaTooNew"),
  found: Schema.Int,
  supported: Schema.Int
}) {
  override get message(): string {
    return `The sessions in this database have schema version ${this.found}, and this version of effect-agents knows ` +
      `versions up to ${this.supported}`
  }
}

/**
 * Layer that keeps sessions in the database of the `SqlClient`, and makes the tables when they are not there.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<
  SessionStore.SessionStore,
  SqlError.SqlError | SchemaTooNew,
  SqlClient.SqlClient
> = Layer.effect(SessionStore.SessionStore)(Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  yield* migrate(sql)

  const load = Effect.fnUntraced(function*(id: string) {
    const key = Names.toUnicode(id)
    // One statement, so that it sees one state of the database
    const rows = yield* unavailable("load", id)(sql<Row>`
      SELECT -1 AS seq, version, incarnation, length, state AS json FROM effect_agents_sessions WHERE id = ${key}
      UNION ALL
      SELECT seq, NULL, NULL, NULL, message FROM effect_agents_session_messages WHERE session_id = ${key}
      ORDER BY seq
    `)
    const [session, ...messages] = rows
    if (session === undefined) return Session.empty(id)
    if (session.seq !== -1 || session.version === null || session.length === null) {
      return yield* SessionStore.invalid(id, sessionRecord(id), "it is missing, but there are messages of the session")
    }
    if (messages.length !== session.length) {
      const description = `it has length ${session.length}, but there are ${messages.length} messages`
      return yield* SessionStore.invalid(id, sessionRecord(id), description)
    }
    return {
      id,
      version: session.version,
      state: yield* decode(id, sessionRecord(id), StateFromJson, session.json),
      history: Prompt.fromMessages(
        yield* Effect.forEach(messages, (row, seq) =>
          row.seq === seq
            ? decode(id, messageRecord(id, seq), MessageFromJson, row.json)
            : SessionStore.invalid(id, messageRecord(id, seq), "it is missing"))
      ),
      ...(session.incarnation === null ? {} : { incarnation: session.incarnation })
    }
  })

  const save = Effect.fnUntraced(function*(session: Session.Session, change: SessionStore.Change) {
    const id = session.id
    const key = Names.toUnicode(id)
    const messages = yield* Effect.forEach(
      change.append,
      (message) => encode(id, MessageFromJson, SessionStore.toStorable(message))
    )
    const next = SessionStore.extend(session, change)
    const state = change.state === undefined ? null : yield* encode(id, StateFromJson, next.state)
    const added = messages.length

    const write = Effect.gen(function*() {
      // The check and the write are one statement: whoever comes second finds another version
      const written = session.version === 0
        ? yield* sql<{ readonly length: number }>`
            INSERT INTO effect_agents_sessions (id, version, incarnation, length, state)
            VALUES (${key}, 1, ${next.incarnation}, ${added}, ${state ?? "{}"})
            ON CONFLICT (id) DO NOTHING
            RETURNING length
          `
        : yield* sql<{ readonly length: number }>`
            UPDATE effect_agents_sessions
            SET version = version + 1, length = length + ${added}, state = coalesce(${state}, state)
            WHERE id = ${key} AND version = ${session.version} AND incarnation IS ${session.incarnation ?? null}
            RETURNING length
          `
      if (written[0] === undefined) {
        const stored = yield* sql<{ readonly version: number }>`
          SELECT version FROM effect_agents_sessions WHERE id = ${key}
        `
        return yield* SessionStore.conflict(session, stored[0]?.version ?? 0)
      }
      const first = written[0].length - added
      yield* Effect.forEach(messages, (message, index) =>
        sql`
          INSERT INTO effect_agents_session_messages (session_id, seq, message)
          VALUES (${key}, ${first + index}, ${message})
        `, { discard: true })
      return next
    })
    return yield* sql.withTransaction(write).pipe(
      Effect.catchTag("SqlError", (cause) => storeError("save", id, cause))
    )
  })

  const remove = (id: string) => {
    const key = Names.toUnicode(id)
    return unavailable("remove", id)(sql.withTransaction(Effect.andThen(
      sql`DELETE FROM effect_agents_session_messages WHERE session_id = ${key}`,
      sql`DELETE FROM effect_agents_sessions WHERE id = ${key}`
    )))
  }

  return yield* SessionStore.make({ load, save, remove: (id) => Effect.asVoid(remove(id)) })
}))

/**
 * Layer that keeps sessions in a database file of their own, as in `layerFile({ filename: "sessions.db" })`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFile = (
  options: SqliteClient.Options
): Layer.Layer<SessionStore.SessionStore, SqlError.SqlError | SchemaTooNew> =>
  Layer.provide(layer, SqliteClient.layer(options))

interface Row {
  readonly seq: number
  readonly version: number | null
  readonly incarnation: string | null
  readonly length: number | null
  readonly json: string
}

const schemaVersion = 2

/** Reads before it writes, so that opening an existing database waits for nobody. */
const migrate = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const tables = yield* sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'effect_agents_schema'`
  if (tables.length > 0) return yield* checkTables(sql)
  return yield* sql.withTransaction(Effect.andThen(createTables(sql), checkTables(sql)))
})

/** Tables of these names that somebody else made, or a newer version of us, are found out before the first save. */
const checkTables = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const [row] = yield* sql<{ readonly version: number }>`
    SELECT version FROM effect_agents_schema WHERE name = 'sessions'
  `
  if (row !== undefined && row.version > schemaVersion) {
    return yield* new SchemaTooNew({ found: row.version, supported: schemaVersion })
  }
  if (row?.version === 1) yield* sql.withTransaction(addIncarnations(sql))
  yield* sql`SELECT id, version, incarnation, length, state FROM effect_agents_sessions LIMIT 0`
  yield* sql`SELECT session_id, seq, message FROM effect_agents_session_messages LIMIT 0`
})

/** Another process may do it at the same moment: it is done once. */
const addIncarnations = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const [row] = yield* sql`SELECT 1 FROM effect_agents_schema WHERE name = 'sessions' AND version = 1`
  if (row === undefined) return
  yield* sql`ALTER TABLE effect_agents_sessions ADD COLUMN incarnation TEXT`
  yield* sql`UPDATE effect_agents_schema SET version = 2 WHERE name = 'sessions'`
})

/** The version is in a table, because `PRAGMA user_version` belongs to the application that owns the database. */
const createTables = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  yield* sql`
    CREATE TABLE IF NOT EXISTS effect_agents_schema (
      name TEXT NOT NULL PRIMARY KEY,
      version INTEGER NOT NULL
    ) STRICT
  `
  yield* sql`
    CREATE TABLE IF NOT EXISTS effect_agents_sessions (
      id TEXT NOT NULL PRIMARY KEY,
      version INTEGER NOT NULL,
      length INTEGER NOT NULL,
      state TEXT NOT NULL,
      incarnation TEXT
    ) STRICT
  `
  yield* sql`
    CREATE TABLE IF NOT EXISTS effect_agents_session_messages (
      session_id TEXT NOT NULL REFERENCES effect_agents_sessions (id) ON DELETE CASCADE,
      seq INTEGER NOT NULL,
      message TEXT NOT NULL,
      PRIMARY KEY (session_id, seq)
    ) STRICT
  `
  yield* sql`
    INSERT INTO effect_agents_schema (name, version) VALUES ('sessions', ${schemaVersion}) ON CONFLICT (name) DO NOTHING
  `
})

const StateFromJson = Schema.fromJsonString(Session.State)

const MessageFromJson = Schema.fromJsonString(Prompt.Message)

const sessionRecord = (id: string) => `effect_agents_sessions/${id}`

const messageRecord = (id: string, seq: number) => `effect_agents_session_messages/${id}/${seq}`

const decode = <A>(
  id: string,
  record: string,
  schema: Schema.Codec<A, string>,
  json: string
): Effect.Effect<A, Session.SessionError> =>
  Effect.mapError(Schema.decodeEffect(schema)(json), (error) => SessionStore.invalid(id, record, error.message))

const encode = <A>(
  id: string,
  schema: Schema.Codec<A, string>,
  value: A
): Effect.Effect<string, Session.SessionError> =>
  Effect.mapError(
    Schema.encodeEffect(schema)(value),
    (error) => SessionStore.invalid(id, sessionRecord(id), error.message)
  )

const storeError = (
  operation: Session.SessionStoreUnavailable["operation"],
  sessionId: string,
  cause: SqlError.SqlError
): Session.SessionError =>
  new Session.SessionError({ sessionId, reason: new Session.SessionStoreUnavailable({ operation, cause }) })

const unavailable =
  (operation: Session.SessionStoreUnavailable["operation"], sessionId: string) =>
  <A>(effect: Effect.Effect<A, SqlError.SqlError>): Effect.Effect<A, Session.SessionError> =>
    Effect.mapError(effect, (cause) => storeError(operation, sessionId, cause))

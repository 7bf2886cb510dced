/**
 * Sessions in a SQL database, shared by any number of processes.
 *
 * One statement makes the check of a save and its first write, so of two saves made from the same version the second
 * one finds a newer version. History is only appended, never rewritten.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { conflict, extend, invalid, type Operation, toStorable } from "./change.ts"
import * as Expiry from "./expiry.ts"
import * as Listing from "./listing.ts"
import * as Messages from "./messages.ts"
import * as Names from "./names.ts"
import * as Tables from "./sqlTables.ts"
import * as SqlVersions from "./sqlVersions.ts"
import * as Versions from "./versions.ts"

/** A session (with `seq` -1), or one of its messages. */
interface LoadedRow {
  readonly seq: number
  readonly version: number | null
  readonly incarnation: string | null
  readonly length: number | null
  readonly updated: unknown
  readonly json: string
}

interface ListedRow {
  readonly id: string
  readonly name: string | null
  readonly title: string | null
  readonly updated: unknown
  readonly version: number
  readonly length: number
}

/**
 * Creates the tables if they do not exist, and the operations on the sessions in them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  client: SqlClient.SqlClient,
  timeToLive: Duration.Input
): Effect.fn.Return<
  SessionStore.Options & SessionStore.ManyOptions,
  SqlError.SqlError | Tables.SchemaTooNew | Tables.DialectUnsupported
> {
  // the columns have exactly the names that are written here
  const sql = client.withoutTransforms()
  const dialect = yield* Tables.prepare(sql)
  const moment = Expiry.moment(timeToLive)
  const keyOf = (id: string) => dialect.name === "pg" ? Names.toKey(id) : Effect.succeed(Names.toUnicode(id))
  /** A row that was read does not change until the transaction ends. SQLite allows one writer at a time. */
  const locked = sql.literal(dialect.name === "pg" ? "FOR UPDATE" : "")

  /** Nobody can tell whether a session without a valid date is expired. */
  const isDated = sql`updated BETWEEN ${-Listing.latest} AND ${Listing.latest}`

  const inTransaction = <A, E>(
    operation: Operation,
    id: string | undefined,
    effect: Effect.Effect<A, E | SqlError.SqlError>
  ): Effect.Effect<A, Session.SessionError | Exclude<E, SqlError.SqlError>> =>
    Effect.flatMap(Effect.serviceOption(sql.transactionService), (outer) => {
      const transaction = Effect.provideService(
        sql.withTransaction(effect),
        SqlClient.BeginTransaction,
        dialect.begin
      )
      return unavailable(
        operation,
        id,
        // a transaction that the database has rolled back may be tried again, but not as a part of an outer transaction
        Option.isSome(outer) ? transaction : Effect.retry(transaction, { times: 10, while: isUndone })
      )
    })

  const load = Effect.fnUntraced(function*(operation: Operation, id: string) {
    const key = yield* keyOf(id)
    const { expired } = yield* moment
    // One statement, so that it sees one state of the database
    const rows = yield* unavailable(
      operation,
      id,
      sql<LoadedRow>`
      SELECT -1 AS seq, version, incarnation, length, CASE WHEN ${isDated} THEN updated END AS updated, state AS json
      FROM effect_agents_sessions WHERE id = ${key}
      UNION ALL
      SELECT seq, NULL, NULL, NULL, NULL, message FROM effect_agents_session_messages WHERE session_id = ${key}
      ORDER BY seq
    `
    )
    const [session, ...messages] = rows
    if (session === undefined) return Session.empty(id)
    if (session.seq !== -1 || session.version === null || session.length === null) {
      return yield* invalid(id, SqlVersions.sessionRecord(id), "it is missing, but there are messages of the session")
    }
    if (session.updated === null) {
      return yield* invalid(id, SqlVersions.sessionRecord(id), "the time of its last save is no date")
    }
    if (Number(session.updated) <= expired) return Session.empty(id)
    if (messages.length !== session.length) {
      const description = `it has length ${session.length}, but there are ${messages.length} messages`
      return yield* invalid(id, SqlVersions.sessionRecord(id), description)
    }
    const read = Messages.readTexts(messages.map(({ json }) => json))
    const readOne = ({ json, seq }: LoadedRow, index: number) => {
      const record = messageRecord(id, index)
      if (seq !== index) return invalid(id, record, "it is missing")
      const message = read[index]
      return message === undefined ? SqlVersions.decode(id, record, Messages.FromJson, json) : Effect.succeed(message)
    }
    return {
      id,
      version: session.version,
      state: yield* SqlVersions.decode(id, SqlVersions.sessionRecord(id), SqlVersions.StateFromJson, session.json),
      history: Prompt.fromMessages(yield* Effect.forEach(messages, readOne)),
      ...(session.incarnation === null ? {} : { incarnation: session.incarnation })
    } satisfies Session.Session as Session.Session
  })

  /**
   * Deletes a session with all of its rows. If somebody begins the session again between two statements, the new rows
   * stay.
   */
  const erase = Effect.fnUntraced(function*(key: string) {
    const isNone = sql`NOT EXISTS (SELECT 1 FROM effect_agents_sessions WHERE id = ${key})`
    yield* sql`DELETE FROM effect_agents_sessions WHERE id = ${key}`
    yield* sql`DELETE FROM effect_agents_session_messages WHERE session_id = ${key} AND ${isNone}`
    yield* sql`DELETE FROM effect_agents_session_changes WHERE session_id = ${key} AND ${isNone}`
  })

  /** Deletes an expired session, so that it can begin again. */
  const eraseExpired = Effect.fnUntraced(function*(key: string, expired: number) {
    if (expired === Expiry.never) return
    const rows = yield* sql`
      SELECT 1 FROM effect_agents_sessions WHERE id = ${key} AND updated <= ${expired} ${locked}
    `
    if (rows.length > 0) yield* erase(key)
  })

  /**
   * Returns `undefined` if the session does not exist, or has expired. Nobody else changes it until the transaction
   * ends.
   */
  const find = (key: string, expired: number) =>
    Effect.map(
      sql<SqlVersions.SessionRow>`
        SELECT version, incarnation, title, forgotten FROM effect_agents_sessions
        WHERE id = ${key} AND updated > ${expired} ${locked}
      `,
      (rows) => rows[0]
    )

  const failConflict = Effect.fnUntraced(function*(session: Session.Session, key: string, expired: number) {
    const stored = yield* find(key, expired)
    return yield* conflict(session, stored?.version ?? 0)
  })

  const save = Effect.fnUntraced(function*(session: Session.Session, change: SessionStore.Change) {
    const { id } = session
    const key = yield* keyOf(id)
    const next = extend(session, change)
    const messages = yield* Effect.forEach(
      change.append,
      (message) => SqlVersions.encode(id, Messages.FromJson, toStorable(message))
    )
    const changed = change.state === undefined
      ? null
      : yield* SqlVersions.encode(id, SqlVersions.StateFromJson, change.state)
    const state = change.state === undefined
      ? null
      : yield* SqlVersions.encode(id, SqlVersions.StateFromJson, next.state)
    const added = messages.length
    const set = Versions.titleToSave({ append: [], title: change.title }, true) ?? null
    const title = set ?? Versions.titleOf(change.append) ?? null
    const { expired, now } = yield* moment

    const update = sql<{ readonly length: number; readonly title: string | null }>`
      UPDATE effect_agents_sessions
      SET version = version + 1, length = length + ${added}, state = coalesce(${state}, state),
        title = coalesce(${set}, title, ${title}), updated = ${now}
      WHERE id = ${key} AND version = ${session.version} AND updated > ${expired}
        AND incarnation IS NOT DISTINCT FROM ${session.incarnation ?? null}
      RETURNING length, title
    `
    const insert = Effect.andThen(
      eraseExpired(key, expired),
      sql<{ readonly length: number; readonly title: string | null }>`
        INSERT INTO effect_agents_sessions ${
        sql.insert([{
          id: key,
          name: Names.nameOf(id, key),
          version: 1,
          incarnation: next.incarnation ?? null,
          length: added,
          state: state ?? "{}",
          title,
          updated: now
        }])
      } ON CONFLICT (id) DO NOTHING RETURNING length, title
      `
    )
    return yield* inTransaction(
      "save",
      id,
      Effect.gen(function*() {
        // The check and the write are one statement, so the second of two saves finds a newer version
        const [written] = yield* session.version === 0 ? insert : update
        if (written === undefined) return yield* failConflict(session, key, expired)
        const first = written.length - added
        const rows = Arr.map(messages, (message, index) => ({
          session_id: key,
          seq: first + index,
          message,
          version: next.version
        }))
        for (const chunk of Arr.chunksOf(rows, rowsOfStatement)) {
          yield* sql`INSERT INTO effect_agents_session_messages ${sql.insert(chunk)}`
        }
        // a title that already existed does not belong to this save
        const saved = set ?? (written.title === title ? title : null)
        if (changed !== null || saved !== null) {
          yield* sql`INSERT INTO effect_agents_session_changes ${
            sql.insert([{ session_id: key, version: next.version, state: changed, title: saved }])
          }`
        }
        return next
      })
    )
  })

  const versions = SqlVersions.make({ sql, moment, keyOf, find, load, save, failConflict, eraseExpired, inTransaction })

  const toSummary = Effect.fnUntraced(function*({ id: key, length, name, title, updated, version }: ListedRow) {
    const id = name === null
      ? Names.fromUnicode(key)
      : yield* SqlVersions.decode(undefined, SqlVersions.sessionRecord(key), IdFromJson, name)
    if ((yield* keyOf(id)) !== key) {
      return yield* invalid(undefined, SqlVersions.sessionRecord(key), `it belongs to the session \`${id}\``)
    }
    return {
      id,
      ...(title === null ? {} : { title }),
      updated: DateTime.makeUnsafe(Number(updated)),
      version,
      size: length
    }
  })

  const list = Effect.fnUntraced(function*(options: SessionStore.ListOptions | undefined) {
    const query = yield* Listing.toQuery(options, dialect.name === "pg" ? Names.isKey : Names.isUnicode)
    const { expired } = yield* moment
    const { after, pageSize, prefix } = query
    const isAfter = after === undefined
      ? sql.literal("1 = 1")
      : sql`(updated < ${after.updated} OR (updated = ${after.updated} AND id < ${after.key}))`
    const rows = yield* unavailable(
      "list",
      undefined,
      sql<ListedRow>`
      SELECT id, name, title, updated, version, length FROM effect_agents_sessions
      WHERE updated > ${expired} AND ${isDated} AND ${isAfter} AND ${Tables.beginsWith(sql, dialect, prefix)}
      ORDER BY updated DESC, id DESC LIMIT ${pageSize + 1}
    `
    )
    if (after === undefined) yield* tellUndated("list")
    const entries = yield* Effect.forEach(rows, (row) =>
      Effect.map(
        Listing.readable("list", toSummary(row)),
        (summary) => ({ key: row.id, updated: Number(row.updated), summary })
      ))
    return Listing.toPage(query, entries)
  })

  const tellUndated = Effect.fnUntraced(function*(operation: "list" | "sweep") {
    const rows = yield* unavailable(
      operation,
      undefined,
      sql<{ readonly id: string }>`
      SELECT id FROM effect_agents_sessions
      WHERE updated > ${Listing.latest} OR updated < ${-Listing.latest} ORDER BY updated, id LIMIT 100
    `
    )
    yield* Effect.forEach(rows, ({ id }) => Listing.leftOut(operation, SqlVersions.sessionRecord(id)), {
      discard: true
    })
  })

  const sweep = Effect.gen(function*() {
    const { expired } = yield* moment
    if (expired === Expiry.never) return 0
    yield* tellUndated("sweep")
    let count = 0
    while (true) {
      const keys = yield* inTransaction(
        "sweep",
        undefined,
        Effect.gen(function*() {
          const rows = yield* sql<{ readonly id: string }>`
          SELECT id FROM effect_agents_sessions WHERE updated <= ${expired} AND ${isDated}
          ORDER BY updated, id LIMIT ${rowsOfStatement} ${locked}
        `
          yield* Effect.forEach(rows, ({ id }) => erase(id), { discard: true })
          return rows
        })
      )
      count += keys.length
      if (keys.length < rowsOfStatement) return count
    }
  })

  return {
    load: (id) => load("load", id),
    save,
    remove: Effect.fnUntraced(function*(id) {
      const key = yield* keyOf(id)
      yield* inTransaction("remove", id, erase(key))
    }),
    list,
    sweep,
    ...versions
  }
})

/** The number of rows in one statement, because every database limits the number of parameters. */
const rowsOfStatement = 500

const IdFromJson = Schema.fromJsonString(Schema.String)

const messageRecord = (id: string, seq: number) => `effect_agents_session_messages/${id}/${seq}`

const isUndone = (error: unknown): boolean =>
  SqlError.isSqlError(error) &&
  (error.reason._tag === "SerializationError" || error.reason._tag === "DeadlockError")

const unavailable = <A, E>(
  operation: Operation,
  sessionId: string | undefined,
  effect: Effect.Effect<A, E | SqlError.SqlError>
): Effect.Effect<A, Session.SessionError | Exclude<E, SqlError.SqlError>> =>
  Effect.mapError(effect, (error) =>
    SqlError.isSqlError(error)
      ? new Session.SessionError({
        sessionId,
        reason: new Session.SessionStoreUnavailable({ operation, cause: error })
      })
      : error as Exclude<E, SqlError.SqlError>)

/**
 * The versions of the sessions in a SQL database: reading them, going back to them, and sessions that begin with them.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { conflict, extend, invalid, isCurrent, type Operation, unknownVersion } from "./change.ts"
import type * as Expiry from "./expiry.ts"
import * as Names from "./names.ts"
import * as Versions from "./versions.ts"

/**
 * The row of a session. `forgotten` has the ranges of versions that cannot be read any more, as JSON.
 *
 * @category models
 * @since 0.1.0
 */
export interface SessionRow {
  readonly version: number
  readonly incarnation: string | null
  readonly title: string | null
  readonly forgotten: string
}

type Failure = Session.SessionError | SqlError.SqlError

/**
 * What the versions need of the store that they are in.
 *
 * @category models
 * @since 0.1.0
 */
export interface Store {
  readonly sql: SqlClient.SqlClient
  readonly moment: Effect.Effect<Expiry.Moment>
  readonly keyOf: (id: string) => Effect.Effect<string>
  readonly find: (key: string, expired: number) => Effect.Effect<SessionRow | undefined, SqlError.SqlError>
  readonly load: (operation: Operation, id: string) => Effect.Effect<Session.Session, Session.SessionError>
  readonly save: (
    session: Session.Session,
    change: SessionStore.Change
  ) => Effect.Effect<Session.Session, Session.SessionError>
  readonly failConflict: (session: Session.Session, key: string, expired: number) => Effect.Effect<never, Failure>
  readonly eraseExpired: (key: string, expired: number) => Effect.Effect<void, SqlError.SqlError>
  readonly inTransaction: <A>(
    operation: Operation,
    id: string | undefined,
    effect: Effect.Effect<A, Failure>
  ) => Effect.Effect<A, Session.SessionError>
}

/**
 * Creates the operations on versions.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  { eraseExpired, failConflict, find, inTransaction, keyOf, load, moment, save, sql }: Store
): Pick<SessionStore.ManyOptions, "fork" | "truncate" | "loadVersion"> => {
  /** The state and the title after all saves up to a version. */
  const replay = Effect.fnUntraced(function*(id: string, key: string, version: number) {
    const rows = yield* sql<{ readonly state: string | null; readonly title: string | null }>`
      SELECT state, title FROM effect_agents_session_changes
      WHERE session_id = ${key} AND version <= ${version} ORDER BY version
    `
    const states = yield* Effect.forEach(
      rows.flatMap(({ state }) => state === null ? [] : [state]),
      (state) => decode(id, sessionRecord(id), StateFromJson, state)
    )
    return {
      state: yield* encode(id, StateFromJson, Versions.stateOf(states.map((state) => ({ state })))),
      title: rows.findLast((row) => row.title !== null)?.title ?? null
    }
  })

  const countMessages = (key: string, version: number) =>
    Effect.map(
      sql<{ readonly count: unknown }>`
        SELECT count(*) AS count FROM effect_agents_session_messages
        WHERE session_id = ${key} AND version <= ${version}
      `,
      (rows) => Number(rows[0]?.count)
    )

  /**
   * Returns the ranges of versions that are forgotten. Fails if the version is in one of them, or does not exist yet.
   */
  const checkVersion = Effect.fnUntraced(function*(id: string, row: SessionRow | undefined, version: number) {
    const forgotten = row === undefined ? [] : yield* decode(id, sessionRecord(id), RangesFromJson, row.forgotten)
    const isKnown = Number.isInteger(version) && version >= 0 && version <= (row?.version ?? 0) &&
      !forgotten.some(([from, to]) => version >= from && version <= to)
    return isKnown ? forgotten.filter(([from]) => from <= version) : yield* unknownVersion(id, version)
  })

  /** The latest version with at most so many messages, of those that are not forgotten. */
  const versionOf = Effect.fnUntraced(function*(id: string, key: string, row?: SessionRow, length?: number) {
    if (row === undefined || length === undefined) return row?.version ?? 0
    const [next] = yield* sql<{ readonly version: number | null }>`
      SELECT min(version) AS version FROM effect_agents_session_messages WHERE session_id = ${key} AND seq >= ${length}`
    const forgotten = yield* decode(id, sessionRecord(id), RangesFromJson, row.forgotten)
    return Versions.before(next?.version ?? row.version + 1, forgotten)
  })

  const fork = Effect.fnUntraced(function*(id: string, { length, to, version }: SessionStore.ForkOptions) {
    const [key, toKey] = yield* Effect.all([keyOf(id), keyOf(to)])
    const { expired, now } = yield* moment
    return yield* inTransaction(
      "fork",
      id,
      Effect.gen(function*() {
        const row = yield* find(key, expired)
        const wanted = version ?? (yield* versionOf(id, key, row, length))
        const forgotten = yield* checkVersion(id, row, wanted)
        if (wanted === 0) {
          return (yield* find(toKey, expired)) === undefined
            ? Session.empty(to)
            : yield* failConflict(Session.empty(to), toKey, expired)
        }
        if (toKey !== key) yield* eraseExpired(toKey, expired)
        const { state, title } = yield* replay(id, key, wanted)
        const { incarnation = null } = extend(Session.empty(to), { append: [] })
        const written = yield* sql`
        INSERT INTO effect_agents_sessions ${
          sql.insert([{
            id: toKey,
            name: Names.nameOf(to, toKey),
            version: wanted,
            incarnation,
            length: yield* countMessages(key, wanted),
            state,
            title,
            updated: now,
            forgotten: yield* encode(id, RangesFromJson, forgotten)
          }])
        } ON CONFLICT (id) DO NOTHING RETURNING id
      `
        if (written.length === 0) return yield* failConflict(Session.empty(to), toKey, expired)
        yield* sql`
        INSERT INTO effect_agents_session_messages (session_id, seq, message, version)
        SELECT CAST(${toKey} AS TEXT), seq, message, version FROM effect_agents_session_messages
        WHERE session_id = ${key} AND version <= ${wanted}
      `
        yield* sql`
        INSERT INTO effect_agents_session_changes (session_id, version, state, title)
        SELECT CAST(${toKey} AS TEXT), version, state, title FROM effect_agents_session_changes
        WHERE session_id = ${key} AND version <= ${wanted}
      `
        return yield* load("fork", to)
      })
    )
  })

  const truncate = Effect.fnUntraced(function*(
    session: Session.Session,
    version: number,
    change?: SessionStore.Change
  ) {
    const { id } = session
    const key = yield* keyOf(id)
    const { expired, now } = yield* moment
    return yield* inTransaction(
      "truncate",
      id,
      Effect.gen(function*() {
        const row = yield* find(key, expired)
        const stored = row === undefined
          ? Session.empty(id)
          : { ...session, version: row.version, incarnation: row.incarnation ?? undefined }
        if (!isCurrent(session, stored)) return yield* conflict(session, stored.version)
        const forgotten = yield* checkVersion(id, row, version)
        if (row === undefined) return change === undefined ? stored : yield* save(Session.empty(id), change)
        const { state, title } = yield* replay(id, key, version)
        const length = version === 0 ? 0 : yield* countMessages(key, version)
        const ranges = version < row.version ? [...forgotten, [version + 1, row.version] as const] : forgotten
        // with a change there is one save, which is that of the change
        yield* sql`
        UPDATE effect_agents_sessions
        SET version = version + ${change === undefined ? 1 : 0}, length = ${length}, state = ${state}, title = ${title},
          updated = ${now}, forgotten = ${yield* encode(id, RangesFromJson, ranges)}
        WHERE id = ${key}
      `
        yield* sql`DELETE FROM effect_agents_session_messages WHERE session_id = ${key} AND seq >= ${length}`
        yield* sql`DELETE FROM effect_agents_session_changes WHERE session_id = ${key} AND version > ${version}`
        const back = yield* load("truncate", id)
        return change === undefined ? back : yield* save(back, change)
      })
    )
  })

  const loadVersion = Effect.fnUntraced(function*(id: string, version: number) {
    const key = yield* keyOf(id)
    const { expired } = yield* moment
    return yield* inTransaction(
      "load",
      id,
      Effect.gen(function*() {
        const row = yield* find(key, expired)
        yield* checkVersion(id, row, version)
        const session = yield* load("load", id)
        if (version === session.version) return session
        const { state } = yield* replay(id, key, version)
        return {
          ...session,
          version,
          history: Prompt.fromMessages(session.history.content.slice(0, yield* countMessages(key, version))),
          state: yield* decode(id, sessionRecord(id), StateFromJson, state)
        }
      })
    )
  })

  return { fork, truncate, loadVersion }
}

/**
 * Schema for the state of a session.
 *
 * @category schemas
 * @since 0.1.0
 */
export const StateFromJson: Schema.Codec<Session.State, string> = Schema.fromJsonString(Session.State)

const RangesFromJson = Schema.fromJsonString(Schema.Array(Schema.Tuple([Schema.Int, Schema.Int])))

/**
 * Returns the name of the record of a session.
 *
 * @category conversions
 * @since 0.1.0
 */
export const sessionRecord = (id: string): string => `effect_agents_sessions/${id}`

/**
 * Reads a value of a record.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = <A>(
  id: string | undefined,
  record: string,
  schema: Schema.Codec<A, string>,
  json: string
): Effect.Effect<A, Session.SessionError> =>
  Effect.mapError(Schema.decodeEffect(schema)(json), (error) => invalid(id, record, error.message))

/**
 * Writes a value of the record of a session.
 *
 * @category conversions
 * @since 0.1.0
 */
export const encode = <A>(
  id: string,
  schema: Schema.Codec<A, string>,
  value: A
): Effect.Effect<string, Session.SessionError> =>
  Effect.mapError(Schema.encodeEffect(schema)(value), (error) => invalid(id, sessionRecord(id), error.message))

/**
 * The tables of sessions in a SQL database, and the differences between SQL dialects.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import type * as Statement from "effect/sql/Statement"
import * as Messages from "./messages.ts"
import * as Ranges from "./ranges.ts"
import * as Versions from "./versions.ts"

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
 * The database is of a kind that is not supported. Nothing was changed.
 *
 * @category errors
 * @since 0.1.0
 */
export class DialectUnsupported extends Schema.Error<DialectUnsupported>("effect-agents/sql/DialectUnsupported")({
  _tag: Schema.tag("DialectUnsupported"),
  dialect: Schema.String
}) {
  override get message(): string {
    return `Sessions can be kept in SQLite and in PostgreSQL, not in \`${this.dialect}\``
  }
}

/**
 * The differences between the supported databases.
 *
 * @category models
 * @since 0.1.0
 */
export interface Dialect {
  readonly name: "sqlite" | "pg"
  /**
   * How a transaction begins. On PostgreSQL each statement sees what is committed when it begins, whatever the
   * database's default is, so a save that had to wait for another one notices that it came too late.
   */
  readonly begin: string
}

const dialectOf = (sql: SqlClient.SqlClient): Effect.Effect<Dialect, DialectUnsupported> => {
  const unsupported = (dialect: string) => () => Effect.fail(new DialectUnsupported({ dialect }))
  return sql.onDialect<
    Effect.Effect<Dialect, DialectUnsupported>,
    Effect.Effect<Dialect, DialectUnsupported>,
    Effect.Effect<Dialect, DialectUnsupported>,
    Effect.Effect<Dialect, DialectUnsupported>,
    Effect.Effect<Dialect, DialectUnsupported>
  >({
    sqlite: () => Effect.succeed({ name: "sqlite", begin: "BEGIN IMMEDIATE" }),
    pg: () => Effect.succeed({ name: "pg", begin: "BEGIN ISOLATION LEVEL READ COMMITTED" }),
    mysql: unsupported("mysql"),
    mssql: unsupported("mssql"),
    clickhouse: unsupported("clickhouse")
  })
}

const schemaVersion = 2

/**
 * Creates the tables if they do not exist, and upgrades those of an older version.
 *
 * It reads before it writes, so that opening a database in use does not have to wait.
 *
 * @category constructors
 * @since 0.1.0
 */
export const prepare = Effect.fnUntraced(function*(
  sql: SqlClient.SqlClient
): Effect.fn.Return<Dialect, SqlError.SqlError | SchemaTooNew | DialectUnsupported> {
  const dialect = yield* dialectOf(sql)
  const found = yield* sql.onDialectOrElse({
    pg: () => sql`SELECT 1 WHERE to_regclass('effect_agents_schema') IS NOT NULL`,
    orElse: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'effect_agents_schema'`
  })
  const version = found.length === 0 ? undefined : yield* versionOf(sql)
  if (version === schemaVersion) {
    yield* checkTables(sql)
    return dialect
  }
  // other processes may do the same, so each one checks again when it has the lock
  const migrate = Effect.gen(function*() {
    if (dialect.name === "pg") yield* sql`SELECT pg_advisory_xact_lock(${lock})`
    yield* createTables(sql, dialect)
    const version = yield* versionOf(sql)
    if (version !== undefined && version > schemaVersion) {
      return yield* new SchemaTooNew({ found: version, supported: schemaVersion })
    }
    if (version === 1) yield* addVersions(sql)
    yield* checkTables(sql)
    yield* sql`CREATE INDEX IF NOT EXISTS effect_agents_sessions_updated ON effect_agents_sessions (updated, id)`
    yield* version === undefined
      ? sql`INSERT INTO effect_agents_schema (name, version) VALUES ('sessions', ${schemaVersion})`
      : sql`UPDATE effect_agents_schema SET version = ${schemaVersion} WHERE name = 'sessions'`
  })
  yield* Effect.provideService(sql.withTransaction(migrate), SqlClient.BeginTransaction, dialect.begin)
  return dialect
})

const lock = 776_190_411

const versionOf = (sql: SqlClient.SqlClient) =>
  Effect.map(
    sql<{ readonly version: number }>`SELECT version FROM effect_agents_schema WHERE name = 'sessions'`,
    (rows) => rows[0] === undefined ? undefined : Number(rows[0].version)
  )

/** Notices foreign tables with these names before the first save. */
const checkTables = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  yield* sql`
    SELECT id, version, incarnation, length, state, name, title, updated, forgotten FROM effect_agents_sessions LIMIT 0
  `
  yield* sql`SELECT session_id, seq, message, version FROM effect_agents_session_messages LIMIT 0`
  yield* sql`SELECT session_id, version, state, title FROM effect_agents_session_changes LIMIT 0`
})

/**
 * The version is in a table, because `PRAGMA user_version` belongs to the application that owns the database.
 *
 * `id` is the session's id; if the column cannot hold it, `name` has it as JSON. `forgotten` has the ranges of versions
 * that can no longer be restored. `changes` has the changes of a save other than messages.
 */
const createTables = Effect.fnUntraced(function*(sql: SqlClient.SqlClient, { name }: Dialect) {
  const text = sql.literal(name === "pg" ? "TEXT COLLATE \"C\"" : "TEXT")
  const long = sql.literal(name === "pg" ? "BIGINT" : "INTEGER")
  const end = sql.literal(name === "pg" ? "" : "STRICT")
  yield* sql`
    CREATE TABLE IF NOT EXISTS effect_agents_schema (
      name TEXT NOT NULL PRIMARY KEY,
      version INTEGER NOT NULL
    ) ${end}
  `
  yield* sql`
    CREATE TABLE IF NOT EXISTS effect_agents_sessions (
      id ${text} NOT NULL PRIMARY KEY,
      version INTEGER NOT NULL,
      length INTEGER NOT NULL,
      state TEXT NOT NULL,
      incarnation TEXT,
      name TEXT,
      title TEXT,
      updated ${long} NOT NULL DEFAULT 0,
      forgotten TEXT NOT NULL DEFAULT '[]'
    ) ${end}
  `
  yield* sql`
    CREATE TABLE IF NOT EXISTS effect_agents_session_messages (
      session_id ${text} NOT NULL REFERENCES effect_agents_sessions (id) ON DELETE CASCADE,
      seq INTEGER NOT NULL,
      message TEXT NOT NULL,
      version INTEGER NOT NULL DEFAULT 0,
      PRIMARY KEY (session_id, seq)
    ) ${end}
  `
  yield* sql`
    CREATE TABLE IF NOT EXISTS effect_agents_session_changes (
      session_id ${text} NOT NULL REFERENCES effect_agents_sessions (id) ON DELETE CASCADE,
      version INTEGER NOT NULL,
      state TEXT,
      title TEXT,
      PRIMARY KEY (session_id, version)
    ) ${end}
  `
})

/** The first version of the tables was created only by SQLite. */
const addVersions = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const now = yield* Clock.currentTimeMillis
  for (
    const column of [
      "incarnation TEXT",
      "name TEXT",
      "title TEXT",
      "updated INTEGER NOT NULL DEFAULT 0",
      "forgotten TEXT NOT NULL DEFAULT '[]'"
    ]
  ) {
    yield* sql`ALTER TABLE effect_agents_sessions ADD COLUMN ${sql.literal(column)}`
  }
  yield* sql`ALTER TABLE effect_agents_session_messages ADD COLUMN version INTEGER NOT NULL DEFAULT 0`
  yield* sql`
    UPDATE effect_agents_session_messages SET version = coalesce(
      (SELECT version FROM effect_agents_sessions WHERE id = session_id), 0
    )
  `
  yield* sql`
    UPDATE effect_agents_sessions SET updated = ${now}, forgotten = CASE
      WHEN version > 1 THEN '[[1,' || (version - 1) || ']]' ELSE '[]'
    END
  `
  yield* sql`
    INSERT INTO effect_agents_session_changes (session_id, version, state)
    SELECT id, version, state FROM effect_agents_sessions
  `
  const users = yield* sql<{ readonly id: string; readonly message: string }>`
    SELECT session_id AS id, message FROM effect_agents_session_messages
    WHERE message LIKE '{"role":"user"%' ORDER BY session_id, seq
  `
  const titles = new Map<string, string>()
  for (const { id, message } of users) {
    if (titles.has(id)) continue
    const decoded = Schema.decodeResult(Messages.FromJson)(message)
    const title = Result.isSuccess(decoded) ? Versions.titleOf([decoded.success]) : undefined
    if (title !== undefined) titles.set(id, title)
  }
  yield* Effect.forEach(titles, ([id, title]) =>
    Effect.andThen(
      sql`UPDATE effect_agents_sessions SET title = ${title} WHERE id = ${id}`,
      sql`UPDATE effect_agents_session_changes SET title = ${title} WHERE session_id = ${id}`
    ), { discard: true })
})

/**
 * Returns the condition that the id of a session begins with the prefix. Each of its branches can use the index of the
 * ids.
 *
 * @category constructors
 * @since 0.1.0
 */
export const beginsWith = (sql: SqlClient.SqlClient, dialect: Dialect, prefix: string): Statement.Fragment => {
  if (prefix === "") return sql.literal("1 = 1")
  const isIn = (column: string, { before, from }: Ranges.Range) => {
    const text = sql.literal(dialect.name === "pg" ? `${column} COLLATE "C"` : column)
    return before === undefined ? sql`${text} >= ${from}` : sql`(${text} >= ${from} AND ${text} < ${before})`
  }
  const named = sql.or(Ranges.ofJson(prefix).map((range) => isIn("name", range)))
  // a key that is not the id begins with a tilde
  const isNamed = sql`(id >= '~' AND id < ${"\u007f"} AND name IS NOT NULL AND ${named})`
  // PostgreSQL accepts no null character
  const range = dialect.name === "pg" && prefix.includes("\0") ? undefined : Ranges.ofTexts(prefix)
  return range === undefined ? isNamed : sql`((name IS NULL AND ${isIn("id", range)}) OR ${isNamed})`
}

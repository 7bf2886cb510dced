/**
 * The journal of runs in a SQL database.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
// the public module is made of it
import type * as RunJournal from "../RunJournal.ts"
import { inheritedFrom } from "./inherited.ts"
import { RunJournalError } from "./journalError.ts"

interface Codecs {
  readonly run: Schema.Codec<RunJournal.Run, string>
  readonly parts: Schema.Codec<ReadonlyArray<RunJournal.Told>, string>
}

/**
 * Creates the tables if they do not exist, and the operations on them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  maximumRuns: number,
  codecs: Codecs
): Effect.fn.Return<RunJournal.RunJournal["Service"], SqlError.SqlError, SqlClient.SqlClient> {
  // the columns have exactly the names that are written here
  const sql = (yield* SqlClient.SqlClient).withoutTransforms()
  yield* createTables(sql)

  /** Deletes the runs of a session before its last ones. */
  const prune = Effect.fnUntraced(function*(session: string, kept: number) {
    const rows = yield* sql<{ readonly run_id: string }>`
      SELECT run_id FROM effect_agents_runs WHERE session = ${session}
      ORDER BY started_at DESC, run_id DESC LIMIT 1000000 OFFSET ${kept}
    `
    yield* Effect.forEach(rows, ({ run_id }) =>
      Effect.andThen(
        Effect.andThen(
          sql`DELETE FROM effect_agents_run_parts WHERE run_id = ${run_id}`,
          sql`DELETE FROM effect_agents_run_forks WHERE run_id = ${run_id}`
        ),
        sql`DELETE FROM effect_agents_runs WHERE run_id = ${run_id}`
      ), { discard: true })
  })

  /** The runs of a session and those that it has inherited, the last first. */
  const list = Effect.fnUntraced(function*(session: string) {
    const rows = yield* sql<{ readonly run: string }>`
      SELECT run FROM effect_agents_runs
      WHERE session = ${session} OR run_id IN (SELECT run_id FROM effect_agents_run_forks WHERE session = ${session})
      ORDER BY started_at DESC, run_id DESC
    `
    return yield* Effect.forEach(rows, ({ run }) => Schema.decodeEffect(codecs.run)(run))
  })

  const first = <A>(rows: ReadonlyArray<A>): A | undefined => rows[0]

  return {
    write: (run) =>
      told(
        "write",
        sql.withTransaction(Effect.gen(function*() {
          const text = yield* Effect.orDie(Schema.encodeEffect(codecs.run)(run))
          const session = run.session === undefined ? null : keyOf(run.session)
          yield* sql`
            INSERT INTO effect_agents_runs (run_id, session, started_at, run)
            VALUES (${run.runId}, ${session}, ${run.startedAt}, ${text})
            ON CONFLICT (run_id) DO UPDATE SET run = excluded.run
          `
          if (run.endedAt !== undefined) return
          yield* sql`DELETE FROM effect_agents_run_parts WHERE run_id = ${run.runId}`
          if (session !== null) yield* prune(session, maximumRuns)
        }))
      ),
    append: (runId, parts) =>
      parts.length === 0 ? Effect.void : told(
        "append",
        Effect.flatMap(Effect.orDie(Schema.encodeEffect(codecs.parts)(parts)), (text) =>
          sql`
            INSERT INTO effect_agents_run_parts (run_id, seq, parts)
            SELECT ${runId}, coalesce(max(seq) + 1, 0), ${text} FROM effect_agents_run_parts WHERE run_id = ${runId}
          `)
      ),
    list: (session) => read("list", () => list(keyOf(session))),
    get: (runId) =>
      read("get", () =>
        Effect.flatMap(
          sql<{ readonly run: string }>`SELECT run FROM effect_agents_runs WHERE run_id = ${runId}`,
          (rows) => Effect.map(Effect.forEach(rows, ({ run }) => Schema.decodeEffect(codecs.run)(run)), first)
        )),
    parts: (runId) =>
      read("parts", () =>
        Effect.flatMap(
          sql<{ readonly parts: string }>`
            SELECT parts FROM effect_agents_run_parts WHERE run_id = ${runId} ORDER BY seq
          `,
          (rows) =>
            Effect.map(
              Effect.forEach(rows, ({ parts }) => Schema.decodeEffect(codecs.parts)(parts)),
              (parts) => parts.flat()
            )
        )),
    fork: (session, { length, to }) =>
      read("fork", () =>
        sql.withTransaction(Effect.gen(function*() {
          const inherited = inheritedFrom(yield* list(keyOf(session)), length).slice(0, maximumRuns)
          yield* sql`DELETE FROM effect_agents_run_forks WHERE session = ${keyOf(to)}`
          yield* Effect.forEach(
            inherited,
            (runId) => sql`INSERT INTO effect_agents_run_forks (session, run_id) VALUES (${keyOf(to)}, ${runId})`,
            {
              discard: true
            }
          )
        }))),
    remove: (session) =>
      told(
        "remove",
        sql.withTransaction(Effect.andThen(
          sql`DELETE FROM effect_agents_run_forks WHERE session = ${keyOf(session)}`,
          prune(keyOf(session), 0)
        ))
      )
  }
})

/** No database takes every text, and JSON has only characters that all of them take. */
const keyOf = (session: string): string => JSON.stringify(session)

const createTables = Effect.fnUntraced(function*(sql: SqlClient.SqlClient) {
  const found = yield* sql.onDialectOrElse({
    pg: () => sql`SELECT 1 WHERE to_regclass('effect_agents_run_forks') IS NOT NULL`,
    orElse: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'effect_agents_run_forks'`
  })
  if (found.length > 0) return
  const text = sql.literal(sql.onDialectOrElse({ pg: () => "TEXT COLLATE \"C\"", orElse: () => "TEXT" }))
  yield* sql.withTransaction(Effect.gen(function*() {
    // if two clients create a table at the same time, PostgreSQL fails one of them
    yield* sql.onDialectOrElse({ pg: () => sql`SELECT pg_advisory_xact_lock(${lock})`, orElse: () => Effect.void })
    yield* sql`
      CREATE TABLE IF NOT EXISTS effect_agents_runs (
        run_id ${text} NOT NULL PRIMARY KEY,
        session ${text},
        started_at BIGINT NOT NULL,
        run TEXT NOT NULL
      )
    `
    yield* sql`
      CREATE INDEX IF NOT EXISTS effect_agents_runs_of_session ON effect_agents_runs (session, started_at, run_id)
    `
    yield* sql`
      CREATE TABLE IF NOT EXISTS effect_agents_run_parts (
        run_id ${text} NOT NULL,
        seq BIGINT NOT NULL,
        parts TEXT NOT NULL,
        PRIMARY KEY (run_id, seq)
      )
    `
    yield* sql`
      CREATE TABLE IF NOT EXISTS effect_agents_run_forks (
        session ${text} NOT NULL,
        run_id ${text} NOT NULL,
        PRIMARY KEY (session, run_id)
      )
    `
    yield* sql`
      CREATE INDEX IF NOT EXISTS effect_agents_run_forks_of_run ON effect_agents_run_forks (run_id)
    `
  }))
})

const lock = 776_190_413

const told = <A, R>(operation: string, effect: Effect.Effect<A, SqlError.SqlError, R>) =>
  Effect.asVoid(Effect.mapError(effect, (cause) => new RunJournalError({ operation, cause })))

const read = <A>(
  operation: string,
  effect: () => Effect.Effect<A, SqlError.SqlError | Schema.SchemaError>
): Effect.Effect<A, RunJournalError> =>
  Effect.mapError(Effect.suspend(effect), (cause) => new RunJournalError({ operation, cause }))

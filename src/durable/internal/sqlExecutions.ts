/**
 * Executions in a SQL database.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as SqlClient from "effect/sql/SqlClient"
import * as SqlError from "effect/sql/SqlError"
import * as Statement from "effect/sql/Statement"
// the store is made of this
import type * as ExecutionStore from "../ExecutionStore.ts"
import * as Names from "../../internal/session/names.ts"
import { ExecutionStoreError } from "./storeError.ts"

type Execution = ExecutionStore.Execution

/** Ids, names and sessions are texts of others. */
const text = Names.toText

interface ListedRow {
  readonly id: string
  readonly agent: string
  readonly session: string | null
  readonly version: number
  readonly status: ExecutionStore.Status
  readonly instance: number
  readonly epoch: number
  readonly attempts: number
  readonly trace: string | null
  readonly interrupted: number
  readonly cause: string | null
  readonly failure: string | null
  readonly created_at: number | string
  readonly ended_at: number | string | null
}

interface ExecutionRow extends ListedRow {
  readonly payload: string
}

/** The columns of a list: all but the payload. */
const listed =
  "id, agent, session, version, status, instance, epoch, attempts, trace, interrupted, cause, failure, created_at, ended_at"

const toExecution = (row: ExecutionRow): Execution => ({ ...toListed(row), payload: row.payload })

const toListed = (row: ListedRow): ExecutionStore.Listed => ({
  id: Names.fromUnicode(row.id),
  agent: Names.fromUnicode(row.agent),
  session: row.session === null ? undefined : Names.fromUnicode(row.session),
  version: Number(row.version),
  status: row.status,
  instance: Number(row.instance),
  epoch: Number(row.epoch),
  attempts: Number(row.attempts),
  trace: row.trace ?? undefined,
  isInterrupted: Number(row.interrupted) === 1,
  cause: row.cause ?? undefined,
  failure: row.failure ?? undefined,
  createdAt: Number(row.created_at),
  endedAt: row.ended_at === null ? undefined : Number(row.ended_at)
})

const decodeSession = Schema.decodeUnknownOption(
  Schema.fromJsonString(Schema.Struct({ session: Schema.optionalKey(Schema.String) }))
)

const tooOld = (missing: ReadonlyArray<string>): SqlError.SqlError =>
  new SqlError.SqlError({
    reason: new SqlError.UnknownError({
      cause: missing,
      message: "The table `effect_agents_executions` was made by an earlier build of effect-agents, and has no " +
        `${missing.map((column) => `\`${column}\``).join(", ")}: use another database, or drop the tables ` +
        "`effect_agents_executions`, `effect_agents_parts` and `effect_agents_approvals`, whose executions are lost then",
      operation: "open"
    })
  })

interface PartRow {
  readonly seq: number
  readonly count: number
  readonly is_end: number
  readonly parts: string
}

const toRow = ({ count, is_end, parts, seq }: PartRow): ExecutionStore.Row => ({
  seq,
  count,
  isEnd: is_end === 1,
  parts
})

/**
 * Creates the tables if they do not exist, and the operations on them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Effect.Effect<ExecutionStore.Options, SqlError.SqlError, SqlClient.SqlClient> = Effect.gen(
  function*() {
    const client = yield* SqlClient.SqlClient
    // the columns have exactly the names that are written here
    const sql = client.withoutTransforms()
    const isPostgres = sql.onDialectOrElse({ pg: () => true, orElse: () => false })
    const begin = isPostgres ? "BEGIN ISOLATION LEVEL READ COMMITTED" : "BEGIN IMMEDIATE"
    const moment = sql.literal(isPostgres ? "BIGINT" : "INTEGER")

    const inTransaction = <A>(effect: Effect.Effect<A, SqlError.SqlError>) =>
      Effect.provideService(sql.withTransaction(effect), SqlClient.BeginTransaction, begin)

    const executions = sql`CREATE TABLE IF NOT EXISTS effect_agents_executions (
      id TEXT PRIMARY KEY, agent TEXT NOT NULL, session TEXT, version INTEGER NOT NULL, payload TEXT NOT NULL,
      status TEXT NOT NULL,
      instance INTEGER NOT NULL, epoch INTEGER NOT NULL, attempts INTEGER NOT NULL, interrupted INTEGER NOT NULL,
      trace TEXT, cause TEXT, failure TEXT, created_at ${moment} NOT NULL, ended_at ${moment}
    )`

    const tables = [
      sql`CREATE TABLE IF NOT EXISTS effect_agents_parts (
        execution_id TEXT NOT NULL, seq INTEGER NOT NULL, count INTEGER NOT NULL, is_end INTEGER NOT NULL,
        parts TEXT NOT NULL,
        PRIMARY KEY (execution_id, seq)
      )`,
      sql`CREATE TABLE IF NOT EXISTS effect_agents_approvals (
        execution_id TEXT NOT NULL, approval_id TEXT NOT NULL, place INTEGER NOT NULL, answer TEXT,
        PRIMARY KEY (execution_id, approval_id)
      )`,
      sql`CREATE INDEX IF NOT EXISTS effect_agents_executions_session
        ON effect_agents_executions (agent, session) WHERE ended_at IS NULL`,
      sql`CREATE INDEX IF NOT EXISTS effect_agents_executions_unended ON effect_agents_executions (agent, id)
        WHERE ended_at IS NULL`
    ]
    /** Adds the sessions of the executions, if an earlier build has made the table. It had them only in the inputs. */
    const addSessions = Effect.gen(function*() {
      const names = yield* isPostgres
        ? sql<{ readonly name: string }>`SELECT attname AS name FROM pg_attribute
          WHERE attrelid = 'effect_agents_executions'::regclass AND attnum > 0 AND NOT attisdropped`
        : sql<{ readonly name: string }>`SELECT name FROM pragma_table_info('effect_agents_executions')`
      const missing = `${listed}, payload`.split(", ").filter((column) => names.every(({ name }) => name !== column))
      if (missing.length === 0) return
      if (missing.some((column) => column !== "session")) return yield* tooOld(missing)
      yield* sql`ALTER TABLE effect_agents_executions ADD COLUMN session TEXT`
      // it was one over the inputs
      yield* sql`DROP INDEX IF EXISTS effect_agents_executions_session`
      const rows = yield* sql<{ readonly id: string; readonly payload: string }>`
        SELECT id, payload FROM effect_agents_executions`
      for (const { id, payload } of rows) {
        const session = Option.getOrUndefined(decodeSession(payload))?.session
        if (session === undefined) continue
        yield* sql`UPDATE effect_agents_executions SET session = ${text(session)} WHERE id = ${id}`
      }
    })

    yield* Effect.retry(
      inTransaction(Effect.gen(function*() {
        // two processes that make the tables at the same time wait for each other
        if (isPostgres) yield* sql`SELECT pg_advisory_xact_lock(7262341)`
        yield* executions
        yield* addSessions
        yield* Effect.all(tables)
      })),
      { times: 3 }
    )

    const stored = <A>(operation: string, effect: Effect.Effect<A, SqlError.SqlError>) =>
      // statements of the store are no part of the trace of a run
      Effect.withTracerEnabled(Effect.mapError(effect, (cause) => new ExecutionStoreError({ operation, cause })), false)

    const find = (id: string) =>
      Effect.map(
        sql<ExecutionRow>`SELECT * FROM effect_agents_executions WHERE id = ${text(id)}`,
        ([row]) => row === undefined ? undefined : toExecution(row)
      )

    /** The row stays locked until the transaction ends, so that no newer attempt begins before what this one writes. */
    const owned = (id: string, epoch: number) =>
      Effect.map(
        sql`UPDATE effect_agents_executions SET epoch = epoch WHERE id = ${text(id)} AND epoch = ${epoch} RETURNING id`,
        (rows) => rows.length > 0
      )

    const ifOwned = (id: string, epoch: number, effect: Effect.Effect<unknown, SqlError.SqlError>) =>
      inTransaction(
        Effect.flatMap(owned(id, epoch), (isOwned) => isOwned ? Effect.as(effect, true) : Effect.succeed(false))
      )

    /** The execution, if it is still that of this epoch. No newer attempt begins before the end of the statement. */
    const owner = (id: string, epoch: number) =>
      sql`SELECT id FROM effect_agents_executions WHERE id = ${text(id)} AND epoch = ${epoch} ${
        sql.literal(isPostgres ? "FOR SHARE" : "")
      }`

    const columns = sql.literal(listed)

    const joined = Statement.join(" UNION ALL ", false)

    return {
      create: (execution) =>
        stored(
          "create",
          Effect.andThen(
            sql`INSERT INTO effect_agents_executions ${
              sql.insert({
                id: text(execution.id),
                agent: text(execution.agent),
                session: execution.session === undefined ? null : text(execution.session),
                version: execution.version,
                payload: execution.payload,
                status: execution.status,
                instance: execution.instance,
                epoch: execution.epoch,
                attempts: execution.attempts,
                trace: execution.trace ?? null,
                interrupted: 0,
                cause: null,
                failure: null,
                created_at: execution.createdAt,
                ended_at: null
              })
            } ON CONFLICT (id) DO NOTHING`,
            Effect.map(find(execution.id), (found) => found ?? execution)
          )
        ),

      get: (id) =>
        stored(
          "get",
          Effect.map(
            sql<ListedRow>`SELECT ${columns} FROM effect_agents_executions WHERE id = ${text(id)}`,
            ([row]) => row === undefined ? undefined : toListed(row)
          )
        ),

      begin: (id) =>
        stored(
          "begin",
          Effect.andThen(
            sql`UPDATE effect_agents_executions
              SET status = 'running', epoch = epoch + 1, attempts = attempts + 1, cause = NULL
              WHERE id = ${text(id)} AND ended_at IS NULL`,
            find(id)
          )
        ),

      change: (id, epoch, { attempts, cause, endedAt, failure, status }) =>
        stored(
          "change",
          Effect.map(
            sql`UPDATE effect_agents_executions SET ${
              sql.update({
                ...(attempts === undefined ? {} : { attempts }),
                ...(cause === undefined ? {} : { cause: cause.replaceAll("\0", "\u2400") }),
                ...(endedAt === undefined ? {} : { ended_at: endedAt }),
                ...(failure === undefined ? {} : { failure }),
                ...(status === undefined ? {} : { status })
              })
            } WHERE id = ${text(id)} AND epoch = ${epoch} RETURNING id`,
            (rows) => rows.length > 0
          )
        ),

      interrupt: (id) =>
        stored(
          "interrupt",
          sql`UPDATE effect_agents_executions SET interrupted = 1 WHERE id = ${text(id)} AND ended_at IS NULL`
        ),

      append: (id, epoch, rows) =>
        stored(
          "append",
          Effect.map(
            // one statement: the run waits for its commit
            sql`INSERT INTO effect_agents_parts (execution_id, seq, count, is_end, parts)
              SELECT id, seq, count, is_end, parts FROM (${owner(id, epoch)}) AS owner CROSS JOIN (${
              joined(
                Arr.map(rows, ({ count, isEnd, parts, seq }) =>
                  sql`SELECT CAST(${seq} AS INTEGER) AS seq, CAST(${count} AS INTEGER) AS count,
                    CAST(${isEnd ? 1 : 0} AS INTEGER) AS is_end, CAST(${parts} AS TEXT) AS parts`)
              )
            }) AS added WHERE TRUE
              ON CONFLICT (execution_id, seq) DO UPDATE
              SET count = excluded.count, is_end = excluded.is_end, parts = excluded.parts
              RETURNING seq`,
            (inserted) => inserted.length > 0
          )
        ),

      ask: (id, epoch, approvalIds) =>
        stored(
          "ask",
          ifOwned(
            id,
            epoch,
            Effect.gen(function*() {
              const [last] = yield* sql<{ readonly n: number | string }>`
                SELECT count(*) AS n FROM effect_agents_approvals WHERE execution_id = ${text(id)}`
              const first = Number(last?.n ?? 0)
              const rows = Arr.map(approvalIds, (approvalId, index) => ({
                execution_id: text(id),
                approval_id: text(approvalId),
                place: first + index,
                answer: null
              }))
              yield* sql`INSERT INTO effect_agents_approvals ${sql.insert(rows)}
                ON CONFLICT (execution_id, approval_id) DO NOTHING`
              yield* sql`UPDATE effect_agents_executions SET status = 'waiting' WHERE id = ${text(id)}`
            })
          )
        ),

      answer: (id, approvalId, answer) =>
        stored(
          "answer",
          Effect.andThen(
            sql`UPDATE effect_agents_approvals SET answer = ${answer}
              WHERE execution_id = ${text(id)} AND approval_id = ${text(approvalId)} AND answer IS NULL`,
            Effect.map(
              sql<{ readonly answer: string | null }>`SELECT answer FROM effect_agents_approvals
                WHERE execution_id = ${text(id)} AND approval_id = ${text(approvalId)}`,
              ([row]) => row?.answer ?? undefined
            )
          )
        ),

      reopen: (id, approvalIds) =>
        stored(
          "reopen",
          sql`UPDATE effect_agents_approvals SET answer = NULL
            WHERE execution_id = ${text(id)} AND ${sql.in("approval_id", approvalIds.map(text))}`
        ),

      rows: (id, after, limit) =>
        stored(
          "rows",
          Effect.map(
            sql<PartRow>`SELECT seq, count, is_end, parts FROM effect_agents_parts
              WHERE execution_id = ${text(id)} AND seq + count - 1 > ${after} ORDER BY seq LIMIT ${limit}`,
            (rows) => rows.map(toRow)
          )
        ),

      ends: (id) =>
        stored(
          "ends",
          Effect.map(
            sql<PartRow>`SELECT seq, count, is_end, parts FROM effect_agents_parts
              WHERE execution_id = ${text(id)} AND is_end = 1 ORDER BY seq`,
            (rows) => rows.map(toRow)
          )
        ),

      asked: (id) =>
        stored(
          "asked",
          Effect.map(
            sql<{ readonly approval_id: string; readonly answer: string | null }>`
              SELECT approval_id, answer FROM effect_agents_approvals WHERE execution_id = ${text(id)} ORDER BY place`,
            (rows) =>
              rows.map(({ answer, approval_id }) => ({
                approvalId: Names.fromUnicode(approval_id),
                answer: answer ?? undefined
              }))
          )
        ),

      ofApproval: (agent, approvalId) =>
        stored(
          "ofApproval",
          Effect.map(
            sql<{ readonly id: string }>`SELECT e.id FROM effect_agents_executions e
              JOIN effect_agents_approvals a ON a.execution_id = e.id
              WHERE e.agent = ${text(agent)} AND a.approval_id = ${text(approvalId)}`,
            ([row]) => row === undefined ? undefined : Names.fromUnicode(row.id)
          )
        ),

      list: (agent, after, limit) =>
        stored(
          "list",
          Effect.map(
            sql<ListedRow>`SELECT ${columns} FROM effect_agents_executions
              WHERE agent = ${text(agent)} AND id > ${text(after)} ORDER BY id LIMIT ${limit}`,
            (rows) => rows.map(toListed)
          )
        ),

      ofSession: (agent, session) =>
        stored(
          "ofSession",
          Effect.map(
            sql<ListedRow>`SELECT ${columns} FROM effect_agents_executions
              WHERE agent = ${text(agent)} AND session = ${text(session)} AND ended_at IS NULL`,
            (rows) => rows.map(toListed)
          )
        ),

      unended: (agent, after, limit) =>
        stored(
          "unended",
          Effect.map(
            sql<ListedRow>`SELECT ${columns} FROM effect_agents_executions
              WHERE agent = ${text(agent)} AND id > ${text(after)} AND ended_at IS NULL ORDER BY id LIMIT ${limit}`,
            (rows) => rows.map(toListed)
          )
        ),

      remove: (id) =>
        stored(
          "remove",
          inTransaction(Effect.all([
            sql`DELETE FROM effect_agents_parts WHERE execution_id = ${text(id)}`,
            sql`DELETE FROM effect_agents_approvals WHERE execution_id = ${text(id)}`,
            sql`DELETE FROM effect_agents_executions WHERE id = ${text(id)}`
          ], { discard: true }))
        )
    } satisfies ExecutionStore.Options
  }
)

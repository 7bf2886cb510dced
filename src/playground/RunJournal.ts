/**
 * The runs of sessions as they were told: their parts with the time of each, how they ended, what they used, and their
 * trace. The playground writes them, so that a run can be looked at again after a restart.
 *
 * `layerMemory` keeps them as long as the process lives. `layer` keeps them in a SQL database, SQLite or PostgreSQL, in
 * which the sessions may be, too. Both are bounded: a session has its last runs, and a run that is too large loses parts,
 * and says so.
 *
 * **Example** (The last runs of a session)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { RunJournal } from "effect-agents/playground"
 * import { SqliteClient } from "effect-agents/sqlite"
 *
 * const program = Effect.gen(function*() {
 *   const journal = yield* RunJournal.RunJournal
 *   const run = RunJournal.begun({ runId: "r1", agent: "assistant", session: "ann/chat", startedAt: 1000 })
 *   yield* journal.write(run)
 *   yield* journal.append("r1", [{ at: 1001, part: { type: "text-delta", id: "0", delta: "Hi" } }])
 *   yield* journal.write({ ...run, outcome: "completed", endedAt: 1250 })
 *   const [last] = yield* journal.list("ann/chat")
 *   yield* Console.log(last?.outcome, (yield* journal.parts("r1")).length)
 * })
 *
 * const journal = Layer.provide(RunJournal.layer(), SqliteClient.layer({ filename: ":memory:" }))
 *
 * Effect.runPromise(Effect.provide(program, journal))
 * // => completed 1
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as AgentRun from "../AgentRun.ts"
import * as AgentApi from "../server/AgentApi.ts"
import * as Sql from "./internal/journalSql.ts"
import { inheritedFrom } from "./internal/inherited.ts"
import type { RunJournalError } from "./internal/journalError.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * Schema for what is known of a run.
 *
 * - `session`: the id of its session in the store. `owner`: whom it was started for.
 * - `prompt`: the beginning of what the user said, or nothing for a run that goes on with answers.
 * - `startedAt`, `endedAt`: in milliseconds since 1970. A run without an end works, or its process has ended.
 * - `before`: how many messages the session had when the run began.
 * - `outcome`: `waiting` has ended and waits for approvals.
 * - `failure`: the public description of its failure, and the failures themselves as `details`.
 * - `usage`: the tokens of all its model calls, with those of nested runs. `cost`: what they cost, if there are prices.
 * - `traceId`: the trace in which it was started.
 * - `isCut`: whether parts were left out, because the run was too large.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Run = Schema.Struct({
  runId: Schema.String,
  agent: Schema.String,
  session: Schema.optional(Schema.String),
  owner: Schema.optional(Schema.String),
  prompt: Schema.optional(Schema.String),
  startedAt: Schema.Finite,
  endedAt: Schema.optional(Schema.Finite),
  outcome: Schema.Literals(["running", "waiting", "completed", "failed", "interrupted"]),
  stopReason: Schema.optional(Schema.String),
  failure: Schema.optional(Schema.Struct({
    code: Schema.String,
    message: Schema.String,
    retryable: Schema.Boolean,
    details: Schema.optionalKey(Schema.Array(AgentApi.FailureDetails))
  })),
  before: Schema.optional(Schema.Int),
  usage: Schema.optional(AgentRun.Usage),
  cost: Schema.optional(Schema.Finite),
  traceId: Schema.optional(Schema.String),
  isCut: Schema.Boolean
})

/**
 * What is known of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type Run = typeof Run.Type

/**
 * Schema for a part as JSON, and the time at which it came, in milliseconds since 1970.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Told = Schema.Struct({ at: Schema.Finite, part: Schema.Json })

/**
 * A part as JSON, and the time at which it came.
 *
 * @category models
 * @since 0.1.0
 */
export type Told = typeof Told.Type

export {
  /**
   * The journal cannot be read or written.
   *
   * @category errors
   * @since 0.1.0
   */
  RunJournalError
} from "./internal/journalError.ts"

/**
 * The bounds of a journal.
 *
 * @category options
 * @since 0.1.0
 */
export interface Bounds {
  /** How many runs a session has at most. The oldest are deleted. Default: 100. */
  readonly maximumRuns?: number | undefined
}

// -----------------------------------------------------------------------------
// The service
// -----------------------------------------------------------------------------

/**
 * Service for the journal of runs.
 *
 * - `write`: stores what is known of a run, in the place of what was known before. A run without an end begins with it,
 *   so it has no parts then.
 * - `append`: adds parts to a run.
 * - `list`: the runs of a session, the last first.
 * - `get`, `parts`: what is stored of a run.
 * - `fork`: makes `list` of another session tell the runs of a session, too: those that began when it had less than
 *   `length` messages. They stay runs of their session, and are deleted with it.
 * - `remove`: deletes the runs of a session.
 *
 * @category services
 * @since 0.1.0
 */
export class RunJournal extends Context.Service<RunJournal, {
  readonly write: (run: Run) => Effect.Effect<void, RunJournalError>
  readonly append: (runId: string, parts: ReadonlyArray<Told>) => Effect.Effect<void, RunJournalError>
  readonly list: (session: string) => Effect.Effect<ReadonlyArray<Run>, RunJournalError>
  readonly get: (runId: string) => Effect.Effect<Run | undefined, RunJournalError>
  readonly parts: (runId: string) => Effect.Effect<ReadonlyArray<Told>, RunJournalError>
  readonly fork: (
    session: string,
    options: { readonly to: string; readonly length: number }
  ) => Effect.Effect<void, RunJournalError>
  readonly remove: (session: string) => Effect.Effect<void, RunJournalError>
}>()("effect-agents/playground/RunJournal") {}

/**
 * Returns what is known of a run that begins.
 *
 * @category constructors
 * @since 0.1.0
 */
export const begun = (
  run:
    & Pick<Run, "runId" | "agent" | "startedAt">
    & Partial<Pick<Run, "session" | "owner" | "prompt" | "before" | "traceId">>
): Run => ({ ...run, outcome: "running", isCut: false })

interface Kept {
  run: Run
  readonly parts: Array<Told>
}

/**
 * Creates the layer of a journal in memory. It has the last 500 runs of all sessions.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = ({ maximumRuns = 100 }: Bounds = {}): Layer.Layer<RunJournal> =>
  Layer.sync(RunJournal)(() => {
    // in the order of their beginning
    const runs = new Map<string, Kept>()
    const ofSession = (session: string) => Array.from(runs.values()).filter(({ run }) => run.session === session)
    const forks = new Map<string, ReadonlyArray<string>>()
    // the last first
    const list = (session: string): ReadonlyArray<Run> => {
      const inherited = forks.get(session)?.flatMap((runId) => runs.get(runId)?.run ?? []) ?? []
      return [...ofSession(session).map(({ run }) => run).reverse(), ...inherited]
    }
    return {
      write: (run) =>
        Effect.sync(() => {
          const kept = runs.get(run.runId)
          if (kept !== undefined) {
            kept.run = run
            if (run.endedAt === undefined) kept.parts.length = 0
            return
          }
          runs.set(run.runId, { run, parts: [] })
          const session = run.session === undefined ? [] : ofSession(run.session)
          const tooOld = [
            ...session.slice(0, Math.max(0, session.length - maximumRuns)).map(({ run }) => run.runId),
            ...Array.from(runs.keys()).slice(0, Math.max(0, runs.size - 500))
          ]
          for (const runId of tooOld) runs.delete(runId)
        }),
      append: (runId, parts) => Effect.sync(() => void runs.get(runId)?.parts.push(...parts)),
      list: (session) => Effect.sync(() => list(session)),
      get: (runId) => Effect.sync(() => runs.get(runId)?.run),
      parts: (runId) => Effect.sync(() => runs.get(runId)?.parts.slice() ?? []),
      fork: (session, { length, to }) =>
        Effect.sync(() => {
          forks.set(to, inheritedFrom(list(session), length).slice(0, maximumRuns))
          // as many sessions as have runs here
          if (forks.size > 500) forks.delete(forks.keys().next().value!)
        }),
      remove: (session) =>
        Effect.sync(() => {
          forks.delete(session)
          for (const { run } of ofSession(session)) runs.delete(run.runId)
        })
    }
  })

/**
 * Creates the layer of a journal in the database of the `SqlClient`. The tables `effect_agents_runs`,
 * `effect_agents_run_parts` and `effect_agents_run_forks` are made if they do not exist. Any number of processes may share them.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (
  { maximumRuns = 100 }: Bounds = {}
): Layer.Layer<RunJournal, SqlError.SqlError, SqlClient.SqlClient> =>
  Layer.effect(RunJournal)(Sql.make(maximumRuns, { run: RunFromJson, parts: PartsFromJson }))

const RunFromJson = Schema.fromJsonString(Schema.toCodecJson(Run))
const PartsFromJson = Schema.fromJsonString(Schema.Array(Told))

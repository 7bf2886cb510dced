/**
 * Where durable executions are kept beside the journal of the engine: what was asked for, the parts that were told, the
 * approvals with their answers, and how an execution has ended.
 *
 * `layerMemory` keeps them as long as the process lives, for tests. `layer` keeps them in a SQL database, in which the
 * tables of `effect/cluster` may be, too.
 *
 * **Example** (Executions in a database)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { ExecutionStore } from "effect-agents/durable"
 * import { SqliteClient } from "effect-agents/sqlite"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* ExecutionStore.ExecutionStore
 *   yield* Effect.flatMap(
 *     ExecutionStore.created({ id: "order-1", agent: "assistant", version: 1, payload: "{}" }),
 *     store.create
 *   )
 *   const begun = yield* store.begin("order-1")
 *   yield* Console.log(begun?.status, begun?.attempts)
 * })
 *
 * const database = SqliteClient.layer({ filename: ":memory:" })
 *
 * Effect.runPromise(Effect.provide(program, Layer.provide(ExecutionStore.layer, database)))
 * // => running 1
 * ```
 *
 * @since 0.1.0
 */

import type * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as PubSub from "effect/PubSub"
import * as Random from "effect/Random"
import type * as Scope from "effect/Scope"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import * as Sql from "./internal/sqlExecutions.ts"
import type { ExecutionStoreError } from "./internal/storeError.ts"

/**
 * What an execution does.
 *
 * - `running`: it works, or it will as soon as a process has time for it.
 * - `waiting`: it waits for answers to approvals. No process holds it.
 * - `parked`: it cannot go on, for the reason in its `cause`. `Durable.resume` tries again.
 * - `completed`, `failed`, `interrupted`: it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export type Status = "running" | "waiting" | "parked" | "completed" | "failed" | "interrupted"

/**
 * An execution as it is stored.
 *
 * - `session`: the session of its first run.
 * - `payload`: the input of the run, as JSON text.
 * - `instance`: a random number. It tells an execution from a later one that got its id when it was deleted.
 * - `epoch`: begins with `instance`, and grows by one when a process begins to work on it. Whoever has another number may
 *   write nothing more.
 * - `attempts`: how often a process has begun since something was recorded last.
 * - `trace`: the span in which it was started, as a `traceparent` of the W3C. All attempts belong to its trace.
 * - `isInterrupted`: whether somebody has asked for its end.
 * - `cause`: why it is parked, as text for an operator.
 * - `failure`: its failure, as JSON text.
 * - `createdAt`, `endedAt`: in milliseconds since 1970.
 *
 * @category models
 * @since 0.1.0
 */
export interface Execution {
  readonly id: string
  readonly agent: string
  readonly version: number
  readonly session: string | undefined
  readonly payload: string
  readonly instance: number
  readonly status: Status
  readonly epoch: number
  readonly attempts: number
  readonly trace: string | undefined
  readonly isInterrupted: boolean
  readonly cause: string | undefined
  readonly failure: string | undefined
  readonly createdAt: number
  readonly endedAt: number | undefined
}

/**
 * An execution without its input, which may be large.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listed extends Omit<Execution, "payload"> {}

/**
 * What `Durable.status` and `Durable.list` tell of an execution. `queued` is one that no process has begun to work on: a
 * process that knows its agent will.
 *
 * @category models
 * @since 0.1.0
 */
export interface Overview extends Pick<Execution, "cause" | "version" | "createdAt" | "endedAt"> {
  readonly status: Status | "queued"
}

/**
 * Some parts of an execution, as a JSON array. The first one has the number `seq`, and there are `count` of them. `isEnd`
 * says whether the last one is the end of a run of the execution.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row {
  readonly seq: number
  readonly count: number
  readonly isEnd: boolean
  readonly parts: string
}

/**
 * An approval that an execution has asked for, and its answer as JSON text.
 *
 * @category models
 * @since 0.1.0
 */
export interface AskedApproval {
  readonly approvalId: string
  readonly answer: string | undefined
}

export {
  /**
   * The store cannot be read or written.
   *
   * @category errors
   * @since 0.1.0
   */
  ExecutionStoreError
} from "./internal/storeError.ts"

/**
 * The operations that a store has to implement.
 *
 * - `create`: stores a new execution, and returns the one that is stored under its id, which may be an older one.
 * - `begin`: gives an execution that has not ended to a new attempt: its `epoch` and its `attempts` grow by one, and it
 *   is running. Returns how it is then.
 * - `change`: changes an execution, if `epoch` is still its own. Returns whether it was.
 * - `interrupt`: marks an execution that has not ended as interrupted.
 * - `append`: adds rows under the same condition. All rows are added or none. A row whose number is there takes its place:
 *   whoever has heard nothing of an append makes it again.
 * - `ask`: adds approvals without an answer under the same condition, and makes the execution waiting.
 * - `answer`: answers an approval that has no answer. Returns the answer that is stored, or `undefined` if there is no
 *   such approval.
 * - `reopen`: takes the answers of these approvals back.
 * - `rows`: the rows with parts after number `after`, in order, and at most `limit` of them.
 * - `ends`: the rows with the ends of runs, in order.
 * - `asked`: the approvals of an execution in the order in which they were asked for.
 * - `ofApproval`: the id of the execution of an agent that asked for an approval.
 * - `list`: the executions of an agent by id, after the id `after`, and at most `limit` of them.
 * - `unended`: the same of the executions that have not ended.
 * - `remove`: deletes all of an execution.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly create: (execution: Execution) => Effect.Effect<Execution, ExecutionStoreError>
  readonly get: (id: string) => Effect.Effect<Listed | undefined, ExecutionStoreError>
  readonly begin: (id: string) => Effect.Effect<Execution | undefined, ExecutionStoreError>
  readonly change: (
    id: string,
    epoch: number,
    change: Partial<Pick<Execution, "status" | "cause" | "failure" | "attempts" | "endedAt">>
  ) => Effect.Effect<boolean, ExecutionStoreError>
  readonly interrupt: (id: string) => Effect.Effect<void, ExecutionStoreError>
  readonly append: (
    id: string,
    epoch: number,
    rows: Arr.NonEmptyReadonlyArray<Row>
  ) => Effect.Effect<boolean, ExecutionStoreError>
  readonly ask: (
    id: string,
    epoch: number,
    approvalIds: Arr.NonEmptyReadonlyArray<string>
  ) => Effect.Effect<boolean, ExecutionStoreError>
  readonly answer: (
    id: string,
    approvalId: string,
    answer: string
  ) => Effect.Effect<string | undefined, ExecutionStoreError>
  readonly reopen: (
    id: string,
    approvalIds: Arr.NonEmptyReadonlyArray<string>
  ) => Effect.Effect<void, ExecutionStoreError>
  readonly rows: (id: string, after: number, limit: number) => Effect.Effect<ReadonlyArray<Row>, ExecutionStoreError>
  readonly ends: (id: string) => Effect.Effect<ReadonlyArray<Row>, ExecutionStoreError>
  readonly asked: (id: string) => Effect.Effect<ReadonlyArray<AskedApproval>, ExecutionStoreError>
  readonly ofApproval: (agent: string, approvalId: string) => Effect.Effect<string | undefined, ExecutionStoreError>
  readonly list: (
    agent: string,
    after: string,
    limit: number
  ) => Effect.Effect<ReadonlyArray<Listed>, ExecutionStoreError>
  readonly ofSession: (
    agent: string,
    session: string
  ) => Effect.Effect<ReadonlyArray<Listed>, ExecutionStoreError>
  readonly unended: (
    agent: string,
    after: string,
    limit: number
  ) => Effect.Effect<ReadonlyArray<Listed>, ExecutionStoreError>
  readonly remove: (id: string) => Effect.Effect<void, ExecutionStoreError>
}

/**
 * Service for the stored executions. `changes` subscribes to the ids of the executions that this process changes, so that
 * readers in the same process do not have to poll.
 *
 * @category services
 * @since 0.1.0
 */
export class ExecutionStore extends Context.Service<
  ExecutionStore,
  Options & {
    readonly changes: Effect.Effect<PubSub.Subscription<string>, never, Scope.Scope>
  }
>()("effect-agents/durable/ExecutionStore") {}

/**
 * Creates a store from its operations.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<ExecutionStore["Service"]> =>
  // a reader that missed a change reads again when it polls
  Effect.map(PubSub.sliding<string>(1024), (changed) => {
    const tell = <Args extends readonly [string, ...Array<any>], A, E>(
      operation: (...args: Args) => Effect.Effect<A, E>
    ) =>
    (...args: Args): Effect.Effect<A, E> => Effect.tap(operation(...args), PubSub.publish(changed, args[0]))
    return {
      ...options,
      change: tell(options.change),
      append: tell(options.append),
      ask: tell(options.ask),
      answer: tell(options.answer),
      remove: tell(options.remove),
      changes: PubSub.subscribe(changed)
    }
  })

/**
 * Keeps executions in memory, for tests. They are lost with the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<ExecutionStore> = Layer.effect(ExecutionStore)(Effect.suspend(() => {
  const executions = new Map<string, Execution>()
  const rows = new Map<string, ReadonlyArray<Row>>()
  const asked = new Map<string, ReadonlyArray<AskedApproval>>()
  const owned = (id: string, epoch: number) => {
    const execution = executions.get(id)
    return execution?.epoch === epoch ? execution : undefined
  }
  const listed = ({ payload: _, ...rest }: Execution): Listed => rest
  const page = (agent: string, after: string, limit: number, isListed: (execution: Execution) => boolean) =>
    [...executions.values()]
      .filter((execution) => execution.agent === agent && execution.id > after && isListed(execution))
      .sort((a, b) => a.id < b.id ? -1 : 1)
      .slice(0, limit)
      .map(listed)
  return make({
    create: (execution) =>
      Effect.sync(() => {
        const stored = executions.get(execution.id) ?? execution
        executions.set(execution.id, stored)
        return stored
      }),
    get: (id) => Effect.sync(() => executions.get(id)).pipe(Effect.map((found) => found && listed(found))),
    begin: (id) =>
      Effect.sync(() => {
        const before = executions.get(id)
        if (before === undefined || before.endedAt !== undefined) return before
        const { attempts, epoch } = before
        const begun = {
          ...before,
          status: "running",
          epoch: epoch + 1,
          attempts: attempts + 1,
          cause: undefined
        } as const
        executions.set(id, begun)
        return begun
      }),
    change: (id, epoch, change) =>
      Effect.sync(() => {
        const execution = owned(id, epoch)
        if (execution !== undefined) executions.set(id, { ...execution, ...change })
        return execution !== undefined
      }),
    interrupt: (id) =>
      Effect.sync(() => {
        const execution = executions.get(id)
        if (execution?.endedAt === undefined && execution !== undefined) {
          executions.set(id, { ...execution, isInterrupted: true })
        }
      }),
    append: (id, epoch, added) =>
      Effect.sync(() => {
        const execution = owned(id, epoch)
        if (execution !== undefined) {
          const before = (rows.get(id) ?? []).filter(({ seq }) => added.every((row) => row.seq !== seq))
          rows.set(id, [...before, ...added])
        }
        return execution !== undefined
      }),
    ask: (id, epoch, approvalIds) =>
      Effect.sync(() => {
        const execution = owned(id, epoch)
        if (execution === undefined) return false
        const known = asked.get(id) ?? []
        const added = approvalIds.filter((approvalId) => known.every((one) => one.approvalId !== approvalId))
        asked.set(id, [...known, ...added.map((approvalId) => ({ approvalId, answer: undefined }))])
        executions.set(id, { ...execution, status: "waiting" })
        return true
      }),
    answer: (id, approvalId, answer) =>
      Effect.sync(() => {
        const known = asked.get(id)?.find((one) => one.approvalId === approvalId)
        if (known === undefined || known.answer !== undefined) return known?.answer
        asked.set(id, asked.get(id)!.map((one) => one === known ? { approvalId, answer } : one))
        return answer
      }),
    reopen: (id, approvalIds) =>
      Effect.sync(() => {
        asked.set(
          id,
          (asked.get(id) ?? []).map((one) =>
            approvalIds.includes(one.approvalId) ? { approvalId: one.approvalId, answer: undefined } : one
          )
        )
      }),
    rows: (id, after, limit) =>
      Effect.sync(() => (rows.get(id) ?? []).filter(({ count, seq }) => seq + count - 1 > after).slice(0, limit)),
    ends: (id) => Effect.sync(() => (rows.get(id) ?? []).filter(({ isEnd }) => isEnd)),
    asked: (id) => Effect.sync(() => asked.get(id) ?? []),
    ofApproval: (agent, approvalId) =>
      Effect.sync(() => {
        for (const [id, approvals] of asked) {
          if (executions.get(id)?.agent !== agent) continue
          if (approvals.some((one) => one.approvalId === approvalId)) return id
        }
        return undefined
      }),
    ofSession: (agent, session) =>
      Effect.sync(() =>
        [...executions.values()].filter((execution) =>
          execution.agent === agent && execution.endedAt === undefined && execution.session === session
        ).map(listed)
      ),
    list: (agent, after, limit) => Effect.sync(() => page(agent, after, limit, () => true)),
    unended: (agent, after, limit) =>
      Effect.sync(() => page(agent, after, limit, ({ endedAt }) => endedAt === undefined)),
    remove: (id) =>
      Effect.sync(() => {
        for (const map of [executions, rows, asked]) map.delete(id)
      })
  })
}))

/**
 * Keeps executions in a SQL database: SQLite or PostgreSQL. The tables are made if they do not exist:
 * `effect_agents_executions`, `effect_agents_parts` and `effect_agents_approvals`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<ExecutionStore, SqlError.SqlError, SqlClient.SqlClient> = Layer.effect(ExecutionStore)(
  Effect.flatMap(Sql.make, make)
)

/**
 * Returns a new execution.
 *
 * @category constructors
 * @since 0.1.0
 */
export const created = (
  execution: Pick<Execution, "id" | "agent" | "version" | "payload"> & Partial<Pick<Execution, "session" | "trace">>
): Effect.Effect<Execution> =>
  Effect.zipWith(Clock.currentTimeMillis, Random.nextIntBetween(0, 1_000_000_000), (createdAt, instance) => ({
    ...execution,
    session: execution.session,
    trace: execution.trace,
    instance,
    status: "running",
    epoch: instance,
    attempts: 0,
    isInterrupted: false,
    cause: undefined,
    failure: undefined,
    createdAt,
    endedAt: undefined
  }))

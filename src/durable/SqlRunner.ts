/**
 * Durable agents on many machines: any number of processes share the executions of one PostgreSQL database.
 *
 * The database is all that the processes share. They do not talk to each other, so none needs a port. Each execution is
 * worked on by one process at a time.
 *
 * - A process that stops gives its executions away at once: on SIGTERM close the scope of the layer.
 * - A process that dies, or that gives no sign of life for its `lease`, loses its executions to the others. They go on with
 *   them within about two seconds after that. A process that was only frozen may write nothing more about them.
 * - A process that joins gets its share of the executions, and the others give those away. A call that is in progress then
 *   has its `grace` to end; after that it is made again by the new process.
 * - A process that does not know a durable agent leaves its executions alone, and warns about it. They go on when a process
 *   that knows the agent gets their share. A process that only starts and reads executions uses `layerClient`.
 *
 * The client of the database is yours, for example `PgClient.layer` of `@effect/sql-pg`. A process holds one of its
 * connections for its lease, so its pool needs at least two. Give it the `startupParameters`
 * `{ idle_in_transaction_session_timeout: "5000" }`: without, what a process that is frozen in a transaction was working on
 * waits until the database has lost its connection. A client of `@effect/sql-pg` reads texts of 16 MB at most, unless it has
 * a `maxMessageSize`: a start with a larger prompt fails, and so does whoever reads a larger result.
 *
 * **Example** (One of the processes)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Agent } from "effect-agents"
 * import { Durable, SqlRunner } from "effect-agents/durable"
 * import { SqliteClient } from "effect-agents/sqlite"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Durable.make(Agent.make("assistant"), { version: 1 })
 *
 * // in your service: PgClient.layer({ url, startupParameters: { idle_in_transaction_session_timeout: "5000" } })
 * const database = SqliteClient.layer({ filename: ":memory:" })
 *
 * const runner = Durable.layer(assistant).pipe(
 *   Layer.provideMerge(SqlRunner.layer()),
 *   Layer.provide([database, ScriptedModel.layer([ScriptedModel.text("Hello!")])])
 * )
 *
 * const program = Effect.gen(function*() {
 *   const id = yield* Durable.start(assistant, { id: "hello", prompt: "Hi" })
 *   yield* Console.log((yield* Durable.result(assistant, id)).text)
 * })
 *
 * Effect.runPromise(Effect.provide(program, runner))
 * // => Hello!
 * ```
 *
 * @since 0.1.0
 */

import * as ClusterWorkflowEngine from "effect/cluster/ClusterWorkflowEngine"
import * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerAddress from "effect/cluster/RunnerAddress"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage"
import * as Digest from "effect/crypto/Digest"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schedule from "effect/Schedule"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as ExecutionStore from "./ExecutionStore.ts"
import * as Leases from "./internal/leases.ts"
import * as Registry from "./internal/registry.ts"
import * as UnknownAgents from "./internal/unknownAgents.ts"

/**
 * The options of a runner. They should be the same in all processes.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /**
   * How long a process may give no sign of life before others take its executions. It tells three times in this time that
   * it lives, and a process that cannot do so, because it or the database is overloaded, gives its executions away. With 4
   * seconds the executions of a process that was killed go on within 8, where the others have time for them. Whole
   * seconds; at least 3. Default: 15 seconds.
   */
  readonly lease?: Duration.Input | undefined
  /** How often the database is asked for what other processes have sent: starts, answers, interrupts. Default: 250 milliseconds. */
  readonly poll?: Duration.Input | undefined
  /**
   * How long the calls in progress have to end when the layer is closed, or when another process gets their execution. Those
   * that have not ended are interrupted, and made again there. Default: 2 seconds.
   */
  readonly grace?: Duration.Input | undefined
}

/**
 * Works on executions together with all other processes on the database. The tables are made if they do not exist.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Services, SqlError.SqlError, SqlClient.SqlClient> =>
  // the address is only the name of the process: nobody calls it
  Layer.unwrap(Effect.sync(() =>
    Layer.provideMerge(
      Registry.layerWorks,
      engine(options, Option.some(RunnerAddress.make(SecureRandom.uuidV4Unsafe(), 0)))
    )
  ))

/**
 * Starts, reads, answers and interrupts executions that other processes work on, and works on none: for a web server
 * beside its workers. What it starts is queued until a process that knows the agent works on it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerClient = (options: Options = {}): Layer.Layer<Services, SqlError.SqlError, SqlClient.SqlClient> =>
  engine(options, Option.none())

type Services =
  | WorkflowEngine.WorkflowEngine
  | ExecutionStore.ExecutionStore
  | MessageStorage.MessageStorage
  | Sharding.Sharding

const engine = (
  { grace = "2 seconds", lease = "15 seconds", poll = "250 millis" }: Options,
  runnerAddress: Option.Option<RunnerAddress.RunnerAddress>
): Layer.Layer<Services, SqlError.SqlError, SqlClient.SqlClient> => {
  const config = ShardingConfig.layer({
    runnerAddress,
    // each is given away by a statement of its own, and all that a process has within a third of the lease
    shardsPerGroup: 60,
    // the lease is a row: the locks of a session would all be lost with one statement that is late
    shardLockDisableAdvisory: true,
    shardLockExpiration: lease,
    shardLockRefreshInterval: Duration.divideUnsafe(Duration.fromInputUnsafe(lease), 3),
    refreshAssignmentsInterval: "250 millis",
    entityMessagePollInterval: poll,
    entityTerminationTimeout: grace,
    // an execution of an agent that is not known here has not failed
    entityRegistrationTimeout: Duration.infinity,
    simulateRemoteSerialization: false
  })
  const sharding = Sharding.layer.pipe(
    // a process is alive as long as it renews its lease, and what is sent to it lies in the database
    Layer.provide([Runners.layerNoop, RunnerHealth.layerNoop, Leases.layer(lease)]),
    Layer.provideMerge(storage),
    Layer.provide([config, Digest.layerWebCrypto])
  )
  return Layer.merge(
    Layer.provideMerge(ClusterWorkflowEngine.layer, sharding),
    ExecutionStore.layer
  ).pipe(Layer.provide([Layer.succeed(References.TracerEnabled)(false), UnknownAgents.layer]))
}

/**
 * A process marks the messages that it reads, and whoever takes over its share takes the marks away. The engine tries
 * that once, and reads a message with a mark again only after ten minutes; here it is tried until it succeeds.
 */
const storage: Layer.Layer<
  MessageStorage.MessageStorage,
  SqlError.SqlError,
  SqlClient.SqlClient | ShardingConfig.ShardingConfig | Digest.Digest
> = Layer.effect(MessageStorage.MessageStorage)(Effect.gen(function*() {
  const scope = yield* Effect.scope
  const storage = yield* MessageStorage.MessageStorage
  const insistent = <A, E>(reset: (of: A) => Effect.Effect<void, E>) => (of: A): Effect.Effect<void, E> =>
    // whoever stops waiting does not end it
    Effect.flatMap(
      Effect.forkIn(Effect.retry(reset(of), Schedule.spaced("500 millis")), scope, { startImmediately: true }),
      Fiber.join
    )
  return {
    ...storage,
    resetAddress: insistent(storage.resetAddress),
    resetAddresses: insistent(storage.resetAddresses),
    resetRequests: insistent(storage.resetRequests),
    resetShards: insistent(storage.resetShards)
  }
})).pipe(Layer.provide(SqlMessageStorage.layer))

/**
 * Durable agents on one machine: effect's workflow engine, and the executions, in one SQLite file. A process that was
 * killed leaves nothing behind that has to be repaired; the next one on the file goes on.
 *
 * **Example** (An execution that outlives its process)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Agent } from "effect-agents"
 * import { Durable, SqliteRunner } from "effect-agents/durable"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Durable.make(Agent.make("assistant"), { version: 1 })
 *
 * const runner = Durable.layer(assistant).pipe(
 *   Layer.provideMerge(SqliteRunner.layer({ filename: ":memory:" })),
 *   Layer.provide(ScriptedModel.layer([ScriptedModel.text("Hello!")]))
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
import type * as MessageStorage from "effect/cluster/MessageStorage"
import * as RunnerHealth from "effect/cluster/RunnerHealth"
import * as Runners from "effect/cluster/Runners"
import * as RunnerStorage from "effect/cluster/RunnerStorage"
import * as Sharding from "effect/cluster/Sharding"
import * as ShardingConfig from "effect/cluster/ShardingConfig"
import * as SqlMessageStorage from "effect/cluster/SqlMessageStorage"
import * as Digest from "effect/crypto/Digest"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as References from "effect/References"
import * as Reactivity from "effect/reactivity/Reactivity"
import * as Schema from "effect/Schema"
import type * as SqlClient from "effect/sql/SqlClient"
import type * as SqlError from "effect/sql/SqlError"
import type * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as SqliteClient from "../sqlite/SqliteClient.ts"
import * as ExecutionStore from "./ExecutionStore.ts"
import { quiet } from "./internal/departure.ts"
import * as Registry from "./internal/registry.ts"
import * as UnknownAgents from "./internal/unknownAgents.ts"

/**
 * The options of a runner.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The database file, or `:memory:`. The file is created if it does not exist, its folder is not. */
  readonly filename: string
  /**
   * Whether a commit waits until it is on the disk (`FULL`). With `NORMAL` a loss of power may lose the last records,
   * and what they recorded is done again; the death of the process loses none. Default: `"NORMAL"`.
   */
  readonly synchronous?: SqliteClient.Options["synchronous"] | undefined
  /** How often the file is asked for what other processes have sent: starts, answers, interrupts. Default: 250 milliseconds. */
  readonly poll?: Duration.Input | undefined
  /**
   * How long the calls in progress have to end when the layer is closed. Those that have not ended are interrupted, and the
   * next process makes them again. Default: 2 seconds.
   */
  readonly grace?: Duration.Input | undefined
}

/**
 * Another process works on the file. Two of them would make each call twice.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunnerExists extends Schema.Error<RunnerExists>("effect-agents/durable/RunnerExists")({
  _tag: Schema.tag("RunnerExists"),
  filename: Schema.String
}) {
  override get message(): string {
    return `Another process runs the executions in \`${this.filename}\`. Start them from there, or give this one a file of its own`
  }
}

/**
 * Runs executions in this process. It is the only one on its file: a second one fails with `RunnerExists`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<
  | WorkflowEngine.WorkflowEngine
  | ExecutionStore.ExecutionStore
  | SqlClient.SqlClient
  | MessageStorage.MessageStorage
  | Sharding.Sharding,
  RunnerExists | SqlError.SqlError
> => {
  const { filename, grace = "2 seconds", poll = "250 millis", synchronous = "NORMAL" } = options
  const engine = ClusterWorkflowEngine.layer.pipe(
    // effect's `SingleRunner`, with a storage of its one runner that is quiet when it stops
    Layer.provideMerge(Sharding.layer),
    Layer.provideMerge(Runners.layerNoop),
    Layer.provideMerge(SqlMessageStorage.layer),
    Layer.provide([Layer.provide(runners, RunnerStorage.layerMemory), RunnerHealth.layerNoop]),
    Layer.provide(ShardingConfig.layerFromEnv({
      // each record asks for new messages with the names of all shards in the statement, and there is one runner
      shardsPerGroup: 1,
      // an execution of an agent that is not known here has not failed
      entityRegistrationTimeout: Duration.infinity,
      entityMessagePollInterval: poll,
      entityTerminationTimeout: grace
    })),
    // only the sharding is read from the environment, and it has defaults for all
    Layer.catchTag("ConfigError", (error) => Layer.effectDiscard(Effect.die(error)) as Layer.Layer<never>)
  )
  return Layer.merge(Layer.provideMerge(Registry.layerAlone, engine), ExecutionStore.layer).pipe(
    Layer.provideMerge(SqliteClient.layer({ filename, synchronous })),
    Layer.provide([
      Digest.layerWebCrypto,
      lock(filename),
      Layer.succeed(References.TracerEnabled)(false),
      UnknownAgents.layer
    ])
  ) as Layer.Layer<any, RunnerExists | SqlError.SqlError>
}

const runners = Layer.effect(RunnerStorage.RunnerStorage)(Effect.map(RunnerStorage.RunnerStorage, quiet))

/** The operating system takes the lock away from a process that dies. */
const lock = (filename: string): Layer.Layer<never, RunnerExists | SqlError.SqlError> =>
  filename === ":memory:"
    ? Layer.empty
    : Layer.effectDiscard(Effect.gen(function*() {
      const sql = yield* SqliteClient.make({ filename: `${filename}-runner`, busyTimeout: 0 })
      const connection = yield* sql.reserve
      yield* Effect.mapError(
        connection.executeUnprepared("BEGIN EXCLUSIVE", [], undefined),
        () => new RunnerExists({ filename })
      )
    })).pipe(Layer.provide(Reactivity.layer))

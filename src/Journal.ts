/**
 * What a run has done, kept so that another process can go on with it.
 *
 * A run with a `Journal` in its context records what it does to the outside: its model calls, its tool calls, what it
 * loads and saves, its `afterRun`s. Run again with the same journal, it takes from the records what was done and does
 * only the rest: what was in flight when its process ended, and what had not begun. Without a journal nothing is
 * recorded, and nothing is paid for it.
 *
 * A journal is a function from the name of a record to its text. `layerMemory` keeps the records in a `Map`; a durable
 * one is a few lines over `effect/workflow`, with an `Activity` for each record.
 *
 * **Example** (A run that is begun twice)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, Journal } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const toolkit = Toolkit.make(Tool.make("pay"))
 * const agent = Agent.make("assistant", { toolkit })
 * const tools = toolkit.toLayer({ pay: () => Console.log("paid") })
 *
 * const records = new Map<string, string>()
 * const run = Agent.run(agent, { prompt: "Pay the bill" }).pipe(Effect.provide(Journal.layerMemory(records)))
 *
 * const pays = ScriptedModel.toolCalls({ id: "c1", name: "pay", params: {} })
 * const interrupted = ScriptedModel.layer([pays, ScriptedModel.hang])
 * const whole = ScriptedModel.layer([ScriptedModel.text("The bill is paid")])
 *
 * const program = Effect.gen(function*() {
 *   yield* Effect.timeoutOption(Effect.provide(run, Layer.merge(interrupted, tools)), "50 millis")
 *   const { text } = yield* Effect.provide(run, Layer.merge(whole, tools))
 *   yield* Console.log(text, [...records.keys()])
 * })
 *
 * Effect.runPromise(program)
 * // => paid
 * // => The bill is paid [ 'model/0', 'tool/0/c1', 'model/1' ]
 * ```
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as JournalStep from "./internal/journal/step.ts"
import type { JournalError } from "./internal/words/journalError.ts"

export {
  /**
   * A record cannot be read, was made for another call than the one that asks for it, or cannot be written because a
   * value has no JSON.
   *
   * A run fails with it as the reason `InvalidRecord` of an `AgentError`.
   *
   * @category errors
   * @since 0.1.0
   */
  JournalError
} from "./internal/words/journalError.ts"

/**
 * Service for the records of one execution. One service is one attempt: a process that goes on with an execution makes
 * a new one over the same records.
 *
 * **Details**
 *
 * - `id`: of the execution, the same in each attempt. Ids that are made within are derived from it.
 * - `record`: returns the text that is recorded under a name. If there is none it runs the effect, records the text that
 *   it gives, and returns that. Nothing is recorded of an effect that is interrupted, nor of one that ends while the
 *   attempt does: `record` interrupts itself then, and the run ends with that. No name is asked for twice.
 * - `isSuspended`: whether this cause, at the moment that a run ends with it, ends only this attempt: another one goes on
 *   with the run (see `AgentRun.isSuspended`). It may be an interruption because the process has to stop, a defect that
 *   is going to be mended, a record that cannot be read.
 *
 * @category services
 * @since 0.1.0
 */
export class Journal extends Context.Service<Journal, {
  readonly id: string
  readonly record: (
    name: string,
    execute: Effect.Effect<string, JournalError>
  ) => Effect.Effect<string, JournalError>
  readonly isSuspended: (cause: Cause.Cause<unknown>) => Effect.Effect<boolean>
}>()("effect-agents/Journal") {}

/**
 * How what an effect gives is written: its value, and its failure if it has one. Both become JSON text.
 *
 * @category models
 * @since 0.1.0
 */
export type Codecs<A, E> = [E] extends [never] ? {
    readonly success: Schema.Codec<A, unknown>
    /** Default: none, for an effect that does not fail. */
    readonly failure?: undefined
  }
  : { readonly success: Schema.Codec<A, unknown>; readonly failure: Schema.Codec<E, unknown> }

/**
 * Runs an effect once in the life of an execution. Where there is no journal it is the effect.
 *
 * **Details**
 *
 * Its success or its failure is recorded; begun again, the step returns that and the effect does not run. A defect and
 * an interruption are not recorded: the effect runs again. An effect that was in flight when the process ended runs
 * again, too.
 *
 * The name is that of the step within its run, its tool call or its provider. A name that is used again there gets a
 * number (`~2`), in the order in which the steps begin: steps that run concurrently need names of their own.
 *
 * Fails with `JournalError` when the record does not decode, or when the value has no JSON.
 *
 * **Gotchas**
 *
 * A time limit belongs into the effect. One around the step counts again each time that the execution is begun.
 *
 * @category running
 * @since 0.1.0
 */
export const step = <A, E, R>(
  name: string,
  codecs: Codecs<A, E>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | JournalError, R> => JournalStep.step(name, codecs, effect)

/**
 * The time that decisions of an execution are made by, in milliseconds: in a journal the moment of its last record,
 * otherwise that of the clock. A decision that is made again by it is the same one.
 *
 * The time in which no process works on an execution does not count.
 *
 * @category accessors
 * @since 0.1.0
 */
export const currentTimeMillis: Effect.Effect<number> = JournalStep.currentTimeMillis

/**
 * Keeps the records in this map, by name. Each time that the layer is built is an attempt: built again with the same
 * map, it goes on where the attempt before has ended.
 *
 * For tests, and for what has to survive a failure but not the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (
  records: Map<string, string>,
  options?: {
    /** The id of the execution. Default: `"memory"`. */
    readonly id?: string | undefined
    /** Which causes end only the attempt. Default: none. */
    readonly isSuspended?: ((cause: Cause.Cause<unknown>) => boolean) | undefined
  }
): Layer.Layer<Journal> =>
  Layer.sync(Journal)(() => ({
    id: options?.id ?? "memory",
    record: (name, execute) =>
      Effect.suspend(() => {
        const known = records.get(name)
        if (known !== undefined) return Effect.succeed(known)
        return Effect.tap(execute, (text) => Effect.sync(() => records.set(name, text)))
      }),
    isSuspended: (cause) => Effect.sync(() => options?.isSuspended?.(cause) === true)
  }))

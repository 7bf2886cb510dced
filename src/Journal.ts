/**
 * Records of a run, so that another process can continue it.
 *
 * A run with a `Journal` in its context records its effects on the outside: its model calls, its tool calls, everything
 * that it loads and saves, and its `afterRun`s. When it is run again with the same journal, it takes from the records
 * what was done, and does only the rest: what was in progress when its process ended, and what had not begun. Without a
 * journal nothing is recorded, and nothing is paid for it.
 *
 * A journal is a function from the name of a record to its text. `layerMemory` keeps the records in a `Map`. A durable
 * journal is a few lines over `effect/workflow`, with an `Activity` for each record.
 *
 * **Example** (A run that begins twice)
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
   * A record cannot be read, belongs to another call than the one that asks for it, or cannot be written because a
   * value has no JSON form.
   *
   * A run fails with it as the reason `InvalidRecord` of an `AgentError`.
   *
   * @category errors
   * @since 0.1.0
   */
  JournalError
} from "./internal/words/journalError.ts"

/**
 * Service for the records of one execution. One instance of the service is one attempt: a process that continues an
 * execution makes a new instance over the same records.
 *
 * **Details**
 *
 * - `id`: the id of the execution, the same in each attempt. Ids that are made in the execution are derived from it.
 * - `record`: returns the text that is recorded under a name. If there is none, it runs the effect, records its text,
 *   and returns it. Nothing is recorded if the effect is interrupted, or if it ends while the attempt ends: then
 *   `record` interrupts itself, and that ends the run. No name is requested twice.
 * - `isSuspended`: whether a run that ends now with this cause ends only in this attempt, and another attempt continues
 *   it (see `AgentRun.isSuspended`). Examples are an interruption because the process has to stop, a defect that will
 *   be repaired, and a record that cannot be read.
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
 * The codecs of an effect: for its value, and for its failure if it has one. Both are written as JSON text.
 *
 * @category models
 * @since 0.1.0
 */
export type Codecs<A, E> = [E] extends [never] ? {
    readonly success: Schema.Codec<A, unknown>
    /** The codec of the failure. Default: none, for an effect that does not fail. */
    readonly failure?: undefined
  }
  : { readonly success: Schema.Codec<A, unknown>; readonly failure: Schema.Codec<E, unknown> }

/**
 * Runs an effect once in the life of an execution. Without a journal it is the effect itself.
 *
 * **Details**
 *
 * The success or failure of the effect is recorded. In a later attempt the step returns it, and the effect does not
 * run. A defect or an interruption is not recorded, so the effect runs again. It also runs again if it was in progress
 * when the process ended.
 *
 * The name belongs to the step within its run, its tool call or its provider. A name that is used there again gets a
 * number (`~2`), in the order in which the steps begin. Steps that run concurrently therefore need different names.
 *
 * Fails with `JournalError` if the record does not decode, or if the value has no JSON form.
 *
 * **Gotchas**
 *
 * Put a time limit inside of the effect. A limit around the step begins anew in each attempt.
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
 * The time for decisions of an execution, in milliseconds: in a journal the time of its last record, otherwise that of
 * the clock. A decision that depends on it is the same in each attempt.
 *
 * The time in which no process works on an execution does not count.
 *
 * @category accessors
 * @since 0.1.0
 */
export const currentTimeMillis: Effect.Effect<number> = JournalStep.currentTimeMillis

/**
 * Keeps the records in this map, by name. Each build of the layer is an attempt: built again with the same map, it
 * continues where the last attempt has ended.
 *
 * Use it for tests, and for runs that have to survive a failure but not the process.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory = (
  records: Map<string, string>,
  options?: {
    /** The id of the execution. Default: `"memory"`. */
    readonly id?: string | undefined
    /** Returns whether a cause ends only the attempt. Default: no cause does. */
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

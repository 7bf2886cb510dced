/**
 * Conditions that stop a run although the model would go on.
 *
 * A condition is checked after every step that called tools. The condition also decides what happens when it holds. A
 * limit lets the model give one final answer without tools, which is a step and is counted. `orFail` makes it a typed
 * failure. `toolCalled` and `when` stop the run directly.
 *
 * **Example** (A limit, and the final answer it leaves)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, StopCondition } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Search = Tool.make("search", { success: Schema.String })
 * const toolkit = Toolkit.make(Search)
 * const tools = toolkit.toLayer({ search: () => Effect.succeed("nothing yet") })
 *
 * const researcher = Agent.make("researcher", { toolkit, stopWhen: [StopCondition.stepCount(2)] })
 *
 * const program = Effect.gen(function*() {
 *   const { steps, stopReason, text } = yield* Agent.run(researcher, { prompt: "Find it" })
 *   yield* Console.log(`${stopReason} after ${steps.length} steps: ${text}`)
 * })
 *
 * const search = ScriptedModel.toolCalls({ name: "search", params: {} })
 * const model = ScriptedModel.layer([search, search, ScriptedModel.text("I did not find it.")])
 *
 * Effect.runPromise(Effect.provide(program, [model, tools]))
 * // => step-limit after 3 steps: I did not find it.
 * ```
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as AgentRun from "./AgentRun.ts"

/**
 * The argument of a condition: the finished steps of the run (at least one), and counts over them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  readonly steps: ReadonlyArray<AgentRun.Step>
  readonly usage: AgentRun.Usage
  /** The number of tool calls in these steps that were executed. */
  readonly executedToolCalls: number
  /**
   * The number of tool calls in these steps that failed: mistakes of the model, and failures that were returned to it.
   */
  readonly failedToolCalls: number
  /** The time since the run began, in milliseconds. */
  readonly elapsed: number
}

/**
 * A named predicate over the finished steps.
 *
 * `toolCalls` is the number of tool calls that a run may execute in total. A call beyond it gets a failure result and
 * does not run.
 *
 * @category models
 * @since 0.1.0
 */
export interface StopCondition {
  readonly reason: AgentRun.StopReason
  readonly then: "final-answer" | "fail" | "stop"
  readonly holds: (progress: Progress) => boolean
  readonly toolCalls: number | undefined
}

const limit = (
  reason: AgentRun.StopReason,
  holds: (progress: Progress) => boolean,
  toolCalls?: number
): StopCondition => ({ reason, then: "final-answer", holds, toolCalls })

// a limit that is not a number counts as reached, instead of never being reached
const isReached = (value: number, n: number): boolean => !(value < n)

/**
 * Holds after `n` steps. The forced final answer is one more step.
 *
 * @category limits
 * @since 0.1.0
 */
export const stepCount = (n: number): StopCondition =>
  limit("step-limit", (progress) => isReached(progress.steps.length, n))

/**
 * Lets a run execute `n` tool calls. Further calls, in the same step too, get a "budget exhausted" result.
 *
 * @category limits
 * @since 0.1.0
 */
export const toolCalls = (n: number): StopCondition =>
  limit("tool-call-limit", ({ executedToolCalls }) => isReached(executedToolCalls, n), n || 0)

/**
 * Holds after `n` failed tool calls: mistakes of the model, and failures that were returned to it.
 *
 * @category limits
 * @since 0.1.0
 */
export const toolErrors = (n: number): StopCondition =>
  limit("tool-error-limit", ({ failedToolCalls }) => isReached(failedToolCalls, n))

/**
 * Holds when the model calls of the run have used `n` tokens, input and output together.
 *
 * @category limits
 * @since 0.1.0
 */
export const tokens = (n: number): StopCondition =>
  limit("token-limit", ({ usage }) => isReached((usage.inputTokens.total ?? 0) + (usage.outputTokens.total ?? 0), n))

/**
 * Holds if the run has lasted this long at the end of a step. It does not interrupt a step; use `Effect.timeout` on the
 * run for that.
 *
 * @category limits
 * @since 0.1.0
 */
export const duration = (input: Duration.Input): StopCondition => {
  const millis = Duration.toMillis(input)
  return limit("duration-limit", (progress) => progress.elapsed >= millis)
}

/**
 * Stops after a step in which one of these tools was called and succeeded. The model is not called again.
 *
 * @category conditions
 * @since 0.1.0
 */
export const toolCalled = (...names: ReadonlyArray<string>): StopCondition =>
  when(
    "tool-called",
    ({ steps }) => steps[steps.length - 1].toolCalls.some((call) => !call.isFailure && names.includes(call.name))
  )

/**
 * Stops after a step for which the predicate holds. `reason` becomes the stop reason of the result.
 *
 * @category conditions
 * @since 0.1.0
 */
export const when = (reason: AgentRun.StopReason, predicate: (progress: Progress) => boolean): StopCondition => ({
  reason,
  then: "stop",
  holds: predicate,
  toolCalls: undefined
})

/**
 * Makes a condition fail the run with `AgentError` (`LimitReached`) instead of stopping it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const orFail = (self: StopCondition): StopCondition => ({ ...self, then: "fail" })

/**
 * The limits of a run that sets none of its own of the same kind: 16 steps, 16 tool errors.
 *
 * @category limits
 * @since 0.1.0
 */
export const defaults: ReadonlyArray<StopCondition> = [stepCount(16), toolErrors(16)]

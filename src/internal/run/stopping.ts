/**
 * When a run stops: the conditions of its agent, those that its providers contribute,
 * and the defaults.
 *
 * @since 0.1.0
 */
import type * as AgentRun from "../../AgentRun.ts"
import * as StopCondition from "../../StopCondition.ts"

/**
 * The conditions of a run in the order in which they are checked, and the number of tool calls that it may execute.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stopping {
  readonly conditions: ReadonlyArray<StopCondition.StopCondition>
  readonly toolCallLimit: number
}

const leaving = new WeakSet<StopCondition.StopCondition>()

/**
 * Creates a condition that ends the run of an agent whose answer nobody needs any more. It holds before every other
 * condition, without a final answer, and without the value that an `output` promises. The code that runs the agent
 * knows that.
 *
 * @category constructors
 * @since 0.1.0
 */
export const leave = (
  reason: AgentRun.StopReason,
  holds: StopCondition.StopCondition["holds"]
): StopCondition.StopCondition => {
  const condition = StopCondition.when(reason, holds)
  leaving.add(condition)
  return condition
}

/**
 * Returns whether a condition was made by `leave`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isLeave = (condition: StopCondition.StopCondition): boolean => leaving.has(condition)

/**
 * Adds the default limits of the kinds that are not among these conditions.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (named: ReadonlyArray<StopCondition.StopCondition>): Stopping => ({
  conditions: [
    ...named.filter(isLeave),
    ...named.filter((condition) => !isLeave(condition)),
    ...StopCondition.defaults.filter(({ reason }) => !named.some((condition) => condition.reason === reason))
  ],
  toolCallLimit: Math.min(Infinity, ...named.map((condition) => condition.toolCalls ?? Infinity))
})

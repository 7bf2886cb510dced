/**
 * When a run stops: the conditions of its agent, those that its providers contribute,
 * and the defaults.
 *
 * @since 0.1.0
 */
import * as StopCondition from "../../StopCondition.ts"

/**
 * The conditions of a run, in the order in which they are asked, and how many tool calls
 * it may execute.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stopping {
  readonly conditions: ReadonlyArray<StopCondition.StopCondition>
  readonly toolCallLimit: number
}

/**
 * Adds the default limits that none of these conditions takes the place of.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (named: ReadonlyArray<StopCondition.StopCondition>): Stopping => ({
  conditions: [
    ...named,
    ...StopCondition.defaults.filter(({ reason }) => !named.some((condition) => condition.reason === reason))
  ],
  toolCallLimit: Math.min(Infinity, ...named.map((condition) => condition.toolCalls ?? Infinity))
})

/**
 * Numbers as people read them.
 *
 * @since 0.1.0
 */

import type * as AgentRun from "../../AgentRun.ts"
import type * as Statistics from "../Statistics.ts"

/**
 * Returns a rate as a percentage, with one digit behind the point if it is not whole.
 *
 * @category formatting
 * @since 0.1.0
 */
export const percent = (rate: number): string => `${trimmed((100 * rate).toFixed(1))} %`

/**
 * Returns an interval of rates.
 *
 * @category formatting
 * @since 0.1.0
 */
export const percents = ({ lower, upper }: Statistics.Interval): string =>
  `${trimmed((100 * lower).toFixed(1))} to ${percent(upper)}`

/**
 * Returns a p value.
 *
 * @category formatting
 * @since 0.1.0
 */
export const pText = (p: number): string => p < 0.001 ? "p < 0.001" : `p = ${p.toFixed(3)}`

/**
 * Returns a number with at most three digits behind the point.
 *
 * @category formatting
 * @since 0.1.0
 */
export const number = (value: number): string =>
  Number.isInteger(value)
    ? String(value)
    : Math.abs(value) >= 0.001
    ? trimmed(value.toFixed(3))
    : value.toPrecision(2)

/**
 * Returns a time in the unit that fits it.
 *
 * @category formatting
 * @since 0.1.0
 */
export const time = (milliseconds: number): string =>
  milliseconds < 1000
    ? `${Math.round(milliseconds)} ms`
    : milliseconds < 60_000
    ? `${trimmed((milliseconds / 1000).toFixed(1))} s`
    : `${trimmed((milliseconds / 60_000).toFixed(1))} min`

/**
 * Returns the tokens of a usage.
 *
 * @category formatting
 * @since 0.1.0
 */
export const tokens = ({ inputTokens, outputTokens }: AgentRun.Usage): string =>
  `${inputTokens.total ?? 0} in, ${outputTokens.total ?? 0} out`

const trimmed = (digits: string): string => digits.includes(".") ? digits.replace(/\.?0+$/, "") : digits

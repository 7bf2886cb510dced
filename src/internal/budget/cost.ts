/**
 * The cost of a model call's usage.
 *
 * @since 0.1.0
 */

import type * as AgentRun from "../../AgentRun.ts"
// this implements that module
import type * as Budget from "../../Budget.ts"

/**
 * Returns the tokens of a call by their price. `input` is the whole input, including cached tokens. Numbers that are
 * not reported are computed from the others.
 *
 * @category accessors
 * @since 0.1.0
 */
export const tokensOf = (usage: AgentRun.Usage): {
  readonly input: number
  readonly cacheRead: number
  readonly cacheWrite: number
  readonly output: number
} => {
  const { cacheRead = 0, cacheWrite = 0, uncached } = usage.inputTokens
  return {
    input: usage.inputTokens.total ?? (uncached ?? 0) + cacheRead + cacheWrite,
    cacheRead,
    cacheWrite,
    output: usage.outputTokens.total ?? (usage.outputTokens.text ?? 0) + (usage.outputTokens.reasoning ?? 0)
  }
}

/**
 * Returns the tokens of a call, and their cost by the prices of a budget. The cost is `undefined` if there is no price
 * for the model.
 *
 * @category accessors
 * @since 0.1.0
 */
export const costOf = (
  budget: Budget.Budget<unknown>,
  usage: AgentRun.Usage,
  model: string | undefined,
  provider: string | undefined
): { readonly tokens: number; readonly money: number | undefined } => {
  const { cacheRead, cacheWrite, input, output } = tokensOf(usage)
  const price = budget.price(model, provider, usage)
  const money = price && (Math.max(0, input - cacheRead - cacheWrite) * price.input +
        cacheRead * (price.cacheRead ?? price.input) +
        cacheWrite * (price.cacheWrite ?? price.input) +
        output * price.output) /
      1_000_000
  return { tokens: input + output, money }
}

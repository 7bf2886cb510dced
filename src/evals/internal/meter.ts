/**
 * What the model calls of a trial use.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Budget from "../../Budget.ts"
import * as AgentRun from "../../AgentRun.ts"
import { costOf } from "../../internal/budget/cost.ts"
import { type Accountant, Accountants, type Cost } from "../../internal/model/spending.ts"

/**
 * Sums the usage of every model call in a context, of nested and failed runs too, and what it costs.
 *
 * @category models
 * @since 0.1.0
 */
export class Meter implements Accountant {
  usage: AgentRun.Usage = AgentRun.emptyUsage
  modelCalls = 0
  private money = 0
  /** The number of calls whose model has no price. */
  private unpriced = 0
  private readonly prices: Budget.Budget | undefined

  constructor(prices: Budget.Price | Budget.Prices | undefined) {
    this.prices = prices === undefined ? undefined : Budget.make({ money: Infinity, prices })
  }

  /** The cost of all calls; `undefined` without prices, or if one of the calls has no price, or none that is a number. */
  get cost(): number | undefined {
    return this.prices === undefined || this.unpriced > 0 || !Number.isFinite(this.money) ? undefined : this.money
  }

  readonly begin = (): undefined => {
    this.modelCalls++
  }

  readonly spend = ({ after, before, model, modelBefore, provider }: Cost): void => {
    this.usage = AgentRun.addUsage(this.usage, difference(after, before))
    this.price(after, model, provider, 1)
    if (before !== AgentRun.emptyUsage) this.price(before, modelBefore, provider, -1)
  }

  private price(usage: AgentRun.Usage, model: string | undefined, provider: string | undefined, sign: 1 | -1): void {
    if (this.prices === undefined) return
    const { money } = costOf(this.prices, usage, model, provider)
    if (money === undefined) this.unpriced += sign
    else this.money += sign * money
  }

  /** The context in which this meter counts, beside those that count there already. */
  readonly provide = <R>(context: Context.Context<R>): Context.Context<R> =>
    Context.add(context, Accountants, [...Context.get(context, Accountants), this])
}

const difference = (after: AgentRun.Usage, before: AgentRun.Usage): AgentRun.Usage =>
  before === AgentRun.emptyUsage ? after : {
    inputTokens: {
      uncached: less(after.inputTokens.uncached, before.inputTokens.uncached),
      total: less(after.inputTokens.total, before.inputTokens.total),
      cacheRead: less(after.inputTokens.cacheRead, before.inputTokens.cacheRead),
      cacheWrite: less(after.inputTokens.cacheWrite, before.inputTokens.cacheWrite)
    },
    outputTokens: {
      total: less(after.outputTokens.total, before.outputTokens.total),
      text: less(after.outputTokens.text, before.outputTokens.text),
      reasoning: less(after.outputTokens.reasoning, before.outputTokens.reasoning)
    }
  }

const less = (after: number | undefined, before: number | undefined): number | undefined =>
  before === undefined ? after : (after ?? 0) - before

/**
 * The spending of a budget since it was opened.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import type * as AgentRun from "../../AgentRun.ts"
// the account implements that module
import type * as Budget from "../../Budget.ts"
import type { Accountant, Cost, Counts } from "../model/spending.ts"
import * as JournalStep from "../journal/step.ts"
import * as Usage from "../words/usage.ts"
import { costOf } from "./cost.ts"
import { Refusals } from "./refusals.ts"

/**
 * An open budget. Its changes are synchronous: the check whether something is left and the counting are one step, also
 * for parallel runs.
 *
 * @category models
 * @since 0.1.0
 */
export class Account extends Refusals<Budget.BudgetExceeded> implements Accountant {
  readonly budget: Budget.Budget<unknown>
  private toolCalls = 0
  private tokens = 0
  private money = 0
  /** The number of calls without a price. */
  private unpriced = 0
  private modelCalls = 0
  private readonly openedAt: number
  private readonly makeError: (resource: Budget.Resource, limit: number, used: number) => Budget.BudgetExceeded

  constructor(
    budget: Budget.Budget<unknown>,
    now: number,
    makeError: (resource: Budget.Resource, limit: number, used: number) => Budget.BudgetExceeded
  ) {
    super()
    this.budget = budget
    this.openedAt = now
    this.makeError = makeError
  }

  used(resource: Budget.Resource, now: number): number {
    switch (resource) {
      case "tokens":
        return this.tokens
      case "money":
        return this.unpriced > 0 ? Math.max(this.money, this.budget.limits.money ?? 0) : this.money
      case "model-calls":
        return this.modelCalls
      case "tool-calls":
        return this.toolCalls
      case "wall-time":
        return now - this.openedAt
    }
  }

  /** What is left of a resource, at least zero. Returns `undefined` without a limit. */
  left(resource: Budget.Resource, now: number): number | undefined {
    const limit = this.budget.limits[resource]
    return limit === undefined ? undefined : Math.max(0, limit - this.used(resource, now))
  }

  /** Counts a model call. A call at the limit is counted if it will be made as a final answer. */
  beginModelCall(now: number): Budget.BudgetExceeded | undefined {
    const fails = this.budget.atLimit === "fail"
    const exceeded = this.usedUp(fails ? ofModelCalls : [...ofModelCalls, "tool-calls"], now)
    if (exceeded === undefined || !fails) this.modelCalls++
    return exceeded
  }

  /** Counts a tool call, unless the limit is reached. */
  beginToolCall(now: number): Budget.BudgetExceeded | undefined {
    const exceeded = this.usedUp(ofToolCalls, now)
    if (exceeded === undefined) this.toolCalls++
    return exceeded
  }

  /** Adds the usage of a model call, as far as it is known. */
  readonly spend = ({ after, before, model, modelBefore, provider }: Cost): void => {
    this.add(after, model, provider, 1)
    if (before !== Usage.empty) this.add(before, modelBefore, provider, -1)
  }

  /** Takes back a tool call that was counted but did not reach its tool. */
  takeBackToolCall(): void {
    this.toolCalls--
  }

  /** Counts the calls of runs that the handler of a tool has run itself, in another attempt of the execution. */
  readonly restore = ({ modelCalls = 0, toolCalls = 0 }: Counts): void => {
    this.modelCalls += modelCalls
    this.toolCalls += toolCalls
  }

  private add(usage: AgentRun.Usage, model: string | undefined, provider: string | undefined, sign: 1 | -1): void {
    const { money, tokens } = costOf(this.budget, usage, model, provider)
    this.tokens += sign * tokens
    if (money === undefined) this.unpriced += sign
    else this.money += sign * money
  }

  private usedUp(resources: ReadonlyArray<Budget.Resource>, now: number): Budget.BudgetExceeded | undefined {
    // with a price that is not a number the spending is unknown, so nothing is left
    const resource = resources.find((resource) => {
      const left = this.left(resource, now)
      return left !== undefined && !(left > 0)
    })
    return resource && this.makeError(resource, this.budget.limits[resource]!, this.used(resource, now))
  }

  /** Fails when a call was refused, or when the time is over. */
  override readonly limitReached: Effect.Effect<never, Budget.BudgetExceeded> = Effect.suspend(() => {
    const limit = this.budget.limits["wall-time"]
    if (limit === undefined) return this.refused
    const elapsed = Effect.map(JournalStep.workingTime, (now) => now - this.openedAt)
    const timeIsOver = Effect.flatMap(elapsed, (before) => {
      const left = Math.max(0, limit - before)
      return Effect.andThen(
        Effect.sleep(left),
        Effect.flatMap(
          elapsed,
          (used) => Effect.fail(this.makeError("wall-time", limit, Math.max(used, before + left)))
        )
      )
    })
    return Effect.raceFirst(this.refused, timeIsOver)
  })
}

const ofModelCalls: ReadonlyArray<Budget.Resource> = ["wall-time", "tokens", "money", "model-calls"]

const ofToolCalls: ReadonlyArray<Budget.Resource> = ["wall-time", "tool-calls"]

/**
 * What has been spent of a budget since it was opened.
 *
 * @since 0.1.0
 */

import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Budget from "../../Budget.ts"
import type { Cost } from "../model/spending.ts"
import * as Usage from "../words/usage.ts"

/**
 * An open budget. What changes it is synchronous: to ask whether there is something
 * left and to take it is one step, also for runs in parallel.
 *
 * @category models
 * @since 0.1.0
 */
export class Account {
  readonly budget: Budget.Budget<unknown>
  toolCalls = 0
  private tokens = 0
  private money = 0
  private modelCalls = 0
  private guards = 0
  private readonly openedAt: number
  private readonly exceeded: Deferred.Deferred<never, Budget.BudgetExceeded> = Deferred.makeUnsafe()
  private readonly makeError: (resource: Budget.Resource, limit: number, used: number) => Budget.BudgetExceeded

  constructor(
    budget: Budget.Budget<unknown>,
    now: number,
    makeError: (resource: Budget.Resource, limit: number, used: number) => Budget.BudgetExceeded
  ) {
    this.budget = budget
    this.openedAt = now
    this.makeError = makeError
  }

  used(resource: Budget.Resource, now: number): number {
    switch (resource) {
      case "tokens":
        return this.tokens
      case "money":
        return this.money
      case "model-calls":
        return this.modelCalls
      case "tool-calls":
        return this.toolCalls
      case "wall-time":
        return now - this.openedAt
    }
  }

  /** What is left of a resource, never less than nothing; undefined without a limit. */
  left(resource: Budget.Resource, now: number): number | undefined {
    const limit = this.budget.limits[resource]
    return limit === undefined ? undefined : Math.max(0, limit - this.used(resource, now))
  }

  /** Counts a model call. At the limit it is counted if it will be made: as a final answer. */
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

  /** Adds what a model call has used, as far as it is known. */
  readonly spend = ({ after, before, model, modelBefore }: Cost): void => {
    this.add(after, model, 1)
    if (before !== Usage.empty) this.add(before, modelBefore, -1)
  }

  private add(usage: AgentRun.Usage, model: string | undefined, sign: 1 | -1): void {
    const { cacheRead = 0, cacheWrite = 0, uncached } = usage.inputTokens
    const input = usage.inputTokens.total ?? (uncached ?? 0) + cacheRead + cacheWrite
    const output = usage.outputTokens.total ?? (usage.outputTokens.text ?? 0) + (usage.outputTokens.reasoning ?? 0)
    const price = this.budget.price(model)
    this.tokens += sign * (input + output)
    this.money += sign * (Math.max(0, input - cacheRead - cacheWrite) * price.input +
      cacheRead * (price.cacheRead ?? price.input) +
      cacheWrite * (price.cacheWrite ?? price.input) +
      output * price.output) /
      1_000_000
  }

  private usedUp(resources: ReadonlyArray<Budget.Resource>, now: number): Budget.BudgetExceeded | undefined {
    // what was spent at a price that is no number cannot be told: then nothing is left
    const resource = resources.find((resource) => {
      const left = this.left(resource, now)
      return left !== undefined && !(left > 0)
    })
    return resource && this.makeError(resource, this.budget.limits[resource]!, this.used(resource, now))
  }

  // --- failing ----------------------------------------------------------------

  /** Fails when somebody was refused, or when the time is over. */
  readonly limitReached: Effect.Effect<never, Budget.BudgetExceeded> = Effect.suspend(() => {
    const refused = Deferred.await(this.exceeded)
    const limit = this.budget.limits["wall-time"]
    if (limit === undefined) return refused
    const timeIsOver = Effect.clockWith((clock) => {
      const elapsed = clock.currentTimeMillisUnsafe() - this.openedAt
      return Effect.flatMap(
        Effect.sleep(Math.max(0, limit - elapsed)),
        () => Effect.fail(this.makeError("wall-time", limit, clock.currentTimeMillisUnsafe() - this.openedAt))
      )
    })
    return Effect.raceFirst(refused, timeIsOver)
  })

  /**
   * What becomes of a call that is refused. If the run that has the budget guards it,
   * it waits for its end: only that run has the failure in its type.
   */
  refuse(exceeded: Budget.BudgetExceeded): Effect.Effect<never> {
    Deferred.doneUnsafe(this.exceeded, Exit.fail(exceeded))
    // unguarded, it is the run's own call, or that of a provider of its
    return this.guards > 0 ? Effect.never : Exit.fail(exceeded) as Exit.Exit<never>
  }

  guarding<A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.guards++
      return Effect.ensuring(effect, Effect.sync(() => this.guards--))
    })
  }

  /** The stream fails when the limit is reached, and what it does then is interrupted. */
  cut<A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E | Budget.BudgetExceeded, R> {
    return Stream.transformPull(
      stream,
      (pull) => Effect.succeed(this.guarding(Effect.raceFirst(pull, this.limitReached)))
    )
  }
}

const ofModelCalls: ReadonlyArray<Budget.Resource> = ["wall-time", "tokens", "money", "model-calls"]

const ofToolCalls: ReadonlyArray<Budget.Resource> = ["wall-time", "tool-calls"]

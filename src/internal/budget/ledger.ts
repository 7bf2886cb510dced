/**
 * An account as one process keeps it, with spending that is not written to the store yet.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as AgentRun from "../../AgentRun.ts"
// this implements that module
import type * as Budget from "../../Budget.ts"
import * as BudgetStore from "../../BudgetStore.ts"
import type { Accountant, Cost, Entry } from "../model/spending.ts"
import * as Usage from "../words/usage.ts"
import { costOf } from "./cost.ts"
import * as Entries from "./entries.ts"

type Amounts = BudgetStore.Amounts

const { nothing } = BudgetStore

/**
 * The parts of a ledger: the account, its store, and a constructor from an upper floor.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parts {
  readonly id: string
  readonly budget: Budget.Budget<unknown>
  readonly refuse: "run" | "call"
  readonly store: BudgetStore.BudgetStore["Service"]
  readonly windowAt: (now: number) => number
  readonly timeLimit: Duration.Input
  readonly makeExceeded: (resource: Budget.Resource, limit: number, used: number) => Budget.BudgetExceeded
}

/**
 * All operations of one process on an account.
 *
 * @category models
 * @since 0.1.0
 */
export class Ledger implements Accountant {
  readonly parts: Parts
  private owed: Amounts = nothing

  constructor(parts: Parts) {
    this.parts = parts
  }

  get budget(): Budget.Budget<unknown> {
    return this.parts.budget
  }

  /** The limits of the account, under the names that stores use. */
  get limits(): Partial<Amounts> {
    const { limits } = this.budget
    return {
      ...limits.tokens !== undefined && { tokens: limits.tokens },
      ...limits.money !== undefined && { money: limits.money },
      ...limits["model-calls"] !== undefined && { modelCalls: limits["model-calls"] },
      ...limits["tool-calls"] !== undefined && { toolCalls: limits["tool-calls"] }
    }
  }

  open(seed: Partial<Amounts>): Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError> {
    return this.ask("open", (window) => this.parts.store.open(this.parts.id, window, BudgetStore.add(nothing, seed)))
  }

  topUp(amounts: Partial<Amounts>): Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError> {
    const { id, store } = this.parts
    return BudgetStore.isAmounts(amounts)
      ? this.ask("topUp", (window) => store.topUp(id, window, BudgetStore.add(nothing, amounts)))
      : Effect.fail(this.noNumber("topUp"))
  }

  /** The balance, including everything that this process has spent. */
  readonly balance: Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError> = Effect.suspend(() =>
    Effect.andThen(
      this.settle,
      this.ask("balance", (window) => this.parts.store.balance(this.parts.id, window))
    )
  )

  /** Returns which of these resources are used up. */
  usedUp(
    names: ReadonlyArray<Resource>
  ): Effect.Effect<Budget.BudgetExceeded | undefined, BudgetStore.BudgetStoreError> {
    return Effect.map(this.balance, (balance) => this.exceeded(names, balance))
  }

  /** Takes the amounts, unless one of these resources is used up. */
  take(
    amounts: Partial<Amounts>,
    names: ReadonlyArray<Resource>
  ): Effect.Effect<Budget.BudgetExceeded | undefined, BudgetStore.BudgetStoreError> {
    const all = this.limits
    const limits: Partial<Record<keyof Amounts, number>> = {}
    for (const name of names) {
      const limit = all[keys[name]]
      if (limit !== undefined) limits[keys[name]] = limit
    }
    return Effect.map(
      Effect.andThen(this.settle, this.charge(BudgetStore.add(nothing, amounts), limits)),
      ({ balance, granted }) => {
        if (granted) return undefined
        // a refusal of the store counts, even if something seems to be left
        const anything = names.find((name) => limits[keys[name]] !== undefined) ?? "tokens"
        return this.exceeded(names, balance) ??
          this.parts.makeExceeded(anything, limits[keys[anything]] ?? 0, balance.spent[keys[anything]])
      }
    )
  }

  /** Adds the amounts in any case. */
  add(amounts: Partial<Amounts>): Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError> {
    return Effect.map(
      Effect.andThen(this.settle, this.charge(BudgetStore.add(nothing, amounts))),
      ({ balance }) => balance
    )
  }

  /** Notes spending, which the next `settle` writes. */
  owe(amounts: Partial<Amounts>): void {
    this.owed = BudgetStore.add(this.owed, amounts)
  }

  /** Notes the usage of a model call, as far as it is known. Usage that is read from a journal is already written. */
  readonly spend = ({ after, before, isReplayed, model, modelBefore, provider }: Cost): void => {
    if (isReplayed) return
    this.owe(this.amountsOf(after, model, provider, 1))
    if (before !== Usage.empty) this.owe(this.amountsOf(before, modelBefore, provider, -1))
  }

  /** In a journal a cost is written once, when its call has ended. */
  readonly begin = (context: Context.Context<never>): Entry | undefined =>
    Entries.entry(this.parts.id, context, ({ after, model, provider }) => {
      const amounts = this.amountsOf(after, model, provider, 1)
      return isNothing(amounts) ? Effect.succeed(true) : this.settleWith(amounts)
    })

  /** Writes the amounts, and returns whether that has succeeded. Amounts that cannot be written stay noted. */
  settleWith(amounts: Partial<Amounts>): Effect.Effect<boolean> {
    return Effect.suspend(() => {
      const all = BudgetStore.add(nothing, amounts)
      return Effect.matchEffect(this.charge(all), {
        onFailure: (error) => {
          this.owe(all)
          return Effect.as(Effect.logError(error.message, error.cause), false)
        },
        onSuccess: () => Effect.succeed(true)
      })
    }).pipe(Effect.uninterruptible)
  }

  /**
   * Writes the noted spending. If the store fails, it stays noted, and the next call in this process writes it first.
   */
  readonly settle: Effect.Effect<void, BudgetStore.BudgetStoreError> = Effect.suspend(() => {
    const owed = this.owed
    if (isNothing(owed)) return Effect.void
    this.owed = nothing
    return Effect.asVoid(Effect.onError(this.charge(owed), () => Effect.sync(() => this.owe(owed))))
  }).pipe(Effect.uninterruptible)

  private charge(
    amounts: Amounts,
    limits?: Partial<Amounts>
  ): Effect.Effect<BudgetStore.Charged, BudgetStore.BudgetStoreError> {
    const { id, store } = this.parts
    return BudgetStore.isAmounts(amounts)
      ? this.ask("charge", (window) => store.charge({ id, window, amounts, limits }))
      : Effect.fail(this.noNumber("charge"))
  }

  /** What is no number would stay in the account for ever. */
  private noNumber(operation: BudgetStore.BudgetStoreError["operation"]): BudgetStore.BudgetStoreError {
    const cause = new Error("It was given an amount that is no finite number")
    return new BudgetStore.BudgetStoreError({ account: this.parts.id, operation, cause })
  }

  /** Calls the store for the current window. It answers or fails in time, and an interruption waits for that. */
  private ask<A>(
    operation: BudgetStore.BudgetStoreError["operation"],
    ask: (window: number) => Effect.Effect<A, BudgetStore.BudgetStoreError>
  ): Effect.Effect<A, BudgetStore.BudgetStoreError> {
    const { id, timeLimit, windowAt } = this.parts
    const late = () =>
      new BudgetStore.BudgetStoreError({ account: id, operation, cause: new Error("It did not answer in time") })
    return Effect.flatMap(Clock.currentTimeMillis, (now) => ask(windowAt(now))).pipe(
      Effect.timeoutOrElse({ duration: timeLimit, orElse: () => Effect.fail(late()) }),
      Effect.uninterruptible
    )
  }

  private amountsOf(
    usage: AgentRun.Usage,
    model: string | undefined,
    provider: string | undefined,
    sign: 1 | -1
  ): Amounts {
    const { money = NaN, tokens } = costOf(this.budget, usage, model, provider)
    // a call without a price takes all the money of the window
    const known = Number.isFinite(money) ? money : this.budget.limits.money ?? 0
    return { ...nothing, tokens: sign * tokens, money: sign * known }
  }

  private exceeded(
    names: ReadonlyArray<Resource>,
    { added, spent }: BudgetStore.Balance
  ): Budget.BudgetExceeded | undefined {
    const { limits } = this
    for (const name of names) {
      const key = keys[name]
      const limit = limits[key]
      if (limit !== undefined && !(spent[key] < limit + added[key])) {
        return this.parts.makeExceeded(name, limit + added[key], spent[key])
      }
    }
    return undefined
  }
}

type Resource = Exclude<Budget.Resource, "wall-time">

const keys = {
  tokens: "tokens",
  money: "money",
  "model-calls": "modelCalls",
  "tool-calls": "toolCalls"
} as const satisfies Record<Resource, keyof Amounts>

const isNothing = (amounts: Amounts): boolean =>
  amounts.tokens === 0 && amounts.money === 0 && amounts.modelCalls === 0 && amounts.toolCalls === 0

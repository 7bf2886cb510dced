/**
 * Where the accounts of `BudgetAccount` are kept.
 *
 * A `BudgetStore` keeps one record for each account: its window, what was spent in it, and what was added to its
 * limits. `layerMemory` keeps the records in the process, and `SqlBudgetStore` of `effect-agents/sql` in a database
 * that processes share. To write your own store, implement four functions.
 *
 * **Example** (What two tenants have spent)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { BudgetStore } from "effect-agents"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* BudgetStore.BudgetStore
 *   const call = { ...BudgetStore.nothing, modelCalls: 1 }
 *   yield* store.charge({ id: "acme", window: 0, amounts: call, limits: { modelCalls: 1 } })
 *   const second = yield* store.charge({ id: "acme", window: 0, amounts: call, limits: { modelCalls: 1 } })
 *   yield* Console.log(second.granted, second.balance.spent.modelCalls)
 *   const other = yield* store.balance("umbrella", 0)
 *   yield* Console.log(other.spent.modelCalls)
 * })
 *
 * Effect.runPromise(Effect.provide(program, BudgetStore.layerMemory))
 * // => false 1
 * // => 0
 * ```
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * An amount of each resource that an account counts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Amounts {
  /** Input and output tokens together. */
  readonly tokens: number
  /** In the currency of the budget's prices. */
  readonly money: number
  readonly modelCalls: number
  readonly toolCalls: number
}

/**
 * Schema for amounts.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Amounts: Schema.Codec<Amounts> = Schema.Struct({
  tokens: Schema.Finite,
  money: Schema.Finite,
  modelCalls: Schema.Finite,
  toolCalls: Schema.Finite
})

/**
 * Zero of each resource.
 *
 * @category constructors
 * @since 0.1.0
 */
export const nothing: Amounts = { tokens: 0, money: 0, modelCalls: 0, toolCalls: 0 }

/**
 * Adds two amounts.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (self: Amounts, that: Partial<Amounts>): Amounts => ({
  tokens: self.tokens + (that.tokens ?? 0),
  money: self.money + (that.money ?? 0),
  modelCalls: self.modelCalls + (that.modelCalls ?? 0),
  toolCalls: self.toolCalls + (that.toolCalls ?? 0)
})

/**
 * What an account has spent in its window, and what was added to its limits for that window.
 *
 * @category models
 * @since 0.1.0
 */
export interface Balance {
  /** When the window began, in milliseconds since 1970; 0 for an account that is never refilled. */
  readonly window: number
  readonly spent: Amounts
  readonly added: Amounts
}

/**
 * Schema for a balance.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Balance: Schema.Codec<Balance> = Schema.Struct({
  window: Schema.Finite,
  spent: Amounts,
  added: Amounts
})

/**
 * Returns `true` when all amounts that are there are finite numbers.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAmounts = (amounts: Partial<Amounts>): boolean => Schema.is(Amounts)(add(nothing, amounts))

/**
 * The balance of an account at the beginning of a window.
 *
 * @category constructors
 * @since 0.1.0
 */
export const emptyBalance = (window: number): Balance => ({ window, spent: nothing, added: nothing })

/**
 * A charge to an account.
 *
 * @category models
 * @since 0.1.0
 */
export interface Charge {
  readonly id: string
  readonly window: number
  readonly amounts: Amounts
  /**
   * The charge is granted if, for each resource named here, less was spent than this limit plus what was added to it.
   * Default: it is always granted.
   */
  readonly limits?: Partial<Amounts> | undefined
}

/**
 * Whether a charge was granted, and the balance afterwards. If it was not granted, a resource is used up in that
 * balance.
 *
 * @category models
 * @since 0.1.0
 */
export interface Charged {
  readonly granted: boolean
  readonly balance: Balance
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * A store could not do an operation, or did not answer in time. A charge that fails in this way may have been written.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetStoreError extends Schema.Error<BudgetStoreError>("effect-agents/BudgetStore/BudgetStoreError")({
  _tag: Schema.tag("BudgetStoreError"),
  account: Schema.String,
  operation: Schema.Literals(["open", "charge", "topUp", "balance"]),
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The store of budgets could not do \`${this.operation}\` for the account \`${this.account}\``
  }
}

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * Service for keeping accounts.
 *
 * **Details**
 *
 * Each operation is atomic, also between processes. An operation that names a later window than the record begins that
 * window first, with nothing spent and nothing added. An operation that names an earlier window, because of a slow
 * clock, applies to the window of the record. An account that the store does not know has spent nothing.
 *
 * @category services
 * @since 0.1.0
 */
export class BudgetStore extends Context.Service<BudgetStore, {
  /** Returns the balance. The spending of an account that the store does not know begins at `seed`. */
  readonly open: (id: string, window: number, seed: Amounts) => Effect.Effect<Balance, BudgetStoreError>
  /** Adds to what is spent, if it is granted: to ask and to add is one step. */
  readonly charge: (charge: Charge) => Effect.Effect<Charged, BudgetStoreError>
  /** Adds to the limits of the window. */
  readonly topUp: (id: string, window: number, amounts: Amounts) => Effect.Effect<Balance, BudgetStoreError>
  /** Returns the balance, and writes nothing. */
  readonly balance: (id: string, window: number) => Effect.Effect<Balance, BudgetStoreError>
}>()("effect-agents/BudgetStore") {}

/**
 * Layer that keeps accounts in memory, as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<BudgetStore> = Layer.sync(BudgetStore)(() => {
  const balances = new Map<string, Balance>()
  const at = (id: string, window: number): Balance => {
    const balance = balances.get(id)
    return balance === undefined || balance.window < window ? emptyBalance(window) : balance
  }
  const set = (id: string, balance: Balance): Balance => {
    balances.set(id, balance)
    return balance
  }
  return {
    open: (id, window, seed) =>
      Effect.sync(() => balances.has(id) ? at(id, window) : set(id, { ...emptyBalance(window), spent: seed })),
    charge: ({ amounts, id, limits = {}, window }) =>
      Effect.sync(() => {
        const balance = at(id, window)
        if (!hasLeft(balance, limits)) return { granted: false, balance }
        return { granted: true, balance: set(id, { ...balance, spent: add(balance.spent, amounts) }) }
      }),
    topUp: (id, window, amounts) =>
      Effect.sync(() => {
        const balance = at(id, window)
        return set(id, { ...balance, added: add(balance.added, amounts) })
      }),
    balance: (id, window) => Effect.sync(() => at(id, window))
  }
})

const resources = ["tokens", "money", "modelCalls", "toolCalls"] as const

/**
 * Returns `true` when something is left of each resource that has a limit: for the authors of stores.
 *
 * @category guards
 * @since 0.1.0
 */
export const hasLeft = (balance: Balance, limits: Partial<Amounts>): boolean =>
  resources.every((resource) => {
    const limit = limits[resource]
    return limit === undefined || balance.spent[resource] < limit + balance.added[resource]
  })

/**
 * What many runs, users and processes may spend together: in a day, in a month, or in all.
 *
 * A `BudgetAccount` is a budget that is kept in a `BudgetStore`. `layer` opens one, for a tenant or a team for example.
 * An agent with `BudgetAccount.middleware` needs an account in its context. Each run of the agent draws from it,
 * together with all runs nested in that run. Add a `Budget` to limit each single run.
 *
 * **Details**
 *
 * A run that finds the account used up is refused: it fails with `BudgetExceeded` before its model is called. You
 * choose what happens to a run that is in progress when the account is used up. With `refuse: "run"` it may finish.
 * With `refuse: "call"` its next model call is its final answer and its tool calls are refused; with a budget made by
 * `Budget.orFail` it fails with `BudgetExceeded` instead. A run that is resumed after an approval counts as a new run.
 *
 * `refuse: "call"` promises, for any number of processes:
 *
 * - model calls and tool calls: with a budget made by `orFail` never more than the limit. With a budget that gives
 *   final answers one more model call for each run that was in progress, and never more tool calls.
 * - tokens, money: exceeded by what the calls in progress use at the moment when the limit is reached, and by the final
 *   answers.
 *
 * A model call is charged when it begins. What it used is charged when it ends, or, as far as it is known, when it is
 * interrupted. A process that dies loses what its calls in progress have used. When the store fails, no run and no call
 * begins: it fails with `BudgetStoreError`. A run in progress keeps the answers that it has paid for, and this process
 * charges their cost before anything else begins. If the store's answer to a charge is lost, the charge may be counted
 * twice, but it is never lost.
 *
 * A charge belongs to the window in which it is made. Each process uses its own clock for the windows. A call of a
 * model without a price uses up the money of the window. An account counts what a `Budget` counts, except wall time,
 * which can only limit a single run.
 *
 * A run with a `Journal` is charged once, however many attempts it takes. The decisions of the account are recorded: a
 * run that was accepted continues, and a call that is repeated because its process died is counted once, and charged
 * for what the repeated call uses. `charge` and `topUp` are also done once. There are two exceptions. If a process dies
 * after it has written to the account and before it has recorded that, it writes again, and that counts twice. If a
 * process dies while it takes back a tool call that did not reach its tool, the call stays counted.
 *
 * **Example** (Two runs of a tenant that has one model call a day)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Agent, Budget, BudgetAccount, BudgetStore } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Agent.make("assistant", { middleware: [BudgetAccount.middleware] })
 *
 * const account = BudgetAccount.layer(Budget.make({ name: "daily", modelCalls: 1 }), {
 *   id: "acme",
 *   refill: "1 day",
 *   refuse: "run"
 * })
 *
 * const ask = Agent.run(assistant, { prompt: "Hello" }).pipe(
 *   Effect.flatMap(({ text }) => Console.log(text)),
 *   Effect.catchTag("BudgetExceeded", (error) => Console.log(error.message))
 * )
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Hello, Acme.")])
 *
 * const program = Effect.andThen(ask, ask).pipe(
 *   Effect.provide([model, Layer.provide(account, BudgetStore.layerMemory)])
 * )
 *
 * Effect.runPromise(program)
 * // => Hello, Acme.
 * // => The budget `daily` is exceeded: 1 of 1 model-calls are used
 * ```
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Context from "effect/Context"
import type * as Cron from "effect/Cron"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as AgentError from "./AgentError.ts"
import * as Budget from "./Budget.ts"
import * as BudgetStore from "./BudgetStore.ts"
import * as Entries from "./internal/budget/entries.ts"
import { Ledger } from "./internal/budget/ledger.ts"
import { Refusals } from "./internal/budget/refusals.ts"
import * as Windows from "./internal/budget/windows.ts"
import * as Spending from "./internal/model/spending.ts"
import * as ModelPlaces from "./internal/words/modelPlaces.ts"
import * as ToolHandler from "./internal/tool/handler.ts"
import { JournalError } from "./internal/words/journalError.ts"
import * as Middleware from "./Middleware.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/BudgetAccount"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/BudgetAccount"

/**
 * The options of an account.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The id of the account in the store. */
  readonly id: string
  /** What is refused when the account is used up: only a new run, or also the next call of a run in progress. */
  readonly refuse: "run" | "call"
  /**
   * When spending begins again at zero: at every multiple of a duration since 1970 in UTC, or by a schedule. Give the
   * schedule a time zone, so that all processes agree. Default: never.
   */
  readonly refill?: Duration.Input | Cron.Cron | undefined
  /** What counts as spent already if the store does not know the account yet. Default: nothing. */
  readonly seed?: Partial<BudgetStore.Amounts> | undefined
  /** The time limit for one operation of the store, after which it fails. Default: 5 seconds. */
  readonly timeLimit?: Duration.Input | undefined
}

/**
 * An open account.
 *
 * @category models
 * @since 0.1.0
 */
export interface Account {
  readonly [TypeId]: Ledger
  readonly id: string
  readonly budget: Budget.Budget<unknown>
  /** What was spent in this window, and what was added to its limits. */
  readonly balance: Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError>
  /** Adds to the limits of this window. */
  readonly topUp: (
    amounts: Partial<BudgetStore.Amounts>
  ) => Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError>
  /** Charges spending outside of runs, such as a model call of the program itself, even if nothing is left. */
  readonly charge: (
    amounts: Partial<BudgetStore.Amounts>
  ) => Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError>
}

/**
 * An account cannot be opened as it is described, as by the settings of a tenant.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidAccount extends Schema.Error<InvalidAccount>("effect-agents/BudgetAccount/InvalidAccount")({
  _tag: Schema.tag("InvalidAccount"),
  account: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `The account \`${this.account}\` cannot be opened: ${this.description}`
  }
}

/**
 * Service for the account that runs draw from.
 *
 * @category services
 * @since 0.1.0
 */
export class BudgetAccount extends Context.Service<BudgetAccount, Account>()("effect-agents/BudgetAccount") {}

/**
 * Middleware that lets each run of an agent, and the runs nested in it, draw from the account in the context. A nested
 * run that has this middleware and the same account draws from it only once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const middleware: Middleware.Middleware<
  Budget.BudgetExceeded | BudgetStore.BudgetStoreError,
  BudgetAccount
> // what a model call fails with and needs by itself is the agent's
 = Middleware.make("budget-account", {
  model: ModelPlaces.withPurpose((request, next) => cut(next(request)), "limits"),
  tool: (request, next) => cut(next(request)),
  agent: (request, next) =>
    Stream.unwrap(Effect.gen(function*() {
      const { [TypeId]: ledger } = yield* BudgetAccount
      const draws = yield* Draws
      if (draws.some((draw) => draw.ledger === ledger)) return next(request)
      const recorded = yield* Entries.recorder(ledger.parts.id, "run")
      const exceeded = yield* Effect.mapError(
        recorded(asked, ledger.usedUp(ofModelCalls(ledger))),
        (error) => asOfAgent(request.agent, error)
      )
      if (exceeded !== undefined) return yield* exceeded
      return Stream.ensuring(Stream.updateContext(next(request), drawFrom(new Draw(ledger))), settled(ledger))
    }))
  // `AiError` and `LanguageModel` are the agent's own
}) as Middleware.Middleware<Budget.BudgetExceeded | BudgetStore.BudgetStoreError, BudgetAccount>

/**
 * Opens an account of the store. Fails with `InvalidAccount` when its `refill` or its `seed` makes no sense. A budget with
 * a wall time is a defect, because time limits a single run.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E>(
  budget: Budget.Budget<E>,
  options: Options
): Layer.Layer<BudgetAccount, BudgetStore.BudgetStoreError | InvalidAccount, BudgetStore.BudgetStore> =>
  Layer.effect(BudgetAccount)(Effect.gen(function*() {
    const { id, refill, refuse, seed = {}, timeLimit = "5 seconds" } = options
    if (budget.limits["wall-time"] !== undefined) {
      return yield* Effect.die(new Error(`The account \`${id}\` has a wall time: use \`Budget.middleware\` for it`))
    }
    const windowAt = Windows.make(refill)
    if (windowAt === undefined) {
      const description = "`refill` is neither a schedule nor a duration that is longer than nothing"
      return yield* new InvalidAccount({ account: id, description })
    }
    if (!BudgetStore.isAmounts(seed)) {
      return yield* new InvalidAccount({ account: id, description: "`seed` has an amount that is no finite number" })
    }
    const ledger = new Ledger({
      id,
      budget,
      refuse,
      store: yield* BudgetStore.BudgetStore,
      windowAt,
      timeLimit,
      makeExceeded: (resource, limit, used) => new Budget.BudgetExceeded({ budget: budget.name, resource, limit, used })
    })
    yield* ledger.open(seed)
    yield* Effect.addFinalizer(() => settled(ledger))
    return {
      [TypeId]: ledger,
      id,
      budget,
      balance: ledger.balance,
      topUp: (amounts) => once(ledger, "top-up", amounts, ledger.topUp(amounts)),
      charge: (amounts) => once(ledger, "charge", amounts, ledger.add(amounts))
    }
  }))

// -----------------------------------------------------------------------------
// Runs
// -----------------------------------------------------------------------------

/** A run that draws from an account, together with all runs nested in it. */
class Draw extends Refusals<Budget.BudgetExceeded | BudgetStore.BudgetStoreError> {
  readonly ledger: Ledger

  constructor(ledger: Ledger) {
    super()
    this.ledger = ledger
  }
}

const Draws = Context.Reference<ReadonlyArray<Draw>>("effect-agents/BudgetAccount/Draws", {
  defaultValue: () => []
})

const drawFrom = (draw: Draw) => <R>(context: Context.Context<R>): Context.Context<R> =>
  context.pipe(
    Context.add(Draws, [...Context.get(context, Draws), draw]),
    Context.add(Spending.Accountants, [...Context.get(context, Spending.Accountants), draw.ledger]),
    Context.add(Middleware.Inherited, [...Context.get(context, Middleware.Inherited), gate(draw)])
  )

/**
 * In an execution with a journal each operation is done once. Operations are identified by their amounts, also
 * concurrent ones.
 */
const once = (
  { parts: { id } }: Ledger,
  what: string,
  amounts: Partial<BudgetStore.Amounts>,
  effect: Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError>
): Effect.Effect<BudgetStore.Balance, BudgetStore.BudgetStoreError> => {
  const { modelCalls, money, tokens, toolCalls } = BudgetStore.add(BudgetStore.nothing, amounts)
  const name = `${what}/${tokens},${money},${modelCalls},${toolCalls}`
  return Effect.flatMap(
    Entries.recorder(id, name),
    (recorded) => recorded({ success: BudgetStore.Balance, failure: BudgetStore.BudgetStoreError }, effect)
  )
}

/** The error for an invalid record, because the run that would fail with it has not begun. */
const asOfAgent = <E>(agent: string, error: E): E | AgentError.AgentError => {
  if (!(error instanceof JournalError)) return error
  const { description, record } = error
  return AgentError.make(agent, new AgentError.InvalidRecord({ description, record }))
}

/** The codecs of an account's decision in a record. */
const asked = { success: Schema.UndefinedOr(Budget.BudgetExceeded), failure: BudgetStore.BudgetStoreError }

/**
 * The resources that a model call needs. As in `Budget`, a run has no next step when only its tool calls are used up.
 */
const ofModelCalls = ({ budget }: Ledger): ReadonlyArray<Exclude<Budget.Resource, "wall-time">> =>
  budget.atLimit === "fail"
    ? ["tokens", "money", "model-calls"]
    : ["tokens", "money", "model-calls", "tool-calls"]

/** Writes the noted charges. A charge that cannot be written stays noted. */
const settled = (ledger: Ledger): Effect.Effect<void> =>
  Effect.catchTag(ledger.settle, "BudgetStoreError", (error) => Effect.logError(error.message, error.cause))

/** The check that every model call and tool call drawing from an account has to pass. */
const gate = (draw: Draw): Middleware.Middleware<AiError.AiError, LanguageModel.LanguageModel> => {
  const { ledger } = draw
  const { atLimit, name } = ledger.budget
  const { id, refuse } = ledger.parts
  return Middleware.make("budget-account", {
    model: (request, next) => {
      const call = (request: Middleware.ModelRequest) => Stream.ensuring(next(request), settled(ledger))
      if (refuse === "run") return Stream.unwrap(Effect.as(begun(draw, { modelCalls: 1 }), call(request)))
      return Stream.unwrap(
        Effect.gen(function*() {
          const recorded = yield* Entries.recorder(id, "model-call")
          const taken = Effect.tap(
            ledger.take({ modelCalls: 1 }, ofModelCalls(ledger)),
            // the call is made in any case
            (exceeded) => exceeded === undefined || atLimit === "fail" ? Effect.void : ledger.add({ modelCalls: 1 })
          )
          const exceeded = yield* recorded(asked, taken)
          if (exceeded === undefined) return call(request)
          if (atLimit === "fail") return yield* draw.refuse(exceeded)
          return call({ ...request, finalAnswer: request.finalAnswer ?? `${name}-${exceeded.resource}` })
        }).pipe(Effect.catchTag("BudgetStoreError", (error) => draw.refuse(error)))
      )
    },
    tool: (request, next) => {
      if (request.tool === undefined) return next(request)
      const call = Stream.tap(
        next(request),
        (result) => result.preliminary || ToolHandler.wasExecuted(result) ? Effect.void : takenBack(draw)
      )
      if (refuse === "run" || ledger.limits.toolCalls === undefined) {
        return Stream.unwrap(Effect.as(begun(draw, { toolCalls: 1 }), call))
      }
      return Stream.unwrap(
        Effect.gen(function*() {
          const recorded = yield* Entries.recorder(id, "tool-call")
          const exceeded = yield* recorded(asked, ledger.take({ toolCalls: 1 }, ["tool-calls"]))
          if (exceeded === undefined) return call
          if (atLimit === "fail") return yield* draw.refuse(exceeded)
          const reason = `The budget \`${name}\` allows no more tool calls: its ${exceeded.resource} are used up`
          return Stream.succeed(ToolHandler.notExecuted(request, "execution-denied", reason))
        }).pipe(Effect.catchTag("BudgetStoreError", (error) => draw.refuse(error)))
      )
    }
  })
}

/** Counts a call that is not refused. */
const begun = (
  { ledger }: Draw,
  amounts: { readonly modelCalls: 1 } | { readonly toolCalls: 1 }
): Effect.Effect<void> =>
  Effect.flatMap(
    Entries.recorder(ledger.parts.id, "modelCalls" in amounts ? "model-call" : "tool-call"),
    (recorded) =>
      recorded.isKept
        ? recorded({ success: Schema.Boolean }, ledger.settleWith(amounts))
        : Effect.sync(() => ledger.owe(amounts))
  )

/** Takes back a tool call that did not reach its tool. */
const takenBack = ({ ledger }: Draw): Effect.Effect<void> =>
  Entries.atMostOnce(ledger.parts.id, "tool-call-back", Effect.sync(() => ledger.owe({ toolCalls: -1 })))

/** Interrupts the calls of a run whose account fails it. */
const cut = <A, E, R>(
  stream: Stream.Stream<A, E, R>
): Stream.Stream<A, E | Budget.BudgetExceeded | BudgetStore.BudgetStoreError, R | BudgetAccount> =>
  Stream.unwrap(Effect.gen(function*() {
    const { [TypeId]: ledger } = yield* BudgetAccount
    const draw = (yield* Draws).find((draw) => draw.ledger === ledger)
    return draw === undefined || ledger.parts.refuse === "run" ? stream : draw.cut(stream)
  }))

/**
 * What a run and all runs nested in it may spend together: tokens, money, model calls, tool calls and time.
 *
 * A `Budget` is an immutable value. As `middleware` of an agent, each run of the agent opens a new account. The runs
 * nested in that run draw from the same account: agents called as tools, also in parallel, and runs started by a tool
 * or a provider. `provide` opens one account around a whole program, and all runs in it share the account.
 *
 * At the limit a run gives its final answer: it makes one more model call without tools, and stops with a reason that
 * names the budget and the resource, such as `budget-tokens`. With a budget made by `orFail` the run that has it fails
 * with `BudgetExceeded` instead.
 *
 * **Details**
 *
 * A call is counted when it begins. Checking the limit and counting is one step, so of two calls that begin together at
 * the limit only one is allowed. What a call uses is known only when it ends. A budget that gives final answers
 * therefore promises:
 *
 * - model calls: as many as the limit, and one more for each run that was in progress.
 * - tool calls: never more than the limit; a call beyond it gets a refusal as its result. A call that does not reach
 *   its tool (an unknown tool, parameters that do not decode, a refusal) is not counted.
 * - tokens, money: no call with tools begins once the limit is used up. The limit is exceeded by what the calls in
 *   progress at that moment use, and by the final answers.
 * - time: nothing is interrupted, but no tool call begins afterwards, and the next model call of each run is its final
 *   answer.
 *
 * A budget that fails gives no final answers. Model calls and tool calls never exceed the limit. Tokens and money
 * exceed it at most by what was in progress. When the time is over, the current model call or the current tool calls of
 * the run are interrupted; its providers are not. Use two budgets for a soft limit within a hard one.
 *
 * A model call that fails or is interrupted counts as a call; its tokens count only if the model reported them. A retry
 * by a middleware is a call of its own. An agent that is not made by `Agent.make` makes no calls that are counted, but
 * the agents inside of it do. A run that is resumed opens a new account. Model calls that a provider, a check or a tool
 * makes directly, and not through a run, are not counted. The summaries of `Compaction.summarise` are such calls; those
 * of an agent given to `Compaction.summariseWith` are counted.
 *
 * **Example** (A run that may call its model twice)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, Budget } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const toolkit = Toolkit.make(Tool.make("left", { success: Schema.UndefinedOr(Schema.Int) }))
 * const handlers = toolkit.toLayer({ left: () => Effect.map(Budget.remaining, ({ modelCalls }) => modelCalls) })
 *
 * const careful = Agent.make("careful", {
 *   toolkit,
 *   middleware: [Budget.middleware(Budget.make({ modelCalls: 2 }))]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { steps, stopReason, text } = yield* Agent.run(careful, { prompt: "Look for it" })
 *   yield* Console.log(text, steps.length, stopReason)
 * })
 *
 * const look = ScriptedModel.toolCalls({ name: "left", params: {} })
 * const model = ScriptedModel.layer([look, look, ScriptedModel.text("not found")])
 *
 * Effect.runPromise(program.pipe(Effect.provide([model, handlers])))
 * // => not found 3 budget-model-calls
 * ```
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Types from "effect/Types"
import type * as AgentRun from "./AgentRun.ts"
import { Account } from "./internal/budget/account.ts"
import * as JournalStep from "./internal/journal/step.ts"
import * as Spending from "./internal/model/spending.ts"
import * as ModelPlaces from "./internal/words/modelPlaces.ts"
import * as ToolHandler from "./internal/tool/handler.ts"
import * as Middleware from "./Middleware.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/Budget"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/Budget"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The price of a million tokens, in the currency of the budget. Tokens read from or written to a cache cost as much as
 * other input tokens unless they have a price of their own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Price {
  readonly input: number
  readonly output: number
  /** The price of tokens read from a cache. Default: that of `input`. */
  readonly cacheRead?: number | undefined
  /** The price of tokens written to a cache. Default: that of `input`. */
  readonly cacheWrite?: number | undefined
}

/**
 * Returns the price of a model, or `undefined` for a model that it does not know.
 *
 * **Details**
 *
 * `model` is the name that the model reports, or effect/ai's `Model.ModelName`. `provider` is `Model.ProviderName`.
 * `usage` is what the call has used so far, because some models cost more in long calls. The function is called again
 * whenever more is known about a call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prices {
  (model: string | undefined, provider: string | undefined, usage: AgentRun.Usage): Price | undefined
}

/**
 * What may be spent. A resource without a limit is not limited.
 *
 * @category models
 * @since 0.1.0
 */
export type Options =
  & {
    /** The name in the stop reason and in the error. Default: `"budget"`. */
    readonly name?: string | undefined
    /** Input and output tokens together. Default: no limit. */
    readonly tokens?: number | undefined
    /** The number of model calls. Default: no limit. */
    readonly modelCalls?: number | undefined
    /** The number of tool calls. Default: no limit. */
    readonly toolCalls?: number | undefined
    /** The time since the account was opened by a run or by `Budget.provide`. Default: no limit. */
    readonly wallTime?: Duration.Input | undefined
  }
  & (
    | {
      /** The amount of money, in the currency of `prices`. */
      readonly money: number
      /**
       * The prices of the tokens: one for all models, or a function that knows them. A price that is not a number is a
       * defect of the next call. A call of a model without a price uses up the rest of the money.
       */
      readonly prices: Price | Prices
    }
    | {
      /** The amount of money, in the currency of `prices`; it requires `prices`. Default: no limit. */
      readonly money?: undefined
    }
  )

/**
 * A resource that a budget limits.
 *
 * @category models
 * @since 0.1.0
 */
export const Resource = Schema.Literals(["tokens", "money", "model-calls", "tool-calls", "wall-time"])

/**
 * @category models
 * @since 0.1.0
 */
export type Resource = typeof Resource.Type

/**
 * A budget. `E` is the failure of a run that reaches its limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Budget<out E = never> extends Pipeable {
  readonly [TypeId]: { readonly _E: Types.Covariant<E> }
  readonly name: string
  /** The limit of each resource; wall time in milliseconds. */
  readonly limits: Readonly<Partial<Record<Resource, number>>>
  readonly price: Prices
  readonly atLimit: "final-answer" | "fail"
}

/**
 * An amount of each resource; wall time in milliseconds. In the amounts that are left, a resource without a limit is
 * `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Amounts<A = number> {
  readonly tokens: A
  readonly money: A
  readonly modelCalls: A
  readonly toolCalls: A
  readonly wallTime: A
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

/**
 * A run needed more than was left of a budget made with `orFail`. `limit` and `used` belong to the resource that was
 * used up; wall time is in milliseconds.
 *
 * @category errors
 * @since 0.1.0
 */
export class BudgetExceeded extends Schema.Error<BudgetExceeded>("effect-agents/Budget/BudgetExceeded")({
  _tag: Schema.tag("BudgetExceeded"),
  budget: Schema.String,
  resource: Resource,
  limit: Schema.Finite,
  used: Schema.Finite
}) {
  override get message(): string {
    return `The budget \`${this.budget}\` is exceeded: ${this.used} of ${this.limit} ${this.resource} are used`
  }
}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

const Proto = {
  [TypeId]: { _E: (_: never) => _ },
  pipe() {
    return pipeArguments(this, arguments)
  }
}

const free: Price = { input: 0, output: 0 }

/**
 * Creates a budget. Nothing draws from it until a run has it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Budget => {
  const { modelCalls, money, name = "budget", tokens, toolCalls, wallTime } = options
  const prices = options.money === undefined ? free : options.prices
  return Object.assign(Object.create(Proto), {
    name,
    limits: {
      tokens,
      money,
      "model-calls": modelCalls,
      "tool-calls": toolCalls,
      "wall-time": wallTime === undefined ? undefined : Duration.toMillis(wallTime)
    },
    price: typeof prices === "function" ? prices : () => prices,
    atLimit: "final-answer"
  })
}

/**
 * Makes the run that has the budget fail with `BudgetExceeded` when it, or a run nested in it, needs more. The nested
 * runs are interrupted.
 *
 * @category combinators
 * @since 0.1.0
 */
export const orFail = <E>(self: Budget<E>): Budget<BudgetExceeded> =>
  Object.assign(Object.create(Proto), self, { atLimit: "fail" })

/**
 * Creates the middleware that opens the budget in each run. A run that is nested in a run with the same budget draws
 * from that one instead.
 *
 * @category constructors
 * @since 0.1.0
 */
export const middleware = <E>(budget: Budget<E>): Middleware.Middleware<E> => {
  const places = budget.atLimit === "fail" ? cutting(budget) : {}
  const opening = Middleware.make(budget.name, {
    ...places,
    agent: (request, next) =>
      Stream.unwrap(Effect.map(opened(budget), (account) =>
        account === undefined
          ? Stream.unwrap(Effect.map(open(budget), (account) => Stream.updateContext(next(request), drawFrom(account))))
          : next(request)))
  })
  // `E` is `BudgetExceeded` if the budget fails, and never otherwise
  return opening as Middleware.Middleware<E>
}

// -----------------------------------------------------------------------------
// Running
// -----------------------------------------------------------------------------

/**
 * Opens the budget around a program. All runs in the program draw from it, whether their agents have it or not. With a
 * budget made by `orFail` the program fails when the limit is reached.
 *
 * @category running
 * @since 0.1.0
 */
export const provide =
  <E2>(budget: Budget<E2>) => <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | E2, R> =>
    Effect.flatMap(open(budget), (account) => {
      const drawing = Effect.updateContext(effect, drawFrom<R>(account))
      // `E2` is `BudgetExceeded` if the budget fails, and never otherwise
      return (budget.atLimit === "fail"
        ? account.guarding(Effect.raceFirst(drawing, account.limitReached))
        : drawing) as Effect.Effect<A, E | E2, R>
    })

/**
 * Returns what is left here: for each resource, the least of all budgets that a run here draws from.
 *
 * A tool or a context provider can read with it what its run may still spend.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Amounts<number | undefined>> = Effect.gen(function*() {
  const now = yield* JournalStep.now
  const accounts = yield* Accounts
  const least = (resource: Resource): number | undefined => {
    const left = accounts.flatMap((account) => account.left(resource, now) ?? [])
    return left.length === 0 ? undefined : Math.min(...left)
  }
  return amounts(least)
})

/**
 * Returns what the runs that draw from a budget here have spent of it. Returns `None` where the budget is not open.
 *
 * @category accessors
 * @since 0.1.0
 */
export const spent = <E>(budget: Budget<E>): Effect.Effect<Option.Option<Amounts>> =>
  Effect.gen(function*() {
    const now = yield* JournalStep.now
    const account = yield* opened(budget)
    return Option.map(Option.fromUndefinedOr(account), (account) => amounts((resource) => account.used(resource, now)))
  })

const amounts = <A>(of: (resource: Resource) => A): Amounts<A> => ({
  tokens: of("tokens"),
  money: of("money"),
  modelCalls: of("model-calls"),
  toolCalls: of("tool-calls"),
  wallTime: of("wall-time")
})

// -----------------------------------------------------------------------------
// Accounts
// -----------------------------------------------------------------------------

const Accounts = Context.Reference<ReadonlyArray<Account>>("effect-agents/Budget/Accounts", {
  defaultValue: () => []
})

const opened = (budget: Budget<unknown>): Effect.Effect<Account | undefined> =>
  Effect.map(Accounts, (accounts) => accounts.find((account) => account.budget === budget))

const open = (budget: Budget<unknown>): Effect.Effect<Account> =>
  Effect.map(
    // in a journal the time of a budget begins at a moment of its own
    budget.limits["wall-time"] === undefined ? JournalStep.now : JournalStep.moment,
    (now) =>
      new Account(budget, now, (resource, limit, used) =>
        new BudgetExceeded({ budget: budget.name, resource, limit, used }))
  )

const drawFrom = <R>(account: Account) => (context: Context.Context<R>): Context.Context<R> =>
  context.pipe(
    Context.add(Accounts, [...Context.get(context, Accounts), account]),
    Context.add(Spending.Accountants, [...Context.get(context, Spending.Accountants), account]),
    Context.add(Middleware.Inherited, [...Context.get(context, Middleware.Inherited), gate(account)])
  )

/** The check that every model call and tool call drawing from an account has to pass. */
const gate = (account: Account): Middleware.Middleware<AiError.AiError, LanguageModel.LanguageModel> =>
  Middleware.make(account.budget.name, {
    model: (request, next) =>
      Stream.unwrap(Effect.gen(function*() {
        const exceeded = account.beginModelCall(yield* JournalStep.now)
        if (exceeded !== undefined && account.budget.atLimit === "fail") return yield* account.refuse(exceeded)
        yield* Spending.counted(account, { modelCalls: 1 })
        const finalAnswer = request.finalAnswer ?? (exceeded && `${exceeded.budget}-${exceeded.resource}`)
        return next({ ...request, finalAnswer })
      })),
    tool: (request, next) => {
      if (request.tool === undefined) return next(request)
      return Stream.unwrap(Effect.gen(function*() {
        const exceeded = account.beginToolCall(yield* JournalStep.now)
        if (exceeded === undefined) {
          yield* Spending.counted(account, { toolCalls: 1 })
          return Stream.tap(next(request), (result) => {
            if (result.preliminary || ToolHandler.wasExecuted(result)) return Effect.void
            account.takeBackToolCall()
            return Spending.counted(account, { toolCalls: -1 })
          })
        }
        if (account.budget.atLimit === "fail") return yield* account.refuse(exceeded)
        const reason =
          `The budget \`${exceeded.budget}\` allows no more tool calls: its ${exceeded.resource} are used up`
        return Stream.succeed(ToolHandler.notExecuted(request, "execution-denied", reason))
      }))
    }
  })

/** Interrupts the calls of a run whose budget fails. */
const cutting = (budget: Budget<unknown>) => {
  const cut = <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E | BudgetExceeded, R> =>
    Stream.unwrap(Effect.map(opened(budget), (account) => account === undefined ? stream : account.cut(stream)))
  return {
    model: ModelPlaces.withPurpose((request, next) => cut(next(request)), "limits"),
    tool: (request, next) => cut(next(request))
  } satisfies Parameters<typeof Middleware.make>[1]
}

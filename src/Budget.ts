/**
 * What a run, and all the runs nested in it, may spend together: tokens, money,
 * model calls, tool calls, time.
 *
 * A `Budget` is an immutable value. Around an agent, as `middleware`, each run of it
 * opens the budget anew, and the runs nested in that one (agents called as tools,
 * also in parallel, or run by a tool or a provider) draw from the same. `provide`
 * opens it around a whole program, for the runs in it to share.
 *
 * At the limit a run gives its final answer: one more model call, without tools, and
 * a stop reason that names the budget and what is used up, as in `budget-tokens`. Of
 * a budget made with `orFail` the run that has it fails with `BudgetExceeded`.
 *
 * **Details**
 *
 * A call is counted when it begins, in one step with the question whether it may, so
 * that of two calls that begin together at the limit one is let through. What a call
 * uses is known when it has ended. Hence, of a budget that gives final answers:
 *
 * - model calls: as many as the limit, and one more for each run that was on its way.
 * - tool calls: never more than the limit; those beyond get a refusal as their result.
 *   A call that does not reach its tool (an unknown tool, parameters that do not
 *   decode, a refusal) is not counted.
 * - tokens, money: no call begins with tools once the limit is used up. It is exceeded
 *   by what the calls in flight at that moment use, and by the final answers.
 * - time: nothing is cut short, but from then on no tool call begins, and each run's
 *   next model call is its final answer.
 *
 * Of a budget that fails there are no final answers. Model calls and tool calls are
 * never more than the limit; tokens and money are exceeded by what was in flight at
 * most; and when the time is over, the model call or the tool calls of the run are
 * interrupted (not its providers: they have no time of their own). Two budgets make a
 * soft limit within a hard one.
 *
 * A model call that fails or is cut counts as a call, and its tokens only if the model
 * reported them. Retries of a middleware are calls of their own. An agent that is not
 * made by `Agent.make` has no calls of its own to count, but those of the agents in it
 * are. A run that is resumed opens its budget anew. What a provider, a check or a tool
 * asks of a model by itself, and not through a run, is not counted: the summaries of
 * `Compaction.summarise` are such calls. Those of an agent, which `summariseWith` takes,
 * are counted.
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
import * as Clock from "effect/Clock"
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
import * as Spending from "./internal/model/spending.ts"
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
 * What a million tokens cost, in the currency of the budget. Tokens read from or
 * written to a cache cost as much as others unless a price of theirs is given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Price {
  readonly input: number
  readonly output: number
  /** Of tokens read from a cache. Default: that of `input`. */
  readonly cacheRead?: number | undefined
  /** Of tokens written to a cache. Default: that of `input`. */
  readonly cacheWrite?: number | undefined
}

/**
 * Returns the price of a model; undefined for a model that it does not know.
 *
 * **Details**
 *
 * `model` is the name that the model reports, or that of effect/ai's `Model.ModelName`; `provider` is that of
 * `Model.ProviderName`. `usage` is what the call has used so far: some models cost more in a long call. It is asked again
 * whenever more is known of a call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Prices {
  (model: string | undefined, provider: string | undefined, usage: AgentRun.Usage): Price | undefined
}

/**
 * What may be spent. Without a limit it is free.
 *
 * @category models
 * @since 0.1.0
 */
export type Options =
  & {
    /** Stands in the stop reason and in the error. Default: `"budget"`. */
    readonly name?: string | undefined
    /** Input and output tokens together. Default: no limit. */
    readonly tokens?: number | undefined
    /** How many model calls. Default: no limit. */
    readonly modelCalls?: number | undefined
    /** How many tool calls. Default: no limit. */
    readonly toolCalls?: number | undefined
    /** How long, from when the account is opened: by a run, or by `Budget.provide`. Default: no limit. */
    readonly wallTime?: Duration.Input | undefined
  }
  & (
    | {
      /** How much, in the currency of the `prices`. */
      readonly money: number
      /**
       * What the tokens of all models cost, or a function that knows it. A price that is not a number is a defect of the
       * next call. A call of a model without a price uses up what is left of the money.
       */
      readonly prices: Price | Prices
    }
    | {
      /** How much, in the currency of the `prices`, which it needs. Default: no limit. */
      readonly money?: undefined
    }
  )

/**
 * What a budget is a budget of.
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
 * A budget. `E` is what the run that has it fails with at the limit.
 *
 * @category models
 * @since 0.1.0
 */
export interface Budget<out E = never> extends Pipeable {
  readonly [TypeId]: { readonly _E: Types.Covariant<E> }
  readonly name: string
  /** What may be spent of each; wall time in milliseconds. */
  readonly limits: Readonly<Partial<Record<Resource, number>>>
  readonly price: Prices
  readonly atLimit: "final-answer" | "fail"
}

/**
 * What is spent of each resource, or left; wall time in milliseconds. What has no
 * limit is undefined in what is left.
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
 * A run wanted more than a budget made with `orFail` had left. `limit` and `used` are
 * of the resource that was used up; wall time is in milliseconds.
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
 * Makes the run that has the budget fail with `BudgetExceeded` when it, or a run
 * nested in it, wants more. The nested ones are interrupted.
 *
 * @category combinators
 * @since 0.1.0
 */
export const orFail = <E>(self: Budget<E>): Budget<BudgetExceeded> =>
  Object.assign(Object.create(Proto), self, { atLimit: "fail" })

/**
 * Creates the middleware that opens the budget in each run, unless the run is nested
 * in one that has the same.
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
 * Opens the budget around a program: all runs in it draw from it, whether their
 * agents have it or not. The program fails when a budget made with `orFail` does.
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
 * What is left here: the least of all the budgets that a run here draws from.
 *
 * A tool or a context provider reads what its run may still spend.
 *
 * @category accessors
 * @since 0.1.0
 */
export const remaining: Effect.Effect<Amounts<number | undefined>> = Effect.gen(function*() {
  const now = yield* Clock.currentTimeMillis
  const accounts = yield* Accounts
  const least = (resource: Resource): number | undefined => {
    const left = accounts.flatMap((account) => account.left(resource, now) ?? [])
    return left.length === 0 ? undefined : Math.min(...left)
  }
  return amounts(least)
})

/**
 * What has been spent of a budget by the runs that draw from it here; none where it
 * is not open.
 *
 * @category accessors
 * @since 0.1.0
 */
export const spent = <E>(budget: Budget<E>): Effect.Effect<Option.Option<Amounts>> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
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
    Clock.currentTimeMillis,
    (now) =>
      new Account(budget, now, (resource, limit, used) =>
        new BudgetExceeded({ budget: budget.name, resource, limit, used }))
  )

const drawFrom = <R>(account: Account) => (context: Context.Context<R>): Context.Context<R> =>
  context.pipe(
    Context.add(Accounts, [...Context.get(context, Accounts), account]),
    Context.add(Spending.Accountants, [...Context.get(context, Spending.Accountants), account.spend]),
    Context.add(Middleware.Inherited, [...Context.get(context, Middleware.Inherited), gate(account)])
  )

/** What every model call and tool call that draws from an account has to pass. */
const gate = (account: Account): Middleware.Middleware<AiError.AiError, LanguageModel.LanguageModel> =>
  Middleware.make(account.budget.name, {
    model: (request, next) =>
      Stream.unwrap(Effect.gen(function*() {
        const exceeded = account.beginModelCall(yield* Clock.currentTimeMillis)
        if (exceeded !== undefined && account.budget.atLimit === "fail") return yield* account.refuse(exceeded)
        const finalAnswer = request.finalAnswer ?? (exceeded && `${exceeded.budget}-${exceeded.resource}`)
        return next({ ...request, finalAnswer })
      })),
    tool: (request, next) => {
      if (request.tool === undefined) return next(request)
      return Stream.unwrap(Effect.gen(function*() {
        const exceeded = account.beginToolCall(yield* Clock.currentTimeMillis)
        if (exceeded === undefined) {
          return Stream.map(next(request), (result) => {
            if (!result.preliminary && !ToolHandler.wasExecuted(result)) account.toolCalls--
            return result
          })
        }
        if (account.budget.atLimit === "fail") return yield* account.refuse(exceeded)
        const reason =
          `The budget \`${exceeded.budget}\` allows no more tool calls: its ${exceeded.resource} are used up`
        return Stream.succeed(ToolHandler.notExecuted(request, "execution-denied", reason))
      }))
    }
  })

/** The calls of the run that has a budget which fails: they are cut when it does. */
const cutting = (budget: Budget<unknown>) => {
  const cut = <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E | BudgetExceeded, R> =>
    Stream.unwrap(Effect.map(opened(budget), (account) => account === undefined ? stream : account.cut(stream)))
  return {
    model: (request, next) => cut(next(request)),
    tool: (request, next) => cut(next(request))
  } satisfies Parameters<typeof Middleware.make>[1]
}

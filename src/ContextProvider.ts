/**
 * What the model sees in a run, and what is done when the run has completed.
 *
 * `beforeRun` is called once, before the first model call; providers are called in the order of the agent's list.
 * `afterRun` is called once, in reverse order, and only if every step of the run succeeded. For work that must happen
 * in any case `beforeRun` adds a finalizer to its `Scope`: it receives the `Exit` of the run.
 *
 * **Example** (Context before a run, and work after it)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent, ContextProvider } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const clock = ContextProvider.make("clock", {
 *   beforeRun: ({ agent }) => Effect.as(Console.log(`before ${agent}`), { instructions: "It is Monday." }),
 *   afterRun: ({ result }) => Console.log(`after: ${result.text}`)
 * })
 *
 * const assistant = Agent.make("assistant", { providers: [clock] })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Monday.")])
 *
 * Effect.runPromise(Effect.provide(Agent.run(assistant, { prompt: "What day is it?" }), model))
 * // => before assistant
 * // => after: Monday.
 * ```
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import type * as Effect from "effect/Effect"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import type * as Scope from "effect/Scope"
import type * as AgentRun from "./AgentRun.ts"
import type * as Approval from "./Approval.ts"
import type * as Middleware from "./Middleware.ts"
import type * as StopCondition from "./StopCondition.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/ContextProvider"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/ContextProvider"

/**
 * The run that is about to begin. With `answers` it continues a run that waits for approvals. With `continues` it has
 * no prompt, and answers the last message of its session.
 *
 * When a guardrail refuses the prompt, a note replaces it in `prompt`. This changes the request that `beforeRun` has
 * already received, too, so that a finalizer that reads it finds the note.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly agent: string
  readonly session: string | undefined
  readonly prompt: Prompt.Prompt
  /** The answers to approvals with which the run continues another one. Default: the run is a new one. */
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
  /** Whether the run has no prompt and answers the last message of its session. Default: it has a prompt. */
  readonly continues?: true | undefined
}

/**
 * What a provider adds to a run.
 *
 * The run waits for `atStart` and `everyStep`. It calls those of several providers one after the other, in the order of
 * the agent's list. When one fails, the run fails with that error.
 *
 * An agent that runs outside of this package, such as one of `effect-agents/copilot`, does not evaluate `stopWhen`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Contribution {
  /** Appended to the system message. Default: nothing. */
  readonly instructions?: string | undefined
  /** Messages before the prompt. They are not part of the run's transcript. Default: none. */
  readonly messages?: ReadonlyArray<Prompt.Message> | undefined
  /**
   * Tools with their handlers for this run, as a `Toolkit` gives them when it is used as an effect
   * (`Effect.map(toolkit, (toolkit) => ({ toolkit }))`). Default: none.
   */
  readonly toolkit?: Toolkit.WithHandler<any> | undefined
  /** Middleware around the model and tool calls of this run. Default: none. */
  readonly middleware?: Middleware.Any | undefined
  /**
   * Conditions that are checked after the agent's own. A limit among them replaces the default limit. Default: none.
   */
  readonly stopWhen?: ReadonlyArray<StopCondition.StopCondition> | undefined
  /**
   * Called once, before `run-start`, when all providers have contributed. If guardrails check the input, it is called
   * after they have let the input through, and never if they refuse it. Default: nothing is called.
   */
  readonly atStart?: ((run: StartedRun) => Effect.Effect<unknown, any, any>) | undefined
  /**
   * Called when a step has ended, before its `step-end` is emitted and before the model is called again. It is called
   * for the last step too, before any `afterRun`, but not for a step that did not end. Default: nothing is called.
   */
  readonly everyStep?: ((step: FinishedStep) => Effect.Effect<unknown, any, any>) | undefined
  /** A value that this provider's `afterRun` receives. Default: `undefined`. */
  readonly state?: unknown
}

/**
 * The argument of `atStart`. `transcript` is the transcript so far: the messages of the prompt or, when the run
 * continues with answers to approvals, these answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface StartedRun {
  readonly request: Request
  readonly transcript: ReadonlyArray<Prompt.Message>
}

/**
 * The argument of `everyStep`. `messages` are those that were added to the transcript since `atStart` or the step
 * before: first the messages of `Steering` and corrections of the model's answer, then what the model said and the
 * results of its calls. `transcript` is the whole transcript so far.
 *
 * @category models
 * @since 0.1.0
 */
export interface FinishedStep {
  readonly request: Request
  readonly step: AgentRun.Step
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly transcript: ReadonlyArray<Prompt.Message>
}

/**
 * The argument of `afterRun`.
 *
 * @category models
 * @since 0.1.0
 */
export interface CompletedRun<out State = unknown> {
  readonly request: Request
  readonly result: AgentRun.Result
  readonly state: State
}

/**
 * How the run treats the `afterRun` of a provider.
 *
 * - `critical`: a failure fails the run, and the error carries the finished result.
 * - `best-effort`: a failure is recorded, and the run completes.
 * - `committing`: it runs after all others, whatever its place in the list, and not at all if a critical one failed.
 *
 * @category models
 * @since 0.1.0
 */
export type Commitment = "critical" | "best-effort" | "committing"

/**
 * A named source of context for a run.
 *
 * `E` are the failures of `beforeRun` and of what it contributes. A failing `afterRun` is an `AgentError` that carries
 * the result.
 *
 * @category models
 * @since 0.1.0
 */
export interface ContextProvider<out E = never, out R = never> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly commitment: Commitment
  readonly beforeRun: (request: Request) => Effect.Effect<Contribution | void, E, R | Scope.Scope>
  readonly afterRun: ((run: CompletedRun<any>) => Effect.Effect<unknown, unknown, R>) | undefined
}

/**
 * Any context provider.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends ContextProvider<any, any> {}

/**
 * The errors that a provider adds to a run.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Error<P> = P extends ContextProvider<infer E, infer _R> ? E : never

/**
 * The services that a provider needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<P> = P extends ContextProvider<infer _E, infer R> ? R : never

/**
 * The state that a contribution hands to `afterRun`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type State<C> = C extends { readonly state: infer S } ? S : undefined

type ToolsOf<C> = C extends { readonly toolkit: Toolkit.WithHandler<infer Tools> } ? Tools[keyof Tools] : never
type AtStartOf<C> = C extends { readonly atStart?: infer F } ? Returned<F> : never
type EveryStepOf<C> = C extends { readonly everyStep?: infer F } ? Returned<F> : never
type Returned<F> = F extends (a: any) => infer A ? A : never
type MiddlewareOf<C> = C extends { readonly middleware: infer M } ? M : never

/**
 * The errors that a contribution adds: those of its tools, of its middleware, and of its functions.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ContributionError<C> =
  | Tool.HandlerError<ToolsOf<C>>
  | Middleware.Error<MiddlewareOf<C>>
  | Effect.Error<AtStartOf<C> | EveryStepOf<C>>

/**
 * The services that a contribution needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ContributionServices<C> =
  | Tool.HandlerServices<ToolsOf<C>>
  | Middleware.Services<MiddlewareOf<C>>
  | Effect.Services<AtStartOf<C> | EveryStepOf<C>>

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

// `NoInfer` that does not show in the inferred type: the functions decide, not the place where the provider is used
type Own<T> = [T][T extends any ? 0 : never]

/**
 * Creates a context provider.
 *
 * `afterRun` is uninterruptible, and has `AgentRun.FinalizationBudget` to end; taking longer counts as a failure.
 *
 * **Gotchas**
 *
 * TypeScript infers the `state` of `afterRun` from an arrow function around `Effect.gen`, but not from an inline
 * `Effect.fnUntraced`. With the latter annotate it: `({ state }: ContextProvider.CompletedRun<MyState>)`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <C extends Contribution | void, E = never, R = never, R2 = never>(name: string, options: {
  /** Called when a run begins, in a scope that closes when the run has ended. Its contribution is added to the run. */
  readonly beforeRun: (request: Request) => Effect.Effect<C, E, R>
  /** Called once, and only if the run would complete. Its failure fails the run. Default: nothing is called. */
  readonly afterRun?: ((run: CompletedRun<State<C>>) => Effect.Effect<unknown, unknown, R2>) | undefined
}): ContextProvider<
  Own<E | ContributionError<C>>,
  Own<Exclude<R, Scope.Scope> | R2 | ContributionServices<C>>
> =>
  Object.assign(Object.create(Proto), {
    name,
    commitment: "critical" satisfies Commitment,
    beforeRun: options.beforeRun,
    afterRun: options.afterRun
  })

const withCommitment = (commitment: Commitment) => <E, R>(self: ContextProvider<E, R>): ContextProvider<E, R> =>
  Object.assign(Object.create(Proto), self, { commitment })

/**
 * Returns the provider with an `afterRun` whose failure is recorded and does not fail the run.
 *
 * @category combinators
 * @since 0.1.0
 */
export const bestEffort: <E, R>(self: ContextProvider<E, R>) => ContextProvider<E, R> = withCommitment("best-effort")

/**
 * Returns the provider with an `afterRun` that runs after all others, and only if every critical one succeeded. What it
 * saves therefore belongs to a run that completed.
 *
 * When it takes longer than `AgentRun.FinalizationBudget`, it is interrupted only where it allows that
 * (`Effect.interruptible`), and has the same time again to end. How it ends then decides how the run ends.
 *
 * @category combinators
 * @since 0.1.0
 */
export const committing: <E, R>(self: ContextProvider<E, R>) => ContextProvider<E, R> = withCommitment("committing")

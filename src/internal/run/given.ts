/**
 * What an agent, and one run of it, may be given, as types. `Agent` exports all of them.
 *
 * @since 0.1.0
 */
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as AiModel from "effect/ai/Model"
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as AgentOutput from "../../AgentOutput.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import type * as ContextProvider from "../../ContextProvider.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as Steering from "../../Steering.ts"
import type * as StopCondition from "../../StopCondition.ts"
import type * as Misuse from "../words/misuse.ts"

/**
 * A model that an agent brings: a layer, such as a `Model` of `effect/ai`, or an effect that gives one.
 *
 * @category models
 * @since 0.1.0
 */
export type Model<E = any, R = any> =
  | Layer.Layer<LanguageModel.LanguageModel, E, R>
  | Effect.Effect<LanguageModel.LanguageModel, E, R>

/**
 * The failures of building a model.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ModelError<M> = M extends Layer.Layer<infer _A, infer E, infer _R> ? E
  : M extends Effect.Effect<infer _A, infer E, infer _R> ? E
  : never

/**
 * The services that a model is built with.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ModelServices<M> = M extends Layer.Layer<infer _A, infer _E, infer R> ? R
  : M extends Effect.Effect<infer _A, infer _E, infer R> ? Exclude<R, Scope.Scope>
  : never

/**
 * The services that an agent with this model does not need from others.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Modelled<M> = [M] extends [Model] ? LanguageModel.LanguageModel | AiModel.ProviderName | AiModel.ModelName
  : never

/**
 * What an agent's model is told about calling tools (`ToolChoice` of `effect/ai`): in each step the same, or as a
 * function of the finished steps says.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolChoice<Names extends string> =
  | LanguageModel.ToolChoice<Names>
  | ((steps: ReadonlyArray<AgentRun.Step>) => LanguageModel.ToolChoice<Names>)

/**
 * The names that a `toolChoice` may say: those of the agent's toolkit, or any when its providers alone bring tools.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ToolNames<Tools> = [keyof Tools] extends [never] ? string : Extract<keyof Tools, string>

/**
 * What an agent is made of.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  Tools extends Record<string, Tool.Any>,
  ToolkitError,
  ToolkitServices,
  Providers extends ReadonlyArray<ContextProvider.Any>,
  Middlewares extends ReadonlyArray<Middleware.Any>,
  A = undefined,
  I = never,
  OutputServices = never,
  M extends Model | undefined = undefined
> {
  /**
   * The model of the agent's own calls, and of those of its providers and its middleware. It is built when a run begins
   * and released when it has ended. The tools of its `toolkit`, and agents among them, have the model of the caller or
   * their own. Default: the `LanguageModel` of the context.
   */
  readonly model?: M
  /**
   * Settings for the calls of this model, in the words of the provider: `AiSdk.settings({ temperature: 0 })`, or
   * `Context.add(Config, { ... })` with the `Config` of a provider package. They are above those in the context, and no
   * tool and no other agent has them. Default: those in the context.
   */
  readonly settings?: ((context: Context.Context<never>) => Context.Context<never>) | undefined
  /**
   * Whether the model has to call a tool. With `"required"` or a tool every step calls one until a stop condition is
   * met; a function of the steps may let go before. The final answer at a limit has `"none"`, and with an `output` that
   * is a tool the model may always choose that one where it may choose. Default: `"auto"`.
   */
  readonly toolChoice?: ToolChoice<ToolNames<Tools>> | undefined
  /** What a model reads that may call this agent as a tool, and what telemetry says of it. Default: none. */
  readonly description?: string | undefined
  /** The system message. What context providers contribute is appended to it. Default: none. */
  readonly instructions?: string | undefined
  /**
   * The tools that the model may call: a `Toolkit`, whose handlers are in the context of the run, or an effect that
   * gives one with its handlers, such as `AgentTool.toolkit(...)`. Default: no tools.
   */
  readonly toolkit?:
    | Effect.Effect<Toolkit.WithHandler<Tools>, ToolkitError, ToolkitServices>
    | Misuse.NotAToolkit
    | undefined
  /** Context providers, in the order of their `beforeRun`s. Names are unique. Default: none. */
  readonly providers?: Providers | undefined
  /** Functions around the run, its model calls and its tool calls. The first is the outermost. Default: none. */
  readonly middleware?: Middlewares | undefined
  /**
   * When a run stops: asked in this order after every step with tool calls. A run that names no step limit or tool error
   * limit gets those of `StopCondition.defaults`. Default: `StopCondition.defaults` alone.
   */
  readonly stopWhen?: ReadonlyArray<StopCondition.StopCondition> | undefined
  /**
   * What the final answer is to be: a schema, or `AgentOutput.tool` or `AgentOutput.json` of one. Every run that
   * completes has its `value`, unless it is `AgentOutput.orWaiting` of one: for agents that may wait for approvals.
   * Default: text, and a `value` that is `undefined`.
   */
  readonly output?:
    | AgentOutput.AgentOutput<A, I, OutputServices>
    | Schema.Codec<A, I, OutputServices, unknown>
    | Misuse.Fields
    | undefined
}

/**
 * What a run begins with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input {
  /** What the run is asked: a text, messages, or a prompt. */
  readonly prompt: Prompt.RawInput
  /** The id of the conversation that the run belongs to. Default: none, and nothing is loaded or saved. */
  readonly session?: string | undefined
  /** The id of the run. Default: one of the `IdGenerator` of `effect/ai` in the context, or a random one. */
  readonly runId?: string | undefined
  /**
   * The answers to the approvals that the run before this one waits for: `Agent.resume` gives them. Default: none.
   */
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
  /** The handle by which the run is told more while it works. Default: none. */
  readonly steering?: Steering.Steering | undefined
  /**
   * Whether the run has no prompt and answers the last message of its session: `Agent.continue` says so. Default: it
   * has a prompt.
   */
  readonly continues?: true | undefined
}

/**
 * What a program is run with (see `fromStream`): an input with the id of the run. `providers` are those that the agent
 * was given (`withProvider`, and those of the run); the program hands them on to an agent that it runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProgramInput extends Input {
  /** The id of the run, which is given or made before the program is asked. */
  readonly runId: string
  /** The context providers that the agent was given. Default: none. */
  readonly providers?: ReadonlyArray<ContextProvider.ContextProvider> | undefined
}

/**
 * What one run has beside what its agent has: context of its request, and tools for it alone, such as those of a client.
 * What they fail with and need is in the type of that run. Their names differ from those of the agent: a second provider
 * of one name is a defect, and a second tool of one name fails the run with `AgentError` (`DuplicateTool`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Added<
  Providers extends ReadonlyArray<ContextProvider.Any>,
  Tools extends Record<string, Tool.Any>,
  E,
  R
> {
  /** Context providers for this run. Their `beforeRun`s follow those of the agent's. Default: none. */
  readonly providers?: Providers | undefined
  /** Tools for this run, beside those of the agent. Default: none. */
  readonly toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, E, R> | Misuse.NotAToolkit | undefined
}

/**
 * The failures that what is added to a run adds.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AddedError<Providers extends ReadonlyArray<ContextProvider.Any>, Tools, E> =
  | ContextProvider.Error<Providers[number]>
  | Tool.HandlerError<Tools[keyof Tools]>
  | E

/**
 * The services that what is added to a run needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AddedServices<Providers extends ReadonlyArray<ContextProvider.Any>, Tools, R> =
  | ContextProvider.Services<Providers[number]>
  | Tool.HandlerServices<Tools[keyof Tools]>
  | R

/**
 * The tools of an agent with those that are added to a run.
 *
 * @category utility types
 * @since 0.1.0
 */
export type WithTools<Tools, Added> = {} extends Added ? Tools : Tools & Added

/**
 * A run that has begun (see `Agent.open`). `start` is its first part; `parts` are all of them, from the first one on,
 * and are read once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opened<out Part, out E> {
  readonly start: AgentRun.RunStart
  readonly parts: Stream.Stream<Part, E>
}

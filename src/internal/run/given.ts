/**
 * The options of an agent and of one run, as types. `Agent` exports all of them.
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
 * A model that an agent brings: a layer, such as a `Model` of `effect/ai`, or an effect that gives a model.
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
 * The services that are needed to build a model.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ModelServices<M> = M extends Layer.Layer<infer _A, infer _E, infer R> ? R
  : M extends Effect.Effect<infer _A, infer _E, infer R> ? Exclude<R, Scope.Scope>
  : never

/**
 * The services that an agent with this model does not need from its caller.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Modelled<M> = [M] extends [Model] ? LanguageModel.LanguageModel | AiModel.ProviderName | AiModel.ModelName
  : never

/**
 * The tool choice of an agent (`ToolChoice` of `effect/ai`): the same in each step, or a function of the finished
 * steps.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolChoice<Names extends string> =
  | LanguageModel.ToolChoice<Names>
  | ((steps: ReadonlyArray<AgentRun.Step>) => LanguageModel.ToolChoice<Names>)

/**
 * The names that a `toolChoice` may contain: those of the agent's toolkit, or any name if only its providers bring
 * tools.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ToolNames<Tools> = [keyof Tools] extends [never] ? string : Extract<keyof Tools, string>

/**
 * The options of an agent.
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
   * The model for the agent's own calls, and for those of its providers and middleware. It is built when a run begins
   * and released when the run has ended. The tools of its `toolkit`, and agents among them, use the model of the caller
   * or their own. Default: the `LanguageModel` of the context.
   */
  readonly model?: M
  /**
   * Settings for the calls of this model, in the form of its provider: `AiSdk.settings({ temperature: 0 })`, or
   * `Context.add(Config, { ... })` with the `Config` of a provider package. They take precedence over the settings in
   * the context. Tools and other agents do not get them. Default: the settings in the context.
   */
  readonly settings?: ((context: Context.Context<never>) => Context.Context<never>) | undefined
  /**
   * Whether the model has to call a tool. With `"required"`, or with a tool, every step calls one until a stop
   * condition holds; a function of the steps may end this earlier. The final answer at a limit uses `"none"`. If the
   * `output` is a tool, the model may choose that tool whenever it may choose one. Default: `"auto"`.
   */
  readonly toolChoice?: ToolChoice<ToolNames<Tools>> | undefined
  /**
   * The description that a calling model reads when this agent is a tool, and that telemetry reports. Default: none.
   */
  readonly description?: string | undefined
  /** The system message. The instructions of context providers are appended to it. Default: none. */
  readonly instructions?: string | undefined
  /**
   * The tools that the model may call: a `Toolkit`, whose handlers are in the context of the run, or an effect that
   * gives a toolkit with its handlers, such as `AgentTool.toolkit(...)`. Default: no tools.
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
   * When a run stops. The conditions are checked in this order after every step with tool calls. If no step limit or
   * tool error limit is among them, `StopCondition.defaults` adds it. Default: `StopCondition.defaults` alone.
   */
  readonly stopWhen?: ReadonlyArray<StopCondition.StopCondition> | undefined
  /**
   * The form of the final answer: a schema, or `AgentOutput.tool` or `AgentOutput.json` of one. Every run that
   * completes has its `value`. An agent that may have to wait for approvals uses `AgentOutput.orWaiting`, and then its
   * `value` may be `undefined`. Default: text, and a `value` that is `undefined`.
   */
  readonly output?:
    | AgentOutput.AgentOutput<A, I, OutputServices>
    | Schema.Codec<A, I, OutputServices, unknown>
    | Misuse.Fields
    | undefined
}

/**
 * The input of a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input {
  /** The prompt of the run: a text, messages, or a prompt. */
  readonly prompt: Prompt.RawInput
  /** The id of the conversation that the run belongs to. Default: none, and nothing is loaded or saved. */
  readonly session?: string | undefined
  /** The id of the run. Default: made by the `IdGenerator` of `effect/ai` in the context, or a random one. */
  readonly runId?: string | undefined
  /**
   * The answers to the approvals that an earlier run waits for. `Agent.resume` sets them. Default: none.
   */
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
  /** The handle through which the run receives messages. Default: none. */
  readonly steering?: Steering.Steering | undefined
  /**
   * Whether the run has no prompt and answers the last message of its session. `Agent.continue` sets it. Default: it
   * has a prompt.
   */
  readonly continues?: true | undefined
}

/**
 * The input of a program (see `fromStream`): the input of the run, with its id. `providers` are those that the agent
 * was given (by `withProvider`, and for this run). The program passes them on to an agent that it runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface ProgramInput extends Input {
  /** The id of the run. It is given or made before the program starts. */
  readonly runId: string
  /** The context providers that the agent was given. Default: none. */
  readonly providers?: ReadonlyArray<ContextProvider.ContextProvider> | undefined
}

/**
 * What one run has in addition to its agent: context of its request, and tools for this run alone, such as those of a
 * client. Their failures and services are in the type of that run. Their names must differ from those of the agent: a
 * second provider with the same name is a defect, and a second tool with the same name fails the run with `AgentError`
 * (`DuplicateTool`).
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
  /** Context providers for this run. Their `beforeRun`s follow those of the agent's providers. Default: none. */
  readonly providers?: Providers | undefined
  /** Tools for this run, in addition to those of the agent. Default: none. */
  readonly toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, E, R> | Misuse.NotAToolkit | undefined
}

/**
 * The failures of the providers and tools that are added to a run.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AddedError<Providers extends ReadonlyArray<ContextProvider.Any>, Tools, E> =
  | ContextProvider.Error<Providers[number]>
  | Tool.HandlerError<Tools[keyof Tools]>
  | E

/**
 * The services of the providers and tools that are added to a run.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AddedServices<Providers extends ReadonlyArray<ContextProvider.Any>, Tools, R> =
  | ContextProvider.Services<Providers[number]>
  | Tool.HandlerServices<Tools[keyof Tools]>
  | R

/**
 * The tools of an agent, together with those that are added to a run.
 *
 * @category utility types
 * @since 0.1.0
 */
export type WithTools<Tools, Added> = {} extends Added ? Tools : Tools & Added

/**
 * A run that has begun (see `Agent.open`). `start` is its first part. `parts` are all of its parts, including the first
 * one, and can be read once.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opened<out Part, out E> {
  readonly start: AgentRun.RunStart
  readonly parts: Stream.Stream<Part, E>
}

/**
 * Agents: immutable values that run as streams.
 *
 * An `Agent` is a name, a description, and a function from an input to a `Stream` of parts. `make` creates one that
 * calls a model and its tools in a loop. Its expected failures are in `E`, and the services that it needs are in `R`.
 * `stream` runs an agent, and `run` folds the stream to its result.
 *
 * **Example** (An agent with a tool)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Weather = Tool.make("get_weather", {
 *   parameters: Schema.Struct({ city: Schema.String }),
 *   success: Schema.String
 * })
 * const toolkit = Toolkit.make(Weather)
 * const tools = toolkit.toLayer({ get_weather: ({ city }) => Effect.succeed(`rain in ${city}`) })
 *
 * const assistant = Agent.make("assistant", { instructions: "You are terse.", toolkit })
 *
 * const program = Effect.gen(function*() {
 *   const { steps, text } = yield* Agent.run(assistant, { prompt: "Will it rain in Oslo?" })
 *   yield* Console.log(`${text} (${steps.length} steps)`)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "get_weather", params: { city: "Oslo" } }),
 *   ScriptedModel.text("Yes, take a coat.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, [model, tools]))
 * // => Yes, take a coat. (2 steps)
 * ```
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Tool from "effect/ai/Tool"
import type * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import type { Pipeable } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as AgentError from "./AgentError.ts"
import type * as AgentOutput from "./AgentOutput.ts"
import type * as AgentRun from "./AgentRun.ts"
import type * as ContextProvider from "./ContextProvider.ts"
import { forRun, fromMaking, makingOf, ofFunction, provided } from "./internal/run/agentOf.ts"
import type * as Given from "./internal/run/given.ts"
import { programOf } from "./internal/program/agentOf.ts"
import * as NestedTools from "./internal/tool/nested.ts"
import { modelOf } from "./internal/run/modelOf.ts"
import * as CurrentRun from "./internal/words/currentRun.ts"
import * as Fold from "./internal/words/fold.ts"
import * as Opened from "./internal/run/opened.ts"
import type * as Middleware from "./Middleware.ts"
import type * as Program from "./Program.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/Agent"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/Agent"

/**
 * An agent. `E` are its expected failures, and `R` the services that it needs. `A` is the type of the `value` of its
 * result, and `P` the type of that value while it is still being written. Without an `output`, `A` is `undefined` and
 * `P` is `never`.
 *
 * The stream does nothing until it is pulled. Running it again is a new run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Agent<
  Tools extends Record<string, Tool.Any> = {},
  out E = never,
  out R = never,
  out A = undefined,
  out P = never
> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly description: string | undefined
  readonly stream: (input: Given.Input) => Stream.Stream<AgentRun.Part<Tools, A, P>, E, R>
  /**
   * Returns the same agent with a middleware around the middleware that it has, at each place that its kind of run has.
   */
  readonly withMiddleware: <E1, R1>(middleware: Middleware.Middleware<E1, R1>) => Agent<Tools, E | E1, R | R1, A, P>
}

/**
 * Any agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends Agent<any, any, any, any, any> {}

/**
 * The failures of an agent.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Error<A> = A extends Agent<any, infer E, any, any, any> ? E : never

/**
 * The services that an agent needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<A> = A extends Agent<any, any, infer R, any, any> ? R : never

/**
 * The parts that an agent streams.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Part<A> = A extends Agent<infer Tools, any, any, infer Value, infer P> ? AgentRun.Part<Tools, Value, P>
  : never

/**
 * The type of the `value` that a run of an agent gives. It is `undefined` without an `output`, and may be `undefined`
 * with `AgentOutput.orWaiting`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Output<A> = A extends Agent<any, any, any, infer Value, any> ? Value : never

/**
 * Returns whether a value is an agent.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAgent = (u: unknown): u is Any => Predicate.hasProperty(u, TypeId)

/**
 * Creates an agent that runs a model in a tool loop.
 *
 * **Gotchas**
 *
 * Two providers with the same name, or a tool that cannot be offered to a model, are a defect of this call. They are
 * not failures of a run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  Tools extends Record<string, Tool.Any> = {},
  ToolkitError = never,
  ToolkitServices = never,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  const Middlewares extends ReadonlyArray<Middleware.Any> = [],
  A = undefined,
  I = never,
  OutputServices = never,
  M extends Given.Model | undefined = undefined
>(
  name: string,
  options: Given.Options<Tools, ToolkitError, ToolkitServices, Providers, Middlewares, A, I, OutputServices, M> = {}
): Agent<
  Tools,
  | AiError.AiError
  | Given.ModelError<M>
  | AgentError.AgentError
  | ToolkitError
  | Tool.HandlerError<Tools[keyof Tools]>
  | ContextProvider.Error<Providers[number]>
  | Middleware.Error<Middlewares[number]>,
  | Exclude<
    | LanguageModel.LanguageModel
    | ContextProvider.Services<Providers[number]>
    | Middleware.Services<Middlewares[number]>,
    Given.Modelled<M>
  >
  | Given.ModelServices<M>
  // one by one: a `HandlersFor` would be printed with all of its tools
  | ((ToolkitServices extends infer S ? [S] : never) extends infer W ? W extends [infer S] ? S : never : never)
  | Tool.HandlerServices<Tools[keyof Tools]>
  | OutputServices,
  A,
  AgentOutput.DeepPartial<I>
> => modelOf(name, options)

/**
 * Creates an agent whose tools are called by a program instead of a model. Use it to orchestrate other agents, given to
 * it as tools (`AgentTool`). The program's success is the `value` of the result; a run that waits for approvals has no
 * value. The module `Program` describes the calls of a program, and how a program that is run again goes on.
 *
 * @category constructors
 * @since 0.1.0
 */
export const program = <
  Tools extends Record<string, Tool.Any> = {},
  A = undefined,
  E = never,
  R = never,
  ToolkitError = never,
  ToolkitServices = never,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  const Middlewares extends ReadonlyArray<Middleware.Any> = []
>(
  name: string,
  options: Program.Options<Tools, A, E, R, ToolkitError, ToolkitServices, Providers, Middlewares>
): Agent<
  Tools,
  E | ToolkitError | Program.AgentFailure<Providers, Middlewares>,
  R | ToolkitServices | Program.AgentServices<Tools, Providers, Middlewares>,
  A | undefined
> => programOf(name, options)

/**
 * Creates an agent from a function that returns a stream of parts: an orchestration of other agents, or a test double.
 * The stream must end with `run-end`. The input holds the id of the run, which belongs in `run-start` and in the
 * result.
 *
 * Only the part of a middleware that is around a run applies to such an agent. The input also holds the providers of
 * the agent and of this run, so that the function can give them to the agents that it runs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromStream = <
  Tools extends Record<string, Tool.Any> = {},
  E = never,
  R = never,
  A = unknown,
  P = unknown
>(
  name: string,
  options: {
    /** The description of this agent that a calling model reads when the agent is a tool. Default: none. */
    readonly description?: string | undefined
    /** The parts of one run. The stream must end with `run-end`. */
    readonly stream: (input: Given.ProgramInput) => Stream.Stream<AgentRun.Part<Tools, A, P>, E, R>
  }
): Agent<Tools, E, R, A, P> =>
  NestedTools.rememberWhole(
    fromMaking({ name, description: options.description }, ofFunction(name, options.stream), undefined)
  )

/**
 * Runs an agent. Nothing happens until the stream is pulled.
 *
 * @category running
 * @since 0.1.0
 */
export const stream = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  Own extends Record<string, Tool.Any> = {},
  E1 = never,
  R1 = never
>(
  self: Agent<Tools, E, R, A, P>,
  input: Given.Input & Given.Added<Providers, Own, E1, R1>
): Stream.Stream<
  AgentRun.Part<Given.WithTools<Tools, Own>, A, P>,
  E | Given.AddedError<Providers, Own, E1>,
  R | Given.AddedServices<Providers, Own, R1>
> => forRun(self, input)

/**
 * Runs an agent to its result: the fold of `stream`.
 *
 * @category running
 * @since 0.1.0
 */
export const run = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  Own extends Record<string, Tool.Any> = {},
  E1 = never,
  R1 = never
>(
  self: Agent<Tools, E, R, A, P>,
  input: Given.Input & Given.Added<Providers, Own, E1, R1>
): Effect.Effect<
  AgentRun.Result<A>,
  E | Given.AddedError<Providers, Own, E1>,
  R | Given.AddedServices<Providers, Own, R1>
> => CurrentRun.madeHere(input, Fold.foldOf(() => forRun(self, input)))

/**
 * Begins a run in the scope of the caller, and returns when the run emits `run-start`; no model has been called by
 * then. A failure before that, of a provider or a layer for example, is the failure of this effect, so that a server
 * can answer with a status. A later failure is a failure of the stream `parts`.
 *
 * **Details**
 *
 * The run belongs to the scope. When the scope closes before the parts were read to their end, the run ends, and a
 * fiber that still reads the parts ends too. The outcome is `Interrupted` if an interrupt closed the scope or ended the
 * reader, as when a client of a server disconnects. Otherwise it is `Abandoned`.
 *
 * `parts` needs no services: those of the caller were taken when the run began. Reading `parts` a second time is a
 * defect. An input with a `session`, `answers` and an empty prompt continues a waiting run, as `resume` does.
 *
 * **Example** (A status before a stream)
 *
 * ```ts no-run
 * import { Effect, Stream } from "effect"
 * import { HttpServerResponse } from "effect/http"
 * import { Agent, SessionHistory } from "effect-agents"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * export const handler = Agent.open(assistant, { prompt: "Hello?", session: "user-7" }).pipe(
 *   Effect.map(({ parts }) =>
 *     HttpServerResponse.stream(
 *       Stream.encodeText(Stream.map(parts, (part) => part.type === "text-delta" ? part.delta : ""))
 *     )
 *   ),
 *   Effect.catchTag("SessionError", () => Effect.succeed(HttpServerResponse.text("try again later", { status: 503 })))
 * )
 * ```
 *
 * @category running
 * @since 0.1.0
 */
export const open = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  const Providers extends ReadonlyArray<ContextProvider.Any> = [],
  Own extends Record<string, Tool.Any> = {},
  E1 = never,
  R1 = never
>(
  self: Agent<Tools, E, R, A, P>,
  input: Given.Input & Given.Added<Providers, Own, E1, R1>
): Effect.Effect<
  Given.Opened<
    AgentRun.Part<Given.WithTools<Tools, Own>, A, P>,
    E | Given.AddedError<Providers, Own, E1>
  >,
  E | Given.AddedError<Providers, Own, E1>,
  R | Given.AddedServices<Providers, Own, R1> | Scope.Scope
> =>
  Opened.open(
    { agent: self.name, session: input.session, runId: input.runId },
    (runId) => stream(self, { ...input, runId })
  )

export type * from "./internal/run/given.ts"
export * from "./internal/run/goingOn.ts"

/**
 * Returns the agent with one more middleware around it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withMiddleware: {
  <E1, R1>(
    middleware: Middleware.Middleware<E1, R1>
  ): <Tools extends Record<string, Tool.Any>, E, R, A, P>(
    self: Agent<Tools, E, R, A, P>
  ) => Agent<Tools, E | E1, R | R1, A, P>
  <Tools extends Record<string, Tool.Any>, E, R, A, P, E1, R1>(
    self: Agent<Tools, E, R, A, P>,
    middleware: Middleware.Middleware<E1, R1>
  ): Agent<Tools, E | E1, R | R1, A, P>
} = dual(
  2,
  <Tools extends Record<string, Tool.Any>, E, R, A, P, E1, R1>(
    self: Agent<Tools, E, R, A, P>,
    middleware: Middleware.Middleware<E1, R1>
  ): Agent<Tools, E | E1, R | R1, A, P> => self.withMiddleware(middleware)
)

/**
 * Returns the agent with one more context provider, after those that it has. Names are unique: a second provider with
 * the same name is a defect of this call.
 *
 * An agent made with `fromStream` receives the provider in its input.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withProvider: {
  <E1, R1>(
    provider: ContextProvider.ContextProvider<E1, R1>
  ): <Tools extends Record<string, Tool.Any>, E, R, A, P>(
    self: Agent<Tools, E, R, A, P>
  ) => Agent<Tools, E | E1, R | R1, A, P>
  <Tools extends Record<string, Tool.Any>, E, R, A, P, E1, R1>(
    self: Agent<Tools, E, R, A, P>,
    provider: ContextProvider.ContextProvider<E1, R1>
  ): Agent<Tools, E | E1, R | R1, A, P>
} = dual(
  2,
  (self: Any, provider: ContextProvider.Any): Any =>
    fromMaking(self, makingOf(self).withProvider(provider), tools(self))
)

/**
 * Returns the agent with services of its own, given as a layer or a context: a model, a store, or any other. The agent
 * then needs what the layer needs, and no longer what the layer gives. When the layer fails, the run fails before its
 * first part.
 *
 * **Details**
 *
 * The layer is built when a run begins, in the way of `Effect.provide`. It is released last of all, after the
 * finalizers of the run, with the `Exit` of the run.
 *
 * Everything in the run uses these services: its providers, its middleware, its tools, and the agents that it calls,
 * unless they bring their own. A middleware that is added afterwards runs outside of the layer with its `agent`
 * function, and inside of the run with its `model` and `tool` functions.
 *
 * **Gotchas**
 *
 * A layer begins anew with each run, so an in-memory store in it is empty each time. Build what has to outlive a run
 * outside of it, and give it as a context.
 *
 * @category combinators
 * @since 0.1.0
 */
export const provide: {
  <ROut, E1, R1>(
    layer: Layer.Layer<ROut, E1, R1>
  ): <Tools extends Record<string, Tool.Any>, E, R, A, P>(
    self: Agent<Tools, E, R, A, P>
  ) => Agent<Tools, E | E1, R1 | Exclude<R, ROut>, A, P>
  <Services>(
    context: Context.Context<Services>
  ): <Tools extends Record<string, Tool.Any>, E, R, A, P>(
    self: Agent<Tools, E, R, A, P>
  ) => Agent<Tools, E, Exclude<R, Services>, A, P>
  <Tools extends Record<string, Tool.Any>, E, R, A, P, ROut, E1, R1>(
    self: Agent<Tools, E, R, A, P>,
    layer: Layer.Layer<ROut, E1, R1>
  ): Agent<Tools, E | E1, R1 | Exclude<R, ROut>, A, P>
  <Tools extends Record<string, Tool.Any>, E, R, A, P, Services>(
    self: Agent<Tools, E, R, A, P>,
    context: Context.Context<Services>
  ): Agent<Tools, E, Exclude<R, Services>, A, P>
} = dual(
  2,
  (self: Any, services: Layer.Layer<any, any, any> | Context.Context<any>): Any =>
    fromMaking(self, provided(self.name, makingOf(self), services), tools(self))
)

/**
 * Returns the tools that an agent offers to its model, by name, for a server that describes the agent. Returns
 * `undefined` for an agent whose tools only a run knows: a program, or an agent whose toolkit is given by an effect.
 * Tools that providers contribute are not included.
 *
 * @category accessors
 * @since 0.1.0
 */
export const tools = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>
): Readonly<Tools> | undefined =>
  // those that were remembered when the agent was made
  NestedTools.of(self) as Tools | undefined

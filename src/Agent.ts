/**
 * Agents: immutable values that run as streams.
 *
 * An `Agent` is a name, a description, and a function from an input to a `Stream`
 * of parts. `make` creates one from a model in the context, a toolkit and context
 * providers; its expected failures are in `E`, what it needs is in `R`. `stream`
 * runs it, `run` folds the stream to its result.
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
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type { Pipeable } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as AgentError from "./AgentError.ts"
import * as AgentOutput from "./AgentOutput.ts"
import * as AgentRun from "./AgentRun.ts"
import type * as Approval from "./Approval.ts"
import type * as ContextProvider from "./ContextProvider.ts"
import * as Origin from "./internal/approval/origin.ts"
import * as Seal from "./internal/approval/seal.ts"
import {
  aroundRun,
  fromBody,
  identified,
  Proto,
  providersOf,
  remembering,
  toolkitOf,
  toolsOf
} from "./internal/run/agentOf.ts"
import * as LoopBody from "./internal/run/loopBody.ts"
import { prepare } from "./internal/output/output.ts"
import type * as Middleware from "./Middleware.ts"
import type * as Steering from "./Steering.ts"
import type * as StopCondition from "./StopCondition.ts"

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
 * What a run begins with. `session` is the id of the conversation it belongs to,
 * `runId` that of the run, which otherwise makes one with the `IdGenerator` of `effect/ai` in its context or at random,
 * `answers` those to the approvals that the run before it waits for (see `resume`),
 * `steering` the handle by which the run is told more while it works. With `continues`
 * there is no prompt (see `continue`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Input {
  readonly prompt: Prompt.RawInput
  readonly session?: string | undefined
  readonly runId?: string | undefined
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
  readonly steering?: Steering.Steering | undefined
  readonly continues?: true | undefined
}

/**
 * An agent: what it can fail with is `E`, what it needs is `R`, what the `value` of its
 * result is `A`, and what there is of that while it is written `P`. Without an `output`
 * these are `undefined` and `never`.
 *
 * The stream runs nothing until it is pulled; each time it is run is a new run.
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
  readonly stream: (input: Input) => Stream.Stream<AgentRun.Part<Tools, A, P>, E, R>
  /** Returns the same agent with a middleware around its own, at whatever places its kind of run has. */
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
 * The type of the `value` that a run of an agent gives: `undefined` without an `output`, or `undefined` if it waits with
 * `AgentOutput.orWaiting`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Output<A> = A extends Agent<any, any, any, infer Value, any> ? Value : never

/**
 * What an agent is made of.
 *
 * - `instructions`: the system message; providers append to it.
 * - `toolkit`: the tools the model may call.
 * - `providers`: context providers, in the order of their `beforeRun`s. Names are unique.
 * - `middleware`: the first is the outermost.
 * - `stopWhen`: asked in this order after every step with tool calls. A run that
 *   names no step limit or tool error limit gets those of `StopCondition.defaults`.
 * - `output`: what the final answer is to be: a schema, or `AgentOutput.tool` or
 *   `AgentOutput.json` of one. Every run that completes has its `value`, unless it is
 *   `AgentOutput.orWaiting` of one: for agents that may wait for approvals.
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
  OutputServices = never
> {
  readonly description?: string | undefined
  readonly instructions?: string | undefined
  readonly toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, ToolkitError, ToolkitServices> | undefined
  readonly providers?: Providers | undefined
  readonly middleware?: Middlewares | undefined
  readonly stopWhen?: ReadonlyArray<StopCondition.StopCondition> | undefined
  readonly output?:
    | AgentOutput.AgentOutput<A, I, OutputServices>
    | Schema.Codec<A, I, OutputServices, unknown>
    | undefined
}

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
 * Two providers of one name, and a tool that no model can be offered, are a defect here, not a failure of a run.
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
  OutputServices = never
>(
  name: string,
  options: Options<Tools, ToolkitError, ToolkitServices, Providers, Middlewares, A, I, OutputServices> = {}
): Agent<
  Tools,
  | AiError.AiError
  | AgentError.AgentError
  | ToolkitError
  | Tool.HandlerError<Tools[keyof Tools]>
  | ContextProvider.Error<Providers[number]>
  | Middleware.Error<Middlewares[number]>,
  | LanguageModel.LanguageModel
  | ToolkitServices
  | Tool.HandlerServices<Tools[keyof Tools]>
  | ContextProvider.Services<Providers[number]>
  | Middleware.Services<Middlewares[number]>
  | OutputServices,
  A,
  AgentOutput.DeepPartial<I>
> => {
  const { description, instructions, output, stopWhen = [], toolkit } = options
  const providers = providersOf(name, options.providers)
  const prepared = outputOf(output)
  const loop = { instructions, toolkit: toolkitOf(name, toolkit), stopWhen, output: prepared }
  return fromBody(name, description, options.middleware ?? [], (middleware) => ({
    name,
    description,
    remote: false,
    providers,
    promisesValue: prepared?.output.mayWait === false,
    body: LoopBody.body({ ...loop, middleware })
  }), toolkit === undefined ? {} : toolsOf(toolkit))
}

/**
 * Creates an agent from a function to a stream of parts: an orchestration of other
 * agents, or a test double. The stream ends with `run-end`. Its input has the id of the run, for its `run-start` and
 * its result.
 *
 * Of a middleware, only the function around a run applies.
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
    readonly description?: string | undefined
    readonly stream: (input: Input & { readonly runId: string }) => Stream.Stream<AgentRun.Part<Tools, A, P>, E, R>
  }
): Agent<Tools, E, R, A, P> => {
  const self: Agent<Tools, E, R, A, P> = Object.assign(Object.create(Proto), {
    name,
    description: options.description,
    stream: (input: Input) => remembering(identified(options.stream, input)),
    withMiddleware: (middleware: Middleware.Any) =>
      fromStream(name, { ...options, stream: aroundRun(name, [middleware], (request) => self.stream(request)) })
  })
  return self
}

/**
 * Runs an agent. Nothing happens until the stream is pulled.
 *
 * @category running
 * @since 0.1.0
 */
export const stream = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>,
  input: Input
): Stream.Stream<AgentRun.Part<Tools, A, P>, E, R> => self.stream(input)

/**
 * Runs an agent to its result: the fold of `stream`.
 *
 * @category running
 * @since 0.1.0
 */
export const run = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>,
  input: Input
): Effect.Effect<AgentRun.Result<A>, E, R> => Effect.suspend(() => AgentRun.fold(self.stream(input)))

/**
 * Where a run goes on that waits for approvals: in a session, or after a result. It is a
 * new run, which may be given its id.
 *
 * @category models
 * @since 0.1.0
 */
export type Waiting =
  & ({ readonly session: string } | { readonly result: AgentRun.Result<any> })
  & { readonly runId?: string | undefined }

/**
 * Goes on where a run waits for approvals: runs and denies the calls as the answers
 * say, then calls the model. While calls wait that have no answer the run completes
 * with `"approval-required"` again.
 *
 * **Details**
 *
 * The first step of the run is the one that waited. An answer that was not asked for,
 * that has been given before, or is for a call that has changed fails the run with
 * `AgentError` (`ApprovalRejected`), and nothing runs.
 *
 * The answers are saved to the session before any of their calls runs. When two
 * processes give one at the same time, one of them fails with `SessionConflict`.
 * A process that ends in the middle of such a call leaves it as interrupted: it runs at
 * most once. An agent needs `SessionHistory` for that.
 *
 * The result of a run with a session may be given too: the session alone is asked then,
 * and what it does not have is rejected. A result without a session has to be the very one
 * that a run of this process gave, and not a copy of it, or carry an `ApprovalSeal`. The
 * answers to it are kept in this process.
 *
 * @category running
 * @since 0.1.0
 */
export const resumeStream = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>,
  waiting: Waiting,
  answers: ReadonlyArray<Approval.Answer>
): Stream.Stream<AgentRun.Part<Tools, A, P>, E, R> =>
  "result" in waiting
    ? resumeResult(self, waiting.result, answers, waiting.runId)
    : self.stream({ prompt: [], session: waiting.session, runId: waiting.runId, answers })

const resumeResult = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>,
  result: AgentRun.Result<any>,
  answers: ReadonlyArray<Approval.Answer>,
  runId: string | undefined
): Stream.Stream<AgentRun.Part<Tools, A, P>, E, R> => {
  const { session, transcript } = result
  const stream = self.stream({ prompt: transcript, session, runId, answers })
  return Stream.unwrap(Effect.map(
    Seal.originOf(self.name, result),
    (origin) => origin === undefined ? stream : Stream.provideService(stream, Origin.Origin, origin)
  ))
}

/**
 * Goes on where a run waits for approvals, to its result: the fold of `resumeStream`.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>,
  waiting: Waiting,
  answers: ReadonlyArray<Approval.Answer>
): Effect.Effect<AgentRun.Result<A>, E, R> => Effect.suspend(() => AgentRun.fold(resumeStream(self, waiting, answers)))

/**
 * Which session goes on, by which run (see `Input`).
 *
 * @category models
 * @since 0.1.0
 */
export interface Continued extends Pick<Input, "runId" | "steering"> {
  readonly session: string
}

/**
 * Continues a session whose last message asks for an answer: a prompt that no model has
 * answered, or results of tools. A process that was killed, and a run that failed, leave
 * such a session where `SessionHistory` keeps every step, or always. A text at its end
 * that was cut (`AgentRun.isCut`) is not sent: the model answers again, and the session
 * keeps both.
 *
 * **Details**
 *
 * Fails with `AgentError` (`NothingToContinue`) when the last message is an answer, when
 * the session is unknown or waits for approvals, and when the agent does not load it.
 *
 * @category running
 * @since 0.1.0
 */
export const continueStream = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>,
  input: Continued
): Stream.Stream<AgentRun.Part<Tools, A, P>, E, R> =>
  self.stream({ prompt: [], session: input.session, runId: input.runId, steering: input.steering, continues: true })

const continue_ = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent<Tools, E, R, A, P>,
  input: Continued
): Effect.Effect<AgentRun.Result<A>, E, R> => Effect.suspend(() => AgentRun.fold(continueStream(self, input)))

export {
  /**
   * Continues a session whose last message asks for an answer, to its result: the fold of
   * `continueStream`.
   *
   * @category running
   * @since 0.1.0
   */
  continue_ as continue
}

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

const outputOf = (
  output: AgentOutput.Any | Schema.Codec<unknown, unknown, any, unknown> | undefined
): LoopBody.Options["output"] =>
  output === undefined
    ? undefined
    : prepare(AgentOutput.isAgentOutput(output) ? output : AgentOutput.tool(output))

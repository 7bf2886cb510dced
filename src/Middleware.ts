/**
 * Functions around a run, its model calls and its tool calls.
 *
 * A middleware has one shape, `(request, next) => Stream`, at up to three places: around a whole run (`agent`), around
 * one model call (`model`), and around one tool call (`tool`). It may change the request, change the parts, and call
 * `next` any number of times or not at all. The first middleware of a list is the outermost.
 *
 * **Example** (Around every tool call)
 *
 * ```ts
 * import { Console, Effect, Schema, Stream } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent, Middleware } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const Add = Tool.make("add", {
 *   parameters: Schema.Struct({ a: Schema.Finite, b: Schema.Finite }),
 *   success: Schema.Finite
 * })
 * const toolkit = Toolkit.make(Add)
 * const tools = toolkit.toLayer({ add: ({ a, b }) => Effect.succeed(a + b) })
 *
 * const logged = Middleware.make("logged", {
 *   tool: (request, next) =>
 *     Stream.onStart(next(request), Console.log(`${request.name} ${JSON.stringify(request.params)}`))
 * })
 *
 * const program = Agent.make("adder", { toolkit }).pipe(
 *   Agent.withMiddleware(logged),
 *   (adder) => Agent.run(adder, { prompt: "How much is 1 + 2?" }),
 *   Effect.andThen(({ text }) => Console.log(text))
 * )
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "add", params: { a: 1, b: 2 } }),
 *   ScriptedModel.text("Three.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, [model, tools]))
 * // => add {"a":1,"b":2}
 * // => Three.
 * ```
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import type * as Stream from "effect/Stream"
import type * as AgentRun from "./AgentRun.ts"
import type * as Approval from "./Approval.ts"
import type * as Steering from "./Steering.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/Middleware"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/Middleware"

/**
 * A run that is about to begin.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentRequest {
  readonly agent: string
  readonly prompt: Prompt.RawInput
  readonly session: string | undefined
  /** The id that was given to the run. Default: the run makes one. */
  readonly runId?: string | undefined
  /** The answers to approvals with which the run continues another one. Default: the run is a new one. */
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
  /** The handle through which the run receives messages. Default: none. */
  readonly steering?: Steering.Steering | undefined
  /** Whether the run has no prompt and answers the last message of its session. Default: it has a prompt. */
  readonly continues?: true | undefined
}

/**
 * A model call that is about to be made.
 *
 * `prompt` is everything that the model will see. `transcript` is this run's own part of it, and is closed: every tool
 * call in it has a result. `steps` are the finished steps.
 *
 * With a `finalAnswer` the model may call no tool, whatever `toolChoice` says, and the run stops after this call with
 * that reason. A reached limit sets it, and a middleware may set it too. The model may still call the `answerTool`,
 * with which an agent with an `output` gives its answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelRequest {
  readonly agent: string
  readonly session: string | undefined
  readonly steps: ReadonlyArray<AgentRun.Step>
  readonly transcript: ReadonlyArray<Prompt.Message>
  readonly prompt: Prompt.Prompt
  readonly toolkit: Toolkit.WithHandler<Record<string, Tool.Any>> | undefined
  readonly toolChoice: LanguageModel.ToolChoice<string>
  /**
   * The stop reason with which the run stops after this call, in which the model may call no tool. Default: the run may
   * go on.
   */
  readonly finalAnswer?: AgentRun.StopReason | undefined
  /** The name of the tool with which an agent with an `output` gives its answer. Default: there is none. */
  readonly answerTool?: string | undefined
}

/**
 * A tool call that is about to be executed. `params` are as the model wrote them, not decoded. `tool` is `undefined` if
 * no tool has the name that the model asked for.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolRequest {
  readonly agent: string
  readonly session: string | undefined
  readonly id: string
  readonly name: string
  readonly params: unknown
  readonly tool: Tool.Any | undefined
}

/**
 * A result of a tool call. Preliminary results come first, then exactly one final result.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolResult = Response.ToolResultPart<string, unknown, unknown>

/**
 * Stands for the failures of what a middleware is around. They pass through it, or it catches all of them. It never
 * appears in the type of an agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface InnerError {
  readonly "~effect-agents/Middleware/InnerError": never
}

/**
 * Stands for the services of what a middleware is around. It never appears in the type of an agent.
 *
 * @category models
 * @since 0.1.0
 */
export interface InnerServices {
  readonly "~effect-agents/Middleware/InnerServices": never
}

/**
 * A function around a run. It may call `next` with another prompt.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentPlace<out E, out R> {
  (
    request: AgentRequest,
    next: (request: AgentRequest) => Stream.Stream<AgentRun.Part, InnerError, InnerServices>
  ): Stream.Stream<AgentRun.Part, E, R>
}

/**
 * A function around a model call. The stream of `next` reads its `LanguageModel` from the context in which it is
 * pulled, so a middleware may provide another model.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelPlace<out E, out R> {
  (
    request: ModelRequest,
    next: (
      request: ModelRequest
    ) => Stream.Stream<
      Response.StreamPart<any, "deferred">,
      AiError.AiError | InnerError,
      LanguageModel.LanguageModel | InnerServices
    >
  ): Stream.Stream<Response.StreamPart<any, "deferred">, E, R>
}

/**
 * A function around a tool call. The first final result in its stream is the result of the call; it interrupts a
 * handler that still runs. If there is none, the call gets a synthesized failure. The call ends when the stream ends,
 * and the tool does not run again after it.
 *
 * The call that is given to `next` is the one that runs. With another `name` another tool of the run is called, with
 * its own services, standing rules and time limit. Other `params` are decoded like the model's. The transcript, the
 * parts and the spans keep the call as the model made it, and the result answers that call, with its `id` and its
 * `name`. An approval is requested for the tool and the parameters that would run, also after a change of the name.
 * When it is given, the middleware runs again, and has to make the same call.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolPlace<out E, out R> {
  (
    request: ToolRequest,
    next: (request: ToolRequest) => Stream.Stream<ToolResult, InnerError, InnerServices>
  ): Stream.Stream<ToolResult, E, R>
}

/**
 * A named set of functions around calls, for one or more of the three places.
 *
 * @category models
 * @since 0.1.0
 */
export interface Middleware<out E = never, out R = never> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly agent: AgentPlace<E | InnerError, R | InnerServices> | undefined
  readonly model: ModelPlace<E | InnerError, R | InnerServices> | undefined
  readonly tool: ToolPlace<E | InnerError, R | InnerServices> | undefined
}

/**
 * Any middleware.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends Middleware<any, any> {}

/**
 * The errors that a middleware adds.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Error<M> = M extends Middleware<infer E, infer _R> ? E : never

/**
 * The services that a middleware needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<M> = M extends Middleware<infer _E, infer R> ? R : never

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

// `NoInfer` that does not show in the inferred type: the types of the places decide, not the place where it is used
type Own<T> = [T][T extends any ? 0 : never]

/**
 * Creates a middleware for one or more of the three places.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <EA = never, RA = never, EM = never, RM = never, ET = never, RT = never>(
  name: string,
  places: {
    /** A function around a run. Default: nothing is around it. */
    readonly agent?: AgentPlace<EA, RA> | undefined
    /** A function around each model call. Default: nothing is around it. */
    readonly model?: ModelPlace<EM, RM> | undefined
    /** A function around each tool call. Default: nothing is around it. */
    readonly tool?: ToolPlace<ET, RT> | undefined
  }
): Middleware<Own<Exclude<EA | EM | ET, InnerError>>, Own<Exclude<RA | RM | RT, InnerServices>>> =>
  Object.assign(Object.create(Proto), {
    name,
    agent: places.agent,
    model: places.model,
    tool: places.tool
  })

/**
 * Middleware around the model and tool calls of every run in a context, and of the runs nested in those. It is inside
 * of the middleware of their agents, next to the call. Its `agent` functions are not used. Default: none.
 *
 * To reach nested runs, a middleware provides this reference to the run that it is around.
 *
 * @category references
 * @since 0.1.0
 */
export const Inherited = Context.Reference<
  ReadonlyArray<Middleware<AiError.AiError, LanguageModel.LanguageModel>>
>("effect-agents/Middleware/Inherited", {
  defaultValue: () => []
})

/**
 * Composes the functions of one place around `last`; the first is the outermost. The agent that has the middleware
 * knows what they fail with and what they need, so the types do not show it here.
 *
 * @category combinators
 * @since 0.1.0
 */
export const compose = <Request, A, E, R>(
  places: ReadonlyArray<(request: Request, next: (request: Request) => any) => Stream.Stream<A, any, any>>,
  last: (request: Request) => Stream.Stream<A, E, R>
): (request: Request) => Stream.Stream<A, any, R> =>
  places.reduceRight<(request: Request) => Stream.Stream<A, any, R>>(
    (next, place) => (request) => place(request, next),
    last
  )

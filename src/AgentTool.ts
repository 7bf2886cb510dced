/**
 * Agents as tools of other agents.
 *
 * `make` gives the tool of an agent and its handler: put the tool in a `Toolkit`
 * beside others and the handler in its layer, or take `toolkit`, which is a toolkit
 * of agents alone. A call runs the agent inside the fiber of the call: what it
 * spends is in the total usage of the run that called it, its span is under
 * `execute_tool`, and interrupting the caller ends the agent first.
 *
 * The parts of the agent's run are in the stream of the caller, each as one
 * `agent-part` with the path of agent names, and hold the agent up like preliminary
 * results do when nobody reads them.
 *
 * **Example** (An agent that asks another one)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Agent, AgentTool } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const researcher = Agent.make("researcher", { description: "Finds things out" })
 *
 * const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(researcher, { name: "research" })) })
 *
 * const program = Agent.stream(lead, { prompt: "How high is Galdhøpiggen?" }).pipe(
 *   Stream.runForEach((part) => {
 *     switch (part.type) {
 *       case "agent-part":
 *         return part.part.type === "text-delta" ? Console.log(part.path.join("/"), part.part.delta) : Effect.void
 *       case "run-end":
 *         return Console.log(part.result.text, part.result.totalUsage.outputTokens.total)
 *       default:
 *         return Effect.void
 *     }
 *   })
 * )
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "research", params: { prompt: "Height of Galdhøpiggen?" } }),
 *   ScriptedModel.text("2469 m"),
 *   ScriptedModel.text("It is 2469 m high.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => researcher 2469 m
 * // => It is 2469 m high. 15
 * ```
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Stream from "effect/Stream"
import * as Agent from "./Agent.ts"
import * as AgentError from "./AgentError.ts"
import * as AgentRun from "./AgentRun.ts"
import * as Nested from "./internal/approval/nested.ts"
import * as Origin from "./internal/approval/origin.ts"
import * as Promised from "./internal/run/promised.ts"
import * as OwnSession from "./internal/words/ownSession.ts"
import { ParentRun } from "./internal/words/parentRun.ts"
import * as Message from "./internal/words/message.ts"
import * as RunId from "./internal/words/runId.ts"
import * as NestedTools from "./internal/tool/nested.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The parameters of an agent's tool, unless others are given: a prompt.
 *
 * @category models
 * @since 0.1.0
 */
export const Parameters: Schema.Struct<{ readonly prompt: Schema.String }> = Schema.Struct({
  prompt: Schema.String.annotate({ description: "What the agent is asked, with everything it needs to know" })
})

/**
 * What the model reads when an agent has failed and its tool returns failures.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentFailedEncoded {
  readonly agent: string
  readonly message: string
}

/**
 * The failure of an agent whose tool returns failures. The model reads the agent's
 * name and the message; `error` itself stays in the process, and is undefined in a
 * failure that was decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentFailed<out E> extends AgentFailedEncoded {
  readonly _tag: "AgentFailed"
  readonly error: E | undefined
}

/**
 * The failure of an agent's tool: the agent's own in failure mode `"error"`,
 * `AgentFailed` around it in failure mode `"return"`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Failure<E, Mode extends Tool.FailureMode> = Mode extends "return" ? AgentFailed<E | AgentError.AgentError>
  : E | AgentError.AgentError

/**
 * The tool of an agent that fails with `E` and needs `R`.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ToolOf<
  Name extends string,
  Params extends Schema.Constraint,
  Success extends Schema.Constraint,
  Mode extends Tool.FailureMode,
  E,
  R
> = Tool.Tool<Name, {
  readonly parameters: Params
  readonly success: Success
  readonly failure: Schema.Codec<Failure<E, Mode>, AgentFailedEncoded>
  readonly failureMode: Mode
}, R>

/**
 * The tool of an agent, and its handler for the layer of a `Toolkit`.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentTool<
  out Name extends string,
  in out Params extends Schema.Constraint,
  out Success extends Schema.Constraint,
  out Mode extends Tool.FailureMode,
  out E,
  out R
> {
  readonly tool: ToolOf<Name, Params, Success, Mode, E, R>
  readonly handler: (
    params: Params["Type"],
    context: { readonly toolCallId?: string | undefined }
  ) => Effect.Effect<Success["Type"], Failure<E, Mode>, R>
}

/**
 * Any agent with its handler.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends AgentTool<string, any, any, any, any, any> {}

/**
 * How an agent becomes a tool.
 *
 * @category models
 * @since 0.1.0
 */
export type Options<
  A,
  Name extends string,
  Params extends Schema.Constraint,
  Success extends Schema.Constraint,
  Mode extends Tool.FailureMode
> =
  & {
    /** The name of the tool. Default: that of the agent. */
    readonly name?: Name | undefined
    /** What the model of the caller reads. Default: the description of the agent. */
    readonly description?: string | undefined
    /**
     * The schema of what the tool is called with. With one that has no `prompt`, the option `prompt` makes a prompt
     * of it. Default: `{ prompt: string }`.
     */
    readonly parameters?: Params | undefined
    /**
     * The schema of what the tool answers. For an agent with an `output` it is that of its value; of anything else
     * the option `result` makes a value of the agent's result. Default: a string, which is the text of the agent's
     * last step, or the value of an agent whose `output` is a string.
     */
    readonly success?: Success | undefined
    /**
     * What a failure of the agent is: with `"error"` one of the caller's run, with `"return"` a result that the model
     * reads. Default: `"error"`.
     */
    readonly failureMode?: Mode | undefined
    /** Whether somebody is asked before the agent is called. Default: nobody is. */
    readonly needsApproval?: Tool.NeedsApproval<Params> | undefined
    /**
     * What the agent knows. With `"none"` its prompt only, and nothing is saved. With `"own"` it has a session beside
     * each session of the caller (`ownSession`), and knows what it was asked there before; a caller without a session
     * gives it none, and a run that waits for approvals is kept with the caller's call until they are answered. With
     * `"parent"` it sees the conversation of the caller up to the call, and saves nothing: what it says is in the
     * caller's session as the result of the call. Default: `"none"`.
     */
    readonly session?: "none" | "own" | "parent" | undefined
    /** Whether the agent's parts are in the stream of the caller. Default: `"stream"`, which puts them there. */
    readonly parts?: "stream" | "none" | undefined
  }
  & (Params["Type"] extends { readonly prompt: Prompt.RawInput } ? {
      /** Makes the prompt of the agent of what the tool is called with. Default: its `prompt`. */
      readonly prompt?: ((params: Params["Type"]) => Prompt.RawInput) | undefined
    }
    : { readonly prompt: (params: Params["Type"]) => Prompt.RawInput })
  & (Answer<A> extends Success["Type"] ? {
      /** Makes the answer of the tool of the result of the agent. Default: its value, otherwise its text. */
      readonly result?: ((result: AgentRun.Result<A>) => Success["Type"]) | undefined
    }
    : { readonly result: (result: AgentRun.Result<A>) => Success["Type"] })

/**
 * What an agent answers: the `value` of its result, or its text without an `output`. While its run waits the call waits
 * too, so that an agent with `AgentOutput.orWaiting` answers with a value like others.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Answer<A> = unknown extends A ? string : [A] extends [undefined] ? string : Exclude<A, undefined>

// -----------------------------------------------------------------------------
// References
// -----------------------------------------------------------------------------

/**
 * How many agents deep a run may call agents. A call beyond it fails with
 * `AgentError` (`DepthExceeded`), by the failure mode of its tool. Default: 8.
 *
 * @category references
 * @since 0.1.0
 */
export const MaximumDepth = Context.Reference<number>("effect-agents/AgentTool/MaximumDepth", {
  defaultValue: () => 8
})

/**
 * How many agents deep this is: 0 in a run that no agent has called.
 *
 * @category references
 * @since 0.1.0
 */
export const Depth = Context.Reference<number>("effect-agents/AgentTool/Depth", {
  defaultValue: () => 0
})

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Creates the tool of an agent and its handler.
 *
 * **Details**
 *
 * Outside a run the handler works too: then nobody sees its parts.
 *
 * An agent that has itself as a tool is given as a function, with the type of the
 * agent written down, because it cannot be inferred from itself.
 *
 * **Example** (An agent that calls itself)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import type { AiError, LanguageModel } from "effect/ai"
 * import { Agent, type AgentError, AgentTool } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * type Planner = Agent.Agent<any, AiError.AiError | AgentError.AgentError, LanguageModel.LanguageModel>
 *
 * const planner: Planner = Agent.make("planner", {
 *   toolkit: AgentTool.toolkit(AgentTool.make((): Planner => planner, { name: "plan" }))
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(planner, { prompt: "Plan it all" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "plan", params: { prompt: "Plan the half of it" } }),
 *   ScriptedModel.text("half a plan"),
 *   ScriptedModel.text("a plan")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => a plan
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: {
  <
    Tools extends Record<string, Tool.Any>,
    E,
    R,
    A,
    const Name extends string = string,
    Params extends Schema.Constraint = typeof Parameters,
    Success extends Schema.Constraint = Schema.String,
    Mode extends Tool.FailureMode = "error"
  >(
    agent: () => Agent.Agent<Tools, E, R, A, unknown>,
    options: Options<A, Name, Params, Success, Mode> & { readonly name: Name }
  ): AgentTool<Name, Params, Success, Mode, E, R>
  <
    Tools extends Record<string, Tool.Any>,
    E,
    R,
    A,
    const Name extends string = string,
    Params extends Schema.Constraint = typeof Parameters,
    Success extends Schema.Constraint = Schema.String,
    Mode extends Tool.FailureMode = "error"
  >(
    agent: Agent.Agent<Tools, E, R, A, unknown>,
    ...options: {} extends Options<A, Name, Params, Success, Mode> ? [options?: Options<A, Name, Params, Success, Mode>]
      : [options: Options<A, Name, Params, Success, Mode>]
  ): AgentTool<Name, Params, Success, Mode, E, R>
} = (agent: Agent.Any | (() => Agent.Any), options: AnyOptions = {}): AgentTool<string, any, any, any, any, any> => {
  const { parameters = Parameters, success = Schema.String } = options
  const named = Agent.isAgent(agent) ? { description: agent.description, name: agent.name, ...options } : options
  const { description, failureMode, name } = named
  return {
    tool: Tool.make(name!, {
      description,
      parameters,
      success,
      failure: failureMode === "return" ? Failed : failing(() => Agent.isAgent(agent) ? agent : agent()),
      failureMode: failureMode ?? "error",
      needsApproval: options.needsApproval
    }).annotate(NestedTools.CalledAgent, () => Agent.isAgent(agent) ? agent : agent()),
    handler: Effect.fnUntraced(function*(params, { toolCallId }) {
      const called = Agent.isAgent(agent) ? agent : agent()
      const running = run(called, name!, toolCallId ?? "", params, options)
      return yield* failureMode === "return" ? Effect.mapError(running, (error) => failed(called.name, error)) : running
    })
  }
}

interface AnyOptions {
  readonly name?: string | undefined
  readonly description?: string | undefined
  readonly parameters?: Schema.Constraint | undefined
  readonly success?: Schema.Constraint | undefined
  readonly failureMode?: Tool.FailureMode | undefined
  readonly needsApproval?: Tool.NeedsApproval<any> | undefined
  readonly session?: "none" | "own" | "parent" | undefined
  readonly parts?: "stream" | "none" | undefined
  readonly prompt?: ((params: any) => Prompt.RawInput) | undefined
  readonly result?: ((result: AgentRun.Result<any>) => unknown) | undefined
}

const run = Effect.fnUntraced(function*(
  agent: Agent.Any,
  tool: string,
  toolCallId: string,
  params: any,
  { parts, prompt = promptOf, result, session, success }: AnyOptions
) {
  const depth = (yield* Depth) + 1
  const maximum = yield* MaximumDepth
  if (depth > maximum) {
    return yield* AgentError.make(agent.name, new AgentError.DepthExceeded({ maximum }))
  }
  const parent = yield* Effect.contextWith((context: Context.Context<never>) =>
    Effect.succeed(Context.getOrUndefined(context, ParentRun))
  )
  const id = session === "own" && parent?.session !== undefined ? ownSession(parent.session, tool) : undefined
  const resumed = parent?.resumed(toolCallId)
  const input = resumed === undefined
    ? { prompt: session === "parent" ? afterConversation(parent, prompt(params)) : prompt(params), session: id }
    : yield* Nested.toInput(agent.name, resumed, id)
  const runId = yield* RunId.next
  const whole = Agent.stream(agent, { ...input, runId })
  const isKept = parent !== undefined && (resumed !== undefined || id !== undefined)
  const known = resumed === undefined ? undefined : input.prompt as Prompt.Prompt
  const stream = isKept ? Stream.provideService(whole, Origin.Origin, Origin.ofCaller(known, id)) : whole
  const seen = parent === undefined || parts === "none" ? stream : Stream.suspend(() => {
    const toParts = NestedTools.toAgentParts({ agent: agent.name, toolCallId, runId, parentRunId: parent.runId })
    return Stream.mapArrayEffect(stream, (parts) => Effect.as(parent.emit(toolCallId, toParts(parts)), parts))
  })
  const own = id === undefined ? seen : Stream.provideService(seen, OwnSession.OwnSession, id)
  const ended = yield* Effect.provideService(AgentRun.fold(own), Depth, depth)
  if (ended.approvals.length > 0 && parent !== undefined) {
    Origin.giveToCaller(ended)
    return yield* parent.wait(toolCallId, yield* Nested.toRequests(toolCallId, ended))
  }
  if (result !== undefined) return result(ended)
  const broken = success === undefined || ended.value !== undefined ? undefined : Promised.broken(ended)
  if (broken !== undefined) return yield* AgentError.make(agent.name, broken)
  return answerOf(ended, success)
})

/**
 * Returns the id of the session that an agent with `session: "own"` has beside its caller's. No run may be given it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const ownSession = (session: string, tool: string): string => OwnSession.toId(session, tool)

const promptOf = ({ prompt }: { readonly prompt: Prompt.RawInput }): Prompt.RawInput => prompt

/** The value of an agent with an `output`, as far as the tool's schema can be that of it; otherwise the text. */
const answerOf = ({ stopReason, text, value }: AgentRun.Result, success: Schema.Constraint | undefined): unknown => {
  const hasValue = success === undefined ? typeof value === "string" : value !== undefined || stopReason === "output"
  return hasValue ? value : text
}

const afterConversation = (parent: ParentRun["Service"] | undefined, prompt: Prompt.RawInput): Prompt.RawInput =>
  parent === undefined ? prompt : Prompt.concat(Prompt.fromMessages(withoutSystem(parent.messages())), prompt)

const withoutSystem = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> =>
  messages.filter((message) => message.role !== "system")

/**
 * Returns the toolkit of these agents: `Agent.make` takes it as it is. To have other
 * tools beside them, put the tools in a `Toolkit` and the handlers in its layer.
 *
 * @category combinators
 * @since 0.1.0
 */
export const toolkit = <const AgentTools extends ReadonlyArray<Any>>(
  ...agentTools: AgentTools
): Effect.Effect<Toolkit.WithHandler<ToolsOf<AgentTools>>> => {
  const kit = Toolkit.make(...agentTools.map(({ tool }) => tool))
  const handlers = Object.fromEntries(agentTools.map(({ handler, tool }) => [tool.name, handler]))
  // made once, so that a model can cache by its identity; a handler finds what it needs where it is called
  const resolved = Effect.runSync(Effect.flatMap(kit.toHandlers(handlers), (context) => Effect.provide(kit, context)))
  // the tools of the toolkit are those of the list
  const toolkit = Effect.succeed(resolved as unknown as Toolkit.WithHandler<ToolsOf<AgentTools>>)
  return NestedTools.remember(toolkit, kit.tools)
}

/**
 * The tools of a list of agents, by name.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ToolsOf<AgentTools extends ReadonlyArray<Any>> = {
  readonly [T in AgentTools[number]["tool"] as T["name"]]: T
}

// -----------------------------------------------------------------------------
// Failures
// -----------------------------------------------------------------------------

/**
 * Returns whether a value is the failure of an agent whose tool returns failures.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAgentFailed = (u: unknown): u is AgentFailed<unknown> => Predicate.isTagged(u, "AgentFailed")

const failed = <E>(agent: string, error: E): AgentFailed<E> => ({
  _tag: "AgentFailed",
  agent,
  message: Message.of(error, "The agent failed"),
  error
})

const Encoded = Schema.Struct({ agent: Schema.String, message: Schema.String })

const Failed: Schema.Codec<AgentFailed<unknown>, AgentFailedEncoded> = Encoded.pipe(Schema.decodeTo(
  Schema.declare(isAgentFailed),
  SchemaTransformation.transform({
    decode: ({ agent, message }): AgentFailed<unknown> => ({ _tag: "AgentFailed", agent, message, error: undefined }),
    encode: ({ agent, message }) => ({ agent, message })
  })
))

/** In failure mode `"error"` a failure is the run's own, and encoded only where `ToolFailure` returns it to the model. */
const failing = (agent: () => Agent.Any): Schema.Codec<unknown, AgentFailedEncoded> =>
  Encoded.pipe(Schema.decodeTo(
    Schema.declare((_): _ is unknown => true),
    SchemaTransformation.transform({
      decode: ({ agent, message }): unknown => ({ _tag: "AgentFailed", agent, message, error: undefined }),
      encode: (error) => ({ agent: agent().name, message: Message.of(error, "The agent failed") })
    })
  ))

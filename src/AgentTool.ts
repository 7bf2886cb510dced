/**
 * Agents as tools of other agents.
 *
 * `make` returns the tool of an agent together with its handler. Put the tool into a `Toolkit` beside others and the
 * handler into its layer; or use `toolkit` for a toolkit that has only agents. The agent runs in the fiber of the tool
 * call. Its usage counts in the total usage of the calling run, its span is a child of `execute_tool`, and interrupting
 * the caller ends the agent first.
 *
 * The stream of the caller contains the parts of the agent's run, each as an `agent-part` with the path of agent names.
 * The agent waits while nobody reads its parts, as a tool with preliminary results does.
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
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agent from "./Agent.ts"
import * as AgentError from "./AgentError.ts"
import type * as AgentRun from "./AgentRun.ts"
import * as Nested from "./internal/approval/nested.ts"
import * as Origin from "./internal/approval/origin.ts"
import * as Promised from "./internal/run/promised.ts"
import { Failed, failed, failing } from "./internal/tool/agentFailed.ts"
import * as Fold from "./internal/words/fold.ts"
import * as OwnSession from "./internal/words/ownSession.ts"
import { ParentRun } from "./internal/words/parentRun.ts"
import * as RunId from "./internal/words/runId.ts"
import * as CalledPrompt from "./internal/tool/calledPrompt.ts"
import * as ToolHandler from "./internal/tool/handler.ts"
import * as NestedTools from "./internal/tool/nested.ts"

/**
 * The default parameters of an agent's tool: a prompt.
 *
 * @category models
 * @since 0.1.0
 */
export const Parameters: Schema.Struct<{ readonly prompt: Schema.String }> = Schema.Struct({
  prompt: Schema.String.annotate({ description: "What the agent is asked, with everything it needs to know" })
})

/**
 * The failure of an agent, as the model reads it if the tool returns its failures.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentFailedEncoded {
  readonly agent: string
  readonly message: string
}

/**
 * The failure of an agent whose tool returns its failures. The model reads the name of the agent and the message.
 * `error` stays in the process, and is `undefined` in a failure that was decoded.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentFailed<out E> extends AgentFailedEncoded {
  readonly _tag: "AgentFailed"
  readonly error: E | undefined
}

/**
 * The failure of an agent's tool: the agent's own failure in failure mode `"error"`, and an `AgentFailed` that holds it
 * in failure mode `"return"`.
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
    /** The description that the model of the caller reads. Default: the description of the agent. */
    readonly description?: string | undefined
    /**
     * The schema of the tool's parameters. If it has no `prompt`, the option `prompt` has to make the agent's prompt
     * from the parameters. Default: `{ prompt: string }`.
     */
    readonly parameters?: Params | undefined
    /**
     * The schema of the tool's result. The agent's value has to have this type if the agent has an `output`; otherwise
     * the option `result` has to make it from the agent's result. Default: a string, which is the text of the agent's
     * last step, or the value of an agent whose `output` is a string.
     */
    readonly success?: Success | undefined
    /**
     * What happens when the agent fails. With `"error"` the run of the caller fails; with `"return"` the failure is a
     * result that the model reads. Default: `"error"`.
     */
    readonly failureMode?: Mode | undefined
    /** Whether a person has to approve a call of the agent. Default: no. */
    readonly needsApproval?: Tool.NeedsApproval<Params> | undefined
    /**
     * Which conversation the agent has. With `"none"` it sees only its prompt, and saves nothing. With `"own"` it has
     * its own session beside each session of the caller (`ownSession`), and remembers what it was asked there before. A
     * caller without a session gives it none. A run in its own session that waits for approvals is kept with the
     * caller's call until they are answered. With `"parent"` the agent sees the conversation of the caller up to the
     * call, and saves nothing; its answer is in the caller's session as the result of the call. Default: `"none"`.
     */
    readonly session?: "none" | "own" | "parent" | undefined
    /** Whether the agent's parts are in the stream of the caller. Default: `"stream"`, which means that they are. */
    readonly parts?: "stream" | "none" | undefined
  }
  & (Params["Type"] extends { readonly prompt: Prompt.RawInput } ? {
      /**
       * Makes the agent's prompt from the parameters of the tool and the conversation of the caller, without system
       * messages. Default: takes the parameter `prompt`.
       */
      readonly prompt?: ((params: Params["Type"], conversation: Prompt.Prompt) => Prompt.RawInput) | undefined
    }
    : { readonly prompt: (params: Params["Type"], conversation: Prompt.Prompt) => Prompt.RawInput })
  & (Answer<A> extends Success["Type"] ? {
      /** Makes the tool's result from the agent's result. Default: the value, or the text if there is no value. */
      readonly result?: ((result: AgentRun.Result<A>) => Success["Type"]) | undefined
    }
    : { readonly result: (result: AgentRun.Result<A>) => Success["Type"] })

/**
 * The answer of an agent: the `value` of its result, or its text if it has no `output`. While the agent's run waits for
 * an approval the tool call waits too, so an agent with `AgentOutput.orWaiting` always answers with a value.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Answer<A> = unknown extends A ? string : [A] extends [undefined] ? string : Exclude<A, undefined>

export {
  /**
   * @category guards
   * @since 0.1.0
   */
  isAgentFailed
} from "./internal/tool/agentFailed.ts"

/**
 * How deep agents may call agents. A deeper call fails with `AgentError` (`DepthExceeded`), in the way of its tool's
 * failure mode. Default: 8.
 *
 * @category references
 * @since 0.1.0
 */
export const MaximumDepth = Context.Reference<number>("effect-agents/AgentTool/MaximumDepth", {
  defaultValue: () => 8
})

/**
 * The depth of the current run: 0 for a run that no agent has called.
 *
 * @category references
 * @since 0.1.0
 */
export const Depth = Context.Reference<number>("effect-agents/AgentTool/Depth", {
  defaultValue: () => 0
})

/**
 * Creates the tool of an agent and its handler.
 *
 * **Details**
 *
 * The handler works outside of a run too; nobody sees the agent's parts then.
 *
 * An agent that has itself as a tool is given as a function. Its type has to be written down, because it cannot be
 * inferred from itself.
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
  const handlerOf = (name: string): Any["handler"] => {
    const handler: Any["handler"] = Effect.fnUntraced(function*(params, { toolCallId }) {
      const called = Agent.isAgent(agent) ? agent : agent()
      const running = run(called, name, toolCallId ?? "", params, options)
      return yield* failureMode === "return" ? Effect.mapError(running, (error) => failed(called.name, error)) : running
    })
    renamed.set(handler, handlerOf)
    return handler
  }
  return {
    tool: Tool.make(name!, {
      description,
      parameters,
      success,
      failure: failureMode === "return" ? Failed : failing(() => Agent.isAgent(agent) ? agent : agent()),
      failureMode: failureMode ?? "error",
      needsApproval: options.needsApproval
    }).annotateMerge(NestedTools.annotations(() => Agent.isAgent(agent) ? agent : agent(), options)),
    handler: handlerOf(name!)
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
  readonly prompt?: ((params: any, conversation: Prompt.Prompt) => Prompt.RawInput) | undefined
  readonly result?: ((result: AgentRun.Result<any>) => unknown) | undefined
}

const run = Effect.fnUntraced(function*(
  agent: Agent.Any,
  tool: string,
  toolCallId: string,
  params: any,
  { parts, prompt, result, session, success }: AnyOptions
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
    ? { prompt: CalledPrompt.make(parent, params, { prompt, session }), session: id }
    : yield* Nested.toInput(agent.name, resumed, id)
  const runId = yield* RunId.next
  const whole = Agent.stream(agent, { ...input, runId })
  const isKept = parent !== undefined && (resumed !== undefined || id !== undefined)
  const known = resumed === undefined ? undefined : input.prompt as Prompt.Prompt
  const stream = isKept ? Stream.provideService(whole, Origin.Origin, Origin.ofCaller(known, id)) : whole
  const own = id === undefined ? stream : Stream.provideService(stream, OwnSession.OwnSession, id)
  const toParts = parent === undefined || parts === "none"
    ? undefined
    : NestedTools.toAgentParts({ agent: agent.name, toolCallId, runId, parentRunId: parent.runId })
  const tell = toParts && ((parts: ReadonlyArray<AgentRun.Part>) => parent!.emit(toolCallId, toParts(parts)))
  const ended = yield* Effect.provideService(Fold.foldOf(() => own, tell), Depth, depth)
  if (ended.approvals.length > 0 && parent !== undefined) {
    Origin.giveToCaller(ended)
    return yield* parent.wait(toolCallId, yield* Nested.toRequests(toolCallId, ended))
  }
  if (result !== undefined) return result(ended)
  const broken = success === undefined || ended.value !== undefined ? undefined : Promised.broken(ended)
  if (broken !== undefined) return yield* AgentError.make(agent.name, broken)
  return Promised.answerOf(ended, success)
})

/**
 * Returns the id of the session that an agent with `session: "own"` has beside its caller's session. Starting a run
 * with this id is refused.
 *
 * @category accessors
 * @since 0.1.0
 */
export const ownSession = (session: string, tool: string): string => OwnSession.toId(session, tool)

/**
 * Creates a toolkit of these agents, ready for `Agent.make` and `Agent.program`. To combine agents with other tools, put
 * the tools in a `Toolkit` and the handlers in its layer.
 *
 * **Details**
 *
 * The keys of a record are the names of the tools. A value of the record is an `AgentTool`, or an agent that answers with a
 * text, whose tool is made as `make` does it without options.
 *
 * @category combinators
 * @since 0.1.0
 */
export const toolkit: {
  <const AgentTools extends ReadonlyArray<Any>>(
    ...agentTools: AgentTools
  ): Effect.Effect<Toolkit.WithHandler<ToolsOf<AgentTools>>>
  <const Members extends Readonly<Record<string, Agent.Any | Any>>>(
    members: Members & Telling<Members>
  ): Effect.Effect<Toolkit.WithHandler<ToolsOfMembers<Members>>>
} = (...given: ReadonlyArray<Any | Readonly<Record<string, Agent.Any | Any>>>): Effect.Effect<any> => {
  const agentTools = given.flatMap((one) =>
    isAgentTool(one) ? one : Object.entries(one).map(([name, member]) => toMember(name, member))
  )
  const kit = Toolkit.make(...agentTools.map(({ tool }) => tool))
  const handlers = Object.fromEntries(agentTools.map(({ handler, tool }) => [tool.name, handler]))
  // created once, because a model caches by the identity of a toolkit; a handler finds its services where it is called
  const resolved = Effect.runSync(ToolHandler.withHandlers(kit, handlers))
  return NestedTools.remember(Effect.succeed(resolved), kit.tools)
}

const isAgentTool = (u: Any | Readonly<Record<string, Agent.Any | Any>>): u is Any =>
  Predicate.hasProperty(u, "handler") && Predicate.isFunction(u.handler)

/** How the handlers of `make` are made for another name of their tool. */
const renamed = new WeakMap<Any["handler"], (name: string) => Any["handler"]>()

const toMember = (name: string, member: Agent.Any | Any): Any => {
  if (Agent.isAgent(member)) return make(member, { name })
  const { handler, tool } = member
  if (tool.name === name) return member
  const { failureSchema: failure, parametersSchema: parameters, successSchema: success } = tool
  const copy = Tool.make(name, { ...tool, parameters, success, failure }).annotateMerge(tool.annotations)
  return { tool: copy, handler: renamed.get(handler)?.(name) ?? handler }
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

/**
 * The tools of a record of agents and their tools, by its keys.
 *
 * @category utility types
 * @since 0.1.0
 */
export type ToolsOfMembers<Members> = {
  readonly [Name in keyof Members & string]: Extract<MemberTool<Name, Members[Name]>, Tool.Any>
}

type MemberTool<Name extends string, Member> = Member extends {
  readonly tool: Tool.Tool<any, infer Config, infer R>
} ? Tool.Tool<Name, Config, R>
  : Member extends Agent.Agent<any, infer E, infer R, any, any> ?
    ToolOf<Name, typeof Parameters, Schema.String, "error", E, R>
  : never

/** An agent whose answer is no text says with `make` and its `success` what its tool answers. */
type Telling<Members> = {
  readonly [Name in keyof Members]: Members[Name] extends Agent.Agent<any, any, any, infer A, any> ?
    Answer<A> extends string ? unknown : Any
    : unknown
}

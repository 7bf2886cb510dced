/**
 * Tools that run in the client: a page that changes its colors, an editor that opens a file.
 *
 * The model calls such a tool like any other. The run does not run the call: its other calls run, and the run completes
 * with `"approval-required"`. The call is among the `approvals` of the result, with `runsIn: "client"`. The client runs it
 * and sends the result with its next request, and a new run continues with it (`Approval.giveResult`).
 *
 * The server declares tools in the toolkit of an agent (`make`), or a request declares them for its own run
 * (`Declaration`, `withDeclared`). In both cases the session says that a call waits for a client, since the moment when
 * it was made. A client can give results for these calls alone: no result approves, runs or replaces a call of another
 * tool, whatever the request declares. Middleware, guardrails and telemetry see the result like that of any tool.
 *
 * **Example** (A page that paints itself)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Toolkit } from "effect/ai"
 * import { Agent, Approval } from "effect-agents"
 * import { ClientTools } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const SetColor = ClientTools.make("set_color", {
 *   description: "Changes the color of the page",
 *   parameters: Schema.Struct({ color: Schema.String }),
 *   success: Schema.Struct({ before: Schema.String })
 * })
 * const toolkit = Toolkit.make(SetColor)
 * const handlers = toolkit.toLayer({ set_color: ClientTools.handler })
 *
 * const painter = Agent.make("painter", { toolkit })
 *
 * const program = Effect.gen(function*() {
 *   const asked = yield* Agent.run(painter, { prompt: "Blue, please" })
 *   for (const { params, tool } of asked.approvals) yield* Console.log(tool, JSON.stringify(params))
 *
 *   // the client has painted, and says how the page was before
 *   const answers = asked.approvals.map((approval) => Approval.giveResult(approval, { before: "white" }))
 *   const done = yield* Agent.resume(painter, { result: asked }, answers)
 *   yield* Console.log(done.text)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "set_color", params: { color: "blue" } }),
 *   ScriptedModel.text("It is blue now.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, [model, handlers]))
 * // => set_color {"color":"blue"}
 * // => It is blue now.
 * ```
 *
 * @since 0.1.0
 */
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as JsonSchema from "effect/JsonSchema"
import type * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Agent from "../Agent.ts"
import * as AgentError from "../AgentError.ts"
import type * as Approval from "../Approval.ts"
import * as ContextProvider from "../ContextProvider.ts"
import * as ToolCodec from "../internal/model/toolCodec.ts"
import * as InClient from "../internal/tool/clientTool.ts"
import * as Json from "../internal/words/json.ts"
import type * as AgentApi from "./AgentApi.ts"
import { failed } from "./internal/failures.ts"

// -----------------------------------------------------------------------------
// Tools that the server declares
// -----------------------------------------------------------------------------

/**
 * A tool that runs in the client. A failure in the client is a text that the model reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientTool<
  Name extends string,
  Parameters extends Schema.Constraint,
  Success extends Schema.Constraint
> extends
  Tool.Tool<Name, {
    readonly parameters: Parameters
    readonly success: Success
    readonly failure: typeof Schema.String
    readonly failureMode: "return"
  }>
{}

/**
 * Creates a tool that runs in the client. Put it into the toolkit of an agent, with `handler` as its handler.
 *
 * The parameters are decoded before the client sees the call. The result of the client is decoded before the run that
 * continues begins; a result that does not fit `success` is refused, and the call goes on waiting.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  const Name extends string,
  Parameters extends Schema.Constraint = typeof Tool.EmptyParams,
  Success extends Schema.Constraint = typeof Schema.Json
>(name: Name, options?: {
  /** What the model reads about the tool. Default: nothing. */
  readonly description?: string | undefined
  /** The parameters. Default: none. */
  readonly parameters?: Parameters | undefined
  /** The result of the client. Default: any JSON. */
  readonly success?: Success | undefined
}): ClientTool<Name, Parameters, Success> =>
  // the defaults of the type parameters are those of the options
  Tool.make(name, {
    description: options?.description,
    parameters: options?.parameters ?? Tool.EmptyParams,
    success: options?.success ?? Schema.Json,
    failure: Schema.String,
    failureMode: "return",
    needsApproval: true
  }).annotate(InClient.ClientTool, "client") as unknown as ClientTool<Name, Parameters, Success>

/**
 * The handler of every tool that runs in the client. A run never calls it. Whoever calls the tool in another way gets a
 * defect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const handler = (_params: unknown): Effect.Effect<never> =>
  Effect.die(new Error("A tool that runs in the client has no handler here: only the run of an agent can call it"))

/**
 * Returns whether a tool runs in the client.
 *
 * @category guards
 * @since 0.1.0
 */
export const isClientTool: (tool: Tool.Any) => boolean = InClient.isClientTool

// -----------------------------------------------------------------------------
// Tools that a request declares
// -----------------------------------------------------------------------------

/**
 * The largest number of tools that a request may declare.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumTools = 128

/**
 * The longest description of a tool, in UTF-16 units.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumDescription = 10_000

/**
 * The longest JSON schema of a tool, in UTF-16 units of its JSON.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumSchema = 50_000

/** A JSON schema may be nested as deeply as this. Providers allow fewer levels. */
const maximumDepth = 64

const Parameters = Schema.Record(Schema.String, Schema.Json).check(
  Schema.makeFilter((schema) => (schema.type ?? "object") === "object", {
    expected: "a JSON schema of an object"
  }),
  Schema.makeFilter((schema) => JSON.stringify(schema).length <= maximumSchema, {
    expected: `a JSON schema of at most ${maximumSchema} characters`
  })
)

/** Checked first, because every other check walks over the value. */
const Shallow = Schema.Unknown.check(
  Schema.makeFilter((u) => !Json.isDeeper(u, maximumDepth), {
    expected: `JSON of at most ${maximumDepth} levels`
  })
)

/**
 * Schema for a tool that a request declares: a name of letters, digits, `_` and `-`, what the model reads about it, and
 * the JSON schema of its parameters. The server does not check parameters with a schema that a client has sent; the client
 * does.
 *
 * The model reads name, description and schema. A client that can send prompts can say nothing more to it with them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Declaration = Schema.Struct({
  name: Schema.String.check(Schema.isPattern(/^(?!__proto__$)[A-Za-z0-9_-]{1,64}$/)),
  description: Schema.optional(Schema.String.check(Schema.isMaxLength(maximumDescription))),
  parameters: Schema.optional(Shallow.pipe(Schema.decodeTo(Parameters)))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Declaration = typeof Declaration.Type

/**
 * Schema for the tools that a request declares. No two have the same name.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Declarations = Schema.Array(Declaration).check(
  Schema.isMaxLength(maximumTools),
  Schema.makeFilter((tools) => new Set(tools.map(({ name }) => name)).size === tools.length, {
    expected: "tools with different names"
  })
)

/**
 * Returns the agent with the tools that a request declares, for the run of that request. A declaration of a tool that the
 * agent itself has declared for its clients is left out. A tool with the name of another one of the agent is refused with
 * `"tool-name-taken"`; one whose schema no model can be offered, with `"invalid-tool"`.
 *
 * The tools are those of the agent itself: the members of an orchestration and other programs do not get them.
 *
 * A name that only a run knows, such as that of a tool of a context provider, is refused when the run begins (see
 * `refusalOf`).
 *
 * @category combinators
 * @since 0.1.0
 */
export const withDeclared = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent.Agent<Tools, E, R, A, P>,
  declarations: ReadonlyArray<Declaration>
): Result.Result<Agent.Agent<Tools, E, R, A, P>, AgentApi.RunFailed> => {
  const own: Readonly<Record<string, Tool.Any>> = Agent.tools(self) ?? {}
  const isKnown = ({ name }: Declaration) => Object.hasOwn(own, name) && isClientTool(own[name])
  const added = declarations.filter((declaration) => !isKnown(declaration))
  if (added.length === 0) return Result.succeed(self)
  const taken = added.find(({ name }) => Object.hasOwn(own, name))
  if (taken !== undefined) return Result.fail(nameTaken(taken.name))
  const tools = added.map(toTool)
  const refusal = ToolCodec.findRefusal(tools)
  if (refusal !== undefined) {
    return Result.fail(failed("invalid-tool", 400, false, `The tool \`${refusal.tool}\` cannot be offered to a model.`))
  }
  return Result.succeed(Agent.withProvider(self, provider(tools)))
}

const toTool = ({ description, name, parameters }: Declaration): Tool.Any =>
  Tool.dynamic(name, {
    description,
    // the checks have left a JSON schema
    parameters: { properties: {}, ...parameters, type: "object" } as JsonSchema.JsonSchema,
    success: Schema.Json,
    failure: Schema.String,
    failureMode: "return",
    needsApproval: true
  }).annotate(InClient.ClientTool, "client")

/** No other provider has this name. */
const providerName = "the tools of the client"

const provider = (tools: ReadonlyArray<Tool.Any>): ContextProvider.ContextProvider => {
  const toolkit: Toolkit.Toolkit<Record<string, any>> = Toolkit.make(...tools)
  const handlers = toolkit.toLayer(Object.fromEntries(tools.map(({ name }) => [name, handler])))
  return ContextProvider.make(providerName, {
    beforeRun: () => Effect.map(Effect.provide(toolkit, handlers as Layer.Layer<any>), (toolkit) => ({ toolkit }))
  }) as ContextProvider.ContextProvider
}

/**
 * Returns the refusal for a run that has failed because a declared tool has the name of another tool of the run, and
 * `undefined` for every other cause. A wire tells the client that its request was wrong.
 *
 * @category conversions
 * @since 0.1.0
 */
export const refusalOf = (cause: Cause.Cause<unknown>): AgentApi.RunFailed | undefined => {
  for (const reason of cause.reasons) {
    if (!Cause.isFailReason(reason) || !AgentError.isAgentError(reason.error)) continue
    const problem = reason.error.reason
    if (problem._tag === "DuplicateTool" && problem.provider === providerName) return nameTaken(problem.tool)
  }
  return undefined
}

const nameTaken = (name: string): AgentApi.RunFailed =>
  failed("tool-name-taken", 400, false, `The agent has a tool \`${name}\` itself.`)

// -----------------------------------------------------------------------------
// Results
// -----------------------------------------------------------------------------

/**
 * What a client says about a call: the id of the call or of its approval, and either the result or the text of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export interface Returned {
  readonly id: string
  /** The result of the tool. Default: `null`. */
  readonly result?: Schema.Json | undefined
  /** Why the tool has failed in the client. Default: it has not. */
  readonly failure?: string | undefined
}

/**
 * Returns the calls that wait for a client, among those that a session or a result waits for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const waiting = (approvals: ReadonlyArray<Approval.Approval>): ReadonlyArray<Approval.Approval> =>
  approvals.filter(({ runsIn }) => runsIn === "client")

/**
 * Returns the answers to the calls that wait for a client. `approvals` are what the stored session waits for. What a
 * client says about a call that does not wait for it is refused with `"call-unknown"`, a second time with
 * `"call-answered"`, and an id that several waiting calls have with `"call-ambiguous"`. Use the id of the approval then.
 *
 * @category conversions
 * @since 0.1.0
 */
export const answersTo = (
  approvals: ReadonlyArray<Approval.Approval>,
  returned: ReadonlyArray<Returned>
): Result.Result<ReadonlyArray<AgentApi.Answer>, AgentApi.RunFailed> => {
  const open = waiting(approvals)
  const answers = new Map<string, AgentApi.Answer>()
  for (const { failure, id, result } of returned) {
    const byApproval = open.filter(({ approvalId }) => approvalId === id)
    const [found, other] = byApproval.length > 0 ? byApproval : open.filter(({ toolCallId }) => toolCallId === id)
    if (found === undefined) return Result.fail(failed("call-unknown", 404, false, "No call waits for this result."))
    if (other !== undefined) {
      return Result.fail(failed("call-ambiguous", 409, false, "More than one call waits for this result."))
    }
    const { approvalId } = found
    if (answers.has(approvalId)) {
      return Result.fail(failed("call-answered", 409, false, "The call has a result already."))
    }
    answers.set(approvalId, {
      approvalId,
      approved: true,
      ...Predicate.isString(failure) ? { failure } : { result: result ?? null }
    })
  }
  return Result.succeed([...answers.values()])
}

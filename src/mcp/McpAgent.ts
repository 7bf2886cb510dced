/**
 * Agents as tools of an MCP server, so that other programs can call them: editors, desktop assistants, other agents.
 *
 * `McpAgent.layer(agent)` registers the agent with effect's `McpServer`. Give it to the layer of a transport
 * (`McpServer.layerStdio`, `McpServer.layerHttp`) as `registrations`; several agents are merged layers.
 *
 * - **The call** has a `prompt`, and with the option `owner` a `session` too. Its answer is the text of the run, the files
 *   of its last message, and links to the pages that are its sources. With the option `output` it is also the
 *   `structuredContent`, whose schema clients read. `_meta["effect-agents/stop-reason"]` says why the run stopped.
 *   Reasoning, usage, parameters and results of tools, and the runs of other agents stay on the server.
 * - **Failures** are results with `isError`. The client reads the public description of `AgentError.describe` and its code
 *   (`_meta["effect-agents/code"]`), and nothing of the failure itself.
 * - **Cancelling** the request interrupts the run, and so does a client that ends its session or its connection.
 * - **Progress**: a client that asks for it is told about tools that are called, steps that have ended, and, from time to
 *   time, the end of the text so far. The run never waits for the client.
 * - **Approvals** are asked of the person behind the client, if the client has forms (elicitation): in the middle of the
 *   call where the protocol has sessions, and otherwise with an answer that requires input (`InputRequired`). The client
 *   then holds a random id; the run that waits is kept in this process for an hour. Only a clear yes lets a call run. The
 *   option `unanswered` says what happens if nobody can be asked.
 * - **Sessions** belong to the owner that your own middleware names. A client can name a session, but not its owner. The
 *   agent needs `SessionHistory` to remember anything.
 * - **Local servers**: effect's HTTP layer refuses requests of web pages (`allowedOrigins`). `LocalServer` of
 *   `effect-agents/server` also checks the host and a token.
 *
 * **Example** (An agent that a client calls)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { McpProtocol, McpTest } from "effect/ai"
 * import { Agent } from "effect-agents"
 * import { McpAgent } from "effect-agents/mcp"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Agent.make("assistant", { description: "Knows the mountains of Norway" })
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* McpTest.makeClient(McpAgent.layer(assistant), { protocols: [McpProtocol.v2025_11_25] })
 *   const { content } = yield* client.callTool({ name: "assistant", arguments: { prompt: "Which is the highest?" } })
 *   for (const block of content) if (block.type === "text") yield* Console.log(block.text)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Galdhøpiggen.")])
 *
 * Effect.runPromise(Effect.provide(Effect.scoped(program), model))
 * // => Galdhøpiggen.
 * ```
 *
 * **Example** (An agent behind HTTP, with sessions of its users)
 *
 * ```ts no-run
 * import { Context, Effect, Layer } from "effect"
 * import { McpProtocol, McpServer } from "effect/ai"
 * import { HttpRouter, HttpServerRequest } from "effect/http"
 * import { Agent, SessionHistory } from "effect-agents"
 * import { McpAgent } from "effect-agents/mcp"
 *
 * class User extends Context.Service<User, { readonly id: string }>()("User") {}
 *
 * declare const userOf: (token: string | undefined) => Effect.Effect<string>
 *
 * const Authenticated = HttpRouter.middleware<{ provides: User }>()(Effect.succeed((response) =>
 *   Effect.gen(function*() {
 *     const { headers } = yield* HttpServerRequest.HttpServerRequest
 *     return yield* Effect.provideService(response, User, { id: yield* userOf(headers.authorization) })
 *   })
 * ))
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * export const routes = McpServer.layerHttp({
 *   name: "agents",
 *   version: "1.0.0",
 *   path: "/mcp",
 *   protocols: [McpProtocol.v2025_11_25, McpProtocol.v2026_07_28],
 *   registrations: McpAgent.layer(assistant, { owner: Effect.map(User, ({ id }) => id) })
 * }).pipe(Layer.provide(Authenticated.layer))
 * ```
 *
 * @since 0.1.0
 */

import * as McpSchema from "effect/ai/McpSchema"
import * as McpServer from "effect/ai/McpServer"
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as JsonSchema from "effect/JsonSchema"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Agent from "../Agent.ts"
import type * as AgentOutput from "../AgentOutput.ts"
import * as AgentRun from "../AgentRun.ts"
import * as Approval from "../Approval.ts"
import * as ToolCodec from "../internal/model/toolCodec.ts"
import * as Parts from "../internal/wire/parts.ts"
import * as Sessions from "../server/internal/sessions.ts"
import * as Answers from "./internal/answers.ts"
import * as Asking from "./internal/asking.ts"
import * as Names from "./internal/names.ts"
import * as Progress from "./internal/progress.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The default parameters of the tool: a prompt of at most 1,000,000 UTF-16 units.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Parameters: Schema.Struct<{ readonly prompt: Schema.NonEmptyString }> = Schema.Struct({
  prompt: Schema.NonEmptyString.check(Schema.isMaxLength(1_000_000)).annotate({
    description: "What the agent is asked, with everything it needs to know"
  })
})

/**
 * How an agent becomes a tool of a server.
 *
 * @category models
 * @since 0.1.0
 */
export type Options<Params extends Schema.Constraint, A, I, RD, RE, RO> =
  & {
    /** The name of the tool. Default: that of the agent, with `_` in the place of characters that names do not have. */
    readonly name?: string | undefined
    /** The title of the tool, for people. Default: none. */
    readonly title?: string | undefined
    /** The description that models of clients read. Default: that of the agent. */
    readonly description?: string | undefined
    /** The schema of the tool's parameters: an object, without a `session` if there is an `owner`. Default: `Parameters`. */
    readonly parameters?: Params | undefined
    /** The output of the agent, which becomes structured content. Default: none, so the answer is text. */
    readonly output?: AgentOutput.AgentOutput<A, I, RD> | Schema.Codec<A, I, RD, RE> | undefined
    /**
     * Who sends a request, from services of the request. Sessions belong to their owner; for everybody else they do not
     * exist. Default: nobody is known, so there are no sessions.
     */
    readonly owner?: Effect.Effect<string, never, RO> | undefined
    /**
     * What happens to a call that needs an approval when the client has no forms: it is denied and the run goes on, or
     * the run fails. Default: `"deny"`.
     */
    readonly unanswered?: "deny" | "fail" | undefined
    /** Whether the tool only reads, and other hints for clients. Default: nothing is known. */
    readonly annotations?: Partial<McpSchema.ToolAnnotations> | undefined
  }
  & (Params["Type"] extends { readonly prompt: Prompt.RawInput } ? {
      /** Makes the agent's prompt from the parameters. Default: takes the parameter `prompt`. */
      readonly prompt?: ((params: Params["Type"]) => Prompt.RawInput) | undefined
    }
    : { readonly prompt: (params: Params["Type"]) => Prompt.RawInput })

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Layer that registers an agent as a tool. The services of the agent are those of the layer, and those of `owner` come
 * with each request.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  Params extends Schema.Constraint = typeof Parameters,
  I = unknown,
  RD = never,
  RE = never,
  RO = never
>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  ...[options]: {} extends Options<Params, A, I, RD, RE, RO> ? [options?: Options<Params, A, I, RD, RE, RO>]
    : [options: Options<Params, A, I, RD, RE, RO>]
): Layer.Layer<
  never,
  never,
  | McpServer.McpServer
  | Exclude<R | RE | Params["DecodingServices"], Scope.Scope>
  | McpServer.McpRequest.From<"Requires", RO>
> => register(agent, options ?? {}) as Layer.Layer<never, never, any>

interface AnyOptions extends Omit<Options<any, any, any, any, any, any>, "prompt"> {
  readonly prompt?: ((params: any) => Prompt.RawInput) | undefined
}

const register = (agent: Agent.Any, options: AnyOptions) =>
  Layer.effectDiscard(Effect.gen(function*() {
    const server = yield* McpServer.McpServer
    const services = yield* Effect.context<never>()
    const { annotations, description = agent.description, output, owner, parameters = Parameters, title } = options
    const name = options.name ?? Names.toAccepted([{ name: agent.name, identity: agent.name }])[0]
    const structured = output === undefined ? undefined : Answers.structuredOf(Parts.schemaOf(output))
    const codec = ToolCodec.of(Tool.make(name, { parameters }))
    if (codec.refusal !== undefined) {
      return yield* Effect.die(new Error(`The tool \`${name}\` cannot be offered: ${codec.refusal}`))
    }
    if (owner !== undefined && Predicate.hasProperty(codec.jsonSchema.properties, "session")) {
      return yield* Effect.die(new Error(`The tool \`${name}\` cannot have a parameter \`session\` and an \`owner\``))
    }
    const tool = new McpSchema.Tool({
      name,
      ...title !== undefined && { title },
      ...description !== undefined && { description },
      inputSchema: (owner === undefined ? codec.jsonSchema : withSession(codec.jsonSchema)) as McpSchema.ToolJson,
      ...structured !== undefined && { outputSchema: structured.outputSchema },
      ...annotations !== undefined && { annotations: McpSchema.ToolAnnotations.make(annotations) }
    })
    yield* server.addTool({
      tool,
      annotations: Context.empty(),
      services,
      // the services of the agent are those above, and the transport brings those of the request
      handle: makeHandle({
        agent,
        options,
        server,
        structured,
        decode: codec.decodeParams,
        waiting: new Asking.WaitingRuns()
      }) as Handle
    })
  }))

type Handle = Parameters<McpServer.McpServer["Service"]["addTool"]>[0]["handle"]

const SessionName = Schema.NonEmptyString.check(Schema.isMaxLength(100)).annotate({
  description: "The conversation that this call continues or begins. Without it the agent remembers nothing"
})

const withSession = (schema: JsonSchema.JsonSchema): JsonSchema.JsonSchema => ({
  ...schema,
  properties: {
    ...schema.properties as JsonSchema.JsonSchema | undefined,
    session: Schema.toJsonSchemaDocument(SessionName).schema
  }
})

const decodeSession = Schema.decodeUnknownEffect(Schema.Struct({ session: Schema.optionalKey(SessionName) }))

/** A denied model may ask for the same call for ever. */
const maximumRounds = 16

interface Registration {
  readonly agent: Agent.Any
  readonly options: AnyOptions
  readonly decode: (params: unknown) => Effect.Effect<any, Schema.SchemaError>
  readonly server: McpServer.McpServer["Service"]
  readonly structured: Answers.Structured | undefined
  readonly waiting: Asking.WaitingRuns
}

/** A run that is about to begin or to go on, and how often it has asked before. */
interface Started {
  readonly rounds: number
  readonly parts: Stream.Stream<AgentRun.Part, unknown, unknown>
}

const makeHandle = ({ agent, decode, options, server, structured, waiting }: Registration) => {
  const { owner, prompt: toPrompt, unanswered = "deny" } = options

  const begin = Effect.fnUntraced(function*(payload: Record<string, unknown>, owned: string | undefined) {
    if (owned === undefined) return started(yield* decode(payload), undefined)
    const { session: _, ...rest } = payload
    const { session } = yield* decodeSession(payload)
    return started(yield* decode(rest), session === undefined ? undefined : sessionId(owned, session))
  }, Effect.mapError(({ message }) => new McpSchema.InvalidParams({ message })))

  const started = (params: any, session: string | undefined): Started => ({
    rounds: 0,
    parts: Stream.suspend(() =>
      agent.stream({ prompt: toPrompt === undefined ? params.prompt : toPrompt(params), session })
    )
  })

  const goOn = Effect.fnUntraced(function*(
    requestState: string,
    { inputResponses }: McpSchema.McpRequestContext["Service"],
    owned: string | undefined
  ) {
    const waited = yield* waiting.take(requestState, owned)
    if (waited === undefined) {
      return yield* new McpSchema.InvalidParams({ message: "Nothing waits for this answer, or it was given before" })
    }
    const { result, rounds } = waited
    const answers = Asking.answersOf(agent.name, result.approvals, inputResponses)
    const parts: Started["parts"] = Agent.resumeStream(agent, { result }, answers)
    return { rounds, parts }
  })

  return Effect.fnUntraced(function*(payload: Record<string, unknown> | undefined) {
    const request = yield* McpSchema.McpRequestContext
    const owned: string | undefined = owner === undefined ? undefined : yield* owner
    const { requestState } = request
    const first = yield* (requestState === undefined
      ? begin(payload ?? {}, owned)
      : goOn(requestState, request, owned))
    const progress = yield* Progress.make(server, request)
    const sources = new Answers.Sources()
    const fold = (parts: Started["parts"]) =>
      AgentRun.fold(Stream.mapArray(parts, (parts) => {
        progress.see(parts)
        sources.see(parts)
        return parts
      }))

    const work = Effect.gen(function*() {
      let result = yield* fold(first.parts)
      for (let round = first.rounds; result.approvals.length > 0 && round < maximumRounds; round++) {
        const { approvals } = result
        let answers: ReadonlyArray<Approval.Answer> | undefined
        if (Asking.canAsk(request)) {
          answers = yield* Asking.askNow(agent.name, approvals)
          if (answers === undefined && Asking.isAskable(agent.name, approvals)) {
            const id = yield* waiting.keep({ owner: owned, result, rounds: round + 1 })
            return Asking.askLater(agent.name, approvals, id)
          }
        } else if (unanswered === "deny") {
          answers = approvals.map((approval) => Approval.deny(approval, "Nobody can be asked"))
        } else break
        answers ??= Asking.answersOf(agent.name, approvals, undefined)
        result = yield* fold(Agent.resumeStream(agent, { result }, answers))
      }
      if (result.approvals.length > 0) return Answers.toUnanswered(result)
      return yield* Answers.toAnswer(agent.name, result, structured, sources)
    })

    return yield* work.pipe(
      Effect.catchCause((cause) => Effect.as(logDefects(agent.name, cause), Answers.toFailure(cause))),
      Effect.tap(progress.end)
    )
  }, Effect.scoped)
}

/** A client reads nothing of a defect, and nobody else would see it. */
const logDefects = (agent: string, cause: Cause.Cause<unknown>): Effect.Effect<void> =>
  Cause.hasDies(cause) ? Effect.logError(`A run of the agent \`${agent}\` has died`, cause) : Effect.void

/**
 * Returns the id of the session that an owner calls by this name. It is the same as in `effect-agents/server`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const sessionId = (owner: string, session: string): string => Sessions.prefixOf(owner) + session

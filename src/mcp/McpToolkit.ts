/**
 * The tools of MCP servers, for agents.
 *
 * A server is a layer of effect's `McpClient`: `McpClient.layerStdio` starts a process, `McpClient.layerHttp` speaks to
 * an address. `McpToolkit.layer` takes a record of such layers, and `McpToolkit.toolkit` is the toolkit of an agent.
 *
 * - **Failures are results.** What a server calls an error (`isError`), arguments that it refuses, and a server that is
 *   lost, does not answer in time or sends something else than MCP: the model reads it as a `ToolFailure`, and the run
 *   goes on. Only a server whose tools cannot be listed fails a run, with `ServerUnavailable`.
 * - **Names** are `<server>__<tool>`, in the form that providers accept: what is not a letter, a digit, `_` or `-`
 *   becomes `_`, and a name that is too long or not the only one ends with a hash. They depend on the server and the
 *   tool, and not on the order of anything.
 * - **Approvals**: a call needs one unless its server says that the tool only reads. A tool without annotations is one
 *   that may destroy something; so says the protocol. Annotations are claims of the server: with a server that you do
 *   not trust, decide with `needsApproval` by name.
 * - **Results**: texts, links to resources and texts of resources are text. Images, audio and other files of a result
 *   reach the model as files, if its provider takes files in results. The `structuredContent` of a result is in
 *   `Content`; it is not checked against the tool's `outputSchema`. What is longer than `maximumText` and `maximumBytes`
 *   is left out, and a note says so.
 * - **Connections** are opened by the first run that needs them, are shared by all runs, and close with the scope of the
 *   layer. One that was lost is opened again by the next listing or call. A listing, and a call of a tool that is
 *   read-only or idempotent, is then made again, once. Another call is not: the model reads that nobody knows whether it
 *   had an effect.
 * - **Interrupting** a run, a `timeout` and `ToolLoop.ToolTimeout` cancel the request on the wire.
 * - **Listing**: each run lists the tools before its first model call, so that it sees what has changed (`listFor`). The
 *   toolkit of an unchanged list is the same object. A tool that no model can be offered is left out.
 * - **Changes**: a list that is used for a time is asked for again when its server says that it has changed
 *   (`tools/list_changed`). This is heard where the `HttpClient`, or the spawner of processes, is provided to the layer of
 *   the toolkit and not to that of a client. A server on stdio of the revision without sessions is not heard.
 *
 * Effect's client takes no notifications, so the progress of a call is not seen. It offers servers neither sampling nor
 * elicitation nor roots, and declines their requests for them. It does no OAuth: a server that asks for it is
 * `ServerUnavailable`, whose cause has the status and the challenge.
 *
 * **Example** (The tools of a server that is a program)
 *
 * ```ts no-run
 * import * as NodeServices from "@effect/platform-node/NodeServices"
 * import { Effect, Layer } from "effect"
 * import { McpClient, McpProtocol } from "effect/ai"
 * import { ChildProcess } from "effect/process"
 * import { Agent } from "effect-agents"
 * import { McpToolkit } from "effect-agents/mcp"
 *
 * const files = McpClient.layerStdio({
 *   name: "my-app",
 *   version: "1.0.0",
 *   protocol: McpProtocol.v2025_11_25,
 *   command: ChildProcess.make("npx", ["-y", "@modelcontextprotocol/server-filesystem", "/data"])
 * })
 *
 * const assistant = Agent.make("assistant", { toolkit: McpToolkit.toolkit })
 *
 * const tools = McpToolkit.layer({ files }).pipe(Layer.provide(NodeServices.layer))
 *
 * export const program = Effect.provide(Agent.run(assistant, { prompt: "What is in /data?" }), tools)
 * ```
 *
 * @since 0.1.0
 */
import type * as McpClient from "effect/ai/McpClient"
import type * as McpClientError from "effect/ai/McpClientError"
import type * as McpSchema from "effect/ai/McpSchema"
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as ContextProvider from "../ContextProvider.ts"
import * as ToolCodec from "../internal/model/toolCodec.ts"
import * as Failures from "../internal/tool/failures.ts"
import * as ToolHandler from "../internal/tool/handler.ts"
import * as Json from "../internal/words/json.ts"
import * as Text from "../internal/words/text.ts"
import * as ToolFailure from "../ToolFailure.ts"
import * as Connection from "./internal/connection.ts"
import * as Names from "./internal/names.ts"
import * as Results from "./internal/results.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * A tool of a server. `name` is the name that the model reads, and `tool` the server's own. What the server does not say
 * about a tool has the default of the protocol: it may destroy something, and it reaches beyond the server.
 *
 * @category models
 * @since 0.1.0
 */
export interface ServerTool {
  readonly server: string
  readonly tool: string
  readonly name: string
  readonly title: string | undefined
  readonly description: string | undefined
  readonly isReadOnly: boolean
  readonly isDestructive: boolean
  readonly isIdempotent: boolean
  readonly isOpenWorld: boolean
}

export {
  /**
   * A result that is not only text: the texts and files that the model reads, and the server's `structuredContent`.
   *
   * @category models
   * @since 0.1.0
   */
  Content
} from "./internal/results.ts"

/**
 * Schema for the result of a tool: a text, or a `Content`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Result: Schema.Union<readonly [typeof Schema.String, typeof Results.Content]> = Schema.Union([
  Schema.String,
  Results.Content
])

/**
 * A tool of a server, as agents have it.
 *
 * @category models
 * @since 0.1.0
 */
export type McpTool = Tool.Tool<string, {
  readonly parameters: typeof Schema.Unknown
  readonly success: typeof Result
  readonly failure: typeof ToolFailure.ToolFailure
  readonly failureMode: "return"
}>

/**
 * The tools of servers by the names that the model reads.
 *
 * @category models
 * @since 0.1.0
 */
export type Tools = Record<string, McpTool>

/**
 * The servers of a toolkit, by names that you choose.
 *
 * @category models
 * @since 0.1.0
 */
export type Servers = Readonly<Record<string, Layer.Layer<McpClient.McpClient, any, any>>>

/**
 * The services that the clients of these servers need.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<S extends Servers> = S[keyof S] extends Layer.Layer<any, any, infer R> ? R : never

/**
 * How the tools of servers are offered and called.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<Server extends string = string> {
  /** Whether an agent has this tool. Default: it has all. */
  readonly include?: ((tool: ServerTool) => boolean) | undefined
  /** Whether a person has to approve a call. Default: yes, unless the tool is read-only. */
  readonly needsApproval?: ((tool: ServerTool, params: unknown) => boolean) | undefined
  /** The name of a tool, which is made acceptable to providers. Default: `<server>__<tool>`. */
  readonly toName?: ((server: Server, tool: string) => string) | undefined
  /** Servers that a run may be without: their tools are left out while they are not available. Default: none. */
  readonly optional?: ReadonlyArray<Server> | undefined
  /** How long a call may take. Use `Duration.infinity` for no limit. Default: 1 minute. */
  readonly timeout?: Duration.Input | undefined
  /**
   * How long a list of tools is used before the server is asked again, unless the server says that it has changed.
   * Default: each run asks.
   */
  readonly listFor?: Duration.Input | undefined
  /** The longest text of one result, in UTF-16 units. Default: 100,000. */
  readonly maximumText?: number | undefined
  /** The largest size of the files of one result together, in bytes. Default: 5 MiB. */
  readonly maximumBytes?: number | undefined
}

export {
  /**
   * A server cannot be used: it could not be reached, it refused the client, or it does not list its tools. `cause` is
   * the error of effect's `McpClient`, or of the layer that makes it.
   *
   * @category errors
   * @since 0.1.0
   */
  ServerUnavailable
} from "./internal/connection.ts"

// -----------------------------------------------------------------------------
// Service
// -----------------------------------------------------------------------------

/**
 * Service for the tools of MCP servers. `toolkit` asks the servers for their tools, and `tools` describes them.
 *
 * @category services
 * @since 0.1.0
 */
export class McpToolkit extends Context.Service<McpToolkit, {
  readonly toolkit: Effect.Effect<Toolkit.WithHandler<Tools>, Connection.ServerUnavailable>
  readonly tools: Effect.Effect<ReadonlyArray<ServerTool>, Connection.ServerUnavailable>
}>()("effect-agents/mcp/McpToolkit") {}

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Creates the tools of these servers. Nothing is connected before they are used; the connections belong to the scope.
 *
 * **Example** (A server in this process)
 *
 * ```ts
 * import { Console, Effect, Layer, Schema } from "effect"
 * import { McpClient, McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
 * import { FetchHttpClient, HttpRouter } from "effect/http"
 * import { Agent } from "effect-agents"
 * import { McpToolkit } from "effect-agents/mcp"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const protocol = McpProtocol.v2025_11_25
 * const kit = Toolkit.make(
 *   Tool.make("rain", { parameters: Schema.Struct({ city: Schema.String }), success: Schema.Boolean })
 *     .annotate(Tool.Readonly, true)
 * )
 * const registrations = Layer.provide(McpServer.toolkit(kit), kit.toLayer({ rain: () => Effect.succeed(true) }))
 * const { handler } = HttpRouter.toWebHandler(
 *   McpServer.layerHttp({ name: "weather", version: "1.0.0", path: "/mcp", protocols: [protocol], registrations }),
 *   { disableLogger: true }
 * )
 *
 * const url = "http://weather.example.com/mcp"
 * const weather = McpClient.layerHttp({ name: "my-app", version: "1.0.0", url, protocol }).pipe(
 *   Layer.provide(FetchHttpClient.layer),
 *   Layer.provide(Layer.succeed(FetchHttpClient.Fetch, (input, init) => handler(new Request(input, init))))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const { toolkit } = yield* McpToolkit.make({ weather })
 *   const { text } = yield* Agent.run(Agent.make("assistant", { toolkit }), { prompt: "Will it rain in Oslo?" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "weather__rain", params: { city: "Oslo" } }),
 *   ScriptedModel.text("It will.")
 * ])
 *
 * Effect.runPromise(Effect.provide(Effect.scoped(program), model))
 * // => It will.
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <const S extends Servers>(
  servers: S,
  options: Options<keyof S & string> = {}
): Effect.Effect<McpToolkit["Service"], never, Services<S> | Scope.Scope> =>
  Effect.gen(function*() {
    const timeout = Duration.fromInputUnsafe(options.timeout ?? "1 minute")
    const listFor = Duration.fromInputUnsafe(options.listFor ?? Duration.zero)
    const connections: ReadonlyArray<Connection.Connection> = yield* Effect.forEach(
      Object.entries(servers),
      ([server, layer]) =>
        Connection.make(server, layer as Layer.Layer<McpClient.McpClient, unknown, Services<S>>, { timeout, listFor })
    )
    const optional: ReadonlySet<string> = new Set(options.optional)
    let last: Offered | undefined
    const offered = Effect.gen(function*() {
      const listings = yield* Effect.forEach(
        connections,
        ({ list, server }) => optional.has(server) ? list.pipe(Effect.catch(leaveOut)) : list,
        { concurrency: "unbounded" }
      )
      const known = last
      if (known?.listings.every((tools, index) => isSameList(tools, listings[index]))) return known
      return last = yield* offer(connections, listings, options as Options)
    })
    return {
      toolkit: Effect.map(offered, ({ toolkit }) => toolkit),
      tools: Effect.map(offered, ({ tools }) => tools)
    }
  })

/**
 * Layer that provides the tools of these servers. The connections close with it.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <const S extends Servers>(
  servers: S,
  options?: Options<keyof S & string>
): Layer.Layer<McpToolkit, never, Exclude<Services<S>, Scope.Scope>> => Layer.effect(McpToolkit)(make(servers, options))

// -----------------------------------------------------------------------------
// Accessors
// -----------------------------------------------------------------------------

/**
 * The toolkit of an agent that has the tools of all servers, and no others.
 *
 * @category accessors
 * @since 0.1.0
 */
export const toolkit: Effect.Effect<Toolkit.WithHandler<Tools>, Connection.ServerUnavailable, McpToolkit> = Effect
  .flatMap(McpToolkit, ({ toolkit }) => toolkit)

/**
 * Context provider that adds the tools of all servers to those that an agent has.
 *
 * @category providers
 * @since 0.1.0
 */
export const provider: ContextProvider.ContextProvider<Connection.ServerUnavailable, McpToolkit> = ContextProvider
  .make("mcp", { beforeRun: () => Effect.map(toolkit, (toolkit) => ({ toolkit })) })

// -----------------------------------------------------------------------------
// Internal
// -----------------------------------------------------------------------------

type Listing = ReadonlyArray<McpSchema.Tool>

interface Offered {
  readonly listings: ReadonlyArray<Listing>
  readonly tools: ReadonlyArray<ServerTool>
  readonly toolkit: Toolkit.WithHandler<Tools>
}

const leaveOut = (error: Connection.ServerUnavailable) =>
  Effect.as(Effect.logWarning("The tools of an optional MCP server are left out", error), [] as Listing)

const isSameList = (self: Listing, that: Listing): boolean => self === that || Json.isSame(self, that)

const maximumDescription = 8_192

const offer = Effect.fnUntraced(function*(
  connections: ReadonlyArray<Connection.Connection>,
  listings: ReadonlyArray<Listing>,
  options: Options
) {
  const { include, maximumBytes = 5 * 1024 * 1024, maximumText = 100_000, needsApproval = isNotReadOnly } = options
  const toName = options.toName ?? ((server: string, tool: string) => `${server}__${tool}`)
  const found = listings.flatMap((listing, index) =>
    listing.map((descriptor) => ({ connection: connections[index], descriptor }))
  )
  const names = Names.toAccepted(found.map(({ connection: { server }, descriptor: { name } }) => ({
    name: toName(server, name),
    identity: JSON.stringify([server, name])
  })))
  const tools: Array<ServerTool> = []
  const made: Array<McpTool> = []
  const handlers: Record<string, (params: unknown) => Effect.Effect<typeof Result.Type, ToolFailure.ToolFailure>> = {}
  for (const [index, { connection, descriptor }] of found.entries()) {
    const name = names[index]
    const about = describe(connection.server, name, descriptor)
    if (include?.(about) === false) continue
    const tool = toTool(about, descriptor, (params) => needsApproval(about, params))
    const { refusal } = ToolCodec.of(tool)
    if (refusal !== undefined) {
      yield* Effect.logWarning(`The tool \`${name}\` of an MCP server is left out, because ${refusal}`)
      continue
    }
    tools.push(about)
    made.push(tool)
    handlers[name] = handlerOf(connection, descriptor, { maximumBytes, maximumText })
  }
  const kit: Toolkit.Toolkit<Tools> = Toolkit.make(...made)
  const toolkit = yield* ToolHandler.withHandlers(kit, handlers)
  return { listings, tools, toolkit } satisfies Offered
})

const isNotReadOnly = ({ isReadOnly }: ServerTool): boolean => !isReadOnly

const describe = (server: string, name: string, tool: McpSchema.Tool): ServerTool => ({
  server,
  tool: tool.name,
  name,
  title: tool.title ?? tool.annotations?.title,
  description: tool.description,
  isReadOnly: tool.annotations?.readOnlyHint ?? false,
  isDestructive: tool.annotations?.destructiveHint ?? true,
  isIdempotent: tool.annotations?.idempotentHint ?? false,
  isOpenWorld: tool.annotations?.openWorldHint ?? true
})

const toTool = (
  { description, isDestructive, isIdempotent, isOpenWorld, isReadOnly, name, title }: ServerTool,
  { inputSchema }: McpSchema.Tool,
  needsApproval: (params: unknown) => boolean
): McpTool => {
  const tool = Tool.dynamic(name, {
    parameters: inputSchema,
    description: description === undefined ? undefined : Text.shorten(Text.wellFormed(description), maximumDescription),
    success: Result,
    failure: ToolFailure.ToolFailure,
    failureMode: "return",
    needsApproval,
    // effect reads the result itself if there is no other form of it, but its type does not say so
    toModelOutput: Results.toModelOutput as (result: Results.Result) => Results.Content["parts"]
  })
    .annotate(Tool.Strict, false)
    .annotate(Tool.Readonly, isReadOnly)
    .annotate(Tool.Destructive, isDestructive)
    .annotate(Tool.Idempotent, isIdempotent)
    .annotate(Tool.OpenWorld, isOpenWorld)
  return title === undefined ? tool : tool.annotate(Tool.Title, title)
}

const handlerOf =
  ({ call, server }: Connection.Connection, descriptor: McpSchema.Tool, bounds: Results.Bounds) =>
  (params: unknown): Effect.Effect<Results.Result, ToolFailure.ToolFailure> =>
    Effect.matchEffect(call(descriptor, Predicate.isReadonlyObject(params) ? params as Record<string, unknown> : {}), {
      onFailure: (error) => Effect.fail(Failures.make(toMessage(server, error, bounds), error)),
      onSuccess: (result) =>
        result.isError === true
          ? Effect.fail(Failures.make(Results.toFailure(result, bounds), result))
          : Effect.succeed(Results.toResult(result, bounds))
    })

const toMessage = (
  server: string,
  error: McpClientError.McpClientError | Connection.ServerUnavailable,
  { maximumText }: Results.Bounds
): string => {
  const message = Text.shorten(Text.wellFormed(error.message), maximumText)
  if (Connection.isLost(error)) {
    const unknown = "before it answered, and nobody knows whether the call had an effect"
    return `The connection to the MCP server \`${server}\` failed ${unknown}: ${message}`
  }
  return error._tag === "McpClientError" && error.reason._tag === "TimeoutError"
    ? `The MCP server \`${server}\` did not answer in time, and the call was cancelled`
    : message
}

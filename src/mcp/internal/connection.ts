/**
 * The connection to a server, which is opened when it is needed, and again when it was lost.
 *
 * @since 0.1.0
 */
import * as McpClient from "effect/ai/McpClient"
import type * as McpClientError from "effect/ai/McpClientError"
import type * as McpSchema from "effect/ai/McpSchema"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as RcRef from "effect/RcRef"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Json from "../../internal/words/json.ts"
import * as Notifications from "./notifications.ts"

/**
 * A server cannot be used: it could not be reached, it refused the client, or it does not list its tools. `cause` is
 * the error of effect's `McpClient`, or of the layer that makes it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ServerUnavailable extends Schema.Error<ServerUnavailable>("effect-agents/mcp/ServerUnavailable")({
  _tag: Schema.tag("ServerUnavailable"),
  server: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const detail = Predicate.isError(this.cause) && this.cause.message !== "" ? `: ${this.cause.message}` : ""
    return `The MCP server \`${this.server}\` is not available${detail}`
  }
}

/**
 * A connection to one server.
 *
 * @category models
 * @since 0.1.0
 */
export interface Connection {
  readonly server: string
  /** Lists the tools. If the connection was lost since the last time, it is opened again. */
  readonly list: Effect.Effect<ReadonlyArray<McpSchema.Tool>, ServerUnavailable>
  /** Calls a tool. A call whose connection was lost is repeated once if it may be, and otherwise fails. */
  readonly call: (
    tool: McpSchema.Tool,
    params: Readonly<Record<string, unknown>>
  ) => Effect.Effect<McpSchema.CallToolResult, McpClientError.McpClientError | ServerUnavailable>
}

/**
 * Creates a connection, which belongs to the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <E, R>(
  server: string,
  layer: Layer.Layer<McpClient.McpClient, E, R>,
  options: { readonly timeout: Duration.Duration; readonly listFor: Duration.Duration }
): Effect.Effect<Connection, never, R | Scope.Scope> =>
  Effect.gen(function*() {
    const listFor = Duration.toMillis(options.listFor)
    let current: McpClient.McpClient | undefined
    let listed: { readonly at: number; readonly tools: ReadonlyArray<McpSchema.Tool> } | undefined
    let isClosed = false
    const unavailable = (cause: unknown) => new ServerUnavailable({ server, cause })
    // a list that was asked for before a change may be an old one
    let changes = 0
    const changed = () => {
      changes++
      listed = undefined
    }
    const clients = yield* RcRef.make({
      acquire: Effect.context<R | Scope.Scope>().pipe(
        Effect.flatMap((context) => Notifications.watch(context, changed)),
        Effect.flatMap((watched) => Effect.provideContext(Layer.build(Layer.fresh(layer)), watched)),
        Effect.map((context) => current = Context.get(context, McpClient.McpClient)),
        Effect.mapError(unavailable)
      ),
      idleTimeToLive: Duration.infinity
    })
    yield* Effect.addFinalizer(() => Effect.sync(() => isClosed = true))

    // others may have opened the connection again; what still uses the lost one keeps it until it has ended
    const lose = (client: McpClient.McpClient) =>
      Effect.suspend(() => {
        if (client !== current) return Effect.void
        current = undefined
        listed = undefined
        return RcRef.invalidate(clients)
      })

    const use = <A>(run: (client: McpClient.McpClient) => Effect.Effect<A, McpClientError.McpClientError>) =>
      Effect.suspend(() =>
        isClosed
          ? Effect.fail(unavailable(new Error("the scope of its connection is closed")))
          : RcRef.get(clients)
      ).pipe(
        Effect.flatMap((client) => Effect.tapError(run(client), (error) => isLost(error) ? lose(client) : Effect.void)),
        Effect.scoped
      )

    const list = Effect.map(use((client) => client.listTools()), callable)
    const call: Connection["call"] = (tool, params) => {
      const { idempotentHint = false, readOnlyHint = false } = tool.annotations ?? {}
      const called = use((client) => client.callTool({ tool, arguments: params }, { timeout: options.timeout }))
      return idempotentHint || readOnlyHint ? Effect.catchIf(called, isGone, () => called) : called
    }
    return {
      server,
      call,
      list: Effect.gen(function*() {
        const now = yield* Clock.currentTimeMillis
        if (listed !== undefined && now < listed.at + listFor) return listed.tools
        const before = changes
        const tools = yield* Effect.catchIf(list, isGone, () => list).pipe(
          Effect.mapError((error) => error._tag === "ServerUnavailable" ? error : unavailable(error))
        )
        if (changes === before) listed = { at: now, tools }
        return tools
      })
    }
  })

/** A server that names a tool twice means the first; parameters that no walk can bear are those of no tool. */
const callable = (tools: ReadonlyArray<McpSchema.Tool>): ReadonlyArray<McpSchema.Tool> => {
  const names = new Set<string>()
  return tools.filter(({ inputSchema, name }) => {
    const isFirst = !names.has(name)
    names.add(name)
    return isFirst && !Json.isTooDeep(inputSchema)
  })
}

/**
 * Returns whether the connection of a request was lost, or may have been. An answer of the server itself is no loss.
 *
 * @category guards
 * @since 0.1.0
 */
export const isLost = (error: McpClientError.McpClientError | ServerUnavailable): boolean => {
  if (error._tag === "ServerUnavailable") return false
  const { reason } = error
  switch (reason._tag) {
    case "ClosedError":
    case "TransportError":
    // one message that is too long ends a connection over stdio
    case "LimitError":
      return true
    case "ProtocolError":
      return reason.code === undefined
    case "HttpError": {
      // how servers say that they do not know a session, or not any more; the codes are those of the official SDKs
      const { code, status } = reason
      return (status === 400 || status === 404 || status === 410) &&
        (code === undefined || code === -32000 || code === -32001)
    }
    default:
      return false
  }
}

/** What the server sent was not acceptable, and would not be the second time. */
const isGone = (error: McpClientError.McpClientError | ServerUnavailable): boolean =>
  isLost(error) && error._tag === "McpClientError" && error.reason._tag !== "LimitError" &&
  error.reason._tag !== "ProtocolError"

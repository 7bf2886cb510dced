/**
 * An agent as an A2A agent, for the clients of the Agent2Agent protocol 1.0. Needs the package `@a2a-js/sdk`.
 *
 * A message of a client is a task. A run works on it, and goes on when the client leaves: a client that comes back
 * subscribes to the task, and the stored task is complete also if nobody has read it. `contextId` is the session of the
 * conversation. Tasks and sessions belong to an owner, and for everybody else they do not exist.
 *
 * How a run ends is the state of its task:
 *
 * - `COMPLETED`: the run has completed.
 * - `INPUT_REQUIRED`: it waits for approvals, or for results of tools that run in the client. The message of the state
 *   has them as JSON, in `approvals`. The next message to the task answers them with JSON, in `answers`: an array of
 *   `AgentApi.Answer`. Answers that the session does not wait for are refused, and the task waits as before. A message
 *   without answers goes on without the calls that wait. The agent needs `SessionHistory`.
 * - `FAILED`: it has failed. The message of the state is the public description of the failure (`AgentError.describe`).
 * - `CANCELED`: it was interrupted, by a client that cancels the task or by the end of the server.
 * - `REJECTED`: the session had another run, and `whenBusy` is `"refuse"`.
 *
 * The parts of a run become artifacts:
 *
 * - A text is an artifact that grows. The metadata `effect-agents` has the number of its `step`.
 * - A file is an artifact with its bytes, and the source with a URL one with that URL.
 * - The `value` of an agent with an output is an artifact with JSON, `output`. Its partial values are told before it,
 *   the longer the fewer. A value that is `null` is not told.
 * - The stop reason and the usage of a completed run, and the number of its last step, are in the metadata
 *   `effect-agents` of its last state. A field of the usage that is not known is left out.
 * - Reasoning, tool calls and their results, sub-agents, and sources that are documents have no word in the protocol.
 *
 * A message to a task that works is a message to its run (`Steering`). There are no push notifications, and no clients of
 * version 0.3. `layer` is the JSON-RPC binding; `requestHandler` is for the other transports of the SDK.
 *
 * **Example** (An agent for clients of the protocol)
 *
 * ```ts
 * import { ClientFactory } from "@a2a-js/sdk/client"
 * import { Role, TaskState } from "@a2a-js/sdk"
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Console, Context, Effect, Layer } from "effect"
 * import { HttpRouter, HttpServer } from "effect/http"
 * import { Agent, SessionHistory, SessionStore } from "effect-agents"
 * import { A2aServer } from "effect-agents/a2a"
 * import { AgentApi, RunHub } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 * import { createServer } from "node:http"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * // here everybody is one owner: a real one looks at a token
 * const Everybody = HttpRouter.middleware<{ provides: AgentApi.Owner }>()(
 *   Effect.succeed((effect) => Effect.provideService(effect, AgentApi.Owner, { id: "everybody" }))
 * )
 *
 * const Routes = A2aServer.layer(assistant).pipe(
 *   Layer.provide(Everybody.layer),
 *   // everybody may read the card
 *   Layer.merge(A2aServer.layerCard(assistant))
 * )
 *
 * const Server = HttpRouter.serve(Routes, { disableListenLog: true, disableLogger: true }).pipe(
 *   Layer.provide([RunHub.layer(), SessionStore.layerMemory, ScriptedModel.layer([ScriptedModel.text("Hello!")])]),
 *   Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const url = HttpServer.formatAddress(Context.get(yield* Layer.build(Server), HttpServer.HttpServer).address)
 *   const client = yield* Effect.promise(() => new ClientFactory().createFromUrl(url))
 *   const message = { messageId: "1", role: Role.ROLE_USER, parts: [{ content: { $case: "text", value: "Hello?" } }] }
 *   const task = yield* Effect.promise(() => client.sendMessage({ message } as never))
 *   if (!("status" in task)) return
 *   yield* Console.log(TaskState[task.status?.state ?? 0], JSON.stringify(task.artifacts[0]?.parts[0]?.content))
 * })
 *
 * Effect.runPromise(Effect.scoped(program))
 * // => TASK_STATE_COMPLETED {"$case":"text","value":"Hello!"}
 * ```
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import type * as SdkServer from "@a2a-js/sdk/server"
import type * as Tool from "effect/ai/Tool"
import * as ByteSize from "effect/ByteSize"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as AgentRun from "../AgentRun.ts"
import * as AgentApi from "../server/AgentApi.ts"
import * as OwnedRuns from "../server/internal/ownedRuns.ts"
import type * as RunHub from "../server/RunHub.ts"
import type * as SessionStore from "../SessionStore.ts"
import * as JsonRpc from "./internal/jsonRpc.ts"
import { RequestHandler } from "./internal/requestHandler.ts"
import { TaskMemory } from "./internal/taskMemory.ts"
import { Tasks } from "./internal/tasks.ts"
import * as Updates from "./internal/updates.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * The options for the card of an agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface CardOptions {
  /** The path of the endpoint. Default: `/agents/<name>/a2a`. */
  readonly path?: HttpRouter.PathInput | undefined
  /**
   * The address of the server, without the path. Give it if the server stands behind a proxy. Default: as the request
   * for the card names it.
   */
  readonly baseUrl?: string | undefined
  /** The path of the card. Default: `/.well-known/agent-card.json`, where the clients look first. */
  readonly cardPath?: HttpRouter.PathInput | undefined
  /**
   * Fields of the card, such as its `version`, `skills`, `securitySchemes` and `defaultInputModes`. Default: the name
   * and the description of the agent, version 1.0.0, and one skill with the same name and description.
   */
  readonly card?: Partial<Omit<Sdk.AgentCard, "supportedInterfaces" | "capabilities">> | undefined
}

/**
 * The options for the tasks of an agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface TaskOptions<in E = any> extends Pick<RunHub.StartOptions, "whenBusy"> {
  /**
   * Stores the tasks, for each owner by itself. Default: memory, for 1000 tasks of an owner. If there are more, those
   * that have ended and were changed longest ago are forgotten.
   */
  readonly store?: SdkServer.TaskStore | undefined
  /**
   * What happens if the session of a new task has a run that has not ended. `"start"` starts the run beside it, so that
   * the rule of the session decides (`whenHeld` of `SessionHistory`), `"refuse"` rejects the task, and `"replace"` stops
   * the other run first. Default: `"start"`.
   */
  readonly whenBusy?: "refuse" | "replace" | "start" | undefined
  /**
   * How long tasks may go on when the layer is released. They are then canceled, and stored as such. An HTTP server
   * waits for open responses before that, as its own options say. Default: 10 seconds.
   */
  readonly grace?: Duration.Input | undefined
  /**
   * What a client learns about an expected failure of a run, for failures that are yours. For `undefined`, and for
   * defects, `AgentError.describe` decides. Default: `AgentError.describe` for all failures.
   */
  readonly describe?: ((error: E) => AgentError.Description | undefined) | undefined
}

/**
 * The options for serving an agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out Service extends Context.Key<any, any> = never, in E = any>
  extends CardOptions, TaskOptions<E>
{
  /** The largest body of a request. A larger one is refused with 413. Default: 20 MiB. */
  readonly maximumBody?: ByteSize.Input | undefined
  /** The time after which a quiet stream sends a sign of life. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * The services that the agent takes from each request: the current user or the account of a tenant, for example. A
   * middleware of your router provides them. Default: none, so the services are those of the layer.
   */
  readonly fromRequest?: ReadonlyArray<Service> | undefined
}

// -----------------------------------------------------------------------------
// Serving
// -----------------------------------------------------------------------------

/**
 * Creates the layer of the JSON-RPC endpoint of an agent. The owner of its tasks is the `AgentApi.Owner` that your
 * middleware provides.
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
  Service extends Context.Key<any, any> = never
>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: Options<Service, NoInfer<E>> = {}
) =>
  HttpRouter.use((router) =>
    Effect.flatMap(handlerOf<Tools, E, R, A, P, Service>(agent, options, ({ user }) => user?.userName), (handler) => {
      const { fromRequest = [], keepAlive, maximumBody } = options
      const endpoint = JsonRpc.make<Service["Identifier"]>(handler, card(agent, options), { fromRequest, keepAlive })
      const maximum = sizeOf(maximumBody)
      return router.add(
        "POST",
        pathOf(agent.name, options),
        (request) =>
          Effect.flatMap(AgentApi.Owner, ({ id }) => endpoint(request, id)).pipe(
            Effect.provideService(HttpIncomingMessage.MaxBodySize, maximum)
          )
      )
    })
  )

const sizeOf = (input: ByteSize.Input = "20 MiB"): ByteSize.ByteSize => ByteSize.fromInputUnsafe(input)

/**
 * Creates the layer of the card of an agent, which needs no owner: clients look at the card to learn how to
 * authenticate. With several agents on one server, give each a `cardPath` of its own.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerCard = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: CardOptions = {}
): Layer.Layer<never, never, HttpRouter.HttpRouter> =>
  HttpRouter.add("GET", options.cardPath ?? `/${Sdk.AGENT_CARD_PATH}`, (request) =>
    Effect.sync(() => {
      const baseUrl = options.baseUrl ?? originOf(request)
      return HttpServerResponse.jsonUnsafe(Sdk.AgentCard.toJSON(card(agent, { ...options, baseUrl })))
    }))

/**
 * Creates the handler of an agent for the transports of the SDK, such as its routers for Express, which you serve
 * yourself. `layer` needs none of them. The scope ends its tasks.
 *
 * @category constructors
 * @since 0.1.0
 */
export const requestHandler = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: CardOptions & TaskOptions<NoInfer<E>> & {
    /**
     * Returns the owner of a request from what your authentication has found. Return `undefined` to refuse the request.
     * Do not use the `tenant` of the context: clients choose it.
     */
    readonly owner: (context: SdkServer.ServerCallContext) => string | undefined
  }
): Effect.Effect<SdkServer.A2ARequestHandler, never, R | RunHub.RunHub | SessionStore.SessionStore | Scope.Scope> =>
  handlerOf(agent, options, options.owner)

const handlerOf = <
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  Service extends Context.Key<any, any> = never
>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: CardOptions & TaskOptions<E>,
  owner: (context: SdkServer.ServerCallContext) => string | undefined
) =>
  Effect.gen(function*() {
    const { describe, grace = "10 seconds", store = new TaskMemory(maximumTasks), whenBusy = "start" } = options
    const context = yield* Effect.context<never>()
    const runs = yield* OwnedRuns.make<R, Service["Identifier"]>({ describe, whenBusy, whenLeft: "continue" })
    // the readers of the runs work until all tasks are stored
    const scope = yield* Scope.make()
    const tasks = new Tasks(agent, runs, store, scope)
    yield* Effect.addFinalizer((exit) => Effect.andThen(tasks.close(Effect.sleep(grace)), Scope.close(scope, exit)))
    return new RequestHandler(tasks, card(agent, options), owner, Context.omit(Scope.Scope)(context))
  })

/** The number of tasks of an owner that are kept in memory. */
const maximumTasks = 1000

/**
 * Returns the card of an agent.
 *
 * @category constructors
 * @since 0.1.0
 */
export const card = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: CardOptions = {}
): Sdk.AgentCard => {
  const { description = "", name } = agent
  const skill: Sdk.AgentSkill = {
    id: name,
    name,
    description,
    tags: [],
    examples: [],
    inputModes: [],
    outputModes: [],
    securityRequirements: []
  }
  return {
    name,
    description,
    version: "1.0.0",
    provider: undefined,
    securitySchemes: {},
    securityRequirements: [],
    defaultInputModes: ["text/plain", "application/json"],
    defaultOutputModes: ["text/plain", "application/json"],
    skills: [skill],
    signatures: [],
    ...options.card,
    capabilities: { streaming: true, pushNotifications: false, extendedAgentCard: false, extensions: [] },
    supportedInterfaces: [{
      url: `${options.baseUrl?.replace(/\/+$/, "") ?? ""}${pathOf(name, options)}`,
      protocolBinding: "JSONRPC",
      protocolVersion: Sdk.A2A_PROTOCOL_VERSION,
      tenant: ""
    }]
  }
}

const pathOf = (name: string, { path }: CardOptions): HttpRouter.PathInput => path ?? `/agents/${name}/a2a`

const originOf = (request: HttpServerRequest.HttpServerRequest): string => {
  const url = HttpServerRequest.toURL(request)
  return url._tag === "Some" ? url.value.origin : ""
}

// -----------------------------------------------------------------------------
// The mapping
// -----------------------------------------------------------------------------

/**
 * Returns the updates of the task that a run works on: its first state, the artifacts as they grow, and the state in
 * which it has ended. The stream never fails.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromParts = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  name: {
    readonly taskId: string
    readonly contextId: string
    /** The id of the run. It makes the ids of artifacts unique. */
    readonly runId: string
  }
): Stream.Stream<Sdk.StreamResponse, never, R> => Updates.fromParts(parts, name)

/**
 * An agent behind AG-UI 1.0, the protocol between agents and user interfaces: `HttpAgent` of `@ag-ui/client`, CopilotKit and
 * others talk to it.
 *
 * | part of a run                     | events                                                                      |
 * | --------------------------------- | --------------------------------------------------------------------------- |
 * | run-start, the end of the run     | `RUN_STARTED`; exactly one of `RUN_FINISHED` and `RUN_ERROR`                |
 * | step-start, step-end              | `STEP_STARTED`, `STEP_FINISHED`; `CUSTOM` `step-restarted`                  |
 * | text, reasoning                   | `TEXT_MESSAGE_*`, `REASONING_*`; no two messages have the same id           |
 * | tool parameters, tool calls       | `TOOL_CALL_START`, `_ARGS`, `_END`; the calls of a step are in one message  |
 * | tool results                      | `TOOL_CALL_RESULT`, with `metadata.isFailure`; `CUSTOM` `tool-progress`     |
 * | approvals                         | `RUN_FINISHED` with the outcome `interrupt`                                 |
 * | calls of tools in the client      | `RUN_FINISHED` with `pendingToolCallIds`                                    |
 * | parts of nested agents            | `SUBAGENT_*`, and all of the above with `subagentRunId`                     |
 * | sources, files                    | `CUSTOM` `source`, `CUSTOM` `file` (the data is base64)                     |
 * | messages of `Steering`            | `TEXT_MESSAGE_*` of the user                                                |
 * | output-partial, the value         | `STATE_SNAPSHOT` with the field `output`; `result` of `RUN_FINISHED`        |
 * | usage                             | `usage` of `RUN_FINISHED` and `RUN_ERROR`, for each model                   |
 * | Completed                         | outcome `success` or `interrupt`, `metadata.stopReason`                     |
 * | Failed                            | `RUN_ERROR` with the description by `AgentError.describe`                   |
 * | Interrupted                       | outcome `cancelled`                                                         |
 *
 * The `messageIds` and `toolCallIds` of `step-restarted` do not count: a durable run has begun their step again.
 *
 * Everything that is open is closed before the end, and a call that has no result gets one that says so. Metadata of model
 * providers, `response-metadata`, `finish` and `error` parts are not told.
 *
 * **The conversation.** `threadId` is a session of the owner. The server takes the messages of the user since the last one
 * that the session has, by their ids, and nothing else of `messages`: the client cannot change what was said or done. A
 * request without anything new answers the last message of the session, if no model has answered it yet.
 *
 * **Approvals.** A run that waits for approvals has the outcome `interrupt`. The client resumes with `resume`: the payload
 * of a resolved interrupt is `{ approved, reason?, editedArgs? }`, and `editedArgs` is checked with the schema of the
 * tool before anything runs. A cancelled one is denied. The stored session says which call an answer is for. After a new
 * message without answers the conversation goes on, and nobody can answer them any more.
 *
 * **Tools of the client.** The `tools` of a request are `ClientTools` for its run. Their calls are told and wait; the
 * client sends tool messages with its next request. A tool message for a call that does not wait for the client runs,
 * approves and changes nothing.
 *
 * **State.** A provider or a tool reads `state`, `context` and `forwardedProps` of the request with `CurrentInput`. They
 * are what the client says; nothing of them is put into the prompt without you.
 *
 * **Example** (A server for AG-UI clients)
 *
 * ```ts no-run
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
 * import { Agent, SessionHistory, SessionStore } from "effect-agents"
 * import { AgentApi, AgUi, RunHub } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 * import { createServer } from "node:http"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * // the token says who asks: a real server looks it up
 * const Auth = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
 *   Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
 *     headers.authorization === "Bearer token-of-ann"
 *       ? Effect.provideService(handler, AgentApi.Owner, { id: "ann" })
 *       : Effect.succeed(HttpServerResponse.empty({ status: 401 }))))
 *
 * const Server = HttpRouter.serve(AgUi.layer(assistant).pipe(Layer.provide(Auth.layer))).pipe(
 *   Layer.provide([RunHub.layer(), SessionStore.layerMemory, ScriptedModel.layer([ScriptedModel.text("Hello!")])]),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 }))
 * )
 *
 * // new HttpAgent({ url: "http://localhost:3000/ag-ui", headers: { authorization: "Bearer token-of-ann" } })
 * NodeRuntime.runMain(Layer.launch(Server))
 * ```
 *
 * @since 0.1.0
 */
import * as ByteSize from "effect/ByteSize"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as SessionStore from "../SessionStore.ts"
import type * as AgentApi from "./AgentApi.ts"
import type * as Events from "./internal/agUi/events.ts"
import type * as Models from "./internal/agUi/models.ts"
import * as Parts from "./internal/agUi/parts.ts"
import * as Serving from "./internal/agUi/serving.ts"
import * as OwnedRuns from "./internal/ownedRuns.ts"
import type * as RunHub from "./RunHub.ts"

export type * from "./internal/agUi/models.ts"

// -----------------------------------------------------------------------------
// The mapping
// -----------------------------------------------------------------------------

/**
 * What a client knows before a run.
 *
 * @category options
 * @since 0.1.0
 */
export interface PartsOptions extends Events.Options {}

/**
 * Returns the events of AG-UI for the parts of a run, for a server of your own. It never fails: a run that fails ends with
 * `RUN_ERROR`, one that is interrupted with the outcome `cancelled`, and a stream without a `run-end` with `RUN_ERROR`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromParts: <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: PartsOptions
) => Stream.Stream<Models.Event, never, R> = Parts.events

// -----------------------------------------------------------------------------
// The server
// -----------------------------------------------------------------------------

/**
 * What the request of a run says beside the conversation. It is what the client says: it proves nothing.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientInput extends Serving.ClientInput {}

/**
 * What the request says that a run works for, for its providers and tools. Default: `undefined`, in runs of other wires.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentInput: Context.Reference<ClientInput | undefined> = Serving.CurrentInput

/**
 * The options of a server.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out Service extends Context.Key<any, any> = never> extends Omit<RunHub.StartOptions, "owner"> {
  /** The path of the agent. Default: `/ag-ui`. */
  readonly path?: `/${string}` | undefined
  /**
   * What happens when the last client that reads a run goes away, as `abortRun()` of a client does. Default: `"stop"`.
   */
  readonly whenLeft?: "continue" | "stop" | undefined
  /**
   * Who keeps the conversation. With `"client"` there is no session: the `messages` of each request are the conversation,
   * and the client may change its own past. The server then believes nothing about its own tools: their calls and results
   * are left out of what the model reads. Approvals are denied, and `resume` is refused. Default: `"server"`.
   */
  readonly history?: "server" | "client" | undefined
  /** Whether a request may declare tools that run in the client. Default: `"accept"`. */
  readonly clientTools?: "accept" | "refuse" | undefined
  /** The time after which a quiet stream sends a sign of life. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
  /** The largest body of a request. Default: 20 MiB. */
  readonly maximumBody?: ByteSize.Input | undefined
  /**
   * The services that the agent takes from each request: the account of a tenant, for example. Your middleware provides
   * them. Default: none, so the services are those of the layer.
   */
  readonly fromRequest?: ReadonlyArray<Service> | undefined
  /**
   * What a client learns about an expected failure of your own. Default: the description by `AgentError.describe`, also
   * for failures for which the function returns `undefined`.
   */
  readonly describe?: ((error: any) => AgentError.Description | undefined) | undefined
}

/**
 * Creates the routes of an agent. Each request has an `AgentApi.Owner`, which your middleware provides
 * (`HttpRouter.middleware`); for other owners its sessions and runs do not exist.
 *
 * - `POST <path>`: runs the agent, or continues a run that waits. A request that is refused, and a run that fails before
 *   its first part, have a status and the body `{ code, message, retryable }`.
 * - `POST <path>/connect`, with the same body: the conversation as a `MESSAGES_SNAPSHOT`, then the run that works on it from
 *   its beginning, or what it waits for. Use it as `connect` of a client, after a page was loaded again.
 * - `POST <path>/stop`, with `{ runId }`: stops a run. With `whenLeft: "stop"` it is enough to leave.
 *
 * A run has the `runId` of its request if it is an `AgentApi.RunId`, and otherwise one of the server, which `RUN_STARTED`
 * tells.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <
  Tools extends Record<string, any>,
  E,
  R,
  A,
  P,
  Service extends Context.Key<any, any> = never
>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: Options<Service> = {}
): Layer.Layer<
  never,
  never,
  | HttpRouter.HttpRouter
  | HttpRouter.Request.From<"Requires", AgentApi.Owner | Exclude<Service["Identifier"], HttpRouter.Provided>>
  | Exclude<R, Service["Identifier"]>
  | RunHub.RunHub
  | SessionStore.SessionStore
> =>
  HttpRouter.use(Effect.fnUntraced(function*(router) {
    const { clientTools, describe, history, keepAlive, maximumBody, path = "/ag-ui", reconnect, whenBusy, whenLeft } =
      options
    const serving = new Serving.Serving<R, Service["Identifier"]>({
      // the wire reads the parts as those of any agent
      agent: agent as Agent.Agent<any, any, R, any, any>,
      runs: yield* OwnedRuns.make<R, Service["Identifier"]>({
        describe,
        reconnect,
        whenBusy,
        ...whenLeft !== undefined && { whenLeft }
      }),
      history: history ?? "server",
      clientTools: clientTools ?? "accept",
      keepAlive,
      maximumBody: maximumBody === undefined ? defaultBody : ByteSize.fromInputUnsafe(maximumBody)
    })
    yield* router.add("POST", path, told(serving.run))
    yield* router.add("POST", `${path}/connect`, told(serving.connect))
    yield* router.add("POST", `${path}/stop`, told(serving.stop))
  }))

const defaultBody = ByteSize.fromInputUnsafe("20 MiB")

const told = <R>(
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, AgentApi.RunFailed, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R> =>
  Effect.match(answer, {
    onFailure: ({ code, message, retryable, status }) =>
      HttpServerResponse.jsonUnsafe({ code, message, retryable }, { status }),
    onSuccess: (response) => response
  })

/**
 * The UI message stream of the AI SDK: `useChat` of `@ai-sdk/react` 4 (`ai` 7) talks to an agent.
 *
 * `layer` adds the routes of a chat to a router. A chat is a session of the `AgentApi.Owner` that your middleware
 * provides. The server keeps the conversation, so that the agent needs `SessionHistory`. Of a request only the last
 * message is read: the text and files of the user, or the answers to approvals and the outputs of tools that run in the
 * page (`ClientTools`). What else a page sends about the
 * conversation is ignored. It can invent no message of the assistant, no result of another tool and no approval.
 *
 * | request                   | answer                                                                              |
 * | ------------------------- | ----------------------------------------------------------------------------------- |
 * | `POST /api/chat`          | starts a run, and streams its message                                               |
 * | `GET /api/chat/:id/stream` | joins the run in progress (`resume` of `useChat`), or 204 if there is none         |
 * | `POST /api/chat/:id/stop` | interrupts the run: a stop button                                                   |
 * | `GET /api/chat/:id/messages` | the stored conversation as `UIMessage`s, for the `messages` of `useChat`         |
 * | `DELETE /api/chat/:id`    | deletes the conversation                                                            |
 *
 * A request that is refused has a status and the JSON `{ code, message, retryable }`; `useChat` has this text as the
 * `message` of its error.
 *
 * **Details**
 *
 * What a page sees of a run:
 *
 * | part                          | chunks                                                                           |
 * | ----------------------------- | -------------------------------------------------------------------------------- |
 * | `run-start`, `run-end`        | `start`, `finish`, with `Metadata`                                                |
 * | `step-start`, `step-end`      | `start-step`, `finish-step`; `reset-step` takes back a step that begins again     |
 * | text, reasoning, files        | `text-*`, `reasoning-*`, `file`                                                   |
 * | tool calls                    | `tool-input-*`, `tool-output-*`; the type of the part is `tool-<name>`            |
 * | `tool-approval-request`       | `tool-approval-request` with an `ApprovalDescriptor`                              |
 * | `source`                      | `source-url` (`http:` and `https:` only), `source-document`                       |
 * | `steering`                    | `steering-message`                                                               |
 * | `output-partial`, the value   | `data-output`, one part that is replaced                                         |
 * | `agent-part`                  | `data-agent`, one part for each nested run; `data-agent-chunk`, transient         |
 * | the run fails                 | `error` with the public description; its `code` is in the metadata               |
 * | the run is interrupted        | `abort`, then `finish` with the reason `interrupted`                              |
 *
 * Metadata of model providers is not sent. A stream always ends with `[DONE]`, after exactly one `finish` or `error`; a
 * stream without it was cut.
 *
 * A call of a nested run that asks for an approval has a call of its own in the message, with its own tool and
 * parameters. The call of the nested agent is approved automatically meanwhile (`isAutomatic`). With
 * `lastAssistantMessageIsCompleteWithApprovalResponses` the page goes on when all are answered.
 *
 * A tool of `ClientTools` runs in the page: in `onToolCall` of `useChat`, or when the user has done something. Its call is
 * `input-available` until `addToolOutput`, and the run goes on when the message is sent again
 * (`lastAssistantMessageIsCompleteWithToolCalls`).
 *
 * The AI SDK has no approval with other parameters. Send them in the body of the answer, by the id of the approval:
 * `addToolApprovalResponse({ id, approved: true, options: { body: { params: { [id]: { file: "other.txt" } } } } })`.
 *
 * `regenerate`, and a message that is sent again with its `messageId`, set the session back to the version before that
 * message: the messages after it, and what they have changed in the state of the session, are forgotten. They are
 * forgotten with the first save of the new run, and not before: if it is refused, fails or is stopped until then, the
 * conversation stays as it was. What tools have done stays, and so does what the agents behind tools remember. This needs a
 * message that came through these routes, and a store with versions (`loadVersion` and `truncate` of `SessionStore`).
 *
 * **Gotchas**
 *
 * `stop()` of `useChat` only closes the connection, as closing the page does. A run without readers is stopped after
 * `reconnect` (10 seconds), so that a page can be loaded again. A stop button sends `POST /api/chat/:id/stop` too. A new
 * message of the user does not wait for a run that all pages have left: it stops it.
 *
 * A page of another origin than the server has to send the stop with a token (`Authorization: Bearer`) or with
 * `content-type: application/json`, or its origin has to be one of `AgentApi.TrustedOrigins`. Otherwise it is refused with
 * 403, because any page can make a browser send it.
 *
 * A run that goes on with answers from another wire (`AgentHttp`) is joined without the message that it goes on with; the
 * stored conversation has all of it.
 *
 * A run may end while a page is not connected to it: after the messages were loaded, or when the network was lost. The
 * answer is 204 then, and the page loads the messages again.
 *
 * With `SessionHistory.provider` nothing is saved of a run that is stopped or fails, and a page that is loaded again does
 * not have its message. Use `SessionHistory.make({ keep: "always" })` for chats.
 *
 * **Example** (The stream of a run)
 *
 * ```ts
 * import { Effect, Stream } from "effect"
 * import { Agent } from "effect-agents"
 * import { UiMessages } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const parts = Agent.stream(Agent.make("assistant"), { prompt: "Hello?" })
 *
 * const program = UiMessages.fromParts(parts, { messageId: "1" }).pipe(
 *   Stream.runForEach((chunk) => Effect.sync(() => console.log(chunk.type)))
 * )
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer([ScriptedModel.text("Hello!")])))
 * // => start
 * // => start-step
 * // => text-start
 * // => text-delta
 * // => text-end
 * // => finish-step
 * // => finish
 * ```
 *
 * **Example** (A server for `useChat`)
 *
 * ```ts no-run
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter } from "effect/http"
 * import { Agent, SessionHistory, SessionStore } from "effect-agents"
 * import { AgentApi, RunHub, UiMessages } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 * import { createServer } from "node:http"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.make({ keep: "always" })] })
 *
 * // here everybody is one owner: a real one looks at a cookie or a token
 * const Everybody = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
 *   Effect.provideService(handler, AgentApi.Owner, { id: "everybody" })
 * )
 *
 * const Server = HttpRouter.serve(UiMessages.layer(assistant).pipe(Layer.provide(Everybody.layer))).pipe(
 *   Layer.provide([RunHub.layer(), SessionStore.layerMemory, ScriptedModel.layer([ScriptedModel.text("Hello!")])]),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 }))
 * )
 *
 * NodeRuntime.runMain(Layer.launch(Server))
 * ```
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as ByteSize from "effect/ByteSize"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import type * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as Approval from "../Approval.ts"
import type * as SessionStore from "../SessionStore.ts"
import type * as AgentApi from "./AgentApi.ts"
import * as OwnedRuns from "./internal/ownedRuns.ts"
import * as History from "./internal/ui/history.ts"
import * as Routes from "./internal/ui/routes.ts"
import * as UiStream from "./internal/ui/stream.ts"
import type * as Wire from "./internal/ui/wire.ts"
import type * as RunHub from "./RunHub.ts"

export type {
  /**
   * The data of a transient `data-agent-chunk`: a chunk of the message of a nested run.
   *
   * @category models
   * @since 0.1.0
   */
  AgentChunkData,
  /**
   * The data of a `data-agent` part: a run that this run called as a tool. `text` is that of its last finished step.
   *
   * - `running`: it works.
   * - `waiting`: it has asked for approvals. Another run goes on with the answers.
   * - `completed`: it has completed. `stopReason` and `usage` are known.
   * - `stopped`: it ended without a result.
   *
   * @category models
   * @since 0.1.0
   */
  AgentData,
  /**
   * The approval that a call waits for: the tool and the parameters that will run, and the names of the agents from the
   * one that this run called to the one that asks.
   *
   * @category models
   * @since 0.1.0
   */
  ApprovalDescriptor,
  /**
   * One object of the stream: a `UIMessageChunk` of the AI SDK.
   *
   * @category models
   * @since 0.1.0
   */
  Chunk,
  /**
   * A message of a stored conversation: a `UIMessage` of the AI SDK.
   *
   * @category models
   * @since 0.1.0
   */
  Message,
  /**
   * A part of a message of a stored conversation.
   *
   * @category models
   * @since 0.1.0
   */
  MessagePart,
  /**
   * The metadata of a message of the assistant.
   *
   * - `agent`, `runId`, `session`: known when the run has started.
   * - `model`: the model that has answered last, if its provider tells.
   * - `stopReason`, `usage`: known when the run has completed. `usage` includes nested runs.
   * - `error`: why the run has failed, without anything about the inside of the server.
   * - `cut`: the message has a step that did not end, because its run failed or was stopped.
   *
   * @category models
   * @since 0.1.0
   */
  Metadata
} from "./internal/ui/wire.ts"

// -----------------------------------------------------------------------------
// The mapping alone
// -----------------------------------------------------------------------------

/**
 * What is known about the message of a run before it starts.
 *
 * @category options
 * @since 0.1.0
 */
export interface MessageOptions {
  /**
   * The id of the message. Default: that of `continues`, or else the id of the run. A run that goes on with `answers`
   * and has neither gives no id, so that a page keeps its own.
   */
  readonly messageId?: string | undefined
  /** The message that the run goes on with: the last one of `fromHistory`. Default: none, the run begins a message. */
  readonly continues?: Wire.Message | undefined
  /** The answers that the run goes on with. Default: none. */
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
}

/**
 * Returns the chunks of the message of a run, for a server of your own. The stream never fails: it ends with chunks that
 * say how the run ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromParts = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: MessageOptions = {}
): Stream.Stream<Wire.Chunk, never, R> => UiStream.fromParts(parts, options)

/**
 * Returns a stored conversation as messages of a page. The answers of one run are one message. Messages that came through
 * `layer` have the ids that their page knows; all others have an id that is their place in the conversation.
 *
 * A stored conversation has no sources, no data parts and no nested runs.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromHistory = (history: Prompt.Prompt): Array<Wire.Message> => History.toMessages(history)

/**
 * Returns the chunks that make this message of an assistant, without an end. Send them before those of a run that goes on
 * with it, to a page that does not have the message.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toChunks = (message: Wire.Message): ReadonlyArray<Wire.Chunk> => History.toChunks(message)

// -----------------------------------------------------------------------------
// The routes
// -----------------------------------------------------------------------------

/**
 * The options of the routes.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out Service extends Context.Key<any, any> = never, in E = any> {
  /** The path of the chat, as the `api` of the transport. Default: `/api/chat`. */
  readonly path?: `/${string}` | undefined
  /**
   * What happens when the last page that reads a run goes away. With `"stop"` the run is interrupted if no page comes
   * back within `reconnect`; with `"continue"` it goes on. Default: `"stop"`.
   */
  readonly whenLeft?: "continue" | "stop" | undefined
  /** How long a run without readers waits for a page to come back. Default: 10 seconds. */
  readonly reconnect?: Duration.Input | undefined
  /**
   * What happens to a message of the user while a run works on the chat: see `RunHub.StartOptions`. A run that stops
   * because all pages have left it is stopped at once. Default: `"refuse"`.
   */
  readonly whenBusy?: "refuse" | "replace" | "start" | undefined
  /** The time after which a quiet stream sends a sign of life. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
  /** The largest body of a request. A page sends its whole conversation each time. Default: 20 MiB. */
  readonly maximumBody?: ByteSize.Input | undefined
  /**
   * The services that the agent takes from each request, such as the account of a tenant. Your middleware provides them.
   * Default: none, so the services are those of the layer.
   */
  readonly fromRequest?: ReadonlyArray<Service> | undefined
  /**
   * Describes an expected failure of the agent to the page. Where it returns `undefined`, `AgentError.describe` does.
   * Default: `AgentError.describe` for all failures.
   */
  readonly describe?: ((error: E) => AgentError.Description | undefined) | undefined
}

/**
 * Creates the routes of a chat with an agent. The agent uses the services of the layer. Each request needs an
 * `AgentApi.Owner` from your middleware (`HttpRouter.middleware`).
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
    const { describe, reconnect = "10 seconds", whenBusy, whenLeft } = options
    const runs = yield* OwnedRuns.make<R, Service["Identifier"]>({
      describe,
      reconnect,
      whenBusy,
      whenLeft: whenLeft ?? "stop"
    })
    const routes = new Routes.Routes(agent, options, runs)
    yield* router.prefixed(options.path ?? "/api/chat").addAll(routes.all)
  }))

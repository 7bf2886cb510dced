/**
 * Agents as models of the OpenAI API: `/v1/chat/completions`, `/v1/responses` and `/v1/models`. Any client of that API can
 * talk to an agent: the `openai` package, the AI SDK, and whatever lets its user enter a base URL.
 *
 * The name of a model is the name of an agent. An agent is more than a model, and the clients see what their API has
 * words for:
 *
 * | part of a run            | chat completions                                     | responses                                           |
 * | ------------------------ | ---------------------------------------------------- | --------------------------------------------------- |
 * | text                     | `content`; the texts of two steps are two paragraphs | a `message` item for each text                      |
 * | reasoning                | `reasoning_content`, which many clients read         | a `reasoning` item                                  |
 * | sources                  | `annotations`, of URLs only                          | annotations of the text                             |
 * | calls of its own tools   | not told                                             | `mcp_call` items                                    |
 * | calls of client tools    | `tool_calls`                                         | `function_call` items                               |
 * | approvals                | denied, or a failure (`approvals`)                   | `mcp_approval_request` items                        |
 * | parts of other agents    | not told; their tokens are in the usage              | not told; their tokens are in the usage             |
 * | files, preliminary results | not told                                           | not told                                            |
 * | the value of an `output` | `content`, if the model has not said it as text      | a `message` item, if the model has not said it      |
 * | the end                  | `finish_reason`, and `usage` if it is known          | `completed` or `incomplete`, and `usage`            |
 * | a failure                | a status, or the error that ends the stream          | a status, or `response.failed`                      |
 * | an interrupt             | the error `interrupted`                              | `cancelled`                                         |
 *
 * **Chat completions keep nothing.** The messages of the request are the conversation, so a client may change its own
 * past. It cannot name a session, approve a call, or say that a tool of the agent was called. What the agent's own tools
 * have returned is not in the messages, so a model may call them again in the next request.
 *
 * **Responses keep their conversation** in a session of the owner, unless the request has `store: false`. The agent needs
 * `SessionHistory` for that; without it no response can be continued. `previous_response_id` names the response to go on
 * with. Instead, a client may refer to items of that response, as the AI SDK does. If the conversation has gone on since,
 * the new response goes on in a copy of it (`SessionStore.fork`); the last 100 responses of a conversation can be
 * continued.
 *
 * The request that goes on adds messages of the user, results of the client's tools, and answers to approvals, which
 * belong to the same model. The server takes nothing else that the client says about the conversation.
 *
 * A response can be retrieved, followed and cancelled as long as the hub keeps its run (`RunHub.layer`). After that one
 * with a conversation is told from it, without sources. Its `input_items` are what it has seen. With `DELETE` it is
 * forgotten: nothing can go on with it, and with the last response of a conversation the conversation is deleted. With
 * `background: true` the run goes on when the client leaves.
 *
 * A durable run begins the step again in which its process ended. A response does not have the items of the first
 * attempt, and neither has a completion that is not streamed. A streamed completion cannot take back a text.
 *
 * **What a request may ask for.** System and developer messages are ignored, unless `systemMessages` says otherwise: the
 * agent has its own instructions. So are `temperature` and what else is about the way a model writes, unless `settings`
 * gives it to the model, and what is about the accounts of OpenAI. A parameter that would change what the client
 * receives (`n`, `response_format`, `logprobs`, a forced `tool_choice`, ...) is refused with status 400.
 *
 * Failures are told in the form of `AgentError.describe`: no defect, no argument and no internal message leaves the
 * server. The header `x-should-retry` tells clients whether to try again.
 *
 * **Example** (A server for the clients of OpenAI)
 *
 * ```ts no-run
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter, HttpServerRequest } from "effect/http"
 * import { Agent, SessionStore } from "effect-agents"
 * import { AgentApi, OpenAiApi, RunHub } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 * import { createServer } from "node:http"
 *
 * const assistant = Agent.make("assistant")
 *
 * // the key of the client says who asks: a real server looks it up
 * const Auth = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
 *   Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
 *     headers.authorization === "Bearer sk-ann"
 *       ? Effect.provideService(handler, AgentApi.Owner, { id: "ann" })
 *       : Effect.succeed(OpenAiApi.unauthorized)))
 *
 * const Server = HttpRouter.serve(OpenAiApi.layer({ assistant }).pipe(Layer.provide(Auth.layer))).pipe(
 *   Layer.provide([RunHub.layer(), SessionStore.layerMemory, ScriptedModel.layer([ScriptedModel.text("Hello!")])]),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 }))
 * )
 *
 * // new OpenAI({ baseURL: "http://localhost:3000/v1", apiKey: "sk-ann" })
 * NodeRuntime.runMain(Layer.launch(Server))
 * ```
 *
 * @since 0.1.0
 */
import * as ByteSize from "effect/ByteSize"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import type * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as SessionStore from "../SessionStore.ts"
import * as AgentApi from "./AgentApi.ts"
import * as CrossSite from "./internal/crossSite.ts"
import * as Chat from "./internal/openAi/chat.ts"
import type * as ChatModels from "./internal/openAi/chatModels.ts"
import * as ChatParts from "./internal/openAi/chatParts.ts"
import * as Failures from "./internal/openAi/failures.ts"
import type * as ResponseModels from "./internal/openAi/responseModels.ts"
import * as ResponseParts from "./internal/openAi/responseParts.ts"
import { Responses } from "./internal/openAi/responses.ts"
import type * as Parameters from "./internal/openAi/parameters.ts"
import * as Served from "./internal/openAi/served.ts"
import * as OwnedRuns from "./internal/ownedRuns.ts"
import type * as RunHub from "./RunHub.ts"

export type * from "./internal/openAi/chatModels.ts"
export type * from "./internal/openAi/responseModels.ts"

/**
 * What a request says about the way in which a model writes. Each field is `undefined` if the request does not say it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sampling extends Parameters.Sampling {}

/**
 * The options of a server.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out Service extends Context.Key<any, any> = never> {
  /** The path below which the endpoints are. Default: `/v1`. */
  readonly path?: `/${string}` | undefined
  /**
   * What happens to a call that needs an approval, in a chat completion or a response with `store: false`: `"deny"` lets
   * the model go on without the call, and `"fail"` fails the run with status 422. Default: `"deny"`.
   */
  readonly approvals?: "deny" | "fail" | undefined
  /**
   * What happens to system and developer messages. With `"append"` the model reads them after the instructions of the
   * agent, so whoever has a key may instruct the agent. Default: `"ignore"`.
   */
  readonly systemMessages?: "append" | "ignore" | undefined
  /**
   * Gives what a request says about sampling to the model, in the form of `settings` of `Agent.make`. The settings of
   * the agent itself take precedence. Default: it is ignored, and a request with `stop` is refused.
   */
  readonly settings?:
    | ((sampling: Sampling) => (context: Context.Context<never>) => Context.Context<never>)
    | undefined
  /** The time after which a quiet stream sends a sign of life. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
  /** The largest body of a request. Default: 20 MiB. */
  readonly maximumBody?: ByteSize.Input | undefined
  /**
   * The services that the agents take from each request: the account of a tenant, for example. Your middleware provides
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
 * Creates the routes of the API for these agents. The key of an agent is its name as a model.
 *
 * Each request has an `AgentApi.Owner`, which your middleware provides (`HttpRouter.middleware`). A client that goes
 * away interrupts its run.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <
  const Agents extends Readonly<Record<string, Agent.Any>>,
  Service extends Context.Key<any, any> = never
>(
  agents: Agents,
  options: Options<Service> = {}
): Layer.Layer<
  never,
  never,
  | HttpRouter.HttpRouter
  | HttpRouter.Request.From<"Requires", AgentApi.Owner | Exclude<Service["Identifier"], HttpRouter.Provided>>
  | Exclude<Agent.Services<Agents[keyof Agents]>, Service["Identifier"]>
  | RunHub.RunHub
  | SessionStore.SessionStore
> =>
  // the services of all agents together
  serve<Agent.Services<Agents[keyof Agents]>, Service>(agents as any, options)

const defaultBody = ByteSize.fromInputUnsafe("20 MiB")

const serve = <R, Service extends Context.Key<any, any>>(
  agents: Readonly<Record<string, Agent.Agent<any, any, R, any, any>>>,
  options: Options<Service>
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
    const served: Served.Served<R, Service["Identifier"]> = {
      agents,
      runs: yield* OwnedRuns.make<R, Service["Identifier"]>({ describe: options.describe }),
      approvals: options.approvals ?? "deny",
      systemMessages: options.systemMessages ?? "ignore",
      settings: options.settings,
      keepAlive: options.keepAlive,
      maximumBody: options.maximumBody === undefined ? defaultBody : ByteSize.fromInputUnsafe(options.maximumBody)
    }
    const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const toModel = (id: string) => ({ id, object: "model" as const, created, owned_by: "effect-agents" })
    const at = router.prefixed(options.path ?? "/v1")
    const responses = new Responses(served)
    const told = toldOf(served.runs.trusted)
    const withId = <R>(
      answer: (id: string) => Effect.Effect<HttpServerResponse.HttpServerResponse, Failures.Failure, R>
    ) => told(Effect.flatMap(HttpRouter.params, ({ id = "" }) => answer(id)))
    yield* at.add("POST", "/chat/completions", told(Chat.answer(served)))
    yield* at.add("POST", "/responses", told(responses.create))
    yield* at.add("GET", "/responses/:id", withId(responses.retrieve))
    yield* at.add("DELETE", "/responses/:id", withId(responses.remove))
    yield* at.add("GET", "/responses/:id/input_items", withId(responses.inputItems))
    yield* at.add("POST", "/responses/:id/cancel", withId(responses.cancel))
    yield* at.add(
      "GET",
      "/models",
      HttpServerResponse.jsonUnsafe({ object: "list", data: Object.keys(agents).map(toModel) })
    )
    yield* at.add(
      "GET",
      "/models/:model",
      told(Effect.gen(function*() {
        const { model = "" } = yield* HttpRouter.params
        yield* Served.agentOf(served, model)
        return HttpServerResponse.jsonUnsafe(toModel(model))
      }))
    )
  }))

/**
 * The response to a request whose key is not valid, for your middleware.
 *
 * @category responses
 * @since 0.1.0
 */
export const unauthorized: HttpServerResponse.HttpServerResponse = Failures.toResponse({
  status: 401,
  retryable: false,
  error: {
    message: "Incorrect API key provided.",
    type: "invalid_request_error",
    param: null,
    code: "invalid_api_key"
  }
})

const toldOf = (trusted: ReadonlyArray<string>) =>
<R>(
  answer: Effect.Effect<HttpServerResponse.HttpServerResponse, Failures.Failure, R>
): Effect.Effect<HttpServerResponse.HttpServerResponse, never, R | HttpServerRequest.HttpServerRequest> =>
  HttpServerRequest.HttpServerRequest.pipe(
    Effect.flatMap((request) => Effect.andThen(CrossSite.check(request, crossSite, trusted), answer)),
    Effect.match({ onFailure: Failures.toResponse, onSuccess: (response) => response })
  )

const crossSite = Effect.fail(Failures.ofRun(new AgentApi.RunFailed(CrossSite.refusal)))

// -----------------------------------------------------------------------------
// The mappings alone
// -----------------------------------------------------------------------------

/**
 * How an answer is told.
 *
 * @category options
 * @since 0.1.0
 */
export interface ChatOptions extends ChatParts.ChatOptions {}

/**
 * Returns the chunks of a chat completion for the parts of a run, for a server of your own. It never fails: the last
 * object of a run that does not complete is an `ErrorBody`. The wire ends with `data: [DONE]`, which is not a chunk.
 *
 * @category conversions
 * @since 0.1.0
 */
export const chatChunksFromParts: <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ChatOptions
) => Stream.Stream<ChatModels.ChatCompletionChunk | ChatModels.ErrorBody, never, R> = ChatParts.chunks

/**
 * Returns the chat completion for the parts of a run, or the error body of a run that does not complete.
 *
 * @category conversions
 * @since 0.1.0
 */
export const chatFromParts = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ChatOptions
): Effect.Effect<ChatModels.ChatCompletion | ChatModels.ErrorBody, never, R> =>
  Effect.match(ChatParts.completion(parts, options), {
    onFailure: ({ error }): ChatModels.ChatCompletion | ChatModels.ErrorBody => ({ error }),
    onSuccess: (completion) => completion
  })

/**
 * How a response is told.
 *
 * @category options
 * @since 0.1.0
 */
export interface ResponseOptions extends ResponseParts.ResponseOptions {}

/**
 * Returns the events of a response for the parts of a run, for a server of your own. It never fails: the last event says
 * how the run ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const responseEventsFromParts: <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ResponseOptions
) => Stream.Stream<ResponseModels.ResponseEvent, never, R> = ResponseParts.events

/**
 * Returns the response for the parts of a run, however it has ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const responseFromParts: <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: ResponseOptions
) => Effect.Effect<ResponseModels.ResponseObject, never, R> = ResponseParts.ended

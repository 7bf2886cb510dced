/**
 * An agent behind HTTP: the handlers of the group that `AgentApi` describes.
 *
 * Each run is a run of the `RunHub`, so a client that does not read blocks neither the run nor its session. A run
 * without readers is interrupted, unless the options say otherwise. Sessions and runs belong to the `Owner` that the
 * security middleware of the API provides.
 *
 * A client receives failures in the form of `AgentError.describe`: no defect, no argument and no internal message
 * leaves the server, unless the option `failures` says so.
 *
 * **Example** (A server of one agent)
 *
 * ```ts no-run
 * import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { HttpRouter } from "effect/http"
 * import { HttpApi, HttpApiBuilder, HttpApiMiddleware } from "effect/http-api"
 * import { Agent, SessionHistory, SessionStore } from "effect-agents"
 * import { AgentApi, AgentHttp, RunHub } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 * import { createServer } from "node:http"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * // here everybody is one owner: a real one looks at a token
 * class Everybody extends HttpApiMiddleware.Service<Everybody, { provides: AgentApi.Owner }>()("Everybody") {
 *   static readonly layer = Layer.succeed(this, (effect) =>
 *     Effect.provideService(effect, AgentApi.Owner, { id: "everybody" }))
 * }
 *
 * class Api extends HttpApi.make("agents").add(AgentApi.group("assistant").middleware(Everybody)) {}
 *
 * const Handlers = HttpApiBuilder.group(
 *   Api,
 *   "assistant",
 *   Effect.fn(function*(handlers) {
 *     return handlers.handleAll(yield* AgentHttp.handlers(assistant))
 *   })
 * ).pipe(Layer.provide(Everybody.layer))
 *
 * const Server = RunHub.closeBefore(HttpRouter.serve(HttpApiBuilder.layer(Api))).pipe(
 *   Layer.provide(Handlers),
 *   Layer.provide([RunHub.layer(), SessionStore.layerMemory, ScriptedModel.layer([ScriptedModel.text("Hello!")])]),
 *   Layer.provide(NodeHttpServer.layer(createServer, { port: 3000 }))
 * )
 *
 * NodeRuntime.runMain(Layer.launch(Server))
 * ```
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as ByteSize from "effect/ByteSize"
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as Layer from "effect/Layer"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import * as AgentApi from "./AgentApi.ts"
import * as OwnedRuns from "./internal/ownedRuns.ts"
import * as Sse from "./internal/sse.ts"
import type * as RunHub from "./RunHub.ts"

/**
 * The options for serving the runs of an agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options<out Service extends Context.Key<any, any> = never, in E = any>
  extends Omit<RunHub.StartOptions, "owner">
{
  /**
   * What happens when the last client that reads a run goes away. Default: `"stop"`.
   */
  readonly whenLeft?: "continue" | "stop" | undefined
  /** The time after which a quiet stream of parts sends a sign of life. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
  /**
   * The services that the agent takes from each request: the current user or the account of a tenant, for example. A
   * middleware of your API provides them. Default: none, so the services are those of the layer.
   */
  readonly fromRequest?: ReadonlyArray<Service> | undefined
  /**
   * What a client learns about an expected failure of a run, for failures that are yours. For `undefined`, and for
   * defects, `AgentError.describe` decides. A status that is not one of `AgentApi.statuses` becomes 500. Default:
   * `AgentError.describe` for all failures.
   */
  readonly describe?: ((error: E) => AgentError.Description | undefined) | undefined
  /**
   * How much a client learns about failures. With `"detailed"` each has its tags, its message and its fields beside the
   * public description, and defects have their stack: for a server on the machine of its user, and no other. Default:
   * `"public"`.
   */
  readonly failures?: "public" | "detailed" | undefined
}

/**
 * Creates the handlers of an agent's group, for `handleAll` of `HttpApiBuilder.group`. The agent uses the services of
 * the layer that is built with the handlers; those of `fromRequest` come from each request, which may replace the others,
 * too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const handlers = <
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
  Effect.map(
    OwnedRuns.make<R, Service["Identifier"]>(options),
    (runs) => new Handlers(agent, options, runs).all
  )

/**
 * Creates a layer that sets the largest size of request bodies. A larger body is refused with 413 before it is decoded.
 * Provide the layer to the handlers of a group. Without it, the limit is 20 MiB.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerBodyLimit = (
  /** Default: 20 MiB. */
  maximum: ByteSize.Input = "20 MiB"
): Layer.Layer<never> => Layer.succeed(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(maximum))

class Handlers<Tools extends Record<string, Tool.Any>, E, R, A, P, Service extends Context.Key<any, any>> {
  private readonly agent: Agent.Agent<Tools, E, R, A, P>
  private readonly options: Options<Service, E>
  private readonly runs: OwnedRuns.OwnedRuns<R, Service["Identifier"]>

  constructor(
    agent: Agent.Agent<Tools, E, R, A, P>,
    options: Options<Service, E>,
    runs: OwnedRuns.OwnedRuns<R, Service["Identifier"]>
  ) {
    this.agent = agent
    this.options = options
    this.runs = runs
  }

  readonly all = {
    run: ({ payload: { keep, prompt, runId, session } }: { readonly payload: AgentApi.RunRequest }) =>
      Effect.gen({ self: this }, function*() {
        const { id } = yield* AgentApi.Owner
        const input = { prompt: Prompt.fromMessages([AgentApi.toUserMessage(prompt)]), session, runId }
        return this.respond(yield* this.runs.start(this.agent, id, input, { keep }))
      }),

    answer: ({ params, payload: { answers, keep, runId } }: {
      readonly params: { readonly session: string }
      readonly payload: AgentApi.AnswerRequest
    }) =>
      Effect.gen({ self: this }, function*() {
        const { id } = yield* AgentApi.Owner
        return this.respond(yield* this.runs.answer(this.agent, id, params.session, answers, { runId }, { keep }))
      }),

    join: ({ headers, params, query }: {
      readonly params: { readonly runId: string }
      readonly query: { readonly after?: number | undefined }
      readonly headers: { readonly "last-event-id"?: number | undefined }
    }) =>
      Effect.gen({ self: this }, function*() {
        const { id } = yield* AgentApi.Owner
        const run = yield* this.runs.find(id, params.runId, this.agent.name)
        return this.respond(run, headers["last-event-id"] ?? query.after)
      }),

    stop: ({ params: { runId } }: { readonly params: { readonly runId: string } }) =>
      Effect.flatMap(AgentApi.Owner, ({ id }) => this.runs.stop(id, runId, this.agent.name)),

    steer: ({ params, payload: { message } }: {
      readonly params: { readonly runId: string }
      readonly payload: { readonly message: AgentApi.Message }
    }) => Effect.flatMap(AgentApi.Owner, ({ id }) => this.runs.steer(id, params.runId, message, this.agent.name)),

    sessions: ({ query }: { readonly query: AgentApi.SessionQuery }) =>
      Effect.flatMap(AgentApi.Owner, ({ id }) => this.runs.sessions(id, query)),

    session: ({ params }: { readonly params: { readonly session: string } }) =>
      Effect.flatMap(AgentApi.Owner, ({ id }) => this.runs.view(id, params.session)),

    rename: ({ params, payload: { title } }: {
      readonly params: { readonly session: string }
      readonly payload: AgentApi.RenameRequest
    }) => Effect.flatMap(AgentApi.Owner, ({ id }) => this.runs.rename(id, params.session, title)),

    fork: ({ params, payload }: {
      readonly params: { readonly session: string }
      readonly payload: AgentApi.ForkRequest
    }) => Effect.flatMap(AgentApi.Owner, ({ id }) => this.runs.fork(id, params.session, payload)),

    forget: ({ params }: { readonly params: { readonly session: string } }) =>
      Effect.flatMap(AgentApi.Owner, ({ id }) => this.runs.forget(id, params.session, this.agent))
  }

  private respond(run: OwnedRuns.OwnedRun, after?: number) {
    return Sse.response(Sse.events(run.parts({ after })), {
      keepAlive: this.options.keepAlive,
      headers: Sse.runHeader(run.live.runId)
    })
  }
}

/**
 * An agent behind HTTP: the handlers of the group that `AgentApi` describes.
 *
 * Each run is a run of the `RunHub`, so a client that does not read blocks neither the run nor its session. A run
 * without readers is interrupted, unless the options say otherwise. Sessions and runs belong to the `Owner` that the
 * security middleware of the API provides.
 *
 * A client receives failures in the form of `AgentError.describe`: no defect, no argument and no internal message
 * leaves the server.
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
 * ).pipe(Layer.provide([Everybody.layer, AgentHttp.layerBodyLimit()]))
 *
 * const Server = HttpRouter.serve(HttpApiBuilder.layer(Api)).pipe(
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
import type * as Tool from "effect/ai/Tool"
import * as Prompt from "effect/ai/Prompt"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Agent from "../Agent.ts"
import * as Approval from "../Approval.ts"
import * as RunId from "../internal/words/runId.ts"
import * as SessionStore from "../SessionStore.ts"
import * as AgentApi from "./AgentApi.ts"
import { failed } from "./internal/failures.ts"
import * as Sessions from "./internal/sessions.ts"
import * as Sse from "./internal/sse.ts"
import * as RunHub from "./RunHub.ts"

/**
 * The options for serving the runs of an agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options extends RunHub.StartOptions {
  /**
   * What happens when the last client that reads a run goes away. Default: `"stop"`.
   */
  readonly whenLeft?: "continue" | "stop" | undefined
  /** The time after which a quiet stream of parts sends a sign of life. Default: 15 seconds. */
  readonly keepAlive?: Duration.Input | undefined
}

/**
 * Creates the handlers of an agent's group, for `handleAll` of `HttpApiBuilder.group`. The agent uses the services of
 * the layer that is built with the handlers; each request may replace them with its own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const handlers = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: Options = {}
) =>
  Effect.map(
    Effect.context<R | RunHub.RunHub | SessionStore.SessionStore>(),
    (context) => new Handlers(agent, options, Context.omit(Scope.Scope)(context) as typeof context).all
  )

/**
 * Creates a layer that limits the size of request bodies. A larger body is refused with 413 before it is decoded. Provide
 * the layer to the handlers of a group. Without it, there is no limit.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerBodyLimit = (
  /** Default: 20 MiB. */
  maximum: ByteSize.Input = "20 MiB"
): Layer.Layer<never> => Layer.succeed(HttpIncomingMessage.MaxBodySize, ByteSize.fromInputUnsafe(maximum))

class Handlers<Tools extends Record<string, Tool.Any>, E, R, A, P> {
  private readonly agent: Agent.Agent<Tools, E, R, A, P>
  private readonly options: Options
  private readonly context: Context.Context<R | RunHub.RunHub | SessionStore.SessionStore>
  private readonly hub: RunHub.RunHub["Service"]
  private readonly store: SessionStore.SessionStore["Service"]
  /** The owner of each run, as long as the hub knows the run. */
  private readonly owners = new WeakMap<object, string>()
  /** The runs that are beginning, by owner and id. */
  private readonly beginnings = new Map<string, Fiber.Fiber<unknown, unknown>>()

  constructor(
    agent: Agent.Agent<Tools, E, R, A, P>,
    options: Options,
    context: Context.Context<R | RunHub.RunHub | SessionStore.SessionStore>
  ) {
    this.agent = agent
    this.options = options
    this.context = context
    this.hub = Context.get(context, RunHub.RunHub)
    this.store = Context.get(context, SessionStore.SessionStore)
  }

  readonly all = {
    run: ({ payload: { prompt, runId, session } }: { readonly payload: AgentApi.RunRequest }) =>
      Effect.flatMap(AgentApi.Owner, ({ id }) =>
        this.start(id, {
          prompt: Prompt.fromMessages([AgentApi.toUserMessage(prompt)]),
          session: session === undefined ? undefined : Sessions.prefixOf(id) + session,
          runId
        })),

    answer: ({ params, payload }: {
      readonly params: { readonly session: string }
      readonly payload: AgentApi.AnswerRequest
    }) =>
      Effect.gen({ self: this }, function*() {
        const { id } = yield* AgentApi.Owner
        const session = Sessions.prefixOf(id) + params.session
        const { history } = yield* told(this.store.load(session))
        const answers = yield* answersTo(Approval.pending(history), payload.answers)
        const input = { prompt: Prompt.empty, session, answers, runId: payload.runId }
        // an answer that is sent twice must not stop the call that it has approved
        const { whenBusy } = this.options
        return yield* this.start(id, input, { whenBusy: whenBusy === "replace" ? "refuse" : whenBusy })
      }),

    join: ({ headers, params, query }: {
      readonly params: { readonly runId: string }
      readonly query: { readonly after?: number | undefined }
      readonly headers: { readonly "last-event-id"?: number | undefined }
    }) =>
      Effect.flatMap(
        this.find(params.runId),
        ({ live, owner }) => this.respond(live, owner, headers["last-event-id"] ?? query.after)
      ),

    stop: ({ params: { runId } }: { readonly params: { readonly runId: string } }) =>
      Effect.gen({ self: this }, function*() {
        const { id } = yield* AgentApi.Owner
        const beginning = this.beginnings.get(Sessions.prefixOf(id) + runId)
        if (beginning !== undefined) yield* Fiber.interrupt(beginning)
        const found = yield* Effect.result(this.find(runId))
        if (Result.isSuccess(found)) return yield* found.success.live.stop
        if (beginning === undefined) return yield* found.failure
      }),

    steer: ({ params, payload }: {
      readonly params: { readonly runId: string }
      readonly payload: { readonly message: AgentApi.Message }
    }) =>
      Effect.gen({ self: this }, function*() {
        const { live } = yield* this.find(params.runId)
        const running = yield* this.hub.running
        if (!running.includes(live)) return yield* runEnded
        if ((yield* live.steering.unread).length >= AgentApi.maximumUnread) return yield* tooManyMessages
        yield* live.steering.send(AgentApi.toUserMessage(payload.message))
      }),

    session: ({ params }: { readonly params: { readonly session: string } }) =>
      Effect.gen({ self: this }, function*() {
        const { id } = yield* AgentApi.Owner
        const session = Sessions.prefixOf(id) + params.session
        const { history, version } = yield* told(this.store.load(session))
        const live = yield* this.hub.ofSession(session)
        const isRunning = live !== undefined && (yield* this.hub.running).includes(live)
        if (version === 0 && !isRunning) return yield* sessionUnknown
        const view: AgentApi.SessionView = {
          id: params.session,
          version,
          messages: Sessions.shownMessages(history.content),
          approvals: Approval.pending(history),
          runId: isRunning ? live.runId : undefined
        }
        return view
      }),

    forget: ({ params }: { readonly params: { readonly session: string } }) =>
      Effect.gen({ self: this }, function*() {
        const { id } = yield* AgentApi.Owner
        const session = Sessions.prefixOf(id) + params.session
        // the runs would still save a session that was deleted
        yield* this.hub.stopSession(session)
        yield* told(this.store.remove(session))
      })
  }

  private start(owner: string, given: Agent.Input, options?: RunHub.StartOptions) {
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const runId = given.runId ?? (yield* RunId.next)
        const starting = this.hub.start(this.agent, { ...given, runId }, {
          whenLeft: "stop",
          ...this.options,
          ...options
        }).pipe(
          Effect.updateContext((request: Context.Context<never>) => Context.merge(this.context, request)),
          Effect.tap((live) => Effect.sync(() => this.owners.set(live, owner)))
        )
        // a run that begins has its own fiber, so that stopping it leaves the request alive to answer
        const beginning = yield* Effect.forkChild(starting, { startImmediately: true })
        const key = Sessions.prefixOf(owner) + runId
        if (!this.beginnings.has(key)) this.beginnings.set(key, beginning)
        const begun = Effect.onInterrupt(restore(Fiber.join(beginning)), () =>
          Effect.andThen(
            Fiber.interrupt(beginning),
            Effect.suspend(() => {
              // a run that has begun all the same has lost its first reader
              const exit = beginning.pollUnsafe()
              return exit !== undefined && Exit.isSuccess(exit) ? Effect.scoped(exit.value.hold) : Effect.void
            })
          ))
        const live = yield* told(begun).pipe(
          Effect.ensuring(Effect.sync(() => {
            if (this.beginnings.get(key) === beginning) {
              this.beginnings.delete(key)
            }
          }))
        )
        // until the response is over, because a client that leaves before it begins has left too
        yield* live.hold
        return yield* this.respond(live, owner, undefined)
      })
    )
  }

  private respond(live: RunHub.Live, owner: string, after: number | undefined) {
    const prefix = Sessions.prefixOf(owner)
    const parts = Stream.map(live.parts({ after }), ({ part, seq }) => ({ seq, part: Sessions.shown(part, prefix) }))
    const text = Sse.keepAlive(Sse.events(parts), this.options.keepAlive ?? "15 seconds")
    return Effect.succeed(HttpServerResponse.stream(Stream.encodeText(text), {
      contentType: "text/event-stream",
      headers: { "cache-control": "no-cache, no-transform", "x-accel-buffering": "no", "x-run-id": live.runId }
    }))
  }

  private find(runId: string) {
    return Effect.gen({ self: this }, function*() {
      const owner = (yield* AgentApi.Owner).id
      const live = yield* this.hub.get(runId)
      return live !== undefined && this.owners.get(live) === owner ? { live, owner } : yield* runUnknown
    })
  }
}

/** The failure that a client receives. An interrupt of the run is one, too; an interrupt of the request reaches nobody. */
const told = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, AgentApi.RunFailed, R> =>
  Effect.catchCause(self, (cause) => Effect.fail(refusedBy(cause) ?? AgentApi.describe(cause)))

const refusedBy = (cause: Cause.Cause<unknown>): AgentApi.RunFailed | undefined => {
  const [reason] = cause.reasons
  if (reason === undefined || !Cause.isFailReason(reason) || !(reason.error instanceof RunHub.RunRefused)) {
    return undefined
  }
  switch (reason.error.problem) {
    case "closing":
      return failed("unavailable", 503, true, "The agent is not available now.")
    case "run-exists":
      return failed("run-exists", 409, false, "There is a run with this id.")
    case "session-busy":
      return failed("session-in-use", 409, true, "Another run works on the conversation.")
  }
}

const runUnknown = Effect.fail(failed("run-unknown", 404, false, "The run is not known, or it ended a while ago."))
const runEnded = Effect.fail(failed("run-ended", 409, false, "The run has ended."))
const sessionUnknown = Effect.fail(failed("session-not-found", 404, false, "The conversation is not known."))
const tooManyMessages = Effect.fail(
  failed("too-many-messages", 429, true, "The run has not read the messages before this one yet.")
)
const approvalUnknown = Effect.fail(failed("approval-unknown", 404, false, "Nobody asked for this approval."))

/** The session says which call an answer is for. */
const answersTo = (
  pending: ReadonlyArray<Approval.Approval>,
  given: ReadonlyArray<AgentApi.Answer>
): Effect.Effect<ReadonlyArray<Approval.Answer>, AgentApi.RunFailed> =>
  Effect.forEach(given, ({ approvalId, approved, params, reason }) => {
    const approval = pending.find((_) => _.approvalId === approvalId)
    if (approval === undefined) return approvalUnknown
    if (!approved) return Effect.succeed(Approval.deny(approval, reason))
    return Effect.succeed(Approval.approve(approval, params === undefined ? undefined : { params }))
  })

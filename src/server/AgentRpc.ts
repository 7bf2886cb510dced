/**
 * An agent over effect's `Rpc`: the group of its procedures, and their handlers. It does what `AgentApi` and `AgentHttp`
 * do over HTTP, for clients that are Effect programs: over HTTP, a WebSocket or a socket, between workers, and in one
 * process. `RemoteAgent.fromRpc` makes an agent of a client.
 *
 * The procedures of the agent `"assistant"` are `assistant.run`, `.answer`, `.join`, `.stop`, `.steer`, `.sessions`,
 * `.session` and `.forget`, so that the groups of several agents can be merged. Runs are streams of numbered parts. They
 * have the outcomes of the run: a stream that is interrupted belongs to an interrupted run.
 *
 * - Every run is a run of the `RunHub`. A client that interrupts its call, or whose connection is lost, has left the run.
 * - Sessions and runs belong to the `Owner` that the middleware of the group provides.
 * - Failures are `RunFailed`. Defects of the handlers and of the codecs are masked. Those of your own middleware are not
 *   seen here: effect sends them to the client with their messages.
 * - Over HTTP use a serialization with frames (`RpcSerialization.layerNdjson`), or the parts come when the run has ended.
 *   Effect sends no sign of life on a quiet response. A WebSocket has one, which the client asks for every five seconds.
 *   `layerNdjson` reads messages of at most 16 MiB: the last part of a run contains its whole transcript, so clients of
 *   long runs need `layerNdjsonWith`.
 *
 * A request that is not valid fails with the code `invalid-request`. `layerHttp` serves a group with bounded bodies. A
 * request that a page of another site has made a browser send, with the cookies of its user, is refused (`cross-site`),
 * over HTTP and over a WebSocket. A WebSocket with any cookie needs a page of the server's own origin, or of one of
 * `AgentApi.TrustedOrigins`.
 *
 * **Example** (A client and a server in one process)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { RpcMiddleware, RpcTest } from "effect/rpc"
 * import { Agent, SessionHistory, SessionStore } from "effect-agents"
 * import { AgentApi, AgentRpc, RemoteAgent, RunHub } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * // here everybody is one owner: a real one looks at a token in the headers
 * class Everybody extends RpcMiddleware.Service<Everybody, { provides: AgentApi.Owner }>()("Everybody") {
 *   static readonly layer = Layer.succeed(this, (effect) =>
 *     Effect.provideService(effect, AgentApi.Owner, { id: "everybody" }))
 * }
 *
 * class Assistant extends AgentRpc.group("assistant").middleware(Everybody) {}
 *
 * const Handlers = Assistant.toLayer(AgentRpc.handlers("assistant", assistant)).pipe(
 *   Layer.provide([RunHub.layer(), SessionStore.layerMemory, ScriptedModel.layer([ScriptedModel.text("Hello!")])])
 * )
 *
 * const program = Effect.gen(function*() {
 *   const client = yield* RpcTest.makeClient(Assistant)
 *   const remote = RemoteAgent.fromRpc("assistant", client)
 *   const { text } = yield* Agent.run(remote, { prompt: "Hello?", session: "chat" })
 *   const { sessions } = yield* client["assistant.sessions"]({})
 *   console.log(text, sessions.map(({ id, title }) => `${id}: ${title}`))
 * })
 *
 * Effect.runPromise(Effect.scoped(Effect.provide(program, [Handlers, Everybody.layer])))
 * // => Hello! [ 'chat: Hello?' ]
 * ```
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as ByteSize from "effect/ByteSize"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as HttpRouter from "effect/http/HttpRouter"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as HttpServerResponse from "effect/http/HttpServerResponse"
import * as Layer from "effect/Layer"
import * as Rpc from "effect/rpc/Rpc"
import * as RpcGroup from "effect/rpc/RpcGroup"
import * as RpcServer from "effect/rpc/RpcServer"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as AgentOutput from "../AgentOutput.ts"
import * as AgentRun from "../AgentRun.ts"
import type * as SessionStore from "../SessionStore.ts"
import * as AgentApi from "./AgentApi.ts"
import * as CrossSite from "./internal/crossSite.ts"
import { failed } from "./internal/failures.ts"
import * as Guard from "./internal/guard.ts"
import { lenient, Malformed } from "./internal/malformed.ts"
import * as OwnedRuns from "./internal/ownedRuns.ts"
import * as Valued from "./internal/valued.ts"
import type * as RunHub from "./RunHub.ts"

// -----------------------------------------------------------------------------
// What is sent
// -----------------------------------------------------------------------------

/**
 * What a client receives of a defect of the server.
 */
const internal = AgentApi.describe(Cause.die(undefined))

/** Effect sends defects to clients, for instance the values of a part that it cannot encode. */
const Masked: Schema.Codec<unknown, typeof AgentApi.RunFailed.Encoded> = AgentApi.RunFailed.pipe(
  Schema.decodeTo(Schema.Unknown, {
    decode: SchemaGetter.passthroughSupertype(),
    encode: SchemaGetter.transform(() => internal)
  })
)

const RunId = { runId: Schema.String }

const session = { session: AgentApi.SessionId }

const fields = <const Fields extends Schema.Struct.Fields>(fields: Fields): Schema.Struct<Fields> =>
  lenient(Schema.Struct(fields))

/**
 * Creates the group of an agent. With the toolkit and the output of the agent a client reads parts of their types.
 *
 * @category constructors
 * @since 0.1.0
 */
export const group = <
  const Name extends string,
  Tools extends Record<string, Tool.Any> = any,
  A = unknown,
  I = unknown,
  RD = never,
  RE = never
>(
  name: Name,
  options?: {
    /** The toolkit of the agent. Default: none, so results are JSON. */
    readonly toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, any, any> | Toolkit.WithHandler<Tools> | undefined
    /** The output of the agent. Default: none, so the value of a result is JSON. */
    readonly output?: AgentOutput.AgentOutput<A, I, RD> | Schema.Codec<A, I, RD, RE> | undefined
  }
) => {
  const part = AgentRun.parts<Tools, A, I, RD, RE>(options?.toolkit, { output: options?.output })
  const success = Schema.Struct({ seq: Schema.Int, part })
  const each = { error: AgentApi.RunFailed, defect: Masked }
  return RpcGroup.make(
    Rpc.make("run", { ...each, payload: lenient(AgentApi.RunRequest), success, stream: true }),
    Rpc.make("answer", {
      ...each,
      payload: lenient(Schema.Struct({ session: AgentApi.SessionId, ...AgentApi.AnswerRequest.fields })),
      success,
      stream: true
    }),
    Rpc.make("join", {
      ...each,
      payload: fields({ ...RunId, after: Schema.optional(Schema.Int.check(Schema.isGreaterThanOrEqualTo(-1))) }),
      success,
      stream: true
    }),
    Rpc.make("stop", { ...each, payload: fields(RunId) }),
    Rpc.make("steer", { ...each, payload: fields({ ...RunId, message: AgentApi.Message }) }),
    Rpc.make("sessions", { ...each, payload: lenient(AgentApi.SessionQuery), success: AgentApi.SessionPage }),
    Rpc.make("session", { ...each, payload: fields(session), success: AgentApi.SessionView }),
    Rpc.make("rename", { ...each, payload: fields({ ...session, ...AgentApi.RenameRequest.fields }) }),
    Rpc.make("fork", { ...each, payload: fields({ ...session, ...AgentApi.ForkRequest.fields }) }),
    Rpc.make("forget", { ...each, payload: fields(session) })
  ).prefix(`${name}.`)
}

// -----------------------------------------------------------------------------
// Handlers
// -----------------------------------------------------------------------------

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
  /**
   * The services that the agent takes from each request: the current user or the account of a tenant, for example. A
   * middleware of the group provides them. Default: none, so the services are those of the layer.
   */
  readonly fromRequest?: ReadonlyArray<Service> | undefined
  /**
   * What a client learns about an expected failure of a run, for failures that are yours. For `undefined`, and for
   * defects, `AgentError.describe` decides. Default: `AgentError.describe` for all failures.
   */
  readonly describe?: ((error: E) => AgentError.Description | undefined) | undefined
}

/**
 * Creates the handlers of an agent's group, for its `toLayer`. `name` is the name of the group. The agent uses the
 * services of the layer that is built with the handlers; those of `fromRequest` come from each request, which may replace
 * the others, too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const handlers = <
  const Name extends string,
  Tools extends Record<string, Tool.Any>,
  E,
  R,
  A,
  P,
  Service extends Context.Key<any, any> = never
>(
  name: Name,
  agent: Agent.Agent<Tools, E, R, A, P>,
  options: Options<Service, NoInfer<E>> = {}
): Effect.Effect<
  Handlers<Name, Tools, A, P, Service["Identifier"]>,
  never,
  Exclude<R, Service["Identifier"]> | RunHub.RunHub | SessionStore.SessionStore
> =>
  Effect.map(OwnedRuns.make<R, Service["Identifier"]>(options), (runs) => {
    const handlers: Procedures<Tools, A, P, Service["Identifier"]> = procedures(agent, runs)
    return Object.fromEntries(
      Object.entries(handlers).map((
        [procedure, handler]
      ) => [`${name}.${procedure}`, guarded(procedure, handler, runs.trusted)])
      // the type of an object that is made of entries does not know their names
    ) as unknown as Handlers<Name, Tools, A, P, Service["Identifier"]>
  })

/** Refuses what a page of another site has sent, and what is not valid. A client in the same process has no request. */
const guarded = (
  procedure: string,
  handler: (request: any) => Effect.Effect<any, any, any> | Stream.Stream<any, any, any>,
  trusted: ReadonlyArray<string>
) => {
  const checked = (request: unknown): Effect.Effect<void, AgentApi.RunFailed> =>
    Effect.flatMap(Effect.serviceOption(HttpServerRequest.HttpServerRequest), (http) => {
      const valid = request instanceof Malformed
        ? Effect.fail(failed("invalid-request", 400, false, request.message))
        : Effect.void
      return http._tag === "Some" ? Effect.andThen(CrossSite.check(http.value, crossSite, trusted), valid) : valid
    })
  return streaming.has(procedure)
    ? (request: unknown) => Stream.unwrap(Effect.map(checked(request), () => handler(request) as Stream.Stream<any>))
    : (request: unknown) => Effect.flatMap(checked(request), () => handler(request) as Effect.Effect<any>)
}

const crossSite = Effect.fail(new AgentApi.RunFailed(CrossSite.refusal))

const streaming: ReadonlySet<string> = new Set(["run", "answer", "join"])

/**
 * Creates the layer that serves a group over HTTP, as `RpcServer.layerHttp` does. A request with a larger body than
 * `maximumBody` is refused with 413; with `RpcServer.layerHttp` there is no limit.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttp = <Rpcs extends Rpc.Any>({ maximumBody, ...options }:
  & Parameters<typeof RpcServer.layerHttp<Rpcs>>[0]
  & {
    /** The largest body of a request. A message of a WebSocket is bounded by the server. Default: 20 MiB. */
    readonly maximumBody?: ByteSize.Input | undefined
  }): ReturnType<typeof RpcServer.layerHttp<Rpcs>> =>
{
  const maximum = maximumBody === undefined ? Guard.defaultMaximum : ByteSize.fromInputUnsafe(maximumBody)
  const limited = HttpRouter.middleware((handler) =>
    Effect.catchDefect(Guard.bounded(handler, maximum), (defect) => {
      const refusal = Guard.ofBody(defect)
      return refusal === undefined
        ? Effect.die(defect)
        : Effect.succeed(HttpServerResponse.jsonUnsafe(refusal, { status: refusal.status }))
    })
  )
  return Layer.provide(RpcServer.layerHttp(options), limited.layer)
}

/**
 * The handlers of a group. `Request` are the services of a request beside its owner.
 *
 * @category models
 * @since 0.1.0
 */
export type Handlers<
  Name extends string,
  Tools extends Record<string, Tool.Any> = any,
  A = unknown,
  P = unknown,
  Request = never
> = {
  readonly [K in keyof Procedures<Tools, A, P, Request> as `${Name}.${K}`]: Procedures<Tools, A, P, Request>[K]
}

type Parts<Tools extends Record<string, Tool.Any>, A, P, Request = never> = Stream.Stream<
  RunHub.Numbered<AgentRun.Part<Tools, A, P>>,
  AgentApi.RunFailed,
  AgentApi.Owner | Request
>

type Told<A> = Effect.Effect<A, AgentApi.RunFailed, AgentApi.Owner>

interface Procedures<Tools extends Record<string, Tool.Any>, A, P, Request> {
  readonly run: (request: AgentApi.RunRequest) => Parts<Tools, A, P, Request>
  readonly answer: (request: AgentApi.AnswerRequest & { readonly session: string }) => Parts<Tools, A, P, Request>
  readonly join: (request: { readonly runId: string; readonly after?: number | undefined }) => Parts<Tools, A, P>
  readonly stop: (request: { readonly runId: string }) => Told<void>
  readonly steer: (request: { readonly runId: string; readonly message: AgentApi.Message }) => Told<void>
  readonly sessions: (query: AgentApi.SessionQuery) => Told<AgentApi.SessionPage>
  readonly session: (request: { readonly session: string }) => Told<AgentApi.SessionView>
  readonly rename: (request: AgentApi.RenameRequest & { readonly session: string }) => Told<void>
  readonly fork: (request: AgentApi.ForkRequest & { readonly session: string }) => Told<void>
  readonly forget: (request: { readonly session: string }) => Told<void>
}

const procedures = <Tools extends Record<string, Tool.Any>, E, R, A, P, Request>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  runs: OwnedRuns.OwnedRuns<R, Request>
): Procedures<Tools, A, P, Request> => {
  const parts = <R1 = never>(
    find: (owner: string) => Effect.Effect<OwnedRuns.OwnedRun, AgentApi.RunFailed, R1 | Scope.Scope>,
    after?: number
  ): Parts<Tools, A, P, R1> => {
    const all = Effect.map(Effect.flatMap(AgentApi.Owner, ({ id }) => find(id)), (run) => run.parts({ after }))
    const shown = Stream.scoped(Stream.unwrap(all)).pipe(
      Valued.apart,
      Stream.catchCause((cause) => Stream.failCause(told(cause)))
    )
    // what its owner sees of a part has the part's type
    return shown as Parts<Tools, A, P, R1>
  }
  const own = <A>(f: (owner: string) => Effect.Effect<A, AgentApi.RunFailed>): Told<A> =>
    Effect.catchCause(Effect.flatMap(AgentApi.Owner, ({ id }) => f(id)), (cause) => Effect.failCause(told(cause)))
  return {
    run: ({ keep, prompt, runId, session }) => {
      const input = { prompt: Prompt.fromMessages([AgentApi.toUserMessage(prompt)]), session, runId }
      return parts((owner) => runs.start(agent, owner, input, { keep }))
    },
    answer: ({ answers, keep, runId, session }) =>
      parts((owner) => runs.answer(agent, owner, session, answers, { runId }, { keep })),
    join: ({ after, runId }) => parts((owner) => runs.find(owner, runId, agent.name), after),
    stop: ({ runId }) => own((owner) => runs.stop(owner, runId, agent.name)),
    steer: ({ message, runId }) => own((owner) => runs.steer(owner, runId, message, agent.name)),
    sessions: (query) => own((owner) => runs.sessions(owner, query)),
    session: ({ session }) => own((owner) => runs.view(owner, session)),
    rename: ({ session, title }) => own((owner) => runs.rename(owner, session, title)),
    fork: ({ session, ...options }) => own((owner) => runs.fork(owner, session, options)),
    forget: ({ session }) => own((owner) => runs.forget(owner, session, agent))
  }
}

const told = (cause: Cause.Cause<unknown>): Cause.Cause<AgentApi.RunFailed> => {
  if (Cause.hasInterruptsOnly(cause)) return Cause.interrupt()
  const [reason] = cause.reasons
  return Cause.fail(
    reason !== undefined && Cause.isFailReason(reason) && reason.error instanceof AgentApi.RunFailed
      ? reason.error
      : AgentApi.describe(cause)
  )
}

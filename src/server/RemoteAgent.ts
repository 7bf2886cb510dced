/**
 * An agent that runs on another machine behind `AgentHttp` (`make`) or `AgentRpc` (`fromRpc`). Its client is an `Agent`
 * again: it has the same parts, results and outcomes as a local one, and may be a tool of another agent.
 *
 * - A consumer that stops reading leaves the run: the request is aborted, and the server interrupts the run or lets it
 *   go on, as it is configured. An interrupt on the server is an interrupt here.
 * - Every failure of the run is a `RunFailed` with the public description by the server. A run whose connection is lost
 *   fails with the code `"connection-lost"`, because nobody knows how it ended. A server that answers with an HTTP status
 *   alone has refused the run (`"request-refused"`) or is not available (`"unavailable"`). A server that sends anything
 *   other than the parts of this run fails it with `"invalid-response"`, or with `"response-too-large"` if a part is
 *   longer than `maximumEvent`, or than the serialization of `Rpc` allows.
 * - The id of the run is sent, so it must have the form of `AgentApi.RunId`. A run with another id, an invalid session
 *   id or an unsupported prompt fails without a request, with `"invalid-request"` or `"invalid-prompt"`.
 * - Messages of `Steering` are forwarded ten times a second. Messages that the server does not accept any more stay
 *   unread. Its `stop` is not forwarded.
 * - The usage is counted by the calling run and its budgets whenever a step ends. They cannot stop the run in between:
 *   for that the server needs a limit of its own.
 * - A run that waits for an approval is resumed as any other: with its session, with its result, or by the run that has
 *   called it as a tool. A run without a session has one of its own on the server, which the server deletes when the run
 *   has ended and waits for nothing. The agent on the server needs `SessionHistory` to be resumed.
 * - Middleware and providers for model calls and tools do not apply here, because they belong to the agent on the
 *   server.
 *
 * **Example** (A remote agent as a local one)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { FetchHttpClient } from "effect/http"
 * import { HttpApi, HttpApiClient } from "effect/http-api"
 * import { Agent } from "effect-agents"
 * import { AgentApi, RemoteAgent } from "effect-agents/server"
 *
 * class Api extends HttpApi.make("agents").add(AgentApi.group("assistant")) {}
 *
 * export const program = Effect.gen(function*() {
 *   const client = yield* HttpApiClient.make(Api, { baseUrl: "https://agents.example.com" })
 *   const assistant = RemoteAgent.make("assistant", client.assistant)
 *   const { text } = yield* Agent.run(assistant, { prompt: "Hello?", session: "user-7" })
 *   return text
 * }).pipe(Effect.provide(FetchHttpClient.layer))
 * ```
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Sse from "effect/encoding/Sse"
import * as Stream from "effect/Stream"
import type * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as AgentApi from "./AgentApi.ts"
import * as RemoteFailures from "./internal/remoteFailures.ts"
import * as RemoteRun from "./internal/remoteRun.ts"

/**
 * The longest part that is read: its encoded text has at most 64 Mi UTF-16 units. The last part of a run contains the
 * whole transcript.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumEvent = 64 * 1024 * 1024

/**
 * The options of a remote agent.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The description that a calling model reads when this agent is a tool. Default: none. */
  readonly description?: string | undefined
  /**
   * What happens if the server has a run with the given id already. `"refuse"` fails with `"run-exists"`; `"join"` reads
   * that run from its first part on, so that a client whose connection was lost can run with the same input again.
   * Default: `"refuse"`.
   */
  readonly whenExists?: "refuse" | "join" | undefined
}

/**
 * The part of a client that is used here: a client of the group that `AgentApi` describes, as `HttpApiClient` makes it.
 *
 * `E` are the failures of a request, and `E1` those of its stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Client<out Part, out E, out E1> {
  readonly run: (request: {
    readonly payload: AgentApi.RunRequest
    /** The limits for reading the events. Default: those of effect. */
    readonly sseOptions?: Sse.DecodeOptions | undefined
  }) => Effect.Effect<Stream.Stream<{ readonly data: Part }, E1>, E>
  readonly answer: (request: {
    readonly params: { readonly session: string }
    readonly payload: AgentApi.AnswerRequest
    /** The limits for reading the events. Default: those of effect. */
    readonly sseOptions?: Sse.DecodeOptions | undefined
  }) => Effect.Effect<Stream.Stream<{ readonly data: Part }, E1>, E>
  readonly join: (request: {
    readonly params: { readonly runId: string }
    readonly query: {}
    readonly headers: {}
    /** The limits for reading the events. Default: those of effect. */
    readonly sseOptions?: Sse.DecodeOptions | undefined
  }) => Effect.Effect<Stream.Stream<{ readonly data: Part }, E1>, E>
  readonly steer: (request: {
    readonly params: { readonly runId: string }
    readonly payload: { readonly message: AgentApi.Message }
  }) => Effect.Effect<void, E>
}

/**
 * Creates the agent. Failures of its client other than those of the connection, such as that of a security middleware,
 * are among its failures.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <Tools extends Record<string, Tool.Any>, A, P, E, E1>(
  name: string,
  client: Client<AgentRun.Part<Tools, A, P>, E, E1>,
  options?: Options
): Agent.Agent<Tools, AgentApi.RunFailed | Exclude<E | E1, RemoteFailures.Http>, never, A, P> => {
  const sseOptions = { maxEventSize: maximumEvent }
  const parts = (events: Effect.Effect<Stream.Stream<{ readonly data: AgentRun.Part<Tools, A, P> }, E1>, E>) =>
    Stream.unwrap(events).pipe(
      Stream.map(({ data }) => data),
      Stream.catchCause((cause) => Stream.failCause(RemoteFailures.ofHttp(cause)))
    )
  return RemoteRun.make(name, {
    run: (payload) => parts(client.run({ payload, sseOptions })),
    answer: (session, payload) => parts(client.answer({ params: { session }, payload, sseOptions })),
    join: (runId) => parts(client.join({ params: { runId }, query: {}, headers: {}, sseOptions })),
    steer: (runId, message) => client.steer({ params: { runId }, payload: { message } })
  }, options)
}

/**
 * The part of a client that is used here: a client of `AgentRpc.group(name)`, as `RpcClient` makes it.
 *
 * @category models
 * @since 0.1.0
 */
export type RpcClient<Name extends string> =
  & { readonly [K in `${Name}.run`]: (request: AgentApi.RunRequest) => Numbered }
  & {
    readonly [K in `${Name}.answer`]: (request: AgentApi.AnswerRequest & { readonly session: string }) => Numbered
  }
  & { readonly [K in `${Name}.join`]: (request: { readonly runId: string }) => Numbered }
  & {
    readonly [K in `${Name}.steer`]: (
      request: { readonly runId: string; readonly message: AgentApi.Message }
    ) => Effect.Effect<void, unknown>
  }

type Numbered<Part = AgentRun.Part, E = unknown> = Stream.Stream<{ readonly part: Part }, E>

/**
 * The agent of a client: it has the tools, the output and the failures that the client knows.
 *
 * @category utility types
 * @since 0.1.0
 */
export type FromRpc<Name extends string, Client extends RpcClient<Name>> = Streamed<Client[`${Name}.run`]> extends
  Numbered<infer Part, infer E>
  ? [Part] extends [AgentRun.Part<infer Tools, infer A, infer P>]
    ? Agent.Agent<Tools, AgentApi.RunFailed | Exclude<E, RemoteFailures.Rpc>, never, A, P>
  : never
  : never

/** The procedures of a client are generic, and may give a queue. */
type Streamed<Procedure> = Procedure extends (...args: any) => infer Given
  ? Extract<Given, Stream.Stream<any, any, any>>
  : never

/**
 * Creates the agent from a client of effect's `Rpc`. The name is that of the group (`AgentRpc.group`). Failures of its
 * client other than those of the connection, such as that of a security middleware, are among its failures.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromRpc = <const Name extends string, Client extends RpcClient<Name>>(
  name: Name,
  client: Client,
  options?: Options
): FromRpc<Name, Client> => {
  const calls: RpcClient<string> = client
  const parts = (numbered: Numbered) =>
    numbered.pipe(
      Stream.map(({ part }) => part),
      Stream.catchCause((cause) => Stream.failCause(RemoteFailures.ofRpc(cause))),
      outside
    )
  const agent = RemoteRun.make(name, {
    run: (request) => parts(calls[`${name}.run`](request)),
    answer: (session, request) => parts(calls[`${name}.answer`]({ session, ...request })),
    join: (runId) => parts(calls[`${name}.join`]({ runId })),
    steer: (runId, message) => calls[`${name}.steer`]({ runId, message })
  }, options)
  // only types were left out
  return agent as FromRpc<Name, Client>
}

/**
 * In one process effect gives a handler the context of its caller. The model, the tools and the accounts of a run stay on
 * this side, as they do over every other wire.
 */
const outside = <A, E>(self: Stream.Stream<A, E>): Stream.Stream<A, E> =>
  Stream.scoped(Stream.fromPull(outsideRun(Effect.map(Stream.toPull(self), outsideRun))))

/** A context that is provided is only added to that of the run. */
const outsideRun = <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(self, (context: Context.Context<R>) =>
    Context.makeUnsafe(
      new Map(
        Array.from(context.mapUnsafe).filter(([key]) =>
          !key.startsWith("effect-agents/") && !key.startsWith("effect/ai/")
        )
      )
    ))

/**
 * An agent that runs on another machine behind `AgentHttp`. Its client is an `Agent` again: it has the same parts,
 * results and outcomes as a local one, and may be a tool of another agent.
 *
 * - A consumer that stops reading leaves the run: the request is aborted, and the server interrupts the run or lets it
 *   go on, as it is configured. An interrupt on the server is an interrupt here.
 * - Every failure of the run is a `RunFailed` with the public description by the server. A run whose connection is lost
 *   fails with the code `"connection-lost"`, because nobody knows how it ended. A server that answers with an HTTP status
 *   alone has refused the run (`"request-refused"`) or is not available (`"unavailable"`). A server that sends anything
 *   other than the parts of this run fails it with `"invalid-response"`, or with `"response-too-large"` if a part is
 *   longer than `maximumEvent`.
 * - The id of the run is sent, so it must have the form of `AgentApi.RunId`. A run with another id, an invalid session
 *   id or an unsupported prompt fails without a request, with `"invalid-request"` or `"invalid-prompt"`.
 * - Messages of `Steering` are forwarded ten times a second. Messages that the server does not accept any more stay
 *   unread. Its `stop` is not forwarded.
 * - The usage is counted by the calling run and its budgets whenever a step ends. They cannot stop the run in between:
 *   for that the server needs a limit of its own.
 * - A run that waits for an approval is resumed with its session. A run without one, such as that of a tool of another
 *   agent, cannot be resumed: it fails with `"invalid-prompt"`.
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

import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import type * as Sse from "effect/encoding/Sse"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as Approval from "../Approval.ts"
import * as FileData from "../internal/words/fileData.ts"
import type * as Steering from "../Steering.ts"
import * as AgentApi from "./AgentApi.ts"
import { failed } from "./internal/failures.ts"
import { RemoteUsage } from "./internal/remoteUsage.ts"

/**
 * The longest part that is read: its encoded text has at most 64 Mi UTF-16 units. The last part of a run contains the
 * whole transcript.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumEvent = 64 * 1024 * 1024

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
  readonly steer: (request: {
    readonly params: { readonly runId: string }
    readonly payload: { readonly message: AgentApi.Message }
  }) => Effect.Effect<void, E>
}

type Failure<E> = AgentApi.RunFailed | Exclude<E, Transport>

/** The failures between the client and the server. */
type Transport = HttpClientError.HttpClientError | Schema.SchemaError | Sse.SseError | Sse.Retry

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
  options?: {
    /** The description that a calling model reads when this agent is a tool. Default: none. */
    readonly description?: string | undefined
  }
): Agent.Agent<Tools, Failure<E | E1>, never, A, P> =>
  Agent.fromStream(name, {
    description: options?.description,
    stream: (input): Stream.Stream<AgentRun.Part<Tools, A, P>, Failure<E | E1>> => {
      const { steering } = input
      const events = Stream.unwrap(Effect.flatMap(request(input), (asked) => send(client, asked)))
      const run = Stream.unwrap(Effect.map(Effect.context<never>(), (context) => {
        const usage = new RemoteUsage(context)
        let state: "before" | "in" | "after" = "before"
        const parts = Stream.mapEffect(events, ({ data }) => {
          const isFirst = state === "before"
          // the parts of another run, or of another protocol, cannot be trusted
          if (state === "after" || isFirst !== isStart(data, input.runId)) return Effect.fail(invalidResponse)
          state = usage.see(data) ? "after" : "in"
          return Effect.succeed(data)
        })
        // a stream without an end was cut
        const whole = Stream.concat(parts, Stream.suspend(() => state === "after" ? Stream.empty : Stream.fail(lost)))
        return Stream.ensuring(whole, Effect.sync(() => usage.end()))
      }))
      const told = Stream.catchCause(run, (cause) => Stream.failCause(causeOf(cause)))
      return steering === undefined ? told : steered(told, client, input, steering)
    }
  })

type Asked =
  | { readonly _tag: "Run"; readonly prompt: AgentApi.Message; readonly session: string | undefined }
  | { readonly _tag: "Answer"; readonly answers: AgentApi.AnswerRequest["answers"]; readonly session: string }

const send = <Part, E, E1>(client: Client<Part, E, E1>, asked: Asked & { readonly runId: string }) => {
  const { runId } = asked
  const sseOptions = { maxEventSize: maximumEvent }
  return asked._tag === "Run"
    ? client.run({ payload: { prompt: asked.prompt, session: asked.session, runId }, sseOptions })
    : client.answer({ params: { session: asked.session }, payload: { answers: asked.answers, runId }, sseOptions })
}

const isStart = (part: AgentRun.Part, runId: string): boolean => part.type === "run-start" && part.runId === runId

/** A server accepts the input of a user, or answers to the approvals of a session. It has everything else itself. */
const request = (
  { answers, continues, prompt, runId, session }: Agent.ProgramInput
): Effect.Effect<Asked & { readonly runId: string }, AgentApi.RunFailed> => {
  if (continues === true) return Effect.fail(unsupported)
  if (!isRunId(runId) || (session !== undefined && !isSessionId(session))) return Effect.fail(invalidRequest)
  if (answers !== undefined) {
    const [first, ...rest] = answers.map(answer)
    return session === undefined || first === undefined || rest.length >= AgentApi.maximumAnswers
      ? Effect.fail(unsupported)
      : Effect.succeed({ _tag: "Answer", answers: [first, ...rest], session, runId })
  }
  const messages = Prompt.make(prompt).content
  const users = messages.filter((message) => message.role === "user")
  const message = messageOf(users.flatMap(({ content }) => content))
  return message === undefined || users.length < messages.length || !isMessage(message)
    ? Effect.fail(unsupported)
    : Effect.succeed({ _tag: "Run", prompt: message, session, runId })
}

const isRunId = Schema.is(AgentApi.RunId)
const isSessionId = Schema.is(AgentApi.SessionId)
const isMessage = Schema.is(AgentApi.Message)

const answer = (given: Approval.Answer): AgentApi.Answer => {
  const { approvalId } = given.approval
  if (given._tag === "Deny") return { approvalId, approved: false, reason: given.reason }
  // parameters and results are JSON, and the server decodes them
  if (given._tag === "Result") {
    return { approvalId, approved: true, ...given.isFailure ? { failure: String(given.result) } : resultOf(given) }
  }
  return { approvalId, approved: true, ...given.params !== undefined && { params: given.params as Schema.Json } }
}

const resultOf = ({ result }: { readonly result: unknown }) => ({ result: (result ?? null) as Schema.Json })

type Parts = Exclude<AgentApi.Message, string>

const messageOf = (content: ReadonlyArray<Prompt.UserMessagePart>): Parts | undefined => {
  const [first, ...rest] = content.flatMap((part): ReadonlyArray<Parts[number]> => {
    if (part.type === "text") return [{ type: "text", text: part.text }]
    const data = dataOf(part.data)
    return data === undefined ? [] : [{ type: "file", mediaType: part.mediaType, fileName: part.fileName, data }]
  })
  return first === undefined || rest.length + 1 < content.length ? undefined : [first, ...rest]
}

const dataOf = (data: Prompt.FilePart["data"]): Uint8Array | URL | undefined => {
  const read = FileData.read(data)
  if (read._tag === "Url") return read.url
  return typeof read.data === "string" ? Result.getOrUndefined(Base64.decode(read.data)) : read.data
}

const steered = <Part, E, E1, E2>(
  parts: Stream.Stream<Part, E2>,
  client: Client<Part, E, E1>,
  { runId }: Agent.ProgramInput,
  { inbox }: Steering.Steering
): Stream.Stream<Part, E2> => {
  const sendOn = Effect.suspend(() => {
    const [message] = inbox.messages
    const payload = message === undefined ? undefined : messageOf(message.content)
    if (payload === undefined || !isMessage(payload)) return Effect.void
    const sent = client.steer({ params: { runId }, payload: { message: payload } })
    return Effect.andThen(
      sent,
      Effect.sync(() => {
        inbox.messages = inbox.messages.filter((_) => _ !== message)
      })
    )
  })
  // a handle does not report new messages
  const watch = Effect.forever(Effect.andThen(
    Effect.sleep("100 millis"),
    // messages that the server does not accept stay in the handle, and the parts tell how the run goes on
    Effect.suspend(() => inbox.messages.length === 0 ? Effect.void : Effect.ignore(sendOn))
  ))
  return Stream.scoped(Stream.unwrap(Effect.as(Effect.forkScoped(watch), parts)))
}

/** An interrupt on the server is one here. The failure to decode an error response comes after the failure itself. */
const causeOf = <E>(cause: Cause.Cause<E | AgentApi.RunFailed>): Cause.Cause<Failure<E>> => {
  const first = cause.reasons.find(Cause.isFailReason)
  if (first === undefined) return Cause.map(cause, told)
  return isInterrupted(first.error) ? Cause.interrupt() : Cause.fail(told(first.error))
}

const isInterrupted = (error: unknown): boolean =>
  error instanceof AgentApi.RunFailed && error.code === "interrupted" && error.status === 499

const told = <E>(error: E | AgentApi.RunFailed): Failure<E> =>
  isTransport(error) ? ofTransport(error) : error as Failure<E>

const ofTransport = (error: Transport): AgentApi.RunFailed => {
  switch (error._tag) {
    case "HttpClientError":
      return ofHttp(error)
    case "SseError":
      return responseTooLarge
    default:
      return invalidResponse
  }
}

const ofHttp = ({ reason }: HttpClientError.HttpClientError): AgentApi.RunFailed => {
  switch (reason._tag) {
    case "StatusCodeError":
      return ofStatus(reason.response.status)
    case "TransportError":
      return lost
    case "DecodeError":
    case "EmptyBodyError":
      // a body that was cut is one of these
      return reason.response.status < 300 ? lost : ofStatus(reason.response.status)
    default:
      return invalidRequest
  }
}

const ofStatus = (status: number): AgentApi.RunFailed =>
  status >= 400 && status < 500
    ? failed("request-refused", status, status === 408 || status === 429, "The server does not accept the request.")
    : failed("unavailable", status, status === 429 || status >= 502, "The agent is not available now.")

const isTransport = (error: unknown): error is Transport =>
  Predicate.hasProperty(error, "_tag") && transports.has(error._tag)

const transports: ReadonlySet<unknown> = new Set(["HttpClientError", "SchemaError", "SseError", "Retry"])

const lost = failed("connection-lost", 503, true, "The connection was lost before the run ended.")

const invalidResponse = failed(
  "invalid-response",
  502,
  false,
  "The server sent something other than the parts of this run."
)

const responseTooLarge = failed("response-too-large", 502, false, "The server sent a part that is too large.")

const invalidRequest = failed(
  "invalid-request",
  400,
  false,
  "The id of the run or of the session is invalid: see `AgentApi.RunId` and `AgentApi.SessionId`."
)

const unsupported = failed(
  "invalid-prompt",
  400,
  false,
  "A remote agent takes messages of a user, within the bounds of `AgentApi.Message`, or answers for a session."
)

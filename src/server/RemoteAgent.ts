/**
 * An agent that runs on another machine behind `AgentHttp`. Its client is an `Agent` again: it has the same parts,
 * results and outcomes as a local one, and may be a tool of another agent.
 *
 * - A consumer that stops reading leaves the run: the request is aborted, and the server interrupts the run or lets it
 *   go on, as it is configured. An interrupt on the server is an interrupt here.
 * - Every failure of the run is a `RunFailed` with the public description by the server. A run whose connection is lost
 *   fails with the code `"connection-lost"`, because nobody knows how it ended.
 * - Messages of `Steering` are forwarded ten times a second. Messages that the server does not accept any more stay
 *   unread.
 * - The usage is counted by the calling run and its budgets whenever a step ends. They cannot stop the run in between:
 *   for that the server needs a limit of its own.
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
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import type * as Sse from "effect/encoding/Sse"
import type * as HttpClientError from "effect/http/HttpClientError"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import type * as Approval from "../Approval.ts"
import * as FileData from "../internal/words/fileData.ts"
import type * as Steering from "../Steering.ts"
import * as AgentApi from "./AgentApi.ts"
import { RemoteUsage } from "./internal/remoteUsage.ts"

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
  }) => Effect.Effect<Stream.Stream<{ readonly data: Part }, E1>, E>
  readonly answer: (request: {
    readonly params: { readonly session: string }
    readonly payload: AgentApi.AnswerRequest
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
        let hasEnded = false
        const parts = Stream.map(events, ({ data }) => {
          hasEnded = usage.see(data)
          return data
        })
        // a stream without an end was cut
        const whole = Stream.concat(parts, Stream.suspend(() => hasEnded ? Stream.empty : Stream.fail(lost)))
        return Stream.ensuring(whole, Effect.sync(() => usage.end()))
      }))
      return Stream.mapError(steering === undefined ? run : steered(run, client, input, steering), told)
    }
  })

type Asked =
  | { readonly _tag: "Run"; readonly prompt: AgentApi.Message; readonly session: string | undefined }
  | { readonly _tag: "Answer"; readonly answers: AgentApi.AnswerRequest["answers"]; readonly session: string }

const send = <Part, E, E1>(client: Client<Part, E, E1>, asked: Asked & { readonly runId: string }) => {
  const { runId } = asked
  return asked._tag === "Run"
    ? client.run({ payload: { prompt: asked.prompt, session: asked.session, runId } })
    : client.answer({ params: { session: asked.session }, payload: { answers: asked.answers, runId } })
}

/** A server accepts the input of a user, or answers to the approvals of a session. It has everything else itself. */
const request = (
  { answers, continues, prompt, runId, session }: Agent.ProgramInput
): Effect.Effect<Asked & { readonly runId: string }, AgentApi.RunFailed> => {
  if (continues === true) return Effect.fail(unsupported)
  if (answers !== undefined) {
    const [first, ...rest] = answers.map(answer)
    return session === undefined || first === undefined
      ? Effect.fail(unsupported)
      : Effect.succeed({ _tag: "Answer", answers: [first, ...rest], session, runId })
  }
  const messages = Prompt.make(prompt).content
  const users = messages.filter((message) => message.role === "user")
  const message = messageOf(users.flatMap(({ content }) => content))
  return message === undefined || users.length < messages.length
    ? Effect.fail(unsupported)
    : Effect.succeed({ _tag: "Run", prompt: message, session, runId })
}

const answer = (given: Approval.Answer): AgentApi.Answer => {
  const { approvalId } = given.approval
  if (given._tag === "Deny") return { approvalId, approved: false, reason: given.reason }
  // parameters are JSON, and the server decodes them
  return { approvalId, approved: true, ...given.params !== undefined && { params: given.params as Schema.Json } }
}

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
    if (payload === undefined) return Effect.void
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

const told = <E>(error: E | AgentApi.RunFailed): Failure<E> => isTransport(error) ? lost : error as Failure<E>

const transports: ReadonlySet<unknown> = new Set(["HttpClientError", "SchemaError", "SseError", "Retry"])

const isTransport = (error: unknown): error is Transport =>
  Predicate.hasProperty(error, "_tag") && transports.has(error._tag)

const lost = new AgentApi.RunFailed({
  code: "connection-lost",
  message: "The connection was lost before the run ended.",
  retryable: true,
  status: 503
})

const unsupported = new AgentApi.RunFailed({
  code: "invalid-prompt",
  message: "A remote agent takes messages of a user, or answers for a session.",
  retryable: false,
  status: 400
})

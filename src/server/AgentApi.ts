/**
 * The HTTP API of an agent, as a group of effect's `HttpApi`. A client can start a run and read it, join a run in
 * progress, stop it, send messages to it, answer its approvals, and list, read, rename, fork and delete its sessions. This
 * module contains no server: `AgentHttp` has the handlers, and `RemoteAgent` makes an agent from a client.
 *
 * The runs of a group are read as server-sent events. The `id` of an event is the number of its part, so that a client
 * that has lost its connection can join the run after that part. A run that fails ends with an event that says so. A
 * stream that ends without an event for the end was cut.
 *
 * A request that is refused has a status and a `RunFailed`, also where its body is too large (413, see
 * `AgentHttp.layerBodyLimit`), is not JSON (415), is not what the API expects (400, the message says what is wrong), or was
 * sent by a page of another site (403). A login by cookie is safe from other sites: a browser sends a `POST` without JSON
 * and without a token for any page, and such a request is only accepted from pages of the server's own origin and of
 * `TrustedOrigins`.
 *
 * **Example** (An API with one agent)
 *
 * ```ts
 * import { HttpApi, OpenApi } from "effect/http-api"
 * import { AgentApi } from "effect-agents/server"
 *
 * class Api extends HttpApi.make("agents").add(AgentApi.group("assistant")) {}
 *
 * console.log(Object.keys(OpenApi.fromApi(Api).paths).join("\n"))
 * // => /agents/assistant/runs
 * // => /agents/assistant/runs/{runId}
 * // => /agents/assistant/runs/{runId}/stop
 * // => /agents/assistant/runs/{runId}/messages
 * // => /agents/assistant/sessions
 * // => /agents/assistant/sessions/{session}
 * // => /agents/assistant/sessions/{session}/fork
 * // => /agents/assistant/sessions/{session}/answers
 * ```
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AgentError from "../AgentError.ts"
import type * as AgentOutput from "../AgentOutput.ts"
import * as AgentRun from "../AgentRun.ts"
import * as FileData from "../internal/words/fileData.ts"
import * as CrossSite from "./internal/crossSite.ts"
import { Described } from "./internal/described.ts"
import { FailureDetails } from "./internal/failureDetails.ts"
import * as Guard from "./internal/guard.ts"
import {
  ForkRequest,
  isLimit,
  RenameRequest,
  SessionId,
  SessionPage,
  SessionQuery,
  SessionView
} from "./internal/sessionModels.ts"

export {
  /**
   * Schema for a failure as data.
   *
   * @category schemas
   * @since 0.1.0
   */
  FailureDetails
} from "./internal/failureDetails.ts"
export {
  ForkRequest,
  maximumSessions,
  RenameRequest,
  SessionId,
  SessionPage,
  SessionQuery,
  SessionSummary,
  SessionView
} from "./internal/sessionModels.ts"

// -----------------------------------------------------------------------------
// Who asks
// -----------------------------------------------------------------------------

/**
 * Service for the sender of a request, which the security middleware of your API provides. Sessions and runs belong to
 * their owner; for everybody else they do not exist. No part of a request can name the owner.
 *
 * @category services
 * @since 0.1.0
 */
export class Owner extends Context.Service<Owner, { readonly id: string }>()("effect-agents/server/Owner") {}

/**
 * The origins, such as `"https://app.example.com"`, whose pages may send what a browser sends without asking the server:
 * a `POST` without JSON and without a token, as the one that stops a run, and a WebSocket with cookies. Default: none, so
 * that only pages of the server's own origin may.
 *
 * **Details**
 *
 * Provide it to the server or to its routes: `Layer.provide(Layer.succeed(AgentApi.TrustedOrigins, [...]))`. A front end
 * of another origin needs the answers of `HttpRouter.cors`, too. `LocalServer` trusts its own `origins`.
 *
 * The server's own origin is known by the `Host` or `X-Forwarded-Host` of a request. Name the origin here if a proxy
 * changes the first and does not send the second.
 *
 * @category references
 * @since 0.1.0
 */
export const TrustedOrigins: Context.Reference<ReadonlyArray<string>> = CrossSite.TrustedOrigins

// -----------------------------------------------------------------------------
// What is sent
// -----------------------------------------------------------------------------

/**
 * The longest text of a prompt, in UTF-16 units. The whole body of a request is bounded too, see `AgentHttp.layerBodyLimit`.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumText = 1_000_000

/**
 * The largest number of texts and files in one message.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumParts = 100

/**
 * The largest number of answers in one request.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumAnswers = 1000

/**
 * The largest number of messages that a run has not read yet. A further message is refused.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumUnread = 100

/**
 * Schema for a run id that a client chooses: between 8 and 100 letters, digits, `-` and `_`. If a request is sent
 * twice, it starts only one run: the second request is refused with `"run-exists"`, and can join that run.
 *
 * All owners share one set of run ids. A client that guesses the id of another owner's run learns that the run exists,
 * and nothing else. Choose ids at random.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{8,100}$/))

/** More than any server takes. Data has the limit of the body. */
const longestAddress = 8192

/** The server opens no address, but a provider or a tool may. It must not be a file of the server. */
const Address = Schema.URL.check(Schema.makeFilter((url) => {
  if (url.protocol === "http:" || url.protocol === "https:") return url.href.length <= longestAddress
  if (url.protocol !== "data:") return false
  const file = FileData.read(url)
  return file._tag === "Data" && (typeof file.data !== "string" || Result.isSuccess(Base64.decode(file.data)))
}, { expected: "an address with http: or https: of at most 8192 characters, or data:" }))

const Text = Schema.NonEmptyString.check(Schema.isMaxLength(maximumText))

/**
 * Schema for the input of a user: a text, or texts and files. A client cannot send messages of an assistant, a tool or
 * the system, or options for the provider of a model.
 *
 * The data of a file is base64, or a URL with `http:`, `https:` or `data:`. The provider of the model, or a tool, may
 * fetch the URL. If they can reach private addresses, check it with `Guardrail.input`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Message = Schema.Union([
  Text,
  Schema.NonEmptyArray(Schema.Union([
    Schema.Struct({ type: Schema.tag("text"), text: Text }),
    Schema.Struct({
      type: Schema.tag("file"),
      // it becomes part of headers and of data: URLs
      mediaType: Schema.String.check(Schema.isPattern(/^[\w.+*-]+\/[\w.+*-]+(;[ -~]*)?$/), Schema.isMaxLength(255)),
      fileName: Schema.optional(Schema.String.check(Schema.isMaxLength(255))),
      data: Schema.Union([Schema.Uint8Array, Address])
    })
  ])).check(Schema.isMaxLength(maximumParts))
])

/**
 * The input of a user.
 *
 * @category models
 * @since 0.1.0
 */
export type Message = typeof Message.Type

/**
 * Returns the message for a prompt that a client has sent.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toUserMessage = (message: Message): Prompt.UserMessage =>
  Prompt.makeMessage("user", {
    content: typeof message === "string"
      ? [Prompt.makePart("text", { text: message })]
      : message.map((part) =>
        part.type === "text"
          ? Prompt.makePart("text", { text: part.text })
          : Prompt.makePart("file", { mediaType: part.mediaType, fileName: part.fileName, data: part.data })
      )
  })

/**
 * The reason why a request or a run did not succeed, in the form of `AgentError.describe`. It reveals nothing about the
 * inside of the server. Only a server that is told so adds the failures themselves as `details`
 * (`failures: "detailed"` of `AgentHttp`).
 *
 * A run whose connection was lost before it ended has the code `"connection-lost"`.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunFailed extends Schema.Error<RunFailed>("effect-agents/server/RunFailed")({
  _tag: Schema.tag("RunFailed"),
  code: Schema.String,
  message: Schema.String,
  retryable: Schema.Boolean,
  status: Schema.Int,
  details: Schema.optionalKey(Schema.Array(FailureDetails))
}) {}

/**
 * Returns the public description of a failure.
 *
 * @category conversions
 * @since 0.1.0
 */
export const describe = (cause: Cause.Cause<unknown>): RunFailed => {
  const [reason] = cause.reasons
  return cause.reasons.length === 1 && reason?._tag === "Fail" && reason.error instanceof Described
    ? reason.error.failure
    : new RunFailed(AgentError.describe(cause))
}

/**
 * The statuses of failed requests.
 *
 * @category constants
 * @since 0.1.0
 */
export const statuses: ReadonlyArray<number> = [
  400,
  401,
  402,
  403,
  404,
  408,
  409,
  410,
  412,
  413,
  415,
  422,
  423,
  424,
  429,
  451,
  499,
  500,
  502,
  503,
  504
]

const guard = Guard.make((refusal) => new RunFailed(refusal))

/** One schema for each status of a response. A client reads the same error from all of them. */
const failures = statuses.map((status) =>
  RunFailed.check(Schema.makeFilter((error) => error.status === status)).pipe(HttpApiSchema.status(status))
)

/**
 * Schema for the answer to an approval, by its id. The session holds the approved call, and a client cannot change it.
 * With `params`, the call runs with these instead of the model's.
 *
 * A call that runs in the client (`runsIn` of the approval) is answered with its `result`, or with the text of its
 * `failure`; with `approved: false` the model reads that the client has refused it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Answer = Schema.Struct({
  approvalId: Schema.String,
  approved: Schema.Boolean,
  // with `optional` an absent value would be sent as null, which is JSON too
  params: Schema.optionalKey(Schema.Json),
  reason: Schema.optional(Schema.String.check(Schema.isMaxLength(maximumText))),
  result: Schema.optionalKey(Schema.Json),
  failure: Schema.optional(Schema.String.check(Schema.isMaxLength(maximumText)))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Answer = typeof Answer.Type

/**
 * Schema for how long a session is kept. With `"waiting"` the server deletes it when the run has ended and waits for no
 * answers: it is only there so that the run can be continued. Default: until somebody deletes it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Keep = Schema.Literals(["always", "waiting"])

/**
 * Schema for the request of a run: the input of the user, the session, and an id for the run.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunRequest = Schema.Struct({
  prompt: Message,
  session: Schema.optional(SessionId),
  runId: Schema.optional(RunId),
  keep: Schema.optional(Keep)
})

/**
 * @category models
 * @since 0.1.0
 */
export type RunRequest = typeof RunRequest.Type

/**
 * Schema for the request that continues a run with answers.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AnswerRequest = Schema.Struct({
  answers: Schema.NonEmptyArray(Answer).check(Schema.isMaxLength(maximumAnswers)),
  runId: Schema.optional(RunId),
  keep: Schema.optional(Keep)
})

/**
 * @category models
 * @since 0.1.0
 */
export type AnswerRequest = typeof AnswerRequest.Type

// -----------------------------------------------------------------------------
// The group
// -----------------------------------------------------------------------------

/**
 * Creates the group of an agent, below `/agents/<name>`. With the toolkit and the output of the agent a client reads
 * parts of their types.
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
  const parts = HttpApiSchema.StreamSse({
    events: Schema.Struct({
      id: Schema.FiniteFromString,
      event: Schema.tag("message"),
      data: Schema.fromJsonString(part)
    }),
    error: RunFailed
  })
  const run = { runId: Schema.String }
  const seen = Schema.optional(Schema.FiniteFromString.check(Schema.isInt(), Schema.isGreaterThanOrEqualTo(-1)))
  const session = { session: SessionId }
  const all = HttpApiGroup.make(name).add(
    HttpApiEndpoint.post("run", "/runs", {
      payload: RunRequest,
      success: parts,
      error: failures
    }),
    HttpApiEndpoint.get("join", "/runs/:runId", {
      params: run,
      query: { after: seen },
      headers: { "last-event-id": seen },
      success: parts,
      error: failures
    }),
    HttpApiEndpoint.post("stop", "/runs/:runId/stop", {
      params: run,
      success: HttpApiSchema.NoContent,
      error: failures
    }),
    HttpApiEndpoint.post("steer", "/runs/:runId/messages", {
      params: run,
      payload: Schema.Struct({ message: Message }),
      success: HttpApiSchema.NoContent,
      error: failures
    }),
    HttpApiEndpoint.get("sessions", "/sessions", {
      query: { ...SessionQuery.fields, limit: Schema.optional(Schema.FiniteFromString.check(...isLimit)) },
      success: SessionPage,
      error: failures
    }),
    HttpApiEndpoint.get("session", "/sessions/:session", { params: session, success: SessionView, error: failures }),
    HttpApiEndpoint.patch("rename", "/sessions/:session", {
      params: session,
      payload: RenameRequest,
      success: HttpApiSchema.NoContent,
      error: failures
    }),
    HttpApiEndpoint.post("fork", "/sessions/:session/fork", {
      params: session,
      payload: ForkRequest,
      success: HttpApiSchema.NoContent,
      error: failures
    }),
    HttpApiEndpoint.delete("forget", "/sessions/:session", {
      params: session,
      success: HttpApiSchema.NoContent,
      error: failures
    }),
    HttpApiEndpoint.post("answer", "/sessions/:session/answers", {
      params: session,
      payload: AnswerRequest,
      success: parts,
      error: failures
    })
  ).prefix(`/agents/${name}`)
  // nobody has to provide it, so it is not seen in the type
  return all.middleware(guard) as unknown as typeof all
}

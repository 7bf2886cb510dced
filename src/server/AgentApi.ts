/**
 * The HTTP API of an agent, as a group of effect's `HttpApi`: to start a run and read it, to join one that works, to stop
 * it, to tell it more, to answer what it waits for, and to read and delete its sessions. There is no server in this
 * module: `AgentHttp` has the handlers, and `RemoteAgent` makes an agent of a client.
 *
 * The runs of a group are read as server-sent events. The `id` of an event is the number of its part: who has lost the
 * connection joins the run after it. A run that fails ends with an event that says so; a stream that just ends was cut.
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
 * // => /agents/assistant/sessions/{session}
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
import * as HttpApiEndpoint from "effect/http-api/HttpApiEndpoint"
import * as HttpApiGroup from "effect/http-api/HttpApiGroup"
import * as HttpApiSchema from "effect/http-api/HttpApiSchema"
import * as Schema from "effect/Schema"
import * as AgentError from "../AgentError.ts"
import type * as AgentOutput from "../AgentOutput.ts"
import * as AgentRun from "../AgentRun.ts"
import * as Approval from "../Approval.ts"

// -----------------------------------------------------------------------------
// Who asks
// -----------------------------------------------------------------------------

/**
 * Service for who sends a request: the security middleware of your API provides it. Sessions and runs belong to their
 * owner, and for everybody else they do not exist. Nothing that a request says names the owner.
 *
 * @category services
 * @since 0.1.0
 */
export class Owner extends Context.Service<Owner, { readonly id: string }>()("effect-agents/server/Owner") {}

// -----------------------------------------------------------------------------
// What is sent
// -----------------------------------------------------------------------------

/**
 * The longest text of a prompt, in UTF-16 units; the body of a request may be limited by `MaxBodySize` besides.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumText = 1_000_000

/**
 * The id of a session as a client knows it: between 1 and 200 UTF-16 units.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionId = Schema.NonEmptyString.check(Schema.isMaxLength(200))

/**
 * The id of a run that a client chooses: letters, digits, `-` and `_`. A request that is sent twice then starts one run;
 * the second one is refused with `"run-exists"`, and can join it.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunId = Schema.String.check(Schema.isPattern(/^[A-Za-z0-9_-]{8,100}$/))

const Text = Schema.NonEmptyString.check(Schema.isMaxLength(maximumText))

/**
 * Schema for what a user may say: a text, or texts and files. Messages of an assistant, of a tool or of the system are
 * none of a client's, and neither are options for the provider of a model.
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
      mediaType: Schema.NonEmptyString.check(Schema.isMaxLength(255)),
      fileName: Schema.optional(Schema.String.check(Schema.isMaxLength(255))),
      data: Schema.Union([Schema.Uint8Array, Schema.URL])
    })
  ]))
])

/**
 * What a user may say.
 *
 * @category models
 * @since 0.1.0
 */
export type Message = typeof Message.Type

/**
 * Returns the message of a prompt that a client has sent.
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
 * Why a request or a run did not succeed, as `AgentError.describe` says it. It tells nothing of the inside of the server.
 *
 * A run that ends without saying how, because its connection was lost, has the code `"connection-lost"`.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunFailed extends Schema.Error<RunFailed>("effect-agents/server/RunFailed")({
  _tag: Schema.tag("RunFailed"),
  code: Schema.String,
  message: Schema.String,
  retryable: Schema.Boolean,
  status: Schema.Int
}) {}

/**
 * Returns what a client is told of a failure.
 *
 * @category conversions
 * @since 0.1.0
 */
export const describe = (cause: Cause.Cause<unknown>): RunFailed => new RunFailed(AgentError.describe(cause))

const statuses = [400, 403, 404, 409, 413, 422, 429, 499, 500, 502, 503, 504] as const

/** One schema for each status: it is the status of the response, and a client reads the same error from all of them. */
const failures = statuses.map((status) =>
  RunFailed.check(Schema.makeFilter((error) => error.status === status)).pipe(HttpApiSchema.status(status))
)

/**
 * Schema for the answer to an approval, by its id: what it is about stands in the session, and no client can change that.
 * With `params`, the call runs with them in place of those that the model has given.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Answer = Schema.Struct({
  approvalId: Schema.String,
  approved: Schema.Boolean,
  // with `optional` an absent value would be sent as null, which is JSON too
  params: Schema.optionalKey(Schema.Json),
  reason: Schema.optional(Schema.String.check(Schema.isMaxLength(maximumText)))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Answer = typeof Answer.Type

/**
 * Schema for the request of a run: what the user says, the session it belongs to, and an id for the run.
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunRequest = Schema.Struct({
  prompt: Message,
  session: Schema.optional(SessionId),
  runId: Schema.optional(RunId)
})

/**
 * @category models
 * @since 0.1.0
 */
export type RunRequest = typeof RunRequest.Type

/**
 * Schema for the request of a run that goes on with answers.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AnswerRequest = Schema.Struct({
  answers: Schema.NonEmptyArray(Answer),
  runId: Schema.optional(RunId)
})

/**
 * @category models
 * @since 0.1.0
 */
export type AnswerRequest = typeof AnswerRequest.Type

/**
 * Schema for what a client is told of the session of a conversation.
 *
 * - `version`: how often it was saved.
 * - `messages`: the conversation, without what providers of models have said about its parts.
 * - `approvals`: what it waits for.
 * - `runId`: the run that works on it, if one does: join it to see how it goes on.
 *
 * @category schemas
 * @since 0.1.0
 */
export const SessionView = Schema.Struct({
  id: Schema.String,
  version: Schema.Int,
  messages: Schema.Array(Prompt.Message),
  approvals: Schema.Array(Approval.Approval),
  runId: Schema.optional(Schema.String)
})

/**
 * @category models
 * @since 0.1.0
 */
export type SessionView = typeof SessionView.Type

// -----------------------------------------------------------------------------
// The group
// -----------------------------------------------------------------------------

/**
 * Creates the group of an agent, below `/agents/<name>`. With the toolkit of the agent, and with its output, a client reads
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
    /** The toolkit of the agent. Default: none, and results are JSON. */
    readonly toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, any, any> | Toolkit.WithHandler<Tools> | undefined
    /** The output of the agent. Default: none, and the value of a result is JSON. */
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
  const session = { session: SessionId }
  return HttpApiGroup.make(name).add(
    HttpApiEndpoint.post("run", "/runs", {
      payload: RunRequest,
      success: parts,
      error: failures
    }),
    HttpApiEndpoint.get("join", "/runs/:runId", {
      params: run,
      query: { after: Schema.optional(Schema.FiniteFromString) },
      headers: { "last-event-id": Schema.optional(Schema.FiniteFromString) },
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
    HttpApiEndpoint.get("session", "/sessions/:session", { params: session, success: SessionView, error: failures }),
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
}

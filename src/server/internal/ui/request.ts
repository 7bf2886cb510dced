/**
 * What is read of the request of a page. The rest of it is what the page believes, and is not looked at.
 *
 * @since 0.1.0
 */

import type * as ByteSize from "effect/ByteSize"
import * as Effect from "effect/Effect"
import * as HttpIncomingMessage from "effect/http/HttpIncomingMessage"
import * as HttpServerRequest from "effect/http/HttpServerRequest"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AgentApi from "../../AgentApi.ts"
// what a page returns for a call
import type * as ClientTools from "../../ClientTools.ts"
import { failed } from "../failures.ts"

const MessageId = Schema.NonEmptyString.check(Schema.isMaxLength(200))

const Body = Schema.Struct({
  id: AgentApi.SessionId,
  trigger: Schema.optional(Schema.String),
  messageId: Schema.optional(Schema.Unknown),
  /** The whole conversation, as `DefaultChatTransport` sends it, of which one message is read. */
  messages: Schema.optional(Schema.Array(Schema.Unknown)),
  /** The last message alone. */
  message: Schema.optional(Schema.Unknown),
  params: Schema.optional(Schema.Record(Schema.String, Schema.Json))
})

const Sent = Schema.Struct({
  id: MessageId,
  role: Schema.Literals(["user", "assistant"]),
  parts: Schema.Array(Schema.Unknown)
})

const Text = Schema.Struct({ type: Schema.tag("text"), text: Schema.String })
const File = Schema.Struct({
  type: Schema.tag("file"),
  mediaType: Schema.String,
  url: Schema.String,
  filename: Schema.optional(Schema.String)
})
/** A tool call of a message, with the output that the page may have given it. */
const Call = Schema.Struct({
  toolCallId: Schema.String,
  state: Schema.String,
  preliminary: Schema.optional(Schema.Boolean),
  output: Schema.optional(Schema.Json),
  errorText: Schema.optional(Schema.String)
})
const Answered = Schema.Struct({
  state: Schema.tag("approval-responded"),
  approval: Schema.Struct({
    id: Schema.String,
    approved: Schema.Boolean,
    reason: Schema.optional(Schema.String),
    isAutomatic: Schema.optional(Schema.Boolean)
  })
})

/**
 * A message of the user, or answers to approvals and outputs of tools. The outputs are all that the message has, also
 * those that the server has sent.
 *
 * - `messageId`: the id of the message of the user, or of the assistant's message that the run goes on with.
 * - `replaces`: the user has edited this message, or wants another answer to it.
 *
 * @category models
 * @since 0.1.0
 */
export type Request =
  & { readonly chat: string; readonly messageId: string }
  & (
    | { readonly _tag: "Prompt"; readonly message: AgentApi.Message; readonly replaces: boolean }
    | {
      readonly _tag: "Answers"
      readonly answers: ReadonlyArray<AgentApi.Answer>
      readonly outputs: ReadonlyMap<string, ClientTools.Returned>
    }
  )

/**
 * Reads the request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const read = (
  maximum: ByteSize.ByteSize
): Effect.Effect<Request, AgentApi.RunFailed, HttpServerRequest.HttpServerRequest> =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    // every page can make a browser send a text, with the cookies of its user
    if (!/^application\/json\b/i.test(request.headers["content-type"] ?? "")) return yield* invalid
    const json = yield* request.json.pipe(
      Effect.provideService(HttpIncomingMessage.MaxBodySize, maximum),
      Effect.mapError(({ reason }) =>
        reason._tag === "RequestParseError" && reason.reason === "BodyTooLarge" ? tooLarge : invalid
      )
    )
    const body = yield* Effect.mapError(decodeBody(json), () => invalid)
    const sent = yield* Effect.mapError(decodeSent(body.message ?? lastOf(body)), () => invalid)
    const to = { chat: body.id, messageId: sent.id }
    if (sent.role === "user") {
      const message = yield* messageOf(sent.parts)
      return {
        ...to,
        _tag: "Prompt",
        message,
        replaces: body.trigger === "regenerate-message" || body.messageId === sent.id
      }
    }
    const answers = yield* answersOf(sent.parts, body.params ?? {})
    const outputs = outputsOf(sent.parts)
    return answers.length === 0 && outputs.size === 0 ? yield* nothing : { ...to, _tag: "Answers", answers, outputs }
  })

/** A page may answer an approval when there are messages after it already. */
const lastOf = ({ messageId, messages = [] }: typeof Body.Type): unknown =>
  messages.findLast((message) => Predicate.hasProperty(message, "id") && message.id === messageId) ?? messages.at(-1)

const decodeBody = Schema.decodeUnknownEffect(Body)
const decodeSent = Schema.decodeUnknownEffect(Sent)
const decodeText = Schema.decodeUnknownOption(Text)
const decodeFile = Schema.decodeUnknownOption(File)
const decodeAnswered = Schema.decodeUnknownOption(Answered)
const decodeCall = Schema.decodeUnknownOption(Call)
const decodeMessage = Schema.decodeUnknownEffect(Schema.toCodecJson(AgentApi.Message))
const decodeAnswers = Schema.decodeUnknownEffect(AgentApi.AnswerRequest.fields.answers)

/** The texts and files. A page may have parts of its own in the messages of a user. */
const messageOf = (parts: ReadonlyArray<unknown>): Effect.Effect<AgentApi.Message, AgentApi.RunFailed> => {
  const content: Array<unknown> = []
  for (const part of parts) {
    const text = Option.getOrUndefined(decodeText(part))
    const file = Option.getOrUndefined(decodeFile(part))
    // beside a file there may be an empty text
    if (text !== undefined && text.text !== "") content.push(text)
    if (file !== undefined) {
      const { filename, mediaType, type, url } = file
      // a page may know the kind of a file only
      const full = mediaType.includes("/") ? mediaType : `${mediaType}/*`
      content.push({ type, mediaType: full, data: url, ...(filename !== undefined && { fileName: filename }) })
    } else if (isFile(part)) return Effect.fail(invalid)
  }
  return Effect.mapError(decodeMessage(content), () => invalid)
}

const isFile = (part: unknown): boolean => Predicate.hasProperty(part, "type") && part.type === "file"

const answersOf = (
  parts: ReadonlyArray<unknown>,
  params: Readonly<Record<string, Schema.Json>>
): Effect.Effect<ReadonlyArray<AgentApi.Answer>, AgentApi.RunFailed> => {
  const answers = parts.flatMap((part) => {
    const approval = Option.getOrUndefined(decodeAnswered(part))?.approval
    if (approval === undefined || approval.isAutomatic === true) return []
    const { approved, id: approvalId, reason } = approval
    const edited = Object.hasOwn(params, approvalId) ? { params: params[approvalId] } : {}
    return [{ approvalId, approved, ...(reason !== undefined && { reason }), ...edited }]
  })
  return answers.length === 0 ? Effect.succeed([]) : Effect.mapError(decodeAnswers(answers), () => invalid)
}

const outputsOf = (parts: ReadonlyArray<unknown>): ReadonlyMap<string, ClientTools.Returned> => {
  const outputs = new Map<string, ClientTools.Returned>()
  for (const part of parts) {
    const call = Option.getOrUndefined(decodeCall(part))
    if (call === undefined) continue
    const { errorText, output, preliminary, state, toolCallId: id } = call
    // of calls with the same id, the last one is meant
    outputs.delete(id)
    if (state === "output-available" && preliminary !== true) outputs.set(id, { id, result: output ?? null })
    else if (state === "output-error") outputs.set(id, { id, failure: errorText ?? "" })
  }
  return outputs
}

const invalid = failed("invalid-request", 400, false, "The request is not valid.")
const tooLarge = failed("request-too-large", 413, false, "The request is too large.")
const nothing = Effect.fail(
  failed("nothing-to-answer", 400, false, "The last message has nothing that the agent could answer.")
)

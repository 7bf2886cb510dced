/**
 * The messages of a client as the input of a run, and the refusals of those that are none.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as SdkErrors from "@a2a-js/sdk/errors"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Json from "../../internal/words/json.ts"
import * as AgentApi from "../../server/AgentApi.ts"
import * as Parts from "./parts.ts"

/**
 * The error that a client receives.
 *
 * @category models
 * @since 0.1.0
 */
export type Refusal = InstanceType<typeof SdkErrors.A2AError>

/**
 * Creates the refusal of a request that cannot be read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const malformed = (message: string): Refusal => new SdkErrors.RequestMalformedError(message)

/**
 * Creates the refusal of a request that the task does not allow.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unsupported = (message: string): Refusal => new SdkErrors.UnsupportedOperationError(message)

/**
 * The refusal of a message to a task that has ended.
 *
 * @category constants
 * @since 0.1.0
 */
export const ended = unsupported("The task has ended.")

/**
 * The refusal of answers that nobody waits for.
 *
 * @category constants
 * @since 0.1.0
 */
export const nothingAsked = unsupported("The task does not wait for answers.")

/**
 * The refusal of a message to a task that has begun to work on another one.
 *
 * @category constants
 * @since 0.1.0
 */
export const overtaken = unsupported("The task has begun to work on another message.")

/**
 * Creates the refusal of a task that the sender does not have.
 *
 * @category constructors
 * @since 0.1.0
 */
export const taskNotFound = (): Refusal => new SdkErrors.TaskNotFoundError("The task is not known.")

/**
 * Creates the refusal of an operation that failed here. It says nothing about the reason.
 *
 * @category constructors
 * @since 0.1.0
 */
export const internal = (): Refusal => new SdkErrors.A2AError("Something went wrong.")

/**
 * Returns a failure as the error that a client receives. `metadata` has its code.
 *
 * @category conversions
 * @since 0.1.0
 */
export const refused = ({ code, message, retryable, status }: AgentApi.RunFailed): Refusal => {
  const options = { message, metadata: { code, retryable: String(retryable), status: String(status) } }
  return status >= 400 && status < 500
    ? new SdkErrors.RequestMalformedError(options)
    : new SdkErrors.A2AError(options)
}

/**
 * What a message asks for: a run with a prompt, or a run with answers to approvals.
 *
 * @category models
 * @since 0.1.0
 */
export type Asked =
  | { readonly _tag: "Prompt"; readonly prompt: AgentApi.Message }
  | { readonly _tag: "Answers"; readonly answers: ReadonlyArray<AgentApi.Answer> }

const isId = Schema.is(Schema.NonEmptyString.check(Schema.isMaxLength(255)))
const isContextId = Schema.is(AgentApi.SessionId)

/**
 * Returns the message of a request, if it can be kept.
 *
 * @category conversions
 * @since 0.1.0
 */
export const messageOf = (message: Sdk.Message | undefined): Effect.Effect<Sdk.Message, Refusal> => {
  if (message === undefined || !isId(message.messageId)) {
    return Effect.fail(malformed("A message needs a `messageId` of at most 255 characters."))
  }
  const { contextId, taskId } = message
  if (contextId !== "" && !isContextId(contextId)) {
    return Effect.fail(malformed("The `contextId` needs between 1 and 100 characters that a path of a URL can hold."))
  }
  return taskId === "" || isId(taskId) ? Effect.succeed(message) : Effect.fail(taskNotFound())
}

/**
 * Returns a message as the history of a task has it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const kept = ({ messageId, parts }: Sdk.Message, name: Parts.TaskName): Sdk.Message =>
  Parts.message(Sdk.Role.ROLE_USER, messageId, name, parts.map((part) => ({ ...part, metadata: undefined })))

/**
 * Reads the parts of a message to a task that exists. JSON with `answers` are answers to its approvals, and then nothing
 * else may be in the message. Everything else is a prompt.
 *
 * @category conversions
 * @since 0.1.0
 */
export const asked = (message: Sdk.Message): Effect.Effect<Asked, Refusal> => {
  const answers = message.parts.filter(hasAnswers)
  if (answers.length === 0) {
    return Effect.map(toPrompt(message), (prompt) => ({ _tag: "Prompt", prompt }))
  }
  if (answers.length < message.parts.length) {
    return Effect.fail(malformed("A message has either answers or a prompt."))
  }
  const decoded = answers.map((part) => decodeAnswers(part.content?.value))
  const given = decoded.flatMap((_) => Result.isSuccess(_) ? _.success.answers : [])
  return decoded.some(Result.isFailure) || given.length > AgentApi.maximumAnswers
    ? Effect.fail(malformed("The answers could not be read."))
    : Effect.succeed({ _tag: "Answers", answers: given })
}

const hasAnswers = ({ content }: Sdk.Part): boolean =>
  content?.$case === "data" && Predicate.hasProperty(content.value, "answers")

const decodeAnswersOf = Schema.decodeUnknownResult(
  Schema.Struct({ answers: Schema.NonEmptyArray(AgentApi.Answer).check(Schema.isMaxLength(AgentApi.maximumAnswers)) })
)

const decodeAnswers = (value: unknown) => Json.isTooDeep(value) ? Result.fail(undefined) : decodeAnswersOf(value)

type Content = Exclude<AgentApi.Message, string>[number]

const isPrompt = Schema.is(AgentApi.Message)

/**
 * Returns the parts of a message as the prompt of a run. JSON becomes a text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPrompt = (message: Sdk.Message): Effect.Effect<AgentApi.Message, Refusal> => {
  // a hundred parts may be in a prompt, and their schema would look at all of them first
  if (message.parts.length > AgentApi.maximumParts) return Effect.fail(unreadable)
  const content = message.parts.map(contentOf)
  const told = content.filter((part) => part !== "empty")
  return told.some((part) => part === undefined) || !isPrompt(told)
    ? Effect.fail(unreadable)
    : Effect.succeed(told)
}

const unreadable = malformed("The parts of the message could not be read, there are none, or they are too large.")

const contentOf = ({ content, filename, mediaType }: Sdk.Part): Content | "empty" | undefined => {
  const file = (data: Uint8Array | URL): Content => ({
    type: "file",
    mediaType: mediaType === "" ? "application/octet-stream" : mediaType,
    fileName: filename === "" ? undefined : filename,
    data
  })
  switch (content?.$case) {
    case "text":
      return content.value === "" ? "empty" : { type: "text", text: content.value }
    case "data":
      return Json.isTooDeep(content.value) ? undefined : { type: "text", text: JSON.stringify(content.value ?? null) }
    case "raw":
      return file(new Uint8Array(content.value))
    case "url":
      return URL.canParse(content.value) ? file(new URL(content.value)) : undefined
    default:
      return undefined
  }
}

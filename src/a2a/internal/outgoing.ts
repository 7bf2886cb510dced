/**
 * The input of a run as a message to another agent.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as Prompt from "effect/ai/Prompt"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import type * as Agent from "../../Agent.ts"
import * as FileData from "../../internal/words/fileData.ts"
import * as A2aError from "../A2aError.ts"
import * as Approvals from "./approvals.ts"
import * as Parts from "./parts.ts"

/**
 * What is sent: the parts of the message, and the task that it is for, if it is for one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outgoing {
  readonly parts: ReadonlyArray<Sdk.Part>
  readonly taskId: string | undefined
  /** The messages of the prompt. */
  readonly prompt: ReadonlyArray<Prompt.Message>
}

/**
 * Reads the input of a run. An agent elsewhere takes messages of a user, or answers to what its task has asked for. It
 * has everything else itself.
 *
 * @category conversions
 * @since 0.1.0
 */
export const read = (
  { answers, continues, prompt }: Agent.ProgramInput
): Result.Result<Outgoing, A2aError.InvalidInput> => {
  if (continues === true) return invalid("the agent goes on with a message or with answers only")
  if (answers !== undefined) {
    const given = answers.map(Approvals.toAnswer)
    const [first] = given
    const all = given.flatMap((one) => one === undefined || one.taskId !== first?.taskId ? [] : [one.answer])
    return first === undefined || all.length < given.length
      ? invalid("the answers are not for the approvals of one task")
      : Result.succeed({ parts: [Parts.data({ answers: all })], taskId: first.taskId, prompt: [] })
  }
  const made = Result.try({ try: () => Prompt.make(prompt).content, catch: () => undefined })
  if (Result.isFailure(made)) return invalid("the prompt is no prompt")
  const users = made.success.filter((message) => message.role === "user")
  const parts = users.flatMap(({ content }) => content).map(partOf)
  const told = parts.flatMap((part) => part ?? [])
  return users.length < made.success.length || told.length < parts.length || told.length === 0
    ? invalid("the prompt has to be messages of a user, with texts and files")
    : Result.succeed({ parts: told, taskId: undefined, prompt: made.success })
}

const invalid = (description: string) => Result.fail(new A2aError.InvalidInput({ description }))

const partOf = (part: Prompt.UserMessagePart): Sdk.Part | undefined => {
  if (part.type === "text") return Parts.text(part.text)
  const { fileName, mediaType } = part
  const read = FileData.read(part.data)
  if (read._tag === "Url") return Parts.url(read.url.href, mediaType, fileName)
  const bytes = typeof read.data === "string"
    ? Result.getOrUndefined(Base64.decode(read.data))
    : read.data
  return bytes === undefined ? undefined : Parts.raw(bytes, mediaType, fileName)
}

/**
 * Returns the request with a message.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRequest = (
  { parts }: Outgoing,
  names: { readonly messageId: string; readonly taskId: string | undefined; readonly contextId: string | undefined }
): Sdk.SendMessageRequest => ({
  tenant: "",
  metadata: undefined,
  configuration: {
    acceptedOutputModes: [],
    taskPushNotificationConfig: undefined,
    historyLength: 0,
    returnImmediately: false
  },
  message: Parts.message(
    Sdk.Role.ROLE_USER,
    names.messageId,
    { taskId: names.taskId ?? "", contextId: names.contextId ?? "" },
    parts
  )
})

/**
 * Translates between messages and the input of the runtime: one text with attachments for each run. The runtime keeps
 * the conversation itself.
 *
 * The last assistant message of a run is marked with the runtime's session. The session knows a history up to its last
 * mark that the session still has. Later messages, and messages from elsewhere, are sent to it as text.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as FileData from "../../internal/words/fileData.ts"
import * as Text from "../../internal/words/text.ts"
import type * as CopilotRuntime from "../CopilotRuntime.ts"

/**
 * The key of the mark in the options of an assistant message.
 *
 * @category marks
 * @since 0.1.0
 */
export const markKey = "effect-agents/copilot"

/**
 * The session of the runtime that a message belongs to, and the last prompt of that session when the message was
 * written.
 *
 * @category marks
 * @since 0.1.0
 */
export interface Mark {
  readonly sessionId: string
  readonly promptId: string
}

/**
 * Puts the mark on the last assistant message.
 *
 * @category marks
 * @since 0.1.0
 */
export const withMark = (messages: ReadonlyArray<Prompt.Message>, mark: Mark): ReadonlyArray<Prompt.Message> => {
  const last = messages.findLastIndex((message) => message.role === "assistant")
  return messages.map((message, index) =>
    index === last && message.role === "assistant"
      ? Prompt.assistantMessage({ content: message.content, options: { ...message.options, [markKey]: { ...mark } } })
      : message
  )
}

/**
 * A mark, and the messages after it.
 *
 * @category marks
 * @since 0.1.0
 */
export interface Marked {
  readonly mark: Mark
  readonly after: ReadonlyArray<Prompt.Message>
}

/**
 * The marks of a session in a history, the last one first. A mark of another session is ignored: it came with messages
 * that were copied, or that somebody else has written.
 *
 * @category marks
 * @since 0.1.0
 */
export const findMarks = (
  history: ReadonlyArray<Prompt.Message>,
  sessionId: string | undefined
): ReadonlyArray<Marked> =>
  history.flatMap((message, index) => {
    const mark = message.options[markKey]
    if (message.role !== "assistant" || !isMark(mark) || mark.sessionId !== sessionId) return []
    // the results of the calls in the marked message belong to it
    const rest = history.slice(index + 1)
    const next = rest.findIndex(({ role }) => role !== "tool")
    return [{ mark, after: next === -1 ? [] : rest.slice(next) }]
  }).reverse()

/**
 * Goes back to the last mark that the session knows, and returns the messages after it. Anything later in the session
 * is removed, because it is from runs that were not saved. A session that knows no mark gets the whole history.
 *
 * @category marks
 * @since 0.1.0
 */
export const rewind = Effect.fnUntraced(function*(
  { call, session }: CopilotRuntime.OpenSession,
  marks: ReadonlyArray<Marked>,
  history: ReadonlyArray<Prompt.Message>
) {
  if (marks.length === 0) return history
  const events = yield* call("getEvents", () => session.getEvents())
  const prompts = events.filter((event) => event.type === "user.message" && event.agentId === undefined)
  const indexes = new Map(prompts.map((event, index) => [event.type === "user.message" && event.data.messageId, index]))
  const known = marks.find(({ mark }) => indexes.has(mark.promptId))
  if (known === undefined) return history
  const next = prompts[indexes.get(known.mark.promptId)! + 1]
  if (next !== undefined) yield* call("truncate", () => session.rpc.history.truncate({ eventId: next.id }))
  return known.after
})

const isMark = (u: unknown): u is Mark =>
  Predicate.hasProperty(u, "sessionId") && Predicate.isString(u.sessionId) &&
  Predicate.hasProperty(u, "promptId") && Predicate.isString(u.promptId)

/**
 * The text and the attachments of one prompt.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toMessage = (
  untold: ReadonlyArray<Prompt.Message>,
  prompt: ReadonlyArray<Prompt.Message>
): Pick<Sdk.MessageOptions, "prompt" | "attachments"> => {
  const attachments: Array<Attachment> = []
  const texts: Array<string> = []
  // the last user messages are the question, everything before them is a conversation
  const last = prompt.findLastIndex((message) => message.role !== "user")
  const conversation = [...untold, ...prompt.slice(0, last + 1)]
  if (conversation.length > 0) {
    const lines = conversation.map((message) => `${message.role}: ${textOf(message, attachments)}`)
    texts.push(["<conversation>", ...lines, "</conversation>"].join("\n"))
  }
  for (const message of prompt.slice(last + 1)) texts.push(textOf(message, attachments))
  return Text.wellFormedValue({
    prompt: texts.join("\n\n"),
    ...(attachments.length === 0 ? undefined : { attachments })
  })
}

type Attachment = NonNullable<Sdk.MessageOptions["attachments"]>[number]

const textOf = (message: Prompt.Message, attachments: Array<Attachment>): string => {
  if (typeof message.content === "string") return message.content
  return message.content.flatMap((part) => {
    switch (part.type) {
      case "text":
        return part.text
      case "file": {
        const file = FileData.read(part.data)
        if (file._tag === "Url") return file.url.href
        attachments.push({
          type: "blob",
          data: FileData.toBase64(file.data),
          mimeType: part.mediaType,
          ...(part.fileName === undefined ? undefined : { displayName: part.fileName })
        })
        return []
      }
      case "tool-call":
        return `[called ${part.name} with ${JSON.stringify(part.params)}]`
      case "tool-result":
        return `[${part.name} gave ${JSON.stringify(part.result)}]`
      default:
        return []
    }
  }).join("\n")
}

/**
 * The text of system messages.
 *
 * @category conversions
 * @since 0.1.0
 */
export const systemText = (system: ReadonlyArray<Prompt.Message>): string =>
  system.flatMap((message) => message.role === "system" ? message.content : []).join("\n\n")

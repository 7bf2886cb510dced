/**
 * A stored conversation as the messages of AG-UI.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as FileData from "../../../internal/words/fileData.ts"
import * as Json from "../../../internal/words/json.ts"
import { CallIds } from "./callIds.ts"
import type * as Models from "./models.ts"
import * as Request from "./request.ts"

/**
 * Returns the messages of a conversation. Each has an id that stays the same while the conversation grows: that of its
 * client, or one from its place.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromHistory = (threadId: string, history: ReadonlyArray<Prompt.Message>): Array<Models.Message> => {
  const messages: Array<Models.Message> = []
  const ids = new CallIds([])
  const calls = new Map<string, string>()
  for (const [index, message] of history.entries()) {
    const id = `${threadId}-${index}`
    switch (message.role) {
      case "user":
        messages.push({
          id: Request.shownIdOf(threadId, message, index),
          role: "user",
          content: contentOf(message.content)
        })
        break
      case "assistant": {
        const texts: Array<string> = []
        const toolCalls: Array<{
          id: string
          type: "function"
          function: { name: string; arguments: string }
        }> = []
        for (const [place, part] of message.content.entries()) {
          if (part.type === "text") texts.push(part.text)
          if (part.type === "reasoning" && part.text !== "") {
            messages.push({ id: `${id}-${place}`, role: "reasoning", content: part.text })
          }
          if (part.type === "tool-call") {
            const call = ids.take(part.id)
            calls.set(part.id, call)
            toolCalls.push({
              id: call,
              type: "function",
              function: { name: part.name, arguments: Json.toText(part.params ?? {}) }
            })
          }
        }
        const content = texts.join("")
        if (content !== "" || toolCalls.length > 0) {
          messages.push({
            id,
            role: "assistant",
            ...content !== "" && { content },
            ...toolCalls.length > 0 && { toolCalls }
          })
        }
        break
      }
      case "tool":
        for (const [place, part] of message.content.entries()) {
          if (part.type !== "tool-result") continue
          const content = Json.toText(part.result ?? null)
          messages.push({
            id: `${id}-${place}`,
            role: "tool",
            toolCallId: calls.get(part.id) ?? part.id,
            content,
            ...part.isFailure && { error: content }
          })
        }
    }
  }
  return messages
}

/**
 * Returns the ids of the tool calls of a conversation, as `fromHistory` tells them.
 *
 * @category accessors
 * @since 0.1.0
 */
export const callsOf = (history: ReadonlyArray<Prompt.Message>): Array<string> => {
  const ids = new CallIds([])
  return history.flatMap((message) =>
    message.role === "assistant"
      ? message.content.flatMap((part) => part.type === "tool-call" ? ids.take(part.id) : [])
      : []
  )
}

const contentOf = (content: Prompt.UserMessage["content"]): string | Array<Models.ContentPart> => {
  if (content.every((part) => part.type === "text")) return content.map(({ text }) => text).join("")
  return content.map((part): Models.ContentPart => {
    if (part.type === "text") return { type: "text", text: part.text }
    const kind = /^(image|audio|video)\//.exec(part.mediaType)?.[1] as "image" | "audio" | "video" | undefined
    return { type: kind ?? "document", source: sourceOf(part) }
  })
}

const sourceOf = ({ data, mediaType: mimeType }: Prompt.FilePart) => {
  const file = FileData.read(data)
  if (file._tag === "Url") return { type: "url" as const, value: file.text, mimeType }
  return {
    type: "data" as const,
    value: Predicate.isString(file.data) ? file.data : Base64.encode(file.data),
    mimeType
  }
}

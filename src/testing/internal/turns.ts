/**
 * The turn that a model answers: the messages since its last answer, as JSON that can be compared.
 *
 * Options of messages, flags that are off, and approvals are left out. A provider or a middleware may change them between
 * a run and its copy, and the model does not read them.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as Address from "./address.ts"
import type * as Tape from "./tape.ts"

/**
 * A message without anything that the model does not read.
 *
 * @category models
 * @since 0.1.0
 */
export type Message = { readonly role: string; readonly content: ReadonlyArray<Schema.Json> }

type Encoded = { readonly role: string; readonly content: string | ReadonlyArray<Schema.Json> }

const isObject = (value: unknown): value is Readonly<Record<string, Schema.Json>> =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const isMessage = (value: unknown): value is Encoded =>
  isObject(value) && typeof value.role === "string" &&
  (typeof value.content === "string" || Array.isArray(value.content))

const isApproval = (part: Schema.Json): boolean =>
  isObject(part) && typeof part.type === "string" && part.type.startsWith("tool-approval-")

/** Half a character at the end of a text is replaced before a model reads it. */
const wellFormed = (value: Schema.Json): Schema.Json =>
  typeof value === "string"
    ? value.toWellFormed()
    : Array.isArray(value)
    ? value.map(wellFormed)
    : isObject(value)
    ? Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, wellFormed(inner)]))
    : value

const withoutOptions = (part: Schema.Json): Schema.Json => {
  if (!isObject(part)) return part
  const { isFailure, modelOutput: _output, options: _options, providerExecuted, ...read } = part
  return {
    ...read,
    ...isFailure === true && { isFailure },
    ...providerExecuted === true && { providerExecuted }
  }
}

/**
 * Returns the messages of an encoded prompt, without those of the system. The results of tools that follow each other are
 * one message: so a model reads them, also if some came before an approval and some after it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const messagesOf = (encoded: unknown): ReadonlyArray<Message> => {
  const messages = isObject(encoded) ? encoded.content : encoded
  if (!Array.isArray(messages)) return []
  const found: Array<Message> = []
  for (const message of messages as ReadonlyArray<unknown>) {
    if (!isMessage(message) || message.role === "system") continue
    const { content, role } = message
    const parts: ReadonlyArray<Schema.Json> = typeof content === "string" ? [{ type: "text", text: content }] : content
    const read = parts.filter((part) => !isApproval(part)).map((part) => wellFormed(withoutOptions(part)))
    if (read.length === 0) continue
    const last = found.at(-1)
    if (role === "tool" && last?.role === "tool") {
      found[found.length - 1] = { role, content: [...last.content, ...read] }
    } else found.push({ role, content: read })
  }
  return found
}

/**
 * Returns the messages after the last one of the assistant.
 *
 * @category accessors
 * @since 0.1.0
 */
export const turnOf = (messages: ReadonlyArray<Message>): ReadonlyArray<Message> =>
  messages.slice(messages.findLastIndex(({ role }) => role === "assistant") + 1)

/**
 * Returns the entry whose turn is the longest with which the prompt of a request ends.
 *
 * @category accessors
 * @since 0.1.0
 */
export const longest = (entries: ReadonlyArray<Tape.Entry>, request: Tape.ModelRequest): Tape.Entry | undefined => {
  const messages = messagesOf(request.prompt).map((message) => Address.textOf(message))
  let found: { readonly entry: Tape.Entry; readonly length: number } | undefined
  for (const entry of entries) {
    if (!("turn" in entry.request) || entry.request.method !== request.method) continue
    const { turn } = entry.request
    if (turn.length <= (found?.length ?? -1) || turn.length > messages.length) continue
    const end = messages.slice(messages.length - turn.length)
    if (turn.every((message, index) => Address.textOf(message) === end[index])) found = { entry, length: turn.length }
  }
  return found?.entry
}

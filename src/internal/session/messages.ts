/**
 * Stored messages, read back.
 *
 * The codec of a message takes ten times as long as parsing its JSON. Most messages are plain: texts, reasoning, tool
 * calls and their results, without options of a provider. A plain message is read here, exactly as the codec reads it.
 * All others are left to the codec, which decodes them or says what is wrong.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Parts from "../words/responseParts.ts"

/**
 * A message as JSON text.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromJson: Schema.Codec<Prompt.Message, string> = Schema.fromJsonString(Prompt.Message)

const parse = Schema.decodeUnknownExit(Schema.fromJsonString(Schema.Unknown))

/**
 * Reads messages that are stored one by one, as JSON. `undefined` stands for a message that the codec has to read.
 *
 * @category conversions
 * @since 0.1.0
 */
export const readTexts = (texts: ReadonlyArray<string>): ReadonlyArray<Prompt.Message | undefined> => {
  // They are parsed at once. The number after each shows that nothing begins in one text and ends in another.
  const parsed = parse(`[${texts.map((text, index) => `${text},${index}`).join(",")}]`)
  const values: unknown = Exit.isSuccess(parsed) ? parsed.value : undefined
  const isWhole = Array.isArray(values) && values.length === 2 * texts.length &&
    texts.every((_, index) => values[2 * index + 1] === index)
  return texts.map((_, index) => isWhole ? read(values[2 * index]) : undefined)
}

/**
 * Reads the JSON of one message. Returns `undefined` if the codec has to read it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const read = (value: unknown): Prompt.Message | undefined => {
  if (!Predicate.isObject(value)) return undefined
  const { content, options, role } = value
  if (!isEmpty(options) || !hasOnly(value, content !== undefined, role !== undefined, options !== undefined)) {
    return undefined
  }
  switch (role) {
    case "system":
      return typeof content === "string" ? Prompt.systemMessage({ content }) : undefined
    case "user": {
      const parts = readContent(content, readText)
      return parts && Prompt.userMessage({ content: parts })
    }
    case "assistant": {
      const parts = readContent(content, readAssistantPart)
      return parts && Parts.assistantMessage(parts)
    }
    case "tool": {
      const parts = readParts(content, readToolResult)
      return parts && Parts.toolMessage(parts)
    }
    default:
      return undefined
  }
}

type Json = Readonly<Record<string, unknown>>

const isEmpty = (options: unknown): boolean => {
  if (options === undefined) return true
  if (!Predicate.isObject(options)) return false
  for (const _ in options) return false
  return true
}

/** Whether an object has no other keys than those that are known. */
const hasOnly = (value: Json, ...known: ReadonlyArray<boolean>): boolean => {
  let count = 0
  for (const _ in value) count++
  for (const isPresent of known) if (isPresent) count--
  return count === 0
}

/** The content may be one text. */
const readContent = <A>(content: unknown, readPart: (part: Json) => A | undefined) =>
  typeof content === "string" ? [Parts.promptText(content)] : readParts(content, readPart)

const readParts = <A>(content: unknown, readPart: (part: Json) => A | undefined): Array<A> | undefined => {
  if (!Array.isArray(content)) return undefined
  const parts: Array<A> = []
  for (const value of content) {
    const part = Predicate.isObject(value) && isEmpty(value.options) ? readPart(value) : undefined
    if (part === undefined) return undefined
    parts.push(part)
  }
  return parts
}

const readText = (part: Json): Prompt.TextPart | undefined => {
  const { options, text, type } = part
  return type === "text" && typeof text === "string" && hasOnly(part, true, true, options !== undefined)
    ? Parts.promptText(text)
    : undefined
}

const readAssistantPart = (part: Json): Prompt.AssistantMessagePart | undefined => {
  const { options, text, type } = part
  switch (type) {
    case "text":
      return readText(part)
    case "reasoning":
      return typeof text === "string" && hasOnly(part, true, true, options !== undefined)
        ? Parts.promptReasoning(text)
        : undefined
    case "tool-call":
      return readToolCall(part)
    case "tool-result":
      return readToolResult(part)
    default:
      return undefined
  }
}

const readToolCall = (part: Json): Prompt.ToolCallPart | undefined => {
  const { id, name, options, params, providerExecuted = false } = part
  const isPlain = typeof id === "string" && typeof name === "string" && params !== undefined &&
    typeof providerExecuted === "boolean" &&
    hasOnly(part, true, true, true, true, options !== undefined, part.providerExecuted !== undefined)
  return isPlain ? Parts.promptToolCall({ id, name, params, providerExecuted }) : undefined
}

const readToolResult = (part: Json): Prompt.ToolResultPart | undefined => {
  const { id, isFailure, name, options, providerExecuted = false, result, type } = part
  const isPlain = type === "tool-result" && typeof id === "string" && typeof name === "string" &&
    typeof isFailure === "boolean" && result !== undefined && typeof providerExecuted === "boolean" &&
    hasOnly(part, true, true, true, true, true, options !== undefined, part.providerExecuted !== undefined)
  return isPlain ? Parts.promptToolResult({ id, name, isFailure, result, providerExecuted }) : undefined
}

/**
 * Estimates the tokens of a message.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Json from "../words/json.ts"

/**
 * Estimates the tokens of a text without the vocabulary of a model. A short word, up to three digits, or two marks
 * count as one token, spaces as none, and each character of a script without spaces as one. The estimate is a little
 * too high rather than too low.
 *
 * @category counting
 * @since 0.1.0
 */
export const ofText = (text: string): number => {
  let tokens = 0
  let kind = 0
  let length = 0
  for (let index = 0; index < text.length; index++) {
    const next = kindOf(text.charCodeAt(index))
    if (next !== kind) {
      tokens += weigh(kind, length)
      kind = next
      length = 0
    }
    length++
  }
  return tokens + weigh(kind, length)
}

const space = 0
const lineBreak = 1
const latin = 2
const digit = 3
const mark = 4
const letter = 5
const wide = 6

const kindOf = (code: number): number => {
  if (code === 10) return lineBreak
  if (code <= 32 || code === 160) return space
  if (code >= 48 && code <= 57) return digit
  if ((code >= 97 && code <= 122) || (code >= 65 && code <= 90)) return latin
  if (code < 192) return mark
  if (code < 592) return latin
  return code < 0x2000 ? letter : wide
}

const weigh = (kind: number, length: number): number => {
  switch (kind) {
    case space:
      // one space belongs to the word after it
      return length > 1 ? 1 : 0
    case lineBreak:
      return 1
    case latin:
      return Math.ceil(length / 6)
    case digit:
      return Math.ceil(length / 3)
    case mark:
    case letter:
      return Math.ceil(length / 2)
    default:
      return length
  }
}

/** The tokens of a message beside its content, and of a part beside its text. */
const overhead = 4

/** The tokens of an image or a document, whose real number is unknown. */
const fileTokens = 1_000

/**
 * Estimates the tokens of a message: those of its texts, those of its calls and results as JSON, a thousand for a file
 * that is not text, and four for each message and call.
 *
 * @category counting
 * @since 0.1.0
 */
export const ofMessage = (message: Prompt.Message): number => {
  if (typeof message.content === "string") return overhead + ofText(message.content)
  let tokens = overhead
  for (const part of message.content) tokens += ofPart(part)
  return tokens
}

const ofPart = (part: Prompt.Part): number => {
  switch (part.type) {
    case "text":
    case "reasoning":
      return ofText(part.text)
    case "tool-call":
      return overhead + ofText(part.name) + ofText(part.id) + ofText(Json.toText(part.params))
    case "tool-result":
      return overhead + ofText(part.id) +
        (part.modelOutput === undefined
          ? ofText(Json.toText(part.result))
          : part.modelOutput.reduce((tokens, output) => tokens + ofPart(output), 0))
    case "file":
      return part.mediaType.startsWith("text/") && !(part.data instanceof URL)
        ? Math.ceil(part.data.length / 3)
        : fileTokens
    default:
      return overhead
  }
}

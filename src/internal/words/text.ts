/**
 * Text that may leave this package. It has no half of a surrogate pair, which UTF-8 cannot express and servers refuse,
 * and it is cut only between two characters that a reader sees.
 *
 * Text is made well formed where it leaves, not where it comes in, because a model may stream the two halves of a pair
 * in two deltas.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import { empty } from "./responseParts.ts"

/**
 * Returns a text with U+FFFD in the place of each lone surrogate.
 *
 * @category converting
 * @since 0.1.0
 */
export const wellFormed = (text: string): string => text.toWellFormed()

/**
 * Returns a value with all its texts and keys well formed, or the value itself if they already are. Bytes, URLs and
 * other values that are not text stay as they are.
 *
 * @category converting
 * @since 0.1.0
 */
export const wellFormedValue = <A>(value: A): A => glance(value, 1000) < 0 ? walk(value, new Map()) as A : value

/**
 * Looks at no more than `left` objects, without remembering them, because a value that contains itself has no end.
 * Returns how many are left. The number is negative if a text is not well formed, or if nothing was left.
 */
const glance = (value: unknown, left: number): number => {
  if (typeof value === "string") return value.isWellFormed() ? left : -1
  if (typeof value !== "object" || value === null) return left
  let rest = left - 1
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length && rest >= 0; i++) rest = glance(value[i], rest)
    return rest
  }
  if (isOpaque(value)) return rest
  for (const key in value) {
    rest = key.isWellFormed() ? glance((value as Record<string, unknown>)[key], rest) : -1
    if (rest < 0) return rest
  }
  return rest
}

// Deeper than any JSON that a run accepts from others.
const maximumDepth = 1000

/** A value that contains itself, or that is too deep to be sent, stays as it is. */
const walk = (value: unknown, seen: Map<object, unknown>, depth = 0): unknown => {
  if (typeof value === "string") return value.toWellFormed()
  if (typeof value !== "object" || value === null || depth > maximumDepth || isOpaque(value)) return value
  if (seen.has(value)) return seen.get(value)
  seen.set(value, value)
  let copy: object | undefined
  if (Array.isArray(value)) {
    const items = value.map((item) => walk(item, seen, depth + 1))
    if (items.some((item, index) => item !== value[index])) copy = items
  } else {
    const entries = Object.entries(value)
    const changed = entries.map(([key, item]) => [key.toWellFormed(), walk(item, seen, depth + 1)] as const)
    if (changed.some(([key, item], index) => key !== entries[index][0] || item !== entries[index][1])) {
      copy = Object.create(Object.getPrototypeOf(value)) as object
      // an assignment to `__proto__` would be none
      for (const [key, item] of changed) {
        Object.defineProperty(copy, key, { value: item, writable: true, enumerable: true, configurable: true })
      }
    }
  }
  if (copy === undefined) return value
  seen.set(value, copy)
  return copy
}

const isOpaque = (value: object): boolean =>
  ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof URL || value instanceof Date

/**
 * The prompts of one run on their way to a model. Each begins with the messages of the prompt before, which are not
 * checked again.
 *
 * @category converting
 * @since 0.1.0
 */
export class WellFormedPrompts {
  private readonly seen: Array<Prompt.Message> = []
  private keeping: { value: unknown } | undefined = undefined

  /** What the provider of the run keeps from one prompt for the next one. */
  get kept(): { value: unknown } {
    return this.keeping ??= { value: undefined }
  }

  /** Returns the prompt with well-formed messages, or the prompt itself if they already are. */
  of<P extends Prompt.Prompt>(prompt: P): P {
    const { content } = prompt
    for (let i = 0; i < content.length; i++) {
      const message = content[i]
      if (message === this.seen[i]) continue
      if (!isPlain(message) && wellFormedValue(message) !== message) return wellFormedValue(prompt)
      this.seen[i] = message
    }
    return prompt
  }
}

/**
 * Returns a prompt with well-formed messages, or the prompt itself if they already are.
 *
 * @category converting
 * @since 0.1.0
 */
export const wellFormedPrompt = <P extends Prompt.Prompt>(prompt: P): P => new WellFormedPrompts().of(prompt)

/** Returns whether a message has the form of those that a run makes, and is well formed. */
const isPlain = ({ content, options }: Prompt.Message): boolean => {
  if (!isEmpty(options)) return false
  if (typeof content === "string") return content.isWellFormed()
  for (let i = 0; i < content.length; i++) if (!isPlainPart(content[i])) return false
  return true
}

const isEmpty = (options: Prompt.ProviderOptions): boolean => {
  if (options === empty) return true
  for (const _ in options) return false
  return true
}

const isPlainPart = (part: Prompt.Part): boolean => {
  if (!isEmpty(part.options)) return false
  switch (part.type) {
    case "text":
      return part.text.isWellFormed()
    case "tool-call":
      return part.id.isWellFormed() && part.name.isWellFormed() && glance(part.params, 100) >= 0
    case "tool-result":
      return part.modelOutput === undefined && part.id.isWellFormed() && part.name.isWellFormed() &&
        glance(part.result, 100) >= 0
    default:
      return false
  }
}

/**
 * Returns the beginning of a text: at most `maximum` UTF-16 units, without splitting a character (a grapheme cluster).
 *
 * @category cutting
 * @since 0.1.0
 */
export const cut = (text: string, maximum: number): string =>
  text.length <= maximum ? text : text.slice(0, boundary(text, maximum)[0])

/**
 * Returns the end of a text, with the same rules as `cut`.
 *
 * @category cutting
 * @since 0.1.0
 */
export const cutStart = (text: string, maximum: number): string =>
  text.length <= maximum ? text : text.slice(boundary(text, text.length - maximum)[1])

/**
 * Returns a text of at most `maximum` UTF-16 units. A text that was cut ends with a mark.
 *
 * @category cutting
 * @since 0.1.0
 */
export const shorten = (text: string, maximum: number, mark = "…"): string =>
  text.length <= maximum ? text : maximum < mark.length ? cut(text, maximum) : cut(text, maximum - mark.length) + mark

/** The nearest places before and after an index at which no character is split. */
const boundary = (text: string, index: number): readonly [before: number, after: number] => {
  if (!(index > 0)) return [0, 0]
  if (isSingle(text.charCodeAt(index - 1)) && isSingle(text.charCodeAt(index))) return [index, index]
  const found = (segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" })).segment(text).containing(
    index
  )
  return found === undefined || found.index === index
    ? [index, index]
    : [found.index, found.index + found.segment.length]
}

// Below the first combining mark each unit is a character, except for a line end of two units.
const isSingle = (unit: number): boolean => unit < 0x300 && unit !== 0x0d && unit !== 0x0a

let segmenter: Intl.Segmenter | undefined

/**
 * Returns whether a message has no content: no file, no call, no result, and no text except white space.
 *
 * @category guards
 * @since 0.1.0
 */
export const isBlank = (message: Prompt.Message): boolean =>
  typeof message.content === "string"
    ? message.content.trim() === ""
    : message.content.every((part) => part.type === "text" && part.text.trim() === "")

/**
 * Text as it may leave this package: without half of a surrogate pair, which UTF-8
 * has no form for and servers refuse, and cut between two characters that a reader
 * sees.
 *
 * Text is made well formed where it leaves, not where it comes in: a model that
 * streams may send the halves of a pair in two deltas.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"

/**
 * Returns a text with U+FFFD in the place of each lone surrogate.
 *
 * @category converting
 * @since 0.1.0
 */
export const wellFormed = (text: string): string => text.toWellFormed()

/**
 * Returns a value with all its texts and its keys well formed: the value itself when
 * they are. Bytes, URLs and what else is no text stay as they are.
 *
 * @category converting
 * @since 0.1.0
 */
export const wellFormedValue = <A>(value: A): A => walk(value, new Map()) as A

// Deeper than any JSON that a run takes from others.
const maximumDepth = 1000

/** A value that contains itself, or that is too deep to be sent, is left as it is. */
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
      copy = Object.assign(Object.create(Object.getPrototypeOf(value)), Object.fromEntries(changed))
    }
  }
  if (copy === undefined) return value
  seen.set(value, copy)
  return copy
}

const isOpaque = (value: object): boolean =>
  ArrayBuffer.isView(value) || value instanceof ArrayBuffer || value instanceof URL || value instanceof Date

// A message is never changed: it is looked through once.
const looked = new WeakSet<Prompt.Message>()

/**
 * Returns a prompt whose messages are well formed: the prompt itself when they are.
 *
 * @category converting
 * @since 0.1.0
 */
export const wellFormedPrompt = <P extends Prompt.Prompt>(prompt: P): P => {
  const { content } = prompt
  for (let i = 0; i < content.length; i++) {
    if (looked.has(content[i])) continue
    if (wellFormedValue(content[i]) !== content[i]) return wellFormedValue(prompt)
    looked.add(content[i])
  }
  return prompt
}

/**
 * Returns the beginning of a text: at most `maximum` UTF-16 units, and no part of a
 * character (a grapheme cluster).
 *
 * @category cutting
 * @since 0.1.0
 */
export const cut = (text: string, maximum: number): string =>
  text.length <= maximum ? text : text.slice(0, boundary(text, maximum)[0])

/**
 * Returns the end of a text, cut like its beginning.
 *
 * @category cutting
 * @since 0.1.0
 */
export const cutStart = (text: string, maximum: number): string =>
  text.length <= maximum ? text : text.slice(boundary(text, text.length - maximum)[1])

/**
 * Returns a text of at most `maximum` UTF-16 units, with a mark at its end when it
 * was cut.
 *
 * @category cutting
 * @since 0.1.0
 */
export const shorten = (text: string, maximum: number, mark = "…"): string =>
  text.length <= maximum ? text : maximum < mark.length ? cut(text, maximum) : cut(text, maximum - mark.length) + mark

/** The nearest places before and after an index where no character is split. */
const boundary = (text: string, index: number): readonly [before: number, after: number] => {
  if (!(index > 0)) return [0, 0]
  if (isPlain(text.charCodeAt(index - 1)) && isPlain(text.charCodeAt(index))) return [index, index]
  const found = (segmenter ??= new Intl.Segmenter(undefined, { granularity: "grapheme" })).segment(text).containing(
    index
  )
  return found === undefined || found.index === index
    ? [index, index]
    : [found.index, found.index + found.segment.length]
}

// Below the first combining mark each unit is a character, but for a line end of two.
const isPlain = (unit: number): boolean => unit < 0x300 && unit !== 0x0d && unit !== 0x0a

let segmenter: Intl.Segmenter | undefined

/**
 * Whether a message says nothing: it has no file, no call, no result, and no text but
 * white space.
 *
 * @category guards
 * @since 0.1.0
 */
export const isBlank = (message: Prompt.Message): boolean =>
  typeof message.content === "string"
    ? message.content.trim() === ""
    : message.content.every((part) => part.type === "text" && part.text.trim() === "")

/**
 * JSON as text in pieces, made when they are asked for. The end of a run holds its whole text several times over, and a
 * client that does not read must not make the server hold that text as bytes.
 *
 * @since 0.1.0
 */

/** The number of characters from which a text is one that is cut. */
const size = 64 * 1024

/** Values below this depth are not cut, so that the work is proportional to the size of the value. */
const maximumDepth = 8

/**
 * Yields `head`, the value as `JSON.stringify` writes it, and `tail`. Values of a usual size are one text.
 *
 * @category conversions
 * @since 0.1.0
 */
export function* pieces(head: string, value: unknown, tail: string): Generator<string> {
  if (!isLarge(value)) return yield head + JSON.stringify(value) + tail
  yield head
  yield* cut(value, 0)
  yield tail
}

function* cut(value: unknown, depth: number): Generator<string> {
  if (typeof value === "string") return yield* cutText(value)
  if (depth === maximumDepth || !isLarge(value)) return yield JSON.stringify(value)
  const isArray = Array.isArray(value)
  let separator = isArray ? "[" : "{"
  for (const [key, item] of Object.entries(value as object)) {
    if (!isArray && isLeftOut(item)) continue
    yield isArray ? separator : `${separator}${JSON.stringify(key)}:`
    yield* cut(isLeftOut(item) ? null : item, depth + 1)
    separator = ","
  }
  yield isArray ? "]" : "}"
}

/** `JSON.stringify` leaves these out of an object, and writes `null` for them in an array. */
const isLeftOut = (value: unknown): boolean =>
  value === undefined || typeof value === "function" || typeof value === "symbol"

function* cutText(text: string): Generator<string> {
  yield "\""
  for (let start = 0; start < text.length;) {
    let end = Math.min(text.length, start + size)
    // the two halves of one character stay together
    if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1))) end--
    yield JSON.stringify(text.slice(start, end)).slice(1, -1)
    start = end
  }
  yield "\""
}

const isHighSurrogate = (code: number): boolean => code >= 0xd800 && code <= 0xdbff

/** Stops counting when it knows. A value with a JSON form of its own is written whole. */
const isLarge = (value: unknown): boolean => {
  if (typeof value === "string") return value.length >= size
  if (typeof value !== "object" || value === null) return false
  const open: Array<object> = [value]
  let weight = 0
  for (let object = open.pop(); object !== undefined; object = open.pop()) {
    if ("toJSON" in object) continue
    for (const key in object) {
      const item: unknown = (object as Record<string, unknown>)[key]
      weight += typeof item === "string" ? key.length + item.length : key.length + 4
      if (weight >= size) return true
      if (typeof item === "object" && item !== null) open.push(item)
    }
  }
  return false
}

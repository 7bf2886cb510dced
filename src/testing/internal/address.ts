/**
 * The text and the address of a request.
 *
 * @since 0.1.0
 */

/** The keys in one order, so that equal values have equal texts. */
const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : typeof value === "object" && value !== null
    ? Object.fromEntries(
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([key, inner]) => [key, sorted(inner)])
    )
    : value

/**
 * Returns the text of a request: equal requests have equal texts.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = (request: unknown): string => JSON.stringify(sorted(request))

/**
 * Returns the address of a text, a short name for it. It is computed without waiting, so that a call waits for nothing
 * but the clock. Two texts may have one address, so the texts are compared too.
 *
 * @category accessors
 * @since 0.1.0
 */
export const addressOf = (text: string): string => {
  let [low, high] = [0x811c9dc5, 0x9dc5811c]
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ code, 0x85ebca6b)
    high ^= high >>> 15
  }
  return [low, high].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("")
}

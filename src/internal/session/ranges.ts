/**
 * The texts that begin with a prefix, as ranges in the order of their code points. A database that compares the bytes of
 * UTF-8 has this order, so it can look them up in an index. Nothing in a prefix has to be escaped.
 *
 * @since 0.1.0
 */

/**
 * The texts from `from` on that come before `before`. Without `before` it has no end.
 *
 * @category models
 * @since 0.1.0
 */
export interface Range {
  readonly from: string
  readonly before: string | undefined
}

/**
 * Returns the range of the well-formed texts that begin with the prefix, or `undefined` if there is none. A prefix that
 * ends with the first half of a surrogate pair is the beginning of all its pairs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofTexts = (prefix: string): Range | undefined => {
  if (prefix.isWellFormed()) return { from: prefix, before: next(prefix) }
  const whole = prefix.slice(0, -1)
  return whole.isWellFormed() && isFirstHalf(prefix.charCodeAt(whole.length))
    ? { from: `${prefix}\udc00`, before: next(`${prefix}\udfff`) }
    : undefined
}

/**
 * Returns the ranges of the JSON of all texts that begin with the prefix, as `JSON.stringify` writes it. JSON has an
 * escape for half of a surrogate pair, and none for a whole one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofJson = (prefix: string): ReadonlyArray<Range> => {
  const begin = JSON.stringify(prefix).slice(0, -1)
  const escaped = { from: begin, before: next(begin) }
  if (!isFirstHalf(prefix.charCodeAt(prefix.length - 1))) return [escaped]
  const pairs = ofTexts(JSON.stringify(prefix.slice(0, -1)).slice(0, -1) + prefix.slice(-1))
  return pairs === undefined ? [escaped] : [escaped, pairs]
}

/** The first text after all those that begin with this one. */
const next = (text: string): string | undefined => {
  const characters = Array.from(text)
  while (true) {
    const last = characters.pop()?.codePointAt(0)
    if (last === undefined) return undefined
    if (last === 0x10ffff) continue
    // the halves of surrogate pairs are no code points
    return characters.join("") + String.fromCodePoint(last === 0xd7ff ? 0xe000 : last + 1)
  }
}

const isFirstHalf = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff

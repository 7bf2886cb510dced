/**
 * Says why no recorded call answers a request.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import * as Tape from "./tape.ts"
import * as Turns from "./turns.ts"

/**
 * Returns the most similar recorded request, and the places where it differs.
 *
 * @category accessors
 * @since 0.1.0
 */
export const explain = (entries: ReadonlyArray<Tape.Entry>, request: Tape.Request, key: string): string => {
  const same = entries.filter((entry) => entry.key === key).length
  if (same > 0) return `The request was recorded ${same === 1 ? "once" : `${same} times`}, and is made once more`
  let nearest: { readonly entry: Tape.Entry; readonly differences: ReadonlyArray<Difference> } | undefined
  for (const entry of entries) {
    const made = comparable(entry.request, request)
    if (made === undefined) continue
    const differences = differ("request", entry.request, made)
    if (nearest === undefined || weightOf(differences) < weightOf(nearest.differences)) nearest = { entry, differences }
  }
  if (nearest === undefined) return `No call of \`${request.method}\` was recorded`
  const { differences, entry } = nearest
  const told = differences.slice(0, 5).map(show)
  const more = differences.length > told.length ? [`and at ${differences.length - told.length} more places`] : []
  return `No recorded call has this request. The nearest is ${Tape.nameOf(entry)}, which differs at ${
    [...told, ...more].join("\n  at ").replace(/\n {2}at and/, "\n  and")
  }`
}

/** What a recorded request can be compared with, or nothing if it is of another kind. */
const comparable = (recorded: Tape.Entry["request"], made: Tape.Request): unknown => {
  if ("turn" in recorded) {
    return "prompt" in made ? { method: made.method, turn: Turns.turnOf(Turns.messagesOf(made.prompt)) } : undefined
  }
  const isOne = (key: string) => key in recorded && key in made
  return isOne("prompt") || isOne("inputs") || isOne("params") ? made : undefined
}

interface Difference {
  readonly path: string
  readonly recorded: unknown
  readonly made: unknown
}

const differ = (path: string, recorded: unknown, made: unknown): ReadonlyArray<Difference> => {
  if (Object.is(recorded, made)) return []
  if (
    Predicate.isObjectOrArray(recorded) && Predicate.isObjectOrArray(made) &&
    Array.isArray(recorded) === Array.isArray(made)
  ) {
    const [before, now] = [recorded as Record<string, unknown>, made as Record<string, unknown>]
    return [...new Set([...Object.keys(before), ...Object.keys(now)])].flatMap((key) =>
      differ(`${path}.${key}`, before[key], now[key])
    )
  }
  return [{ path, recorded, made }]
}

/** A text that has changed in one word is nearer than another text, and a message that is missing is far away. */
const weightOf = (differences: ReadonlyArray<Difference>): number =>
  differences.reduce((sum, { made, recorded }) => {
    const [before, now] = [JSON.stringify(recorded) ?? "", JSON.stringify(made) ?? ""]
    const { end, start } = commonOf(before, now)
    return sum + 8 + Math.max(before.length, now.length) - start - end
  }, 0)

/** The numbers of characters at the beginning and at the end that two texts have in common. */
const commonOf = (a: string, b: string): { readonly start: number; readonly end: number } => {
  const shorter = Math.min(a.length, b.length)
  let start = 0
  while (start < shorter && a[start] === b[start]) start++
  let end = 0
  while (end < shorter - start && a[a.length - 1 - end] === b[b.length - 1 - end]) end++
  return { start, end }
}

const show = ({ made, path, recorded }: Difference): string => {
  const [before, now] = [JSON.stringify(recorded), JSON.stringify(made)]
  if (before === undefined || now === undefined) return `${path}: recorded ${cut(before, 0)}, now ${cut(now, 0)}`
  const { start } = commonOf(before, now)
  return `${path}: recorded ${cut(before, start)}, now ${cut(now, start)}`
}

/** A long value is shown around the place where it differs. */
const cut = (text: string | undefined, place: number): string => {
  if (text === undefined) return "nothing"
  const from = text.length <= 100 ? 0 : Math.max(0, place - 30)
  const to = Math.min(text.length, from + 100)
  return `${from > 0 ? "…" : ""}${text.slice(from, to).toWellFormed()}${to < text.length ? "…" : ""}`
}

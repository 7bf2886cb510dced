/**
 * Arithmetic on usages.
 *
 * @since 0.1.0
 */
import type * as AgentRun from "../../AgentRun.ts"

/**
 * The usage of zero model calls.
 *
 * @category models
 * @since 0.1.0
 */
export const empty: AgentRun.Usage = {
  inputTokens: { uncached: undefined, total: undefined, cacheRead: undefined, cacheWrite: undefined },
  outputTokens: { total: undefined, text: undefined, reasoning: undefined }
}

const addTokens = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined ? b : b === undefined ? a : a + b

/**
 * Returns the sum of two usages. A field that neither of them reports stays `undefined`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (self: AgentRun.Usage, that: AgentRun.Usage): AgentRun.Usage =>
  that === empty ? self : combine(self, that, addTokens)

/**
 * Returns a sum after one of its usages has grown from `before` to `after`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const change = (self: AgentRun.Usage, before: AgentRun.Usage, after: AgentRun.Usage): AgentRun.Usage =>
  before !== empty
    ? add(self, combine(after, before, differenceOfTokens))
    : self === empty
    ? after
    : add(self, after)

const differenceOfTokens = (after: number | undefined, before: number | undefined): number | undefined =>
  before === undefined ? after : (after ?? 0) - before

const combine = (
  { inputTokens, outputTokens }: AgentRun.Usage,
  that: AgentRun.Usage,
  tokens: (a: number | undefined, b: number | undefined) => number | undefined
): AgentRun.Usage => ({
  inputTokens: {
    uncached: tokens(inputTokens.uncached, that.inputTokens.uncached),
    total: tokens(inputTokens.total, that.inputTokens.total),
    cacheRead: tokens(inputTokens.cacheRead, that.inputTokens.cacheRead),
    cacheWrite: tokens(inputTokens.cacheWrite, that.inputTokens.cacheWrite)
  },
  outputTokens: {
    total: tokens(outputTokens.total, that.outputTokens.total),
    text: tokens(outputTokens.text, that.outputTokens.text),
    reasoning: tokens(outputTokens.reasoning, that.outputTokens.reasoning)
  }
})

/**
 * The largest number of tokens that is accepted for one call. Sums of such numbers stay exact.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumCount = 1e12

/**
 * Reads a number of tokens as a provider reports it. Anything else is `undefined`: a negative, infinite or implausibly
 * large number, or another type. A fraction is rounded.
 *
 * @category converting
 * @since 0.1.0
 */
export const count = (reported: unknown): number | undefined =>
  typeof reported === "number" && reported >= 0 && reported <= maximumCount ? Math.round(reported) : undefined

/**
 * Reads the usage of one call as a provider reports it. If the parts of a total add up to more than the total, they are
 * left out. Returns the same value if there is nothing to correct.
 *
 * @category converting
 * @since 0.1.0
 */
export const clean = (reported: AgentRun.Usage): AgentRun.Usage => {
  const { inputTokens, outputTokens } = reported
  const { cacheRead, cacheWrite, total: input, uncached } = inputTokens
  const { reasoning, text, total: output } = outputTokens
  const isClean = isCount(input) && isCount(uncached) && isCount(cacheRead) && isCount(cacheWrite) &&
    isCount(output) && isCount(text) && isCount(reasoning) &&
    fits(input, uncached, cacheRead, cacheWrite) && fits(output, text, reasoning)
  return isClean ? reported : {
    inputTokens: partsOf(count(input), {
      uncached: count(uncached),
      cacheRead: count(cacheRead),
      cacheWrite: count(cacheWrite)
    }),
    outputTokens: partsOf(count(output), { text: count(text), reasoning: count(reasoning) })
  }
}

const isCount = (reported: unknown): boolean =>
  reported === undefined ||
  typeof reported === "number" && reported >= 0 && reported <= maximumCount && Math.round(reported) === reported

const fits = (total: number | undefined, a = 0, b = 0, c = 0): boolean => total === undefined || a + b + c <= total

const partsOf = <Part extends string>(
  total: number | undefined,
  parts: Readonly<Record<Part, number | undefined>>
): Readonly<Record<Part, number | undefined>> & { readonly total: number | undefined } => {
  const [a, b, c] = Object.values<number | undefined>(parts)
  if (fits(total, a, b, c)) return { ...parts, total }
  const none: Record<Part, number | undefined> = { ...parts }
  for (const part in none) none[part] = undefined
  return { ...none, total }
}

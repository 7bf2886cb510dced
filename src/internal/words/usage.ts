/**
 * The sum of usages.
 *
 * @since 0.1.0
 */
import type * as AgentRun from "../../AgentRun.ts"

/**
 * The usage of no model call.
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
 * Returns the sum of two usages. What neither reports stays `undefined`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (self: AgentRun.Usage, that: AgentRun.Usage): AgentRun.Usage =>
  that === empty ? self : ({
    inputTokens: {
      uncached: addTokens(self.inputTokens.uncached, that.inputTokens.uncached),
      total: addTokens(self.inputTokens.total, that.inputTokens.total),
      cacheRead: addTokens(self.inputTokens.cacheRead, that.inputTokens.cacheRead),
      cacheWrite: addTokens(self.inputTokens.cacheWrite, that.inputTokens.cacheWrite)
    },
    outputTokens: {
      total: addTokens(self.outputTokens.total, that.outputTokens.total),
      text: addTokens(self.outputTokens.text, that.outputTokens.text),
      reasoning: addTokens(self.outputTokens.reasoning, that.outputTokens.reasoning)
    }
  })

/**
 * How a response of an AI SDK model ended, and what it used.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import * as Predicate from "effect/Predicate"
import type * as AgentRun from "../../AgentRun.ts"
import * as Usage from "../../internal/words/usage.ts"

const reasons: Readonly<Record<string, Response.FinishReason>> = {
  stop: "stop",
  length: "length",
  "content-filter": "content-filter",
  "tool-calls": "tool-calls",
  error: "error",
  other: "other"
}

/**
 * Returns whether a response was cut. A provider that never learns why its model stopped reports "other" without a
 * reason of its own.
 *
 * @category guards
 * @since 0.1.0
 */
export const isTruncated = (reason: unknown): boolean => {
  if (!Predicate.hasProperty(reason, "unified")) return false
  const raw = Predicate.hasProperty(reason, "raw") ? reason.raw : undefined
  return reason.unified === "interrupted" || (reason.unified === "other" && raw == null)
}

/**
 * Returns whether an error in a stream only means that there was no finish reason. The provider package for servers
 * compatible with OpenAI makes such an error.
 *
 * @category guards
 * @since 0.1.0
 */
export const isMissingReason = (error: unknown): boolean =>
  property(error, "name") === "AI_InvalidResponseDataError" && property(error, "data") === undefined &&
  /without a finish reason/.test(String(property(error, "message")))

/**
 * Returns the failure of a model that could not answer: `error`, and Gemini's report of a call that it could not write.
 * If it is asked again, the model writes another answer.
 *
 * @category converting
 * @since 0.1.0
 */
export const finishError = (reason: unknown): AiError.AiErrorReason | undefined => {
  const unified = Predicate.hasProperty(reason, "unified") ? reason.unified : reason
  if (unified !== "error" && unified !== "other") return undefined
  const raw = Predicate.hasProperty(reason, "raw") && typeof reason.raw === "string"
    ? reason.raw.slice(0, maximumReasonLength)
    : undefined
  const isUnwritten = raw !== undefined && /^(MALFORMED_|UNEXPECTED_TOOL_CALL)/.test(raw)
  if (unified !== "error" && !isUnwritten) return undefined
  const description = raw === undefined
    ? "The model finished with reason `error`"
    : `The model finished with reason \`error\`: ${raw}`
  return isUnwritten
    ? new AiError.InvalidOutputError({ description })
    : new AiError.InternalProviderError({ description })
}

const maximumReasonLength = 100

/**
 * Returns the finish reason of effect/ai.
 *
 * @category converting
 * @since 0.1.0
 */
export const finishReason = (reason: unknown): Response.FinishReason => {
  const unified = Predicate.hasProperty(reason, "unified") ? reason.unified : reason
  const raw = Predicate.hasProperty(reason, "raw") ? reason.raw : undefined
  // the provider wants to be called again, to continue with its own tools
  if (raw === "pause_turn") return "pause"
  return typeof unified === "string" && Object.hasOwn(reasons, unified) ? reasons[unified] : "unknown"
}

/**
 * The end of the kind of the first part of a response of Anthropic.
 *
 * @category constants
 * @since 0.1.0
 */
export const messageStart = ".message_start"

/**
 * Returns the usage that Anthropic reports at the beginning of a response.
 *
 * @category converting
 * @since 0.1.0
 */
export const startUsage = ({ providerMetadata }: { readonly providerMetadata?: unknown }): AgentRun.Usage => {
  const [own] = Predicate.isObject(providerMetadata) ? Object.values(providerMetadata) : []
  const usage = property(own, "usage")
  const input = count(usage, "input_tokens")
  const cacheRead = count(usage, "cache_read_input_tokens")
  const cacheWrite = count(usage, "cache_creation_input_tokens")
  return {
    inputTokens: { uncached: input, cacheRead, cacheWrite, total: sum(input, cacheRead, cacheWrite) },
    outputTokens: { text: undefined, reasoning: undefined, total: count(usage, "output_tokens") }
  }
}

/**
 * Reports the usage in a chunk of a Google response, if it has one.
 *
 * @category converting
 * @since 0.1.0
 */
export const chunkUsage = (chunk: unknown, tell: (usage: AgentRun.Usage) => void): void => {
  const usage = property(chunk, "usageMetadata")
  if (!Predicate.isObject(usage)) return
  const total = sum(count(usage, "promptTokenCount"), count(usage, "toolUsePromptTokenCount"))
  const cacheRead = count(usage, "cachedContentTokenCount")
  const text = count(usage, "candidatesTokenCount")
  const reasoning = count(usage, "thoughtsTokenCount")
  const uncached = total === undefined ? undefined : total - (cacheRead ?? 0)
  tell(Usage.clean({
    inputTokens: { total, cacheRead, uncached, cacheWrite: undefined },
    outputTokens: { text, reasoning, total: sum(text, reasoning) }
  }))
}

/**
 * Returns the usage of a finished response.
 *
 * @category converting
 * @since 0.1.0
 */
export const toUsage = (usage: unknown): AgentRun.Usage => {
  const input = property(usage, "inputTokens")
  const output = property(usage, "outputTokens")
  const uncached = count(input, "noCache")
  const cacheRead = count(input, "cacheRead")
  const cacheWrite = count(input, "cacheWrite")
  const text = count(output, "text")
  const reasoning = count(output, "reasoning")
  return Usage.clean({
    inputTokens: {
      uncached,
      cacheRead,
      cacheWrite,
      total: count(input, "total") ?? sum(uncached, cacheRead, cacheWrite)
    },
    outputTokens: { text, reasoning, total: count(output, "total") ?? sum(text, reasoning) }
  })
}

/**
 * Returns whether anything is known about the usage of a response.
 *
 * @category guards
 * @since 0.1.0
 */
export const hasUsage = ({ inputTokens, outputTokens }: Response.FinishPartEncoded["usage"]): boolean =>
  inputTokens.total !== undefined || outputTokens.total !== undefined

const property = (value: unknown, key: string): unknown =>
  typeof value === "object" && value !== null ? (value as Record<string, unknown>)[key] : undefined

const count = (tokens: unknown, key: string): number | undefined => Usage.count(property(tokens, key))

const sum = (...counts: ReadonlyArray<number | undefined>): number | undefined => {
  const known = counts.filter((count) => count !== undefined)
  return known.length === 0 ? undefined : known.reduce((total, count) => total + count, 0)
}

/**
 * Returns the number of tokens, or `undefined` if it is not known.
 *
 * @category getters
 * @since 0.1.0
 */
export const tokenCount = count

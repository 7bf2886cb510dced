/**
 * How a response of an AI SDK model ended, and what it has cost.
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
 * Whether a response was cut. A provider that never heard why its model stopped says "other" and gives no reason of its
 * own.
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
 * Whether an error within a stream says no more than that no reason came: what the provider package for servers
 * compatible with OpenAI makes of it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isMissingReason = (error: unknown): boolean =>
  property(error, "name") === "AI_InvalidResponseDataError" && property(error, "data") === undefined &&
  /without a finish reason/.test(String(property(error, "message")))

/**
 * Returns the failure of a model that could not give an answer: `error`, and what Gemini says of a call that it could not
 * write. Asked again, a model writes another one.
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
  // the provider wants to be called again, to go on with its own tools
  if (raw === "pause_turn") return "pause"
  return typeof unified === "string" && Object.hasOwn(reasons, unified) ? reasons[unified] : "unknown"
}

/**
 * The end of the kind of the part that begins a response of Anthropic.
 *
 * @category constants
 * @since 0.1.0
 */
export const messageStart = ".message_start"

/**
 * Returns what Anthropic says that a response costs, as it begins.
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
 * Tells what a chunk of a response of Google says that it has cost until then, if it says so.
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
 * Whether anything is known of what a response has cost.
 *
 * @category guards
 * @since 0.1.0
 */
export const hasUsage = ({ inputTokens, outputTokens }: Response.FinishPartEncoded["usage"]): boolean =>
  inputTokens.total !== undefined || outputTokens.total !== undefined

const property = (value: unknown, key: string): unknown => Predicate.hasProperty(value, key) ? value[key] : undefined

const count = (tokens: unknown, key: string): number | undefined => Usage.count(property(tokens, key))

const sum = (...counts: ReadonlyArray<number | undefined>): number | undefined => {
  const known = counts.filter((count) => count !== undefined)
  return known.length === 0 ? undefined : known.reduce((total, count) => total + count, 0)
}

/**
 * Returns the number of tokens that were used, or undefined when it is not known.
 *
 * @category getters
 * @since 0.1.0
 */
export const tokenCount = count

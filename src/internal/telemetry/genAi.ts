/**
 * The names of the GenAI semantic conventions that this package uses: attributes, metrics with their buckets, and fixed
 * values.
 *
 * They are copied from https://github.com/open-telemetry/semantic-conventions-genai (main at 6fd0d763, status
 * Development). The names under `compat` are those of https://github.com/open-telemetry/semantic-conventions v1.41. No
 * other file spells them.
 *
 * @since 0.1.0
 */
import type * as Response from "effect/ai/Response"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"

// -----------------------------------------------------------------------------
// attributes
// -----------------------------------------------------------------------------

/**
 * Names of attributes.
 *
 * @category names
 * @since 0.1.0
 */
export const Attribute = {
  operationName: "gen_ai.operation.name",
  providerName: "gen_ai.provider.name",
  outputType: "gen_ai.output.type",
  conversationId: "gen_ai.conversation.id",
  agentName: "gen_ai.agent.name",
  agentDescription: "gen_ai.agent.description",
  requestModel: "gen_ai.request.model",
  requestStream: "gen_ai.request.stream",
  responseId: "gen_ai.response.id",
  responseModel: "gen_ai.response.model",
  finishReasons: "gen_ai.response.finish_reasons",
  timeToFirstChunk: "gen_ai.response.time_to_first_chunk",
  inputTokens: "gen_ai.usage.input_tokens",
  outputTokens: "gen_ai.usage.output_tokens",
  cacheReadInputTokens: "gen_ai.usage.cache_read.input_tokens",
  cacheWriteInputTokens: "gen_ai.usage.cache_write.input_tokens",
  reasoningOutputTokens: "gen_ai.usage.reasoning.output_tokens",
  systemInstructions: "gen_ai.system_instructions",
  inputMessages: "gen_ai.input.messages",
  outputMessages: "gen_ai.output.messages",
  toolDefinitions: "gen_ai.tool.definitions",
  toolName: "gen_ai.tool.name",
  toolType: "gen_ai.tool.type",
  toolDescription: "gen_ai.tool.description",
  toolCallId: "gen_ai.tool.call.id",
  toolCallArguments: "gen_ai.tool.call.arguments",
  toolCallResult: "gen_ai.tool.call.result",
  tokenModality: "gen_ai.token.modality",
  evaluationName: "gen_ai.evaluation.name",
  evaluationValue: "gen_ai.evaluation.score.value",
  evaluationLabel: "gen_ai.evaluation.score.label",
  evaluationExplanation: "gen_ai.evaluation.explanation",
  errorType: "error.type",
  // v1.41
  cacheCreationInputTokens: "gen_ai.usage.cache_creation.input_tokens",
  tokenType: "gen_ai.token.type",
  // our own, because `gen_ai.*` is reserved
  runId: "effect_agents.run_id",
  outcome: "effect_agents.outcome",
  stopReason: "effect_agents.stop_reason",
  finalizer: "effect_agents.finalizer",
  experiment: "effect_agents.eval.experiment",
  case: "effect_agents.eval.case",
  trial: "effect_agents.eval.trial",
  trialOutcome: "effect_agents.eval.outcome",
  trialPassed: "effect_agents.eval.passed"
} as const

/**
 * Names of events, which are log records.
 *
 * @category names
 * @since 0.1.0
 */
export const Event = {
  evaluationResult: "gen_ai.evaluation.result"
} as const

/**
 * Attributes that hold content: prompts, answers, arguments and results.
 *
 * @category names
 * @since 0.1.0
 */
export const contentAttributes: ReadonlySet<string> = new Set([
  Attribute.systemInstructions,
  Attribute.inputMessages,
  Attribute.outputMessages,
  Attribute.toolDefinitions,
  Attribute.toolCallArguments,
  Attribute.toolCallResult
])

/**
 * Names of operations. They begin the names of their spans.
 *
 * @category names
 * @since 0.1.0
 */
export const Operation = {
  chat: "chat",
  invokeAgent: "invoke_agent",
  executeTool: "execute_tool",
  // our own: the conventions have no span for a trial
  trial: "eval_trial"
} as const

// -----------------------------------------------------------------------------
// metrics
// -----------------------------------------------------------------------------

/**
 * A metric of the conventions. Without boundaries it is a counter.
 *
 * @category models
 * @since 0.1.0
 */
export interface Instrument {
  readonly name: string
  readonly description: string
  readonly unit: string
  readonly boundaries: ReadonlyArray<number> | undefined
}

const powers = (first: number, factor: number, count: number): ReadonlyArray<number> =>
  Array.from({ length: count }, (_, i) => Number((first * factor ** i).toPrecision(10)))

const clientSeconds = powers(0.01, 2, 14)
const agentSeconds = powers(0.1, 2, 13)
const tokens = powers(1, 4, 14)
const calls = powers(1, 2, 8)

const histogram = (name: string, unit: string, boundaries: ReadonlyArray<number>, description: string): Instrument => ({
  name,
  unit,
  boundaries,
  description
})

const usage = (name: string, description: string): Instrument => ({
  name: `gen_ai.client.inference.usage.${name}`,
  unit: "{token}",
  boundaries: undefined,
  description
})

/**
 * The metrics.
 *
 * @category names
 * @since 0.1.0
 */
export const Instruments = {
  inferenceDuration: histogram(
    "gen_ai.client.inference.duration",
    "s",
    clientSeconds,
    "Duration of an inference operation"
  ),
  timeToFirstChunk: histogram(
    "gen_ai.client.inference.time_to_first_chunk",
    "s",
    clientSeconds,
    "Time until the first chunk of a streamed response"
  ),
  timePerOutputChunk: histogram(
    "gen_ai.client.inference.time_per_output_chunk",
    "s",
    clientSeconds,
    "Time per chunk after the first of a streamed response"
  ),
  operationInputTokens: histogram(
    "gen_ai.client.inference.operation.input_tokens",
    "{token}",
    tokens,
    "Input tokens of an inference operation"
  ),
  operationOutputTokens: histogram(
    "gen_ai.client.inference.operation.output_tokens",
    "{token}",
    tokens,
    "Output tokens of an inference operation"
  ),
  usageInputTokens: usage("input_tokens", "Input tokens used"),
  usageOutputTokens: usage("output_tokens", "Output tokens used"),
  usageCacheRead: usage("cache_read.input_tokens", "Input tokens read from a cache"),
  usageCacheWrite: usage("cache_write.input_tokens", "Input tokens written to a cache"),
  usageReasoning: usage("reasoning.output_tokens", "Output tokens used for reasoning"),
  clientOperationDuration: histogram(
    "gen_ai.client.operation.duration",
    "s",
    clientSeconds,
    "Duration of a client operation"
  ),
  invokeAgentDuration: histogram(
    "gen_ai.invoke_agent.duration",
    "s",
    agentSeconds,
    "Duration of an agent invocation"
  ),
  invokeAgentInferenceCalls: histogram(
    "gen_ai.invoke_agent.inference_calls",
    "{inference_call}",
    calls,
    "Inference calls of an agent invocation"
  ),
  invokeAgentToolCalls: histogram(
    "gen_ai.invoke_agent.tool_calls",
    "{tool_call}",
    calls,
    "Tool calls of an agent invocation"
  ),
  executeToolDuration: histogram(
    "gen_ai.execute_tool.duration",
    "s",
    clientSeconds,
    "Duration of a tool execution"
  ),
  // v1.41
  compatTokenUsage: histogram("gen_ai.client.token.usage", "{token}", tokens, "Tokens used"),
  compatTimeToFirstChunk: histogram(
    "gen_ai.client.operation.time_to_first_chunk",
    "s",
    clientSeconds,
    "Time until the first chunk of a streamed response"
  ),
  compatTimePerOutputChunk: histogram(
    "gen_ai.client.operation.time_per_output_chunk",
    "s",
    clientSeconds,
    "Time per chunk after the first of a streamed response"
  )
} as const

// -----------------------------------------------------------------------------
// vocabularies
// -----------------------------------------------------------------------------

/**
 * The value of `error.type` for an operation that was interrupted or left early.
 *
 * @category error types
 * @since 0.1.0
 */
export const cancelled = "cancelled"

/**
 * The value for anything without a low-cardinality name.
 *
 * @category error types
 * @since 0.1.0
 */
export const other = "_OTHER"

/**
 * Returns the `error.type` of a cause: `cancelled` for an interruption, otherwise that of its first failure or defect.
 *
 * @category error types
 * @since 0.1.0
 */
export const errorTypeOfCause = (cause: Cause.Cause<unknown>): string => {
  const reason = cause.reasons.find((reason) => reason._tag !== "Interrupt")
  if (reason === undefined) return cause.reasons.length === 0 ? other : cancelled
  return errorTypeOf(reason._tag === "Fail" ? reason.error : reason.defect)
}

/**
 * Returns the `error.type` of a failure: the tag of its reason, its own tag, or the name of its class. It is never a
 * message.
 *
 * @category error types
 * @since 0.1.0
 */
export const errorTypeOf = (error: unknown): string => {
  if (!Predicate.isObject(error)) return other
  // reading a property of a foreign value may throw
  const exit = Effect.runSyncExit(Effect.sync(() => nameOf(error as Record<string, unknown>)))
  return Exit.isSuccess(exit) ? exit.value : other
}

const nameOf = (error: Record<string, unknown>): string => {
  const { _tag, name, reason } = error
  if (Predicate.hasProperty(reason, "_tag") && isIdentifier(reason._tag)) return reason._tag
  if (isIdentifier(_tag)) return _tag
  return error instanceof Error && isIdentifier(name) ? name : other
}

// Anything that does not look like a class name may be a message, or different each time.
const isIdentifier = (u: unknown): u is string => typeof u === "string" && /^[A-Za-z_$][\w$./:-]{0,79}$/.test(u)

/**
 * Returns the finish reason as the conventions spell it, or `undefined` if it is not known.
 *
 * @category vocabularies
 * @since 0.1.0
 */
export const finishReason = (reason: Response.FinishReason): string | undefined => {
  switch (reason) {
    case "content-filter":
      return "content_filter"
    case "tool-calls":
      return "tool_call"
    case "unknown":
      return undefined
    default:
      return reason
  }
}

const providers: Readonly<Record<string, string>> = {
  "amazon-bedrock": "aws.bedrock",
  "azure-openai": "azure.ai.openai",
  bedrock: "aws.bedrock",
  gemini: "gcp.gemini",
  google: "gcp.gemini",
  "google-vertex": "gcp.vertex_ai",
  mistral: "mistral_ai",
  moonshotai: "moonshot_ai",
  "openai-compat": "openai",
  vertex: "gcp.vertex_ai",
  xai: "x_ai"
}

/**
 * Returns the conventions' name for a provider of `effect/ai/Model`.
 *
 * @category vocabularies
 * @since 0.1.0
 */
export const providerName = (provider: string): string =>
  Object.hasOwn(providers, provider) ? providers[provider] : provider

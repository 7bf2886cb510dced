/**
 * The GenAI attributes that a provider writes on the span of its call.
 *
 * @since 0.1.0
 */
import type * as Tracer from "effect/Tracer"
import * as GenAi from "../../internal/telemetry/genAi.ts"
import type * as AiSdk from "../AiSdk.ts"
import type { Summary } from "./response.ts"

const { Attribute } = GenAi

/**
 * Returns the conventions' name for the provider of an AI SDK model. The AI SDK names a provider by product and API:
 * `openai.responses`, `google.generative-ai`.
 *
 * @category converting
 * @since 0.1.0
 */
export const providerName = (provider: string): string => {
  if (provider.startsWith("google.vertex") || provider.startsWith("vertex")) return "gcp.vertex_ai"
  if (provider.startsWith("azure")) return "azure.ai.openai"
  return GenAi.providerName(provider.split(".")[0])
}

/**
 * Writes the attributes of a request.
 *
 * @category running
 * @since 0.1.0
 */
export const request = (
  span: Tracer.Span,
  operation: "chat" | "embeddings",
  model: { readonly provider: string; readonly modelId: string },
  settings: AiSdk.Settings,
  stream = false
): void => {
  if (!span.sampled) return
  write(span, {
    [Attribute.operationName]: operation,
    [Attribute.providerName]: providerName(model.provider),
    [Attribute.requestModel]: model.modelId,
    [Attribute.requestStream]: stream ? true : undefined,
    "gen_ai.request.max_tokens": settings.maxOutputTokens,
    "gen_ai.request.temperature": settings.temperature,
    "gen_ai.request.top_p": settings.topP,
    "gen_ai.request.top_k": settings.topK,
    "gen_ai.request.presence_penalty": settings.presencePenalty,
    "gen_ai.request.frequency_penalty": settings.frequencyPenalty,
    "gen_ai.request.stop_sequences": settings.stopSequences,
    "gen_ai.request.seed": settings.seed,
    "gen_ai.request.reasoning.level": settings.reasoning
  })
}

/**
 * Writes the attributes of a response.
 *
 * @category running
 * @since 0.1.0
 */
export const response = (span: Tracer.Span, { finish, id, modelId }: Summary): void => {
  if (!span.sampled) return
  const reason = finish === undefined ? undefined : GenAi.finishReason(finish.reason)
  write(span, {
    [Attribute.responseId]: id,
    [Attribute.responseModel]: modelId,
    [Attribute.finishReasons]: reason === undefined ? undefined : [reason],
    [Attribute.inputTokens]: finish?.usage.inputTokens.total,
    [Attribute.outputTokens]: finish?.usage.outputTokens.total,
    [Attribute.cacheReadInputTokens]: finish?.usage.inputTokens.cacheRead,
    [Attribute.cacheWriteInputTokens]: finish?.usage.inputTokens.cacheWrite,
    [Attribute.reasoningOutputTokens]: finish?.usage.outputTokens.reasoning
  })
}

const write = (span: Tracer.Span, attributes: Readonly<Record<string, unknown>>): void => {
  for (const key of Object.keys(attributes)) if (attributes[key] !== undefined) span.attribute(key, attributes[key])
}

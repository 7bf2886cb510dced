/**
 * The calls of an embedding model.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import type * as AiError from "effect/ai/AiError"
import type * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Text from "../../internal/words/text.ts"
import type * as AiSdk from "../AiSdk.ts"
import * as Annotations from "./annotations.ts"
import * as Call from "./call.ts"
import { tokenCount } from "./ending.ts"

/**
 * Embeds texts, in as many requests as the provider requires.
 *
 * @category running
 * @since 0.1.0
 */
export const embedMany = (
  model: Sdk.EmbeddingModelV4,
  settings: AiSdk.EmbeddingSettings,
  inputs: ReadonlyArray<string>
): Effect.Effect<EmbeddingModel.ProviderResponse, AiError.AiError> =>
  Effect.useSpan(`embeddings ${model.modelId}`, { kind: "client" }, (span) =>
    Effect.withFiber(({ context }) => {
      Annotations.request(span, "embeddings", model, {})
      const start = () => new Call.Call({ model, method: "embedMany", context, span, headers: settings.headers })
      const embed = (values: ReadonlyArray<string>) =>
        Effect.suspend(() => {
          const call = start()
          const answer = call.wait(() => Call.promise(() => model.doEmbed(options(settings, values, call.signal))))
          return Effect.onInterrupt(answer, () => Effect.sync(() => call.abort()))
        })
      const limits = start().wait(() =>
        Promise.all([
          Call.promise(() => Promise.resolve(model.maxEmbeddingsPerCall)),
          Call.promise(() => Promise.resolve(model.supportsParallelCalls))
        ])
      )
      return Effect.flatMap(limits, ([maximum, parallel]) =>
        Effect.map(
          Effect.forEach(chunks(inputs, maximum), embed, { concurrency: parallel ? maximumRequests : 1 }),
          (responses) => {
            const tokens = responses.map(({ usage }) => tokenCount(usage, "tokens")).filter((count) =>
              count !== undefined
            )
            const inputTokens = tokens.length === 0 ? undefined : tokens.reduce((total, count) => total + count, 0)
            if (inputTokens !== undefined) span.attribute("gen_ai.usage.input_tokens", inputTokens)
            return { results: responses.flatMap(({ embeddings }) => embeddings), usage: { inputTokens } }
          }
        ))
    }))

// The number of requests of one call that are open at the same time.
const maximumRequests = 5

const chunks = (inputs: ReadonlyArray<string>, maximum: number | undefined): ReadonlyArray<ReadonlyArray<string>> =>
  maximum === undefined || !(maximum >= 1) || inputs.length <= maximum ? [inputs] : Arr.chunksOf(inputs, maximum)

const options = (
  settings: AiSdk.EmbeddingSettings,
  values: ReadonlyArray<string>,
  abortSignal: AbortSignal
): Sdk.EmbeddingModelV4CallOptions => ({
  values: values.map(Text.wellFormed),
  abortSignal,
  ...(settings.dimensions === undefined ? undefined : { dimensions: settings.dimensions }),
  ...(settings.headers === undefined ? undefined : { headers: settings.headers }),
  // Our options are readonly; the provider only reads them.
  ...(settings.providerOptions === undefined
    ? undefined
    : { providerOptions: settings.providerOptions as Sdk.SharedV4ProviderOptions })
})

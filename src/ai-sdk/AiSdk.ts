/**
 * The models of the Vercel AI SDK as models of effect/ai.
 *
 * `AiSdk.model(openai("gpt-5"))` is a layer with a `LanguageModel` and with the names that telemetry reports for the
 * model. It works with every package that implements version 4 or 3 of the provider specification: `@ai-sdk/openai`,
 * `@ai-sdk/anthropic`, `@ai-sdk/google`, `@ai-sdk/openai-compatible`, and others.
 *
 * A failure is an `AiError` whose reason says what went wrong and whether the same call may succeed later. It never
 * holds the request. A key that the provider repeats in its answer is removed from all error texts, also in encoded or
 * partial form. Every key is recognized if requests are made with `AiSdk.fetch`, or if the model exposes its headers,
 * as those of the AI SDK do. Otherwise texts that look like a key are removed. Nothing is retried here. Interrupting a
 * call aborts its request, and a slow consumer slows the provider down.
 *
 * **Example** (A model of OpenAI)
 *
 * ```ts
 * import { createOpenAI } from "@ai-sdk/openai"
 * import { Console, Effect } from "effect"
 * import { Model } from "effect/ai"
 * import { AiSdk } from "effect-agents/ai-sdk"
 *
 * // Without an `apiKey` the provider reads OPENAI_API_KEY.
 * const openai = createOpenAI({ apiKey: "sk-...", fetch: AiSdk.fetch })
 *
 * const model = AiSdk.model(openai("gpt-5"), { maxOutputTokens: 2000, reasoning: "low" })
 *
 * const program = Effect.gen(function*() {
 *   yield* Console.log(yield* Model.ProviderName, yield* Model.ModelName)
 *   // yield* Agent.run(assistant, { prompt: "Hello!" })
 * })
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => openai gpt-5
 * ```
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import * as AnthropicStructuredOutput from "effect/ai/AnthropicStructuredOutput"
import * as EmbeddingModel from "effect/ai/EmbeddingModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import * as OpenAiStructuredOutput from "effect/ai/OpenAiStructuredOutput"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Schema from "effect/Schema"
import * as Annotations from "./internal/annotations.ts"
import * as Embedding from "./internal/embedding.ts"
import * as Http from "./internal/http.ts"
import * as Language from "./internal/language.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * A language model of an AI SDK provider.
 *
 * @category models
 * @since 0.1.0
 */
export type SdkLanguageModel = Sdk.LanguageModelV4 | Sdk.LanguageModelV3

/**
 * An embedding model of an AI SDK provider.
 *
 * @category models
 * @since 0.1.0
 */
export type SdkEmbeddingModel = Sdk.EmbeddingModelV4 | Sdk.EmbeddingModelV3

/**
 * Options of providers, by the provider's name: `{ openai: { store: false } }`.
 *
 * @category models
 * @since 0.1.0
 */
export type ProviderOptions = Readonly<Record<string, { readonly [option: string]: Schema.Json | undefined }>>

/**
 * The settings of all requests of a model. A setting that the provider does not support is ignored, with a warning in
 * the log.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  /** The maximum number of tokens in an answer. Default: the provider's. */
  readonly maxOutputTokens?: number | undefined
  /** How random the answers are, on the provider's scale. Default: the provider's. */
  readonly temperature?: number | undefined
  /** The share of probability from which tokens are chosen, between 0 and 1. Default: the provider's. */
  readonly topP?: number | undefined
  /** The number of most likely tokens from which one is chosen. Default: the provider's. */
  readonly topK?: number | undefined
  /** How strongly the model avoids tokens that it has already used. Default: the provider's. */
  readonly presencePenalty?: number | undefined
  /** How strongly the model avoids tokens that it has used often. Default: the provider's. */
  readonly frequencyPenalty?: number | undefined
  /** Texts at which an answer ends. Default: none. */
  readonly stopSequences?: ReadonlyArray<string> | undefined
  /** The seed of random choices, if the provider has one. Default: the provider's. */
  readonly seed?: number | undefined
  /** How much the model thinks before it answers. Default: the provider's. */
  readonly reasoning?:
    | "provider-default"
    | "none"
    | "minimal"
    | "low"
    | "medium"
    | "high"
    | "xhigh"
    | "max"
    | undefined
  /** Additional headers of the HTTP request. Default: none beside those of the SDK's model. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Options of providers, by the provider's name. Default: none. */
  readonly providerOptions?: ProviderOptions | undefined
  /**
   * Rewrites the schema of a structured output into one that the provider accepts.
   * Default: effect's transformer for OpenAI and for Anthropic, none for others.
   */
  readonly codecTransformer?: LanguageModel.CodecTransformer | undefined
  /**
   * What to do with an answer whose server sends no finish reason. With `"fail"` it counts as cut off, and the call
   * fails. With `"accept"` it counts as complete: use this for a server that never sends a finish reason. A broken
   * connection fails the call in any case. Default: `"fail"`.
   */
  readonly missingFinishReason?: "fail" | "accept" | undefined
}

/**
 * The settings of the requests of an embedding model.
 *
 * @category models
 * @since 0.1.0
 */
export interface EmbeddingSettings {
  /** The number of dimensions of an embedding. Default: the model's. */
  readonly dimensions?: number | undefined
  /** Additional headers of the HTTP request. Default: none beside those of the SDK's model. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Options of providers, by the provider's name. Default: none. */
  readonly providerOptions?: ProviderOptions | undefined
}

/**
 * Settings for all calls in a part of a program. They take precedence over the settings of the model.
 *
 * @category references
 * @since 0.1.0
 */
export const CurrentSettings: Context.Reference<Settings> = Context.Reference("effect-agents/AiSdk/CurrentSettings", {
  defaultValue: () => noSettings
})

const noSettings: Settings = {}

// =============================================================================
// Constructors
// =============================================================================

/**
 * Creates a language model.
 *
 * **Details**
 *
 * A file given by a URL is sent as the URL; the provider reads it or rejects it. Content that effect/ai has no part for
 * (a provider's own content, files in the reasoning of a model) goes into the transcript as reasoning and as files, and
 * is sent back to the provider in its original form.
 *
 * **Gotchas**
 *
 * A response that ends without a finish reason is a retryable failure: the connection was cut, and the transport did
 * not notice.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  model: SdkLanguageModel,
  settings: Settings = noSettings
): Effect.Effect<LanguageModel.LanguageModel> =>
  Language.make(
    // Calls of v3 differ in files only: the request is made in the form of v3, and the response is read in either form.
    model as Sdk.LanguageModelV4,
    (context) => merge(settings, Context.get(context, CurrentSettings)),
    settings.codecTransformer ?? transformerOf(model)
  )

/**
 * Creates a model of effect/ai: a layer that also provides the name of the provider, as the telemetry conventions spell
 * it, and the name of the model.
 *
 * @category constructors
 * @since 0.1.0
 */
export const model = (
  model: SdkLanguageModel,
  settings?: Settings
): Model.Model<string, LanguageModel.LanguageModel, never> =>
  Model.make(Annotations.providerName(model.provider), model.modelId, layer(model, settings))

/**
 * Creates an embedding model.
 *
 * **Details**
 *
 * If there are more inputs than the provider accepts at once, they are sent in several requests, in parallel if the
 * provider allows that.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeEmbedding = (
  model: SdkEmbeddingModel,
  settings: EmbeddingSettings = noSettings
): Effect.Effect<EmbeddingModel.EmbeddingModel> =>
  EmbeddingModel.make({
    embedMany: ({ inputs }) => Embedding.embedMany(model as Sdk.EmbeddingModelV4, settings, inputs)
  })

/**
 * Creates an embedding model of effect/ai: a layer that also provides the names of the provider and the model.
 *
 * @category constructors
 * @since 0.1.0
 */
export const embeddingModel = (
  model: SdkEmbeddingModel,
  settings?: EmbeddingSettings
): Model.Model<string, EmbeddingModel.EmbeddingModel, never> =>
  Model.make(Annotations.providerName(model.provider), model.modelId, embeddingLayer(model, settings))

// =============================================================================
// Layers
// =============================================================================

/**
 * Layer with the language model only.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (model: SdkLanguageModel, settings?: Settings): Layer.Layer<LanguageModel.LanguageModel> =>
  Layer.effect(LanguageModel.LanguageModel, make(model, settings))

/**
 * Layer with the embedding model only.
 *
 * @category layers
 * @since 0.1.0
 */
export const embeddingLayer = (
  model: SdkEmbeddingModel,
  settings?: EmbeddingSettings
): Layer.Layer<EmbeddingModel.EmbeddingModel> =>
  Layer.effect(EmbeddingModel.EmbeddingModel, makeEmbedding(model, settings))

// =============================================================================
// Tracing
// =============================================================================

/**
 * A `fetch` for providers that traces their HTTP requests: `createOpenAI({ fetch: AiSdk.fetch })`.
 *
 * **Details**
 *
 * A request is a client span below the span of its model call. The span of the model call gets the address of the
 * server, and the request carries a `traceparent`. The span ends with the headers of the response. A request outside of
 * a model call has no span.
 *
 * A redirect is followed only to the same origin. Another scheme, host or port gets neither a key nor a prompt: the
 * call fails with a `NetworkError` (`InvalidUrlError`), which is not retryable. A request with neither of them, such as
 * for a picture on the web, is redirected as usual.
 *
 * @category tracing
 * @since 0.1.0
 */
export const fetch: typeof globalThis.fetch = Http.makeFetch((input, init) => globalThis.fetch(input, init))

/**
 * Creates a tracing `fetch` from another one.
 *
 * @category tracing
 * @since 0.1.0
 */
export const makeFetch: (fetch: typeof globalThis.fetch) => typeof globalThis.fetch = Http.makeFetch

// =============================================================================
// Settings
// =============================================================================

/**
 * Adds settings that take precedence over those in a context. Use it for the `settings` of `Agent.make`, or with
 * `Effect.updateContext`.
 *
 * **Example** (Settings of an agent)
 *
 * ```ts no-run
 * import { Agent } from "effect-agents"
 * import { AiSdk } from "effect-agents/ai-sdk"
 *
 * export const assistant = Agent.make("assistant", {
 *   settings: AiSdk.settings({ temperature: 0, reasoning: "low" })
 * })
 * ```
 *
 * @category settings
 * @since 0.1.0
 */
export const settings =
  (settings: Settings) => <Services>(context: Context.Context<Services>): Context.Context<Services> =>
    Context.add(context, CurrentSettings, merge(Context.get(context, CurrentSettings), settings))

/** Combines settings: headers and the options of one provider are merged, everything else is replaced. */
const merge = (below: Settings, above: Settings): Settings => {
  if (above === noSettings) return below
  const defined = Object.entries(above).filter(([, value]) => value !== undefined)
  return {
    ...below,
    ...Object.fromEntries(defined),
    ...(below.headers === undefined && above.headers === undefined
      ? undefined
      : { headers: { ...below.headers, ...above.headers } }),
    ...(below.providerOptions === undefined && above.providerOptions === undefined
      ? undefined
      : { providerOptions: mergeProviders(below.providerOptions ?? {}, above.providerOptions ?? {}) })
  }
}

const mergeProviders = (below: ProviderOptions, above: ProviderOptions): ProviderOptions => {
  const merged: Record<string, ProviderOptions[string]> = { ...below }
  for (const [provider, options] of Object.entries(above)) merged[provider] = { ...below[provider], ...options }
  return merged
}

const transformerOf = (model: SdkLanguageModel): LanguageModel.CodecTransformer | undefined => {
  switch (Annotations.providerName(model.provider)) {
    case "openai":
    case "azure.ai.openai":
      return OpenAiStructuredOutput.toCodecOpenAI
    case "anthropic":
      return AnthropicStructuredOutput.toCodecAnthropic
    default:
      return undefined
  }
}

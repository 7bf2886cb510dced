/**
 * The models of the Vercel AI SDK as models of effect/ai.
 *
 * `AiSdk.model(openai("gpt-5"))` is a layer with a `LanguageModel`, and with the
 * names by which telemetry knows the model. Any package that implements the
 * provider specification will do, version 4 or version 3: `@ai-sdk/openai`,
 * `@ai-sdk/anthropic`, `@ai-sdk/google`, `@ai-sdk/openai-compatible`, and others.
 *
 * A failure is an `AiError` whose reason says what went wrong and whether the same
 * call may do later; the request is never kept in it. A key that the provider repeats
 * is taken out of all that is said of it, encoded or in part too: each one when
 * requests are made with `AiSdk.fetch` or the model tells its headers, as those of the
 * AI SDK do, otherwise what looks like a key. Nothing is retried here. Interrupting a call aborts its request; a consumer that is slow
 * slows the provider down.
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
 * What every request of a model asks for. What a provider cannot do it passes
 * over, with a warning in the log.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  /** How many tokens an answer may have. Default: the provider's. */
  readonly maxOutputTokens?: number | undefined
  /** How random the answers are, by the scale of the provider. Default: the provider's. */
  readonly temperature?: number | undefined
  /** The share of probability that tokens are chosen from, between 0 and 1. Default: the provider's. */
  readonly topP?: number | undefined
  /** The number of most likely tokens that one is chosen from. Default: the provider's. */
  readonly topK?: number | undefined
  /** How much what was said already is avoided. Default: the provider's. */
  readonly presencePenalty?: number | undefined
  /** How much what was said often is avoided. Default: the provider's. */
  readonly frequencyPenalty?: number | undefined
  /** Texts at which an answer ends. Default: none. */
  readonly stopSequences?: ReadonlyArray<string> | undefined
  /** The seed of random choices, where the provider has one. Default: the provider's. */
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
  /** Headers of the HTTP request. Default: those of the SDK's model alone. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Options of providers, by the name of the provider. Default: none. */
  readonly providerOptions?: ProviderOptions | undefined
  /**
   * Rewrites the schema of a structured output into one that the provider accepts.
   * Default: effect's transformer for OpenAI and for Anthropic, none for others.
   */
  readonly codecTransformer?: LanguageModel.CodecTransformer | undefined
  /**
   * What an answer is whose server does not say why it stopped. Such an answer was cut,
   * and the call fails. With `accept` it is whole: for a server that never gives a
   * finish reason. A connection that breaks fails the call all the same. Default:
   * `fail`.
   */
  readonly missingFinishReason?: "fail" | "accept" | undefined
}

/**
 * What the requests of an embedding model ask for.
 *
 * @category models
 * @since 0.1.0
 */
export interface EmbeddingSettings {
  /** How many numbers an embedding has. Default: the model's. */
  readonly dimensions?: number | undefined
  /** Headers of the HTTP request. Default: those of the SDK's model alone. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** Options of providers, by the name of the provider. Default: none. */
  readonly providerOptions?: ProviderOptions | undefined
}

/**
 * Settings for the calls of a part of a program, above those of the model.
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
 * Of a file whose data is a URL only the URL is sent: it is for the provider to
 * read it, or to refuse it. What effect/ai has no part for (content of the
 * provider's own, files of a model's thinking) goes into the transcript as
 * reasoning and as files, and comes back to the provider as what it was.
 *
 * **Gotchas**
 *
 * A response that ends without a finish reason is a failure, a retryable one: the
 * connection was cut where the transport did not see it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  model: SdkLanguageModel,
  settings: Settings = noSettings
): Effect.Effect<LanguageModel.LanguageModel> =>
  Language.make(
    // The calls of v3 differ in files alone: the request is made as v3 wants it, the response is read either way.
    model as Sdk.LanguageModelV4,
    (context) => merge(settings, Context.get(context, CurrentSettings)),
    settings.codecTransformer ?? transformerOf(model)
  )

/**
 * Creates a model of effect/ai: a layer that also says the names of the provider,
 * in the words of the telemetry conventions, and of the model.
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
 * Inputs beyond what the provider takes at once are sent in several requests, at
 * the same time where it allows that.
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
 * Creates an embedding model of effect/ai, with the names of the provider and of
 * the model.
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
 * Layer with the language model alone.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (model: SdkLanguageModel, settings?: Settings): Layer.Layer<LanguageModel.LanguageModel> =>
  Layer.effect(LanguageModel.LanguageModel, make(model, settings))

/**
 * Layer with the embedding model alone.
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
 * A `fetch` for providers, so that their HTTP requests are seen in a trace:
 * `createOpenAI({ fetch: AiSdk.fetch })`.
 *
 * **Details**
 *
 * A request is a client span below the span of its model call, which gets the
 * address of the server, and carries a `traceparent`. The span ends with the
 * headers of the response. What is not part of a model call has no span.
 *
 * A redirect is followed to the same origin only: another scheme, host or port gets
 * neither a key nor a prompt, and the call fails with a `NetworkError`
 * (`InvalidUrlError`), which is not retryable. A request without either, as for a
 * picture on the web, is redirected as usual.
 *
 * @category tracing
 * @since 0.1.0
 */
export const fetch: typeof globalThis.fetch = Http.makeFetch((input, init) => globalThis.fetch(input, init))

/**
 * Creates such a `fetch` from another one.
 *
 * @category tracing
 * @since 0.1.0
 */
export const makeFetch: (fetch: typeof globalThis.fetch) => typeof globalThis.fetch = Http.makeFetch

// =============================================================================
// Settings
// =============================================================================

/**
 * Puts settings above those in a context: for the `settings` of `Agent.make`, or `Effect.updateContext`.
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

/** Puts settings above others: headers and the options of one provider are merged, the rest is replaced. */
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

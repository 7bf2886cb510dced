/**
 * Which model answers: one that the command line and the environment name, or the
 * offline planner.
 *
 * | what is given | what answers |
 * |---|---|
 * | `--base-url URL --model NAME` | an OpenAI-compatible server (Ollama, LM Studio, llama.cpp, vLLM) |
 * | `OPENAI_API_KEY` | OpenAI |
 * | `ANTHROPIC_API_KEY` | Anthropic |
 * | `GOOGLE_GENERATIVE_AI_API_KEY` | Google |
 * | nothing, or `--model offline` | the offline planner |
 *
 * With several keys the first one in the table is used; `--model anthropic/NAME` chooses another. The packages of the
 * providers are loaded only when they are needed.
 */
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Model from "effect/ai/Model"
import * as Flag from "effect/cli/Flag"
import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import type * as AiSdk from "../../src/ai-sdk/AiSdk.ts"

/** The model that answers, and its title in the heading. */
export interface Selected {
  readonly title: string
  /** Whether it is the offline planner. Default: false. */
  readonly isOffline?: boolean
  readonly layer: Layer.Layer<LanguageModel.LanguageModel | Model.ProviderName | Model.ModelName>
}

/** The requested model cannot be used. */
export class ModelUnavailable extends Schema.Error<ModelUnavailable>("ask/Models/ModelUnavailable")({
  _tag: Schema.tag("ModelUnavailable"),
  problem: Schema.String
}) {
  override get message(): string {
    return this.problem
  }
}

/** The flags that name a model. */
export const flags = {
  model: Flag.String("model").pipe(
    Flag.withMetavar("NAME"),
    Flag.withDescription(
      "The model that answers: `gpt-5`, `anthropic/claude-sonnet-5`, or the name that the server of --base-url knows; " +
        "`offline` is the offline planner. Default: one that fits the key in the environment"
    ),
    Flag.optional
  ),
  baseUrl: Flag.String("base-url").pipe(
    Flag.withMetavar("URL"),
    Flag.withDescription(
      "An OpenAI-compatible server, such as http://127.0.0.1:11434/v1 (Ollama). Its key, if it wants one, is " +
        "OPENAI_COMPATIBLE_API_KEY. Without this and without OPENAI_API_KEY, ANTHROPIC_API_KEY or " +
        "GOOGLE_GENERATIVE_AI_API_KEY an offline planner answers"
    ),
    Flag.optional
  )
}

/** The values of the flags. */
export interface Input {
  readonly model: Option.Option<string>
  readonly baseUrl: Option.Option<string>
}

/** Returns the model that answers: `offline` if no other was requested. */
export const select = Effect.fnUntraced(function*(
  { baseUrl, model }: Input,
  offline: Selected
): Effect.fn.Return<Selected, ModelUnavailable | Config.ConfigError> {
  if (Option.isSome(model) && model.value.trim() === "") return yield* unavailable("--model needs the name of a model")
  if (Option.isSome(model) && model.value === "offline") return offline
  if (Option.isSome(baseUrl)) {
    if (Option.isNone(model)) {
      return yield* unavailable("--base-url needs --model: the name of a model that the server has")
    }
    return yield* compatible(baseUrl.value, model.value)
  }
  const [prefix, name] = Option.match(model, { onNone: () => [undefined, undefined] as const, onSome: split })
  for (const provider of providers) {
    if (prefix !== undefined && prefix !== provider.name) continue
    const key = yield* Config.option(Config.Redacted(provider.key))
    if (Option.isNone(key) || Redacted.value(key.value) === "") continue
    const url = yield* Config.option(Config.String(provider.url))
    const options = {
      apiKey: Redacted.value(key.value),
      ...(Option.isNone(url) || url.value === "" ? undefined : { baseURL: url.value })
    }
    return yield* found(provider.title, (adapter) => provider.make(name ?? provider.model, options, adapter.fetch))
  }
  if (Option.isNone(model)) return offline
  const keys = providers.filter(({ name }) => prefix === undefined || prefix === name).map(({ key }) => key)
  return yield* unavailable(`--model ${model.value} needs ${keys.join(" or ")} in the environment, or --base-url`)
})

interface Options {
  readonly apiKey: string
  readonly baseURL?: string
}

interface Provider {
  readonly name: string
  readonly title: string
  readonly key: string
  readonly url: string
  readonly model: string
  readonly make: (
    name: string,
    options: Options,
    fetch: typeof globalThis.fetch
  ) => Effect.Effect<AiSdk.SdkLanguageModel, ModelUnavailable>
}

/** Loads a package that may be missing. */
const load = <A>(name: string, module: () => Promise<A>): Effect.Effect<A, ModelUnavailable> =>
  Effect.tryPromise({
    try: module,
    catch: (error) =>
      new ModelUnavailable({
        problem: (error as { readonly code?: unknown }).code === "ERR_MODULE_NOT_FOUND"
          ? `The package ${name} is not installed: npm install ${name}`
          : `The package ${name} cannot be loaded: ${String(error)}`
      })
  })

const providers: ReadonlyArray<Provider> = [
  {
    name: "openai",
    title: "OpenAI",
    key: "OPENAI_API_KEY",
    url: "OPENAI_BASE_URL",
    model: "gpt-5.4-mini",
    make: (name, options, fetch) =>
      Effect.map(
        load("@ai-sdk/openai", () => import("@ai-sdk/openai")),
        ({ createOpenAI }) => createOpenAI({ ...options, fetch })(name)
      )
  },
  {
    name: "anthropic",
    title: "Anthropic",
    key: "ANTHROPIC_API_KEY",
    url: "ANTHROPIC_BASE_URL",
    model: "claude-sonnet-5",
    make: (name, options, fetch) =>
      Effect.map(
        load("@ai-sdk/anthropic", () => import("@ai-sdk/anthropic")),
        ({ createAnthropic }) => createAnthropic({ ...options, fetch })(name)
      )
  },
  {
    name: "google",
    title: "Google",
    key: "GOOGLE_GENERATIVE_AI_API_KEY",
    url: "GOOGLE_GENERATIVE_AI_BASE_URL",
    model: "gemini-flash-latest",
    make: (name, options, fetch) =>
      Effect.map(
        load("@ai-sdk/google", () => import("@ai-sdk/google")),
        ({ createGoogleGenerativeAI }) => createGoogleGenerativeAI({ ...options, fetch })(name)
      )
  }
]

/** `anthropic/claude` is Claude at Anthropic. A name with another prefix, or without one, is only a name. */
const split = (model: string): readonly [prefix: string | undefined, name: string] => {
  const provider = providers.find(({ name }) => model.startsWith(`${name}/`))
  return provider === undefined ? [undefined, model] : [provider.name, model.slice(provider.name.length + 1)]
}

const compatible = Effect.fnUntraced(function*(baseURL: string, name: string) {
  if (!URL.canParse(baseURL) || !/^https?:$/.test(new URL(baseURL).protocol)) {
    return yield* unavailable(`--base-url ${baseURL} is no URL of a server, such as http://127.0.0.1:11434/v1`)
  }
  // A key that is meant for OpenAI is not sent to another server
  const key = yield* Config.option(Config.Redacted("OPENAI_COMPATIBLE_API_KEY"))
  return yield* found(new URL(baseURL).host, ({ fetch }) =>
    Effect.map(
      load("@ai-sdk/openai-compatible", () => import("@ai-sdk/openai-compatible")),
      ({ createOpenAICompatible }) =>
        createOpenAICompatible({
          name: "openai-compatible",
          baseURL,
          includeUsage: true,
          supportsStructuredOutputs: true,
          fetch,
          ...(Option.isNone(key) ? undefined : { apiKey: Redacted.value(key.value) })
        })(name)
    ))
})

/** Loads the adapter and the provider, and gives the model a title. */
const found = Effect.fnUntraced(function*(
  title: string,
  make: (adapter: typeof AiSdk) => Effect.Effect<AiSdk.SdkLanguageModel, ModelUnavailable>
): Effect.fn.Return<Selected, ModelUnavailable> {
  const adapter = yield* Effect.promise(() => import("../../src/ai-sdk/AiSdk.ts"))
  const model = yield* make(adapter)
  return { title: `${model.modelId} (${title})`, layer: adapter.model(model) }
})

const unavailable = (problem: string): Effect.Effect<never, ModelUnavailable> =>
  Effect.fail(new ModelUnavailable({ problem }))

/**
 * What the API of a model accepts, by the names of its provider and its model. A conversation may have begun with
 * another one.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"

/**
 * @category models
 * @since 0.1.0
 */
export interface Target {
  /** The provider whose metadata it understands; `undefined` if it may be any. */
  readonly family: string | undefined
  /** Whether its results of tools cannot hold files, which are then sent as a message of the user. */
  readonly isChat: boolean
  /** Whether the name of a tool may begin with a digit or a dash. */
  readonly anyStart: boolean
  readonly callId: CallIds
}

/**
 * The ids of tool calls that an API accepts.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallIds {
  readonly accepted: RegExp
  /** The maximum length of a new id. */
  readonly maximum: number
}

const callIds = (maximum: number): CallIds => ({ accepted: new RegExp(`^[a-zA-Z0-9_-]{1,${maximum}}$`), maximum })

const longIds = callIds(64)
const shortIds = callIds(40)
const mistralIds: CallIds = { accepted: /^[a-zA-Z0-9]{9}$/, maximum: 9 }
// The chat template of this model reads the name and the number of a call from its id.
const kimiIds: CallIds = { accepted: /^[\x21-\x7e]{1,128}$/, maximum: 64 }

/**
 * Returns what a model accepts.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (model: Pick<Sdk.LanguageModelV4, "provider" | "modelId">): Target => {
  const provider = model.provider.toLowerCase()
  const family = familyOf(provider)
  const isChat = provider.endsWith(".chat") && family !== "google" &&
    (chats.has(family ?? "") || "supportsStructuredOutputs" in model)
  return { family, isChat, anyStart: family !== "google", callId: callIdsOf(provider, model.modelId, family) }
}

const callIdsOf = (provider: string, modelId: string, family: string | undefined): CallIds => {
  if (/kimi|moonshot/i.test(`${provider} ${modelId}`)) return kimiIds
  if (/(mis|minis|magis|mix)tral|(code|dev|pix)stral/i.test(`${provider} ${modelId}`)) return mistralIds
  const isLong = family === "anthropic" || family === "google" || family === "bedrock" ||
    provider.endsWith(".responses")
  return isLong ? longIds : shortIds
}

// Services that pass requests on to the APIs of others, and read their options.
const isGateway = /^(ai-?gateway|gateway|openrouter|vercel|litellm|portkey|helicone|cloudflare|requesty)/

const chats = new Set(["openai", "cohere", "deepseek", "fireworks", "groq", "mistral", "togetherai", "xai"])

/**
 * The family of each name under which a provider keeps metadata.
 *
 * An API that belongs to one provider never reads metadata under the name of another. An API that serves several
 * providers may read it, and refuse it.
 */
const families: Readonly<Record<string, string>> = {
  anthropic: "anthropic",
  azure: "openai",
  bedrock: "bedrock",
  "amazon-bedrock": "bedrock",
  amazonBedrock: "bedrock",
  cohere: "cohere",
  deepseek: "deepseek",
  fireworks: "fireworks",
  gemini: "google",
  google: "google",
  googleVertex: "google",
  groq: "groq",
  mistral: "mistral",
  openai: "openai",
  perplexity: "perplexity",
  togetherai: "togetherai",
  vertex: "google",
  xai: "xai"
}

const familyOfKey = (key: string): string | undefined => Object.hasOwn(families, key) ? families[key] : undefined

const familyOf = (provider: string): string | undefined => {
  if (isGateway.test(provider)) return undefined
  if (provider.includes("anthropic") || provider.endsWith(".messages")) return "anthropic"
  const [name] = provider.split(".")
  const known = familyOfKey(name)
  if (known !== undefined) return known
  if (provider.endsWith(".responses")) return "openai"
  if (provider.endsWith(".generative-ai")) return "google"
  return provider.endsWith(".chat") ? name : undefined
}

/**
 * Returns whether metadata under this name belongs to another provider.
 *
 * @category guards
 * @since 0.1.0
 */
export const isForeign = ({ family }: Target, key: string): boolean => {
  const owner = familyOfKey(key)
  return family !== undefined && owner !== undefined && owner !== family
}

/**
 * Returns whether metadata belongs to the target.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOwn = ({ family }: Target, key: string): boolean => family !== undefined && familyOfKey(key) === family

/**
 * Returns whether a call that a provider ran itself, or a provider's own content, came from another provider than the
 * target. The names of its metadata, the form of its id, or the declared tool show this.
 *
 * @category guards
 * @since 0.1.0
 */
export const isForeignWork = (
  target: Target,
  work: { readonly id: string; readonly metadata: ReadonlyArray<string>; readonly toolId: string | undefined }
): boolean => {
  if (target.family === undefined) return false
  if (work.metadata.some((key) => isOwn(target, key))) return false
  const owner = work.metadata.map(familyOfKey).find((family) => family !== undefined) ??
    itemIds.find(([, pattern]) => pattern.test(work.id))?.[0] ??
    familyOfKey(work.toolId?.split(".")[0] ?? "")
  if (owner !== undefined) return owner !== target.family
  // Without a sign of the origin: these two APIs read only their own.
  return target.family === "openai" || target.family === "google"
}

const itemIds: ReadonlyArray<readonly [family: string, RegExp]> = [
  ["anthropic", /^(srv|mcp)toolu_/],
  ["openai", /^(ws|fs|ci|ig|mcp|mcpl|mcpr|lsh|sh|cu|tsc|prog)_[a-zA-Z0-9]/]
]

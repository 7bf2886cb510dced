/**
 * Literal constructors for the parts and messages that are made on the hot path.
 *
 * Each returns exactly what `Response.makePart`, `Prompt.makePart` or `Prompt.makeMessage` would return (the tests
 * compare them), without their two object copies. They contain the brand keys of effect/ai. The return types check
 * these keys at compile time, and `isPart` and `isMessage` check them when the module loads. With another version of
 * effect the public constructors are used instead.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import type * as Fiber from "effect/Fiber"

/**
 * The metadata or options of a part without any. It is shared, and never written to.
 *
 * @category constants
 * @since 0.1.0
 */
export const empty: Readonly<Record<string, never>> = Object.freeze({})

const knowsResponse = Response.isPart({ "~effect/ai/Response/Part": "~effect/ai/Response/Part" })
const knowsPrompt = Prompt.isPart({ "~effect/ai/Prompt/Part": "~effect/ai/Prompt/Part" }) &&
  Prompt.isMessage({ "~effect/ai/Prompt/Message": "~effect/ai/Prompt/Message" })

/**
 * Returns whether an input is a `Prompt`. `Prompt.isPrompt` also accepts JSON with the same key; a real prompt has the
 * key from its prototype.
 *
 * @category guards
 * @since 0.1.0
 */
export const isPrompt = (u: unknown): u is Prompt.Prompt => Prompt.isPrompt(u) && !Object.hasOwn(u, promptKey)

const promptKey: keyof Prompt.Prompt = "~effect/ai/Prompt"

/**
 * Whether spans made in this fiber are recorded.
 *
 * `Fiber.Cache` is public: it is the value that `Effect.makeSpan` itself reads.
 *
 * @category tracing
 * @since 0.1.0
 */
export const tracerEnabled = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.cache.tracerEnabled

// =============================================================================
// Response parts
// =============================================================================

/**
 * Creates a `text-start` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const textStart = (
  id: string,
  metadata: Response.ProviderMetadata = empty
): Response.TextStartPart =>
  knowsResponse
    ? { id, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "text-start", metadata }
    : Response.makePart("text-start", { id, metadata })

/**
 * Creates a `text-delta` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const textDelta = (
  id: string,
  delta: string,
  metadata: Response.ProviderMetadata = empty
): Response.TextDeltaPart =>
  knowsResponse
    ? { id, delta, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "text-delta", metadata }
    : Response.makePart("text-delta", { id, delta, metadata })

/**
 * Creates a `text-end` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const textEnd = (
  id: string,
  metadata: Response.ProviderMetadata = empty
): Response.TextEndPart =>
  knowsResponse
    ? { id, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "text-end", metadata }
    : Response.makePart("text-end", { id, metadata })

/**
 * Creates a `reasoning-start` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const reasoningStart = (
  id: string,
  metadata: Response.ProviderMetadata = empty
): Response.ReasoningStartPart =>
  knowsResponse
    ? { id, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "reasoning-start", metadata }
    : Response.makePart("reasoning-start", { id, metadata })

/**
 * Creates a `reasoning-delta` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const reasoningDelta = (
  id: string,
  delta: string,
  metadata: Response.ProviderMetadata = empty
): Response.ReasoningDeltaPart =>
  knowsResponse
    ? { id, delta, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "reasoning-delta", metadata }
    : Response.makePart("reasoning-delta", { id, delta, metadata })

/**
 * Creates a `reasoning-end` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const reasoningEnd = (
  id: string,
  metadata: Response.ProviderMetadata = empty
): Response.ReasoningEndPart =>
  knowsResponse
    ? { id, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "reasoning-end", metadata }
    : Response.makePart("reasoning-end", { id, metadata })

/**
 * Creates a `tool-params-start` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const toolParamsStart = (
  id: string,
  name: string,
  providerExecuted: boolean,
  metadata: Response.ProviderMetadata = empty
): Response.ToolParamsStartPart =>
  knowsResponse
    ? {
      id,
      name,
      providerExecuted,
      "~effect/ai/Response/Part": "~effect/ai/Response/Part",
      type: "tool-params-start",
      metadata
    }
    : Response.makePart("tool-params-start", { id, name, providerExecuted, metadata })

/**
 * Creates a `tool-params-delta` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const toolParamsDelta = (
  id: string,
  delta: string,
  metadata: Response.ProviderMetadata = empty
): Response.ToolParamsDeltaPart =>
  knowsResponse
    ? { id, delta, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "tool-params-delta", metadata }
    : Response.makePart("tool-params-delta", { id, delta, metadata })

/**
 * Creates a `tool-params-end` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const toolParamsEnd = (
  id: string,
  metadata: Response.ProviderMetadata = empty
): Response.ToolParamsEndPart =>
  knowsResponse
    ? { id, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "tool-params-end", metadata }
    : Response.makePart("tool-params-end", { id, metadata })

/**
 * Creates a `tool-call` part.
 *
 * @category response parts
 * @since 0.1.0
 */
export const toolCall = (
  id: string,
  name: string,
  params: unknown,
  providerExecuted: boolean,
  metadata: Response.ProviderMetadata = empty
): Response.ToolCallPart<string, unknown> =>
  knowsResponse
    ? {
      id,
      name,
      params,
      providerExecuted,
      "~effect/ai/Response/Part": "~effect/ai/Response/Part",
      type: "tool-call",
      metadata
    }
    : Response.makePart("tool-call", { id, name, params, providerExecuted, metadata })

/**
 * Creates the usage of a `finish` part from the report of a provider, or returns `undefined` if `Response.Usage` would
 * not accept the report.
 *
 * @category response parts
 * @since 0.1.0
 */
export const usage = (reported: typeof Response.Usage.Encoded): Response.Usage | undefined => {
  if (typeof reported !== "object" || reported === null) return undefined
  const input = counts(reported.inputTokens, inputKeys)
  const output = counts(reported.outputTokens, outputKeys)
  if (input === undefined || output === undefined) return undefined
  // an instance like the one of the class's decoder, without a second look at every key
  const self = Object.create(Response.Usage.prototype)
  self.inputTokens = input
  self.outputTokens = output
  return self
}

const inputKeys = Object.keys(Response.Usage.fields.inputTokens.fields)
const outputKeys = Object.keys(Response.Usage.fields.outputTokens.fields)

const counts = (tokens: object, keys: ReadonlyArray<string>): Record<string, number | undefined> | undefined => {
  if (typeof tokens !== "object" || tokens === null) return undefined
  const out: Record<string, number | undefined> = {}
  for (const key of keys) {
    if (!(key in tokens)) continue
    const count: unknown = tokens[key as keyof typeof tokens]
    if (count !== undefined && !Number.isSafeInteger(count)) return undefined
    out[key] = count as number | undefined
  }
  return out
}

/**
 * Creates a `finish` part without the details of an HTTP response.
 *
 * @category response parts
 * @since 0.1.0
 */
export const finish = (
  reason: Response.FinishReason,
  usage: Response.Usage,
  metadata: Response.ProviderMetadata = empty
): Response.FinishPart =>
  knowsResponse
    ? { reason, usage, "~effect/ai/Response/Part": "~effect/ai/Response/Part", type: "finish", metadata }
    : Response.makePart("finish", { reason, usage, metadata })

/**
 * Creates a `tool-result` part. Without a `modelOutput` the part does not have this key, as in effect.
 *
 * @category response parts
 * @since 0.1.0
 */
export const toolResult = (fields: {
  readonly id: string
  readonly name: string
  readonly result: unknown
  readonly encodedResult: unknown
  readonly isFailure: boolean
  readonly preliminary: boolean
  readonly modelOutput?: ReadonlyArray<Prompt.ToolModelOutputPart> | undefined
}): Response.ToolResultPart<string, unknown, unknown> => {
  if (knowsResponse && fields.modelOutput === undefined) {
    return {
      id: fields.id,
      name: fields.name,
      providerExecuted: false,
      result: fields.result,
      encodedResult: fields.encodedResult,
      isFailure: fields.isFailure,
      preliminary: fields.preliminary,
      "~effect/ai/Response/Part": "~effect/ai/Response/Part",
      type: "tool-result",
      metadata: empty
    }
  }
  const { modelOutput, ...rest } = fields
  return Response.makePart("tool-result", {
    ...rest,
    ...(modelOutput === undefined ? undefined : { modelOutput }),
    providerExecuted: false
  })
}

// =============================================================================
// Prompt parts and messages
// =============================================================================

/**
 * Creates a `text` part of a message.
 *
 * @category prompt parts
 * @since 0.1.0
 */
export const promptText = (text: string, options: Prompt.ProviderOptions = empty): Prompt.TextPart =>
  knowsPrompt
    ? { text, "~effect/ai/Prompt/Part": "~effect/ai/Prompt/Part", type: "text", options }
    : Prompt.makePart("text", { text, options })

/**
 * Creates a `reasoning` part of a message.
 *
 * @category prompt parts
 * @since 0.1.0
 */
export const promptReasoning = (text: string, options: Prompt.ProviderOptions = empty): Prompt.ReasoningPart =>
  knowsPrompt
    ? { text, "~effect/ai/Prompt/Part": "~effect/ai/Prompt/Part", type: "reasoning", options }
    : Prompt.makePart("reasoning", { text, options })

/**
 * Creates a `tool-call` part of a message. The `tool-call` part of a response may be passed as it is, with its metadata
 * as the second argument.
 *
 * @category prompt parts
 * @since 0.1.0
 */
export const promptToolCall = (
  call: {
    readonly id: string
    readonly name: string
    readonly params: unknown
    readonly providerExecuted: boolean
  },
  options: Prompt.ProviderOptions = empty
): Prompt.ToolCallPart =>
  knowsPrompt
    ? {
      id: call.id,
      name: call.name,
      params: call.params,
      providerExecuted: call.providerExecuted,
      "~effect/ai/Prompt/Part": "~effect/ai/Prompt/Part",
      type: "tool-call",
      options
    }
    : Prompt.makePart("tool-call", {
      id: call.id,
      name: call.name,
      params: call.params,
      providerExecuted: call.providerExecuted,
      options
    })

/**
 * Creates a `tool-result` part of a message. Without a `modelOutput` the part does not have this key, as in effect.
 *
 * @category prompt parts
 * @since 0.1.0
 */
export const promptToolResult = (
  fields: {
    readonly id: string
    readonly name: string
    readonly isFailure: boolean
    readonly result: unknown
    readonly providerExecuted: boolean
    readonly modelOutput?: ReadonlyArray<Prompt.ToolModelOutputPart> | undefined
  },
  options: Prompt.ProviderOptions = empty
): Prompt.ToolResultPart => {
  const { id, isFailure, modelOutput, name, providerExecuted, result } = fields
  if (knowsPrompt && modelOutput === undefined) {
    return {
      id,
      name,
      isFailure,
      result,
      providerExecuted,
      "~effect/ai/Prompt/Part": "~effect/ai/Prompt/Part",
      type: "tool-result",
      options
    }
  }
  return Prompt.makePart("tool-result", {
    id,
    name,
    isFailure,
    result,
    ...(modelOutput === undefined ? undefined : { modelOutput }),
    providerExecuted,
    options
  })
}

/**
 * Creates a `file` part of a message. Without a `fileName` the part does not have this key.
 *
 * @category prompt parts
 * @since 0.1.0
 */
export const promptFile = (
  fields: {
    readonly mediaType: string
    readonly data: string | Uint8Array | URL
    readonly fileName?: string | undefined
  },
  options: Prompt.ProviderOptions = empty
): Prompt.FilePart =>
  Prompt.makePart("file", {
    data: fields.data,
    mediaType: fields.mediaType,
    ...(fields.fileName === undefined ? undefined : { fileName: fields.fileName }),
    options
  })

/**
 * Creates an assistant message.
 *
 * @category messages
 * @since 0.1.0
 */
export const assistantMessage = (content: ReadonlyArray<Prompt.AssistantMessagePart>): Prompt.AssistantMessage =>
  knowsPrompt
    ? { content, "~effect/ai/Prompt/Message": "~effect/ai/Prompt/Message", role: "assistant", options: empty }
    : Prompt.makeMessage("assistant", { content })

/**
 * Creates a message of the user.
 *
 * @category messages
 * @since 0.1.0
 */
export const userMessage = (content: ReadonlyArray<Prompt.UserMessagePart>): Prompt.UserMessage =>
  knowsPrompt
    ? { content, "~effect/ai/Prompt/Message": "~effect/ai/Prompt/Message", role: "user", options: empty }
    : Prompt.makeMessage("user", { content })

/**
 * Creates a tool message.
 *
 * @category messages
 * @since 0.1.0
 */
export const toolMessage = (content: ReadonlyArray<Prompt.ToolMessagePart>): Prompt.ToolMessage =>
  knowsPrompt
    ? { content, "~effect/ai/Prompt/Message": "~effect/ai/Prompt/Message", role: "tool", options: empty }
    : Prompt.makeMessage("tool", { content })

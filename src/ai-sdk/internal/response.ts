/**
 * Translates the parts of an AI SDK model to the parts of effect/ai.
 *
 * Data of a provider must never cause a decoding error, so a value that is missing, null or out of range is left out
 * here.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import type * as AiError from "effect/ai/AiError"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import type * as AiSdk from "../AiSdk.ts"
import { AskedCalls } from "./askedCalls.ts"
import * as Ending from "./ending.ts"
import * as Extension from "./extension.ts"
import type { ToolNames } from "./names.ts"

type Metadata = Record<string, Schema.MutableJson>
type WithMetadata = { readonly metadata?: Metadata }

/**
 * What a model reports about its answer, for telemetry.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary {
  id: string | undefined
  modelId: string | undefined
  finish: Response.FinishPartEncoded | undefined
}

/**
 * Receives what is known about a response beside its parts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  readonly usage: (usage: AgentRun.Usage) => void
  /** Why it finishes with the reason `error`. */
  readonly failure: (reason: AiError.AiErrorReason) => void
}

/**
 * Converts the parts of one streamed response.
 *
 * @category models
 * @since 0.1.0
 */
export class Converter implements Summary {
  id: string | undefined = undefined
  modelId: string | undefined = undefined
  finish: Response.FinishPartEncoded | undefined = undefined
  /** Whether the model ended without a finish reason, so the response is incomplete. */
  truncated = true
  /** An error that came among the parts. */
  failure: { readonly error: unknown } | undefined = undefined
  warnings: ReadonlyArray<Sdk.SharedV4Warning> = []
  private readonly tools: ToolNames
  private readonly asked = new AskedCalls()
  private readonly acceptsMissingReason: boolean
  private hasNoReason = false
  private readonly report: Report

  constructor(
    tools: ToolNames,
    { missingFinishReason }: AiSdk.Settings,
    report: Report
  ) {
    this.tools = tools
    this.acceptsMissingReason = missingFinishReason === "accept"
    this.report = report
  }

  /** The rest when the model has ended: a finish part, if the model gave none and needs none. */
  end(): Response.FinishPartEncoded | undefined {
    if (this.finish !== undefined || !this.acceptsMissingReason) return undefined
    this.truncated = false
    return this.finish = finish(undefined, undefined, undefined)
  }

  /** Converts parts up to the first error. */
  convert(parts: ReadonlyArray<Sdk.LanguageModelV4StreamPart>): Array<Response.StreamPartEncoded> {
    const out: Array<Response.StreamPartEncoded> = []
    for (const part of parts) {
      if (this.failure === undefined) this.add(part, out)
      // the usage of a failed answer
      else if (part.type === "finish") this.report.usage(Ending.toUsage(part.usage))
    }
    return out
  }

  private add(part: Sdk.LanguageModelV4StreamPart, out: Array<Response.StreamPartEncoded>): void {
    switch (part.type) {
      case "text-delta":
      case "reasoning-delta": {
        if (typeof part.delta !== "string") return
        out.push(withMetadata(part))
        return
      }
      case "text-start":
      case "reasoning-start":
      case "reasoning-end":
        return void out.push(withMetadata(part))
      case "text-end": {
        const citations = citationsOf(part.citations)
        out.push(
          citations === undefined ? withMetadata(part) : {
            type: "text-end",
            id: part.id,
            ...metadata(part.providerMetadata, Extension.mark({ citations }))
          }
        )
        return
      }
      case "tool-input-start": {
        out.push({
          type: "tool-params-start",
          id: part.id,
          name: this.tools.ours(part.toolName),
          providerExecuted: part.providerExecuted === true,
          ...metadata(part.providerMetadata)
        })
        return
      }
      case "tool-input-delta": {
        if (typeof part.delta !== "string") return
        out.push({ type: "tool-params-delta", id: part.id, delta: part.delta, ...metadata(part.providerMetadata) })
        return
      }
      case "tool-input-end":
        return void out.push({ type: "tool-params-end", id: part.id, ...metadata(part.providerMetadata) })
      case "stream-start": {
        if (Array.isArray(part.warnings)) this.warnings = part.warnings
        return
      }
      case "response-metadata": {
        const converted = responseMetadata(part)
        this.id = converted.id ?? this.id
        this.modelId = converted.modelId ?? this.modelId
        out.push(converted)
        return
      }
      case "finish": {
        if (this.hasNoReason) {
          this.truncated = false
          return void out.push(this.finish = finish(undefined, part.usage, part.providerMetadata))
        }
        this.truncated = Ending.isTruncated(part.finishReason) && !this.acceptsMissingReason
        this.finish = finish(part.finishReason, part.usage, part.providerMetadata)
        const error = Ending.finishError(part.finishReason)
        if (error !== undefined) {
          this.report.failure(error)
          this.finish = { ...this.finish, reason: "error" }
        }
        // The stream is going to fail, and only here the usage of a cut answer is known.
        if (!this.truncated) out.push(this.finish)
        else if (Ending.hasUsage(this.finish.usage)) out.push(this.finish = { ...this.finish, reason: "error" })
        return
      }
      case "error": {
        if (this.acceptsMissingReason && Ending.isMissingReason(part.error)) this.hasNoReason = true
        else this.failure = { error: part.error }
        break
      }
      case "ping":
        return
      case "raw":
        return Ending.chunkUsage(part.rawValue, this.report.usage)
      case "custom": {
        // Anthropic's first report; if the response is cut, it is the only one of its usage
        if (part.kind.endsWith(Ending.messageStart)) this.report.usage(Ending.startUsage(part))
        return this.other(part, out)
      }
      default:
        return this.other(part, out)
    }
  }

  private other(part: Parameters<typeof content>[0], out: Array<Response.StreamPartEncoded>): void {
    const converted = content(part, this.tools, this.asked)
    if (converted === undefined) return
    if (converted.type !== "carried") return void out.push(converted)
    out.push(
      { type: "reasoning-start", id: converted.id, metadata: converted.metadata },
      { type: "reasoning-end", id: converted.id }
    )
  }
}

/**
 * Converts a response that came as a whole.
 *
 * @category converting
 * @since 0.1.0
 */
export const fromResult = (
  result: Sdk.LanguageModelV4GenerateResult,
  isObject: boolean,
  tools: ToolNames
): {
  readonly summary: Summary & { readonly finish: Response.FinishPartEncoded }
  readonly parts: Array<Response.PartEncoded>
  /** Whether the model ended without a finish reason. */
  readonly truncated: boolean
  /** Why it finished with the reason `error`. */
  readonly failure: AiError.AiErrorReason | undefined
} => {
  const parts: Array<Response.PartEncoded> = []
  const asked = new AskedCalls()
  const response = responseMetadata(result.response ?? {})
  if (result.response !== undefined) parts.push(response)
  const { structuredOutputText } = result
  const chosen = isObject && typeof structuredOutputText === "string"
  if (chosen) parts.push({ type: "text", text: structuredOutputText })
  for (const part of result.content) {
    if (part.type === "text" || part.type === "reasoning") {
      // drafts beside the answer would make its JSON unreadable
      if (chosen && part.type === "text") continue
      const citations = part.type === "text" ? citationsOf(part.citations) : undefined
      parts.push({
        type: part.type,
        text: part.text ?? "",
        ...metadata(part.providerMetadata, citations === undefined ? undefined : Extension.mark({ citations }))
      })
      continue
    }
    const converted = content(part, tools, asked)
    if (converted === undefined) continue
    parts.push(
      converted.type === "carried" ? { type: "reasoning", text: "", metadata: converted.metadata } : converted
    )
  }
  const failure = Ending.finishError(result.finishReason)
  const given = finish(result.finishReason, result.usage, result.providerMetadata)
  const finished: typeof given = failure === undefined ? given : { ...given, reason: "error" }
  parts.push(finished)
  return {
    summary: { id: response.id, modelId: response.modelId, finish: finished },
    parts,
    truncated: Ending.isTruncated(result.finishReason),
    failure
  }
}

// =============================================================================
// Parts
// =============================================================================

type TextLike = Extract<
  Sdk.LanguageModelV4StreamPart,
  { type: "text-start" | "text-delta" | "text-end" | "reasoning-start" | "reasoning-delta" | "reasoning-end" }
>

/** A part without metadata is the same in both, and is passed on as it is. */
const withMetadata = (part: TextLike): Response.StreamPartEncoded => {
  if (part.providerMetadata == null && typeof part.id === "string" && !("metadata" in part)) return part
  const id = String(part.id)
  return "delta" in part
    ? { type: part.type, id, delta: part.delta, ...metadata(part.providerMetadata) }
    : { type: part.type, id, ...metadata(part.providerMetadata) }
}

type ContentPart =
  | Response.ToolCallPartEncoded
  | Response.ToolResultPartEncoded
  | Response.ToolApprovalRequestPartEncoded
  | Response.FilePartEncoded
  | Response.DocumentSourcePartEncoded
  | Response.UrlSourcePartEncoded
  | Carried

/** Content that effect/ai has no part for. */
interface Carried {
  readonly type: "carried"
  readonly id: string
  readonly metadata: Metadata
}

const carry = (id: string, mark: Metadata, providerMetadata: unknown): Carried => ({
  type: "carried",
  id,
  metadata: { ...metadata(providerMetadata)?.metadata, ...Extension.mark(mark) }
})

/** Content that is the same in a stream and in a whole response. */
const content = (
  part: Exclude<Sdk.LanguageModelV4Content, { type: "text" | "reasoning" }>,
  tools: ToolNames,
  asked: AskedCalls
): ContentPart | undefined => {
  switch (part.type) {
    case "tool-call": {
      const { toolCallId: id } = part
      const name = tools.ours(part.toolName)
      const params = parseInput(part.input)
      const providerExecuted = part.providerExecuted === true
      if (providerExecuted) asked.add(id, name, toJson(params) ?? {})
      if (providerExecuted && !tools.has(name)) {
        return carry(`call:${id}`, { call: { id, name, input: toJson(params) ?? {} } }, part.providerMetadata)
      }
      return { type: "tool-call", id, name, params, providerExecuted, ...metadata(part.providerMetadata) }
    }
    case "tool-result": {
      const { toolCallId: id } = part
      const name = tools.ours(part.toolName)
      const result = toJson(part.result) ?? null
      const isFailure = part.isError === true
      const preliminary = part.preliminary === true
      if (!tools.has(name)) {
        return preliminary
          ? undefined
          : carry(`result:${id}`, { result: { id, name, result, isFailure } }, part.providerMetadata)
      }
      return {
        type: "tool-result",
        id,
        name,
        result,
        isFailure,
        // The provider has run the tool: a model cannot send a result in any other way.
        providerExecuted: true,
        preliminary,
        ...metadata(part.providerMetadata)
      }
    }
    case "tool-approval-request":
      return {
        type: "tool-approval-request",
        approvalId: part.approvalId,
        toolCallId: part.toolCallId,
        ...metadata(part.providerMetadata, asked.markOf(part.toolCallId))
      }
    case "source":
      return source(part)
    case "file":
    case "reasoning-file":
      return file(part)
    case "custom":
      // a progress report, whose content is in the metadata of the response as well
      return part.kind.endsWith(Ending.messageStart)
        ? undefined
        : carry(`custom:${part.kind}`, { custom: part.kind }, part.providerMetadata)
    default:
      // of a later specification
      return undefined
  }
}

/** Arguments that are not JSON stay a string; the call is then answered with an error that the model can read. */
const parseInput = (input: unknown): unknown => {
  if (typeof input !== "string") return toJson(input) ?? {}
  if (input.trim() === "") return {}
  return Result.getOrElse(Result.try(() => Tool.unsafeSecureJsonParse(input)), () => input)
}

const source = (
  part: Extract<Sdk.LanguageModelV4Source, { type: "source" }>
): Response.DocumentSourcePartEncoded | Response.UrlSourcePartEncoded => {
  if (part.sourceType === "url" && URL.canParse(part.url)) {
    return {
      type: "source",
      sourceType: "url",
      id: String(part.id),
      url: part.url,
      title: part.title ?? part.url,
      ...metadata(part.providerMetadata)
    }
  }
  const document = part.sourceType === "document" ? part : { mediaType: "text/uri-list", title: part.title ?? part.url }
  return {
    type: "source",
    sourceType: "document",
    id: String(part.id),
    mediaType: document.mediaType,
    title: document.title ?? "",
    ...("filename" in document && document.filename != null ? { fileName: document.filename } : undefined),
    ...metadata(part.providerMetadata)
  }
}

const file = (
  part: Sdk.LanguageModelV4File | Sdk.LanguageModelV4ReasoningFile
): Response.FilePartEncoded | Response.UrlSourcePartEncoded => {
  // v3 does not wrap the data
  const data: unknown = Predicate.hasProperty(part.data, "type") ? part.data : { type: "data", data: part.data }
  const ours = part.type === "reasoning-file" ? Extension.mark({ reasoning: true }) : undefined
  if (Predicate.hasProperty(data, "url") && data.url != null) {
    const url = String(data.url)
    // In effect/ai, a file at an address is a source.
    return {
      type: "source",
      sourceType: "url",
      id: url,
      url,
      title: part.mediaType,
      ...metadata(part.providerMetadata, ours)
    }
  }
  const bytes = Predicate.hasProperty(data, "data") ? data.data : ""
  return {
    type: "file",
    mediaType: part.mediaType,
    data: bytes instanceof Uint8Array ? Base64.encode(bytes) : String(bytes),
    ...metadata(part.providerMetadata, ours)
  }
}

const responseMetadata = (part: Sdk.LanguageModelV4ResponseMetadata): Response.ResponseMetadataPartEncoded => {
  const { id, modelId, timestamp } = part
  return {
    type: "response-metadata",
    ...(typeof id === "string" && id !== "" ? { id } : undefined),
    ...(typeof modelId === "string" && modelId !== "" ? { modelId } : undefined),
    ...(timestamp instanceof Date && !Number.isNaN(timestamp.getTime())
      ? { timestamp: timestamp.toISOString() }
      : undefined)
  }
}

const citationsOf = (citations: unknown): Schema.MutableJson | undefined =>
  Array.isArray(citations) && citations.length > 0 ? toJson(citations) : undefined

const finish = (
  reason: unknown,
  usage: unknown,
  providerMetadata: Sdk.SharedV4ProviderMetadata | undefined
): Response.FinishPartEncoded => ({
  type: "finish",
  reason: Ending.finishReason(reason),
  usage: Ending.toUsage(usage),
  ...metadata(providerMetadata)
})

// =============================================================================
// Metadata
// =============================================================================

/** The metadata of a provider as JSON, together with our own. Returns `undefined` if there is none. */
const metadata = (value: unknown, ours?: Metadata): WithMetadata | undefined => {
  if (value == null && ours === undefined) return undefined
  const out: Metadata = {}
  let some = false
  if (Predicate.isObject(value)) {
    for (const provider of Object.keys(value)) {
      // names of this package are not for providers
      if (provider.startsWith("effect-agents/")) continue
      const cleaned = toJson((value as Record<string, unknown>)[provider])
      if (cleaned === undefined || (Predicate.isObject(cleaned) && Object.keys(cleaned).length === 0)) continue
      out[provider] = cleaned
      some = true
    }
  }
  if (ours !== undefined) return { metadata: { ...out, ...ours } }
  return some ? { metadata: out } : undefined
}

/**
 * Returns the JSON of a value without undefined values and without values that JSON cannot express; bytes become
 * base64.
 *
 * @category converting
 * @since 0.1.0
 */
export const toJson = (value: unknown): Schema.MutableJson | undefined => {
  switch (typeof value) {
    case "string":
    case "boolean":
      return value
    case "number":
      return Number.isFinite(value) ? value : null
    case "bigint":
      return String(value)
    case "object": {
      if (value === null) return null
      if (Array.isArray(value)) return value.map((item) => toJson(item) ?? null)
      if (value instanceof Date) return Number.isNaN(value.getTime()) ? null : value.toISOString()
      if (value instanceof URL) return value.href
      if (value instanceof Uint8Array) return Base64.encode(value)
      // `fromEntries` makes `__proto__` an ordinary key
      return Object.fromEntries(
        Object.entries(value).flatMap(([key, item]) => {
          const cleaned = toJson(item)
          return cleaned === undefined ? [] : [[key, cleaned]]
        })
      )
    }
    default:
      return undefined
  }
}

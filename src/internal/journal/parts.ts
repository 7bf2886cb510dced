/**
 * The parts of a model's response in a record.
 *
 * @since 0.1.0
 */

import * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as JsonCodec from "../words/jsonCodec.ts"
import * as JsonValue from "../words/jsonValue.ts"
import * as Parts from "../words/responseParts.ts"
import * as Usage from "../words/usage.ts"

/** The types of a response's parts went with those of its tools. */
type Part = Response.AllParts<any>

type Tools = Readonly<Record<string, Tool.Any>>

const codec = JsonCodec.make(Response.AllParts() as Schema.Codec<Part, unknown>)
const encodePart = Schema.encodeUnknownEffect(codec)
const decodePart = Schema.decodeUnknownEffect(codec)

/**
 * Encodes parts as JSON. Consecutive deltas of one block become one element that contains each of them, so decoding
 * gives the same parts.
 *
 * @category converting
 * @since 0.1.0
 */
export const encode = Effect.fnUntraced(function*(parts: ReadonlyArray<Part>) {
  const out: Array<unknown> = []
  let deltas: { readonly type: string; readonly id: string; readonly deltas: Array<string> } | undefined
  for (const part of parts) {
    if (isDelta(part) && Object.keys(part.metadata).length === 0) {
      if (deltas !== undefined && deltas.type === part.type && deltas.id === part.id) deltas.deltas.push(part.delta)
      else out.push(deltas = { type: part.type, id: part.id, deltas: [part.delta] })
      continue
    }
    deltas = undefined
    out.push(yield* encodeOne(part))
  }
  return out
})

type Delta = Part & { readonly type: "text-delta" | "reasoning-delta" | "tool-params-delta" }

const isDelta = (part: Part): part is Delta =>
  part.type === "text-delta" || part.type === "reasoning-delta" || part.type === "tool-params-delta"

const encodeOne = (part: Part): Effect.Effect<unknown, Schema.SchemaError> => {
  switch (part.type) {
    case "finish":
      // a provider may report an invalid number
      return Effect.succeed({
        type: "finish",
        reason: part.reason,
        usage: Usage.clean(part.usage),
        metadata: part.metadata
      })
    case "tool-call":
      return encodePart({ ...part, params: jsonOf(part.params) })
    case "tool-result":
      return encodePart({ ...part, result: jsonOf(part.encodedResult), encodedResult: jsonOf(part.encodedResult) })
    default:
      return encodePart(part)
  }
}

const jsonOf = (value: unknown): unknown => Result.getOrElse(JsonValue.toJson(value ?? null), () => value)

/**
 * Decodes the parts of a record. The results of tools that the provider has run are decoded by their schemas.
 *
 * @category converting
 * @since 0.1.0
 */
export const decode = Effect.fnUntraced(function*(encoded: unknown, tools: Tools | undefined) {
  const out: Array<Part> = []
  for (const each of yield* decodeArray(encoded)) {
    const known = readKnown(each)
    if (known !== undefined) {
      for (const part of known) out.push(part)
      continue
    }
    const part = yield* decodePart(each)
    out.push(part.type === "tool-result" ? yield* withResult(part, tools) : part)
  }
  return out
})

const decodeArray = Schema.decodeUnknownEffect(Schema.Array(Schema.Record(Schema.String, Schema.Unknown)))

const readKnown = (encoded: Readonly<Record<string, unknown>>): ReadonlyArray<Part> | undefined => {
  if (Array.isArray(encoded.deltas)) {
    const id = String(encoded.id)
    return encoded.deltas.map((delta) => makeDelta(encoded.type, id, String(delta)))
  }
  if (encoded.type !== "finish") return undefined
  const { metadata, reason, usage } = encoded
  const counts = Parts.usage(usage as typeof Response.Usage.Encoded)
  return counts && [
    Parts.finish(reason as Response.FinishReason, counts, metadata as Response.ProviderMetadata)
  ]
}

const makeDelta = (type: unknown, id: string, delta: string): Part =>
  type === "text-delta"
    ? Parts.textDelta(id, delta)
    : type === "reasoning-delta"
    ? Parts.reasoningDelta(id, delta)
    : Parts.toolParamsDelta(id, delta)

const withResult = (part: Extract<Part, { readonly type: "tool-result" }>, tools: Tools | undefined) => {
  const tool = tools !== undefined && Object.hasOwn(tools, part.name) ? tools[part.name] : undefined
  const encodedResult = part.encodedResult
  if (tool === undefined) return Effect.succeed(part)
  const schema = part.isFailure ? Tool.failureResultSchema(tool) : tool.successSchema
  return Effect.match(
    // the services for decoding are in the context of the run
    Schema.decodeUnknownEffect(JsonCodec.make(schema as Schema.Codec<unknown, unknown>))(encodedResult),
    {
      // a form of the provider's own
      onFailure: () => part,
      onSuccess: (result) => ({ ...part, result, encodedResult })
    }
  )
}

/**
 * Returns the tools of the option `toolkit` of a model call.
 *
 * @category accessors
 * @since 0.1.0
 */
export const toolsOf = (toolkit: unknown): Tools | undefined =>
  Predicate.hasProperty(toolkit, "tools") ? toolkit.tools as Tools : undefined

/**
 * The parts of a model's response in a record: each is written as it would be sent, and deltas that follow each other in
 * one block are one element.
 *
 * @since 0.1.0
 */

import * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as SchemaIssue from "effect/SchemaIssue"
import type * as AgentRun from "../../AgentRun.ts"
import * as WireParts from "../wire/parts.ts"
import * as Schemas from "../wire/schemas.ts"
import * as JsonValue from "../words/jsonValue.ts"
import * as Usage from "../words/usage.ts"

/** The types of a response's parts went with those of its tools. */
type Part = Response.AllParts<any>

type Tools = Readonly<Record<string, Tool.Any>>

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
    // what a model says is told apart by `type`
    const codec = wholeOf(part.type) ?? WireParts.untyped
    out.push(yield* coded(codec.encode(recordable(part) as AgentRun.Part)))
  }
  return out
})

const wholes = { text: Response.TextPart, reasoning: Response.ReasoningPart } as const

const made = new Map<string, Schemas.Codec<any, unknown>>()

/** The codec of what only a whole response has, and no stream. */
const wholeOf = (type: string): Schemas.Codec<any, unknown> | undefined => {
  if (type !== "text" && type !== "reasoning") return undefined
  const codec = made.get(type) ?? Schemas.make<unknown>(wholes[type])
  made.set(type, codec)
  return codec
}

type Delta = Part & { readonly type: "text-delta" | "reasoning-delta" | "tool-params-delta" }

const isDelta = (part: Part): part is Delta =>
  part.type === "text-delta" || part.type === "reasoning-delta" || part.type === "tool-params-delta"

/** The schemas of tools that the provider runs, and those of parts, need nothing that the run does not have. */
const coded = <A>(effect: Effect.Effect<A, SchemaIssue.Issue, unknown>): Effect.Effect<A, Schema.SchemaError> =>
  Effect.mapError(effect as Effect.Effect<A, SchemaIssue.Issue>, (issue) => new Schema.SchemaError(issue))

/** What a provider says before the edge of a model: it may count what is no count, and have values that are no JSON. */
const recordable = (part: Part): Part => {
  switch (part.type) {
    case "finish":
      return { ...part, usage: Usage.clean(part.usage) as Response.Usage }
    case "tool-call":
      return { ...part, params: jsonOf(part.params) }
    case "tool-result": {
      // the same, as that of a provider need not keep to the schema of its tool
      const encodedResult = jsonOf(part.encodedResult)
      return { ...part, result: encodedResult, encodedResult }
    }
    default:
      return part
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
  const codec = tools === undefined ? WireParts.untyped : new WireParts.PartCodec(tools)
  const out: Array<Part> = []
  for (const { deltas, ...part } of yield* decodeArray(encoded)) {
    const each = Array.isArray(deltas) ? deltas.map((delta) => ({ ...part, delta })) : [part]
    // a record has parts of a model's response only
    for (const part of each) {
      out.push((yield* coded((wholeOf(part.type) ?? codec).decode(part as WireParts.PartEncoded))) as Part)
    }
  }
  return out
})

const decodeArray = Schema.decodeUnknownEffect(
  Schema.Array(
    Schema.StructWithRest(Schema.Struct({ type: Schema.String }), [Schema.Record(Schema.String, Schema.Unknown)])
  )
)

/**
 * Returns the tools of the option `toolkit` of a model call.
 *
 * @category accessors
 * @since 0.1.0
 */
export const toolsOf = (toolkit: unknown): Tools | undefined =>
  Predicate.hasProperty(toolkit, "tools") ? toolkit.tools as Tools : undefined

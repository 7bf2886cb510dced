/**
 * The codecs of all parts except deltas. Each is a schema that is compiled when it is first needed.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaParser from "effect/SchemaParser"
import type * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"
import * as Fields from "../words/fields.ts"
import * as Results from "../words/result.ts"
import * as TellableError from "../words/tellableError.ts"

/**
 * A part as JSON. Its `type` is the `type` of the part.
 *
 * @category models
 * @since 0.1.0
 */
export interface PartEncoded {
  readonly type: string
  readonly [key: string]: Schema.Json
}

/**
 * A part that is being encoded or decoded.
 *
 * @category models
 * @since 0.1.0
 */
export type Coded<A> = Effect.Effect<A, SchemaIssue.Issue, unknown>

/**
 * The codec of the parts of one type.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec<in A = AgentRun.Part, out B = AgentRun.Part> {
  readonly encode: (part: A) => Coded<PartEncoded>
  readonly decode: (encoded: unknown) => Coded<B>
}

/**
 * Any schema of a part.
 *
 * @category models
 * @since 0.1.0
 */
export type AnySchema = Schema.Codec<unknown, unknown, unknown, unknown>

/**
 * The fields that all parts of effect/ai have.
 *
 * @category schemas
 * @since 0.1.0
 */
export const base = {
  "~effect/ai/Response/Part": Response.ToolApprovalRequestPart.fields["~effect/ai/Response/Part"],
  metadata: Response.ToolApprovalRequestPart.fields.metadata
}

/**
 * A flag that is left out when it is false.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Flag = Schema.Boolean.pipe(Schema.withDecodingDefaultKey(Effect.succeed(false)))

const flags: ReadonlySet<string> = new Set(["isFailure", "isVerbatim", "preliminary", "providerExecuted"])

/**
 * Creates the codec of a schema of parts. Decoding restores what is left out: empty metadata, and flags that are false.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <A>(schema: Schema.Codec<A, unknown, unknown, unknown>): Codec<A, A> => {
  const json = Schema.toCodecJson(schema)
  const encode = SchemaParser.encodeUnknownEffect(json)
  return {
    encode: (part) => Effect.mapEager(encode(clean(part)), slim),
    decode: SchemaParser.decodeUnknownEffect(json)
  }
}

const values: ReadonlySet<string> = new Set(["encodedResult", "params", "value"])

/** A key with `undefined` is left out, also in the metadata of a provider. A value is always kept. */
const clean = (part: unknown): unknown =>
  Object.fromEntries(
    Object.entries(part as object).flatMap(([key, value]) =>
      value === undefined && !values.has(key) ? [] : [[key, key === "metadata" ? Fields.toJson(value) : value]]
    )
  )

const slim = (encoded: unknown): PartEncoded => {
  const slimmed: Array<[string, Schema.Json]> = []
  for (const [key, value] of Object.entries(encoded as PartEncoded)) {
    if (value === undefined || (value === false && flags.has(key))) continue
    if (key === "metadata" && isEmpty(value)) continue
    slimmed.push([key, value])
  }
  // the type is one of the keys
  return Object.fromEntries(slimmed) as unknown as PartEncoded
}

/**
 * Returns whether a part has no metadata.
 *
 * @category guards
 * @since 0.1.0
 */
export const isEmpty = (metadata: unknown): boolean => {
  for (const _key in metadata as object) return false
  return true
}

const isUserMessage = (message: Prompt.Message): message is Prompt.UserMessage => message.role === "user"

const isUsage = (u: unknown): u is Response.Usage => Predicate.hasProperty(u, "inputTokens")

/** Counts that a provider has not reported are left out. */
const Count = Schema.optionalKey(Schema.Int).pipe(Schema.decodeTo(Schema.optional(Schema.Int), {
  decode: SchemaGetter.passthroughSubtype(),
  encode: SchemaGetter.transformOptional((count: Option.Option<number | undefined>) =>
    Option.filter(count, (n) => n !== undefined)
  )
}))

// the HTTP response concerns only the program and its provider: its headers show whose account is used
const { response: _response, ...finishFields } = Response.FinishPart.fields

const schemas: Readonly<Record<string, AnySchema>> = {
  "text-start": Response.TextStartPart,
  "text-delta": Response.TextDeltaPart,
  "text-end": Response.TextEndPart,
  "reasoning-start": Response.ReasoningStartPart,
  "reasoning-delta": Response.ReasoningDeltaPart,
  "reasoning-end": Response.ReasoningEndPart,
  "tool-params-start": Response.ToolParamsStartPart,
  "tool-params-delta": Response.ToolParamsDeltaPart,
  "tool-params-end": Response.ToolParamsEndPart,
  "tool-call": Schema.Struct({
    ...base,
    type: Schema.tag("tool-call"),
    id: Schema.String,
    name: Schema.String,
    params: Fields.Value,
    providerExecuted: Flag
  }),
  "tool-approval-request": Schema.Struct({
    ...Response.ToolApprovalRequestPart.fields,
    approval: Schema.optionalKey(Approval.Approval)
  }),
  file: Response.FilePart,
  source: Schema.Union([Response.UrlSourcePart, Response.DocumentSourcePart]),
  "response-metadata": Response.ResponseMetadataPart,
  finish: Schema.Struct({
    ...finishFields,
    usage: Schema.Struct({
      inputTokens: Schema.Struct({ uncached: Count, total: Count, cacheRead: Count, cacheWrite: Count }),
      outputTokens: Schema.Struct({ total: Count, text: Count, reasoning: Count })
    }).pipe(Schema.decodeTo(Schema.declare(isUsage), {
      decode: SchemaGetter.transform((usage) => Object.assign(Object.create(Response.Usage.prototype), usage)),
      encode: SchemaGetter.passthroughSubtype()
    }))
  }),
  "run-start": Schema.Struct({
    type: Schema.tag("run-start"),
    agent: Schema.String,
    runId: Schema.String,
    parentRunId: Schema.optionalKey(Schema.String),
    session: Fields.undefinable(Schema.String)
  }),
  "step-start": Schema.Struct({
    type: Schema.tag("step-start"),
    index: Schema.Int,
    restarted: Schema.optional(Schema.Literal(true))
  }),
  steering: Schema.Struct({
    type: Schema.tag("steering"),
    message: Fields.Message.pipe(Schema.refine(isUserMessage))
  }),
  "step-end": Schema.Struct({ type: Schema.tag("step-end"), step: Results.Step }),
  "output-partial": Schema.Struct({ type: Schema.tag("output-partial"), value: Fields.Value })
}

/** An error is an instance in the process, so its class is sent beside it. */
const SentError = Schema.Struct({
  ...base,
  type: Schema.tag("error"),
  error: Fields.AnyAnswer,
  aiError: Schema.optionalKey(AiError.AiError),
  thrown: Schema.optionalKey(Schema.ErrorInstance({ excludeCause: true }))
})

const toSentError = ({ error, ...part }: Response.ErrorPart): typeof SentError.Type =>
  AiError.isAiError(error)
    ? { ...part, error: undefined, aiError: TellableError.of(error) }
    : Predicate.isError(error)
    ? { ...part, error: undefined, thrown: error }
    : { ...part, error }

const fromSentError = ({ aiError, error, thrown, ...part }: typeof SentError.Type): Response.ErrorPart => ({
  ...part,
  error: aiError ?? thrown ?? error
})

const known = new Map<string, Codec>()

/**
 * Returns the codec of the parts of one type if it is the same for every agent, otherwise `undefined`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = (type: string): Codec | undefined => {
  const codec = known.get(type)
  if (codec !== undefined) return codec
  // the table is by type
  const made = type === "error" ? errorPart() : Object.hasOwn(schemas, type) ? make(schemas[type]) : undefined
  if (made !== undefined) known.set(type, made as Codec)
  return made as Codec | undefined
}

const errorPart = (): Codec<Response.ErrorPart, Response.ErrorPart> => {
  const { decode, encode } = make(SentError)
  return {
    encode: (part) => encode(toSentError(part)),
    decode: (encoded) => Effect.map(decode(encoded), fromSentError)
  }
}

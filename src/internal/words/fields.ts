/**
 * Fields whose values are JSON on the wire and may be `undefined` in the process. JSON leaves out a key without a
 * value, and writes `null` where a value is required.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Base64 from "effect/encoding/Base64"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import * as Json from "./json.ts"

/**
 * Returns a value in a form that JSON can hold. A value that is nested too deeply is returned as it is, and then fails
 * to encode.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toJson = (u: unknown): unknown => Json.isTooDeep(u) ? u : defined(u)

const defined = (u: unknown): unknown => within(u, defined)

const within = (u: unknown, write: (u: unknown) => unknown): unknown => {
  if (u === undefined) return null
  if (Array.isArray(u)) return Array.from(u, write)
  return isRecord(u)
    ? Object.fromEntries(
      Object.entries(u).flatMap(([key, value]) => value === undefined ? [] : [[key, write(value)]])
    )
    : u
}

const isRecord = (u: unknown): u is Readonly<Record<string, unknown>> => {
  if (typeof u !== "object" || u === null) return false
  const prototype: unknown = Object.getPrototypeOf(u)
  return prototype === null || prototype === Object.prototype
}

/**
 * Writes a value without a schema: dates, URLs, big integers, bytes, maps and sets as effect's JSON codecs write them.
 */
const written = (u: unknown): unknown => {
  if (typeof u === "bigint" || (typeof u === "number" && !Number.isFinite(u))) return String(u)
  if (u instanceof Map) return Array.from(u, ([key, value]) => [written(key), written(value)])
  if (u instanceof Set) return Array.from(u, written)
  if (u instanceof Uint8Array) return Base64.encode(u)
  if (typeof u !== "object" || u === null) return within(u, written)
  const json = "toJSON" in u && Predicate.isFunction(u.toJSON) ? u.toJSON() : u
  if (json !== u) return written(json)
  // an instance of a class is written as an object with its fields
  return within(Object.prototype.toString.call(u) === "[object Object]" ? { ...u } : u, written)
}

/** `toJSON` is user code. A value that cannot be written is returned as it is, and then fails to encode. */
const toWritten = (u: unknown): unknown =>
  Json.isTooDeep(u) ? u : Result.getOrElse(Result.try(() => written(u)), () => u)

/**
 * A value that is always present: `undefined` becomes `null`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Value: Schema.Codec<unknown> = Schema.Unknown.pipe(Schema.decodeTo(Schema.Unknown, {
  decode: SchemaGetter.passthrough(),
  encode: SchemaGetter.transform(toJson)
}))

const isDefined = <A>(value: A): value is Exclude<A, undefined> => value !== undefined

/**
 * A value that may be left out. `null` is a value.
 *
 * @category schemas
 * @since 0.1.0
 */
export const OptionalValue = Schema.optionalKey(Schema.Unknown).pipe(Schema.decodeTo(Schema.optional(Schema.Unknown), {
  decode: SchemaGetter.passthrough(),
  encode: SchemaGetter.transformOptional((value: Option.Option<unknown>) =>
    Option.map(Option.filter(value, isDefined), toJson)
  )
}))

/**
 * A text that may be left out.
 *
 * @category schemas
 * @since 0.1.0
 */
export const OptionalText = Schema.optionalKey(Schema.String).pipe(Schema.decodeTo(Schema.optional(Schema.String), {
  decode: SchemaGetter.passthroughSubtype(),
  encode: SchemaGetter.transformOptional((text: Option.Option<string | undefined>) => Option.filter(text, isDefined))
}))

/** In the process the key is always present, with or without a value. */
const orUndefined = <A>(value: Option.Option<A>): Option.Option<A | undefined> =>
  Option.orElseSome(value, () => undefined)

/**
 * A value that JSON leaves out if it is `undefined`. In the process the key is always present.
 *
 * @category schemas
 * @since 0.1.0
 */
export const undefinable = <S extends Schema.Constraint>(schema: S) =>
  Schema.optionalKey(schema).pipe(Schema.decodeTo(Schema.optional(Schema.toType(schema)), {
    decode: SchemaGetter.transformOptional(orUndefined<S["Type"]>),
    encode: SchemaGetter.transformOptional((value: Option.Option<S["Type"] | undefined>) =>
      Option.filter(value, isDefined)
    )
  }))

/**
 * The value of a result whose output is not known. In the process the key is always present.
 *
 * @category schemas
 * @since 0.1.0
 */
export const AnyAnswer = Schema.optionalKey(Schema.Unknown).pipe(Schema.decodeTo(Schema.optional(Schema.Unknown), {
  decode: SchemaGetter.transformOptional(orUndefined<unknown>),
  encode: SchemaGetter.transformOptional((value: Option.Option<unknown>) =>
    Option.map(Option.filter(value, isDefined), toWritten)
  )
}))

const isMessage = (u: unknown): u is Prompt.Message => Prompt.isMessage(u)

const storable = (message: Prompt.Message): Prompt.Message => {
  if (message.role !== "assistant" && message.role !== "tool") return message
  const content = (message.content as ReadonlyArray<Prompt.Part>).map((part) =>
    part.type === "tool-result"
      ? { ...part, result: toJson(part.result) }
      : part.type === "tool-call"
      ? { ...part, params: toJson(part.params) }
      : part
  )
  // the parts are those of the original message
  return { ...message, content } as Prompt.Message
}

/**
 * A message of a transcript.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Message: Schema.Codec<Prompt.Message, Prompt.MessageEncoded> = Prompt.Message.pipe(
  Schema.decodeTo(Schema.declare(isMessage), {
    decode: SchemaGetter.passthrough(),
    encode: SchemaGetter.transform(storable)
  })
)

/**
 * A transcript.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Transcript: Schema.Codec<Prompt.Prompt, Prompt.PromptEncoded> = Prompt.Prompt.pipe(
  Schema.decodeTo(Schema.declare((u: unknown): u is Prompt.Prompt => Prompt.isPrompt(u)), {
    decode: SchemaGetter.passthrough(),
    encode: SchemaGetter.transform((prompt: Prompt.Prompt) => Prompt.fromMessages(prompt.content.map(storable)))
  })
)

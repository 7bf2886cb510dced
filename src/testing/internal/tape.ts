/**
 * The file of a cassette: a line that names its version, then for each call a line with its request, a line for each
 * array of parts, and a line that says how it ended.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"

/**
 * A request as JSON.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Request = Schema.Struct({
  method: Schema.Literals(["generateText", "generateObject", "streamText"]),
  prompt: Schema.Json,
  tools: Schema.Json,
  toolChoice: Schema.Json,
  responseFormat: Schema.Json
})

/**
 * @category models
 * @since 0.1.0
 */
export type Request = typeof Request.Type

const After = Schema.optionalKey(Schema.Finite)

const CallLine = Schema.Struct({ call: Schema.String, request: Request })

const PartsLine = Schema.Struct({ after: After, parts: Schema.NonEmptyArray(Schema.Json) })

const EndLine = Schema.Union([
  Schema.Struct({ after: After, end: Schema.Literals(["done", "cut"]) }),
  Schema.Struct({ after: After, end: Schema.Literal("failed"), error: AiError.AiError }),
  Schema.Struct({ after: After, end: Schema.Literal("died"), defect: Schema.Defect() })
])

/**
 * @category models
 * @since 0.1.0
 */
export type End = typeof EndLine.Type

/**
 * @category models
 * @since 0.1.0
 */
export type Arrived = typeof PartsLine.Type

/**
 * A recorded call. Its end is a cut until it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly call: string
  readonly request: Request
  readonly arrived: Array<Arrived>
  end: End
}

const version = 1

const json = <S extends Schema.Codec<unknown, unknown>>(schema: S) => Schema.fromJsonString(Schema.toCodecJson(schema))

const Header = Schema.Struct({ cassette: Schema.Finite })

const decodeHeader = Schema.decodeResult(json(Header))

const lines = {
  call: Schema.decodeResult(json(CallLine)),
  parts: Schema.decodeResult(json(PartsLine)),
  end: Schema.decodeResult(json(EndLine))
}

const decodeAny = Schema.decodeResult(Schema.fromJsonString(Schema.Record(Schema.String, Schema.Json)))

/** The keys in one order, so that equal requests have equal texts. */
const sorted = (value: unknown): unknown =>
  Array.isArray(value)
    ? value.map(sorted)
    : Predicate.isObject(value)
    ? Object.fromEntries(
      Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1).map(([key, inner]) => [key, sorted(inner)])
    )
    : value

/**
 * Returns the text of a request: equal requests have equal texts.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = (request: Request): string => JSON.stringify(sorted(request))

/**
 * Returns the address of a request, a short name for its text. It is computed without waiting, so that a call does not
 * wait for anything but the clock. Two requests may have one address, so the texts are compared too.
 *
 * @category accessors
 * @since 0.1.0
 */
export const addressOf = (request: Request): string => {
  const text = textOf(request)
  let [low, high] = [0x811c9dc5, 0x9dc5811c]
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    low = Math.imul(low ^ code, 0x01000193)
    high = Math.imul(high ^ code, 0x85ebca6b)
    high ^= high >>> 15
  }
  return [low, high].map((half) => (half >>> 0).toString(16).padStart(8, "0")).join("")
}

/**
 * Where a file is damaged, and how.
 *
 * @category models
 * @since 0.1.0
 */
export interface Damage {
  readonly line: number
  readonly description: string
}

const damaged = (line: number, description: string): Effect.Effect<never, Damage> => Effect.fail({ line, description })

/**
 * Reads a file.
 *
 * @category conversions
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(text: string): Effect.fn.Return<ReadonlyArray<Entry>, Damage> {
  const rows = text.split(/\r?\n/)
  const header = decodeHeader(rows[0])
  if (Result.isFailure(header)) return yield* damaged(1, "This file is not a cassette")
  if (header.success.cassette !== version) {
    return yield* damaged(1, `The cassette has version ${header.success.cassette}, and this package reads ${version}`)
  }
  const entries: Array<Entry> = []
  let open: Entry | undefined
  for (let index = 1; index < rows.length; index++) {
    const row = rows[index]
    if (row === "") continue
    const line = index + 1
    const any = decodeAny(row)
    if (Result.isFailure(any)) return yield* damaged(line, "The line is not a JSON object")
    const kind = "call" in any.success ? "call" : "parts" in any.success ? "parts" : "end"
    if ((kind === "call") !== (open === undefined)) {
      return yield* damaged(line, `Expected ${open === undefined ? "a call" : "parts or the end of a call"}`)
    }
    if (kind === "call") {
      const decoded = yield* Effect.mapError(
        Effect.fromResult(lines.call(row)),
        ({ message }) => ({ line, description: message })
      )
      if (addressOf(decoded.request) !== decoded.call) {
        return yield* damaged(line, `The request of call ${decoded.call} was changed after it was recorded`)
      }
      open = { ...decoded, arrived: [], end: { end: "cut" } }
      entries.push(open)
    } else if (open !== undefined && kind === "parts") {
      open.arrived.push(
        yield* Effect.mapError(Effect.fromResult(lines.parts(row)), ({ message }) => ({ line, description: message }))
      )
    } else if (open !== undefined) {
      open.end = yield* Effect.mapError(
        Effect.fromResult(lines.end(row)),
        ({ message }) => ({ line, description: message })
      )
      open = undefined
    }
  }
  if (open !== undefined) return yield* damaged(rows.length, `The file ends within call ${open.call}`)
  return entries
})

const encodeEnd = Schema.encodeEffect(json(EndLine))

/**
 * Writes a file.
 *
 * @category conversions
 * @since 0.1.0
 */
export const write = (entries: ReadonlyArray<Entry>): Effect.Effect<string> =>
  Effect.map(
    Effect.forEach(entries, ({ arrived, call, end, request }) =>
      Effect.map(Effect.orDie(encodeEnd(end)), (last) =>
        [
          JSON.stringify({ call, request }),
          ...arrived.map((array) => JSON.stringify(array)),
          last
        ].join("\n"))),
    (texts) => [JSON.stringify({ cassette: version }), ...texts, ""].join("\n")
  )

/**
 * Says why no recorded call answers a request: the most similar request, and the first place where it differs.
 *
 * @category accessors
 * @since 0.1.0
 */
export const explain = (entries: ReadonlyArray<Entry>, request: Request): string => {
  const text = textOf(request)
  const same = entries.filter((entry) => textOf(entry.request) === text).length
  if (same > 0) return `The request was recorded ${same === 1 ? "once" : `${same} times`}, and is made once more`
  let nearest: { readonly entry: Entry; readonly differences: ReadonlyArray<string> } | undefined
  for (const entry of entries) {
    const differences = differ("request", entry.request, request)
    if (nearest === undefined || differences.length < nearest.differences.length) nearest = { entry, differences }
  }
  return nearest === undefined
    ? "No call was recorded"
    : `No recorded call has this request. The nearest is ${nearest.entry.call}, which differs at ${
      nearest.differences.slice(0, 3).join("; at ")
    }`
}

const differ = (path: string, recorded: unknown, made: unknown): ReadonlyArray<string> => {
  if (Object.is(recorded, made)) return []
  if (
    Predicate.isObjectOrArray(recorded) && Predicate.isObjectOrArray(made) &&
    Array.isArray(recorded) === Array.isArray(made)
  ) {
    const [before, now] = [recorded as Record<string, unknown>, made as Record<string, unknown>]
    return [...new Set([...Object.keys(before), ...Object.keys(now)])].flatMap((key) =>
      differ(`${path}.${key}`, before[key], now[key])
    )
  }
  return [`${path}: recorded ${shown(recorded)}, now ${shown(made)}`]
}

const shown = (value: unknown): string => {
  const text = JSON.stringify(value) ?? "nothing"
  return text.length > 80 ? `${text.slice(0, 80)}…` : text
}

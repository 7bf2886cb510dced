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
import * as Address from "./address.ts"
import * as Turns from "./turns.ts"

const Recorded = Schema.Struct({
  method: Schema.Literals(["generateText", "generateObject", "streamText"]),
  prompt: Schema.Json,
  tools: Schema.Json,
  toolChoice: Schema.Json,
  responseFormat: Schema.Json
})

/**
 * A request that was recorded.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = typeof Recorded.Type

const Turn = Schema.Struct({
  method: Schema.Literal("streamText"),
  turn: Schema.Array(Schema.Struct({ role: Schema.String, content: Schema.Array(Schema.Json) }))
})

const After = Schema.optionalKey(Schema.Finite)

const CallLine = Schema.Struct({
  call: Schema.String,
  nth: Schema.optionalKey(Schema.Int),
  request: Schema.Union([Recorded, Turn])
})

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
  readonly nth?: number
  readonly request: Request | typeof Turn.Type
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

/**
 * The first line of a file.
 *
 * @category constants
 * @since 0.1.0
 */
export const header = JSON.stringify({ cassette: version })

/**
 * Returns the recorded answer to a request: that of the same request, or else that of a turn with which the request
 * ends.
 *
 * @category accessors
 * @since 0.1.0
 */
export const find = (entries: ReadonlyArray<Entry>, request: Request): Entry | undefined => {
  const text = Address.textOf(request)
  const call = Address.addressOf(text)
  const same = entries.find((entry) => entry.call === call && Address.textOf(entry.request) === text)
  if (same !== undefined || request.method !== "streamText") return same
  const messages = Turns.messagesOf(request.prompt).map((message) => Address.textOf(message))
  let longest: Entry | undefined
  for (const entry of entries) {
    if (!("turn" in entry.request)) continue
    const { turn } = entry.request
    if (longest !== undefined && "turn" in longest.request && turn.length <= longest.request.turn.length) continue
    const end = messages.slice(messages.length - turn.length)
    if (end.length === turn.length && turn.every((message, index) => Address.textOf(message) === end[index])) {
      longest = entry
    }
  }
  return longest
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
      if (Address.addressOf(Address.textOf(decoded.request)) !== decoded.call) {
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
    (texts) => [header, ...texts, ""].join("\n")
  )

/**
 * Says why no recorded call answers a request: the most similar request, and the first place where it differs.
 *
 * @category accessors
 * @since 0.1.0
 */
export const explain = (entries: ReadonlyArray<Entry>, request: Request): string => {
  const text = Address.textOf(request)
  const same = entries.filter((entry) => Address.textOf(entry.request) === text).length
  if (same > 0) return `The request was recorded ${same === 1 ? "once" : `${same} times`}, and is made once more`
  let nearest: { readonly entry: Entry; readonly differences: ReadonlyArray<string> } | undefined
  for (const entry of entries) {
    const differences = differ("request", entry.request, "turn" in entry.request ? turnOf(request) : request)
    if (nearest === undefined || differences.length < nearest.differences.length) nearest = { entry, differences }
  }
  return nearest === undefined
    ? "No call was recorded"
    : `No recorded call has this request. The nearest is ${nearest.entry.call}, which differs at ${
      nearest.differences.slice(0, 3).join("; at ")
    }`
}

/** What a copied request can be compared with. */
const turnOf = ({ method, prompt }: Request) => ({ method, turn: Turns.turnOf(Turns.messagesOf(prompt)) })

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

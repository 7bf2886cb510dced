/**
 * The file of a cassette: a line that names its version, then for each call a line with its request, a line for each
 * array of parts, and a line that says how it ended.
 *
 * Of several calls with the same request the second has the number 2, the third 3. If a file has two calls with the same
 * request and number, the last one counts.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Address from "./address.ts"
import type * as Turns from "./turns.ts"

const Model = Schema.Struct({
  method: Schema.Literals(["generateText", "generateObject", "streamText"]),
  prompt: Schema.Json,
  tools: Schema.Json,
  toolChoice: Schema.Json,
  responseFormat: Schema.Json
})

const Embedding = Schema.Struct({
  method: Schema.Literals(["embed", "embedMany"]),
  inputs: Schema.Array(Schema.String)
})

const ToolCall = Schema.Struct({ method: Schema.Literal("tool"), name: Schema.String, params: Schema.Json })

const Turn = Schema.Struct({
  method: Schema.Literal("streamText"),
  turn: Schema.Array(Schema.Struct({ role: Schema.String, content: Schema.Array(Schema.Json) }))
})

/**
 * The request of a model call as JSON.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelRequest extends Schema.Schema.Type<typeof Model> {}

/**
 * The request of an embedding as JSON.
 *
 * @category models
 * @since 0.1.0
 */
export interface EmbeddingRequest extends Schema.Schema.Type<typeof Embedding> {}

/**
 * The request of a tool call as JSON.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolRequest extends Schema.Schema.Type<typeof ToolCall> {}

/**
 * The messages that a model call of a copied run answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface TurnRequest {
  readonly method: "streamText"
  readonly turn: ReadonlyArray<Turns.Message>
}

/**
 * A request that a program makes.
 *
 * @category models
 * @since 0.1.0
 */
export type Request = ModelRequest | EmbeddingRequest | ToolRequest

const After = Schema.optionalKey(Schema.Finite)

const CallLine = Schema.Struct({
  call: Schema.String,
  nth: Schema.optionalKey(Schema.Int.check(Schema.isGreaterThan(1))),
  request: Schema.Union([Model, Turn, Embedding, ToolCall])
})

const PartsLine = Schema.Struct({ after: After, parts: Schema.NonEmptyArray(Schema.Json) })

const EndLine = Schema.Union([
  Schema.Struct({ after: After, end: Schema.Literals(["done", "cut", "interrupted"]) }),
  Schema.Struct({ after: After, end: Schema.Literal("failed"), error: AiError.AiError }),
  Schema.Struct({ after: After, end: Schema.Literal("died"), defect: Schema.Defect({ excludeCause: true }) })
])

/**
 * How a call ended: with its last part (`done`), with an error, or before its answer has ended, because its consumer left
 * (`cut`) or its fiber was interrupted.
 *
 * @category models
 * @since 0.1.0
 */
export type End = typeof EndLine.Type

/**
 * Parts that arrived together, and how many milliseconds they were waited for.
 *
 * @category models
 * @since 0.1.0
 */
export type Arrived = typeof PartsLine.Type

/**
 * A recorded call. `key` is the text of its request, and `text` is its part of the file.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  readonly call: string
  readonly nth: number
  readonly key: string
  readonly request: Request | TurnRequest
  readonly arrived: ReadonlyArray<Arrived>
  readonly end: End
  readonly text: string
}

const version = 1

const json = <S extends Schema.Codec<unknown, unknown>>(schema: S) => Schema.fromJsonString(Schema.toCodecJson(schema))

const decodeHeader = Schema.decodeResult(json(Schema.Struct({ cassette: Schema.Finite })))

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
export const header: string = JSON.stringify({ cassette: version })

/**
 * Where a file is damaged, and how. `call` is the call that is damaged, if it can be told.
 *
 * @category models
 * @since 0.1.0
 */
export interface Damage {
  readonly line: number
  readonly call: string | undefined
  readonly description: string
}

interface Open {
  readonly call: string
  readonly nth: number
  readonly request: Request | TurnRequest
  readonly key: string
  readonly arrived: Array<Arrived>
  readonly rows: Array<string>
}

/**
 * Reads a file.
 *
 * @category conversions
 * @since 0.1.0
 */
export const read = Effect.fnUntraced(function*(text: string): Effect.fn.Return<ReadonlyArray<Entry>, Damage> {
  const rows = text.split(/\r?\n/)
  const entries = new Map<string, Entry>()
  let open: Open | undefined
  const damaged = (line: number, description: string): Effect.Effect<never, Damage> =>
    Effect.fail({ line, call: open === undefined ? undefined : nameOf(open), description })
  const decoded = <A>(line: number, result: Result.Result<A, Schema.SchemaError>): Effect.Effect<A, Damage> =>
    Result.isFailure(result) ? damaged(line, result.failure.message) : Effect.succeed(result.success)
  const first = decodeHeader(rows[0])
  if (Result.isFailure(first)) return yield* damaged(1, "This file is not a cassette")
  if (first.success.cassette !== version) {
    return yield* damaged(1, `The cassette has version ${first.success.cassette}, and this package reads ${version}`)
  }
  for (let index = 1; index < rows.length; index++) {
    const row = rows[index]
    if (row === "") continue
    const line = index + 1
    const any = decodeAny(row)
    if (Result.isFailure(any)) return yield* damaged(line, "The line is not a JSON object")
    const kind = "call" in any.success ? "call" : "parts" in any.success ? "parts" : "end"
    if (kind === "call" && open !== undefined) return yield* damaged(line, "Expected parts or the end of the call")
    if (kind !== "call" && open === undefined) return yield* damaged(line, "Expected a call")
    if (kind === "call") {
      const { call, nth = 1, request } = yield* decoded(line, lines.call(row))
      const key = Address.textOf(request)
      if (Address.addressOf(key) !== call) {
        return yield* Effect.fail({
          line,
          call,
          description: `The request of call ${call} was changed after it was recorded`
        })
      }
      open = { call, nth, request, key, arrived: [], rows: [row] }
    } else if (open !== undefined && kind === "parts") {
      open.arrived.push(yield* decoded(line, lines.parts(row)))
      open.rows.push(row)
    } else if (open !== undefined) {
      const end = yield* decoded(line, lines.end(row))
      const { arrived, call, key, nth, request } = open
      entries.set(keyOf(open), { arrived, call, end, key, nth, request, text: [...open.rows, row].join("\n") })
      open = undefined
    }
  }
  return open === undefined
    ? Array.from(entries.values())
    : yield* damaged(rows.length, `The file ends within call ${nameOf(open)}`)
})

/**
 * Returns the name of a call: its address, and its number if it is not the first with its request.
 *
 * @category accessors
 * @since 0.1.0
 */
export const nameOf = ({ call, nth }: Pick<Entry, "call" | "nth">): string => nth === 1 ? call : `${call} (${nth})`

/**
 * Returns the key of an entry in its file.
 *
 * @category accessors
 * @since 0.1.0
 */
export const keyOf = ({ key, nth }: Pick<Entry, "key" | "nth">): string => `${nth} ${key}`

const encodeEnd = Schema.encodeEffect(json(EndLine))

/**
 * Creates the entry of a call that has ended.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeEntry = (
  request: Request,
  key: string,
  nth: number,
  arrived: ReadonlyArray<Arrived>,
  end: End
): Effect.Effect<Entry> =>
  Effect.map(Effect.orDie(encodeEnd(end)), (last) => {
    const call = Address.addressOf(key)
    const rows = [
      JSON.stringify({ call, ...nth > 1 && { nth }, request }),
      ...arrived.map((array) => JSON.stringify(array)),
      last
    ]
    return { arrived, call, end, key, nth, request, text: rows.join("\n") }
  })

/**
 * Writes a file.
 *
 * @category conversions
 * @since 0.1.0
 */
export const write = (entries: Iterable<Entry>): string =>
  [header, ...Array.from(entries, ({ text }) => text), ""].join("\n")

/**
 * Rows of a file, decoded with a schema, with the lines that they stand on.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Csv from "effect/encoding/Csv"
import * as Yaml from "effect/encoding/Yaml"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaAST from "effect/SchemaAST"
import * as Stream from "effect/Stream"

/**
 * @category models
 * @since 0.1.0
 */
export type Format = "jsonl" | "json" | "yaml" | "csv"

/**
 * A row, and the line on which it begins, if that is known.
 *
 * @category models
 * @since 0.1.0
 */
export interface Row<out A> {
  readonly value: A
  readonly line: number | undefined
}

/**
 * Where a text is wrong, and how.
 *
 * @category models
 * @since 0.1.0
 */
export interface Damage {
  readonly line: number | undefined
  readonly description: string
}

/**
 * Returns the format that the name of a file ends with.
 *
 * @category accessors
 * @since 0.1.0
 */
export const formatOf = (path: string): Format | undefined => {
  switch (/\.([a-z]+)$/i.exec(path)?.[1].toLowerCase()) {
    case "jsonl":
    case "ndjson":
      return "jsonl"
    case "json":
      return "json"
    case "yaml":
    case "yml":
      return "yaml"
    case "csv":
      return "csv"
  }
  return undefined
}

/**
 * Decodes the rows of a text. It fails at the first row that is wrong.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decode = <A, I>(
  text: string,
  schema: Schema.Codec<A, I>,
  format: Format
): Effect.Effect<ReadonlyArray<Row<A>>, Damage> => {
  const rows = format === "csv" ? csv(text, optionalKeys(schema)) : Effect.fromResult(readers[format](text))
  // the cells of a table are texts
  const codec = format === "csv" ? Schema.toCodecStringTree(schema) : Schema.toCodecJson(schema)
  const decodeRow = Schema.decodeUnknownResult(codec as Schema.Codec<A, unknown>)
  return Effect.flatMap(rows, (rows) =>
    Effect.forEach(rows, ({ line, value }) =>
      Result.match(decodeRow(value), {
        onSuccess: (value) => Effect.succeed({ value, line }),
        onFailure: ({ message }) => Effect.fail<Damage>({ line, description: message })
      })))
}

type Read = (text: string) => Result.Result<ReadonlyArray<Row<unknown>>, Damage>

const parseJson = Schema.decodeResult(Schema.fromJsonString(Schema.Unknown))

const json: Read = (text) =>
  Result.flatMap(jsonValue(withoutMark(text), undefined), (value) => sequence(value, () => undefined))

const jsonValue = (text: string, line: number | undefined): Result.Result<unknown, Damage> =>
  Result.mapError(parseJson(text), () => ({ line, description: "This is not JSON" }))

const jsonl: Read = (text) => {
  const rows: Array<Row<unknown>> = []
  const lines = withoutMark(text).split(/\r\n|\r|\n/)
  for (let index = 0; index < lines.length; index++) {
    if (lines[index].trim() === "") continue
    const line = index + 1
    const value = jsonValue(lines[index], line)
    if (Result.isFailure(value)) return Result.fail(value.failure)
    rows.push({ value: value.success, line })
  }
  return Result.succeed(rows)
}

const yaml: Read = (text) => {
  const parsed = Result.try(() => Yaml.parse(withoutMark(text)))
  if (Result.isFailure(parsed)) {
    const message = Predicate.isError(parsed.failure) ? parsed.failure.message : String(parsed.failure)
    const [, said = message, line] = /^(.*) at line (\d+)$/s.exec(message) ?? []
    return Result.fail({ line: line === undefined ? undefined : Number(line), description: said })
  }
  const lines = itemLines(withoutMark(text))
  const length = Array.isArray(parsed.success) ? parsed.success.length : 0
  // lines of a text in the document may look like entries of the sequence
  return sequence(parsed.success, (index) => lines.length === length ? lines[index] : undefined)
}

/** The lines on which the entries of the outermost sequence begin. */
const itemLines = (text: string): ReadonlyArray<number> => {
  const lines = text.split(/\r\n|\r|\n/)
  const first = lines.find((line) => /^\s*-(\s|$)/.test(line))
  const indent = first === undefined ? "" : first.slice(0, first.indexOf("-"))
  return lines.flatMap((line, index) =>
    line.startsWith(`${indent}- `) || line.trimEnd() === `${indent}-` ? [index + 1] : []
  )
}

const sequence = (
  value: unknown,
  lineOf: (index: number) => number | undefined
): Result.Result<ReadonlyArray<Row<unknown>>, Damage> =>
  Array.isArray(value)
    ? Result.succeed(value.map((value, index) => ({ value, line: lineOf(index) })))
    : Result.fail({ line: undefined, description: "Expected a list of cases" })

const readers = { json, jsonl, yaml } satisfies Record<Exclude<Format, "csv">, Read>

const withoutMark = (text: string): string => text.replace(/^\ufeff/, "")

const csv = (
  text: string,
  optional: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Row<unknown>>, Damage> =>
  Stream.make(text).pipe(
    Stream.pipeThroughChannel(Csv.decodeString()),
    Stream.runCollect,
    Effect.mapError(({ line, message }): Damage => ({ line, description: message })),
    Effect.flatMap((records) => {
      let line = 1
      const rows: Array<Row<unknown>> = []
      let header: ReadonlyArray<string> | undefined
      for (const cells of records) {
        const begins = line
        // a cell in quotes may have several lines
        line += 1 + cells.reduce((sum, cell) => sum + (cell.match(/\r\n|\r|\n/g)?.length ?? 0), 0)
        if (cells.length === 1 && cells[0].trim() === "") continue
        if (header === undefined) {
          header = cells.map((name) => name.trim())
          const twice = header.find((name, index, all) => all.indexOf(name) !== index)
          if (twice !== undefined) {
            return Effect.fail({ line: begins, description: `Two columns are called \`${twice}\`` })
          }
          continue
        }
        if (cells.length !== header.length) {
          return Effect.fail({
            line: begins,
            description: `The row has ${cells.length} cells, and there are ${header.length} columns`
          })
        }
        const value = Object.fromEntries(
          header.flatMap((name, index) => cells[index] === "" && optional.includes(name) ? [] : [[name, cells[index]]])
        )
        rows.push({ value, line: begins })
      }
      return Effect.succeed(rows)
    })
  )

/** The fields that may be missing: CSV has no other way to leave out a cell than to leave it empty. */
const optionalKeys = (schema: Schema.Constraint): ReadonlyArray<string> => {
  const encoded = SchemaAST.toEncoded(schema.ast)
  return SchemaAST.isObjects(encoded)
    ? encoded.propertySignatures.flatMap(({ name, type }) =>
      typeof name === "string" && SchemaAST.isOptional(type) ? [name] : []
    )
    : []
}

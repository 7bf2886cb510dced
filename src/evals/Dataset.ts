/**
 * Datasets: the cases of an experiment.
 *
 * A dataset is an array of cases. It is written in the program, read from a file (JSONL, JSON, YAML or CSV) with schemas
 * of its inputs and references, or made from stored sessions and from cassettes.
 *
 * **Example** (The cases of a split)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Dataset } from "effect-agents/evals"
 *
 * const text = `
 * - { id: norway, input: Norway, expected: Oslo, split: test, tags: [europe] }
 * - { id: kenya, input: Kenya, expected: Nairobi, split: test }
 * - { id: peru, input: Peru, expected: Lima, split: train }
 * `
 *
 * const program = Effect.gen(function*() {
 *   const cases = yield* Dataset.parse(text, { format: "yaml", input: Schema.String })
 *   yield* Console.log(Dataset.select(cases, { split: "test" }).map(({ id }) => id).join(", "))
 * })
 *
 * Effect.runPromise(program)
 * // => norway, kenya
 * ```
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as SchemaGetter from "effect/SchemaGetter"
import type * as Session from "../Session.ts"
import * as SessionStore from "../SessionStore.ts"
import * as Recorded from "./internal/recorded.ts"
import * as Rows from "./internal/rows.ts"
import * as Turns from "./internal/turns.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * One question to a task. `id` is unique in its dataset, and stays the same from one report to the next. `expected` is
 * the reference that scorers compare with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case<out I = unknown, out X = unknown> {
  readonly id: string
  readonly input: I
  /** The reference answer. Default: none; scorers that compare with it then give no score. */
  readonly expected?: X | undefined
  /** The tags, to select cases by. Default: none. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** The part of the dataset, such as `"test"`. Default: none. */
  readonly split?: string | undefined
}

// =============================================================================
// Combinators
// =============================================================================

/**
 * Returns the cases that have one of the ids, one of the tags, and are of the split; of these three, what is not given
 * excludes no case.
 *
 * @category combinators
 * @since 0.1.0
 */
export const select = <C extends Case>(
  cases: ReadonlyArray<C>,
  options: {
    /** The wanted ids. Default: all. */
    readonly ids?: ReadonlyArray<string> | undefined
    /** The wanted tags. Default: all, and cases without tags. */
    readonly tags?: ReadonlyArray<string> | undefined
    /** The wanted part of the dataset. Default: all. */
    readonly split?: string | undefined
  }
): ReadonlyArray<C> =>
  cases.filter((one) =>
    (options.ids === undefined || options.ids.includes(one.id)) &&
    (options.tags === undefined || options.tags.some((tag) => one.tags?.includes(tag) === true)) &&
    (options.split === undefined || options.split === one.split)
  )

// =============================================================================
// Files
// =============================================================================

/**
 * A dataset cannot be read. `line` counts from 1; it is missing where nobody knows it.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidDataset extends Schema.Error<InvalidDataset>("effect-agents/evals/Dataset/InvalidDataset")({
  _tag: Schema.tag("InvalidDataset"),
  path: Schema.String,
  line: Schema.optionalKey(Schema.Int),
  description: Schema.String
}) {
  override get message(): string {
    return `\`${this.path}\`${this.line === undefined ? "" : `, line ${this.line}`}: ${this.description}`
  }
}

/**
 * The formats of datasets:
 *
 * - `"jsonl"`: a JSON value on each line; empty lines are skipped.
 * - `"json"`: an array.
 * - `"yaml"`: a sequence, in one document.
 * - `"csv"`: a line with the names of the columns, then a row for each case. An empty cell of an optional field is a
 *   missing field.
 *
 * @category files
 * @since 0.1.0
 */
export type Format = Rows.Format

/**
 * The schemas of the inputs and the references of cases.
 *
 * @category files
 * @since 0.1.0
 */
export interface Schemas<I, X> {
  readonly input: Schema.Codec<I, any>
  /** The schema of the references. Default: a text. */
  readonly expected?: Schema.Codec<X, any> | undefined
}

/**
 * Reads the cases of a text. A case has the fields `id` and `input`, and may have `expected`, `tags` and `split`. In CSV
 * the tags are separated by spaces. Two cases with one id are an error.
 *
 * @category files
 * @since 0.1.0
 */
export const parse = <I, X = string>(
  text: string,
  options: Schemas<I, X> & {
    readonly format: Format
    /** The name of the text in errors. Default: `"dataset"`. */
    readonly path?: string | undefined
  }
): Effect.Effect<ReadonlyArray<Case<I, X>>, InvalidDataset> =>
  Effect.gen(function*() {
    const { format, path = "dataset" } = options
    // a text is what the type says when there is no schema
    const expected = options.expected ?? Schema.String as Schema.Codec<any>
    const schema = Schema.Struct({
      id: Schema.NonEmptyString,
      input: options.input,
      expected: Schema.optionalKey(expected),
      tags: Schema.optionalKey(format === "csv" ? Tags : Schema.Array(Schema.String)),
      split: Schema.optionalKey(Schema.String)
    })
    const rows = yield* decoded(text, schema, format, path)
    const lines = new Map<string, number | undefined>()
    for (const { line, value: { id } } of rows) {
      if (lines.has(id)) {
        const first = lines.get(id)
        const where = first === undefined ? "" : `, as in line ${first}`
        return yield* invalid(path, line, `The id \`${id}\` is there already${where}`)
      }
      lines.set(id, line)
    }
    return rows.map(({ value }) => value as Case<I, X>)
  })

/** The tags in a cell. */
const Tags = Schema.String.pipe(Schema.decodeTo(Schema.Array(Schema.String), {
  decode: SchemaGetter.transform((cell: string) => cell.split(/\s+/).filter((tag) => tag !== "")),
  encode: SchemaGetter.transform((tags: ReadonlyArray<string>) => tags.join(" "))
}))

/**
 * Reads the cases of a file. Its name ends with its format: `.jsonl`, `.ndjson`, `.json`, `.yaml`, `.yml` or `.csv`.
 *
 * @category files
 * @since 0.1.0
 */
export const read = <I, X = string>(
  path: string,
  schemas: Schemas<I, X>
): Effect.Effect<ReadonlyArray<Case<I, X>>, InvalidDataset | PlatformError.PlatformError, FileSystem.FileSystem> =>
  Effect.flatMap(contents(path), ({ format, text }) => parse(text, { ...schemas, format, path }))

/**
 * Reads the rows of a file with a schema of your own, for datasets that were not made for this package. Map them to
 * cases.
 *
 * @category files
 * @since 0.1.0
 */
export const rows = <A, I>(
  path: string,
  schema: Schema.Codec<A, I>
): Effect.Effect<ReadonlyArray<A>, InvalidDataset | PlatformError.PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const { format, text } = yield* contents(path)
    return (yield* decoded(text, schema, format, path)).map(({ value }) => value)
  })

const contents = Effect.fnUntraced(function*(path: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const format = Rows.formatOf(path)
  if (format === undefined) {
    return yield* invalid(path, undefined, "The name ends with none of .jsonl, .ndjson, .json, .yaml, .yml and .csv")
  }
  return { format, text: yield* fileSystem.readFileString(path) }
})

const decoded = <A, I>(
  text: string,
  schema: Schema.Codec<A, I>,
  format: Format,
  path: string
): Effect.Effect<ReadonlyArray<Rows.Row<A>>, InvalidDataset> =>
  Effect.mapError(Rows.decode(text, schema, format), ({ description, line }) => damaged(path, line, description))

const damaged = (path: string, line: number | undefined, description: string): InvalidDataset =>
  new InvalidDataset({ path, ...(line !== undefined && { line }), description })

const invalid = (path: string, line: number | undefined, description: string) =>
  Effect.fail(damaged(path, line, description))

// =============================================================================
// Conversations
// =============================================================================

/**
 * Returns a case for each user message of a session. Its input is the conversation up to this message, and its
 * reference is the text that the assistant has answered. An id is that of the session with the number of the message:
 * `user-7#2`. Messages without an answer have no reference.
 *
 * @category conversations
 * @since 0.1.0
 */
export const fromSession = (session: Session.Session): ReadonlyArray<Case<Prompt.Prompt, string>> =>
  Turns.of(session.history.content).map(({ answer, prompt }, index) => ({
    id: `${session.id}#${index + 1}`,
    input: prompt,
    ...(answer !== "" && { expected: answer })
  }))

/**
 * Loads sessions from the store, and returns their cases. A session that does not exist has none.
 *
 * @category conversations
 * @since 0.1.0
 */
export const fromSessions = (
  ids: ReadonlyArray<string>
): Effect.Effect<ReadonlyArray<Case<Prompt.Prompt, string>>, Session.SessionError, SessionStore.SessionStore> =>
  Effect.gen(function*() {
    const store = yield* SessionStore.SessionStore
    return (yield* Effect.forEach(ids, (id) => store.load(id))).flatMap(fromSession)
  })

/**
 * Returns a case for each run that a cassette has recorded: its input is the prompt of the run's first call, without
 * system messages, and its reference is the text of the run's last call. The ids are the addresses of the first calls. A
 * prompt that was recorded several times is one case, with the first answer.
 *
 * @category conversations
 * @since 0.1.0
 */
export const fromCassette = (
  path: string
): Effect.Effect<
  ReadonlyArray<Case<Prompt.Prompt, string>>,
  InvalidDataset | PlatformError.PlatformError,
  FileSystem.FileSystem
> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const text = yield* fileSystem.readFileString(path)
    const recorded = yield* Effect.mapError(
      Recorded.read(text),
      ({ description, line }) => damaged(path, line, description)
    )
    return recorded.map(({ answer, id, prompt }) => ({ id, input: prompt, ...(answer !== "" && { expected: answer }) }))
  })

/**
 * The tools of the agent, all within one folder: they list, search and read, and write a note.
 *
 * A refusal is a `Refused`, which the model reads.
 */
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Layer from "effect/Layer"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { RE2JS } from "re2js"
import * as Folder from "./Folder.ts"
import * as Glob from "./Glob.ts"
import * as Text from "./Text.ts"

const described = <S extends Schema.Top>(schema: S, description: string) =>
  Schema.optionalKey(schema.annotate({ description }))

const between = (minimum: number, maximum: number) => Schema.Int.check(Schema.isBetween({ minimum, maximum }))

/** Lists files and folders. */
export const ListFiles = Tool.make("list_files", {
  description: "Lists the files and folders in a folder, one path per line; folders end with a slash. " +
    "Use it to find files by name or extension, to see the structure of the project, or to count files.",
  parameters: Schema.Struct({
    path: described(Schema.String, "Folder to list, relative to the root folder. Default: the root folder"),
    glob: described(Schema.String, "Glob pattern that the file paths must match, such as **/*.ts or src/**/*.md"),
    depth: described(between(1, 32), "How many levels of folders to list. Default: 2, or all with a glob"),
    max_entries: described(between(1, 1000), "Maximum number of entries to list. Default: 200")
  }),
  success: Schema.String,
  failure: Folder.Refused,
  failureMode: "return"
}).annotate(Tool.Readonly, true)

/** Searches the text of files. */
export const SearchText = Tool.make("search_text", {
  description: "Searches the contents of all text files for a text or regular expression and returns the matching " +
    "lines as path:line: text. Use it to find where something is defined, used, mentioned or tested.",
  parameters: Schema.Struct({
    query: Schema.String.check(Schema.isMinLength(1), Schema.isMaxLength(200)).annotate({
      description: "Text to search for. Upper and lower case are the same, unless the query has an upper case letter"
    }),
    regex: described(
      Schema.Boolean,
      "Whether the query is a regular expression of RE2: no lookaround, no backreferences. Default: false, a literal text"
    ),
    path: described(Schema.String, "File or folder to search in, relative to the root folder. Default: everywhere"),
    max_results: described(between(1, 200), "Maximum number of matching lines. Default: 50")
  }),
  success: Schema.String,
  failure: Folder.Refused,
  failureMode: "return"
}).annotate(Tool.Readonly, true)

/** Reads a part of a file. */
export const ReadFile = Tool.make("read_file", {
  description: "Reads a text file, or a part of it, and returns its lines with their numbers. " +
    "Use it to see the content of a file, or the code around a line that a search found.",
  parameters: Schema.Struct({
    path: Schema.String.annotate({ description: "File to read, relative to the root folder" }),
    from_line: described(
      Schema.Int.check(Schema.isGreaterThanOrEqualTo(1)),
      "Number of the first line to read. Default: 1"
    ),
    line_count: described(between(1, 400), "How many lines to read. Default: 100")
  }),
  success: Schema.String,
  failure: Folder.Refused,
  failureMode: "return"
}).annotate(Tool.Readonly, true)

/** Writes a new file. It is the only tool that changes anything, so the user is asked before. */
export const WriteNote = Tool.make("write_note", {
  description: "Writes a note into a new Markdown file in the folder. The user is asked first.",
  parameters: Schema.Struct({
    name: Schema.String.check(Schema.isPattern(/^[A-Za-z0-9][A-Za-z0-9 _-]{0,63}\.md$/)).annotate({
      description: "Name of the new file, such as summary.md, without a folder"
    }),
    text: Schema.String.check(Schema.isMaxLength(20_000)).annotate({ description: "What the note says" })
  }),
  success: Schema.String,
  failure: Folder.Refused,
  failureMode: "return",
  needsApproval: true
})

/** The toolkit of the agent. */
export const toolkit = Toolkit.make(ListFiles, SearchText, ReadFile, WriteNote)

/** Layer of the tools' handlers. */
export const layer: Layer.Layer<
  Tool.HandlersFor<typeof toolkit.tools>,
  never,
  Folder.Folder
> = toolkit.toLayer(Effect.gen(function*() {
  const folder = yield* Folder.Folder

  const listFiles = Effect.fnUntraced(function*(params: typeof ListFiles.parametersSchema.Type) {
    const { glob, max_entries: limit = 200, path = "." } = params
    const depth = params.depth ?? (glob === undefined ? 2 : undefined)
    const matches = glob === undefined ? () => true : yield* matcher(glob)
    const found = yield* folder.walk(path, depth).pipe(
      Stream.filter((entry) => matches(entry) && (glob === undefined || entry.type !== "folder")),
      Stream.runFold(
        (): Found => ({ shown: [], total: 0 }),
        (found, entry) => {
          if (found.shown.length < limit) found.shown.push(show(entry))
          found.total++
          return found
        }
      )
    )
    if (found.total === 0) return glob === undefined ? `${path} is empty` : `No file in ${path} matches ${glob}`
    const more = found.total - found.shown.length
    return [
      ...found.shown.sort(),
      ...(more === 0 ? [] : [`(${more} more entries not shown: give a path or a narrower glob)`])
    ].join("\n")
  })

  const searchText = Effect.fnUntraced(function*(
    params: typeof SearchText.parametersSchema.Type,
    preliminary: (progress: string) => Effect.Effect<void>
  ) {
    const { max_results: limit = 50, path = "." } = params
    const matches = yield* textMatcher(params)
    const start = yield* folder.find(path)
    const files = start.type === "file"
      ? Stream.succeed(start)
      : Stream.filter(folder.walk(path), (entry) => entry.type === "file")
    const endsAt = (yield* Clock.currentTimeMillis) + longestSearch
    const found: Array<string> = []
    const unread = { secret: 0, other: 0 }
    let searched = 0
    let isLate = false

    const searchLines = Effect.fnUntraced(function*(path: string, lines: ReadonlyArray<string>) {
      for (let index = 0; index < lines.length && found.length <= limit; index++) {
        if (matches.line(lines[index])) {
          found.push(`${Text.oneLine(path)}:${index + 1}: ${Text.clip(lines[index].trim(), 200)}`)
        }
        if (index % checkEvery !== checkEvery - 1) continue
        // Whoever interrupts the search does not wait for the end of a big file
        yield* Effect.yieldNow
        isLate = (yield* Clock.currentTimeMillis) >= endsAt
        if (isLate) return
      }
    })
    yield* files.pipe(
      Stream.takeWhile(() => found.length <= limit && !isLate),
      Stream.runForEach(Effect.fnUntraced(function*(file) {
        // The rest of the folder that was listed when the search came to its end
        if (found.length > limit || isLate) return
        const text = yield* Effect.result(file.text)
        // The refusal of one file of many is counted; that of the file that was asked for is told
        if (Result.isSuccess(text)) yield* searchLines(file.path, matches.lines(text.success))
        else if (start.type === "file") return yield* text.failure
        else unread[Folder.isSecret(text.failure) ? "secret" : "other"]++
        isLate = isLate || (yield* Clock.currentTimeMillis) >= endsAt
        if (++searched % progressEvery === 0) {
          yield* preliminary(`searched ${searched} files, ${count(found.length, "matching line")} so far`)
          yield* Effect.yieldNow
        }
      }))
    )

    const notes = [
      ...(found.length > limit
        ? [`only the first ${limit} matching lines are shown: narrow the query or the path`]
        : []),
      ...(isLate ? [`the search was ended after ${longestSearch / 1000} seconds: narrow the path`] : []),
      ...(unread.other > 0 ? [`${count(unread.other, "file")} not searched: binary, too big or not readable`] : []),
      ...(unread.secret > 0
        ? [`${count(unread.secret, "file")} not searched: the name says that it may hold secrets`]
        : [])
    ]
    const shown = found.length === 0
      ? [`No line matches ${params.query} (${count(searched - unread.other - unread.secret, "file")} searched)`]
      : found.slice(0, limit)
    return [...shown, ...notes.map((note) => `(${note})`)].join("\n")
  })

  const readFile = Effect.fnUntraced(function*(params: typeof ReadFile.parametersSchema.Type) {
    const { from_line: from = 1, line_count: wanted = 100 } = params
    const path = params.path.replace(/^(\.\/)+/, "")
    const lines = yield* folder.lines(path)
    if (lines.length === 0) return `${path} is empty`
    if (from > lines.length) {
      return yield* new Folder.Refused({
        path,
        problem: `there is no line ${from}, the file has ${count(lines.length, "line")}`,
        advice: "begin at an earlier line"
      })
    }
    const shown = lines.slice(from - 1, from - 1 + wanted)
    const last = from - 1 + shown.length
    return [
      `${path}, lines ${from}-${last} of ${lines.length}`,
      ...shown.map((line, index) => `${String(from + index).padStart(5)}  ${Text.clip(line, 500)}`)
    ].join("\n")
  })

  return toolkit.of({
    list_files: (params) => listFiles(params),
    search_text: (params, context) => searchText(params, context.preliminary),
    read_file: (params) => readFile(params),
    write_note: ({ name, text }) => Effect.as(folder.create(name, text), `${name} is written`)
  })
}))

interface Found {
  readonly shown: Array<string>
  total: number
}

/** A progress result is given after this many files. */
const progressEvery = 50

const count = (n: number, noun: string): string => `${n} ${noun}${n === 1 ? "" : "s"}`

const show = (entry: Folder.Entry): string => {
  const name = Text.oneLine(entry.path)
  return entry.type === "folder" ? `${name}/` : entry.type === "link" ? `${name} (link, not followed)` : name
}

const matcher = Effect.fnUntraced(function*(pattern: string) {
  const glob = Glob.make(pattern.includes("/") ? pattern.replace(/^\.?\//, "") : `**/${pattern}`)
  if (glob === undefined) {
    return yield* new Folder.Refused({
      path: Text.clip(pattern, 100),
      problem: `a glob of more than ${Glob.maxLength} characters or ${Glob.maxAlternatives} alternatives`,
      advice: "use a simpler glob"
    })
  }
  return (entry: Folder.Entry) => Glob.match(glob, entry.path)
})

/** Only the beginning of a line is searched, so that a file of one endless line costs no more than others. */
const searchedLength = 1000

/** After so many lines the search looks at the clock, and lets others work. */
const checkEvery = 1000

/** A search ends after this time with what it has found, in milliseconds. */
const longestSearch = 10_000

/** How a text is searched: which of its lines are worth a look, and which of these match. */
interface TextMatcher {
  readonly lines: (text: string) => ReadonlyArray<string>
  readonly line: (line: string) => boolean
}

const textMatcher = Effect.fnUntraced(function*(
  { query, regex }: typeof SearchText.parametersSchema.Type
): Effect.fn.Return<TextMatcher, Folder.Refused> {
  const isLower = query === query.toLowerCase()
  if (regex !== true) {
    const wanted = query.normalize()
    const isIn = (text: string) => {
      const normal = text.normalize()
      return (isLower ? normal.toLowerCase() : normal).includes(wanted)
    }
    return {
      // Most texts have it nowhere
      lines: (text) => isIn(text) ? Folder.linesOf(text) : [],
      line: (line) => isIn(line.slice(0, searchedLength))
    }
  }
  const refused = (problem: string, advice: string) => new Folder.Refused({ path: query, problem, advice })
  const flags = isLower ? RE2JS.CASE_INSENSITIVE : 0
  const pattern = yield* Effect.try({
    try: () => RE2JS.compile(query, flags),
    catch: (error) =>
      refused(
        `not a regular expression (${error instanceof Error ? error.message.replace("(?i)", "") : String(error)})`,
        "correct it, without lookaround and backreferences, or set regex to false"
      )
  })
  if (pattern.programSize() > longestProgram) {
    return yield* refused("a regular expression that repeats too much", "use a simpler one or a literal text")
  }
  // What matches a line matches the whole text too, unless the expression is about the ends of a text
  const whole = /\\[AzZ]|\(\?(?!:)/.test(query) ? undefined : RE2JS.compile(query, flags | RE2JS.MULTILINE)
  return {
    lines: (text) => {
      const isQuick = whole !== undefined && text.length * whole.programSize() < longestLook && !text.includes("\r")
      return isQuick && !whole.test(text) ? [] : Folder.linesOf(text)
    },
    line: (line) => pattern.test(line.slice(0, searchedLength))
  }
})

/** Searching takes time in proportion to the instructions of an expression; it cannot be interrupted within a line. */
const longestProgram = 2000

/** A text is looked at as a whole where its length times the instructions of the expression is less than this. */
const longestLook = 10_000_000

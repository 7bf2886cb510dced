/**
 * The tools of the agent: list, search and read, all within one folder, and write a note into it.
 *
 * What they refuse is a `Refused` that goes back to the model.
 */
import * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Glob from "effect/Glob"
import type * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Folder from "./Folder.ts"

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
    regex: described(Schema.Boolean, "Whether the query is a regular expression. Default: false, a literal text"),
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

/** Writes a new file: the one tool that changes anything, so somebody is asked before. */
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

/** The tools, to be given to an agent. */
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
    const matches = glob === undefined ? () => true : matcher(glob)
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
    const matches = yield* lineMatcher(params)
    const start = yield* folder.find(path)
    const files = start.type === "file"
      ? Stream.succeed(start)
      : Stream.filter(folder.walk(path), (entry) => entry.type === "file")
    const found: Array<string> = []
    let searched = 0
    let unread = 0

    const searchFile = Effect.fnUntraced(function*(file: Folder.Entry) {
      // The refusal of one file of many is counted; that of the file that was asked for is told
      const lines = yield* start.type === "file"
        ? folder.lines(file.path)
        : Effect.orElseSucceed(folder.lines(file.path), () => undefined)
      searched++
      if (lines === undefined) {
        unread++
      } else {
        for (let index = 0; index < lines.length && found.length <= limit; index++) {
          if (matches(lines[index])) found.push(`${file.path}:${index + 1}: ${shorten(lines[index].trim(), 200)}`)
        }
      }
      if (searched % progressEvery === 0) {
        yield* preliminary(`searched ${searched} files, ${count(found.length, "matching line")} so far`)
      }
    })
    yield* files.pipe(
      Stream.takeUntil(() => found.length > limit),
      Stream.runForEach((file) => found.length > limit ? Effect.void : searchFile(file))
    )

    const notes = [
      ...(found.length > limit
        ? [`only the first ${limit} matching lines are shown: narrow the query or the path`]
        : []),
      ...(unread > 0 ? [`${count(unread, "file")} not searched: binary, too big or not readable`] : [])
    ]
    const shown = found.length === 0
      ? [`No line matches ${params.query} (${count(searched - unread, "file")} searched)`]
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
      ...shown.map((line, index) => `${String(from + index).padStart(5)}  ${shorten(line, 500)}`)
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

const show = (entry: Folder.Entry): string =>
  entry.type === "folder" ? `${entry.path}/` : entry.type === "link" ? `${entry.path} (link, not followed)` : entry.path

const shorten = (text: string, length: number): string => text.length <= length ? text : `${text.slice(0, length)}…`

const matcher = (pattern: string): (entry: Folder.Entry) => boolean => {
  const glob = Glob.make(pattern.includes("/") ? pattern.replace(/^\.?\//, "") : `**/${pattern}`)
  return (entry) => Glob.match(glob, entry.path)
}

/** Only the beginning of a line is searched, so that a file of one endless line costs no more than others. */
const searchedLength = 1000

const lineMatcher = Effect.fnUntraced(function*(params: typeof SearchText.parametersSchema.Type) {
  const isLower = params.query === params.query.toLowerCase()
  if (params.regex !== true) {
    const query = params.query.normalize()
    return (line: string) => {
      const start = line.slice(0, searchedLength).normalize()
      return (isLower ? start.toLowerCase() : start).includes(query)
    }
  }
  if (isExpensive(params.query)) {
    return yield* new Folder.Refused({
      path: params.query,
      problem: "a regular expression that can take for ever: repetitions within a repetition, or more than three",
      advice: "use a simpler regular expression or a literal text"
    })
  }
  const pattern = yield* Effect.try({
    try: () => new RegExp(params.query, isLower ? "iu" : "u"),
    catch: (error) =>
      new Folder.Refused({
        path: params.query,
        problem: `not a regular expression (${error instanceof Error ? error.message : String(error)})`,
        advice: "correct it, or set regex to false"
      })
  })
  return (line: string) => pattern.test(line.slice(0, searchedLength))
})

/** An expression cannot be interrupted, so one that may backtrack for ever is not begun. */
const isExpensive = (pattern: string): boolean => {
  const groups: Array<boolean> = []
  let within = false
  let repetitions = 0
  let inClass = false
  for (let index = 0; index < pattern.length; index++) {
    const character = pattern[index]
    if (character === "\\") {
      index++
    } else if (inClass) {
      inClass = character !== "]"
    } else if (character === "[") {
      inClass = true
    } else if (character === "(") {
      groups.push(within)
      within = false
    } else if (character === ")") {
      if (within && "*+{".includes(pattern[index + 1] ?? " ")) return true
      within = (groups.pop() ?? false) || within
    } else if (character === "|") {
      within = true
    } else if (character === "*" || character === "+" || character === "{") {
      within = true
      repetitions++
    }
  }
  return repetitions > 3
}

/**
 * A folder, and what may be seen of it.
 *
 * Everything is named by its path from the folder, with `/`. Nothing outside is
 * reached: no absolute path, no `..`, no symbolic link that leads out. What is
 * refused is a `Refused`, which says what was wrong and what to do instead.
 *
 * It keeps a model from straying. It is no jail: a link that another program puts
 * in place between the check and the read is not noticed.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import * as Ignore from "./Ignore.ts"

/** A file or folder inside: `path` is relative, `.` is the folder itself. */
export interface Entry {
  readonly path: string
  readonly type: "file" | "folder" | "link"
}

/** Something that a tool does not do, in words for the one who asked. */
export class Refused extends Schema.Error<Refused>("ask/Folder/Refused")({
  _tag: Schema.tag("Refused"),
  path: Schema.String,
  problem: Schema.String,
  advice: Schema.String
}) {
  override get message(): string {
    return `${this.path}: ${this.problem}; ${this.advice}`
  }
}

/** The folder itself cannot be used. */
export class FolderUnusable extends Schema.Error<FolderUnusable>("ask/Folder/FolderUnusable")({
  _tag: Schema.tag("FolderUnusable"),
  folder: Schema.String,
  problem: Schema.String
}) {
  override get message(): string {
    return `Cannot use the folder ${this.folder}: ${this.problem}`
  }
}

/** Service for the folder that the agent answers questions about. */
export class Folder extends Context.Service<Folder, {
  readonly name: string
  readonly root: string
  /** What is at this path. */
  readonly find: (path: string) => Effect.Effect<Entry, Refused>
  /**
   * Everything under a folder, folders before what is in them, in the order of
   * their names. Folders in `skipped` and what a `.gitignore` excludes are left
   * out, links are not followed.
   */
  readonly walk: (from: string, depth?: number) => Stream.Stream<Entry, Refused>
  /** The lines of a text file. */
  readonly lines: (path: string) => Effect.Effect<ReadonlyArray<string>, Refused>
  /** Writes a new file of this name; what is there is never changed. */
  readonly create: (name: string, text: string) => Effect.Effect<void, Refused>
}>()("ask/Folder") {}

/** The largest file that is read, in bytes. */
export const maxFileSize = 2 * 1024 * 1024

/** Folders of these names are not walked into. */
export const skipped: ReadonlySet<string> = new Set([".git", "node_modules", "dist"])

const utf8 = (bytes: Uint8Array) => Effect.try(() => new TextDecoder("utf-8", { fatal: true }).decode(bytes))

const refused = (path: string, problem: string, advice: string) => new Refused({ path, problem, advice })

const isWithin = (path: Path.Path, root: string, real: string): boolean => {
  const relative = path.relative(root, real)
  return relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative)
}

/** Why a file or folder cannot be used. */
export const reasonOf = (error: PlatformError.PlatformError, what: string): string => {
  switch (error.reason._tag) {
    case "NotFound":
      return `there is no such ${what}`
    case "PermissionDenied":
      return `no permission to use this ${what}`
    default:
      return `this ${what} cannot be used (${error.reason._tag})`
  }
}

const make = Effect.fnUntraced(function*(directory: string) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path

  const unusable = (problem: string) => new FolderUnusable({ folder: directory, problem })
  const isFolder = yield* Effect.mapError(
    Effect.map(fs.stat(directory), (info) => info.type === "Directory"),
    (error) => unusable(reasonOf(error, "folder"))
  )
  if (!isFolder) return yield* unusable("it is not a folder")
  const root = yield* Effect.mapError(fs.realPath(directory), (error) => unusable(reasonOf(error, "folder")))
  yield* Effect.mapError(fs.readDirectoryEntries(root), (error) => unusable(reasonOf(error, "folder")))

  const segmentsOf = Effect.fnUntraced(function*(name: string) {
    if (name.includes("\0")) return yield* refused(name.replaceAll("\0", "\\0"), "not a path", "leave the NUL out")
    const inside = path.isAbsolute(name) ? path.relative(root, name) : name
    const segments = inside.split(path.sep).filter((segment) => segment !== "" && segment !== ".")
    if (segments.includes("..") || path.isAbsolute(inside)) {
      return yield* refused(name, "outside of the folder", "give a path that begins in the folder and has no `..`")
    }
    return segments
  })

  // Each component is looked at, so that nothing is told about what lies behind a link that leads out
  const locate = Effect.fnUntraced(function*(name: string) {
    const segments = yield* segmentsOf(name)
    let real = root
    for (const segment of segments) {
      real = yield* Effect.mapError(
        fs.realPath(path.join(real, segment)),
        (error) => refused(name, reasonOf(error, "file or folder"), "use list_files to see what there is")
      )
      if (!isWithin(path, root, real)) {
        return yield* refused(name, "a symbolic link that leads out of the folder", "choose another file")
      }
    }
    const info = yield* Effect.mapError(
      fs.stat(real),
      (error) => refused(name, reasonOf(error, "file or folder"), "choose another one")
    )
    return { name: segments.length === 0 ? "." : segments.join("/"), real, info }
  })

  const find = Effect.fnUntraced(function*(name: string) {
    const { info, name: clean } = yield* locate(name)
    if (info.type === "Directory") return { path: clean, type: "folder" } satisfies Entry as Entry
    if (info.type === "File") return { path: clean, type: "file" } satisfies Entry as Entry
    return yield* refused(name, "neither a file nor a folder", "choose a regular file")
  })

  const rulesIn = (directory: string, prefix: string) =>
    fs.readFileString(path.join(directory, ".gitignore")).pipe(
      Effect.map((text) => Ignore.parse(text, prefix)),
      Effect.orElseSucceed(() => [])
    )

  const entriesOf = Effect.fnUntraced(function*(directory: Pending) {
    const found = yield* fs.readDirectoryEntries(directory.real)
    const own = found.some((entry) => entry.name === ".gitignore")
      ? yield* rulesIn(directory.real, directory.path === "." ? "" : `${directory.path}/`)
      : []
    const rules = own.length === 0 ? directory.rules : [...directory.rules, ...own]
    const entries: Array<Entry> = []
    for (const { name, type } of found) {
      const entry: Entry = {
        path: directory.path === "." ? name : `${directory.path}/${name}`,
        type: type === "Directory" ? "folder" : type === "SymbolicLink" ? "link" : "file"
      }
      const isKnown = type === "Directory" || type === "SymbolicLink" || type === "File"
      const isSkipped = entry.type === "folder" && skipped.has(name)
      if (isKnown && !isSkipped && !Ignore.ignores(rules, entry)) entries.push(entry)
    }
    entries.sort((a, b) => a.path < b.path ? -1 : 1)
    return { entries, rules }
  })

  // The rules of the folders between the root and a folder that the walk begins in
  const rulesAbove = Effect.fnUntraced(function*(name: string) {
    const segments = name === "." ? [] : name.split("/")
    const above = segments.map((_, index) => segments.slice(0, index))
    const rules = yield* Effect.forEach(
      above,
      (folder) => rulesIn(path.join(root, ...folder), folder.map((segment) => `${segment}/`).join(""))
    )
    return rules.flat()
  })

  const walk = (from: string, depth = Number.POSITIVE_INFINITY): Stream.Stream<Entry, Refused> =>
    Stream.unwrap(Effect.gen(function*() {
      const start = yield* locate(from)
      if (start.info.type !== "Directory") {
        return yield* refused(from, "not a folder", "give a folder, or use read_file")
      }
      const first: Pending = { path: start.name, real: start.real, depth: 1, rules: yield* rulesAbove(start.name) }
      return Stream.paginate<ReadonlyArray<Pending>, Entry, Refused>(
        [first],
        ([directory, ...others]) =>
          Effect.matchEffect(entriesOf(directory), {
            onSuccess: ({ entries, rules }) => {
              const inner = directory.depth >= depth ? [] : entries.filter((entry) => entry.type === "folder")
              const pending = inner.map((entry): Pending => ({
                path: entry.path,
                real: path.join(root, ...entry.path.split("/")),
                depth: directory.depth + 1,
                rules
              }))
              return Effect.succeed([entries, rest([...pending, ...others])])
            },
            // A folder within that cannot be read is no reason to see nothing at all
            onFailure: (error) =>
              directory === first
                ? Effect.fail(refused(from, reasonOf(error, "folder"), "choose another folder"))
                : Effect.succeed([[], rest(others)])
          })
      )
    }))

  const lines = Effect.fnUntraced(function*(name: string) {
    const { info, real } = yield* locate(name)
    if (info.type === "Directory") {
      return yield* refused(name, "this is a folder", "use list_files to see what is in it")
    }
    if (info.type !== "File") return yield* refused(name, "not a regular file", "choose a regular file")
    if (info.size > BigInt(maxFileSize)) {
      const megabytes = (Number(info.size) / 1024 / 1024).toFixed(1)
      return yield* refused(name, `too big to read (${megabytes} MB, the limit is 2 MB)`, "choose a smaller file")
    }
    const bytes = yield* Effect.mapError(
      fs.readFile(real),
      (error) => refused(name, reasonOf(error, "file"), "choose another file")
    )
    const binary = refused(name, "a binary file, or text that is not UTF-8", "choose a text file")
    if (bytes.includes(0)) return yield* binary
    const text = yield* Effect.mapError(utf8(bytes), () => binary)
    const split = text.split(/\r\n|\n|\r/)
    if (split[split.length - 1] === "") split.pop()
    return split
  })

  // The flag neither overwrites nor follows a link
  const create = (name: string, text: string) =>
    /[\\/\0]/.test(name) || name === "." || name === ".."
      ? refused(name, "not the name of a file", "give a name without a folder")
      : Effect.mapError(
        fs.writeFileString(path.join(root, name), text, { flag: "wx" }),
        (error) =>
          error.reason._tag === "AlreadyExists"
            ? refused(name, "there is such a file already", "choose another name")
            : refused(name, reasonOf(error, "folder"), "tell the user")
      )

  return Folder.of({ name: path.basename(root) || root, root, find, walk, lines, create })
})

const rest = (pending: ReadonlyArray<Pending>): Option.Option<ReadonlyArray<Pending>> =>
  pending.length === 0 ? Option.none() : Option.some(pending)

interface Pending {
  readonly path: string
  readonly real: string
  readonly depth: number
  readonly rules: ReadonlyArray<Ignore.Rule>
}

/** Layer that opens a folder; it fails when there is none, or when it cannot be read. */
export const layer = (
  directory: string
): Layer.Layer<Folder, FolderUnusable, FileSystem.FileSystem | Path.Path> => Layer.effect(Folder)(make(directory))

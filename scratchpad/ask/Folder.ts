/**
 * A folder, and the parts of it that may be seen.
 *
 * Everything is named by its path from the folder, with `/`. Nothing outside of it is reached: no absolute path, no
 * `..`, no symbolic link that leads out. Files that git ignores are left out, and files that may hold secrets are named
 * but not read, unless the user has asked for them. A refusal is a `Refused`, which says what was wrong and what to do
 * instead.
 *
 * It keeps a model from straying, but it is not a jail: a link that another program creates between the check and the
 * read is not noticed.
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
import * as Disk from "./Disk.ts"
import * as Ignore from "./Ignore.ts"
import * as Secrets from "./Secrets.ts"

/** A file or folder inside: `path` is relative, `.` is the folder itself. */
export interface Entry {
  readonly path: string
  readonly type: "file" | "folder" | "link"
  /** The text of the file. */
  readonly text: Effect.Effect<string, Refused>
}

/** Exceptions from the rules, which the user may choose. */
export interface Options {
  /** Shows what a `.gitignore` excludes, `.git`, and the folders in `skipped`. */
  readonly includeIgnored?: boolean | undefined
  /** Shows the content of files that may hold secrets, by their names. */
  readonly includeSecrets?: boolean | undefined
}

/** Something that a tool refuses to do, explained to the caller. */
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
  /** Returns the entry at this path. */
  readonly find: (path: string) => Effect.Effect<Entry, Refused>
  /**
   * All entries under a folder, a folder before its content, in the order of their names. Ignored entries are left out,
   * and links are not followed.
   */
  readonly walk: (from: string, depth?: number) => Stream.Stream<Entry, Refused>
  /** The lines of a text file. */
  readonly lines: (path: string) => Effect.Effect<ReadonlyArray<string>, Refused>
  /** Writes a new file with this name. An existing file is never changed. */
  readonly create: (name: string, text: string) => Effect.Effect<void, Refused>
}>()("ask/Folder") {}

/** The largest file that is read, in bytes. */
export const maxFileSize = 2 * 1024 * 1024

/** The largest `.gitignore` whose rules count, in bytes. */
export const maxIgnoreSize = 64 * 1024

/** Folders of these names are ignored, whatever a `.gitignore` says. */
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

/** Whether a file was not read because it may hold secrets. */
export const isSecret = (refused: Refused): boolean => refused.problem === mayHoldSecrets

const mayHoldSecrets = "a file that may hold secrets"

const make = Effect.fnUntraced(function*(directory: string, options: Options) {
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

  // Each component is checked, so that nothing is said about the target of a link that leads out
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
    const isFolder = info.type === "Directory"
    // A link has its own name, and the name of its target
    const behind = path.relative(root, real).split(path.sep).filter((segment) => segment !== "")
    for (const way of [segments, behind]) {
      if (yield* isIgnored(way, isFolder)) {
        return yield* refused(name, "ignored by git", "the user can allow it with --include-ignored")
      }
    }
    const isSecret = [segments, behind].some((way) => Secrets.isSecret(way.join("/")))
    return { name: segments.length === 0 ? "." : segments.join("/"), real, behind, info, isSecret }
  })

  const find = Effect.fnUntraced(function*(name: string) {
    const { info, isSecret, name: clean, real } = yield* locate(name)
    if (info.type === "Directory") return folderAt(clean)
    if (info.type === "File") return fileAt(clean, real, isSecret)
    return yield* refused(name, "neither a file nor a folder", "choose a regular file")
  })

  const folderAt = (name: string): Entry => ({
    path: name,
    type: "folder",
    text: refused(name, "this is a folder", "use list_files to see what is in it")
  })

  const fileAt = (name: string, real: string, isSecret: boolean): Entry => ({
    path: name,
    type: "file",
    text: isSecret && options.includeSecrets !== true
      ? refused(name, mayHoldSecrets, "the user can allow it with --include-secrets")
      : textOf(name, real)
  })

  const linkAt = (name: string): Entry => ({
    path: name,
    type: "link",
    text: Effect.flatMap(find(name), (entry) => entry.text)
  })

  const textOf = Effect.fnUntraced(function*(name: string, real: string) {
    const bytes = yield* Effect.mapError(
      Disk.readFile(real, maxFileSize),
      ({ problem, reason }) => refused(name, problem, adviceOf[reason])
    )
    const binary = refused(name, "a binary file, or text that is not UTF-8", "choose a text file")
    if (bytes.includes(0)) return yield* binary
    return yield* Effect.mapError(utf8(bytes), () => binary)
  })

  const lines = (name: string) =>
    Effect.map(
      Effect.flatMap(find(name), (entry) => entry.text),
      linesOf
    )

  // ---------------------------------------------------------------------------
  // the ignored entries
  // ---------------------------------------------------------------------------

  const warned = new Set<string>()

  /** The rules of a folder. Rules that cannot be read do not apply, and that is said once. */
  const rulesIn = (segments: ReadonlyArray<string>): Effect.Effect<ReadonlyArray<Ignore.Rule>> => {
    const name = [...segments, ".gitignore"].join("/")
    return Disk.readFile(path.join(root, ...segments, ".gitignore"), maxIgnoreSize).pipe(
      Effect.flatMap(utf8),
      Effect.map((text) => Ignore.parse(text, segments.map((segment) => `${segment}/`).join(""))),
      Effect.catch((error) => {
        if (error._tag === "Unreadable" && error.reason === "missing" || warned.has(name)) return Effect.succeed([])
        warned.add(name)
        const problem = error._tag === "Unreadable" ? error.problem : "not a text in UTF-8"
        return Effect.as(Effect.logWarning(`The rules of ${name} do not count: ${problem}`), [])
      })
    )
  }

  const isSkipped = (name: string, isFolder: boolean) => name === ".git" || isFolder && skipped.has(name)

  const isIgnored = Effect.fnUntraced(function*(segments: ReadonlyArray<string>, isFolder: boolean) {
    if (options.includeIgnored === true) return false
    const rules: Array<Ignore.Rule> = []
    for (const [index, name] of segments.entries()) {
      rules.push(...yield* rulesIn(segments.slice(0, index)))
      const isLast = index === segments.length - 1
      if (isSkipped(name, !isLast || isFolder)) return true
      if (Ignore.ignores(rules, segments.slice(0, index + 1).join("/"), !isLast || isFolder)) return true
    }
    return false
  })

  /** The rules of the folders between the root and the folder in which a walk begins. */
  const rulesAbove = (segments: ReadonlyArray<string>) =>
    Effect.map(
      Effect.forEach(segments, (_, index) => rulesIn(segments.slice(0, index))),
      (rules) => rules.flat()
    )

  // ---------------------------------------------------------------------------
  // walking
  // ---------------------------------------------------------------------------

  const entriesOf = Effect.fnUntraced(function*(directory: Pending) {
    const found = yield* Disk.readFolder(path.join(root, ...directory.segments))
    const own = options.includeIgnored !== true && found.some((entry) => entry.name === ".gitignore")
      ? yield* rulesIn(directory.segments)
      : []
    const rules = own.length === 0 ? directory.rules : [...directory.rules, ...own]
    const entries: Array<Entry> = []
    for (const entry of found) {
      const { name } = entry
      const isFolder = entry.isDirectory()
      const at = [...directory.segments, name].join("/")
      if (options.includeIgnored !== true && (isSkipped(name, isFolder) || Ignore.ignores(rules, at, isFolder))) {
        continue
      }
      if (isFolder) entries.push(folderAt(at))
      else if (entry.isSymbolicLink()) entries.push(linkAt(at))
      else if (entry.isFile()) entries.push(fileAt(at, path.join(root, at), Secrets.isSecret(at)))
    }
    entries.sort((a, b) => a.path < b.path ? -1 : 1)
    return { entries, rules }
  })

  const walk = (from: string, depth = Number.POSITIVE_INFINITY): Stream.Stream<Entry, Refused> =>
    Stream.unwrap(Effect.gen(function*() {
      const start = yield* locate(from)
      if (start.info.type !== "Directory") {
        return yield* refused(from, "not a folder", "give a folder, or use read_file")
      }
      // Behind a link, the names of the target decide what is ignored and secret
      const segments = start.behind
      const rules = options.includeIgnored === true ? [] : yield* rulesAbove(segments)
      const first: Pending = { segments, depth: 1, rules }
      const pending = [first]
      return Stream.paginate<undefined, Entry, Refused>(undefined, () => {
        const directory = pending.pop()
        if (directory === undefined) return Effect.succeed([[], Option.none()])
        return Effect.matchEffect(entriesOf(directory), {
          onSuccess: ({ entries, rules }) => {
            for (const { path, type } of directory.depth >= depth ? [] : entries.toReversed()) {
              if (type === "folder") pending.push({ segments: path.split("/"), depth: directory.depth + 1, rules })
            }
            return Effect.succeed([entries, Option.some(undefined)])
          },
          // One folder that cannot be read does not end the whole walk
          onFailure: (error) =>
            directory === first
              ? Effect.fail(refused(from, error.problem, "choose another folder"))
              : Effect.succeed([[], Option.some(undefined)])
        })
      })
    }))

  // With this flag a write neither overwrites nor follows a link
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

/** Returns the lines of a text. A line break at its end begins no further line. */
export const linesOf = (text: string): ReadonlyArray<string> => {
  const split = text.split(/\r\n|\n|\r/)
  if (split[split.length - 1] === "") split.pop()
  return split
}

const adviceOf: Record<Disk.Unreadable["reason"], string> = {
  missing: "use list_files to see what there is",
  denied: "choose another file",
  "not-regular": "choose a regular file",
  "too-big": "choose a smaller file",
  failed: "choose another file"
}

interface Pending {
  readonly segments: ReadonlyArray<string>
  readonly depth: number
  readonly rules: ReadonlyArray<Ignore.Rule>
}

/** Layer that opens a folder. It fails if there is no such folder, or if it cannot be read. */
export const layer = (
  directory: string,
  options: Options = {}
): Layer.Layer<Folder, FolderUnusable, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(Folder)(make(directory, options))

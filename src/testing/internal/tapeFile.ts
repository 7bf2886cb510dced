/**
 * The file of a cassette on the disk, written by any number of processes.
 *
 * Each call is written when it has ended, before its consumer hears of the end. The file is written beside its place and
 * renamed, so whoever reads it finds all of a call or nothing. While a process writes, it holds a lock: a file beside the
 * cassette with a token that is never used twice. A process that dies in that moment leaves its lock. Whoever sees the
 * same token for `patience` takes the lock away, and removes what the dead process has left.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as FileSystem from "effect/FileSystem"
import * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Tape from "./tape.ts"

/**
 * A file is not a cassette, is damaged, or is of a newer version.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidCassette extends Schema.Error<InvalidCassette>("effect-agents/testing/Cassette/InvalidCassette")({
  _tag: Schema.tag("InvalidCassette"),
  path: Schema.String,
  /** The first line is 1. */
  line: Schema.Int,
  /** The address of the recorded call that is damaged. Default: the damage is not within a call. */
  call: Schema.optional(Schema.String),
  description: Schema.String
}) {
  override get message(): string {
    const call = this.call === undefined ? "" : `, in call ${this.call}`
    return `\`${this.path}\`, line ${this.line}${call}: ${this.description}`
  }
}

/**
 * @category errors
 * @since 0.1.0
 */
export type Failure = InvalidCassette | PlatformError.PlatformError

type Change = (entries: Map<string, Tape.Entry>) => void

/** How long a lock may belong to one write. A write takes some milliseconds. */
const patience = 5000

/** How long a write waits for other processes that write in turn. */
const maximumWait = 60_000

/**
 * Returns the calls in a file.
 *
 * @category accessors
 * @since 0.1.0
 */
export const read = (fs: FileSystem.FileSystem, path: string): Effect.Effect<ReadonlyArray<Tape.Entry>, Failure> =>
  Effect.flatMap(fs.readFileString(path), (text) =>
    text === ""
      ? Effect.fail(new InvalidCassette({ path, line: 1, call: undefined, description: "The file is empty" }))
      : decode(path, text, ""))

/** Decodes a file, or what stands after its known beginning. */
const decode = (
  path: string,
  text: string,
  known: string
): Effect.Effect<ReadonlyArray<Tape.Entry>, InvalidCassette> => {
  if (text === "") return Effect.succeed([])
  const lines = known === "" ? 0 : known.split("\n").length - 2
  return Effect.mapError(
    Tape.read(known === "" ? text : `${Tape.header}\n${text.slice(known.length)}`),
    ({ call, description, line }) => new InvalidCassette({ path, line: line + lines, call, description })
  )
}

/**
 * Writes to one file. What several calls want to change meanwhile is written together.
 *
 * @category constructors
 * @since 0.1.0
 */
export class Writer {
  private readonly fs: FileSystem.FileSystem
  private readonly path: string
  private readonly turns = Semaphore.makeUnsafe(1)
  private readonly waiting: Array<{ readonly change: Change; written: Exit.Exit<void, Failure> | undefined }> = []
  /** The file as it was last seen. A file of a thousand calls is not decoded again for each of them. */
  private known: { readonly text: string; readonly entries: ReadonlyMap<string, Tape.Entry> } = {
    text: "",
    entries: new Map()
  }

  constructor(fs: FileSystem.FileSystem, path: string) {
    this.fs = fs
    this.path = path
  }

  /** Returns the calls in the file, which may be missing or empty. */
  readonly read: Effect.Effect<ReadonlyMap<string, Tape.Entry>, Failure> = Effect.suspend(() =>
    this.fs.readFileString(this.path).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed("")),
      Effect.flatMap((text) => {
        const { known } = this
        if (text === known.text) return Effect.succeed(known.entries)
        // what others have written is mostly at the end
        const isLonger = known.text.endsWith("\n") && text.startsWith(known.text)
        const decoded = isLonger ? decode(this.path, text, known.text) : decode(this.path, text, "")
        return Effect.map(decoded, (found) => {
          const entries = new Map(isLonger ? known.entries : [])
          for (const entry of found) entries.set(Tape.keyOf(entry), entry)
          this.known = { text, entries }
          return entries
        })
      })
    )
  )

  change(change: Change): Effect.Effect<void, Failure> {
    const own: typeof this.waiting[number] = { change, written: undefined }
    const write = Effect.suspend(() => {
      if (own.written !== undefined) return own.written
      const together = this.waiting.splice(0)
      const rewrite = this.rewrite(together.map(({ change }) => change))
      return Effect.flatMap(Effect.exit(locked(this.fs, this.path, rewrite)), (written) => {
        for (const one of together) one.written = written
        return written
      })
    })
    return Effect.uninterruptible(Effect.suspend(() => {
      this.waiting.push(own)
      return this.turns.withPermits(1)(write)
    }))
  }

  private rewrite(changes: ReadonlyArray<Change>) {
    return (isHeld: Effect.Effect<boolean, PlatformError.PlatformError>): Effect.Effect<boolean, Failure> =>
      Effect.flatMap(this.read, (before) => {
        const entries = new Map(before)
        for (const change of changes) change(entries)
        const text = Tape.write(entries.values())
        const temporary = `${this.path}.${SecureRandom.uuidV4Unsafe()}.tmp`
        return Effect.andThen(
          this.fs.writeFileString(temporary, text),
          Effect.flatMap(isHeld, (held) => {
            // whoever has taken the lock away may have removed it
            if (!held) return Effect.as(Effect.ignore(this.fs.remove(temporary)), false)
            return Effect.map(this.fs.rename(temporary, this.path), () => {
              this.known = { text, entries }
              return true
            })
          })
        )
      })
  }
}

// a test clock does not move while a process waits for another one
const real = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

/** Runs a write with the lock, and again if the lock was taken away before it was done. */
const locked = Effect.fnUntraced(function*(
  fs: FileSystem.FileSystem,
  path: string,
  write: (isHeld: Effect.Effect<boolean, PlatformError.PlatformError>) => Effect.Effect<boolean, Failure>
): Effect.fn.Return<void, Failure> {
  for (let attempt = 0; attempt < 10; attempt++) {
    const token = SecureRandom.uuidV4Unsafe()
    const isHeld = Effect.map(holderOf(fs, path), (holder) => holder === token)
    const isWritten = yield* Effect.acquireUseRelease(
      take(fs, path, token),
      () => write(isHeld),
      () => Effect.ignore(Effect.flatMap(isHeld, (held) => held ? fs.remove(lockOf(path)) : Effect.void))
    )
    if (isWritten) return
  }
  return yield* busy(path)
})

const lockOf = (path: string): string => `${path}.lock`

const holderOf = (fs: FileSystem.FileSystem, path: string) =>
  Effect.suspend(() => fs.readFileString(lockOf(path))).pipe(
    Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined)
  )

const take = (fs: FileSystem.FileSystem, path: string, token: string): Effect.Effect<void, Failure> =>
  real(Effect.gen(function*() {
    const begin = yield* Clock.currentTimeMillis
    let seen: { readonly holder: string; readonly since: number } | undefined
    const create = Effect.suspend(() => Effect.as(fs.writeFileString(lockOf(path), token, { flag: "wx" }), true))
    while (true) {
      const isTaken = yield* create.pipe(
        Effect.catchReason(
          "PlatformError",
          "NotFound",
          () => Effect.andThen(fs.makeDirectory(path.replace(/[/\\][^/\\]*$/, ""), { recursive: true }), create)
        ),
        Effect.catchIf(
          (error) => error.reason._tag === "AlreadyExists",
          () => Effect.succeed(false)
        )
      )
      if (isTaken) return
      const now = yield* Clock.currentTimeMillis
      const holder = yield* holderOf(fs, path)
      if (holder === undefined) continue
      if (now - begin > maximumWait) return yield* busy(path)
      if (seen?.holder !== holder) seen = { holder, since: now }
      else if (now - seen.since > patience) yield* takeAway(fs, path, token, holder)
      yield* Effect.sleep(Math.min(50, 2 + (now - begin) / 10))
    }
  }))

const busy = (path: string): Effect.Effect<never, PlatformError.PlatformError> =>
  Effect.fail(PlatformError.systemError({
    _tag: "Busy",
    module: "Cassette",
    method: "write",
    pathOrDescriptor: path,
    description: `Other processes write without a pause. If there are none, remove \`${lockOf(path)}\``
  }))

/** Of several processes one takes the lock away. It was that of the dead process, unless another one was faster. */
const takeAway = (fs: FileSystem.FileSystem, path: string, token: string, holder: string) =>
  Effect.gen(function*() {
    const away = `${lockOf(path)}.${token}`
    yield* fs.rename(lockOf(path), away)
    if ((yield* fs.readFileString(away)) !== holder) yield* Effect.ignore(fs.link(away, lockOf(path)))
    else yield* removeRest(fs, path)
    yield* fs.remove(away)
  }).pipe(Effect.catchReason("PlatformError", "NotFound", () => Effect.void))

/** What the dead process has written beside the file. */
const removeRest = Effect.fnUntraced(function*(fs: FileSystem.FileSystem, path: string) {
  const name = path.replace(/^.*[/\\]/, "")
  const directory = path.slice(0, path.length - name.length) || "."
  for (const found of yield* fs.readDirectory(directory)) {
    if (!found.startsWith(`${name}.`) || !found.endsWith(".tmp")) continue
    yield* Effect.ignore(fs.remove(path.slice(0, path.length - name.length) + found))
  }
})

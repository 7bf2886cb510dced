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
import type * as PlatformError from "effect/PlatformError"
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
  Effect.flatMap(fs.readFileString(path), (text) => decode(path, text))

/**
 * Returns the calls in a file that may be missing or empty.
 *
 * @category accessors
 * @since 0.1.0
 */
export const readIfThere = (
  fs: FileSystem.FileSystem,
  path: string
): Effect.Effect<ReadonlyArray<Tape.Entry>, Failure> =>
  fs.readFileString(path).pipe(
    Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed("")),
    Effect.flatMap((text) => text === "" ? Effect.succeed([]) : decode(path, text))
  )

const decode = (path: string, text: string) =>
  Effect.mapError(Tape.read(text), (damage) => new InvalidCassette({ path, ...damage }))

/**
 * Returns a function that changes the file. What several calls want to change meanwhile is written together.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makeWriter = (
  fs: FileSystem.FileSystem,
  path: string
): (change: Change) => Effect.Effect<void, Failure> => {
  const turns = Semaphore.makeUnsafe(1)
  const waiting: Array<{ readonly change: Change; written: Exit.Exit<void, Failure> | undefined }> = []
  return (change) => {
    const own: typeof waiting[number] = { change, written: undefined }
    const write = Effect.suspend(() => {
      if (own.written !== undefined) return own.written
      const together = waiting.splice(0)
      const changes = together.map(({ change }) => change)
      return Effect.flatMap(
        Effect.exit(locked(fs, path, (isHeld) => rewrite(fs, path, changes, isHeld))),
        (written) => {
          for (const one of together) one.written = written
          return written
        }
      )
    })
    return Effect.uninterruptible(Effect.suspend(() => {
      waiting.push(own)
      return turns.withPermits(1)(write)
    }))
  }
}

const rewrite = Effect.fnUntraced(function*(
  fs: FileSystem.FileSystem,
  path: string,
  changes: ReadonlyArray<Change>,
  isHeld: Effect.Effect<boolean, PlatformError.PlatformError>
): Effect.fn.Return<boolean, Failure> {
  const entries = new Map((yield* readIfThere(fs, path)).map((entry) => [Tape.keyOf(entry), entry]))
  for (const change of changes) change(entries)
  const temporary = `${path}.${SecureRandom.uuidV4Unsafe()}.tmp`
  yield* fs.writeFileString(temporary, Tape.write(entries.values()))
  if (yield* isHeld) {
    yield* fs.rename(temporary, path)
    return true
  }
  yield* fs.remove(temporary)
  return false
})

// a test clock does not move while a process waits for another one
const real = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.provideService(effect, Clock.Clock, Clock.Clock.defaultValue())

/** Runs a write with the lock, and again if the lock was taken away before it was done. */
const locked = Effect.fnUntraced(function*(
  fs: FileSystem.FileSystem,
  path: string,
  write: (isHeld: Effect.Effect<boolean, PlatformError.PlatformError>) => Effect.Effect<boolean, Failure>
): Effect.fn.Return<void, Failure> {
  while (true) {
    const token = SecureRandom.uuidV4Unsafe()
    const isHeld = Effect.map(holderOf(fs, path), (holder) => holder === token)
    const isWritten = yield* Effect.acquireUseRelease(
      take(fs, path, token),
      () => write(isHeld),
      () => Effect.ignore(Effect.flatMap(isHeld, (held) => held ? fs.remove(lockOf(path)) : Effect.void))
    )
    if (isWritten) return
  }
})

const lockOf = (path: string): string => `${path}.lock`

const holderOf = (fs: FileSystem.FileSystem, path: string) =>
  Effect.catchReason(fs.readFileString(lockOf(path)), "PlatformError", "NotFound", () => Effect.undefined)

const take = (fs: FileSystem.FileSystem, path: string, token: string): Effect.Effect<void, Failure> =>
  real(Effect.gen(function*() {
    const begin = yield* Clock.currentTimeMillis
    let seen: { readonly holder: string; readonly since: number } | undefined
    const create = Effect.as(fs.writeFileString(lockOf(path), token, { flag: "wx" }), true)
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

const busy = (path: string): Effect.Effect<never, InvalidCassette> =>
  Effect.fail(
    new InvalidCassette({
      path,
      line: 1,
      call: undefined,
      description: `Other processes write without a pause. If there are none, remove \`${lockOf(path)}\``
    })
  )

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

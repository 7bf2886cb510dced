/**
 * Sessions in a folder, shared by any number of processes, without a lock.
 *
 * The folder has one folder for each session, named by the hash of the session's id. It contains a record, which is the
 * whole session as JSON, and a head. The name of the head tells the version and the current record:
 *
 *     <hash>/3.<token>.json
 *     <hash>/3.<token>.head
 *
 * A save writes a new record, and renames the head from its old name to the new one. A rename fails if its source is
 * gone, and no token is ever used twice. So of several saves made from the same version exactly one succeeds, however
 * long another one was stopped in the middle, and nobody has to guess whether the owner of a lock is still alive. A
 * process that dies in a save leaves a record that no head names; the next save removes it.
 *
 * A first save creates the folder under another name and renames it, which fails if the session's folder exists. A
 * removal renames the folder before it deletes it. An expired session is replaced when it begins again, like any other.
 * A sweep renames its head to one of version 0 without a record: the head stays, and stands for an unknown session.
 *
 * The content of a save is on the disk before a name points to it: files and folders are synced.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as PlatformError from "effect/PlatformError"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { conflict, invalid, isCurrent, type Operation, unavailable } from "./change.ts"
import * as Expiry from "./expiry.ts"
import * as Listing from "./listing.ts"
import * as Names from "./names.ts"
import * as Record from "./record.ts"
import * as Versions from "./versions.ts"

/** The current save of a session. */
interface Head {
  readonly version: number
  readonly name: string
}

/** The content of a session's folder. */
interface Listing {
  readonly head: Head
  readonly files: ReadonlyArray<string>
}

/**
 * Creates the folder, and the operations on the sessions in it. Removes what dead processes have left.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  fs: FileSystem.FileSystem,
  directory: string,
  timeToLive: Duration.Input
): Effect.fn.Return<SessionStore.Options & SessionStore.ManyOptions, PlatformError.PlatformError> {
  yield* fs.makeDirectory(directory, { recursive: true })
  yield* tidy(fs, directory)
  const moment = Expiry.moment(timeToLive)

  const list = (operation: Operation, id: string | undefined, folder: string) =>
    fs.readDirectory(folder).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined),
      (names) => unavailable(operation, id, names),
      Effect.map((names) => names?.filter((name) => entry.test(name)))
    )

  /** Returns `undefined` if there is no such folder. */
  const look = Effect.fnUntraced(function*(operation: Operation, id: string | undefined, folder: string) {
    // a listing during a rename may show neither name of the head
    for (let attempt = 0; attempt < attempts; attempt++) {
      const files = yield* list(operation, id, folder)
      if (files === undefined) return undefined
      const head = headOf(files)
      if (head !== undefined) return { head, files } satisfies Listing as Listing
    }
    return yield* invalid(id, folder, "it has no head: something else has changed the folder")
  })

  /** Returns `undefined` if the session was never saved. */
  const find = Effect.fnUntraced(function*(operation: Operation, id: string, folder: string) {
    const found = yield* look(operation, id, folder)
    if (found === undefined) yield* checkUnknown(operation, id)
    return found
  })

  /** A folder that is missing is not an empty store, and neither is one that an older version has filled. */
  const checkUnknown = Effect.fnUntraced(function*(operation: Operation, id: string) {
    yield* unavailable(operation, id, fs.access(directory))
    const older = `effect-agents.session.${yield* Names.toEscaped(id)}.head`
    if (yield* unavailable(operation, id, fs.exists(`${directory}/${older}`))) {
      const description = "it was saved through a `KeyValueStore`, which this store does not read: load it with " +
        "`SessionStore.layerKeyValueStoreSingleProcess`, and save it to a store in another folder"
      return yield* invalid(id, older, description)
    }
  })

  /** The time at which a record without a time was written. Nobody writes to a record again. */
  const written = (path: string) =>
    Effect.map(fs.stat(path), ({ mtime }) => Option.getOrElse(mtime, () => new Date(0)).getTime())

  /** Returns `undefined` if the record is gone, because the next save removes it. */
  const read = Effect.fnUntraced(function*(operation: Operation, id: string, folder: string, head: Head) {
    if (head.version === 0) return Versions.nothing(id)
    const path = `${folder}/${head.name}.json`
    const found = yield* Effect.zip(fs.readFileString(path), written(path)).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined),
      (found) => unavailable(operation, id, found)
    )
    if (found === undefined) return undefined
    const kept = yield* Effect.mapError(Record.decode(...found), (error) => invalid(id, path, error.message))
    const { session } = kept
    if (session.id !== id) return yield* invalid(id, path, `it belongs to the session \`${session.id}\``)
    if (session.version !== head.version) {
      return yield* invalid(id, path, `it has version ${session.version}, not ${head.version}`)
    }
    return kept
  })

  const readLast = Effect.fnUntraced(function*(operation: Operation, id: string) {
    const folder = `${directory}/${yield* Names.toHash(id)}`
    const { expired } = yield* moment
    let before: Head | undefined
    while (true) {
      const found = yield* find(operation, id, folder)
      if (found === undefined) return Versions.nothing(id)
      const kept = yield* read(operation, id, folder, found.head)
      if (kept !== undefined) return kept.updated <= expired ? Versions.nothing(id) : kept
      if (found.head.name === before?.name) return yield* missing(id, folder, found.head)
      before = found.head
    }
  })

  const encode = (kept: Versions.Kept) =>
    Effect.mapError(Record.encode(kept), (error) => invalid(kept.session.id, "the session", error.message))

  const create = Effect.fnUntraced(function*(id: string, folder: string, name: string, record: string) {
    const made = `${directory}/new.${name}`
    yield* fs.makeDirectory(made)
    yield* Effect.gen(function*() {
      yield* write(fs, `${made}/${name}.json`, record)
      yield* write(fs, `${made}/${name}.head`, encodeId(id))
      yield* syncFolder(fs, made)
      yield* fs.rename(made, folder)
    }).pipe(Effect.onError(() => Effect.ignore(removeAll(fs, made))))
    yield* syncFolder(fs, directory)
  })

  const replace = Effect.fnUntraced(function*(folder: string, { files, head }: Listing, name: string, record: string) {
    yield* write(fs, `${folder}/${name}.json`, record)
    yield* syncFolder(fs, folder)
    yield* fs.rename(`${folder}/${head.name}.head`, `${folder}/${name}.head`)
    yield* syncFolder(fs, folder)
    // the record before this one, and the records of saves that can no longer succeed
    yield* Effect.forEach(files, (file) => file.endsWith(".json") ? drop(`${folder}/${file}`) : Effect.void, {
      discard: true
    })
  })

  const drop = (path: string) => Effect.ignore(fs.remove(path))

  /** The reason why a change failed: somebody else was faster, unless the head is still the one that it began with. */
  const failChange = Effect.fnUntraced(function*(
    operation: Operation,
    session: Session.Session,
    folder: string,
    found: Listing | undefined,
    name: string,
    otherwise: Session.SessionError
  ) {
    const head = (yield* find(operation, session.id, folder))?.head
    // the change is made, but perhaps not on the disk
    if (head?.name === name) return yield* otherwise
    yield* drop(`${folder}/${name}.json`)
    return yield* head?.name === found?.head.name ? otherwise : conflict(session, head?.version ?? 0)
  })

  /** Writes the result of a change to a session, if it is still the given one. */
  const change = Effect.fnUntraced(function*(
    operation: Operation,
    session: Session.Session,
    f: (kept: Versions.Kept, now: number) => Effect.Effect<Versions.Kept, Session.SessionError>
  ) {
    const { id } = session
    const folder = `${directory}/${yield* Names.toHash(id)}`
    const { expired, now } = yield* moment
    const found = yield* find(operation, id, folder)
    const kept = found === undefined ? Versions.nothing(id) : yield* read(operation, id, folder, found.head)
    if (kept === undefined) {
      return yield* failChange(operation, session, folder, found, "", missing(id, folder, found!.head))
    }
    const stored = kept.updated <= expired ? Versions.nothing(id) : kept
    if (!isCurrent(session, stored.session)) return yield* conflict(session, stored.session.version)
    const next = yield* f(stored, now)
    if (next.session.version === 0) return next.session
    const record = yield* encode(next)
    const name = `${next.session.version}.${SecureRandom.uuidV4Unsafe()}`
    const writing = found === undefined ? create(id, folder, name, record) : replace(folder, found, name, record)
    yield* unavailable(operation, id, writing).pipe(
      Effect.catch((error) => failChange(operation, session, folder, found, name, error)),
      // not interrupted once it has begun: an interrupted save has written everything, or nothing
      Effect.uninterruptible
    )
    return next.session
  })

  const remove = Effect.fnUntraced(function*(id: string) {
    const away = `${directory}/removed.${SecureRandom.uuidV4Unsafe()}`
    const moved = yield* fs.rename(`${directory}/${yield* Names.toHash(id)}`, away).pipe(
      Effect.as(true),
      Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed(false)),
      (moved) => unavailable("remove", id, moved)
    )
    if (!moved) return yield* checkUnknown("remove", id)
    yield* unavailable("remove", id, Effect.andThen(syncFolder(fs, directory), removeAll(fs, away)))
  }, Effect.uninterruptible)

  /** Returns the list entry of the session in the folder, or `undefined` if there is none. */
  const readSummary = Effect.fnUntraced(function*(operation: Operation, name: string) {
    const folder = `${directory}/${name}`
    let before: Head | undefined
    while (true) {
      const head = (yield* look(operation, undefined, folder))?.head
      if (head === undefined || head.version === 0) return undefined
      const path = `${folder}/${head.name}.json`
      // the first line, or the whole text of a record without lines
      const found = yield* Effect.zip(readLine(fs, path), written(path)).pipe(
        Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined),
        (found) => unavailable(operation, undefined, found)
      )
      if (found === undefined) {
        if (head.name === before?.name) return yield* missing(undefined, folder, head)
        before = head
        continue
      }
      const summary = yield* Effect.mapError(
        Record.decodeSummary(...found),
        (error) => invalid(undefined, path, error.message)
      )
      if ((yield* Names.toHash(summary.id)) !== name) {
        return yield* invalid(undefined, path, `it belongs to the session \`${summary.id}\``)
      }
      if (summary.version !== head.version) {
        return yield* invalid(undefined, path, `it has version ${summary.version}, not ${head.version}`)
      }
      return { folder, head, summary }
    }
  })

  /** Everything in the folder that can be read, including expired sessions. */
  const readAll = Effect.fnUntraced(function*(operation: "list" | "sweep") {
    const names = yield* unavailable(operation, undefined, fs.readDirectory(directory))
    const found = yield* Effect.forEach(
      names.filter((name) => hash.test(name)),
      (name) =>
        Listing.readable(
          operation,
          Effect.catchReason(
            readSummary(operation, name),
            "SessionError",
            "SessionStoreUnavailable",
            (reason, error) =>
              Effect.fail(isNoRecord(reason.cause) ? invalid(undefined, `${directory}/${name}`, reason.message) : error)
          )
        ),
      { concurrency: 16 }
    )
    return found.filter((each) => each !== undefined)
  })

  /** Returns whether the session was swept. If it begins again at the same moment, it stays. */
  const sweepOne = Effect.fnUntraced(function*(folder: string, head: Head) {
    const swept = yield* fs.rename(`${folder}/${head.name}.head`, `${folder}/0.${SecureRandom.uuidV4Unsafe()}.head`)
      .pipe(
        Effect.as(true),
        Effect.catchReason("PlatformError", "NotFound", () => Effect.succeed(false))
      )
    if (swept) yield* Effect.andThen(syncFolder(fs, folder), drop(`${folder}/${head.name}.json`))
    return swept
  }, Effect.uninterruptible)

  const isExpired = ({ summary }: { readonly summary: SessionStore.Summary }, expired: number) =>
    DateTime.toEpochMillis(summary.updated) <= expired

  return {
    load: (id) => Effect.map(readLast("load", id), ({ session }) => session),
    save: (session, added) => change("save", session, (kept, now) => Effect.succeed(Versions.save(kept, added, now))),
    remove,
    list: Effect.fnUntraced(function*(options) {
      const query = yield* Listing.toQuery(options)
      const { expired } = yield* moment
      const all = yield* readAll("list")
      return Listing.pageOf(query, all.filter((each) => !isExpired(each, expired)).map(({ summary }) => summary))
    }),
    fork: Effect.fnUntraced(function*(id, options) {
      const kept = yield* readLast("fork", id)
      return yield* change("fork", Session.empty(options.to), (_, now) => Versions.fork(kept, options, now))
    }),
    loadVersion: (id, version) => Effect.flatMap(readLast("load", id), (kept) => Versions.at(kept, version)),
    truncate: (session, version, added) =>
      change("truncate", session, (kept, now) => Versions.truncate(kept, version, now, added)),
    sweep: Effect.gen(function*() {
      const { expired } = yield* moment
      const old = (yield* readAll("sweep")).filter((each) => isExpired(each, expired))
      const swept = yield* Effect.forEach(
        old,
        ({ folder, head }) => unavailable("sweep", undefined, sweepOne(folder, head))
      )
      return swept.filter((each) => each).length
    })
  }
})

/** Whether the medium can be read, but the content is not a record of this package. */
const isNoRecord = (cause: unknown): boolean =>
  cause instanceof PlatformError.PlatformError &&
  (cause.reason._tag === "PermissionDenied" || cause.reason._tag === "BadResource")

/** How often a folder is listed before a head that does not appear counts as missing. */
const attempts = 10

const entry = /^\d{1,15}\.[0-9a-f-]{36}\.(?:head|json)$/

/** A listing during a rename may show both names. */
const headOf = (files: ReadonlyArray<string>): Head | undefined => {
  let last: Head | undefined
  for (const file of files) {
    if (!file.endsWith(".head")) continue
    const version = Number(file.slice(0, file.indexOf(".")))
    if (last === undefined || version > last.version) last = { version, name: file.slice(0, -".head".length) }
  }
  return last
}

const write = (fs: FileSystem.FileSystem, path: string, text: string) =>
  Effect.scoped(Effect.flatMap(
    fs.open(path, { flag: "wx" }),
    (file) => Effect.andThen(file.writeAll(new TextEncoder().encode(text)), file.sync)
  ))

/** Where a folder cannot be opened or synced, as on Windows, its entries are as safe as the system makes them. */
const hash = /^[0-9a-f]{64}$/

/** Reads up to the end of the first line. */
const readLine = (fs: FileSystem.FileSystem, path: string) =>
  Effect.scoped(Effect.gen(function*() {
    const file = yield* fs.open(path)
    const decoder = new TextDecoder()
    let text = ""
    let read = ""
    while (!read.includes("\n")) {
      const bytes = yield* file.readAlloc(16384)
      if (Option.isNone(bytes)) break
      read = decoder.decode(bytes.value, { stream: true })
      text += read
    }
    return text
  }))

const syncFolder = (fs: FileSystem.FileSystem, path: string) =>
  Effect.scoped(Effect.flatMap(fs.open(path), (folder) => folder.sync)).pipe(
    Effect.catchReasons("PlatformError", {
      BadArgument: () => Effect.void,
      BadResource: () => Effect.void,
      PermissionDenied: () => Effect.void
    })
  )

const removeAll = (fs: FileSystem.FileSystem, path: string) => fs.remove(path, { recursive: true, force: true })

/** Removes what dead processes have left: the rest of a removal at once, that of a first save after a day. */
const tidy = Effect.fnUntraced(function*(fs: FileSystem.FileSystem, directory: string) {
  const now = yield* Clock.currentTimeMillis
  for (const name of yield* fs.readDirectory(directory)) {
    const path = `${directory}/${name}`
    if (left.test(name)) yield* Effect.ignore(removeAll(fs, path))
    if (!begun.test(name)) continue
    const changed = yield* Effect.map(Effect.option(fs.stat(path)), Option.flatMap(({ mtime }) => mtime))
    if (Option.isSome(changed) && now - changed.value.getTime() > day) yield* Effect.ignore(removeAll(fs, path))
  }
})

const left = /^removed\.[0-9a-f-]{36}$/

const begun = /^new\.1\.[0-9a-f-]{36}$/

const day = 24 * 60 * 60 * 1000

/** The head holds the id of the session, so that sessions can be listed without reading them. */
const encodeId = (id: string): string => JSON.stringify({ id })

const missing = (id: string | undefined, folder: string, head: Head): Session.SessionError =>
  invalid(id, `${folder}/${head.name}.json`, "it is missing")

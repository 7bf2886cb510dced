/**
 * Sessions in a folder, shared by any number of processes, without a lock.
 *
 * The folder has one folder for each session, named by the hash of its id. It holds a record, which is the whole session
 * as JSON, and a head, whose name says the version and the record in force:
 *
 *     <hash>/3.<token>.json
 *     <hash>/3.<token>.head
 *
 * A save writes a record of its own and renames the head from the old name to the new one. A rename fails when its source
 * is gone, and no token is ever used twice: so of all who save one version exactly one succeeds, however long another one
 * was stopped in the middle. Nobody has to guess whether the owner of a lock is still alive. What a process leaves behind
 * that dies in a save is a record that no head names; the next save removes it.
 *
 * A first save makes the folder beside its place and renames it there, which fails when there is one. A removal renames
 * the folder away before it deletes it.
 *
 * What a save has written is on the disk before it is named: files and folders are synced.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Clock from "effect/Clock"
import * as SecureRandom from "effect/crypto/SecureRandom"
import * as Effect from "effect/Effect"
import type * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { conflict, extend, invalid, isCurrent, type Operation, toStorable, unavailable } from "./change.ts"
import * as Names from "./names.ts"

const Record = Schema.Struct({
  format: Schema.Literal("effect-agents/session/2"),
  id: Schema.String,
  version: Schema.Int,
  incarnation: Schema.optional(Schema.String),
  state: Session.State,
  history: Schema.Array(Prompt.Message)
})

const RecordFromJson = Schema.fromJsonString(Record)

/** The save that a session stands at. */
interface Head {
  readonly version: number
  readonly name: string
}

/** What is in the folder of a session. */
interface Listing {
  readonly head: Head
  readonly files: ReadonlyArray<string>
}

/**
 * Makes the folder, and the operations on the sessions in it. What dead processes have left is removed.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function*(
  fs: FileSystem.FileSystem,
  directory: string
): Effect.fn.Return<SessionStore.Options, PlatformError.PlatformError> {
  yield* fs.makeDirectory(directory, { recursive: true })
  yield* tidy(fs, directory)

  const list = (operation: Operation, id: string, folder: string) =>
    fs.readDirectory(folder).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined),
      (names) => unavailable(operation, id, names),
      Effect.map((names) => names?.filter((name) => entry.test(name)))
    )

  /** Undefined when the session was never saved. */
  const find = Effect.fnUntraced(function*(operation: Operation, id: string, folder: string) {
    // a listing during a rename may have neither name of the head
    for (let attempt = 0; attempt < attempts; attempt++) {
      const files = yield* list(operation, id, folder)
      if (files === undefined) {
        yield* checkUnknown(operation, id)
        return undefined
      }
      const head = headOf(files)
      if (head !== undefined) return { head, files } satisfies Listing as Listing
    }
    return yield* invalid(id, folder, "it has no head: something else has changed the folder")
  })

  /** A folder that is gone is no empty store, and neither is one that an older version has filled. */
  const checkUnknown = Effect.fnUntraced(function*(operation: Operation, id: string) {
    yield* unavailable(operation, id, fs.access(directory))
    const older = `effect-agents.session.${yield* Names.toEscaped(id)}.head`
    if (yield* unavailable(operation, id, fs.exists(`${directory}/${older}`))) {
      const description = "it was saved through a `KeyValueStore`, which this store does not read: load it with " +
        "`SessionStore.layerKeyValueStoreSingleProcess`, and save it to a store in another folder"
      return yield* invalid(id, older, description)
    }
  })

  /** Undefined when the record is gone: who saves removes the one before. */
  const read = Effect.fnUntraced(function*(operation: Operation, id: string, folder: string, head: Head) {
    const path = `${folder}/${head.name}.json`
    const text = yield* fs.readFileString(path).pipe(
      Effect.catchReason("PlatformError", "NotFound", () => Effect.undefined),
      (text) => unavailable(operation, id, text)
    )
    if (text === undefined) return undefined
    const { format: _, history, ...session } = yield* Schema.decodeEffect(RecordFromJson)(text).pipe(
      Effect.mapError((error) => invalid(id, path, error.message))
    )
    if (session.id !== id) return yield* invalid(id, path, `it belongs to the session \`${session.id}\``)
    if (session.version !== head.version) {
      return yield* invalid(id, path, `it has version ${session.version}, not ${head.version}`)
    }
    return { ...session, history: Prompt.fromMessages(history) } satisfies Session.Session as Session.Session
  })

  const load = Effect.fnUntraced(function*(id: string) {
    const folder = `${directory}/${yield* Names.toHash(id)}`
    let before: Head | undefined
    while (true) {
      const found = yield* find("load", id, folder)
      if (found === undefined) return Session.empty(id)
      const session = yield* read("load", id, folder, found.head)
      if (session !== undefined) return session
      if (found.head.name === before?.name) return yield* missing(id, folder, found.head)
      before = found.head
    }
  })

  const encode = (session: Session.Session) =>
    Schema.encodeEffect(RecordFromJson)({
      format: "effect-agents/session/2",
      id: session.id,
      version: session.version,
      incarnation: session.incarnation,
      state: session.state,
      history: session.history.content.map(toStorable)
    }).pipe(Effect.mapError((error) => invalid(session.id, "the session", error.message)))

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
    // the record before this one, and those of saves that can no longer succeed
    yield* Effect.forEach(files, (file) => file.endsWith(".json") ? drop(`${folder}/${file}`) : Effect.void, {
      discard: true
    })
  })

  const drop = (path: string) => Effect.ignore(fs.remove(path))

  /** Why a save did not succeed: somebody else was faster, unless the head is the one that it began with. */
  const failSave = Effect.fnUntraced(function*(
    session: Session.Session,
    folder: string,
    found: Listing | undefined,
    name: string,
    otherwise: Session.SessionError
  ) {
    const head = (yield* find("save", session.id, folder))?.head
    // it is in force, but perhaps not on the disk
    if (head?.name === name) return yield* otherwise
    yield* drop(`${folder}/${name}.json`)
    return yield* head?.name === found?.head.name ? otherwise : conflict(session, head?.version ?? 0)
  })

  const save = Effect.fnUntraced(function*(session: Session.Session, change: SessionStore.Change) {
    const { id } = session
    const folder = `${directory}/${yield* Names.toHash(id)}`
    const found = yield* find("save", id, folder)
    const version = found?.head.version ?? 0
    if (version !== session.version) return yield* conflict(session, version)
    const name = `${version + 1}.${SecureRandom.uuidV4Unsafe()}`
    const stored = found === undefined ? Session.empty(id) : yield* read("save", id, folder, found.head)
    if (stored === undefined) {
      return yield* failSave(session, folder, found, name, missing(id, folder, found!.head))
    }
    if (!isCurrent(session, stored)) return yield* conflict(session, version)
    const next = extend(stored, change)
    const record = yield* encode(next)
    const writing = found === undefined ? create(id, folder, name, record) : replace(folder, found, name, record)
    yield* unavailable("save", id, writing).pipe(
      Effect.catch((error) => failSave(session, folder, found, name, error)),
      // once it has begun it is done: an interrupted save has written everything, or nothing
      Effect.uninterruptible
    )
    return next
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

  return { load, save, remove }
})

/** How often a folder is listed before a head that nobody sees is missing. */
const attempts = 10

const entry = /^\d{1,15}\.[0-9a-f-]{36}\.(?:head|json)$/

/** During a rename a listing may have both names. */
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
const syncFolder = (fs: FileSystem.FileSystem, path: string) =>
  Effect.scoped(Effect.flatMap(fs.open(path), (folder) => folder.sync)).pipe(
    Effect.catchReasons("PlatformError", {
      BadArgument: () => Effect.void,
      BadResource: () => Effect.void,
      PermissionDenied: () => Effect.void
    })
  )

const removeAll = (fs: FileSystem.FileSystem, path: string) => fs.remove(path, { recursive: true, force: true })

/** Removes what dead processes have left: of a removal at once, of a first save when it is a day old. */
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

/** The head says whose session it is, so that sessions can be listed without reading them. */
const encodeId = (id: string): string => JSON.stringify({ id })

const missing = (id: string, folder: string, head: Head): Session.SessionError =>
  invalid(id, `${folder}/${head.name}.json`, "it is missing")

/**
 * Sessions in a `KeyValueStore`: two slot records and a head record that names the slot in force.
 *
 * A save writes the other slot, then the head, so that a process that dies in the middle leaves the session as it was
 * before the save or as it is after it. Nothing here can tell that another process saves at the same moment.
 *
 * @since 0.1.0
 */

import * as DateTime from "effect/DateTime"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { conflict, invalid, isCurrent, type Operation, unavailable } from "./change.ts"
import * as Expiry from "./expiry.ts"
import * as Listing from "./listing.ts"
import * as Names from "./names.ts"
import * as Record from "./record.ts"
import * as Versions from "./versions.ts"

const slots = ["a", "b"] as const

type Slot = typeof slots[number]

/** The record that commits a save: which slot is in force. No slot: the session was removed. */
const Head = Schema.Struct({
  format: Schema.Literal("effect-agents/session-head/1"),
  slot: Schema.NullOr(Schema.Literals(slots)),
  version: Schema.Int
})

const HeadFromJson = Schema.fromJsonString(Head)

const encodeHead = (slot: Slot | null, version: number): string =>
  Schema.encodeSync(HeadFromJson)({ format: "effect-agents/session-head/1", slot, version })

const removedHead = encodeHead(null, 0)

/** A session as it is stored, the slot that holds it, and the head to write again when it is torn. */
interface Stored {
  readonly kept: Versions.Kept
  readonly slot: Slot | undefined
  readonly tornHead: string | undefined
}

/**
 * The head and slots of sessions.
 *
 * Writes follow one order, so what a dead writer leaves can be told from what something else damaged:
 * - a slot is written only while the head is whole and names the other one (or none): a damaged slot that the head names
 *   was not left by a writer;
 * - the head is written only while the slots are whole: a torn head is the beginning of the head of the newest slot, or
 *   of the removed head;
 * - without a head there can be the first slot of a first save, and nothing else.
 */
export const make = (
  store: KeyValueStore.KeyValueStore,
  prefix: string,
  timeToLive: Duration.Input,
  /** The time of the last save of a session that does not say it. */
  opened: number
) => {
  const moment = Expiry.moment(timeToLive)
  const key = (id: string, record: "head" | Slot) =>
    Effect.map(Names.toEscaped(id), (name) => `${prefix}${name}.${record}`)
  const get = (operation: Operation, id: string, record: "head" | Slot) =>
    unavailable(operation, id, Effect.flatMap(key(id, record), store.get))
  const getKey = (operation: Operation, key: string) => unavailable(operation, undefined, store.get(key))
  const set = (operation: Operation, id: string, record: "head" | Slot, text: string) =>
    unavailable(operation, id, Effect.flatMap(key(id, record), (key) => store.set(key, text)))
  const drop = (operation: Operation, id: string, record: "head" | Slot) =>
    unavailable(operation, id, Effect.flatMap(key(id, record), store.remove))
  const invalidRecord = (id: string, record: "head" | Slot, description: string) =>
    Effect.flatMap(key(id, record), (key) => invalid(id, key, description))

  const readSlot = Effect.fnUntraced(function*(operation: Operation, id: string, slot: Slot) {
    const text = yield* get(operation, id, slot)
    if (text === undefined) return undefined
    const kept = yield* Record.decode(text, opened).pipe(
      Effect.catch((error) => invalidRecord(id, slot, error.message))
    )
    if (kept.session.id !== id) {
      return yield* invalidRecord(id, slot, `it belongs to the session \`${kept.session.id}\``)
    }
    return kept
  })

  const nothing = (id: string): Stored => ({ kept: Versions.nothing(id), slot: undefined, tornHead: undefined })

  const readWithoutHead = Effect.fnUntraced(function*(operation: Operation, id: string) {
    const first = yield* Effect.result(readSlot(operation, id, "a"))
    if (Result.isFailure(first) && first.failure.reason._tag === "SessionStoreUnavailable") {
      return yield* first.failure
    }
    const second = yield* get(operation, id, "b")
    if (
      second !== undefined || (Result.isSuccess(first) && first.success !== undefined && versionOf(first.success) > 1)
    ) {
      return yield* invalidRecord(id, "head", "it is missing, but the session was saved")
    }
    return nothing(id)
  })

  const readTornHead = Effect.fnUntraced(
    function*(operation: Operation, id: string, text: string, description: string) {
      const [first, second] = yield* Effect.forEach(slots, (slot) => readSlot(operation, id, slot))
      const slot = versionOf(second) > versionOf(first) ? "b" : "a"
      const newest = slot === "b" ? second : first
      const head = newest && encodeHead(slot, versionOf(newest))
      if (newest === undefined || head === undefined || !isTorn(text, head)) {
        return yield* invalidRecord(id, "head", description)
      }
      return { kept: newest, slot, tornHead: head } satisfies Stored as Stored
    }
  )

  const readOnce = Effect.fnUntraced(function*(operation: Operation, id: string, text: string | undefined) {
    if (text === undefined) return yield* readWithoutHead(operation, id)
    const decoded = yield* Effect.result(Schema.decodeEffect(HeadFromJson)(text))
    if (Result.isFailure(decoded)) return yield* readTornHead(operation, id, text, decoded.failure.message)
    const { slot, version } = decoded.success
    if (slot === null) return nothing(id)
    const kept = yield* readSlot(operation, id, slot)
    if (kept?.session.version !== version) {
      const description = kept === undefined ? "it is missing" : `it has version ${versionOf(kept)}, not ${version}`
      return yield* invalidRecord(id, slot, description)
    }
    return { kept, slot, tornHead: undefined } satisfies Stored as Stored
  })

  /** Reads again when the head has changed under it: somebody has saved twice in the meantime. */
  const settled = Effect.fnUntraced(function*<A>(
    headOf: Effect.Effect<string | undefined, Session.SessionError>,
    readWith: (head: string | undefined) => Effect.Effect<A, Session.SessionError>
  ) {
    let head = yield* headOf
    while (true) {
      const found = yield* Effect.result(readWith(head))
      if (Result.isSuccess(found)) return found.success
      if (found.failure.reason._tag !== "SessionRecordInvalid") return yield* found.failure
      const now = yield* headOf
      if (now === head) return yield* found.failure
      head = now
    }
  })

  const read = (operation: Operation, id: string) =>
    settled(get(operation, id, "head"), (head) => readOnce(operation, id, head))

  const readLast = Effect.fnUntraced(function*(operation: Operation, id: string) {
    const { kept } = yield* read(operation, id)
    return kept.updated <= (yield* moment).expired ? Versions.nothing(id) : kept
  })

  /** Writes what is made of a session, if it is still the one given. */
  const change = Effect.fnUntraced(function*(
    operation: Operation,
    session: Session.Session,
    f: (kept: Versions.Kept, now: number) => Effect.Effect<Versions.Kept, Session.SessionError>
  ) {
    const id = session.id
    let stored = yield* read(operation, id)
    const { expired, now } = yield* moment
    if (stored.slot !== undefined && stored.kept.updated <= expired) {
      yield* remove(operation, id)
      stored = nothing(id)
    }
    if (!isCurrent(session, stored.kept.session)) {
      return yield* conflict(session, stored.kept.session.version)
    }
    const next = yield* f(stored.kept, now)
    if (next.session.version === 0) return next.session
    const slot = stored.slot === "a" ? "b" : "a"
    const record = yield* Record.encode(next).pipe(
      Effect.catch((error) => invalidRecord(id, slot, error.message))
    )
    // once it has begun it is done: an interrupted save has written everything, or nothing
    yield* Effect.uninterruptible(Effect.gen(function*() {
      if (stored.tornHead !== undefined) yield* set(operation, id, "head", stored.tornHead)
      if (stored.slot === undefined) yield* drop(operation, id, "b")
      yield* set(operation, id, slot, record)
      yield* set(operation, id, "head", encodeHead(slot, next.session.version))
    }))
    return next.session
  })

  /** Also removes what cannot be read. */
  const remove = Effect.fnUntraced(function*(operation: Operation, id: string) {
    const stored = yield* read(operation, id).pipe(
      Effect.catchReason("SessionError", "SessionRecordInvalid", () => Effect.undefined)
    )
    if (stored?.slot !== undefined) yield* drop(operation, id, stored.slot === "a" ? "b" : "a")
    yield* set(operation, id, "head", removedHead)
    yield* Effect.forEach(["a", "b", "head"] as const, (record) => drop(operation, id, record), { discard: true })
  }, Effect.uninterruptible)

  const readSummaryOnce = Effect.fnUntraced(function*(operation: Operation, name: string, text: string | undefined) {
    const head = Schema.decodeOption(HeadFromJson)(text ?? "")
    // the first slot of a first save, and what is left of a removal, may have no head
    if (text === undefined || (Option.isSome(head) && head.value.slot === null)) return undefined
    let newest: { readonly slot: Slot; readonly summary: SessionStore.Summary } | undefined
    for (const slot of Option.isSome(head) && head.value.slot !== null ? [head.value.slot] : slots) {
      const key = name + slot
      const record = yield* getKey(operation, key)
      if (record === undefined) continue
      const summary = yield* Effect.mapError(
        Record.decodeSummary(record, opened),
        (error) => invalid(undefined, key, error.message)
      )
      if (`${prefix}${yield* Names.toEscaped(summary.id)}.` !== name) {
        return yield* invalid(undefined, key, `it belongs to the session \`${summary.id}\``)
      }
      if (newest === undefined || summary.version > newest.summary.version) newest = { slot, summary }
    }
    const written = newest === undefined ? undefined : encodeHead(newest.slot, newest.summary.version)
    // a head that is torn is mended when its session is read
    const isOurs = written !== undefined && (Option.isSome(head) ? written === text : isTorn(text, written))
    return isOurs ? newest?.summary : yield* invalid(undefined, `${name}head`, "it is not the head of these slots")
  })

  /** What a list says of the session whose keys begin so; undefined when there is none. */
  const readSummary = (operation: Operation, name: string) =>
    settled(getKey(operation, `${name}head`), (head) => readSummaryOnce(operation, name, head))

  const names = Effect.fnUntraced(function*(operation: Operation) {
    const keys = yield* unavailable(operation, undefined, store.keys)
    return keys.flatMap((key) => key.startsWith(prefix) && key.endsWith(".head") ? [key.slice(0, -"head".length)] : [])
  })

  const readAll = Effect.fnUntraced(function*(operation: "list" | "sweep") {
    const found = yield* Effect.forEach(
      yield* names(operation),
      (name) => Listing.readable(operation, readSummary(operation, name))
    )
    return found.filter((summary) => summary !== undefined)
  })

  const isExpired = ({ updated }: SessionStore.Summary, expired: number) => DateTime.toEpochMillis(updated) <= expired

  return {
    load: (id: string) => Effect.map(readLast("load", id), ({ session }) => session),
    save: (session: Session.Session, added: SessionStore.Change) =>
      change("save", session, (kept, now) => Effect.succeed(Versions.save(kept, added, now))),
    remove: (id: string) => remove("remove", id),
    list: Effect.fnUntraced(function*(options: SessionStore.ListOptions | undefined) {
      const query = yield* Listing.toQuery(options)
      const { expired } = yield* moment
      return Listing.pageOf(query, (yield* readAll("list")).filter((summary) => !isExpired(summary, expired)))
    }),
    fork: (kept: Versions.Kept, options: SessionStore.ForkOptions) =>
      change("fork", Session.empty(options.to), (_, now) => Versions.fork(kept, options, now)),
    readLast,
    truncate: (session: Session.Session, version: number) =>
      change("truncate", session, (kept, now) => Versions.truncate(kept, version, now)),
    expired: Effect.gen(function*() {
      const { expired } = yield* moment
      return (yield* readAll("sweep")).filter((summary) => isExpired(summary, expired)).map(({ id }) => id)
    }),
    /** Removes the session if it is expired. Returns whether it was. */
    sweepOne: Effect.fnUntraced(function*(id: string) {
      const name = `${prefix}${yield* Names.toEscaped(id)}.`
      const summary = yield* Listing.readable("sweep", readSummary("sweep", name))
      if (summary === undefined || !isExpired(summary, (yield* moment).expired)) return false
      yield* remove("sweep", id)
      return true
    })
  }
}

/** Whether it is the beginning of the head that was being written, or of that of a removed session. */
const isTorn = (text: string, head: string): boolean => head.startsWith(text) || removedHead.startsWith(text)

const versionOf = (kept: Versions.Kept | undefined): number => kept?.session.version ?? 0

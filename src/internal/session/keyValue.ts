/**
 * Sessions in a `KeyValueStore`: two slot records, and a head record that names the current slot.
 *
 * A save writes the other slot and then the head, so a process that dies in between leaves the session as it was before
 * or after the save. This store cannot notice that another process saves at the same moment.
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

/** The record that commits a save: it names the current slot. Without a slot the session was removed. */
const Head = Schema.Struct({
  format: Schema.Literal("effect-agents/session-head/1"),
  slot: Schema.NullOr(Schema.Literals(slots)),
  version: Schema.Int
})

const HeadFromJson = Schema.fromJsonString(Head)

const encodeHead = (slot: Slot | null, version: number): string =>
  Schema.encodeSync(HeadFromJson)({ format: "effect-agents/session-head/1", slot, version })

const removedHead = encodeHead(null, 0)

/** A stored session, the slot that holds it, and the head to write again if it is incomplete. */
interface Stored {
  readonly kept: Versions.Kept
  readonly slot: Slot | undefined
  readonly tornHead: string | undefined
}

/**
 * The head and slots of sessions.
 *
 * Writes follow one order, so the rest of a dead writer can be distinguished from other damage:
 *
 * - A slot is written only while the head is complete and names the other slot, or none. So a damaged slot that the
 *   head names was not left by a writer.
 * - The head is written only while the slots are complete. So an incomplete head is the beginning of the head for the
 *   newest slot, or of the head of a removed session.
 * - Without a head there may be only the first slot of a first save.
 */
export const make = (
  store: KeyValueStore.KeyValueStore,
  prefix: string,
  timeToLive: Duration.Input,
  /** The time of the last save for a session that does not hold it. */
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

  /** Reads again if the head has changed meanwhile, because somebody has saved twice. */
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

  /** Writes the result of a change to a session, if it is still the given one. */
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
    // not interrupted once it has begun: an interrupted save has written everything, or nothing
    yield* Effect.uninterruptible(Effect.gen(function*() {
      if (stored.tornHead !== undefined) yield* set(operation, id, "head", stored.tornHead)
      if (stored.slot === undefined) yield* drop(operation, id, "b")
      yield* set(operation, id, slot, record)
      yield* set(operation, id, "head", encodeHead(slot, next.session.version))
    }))
    return next.session
  })

  /** Removes records that cannot be read, too. */
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
    // the first slot of a first save, and the rest of a removal, may have no head
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
    // an incomplete head is repaired when its session is read
    const isOurs = written !== undefined && (Option.isSome(head) ? written === text : isTorn(text, written))
    return isOurs ? newest?.summary : yield* invalid(undefined, `${name}head`, "it is not the head of these slots")
  })

  /** Returns the list entry of the session whose keys begin with `name`, or `undefined` if there is none. */
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
    loadVersion: (id: string, version: number) =>
      Effect.flatMap(readLast("load", id), (kept) => Versions.at(kept, version)),
    truncate: (session: Session.Session, version: number, added?: SessionStore.Change) =>
      change("truncate", session, (kept, now) => Versions.truncate(kept, version, now, added)),
    expired: Effect.gen(function*() {
      const { expired } = yield* moment
      return (yield* readAll("sweep")).filter((summary) => isExpired(summary, expired)).map(({ id }) => id)
    }),
    /** Removes the session if it is expired, and returns whether it was. */
    sweepOne: Effect.fnUntraced(function*(id: string) {
      const name = `${prefix}${yield* Names.toEscaped(id)}.`
      const summary = yield* Listing.readable("sweep", readSummary("sweep", name))
      if (summary === undefined || !isExpired(summary, (yield* moment).expired)) return false
      yield* remove("sweep", id)
      return true
    })
  }
}

/** Whether a text is the beginning of the head that was being written, or of the head of a removed session. */
const isTorn = (text: string, head: string): boolean => head.startsWith(text) || removedHead.startsWith(text)

const versionOf = (kept: Versions.Kept | undefined): number => kept?.session.version ?? 0

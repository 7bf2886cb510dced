/**
 * Sessions in a `KeyValueStore`: two slot records and a head record that names the slot in force.
 *
 * A save writes the other slot, then the head, so that a process that dies in the middle leaves the session as it was
 * before the save or as it is after it. Nothing here can tell that another process saves at the same moment.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import type * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { conflict, extend, invalid, isCurrent, type Operation, toStorable, unavailable } from "./change.ts"
import * as Names from "./names.ts"

const slots = ["a", "b"] as const

type Slot = typeof slots[number]

/** The record that commits a save: which slot is in force. No slot: the session was removed. */
const Head = Schema.Struct({
  format: Schema.Literal("effect-agents/session-head/1"),
  slot: Schema.NullOr(Schema.Literals(slots)),
  version: Schema.Int
})

const HeadFromJson = Schema.fromJsonString(Head)

const Record = Schema.Struct({
  format: Schema.Literal("effect-agents/session/1"),
  id: Schema.String,
  version: Schema.Int,
  incarnation: Schema.optional(Schema.String),
  state: Session.State,
  history: Schema.Array(Prompt.Message)
})

const RecordFromJson = Schema.fromJsonString(Record)

const encodeHead = (slot: Slot | null, version: number): string =>
  Schema.encodeSync(HeadFromJson)({ format: "effect-agents/session-head/1", slot, version })

const removedHead = encodeHead(null, 0)

/** A session as it is stored, the slot that holds it, and the head to write again when it is torn. */
interface Stored {
  readonly session: Session.Session
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
export const make = (store: KeyValueStore.KeyValueStore, prefix: string) => {
  const key = (id: string, record: "head" | Slot) =>
    Effect.map(Names.toEscaped(id), (name) => `${prefix}${name}.${record}`)
  const get = (operation: Operation, id: string, record: "head" | Slot) =>
    unavailable(operation, id, Effect.flatMap(key(id, record), store.get))
  const set = (operation: Operation, id: string, record: "head" | Slot, text: string) =>
    unavailable(operation, id, Effect.flatMap(key(id, record), (key) => store.set(key, text)))
  const drop = (operation: Operation, id: string, record: "head" | Slot) =>
    unavailable(operation, id, Effect.flatMap(key(id, record), store.remove))
  const invalidRecord = (id: string, record: "head" | Slot, description: string) =>
    Effect.flatMap(key(id, record), (key) => invalid(id, key, description))

  const readSlot = Effect.fnUntraced(function*(operation: Operation, id: string, slot: Slot) {
    const text = yield* get(operation, id, slot)
    if (text === undefined) return undefined
    const record = yield* Schema.decodeEffect(RecordFromJson)(text).pipe(
      Effect.catch((error) => invalidRecord(id, slot, error.message))
    )
    if (record.id !== id) {
      return yield* invalidRecord(id, slot, `it belongs to the session \`${record.id}\``)
    }
    return record
  })

  const toStored = (record: typeof Record.Type, slot: Slot, tornHead?: string): Stored => ({
    session: {
      id: record.id,
      history: Prompt.fromMessages(record.history),
      state: record.state,
      version: record.version,
      ...(record.incarnation === undefined ? {} : { incarnation: record.incarnation })
    },
    slot,
    tornHead
  })

  const nothing = (id: string): Stored => ({ session: Session.empty(id), slot: undefined, tornHead: undefined })

  const readWithoutHead = Effect.fnUntraced(function*(operation: Operation, id: string) {
    const first = yield* Effect.result(readSlot(operation, id, "a"))
    if (Result.isFailure(first) && first.failure.reason._tag === "SessionStoreUnavailable") {
      return yield* first.failure
    }
    const second = yield* get(operation, id, "b")
    if (second !== undefined || (Result.isSuccess(first) && first.success !== undefined && first.success.version > 1)) {
      return yield* invalidRecord(id, "head", "it is missing, but the session was saved")
    }
    return nothing(id)
  })

  const readTornHead = Effect.fnUntraced(
    function*(operation: Operation, id: string, text: string, description: string) {
      const [first, second] = yield* Effect.forEach(slots, (slot) => readSlot(operation, id, slot))
      const slot = (second?.version ?? 0) > (first?.version ?? 0) ? "b" : "a"
      const newest = slot === "b" ? second : first
      const head = newest && encodeHead(slot, newest.version)
      if (newest === undefined || head === undefined || !(head.startsWith(text) || removedHead.startsWith(text))) {
        return yield* invalidRecord(id, "head", description)
      }
      return toStored(newest, slot, head)
    }
  )

  const readOnce = Effect.fnUntraced(function*(operation: Operation, id: string, text: string | undefined) {
    if (text === undefined) return yield* readWithoutHead(operation, id)
    const decoded = yield* Effect.result(Schema.decodeEffect(HeadFromJson)(text))
    if (Result.isFailure(decoded)) return yield* readTornHead(operation, id, text, decoded.failure.message)
    const { slot, version } = decoded.success
    if (slot === null) return nothing(id)
    const record = yield* readSlot(operation, id, slot)
    if (record?.version !== version) {
      const description = record === undefined ? "it is missing" : `it has version ${record.version}, not ${version}`
      return yield* invalidRecord(id, slot, description)
    }
    return toStored(record, slot)
  })

  /** Reads again when the head has changed under it: another process has saved twice in the meantime. */
  const read = Effect.fnUntraced(function*(operation: Operation, id: string) {
    let head = yield* get(operation, id, "head")
    while (true) {
      const stored = yield* Effect.result(readOnce(operation, id, head))
      if (Result.isSuccess(stored)) return stored.success
      if (stored.failure.reason._tag !== "SessionRecordInvalid") return yield* stored.failure
      const now = yield* get(operation, id, "head")
      if (now === head) return yield* stored.failure
      head = now
    }
  })

  const append = Effect.fnUntraced(function*(session: Session.Session, change: SessionStore.Change) {
    const id = session.id
    const stored = yield* read("save", id)
    if (!isCurrent(session, stored.session)) {
      return yield* conflict(session, stored.session.version)
    }
    const next = extend(stored.session, change)
    const slot = stored.slot === "a" ? "b" : "a"
    const record = yield* Schema.encodeEffect(RecordFromJson)({
      format: "effect-agents/session/1",
      id,
      version: next.version,
      incarnation: next.incarnation,
      state: next.state,
      history: next.history.content.map(toStorable)
    }).pipe(Effect.catch((error) => invalidRecord(id, slot, error.message)))
    // once it has begun it is done: an interrupted save has written everything, or nothing
    yield* Effect.uninterruptible(Effect.gen(function*() {
      if (stored.tornHead !== undefined) yield* set("save", id, "head", stored.tornHead)
      if (stored.slot === undefined) yield* drop("save", id, "b")
      yield* set("save", id, slot, record)
      yield* set("save", id, "head", encodeHead(slot, next.version))
    }))
    return next
  })

  /** Also removes what cannot be read. */
  const remove = Effect.fnUntraced(function*(id: string) {
    const stored = yield* read("remove", id).pipe(
      Effect.catchReason("SessionError", "SessionRecordInvalid", () => Effect.undefined)
    )
    if (stored?.slot !== undefined) yield* drop("remove", id, stored.slot === "a" ? "b" : "a")
    yield* set("remove", id, "head", removedHead)
    yield* Effect.forEach(["a", "b", "head"] as const, (record) => drop("remove", id, record), { discard: true })
  }, Effect.uninterruptible)

  return { read, append, remove }
}

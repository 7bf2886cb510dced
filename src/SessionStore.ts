/**
 * Where sessions are kept.
 *
 * A `SessionStore` loads a session, appends to it only if nobody else has in the meantime, and removes it. `layerMemory`
 * keeps sessions in the process, `layerKeyValueStore` in any of effect's `KeyValueStore`s, and
 * `effect-agents/sqlite` in a database file. `make` builds a store from three functions.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import * as RcMap from "effect/RcMap"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Session from "./Session.ts"

/**
 * What a save adds to a session.
 *
 * **Details**
 *
 * The messages come after those that the session has. The entries of `state` replace those of the same name; the others
 * are kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  readonly append: ReadonlyArray<Prompt.Message>
  readonly state?: Session.State | undefined
}

/**
 * What a store has to be able to do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Returns the session as it was saved last; `Session.empty(id)` when it never was. */
  readonly load: (id: string) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Appends to the stored session if its version is still `session.version`, all or nothing, and returns the session
   * with its next version; fails with `SessionConflict` otherwise. The messages of `session.history` are those already
   * stored, so only `change` needs to be written. `extend` gives the session to return.
   */
  readonly save: (
    session: Session.Session,
    change: Change
  ) => Effect.Effect<Session.Session, Session.SessionError>
  /** Forgets the session: its id is an unknown one again, and versions start again at 0. */
  readonly remove: (id: string) => Effect.Effect<void, Session.SessionError>
}

/**
 * Service for keeping sessions.
 *
 * @category services
 * @since 0.1.0
 */
export class SessionStore extends Context.Service<
  SessionStore,
  Options & {
    /**
     * Waits until no other scope of this store holds the session, and holds it until the scope closes. A run takes its
     * turn before it loads, so that runs on one session follow each other instead of failing with a conflict.
     */
    readonly serialize: (id: string) => Effect.Effect<void, never, Scope.Scope>
  }
>()("effect-agents/SessionStore") {}

/**
 * Creates a store from its three operations, and adds `serialize`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<SessionStore["Service"], never, Scope.Scope> =>
  Effect.map(makeTurns, (serialize) => SessionStore.of({ ...options, serialize }))

/**
 * Layer that keeps sessions in memory, as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<SessionStore> = Layer.effect(SessionStore)(Effect.suspend(() => {
  const sessions = new Map<string, Session.Session>()
  const load = (id: string) => sessions.get(id) ?? Session.empty(id)
  return make({
    load: (id) => Effect.sync(() => load(id)),
    save: (session, change) =>
      Effect.suspend(() => {
        const stored = load(session.id)
        if (stored.version !== session.version) return Effect.fail(conflict(session, stored.version))
        const saved = extend(session, change)
        sessions.set(session.id, saved)
        return Effect.succeed(saved)
      }),
    remove: (id) => Effect.sync(() => void sessions.delete(id))
  })
}))

/**
 * Layer that keeps sessions in a `KeyValueStore`, under keys that begin with `prefix` (`effect-agents.session.`).
 *
 * **Details**
 *
 * A session is two slot records and a head record that names the slot in force. A save writes the other slot, then the
 * head, so a process that dies in the middle leaves the session as it was before the save or as it is after it. The whole
 * session is written by each save. Any id is a safe key: what is not a lower-case letter, a digit, `-` or `_` is escaped.
 *
 * **Gotchas**
 *
 * A `KeyValueStore` has no compare-and-set. Within a process (one layer) a lost race is always a `SessionConflict`.
 * Between processes that is so only for a save that begins after the other one ended; two saves at the same moment can
 * both succeed, and one of them is lost, though never mixed with the other. Use `effect-agents/sqlite` to share sessions
 * between processes. What survives a power failure is what the `KeyValueStore` promises: effect's file system store does
 * not sync. A save that fails with `SessionStoreUnavailable` may have been written.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKeyValueStore = (options?: {
  readonly prefix?: string | undefined
}): Layer.Layer<SessionStore, never, KeyValueStore.KeyValueStore> =>
  Layer.effect(SessionStore)(Effect.gen(function*() {
    const records = keyValueRecords(yield* KeyValueStore.KeyValueStore, options?.prefix ?? "effect-agents.session.")
    const turns = yield* makeTurns
    const inTurn = <A, E>(id: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.scoped(Effect.andThen(turns(id), effect))

    return yield* make({
      load: (id) => inTurn(id, Effect.map(records.read("load", id), ({ session }) => session)),
      save: (session, change) => inTurn(session.id, records.append(session, change)),
      remove: (id) => inTurn(id, records.remove(id))
    })
  }))

/**
 * Returns the session as it is after a save of the change: for the authors of stores.
 *
 * @category combinators
 * @since 0.1.0
 */
export const extend = (session: Session.Session, change: Change): Session.Session => ({
  id: session.id,
  history: change.append.length === 0
    ? session.history
    : Prompt.fromMessages([...session.history.content, ...change.append]),
  state: change.state === undefined ? session.state : { ...session.state, ...change.state },
  version: session.version + 1
})

/**
 * Creates the error of a save that came too late: for the authors of stores.
 *
 * @category errors
 * @since 0.1.0
 */
export const conflict = (session: Session.Session, actualVersion: number): Session.SessionError =>
  new Session.SessionError({
    sessionId: session.id,
    reason: new Session.SessionConflict({ expectedVersion: session.version, actualVersion })
  })

/**
 * Creates the error of a record that cannot be read, or of a session that cannot be written as one: for the authors of
 * stores.
 *
 * @category errors
 * @since 0.1.0
 */
export const invalid = (sessionId: string, record: string, description: string): Session.SessionError =>
  new Session.SessionError({ sessionId, reason: new Session.SessionRecordInvalid({ record, description }) })

/**
 * Returns the message as JSON can hold it: for the authors of stores.
 *
 * **Details**
 *
 * A tool that returns nothing has the result `undefined`, which JSON leaves out; it becomes `null`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const toStorable = (message: Prompt.Message): Prompt.Message => {
  if (message.role === "tool") {
    return message.content.some(hasNothing) ? { ...message, content: message.content.map(withNull) } : message
  }
  if (message.role === "assistant") {
    return message.content.some(hasNothing) ? { ...message, content: message.content.map(withNull) } : message
  }
  return message
}

/** One permit for each id that somebody holds or waits for. */
const makeTurns: Effect.Effect<(id: string) => Effect.Effect<void, never, Scope.Scope>, never, Scope.Scope> = Effect
  .map(
    RcMap.make({ lookup: (_id: string) => Semaphore.make(1) }),
    (turns) => (id) => Effect.flatMap(RcMap.get(turns, id), Semaphore.takeScoped(1))
  )

const hasNothing = (part: Prompt.Part): boolean =>
  (part.type === "tool-result" && part.result === undefined) || (part.type === "tool-call" && part.params === undefined)

const withNull = <Part extends Prompt.Part>(part: Part): Part => {
  if (!hasNothing(part)) return part
  return part.type === "tool-call" ? { ...part, params: null } : { ...part, result: null }
}

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
const keyValueRecords = (store: KeyValueStore.KeyValueStore, prefix: string) => {
  const key = (id: string, record: "head" | Slot) => `${prefix}${escapeId(id)}.${record}`
  const get = (operation: Operation, id: string, record: "head" | Slot) =>
    unavailable(operation, id, store.get(key(id, record)))
  const set = (operation: Operation, id: string, record: "head" | Slot, text: string) =>
    unavailable(operation, id, store.set(key(id, record), text))
  const drop = (operation: Operation, id: string, record: "head" | Slot) =>
    unavailable(operation, id, store.remove(key(id, record)))

  const readSlot = Effect.fnUntraced(function*(operation: Operation, id: string, slot: Slot) {
    const text = yield* get(operation, id, slot)
    if (text === undefined) return undefined
    const record = yield* Schema.decodeEffect(RecordFromJson)(text).pipe(
      Effect.mapError((error) => invalid(id, key(id, slot), error.message))
    )
    if (record.id !== id) {
      return yield* invalid(id, key(id, slot), `it belongs to the session \`${record.id}\``)
    }
    return record
  })

  const toStored = (record: typeof Record.Type, slot: Slot, tornHead?: string): Stored => ({
    session: {
      id: record.id,
      history: Prompt.fromMessages(record.history),
      state: record.state,
      version: record.version
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
      return yield* invalid(id, key(id, "head"), "it is missing, but the session was saved")
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
        return yield* invalid(id, key(id, "head"), description)
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
      return yield* invalid(id, key(id, slot), description)
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

  const append = Effect.fnUntraced(function*(session: Session.Session, change: Change) {
    const id = session.id
    const stored = yield* read("save", id)
    if (stored.session.version !== session.version) {
      return yield* conflict(session, stored.session.version)
    }
    const next = extend(stored.session, change)
    const slot = stored.slot === "a" ? "b" : "a"
    const record = yield* Schema.encodeEffect(RecordFromJson)({
      format: "effect-agents/session/1",
      id,
      version: next.version,
      state: next.state,
      history: next.history.content.map(toStorable)
    }).pipe(Effect.mapError((error) => invalid(id, key(id, slot), error.message)))
    if (stored.tornHead !== undefined) yield* set("save", id, "head", stored.tornHead)
    if (stored.slot === undefined) yield* drop("save", id, "b")
    yield* set("save", id, slot, record)
    yield* set("save", id, "head", encodeHead(slot, next.version))
    return extend(session, change)
  })

  /** Also removes what cannot be read. */
  const remove = Effect.fnUntraced(function*(id: string) {
    const stored = yield* read("remove", id).pipe(
      Effect.catchReason("SessionError", "SessionRecordInvalid", () => Effect.undefined)
    )
    if (stored?.slot !== undefined) yield* drop("remove", id, stored.slot === "a" ? "b" : "a")
    yield* set("remove", id, "head", removedHead)
    yield* Effect.forEach(["a", "b", "head"] as const, (record) => drop("remove", id, record), { discard: true })
  })

  return { read, append, remove }
}

type Operation = Session.SessionStoreUnavailable["operation"]

const unavailable = <A>(
  operation: Operation,
  sessionId: string,
  effect: Effect.Effect<A, KeyValueStore.KeyValueStoreError>
): Effect.Effect<A, Session.SessionError> =>
  Effect.mapError(
    effect,
    (cause) =>
      new Session.SessionError({ sessionId, reason: new Session.SessionStoreUnavailable({ operation, cause }) })
  )

/** Different ids give different keys, also where file names have no case. */
const escapeId = (id: string): string =>
  id.replace(
    /[^a-z0-9_-]/gu,
    (character) =>
      Array.from(new TextEncoder().encode(character), (byte) => `~${byte.toString(16).padStart(2, "0")}`).join("")
  )

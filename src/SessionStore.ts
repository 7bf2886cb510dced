/**
 * Stores of sessions.
 *
 * A `SessionStore` loads a session, appends to it if nobody else has changed it since, and removes it. `layerMemory`
 * keeps sessions in the process, `layerFileSystem` in a folder, and `effect-agents/sqlite` in a database file. Many
 * processes may share the folder and the file. `make` builds a store from three functions.
 *
 * **Example** (A conversation that goes on)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent, SessionHistory, SessionStore } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Agent.make("assistant", { providers: [SessionHistory.provider] })
 *
 * const program = Effect.gen(function*() {
 *   yield* Agent.run(assistant, { prompt: "I am Ada.", session: "user-7" })
 *   yield* Agent.run(assistant, { prompt: "Who am I?", session: "user-7" })
 *   const store = yield* SessionStore.SessionStore
 *   const { history, version } = yield* store.load("user-7")
 *   yield* Console.log(`version ${version}: ${history.content.length} messages`)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Hello, Ada."), ScriptedModel.text("Ada.")])
 *
 * Effect.runPromise(Effect.provide(program, [model, SessionStore.layerMemory]))
 * // => version 2: 4 messages
 * ```
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as PlatformError from "effect/PlatformError"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Schema from "effect/Schema"
import * as Semaphore from "effect/Semaphore"
import * as Changes from "./internal/session/change.ts"
import * as Files from "./internal/session/files.ts"
import * as KeyValueRecords from "./internal/session/keyValue.ts"
import * as Memory from "./internal/session/memory.ts"
import * as Turns from "./internal/session/turns.ts"
import type * as Session from "./Session.ts"

/**
 * What a save adds to a session.
 *
 * **Details**
 *
 * The messages are added after those of the session. The entries of `state` replace those with the same name; other
 * entries stay.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  /** The messages to add after those of the session. */
  readonly append: ReadonlyArray<Prompt.Message>
  /** The entries that replace those with the same name. Default: the state stays as it is. */
  readonly state?: Session.State | undefined
  /**
   * The title in a list: one line of at most 80 UTF-16 units. A longer title is cut between two characters. Default:
   * the text of the first user message.
   */
  readonly title?: string | undefined
}

/**
 * Schema for an entry in a list of sessions.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Summary: Schema.Struct<{
  readonly id: Schema.String
  readonly title: Schema.optional<Schema.String>
  readonly updated: Schema.DateTimeUtc
  readonly version: Schema.Int
  readonly size: Schema.Int
}> = Schema.Struct({
  id: Schema.String,
  title: Schema.optional(Schema.String),
  updated: Schema.DateTimeUtc,
  version: Schema.Int,
  size: Schema.Int
})

/**
 * An entry in a list of sessions: the title (a session has one once a user has said something), the time of the last
 * save, the version, and the number of messages.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary extends Schema.Schema.Type<typeof Summary> {}

/**
 * Schema for a page of a list.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Page: Schema.Struct<{
  readonly sessions: Schema.$Array<typeof Summary>
  readonly next: Schema.optional<Schema.String>
}> = Schema.Struct({ sessions: Schema.Array(Summary), next: Schema.optional(Schema.String) })

/**
 * A page of a list. `next` is the cursor of the next page; the last page has none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page extends Schema.Schema.Type<typeof Page> {}

/**
 * The options of a list.
 *
 * @category options
 * @since 0.1.0
 */
export interface ListOptions {
  /** The number of sessions on a page, at most 1,000. Default: 50. */
  readonly pageSize?: number | undefined
  /** The `next` of the page before, of a list with the same prefix. Default: begins with the first page. */
  readonly cursor?: string | undefined
  /** The beginning of the ids of all sessions in the list, letter for letter. Default: all sessions. */
  readonly prefix?: string | undefined
}

/**
 * The options of a fork.
 *
 * @category options
 * @since 0.1.0
 */
export interface ForkOptions {
  /** The id of the new session. */
  readonly to: string
  /** The version of the session that the new one begins with. Default: the latest that has no more messages than `length`. */
  readonly version?: number | undefined
  /** The largest number of messages that the new session begins with. Default: no limit. */
  readonly length?: number | undefined
}

/**
 * The operations that every store has.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Returns the session as it was last saved, or `Session.empty(id)` if it never was. */
  readonly load: (id: string) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Appends to the stored session if it is still the given one (`isCurrent`), and returns the session with its next
   * version. It writes everything or nothing, and fails with `SessionConflict` if the stored session has changed. The
   * messages of `session.history` are already stored, so only `change` has to be written. `extend` gives the session to
   * return.
   */
  readonly save: (
    session: Session.Session,
    change: Change
  ) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Forgets the session. Its id is unknown again, and versions begin at 0. A session that begins under the id
   * afterwards is another incarnation: a save that was made from the removed session is not accepted.
   */
  readonly remove: (id: string) => Effect.Effect<void, Session.SessionError>
}

/**
 * The operations of a store that holds the sessions of many users.
 *
 * @category models
 * @since 0.1.0
 */
export interface ManyOptions {
  /**
   * Returns a page of the sessions, those that were saved last first. No history is decoded for it.
   *
   * Reading all the pages finds each session once, if it is not saved meanwhile. A session that is saved meanwhile
   * moves to the front, to the pages that were already read.
   *
   * A session whose record cannot be read is left out, and a warning is logged that names the record. So a page may have
   * fewer sessions than were asked for.
   *
   * Fails with `SessionCursorInvalid` when no list gives out such a cursor.
   */
  readonly list: (options?: ListOptions) => Effect.Effect<Page, Session.SessionError>
  /**
   * Returns the session as it was at a version. It can only be read: a save that is made from it conflicts with the
   * stored session, unless the version is the last one.
   *
   * Fails with `SessionVersionUnknown`.
   */
  readonly loadVersion: (id: string, version: number) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Creates a new session from another one as it was at a version: with its history, state and title. The new session
   * has that version and those before it. Afterwards the two are independent.
   *
   * Fails with `SessionVersionUnknown`, or with `SessionConflict` if a session with the new id exists.
   */
  readonly fork: (id: string, options: ForkOptions) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Sets the session back to what it was at a version, if it is still the given one. This is a save, so the session has
   * the next version afterwards. The versions in between are forgotten. With version 0 everything but the id is
   * forgotten.
   *
   * With a change, the messages and the state of the change are added in the same save, after those of the version:
   * either all of it is written, or nothing.
   *
   * Fails with `SessionVersionUnknown`, or with `SessionConflict` like a save.
   */
  readonly truncate: (
    session: Session.Session,
    version: number,
    change?: Change
  ) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Deletes the expired sessions, and returns how many there were. A session is never deleted whose record does not say
   * when it was saved: a warning is logged that names the record, and the others are deleted.
   */
  readonly sweep: Effect.Effect<number, Session.SessionError>
}

/**
 * How long a session lives after its last save. Default: for ever. Provide a duration to the layer of a store to change
 * it.
 *
 * **Details**
 *
 * An expired session does not exist: its id is unknown, lists do not have it, and a save that was made from it fails
 * with `SessionConflict`. `sweep` deletes it from the store.
 *
 * **Example** (Sessions that live for 30 days)
 *
 * ```ts
 * import { Effect, Layer } from "effect"
 * import { Prompt } from "effect/ai"
 * import { SessionStore } from "effect-agents"
 * import { TestClock } from "effect/testing"
 *
 * const store = SessionStore.layerMemory.pipe(
 *   Layer.provide(Layer.succeed(SessionStore.TimeToLive, "30 days"))
 * )
 *
 * const program = Effect.gen(function*() {
 *   const sessions = yield* SessionStore.SessionStore
 *   yield* sessions.save(yield* sessions.load("user-7"), { append: Prompt.make("Hello").content })
 *   yield* TestClock.adjust("31 days")
 *   return [(yield* sessions.load("user-7")).version, yield* sessions.sweep]
 * })
 *
 * Effect.runPromise(Effect.provide(program, [store, TestClock.layer()])).then(console.log)
 * // => [ 0, 1 ]
 * ```
 *
 * @category references
 * @since 0.1.0
 */
export const TimeToLive = Context.Reference<Duration.Input>("effect-agents/SessionStore/TimeToLive", {
  defaultValue: () => Duration.infinity
})

/**
 * Service for keeping sessions.
 *
 * @category services
 * @since 0.1.0
 */
export class SessionStore extends Context.Service<
  SessionStore,
  Options & ManyOptions & {
    /**
     * Waits until no other scope of this store holds the session, and holds it until the scope closes. A run does this
     * before it loads the session, so that runs on one session follow each other instead of failing with a conflict.
     *
     * Fails with `SessionInUse` at once if the caller itself holds the session, and with `whenHeld: "reject"` if
     * anybody does.
     */
    readonly serialize: (
      id: string,
      options?: {
        /** What to do if the session is held. Default: `"wait"`. */
        readonly whenHeld?: "wait" | "reject" | undefined
      }
    ) => Effect.Effect<void, Session.SessionError, Scope.Scope>
  }
>()("effect-agents/SessionStore") {}

/**
 * Creates a store from its operations, and adds `serialize`. An operation of `ManyOptions` that is left out fails with
 * `SessionStoreUnavailable`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options & Partial<ManyOptions>): Effect.Effect<SessionStore["Service"]> =>
  Effect.sync(() =>
    SessionStore.of({
      list: () => Changes.unsupported("list", undefined),
      loadVersion: (id) => Changes.unsupported("load", id),
      fork: (id) => Changes.unsupported("fork", id),
      truncate: ({ id }) => Changes.unsupported("truncate", id),
      sweep: Changes.unsupported("sweep", undefined),
      ...options,
      serialize: Turns.make()
    })
  )

/**
 * Layer that keeps sessions in memory for as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<SessionStore> = Layer.effect(SessionStore)(
  Effect.flatMap(TimeToLive, (timeToLive) => make(Memory.make(timeToLive)))
)

/**
 * Layer that keeps sessions as files in a folder. It creates the folder if it does not exist.
 *
 * **Details**
 *
 * Any number of processes may share the folder. Of several saves made from the same version exactly one succeeds, and
 * the others fail with `SessionConflict`. There is no lock: a process that dies at any moment leaves each session as it
 * was either before or after its save, and blocks nobody. A save that has succeeded is on the disk: files and folders
 * are synced, where the system can do that. Each session is one JSON file in a folder whose name is a hash of the
 * session's id. Every save writes the whole file.
 *
 * **Gotchas**
 *
 * A save that fails with `SessionStoreUnavailable` may have been written. The folder has to be on a file system that
 * renames atomically, as every local one does.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerFileSystem = (
  directory: string
): Layer.Layer<SessionStore, PlatformError.PlatformError, FileSystem.FileSystem> =>
  Layer.effect(SessionStore)(
    Effect.flatMap(
      Effect.flatMap(
        Effect.all([FileSystem.FileSystem, TimeToLive]),
        ([fs, timeToLive]) => Files.make(fs, directory, timeToLive)
      ),
      make
    )
  )

/**
 * Layer that keeps sessions in a `KeyValueStore` to which no other process writes. Its keys begin with `prefix`
 * (`effect-agents.session.`).
 *
 * **Details**
 *
 * A `KeyValueStore` cannot say "write this if nobody else has". So this layer makes no promise to a second process, or
 * to a second layer over the same `KeyValueStore`: they can lose each other's saves. To share sessions use
 * `layerFileSystem` or `effect-agents/sqlite`.
 *
 * A session has two slot records, and a head record that names the current slot. A save writes the other slot and then
 * the head, so a process that dies in between leaves the session as it was before or after the save. Each save writes
 * the whole session. Every id is turned into a safe key of at most 220 characters after the prefix.
 *
 * **Gotchas**
 *
 * The `KeyValueStore` decides what survives a power failure: effect's file system store does not sync. A save that
 * fails with `SessionStoreUnavailable` may have been written.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKeyValueStoreSingleProcess = (options?: {
  /** The beginning of all keys. Default: `"effect-agents.session."`. */
  readonly prefix?: string | undefined
}): Layer.Layer<SessionStore, never, KeyValueStore.KeyValueStore> =>
  Layer.effect(SessionStore)(Effect.gen(function*() {
    const records = KeyValueRecords.make(
      yield* KeyValueStore.KeyValueStore,
      options?.prefix ?? "effect-agents.session.",
      yield* TimeToLive,
      yield* Clock.currentTimeMillis
    )
    const turns = yield* RcMap.make({ lookup: (_id: string) => Semaphore.make(1) })
    const inTurn = <A, E>(id: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.scoped(Effect.flatMap(RcMap.get(turns, id), (turn) => turn.withPermits(1)(effect)))

    return yield* make({
      load: (id) => inTurn(id, records.load(id)),
      save: (session, change) => inTurn(session.id, records.save(session, change)),
      remove: (id) => inTurn(id, records.remove(id)),
      list: records.list,
      // the two turns are taken one after the other, because two forks may go in opposite directions
      fork: (id, options) =>
        Effect.flatMap(
          inTurn(id, records.readLast("fork", id)),
          (kept) => inTurn(options.to, records.fork(kept, options))
        ),
      loadVersion: (id, version) => inTurn(id, records.loadVersion(id, version)),
      truncate: (session, version, change) => inTurn(session.id, records.truncate(session, version, change)),
      sweep: Effect.flatMap(records.expired, (ids) =>
        Effect.map(
          Effect.forEach(ids, (id) => inTurn(id, records.sweepOne(id))),
          (swept) => swept.filter((each) => each).length
        ))
    })
  }))

/**
 * Returns the session as it is after a save of the change. For authors of stores. A session of version 0 gets a new
 * incarnation, so store what this returns.
 *
 * @category combinators
 * @since 0.1.0
 */
export const extend: (session: Session.Session, change: Change) => Session.Session = Changes.extend

/**
 * Returns `true` if a save that was made from `session` may be added to the `stored` session, because they have the
 * same version and incarnation. For authors of stores.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCurrent: (session: Session.Session, stored: Session.Session) => boolean = Changes.isCurrent

/**
 * Creates the error of a save that came too late. For authors of stores.
 *
 * @category errors
 * @since 0.1.0
 */
export const conflict: (session: Session.Session, actualVersion: number) => Session.SessionError = Changes.conflict

/**
 * Creates the error of a record that cannot be read, or of a session that cannot be written as a record. For authors of
 * stores.
 *
 * @category errors
 * @since 0.1.0
 */
export const invalid: (sessionId: string, record: string, description: string) => Session.SessionError = Changes.invalid

/**
 * Returns the message in a form that JSON can hold. For authors of stores.
 *
 * **Details**
 *
 * The result `undefined`, of a tool that returns nothing, becomes `null`, because JSON leaves out `undefined`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const toStorable: (message: Prompt.Message) => Prompt.Message = Changes.toStorable

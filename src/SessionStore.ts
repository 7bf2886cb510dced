/**
 * Where sessions are kept.
 *
 * A `SessionStore` loads a session, appends to it only if nobody else has in the meantime, and removes it. `layerMemory`
 * keeps sessions in the process, `layerFileSystem` in a folder, `effect-agents/sqlite` in a database file; many processes
 * may share the folder and the database. `make` builds a store from three functions.
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
 * The messages come after those that the session has. The entries of `state` replace those of the same name; the others
 * are kept.
 *
 * @category models
 * @since 0.1.0
 */
export interface Change {
  /** The messages that come after those that the session has. */
  readonly append: ReadonlyArray<Prompt.Message>
  /** The entries that replace those of the same name. Default: the state stays as it is. */
  readonly state?: Session.State | undefined
  /**
   * The title in a list: one line of at most 80 UTF-16 units; a longer one is cut between two characters. Default: the
   * text of the first user message.
   */
  readonly title?: string | undefined
}

/**
 * Schema for what a list says of a session.
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
 * What a list says of a session: its title, which it has once a user has said something, the time of its last save, its
 * version, and how many messages it has.
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
 * A page of a list. `next` is the cursor of the page that follows; the last page has none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Page extends Schema.Schema.Type<typeof Page> {}

/**
 * Which page of a list.
 *
 * @category options
 * @since 0.1.0
 */
export interface ListOptions {
  /** How many sessions a page has, never more than 1,000. Default: 50. */
  readonly pageSize?: number | undefined
  /** `next` of the page before. Default: that of the first page. */
  readonly cursor?: string | undefined
}

/**
 * Where a fork goes and where it begins.
 *
 * @category options
 * @since 0.1.0
 */
export interface ForkOptions {
  /** The id of the new session. */
  readonly to: string
  /** The version of the session that the new one begins with. Default: the last one. */
  readonly version?: number | undefined
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
   * Appends to the stored session if it is still the one given (`isCurrent`), all or nothing, and returns the session
   * with its next version; fails with `SessionConflict` otherwise. The messages of `session.history` are those already
   * stored, so only `change` needs to be written. `extend` gives the session to return.
   */
  readonly save: (
    session: Session.Session,
    change: Change
  ) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Forgets the session: its id is an unknown one again, and versions start again at 0. What begins under the id
   * afterwards is another incarnation: no save from before the removal is accepted.
   */
  readonly remove: (id: string) => Effect.Effect<void, Session.SessionError>
}

/**
 * What a store can do besides, when there are sessions of many users in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ManyOptions {
  /**
   * Returns a page of the sessions, those first that were saved last. No history is decoded for it.
   *
   * Who goes through all the pages sees each session once that is not saved meanwhile. One that is saved meanwhile goes to
   * the front, where the pages before were.
   */
  readonly list: (options?: ListOptions) => Effect.Effect<Page, Session.SessionError>
  /**
   * Creates a session that is what another one was at a version: its history, its state and its title. It has that version
   * and those before it. From then on the two have nothing to do with each other.
   *
   * Fails with `SessionVersionUnknown`, and with `SessionConflict` when there is a session with the new id.
   */
  readonly fork: (id: string, options: ForkOptions) => Effect.Effect<Session.Session, Session.SessionError>
  /**
   * Makes the session what it was at a version, if it is still the one given. That is a save: it has the next version
   * afterwards. The versions in between are forgotten, and with version 0 everything but the id is.
   *
   * Fails with `SessionVersionUnknown`, and with `SessionConflict` like a save.
   */
  readonly truncate: (
    session: Session.Session,
    version: number
  ) => Effect.Effect<Session.Session, Session.SessionError>
  /** Deletes the expired sessions, and returns how many there were. */
  readonly sweep: Effect.Effect<number, Session.SessionError>
}

/**
 * How long a session lives after its last save: for ever, unless a duration is provided to the layer of a store.
 *
 * **Details**
 *
 * An expired session does not exist: its id is an unknown one, a list does not have it, and a save that was made from it is
 * a `SessionConflict`. `sweep` takes it out of the store.
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
     * Waits until no other scope of this store holds the session, and holds it until the scope closes. A run takes its
     * turn before it loads, so that runs on one session follow each other instead of failing with a conflict.
     *
     * Fails with `SessionInUse` at once when the caller holds the session itself, and with `whenHeld: "reject"` when
     * anybody does.
     */
    readonly serialize: (
      id: string,
      options?: {
        /** What to do when the session is held. Default: `"wait"`. */
        readonly whenHeld?: "wait" | "reject" | undefined
      }
    ) => Effect.Effect<void, Session.SessionError, Scope.Scope>
  }
>()("effect-agents/SessionStore") {}

/**
 * Creates a store from its operations, and adds `serialize`. An operation for many users that is left out fails with
 * `SessionStoreUnavailable`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options & Partial<ManyOptions>): Effect.Effect<SessionStore["Service"]> =>
  Effect.sync(() =>
    SessionStore.of({
      list: () => Changes.unsupported("list", undefined),
      fork: (id) => Changes.unsupported("fork", id),
      truncate: ({ id }) => Changes.unsupported("truncate", id),
      sweep: Changes.unsupported("sweep", undefined),
      ...options,
      serialize: Turns.make()
    })
  )

/**
 * Layer that keeps sessions in memory, as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerMemory: Layer.Layer<SessionStore> = Layer.effect(SessionStore)(
  Effect.flatMap(TimeToLive, (timeToLive) => make(Memory.make(timeToLive)))
)

/**
 * Layer that keeps sessions as files in a folder, which is made when it is not there.
 *
 * **Details**
 *
 * Any number of processes may share the folder. Of the saves made from one version exactly one succeeds, and the others
 * fail with `SessionConflict`. A process that dies at any moment leaves each session as it was before its save or as it is
 * after it, and holds up nobody: there is no lock. A save that has succeeded is on the disk: files and folders are synced,
 * where the system can. Each session is one JSON file, which every save writes as a whole, in a folder whose name is a
 * hash of its id.
 *
 * **Gotchas**
 *
 * A save that fails with `SessionStoreUnavailable` may have been written. The folder has to be on a file system that
 * renames atomically: every local one does.
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
 * Layer that keeps sessions in a `KeyValueStore` that no other process writes to, under keys that begin with `prefix`
 * (`effect-agents.session.`).
 *
 * **Details**
 *
 * A `KeyValueStore` cannot say "write this if nobody else has", so this layer promises nothing to a second process, and
 * nothing to a second layer over the same `KeyValueStore`: they can lose each other's saves. `layerFileSystem` and
 * `effect-agents/sqlite` are for sessions that are shared.
 *
 * A session is two slot records and a head record that names the slot in force. A save writes the other slot, then the
 * head, so a process that dies in the middle leaves the session as it was before the save or as it is after it. The whole
 * session is written by each save. Any id is a safe key of at most 220 characters behind the prefix.
 *
 * **Gotchas**
 *
 * What survives a power failure is what the `KeyValueStore` promises: effect's file system store does not sync. A save
 * that fails with `SessionStoreUnavailable` may have been written.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerKeyValueStoreSingleProcess = (options?: {
  /** What the keys begin with. Default: `"effect-agents.session."`. */
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
      // one turn after the other: two forks may go to and fro
      fork: (id, options) =>
        Effect.flatMap(
          inTurn(id, records.readLast("fork", id)),
          (kept) => inTurn(options.to, records.fork(kept, options))
        ),
      truncate: (session, version) => inTurn(session.id, records.truncate(session, version)),
      sweep: Effect.flatMap(records.expired, (ids) =>
        Effect.map(
          Effect.forEach(ids, (id) => inTurn(id, records.sweepOne(id))),
          (swept) => swept.filter((each) => each).length
        ))
    })
  }))

/**
 * Returns the session as it is after a save of the change: for the authors of stores. A session of version 0 gets a new
 * incarnation, so store what this returns.
 *
 * @category combinators
 * @since 0.1.0
 */
export const extend: (session: Session.Session, change: Change) => Session.Session = Changes.extend

/**
 * Returns `true` when a save that was made from `session` may be added to the `stored` session: their versions and
 * incarnations are the same. For the authors of stores.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCurrent: (session: Session.Session, stored: Session.Session) => boolean = Changes.isCurrent

/**
 * Creates the error of a save that came too late: for the authors of stores.
 *
 * @category errors
 * @since 0.1.0
 */
export const conflict: (session: Session.Session, actualVersion: number) => Session.SessionError = Changes.conflict

/**
 * Creates the error of a record that cannot be read, or of a session that cannot be written as one: for the authors of
 * stores.
 *
 * @category errors
 * @since 0.1.0
 */
export const invalid: (sessionId: string, record: string, description: string) => Session.SessionError = Changes.invalid

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
export const toStorable: (message: Prompt.Message) => Prompt.Message = Changes.toStorable

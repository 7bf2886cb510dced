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
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Layer from "effect/Layer"
import * as KeyValueStore from "effect/persistence/KeyValueStore"
import type * as PlatformError from "effect/PlatformError"
import * as RcMap from "effect/RcMap"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import * as Changes from "./internal/session/change.ts"
import * as Files from "./internal/session/files.ts"
import * as KeyValueRecords from "./internal/session/keyValue.ts"
import * as Turns from "./internal/session/turns.ts"
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
  /** The messages that come after those that the session has. */
  readonly append: ReadonlyArray<Prompt.Message>
  /** The entries that replace those of the same name. Default: the state stays as it is. */
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
 * Creates a store from its three operations, and adds `serialize`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<SessionStore["Service"]> =>
  Effect.sync(() => SessionStore.of({ ...options, serialize: Turns.make() }))

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
        if (!isCurrent(session, stored)) return Effect.fail(conflict(session, stored.version))
        const saved = extend(stored, change)
        sessions.set(session.id, saved)
        return Effect.succeed(saved)
      }),
    remove: (id) => Effect.sync(() => void sessions.delete(id))
  })
}))

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
    Effect.flatMap(Effect.flatMap(FileSystem.FileSystem, (fs) => Files.make(fs, directory)), make)
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
      options?.prefix ?? "effect-agents.session."
    )
    const turns = yield* RcMap.make({ lookup: (_id: string) => Semaphore.make(1) })
    const inTurn = <A, E>(id: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.scoped(Effect.flatMap(RcMap.get(turns, id), (turn) => turn.withPermits(1)(effect)))

    return yield* make({
      load: (id) => inTurn(id, Effect.map(records.read("load", id), ({ session }) => session)),
      save: (session, change) => inTurn(session.id, records.append(session, change)),
      remove: (id) => inTurn(id, records.remove(id))
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

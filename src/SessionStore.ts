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
import * as RcMap from "effect/RcMap"
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

/** One permit for each id that somebody holds or waits for. */
const makeTurns: Effect.Effect<(id: string) => Effect.Effect<void, never, Scope.Scope>, never, Scope.Scope> = Effect.map(
  RcMap.make({ lookup: (_id: string) => Semaphore.make(1) }),
  (turns) => (id) => Effect.flatMap(RcMap.get(turns, id), Semaphore.takeScoped(1))
)

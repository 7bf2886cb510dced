/**
 * A session store whose loads and saves are recorded.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import * as Changes from "../session/change.ts"
import * as Scope from "./scope.ts"
import * as Step from "./step.ts"

type Store = SessionStore.SessionStore["Service"]

/**
 * The key of the store. The module that has it brings all stores with it, and an agent without a session needs none.
 *
 * @category services
 * @since 0.1.0
 */
export const key = Context.Service<SessionStore.SessionStore, Store>(
  "effect-agents/SessionStore" satisfies typeof SessionStore.SessionStore.key
)

/**
 * Returns whether a record is that of a save.
 *
 * @category guards
 * @since 0.1.0
 */
export const isSave = (record: string): boolean => /(^|\/)session\/save\/\d+$/.test(record)

const journaled = new WeakSet<Store>()

/** The entry in a session's state that identifies its last save. */
const markKey = "effect-agents/Journal"

const Saved = Schema.Struct({ version: Schema.Int, incarnation: Schema.optionalKey(Schema.String) })

const failure = Session.SessionError as Schema.Codec<Session.SessionError, unknown>

/**
 * Returns the store in the form that an execution uses.
 *
 * A save that a process has made, but not recorded because it ended, is made again: it finds its own mark in the
 * session, and counts as made.
 *
 * @category constructors
 * @since 0.1.0
 */
export const wrap = (store: Store): Store => {
  if (journaled.has(store)) return store
  const load: Store["load"] = (id) =>
    Effect.contextWith((context: Context.Context<never>) => {
      const scope = Scope.of(context)
      return scope === undefined || scope.isClosed
        ? store.load(id)
        : recorded(scope, scope.next("session/load"), Session.Session, store.load(id))
    })
  const save: Store["save"] = (session, change) =>
    Effect.contextWith((context: Context.Context<never>) => {
      const scope = Scope.of(context)
      if (scope === undefined) return store.save(session, change)
      // a save after the end of the run is another change than the next save would have been
      const name = scope.next(scope.isClosed ? "session/end" : "session/save")
      const mark = { execution: scope.attempt.journal.id, save: name }
      const marked = { ...change, state: { ...change.state, [markKey]: mark } }
      // it may have been this save, by a process that ended before it knew
      const saving = Effect.map(
        Effect.catchIf(store.save(session, marked), isConflict, (error) =>
          Effect.filterOrFail(
            store.load(session.id),
            ({ state, version }) => version === session.version + 1 && isMark(state[markKey], mark),
            () => error
          )),
        ({ incarnation, version }) => ({ version, ...incarnation !== undefined && { incarnation } })
      )
      const saved = scope.isClosed ? saving : recorded(scope, name, Saved, saving)
      return Effect.map(saved, (saved) => ({ ...Changes.extend(session, marked), ...saved }))
    })
  const self: Store = { ...store, load, save }
  journaled.add(self)
  return self
}

/** A store has no failure for a record, so the run fails with it although the type of the store does not have it. */
const recorded = <A>(
  scope: Scope.Scope,
  name: string,
  success: Schema.Codec<A, unknown>,
  effect: Effect.Effect<A, Session.SessionError>
): Effect.Effect<A, Session.SessionError> =>
  Step.inScope(scope, name, { success, failure }, effect) as Effect.Effect<A, Session.SessionError>

const isConflict = ({ reason }: Session.SessionError): boolean => reason._tag === "SessionConflict"

const isMark = (u: unknown, mark: { readonly execution: string; readonly save: string }): boolean =>
  Predicate.hasProperty(u, "execution") && u.execution === mark.execution &&
  Predicate.hasProperty(u, "save") && u.save === mark.save

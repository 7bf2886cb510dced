/**
 * Runs that go on from an earlier version of their session. The session stays as it is until the run saves: its first
 * save sets the session back and adds to it in one. A run that saves nothing has changed nothing.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { isCurrent } from "./change.ts"

type Store = SessionStore.SessionStore["Service"]

/**
 * The session of the run, and the version that the run goes on from.
 *
 * @category models
 * @since 0.1.0
 */
export interface Rewind {
  readonly session: string
  readonly version: number
}

/**
 * What a run that another process may work on has to take with it. The store of its context is rewound already.
 *
 * @category references
 * @since 0.1.0
 */
export const Current = Context.Reference<Rewind | undefined>("effect-agents/internal/Rewind", {
  defaultValue: () => undefined
})

/**
 * Returns the store as one run sees it. Until the run has saved, its session is what it was at the version.
 *
 * @category constructors
 * @since 0.1.0
 */
export const wrap = (store: Store, { session: id, version }: Rewind): Store => {
  /** The stored session that the run has found. What the run sees of it has the same version. */
  let found: Session.Session | undefined
  let isKnown = false

  const seen = (stored: Session.Session): Effect.Effect<Session.Session, Session.SessionError> =>
    stored.version === version
      ? Effect.succeed(stored)
      : Effect.map(store.loadVersion(id, version), ({ history, state }) => ({ ...stored, history, state }))

  /** A run that goes on in another process has the session that it has loaded there. */
  const know = (session: Session.Session): Effect.Effect<void, Session.SessionError> =>
    isKnown ? Effect.void : Effect.map(store.load(id), (stored) => {
      isKnown = true
      if (isCurrent(session, stored) && session.history.content.length !== stored.history.content.length) {
        found = stored
      }
    })

  return {
    ...store,
    load: (asked) =>
      asked !== id ? store.load(asked) : Effect.flatMap(store.load(id), (stored) => {
        if (!isKnown) {
          isKnown = true
          found = stored
        }
        return found !== undefined && isCurrent(found, stored) ? seen(stored) : Effect.succeed(stored)
      }),
    save: (session, change) =>
      session.id !== id ?
        store.save(session, change) :
        Effect.flatMap(know(session), () =>
          found !== undefined && isCurrent(found, session) && session.version !== version
            ? store.truncate(session, version, change)
            : store.save(session, change))
  }
}

/**
 * The cases of the suite for stores whose sessions expire.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Session from "../../Session.ts"
import * as SessionStore from "../../SessionStore.ts"
import type * as Suite from "../SessionStoreSuite.ts"
import { expect, expectBegun, expectConflict, expectReason, expectSession, later, openedWith } from "./sessionChecks.ts"
import { text } from "./sessionSamples.ts"

const minute = 60_000

/**
 * The cases.
 *
 * @category cases
 * @since 0.1.0
 */
export const cases = <E, R>(layer: Layer.Layer<SessionStore.SessionStore, E, R>): ReadonlyArray<Suite.Case<E, R>> => {
  const opened = openedWith(
    Layer.provide(layer, Layer.succeed(SessionStore.TimeToLive, "10 minutes"))
  )
  const ids = (store: SessionStore.SessionStore["Service"], id: string) =>
    Effect.map(
      store.list({ pageSize: 1000 }),
      ({ sessions }) => sessions.map((summary) => summary.id).filter((each) => each.startsWith(id)).sort()
    )
  return [
    {
      name: "an expired session does not exist",
      effect: opened((store) =>
        Effect.gen(function*() {
          const id = "expired"
          const first = yield* store.save(yield* store.load(id), { append: [text("first")], state: { old: true } })
          yield* expectSession("the session before its time", yield* later(9 * minute)(store.load(id)), first)
          // each save extends the life of the session
          const second = yield* later(9 * minute)(store.save(first, { append: [text("second")] }))
          yield* expectSession("the session that lives on", yield* later(18 * minute)(store.load(id)), second)
          const atEnd = later(19 * minute)
          yield* expectSession("the expired session", yield* atEnd(store.load(id)), Session.empty(id))
          yield* expect("the list", yield* atEnd(ids(store, id)), [])
          yield* expectConflict(atEnd(store.save(second, { append: [text("lost")] })), 2, 0)
          yield* expectConflict(atEnd(store.truncate(second, 1)), 2, 0)
          yield* expectReason(atEnd(store.fork(id, { to: `${id}-fork`, version: 2 })), "SessionVersionUnknown")
          // an expired session begins again
          const again = yield* atEnd(store.save(Session.empty(id), { append: [text("again")] }))
          yield* expectBegun("the session that begins again", again, {
            ...Session.empty(id),
            history: again.history,
            version: 1
          })
          yield* expect("the length of its history", again.history.content.length, 1)
          yield* expectSession("the loaded session", yield* atEnd(store.load(id)), again)
          yield* expectConflict(atEnd(store.save(first, { append: [text("lost")] })), 1, 1)
          yield* expectReason(atEnd(store.fork(id, { to: `${id}-fork`, version: 2 })), "SessionVersionUnknown")
          yield* atEnd(store.remove(id))
        })
      )
    },
    {
      name: "a fork may take the place of an expired session",
      effect: opened((store) =>
        Effect.gen(function*() {
          const old = yield* store.save(yield* store.load("place"), { append: [text("old"), text("older")] })
          const atEnd = later(10 * minute)
          yield* atEnd(store.save(yield* store.load("place-source"), { append: [text("new")] }))
          const fork = yield* atEnd(store.fork("place-source", { to: "place" }))
          yield* expectSession("the fork", yield* atEnd(store.load("place")), fork)
          yield* expect("the length of its history", fork.history.content.length, 1)
          yield* expectConflict(atEnd(store.save(old, { append: [text("lost")] })), 1, 1)
          yield* atEnd(Effect.andThen(store.remove("place"), store.remove("place-source")))
        })
      )
    },
    {
      name: "a sweep takes away what is expired and nothing else",
      effect: opened((store) =>
        Effect.gen(function*() {
          for (const each of ["swept-1", "swept-2", "swept-3"]) {
            yield* store.save(yield* store.load(each), { append: [text(each)], state: { each } })
          }
          const kept = yield* later(5 * minute)(
            store.save(yield* store.load("swept-kept"), { append: [text("kept")] })
          )
          yield* expect("a sweep too early", yield* later(9 * minute)(store.sweep), 0)
          const atEnd = later(10 * minute)
          const again = yield* atEnd(store.save(Session.empty("swept-3"), { append: [text("again")] }))
          yield* expect("the sessions that were swept", yield* atEnd(store.sweep), 2)
          yield* expect("a second sweep", yield* atEnd(store.sweep), 0)
          // they are deleted, not hidden: they are gone also at a time at which they would not be expired
          yield* expectSession("a swept session", yield* store.load("swept-1"), Session.empty("swept-1"))
          yield* expect("the list", yield* atEnd(ids(store, "swept")), ["swept-3", "swept-kept"])
          yield* expectSession("a session that was not expired", yield* atEnd(store.load("swept-kept")), kept)
          yield* expectSession("a session that began again", yield* atEnd(store.load("swept-3")), again)
          const next = yield* store.save(yield* store.load("swept-1"), { append: [text("next")] })
          yield* expectSession("a swept session that begins again", yield* store.load("swept-1"), next)
        })
      )
    }
  ]
}

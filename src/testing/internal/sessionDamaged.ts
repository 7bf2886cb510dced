/**
 * The cases of the suite for stores in which a record can be damaged.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Session from "../../Session.ts"
import * as SessionStore from "../../SessionStore.ts"
import type * as Suite from "../SessionStoreSuite.ts"
import { expect, expectSession, later } from "./sessionChecks.ts"
import { text } from "./sessionSamples.ts"

const minute = 60_000

/**
 * The cases.
 *
 * @category cases
 * @since 0.1.0
 */
export const cases = <D, E, R, E2 = never>(
  layer: Layer.Layer<SessionStore.SessionStore | D, E, R>,
  damage: (id: string) => Effect.Effect<void, E2, D>
): ReadonlyArray<Suite.Case<E | E2, R>> => {
  const expiring = Layer.fresh(Layer.provide(layer, Layer.succeed(SessionStore.TimeToLive, "10 minutes")))
  /** With how many warnings it has logged. */
  const warned = <A, E3, R3>(effect: Effect.Effect<A, E3, R3>) =>
    Effect.suspend(() => {
      let count = 0
      const logger = Logger.make(({ logLevel }) => {
        if (logLevel === "Warn") count++
      })
      return Effect.map(Effect.provide(effect, Logger.layer([logger])), (value) => [value, count] as const)
    })
  const listed = Effect.fnUntraced(function*(store: SessionStore.SessionStore["Service"], pageSize: number) {
    const ids: Array<string> = []
    let cursor: string | undefined
    do {
      const page: SessionStore.Page = yield* store.list({ pageSize, cursor })
      ids.push(...page.sessions.map(({ id }) => id))
      cursor = page.next
    } while (cursor !== undefined)
    return ids
  })
  return [{
    name: "a record that cannot be read is left out of the list and of the sweep, and told, and the others are not",
    effect: Effect.gen(function*() {
      const store = yield* SessionStore.SessionStore
      const ids = ["damaged-1", "damaged-2", "damaged-3", "damaged-4"]
      for (const [index, id] of ids.entries()) {
        yield* later(index)(store.save(yield* store.load(id), { append: [text(id)], state: { id } }))
      }
      const kept = yield* later(5 * minute)(store.save(yield* store.load("damaged-kept"), { append: [text("kept")] }))
      const healthy = ["damaged-kept", "damaged-4", "damaged-3", "damaged-1"]
      yield* expect("the list before", (yield* warned(listed(store, 100)))[1], 0)
      yield* damage("damaged-2")
      for (const pageSize of [1, 2, 100]) {
        const [found, warnings] = yield* warned(listed(store, pageSize))
        yield* expect(`the ids in pages of ${pageSize}`, found, healthy)
        yield* expect("whether the list has warned", warnings > 0, true)
      }
      const [swept, warnings] = yield* warned(later(11 * minute)(store.sweep))
      yield* expect("the sessions that were swept", swept, 3)
      yield* expect("whether the sweep has warned", warnings > 0, true)
      yield* expectSession("a session that is not expired", yield* store.load("damaged-kept"), kept)
      yield* expectSession("a swept session", yield* store.load("damaged-1"), Session.empty("damaged-1"))
      // it is there, readable or not
      const isThere = yield* Effect.match(store.load("damaged-2"), {
        onFailure: ({ reason }) => ["SessionRecordInvalid", "SessionStoreUnavailable"].includes(reason._tag),
        onSuccess: ({ version }) => version > 0
      })
      yield* expect("whether the damaged session is still there", isThere, true)
      yield* store.remove("damaged-2")
      yield* expectSession("the removed session", yield* store.load("damaged-2"), Session.empty("damaged-2"))
      yield* expect("the warnings after its removal", (yield* warned(store.list()))[1], 0)
      yield* store.remove("damaged-kept")
    }).pipe(Effect.provide(expiring))
  }]
}

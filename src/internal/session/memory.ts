/**
 * Sessions in memory.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Session from "../../Session.ts"
import type * as SessionStore from "../../SessionStore.ts"
import { conflict, isCurrent } from "./change.ts"
import * as Expiry from "./expiry.ts"
import * as Listing from "./listing.ts"
import * as Versions from "./versions.ts"

/**
 * Creates the operations on sessions that live as long as the returned value.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (timeToLive: Duration.Input): SessionStore.Options & SessionStore.ManyOptions => {
  const sessions = new Map<string, Versions.Kept>()
  const moment = Expiry.moment(timeToLive)

  const find = (id: string, { expired }: Expiry.Moment): Versions.Kept => {
    const kept = sessions.get(id)
    return kept === undefined || kept.updated <= expired ? Versions.nothing(id) : kept
  }

  /** No other operation can come between reading a session and changing it. */
  const change = (
    session: Session.Session,
    f: (kept: Versions.Kept, now: number) => Effect.Effect<Versions.Kept, Session.SessionError>
  ): Effect.Effect<Session.Session, Session.SessionError> =>
    Effect.flatMap(moment, (moment) => {
      const kept = find(session.id, moment)
      if (!isCurrent(session, kept.session)) return Effect.fail(conflict(session, kept.session.version))
      return Effect.map(f(kept, moment.now), (next) => {
        if (next.session.version > 0) sessions.set(session.id, next)
        return next.session
      })
    })

  return {
    load: (id) => Effect.map(moment, (moment) => find(id, moment).session),
    save: (session, added) => change(session, (kept, now) => Effect.succeed(Versions.save(kept, added, now))),
    remove: (id) => Effect.sync(() => void sessions.delete(id)),
    list: (options) =>
      Effect.flatMap(Listing.toQuery(options), (query) =>
        Effect.map(moment, ({ expired }) => {
          const kept = Array.from(sessions.values()).filter(({ updated }) => updated > expired)
          return Listing.pageOf(query, kept.map(Versions.toSummary))
        })),
    fork: (id, options) =>
      Effect.flatMap(moment, (moment) =>
        Effect.flatMap(
          Versions.fork(find(id, moment), options, moment.now),
          (forked) => change(Session.empty(options.to), () => Effect.succeed(forked))
        )),
    loadVersion: (id, version) => Effect.flatMap(moment, (moment) => Versions.at(find(id, moment), version)),
    truncate: (session, version, added) => change(session, (kept, now) => Versions.truncate(kept, version, now, added)),
    sweep: Effect.map(moment, ({ expired }) => {
      let count = 0
      for (const [id, { updated }] of sessions) if (updated <= expired && sessions.delete(id)) count++
      return count
    })
  }
}

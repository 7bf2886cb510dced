/**
 * The expiry of sessions.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * The time of a call, and the time up to which saves are expired by then. The second is before all saves if sessions
 * live for ever. Both are in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Moment {
  readonly now: number
  readonly expired: number
}

/**
 * Reads the clock.
 *
 * @category constructors
 * @since 0.1.0
 */
export const moment = (timeToLive: Duration.Input): Effect.Effect<Moment> => {
  const millis = Duration.toMillis(timeToLive)
  return Effect.map(Clock.currentTimeMillis, (now) => ({ now, expired: Math.max(Math.floor(now - millis), never) }))
}

/**
 * A time before all saves.
 *
 * @category models
 * @since 0.1.0
 */
export const never: number = Number.MIN_SAFE_INTEGER

/**
 * When a session is expired.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * The moment of a call, and the last moment of a save that is expired by then: before the beginning of time when sessions
 * live for ever. Both in milliseconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Moment {
  readonly now: number
  readonly expired: number
}

/**
 * Looks at the clock.
 *
 * @category constructors
 * @since 0.1.0
 */
export const moment = (timeToLive: Duration.Input): Effect.Effect<Moment> => {
  const millis = Duration.toMillis(timeToLive)
  return Effect.map(Clock.currentTimeMillis, (now) => ({ now, expired: Math.max(Math.floor(now - millis), never) }))
}

/**
 * Before the beginning of time.
 *
 * @category models
 * @since 0.1.0
 */
export const never: number = Number.MIN_SAFE_INTEGER

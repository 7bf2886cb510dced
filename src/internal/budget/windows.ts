/**
 * When an account is refilled.
 *
 * @since 0.1.0
 */

import * as Cron from "effect/Cron"
import * as Duration from "effect/Duration"

/**
 * Returns the function from a moment to the begin of its window, both in milliseconds since 1970: every process finds the
 * same. Without a refill the only window begins at 0.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (refill: Duration.Input | Cron.Cron | undefined): (now: number) => number => {
  if (refill === undefined) return () => 0
  if (Cron.isCron(refill)) return byCron(refill)
  const length = Duration.toMillis(refill)
  return length === Infinity ? () => 0 : (now) => Math.floor(now / length) * length
}

const byCron = (cron: Cron.Cron) => {
  // the window that was asked for last: to search a schedule takes longer than a look at the clock
  let begin = Infinity
  let end = -Infinity
  return (now: number): number => {
    if (now < begin || now >= end) {
      // `prev` is strictly before, and a schedule knows no less than a second
      const nextSecond = (Math.floor(now / 1000) + 1) * 1000
      begin = Cron.prev(cron, nextSecond).getTime()
      end = Cron.next(cron, now).getTime()
    }
    return begin
  }
}

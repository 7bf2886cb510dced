/**
 * The windows of an account.
 *
 * @since 0.1.0
 */

import * as Cron from "effect/Cron"
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"

/**
 * Returns the function from a time to the beginning of its window, both in milliseconds since 1970. Every process finds
 * the same window. Without a refill the only window begins at 0. Returns `undefined` for a duration that is not positive.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (refill: Duration.Input | Cron.Cron | undefined): ((now: number) => number) | undefined => {
  if (refill === undefined) return () => 0
  if (Cron.isCron(refill)) return byCron(refill)
  const length = Option.match(Duration.fromInput(refill), { onNone: () => NaN, onSome: Duration.toMillis })
  if (!(length > 0)) return undefined
  return length === Infinity ? () => 0 : (now) => Math.floor(now / length) * length
}

const byCron = (cron: Cron.Cron) => {
  // the last window, because searching a schedule takes longer than reading the clock
  let begin = Infinity
  let end = -Infinity
  return (now: number): number => {
    if (now < begin || now >= end) {
      // `prev` is strictly earlier, and schedules have a resolution of one second
      const nextSecond = (Math.floor(now / 1000) + 1) * 1000
      begin = Cron.prev(cron, nextSecond).getTime()
      end = Cron.next(cron, now).getTime()
    }
    return begin
  }
}

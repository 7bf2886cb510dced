/**
 * The first answers of many members.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

/**
 * Returns the first `size` values in the order in which they come, and interrupts the other effects. If so many values
 * are not possible any more, it fails with all of the failures.
 *
 * @category combinators
 * @since 0.1.0
 */
export const first = Effect.fnUntraced(function*<A, E, R>(all: ReadonlyArray<Effect.Effect<A, E, R>>, size: number) {
  const enough = yield* Deferred.make<ReadonlyArray<A>, E>()
  const values: Array<A> = []
  const failures: Array<Cause.Cause<E>> = []
  const asking = Effect.forEach(all, (one) =>
    Effect.matchCauseEffect(one, {
      onSuccess: (value) => values.push(value) === size ? Deferred.succeed(enough, values) : Effect.void,
      onFailure: (cause) =>
        failures.push(cause) === all.length - size + 1
          ? Deferred.failCause(enough, failures.reduce(Cause.combine))
          : Effect.void
    }), { concurrency: "unbounded", discard: true })
  return yield* Effect.raceFirst(Deferred.await(enough), Effect.andThen(asking, Effect.never))
})

/**
 * Returns the first value, and interrupts the other effects. Each effect begins when those before it have had this much
 * time, or when one of them has failed.
 *
 * @category combinators
 * @since 0.1.0
 */
export const hedged = <A, E, R>(
  [head, ...rest]: ReadonlyArray<Effect.Effect<A, E, R>>,
  delay: Duration.Input
): Effect.Effect<A, E, R> =>
  rest.length === 0
    ? head!
    : Effect.flatMap(Deferred.make<void>(), (failed) =>
      Effect.raceAll([
        Effect.onError(head!, () => Deferred.succeed(failed, undefined)),
        Effect.andThen(Effect.timeoutOption(Deferred.await(failed), delay), hedged(rest, delay))
      ]))

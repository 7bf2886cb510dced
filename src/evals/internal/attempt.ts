/**
 * Effects whose `Exit` is data, whatever it is.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"

/**
 * Runs an effect in a fiber of its own, and returns how it ended. So an effect that interrupts its own fiber ends only
 * itself. When the caller is interrupted the effect is, and has ended when the caller goes on.
 *
 * @category running
 * @since 0.1.0
 */
export const attempt = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<Exit.Exit<A, E>, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(
      Effect.forkChild(restore(effect)),
      (fiber) => Effect.onInterrupt(restore(Fiber.await(fiber)), () => Fiber.interrupt(fiber))
    )
  )

/**
 * Runs an effect like `attempt`, and interrupts it after a time. It has ended when this returns.
 *
 * @category running
 * @since 0.1.0
 */
export const attemptWithin = <A, E, R, E2>(
  effect: Effect.Effect<A, E, R>,
  timeout: Duration.Duration,
  onTimeout: () => E2
): Effect.Effect<Exit.Exit<A, E | E2>, never, R> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkChild(restore(effect)), (fiber) => {
      const awaiting = restore(Effect.timeoutOption(Fiber.await(fiber), timeout))
      return Effect.flatMap(Effect.onInterrupt(awaiting, () => Fiber.interrupt(fiber)), (exit) =>
        exit._tag === "Some"
          ? Effect.succeed<Exit.Exit<A, E | E2>>(exit.value)
          : Effect.as(Fiber.interrupt(fiber), Exit.fail(onTimeout())))
    })
  )

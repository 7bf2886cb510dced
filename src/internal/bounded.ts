/**
 * Runs an effect that must not hold up the end of a run.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * Runs an effect in a fiber of its own and waits for it, also in an
 * uninterruptible region, but not longer than the budget: then its fiber is
 * interrupted, not awaited, and the result is `undefined`.
 *
 * Interrupting the caller does not interrupt the effect.
 *
 * @category running
 * @since 0.1.0
 */
export const bounded = <A, E>(
  effect: Effect.Effect<A, E>,
  budget: Duration.Input,
  context: Context.Context<never>
): Effect.Effect<Exit.Exit<A, E> | undefined> =>
  Effect.suspend(() => {
    const fork = Effect.runForkWith(context)
    const fiber = fork(effect)
    const done = fiber.pollUnsafe()
    if (done !== undefined) return Exit.succeed(done)
    return Effect.uninterruptible(Effect.callback<Exit.Exit<A, E> | undefined>((resume) => {
      const timer = fork(Effect.sleep(budget))
      const removeObserver = fiber.addObserver((exit) => {
        timer.interruptUnsafe()
        resume(Exit.succeed(exit))
      })
      timer.addObserver((exit) => {
        if (exit._tag === "Failure") return
        removeObserver()
        fiber.interruptUnsafe()
        resume(Exit.succeed(undefined))
      })
    }))
  })

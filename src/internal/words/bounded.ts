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
 * Starts an effect in a fiber of its own and gives its exit to `onExit`. When it
 * has ended at once and `onExit` has nothing to run, the result is `undefined`.
 *
 * Otherwise the result waits for it, also in an uninterruptible region, but not
 * longer than the budget: then its fiber is interrupted, not awaited, and the exit
 * is `undefined`. Interrupting the caller does not interrupt the effect.
 *
 * @category running
 * @since 0.1.0
 */
export const bounded = <A, E>(
  effect: Effect.Effect<A, E>,
  budget: Duration.Input,
  context: Context.Context<never>,
  onExit: (exit: Exit.Exit<A, E> | undefined) => Effect.Effect<void> | undefined
): Effect.Effect<void> | undefined => {
  if (Exit.isExit(effect)) return onExit(effect as Exit.Exit<A, E>)
  const fork = Effect.runForkWith(context)
  const fiber = fork(effect)
  const exit = fiber.pollUnsafe()
  if (exit !== undefined) return onExit(exit)
  const ended = Effect.callback<Exit.Exit<A, E> | undefined>((resume) => {
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
  })
  return Effect.uninterruptible(Effect.flatMap(ended, (exit) => onExit(exit) ?? Effect.void))
}

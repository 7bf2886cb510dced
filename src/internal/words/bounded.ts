/**
 * Runs an effect that must not delay the end of a run.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/**
 * Starts an effect in a fiber of its own, and gives its exit to `onExit`. If it has ended at once and `onExit` has
 * nothing to run, the result is `undefined`.
 *
 * Otherwise the result waits for the effect, also in an uninterruptible region, but not longer than the budget. Then
 * the fiber is interrupted without waiting for it, and the exit is `undefined`. Interrupting the caller does not
 * interrupt the effect.
 *
 * An effect that commits is interrupted only where it allows that, and then has the same budget once more to report
 * what it has done.
 *
 * @category running
 * @since 0.1.0
 */
export const bounded = <A, E>(
  effect: Effect.Effect<A, E>,
  budget: Duration.Input,
  context: Context.Context<never>,
  onExit: (exit: Exit.Exit<A, E> | undefined) => Effect.Effect<void> | undefined,
  commits = false
): Effect.Effect<void> | undefined => {
  if (Exit.isExit(effect)) return onExit(effect as Exit.Exit<A, E>)
  const fork = Effect.runForkWith(context)
  const fiber = fork(effect, { uninterruptible: commits })
  const exit = fiber.pollUnsafe()
  if (exit !== undefined) return onExit(exit)
  const ended = Effect.callback<Exit.Exit<A, E> | undefined>((resume) => {
    let timer = fork(Effect.sleep(budget))
    const removeObserver = fiber.addObserver((exit) => {
      timer.interruptUnsafe()
      resume(Exit.succeed(exit))
    })
    const onTime = (then: () => void) =>
      timer.addObserver((exit) => {
        if (exit._tag === "Success") then()
      })
    const leave = (): void => resume(Exit.succeed(undefined))
    onTime(() => {
      if (!commits) removeObserver()
      fiber.interruptUnsafe()
      if (!commits) return leave()
      if (fiber.pollUnsafe() !== undefined) return
      timer = fork(Effect.sleep(budget))
      onTime(() => {
        removeObserver()
        leave()
      })
    })
  })
  return Effect.uninterruptible(Effect.flatMap(ended, (exit) => onExit(exit) ?? Effect.void))
}

/**
 * Closes a scope finalizer by finalizer.
 *
 * `Scope.close` runs all finalizers as one effect. If that is interrupted because one of them hangs, those that have
 * not begun are lost. Here each finalizer is an effect of its own.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"

type Finalizer = Effect.Effect<unknown>

/**
 * Closes the scope, and gives each of its finalizers to `run`, the last added one first, each when the one before it
 * has ended. `run` returns an effect to wait for, or `undefined`, and so does this function.
 *
 * @category running
 * @since 0.1.0
 */
export const closeEach = (
  scope: Scope.Closeable,
  exit: Exit.Exit<unknown, unknown>,
  run: (finalizer: Finalizer) => Effect.Effect<void> | undefined
): Effect.Effect<void> | undefined => {
  const { state } = scope
  if (state._tag === "Closed") return undefined
  scope.state = { _tag: "Closed", exit }
  if (state._tag === "Empty") return undefined
  const { finalizer, finalizers } = state
  if (finalizer !== undefined) return run(suspended(finalizer, exit))
  return runFrom(Array.from(finalizers!.values(), (finalizer) => suspended(finalizer, exit)).reverse(), 0, run)
}

/** A function that throws is a finalizer that dies. */
const suspended = (
  finalizer: (exit: Exit.Exit<unknown, unknown>) => Finalizer,
  exit: Exit.Exit<unknown, unknown>
): Finalizer => Effect.suspend(() => finalizer(exit))

/**
 * Adds a finalizer to a scope, and then gives the value. `Scope.addFinalizerExit` is an effect of its own, which the
 * first finalizer of a scope does not need.
 *
 * @category running
 * @since 0.1.0
 */
export const addedTo = <A>(
  scope: Scope.Closeable,
  finalizer: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<void>,
  value: A
): Effect.Effect<A> => {
  if (scope.state._tag !== "Empty") return Effect.as(Scope.addFinalizerExit(scope, finalizer), value)
  scope.state = { _tag: "Open", finalizerKey: finalizer, finalizer, finalizers: undefined }
  return Exit.succeed(value)
}

const runFrom = (
  finalizers: ReadonlyArray<Finalizer>,
  from: number,
  run: (finalizer: Finalizer) => Effect.Effect<void> | undefined
): Effect.Effect<void> | undefined => {
  for (let index = from; index < finalizers.length; index++) {
    const rest = run(finalizers[index])
    if (rest !== undefined) return Effect.flatMap(rest, () => runFrom(finalizers, index + 1, run) ?? Effect.void)
  }
  return undefined
}

/**
 * Ends with an exit after something was closed, which cannot be interrupted and most often is done at once.
 *
 * @category running
 * @since 0.1.0
 */
export const closedBy = <A, E>(
  close: () => Effect.Effect<unknown> | undefined,
  exit: Effect.Effect<A, E>
): Effect.Effect<A, E> =>
  Effect.onExitPrimitive(exit, () => {
    const rest = close()
    return rest === undefined || isSuccess(rest) ? undefined : Effect.asVoid(rest)
  })

const isSuccess = (effect: Effect.Effect<unknown>): boolean => Exit.isExit(effect) && Exit.isSuccess(effect)

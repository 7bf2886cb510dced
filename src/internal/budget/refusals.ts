/**
 * How the run that has a budget fails when a run nested in it is refused a call.
 *
 * @since 0.1.0
 */

import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"

/**
 * Those who were refused in one run, and what the run fails with.
 *
 * @category models
 * @since 0.1.0
 */
export class Refusals<E> {
  private guards = 0
  private readonly failure: Deferred.Deferred<never, E> = Deferred.makeUnsafe()

  /** Fails when somebody was refused. */
  protected readonly refused: Effect.Effect<never, E> = Deferred.await(this.failure)

  /** Fails when somebody was refused. */
  readonly limitReached: Effect.Effect<never, E> = this.refused

  /**
   * What becomes of a call that is refused. If the run that has the budget guards it,
   * it waits for its end: only that run has the failure in its type.
   */
  refuse(error: E): Effect.Effect<never> {
    Deferred.doneUnsafe(this.failure, Exit.fail(error))
    // unguarded, it is the run's own call, or that of a provider of its
    return this.guards > 0 ? Effect.never : Exit.fail(error) as Exit.Exit<never>
  }

  guarding<A, E2, R>(effect: Effect.Effect<A, E2, R>): Effect.Effect<A, E2, R> {
    return Effect.suspend(() => {
      this.guards++
      return Effect.ensuring(effect, Effect.sync(() => this.guards--))
    })
  }

  /** The stream fails when the limit is reached, and what it does then is interrupted. */
  cut<A, E2, R>(stream: Stream.Stream<A, E2, R>): Stream.Stream<A, E | E2, R> {
    return Stream.transformPull(
      stream,
      (pull) => Effect.succeed(this.guarding(Effect.raceFirst(pull, this.limitReached)))
    )
  }
}

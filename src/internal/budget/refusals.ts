/**
 * Fails the run that has a budget when a call of a nested run is refused.
 *
 * @since 0.1.0
 */

import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Stream from "effect/Stream"

/**
 * The refusals in one run, and the failure of that run.
 *
 * @category models
 * @since 0.1.0
 */
export class Refusals<E> {
  private guards = 0
  private readonly failure: Deferred.Deferred<never, E> = Deferred.makeUnsafe()

  /** Fails when a call was refused. */
  protected readonly refused: Effect.Effect<never, E> = Deferred.await(this.failure)

  /** Fails when a call was refused. */
  readonly limitReached: Effect.Effect<never, E> = this.refused

  /**
   * The end of a refused call. If the run with the budget watches it, the call waits for its own end, because only that
   * run has the failure in its type.
   */
  refuse(error: E): Effect.Effect<never> {
    Deferred.doneUnsafe(this.failure, Exit.fail(error))
    // unwatched, it is a call of the run itself, or of one of its providers
    return this.guards > 0 ? Effect.never : Exit.fail(error) as Exit.Exit<never>
  }

  guarding<A, E2, R>(effect: Effect.Effect<A, E2, R>): Effect.Effect<A, E2, R> {
    return Effect.suspend(() => {
      this.guards++
      return Effect.ensuring(effect, Effect.sync(() => this.guards--))
    })
  }

  /** Returns the stream; it fails when the limit is reached, and what it is doing then is interrupted. */
  cut<A, E2, R>(stream: Stream.Stream<A, E2, R>): Stream.Stream<A, E | E2, R> {
    return Stream.transformPull(
      stream,
      (pull) => Effect.succeed(this.guarding(Effect.raceFirst(pull, this.limitReached)))
    )
  }
}

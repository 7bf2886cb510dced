/**
 * Allows one pull of a run at a time, from any fiber.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { PartPull } from "../words/partPull.ts"

/**
 * The turns of the fibers that pull a run. Most runs are pulled by one fiber, which never waits.
 *
 * @category models
 * @since 0.1.0
 */
export class Turns {
  private puller: Fiber.Fiber<unknown, unknown> | undefined = undefined
  private pulling = false
  private waiting: Array<() => void> | undefined = undefined

  /** A pull waits for the pull of another fiber, unless that one was interrupted with its fiber. */
  take(fiber: Fiber.Fiber<unknown, unknown>, advance: () => PartPull): PartPull {
    const { puller } = this
    if (this.pulling && puller !== undefined && puller !== fiber && puller.pollUnsafe() === undefined) {
      return Effect.andThen(
        // the other fiber gets its parts first
        Effect.andThen(this.wait, Effect.yieldNow),
        Effect.suspend(() => this.take(fiber, advance))
      )
    }
    this.puller = fiber
    this.pulling = true
    const parts = advance()
    // parts that are already there have usually ended the turn themselves
    if (this.pulling && Exit.isExit(parts)) this.end()
    return parts
  }

  /** Whether nobody waits for a part. */
  get isIdle(): boolean {
    return !this.pulling
  }

  /** The pull in progress has its parts. If this is not called, the turn ends with the fiber, or with its next pull. */
  end(): void {
    this.pulling = false
    const { waiting } = this
    if (waiting === undefined) return
    this.waiting = undefined
    for (const wake of waiting) wake()
  }

  private readonly wait = Effect.callback<void>((resume) => {
    const { puller } = this
    if (!this.pulling || puller === undefined) return resume(Effect.void)
    const removeObserver = puller.addObserver(() => resume(Effect.void))
    const waiting = this.waiting ??= []
    waiting.push(() => {
      removeObserver()
      resume(Effect.void)
    })
  })
}

/**
 * One pull of a run at a time, whoever pulls.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import type { PartPull } from "../words/partPull.ts"

/**
 * The turns of the fibers that pull a run. Most runs are pulled by one: it never waits.
 *
 * @category models
 * @since 0.1.0
 */
export class Turns {
  private puller: Fiber.Fiber<unknown, unknown> | undefined = undefined
  private pulling = false
  private waiting: Array<() => void> | undefined = undefined

  /** A pull waits for that of another fiber; one that was interrupted with its fiber is not waited for. */
  take(fiber: Fiber.Fiber<unknown, unknown>, advance: () => PartPull): PartPull {
    const { puller } = this
    if (this.pulling && puller !== undefined && puller !== fiber && puller.pollUnsafe() === undefined) {
      return Effect.andThen(
        // the other fiber is given its parts first
        Effect.andThen(this.wait(puller), Effect.yieldNow),
        Effect.suspend(() => this.take(fiber, advance))
      )
    }
    this.puller = fiber
    this.pulling = true
    const parts = advance()
    // most of what has come at once has said so
    if (this.pulling && Exit.isExit(parts)) this.end()
    return parts
  }

  /** Whether nobody waits for a part. */
  get isIdle(): boolean {
    return !this.pulling
  }

  /** The pull in progress has what it gives. A turn whose end nobody tells ends with the fiber, or with its next pull. */
  end(): void {
    this.pulling = false
    const { waiting } = this
    if (waiting === undefined) return
    this.waiting = undefined
    for (const wake of waiting) wake()
  }

  private wait(puller: Fiber.Fiber<unknown, unknown>): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const removeObserver = puller.addObserver(() => resume(Effect.void))
      const waiting = this.waiting ??= []
      waiting.push(() => {
        removeObserver()
        resume(Effect.void)
      })
    })
  }
}

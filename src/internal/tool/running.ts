/**
 * One tool call while it runs.
 *
 * @since 0.1.0
 */

import type * as Fiber from "effect/Fiber"
// a call tells its span how it ended, but makes none
import type { ToolSpan } from "../telemetry/instrumentation.ts"

/**
 * The fiber of a running call, its span, and the timer of its time limit.
 *
 * @category models
 * @since 0.1.0
 */
export class Running {
  /** Set when the fiber begins. */
  declare fiber: Fiber.Fiber<unknown, unknown>
  readonly span: ToolSpan | undefined
  timer: Fiber.Fiber<void> | undefined = undefined

  constructor(span: ToolSpan | undefined) {
    this.span = span
  }

  /** Interrupts the call without waiting for it. It is `ending` until its fiber has ended. */
  cancel(ending: Set<Fiber.Fiber<unknown, unknown>>): void {
    this.timer?.interruptUnsafe()
    this.span?.end({ _tag: "Cancelled" })
    ending.add(this.fiber)
    this.fiber.interruptUnsafe()
  }
}

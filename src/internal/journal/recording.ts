/**
 * Records a call while code in its run waits for it. That code may stop waiting.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type { JournalError } from "../words/journalError.ts"
import type * as Scope from "./scope.ts"

/**
 * The parts of the recording.
 *
 * - `execute`: returns the value to record. It runs in a fiber of its own, so a call that interrupts itself ends like
 *   others.
 * - `interrupted`: the value to record for a call that interrupts itself.
 * - `left`: the value to record for a call that was left before it had ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly name: string
  readonly kind: string
  readonly execute: Effect.Effect<unknown>
  readonly interrupted: Effect.Effect<unknown>
  readonly left: Effect.Effect<unknown>
}

/**
 * @category models
 * @since 0.1.0
 */
export class Recording {
  readonly fiber: Fiber.Fiber<Scope.Recorded, JournalError>
  private readonly scope: Scope.Scope
  private inner: Fiber.Fiber<unknown> | undefined = undefined
  private isLeft = false
  private readonly decided = Deferred.makeUnsafe<void>()

  constructor(
    scope: Scope.Scope,
    { execute, interrupted, kind, left, name }: Options,
    context: Context.Context<never>
  ) {
    this.scope = scope
    const fork = Effect.runForkWith(context)
    const afterDecision = Effect.andThen(Deferred.await(this.decided), left)
    const executing = Effect.suspend(() => {
      if (this.isLeft) return afterDecision
      const inner = this.inner = fork(execute)
      return Effect.flatMap(
        Effect.onInterrupt(Fiber.await(inner), () => Fiber.interrupt(inner)),
        (exit) => {
          if (Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)) return exit
          return this.isLeft ? afterDecision : interrupted
        }
      )
    })
    this.fiber = fork(Effect.onExit(scope.record(name, kind, executing), (exit) =>
      Effect.sync(() => {
        const isInterrupted = Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
        if (isInterrupted && !this.isLeft) scope.attempt.isOver = true
      })))
  }

  /** Waits for the record. If the waiting fiber is interrupted, it leaves the call. */
  get recorded(): Effect.Effect<Scope.Recorded, JournalError> {
    return Effect.onInterrupt(Fiber.join(this.fiber), () => this.leave)
  }

  /** Nobody needs the rest of the call, so it is interrupted. Afterwards it has ended. */
  get leave(): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.isLeft || this.fiber.pollUnsafe() !== undefined) return Effect.void
      this.isLeft = true
      this.scope.add({
        settle: Effect.suspend(() => {
          Deferred.doneUnsafe(this.decided, Exit.void)
          return Effect.asVoid(Fiber.await(this.fiber))
        }),
        discard: Fiber.interrupt(this.fiber)
      })
      return this.inner === undefined ? Effect.void : Fiber.interrupt(this.inner)
    })
  }
}

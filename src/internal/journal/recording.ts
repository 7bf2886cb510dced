/**
 * A call that is recorded while somebody in its run waits for it, and may stop waiting.
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
 * What is recorded of a call.
 *
 * - `execute`: gives what is recorded, and runs in a fiber of its own: a call that interrupts itself has an end like
 *   others.
 * - `interrupted`: what is recorded of one that interrupts itself.
 * - `left`: what is recorded of one that was left before it had ended.
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

  /** Waits for the record. Who is interrupted meanwhile leaves the call. */
  get recorded(): Effect.Effect<Scope.Recorded, JournalError> {
    return Effect.onInterrupt(Fiber.join(this.fiber), () => this.leave)
  }

  /** Nobody wants the rest of the call: it is interrupted, and has ended then. */
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

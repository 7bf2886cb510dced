/**
 * The parts of a run in the order in which they came. A reader is a number, the position of the next part that it takes:
 * a reader that is slow or has stopped holds nothing of its own.
 *
 * @since 0.1.0
 */

import type * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Latch from "effect/Latch"
import * as Stream from "effect/Stream"
import type * as RunHub from "../RunHub.ts"

/** How many parts a reader takes at once. What a consumer makes of them is all that it holds when it stops. */
const most = 64

/**
 * @category models
 * @since 0.1.0
 */
export class RunLog<Part, E> {
  private readonly all: Array<RunHub.Numbered<Part>> = []
  private exit: Exit.Exit<void, E> | undefined = undefined
  /** Readers that have seen all parts wait for it. It opens once, so one that comes late to wait does not miss it. */
  private more: Latch.Latch | undefined = undefined

  /** Adds parts, and wakes the readers that wait. It waits for no reader. */
  append(parts: ReadonlyArray<Part>): Effect.Effect<void> {
    return Effect.suspend(() => {
      for (const part of parts) this.all.push({ seq: this.all.length, part })
      return this.wake()
    })
  }

  /** Ends the log. Readers receive the exit after the last part. */
  end(exit: Exit.Exit<void, E>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.exit = exit
      return this.wake()
    })
  }

  private wake(): Effect.Effect<void> {
    const { more } = this
    if (more === undefined) return Effect.void
    this.more = undefined
    return Effect.asVoid(more.open)
  }

  /** Returns the parts after the number `after`, in arrays of those that are there when the reader pulls. */
  read(after = -1): Stream.Stream<RunHub.Numbered<Part>, E> {
    return Stream.fromPull(Effect.sync(() => {
      let next = Math.max(0, after + 1)
      const pull: Effect.Effect<Arr.NonEmptyReadonlyArray<RunHub.Numbered<Part>>, E | Cause.Done> = Effect.suspend(
        () => {
          if (next < this.all.length) {
            const parts = this.all.slice(next, next + most)
            next += parts.length
            return Effect.succeed(parts as unknown as Arr.NonEmptyReadonlyArray<RunHub.Numbered<Part>>)
          }
          if (this.exit === undefined) return Effect.andThen((this.more ??= Latch.makeUnsafe(false)).await, pull)
          return Exit.isSuccess(this.exit) ? Cause.done() : Effect.failCause(this.exit.cause)
        }
      )
      return pull
    }))
  }
}

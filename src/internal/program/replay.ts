/**
 * Brings a program that is run again back to the point where it was.
 *
 * @since 0.1.0
 */

import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Waiting from "../approval/waiting.ts"
import type { Records } from "./records.ts"

/** A program counts as quiet after this many turns of the scheduler without any action. */
const quietTurns = 16

/**
 * Results that are held back from a program until it is their turn, and approvals that it waits for.
 *
 * @category models
 * @since 0.1.0
 */
export class Replay {
  readonly records: Records
  /** Calls of an earlier run that the program has repeated, and that still wait for approvals. */
  readonly waitingCalls = new Set<Waiting.WaitingCall>()
  private readonly context: Context.Context<never>
  private readonly onQuiet: () => void
  /** The number of results that were given. */
  private given = 0
  private readonly early = new Map<number, () => void>()
  private readonly cancelled = new Set<() => void>()
  private touched = 0
  private isWatching = false

  constructor(records: Records, context: Context.Context<never>, onQuiet: () => void) {
    this.records = records
    this.context = context
    this.onQuiet = onQuiet
  }

  /** Records that the program has done something. */
  touch(): void {
    this.touched++
  }

  /**
   * Gives a result after those that were given before it the first time, or when the program does not ask for these.
   */
  inOrder<A, E>(rank: number, result: () => Effect.Effect<A, E>): Effect.Effect<A, E> {
    this.touch()
    if (rank < this.given) return result()
    if (rank === this.given) {
      this.given++
      // fibers that wait continue when this fiber yields
      if (this.early.has(this.given)) {
        Effect.runForkWith(this.context)(Effect.yieldNow).addObserver(() => this.giveNext())
      }
      return result()
    }
    return Effect.callback<A, E>((resume) => {
      // the results before it may have been given in between
      if (rank <= this.given) return resume(Effect.suspend(() => this.inOrder(rank, result)))
      this.early.set(rank, () => resume(Effect.suspend(result)))
      this.watch()
      return Effect.sync(() => {
        this.early.delete(rank)
        this.touch()
      })
    })
  }

  private giveNext(): void {
    for (let give = this.early.get(this.given); give !== undefined; give = this.early.get(this.given)) {
      this.early.delete(this.given++)
      this.touch()
      give()
    }
  }

  /** Whether a result is held back, or an approval is missing. */
  get isHolding(): boolean {
    return this.early.size > 0 || this.cancelled.size > 0 || this.waitingCalls.size > 0
  }

  /** Makes a call again that the program had interrupted, unless the program interrupts it now. */
  unlessCancelled<A, E>(make: () => Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.callback<A, E>((resume) => {
      const begin = () => resume(Effect.suspend(make))
      this.cancelled.add(begin)
      this.watch()
      return Effect.sync(() => {
        this.cancelled.delete(begin)
        this.touch()
      })
    })
  }

  /** Waits for an approval that the run before this one waited for. */
  waiting(call: Waiting.WaitingCall): Effect.Effect<never> {
    return Effect.callback<never>(() => {
      this.waitingCalls.add(call)
      this.watch()
    })
  }

  /** Checks whether the program does nothing more by itself. */
  watch(): void {
    if (this.isWatching) return
    this.isWatching = true
    Effect.runForkWith(this.context)(this.untilQuiet()).addObserver(() => {
      this.isWatching = false
      if (this.release()) this.watch()
      else this.onQuiet()
    })
  }

  private untilQuiet(): Effect.Effect<void> {
    const before = this.touched
    return Effect.flatMap(
      Effect.repeat(Effect.yieldNow, { times: quietTurns - 1 }),
      () => this.touched === before ? Effect.void : this.untilQuiet()
    )
  }

  /** The program does not ask for a result that was given earlier, so the next one is given, or a call is made. */
  private release(): boolean {
    if (this.early.size > 0) {
      this.given = Math.min(...this.early.keys())
      this.giveNext()
      return true
    }
    if (this.cancelled.size === 0) return false
    const begin = [...this.cancelled]
    this.cancelled.clear()
    for (const one of begin) one()
    return true
  }
}

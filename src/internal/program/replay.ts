/**
 * How a program that is run again is brought to where it was.
 *
 * @since 0.1.0
 */

import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Waiting from "../approval/waiting.ts"
import type { Records } from "./records.ts"

/** So many turns of the scheduler without anything of the program are quiet. */
const quietTurns = 16

/**
 * What is held back from a program until its turn comes, and what it waits for.
 *
 * @category models
 * @since 0.1.0
 */
export class Replay {
  readonly records: Records
  /** Calls of an earlier run that the program has made again, and that wait on. */
  readonly waitingCalls = new Set<Waiting.WaitingCall>()
  private readonly context: Context.Context<never>
  private readonly onQuiet: () => void
  /** How many of the results were given. */
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

  /** Something has happened. */
  touch(): void {
    this.touched++
  }

  /** Gives a result when those that were given before it are given, or when the program does not ask for them. */
  inOrder<A, E>(rank: number, result: () => Effect.Effect<A, E>): Effect.Effect<A, E> {
    this.touch()
    if (rank < this.given) return result()
    if (rank === this.given) {
      this.given++
      // those who wait go on when this fiber gives way
      if (this.early.has(this.given)) {
        Effect.runForkWith(this.context)(Effect.yieldNow).addObserver(() => this.giveNext())
      }
      return result()
    }
    return Effect.callback<A, E>((resume) => {
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

  /** Whether something is held back, or waits for a person. */
  get isHolding(): boolean {
    return this.early.size > 0 || this.cancelled.size > 0 || this.waitingCalls.size > 0
  }

  /** Makes a call again that the program had interrupted, if it does not do so now. */
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

  /** Looks whether the program does nothing more by itself. */
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

  /** The program asks for a result although it has not asked for one that was given before, or lets a call go on. */
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

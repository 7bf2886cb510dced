/**
 * A run of the hub.
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Latch from "effect/Latch"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Steering from "../../Steering.ts"
// what its readers know of it
import type * as RunHub from "../RunHub.ts"
import { RunLog } from "./runLog.ts"

/**
 * A run that one fiber of the hub reads, and the state that its readers share.
 *
 * @category models
 * @since 0.1.0
 */
export class Running<Part = any, E = any> {
  live: RunHub.Live<Part, E> | undefined = undefined
  fiber: Fiber.Fiber<void, E> | undefined = undefined
  hasEnded = false
  private readers = 0
  private wasRead = false
  private wasStopped = false
  private leavings = 0
  private readonly ending = Deferred.makeUnsafe<Exit.Exit<void, E>>()
  readonly runId: string
  readonly options: RunHub.StartOptions
  private readonly timers: Scope.Scope
  private readonly unread = Latch.makeUnsafe(true)
  private readonly log = new RunLog<Part, E>()

  constructor(runId: string, options: RunHub.StartOptions, timers: Scope.Scope) {
    this.runId = runId
    this.options = options
    this.timers = timers
  }

  begin(start: AgentRun.RunStart, steering: Steering.Steering): Effect.Effect<RunHub.Live<Part, E>> {
    const { exit, hold, isLeft, isStopped, options: { owner }, parts, runId, stop } = this
    return Effect.map(
      Clock.currentTimeMillis,
      (startedAt) =>
        this.live = { runId, start, startedAt, parts, hold, isLeft, isStopped, exit, stop, steering, owner }
    )
  }

  publish(parts: Stream.Stream<Part, E>): Effect.Effect<void, E> {
    return Stream.runForEachArray(parts, (parts) => this.log.append(parts))
  }

  /** Called also for a run that was stopped before its parts were read. */
  end(exit: Exit.Exit<void, E>): Effect.Effect<void> {
    this.hasEnded = true
    return Effect.andThen(this.log.end(exit), Deferred.succeed(this.ending, exit))
  }

  readonly exit: Effect.Effect<Exit.Exit<void, E>> = Deferred.await(this.ending)

  private readonly interrupt: Effect.Effect<void> = Effect.suspend(() =>
    this.fiber === undefined ? Effect.void : Fiber.interrupt(this.fiber)
  )

  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.hasEnded) this.wasStopped = true
    return this.interrupt
  })

  private readonly isStopped: Effect.Effect<boolean> = Effect.sync(() => this.wasStopped)

  private readonly parts: RunHub.Live<Part, E>["parts"] = (options) =>
    Stream.scoped(Stream.unwrap(Effect.map(this.hold, () => this.log.read(options?.after))))

  private readonly hold: Effect.Effect<void, never, Scope.Scope> = Effect.acquireRelease(
    Effect.sync(() => {
      this.readers++
      this.wasRead = true
      this.unread.closeUnsafe()
    }),
    () => this.leave
  )

  readonly isUnread: Effect.Effect<void> = Effect.suspend(() => this.readers === 0 ? Effect.void : this.unread.await)

  private readonly isLeft: Effect.Effect<boolean> = Effect.sync(() => this.wasRead && this.readers === 0)

  private readonly leave: Effect.Effect<void> = Effect.suspend(() => {
    if (--this.readers === 0) this.unread.openUnsafe()
    const { reconnect = 0, whenLeft } = this.options
    if (whenLeft !== "stop" || this.readers > 0 || this.hasEnded) return Effect.void
    const left = ++this.leavings
    // a reader that has left waits for nothing; one that has come back and left again has a new time limit
    const stop = Effect.suspend(() => this.readers > 0 || this.leavings !== left ? Effect.void : this.interrupt)
    // a run that has ended needs no timer
    return Effect.forkIn(Effect.andThen(Effect.timeoutOption(this.exit, reconnect), stop), this.timers)
  })
}

/**
 * Runs that belong to a scope, with their states.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Agent from "../../Agent.ts"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as AgentTool from "../../AgentTool.ts"
import * as Message from "../../internal/words/message.ts"
import { ParentRun } from "../../internal/words/parentRun.ts"
import * as Steering from "../../Steering.ts"
// the state of a run has types of that module
import type * as Background from "../Background.ts"

type RunExit = Exit.Exit<AgentRun.Result<unknown>, unknown>

/**
 * A run that was started.
 *
 * @category models
 * @since 0.1.0
 */
export class Started {
  readonly id: string
  readonly steering: Steering.Steering
  private readonly worker: string
  private readonly fiber: Fiber.Fiber<AgentRun.Result<unknown>, unknown>

  constructor(
    id: string,
    worker: string,
    steering: Steering.Steering,
    fiber: Fiber.Fiber<AgentRun.Result<unknown>, unknown>
  ) {
    this.id = id
    this.worker = worker
    this.steering = steering
    this.fiber = fiber
  }

  get hasEnded(): boolean {
    return this.fiber.pollUnsafe() !== undefined
  }

  /** Waits for its end. */
  get exit(): Effect.Effect<RunExit> {
    return Fiber.await(this.fiber)
  }

  get stop(): Effect.Effect<void> {
    return Fiber.interrupt(this.fiber)
  }

  get task(): Background.Task {
    const { id, worker } = this
    const exit = this.fiber.pollUnsafe()
    if (exit === undefined) return { id, worker, status: "running" }
    if (Exit.isSuccess(exit)) {
      const { stopReason, text } = exit.value
      const status = stopReason === "approval-required" ? "approval-required" : "completed"
      return { id, worker, status, text }
    }
    if (Cause.hasInterruptsOnly(exit.cause)) return { id, worker, status: "stopped" }
    return { id, worker, status: "failed", text: Message.of(Cause.squash(exit.cause), "The worker failed") }
  }
}

/** The number of ended runs that are known. */
const known = 100

/**
 * The runs of one scope. They are interrupted when it closes, and it waits for them.
 *
 * @category models
 * @since 0.1.0
 */
export class Supervisor {
  readonly maximum: number
  private readonly scope: Scope.Scope
  private readonly isDetached: boolean
  private readonly started = new Map<string, Started>()
  private next = 1

  constructor(scope: Scope.Scope, maximum: number, isDetached: boolean) {
    this.scope = scope
    this.maximum = maximum
    this.isDetached = isDetached
  }

  get all(): ReadonlyArray<Started> {
    return [...this.started.values()]
  }

  find(id: string): Started | undefined {
    return this.started.get(id)
  }

  get isFull(): boolean {
    return this.all.filter((one) => !one.hasEnded).length >= this.maximum
  }

  start(worker: string, agent: Agent.Any, prompt: Prompt.RawInput): Effect.Effect<Started> {
    return Effect.gen({ self: this }, function*() {
      const steering = yield* Steering.make
      const depth = (yield* AgentTool.Depth) + 1
      const maximum = yield* AgentTool.MaximumDepth
      const run = Effect.provideService(Agent.run(agent, { prompt, steering }), AgentTool.Depth, depth)
      // the services of the agent are in the type of the code that starts it
      const running = (depth > maximum
        ? Effect.fail(AgentError.make(agent.name, new AgentError.DepthExceeded({ maximum })))
        : run) as Effect.Effect<AgentRun.Result<unknown>, unknown>
      const own = this.isDetached
        // the run that has started it may end before it does
        ? Effect.updateContext(running, (context: Context.Context<never>) => Context.omit(ParentRun)(context))
        : running
      const fiber = yield* Effect.forkIn(own, this.scope)
      const one = new Started(`task-${this.next++}`, worker, steering, fiber)
      this.started.set(one.id, one)
      this.forget()
      return one
    })
  }

  private forget(): void {
    const ended = this.all.filter((one) => one.hasEnded)
    for (const { id } of ended.slice(0, Math.max(0, ended.length - known))) this.started.delete(id)
  }

  /** Stops all of them at the same time, and waits until they have ended. */
  get stopAll(): Effect.Effect<void> {
    return Effect.forEach(this.all, ({ stop }) => stop, { concurrency: "unbounded", discard: true })
  }
}

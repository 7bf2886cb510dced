/**
 * A task that a run works on, and its readers.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as Arr from "effect/Array"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as PubSub from "effect/PubSub"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Take from "effect/Take"
import * as Requests from "./requests.ts"
import { TaskState } from "./taskState.ts"
import type * as Updates from "./updates.ts"

/** An update with its number among those of the run. */
interface Numbered {
  readonly seq: number
  readonly update: Sdk.StreamResponse
}

type Published = Take.Take<Numbered>

/**
 * Creates the work of a run on a task. The task itself stays as it is.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (owner: string, name: Updates.RunName, task: Sdk.Task): Effect.Effect<Working> =>
  Effect.map(PubSub.unbounded<Published>(), (updates) => new Working(owner, name, task, updates))

/**
 * @category models
 * @since 0.1.0
 */
export class Working {
  readonly owner: string
  readonly name: Updates.RunName
  /** What reads the run. */
  fiber: Fiber.Fiber<unknown, unknown> | undefined = undefined
  hasBegun = false
  /** Whether the last update of the run has come. */
  hasEnded = false
  /** Whether the run was refused before it began, so that the task is as it was. */
  isRefused = false
  private readonly task: TaskState
  private readonly updates: PubSub.PubSub<Published>
  private readonly checking = Deferred.makeUnsafe<void, Requests.Refusal>()
  private readonly beginning = Deferred.makeUnsafe<void, Requests.Refusal>()
  private readonly ending = Deferred.makeUnsafe<void>()
  private isOver = false
  private seq = 0

  constructor(owner: string, name: Updates.RunName, task: Sdk.Task, updates: PubSub.PubSub<Published>) {
    this.owner = owner
    this.name = name
    this.task = new TaskState(task)
    this.updates = updates
  }

  /** Waits until it is sure that the task has not ended. */
  readonly checked: Effect.Effect<void, Requests.Refusal> = Deferred.await(this.checking)

  /** Waits for the beginning of the run. */
  readonly begun: Effect.Effect<void, Requests.Refusal> = Deferred.await(this.beginning)

  /** Waits until the run has ended and the task is stored. */
  readonly ended: Effect.Effect<void> = Deferred.await(this.ending)

  get state(): Sdk.TaskState | undefined {
    return this.task.state
  }

  /** A copy of the task. */
  get snapshot(): Sdk.Task {
    return this.task.snapshot()
  }

  addMessage(message: Sdk.Message): void {
    this.task.addMessage(message)
  }

  publish(updates: Arr.NonEmptyReadonlyArray<Sdk.StreamResponse>): void {
    const numbered = Arr.map(updates, (update) => {
      this.task.add(update)
      return { seq: this.seq++, update }
    })
    const { payload } = Arr.lastNonEmpty(updates)
    this.hasEnded = payload?.$case === "statusUpdate" &&
      payload.value.status?.state !== Sdk.TaskState.TASK_STATE_WORKING
    PubSub.publishUnsafe(this.updates, numbered)
  }

  check(): void {
    Deferred.doneUnsafe(this.checking, Exit.void)
  }

  begin(): void {
    this.hasBegun = true
    Deferred.doneUnsafe(this.beginning, Exit.void)
  }

  refuse(refusal: Requests.Refusal): void {
    this.isRefused = true
    Deferred.doneUnsafe(this.checking, Exit.fail(refusal))
    Deferred.doneUnsafe(this.beginning, Exit.fail(refusal))
  }

  /** Nothing comes any more. */
  over(): void {
    this.isOver = true
    Deferred.doneUnsafe(this.checking, Exit.fail(Requests.ended))
    Deferred.doneUnsafe(this.beginning, Exit.fail(Requests.ended))
    PubSub.publishUnsafe(this.updates, Exit.void)
    Deferred.doneUnsafe(this.ending, Exit.void)
  }

  /** Returns the task as it is, and the updates that are not in it yet. The subscription ends with the scope. */
  read(show: (task: Sdk.Task) => Sdk.Task): Effect.Effect<Stream.Stream<Sdk.StreamResponse>, never, Scope.Scope> {
    return Effect.map(PubSub.subscribe(this.updates), (subscription) => {
      const next = this.seq
      const task: Sdk.StreamResponse = { payload: { $case: "task", value: show(this.snapshot) } }
      if (this.isOver) return Stream.succeed(task)
      const rest = Stream.fromSubscription(subscription).pipe(
        Stream.flattenTake,
        Stream.filter(({ seq }) => seq >= next),
        Stream.map(({ update }) => update)
      )
      return Stream.concat(Stream.succeed(task), rest)
    })
  }
}

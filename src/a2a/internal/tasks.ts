/**
 * The tasks of an agent: what clients ask for, and the runs that work on it.
 *
 * @since 0.1.0
 */
import * as Sdk from "@a2a-js/sdk"
import * as SdkErrors from "@a2a-js/sdk/errors"
import * as SdkServer from "@a2a-js/sdk/server"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as Agent from "../../Agent.ts"
import * as RunId from "../../internal/words/runId.ts"
import * as AgentApi from "../../server/AgentApi.ts"
import type * as OwnedRuns from "../../server/internal/ownedRuns.ts"
import * as Parts from "./parts.ts"
import * as Requests from "./requests.ts"
import * as Updates from "./updates.ts"
import * as Working from "./working.ts"

/** A task for its sender: as it is, or with a run that works on it. `begin` is called once, after reading has begun. */
interface Sent<out R> {
  readonly working: Working.Working
  readonly begin: Effect.Effect<void, Requests.Refusal, R>
}

/**
 * @category models
 * @since 0.1.0
 */
export class Tasks<Tools extends Record<string, Tool.Any>, E, R, A, P, Request = never> {
  private readonly agent: Agent.Agent<Tools, E, R, A, P>
  private readonly runs: OwnedRuns.OwnedRuns<R, Request>
  private readonly store: SdkServer.TaskStore
  /** The scope of the runs' readers. */
  private readonly scope: Scope.Scope
  /** The tasks with a run, by owner and id. */
  private readonly working = new Map<string, Working.Working>()
  /** The tasks without a run that are being canceled. No run starts on them. */
  private readonly canceling = new Set<string>()
  private isClosing = false

  constructor(
    agent: Agent.Agent<Tools, E, R, A, P>,
    runs: OwnedRuns.OwnedRuns<R, Request>,
    store: SdkServer.TaskStore,
    scope: Scope.Scope
  ) {
    this.agent = agent
    this.runs = runs
    this.store = store
    this.scope = scope
  }

  // --- what a client may ask for ----------------------------------------------

  /** Sends a message, and returns the task when it has ended or waits, or at once. */
  send(owner: string, params: Sdk.SendMessageRequest): Effect.Effect<Sdk.Task, Requests.Refusal, Request> {
    const { configuration } = params
    return Effect.gen({ self: this }, function*() {
      const { begin, working } = yield* this.message(owner, params)
      yield* begin
      if (configuration?.returnImmediately !== true) yield* working.ended
      return withHistory(working.snapshot, configuration?.historyLength)
    })
  }

  /** Sends a message, and returns the task and its updates until it has ended or waits. */
  stream(
    owner: string,
    params: Sdk.SendMessageRequest
  ): Effect.Effect<Stream.Stream<Sdk.StreamResponse>, Requests.Refusal, Request | Scope.Scope> {
    // a task that is stored has its run, also if the client leaves now
    return Effect.uninterruptible(Effect.gen({ self: this }, function*() {
      const { begin, working } = yield* this.message(owner, params)
      const updates = yield* working.read((task) => withHistory(task, params.configuration?.historyLength))
      yield* begin
      return updates
    }))
  }

  /** Returns the task as it is, and its updates from now on. */
  join(
    owner: string,
    taskId: string
  ): Effect.Effect<Stream.Stream<Sdk.StreamResponse>, Requests.Refusal, Scope.Scope> {
    return Effect.gen({ self: this }, function*() {
      const working = this.working.get(keyOf(owner, taskId))
      if (working !== undefined) return yield* working.read((task) => task)
      const task = yield* this.load(owner, taskId)
      if (Parts.isTerminal(task.status?.state)) return yield* Effect.fail(Requests.ended)
      return Stream.succeed<Sdk.StreamResponse>({ payload: { $case: "task", value: task } })
    })
  }

  get(owner: string, taskId: string, historyLength: number | undefined): Effect.Effect<Sdk.Task, Requests.Refusal> {
    return Effect.suspend(() => {
      const working = this.working.get(keyOf(owner, taskId))
      const task = working === undefined ? this.load(owner, taskId) : Effect.succeed(working.snapshot)
      return Effect.map(task, (task) => withHistory(task, historyLength))
    })
  }

  list(owner: string, params: Sdk.ListTasksRequest): Effect.Effect<Sdk.ListTasksResponse, Requests.Refusal> {
    const { pageSize = 50, statusTimestampAfter } = params
    if (!Number.isInteger(pageSize) || pageSize < 1 || pageSize > 100) {
      return Effect.fail(Requests.malformed("`pageSize` is a whole number between 1 and 100."))
    }
    if (statusTimestampAfter !== undefined && Number.isNaN(Date.parse(statusTimestampAfter))) {
      return Effect.fail(Requests.malformed("`statusTimestampAfter` is no ISO 8601 date."))
    }
    const listed = this.stored((store) => store.list({ ...params, tenant: "", pageSize }, contextOf(owner)))
    return Effect.map(listed, (response) => ({
      ...response,
      tasks: response.tasks.map((stored) => {
        const working = this.working.get(keyOf(owner, stored.id))
        const task = working === undefined ? stored : working.snapshot
        const shown = params.includeArtifacts === true ? task : { ...task, artifacts: [] }
        return withHistory(shown, params.historyLength)
      })
    }))
  }

  /** Ends a task, and returns when its run has ended. */
  cancel(owner: string, taskId: string): Effect.Effect<Sdk.Task, Requests.Refusal> {
    return Effect.gen({ self: this }, function*() {
      const key = keyOf(owner, taskId)
      const working = this.working.get(key)
      if (working !== undefined) {
        yield* this.stop(working)
        yield* working.ended
        const { state } = working
        if (state === Sdk.TaskState.TASK_STATE_CANCELED) return working.snapshot
        // answers that were refused, or a run that has ended by itself and waits
        return Parts.isTerminal(state) ? yield* Effect.fail(notCancelable) : yield* this.cancel(owner, taskId)
      }
      this.canceling.add(key)
      return yield* Effect.ensuring(
        this.cancelStored(owner, taskId),
        Effect.sync(() => this.canceling.delete(key))
      )
    })
  }

  private cancelStored(owner: string, taskId: string): Effect.Effect<Sdk.Task, Requests.Refusal> {
    return Effect.gen({ self: this }, function*() {
      const task = yield* this.load(owner, taskId)
      const state = task.status?.state
      if (state === Sdk.TaskState.TASK_STATE_CANCELED) return task
      if (Parts.isTerminal(state)) return yield* Effect.fail(notCancelable)
      const canceled: Sdk.Task = {
        ...task,
        status: { state: Sdk.TaskState.TASK_STATE_CANCELED, message: undefined, timestamp: yield* now }
      }
      yield* this.stored((store) => store.save(canceled, contextOf(owner)))
      return canceled
    })
  }

  /** Lets the runs end, and returns when all tasks are stored. `last` stops those that have not ended. */
  close(last: Effect.Effect<void>): Effect.Effect<void> {
    const ended = Effect.suspend(() =>
      Effect.forEach(Array.from(this.working.values()), (working) => working.ended, {
        concurrency: "unbounded",
        discard: true
      })
    )
    const stop = Effect.suspend(() =>
      Effect.forEach(Array.from(this.working.values()), (working) => this.stop(working), {
        concurrency: "unbounded",
        discard: true
      })
    )
    return Effect.suspend(() => {
      this.isClosing = true
      return Effect.raceFirst(ended, last).pipe(Effect.interruptible, Effect.andThen(stop), Effect.andThen(ended))
    })
  }

  // --- messages ---------------------------------------------------------------

  private message(
    owner: string,
    params: Sdk.SendMessageRequest
  ): Effect.Effect<Sent<Request>, Requests.Refusal, Request> {
    return Effect.gen({ self: this }, function*() {
      if (this.isClosing) return yield* Effect.fail(closing)
      const message = yield* Requests.messageOf(params.message)
      return message.taskId === "" ? yield* this.begin(owner, message) : yield* this.goOn(owner, message)
    })
  }

  /** A task of its own. */
  private begin(owner: string, message: Sdk.Message): Effect.Effect<Sent<Request>, Requests.Refusal, Request> {
    return Effect.gen({ self: this }, function*() {
      const prompt = yield* Requests.toPrompt(message)
      // its first run has the id of the task, so that it is found under it everywhere
      const taskId = yield* RunId.next
      const contextId = message.contextId === "" ? yield* RunId.next : message.contextId
      const working = yield* Working.make(owner, { taskId, contextId, runId: taskId }, {
        id: taskId,
        contextId,
        status: { state: Sdk.TaskState.TASK_STATE_SUBMITTED, message: undefined, timestamp: yield* now },
        artifacts: [],
        history: [],
        metadata: undefined
      })
      working.addMessage(Requests.kept(message, working.name))
      yield* this.save(working)
      return { working, begin: this.work(working, { _tag: "Prompt", prompt }, true) }
    })
  }

  /** A task that has a run, or that waits for something. */
  private goOn(owner: string, message: Sdk.Message): Effect.Effect<Sent<Request>, Requests.Refusal, Request> {
    return Effect.gen({ self: this }, function*() {
      const { contextId, taskId } = message
      const key = keyOf(owner, taskId)
      const before = this.working.get(key)
      const task = before === undefined ? yield* this.load(owner, taskId) : before.snapshot
      if (contextId !== "" && contextId !== task.contextId) return yield* Effect.fail(otherContext)
      const working = this.working.get(key)
      // another message came while the task was loaded
      if (working !== before) return yield* this.goOn(owner, message)
      if (working !== undefined && !working.hasEnded) return yield* this.steer(working, message)
      if (working !== undefined) {
        yield* working.ended
        return yield* this.goOn(owner, message)
      }
      if (Parts.isTerminal(task.status?.state)) return yield* Effect.fail(Requests.ended)
      const asked = yield* Requests.asked(message)
      const next = yield* Working.make(owner, { taskId, contextId: task.contextId, runId: yield* RunId.next }, task)
      next.addMessage(Requests.kept(message, next.name))
      return { working: next, begin: this.work(next, asked, false) }
    })
  }

  /** A message to a task that works is one to its run. */
  private steer(
    working: Working.Working,
    message: Sdk.Message
  ): Effect.Effect<Sent<Request>, Requests.Refusal, Request> {
    return Effect.gen({ self: this }, function*() {
      const asked = yield* Requests.asked(message)
      if (asked._tag === "Answers") return yield* Effect.fail(Requests.nothingAsked)
      const { name, owner } = working
      yield* working.begun
      const steered = yield* Effect.result(this.runs.steer(owner, name.runId, asked.prompt, this.agent.name))
      if (Result.isSuccess(steered)) {
        working.addMessage(Requests.kept(message, name))
        return { working, begin: Effect.void }
      }
      if (steered.failure.code !== "run-ended") return yield* Effect.fail(Requests.refused(steered.failure))
      yield* working.ended
      return yield* this.goOn(owner, message)
    })
  }

  // --- runs -------------------------------------------------------------------

  /**
   * Starts a run, and with answers waits for its beginning: until then they may be refused, and the task waits as before.
   */
  private work(
    working: Working.Working,
    asked: Requests.Asked,
    isNew: boolean
  ): Effect.Effect<void, Requests.Refusal, Request> {
    return Effect.suspend(() => {
      const key = keyOf(working.owner, working.name.taskId)
      if (this.canceling.has(key)) return Effect.fail(Requests.ended)
      if (this.working.has(key)) return Effect.fail(Requests.overtaken)
      this.working.set(key, working)
      const read = Effect.withFiber<void, AgentApi.RunFailed | Requests.Refusal, Request>((fiber) => {
        working.fiber = fiber
        return Effect.andThen(this.check(working, isNew), this.read(working, asked))
      })
      const told = Effect.matchEffect(read, {
        onSuccess: () => Effect.void,
        onFailure: (failure) =>
          Effect.map(now, (timestamp) => {
            if (!(failure instanceof AgentApi.RunFailed)) working.refuse(failure)
            else if (asked._tag === "Answers") working.refuse(Requests.refused(failure))
            else working.publish([Updates.toldFailure(working.name, failure, timestamp)])
          })
      })
      // a task that is canceled is stored as well
      const whole = Effect.flatMap(
        Effect.forkChild(told, { startImmediately: true }),
        (fiber) => Effect.flatMap(Fiber.await(fiber), (exit) => this.end(working, exit))
      )
      const forked = Effect.forkIn(whole, this.scope, { startImmediately: true })
      return Effect.andThen(forked, asked._tag === "Answers" ? working.begun : working.checked)
    })
  }

  /** A task may have been canceled after a message to it has read it, and before it had a run again. */
  private check(working: Working.Working, isNew: boolean): Effect.Effect<void, Requests.Refusal> {
    return Effect.gen({ self: this }, function*() {
      if (!isNew) {
        const { status } = yield* this.load(working.owner, working.name.taskId)
        if (Parts.isTerminal(status?.state)) return yield* Effect.fail(Requests.ended)
      }
      working.check()
    })
  }

  private read(working: Working.Working, asked: Requests.Asked): Effect.Effect<void, AgentApi.RunFailed, Request> {
    const { name, owner } = working
    const { contextId: session, runId } = name
    const started = asked._tag === "Prompt"
      ? this.runs.start(this.agent, owner, {
        prompt: Prompt.fromMessages([AgentApi.toUserMessage(asked.prompt)]),
        session,
        runId
      })
      : this.runs.answer(this.agent, owner, session, asked.answers, { runId })
    return Effect.scoped(Effect.flatMap(started, (run) => {
      working.begin()
      return Updates.fromParts(Stream.map(run.parts(), ({ part }) => part), name).pipe(
        Stream.runForEachArray((updates) => {
          working.publish(updates)
          // the last state is stored at the end
          return working.hasEnded || !updates.some(isStatus) ? Effect.void : Effect.ignore(this.save(working))
        })
      )
    }))
  }

  /** Stores what has become of the task. */
  private end(working: Working.Working, exit: Exit.Exit<void>): Effect.Effect<void> {
    return Effect.gen({ self: this }, function*() {
      const { isRefused, name } = working
      if (!isRefused && !working.hasEnded) {
        const cause = Exit.isFailure(exit) ? exit.cause : Cause.interrupt()
        working.publish([Updates.toldFailure(name, AgentApi.describe(cause), yield* now)])
      }
      if (!isRefused) {
        yield* this.save(working).pipe(
          Effect.retry({ schedule: Schedule.exponential("100 millis"), times: 5 }),
          Effect.timeout("10 seconds"),
          // nobody is there to be told
          Effect.catch(() => Effect.logError(`The task \`${name.taskId}\` could not be stored`))
        )
      }
    }).pipe(
      Effect.catchCause((cause) => Effect.logError(`The task \`${working.name.taskId}\` has died`, cause)),
      // whoever waits is told, whatever happens
      Effect.ensuring(Effect.sync(() => {
        this.working.delete(keyOf(working.owner, working.name.taskId))
        working.over()
      }))
    )
  }

  /** Ends the run of a task. */
  private stop(working: Working.Working): Effect.Effect<void> {
    const { fiber, hasBegun, name, owner } = working
    return Effect.andThen(
      hasBegun || fiber === undefined ? Effect.void : Fiber.interrupt(fiber),
      // a run may have begun in the meantime, or have ended
      Effect.ignore(this.runs.stop(owner, name.runId, this.agent.name))
    )
  }

  // --- the store --------------------------------------------------------------

  private load(owner: string, taskId: string): Effect.Effect<Sdk.Task, Requests.Refusal> {
    if (taskId.trim() === "") return Effect.fail(Requests.malformed("A task needs an id."))
    return Effect.filterOrFail(
      this.stored((store) => store.load(taskId, contextOf(owner))),
      (task) => task !== undefined,
      Requests.taskNotFound
    )
  }

  private save(working: Working.Working): Effect.Effect<void, Requests.Refusal> {
    return this.stored((store) => store.save(working.snapshot, contextOf(working.owner)))
  }

  private stored<B>(use: (store: SdkServer.TaskStore) => Promise<B>): Effect.Effect<B, Requests.Refusal> {
    return Effect.tryPromise({
      try: () => use(this.store),
      catch: (error) => error instanceof SdkErrors.RequestMalformedError ? error : Requests.internal()
    })
  }
}

const keyOf = (owner: string, taskId: string): string => JSON.stringify([owner, taskId])

/** The store knows the owner as the user, and no tenant, because clients choose that themselves. */
const contextOf = (owner: string): SdkServer.ServerCallContext =>
  new SdkServer.ServerCallContext({
    user: { isAuthenticated: true, userName: owner },
    requestedVersion: Sdk.A2A_PROTOCOL_VERSION
  })

const withHistory = (task: Sdk.Task, length: number | undefined): Sdk.Task =>
  length === undefined ? task : { ...task, history: length <= 0 ? [] : task.history.slice(-length) }

const isStatus = ({ payload }: Sdk.StreamResponse): boolean => payload?.$case === "statusUpdate"

const now = Effect.map(Clock.currentTimeMillis, (millis) => new Date(millis).toISOString())

const closing = Requests.unsupported("The agent is not available now.")
const otherContext = Requests.malformed("The task belongs to another `contextId`.")
const notCancelable = new SdkErrors.TaskNotCancelableError("The task has ended.")

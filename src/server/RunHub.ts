/**
 * Runs between an agent and their readers. The hub reads each run from the agent once. A run may have any number of
 * readers; each joins when it likes, from the beginning or after the last part that it has seen.
 *
 * A reader that is slow, stops or goes away delays neither the run nor its session nor the other readers.
 *
 * **Details**
 *
 * The hub holds the parts of a run once, however many readers it has: until its time to be read is over (`keep` of
 * `layer`), or as long as somebody reads it. They take about twice the memory of the run's texts, because its result has
 * the texts too. A client that has stopped reading holds less than 100 kB of its own.
 *
 * **Example** (Two readers of one run)
 *
 * ```ts
 * import { Console, Effect, Stream } from "effect"
 * import { Agent } from "effect-agents"
 * import { RunHub } from "effect-agents/server"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const text = (run: RunHub.Live) =>
 *   run.parts().pipe(
 *     Stream.filter(({ part }) => part.type === "text-delta"),
 *     Stream.runFold(() => "", (text, { part }) => part.type === "text-delta" ? text + part.delta : text)
 *   )
 *
 * const program = Effect.gen(function*() {
 *   const hub = yield* RunHub.RunHub
 *   const run = yield* hub.start(Agent.make("assistant"), { prompt: "Hello?" })
 *   yield* Console.log(yield* text(run))
 *   // the second one comes late, and reads from the first part on
 *   yield* Console.log(yield* text(run))
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Hello!")])
 *
 * Effect.runPromise(Effect.provide(program, [RunHub.layer(), model]))
 * // => Hello!
 * // => Hello!
 * ```
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import type * as Stream from "effect/Stream"
import * as Agent from "../Agent.ts"
import type * as AgentRun from "../AgentRun.ts"
import * as RunId from "../internal/words/runId.ts"
import * as Steering from "../Steering.ts"
import { OpenRequests } from "./internal/openRequests.ts"
import { Running } from "./internal/running.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * A part with its number in the run. The first part has number 0, and there are no gaps.
 *
 * @category models
 * @since 0.1.0
 */
export interface Numbered<out Part = AgentRun.Part> {
  readonly seq: number
  readonly part: Part
}

/**
 * A run of the hub. A run that has ended can still be read, until the hub forgets it.
 *
 * - `runId`: the id of the run.
 * - `start`: its first part.
 * - `startedAt`: when it was requested, in milliseconds since 1970.
 * - `parts`: its parts from the first one on, or those after the number `after`. The stream ends when the run has
 *   completed, and otherwise fails with the failure of the run. Each call is a reader.
 * - `hold`: counts as a reader until the scope closes. Use it before reading begins.
 * - `isLeft`: whether it has had readers, and has none now.
 * - `isStopped`: whether somebody has stopped it. A hub that is closed, and a last reader that goes away, do not count.
 * - `exit`: waits for the end of the run.
 * - `stop`: interrupts the run, and returns when it has ended. It does not change a run that has ended.
 * - `steering`: its handle for messages, unless the input had one.
 * - `owner`: the owner that it was started for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Live<out Part = AgentRun.Part, out E = unknown> {
  readonly runId: string
  readonly start: AgentRun.RunStart
  readonly startedAt: number
  readonly parts: (options?: {
    /** The number of the last part that was seen. Default: none was seen. */
    readonly after?: number | undefined
  }) => Stream.Stream<Numbered<Part>, E>
  readonly hold: Effect.Effect<void, never, Scope.Scope>
  readonly isLeft: Effect.Effect<boolean>
  readonly isStopped: Effect.Effect<boolean>
  readonly exit: Effect.Effect<Exit.Exit<void, E>>
  readonly stop: Effect.Effect<void>
  readonly steering: Steering.Steering
  readonly owner: string | undefined
}

/**
 * The options for starting a run.
 *
 * @category options
 * @since 0.1.0
 */
export interface StartOptions {
  /**
   * What happens if the session of the input has a run of this hub that has not ended. `"refuse"` fails with
   * `RunRefused`, `"replace"` stops that run first, and `"start"` starts the new run beside it, so that the rule of the
   * session decides (`whenHeld` of `SessionHistory`). Default: `"refuse"`.
   */
  readonly whenBusy?: "refuse" | "replace" | "start" | undefined
  /**
   * What happens when the last reader of the run goes away before its end: with `"continue"` nothing, with `"stop"` the
   * run is stopped if no reader comes back within `reconnect`. A run without any reader so far goes on. Default:
   * `"continue"`.
   */
  readonly whenLeft?: "continue" | "stop" | undefined
  /** How long a run that stops without readers waits for one to come back. Default: no time. */
  readonly reconnect?: Duration.Input | undefined
  /**
   * The owner of the run. The hub keeps it for those who let clients reach runs, and checks nothing. Default: none.
   */
  readonly owner?: string | undefined
}

/**
 * Finds a run by its id, or the runs that work on a session.
 *
 * @category models
 * @since 0.1.0
 */
export type Find = (asked: { readonly runId: string } | { readonly session: string }) => Effect.Effect<void>

/**
 * The hub has not started a run: the session has a run in progress (`runId`), the hub has a run with the given id, or
 * the hub is being closed.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunRefused extends Schema.Error<RunRefused>("effect-agents/server/RunRefused")({
  _tag: Schema.tag("RunRefused"),
  problem: Schema.Literals(["session-busy", "run-exists", "closing"]),
  session: Schema.optional(Schema.String),
  runId: Schema.optional(Schema.String)
}) {
  override get message(): string {
    switch (this.problem) {
      case "closing":
        return "No run is started: the hub is being closed"
      case "run-exists":
        return `No run is started: there is one with the id \`${this.runId}\``
      case "session-busy":
        return `No run is started: the session \`${this.session}\` has one that works`
    }
  }
}

// -----------------------------------------------------------------------------
// The service
// -----------------------------------------------------------------------------

/**
 * Service for runs with readers.
 *
 * @category services
 * @since 0.1.0
 */
export class RunHub extends Context.Service<RunHub, {
  /**
   * Starts a run, and returns it when its first part has come. A failure before that is the failure of this effect.
   * From then on the run belongs to the hub, not to the caller; an interrupt before that ends it.
   */
  readonly start: <Tools extends Record<string, Tool.Any>, E, R, A, P>(
    agent: Agent.Agent<Tools, E, R, A, P>,
    input: Agent.Input,
    options?: StartOptions
  ) => Effect.Effect<Live<AgentRun.Part<Tools, A, P>, E>, E | RunRefused, R>
  /** Returns the run with this id, if it exists and is not forgotten. */
  readonly get: (runId: string) => Effect.Effect<Live | undefined>
  /** Returns the last run that was started on a session, if it is not forgotten. */
  readonly ofSession: (session: string) => Effect.Effect<Live | undefined>
  /** The runs that have not ended, in the order in which they were started. */
  readonly running: Effect.Effect<ReadonlyArray<Live>>
  /** Interrupts all runs of a session, including one that is beginning, and returns when they have ended. */
  readonly stopSession: (session: string) => Effect.Effect<void>
  /**
   * Closes the hub, and returns when all runs have ended: no further run is started, runs in progress have the time of
   * `grace` to end by themselves, and are then interrupted. A hub that is closed stays so.
   */
  readonly close: Effect.Effect<void>
  /** How long runs may go on when the hub is closed. */
  readonly grace: Duration.Duration
  /**
   * Asks `find` for the runs that the hub does not have, until the scope closes. `find` starts them in the hub if they
   * exist: those that another process works on, for example.
   */
  readonly findWith: (find: Find) => Effect.Effect<void, never, Scope.Scope>
  /** Waits until no run has a reader. */
  readonly isUnread: Effect.Effect<void>
  /** Whether the hub is closed or being closed, so that this process should get no more requests. */
  readonly isClosing: Effect.Effect<boolean>
}>()("effect-agents/server/RunHub") {}

/**
 * Creates the layer of a hub. The hub is closed when the layer is released. Use `closeBefore` for a server whose clients
 * should learn how their runs end.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: {
  /** How long a run that has ended can still be read. Default: one minute. */
  readonly keep?: Duration.Input | undefined
  /** How long runs may go on when the hub is closed. Default: 10 seconds. */
  readonly grace?: Duration.Input | undefined
}): Layer.Layer<RunHub> =>
  Layer.effect(RunHub)(
    Effect.gen(function*() {
      const hub = new Hub(options?.keep ?? "1 minute", options?.grace ?? "10 seconds")
      yield* Effect.addFinalizer(() => hub.close)
      return RunHub.of(hub)
    })
  )

/**
 * Returns the layer of a server that closes the hub before it is released. While the server stops, its clients read how
 * their runs end, and new runs are refused as unavailable. A server that is released first would cut them off instead.
 *
 * Clients that read have ended their requests then, so that the server stops at once. A request that has not ended when
 * the grace of the hub is over, but at least a second after the end of the last run, is cut: its client may not read at
 * all. For this the `HttpServer` has to be provided to the layer that `closeBefore` returns, not to the one that it is
 * given.
 *
 * **Example** (A server that ends gracefully)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { RunHub } from "effect-agents/server"
 *
 * const Server = Layer.effectDiscard(Effect.addFinalizer(() => Console.log("the server stops")))
 *
 * const program = Effect.gen(function*() {
 *   const hub = yield* RunHub.RunHub
 *   yield* Effect.scoped(Layer.build(RunHub.closeBefore(Server)))
 *   yield* Console.log(yield* hub.isClosing)
 * })
 *
 * Effect.runPromise(Effect.provide(program, RunHub.layer()))
 * // => the server stops
 * // => true
 * ```
 *
 * @category layers
 * @since 0.1.0
 */
export const closeBefore = <A, E, R>(server: Layer.Layer<A, E, R>): Layer.Layer<A, E, R | RunHub> =>
  Layer.suspend(() => {
    const requests = new OpenRequests()
    return Layer.provideMerge(
      Layer.effectDiscard(Effect.flatMap(RunHub, (hub) =>
        Effect.addFinalizer(() =>
          Effect.gen(function*() {
            const [taken] = yield* Effect.timed(hub.close)
            yield* Effect.all([
              // not every reader has a request
              Effect.timeoutOption(Effect.interruptible(hub.isUnread), patience),
              requests.end(Duration.max(patience, Duration.subtract(hub.grace, taken)))
            ], { concurrency: "unbounded" })
          })
        ))),
      requests.watch(server)
    )
  })

/** A server waits long for a connection that is busy when it stops. A client that still reads is done by then. */
const patience = Duration.seconds(1)

class Hub {
  private readonly runs = new Map<string, Running>()
  /** The runs of each session in the order of their start, including runs that are beginning. */
  private readonly sessions = new Map<string, Set<Running>>()
  private readonly keep: Duration.Input
  readonly grace: Duration.Duration
  private readonly runScope = Scope.makeUnsafe()
  /** The scope of the timers. They work until the last run has ended. */
  private readonly timers = Scope.makeUnsafe()
  private isClosed = false
  private readonly finds = new Set<Find>()
  private readonly finding = Semaphore.makeUnsafe(1)

  constructor(keep: Duration.Input, grace: Duration.Input) {
    this.keep = keep
    this.grace = Duration.fromInputUnsafe(grace)
  }

  readonly start = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
    agent: Agent.Agent<Tools, E, R, A, P>,
    input: Agent.Input,
    options: StartOptions = {}
  ): Effect.Effect<Live<AgentRun.Part<Tools, A, P>, E>, E | RunRefused, R> =>
    Effect.gen({ self: this }, function*() {
      const runId = input.runId === undefined || input.runId === "" ? yield* RunId.next : input.runId
      const steering = input.steering ?? (yield* Steering.make)
      const running = new Running<AgentRun.Part<Tools, A, P>, E>(runId, options, this.timers)
      return yield* this.enter(running, { ...input, runId, steering }, (given) => Agent.open(agent, given))
    })

  /**
   * Checks and registers without an asynchronous step in between, so that a run that begins has its id and its session
   * at once.
   */
  private enter<Part extends AgentRun.Part, E, R>(
    running: Running<Part, E>,
    input: Given,
    open: Opening<Part, E, R>
  ): Effect.Effect<Live<Part, E>, E | RunRefused, R> {
    return Effect.suspend(() => {
      const { runId, session } = input
      if (this.isClosed) return Effect.fail(new RunRefused({ problem: "closing" }))
      if (this.runs.has(runId)) return Effect.fail(new RunRefused({ problem: "run-exists", runId }))
      const { whenBusy } = running.options
      const other = session === undefined || whenBusy === "start" ? undefined : this.working(session)[0]
      if (other !== undefined) {
        return whenBusy === "replace"
          ? Effect.andThen(other.stop, this.enter(running, input, open))
          : Effect.fail(new RunRefused({ problem: "session-busy", session, runId: other.runId }))
      }
      this.runs.set(runId, running)
      if (session !== undefined) this.sessions.set(session, this.ofSessionUnsafe(session).add(running))
      return this.begin(running, input, open)
    })
  }

  readonly get = (runId: string): Effect.Effect<Live | undefined> =>
    Effect.andThen(
      this.found({ runId }, () => this.runs.has(runId)),
      Effect.sync(() => this.runs.get(runId)?.live)
    )

  readonly ofSession = (session: string): Effect.Effect<Live | undefined> =>
    Effect.andThen(
      this.found({ session }, () => this.working(session).length > 0),
      Effect.sync(() => Array.from(this.ofSessionUnsafe(session)).at(-1)?.live)
    )

  readonly stopSession = (session: string): Effect.Effect<void> =>
    Effect.andThen(
      this.found({ session }, () => this.working(session).length > 0),
      Effect.suspend(() =>
        Effect.forEach(this.working(session), ({ stop }) => stop, { concurrency: "unbounded", discard: true })
      )
    )

  readonly findWith = (find: Find): Effect.Effect<void, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        this.finds.add(find)
      }),
      () => Effect.sync(() => this.finds.delete(find))
    )

  /** Two that ask for the same run at the same time find one. */
  private found(asked: Parameters<Find>[0], isHere: () => boolean): Effect.Effect<void> {
    const find = Effect.suspend(() =>
      isHere() || this.isClosed ? Effect.void : Effect.forEach(this.finds, (find) => find(asked), { discard: true })
    )
    return Effect.suspend(() => this.finds.size === 0 || isHere() ? Effect.void : this.finding.withPermit(find))
  }

  private ofSessionUnsafe(session: string): Set<Running> {
    return this.sessions.get(session) ?? new Set()
  }

  private working(session: string): ReadonlyArray<Running> {
    return Array.from(this.ofSessionUnsafe(session)).filter(({ hasEnded }) => !hasEnded)
  }

  readonly running: Effect.Effect<ReadonlyArray<Live>> = Effect.sync(() =>
    Array.from(this.runs.values()).flatMap(({ hasEnded, live }) => hasEnded || live === undefined ? [] : [live])
  )

  private begin<Part extends AgentRun.Part, E, R>(
    running: Running<Part, E>,
    input: Given,
    open: Opening<Part, E, R>
  ): Effect.Effect<Live<Part, E>, E, R> {
    const { runId, session, steering } = input
    const forget = Effect.sync(() => {
      this.runs.delete(runId)
      if (session === undefined) return
      const beside = this.ofSessionUnsafe(session)
      beside.delete(running)
      if (beside.size === 0) this.sessions.delete(session)
    })
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen({ self: this }, function*() {
        const opened = yield* Deferred.make<Live<Part, E>, E>()
        const run = Effect.scoped(Effect.flatMap(open(input), ({ parts, start }) =>
          Effect.gen(function*() {
            yield* Deferred.succeed(opened, yield* running.begin(start, steering))
            yield* running.publish(parts)
          })))
        const ended = (exit: Exit.Exit<void, E>) =>
          Effect.andThen(
            running.end(exit),
            running.live === undefined
              ? Effect.asVoid(Effect.andThen(forget, Deferred.done(opened, exit as Exit.Exit<never, E>)))
              : Effect.asVoid(Effect.forkIn(Effect.delay(forget, this.keep), this.timers))
          )
        // known from the first step on, so that the run can be stopped at any time
        const stoppable = Effect.withFiber<void, E, R>((fiber) => {
          running.fiber = fiber as Fiber.Fiber<void, E>
          return run
        })
        // a closed scope starts no fiber
        if (this.runScope.state._tag === "Closed") yield* ended(Exit.interrupt())
        else yield* Effect.forkIn(Effect.onExit(stoppable, ended), this.runScope, { startImmediately: true })
        return yield* Effect.onInterrupt(restore(Deferred.await(opened)), () => running.stop)
      })
    )
  }

  readonly isUnread: Effect.Effect<void> = Effect.suspend(() =>
    Effect.forEach(Array.from(this.runs.values()), (running) => running.isUnread, {
      concurrency: "unbounded",
      discard: true
    })
  )

  readonly isClosing: Effect.Effect<boolean> = Effect.sync(() => this.isClosed)

  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.isClosed = true
    return Effect.forEach(Array.from(this.runs.values()), (running) => running.exit, {
      concurrency: "unbounded",
      discard: true
    }).pipe(
      Effect.interruptible,
      Effect.timeoutOption(this.grace),
      Effect.andThen(Scope.close(this.runScope, Exit.void)),
      Effect.andThen(Scope.close(this.timers, Exit.void))
    )
  })
}

type Given = Agent.Input & { readonly runId: string; readonly steering: Steering.Steering }

type Opening<Part, E, R> = (input: Given) => Effect.Effect<Agent.Opened<Part, E>, E, R | Scope.Scope>

/**
 * A run that has begun in the scope of its caller. Its first part has come, and the others are read later.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
// the agent that is opened
import type * as Agent from "../../Agent.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as RunId from "../words/runId.ts"

/**
 * Opens a run up to its first part. `run` is called with the id of the run.
 *
 * @category running
 * @since 0.1.0
 */
export const open = Effect.fnUntraced(function*<Part extends AgentRun.Part, E, R>(
  given: Pick<AgentRun.RunStart, "agent" | "session"> & { readonly runId: string | undefined },
  run: (runId: string) => Stream.Stream<Part, E, R>
): Effect.fn.Return<Agent.Opened<Part, E>, E, R | Scope.Scope> {
  const context = yield* Effect.context<R | Scope.Scope>()
  const { agent, session } = given
  const runId = given.runId === undefined || given.runId === "" ? yield* RunId.next : given.runId
  const opened = new OpenedRun<Part, E>(yield* Scope.fork(yield* Scope.Scope))
  const parts = yield* opened.begin(run(runId), context)
  const [first] = parts ?? []
  // a program may begin with another part, or with none
  const start: AgentRun.RunStart = isStart(first) ? first : { type: "run-start", agent, runId, session }
  return { start, parts: opened.stream }
})

const isStart = (part: AgentRun.Part | undefined): part is AgentRun.RunStart => part?.type === "run-start"

class OpenedRun<Part extends AgentRun.Part, E> {
  /**
   * The scope of the run. It is closed by the run's end, by the reader of the parts, or by the scope that the run was
   * opened in.
   */
  private readonly scope: Scope.Closeable
  private readonly inside: Scope.Closeable = Scope.makeUnsafe()
  private upstream: Pull.Pull<Parts<Part>, E> = Cause.done()
  /** The parts that were pulled and not read yet. */
  private first: Parts<Part> | undefined = undefined
  private isRead = false
  private isClosed = false
  /** The fiber that waits for the next parts. */
  private reader: Fiber.Fiber<unknown, unknown> | undefined = undefined

  constructor(scope: Scope.Closeable) {
    this.scope = scope
  }

  /** Pulls the first parts. If there are none, the run has ended. */
  begin<R>(run: Stream.Stream<Part, E, R>, context: Context.Context<R>): Effect.Effect<Parts<Part> | undefined, E> {
    const within = (_: Context.Context<never>) => context
    const opened = Effect.flatMap(Channel.toPullScoped(run.channel, this.inside), (pull) => {
      // pulled by the reader, in the context that the run was opened in
      this.upstream = Effect.updateContext(pull, within)
      return this.upstream
    })
    const first = Effect.matchCauseEffect(Effect.updateContext(opened, within), {
      onSuccess: (parts) => {
        this.first = parts
        return Effect.succeed(parts)
      },
      onFailure: (cause) => Pull.isDoneCause(cause) ? Effect.undefined : Effect.failCause(cause as Cause.Cause<E>)
    })
    return Scope.addFinalizerExit(this.scope, (exit) => this.close(exit)).pipe(
      Effect.andThen(first),
      Effect.onExit((exit) => Exit.isFailure(exit) ? Scope.close(this.scope, exit) : Effect.void)
    )
  }

  /** The parts. A reader that stops leaves the run, by an interrupt or otherwise. */
  readonly stream: Stream.Stream<Part, E> = Stream.fromChannel(
    Channel.fromTransform((_upstream, reading) =>
      Effect.suspend(() => {
        if (this.isRead) return Effect.die(new Error("The parts of an open run are read once"))
        this.isRead = true
        return Effect.as(Scope.addFinalizerExit(reading, (exit) => this.leave(exit)), this.pull)
      })
    )
  )

  private readonly pull: Pull.Pull<Parts<Part>, E> = Effect.withFiber((fiber) => {
    const { first } = this
    if (this.isClosed) return Exit.failCause(Cause.interrupt())
    if (first !== undefined) {
      this.first = undefined
      return Exit.succeed(first)
    }
    this.reader = fiber
    return Effect.matchCauseEffect(this.upstream, {
      onSuccess: (parts) => {
        this.reader = undefined
        return Exit.succeed(parts)
      },
      onFailure: (cause) => {
        this.reader = undefined
        const exit = Pull.isDoneCause(cause) ? Exit.void : Exit.failCause(cause)
        return Effect.andThen(Scope.close(this.scope, exit), Exit.failCause(cause))
      }
    })
  })

  private leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    this.reader = undefined
    return Scope.close(this.scope, exit)
  }

  /** Called once. A fiber that still waits for parts when the run has ended is interrupted. */
  private close(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    this.isClosed = true
    return interrupted.pipe(
      Effect.flatMap((asked) => Scope.close(this.inside, Exit.isFailure(asked) ? asked : exit)),
      Effect.andThen(Effect.sync(() => this.reader?.interruptUnsafe())),
      Effect.uninterruptible
    )
  }
}

type Parts<Part> = readonly [Part, ...Array<Part>]

/**
 * The pending interrupt of the fiber, if there is one. When a client has gone, a server closes the scope of the request
 * with the response that it could not send, or with a success.
 */
const interrupted: Effect.Effect<Exit.Exit<void>> = Effect.exit(Effect.interruptible(Effect.void))

/**
 * Runs of an agent that brings services of its own. They are built when a run begins, and released when it has ended.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AgentRun from "../../AgentRun.ts"
import { Instrumentation } from "../telemetry/instrumentation.ts"
import { bounded } from "../words/bounded.ts"
import { emptyPartial } from "../words/outcome.ts"
import * as Finalizers from "./finalizers.ts"
import type { PartPull } from "../words/partPull.ts"
import * as Recorded from "./recorded.ts"
import type { Seen } from "./seen.ts"

/**
 * What a run receives from the code around it. `onEnd` is called when it has ended. `caller` is the context of its
 * caller, if the agent brings its own model.
 *
 * @category models
 * @since 0.1.0
 */
export interface Within {
  readonly caller?: Context.Context<never> | undefined
  readonly onEnd: (exit: Exit.Exit<AgentRun.Result, unknown>) => void
  /** Reports what is seen of a run that cannot say how it ends. */
  readonly onSeen?: ((run: Seen) => void) | undefined
}

/**
 * The services that are built for each run, and how the run sees them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Services {
  readonly build: (scope: Scope.Scope) => Effect.Effect<Context.Context<any>, any, any>
  readonly enter: (context: Context.Context<any>, built: Context.Context<any>) => Context.Context<any>
}

/**
 * Creates the stream of such a run. `open` is called with what the inner run receives.
 *
 * The services are released after everything in the run, with its `Exit`, each within `AgentRun.FinalizationBudget`. A
 * failure of the release is logged.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stream = (
  agent: string,
  services: Services,
  open: (within: Required<Within>) => Stream.Stream<AgentRun.Part, any, any>,
  around?: Within
): Stream.Stream<AgentRun.Part, any, any> =>
  Stream.fromChannel(
    Channel.fromTransform((_upstream, consumer) =>
      Effect.contextWith((context: Context.Context<never>) => {
        const scope = Scope.forkUnsafe(consumer)
        const run = new LayeredRun(agent, context, scope, around)
        return Effect.andThen(Scope.addFinalizerExit(scope, (exit) => run.finalize(exit)), run.begin(services, open))
      })
    )
  )

class LayeredRun {
  private readonly agent: string
  /** The context of the code that runs the agent. */
  private readonly context: Context.Context<never>
  private readonly scope: Scope.Closeable
  private readonly around: Within | undefined
  /** The scope of the inner run, and the scope of the services. */
  private readonly inside = Scope.makeUnsafe()
  private readonly services = Scope.makeUnsafe()
  /** How the stream has ended. */
  private ended: Exit.Exit<AgentRun.Result, unknown> | undefined = undefined
  /** What is seen of the inner run, if it cannot say how it ends. */
  private seen: Seen | undefined = undefined
  /** How the inner run has ended, if it is a run of this package. */
  private endedInside: Exit.Exit<AgentRun.Result, unknown> | undefined = undefined

  constructor(
    agent: string,
    context: Context.Context<never>,
    scope: Scope.Closeable,
    around: Within | undefined
  ) {
    this.agent = agent
    this.context = context
    this.scope = scope
    this.around = around
  }

  begin(
    { build, enter }: Services,
    open: (within: Required<Within>) => Stream.Stream<AgentRun.Part, any, any>
  ): Effect.Effect<PartPull, any, any> {
    const within = {
      caller: this.context,
      onEnd: (exit: Exit.Exit<AgentRun.Result, unknown>) => {
        this.endedInside = exit
      },
      onSeen: (run: Seen) => {
        this.seen = run
      }
    }
    return Effect.matchCauseEffect(build(this.services), {
      onFailure: (cause) => this.fail(cause),
      onSuccess: (built) => {
        const entered = (context: Context.Context<any>) => enter(context, built)
        const opened = Effect.suspend(() => Channel.toPullScoped(open(within).channel, this.inside))
        return Effect.matchCauseEffect(Effect.updateContext(opened, entered), {
          onFailure: (cause) => this.fail(cause),
          // its services are in the context in which it is pulled
          onSuccess: (pull) => Effect.succeed(this.pull(Effect.updateContext(pull, entered) as PartPull))
        })
      }
    })
  }

  private pull(upstream: PartPull): PartPull {
    return Effect.matchCauseEffect(upstream, {
      onFailure: (cause) => this.fail(cause),
      onSuccess: (parts) => {
        const last = parts[parts.length - 1]
        if (last.type === "run-end") this.ended = Exit.succeed(last.result)
        return Exit.succeed(parts)
      }
    })
  }

  /** The stream ends with this cause when everything is released. */
  private fail<E>(cause: Cause.Cause<E>): Effect.Effect<never, E> {
    const isDone = Pull.isDoneCause(cause)
    if (!isDone) this.ended = this.annotated(Exit.failCause(cause))
    return Effect.andThen(Scope.close(this.scope, isDone ? Exit.void : Exit.failCause(cause)), Exit.failCause(cause))
  }

  /** Called once. If the run has not ended by itself, the consumer has left it, by an interrupt or otherwise. */
  finalize(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.andThen(Scope.close(this.inside, exit), Effect.suspend(() => this.release(exit)))
  }

  private release(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    const ended = this.ended ?? this.endedInside ?? this.left(exit)
    const close = Finalizers.closeEach(this.services, ended, (finalizer) => this.closing(finalizer))
    const tell = Effect.sync(() => this.around?.onEnd(ended))
    return close === undefined ? tell : Effect.andThen(close, tell)
  }

  private closing(finalizer: Effect.Effect<unknown>): Effect.Effect<void> | undefined {
    const { agent, context } = this
    return bounded(finalizer, Context.get(context, AgentRun.FinalizationBudget), context, (exit) => {
      if (exit !== undefined && Exit.isSuccess(exit)) return undefined
      const isTraced = Context.getOrUndefined(context, Instrumentation) !== undefined
      return Recorded.log(`The release of a service of \`${agent}\``, exit?.cause, isTraced, context)
    })
  }

  /** A cause that does not come from a run has no partial result. */
  private annotated(exit: Exit.Exit<AgentRun.Result, unknown>): Exit.Exit<AgentRun.Result, unknown> {
    const outcome = AgentRun.outcome(exit)
    return AgentRun.toExit(
      outcome._tag === "Completed" || outcome.partial !== emptyPartial
        ? outcome
        : { ...outcome, partial: this.partial() }
    )
  }

  private left(exit: Exit.Exit<unknown, unknown>): Exit.Exit<AgentRun.Result, unknown> {
    return Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
      ? this.annotated(Exit.failCause(exit.cause))
      : AgentRun.toExit({ _tag: "Abandoned", partial: this.partial() })
  }

  private partial(): AgentRun.Partial {
    return this.seen?.partial() ?? emptyPartial
  }
}

/**
 * The journal of an execution: each record is an activity of effect's workflow engine.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as ClusterSchema from "effect/cluster/ClusterSchema"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Activity from "effect/workflow/Activity"
import * as Workflow from "effect/workflow/Workflow"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import * as Scope from "../../internal/journal/scope.ts"
import { JournalError } from "../../internal/words/journalError.ts"
import * as Journal from "../../Journal.ts"

/**
 * The engine and its instance of one attempt.
 *
 * @category models
 * @since 0.1.0
 */
export type EngineContext = Context.Context<WorkflowEngine.WorkflowEngine | WorkflowEngine.WorkflowInstance>

/** All records have the same schemas. The engine would compile those of each activity anew. */
const { exitSchema, exitSchemaPartial } = Activity.make({
  name: "record",
  success: Schema.String,
  execute: Effect.never
})
const schemas = { exitSchema, exitSchemaPartial }

/**
 * Whether the steps that begin in a context are one transaction with their records.
 *
 * @category services
 * @since 0.1.0
 */
export const InTransaction = Context.Reference<boolean>("effect-agents/durable/InTransaction", {
  defaultValue: () => false
})

const transactional = Context.make(ClusterSchema.WithTransaction, true)

/**
 * Creates the journal of one attempt of one run. `onLive` is called when something is recorded, not read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  context: EngineContext,
  options: {
    readonly id: string
    /** The beginning of the names of all records. */
    readonly prefix: string
    readonly onLive: Effect.Effect<void>
    /** Called with the defect of a call. The engine suspends its execution, and tells nobody else. */
    readonly onDefect: (cause: Cause.Cause<unknown>) => void
    /** Whether somebody has asked for the end of the execution. */
    readonly isInterrupted: Effect.Effect<boolean>
    /** Called when a record ends without its value, because its process stops or has lost the execution. */
    readonly onLost: () => void
    /** Called when a record has not been stored. However the run takes it, the next attempt goes on. */
    readonly onFenced: () => void
    /** Done when the attempt itself is interrupted. */
    readonly stopped: Deferred.Deferred<void>
    /** Whether a run that ends now with this cause ends only in this attempt. */
    readonly isLeft: (cause: Cause.Cause<unknown>) => boolean
    /** Whether a record of this name is one transaction with what is recorded. */
    readonly isTransaction: (name: string) => boolean
  }
): Journal.Journal["Service"] => {
  // the engine lets the other calls of a suspended execution run to their end, and that may never come
  const halted = Deferred.makeUnsafe<never>()
  const engine = Context.get(context, WorkflowEngine.WorkflowEngine)
  // an activity whose reply could not be stored is answered like one that waits; nobody would wake the execution, so the
  // attempt ends, and the engine begins the next one
  const activityExecute: typeof engine.activityExecute = (activity, attempt) =>
    Effect.filterOrElse(
      engine.activityExecute(activity, attempt),
      (result) => result._tag === "Complete" || result.failed === true || Deferred.isDoneUnsafe(halted),
      (result) =>
        Effect.flatMap(
          options.isInterrupted,
          (isInterrupted) => {
            if (isInterrupted) return Effect.succeed(result)
            options.onFenced()
            return Effect.interrupt
          }
        )
    )
  const waits = new Asked()
  const calls = callsOf(engine)
  const { executionId } = Context.get(context, WorkflowEngine.WorkflowInstance)
  const insistent = Context.add(context, WorkflowEngine.WorkflowEngine, { ...engine, activityExecute })
  const record: Journal.Journal["Service"]["record"] = (name, execute) =>
    Effect.contextWith((own: Context.Context<never>) => {
      // the engine makes spans for each activity; what runs inside is traced as the run is
      const isTraced = Context.get(own, References.TracerEnabled)
      const isTransaction = Context.get(own, InTransaction) || options.isTransaction(name)
      const call = Effect.withTracerEnabled(isTransaction ? inTransaction(execute) : execute, isTraced).pipe(
        // what cannot be recorded now may be recorded after a mend, so it is no result
        Effect.orDie,
        Effect.raceFirst(Deferred.await(halted)),
        Effect.tap(options.onLive),
        Effect.tapCause((cause) => {
          if (!Cause.hasDies(cause)) return Effect.void
          options.onDefect(cause)
          return Deferred.failCause(halted, cause as Cause.Cause<never>)
        })
      )
      const activityName = `${options.prefix}${name}`
      const id = `${executionId}/${activityName}`
      const activity = Activity.make({
        name: activityName,
        success: Schema.String,
        annotations: isTransaction ? transactional : Context.empty(),
        execute: Effect.suspend(() => {
          // a call that begins again is one of the next attempt, which tells its readers
          const asked = calls.get(id)
          calls.delete(id)
          if (asked === call) waits.begin(name)
          return asked ?? unasked
        })
      })
      const recording = Object.assign(activity, schemas)
      const recorded = Effect.suspend(() => {
        calls.set(id, call)
        return recording
      }).pipe(
        Effect.ensuring(Effect.sync(() => {
          if (calls.get(id) === call) calls.delete(id)
        })),
        Effect.withTracerEnabled(false),
        Effect.updateContext((_: Context.Context<never>) => Context.merge(own, insistent))
      )
      // the mask of a region that cannot be interrupted restores nothing
      const kept = Effect.uninterruptibleMask((restore) =>
        restore === identity ? unlessLost(recorded, options.isInterrupted) : restore(recorded)
      )
      const lost = Effect.onInterrupt(kept, () => Effect.sync(options.onLost))
      return Effect.onExit(Effect.andThen(Effect.sync(() => waits.add(name)), lost), (exit) => {
        waits.delete(name)
        // a process that stops begins nothing more, and the calls beside this one have their time to end
        return Exit.isFailure(exit) && isAbandoned(exit.cause)
          ? Effect.raceFirst(waits.callsEnd(name), Deferred.await(options.stopped))
          : Effect.void
      })
    })
  /** What is recorded in a transaction is recorded as a whole. */
  const inTransaction = <A, E>(execute: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.updateContext(execute, (inner: Context.Context<never>): Context.Context<never> => {
      const unrecorded = { ...journal, record: (_: string, execute: Effect.Effect<string, JournalError>) => execute }
      const outer: Context.Context<never> = Context.add(
        inner,
        Scope.Carried,
        (own) => Context.add(Context.merge(outer, own), Journal.Journal, unrecorded) as Context.Context<never>
      )
      return outer
    })
  const journal: Journal.Journal["Service"] = {
    id: options.id,
    record,
    // a request to end is the end, and so is an interrupt by the code of the run: only a process that stops is followed
    // by another one
    isSuspended: (cause) =>
      options.isLeft(cause)
        ? Effect.map(options.isInterrupted, (isInterrupted) => !isInterrupted)
        : Effect.succeed(isParked(cause))
  }
  return journal
}

/** The records that a run waits for. Those around a call begin with the name of its record. */
class Asked {
  private readonly names = new Set<string>()
  /** Those whose call is in progress, or whose record is being stored. */
  private readonly begun = new Set<string>()
  /** Those that cannot be made any more. */
  private readonly refused = new Set<string>()
  private readonly waiting = new Set<() => void>()

  add(name: string): void {
    this.names.add(name)
  }

  begin(name: string): void {
    this.begun.add(name)
  }

  delete(name: string): void {
    this.names.delete(name)
    this.begun.delete(name)
    this.check()
  }

  /** Waits until no call is in progress but those that wait for another one, which has not begun or was refused. */
  callsEnd(refused: string): Effect.Effect<void> {
    return Effect.callback((resume) => {
      const ended = () => resume(Effect.void)
      this.refused.add(refused)
      this.waiting.add(ended)
      this.check()
      return Effect.sync(() => void this.waiting.delete(ended))
    })
  }

  private check(): void {
    if (this.waiting.size === 0) return
    const others = [...this.names, ...this.refused]
    for (const name of this.begun) {
      if (!others.some((inner) => inner.startsWith(`${name}/`))) return
    }
    for (const ended of this.waiting) ended()
    this.waiting.clear()
  }
}

const isAbandoned = (cause: Cause.Cause<unknown>): boolean =>
  cause.reasons.some((reason) => Cause.isInterruptReason(reason) && reason.annotations.has(ClusterSchema.Abandon.key))

/**
 * The calls that attempts in this process have asked for, until they begin. The engine keeps the effect of an activity that was asked for by an
 * attempt that ended meanwhile, and would run it for the next attempt, or before that one asks for it.
 */
const callsOf = (engine: object): Map<string, Effect.Effect<string>> => {
  let calls = byEngine.get(engine)
  if (calls === undefined) byEngine.set(engine, calls = new Map())
  return calls
}

const byEngine = new WeakMap<object, Map<string, Effect.Effect<string>>>()

/** The answer to an activity that no attempt has asked for: the next attempt asks again. */
const unasked = Effect.flatMap(WorkflowEngine.WorkflowInstance, Workflow.suspend)

/**
 * Waits for a record in a region that cannot be interrupted, as long as this process has the execution. A process that
 * has lost it gets no reply from the engine any more, and has to let it go before another one can continue.
 */
const unlessLost = <A, E, R>(
  recorded: Effect.Effect<A, E, R>,
  isInterrupted: Effect.Effect<boolean>
): Effect.Effect<A, E, R> =>
  Effect.flatMap(Effect.forkChild(recorded), (fiber) =>
    Effect.catchCause(
      Effect.interruptible(Fiber.join(fiber)),
      (cause) =>
        fiber.pollUnsafe() === undefined
          // whoever asks for the end of the execution waits for the region
          ? Effect.flatMap(isInterrupted, (isInterrupted) =>
            isInterrupted ? Fiber.join(fiber) : Effect.andThen(Fiber.interrupt(fiber), Effect.failCause(cause)))
          : Effect.failCause(cause)
    ))

/**
 * Returns whether a cause parks the execution: a defect, or a record that could not be used.
 *
 * @category guards
 * @since 0.1.0
 */
export const isParked = (cause: Cause.Cause<unknown>): boolean =>
  Cause.hasDies(cause) || cause.reasons.some((reason) => Cause.isFailReason(reason) && isInvalidRecord(reason.error))

const isInvalidRecord = (error: unknown): boolean =>
  error instanceof JournalError ||
  (error as { readonly reason?: { readonly _tag?: unknown } } | undefined)?.reason?._tag === "InvalidRecord"

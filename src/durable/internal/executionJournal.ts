/**
 * The journal of an execution: each record is an activity of effect's workflow engine.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Schema from "effect/Schema"
import * as Activity from "effect/workflow/Activity"
import * as DurableDeferred from "effect/workflow/DurableDeferred"
import * as WorkflowEngine from "effect/workflow/WorkflowEngine"
import { JournalError } from "../../internal/words/journalError.ts"
import type * as Journal from "../../Journal.ts"

/**
 * The engine and its instance of one attempt.
 *
 * @category models
 * @since 0.1.0
 */
export type EngineContext = Context.Context<WorkflowEngine.WorkflowEngine | WorkflowEngine.WorkflowInstance>

/** The engine's own name for the request to end an execution. */
const interruptSignal = DurableDeferred.make("Workflow/InterruptSignal")

/**
 * Returns whether the execution was asked to end.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isInterrupted = (context: EngineContext): Effect.Effect<boolean> =>
  Context.get(context, WorkflowEngine.WorkflowEngine).deferredResult(interruptSignal).pipe(
    Effect.map(Option.isSome),
    // the engine's own spans are not those of the run
    Effect.withTracerEnabled(false),
    Effect.provideContext(context)
  )

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
  }
): Journal.Journal["Service"] => ({
  id: options.id,
  record: (name, execute) =>
    Effect.contextWith((own: Context.Context<never>) => {
      // the engine makes spans for each activity; what runs inside is traced as the run is
      const isTraced = Context.get(own, References.TracerEnabled)
      return Activity.make({
        name: `${options.prefix}${name}`,
        success: Schema.String,
        error: JournalError,
        execute: Effect.tap(Effect.withTracerEnabled(execute, isTraced), options.onLive)
      }).pipe(
        Effect.withTracerEnabled(false),
        Effect.updateContext((_: Context.Context<never>) => Context.merge(own, context))
      )
    }),
  // a request to end is the end; everything else that interrupts is a process that stops, and another one goes on
  isSuspended: (cause) =>
    Cause.hasInterruptsOnly(cause)
      ? Effect.map(isInterrupted(context), (isInterrupted) => !isInterrupted)
      : Effect.succeed(isParked(cause))
})

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

/**
 * The beginning of the span of a run.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Tracer from "effect/Tracer"
import type { RunJournal } from "../journal/run.ts"
import { Instrumentation, type RunSpan } from "../telemetry/instrumentation.ts"
import type { Run } from "./lifecycle.ts"

/**
 * Begins the span of a run in a context. Returns `undefined` without telemetry.
 *
 * @category running
 * @since 0.1.0
 */
export const start = (run: Run, context: Context.Context<never>): RunSpan | undefined => {
  const { definition: { description, model, name, provider, remote }, id: runId, session } = run
  return run.span = Context.getOrUndefined(context, Instrumentation)?.startRun(
    { agent: name, runId, description, session, remote, provider, model },
    context
  )
}

/**
 * Returns the span of a run that does something which is not read from a record. The span begins now if it has not
 * begun, and so does the span of the call that the run is nested in.
 *
 * @category running
 * @since 0.1.0
 */
export const begin = (run: Run, journal: RunJournal): RunSpan | undefined => {
  if (run.span !== undefined) return run.span
  const parent = journal.parentSpan()
  const span = start(run, parent === undefined ? run.context : Context.add(run.context, Tracer.ParentSpan, parent))
  if (span !== undefined) run.onSpan?.(span)
  return span
}

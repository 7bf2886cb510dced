/**
 * The span of a trial, and the events of its scores.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { Attribute, Event, Operation } from "../../internal/telemetry/genAi.ts"
import { Instrumentation } from "../../internal/telemetry/instrumentation.ts"
import type * as Trial from "../Trial.ts"

/**
 * Runs a trial in a span of its own, and writes the event `gen_ai.evaluation.result` for each of its scores as a log
 * record in this span. Without `AgentTelemetry` it makes neither.
 *
 * @category telemetry
 * @since 0.1.0
 */
export const traced = <R>(
  trial: Effect.Effect<{ readonly record: Trial.Record; readonly capturesContent: boolean }, never, R>,
  experiment: string,
  caseId: string,
  number: number
): Effect.Effect<Trial.Record, never, R> =>
  Effect.flatMap(Effect.context<never>(), (context) => {
    if (Context.getOrUndefined(context, Instrumentation) === undefined) return Effect.map(trial, ({ record }) => record)
    return trial.pipe(
      Effect.tap(({ capturesContent, record: { outcome, passed, scores } }) =>
        Effect.annotateCurrentSpan({
          [Attribute.trialOutcome]: outcome,
          [Attribute.trialPassed]: passed
        }).pipe(
          Effect.andThen(Effect.forEach(scores, (score) => announce(score, capturesContent), { discard: true }))
        )
      ),
      Effect.map(({ record }) => record),
      Effect.withSpan(`${Operation.trial} ${experiment}`, {
        attributes: { [Attribute.experiment]: experiment, [Attribute.case]: caseId, [Attribute.trial]: number }
      })
    )
  })

const announce = (
  { error, explanation, label, name, passed, value }: Trial.Score,
  capturesContent: boolean
): Effect.Effect<void> =>
  Effect.annotateLogs(Effect.logInfo(Event.evaluationResult), {
    "event.name": Event.evaluationResult,
    [Attribute.evaluationName]: name,
    [Attribute.evaluationValue]: value,
    ...(label !== undefined
      ? { [Attribute.evaluationLabel]: label }
      : passed !== undefined && { [Attribute.evaluationLabel]: passed ? "pass" : "fail" }),
    // an explanation quotes the answer
    ...(explanation !== undefined && capturesContent && { [Attribute.evaluationExplanation]: explanation }),
    ...(error !== undefined && { [Attribute.errorType]: "_OTHER" })
  })

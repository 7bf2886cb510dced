/**
 * Failures at the end of a run that do not change how it ended.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as GenAi from "../telemetry/genAi.ts"

/**
 * Logs that something failed or, without a cause, took too long. If the cause must not be shown, only its type is
 * logged, because a failure may repeat content of the run.
 *
 * @category logging
 * @since 0.1.0
 */
export const log = (
  what: string,
  cause: Cause.Cause<unknown> | undefined,
  isHidden: boolean,
  context: Context.Context<never>
): Effect.Effect<void> => {
  const message = `${what} ${cause === undefined ? "overran its budget" : "failed"}`
  const log = cause === undefined
    ? Effect.logError(message)
    : isHidden
    ? Effect.annotateLogs(Effect.logError(message), GenAi.Attribute.errorType, GenAi.errorTypeOfCause(cause))
    : Effect.logError(message, cause)
  // not even a logger that throws changes how the run ended
  return Effect.ignoreCause(Effect.provideContext(log, context))
}

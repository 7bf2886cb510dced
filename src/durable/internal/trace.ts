/**
 * The trace of an execution, for the processes that work on it.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"

/**
 * Writes a span as a `traceparent` of the W3C.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toText = (span: Option.Option<Tracer.AnySpan>): string | undefined =>
  Option.getOrUndefined(
    Option.map(span, ({ sampled, spanId, traceId }) => `00-${traceId}-${spanId}-${sampled ? "01" : "00"}`)
  )

/**
 * Runs an attempt below the span in which its execution was started.
 *
 * @category combinators
 * @since 0.1.0
 */
export const within = <A, E, R>(trace: string | undefined, attempt: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const [, traceId, spanId, flags] = trace?.split("-") ?? []
  return traceId === undefined || spanId === undefined
    ? attempt
    : Effect.provideService(
      attempt,
      Tracer.ParentSpan,
      Tracer.externalSpan({ traceId, spanId, sampled: flags !== "00" })
    ) as Effect.Effect<A, E, R>
}

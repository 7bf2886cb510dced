/**
 * The trace of an execution, for the processes that work on it.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Headers from "effect/http/Headers"
import * as HttpTraceContext from "effect/http/HttpTraceContext"
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
  const parent = trace === undefined ? Option.none() : HttpTraceContext.w3c(Headers.fromInput({ traceparent: trace }))
  return Option.isNone(parent)
    ? attempt
    : Effect.provideService(attempt, Tracer.ParentSpan, parent.value) as Effect.Effect<A, E, R>
}

/**
 * Spans of code that runs around a call without being a part of it. They are beside the span of the call.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

/**
 * The key under which the span of a call returns its parent without beginning.
 *
 * @category views
 * @since 0.1.0
 */
export const Above: unique symbol = Symbol("effect-agents/internal/CallSpan/Above")

type CallView = Tracer.AnySpan & { readonly [Above]?: Tracer.AnySpan }

/**
 * Runs a check that stands around a call. The call may never be made, so where the span of the call is the current one,
 * the check uses the span of the run instead.
 *
 * @category running
 * @since 0.1.0
 */
export const beside = <A, E, R>(check: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.updateContext(check, (context: Context.Context<R>) => {
    const current: CallView | undefined = Context.getOrUndefined(context, Tracer.ParentSpan)
    const above = current?.[Above]
    return above === undefined ? context : Context.add(context, Tracer.ParentSpan, above)
  })

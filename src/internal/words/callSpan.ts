/**
 * What is around a call and no part of it: its spans are beside that of the call.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"

/**
 * The key under which the span of a call gives the one above it, without beginning.
 *
 * @category views
 * @since 0.1.0
 */
export const Above: unique symbol = Symbol("effect-agents/internal/CallSpan/Above")

type CallView = Tracer.AnySpan & { readonly [Above]?: Tracer.AnySpan }

/**
 * Runs a check that stands around a call. The call may never be made: where the span of the call is the current one, that
 * of the run is it for the check.
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

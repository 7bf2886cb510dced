/**
 * Runs as streams.
 *
 * @since 0.1.0
 */

import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Fold from "../words/fold.ts"
import * as Finalizers from "./finalizers.ts"
import type * as Layered from "./layered.ts"
import * as Lifecycle from "./lifecycle.ts"

/**
 * Creates the stream of a run. Nothing happens until it is pulled. Running it again is a new run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const stream = (
  definition: Lifecycle.Definition,
  request: Middleware.AgentRequest,
  within?: Layered.Within
): Stream.Stream<AgentRun.Part, any> =>
  Fold.foldedBy(
    Stream.fromChannel(Channel.fromTransform((_upstream, consumer) =>
      Effect.withFiber((fiber) => {
        const scope = Scope.forkUnsafe(consumer)
        const run = new Lifecycle.Run(definition, request, scope, fiber, within)
        return Finalizers.addedTo(scope, (exit) => run.finalize(exit), Effect.withFiber((fiber) => run.take(fiber)))
      })
    )),
    (fiber) => new Lifecycle.Run(definition, request, undefined, fiber, within)
  )

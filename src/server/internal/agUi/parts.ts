/**
 * The stream of the events of a run.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../../AgentRun.ts"
import * as Valued from "../valued.ts"
import { Events, type Options } from "./events.ts"
import type * as Models from "./models.ts"

/**
 * Returns the events of a run. It never fails, and its last event says how the run has ended.
 *
 * @category conversions
 * @since 0.1.0
 */
export const events = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: Options
): Stream.Stream<Models.Event, never, R> =>
  Stream.suspend(() => {
    const events = new Events(options)
    return Valued.asJson(parts).pipe(
      Stream.mapAccumArray(() => undefined, (_, parts) => [
        undefined,
        parts.flatMap((part) => events.next(part))
      ]),
      Stream.concat(Stream.suspend(() => Stream.fromIterable(events.cut()))),
      Stream.catchCause((cause) => Stream.fromIterable(events.failed(cause, Cause.hasInterruptsOnly(cause))))
    )
  })

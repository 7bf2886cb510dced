/**
 * A stream of parts as a stream of chunks that always has an end.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../../AgentRun.ts"
import * as Valued from "../valued.ts"
import * as Chunks from "./chunks.ts"
import type * as Wire from "./wire.ts"

/**
 * Returns the chunks of a run. It never fails: a run that fails or is interrupted ends with chunks that say so.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromParts = <E, R>(
  parts: Stream.Stream<AgentRun.Part, E, R>,
  options: Chunks.Options
): Stream.Stream<Wire.Chunk, never, R> =>
  Stream.transformPull(Valued.asJson(parts), (upstream) =>
    Effect.sync(() => {
      const mapper = new Chunks.Mapper(options)
      let isOver = false
      const next: Pull.Pull<Arr.NonEmptyReadonlyArray<Wire.Chunk>, never, void, never> = Effect.suspend(() =>
        isOver || mapper.isBroken ? Cause.done() : read
      )
      const emit = (chunks: ReadonlyArray<Wire.Chunk>): typeof next =>
        Arr.isReadonlyArrayNonEmpty(chunks) ? Effect.succeed(chunks) : next
      const end = (cause: Cause.Cause<unknown> | undefined): typeof next => {
        isOver = true
        return emit(mapper.end(cause))
      }
      const read: typeof next = Effect.matchCauseEffect(upstream, {
        onSuccess: (parts) => Effect.flatMap(mapper.map(parts), emit),
        onFailure: (cause) => end(Pull.isDoneCause(cause) ? undefined : cause)
      })
      return next
    }))

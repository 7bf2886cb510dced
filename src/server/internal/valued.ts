/**
 * Parts with values that a tool, a model or an output has made. A value that is not JSON can be told on no wire.
 *
 * @since 0.1.0
 */

import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"
import type * as RunHub from "../RunHub.ts"

/**
 * Returns whether a part is a piece of text, as most parts are.
 *
 * @category guards
 * @since 0.1.0
 */
export const isPlain = ({ type }: AgentRun.Part): boolean =>
  type === "text-delta" || type === "reasoning-delta" || type === "tool-params-delta"

/**
 * Returns the same parts in arrays that begin with each part that has values. A wire that sends an array whole or not at
 * all then sends what came before a part that is not JSON.
 *
 * @category combinators
 * @since 0.1.0
 */
export const apart = <Part extends RunHub.Numbered, E, R>(self: Stream.Stream<Part, E, R>): Stream.Stream<Part, E, R> =>
  Stream.transformPull(self, (upstream) =>
    Effect.sync(() => {
      let rest: ReadonlyArray<Part> = []
      const cut = (parts: Arr.NonEmptyReadonlyArray<Part>): Arr.NonEmptyReadonlyArray<Part> => {
        const next = parts.findIndex(({ part }, index) => index > 0 && !isPlain(part))
        rest = next < 0 ? [] : parts.slice(next)
        // there is at least one before it
        return (next < 0 ? parts : parts.slice(0, next)) as unknown as Arr.NonEmptyReadonlyArray<Part>
      }
      const pull: Pull.Pull<Arr.NonEmptyReadonlyArray<Part>, E, void, R> = Effect.suspend(() =>
        Arr.isReadonlyArrayNonEmpty(rest) ? Effect.succeed(cut(rest)) : Effect.map(upstream, cut)
      )
      return pull
    }))

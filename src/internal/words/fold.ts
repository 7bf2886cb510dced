/**
 * The fold of a run.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"

/**
 * Runs a stream of parts to its end and returns the result of its `run-end`.
 *
 * @category running
 * @since 0.1.0
 */
export const fold = <E, R, A = unknown>(
  stream: Stream.Stream<AgentRun.Part<any, A>, E, R>
): Effect.Effect<AgentRun.Result<A>, E, R> => foldOf(() => stream)

/**
 * Makes a stream of parts, runs it to its end and returns the result of its `run-end`.
 *
 * @category running
 * @since 0.1.0
 */
export const foldOf = <E, R, A = unknown>(
  stream: () => Stream.Stream<AgentRun.Part<any, A>, E, R>
): Effect.Effect<AgentRun.Result<A>, E, R> =>
  Effect.suspend(() => {
    const scope = Scope.makeUnsafe()
    let result: AgentRun.Result<A> | undefined
    const drain = Effect.flatMap(Channel.toPullScoped(stream().channel, scope), (pull) => {
      const next: Effect.Effect<AgentRun.Result<A>, E, R> = Effect.matchCauseEffect(pull, {
        onSuccess: (parts) => {
          const last = parts[parts.length - 1]
          if (last.type === "run-end") result = last.result
          return next
        },
        onFailure: (cause): Exit.Exit<AgentRun.Result<A>, E> => {
          if (!Pull.isDoneCause(cause)) return Exit.failCause(cause as Cause.Cause<E>)
          return result === undefined
            ? Exit.die(new Error("The stream of the run ended without a `run-end` part"))
            : Exit.succeed(result)
        }
      })
      return next
    })
    return Effect.onExitPrimitive(drain, (exit) => Scope.closeUnsafe(scope, exit))
  })

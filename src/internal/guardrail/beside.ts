/**
 * Runs a check beside a stream.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Stream from "effect/Stream"

/**
 * Returns the stream; it fails as soon as `check` fails. Its end waits for the check. After the check has passed, a
 * pull has no additional cost.
 *
 * @category running
 * @since 0.1.0
 */
export const beside = <A, E, R, EC, RC>(
  stream: Stream.Stream<A, E, R>,
  check: Effect.Effect<unknown, EC, RC>
): Stream.Stream<A, E | EC, R | RC> =>
  Stream.fromChannel(
    Channel.fromTransform((_upstream, scope) =>
      Effect.map(Effect.forkIn(check, scope, { startImmediately: true }), (checking) => {
        const failed = Effect.andThen(Fiber.join(checking), Effect.never)
        let opened: Pull.Pull<readonly [A, ...Array<A>], E, void, R> | undefined
        const pull = Effect.suspend(() =>
          opened ?? Effect.flatMap(Channel.toPullScoped(stream.channel, scope), (pull) => opened = pull)
        )
        const guarded: Pull.Pull<readonly [A, ...Array<A>], E | EC, void, R> = Pull.catchDone(
          Effect.raceFirst(pull, failed),
          () => Effect.andThen(Fiber.join(checking), Cause.done())
        )
        return Effect.suspend(() => {
          const exit = checking.pollUnsafe()
          if (exit === undefined) return guarded
          return exit._tag === "Success" ? pull : Effect.failCause(exit.cause)
        })
      })
    )
  )

/**
 * The fold of a run.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"
import type { PartPull } from "./partPull.ts"

/**
 * A run that has begun. `close` finalizes it, once, and is called when its pulls are over.
 *
 * @category models
 * @since 0.1.0
 */
export interface Begun {
  /** The next parts for this fiber. Parts that are already there come as an `Exit`. */
  readonly take: (fiber: Fiber.Fiber<unknown, unknown>) => PartPull
  readonly close: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown> | undefined
}

const Begins: unique symbol = Symbol("effect-agents/internal/Begins")

type Begin = (fiber: Fiber.Fiber<unknown, unknown>) => Begun

/**
 * Returns the stream of a run, which a fold may begin without a channel in between.
 *
 * @category combinators
 * @since 0.1.0
 */
export const foldedBy = <S extends Stream.Stream<AgentRun.Part, any> & { [Begins]?: Begin }>(
  stream: S,
  begin: Begin
): S => {
  stream[Begins] = begin
  return stream
}

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
 * Makes a stream of parts, runs it to its end and returns the result of its `run-end`. `tell` receives the parts.
 *
 * @category running
 * @since 0.1.0
 */
export const foldOf = <E, R, A = unknown>(
  make: () => Stream.Stream<AgentRun.Part<any, A>, E, R> & { readonly [Begins]?: Begin },
  tell?: Tell
): Effect.Effect<AgentRun.Result<A>, E, R> =>
  Effect.withFiber((fiber) => {
    const stream = make()
    const begin = stream[Begins]
    return begin === undefined ? foldStream(stream, tell) : foldRun(begin(fiber), tell)
  })

/**
 * Receives the parts of a run that is folded. The run goes on when the effect has ended.
 *
 * @category models
 * @since 0.1.0
 */
export type Tell = (parts: ReadonlyArray<AgentRun.Part>) => Effect.Effect<void>

/** The run is finalized after its last part, as by the pull after that. */
const foldRun = <E, A>(run: Begun, tell: Tell | undefined): Effect.Effect<AgentRun.Result<A>, E> => {
  const pull = Effect.withFiber((fiber) => {
    for (;;) {
      const parts = run.take(fiber)
      // nobody waits for parts that are already there
      if (tell !== undefined || !isThere(parts) || resultIn(parts.value) !== undefined) return parts
    }
  })
  const next: Effect.Effect<AgentRun.Result<A>, E> = Effect.matchCauseEffect(pull, {
    onSuccess: (parts) => {
      const result = resultIn(parts)
      // the types of its parts and of its failures were erased
      const then = result === undefined ? next : Exit.succeed(result as AgentRun.Result<A>)
      return tell === undefined ? then : Effect.andThen(tell(parts), then)
    },
    onFailure: (cause) => Exit.failCause(cause as Cause.Cause<E>)
  })
  return Effect.onExitPrimitive(next, (exit) => {
    const rest = run.close(exit)
    return rest === undefined || Exit.isExit(rest) && Exit.isSuccess(rest) ? undefined : Effect.asVoid(rest)
  })
}

const isThere = (parts: PartPull): parts is Exit.Success<ReadonlyArray<AgentRun.Part>, never> & PartPull =>
  Exit.isExit(parts) && Exit.isSuccess(parts)

const resultIn = (parts: ReadonlyArray<AgentRun.Part>): AgentRun.Result | undefined => {
  const last = parts[parts.length - 1]
  return last.type === "run-end" ? last.result : undefined
}

const foldStream = <E, R, A>(
  stream: Stream.Stream<AgentRun.Part<any, A>, E, R>,
  tell: Tell | undefined
): Effect.Effect<AgentRun.Result<A>, E, R> => {
  const scope = Scope.makeUnsafe()
  let result: AgentRun.Result<A> | undefined
  const drain = Effect.flatMap(Channel.toPullScoped(stream.channel, scope), (pull) => {
    const next: Effect.Effect<AgentRun.Result<A>, E, R> = Effect.matchCauseEffect(pull, {
      onSuccess: (parts) => {
        const last = parts[parts.length - 1]
        if (last.type === "run-end") result = last.result
        return tell === undefined ? next : Effect.andThen(tell(parts), next)
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
}

/**
 * The four ways in which a run ends, as an `Exit` and as a value.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type * as AgentRun from "../../AgentRun.ts"
import * as Usage from "./usage.ts"

/**
 * What a run that did not complete had done: the text of its unfinished step, its usage, its finished steps, and its
 * messages.
 *
 * `transcript` begins like the transcript of a `Result`. The messages of the unfinished step follow: its text and its
 * tool calls. They are marked (`isCut`). Every call has a result: its own, or an interrupted one if it had not ended.
 *
 * @category outcomes
 * @since 0.1.0
 */
export interface Partial {
  /** The id of the run; `undefined` if the run had not begun. */
  readonly runId: string | undefined
  readonly text: string
  readonly usage: AgentRun.Usage
  readonly totalUsage: AgentRun.Usage
  readonly steps: ReadonlyArray<AgentRun.Step>
  readonly transcript: Prompt.Prompt
}

/**
 * How a run ended.
 *
 * - `Completed`: every step and every critical `afterRun` succeeded.
 * - `Failed`: the run failed or died with `cause`.
 * - `Interrupted`: the fiber that ran it was interrupted.
 * - `Abandoned`: the consumer stopped pulling, for example because its own code failed.
 *
 * @category outcomes
 * @since 0.1.0
 */
export type Outcome<E = unknown> = Completed | Failed<E> | Interrupted | Abandoned

/**
 * @category outcomes
 * @since 0.1.0
 */
export interface Completed {
  readonly _tag: "Completed"
  readonly result: AgentRun.Result
}

/**
 * @category outcomes
 * @since 0.1.0
 */
export interface Failed<out E> {
  readonly _tag: "Failed"
  readonly cause: Cause.Cause<E>
  readonly partial: Partial
}

/**
 * @category outcomes
 * @since 0.1.0
 */
export interface Interrupted {
  readonly _tag: "Interrupted"
  readonly cause: Cause.Cause<never>
  readonly partial: Partial
}

/**
 * @category outcomes
 * @since 0.1.0
 */
export interface Abandoned {
  readonly _tag: "Abandoned"
  readonly partial: Partial
}

/**
 * Annotation of the cause of every run that did not complete.
 *
 * @category outcomes
 * @since 0.1.0
 */
export class PartialResult extends Context.Service<PartialResult, Partial>()("effect-agents/AgentRun/PartialResult") {}

/**
 * Annotation that tells an abandoned run from an interrupted one.
 *
 * @category outcomes
 * @since 0.1.0
 */
export class AbandonedRun extends Context.Service<AbandonedRun, true>()("effect-agents/AgentRun/AbandonedRun") {}

/**
 * Annotation of the cause of a run that goes on elsewhere.
 *
 * @category outcomes
 * @since 0.1.0
 */
export class SuspendedRun extends Context.Service<SuspendedRun, true>()("effect-agents/AgentRun/SuspendedRun") {}

/**
 * Returns whether a run has ended only in this attempt, and another attempt goes on with it.
 *
 * @category outcomes
 * @since 0.1.0
 */
export const isSuspended = (exit: Exit.Exit<unknown, unknown>): boolean =>
  Exit.isFailure(exit) && Option.isSome(Context.getOption(Cause.annotations(exit.cause), SuspendedRun))

/**
 * The partial of a run that has not begun.
 *
 * @category outcomes
 * @since 0.1.0
 */
export const emptyPartial: Partial = {
  runId: undefined,
  text: "",
  usage: Usage.empty,
  totalUsage: Usage.empty,
  steps: [],
  transcript: Prompt.empty
}

/**
 * Tells how a run ended from its `Exit`.
 *
 * @category outcomes
 * @since 0.1.0
 */
export const outcome = <E>(exit: Exit.Exit<AgentRun.Result, E>): Outcome<E> => {
  if (Exit.isSuccess(exit)) {
    return { _tag: "Completed", result: exit.value }
  }
  const annotations = Cause.annotations(exit.cause)
  const partial = Option.getOrElse(Context.getOption(annotations, PartialResult), () => emptyPartial)
  if (!Cause.hasInterruptsOnly(exit.cause)) {
    return { _tag: "Failed", cause: exit.cause, partial }
  }
  return Option.isSome(Context.getOption(annotations, AbandonedRun))
    ? { _tag: "Abandoned", partial }
    : { _tag: "Interrupted", cause: exit.cause as Cause.Cause<never>, partial }
}

/**
 * Returns the `Exit` that stands for an outcome.
 *
 * @category outcomes
 * @since 0.1.0
 */
export const toExit = <E>(self: Outcome<E>): Exit.Exit<AgentRun.Result, E> => {
  switch (self._tag) {
    case "Completed":
      return Exit.succeed(self.result)
    case "Failed":
      return Exit.failCause(
        Cause.annotate(self.cause, Context.make(PartialResult, self.partial), { overwrite: true })
      )
    case "Interrupted":
      return Exit.failCause(Cause.annotate(self.cause, Context.make(PartialResult, self.partial), { overwrite: true }))
    case "Abandoned":
      return Exit.failCause(Cause.annotate(
        Cause.interrupt(),
        Context.add(Context.make(PartialResult, self.partial), AbandonedRun, true)
      ))
  }
}

/**
 * Folds the four outcomes of a run into one value.
 *
 * @category outcomes
 * @since 0.1.0
 */
export const matchOutcome = <E, A, B = A, C = A, D = A>(cases: {
  readonly onCompleted: (result: AgentRun.Result) => A
  readonly onFailed: (cause: Cause.Cause<E>, partial: Partial) => B
  readonly onInterrupted: (partial: Partial) => C
  readonly onAbandoned: (partial: Partial) => D
}) =>
(exit: Exit.Exit<AgentRun.Result, E>): A | B | C | D => {
  const self = outcome(exit)
  switch (self._tag) {
    case "Completed":
      return cases.onCompleted(self.result)
    case "Failed":
      return cases.onFailed(self.cause, self.partial)
    case "Interrupted":
      return cases.onInterrupted(self.partial)
    case "Abandoned":
      return cases.onAbandoned(self.partial)
  }
}

/**
 * Adds a finalizer to the scope that a provider's `beforeRun` runs in.
 *
 * @category outcomes
 * @since 0.1.0
 */
export const addFinalizer = <R>(
  finalizer: (exit: Exit.Exit<AgentRun.Result, unknown>) => Effect.Effect<unknown, never, R>
): Effect.Effect<void, never, R | Scope.Scope> =>
  Effect.contextWith((context: Context.Context<R | Scope.Scope>) =>
    Scope.addFinalizerExit(
      Context.get(context, Scope.Scope),
      // the scope of a provider is always closed with the run's Exit
      (exit) => Effect.updateContext(finalizer(exit as Exit.Exit<AgentRun.Result, unknown>), () => context)
    )
  )

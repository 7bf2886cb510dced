/**
 * The order of the `afterRun`s, and the failure of a run when one of them fails.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as ContextProvider from "../../ContextProvider.ts"
import type { RunJournal } from "../journal/run.ts"
import * as JournalScope from "../journal/scope.ts"
import { bounded } from "../words/bounded.ts"
import { FailsRun } from "../words/failsRun.ts"

/**
 * Returns the providers with an `afterRun`: the last one first, and committing ones after all others.
 *
 * @category combinators
 * @since 0.1.0
 */
export const inOrder = <Started extends { readonly provider: ContextProvider.Any }>(
  started: ReadonlyArray<Started>
): Array<Started> => {
  const pending: Array<Started> = []
  const committing: Array<Started> = []
  for (let i = started.length - 1; i >= 0; i--) {
    const { afterRun, commitment } = started[i].provider
    if (afterRun !== undefined) (commitment === "committing" ? committing : pending).push(started[i])
  }
  return committing.length === 0 ? pending : [...pending, ...committing]
}

/**
 * A result to which nested runs may still add their usage.
 *
 * @category models
 * @since 0.1.0
 */
export type Deciding = AgentRun.Result & { totalUsage: AgentRun.Usage }

/**
 * What the `afterRun`s need of their run. `budget` is the time limit of each. `record` is called for a best-effort one
 * that did not succeed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Completing {
  readonly agent: string
  readonly result: AgentRun.Result
  readonly budget: Duration.Input
  readonly context: Context.Context<never>
  readonly journal: RunJournal | undefined
  readonly record: (provider: string, cause: Cause.Cause<unknown> | undefined) => Effect.Effect<void>
}

interface Pending {
  readonly provider: ContextProvider.ContextProvider<unknown, never>
  readonly request: ContextProvider.Request
  readonly contribution: ContextProvider.Contribution | undefined
}

/**
 * Runs the `afterRun`s one after the other, and adds to `failures` those that fail the run. If none of them has to
 * wait, they run at once and the result is `undefined`.
 *
 * @category running
 * @since 0.1.0
 */
export const runAll = (
  run: Completing,
  pending: ReadonlyArray<Pending>,
  failures: Array<Cause.Reason<unknown>>,
  from = 0
): Effect.Effect<void, unknown> | undefined => {
  for (let index = from; index < pending.length; index++) {
    const { provider } = pending[index]
    if (provider.commitment === "committing" && failures.length > 0) return undefined
    const ended = (exit: Exit.Exit<unknown, unknown> | undefined, isLive = true): Effect.Effect<void> | undefined => {
      if (exit !== undefined && Exit.isSuccess(exit)) return undefined
      if (provider.commitment === "best-effort") return isLive ? run.record(provider.name, exit?.cause) : undefined
      failures.push(Cause.makeFailReason(failure(run.agent, provider, run.result, exit, run.budget)))
      return undefined
    }
    const rest = run.journal === undefined
      ? runOne(run, pending[index], ended)
      : Effect.flatMap(
        run.journal.afterRun(provider.name, toEnd(run, pending[index])),
        ({ exit, isLive }) => ended(exit, isLive) ?? Effect.void
      )
    if (rest !== undefined) {
      return Effect.flatMap(rest, () => runAll(run, pending, failures, index + 1) ?? Effect.void)
    }
  }
  return undefined
}

const runOne = (
  { budget, context, result }: Completing,
  { contribution, provider, request }: Pending,
  ended: (exit: Exit.Exit<unknown, unknown> | undefined) => Effect.Effect<void> | undefined
): Effect.Effect<void> | undefined => {
  const afterRun = Effect.suspend(() => provider.afterRun!({ request, result, state: contribution?.state }))
  return bounded(afterRun, budget, context, ended, provider.commitment === "committing")
}

/** The end of one `afterRun`, within its time limit. */
const toEnd = (run: Completing, one: Pending): Effect.Effect<Exit.Exit<unknown, unknown> | undefined> =>
  Effect.contextWith((inner: Context.Context<never>) => {
    let end: Exit.Exit<unknown, unknown> | undefined
    const rest = runOne({ ...run, context: JournalScope.carried(inner, run.context) }, one, (exit) => {
      end = exit
      return undefined
    })
    return Effect.map(rest ?? Effect.void, () => end)
  })

/**
 * Returns the failure of a run whose `afterRun` ended with this exit. Without an exit it took too long.
 *
 * @category errors
 * @since 0.1.0
 */
export const failure = (
  agent: string,
  provider: Pick<ContextProvider.Any, "commitment" | "name">,
  result: AgentRun.Result,
  exit: Exit.Failure<unknown, unknown> | undefined,
  budget: Duration.Input
): unknown => {
  const cause = exit === undefined ? new Error(overran(provider, budget)) : Cause.squash(exit.cause)
  if (cause instanceof FailsRun) return cause.error
  return AgentError.make(agent, new AgentError.AfterRunFailed({ provider: provider.name, result, cause }))
}

const overran = ({ commitment }: Pick<ContextProvider.Any, "commitment">, budget: Duration.Input): string => {
  const overran = `it took longer than ${Duration.format(Duration.fromInputUnsafe(budget))}`
  return commitment === "committing" ? `${overran}, and what it has done is not known` : overran
}

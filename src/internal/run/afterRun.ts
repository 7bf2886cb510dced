/**
 * Which `afterRun` comes when, and what a run fails with when one does.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Duration from "effect/Duration"
import type * as Exit from "effect/Exit"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as ContextProvider from "../../ContextProvider.ts"
import { FailsRun } from "../words/failsRun.ts"

/**
 * Returns those with an `afterRun`: the last one first, and those that commit after all the others.
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
 * What a run fails with whose `afterRun` ended so; without an exit it overran its budget.
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

/**
 * Runs whose approvals nobody can give.
 *
 * @since 0.1.0
 */

import * as Stream from "effect/Stream"
import * as Agent from "../../Agent.ts"
import * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"

/** A model that asks for another approval after so many denials gets no further answer. */
const maximumDenials = 8

/** What the model reads. */
const reason = "Nobody is there who could approve it"

/**
 * Returns the agent whose calls that need an approval are denied, except those that are `left` to wait. The model reads
 * the denial and goes on, and the usage and the steps of all of that are in the one result.
 *
 * @category combinators
 * @since 0.1.0
 */
export const denying = <E, R, A, P>(
  agent: Agent.Agent<any, E, R, A, P>,
  left: (approval: Approval.Approval) => boolean
): Agent.Agent<any, E, R, A, P> =>
  Agent.fromStream(agent.name, {
    description: agent.description,
    stream: (input) => goingOn(agent, left, Agent.stream(agent, input), undefined, maximumDenials)
  })

const goingOn = <E, R, A, P>(
  agent: Agent.Agent<any, E, R, A, P>,
  left: (approval: Approval.Approval) => boolean,
  parts: Stream.Stream<AgentRun.Part<any, A, P>, E, R>,
  before: AgentRun.Result<A> | undefined,
  denials: number
): Stream.Stream<AgentRun.Part<any, A, P>, E, R> =>
  Stream.suspend(() => {
    let waiting: { readonly result: AgentRun.Result<A>; readonly whole: AgentRun.Result<A> } | undefined
    const shown = Stream.mapAccumArray(parts, () => undefined, (_, parts) => [
      undefined,
      parts.flatMap((part): ReadonlyArray<AgentRun.Part<any, A, P>> => {
        if (part.type === "run-start") return before === undefined ? [part] : []
        if (part.type !== "run-end") return [part]
        const whole = before === undefined ? part.result : together(before, part.result)
        if (denials === 0 || part.result.approvals.every(left)) return [{ ...part, result: whole }]
        waiting = { result: part.result, whole }
        return []
      })
    ])
    return Stream.concat(
      shown,
      Stream.suspend(() => {
        if (waiting === undefined) return Stream.empty
        const { result, whole } = waiting
        const answers = result.approvals.flatMap((approval) => left(approval) ? [] : [Approval.deny(approval, reason)])
        return goingOn(agent, left, Agent.resumeStream(agent, { result }, answers), whole, denials - 1)
      })
    )
  })

const together = <A>(self: AgentRun.Result<A>, that: AgentRun.Result<A>): AgentRun.Result<A> => ({
  ...that,
  runId: self.runId,
  usage: AgentRun.addUsage(self.usage, that.usage),
  totalUsage: AgentRun.addUsage(self.totalUsage, that.totalUsage),
  steps: [...self.steps, ...that.steps]
})

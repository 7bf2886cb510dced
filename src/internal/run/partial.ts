/**
 * The partial result of a run that did not complete.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as AgentRun from "../../AgentRun.ts"
import * as Session from "../../Session.ts"

/**
 * The partial result of a run whose body has not begun: its prompt, and the usage of runs by its providers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const beforeBody = (
  runId: string | undefined,
  prompt: Prompt.Prompt,
  nested: AgentRun.Usage
): AgentRun.Partial => ({
  runId,
  text: "",
  usage: AgentRun.emptyUsage,
  totalUsage: nested,
  steps: [],
  transcript: Prompt.fromMessages(Session.close(withoutSystem(prompt.content)))
})

/** The prompt in the form in which a transcript begins with it. */
const withoutSystem = (prompt: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> => {
  const first = prompt.findIndex((message) => message.role !== "system")
  return first === -1 ? [] : prompt.slice(first)
}

/**
 * Returns an outcome with the usage of the runs nested in this one, and with messages that came after its end.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withTotal = (
  outcome: AgentRun.Outcome,
  nested: AgentRun.Usage,
  more: ReadonlyArray<Prompt.Message> = []
): AgentRun.Outcome => {
  if (outcome._tag === "Completed") return outcome
  const { transcript, usage } = outcome.partial
  const whole = more.length === 0 ? transcript : Prompt.fromMessages([...transcript.content, ...more])
  return {
    ...outcome,
    partial: { ...outcome.partial, totalUsage: AgentRun.addUsage(usage, nested), transcript: whole }
  }
}

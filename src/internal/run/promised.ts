/**
 * The promise of an agent with an `output`: a run that completes has its value.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"

/**
 * Says why a result has no value although its agent has an `output`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const broken = ({ approvals = [], stopReason }: {
  readonly stopReason: AgentRun.StopReason
  readonly approvals?: AgentRun.Result["approvals"]
}): AgentError.NoValue | undefined => {
  if (approvals.length > 0) {
    return new AgentError.NoValue({ stopReason: "approval-required", tool: approvals[0].tool })
  }
  return stopReason === "steered" ? new AgentError.NoValue({ stopReason: "steered" }) : undefined
}

/**
 * Returns what the tool of an agent answers: the agent's value if the tool's schema may be the schema of that value,
 * otherwise the text.
 *
 * @category accessors
 * @since 0.1.0
 */
export const answerOf = (
  { stopReason, text, value }: AgentRun.Result,
  success: Schema.Constraint | undefined
): unknown => {
  const hasValue = success === undefined ? typeof value === "string" : value !== undefined || stopReason === "output"
  return hasValue ? value : text
}

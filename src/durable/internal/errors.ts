/**
 * The failures of durable executions.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"

/**
 * This process does not know the agent, and reaches none that does: the layer of the agent is not there.
 *
 * @category errors
 * @since 0.1.0
 */
export class AgentUnknown extends Schema.Error<AgentUnknown>("effect-agents/durable/AgentUnknown")({
  _tag: Schema.tag("AgentUnknown"),
  agent: Schema.String
}) {
  override get message(): string {
    return `This process does not know the agent \`${this.agent}\`: provide \`Durable.layer\` of it to the engine`
  }
}

/**
 * There is an execution with this id, and it was started with something else: another prompt, session or version.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutionConflict extends Schema.Error<ExecutionConflict>("effect-agents/durable/ExecutionConflict")({
  _tag: Schema.tag("ExecutionConflict"),
  execution: Schema.String
}) {
  override get message(): string {
    return `There is an execution \`${this.execution}\` that was started with another input`
  }
}

/**
 * There is no execution with this id, or it is not one of this agent.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutionUnknown extends Schema.Error<ExecutionUnknown>("effect-agents/durable/ExecutionUnknown")({
  _tag: Schema.tag("ExecutionUnknown"),
  execution: Schema.String
}) {
  override get message(): string {
    return `There is no execution \`${this.execution}\` of this agent`
  }
}

/**
 * An execution cannot go on until somebody has done something about its cause. `resume` tries again.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutionParked extends Schema.Error<ExecutionParked>("effect-agents/durable/ExecutionParked")({
  _tag: Schema.tag("ExecutionParked"),
  execution: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `The execution \`${this.execution}\` is parked: ${this.description}`
  }
}

/**
 * An answer was refused, and the execution waits on. Nobody asked for the approval (`unknown`), it has another answer
 * already (`answered`), or the edited parameters are not those of its tool (`invalid-params`).
 *
 * @category errors
 * @since 0.1.0
 */
export class AnswerRefused extends Schema.Error<AnswerRefused>("effect-agents/durable/AnswerRefused")({
  _tag: Schema.tag("AnswerRefused"),
  approvalId: Schema.String,
  problem: Schema.Literals(["unknown", "answered", "invalid-params"]),
  description: Schema.optional(Schema.String)
}) {
  override get message(): string {
    return `The answer to approval \`${this.approvalId}\` was refused: ${this.description ?? this.problem}`
  }
}

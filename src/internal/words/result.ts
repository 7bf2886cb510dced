/**
 * The schemas of a result and its fields. Their promises are documented in `AgentRun`.
 *
 * @since 0.1.0
 */

import * as Response from "effect/ai/Response"
import * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import * as Approval from "../../Approval.ts"
import * as Fields from "./fields.ts"
import * as Received from "./received.ts"

const Count = Fields.undefinable(Schema.Int)

/**
 * The number of tokens, as the providers reported them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Usage = Schema.Struct({
  inputTokens: Schema.Struct({
    uncached: Count,
    total: Count,
    cacheRead: Count,
    cacheWrite: Count
  }),
  outputTokens: Schema.Struct({
    total: Count,
    text: Count,
    reasoning: Count
  })
})

/**
 * A tool call of a finished step.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ToolCall = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  params: Fields.Value,
  executed: Schema.Boolean,
  isFailure: Schema.Boolean
})

/**
 * A finished model call and the tool calls it asked for.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Step = Schema.Struct({
  index: Schema.Int,
  text: Schema.String,
  finishReason: Response.FinishReason,
  toolCalls: Schema.Array(ToolCall),
  usage: Usage,
  provider: Schema.optionalKey(Schema.String),
  model: Schema.optionalKey(Schema.String)
})

/**
 * The result of a completed run.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Result = Schema.Struct({
  agent: Schema.String,
  runId: Schema.String,
  session: Fields.undefinable(Schema.String),
  text: Schema.String,
  value: Fields.AnyAnswer,
  usage: Usage,
  totalUsage: Usage,
  steps: Schema.Array(Step),
  stopReason: Schema.String as Schema.Codec<AgentRun.StopReason, string>,
  transcript: Received.Transcript,
  approvals: Schema.Array(Approval.Approval),
  seal: Fields.OptionalText
})

/**
 * The approvals of a run that is nested in a tool call: they are kept with the call,
 * together with the conversation that goes on when they are answered.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
// the agent that is called, which the tool of an agent holds
import type * as Agent from "../../Agent.ts"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as Fields from "../words/fields.ts"
import type { Nested } from "../words/parentRun.ts"
import * as Waiting from "./waiting.ts"

const Transcript = Schema.toCodecJson(Fields.Transcript)

const invalid = (agent: string) => (error: Schema.SchemaError) =>
  AgentError.make(
    agent,
    new AgentError.InvalidPrompt({ description: `what waits for an approval cannot be kept: ${error.message}` })
  )

/**
 * What the call of a nested run waits for: what the run does.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRequests = (
  toolCallId: string,
  { agent, approvals, transcript }: AgentRun.Result
): Effect.Effect<ReadonlyArray<Prompt.ToolApprovalRequestPart>, AgentError.AgentError> =>
  Effect.mapBoth(
    Schema.encodeEffect(Transcript)(transcript),
    {
      onFailure: invalid(agent),
      onSuccess: (encoded) =>
        approvals.map(({ approvalId, params, path, tool, toolCallId: askedBy }, index) =>
          Prompt.toolApprovalRequestPart({
            approvalId,
            toolCallId,
            options: {
              [Waiting.optionsKey]: {
                path: [agent, ...path],
                toolCallId: askedBy,
                tool,
                // the parameters of a call are JSON, but for those of one without any
                params: (params ?? null) as Schema.Json,
                ...index === 0 && { transcript: encoded as Schema.Json }
              }
            }
          })
        )
    }
  )

/**
 * What a nested run goes on with. When it has a session, that is asked first.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toInput = (
  agent: string,
  { answers, transcript }: Nested,
  session: string | undefined
): Effect.Effect<Agent.Input, AgentError.AgentError> =>
  Effect.mapBoth(Schema.decodeUnknownEffect(Transcript)(transcript), {
    onFailure: invalid(agent),
    onSuccess: (prompt) => ({ prompt, session, answers })
  })

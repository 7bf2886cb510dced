/**
 * The approvals of a run that is nested in a tool call. They are kept with the call, together with the conversation
 * that continues when they are answered.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
// the agent that is called; the tool of an agent holds it
import type * as Agent from "../../Agent.ts"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as ClientTool from "../tool/clientTool.ts"
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
 * The requests of the call of a nested run: what that run waits for.
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
        approvals.map(({ approvalId, params, path, runsIn, tool, toolCallId: askedBy }, index) =>
          Prompt.toolApprovalRequestPart({
            approvalId,
            toolCallId,
            options: {
              ...runsIn === "client" && { [ClientTool.optionsKey]: {} },
              [Waiting.optionsKey]: {
                path: [agent, ...path],
                toolCallId: askedBy,
                tool,
                // the parameters of a call are JSON, or undefined if it has none
                params: (params ?? null) as Schema.Json,
                ...index === 0 && { transcript: encoded as Schema.Json }
              }
            }
          })
        )
    }
  )

/**
 * The input with which a nested run continues. If it has a session, that is used first.
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

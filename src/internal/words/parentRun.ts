/**
 * What the fiber of a tool knows about the run that called the tool.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"

/**
 * The answers to the approvals of a nested run, and the state of that run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Nested {
  readonly answers: ReadonlyArray<Approval.Answer>
  /** Its conversation as JSON. */
  readonly transcript: Schema.Json | undefined
}

/**
 * The run that the fiber of a tool belongs to. A run that finds one adds its total usage to it, however it ends. Only
 * fibers of tools have it.
 *
 * `messages` is the closed conversation that the model was called with in the step of the tool call. `emit` puts the
 * parts of a nested run into the stream while the call has no result, and waits like a preliminary result does. `wait`
 * ends the call because the nested run waits for approvals. When these are answered the call runs again, and `resumed`
 * has the answers.
 *
 * @category services
 * @since 0.1.0
 */
export class ParentRun extends Context.Service<ParentRun, {
  readonly runId: string
  readonly session: string | undefined
  readonly addNestedUsage: (usage: AgentRun.Usage) => void
  readonly messages: () => ReadonlyArray<Prompt.Message>
  readonly emit: (toolCallId: string, parts: ReadonlyArray<AgentRun.AgentPart>) => Effect.Effect<void>
  readonly resumed: (toolCallId: string) => Nested | undefined
  readonly wait: (toolCallId: string, requests: ReadonlyArray<Prompt.ToolApprovalRequestPart>) => Effect.Effect<never>
}>()("effect-agents/internal/ParentRun") {}

/**
 * The objects of the UI message stream, version 1, as the AI SDK 7 reads them.
 *
 * @since 0.1.0
 */

import type * as AgentRun from "../../../AgentRun.ts"

/**
 * The metadata of a message of an assistant.
 *
 * - `agent`, `runId`, `session`: known when the run has started.
 * - `model`: the model that has answered last, if its provider tells.
 * - `stopReason`, `usage`: known when the run has completed. `usage` includes nested runs.
 * - `error`: why the run has failed, without anything about the inside of the server.
 * - `cut`: the message has a step that did not end, because its run failed or was stopped.
 *
 * @category models
 * @since 0.1.0
 */
export interface Metadata {
  readonly agent?: string
  readonly runId?: string
  readonly session?: string
  readonly model?: string
  readonly stopReason?: AgentRun.StopReason
  readonly usage?: AgentRun.Usage
  readonly error?: { readonly code: string; readonly retryable: boolean }
  readonly cut?: boolean
}

/**
 * The approval that a call waits for: the tool and the parameters that will run, and the names of the agents from the one
 * that this run called to the one that asks.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApprovalDescriptor {
  readonly tool: string
  readonly params: unknown
  readonly path: ReadonlyArray<string>
}

/**
 * The data of a `data-agent` part: a run that this run called as a tool. `text` is that of its last finished step.
 *
 * - `running`: it works.
 * - `waiting`: it has asked for approvals. Another run goes on with the answers.
 * - `completed`: it has completed. `stopReason` and `usage` are known.
 * - `stopped`: it ended without a result.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentData {
  readonly runId: string
  readonly parentRunId: string
  readonly toolCallId: string
  readonly path: ReadonlyArray<string>
  readonly status: "running" | "waiting" | "completed" | "stopped"
  readonly text: string
  readonly stopReason?: AgentRun.StopReason
  readonly usage?: AgentRun.Usage
}

/**
 * The data of a `data-agent-chunk`: a chunk of the message of a nested run. It is transient: `onData` of `useChat`
 * receives it, and no message has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface AgentChunkData {
  readonly runId: string
  readonly parentRunId: string
  readonly toolCallId: string
  readonly path: ReadonlyArray<string>
  readonly chunk: Chunk
}

/**
 * The finish reasons that the AI SDK knows.
 *
 * @category models
 * @since 0.1.0
 */
export type FinishReason = "stop" | "length" | "content-filter" | "tool-calls" | "error" | "interrupted" | "other"

/**
 * One object of the stream: a `UIMessageChunk` of the AI SDK.
 *
 * @category models
 * @since 0.1.0
 */
export type Chunk =
  | { readonly type: "start"; readonly messageId?: string; readonly messageMetadata?: Metadata }
  | { readonly type: "message-metadata"; readonly messageMetadata: Metadata }
  | { readonly type: "start-step" | "finish-step" | "reset-step" }
  | { readonly type: "text-start" | "text-end" | "reasoning-start" | "reasoning-end"; readonly id: string }
  | { readonly type: "text-delta" | "reasoning-delta"; readonly id: string; readonly delta: string }
  | {
    readonly type: "tool-input-start"
    readonly toolCallId: string
    readonly toolName: string
    readonly providerExecuted?: boolean
  }
  | { readonly type: "tool-input-delta"; readonly toolCallId: string; readonly inputTextDelta: string }
  | {
    readonly type: "tool-input-available"
    readonly toolCallId: string
    readonly toolName: string
    readonly input: unknown
    readonly providerExecuted?: boolean
  }
  | {
    readonly type: "tool-approval-request"
    readonly approvalId: string
    readonly toolCallId: string
    readonly approvalDescriptor?: ApprovalDescriptor
    readonly isAutomatic?: boolean
  }
  | {
    readonly type: "tool-approval-response"
    readonly approvalId: string
    readonly approved: boolean
    readonly reason?: string
  }
  | {
    readonly type: "tool-output-available"
    readonly toolCallId: string
    readonly output: unknown
    readonly preliminary?: boolean
    readonly providerExecuted?: boolean
  }
  | {
    readonly type: "tool-output-error"
    readonly toolCallId: string
    readonly errorText: string
    readonly providerExecuted?: boolean
  }
  | { readonly type: "tool-output-denied"; readonly toolCallId: string }
  | { readonly type: "source-url"; readonly sourceId: string; readonly url: string; readonly title?: string }
  | {
    readonly type: "source-document"
    readonly sourceId: string
    readonly mediaType: string
    readonly title: string
    readonly filename?: string
  }
  | { readonly type: "file"; readonly url: string; readonly mediaType: string }
  | { readonly type: "steering-message"; readonly id: string; readonly parts: Array<TextPart | FilePart> }
  | { readonly type: "data-output"; readonly id: string; readonly data: unknown }
  | { readonly type: "data-agent"; readonly id: string; readonly data: AgentData }
  | { readonly type: "data-agent-chunk"; readonly data: AgentChunkData; readonly transient: true }
  | { readonly type: "error"; readonly errorText: string }
  | { readonly type: "abort"; readonly reason?: string }
  | { readonly type: "finish"; readonly finishReason?: FinishReason; readonly messageMetadata?: Metadata }

/**
 * A text of a message.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextPart {
  readonly type: "text"
  readonly text: string
  readonly state?: "done"
}

/**
 * A file of a message. `url` is a `data:` URL, or the address that the user has sent.
 *
 * @category models
 * @since 0.1.0
 */
export interface FilePart {
  readonly type: "file"
  readonly mediaType: string
  readonly url: string
  readonly filename?: string
}

/**
 * An approval of a tool call. It is automatic if a call only waits for the approvals of the agent that it runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolApproval<Approved> {
  readonly id: string
  readonly approved: Approved
  readonly reason?: string
  readonly descriptor?: ApprovalDescriptor
  readonly isAutomatic?: boolean
}

/**
 * A tool call of a message.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolPart =
  & {
    readonly type: `tool-${string}`
    readonly toolCallId: string
    readonly input: unknown
    readonly providerExecuted?: boolean
  }
  & (
    | { readonly state: "input-available" }
    | { readonly state: "approval-requested"; readonly approval: Omit<ToolApproval<never>, "approved" | "reason"> }
    | { readonly state: "approval-responded"; readonly approval: ToolApproval<boolean> }
    | { readonly state: "output-available"; readonly output: unknown; readonly approval?: ToolApproval<true> }
    | { readonly state: "output-error"; readonly errorText: string; readonly approval?: ToolApproval<true> }
    | { readonly state: "output-denied"; readonly approval: ToolApproval<false> }
  )

/**
 * A part of a message of a stored conversation.
 *
 * @category models
 * @since 0.1.0
 */
export type MessagePart =
  | TextPart
  | FilePart
  | { readonly type: "reasoning"; readonly text: string; readonly state?: "done" }
  | { readonly type: "step-start" }
  | ToolPart

/**
 * A message of a stored conversation: a `UIMessage` of the AI SDK.
 *
 * @category models
 * @since 0.1.0
 */
export interface Message {
  readonly id: string
  readonly role: "user" | "assistant"
  readonly metadata?: Metadata
  readonly parts: Array<MessagePart>
}

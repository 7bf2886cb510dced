/**
 * The events of AG-UI 1.0 that a run is told in. The types agree with those of `@ag-ui/core`.
 *
 * @since 0.1.0
 */

/**
 * What an event may have beside its own fields. `subagentRunId` is the run of the agent that the event is of; without it
 * the event is of the agent itself.
 *
 * @category models
 * @since 0.1.0
 */
export interface Fields {
  readonly subagentRunId?: string
  readonly metadata?: Readonly<Record<string, unknown>>
}

/**
 * The tokens of one model, or of several together if there is no `model`.
 *
 * @category models
 * @since 0.1.0
 */
export interface TokenUsage {
  readonly provider?: string
  readonly model?: string
  readonly inputTokens?: number
  readonly outputTokens?: number
  readonly totalTokens?: number
  readonly reasoningTokens?: number
  readonly cachedInputTokens?: number
  readonly cacheWriteInputTokens?: number
}

/**
 * An approval that a run waits for. `id` is the id of the approval, and `responseSchema` the schema of the `payload` that
 * resolves it: `{ approved, reason?, editedArgs? }`. `metadata` has the tool, its parameters and the path of the agents.
 *
 * @category models
 * @since 0.1.0
 */
export interface Interrupt extends Fields {
  readonly id: string
  readonly reason: string
  readonly message: string
  readonly toolCallId: string
  readonly responseSchema: Readonly<Record<string, unknown>>
}

/**
 * How a run ended that did not fail.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly type: "success"; readonly pendingToolCallIds?: Array<string> }
  | { readonly type: "interrupt"; readonly interrupts: Array<Interrupt> }
  | { readonly type: "cancelled" }

/**
 * A message of a conversation, as a client knows it.
 *
 * @category models
 * @since 0.1.0
 */
export type Message =
  | { readonly id: string; readonly role: "user"; readonly content: string | Array<ContentPart> }
  | {
    readonly id: string
    readonly role: "assistant"
    readonly content?: string
    readonly toolCalls?: Array<{
      readonly id: string
      readonly type: "function"
      readonly function: { readonly name: string; readonly arguments: string }
    }>
  }
  | { readonly id: string; readonly role: "reasoning"; readonly content: string }
  | {
    readonly id: string
    readonly role: "tool"
    readonly toolCallId: string
    readonly content: string
    readonly error?: string
  }

/**
 * A text or a file of a user.
 *
 * @category models
 * @since 0.1.0
 */
export type ContentPart =
  | { readonly type: "text"; readonly text: string }
  | {
    readonly type: "image" | "audio" | "video" | "document"
    readonly source:
      | { readonly type: "data"; readonly value: string; readonly mimeType: string }
      | { readonly type: "url"; readonly value: string; readonly mimeType?: string }
  }

/**
 * An event of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  | { readonly type: "RUN_STARTED"; readonly threadId: string; readonly runId: string; readonly protocolVersion: "1.0" }
  | {
    readonly type: "RUN_FINISHED"
    readonly threadId: string
    readonly runId: string
    readonly result?: unknown
    readonly outcome: Outcome
    readonly usage?: Array<TokenUsage>
    readonly metadata?: Readonly<Record<string, unknown>>
  }
  | {
    readonly type: "RUN_ERROR"
    readonly message: string
    readonly code: string
    readonly usage?: Array<TokenUsage>
    readonly metadata: Readonly<Record<string, unknown>>
  }
  | { readonly type: "MESSAGES_SNAPSHOT"; readonly messages: Array<Message> }
  | (Fields & { readonly type: "STEP_STARTED" | "STEP_FINISHED"; readonly stepName: string })
  | (Fields & {
    readonly type: "TEXT_MESSAGE_START"
    readonly messageId: string
    readonly role: "assistant" | "user"
  })
  | (Fields & { readonly type: "TEXT_MESSAGE_CONTENT"; readonly messageId: string; readonly delta: string })
  | (Fields & { readonly type: "TEXT_MESSAGE_END"; readonly messageId: string })
  | (Fields & { readonly type: "REASONING_START" | "REASONING_END"; readonly messageId: string })
  | (Fields & { readonly type: "REASONING_MESSAGE_START"; readonly messageId: string; readonly role: "reasoning" })
  | (Fields & { readonly type: "REASONING_MESSAGE_CONTENT"; readonly messageId: string; readonly delta: string })
  | (Fields & { readonly type: "REASONING_MESSAGE_END"; readonly messageId: string })
  | (Fields & {
    readonly type: "TOOL_CALL_START"
    readonly toolCallId: string
    readonly toolCallName: string
    readonly parentMessageId: string
  })
  | (Fields & { readonly type: "TOOL_CALL_ARGS"; readonly toolCallId: string; readonly delta: string })
  | (Fields & { readonly type: "TOOL_CALL_END"; readonly toolCallId: string })
  | (Fields & {
    readonly type: "TOOL_CALL_RESULT"
    readonly messageId: string
    readonly toolCallId: string
    readonly role: "tool"
    readonly content: string
  })
  | {
    readonly type: "SUBAGENT_STARTED"
    readonly subagentRunId: string
    readonly name: string
    readonly parentSubagentRunId?: string
    readonly parentToolCallId?: string
  }
  | {
    readonly type: "SUBAGENT_FINISHED"
    readonly subagentRunId: string
    readonly outcome:
      | { readonly type: "success" }
      | { readonly type: "suspended"; readonly interruptIds: Array<string> }
  }
  | { readonly type: "SUBAGENT_ERROR"; readonly subagentRunId: string; readonly message: string; readonly code: string }
  | (Fields & { readonly type: "STATE_SNAPSHOT"; readonly snapshot: Readonly<Record<string, unknown>> })
  | (Fields & { readonly type: "CUSTOM"; readonly name: string; readonly value: Readonly<Record<string, unknown>> })

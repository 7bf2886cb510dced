/**
 * The objects of `/v1/responses` that a server sends. `OpenAiApi` exports all of them.
 *
 * @since 0.1.0
 */

/**
 * The tokens of a run, including those of the agents that it has called.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResponseUsage {
  readonly input_tokens: number
  readonly input_tokens_details: { readonly cached_tokens: number; readonly cache_write_tokens: number }
  readonly output_tokens: number
  readonly output_tokens_details: { readonly reasoning_tokens: number }
  readonly total_tokens: number
}

/**
 * How far an item is.
 *
 * @category models
 * @since 0.1.0
 */
export type ItemStatus = "in_progress" | "completed" | "incomplete"

/**
 * A source of a text: a page, or a document. The place is the end of the text so far, because a run does not say more.
 *
 * @category models
 * @since 0.1.0
 */
export type ResponseAnnotation =
  | {
    readonly type: "url_citation"
    readonly start_index: number
    readonly end_index: number
    readonly title: string
    readonly url: string
  }
  | { readonly type: "file_citation"; readonly file_id: string; readonly filename: string; readonly index: number }

/**
 * A text of the agent, with its sources.
 *
 * @category models
 * @since 0.1.0
 */
export interface OutputText {
  readonly type: "output_text"
  readonly text: string
  readonly annotations: Array<ResponseAnnotation>
}

/**
 * A text of the agent as an item. Each text of a run is one.
 *
 * @category models
 * @since 0.1.0
 */
export interface MessageItem {
  readonly type: "message"
  readonly id: string
  readonly role: "assistant"
  readonly status: ItemStatus
  readonly content: Array<OutputText>
}

/**
 * A part of a reasoning.
 *
 * @category models
 * @since 0.1.0
 */
export interface SummaryText {
  readonly type: "summary_text"
  readonly text: string
}

/**
 * Reasoning as an item.
 *
 * @category models
 * @since 0.1.0
 */
export interface ReasoningItem {
  readonly type: "reasoning"
  readonly id: string
  readonly status: ItemStatus
  readonly summary: Array<SummaryText>
}

/**
 * A call of a tool of the agent. `server_label` is the name of the agent. `approval_request_id` is the approval that let
 * it run.
 *
 * @category models
 * @since 0.1.0
 */
export interface McpCallItem {
  readonly type: "mcp_call"
  readonly id: string
  readonly server_label: string
  readonly name: string
  readonly arguments: string
  readonly status: ItemStatus | "failed"
  readonly output: string | null
  readonly error: { readonly type: "mcp_tool_execution_error"; readonly content: unknown } | null
  readonly approval_request_id: string | null
}

/**
 * A call that waits for an approval. `id` is that of the approval. `server_label` has the names of the agents from the
 * one that was asked to the one that asks.
 *
 * @category models
 * @since 0.1.0
 */
export interface McpApprovalRequestItem {
  readonly type: "mcp_approval_request"
  readonly id: string
  readonly server_label: string
  readonly name: string
  readonly arguments: string
}

/**
 * A call of a tool that the client has.
 *
 * @category models
 * @since 0.1.0
 */
export interface FunctionCallItem {
  readonly type: "function_call"
  readonly id: string
  readonly call_id: string
  readonly name: string
  readonly arguments: string
  readonly status: ItemStatus
}

/**
 * An item of a response.
 *
 * @category models
 * @since 0.1.0
 */
export type OutputItem = MessageItem | ReasoningItem | McpCallItem | McpApprovalRequestItem | FunctionCallItem

/**
 * A message of the user as an item of the input.
 *
 * @category models
 * @since 0.1.0
 */
export interface InputMessageItem {
  readonly type: "message"
  readonly id: string
  readonly role: "user"
  readonly status: ItemStatus
  readonly content: Array<
    | { readonly type: "input_text"; readonly text: string }
    | { readonly type: "input_image"; readonly image_url: string; readonly detail: "auto" }
    | { readonly type: "input_file"; readonly filename: string | null; readonly file_data: string }
  >
}

/**
 * The result of a tool of the client.
 *
 * @category models
 * @since 0.1.0
 */
export interface FunctionCallOutputItem {
  readonly type: "function_call_output"
  readonly id: string
  readonly call_id: string
  readonly output: string
  readonly status: ItemStatus
}

/**
 * The answer to an approval.
 *
 * @category models
 * @since 0.1.0
 */
export interface McpApprovalResponseItem {
  readonly type: "mcp_approval_response"
  readonly id: string
  readonly approval_request_id: string
  readonly approve: boolean
  readonly reason: string | null
}

/**
 * An item that a response was asked with.
 *
 * @category models
 * @since 0.1.0
 */
export type InputItem = InputMessageItem | FunctionCallOutputItem | McpApprovalResponseItem

/**
 * A page of the items that a response has seen: those of the responses before it, and its input.
 *
 * @category models
 * @since 0.1.0
 */
export interface InputItems {
  readonly object: "list"
  readonly data: Array<InputItem | OutputItem>
  readonly first_id: string | null
  readonly last_id: string | null
  readonly has_more: boolean
}

/**
 * A response: a run, as far as it has come. A run that was interrupted is `cancelled`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ResponseObject {
  readonly id: string
  readonly object: "response"
  readonly created_at: number
  readonly completed_at: number | null
  readonly status: "in_progress" | "completed" | "incomplete" | "failed" | "cancelled"
  readonly background: boolean
  readonly error:
    | { readonly code: "server_error" | "rate_limit_exceeded" | "invalid_prompt"; readonly message: string }
    | null
  readonly incomplete_details: { readonly reason: "max_output_tokens" | "content_filter" } | null
  readonly instructions: null
  readonly max_output_tokens: null
  readonly metadata: { [key: string]: string }
  readonly model: string
  readonly output: Array<OutputItem>
  readonly parallel_tool_calls: boolean
  readonly previous_response_id: string | null
  readonly store: boolean
  readonly temperature: null
  readonly text: { readonly format: { readonly type: "text" } }
  readonly tool_choice: "auto"
  readonly tools: []
  readonly top_p: null
  readonly truncation: "disabled"
  /** Default: the model did not report it, or the run has not ended. */
  readonly usage?: ResponseUsage
  readonly access_programs: null
}

/** The place of an event: its item, and the part of it. */
interface AtItem {
  readonly item_id: string
  readonly output_index: number
}

interface AtContent extends AtItem {
  readonly content_index: number
}

interface AtSummary extends AtItem {
  readonly summary_index: number
}

type Told =
  | {
    readonly type:
      | "response.created"
      | "response.in_progress"
      | "response.completed"
      | "response.incomplete"
      | "response.failed"
    readonly response: ResponseObject
  }
  | {
    readonly type: "response.output_item.added" | "response.output_item.done"
    readonly output_index: number
    readonly item: OutputItem
  }
  | {
    readonly type: "response.content_part.added" | "response.content_part.done"
    readonly part: OutputText
  } & AtContent
  | { readonly type: "response.output_text.delta"; readonly delta: string; readonly logprobs: [] } & AtContent
  | { readonly type: "response.output_text.done"; readonly text: string; readonly logprobs: [] } & AtContent
  | {
    readonly type: "response.output_text.annotation.added"
    readonly annotation: ResponseAnnotation
    readonly annotation_index: number
  } & AtContent
  | {
    readonly type: "response.reasoning_summary_part.added" | "response.reasoning_summary_part.done"
    readonly part: SummaryText
  } & AtSummary
  | { readonly type: "response.reasoning_summary_text.delta"; readonly delta: string } & AtSummary
  | { readonly type: "response.reasoning_summary_text.done"; readonly text: string } & AtSummary
  | {
    readonly type: "response.mcp_call_arguments.delta" | "response.function_call_arguments.delta"
    readonly delta: string
  } & AtItem
  | {
    readonly type: "response.mcp_call_arguments.done"
    readonly arguments: string
  } & AtItem
  | {
    readonly type: "response.function_call_arguments.done"
    readonly name: string
    readonly arguments: string
  } & AtItem
  | {
    readonly type: "response.mcp_call.in_progress" | "response.mcp_call.completed" | "response.mcp_call.failed"
  } & AtItem

/**
 * An event of a streamed response. The last one is `response.completed`, `response.incomplete` or `response.failed`. A
 * response that was cancelled ends with `response.incomplete`, because the API has no other event for it.
 *
 * @category models
 * @since 0.1.0
 */
export type ResponseEvent = Told & { readonly sequence_number: number }

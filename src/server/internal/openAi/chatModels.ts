/**
 * The objects of `/v1/chat/completions` that a server sends. `OpenAiApi` exports all of them.
 *
 * @since 0.1.0
 */

/**
 * An error, as the clients of OpenAI read it: the body of a response that has no success, or the last object of a stream
 * of chat chunks.
 *
 * @category models
 * @since 0.1.0
 */
export interface ErrorBody {
  readonly error: {
    readonly message: string
    readonly type: string
    readonly code: string | null
    readonly param: string | null
  }
}

/**
 * The tokens of a run, including those of the agents that it has called.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatUsage {
  readonly prompt_tokens: number
  readonly completion_tokens: number
  readonly total_tokens: number
  readonly prompt_tokens_details: { readonly cached_tokens: number }
  readonly completion_tokens_details: { readonly reasoning_tokens: number }
}

/**
 * Why an answer ended.
 *
 * @category models
 * @since 0.1.0
 */
export type ChatFinishReason = "stop" | "length" | "tool_calls" | "content_filter"

/**
 * A source of an answer. The place is the end of the text so far, because a run does not say more.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatAnnotation {
  readonly type: "url_citation"
  readonly url_citation: {
    readonly start_index: number
    readonly end_index: number
    readonly title: string
    readonly url: string
  }
}

/**
 * A call of a tool that the client has.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatToolCall {
  readonly id: string
  readonly type: "function"
  readonly function: { readonly name: string; readonly arguments: string }
}

/**
 * What a chunk adds to the message.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatDelta {
  /** Default: only the first chunk has it. */
  readonly role?: "assistant"
  /** Default: no text is added. */
  readonly content?: string
  /** Default: no reasoning is added. Clients that do not know this field ignore it. */
  readonly reasoning_content?: string
  /** Default: no source is added. Clients that do not know this field ignore it. */
  readonly annotations?: Array<ChatAnnotation>
  /** Default: no call is added. */
  readonly tool_calls?: Array<ChatToolCall & { readonly index: number }>
}

/**
 * A chunk of a streamed answer. The last one has the `usage` and no choice, if the request has asked for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatCompletionChunk {
  readonly id: string
  readonly object: "chat.completion.chunk"
  readonly created: number
  readonly model: string
  readonly choices: Array<{
    readonly index: number
    readonly delta: ChatDelta
    readonly finish_reason: ChatFinishReason | null
    readonly logprobs: null
  }>
  /** Default: the request has not asked for it. */
  readonly usage?: ChatUsage | null
}

/**
 * A whole answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface ChatCompletion {
  readonly id: string
  readonly object: "chat.completion"
  readonly created: number
  readonly model: string
  readonly choices: Array<{
    readonly index: number
    readonly message: {
      readonly role: "assistant"
      readonly content: string | null
      readonly refusal: null
      /** Default: there was no reasoning. */
      readonly reasoning_content?: string
      /** Default: there are no sources. */
      readonly annotations?: Array<ChatAnnotation>
      /** Default: no tool of the client is called. */
      readonly tool_calls?: Array<ChatToolCall>
    }
    readonly finish_reason: ChatFinishReason
    readonly logprobs: null
  }>
  /** Default: the model did not report it. */
  readonly usage?: ChatUsage
}

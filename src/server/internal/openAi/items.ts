/**
 * The items of a response, as they are told.
 *
 * @since 0.1.0
 */

import type { ItemStatus, McpCallItem, OutputItem, ResponseAnnotation, ResponseEvent } from "./responseModels.ts"

type Unnumbered = ResponseEvent extends infer Event ?
  Event extends ResponseEvent ? Omit<Event, "sequence_number"> : never
  : never

/**
 * The items so far, and the events that were not taken yet.
 *
 * @category models
 * @since 0.1.0
 */
export class Output {
  readonly items: Array<OutputItem> = []
  private told: Array<ResponseEvent> = []
  private number = 0

  tell(event: Unnumbered): void {
    // an event has nothing else
    this.told.push({ ...event, sequence_number: this.number++ } as ResponseEvent)
  }

  take(): ReadonlyArray<ResponseEvent> {
    const told = this.told
    this.told = []
    return told
  }

  add(item: OutputItem): number {
    const output_index = this.items.push(item) - 1
    this.tell({ type: "response.output_item.added", output_index, item })
    return output_index
  }

  finish(output_index: number, item: OutputItem): void {
    this.items[output_index] = item
    this.tell({ type: "response.output_item.done", output_index, item })
  }
}

/**
 * An item that grows.
 *
 * @category models
 * @since 0.1.0
 */
export interface Open {
  /** Whether the run has said that it ends. */
  isEnded: boolean
  readonly delta: (delta: string) => void
  readonly close: () => void
  /** Says that nothing more comes, without an event. */
  readonly cut: () => void
}

/**
 * A text that grows.
 *
 * @category models
 * @since 0.1.0
 */
export class OpenText implements Open {
  isEnded = false
  private text = ""
  private readonly annotations: Array<ResponseAnnotation> = []
  private readonly output: Output
  private readonly id: string
  private readonly at: { readonly item_id: string; readonly output_index: number; readonly content_index: number }

  constructor(output: Output, id: string) {
    this.output = output
    this.id = id
    const output_index = output.add(this.item("in_progress", false))
    this.at = { item_id: id, output_index, content_index: 0 }
    output.tell({ type: "response.content_part.added", ...this.at, part: this.part })
  }

  delta(delta: string): void {
    if (delta === "") return
    this.text += delta
    this.output.tell({ type: "response.output_text.delta", ...this.at, delta, logprobs: [] })
  }

  annotate(annotationAt: (place: number) => ResponseAnnotation): void {
    const annotation = annotationAt(this.text.length)
    const annotation_index = this.annotations.push(annotation) - 1
    this.output.tell({ type: "response.output_text.annotation.added", ...this.at, annotation, annotation_index })
  }

  close(): void {
    const { at, output, part, text } = this
    output.tell({ type: "response.output_text.done", ...at, text, logprobs: [] })
    output.tell({ type: "response.content_part.done", ...at, part })
    output.finish(at.output_index, this.item("completed"))
  }

  cut(): void {
    this.output.items[this.at.output_index] = this.item("incomplete")
  }

  private get part() {
    return { type: "output_text" as const, text: this.text, annotations: [...this.annotations] }
  }

  private item(status: ItemStatus, hasContent = true): OutputItem {
    return { type: "message", id: this.id, role: "assistant", status, content: hasContent ? [this.part] : [] }
  }
}

/**
 * Reasoning that grows.
 *
 * @category models
 * @since 0.1.0
 */
export class OpenReasoning implements Open {
  isEnded = false
  private text = ""
  private readonly output: Output
  private readonly id: string
  private readonly at: { readonly item_id: string; readonly output_index: number; readonly summary_index: number }

  constructor(output: Output, id: string) {
    this.output = output
    this.id = id
    const output_index = output.add({ type: "reasoning", id, status: "in_progress", summary: [] })
    this.at = { item_id: id, output_index, summary_index: 0 }
    output.tell({ type: "response.reasoning_summary_part.added", ...this.at, part: this.part })
  }

  delta(delta: string): void {
    if (delta === "") return
    this.text += delta
    this.output.tell({ type: "response.reasoning_summary_text.delta", ...this.at, delta })
  }

  close(): void {
    const { at, id, output, part, text } = this
    output.tell({ type: "response.reasoning_summary_text.done", ...at, text })
    output.tell({ type: "response.reasoning_summary_part.done", ...at, part })
    output.finish(at.output_index, { type: "reasoning", id, status: "completed", summary: [part] })
  }

  cut(): void {
    this.output.items[this.at.output_index] = {
      type: "reasoning",
      id: this.id,
      status: "incomplete",
      summary: [this.part]
    }
  }

  private get part() {
    return { type: "summary_text" as const, text: this.text }
  }
}

/**
 * A call of a tool of the agent that runs.
 *
 * @category models
 * @since 0.1.0
 */
export class OpenCall {
  private readonly output: Output
  private readonly item: McpCallItem
  private readonly at: { readonly item_id: string; readonly output_index: number }

  constructor(
    output: Output,
    call: Pick<McpCallItem, "id" | "server_label" | "name" | "arguments" | "approval_request_id">
  ) {
    this.output = output
    this.item = { type: "mcp_call", ...call, status: "in_progress", output: null, error: null }
    const output_index = output.add({ ...this.item, arguments: "" })
    this.at = { item_id: call.id, output_index }
    output.items[output_index] = this.item
    output.tell({ type: "response.mcp_call_arguments.delta", ...this.at, delta: call.arguments })
    output.tell({ type: "response.mcp_call_arguments.done", ...this.at, arguments: call.arguments })
    output.tell({ type: "response.mcp_call.in_progress", ...this.at })
  }

  succeed(result: string): void {
    this.output.tell({ type: "response.mcp_call.completed", ...this.at })
    this.output.finish(this.at.output_index, { ...this.item, status: "completed", output: result })
  }

  fail(text: string): void {
    this.output.tell({ type: "response.mcp_call.failed", ...this.at })
    const error = { type: "mcp_tool_execution_error" as const, content: [{ type: "text", text }] }
    this.output.finish(this.at.output_index, { ...this.item, status: "failed", error })
  }

  close(): void {
    this.output.finish(this.at.output_index, { ...this.item, status: "incomplete" })
  }

  cut(): void {
    this.output.items[this.at.output_index] = { ...this.item, status: "incomplete" }
  }
}

/**
 * Adds a call of a tool of the client.
 *
 * @category constructors
 * @since 0.1.0
 */
export const addFunctionCall = (
  output: Output,
  call: { readonly id: string; readonly call_id: string; readonly name: string; readonly arguments: string }
): void => {
  const output_index = output.add({ type: "function_call", ...call, arguments: "", status: "in_progress" })
  const at = { item_id: call.id, output_index }
  const { name } = call
  output.tell({ type: "response.function_call_arguments.delta", ...at, delta: call.arguments })
  output.tell({ type: "response.function_call_arguments.done", ...at, name, arguments: call.arguments })
  output.finish(output_index, { type: "function_call", ...call, status: "completed" })
}

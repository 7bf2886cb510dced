/**
 * Collects the parts of one model call into an assistant message, the tool calls to answer, and the usage. The result
 * equals `Prompt.fromResponseParts` of the same parts, except that a delta without a start is kept.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as AgentRun from "../../AgentRun.ts"
import * as HostedApproval from "./hostedApproval.ts"
import * as Parts from "./responseParts.ts"

/**
 * A part that a model streams.
 *
 * @category models
 * @since 0.1.0
 */
export type StreamPart = Response.StreamPart<any, "deferred">

/**
 * A tool call that this run has to answer.
 *
 * @category models
 * @since 0.1.0
 */
export type Call = Response.ToolCallPart<string, unknown>

interface Block {
  readonly type: "text" | "reasoning"
  readonly id: string
  readonly index: number
  text: string
  pieces: Array<string>
  metadata: Response.ProviderMetadata
  ended: boolean
}

/** Most steps have one block, or none. It is never written to. */
const none: Array<Block> = []

/**
 * The parts of one model call so far.
 *
 * @category models
 * @since 0.1.0
 */
export class StepBuilder {
  finishReason: Response.FinishReason | undefined = undefined
  calls: Array<Call> | undefined = undefined
  providerCalls: Array<AgentRun.ToolCall> | undefined = undefined
  /** The approvals that the provider requests before it runs calls of its own. */
  hostedApprovals: Array<Prompt.ToolApprovalRequestPart> | undefined = undefined
  error: Response.ErrorPart | undefined = undefined
  /** The usage in its `finish` parts. Most often nobody asks for the sum, because the edge has told it. */
  private finishes: Array<AgentRun.Usage> | undefined = undefined
  private readonly slots: Array<Prompt.AssistantMessagePart | undefined> = []
  private blocks: Array<Block> = none
  private open: Block | undefined = undefined
  /** The blocks that had not ended when the currently open block began. */
  private others: Map<string, Block> | undefined = undefined

  /** Adds the next part. A part that does not belong in the transcript is ignored. */
  add(part: StreamPart): void {
    switch (part.type) {
      case "text-delta": {
        const { open } = this
        // most parts are more text of the open block
        if (
          open === undefined || open.id !== part.id || open.type !== "text" || open.ended ||
          part.metadata !== Parts.empty
        ) {
          return this.delta("text", part)
        }
        if (open.pieces.push(part.delta) === piecesAtOnce) textOf(open)
        return
      }
      case "reasoning-delta":
        return this.delta("reasoning", part)
      case "text-start":
        return void this.start("text", part.id, part.metadata)
      case "reasoning-start":
        return void this.start("reasoning", part.id, part.metadata)
      case "text-end":
        return this.end("text", part.id, part.metadata)
      case "reasoning-end":
        return this.end("reasoning", part.id, part.metadata)
      case "tool-call":
        return this.toolCall(part)
      case "tool-result": {
        if (part.providerExecuted && !part.preliminary) {
          this.slots.push(Parts.promptToolResult({ ...part, result: part.encodedResult }, part.metadata))
          const call = this.providerCalls?.find((call) => call.id === part.id)
          if (call !== undefined && part.isFailure) {
            this.providerCalls = this.providerCalls!.map((other) =>
              other === call ? { ...call, isFailure: true } : other
            )
          }
        }
        return
      }
      case "tool-approval-request":
        return this.approvalRequest(part)
      case "file": {
        this.slots.push(
          Parts.promptFile({ mediaType: part.mediaType, data: Base64.encode(part.data) }, part.metadata)
        )
        return
      }
      case "finish": {
        this.finishReason = part.reason
        const finishes = this.finishes ??= []
        finishes.push(part.usage)
        return
      }
      case "error": {
        this.error = part
      }
    }
  }

  /** The usage as the parts of the call report it. */
  get usage(): AgentRun.Usage {
    return this.finishes?.reduce(AgentRun.addUsage, AgentRun.emptyUsage) ?? AgentRun.emptyUsage
  }

  /** The text of the step so far. */
  text(): string {
    const blocks = this.blocks
    let text = ""
    for (const block of blocks) {
      if (block.type === "text") text += textOf(block)
    }
    return text
  }

  /**
   * The content of the assistant message. Reasoning that has not ended is dropped, because it may lack the signature
   * that a provider requires.
   */
  content(): Array<Prompt.AssistantMessagePart> {
    for (const block of this.blocks) {
      const text = textOf(block)
      if (block.type === "text" && (block.ended || text.length > 0)) {
        this.slots[block.index] = Parts.promptText(text, block.metadata)
      } else if (block.type === "reasoning" && block.ended) {
        this.slots[block.index] = Parts.promptReasoning(text, block.metadata)
      }
    }
    return this.slots.filter((part) => part !== undefined)
  }

  private start(type: Block["type"], id: string, metadata: Response.ProviderMetadata): Block {
    const block: Block = { type, id, index: this.slots.length, text: "", pieces: [], metadata, ended: false }
    this.slots.push(undefined)
    if (this.blocks.length === 0) this.blocks = [block]
    else this.blocks.push(block)
    const { open } = this
    if (open !== undefined && !open.ended) (this.others ??= new Map()).set(`${open.type} ${open.id}`, open)
    return this.open = block
  }

  private find(type: Block["type"], id: string): Block | undefined {
    const open = this.open
    if (open !== undefined && open.id === id && open.type === type && !open.ended) return open
    return this.others?.get(`${type} ${id}`)
  }

  private delta(type: Block["type"], part: Response.TextDeltaPart | Response.ReasoningDeltaPart): void {
    const block = this.find(type, part.id) ?? this.start(type, part.id, part.metadata)
    if (block.pieces.push(part.delta) === piecesAtOnce) textOf(block)
    block.metadata = merge(block.metadata, part.metadata)
  }

  private end(type: Block["type"], id: string, metadata: Response.ProviderMetadata): void {
    const block = this.find(type, id)
    if (block !== undefined) {
      block.metadata = merge(block.metadata, metadata)
      block.ended = true
      this.others?.delete(`${type} ${id}`)
    }
  }

  private approvalRequest(part: Response.ToolApprovalRequestPart): void {
    // the approval for a call of the run is requested by its own tool
    if (this.calls?.some((call) => call.id === part.toolCallId)) return
    const said = this.providerCalls?.find((call) => call.id === part.toolCallId)
    const call = said === undefined ? HostedApproval.callOf(part.metadata) : { tool: said.name, params: said.params }
    const request = HostedApproval.toPrompt(part, call ?? HostedApproval.unknownCall)
    this.slots.push(request)
    const requests = this.hostedApprovals ??= []
    requests.push(request)
  }

  private toolCall(part: Call): void {
    this.slots.push(Parts.promptToolCall(part, part.metadata))
    if (!part.providerExecuted) {
      const calls = this.calls ??= []
      calls.push(part)
    } else {
      const calls = this.providerCalls ??= []
      calls.push({ id: part.id, name: part.name, params: part.params, executed: false, isFailure: false })
    }
  }
}

// A string that grows delta by delta keeps every delta and a node for each, which for words is twelve times the text.
const piecesAtOnce = 512

const textOf = (block: Block): string => {
  if (block.pieces.length > 0) {
    block.text += block.pieces.length === 1 ? block.pieces[0] : block.pieces.join("")
    block.pieces = []
  }
  return block.text
}

/** Merges metadata as `Prompt.fromResponseParts` does: by provider, then by key. Most parts have none. */
const merge = (self: Response.ProviderMetadata, that: Response.ProviderMetadata): Response.ProviderMetadata => {
  if (that === Parts.empty || isEmpty(that)) return self
  const merged: Record<string, Response.ProviderMetadata[string]> = { ...self }
  for (const provider of Object.keys(that)) {
    const before = merged[provider]
    const after = that[provider]
    merged[provider] = Predicate.isObject(before) && Predicate.isObject(after)
      ? Object.assign({}, before, after)
      : after
  }
  return merged
}

const isEmpty = (record: object): boolean => {
  for (const _key in record) return false
  return true
}

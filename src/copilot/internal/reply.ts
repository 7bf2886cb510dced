/**
 * Turns the events of the runtime into parts and steps of a run.
 *
 * A turn of the runtime is a step: one call of its model, and the tools that were called. The events of its sub-agents
 * are not part of the run; only their usage counts.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import type * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import * as AgentRun from "../../AgentRun.ts"
import * as Json from "../../internal/words/json.ts"
import * as Parts from "../../internal/words/responseParts.ts"
import * as Cut from "../../internal/run/cut.ts"
import { interrupted, toMessages, toStep } from "../../internal/run/step.ts"
import { type Call, StepBuilder, type StreamPart } from "../../internal/words/stepBuilder.ts"
import type * as Middleware from "../../Middleware.ts"

/** The number of waiting parts from which on a delta is joined to the one before it. */
const highWater = 256

type Event<Type extends Sdk.SessionEvent["type"]> = Extract<Sdk.SessionEvent, { readonly type: Type }>["data"]

/**
 * The answer of the runtime so far.
 *
 * @category models
 * @since 0.1.0
 */
export class Reply {
  readonly steps: Array<AgentRun.Step> = []
  /** The messages of the finished steps. */
  readonly messages: Array<Prompt.Message> = []
  /** The number of messages at the end of each step. */
  readonly ends: Array<number> = []
  /** Whether the model call in progress has emitted something that the consumer may have seen. */
  begun = false
  private following: Array<Prompt.Message> = []
  private readonly isOwn: (tool: string) => boolean
  private readonly wake: () => void
  private out: Array<AgentRun.Part> = []
  private builder: StepBuilder | undefined = new StepBuilder()
  private usage: AgentRun.Usage = AgentRun.emptyUsage
  private pending: AgentRun.Usage = AgentRun.emptyUsage
  private finishReason: Response.FinishReason | undefined = undefined
  private answeredBy: Pick<AgentRun.Step, "model"> | undefined = undefined
  private openText: string | undefined = undefined
  private openReasoning: string | undefined = undefined
  private readonly streamed = new Set<string>()
  private readonly openParams = new Set<string>()
  private readonly calls = new Map<string, Call>()
  private readonly results = new Map<string, Middleware.ToolResult>()

  /** `wake` is called when there is something to take. */
  constructor(isOwn: (tool: string) => boolean, wake: () => void) {
    this.isOwn = isOwn
    this.wake = wake
  }

  /** Returns the parts that have come since the last time. */
  take(): Array<AgentRun.Part> {
    const out = this.out
    this.out = []
    return out
  }

  /** Adds an event of the main agent. Events that are not part of an answer are ignored. */
  add(event: Sdk.SessionEvent): void {
    switch (event.type) {
      case "assistant.turn_start":
        return this.startStep()
      case "assistant.reasoning_delta":
        return this.reasoningDelta(event.data.reasoningId, event.data.deltaContent)
      case "assistant.message_delta":
        return this.textDelta(event.data.messageId, event.data.deltaContent)
      case "assistant.tool_call_delta":
        return this.paramsDelta(event.data)
      case "assistant.usage":
        return this.addUsage(event.data)
      case "assistant.message":
        return this.message(event.data)
      case "tool.execution_complete":
        return this.executed(event.data)
      case "assistant.turn_end": {
        // a model call without a message has not ended: it is tried again, or fails
        if (this.builder?.finishReason !== undefined) this.endStep(this.builder)
      }
    }
  }

  /** Adds the result or a part of a tool of the run. For calls by sub-agents nothing is emitted. */
  addResult(callId: string, result: Middleware.ToolResult | AgentRun.AgentPart): void {
    if (!this.calls.has(callId) || this.results.has(callId)) return
    if (result.type === "tool-result" && !result.preliminary) this.results.set(callId, result)
    this.out.push(result)
    this.wake()
  }

  /** Adds messages that the runtime was sent. They follow the step in progress. */
  addMessages(messages: ReadonlyArray<Prompt.Message>): void {
    if (this.builder !== undefined && this.begun) {
      for (const message of messages) this.following.push(message)
    } else this.follow(messages)
  }

  /** From here on the model reads these messages. */
  private follow(messages: ReadonlyArray<Prompt.Message>): void {
    for (const message of messages) {
      this.messages.push(message)
      if (message.role === "user") this.out.push({ type: "steering", message })
    }
    this.wake()
  }

  /** The usage so far, including the call in progress. */
  get spent(): AgentRun.Usage {
    const finished = AgentRun.addUsage(this.usage, this.pending)
    return this.builder === undefined ? finished : AgentRun.addUsage(finished, this.builder.usage)
  }

  /** The text of the step in progress, or of the last one. */
  get text(): string {
    const step = this.steps[this.steps.length - 1]
    return this.builder === undefined || (!this.begun && step !== undefined) ? step?.text ?? "" : this.builder.text()
  }

  /** The unfinished step, and the messages that the runtime was sent during it. */
  get cut(): ReadonlyArray<Prompt.Message> {
    const step = this.builder === undefined
      ? []
      : Cut.toMessages(this.builder, (call) => this.results.get(call.id))
    return [...step, ...this.following]
  }

  // --- steps ------------------------------------------------------------------

  private startStep(): void {
    if (this.builder !== undefined) return
    this.builder = new StepBuilder()
    this.begun = false
    this.out.push({ type: "step-start", index: this.steps.length })
    this.wake()
  }

  private endStep(builder: StepBuilder): void {
    const usage = AgentRun.addUsage(builder.usage, this.pending)
    this.pending = AgentRun.emptyUsage
    const calls = builder.calls ?? []
    const results = calls.map((call) => this.results.get(call.id) ?? interrupted(call))
    const step = toStep(this.steps.length, builder, { usage, names: this.answeredBy }, calls, results)
    for (const message of toMessages(builder, results)) this.messages.push(message)
    this.ends.push(this.messages.length)
    this.steps.push(step)
    this.usage = AgentRun.addUsage(this.usage, step.usage)
    this.builder = undefined
    this.finishReason = undefined
    this.answeredBy = undefined
    this.calls.clear()
    this.results.clear()
    this.out.push({ type: "step-end", step })
    this.follow(this.following)
    this.following = []
  }

  private push(part: StreamPart): void {
    if (this.builder === undefined) this.startStep()
    this.begun = true
    this.builder!.add(part)
    const last = this.out[this.out.length - 1]
    if (this.out.length >= highWater && isDelta(part) && last.type === part.type && last.id === part.id) {
      this.out[this.out.length - 1] = { ...last, delta: last.delta + part.delta }
    } else {
      this.out.push(part)
    }
    this.wake()
  }

  // --- text and reasoning -----------------------------------------------------

  private textDelta(id: string, delta: string): void {
    this.endReasoning()
    if (this.openText !== id) {
      this.endText()
      this.openText = id
      this.streamed.add(id)
      this.push(Parts.textStart(id))
    }
    this.push(Parts.textDelta(id, delta))
  }

  private endText(): void {
    if (this.openText === undefined) return
    this.push(Parts.textEnd(this.openText))
    this.openText = undefined
  }

  private reasoningDelta(id: string, delta: string): void {
    if (this.openReasoning !== id) {
      this.endReasoning()
      this.openReasoning = id
      this.push(Parts.reasoningStart(id))
    }
    this.push(Parts.reasoningDelta(id, delta))
  }

  private endReasoning(): void {
    if (this.openReasoning === undefined) return
    this.push(Parts.reasoningEnd(this.openReasoning))
    this.openReasoning = undefined
    this.streamed.add("reasoning")
  }

  /** The complete message comes after all of its deltas, or without any. */
  private message(data: Event<"assistant.message">): void {
    const { chunkCount, chunkIndex, content, messageId, reasoningText, toolRequests = [] } = data
    this.endReasoning()
    if (reasoningText !== undefined && reasoningText !== "" && !this.streamed.has("reasoning")) {
      this.reasoningDelta(messageId, reasoningText)
      this.endReasoning()
    }
    this.streamed.delete("reasoning")
    if (content !== "" && !this.streamed.has(messageId)) this.textDelta(messageId, content)
    this.endText()
    for (const request of toolRequests) this.call(request.toolCallId, request.name, request.arguments ?? {})
    if (chunkIndex !== undefined && chunkCount !== undefined && chunkIndex < chunkCount - 1) return
    const usage = this.pending
    this.pending = AgentRun.emptyUsage
    const reason = this.finishReason ?? (toolRequests.length > 0 ? "tool-calls" : "stop")
    this.push(Parts.finish(reason, new Response.Usage(usage)))
  }

  // --- tools ------------------------------------------------------------------

  private paramsDelta({ inputDelta, toolCallId, toolName }: Event<"assistant.tool_call_delta">): void {
    if (!this.openParams.has(toolCallId)) {
      if (toolName === undefined) return
      this.endReasoning()
      this.endText()
      this.openParams.add(toolCallId)
      this.push(Parts.toolParamsStart(toolCallId, toolName, !this.isOwn(toolName)))
    }
    this.push(Parts.toolParamsDelta(toolCallId, inputDelta))
  }

  private call(id: string, name: string, params: unknown): void {
    if (this.openParams.delete(id)) this.push(Parts.toolParamsEnd(id))
    const call = Parts.toolCall(id, name, Json.shallow(params), !this.isOwn(name))
    this.calls.set(id, call)
    this.push(call)
  }

  /** The runtime has a result: of its own tool, or of a tool of the run that the runtime did not allow. */
  private executed({ error, result, success, toolCallId }: Event<"tool.execution_complete">): void {
    const call = this.calls.get(toolCallId)
    if (call === undefined || this.results.has(toolCallId)) return
    const text = success ? result?.content ?? "" : error?.message ?? result?.content ?? "The tool failed"
    const part = Parts.toolResult({
      id: toolCallId,
      name: call.name,
      result: text,
      encodedResult: text,
      isFailure: !success,
      preliminary: false
    })
    if (!call.providerExecuted) return this.addResult(toolCallId, part)
    const executed = { ...part, providerExecuted: true }
    this.results.set(toolCallId, executed)
    this.push(executed)
  }

  // --- usage ------------------------------------------------------------------

  private addUsage(data: Event<"assistant.usage">): void {
    this.pending = AgentRun.addUsage(this.pending, toUsage(data))
    if (data.model !== undefined) this.answeredBy = { model: data.model }
    this.finishReason = data.finishReason === undefined ? this.finishReason : toFinishReason(data.finishReason)
  }
}

/**
 * The usage of one model call.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toUsage = (data: Event<"assistant.usage">): AgentRun.Usage => {
  const { cacheReadTokens: cacheRead, cacheWriteTokens: cacheWrite, inputTokens, outputTokens, reasoningTokens } = data
  return {
    inputTokens: {
      uncached: difference(inputTokens, (cacheRead ?? 0) + (cacheWrite ?? 0)),
      total: inputTokens,
      cacheRead,
      cacheWrite
    },
    outputTokens: {
      total: outputTokens,
      text: difference(outputTokens, reasoningTokens ?? 0),
      reasoning: reasoningTokens
    }
  }
}

const difference = (total: number | undefined, part: number): number | undefined =>
  total === undefined || part > total ? undefined : total - part

const toFinishReason = (reason: string): Response.FinishReason => {
  switch (reason) {
    case "stop":
    case "length":
      return reason
    case "tool_calls":
      return "tool-calls"
    case "content_filter":
      return "content-filter"
    default:
      return "other"
  }
}

const isDelta = (part: StreamPart): part is Response.TextDeltaPart | Response.ReasoningDeltaPart =>
  part.type === "text-delta" || part.type === "reasoning-delta"

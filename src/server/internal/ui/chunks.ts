/**
 * The parts of one run as chunks of one message. Whatever the parts are, the chunks are a stream that the AI SDK accepts:
 * a delta comes after its start, the result of a call after the call, and the end last and once.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import type * as AgentRun from "../../../AgentRun.ts"
import type * as Approval from "../../../Approval.ts"
import * as AgentApi from "../../AgentApi.ts"
import * as Valued from "../valued.ts"
import * as Calls from "./calls.ts"
import * as Coded from "./coded.ts"
import * as History from "./history.ts"
import type * as Wire from "./wire.ts"

/**
 * What is known about the message before the run.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  readonly messageId?: string | undefined
  readonly continues?: Wire.Message | undefined
  readonly answers?: ReadonlyArray<Approval.Answer> | undefined
}

/** A run that this run called, directly or through another one. `call` is the call of this run that it belongs to. */
interface Nested {
  readonly mapper: Mapper
  readonly call: string
  data: Wire.AgentData
}

/**
 * The state of one message.
 *
 * @category models
 * @since 0.1.0
 */
export class Mapper {
  private readonly options: Options
  private out: Array<Wire.Chunk> = []
  private hasBegun = false
  private hasStarted = false
  private hasEnded = false
  /** Whether a part could not be told, so that nothing comes after it. */
  isBroken = false
  private step = 0
  private isStepOpen = false
  /** Whether the last step of the message has tool calls. */
  private hasCalls: boolean
  private runId = ""
  private steered = 0
  /** The messages of the user in this step. */
  private steering: Array<Wire.Chunk> = []
  /** The texts and reasonings that have begun and not ended. */
  private readonly open = new Map<string, "text" | "reasoning">()
  private readonly calls = new Map<string, Calls.State>()
  /** The calls of this step. */
  private readonly stepCalls = new Set<string>()
  /** The calls that a person has denied. */
  private readonly denied = new Set<string>()
  /** The nested calls that ask for an approval, by path and id. They have calls of their own in the message. */
  private readonly nestedCalls = new Map<string, string>()
  private readonly nested = new Map<string, Nested>()

  constructor(options: Options) {
    this.options = options
    this.hasCalls = options.continues !== undefined || options.answers !== undefined
    for (const part of options.continues?.parts ?? []) {
      if (!("toolCallId" in part)) continue
      this.calls.set(part.toolCallId, Calls.stateOf(part))
    }
  }

  /** The chunks of some parts. A part with a value that is not JSON is the end of the message. */
  map(parts: ReadonlyArray<AgentRun.Part>): Effect.Effect<ReadonlyArray<Wire.Chunk>> {
    if (parts.every(Valued.isPlain)) return Effect.sync(() => this.take(parts.map((part) => [part, undefined])))
    const accept = (part: AgentRun.Part) =>
      Effect.map(Coded.encode(part), ([part, encoded]) => this.accept(part, encoded))
    return Effect.matchCause(Effect.forEach(parts, accept, { discard: true }), {
      onSuccess: () => this.flush(),
      onFailure: (cause) => {
        this.isBroken = true
        return this.end(cause)
      }
    })
  }

  /** The last chunks of a run that did not complete. `cause` is `undefined` if the parts ended without a `run-end`. */
  end(cause: Cause.Cause<unknown> | undefined): ReadonlyArray<Wire.Chunk> {
    if (this.hasEnded) return []
    this.hasEnded = true
    const isInterrupted = cause !== undefined && Cause.hasInterruptsOnly(cause)
    const failure = AgentApi.describe(cause ?? Cause.die("the parts have no end"))
    this.close(isInterrupted ? "The run was stopped." : failure.message)
    if (isInterrupted) {
      this.out.push({ type: "abort", reason: "The run was stopped." }, { type: "finish", finishReason: "interrupted" })
    } else {
      const { code, message, retryable } = failure
      this.out.push(
        { type: "message-metadata", messageMetadata: { error: { code, retryable } } },
        { type: "error", errorText: message }
      )
    }
    return this.flush()
  }

  private take(coded: ReadonlyArray<Coded.Coded>): ReadonlyArray<Wire.Chunk> {
    for (const [part, encoded] of coded) this.accept(part, encoded)
    return this.flush()
  }

  private flush(): ReadonlyArray<Wire.Chunk> {
    const { out } = this
    this.out = []
    this.hasBegun ||= out.length > 0
    return out
  }

  private accept(part: AgentRun.Part, encoded: AgentRun.PartEncoded | undefined): void {
    if (this.hasEnded) return
    switch (part.type) {
      case "text-delta":
        return this.delta("text", part.id, part.delta)
      case "reasoning-delta":
        return this.delta("reasoning", part.id, part.delta)
      case "text-start":
        return this.begin("text", this.idOf(part.id))
      case "reasoning-start":
        return this.begin("reasoning", this.idOf(part.id))
      case "text-end":
      case "reasoning-end":
        return this.endText(this.idOf(part.id))
      case "run-start":
        return this.start(part)
      case "step-start":
        if (part.restarted === true) this.takeBack()
        else this.steering = []
        this.step = part.index
        return
      case "step-end":
        return this.endStep()
      case "run-end":
        return this.complete(part.result, encoded)
      case "tool-params-start":
        if (this.calls.get(part.id) === "streaming") return
        this.inStep({
          type: "tool-input-start",
          toolCallId: part.id,
          toolName: part.name,
          ...(part.providerExecuted && { providerExecuted: true })
        })
        this.calls.set(part.id, "streaming")
        return
      case "tool-params-delta":
        if (this.calls.get(part.id) !== "streaming") return
        this.out.push({ type: "tool-input-delta", toolCallId: part.id, inputTextDelta: part.delta })
        return
      case "tool-call":
        return this.call(part.id, part.name, encoded?.params, part.providerExecuted)
      case "tool-result":
        return this.result(part, encoded?.encodedResult)
      case "tool-approval-request":
        return this.ask(part)
      case "source":
        return this.source(part)
      case "file":
        return this.inStep({
          type: "file",
          mediaType: part.mediaType,
          url: `data:${part.mediaType};base64,${Base64.encode(part.data)}`
        })
      case "steering": {
        const message: Wire.Chunk = {
          type: "steering-message",
          id: `${this.runId}:${this.steered++}`,
          parts: History.userParts(part.message)
        }
        this.steering.push(message)
        return this.inStep(message)
      }
      case "response-metadata":
        if (part.modelId !== undefined) {
          this.out.push({ type: "message-metadata", messageMetadata: { model: part.modelId } })
        }
        return
      case "output-partial":
        return this.inStep({ type: "data-output", id: "output", data: encoded?.value ?? null })
      case "agent-part":
        return this.agentPart(part, encoded)
        // of the others, the end of the run tells what matters
    }
  }

  private start({ agent, runId, session }: AgentRun.RunStart): void {
    if (this.hasStarted) return
    this.hasStarted = true
    this.runId = runId
    const { answers, continues, messageId } = this.options
    const id = messageId ?? continues?.id ?? (answers === undefined ? runId : undefined)
    const messageMetadata = { agent, runId, ...(session !== undefined && { session }) }
    this.out.push(
      this.hasBegun || this.out.length > 0
        // a page would begin a message anew
        ? { type: "message-metadata", messageMetadata }
        : { type: "start", ...(id !== undefined && { messageId: id }), messageMetadata }
    )
    for (const answer of answers ?? []) this.answered(answer)
  }

  /** What the run goes on with, for those who have not given the answer themselves. */
  private answered(answer: Approval.Answer): void {
    const { approvalId, path, tool, toolCallId } = answer.approval
    const id = path.length === 0 ? toolCallId : approvalId
    if (path.length > 0) this.nestedCalls.set(keyOf(path, toolCallId), id)
    this.calls.set(id, "running")
    // the result of a client comes as every result
    if (answer._tag === "Result") return
    const isApproved = answer._tag === "Approve"
    if (isApproved && answer.params !== undefined) {
      const toolName = this.nameOf(id) ?? tool
      this.out.push({ type: "tool-input-available", toolCallId: id, toolName, input: answer.params })
    }
    const reason = isApproved ? undefined : answer.reason
    this.out.push({
      type: "tool-approval-response",
      approvalId,
      approved: isApproved,
      ...(reason !== undefined && { reason })
    })
    if (!isApproved) this.denied.add(id)
  }

  private nameOf(toolCallId: string): string | undefined {
    for (const part of this.options.continues?.parts ?? []) {
      if ("toolCallId" in part && part.toolCallId === toolCallId) return part.type.slice("tool-".length)
    }
    return undefined
  }

  private inStep(chunk: Wire.Chunk): void {
    // a step that only has the results of earlier calls is none in the message
    if (!this.isStepOpen) {
      this.isStepOpen = true
      this.hasCalls = false
      this.stepCalls.clear()
      this.out.push({ type: "start-step" })
    }
    if ("toolCallId" in chunk) {
      this.hasCalls = true
      this.stepCalls.add(chunk.toolCallId)
    }
    this.out.push(chunk)
  }

  /** The model call of the step begins again, and what it has told does not count. The messages of the user do. */
  private takeBack(): void {
    if (!this.isStepOpen) return
    this.open.clear()
    for (const id of this.stepCalls) this.calls.delete(id)
    this.stepCalls.clear()
    this.hasCalls = false
    this.out.push({ type: "reset-step" }, ...this.steering)
  }

  private endStep(): void {
    this.closeTexts()
    for (const [id, state] of this.calls) {
      if (state === "streaming") this.fail(id, "The call was not finished.")
    }
    if (this.isStepOpen) this.out.push({ type: "finish-step" })
    this.isStepOpen = false
  }

  private idOf(id: string): string {
    return `${this.step}:${id}`
  }

  private begin(kind: "text" | "reasoning", id: string): void {
    this.endText(id)
    this.open.set(id, kind)
    this.inStep({ type: `${kind}-start`, id })
  }

  private delta(kind: "text" | "reasoning", of: string, delta: string): void {
    const id = this.idOf(of)
    if (this.open.get(id) !== kind) this.begin(kind, id)
    this.out.push({ type: `${kind}-delta`, id, delta })
  }

  private endText(id: string): void {
    const kind = this.open.get(id)
    if (kind === undefined) return
    this.open.delete(id)
    this.out.push({ type: `${kind}-end`, id })
  }

  private closeTexts(): void {
    for (const id of this.open.keys()) this.endText(id)
  }

  private call(id: string, name: string, input: unknown, providerExecuted: boolean): void {
    this.inStep(Calls.inputOf(id, name, input, providerExecuted))
    this.calls.set(id, "running")
  }

  private result(part: Extract<AgentRun.Part, { readonly type: "tool-result" }>, output: unknown = null): void {
    const { id, isFailure, name, preliminary, providerExecuted } = part
    if (!this.knows(id)) this.call(id, name, null, providerExecuted)
    const executed = providerExecuted ? { providerExecuted } : undefined
    if (!preliminary) {
      this.stopNested(id)
      this.calls.set(id, "ended")
    }
    if (!isFailure) {
      this.out.push({
        type: "tool-output-available",
        toolCallId: id,
        output,
        ...(preliminary && { preliminary }),
        ...executed
      })
    } else if (this.denied.has(id) && Calls.isDenied(output)) {
      this.out.push({ type: "tool-output-denied", toolCallId: id })
    } else {
      this.out.push({ type: "tool-output-error", toolCallId: id, errorText: Calls.errorText(output), ...executed })
    }
  }

  /** A message that is continued, and that we have not seen, has the call. */
  private knows(id: string): boolean {
    return this.calls.has(id) || (this.options.answers !== undefined && this.options.continues === undefined)
  }

  private ask({ approval, approvalId, toolCallId }: AgentRun.ApprovalRequest): void {
    // the run asks again, and says for which call
    if (approval === undefined) return
    const { params, path, tool } = approval
    const input = params ?? null
    const id = path.length === 0 ? toolCallId : approvalId
    if (path.length > 0) {
      // a call can wait for one approval only, and a page shows what will run
      this.nestedCalls.set(keyOf(path, approval.toolCallId), id)
      this.waitForNested(toolCallId, approvalId)
      this.out.push(Calls.inputOf(id, tool, input, false))
    } else if (!this.knows(id)) this.call(id, tool, input, true)
    this.calls.set(id, "asked")
    // a call that runs in the page has its parameters, and waits for its output
    if (approval.runsIn === "client") return
    this.out.push({
      type: "tool-approval-request",
      approvalId,
      toolCallId: id,
      approvalDescriptor: { tool, params: input, path }
    })
  }

  private waitForNested(id: string, first: string): void {
    if (this.calls.get(id) !== "running") return
    this.calls.set(id, "asked")
    const approvalId = Calls.automatic(first)
    this.out.push(
      { type: "tool-approval-request", approvalId, toolCallId: id, isAutomatic: true },
      { type: "tool-approval-response", approvalId, approved: true }
    )
  }

  private source(part: Extract<AgentRun.Part, { readonly type: "source" }>): void {
    if (part.sourceType === "url") {
      // the address becomes a link, and a model may have written it
      if (!/^https?:$/.test(part.url.protocol)) return
      return this.inStep({
        type: "source-url",
        sourceId: part.id,
        url: part.url.href,
        ...(part.title !== undefined && { title: part.title })
      })
    }
    this.inStep({
      type: "source-document",
      sourceId: part.id,
      mediaType: part.mediaType,
      title: part.title,
      ...(part.fileName !== undefined && { filename: part.fileName })
    })
  }

  private agentPart(agentPart: AgentRun.AgentPart, encoded: AgentRun.PartEncoded | undefined): void {
    const { parentRunId, part, path, runId, toolCallId } = agentPart
    const nested = this.nested.get(runId) ?? this.beginNested(agentPart)
    for (const chunk of nested.mapper.take([[part, encoded]])) {
      this.out.push({
        type: "data-agent-chunk",
        data: { runId, parentRunId, toolCallId, path, chunk },
        transient: true
      })
    }
    switch (part.type) {
      case "run-start":
        return this.tell(nested)
      case "step-end":
        nested.data = { ...nested.data, text: part.step.text }
        return this.tell(nested)
      case "run-end": {
        const { stopReason, text, totalUsage } = part.result
        const status = stopReason === "approval-required" ? "waiting" : "completed"
        nested.data = { ...nested.data, status, text, stopReason, usage: totalUsage }
        return this.tell(nested)
      }
      case "tool-result": {
        const id = this.nestedCalls.get(keyOf(path, part.id))
        if (id !== undefined) this.result({ ...part, id }, encoded?.encodedResult)
      }
    }
  }

  private beginNested({ parentRunId, path, runId, toolCallId }: AgentRun.AgentPart): Nested {
    const nested: Nested = {
      mapper: new Mapper({}),
      call: this.nested.get(parentRunId)?.call ?? toolCallId,
      data: { runId, parentRunId, toolCallId, path, status: "running", text: "" }
    }
    this.nested.set(runId, nested)
    return nested
  }

  private tell({ data }: Nested): void {
    this.out.push({ type: "data-agent", id: data.runId, data })
  }

  /** The runs below a call end with it. */
  private stopNested(call?: string): void {
    for (const nested of this.nested.values()) {
      if (nested.data.status !== "running" || (call !== undefined && nested.call !== call)) continue
      nested.data = { ...nested.data, status: "stopped" }
      this.tell(nested)
    }
  }

  private complete(result: AgentRun.Result, encoded: AgentRun.PartEncoded | undefined): void {
    const { stopReason, totalUsage: usage, value } = result
    const sent = encoded?.result
    if (value !== undefined && typeof sent === "object" && sent !== null && "value" in sent) {
      this.out.push({ type: "data-output", id: "output", data: sent.value })
    }
    this.closeTexts()
    this.hasEnded = true
    for (const id of this.denied) {
      // a call of a provider has no result then
      if (this.calls.get(id) === "running") this.out.push({ type: "tool-output-denied", toolCallId: id })
    }
    // a page that sends a message again when all of its calls have outputs has nothing to send
    if (this.hasCalls && stopReason !== "approval-required") {
      this.out.push({ type: "start-step" }, { type: "finish-step" })
    }
    this.out.push({
      type: "finish",
      finishReason: finishReasons.get(stopReason) ?? "other",
      messageMetadata: { stopReason, usage }
    })
  }

  private close(reason: string): void {
    this.closeTexts()
    for (const [id, state] of this.calls) {
      // what waits for an approval or for the page may go on waiting
      if (state === "streaming" || state === "running") this.fail(id, reason)
    }
    this.stopNested()
  }

  private fail(id: string, reason: string): void {
    this.calls.set(id, "ended")
    this.out.push({ type: "tool-output-error", toolCallId: id, errorText: reason })
  }
}

const keyOf = (path: ReadonlyArray<string>, id: string): string => JSON.stringify([path, id])

const finishReasons = new Map<AgentRun.StopReason, Wire.FinishReason>([
  ["stop", "stop"],
  ["length", "length"],
  ["content-filter", "content-filter"],
  ["tool-calls", "tool-calls"],
  ["error", "error"],
  ["output", "stop"],
  ["approval-required", "tool-calls"],
  ["tool-called", "tool-calls"]
])

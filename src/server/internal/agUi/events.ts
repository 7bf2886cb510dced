/**
 * The parts of a run as events of AG-UI.
 *
 * The verifier of the client refuses a run that ends while something is open, and two things with one id at the same time.
 * So everything that begins is noted here, with an id of its own, and is closed before the end, whatever the end is.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import type * as Cause from "effect/Cause"
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as AgentRun from "../../../AgentRun.ts"
import * as Fields from "../../../internal/words/fields.ts"
import * as Json from "../../../internal/words/json.ts"
import * as AgentApi from "../../AgentApi.ts"
import { CallIds } from "./callIds.ts"
import type * as Models from "./models.ts"
import * as Outcome from "./outcome.ts"
import * as Usages from "./usages.ts"

/**
 * What a client knows before the run.
 *
 * @category options
 * @since 0.1.0
 */
export interface Options {
  /** The conversation. */
  readonly threadId: string
  /** The id of the run. Default: the id in `run-start`. */
  readonly runId?: string | undefined
  /**
   * The tools of the agent, by name. The schema of the answer to an approval then says which arguments the tool accepts.
   * Default: they are not known.
   */
  readonly tools?: Readonly<Record<string, Tool.Any>> | undefined
  /**
   * The ids of the tool calls that the client has already, in their order. A new call gets another id. Default: none.
   */
  readonly knownCalls?: ReadonlyArray<string> | undefined
  /** The state of the client. A snapshot replaces its field `output` alone. Default: an empty one. */
  readonly state?: unknown
  /** How many of the messages that arrive during the run the client has sent with its request. Default: 0. */
  readonly ownMessages?: number | undefined
}

type Open = { readonly type: "text" | "reasoning"; readonly messageId: string }

/** What one run has begun: the run itself, or a run nested in it. */
class Scope {
  readonly tag: { readonly subagentRunId?: string }
  stepName: string | undefined = undefined
  /** The messages of the step. */
  readonly messageIds: Array<string> = []
  /** The message that the tool calls of the step belong to. */
  parentMessageId: string | undefined = undefined
  readonly open = new Map<string, Open>()
  /** The calls of the step, by their ids in the run. */
  calls = new Map<string, string>()
  /** The calls whose parameters are still written. */
  readonly writing = new Set<string>()

  constructor(subagentRunId: string | undefined) {
    this.tag = subagentRunId === undefined ? {} : { subagentRunId }
  }
}

interface Nested {
  readonly scope: Scope
  readonly parentRunId: string
  readonly toolCallId: string
}

/**
 * The events of one run, in the order of its parts.
 *
 * @category models
 * @since 0.1.0
 */
export class Events {
  /** Whether the end was told. Nothing follows it. */
  hasEnded = false
  private hasStarted = false
  private runId: string | undefined
  private readonly options: Options
  private readonly root = new Scope(undefined)
  /** The nested runs that have not ended, by their ids, in the order of their beginning. */
  private readonly nested = new Map<string, Nested>()
  /** The nested runs that the client knows. */
  private readonly told = new Set<string>()
  private readonly callIds: CallIds
  /** The calls without a result. */
  private readonly unanswered = new Map<string, Scope>()
  /** The calls that wait for an approval or a client, by the id of the approval. */
  private readonly waiting = new Map<string, { readonly toolCallId: string; readonly scope: Scope }>()
  private readonly usage = new Usages.Usages()
  private messages = 0
  private steered = 0

  constructor(options: Options) {
    this.options = options
    this.runId = options.runId
    this.callIds = new CallIds(options.knownCalls ?? [])
  }

  /** Returns the events of a part. */
  next(part: AgentRun.Part): Array<Models.Event> {
    if (this.hasEnded) return []
    if (part.type === "run-start") this.runId ??= part.runId
    const start = this.start()
    switch (part.type) {
      case "agent-part":
        return [...start, ...this.ofNested(part)]
      case "output-partial":
        return [...start, this.snapshot(part.value)]
      case "run-end":
        return [...start, ...this.completed(part.result)]
      default:
        return [...start, ...this.of(part, this.root)]
    }
  }

  /** Returns the events of a run that has failed, or that was interrupted. */
  failed(cause: Cause.Cause<unknown>, isInterrupt: boolean): Array<Models.Event> {
    return isInterrupt ? this.cancelled() : this.error(AgentApi.describe(cause))
  }

  /** Returns the events for a stream that has ended without the end of its run. */
  cut(): Array<Models.Event> {
    return this.error({ code: "failed", message: "The run ended without a result.", retryable: false })
  }

  private cancelled(): Array<Models.Event> {
    if (this.hasEnded) return []
    const start = this.start()
    const closed = this.close("The run was stopped before it ended.", "interrupted")
    return [...start, ...closed, this.finished({ type: "cancelled" }, this.usage.all)]
  }

  private error(
    { code, message, retryable }: Pick<AgentApi.RunFailed, "code" | "message" | "retryable">
  ): Array<Models.Event> {
    if (this.hasEnded) return []
    const start = this.start()
    const closed = this.close("The run failed.", "failed")
    this.hasEnded = true
    const usage = this.usage.all
    return [...start, ...closed, {
      type: "RUN_ERROR",
      message,
      code,
      metadata: { retryable },
      ...usage.length > 0 && { usage }
    }]
  }

  private start(): Array<Models.Event> {
    if (this.hasStarted) return []
    this.hasStarted = true
    return [{ type: "RUN_STARTED", threadId: this.options.threadId, runId: this.id, protocolVersion: "1.0" }]
  }

  private get id(): string {
    return this.runId ??= "run"
  }

  private of(part: Exclude<AgentRun.Part, AgentRun.AgentPart>, scope: Scope): Array<Models.Event> {
    const { tag } = scope
    switch (part.type) {
      case "step-start": {
        const stepName = `step-${part.index}`
        const closed = part.restarted === true ? this.takeBack(scope) : this.closeStep(scope)
        scope.stepName = stepName
        scope.messageIds.length = 0
        return [...closed, { type: "STEP_STARTED", stepName, ...tag }]
      }
      case "step-end":
        this.usage.add(part.step)
        return this.closeStep(scope)
      case "text-start":
      case "reasoning-start":
        return this.begin(scope, part.id, part.type === "text-start" ? "text" : "reasoning")
      case "text-delta":
      case "reasoning-delta":
        return write(scope, part.id, part.delta, part.type === "text-delta" ? "text" : "reasoning")
      case "text-end":
      case "reasoning-end":
        return closeOne(scope, `${part.type === "text-end" ? "text" : "reasoning"} ${part.id}`)
      case "tool-params-start":
        return scope.calls.has(part.id) ? [] : this.beginCall(scope, part.id, part.name)
      case "tool-params-delta": {
        const toolCallId = scope.calls.get(part.id)
        if (toolCallId === undefined || !scope.writing.has(toolCallId) || part.delta === "") return []
        return [{ type: "TOOL_CALL_ARGS", toolCallId, delta: part.delta, ...tag }]
      }
      case "tool-call":
        return this.call(scope, part.id, part.name, part.params)
      case "tool-result":
        return this.result(scope, part)
      case "tool-approval-request":
        this.ask(scope, part)
        return []
      case "source":
        return [{ type: "CUSTOM", name: "source", value: sourceOf(part), ...tag }]
      case "file": {
        const value = { mediaType: part.mediaType, data: Base64.encode(part.data) }
        return [{ type: "CUSTOM", name: "file", value, ...tag }]
      }
      case "steering":
        return scope === this.root ? this.steering(part) : []
      default:
        return []
    }
  }

  private nextMessageId(): string {
    return `${this.id}-${this.messages++}`
  }

  private begin(scope: Scope, id: string, type: Open["type"]): Array<Models.Event> {
    const { tag } = scope
    const key = `${type} ${id}`
    const closed = closeOne(scope, key)
    const messageId = this.nextMessageId()
    scope.messageIds.push(messageId)
    scope.open.set(key, { type, messageId })
    if (type === "reasoning") {
      return [
        ...closed,
        { type: "REASONING_START", messageId, ...tag },
        { type: "REASONING_MESSAGE_START", messageId, role: "reasoning", ...tag }
      ]
    }
    scope.parentMessageId ??= messageId
    return [...closed, { type: "TEXT_MESSAGE_START", messageId, role: "assistant", ...tag }]
  }

  private beginCall(scope: Scope, id: string, name: string): Array<Models.Event> {
    const toolCallId = this.callIds.take(id)
    const parentMessageId = scope.parentMessageId ??= this.nextMessageId()
    scope.calls.set(id, toolCallId)
    scope.writing.add(toolCallId)
    this.unanswered.set(toolCallId, scope)
    return [{ type: "TOOL_CALL_START", toolCallId, toolCallName: name, parentMessageId, ...scope.tag }]
  }

  private call(scope: Scope, id: string, name: string, params: unknown): Array<Models.Event> {
    const { tag } = scope
    const streamed = scope.calls.get(id)
    if (streamed !== undefined) {
      return scope.writing.delete(streamed) ? [{ type: "TOOL_CALL_END", toolCallId: streamed, ...tag }] : []
    }
    const begun = this.beginCall(scope, id, name)
    const toolCallId = scope.calls.get(id)!
    scope.writing.delete(toolCallId)
    return [
      ...begun,
      { type: "TOOL_CALL_ARGS", toolCallId, delta: Json.toText(params ?? {}), ...tag },
      { type: "TOOL_CALL_END", toolCallId, ...tag }
    ]
  }

  private idOf(scope: Scope, id: string): string {
    return scope.calls.get(id) ?? this.callIds.before(id)
  }

  private result(
    scope: Scope,
    { encodedResult, id, isFailure, preliminary }: Extract<AgentRun.Part, { readonly type: "tool-result" }>
  ): Array<Models.Event> {
    const { tag } = scope
    const toolCallId = this.idOf(scope, id)
    if (preliminary) {
      return [{ type: "CUSTOM", name: "tool-progress", value: { toolCallId, result: encodedResult ?? null }, ...tag }]
    }
    // a call that has its result has no nested run that works
    const under = scope.tag.subagentRunId
    const left = [...this.nested].filter(([, nested]) =>
      nested.toolCallId === id &&
      (under === undefined ? !this.told.has(nested.parentRunId) : nested.parentRunId === under)
    )
    const ended = left.flatMap(([runId]) => this.endNested(runId, { message: "The agent failed.", code: "failed" }))
    return [...ended, this.answer(scope, toolCallId, Json.toText(encodedResult ?? null), isFailure)]
  }

  private answer(scope: Scope, toolCallId: string, content: string, isFailure: boolean): Models.Event {
    this.unanswered.delete(toolCallId)
    return {
      type: "TOOL_CALL_RESULT",
      messageId: this.nextMessageId(),
      toolCallId,
      role: "tool",
      content,
      ...isFailure && { metadata: { isFailure: true } },
      ...scope.tag
    }
  }

  /** A request of a nested run comes from there first, and then from each run around it. */
  private ask(scope: Scope, { approval, toolCallId }: AgentRun.ApprovalRequest): void {
    if (approval === undefined || this.waiting.has(approval.approvalId)) return
    const id = approval.path.length === 0
      ? this.idOf(scope, toolCallId)
      // a nested run that goes on waiting has told its call before
      : this.callIds.before(approval.toolCallId)
    this.waiting.set(approval.approvalId, { toolCallId: id, scope })
  }

  private steering({ message }: AgentRun.SteeringMessage): Array<Models.Event> {
    if (this.steered++ < (this.options.ownMessages ?? 0)) return []
    const text = message.content.flatMap((part) => part.type === "text" ? part.text : []).join("")
    if (text === "") return []
    const messageId = this.nextMessageId()
    return [
      { type: "TEXT_MESSAGE_START", messageId, role: "user" },
      { type: "TEXT_MESSAGE_CONTENT", messageId, delta: text },
      { type: "TEXT_MESSAGE_END", messageId }
    ]
  }

  private snapshot(output: unknown): Models.Event {
    const { state } = this.options
    const before = Predicate.isObject(state) && !Array.isArray(state) ? state : {}
    return { type: "STATE_SNAPSHOT", snapshot: { ...before, output } }
  }

  // ---------------------------------------------------------------------------
  // Nested runs
  // ---------------------------------------------------------------------------

  private ofNested({ parentRunId, part, path, runId, toolCallId }: AgentRun.AgentPart): Array<Models.Event> {
    const events: Array<Models.Event> = []
    let nested = this.nested.get(runId)
    if (nested === undefined) {
      if (this.told.has(runId)) return []
      nested = { scope: new Scope(runId), parentRunId, toolCallId }
      const parent = this.nested.get(parentRunId)
      this.nested.set(runId, nested)
      this.told.add(runId)
      events.push({
        type: "SUBAGENT_STARTED",
        subagentRunId: runId,
        name: path[path.length - 1]!,
        parentToolCallId: this.idOf(parent?.scope ?? this.root, toolCallId),
        ...this.told.has(parentRunId) && { parentSubagentRunId: parentRunId }
      })
    }
    if (part.type !== "run-end") return [...events, ...this.of(part, nested.scope)]
    const interruptIds = part.result.approvals.map(({ approvalId }) => approvalId)
    return [...events, ...this.endNested(runId, interruptIds)]
  }

  private endNested(
    runId: string,
    end: ReadonlyArray<string> | { readonly message: string; readonly code: string }
  ): Array<Models.Event> {
    const { scope } = this.nested.get(runId)!
    const inner = [...this.nested].filter(([, { parentRunId }]) => parentRunId === runId)
    const failure = "message" in end ? end : { message: "The agent failed.", code: "failed" }
    const closed = [
      ...inner.flatMap(([id]) => this.nested.has(id) ? this.endNested(id, failure) : []),
      ...this.closeStep(scope)
    ]
    this.nested.delete(runId)
    if ("message" in end) return [...closed, { type: "SUBAGENT_ERROR", subagentRunId: runId, ...end }]
    const outcome = end.length > 0
      ? { type: "suspended" as const, interruptIds: [...end] }
      : { type: "success" as const }
    return [...closed, { type: "SUBAGENT_FINISHED", subagentRunId: runId, outcome }]
  }

  // ---------------------------------------------------------------------------
  // The end
  // ---------------------------------------------------------------------------

  private completed(result: AgentRun.Result): Array<Models.Event> {
    const value = jsonOf(result.value)
    const snapshot = value === undefined ? [] : [this.snapshot(value)]
    const waiting = result.approvals.map((approval) => ({ approval, ...this.waiting.get(approval.approvalId) }))
    const closed = this.close("The call has no result.", "failed", waiting.length > 0)
    const { metadata, outcome } = Outcome.of(
      waiting.map(({ approval, scope, toolCallId = this.callIds.before(approval.toolCallId) }) => ({
        approval,
        toolCallId,
        tag: scope?.tag
      })),
      this.options.tools
    )
    const end = this.finished(
      outcome,
      this.usage.ofResult(result),
      { stopReason: result.stopReason, ...metadata },
      value
    )
    return [...snapshot, ...closed, end]
  }

  private finished(
    outcome: Models.Outcome,
    usage: ReadonlyArray<Models.TokenUsage>,
    metadata?: Readonly<Record<string, unknown>>,
    result?: unknown
  ): Models.Event {
    this.hasEnded = true
    return {
      type: "RUN_FINISHED",
      threadId: this.options.threadId,
      runId: this.id,
      outcome,
      ...usage.length > 0 && { usage: [...usage] },
      ...metadata && { metadata },
      ...result !== undefined && result !== null && { result }
    }
  }

  /** Closes everything that is open, and answers the calls that have no result. */
  private close(message: string, code: string, isWaiting = false): Array<Models.Event> {
    const events: Array<Models.Event> = []
    for (const runId of [...this.nested.keys()].reverse()) {
      if (this.nested.has(runId)) events.push(...this.endNested(runId, { message, code }))
    }
    events.push(...this.closeStep(this.root))
    if (isWaiting) return events
    const content = JSON.stringify({ type: "execution-interrupted", reason: message })
    for (const [toolCallId, scope] of this.unanswered) events.push(this.answer(scope, toolCallId, content, true))
    return events
  }

  /** Ends a step that does not count, because its process has ended. An event cannot be taken back. */
  private takeBack(scope: Scope): Array<Models.Event> {
    const toolCallIds = [...scope.calls.values()].filter((id) => this.unanswered.has(id))
    const closed = this.closeStep(scope)
    const content = JSON.stringify({ type: "execution-interrupted", reason: "The step began again." })
    const results = toolCallIds.map((id) => this.answer(scope, id, content, true))
    const value = { messageIds: [...scope.messageIds], toolCallIds }
    return [...closed, ...results, { type: "CUSTOM", name: "step-restarted", value, ...scope.tag }]
  }

  /** Ends a step, and what it has left open. */
  private closeStep(scope: Scope): Array<Models.Event> {
    const { stepName, tag } = scope
    const events = [...scope.open.keys()].flatMap((key) => closeOne(scope, key))
    for (const toolCallId of scope.writing) events.push({ type: "TOOL_CALL_END", toolCallId, ...tag })
    scope.writing.clear()
    scope.calls = new Map()
    scope.parentMessageId = undefined
    scope.stepName = undefined
    if (stepName !== undefined) events.push({ type: "STEP_FINISHED", stepName, ...tag })
    return events
  }
}

const write = (scope: Scope, id: string, delta: string, type: Open["type"]): Array<Models.Event> => {
  const open = scope.open.get(`${type} ${id}`)
  if (open === undefined || delta === "") return []
  const event = type === "text" ? "TEXT_MESSAGE_CONTENT" : "REASONING_MESSAGE_CONTENT"
  return [{ type: event, messageId: open.messageId, delta, ...scope.tag }]
}

const closeOne = (scope: Scope, key: string): Array<Models.Event> => {
  const open = scope.open.get(key)
  if (open === undefined) return []
  scope.open.delete(key)
  const { messageId, type } = open
  if (type === "text") return [{ type: "TEXT_MESSAGE_END", messageId, ...scope.tag }]
  return [
    { type: "REASONING_MESSAGE_END", messageId, ...scope.tag },
    { type: "REASONING_END", messageId, ...scope.tag }
  ]
}

const sourceOf = (part: Extract<AgentRun.Part, { readonly type: "source" }>): Readonly<Record<string, unknown>> =>
  part.sourceType === "url"
    ? { sourceType: "url", id: part.id, url: part.url.href, title: part.title }
    : {
      sourceType: "document",
      id: part.id,
      mediaType: part.mediaType,
      title: part.title,
      ...part.fileName !== undefined && { fileName: part.fileName }
    }

const encode = Schema.encodeUnknownResult(Schema.Struct({ value: Fields.AnyAnswer }))

/** The value of a result as JSON. One that has no such form is not told. */
const jsonOf = (value: unknown): unknown => {
  const encoded = Result.try(() => encode({ value }))
  return Result.isSuccess(encoded) && Result.isSuccess(encoded.success) ? encoded.success.success.value : undefined
}

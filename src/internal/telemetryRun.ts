/**
 * The spans and metrics of one run, its model calls and its tool calls: what the
 * run answers to the questions of `Instrumentation`.
 *
 * @since 0.1.0
 */
import * as Model from "effect/ai/Model"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Tracer from "effect/Tracer"
import * as AgentRun from "../AgentRun.ts"
import type * as Middleware from "../Middleware.ts"
import * as GenAi from "./genAi.ts"
import type { ModelEnd, ModelSpan, RunInfo, RunSpan, ToolEnd, ToolSpan } from "./instrumentation.ts"
import * as Content from "./telemetryContent.ts"
import * as Metrics from "./telemetryMetrics.ts"
import * as Spans from "./telemetrySpan.ts"
import * as ToolHandler from "./toolHandler.ts"

/**
 * The options of `AgentTelemetry.layer`, with their defaults.
 *
 * @category models
 * @since 0.1.0
 */
export interface Settings {
  readonly captureContent: boolean
  readonly maxContentLength: number
  readonly compat: boolean
}

const { Attribute, Instruments, Operation } = GenAi

/** Telemetry does not change a run: what it throws is dropped. */
const quietly = (f: () => void): void => {
  Effect.runFork(Effect.sync(f))
}

class Timer {
  readonly startedAt: bigint
  private readonly clock: Clock.Clock

  constructor(context: Context.Context<never>) {
    this.clock = Context.get(context, Clock.Clock)
    this.startedAt = this.clock.currentTimeNanosUnsafe()
  }

  /** The time now. */
  now(): bigint {
    return this.clock.currentTimeNanosUnsafe()
  }

  /** Seconds since a time. */
  since(time: bigint): number {
    return Number(this.now() - time) / 1e9
  }
}

/**
 * The span of a run.
 *
 * @category models
 * @since 0.1.0
 */
export class TracedRun implements RunSpan {
  readonly context: Context.Context<never>
  readonly settings: Settings
  readonly info: RunInfo
  private readonly span: Tracer.Span | undefined
  private readonly timer: Timer
  private readonly caller: Context.Context<never>
  private readonly operation: Metrics.Attributes
  private inferenceCalls = 0
  private toolCalls = 0

  constructor(settings: Settings, info: RunInfo, caller: Context.Context<never>) {
    const provider = info.provider ?? Context.getOrUndefined(caller, Model.ProviderName)
    const requestModel = info.model ?? Context.getOrUndefined(caller, Model.ModelName)
    this.settings = settings
    this.info = info
    this.caller = caller
    this.timer = new Timer(caller)
    this.operation = {
      [Attribute.operationName]: Operation.invokeAgent,
      [Attribute.providerName]: info.remote && provider !== undefined ? GenAi.providerName(provider) : undefined,
      [Attribute.agentName]: info.agent,
      [Attribute.requestModel]: requestModel
    }
    this.span = Spans.start(caller, `${Operation.invokeAgent} ${info.agent}`, info.remote ? "client" : "internal", {
      ...this.operation,
      [Attribute.agentDescription]: info.description,
      [Attribute.conversationId]: info.session
    })
    this.context = this.span === undefined ? caller : Context.add(
      caller,
      Tracer.ParentSpan,
      Spans.view(this.span, settings.captureContent, Spans.isPublic(settings.captureContent))
    )
  }

  onInput(instructions: string, messages: ReadonlyArray<Prompt.Message>): void {
    const { span } = this
    if (span === undefined) return
    this.content(
      span,
      Attribute.systemInstructions,
      () => Content.systemInstructions(instructions === "" ? [] : [instructions])
    )
    this.content(span, Attribute.inputMessages, () => Content.inputMessages(messages))
  }

  startModel(request: Middleware.ModelRequest): ModelSpan {
    this.inferenceCalls++
    return new TracedModelCall(this, request)
  }

  startTool(request: Middleware.ToolRequest): ToolSpan {
    this.toolCalls++
    return new TracedToolCall(this, request)
  }

  onFinalizerFailure(name: string, cause: Cause.Cause<unknown> | undefined): void {
    const { span } = this
    if (span === undefined) return
    quietly(() =>
      span.event("effect_agents.finalizer_failed", this.timer.now(), {
        [Attribute.finalizer]: name,
        [Attribute.errorType]: cause === undefined ? "timeout" : GenAi.errorTypeOfCause(cause)
      })
    )
  }

  end(outcome: AgentRun.Outcome): void {
    const { span } = this
    const failure = failureOf(outcome)
    if (span !== undefined) quietly(() => this.endSpan(span, outcome, failure))
    quietly(() => this.record(failure))
  }

  private endSpan(span: Tracer.Span, outcome: AgentRun.Outcome, failure: Spans.Failure | undefined): void {
    const completed = outcome._tag === "Completed" ? outcome.result : undefined
    const { totalUsage } = outcome._tag === "Completed" ? outcome.result : outcome.partial
    const reason = completed === undefined ? "error" : finishReasonOf(completed)
    this.content(span, Attribute.outputMessages, () => Content.outputMessages(answerOf(outcome), reason))
    Spans.end(span, this.caller, {
      [Attribute.finishReasons]: reason === undefined ? undefined : [reason],
      [Attribute.inputTokens]: totalUsage.inputTokens.total,
      [Attribute.outputTokens]: totalUsage.outputTokens.total,
      [Attribute.outcome]: outcome._tag,
      [Attribute.stopReason]: completed?.stopReason
    }, failure)
  }

  private record(failure: Spans.Failure | undefined): void {
    const { caller, info, operation } = this
    const duration = this.timer.since(this.timer.startedAt)
    const errorType = failure?.type
    if (info.remote) {
      const attributes = { ...operation, [Attribute.errorType]: errorType }
      return Metrics.record(caller, Instruments.clientOperationDuration, attributes, duration)
    }
    const agent = { [Attribute.agentName]: info.agent, [Attribute.requestModel]: operation[Attribute.requestModel] }
    Metrics.record(caller, Instruments.invokeAgentDuration, { ...agent, [Attribute.errorType]: errorType }, duration)
    Metrics.record(caller, Instruments.invokeAgentInferenceCalls, agent, this.inferenceCalls)
    Metrics.record(caller, Instruments.invokeAgentToolCalls, agent, this.toolCalls)
  }

  /** Writes content on a span as JSON, if content is captured and has a JSON form. */
  content(span: Tracer.Span, attribute: string, toValue: () => ReadonlyArray<object> | undefined): void {
    const { captureContent, maxContentLength } = this.settings
    if (!captureContent) return
    quietly(() => {
      const json = Content.toJson(toValue(), maxContentLength)
      if (json !== undefined) span.attribute(attribute, json)
    })
  }

  /** Writes content that has to be an object. */
  contentObject(span: Tracer.Span, attribute: string, field: string, value: unknown): void {
    const { captureContent, maxContentLength } = this.settings
    if (!captureContent) return
    quietly(() => {
      const json = Content.toJsonObject(field, value, maxContentLength)
      if (json !== undefined) span.attribute(attribute, json)
    })
  }
}

const failureOf = (outcome: AgentRun.Outcome): Spans.Failure | undefined => {
  switch (outcome._tag) {
    case "Completed":
      return undefined
    case "Failed":
      return { type: GenAi.errorTypeOfCause(outcome.cause), description: "The agent run failed" }
    default:
      return { type: GenAi.cancelled, description: "The agent run was cut short" }
  }
}

const finishReasonOf = ({ steps }: AgentRun.Result): string | undefined => {
  const step = steps[steps.length - 1]
  return step === undefined ? undefined : GenAi.finishReason(step.finishReason)
}

const answerOf = (outcome: AgentRun.Outcome): ReadonlyArray<Prompt.AssistantMessagePart> => {
  if (outcome._tag !== "Completed") {
    const { text } = outcome.partial
    return text === "" ? [] : [Prompt.textPart({ text })]
  }
  const last = outcome.result.transcript.content.findLast((message) => message.role === "assistant")
  return last?.role === "assistant" ? last.content : []
}

class TracedModelCall implements ModelSpan {
  readonly context: Context.Context<never>
  private readonly run: TracedRun
  private readonly span: Tracer.Span | undefined
  private readonly timer: Timer
  private readonly operation: Metrics.Attributes
  private timeToFirstChunk: number | undefined = undefined
  private readonly timesPerOutputChunk: Array<number> = []
  private lastChunkAt = BigInt(0)
  private metadata: Response.ResponseMetadataPart | undefined = undefined
  private finish: Response.FinishPart | undefined = undefined

  constructor(run: TracedRun, request: Middleware.ModelRequest) {
    const { context, info, settings } = run
    const provider = Context.getOrUndefined(context, Model.ProviderName)
    const requestModel = Context.getOrUndefined(context, Model.ModelName)
    this.run = run
    this.timer = new Timer(context)
    this.operation = {
      [Attribute.operationName]: Operation.chat,
      [Attribute.providerName]: provider === undefined ? undefined : GenAi.providerName(provider),
      [Attribute.requestModel]: requestModel
    }
    const name = requestModel === undefined ? Operation.chat : `${Operation.chat} ${requestModel}`
    const span = this.span = Spans.start(context, name, "client", {
      ...this.operation,
      [Attribute.requestStream]: true,
      [Attribute.conversationId]: info.session
    })
    if (span === undefined) {
      this.context = context
      return
    }
    const [instructions, messages] = Content.split(request.prompt.content)
    run.content(span, Attribute.systemInstructions, () => Content.systemInstructions(instructions))
    run.content(span, Attribute.inputMessages, () => Content.inputMessages(messages))
    run.content(span, Attribute.toolDefinitions, () => Content.toolDefinitions(request.toolkit?.tools ?? {}))
    const current = Spans.view(span, settings.captureContent, Spans.isPublicInModel(settings.captureContent))
    const tracer = Spans.modelTracer(Context.get(context, Tracer.Tracer), current)
    this.context = Context.add(Context.add(context, Tracer.ParentSpan, current), Tracer.Tracer, tracer)
  }

  onParts(parts: ReadonlyArray<Response.StreamPart<any, "deferred">>): void {
    const now = this.timer.now()
    if (this.timeToFirstChunk === undefined) this.timeToFirstChunk = Number(now - this.timer.startedAt) / 1e9
    else this.timesPerOutputChunk.push(Number(now - this.lastChunkAt) / 1e9)
    this.lastChunkAt = now
    for (const part of parts) {
      if (part.type === "response-metadata") this.metadata = part
      else if (part.type === "finish") this.finish = part
    }
  }

  end(end: ModelEnd): void {
    const { span } = this
    const finishReason = this.finish?.reason
    const usage: AgentRun.Usage = end._tag === "Failed" ? this.finish?.usage ?? AgentRun.emptyUsage : end.usage
    const failure: Spans.Failure | undefined = end._tag === "Failed"
      ? { type: GenAi.errorTypeOfCause(end.cause), description: "The model call failed" }
      : end._tag === "Cancelled" && finishReason === undefined
      ? { type: GenAi.cancelled, description: "The model call was cut short" }
      : undefined
    const reason = failure === undefined ? GenAi.finishReason(finishReason ?? "unknown") : "error"
    if (span !== undefined) quietly(() => this.endSpan(span, end, usage, reason, failure))
    quietly(() => this.record(usage, failure))
  }

  private endSpan(
    span: Tracer.Span,
    end: ModelEnd,
    usage: AgentRun.Usage,
    reason: string | undefined,
    failure: Spans.Failure | undefined
  ): void {
    const { inputTokens, outputTokens } = usage
    const { compat } = this.run.settings
    if (end._tag !== "Failed") {
      this.run.content(span, Attribute.outputMessages, () => Content.outputMessages(end.content, reason))
    }
    Spans.end(span, this.run.context, {
      [Attribute.responseId]: this.metadata?.id,
      [Attribute.responseModel]: this.metadata?.modelId,
      [Attribute.finishReasons]: reason === undefined ? undefined : [reason],
      [Attribute.timeToFirstChunk]: this.timeToFirstChunk,
      [Attribute.inputTokens]: inputTokens.total,
      [Attribute.outputTokens]: outputTokens.total,
      [Attribute.cacheReadInputTokens]: inputTokens.cacheRead,
      [Attribute.cacheWriteInputTokens]: inputTokens.cacheWrite,
      [Attribute.cacheCreationInputTokens]: compat ? inputTokens.cacheWrite : undefined,
      [Attribute.reasoningOutputTokens]: outputTokens.reasoning
    }, failure)
  }

  private record(usage: AgentRun.Usage, failure: Spans.Failure | undefined): void {
    Metrics.recordInference(this.run.context, {
      duration: this.timer.since(this.timer.startedAt),
      timeToFirstChunk: this.timeToFirstChunk,
      timesPerOutputChunk: this.timesPerOutputChunk,
      usage,
      attributes: { ...this.operation, [Attribute.responseModel]: this.metadata?.modelId },
      errorType: failure?.type
    }, this.run.settings.compat)
  }
}

class TracedToolCall implements ToolSpan {
  readonly context: Context.Context<never>
  private readonly run: TracedRun
  private readonly span: Tracer.Span | undefined
  private readonly timer: Timer
  private readonly operation: Metrics.Attributes

  constructor(run: TracedRun, request: Middleware.ToolRequest) {
    const { context, info, settings } = run
    const { id, name, params, tool } = request
    this.run = run
    this.timer = new Timer(context)
    // A name that the model made up is not of low cardinality: it is an attribute of the span, and nothing else.
    this.operation = {
      [Attribute.toolName]: tool === undefined ? GenAi.other : name,
      [Attribute.toolType]: "function",
      [Attribute.agentName]: info.agent
    }
    const spanName = tool === undefined ? Operation.executeTool : `${Operation.executeTool} ${name}`
    const span = this.span = Spans.start(context, spanName, "internal", {
      [Attribute.operationName]: Operation.executeTool,
      ...this.operation,
      [Attribute.toolName]: name.slice(0, 256),
      [Attribute.toolCallId]: id,
      [Attribute.toolDescription]: tool === undefined ? undefined : Tool.getDescription(tool),
      [Attribute.conversationId]: info.session
    })
    if (span === undefined) {
      this.context = context
      return
    }
    run.contentObject(span, Attribute.toolCallArguments, "arguments", params)
    const current = Spans.view(span, settings.captureContent, Spans.isPublicInTool(settings.captureContent))
    this.context = Context.add(context, Tracer.ParentSpan, current)
  }

  end(end: ToolEnd): void {
    const { span, run: { context } } = this
    const failure = toolFailureOf(end)
    if (span !== undefined) quietly(() => this.endSpan(span, end, failure))
    const attributes = { ...this.operation, [Attribute.errorType]: failure?.type }
    quietly(() =>
      Metrics.record(context, Instruments.executeToolDuration, attributes, this.timer.since(this.timer.startedAt))
    )
  }

  private endSpan(span: Tracer.Span, end: ToolEnd, failure: Spans.Failure | undefined): void {
    if (end._tag === "Result" && !end.result.isFailure) {
      this.run.contentObject(span, Attribute.toolCallResult, "result", end.result.encodedResult)
    }
    Spans.end(span, this.run.context, {}, failure)
  }
}

const toolFailureOf = (end: ToolEnd): Spans.Failure | undefined => {
  switch (end._tag) {
    case "Failed":
      return { type: GenAi.errorTypeOfCause(end.cause), description: "The tool call failed" }
    case "Cancelled":
      return { type: GenAi.cancelled, description: "The tool call was cut short" }
    case "Result":
      return end.result.isFailure && ToolHandler.requestsOf(end.result) === undefined
        ? { type: GenAi.errorTypeOf(end.result.result), description: "The tool call failed" }
        : undefined
  }
}

/**
 * The spans and metrics of one run, its model calls and its tool calls. It implements `Instrumentation`.
 *
 * @since 0.1.0
 */

import * as Model from "effect/ai/Model"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Tracer from "effect/Tracer"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as GenAi from "./genAi.ts"
import {
  type ModelBegins,
  type ModelEnd,
  type ModelSpan,
  type RunInfo,
  type RunSpan,
  type ToolSpan
} from "./instrumentation.ts"
import * as Content from "./content.ts"
import * as Metrics from "./metrics.ts"
import * as Spans from "./span.ts"
import { TracedToolCall } from "./tool.ts"

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
  /** Makes the spans of the run below the right parent. */
  readonly spans: Spans.SpanMaker
  readonly parent: Tracer.Span | undefined
  /** The attributes that all its model calls have in common. */
  readonly modelOperation: Metrics.Attributes
  readonly modelMetrics: Metrics.Metrics
  readonly modelAttributes: Spans.Attributes
  readonly modelName: string
  /** The context in which metrics are recorded. */
  readonly registry: Context.Context<never>
  /** The metrics that all its tool calls have in common. */
  readonly toolMetrics: Metrics.Metrics
  /** The attributes that code inside of a model call may write. */
  readonly acceptedInModel: Spans.Accepts
  readonly acceptedInTool: Spans.Accepts
  private modelTracing: ModelTracing | undefined = undefined
  private readonly span: Tracer.Span | undefined
  private readonly startedAt: bigint
  private readonly operation: Metrics.Attributes
  /** The input is written when no guardrail can refuse it any more. */
  private input: "unknown" | "known" | "refused" = "unknown"
  private inferenceCalls = 0
  private toolCalls = 0

  constructor(settings: Settings, info: RunInfo, caller: Context.Context<never>) {
    const modelProvider = Context.getOrUndefined(caller, Model.ProviderName)
    const modelName = Context.getOrUndefined(caller, Model.ModelName)
    const provider = info.provider ?? modelProvider
    const requestModel = info.model ?? modelName
    this.settings = settings
    this.info = info
    this.acceptedInModel = Spans.isPublicInModel(settings.captureContent)
    this.acceptedInTool = Spans.isPublicInTool(settings.captureContent)
    this.registry = Metrics.registryIn(caller)
    this.spans = new Spans.SpanMaker(caller, Spans.isPublic(settings.captureContent))
    this.startedAt = this.spans.clock.currentTimeNanosUnsafe()
    this.modelOperation = modelOperationIn(caller)
    this.modelMetrics = Metrics.of(this.modelOperation)
    this.modelAttributes = { ...this.modelOperation, [Attribute.conversationId]: info.session }
    this.modelName = modelName === undefined ? Operation.chat : `${Operation.chat} ${modelName}`
    this.toolMetrics = Metrics.of({ [Attribute.toolType]: "function", [Attribute.agentName]: info.agent })
    this.operation = {
      [Attribute.operationName]: Operation.invokeAgent,
      [Attribute.providerName]: info.remote && provider !== undefined ? GenAi.providerName(provider) : undefined,
      [Attribute.agentName]: info.agent,
      [Attribute.requestModel]: requestModel
    }
    this.span = this.spans.start(
      `${Operation.invokeAgent} ${info.agent}`,
      info.remote ? "client" : "internal",
      {
        ...this.operation,
        [Attribute.agentDescription]: info.description,
        [Attribute.conversationId]: info.session,
        [Attribute.runId]: info.runId
      },
      this.startedAt
    )
    this.parent = this.span === undefined
      ? undefined
      : Spans.view(this.span, settings.captureContent, Spans.isPublic(settings.captureContent))
    this.context = this.parent === undefined ? caller : Context.add(caller, Tracer.ParentSpan, this.parent)
  }

  onInput(instructions: string, messages: ReadonlyArray<Prompt.Message>): void {
    const { span } = this
    this.input = "known"
    if (span === undefined) return
    this.content(
      span,
      Attribute.systemInstructions,
      () => Content.systemInstructions(instructions === "" ? [] : [instructions])
    )
    this.content(span, Attribute.inputMessages, () => Content.inputMessages(messages))
  }

  onRefused(instructions: string, messages: ReadonlyArray<Prompt.Message>): void {
    this.onInput(instructions, messages)
    this.input = "refused"
  }

  startModel(request: Middleware.ModelRequest, begins: ModelBegins): ModelSpan {
    return new TracedModelCall(this, request, begins)
  }

  /** A model was called. */
  onModelCall(): void {
    this.inferenceCalls++
  }

  startTool(request: Middleware.ToolRequest): ToolSpan {
    return new TracedToolCall(this, request)
  }

  /** A tool call was allowed to run. */
  onToolCall(): void {
    this.toolCalls++
  }

  get capturesContent(): boolean {
    return this.settings.captureContent
  }

  /** The context of a model call in which this is the current span, and the tracer that returns it. */
  modelContext(current: Tracer.Span, onMethod: Spans.OnMethod): Context.Context<never> {
    const { context, tracer } = this.modelTracing ??= makeModelTracing(this)
    tracer.current = current
    tracer.onMethod = onMethod
    return Context.add(context, Tracer.ParentSpan, current)
  }

  onFinalizerFailure(name: string, cause: Cause.Cause<unknown> | undefined): void {
    const { span } = this
    if (span === undefined) return
    Spans.quietly(() =>
      span.event("effect_agents.finalizer_failed", this.spans.clock.currentTimeNanosUnsafe(), {
        [Attribute.finalizer]: name,
        [Attribute.errorType]: cause === undefined ? "timeout" : GenAi.errorTypeOfCause(cause)
      })
    )
  }

  end(outcome: AgentRun.Outcome): void {
    const { span } = this
    const failure = failureOf(outcome)
    const now = this.spans.clock.currentTimeNanosUnsafe()
    if (span !== undefined) Spans.quietly(() => this.endSpan(span, outcome, failure, now))
    Spans.quietly(() => this.record(failure, Spans.seconds(this.startedAt, now)))
  }

  private endSpan(
    span: Tracer.Span,
    outcome: AgentRun.Outcome,
    failure: Spans.Failure | undefined,
    now: bigint
  ): void {
    const completed = outcome._tag === "Completed" ? outcome.result : undefined
    const { totalUsage } = outcome._tag === "Completed" ? outcome.result : outcome.partial
    const reason = completed === undefined ? "error" : finishReasonOf(completed)
    // the answer of a model may repeat its prompt, so it is written only if the prompt may be written
    if (this.input === "known" || completed !== undefined) {
      this.content(span, Attribute.outputMessages, () => Content.outputMessages(answerOf(outcome), reason))
    }
    Spans.write(span, Attribute.finishReasons, reason === undefined ? undefined : [reason])
    Spans.write(span, Attribute.inputTokens, totalUsage.inputTokens.total)
    Spans.write(span, Attribute.outputTokens, totalUsage.outputTokens.total)
    Spans.write(span, Attribute.outcome, outcome._tag)
    Spans.write(span, Attribute.stopReason, completed?.stopReason)
    this.spans.end(span, failure, now)
  }

  private record(failure: Spans.Failure | undefined, duration: number): void {
    const { info, operation, registry } = this
    const errorType = failure?.type
    if (info.remote) {
      const metrics = Metrics.of({ ...operation, [Attribute.agentName]: undefined }).with(
        Attribute.errorType,
        errorType
      )
      return metrics.record(registry, Instruments.clientOperationDuration, duration)
    }
    const metrics = Metrics.of({ [Attribute.agentName]: info.agent })
    metrics.with(Attribute.requestModel, operation[Attribute.requestModel]).with(Attribute.errorType, errorType)
      .record(registry, Instruments.invokeAgentDuration, duration)
    metrics.record(registry, Instruments.invokeAgentInferenceCalls, this.inferenceCalls)
    metrics.record(registry, Instruments.invokeAgentToolCalls, this.toolCalls)
  }

  /** Writes content on a span as JSON, if content is captured and has a JSON form. */
  content(span: Tracer.Span, attribute: string, toValue: () => ReadonlyArray<object> | undefined): void {
    const { captureContent, maxContentLength } = this.settings
    if (!captureContent) return
    Spans.quietly(() => {
      const json = Content.toJson(toValue(), maxContentLength)
      if (json !== undefined) span.attribute(attribute, json)
    })
  }

  /** Writes content that has to be a JSON object. */
  contentObject(span: Tracer.Span, attribute: string, field: string, value: unknown): void {
    const { captureContent, maxContentLength } = this.settings
    if (!captureContent) return
    Spans.quietly(() => {
      const json = Content.toJsonObject(field, value, maxContentLength)
      if (json !== undefined) span.attribute(attribute, json)
    })
  }
}

const modelOperationIn = (context: Context.Context<never>): Metrics.Attributes => {
  const provider = Context.getOrUndefined(context, Model.ProviderName)
  return {
    [Attribute.operationName]: Operation.chat,
    [Attribute.providerName]: provider === undefined ? undefined : GenAi.providerName(provider),
    [Attribute.requestModel]: Context.getOrUndefined(context, Model.ModelName)
  }
}

interface ModelTracing {
  readonly context: Context.Context<never>
  readonly tracer: Spans.ModelTracer
}

const makeModelTracing = ({ context, spans }: TracedRun): ModelTracing => {
  const tracer = new Spans.ModelTracer(spans.tracer)
  return { context: Context.add(context, Tracer.Tracer, tracer), tracer }
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
  readonly current: Tracer.Span | undefined
  private readonly run: TracedRun
  /** The span of a call that begins at once, or the one that begins when a model is called. */
  private readonly own: Tracer.Span | undefined
  private readonly late: Spans.LateSpan | undefined
  private startedAt: bigint
  private timeToFirstChunk: number | undefined = undefined
  private timesPerOutputChunk: Metrics.Times | undefined = undefined
  private lastChunkAt = BigInt(0)
  private metadata: Response.ResponseMetadataPart | undefined = undefined
  private finish: Response.FinishPart | undefined = undefined
  private operation: Metrics.Attributes
  private metrics: Metrics.Metrics
  /** Whether the model was asked to stream: an answer that comes as a whole has no chunks. */
  private hasStreamed = false
  private hasGenerated = false
  private isMade = false
  private isCalled = false
  private input: "unknown" | "known" | "refused"
  /** The accepted prompt, or the messages that are shown instead. */
  private messages: ReadonlyArray<Prompt.Message> | undefined = undefined

  constructor(run: TracedRun, request: Middleware.ModelRequest, begins: ModelBegins) {
    const { context, parent, settings, spans } = run
    this.run = run
    this.operation = run.modelOperation
    this.metrics = run.modelMetrics
    this.startedAt = spans.clock.currentTimeNanosUnsafe()
    this.input = begins === "unchecked" ? "unknown" : "known"
    if (begins === "at-once") {
      this.isMade = true
      run.onModelCall()
      this.own = this.start(request)
    } else if (parent !== undefined) {
      const start = () => {
        this.startedAt = spans.clock.currentTimeNanosUnsafe()
        return this.start(request)
      }
      this.late = new Spans.LateSpan(start, parent, settings.captureContent, run.acceptedInModel)
    }
    this.current = this.late?.view ??
      (this.own === undefined ? undefined : Spans.view(this.own, settings.captureContent, run.acceptedInModel))
    this.context = this.current === undefined ? context : run.modelContext(this.current, (method) => {
      if (method === "stream") this.hasStreamed = true
      else this.hasGenerated = true
      this.onMade()
    })
  }

  private start({ prompt, toolkit }: Middleware.ModelRequest): Tracer.Span | undefined {
    const { run } = this
    const span = run.spans.start(run.modelName, "client", run.modelAttributes, this.startedAt, run.parent)
    if (span === undefined || !run.settings.captureContent) return span
    const [instructions, messages] = Content.split(prompt.content)
    run.content(span, Attribute.systemInstructions, () => Content.systemInstructions(instructions))
    if (this.input !== "unknown") this.writeInput(span, this.messages ?? messages)
    run.content(span, Attribute.toolDefinitions, () => Content.toolDefinitions(toolkit?.tools ?? {}))
    return span
  }

  private writeInput(span: Tracer.Span, messages: ReadonlyArray<Prompt.Message>): void {
    this.run.content(span, Attribute.inputMessages, () => Content.inputMessages(messages))
  }

  private get span(): Tracer.Span | undefined {
    return this.own ?? this.late?.begun
  }

  private onMade(): void {
    if (this.isMade) return
    this.isMade = true
    this.run.onModelCall()
    if (this.late !== undefined) this.late.begin()
    else this.startedAt = this.run.spans.clock.currentTimeNanosUnsafe()
  }

  /** The span keeps the name of the model that was called first. */
  readonly onCall = (context: Context.Context<never>): void => {
    // a middleware may make any number of calls for the one that the step began with
    if (this.isCalled) this.run.onModelCall()
    this.isCalled = true
    this.onMade()
    if (context === this.context) return
    const operation = modelOperationIn(context)
    const keys = [Attribute.providerName, Attribute.requestModel]
    if (keys.every((key) => operation[key] === this.operation[key])) return
    this.operation = operation
    this.metrics = Metrics.of(operation)
    const { span } = this
    if (span === undefined) return
    Spans.quietly(() => {
      for (const key of keys) if (operation[key] !== undefined) span.attribute(key, operation[key])
    })
  }

  private get isStream(): boolean {
    return this.hasStreamed || !this.hasGenerated
  }

  onParts(parts: ReadonlyArray<Response.StreamPart<any, "deferred">>): void {
    if (this.isStream) this.onChunk(this.run.spans.clock.currentTimeNanosUnsafe())
    for (const part of parts) {
      if (part.type === "response-metadata") this.metadata = part
      else if (part.type === "finish") this.finish = part
    }
  }

  onInput(messages: ReadonlyArray<Prompt.Message>): void {
    this.input = "known"
    this.replaceInput(messages)
  }

  onRefused(messages: ReadonlyArray<Prompt.Message>): void {
    this.input = "refused"
    this.replaceInput(messages)
  }

  private replaceInput(messages: ReadonlyArray<Prompt.Message>): void {
    const { span } = this
    this.messages = Content.split(messages)[1]
    if (span !== undefined) this.writeInput(span, this.messages)
  }

  private onChunk(now: bigint): void {
    if (this.timeToFirstChunk === undefined) {
      this.timeToFirstChunk = Spans.seconds(this.startedAt, now)
    } else {
      this.timesPerOutputChunk ??= new Metrics.Times(Instruments.timePerOutputChunk)
      this.timesPerOutputChunk.add(Spans.seconds(this.lastChunkAt, now))
    }
    this.lastChunkAt = now
  }

  /** If something has looked at the span of a call that was not made, the span has begun, and never ends. */
  end(end: ModelEnd): void {
    if (!this.isMade) return
    const { span } = this
    const finishReason = this.finish?.reason
    const { usage } = end
    const failure: Spans.Failure | undefined = end._tag === "Failed"
      ? { type: GenAi.errorTypeOfCause(end.cause), description: "The model call failed" }
      : end._tag === "Cancelled" && finishReason === undefined
      ? { type: GenAi.cancelled, description: "The model call was cut short" }
      : undefined
    const reason = failure === undefined ? GenAi.finishReason(finishReason ?? "unknown") : "error"
    const now = this.run.spans.clock.currentTimeNanosUnsafe()
    if (span !== undefined) Spans.quietly(() => this.endSpan(span, end, usage, reason, failure, now))
    Spans.quietly(() => this.record(usage, failure, Spans.seconds(this.startedAt, now)))
  }

  private endSpan(
    span: Tracer.Span,
    end: ModelEnd,
    usage: AgentRun.Usage,
    reason: string | undefined,
    failure: Spans.Failure | undefined,
    now: bigint
  ): void {
    const { inputTokens, outputTokens } = usage
    const { compat } = this.run.settings
    if (end._tag !== "Failed" && this.input === "known") {
      this.run.content(span, Attribute.outputMessages, () => Content.outputMessages(end.content, reason))
    }
    Spans.write(span, Attribute.requestStream, this.isStream ? true : undefined)
    Spans.write(span, Attribute.responseId, this.metadata?.id)
    Spans.write(span, Attribute.responseModel, this.metadata?.modelId)
    Spans.write(span, Attribute.finishReasons, reason === undefined ? undefined : [reason])
    Spans.write(span, Attribute.timeToFirstChunk, this.timeToFirstChunk)
    Spans.write(span, Attribute.inputTokens, inputTokens.total)
    Spans.write(span, Attribute.outputTokens, outputTokens.total)
    Spans.write(span, Attribute.cacheReadInputTokens, inputTokens.cacheRead)
    Spans.write(span, Attribute.cacheWriteInputTokens, inputTokens.cacheWrite)
    if (compat) Spans.write(span, Attribute.cacheCreationInputTokens, inputTokens.cacheWrite)
    Spans.write(span, Attribute.reasoningOutputTokens, outputTokens.reasoning)
    this.run.spans.end(span, failure, now)
  }

  private record(usage: AgentRun.Usage, failure: Spans.Failure | undefined, duration: number): void {
    Metrics.recordInference(this.run.registry, {
      duration,
      timeToFirstChunk: this.timeToFirstChunk,
      timesPerOutputChunk: this.timesPerOutputChunk,
      usage,
      metrics: this.metrics.with(Attribute.responseModel, this.metadata?.modelId),
      errorType: failure?.type
    }, this.run.settings.compat)
  }
}

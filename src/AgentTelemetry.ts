/**
 * Spans and metrics of agent runs, in the GenAI semantic conventions.
 *
 * Provide `AgentTelemetry.layer` to the program that runs an agent, beside the
 * layer of an exporter: `effect/observability`, `@effect/opentelemetry`, or
 * `effect-agents/otel`, which is both. Without it a run makes no span.
 *
 * ```
 * invoke_agent {agent}      one for a run; the agent's own calls are its children
 *   chat {model}            one for a model call, with the calls of its HTTP client
 *   execute_tool {tool}     one for a tool call, with the spans of its handler
 * ```
 *
 * How a span ends follows from the run's outcome. Success leaves the status unset
 * (an exporter of effect's own writes OK). A failure is an ERROR with `error.type`:
 * the tag of the failure or of its reason, the name of the defect's class, or
 * `_OTHER`. A run that was interrupted or left early ends as `cancelled`, with the
 * calls it was in. A tool that fails is an ERROR of its own span only, when the run
 * goes on. No message, no stack and no cause is ever exported.
 *
 * @since 0.1.0
 */
import * as Model from "effect/ai/Model"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Tracer from "effect/Tracer"
import * as AgentRun from "./AgentRun.ts"
import * as GenAi from "./internal/genAi.ts"
import {
  Instrumentation,
  type ModelEnd,
  type ModelSpan,
  type RunInfo,
  type RunSpan,
  type ToolEnd,
  type ToolSpan
} from "./internal/instrumentation.ts"
import * as Content from "./internal/telemetryContent.ts"
import * as Metrics from "./internal/telemetryMetrics.ts"
import * as Spans from "./internal/telemetrySpan.ts"
import type * as Middleware from "./Middleware.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * What is exported beside the conventions' default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * Whether prompts, instructions, tool definitions, answers, arguments and results
   * are written on the spans, as JSON. Otherwise the variable
   * `OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT` decides, read through
   * `Config` when the layer is built: `SPAN_ONLY`, `SPAN_AND_EVENT` and `true`
   * capture; `NO_CONTENT`, `EVENT_ONLY`, `false`, no value, and any other value
   * (with a warning in the log) do not.
   */
  readonly captureContent?: boolean | undefined
  /** Where captured strings are cut, in characters, within valid JSON. Default: 16384; at least 64. */
  readonly maxContentLength?: number | undefined
  /** Also writes the names of the conventions at v1.41, which most dashboards still read. */
  readonly compat?: "v1.41" | undefined
}

interface Settings {
  readonly captureContent: boolean
  readonly maxContentLength: number
  readonly compat: boolean
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Layer that traces and measures the agent runs of the effects it is provided to.
 *
 * **Details**
 *
 * Spans are made with the `Tracer` of the run's context and obey `TracerEnabled`,
 * the trace levels and the parent's sampling. Metrics go into the context's
 * `MetricRegistry`, also when nothing is traced. What an exporter, or a value that
 * is exported, throws never reaches the run.
 *
 * **Gotchas**
 *
 * Inside a tool, the attributes `tool` and `parameters` cannot be written on the
 * current span: that is where effect's `Toolkit.handle` writes the arguments.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never> =>
  Layer.effect(
    Instrumentation,
    Effect.map(captureContent(options), (captureContent) => {
      const settings: Settings = {
        captureContent,
        maxContentLength: Math.max(64, options?.maxContentLength ?? 16_384),
        compat: options?.compat === "v1.41"
      }
      return Instrumentation.of({ startRun: (info, context) => new Run(settings, info, context) })
    })
  )

const captureVariable = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

const captureContent = Effect.fnUntraced(function*(options: Options | undefined) {
  if (options?.captureContent !== undefined) return options.captureContent
  const value = yield* Effect.result(Config.option(Config.String(captureVariable)))
  const mode = value._tag === "Success" ? Option.getOrElse(value.success, () => "").trim().toUpperCase() : "?"
  switch (mode) {
    case "TRUE":
    case "SPAN_ONLY":
    case "SPAN_AND_EVENT":
      return true
    case "":
    case "FALSE":
    case "NO_CONTENT":
    case "EVENT_ONLY":
      return false
    default:
      yield* Effect.logWarning(`\`${captureVariable}\` has a value that is not known: no content is captured`)
      return false
  }
})

// -----------------------------------------------------------------------------
// Spans
// -----------------------------------------------------------------------------

const { Attribute, Instruments, Operation } = GenAi

/** Telemetry does not change a run: what it throws is dropped. */
const quietly = (f: () => void): void => {
  Effect.runSyncExit(Effect.sync(f))
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

class Run implements RunSpan {
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
    const provider = Context.getOrUndefined(caller, Model.ProviderName)
    const requestModel = Context.getOrUndefined(caller, Model.ModelName)
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
    if (span === undefined || !this.settings.captureContent) return
    quietly(() => {
      this.content(span, Attribute.systemInstructions, Content.systemInstructions([instructions].filter(isNonEmpty)))
      this.content(span, Attribute.inputMessages, Content.inputMessages(messages))
    })
  }

  startModel(request: Middleware.ModelRequest): ModelSpan {
    this.inferenceCalls++
    return new ModelCall(this, request)
  }

  startTool(request: Middleware.ToolRequest): ToolSpan {
    this.toolCalls++
    return new ToolCall(this, request)
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
    quietly(() => {
      const failure = failureOf(outcome)
      if (this.span !== undefined) this.endSpan(this.span, outcome, failure)
      this.record(failure)
    })
  }

  private endSpan(span: Tracer.Span, outcome: AgentRun.Outcome, failure: Spans.Failure | undefined): void {
    const completed = outcome._tag === "Completed" ? outcome.result : undefined
    const { totalUsage } = completed ?? (outcome as Exclude<AgentRun.Outcome, AgentRun.Completed>).partial
    const reason = completed === undefined ? "error" : finishReasonOf(completed)
    if (this.settings.captureContent) {
      const content = completed === undefined
        ? textContent((outcome as Exclude<AgentRun.Outcome, AgentRun.Completed>).partial.text)
        : answerOf(completed)
      if (content.length > 0) {
        this.content(span, Attribute.outputMessages, Content.outputMessages(content, reason ?? "stop"))
      }
    }
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

  /** Writes content on a span as JSON. */
  content(span: Tracer.Span, attribute: string, value: ReadonlyArray<object> | undefined): void {
    const json = value === undefined ? undefined : Content.toJson(value, this.settings.maxContentLength)
    if (json !== undefined) span.attribute(attribute, json)
  }
}

const isNonEmpty = (text: string): boolean => text !== ""

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

const answerOf = ({ transcript }: AgentRun.Result): ReadonlyArray<Prompt.AssistantMessagePart> => {
  const last = transcript.content.findLast((message) => message.role === "assistant")
  return last?.role === "assistant" ? last.content : []
}

const textContent = (text: string): ReadonlyArray<Prompt.AssistantMessagePart> =>
  text === "" ? [] : [Prompt.textPart({ text })]

class ModelCall implements ModelSpan {
  readonly context: Context.Context<never>
  private readonly run: Run
  private readonly span: Tracer.Span | undefined
  private readonly timer: Timer
  private readonly operation: Metrics.Attributes
  private timeToFirstChunk: number | undefined = undefined
  private readonly timesPerOutputChunk: Array<number> = []
  private lastChunkAt = BigInt(0)
  private metadata: Response.ResponseMetadataPart | undefined = undefined
  private finish: Response.FinishPart | undefined = undefined

  constructor(run: Run, request: Middleware.ModelRequest) {
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
    if (settings.captureContent) {
      quietly(() => {
        const [instructions, messages] = Content.split(request.prompt.content)
        run.content(span, Attribute.systemInstructions, Content.systemInstructions(instructions))
        run.content(span, Attribute.inputMessages, Content.inputMessages(messages))
        run.content(span, Attribute.toolDefinitions, Content.toolDefinitions(request.toolkit?.tools ?? {}))
      })
    }
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
    quietly(() => {
      const finishReason = this.finish?.reason
      const usage: AgentRun.Usage = end._tag === "Failed" ? this.finish?.usage ?? AgentRun.emptyUsage : end.usage
      const failure: Spans.Failure | undefined = end._tag === "Failed"
        ? { type: GenAi.errorTypeOfCause(end.cause), description: "The model call failed" }
        : end._tag === "Cancelled" && finishReason === undefined
        ? { type: GenAi.cancelled, description: "The model call was cut short" }
        : undefined
      const reason = failure === undefined ? GenAi.finishReason(finishReason ?? "unknown") : "error"
      if (this.span !== undefined) this.endSpan(this.span, end, usage, reason, failure)
      this.record(usage, failure)
    })
  }

  private endSpan(
    span: Tracer.Span,
    end: ModelEnd,
    usage: AgentRun.Usage,
    reason: string | undefined,
    failure: Spans.Failure | undefined
  ): void {
    const { inputTokens, outputTokens } = usage
    const { captureContent, compat } = this.run.settings
    if (captureContent && end._tag !== "Failed" && end.content.length > 0) {
      this.run.content(span, Attribute.outputMessages, Content.outputMessages(end.content, reason ?? "stop"))
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

class ToolCall implements ToolSpan {
  readonly context: Context.Context<never>
  private readonly run: Run
  private readonly span: Tracer.Span | undefined
  private readonly timer: Timer
  private readonly operation: Metrics.Attributes

  constructor(run: Run, request: Middleware.ToolRequest) {
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
    if (settings.captureContent) {
      quietly(() =>
        this.content(
          span,
          Attribute.toolCallArguments,
          Content.toJsonObject("arguments", params, settings.maxContentLength)
        )
      )
    }
    const current = Spans.view(span, settings.captureContent, Spans.isPublicInTool(settings.captureContent))
    this.context = Context.add(context, Tracer.ParentSpan, current)
  }

  end(end: ToolEnd): void {
    quietly(() => {
      const failure = toolFailureOf(end)
      const { span, run: { context, settings } } = this
      if (span !== undefined) {
        if (settings.captureContent && end._tag === "Result" && failure === undefined) {
          const { encodedResult } = end.result
          this.content(
            span,
            Attribute.toolCallResult,
            Content.toJsonObject("result", encodedResult, settings.maxContentLength)
          )
        }
        Spans.end(span, context, {}, failure)
      }
      const attributes = { ...this.operation, [Attribute.errorType]: failure?.type }
      Metrics.record(context, Instruments.executeToolDuration, attributes, this.timer.since(this.timer.startedAt))
    })
  }

  private content(span: Tracer.Span, attribute: string, json: string | undefined): void {
    if (json !== undefined) span.attribute(attribute, json)
  }
}

const toolFailureOf = (end: ToolEnd): Spans.Failure | undefined => {
  switch (end._tag) {
    case "Failed":
      return { type: GenAi.errorTypeOfCause(end.cause), description: "The tool call failed" }
    case "Cancelled":
      return { type: GenAi.cancelled, description: "The tool call was cut short" }
    case "Result":
      return end.result.isFailure
        ? { type: GenAi.errorTypeOf(end.result.result), description: "The tool call failed" }
        : undefined
  }
}

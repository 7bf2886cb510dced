/**
 * The span and the metrics of one tool call.
 *
 * @since 0.1.0
 */

import * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Tracer from "effect/Tracer"
import type * as Middleware from "../../Middleware.ts"
import * as ToolHandler from "../tool/handler.ts"
import * as Text from "../words/text.ts"
import * as GenAi from "./genAi.ts"
import type { ToolEnd, ToolSpan } from "./instrumentation.ts"
import type * as Metrics from "./metrics.ts"
import type { TracedRun } from "./run.ts"
import * as Spans from "./span.ts"

const { Attribute, Instruments, Operation } = GenAi

/**
 * The span of a tool call. A call that is denied, or that waits for an approval, is not executed: it has no span and is
 * not measured.
 *
 * @category models
 * @since 0.1.0
 */
export class TracedToolCall implements ToolSpan {
  readonly context: Context.Context<never>
  private readonly run: TracedRun
  /** If something has looked at the span of a call that is not executed, the span has begun, and never ends. */
  private readonly span: Spans.LateSpan | undefined
  private readonly startedAt: bigint
  private readonly metrics: Metrics.Metrics

  constructor(run: TracedRun, { id, name, params, tool }: Middleware.ToolRequest) {
    const { context, info, parent, settings, spans } = run
    this.run = run
    const startedAt = this.startedAt = spans.clock.currentTimeNanosUnsafe()
    // A name that the model made up is not of low cardinality, so it is only an attribute of the span.
    this.metrics = run.toolMetrics.with(Attribute.toolName, tool === undefined ? GenAi.other : name)
    if (parent === undefined) {
      this.context = context
      return
    }
    const start = () => {
      const attributes = {
        [Attribute.operationName]: Operation.executeTool,
        [Attribute.toolName]: Text.cut(name, 256),
        [Attribute.toolType]: "function",
        [Attribute.agentName]: info.agent,
        [Attribute.toolCallId]: id,
        [Attribute.toolDescription]: tool === undefined ? undefined : Tool.getDescription(tool),
        [Attribute.conversationId]: info.session
      }
      const spanName = tool === undefined ? Operation.executeTool : `${Operation.executeTool} ${name}`
      const span = spans.start(spanName, "internal", attributes, startedAt, parent)
      if (span !== undefined) run.contentObject(span, Attribute.toolCallArguments, "arguments", params)
      return span
    }
    this.span = new Spans.LateSpan(start, parent, settings.captureContent, run.acceptedInTool)
    this.context = Context.add(context, Tracer.ParentSpan, this.span.view)
  }

  end(end: ToolEnd): void {
    if (isNoExecution(end)) return
    if (end._tag === "Waiting") return this.endWaiting()
    const { metrics, run: { registry, spans }, span } = this
    this.run.onToolCall()
    const failure = toolFailureOf(end)
    const now = spans.clock.currentTimeNanosUnsafe()
    if (span !== undefined) Spans.quietly(() => this.endSpan(span.begin(), end, failure, now))
    const recorded = metrics.with(Attribute.errorType, failure?.type)
    Spans.quietly(() => recorded.record(registry, Instruments.executeToolDuration, Spans.seconds(this.startedAt, now)))
  }

  /** It has not been executed yet, and is the parent of the spans of the agent that it has called. */
  private endWaiting(): void {
    const { spans } = this.run
    const begun = this.span?.begun
    if (begun !== undefined) Spans.quietly(() => spans.end(begun, undefined, spans.clock.currentTimeNanosUnsafe()))
  }

  private endSpan(
    span: Tracer.Span | undefined,
    end: ToolEnd,
    failure: Spans.Failure | undefined,
    now: bigint
  ): void {
    if (span === undefined) return
    if (end._tag === "Result" && !end.result.isFailure) {
      this.run.contentObject(span, Attribute.toolCallResult, "result", end.result.encodedResult)
    }
    this.run.spans.end(span, failure, now)
  }
}

const isNoExecution = (end: ToolEnd): boolean =>
  end._tag === "Result" &&
  (ToolHandler.requestsOf(end.result) !== undefined ||
    ToolHandler.executionFailureOf(end.result) === "execution-denied")

const toolFailureOf = (end: ToolEnd): Spans.Failure | undefined => {
  switch (end._tag) {
    case "Failed":
      return { type: GenAi.errorTypeOfCause(end.cause), description: "The tool call failed" }
    case "Cancelled":
      return { type: GenAi.cancelled, description: "The tool call was cut short" }
    case "Waiting":
      return undefined
    case "Result":
      return end.result.isFailure
        ? {
          type: ToolHandler.executionFailureOf(end.result) ?? GenAi.errorTypeOf(end.result.result),
          description: "The tool call failed"
        }
        : undefined
  }
}

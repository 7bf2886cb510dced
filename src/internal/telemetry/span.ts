/**
 * Spans of a run, made by hand on effect's `Tracer`: how they begin and end, and
 * what the code that runs inside of them may write on them.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import * as GenAi from "./genAi.ts"
import { AnswerTracer, type ModelCallTracer, OnAttempt } from "./instrumentation.ts"

/**
 * The attributes of a span or a metric. An `undefined` one is left out.
 *
 * @category models
 * @since 0.1.0
 */
export type Attributes = Readonly<Record<string, unknown>>

/**
 * What an export may say of a failure: a type of low cardinality and a fixed text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly type: string
  readonly description: string
}

/**
 * What the spans of a context are made with, looked up once for all spans of a run.
 *
 * @category running
 * @since 0.1.0
 */
export class SpanMaker {
  readonly clock: Clock.Clock
  readonly tracer: Tracer.Tracer
  private readonly isEnabled: boolean
  private readonly hasTimes: boolean
  private readonly parent: Tracer.AnySpan | undefined
  private readonly annotations: Readonly<Record<string, unknown>>
  private readonly links: ReadonlyArray<Tracer.SpanLink>
  private readonly isSampled: boolean

  constructor(context: Context.Context<never>) {
    this.clock = Context.get(context, Clock.Clock)
    this.tracer = Context.get(context, Tracer.Tracer)
    this.isEnabled = Context.get(context, References.TracerEnabled)
    this.hasTimes = Context.get(context, References.TracerTimingEnabled)
    this.parent = Context.getOrUndefined(context, Tracer.ParentSpan)
    this.annotations = Context.get(context, References.TracerSpanAnnotations)
    this.links = Context.get(context, References.TracerSpanLinks)
    const level = Context.get(context, References.CurrentTraceLevel)
    this.isSampled = !LogLevel.isGreaterThan(Context.get(context, References.MinimumTraceLevel), level)
  }

  /**
   * Begins a span, as `Effect.makeSpan` does. There is none when tracing is disabled,
   * or when the tracer throws.
   */
  start(
    name: string,
    kind: Tracer.SpanKind,
    attributes: Attributes,
    time: bigint = this.clock.currentTimeNanosUnsafe(),
    parent: Tracer.AnySpan | undefined = this.parent
  ): Tracer.Span | undefined {
    if (!this.isEnabled) return undefined
    const made = Result.try(() => {
      const above = propagated(parent)
      const span = this.tracer.span({
        name,
        parent: Option.fromUndefinedOr(above),
        annotations: Context.empty(),
        links: this.links.slice(),
        startTime: this.hasTimes ? time : BigInt(0),
        kind,
        root: false,
        sampled: above?.sampled !== false && this.isSampled
      })
      write(span, this.annotations)
      write(span, attributes)
      return span
    })
    return Result.isSuccess(made) ? made.success : undefined
  }

  /**
   * Ends a span. The exit that it ends with carries nothing of the run: tracers
   * export the messages and the stacks of the causes that they are given.
   */
  end(
    span: Tracer.Span,
    attributes: Attributes,
    failure: Failure | undefined,
    time: bigint = this.clock.currentTimeNanosUnsafe()
  ): void {
    write(span, attributes)
    if (failure !== undefined) span.attribute(GenAi.Attribute.errorType, failure.type)
    span.end(
      this.hasTimes ? time : BigInt(0),
      failure === undefined ? Exit.void : Exit.fail({ name: failure.type, message: failure.description })
    )
  }
}

const write = (span: Tracer.Span, attributes: Attributes): void => {
  for (const key in attributes) if (attributes[key] !== undefined) span.attribute(key, attributes[key])
}

/** The nearest span that may have children. */
const propagated = (span: Tracer.AnySpan | undefined): Tracer.AnySpan | undefined => {
  let above = span
  while (above !== undefined && Context.get(above.annotations, Tracer.DisablePropagation)) {
    above = above._tag === "Span" ? Option.getOrUndefined(above.parent) : undefined
  }
  return above
}

/**
 * Begins a span in this context, as `SpanMaker` does.
 *
 * @category running
 * @since 0.1.0
 */
export const start = (
  context: Context.Context<never>,
  name: string,
  kind: Tracer.SpanKind,
  attributes: Attributes
): Tracer.Span | undefined => new SpanMaker(context).start(name, kind, attributes)

/**
 * Ends a span, as `SpanMaker` does.
 *
 * @category running
 * @since 0.1.0
 */
export const end = (
  span: Tracer.Span,
  context: Context.Context<never>,
  attributes: Attributes,
  failure: Failure | undefined
): void => new SpanMaker(context).end(span, attributes, failure)

/**
 * What the code inside of a span sees as the current span: the span itself, except
 * that it cannot end it, that attributes which `accepts` refuses are passed over,
 * and that the causes of log messages stay out unless content is captured.
 *
 * It is a proxy, so that a tracer finds its own class and fields.
 *
 * @category views
 * @since 0.1.0
 */
export const view = (
  span: Tracer.Span,
  captureContent: boolean,
  accepts: Accepts,
  onAttempt?: (context: Context.Context<never>) => void
): Tracer.Span => {
  const own: Pick<Tracer.Span, "attribute" | "event" | "end"> = {
    attribute: (key, value) => {
      if (accepts(key, value)) span.attribute(key, value)
    },
    event: (name, time, attributes) => span.event(name, time, captureContent ? attributes : withoutCause(attributes)),
    end: () => {}
  }
  return new Proxy(span, {
    get: (target, key) => {
      if (key === "attribute" || key === "event" || key === "end") return own[key]
      if (key === OnAttempt) return onAttempt
      const value = Reflect.get(target, key, target)
      return typeof value === "function" ? value.bind(target) : value
    }
  })
}

/**
 * Whether an attribute may be written.
 *
 * @category views
 * @since 0.1.0
 */
export type Accepts = (key: string, value: unknown) => boolean

/** Effect's logger writes the cause of a message, stack and all, on the current span. */
const withoutCause = (attributes: Record<string, unknown> | undefined): Record<string, unknown> | undefined => {
  if (attributes === undefined || !("effect.cause" in attributes)) return attributes
  const { "effect.cause": _, ...rest } = attributes
  return rest
}

/**
 * Whether an attribute may be written from within a run: content only when it is captured.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublic = (captureContent: boolean): Accepts => (key) =>
  captureContent || !GenAi.contentAttributes.has(key)

/**
 * Whether an attribute may be written from within a tool: `Toolkit.handle` writes
 * the name and the arguments of its call on the current span.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublicInTool = (captureContent: boolean): Accepts => {
  const accepts = isPublic(captureContent)
  return (key, value) => key !== "tool" && key !== "parameters" && accepts(key, value)
}

/**
 * Whether a provider may write an attribute on the span of its call. The operation
 * is ours to say, and a plain text was not asked for as a format.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublicInModel = (captureContent: boolean): Accepts => {
  const accepts = isPublic(captureContent)
  return (key, value) =>
    key !== GenAi.Attribute.operationName && !(key === GenAi.Attribute.outputType && value === "text") &&
    accepts(key, value)
}

/**
 * The tracer that the model calls of a run, one after the other, run with: the span
 * that effect's `LanguageModel` opens for a `streamText` of the run is the call's own,
 * so that one call is one span. It is so through spans that middleware puts around the
 * call. A `generateText` of a middleware is a call of its own and keeps its span, and
 * so does a `generateObject`, unless it is the run's way to ask for its answer.
 *
 * @category views
 * @since 0.1.0
 */
export class ModelTracer implements ModelCallTracer {
  readonly context: Tracer.Tracer["context"]
  /** What the call in progress sees as its span. */
  current: Tracer.Span | undefined = undefined
  private readonly tracer: Tracer.Tracer

  constructor(tracer: Tracer.Tracer) {
    this.tracer = tracer
    this.context = tracer.context
  }

  [AnswerTracer](): Tracer.Tracer {
    return Tracer.make({
      span: (options) => {
        const adopted = this.adopt("LanguageModel.generateObject", options)
        adopted?.attribute(GenAi.Attribute.requestStream, false)
        return adopted ?? this.tracer.span(options)
      },
      context: this.context
    })
  }

  span(options: Parameters<Tracer.Tracer["span"]>[0]): Tracer.Span {
    return this.adopt("LanguageModel.streamText", options) ?? this.tracer.span(options)
  }

  private adopt(
    name: string,
    options: Pick<Parameters<Tracer.Tracer["span"]>[0], "name" | "parent">
  ): Tracer.Span | undefined {
    const { current } = this
    return current !== undefined && options.name === name && isBelow(options.parent, current) ? current : undefined
  }
}

const isBelow = (parent: Option.Option<Tracer.AnySpan>, span: Tracer.Span): boolean => {
  let above = Option.getOrUndefined(parent)
  while (above !== undefined && above !== span) {
    above = above._tag === "Span" ? Option.getOrUndefined(above.parent) : undefined
  }
  return above === span
}

/**
 * The spans of a run, made directly with effect's `Tracer`: how they begin and end, and what code inside of them may
 * write.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Exit from "effect/Exit"
import { constVoid } from "effect/Function"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Tracer from "effect/Tracer"
import * as CallSpan from "../words/callSpan.ts"
import * as Text from "../words/text.ts"
import * as GenAi from "./genAi.ts"
import { AnswerTracer, type ModelCallTracer } from "./instrumentation.ts"

/**
 * The attributes of a span or a metric. An attribute that is `undefined` is left out.
 *
 * @category models
 * @since 0.1.0
 */
export type Attributes = Readonly<Record<string, unknown>>

/**
 * The public form of a failure: a type of low cardinality and a fixed text.
 *
 * @category models
 * @since 0.1.0
 */
export interface Failure {
  readonly type: string
  readonly description: string
}

/**
 * Runs telemetry code without effect on the run: an exception is dropped.
 *
 * @category running
 * @since 0.1.0
 */
export const quietly = (f: () => void): void => {
  Result.try(f)
}

/**
 * The seconds between two times.
 *
 * @category running
 * @since 0.1.0
 */
export const seconds = (from: bigint, to: bigint): number => Number(to - from) / 1e9

/**
 * The services and settings that spans in a context need, looked up once for all spans of a run.
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
  /** The parent of the last span, and what its children know of it. Most spans of a run have the same one. */
  private above:
    | { readonly parent: Tracer.AnySpan | undefined; readonly option: Option.Option<Tracer.AnySpan> }
    | undefined = undefined

  /** Of the annotations in the context, only those that `accepts` allows are written. */
  constructor(context: Context.Context<never>, accepts: Accepts = isPublic(false)) {
    this.clock = Context.get(context, Clock.Clock)
    this.tracer = Context.get(context, Tracer.Tracer)
    this.isEnabled = Context.get(context, References.TracerEnabled)
    this.hasTimes = Context.get(context, References.TracerTimingEnabled)
    this.parent = Context.getOrUndefined(context, Tracer.ParentSpan)
    const annotations = Context.get(context, References.TracerSpanAnnotations)
    this.annotations = Object.fromEntries(Object.entries(annotations).filter(([key, value]) => accepts(key, value)))
    this.links = Context.get(context, References.TracerSpanLinks)
    const level = Context.get(context, References.CurrentTraceLevel)
    this.isSampled = !LogLevel.isGreaterThan(Context.get(context, References.MinimumTraceLevel), level)
  }

  /**
   * Begins a span like `Effect.makeSpan`. Returns none if tracing is disabled, or if the tracer throws.
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
      const above = this.aboveOf(parent)
      const span = this.tracer.span({
        name: Text.wellFormed(name),
        parent: above,
        annotations: Context.empty(),
        links: this.links.slice(),
        startTime: this.hasTimes ? time : BigInt(0),
        kind,
        root: false,
        sampled: this.isSampled && (Option.isNone(above) || above.value.sampled)
      })
      writeAll(span, this.annotations)
      writeAll(span, attributes)
      return span
    })
    return Result.isSuccess(made) ? made.success : undefined
  }

  private aboveOf(parent: Tracer.AnySpan | undefined): Option.Option<Tracer.AnySpan> {
    if (this.above === undefined || this.above.parent !== parent) {
      this.above = { parent, option: Option.fromUndefinedOr(propagated(parent)) }
    }
    return this.above.option
  }

  /**
   * Ends a span. Its exit contains nothing of the run, because tracers export the messages and stacks of causes.
   */
  end(span: Tracer.Span, failure: Failure | undefined, time: bigint = this.clock.currentTimeNanosUnsafe()): void {
    if (failure !== undefined) span.attribute(GenAi.Attribute.errorType, failure.type)
    span.end(
      this.hasTimes ? time : BigInt(0),
      failure === undefined ? Exit.void : Exit.fail({ name: failure.type, message: failure.description })
    )
  }
}

/**
 * Writes an attribute, unless its value is `undefined`.
 *
 * @category running
 * @since 0.1.0
 */
export const write = (span: Tracer.Span, key: string, value: unknown): void => {
  if (value !== undefined) put(span, key, value)
}

/** There are several attributes for each span, and most of them are texts and numbers. */
const put = (span: Tracer.Span, key: string, value: unknown): void => {
  const isNumber = typeof value === "number"
  span.attribute(
    key,
    isNumber ? value : typeof value === "string" ? Text.wellFormed(value) : Text.wellFormedValue(value)
  )
}

const writeAll = (span: Tracer.Span, attributes: Attributes): void => {
  for (const key in attributes) write(span, key, attributes[key])
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
 * Begins a span in this context, like `SpanMaker`.
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
 * Ends a span, like `SpanMaker`.
 *
 * @category running
 * @since 0.1.0
 */
export const end = (
  span: Tracer.Span,
  context: Context.Context<never>,
  attributes: Attributes,
  failure: Failure | undefined
): void => {
  writeAll(span, attributes)
  new SpanMaker(context).end(span, failure)
}

/**
 * Returns the span that the code inside sees as the current span. The code cannot end it, attributes that `accepts`
 * refuses are ignored, and the causes of log messages are not written unless content is captured.
 *
 * It is a proxy, so that a tracer finds its own class and fields.
 *
 * @category views
 * @since 0.1.0
 */
export const view = (
  span: Tracer.Span,
  captureContent: boolean,
  accepts: Accepts
): Tracer.Span => new Proxy(span, new View(captureContent, accepts))

/** There is one for each call, and most of them write little on it. */
class View implements ProxyHandler<Tracer.Span> {
  private readonly captureContent: boolean
  private readonly accepts: Accepts
  private attribute: Tracer.Span["attribute"] | undefined = undefined

  constructor(captureContent: boolean, accepts: Accepts) {
    this.captureContent = captureContent
    this.accepts = accepts
  }

  get(span: Tracer.Span, key: string | symbol): unknown {
    switch (key) {
      case "attribute":
        return this.attribute ??= (key, value) => {
          if (this.accepts(key, value)) put(span, key, value)
        }
      case "event":
        return (...[name, time, attributes]: Parameters<Tracer.Span["event"]>) =>
          span.event(Text.wellFormed(name), time, eventAttributes(attributes, this.captureContent))
      case "end":
        return constVoid
      default: {
        const value = Reflect.get(span, key, span)
        return typeof value === "function" ? value.bind(span) : value
      }
    }
  }
}

/**
 * Decides whether an attribute may be written.
 *
 * @category views
 * @since 0.1.0
 */
export type Accepts = (key: string, value: unknown) => boolean

/** Effect's logger writes annotations, and the cause of a message with its stack, on the current span. */
const eventAttributes = (
  attributes: Record<string, unknown> | undefined,
  captureContent: boolean
): Record<string, unknown> | undefined => {
  if (attributes === undefined) return undefined
  const isHidden = (key: string) => !captureContent && (key === "effect.cause" || GenAi.contentAttributes.has(key))
  const keys = Object.keys(attributes)
  return Text.wellFormedValue(
    keys.some(isHidden)
      ? Object.fromEntries(keys.filter((key) => !isHidden(key)).map((key) => [key, attributes[key]]))
      : attributes
  )
}

/**
 * A span that begins when it is first needed: by code that makes a child span, or by code that ends it. The code inside
 * gets a view of it.
 *
 * @category views
 * @since 0.1.0
 */
export class LateSpan implements ProxyHandler<Tracer.Span> {
  readonly view: Tracer.Span
  private readonly start: () => Tracer.Span | undefined
  private readonly parent: Tracer.Span
  private readonly captureContent: boolean
  private readonly accepts: Accepts
  private made: { readonly span: Tracer.Span | undefined } | undefined = undefined
  private seen: Tracer.Span | undefined = undefined

  /** If no span can be made, the code inside sees the parent. */
  constructor(start: () => Tracer.Span | undefined, parent: Tracer.Span, captureContent: boolean, accepts: Accepts) {
    this.start = start
    this.parent = parent
    this.captureContent = captureContent
    this.accepts = accepts
    this.view = new Proxy({} as Tracer.Span, this)
  }

  begin(): Tracer.Span | undefined {
    return (this.made ??= { span: this.start() }).span
  }

  /** The span, if it has begun. */
  get begun(): Tracer.Span | undefined {
    return this.made?.span
  }

  private current(): Tracer.Span {
    if (this.seen !== undefined) return this.seen
    const span = this.begin()
    return this.seen = span === undefined ? this.parent : view(span, this.captureContent, this.accepts)
  }

  get(_: Tracer.Span, key: string | symbol): unknown {
    return key === "_tag" ? "Span" : key === CallSpan.Above ? this.parent : Reflect.get(this.current(), key)
  }

  has(_: Tracer.Span, key: string | symbol): boolean {
    return Reflect.has(this.current(), key)
  }

  getPrototypeOf(): object | null {
    return Reflect.getPrototypeOf(this.current())
  }
}

/**
 * Decides whether code inside of a run may write an attribute: content only if it is captured.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublic = (captureContent: boolean): Accepts => (key) =>
  captureContent || !GenAi.contentAttributes.has(key)

/**
 * Decides whether code inside of a tool may write an attribute. `Toolkit.handle` writes the name and arguments of its
 * call on the current span.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublicInTool = (captureContent: boolean): Accepts => {
  const accepts = isPublic(captureContent)
  return (key, value) => key !== "tool" && key !== "parameters" && accepts(key, value)
}

/**
 * Decides whether a provider may write an attribute on the span of its call. The operation is set by this package, and
 * plain text is not an output format that was asked for.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublicInModel = (captureContent: boolean): Accepts => {
  const accepts = isPublic(captureContent)
  return (key, value) =>
    key !== GenAi.Attribute.operationName && key !== GenAi.Attribute.requestStream &&
    !(key === GenAi.Attribute.outputType && value === "text") &&
    accepts(key, value)
}

/**
 * The tracer for the model calls of a run, which follow each other. effect's `LanguageModel` opens a span for the
 * `streamText` of the run; this tracer returns the span of the call for it, so that one call has one span, also below
 * the spans of middleware. A `generateText` by a middleware is a call of its own and keeps its own span. So does a
 * `generateObject`, unless the run uses it to ask for its answer.
 *
 * @category views
 * @since 0.1.0
 */
export class ModelTracer implements ModelCallTracer {
  readonly context: Tracer.Tracer["context"]
  /** The span that the call in progress sees. */
  current: Tracer.Span | undefined = undefined
  /** Called for each method of the model that is used in the call. */
  onMethod: OnMethod | undefined = undefined
  private readonly tracer: Tracer.Tracer

  constructor(tracer: Tracer.Tracer) {
    this.tracer = tracer
    this.context = tracer.context
  }

  [AnswerTracer](): Tracer.Tracer {
    return Tracer.make({
      span: (options) => {
        this.tell(options)
        return this.adopt("LanguageModel.generateObject", options) ?? this.tracer.span(options)
      },
      context: this.context
    })
  }

  span(options: Parameters<Tracer.Tracer["span"]>[0]): Tracer.Span {
    this.tell(options)
    return this.adopt("LanguageModel.streamText", options) ?? this.tracer.span(options)
  }

  private tell({ name, parent }: Pick<Parameters<Tracer.Tracer["span"]>[0], "name" | "parent">): void {
    const method = methods[name]
    const { current, onMethod } = this
    if (method !== undefined && current !== undefined && isBelow(parent, current)) onMethod?.(method)
  }

  private adopt(
    name: string,
    options: Pick<Parameters<Tracer.Tracer["span"]>[0], "name" | "parent">
  ): Tracer.Span | undefined {
    const { current } = this
    return current !== undefined && options.name === name && isBelow(options.parent, current) ? current : undefined
  }
}

/**
 * The kind of method by which a model was called.
 *
 * @category models
 * @since 0.1.0
 */
export type OnMethod = (method: "stream" | "generate") => void

const methods: Readonly<Record<string, "stream" | "generate" | undefined>> = {
  "LanguageModel.streamText": "stream",
  "LanguageModel.generateText": "generate",
  "LanguageModel.generateObject": "generate"
}

const isBelow = (parent: Option.Option<Tracer.AnySpan>, span: Tracer.Span): boolean => {
  let above = Option.getOrUndefined(parent)
  while (above !== undefined && above !== span) {
    above = above._tag === "Span" ? Option.getOrUndefined(above.parent) : undefined
  }
  return above === span
}

/**
 * Spans of a run, made by hand on effect's `Tracer`: how they begin and end, and
 * what the code that runs inside of them may write on them.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Tracer from "effect/Tracer"
import * as GenAi from "./genAi.ts"
import { answerTracers } from "./instrumentation.ts"

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
 * Begins a span in this context, as `Effect.makeSpan` does. There is none when
 * tracing is disabled, or when the tracer throws.
 *
 * @category running
 * @since 0.1.0
 */
export const start = (
  context: Context.Context<never>,
  name: string,
  kind: Tracer.SpanKind,
  attributes: Attributes
): Tracer.Span | undefined => {
  if (!Context.get(context, References.TracerEnabled)) return undefined
  const made = Effect.runForkWith(context)(Effect.makeSpan(name, { kind, attributes: defined(attributes) }))
  const exit = made.pollUnsafe()
  return exit !== undefined && Exit.isSuccess(exit) ? exit.value : undefined
}

/**
 * Ends a span. The exit that it ends with carries nothing of the run: tracers
 * export the messages and the stacks of the causes that they are given.
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
  const all = defined(attributes)
  for (const key in all) span.attribute(key, all[key])
  if (failure !== undefined) span.attribute(GenAi.Attribute.errorType, failure.type)
  const time = Context.get(context, References.TracerTimingEnabled)
    ? Context.get(context, Clock.Clock).currentTimeNanosUnsafe()
    : BigInt(0)
  span.end(time, failure === undefined ? Exit.void : Exit.fail({ name: failure.type, message: failure.description }))
}

const defined = (attributes: Attributes): Record<string, unknown> => {
  const out: Record<string, unknown> = {}
  for (const key in attributes) if (attributes[key] !== undefined) out[key] = attributes[key]
  return out
}

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
  accepts: (key: string, value: unknown) => boolean
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
      const value = Reflect.get(target, key, target)
      return typeof value === "function" ? value.bind(target) : value
    }
  })
}

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
export const isPublic = (captureContent: boolean) => (key: string): boolean =>
  captureContent || !GenAi.contentAttributes.has(key)

/**
 * Whether an attribute may be written from within a tool: `Toolkit.handle` writes
 * the name and the arguments of its call on the current span.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublicInTool = (captureContent: boolean) => (key: string): boolean =>
  key !== "tool" && key !== "parameters" && isPublic(captureContent)(key)

/**
 * Whether a provider may write an attribute on the span of its call. The operation
 * is ours to say, and a plain text was not asked for as a format.
 *
 * @category views
 * @since 0.1.0
 */
export const isPublicInModel = (captureContent: boolean) => (key: string, value: unknown): boolean =>
  key !== GenAi.Attribute.operationName && !(key === GenAi.Attribute.outputType && value === "text") &&
  isPublic(captureContent)(key)

/**
 * The tracer that a model call runs with: the span that effect's `LanguageModel`
 * opens for a `streamText` of the run is the call's own, so that one call is one
 * span. It is so through spans that middleware puts around the call. A
 * `generateText` of a middleware is a call of its own and keeps its span, and so does
 * a `generateObject`, unless it is the run's way to ask for its answer.
 *
 * @category views
 * @since 0.1.0
 */
export const modelTracer = (tracer: Tracer.Tracer, current: Tracer.Span): Tracer.Tracer => {
  const adopting = (name: string, onAdopt?: () => void) =>
    Tracer.make({
      span: (options) => {
        if (options.name !== name || !isBelow(options.parent, current)) return tracer.span(options)
        onAdopt?.()
        return current
      },
      context: tracer.context
    })
  const streaming = adopting("LanguageModel.streamText")
  answerTracers.set(
    streaming,
    () => adopting("LanguageModel.generateObject", () => current.attribute(GenAi.Attribute.requestStream, false))
  )
  return streaming
}

const isBelow = (parent: Option.Option<Tracer.AnySpan>, span: Tracer.Span): boolean => {
  let above = Option.getOrUndefined(parent)
  while (above !== undefined && above !== span) {
    above = above._tag === "Span" ? Option.getOrUndefined(above.parent) : undefined
  }
  return above === span
}

/**
 * The OpenTelemetry SDK for Node, ready for agent runs.
 *
 * `layer` is the `NodeSdk` of `@effect/opentelemetry` together with `AgentTelemetry.layer`. `layerTracer` is for a
 * program that sets up its own tracer.
 *
 * **Example** (Tracing a run)
 *
 * ```ts
 * import { InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
 * import { Console, Effect, Layer } from "effect"
 * import { Agent } from "effect-agents"
 * import { NodeTelemetry } from "effect-agents/otel"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const exporter = new InMemorySpanExporter()
 *
 * const program = Effect.gen(function*() {
 *   yield* Agent.run(Agent.make("greeter", {}), { prompt: "Hello?" })
 *   for (const span of exporter.getFinishedSpans()) yield* Console.log(span.name)
 * })
 *
 * const TelemetryLive = NodeTelemetry.layer(() => ({
 *   resource: { serviceName: "example" },
 *   spanProcessor: new SimpleSpanProcessor(exporter)
 * }))
 * const ModelLive = ScriptedModel.model([ScriptedModel.text("Hello you")], { name: "small" })
 *
 * Effect.runPromise(Effect.provide(program, Layer.merge(TelemetryLive, ModelLive)))
 * // => chat small
 * // => invoke_agent greeter
 * ```
 *
 * @since 0.1.0
 */
import * as NodeSdk from "@effect/opentelemetry/NodeSdk"
import type * as Resource from "@effect/opentelemetry/Resource"
import * as Otel from "@opentelemetry/api"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type { LazyArg } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Predicate from "effect/Predicate"
import * as Tracer from "effect/Tracer"
import * as AgentTelemetry from "../AgentTelemetry.ts"

/**
 * The configuration of the SDK, and the options of `AgentTelemetry.layer`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends NodeSdk.Configuration, AgentTelemetry.Options {}

/**
 * Layer that exports agent runs, and everything else that effect traces, measures and logs, through the OpenTelemetry
 * SDK for Node.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: {
  (evaluate: LazyArg<Options>): Layer.Layer<Resource.Resource>
  <E, R>(evaluate: Effect.Effect<Options, E, R>): Layer.Layer<Resource.Resource, E, R>
} = (evaluate: LazyArg<Options> | Effect.Effect<Options, any, any>): Layer.Layer<Resource.Resource> =>
  Layer.unwrap(Effect.map(
    // its error and services are those of the overload
    Effect.isEffect(evaluate) ? evaluate as Effect.Effect<Options> : Effect.sync(evaluate),
    ({ captureContent, compat, maxContentLength, ...sdk }) =>
      Layer.merge(AgentTelemetry.layer({ captureContent, compat, maxContentLength }), layerTracer).pipe(
        Layer.provideMerge(NodeSdk.layer(() => sdk))
      )
  ))

/**
 * Layer that makes the current OpenTelemetry tracer end its GenAI spans by the conventions: a successful operation
 * leaves the status unset, and a failure with an `error.type` adds no exception event.
 *
 * Effect's tracer sets OK on every success. Other spans, and spans of other tracers, stay as they are. Operations that
 * follow each other in a span share their OpenTelemetry context, which effect's tracer makes for each of them.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTracer: Layer.Layer<never> = Layer.effect(
  Tracer.Tracer,
  Effect.map(Tracer.Tracer, (tracer) =>
    Tracer.make({
      span: (options) => {
        const span = tracer.span(options)
        return isOtelSpan(span) ? withGenAiEnd(span) : span
      },
      context: tracer.context && sharingContexts(tracer.context)
    }))
)

type InContext = NonNullable<Tracer.Tracer["context"]>

const sharingContexts = (inContext: InContext): InContext => {
  let last:
    | { readonly active: Otel.Context; readonly span: Tracer.AnySpan; readonly context: Otel.Context }
    | undefined
  return (primitive, fiber) => {
    const { span } = fiber.cache
    if (span === undefined) return primitive["~effect/Effect/evaluate"](fiber)
    const active = Otel.context.active()
    if (last !== undefined && last.span === span && last.active === active) {
      return Otel.context.with(last.context, () => primitive["~effect/Effect/evaluate"](fiber))
    }
    const remembering: typeof primitive = {
      "~effect/Effect/evaluate": (fiber) => {
        last = { active, span, context: Otel.context.active() }
        return primitive["~effect/Effect/evaluate"](fiber)
      }
    }
    return inContext(remembering, fiber)
  }
}

/** The part of a span of `@effect/opentelemetry` that is used here. */
interface OtelSpan extends Tracer.Span {
  readonly span: Otel.Span
  status: Tracer.SpanStatus
}

const isOtelSpan = (span: Tracer.Span): span is OtelSpan =>
  Predicate.hasProperty(span, "span") && Predicate.hasProperty(span.span, "setStatus")

const withGenAiEnd = (span: OtelSpan): OtelSpan => {
  const end = span.end
  span.end = (endTime, exit) => {
    const isGenAi = span.attributes.has("gen_ai.operation.name")
    if (!isGenAi || span.status._tag === "Ended" || exit._tag === "Failure" && !span.attributes.has("error.type")) {
      return end.call(span, endTime, exit)
    }
    span.status = { _tag: "Ended", startTime: span.status.startTime, endTime, exit }
    if (exit._tag === "Failure") {
      span.span.setStatus({
        code: Otel.SpanStatusCode.ERROR,
        message: Cause.prettyErrors(exit.cause)[0]?.message ?? ""
      })
    }
    span.span.end([Number(endTime / nanosPerSecond), Number(endTime % nanosPerSecond)])
  }
  return span
}

const nanosPerSecond = BigInt(1_000_000_000)

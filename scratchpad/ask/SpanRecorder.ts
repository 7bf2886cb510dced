/**
 * A tracer that keeps its spans in memory, in the order in which they began, and gives each run its own metrics.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Tracer from "effect/Tracer"

/** Service for the spans and metrics that were recorded so far. */
export class SpanRecorder extends Context.Service<SpanRecorder, {
  readonly spans: Effect.Effect<ReadonlyArray<Tracer.NativeSpan>>
  readonly metrics: Effect.Effect<ReadonlyArray<Metric.Metric.Snapshot>>
}>()("ask/SpanRecorder") {}

/** Layer that records the spans and metrics of everything that it is provided to. */
export const layer: Layer.Layer<SpanRecorder> = Layer.effectContext(Effect.sync(() => {
  const spans: Array<Tracer.NativeSpan> = []
  const registry: Context.Service.Shape<typeof Metric.MetricRegistry> = new Map()
  const tracer = Tracer.make({
    span: (options) => {
      const span = new Tracer.NativeSpan(options)
      spans.push(span)
      return span
    }
  })
  return Context.make(SpanRecorder, {
    spans: Effect.sync(() => [...spans]),
    metrics: Effect.provideService(Metric.snapshot, Metric.MetricRegistry, registry)
  }).pipe(
    Context.add(Tracer.Tracer, tracer),
    Context.add(Metric.MetricRegistry, registry)
  )
}))

/**
 * Spans and metrics as OTLP JSON, the input of an OpenTelemetry collector: one object with `resourceSpans` and
 * `resourceMetrics`.
 *
 * Unlike effect's own exporter it leaves the status of a successful span unset, as the conventions require.
 */
import * as Cause from "effect/Cause"
import type * as Metric from "effect/Metric"
import * as OtlpResource from "effect/observability/OtlpResource"
import * as Option from "effect/Option"
import type * as Tracer from "effect/Tracer"
import * as Text from "./Text.ts"

/** Returns the text of the file. Spans that have not ended are left out. */
export const encode = (options: {
  readonly serviceName: string
  readonly serviceVersion: string
  readonly spans: ReadonlyArray<Tracer.NativeSpan>
  readonly metrics: ReadonlyArray<Metric.Metric.Snapshot>
}): string => {
  const resource = OtlpResource.make(options)
  const scope = { name: options.serviceName, version: options.serviceVersion }
  const times = options.spans.flatMap((span) => span.status._tag === "Ended" ? [span.status] : [])
  const window = {
    startTimeUnixNano: String(times.reduce((start, { startTime }) => startTime < start ? startTime : start, endOfTime)),
    timeUnixNano: String(times.reduce((end, { endTime }) => endTime > end ? endTime : end, 0n))
  }
  return Text.escaped(JSON.stringify(
    {
      resourceSpans: [{ resource, scopeSpans: [{ scope, spans: options.spans.flatMap(encodeSpan) }] }],
      resourceMetrics: [{ resource, scopeMetrics: [{ scope, metrics: encodeMetrics(options.metrics, window) }] }]
    },
    null,
    2
  ))
}

const endOfTime = 2n ** 63n - 1n

const kinds: Record<Tracer.SpanKind, number> = { internal: 1, server: 2, client: 3, producer: 4, consumer: 5 }

const encodeSpan = (span: Tracer.NativeSpan): ReadonlyArray<unknown> => {
  const { status } = span
  if (status._tag === "Started") return []
  return [{
    traceId: span.traceId.padStart(32, "0"),
    spanId: span.spanId,
    ...(Option.isSome(span.parent) ? { parentSpanId: span.parent.value.spanId } : {}),
    name: span.name,
    kind: kinds[span.kind],
    startTimeUnixNano: String(status.startTime),
    endTimeUnixNano: String(status.endTime),
    attributes: OtlpResource.entriesToAttributes(span.attributes),
    events: span.events.map(([name, time, attributes]) => ({
      name,
      timeUnixNano: String(time),
      attributes: OtlpResource.entriesToAttributes(Object.entries(attributes))
    })),
    links: span.links.map((link) => ({
      traceId: link.span.traceId.padStart(32, "0"),
      spanId: link.span.spanId,
      attributes: OtlpResource.entriesToAttributes(Object.entries(link.attributes))
    })),
    status: status.exit._tag === "Failure" && !Cause.hasInterruptsOnly(status.exit.cause)
      ? { code: 2, message: Cause.prettyErrors(status.exit.cause)[0]?.message ?? "" }
      : { code: 0 }
  }]
}

interface Window {
  readonly startTimeUnixNano: string
  readonly timeUnixNano: string
}

const encodeMetrics = (
  snapshots: ReadonlyArray<Metric.Metric.Snapshot>,
  window: Window
): ReadonlyArray<unknown> => {
  const byName = Map.groupBy(snapshots, (snapshot) => snapshot.id)
  return [...byName].flatMap(([name, [first, ...others]]): ReadonlyArray<unknown> => {
    const points = [first, ...others].map((snapshot) => encodePoint(snapshot, window))
    const common = { name, description: first.description ?? "", unit: first.attributes?.["unit"] ?? "1" }
    switch (first.type) {
      case "Counter":
        return [{
          ...common,
          sum: { aggregationTemporality: cumulative, isMonotonic: first.state.incremental, dataPoints: points }
        }]
      case "Gauge":
        return [{ ...common, gauge: { dataPoints: points } }]
      case "Histogram":
        return [{ ...common, histogram: { aggregationTemporality: cumulative, dataPoints: points } }]
      // This program makes no metric of these kinds
      case "Frequency":
      case "Summary":
        return []
    }
  })
}

const cumulative = 2

const encodePoint = (snapshot: Metric.Metric.Snapshot, window: Window): unknown => {
  const attributes = Object.entries(snapshot.attributes ?? {}).filter(([key]) => key !== "unit")
  const common = { ...window, attributes: OtlpResource.entriesToAttributes(attributes) }
  switch (snapshot.type) {
    case "Counter":
      return { ...common, ...encodeNumber(snapshot.state.count) }
    case "Gauge":
      return { ...common, ...encodeNumber(snapshot.state.value) }
    case "Histogram": {
      const { buckets, count, max, min, sum } = snapshot.state
      const bounded = buckets.filter(([bound]) => Number.isFinite(bound))
      // OTLP counts the values within a bucket, effect all values up to its bound
      const upTo = [...bounded.map(([, upTo]) => upTo), count]
      return {
        ...common,
        count: String(count),
        sum,
        ...(count === 0 ? {} : { min, max }),
        explicitBounds: bounded.map(([bound]) => bound),
        bucketCounts: upTo.map((n, index) => String(n - (upTo[index - 1] ?? 0)))
      }
    }
    case "Frequency":
    case "Summary":
      return common
  }
}

const encodeNumber = (value: number | bigint) =>
  typeof value === "bigint" || Number.isInteger(value) ? { asInt: String(value) } : { asDouble: value }

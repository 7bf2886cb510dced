/**
 * Records the metrics of the GenAI conventions, synchronously, in the registry of a run's context.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type * as AgentRun from "../../AgentRun.ts"
import * as Text from "../words/text.ts"
import * as GenAi from "./genAi.ts"

/**
 * The attributes of a metric. An attribute that is `undefined` is left out.
 *
 * @category models
 * @since 0.1.0
 */
export type Attributes = Readonly<Record<string, string | undefined>>

/**
 * The metrics that are recorded with the same attributes. They are kept, because creating a metric costs more than
 * updating it, and there are few: one for each model, tool and type of error.
 *
 * Effect's metrics have no unit, so exporters read it from the attribute `unit`.
 *
 * @category models
 * @since 0.1.0
 */
export class Metrics {
  private readonly attributes: Attributes
  private readonly made = new Map<GenAi.Instrument, Metric.Metric<number, unknown>>()
  private readonly more = new Map<string, Map<string, Metrics>>()

  constructor(attributes: Attributes) {
    this.attributes = attributes
  }

  /** The same metrics with one more attribute, unless its value is `undefined`. */
  with(name: string, value: string | undefined): Metrics {
    if (value === undefined) return this
    let byValue = this.more.get(name)
    if (byValue === undefined) this.more.set(name, byValue = new Map())
    let metrics = byValue.get(value)
    if (metrics === undefined) {
      if (byValue.size >= keptAtMost) byValue.clear()
      byValue.set(value, metrics = new Metrics({ ...this.attributes, [name]: value }))
    }
    return metrics
  }

  /** Returns the metric of an instrument. */
  metric(instrument: GenAi.Instrument): Metric.Metric<number, unknown> {
    let metric = this.made.get(instrument)
    if (metric === undefined) this.made.set(instrument, metric = makeMetric(instrument, this.attributes))
    return metric
  }

  /** Records a value, if there is one. */
  record(context: Context.Context<never>, instrument: GenAi.Instrument, value: number | undefined): void {
    if (value !== undefined) this.metric(instrument).updateUnsafe(value, context)
  }
}

/**
 * Returns the part of a context that metrics read. Both services have a default, and the context of a run is searched to
 * its end before that is used.
 *
 * @category getters
 * @since 0.1.0
 */
export const registryIn = (context: Context.Context<never>): Context.Context<never> =>
  Context.make(Metric.MetricRegistry, Context.get(context, Metric.MetricRegistry)).pipe(
    Context.add(Metric.CurrentMetricAttributes, Context.get(context, Metric.CurrentMetricAttributes))
  )

const kept = new Map<string, Metrics>()
const keptAtMost = 1_024

/**
 * Returns the metrics with these attributes. An attribute that is `undefined` is left out.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (attributes: Attributes): Metrics => {
  let key = ""
  for (const name in attributes) {
    if (attributes[name] !== undefined) key += `\n${name}\n${attributes[name]}`
  }
  let metrics = kept.get(key)
  if (metrics === undefined) {
    if (kept.size >= keptAtMost) kept.clear()
    kept.set(key, metrics = new Metrics(attributes))
  }
  return metrics
}

const makeMetric = (
  { boundaries, description, name, unit }: GenAi.Instrument,
  attributes: Attributes
): Metric.Metric<number, unknown> => {
  const all: Record<string, string> = { unit }
  for (const name in attributes) {
    const attribute = attributes[name]
    if (attribute !== undefined) all[name] = Text.wellFormed(attribute)
  }
  return boundaries === undefined
    ? Metric.counter(name, { description, attributes: all, incremental: true })
    : Metric.histogram(name, { description, attributes: all, boundaries })
}

/**
 * Collects many times, and keeps only what a histogram shows: how many are in each bucket, and their sum. A response
 * has one time for each of its chunks.
 *
 * @category models
 * @since 0.1.0
 */
export class Times {
  private readonly buckets: Array<Bucket | undefined> = []
  private readonly boundaries: ReadonlyArray<number>

  constructor(instrument: GenAi.Instrument) {
    this.boundaries = instrument.boundaries ?? []
  }

  /** Adds a time, in seconds. */
  add(time: number): void {
    const { boundaries } = this
    let index = 0
    while (index < boundaries.length && time > boundaries[index]) index++
    const bucket = this.buckets[index]
    if (bucket === undefined) {
      this.buckets[index] = { count: 1, sum: time, min: time, max: time }
      return
    }
    bucket.count++
    bucket.sum += time
    if (time < bucket.min) bucket.min = time
    else if (time > bucket.max) bucket.max = time
  }

  /** Records as many times as were added: for each bucket the smallest, the largest, and the mean of the others. */
  record(context: Context.Context<never>, metric: Metric.Metric<number, unknown>): void {
    for (const bucket of this.buckets) {
      if (bucket === undefined) continue
      const { count, max, min, sum } = bucket
      metric.updateUnsafe(min, context)
      if (count > 1) metric.updateUnsafe(max, context)
      const mean = count > 2 ? Math.min(max, Math.max(min, (sum - min - max) / (count - 2))) : min
      for (let i = 2; i < count; i++) metric.updateUnsafe(mean, context)
    }
  }
}

interface Bucket {
  count: number
  sum: number
  min: number
  max: number
}

/**
 * The measurements of a model call. Times are in seconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inference {
  readonly duration: number
  readonly timeToFirstChunk: number | undefined
  readonly timesPerOutputChunk: Times | undefined
  readonly usage: AgentRun.Usage
  readonly metrics: Metrics
  readonly errorType: string | undefined
}

/**
 * Records a model call. Tokens that the provider did not report are not recorded.
 *
 * @category running
 * @since 0.1.0
 */
export const recordInference = (context: Context.Context<never>, inference: Inference, compat: boolean): void => {
  const { duration, errorType, metrics, timeToFirstChunk, timesPerOutputChunk, usage } = inference
  const { inputTokens, outputTokens } = usage
  const { Attribute, Instruments } = GenAi
  const failed = metrics.with(Attribute.errorType, errorType)
  failed.record(context, Instruments.inferenceDuration, duration)
  metrics.record(context, Instruments.timeToFirstChunk, timeToFirstChunk)
  timesPerOutputChunk?.record(context, metrics.metric(Instruments.timePerOutputChunk))
  metrics.record(context, Instruments.operationInputTokens, inputTokens.total)
  metrics.record(context, Instruments.operationOutputTokens, outputTokens.total)
  const counted = metrics.with(Attribute.tokenModality, "unknown")
  counted.record(context, Instruments.usageInputTokens, inputTokens.total)
  counted.record(context, Instruments.usageOutputTokens, outputTokens.total)
  counted.record(context, Instruments.usageCacheRead, inputTokens.cacheRead)
  counted.record(context, Instruments.usageCacheWrite, inputTokens.cacheWrite)
  counted.record(context, Instruments.usageReasoning, outputTokens.reasoning)
  if (!compat) return
  metrics.with(Attribute.tokenType, "input").record(context, Instruments.compatTokenUsage, inputTokens.total)
  metrics.with(Attribute.tokenType, "output").record(context, Instruments.compatTokenUsage, outputTokens.total)
  failed.record(context, Instruments.clientOperationDuration, duration)
  metrics.record(context, Instruments.compatTimeToFirstChunk, timeToFirstChunk)
  timesPerOutputChunk?.record(context, metrics.metric(Instruments.compatTimePerOutputChunk))
}

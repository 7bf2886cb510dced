/**
 * Recording the metrics of the GenAI conventions, synchronously, in the registry of
 * a run's context.
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Metric from "effect/Metric"
import type * as AgentRun from "../AgentRun.ts"
import * as GenAi from "./genAi.ts"

/**
 * The attributes of a metric. An `undefined` one is left out.
 *
 * @category models
 * @since 0.1.0
 */
export type Attributes = Readonly<Record<string, string | undefined>>

/**
 * Records one value, several or none of a metric. Effect has no unit of its own:
 * exporters take the attribute `unit` for it.
 *
 * @category running
 * @since 0.1.0
 */
export const record = (
  context: Context.Context<never>,
  instrument: GenAi.Instrument,
  attributes: Attributes,
  value: number | undefined | ReadonlyArray<number>
): void => {
  if (value === undefined) return
  const metric = metricOf(instrument, attributes)
  if (typeof value === "number") return metric.updateUnsafe(value, context)
  for (const one of value) metric.updateUnsafe(one, context)
}

// Making a metric costs more than updating it, and there are few of them: models, tools and types of errors.
const made = new Map<string, Metric.Metric<number, unknown>>()
const madeAtMost = 1_024

const metricOf = (instrument: GenAi.Instrument, attributes: Attributes): Metric.Metric<number, unknown> => {
  let key = instrument.name
  for (const name in attributes) {
    if (attributes[name] !== undefined) key += `\n${name}\n${attributes[name]}`
  }
  const known = made.get(key)
  if (known !== undefined) return known
  const metric = makeMetric(instrument, attributes)
  if (made.size >= madeAtMost) made.clear()
  made.set(key, metric)
  return metric
}

const makeMetric = (
  { boundaries, description, name, unit }: GenAi.Instrument,
  attributes: Attributes
): Metric.Metric<number, unknown> => {
  const all: Record<string, string> = { unit }
  for (const name in attributes) {
    const attribute = attributes[name]
    if (attribute !== undefined) all[name] = attribute
  }
  return boundaries === undefined
    ? Metric.counter(name, { description, attributes: all, incremental: true })
    : Metric.histogram(name, { description, attributes: all, boundaries })
}

/**
 * What is measured of a model call. Times are in seconds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Inference {
  readonly duration: number
  readonly timeToFirstChunk: number | undefined
  readonly timesPerOutputChunk: ReadonlyArray<number>
  readonly usage: AgentRun.Usage
  readonly attributes: Attributes
  readonly errorType: string | undefined
}

/**
 * Records a model call. Tokens that the provider did not report are not recorded.
 *
 * @category running
 * @since 0.1.0
 */
export const recordInference = (context: Context.Context<never>, inference: Inference, compat: boolean): void => {
  const { attributes, duration, errorType, timeToFirstChunk, timesPerOutputChunk, usage } = inference
  const { inputTokens, outputTokens } = usage
  const { Attribute, Instruments } = GenAi
  const failed = { ...attributes, [Attribute.errorType]: errorType }
  record(context, Instruments.inferenceDuration, failed, duration)
  record(context, Instruments.timeToFirstChunk, attributes, timeToFirstChunk)
  record(context, Instruments.timePerOutputChunk, attributes, timesPerOutputChunk)
  record(context, Instruments.operationInputTokens, attributes, inputTokens.total)
  record(context, Instruments.operationOutputTokens, attributes, outputTokens.total)
  const counted = { ...attributes, [Attribute.tokenModality]: "unknown" }
  record(context, Instruments.usageInputTokens, counted, inputTokens.total)
  record(context, Instruments.usageOutputTokens, counted, outputTokens.total)
  record(context, Instruments.usageCacheRead, counted, inputTokens.cacheRead)
  record(context, Instruments.usageCacheWrite, counted, inputTokens.cacheWrite)
  record(context, Instruments.usageReasoning, counted, outputTokens.reasoning)
  if (!compat) return
  const input = { ...attributes, [Attribute.tokenType]: "input" }
  const output = { ...attributes, [Attribute.tokenType]: "output" }
  record(context, Instruments.compatTokenUsage, input, inputTokens.total)
  record(context, Instruments.compatTokenUsage, output, outputTokens.total)
  record(context, Instruments.clientOperationDuration, failed, duration)
  record(context, Instruments.compatTimeToFirstChunk, attributes, timeToFirstChunk)
  record(context, Instruments.compatTimePerOutputChunk, attributes, timesPerOutputChunk)
}

/**
 * Spans and metrics of agent runs, in the GenAI semantic conventions.
 *
 * Provide `AgentTelemetry.layer` to the program that runs an agent, beside the
 * layer of an exporter: `effect/observability`, `@effect/opentelemetry`, or
 * `effect-agents/otel`, which is both. Without it a run makes no span
 * of its own.
 *
 * ```
 * invoke_agent {agent}      one for a run; the agent's own calls are its children
 *   chat {model}            one for a model call, with the calls of its HTTP client
 *   execute_tool {tool}     one for a tool call, with the spans of its handler
 * ```
 *
 * The outcome of a run decides how its spans end. Success leaves the status unset (effect's own exporters write OK). A
 * failure is an ERROR with `error.type`: the tag of the failure or of its reason, the class name of a defect, or
 * `_OTHER`. A run that was interrupted or left early ends as `cancelled`, and so do the calls that were in progress. A
 * tool that fails in a run that goes on is an ERROR of its own span only. Messages, stacks and causes are never
 * exported.
 *
 * **Example** (The spans of a run)
 *
 * ```ts
 * import { Console, Effect, Layer, Tracer } from "effect"
 * import { Agent, AgentTelemetry } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const program = Agent.run(Agent.make("assistant"), { prompt: "Hello" })
 *
 * // stands for the layer of an exporter
 * const names: Array<string> = []
 * const exporter = Layer.succeed(Tracer.Tracer, Tracer.make({
 *   span: (options) => {
 *     names.push(options.name)
 *     return new Tracer.NativeSpan(options)
 *   }
 * }))
 *
 * const model = ScriptedModel.model([ScriptedModel.text("Hello.")])
 *
 * Effect.runPromise(
 *   program.pipe(
 *     Effect.andThen(Effect.suspend(() => Console.log(names.join(", ")))),
 *     Effect.provide([model, AgentTelemetry.layer(), exporter])
 *   )
 * )
 * // => invoke_agent assistant, chat script
 * ```
 *
 * @since 0.1.0
 */

import * as Config from "effect/Config"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import { Instrumentation } from "./internal/telemetry/instrumentation.ts"
import { TracedRun } from "./internal/telemetry/run.ts"

// -----------------------------------------------------------------------------
// Options
// -----------------------------------------------------------------------------

/**
 * What is exported in addition to the conventions' default.
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
   * (with a warning in the log) do not. Default: that variable.
   */
  readonly captureContent?: boolean | undefined
  /**
   * The length in characters at which captured strings are cut, so that the JSON stays valid. Default: 16384; at least
   * 64.
   */
  readonly maxContentLength?: number | undefined
  /**
   * Writes the attribute names of v1.41 of the conventions as well, which most dashboards still read. Default: does
   * not.
   */
  readonly compat?: "v1.41" | undefined
}

// -----------------------------------------------------------------------------
// Layers
// -----------------------------------------------------------------------------

/**
 * Layer that traces and measures the agent runs of the effects it is provided to.
 *
 * **Details**
 *
 * Spans are made with the `Tracer` in the context of the run. They obey `TracerEnabled`, the trace levels and the
 * sampling of the parent. Metrics go into the `MetricRegistry` of the context, even when nothing is traced. An
 * exception in an exporter or in an exported value never reaches the run.
 *
 * A call of a tool that does not exist is an `execute_tool` span without a tool name; its name is an attribute, and
 * `_OTHER` in metrics. A call that was denied has no span. The first chunk of a response is the first array of parts
 * that the model emits, whatever it contains. The time between two chunks includes the time of the consumer.
 *
 * **Gotchas**
 *
 * The spans that a tool, a provider or an HTTP client makes itself are exported as the tracer exports every span: with
 * the message of a failure.
 *
 * Inside a tool the attributes `tool` and `parameters` cannot be set on the current span, because effect's
 * `Toolkit.handle` writes the arguments there.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options?: Options): Layer.Layer<never> =>
  Layer.effect(
    Instrumentation,
    Effect.map(captureContent(options), (captureContent) => {
      const settings = {
        captureContent,
        maxContentLength: Math.max(64, options?.maxContentLength ?? 16_384),
        compat: options?.compat === "v1.41"
      }
      return Instrumentation.of({ startRun: (info, context) => new TracedRun(settings, info, context) })
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

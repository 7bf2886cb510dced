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
 * How a span ends follows from the run's outcome. Success leaves the status unset
 * (an exporter of effect's own writes OK). A failure is an ERROR with `error.type`:
 * the tag of the failure or of its reason, the name of the defect's class, or
 * `_OTHER`. A run that was interrupted or left early ends as `cancelled`, with the
 * calls it was in. A tool that fails is an ERROR of its own span only, when the run
 * goes on. No message, no stack and no cause is ever exported.
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
 * What is exported beside the conventions' default.
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
  /** Where captured strings are cut, in characters, within valid JSON. Default: 16384; at least 64. */
  readonly maxContentLength?: number | undefined
  /** Also writes the names of the conventions at v1.41, which most dashboards still read. Default: it does not. */
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
 * Spans are made with the `Tracer` of the run's context and obey `TracerEnabled`,
 * the trace levels and the parent's sampling. Metrics go into the context's
 * `MetricRegistry`, also when nothing is traced. What an exporter, or a value that
 * is exported, throws never reaches the run.
 *
 * A tool that the model made up is an `execute_tool` without a name, its name an
 * attribute; metrics say `_OTHER`. A tool that was denied has no span. The first
 * chunk of a response is the first array of parts that the model gives, whatever is
 * in it, and the time between two of them includes the consumer's.
 *
 * **Gotchas**
 *
 * The spans that the code of a tool, a provider or an HTTP client makes for itself
 * are exported as the tracer exports any span: a failure in them with its message.
 *
 * Inside a tool, the attributes `tool` and `parameters` cannot be written on the
 * current span: that is where effect's `Toolkit.handle` writes the arguments.
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

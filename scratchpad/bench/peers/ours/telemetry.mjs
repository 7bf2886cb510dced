// Telemetry as the other peers have it: the global provider with an in-memory exporter. "native":
// the same spans, made by effect's own tracer and given to nobody. "bare": the spans of a tool loop,
// made with the OpenTelemetry SDK beside a run that has no telemetry.
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api"
import { Layer } from "effect"
import * as AgentTelemetry from "effect-agents/AgentTelemetry"
import { TOOL_STEPS } from "../../lib/work.mjs"

export const layer = async (kind) => {
  if (kind === "native") return AgentTelemetry.layer()
  const OtelTracer = await import("@effect/opentelemetry/OtelTracer")
  const { NodeTelemetry } = await import("effect-agents/otel")
  return Layer.mergeAll(AgentTelemetry.layer(), NodeTelemetry.layerTracer).pipe(
    Layer.provideMerge(OtelTracer.layerGlobal)
  )
}

const chat = {
  "gen_ai.operation.name": "chat",
  "gen_ai.request.stream": true,
  "effect.ai.tool_choice": "auto",
  "effect.ai.concurrency": "unbounded",
  "gen_ai.response.finish_reasons": ["tool_calls"],
  "gen_ai.response.time_to_first_chunk": 0.001,
  "gen_ai.usage.input_tokens": 10,
  "gen_ai.usage.output_tokens": 5
}
const tool = {
  "gen_ai.operation.name": "execute_tool",
  "gen_ai.tool.name": "add",
  "gen_ai.tool.type": "function",
  "gen_ai.agent.name": "bench",
  "gen_ai.tool.call.id": "call-1"
}

/** One for the run, one for each model call, one for each tool call, each with the attributes it has. */
export const bareSpans = () => {
  const tracer = trace.getTracer("bench")
  let parent
  const span = (name, kind, attributes) => {
    const made = tracer.startSpan(name, { kind }, parent)
    for (const key in attributes) made.setAttribute(key, attributes[key])
    return made
  }
  const end = (made) => {
    made.setStatus({ code: SpanStatusCode.OK })
    made.end()
  }
  const run = span("invoke_agent bench", SpanKind.INTERNAL, { ...chat, "gen_ai.agent.name": "bench" })
  parent = trace.setSpan(ROOT_CONTEXT, run)
  for (let step = 0; step <= TOOL_STEPS; step++) {
    end(span("chat", SpanKind.CLIENT, chat))
    if (step < TOOL_STEPS) end(span("execute_tool add", SpanKind.INTERNAL, tool))
  }
  end(run)
}

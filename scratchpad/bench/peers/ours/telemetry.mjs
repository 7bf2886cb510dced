// Telemetry as the other peers have it: the global provider with an in-memory exporter.
import { Layer } from "effect"

export const layer = async () => {
  const AgentTelemetry = await import("effect-agents/AgentTelemetry").catch(() => undefined)
  if (AgentTelemetry === undefined) return undefined
  const OtelTracer = await import("@effect/opentelemetry/OtelTracer")
  return AgentTelemetry.layer().pipe(Layer.provideMerge(OtelTracer.layerGlobal))
}

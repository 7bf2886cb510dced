// Effect's spans through the global provider that the harness has registered.
import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
export const layer = OtelTracer.layerGlobal

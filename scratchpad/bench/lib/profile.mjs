// node lib/profile.mjs <adapter.mjs#variant> <text|stream|tools|deltas|arrays> [ms] [rows] [otel]: self time of the functions of one run
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { Session } from "node:inspector/promises"

const [target, name, ms = "3000", rows = "35", otel] = process.argv.slice(2)
const [file, variant] = target.split("#")

let spans
if (otel !== undefined) {
  const { NodeTracerProvider } = await import("@opentelemetry/sdk-trace-node")
  const { InMemorySpanExporter, SimpleSpanProcessor } = await import("@opentelemetry/sdk-trace-base")
  spans = new InMemorySpanExporter()
  new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] }).register()
}
const { default: adapter } = await import(pathToFileURL(resolve(file)))
const run = await adapter.setup({ otel: otel === "otel" || (otel ?? false), variant })
const body = { text: run.text, tools: run.tools }[name] ?? (() => run.stream(name === "stream" ? "text" : name))

const during = async (time) => {
  const start = performance.now()
  let runs = 0
  while (performance.now() - start < time) {
    await body()
    runs++
    spans?.reset()
  }
  return (performance.now() - start) * 1e3 / runs
}

await during(1_000)
const session = new Session()
session.connect()
await session.post("Profiler.enable")
await session.post("Profiler.setSamplingInterval", { interval: 200 })
await session.post("Profiler.start")
const us = await during(Number(ms))
const { profile: { nodes, samples, timeDeltas } } = await session.post("Profiler.stop")

const byId = new Map(nodes.map((node) => [node.id, node]))
const functions = new Map()
const files = new Map()
let total = 0
const add = (map, key, time) => map.set(key, (map.get(key) ?? 0) + time)
samples.forEach((id, i) => {
  const { functionName, lineNumber, url } = byId.get(id).callFrame
  const where = url.split("/").slice(-2).join("/")
  add(functions, `${functionName || "(anonymous)"} ${where}:${lineNumber + 1}`, timeDeltas[i])
  add(files, where || functionName, timeDeltas[i])
  total += timeDeltas[i]
})
const descending = (map) => [...map].sort(([, a], [, b]) => b - a)
console.log(`${target} ${name}: ${us.toFixed(1)} µs a run`)
console.log(descending(files).slice(0, 14).map(([file, time]) => `${file} ${(100 * time / total).toFixed(1)}%`).join(", "))
for (const [key, time] of descending(functions).slice(0, Number(rows))) {
  console.log(`${(100 * time / total).toFixed(1).padStart(5)}% ${(us * time / total).toFixed(1).padStart(8)} µs  ${key}`)
}
process.exit(0)

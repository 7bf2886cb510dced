// One variant in a process of its own, driven over IPC by run.mjs.
//
//   node lib/child.mjs <adapter.mjs> <variant> <otel: 0 | 1 | another kind of telemetry that the adapter has>
//
// Every call of every case is checked: the text, the number of deltas, and, counted inside the
// model and inside the tool, how often each of them was called.
import assert from "node:assert/strict"
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { counters, DELTAS, TEXT, TOOL_STEPS } from "./work.mjs"

const [file, variant, otel] = process.argv.slice(2)

// A real tracer provider, registered before the peer is imported: a peer with a copy of
// @opentelemetry/api of its own never sees one that is registered later.
let spans
if (otel !== "0") {
  const { NodeTracerProvider } = await import("@opentelemetry/sdk-trace-node")
  const { InMemorySpanExporter, SimpleSpanProcessor } = await import("@opentelemetry/sdk-trace-base")
  spans = new InMemorySpanExporter()
  globalThis.__benchTracerProvider = new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(spans)] })
  globalThis.__benchTracerProvider.register()
}

const { default: adapter } = await import(pathToFileURL(resolve(file)))
const run = await adapter.setup({ otel: otel === "1" ? true : otel === "0" ? false : otel, variant })

const checked = async (tools, model, body) => {
  const before = { ...counters }
  await body()
  assert.equal(counters.tools - before.tools, tools, "tool calls")
  if (!adapter.ownModel) assert.equal(counters.model - before.model, model, "model calls")
}
const toolRun = async () => assert.equal((await run.tools()).text, TEXT)
const stream = (kind, deltas, text) => () =>
  checked(0, 1, async () => {
    const result = await run.stream(kind)
    assert.equal(result.deltas, deltas)
    assert.equal(result.text, text)
  })
const DELTAS_TEXT = "tok ".repeat(DELTAS)
const concurrent = 100
const cases = {
  text: () => checked(0, 1, async () => assert.equal((await run.text()).text, TEXT)),
  stream: stream("text", 1, TEXT),
  tools: () => checked(TOOL_STEPS, TOOL_STEPS + 1, toolRun),
  tools100: () =>
    checked(TOOL_STEPS * concurrent, (TOOL_STEPS + 1) * concurrent, () =>
      Promise.all(Array.from({ length: concurrent }, toolRun))),
  deltas: stream("deltas", DELTAS, DELTAS_TEXT),
  pulls: stream("pulls", DELTAS, DELTAS_TEXT),
  arrays: stream("arrays", DELTAS, DELTAS_TEXT)
}
const perCall = { tools100: concurrent }

/** Runs a case until the thread has worked for `ms`: on a machine that others use too, the same work each time. */
const measure = async (name, ms) => {
  const body = cases[name]
  let runs = 0
  const before = process.threadCpuUsage()
  const start = process.hrtime.bigint()
  let cpu, us
  do {
    await body()
    spans?.reset()
    runs += perCall[name] ?? 1
    const { system, user } = process.threadCpuUsage(before)
    cpu = system + user
    us = Number(process.hrtime.bigint() - start) / 1e3
  } while (cpu < ms * 1e3 && us < 4 * ms * 1e3)
  return { us: us / runs, cpu: cpu / runs }
}

/** The names of the spans of one call, counted. */
const spansOf = async (name) => {
  spans.reset()
  await cases[name]()
  await new Promise((wake) => setTimeout(wake, 50))
  const names = {}
  for (const span of spans.getFinishedSpans()) names[span.name] = (names[span.name] ?? 0) + 1
  spans.reset()
  return names
}

process.on("message", async ({ ask, name, ms }) => {
  try {
    if (ask === "measure") process.send(await measure(name, ms))
    else process.send({ spans: await spansOf(name) })
  } catch (error) {
    process.send({ error: String(error?.stack ?? error) })
  }
})
process.send(run === null ? { skipped: true } : { cases: adapter.cases ?? ["text", "stream", "tools", "tools100", "deltas"] })

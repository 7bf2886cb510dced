// npm run bench -- [--quick] [--peers a,b] [--rounds n] [--only table|curves|serving|durable|features] [--cpu] [--built]
//
// --quick: fewer and shorter rounds. --built: with what was built last. --cpu: the time that the
// main thread works, not that of the clock, for a machine that others use too.
//
// Installs what is missing, builds this package, runs every peer and prints the tables. Each
// variant lives in a process of its own; they take turns, one at a time, round by round, so that
// a noisy moment of the machine falls on all of them. Ratios are medians of the rounds' ratios.
//
// A whole run writes RESULTS.md and results.svg beside this file, a part of one writes them to results/. With
// `--only serving`, `--only durable` or `--only features` its sections in RESULTS.md are written again, too.
import { execFileSync, fork } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { cpus, totalmem } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { buildOurs } from "./lib/build.mjs"
import { curves } from "./lib/curves.mjs"
import { COLUMNS, markdown, median, svg, withSections } from "./lib/report.mjs"
import { durable } from "./lib/durable.mjs"
import { features } from "./lib/features.mjs"
import { serving } from "./lib/serving.mjs"

const here = dirname(fileURLToPath(import.meta.url))
const { values: flags } = parseArgs({
  options: {
    quick: { type: "boolean", default: false },
    peers: { type: "string" },
    rounds: { type: "string" },
    only: { type: "string" },
    cpu: { type: "boolean", default: false },
    built: { type: "boolean", default: false }
  }
})

const VARIANTS = [
  { name: "floor", file: "peers/floor/floor.mjs" },
  { name: "effect-agents (direct)", peer: "ours", file: "peers/ours/ours.mjs", variant: "direct" },
  { name: "effect-agents (LanguageModel.make)", peer: "ours", file: "peers/ours/ours.mjs", variant: "make" },
  { name: "effect-agents (ai-sdk)", peer: "ours", file: "peers/ours/ours.mjs", variant: "ai-sdk", telemetry: false },
  { name: "pi-agent-core", peer: "pi", file: "peers/pi/pi.mjs" },
  { name: "effect/ai, no agent", peer: "effect-ai", file: "peers/effect-ai/effect-direct.mjs", telemetry: true },
  { name: "effect/ai Chat", peer: "effect-ai", file: "peers/effect-ai/effect-ai.mjs", telemetry: true },
  { name: "ai (Vercel)", peer: "vercel", file: "peers/vercel/vercel.mjs", telemetry: true },
  { name: "@openai/agents", peer: "openai-agents", file: "peers/openai-agents/openai-agents.mjs" },
  { name: "@google/adk", peer: "adk", file: "peers/adk/adk.mjs", telemetry: true },
  { name: "@strands-agents/sdk", peer: "strands", file: "peers/strands/strands.mjs", telemetry: true },
  { name: "voltagent", peer: "voltagent", file: "peers/voltagent/voltagent.mjs", telemetry: true },
  { name: "langchain", peer: "langgraph", file: "peers/langgraph/langgraph.mjs" },
  { name: "deepagents", file: "peers/deepagents/deepagents.mjs" },
  { name: "mastra", peer: "mastra", file: "peers/mastra/mastra.mjs", telemetry: true }
].map((variant) => ({ ...variant, peer: variant.peer ?? variant.name, telemetry: variant.telemetry ?? variant.peer === "ours" }))

const chosen = flags.peers?.split(",")
const variants = VARIANTS.filter(({ peer, variant }) =>
  chosen === undefined || chosen.includes(peer) || chosen.includes(`${peer}-${variant}`)
)
const rounds = Number(flags.rounds ?? (flags.quick ? 5 : 15))
// until all that a case does is compiled: V8 needs up to three seconds of work, and the first rounds would pay for it
const warmMs = flags.quick ? 500 : 3_000
const firstWarmMs = flags.quick ? 1_500 : 4_000
const roundMs = flags.quick ? 60 : 150

const log = (line) => process.stderr.write(line + "\n")

// --- what is missing ---------------------------------------------------------

const install = (folder) => {
  const { dependencies } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"))
  if (dependencies === undefined || existsSync(join(folder, "node_modules"))) return
  log(`installing ${folder}`)
  execFileSync("npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"], { cwd: folder, stdio: ["ignore", 2, 2] })
}
install(here)
const isOnly = (...parts) => flags.only === undefined || parts.includes(flags.only)
for (const peer of isOnly("table") ? new Set(variants.map(({ peer }) => peer)) : []) {
  if (peer !== "ours") install(join(here, "peers", peer))
}
if (!flags.built) buildOurs(here)

// --- one process for each variant --------------------------------------------

/** `otel`: "0", "1", or a kind of telemetry that the adapter knows. */
const start = async ({ file, name, variant = "" }, otel) => {
  const child = fork(join(here, "lib/child.mjs"), [join(here, file), variant, otel], {
    cwd: here,
    env: {
      ...process.env,
      NODE_NO_WARNINGS: "1",
      OPENAI_API_KEY: "none",
      ANTHROPIC_API_KEY: "",
      VOLTAGENT_LOG_LEVEL: "silent",
      VOLTAGENT_TELEMETRY_DISABLED: "true",
      MASTRA_TELEMETRY_DISABLED: "1"
    },
    stdio: ["ignore", "ignore", "inherit", "ipc"]
  })
  const reply = () =>
    new Promise((resolve) => {
      const onExit = (code) => resolve({ error: `exited with ${code}` })
      child.once("exit", onExit)
      child.once("message", (message) => {
        child.off("exit", onExit)
        resolve(message)
      })
    })
  const ready = await reply()
  const ask = async (message) => {
    if (!child.connected) return { error: "gone" }
    child.send(message)
    const answer = await reply()
    if (answer.error) log(`${name}: ${message.name}: ${answer.error.slice(0, 600)}`)
    return answer
  }
  return { name, ready, ask, stop: () => child.kill() }
}

/** Rounds of one case over several processes, in turn. Returns µs per run, by process. */
const takeTurns = async (processes, name) => {
  const us = new Map(processes.map((p) => [p, []]))
  const broken = new Set()
  for (const p of processes) {
    if ((await p.ask({ ask: "measure", name, ms: p.isWarm ? warmMs : firstWarmMs })).error) broken.add(p)
    p.isWarm = true
  }
  for (let round = 0; round < rounds; round++) {
    for (const p of processes) {
      if (!broken.has(p)) us.get(p).push((await p.ask({ ask: "measure", name, ms: roundMs }))[flags.cpu ? "cpu" : "us"] ?? NaN)
    }
  }
  return us
}

const table = async () => {
  const live = []
  for (const variant of variants) {
    const p = await start(variant, "0")
    if (p.ready.error) log(`${variant.name}: ${p.ready.error}`)
    else live.push({ ...p, cases: p.ready.cases, peer: variant.peer, us: {} })
  }
  for (const { key } of COLUMNS) {
    const having = live.filter(({ cases }) => cases.includes(key))
    log(`${key}: ${having.length} variants, ${rounds} rounds`)
    const us = await takeTurns(having, key)
    for (const p of having) p.us[key] = us.get(p)
  }
  for (const p of live) p.stop()
  return live.map(({ name, peer, us }) => ({ name, peer, us }))
}

/** The tool loop with telemetry and without, in turn. */
const telemetry = async () => {
  const rows = []
  for (const variant of variants.filter((variant) => variant.telemetry)) {
    const [off, on] = [await start(variant, "0"), await start(variant, "1")]
    if (!on.ready.error && !on.ready.skipped && !off.ready.error) {
      log(`telemetry: ${variant.name}`)
      const { spans = {} } = await on.ask({ ask: "spans", name: "tools" })
      if (Object.keys(spans).length > 0) {
        const us = await takeTurns([off, on], "tools")
        const [without, having] = [us.get(off), us.get(on)]
        rows.push({ name: variant.name, spans, off: median(without), on: median(having), ratio: having.map((x, i) => x / without[i]) })
      }
    }
    off.stop()
    on.stop()
  }
  return rows
}

/** The tool loop of this package with parts of what telemetry does, in turn. */
const spans = async () => {
  const ours = variants.find(({ peer, variant }) => peer === "ours" && variant === "direct")
  if (ours === undefined) return []
  const kinds = [
    ["0", "telemetry off"],
    ["native", "telemetry on, effect's own tracer: nothing is exported"],
    ["bare", "telemetry off, and the same 22 spans made with the OpenTelemetry SDK beside the run"],
    ["1", "telemetry on, the OpenTelemetry SDK through @effect/opentelemetry"]
  ]
  log("telemetry: parts")
  const processes = []
  for (const [kind] of kinds) processes.push(await start(ours, kind))
  const us = await takeTurns(processes, "tools")
  for (const p of processes) p.stop()
  return processes.map((p, i) => ({ name: kinds[i][1], us: us.get(p) }))
}

// --- results -----------------------------------------------------------------

const results = {
  date: new Date().toISOString().slice(0, 10),
  machine: `${cpus().length} cores, ${cpus()[0].model.trim()}, ${Math.round(totalmem() / 2 ** 30)} GB`,
  node: process.version,
  command: ["npm run bench", ...(process.argv.length > 2 ? ["--", ...process.argv.slice(2)] : [])].join(" "),
  version: JSON.parse(readFileSync(join(here, "../../package.json"), "utf8")).version,
  rounds,
  clock: flags.cpu ? "CPU time of the main thread" : "time",
  table: isOnly("table") ? await table() : [],
  telemetry: isOnly("table") ? await telemetry() : [],
  spans: isOnly("table") ? await spans() : [],
  serving: [
    ...isOnly("serving") ? await serving(here, { quick: flags.quick, log }) : [],
    ...isOnly("durable") ? durable(here, { quick: flags.quick, log }) : [],
    ...isOnly("features") ? features(here, { quick: flags.quick, log }) : []
  ],
  curves: isOnly("curves") ? await curves(here, { quick: flags.quick, log }) : []
}

const text = markdown(results)
const whole = !flags.quick && chosen === undefined && flags.only === undefined
const folder = whole ? here : join(here, "results")
mkdirSync(folder, { recursive: true })
writeFileSync(join(folder, "RESULTS.md"), text)
if (results.table.length > 0) writeFileSync(join(folder, "results.svg"), svg(results))
if (["serving", "durable", "features"].includes(flags.only) && !flags.quick) {
  const file = join(here, "RESULTS.md")
  writeFileSync(file, withSections(readFileSync(file, "utf8"), results))
}
console.log(text)

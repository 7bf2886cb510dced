// What it costs to load this package: its modules, and a program that was bundled, as for a serverless function.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { gzipSync } from "node:zlib"
import { build } from "vite"
import { ourFolder } from "./build.mjs"

const number = (x) => Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2)
const median = (xs) => [...xs].sort((a, b) => a - b)[xs.length >> 1]

/** The modules of effect that the core imports, by the built files themselves. */
const effectModules = (bench) => {
  const dist = join(ourFolder(bench), "dist")
  const core = [dist, join(dist, "internal")].flatMap((folder) =>
    readdirSync(folder).filter((file) => file.endsWith(".js")).map((file) => join(folder, file))
  )
  const found = core.flatMap((file) =>
    [...readFileSync(file, "utf8").matchAll(/from "(effect\/[^"]+)"/g)].map(([, specifier]) => specifier)
  )
  return [...new Set(found)].sort()
}

/** A program that runs one agent once, and says when it had the answer. */
const answering = `
import * as Agent from "effect-agents/Agent"
import * as DirectLanguageModel from "effect-agents/DirectLanguageModel"
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"

const parts = [
  { type: "text-start", id: "t" },
  { type: "text-delta", id: "t", delta: "Hello." },
  { type: "text-end", id: "t" },
  { type: "finish", reason: "stop", usage: { inputTokens: { total: 1 }, outputTokens: { total: 1 } } }
]
const model = Layer.effect(LanguageModel.LanguageModel)(DirectLanguageModel.make({
  generateText: () => Effect.succeed([]),
  streamText: () => Stream.fromIterable(parts)
}))
const { text } = await Effect.runPromise(Effect.provide(Agent.run(Agent.make("assistant"), { prompt: "Hi" }), model))
if (text !== "Hello.") throw new Error(text)
console.log(performance.now())
`

export const imports = async (bench, node, times, log) => {
  log("curve: imports")
  const cold = (specifiers) =>
    Number(node("--input-type=module", "-e", `
      const start = performance.now()
      for (const specifier of ${JSON.stringify(specifiers)}) await import(specifier)
      console.log(performance.now() - start)
    `))
  const folder = mkdtempSync(join(bench, "peers/ours/node_modules/answering-"))
  try {
    const program = join(folder, "program.mjs")
    writeFileSync(program, answering)
    await build({
      root: folder,
      configFile: false,
      logLevel: "error",
      ssr: { noExternal: true },
      build: { ssr: program, outDir: join(folder, "bundle"), target: "node24", minify: true }
    })
    const bundle = join(folder, "bundle/program.js")
    const empty = join(folder, "empty.mjs")
    writeFileSync(empty, "console.log(performance.now())\n")
    const modules = effectModules(bench)
    const took = { effect: [], ours: [], empty: [], program: [], bundle: [] }
    for (let i = 0; i < times; i++) {
      took.effect.push(cold(modules))
      took.ours.push(cold(["effect-agents"]))
      took.empty.push(Number(node(empty)))
      took.program.push(Number(node(program)))
      took.bundle.push(Number(node(bundle)))
    }
    const code = readFileSync(bundle)
    return [
      {
        title: "Cold import",
        note: `Fresh processes in turn, median of ${times}. The core against the ${modules.length} modules of effect that it imports.`,
        head: ["effect's modules, ms", "effect-agents, ms", "times"],
        rows: [[
          number(median(took.effect)),
          number(median(took.ours)),
          number(median(took.ours.map((ms, i) => ms / took.effect[i])))
        ]]
      },
      {
        title: "First answer",
        note:
          `From the start of a process to the answer of an agent in it; fresh processes in turn, median of ${times}. Bundled: by vite, minified, one file, as for a serverless function.`,
        head: ["program", "ms", "kB", "kB, gzip"],
        rows: [
          ["a process that does nothing", number(median(took.empty)), "", ""],
          ["an agent, bundled", number(median(took.bundle)), number(code.length / 1e3), number(gzipSync(code).length / 1e3)],
          ["an agent, from its modules", number(median(took.program)), "", ""]
        ]
      }
    ]
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

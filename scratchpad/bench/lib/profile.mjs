// node lib/profile.mjs <adapter.mjs#variant> <text|stream|tools|deltas|arrays> [ms] [rows]: self time of the functions of one run
import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
const [file, variant] = process.argv[2].split("#"), c = process.argv[3], ms = +(process.argv[4] ?? 4000)
const { default: a } = await import(pathToFileURL(resolve(file))); const run = await a.setup({ otel: false, variant })
const f = { text: () => run.text(), stream: () => run.stream("text"), deltas: () => run.stream("deltas"), arrays: () => run.stream("arrays"), tools: () => run.tools() }[c]
let t = performance.now(); while (performance.now() - t < 1000) await f()
const { Session } = await import("node:inspector/promises"); const s = new Session(); s.connect(); await s.post("Profiler.enable"); await s.post("Profiler.setSamplingInterval", { interval: 200 }); await s.post("Profiler.start")
t = performance.now(); let n = 0; while (performance.now() - t < ms) { await f(); n++ }
const us = (performance.now() - t) * 1000 / n
const { profile } = await s.post("Profiler.stop")
const self = new Map(), dt = profile.timeDeltas, id = new Map(profile.nodes.map((x) => [x.id, x])); let tot = 0
profile.samples.forEach((sid, i) => { const x = id.get(sid), cf = x.callFrame; const k = `${cf.functionName || "(anon)"} ${cf.url.split("/").slice(-2).join("/")}:${cf.lineNumber + 1}`; self.set(k, (self.get(k) ?? 0) + dt[i]); tot += dt[i] })
console.log(variant, c, us.toFixed(1), "µs/run")
const file2 = new Map(); for (const [k, v] of self) { const f = k.split(" ").at(-1).split(":")[0] || k; file2.set(f, (file2.get(f) ?? 0) + v) }
console.log("by file:", [...file2].sort((a, b) => b[1] - a[1]).slice(0, 12).map(([k, v]) => `${k} ${(100 * v / tot).toFixed(1)}%`).join("  "))
for (const [k, v] of [...self].sort((a, b) => b[1] - a[1]).slice(0, +(process.argv[5] ?? 35))) console.log((100 * v / tot).toFixed(1).padStart(5), (us * v / tot).toFixed(1).padStart(8), "µs", k)
process.exit(0)

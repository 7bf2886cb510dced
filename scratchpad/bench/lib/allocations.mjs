import { resolve } from "node:path"
import { pathToFileURL } from "node:url"
const [file, variant] = process.argv[2].split("#"), c = process.argv[3], ms = +(process.argv[4] ?? 2000)
const { default: a } = await import(pathToFileURL(resolve(file))); const run = await a.setup({ otel: false, variant })
const f = { text: () => run.text(), stream: () => run.stream("text"), deltas: () => run.stream("deltas"), tools: () => run.tools() }[c]
let t = performance.now(); while (performance.now() - t < 1500) await f()
const { Session } = await import("node:inspector/promises"); const s = new Session(); s.connect()
await s.post("HeapProfiler.startSampling", { samplingInterval: 4096, includeObjectsCollectedByMajorGC: true, includeObjectsCollectedByMinorGC: true })
t = performance.now(); let n = 0; while (performance.now() - t < ms) { await f(); n++ }
const { profile } = await s.post("HeapProfiler.stopSampling")
const self = new Map(); let tot = 0
const walk = (x) => { const cf = x.callFrame; const k = `${cf.functionName || "(anon)"} ${cf.url.split("/").slice(-2).join("/")}:${cf.lineNumber + 1}`; self.set(k, (self.get(k) ?? 0) + x.selfSize); tot += x.selfSize; x.children.forEach(walk) }
walk(profile.head)
console.log(variant, c, (tot / n / 1024).toFixed(1), "KB/run")
for (const [k, v] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 40)) console.log((100 * v / tot).toFixed(1).padStart(5), (v / n).toFixed(0).padStart(8), "B", k)
process.exit(0)

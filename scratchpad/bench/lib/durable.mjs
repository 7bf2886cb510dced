// What it costs that a run survives its process: peers/ours/durable.mjs, in a process of its own.
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const median = (times) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]

const shown = (ms) => ms.toFixed(2)

export const durable = (bench, { log, quick }) => {
  log("durable: runs with records")
  const folder = mkdtempSync(join(tmpdir(), "effect-agents-durable-"))
  const [runs, steps] = quick ? [5, 10] : [50, 10]
  const text = execFileSync(
    process.execPath,
    ["peers/ours/durable.mjs", join(folder, "bench.db"), String(runs), String(steps)],
    { cwd: bench, env: { ...process.env, NODE_NO_WARNINGS: "1" }, encoding: "utf8", timeout: 300_000 }
  )
  rmSync(folder, { recursive: true })
  return [{
    title: "A durable run",
    note: `The time of a step: a model call and one or two tool calls, 2.5 records. ${runs} runs of ${
      steps + 1
    } steps, one after the other; median [min-max].`,
    head: ["", "ms a step", "from the answer of an approval to the end, ms"],
    rows: Object.entries(JSON.parse(text)).map(([name, { answered, times }]) => [
      name,
      `${shown(median(times))} [${shown(Math.min(...times))}-${shown(Math.max(...times))}]`,
      answered === undefined ? "" : answered.toFixed(0)
    ])
  }]
}

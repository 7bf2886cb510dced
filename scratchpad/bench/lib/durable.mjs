// What it costs that a run survives its process: peers/ours/durable.mjs, in a process of its own.
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

const at = (times, share) => [...times].sort((a, b) => a - b)[Math.floor(times.length * share)]

const median = (times) => at(times, 0.5)

const shown = (ms) => ms.toFixed(2)

const delay = (delays) => delays === undefined ? "" : `${median(delays).toFixed(0)}, ${at(delays, 0.95).toFixed(0)}`

export const durable = (bench, { log, quick }) => {
  log("durable: runs with records")
  const folder = mkdtempSync(join(tmpdir(), "effect-agents-durable-"))
  const [runs, steps] = quick ? [5, 10] : [50, 10]
  const text = execFileSync(
    process.execPath,
    ["peers/ours/durable.mjs", folder, String(runs), String(steps)],
    { cwd: bench, env: { ...process.env, NODE_NO_WARNINGS: "1" }, encoding: "utf8", timeout: 600_000 }
  )
  rmSync(folder, { recursive: true })
  // the engine may warn before
  const told = Object.entries(JSON.parse(text.trim().split("\n").at(-1)))
  const engines = told.filter(([, { replays }]) => replays !== undefined)
  return [
    {
      title: "A durable run",
      note: `The time of a step: a model call and one or two tool calls, 2.5 records. ${runs} runs of ${
        steps + 1
      } steps, one after the other; median [min-max].`,
      head: ["", "ms a step", "from the answer of an approval to the end, ms"],
      rows: told.map(([name, { answered, times }]) => [
        name,
        `${shown(median(times))} [${shown(Math.min(...times))}-${shown(Math.max(...times))}]`,
        answered === undefined ? "" : answered.toFixed(0)
      ])
    },
    {
      title: "A durable run that goes on",
      note: "An execution that was parked, by the number of its recorded model and tool calls: ms for each of them until " +
        "the first new call, and in brackets all from `Durable.resume` to that call.",
      head: ["", ...engines[0][1].replays.map(({ calls }) => `${calls} calls`)],
      rows: engines.map(([name, { replays }]) => [
        name,
        ...replays.map(({ all, calls, ms }) => `${shown(ms / calls)} [${all.toFixed(0)}]`)
      ])
    },
    {
      title: "Readers of a durable run",
      note: "From a delta of the model, one every 37 ms, to a reader: ms, p50 and p95 of 100. A reader in another process " +
        "asks the database every 50 ms.",
      head: ["", "in the same process", "in another process"],
      rows: engines.map(([name, { delays: { here, there } }]) => [name, delay(here), delay(there)])
    }
  ]
}

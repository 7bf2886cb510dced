// The curves: how cost grows with the work, what a run leaves behind, what an import costs.
import { execFileSync } from "node:child_process"
import { join } from "node:path"
import { ourFolder } from "./build.mjs"
import { imports } from "./imports.mjs"

const number = (x) => Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2)
const count = (n) => n.toLocaleString("en-US")
const median = (xs) => [...xs].sort((a, b) => a - b)[xs.length >> 1]

export const curves = async (bench, { log, quick }) => {
  const options = quick
    ? { steps: 4_000, deltas: 300_000, runs: 1_000, saves: 50, leak: 5_000 }
    : { steps: 20_000, deltas: 2_000_000, runs: 4_000, saves: 200, leak: 20_000 }
  const ours = join(bench, "peers/ours")
  const node = (...args) =>
    execFileSync(process.execPath, args, {
      cwd: ours,
      env: { ...process.env, NODE_NO_WARNINGS: "1" },
      stdio: ["ignore", "pipe", "inherit"],
      encoding: "utf8"
    })
  const measure = (curve) => {
    log(`curve: ${curve}`)
    return JSON.parse(node("--expose-gc", join(ours, "curve.mjs"), curve, JSON.stringify(options)))
  }
  return [
    {
      title: "Steps",
      note: "A run of n steps with one tool call each.",
      head: ["steps", "µs a step"],
      rows: measure("steps").map(({ steps, us }) => [count(steps), number(us)])
    },
    {
      title: "Program calls",
      note: "The time that the main thread works for a call, in runs of ten, without what the same run costs that makes none: a program repeats nothing instead. By a model: a step of a scripted one.",
      head: ["called", "µs a call"],
      rows: measure("program").map(({ call, us }) => [call, number(us)])
    },
    {
      title: "Deltas",
      note: "A consumer that keeps nothing. Held: the heap of the run after the last delta; 4 bytes of it are the text, which is in the result.",
      head: ["deltas", "in arrays of", "µs a delta", "bytes held a delta"],
      rows: measure("deltas").map(({ count: n, heldBytes, size, us }) => [count(n), String(size), us.toFixed(3), number(heldBytes)])
    },
    {
      title: "Concurrent runs",
      note: "10-step tool loops in one process, all at once.",
      head: ["runs at once", "µs a run"],
      rows: measure("concurrent").map(({ count: n, us }) => [count(n), number(us)])
    },
    {
      title: "Sessions in SQLite",
      note: "Two messages appended to a session and saved; and the session loaded.",
      head: ["messages", "save, ms", "load, ms"],
      rows: measure("session").map(({ loadMs, messages, saveMs }) => [count(messages), number(saveMs), number(loadMs)])
    },
    {
      title: "Left behind",
      note: "Heap after full collections, before and after.",
      head: ["outcome", "runs", "bytes kept a run"],
      rows: measure("leak").map(({ bytes, outcome, runs }) => [outcome, count(runs), number(bytes)])
    },
    ...await imports(bench, node, quick ? 5 : 15, log),
    packed(bench)
  ]
}

const packed = (bench) => {
  const [{ entryCount, size, unpackedSize }] = JSON.parse(
    execFileSync("npm", ["pack", "--dry-run", "--json", "--ignore-scripts"], {
      cwd: ourFolder(bench),
      stdio: ["ignore", "pipe", "ignore"],
      encoding: "utf8"
    })
  )
  return {
    title: "Package",
    note: "It depends on effect alone.",
    head: ["files", "packed, kB", "unpacked, kB"],
    rows: [[String(entryCount), number(size / 1e3), number(unpackedSize / 1e3)]]
  }
}

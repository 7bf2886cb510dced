// What each feature costs: peers/ours/features.mjs, in a process of its own.
import { execFileSync } from "node:child_process"

const number = (x) => Math.abs(x) >= 100 ? x.toFixed(0) : Math.abs(x) >= 10 ? x.toFixed(1) : x.toFixed(2)

export const features = (bench, { log, quick }) => {
  log("features: what each of them costs")
  const options = quick ? { rounds: 5, ms: 20, warmMs: 300 } : { rounds: 25, ms: 40, warmMs: 1_500 }
  const text = execFileSync(process.execPath, ["peers/ours/features.mjs", JSON.stringify(options)], {
    cwd: bench,
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
    encoding: "utf8",
    stdio: ["ignore", "pipe", "inherit"],
    timeout: 600_000
  })
  return [{
    title: "What each feature costs",
    note: `The time that the main thread works for a run on \`DirectLanguageModel\`, without any feature and with one. They take turns; median of ${options.rounds} rounds.`,
    head: ["", "µs a run", "more, µs", "times"],
    rows: JSON.parse(text).map(({ base, more, name, times, us }) =>
      name === base ? [`**${name}**`, number(us), "", ""] : [name, number(us), number(more), number(times)]
    )
  }]
}

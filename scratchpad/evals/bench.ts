/**
 * `npm run bench:evals`: what 10,000 trials of a scripted agent cost over its runs alone, in time of the processor, and
 * what they keep in memory.
 */
import { Effect, Stream } from "effect"
import { Eval, Report, Scorer } from "../../src/evals/index.ts"
import { Agent } from "../../src/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"

const trials = 10_000

const agent = Agent.make("assistant")

const experiment = Eval.make("bench", {
  cases: Array.from(
    { length: 100 },
    (_, index) => ({ id: `${index}`, input: "What is the capital?", expected: "Oslo" })
  ),
  task: (prompt: string) => Agent.run(agent, { prompt }),
  scorers: [Scorer.includes(), Scorer.latency()]
})

const model = ScriptedModel.layer(Array.from({ length: trials }, () => ScriptedModel.text("It is Oslo.")))

const options = { trials: trials / 100, trace: "none" } as const

const programs = {
  runs: Effect.forEach(Array.from({ length: trials }), () => Agent.run(agent, { prompt: "What is the capital?" }), {
    discard: true,
    concurrency: 4
  }),
  report: Effect.map(Eval.run(experiment, options), Report.summary),
  stream: Stream.runDrain(Eval.stream(experiment, options))
}

const collect = () => globalThis.gc?.()

const heap = () => process.memoryUsage().heapUsed / 1e6

/** The processor's milliseconds until now: other programs on the machine do not count. */
const now = () => {
  const { system, user } = process.cpuUsage()
  return (system + user) / 1000
}

/** Runs a program, and returns its milliseconds and the megabytes that are left of it after a collection. */
const measure = async (program: Effect.Effect<unknown>) => {
  collect()
  const before = heap()
  const from = now()
  await Effect.runPromise(program)
  const milliseconds = now() - from
  collect()
  return { milliseconds, kept: heap() - before }
}

const best: Record<string, number> = {}
for (let round = 0; round < 3; round++) {
  for (const [name, program] of Object.entries(programs)) {
    const { kept, milliseconds } = await measure(Effect.provide(program, model) as Effect.Effect<unknown>)
    best[name] = Math.min(best[name] ?? Infinity, milliseconds)
    console.log(`round ${round + 1}, ${name}: ${milliseconds.toFixed(0)} ms, ${kept.toFixed(1)} MB more after it`)
  }
}

// in the middle of a stream of trials, the heap does not grow; a scripted model keeps its requests, so each trial has
// one of its own
const fresh = Eval.provide(experiment, ScriptedModel.layer([ScriptedModel.text("It is Oslo.")]))
const samples: Array<number> = []
let seen = 0
await Effect.runPromise(
  Stream.runForEach(Eval.stream(fresh, options), () =>
    Effect.sync(() => {
      if (++seen % 1000 !== 0) return
      collect()
      samples.push(heap())
    }))
)
console.log(`heap after each 1,000 trials of a stream: ${samples.map((_) => _.toFixed(1)).join(", ")} MB`)
console.log(
  `${trials} trials over the runs themselves: ${(best.report - best.runs).toFixed(0)} ms with a report, ` +
    `${(best.stream - best.runs).toFixed(0)} ms as a stream`
)

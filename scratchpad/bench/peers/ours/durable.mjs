// node peers/ours/durable.mjs <folder> <runs> <steps>: what a durable run costs: in memory, on SQLite and on PostgreSQL.
//
// - `times`: a step is a model call and one or two tool calls: 2.5 records.
// - `answered`: from the answer of an approval to the end of the run: the execution is woken, and one tool call and one
//   model call are made.
// - `replays`: an execution that was parked goes on. By the number of recorded calls: from the begin of its run to its first
//   new call, and from `Durable.resume` to there.
// - `delays`: from a delta of the model to a reader in this process, and to one in another process.
//
// node peers/ours/durable.mjs read <folder or URL>: that other process. It prints its delays.
import { PgClient } from "@effect/sql-pg"
import { Effect, Layer, Redacted, Schedule, Schema, Stream } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { WorkflowEngine } from "effect/workflow"
import * as Agent from "effect-agents/Agent"
import * as Approval from "effect-agents/Approval"
import * as ContextProvider from "effect-agents/ContextProvider"
import * as DirectLanguageModel from "effect-agents/DirectLanguageModel"
import * as StopCondition from "effect-agents/StopCondition"
import { Durable, ExecutionStore, SqliteRunner, SqlRunner } from "effect-agents/durable"
import { SqliteClient } from "effect-agents/sqlite"
import { spawn } from "node:child_process"
import { join } from "node:path"
import { inPostgres } from "../../lib/postgres.mjs"

const parameters = Schema.Struct({ n: Schema.Int })
const toolkit = Toolkit.make(
  Tool.make("look", { parameters, success: Schema.String }),
  Tool.make("pay", { parameters, success: Schema.String, needsApproval: true })
)
const tools = toolkit.toLayer({
  look: ({ n }) => Effect.succeed(`found ${n}`),
  pay: ({ n }) => Effect.succeed(`paid ${n}`)
})

/** When the last attempt of a run has begun. */
let begunAt = 0
const watch = ContextProvider.make("watch", {
  beforeRun: () =>
    Effect.sync(() => {
      begunAt = performance.now()
    })
})
const agent = Agent.make("worker", { toolkit, providers: [watch], stopWhen: [StopCondition.stepCount(1000)] })
const durable = Durable.make(agent, { version: 1 })
const ticker = Durable.make(Agent.make("ticker"), { version: 1 })

// --- the models

const usage = { inputTokens: { total: 10 }, outputTokens: { total: 5 } }
const now = () => performance.timeOrigin + performance.now()

const saying = (text) => [
  { type: "text-start", id: "t" },
  { type: "text-delta", id: "t", delta: text },
  { type: "text-end", id: "t" },
  { type: "finish", reason: "stop", usage }
]
const calling = (...calls) => [
  ...calls.map((call) => ({ type: "tool-call", ...call })),
  { type: "finish", reason: "tool-calls", usage }
]

/** When the call after the recorded ones was made, and the executions that were parked. */
let wentOnAt = 0
const parked = new Set()

/** Looks so many times as the prompt says, and then does the last word of it: `done`, `pay` or `park`. */
const answerTo = (prompt) => {
  const asked = JSON.stringify(prompt.content.find(({ role }) => role === "user"))
  const [, steps, then, id] = /(\d+) (\w+) ([\w-]+)/.exec(asked)
  const step = prompt.content.filter(({ role }) => role === "assistant").length
  if (step < Number(steps)) {
    return calling(
      ...Array.from({ length: step % 2 + 1 }, (_, n) => ({ id: `c${step}-${n}`, name: "look", params: { n } }))
    )
  }
  if (then === "pay" && step === Number(steps)) return calling({ id: "pay", name: "pay", params: { n: 1 } })
  if (then === "park" && !parked.has(id)) {
    parked.add(id)
    return undefined
  }
  wentOnAt = performance.now()
  return saying("done")
}

const model = Layer.effect(
  LanguageModel.LanguageModel,
  DirectLanguageModel.make({
    generateText: () => Effect.die("unused"),
    streamText: ({ prompt }) =>
      Stream.suspend(() => {
        const parts = answerTo(prompt)
        return parts === undefined ? Stream.die(new Error("parked")) : Stream.fromIterable(parts)
      })
  })
)

const DELTAS = 100

/** Says what time it is, every 37 milliseconds: between the times at which parts are written. */
const clock = Layer.effect(
  LanguageModel.LanguageModel,
  DirectLanguageModel.make({
    generateText: () => Effect.die("unused"),
    streamText: () =>
      Stream.make({ type: "text-start", id: "t" }).pipe(
        Stream.concat(Stream.range(1, DELTAS).pipe(
          Stream.rechunk(1),
          Stream.mapEffect(() => Effect.delay(Effect.sync(now), 37)),
          Stream.map((now) => ({ type: "text-delta", id: "t", delta: `${now}\n` }))
        )),
        Stream.concat(Stream.make({ type: "text-end", id: "t" }, { type: "finish", reason: "stop", usage }))
      )
  })
)

// --- what is measured

const timed = (effect) => {
  const start = performance.now()
  return Effect.map(effect, (value) => [performance.now() - start, value])
}

const measure = Effect.fnUntraced(function*(isDurable, runs, steps) {
  const one = (id) => {
    const prompt = `${steps} done ${id}`
    return isDurable
      ? Effect.andThen(Durable.start(durable, { id, prompt }), Durable.result(durable, id))
      : Agent.run(agent, { prompt })
  }
  const times = []
  for (let n = 0; n <= runs; n++) {
    const [ms, result] = yield* timed(one(`run-${n}`))
    if (result.text !== "done") return yield* Effect.die(new Error(`The run has said: ${result.text}`))
    // the first one is warm-up
    if (n > 0) times.push(ms / (steps + 1))
  }
  return times
})

/** A run that waits, and goes on when it is answered. */
const answered = Effect.gen(function*() {
  const id = yield* Durable.start(durable, { id: "answered", prompt: "10 pay answered" })
  const open = yield* Effect.repeat(Durable.approvals(durable, id), {
    until: (open) => open.length > 0,
    schedule: Schedule.spaced("5 millis")
  })
  yield* Durable.answer(durable, id, open.map((one) => Approval.approve(one)))
  return (yield* timed(Durable.result(durable, id)))[0]
})

const SIZES = [10, 40, 160]
let nth = 0

/** A run that is parked by a defect after so many steps, and goes on. */
const replays = Effect.forEach(SIZES, (steps) =>
  Effect.gen(function*() {
    const id = yield* Durable.start(durable, { id: `replay-${steps}`, prompt: `${steps} park ${nth++}` })
    yield* Effect.repeat(Durable.status(durable, id), {
      until: ({ status }) => status === "parked",
      schedule: Schedule.spaced("5 millis")
    })
    // the engine notes a little later that it has stopped
    yield* Effect.sleep("200 millis")
    const resumedAt = performance.now()
    yield* Durable.resume(durable, id)
    const { text } = yield* Durable.result(durable, id)
    if (text !== "done") return yield* Effect.die(new Error(`The run has said: ${text}`))
    return { calls: steps * 2.5, ms: wentOnAt - begunAt, all: wentOnAt - resumedAt }
  }))

/** How long each delta takes to this reader. */
const delaysOf = (id) =>
  Effect.gen(function*() {
    const delays = []
    yield* Stream.runForEach(Durable.attach(ticker, id), ({ part }) =>
      Effect.sync(() => {
        if (part.type === "text-delta") delays.push(now() - Number(part.delta))
      }))
    return delays
  })

const elsewhere = (place) =>
  Effect.callback((resume) => {
    const child = spawn(process.execPath, [import.meta.filename, "read", place], { stdio: ["ignore", "pipe", "inherit"] })
    let said = ""
    child.stdout.on("data", (chunk) => said += chunk)
    child.on("close", () => resume(Effect.sync(() => JSON.parse(said))))
  })

const delays = (place) =>
  Effect.gen(function*() {
    const started = Effect.delay(Durable.start(ticker, { id: "ticks", prompt: "Go" }), place === undefined ? 0 : 3000)
    const [, here, there] = yield* Effect.all(
      [started, Effect.delay(attached("ticks"), 50), place === undefined ? Effect.undefined : elsewhere(place)],
      { concurrency: "unbounded" }
    )
    return { here, there }
  })

/** Waits for the execution. */
const attached = (id) =>
  Effect.retry(delaysOf(id), { schedule: Schedule.spaced(20), while: ({ _tag }) => _tag === "ExecutionUnknown" })

// --- the processes

const client = (url) => PgClient.layer({ url: Redacted.make(url) })

const fileIn = (folder) => join(folder, "bench.db")

/** The other process: it reads, and works on nothing. */
const read = (place) =>
  Effect.provide(
    attached("ticks"),
    Layer.provide(
      ExecutionStore.layer,
      place.startsWith("postgres") ? client(place) : SqliteClient.layer({ filename: fileIn(place) })
    )
  )

const all = (engine, place, runs, steps) => {
  const isDurable = engine !== undefined
  return Effect.provide(
    Effect.all({
      times: measure(isDurable, runs, steps),
      answered: isDurable ? answered : Effect.undefined,
      replays: isDurable ? replays : Effect.undefined,
      delays: isDurable ? delays(place) : Effect.undefined
    }),
    (isDurable ? Layer.merge(Durable.layer(durable), Layer.provide(Durable.layer(ticker), clock)) : Layer.empty).pipe(
      Layer.provideMerge(engine ?? Layer.empty),
      Layer.provideMerge(Layer.merge(model, tools))
    )
  )
}

const main = (folder, runs, steps) =>
  inPostgres((url) =>
    Effect.runPromise(Effect.all({
      "without a journal": all(undefined, undefined, runs, steps),
      "in memory": all(Layer.mergeAll(WorkflowEngine.layerMemory, ExecutionStore.layerMemory), undefined, runs, steps),
      "SQLite, synchronous NORMAL": all(SqliteRunner.layer({ filename: fileIn(folder) }), folder, runs, steps),
      "PostgreSQL 18, on the same machine": all(Layer.provide(SqlRunner.layer(), client(url)), url, runs, steps)
    }))
  )

const [first, second, third] = process.argv.slice(2)
const told = first === "read" ? await Effect.runPromise(read(second)) : await main(first, Number(second), Number(third))
console.log(JSON.stringify(told))
process.exit(0)

// node peers/ours/durable.mjs <file> <runs> <steps>: what a durable run costs, on SQLite and in memory.
//
// A step is a model call and one or two tool calls: 2.5 records. `answered` is the time from the answer of an approval to
// the end of the run: the execution is woken, and one tool call and one model call are made.
import { Effect, Layer, Schedule, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { WorkflowEngine } from "effect/workflow"
import * as Agent from "effect-agents/Agent"
import * as Approval from "effect-agents/Approval"
import * as StopCondition from "effect-agents/StopCondition"
import { Durable, ExecutionStore, SqliteRunner } from "effect-agents/durable"
import * as ScriptedModel from "effect-agents/testing/ScriptedModel"

const [file, runs = "10", steps = "10"] = process.argv.slice(2)
const count = Number(steps)

const parameters = Schema.Struct({ n: Schema.Int })
const toolkit = Toolkit.make(
  Tool.make("look", { parameters, success: Schema.String }),
  Tool.make("pay", { parameters, success: Schema.String, needsApproval: true })
)
const tools = toolkit.toLayer({
  look: ({ n }) => Effect.succeed(`found ${n}`),
  pay: ({ n }) => Effect.succeed(`paid ${n}`)
})
const agent = Agent.make("worker", { toolkit, stopWhen: [StopCondition.stepCount(count + 2)] })
const durable = Durable.make(agent, { version: 1 })

const look = (step, calls) =>
  ScriptedModel.toolCalls(
    ...Array.from({ length: calls }, (_, n) => ({ id: `c${step}-${n}`, name: "look", params: { n } }))
  )
const looking = Array.from({ length: count }, (_, step) => look(step, step % 2 === 0 ? 1 : 2))
const script = [...looking, ScriptedModel.text("done")]
const asking = [
  ...looking,
  ScriptedModel.toolCalls({ id: "pay", name: "pay", params: { n: 1 } }),
  ScriptedModel.text("done")
]

const timed = (effect) => {
  const start = performance.now()
  return Effect.map(effect, (value) => [performance.now() - start, value])
}

const engines = {
  "without a journal": undefined,
  "in memory": Layer.mergeAll(WorkflowEngine.layerMemory, ExecutionStore.layerMemory),
  "SQLite, synchronous NORMAL": SqliteRunner.layer({ filename: file })
}

const measure = Effect.fnUntraced(function*(engine) {
  const one = (id) =>
    engine === undefined
      ? Agent.run(agent, { prompt: id })
      : Effect.andThen(Durable.start(durable, { id, prompt: id }), Durable.result(durable, id))
  const times = []
  for (let n = 0; n <= Number(runs); n++) {
    const [ms, result] = yield* timed(one(`run-${n}`))
    if (result.text !== "done") return yield* Effect.die(new Error(`The run has said: ${result.text}`))
    // the first one is warm-up
    if (n > 0) times.push(ms / (count + 1))
  }
  return times
})

/** A run that waits, and goes on when it is answered. */
const answered = Effect.gen(function*() {
  const id = yield* Durable.start(durable, { id: "answered", prompt: "pay" })
  const open = yield* Effect.repeat(Durable.approvals(durable, id), {
    until: (open) => open.length > 0,
    schedule: Schedule.spaced("5 millis")
  })
  yield* Durable.answer(durable, id, open.map((one) => Approval.approve(one)))
  return (yield* timed(Durable.result(durable, id)))[0]
})

const results = {}
for (const [name, engine] of Object.entries(engines)) {
  const layer = (engine === undefined ? Layer.empty : Durable.layer(durable)).pipe(
    Layer.provideMerge(engine ?? Layer.empty),
    Layer.provideMerge(Layer.mergeAll(
      ScriptedModel.layer([...Array.from({ length: Number(runs) + 1 }, () => script).flat(), ...asking]),
      tools
    ))
  )
  results[name] = await Effect.runPromise(Effect.provide(
    Effect.all({ times: measure(engine), answered: engine === undefined ? Effect.undefined : answered }),
    layer
  ))
}
console.log(JSON.stringify(results))
process.exit(0)

/**
 * The run contract on a durable agent: each case runs here, and then as an execution over the engine in memory, through
 * `Durable.asAgent`. What an execution does in another way is written down beside the cases.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schedule, type Stream } from "effect"
import { LanguageModel } from "effect/ai"
import { WorkflowEngine } from "effect/workflow"
import { Durable, ExecutionStore } from "../src/durable/index.ts"
import { Agent, type AgentRun, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { agentOf, type Case, cases, plain, readCase } from "./fixtures/runCases.ts"
import { Boom } from "./utils.ts"

let runs = 0

/** Runs a case, and waits until everything has ended: here, or as an execution. */
const play = Effect.fnUntraced(function*(given: Case, isDurable: boolean) {
  const { agent, handlers, log, script } = agentOf(given)
  const scripted = yield* ScriptedModel.make(script)
  const durable = Durable.make(agent, { version: 1, failure: Boom })
  const runner = isDurable ? Durable.layer(durable) : Layer.empty
  return yield* Effect.gen(function*() {
    const runId = `run_${String(++runs).padStart(8, "0")}`
    const input: Agent.Input = { prompt: "hi", runId, ...given.input }
    const stream: Stream.Stream<AgentRun.Part, unknown, any> = Agent.stream(
      isDurable ? Durable.asAgent(durable) : agent as Agent.Any,
      input
    )
    const { end, parts } = yield* readCase(given, stream)
    const status = isDurable ? yield* settled(durable, runId, log) : undefined
    return {
      parts,
      end,
      status,
      log: log.slice(),
      opened: yield* scripted.script.opened,
      closed: (yield* scripted.script.closed).length
    }
  }).pipe(
    Effect.provide(runner.pipe(
      Layer.provideMerge([WorkflowEngine.layerMemory, ExecutionStore.layerMemory, SessionStore.layerMemory]),
      Layer.provideMerge(handlers),
      Layer.provideMerge(Logger.layer([]))
    )),
    Effect.provideService(LanguageModel.LanguageModel, scripted.languageModel)
  )
}, Effect.scoped)

/** Waits until an execution has ended. One that goes on without its reader, and hangs, is interrupted. */
const settled = (durable: Durable.Any, id: string, log: Array<string>) =>
  Effect.gen(function*() {
    yield* Effect.exit(Effect.timeout(Durable.result(durable, id), "100 millis"))
    const { status } = yield* Durable.status(durable, id)
    if (status !== "running") return status
    log.push("goes on")
    yield* Durable.interrupt(durable, id)
    const { status: end } = yield* Effect.repeat(Durable.status(durable, id), {
      until: ({ endedAt }) => endedAt !== undefined,
      schedule: Schedule.spaced("5 millis")
    })
    return end
  })

/**
 * A defect is no end of an execution: it is parked. If it was one of a call, the finalizers see an attempt that was
 * interrupted. A model that interrupts itself cannot be told from a process that stops, so another attempt makes its call again, without end.
 */
const isDefect = (end: string) => end.startsWith("Failed Die")

const afterDefect = (line: string) => line.replace(/end: Failed Die bug/, "end: Interrupted")

describe("the contract of a durable run", () => {
  for (const given of cases) {
    if (given.name === "a model that interrupts itself") continue
    it.live(given.name, () =>
      Effect.gen(function*() {
        const here = yield* play(given, false)
        const durable = yield* play(given, true)
        assert.deepStrictEqual(plain(durable.parts), plain(here.parts))
        assert.deepStrictEqual([durable.opened, durable.closed], [here.opened, here.closed])
        if (given.leave === undefined && given.interruptAfter === undefined) {
          const expected = isDefect(here.end)
            ? here.end.replace("Die bug", "Fail ExecutionParked")
            : here.end
          assert.strictEqual(durable.end, expected)
          const isOfCall = given.name !== "a second beforeRun that dies"
          assert.deepStrictEqual(durable.log, isOfCall ? here.log.map(afterDefect) : here.log)
          assert.strictEqual(
            durable.status,
            isDefect(here.end) ? "parked" : here.end.startsWith("Failed") ? "failed" : "completed"
          )
          return
        }
        // its reader has gone, and that changes nothing
        assert.strictEqual(durable.end, here.end)
        const ended = durable.log.findIndex((line) => / end: /.test(line))
        if (durable.status === "completed") {
          assert.deepStrictEqual(durable.log.slice(ended), ["p2 end: Completed \"a\"", "p1 end: Completed \"a\""])
        } else {
          assert.strictEqual(durable.status, "interrupted")
          assert.isBelow(durable.log.indexOf("goes on"), ended)
        }
      }))
  }
})

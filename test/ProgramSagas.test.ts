import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { type Prompt, Tool, Toolkit } from "effect/ai"
import { Agent, AgentRun, AgentTool, ContextProvider, SessionHistory, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, type Log, showPrompt } from "./utils.ts"

const kit = Toolkit.make(
  Tool.make("book", { parameters: Schema.Struct({ what: Schema.String }), success: Schema.String }),
  Tool.make("work", { parameters: Schema.Struct({ ms: Schema.Int }), success: Schema.Int }),
  Tool.make("gate", { success: Schema.String, needsApproval: true })
)

/** How many calls of `work` run. */
const working = () => {
  const active = { count: 0 }
  const layer = kit.toLayer({
    book: ({ what }) => Effect.succeed(`a ${what}`),
    work: ({ ms }) =>
      Effect.acquireUseRelease(
        Effect.sync(() => active.count++),
        () => Effect.as(Effect.sleep(ms), ms),
        () => Effect.sync(() => active.count--)
      ),
    gate: () => Effect.succeed("open")
  })
  return { active, layer }
}

/** So many milliseconds pass, and everything that is due happens in each. */
const pass = (ms: number) =>
  Effect.repeat(Effect.andThen(Effect.repeat(Effect.yieldNow, { times: 30 }), TestClock.adjust(1)), { times: ms })

describe("Program", () => {
  describe("undo", () => {
    const trip = (
      log: Log,
      last: (call: { readonly gate: () => Effect.Effect<string, unknown> }) => Effect.Effect<unknown, unknown>
    ) =>
      Agent.program("trip", {
        toolkit: kit,
        run: (_, call) => {
          const book = (what: string) =>
            call.book({ what }, {
              undo: (result, exit) =>
                Effect.andThen(
                  Effect.sync(() => log.push(`undo ${result}: ${AgentRun.outcome(exit as never)._tag}`)),
                  what === "hotel" ? Effect.fail("no refund") : Effect.void
                )
            })
          return book("flight").pipe(
            Effect.andThen(book("hotel")),
            Effect.andThen(book("car")),
            Effect.andThen(last(call))
          )
        }
      })

    it.effect("is done in reverse order when the run fails, also when one of them fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        const exit = yield* Effect.exit(Agent.run(trip(log, () => Effect.fail("storm")), { prompt: "go" }))
        assert.deepStrictEqual(log, ["undo a car: Failed", "undo a hotel: Failed", "undo a flight: Failed"])
        assert.strictEqual(Exit.isFailure(exit) && exit.cause.reasons.length, 1)
      }).pipe(Effect.provide(working().layer)))

    it.effect("is done when the run is interrupted, or left early", () =>
      Effect.gen(function*() {
        const log: Log = []
        const fiber = yield* Effect.forkChild(Agent.run(trip(log, () => Effect.sleep("1 hour")), { prompt: "go" }))
        yield* pass(10)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(log, [
          "undo a car: Interrupted",
          "undo a hotel: Interrupted",
          "undo a flight: Interrupted"
        ])
        log.length = 0
        yield* Stream.runDrain(Stream.take(Agent.stream(trip(log, () => Effect.never), { prompt: "go" }), 5))
        assert.deepStrictEqual(log, ["undo a flight: Abandoned"])
      }).pipe(Effect.provide(working().layer)))

    it.effect("is not done when the run completes, or waits for an approval", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Agent.run(trip(log, () => Effect.succeed("sun")), { prompt: "go" })
        const { stopReason } = yield* Agent.run(trip(log, (call) => call.gate()), { prompt: "go" })
        assert.strictEqual(stopReason, "approval-required")
        assert.deepStrictEqual(log, [])
      }).pipe(Effect.provide(working().layer)))
  })

  describe("answer", () => {
    it.effect("streams the text of an agent as the text of the run, as it comes", () =>
      Effect.gen(function*() {
        const agent = Agent.program("team", {
          toolkit: AgentTool.toolkit(AgentTool.make(Agent.make("writer"))),
          run: ({ prompt }, call) => Effect.map(call.writer({ prompt }, { answer: true }), (text) => text.length)
        })
        const { parts } = yield* collectAll(Agent.stream(agent, { prompt: "go" }))
        const own = parts.flatMap((part) =>
          part.type === "text-delta" ? part.delta : part.type === "tool-result" ? "result" : []
        )
        assert.deepStrictEqual(own, ["one ", "two", "result"])
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual([result.text, result.value], ["one two", 7])
        assert.strictEqual(showPrompt(result.transcript).at(-1), "assistant: one two")
      }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text(["one ", "two"])]))))

    it.effect("without it the value is the text", () =>
      Effect.gen(function*() {
        const agent = Agent.program("team", {
          toolkit: AgentTool.toolkit(AgentTool.make(Agent.make("writer"))),
          run: ({ prompt }, call) => Effect.map(call.writer({ prompt }), (text) => text.length)
        })
        const { text } = yield* Agent.run(agent, { prompt: "go" })
        assert.strictEqual(text, "7")
      }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text(["one ", "two"])]))))
  })

  it.effect("wherever it is stopped, nothing runs on, each finalizer is called once, and no call is left open", () =>
    Effect.gen(function*() {
      let seed = 7
      const below = (n: number) => {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff
        return seed % n
      }
      const outcomes = new Set<string>()
      for (let round = 0; round < 300; round++) {
        const { active, layer } = working()
        const ends: Array<string> = []
        const witness = ContextProvider.make("witness", {
          beforeRun: () =>
            Effect.as(
              AgentRun.addFinalizer((exit) => Effect.sync(() => void ends.push(AgentRun.outcome(exit)._tag))),
              undefined
            )
        })
        const [shape, a, b, how, at] = [below(3), 1 + below(8), 1 + below(8), below(3), below(14)]
        const agent = Agent.program("any", {
          toolkit: kit,
          providers: [witness, SessionHistory.providerEveryStep],
          run: (_, call): Effect.Effect<unknown, unknown> =>
            shape === 0
              ? Effect.all([call.work({ ms: a }), call.work({ ms: b }), call.work({ ms: a + b })], { concurrency: 3 })
              : shape === 1
              ? Effect.raceFirst(call.work({ ms: a }), Effect.andThen(call.work({ ms: b }), call.work({ ms: a })))
              : Effect.all([call.gate(), Effect.timeout(call.work({ ms: 20 }), a), call.work({ ms: b })], {
                concurrency: 3
              })
        })
        yield* Effect.gen(function*() {
          const running = how === 0
            ? Stream.runDrain(Stream.take(Agent.stream(agent, { prompt: "x", session: "s" }), 1 + at))
            : Agent.run(agent, { prompt: "x", session: "s" })
          const fiber = yield* Effect.forkChild(Effect.exit(running))
          yield* pass(how === 1 ? at : 40)
          yield* Fiber.interrupt(fiber)
          const { history } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s"))
          const parts = history.content.flatMap((message): ReadonlyArray<Prompt.Part> =>
            typeof message.content === "string" ? [] : message.content
          )
          const closed = new Set(
            parts.flatMap((part) =>
              part.type === "tool-result" ? part.id : part.type === "tool-approval-request" ? part.toolCallId : []
            )
          )
          const open = parts.filter((part) => part.type === "tool-call" && !closed.has(part.id))
          assert.deepStrictEqual([active.count, ends.length, open], [0, 1, []], `round ${round}`)
        }).pipe(Effect.provide(Layer.mergeAll(layer, SessionStore.layerMemory)))
        outcomes.add(ends[0])
      }
      assert.deepStrictEqual([...outcomes].toSorted(), ["Abandoned", "Completed", "Failed", "Interrupted"])
    }))
})

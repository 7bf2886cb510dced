import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentRun, AgentTool, SessionHistory, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { assertAllOutcomes, cancelAtRandom } from "./fixtures/programCancels.ts"
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

  describe("undo, continued", () => {
    it.effect.each(["every-step", "always"] as const)(
      "a call that was undone is made again, one whose undo failed keeps its result (%s)",
      (keep) => {
        const log: Log = []
        const counted = kit.toLayer({
          book: ({ what }) =>
            Effect.sync(() => {
              log.push(`book ${what}`)
              return `${what} ${log.filter((line) => line === `book ${what}`).length}`
            }),
          work: () => Effect.succeed(1),
          gate: () => Effect.succeed("open")
        })
        return Effect.gen(function*() {
          let isBroken = true
          const agent = Agent.program("trip", {
            toolkit: kit,
            providers: [SessionHistory.make({ keep })],
            run: (_, call) => {
              const book = (what: string) =>
                call.book({ what }, {
                  undo: () => what === "hotel" ? Effect.fail("no refund") : Effect.sync(() => log.push(`undo ${what}`))
                })
              return Effect.gen(function*() {
                const plain = yield* call.book({ what: "museum" })
                const both = yield* Effect.all([book("flight"), book("hotel")], { concurrency: 2 })
                if (isBroken) return yield* Effect.fail("storm")
                return [plain, ...both]
              })
            }
          })
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "go", session: "s" }))
          const outcome = AgentRun.outcome(exit)
          const store = yield* SessionStore.SessionStore
          const kept = showPrompt((yield* store.load("s")).history)
          assert.deepStrictEqual(outcome._tag === "Failed" && showPrompt(outcome.partial.transcript), kept)
          assert.match(kept.at(-1)!, /^tool: undo#undo_\w+ = "undone"$/)
          isBroken = false
          const { transcript, value } = yield* Agent.continue(agent, { session: "s" })
          assert.deepStrictEqual(value, ["museum 1", "flight 2", "hotel 1"])
          assert.deepStrictEqual(log, ["book museum", "book flight", "book hotel", "undo flight", "book flight"])
          assert.strictEqual(showPrompt(transcript).filter((line) => line.includes("undo")).length, 0)
        }).pipe(Effect.provide([counted, SessionStore.layerMemory]))
      }
    )
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

  it.effect(
    "wherever it is stopped, nothing runs on, no span is open, each finalizer is called once, and no call is left open",
    () => Effect.map(cancelAtRandom(7, 40), assertAllOutcomes),
    60_000
  )
})

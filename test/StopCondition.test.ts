import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Agent, AgentError, type AgentRun, StopCondition } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { calls, hanging, type Log, logged, showCause, showExit, showPrompt, tools } from "./utils.ts"

const { finish, step, text, toolCalls, usage } = ScriptedModel

const toolkit = tools("work", "done")
const ok = toolkit.toLayer({ work: () => Effect.succeed("worked"), done: () => Effect.succeed("finished") })

const make = (...stopWhen: ReadonlyArray<StopCondition.StopCondition>) => Agent.make("agent", { toolkit, stopWhen })

/** What there is to see of how a run stopped. */
const stopped = (result: AgentRun.Result) => ({
  reason: result.stopReason,
  text: result.text,
  steps: result.steps.map((step) => step.toolCalls.map((call) => `${call.name}${call.executed ? "" : " (not run)"}`))
})

const choices = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  ({ requests }) => Effect.map(requests, (all) => all.map(({ toolChoice }) => toolChoice))
)

const work = calls("work")

describe("StopCondition", () => {
  describe("stepCount", () => {
    it.effect("allows n steps and then a forced final answer, which is a step and counted", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.stepCount(2)), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), { reason: "step-limit", text: "final", steps: [["work"], ["work"], []] })
        assert.strictEqual(run.usage.inputTokens.total, 30)
        assert.deepStrictEqual(yield* choices, ["auto", "auto", "none"])
      }).pipe(Effect.provide([ok, ScriptedModel.layer([work, work, text("final"), text("never")])])))

    it.effect("a forced answer that still calls tools: they are denied, and the run stops", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.stepCount(1)), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), {
          reason: "step-limit",
          text: "but",
          steps: [["work"], ["work (not run)"]]
        })
        assert.deepStrictEqual(showPrompt(run.transcript).slice(3), [
          "assistant: but, work#id-work({})",
          "tool: work#id-work failed = " +
          "{\"type\":\"execution-denied\",\"reason\":\"No more tools may be called in this run\"}"
        ])
      }).pipe(Effect.provide([ok, ScriptedModel.layer([work, step(text("but"), work), text("never")])])))

    for (const n of [0, -1, NaN]) {
      it.effect(`of ${n} is one step and the forced answer: no limit is ever none`, () =>
        Effect.gen(function*() {
          const run = yield* Agent.run(make(StopCondition.stepCount(n)), { prompt: "hi" })
          assert.deepStrictEqual(stopped(run), { reason: "step-limit", text: "final", steps: [["work"], []] })
        }).pipe(Effect.provide([ok, ScriptedModel.layer([work, text("final")])])))
    }

    it.effect("is sixteen, when none is named", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(), { prompt: "hi" })
        assert.deepStrictEqual([run.stopReason, run.steps.length], ["step-limit", 17])
      }).pipe(Effect.provide([
        ok,
        ScriptedModel.layer([...Array.from({ length: 16 }, () => work), text("final")])
      ])))

    it.effect("named, it takes the place of the default one, also beyond it", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.stepCount(20)), { prompt: "hi" })
        assert.deepStrictEqual([run.stopReason, run.steps.length], ["stop", 20])
      }).pipe(Effect.provide([
        ok,
        ScriptedModel.layer([...Array.from({ length: 19 }, () => work), text("final")])
      ])))
  })

  describe("toolCalls", () => {
    it.effect("of three parallel calls and a budget of one, one runs and two are told so", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.toolCalls(1)), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), {
          reason: "tool-call-limit",
          text: "final",
          steps: [["work", "work (not run)", "done (not run)"], []]
        })
        const told = "{\"type\":\"execution-denied\",\"reason\":\"The tool call budget of this run is exhausted\"}"
        assert.strictEqual(
          showPrompt(run.transcript)[2],
          `tool: work#1 = "worked", work#2 failed = ${told}, done#3 failed = ${told}`
        )
        assert.deepStrictEqual(yield* choices, ["auto", "none"])
      }).pipe(Effect.provide([
        ok,
        ScriptedModel.layer([
          toolCalls(
            { id: "1", name: "work", params: {} },
            { id: "2", name: "work", params: {} },
            { id: "3", name: "done", params: {} }
          ),
          text("final")
        ])
      ])))

    it.effect("is counted over the steps of a run", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.toolCalls(3)), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), {
          reason: "tool-call-limit",
          text: "final",
          steps: [["work", "done"], ["work", "done (not run)"], []]
        })
      }).pipe(Effect.provide([
        ok,
        ScriptedModel.layer([calls("work", "done"), calls("work", "done"), text("final")])
      ])))

    for (const n of [0, -1, NaN]) {
      it.effect(`a budget of ${n} runs none`, () =>
        Effect.gen(function*() {
          const run = yield* Agent.run(make(StopCondition.toolCalls(n)), { prompt: "hi" })
          assert.deepStrictEqual(stopped(run).steps, [["work (not run)"], []])
        }).pipe(Effect.provide([ok, ScriptedModel.layer([work, text("final")])])))
    }

    it.effect("mistakes of the model use none of it", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.toolCalls(1)), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run).steps, [["ghost (not run)", "work"], []])
      }).pipe(Effect.provide([ok, ScriptedModel.layer([calls("ghost", "work"), text("final")])])))

    it.effect("the smallest of several counts", () =>
      Effect.gen(function*() {
        const agent = make(StopCondition.toolCalls(5), StopCondition.orFail(StopCondition.toolCalls(1)))
        const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" }))
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail AgentError.LimitReached")
      }).pipe(Effect.provide([ok, ScriptedModel.layer([calls("work", "done")])])))
  })

  describe("toolErrors", () => {
    it.effect("counts failed calls of all steps", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.toolErrors(2)), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), {
          reason: "tool-error-limit",
          text: "final",
          steps: [["ghost (not run)"], ["work"], ["ghost (not run)"], []]
        })
      }).pipe(Effect.provide([ok, ScriptedModel.layer([calls("ghost"), work, calls("ghost"), text("final")])])))
  })

  describe("tokens", () => {
    it.effect("counts input and output of all model calls", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.tokens(100)), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), { reason: "token-limit", text: "final", steps: [["work"], ["work"], []] })
      }).pipe(Effect.provide([
        ok,
        ScriptedModel.layer([
          step(work, finish("tool-calls", usage(50, 9))),
          step(work, finish("tool-calls", usage(1, 40))),
          text("final")
        ])
      ])))

    it.effect("does not hold for a model that reports none", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.tokens(1)), { prompt: "hi" })
        assert.deepStrictEqual([run.stopReason, run.text], ["stop", "answer"])
      }).pipe(Effect.provide([
        ok,
        ScriptedModel.layer([
          step(work, finish("tool-calls", { inputTokens: {}, outputTokens: {} })),
          step(text("answer"), finish("stop", { inputTokens: {}, outputTokens: {} }))
        ])
      ])))
  })

  describe("duration", () => {
    it.effect("holds at the end of the step in which the time is over", () =>
      Effect.gen(function*() {
        const fiber = yield* Agent.run(make(StopCondition.duration("3 seconds")), { prompt: "hi" }).pipe(
          Effect.provide(toolkit.toLayer({
            work: () => Effect.delay(Effect.succeed("worked"), "2 seconds"),
            done: () => Effect.succeed("finished")
          })),
          Effect.forkChild
        )
        yield* TestClock.adjust("4 seconds")
        const run = yield* Fiber.join(fiber)
        assert.deepStrictEqual(stopped(run), {
          reason: "duration-limit",
          text: "final",
          steps: [["work"], ["work"], []]
        })
      }).pipe(Effect.provide(ScriptedModel.layer([work, work, text("final")]))))
  })

  describe("toolCalled", () => {
    it.effect("stops after the step, without asking the model again", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.toolCalled("done")), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), {
          reason: "tool-called",
          text: "thinking",
          steps: [["work"], ["work", "done"]]
        })
        assert.deepStrictEqual(yield* choices, ["auto", "auto"])
      }).pipe(Effect.provide([
        ok,
        ScriptedModel.layer([work, step(text("thinking"), calls("work", "done")), text("never")])
      ])))

    it.effect("does not hold for a call that failed", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.toolCalled("ghost")), { prompt: "hi" })
        assert.deepStrictEqual([run.stopReason, run.text], ["stop", "answer"])
      }).pipe(Effect.provide([ok, ScriptedModel.layer([calls("ghost"), text("answer")])])))
  })

  describe("when", () => {
    it.effect("stops with its own reason, and sees steps, usage and time", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        const condition = StopCondition.when("enough", (progress) => {
          // a condition may look at a part of it through another one
          const { elapsed, executedToolCalls, failedToolCalls, steps, usage } = { ...progress }
          seen.push([steps.length, usage.inputTokens.total, executedToolCalls, failedToolCalls, elapsed])
          return steps.length === 2
        })
        const run = yield* Agent.run(make(condition), { prompt: "hi" })
        assert.deepStrictEqual(stopped(run), { reason: "enough", text: "", steps: [["work"], ["work"]] })
        assert.deepStrictEqual(seen, [[1, 10, 1, 0, 0], [2, 20, 2, 0, 0]])
      }).pipe(Effect.provide([ok, ScriptedModel.layer([work, work, text("never")])])))

    it.effect("is not asked after an answer", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(make(StopCondition.when("enough", () => true)), { prompt: "hi" })
        assert.strictEqual(run.stopReason, "stop")
      }).pipe(Effect.provide([ok, ScriptedModel.layer([text("answer")])])))

    it.effect("a predicate that throws is a defect of the run, not a consumer that left", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("agent", {
          toolkit,
          providers: [logged("p1", log)],
          stopWhen: [StopCondition.when("bad", () => {
            throw new Error("bug")
          })]
        })
        const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" }))
        assert.strictEqual(showExit(exit), "Failed Die bug after \"\"")
        assert.deepStrictEqual(log, ["p1 before", "p1 end: Failed Die bug after \"\""])
      }).pipe(Effect.provide([ok, ScriptedModel.layer([work])])))
  })

  describe("orFail", () => {
    it.effect("fails the run, after its step, with the limit, the steps and the usage", () =>
      Effect.gen(function*() {
        const seen: Array<string> = []
        const agent = make(StopCondition.orFail(StopCondition.stepCount(2)))
        const caught = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
          Stream.runForEach((part) => Effect.sync(() => void seen.push(part.type))),
          Effect.catchReason("AgentError", "LimitReached", ({ limit, steps, usage }) =>
            Effect.succeed([limit, steps.length, usage.inputTokens.total]))
        )
        assert.deepStrictEqual(caught, ["step-limit", 2, 20])
        assert.deepStrictEqual(seen.slice(-2), ["tool-result", "step-end"])
      }).pipe(Effect.provide([ok, ScriptedModel.layer([work, work])])))

    it.effect("of a tool-call budget: the call in budget ran, then the run fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = make(StopCondition.orFail(StopCondition.toolCalls(1)))
        const error = yield* Agent.run(agent, { prompt: "hi" }).pipe(
          Effect.flip,
          Effect.provide(toolkit.toLayer({
            work: () => Effect.sync(() => (log.push("work"), "1")),
            done: () => hanging("done", log)
          }))
        )
        assert(AgentError.isAgentError(error))
        assert.strictEqual(error.message, "Agent `agent`: The run reached its limit `tool-call-limit` after 1 steps")
        assert.deepStrictEqual(log, ["work"])
      }).pipe(Effect.provide(ScriptedModel.layer([calls("work", "done")]))))
  })

  it.effect("the first condition of the list that holds decides", () =>
    Effect.gen(function*() {
      const first = StopCondition.when("first", () => true)
      const second = StopCondition.orFail(StopCondition.when("second", () => true))
      assert.strictEqual((yield* Agent.run(make(first, second), { prompt: "hi" })).stopReason, "first")
      const error = yield* Effect.flip(Agent.run(make(second, first), { prompt: "hi" }))
      assert(AgentError.isAgentError(error) && error.reason._tag === "LimitReached")
      assert.strictEqual(error.reason.limit, "second")
    }).pipe(Effect.provide([ok, ScriptedModel.layer([work, work])])))
})

/**
 * What the `value` of a run is that would have to wait.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Option, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentError,
  AgentOutput,
  AgentRun,
  AgentTool,
  Approval,
  ContextProvider,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, type Log, logged, showExit, showPrompt, types } from "./utils.ts"

const { text, toolCalls } = ScriptedModel

const Remove = Tool.make("remove", { success: Schema.String, needsApproval: true })
const toolkit = Toolkit.make(Remove)
const handlers = (log: Log) => toolkit.toLayer({ remove: () => Effect.sync(() => (log.push("removed"), "gone")) })

const Report = Schema.Struct({ removed: Schema.Int })

const remove = toolCalls({ name: "remove", params: {}, id: "r" })
const answer = toolCalls({ name: "final_answer", params: { removed: 1 }, id: "a" })

const script = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps)

const input = { prompt: "Clean up" }

const approveAll = ({ approvals }: AgentRun.Result) => approvals.map((one) => Approval.approve(one))

const noValue = (exit: Exit.Exit<unknown, unknown>) => {
  const error = Option.getOrThrow(Exit.findErrorOption(exit))
  assert(AgentError.isAgentError(error) && error.reason._tag === "NoValue")
  return [error.reason.stopReason, error.reason.tool]
}

describe("AgentOutput", () => {
  describe("orWaiting", () => {
    for (
      const [mode, output, last] of [
        ["a schema", AgentOutput.orWaiting(Report), answer],
        ["a tool", AgentOutput.orWaiting(AgentOutput.tool(Report)), answer],
        ["json", AgentOutput.orWaiting(AgentOutput.json(Report)), text("{\"removed\":1}")]
      ] as const
    ) {
      it.effect(`has no value while the run waits, and the value when it is answered: ${mode}`, () =>
        Effect.gen(function*() {
          const log: Log = []
          const run = Effect.provide(handlers(log))
          const agent = Agent.make("cleaner", { toolkit, output })
          const asked = yield* run(Agent.run(agent, input))
          assert.deepStrictEqual([asked.stopReason, asked.value, log], ["approval-required", undefined, []])
          const done = yield* run(Agent.resume(agent, { result: asked }, approveAll(asked)))
          assert.deepStrictEqual([done.stopReason, done.value, log], ["output", { removed: 1 }, ["removed"]])
        }).pipe(Effect.provide(script(remove, ...mode === "json" ? [text("done"), last] : [last]))))
    }

    it("changes nothing else of the output, and not the output itself", () => {
      const json = AgentOutput.json(Report, { corrections: 5, name: "report", description: "What was done" })
      const waiting = AgentOutput.orWaiting(json)
      assert.deepStrictEqual({ ...waiting }, { ...json, mayWait: true })
      assert.strictEqual(json.mayWait, false)
      assert.isTrue(AgentOutput.isAgentOutput(waiting))
    })

    it.effect("an agent with it answers its caller with the value, after the call has waited", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const cleaner = Agent.make("cleaner", { toolkit, output: AgentOutput.orWaiting(Report) })
        const lead = Agent.make("lead", {
          toolkit: AgentTool.toolkit(AgentTool.make(cleaner, { success: Report }))
        })
        const asked = yield* run(Agent.run(lead, input))
        assert.deepStrictEqual([asked.stopReason, asked.approvals.map(({ path }) => path)], [
          "approval-required",
          [["cleaner"]]
        ])
        const done = yield* run(Agent.resume(lead, { result: asked }, approveAll(asked)))
        assert.deepStrictEqual(showPrompt(done.transcript).slice(-2), [
          "tool: cleaner#c = {\"removed\":1}",
          "assistant: done"
        ])
      }).pipe(Effect.provide(script(
        toolCalls({ name: "cleaner", params: { prompt: "clean" }, id: "c" }),
        remove,
        answer,
        text("done")
      ))))

    it.effect("outside of a run the handler of its agent fails instead of answering without a value", () =>
      Effect.gen(function*() {
        const cleaner = Agent.make("cleaner", { toolkit, output: AgentOutput.orWaiting(Report) })
        const { handler } = AgentTool.make(cleaner, { success: Report })
        const exit = yield* Effect.exit(handler({ prompt: "clean" }, {}))
        assert.deepStrictEqual(noValue(exit), ["approval-required", "remove"])
      }).pipe(Effect.provide([script(remove), handlers([])])))
  })

  describe("without orWaiting", () => {
    const agent = Agent.make("cleaner", { toolkit, output: Report })

    it.effect("a run that would wait fails: no call that needs an approval has run, no afterRun", () =>
      Effect.gen(function*() {
        const log: Log = []
        const watched = Agent.make("cleaner", { toolkit, output: Report, providers: [logged("p", log)] })
        const { exit, parts } = yield* collectAll(Agent.stream(watched, input)).pipe(Effect.provide(handlers(log)))
        assert.deepStrictEqual(noValue(exit), ["approval-required", "remove"])
        assert.deepStrictEqual(types(parts).slice(-2), ["tool-approval-request", "step-end"])
        assert.deepStrictEqual(log, ["p before", `p end: ${showExit(exit)}`])
        const outcome = AgentRun.outcome(exit as Exit.Exit<never, unknown>)
        assert(outcome._tag === "Failed")
        assert.strictEqual(outcome.partial.steps.length, 1)
        assert.deepStrictEqual(showPrompt(outcome.partial.transcript).slice(0, 1), ["user: Clean up"])
        const error = Option.getOrThrow(Exit.findErrorOption(exit)) as Error
        assert.strictEqual(
          error.message,
          "Agent `cleaner`: The call of tool `remove` waits for an approval, so that the run has no value." +
            " Write `output: AgentOutput.orWaiting(...)` to let it end so"
        )
      }).pipe(Effect.provide(script(remove))))

    it.effect("a rule that lets the call run gives the value", () =>
      Effect.gen(function*() {
        const { value } = yield* Agent.run(agent, input)
        assert.strictEqual(value.removed, 1)
      }).pipe(
        Effect.provideService(Approval.Rules, [Approval.always(Remove)]),
        Effect.provide([script(remove, answer), handlers([])])
      ))

    it.effect("so does one with a tool of a context provider that asks", () =>
      Effect.gen(function*() {
        const tools = ContextProvider.make("tools", {
          beforeRun: () => Effect.map(toolkit, (toolkit) => ({ toolkit }))
        })
        const exit = yield* Effect.exit(Agent.run(Agent.make("a", { output: Report, providers: [tools] }), input))
        assert.deepStrictEqual(noValue(exit), ["approval-required", "remove"])
      }).pipe(Effect.provide([script(remove), handlers([])])))

    it.effect("so does one whose nested agent waits", () =>
      Effect.gen(function*() {
        const nested = AgentTool.toolkit(AgentTool.make(Agent.make("nested", { toolkit })))
        const exit = yield* Effect.exit(Agent.run(Agent.make("lead", { output: Report, toolkit: nested }), input))
        assert.deepStrictEqual(noValue(exit), ["approval-required", "remove"])
      }).pipe(
        Effect.provide([script(toolCalls({ name: "nested", params: { prompt: "clean" } }), remove), handlers([])])
      ))

    it.effect("what was kept of it goes on when its agent may wait", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const providers = [SessionHistory.providerEveryStep]
        const strict = Agent.make("cleaner", { toolkit, output: Report, providers })
        const mended = Agent.make("cleaner", { toolkit, output: AgentOutput.orWaiting(Report), providers })
        noValue(yield* Effect.exit(run(Agent.run(strict, { ...input, session: "s" }))))
        const { history } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s"))
        const answers = Approval.pending(history).map((one) => Approval.approve(one))
        const done = yield* run(Agent.resume(mended, { session: "s" }, answers))
        assert.deepStrictEqual([done.value, log], [{ removed: 1 }, ["removed"]])
      }).pipe(Effect.provide([script(remove, answer), SessionStore.layerMemory])))

    it.effect("an agent without an output may wait: it has no value to promise", () =>
      Effect.gen(function*() {
        const { stopReason, value } = yield* Agent.run(Agent.make("plain", { toolkit }), input)
        assert.deepStrictEqual([stopReason, value], ["approval-required", undefined])
      }).pipe(Effect.provide([script(remove), handlers([])])))
  })
})

/**
 * What a client holds when the fiber of its run is interrupted.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Schema, Stream } from "effect"
import { type LanguageModel, Tool, Toolkit } from "effect/ai"
import { Agent, AgentRun, AgentTool, Approval, ContextProvider, Middleware } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { showPrompt } from "./utils.ts"

const { text, toolCalls } = ScriptedModel

class Reached extends Context.Service<Reached, Deferred.Deferred<void>>()("Reached") {}

/** Says where it is, and stays there. */
const stay = Effect.andThen(Effect.flatMap(Reached, (reached) => Deferred.succeed(reached, undefined)), Effect.never)

const toolkit = Toolkit.make(Tool.make("wait", { dependencies: [Reached] }))
const handlers = toolkit.toLayer({ wait: () => stay })
const waits = ScriptedModel.step(text("Let me see."), toolCalls({ id: "c", name: "wait", params: {} }))
const plain = Agent.make("a", { toolkit })

type Program = Effect.Effect<AgentRun.Result, unknown, Reached | LanguageModel.LanguageModel | Tool.HandlersFor<any>>

const interrupted = Effect.fnUntraced(function*(program: Effect.Effect<AgentRun.Result, unknown, Reached>) {
  const reached = yield* Deferred.make<void>()
  const fiber = yield* Effect.forkChild(Effect.provideService(program, Reached, reached))
  yield* Deferred.await(reached)
  yield* Fiber.interrupt(fiber)
  const outcome = AgentRun.outcome(yield* Fiber.await(fiber))
  assert.strictEqual(outcome._tag, "Interrupted")
  return outcome._tag === "Interrupted" ? outcome.partial : undefined!
})

const shown = ({ runId, steps, text, totalUsage, transcript, usage }: AgentRun.Partial) => [
  runId,
  text,
  usage.inputTokens.total,
  totalUsage.inputTokens.total,
  steps.length,
  ...showPrompt(transcript)
]

const isCutCall =
  "tool: wait#c failed = {\"type\":\"execution-interrupted\",\"reason\":\"The run ended before this tool call had a result\"}"

const cut = [
  "r",
  "Let me see.",
  10,
  10,
  0,
  "user: hi",
  "assistant: Let me see., wait#c({})",
  isCutCall
]

const controller = new AbortController()

describe("the Exit of a run whose fiber was interrupted has what there is of it", () => {
  const input = { prompt: "hi", runId: "r" }
  const programs: Readonly<Record<string, () => Program>> = {
    "a run": () => Agent.run(plain, input) as Program,
    "the fold of a stream": () => AgentRun.fold(Agent.stream(plain, input)) as Program,
    "a run with a middleware": () =>
      Agent.run(
        Agent.withMiddleware(
          plain,
          Middleware.make("m", { agent: (request, next) => Stream.map(next(request), (part) => part) })
        ),
        input
      ) as Program,
    "a run that is made of a program": () =>
      Agent.run(Agent.fromStream("outer", { stream: (input) => Agent.stream(plain, input) }), input) as Program
  }
  for (const [what, program] of Object.entries(programs)) {
    it.effect(what, () =>
      Effect.gen(function*() {
        const layer = Layer.mergeAll(ScriptedModel.layer([waits]), handlers)
        const partial = yield* interrupted(Effect.provide(program(), layer) as never)
        assert.deepStrictEqual(shown(partial), cut)
      }))
  }

  it.effect("a run that goes on with answers", () =>
    Effect.gen(function*() {
      const asking = Toolkit.make(Tool.make("wait", { dependencies: [Reached], needsApproval: true }))
      const agent = Agent.make("a", { toolkit: asking })
      const layer = Layer.mergeAll(ScriptedModel.layer([waits]), asking.toLayer({ wait: () => stay }))
      const program = Effect.gen(function*() {
        const result = yield* Agent.run(agent, { prompt: "hi" })
        return yield* Agent.resume(agent, { result, runId: "r" }, result.approvals.map((one) => Approval.approve(one)))
      })
      const partial = yield* interrupted(Effect.provide(program, layer) as never)
      assert.strictEqual(partial.runId, "r")
      assert.strictEqual(showPrompt(partial.transcript).at(-1), isCutCall)
    }))

  it.effect("a run with one nested in it, whose usage is in the total", () =>
    Effect.gen(function*() {
      const inner = Agent.make("inner", { toolkit })
      const lead = Agent.make("lead", {
        toolkit: AgentTool.toolkit(AgentTool.make(inner, { name: "ask", success: Schema.String }))
      })
      const layer = Layer.mergeAll(
        ScriptedModel.layer([toolCalls({ name: "ask", params: { prompt: "x" } }), waits]),
        handlers
      )
      const partial = yield* interrupted(Effect.provide(Agent.run(lead, input), layer) as never)
      assert.deepStrictEqual([partial.usage.inputTokens.total, partial.totalUsage.inputTokens.total], [10, 20])
    }))

  it.effect("a run that had not begun its steps", () =>
    Effect.gen(function*() {
      const agent = Agent.make("a", { providers: [ContextProvider.make("p", { beforeRun: () => stay })] })
      const partial = yield* interrupted(Effect.provide(Agent.run(agent, input), ScriptedModel.layer([])) as never)
      assert.deepStrictEqual(shown(partial), ["r", "", undefined, undefined, 0, "user: hi"])
    }))

  it.effect("a run that has completed meanwhile", () =>
    Effect.gen(function*() {
      const done = yield* Deferred.make<void>()
      const agent = Agent.make("a", {
        providers: [
          ContextProvider.make("p", {
            beforeRun: () => Effect.void,
            afterRun: () =>
              Effect.andThen(
                Effect.flatMap(Reached, (reached) => Deferred.succeed(reached, undefined)),
                Deferred.await(done)
              )
          })
        ]
      })
      const later = Effect.andThen(Effect.repeat(Effect.yieldNow, { times: 20 }), Deferred.succeed(done, undefined))
      const [partial] = yield* Effect.all([
        interrupted(Effect.provide(Agent.run(agent, input), ScriptedModel.layer([text("Well.")])) as never),
        later
      ], { concurrency: 2 })
      assert.deepStrictEqual(shown(partial), ["r", "Well.", 10, 10, 1, "user: hi", "assistant: Well."])
    }))

  it.live("a promise whose signal was aborted", () =>
    Effect.gen(function*() {
      const reached = Deferred.makeUnsafe<void>()
      const layer = Layer.mergeAll(ScriptedModel.layer([waits]), handlers, Layer.succeed(Reached, reached))
      const exit = Effect.runPromiseExit(Effect.provide(Agent.run(plain, input), layer), { signal: controller.signal })
      yield* Deferred.await(reached)
      controller.abort()
      const outcome = AgentRun.outcome(yield* Effect.promise(() => exit))
      assert.deepStrictEqual(outcome._tag === "Interrupted" && shown(outcome.partial), cut)
    }))
})

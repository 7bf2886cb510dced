import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentRun, AgentTool, Approval, Budget, ContextProvider, Middleware } from "../src/index.ts"
import { Background } from "../src/orchestration/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Log, showExit, showPrompt } from "./utils.ts"

const kit = Toolkit.make(Tool.make("hang", { success: Schema.Void }), Tool.make("open", { success: Schema.Void }))

/** A worker with a child that hangs in a tool, each of which says when it has ended. */
const hanging = (log: Log) => {
  const ends = (name: string) =>
    ContextProvider.make("ends", {
      beforeRun: () =>
        Effect.as(
          AgentRun.addFinalizer((exit) =>
            Effect.andThen(Effect.yieldNow, Effect.sync(() => log.push(`${name} ${AgentRun.outcome(exit)._tag}`)))
          ),
          {}
        )
    })
  const child = Agent.make("child", { toolkit: kit, providers: [ends("child")] })
  return Agent.make("worker", { toolkit: AgentTool.toolkit({ child }), providers: [ends("worker")] })
}

type Say = (last: string, prompt: ReadonlyArray<string>) => ScriptedModel.Piece | ReadonlyArray<ScriptedModel.Piece>

/** Answers by the last message, whoever asks. */
const saying = (say: Say) =>
  ScriptedModel.layer(Array.from({ length: 40 }, () => ({ prompt }: ScriptedModel.Request) => {
    const shown = showPrompt(prompt)
    return say(shown.at(-1)!, shown)
  }))

const call = (name: string, params: unknown) => ScriptedModel.toolCalls({ name, params, id: `id-${name}` })

const start = (prompt: string) => call("start_worker", { worker: "worker", prompt })

const tools = (begun: Deferred.Deferred<void>, log: Log) =>
  kit.toLayer({
    hang: () =>
      Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
        Effect.onInterrupt(() => Effect.sync(() => log.push("tool stopped")))
      ),
    open: () => Deferred.await(begun)
  })

const script: Say = (last) =>
  last === "user: go"
    ? start("dig")
    : last === "user: dig"
    ? call("child", { prompt: "deep" })
    : last === "user: deep"
    ? call("hang", {})
    : last.startsWith("tool: start_worker")
    ? call("open", {})
    : ScriptedModel.text("done")

const ended = ["tool stopped", "child Interrupted", "worker Interrupted"]

describe("Background", () => {
  describe("background agents outlive their parents: they end before the run of the lead returns", () => {
    const setup = Effect.gen(function*() {
      const log: Log = []
      const begun = yield* Deferred.make<void>()
      const lead = Agent.make("lead", { toolkit: kit, providers: [Background.provider({ worker: hanging(log) })] })
      return { begun, lead, log, layer: Layer.merge(tools(begun, log), saying(script)) }
    })

    it.effect("that completes", () =>
      Effect.gen(function*() {
        const { layer, lead, log } = yield* setup
        const { text, totalUsage, usage } = yield* Effect.provide(Agent.run(lead, { prompt: "go" }), layer)
        assert.deepStrictEqual([text, log], ["done", ended])
        // three calls of the lead, one each of the worker and its child
        assert.deepStrictEqual([usage.inputTokens.total, totalUsage.inputTokens.total], [30, 50])
      }))

    it.effect("that fails", () =>
      Effect.gen(function*() {
        const { layer, lead, log } = yield* setup
        const failing = Middleware.make("failing", {
          model: (request, next) =>
            Stream.unwrap(Effect.gen(function*() {
              if (request.steps.length === 2) return yield* Effect.fail("failed" as const)
              return next(request)
            }))
        })
        const exit = yield* Effect.exit(
          Effect.provide(Agent.run(lead.withMiddleware(failing), { prompt: "go" }), layer)
        )
        assert.deepStrictEqual(log.slice(), ended)
        const outcome = AgentRun.outcome(exit)
        assert.strictEqual(outcome._tag === "Failed" && outcome.partial.totalUsage.inputTokens.total, 40)
      }))

    it.effect("that is interrupted", () =>
      Effect.gen(function*() {
        const { begun, layer, lead, log } = yield* setup
        const fiber = yield* Effect.forkChild(Effect.provide(Agent.run(lead, { prompt: "go" }), layer))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(log, ended)
      }))

    it.effect("that is left early", () =>
      Effect.gen(function*() {
        const { begun, layer, lead, log } = yield* setup
        yield* Agent.stream(lead, { prompt: "go" }).pipe(
          Stream.takeUntilEffect((part) =>
            part.type === "tool-result" ? Effect.as(Deferred.await(begun), true) : Effect.succeed(false)
          ),
          Stream.runDrain,
          Effect.provide(layer)
        )
        assert.deepStrictEqual(log, ended)
      }))
  })

  it.effect("a lead waits for a time, asks, lists and stops", () => {
    const log: Log = []
    const steps: Record<string, ScriptedModel.Piece> = {
      start_worker: call("await_worker", { id: "task-1", seconds: 5 }),
      await_worker: call("ask_worker", { id: "task-1", message: "hurry" }),
      ask_worker: call("list_workers", {}),
      list_workers: call("stop_worker", { id: "task-1" }),
      stop_worker: call("missing", {})
    }
    return Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const lead = Agent.make("lead", { providers: [Background.provider({ worker: hanging(log) })] })
      const say: Say = (last, prompt) => {
        const called = /^tool: (\w+)/.exec(last)?.[1]
        return prompt[0] === "user: go" && called !== undefined
          ? steps[called] ?? ScriptedModel.text("done")
          : script(last, prompt)
      }
      const fiber = yield* Effect.forkChild(
        Effect.provide(Agent.run(lead, { prompt: "go" }), Layer.merge(tools(begun, log), saying(say)))
      )
      yield* Deferred.await(begun)
      yield* TestClock.adjust("5 seconds")
      const { transcript } = yield* Fiber.join(fiber)
      const task = (status: string) => JSON.stringify({ id: "task-1", worker: "worker", status })
      assert.deepStrictEqual(showPrompt(transcript).filter((line) => line.startsWith("tool")).slice(0, 5), [
        `tool: start_worker#id-start_worker = ${task("running")}`,
        `tool: await_worker#id-await_worker = ${task("running")}`,
        `tool: ask_worker#id-ask_worker = ${task("running")}`,
        `tool: list_workers#id-list_workers = [${task("running")}]`,
        `tool: stop_worker#id-stop_worker = ${task("stopped")}`
      ])
      assert.deepStrictEqual(log, ended)
    })
  })

  it.effect("a program starts, asks and joins them, and they end with it", () =>
    Effect.gen(function*() {
      const quick = Agent.make("quick")
      const slow = Agent.make("slow")
      const lead = Agent.program("lead", {
        run: () =>
          Effect.scoped(Effect.gen(function*() {
            const background = yield* Background.make({ quick, slow }, { maximum: 2 })
            const one = yield* background.start("quick", { prompt: "quick" })
            const two = yield* background.start("slow", { prompt: "slow" })
            const { text } = yield* one.join
            yield* two.ask("and more")
            const three = yield* background.start("slow", { prompt: "slow" })
            const full = yield* Effect.flip(background.start("slow", { prompt: "slow" }))
            const stopped = yield* three.stop
            const late = yield* Effect.flip(three.ask("too late"))
            const unknown = yield* Effect.flip(background.find("task-9"))
            return [text, full._tag, stopped.status, late._tag, unknown._tag, (yield* background.tasks).length]
          }))
      })
      const { totalUsage, value } = yield* Agent.run(lead, { prompt: "go" })
      assert.deepStrictEqual(value, ["said quick", "TooManyTasks", "stopped", "TaskEnded", "NoSuchTask", 3])
      assert.strictEqual(totalUsage.inputTokens.total, 10)
    }).pipe(
      Effect.provide(saying((last) => last === "user: quick" ? ScriptedModel.text("said quick") : ScriptedModel.hang))
    ))

  it.effect("a lead that waits for an approval is resumed from its result", () =>
    Effect.gen(function*() {
      const Gate = Toolkit.make(Tool.make("gate", { success: Schema.String, needsApproval: true }))
      const lead = Agent.make("lead", {
        toolkit: Gate,
        providers: [Background.provider({ worker: Agent.make("worker") })]
      })
      yield* Effect.gen(function*() {
        const waiting = yield* Agent.run(lead, { prompt: "go" })
        const answers = waiting.approvals.map((one) => Approval.approve(one))
        const { text } = yield* Agent.resume(lead, { result: waiting }, answers)
        assert.strictEqual(text, "done")
      }).pipe(Effect.provide(Gate.toLayer({ gate: () => Effect.succeed("open") })))
    }).pipe(Effect.provide(saying((last) => last === "user: go" ? call("gate", {}) : ScriptedModel.text("done")))))

  it.effect("workers fail typed where they are joined, and draw from the budget of their lead", () =>
    Effect.gen(function*() {
      const worker = Agent.make("worker")
      const lead = Agent.program("lead", {
        middleware: [Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 1 })))],
        run: () =>
          Effect.scoped(Effect.gen(function*() {
            const background = yield* Background.make({ worker })
            const one = yield* background.start("worker", { prompt: "a" })
            yield* one.join
            const two = yield* background.start("worker", { prompt: "b" })
            return yield* two.join
          }))
      })
      const exit = yield* Effect.exit(Agent.run(lead, { prompt: "go" }))
      assert.strictEqual(showExit(exit), "Failed Fail BudgetExceeded after \"\"")
    }).pipe(Effect.provide(saying(() => ScriptedModel.text("said")))))

  it.effect("workers that start themselves are as deep as agents may be", () =>
    Effect.gen(function*() {
      type Self = Agent.Agent<any, any, any>
      const worker: Self = Agent.make("worker", {
        providers: [Background.provider({
          get worker(): Self {
            return worker
          }
        })]
      })
      const { transcript } = yield* Agent.run(worker, { prompt: "go" }).pipe(
        Effect.provideService(AgentTool.MaximumDepth, 0)
      )
      assert.include(showPrompt(transcript).at(-2), "no more than 0 deep")
    }).pipe(Effect.provide(saying((last) =>
      last === "user: go"
        ? start("go")
        : last.startsWith("tool: start_worker")
        ? call("await_worker", { id: "task-1", seconds: 1 })
        : ScriptedModel.text("done")
    ))))

  it.effect("detached ones go on after their lead, are seen by the next run, and end with the layer", () => {
    const log: Log = []
    return Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const lead = Agent.make("lead", {
        toolkit: kit,
        providers: [Background.detached("diggers", { worker: hanging(log) })]
      })
      const other = Agent.make("other", { providers: [Background.detached("others", { worker: hanging(log) })] })
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(
        Layer.mergeAll(
          tools(begun, log),
          saying((last, prompt) => last === "user: which?" ? call("list_workers", {}) : script(last, prompt)),
          Background.layer
        ),
        scope
      )
      const listed = (agent: typeof lead | typeof other) =>
        Effect.map(
          Effect.provide(Agent.run(agent, { prompt: "which?" }), services),
          ({ transcript }) => showPrompt(transcript)[2]
        )
      const { totalUsage } = yield* Effect.provide(Agent.run(lead, { prompt: "go" }), services)
      assert.deepStrictEqual([log, totalUsage.inputTokens.total], [[], 30])
      assert.include(yield* listed(lead), "task-1")
      assert.notInclude(yield* listed(other), "task-1")
      yield* Scope.close(scope, Exit.void)
      assert.deepStrictEqual(log, ended)
    })
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { AiError, type LanguageModel, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  type AgentError,
  AgentRun,
  AgentTool,
  Budget,
  Compaction,
  ContextProvider,
  Middleware,
  ToolLoop
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { nodeSdk } from "./fixtures/telemetry.ts"
import { collectAll, hanging, type Log, logged, showCause, showExit, showPrompt } from "./utils.ts"

const { delay, fail, finish, hang, layer: script, model: namedScript, parts, step, text, toolCalls, usage } =
  ScriptedModel

const Note = Tool.make("note", { success: Schema.String })
const Slow = Tool.make("slow", { success: Schema.String })
const Exact = Tool.make("exact", { parameters: Schema.Struct({ a: Schema.Int }), success: Schema.String })
const toolkit = Toolkit.make(Note, Slow, Exact)
const handlers = toolkit.toLayer({
  note: () => Effect.succeed("noted"),
  slow: () => Effect.as(Effect.sleep("10 seconds"), "slept"),
  exact: () => Effect.succeed("exactly")
})

const note = { name: "note", params: {} }
const noting = toolCalls(note)
const spending = (input: number, output: number, ...calls: ReadonlyArray<ScriptedModel.ToolCall>) =>
  step(toolCalls(...calls), finish("tool-calls", usage(input, output)))

const withBudget = <E>(budget: Budget.Budget<E>, log: Log = []) =>
  Agent.make("agent", {
    toolkit,
    middleware: [Budget.middleware(budget)],
    providers: [logged("p", log)]
  })

/** The end of a run in short. */
const shown = (result: AgentRun.Result): readonly [string, number, string] => [
  result.text,
  result.steps.length,
  result.stopReason
]

const results = (result: AgentRun.Result): Array<string> =>
  showPrompt(result.transcript).filter((line) => line.startsWith("tool:"))

const spentOf = (budget: Budget.Budget<unknown>) => Effect.map(Budget.spent(budget), Option.getOrThrow)

const exceeded = (resource: Budget.Resource, limit: number, used: number, budget = "budget") =>
  new Budget.BudgetExceeded({ budget, resource, limit, used })

describe("Budget", () => {
  describe("final answers", () => {
    const cases: ReadonlyArray<
      readonly [
        resource: Budget.Resource,
        Budget.Options,
        ReadonlyArray<ScriptedModel.Step>,
        steps: number
      ]
    > = [
      ["model-calls", { modelCalls: 2 }, [noting, noting, text("done")], 3],
      ["tool-calls", { toolCalls: 2 }, [noting, noting, text("done")], 3],
      ["tokens", { tokens: 100 }, [spending(60, 20, note), spending(60, 20, note), text("done")], 3],
      [
        "money",
        { money: 3, prices: { input: 10_000, output: 50_000 } },
        [spending(100, 20, note), spending(80, 4, note), text("done")],
        3
      ],
      [
        "wall-time",
        { wallTime: "15 seconds" },
        [toolCalls({ name: "slow", params: {} }), toolCalls({ name: "slow", params: {} }), text("done")],
        3
      ]
    ]

    it.effect.each(cases)(
      "of %s are asked for without tools, and name the budget",
      ([resource, options, steps, count]) =>
        Effect.gen(function*() {
          const fiber = yield* Agent.run(withBudget(Budget.make(options)), { prompt: "go" }).pipe(Effect.forkChild)
          yield* TestClock.adjust("1 minute")
          assert.deepStrictEqual(shown(yield* Fiber.join(fiber)), ["done", count, `budget-${resource}`])
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual((yield* requests).map(({ toolChoice }) => toolChoice), [
            ...Array.from({ length: count - 1 }, () => "auto" as const),
            "none"
          ])
        }).pipe(Effect.provide([script(steps), handlers]))
    )

    it.effect("are not asked for as long as something is left", () =>
      Effect.gen(function*() {
        const options = {
          tokens: 46,
          modelCalls: 4,
          toolCalls: 3,
          wallTime: "1 second",
          money: 46,
          prices: perToken
        } as const
        const result = yield* Agent.run(withBudget(Budget.make(options)), { prompt: "go" })
        assert.deepStrictEqual(shown(result), ["done", 3, "stop"])
      }).pipe(Effect.provide([script([noting, noting, text("done")]), handlers])))

    it.effect("answer for tools that the model asks for all the same", () =>
      Effect.gen(function*() {
        const result = yield* Agent.run(withBudget(Budget.make({ name: "tight", modelCalls: 1 })), { prompt: "go" })
        assert.deepStrictEqual(shown(result), ["", 2, "tight-model-calls"])
        assert.deepStrictEqual(results(result), [
          "tool: note#call-1-1 = \"noted\"",
          "tool: note#call-2-1 failed = {\"type\":\"execution-denied\",\"reason\":\"No more tools may be called in this run\"}"
        ])
      }).pipe(Effect.provide([script([noting, noting]), handlers])))

    it.effect("come first if nothing was there to spend", () =>
      Effect.gen(function*() {
        const result = yield* Agent.run(withBudget(Budget.make({ tokens: 0 })), { prompt: "go" })
        assert.deepStrictEqual(shown(result), ["done", 1, "budget-tokens"])
      }).pipe(Effect.provide([script([text("done")]), handlers])))

    it.effect("are values of the output of an agent that has one", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          toolkit,
          output: Schema.Struct({ found: Schema.Boolean }),
          middleware: [Budget.middleware(Budget.make({ modelCalls: 1 }))]
        })
        const { stopReason, value } = yield* Agent.run(agent, { prompt: "go" })
        assert.deepStrictEqual([value, stopReason], [{ found: false }, "budget-model-calls"])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual((yield* requests)[1]!.toolChoice, { tool: "final_answer" })
      }).pipe(Effect.provide([
        script([noting, toolCalls({ name: "final_answer", params: { found: false } })]),
        handlers
      ])))

    it.effect("are anew in each run of the agent", () =>
      Effect.gen(function*() {
        const agent = withBudget(Budget.make({ modelCalls: 1 }))
        const both = yield* Effect.all([
          Agent.run(agent, { prompt: "one" }),
          Agent.run(agent, { prompt: "two" })
        ], { concurrency: 2 }).pipe(Effect.provide([script(Array.from({ length: 4 }, () => byLast)), handlers]))
        assert.deepStrictEqual(both.map(shown), [["done", 2, "budget-model-calls"], ["done", 2, "budget-model-calls"]])
      }))
  })

  describe("tool calls", () => {
    it.effect("of one step that are beyond the limit are refused, whichever they are", () =>
      Effect.gen(function*() {
        const fiber = yield* Agent.run(withBudget(Budget.make({ toolCalls: 2 })), { prompt: "go" }).pipe(
          Effect.forkChild
        )
        yield* TestClock.adjust("1 minute")
        const result = yield* Fiber.join(fiber)
        assert.deepStrictEqual(result.steps[0]!.toolCalls.map(({ executed, name }) => [name, executed]), [
          ["slow", true],
          ["note", true],
          ["slow", false]
        ])
        assert.include(results(result)[0]!, "The budget `budget` allows no more tool calls: its tool-calls are used up")
        assert.deepStrictEqual(shown(result), ["done", 2, "budget-tool-calls"])
      }).pipe(Effect.provide([
        script([toolCalls({ name: "slow", params: {} }, note, { name: "slow", params: {} }), text("done")]),
        handlers
      ])))

    it.effect("that do not reach their tool are not counted", () =>
      Effect.gen(function*() {
        const budget = Budget.make({ toolCalls: 1 })
        const agent = Agent.make("agent", { toolkit })
        const [result, spent] = yield* Effect.all([Agent.run(agent, { prompt: "go" }), spentOf(budget)]).pipe(
          Budget.provide(budget)
        )
        assert.deepStrictEqual(result.steps[0]!.toolCalls.map(({ executed }) => executed), [false, false, true])
        assert.strictEqual(spent.toolCalls, 1)
      }).pipe(
        Effect.provideService(ToolLoop.ToolConcurrency, 1),
        Effect.provide([
          script([toolCalls({ name: "ghost", params: {} }, { name: "exact", params: {} }, note), text("done")]),
          handlers
        ])
      ))

    it.effect("do not begin when the time is over, and go on if they have begun", () =>
      Effect.gen(function*() {
        const fiber = yield* Agent.run(withBudget(Budget.make({ wallTime: "5 seconds" })), { prompt: "go" }).pipe(
          Effect.provideService(ToolLoop.ToolConcurrency, 1),
          Effect.forkChild
        )
        yield* TestClock.adjust("1 minute")
        const result = yield* Fiber.join(fiber)
        assert.deepStrictEqual(result.steps[0]!.toolCalls.map(({ executed }) => executed), [true, false])
        assert.deepStrictEqual(shown(result), ["done", 2, "budget-wall-time"])
      }).pipe(Effect.provide([script([toolCalls({ name: "slow", params: {} }, note), text("done")]), handlers])))
  })

  describe("nested runs", () => {
    const child = Agent.make("child", { toolkit })
    const asking = AgentTool.toolkit(AgentTool.make(child, { name: "ask" }))
    const ask = (prompt: string): ScriptedModel.ToolCall => ({ name: "ask", params: { prompt } })
    const parentOf = <E>(budget: Budget.Budget<E>, log: Log = []) =>
      Agent.make("parent", {
        toolkit: asking,
        middleware: [Budget.middleware(budget)],
        providers: [logged("parent", log)]
      })

    it.effect("draw from the budget of the run that called them", () =>
      Effect.gen(function*() {
        const { exit, parts } = yield* collectAll(
          Agent.stream(parentOf(Budget.make({ modelCalls: 3 })), { prompt: "go" })
        )
        assert.isTrue(Exit.isSuccess(exit))
        const ends = parts.flatMap((part) =>
          part.type === "run-end"
            ? [shown(part.result)]
            : part.type === "agent-part" && part.part.type === "run-end"
            ? [shown(part.part.result)]
            : []
        )
        // the caller's first call and two of the agent; then both answer
        assert.deepStrictEqual(ends, [["child done", 3, "budget-model-calls"], ["done", 2, "budget-model-calls"]])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual((yield* requests).map(({ toolChoice }) => toolChoice), [
          "auto",
          "auto",
          "auto",
          "none",
          "none"
        ])
      }).pipe(Effect.provide([
        script([toolCalls(ask("x")), noting, noting, text("child done"), text("done")]),
        handlers
      ])))

    it.effect("in parallel cannot both take the last call", () =>
      Effect.gen(function*() {
        const { exit, parts } = yield* collectAll(
          Agent.stream(parentOf(Budget.make({ modelCalls: 2 })), { prompt: "go" })
        )
        assert.isTrue(Exit.isSuccess(exit))
        const reasons = parts.flatMap((part) =>
          part.type === "agent-part" && part.part.type === "run-end" ? [part.part.result.stopReason] : []
        )
        assert.sameMembers(reasons, ["stop", "budget-model-calls", "budget-model-calls"])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.strictEqual((yield* requests).filter(({ toolChoice }) => toolChoice === "auto").length, 2)
      }).pipe(Effect.provide([
        script([toolCalls(ask("x"), ask("y"), ask("z")), ...Array.from({ length: 4 }, () => text("done"))]),
        handlers
      ])))

    it.effect("of tools and providers draw from it too", () =>
      Effect.gen(function*() {
        const summarizer = Agent.make("summarizer")
        const summary = ContextProvider.make("summary", {
          beforeRun: () =>
            Effect.map(Agent.run(summarizer, { prompt: "sum up" }), ({ text }) => ({ instructions: text }))
        })
        const agent = Agent.make("agent", {
          toolkit,
          providers: [summary],
          middleware: [Budget.middleware(Budget.make({ modelCalls: 2 }))]
        })
        assert.deepStrictEqual(shown(yield* Agent.run(agent, { prompt: "go" })), ["done", 2, "budget-model-calls"])
      }).pipe(Effect.provide([script([text("a summary"), noting, text("done")]), handlers])))

    it.effect("that write a summary of the conversation draw from it; a summary without a run does not", () =>
      Effect.gen(function*() {
        const writer = Agent.make("writer")
        const strategies = {
          alone: Compaction.summarise(),
          run: Compaction.summariseWith((prompt) => Effect.map(Agent.run(writer, { prompt }), ({ text }) => text))
        }
        const said = Array.from({ length: 10 }, (_, index) => ({
          role: index % 2 === 0 ? "user" as const : "assistant" as const,
          content: `This was said a while ago, number ${index}.`
        }))
        const spentWith = (
          strategy: Compaction.Strategy<AiError.AiError | AgentError.AgentError, LanguageModel.LanguageModel>
        ) => {
          const budget = Budget.make({ modelCalls: 99 })
          const agent = Agent.make("agent", { providers: [Compaction.make({ maxTokens: 60, strategies: [strategy] })] })
          return Effect.gen(function*() {
            yield* Agent.run(agent, { prompt: [...said, { role: "user", content: "What?" }] })
            const { requests } = yield* ScriptedModel.ScriptedModel
            const { modelCalls } = yield* spentOf(budget)
            return [(yield* requests).length, modelCalls]
          }).pipe(Budget.provide(budget), Effect.provide(script([text("a"), text("b"), text("c"), text("d")])))
        }
        assert.deepStrictEqual(yield* spentWith(strategies.alone), [4, 1])
        assert.deepStrictEqual(yield* spentWith(strategies.run), [4, 4])
      }))

    it.effect("that have the same budget do not open it again; with another one they draw from both", () =>
      Effect.gen(function*() {
        const outer = Budget.make({ name: "outer", modelCalls: 4 })
        const inner = Budget.make({ name: "inner", modelCalls: 1 })
        const nested = (...budgets: ReadonlyArray<Budget.Budget>) =>
          Agent.make("parent", {
            toolkit: AgentTool.toolkit(AgentTool.make(
              Agent.make("child", { toolkit, middleware: budgets.map((budget) => Budget.middleware(budget)) }),
              { name: "ask" }
            )),
            middleware: [Budget.middleware(outer)]
          })
        const steps = (
          count: number
        ) => [toolCalls(ask("x")), ...Array.from({ length: count }, () => noting), text("child done"), text("done")]
        const reasons = (
          agent: Agent.Agent<any, unknown, LanguageModel.LanguageModel | Tool.HandlersFor<typeof toolkit.tools>>,
          count: number
        ) =>
          Effect.map(
            collectAll(Agent.stream(agent, { prompt: "go" })),
            ({ parts }) =>
              parts.flatMap((part) =>
                part.type === "run-end"
                  ? [part.result.stopReason]
                  : part.type === "agent-part" && part.part.type === "run-end"
                  ? [part.part.result.stopReason]
                  : []
              )
          ).pipe(Effect.provide([script(steps(count)), handlers]))
        assert.deepStrictEqual(yield* reasons(nested(outer), 3), ["outer-model-calls", "outer-model-calls"])
        assert.deepStrictEqual(yield* reasons(nested(inner), 1), ["inner-model-calls", "stop"])
      }))

    it.effect("are interrupted when a budget fails, which only the run that has it does", () =>
      Effect.gen(function*() {
        const log: Log = []
        const inner = Agent.make("child", { toolkit, providers: [logged("child", log)] })
        const outer = Agent.make("parent", {
          // the model of the caller would read a failure of the agent, but this is none
          toolkit: AgentTool.toolkit(AgentTool.make(inner, { name: "ask", failureMode: "return" })),
          middleware: [Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 3 })))],
          providers: [logged("parent", log)]
        })
        const error = yield* Effect.flip(Agent.run(outer, { prompt: "go" }))
        assert.deepStrictEqual(error, exceeded("model-calls", 3, 3))
        assert.deepStrictEqual(log, [
          "parent before",
          "child before",
          "child end: Interrupted after \"\"",
          "parent end: Failed Fail BudgetExceeded after \"\""
        ])
        const { opened, requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual([(yield* requests).length, yield* opened], [3, 3])
      }).pipe(Effect.provide([script([toolCalls(ask("x")), noting, noting, text("never")]), handlers])))

    it.effect("of a provider fail with the budget, because nobody else can", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asks = ContextProvider.make("asks", {
          beforeRun: () =>
            Effect.as(Effect.andThen(Agent.run(child, { prompt: "a" }), Agent.run(child, { prompt: "b" })), {})
        })
        const agent = Agent.make("agent", {
          providers: [logged("p", log), asks],
          middleware: [Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 1 })))]
        })
        const error = yield* Effect.flip(Agent.run(agent, { prompt: "go" }))
        assert.deepStrictEqual(error, exceeded("model-calls", 1, 1))
        assert.deepStrictEqual(log, ["p before", "p end: Failed Fail BudgetExceeded after \"\""])
      }).pipe(Effect.provide([script([text("a")]), handlers])))
  })

  describe("orFail", () => {
    const cases: ReadonlyArray<
      readonly [
        resource: Budget.Resource,
        Budget.Options,
        ReadonlyArray<ScriptedModel.Step>,
        limit: number,
        used: number
      ]
    > = [
      ["model-calls", { modelCalls: 2 }, [noting, noting], 2, 2],
      ["tool-calls", { toolCalls: 2 }, [noting, noting, noting], 2, 2],
      ["tokens", { tokens: 100 }, [spending(60, 20, note), spending(60, 20, note)], 100, 160],
      ["money", { money: 3, prices: { input: 10_000, output: 50_000 } }, [spending(200, 20, note)], 3, 3],
      ["wall-time", { wallTime: "15 seconds" }, [step(text("a"), hang)], 15_000, 15_000]
    ]

    it.effect.each(cases)(
      "fails the run that wants more %s, with what it has",
      ([resource, options, steps, limit, used]) =>
        Effect.gen(function*() {
          const log: Log = []
          const budget = Budget.orFail(Budget.make(options))
          const fiber = yield* Agent.run(withBudget(budget, log), { prompt: "go" }).pipe(
            Effect.exit,
            Effect.forkChild
          )
          yield* TestClock.adjust("1 minute")
          const exit = yield* Fiber.join(fiber)
          const end = AgentRun.outcome(exit)
          if (end._tag !== "Failed") return assert.fail(end._tag)
          assert.deepStrictEqual(end.cause.reasons.map((reason) => reason._tag === "Fail" && reason.error), [
            exceeded(resource, limit, used)
          ])
          assert.strictEqual(
            end.partial.steps.length,
            resource === "wall-time" ? 0 : steps.length - Number(resource === "tool-calls")
          )
          assert.deepStrictEqual(log, [
            "p before",
            `p end: Failed Fail BudgetExceeded after "${resource === "wall-time" ? "a" : ""}"`
          ])
          const { opened, requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual([(yield* requests).length, yield* opened], [steps.length, steps.length])
        }).pipe(Effect.provide([script(steps), handlers]))
    )

    it.effect("is catchable by tag, from stream and from run, and says what happened", () =>
      Effect.gen(function*() {
        const agent = withBudget(Budget.orFail(Budget.make({ name: "daily", modelCalls: 0 })))
        const ran = yield* Agent.run(agent, { prompt: "go" }).pipe(
          Effect.as("ran"),
          Effect.catchTag("BudgetExceeded", (error) => Effect.succeed(error.message))
        )
        assert.strictEqual(ran, "The budget `daily` is exceeded: 0 of 0 model-calls are used")
        const streamed = yield* Agent.stream(agent, { prompt: "go" }).pipe(
          Stream.map((part) => part.type as string),
          Stream.catchTag("BudgetExceeded", ({ budget }) => Stream.succeed(budget)),
          Stream.runCollect
        )
        assert.deepStrictEqual(streamed, ["run-start", "step-start", "daily"])
      }).pipe(Effect.provide([script([]), handlers])))

    it.effect("lets a run end that wants nothing more", () =>
      Effect.gen(function*() {
        const budget = Budget.orFail(Budget.make({ modelCalls: 2, toolCalls: 1, tokens: 30 }))
        assert.deepStrictEqual(shown(yield* Agent.run(withBudget(budget), { prompt: "go" })), ["done", 2, "stop"])
      }).pipe(Effect.provide([script([noting, text("done")]), handlers])))

    it.effect("interrupts the tools that run when the time is over, before the run fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        const tools = Toolkit.make(Tool.make("a"), Tool.make("b"))
        const agent = Agent.make("agent", {
          toolkit: tools,
          middleware: [Budget.middleware(Budget.orFail(Budget.make({ wallTime: "5 seconds" })))],
          providers: [logged("p", log)]
        })
        const fiber = yield* Agent.run(agent, { prompt: "go" }).pipe(
          Effect.exit,
          Effect.provide(tools.toLayer({ a: () => hanging("a", log), b: () => hanging("b", log) })),
          Effect.forkChild
        )
        yield* TestClock.adjust("4999 millis")
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        const exit = yield* Fiber.join(fiber)
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail BudgetExceeded")
        assert.deepStrictEqual(log.slice(0, 3), ["p before", "a runs", "b runs"])
        assert.sameMembers(log.slice(3, 5), ["a interrupted", "b interrupted"])
        assert.deepStrictEqual(log.slice(5), ["p end: Failed Fail BudgetExceeded after \"\""])
      }).pipe(Effect.provide(script([toolCalls({ name: "a", params: {} }, { name: "b", params: {} })]))))

    it.effect("closes the model stream before the run fails", () =>
      Effect.gen(function*() {
        const fiber = yield* Agent.run(withBudget(Budget.orFail(Budget.make({ wallTime: "1 second" }))), {
          prompt: "go"
        })
          .pipe(Effect.exit, Effect.forkChild)
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(fiber)
        const { closed } = yield* ScriptedModel.ScriptedModel
        assert.strictEqual((yield* closed).length, 1)
      }).pipe(Effect.provide([script([step(text("a"), hang)]), handlers])))

    it.effect("is the hard limit around a soft one", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          toolkit,
          middleware: [
            Budget.middleware(Budget.orFail(Budget.make({ name: "hard", wallTime: "25 seconds" }))),
            Budget.middleware(Budget.make({ name: "soft", wallTime: "15 seconds" }))
          ]
        })
        const run = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
          Effect.gen(function*() {
            const fiber = yield* Effect.forkChild(Effect.exit(Agent.run(agent, { prompt: "go" })))
            yield* TestClock.adjust("1 minute")
            return yield* Fiber.join(fiber)
          }).pipe(Effect.provide([script(steps), handlers]))
        const slow = toolCalls({ name: "slow", params: {} })
        const ended = yield* run(slow, slow, text("done"))
        assert.deepStrictEqual(Exit.isSuccess(ended) && shown(ended.value), ["done", 3, "soft-wall-time"])
        const cut = yield* run(slow, slow, step(text("slowly"), delay("10 seconds")))
        assert.strictEqual(showExit(cut), "Failed Fail BudgetExceeded after \"slowly\"")
      }))
  })

  describe("provide", () => {
    it.effect("shares a budget between the runs of a program", () =>
      Effect.gen(function*() {
        const budget = Budget.make({ modelCalls: 3 })
        const agent = Agent.make("agent", { toolkit })
        const [one, two, spent] = yield* Effect.all([
          Agent.run(agent, { prompt: "one" }),
          Agent.run(withBudget(budget), { prompt: "two" }),
          spentOf(budget)
        ]).pipe(Budget.provide(budget))
        assert.deepStrictEqual([shown(one), shown(two)], [["a", 2, "stop"], ["b", 2, "budget-model-calls"]])
        assert.deepStrictEqual(spent, { tokens: 60, money: 0, modelCalls: 4, toolCalls: 2, wallTime: 0 })
      }).pipe(Effect.provide([script([noting, text("a"), noting, text("b")]), handlers])))

    it.effect("fails the program if the budget does, after the runs in it are interrupted", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("agent", { toolkit, providers: [logged("p", log)] })
        const error = yield* Agent.run(agent, { prompt: "one" }).pipe(
          Effect.ignoreCause,
          Effect.andThen(Effect.never),
          Budget.provide(Budget.orFail(Budget.make({ modelCalls: 1 }))),
          Effect.flip
        )
        assert.deepStrictEqual(error, exceeded("model-calls", 1, 1))
        assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"\""])
      }).pipe(Effect.provide([script([noting]), handlers])))
  })

  describe("remaining", () => {
    it.effect("is told to tools and providers: the least of all budgets, nothing without one", () =>
      Effect.gen(function*() {
        const seen: Array<Budget.Amounts<number | undefined>> = []
        const look = Effect.map(Budget.remaining, (left) => void seen.push(left))
        const tools = Toolkit.make(Tool.make("look"))
        const agent = Agent.make("agent", {
          toolkit: tools,
          providers: [ContextProvider.make("looks", { beforeRun: () => Effect.as(look, {}), afterRun: () => look })],
          middleware: [
            Budget.middleware(Budget.make({ tokens: 1000, toolCalls: 5, wallTime: "1 minute" })),
            Budget.middleware(Budget.make({ tokens: 500, modelCalls: 9, money: 20, prices: perToken }))
          ]
        })
        const fiber = yield* Agent.run(agent, { prompt: "go" }).pipe(
          Effect.provide(tools.toLayer({ look: () => Effect.andThen(Effect.sleep("2 seconds"), look) })),
          Effect.forkChild
        )
        yield* TestClock.adjust("3 seconds")
        yield* Fiber.join(fiber)
        assert.deepStrictEqual(seen, [
          { tokens: 500, money: 20, modelCalls: 9, toolCalls: 5, wallTime: 60_000 },
          { tokens: 485, money: 5, modelCalls: 8, toolCalls: 4, wallTime: 58_000 },
          { tokens: 470, money: 0, modelCalls: 7, toolCalls: 4, wallTime: 58_000 }
        ])
        yield* look
        assert.deepStrictEqual(seen[3], {
          tokens: undefined,
          money: undefined,
          modelCalls: undefined,
          toolCalls: undefined,
          wallTime: undefined
        })
      }).pipe(Effect.provide(script([toolCalls({ name: "look", params: {} }), text("done")]))))
  })

  describe("spent", () => {
    it.effect("is none where the budget is not open", () =>
      Effect.gen(function*() {
        const budget = Budget.make({ tokens: 1 })
        assert.isTrue(Option.isNone(yield* Budget.spent(budget)))
        assert.isTrue(Option.isNone(yield* Budget.spent(budget).pipe(Budget.provide(Budget.make({ tokens: 1 })))))
      }))

    it.effect("counts by the prices of the model that answered, with those of its cache", () =>
      Effect.gen(function*() {
        const asked: Array<string | undefined> = []
        const budget = Budget.make({
          money: 1000,
          prices: (model) => {
            asked.push(model)
            return model === "small-2026"
              ? { input: 1_000_000, output: 10_000_000, cacheRead: 100_000, cacheWrite: 2_000_000 }
              : { input: 2_000_000, output: 0 }
          }
        })
        const { money, tokens } = yield* Effect.andThen(
          Agent.run(Agent.make("agent", { toolkit }), { prompt: "go" }),
          spentOf(budget)
        ).pipe(Budget.provide(budget))
        assert.deepStrictEqual(asked, ["small-2026", "small"])
        // 10 new, 20 read, 5 written, 3 out; then 7 in of which some are cached, at one price
        assert.deepStrictEqual([tokens, money], [35 + 3 + 7 + 2, 10 + 2 + 10 + 30 + 14])
      }).pipe(Effect.provide([
        namedScript([
          step(
            parts([{ type: "response-metadata", id: "r", modelId: "small-2026", timestamp: undefined }]),
            noting,
            finish("tool-calls", {
              inputTokens: { total: 35, cacheRead: 20, cacheWrite: 5 },
              outputTokens: { total: 3 }
            })
          ),
          // a provider that reports no totals
          step(
            text("done"),
            finish("stop", { inputTokens: { uncached: 4, cacheRead: 3 }, outputTokens: { text: 1, reasoning: 1 } })
          )
        ], { name: "small" }),
        handlers
      ])))

    it.effect.each([{ input: NaN, output: 1 }, { input: 1 } as Budget.Price])(
      "at a price that is not a number is not free: no other call begins",
      (price) =>
        Effect.gen(function*() {
          const budget = Budget.make({ money: 1, prices: price })
          const agent = Agent.make("agent", { toolkit, middleware: [Budget.middleware(budget)] })
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "go" }))
          assert.isTrue(Exit.hasDies(exit))
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.strictEqual((yield* requests).length, 1)
        }).pipe(Effect.provide([script([noting, noting, text("done")]), handlers]))
    )

    it.effect("uses up the money with the call of a model that has no price, and names its provider and usage", () =>
      Effect.gen(function*() {
        const asked: Array<unknown> = []
        const budget = Budget.make({
          money: 5,
          prices: (model, provider, { inputTokens }) => {
            asked.push([model, provider, inputTokens.total])
            return undefined
          }
        })
        const agent = Agent.make("agent", { toolkit, middleware: [Budget.middleware(budget)] })
        const [result, spent] = yield* Effect.all([Agent.run(agent, { prompt: "go" }), spentOf(budget)]).pipe(
          Budget.provide(budget)
        )
        assert.deepStrictEqual(shown(result), ["done", 2, "budget-money"])
        assert.deepStrictEqual([spent.money, asked], [5, [["small", "scripted", 10], ["small", "scripted", 10]]])
      }).pipe(Effect.provide([namedScript([noting, text("done")], { name: "small" }), handlers])))

    const spends = (
      outcome: AgentRun.Outcome["_tag"],
      last: ScriptedModel.Step,
      consume: (
        stream: Stream.Stream<
          AgentRun.Part,
          unknown,
          LanguageModel.LanguageModel | Tool.HandlersFor<typeof toolkit.tools>
        >
      ) => Effect.Effect<unknown, unknown, LanguageModel.LanguageModel | Tool.HandlersFor<typeof toolkit.tools>>,
      expected: Partial<Budget.Amounts>
    ) =>
      Effect.gen(function*() {
        const log: Log = []
        const budget = Budget.make({ modelCalls: 9 })
        // its calls are cut when it fails, but it has no reason to
        const hard = Budget.orFail(Budget.make({ modelCalls: 9, wallTime: "1 hour" }))
        const agent = Agent.make("agent", {
          toolkit,
          providers: [logged("p", log)],
          middleware: [Budget.middleware(hard)]
        })
        const spent = yield* Effect.andThen(
          Effect.exit(consume(Agent.stream(agent, { prompt: "go" }))),
          spentOf(budget)
        )
          .pipe(Budget.provide(budget))
        assert.strictEqual(log.at(-1)!.split(" ")[2], outcome)
        assert.deepStrictEqual(spent, { tokens: 15, money: 0, modelCalls: 2, toolCalls: 1, wallTime: 0, ...expected })
      }).pipe(Effect.provide([script([noting, last]), handlers]))

    const untilText = Stream.takeUntil<AgentRun.Part>((part) => part.type === "text-delta")

    it.effect("by a run that completes", () => spends("Completed", text("done"), Stream.runDrain, { tokens: 30 }))

    it.effect("by a run that fails: the call that failed, not what it never reported", () =>
      spends("Failed", step(text("x"), fail(new AiError.RateLimitError({}))), Stream.runDrain, {}))

    it.effect("by a run that is abandoned", () =>
      spends("Abandoned", step(text("x"), hang), (stream) => Stream.runDrain(untilText(stream)), {}))

    it.effect("by a run that is interrupted", () =>
      spends("Interrupted", step(text("x"), hang), (stream) =>
        Effect.gen(function*() {
          const reached = yield* Deferred.make<void>()
          const fiber = yield* Stream.runForEach(
            stream,
            (part) => part.type === "text-delta" ? Deferred.succeed(reached, undefined) : Effect.void
          ).pipe(Effect.forkChild)
          yield* Deferred.await(reached)
          yield* Fiber.interrupt(fiber)
        }), {}))

    it.effect("counts the retries of a middleware", () =>
      Effect.gen(function*() {
        const retrying = Middleware.make("retry", {
          model: (request, next) => Stream.catchCause(next(request), () => next(request))
        })
        const budget = Budget.make({ modelCalls: 9 })
        const agent = Agent.make("agent", { middleware: [retrying] })
        const { modelCalls } = yield* Effect.andThen(Agent.run(agent, { prompt: "go" }), spentOf(budget)).pipe(
          Budget.provide(budget)
        )
        assert.strictEqual(modelCalls, 2)
      }).pipe(Effect.provide(script([fail(new AiError.RateLimitError({})), text("done")]))))
  })

  describe("telemetry", () => {
    it.effect("a run whose budget failed says so; what it ran is cancelled", () =>
      Effect.gen(function*() {
        const budget = Budget.orFail(Budget.make({ modelCalls: 2 }))
        const child = Agent.make("child", { toolkit })
        const parent = Agent.make("parent", {
          toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })),
          middleware: [Budget.middleware(budget)]
        })
        const [, { spans }] = yield* nodeSdk.run(
          Agent.run(parent, { prompt: "go" }).pipe(Effect.provide([
            script([toolCalls({ name: "ask", params: { prompt: "x" } }), noting]),
            handlers
          ]))
        )
        const errors = spans.flatMap(({ attributes, name }) =>
          name.startsWith("invoke_agent") || name === "execute_tool ask" ? [[name, attributes["error.type"]]] : []
        )
        assert.deepStrictEqual(errors, [
          ["invoke_agent child", "cancelled"],
          ["execute_tool ask", "BudgetExceeded"],
          ["invoke_agent parent", "BudgetExceeded"]
        ])
      }))
  })

  describe("the seams", () => {
    it.effect("a middleware makes a call the final answer of its run, and it is the innermost that decides", () =>
      Effect.gen(function*() {
        const seen: Array<AgentRun.StopReason | undefined> = []
        const deciding = (reason: AgentRun.StopReason | undefined) =>
          Middleware.make("deciding", {
            model: (request, next) => {
              seen.push(request.finalAnswer)
              return next(request.steps.length === 1 ? { ...request, finalAnswer: reason } : request)
            }
          })
        const agent = Agent.make("agent", { toolkit, middleware: [deciding("outer"), deciding("inner")] })
        assert.deepStrictEqual(shown(yield* Agent.run(agent, { prompt: "go" })), ["done", 2, "inner"])
        assert.deepStrictEqual(seen, [undefined, undefined, undefined, "outer"])
        const takesBack = Agent.make("agent", { toolkit, middleware: [deciding("outer"), deciding(undefined)] })
        assert.deepStrictEqual(shown(yield* Agent.run(takesBack, { prompt: "go" })), ["done", 2, "stop"])
      }).pipe(Effect.provide([script([noting, text("done"), noting, text("done")]), handlers])))

    it.effect("inherited middleware is around the calls of all runs in its context, within their own", () =>
      Effect.gen(function*() {
        const log: Log = []
        const logging = (name: string) =>
          Middleware.make(name, {
            agent: (request, next) => {
              log.push(`${name} around ${request.agent}`)
              return next(request)
            },
            model: (request, next) => {
              log.push(`${name} asks for ${request.agent}`)
              return next(request)
            },
            tool: (request, next) => {
              log.push(`${name} calls ${request.name} for ${request.agent}`)
              return next(request)
            }
          })
        const child = Agent.make("child")
        const parent = Agent.make("parent", {
          toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })),
          middleware: [logging("own")]
        })
        yield* Agent.run(parent, { prompt: "go" }).pipe(
          Effect.provideService(Middleware.Inherited, [logging("inherited")])
        )
        assert.deepStrictEqual(log, [
          "own around parent",
          "own asks for parent",
          "inherited asks for parent",
          "own calls ask for parent",
          "inherited calls ask for parent",
          "inherited asks for child",
          "own asks for parent",
          "inherited asks for parent"
        ])
      }).pipe(Effect.provide(script([
        toolCalls({ name: "ask", params: { prompt: "x" } }),
        text("because"),
        text("done")
      ]))))
  })

  describe("property", () => {
    const count = (maximum: number) => Schema.Int.check(Schema.isBetween({ minimum: 0, maximum }))
    const World = Schema.Struct({
      // what the model does in its calls, one after the other, whoever makes them
      calls: Schema.Array(Schema.Struct({
        tokens: count(40),
        takes: count(30),
        notes: count(3),
        asks: count(2)
      })).check(Schema.isMinLength(1), Schema.isMaxLength(12)),
      tokens: Schema.UndefinedOr(count(200)),
      modelCalls: Schema.UndefinedOr(count(8)),
      toolCalls: Schema.UndefinedOr(count(6)),
      wallTime: Schema.UndefinedOr(count(100)),
      fails: Schema.Boolean
    })

    // ten notes and agents at once, whoever takes the last of something
    it.effect.prop(
      "is exceeded by what was in flight and by final answers, and by nothing else",
      { world: World },
      ({ world }) =>
        Effect.gen(function*() {
          // what happened, as the model and the tools saw it
          const seen = { begun: 0, finals: 0, runs: 0, reported: 0, notes: 0 }
          const broken: Array<string> = []
          let spent: Budget.Amounts | undefined

          const observing = Middleware.make("observing", {
            agent: (request, next) => {
              seen.runs++
              return next(request)
            },
            model: (request, next) =>
              Stream.tap(next(request), (part) =>
                Effect.sync(() => {
                  if (part.type === "finish") seen.reported += part.usage.inputTokens.total ?? 0
                }))
          })
          const asking = AgentTool.make((): Node => node, { name: "ask", failureMode: "return" })
          const tools = Toolkit.make(Note, asking.tool)
          const node: Node = Agent.make("node", { toolkit: tools, middleware: [observing] })

          const steps = Array.from({ length: 300 }, (_, index) => ({ toolChoice }: ScriptedModel.Request) => {
            const { asks, notes, takes, tokens } = world.calls[index % world.calls.length]!
            const isFinal = toolChoice === "none"
            seen.begun++
            if (isFinal) seen.finals++
            else if (world.tokens !== undefined && seen.reported >= world.tokens) broken.push("a call without tokens")
            const calls = isFinal || index >= world.calls.length ? [] : [
              ...Array.from({ length: notes }, () => note),
              ...Array.from({ length: asks }, () => ({ name: "ask", params: { prompt: "x" } }))
            ]
            const said = calls.length === 0 ? text("said") : toolCalls(...calls)
            return [delay(takes), said, finish(calls.length === 0 ? "stop" : "tool-calls", usage(tokens, 0))]
          })
          const { wallTime } = world
          const noteHandler = () =>
            Effect.clockWith((clock) => {
              seen.notes++
              if (wallTime !== undefined && clock.currentTimeMillisUnsafe() >= wallTime) {
                broken.push("a tool after the end")
              }
              return Effect.as(Effect.sleep(5), "noted")
            })

          const budget = world.fails ? Budget.orFail(Budget.make(world)) : Budget.make(world)
          const fiber = yield* Agent.run(node, { prompt: "go" }).pipe(
            Effect.onExit(() => Effect.map(spentOf(budget), (amounts) => void (spent = amounts))),
            Budget.provide(budget),
            Effect.exit,
            Effect.provide([script(steps), tools.toLayer({ note: noteHandler, ask: asking.handler })]),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 hour")
          const exit = yield* Fiber.join(fiber)

          assert.deepStrictEqual(broken, [])
          if (spent === undefined) return assert.fail("it never ran")
          assert.isAtMost(seen.begun - seen.finals, world.modelCalls ?? Infinity)
          assert.isAtMost(spent.toolCalls, world.toolCalls ?? Infinity)
          assert.isAtMost(seen.notes, spent.toolCalls)
          assert.strictEqual(spent.modelCalls, seen.begun)
          assert.strictEqual(spent.tokens, seen.reported)
          if (world.fails) assert.strictEqual(seen.finals, 0)
          else {
            assert.isTrue(Exit.isSuccess(exit))
            assert.isAtMost(seen.finals, seen.runs)
          }
        }),
      { arbitrary: { runs: 200, seed: "budget" } }
    )
  })
})

type Node = Agent.Agent<any, AiError.AiError | AgentError.AgentError, any>

const perToken: Budget.Price = { input: 1_000_000, output: 1_000_000 }

const byLast = ({ prompt }: ScriptedModel.Request): ScriptedModel.Piece =>
  showPrompt(prompt).at(-1)!.startsWith("tool:") ? text("done") : noting

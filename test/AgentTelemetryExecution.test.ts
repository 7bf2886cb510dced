import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Schema, Stream } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { Agent, AgentOutput, type AgentRun, Approval, ContextProvider, Middleware } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Exported, exporters, runs } from "./fixtures/telemetry.ts"

const { text, toolCalls } = ScriptedModel

const Pay = Tool.make("pay", {
  parameters: Schema.Struct({ to: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
const toolkit = Toolkit.make(Pay)
const handlers = toolkit.toLayer({ pay: ({ to }) => Effect.withSpan(Effect.succeed(`paid ${to}`), "bank") })
const script = [toolCalls({ id: "p", name: "pay", params: { to: "Ada" } }), text("ok")]
const layer = (steps = script) => Layer.merge(ScriptedModel.model(steps, { name: "m" }), handlers)

const tools = ({ spans }: Exported) => spans.filter(({ name }) => name.startsWith("execute_tool"))

const measured = ({ metrics }: Exported, name: string) =>
  metrics.find((metric) => metric.name === name)?.points.map(({ count, sum }) => [count, sum]) ?? []

const traced = Middleware.make("traced", {
  tool: (request, next) => Stream.withSpan(next(request), "around")
})

describe.each(exporters)("a call that nobody lets through, exported by $name", (exporter) => {
  const rules = { none: [], never: [Approval.never("pay")], always: [Approval.always("pay")] }
  const answers = {
    "is not answered": () => [],
    "is denied": ({ approvals }: AgentRun.Result) => [Approval.deny(approvals[0])],
    "is approved": ({ approvals }: AgentRun.Result) => [Approval.approve(approvals[0])]
  }
  const cases = [
    ["waits", "none", "is not answered", 0],
    ["waits, and is denied", "none", "is denied", 0],
    ["waits, and is approved", "none", "is approved", 1],
    ["is refused by a rule", "never", "is not answered", 0],
    ["is allowed by a rule", "always", "is not answered", 1]
  ] as const

  for (const middleware of [[], [traced]]) {
    for (const [what, rule, answer, executions] of cases) {
      it.effect(`${what}: ${executions} executions${middleware.length > 0 ? ", with a span around it" : ""}`, () =>
        Effect.gen(function*() {
          const agent = Agent.make("payer", { toolkit, middleware })
          const program = Effect.gen(function*() {
            const result = yield* Agent.run(agent, { prompt: "go" }).pipe(
              Effect.provideService(Approval.Rules, rules[rule])
            )
            const given = answers[answer](result)
            if (given.length > 0) yield* Agent.resume(agent, { result }, given)
          })
          const [exit, exported] = yield* exporter.run(runs(Effect.provide(program, layer())))
          assert.strictEqual(exit._tag, "Success")
          assert.strictEqual(tools(exported).length, executions)
          const durations = measured(exported, "gen_ai.execute_tool.duration").map(([count]) => count)
          assert.deepStrictEqual(durations, executions === 0 ? [] : [executions])
          const calls = measured(exported, "gen_ai.invoke_agent.tool_calls").map(([, sum]) => sum)
          assert.deepStrictEqual(calls, [executions])
          if (executions === 1) {
            const bank = exported.spans.find(({ name }) => name === "bank")!
            const parents = exported.spans.filter(({ id }) => id === bank.parentId).map(({ name }) => name)
            assert.deepStrictEqual(parents, [middleware.length > 0 ? "around" : "execute_tool pay"])
          }
        }))
    }
  }

  it.effect("says that it streamed only where the model did", () =>
    Effect.gen(function*() {
      const output = AgentOutput.json(Schema.Struct({ n: Schema.Int }))
      const whole = Middleware.make("whole", {
        model: () => Stream.unwrap(Effect.map(LanguageModel.generateText({ prompt: "x" }), () => Stream.empty)) as never
      })
      const agents = [
        [Agent.make("json", { output }), [text("{\"n\":1}")]],
        [Agent.make("text"), [text("ok")]],
        [Agent.make("whole", { middleware: [whole] }), [text("ok")]]
      ] as const
      const seen = []
      for (const [agent, steps] of agents) {
        const [, exported] = yield* exporter.run(
          runs(
            Effect.provide(
              Effect.exit(Agent.run(agent as Agent.Any as never, { prompt: "go" })),
              layer([...steps])
            ) as never
          )
        )
        const chat = exported.spans.find(({ name }) => name === "chat m")!
        seen.push([
          chat.attributes["gen_ai.request.stream"],
          chat.attributes["gen_ai.response.time_to_first_chunk"] !== undefined,
          measured(exported, "gen_ai.client.inference.time_to_first_chunk").length
        ])
      }
      assert.deepStrictEqual(seen, [[undefined, false, 0], [true, true, 1], [undefined, false, 0]])
    }))

  for (const captureContent of [false, true]) {
    it.effect(`logs a failing finalizer ${captureContent ? "with" : "without"} what it says`, () =>
      Effect.gen(function*() {
        const logs: Array<string> = []
        const logger = Logger.make((options) => void logs.push(Logger.formatLogFmt.log(options)))
        const provider = ContextProvider.make("notes", {
          beforeRun: () => Effect.as(Effect.addFinalizer(() => Effect.die(new TypeError("my diary"))), {})
        })
        const agent = Agent.make("a", { providers: [provider] })
        const [, exported] = yield* exporter.run(
          runs(
            Agent.run(agent, { prompt: "go" }).pipe(
              Effect.annotateSpans({ "gen_ai.input.messages": "my diary", mine: 1 }),
              Effect.annotateLogs({ "gen_ai.output.messages": "my diary" }),
              Effect.provide([layer([text("ok")]), Logger.layer([logger])])
            )
          ),
          { captureContent }
        )
        if (!captureContent) assert.notInclude(exported.text, "my diary")
        assert.include(logs.join(), "The finalizer of `notes` failed")
        assert.include(logs.join(), "TypeError")
        assert.strictEqual(
          logs.join().replace(/gen_ai.output.messages="?my diary"?/g, "").includes("my diary"),
          captureContent
        )
        assert.strictEqual(exported.spans.find(({ name }) => name === "invoke_agent a")!.attributes["mine"], 1)
      }))
  }
})

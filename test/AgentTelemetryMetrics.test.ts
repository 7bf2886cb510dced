import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, Deferred, Effect, Exit, Fiber, Layer, Metric, Schema, Stream } from "effect"
import { AiError, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentTelemetry, Middleware } from "../src/index.ts"
import * as GenAi from "../src/internal/telemetry/genAi.ts"
import { Times } from "../src/internal/telemetry/metrics.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Exported, type Exporter, exporters, nodeSdk, runs } from "./fixtures/telemetry.ts"

const { delay, fail, finish, hang, parts, step, text, toolCalls } = ScriptedModel

const clientSeconds = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92]
const agentSeconds = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6]
const tokens = [
  1,
  4,
  16,
  64,
  256,
  1024,
  4096,
  16384,
  65536,
  262144,
  1048576,
  4194304,
  16777216,
  67108864
]
const calls = [1, 2, 4, 8, 16, 32, 64, 128]

const Slow = Tool.make("slow", { success: Schema.String })
const toolkit = Toolkit.make(Slow)
const handlers = toolkit.toLayer({ slow: () => Effect.as(Effect.sleep("2 seconds"), "at last") })
const agent = Agent.make("clerk", { toolkit })

const model = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
  Layer.merge(ScriptedModel.model(steps, { provider: "google", name: "small" }), handlers)

const run = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
  runs(Agent.run(agent, { prompt: "hi", session: "s-1" })).pipe(Effect.provide(model(...steps)))

/** The points of a metric, each as its attributes but for the unit, its number of values, and their sum. */
const points = ({ metrics }: Exported, name: string) => {
  const metric = metrics.find((metric) => metric.name === name)
  return metric?.points.map(({ attributes: { unit, ...attributes }, count, sum }) => {
    assert.strictEqual(unit, metric.unit)
    return count === undefined ? [attributes, sum] : [attributes, count, sum]
  })
}

const usage = {
  inputTokens: { total: 30, cacheRead: 20, cacheWrite: 4 },
  outputTokens: { total: 7, reasoning: 3 }
}

// the first chunk after 500 ms, then three more, each after 250 ms but the last
const script = [
  toolCalls({ name: "slow", params: {} }),
  step(
    delay("500 millis"),
    parts([{ type: "response-metadata", id: "r-1", modelId: "small-2026", timestamp: undefined }]),
    delay("250 millis"),
    parts([{ type: "text-start", id: "1" }]),
    delay("250 millis"),
    parts([{ type: "text-delta", id: "1", delta: "so" }, { type: "text-end", id: "1" }]),
    finish("stop", usage)
  )
]

describe("AgentTelemetry, metrics", () => {
  describe.each(exporters)("exported by $name", (exporter: Exporter) => {
    it.effect("are those of the conventions, with their units and their buckets", () =>
      Effect.gen(function*() {
        const [, exported] = yield* exporter.run(run(...script))
        assert.deepStrictEqual(
          Object.fromEntries(exported.metrics.map(({ name, points, unit }) => [name, [unit, points[0].bounds]])),
          {
            "gen_ai.client.inference.duration": ["s", clientSeconds],
            "gen_ai.client.inference.time_to_first_chunk": ["s", clientSeconds],
            "gen_ai.client.inference.time_per_output_chunk": ["s", clientSeconds],
            "gen_ai.client.inference.operation.input_tokens": ["{token}", tokens],
            "gen_ai.client.inference.operation.output_tokens": ["{token}", tokens],
            "gen_ai.client.inference.usage.input_tokens": ["{token}", undefined],
            "gen_ai.client.inference.usage.output_tokens": ["{token}", undefined],
            "gen_ai.client.inference.usage.cache_read.input_tokens": ["{token}", undefined],
            "gen_ai.client.inference.usage.cache_write.input_tokens": ["{token}", undefined],
            "gen_ai.client.inference.usage.reasoning.output_tokens": ["{token}", undefined],
            "gen_ai.execute_tool.duration": ["s", clientSeconds],
            "gen_ai.invoke_agent.duration": ["s", agentSeconds],
            "gen_ai.invoke_agent.inference_calls": ["{inference_call}", calls],
            "gen_ai.invoke_agent.tool_calls": ["{tool_call}", calls]
          }
        )
      }))

    it.effect("measure a run that completes", () =>
      Effect.gen(function*() {
        const [exit, exported] = yield* exporter.run(run(...script))
        assert.isTrue(Exit.isSuccess(exit))
        const asked = {
          "gen_ai.operation.name": "chat",
          "gen_ai.provider.name": "gcp.gemini",
          "gen_ai.request.model": "small"
        }
        const named = { ...asked, "gen_ai.response.model": "small-2026" }
        const counted = { "gen_ai.token.modality": "unknown" }
        const clerk = { "gen_ai.agent.name": "clerk", "gen_ai.request.model": "small" }
        assert.deepStrictEqual(
          Object.fromEntries(exported.metrics.map(({ name }) => [name, points(exported, name)])),
          {
            "gen_ai.client.inference.duration": [[asked, 1, 0], [named, 1, 1]],
            "gen_ai.client.inference.time_to_first_chunk": [[asked, 1, 0], [named, 1, 0.5]],
            "gen_ai.client.inference.time_per_output_chunk": [[asked, 1, 0], [named, 4, 0.5]],
            "gen_ai.client.inference.operation.input_tokens": [[asked, 1, 10], [named, 1, 30]],
            "gen_ai.client.inference.operation.output_tokens": [[asked, 1, 5], [named, 1, 7]],
            "gen_ai.client.inference.usage.input_tokens": [[{ ...asked, ...counted }, 10], [
              { ...named, ...counted },
              30
            ]],
            "gen_ai.client.inference.usage.output_tokens": [[{ ...asked, ...counted }, 5], [
              { ...named, ...counted },
              7
            ]],
            "gen_ai.client.inference.usage.cache_read.input_tokens": [[{ ...named, ...counted }, 20]],
            "gen_ai.client.inference.usage.cache_write.input_tokens": [[{ ...named, ...counted }, 4]],
            "gen_ai.client.inference.usage.reasoning.output_tokens": [[{ ...named, ...counted }, 3]],
            "gen_ai.execute_tool.duration": [[
              { "gen_ai.tool.name": "slow", "gen_ai.tool.type": "function", "gen_ai.agent.name": "clerk" },
              1,
              2
            ]],
            "gen_ai.invoke_agent.duration": [[clerk, 1, 3]],
            "gen_ai.invoke_agent.inference_calls": [[{ "gen_ai.agent.name": "clerk" }, 1, 2]],
            "gen_ai.invoke_agent.tool_calls": [[{ "gen_ai.agent.name": "clerk" }, 1, 1]]
          }
        )
      }))

    it.effect("count every model call, also those that a middleware makes in one step", () =>
      Effect.gen(function*() {
        const twice = Middleware.make("twice", {
          model: (request, next) => Stream.concat(Stream.drain(next(request)), next(request))
        })
        const [, exported] = yield* exporter.run(
          runs(Agent.run(Agent.make("clerk", { middleware: [twice] }), { prompt: "hi" })).pipe(
            Effect.provide(model(text("a"), text("b")))
          )
        )
        assert.deepStrictEqual(points(exported, "gen_ai.invoke_agent.inference_calls"), [
          [{ "gen_ai.agent.name": "clerk" }, 1, 2]
        ])
      }))

    it.effect("measure a model call that fails, with its error type and without tokens", () =>
      Effect.gen(function*() {
        const [, exported] = yield* exporter.run(
          run(step(text("a"), delay("1 second"), fail(new AiError.RateLimitError({}))))
        )
        assert.deepStrictEqual(exported.metrics.map(({ name }) => name), [
          "gen_ai.client.inference.duration",
          "gen_ai.client.inference.time_to_first_chunk",
          "gen_ai.client.inference.time_per_output_chunk",
          "gen_ai.invoke_agent.duration",
          "gen_ai.invoke_agent.inference_calls",
          "gen_ai.invoke_agent.tool_calls"
        ])
        assert.deepStrictEqual(points(exported, "gen_ai.client.inference.duration"), [[
          {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "gcp.gemini",
            "gen_ai.request.model": "small",
            "error.type": "RateLimitError"
          },
          1,
          1
        ]])
        assert.deepStrictEqual(points(exported, "gen_ai.invoke_agent.duration"), [[
          { "gen_ai.agent.name": "clerk", "gen_ai.request.model": "small", "error.type": "RateLimitError" },
          1,
          1
        ]])
      }))

    it.effect("measure what is cut short as cancelled, however it is", () =>
      Effect.gen(function*() {
        const stream = Agent.stream(agent, { prompt: "hi" })
        const script = step(text("a"), delay("1 second"), text("b"), hang)
        const errorTypes = (exported: Exported) =>
          exported.metrics.filter(({ name }) => name.endsWith(".duration")).map(({ name, points }) => [
            name,
            ...points.map(({ attributes, sum }) => `${String(attributes["error.type"])} ${sum}`)
          ])
        const [, interrupted] = yield* exporter.run(Effect.gen(function*() {
          const seen = yield* Deferred.make<void>()
          const fiber = yield* stream.pipe(
            Stream.runForEach((part) => part.type === "text-delta" ? Deferred.succeed(seen, undefined) : Effect.void),
            Effect.provide(model(script)),
            Effect.forkChild
          )
          yield* Deferred.await(seen)
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(fiber)
        }))
        assert.deepStrictEqual(errorTypes(interrupted), [
          ["gen_ai.client.inference.duration", "cancelled 1"],
          ["gen_ai.invoke_agent.duration", "cancelled 1"]
        ])
        const [, abandoned] = yield* exporter.run(
          runs(Stream.runDrain(Stream.takeUntil(stream, (part) => part.type === "text-delta" && part.delta === "b")))
            .pipe(
              Effect.provide(model(script))
            )
        )
        assert.deepStrictEqual(errorTypes(abandoned), errorTypes(interrupted))
        const [, tool] = yield* exporter.run(Effect.gen(function*() {
          const started = yield* Deferred.make<void>()
          const stuck = toolkit.toLayer({
            slow: () => Effect.andThen(Deferred.succeed(started, undefined), Effect.never)
          })
          const fiber = yield* Stream.runDrain(stream).pipe(
            Effect.provide(Layer.merge(ScriptedModel.layer([toolCalls({ name: "slow", params: {} })]), stuck)),
            Effect.forkChild
          )
          yield* Deferred.await(started)
          yield* TestClock.adjust("1500 millis")
          yield* Fiber.interrupt(fiber)
        }))
        assert.deepStrictEqual(points(tool, "gen_ai.execute_tool.duration"), [[
          {
            "gen_ai.tool.name": "slow",
            "gen_ai.tool.type": "function",
            "gen_ai.agent.name": "clerk",
            "error.type": "cancelled"
          },
          1,
          1.5
        ]])
      }))

    it.effect("name a tool that the model made up _OTHER", () =>
      Effect.gen(function*() {
        const [, exported] = yield* exporter.run(run(toolCalls({ name: "made-up-29", params: {} }), text("ok")))
        assert.deepStrictEqual(points(exported, "gen_ai.execute_tool.duration"), [[
          {
            "gen_ai.tool.name": "_OTHER",
            "gen_ai.tool.type": "function",
            "gen_ai.agent.name": "clerk",
            "error.type": "ToolNotFoundError"
          },
          1,
          0
        ]])
        assert.notInclude(JSON.stringify(exported.metrics), "made-up-29")
      }))

    it.effect("have the names of v1.41 too, when asked for", () =>
      Effect.gen(function*() {
        const [, exported] = yield* exporter.run(run(...script.slice(1)), { compat: "v1.41" })
        const named = {
          "gen_ai.operation.name": "chat",
          "gen_ai.provider.name": "gcp.gemini",
          "gen_ai.request.model": "small",
          "gen_ai.response.model": "small-2026"
        }
        assert.deepStrictEqual(points(exported, "gen_ai.client.operation.duration"), [[named, 1, 1]])
        assert.deepStrictEqual(points(exported, "gen_ai.client.operation.time_to_first_chunk"), [[named, 1, 0.5]])
        assert.deepStrictEqual(points(exported, "gen_ai.client.operation.time_per_output_chunk"), [[named, 4, 0.5]])
        assert.deepStrictEqual(points(exported, "gen_ai.client.token.usage"), [
          [{ ...named, "gen_ai.token.type": "input" }, 1, 30],
          [{ ...named, "gen_ai.token.type": "output" }, 1, 7]
        ])
        assert.strictEqual(exported.spans[0].attributes["gen_ai.usage.cache_creation.input_tokens"], 4)
        assert.strictEqual(exported.spans[0].attributes["gen_ai.usage.cache_write.input_tokens"], 4)
      }))
  })

  it.effect("are recorded when nothing is traced, and not without the layer", () =>
    Effect.gen(function*() {
      const [, exported] = yield* nodeSdk.run(Effect.withTracerEnabled(run(...script), false))
      assert.deepStrictEqual(exported.spans, [])
      assert.strictEqual(exported.metrics.length, 14)
      const registry: Metric.MetricRegistry = new Map()
      yield* Effect.provideService(run(...script), Metric.MetricRegistry, registry)
      assert.strictEqual(registry.size, 0)
      yield* run(...script).pipe(
        Effect.provide(AgentTelemetry.layer()),
        Effect.provideService(Metric.CurrentMetricAttributes, { tenant: "t-1" }),
        Effect.provideService(Metric.MetricRegistry, registry)
      )
      assert.isAbove(registry.size, 14)
      for (const { attributes } of registry.values()) assert.strictEqual(attributes?.tenant, "t-1")
    }))

  it.effect.prop(
    "of the chunks of a response are what a histogram of each of them tells, however many there are",
    { times: Arbitrary.array(Arbitrary.schema(Schema.Literals([0, ...clientSeconds, 0.005, 0.3, 1, 90]))) },
    ({ times }) =>
      Effect.sync(() => {
        const context = Context.make(Metric.MetricRegistry, new Map())
        const [kept, each] = ["kept", "each"].map((name) => Metric.histogram(name, { boundaries: clientSeconds }))
        const all = new Times(GenAi.Instruments.timePerOutputChunk)
        for (const time of times) {
          all.add(time)
          each.updateUnsafe(time, context)
        }
        all.record(context, kept)
        const [a, b] = [kept.valueUnsafe(context), each.valueUnsafe(context)]
        assert.deepStrictEqual([a.buckets, a.count, a.min, a.max], [b.buckets, b.count, b.min, b.max])
        assert.closeTo(a.sum, b.sum, 1e-9 * (1 + b.sum))
      })
  )
})

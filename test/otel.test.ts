import * as OtelTracer from "@effect/opentelemetry/OtelTracer"
import { assert, describe, it } from "@effect/vitest"
import * as Otel from "@opentelemetry/api"
import { InMemorySpanExporter, type ReadableSpan, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base"
import { NodeTracerProvider } from "@opentelemetry/sdk-trace-node"
import { Config, ConfigProvider, Effect, Layer, Schema, Stream, Tracer } from "effect"
import { AiError, LanguageModel, Telemetry, Tool, Toolkit } from "effect/ai"
import { Agent, AgentTelemetry } from "../src/index.ts"
import { NodeTelemetry } from "../src/otel/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const { fail, text, toolCalls } = ScriptedModel

const Trace = Tool.make("trace", { success: Schema.String })

/** Runs a program with the SDK, and gives its spans in the order of their ends. */
const spansOf = <E>(
  program: Effect.Effect<unknown, E>,
  options?: Omit<NodeTelemetry.Options, "spanProcessor">
): Effect.Effect<ReadonlyArray<ReadableSpan>> =>
  Effect.gen(function*() {
    const exporter = new InMemorySpanExporter()
    return yield* Effect.exit(program).pipe(
      Effect.map(() => exporter.getFinishedSpans()),
      Effect.provide(NodeTelemetry.layer(() => ({ ...options, spanProcessor: new SimpleSpanProcessor(exporter) })))
    )
  })

/** An application that has set up OpenTelemetry by itself. */
const registered = (exporter: InMemorySpanExporter) =>
  Effect.acquireRelease(
    Effect.sync(() => new NodeTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }).register()),
    () =>
      Effect.sync(() => {
        Otel.trace.disable()
        Otel.context.disable()
        Otel.propagation.disable()
      })
  )

const status = (span: ReadableSpan) => `${span.name}: ${Otel.SpanStatusCode[span.status.code]}`

const plain = Agent.make("plain")
const hello = Agent.run(plain, { prompt: "hi" }).pipe(Effect.provide(ScriptedModel.layer([text("hello")])))

describe("NodeTelemetry", () => {
  describe("layer", () => {
    it.effect("leaves the status of GenAI spans unset on success, and that of others as effect sets it", () =>
      Effect.gen(function*() {
        const spans = yield* spansOf(Effect.withSpan(hello, "caller"))
        assert.deepStrictEqual(spans.map(status), ["chat: UNSET", "invoke_agent plain: UNSET", "caller: OK"])
        for (const span of spans) assert.isTrue(span.ended)
      }))

    it.effect("says ERROR with a fixed text on failure, once and not as an exception too", () =>
      Effect.gen(function*() {
        const spans = yield* spansOf(
          Agent.run(plain, { prompt: "hi" }).pipe(
            Effect.provide(ScriptedModel.layer([fail(new AiError.RateLimitError({}))])),
            Effect.withSpan("caller")
          )
        )
        assert.deepStrictEqual(spans.map((span) => [span.name, span.status, span.events.map(({ name }) => name)]), [
          ["chat", { code: Otel.SpanStatusCode.ERROR, message: "The model call failed" }, []],
          ["invoke_agent plain", { code: Otel.SpanStatusCode.ERROR, message: "The agent run failed" }, []],
          // the caller's own span, which effect ends with the cause
          ["caller", spans[2].status, ["exception"]]
        ])
      }))

    it.effect("keeps times and attributes of the spans it ends", () =>
      Effect.gen(function*() {
        const [chat] = yield* spansOf(hello)
        assert.deepStrictEqual(chat.startTime, [0, 0])
        assert.deepStrictEqual(chat.endTime, [0, 0])
        assert.strictEqual(chat.attributes["gen_ai.usage.output_tokens"], 5)
      }))

    it.effect("ends the GenAI spans of others in the same way, if they succeed", () =>
      Effect.gen(function*() {
        const provider = (result: Effect.Effect<[], AiError.AiError>) =>
          Layer.effect(
            LanguageModel.LanguageModel,
            LanguageModel.make({
              streamText: () => Stream.empty,
              generateText: ({ span }) => {
                Telemetry.addGenAIAnnotations(span, { operation: { name: "chat" } })
                return result
              }
            })
          )
        const generate = LanguageModel.generateText({ prompt: "hi" })
        const [ok] = yield* spansOf(Effect.provide(generate, provider(Effect.succeed([]))))
        assert.strictEqual(status(ok), "LanguageModel.generateText: UNSET")
        const error = AiError.make({ module: "m", method: "s", reason: new AiError.RateLimitError({}) })
        const [failed] = yield* spansOf(Effect.provide(generate, provider(Effect.fail(error))))
        assert.strictEqual(status(failed), "LanguageModel.generateText: ERROR")
        assert.deepStrictEqual(failed.events.map(({ name }) => name), ["exception"])
      }))

    it.effect("passes the options of AgentTelemetry on", () =>
      Effect.gen(function*() {
        const has = (spans: ReadonlyArray<ReadableSpan>) => "gen_ai.input.messages" in spans[0].attributes
        assert.isFalse(has(yield* spansOf(hello)))
        assert.isTrue(has(yield* spansOf(hello, { captureContent: true })))
      }))

    it.effect("takes its configuration from an effect, and does without a span processor", () =>
      Effect.gen(function*() {
        const layer: Layer.Layer<never, Config.ConfigError> = NodeTelemetry.layer(
          Effect.map(Config.String("SERVICE"), (serviceName) => ({ resource: { serviceName } }))
        )
        const run = Effect.provide(hello, layer)
        const env = (env: Record<string, string>) =>
          Effect.provideService(ConfigProvider.ConfigProvider, ConfigProvider.fromUnknown(env))
        assert.strictEqual((yield* run.pipe(env({ SERVICE: "test" }))).text, "hello")
        assert.strictEqual((yield* Effect.flip(run.pipe(env({}))))._tag, "ConfigError")
      }))
  })

  describe("layerTracer", () => {
    it.effect("makes the OpenTelemetry context of a span once for the operations that follow each other in it", () =>
      Effect.gen(function*() {
        yield* registered(new InMemorySpanExporter())
        let made = 0
        const counting = Layer.effect(
          Tracer.Tracer,
          Effect.map(Tracer.Tracer, (tracer) =>
            Tracer.make({
              span: (options) => tracer.span(options),
              context: (primitive, fiber) => {
                if (fiber.cache.span !== undefined) made++
                return tracer.context!(primitive, fiber)
              }
            }))
        )
        const active = Effect.sync(() => Otel.trace.getActiveSpan()?.spanContext().spanId)
        const inside = (turns: number) =>
          Effect.gen(function*() {
            const { spanId } = yield* OtelTracer.currentOtelSpan.pipe(Effect.map((span) => span.spanContext()))
            for (let turn = 0; turn < 50; turn++) {
              assert.strictEqual(yield* active, spanId)
              if (turn < turns) yield* Effect.yieldNow
            }
            return spanId
          })
        const program = Effect.gen(function*() {
          const outer = yield* inside(0)
          const inner = yield* Effect.withSpan(inside(0), "inner")
          assert.notStrictEqual(inner, outer)
          assert.strictEqual(yield* active, outer)
          const alone = made
          // two spans in turns: each operation is in its own
          yield* Effect.all([Effect.withSpan(inside(20), "a"), Effect.withSpan(inside(20), "b")], { concurrency: 2 })
          assert.strictEqual(yield* active, outer)
          return alone
        })
        const alone = yield* Effect.withSpan(program, "outer").pipe(
          Effect.provide(
            NodeTelemetry.layerTracer.pipe(Layer.provide(counting), Layer.provide(OtelTracer.layerGlobal))
          )
        )
        assert.isAtMost(alone, 10)
        assert.strictEqual(yield* active, undefined)
      }))

    it.effect("does the same to the tracer of an application that has set up OpenTelemetry by itself", () =>
      Effect.gen(function*() {
        const exporter = new InMemorySpanExporter()
        yield* registered(exporter)
        const instrumented = Effect.gen(function*() {
          // an instrumentation that knows nothing of effect
          Otel.trace.getTracer("other").startSpan("foreign").end()
          return (yield* OtelTracer.currentOtelSpan).spanContext().spanId
        })
        const toolkit = Toolkit.make(Trace)
        const result = yield* Agent.run(Agent.make("plain", { toolkit }), { prompt: "hi" }).pipe(
          Effect.provide(Layer.mergeAll(
            toolkit.toLayer({ trace: () => Effect.orDie(instrumented) }),
            ScriptedModel.layer([toolCalls({ name: "trace", params: {} }), text("done")]),
            Layer.provideMerge(
              Layer.merge(AgentTelemetry.layer(), NodeTelemetry.layerTracer),
              OtelTracer.layerGlobal
            )
          ))
        )
        assert.strictEqual(result.text, "done")
        const spans = exporter.getFinishedSpans()
        assert.deepStrictEqual(spans.map(status), [
          "chat: UNSET",
          "foreign: UNSET",
          "execute_tool trace: UNSET",
          "chat: UNSET",
          "invoke_agent plain: UNSET"
        ])
        const [, foreign, tool] = spans
        assert.strictEqual(foreign.parentSpanContext?.spanId, tool.spanContext().spanId)
        const response = result.transcript.content.find((message) => message.role === "tool")
        const part = response?.role === "tool" ? response.content[0] : undefined
        assert.strictEqual(part?.type === "tool-result" ? part.result : undefined, tool.spanContext().spanId)
      }).pipe(Effect.scoped))

    it.effect("leaves another tracer as it is", () =>
      Effect.gen(function*() {
        const ended: Array<string> = []
        const recorder = Layer.succeed(
          Tracer.Tracer,
          Tracer.make({
            span: (options) => {
              const span = Tracer.nativeTracer.span(options)
              return Object.assign(span, {
                end: (...args: Parameters<Tracer.Span["end"]>) => {
                  ended.push(`${options.name} ${args[1]._tag}`)
                  Tracer.NativeSpan.prototype.end.apply(span as Tracer.NativeSpan, args)
                }
              })
            }
          })
        )
        yield* hello.pipe(Effect.provide(
          Layer.provideMerge(Layer.merge(AgentTelemetry.layer(), NodeTelemetry.layerTracer), recorder)
        ))
        assert.deepStrictEqual(ended, ["chat Success", "invoke_agent plain Success"])
      }))
  })
})

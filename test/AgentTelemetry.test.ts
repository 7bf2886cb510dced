import { assert, describe, it } from "@effect/vitest"
import {
  Cause,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Option,
  References,
  Schedule,
  Schema,
  Stream,
  Tracer
} from "effect"
import { AiError, LanguageModel, Model, Prompt, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient, HttpClient } from "effect/http"
import { TestClock } from "effect/testing"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import {
  Agent,
  type AgentRun,
  AgentTelemetry,
  ContextProvider,
  Middleware,
  StopCondition,
  ToolLoop
} from "../src/index.ts"
import { emptyUsage } from "../src/AgentRun.ts"
import { Instrumentation } from "../src/internal/telemetry/instrumentation.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Exporter, exporters, lines, runs, spanNamed } from "./fixtures/telemetry.ts"
import { Boom, collectAll, constructors } from "./utils.ts"

const { delay, fail, finish, hang, parts, step, text, toolCalls, usage } = ScriptedModel

const Add = Tool.make("add", {
  description: "Adds one",
  parameters: Schema.Struct({ a: Schema.Int }),
  success: Schema.Int
})
const Lookup = Tool.make("lookup", { failure: Boom, failureMode: "return" })
const Strict = Tool.make("strict", { failure: Boom, failureMode: "error" })
const Broken = Tool.make("broken")
const Hanging = Tool.make("hanging")
const toolkit = Toolkit.make(Add, Lookup, Strict, Broken, Hanging)

const handlers = toolkit.toLayer({
  add: ({ a }) => Effect.withSpan(Effect.succeed(a + 1), "inside"),
  lookup: () => Effect.fail(new Boom({ of: "lookup" })),
  strict: () => Effect.fail(new Boom({ of: "strict" })),
  broken: () => Effect.die(new TypeError("broken")),
  hanging: () => Effect.never
})

const calculator = Agent.make("calculator", {
  description: "Calculates",
  instructions: "Be exact.",
  toolkit
})

const model = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
  Layer.merge(ScriptedModel.model(steps, { name: "small" }), handlers)

const noPartial: AgentRun.Partial = {
  runId: undefined,
  text: "",
  steps: [],
  usage: emptyUsage,
  totalUsage: emptyUsage,
  transcript: Prompt.empty
}

const addOne = toolCalls({ name: "add", params: { a: 1 }, id: "call-1" })

const answered = step(
  parts([{ type: "response-metadata", id: "response-2", modelId: "small-2026", timestamp: undefined }]),
  delay("500 millis"),
  text(["tw", "o"], { every: "250 millis" }),
  finish("stop", {
    inputTokens: { total: 30, cacheRead: 20, cacheWrite: 4 },
    outputTokens: { total: 7, reasoning: 3 }
  })
)

describe("AgentTelemetry", () => {
  describe.each(exporters)("exported by $name", (exporter: Exporter) => {
    const { ok } = exporter

    describe("a run that completes", () => {
      it.effect("is invoke_agent with a chat per model call and an execute_tool per tool call, attributes and all", () =>
        Effect.gen(function*() {
          const [exit, exported] = yield* exporter.run(
            runs(Agent.run(calculator, { prompt: "1 + 1?", session: "s-1", runId: "r-1" })).pipe(
              Effect.provide(model(addOne, answered))
            )
          )
          assert.isTrue(Exit.isSuccess(exit))
          assert.deepStrictEqual(lines(exported), [
            `chat small (client) ${ok} tool_call < invoke_agent calculator`,
            "inside (internal) OK < execute_tool add",
            `execute_tool add (internal) ${ok} < invoke_agent calculator`,
            `chat small (client) ${ok} stop < invoke_agent calculator`,
            `invoke_agent calculator (internal) ${ok} stop`
          ])
          const [, , tool, chat, run] = exported.spans
          assert.deepStrictEqual(run.attributes, {
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "calculator",
            "gen_ai.agent.description": "Calculates",
            "gen_ai.request.model": "small",
            "gen_ai.conversation.id": "s-1",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.usage.input_tokens": 40,
            "gen_ai.usage.output_tokens": 12,
            "effect_agents.outcome": "Completed",
            "effect_agents.run_id": "r-1",
            "effect_agents.stop_reason": "stop"
          })
          assert.deepStrictEqual(chat.attributes, {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "scripted",
            "gen_ai.request.model": "small",
            "gen_ai.request.stream": true,
            "gen_ai.conversation.id": "s-1",
            "effect.ai.tool_choice": "auto",
            "effect.ai.concurrency": "unbounded",
            "gen_ai.response.id": "response-2",
            "gen_ai.response.model": "small-2026",
            "gen_ai.response.finish_reasons": ["stop"],
            "gen_ai.response.time_to_first_chunk": 0,
            "gen_ai.usage.input_tokens": 30,
            "gen_ai.usage.output_tokens": 7,
            "gen_ai.usage.cache_read.input_tokens": 20,
            "gen_ai.usage.cache_write.input_tokens": 4,
            "gen_ai.usage.reasoning.output_tokens": 3
          })
          assert.deepStrictEqual(tool.attributes, {
            "gen_ai.operation.name": "execute_tool",
            "gen_ai.tool.name": "add",
            "gen_ai.tool.type": "function",
            "gen_ai.tool.description": "Adds one",
            "gen_ai.tool.call.id": "call-1",
            "gen_ai.agent.name": "calculator",
            "gen_ai.conversation.id": "s-1"
          })
          for (const span of [run, chat, tool]) assert.deepStrictEqual(span.events, [])
        }))

      it.effect("is a child of the caller's span, and is plain `chat` when the model has no name", () =>
        Effect.gen(function*() {
          const [, exported] = yield* exporter.run(
            Agent.run(Agent.make("plain"), { prompt: "hi" }).pipe(
              Effect.withSpan("caller"),
              Effect.provide(ScriptedModel.layer([text("hello")]))
            )
          )
          assert.deepStrictEqual(lines(exported), [
            `chat (client) ${ok} stop < invoke_agent plain`,
            `invoke_agent plain (internal) ${ok} stop < caller`,
            "caller (internal) OK"
          ])
          const { attributes } = spanNamed(exported, "chat")
          assert.notProperty(attributes, "gen_ai.request.model")
          assert.notProperty(attributes, "gen_ai.provider.name")
          assert.notProperty(attributes, "gen_ai.conversation.id")
        }))

      it.effect("has a run in a tool below the tool's span, and its tokens in the outer run", () =>
        Effect.gen(function*() {
          const Ask = Tool.make("ask", { success: Schema.String })
          const inner = Agent.make("inner")
          const outer = Agent.make("outer", { toolkit: Toolkit.make(Ask) })
          const [, exported] = yield* exporter.run(
            Agent.run(outer, { prompt: "hi" }).pipe(
              Effect.provide(Layer.merge(
                Toolkit.make(Ask).toLayer({
                  ask: () =>
                    Agent.run(inner, { prompt: "what?" }).pipe(
                      Effect.map((result) => result.text),
                      Effect.provide(ScriptedModel.model([text("that")], { name: "tiny" })),
                      Effect.orDie
                    )
                }),
                model(toolCalls({ name: "ask", params: {} }), text("done"))
              ))
            )
          )
          assert.deepStrictEqual(lines(exported), [
            `chat small (client) ${ok} tool_call < invoke_agent outer`,
            `chat tiny (client) ${ok} stop < invoke_agent inner`,
            `invoke_agent inner (internal) ${ok} stop < execute_tool ask`,
            `execute_tool ask (internal) ${ok} < invoke_agent outer`,
            `chat small (client) ${ok} stop < invoke_agent outer`,
            `invoke_agent outer (internal) ${ok} stop`
          ])
          assert.strictEqual(spanNamed(exported, "invoke_agent outer").attributes["gen_ai.usage.input_tokens"], 30)
          assert.strictEqual(spanNamed(exported, "invoke_agent inner").attributes["gen_ai.usage.input_tokens"], 10)
        }))
    })

    describe("a run that fails", () => {
      it.effect("is an ERROR with the type of the failure, in the model call and in the run", () =>
        Effect.gen(function*() {
          const [exit, exported] = yield* exporter.run(
            Agent.run(calculator, { prompt: "1 + 1?" }).pipe(
              Effect.provide(model(step(text(["a", "b", "c"]), fail(new AiError.RateLimitError({})))))
            )
          )
          assert.isTrue(Exit.isFailure(exit))
          assert.deepStrictEqual(lines(exported), [
            "chat small (client) ERROR RateLimitError error < invoke_agent calculator",
            "invoke_agent calculator (internal) ERROR RateLimitError error"
          ])
          const [chat, run] = exported.spans
          assert.strictEqual(chat.message, "The model call failed")
          assert.strictEqual(run.message, "The agent run failed")
          assert.strictEqual(run.attributes["effect_agents.outcome"], "Failed")
        }))

      it.effect("has the tag of an AgentError's reason as its type, and no model call when there was none", () =>
        Effect.gen(function*() {
          const limited = Agent.make("limited", {
            toolkit: Toolkit.make(Add),
            stopWhen: [StopCondition.orFail(StopCondition.stepCount(1))]
          })
          const [, exported] = yield* exporter.run(
            Agent.run(limited, { prompt: "1 + 1?" }).pipe(Effect.provide(model(addOne)))
          )
          assert.deepStrictEqual(lines(exported).slice(-1), [
            "invoke_agent limited (internal) ERROR LimitReached error"
          ])
          const noModel = Agent.make("no-model", {
            providers: [ContextProvider.make("refuses", { beforeRun: () => Effect.fail(new Boom({ of: "refuses" })) })]
          })
          const [, none] = yield* exporter.run(
            Agent.run(noModel, { prompt: "hi" }).pipe(Effect.provide(model()))
          )
          assert.deepStrictEqual(lines(none), ["invoke_agent no-model (internal) ERROR Boom error"])
        }))

      it.effect("has the class of a defect as its type, and _OTHER for what has no name", () =>
        Effect.gen(function*() {
          const ending = (defect: unknown) =>
            Effect.map(
              exporter.run(
                Agent.run(Agent.make("dying"), { prompt: "hi" }).pipe(
                  Effect.provide(model(step(text("a"), ScriptedModel.die(defect))))
                )
              ),
              ([, exported]) => lines(exported).at(-1)
            )
          assert.strictEqual(yield* ending(new RangeError("x")), "invoke_agent dying (internal) ERROR RangeError error")
          assert.strictEqual(yield* ending("some text"), "invoke_agent dying (internal) ERROR _OTHER error")
          const named = Object.assign(new Error("x"), { name: "not a name, but the text of a message" })
          assert.strictEqual(yield* ending(named), "invoke_agent dying (internal) ERROR _OTHER error")
          const throwing = {
            get _tag() {
              throw new Error("x")
            }
          }
          assert.strictEqual(yield* ending(throwing), "invoke_agent dying (internal) ERROR _OTHER error")
        }))
    })

    describe("a run that is cut short", () => {
      const cancelled = [
        "chat small (client) ERROR cancelled error < invoke_agent calculator",
        "invoke_agent calculator (internal) ERROR cancelled error"
      ]

      it.effect("is cancelled when its fiber is interrupted", () =>
        Effect.gen(function*() {
          const [exit, exported] = yield* exporter.run(Effect.gen(function*() {
            const seen = yield* Deferred.make<void>()
            const fiber = yield* Agent.stream(calculator, { prompt: "1 + 1?" }).pipe(
              Stream.runForEach((part) => part.type === "text-delta" ? Deferred.succeed(seen, undefined) : Effect.void),
              Effect.provide(model(step(text("a"), hang))),
              Effect.forkChild
            )
            yield* Deferred.await(seen)
            yield* Fiber.interrupt(fiber)
          }))
          assert.deepStrictEqual(exit, Exit.void)
          assert.deepStrictEqual(lines(exported), cancelled)
          const [chat, run] = exported.spans
          assert.strictEqual(chat.message, "The model call was cut short")
          assert.strictEqual(run.message, "The agent run was cut short")
          assert.strictEqual(run.attributes["effect_agents.outcome"], "Interrupted")
        }))

      it.effect("is cancelled when its consumer leaves, also when the consumer itself fails", () =>
        Effect.gen(function*() {
          const stream = Agent.stream(calculator, { prompt: "1 + 1?" })
          const isDelta = (part: AgentRun.Part) => part.type === "text-delta"
          const [, left] = yield* exporter.run(
            stream.pipe(Stream.takeUntil(isDelta), Stream.runDrain, Effect.provide(model(text(["a", "b", "c"]))))
          )
          assert.deepStrictEqual(lines(left), cancelled)
          assert.strictEqual(left.spans[1].attributes["effect_agents.outcome"], "Abandoned")
          const [exit, failed] = yield* exporter.run(
            stream.pipe(
              Stream.runForEach((part) => isDelta(part) ? Effect.fail(new Boom({ of: "consumer" })) : Effect.void),
              Effect.provide(model(text(["a", "b", "c"])))
            )
          )
          assert.deepStrictEqual(exit, Exit.fail(new Boom({ of: "consumer" })))
          assert.deepStrictEqual(lines(failed), cancelled)
        }))

      it.effect("has a model call that succeeded when its finish part was seen", () =>
        Effect.gen(function*() {
          const [, exported] = yield* exporter.run(
            Agent.stream(calculator, { prompt: "1 + 1?" }).pipe(
              Stream.takeUntil((part) => part.type === "finish"),
              Stream.runDrain,
              Effect.provide(model(text("a")))
            )
          )
          assert.deepStrictEqual(lines(exported), [
            `chat small (client) ${ok} stop < invoke_agent calculator`,
            "invoke_agent calculator (internal) ERROR cancelled error"
          ])
          assert.strictEqual(exported.spans[0].attributes["gen_ai.usage.output_tokens"], 5)
        }))

      it.effect("cancels the tools that run, and no span is left open", () =>
        Effect.gen(function*() {
          const [, exported] = yield* exporter.run(Effect.gen(function*() {
            const seen = yield* Deferred.make<void>()
            const fiber = yield* Agent.stream(calculator, { prompt: "hang" }).pipe(
              Stream.runForEach((part) => part.type === "finish" ? Deferred.succeed(seen, undefined) : Effect.void),
              Effect.provide(model(toolCalls({ name: "hanging", params: {} }, { name: "hanging", params: {} }))),
              Effect.forkChild
            )
            yield* Deferred.await(seen)
            yield* TestClock.adjust("1 second")
            yield* Fiber.interrupt(fiber)
          }))
          assert.deepStrictEqual(lines(exported), [
            `chat small (client) ${ok} tool_call < invoke_agent calculator`,
            "execute_tool hanging (internal) ERROR cancelled < invoke_agent calculator",
            "execute_tool hanging (internal) ERROR cancelled < invoke_agent calculator",
            "invoke_agent calculator (internal) ERROR cancelled error"
          ])
        }))
    })

    describe("a tool that fails", () => {
      const toolLines = (...calls: ReadonlyArray<ScriptedModel.ToolCall>) =>
        Effect.map(
          exporter.run(
            runs(Agent.run(calculator, { prompt: "try" })).pipe(Effect.provide(model(toolCalls(...calls), text("ok"))))
          ),
          ([, exported]) => [lines(exported).filter((line) => !line.startsWith("chat ")), exported] as const
        )

      it.effect("is an ERROR of its own span only, when the model is told", () =>
        Effect.gen(function*() {
          const [tree, exported] = yield* toolLines(
            { name: "lookup", params: {} },
            { name: "add", params: { a: "one" } },
            { name: "subtract", params: {} }
          )
          assert.sameMembers(tree.slice(0, -1), [
            "execute_tool lookup (internal) ERROR Boom < invoke_agent calculator",
            "execute_tool add (internal) ERROR ToolParameterValidationError < invoke_agent calculator",
            "execute_tool (internal) ERROR ToolNotFoundError < invoke_agent calculator"
          ])
          assert.strictEqual(tree.at(-1), `invoke_agent calculator (internal) ${ok} stop`)
          // the name that the model made up is an attribute only
          assert.strictEqual(spanNamed(exported, "execute_tool").attributes["gen_ai.tool.name"], "subtract")
          assert.strictEqual(spanNamed(exported, "execute_tool lookup").message, "The tool call failed")
        }))

      it.effect("is an ERROR of the run too, when it fails the run", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual((yield* toolLines({ name: "strict", params: {} }))[0], [
            "execute_tool strict (internal) ERROR Boom < invoke_agent calculator",
            "invoke_agent calculator (internal) ERROR Boom error"
          ])
          assert.deepStrictEqual((yield* toolLines({ name: "broken", params: {} }))[0], [
            "execute_tool broken (internal) ERROR TypeError < invoke_agent calculator",
            "invoke_agent calculator (internal) ERROR TypeError error"
          ])
        }))

      it.effect("says that it ran into its time limit", () =>
        Effect.gen(function*() {
          const [, exported] = yield* exporter.run(
            runs(Agent.run(calculator, { prompt: "hang" })).pipe(
              Effect.provideService(ToolLoop.ToolTimeout, "5 seconds"),
              Effect.provide(model(toolCalls({ name: "hanging", params: {} }), text("ok")))
            )
          )
          assert.deepStrictEqual(lines(exported).slice(1), [
            "execute_tool hanging (internal) ERROR execution-interrupted < invoke_agent calculator",
            `chat small (client) ${ok} stop < invoke_agent calculator`,
            `invoke_agent calculator (internal) ${ok} stop`
          ])
        }))
    })

    describe("a model call", () => {
      for (const [name, via] of constructors) {
        it.effect(`is one span whatever a provider of ${name} writes on its own`, () =>
          Effect.gen(function*() {
            const provider = Layer.effect(
              LanguageModel.LanguageModel,
              via({
                generateText: () => Effect.succeed([]),
                streamText: ({ span }) => {
                  span.attribute("gen_ai.request.temperature", 0.5)
                  span.attribute("gen_ai.operation.name", "something else")
                  return Stream.fromIterable(
                    [
                      { type: "text-start", id: "1" },
                      { type: "text-delta", id: "1", delta: "a" },
                      { type: "text-end", id: "1" },
                      { type: "finish", reason: "stop", usage: { inputTokens: {}, outputTokens: {} } }
                    ] as const
                  )
                }
              })
            )
            const [, exported] = yield* exporter.run(
              Agent.run(Agent.make("plain"), { prompt: "hi" }).pipe(Effect.provide(provider))
            )
            assert.deepStrictEqual(lines(exported), [
              `chat (client) ${ok} stop < invoke_agent plain`,
              `invoke_agent plain (internal) ${ok} stop`
            ])
            const { attributes } = exported.spans[0]
            assert.strictEqual(attributes["gen_ai.request.temperature"], 0.5)
            assert.strictEqual(attributes["gen_ai.operation.name"], "chat")
            assert.notProperty(attributes, "gen_ai.output.type")
            assert.notProperty(attributes, "gen_ai.usage.input_tokens")
          }))
      }

      it.live("has the request of its HTTP client below it", () =>
        Effect.gen(function*() {
          const server = yield* Effect.acquireRelease(
            Effect.callback<ReturnType<typeof createServer>>((resume) => {
              const server = createServer((_request, response) => response.end("from the wire"))
              server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
            }),
            (server) => Effect.sync(() => (server.closeAllConnections(), server.close()))
          )
          const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`
          const overHttp = Layer.effect(
            LanguageModel.LanguageModel,
            Effect.flatMap(HttpClient.HttpClient, (client) =>
              LanguageModel.make({
                generateText: () => Effect.succeed([]),
                streamText: () =>
                  Stream.unwrap(Effect.map(
                    Effect.orDie(Effect.flatMap(client.get(url), (response) => response.text)),
                    (delta) =>
                      Stream.fromIterable(
                        [
                          { type: "text-start", id: "1" },
                          { type: "text-delta", id: "1", delta },
                          { type: "text-end", id: "1" },
                          { type: "finish", reason: "stop", usage: { inputTokens: {}, outputTokens: {} } }
                        ] as const
                      )
                  ))
              }))
          ).pipe(Layer.provide(FetchHttpClient.layer))
          const [exit, exported] = yield* exporter.run(
            Agent.run(Agent.make("plain"), { prompt: "hi" }).pipe(Effect.provide(overHttp))
          )
          assert.strictEqual(Exit.isSuccess(exit) ? exit.value.text : "", "from the wire")
          assert.deepStrictEqual(lines(exported), [
            "GET (client) OK < chat",
            `chat (client) ${ok} stop < invoke_agent plain`,
            `invoke_agent plain (internal) ${ok} stop`
          ])
        }).pipe(Effect.scoped))

      it.effect("is one span through a middleware that traces and retries; another call in it has its own", () =>
        Effect.gen(function*() {
          const traced = Middleware.make("traced", {
            model: (request, next) => Stream.withSpan(next(request), "around")
          })
          const retried = Middleware.make("retried", {
            model: (request, next) => Stream.retry(next(request), Schedule.recurs(1))
          })
          const summarized = Middleware.make("summarized", {
            model: (request, next) =>
              Stream.unwrap(Effect.as(Effect.orDie(LanguageModel.generateText({ prompt: "shorter" })), next(request)))
          })
          const agent = Agent.make("plain", { middleware: [traced, summarized, retried] })
          const [, exported] = yield* exporter.run(
            Agent.run(agent, { prompt: "hi" }).pipe(
              Effect.provide(model(text("short"), fail(new AiError.RateLimitError({})), text("hello")))
            )
          )
          assert.deepStrictEqual(lines(exported), [
            "LanguageModel.generateText (client) OK < around",
            "around (internal) OK < chat small",
            `chat small (client) ${ok} stop < invoke_agent plain`,
            `invoke_agent plain (internal) ${ok} stop`
          ])
        }))
    })

    it.effect("has a client span and a client metric for an agent outside of this process", () =>
      Effect.gen(function*() {
        // no agent of the core is remote: this is what the run asks of telemetry for one
        const [, exported] = yield* exporter.run(Effect.gen(function*() {
          const context = yield* Effect.context<never>()
          const { startRun } = Context.getUnsafe(context, Instrumentation)
          const info = { agent: "far", runId: "r", description: undefined, session: "s-1", remote: true }
          const span = startRun(info, Context.add(context, Model.ProviderName, "amazon-bedrock"))
          yield* TestClock.adjust("2 seconds")
          span.end({ _tag: "Failed", cause: Cause.fail(new Boom({ of: "far" })), partial: noPartial })
        }))
        assert.deepStrictEqual(lines(exported), ["invoke_agent far (client) ERROR Boom error"])
        assert.strictEqual(exported.spans[0].attributes["gen_ai.provider.name"], "aws.bedrock")
        assert.deepStrictEqual(
          exported.metrics.map(({ name, points }) => [name, points.map(({ sum }) => sum)]),
          [["gen_ai.client.operation.duration", [2]]]
        )
      }))

    it.effect("exports the run that has the layer, and not the one beside it that has none", () =>
      Effect.gen(function*() {
        const run = (name: string) =>
          Agent.run(Agent.make(name, { toolkit }), { prompt: "1 + 1?" }).pipe(
            Effect.provide(model(addOne, text("two")), { local: true })
          )
        const other = yield* Effect.forkChild(run("untraced"))
        const [, exported] = yield* exporter.run(run("traced"))
        yield* Fiber.join(other)
        assert.deepStrictEqual(exported.spans.map((span) => span.name), [
          "chat small",
          "inside",
          "execute_tool add",
          "chat small",
          "invoke_agent traced"
        ])
        assert.notInclude(exported.text, "untraced")
      }))
  })

  // ---------------------------------------------------------------------------

  describe("whatever happens", () => {
    /** Effect's own tracer, which tells what it has started. */
    const recorder = () => {
      const started: Array<Tracer.Span> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = Tracer.nativeTracer.span(options)
          started.push(span)
          return span
        }
      })
      return { started, layer: Layer.succeed(Tracer.Tracer, tracer) }
    }

    const script = () =>
      model(
        toolCalls({ name: "add", params: { a: 1 } }, { name: "lookup", params: {} }, { name: "nope", params: {} }),
        step(text(["a", "b"]), addOne),
        text(["c", "d"])
      )

    it.effect("every span that was started is ended, wherever the consumer leaves", () =>
      Effect.gen(function*() {
        const all = yield* collectAll(Agent.stream(calculator, { prompt: "go" })).pipe(Effect.provide(script()))
        assert.isAbove(all.parts.length, 20)
        for (let n = 1; n <= all.parts.length; n++) {
          const { layer, started } = recorder()
          const seen = yield* Agent.stream(calculator, { prompt: "go" }).pipe(
            Stream.take(n),
            Stream.runCollect,
            Effect.provide(
              Layer.merge(script(), AgentTelemetry.layer()).pipe(Layer.provideMerge(layer)),
              { local: true }
            )
          )
          assert.strictEqual(seen.length, n)
          assert.deepStrictEqual(started.filter((span) => span.status._tag !== "Ended").map((span) => span.name), [])
          assert.strictEqual(started[0].name, "invoke_agent calculator")
          assert.isFalse(started.some((span) => span.name.startsWith("LanguageModel")))
          const outcome = started[0].attributes.get("effect_agents.outcome")
          assert.strictEqual(outcome, n === all.parts.length ? "Completed" : "Abandoned")
        }
      }))

    it.effect("the parts and the exit of the run are the same as without telemetry", () =>
      Effect.gen(function*() {
        const isGenAi = (name: string) => /^(invoke_agent|chat|execute_tool)/.test(name)
        const throwingTracer = (where: "span" | "attribute" | "end") =>
          Layer.succeed(
            Tracer.Tracer,
            Tracer.make({
              span: (options) => {
                const span = Tracer.nativeTracer.span(options)
                if (!isGenAi(options.name)) return span
                const refuse = () => {
                  throw new Error("a tracer that throws")
                }
                return where === "span" ? refuse() : Object.assign(span, { [where]: refuse })
              }
            })
          )
        const layers = [
          AgentTelemetry.layer(),
          AgentTelemetry.layer({ captureContent: true, compat: "v1.41" }),
          Layer.provideMerge(AgentTelemetry.layer({ captureContent: true }), recorder().layer),
          Layer.provideMerge(AgentTelemetry.layer(), Layer.succeed(References.TracerEnabled, false)),
          Layer.provideMerge(AgentTelemetry.layer({ captureContent: true }), throwingTracer("span")),
          Layer.provideMerge(AgentTelemetry.layer({ captureContent: true }), throwingTracer("attribute")),
          Layer.provideMerge(AgentTelemetry.layer({ captureContent: true }), throwingTracer("end"))
        ]
        const steps = [
          [toolCalls({ name: "add", params: { a: 1 } }, { name: "nope", params: {} }), text(["a", "b"])],
          [step(text("a"), fail(new AiError.RateLimitError({})))],
          [toolCalls({ name: "broken", params: {} })],
          [toolCalls({ name: "strict", params: {} })],
          [step(text("a"), finish("error", usage(1, 1)))]
        ]
        for (const script of steps) {
          const run = collectAll(Agent.stream(calculator, { prompt: "go", session: "s", runId: "r-1" })).pipe(
            Effect.provide(model(...script), { local: true })
          )
          const expected = yield* run
          for (const layer of layers) {
            assert.deepStrictEqual(plain(yield* Effect.provide(run, layer, { local: true })), plain(expected))
          }
        }
      }))

    it.effect("nothing is started when tracing is disabled, and the sampling of the parent holds", () =>
      Effect.gen(function*() {
        const { layer, started } = recorder()
        const run = Agent.run(calculator, { prompt: "1 + 1?" }).pipe(
          Effect.provide(Layer.merge(model(addOne, text("two")), AgentTelemetry.layer()), { local: true })
        )
        yield* run.pipe(Effect.withTracerEnabled(false), Effect.provide(layer))
        assert.deepStrictEqual(started, [])
        const parent = Tracer.externalSpan({
          traceId: "0".repeat(31) + "1",
          spanId: "0".repeat(15) + "2",
          sampled: false
        })
        yield* run.pipe(Effect.withParentSpan(parent), Effect.provide(layer))
        assert.isAbove(started.length, 3)
        assert.deepStrictEqual(started.filter((span) => span.sampled || span.traceId !== parent.traceId), [])
        assert.deepStrictEqual(started[0].parent, Option.some(parent))
      }))
  })
})

const plain = ({ exit, parts }: { readonly exit: Exit.Exit<void, unknown>; readonly parts: ReadonlyArray<unknown> }) =>
  JSON.stringify({ parts, exit: Exit.isSuccess(exit) ? "success" : Cause.pretty(exit.cause).split("\n")[0] })

import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, ExecutionPlan, Exit, Fiber, Layer, Schedule, Semaphore, Stream } from "effect"
import { AiError, type LanguageModel } from "effect/ai"
import { RateLimiter } from "effect/persistence"
import { TestClock } from "effect/testing"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Agent, AgentRun, ContextProvider, Middleware, ModelFallback } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { modelServer, providers } from "./fixtures/ai-sdk.ts"
import { exporters, runs, spanNamed } from "./fixtures/telemetry.ts"
import { Boom, calls, constructors, type Log, logged, showExit, tools, types } from "./utils.ts"

const { fail, finish, parts, step, text, usage } = ScriptedModel
const overloaded = new AiError.InternalProviderError({ description: "Overloaded" })
const refused = new AiError.AuthenticationError({ kind: "InvalidKey" })
const limited = (retryAfter: Duration.Input) =>
  new AiError.RateLimitError({ retryAfter: Duration.fromInputUnsafe(retryAfter) })

/** The number of calls that the model of a script has had. */
const asked = ScriptedModel.ScriptedModel.use(({ requests }) => Effect.map(requests, (requests) => requests.length))

const twice = ModelFallback.retry(Schedule.recurs(2))

for (const [name, via] of constructors) {
  describe(`ModelFallback, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    describe("retry", () => {
      it.effect("tries the same call again, as one step, and no tool twice", () =>
        Effect.gen(function*() {
          let worked = 0
          const toolkit = tools("work")
          const agent = Agent.make("agent", { toolkit, middleware: [twice] })
          const [result, count] = yield* Effect.all([Agent.run(agent, { prompt: "hi" }), asked]).pipe(
            Effect.provide([
              model(fail(overloaded), calls("work"), fail(overloaded), fail(overloaded), text("done")),
              toolkit.toLayer({ work: () => Effect.sync(() => `${++worked}`) })
            ])
          )
          assert.deepStrictEqual([result.text, result.steps.length, worked, count], ["done", 2, 1, 5])
        }))

      it.effect("fails with the last failure when the schedule ends", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { middleware: [twice] })
          const [exit, count] = yield* Effect.all([Effect.exit(Agent.run(agent, { prompt: "hi" })), asked]).pipe(
            Effect.provide(model(fail(overloaded), fail(overloaded), fail(limited("9 seconds")), text("never")))
          )
          assert.deepStrictEqual([showExit(exit), count], ["Failed Fail AiError.RateLimitError after \"\"", 3])
        }))

      it.effect("does not repeat what cannot succeed, nor a defect, nor a failure of inner middleware", () =>
        Effect.gen(function*() {
          const broken = Middleware.make("broken", { model: () => Stream.fail(new Boom({ of: "inner" })) })
          const cases = [
            [[twice], fail(refused), "Failed Fail AiError.AuthenticationError after \"\"", 1],
            [[twice], ScriptedModel.die(new Error("bug")), "Failed Die bug after \"\"", 1],
            [[twice, broken], text("never"), "Failed Fail Boom(inner) after \"\"", 0]
          ] as const
          for (const [middleware, first, expected, expectedCount] of cases) {
            const agent = Agent.make("agent", { middleware: middleware as ReadonlyArray<Middleware.Middleware<Boom>> })
            const [exit, count] = yield* Effect.all([Effect.exit(Agent.run(agent, { prompt: "hi" })), asked]).pipe(
              Effect.provide(model(first, text("never")))
            )
            assert.deepStrictEqual([showExit(exit), count], [expected, expectedCount])
          }
        }))

      it.effect("tries again when an `error` part comes before the answer", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { middleware: [twice] })
          const result = yield* Effect.provide(
            Agent.run(agent, { prompt: "hi" }),
            model(
              parts([{ type: "error", error: AiError.make({ module: "m", method: "s", reason: overloaded }) }]),
              text("yes")
            )
          )
          assert.strictEqual(result.text, "yes")
        }))

      it.effect("does not try again after the model has begun to answer", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { middleware: [twice] })
          const [exit, count] = yield* Effect.all([Effect.exit(Agent.run(agent, { prompt: "hi" })), asked]).pipe(
            Effect.provide(model(step(text("half"), fail(overloaded)), text("never")))
          )
          assert.deepStrictEqual(
            [showExit(exit), count],
            ["Failed Fail AiError.InternalProviderError after \"half\"", 1]
          )
        }))

      it.effect("does so when it is told to, and keeps both", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [ModelFallback.retry(Schedule.recurs(1), { afterParts: true })]
          })
          const seen = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.runCollect,
            Effect.provide(model(step(text("half"), fail(overloaded)), text("whole")))
          )
          assert.deepStrictEqual(types(seen), [
            "run-start",
            "step-start",
            "text-start",
            "text-delta",
            "text-start",
            "text-delta",
            "text-end",
            "finish",
            "step-end",
            "run-end"
          ])
          const last = seen.at(-1)
          assert.strictEqual(last?.type === "run-end" && last.result.text, "halfwhole")
        }))

      it.effect("shows nothing of an attempt that failed but what it has cost", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { middleware: [twice] })
          const billed = (input: number) =>
            step(
              parts([{ type: "response-metadata", id: `r${input}` }]),
              finish("stop", usage(input, 0)),
              fail(overloaded)
            )
          const seen = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.runCollect,
            Effect.provide(model(billed(7), billed(20), step(text("yes"), finish("stop", usage(100, 3)))))
          )
          const last = seen.at(-1)
          assert.deepStrictEqual(
            [
              types(seen),
              last?.type === "run-end" && [
                last.result.text,
                last.result.usage.inputTokens.total,
                last.result.usage.outputTokens.total,
                last.result.steps[0].finishReason
              ]
            ],
            [
              [
                "run-start",
                "step-start",
                "finish",
                "finish",
                "text-start",
                "text-delta",
                "text-end",
                "finish",
                "step-end",
                "run-end"
              ],
              ["yes", 127, 3, "stop"]
            ]
          )
        }))
    })

    describe("make", () => {
      const second = (...steps: ReadonlyArray<ScriptedModel.Step>) => model(...steps)

      it.effect("asks another model when the first has failed, at once", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [ModelFallback.make(ExecutionPlan.make(
              { provide: Context.empty(), attempts: 2 },
              { provide: second(text("from the second")) }
            ))]
          })
          const [result, count] = yield* Effect.all([Agent.run(agent, { prompt: "hi" }), asked]).pipe(
            Effect.provide(model(fail(refused), fail(overloaded)))
          )
          assert.deepStrictEqual([result.text, count], ["from the second", 2])
        }))

      it.effect("does not when the first has begun to answer", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [ModelFallback.make(ExecutionPlan.make(
              { provide: Context.empty() },
              { provide: second(text("never")) }
            ))]
          })
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" })).pipe(
            Effect.provide(model(step(text("half"), fail(overloaded))))
          )
          assert.strictEqual(showExit(exit), "Failed Fail AiError.InternalProviderError after \"half\"")
        }))

      it.effect("leaves an answer as it is: no part is lost, none is added", () =>
        Effect.gen(function*() {
          const script = () =>
            model(
              step(
                parts([{ type: "response-metadata", id: "r" }]),
                ScriptedModel.reasoning("hm"),
                text(["a", "b"]),
                finish("stop", usage(1, 2))
              )
            )
          const plan = ExecutionPlan.make({ provide: Context.empty() })
          const collect = (
            middleware: ReadonlyArray<Middleware.Middleware<AiError.AiError, LanguageModel.LanguageModel>>
          ) =>
            Agent.stream(Agent.make("agent", { middleware }), { prompt: "hi" }).pipe(
              Stream.filter((part) => part.type !== "run-start" && part.type !== "run-end"),
              Stream.runCollect,
              Effect.provide(script())
            )
          assert.deepStrictEqual(yield* collect([ModelFallback.make(plan)]), yield* collect([]))
        }))

      it.effect("leaves an answer of nothing as it is", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { middleware: [twice] })
          const [result, count] = yield* Effect.all([Agent.run(agent, { prompt: "hi" }), asked]).pipe(
            Effect.provide(model(finish("stop", usage(3, 0)), text("never")))
          )
          assert.deepStrictEqual([result.text, result.usage.inputTokens.total, count], ["", 3, 1])
        }))
    })

    describe("a run in the middle of a backoff", () => {
      const waiting = (
        log: Log,
        then: ScriptedModel.Step,
        provider: ContextProvider.ContextProvider = ContextProvider.make("none", {
          beforeRun: () => Effect.succeed({})
        })
      ) => {
        const agent = Agent.make("agent", {
          providers: [logged("p", log), provider],
          middleware: [ModelFallback.retry(Schedule.upTo(ModelFallback.backoff(), { times: 1 }))]
        })
        const script = Layer.fresh(
          model(step(finish("stop", usage(7, 0)), fail(limited("10 seconds"))), then)
        )
        return { agent, script }
      }

      it.effect("completes", () =>
        Effect.gen(function*() {
          const log: Log = []
          const { agent, script } = waiting(log, text("yes"))
          const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(Effect.provide(script), Effect.forkChild)
          yield* TestClock.adjust("9999 millis")
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          const result = yield* Fiber.join(fiber)
          assert.deepStrictEqual(
            [result.usage.inputTokens.total, log],
            [17, ["p before", "p after \"yes\"", "p end: Completed \"yes\""]]
          )
        }))

      it.effect("fails", () =>
        Effect.gen(function*() {
          const log: Log = []
          const { agent, script } = waiting(log, fail(overloaded))
          const fiber = yield* Effect.exit(Agent.run(agent, { prompt: "hi" })).pipe(
            Effect.provide(script),
            Effect.forkChild
          )
          yield* TestClock.adjust("10 seconds")
          const exit = yield* Fiber.join(fiber)
          assert.deepStrictEqual(
            [showExit(exit), log],
            [
              "Failed Fail AiError.InternalProviderError after \"\"",
              ["p before", "p end: Failed Fail AiError.InternalProviderError after \"\""]
            ]
          )
        }))

      it.effect("is interrupted, at once, and says what it has spent", () =>
        Effect.gen(function*() {
          const log: Log = []
          const spent = ContextProvider.make("spent", {
            beforeRun: () =>
              Effect.as(
                AgentRun.addFinalizer((exit) =>
                  Effect.sync(() => {
                    const outcome = AgentRun.outcome(exit)
                    if (outcome._tag !== "Completed") log.push(`spent ${outcome.partial.usage.inputTokens.total}`)
                  })
                ),
                {}
              )
          })
          const { agent, script } = waiting(log, text("never"), spent)
          const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(script),
            Effect.forkChild
          )
          yield* TestClock.adjust("5 seconds")
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(log, ["p before", "spent 7", "p end: Interrupted after \"\""])
        }))

      it.effect("is left by its consumer", () =>
        Effect.gen(function*() {
          const log: Log = []
          const { agent, script } = waiting(log, text("never"))
          // The consumer leaves with what came before the wait: the cost of the first attempt.
          const fiber = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.takeUntil((part) => part.type === "finish"),
            Stream.runCollect,
            Effect.provide(script),
            Effect.forkChild
          )
          yield* TestClock.adjust("5 seconds")
          const seen = yield* Fiber.join(fiber)
          assert.deepStrictEqual(
            [types(seen), log],
            [["run-start", "step-start", "finish"], ["p before", "p end: Abandoned after \"\""]]
          )
        }))
    })

    describe("backoff", () => {
      /** The time at which each attempt of a call is made. */
      const times = (options: ModelFallback.BackoffOptions, ...failures: ReadonlyArray<AiError.AiErrorReason>) =>
        Effect.gen(function*() {
          const at: Array<number> = []
          const clocked = Middleware.make("clocked", {
            model: (request, next) =>
              Stream.unwrap(Effect.map(Effect.clockWith((clock) => clock.currentTimeMillis), (now) => {
                at.push(now)
                return next(request)
              }))
          })
          const agent = Agent.make("agent", {
            middleware: [ModelFallback.retry(ModelFallback.backoff(options)), clocked]
          })
          yield* runs(Effect.exit(Agent.run(agent, { prompt: "hi" }))).pipe(
            Effect.provide(model(...failures.map((failure) => fail(failure)), text("yes")))
          )
          return at
        })

      it.effect("waits as long as the provider wants, and longer each time when it does not say", () =>
        Effect.gen(function*() {
          const [first, second, third, fourth] = yield* times(
            { base: "1 second" },
            limited("40 seconds"),
            overloaded,
            overloaded
          )
          assert.strictEqual(first, 0)
          assert.strictEqual(second, 40_000)
          assert.isTrue(third - second >= 1600 && third - second <= 2650, `${third - second}`)
          assert.isTrue(fourth - third >= 3200 && fourth - third <= 5050, `${fourth - third}`)
        }))

      it.effect("waits as long as the headers of an overloaded provider say", () =>
        Effect.gen(function*() {
          const busy = (name: string, value: string) =>
            new AiError.InternalProviderError({
              description: "Overloaded",
              http: { response: { status: 503, headers: { [name]: value } } }
            })
          const at = yield* times(
            {},
            busy("retry-after", "40"),
            busy("retry-after-ms", "5500"),
            busy("retry-after", new Date(60_000).toUTCString())
          )
          assert.deepStrictEqual(at, [0, 40_000, 45_500, 60_000])
          assert.lengthOf(yield* times({ patience: "20 seconds" }, busy("retry-after", "21")), 1)
        }))

      it.effect("waits no longer than it may", () =>
        Effect.gen(function*() {
          const at = yield* times({ base: "10 seconds", maximum: "3 seconds" }, overloaded, overloaded)
          assert.deepStrictEqual(at, [0, 3000, 6000])
        }))

      it.effect("ends at a failure that is not retryable, and at a wish beyond its patience", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* times({}, refused), [0])
          assert.deepStrictEqual(yield* times({ patience: "20 seconds" }, limited("21 seconds")), [0])
        }))
    })

    describe("limitConcurrency", () => {
      it.effect("holds a permit while a model answers, not while its tools run or an attempt is awaited", () =>
        Effect.gen(function*() {
          const semaphore = yield* Semaphore.make(1)
          const free: Array<number> = []
          const available = Effect.map(
            Semaphore.takeIfAvailable(semaphore, 1),
            (taken) => taken
          )
          const count = Effect.gen(function*() {
            const taken = yield* available
            if (taken) yield* semaphore.release(1)
            free.push(taken ? 1 : 0)
          })
          const toolkit = tools("work")
          const agent = Agent.make("agent", {
            toolkit,
            middleware: [twice, ModelFallback.limitConcurrency(semaphore)]
          })
          const result = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.tap((part) => part.type === "text-delta" ? count : Effect.void),
            AgentRun.fold,
            Effect.provide([
              model(calls("work"), fail(overloaded), text("done")),
              toolkit.toLayer({ work: () => Effect.as(count, "worked") })
            ])
          )
          yield* count
          assert.deepStrictEqual([result.text, free], ["done", [1, 0, 1]])
        }))

      it.effect("makes one run wait for another, and lets go when it is interrupted", () =>
        Effect.gen(function*() {
          const semaphore = yield* Semaphore.make(1)
          const agent = Agent.make("agent", { middleware: [ModelFallback.limitConcurrency(semaphore)] })
          const run = (script: ScriptedModel.Step) =>
            Effect.provide(Agent.run(agent, { prompt: "hi" }), Layer.fresh(model(script)))
          const holder = yield* Effect.forkChild(run(ScriptedModel.hang))
          yield* TestClock.adjust("1 second")
          const waiter = yield* Effect.forkChild(run(text("never")))
          const next = yield* Effect.forkChild(run(text("next")))
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual([waiter, next].map((fiber) => fiber.pollUnsafe()), [undefined, undefined])
          yield* Fiber.interrupt(waiter)
          yield* Fiber.interrupt(holder)
          assert.strictEqual((yield* Fiber.join(next)).text, "next")
        }))
    })

    describe("limitRate", () => {
      const limiter = RateLimiter.layer.pipe(Layer.provide(RateLimiter.layerStoreMemory))

      it.effect("makes attempts wait for their turn", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [twice, ModelFallback.limitRate({ key: "model", limit: 2, window: "1 minute" })]
          })
          const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide([model(fail(overloaded), fail(overloaded), text("yes")), limiter]),
            Effect.forkChild
          )
          yield* TestClock.adjust("59 seconds")
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust("1 second")
          assert.strictEqual((yield* Fiber.join(fiber)).text, "yes")
        }))

      it.effect("fails them when it is told to, with an error of its own type", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [
              twice,
              ModelFallback.limitRate({ key: "model", limit: 1, window: "1 minute", onExceeded: "fail" })
            ]
          })
          const reason = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.catchTag("RateLimiterError", ({ reason }) => Effect.succeed(reason._tag)),
            Effect.provide([model(fail(overloaded), text("never")), limiter])
          )
          assert.strictEqual(reason, "RateLimitExceeded")
        }))
    })
  })
}

describe("ModelFallback over HTTP", () => {
  it.effect("waits as a real provider asks, in one operation with every request below it", () =>
    Effect.gen(function*() {
      const mock = yield* modelServer((mock) => {
        mock.on({ userMessage: "hi", sequenceIndex: 0 }, {
          error: { message: "Slow down", type: "rate_limit_error" },
          status: 429,
          retryAfter: 7
        })
        mock.on({ userMessage: "hi", sequenceIndex: 1 }, {
          error: { message: "Oops", type: "server_error" },
          status: 500
        })
        mock.on({ userMessage: "hi" }, { content: "Hello." })
      })
      const agent = Agent.make("agent", { middleware: [ModelFallback.retry(ModelFallback.backoff())] })
      const started = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      const [exit, exported] = yield* runs(exporters[0].run(
        Agent.run(agent, { prompt: "hi" }).pipe(
          Effect.provide(AiSdk.model(providers(mock.url, AiSdk.fetch)["openai chat"]))
        )
      ))
      const ended = yield* Effect.clockWith((clock) => clock.currentTimeMillis)
      assert.isTrue(Exit.isSuccess(exit))
      assert.isAtLeast(ended - started, 7000)
      const chat = spanNamed(exported, "chat gpt-4o")
      assert.deepStrictEqual(
        [
          chat.status,
          chat.events.map((
            { attributes, name }
          ) => [name, attributes["effect_agents.attempt"], attributes["error.type"]]),
          exported.spans.filter(({ name, parentId }) => name === "POST" && parentId === chat.id)
            .map(({ attributes }) => attributes["http.response.status_code"])
        ],
        [
          "UNSET",
          [
            ["effect_agents.attempt_failed", 1, "RateLimitError"],
            ["effect_agents.attempt_failed", 2, "InternalProviderError"]
          ],
          [429, 500, 200]
        ]
      )
    }))

  it.effect("counts for the provider that answered, on the span and in every metric", () =>
    Effect.gen(function*() {
      const mock = yield* modelServer((mock) => {
        mock.on({ userMessage: "hi", sequenceIndex: 0 }, {
          error: { message: "Oops", type: "server_error" },
          status: 500
        })
        mock.on({ userMessage: "hi" }, { content: "Hello." })
      })
      const { anthropic, "openai chat": openai } = providers(mock.url, AiSdk.fetch)
      const plan = ExecutionPlan.make({ provide: Context.empty() }, { provide: AiSdk.model(anthropic) })
      const agent = Agent.make("agent", { middleware: [ModelFallback.make(plan)] })
      const [exit, exported] = yield* runs(
        exporters[0].run(Agent.run(agent, { prompt: "hi" }).pipe(Effect.provide(AiSdk.model(openai))))
      )
      assert.isTrue(Exit.isSuccess(exit))
      const answered = ["anthropic", "claude-sonnet-4-5"]
      const modelOf = (attributes: Readonly<Record<string, unknown>>) => [
        attributes["gen_ai.provider.name"],
        attributes["gen_ai.request.model"]
      ]
      assert.deepStrictEqual(modelOf(spanNamed(exported, "chat gpt-4o").attributes), answered)
      const metrics = exported.metrics.filter(({ name }) => name.startsWith("gen_ai.client."))
      assert.isAbove(metrics.length, 3)
      for (const { points } of metrics) {
        assert.deepStrictEqual(points.map(({ attributes }) => modelOf(attributes)), points.map(() => answered))
      }
    }))
})

import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { AiError, LanguageModel } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, type AgentRun, ContextProvider } from "../../src/index.ts"
import { outcome } from "../../src/AgentRun.ts"
import * as ScriptedModel from "../../src/testing/ScriptedModel.ts"
import { Boom, calls, collectAll, constructors, hanging, type Log, logged, showCause, tools, types } from "../utils.ts"

const { delay, fail, finish, hang, step, text, usage } = ScriptedModel

const rateLimit = new AiError.RateLimitError({})
const failsAfterThree = step(text(["a", "b", "c"]), fail(rateLimit))

for (const [name, via] of constructors) {
  describe(`outcomes, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    const twoLogged = (log: Log) => Agent.make("agent", { providers: [logged("p1", log), logged("p2", log)] })

    /** All that is left when the model has failed after three deltas. */
    const failedLog = [
      "p1 before",
      "p2 before",
      "p2 end: Failed Fail AiError.RateLimitError after \"abc\"",
      "p1 end: Failed Fail AiError.RateLimitError after \"abc\""
    ]
    const failedParts = [
      "run-start",
      "step-start",
      "text-start",
      "text-delta",
      "text-delta",
      "text-delta"
    ]

    describe("completed", () => {
      it.effect("ends with run-end, afterRun in reverse, finalizers with the result", () =>
        Effect.gen(function*() {
          const log: Log = []
          const { exit, parts } = yield* collectAll(Agent.stream(twoLogged(log), { prompt: "hi" })).pipe(
            Effect.provide(model(text("yes")))
          )
          assert.deepStrictEqual(exit, Exit.void)
          assert.deepStrictEqual(types(parts), [
            "run-start",
            "step-start",
            "text-start",
            "text-delta",
            "text-end",
            "finish",
            "step-end",
            "run-end"
          ])
          assert.deepStrictEqual(log, [
            "p1 before",
            "p2 before",
            "p2 after \"yes\"",
            "p1 after \"yes\"",
            "p2 end: Completed \"yes\"",
            "p1 end: Completed \"yes\""
          ])
        }))

      const leavings: ReadonlyArray<
        readonly [string, (stream: Stream.Stream<AgentRun.Part, unknown, LanguageModel.LanguageModel>) => typeof stream]
      > = [
        ["takeUntil run-end", Stream.takeUntil((part) => part.type === "run-end")],
        ["take of exactly all parts", Stream.take(8)]
      ]
      for (const [how, leave] of leavings) {
        it.effect(`${how} counts as completed, and afterRun ran`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const parts = yield* leave(Agent.stream(twoLogged(log), { prompt: "hi" })).pipe(
              Stream.tap((part) => Effect.sync(() => part.type === "run-end" && log.push("run-end"))),
              Stream.runCollect,
              Effect.provide(model(text("yes")))
            )
            assert.strictEqual(parts.length, 8)
            assert.deepStrictEqual(log.slice(2), [
              "p2 after \"yes\"",
              "p1 after \"yes\"",
              "run-end",
              "p2 end: Completed \"yes\"",
              "p1 end: Completed \"yes\""
            ])
          }))
      }

      it.effect("take of all parts but run-end is abandoned, and no afterRun ran", () =>
        Effect.gen(function*() {
          const log: Log = []
          yield* Agent.stream(twoLogged(log), { prompt: "hi" }).pipe(
            Stream.take(7),
            Stream.runDrain,
            Effect.provide(model(text("yes")))
          )
          assert.deepStrictEqual(log.slice(2), ["p2 end: Abandoned after \"yes\"", "p1 end: Abandoned after \"yes\""])
        }))

      it.effect("a consumer that fails while it handles run-end does not undo it", () =>
        Effect.gen(function*() {
          const log: Log = []
          const exit = yield* Agent.stream(twoLogged(log), { prompt: "hi" }).pipe(
            Stream.runForEach((part) =>
              part.type === "run-end" ? Effect.fail(new Boom({ of: "consumer" })) : Effect.void
            ),
            Effect.exit,
            Effect.provide(model(text("yes")))
          )
          assert.deepStrictEqual(exit, Exit.fail(new Boom({ of: "consumer" })))
          assert.deepStrictEqual(log.slice(-2), ["p2 end: Completed \"yes\"", "p1 end: Completed \"yes\""])
        }))
    })

    describe("failed", () => {
      it.effect("a model that fails after three deltas: no afterRun, finalizers once, in reverse, with the failure", () =>
        Effect.gen(function*() {
          const log: Log = []
          const { exit, parts } = yield* collectAll(Agent.stream(twoLogged(log), { prompt: "hi" })).pipe(
            Effect.provide(model(failsAfterThree))
          )
          assert.deepStrictEqual(types(parts), failedParts)
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail AiError.RateLimitError")
          assert.deepStrictEqual(log, failedLog)
        }))

      it.effect("the same by `run`", () =>
        Effect.gen(function*() {
          const log: Log = []
          const exit = yield* Agent.run(twoLogged(log), { prompt: "hi" }).pipe(
            Effect.exit,
            Effect.provide(model(failsAfterThree))
          )
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail AiError.RateLimitError")
          assert.deepStrictEqual(log, failedLog)
        }))

      it.effect("the typed error is catchable by tag, from stream and from run", () =>
        Effect.gen(function*() {
          const agent = twoLogged([])
          const streamed = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.map((part) => part.type as string),
            Stream.catchTag("AiError", (error) => Stream.succeed(`caught ${error.reason._tag}`)),
            Stream.runCollect
          )
          assert.deepStrictEqual(streamed, [...failedParts, "caught RateLimitError"])
          const ran = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.catchTag("AiError", (error) => Effect.succeed(`caught ${error.reason._tag}`))
          )
          assert.strictEqual(ran, "caught RateLimitError")
        }).pipe(Effect.provide(model(failsAfterThree, failsAfterThree))))

      it.effect("pulling again cannot turn it into a success", () =>
        Effect.gen(function*() {
          const log: Log = []
          const pull = yield* Stream.toPull(Agent.stream(twoLogged(log), { prompt: "hi" }))
          const seen: Array<string> = []
          for (let i = 0; i < 12; i++) {
            const exit = yield* Effect.exit(pull)
            seen.push(Exit.isSuccess(exit) ? types(exit.value).join() : showCause(exit.cause))
          }
          assert.deepStrictEqual(seen, [
            "run-start,step-start",
            "text-start",
            "text-delta",
            "text-delta",
            "text-delta",
            ...Array.from({ length: 7 }, () => "Fail AiError.RateLimitError")
          ])
          assert.deepStrictEqual(log, failedLog)
        }).pipe(Effect.scoped, Effect.provide(model(failsAfterThree, text("success")))))

      it.effect("asking the stream value again is another run, with its own providers", () =>
        Effect.gen(function*() {
          const log: Log = []
          const stream = Agent.stream(twoLogged(log), { prompt: "hi" })
          yield* Effect.exit(Stream.runDrain(stream))
          yield* Stream.runDrain(stream)
          assert.deepStrictEqual(log, [
            ...failedLog,
            "p1 before",
            "p2 before",
            "p2 after \"yes\"",
            "p1 after \"yes\"",
            "p2 end: Completed \"yes\"",
            "p1 end: Completed \"yes\""
          ])
        }).pipe(Effect.provide(model(failsAfterThree, text("yes")))))

      it.effect("the environment of the process changes nothing", () => {
        const variables = {
          ENABLE_INSTRUMENTATION: "true",
          ENABLE_SENSITIVE_DATA: "true",
          OTEL_EXPORTER_OTLP_ENDPOINT: "http://127.0.0.1:9",
          OTEL_TRACES_EXPORTER: "otlp",
          OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT: "true"
        }
        const before = Object.keys(variables).map((key) => [key, process.env[key]] as const)
        return Effect.gen(function*() {
          Object.assign(process.env, variables)
          const log: Log = []
          const { exit, parts } = yield* collectAll(Agent.stream(twoLogged(log), { prompt: "hi" }))
          assert.deepStrictEqual(types(parts), failedParts)
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail AiError.RateLimitError")
          assert.deepStrictEqual(log, failedLog)
        }).pipe(
          Effect.provide(model(failsAfterThree)),
          Effect.ensuring(Effect.sync(() => {
            for (const [key, value] of before) {
              if (value === undefined) delete process.env[key]
              else process.env[key] = value
            }
          }))
        )
      })

      it.effect("of two runs side by side one fails and the other completes", () =>
        Effect.gen(function*() {
          const failing: Log = []
          const completing: Log = []
          const agent = (log: Log) => Agent.run(twoLogged(log), { prompt: "hi" }).pipe(Effect.exit)
          const slow = step(text(["a", "b", "c"], { every: "1 second" }), fail(rateLimit))
          const [first, second] = yield* Effect.all([
            agent(failing).pipe(Effect.provide(model(slow))),
            agent(completing).pipe(Effect.provide(model(text(["x", "y", "z"], { every: "1 second" })))),
            TestClock.adjust("3 seconds")
          ], { concurrency: "unbounded" })
          assert.strictEqual(Exit.isFailure(first) && showCause(first.cause), "Fail AiError.RateLimitError")
          assert.strictEqual(Exit.isSuccess(second) && second.value.text, "xyz")
          assert.deepStrictEqual(failing, failedLog)
          assert.deepStrictEqual(completing.slice(-2), ["p2 end: Completed \"xyz\"", "p1 end: Completed \"xyz\""])
        }))

      it.effect("a defect of the model is the run's", () =>
        Effect.gen(function*() {
          const log: Log = []
          const exit = yield* Agent.run(twoLogged(log), { prompt: "hi" }).pipe(
            Effect.exit,
            Effect.provide(model(step(text("a"), ScriptedModel.die("bug"))))
          )
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Die bug")
          assert.deepStrictEqual(log.slice(2), [
            "p2 end: Failed Die bug after \"a\"",
            "p1 end: Failed Die bug after \"a\""
          ])
        }))
    })

    describe("abandoned", () => {
      const story = step(text(["a", "b", "c"]))

      const leavings: ReadonlyArray<
        readonly [
          string,
          (stream: Stream.Stream<AgentRun.Part, unknown>) => Effect.Effect<unknown, unknown>,
          expected: string
        ]
      > = [
        ["take(4)", (stream) => Stream.runDrain(Stream.take(stream, 4)), "Abandoned after \"a\""],
        ["take(5)", (stream) => Stream.runDrain(Stream.take(stream, 5)), "Abandoned after \"ab\""],
        ["runHead", (stream) => Stream.runHead(stream), "Abandoned after \"\""],
        [
          "takeUntil a text-delta",
          (stream) => Stream.runDrain(Stream.takeUntil(stream, (part) => part.type === "text-delta")),
          "Abandoned after \"a\""
        ],
        [
          "for await with break",
          (stream) =>
            Effect.promise(async () => {
              for await (const part of Stream.toAsyncIterable(stream)) {
                if (part.type === "text-delta") break
              }
            }),
          "Abandoned after \"a\""
        ],
        [
          "for await with a throw",
          (stream) =>
            Effect.tryPromise(async () => {
              for await (const part of Stream.toAsyncIterable(stream)) {
                if (part.type === "text-delta") throw new Error("consumer")
              }
            }),
          "Abandoned after \"a\""
        ],
        [
          "a closed pull",
          (stream) =>
            Effect.scoped(Effect.gen(function*() {
              const pull = yield* Stream.toPull(stream)
              for (let i = 0; i < 3; i++) yield* Effect.exit(pull)
            })),
          "Abandoned after \"a\""
        ],
        [
          "runForEach that fails",
          (stream) =>
            Stream.runForEach(
              stream,
              (part) => part.type === "text-delta" ? Effect.fail(new Boom({ of: "consumer" })) : Effect.void
            ),
          "Abandoned after \"a\""
        ],
        [
          "runForEach that dies",
          (stream) =>
            Stream.runForEach(stream, (part) => part.type === "text-delta" ? Effect.die("consumer") : Effect.void),
          "Abandoned after \"a\""
        ],
        [
          "mapEffect that fails downstream",
          (stream) =>
            Stream.runDrain(
              Stream.mapEffect(stream, (part) =>
                part.type === "text-delta" ? Effect.fail(new Boom({ of: "consumer" })) : Effect.succeed(part))
            ),
          "Abandoned after \"a\""
        ],
        [
          "map that throws downstream",
          (stream) =>
            Stream.runDrain(Stream.map(stream, (part) => {
              if (part.type === "text-delta") throw new Error("consumer")
              return part
            })),
          "Abandoned after \"a\""
        ]
      ]

      for (const [how, leave, expected] of leavings) {
        it.effect(`${how}: finalizers see it before the consumer's next statement, no afterRun`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const context = yield* Effect.context<never>()
            const scripted = yield* ScriptedModel.make([story], { via })
            const stream = Agent.stream(twoLogged(log), { prompt: "hi" }).pipe(
              Stream.provideService(LanguageModel.LanguageModel, scripted.languageModel),
              Stream.provideContext(context)
            )
            const exit = yield* Effect.exit(leave(stream))
            log.push("next statement")
            assert.deepStrictEqual(log, [
              "p1 before",
              "p2 before",
              `p2 end: ${expected}`,
              `p1 end: ${expected}`,
              "next statement"
            ])
            const closed = yield* scripted.script.closed
            assert.strictEqual(closed.length, how === "runHead" ? 0 : 1)
            // the consumer's own failure stays the consumer's
            if (Exit.isFailure(exit)) {
              assert.include(Cause.pretty(exit.cause).toLowerCase() + showCause(exit.cause), "consumer")
            }
          }))
      }

      it.effect("a buffer between does not make it complete by leaving early", () =>
        Effect.gen(function*() {
          const log: Log = []
          yield* Agent.stream(twoLogged(log), { prompt: "hi" }).pipe(
            Stream.buffer({ capacity: 2 }),
            Stream.take(1),
            Stream.runDrain,
            Effect.provide(model(step(text(["a", "b", "c"]), hang)))
          )
          assert.strictEqual(
            log.filter((line) => line.includes("after \"")).some((line) => line.startsWith("p1 after")),
            false
          )
          assert.strictEqual(log.filter((line) => line.startsWith("p1 end")).length, 1)
        }))
    })

    describe("interrupted", () => {
      const slow = step(text(["a", "b"], { every: "1 second" }), hang)

      it.effect("a consumer fiber that is interrupted", () =>
        Effect.gen(function*() {
          const log: Log = []
          const fiber = yield* Effect.forkChild(Agent.run(twoLogged(log), { prompt: "hi" }))
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.interrupt(fiber)
          log.push("next statement")
          assert.deepStrictEqual(log.slice(2), [
            "p2 end: Interrupted after \"ab\"",
            "p1 end: Interrupted after \"ab\"",
            "next statement"
          ])
        }).pipe(Effect.provide(model(slow))))

      it.effect("Effect.timeout", () =>
        Effect.gen(function*() {
          const log: Log = []
          const fiber = yield* Effect.forkChild(
            Agent.run(twoLogged(log), { prompt: "hi" }).pipe(
              Effect.timeout("1500 millis"),
              Effect.exit,
              Effect.tap(Effect.sync(() => log.push("next statement")))
            )
          )
          yield* TestClock.adjust("2 seconds")
          const exit = yield* Fiber.join(fiber)
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail TimeoutError")
          assert.deepStrictEqual(log.slice(2), [
            "p2 end: Interrupted after \"a\"",
            "p1 end: Interrupted after \"a\"",
            "next statement"
          ])
        }).pipe(Effect.provide(model(slow))))

      it.effect("ReadableStream.cancel", () =>
        Effect.gen(function*() {
          const log: Log = []
          const readable = yield* Stream.toReadableStreamEffect(Agent.stream(twoLogged(log), { prompt: "hi" }))
          const reader = readable.getReader()
          const read: Array<string> = []
          for (let i = 0; i < 4; i++) {
            const { value } = yield* Effect.promise(() => reader.read())
            read.push(value!.type)
          }
          yield* Effect.promise(() => reader.cancel())
          log.push("next statement")
          assert.deepStrictEqual(read, ["run-start", "step-start", "text-start", "text-delta"])
          assert.deepStrictEqual(log.map((line) => line.replace(/after ".*"/, "")), [
            "p1 before",
            "p2 before",
            "p2 end: Interrupted ",
            "p1 end: Interrupted ",
            "next statement"
          ])
        }).pipe(Effect.provide(model(step(text(["a", "b", "c"]), hang)))))

      it.effect("a model that interrupts itself", () =>
        Effect.gen(function*() {
          const log: Log = []
          const languageModel = yield* via({
            generateText: () => Effect.succeed([]),
            streamText: () => Stream.fromEffect(Effect.interrupt)
          })
          const exit = yield* Agent.run(twoLogged(log), { prompt: "hi" }).pipe(
            Effect.provideService(LanguageModel.LanguageModel, languageModel),
            Effect.exit
          )
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Interrupt")
          assert.deepStrictEqual(log.slice(2), ["p2 end: Interrupted after \"\"", "p1 end: Interrupted after \"\""])
        }))

      it.effect("while two tools run: both are interrupted and awaited before control returns", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("one", "two")
          const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
          const cleanup = (name: string) =>
            hanging(name, log).pipe(
              Effect.onInterrupt(() =>
                Effect.andThen(Effect.sleep("1 second"), Effect.sync(() => log.push(`${name} clean`)))
              )
            )
          const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(toolkit.toLayer({ one: () => cleanup("one"), two: () => cleanup("two") })),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 second")
          const interrupting = yield* Effect.forkChild(
            Effect.andThen(Fiber.interrupt(fiber), Effect.sync(() => log.push("next statement")))
          )
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(interrupting)
          assert.deepStrictEqual(log, [
            "p1 before",
            "one runs",
            "two runs",
            "one interrupted",
            "two interrupted",
            "one clean",
            "two clean",
            "p1 end: Interrupted after \"\"",
            "next statement"
          ])
        }).pipe(Effect.provide(model(calls("one", "two")))))

      it.effect("while the first model call is opened", () =>
        Effect.gen(function*() {
          const log: Log = []
          const opening = yield* Deferred.make<void>()
          const languageModel = yield* via({
            generateText: () => Effect.succeed([]),
            streamText: () =>
              Stream.unwrap(
                Deferred.succeed(opening, undefined).pipe(
                  Effect.andThen(Effect.never),
                  Effect.onInterrupt(() => Effect.sync(() => log.push("opening interrupted")))
                )
              )
          })
          const fiber = yield* Agent.run(twoLogged(log), { prompt: "hi" }).pipe(
            Effect.provideService(LanguageModel.LanguageModel, languageModel),
            Effect.forkChild
          )
          yield* Deferred.await(opening)
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(log.slice(2), [
            "opening interrupted",
            "p2 end: Interrupted after \"\"",
            "p1 end: Interrupted after \"\""
          ])
        }))
    })

    describe("what it carries", () => {
      it.effect("partial text, usage and finished steps, on each outcome that is not completed", () =>
        Effect.gen(function*() {
          const toolkit = tools("one")
          const ends: Array<AgentRun.Outcome> = []
          const agent = Agent.make("agent", {
            toolkit,
            providers: [
              ContextProvider.make("ends", {
                beforeRun: () =>
                  Effect.addFinalizer((exit) =>
                    Effect.sync(() => ends.push(outcome(exit as Exit.Exit<AgentRun.Result, unknown>)))
                  )
              })
            ]
          })
          const first = step(text("let me see"), calls("one"), finish("tool-calls", usage(100, 10)))
          const second = (...rest: ReadonlyArray<ScriptedModel.Piece>) => step(text(["part", "ial"]), ...rest)
          const run = (last: ScriptedModel.Step) =>
            Agent.stream(agent, { prompt: "hi" }).pipe(
              Stream.provide(toolkit.toLayer({ one: () => Effect.succeed("1") })),
              Stream.provide(model(first, last))
            )
          yield* Effect.exit(Stream.runDrain(run(second(fail(rateLimit)))))
          yield* Stream.runDrain(Stream.takeUntil(
            run(second(delay("1 second"))),
            (part) => part.type === "text-delta" && part.delta === "ial"
          ))
          const fiber = yield* Effect.forkChild(Stream.runDrain(run(second(hang))))
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(
            ends.map((end) =>
              end._tag === "Completed" ? end : [
                end._tag,
                end.partial.text,
                end.partial.usage.inputTokens.total,
                end.partial.usage.outputTokens.total,
                end.partial.steps.map((step) => [step.index, step.text, step.toolCalls])
              ]
            ),
            ["Failed", "Abandoned", "Interrupted"].map((tag) => [
              tag,
              "partial",
              100,
              10,
              [[0, "let me see", [{ id: "id-one", name: "one", params: {}, executed: true, isFailure: false }]]]
            ])
          )
        }))
    })
  })
}

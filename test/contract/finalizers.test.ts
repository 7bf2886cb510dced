import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Logger, Stream } from "effect"
import { AiError, LanguageModel, type Response } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentError, AgentRun, ContextProvider, Middleware } from "../../src/index.ts"
import * as ScriptedModel from "../../src/testing/ScriptedModel.ts"
import { Boom, calls, constructors, hanging, type Log, logged, showCause, showExit, tools } from "../utils.ts"

const { fail, hang, step, text } = ScriptedModel

const boom = Effect.fail(new Boom({ of: "test" }))
const failing = step(text("a"), fail(new AiError.RateLimitError({})))

/** The messages that are logged while the effect runs, in `logs`. */
const collectLogs = (logs: Array<unknown>) =>
  Effect.provide(Logger.layer([
    Logger.make<unknown, void>(({ message }) => void logs.push(Array.isArray(message) ? message[0] : message))
  ]))

describe("finalizers of a run", () => {
  const endings = [
    ["completes", text("a"), "Completed \"a\""],
    ["fails", failing, "Failed Fail AiError.RateLimitError after \"a\""]
  ] as const

  for (const [how, script, expected] of endings) {
    it.effect(`when a run ${how}, one that fails and one that dies keep no other from running and change nothing`, () =>
      Effect.gen(function*() {
        const log: Log = []
        const logs: Array<unknown> = []
        const agent = Agent.make("agent", {
          providers: [
            logged("p1", log),
            logged("p2", log, { finalizer: boom }),
            logged("p3", log, { finalizer: Effect.die("bug") }),
            logged("p4", log)
          ]
        })
        const exit = yield* Agent.run(agent, { prompt: "hi" }).pipe(Effect.exit, collectLogs(logs))
        assert.deepStrictEqual(log.filter((line) => line.includes("end")), [
          `p4 end: ${expected}`,
          `p3 end: ${expected}`,
          `p2 end: ${expected}`,
          `p1 end: ${expected}`
        ])
        assert.strictEqual(showExit(exit), expected)
        assert.deepStrictEqual(logs, ["The finalizer of `p3` failed", "The finalizer of `p2` failed"])
      }).pipe(Effect.provide(ScriptedModel.layer([script]))))

    it.effect(`when a run ${how}, one that never ends is interrupted after its budget, and the others run`, () =>
      Effect.gen(function*() {
        const log: Log = []
        const logs: Array<unknown> = []
        const agent = Agent.make("agent", {
          providers: [
            logged("p1", log),
            logged("p2", log, { finalizer: hanging("p2 finalizer", log) }),
            logged("p3", log)
          ]
        })
        const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
          Effect.exit,
          collectLogs(logs),
          Effect.provideService(AgentRun.FinalizationBudget, "3 seconds"),
          Effect.forkChild
        )
        yield* TestClock.adjust("2999 millis")
        const lines = [`p3 end: ${expected}`, `p2 end: ${expected}`, "p2 finalizer runs"]
        const ends = () => log.filter((line) => line.includes("end") || line.includes("finalizer"))
        assert.deepStrictEqual(ends(), lines)
        assert.isUndefined(fiber.pollUnsafe())
        yield* TestClock.adjust("1 millis")
        assert.strictEqual(showExit(yield* Fiber.join(fiber)), expected)
        assert.deepStrictEqual(ends(), [...lines, "p2 finalizer interrupted", `p1 end: ${expected}`])
        assert.deepStrictEqual(logs, ["The finalizer of `p2` overran its budget"])
      }).pipe(Effect.provide(ScriptedModel.layer([script]))))
  }

  it.effect("a logger that throws while a failure is recorded changes nothing either", () =>
    Effect.gen(function*() {
      const log: Log = []
      const thrower = Logger.make<unknown, void>(() => {
        throw new Error("logger")
      })
      const agent = Agent.make("agent", {
        providers: [
          logged("p1", log, { finalizer: boom }),
          ContextProvider.bestEffort(logged("p2", log, { afterRun: boom }))
        ]
      })
      const run = yield* Agent.run(agent, { prompt: "hi" }).pipe(Effect.provide(Logger.layer([thrower])))
      assert.strictEqual(run.text, "a")
      assert.deepStrictEqual(log.slice(-2), ["p2 end: Completed \"a\"", "p1 end: Completed \"a\""])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("the budget is ten seconds when nobody says otherwise", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [logged("p1", [], { finalizer: Effect.never })] })
      const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: "hi" }))
      yield* TestClock.adjust("9999 millis")
      assert.isUndefined(fiber.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.strictEqual((yield* Fiber.join(fiber)).text, "a")
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("of an interrupted run and of an abandoned one they fail without changing its end", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", {
        providers: [logged("p1", log, { finalizer: Effect.die("bug") }), logged("p2", log, { finalizer: boom })]
      })
      const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: "hi" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      const exit = yield* Fiber.await(fiber)
      assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Interrupt")
      yield* Stream.runDrain(Stream.take(Agent.stream(agent, { prompt: "hi" }), 4))
      assert.deepStrictEqual(log.filter((line) => line.includes("end")), [
        "p2 end: Interrupted after \"a\"",
        "p1 end: Interrupted after \"a\"",
        "p2 end: Abandoned after \"a\"",
        "p1 end: Abandoned after \"a\""
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([step(text("a"), hang), step(text("a"), hang)]))))

  it.effect("a slow finalizer of the model stream is awaited before control returns, within the budget", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", { providers: [logged("p1", log)] })
      const leave = Effect.fnUntraced(function*(release: Effect.Effect<void>) {
        const languageModel = yield* LanguageModel.make({
          generateText: () => Effect.succeed([]),
          streamText: () => Stream.unwrap(Effect.as(Effect.addFinalizer(() => release), Stream.never))
        })
        const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
          Effect.provideService(LanguageModel.LanguageModel, languageModel),
          Effect.forkChild
        )
        yield* TestClock.adjust("1 second")
        const leaving = yield* Effect.forkChild(
          Effect.andThen(Fiber.interrupt(fiber), Effect.sync(() => log.push("next statement")))
        )
        yield* TestClock.adjust("1 second")
        log.push("a second later")
        yield* TestClock.adjust("9 seconds")
        yield* Fiber.join(leaving)
      })
      yield* leave(Effect.andThen(Effect.sleep("5 seconds"), Effect.sync(() => log.push("model closed"))))
      yield* leave(Effect.never)
      assert.deepStrictEqual(log.filter((line) => line !== "p1 before"), [
        "a second later",
        "model closed",
        "p1 end: Interrupted after \"\"",
        "next statement",
        "a second later",
        "p1 end: Interrupted after \"\"",
        "next statement"
      ])
    }))

  for (const [name, make] of constructors) {
    it.effect(`a finalizer of the model stream (${name}) that interrupts the run is awaited, and no tool runs`, () =>
      Effect.gen(function*() {
        const log: Log = []
        const toolkit = tools("pay")
        const run = yield* Deferred.make<Fiber.Fiber<unknown, unknown>>()
        const release = Effect.gen(function*() {
          const fiber = yield* Deferred.await(run)
          fiber.interruptUnsafe()
          yield* Effect.sleep("1 second")
          log.push("model closed")
        })
        const parts: ReadonlyArray<Response.StreamPartEncoded> = [
          { type: "tool-call", id: "id", name: "pay", params: {} },
          { type: "finish", reason: "tool-calls", usage: { inputTokens: {}, outputTokens: {} } }
        ]
        const languageModel = yield* make({
          generateText: () => Effect.succeed([]),
          streamText: () =>
            Stream.unwrap(
              Effect.as(Effect.addFinalizer(() => release), Stream.mapArray(Stream.succeed(0), () => parts as never))
            )
        })
        const fiber = yield* Agent.run(Agent.make("agent", { toolkit, providers: [logged("p1", log)] }), {
          prompt: "hi"
        }).pipe(
          Effect.provideService(LanguageModel.LanguageModel, languageModel),
          Effect.provide(toolkit.toLayer({ pay: () => Effect.sync(() => `${log.push("PAID")}`) })),
          Effect.ensuring(Effect.sync(() => log.push("next statement"))),
          Effect.forkChild
        )
        yield* Deferred.succeed(run, fiber)
        yield* TestClock.adjust("1 second")
        yield* Fiber.await(fiber)
        assert.deepStrictEqual(log, [
          "p1 before",
          "model closed",
          "p1 end: Interrupted after \"\"",
          "next statement"
        ])
      }))
  }

  it.effect("a tool that ignores its interruption is not awaited longer than the budget, and recorded", () =>
    Effect.gen(function*() {
      const log: Log = []
      const logs: Array<unknown> = []
      const toolkit = tools("deaf")
      const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
      const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
        Effect.provide(toolkit.toLayer({ deaf: () => Effect.uninterruptible(Effect.never) })),
        collectLogs(logs),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      const leaving = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("9999 millis")
      assert.deepStrictEqual(log, ["p1 before"])
      yield* TestClock.adjust("1 millis")
      yield* Fiber.join(leaving)
      assert.deepStrictEqual(log, ["p1 before", "p1 end: Interrupted after \"\""])
      assert.deepStrictEqual(logs, ["The finalizer of `agent` overran its budget"])
    }).pipe(Effect.provide(ScriptedModel.layer([calls("deaf")]))))

  it.effect("a tool made of a promise that ignores its abort signal: the run ends within the budget", () =>
    Effect.gen(function*() {
      const log: Log = []
      const toolkit = tools("promised")
      const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
      const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
        Effect.provide(toolkit.toLayer({
          promised: () =>
            Effect.promise((signal) => {
              signal.addEventListener("abort", () => log.push("signalled"))
              return new Promise<string>(() => {})
            })
        })),
        Effect.forkChild
      )
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, ["p1 before", "signalled", "p1 end: Interrupted after \"\""])
    }).pipe(Effect.provide(ScriptedModel.layer([calls("promised")]))))
})

describe("afterRun", () => {
  it.effect("one that fails: the others still run, and the error carries the finished result", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", {
        providers: [
          logged("p1", log),
          logged("p2", log, { afterRun: boom }),
          logged("p3", log)
        ]
      })
      const error = yield* Effect.flip(Agent.run(agent, { prompt: "hi" }))
      assert(AgentError.isAgentError(error) && error.reason._tag === "AfterRunFailed")
      assert.deepStrictEqual(
        [
          error.reason.provider,
          error.reason.result.text,
          error.reason.result.usage.inputTokens.total,
          error.reason.cause
        ],
        ["p2", "a", 10, new Boom({ of: "test" })]
      )
      assert.deepStrictEqual(log.slice(3), [
        "p3 after \"a\"",
        "p2 after \"a\"",
        "p1 after \"a\"",
        "p3 end: Failed Fail AgentError.AfterRunFailed(p2) after \"a\"",
        "p2 end: Failed Fail AgentError.AfterRunFailed(p2) after \"a\"",
        "p1 end: Failed Fail AgentError.AfterRunFailed(p2) after \"a\""
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("one that fails is caught by its reason, and run-end is not seen", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [logged("p1", [], { afterRun: boom })] })
      const seen: Array<string> = []
      const caught = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
        Stream.runForEach((part) => Effect.sync(() => void seen.push(part.type))),
        Effect.catchReason("AgentError", "AfterRunFailed", ({ result }) => Effect.succeed(result.text))
      )
      assert.strictEqual(caught, "a")
      assert.deepStrictEqual(seen.slice(-2), ["finish", "step-end"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("two that fail, one of them with a defect: both are in the cause", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", {
        providers: [logged("p1", [], { afterRun: boom }), logged("p2", [], { afterRun: Effect.die("bug") })]
      })
      const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" }))
      assert.strictEqual(
        Exit.isFailure(exit) && showCause(exit.cause),
        "Fail AgentError.AfterRunFailed(p2) + Fail AgentError.AfterRunFailed(p1)"
      )
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("a best-effort one that fails is recorded and the run completes", () =>
    Effect.gen(function*() {
      const log: Log = []
      const logs: Array<unknown> = []
      const agent = Agent.make("agent", {
        providers: [logged("p1", log), ContextProvider.bestEffort(logged("p2", log, { afterRun: boom }))]
      })
      const result = yield* Agent.run(agent, { prompt: "hi" }).pipe(collectLogs(logs))
      assert.strictEqual(result.text, "a")
      assert.deepStrictEqual(log.slice(2), [
        "p2 after \"a\"",
        "p1 after \"a\"",
        "p2 end: Completed \"a\"",
        "p1 end: Completed \"a\""
      ])
      assert.deepStrictEqual(logs, ["The afterRun of `p2` failed"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("a committing one runs after all the others, whatever its place", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", {
        providers: [logged("p1", log), ContextProvider.committing(logged("commit", log)), logged("p3", log)]
      })
      yield* Agent.run(agent, { prompt: "hi" })
      assert.deepStrictEqual(log.slice(3, 6), ["p3 after \"a\"", "p1 after \"a\"", "commit after \"a\""])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("a committing one is skipped when a critical one failed, not when a best-effort one did", () =>
    Effect.gen(function*() {
      const log: Log = []
      const commit = ContextProvider.committing(logged("commit", log))
      const failing = logged("p1", log, { afterRun: boom })
      yield* Effect.exit(Agent.run(Agent.make("agent", { providers: [failing, commit] }), { prompt: "hi" }))
      assert.isFalse(log.includes("commit after \"a\""))
      const lenient = Agent.make("agent", { providers: [ContextProvider.bestEffort(failing), commit] })
      assert.strictEqual((yield* Agent.run(lenient, { prompt: "hi" })).text, "a")
      assert.isTrue(log.includes("commit after \"a\""))
    }).pipe(Effect.provide(ScriptedModel.layer([text("a"), text("a")]))))

  it.effect("one that overruns its budget is a failing one: it is interrupted, the others run", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", {
        providers: [logged("p1", log), logged("p2", log, { afterRun: hanging("save", log) })]
      })
      const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
        Effect.flip,
        Effect.provideService(AgentRun.FinalizationBudget, "2 seconds"),
        Effect.forkChild
      )
      yield* TestClock.adjust("1999 millis")
      assert.deepStrictEqual(log.slice(2), ["p2 after \"a\"", "save runs"])
      yield* TestClock.adjust("1 millis")
      const error = yield* Fiber.join(fiber)
      assert.strictEqual(
        error.message,
        "Agent `agent`: The `afterRun` of context provider `p2` failed: it took longer than 2s"
      )
      assert.deepStrictEqual(log.slice(4), [
        "save interrupted",
        "p1 after \"a\"",
        "p2 end: Failed Fail AgentError.AfterRunFailed(p2) after \"a\"",
        "p1 end: Failed Fail AgentError.AfterRunFailed(p2) after \"a\""
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("an interrupt while it runs waits for it, and the outcome is Completed", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", {
        providers: [logged("p1", log, {
          afterRun: Effect.andThen(Effect.sleep("5 seconds"), Effect.sync(() => log.push("saved")))
        })]
      })
      const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: "hi" }))
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.forkChild(
        Effect.andThen(Fiber.interrupt(fiber), Effect.sync(() => log.push("next statement")))
      )
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(log.slice(1), [
        "p1 after \"a\"",
        "saved",
        "p1 end: Completed \"a\"",
        "next statement"
      ])
      const exit = yield* Fiber.await(fiber)
      assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Interrupt")
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("a pull after one that was interrupted while it ran gives the end of the run", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", { providers: [logged("p1", log, { afterRun: Effect.sleep("5 seconds") })] })
      const pull = yield* Stream.toPull(Agent.stream(agent, { prompt: "hi" }))
      const seen: Array<string> = []
      while (seen.at(-1) !== "step-end") for (const part of yield* pull) seen.push(part.type)
      const fiber = yield* Effect.forkChild(pull)
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(Array.from(yield* pull, (part) => part.type), ["run-end"])
      assert.strictEqual(Exit.isFailure(yield* Effect.exit(pull)), true)
      assert.deepStrictEqual(log, ["p1 before", "p1 after \"a\"", "p1 end: Completed \"a\""])
    }).pipe(Effect.scoped, Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("an interrupt while it runs and then fails: the outcome is its failure, with the result", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", {
        providers: [logged("p1", log, { afterRun: Effect.andThen(Effect.sleep("5 seconds"), boom) })]
      })
      const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: "hi" }))
      yield* TestClock.adjust("1 second")
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(interrupting)
      assert.deepStrictEqual(log.slice(1), [
        "p1 after \"a\"",
        "p1 end: Failed Fail AgentError.AfterRunFailed(p1) after \"a\""
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("receives the request, the result and its own state", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const provider = ContextProvider.make("p", {
        beforeRun: (request) => Effect.succeed({ state: { from: request.session } }),
        afterRun: ({ request, result, state }) =>
          Effect.sync(() =>
            seen.push(request.agent, request.session, request.prompt.content.length, result.text, state.from)
          )
      })
      yield* Agent.run(Agent.make("agent", { providers: [provider] }), { prompt: "hi", session: "s1" })
      assert.deepStrictEqual(seen, ["agent", "s1", 1, "a", "s1"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))
})

describe("beforeRun", () => {
  const cases = [
    ["fails", boom, "Failed Fail Boom(test) after \"\""],
    ["dies", Effect.die("bug"), "Failed Die bug after \"\""],
    ["interrupts itself", Effect.interrupt, "Interrupted after \"\""]
  ] as const

  for (const [how, beforeRun, expected] of cases) {
    it.effect(`a second one that ${how}: no model call, no part, no afterRun, and those before see it`, () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("agent", {
          providers: [logged("p1", log), logged("p2", log, { beforeRun }), logged("p3", log)]
        })
        const seen: Array<string> = []
        const exit = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
          Stream.runForEach((part) => Effect.sync(() => void seen.push(part.type))),
          Effect.exit
        )
        assert.strictEqual(showExit(exit), expected)
        assert.deepStrictEqual(seen, [])
        assert.deepStrictEqual(log, ["p1 before", "p2 before", `p2 end: ${expected}`, `p1 end: ${expected}`])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual(yield* requests, [])
      }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))
  }

  it.effect("one that throws is a defect of the run", () =>
    Effect.gen(function*() {
      const log: Log = []
      const thrower = ContextProvider.make("p2", {
        beforeRun: (): Effect.Effect<void> => {
          throw new Error("bug")
        }
      })
      const exit = yield* Effect.exit(
        Agent.run(Agent.make("agent", { providers: [logged("p1", log), thrower] }), { prompt: "hi" })
      )
      assert.strictEqual(showExit(exit), "Failed Die bug after \"\"")
      assert.deepStrictEqual(log, ["p1 before", "p1 end: Failed Die bug after \"\""])
    }).pipe(Effect.provide(ScriptedModel.layer([]))))

  it.effect("an interrupt while it runs: those started see Interrupted", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", {
        providers: [logged("p1", log), logged("p2", log, { beforeRun: Effect.never }), logged("p3", log)]
      })
      const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: "hi" }))
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(log, [
        "p1 before",
        "p2 before",
        "p2 end: Interrupted after \"\"",
        "p1 end: Interrupted after \"\""
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([]))))

  it.effect("a pull after one that was interrupted in it does not go on as if nothing had been", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", { providers: [logged("p1", log, { beforeRun: Effect.never })] })
      const pull = yield* Stream.toPull(Agent.stream(agent, { prompt: "hi" }))
      const first = yield* Effect.forkChild(pull)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(first)
      const exit = yield* Effect.exit(pull)
      assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Interrupt")
      assert.deepStrictEqual(log, ["p1 before", "p1 end: Interrupted after \"\""])
    }).pipe(Effect.scoped, Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("what the engine rejects when it opens the loop is a failure of the run, not of its consumer", () =>
    Effect.gen(function*() {
      const log: Log = []
      const broken = ContextProvider.make("p2", {
        beforeRun: () => Effect.succeed({ messages: [{ role: "tool", content: undefined } as never] })
      })
      const exit = yield* Effect.exit(
        Agent.run(Agent.make("agent", { providers: [logged("p1", log), broken] }), { prompt: "hi" })
      )
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
      assert.match(log[1], /^p1 end: Failed Die /)
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))
})

describe("laziness", () => {
  it.effect("a stream never consumed and an iterator without next() ran nothing, not even a middleware", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", { providers: [logged("p1", log)] }).pipe(
        Agent.withMiddleware(Middleware.make("m", {
          agent: (request, next) => {
            log.push("middleware")
            return next(request)
          }
        }))
      )
      const context = yield* Effect.context<LanguageModel.LanguageModel>()
      const stream = Agent.stream(agent, { prompt: "hi" })
      const neverRun = Agent.run(agent, { prompt: "hi" })
      const iterator = Stream.toAsyncIterableWith(stream, context)[Symbol.asyncIterator]()
      yield* Effect.promise(() => iterator.return!())
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.deepStrictEqual(yield* requests, [])
      assert.deepStrictEqual(log, [])
      assert.isTrue(Effect.isEffect(neverRun))
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("a pull that is never pulled ran nothing", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", { providers: [logged("p1", log)] })
      const pull = yield* Effect.scoped(Stream.toPull(Agent.stream(agent, { prompt: "hi" })))
      assert.isTrue(Effect.isEffect(pull))
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.deepStrictEqual([yield* requests, log], [[], []])
    }).pipe(Effect.provide(ScriptedModel.layer([text("a")]))))

  it.effect("parts pulled from different fibers are one run", () =>
    Effect.gen(function*() {
      const log: Log = []
      const toolkit = tools("one")
      const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
      const gate = yield* Deferred.make<string>()
      const pull = yield* Stream.toPull(Agent.stream(agent, { prompt: "hi" })).pipe(
        Effect.provide(toolkit.toLayer({ one: () => Deferred.await(gate) }))
      )
      const seen: Array<string> = []
      while (!seen.includes("run-end")) {
        const fiber = yield* Effect.forkDetach(pull)
        if (seen.at(-1) === "finish" && seen.length === 4) yield* Deferred.succeed(gate, "1")
        for (const part of yield* Fiber.join(fiber)) seen.push(part.type)
      }
      assert.deepStrictEqual(seen, [
        "run-start",
        "step-start",
        "tool-call",
        "finish",
        "tool-result",
        "step-end",
        "step-start",
        "text-start",
        "text-delta",
        "text-end",
        "finish",
        "step-end",
        "run-end"
      ])
      assert.deepStrictEqual(log, ["p1 before", "p1 after \"done\""])
      assert.strictEqual(Exit.isFailure(yield* Effect.exit(pull)), true)
      assert.deepStrictEqual(log.slice(2), ["p1 end: Completed \"done\""])
    }).pipe(Effect.scoped, Effect.provide(ScriptedModel.layer([calls("one"), text("done")]))))

  it.effect("a pull that was interrupted in a model call is not pulled again: the run was interrupted", () =>
    Effect.gen(function*() {
      const log: Log = []
      const toolkit = tools("one")
      const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
      const scripted = yield* ScriptedModel.make([calls("one"), text("done")])
      let opened = 0
      const slowOpening = {
        ...scripted.languageModel,
        streamText: ((options: any) =>
          ++opened === 2
            // once interrupted, it would end as if the model had said all
            ? Stream.unwrap(Effect.suspend(() => ++opened === 3 ? Effect.never : Effect.succeed(Stream.empty)))
            : scripted.languageModel.streamText(options)) as never
      }
      const pull = yield* Stream.toPull(Agent.stream(agent, { prompt: "hi" })).pipe(
        Effect.provideService(LanguageModel.LanguageModel, slowOpening),
        Effect.provide(toolkit.toLayer({
          one: () => Effect.succeed("1")
        }))
      )
      const seen: Array<string> = []
      while (seen.filter((type) => type === "step-start").length < 2) {
        for (const part of yield* pull) seen.push(part.type)
      }
      const fiber = yield* Effect.forkChild(pull)
      yield* TestClock.adjust("1 second")
      yield* Fiber.interrupt(fiber)
      const exit = yield* Effect.exit(pull)
      assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Interrupt")
      assert.deepStrictEqual(log, ["p1 before", "p1 end: Interrupted after \"\""])
    }).pipe(Effect.scoped))
})

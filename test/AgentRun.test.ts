import { assert, describe, it } from "@effect/vitest"
import { Cause, Channel, Context, Effect, Exit, Fiber, Schema, Scope, Stream } from "effect"
import { AiError, LanguageModel, Prompt } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentRun, ContextProvider, Middleware } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, calls, constructors, type Log, showCause, showExit, tools } from "./utils.ts"

const { delay, fail, finish, hang, step, text, usage } = ScriptedModel

const tokens = ({ inputTokens, outputTokens }: AgentRun.Usage) => [inputTokens.total, outputTokens.total]

/** A provider that keeps how the runs have ended. */
const ends = (into: Array<AgentRun.Outcome>) =>
  ContextProvider.make("ends", {
    beforeRun: () =>
      Effect.addFinalizer((exit) =>
        Effect.sync(() => into.push(AgentRun.outcome(exit as Exit.Exit<AgentRun.Result, unknown>)))
      )
  })

const spent = (outcome: AgentRun.Outcome) => {
  const { totalUsage, usage } = outcome._tag === "Completed" ? outcome.result : outcome.partial
  return [outcome._tag, tokens(usage), tokens(totalUsage)]
}

const result: AgentRun.Result = {
  agent: "agent",
  runId: "run-1",
  session: "s1",
  text: "hello",
  value: undefined,
  approvals: [],
  usage: AgentRun.emptyUsage,
  totalUsage: AgentRun.emptyUsage,
  steps: [],
  stopReason: "stop",
  transcript: Prompt.empty
}
const partial: AgentRun.Partial = {
  runId: "run-1",
  text: "hel",
  usage: AgentRun.emptyUsage,
  totalUsage: AgentRun.emptyUsage,
  steps: [],
  transcript: Prompt.empty
}

describe("AgentRun", () => {
  describe("outcome", () => {
    const outcomes: ReadonlyArray<AgentRun.Outcome<Boom>> = [
      { _tag: "Completed", result },
      { _tag: "Failed", cause: Cause.fail(new Boom({ of: "x" })), partial },
      { _tag: "Interrupted", cause: Cause.interrupt(1), partial },
      { _tag: "Abandoned", partial }
    ]

    for (const outcome of outcomes) {
      it(`reads ${outcome._tag} back from its exit`, () => {
        const exit = AgentRun.toExit(outcome)
        const back = AgentRun.outcome(exit)
        assert.strictEqual(back._tag, outcome._tag)
        assert.strictEqual(Exit.isSuccess(exit), outcome._tag === "Completed")
        if (back._tag === "Completed") assert.strictEqual(back.result, result)
        else assert.strictEqual(back.partial, partial)
        if (back._tag === "Failed") assert.strictEqual(showCause(back.cause), "Fail Boom(x)")
        const matched = AgentRun.matchOutcome<Boom, string>({
          onCompleted: ({ text }) => `Completed ${text}`,
          onFailed: (cause, { text }) => `Failed ${showCause(cause)} ${text}`,
          onInterrupted: ({ text }) => `Interrupted ${text}`,
          onAbandoned: ({ text }) => `Abandoned ${text}`
        })(exit)
        assert.strictEqual(
          matched,
          {
            Completed: "Completed hello",
            Failed: "Failed Fail Boom(x) hel",
            Interrupted: "Interrupted hel",
            Abandoned: "Abandoned hel"
          }[outcome._tag]
        )
      })
    }

    it("of an exit that no run made has an empty partial", () => {
      const end = AgentRun.outcome(Exit.fail("x"))
      assert(end._tag === "Failed")
      assert.deepStrictEqual([end.partial.text, end.partial.steps], ["", []])
      assert.strictEqual(AgentRun.outcome(Exit.interrupt())._tag, "Interrupted")
    })

    it("a cause with a failure beside an interrupt is Failed", () => {
      const cause = Cause.combine(Cause.fail("x"), Cause.interrupt())
      assert.strictEqual(AgentRun.outcome(Exit.failCause(cause))._tag, "Failed")
    })

    it.effect("reads the exit of `Agent.run` as it reads that of a finalizer", () =>
      Effect.gen(function*() {
        const seen: Array<AgentRun.Outcome> = []
        const agent = Agent.make("agent", { providers: [ends(seen)] })
        const exits = [
          yield* Effect.exit(Agent.run(agent, { prompt: "hi" })),
          yield* Effect.exit(Agent.run(agent, { prompt: "hi" }))
        ]
        assert.deepStrictEqual(
          exits.map((exit) => AgentRun.outcome(exit)),
          seen as Array<AgentRun.Outcome<AiError.AiError>>
        )
        assert.deepStrictEqual(exits.map(showExit), [
          "Completed \"yes\"",
          "Failed Fail AiError.RateLimitError after \"a\""
        ])
      }).pipe(
        Effect.provide(ScriptedModel.layer([text("yes"), step(text("a"), fail(new AiError.RateLimitError({})))]))
      ))
  })

  describe("Result", () => {
    it.effect("survives JSON", () =>
      Effect.gen(function*() {
        const toolkit = tools("work")
        const run = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
          Effect.provide(toolkit.toLayer({ work: () => Effect.succeed("worked") }))
        )
        const json = JSON.stringify(yield* Schema.encodeEffect(AgentRun.Result)(run))
        const back = yield* Schema.decodeUnknownEffect(AgentRun.Result)(JSON.parse(json))
        assert.strictEqual(JSON.stringify(yield* Schema.encodeEffect(AgentRun.Result)(back)), json)
        assert.deepStrictEqual([back.text, back.steps.length, tokens(back.usage)], ["ok", 2, [20, 10]])
      }).pipe(Effect.provide(ScriptedModel.layer([calls("work"), text("ok")]))))
  })

  describe("addUsage", () => {
    it("sums what is reported and leaves undefined what nobody reports", () => {
      const a: AgentRun.Usage = {
        inputTokens: { uncached: 1, total: 10, cacheRead: undefined, cacheWrite: undefined },
        outputTokens: { total: 3, text: undefined, reasoning: 2 }
      }
      const b: AgentRun.Usage = {
        inputTokens: { uncached: undefined, total: 5, cacheRead: 4, cacheWrite: undefined },
        outputTokens: { total: 1, text: undefined, reasoning: undefined }
      }
      assert.deepStrictEqual(AgentRun.addUsage(a, b), {
        inputTokens: { uncached: 1, total: 15, cacheRead: 4, cacheWrite: undefined },
        outputTokens: { total: 4, text: undefined, reasoning: 2 }
      })
      assert.deepStrictEqual(AgentRun.addUsage(AgentRun.emptyUsage, a), a)
      assert.deepStrictEqual(AgentRun.addUsage(a, AgentRun.emptyUsage), a)
    })
  })

  describe("fold", () => {
    it.effect("a stream without run-end breaks the contract: a defect", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(AgentRun.fold(Stream.empty))
        assert.strictEqual(showExit(exit), "Failed Die The stream of the run ended without a `run-end` part after \"\"")
      }))

    it.effect("fails with the stream, and closes it", () =>
      Effect.gen(function*() {
        const log: Log = []
        const stream = Stream.fail("no").pipe(Stream.ensuring(Effect.sync(() => log.push("closed"))))
        assert.deepStrictEqual(yield* Effect.exit(AgentRun.fold(stream)), Exit.fail("no"))
        assert.deepStrictEqual(log, ["closed"])
      }))
  })
})

for (const [name, via] of constructors) {
  describe(`usage, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    it.effect("is the sum of the run's model calls, in `run` and in `stream`", () =>
      Effect.gen(function*() {
        const toolkit = tools("work")
        const agent = Agent.make("agent", { toolkit })
        const handlers = toolkit.toLayer({ work: () => Effect.succeed("worked") })
        const run = yield* Agent.run(agent, { prompt: "hi" }).pipe(Effect.provide(handlers))
        const last = yield* Stream.runLast(Agent.stream(agent, { prompt: "hi" })).pipe(Effect.provide(handlers))
        assert(last._tag === "Some" && last.value.type === "run-end")
        for (const result of [run, last.value.result]) {
          assert.deepStrictEqual([tokens(result.usage), tokens(result.totalUsage)], [[107, 18], [107, 18]])
          assert.deepStrictEqual(result.steps.map((step) => tokens(step.usage)), [[100, 10], [7, 8]])
        }
      }).pipe(Effect.provide(model(
        ...[1, 2].flatMap(() => [
          step(calls("work"), finish("tool-calls", usage(100, 10))),
          step(text("ok"), finish("stop", usage(7, 8)))
        ])
      ))))

    it.effect("is reported by a run that failed, was interrupted, was abandoned: what was told until then", () =>
      Effect.gen(function*() {
        const seen: Array<AgentRun.Outcome> = []
        const toolkit = tools("work")
        const agent = Agent.make("agent", { toolkit, providers: [ends(seen)] })
        const run = (handler: Effect.Effect<string, Boom>) =>
          Agent.stream(agent, { prompt: "hi" }).pipe(Stream.provide(toolkit.toLayer({ work: () => handler })))
        yield* Effect.exit(Stream.runDrain(run(Effect.fail(new Boom({ of: "work" })))))
        const fiber = yield* Effect.forkChild(Stream.runDrain(run(Effect.never)))
        yield* TestClock.adjust("1 second")
        yield* Fiber.interrupt(fiber)
        yield* Stream.runDrain(Stream.takeUntil(run(Effect.never), (part) => part.type === "finish"))
        assert.deepStrictEqual(seen.map(spent), [
          ["Failed", [100, 10], [100, 10]],
          ["Interrupted", [100, 10], [100, 10]],
          ["Abandoned", [100, 10], [100, 10]]
        ])
      }).pipe(Effect.provide(model(
        ...[1, 2, 3].map(() => step(calls("work"), finish("tool-calls", usage(100, 10))))
      ))))

    it.effect("does not count the model calls of a provider or of a tool, nor the consumer's own", () =>
      Effect.gen(function*() {
        const ask = Effect.suspend(() => Stream.runDrain(LanguageModel.streamText({ prompt: "aside" })))
        const toolkit = tools("work")
        const curious = ContextProvider.make("curious", { beforeRun: () => Effect.as(ask, {}), afterRun: () => ask })
        const agent = Agent.make("agent", { toolkit, providers: [curious] })
        const model = yield* LanguageModel.LanguageModel
        const handler = ask.pipe(
          Effect.as("worked"),
          Effect.provideService(LanguageModel.LanguageModel, model),
          Effect.orDie
        )
        const last = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
          Stream.tap((part) => part.type === "run-start" ? ask : Effect.void),
          Stream.runLast,
          Effect.provide(toolkit.toLayer({ work: () => handler }))
        )
        assert(last._tag === "Some" && last.value.type === "run-end")
        assert.deepStrictEqual(tokens(last.value.result.usage), [20, 10])
        assert.deepStrictEqual(tokens(last.value.result.totalUsage), [20, 10])
      }).pipe(
        Effect.provide(model(text("aside"), text("aside"), calls("work"), text("aside"), text("ok"), text("aside")))
      ))

    describe("of a run nested in a tool", () => {
      const nested = (inner: ReadonlyArray<ScriptedModel.Step>, outer: ReadonlyArray<ScriptedModel.Step>) =>
        Effect.gen(function*() {
          const innerModel = yield* ScriptedModel.make(inner, { via })
          const outerModel = yield* ScriptedModel.make(outer, { via })
          const seen: Array<AgentRun.Outcome> = []
          const innerSeen: Array<AgentRun.Outcome> = []
          const sub = Agent.make("sub", { providers: [ends(innerSeen)] })
          const toolkit = tools("ask")
          const agent = Agent.make("agent", { toolkit, providers: [ends(seen)] })
          const handlers = toolkit.toLayer({
            ask: () =>
              Agent.run(sub, { prompt: "sub" }).pipe(
                Effect.map(({ text }) => text),
                Effect.catchCause((cause) =>
                  Cause.hasInterruptsOnly(cause) ? Effect.interrupt : Effect.succeed("sorry")
                ),
                Effect.provideService(LanguageModel.LanguageModel, innerModel.languageModel)
              )
          })
          const stream = Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.provide(handlers),
            Stream.provideService(LanguageModel.LanguageModel, outerModel.languageModel)
          )
          return { stream, seen, innerSeen }
        })

      it.effect("adds to the total usage only", () =>
        Effect.gen(function*() {
          const { innerSeen, seen, stream } = yield* nested(
            [step(text("sub"), finish("stop", usage(1000, 100)))],
            [calls("ask"), text("ok")]
          )
          yield* Stream.runDrain(stream)
          assert.deepStrictEqual(seen.map(spent), [["Completed", [20, 10], [1020, 110]]])
          assert.deepStrictEqual(innerSeen.map(spent), [["Completed", [1000, 100], [1000, 100]]])
        }))

      it.effect("adds what it spent when it fails", () =>
        Effect.gen(function*() {
          const { seen, stream } = yield* nested(
            [step(finish("stop", usage(1000, 100)), fail(new AiError.RateLimitError({})))],
            [calls("ask"), text("ok")]
          )
          yield* Stream.runDrain(stream)
          assert.deepStrictEqual(seen.map(spent), [["Completed", [20, 10], [1020, 110]]])
        }))

      it.effect("is interrupted first, and counted, when the outer run is interrupted or left", () =>
        Effect.gen(function*() {
          const interrupted = yield* nested([step(finish("stop", usage(1000, 100)), hang)], [calls("ask")])
          const fiber = yield* Effect.forkChild(Stream.runDrain(interrupted.stream))
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(interrupted.innerSeen.map(spent), [["Interrupted", [1000, 100], [1000, 100]]])
          assert.deepStrictEqual(interrupted.seen.map(spent), [["Interrupted", [10, 5], [1010, 105]]])
        }))
    })

    it.effect("of two runs side by side is each one's own", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent")
        const run = (total: number) =>
          Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(model(step(delay("1 second"), text("ok"), finish("stop", usage(total, total)))))
          )
        const [one, two] = yield* Effect.all([run(1), run(2), TestClock.adjust("1 second")], {
          concurrency: "unbounded"
        })
        assert.deepStrictEqual([tokens(one.usage), tokens(two.usage)], [[1, 1], [2, 2]])
      }))
  })
}

describe("an agent", () => {
  class Ambient extends Context.Service<Ambient, string>()("test/Ambient") {}

  it.effect("is a value: a middleware makes another one, and the first is as it was", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { description: "answers" })
      const loud = agent.pipe(Agent.withMiddleware(Middleware.make("m", {
        agent: (request, next) => next({ ...request, prompt: "LOUD" })
      })))
      assert.deepStrictEqual([loud.name, loud.description], ["agent", "answers"])
      assert.notStrictEqual(agent as Agent.Any, loud as Agent.Any)
      yield* Agent.run(agent, { prompt: "hi" })
      yield* Agent.run(loud, { prompt: "hi" })
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.deepStrictEqual(
        (yield* requests).map(({ prompt }) => JSON.stringify(prompt.content[0]!.content).includes("LOUD")),
        [false, true]
      )
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok"), text("ok")]))))

  it.effect("a hundred runs of one agent at once share nothing", () =>
    Effect.gen(function*() {
      const toolkit = tools("work")
      const agent = Agent.make("agent", {
        toolkit,
        providers: [ContextProvider.make("p", {
          beforeRun: () => Effect.map(Ambient, (name) => ({ instructions: name, state: name })),
          afterRun: ({ state }) => Effect.flatMap(Ambient, (name) => name === state ? Effect.void : Effect.die("mixed"))
        })]
      })
      const one = Effect.fnUntraced(function*(n: number) {
        const name = `run ${n}`
        const scripted = yield* ScriptedModel.make([
          step(delay(`${n % 7} seconds`), calls("work"), finish("tool-calls", usage(n, 0))),
          (request) => text(JSON.stringify(request.prompt.content[0]!.content))
        ], { via: LanguageModel.make })
        return yield* Agent.run(agent, { prompt: name }).pipe(
          Effect.provideService(LanguageModel.LanguageModel, scripted.languageModel),
          Effect.provideService(Ambient, name),
          Effect.provide(toolkit.toLayer({ work: () => Effect.succeed(name) }))
        )
      })
      const fiber = yield* Effect.forkChild(
        Effect.forEach(Array.from({ length: 100 }, (_, n) => n), one, { concurrency: "unbounded" })
      )
      yield* TestClock.adjust("7 seconds")
      const results = yield* Fiber.join(fiber)
      assert.deepStrictEqual(
        results.map((run) => [run.text, run.usage.inputTokens.total]),
        results.map((_, n) => [`"run ${n}"`, n + 10])
      )
    }))

  describe("pulls of several fibers", () => {
    const toolkit = tools("slow")
    const slow = toolkit.toLayer({ slow: () => Effect.delay(Effect.succeed("done"), "1 second") })
    const gate = ContextProvider.make("gate", {
      beforeRun: () => Effect.sleep("1 second"),
      afterRun: () => Effect.sleep("1 second")
    })
    const agent = Agent.make("agent", { toolkit, providers: [gate] })
    const script = [
      ScriptedModel.step(calls("slow")),
      ScriptedModel.text(["a", "b"], { every: "1 second" })
    ]
    const inOrder = [
      ["run-start", "step-start", "tool-call", "finish", "tool-result", "step-end", "step-start"],
      ["text-start", "text-delta", "text-delta", "text-end", "finish", "step-end", "run-end"]
    ].flat()

    for (const [name, via] of constructors) {
      it.effect(`follow each other in an async iterator, and none is rejected, with a model of ${name}`, () =>
        Effect.gen(function*() {
          const iterable = yield* Stream.toAsyncIterableEffect(Agent.stream(agent, { prompt: "hi" }))
          const iterator = iterable[Symbol.asyncIterator]()
          const reading = yield* Effect.forkChild(Effect.promise(async () => {
            const seen: Array<string> = []
            for (;;) {
              const next = await Promise.all([iterator.next(), iterator.next(), iterator.next()])
              for (const one of next) if (one.done !== true) seen.push(one.value.type)
              if (next.some(({ done }) => done)) return seen
            }
          }))
          yield* Effect.andThen(Effect.yieldNow, TestClock.adjust("1 second")).pipe(Effect.repeat({ times: 40 }))
          const seen = yield* Fiber.join(reading)
          // of an array of parts effect's iterator keeps those of the last pull only
          assert.deepStrictEqual(seen.filter((type) => type === "text-delta" || type === "run-end"), [
            "text-delta",
            "text-delta",
            "run-end"
          ])
        }).pipe(Effect.provide([ScriptedModel.layer(script, { via }), slow])))
    }

    it.effect("in a scope that has closed before, nothing begins: the run is abandoned", () =>
      Effect.gen(function*() {
        const scope = yield* Scope.make()
        yield* Scope.close(scope, Exit.void)
        const begun: Array<string> = []
        const provider = ContextProvider.make("begins", {
          beforeRun: () => Effect.sync(() => void begun.push("begun"))
        })
        const stream = Agent.stream(Agent.withProvider(agent, provider), { prompt: "hi" })
        const pull = yield* Channel.toPullScoped(stream.channel, scope)
        const exit = yield* Effect.exit(pull)
        const outcome = AgentRun.outcome(exit as unknown as Exit.Exit<AgentRun.Result, unknown>)
        assert.strictEqual(outcome._tag, "Abandoned")
        assert.deepStrictEqual(begun, [])
      }).pipe(Effect.provide([ScriptedModel.layer(script), slow])))

    it.effect("one that is interrupted does not keep the other waiting", () =>
      Effect.gen(function*() {
        const scope = yield* Effect.scope
        const pull = yield* Channel.toPullScoped(Agent.stream(agent, { prompt: "hi" }).channel, scope)
        const first = yield* Effect.forkChild(pull, { startImmediately: true })
        const second = yield* Effect.forkChild(Effect.exit(pull), { startImmediately: true })
        yield* Fiber.interrupt(first)
        const exit = yield* Fiber.join(second)
        // the run was interrupted with its pull
        assert.strictEqual(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), true)
      }).pipe(Effect.scoped, Effect.provide([ScriptedModel.layer(script), slow])))

    it.effect("of two that live on give each part once, in order", () =>
      Effect.gen(function*() {
        const scope = yield* Effect.scope
        const pull = yield* Channel.toPullScoped(Agent.stream(agent, { prompt: "hi" }).channel, scope)
        const seen: Array<string> = []
        const drain: typeof pull = Effect.flatMap(pull, (parts) => {
          for (const part of parts) seen.push(part.type)
          return Effect.andThen(Effect.yieldNow, drain)
        })
        const both = yield* Effect.forkChild(
          Effect.all([Effect.exit(drain), Effect.exit(drain)], { concurrency: 2 }),
          { startImmediately: true }
        )
        yield* Effect.andThen(Effect.yieldNow, TestClock.adjust("1 second")).pipe(Effect.repeat({ times: 20 }))
        yield* Fiber.join(both)
        assert.deepStrictEqual(seen, inOrder)
      }).pipe(Effect.scoped, Effect.provide([ScriptedModel.layer(script), slow])))
  })
})

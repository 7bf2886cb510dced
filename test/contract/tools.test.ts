import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, type AgentRun, ContextProvider, StopCondition, ToolLoop } from "../../src/index.ts"
import * as ScriptedModel from "../../src/testing/ScriptedModel.ts"
import {
  Boom,
  calls,
  collectAll,
  constructors,
  hanging,
  type Log,
  logged,
  showCause,
  showExit,
  showPrompt,
  tools,
  types
} from "../utils.ts"

const { finish, parts: raw, step, text, toolCalls } = ScriptedModel

const Add = Tool.make("add", {
  parameters: Schema.Struct({ a: Schema.Int, b: Schema.Int }),
  success: Schema.Int,
  failure: Boom,
  failureMode: "return"
})
const Divide = Tool.make("divide", {
  parameters: Schema.Struct({ a: Schema.Int, b: Schema.Int }),
  success: Schema.Int,
  failure: Boom
})
const arithmetic = Toolkit.make(Add, Divide)
const arithmeticLayer = arithmetic.toLayer({
  add: ({ a, b }) => a + b > 1000 ? Effect.fail(new Boom({ of: "too big" })) : Effect.succeed(a + b),
  divide: ({ a, b }) => b === 0 ? Effect.fail(new Boom({ of: "zero" })) : Effect.succeed(a / b)
})

const result = (parts: Iterable<AgentRun.Part>) =>
  Array.from(parts).flatMap((part) =>
    part.type === "tool-result"
      ? [
        `${part.id}${part.isFailure ? " failed" : ""}${part.preliminary ? " (preliminary)" : ""}: ${
          JSON.stringify(part.encodedResult)
        }`
      ]
      : []
  )

for (const [name, via] of constructors) {
  describe(`tool calls, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    describe("mistakes of the model", () => {
      it.effect("an unknown tool and bad parameters go back to the model, in both failure modes", () =>
        Effect.gen(function*() {
          const run = yield* Agent.run(Agent.make("agent", { toolkit: arithmetic }), { prompt: "hi" })
          const { requests } = yield* ScriptedModel.ScriptedModel
          const sent = showPrompt((yield* requests)[1]!.prompt)
          assert.strictEqual(run.text, "sorry")
          assert.strictEqual(sent.length, 3)
          assert.strictEqual(
            sent[1],
            "assistant: multiply#1({}), add#2({\"a\":\"one\"}), divide#3({\"a\":1.5,\"b\":1}), add#4({\"a\":1,\"b\":2})"
          )
          assert.match(
            sent[2]!,
            /^tool: multiply#1 failed = "Tool 'multiply' not found\. Available tools: add, divide", add#2 failed = "Invalid parameters for tool 'add': .*", divide#3 failed = "Invalid parameters for tool 'divide': .*", add#4 = 3$/s
          )
          assert.deepStrictEqual(
            run.steps[0]!.toolCalls.map(({ executed, id, isFailure }) => [id, executed, isFailure]),
            [["1", false, true], ["2", false, true], ["3", false, true], ["4", true, false]]
          )
        }).pipe(
          Effect.provide([
            arithmeticLayer,
            model(
              toolCalls(
                { id: "1", name: "multiply", params: {} },
                { id: "2", name: "add", params: { a: "one" } },
                { id: "3", name: "divide", params: { a: 1.5, b: 1 } },
                { id: "4", name: "add", params: { a: 1, b: 2 } }
              ),
              text("sorry")
            )
          ])
        ))

      it.effect("a tool of an agent without any toolkit is unknown", () =>
        Effect.gen(function*() {
          const { parts } = yield* collectAll(Agent.stream(Agent.make("agent"), { prompt: "hi" }))
          assert.deepStrictEqual(result(parts), ["1 failed: \"Tool 'ghost' not found. Available tools: none\""])
        }).pipe(Effect.provide(model(toolCalls({ id: "1", name: "ghost", params: {} }), text("sorry")))))

      it.effect("a name of the prototype of an object is unknown", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { toolkit: arithmetic })
          const { parts } = yield* collectAll(Agent.stream(agent, { prompt: "hi" }))
          assert.deepStrictEqual(result(parts), [
            "1 failed: \"Tool 'constructor' not found. Available tools: add, divide\"",
            "2 failed: \"Tool '__proto__' not found. Available tools: add, divide\""
          ])
        }).pipe(
          Effect.provide([
            arithmeticLayer,
            model(
              toolCalls({ id: "1", name: "constructor", params: {} }, { id: "2", name: "__proto__", params: {} }),
              text("sorry")
            )
          ])
        ))

      it.effect("they end at the error limit, with a forced answer", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { toolkit: arithmetic, stopWhen: [StopCondition.toolErrors(2)] })
          const run = yield* Agent.run(agent, { prompt: "hi" })
          assert.deepStrictEqual([run.stopReason, run.text, run.steps.length], ["tool-error-limit", "I give up", 3])
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual((yield* requests).map(({ toolChoice }) => toolChoice), ["auto", "auto", "none"])
        }).pipe(
          Effect.provide([
            arithmeticLayer,
            model(
              toolCalls({ name: "ghost", params: {} }),
              toolCalls({ name: "add", params: {} }),
              text("I give up")
            )
          ])
        ))
    })

    describe("failures of a tool", () => {
      it.effect("in mode `return` they go to the model", () =>
        Effect.gen(function*() {
          const run = yield* Agent.run(Agent.make("agent", { toolkit: arithmetic }), { prompt: "hi" })
          assert.deepStrictEqual(showPrompt(run.transcript), [
            "user: hi",
            "assistant: add#1({\"a\":999,\"b\":2})",
            "tool: add#1 failed = {\"_tag\":\"Boom\",\"of\":\"too big\"}",
            "assistant: ok"
          ])
          assert.deepStrictEqual(run.steps[0]!.toolCalls, [
            { id: "1", name: "add", params: { a: 999, b: 2 }, executed: true, isFailure: true }
          ])
        }).pipe(
          Effect.provide([
            arithmeticLayer,
            model(toolCalls({ id: "1", name: "add", params: { a: 999, b: 2 } }), text("ok"))
          ])
        ))

      it.effect("in mode `error` they fail the run with the tool's own error", () =>
        Effect.gen(function*() {
          const log: Log = []
          const agent = Agent.make("agent", { toolkit: arithmetic, providers: [logged("p1", log)] })
          const caught = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.map((run) => run.text),
            Effect.catchTag("Boom", (boom) => Effect.succeed(`caught ${boom.of}`))
          )
          assert.strictEqual(caught, "caught zero")
          assert.deepStrictEqual(log, ["p1 before", "p1 end: Failed Fail Boom(zero) after \"\""])
        }).pipe(
          Effect.provide([arithmeticLayer, model(toolCalls({ id: "1", name: "divide", params: { a: 1, b: 0 } }))])
        ))

      it.effect("a result that does not encode is a failure of the run, not of the model", () =>
        Effect.gen(function*() {
          const exit = yield* Agent.run(Agent.make("agent", { toolkit: arithmetic }), { prompt: "hi" }).pipe(
            Effect.exit
          )
          assert.strictEqual(
            Exit.isFailure(exit) && showCause(exit.cause),
            "Fail AiError.ToolResultEncodingError"
          )
        }).pipe(
          Effect.provide([arithmeticLayer, model(toolCalls({ id: "1", name: "divide", params: { a: 1, b: 2 } }))])
        ))

      it.effect("a defect fails the run; its sibling is interrupted first, and awaited", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("bad", "good")
          const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
          const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.exit,
            Effect.tap((exit) => Effect.sync(() => log.push(showExit(exit)))),
            Effect.provide(toolkit.toLayer({
              bad: () => Effect.andThen(Effect.sleep("1 second"), Effect.die("bug")),
              good: () =>
                hanging("good", log).pipe(
                  Effect.onInterrupt(() => Effect.delay(Effect.sync(() => log.push("good clean")), "1 second"))
                )
            })),
            Effect.forkChild
          )
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(log, [
            "p1 before",
            "good runs",
            "good interrupted",
            "good clean",
            "p1 end: Failed Die bug after \"\"",
            "Failed Die bug after \"\""
          ])
        }).pipe(Effect.provide(model(calls("bad", "good")))))

      it.effect("a defect interrupts its sibling before the consumer sees the results that came earlier", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("early", "bad", "good")
          const agent = Agent.make("agent", { toolkit })
          const exit = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.runForEach((part) =>
              Effect.sync(() => part.type === "tool-result" && log.push(`result ${part.name}`))
            ),
            Effect.exit,
            Effect.provide(toolkit.toLayer({
              early: () => Effect.succeed("1"),
              good: () => hanging("good", log),
              bad: () => Effect.die("bug")
            }))
          )
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Die bug")
          assert.deepStrictEqual(log, ["good runs", "good interrupted", "result early"])
        }).pipe(Effect.provide(model(calls("early", "good", "bad")))))
    })

    describe("interruption and time", () => {
      const selfInterrupting = [
        ["fails with an interrupt", Effect.interrupt],
        ["interrupts its own fiber", Effect.withFiber((fiber) => Effect.andThen(Fiber.interrupt(fiber), Effect.never))]
      ] as const
      for (const [how, handler] of selfInterrupting) {
        it.effect(`a tool that ${how} gives an error result, and its sibling goes on`, () =>
          Effect.gen(function*() {
            const toolkit = tools("odd", "good")
            const fiber = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
              Effect.provide(toolkit.toLayer({
                odd: () => handler,
                good: () => Effect.delay(Effect.succeed("fine"), "1 second")
              })),
              Effect.forkChild
            )
            yield* TestClock.adjust("1 second")
            const run = yield* Fiber.join(fiber)
            assert.deepStrictEqual(showPrompt(run.transcript), [
              "user: hi",
              "assistant: odd#id-odd({}), good#id-good({})",
              "tool: odd#id-odd failed = {\"type\":\"execution-interrupted\",\"reason\":\"The tool was interrupted\"}, " +
              "good#id-good = \"fine\"",
              "assistant: ok"
            ])
          }).pipe(Effect.provide(model(calls("odd", "good"), text("ok")))))
      }

      it.effect("a tool that at once interrupts who runs its agent is interrupted with its siblings", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("work", "kill")
          const stream = Agent.stream(Agent.make("agent", { toolkit, providers: [logged("p1", log)] }), {
            prompt: "hi"
          })
          const begin = yield* Deferred.make<void>()
          const fiber: Fiber.Fiber<void, unknown> = yield* Effect.gen(function*() {
            yield* Deferred.await(begin)
            const pull = yield* Stream.toPull(stream)
            while (true) yield* Effect.flatMap(Effect.forkChild(pull), Fiber.join)
          }).pipe(
            Effect.scoped,
            Effect.provide(toolkit.toLayer({
              work: () => hanging("work", log),
              kill: () => Effect.andThen(Effect.sync(() => fiber.interruptUnsafe()), hanging("kill", log))
            })),
            Effect.forkChild
          )
          yield* Deferred.succeed(begin, undefined)
          yield* TestClock.adjust("1 second")
          const exit = yield* Fiber.await(fiber)
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Interrupt")
          assert.deepStrictEqual(log.toSorted(), [
            "kill interrupted",
            "kill runs",
            "p1 before",
            "p1 end: Interrupted after \"\"",
            "work interrupted",
            "work runs"
          ])
        }).pipe(Effect.provide(model(calls("work", "kill")))))

      it.effect("a tool that overruns its own timeout is interrupted and the model is told", () =>
        Effect.gen(function*() {
          const log: Log = []
          const Slow = Tool.make("slow", { success: Schema.String }).annotate(ToolLoop.ToolTimeout, "5 seconds")
          const Free = Tool.make("free", { success: Schema.String })
          const toolkit = Toolkit.make(Slow, Free)
          const fiber = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
            Effect.provide(toolkit.toLayer({
              slow: () => hanging("slow", log),
              free: () => Effect.delay(Effect.succeed("late"), "1 hour")
            })),
            Effect.forkChild
          )
          yield* TestClock.adjust("4999 millis")
          assert.deepStrictEqual(log, ["slow runs"])
          yield* TestClock.adjust("1 millis")
          assert.deepStrictEqual(log, ["slow runs", "slow interrupted"])
          yield* TestClock.adjust("1 hour")
          const run = yield* Fiber.join(fiber)
          assert.strictEqual(
            showPrompt(run.transcript)[2],
            "tool: slow#id-slow failed = {\"type\":\"execution-interrupted\",\"reason\":\"The tool did not end within 5s\"}, " +
              "free#id-free = \"late\""
          )
        }).pipe(Effect.provide(model(calls("slow", "free"), text("ok")))))

      it.effect("a timeout for all tools of a run; a tool may be free of it", () =>
        Effect.gen(function*() {
          const log: Log = []
          const Slow = Tool.make("slow", { success: Schema.String })
          const Free = Tool.make("free", { success: Schema.String }).annotate(ToolLoop.ToolTimeout, undefined)
          const toolkit = Toolkit.make(Slow, Free)
          const fiber = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
            Effect.provide(toolkit.toLayer({
              slow: () => hanging("slow", log),
              free: () => Effect.delay(Effect.succeed("late"), "1 hour")
            })),
            Effect.provideService(ToolLoop.ToolTimeout, "2 seconds"),
            Effect.forkChild
          )
          yield* TestClock.adjust("2 seconds")
          assert.deepStrictEqual(log, ["slow runs", "slow interrupted"])
          yield* TestClock.adjust("1 hour")
          const run = yield* Fiber.join(fiber)
          assert.deepStrictEqual(
            run.steps[0]!.toolCalls.map(({ executed, isFailure, name }) => [name, executed, isFailure]),
            [["slow", true, true], ["free", true, false]]
          )
        }).pipe(Effect.provide(model(calls("slow", "free"), text("ok")))))

      it.effect("a tool that goes on after its timeout is left behind, heard no more, and awaited when the run ends", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("deaf")
          const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
          const stream = Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.provideService(ToolLoop.ToolTimeout, "1 second"),
            Stream.provide(toolkit.toLayer({
              deaf: (_, { preliminary }) =>
                Effect.uninterruptible(Effect.gen(function*() {
                  yield* preliminary("begun")
                  yield* Effect.sleep("2 seconds")
                  yield* preliminary("still here")
                  yield* Effect.sleep("2 seconds")
                  log.push("deaf ends")
                  return "too late"
                }))
            }))
          )
          const fiber = yield* Effect.forkChild(collectAll(stream))
          yield* TestClock.adjust("3999 millis")
          assert.deepStrictEqual(log, ["p1 before", "p1 after \"ok\""])
          assert.isUndefined(fiber.pollUnsafe())
          yield* TestClock.adjust("1 millis")
          const { parts } = yield* Fiber.join(fiber)
          assert.deepStrictEqual(result(parts), [
            "id-deaf (preliminary): \"begun\"",
            "id-deaf failed: {\"type\":\"execution-interrupted\",\"reason\":\"The tool did not end within 1s\"}"
          ])
          assert.deepStrictEqual(log.slice(2), ["deaf ends", "p1 end: Completed \"ok\""])
        }).pipe(Effect.provide(model(calls("deaf"), text("ok")))))
    })

    describe("order and concurrency", () => {
      it.effect("results are streamed as they come and kept in call order", () =>
        Effect.gen(function*() {
          const toolkit = tools("slow", "middle", "quick")
          const fiber = yield* collectAll(Agent.stream(Agent.make("agent", { toolkit }), { prompt: "hi" })).pipe(
            Effect.provide(toolkit.toLayer({
              slow: () => Effect.delay(Effect.succeed("3"), "3 seconds"),
              middle: () => Effect.delay(Effect.succeed("2"), "2 seconds"),
              quick: () => Effect.succeed("1")
            })),
            Effect.forkChild
          )
          yield* TestClock.adjust("3 seconds")
          const { parts } = yield* Fiber.join(fiber)
          assert.deepStrictEqual(result(parts), ["id-quick: \"1\"", "id-middle: \"2\"", "id-slow: \"3\""])
          const last = parts.at(-1)!
          assert(last.type === "run-end")
          assert.strictEqual(
            showPrompt(last.result.transcript)[2],
            "tool: slow#id-slow = \"3\", middle#id-middle = \"2\", quick#id-quick = \"1\""
          )
          assert.deepStrictEqual(last.result.steps[0]!.toolCalls.map(({ name }) => name), ["slow", "middle", "quick"])
        }).pipe(Effect.provide(model(calls("slow", "middle", "quick"), text("ok")))))

      for (const [bound, expected] of [[1, 1], [2, 2], [100, 6], [0, 1]] as const) {
        it.effect(`a bound of ${bound} lets ${expected} of 6 calls run at once`, () =>
          Effect.gen(function*() {
            let running = 0
            let most = 0
            const toolkit = tools("work")
            const fiber = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
              Effect.provide(toolkit.toLayer({
                work: () =>
                  Effect.acquireUseRelease(
                    Effect.sync(() => {
                      most = Math.max(most, ++running)
                    }),
                    () => Effect.as(Effect.sleep("1 second"), "done"),
                    () => Effect.sync(() => running--)
                  )
              })),
              Effect.provideService(ToolLoop.ToolConcurrency, bound),
              Effect.forkChild
            )
            yield* TestClock.adjust("6 seconds")
            const run = yield* Fiber.join(fiber)
            assert.deepStrictEqual([most, running, run.steps[0]!.toolCalls.length], [expected, 0, 6])
          }).pipe(Effect.provide(model(
            toolCalls(...Array.from({ length: 6 }, () => ({ name: "work", params: {} }))),
            text("ok")
          ))))
      }

      it.effect("by default eight calls run at once", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("work")
          const fiber = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
            Effect.provide(toolkit.toLayer({ work: () => hanging("work", log) })),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(log.filter((line) => line === "work runs").length, 8)
          assert.strictEqual(log.filter((line) => line === "work interrupted").length, 8)
        }).pipe(Effect.provide(model(toolCalls(...Array.from({ length: 20 }, () => ({ name: "work", params: {} })))))))

      it.effect("two calls with one id are both answered, in call order, each with an id of its own", () =>
        Effect.gen(function*() {
          const run = yield* Agent.run(Agent.make("agent", { toolkit: arithmetic }), { prompt: "hi" })
          assert.deepStrictEqual(showPrompt(run.transcript).slice(1, 3), [
            "assistant: add#same({\"a\":1,\"b\":1}), add#same_2({\"a\":2,\"b\":2})",
            "tool: add#same = 2, add#same_2 = 4"
          ])
        }).pipe(
          Effect.provide([
            arithmeticLayer,
            model(
              toolCalls(
                { id: "same", name: "add", params: { a: 1, b: 1 } },
                { id: "same", name: "add", params: { a: 2, b: 2 } }
              ),
              text("ok")
            )
          ])
        ))
    })

    describe("preliminary results", () => {
      it.effect("one that makes the consumer leave while its call is started: the call is interrupted all the same", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("first", "second")
          const fiber = yield* Agent.stream(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
            Stream.takeUntil((part) => part.type === "tool-result" && part.name === "second"),
            Stream.runDrain,
            Effect.tap(() => Effect.sync(() => log.push("next statement"))),
            Effect.provide(toolkit.toLayer({
              first: () => Effect.delay(Effect.succeed("1"), "1 second"),
              second: (_, { preliminary }) =>
                Effect.andThen(preliminary("begun"), Effect.never).pipe(
                  Effect.onInterrupt(() => Effect.sync(() => log.push("second interrupted")))
                )
            })),
            Effect.provideService(ToolLoop.ToolConcurrency, 1),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 second")
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(log, ["second interrupted", "next statement"])
        }).pipe(Effect.provide(model(calls("first", "second")))))

      it.effect("stream through in order, and only the final one is kept", () =>
        Effect.gen(function*() {
          const toolkit = tools("work")
          const { parts } = yield* collectAll(Agent.stream(Agent.make("agent", { toolkit }), { prompt: "hi" })).pipe(
            Effect.provide(toolkit.toLayer({
              work: (_, { preliminary }) =>
                Effect.gen(function*() {
                  yield* preliminary("10%")
                  yield* preliminary("90%")
                  return "done"
                })
            }))
          )
          assert.deepStrictEqual(result(parts), [
            "id-work (preliminary): \"10%\"",
            "id-work (preliminary): \"90%\"",
            "id-work: \"done\""
          ])
          const last = parts.at(-1)!
          assert(last.type === "run-end")
          assert.strictEqual(showPrompt(last.result.transcript)[2], "tool: work#id-work = \"done\"")
        }).pipe(Effect.provide(model(calls("work"), text("ok")))))

      it.effect("a handler waits for a consumer that is slow", () =>
        Effect.gen(function*() {
          let emitted = 0
          const toolkit = tools("work")
          const pull = yield* Stream.toPull(Agent.stream(Agent.make("agent", { toolkit }), { prompt: "hi" })).pipe(
            Effect.provide(toolkit.toLayer({
              work: (_, { preliminary }) =>
                Effect.as(
                  Effect.forEach(Array.from({ length: 5000 }), () => {
                    emitted++
                    return preliminary("more")
                  }, { discard: true }),
                  "done"
                )
            }))
          )
          const seen: Array<string> = []
          while (!seen.includes("tool-result")) for (const part of yield* pull) seen.push(part.type)
          const taken = seen.filter((type) => type === "tool-result").length
          yield* TestClock.adjust("1 minute")
          assert.isAtMost(emitted, taken + 256)
          while (!seen.includes("run-end")) for (const part of yield* pull) seen.push(part.type)
          assert.strictEqual(seen.filter((type) => type === "tool-result").length, 5001)
          assert.strictEqual(emitted, 5000)
        }).pipe(Effect.scoped, Effect.provide(model(calls("work"), text("ok")))))
    })

    describe("finish reasons", () => {
      for (const reason of ["length", "content-filter"] as const) {
        it.effect(`${reason} never runs a tool: synthesized results, and the run ends with it`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const toolkit = tools("work")
            const run = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }).pipe(
              Effect.provide(toolkit.toLayer({ work: () => hanging("work", log) }))
            )
            assert.deepStrictEqual(log, [])
            assert.strictEqual(run.stopReason, reason)
            assert.strictEqual(run.text, "cut")
            assert.deepStrictEqual(showPrompt(run.transcript), [
              "user: hi",
              "assistant: cut, work#id-work({})",
              `tool: work#id-work failed = {"type":"execution-denied","reason":"The response was incomplete: ${reason}"}`
            ])
            assert.deepStrictEqual(run.steps[0]!.toolCalls, [
              { id: "id-work", name: "work", params: {}, executed: false, isFailure: true }
            ])
          }).pipe(Effect.provide(model(step(text("cut"), calls("work"), finish(reason))))))
      }

      it.effect("`error` fails the run, and no tool runs", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("work")
          const exit = yield* Agent.run(Agent.make("agent", { toolkit, providers: [logged("p1", log)] }), {
            prompt: "hi"
          })
            .pipe(Effect.exit, Effect.provide(toolkit.toLayer({ work: () => hanging("work", log) })))
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail AiError.UnknownError")
          assert.deepStrictEqual(log, ["p1 before", "p1 end: Failed Fail AiError.UnknownError after \"a\""])
        }).pipe(Effect.provide(model(step(text("a"), calls("work"), finish("error"))))))

      for (const chunking of ["one", "all"] as const) {
        it.effect(`an error among the parts fails the run after what came before it (arrays of ${chunking})`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const agent = Agent.make("agent", { providers: [logged("p1", log)] })
            const { exit, parts } = yield* collectAll(Agent.stream(agent, { prompt: "hi" }))
            assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail AiError.UnknownError")
            assert.deepStrictEqual(types(parts), ["run-start", "step-start", "text-start", "text-delta", "text-end"])
            assert.deepStrictEqual(log, ["p1 before", "p1 end: Failed Fail AiError.UnknownError after \"a\""])
          }).pipe(Effect.provide(ScriptedModel.layer([
            step(text("a"), raw([{ type: "error", error: "overloaded" }]), text("b"))
          ], { via, chunking }))))
      }

      it.effect("an error among the parts that is an AiError is the run's own failure", () =>
        Effect.gen(function*() {
          const error = AiError.make({ module: "m", method: "s", reason: new AiError.RateLimitError({}) })
          const languageModel = yield* via({
            generateText: () => Effect.succeed([]),
            streamText: () => Stream.make({ type: "error", error } as const)
          })
          const caught = yield* Effect.flip(Agent.run(Agent.make("agent"), { prompt: "hi" })).pipe(
            Effect.provideService(LanguageModel.LanguageModel, languageModel)
          )
          assert.strictEqual(caught, error)
        }))

      it.effect("`pause` asks again, and is a step", () =>
        Effect.gen(function*() {
          const run = yield* Agent.run(Agent.make("agent"), { prompt: "hi" })
          assert.deepStrictEqual(run.steps.map((step) => [step.text, step.finishReason]), [
            ["searching", "pause"],
            ["found", "stop"]
          ])
          assert.deepStrictEqual(showPrompt(run.transcript), ["user: hi", "assistant: searching", "assistant: found"])
          assert.strictEqual(run.stopReason, "stop")
        }).pipe(Effect.provide(model(step(text("searching"), finish("pause")), text("found")))))

      it.effect("a model that only ever pauses ends at the step limit", () =>
        Effect.gen(function*() {
          const run = yield* Agent.run(Agent.make("agent", { stopWhen: [StopCondition.stepCount(3)] }), {
            prompt: "hi"
          })
          assert.deepStrictEqual([run.stopReason, run.steps.length], ["step-limit", 4])
        }).pipe(Effect.provide(model(...Array.from({ length: 4 }, () => step(text("hm"), finish("pause")))))))

      it.effect("a model call without a finish part fails the run, and no tool runs", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = tools("first")
          const exit = yield* Effect.exit(Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" })).pipe(
            Effect.provide(toolkit.toLayer({ first: () => Effect.sync(() => log.push("first")).pipe(Effect.as("1")) }))
          )
          assert.deepStrictEqual([showExit(exit), log], ["Failed Fail AiError.InternalProviderError after \"a\"", []])
        }).pipe(Effect.provide(model(step(text("a"), toolCalls({ name: "first", params: {} }), ScriptedModel.end)))))
    })

    describe("calls that the provider executes", () => {
      it.effect("are not answered by the run; result and call stay in the assistant's message", () =>
        Effect.gen(function*() {
          const Search = Tool.providerDefined({
            id: "test.search",
            customName: "search",
            providerName: "web_search",
            parameters: Schema.Struct({ q: Schema.String }),
            success: Schema.String
          })()
          const toolkit = Toolkit.make(Search)
          const run = yield* Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" })
          assert.deepStrictEqual(showPrompt(run.transcript), [
            "user: hi",
            "assistant: search#p1({\"q\":\"x\"}), search#p1 = \"y\", it is y"
          ])
          assert.deepStrictEqual(run.steps[0]!.toolCalls, [
            { id: "p1", name: "search", params: { q: "x" }, executed: false, isFailure: false }
          ])
          assert.strictEqual(run.stopReason, "stop")
        }).pipe(Effect.provide(model(step(
          raw([
            { type: "tool-call", id: "p1", name: "search", params: { q: "x" }, providerExecuted: true },
            { type: "tool-result", id: "p1", name: "search", result: "y", isFailure: false, providerExecuted: true }
          ]),
          text("it is y")
        )))))
    })

    describe("where tools come from", () => {
      it.effect("a toolkit given as an effect is resolved when the run begins, by its services", () =>
        Effect.gen(function*() {
          let resolved = 0
          const effect = Effect.tap(arithmetic, () => Effect.sync(() => resolved++))
          const agent = Agent.make("agent", { toolkit: effect })
          assert.strictEqual(resolved, 0)
          const run = yield* Agent.run(agent, { prompt: "hi" })
          assert.strictEqual(resolved, 1)
          assert.strictEqual(showPrompt(run.transcript)[2], "tool: add#1 = 3")
        }).pipe(
          Effect.provide([
            arithmeticLayer,
            model(toolCalls({ id: "1", name: "add", params: { a: 1, b: 2 } }), text("ok"))
          ])
        ))

      it.effect("a toolkit whose effect fails fails the run before any model call", () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = Effect.andThen(Effect.fail(new Boom({ of: "toolkit" })), arithmetic)
          const agent = Agent.make("agent", { toolkit, providers: [logged("p1", log)] })
          const caught = yield* Effect.flip(Agent.run(agent, { prompt: "hi" }))
          assert.deepStrictEqual(caught, new Boom({ of: "toolkit" }))
          assert.deepStrictEqual(log, ["p1 before", "p1 end: Failed Fail Boom(toolkit) after \"\""])
        }).pipe(Effect.provide([arithmeticLayer, model()])))

      it.effect("tools that are not from toLayer run through `handle`, by the same rules", () =>
        Effect.gen(function*() {
          const foreign: Toolkit.WithHandler<{ readonly add: typeof Add; readonly divide: typeof Divide }> = {
            tools: arithmetic.tools,
            handle: ((name: string, params: { readonly a: number; readonly b: number }) =>
              Effect.succeed(
                name === "divide"
                  ? Stream.fail(new Boom({ of: "foreign" }))
                  : Stream.make(
                    { result: 0, encodedResult: 0, isFailure: false, preliminary: true },
                    {
                      result: params.a + params.b,
                      encodedResult: params.a + params.b,
                      isFailure: false,
                      preliminary: false
                    }
                  )
              )) as never
          }
          const agent = Agent.make("agent", { toolkit: Effect.succeed(foreign) })
          const { exit, parts } = yield* collectAll(Agent.stream(agent, { prompt: "hi" }))
          assert.deepStrictEqual(result(parts).slice(0, 2), ["1 (preliminary): 0", "1: 3"])
          assert.match(result(parts)[2]!, /^2 failed: "Invalid parameters for tool 'add': /)
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail Boom(foreign)")
        }).pipe(Effect.provide(model(
          toolCalls({ id: "1", name: "add", params: { a: 1, b: 2 } }, { id: "2", name: "add", params: {} }),
          toolCalls({ id: "3", name: "divide", params: { a: 1, b: 2 } })
        ))))

      it.effect("tools that a provider contributes are offered and run beside the agent's", () =>
        Effect.gen(function*() {
          const extra = tools("extra")
          const provider = ContextProvider.make("extras", {
            beforeRun: () =>
              extra.pipe(
                Effect.provide(extra.toLayer({ extra: () => Effect.succeed("more") })),
                Effect.map((toolkit) => ({ toolkit }))
              )
          })
          const agent = Agent.make("agent", { toolkit: arithmetic, providers: [provider] })
          const run = yield* Agent.run(agent, { prompt: "hi" })
          assert.strictEqual(showPrompt(run.transcript)[2], "tool: extra#e = \"more\", add#1 = 3")
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual((yield* requests)[0]!.tools, ["add", "divide", "extra"])
        }).pipe(
          Effect.provide([
            arithmeticLayer,
            model(
              toolCalls({ id: "e", name: "extra", params: {} }, { id: "1", name: "add", params: { a: 1, b: 2 } }),
              text("ok")
            )
          ])
        ))

      it.effect("a contributed tool that the run already has fails it with DuplicateTool", () =>
        Effect.gen(function*() {
          const provider = (name: string) =>
            ContextProvider.make(name, { beforeRun: () => Effect.map(arithmetic, (toolkit) => ({ toolkit })) })
          const failure = (agent: Agent.Any) =>
            Effect.map(
              Effect.flip(Agent.run(agent as Agent.Agent<{}, { readonly message: string }>, { prompt: "hi" })),
              (error) => error.message
            )
          const own = Agent.make("agent", { toolkit: arithmetic, providers: [provider("p1")] })
          const two = Agent.make("agent", { providers: [provider("p1"), provider("p2")] })
          assert.strictEqual(
            yield* failure(own),
            "Agent `agent`: Context provider `p1` contributes tool `add`, which the run already has"
          )
          assert.strictEqual(
            yield* failure(two),
            "Agent `agent`: Context provider `p2` contributes tool `add`, which the run already has"
          )
        }).pipe(Effect.provide([arithmeticLayer, model()])))
    })
  })
}

describe("tools that need an approval", () => {
  const failing = Effect.fail("cannot tell") as unknown as Effect.Effect<boolean>
  const cases: ReadonlyArray<readonly [string, Tool.NeedsApproval<any>, ran: boolean]> = [
    ["true", true, false],
    ["false", false, true],
    ["a function that returns true", () => true, false],
    ["a function that returns false", () => false, true],
    ["an effect of true", () => Effect.succeed(true), false],
    ["an effect of false", () => Effect.succeed(false), true],
    ["an effect that fails", () => failing, false],
    ["an effect that dies", () => Effect.die("bug"), false],
    ["a function that throws", () => {
      throw new Error("bug")
    }, false]
  ]
  for (const [what, needsApproval, ran] of cases) {
    for (const direct of [true, false]) {
      it.effect(`${what}: the call is ${ran ? "run" : "asked for"}${direct ? "" : ", also through handle"}`, () =>
        Effect.gen(function*() {
          const log: Log = []
          const toolkit = Toolkit.make(Tool.make("remove", { success: Schema.String, needsApproval }))
          const agent = Agent.make("agent", { toolkit: direct ? toolkit : Effect.map(toolkit, (resolved) => resolved) })
          const run = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(toolkit.toLayer({ remove: () => Effect.sync(() => (log.push("removed"), "gone")) }))
          )
          assert.deepStrictEqual(log, ran ? ["removed"] : [])
          assert.deepStrictEqual(
            showPrompt(run.transcript),
            ran
              ? ["user: hi", "assistant: remove#id-remove({})", "tool: remove#id-remove = \"gone\"", "assistant: ok"]
              : ["user: hi", "assistant: remove#id-remove({}), tool-approval-request"]
          )
          assert.strictEqual(run.stopReason, ran ? "stop" : "approval-required")
          assert.deepStrictEqual(run.approvals.map(({ toolCallId }) => toolCallId), ran ? [] : ["id-remove"])
          assert.deepStrictEqual(run.steps[0]!.toolCalls, [
            { id: "id-remove", name: "remove", params: {}, executed: ran, isFailure: false }
          ])
        }).pipe(Effect.provide(ScriptedModel.layer([calls("remove"), text("ok")]))))
    }
  }

  it.effect("it is asked with the decoded parameters, the id of the call and the messages that led to it", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const toolkit = Toolkit.make(Tool.make("remove", {
        parameters: Schema.Struct({ at: Schema.DateTimeUtcFromString }),
        success: Schema.String,
        needsApproval: ({ at }, { messages, toolCallId }) => {
          seen.push(at.epochMilliseconds, toolCallId, showPrompt(Prompt.fromMessages(messages)))
          return true
        }
      }))
      yield* Agent.run(Agent.make("agent", { toolkit, instructions: "Be careful" }), { prompt: "hi" }).pipe(
        Effect.provide(toolkit.toLayer({ remove: () => Effect.succeed("gone") }))
      )
      assert.deepStrictEqual(seen, [0, "c1", ["system: Be careful", "user: hi"]])
    }).pipe(Effect.provide(ScriptedModel.layer([
      toolCalls({ id: "c1", name: "remove", params: { at: "1970-01-01T00:00:00.000Z" } }),
      text("ok")
    ]))))

  it.effect("a call that is asked for does not count as one that ran", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(
        Tool.make("remove", { success: Schema.String, needsApproval: true }),
        Tool.make("look", { success: Schema.String })
      )
      const agent = Agent.make("agent", { toolkit, stopWhen: [StopCondition.toolCalls(1)] })
      const run = yield* Agent.run(agent, { prompt: "hi" }).pipe(
        Effect.provide(toolkit.toLayer({ remove: () => Effect.succeed("gone"), look: () => Effect.succeed("seen") }))
      )
      assert.deepStrictEqual(run.steps[0]!.toolCalls.map(({ executed, name }) => [name, executed]), [
        ["remove", false],
        ["look", true]
      ])
      assert.strictEqual(run.stopReason, "approval-required")
    }).pipe(Effect.provide(ScriptedModel.layer([calls("remove", "look")]))))
})

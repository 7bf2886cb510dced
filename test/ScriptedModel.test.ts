import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Fiber, Ref, Schema, Stream } from "effect"
import { AiError, LanguageModel, Model, Prompt, type Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const Add = Tool.make("add", {
  parameters: Schema.Struct({ a: Schema.Int, b: Schema.Int }),
  success: Schema.Int
})
const toolkit = Toolkit.make(Add)
const unresolved = { toolkit, disableToolCallResolution: true } as const

const types = (parts: ReadonlyArray<{ readonly type: string }>) => parts.map((part) => part.type)

const deltas = (parts: ReadonlyArray<Response.AnyPart>) =>
  parts.flatMap((part) => part.type === "text-delta" || part.type === "reasoning-delta" ? [part.delta] : [])

const collect = Effect.suspend(() => Stream.runCollect(LanguageModel.streamText({ prompt: "hi" })))

const failures = (exit: Exit.Exit<unknown, unknown>) =>
  Exit.isFailure(exit) ? exit.cause.reasons.map((reason) => reason._tag) : []

describe("ScriptedModel", () => {
  // The contract is the same on our own constructor of models and on effect's.
  for (const [name, via] of [["DirectLanguageModel", undefined], ["LanguageModel", LanguageModel.make]] as const) {
    const layer = (steps: ReadonlyArray<ScriptedModel.Step>, chunking?: "one" | "all") =>
      ScriptedModel.layer(steps, { via, chunking })

    describe(`via ${name}`, () => {
      it.effect("says its steps in order, each with a finish part", () =>
        Effect.gen(function*() {
          const first = yield* collect
          assert.deepStrictEqual(types(first), [
            "reasoning-start",
            "reasoning-delta",
            "reasoning-end",
            "text-start",
            "text-delta",
            "text-delta",
            "text-end",
            "finish"
          ])
          assert.deepStrictEqual(deltas(first), ["hm", "a", "b"])
          const last = first.at(-1)!
          assert.strictEqual(last.type === "finish" ? last.reason : "", "stop")
          assert.deepStrictEqual(last.type === "finish" ? last.usage.inputTokens.total : 0, 10)
          assert.deepStrictEqual(last.type === "finish" ? last.usage.outputTokens.total : 0, 5)
          assert.deepStrictEqual(deltas(yield* collect), ["bye"])
        }).pipe(Effect.provide(layer([
          ScriptedModel.step(ScriptedModel.reasoning("hm"), ScriptedModel.text(["a", "b"])),
          ScriptedModel.text("bye")
        ]))))

      it.effect("asks for tool calls, with ids from their place in the script", () =>
        Effect.gen(function*() {
          const parts = yield* Stream.runCollect(LanguageModel.streamText({ prompt: "hi", ...unresolved }))
          assert.deepStrictEqual(
            parts.map((part) => part.type === "tool-call" ? [part.id, part.name, part.params] : part.type),
            [
              ["call-1-1", "add", { a: 1, b: 2 }],
              ["mine", "add", { a: 3, b: 4 }],
              ["call-1-3", "add", { a: 5, b: 6 }],
              "finish"
            ]
          )
          const last = parts.at(-1)!
          assert.strictEqual(last.type === "finish" ? last.reason : "", "tool-calls")
        }).pipe(Effect.provide(layer([
          [
            ScriptedModel.toolCalls(
              { name: "add", params: { a: 1, b: 2 } },
              { name: "add", params: { a: 3, b: 4 }, id: "mine" }
            ),
            ScriptedModel.toolCalls({ name: "add", params: { a: 5, b: 6 } })
          ]
        ]))))

      it.effect("finishes as it is told", () =>
        Effect.gen(function*() {
          const reasons: Array<unknown> = []
          for (let i = 0; i < 3; i++) {
            for (const part of yield* collect) {
              if (part.type === "finish") reasons.push([part.reason, part.usage.inputTokens.total])
            }
          }
          assert.deepStrictEqual(reasons, [["length", 7], ["content-filter", 1]])
        }).pipe(Effect.provide(layer([
          [ScriptedModel.text("a"), ScriptedModel.finish("length", ScriptedModel.usage(7, 8))],
          ScriptedModel.parts([{ type: "finish", reason: "content-filter", usage: ScriptedModel.usage(1, 1) }]),
          [ScriptedModel.text("cut"), ScriptedModel.end]
        ]))))

      it.effect("lets a step look at the request", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(
            deltas(yield* Stream.runCollect(LanguageModel.streamText({ prompt: "hi", ...unresolved }))),
            ["add"]
          )
        }).pipe(Effect.provide(layer([
          ScriptedModel.step(({ tools }) => ScriptedModel.text(tools))
        ]))))

      it.effect("waits by the test clock", () =>
        Effect.gen(function*() {
          const seen = yield* Ref.make<ReadonlyArray<string>>([])
          const fiber = yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
            Stream.runForEach((part) => Ref.update(seen, (all) => [...all, part.type])),
            Effect.forkChild
          )
          yield* TestClock.adjust("999 millis")
          assert.deepStrictEqual(yield* Ref.get(seen), [])
          yield* TestClock.adjust("1 milli")
          assert.deepStrictEqual(yield* Ref.get(seen), ["text-start"])
          yield* TestClock.adjust("2 seconds")
          assert.deepStrictEqual(yield* Ref.get(seen), ["text-start", "text-delta"])
          yield* TestClock.adjust("2 seconds")
          yield* Fiber.join(fiber)
          assert.deepStrictEqual(yield* Ref.get(seen), ["text-start", "text-delta", "text-delta", "text-end", "finish"])
        }).pipe(Effect.provide(layer([
          [ScriptedModel.delay("1 second"), ScriptedModel.text(["a", "b"], { every: "2 seconds" })]
        ]))))

      it.effect("fails mid-text with a typed error, or a defect", () =>
        Effect.gen(function*() {
          const seen: Array<string> = []
          const drain = LanguageModel.streamText({ prompt: "hi" }).pipe(
            Stream.runForEach((part) => Effect.sync(() => seen.push(part.type)))
          )
          const error = yield* Effect.flip(drain)
          assert.strictEqual(error.reason._tag, "RateLimitError")
          assert.deepStrictEqual(seen, ["text-start", "text-delta", "text-delta", "text-delta"])
          assert.strictEqual((yield* Effect.flip(drain)).module, "mine")
          assert.deepStrictEqual(failures(yield* Effect.exit(drain)), ["Die"])
        }).pipe(Effect.provide(layer([
          [ScriptedModel.text(["a", "b", "c"]), ScriptedModel.fail(new AiError.RateLimitError({}))],
          ScriptedModel.fail(
            AiError.make({ module: "mine", method: "m", reason: new AiError.RateLimitError({}) })
          ),
          ScriptedModel.die("boom")
        ]))))

      it.effect("fails with InvalidOutputError when the script sends an invalid part", () =>
        Effect.gen(function*() {
          assert.strictEqual((yield* Effect.flip(collect)).reason._tag, "InvalidOutputError")
        }).pipe(Effect.provide(layer([
          ScriptedModel.parts([{ type: "text-start", id: 1 } as never])
        ]))))

      it.effect("hangs until it is interrupted, and tells how its streams were closed", () =>
        Effect.gen(function*() {
          const script = yield* ScriptedModel.ScriptedModel
          yield* collect
          const fiber = yield* Effect.forkChild(collect)
          yield* TestClock.adjust("1 day")
          assert.strictEqual(yield* script.opened, 2)
          assert.deepStrictEqual((yield* script.closed).map(failures), [[]])
          assert.isUndefined(fiber.pollUnsafe())
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual((yield* script.closed).map(failures), [[], ["Interrupt"]])
          yield* Effect.flip(collect)
          assert.deepStrictEqual((yield* script.closed).map(failures), [[], ["Interrupt"], ["Fail"]])
        }).pipe(Effect.provide(layer([
          ScriptedModel.text("a"),
          [ScriptedModel.text("b"), ScriptedModel.hang],
          ScriptedModel.fail(new AiError.RateLimitError({}))
        ]))))

      it.effect("refuses a step that is not in the script, by its number", () =>
        Effect.gen(function*() {
          const script = yield* ScriptedModel.ScriptedModel
          yield* collect
          const error = yield* Effect.flip(collect)
          assert.strictEqual(error.reason._tag, "InvalidRequestError")
          assert.isFalse(error.isRetryable)
          assert.include(error.message, "Step 2 was asked for, and the script has 1 step")
          assert.strictEqual((yield* script.requests).length, 2)
          assert.strictEqual(yield* script.remaining, 0)
        }).pipe(Effect.provide(layer([ScriptedModel.text("a")]))))

      it.effect("fails assertDone when steps are left over", () =>
        Effect.gen(function*() {
          const script = yield* ScriptedModel.ScriptedModel
          yield* collect
          assert.strictEqual(yield* script.remaining, 1)
          const error = yield* Effect.flip(ScriptedModel.assertDone)
          assert.deepStrictEqual(
            error,
            new ScriptedModel.LeftoverSteps({ steps: 2, remaining: 1 })
          )
          assert.strictEqual(error.message, "The script has 2 steps, and 1 of them never ran")
          yield* collect
          yield* ScriptedModel.assertDone
        }).pipe(Effect.provide(layer([ScriptedModel.text("a"), ScriptedModel.text("b")]))))

      it.effect("records what it was asked, as the provider sees it", () =>
        Effect.gen(function*() {
          const script = yield* ScriptedModel.ScriptedModel
          yield* collect
          const prompt = Prompt.make("compute")
          yield* Stream.runDrain(LanguageModel.streamText({ prompt, toolChoice: "required", ...unresolved }))
          yield* Stream.runDrain(LanguageModel.streamText({ prompt, toolChoice: { oneOf: [] }, ...unresolved }))
          assert.deepStrictEqual(yield* script.requests, [
            { prompt: Prompt.make("hi"), tools: [], toolChoice: "none" },
            { prompt, tools: ["add"], toolChoice: "required" },
            { prompt, tools: [], toolChoice: { oneOf: [] } }
          ])
        }).pipe(Effect.provide(layer([ScriptedModel.text("a"), ScriptedModel.text("b"), ScriptedModel.text("c")]))))

      it.effect("emits each part in an array of its own, or all at once", () =>
        Effect.gen(function*() {
          const sizes = Effect.gen(function*() {
            const all: Array<number> = []
            yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
              Stream.runForEachArray((parts) => Effect.sync(() => all.push(parts.length)))
            )
            return all
          })
          const step = [ScriptedModel.text("a"), ScriptedModel.delay(0), ScriptedModel.text("b")]
          assert.deepStrictEqual(yield* Effect.provide(sizes, layer([step])), [1, 1, 1, 1, 1, 1, 1])
          assert.deepStrictEqual(yield* Effect.provide(sizes, layer([step], "all")), [3, 4])
        }))

      it.effect("gives calls at the same time a step each", () =>
        Effect.gen(function*() {
          const all = yield* Effect.forEach([1, 2, 3], () => collect, { concurrency: "unbounded" })
          assert.deepStrictEqual(all.flatMap(deltas).sort(), ["a", "b", "c"])
          yield* ScriptedModel.assertDone
        }).pipe(Effect.provide(layer([ScriptedModel.text("a"), ScriptedModel.text("b"), ScriptedModel.text("c")]))))

      it.effect("begins anew each time its layer is built", () =>
        Effect.gen(function*() {
          const script = layer([ScriptedModel.text("a")])
          for (let i = 0; i < 2; i++) {
            yield* Effect.andThen(collect, ScriptedModel.assertDone).pipe(Effect.provide(script, { local: true }))
          }
        }))

      it.effect("follows the same script for generateText", () =>
        Effect.gen(function*() {
          const script = yield* ScriptedModel.ScriptedModel
          const response = yield* LanguageModel.generateText({ prompt: "hi", toolkit }).pipe(
            Effect.provide(toolkit.toLayer({ add: ({ a, b }) => Effect.succeed(a + b) }))
          )
          assert.strictEqual(response.text, "ab")
          assert.strictEqual(response.reasoningText, "hm")
          assert.strictEqual(response.finishReason, "tool-calls")
          assert.deepStrictEqual(response.toolResults.map((result) => result.result), [3])
          const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "hi" }))
          assert.strictEqual(error.reason._tag, "RateLimitError")
          assert.strictEqual((yield* LanguageModel.generateText({ prompt: "hi" })).text, "cut")
          assert.deepStrictEqual((yield* script.closed).map(failures), [[], ["Fail"], []])
          assert.include((yield* Effect.flip(LanguageModel.generateText({ prompt: "hi" }))).message, "Step 4")
        }).pipe(Effect.provide(layer([
          [
            ScriptedModel.reasoning("hm"),
            ScriptedModel.text(["a", "b"]),
            ScriptedModel.toolCalls({ name: "add", params: { a: 1, b: 2 } })
          ],
          [ScriptedModel.text("x"), ScriptedModel.fail(new AiError.RateLimitError({}))],
          [ScriptedModel.text("cut"), ScriptedModel.end]
        ]))))
    })
  }

  describe("model", () => {
    it.effect("has a provider and a name", () =>
      Effect.gen(function*() {
        assert.strictEqual(yield* Model.ProviderName, "acme")
        assert.strictEqual(yield* Model.ModelName, "script")
        assert.deepStrictEqual(deltas(yield* collect), ["a"])
      }).pipe(Effect.provide(ScriptedModel.model([ScriptedModel.text("a")], { provider: "acme" }))))
  })

  it.effect("closes its stream as the consumer leaves it", () =>
    Effect.gen(function*() {
      const script = yield* ScriptedModel.ScriptedModel
      yield* Stream.runHead(LanguageModel.streamText({ prompt: "hi" }))
      assert.deepStrictEqual((yield* script.closed).map((exit) => exit._tag), ["Success"])
      const exit = yield* LanguageModel.streamText({ prompt: "hi" }).pipe(
        Stream.runForEach(() => Effect.fail("mine")),
        Effect.exit
      )
      assert.strictEqual(Exit.isFailure(exit) ? Cause.squash(exit.cause) : "", "mine")
      assert.deepStrictEqual((yield* script.closed).map((exit) => exit._tag), ["Success", "Failure"])
    }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text(["a", "b"]), ScriptedModel.text(["a", "b"])]))))
})

import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "node:assert"
import { Cause, Effect, Exit, Fiber, Queue, Schema, Stream } from "effect"
import {
  AiError,
  IdGenerator,
  LanguageModel,
  Prompt,
  type Response,
  ResponseIdTracker,
  Telemetry,
  Tool,
  Toolkit
} from "effect/ai"
import * as DirectLanguageModel from "../src/DirectLanguageModel.ts"
import { collecting } from "./fixtures/spans.ts"

const Add = Tool.make("add", {
  parameters: Schema.Struct({ a: Schema.Int, b: Schema.FiniteFromString }),
  success: Schema.FiniteFromString
})
const Shout = Tool.make("shout", { parameters: Schema.Struct({ text: Schema.String }), success: Schema.String })
const toolkit = Toolkit.make(Add, Shout)

const kit = toolkit.pipe(
  Effect.provide(
    toolkit.toLayer({ add: ({ a, b }) => Effect.succeed(a + b), shout: ({ text }) => Effect.succeed(text) })
  )
)

type Make = typeof LanguageModel.make
type Encoded = Response.StreamPartEncoded
type Call = LanguageModel.GenerateTextOptions<any>

// A stream that emits exactly these arrays, empty ones as well.
const arrays = (chunks: ReadonlyArray<ReadonlyArray<unknown>>): Stream.Stream<Encoded> =>
  Stream.fromIterable(chunks, { chunkSize: 1 }).pipe(
    Stream.mapArray((chunk) => chunk[0] as unknown as readonly [Encoded, ...Array<Encoded>])
  )

const modelOf = (
  make: Make,
  streamText: (
    options: LanguageModel.ProviderOptions
  ) => Stream.Stream<Encoded, AiError.AiError, IdGenerator.IdGenerator>
) => make({ generateText: () => Effect.succeed([]), streamText })

/** The arrays that a call emits until it ends, and how it ends. */
const record = (make: Make, chunks: ReadonlyArray<ReadonlyArray<unknown>>, call: Call) =>
  Effect.gen(function*() {
    const model = yield* modelOf(make, () => arrays(chunks))
    const seen: Array<ReadonlyArray<unknown>> = []
    const exit = yield* (model.streamText as (call: Call) => Stream.Stream<unknown, AiError.AiError>)(call).pipe(
      Stream.runForEachArray((parts) => Effect.sync(() => seen.push(parts))),
      Effect.exit
    )
    return { seen, exit }
  })

const calls = Effect.gen(function*() {
  const resolved = yield* kit
  const empty = yield* Toolkit.empty
  const deferred = { disableToolCallResolution: true, toolCallValidation: "deferred" } as const
  return {
    "no toolkit": { prompt: "hi" },
    "no toolkit, deferred": { prompt: "hi", ...deferred },
    "toolkit, deferred": { prompt: "hi", toolkit: resolved, ...deferred },
    "toolkit, one of": { prompt: "hi", toolkit: resolved, toolChoice: { oneOf: ["shout"] }, ...deferred },
    "empty toolkit, deferred": { prompt: "hi", toolkit: empty, ...deferred },
    "toolkit, strict": { prompt: "hi", toolkit: resolved, disableToolCallResolution: true },
    "toolkit, resolved by effect": { prompt: "hi", toolkit: resolved }
  } as const
})

const assertSame = (chunks: ReadonlyArray<ReadonlyArray<unknown>>) =>
  Effect.gen(function*() {
    for (const [name, call] of Object.entries(yield* calls)) {
      const ours = yield* record(DirectLanguageModel.make, chunks, call)
      const theirs = yield* record(LanguageModel.make, chunks, call)
      // Compares prototypes as well.
      deepStrictEqual(ours, theirs, name)
    }
  })

// How an exit failed, without the identity of fibers.
const tags = (exit: Exit.Exit<unknown, unknown>): ReadonlyArray<string> =>
  Exit.isFailure(exit) ? exit.cause.reasons.map((reason) => reason._tag) : []

const usage = { inputTokens: { total: 3, cacheRead: undefined }, outputTokens: { total: 2, text: 2 } }

describe("DirectLanguageModel", () => {
  describe("streamText", () => {
    it.effect("gives the parts that effect gives", () =>
      assertSame([
        [{ type: "response-metadata", id: "r", modelId: "m", timestamp: "2026-01-01T00:00:00.000Z" }],
        [{ type: "reasoning-start", id: "r" }, { type: "reasoning-delta", id: "r", delta: "hm" }],
        [{ type: "reasoning-end", id: "r", metadata: { p: { signature: "s", list: [1, null, true] }, q: null } }],
        [{ type: "text-start", id: "t" }, { type: "text-delta", id: "t", delta: "a", surplus: 1 }],
        [{ type: "text-delta", id: "t", delta: "b", metadata: undefined }, { type: "text-end", id: "t" }],
        [{ type: "file", mediaType: "text/plain", data: "AQID" }],
        [{ type: "source", sourceType: "url", id: "s", url: "http://localhost/a", title: "A" }],
        [{ type: "source", sourceType: "document", id: "s", mediaType: "a/b", title: "A", fileName: "a" }],
        [{ type: "error", error: { message: "in band" } }],
        [{ type: "finish", reason: "stop", usage }]
      ]))

    it.effect("gives the tool parts that effect gives", () =>
      assertSame([
        [{ type: "tool-params-start", id: "c", name: "add" }, { type: "tool-params-delta", id: "c", delta: "{" }],
        [{ type: "tool-params-end", id: "c" }],
        [{ type: "tool-call", id: "c", name: "add", params: { a: 1, b: "2" } }],
        [{ type: "finish", reason: "tool-calls", usage, response: undefined }]
      ]))

    it.effect.each<readonly [string, unknown]>([
      ["a call of an unknown tool", { type: "tool-call", id: "c", name: "nope", params: {} }],
      ["a call whose parameters do not decode", { type: "tool-call", id: "c", name: "add", params: { a: "x" } }],
      ["a call without parameters", { type: "tool-call", id: "c", name: "add" }],
      ["a call with undefined parameters", { type: "tool-call", id: "c", name: "add", params: undefined }],
      ["a provider's call", {
        type: "tool-call",
        id: "c",
        name: "add",
        params: { a: 1, b: "2" },
        providerExecuted: true
      }],
      ["a provider's call that is wrong", {
        type: "tool-call",
        id: "c",
        name: "add",
        params: { a: "x" },
        providerExecuted: true
      }],
      ["a provider's call of an unknown tool", {
        type: "tool-call",
        id: "c",
        name: "web",
        params: 1,
        providerExecuted: true
      }],
      ["a provider's call, undefined", {
        type: "tool-call",
        id: "c",
        name: "a",
        params: 1,
        providerExecuted: undefined
      }],
      ["a provider's result", {
        type: "tool-result",
        id: "c",
        name: "add",
        result: "3",
        isFailure: false,
        providerExecuted: true
      }],
      ["a provider's result of an unknown tool", {
        type: "tool-result",
        id: "c",
        name: "x",
        result: 1,
        isFailure: false
      }],
      ["an empty array", undefined],
      ["a part that is no object", 7],
      ["a part that is null", null],
      ["a delta that is no string", { type: "text-delta", id: "t", delta: 1 }],
      ["an id that is no string", { type: "text-end", id: 1 }],
      ["metadata that is not JSON", { type: "text-end", id: "t", metadata: { a: { b: undefined } } }],
      ["metadata that is no record", { type: "text-end", id: "t", metadata: "a" }],
      ["metadata with symbols and prototypes", {
        type: "text-end",
        id: "t",
        metadata: JSON.parse("{\"__proto__\":1}")
      }],
      ["an unknown finish reason", { type: "finish", reason: "tired", usage }],
      ["usage that is null", {
        type: "finish",
        reason: "stop",
        usage: { inputTokens: { total: null }, outputTokens: {} }
      }],
      ["usage that is fractional", {
        type: "finish",
        reason: "stop",
        usage: { inputTokens: {}, outputTokens: { text: 0.5 } }
      }],
      ["no usage", { type: "finish", reason: "stop" }],
      ["an unknown type", { type: "thought", id: "t" }],
      ["a part of generateText", { type: "text", text: "a" }]
    ])("decides as effect decides about %s", ([name, part]) =>
      assertSame([
        [{ type: "text-start", id: "t" }],
        name === "an empty array" ? [] : [{ type: "text-delta", id: "t", delta: "a" }, part],
        [{ type: "text-end", id: "t" }]
      ]))

    it.effect("fails with the typed error of effect", () =>
      Effect.gen(function*() {
        const { exit, seen } = yield* record(
          DirectLanguageModel.make,
          [[{ type: "text-start", id: "t" }], [{ type: "text-delta", id: "t" }]],
          { prompt: "hi" }
        )
        assert.strictEqual(seen.length, 1)
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert.isTrue(AiError.isAiError(error) && error.reason._tag === "InvalidOutputError")
      }))

    // Numbers that choose a field's value from a table, most of the entries being valid.
    const Choice = Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 999 }))
    const RandomPart = Schema.Struct({
      type: Choice,
      id: Choice,
      text: Choice,
      metadata: Choice,
      flag: Choice,
      params: Choice,
      reason: Choice,
      usage: Choice,
      value: Schema.String,
      json: Schema.Json
    })
    const choose = <A>(table: ReadonlyArray<A>, choice: number): A => table[choice % table.length]!
    const mostly = (good: ReadonlyArray<unknown>, bad: ReadonlyArray<unknown>, choice: number): unknown =>
      choice >= 970 ? choose(bad, choice) : choose(good, choice)
    const types = [
      "text-start",
      "text-delta",
      "text-delta",
      "text-end",
      "reasoning-start",
      "reasoning-delta",
      "reasoning-end",
      "tool-params-start",
      "tool-params-delta",
      "tool-params-end",
      "tool-call",
      "tool-call",
      "finish",
      "response-metadata",
      "error"
    ]
    const encode = (random: typeof RandomPart.Type): Record<string, unknown> => {
      const part: Record<string, unknown> = {
        type: mostly(types, ["text", "tool-result", "", 1], random.type),
        id: mostly(["a", "b", ""], [undefined, 1, null], random.id),
        delta: mostly([random.value], [undefined, 1, null], random.text),
        name: mostly(["add", "shout", "nope"], [undefined, 1], random.text),
        params: mostly([{ a: 1, b: "2" }, { text: "x" }, random.json], [undefined], random.params),
        reason: mostly(["stop", "tool-calls", "length"], ["tired", undefined], random.reason),
        usage: mostly(
          [usage, { inputTokens: {}, outputTokens: {} }],
          [{ inputTokens: {} }, { inputTokens: { total: -0.5 }, outputTokens: {} }, null],
          random.usage
        ),
        error: random.json
      }
      if (random.metadata % 3 === 0) {
        part.metadata = mostly([{ provider: random.json }, {}, undefined], [random.json, 1, null], random.metadata)
      }
      if (random.flag % 5 === 0) {
        part.providerExecuted = mostly([true, false], [undefined, "yes"], random.flag)
      }
      return part
    }

    it.effect.prop(
      "gives the parts, or the failure, of effect for any sequence of parts",
      { chunks: Schema.Array(Schema.Array(RandomPart)) },
      ({ chunks }) => assertSame(chunks.map((chunk) => chunk.map(encode))),
      { arbitrary: { seed: 20261122, runs: 200, size: 40 }, timeout: 60_000 }
    )

    it.effect("emits one array for each array of the provider", () =>
      Effect.gen(function*() {
        const delta = { type: "text-delta", id: "t", delta: "a" }
        const rare = { type: "response-metadata", id: "r" }
        const { seen } = yield* record(
          DirectLanguageModel.make,
          [[delta, delta, delta], [delta], [rare, delta], [{ ...delta, metadata: { a: 1 } }, delta]],
          { prompt: "hi" }
        )
        assert.deepStrictEqual(seen.map((parts) => parts.length), [3, 1, 2, 2])
      }))

    it.effect("gives the provider the options that effect gives", () =>
      Effect.gen(function*() {
        const optionsSeen = (make: Make, call: Call) =>
          Effect.gen(function*() {
            const seen: Array<LanguageModel.ProviderOptions> = []
            const model = yield* modelOf(make, (options) => {
              seen.push(options)
              return Stream.empty
            })
            yield* Stream.runDrain(
              (model.streamText as (call: Call) => Stream.Stream<unknown, AiError.AiError>)(call)
            )
            return seen.map(({ span, ...rest }) => ({ ...rest, span: [span.name, span.kind] }))
          })
        const all: Array<Call> = Object.values(yield* calls)
        const prompts = [
          "hi",
          Prompt.setSystem(Prompt.make("hi"), "be brief"),
          [{ role: "user", content: "hi" }, { role: "assistant", content: [{ type: "text", text: "ho" }] }] as const
        ]
        const choices = [undefined, "none", "required", { tool: "add" }, { mode: "required", oneOf: ["add"] }] as const
        for (const call of all) {
          for (const prompt of prompts) {
            for (const toolChoice of choices) {
              const full: Call = toolChoice === undefined ? { ...call, prompt } : { ...call, prompt, toolChoice }
              const ours = yield* optionsSeen(DirectLanguageModel.make, full)
              assert.strictEqual(ours.length, 1)
              assert.deepStrictEqual(ours, yield* optionsSeen(LanguageModel.make, full))
              const untraced = yield* Effect.withTracerEnabled(optionsSeen(DirectLanguageModel.make, full), false)
              assert.deepStrictEqual(
                untraced.map(({ span: _, ...rest }) => rest),
                ours.map(({ span: _, ...rest }) => rest)
              )
            }
          }
        }
      }))

    it.effect("fails with InvalidUserInputError when the prompt does not decode", () =>
      Effect.gen(function*() {
        for (const call of Object.values(yield* calls)) {
          const { exit } = yield* record(DirectLanguageModel.make, [], {
            ...call,
            prompt: [{ role: "nobody", content: 1 }] as never
          })
          const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
          assert.isTrue(AiError.isAiError(error) && error.reason._tag === "InvalidUserInputError", String(error))
        }
      }))

    it.effect("hands the id generator of its construction to the provider, on each pull", () =>
      Effect.gen(function*() {
        const generate = Effect.flatMap(IdGenerator.IdGenerator, (generator) => generator.generateId())
        const withIds = (make: Make, ids: ReadonlyArray<string>) =>
          Effect.gen(function*() {
            const left = [...ids]
            const model = yield* modelOf(make, () =>
              Stream.fromEffect(generate).pipe(
                Stream.concat(Stream.fromEffect(generate)),
                Stream.map((id): Encoded => ({ type: "text-start", id }))
              )).pipe(
                Effect.provideService(IdGenerator.IdGenerator, {
                  generateId: () => Effect.sync(() => left.shift() ?? "")
                })
              )
            return yield* Stream.runCollect(model.streamText({ prompt: "hi" })).pipe(
              Effect.provideService(IdGenerator.IdGenerator, { generateId: () => Effect.succeed("the caller's") })
            )
          })
        const ours = yield* withIds(DirectLanguageModel.make, ["1", "2"])
        assert.deepStrictEqual(ours.map((part) => part.type === "text-start" ? part.id : ""), ["1", "2"])
        assert.deepStrictEqual(ours, yield* withIds(LanguageModel.make, ["1", "2"]))
      }))

    it.effect("leaves approvals to effect", () =>
      Effect.gen(function*() {
        const prompt = [
          { role: "user", content: "add" },
          {
            role: "assistant",
            content: [
              { type: "tool-call", id: "c", name: "add", params: { a: 1, b: "2" } },
              { type: "tool-approval-request", approvalId: "1", toolCallId: "c" }
            ]
          },
          { role: "tool", content: [{ type: "tool-approval-response", approvalId: "1", approved: true }] }
        ] as const
        for (const call of Object.values(yield* calls)) {
          const chunks = [[{ type: "finish", reason: "stop", usage }]]
          const ours = yield* record(DirectLanguageModel.make, chunks, { ...call, prompt })
          assert.deepStrictEqual(ours, yield* record(LanguageModel.make, chunks, { ...call, prompt }))
        }
      }))

    it.effect("leaves incremental prompts to effect", () =>
      Effect.gen(function*() {
        const run = (make: Make) =>
          Effect.gen(function*() {
            const sent: Array<readonly [string | undefined, number | undefined]> = []
            const model = yield* modelOf(make, (options) => {
              sent.push([options.previousResponseId, options.incrementalPrompt?.content.length])
              return arrays([[{ type: "response-metadata", id: "r1" }]])
            })
            const first = Prompt.make("one")
            yield* Stream.runDrain(model.streamText({ prompt: first }))
            const answered = Prompt.concat(first, [{ role: "assistant", content: "1" }, {
              role: "user",
              content: "two"
            }])
            yield* Stream.runDrain(model.streamText({ prompt: answered }))
            return sent
          }).pipe(Effect.provideServiceEffect(ResponseIdTracker.ResponseIdTracker, ResponseIdTracker.make))
        const ours = yield* run(DirectLanguageModel.make)
        assert.deepStrictEqual(ours, [[undefined, undefined], ["r1", 1]])
        assert.deepStrictEqual(ours, yield* run(LanguageModel.make))
      }))

    it.effect("leaves span transformers to effect, whether given to the model or to the call", () =>
      Effect.gen(function*() {
        const run = (make: Make, place: "model" | "call") =>
          Effect.gen(function*() {
            const seen: Array<number> = []
            const transformer = Effect.provideService(
              Telemetry.CurrentSpanTransformer,
              ({ response }) => void seen.push(response.length)
            )
            const made = modelOf(make, () => arrays([[{ type: "text-start", id: "t" }, { type: "text-end", id: "t" }]]))
            const model = yield* place === "model" ? transformer(made) : made
            const call = Stream.runDrain(model.streamText({ prompt: "hi" }))
            yield* place === "call" ? transformer(call) : call
            return seen
          })
        for (const place of ["model", "call"] as const) {
          assert.deepStrictEqual(yield* run(DirectLanguageModel.make, place), [2])
          assert.deepStrictEqual(yield* run(LanguageModel.make, place), [2])
        }
      }))

    it.effect("does nothing before it is consumed", () =>
      Effect.gen(function*() {
        let opened = 0
        const model = yield* modelOf(DirectLanguageModel.make, () => {
          opened++
          return Stream.empty
        })
        const stream = model.streamText({ prompt: "hi" })
        assert.strictEqual(opened, 0)
        yield* Stream.runDrain(stream)
        yield* Stream.runDrain(stream)
        assert.strictEqual(opened, 2)
      }))

    it.effect("passes on what the provider fails or dies with", () =>
      Effect.gen(function*() {
        const failure = AiError.make({ module: "m", method: "s", reason: new AiError.RateLimitError({}) })
        const part: Encoded = { type: "text-start", id: "t" }
        for (const end of [Stream.fail(failure), Stream.die("boom"), Stream.fromEffect(Effect.interrupt)]) {
          const run = (make: Make) =>
            Effect.flatMap(
              modelOf(make, () => Stream.concat(Stream.succeed(part), end)),
              (model) => Effect.exit(Stream.runCollect(model.streamText({ prompt: "hi" })))
            )
          const ours = yield* run(DirectLanguageModel.make)
          const theirs = yield* run(LanguageModel.make)
          assert.deepStrictEqual(tags(ours), tags(theirs))
        }
        const thrown = yield* modelOf(DirectLanguageModel.make, () => {
          throw new Error("thrown")
        })
        assert.deepStrictEqual(tags(yield* Effect.exit(Stream.runDrain(thrown.streamText({ prompt: "hi" })))), ["Die"])
      }))

    it.effect("closes the provider's stream when it is left or interrupted", () =>
      Effect.gen(function*() {
        const run = (make: Make) =>
          Effect.gen(function*() {
            const closed: Array<string> = []
            const opened = yield* Queue.unbounded<void>()
            const model = yield* modelOf(make, () =>
              Stream.succeed<Encoded>({ type: "text-start", id: "t" }).pipe(
                Stream.concat(Stream.fromEffectDrain(Effect.andThen(Queue.offer(opened, undefined), Effect.never))),
                Stream.onExit((exit) => Effect.sync(() => closed.push(exit._tag)))
              ))
            const stream = model.streamText({ prompt: "hi" })
            yield* Stream.runHead(stream)
            assert.deepStrictEqual(closed, ["Success"])
            const fiber = yield* Effect.forkChild(Stream.runDrain(stream))
            yield* Queue.take(opened)
            yield* Fiber.interrupt(fiber)
            return closed
          })
        const ours = yield* run(DirectLanguageModel.make)
        assert.deepStrictEqual(ours, ["Success", "Failure"])
        assert.deepStrictEqual(ours, yield* run(LanguageModel.make))
      }))
  })

  describe("spans", () => {
    const traced = (
      make: Make,
      chunks: ReadonlyArray<ReadonlyArray<unknown>>,
      use: (stream: Stream.Stream<unknown, AiError.AiError>) => Effect.Effect<unknown, AiError.AiError>
    ) =>
      Effect.gen(function*() {
        const { spans, tracer } = collecting()
        const model = yield* modelOf(make, (options) => {
          options.span.attribute("provider", "was here")
          return arrays(chunks)
        })
        yield* use(model.streamText({ prompt: "hi", toolChoice: "required", concurrency: 2 })).pipe(
          Effect.exit,
          Effect.withSpan("outer"),
          Effect.withTracer(tracer)
        )
        return spans.map((span) => ({
          name: span.name,
          kind: span.kind,
          parent: span.parent._tag === "Some" && span.parent.value._tag === "Span" ? span.parent.value.name : undefined,
          attributes: Object.fromEntries(span.attributes),
          ended: span.status._tag === "Ended" ? tags(span.status.exit) : "open"
        }))
      })
    const good = [[{ type: "text-start", id: "t" }], [{ type: "text-end", id: "t" }]]

    it.effect("makes the span that effect makes", () =>
      Effect.gen(function*() {
        const ours = yield* traced(DirectLanguageModel.make, good, Stream.runDrain)
        assert.deepStrictEqual(ours[1], {
          name: "LanguageModel.streamText",
          kind: "client",
          parent: "outer",
          attributes: {
            "gen_ai.output.type": "text",
            "effect.ai.tool_choice": "required",
            "effect.ai.concurrency": 2,
            provider: "was here"
          },
          ended: []
        })
        assert.deepStrictEqual(ours, yield* traced(LanguageModel.make, good, Stream.runDrain))
      }))

    it.effect("ends it with the exit of the stream", () =>
      Effect.gen(function*() {
        const bad = [[{ type: "text-start", id: 1 }]]
        const ours = yield* traced(DirectLanguageModel.make, bad, Stream.runDrain)
        assert.deepStrictEqual(ours.map((span) => span.ended), [[], ["Fail"]])
        assert.deepStrictEqual(ours, yield* traced(LanguageModel.make, bad, Stream.runDrain))
        const left = yield* traced(DirectLanguageModel.make, good, Stream.runHead)
        assert.deepStrictEqual(left, yield* traced(LanguageModel.make, good, Stream.runHead))
      }))

    it.effect("makes none when tracing is off", () =>
      Effect.gen(function*() {
        const off = (stream: Stream.Stream<unknown, AiError.AiError>) =>
          Effect.withTracerEnabled(Stream.runDrain(stream), false)
        const names = (yield* traced(DirectLanguageModel.make, good, off)).map((span) => span.name)
        assert.deepStrictEqual(names, ["outer"])
      }))
  })

  describe("generateText", () => {
    it.effect("is effect's", () =>
      Effect.gen(function*() {
        const model = yield* DirectLanguageModel.make({
          generateText: () =>
            Effect.succeed([{ type: "text", text: "hello" }, { type: "finish", reason: "stop", usage }]),
          streamText: () => Stream.empty
        })
        const response = yield* model.generateText({ prompt: "hi" })
        assert.strictEqual(response.text, "hello")
        assert.strictEqual(response.usage.inputTokens.total, 3)
      }))
  })
})

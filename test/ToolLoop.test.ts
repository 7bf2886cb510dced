import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Schema, Stream } from "effect"
import { LanguageModel, Prompt, Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, type AgentRun, Middleware, ToolLoop } from "../src/index.ts"
import { StepBuilder, type StreamPart } from "../src/internal/words/stepBuilder.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, calls, constructors, hanging, type Log, showCause, showPrompt, tools, types } from "./utils.ts"

const { fail, finish, parts: raw, reasoning, step, text, toolCalls, usage } = ScriptedModel

const Add = Tool.make("add", {
  parameters: Schema.Struct({ a: Schema.Int, b: Schema.Int }),
  success: Schema.Int,
  failure: Boom,
  failureMode: "return"
})
const Slow = Tool.make("slow", { success: Schema.String })
const toolkit = Toolkit.make(Add, Slow)
const handlers = toolkit.toLayer({
  add: ({ a, b }) => a === 0 ? Effect.fail(new Boom({ of: "zero" })) : Effect.succeed(a + b),
  slow: (_, { preliminary }) => Effect.as(Effect.andThen(preliminary("half"), Effect.sleep("1 second")), "done")
})

/** Drives a state by hand until the model asks for no more tools, through JSON after every step. */
const drive = Effect.fnUntraced(function*(prompt: string) {
  const resolved = yield* toolkit
  let state = ToolLoop.initialState(prompt)
  while (true) {
    const request: Middleware.ModelRequest = {
      agent: "agent",
      session: undefined,
      steps: state.steps,
      transcript: state.transcript,
      prompt: Prompt.fromMessages(state.transcript),
      toolkit: resolved as never,
      toolChoice: "auto"
    }
    const said = yield* Stream.runCollect(ToolLoop.ask(request))
    const answers = yield* Stream.runCollect(
      ToolLoop.answer({ agent: "agent", toolkit: resolved as never, messages: state.transcript }, said)
    )
    state = ToolLoop.advance(state, [...said, ...answers])
    const json = JSON.stringify(yield* Schema.encodeEffect(ToolLoop.State)(state))
    const back = yield* Schema.decodeUnknownEffect(ToolLoop.State)(JSON.parse(json))
    assert.strictEqual(JSON.stringify(yield* Schema.encodeEffect(ToolLoop.State)(back)), json)
    state = back
    if (answers.length === 0) return state
  }
})

const script = [
  step(
    reasoning("let me think"),
    text("adding"),
    toolCalls(
      { id: "1", name: "slow", params: {} },
      { id: "2", name: "add", params: { a: 1, b: 2 } },
      { id: "3", name: "add", params: { a: "x" } },
      { id: "4", name: "ghost", params: {} },
      { id: "5", name: "add", params: { a: 0, b: 0 } },
      { id: "2", name: "add", params: { a: 10, b: 20 } }
    ),
    finish("tool-calls", usage(7, 8))
  ),
  step(calls("slow")),
  step(
    raw([
      { type: "reasoning-start", id: "r", metadata: { test: { signature: "abc" } } },
      { type: "reasoning-delta", id: "r", delta: "hm" },
      { type: "reasoning-end", id: "r", metadata: { test: { more: 1 } } }
    ]),
    text(["all ", "done"])
  )
]

const summary = (state: {
  readonly steps: ReadonlyArray<AgentRun.Step>
  readonly usage: AgentRun.Usage
  readonly transcript: Prompt.Prompt
}) => ({
  steps: JSON.parse(JSON.stringify(state.steps)),
  usage: JSON.parse(JSON.stringify(state.usage)),
  transcript: JSON.parse(JSON.stringify(state.transcript.content))
})

for (const [name, via] of constructors) {
  describe(`ToolLoop, with a model of ${name}`, () => {
    it.effect("ask, answer and advance by hand, through JSON, give the steps and the transcript of a run", () =>
      Effect.gen(function*() {
        const run = yield* Effect.forkChild(Agent.run(Agent.make("agent", { toolkit }), { prompt: "hi" }))
        for (let i = 0; i < 2; i++) yield* TestClock.adjust("1 second")
        const result = yield* Fiber.join(run)
        const driven = yield* Effect.forkChild(drive("hi"))
        for (let i = 0; i < 2; i++) yield* TestClock.adjust("1 second")
        const state = yield* Fiber.join(driven)
        assert.deepStrictEqual(
          summary({ ...state, transcript: Prompt.fromMessages(state.transcript) }),
          summary(result)
        )
        const lines = showPrompt(result.transcript)
        assert.strictEqual(lines.length, 6)
        assert.strictEqual(lines[5], "assistant: (hm), all done")
        assert.deepStrictEqual(
          result.steps[0]!.toolCalls.map(({ executed, id, isFailure }) => [id, executed, isFailure]),
          [
            ["1", true, false],
            ["2", true, false],
            ["3", false, true],
            ["4", false, true],
            ["5", true, true],
            ["2_2", true, false]
          ]
        )
      }).pipe(Effect.provide([handlers, ScriptedModel.layer([...script, ...script], { via })])))

    it.effect("ask fails with the model, also with an error among the parts", () =>
      Effect.gen(function*() {
        const request: Middleware.ModelRequest = {
          agent: "agent",
          session: undefined,
          steps: [],
          transcript: [],
          prompt: Prompt.make("hi"),
          toolkit: undefined,
          toolChoice: "auto"
        }
        const error = yield* Effect.flip(Stream.runDrain(ToolLoop.ask(request)))
        assert.strictEqual(error.reason._tag, "UnknownError")
        assert.match(error.message, /overloaded/)
        assert.deepStrictEqual(types(yield* Stream.runCollect(ToolLoop.ask(request))), [
          "text-start",
          "text-delta",
          "text-end",
          "finish"
        ])
      }).pipe(
        Effect.provide(ScriptedModel.layer([raw([{ type: "error", error: "overloaded" }]), text("ok")], { via }))
      ))

    it.effect("ask goes through the middleware", () =>
      Effect.gen(function*() {
        const request: Middleware.ModelRequest = {
          agent: "agent",
          session: undefined,
          steps: [],
          transcript: [],
          prompt: Prompt.make("hi"),
          toolkit: undefined,
          toolChoice: "auto"
        }
        const polite = Middleware.make("polite", {
          model: (request, next) => next({ ...request, prompt: Prompt.make("please") })
        })
        yield* Stream.runDrain(ToolLoop.ask(request, [polite]))
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual((yield* requests).map(({ prompt }) => showPrompt(prompt)), [["user: please"]])
      }).pipe(Effect.provide(ScriptedModel.layer([text("ok")], { via }))))
  })
}

describe("answer", () => {
  const call = (id: string, name: string): StreamPart =>
    Response.makePart("tool-call", { id, name, params: {}, providerExecuted: false }) as StreamPart

  it.effect("nothing runs until it is pulled, and leaving it interrupts and awaits what runs", () =>
    Effect.gen(function*() {
      const log: Log = []
      const kit = tools("one", "two")
      const resolved = yield* kit.pipe(Effect.provide(kit.toLayer({
        one: () => hanging("one", log),
        two: () => Effect.succeed("2")
      })))
      const stream = ToolLoop.answer({ agent: "agent", toolkit: resolved as never }, [
        call("1", "one"),
        call("2", "two")
      ])
      assert.deepStrictEqual(log, [])
      const taken = yield* Stream.runCollect(Stream.take(stream, 1))
      log.push("next statement")
      assert.deepStrictEqual(taken.map(({ encodedResult, id }) => [id, encodedResult]), [["2", "2"]])
      assert.deepStrictEqual(log, ["one runs", "one interrupted", "next statement"])
    }))

  it.effect("fails with the failure of a tool", () =>
    Effect.gen(function*() {
      const kit = tools("one")
      const resolved = yield* kit.pipe(Effect.provide(kit.toLayer({ one: () => Effect.fail(new Boom({ of: "one" })) })))
      const stream = ToolLoop.answer({ agent: "agent", toolkit: resolved as never }, [call("1", "one")])
      const exit = yield* Effect.exit(Stream.runDrain(stream))
      assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail Boom(one)")
    }))

  it.effect("of no calls is empty", () =>
    Effect.gen(function*() {
      const kit = tools("one")
      const resolved = yield* kit.pipe(Effect.provide(kit.toLayer({ one: () => Effect.succeed("1") })))
      assert.deepStrictEqual(
        yield* Stream.runCollect(ToolLoop.answer({ agent: "agent", toolkit: resolved as never }, [])),
        []
      )
    }))
})

describe("advance", () => {
  it("closes calls that nobody answered, and leaves the state before it as it was", () => {
    const before = ToolLoop.initialState("hi")
    const after = ToolLoop.advance(before, [
      Response.makePart("tool-call", { id: "1", name: "one", params: {}, providerExecuted: false }) as StreamPart
    ])
    assert.deepStrictEqual(showPrompt(Prompt.fromMessages(after.transcript)), [
      "user: hi",
      "assistant: one#1({})",
      "tool: one#1 failed = {\"type\":\"execution-interrupted\",\"reason\":\"The run ended before the tool did\"}"
    ])
    assert.deepStrictEqual(after.steps[0]!.toolCalls, [
      { id: "1", name: "one", params: {}, executed: false, isFailure: true }
    ])
    assert.deepStrictEqual([before.transcript.length, before.steps.length], [1, 0])
  })
})

describe("StepBuilder", () => {
  const metadata = Schema.Literals([0, 1, 2, 3])
  const metadataOf = (n: 0 | 1 | 2 | 3) =>
    ([{}, { a: { x: 1 } }, { a: { y: 2 }, b: { z: 3 } }, { a: null }] as const)[n]
  const Piece = Schema.Struct({
    block: Schema.Literals(["a", "b", "c"]),
    kind: Schema.Literals(["text", "reasoning"]),
    action: Schema.Literals(["start", "delta", "end", "call", "provider", "file", "metadata", "result"]),
    text: Schema.String,
    metadata
  })

  /** Parts in the order of the pieces: a block is started and ended at most once, deltas only in between. */
  const toParts = (pieces: ReadonlyArray<typeof Piece.Type>): Array<StreamPart> => {
    const state = new Map<string, "open" | "ended">()
    const out: Array<StreamPart> = []
    for (const { action, block, kind, metadata, text } of pieces) {
      const id = `${kind}-${block}`
      const common = { id, metadata: metadataOf(metadata) }
      if (action === "start" && !state.has(id)) {
        state.set(id, "open")
        out.push(Response.makePart(`${kind}-start`, common) as StreamPart)
      } else if (action === "delta" && state.get(id) === "open") {
        out.push(Response.makePart(`${kind}-delta`, { ...common, delta: text }) as StreamPart)
      } else if (action === "end" && state.get(id) === "open") {
        state.set(id, "ended")
        out.push(Response.makePart(`${kind}-end`, common) as StreamPart)
      } else if (action === "call" || action === "provider") {
        const providerExecuted = action === "provider"
        out.push(
          Response.makePart("tool-call", { ...common, name: "t", params: { text }, providerExecuted }) as StreamPart
        )
      } else if (action === "result") {
        out.push(Response.makePart("tool-result", {
          ...common,
          name: "t",
          result: text,
          encodedResult: text,
          isFailure: false,
          providerExecuted: true,
          preliminary: metadata === 1
        }) as StreamPart)
      } else if (action === "file") {
        out.push(
          Response.makePart("file", {
            ...common,
            mediaType: "text/plain",
            data: new TextEncoder().encode(text)
          }) as StreamPart
        )
      } else if (action === "metadata") {
        out.push(Response.makePart("response-metadata", {
          id: text,
          modelId: undefined,
          timestamp: undefined,
          request: undefined,
          metadata: {}
        } as never) as StreamPart)
      }
    }
    return out
  }

  it.prop(
    "builds what Prompt.fromResponseParts builds, whatever the blocks do",
    { pieces: Schema.Array(Piece) },
    ({ pieces }) => {
      const parts = toParts(pieces)
      const builder = new StepBuilder()
      for (const part of parts) builder.add(part)
      const expected = Prompt.fromResponseParts(parts as ReadonlyArray<Response.AnyPart>)
        .content.filter(({ role }) => role === "assistant")
        .flatMap(({ content }) => content as ReadonlyArray<Prompt.AssistantMessagePart>)
      assert.deepStrictEqual(builder.content(), expected as Array<Prompt.AssistantMessagePart>)
      const said = parts.filter((part) => part.type === "text-delta").map((part) => part.delta)
      assert.deepStrictEqual([...builder.text()].toSorted(), [...said.join("")].toSorted())
    },
    { arbitrary: { seed: "blocks" } }
  )

  it("keeps a delta that has no start", () => {
    const builder = new StepBuilder()
    builder.add(Response.makePart("text-delta", { id: "1", delta: "lost" }) as StreamPart)
    assert.strictEqual(builder.text(), "lost")
    assert.deepStrictEqual(builder.content().map((part) => part.type === "text" && part.text), ["lost"])
  })

  it("sums the usage of finish parts", () => {
    const builder = new StepBuilder()
    const part = Response.makePart("finish", {
      reason: "stop",
      usage: Response.Usage.make({
        inputTokens: { uncached: 1, total: 3, cacheRead: 2, cacheWrite: undefined },
        outputTokens: { total: 5, text: 4, reasoning: 1 }
      }),
      response: undefined
    }) as StreamPart
    builder.add(part)
    assert.deepStrictEqual(
      [builder.usage.inputTokens.total, builder.usage.outputTokens.reasoning, builder.finishReason],
      [3, 1, "stop"]
    )
  })
})

describe("what the loop leans on", () => {
  it.effect("handlers are found in the context under the id of the tool: without it, speed is lost, not the result", () =>
    Effect.gen(function*() {
      const context = yield* Effect.context<never>()
      const own = context.mapUnsafe.get(Add.id) as { readonly handler: unknown; readonly context: unknown } | undefined
      assert.isFunction(own?.handler)
      assert.isObject(own?.context)
    }).pipe(Effect.provide(handlers)))

  it.effect("the model gets the same toolkit in every step and run, so that it can cache by it", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const agent = Agent.make("agent", { toolkit })
      const scripted = yield* ScriptedModel.make([calls("add"), text("ok"), text("ok")])
      const spying = {
        ...scripted.languageModel,
        streamText: ((options: { readonly toolkit: unknown }) => {
          seen.push(options.toolkit)
          return scripted.languageModel.streamText(options as never)
        }) as never
      }
      for (let i = 0; i < 2; i++) {
        yield* Agent.run(agent, { prompt: "hi" }).pipe(Effect.provideService(LanguageModel.LanguageModel, spying))
      }
      assert.strictEqual(seen.length, 3)
      assert.strictEqual(new Set(seen).size, 1)
    }).pipe(Effect.provide(handlers)))

  it.effect("an array of parts that the model gives is the array that the consumer gets", () =>
    Effect.gen(function*() {
      const given = [
        Response.makePart("text-start", { id: "1" }),
        Response.makePart("text-delta", { id: "1", delta: "a" }),
        Response.makePart("text-end", { id: "1" })
      ] as const
      const agent = Agent.make("agent", {
        middleware: [Middleware.make("m", { model: () => Stream.fromArray(given) })]
      })
      const arrays: Array<ReadonlyArray<unknown>> = []
      yield* Agent.stream(agent, { prompt: "hi" }).pipe(
        Stream.chunks,
        Stream.runForEach((array) => Effect.sync(() => void arrays.push(array)))
      )
      assert.deepStrictEqual(arrays.map((array) => array.length), [2, 3, 1, 1])
      assert.isTrue(given.every((part, index) => arrays[1]![index] === part))
    }).pipe(Effect.provide(ScriptedModel.layer([fail({} as never)]))))
})

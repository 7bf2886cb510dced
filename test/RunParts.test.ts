import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Stream } from "effect"
import { AiError, Response } from "effect/ai"
import { Agent, AgentRun, AgentTool, Approval, ContextProvider, Middleware, Steering } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { agent, handlers, ids, look, remove } from "./fixtures/approvals.ts"
import { collectAll, showPrompt, types } from "./utils.ts"

const plain = Agent.make("plain")

/** Who the provider says has answered. */
const said = (modelId: string) => ({ type: "response-metadata", id: "r", modelId, timestamp: undefined }) as const

const whole = [
  Response.makePart("text-start", { id: "t" }),
  Response.makePart("text-delta", { id: "t", delta: "kept" }),
  Response.makePart("text-end", { id: "t" }),
  Response.makePart("finish", {
    reason: "stop",
    usage: new Response.Usage({
      inputTokens: { uncached: undefined, total: 1, cacheRead: undefined, cacheWrite: undefined },
      outputTokens: { total: 1, text: undefined, reasoning: undefined }
    }),
    response: undefined
  })
]

const lastResult = (parts: ReadonlyArray<AgentRun.Part>): AgentRun.Result => {
  const last = parts[parts.length - 1]
  assert(last?.type === "run-end")
  return last.result
}

describe("the parts of a run", () => {
  describe("steering", () => {
    /** Sends two messages while the first step is streamed, and one when the first of these was taken. */
    const steered = (
      steering: Steering.Steering,
      agent = plain
    ) => {
      let sent = 0
      return Agent.stream(agent, { prompt: "go", steering }).pipe(
        Stream.tap((part) => {
          if (part.type === "text-delta" && sent === 0) {
            sent = 2
            return Effect.andThen(steering.send("one"), steering.send("two"))
          }
          if (part.type === "steering" && sent === 2) {
            sent = 3
            return steering.send("three")
          }
          return Effect.void
        })
      )
    }

    const taken = (parts: ReadonlyArray<AgentRun.Part>) =>
      parts.flatMap((part) =>
        part.type === "steering" ? [part.message.content.flatMap((_) => _.type === "text" ? _.text : [])] : []
      )

    const model = ScriptedModel.layer([ScriptedModel.text("first"), ScriptedModel.text("second")])

    it.effect("has each message where it enters the transcript, before the model is asked", () =>
      Effect.gen(function*() {
        const steering = yield* Steering.make
        const parts = yield* Stream.runCollect(steered(steering))
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          "text-start",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "step-start",
          "steering",
          "steering",
          "steering",
          "text-start",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
        assert.deepStrictEqual(taken(parts), [["one"], ["two"], ["three"]])
        assert.deepStrictEqual(showPrompt(lastResult(parts).transcript), [
          "user: go",
          "assistant: first",
          "user: one",
          "user: two",
          "user: three",
          "assistant: second"
        ])
      }).pipe(Effect.provide(model)))

    it.effect("has what is sent before the run in its first step", () =>
      Effect.gen(function*() {
        const steering = yield* Steering.make
        yield* steering.send("early")
        const parts = yield* Stream.runCollect(Agent.stream(plain, { prompt: "go", steering }))
        assert.deepStrictEqual(types(parts).slice(0, 4), ["run-start", "step-start", "steering", "text-start"])
      }).pipe(Effect.provide(model)))

    const ends: ReadonlyArray<
      readonly [string, <E, R>(stream: Stream.Stream<AgentRun.Part, E, R>) => Stream.Stream<AgentRun.Part, E, R>]
    > = [
      ["is left", (stream) => Stream.takeUntil(stream, (part) => part.type === "steering")],
      [
        "is interrupted",
        (stream) => Stream.tap(stream, (part) => part.type === "steering" ? Effect.interrupt : Effect.void)
      ]
    ]

    for (const [how, around] of ends) {
      it.effect(`is in the transcript of a run that ${how} at it`, () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          const partials: Array<ReadonlyArray<string>> = []
          const watched = ContextProvider.make("watched", {
            beforeRun: () =>
              AgentRun.addFinalizer((exit) =>
                Effect.sync(() => {
                  const outcome = AgentRun.outcome(exit)
                  if (outcome._tag !== "Completed") partials.push(showPrompt(outcome.partial.transcript))
                })
              )
          })
          const agent = Agent.make("watched", { providers: [watched] })
          yield* Effect.exit(Stream.runDrain(around(steered(steering, agent))))
          assert.deepStrictEqual(partials, [["user: go", "assistant: first", "user: one", "user: two"]])
          assert.deepStrictEqual((yield* steering.unread).length, 1)
        }).pipe(Effect.provide(model)))
    }

    it.effect("is in the transcript of a run whose model then fails", () =>
      Effect.gen(function*() {
        const steering = yield* Steering.make
        const { exit, parts } = yield* collectAll(steered(steering))
        assert.deepStrictEqual(taken(parts), [["one"], ["two"], ["three"]])
        assert(Exit.isFailure(exit))
        const outcome = AgentRun.outcome(Exit.failCause(exit.cause))
        assert(outcome._tag === "Failed")
        assert.deepStrictEqual(showPrompt(outcome.partial.transcript).slice(-3), [
          "user: one",
          "user: two",
          "user: three"
        ])
      }).pipe(Effect.provide(ScriptedModel.layer([
        ScriptedModel.text("first"),
        ScriptedModel.fail(new AiError.RateLimitError({}))
      ]))))
  })

  describe("tool-approval-request", () => {
    const requests = (parts: ReadonlyArray<AgentRun.Part>) =>
      parts.flatMap((part) => part.type === "tool-approval-request" ? [part] : [])

    const approvals = (parts: ReadonlyArray<AgentRun.Part>): ReadonlyArray<Approval.Approval> =>
      requests(parts).flatMap(({ approval }) => approval ?? [])

    it.effect("has the tool, the parameters and the path: it is what the result waits for", () =>
      Effect.gen(function*() {
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "go" }))
        assert.deepStrictEqual(
          requests(parts).map(({ approval, approvalId, toolCallId }) => [approvalId, toolCallId, approval]),
          [[
            "approval-1",
            "r-a",
            { approvalId: "approval-1", toolCallId: "r-a", tool: "remove", params: { file: "a" }, path: [] }
          ]]
        )
        assert.deepStrictEqual(approvals(parts), lastResult(parts).approvals)
      }).pipe(
        Effect.provide([handlers([]), ids, ScriptedModel.layer([ScriptedModel.toolCalls(remove("a"), look("b"))])])
      ))

    it.effect("comes again from a run that goes on without all of its answers", () =>
      Effect.gen(function*() {
        const asked = yield* Agent.run(agent, { prompt: "go" })
        const [first] = asked.approvals
        const parts = yield* Stream.runCollect(Agent.resumeStream(agent, { result: asked }, [Approval.approve(first!)]))
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          "tool-result",
          "tool-approval-request",
          "step-end",
          "run-end"
        ])
        assert.deepStrictEqual(approvals(parts), asked.approvals.slice(1))
        assert.deepStrictEqual(lastResult(parts).approvals, asked.approvals.slice(1))
      }).pipe(
        Effect.provide([handlers([]), ids, ScriptedModel.layer([ScriptedModel.toolCalls(remove("a"), remove("b"))])])
      ))

    it.effect("of a nested run comes from it, and with its path from the run that waits", () =>
      Effect.gen(function*() {
        const top = Agent.make("top", { toolkit: AgentTool.toolkit(AgentTool.make(agent)) })
        const parts = yield* Stream.runCollect(Agent.stream(top, { prompt: "go" }))
        const own = approvals(parts)
        const nested = approvals(parts.flatMap((part) => part.type === "agent-part" ? [part.part] : []))
        assert.deepStrictEqual(own, lastResult(parts).approvals)
        assert.deepStrictEqual(own.map(({ path }) => path), [["agent"]])
        assert.deepStrictEqual(
          nested.map((approval) => ({ ...approval, path: ["agent"] })),
          own
        )
      }).pipe(Effect.provide([
        handlers([]),
        ScriptedModel.layer([
          ScriptedModel.toolCalls({ name: "agent", params: { prompt: "x" } }),
          ScriptedModel.toolCalls(remove("a"))
        ])
      ])))
  })

  describe("step-end", () => {
    const answeredBy = Effect.fnUntraced(function*(agent: typeof plain) {
      const { steps } = yield* Agent.run(agent, { prompt: "go" })
      return steps.map(({ model, provider }) => [provider, model])
    })

    it.effect("names the provider and the model of the context", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* answeredBy(plain), [["here", "small"]])
      }).pipe(Effect.provide(ScriptedModel.model([ScriptedModel.text("a")], { provider: "here", name: "small" }))))

    it.effect("names the model that the provider says, also after it has finished", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* answeredBy(plain), [["here", "small-2026"]])
        assert.deepStrictEqual(yield* answeredBy(plain), [["here", "late-2026"]])
      }).pipe(Effect.provide(ScriptedModel.model([
        ScriptedModel.step(ScriptedModel.parts([said("small-2026")]), ScriptedModel.text("a")),
        ScriptedModel.step(
          ScriptedModel.text("a"),
          ScriptedModel.finish("stop"),
          ScriptedModel.parts([said("late-2026")])
        )
      ], { provider: "here", name: "small" }))))

    it.effect("names nothing where nobody knows", () =>
      Effect.gen(function*() {
        const { steps } = yield* Agent.run(plain, { prompt: "go" })
        assert.notProperty(steps[0], "model")
        assert.notProperty(steps[0], "provider")
      }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("a")]))))

    it.effect("names the one that a middleware has provided, or that answered last", () =>
      Effect.gen(function*() {
        const other = Layer.succeedContext(
          yield* Layer.build(ScriptedModel.model([ScriptedModel.text("b")], { provider: "there", name: "big" }))
        )
        const twice = Middleware.make("twice", {
          model: (request, next) =>
            Stream.unwrap(Effect.as(
              Stream.runDrain(next(request)),
              Stream.provide(next(request), other)
            ))
        })
        assert.deepStrictEqual(yield* answeredBy(Agent.withMiddleware(plain, twice) as typeof plain), [[
          "there",
          "big"
        ]])
      }).pipe(
        Effect.scoped,
        Effect.provide(ScriptedModel.model([ScriptedModel.text("a")], { provider: "here", name: "small" }))
      ))

    it.effect("names nobody when a middleware answered without a model", () =>
      Effect.gen(function*() {
        const cached = Middleware.make("cached", { model: () => Stream.fromIterable(whole) })
        assert.deepStrictEqual(yield* answeredBy(Agent.withMiddleware(plain, cached)), [[undefined, undefined]])
      }).pipe(Effect.provide(ScriptedModel.model([]))))
  })
})

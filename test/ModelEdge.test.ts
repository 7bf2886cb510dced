/**
 * What every model call passes first, whatever the model was made with: ends, ids, and what it costs.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Context, Effect, ExecutionPlan, Exit, Fiber, Layer, Schedule, Schema, Stream } from "effect"
import { AiError, Model, type Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentOutput,
  AgentRun,
  Budget,
  ContextProvider,
  DirectLanguageModel,
  Middleware,
  ModelFallback
} from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"
import { constructors, type Log, showExit, showPrompt } from "./utils.ts"

const { finish, step, text, toolCalls } = ScriptedModel

const parts = (...parts: ReadonlyArray<unknown>) =>
  ScriptedModel.parts(parts as ReadonlyArray<Response.StreamPartEncoded>)

const Note = Tool.make("note", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.Int })
const toolkit = Toolkit.make(Note)

const noting = (log: Log) =>
  toolkit.toLayer({ note: ({ n }) => Effect.sync(() => log.push(`note ${n}`)).pipe(Effect.as(n)) })

const agent = Agent.make("agent", { toolkit })
const input = { prompt: "go" }

const through = Middleware.make("through", { model: (request, next) => Stream.map(next(request), (part) => part) })

for (const [name, via] of constructors) {
  const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

  describe(`the edge of a model of ${name}`, () => {
    describe("the end of a response", () => {
      const cuts: ReadonlyArray<readonly [string, ScriptedModel.Step]> = [
        ["nothing", step(ScriptedModel.end)],
        ["text", step(text("half "), ScriptedModel.end)],
        ["reasoning", step(ScriptedModel.reasoning("hm"), ScriptedModel.end)],
        ["a whole call", step(text("a"), toolCalls({ name: "note", params: { n: 1 } }), ScriptedModel.end)],
        [
          "half a call",
          step(
            parts(
              { type: "tool-params-start", id: "c", name: "note" },
              { type: "tool-params-delta", id: "c", delta: "{\"n\":" }
            ),
            ScriptedModel.end
          )
        ]
      ]

      for (const [middle, middleware] of [["no middleware", []], ["a middleware", [through]]] as const) {
        it.effect.each(cuts)(
          `after %s without a finish fails the run, and no tool runs, with ${middle}`,
          ([, cut]) =>
            Effect.gen(function*() {
              const log: Log = []
              const exit = yield* Agent.run(Agent.make("agent", { toolkit, middleware }), input).pipe(
                Effect.provide([noting(log), model(cut)]),
                Effect.exit
              )
              const error = Exit.isFailure(exit)
                ? exit.cause.reasons.map((reason) => "error" in reason && reason.error)
                : []
              assert.isTrue(AiError.isAiError(error[0]) && error[0].isRetryable, showExit(exit))
              assert.deepStrictEqual(log, [])
            })
        )
      }

      it.effect.each(["json", "tool"] as const)(
        "fails the run of an agent with an output, by %s",
        (mode) =>
          Effect.gen(function*() {
            const schema = Schema.Struct({ n: Schema.Int })
            const asking = Agent.make("agent", {
              output: mode === "json" ? AgentOutput.json(schema) : AgentOutput.tool(schema)
            })
            const cut = step(text("{\"n\":1}"), ScriptedModel.end)
            const exit = yield* Effect.exit(Agent.run(asking, input)).pipe(Effect.provide(model(cut)))
            assert.strictEqual(showExit(exit), "Failed Fail AiError.InternalProviderError after \"{\"n\":1}\"")
          })
      )

      it.effect.each(
        [
          ["is cut", step(text("a"), ScriptedModel.end)],
          ["finishes with the reason `error`", finish("error", ScriptedModel.usage(5, 1))],
          [
            "has an error in it",
            parts({ type: "error", error: new AiError.InternalProviderError({ description: "busy" }) })
          ]
        ] as const
      )("a call that %s is tried again before all middleware knows of it", ([, broken]) =>
        Effect.gen(function*() {
          const retrying = Agent.make("agent", {
            toolkit,
            middleware: [ModelFallback.make(
              ExecutionPlan.make({ provide: Context.empty(), attempts: 2 }),
              { afterParts: true }
            )]
          })
          const run = yield* Agent.run(retrying, input)
          assert.strictEqual(run.steps.length, 1)
          assert.isTrue(run.text.endsWith("whole"))
        }).pipe(Effect.provide([noting([]), model(broken, text("whole"))])))

      it.effect("calls of an attempt that broke are not made", () =>
        Effect.gen(function*() {
          const log: Log = []
          const middleware = [ModelFallback.retry(Schedule.recurs(1), { afterParts: true })]
          const run = yield* Agent.run(Agent.make("agent", { toolkit, middleware }), input).pipe(
            Effect.provide([
              noting(log),
              model(
                step(
                  text("first"),
                  toolCalls({ id: "a", name: "note", params: { n: 1 } }),
                  ScriptedModel.fail(new AiError.InternalProviderError({ description: "cut" }))
                ),
                toolCalls({ id: "a", name: "note", params: { n: 2 } }),
                text("done")
              )
            ])
          )
          assert.deepStrictEqual([log, run.text], [["note 2"], "done"])
        }))
    })

    describe("call ids", () => {
      it.effect.each([["given twice", "x", ["x", "x_2", "x_2_2"]], ["empty", "", ["call", "call_2", "x_2"]]] as const)(
        "%s, are made different in parts, transcript and results",
        ([, id, expected]) =>
          Effect.gen(function*() {
            const log: Log = []
            const seen: Array<string> = []
            const streamed = (n: number) => [
              { type: "tool-params-start", id, name: "note" },
              { type: "tool-params-delta", id, delta: `{"n":${n}}` },
              { type: "tool-params-end", id },
              { type: "tool-call", id, name: "note", params: { n } }
            ]
            const run = yield* Agent.stream(agent, input).pipe(
              Stream.tap((part) =>
                Effect.sync(() => {
                  if ("id" in part && part.type.startsWith("tool-")) seen.push(`${part.type} ${part.id}`)
                })
              ),
              AgentRun.fold,
              Effect.provide([
                noting(log),
                model(
                  step(
                    parts(
                      ...streamed(1),
                      ...streamed(2),
                      // an id that the model chooses itself may be the one that another call got
                      { type: "tool-call", id: "x_2", name: "note", params: { n: 3 } }
                    ),
                    finish("tool-calls")
                  ),
                  text("done")
                )
              ])
            )
            const [a, b, c] = expected
            const streamedAs = (id: string) =>
              ["tool-params-start", "tool-params-delta", "tool-params-end", "tool-call"].map((type) => `${type} ${id}`)
            assert.deepStrictEqual(seen, [
              ...streamedAs(a),
              ...streamedAs(b),
              `tool-call ${c}`,
              `tool-result ${a}`,
              `tool-result ${b}`,
              `tool-result ${c}`
            ])
            assert.deepStrictEqual(showPrompt(run.transcript).slice(1, 3), [
              `assistant: note#${a}({"n":1}), note#${b}({"n":2}), note#${c}({"n":3})`,
              `tool: note#${a} = 1, note#${b} = 2, note#${c} = 3`
            ])
          })
      )

      it.effect("results and calls that the provider executes keep to one another", () =>
        Effect.gen(function*() {
          const Search = Tool.providerDefined({
            id: "test.search",
            customName: "search",
            providerName: "web_search",
            parameters: Schema.Struct({ q: Schema.String }),
            success: Schema.String
          })()
          const call = (q: string) => ({
            type: "tool-call",
            id: "s",
            name: "search",
            params: { q },
            providerExecuted: true
          })
          const result = (result: string) => ({
            type: "tool-result",
            id: "s",
            name: "search",
            result,
            isFailure: false,
            providerExecuted: true,
            preliminary: false
          })
          const run = yield* Agent.run(Agent.make("agent", { toolkit: Toolkit.make(Search) }), input).pipe(
            Effect.provide(model(step(
              parts(call("a"), call("b"), result("A"), result("B"), call("c"), result("C")),
              text("found"),
              finish("stop")
            )))
          )
          assert.deepStrictEqual(showPrompt(run.transcript), [
            "user: go",
            "assistant: search#s({\"q\":\"a\"}), search#s_2({\"q\":\"b\"}), search#s = \"A\", search#s_2 = \"B\", " +
            "search#s_3({\"q\":\"c\"}), search#s_3 = \"C\", found"
          ])
        }))

      it.effect("are different also between the calls that a middleware makes in one step", () =>
        Effect.gen(function*() {
          const log: Log = []
          const twice = Middleware.make("twice", {
            model: (request, next) =>
              request.steps.length === 0
                ? Stream.concat(Stream.filter(next(request), (part) => part.type !== "finish"), next(request))
                : next(request)
          })
          const call = toolCalls({ id: "x", name: "note", params: { n: 1 } })
          const run = yield* Agent.run(Agent.make("agent", { toolkit, middleware: [twice] }), input).pipe(
            Effect.provide([noting(log), model(call, call, text("done"))])
          )
          assert.deepStrictEqual(run.steps[0]!.toolCalls.map(({ id }) => id), ["x", "x_2"])
        }))
    })

    describe("usage", () => {
      const answer = (word: string, inputTokens: number, outputTokens: number) =>
        step(text(word), finish("stop", ScriptedModel.usage(inputTokens, outputTokens)))
      const said = (parts: ReadonlyArray<{ readonly type: string }>) => JSON.stringify(parts)

      const ways: ReadonlyArray<readonly [string, Middleware.ModelPlace<any, any>, number]> = [
        ["judges a first answer and asks again", (request, next) =>
          Stream.unwrap(Effect.map(
            Stream.runCollect(next(request)),
            (first) => said(first).includes("bad") ? next(request) : Stream.fromIterable(first)
          )), 300],
        ["asks twice at once and keeps one", (request, next) =>
          Stream.unwrap(Effect.map(
            Effect.all([Stream.runCollect(next(request)), Stream.runCollect(next(request))], { concurrency: 2 }),
            ([, second]) => Stream.fromIterable(second)
          )), 300],
        ["leaves the first answer at its end", (request, next) =>
          Stream.unwrap(Effect.map(
            Stream.runDrain(Stream.takeUntil(next(request), (part) => part.type === "finish")),
            () => next(request)
          )), 300],
        ["drops the finish", (request, next) => Stream.filter(next(request), (part) => part.type !== "finish"), 100]
      ]

      it.effect.each(ways)("of a middleware that %s is what the model has said, in the run and in its budget", (
        [, place, expected]
      ) =>
        Effect.gen(function*() {
          const budget = Budget.make({ tokens: 10_000, money: 1, prices: { input: 1, output: 1 } })
          const spent: Array<number> = []
          const asking = Agent.make("agent", { middleware: [Middleware.make("way", { model: place })] })
          const run = yield* Budget.provide(budget)(Effect.tap(Agent.run(asking, input), () =>
            Effect.map(Budget.spent(budget), (amounts) => {
              if (amounts._tag === "Some") spent.push(amounts.value.tokens)
            })))
          assert.deepStrictEqual(
            [run.usage.inputTokens.total, run.steps[0]!.usage.inputTokens.total, spent],
            [expected, expected, [expected + (expected === 300 ? 12 : 7)]]
          )
        }).pipe(Effect.provide(model(answer("bad", 100, 7), answer("good", 200, 5)))))

      it.effect("a run that is interrupted while a middleware judges has what the first answer cost", () =>
        Effect.gen(function*() {
          const spent: Array<unknown> = []
          const asking = Agent.make("agent", {
            middleware: [Middleware.make("judge", {
              model: (request, next) => Stream.unwrap(Effect.as(Stream.runDrain(next(request)), next(request)))
            })],
            providers: [ContextProvider.make("seen", {
              beforeRun: () =>
                AgentRun.addFinalizer((exit) =>
                  Effect.sync(() => {
                    const outcome = AgentRun.outcome(exit)
                    if (outcome._tag === "Interrupted") spent.push(outcome.partial.usage.inputTokens.total)
                  })
                )
            })]
          })
          const fiber = yield* Effect.forkChild(Agent.run(asking, input))
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(spent, [100])
        }).pipe(Effect.provide(model(answer("bad", 100, 7), step(ScriptedModel.hang)))))

      it.effect("counts that are none do not count", () =>
        Effect.gen(function*() {
          const absurd = {
            inputTokens: { total: -5, uncached: 3 },
            outputTokens: { total: 10, text: 8, reasoning: 900 }
          }
          const run = yield* Agent.run(Agent.make("agent"), input).pipe(
            Effect.provide(model(step(text("a"), parts({ type: "finish", reason: "stop", usage: absurd }))))
          )
          assert.deepStrictEqual(run.usage, {
            inputTokens: { uncached: 3, total: undefined, cacheRead: undefined, cacheWrite: undefined },
            outputTokens: { total: 10, text: undefined, reasoning: undefined }
          })
        }))

      it.effect("a middleware that answers without a model says itself what it has cost", () =>
        Effect.gen(function*() {
          const cached = Middleware.make("cached", {
            model: () =>
              Stream.unwrap(Effect.map(
                ScriptedModel.make([answer("cached", 9, 1)]),
                ({ languageModel }) => languageModel.streamText({ prompt: "hi" })
              ))
          })
          const run = yield* Agent.run(Agent.make("agent", { middleware: [cached] }), input).pipe(
            Effect.provide(model())
          )
          assert.deepStrictEqual([run.text, run.usage.inputTokens.total], ["cached", 9])
        }))
    })

    it.effect("a model that a middleware provides is the one that a budget pays", () =>
      Effect.gen(function*() {
        const models: Array<string | undefined> = []
        const budget = Budget.make({
          money: 1,
          prices: (model) => {
            models.push(model)
            return { input: 1, output: 1 }
          }
        })
        const other = Middleware.make("other", {
          model: (request, next) =>
            next(request).pipe(Stream.provide(ScriptedModel.model([text("hi")], { provider: "acme", name: "large" })))
        })
        yield* Budget.provide(budget)(Agent.run(Agent.make("agent", { middleware: [other] }), input))
        assert.deepStrictEqual(models, ["large"])
      }).pipe(Effect.provide([model(), Layer.succeed(Model.ModelName)("small")])))
  })
}

describe("the edge of a model of DirectLanguageModel", () => {
  const Count = Schema.Union([
    Schema.Int,
    Schema.Finite,
    Schema.Literals(["Infinity", "NaN", "1e300"]),
    Schema.String,
    Schema.Null
  ])
  it.effect.prop(
    "any counts give usage that can be added up",
    { counts: Arbitrary.schema(Schema.Tuple([Count, Count, Count, Count, Count, Count, Count])) },
    ({ counts }) =>
      Effect.gen(function*() {
        // not in every kind of schema, and what a provider may say all the same
        const [a, b, c, d, e, f, g] = counts.map((count) =>
          /^(Infinity|NaN|1e300)$/.test(String(count)) ? Number(count) : count
        )
        const usage = {
          inputTokens: { total: a, uncached: b, cacheRead: c, cacheWrite: d },
          outputTokens: { total: e, text: f, reasoning: g }
        }
        const run = yield* Agent.run(Agent.make("agent"), input).pipe(
          Effect.provide(ScriptedModel.layer([parts({ type: "finish", reason: "stop", usage })], {
            via: DirectLanguageModel.make
          }))
        )
        const { inputTokens, outputTokens } = run.usage
        for (const count of [...Object.values(inputTokens), ...Object.values(outputTokens)]) {
          assert.isTrue(count === undefined || (Number.isSafeInteger(count) && count >= 0))
        }
        const known = (counts: Record<string, number | undefined>) =>
          Object.entries(counts).reduce((sum, [key, count]) => key === "total" ? sum : sum + (count ?? 0), 0)
        assert.isAtMost(known(inputTokens), inputTokens.total ?? Infinity)
        assert.isAtMost(known(outputTokens), outputTokens.total ?? Infinity)
      }),
    { arbitrary: { runs: 200, seed: "counts" } }
  )
})

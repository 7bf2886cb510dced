import { assert, describe, it } from "@effect/vitest"
import {
  Arbitrary,
  Context,
  Deferred,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  References,
  Schema,
  Stream,
  Tracer
} from "effect"
import { AiError, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentTelemetry, AgentTool, Budget } from "../src/index.ts"
import { type Dataset, Eval, Report, Scorer, type Trial } from "../src/evals/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const cases = (...ids: ReadonlyArray<string>): ReadonlyArray<Dataset.Case<string>> =>
  ids.map((id) => ({ id, input: id }))

/** Lets the clock go on, second by second, until a fiber has ended; before each second all fibers do what they can. */
const passing = <A, E>(fiber: Fiber.Fiber<A, E>) =>
  Effect.gen(function*() {
    while (fiber.pollUnsafe() === undefined) {
      for (let index = 0; index < 50; index++) yield* Effect.yieldNow
      yield* TestClock.adjust("1 second")
    }
    return yield* Fiber.join(fiber)
  })

const outcomes = (report: Report.Report) =>
  report.cases.map(({ id, trials }) => [id, ...trials.map((_) => `${_.outcome} ${_.passed} ${_.error ?? ""}`.trim())])

const overloaded = AiError.make({
  module: "test",
  method: "test",
  reason: new AiError.InternalProviderError({ description: "down" })
})

describe("Eval", () => {
  describe("make", () => {
    it("refuses two cases with one id and two scorers with one name", () => {
      const task = () => Effect.void
      assert.throws(() => Eval.make("twice", { cases: cases("a", "b", "a"), task, scorers: [] }), /Two cases.*`a`/)
      assert.throws(
        () => Eval.make("twice", { cases: cases("a"), task, scorers: [Scorer.exact(), Scorer.exact()] }),
        /Two scorers.*`exact`/
      )
    })
  })

  describe("run", () => {
    it.effect("makes a trial of every end that a task can have, and never fails", () =>
      Effect.gen(function*() {
        const experiment = Eval.make("ends", {
          cases: cases("completes", "fails", "dies", "throws", "interrupts", "kills", "hangs"),
          task: (id): Effect.Effect<string, { readonly message: string }> => {
            switch (id) {
              case "fails":
                return Effect.fail({ message: "no" })
              case "dies":
                return Effect.die(new Error("a bug"))
              case "throws":
                throw new Error("before it was an effect")
              case "interrupts":
                return Effect.interrupt
              case "kills":
                return Effect.withFiber((fiber) => {
                  fiber.interruptUnsafe()
                  return Effect.never
                })
              case "hangs":
                return Effect.never
              default:
                return Effect.succeed("fine")
            }
          },
          scorers: [Scorer.check("any", () => true), Scorer.latency()]
        })
        const fiber = yield* Effect.forkChild(Eval.run(experiment, { timeout: "1 minute", concurrency: 7 }))
        const report = yield* passing(fiber)
        assert.deepStrictEqual(outcomes(report), [
          ["completes", "completed true"],
          ["fails", "failed false no"],
          ["dies", "died false a bug"],
          ["throws", "died false before it was an effect"],
          ["interrupts", "interrupted false interrupted"],
          ["kills", "interrupted false interrupted"],
          ["hangs", "timed-out false The trial took longer than 60000 ms"]
        ])
        assert.deepStrictEqual(report.cases.map(({ trials }) => trials[0].scores), [
          [{ name: "any", value: 1, passed: true }, { name: "latency", value: 0 }],
          ...["failed", "died", "died", "interrupted", "interrupted"].map((outcome) => [
            { name: "any", value: 0, passed: false, error: `the trial is ${outcome}` },
            { name: "latency", value: 0 }
          ]),
          [
            { name: "any", value: 0, passed: false, error: "the trial is timed-out" },
            { name: "latency", value: 60_000 }
          ]
        ])
        assert.deepStrictEqual(Report.summary(report).outcomes, {
          completed: 1,
          failed: 1,
          died: 2,
          "timed-out": 1,
          "over-budget": 0,
          interrupted: 2
        })
      }))

    it.effect("a trial passes by its wanted outcome, and then nothing else is asked of it", () =>
      Effect.gen(function*() {
        const experiment = Eval.make("refusals", {
          cases: [{ id: "refused", input: 1, expected: "x" }, { id: "answered", input: 2, expected: "x" }],
          task: (n: number) => n === 1 ? Effect.fail("refused") : Effect.succeed("x"),
          scorers: [Scorer.exact(), Scorer.outcome("failed")]
        })
        const report = yield* Eval.run(experiment)
        assert.deepStrictEqual(report.cases.map(({ trials: [{ passed, scores }] }) => ({ passed, scores })), [
          { passed: true, scores: [{ name: "outcome", value: 1, passed: true, label: "failed" }] },
          {
            passed: false,
            scores: [
              { name: "outcome", value: 0, passed: false, label: "completed" },
              { name: "exact", value: 1, passed: true }
            ]
          }
        ])
      }))

    it.effect("a scorer that fails, dies or interrupts itself is a score, and does not end the others", () =>
      Effect.gen(function*() {
        const experiment = Eval.make("scorers", {
          cases: cases("a"),
          task: () => Effect.succeed("x"),
          scorers: [
            Scorer.make("fails", { score: () => Effect.fail("no judge") }),
            Scorer.make("throws", {
              score: () => {
                throw new Error("a bug")
              }
            }),
            Scorer.make("kills", {
              score: () =>
                Effect.withFiber((fiber) => {
                  fiber.interruptUnsafe()
                  return Effect.never
                })
            }),
            Scorer.make("nothing", { score: () => NaN }),
            Scorer.make("silent", { score: () => undefined }),
            Scorer.make("fine", { score: () => Effect.succeed({ value: 0.5, label: "half" }), atLeast: 0.5 })
          ]
        })
        const { cases: [{ trials: [{ passed, scores }] }] } = yield* Eval.run(experiment)
        assert.isFalse(passed)
        assert.deepStrictEqual(scores, [
          { name: "fails", value: 0, passed: false, error: "no judge" },
          { name: "throws", value: 0, passed: false, error: "a bug" },
          { name: "kills", value: 0, passed: false, error: "interrupted" },
          { name: "nothing", value: 0, passed: false, error: "the score is NaN" },
          { name: "fine", value: 0.5, passed: true, label: "half" }
        ])
      }))

    it.effect("a cost that is no number is not known", () =>
      Effect.gen(function*() {
        const experiment = Eval.make("priced", {
          cases: cases("a"),
          task: (prompt) => Agent.run(Agent.make("assistant"), { prompt }),
          scorers: []
        })
        for (const input of [NaN, Infinity]) {
          const report = yield* Eval.run(experiment, { prices: { input, output: 1 } }).pipe(
            Effect.provide(ScriptedModel.layer([ScriptedModel.text("b")]))
          )
          assert.strictEqual(Report.summary(report).cost, undefined)
          assert.deepStrictEqual(yield* Report.fromJson(yield* Report.toJson(report)), report)
        }
      }))

    it.effect("errors that cannot be read and verdicts that are none do not end it", () =>
      Effect.gen(function*() {
        const unreadable = new class {
          get message(): string {
            throw new Error("no message")
          }
        }()
        const foreign = (name: string, verdict: unknown) =>
          Scorer.make(name, { score: () => verdict as Scorer.Verdict | undefined })
        const report = yield* Eval.run(
          Eval.make("foreign", {
            cases: cases("fails", "dies", "completes"),
            task: (id: string) =>
              id === "fails"
                ? Effect.fail(unreadable)
                : id === "dies"
                ? Effect.die(unreadable)
                : Effect.succeed(new Proxy({}, { has: () => unreadable.message !== "" })),
            scorers: [
              foreign("null", null),
              foreign("symbol", Symbol("verdict")),
              foreign("judged", { value: 1, judgements: [{ judge: "a", value: NaN, passed: true, reason: "" }] })
            ]
          }),
          { concurrency: NaN }
        )
        const failed = ["null", "symbol", "judged"].map((name) => [name, 0, false])
        assert.deepStrictEqual(
          report.cases.map(({ trials: [{ error, outcome, output, scores }] }) => ({
            error,
            outcome,
            output,
            scores: scores.map(({ name, passed, value }) => [name, value, passed])
          })),
          [
            { error: "(cannot be read)", outcome: "failed", output: "", scores: failed },
            { error: "(cannot be read)", outcome: "died", output: "", scores: failed },
            { error: undefined, outcome: "completed", output: "(cannot be read)", scores: failed }
          ]
        )
        assert.strictEqual(report.cases[2].trials[0].scores[2].error, "the score is NaN")
        assert.deepStrictEqual(yield* Report.fromJson(yield* Report.toJson(report)), report)
      }))

    it.effect("interrupting it interrupts all trials, and has ended them when it goes on", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const begun = yield* Deferred.make<void>()
        const experiment = Eval.make("interrupted", {
          cases: cases("a", "b", "c"),
          task: (id) =>
            Effect.gen(function*() {
              log.push(`begin ${id}`)
              if (id === "b") yield* Deferred.succeed(begun, undefined)
              return yield* Effect.never
            }).pipe(Effect.onInterrupt(() => Effect.sync(() => log.push(`end ${id}`)))),
          scorers: []
        })
        const fiber = yield* Effect.forkChild(Eval.run(experiment, { concurrency: 2, timeout: "1 hour" }))
        yield* Deferred.await(begun)
        const exit = yield* Fiber.interrupt(fiber).pipe(Effect.andThen(Fiber.await(fiber)))
        assert.isTrue(Exit.hasInterrupts(exit))
        assert.deepStrictEqual(log.toSorted(), ["begin a", "begin b", "end a", "end b"])
      }))

    it.effect("interrupting it while a scorer works interrupts the scorer", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const begun = yield* Deferred.make<void>()
        const experiment = Eval.make("interrupted", {
          cases: cases("a"),
          task: () => Effect.void,
          scorers: [Scorer.make("slow", {
            score: () =>
              Deferred.succeed(begun, undefined).pipe(
                Effect.andThen(Effect.never),
                Effect.onInterrupt(() => Effect.sync(() => log.push("ended")))
              )
          })]
        })
        const fiber = yield* Effect.forkChild(Eval.run(experiment))
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(log, ["ended"])
      }))

    it.effect("a consumer that leaves the stream early ends the trials that run", () =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const begun = yield* Deferred.make<void>()
        const experiment = Eval.make("left", {
          cases: cases("quick", "slow"),
          task: (id) =>
            id === "quick"
              ? Deferred.await(begun)
              : Deferred.succeed(begun, undefined).pipe(
                Effect.andThen(Effect.never),
                Effect.onInterrupt(() => Effect.sync(() => log.push("ended")))
              ),
          scorers: []
        })
        const first = yield* Stream.runHead(Eval.stream(experiment))
        assert.deepStrictEqual([first._tag === "Some" && first.value.case, log], ["quick", ["ended"]])
      }))

    it.effect("runs as many trials at a time as it may, and reports them in order", () =>
      Effect.gen(function*() {
        let running = 0
        let most = 0
        const experiment = Eval.make("concurrent", {
          cases: cases("a", "b", "c", "d"),
          task: (id, { id: same }) =>
            Effect.gen(function*() {
              most = Math.max(most, ++running)
              yield* Effect.sleep(id === "a" ? "5 seconds" : "1 second")
              running--
              return same
            }),
          scorers: []
        })
        const progress: Array<string> = []
        const onTrial = (record: Trial.Record, { finished, trials }: Eval.Progress) =>
          Effect.sync(() => progress.push(`${finished}/${trials} ${record.case}${record.number}`))
        const fiber = yield* Effect.forkChild(Eval.run(experiment, { trials: 2, concurrency: 3, onTrial }))
        const report = yield* passing(fiber)
        assert.strictEqual(most, 3)
        assert.deepStrictEqual(
          report.cases.map(({ id, trials }) => [id, trials.map((_) => [_.number, _.output, _.milliseconds])]),
          [
            ["a", [[1, "a", 5000], [2, "a", 5000]]],
            ["b", [[1, "b", 1000], [2, "b", 1000]]],
            ["c", [[1, "c", 1000], [2, "c", 1000]]],
            ["d", [[1, "d", 1000], [2, "d", 1000]]]
          ]
        )
        assert.deepStrictEqual(progress, [
          "1/8 b1",
          "2/8 c1",
          "3/8 d1",
          "4/8 b2",
          "5/8 c2",
          "6/8 a1",
          "7/8 d2",
          "8/8 a2"
        ])
      }))
  })

  const weather = Toolkit.make(
    Tool.make("weather", { parameters: Schema.Struct({ city: Schema.String }), success: Schema.String })
  )
  const handlers = weather.toLayer({ weather: ({ city }) => Effect.succeed(`rain in ${city}`) })
  const assistant = Agent.make("assistant", { toolkit: weather })
  const ask = ScriptedModel.toolCalls({ name: "weather", params: { city: "Oslo" } })

  describe("the runs of a trial", () => {
    it.effect("are recorded with their usage, cost, steps, tool calls and messages", () =>
      Effect.gen(function*() {
        const experiment = Eval.make("weather", {
          cases: [{ id: "oslo", input: "Rain in Oslo?", expected: "coat", tags: ["rain"], split: "test" }],
          // the task keeps nothing of the result but one text
          task: (prompt: string) => Effect.map(Agent.run(assistant, { prompt }), ({ text }) => text),
          scorers: [Scorer.includes(), Scorer.cost(), Scorer.tokens({ atMost: 100 }), Scorer.steps({ atMost: 1 })]
        })
        const report = yield* Eval.run(experiment, { prices: { input: 1_000_000, output: 2_000_000 } })
        const [{ trials: [{ trace, usage, ...trial }], ...of }] = report.cases
        assert.deepStrictEqual(of, {
          id: "oslo",
          input: "Rain in Oslo?",
          expected: "coat",
          tags: ["rain"],
          split: "test"
        })
        assert.deepStrictEqual([usage.inputTokens.total, usage.outputTokens.total], [20, 10])
        assert.deepStrictEqual({ ...trial, scoring: undefined, milliseconds: 0 }, {
          case: "oslo",
          number: 1,
          outcome: "completed",
          passed: false,
          output: "Take a coat.",
          milliseconds: 0,
          cost: 40,
          modelCalls: 2,
          steps: 2,
          toolCalls: [
            { id: "call-1-1", name: "weather", params: { city: "Oslo" }, executed: true, isFailure: false }
          ],
          scores: [
            { name: "includes", value: 1, passed: true },
            { name: "cost", value: 40 },
            { name: "tokens", value: 30, passed: true },
            { name: "steps", value: 2, passed: false }
          ],
          scoring: undefined
        })
        assert.deepStrictEqual(
          trace.map(({ agent, nested, outcome, transcript }) => [
            agent,
            nested,
            outcome,
            transcript.content.map(({ role }) => role)
          ]),
          [["assistant", false, "Completed", ["user", "assistant", "tool", "assistant"]]]
        )
      }).pipe(Effect.provide([ScriptedModel.layer([ask, ScriptedModel.text("Take a coat.")]), handlers])))

    it.effect("are recorded when they fail, and when the trial is cut by its time limit", () =>
      Effect.gen(function*() {
        const experiment = Eval.make("cut", {
          cases: cases("fails", "hangs"),
          task: (prompt) => Agent.run(assistant, { prompt }),
          scorers: []
        })
        const fiber = yield* Effect.forkChild(Eval.run(experiment, { concurrency: 1, timeout: "1 minute" }))
        const report = yield* passing(fiber)
        assert.deepStrictEqual(
          Report.trials(report).map((_) => [
            _.outcome,
            _.output,
            _.modelCalls,
            _.steps,
            _.toolCalls.length,
            _.usage.inputTokens.total,
            _.trace.map(({ outcome, transcript }) => [outcome, ...transcript.content.map(({ role }) => role)])
          ]),
          [
            ["failed", "", 2, 1, 1, 10, [["Failed", "user", "assistant", "tool"]]],
            ["timed-out", "Let me ", 2, 1, 1, 10, [["Interrupted", "user", "assistant", "tool", "assistant"]]]
          ]
        )
      }).pipe(Effect.provide([
        ScriptedModel.layer([
          ask,
          ScriptedModel.fail(overloaded),
          ask,
          [ScriptedModel.text("Let me "), ScriptedModel.hang]
        ]),
        handlers
      ])))

    it.effect("nested runs count for the usage, and not as steps of the trial", () =>
      Effect.gen(function*() {
        const inner = Agent.make("inner")
        const outer = Agent.make("outer", { toolkit: AgentTool.toolkit(AgentTool.make(inner)) })
        const experiment = Eval.make("nested", {
          cases: cases("a"),
          task: (prompt) => Agent.run(outer, { prompt }),
          scorers: []
        })
        const [{ trials: [trial] }] = (yield* Eval.run(experiment)).cases
        assert.deepStrictEqual(trial.trace.map(({ agent, nested }) => [agent, nested]), [
          ["outer", false],
          ["inner", true]
        ])
        assert.deepStrictEqual([trial.modelCalls, trial.steps, trial.usage.outputTokens.total, trial.output], [
          3,
          2,
          15,
          "told"
        ])
      }).pipe(Effect.provide([
        ScriptedModel.layer([
          ScriptedModel.toolCalls({ name: "inner", params: { prompt: "go" } }),
          ScriptedModel.text("done"),
          ScriptedModel.text("told")
        ])
      ])))

    it.effect("a budget limits each trial by itself, and not its scorers", () =>
      Effect.gen(function*() {
        const judge = Agent.make("judge")
        const experiment = Eval.make("budget", {
          cases: cases("short", "long", "short again"),
          task: (prompt) => Agent.run(assistant, { prompt }),
          scorers: [
            Scorer.make("judge", {
              score: () => Effect.map(Agent.run(judge, { prompt: "?" }), ({ text }) => text === "ok")
            })
          ]
        })
        const report = yield* Eval.run(experiment, {
          concurrency: 1,
          budget: Budget.orFail(Budget.make({ modelCalls: 1 })),
          prices: { input: 1_000_000, output: 0 }
        })
        assert.deepStrictEqual(
          Report.trials(report).map((_) => [_.outcome, _.modelCalls, _.cost, _.scoring.cost, _.scores[0].value]),
          [
            ["completed", 1, 10, 10, 1],
            ["over-budget", 1, 10, 0, 0],
            ["completed", 1, 10, 10, 1]
          ]
        )
        const { cost, scoring } = Report.summary(report)
        assert.deepStrictEqual([cost, scoring.cost], [30, 20])
      }).pipe(Effect.provide([
        ScriptedModel.layer([
          ScriptedModel.text("a"),
          ScriptedModel.text("ok"),
          ask,
          ScriptedModel.text("b"),
          ScriptedModel.text("ok")
        ]),
        handlers
      ])))
  })

  describe("telemetry", () => {
    it.effect("a trial has a span around its runs, and its scores are events in it", () =>
      Effect.gen(function*() {
        const spans: Array<Tracer.NativeSpan> = []
        const tracer = Tracer.make({
          span: (options) => {
            const span = new Tracer.NativeSpan(options)
            spans.push(span)
            return span
          }
        })
        const events: Array<unknown> = []
        const logger = Logger.make(({ fiber, message }) => {
          events.push({
            message,
            span: Context.getOrUndefined(fiber.context, Tracer.ParentSpan)?.spanId,
            ...fiber.getRef(References.CurrentLogAnnotations)
          })
        })
        const experiment = Eval.make("traced", {
          cases: [{ id: "a", input: "?", expected: "yes" }],
          task: (prompt: string) => Agent.run(Agent.make("assistant"), { prompt }),
          scorers: [
            Scorer.includes(),
            Scorer.steps(),
            Scorer.make("broken", { score: () => Effect.fail("secret") })
          ]
        })
        const run = (captureContent: boolean) =>
          Eval.run(experiment, { trials: 1 }).pipe(Effect.provide([
            ScriptedModel.layer([ScriptedModel.text("no")]),
            AgentTelemetry.layer({ captureContent }),
            Layer.succeed(Tracer.Tracer, tracer),
            Logger.layer([logger])
          ]))
        yield* run(false)
        const [trial, agent] = spans
        const parentOf = (span: Tracer.NativeSpan) => span.parent._tag === "Some" ? span.parent.value.spanId : undefined
        assert.deepStrictEqual(spans.map(({ name }) => name), ["eval_trial traced", "invoke_agent assistant", "chat"])
        assert.strictEqual(parentOf(agent), trial.spanId)
        assert.deepStrictEqual(Object.fromEntries(trial.attributes), {
          "effect_agents.eval.experiment": "traced",
          "effect_agents.eval.case": "a",
          "effect_agents.eval.trial": 1,
          "effect_agents.eval.outcome": "completed",
          "effect_agents.eval.passed": false
        })
        const common = {
          message: ["gen_ai.evaluation.result"],
          span: trial.spanId,
          "event.name": "gen_ai.evaluation.result"
        }
        assert.deepStrictEqual(events, [
          {
            ...common,
            "gen_ai.evaluation.name": "includes",
            "gen_ai.evaluation.score.value": 0,
            "gen_ai.evaluation.score.label": "fail"
          },
          { ...common, "gen_ai.evaluation.name": "steps", "gen_ai.evaluation.score.value": 1 },
          {
            ...common,
            "gen_ai.evaluation.name": "broken",
            "gen_ai.evaluation.score.value": 0,
            "gen_ai.evaluation.score.label": "fail",
            "error.type": "_OTHER"
          }
        ])
        events.length = 0
        yield* run(true)
        assert.include(JSON.stringify(events), `"gen_ai.evaluation.explanation":"missing: \\"yes\\""`)
      }))
  })

  describe("the summary of a report", () => {
    const Script = Schema.Array(
      Schema.Struct({
        input: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
        output: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
        end: Schema.Literals(["answer", "tool", "fail", "die", "length"])
      })
    ).check(Schema.isMinLength(1), Schema.isMaxLength(6))

    it.effect.prop(
      "is the sum of what the model has reported, whatever became of the trials",
      [Arbitrary.schema(Script)],
      ([script]) =>
        Effect.gen(function*() {
          const experiment = Eval.make("sums", {
            cases: script.map((_, index) => ({ id: `${index}`, input: index })),
            task: (index: number) => Effect.provide(Agent.run(assistant, { prompt: "?" }), model(index)),
            scorers: [Scorer.tokens()]
          })
          // each case has a model of its own, so that the trials may run in any order
          const model = (index: number) => {
            const { end, input, output } = script[index]
            const finish = ScriptedModel.finish(
              end === "tool" ? "tool-calls" : "stop",
              ScriptedModel.usage(input, output)
            )
            return ScriptedModel.layer(
              end === "answer"
                ? [[ScriptedModel.text("a"), finish]]
                : end === "tool"
                ? [[ask, finish], [ScriptedModel.text("b"), ScriptedModel.finish("stop", ScriptedModel.usage(1, 2))]]
                : end === "length"
                ? [[ScriptedModel.text("c"), ScriptedModel.finish("length", ScriptedModel.usage(input, output))]]
                : end === "fail"
                ? [[ScriptedModel.text("d"), ScriptedModel.fail(overloaded)]]
                : [[ScriptedModel.die("bug")]]
            )
          }
          const report = yield* Eval.run(experiment, { trials: 2, prices: { input: 1_000_000, output: 3_000_000 } })
          const spent = script.map(({ end, input, output }) =>
            end === "fail" || end === "die" ? [0, 0] : end === "tool" ? [input + 1, output + 2] : [input, output]
          )
          const total = (side: 0 | 1) => 2 * spent.reduce((sum, each) => sum + each[side], 0)
          const summary = Report.summary(report)
          assert.deepStrictEqual({
            cases: summary.cases,
            trials: summary.trials,
            input: summary.usage.inputTokens.total ?? 0,
            output: summary.usage.outputTokens.total ?? 0,
            cost: summary.cost,
            calls: summary.modelCalls,
            toolCalls: summary.toolCalls,
            steps: summary.steps,
            passed: summary.passed,
            tokens: summary.scorers[0].mean * summary.scorers[0].scores
          }, {
            cases: script.length,
            trials: 2 * script.length,
            input: total(0),
            output: total(1),
            cost: total(0) + 3 * total(1),
            calls: 2 * script.reduce((sum, { end }) => sum + (end === "tool" ? 2 : 1), 0),
            toolCalls: 2 * script.filter(({ end }) => end === "tool").length,
            steps: 2 *
              script.reduce((sum, { end }) => sum + (end === "tool" ? 2 : end === "fail" || end === "die" ? 0 : 1), 0),
            passed: 2 * script.filter(({ end }) => end !== "fail" && end !== "die").length,
            tokens: total(0) + total(1)
          })
        }).pipe(Effect.provide(handlers)),
      { arbitrary: { runs: 30, seed: "sums" } }
    )
  })
})

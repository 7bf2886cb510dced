import { Context, Effect, Layer, Schema } from "effect"
import type { AiError, LanguageModel } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Dataset, Eval, EvalSuite, Judge, Scorer, Trajectory } from "../../src/evals/index.ts"
import { Agent, type AgentError, type AgentRun } from "../../src/index.ts"

class Clerk extends Context.Service<Clerk, string>()("test/Clerk") {}

const cases = [{ id: "a", input: "?", expected: 1 }]

const agent = Agent.make("assistant")

describe("Eval", () => {
  it("knows the input, the reference, the value, the failures and the services", () => {
    const experiment = Eval.make("typed", {
      cases,
      task: (prompt) => Agent.run(agent, { prompt }),
      scorers: [
        Scorer.make("clerk", { score: () => Effect.map(Clerk, (name) => name.length) }),
        Scorer.compare("text", (result: AgentRun.Result, expected: number) => result.text === String(expected)),
        Scorer.includes({ ignoreCase: true }).pipe(Scorer.withName("words")) as Scorer.Scorer<
          unknown,
          unknown,
          unknown
        >,
        Trajectory.strict(["search"])
      ]
    })
    expectTypeOf(experiment).toEqualTypeOf<
      Eval.Experiment<
        string,
        number,
        AgentRun.Result<undefined>,
        AiError.AiError | AgentError.AgentError,
        LanguageModel.LanguageModel | Clerk
      >
    >()
    expectTypeOf<Eval.Services<typeof experiment>>().toEqualTypeOf<LanguageModel.LanguageModel | Clerk>()
    expectTypeOf(Eval.run(experiment)).toExtend<Effect.Effect<unknown, never, LanguageModel.LanguageModel | Clerk>>()
    const provided = experiment.pipe(Eval.provide(Context.make(Clerk, "ada")))
    expectTypeOf<Eval.Services<typeof provided>>().toEqualTypeOf<LanguageModel.LanguageModel>()
  })

  it("a task may return effects of different types", () => {
    const experiment = Eval.make("several", {
      cases: [{ id: "a", input: 1 }],
      task: (n: number) => n > 1 ? Effect.fail("no" as const) : n < 0 ? Effect.fail(0 as const) : Effect.succeed(n),
      scorers: []
    })
    expectTypeOf(experiment).toEqualTypeOf<Eval.Experiment<number, unknown, number, "no" | 0, never>>()
  })

  it("a scorer has to fit the value and the reference", () => {
    const task = () => Effect.succeed("text")
    // @ts-expect-error the value is a text
    Eval.make("x", { cases, task, scorers: [Scorer.check("n", (value: number) => value > 0)] })
    // @ts-expect-error the reference is a number
    Eval.make("x", { cases, task, scorers: [Scorer.similarity()] })
    Eval.make("x", { cases, task, scorers: [Scorer.numeric(), Scorer.check("t", (value: string) => value.length > 0)] })
  })

  it("a judge needs the models that its judges do not bring", () => {
    const model = Layer.succeed(Clerk, "model") as unknown as Layer.Layer<LanguageModel.LanguageModel, never, Clerk>
    expectTypeOf(Judge.make({ rubric: "?" })).toExtend<
      Scorer.Scorer<unknown, unknown, unknown, LanguageModel.LanguageModel>
    >()
    expectTypeOf(Judge.make({ rubric: "?", judges: [Agent.provide(Judge.agent("ada"), model)] })).toExtend<
      Scorer.Scorer<unknown, unknown, unknown, Clerk>
    >()
  })

  it("a dataset has the types of its schemas, and a suite needs a layer for what its experiment needs", () => {
    const text = Dataset.parse("", { format: "csv", input: Schema.Int })
    expectTypeOf<Effect.Success<typeof text>>().toEqualTypeOf<ReadonlyArray<Dataset.Case<number, string>>>()
    const dates = Dataset.parse("", { format: "csv", input: Schema.Int, expected: Schema.Date })
    expectTypeOf<Effect.Success<typeof dates>>().toEqualTypeOf<ReadonlyArray<Dataset.Case<number, Date>>>()

    const runner = { describe, it, afterAll: (_: () => Promise<void>) => {} }
    const needy = Eval.make("needy", { cases: [{ id: "a", input: 1 }], task: () => Clerk, scorers: [] })
    // @ts-expect-error there is no layer with the clerk
    EvalSuite.register(runner, needy)
    EvalSuite.register(runner, needy, { layer: Layer.succeed(Clerk, "ada") })
    EvalSuite.register(runner, Eval.make("free", { cases, task: () => Effect.void, scorers: [] }))
  })
})

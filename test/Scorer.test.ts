import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Agent } from "../src/index.ts"
import { Eval, Report, Scorer } from "../src/evals/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

/** The scores of one scorer for pairs of a value and its reference. */
const scoresOf = <A, X>(
  scorer: Scorer.Scorer<unknown, X, A>,
  pairs: ReadonlyArray<{ readonly value: A; readonly expected?: X | undefined }>
) =>
  Effect.map(
    Eval.run(Eval.make("scores", {
      cases: pairs.map(({ expected, value }, index) => ({ id: `${index}`, input: value, expected })),
      task: (value: A) => Effect.succeed(value),
      scorers: [scorer]
    })),
    (report) => Report.trials(report).map(({ scores: [score] }) => score)
  )

const values = <A, X>(...args: Parameters<typeof scoresOf<A, X>>) =>
  Effect.map(scoresOf(...args), (scores) => scores.map((score) => score?.value))

describe("Scorer", () => {
  it.effect("exact compares values by their content, and says nothing without a reference", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* values(Scorer.exact(), [
          { value: { a: [1, 2] }, expected: { a: [1, 2] } },
          { value: { a: [1, 2] }, expected: { a: [2, 1] } },
          { value: "Oslo", expected: "oslo" },
          { value: "Oslo" }
        ]),
        [1, 0, 0, undefined]
      )
    }))

  it.effect("exact reads the value of a run with an output, and the text of one without", () =>
    Effect.gen(function*() {
      const City = Schema.Struct({ city: Schema.String })
      const experiment = Eval.make("agents", {
        cases: [{ id: "value", input: "value", expected: { city: "Oslo" } as typeof City.Type | string }, {
          id: "text",
          input: "text",
          expected: "Oslo"
        }],
        task: (prompt): Effect.Effect<unknown, unknown, Agent.Services<typeof agent>> =>
          prompt === "value"
            ? Agent.run(Agent.make("asker", { output: City }), { prompt })
            : Agent.run(agent, { prompt }),
        scorers: [Scorer.exact()]
      })
      const agent = Agent.make("teller")
      const report = yield* Eval.run(experiment, { concurrency: 1 })
      assert.deepStrictEqual(Report.trials(report).map(({ output, passed }) => [output, passed]), [
        [`{\n  "city": "Oslo"\n}`, true],
        ["Oslo", true]
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([
      ScriptedModel.toolCalls({ name: "final_answer", params: { city: "Oslo" } }),
      ScriptedModel.text("Oslo")
    ]))))

  it.effect("includes names what is missing", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        yield* scoresOf(Scorer.includes({ ignoreCase: true }), [
          { value: "From OSLO to Bergen", expected: ["oslo", "bergen"] },
          { value: "From Oslo", expected: ["oslo", "bergen"] }
        ]),
        [
          { name: "includes", value: 1, passed: true },
          { name: "includes", value: 0, passed: false, explanation: `missing: "bergen"` }
        ]
      )
    }))

  it.effect("matches a pattern each time, whatever its flags", () =>
    Effect.gen(function*() {
      const texts = [{ value: "a 12" }, { value: "a 12" }, { value: "a" }]
      assert.deepStrictEqual(yield* values(Scorer.matches(/\d+/g), texts), [1, 1, 0])
    }))

  it.effect("schema decodes the answer, and says what is wrong with it", () =>
    Effect.gen(function*() {
      const [good, bad] = yield* scoresOf(Scorer.schema(Schema.fromJsonString(Schema.Struct({ n: Schema.Int }))), [
        { value: `{"n":1}` },
        { value: `{"n":1.5}` }
      ])
      assert.deepStrictEqual(good, { name: "schema", value: 1, passed: true })
      assert.deepStrictEqual([bad.value, bad.passed], [0, false])
      assert.include(bad.explanation ?? "", `at ["n"]`)
    }))

  it.effect("numeric takes the last number of a text, within its tolerances", () =>
    Effect.gen(function*() {
      const pairs: ReadonlyArray<{ readonly value: unknown; readonly expected: number }> = [
        { value: "In 1850 it was 2,469 m.", expected: 2469 },
        { value: "about 2468.5", expected: 2469 },
        { value: -3, expected: -3 },
        { value: "1.5e3", expected: 1500 },
        { value: "none", expected: 0 },
        { value: "1,2,3", expected: 3 }
      ]
      assert.deepStrictEqual(yield* values(Scorer.numeric(), pairs), [1, 0, 1, 1, 0, 1])
      assert.deepStrictEqual(yield* values(Scorer.numeric({ tolerance: 0.5 }), pairs), [1, 1, 1, 1, 0, 1])
      assert.deepStrictEqual(yield* values(Scorer.numeric({ relative: 0.001 }), pairs), [1, 1, 1, 1, 0, 1])
    }))

  it.effect("similarity is the ratio of RapidFuzz", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(
        (yield* values(Scorer.similarity(), [
          { value: "this is a test", expected: "this is a test!" },
          { value: "fuzzy wuzzy was a bear", expected: "wuzzy fuzzy was a bear" },
          { value: "lewenstein", expected: "levenshtein" },
          { value: "a  b\n", expected: "a b" },
          { value: "", expected: "" },
          { value: "abc", expected: "" },
          { value: "🙂a", expected: "🙂b" }
        ])).map((_) => _?.toFixed(4)),
        ["0.9655", "0.9091", "0.8571", "1.0000", "1.0000", "0.0000", "0.5000"]
      )
    }))

  it.effect.prop(
    "similarity is symmetric, between 0 and 1, and 1 for equal texts alone",
    { a: Arbitrary.schema(Schema.String), b: Arbitrary.schema(Schema.String) },
    ({ a, b }) =>
      Effect.gen(function*() {
        const [one, other, same] = yield* values(Scorer.similarity(), [
          { value: a, expected: b },
          { value: b, expected: a },
          { value: a, expected: a }
        ])
        const words = (text: string) => text.trim().replace(/\s+/g, " ")
        assert.strictEqual(one, other)
        assert.isTrue(one !== undefined && one >= 0 && one <= 1)
        assert.strictEqual(one === 1, words(a) === words(b))
        assert.strictEqual(same, 1)
      }),
    { arbitrary: { runs: 30, seed: "similarity" } }
  )

  it.effect("a threshold says what passes, and one without it only measures", () =>
    Effect.gen(function*() {
      const length = Scorer.make("length", { score: ({ value }: { readonly value: unknown }) => String(value).length })
      const bounded = Scorer.withThreshold(length, { atLeast: 2, atMost: 3 })
      const texts = ["a", "ab", "abc", "abcd"].map((value) => ({ value }))
      const passed = (scores: ReadonlyArray<{ readonly passed?: boolean }>) => scores.map((_) => _.passed)
      assert.deepStrictEqual(passed(yield* scoresOf(length, texts)), [undefined, undefined, undefined, undefined])
      assert.deepStrictEqual(passed(yield* scoresOf(bounded, texts)), [false, true, true, false])
      assert.deepStrictEqual(length.pipe(Scorer.withName("size")).name, "size")
    }))
})

import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import * as vitest from "vitest"
import { Eval, EvalSuite, Report, Scorer } from "../src/evals/index.ts"

class Answers extends Context.Service<Answers, (question: string, trial: number) => string>()("test/Answers") {}

const cases = ["good", "flaky", "bad"].map((id) => ({ id, input: id, expected: "yes" }))

const make = () => {
  const counts = new Map<string, number>()
  return Eval.make("suite", {
    cases,
    task: (question: string) =>
      Effect.map(Answers, (answer) => {
        const trial = (counts.get(question) ?? 0) + 1
        counts.set(question, trial)
        return answer(question, trial)
      }),
    scorers: [Scorer.exact()]
  })
}

const layer = Layer.succeed(
  Answers,
  (question, trial) => question === "good" || (question === "flaky" && trial === 1) ? "yes" : "no"
)

/** A test runner that keeps what is registered, and runs it. */
const runner = () => {
  const tests: Array<readonly [string, () => Promise<void>]> = []
  const ends: Array<() => Promise<void>> = []
  return {
    describe: (name: string, body: () => void) => {
      tests.push([name, () => Promise.resolve()])
      body()
    },
    it: (name: string, test: () => Promise<void>) => {
      tests.push([name, test])
    },
    afterAll: (finish: () => Promise<void>) => {
      ends.push(finish)
    },
    run: Effect.promise(async () => {
      const results: Array<readonly [string, string]> = []
      for (const [name, test] of tests) {
        results.push([name, await test().then(() => "passes", (error: Error) => error.message)])
      }
      for (const end of ends) await end()
      return results
    })
  }
}

describe("EvalSuite", () => {
  it.effect("makes a test of each case, and of their trials a report", () =>
    Effect.gen(function*() {
      const own = runner()
      const log: Array<string> = []
      const scoped = Layer.merge(
        layer,
        Layer.effectDiscard(Effect.acquireRelease(
          Effect.sync(() => log.push("built")),
          () => Effect.sync(() => log.push("released"))
        ))
      )
      EvalSuite.register(own, make(), {
        layer: scoped,
        trials: 2,
        onReport: (report) => Effect.sync(() => log.push(`${Report.summary(report).passed} passed`))
      })
      assert.deepStrictEqual(log, [])
      assert.deepStrictEqual(yield* own.run, [
        ["suite", "passes"],
        ["good", "passes"],
        ["flaky", "The case `flaky` does not pass: exact 0"],
        ["bad", "The case `bad` does not pass: exact 0"]
      ])
      assert.deepStrictEqual(log, ["built", "3 passed", "released"])
    }))

  it.effect("with a baseline a test fails only if its case is worse than there", () =>
    Effect.gen(function*() {
      const baseline = yield* Effect.provide(Eval.run(make(), { trials: 2 }), layer)
      const same = runner()
      EvalSuite.register(same, make(), { layer, baseline, trials: 2 })
      assert.deepStrictEqual((yield* same.run).map(([, result]) => result), Array.from({ length: 4 }, () => "passes"))
      const worse = runner()
      EvalSuite.register(worse, make(), { layer: Layer.succeed(Answers, () => "no"), baseline, trials: 2 })
      assert.deepStrictEqual((yield* worse.run).slice(1), [
        ["good", "The case `good` does not pass: the case `good` passes 0 of 2 trials, before 2 of 2; exact 0"],
        ["flaky", "The case `flaky` does not pass: the case `flaky` passes 0 of 2 trials, before 1 of 2; exact 0"],
        ["bad", "passes"]
      ])
    }))

  it.effect("a case that was not tried does not pass", () =>
    Effect.gen(function*() {
      const baseline = yield* Effect.provide(Eval.run(make()), layer)
      const results = yield* Effect.forEach([undefined, baseline], (baseline) => {
        const own = runner()
        EvalSuite.register(own, make(), { layer, baseline, trials: 0 })
        return Effect.map(own.run, (tests) => tests.find(([name]) => name === "good")?.[1])
      })
      assert.deepStrictEqual(results, [
        "The case `good` does not pass: it was not tried",
        "The case `good` does not pass: the case `good` of the baseline was not tried"
      ])
    }))
})

// the same in this runner: two cases that pass
EvalSuite.register(
  vitest,
  Eval.make("EvalSuite in vitest", {
    cases: [{ id: "one", input: 1, expected: 2 }, { id: "two", input: 2, expected: 4 }],
    task: (n: number) => Effect.succeed(2 * n),
    scorers: [Scorer.numeric()]
  })
)

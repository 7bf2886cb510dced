import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Statistics } from "../src/evals/index.ts"
import * as Seeded from "../src/evals/internal/seeded.ts"

const near = (actual: number, expected: number, digits: number) =>
  assert.strictEqual(actual.toFixed(digits), expected.toFixed(digits))

const nearInterval = ({ lower, upper }: Statistics.Interval, expected: readonly [number, number], digits: number) =>
  assert.deepStrictEqual(
    [lower.toFixed(digits), upper.toFixed(digits)],
    expected.map((_) => _.toFixed(digits))
  )

const choose = (n: number, k: number): number => k > n ? 0 : k === 0 ? 1 : choose(n - 1, k - 1) * n / k

describe("Statistics", () => {
  const Counts = Schema.Struct({
    n: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 })),
    passed: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 30 })),
    k: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 30 }))
  })

  it.effect.prop(
    "passAtK and passHatK are the estimators of Chen et al. 2021 and Yao et al. 2024",
    { counts: Arbitrary.schema(Counts) },
    ({ counts: { k: anyK, n, passed: anyPassed } }) =>
      Effect.sync(() => {
        const passed = anyPassed % (n + 1)
        const k = 1 + (anyK - 1) % n
        near(Statistics.passAtK(n, passed, k), 1 - choose(n - passed, k) / choose(n, k), 10)
        near(Statistics.passHatK(n, passed, k), choose(passed, k) / choose(n, k), 10)
        // one trial: both are the pass rate
        near(Statistics.passAtK(n, passed, 1), passed / n, 10)
        near(Statistics.passHatK(n, passed, 1), passed / n, 10)
      })
  )

  it("passAtK and passHatK by hand", () => {
    near(Statistics.passAtK(5, 2, 2), 1 - 3 / 10, 12)
    near(Statistics.passHatK(8, 4, 2), 6 / 28, 12)
    assert.deepStrictEqual([Statistics.passAtK(4, 0, 4), Statistics.passAtK(4, 1, 4), Statistics.passHatK(4, 3, 4)], [
      0,
      1,
      0
    ])
    assert.deepStrictEqual([Statistics.passAtK(4, 4, 5), Statistics.passHatK(4, 4, 5)], [NaN, NaN])
  })

  it("normalQuantile has the values of the tables", () => {
    near(Statistics.normalQuantile(0.975), 1.959963984540054, 14)
    near(Statistics.normalQuantile(0.8), 0.8416212335729143, 14)
    near(Statistics.normalQuantile(0.5), 0, 14)
    near(Statistics.normalQuantile(0.0005), -3.2905267314918945, 12)
    near(Statistics.normalQuantile(1e-10), -6.361340902404056, 12)
  })

  it("wilson has the values of Newcombe 1998, table I, method 3", () => {
    nearInterval(Statistics.wilson(81, 263), [0.2553, 0.3662], 4)
    nearInterval(Statistics.wilson(15, 148), [0.0624, 0.1605], 4)
    nearInterval(Statistics.wilson(0, 20), [0, 0.1611], 4)
    nearInterval(Statistics.wilson(1, 29), [0.0061, 0.1718], 4)
    nearInterval(Statistics.wilson(29, 29), [0.883, 1], 3)
    assert.deepStrictEqual(Statistics.wilson(0, 0), { lower: 0, upper: 1 })
  })

  it("wilson covers the rate as often as it says, on the average of all rates", () => {
    const coverage = (rate: number) =>
      Array.from({ length: 41 }, (_, passed) => {
        const { lower, upper } = Statistics.wilson(passed, 40)
        return lower <= rate && rate <= upper ? choose(40, passed) * rate ** passed * (1 - rate) ** (40 - passed) : 0
      }).reduce((a, b) => a + b, 0)
    const rates = Array.from({ length: 99 }, (_, index) => (index + 1) / 100)
    near(Statistics.mean(rates.map(coverage)), 0.951, 3)
  })

  it("bootstrap is near the interval of the normal distribution, and the same for the same seed", () => {
    const values = Array.from({ length: 100 }, (_, index) => index % 4 === 0 ? 0 : 1)
    const interval = Statistics.bootstrap(values, undefined, { seed: 3 })
    const half = 1.96 * Math.sqrt(0.75 * 0.25 / 100)
    assert.isTrue(Math.abs(interval.lower - (0.75 - half)) < 0.015, `${interval.lower}`)
    assert.isTrue(Math.abs(interval.upper - (0.75 + half)) < 0.015, `${interval.upper}`)
    assert.deepStrictEqual(Statistics.bootstrap(values, undefined, { seed: 3 }), interval)
    const other = values.map((value, index) => value + index / 1000)
    assert.notDeepEqual(
      Statistics.bootstrap(other, undefined, { seed: 4, samples: 500 }),
      Statistics.bootstrap(other, undefined, { seed: 3, samples: 500 })
    )
  })

  it("mcNemar has the value of the example of statsmodels, and those by hand", () => {
    near(Statistics.mcNemar(59, 121) * 1e6, 4.434449, 5)
    near(Statistics.mcNemar(0, 6), 2 / 64, 12)
    near(Statistics.mcNemar(9, 1), 2 * 11 / 1024, 12)
    assert.deepStrictEqual([Statistics.mcNemar(0, 0), Statistics.mcNemar(3, 3)], [1, 1])
  })

  it("signFlip has the values of Fisher 1935 for Darwin's maize, exact and by samples", () => {
    // differences of height of 15 pairs of plants, in eighths of an inch
    const maize = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]
    const exact = Statistics.signFlip(maize)
    near(exact.greater, 863 / 32768, 12)
    near(exact.twoSided, 1726 / 32768, 12)
    near(exact.less, 1 - (863 - 28) / 32768, 1)
    // the same in inches is not of integers, so every change of signs is tried
    assert.deepStrictEqual(Statistics.signFlip(maize.map((_) => _ / 80)).twoSided, 1726 / 32768)
    const sampled = Statistics.signFlip([...maize.map((_) => _ / 80), 1e-9, -1e-9], { seed: 5 })
    assert.isTrue(Math.abs(sampled.twoSided - 1726 / 32768) < 0.01, `${sampled.twoSided}`)
    assert.deepStrictEqual(Statistics.signFlip([0, 0]), { less: 1, greater: 1, twoSided: 1 })
  })

  it("signFlip draws samples of what is too much work for an exact answer, and says nearly the same", () => {
    const differences = Array.from({ length: 200 }, (_, index) => index % 3 === 0 ? -1 : 1)
    const few = Statistics.signFlip(differences)
    const large = Statistics.signFlip(differences.map((difference) => difference * 1_000_000))
    assert.isTrue(Math.abs(few.greater - large.greater) < 0.001, `${few.greater} and ${large.greater}`)
    assert.isAtLeast(large.greater, 1 / 10_001)
  })

  it.effect.prop(
    "signFlip of single trials is the exact McNemar test",
    { changes: Schema.Array(Schema.Literals([-1, 0, 1])) },
    ({ changes }) =>
      Effect.sync(() => {
        const better = changes.filter((_) => _ === 1).length
        const worse = changes.filter((_) => _ === -1).length
        near(Statistics.signFlip(changes).twoSided, Statistics.mcNemar(better, worse), 10)
      })
  )

  it("fisher has the values of the lady tasting tea and of scipy's examples", () => {
    const tea = Statistics.fisher(3, 4, 1, 4)
    near(tea.greater, 17 / 70, 12)
    near(tea.twoSided, 34 / 70, 12)
    near(Statistics.fisher(4, 4, 0, 4).greater, 1 / 70, 12)
    near(Statistics.fisher(1, 10, 11, 14).twoSided, 0.0027594561852200836, 14)
    near(Statistics.fisher(7, 10, 12, 30).less, 0.9788777046841562, 12)
  })

  it("holm adjusts by hand, in the given order", () => {
    assert.deepStrictEqual(
      Statistics.holm([0.01, 0.04, 0.03, 0.005]).map((_) => _.toFixed(3)),
      ["0.030", "0.060", "0.060", "0.020"]
    )
    assert.deepStrictEqual(Statistics.holm([0.6, 0.9]), [1, 1])
  })

  it("cohenH is that of Cohen 1988, and casesNeeded finds the difference as often as it says", () => {
    near(Statistics.cohenH(0.65, 0.5), 0.3047, 4)
    assert.strictEqual(Statistics.casesNeeded(0.1, 0.1), Infinity)
    const n = Statistics.casesNeeded(0.05, 0.2)
    const next = Seeded.make(11)
    let found = 0
    for (let experiment = 0; experiment < 500; experiment++) {
      let [better, worse] = [0, 0]
      for (let index = 0; index < n; index++) {
        const u = next()
        if (u < 0.05) better++
        else if (u < 0.25) worse++
      }
      if (Statistics.mcNemar(better, worse) <= 0.05) found++
    }
    assert.isTrue(found / 500 > 0.7 && found / 500 < 0.88, `${n} cases, found ${found} of 500`)
  })

  it("fleissKappa is that of Fleiss 1971", () => {
    const diagnoses = [
      [0, 0, 0, 0, 14],
      [0, 2, 6, 4, 2],
      [0, 0, 3, 5, 6],
      [0, 3, 9, 2, 0],
      [2, 2, 8, 1, 1],
      [7, 7, 0, 0, 0],
      [3, 2, 6, 3, 0],
      [2, 5, 3, 2, 2],
      [6, 5, 2, 1, 0],
      [0, 2, 2, 3, 7]
    ]
    near(Statistics.fleissKappa(diagnoses), 0.21, 3)
    assert.strictEqual(Statistics.fleissKappa([[2, 0], [0, 2]]), 1)
  })
})

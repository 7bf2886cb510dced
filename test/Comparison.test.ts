import { assert, describe, it } from "@effect/vitest"
import { Comparison, Report } from "../src/evals/index.ts"
import * as Seeded from "../src/evals/internal/seeded.ts"
import { reportOf } from "./fixtures/reports.ts"

/** A report of cases that pass with a probability. */
const drawn = (next: () => number, rates: ReadonlyArray<number>, trials: number) =>
  reportOf("drawn", rates.map((rate) => Array.from({ length: trials }, () => next() < rate)))

/** Cases of different difficulty, as real ones are. */
const difficulty = Array.from({ length: 50 }, (_, index) => [0.98, 0.9, 0.75, 0.5, 0.95][index % 5])

describe("Comparison", () => {
  it("pairs cases by their ids, whatever the order, and names the others", () => {
    const before = reportOf("a", [[true], [true], [false], [true]])
    const now = reportOf("b", [[true], [false], [true]])
    const report: Report.Report = {
      ...now,
      cases: [{ ...now.cases[0], id: "new" }, now.cases[2], now.cases[1], { ...before.cases[0], id: "case-0" }]
    }
    const { cases, interval, scorers, ...rest } = Comparison.make(report, before)
    assert.deepStrictEqual(
      cases.map(({ difference, id, p }) => ({ id, difference, p })),
      [{ id: "case-2", difference: 1, p: 1 }, { id: "case-1", difference: -1, p: 1 }, {
        id: "case-0",
        difference: 0,
        p: 1
      }]
    )
    assert.deepStrictEqual(rest, {
      experiment: "b",
      experimentBefore: "a",
      added: ["new"],
      removed: ["case-3"],
      rate: 2 / 3,
      rateBefore: 2 / 3,
      difference: 0,
      p: 1,
      better: 1,
      worse: 1,
      effectSize: 0,
      casesNeeded: Infinity
    })
    assert.deepStrictEqual(interval, { lower: -1, upper: 1 })
    assert.deepStrictEqual(scorers, [{ name: "exact", now: 2 / 3, before: 2 / 3, difference: 0, p: 1 }])
  })

  it("compares different numbers of trials exactly", () => {
    const before = reportOf("a", [[true, true, true], [true, false, false], [true, true, true]])
    const now = reportOf("b", [[false, false], [false, false], [true, false]])
    const { difference, p } = Comparison.make(now, before)
    assert.strictEqual(difference.toFixed(4), ((0 - 1 + 0 - 1 / 3 + 0.5 - 1) / 3).toFixed(4))
    // all three differences have one sign: 2 of 8 changes of signs are so extreme
    assert.strictEqual(p, 2 / 8)
  })

  it("finds a planted regression, of the whole and of one case", () => {
    const misses = Array.from({ length: 30 }, (_, seed) => {
      const next = Seeded.make(seed + 1)
      const baseline = drawn(next, difficulty, 5)
      const worse = drawn(next, difficulty.map((rate) => rate - 0.2), 5)
      return Comparison.regressions(worse, baseline).some(({ kind }) => kind === "experiment") ? 0 : 1
    })
    assert.deepStrictEqual(misses.reduce<number>((a, b) => a + b, 0), 0)

    const next = Seeded.make(99)
    const baseline = drawn(next, difficulty.map(() => 0.98), 12)
    const broken = drawn(next, difficulty.map((_, index) => index === 17 ? 0 : 0.98), 12)
    assert.deepStrictEqual(
      Comparison.regressions(broken, baseline).map(({ case: id, kind }) => [kind, id]),
      [["case", "case-17"]]
    )
  })

  it("does not find noise more often than it may", () => {
    const alarms = Array.from({ length: 200 }, (_, seed) => {
      const next = Seeded.make(1000 + seed)
      const [baseline, again] = [drawn(next, difficulty, 4), drawn(next, difficulty, 4)]
      return Comparison.regressions(again, baseline).length > 0 ? 1 : 0
    }).reduce<number>((a, b) => a + b, 0)
    // 5 % of 200 is 10
    assert.isAtMost(alarms, 16)
  })

  it("with the rule for tasks that always do the same, every case that is worse is one", () => {
    const baseline = reportOf("a", [[true], [true], [false], [true]])
    const report = { ...reportOf("a", [[true], [false], [true]]) }
    assert.deepStrictEqual(Comparison.regressions(report, baseline, { rule: "every-case" }), [
      { kind: "case", case: "case-1", description: "the case `case-1` passes 0 of 1 trials, before 1 of 1" },
      { kind: "removed", case: "case-3", description: "the case `case-3` of the baseline was not tried" }
    ])
    assert.deepStrictEqual(Comparison.regressions(baseline, baseline, { rule: "every-case" }), [])
    assert.deepStrictEqual(Comparison.regressions(baseline, baseline), [])
  })

  it("a case without a trial was not tried", () => {
    const before = reportOf("a", [[true], [false], []])
    const now = reportOf("b", [[], [false], [true]])
    const { added, cases, removed } = Comparison.make(now, before)
    assert.deepStrictEqual([cases.map(({ id }) => id), added, removed], [["case-1"], ["case-2"], ["case-0"]])
    for (const rule of ["significant", "every-case"] as const) {
      assert.deepStrictEqual(Comparison.regressions(now, before, { rule }), [{
        kind: "removed",
        case: "case-0",
        description: "the case `case-0` of the baseline was not tried"
      }])
    }
  })

  it("has an interval also where all cases differ by the same", () => {
    const all = reportOf("a", Array.from({ length: 20 }, () => [true]))
    const none = reportOf("b", Array.from({ length: 20 }, () => [false]))
    const show = ({ interval: { lower, upper } }: Comparison.Comparison) => [lower, upper].map((_) => _.toFixed(3))
    // 0 of 20: the upper bound is 0.161
    assert.deepStrictEqual(show(Comparison.make(all, all)), ["-0.161", "0.161"])
    assert.deepStrictEqual(show(Comparison.make(none, all)), ["-1.000", "-0.678"])
  })

  it("has nothing to say about reports without cases", () => {
    const empty = reportOf("empty", [])
    assert.deepStrictEqual(Comparison.regressions(empty, empty), [])
    assert.deepStrictEqual(Comparison.make(empty, empty).p, 1)
    assert.deepStrictEqual(Report.interval(empty), { lower: 0, upper: 1 })
  })
})

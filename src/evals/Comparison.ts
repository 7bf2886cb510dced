/**
 * Comparisons of two reports: what has become better or worse, and whether chance explains it.
 *
 * Two reports of the same cases are compared case by case. The test is exact and paired: each case counts once, however
 * many trials it has. `regressions` is for a pipeline: it says what is worse than a baseline.
 *
 * **Example** (A change for the worse)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Comparison, Eval, Scorer } from "effect-agents/evals"
 *
 * const experiment = (name: string, task: (n: number) => number) =>
 *   Eval.make(name, {
 *     cases: Array.from({ length: 8 }, (_, n) => ({ id: `case ${n}`, input: n, expected: 2 * n })),
 *     task: (n: number) => Effect.succeed(task(n)),
 *     scorers: [Scorer.exact()]
 *   })
 *
 * const program = Effect.gen(function*() {
 *   const baseline = yield* Eval.run(experiment("double", (n) => 2 * n))
 *   const report = yield* Eval.run(experiment("square", (n) => n * n))
 *   const { difference, p } = Comparison.make(report, baseline)
 *   yield* Console.log(`${100 * difference} % points, p = ${p.toFixed(3)}`)
 *   for (const { description } of Comparison.regressions(report, baseline)) yield* Console.log(description)
 * })
 *
 * Effect.runPromise(program)
 * // => -75 % points, p = 0.031
 * // => the pass rate fell from 100 % to 25 % (p = 0.016)
 * ```
 *
 * @since 0.1.0
 */

import { percent, pText } from "./internal/format.ts"
import type * as Report from "./Report.ts"
import * as Statistics from "./Statistics.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * The passed trials of a case.
 *
 * @category models
 * @since 0.1.0
 */
export interface Passed {
  readonly passed: number
  readonly trials: number
}

/**
 * A case that both reports have. `p` says how probable so great a difference is by chance: Fisher's exact test, two-sided
 * and adjusted for the number of cases (Holm). With one trial in each report it is always 1.
 *
 * @category models
 * @since 0.1.0
 */
export interface CaseComparison {
  readonly id: string
  readonly now: Passed
  readonly before: Passed
  readonly difference: number
  readonly p: number
}

/**
 * A scorer that both reports have. The means are those of the cases that both reports have scores of. `p` is that of a
 * paired sign-flip test over the cases.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScorerComparison {
  readonly name: string
  readonly now: number
  readonly before: number
  readonly difference: number
  readonly p: number
}

/**
 * A comparison of a report with a report before it.
 *
 * - `cases`: those that both have tried. `added` and `removed` are the ids of those that one of them has not.
 * - `rate`, `rateBefore`: the means of the pass rates of these cases; `difference` is the difference of the two.
 * - `interval`: where the difference lies with a confidence of 95 %: a bootstrap over the cases. If all cases differ by
 *   the same, it is Wilson's bound on the part of the cases that differ by something else.
 * - `p`: the probability of so great a difference by chance: an exact sign-flip test over the cases, two-sided. With
 *   one trial for each case it is the exact McNemar test.
 * - `better`, `worse`: the number of cases with a higher and a lower pass rate.
 * - `effectSize`: Cohen's h of the two rates.
 * - `casesNeeded`: how many cases would be needed to find a difference like this one with a probability of 80 %.
 *   `Infinity` if there is no difference.
 *
 * @category models
 * @since 0.1.0
 */
export interface Comparison {
  readonly experiment: string
  readonly experimentBefore: string
  readonly cases: ReadonlyArray<CaseComparison>
  readonly added: ReadonlyArray<string>
  readonly removed: ReadonlyArray<string>
  readonly rate: number
  readonly rateBefore: number
  readonly difference: number
  readonly interval: Statistics.Interval
  readonly p: number
  readonly better: number
  readonly worse: number
  readonly effectSize: number
  readonly casesNeeded: number
  readonly scorers: ReadonlyArray<ScorerComparison>
}

/**
 * Something that is worse than in a baseline, with a sentence that says so. `p` is missing if no test was made.
 *
 * @category models
 * @since 0.1.0
 */
export interface Regression {
  readonly kind: "experiment" | "case" | "removed"
  /** The case. Default: none, because the whole experiment is worse. */
  readonly case?: string | undefined
  /** The probability of such a regression by chance. Default: none, because no test was made. */
  readonly p?: number | undefined
  readonly description: string
}

/**
 * Which changes are regressions.
 *
 * @category models
 * @since 0.1.0
 */
export interface RegressionOptions {
  /**
   * `"significant"`: what chance does not explain. `"every-case"`: every case with a lower pass rate, for tasks that
   * always do the same, such as those on a cassette. Default: `"significant"`.
   */
  readonly rule?: "significant" | "every-case" | undefined
  /** The probability that something is called a regression by chance. Default: 0.05. */
  readonly significance?: number | undefined
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * Compares a report with one before it. Cases belong together by their ids.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  report: Report.Report,
  before: Report.Report,
  options?: Statistics.Sampling
): Comparison => {
  const { added, pairs, removed } = pairsOf(report, before)
  const adjusted = Statistics.holm(
    pairs.map(({ before, now }) => Statistics.fisher(now.passed, now.trials, before.passed, before.trials).twoSided)
  )
  const differences = pairs.map(({ before, now }) => rateOf(now) - rateOf(before))
  const rate = meanOf(pairs.map(({ now }) => rateOf(now)))
  const rateBefore = meanOf(pairs.map(({ before }) => rateOf(before)))
  const better = differences.filter((_) => _ > 0).length
  const worse = differences.filter((_) => _ < 0).length
  return {
    experiment: report.experiment,
    experimentBefore: before.experiment,
    cases: pairs.map(({ before, id, now }, index) => ({
      id,
      now,
      before,
      difference: differences[index],
      p: adjusted[index]
    })),
    added,
    removed,
    rate,
    rateBefore,
    difference: rate - rateBefore,
    interval: intervalOf(differences, options),
    p: flip(pairs).twoSided,
    better,
    worse,
    effectSize: Statistics.cohenH(rate, rateBefore),
    casesNeeded: pairs.length === 0
      ? Infinity
      : Statistics.casesNeeded(better / pairs.length, worse / pairs.length),
    scorers: scorersOf(report, before, options)
  }
}

/** Samples of equal differences are all equal, so then the bound is on the part of the cases that may differ. */
const intervalOf = (
  differences: ReadonlyArray<number>,
  options: Statistics.Sampling | undefined
): Statistics.Interval => {
  const [first = 0] = differences
  if (differences.some((_) => _ !== first)) return Statistics.bootstrap(differences, Statistics.mean, options)
  const { upper } = Statistics.wilson(0, differences.length)
  return { lower: first - upper * (1 + first), upper: first + upper * (1 - first) }
}

interface Pair {
  readonly id: string
  readonly now: Passed
  readonly before: Passed
}

const pairsOf = (report: Report.Report, before: Report.Report) => {
  const earlier = new Map(before.cases.map((_) => [_.id, _]))
  const pairs: Array<Pair> = []
  const added: Array<string> = []
  const removed: Array<string> = []
  for (const one of report.cases) {
    const same = earlier.get(one.id)
    earlier.delete(one.id)
    // a case without a trial was not tried
    const [isTried, wasTried] = [one.trials.length > 0, same !== undefined && same.trials.length > 0]
    if (same === undefined || (isTried && !wasTried)) added.push(one.id)
    else if (isTried) pairs.push({ id: one.id, now: passedOf(one), before: passedOf(same) })
    else if (wasTried) removed.push(one.id)
  }
  return { pairs, added, removed: [...removed, ...earlier.keys()] }
}

const passedOf = ({ trials }: Report.Case): Passed => ({
  passed: trials.filter((_) => _.passed).length,
  trials: trials.length
})

const rateOf = ({ passed, trials }: Passed): number => passed / trials

const meanOf = (values: ReadonlyArray<number>): number => values.length === 0 ? 0 : Statistics.mean(values)

/** The differences in a common unit are integers, so that the test is exact. */
const flip = (pairs: ReadonlyArray<Pair>): Statistics.PValues => {
  const unit = pairs.reduce((common, { before, now }) => lcm(common, lcm(now.trials, before.trials)), 1)
  return Statistics.signFlip(
    pairs.map(({ before, now }) => now.passed * (unit / now.trials) - before.passed * (unit / before.trials))
  )
}

const lcm = (a: number, b: number): number => a / gcd(a, b) * b

const gcd = (a: number, b: number): number => b === 0 ? a : gcd(b, a % b)

const scorersOf = (
  report: Report.Report,
  before: Report.Report,
  options: Statistics.Sampling | undefined
): ReadonlyArray<ScorerComparison> => {
  const [now, then] = [report, before].map(meansByScorer)
  return Array.from(now).flatMap(([name, means]) => {
    const earlier = then.get(name)
    const ids = Array.from(means.keys()).filter((id) => earlier?.has(id) === true)
    if (earlier === undefined || ids.length === 0) return []
    const differences = ids.map((id) => means.get(id)! - earlier.get(id)!)
    return [{
      name,
      now: Statistics.mean(ids.map((id) => means.get(id)!)),
      before: Statistics.mean(ids.map((id) => earlier.get(id)!)),
      difference: Statistics.mean(differences),
      p: Statistics.signFlip(differences, options).twoSided
    }]
  })
}

/** For each scorer, the mean of its scores of each case. */
const meansByScorer = (report: Report.Report): Map<string, Map<string, number>> => {
  const means = new Map<string, Map<string, number>>()
  for (const { id, trials } of report.cases) {
    for (const name of new Set(trials.flatMap(({ scores }) => scores.map((_) => _.name)))) {
      const values = trials.flatMap(({ scores }) => scores.filter((_) => _.name === name).map((_) => _.value))
      means.set(name, (means.get(name) ?? new Map()).set(id, Statistics.mean(values)))
    }
  }
  return means
}

// =============================================================================
// Regressions
// =============================================================================

/**
 * Returns what is worse in a report than in its baseline; nothing if the report is good. A case of the baseline that the
 * report does not have, or has no trial of, is a regression, too.
 *
 * **Details**
 *
 * With the rule `"significant"` half of the significance is for the pass rate of the whole experiment (one-sided exact
 * sign-flip test), and half for single cases (one-sided Fisher's exact test, adjusted by Holm). A single case needs
 * several trials to be found: from all of 6 trials to none of 6 in an experiment of ten cases, for example.
 *
 * @category regressions
 * @since 0.1.0
 */
export const regressions = (
  report: Report.Report,
  baseline: Report.Report,
  options?: RegressionOptions
): ReadonlyArray<Regression> => {
  const { rule = "significant", significance = 0.05 } = options ?? {}
  const { pairs, removed } = pairsOf(report, baseline)
  const lost = removed.map((id): Regression => ({
    kind: "removed",
    case: id,
    description: `the case \`${id}\` of the baseline was not tried`
  }))
  if (rule === "every-case") {
    const worse = pairs.filter(({ before, now }) => rateOf(now) < rateOf(before))
    return [...worse.map((pair) => caseRegression(pair, undefined)), ...lost]
  }
  const limit = significance / 2
  const overall = flip(pairs).less
  const adjusted = Statistics.holm(
    pairs.map(({ before, now }) => Statistics.fisher(now.passed, now.trials, before.passed, before.trials).less)
  )
  const [rate, rateBefore] = [
    meanOf(pairs.map(({ now }) => rateOf(now))),
    meanOf(pairs.map(({ before }) => rateOf(before)))
  ]
  return [
    ...(overall > limit ? [] : [{
      kind: "experiment" as const,
      p: overall,
      description: `the pass rate fell from ${percent(rateBefore)} to ${percent(rate)} (${pText(overall)})`
    }]),
    ...pairs.flatMap((pair, index) => adjusted[index] > limit ? [] : [caseRegression(pair, adjusted[index])]),
    ...lost
  ]
}

const caseRegression = ({ before, id, now }: Pair, p: number | undefined): Regression => ({
  kind: "case",
  case: id,
  ...(p !== undefined && { p }),
  description: `the case \`${id}\` passes ${now.passed} of ${now.trials} trials, before ${before.passed} of ` +
    `${before.trials}${p === undefined ? "" : ` (${pText(p)})`}`
})

/**
 * Statistics of trials: estimates, intervals and exact tests.
 *
 * All functions are pure. Those that draw samples take a seed, so a report says the same each time it is read.
 *
 * **Example** (Three of ten, and ten of ten)
 *
 * ```ts
 * import { Statistics } from "effect-agents/evals"
 *
 * const show = ({ lower, upper }: Statistics.Interval) => `${lower.toFixed(3)} to ${upper.toFixed(3)}`
 *
 * console.log(show(Statistics.wilson(3, 10))) // => 0.108 to 0.603
 * console.log(show(Statistics.wilson(10, 10))) // => 0.722 to 1.000
 * console.log(Statistics.passAtK(10, 3, 2).toFixed(3)) // => 0.533
 * console.log(Statistics.passHatK(10, 3, 2).toFixed(3)) // => 0.067
 * ```
 *
 * @since 0.1.0
 */

import * as Seeded from "./internal/seeded.ts"
import { binomialTail, hypergeometric } from "./internal/distributions.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * A confidence interval.
 *
 * @category models
 * @since 0.1.0
 */
export interface Interval {
  readonly lower: number
  readonly upper: number
}

/**
 * How samples are drawn.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sampling {
  /** The seed of the generator. Default: 1. */
  readonly seed?: number | undefined
  /** The number of samples. Default: 10,000. */
  readonly samples?: number | undefined
}

// =============================================================================
// Estimates
// =============================================================================

/**
 * Returns the unbiased estimate that at least one of `k` trials passes, after `passed` of `n` trials have passed:
 * `1 - C(n - passed, k) / C(n, k)` (Chen et al. 2021, "Evaluating Large Language Models Trained on Code"). It is `NaN`
 * for a `k` above `n`, because that needs more trials.
 *
 * @category estimates
 * @since 0.1.0
 */
export const passAtK = (n: number, passed: number, k: number): number => {
  if (k > n) return NaN
  if (n - passed < k) return 1
  let none = 1
  for (let i = n - passed + 1; i <= n; i++) none *= 1 - k / i
  return 1 - none
}

/**
 * Returns the unbiased estimate that all of `k` trials pass, after `passed` of `n` trials have passed:
 * `C(passed, k) / C(n, k)` (Yao et al. 2024, "τ-bench", where it is called pass^k). It is `NaN` for a `k` above `n`.
 *
 * @category estimates
 * @since 0.1.0
 */
export const passHatK = (n: number, passed: number, k: number): number => {
  if (k > n) return NaN
  let all = 1
  for (let i = 0; i < k; i++) all *= Math.max(0, passed - i) / (n - i)
  return all
}

/**
 * Returns the mean; `NaN` of no values.
 *
 * @category estimates
 * @since 0.1.0
 */
export const mean = (values: ReadonlyArray<number>): number => values.reduce((a, b) => a + b, 0) / values.length

// =============================================================================
// Intervals
// =============================================================================

/**
 * Returns the quantile of the standard normal distribution, to 15 digits or more (Wichura 1988, algorithm AS 241).
 *
 * @category intervals
 * @since 0.1.0
 */
export const normalQuantile = (p: number): number => {
  const q = p - 0.5
  if (Math.abs(q) <= 0.425) {
    const r = 0.180625 - q * q
    return q * ratio(central, r)
  }
  const r = Math.sqrt(-Math.log(q < 0 ? p : 1 - p))
  const value = r <= 5 ? ratio(middle, r - 1.6) : ratio(far, r - 5)
  return q < 0 ? -value : value
}

const ratio = ([above, below]: readonly [ReadonlyArray<number>, ReadonlyArray<number>], r: number): number => {
  const at = (coefficients: ReadonlyArray<number>) => coefficients.reduceRight((sum, next) => sum * r + next, 0)
  return at(above) / at(below)
}

const central = [
  [
    3.3871328727963665,
    133.14166789178438,
    1971.5909503065513,
    13731.69376550946,
    45921.95393154987,
    67265.7709270087,
    33430.57558358813,
    2509.0809287301227
  ],
  [
    1,
    42.31333070160091,
    687.1870074920579,
    5394.196021424751,
    21213.794301586597,
    39307.89580009271,
    28729.085735721943,
    5226.495278852854
  ]
] as const

const middle = [
  [
    1.4234371107496835,
    4.630337846156546,
    5.769497221460691,
    3.6478483247632045,
    1.2704582524523684,
    0.2417807251774506,
    0.022723844989269184,
    0.0007745450142783414
  ],
  [
    1,
    2.053191626637759,
    1.6763848301838038,
    0.6897673349851,
    0.14810397642748008,
    0.015198666563616457,
    0.0005475938084995345,
    1.0507500716444169e-9
  ]
] as const

const far = [
  [
    6.657904643501103,
    5.463784911164114,
    1.7848265399172913,
    0.29656057182850487,
    0.026532189526576124,
    0.0012426609473880784,
    2.7115555687434876e-5,
    2.0103343992922881e-7
  ],
  [
    1,
    0.599832206555888,
    0.1369298809227358,
    0.014875361290850615,
    0.0007868691311456133,
    1.8463183175100548e-5,
    1.421511758316446e-7,
    2.0442631033899397e-15
  ]
] as const

/**
 * Returns the Wilson score interval of a rate, without continuity correction (Wilson 1927). It is between 0 and 1, and
 * is not empty when nothing or everything has passed. Of no trials it is 0 to 1.
 *
 * @category intervals
 * @since 0.1.0
 */
export const wilson = (passed: number, n: number, confidence = 0.95): Interval => {
  if (n === 0) return { lower: 0, upper: 1 }
  const z = normalQuantile(0.5 + confidence / 2)
  const p = passed / n
  const middle = p + z * z / (2 * n)
  const half = z * Math.sqrt((p * (1 - p) + z * z / (4 * n)) / n)
  const scale = 1 + z * z / n
  return {
    lower: passed === 0 ? 0 : (middle - half) / scale,
    upper: passed === n ? 1 : (middle + half) / scale
  }
}

/**
 * Returns the percentile bootstrap interval of a statistic of the values (Efron 1979). The values have to be
 * independent: give it one value for each case, not one for each trial. `statistic` must not keep its array: it is the
 * same one for all samples.
 *
 * @category intervals
 * @since 0.1.0
 */
export const bootstrap = (
  values: ReadonlyArray<number>,
  statistic: (sample: ReadonlyArray<number>) => number = mean,
  options: Sampling & {
    /** The confidence of the interval. Default: 0.95. */
    readonly confidence?: number | undefined
  } = {}
): Interval => {
  const { confidence = 0.95, samples = 10_000, seed = 1 } = options
  const next = Seeded.make(seed)
  // one array for all samples: thousands of cases would make gigabytes
  const sample = values.slice()
  const drawn = Array.from({ length: samples }, () => {
    for (let index = 0; index < sample.length; index++) sample[index] = values[Math.floor(next() * values.length)]
    return statistic(sample)
  }).sort((a, b) => a - b)
  const at = (p: number) => drawn[Math.min(samples - 1, Math.max(0, Math.floor(p * samples)))]
  return { lower: at((1 - confidence) / 2), upper: at((1 + confidence) / 2) }
}

// =============================================================================
// Tests
// =============================================================================

/**
 * Returns the two-sided p value of the exact McNemar test: that `better` cases changed in one way and `worse` in the
 * other, when each change goes either way with the same probability. It is the exact sign test, too.
 *
 * @category tests
 * @since 0.1.0
 */
export const mcNemar = (better: number, worse: number): number =>
  Math.min(1, 2 * binomialTail(better + worse, Math.min(better, worse)))

/**
 * The p values of a test: `less` and `greater` that the difference is so far below or above zero by chance, `twoSided`
 * that it is so far from it.
 *
 * @category models
 * @since 0.1.0
 */
export interface PValues {
  readonly less: number
  readonly greater: number
  readonly twoSided: number
}

/**
 * Tests whether paired differences have the mean zero, by changing their signs (Fisher 1935). The test is exact if not
 * more than 16 of them differ from zero, or if the differences are integers and the number of those that differ from zero
 * times the sum of their sizes is at most 200,000,000; otherwise it draws samples. Scale rates to integers: the test does
 * not depend on the unit. For differences of 1, 0 and -1 it is the exact McNemar test, up to 14,000 of them.
 *
 * @category tests
 * @since 0.1.0
 */
export const signFlip = (differences: ReadonlyArray<number>, options: Sampling = {}): PValues => {
  const nonzero = differences.filter((difference) => difference !== 0)
  const observed = nonzero.reduce((a, b) => a + b, 0)
  const size = nonzero.reduce((a, b) => a + Math.abs(b), 0)
  if (nonzero.length === 0) return { less: 1, greater: 1, twoSided: 1 }
  if (nonzero.every(Number.isInteger) && size * nonzero.length <= maximumFlips) {
    return exactFlips(nonzero, observed, size)
  }
  // sums of the same numbers in another order may differ in the last digit
  const near = size * 1e-12
  const { samples = 10_000, seed = 1 } = options
  const isExact = nonzero.length <= 16
  const next = Seeded.make(seed)
  const total = isExact ? 2 ** nonzero.length : samples
  let less = 0
  let greater = 0
  let twoSided = 0
  for (let draw = 0; draw < total; draw++) {
    let sum = 0
    for (let index = 0; index < nonzero.length; index++) {
      sum += (isExact ? (draw >> index) % 2 === 0 : next() < 0.5) ? nonzero[index] : -nonzero[index]
    }
    if (sum <= observed + near) less++
    if (sum >= observed - near) greater++
    if (Math.abs(sum) >= Math.abs(observed) - near) twoSided++
  }
  // of samples, the observed one is one
  const p = (count: number) => isExact ? count / total : (count + 1) / (total + 1)
  return { less: p(less), greater: p(greater), twoSided: p(twoSided) }
}

/** About half a second of work. */
const maximumFlips = 200_000_000

/** The distribution of the sum, by convolution: `weights[size + sum]` is the probability of a sum. */
const exactFlips = (nonzero: ReadonlyArray<number>, observed: number, size: number): PValues => {
  let weights = new Float64Array(2 * size + 1)
  let following = new Float64Array(weights.length)
  weights[size] = 1
  let reach = 0
  for (const difference of nonzero) {
    const step = Math.abs(difference)
    following.fill(0, size - reach - step, size + reach + step + 1)
    for (let sum = -reach; sum <= reach; sum++) {
      const half = weights[size + sum] / 2
      if (half === 0) continue
      following[size + sum + step] += half
      following[size + sum - step] += half
    }
    reach += step
    const spare = weights
    weights = following
    following = spare
  }
  const probability = (holds: (sum: number) => boolean) => {
    let p = 0
    for (let sum = -size; sum <= size; sum++) {
      if (holds(sum)) p += weights[size + sum]
    }
    return Math.min(1, p)
  }
  return {
    less: probability((sum) => sum <= observed),
    greater: probability((sum) => sum >= observed),
    twoSided: probability((sum) => Math.abs(sum) >= Math.abs(observed))
  }
}

/**
 * Tests by Fisher's exact test whether two rates differ: `passed` of `n` trials, and `passedThen` of `nThen` before.
 * `less` is for a rate that is now lower. Two-sided, tables that are not more probable than this one count.
 *
 * @category tests
 * @since 0.1.0
 */
export const fisher = (passed: number, n: number, passedThen: number, nThen: number): PValues => {
  const total = passed + passedThen
  const of = (k: number) => hypergeometric(k, n, nThen, total)
  const here = of(passed)
  let less = 0
  let greater = 0
  let twoSided = 0
  for (let k = Math.max(0, total - nThen); k <= Math.min(n, total); k++) {
    const p = of(k)
    if (k <= passed) less += p
    if (k >= passed) greater += p
    if (p <= here * (1 + 1e-7)) twoSided += p
  }
  return { less: Math.min(1, less), greater: Math.min(1, greater), twoSided: Math.min(1, twoSided) }
}

/**
 * Returns the p values adjusted for their number, in the same order (Holm 1979). The probability that one of the tests
 * finds a difference where there is none is then at most the significance.
 *
 * @category tests
 * @since 0.1.0
 */
export const holm = (pValues: ReadonlyArray<number>): ReadonlyArray<number> => {
  const adjusted = pValues.slice()
  let greatest = 0
  pValues.map((p, index) => ({ p, index })).sort((a, b) => a.p - b.p).forEach(({ index, p }, rank) => {
    greatest = Math.max(greatest, Math.min(1, p * (pValues.length - rank)))
    adjusted[index] = greatest
  })
  return adjusted
}

// =============================================================================
// Effect sizes
// =============================================================================

/**
 * Returns Cohen's h, the effect size of a difference of two rates: about 0.2 is small, 0.5 medium, 0.8 large (Cohen
 * 1988). It is positive if the first rate is higher.
 *
 * @category effect sizes
 * @since 0.1.0
 */
export const cohenH = (rate: number, rateThen: number): number =>
  2 * Math.asin(Math.sqrt(rate)) - 2 * Math.asin(Math.sqrt(rateThen))

/**
 * Returns how many cases a paired comparison needs, so that the two-sided McNemar test finds a difference (Connor
 * 1987). `better` and `worse` are the parts of the cases that change in the one and the other way. It is `Infinity`
 * without a difference.
 *
 * @category effect sizes
 * @since 0.1.0
 */
export const casesNeeded = (
  better: number,
  worse: number,
  options?: {
    /** The probability of a false alarm. Default: 0.05. */
    readonly significance?: number | undefined
    /** The probability that the difference is found. Default: 0.8. */
    readonly power?: number | undefined
  }
): number => {
  const { power = 0.8, significance = 0.05 } = options ?? {}
  const changed = better + worse
  const difference = better - worse
  const spread = normalQuantile(1 - significance / 2) * Math.sqrt(changed) +
    normalQuantile(power) * Math.sqrt(Math.max(0, changed - difference ** 2))
  return difference === 0 ? Infinity : Math.ceil(spread ** 2 / difference ** 2)
}

// =============================================================================
// Agreement
// =============================================================================

/**
 * Returns Fleiss' kappa, the agreement of several judges beyond chance (Fleiss 1971): 1 if they always agree, 0 if they
 * agree as by chance. Each row is a subject, and holds the number of judges that chose each of the categories. All rows
 * have the same sum. It is `NaN` if all judges always chose one category, because then there is no chance to compare with.
 *
 * @category agreement
 * @since 0.1.0
 */
export const fleissKappa = (rows: ReadonlyArray<ReadonlyArray<number>>): number => {
  const judges = rows[0].reduce((a, b) => a + b, 0)
  const agreement = mean(rows.map((row) => (row.reduce((sum, n) => sum + n * n, 0) - judges) / (judges * (judges - 1))))
  const byChance = rows[0].reduce(
    (sum, _, category) => sum + (mean(rows.map((row) => row[category])) / judges) ** 2,
    0
  )
  return (agreement - byChance) / (1 - byChance)
}

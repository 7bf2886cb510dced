/**
 * Exact probabilities of counts.
 *
 * @since 0.1.0
 */

/** The logarithm of `n!`: summed for the first, Stirling's series for the others, which is exact to 16 digits there. */
const logFactorial = (n: number): number => {
  if (n < small.length) return small[n]
  const x = n + 1
  return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + 1 / (12 * x) - 1 / (360 * x ** 3) +
    1 / (1260 * x ** 5)
}

const small: ReadonlyArray<number> = Array.from({ length: 256 }).reduce<Array<number>>((sums, _, n) => {
  sums.push(n === 0 ? 0 : sums[n - 1] + Math.log(n))
  return sums
}, [])

const logChoose = (n: number, k: number): number => logFactorial(n) - logFactorial(k) - logFactorial(n - k)

/**
 * Returns the probability of at most `k` heads in `n` throws of a fair coin.
 *
 * @category distributions
 * @since 0.1.0
 */
export const binomialTail = (n: number, k: number): number => {
  let p = 0
  for (let i = 0; i <= k; i++) p += Math.exp(logChoose(n, i) - n * Math.LN2)
  return p
}

/**
 * Returns the probability that `k` of `total` passes are among `n` trials, and the others among `others`.
 *
 * @category distributions
 * @since 0.1.0
 */
export const hypergeometric = (k: number, n: number, others: number, total: number): number =>
  Math.exp(logChoose(n, k) + logChoose(others, total - k) - logChoose(n + others, total))

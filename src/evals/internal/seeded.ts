/**
 * Random numbers that are the same for the same seed.
 *
 * @since 0.1.0
 */

/**
 * Creates a generator of numbers from 0 to 1, without 1 (mulberry32). Effect's `Random` needs an effect for each number;
 * the samples of a report are drawn where it is read.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (seed: number): () => number => {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

/**
 * Datasets: the cases of an experiment.
 *
 * A dataset is an array of cases.
 *
 * **Example** (The cases of a split)
 *
 * ```ts
 * import { Dataset } from "effect-agents/evals"
 *
 * const cases = [
 *   { id: "norway", input: "Norway", expected: "Oslo", split: "test", tags: ["europe"] },
 *   { id: "kenya", input: "Kenya", expected: "Nairobi", split: "test" },
 *   { id: "peru", input: "Peru", expected: "Lima", split: "train" }
 * ]
 *
 * console.log(Dataset.select(cases, { split: "test" }).map(({ id }) => id).join(", "))
 * // => norway, kenya
 * ```
 *
 * @since 0.1.0
 */

// =============================================================================
// Models
// =============================================================================

/**
 * One question to a task. `id` is unique in its dataset, and stays the same from one report to the next. `expected` is
 * the reference that scorers compare with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Case<out I = unknown, out X = unknown> {
  readonly id: string
  readonly input: I
  /** The reference answer. Default: none; scorers that compare with it then give no score. */
  readonly expected?: X | undefined
  /** The tags, to select cases by. Default: none. */
  readonly tags?: ReadonlyArray<string> | undefined
  /** The part of the dataset, such as `"test"`. Default: none. */
  readonly split?: string | undefined
}

// =============================================================================
// Combinators
// =============================================================================

/**
 * Returns the cases that have one of the ids, one of the tags, and are of the split; of these three, what is not given
 * excludes no case.
 *
 * @category combinators
 * @since 0.1.0
 */
export const select = <C extends Case>(
  cases: ReadonlyArray<C>,
  options: {
    /** The wanted ids. Default: all. */
    readonly ids?: ReadonlyArray<string> | undefined
    /** The wanted tags. Default: all, and cases without tags. */
    readonly tags?: ReadonlyArray<string> | undefined
    /** The wanted part of the dataset. Default: all. */
    readonly split?: string | undefined
  }
): ReadonlyArray<C> =>
  cases.filter((one) =>
    (options.ids === undefined || options.ids.includes(one.id)) &&
    (options.tags === undefined || options.tags.some((tag) => one.tags?.includes(tag) === true)) &&
    (options.split === undefined || options.split === one.split)
  )

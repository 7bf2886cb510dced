/**
 * Evals: tasks are tried at the cases of a dataset, and scorers say how good they are.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as Dataset from "./Dataset.ts"

/**
 * @since 0.1.0
 */
export * as Eval from "./Eval.ts"

/**
 * @since 0.1.0
 */
export * as Report from "./Report.ts"

/**
 * @since 0.1.0
 */
export * as Scorer from "./Scorer.ts"

/**
 * @since 0.1.0
 */
export * as Trial from "./Trial.ts"

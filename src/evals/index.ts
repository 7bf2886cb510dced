/**
 * Evals: tasks are tried at the cases of a dataset, and scorers say how good they are.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as Comparison from "./Comparison.ts"

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
export * as EvalCommand from "./EvalCommand.ts"

/**
 * @since 0.1.0
 */
export * as EvalSuite from "./EvalSuite.ts"

/**
 * @since 0.1.0
 */
export * as Judge from "./Judge.ts"

/**
 * @since 0.1.0
 */
export * as Report from "./Report.ts"

/**
 * @since 0.1.0
 */
export * as ReportView from "./ReportView.ts"

/**
 * @since 0.1.0
 */
export * as Scorer from "./Scorer.ts"

/**
 * @since 0.1.0
 */
export * as Statistics from "./Statistics.ts"

/**
 * @since 0.1.0
 */
export * as Trajectory from "./Trajectory.ts"

/**
 * @since 0.1.0
 */
export * as Trial from "./Trial.ts"

/**
 * @since 0.1.0
 */
export * as TrialStore from "./TrialStore.ts"

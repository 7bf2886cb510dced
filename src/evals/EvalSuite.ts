/**
 * Experiments as tests: each case is a test of the test runner that the project has.
 *
 * `register` takes `describe`, `it` and `afterAll` of the runner, so it works with vitest, with `node:test`, and with
 * others that have these three. A case passes when all of its trials pass. With a baseline it passes when it is not worse
 * than there: what fails honestly stays in the baseline, and what begins to fail fails the suite.
 *
 * **Example** (A suite for vitest)
 *
 * ```ts no-run
 * import { Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Eval, EvalSuite, Scorer } from "effect-agents/evals"
 * import { ScriptedModel } from "effect-agents/testing"
 * import { afterAll, describe, it } from "vitest"
 *
 * const assistant = Agent.make("assistant")
 *
 * const capitals = Eval.make("capitals", {
 *   cases: [{ id: "norway", input: "What is the capital of Norway?", expected: "Oslo" }],
 *   task: (prompt: string) => Agent.run(assistant, { prompt }),
 *   scorers: [Scorer.includes()]
 * })
 *
 * EvalSuite.register({ describe, it, afterAll }, capitals, {
 *   layer: ScriptedModel.layer([ScriptedModel.text("Oslo")]),
 *   onReport: (report) => Effect.log(report.experiment)
 * })
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ManagedRuntime from "effect/ManagedRuntime"
import * as DateTime from "effect/DateTime"
import * as Schema from "effect/Schema"
import * as Comparison from "./Comparison.ts"
import type * as Dataset from "./Dataset.ts"
import * as Eval from "./Eval.ts"
import * as Text from "./internal/text.ts"
import * as Report from "./Report.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * The functions of a test runner that a suite needs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Runner {
  readonly describe: (name: string, body: () => void) => unknown
  readonly it: (name: string, test: () => Promise<void>) => unknown
  readonly afterAll: (finish: () => Promise<void>) => unknown
}

/**
 * The options of a suite.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R, E> extends Eval.TrialOptions, Comparison.RegressionOptions {
  /** The number of trials of each case. Default: 1. */
  readonly trials?: number | undefined
  /** The number of trials of a case that run at the same time. Default: 4. */
  readonly concurrency?: number | undefined
  /** What the task and the scorers need. It is built once for the suite. Default: nothing. */
  readonly layer?: Layer.Layer<R, E> | undefined
  /** The report that the cases are compared with. Default: none; every trial has to pass. */
  readonly baseline?: Report.Report | undefined
  /** Called with the report of the cases that were tried, when all tests are over. Default: does nothing. */
  readonly onReport?: ((report: Report.Report) => Effect.Effect<void, unknown, R>) | undefined
}

/**
 * A case does not pass, or is worse than in the baseline.
 *
 * @category errors
 * @since 0.1.0
 */
export class CaseNotPassed extends Schema.Error<CaseNotPassed>("effect-agents/evals/EvalSuite/CaseNotPassed")({
  _tag: Schema.tag("CaseNotPassed"),
  case: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `The case \`${this.case}\` does not pass: ${this.description}`
  }
}

// =============================================================================
// Registering
// =============================================================================

/**
 * Registers an experiment as a suite with a test for each case.
 *
 * **Details**
 *
 * The rule for a baseline is `"every-case"` unless `rule` says otherwise: a case fails if its pass rate is lower than in
 * the baseline. A case that the baseline does not have has to pass all of its trials. A case that is better than its
 * baseline passes; write a new baseline in `onReport`.
 *
 * @category registering
 * @since 0.1.0
 */
export const register = <I, X, A, E, R, E2 = never>(
  runner: Runner,
  experiment: Eval.Experiment<I, X, A, E, R>,
  ...[options]: [R] extends [never] ? [options?: Options<R, E2>]
    : [options: Options<R, E2> & { readonly layer: Layer.Layer<R, E2> }]
): void => {
  const given: Options<R, E2> = options ?? {}
  // without a layer nothing is needed, as the type of the arguments says
  const runtime = ManagedRuntime.make(given.layer ?? Layer.empty as unknown as Layer.Layer<R, E2>)
  const tried = new Map<string, Report.Case>()
  runner.describe(experiment.name, () => {
    for (const of of experiment.cases) {
      runner.it(of.id, () =>
        runtime.runPromise(Effect.flatMap(tryCase(experiment, of, given), (one) => {
          tried.set(of.id, one)
          return judged(experiment.name, one, given)
        })))
    }
    runner.afterAll(() => runtime.runPromise(finish(experiment, tried, given)).finally(() => runtime.dispose()))
  })
}

const tryCase = <I, X, A, E, R>(
  experiment: Eval.Experiment<I, X, A, E, R>,
  of: Dataset.Case<I, X>,
  options: Options<R, any>
): Effect.Effect<Report.Case, never, R> =>
  Effect.map(
    Effect.forEach(
      Array.from({ length: options.trials ?? 1 }),
      (_, index) => Eval.trial(experiment, of, index + 1, options),
      { concurrency: Math.max(1, options.concurrency ?? 4) || 1 }
    ),
    (trials) => Report.caseOf(of, trials)
  )

const judged = (
  experiment: string,
  one: Report.Case,
  { baseline, rule = "every-case", significance }: Options<any, any>
): Effect.Effect<void, CaseNotPassed> => {
  const before = baseline?.cases.find(({ id }) => id === one.id)
  const alone = (of: Report.Case) => Report.make({ experiment, started: "", milliseconds: 0, cases: [of] })
  const isTried = one.trials.length > 0
  const reasons = before === undefined || before.trials.length === 0
    ? isTried ? Text.reasonsOf(one) : ["it was not tried"]
    : Comparison.regressions(alone(one), alone(before), { rule, significance }).flatMap(({ description }) => [
      description,
      ...Text.reasonsOf(one)
    ])
  return reasons.length === 0
    ? Effect.void
    : Effect.fail(new CaseNotPassed({ case: one.id, description: reasons.join("; ") }))
}

const finish = <I, X, A, E, R>(
  experiment: Eval.Experiment<I, X, A, E, R>,
  tried: ReadonlyMap<string, Report.Case>,
  { onReport }: Options<R, any>
): Effect.Effect<void, unknown, R> =>
  onReport === undefined ? Effect.void : Effect.flatMap(DateTime.now, (now) =>
    onReport(Report.make({
      experiment: experiment.name,
      started: DateTime.formatIso(now),
      milliseconds: 0,
      // in the order of the experiment; a runner may have skipped some
      cases: experiment.cases.flatMap(({ id }) => tried.get(id) ?? [])
    })))

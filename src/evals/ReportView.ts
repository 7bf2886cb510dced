/**
 * Reports as people read them: a table in a terminal, Markdown for a pull request, a page with the trace of each trial.
 *
 * Names, answers and explanations are foreign texts: in each of these they stay text, whatever is in them.
 *
 * **Example** (A report in a terminal)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { TestClock } from "effect/testing"
 * import { Eval, ReportView, Scorer } from "effect-agents/evals"
 *
 * const experiment = Eval.make("capitals", {
 *   cases: [
 *     { id: "norway", input: "Norway", expected: "Oslo" },
 *     { id: "kenya", input: "Kenya", expected: "Nairobi" }
 *   ],
 *   task: () => Effect.succeed("It is Oslo."),
 *   scorers: [Scorer.includes()]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const report = yield* Eval.run(experiment)
 *   yield* Console.log(ReportView.toText(report))
 * })
 *
 * // the clock of a test stands still
 * Effect.runPromise(Effect.provide(program, TestClock.layer()))
 * // => capitals: 1 of 2 trials pass in 2 cases: 50 %, 95 % interval 9.5 to 90.5 %
 * // => case    passed  includes  time
 * // => norway     1/1         1  0 ms
 * // => kenya      0/1         0  0 ms
 * // => not passed:
 * // =>   kenya: includes 0 (missing: "Nairobi")
 * // => took 0 ms; the trials together 0 ms
 * ```
 *
 * @since 0.1.0
 */

import type * as Comparison from "./Comparison.ts"
import * as Html from "./internal/html.ts"
import * as Markdown from "./internal/markdown.ts"
import * as Text from "./internal/text.ts"
import type * as Report from "./Report.ts"

/**
 * What a view shows beside the report.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The comparison with another report. Default: none. */
  readonly comparison?: Comparison.Comparison | undefined
  /** What is worse than in the baseline. Default: nothing. */
  readonly regressions?: ReadonlyArray<Comparison.Regression> | undefined
}

/**
 * Returns a report as text with a table.
 *
 * @category views
 * @since 0.1.0
 */
export const toText = (report: Report.Report, options?: Options): string =>
  [
    Text.toText(report),
    ...(options?.comparison === undefined ? [] : ["", Text.comparisonText(options.comparison)]),
    ...(options?.regressions === undefined || options.regressions.length === 0
      ? []
      : ["", "worse than the baseline:", ...options.regressions.map(Text.regressionLine)])
  ].join("\n")

/**
 * Returns a report as Markdown with a table, for a comment on a pull request.
 *
 * @category views
 * @since 0.1.0
 */
export const toMarkdown = (report: Report.Report, options?: Options): string =>
  Markdown.toMarkdown(report, options?.comparison, options?.regressions ?? [])

/**
 * Returns a report as one HTML page. It has no script, and makes no request. Each case is a row that opens to its
 * trials, with the messages of their runs.
 *
 * @category views
 * @since 0.1.0
 */
export const toHtml = (report: Report.Report, options?: Options): string =>
  Html.toHtml(report, options?.comparison, options?.regressions ?? [])

/**
 * A report as Markdown, for a comment on a pull request.
 *
 * @since 0.1.0
 */

import type * as Comparison from "../Comparison.ts"
import type * as Report from "../Report.ts"
import { number } from "./format.ts"
import { code, oneLine } from "./plain.ts"
import * as Text from "./text.ts"

/**
 * Returns a report as Markdown. Everything that is not of this package is text in it.
 *
 * @category formatting
 * @since 0.1.0
 */
export const toMarkdown = (
  report: Report.Report,
  comparison: Comparison.Comparison | undefined,
  regressions: ReadonlyArray<Comparison.Regression>
): string => {
  const names = Text.scorerNames(report)
  const rows = report.cases.map((one) => [
    one.trials.every(({ passed }) => passed) ? "✅" : one.trials.some(({ passed }) => passed) ? "⚠️" : "❌",
    code(one.id, 60),
    Text.passedOf(one),
    ...Text.meansOf(one, names),
    Text.timeOf(one)
  ])
  const notPassed = report.cases.flatMap((one) => {
    const reasons = Text.reasonsOf(one)
    return reasons.length === 0 ? [] : [`- ${code(one.id, 60)}: ${reasons.map((_) => code(_, 200)).join(", ")}`]
  })
  return [
    `### Evals: ${code(report.experiment, 80)}`,
    "",
    `${Text.headline(report)}.`,
    ...(regressions.length === 0 ? [] : [
      "",
      "**Worse than the baseline:**",
      "",
      ...regressions.map(({ description }) => `- ${code(description, 300)}`)
    ]),
    ...(comparison === undefined ? [] : [
      "",
      `Compared with ${code(comparison.experimentBefore, 80)}:`,
      "",
      ...Text.comparisonLines(comparison).map((line) => `- ${code(line, 400)}`),
      "",
      ...table([
        ["scorer", "before", "now", "p"],
        ...comparison.scorers.map(({ before, name, now, p }) => [
          code(name, 40),
          number(before),
          number(now),
          p.toFixed(3)
        ])
      ])
    ]),
    "",
    "<details><summary>All cases</summary>",
    "",
    ...table([["", "case", "passed", ...names.map((name) => code(name, 40)), "time"], ...rows]),
    ...(notPassed.length === 0 ? [] : ["", ...notPassed]),
    "",
    "</details>",
    "",
    ...Text.notes(report).map((note) => `- ${code(oneLine(note, 400), 400)}`),
    ""
  ].join("\n")
}

const table = ([head, ...rows]: ReadonlyArray<ReadonlyArray<string>>): ReadonlyArray<string> => [
  row(head),
  row(head.map((_, index) => index < 2 ? "---" : "--:")),
  ...rows.map(row)
]

const row = (cells: ReadonlyArray<string>): string => `| ${cells.join(" | ")} |`

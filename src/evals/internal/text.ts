/**
 * A report as text for a terminal.
 *
 * @since 0.1.0
 */

import type * as Comparison from "../Comparison.ts"
import * as Report from "../Report.ts"
import { number, percent, percents, pText, time, tokens } from "./format.ts"
import { oneLine } from "./plain.ts"
import { table } from "./table.ts"

/**
 * The sentence that says how many trials pass.
 *
 * @category formatting
 * @since 0.1.0
 */
export const headline = (report: Report.Report): string => {
  const { cases, passRate, passed, trials } = Report.summary(report)
  return `${passed} of ${trials} trials pass in ${cases} ${cases === 1 ? "case" : "cases"}: ${percent(passRate)}, ` +
    `95 % interval ${percents(Report.interval(report))}`
}

/**
 * The lines below the table: repeated trials, what was used, how the trials ended.
 *
 * @category formatting
 * @since 0.1.0
 */
export const notes = (report: Report.Report): ReadonlyArray<string> => {
  const summary = Report.summary(report)
  const k = Report.trialsOfEach(report)
  const flaky = Report.flaky(report).map(({ id }) => oneLine(id, 40))
  const ended = Object.entries(summary.outcomes).filter(([outcome, count]) => outcome !== "completed" && count > 0)
  const { cost, scoring } = summary
  const judged = scoring.usage.inputTokens.total !== undefined
  return [
    ...(k > 1
      ? [
        `at least one of ${k} passes (pass@${k}): ${percent(Report.passAtK(report, k))}, ` +
        `all ${k} pass (pass^${k}): ${percent(Report.passHatK(report, k))}`
      ]
      : []),
    ...(flaky.length > 0 ? [`flaky: ${flaky.join(", ")}`] : []),
    ...(ended.length > 0
      ? [`not completed: ${ended.map(([outcome, count]) => `${count} ${outcome}`).join(", ")}`]
      : []),
    ...(summary.modelCalls > 0
      ? [
        `${summary.modelCalls} model calls, ${summary.toolCalls} tool calls, tokens ${tokens(summary.usage)}` +
        (cost === undefined ? "" : `, cost ${number(cost)}`)
      ]
      : []),
    ...(judged
      ? [
        `the scorers used ${tokens(scoring.usage)}${scoring.cost === undefined ? "" : `, cost ${number(scoring.cost)}`}`
      ]
      : []),
    `took ${time(report.milliseconds)}; the trials together ${time(summary.milliseconds)}`
  ]
}

/**
 * The names of the scorers of a report.
 *
 * @category accessors
 * @since 0.1.0
 */
export const scorerNames = (report: Report.Report): ReadonlyArray<string> =>
  Report.summary(report).scorers.map(({ name }) => name)

/**
 * The mean score of each scorer in a case, as texts; empty where there is none.
 *
 * @category formatting
 * @since 0.1.0
 */
export const meansOf = ({ trials }: Report.Case, names: ReadonlyArray<string>): ReadonlyArray<string> =>
  names.map((name) => {
    const values = trials.flatMap(({ scores }) => scores.filter((_) => _.name === name).map(({ value }) => value))
    return values.length === 0 ? "" : number(values.reduce((a, b) => a + b, 0) / values.length)
  })

/**
 * The passed trials of a case, as in `2/3`.
 *
 * @category formatting
 * @since 0.1.0
 */
export const passedOf = ({ trials }: Report.Case): string =>
  `${trials.filter(({ passed }) => passed).length}/${trials.length}`

/**
 * The mean time of the trials of a case.
 *
 * @category formatting
 * @since 0.1.0
 */
export const timeOf = ({ trials }: Report.Case): string =>
  trials.length === 0 ? "" : time(trials.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / trials.length)

/**
 * Why trials of a case do not pass: the failures, and what the scorers say, without repetitions.
 *
 * @category formatting
 * @since 0.1.0
 */
export const reasonsOf = ({ trials }: Report.Case): ReadonlyArray<string> =>
  Array.from(
    new Set(
      trials.filter(({ passed }) => !passed).flatMap(({ error, outcome, scores }) =>
        error !== undefined && outcome !== "completed" ? [`${outcome}: ${error}`] : scores
          .filter((score) => score.passed === false)
          .map(({ error, explanation, name, value }) => `${name} ${number(value)}${said(error ?? explanation)}`)
      )
    )
  )

const said = (text: string | undefined): string => text === undefined ? "" : ` (${text})`

/**
 * Returns a report as text.
 *
 * @category formatting
 * @since 0.1.0
 */
export const toText = (report: Report.Report): string => {
  const names = scorerNames(report)
  const rows = [
    ["case", "passed", ...names.map((_) => oneLine(_, 24)), "time"],
    ...report.cases.map((one) => [oneLine(one.id, 40), passedOf(one), ...meansOf(one, names), timeOf(one)])
  ]
  const reasons = report.cases.flatMap((one) => {
    const [first, ...others] = reasonsOf(one)
    if (first === undefined) return []
    const more = others.length === 0 ? "" : `, and ${others.length} more`
    return [`  ${oneLine(one.id, 40)}: ${oneLine(first, 160)}${more}`]
  })
  return [
    `${oneLine(report.experiment, 80)}: ${headline(report)}`,
    "",
    ...table(rows),
    ...(reasons.length === 0 ? [] : ["", "not passed:", ...reasons]),
    "",
    ...notes(report)
  ].join("\n")
}

/**
 * The sentences of a comparison.
 *
 * @category formatting
 * @since 0.1.0
 */
export const comparisonLines = (comparison: Comparison.Comparison): ReadonlyArray<string> => {
  const { added, better, cases, casesNeeded, difference, effectSize, interval, p, rate, rateBefore, removed, worse } =
    comparison
  const ids = (list: ReadonlyArray<string>) => list.map((id) => oneLine(id, 40)).join(", ")
  const changed = (sign: 1 | -1) => cases.filter((_) => sign * _.difference > 0).map(({ id }) => id)
  return [
    `pass rate ${percent(rateBefore)} -> ${percent(rate)}: ${signed(difference)} points, ` +
    `95 % interval ${signed(interval.lower)} to ${signed(interval.upper)}, ${pText(p)}, ` +
    `effect size ${effectSize.toFixed(2)}`,
    ...(better > 0 ? [`better: ${ids(changed(1))}`] : []),
    ...(worse > 0 ? [`worse: ${ids(changed(-1))}`] : []),
    ...(Number.isFinite(casesNeeded) && p > 0.05
      ? [`to find a difference like this needs about ${casesNeeded} cases; there are ${cases.length}`]
      : []),
    ...(added.length > 0 ? [`only now: ${ids(added)}`] : []),
    ...(removed.length > 0 ? [`only before: ${ids(removed)}`] : [])
  ]
}

/**
 * A difference of rates, in points of a hundred.
 *
 * @category formatting
 * @since 0.1.0
 */
export const signed = (difference: number): string =>
  `${difference > 0 ? "+" : ""}${number(Math.round(1000 * difference) / 10)}`

/**
 * Returns a comparison as text.
 *
 * @category formatting
 * @since 0.1.0
 */
export const comparisonText = (comparison: Comparison.Comparison): string => {
  const { experiment, experimentBefore, scorers } = comparison
  const rows = [
    ["scorer", "before", "now", "p"],
    ...scorers.map(({ before, name, now, p }) => [oneLine(name, 40), number(before), number(now), p.toFixed(3)])
  ]
  return [
    `${oneLine(experimentBefore, 80)} -> ${oneLine(experiment, 80)}`,
    ...comparisonLines(comparison),
    ...(scorers.length === 0 ? [] : ["", ...table(rows)])
  ].join("\n")
}

/**
 * A regression on one line.
 *
 * @category formatting
 * @since 0.1.0
 */
export const regressionLine = ({ description }: Comparison.Regression): string => `  ${oneLine(description, 300)}`

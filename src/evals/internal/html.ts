/**
 * A report as one HTML page that needs nothing else: no script, no request.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Inspectable from "effect/Inspectable"
import type * as Comparison from "../Comparison.ts"
import type * as Report from "../Report.ts"
import type * as Trial from "../Trial.ts"
import { number, time, tokens } from "./format.ts"
import { escape, oneLine } from "./plain.ts"
import * as Text from "./text.ts"

/**
 * Returns a report as a page. Everything that is not of this package is text in it.
 *
 * @category formatting
 * @since 0.1.0
 */
export const toHtml = (
  report: Report.Report,
  comparison: Comparison.Comparison | undefined,
  regressions: ReadonlyArray<Comparison.Regression>
): string => {
  const names = Text.scorerNames(report)
  const title = escape(oneLine(report.experiment, 120))
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>${title}</title>
<style>${style}</style>
</head>
<body>
<main>
<h1>${title}</h1>
<p class="headline">${escape(Text.headline(report))}</p>
${bar(report)}
<ul class="notes">${Text.notes(report).map((note) => `<li>${escape(note)}</li>`).join("")}</ul>
${regressionsOf(regressions)}${comparisonOf(comparison)}<h2>Cases</h2>
<div class="cases" role="table" style="--scorers: ${names.length}">
<div class="row head" role="row">${
    ["case", "passed", ...names, "time"].map((name) => `<span role="columnheader">${escape(oneLine(name, 40))}</span>`)
      .join("")
  }</div>
${report.cases.map((one) => caseOf(one, names)).join("\n")}
</div>
<footer>${escape(report.started)}</footer>
</main>
</body>
</html>
`
}

const bar = ({ cases }: Report.Report): string =>
  `<div class="bar" aria-hidden="true">${
    cases.map((one) => `<i class="${stateOf(one)}" title="${escape(oneLine(one.id, 80))}"></i>`).join("")
  }</div>`

const stateOf = ({ trials }: Report.Case): "passed" | "flaky" | "failed" =>
  trials.every(({ passed }) => passed) ? "passed" : trials.some(({ passed }) => passed) ? "flaky" : "failed"

const regressionsOf = (regressions: ReadonlyArray<Comparison.Regression>): string =>
  regressions.length === 0
    ? ""
    : `<section class="worse"><h2>Worse than the baseline</h2><ul>${
      regressions.map(({ description }) => `<li>${escape(description)}</li>`).join("")
    }</ul></section>\n`

const comparisonOf = (comparison: Comparison.Comparison | undefined): string =>
  comparison === undefined
    ? ""
    : `<section><h2>Compared with ${escape(oneLine(comparison.experimentBefore, 80))}</h2><ul>${
      Text.comparisonLines(comparison).map((line) => `<li>${escape(line)}</li>`).join("")
    }</ul>${scorersOf(comparison)}</section>\n`

const scorersOf = ({ scorers }: Comparison.Comparison): string =>
  scorers.length === 0
    ? ""
    : `<table><thead><tr><th>scorer</th><th>before</th><th>now</th><th>p</th></tr></thead><tbody>${
      scorers.map(({ before, name, now, p }) =>
        `<tr><td>${escape(name)}</td><td>${number(before)}</td><td>${number(now)}</td><td>${p.toFixed(3)}</td></tr>`
      ).join("")
    }</tbody></table>`

const caseOf = (one: Report.Case, names: ReadonlyArray<string>): string => {
  const state = stateOf(one)
  const cells = [Text.passedOf(one), ...Text.meansOf(one, names), Text.timeOf(one)]
  return `<details class="${state}" role="rowgroup"><summary class="row" role="row"><span role="cell">` +
    `<b class="mark">${marks[state]}</b>${escape(oneLine(one.id, 80))}${
      one.tags.map((tag) => `<small>${escape(oneLine(tag, 30))}</small>`).join("")
    }</span>${cells.map((cell) => `<span role="cell">${escape(cell)}</span>`).join("")}</summary><div class="case">${
      field("input", one.input)
    }${one.expected === undefined ? "" : field("expected", one.expected)}${
      one.trials.map(trialOf).join("")
    }</div></details>`
}

const marks = { passed: "pass", flaky: "flaky", failed: "fail" } as const

const field = (name: string, text: string): string =>
  `<div class="field"><h4>${escape(name)}</h4><pre>${escape(text)}</pre></div>`

const trialOf = (trial: Trial.Record): string => {
  const { cost, error, milliseconds, modelCalls, number: of, outcome, output, passed, scores, trace, usage } = trial
  const facts = [
    outcome,
    time(milliseconds),
    ...(modelCalls === 0 ? [] : [`${modelCalls} model calls`, tokens(usage)]),
    ...(cost === undefined ? [] : [`cost ${number(cost)}`])
  ]
  return `<article class="${passed ? "passed" : "failed"}"><h3><b class="mark">${
    passed ? "pass" : "fail"
  }</b>trial ${of} <small>${escape(facts.join(", "))}</small></h3>${error === undefined ? "" : field("error", error)}${
    output === "" ? "" : field("output", output)
  }${scores.length === 0 ? "" : `<ul class="scores">${scores.map(scoreOf).join("")}</ul>`}${
    trace.map(traceOf).join("")
  }</article>`
}

const scoreOf = ({ error, explanation, label, name, passed, value }: Trial.Score): string =>
  `<li class="${passed === undefined ? "" : passed ? "passed" : "failed"}"><b>${escape(name)}</b> ${number(value)}${
    label === undefined ? "" : ` ${escape(label)}`
  }${[error, explanation].map((text) => text === undefined ? "" : `<p>${escape(text)}</p>`).join("")}</li>`

const traceOf = ({ agent, nested, outcome, transcript }: Trial.Trace): string =>
  `<details class="trace"><summary>${escape(agent)}${nested ? ", called by an agent" : ""}: ${
    escape(outcome)
  }, ${transcript.content.length} messages</summary><ol>${
    transcript.content.map((message) =>
      `<li class="${message.role}"><h5>${message.role}</h5>${partsOf(message).map(partOf).join("")}</li>`
    ).join("")
  }</ol></details>`

const partsOf = (message: Prompt.Message): ReadonlyArray<string | Prompt.Part> =>
  typeof message.content === "string" ? [message.content] : message.content

const partOf = (part: string | Prompt.Part): string => {
  if (typeof part === "string") return block("", part)
  switch (part.type) {
    case "text":
      return block("", part.text)
    case "reasoning":
      return block("thinks", part.text)
    case "tool-call":
      return block(`calls ${part.name}`, json(part.params))
    case "tool-result":
      return block(`${part.isFailure ? "failure" : "result"} of ${part.name}`, json(part.result))
    case "file":
      return block("file", `${part.fileName ?? ""} ${part.mediaType}`.trim())
    case "tool-approval-request":
      return block("asks for an approval", part.toolCallId)
    case "tool-approval-response":
      return block(part.approved ? "approved" : "denied", part.reason ?? "")
  }
}

const block = (title: string, text: string): string =>
  `<div class="part">${title === "" ? "" : `<h6>${escape(title)}</h6>`}<pre>${escape(text)}</pre></div>`

const json = (value: unknown): string => Inspectable.toStringUnknown(value, 2)

const style = `
:root { color-scheme: light dark; --good: #1a7f37; --bad: #c62828; --between: #9a6700; --line: #8884; --soft: #8881; }
@media (prefers-color-scheme: dark) { :root { --good: #4ac26b; --bad: #ff7b72; --between: #e3b341; } }
* { box-sizing: border-box; }
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 70rem; margin: 0 auto; padding: 1.5rem 1rem 4rem; }
h1 { font-size: 1.5rem; margin: 0; }
h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; }
h4, h5, h6 { font-size: .75rem; font-weight: 600; opacity: .7; margin: .5rem 0 .2rem; }
small { font-weight: 400; opacity: .75; margin-left: .5rem; }
.headline { font-size: 1.1rem; margin: .25rem 0 .75rem; }
.bar { display: flex; gap: 2px; height: .75rem; }
.bar i { flex: 1; border-radius: 2px; }
.bar .passed { background: var(--good); } .bar .flaky { background: var(--between); } .bar .failed { background: var(--bad); }
.notes { padding-left: 1.1rem; margin: .75rem 0; opacity: .85; }
.worse { border-left: 4px solid var(--bad); padding-left: 1rem; }
table { border-collapse: collapse; } th, td { padding: .2rem 1rem .2rem 0; text-align: left; }
.cases { border: 1px solid var(--line); border-radius: 8px; overflow-x: auto; }
.row { display: grid; grid-template-columns: minmax(14rem, 3fr) 4rem repeat(var(--scorers), minmax(5rem, 1fr)) 4rem; gap: .75rem; padding: .45rem .75rem; align-items: baseline; min-width: calc(24rem + 6rem * var(--scorers)); overflow-wrap: anywhere; }
.row > :not(:first-child) { text-align: right; font-variant-numeric: tabular-nums; }
.row.head { font-weight: 600; font-size: .85rem; background: var(--soft); }
.cases > details { border-top: 1px solid var(--line); }
summary { cursor: pointer; list-style: none; }
summary::-webkit-details-marker { display: none; }
summary:hover { background: var(--soft); }
summary:focus-visible { outline: 2px solid currentcolor; outline-offset: -2px; }
.mark { display: inline-block; width: 3rem; font-size: .8rem; }
.passed > summary .mark, article.passed > h3 .mark, .scores .passed b { color: var(--good); }
.failed > summary .mark, article.failed > h3 .mark, .scores .failed b { color: var(--bad); }
.flaky > summary .mark { color: var(--between); }
.case { padding: .25rem .75rem 1rem 2rem; }
article { border-left: 3px solid var(--line); padding: .25rem 0 .25rem .75rem; margin-top: 1rem; }
article.passed { border-color: var(--good); } article.failed { border-color: var(--bad); }
pre { margin: 0; padding: .5rem .6rem; background: var(--soft); border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere; font: 13px/1.45 ui-monospace, monospace; max-height: 24rem; overflow: auto; }
.scores { list-style: none; padding: 0; margin: .5rem 0; } .scores p { margin: 0; white-space: pre-wrap; opacity: .85; }
.trace > summary { font-size: .85rem; padding: .25rem 0; text-decoration: underline; }
.trace ol { list-style: none; padding: 0; margin: 0; }
.trace li { border-left: 2px solid var(--line); padding-left: .6rem; margin-top: .5rem; }
footer { margin-top: 2rem; font-size: .8rem; opacity: .7; }
`

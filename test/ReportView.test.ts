import { assert, describe, it, layer } from "@effect/vitest"
import { NodeFileSystem } from "@effect/platform-node"
import { Effect, FileSystem, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { pathToFileURL } from "node:url"
import { Agent } from "../src/index.ts"
import { Comparison, Eval, Report, ReportView, Scorer, Trajectory } from "../src/evals/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import * as Browser from "./fixtures/browser.ts"
import { reportOf } from "./fixtures/reports.ts"

const hostile = `</pre><script>document.title = "taken"</script><img src="http://evil.test/x" onerror="alert(1)">` +
  "\u001b[2J @everyone | `code` **bold** [link](http://evil.test) \u202etxt.exe"

const toolkit = Toolkit.make(
  Tool.make("look", { parameters: Schema.Struct({ at: Schema.String }), success: Schema.String })
)
const handlers = toolkit.toLayer({ look: () => Effect.succeed(hostile) })
const agent = Agent.make("looker", { toolkit })

/** A report of an agent with tools, of which everything that is foreign is hostile. */
const hostileReport = Effect.gen(function*() {
  const experiment = Eval.make(`looks ${hostile}`, {
    cases: [
      { id: `case ${hostile}`, input: hostile, expected: hostile, tags: [hostile] },
      { id: "fails", input: "fails", expected: "x" }
    ],
    task: (prompt: string) => prompt === "fails" ? Effect.fail(hostile) : Agent.run(agent, { prompt }),
    scorers: [Scorer.includes(), Trajectory.strict(["look", "look"]), Scorer.tokens()]
  })
  return yield* Eval.run(experiment, { trials: 2, concurrency: 1, prices: { input: 1, output: 2 } })
}).pipe(Effect.provide([
  ScriptedModel.layer(
    [1, 2].flatMap((trial) => [
      ScriptedModel.toolCalls({ name: "look", params: { at: hostile } }),
      ScriptedModel.text(trial === 1 ? hostile : "nothing")
    ])
  ),
  handlers
]))

describe("Report", () => {
  it.effect("comes back from JSON as it was, and a file that is none is refused", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const report = yield* hostileReport
      const path = `${yield* fileSystem.makeTempDirectoryScoped()}/report.json`
      yield* Report.write(path, report)
      const read = yield* Report.read(path)
      assert.deepStrictEqual(read, report)
      assert.deepStrictEqual(Report.summary(read), Report.summary(report))
      yield* fileSystem.writeFileString(path, `{"version":2}`)
      const error = yield* Effect.flip(Report.read(path))
      assert.match(error.message, /report\.json` is not a report: .*version/s)
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))

  it.effect("its baseline has nothing that differs from run to run", () =>
    Effect.gen(function*() {
      const [one, other] = [yield* hostileReport, yield* hostileReport]
      assert.notDeepEqual(one, other)
      assert.strictEqual(yield* Report.toJson(Report.toBaseline(one)), yield* Report.toJson(Report.toBaseline(other)))
      assert.deepStrictEqual(Comparison.regressions(one, Report.toBaseline(other), { rule: "every-case" }), [])
    }))
})

const before = reportOf("capitals v1", [[true, true], [true, false], [false, false]])
const now = reportOf("capitals v2", [[true, true], [false, false], [false, false]])
const comparison = Comparison.make(now, before)
const regressions = Comparison.regressions(now, before, { rule: "every-case" })

describe("Report of very many cases", () => {
  it("has the smallest number of trials", () => {
    const [one] = reportOf("one", [[true]]).cases
    const many = reportOf("many", [[true, true]])
    assert.strictEqual(Report.trialsOfEach({ ...many, cases: Array.from({ length: 200_000 }, () => one) }), 1)
    assert.deepStrictEqual([Report.trialsOfEach(many), Report.trialsOfEach({ ...many, cases: [] })], [2, 0])
  })
})

describe("ReportView", () => {
  it("is a table in a terminal", () => {
    assert.deepStrictEqual(ReportView.toText(now, { comparison, regressions }).split("\n"), [
      "capitals v2: 2 of 6 trials pass in 3 cases: 33.3 %, 95 % interval 0 to 100 %",
      "",
      "case    passed  exact  time",
      "case-0     2/2      1  0 ms",
      "case-1     0/2      0  0 ms",
      "case-2     0/2      0  0 ms",
      "",
      "not passed:",
      "  case-1: exact 0",
      "  case-2: exact 0",
      "",
      "at least one of 2 passes (pass@2): 33.3 %, all 2 pass (pass^2): 33.3 %",
      "took 0 ms; the trials together 0 ms",
      "",
      "capitals v1 -> capitals v2",
      "pass rate 50 % -> 33.3 %: -16.7 points, 95 % interval -50 to 0, p = 1.000, effect size -0.34",
      "worse: case-1",
      "to find a difference like this needs about 22 cases; there are 3",
      "",
      "scorer  before    now      p",
      "exact      0.5  0.333  1.000",
      "",
      "worse than the baseline:",
      "  the case `case-1` passes 0 of 2 trials, before 1 of 2"
    ])
    assert.include(ReportView.toText(before), "flaky: case-1")
  })

  it.effect("has one line for each case in a terminal, whatever its texts are", () =>
    Effect.gen(function*() {
      const text = ReportView.toText(yield* hostileReport)
      assert.notMatch(text.replaceAll("\n", ""), /[\p{Cc}\p{Bidi_Control}]/u)
      assert.strictEqual(text.split("\n").filter((line) => line.startsWith("fails")).length, 1)
    }))

  it.effect("keeps foreign texts as code in Markdown", () =>
    Effect.gen(function*() {
      const markdown = ReportView.toMarkdown(yield* hostileReport, { comparison, regressions })
      assert.notInclude(markdown, "@everyone")
      assert.notInclude(markdown, "<script>")
      assert.notInclude(markdown, "[link]")
      const rows = markdown.split("\n").filter((line) => /^\| (✅|⚠️|❌) /u.test(line))
      assert.deepStrictEqual(rows.map((row) => row.split("|").length), [9, 9])
    }))
})

layer(Browser.TestBrowser.layer, { timeout: 60_000 })("ReportView in a browser", (it) => {
  it.effect("is one page without requests and scripts, in which foreign texts are texts", () =>
    Effect.gen(function*() {
      const fileSystem = yield* FileSystem.FileSystem
      const report = yield* hostileReport
      const before = reportOf("before", [[true], [true]])
      const html = ReportView.toHtml(report, {
        comparison: Comparison.make(report, {
          ...before,
          cases: before.cases.map((one, index) => ({ ...one, id: report.cases[index].id }))
        }),
        regressions
      })
      const path = `${yield* fileSystem.makeTempDirectoryScoped()}/report.html`
      yield* fileSystem.writeFileString(path, html)
      const { context, errors, page } = yield* Browser.open("about:blank")
      const seen = yield* Effect.promise(async () => {
        const requests: Array<string> = []
        context.on("request", (request) => requests.push(request.url()))
        await page.goto(pathToFileURL(path).href)
        await page.locator("details").evaluateAll((all) => all.forEach((each) => each.setAttribute("open", "")))
        return {
          requests,
          title: await page.title(),
          elements: await page.locator("script, img, a, iframe, form, link").count(),
          rows: await page.locator(".cases > details > summary").count(),
          input: await page.locator(".field pre").first().textContent(),
          messages: await page.locator(".trace li").count(),
          result: await page.locator(".trace .tool pre").first().textContent()
        }
      })
      assert.deepStrictEqual(errors, [])
      assert.deepStrictEqual(seen.requests, [pathToFileURL(path).href])
      assert.match(seen.title, /^looks <\/pre><script>/)
      assert.deepStrictEqual([seen.elements, seen.rows, seen.messages], [0, 2, 8])
      const shown = hostile.replace("\u001b", "�").replace("\u202e", "�")
      assert.deepStrictEqual([seen.input, seen.result], [shown, shown])
    }).pipe(Effect.scoped, Effect.provide(NodeFileSystem.layer)))
})

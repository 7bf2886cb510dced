import { assert, describe, it } from "@effect/vitest"
import { NodeServices } from "@effect/platform-node"
import { Console, Effect, FileSystem, Layer, Sink, Stdio } from "effect"
import { Eval, EvalCommand, Report, Scorer } from "../src/evals/index.ts"

const experiment = (name: string, answer: (n: number) => number) =>
  Eval.make(name, {
    cases: Array.from(
      { length: 8 },
      (_, n) => ({ id: `case-${n}`, input: n, expected: 2 * n, tags: [n % 2 === 0 ? "even" : "odd"] })
    ),
    task: (n: number) => Effect.succeed(answer(n)),
    scorers: [Scorer.numeric()]
  })

/** Runs the program, and returns how it ended and what it printed. */
const run = (args: ReadonlyArray<string>, answer = (n: number) => 2 * n, isTerminal = false) =>
  Effect.gen(function*() {
    const lines: Array<string> = []
    const progress: Array<string> = []
    const console = { ...globalThis.console, log: (text: string) => void lines.push(...text.split("\n")) }
    const stdio = Layer.effect(
      Stdio.Stdio,
      Effect.map(Stdio.Stdio, (stdio) => ({
        ...stdio,
        stderrIsTerminal: Effect.succeed(isTerminal),
        stderr: () => Sink.forEach((text: string | Uint8Array) => Effect.sync(() => progress.push(String(text))))
      }))
    )
    const error = yield* EvalCommand.runWith({
      name: "evals",
      experiments: [experiment("double", (n) => 2 * n), experiment("other", answer)]
    })(args).pipe(
      Effect.match({ onFailure: (error) => error.message, onSuccess: () => undefined }),
      Effect.provide(Layer.provideMerge(stdio, NodeServices.layer)),
      Effect.provideService(Console.Console, console as Console.Console)
    )
    return { error, lines, progress }
  })

const inFolder = <A, E>(use: (folder: string) => Effect.Effect<A, E, FileSystem.FileSystem>) =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    return yield* use(yield* fileSystem.makeTempDirectoryScoped())
  }).pipe(Effect.scoped, Effect.provide(NodeServices.layer))

describe("EvalCommand", () => {
  it.effect("runs the chosen experiments at the chosen cases", () =>
    Effect.gen(function*() {
      const { error, lines } = yield* run([
        "other",
        "--tag",
        "odd",
        "--case",
        "case-1",
        "--case",
        "case-2",
        "--trials",
        "3"
      ])
      assert.strictEqual(error, undefined)
      assert.strictEqual(lines[0], "other: 3 of 3 trials pass in 1 case: 100 %, 95 % interval 20.7 to 100 %")
      assert.match((yield* run(["third"])).error ?? "", /no experiment `third`; there are `double`, `other`/)
    }))

  it.effect("writes baselines, and fails when an experiment is worse than its own", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        let tried = 0
        const missing = yield* run(["--baselines", folder], (n) => (tried++, 2 * n))
        assert.match(missing.error ?? "", /double\.baseline\.json/)
        assert.strictEqual(tried, 0)
        assert.strictEqual((yield* run(["--baselines", folder, "--update-baselines"])).error, undefined)
        assert.strictEqual((yield* run(["--baselines", folder])).error, undefined)
        const worse = yield* run(["--baselines", folder], (n) => n)
        assert.strictEqual(worse.error, "Worse than the baseline: other")
        assert.include(worse.lines, "  the pass rate fell from 100 % to 12.5 % (p = 0.008)")
        // one case that is worse may be chance, unless the task always does the same
        const one = (n: number) => n === 3 ? 7 : 2 * n
        assert.strictEqual((yield* run(["--baselines", folder], one)).error, undefined)
        assert.strictEqual(
          (yield* run(["--baselines", folder, "--rule", "every-case"], one)).error,
          "Worse than the baseline: other"
        )
      })
    ))

  it.effect("compares and updates the baselines of the chosen cases only", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const passed = Effect.map(
          Report.read(`${folder}/other.baseline.json`),
          ({ cases }) => cases.map(({ id, trials }) => `${id} ${trials.map((_) => _.passed).join()}`)
        )
        const every = ["other", "--baselines", folder, "--rule", "every-case"]
        yield* run([...every, "--update-baselines"])
        assert.strictEqual((yield* run([...every, "--case", "case-3"])).error, undefined)
        assert.match((yield* run([...every, "--case", "case-3"], (n) => n)).error ?? "", /Worse.*other/)
        assert.match((yield* run([...every, "--trials", "0"])).error ?? "", /Worse.*other/)
        const before = yield* passed
        yield* run([...every, "--case", "case-3", "--update-baselines"], (n) => n)
        assert.deepStrictEqual(yield* passed, before.with(3, "case-3 false"))
      })
    ))

  it.effect("refuses cases that nobody has, and experiments whose files would be the same", () =>
    Effect.gen(function*() {
      const messages = yield* Effect.forEach(
        [["--case", "case-9"], ["--tag", "prime"], ["--split", "test"], ["--case", "case-1", "--case", "case-9"]],
        (args) => Effect.map(run(args), ({ error, lines }) => [error, lines.length])
      )
      assert.deepStrictEqual(messages, [
        ["No case has the id `case-9`", 0],
        ["No case has the tag `prime`", 0],
        ["No case has the split `test`", 0],
        ["No case has the id `case-9`", 0]
      ])
      const clash = EvalCommand.runWith({
        name: "evals",
        experiments: [experiment("a/b", (n) => n), experiment("A b", (n) => n)]
      })([])
      const exit = yield* Effect.exit(Effect.provide(clash, NodeServices.layer))
      assert.match(String(exit), /`a\/b` and `A b` would have the same files/)
    }))

  it.effect("compares with the first, and writes all reports", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        const fileSystem = yield* FileSystem.FileSystem
        const { lines } = yield* run(["--compare", "--output", `${folder}/new`], (n) => n)
        assert.include(lines, "double -> other")
        assert.deepStrictEqual(
          (yield* fileSystem.readDirectory(`${folder}/new`)).toSorted(),
          ["double.html", "double.json", "double.md", "other.html", "other.json", "other.md"]
        )
        const report = yield* Report.read(`${folder}/new/other.json`)
        assert.deepStrictEqual(Report.summary(report).passed, 1)
        assert.include(yield* fileSystem.readFileString(`${folder}/new/other.md`), "### Evals: <code>other</code>")
      })
    ))

  it.effect("goes on with a file of finished trials", () =>
    inFolder((folder) =>
      Effect.gen(function*() {
        let tried = 0
        const counting = (n: number) => (tried++, 2 * n)
        yield* run(["--resume", `${folder}/trials.jsonl`], counting)
        const { lines } = yield* run(["--resume", `${folder}/trials.jsonl`], counting)
        assert.deepStrictEqual(tried, 8)
        assert.include(lines[0], "8 of 8 trials pass")
      })
    ))

  it.effect("shows its progress where the standard error is a terminal, and nowhere else", () =>
    Effect.gen(function*() {
      const seen = (yield* run(["other"], undefined, true)).progress
      assert.deepStrictEqual([seen.at(0), seen.at(-2), seen.at(-1)], [
        "\r\u001b[K###................. 1/8 other: 1 pass, 0 do not",
        "\r\u001b[K#################### 8/8 other: 8 pass, 0 do not",
        "\r\u001b[K"
      ])
      assert.deepStrictEqual((yield* run(["other"])).progress, [])
    }))
})

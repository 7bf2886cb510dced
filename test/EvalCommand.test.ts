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
        assert.match((yield* run(["--baselines", folder])).error ?? "", /double\.baseline\.json/)
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

/**
 * Experiments from the command line, without a test runner.
 *
 * `run` reads the arguments, runs the experiments, prints their reports, and fails with `EvalsFailed` if one of them is
 * worse than its baseline. With `NodeRuntime.runMain` the exit code is then 1. While it works, a terminal shows how far it
 * is.
 *
 * **Example** (A program for `npm run evals`)
 *
 * ```ts no-run
 * import { NodeRuntime, NodeServices } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { Eval, EvalCommand, Scorer } from "effect-agents/evals"
 *
 * const experiment = Eval.make("doubling", {
 *   cases: [{ id: "two", input: 2, expected: 4 }],
 *   task: (n: number) => Effect.succeed(n * 2),
 *   scorers: [Scorer.exact()]
 * })
 *
 * EvalCommand.run({ name: "evals", experiments: [experiment] }).pipe(
 *   Effect.provide(NodeServices.layer),
 *   NodeRuntime.runMain
 * )
 * ```
 *
 * @since 0.1.0
 */

import * as Argument from "effect/cli/Argument"
import type * as CliError from "effect/cli/CliError"
import * as Command from "effect/cli/Command"
import * as Flag from "effect/cli/Flag"
import * as Console from "effect/Console"
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as Comparison from "./Comparison.ts"
import * as Dataset from "./Dataset.ts"
import * as Eval from "./Eval.ts"
import * as Progress from "./internal/progress.ts"
import * as Report from "./Report.ts"
import * as ReportView from "./ReportView.ts"
import * as TrialStore from "./TrialStore.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * The options of the program. The flags of the command line come before `options`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<R> {
  /** The name of the program in its help. */
  readonly name: string
  /** The experiments. Two whose names make the same file name are a defect of the program. */
  readonly experiments: ReadonlyArray<Eval.Any<R>>
  /** How the experiments run. Default: as `Eval.run` does. */
  readonly options?: Eval.Options | undefined
  /** What is worse than a baseline, unless the flag `--rule` says otherwise. Default: `"significant"`. */
  readonly rule?: "significant" | "every-case" | undefined
  /** The version that `--version` prints. Default: `"0.0.0"`. */
  readonly version?: string | undefined
}

// =============================================================================
// Errors
// =============================================================================

/**
 * Experiments are worse than their baselines.
 *
 * @category errors
 * @since 0.1.0
 */
export class EvalsFailed extends Schema.Error<EvalsFailed>("effect-agents/evals/EvalCommand/EvalsFailed")({
  _tag: Schema.tag("EvalsFailed"),
  experiments: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `Worse than the baseline: ${this.experiments.join(", ")}`
  }
}

/**
 * The command line names an experiment that the program does not have.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownExperiment extends Schema.Error<UnknownExperiment>(
  "effect-agents/evals/EvalCommand/UnknownExperiment"
)({
  _tag: Schema.tag("UnknownExperiment"),
  name: Schema.String,
  known: Schema.Array(Schema.String)
}) {
  override get message(): string {
    return `There is no experiment \`${this.name}\`; there are ${this.known.map((name) => `\`${name}\``).join(", ")}`
  }
}

/**
 * The command line asks for cases that no experiment has.
 *
 * @category errors
 * @since 0.1.0
 */
export class UnknownCases extends Schema.Error<UnknownCases>("effect-agents/evals/EvalCommand/UnknownCases")({
  _tag: Schema.tag("UnknownCases"),
  by: Schema.Literals(["id", "tag", "split"]),
  value: Schema.String
}) {
  override get message(): string {
    return `No case has the ${this.by} \`${this.value}\``
  }
}

// =============================================================================
// Running
// =============================================================================

const flags = {
  names: Argument.String("experiment").pipe(
    Argument.withDescription("The experiments to run. Default: all"),
    Argument.variadic()
  ),
  trials: Flag.Int("trials").pipe(Flag.withDescription("The number of trials of each case"), Flag.optional),
  concurrency: Flag.Int("concurrency").pipe(
    Flag.withDescription("The number of trials that run at the same time"),
    Flag.optional
  ),
  cases: Flag.String("case").pipe(
    Flag.withMetavar("ID"),
    Flag.withDescription("Try this case only; may be given several times"),
    Flag.atLeast(0)
  ),
  tags: Flag.String("tag").pipe(
    Flag.withMetavar("TAG"),
    Flag.withDescription("Try the cases with this tag only; may be given several times"),
    Flag.atLeast(0)
  ),
  split: Flag.String("split").pipe(
    Flag.withDescription("Try the cases of this part of the dataset only"),
    Flag.optional
  ),
  compare: Flag.Boolean("compare").pipe(
    Flag.withDescription("Compare each experiment with the first one that has the same cases"),
    Flag.withDefault(false)
  ),
  baselines: Flag.String("baselines").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription(
      "Compare each experiment with the baseline of its name in this folder, and fail if it is worse"
    ),
    Flag.optional
  ),
  update: Flag.Boolean("update-baselines").pipe(
    Flag.withDescription("Write the baselines anew, instead of comparing with them"),
    Flag.withDefault(false)
  ),
  rule: Flag.Literals("rule", ["significant", "every-case"]).pipe(
    Flag.withDescription(
      "What is worse: what chance does not explain, or every case with a lower pass rate, for tasks that always do the same"
    ),
    Flag.optional
  ),
  output: Flag.String("output").pipe(
    Flag.withMetavar("DIR"),
    Flag.withDescription("Write the reports into this folder, as JSON, Markdown and HTML"),
    Flag.optional
  ),
  resume: Flag.String("resume").pipe(
    Flag.withMetavar("FILE"),
    Flag.withDescription("Keep finished trials in this file, and try only those that are not in it"),
    Flag.optional
  )
}

/** The values of the flags. */
type Input = {
  readonly [K in keyof typeof flags]: (typeof flags)[K] extends { readonly [key: string]: any } & infer F
    ? F extends Flag.Flag<infer A> ? A : F extends Argument.Argument<infer A> ? A : never
    : never
}

/**
 * Runs the program with the arguments of the process.
 *
 * @category running
 * @since 0.1.0
 */
export const run = <R>(options: Options<R>): Effect.Effect<
  void,
  | EvalsFailed
  | UnknownExperiment
  | UnknownCases
  | Report.InvalidReport
  | TrialStore.InvalidTrialStore
  | PlatformError.PlatformError
  | CliError.CliError,
  R | Command.Environment
> => Command.run(commandOf(options), { version: options.version ?? "0.0.0" })

/**
 * Runs the program with these arguments.
 *
 * @category running
 * @since 0.1.0
 */
export const runWith = <R>(options: Options<R>): (args: ReadonlyArray<string>) => ReturnType<typeof run<R>> =>
  Command.runWith(commandOf(options), { version: options.version ?? "0.0.0" })

const commandOf = <R>(options: Options<R>) =>
  Command.make(options.name, flags, (input) => evaluate(options, input)).pipe(
    Command.withDescription(
      "Runs experiments, and prints how good their tasks are. " +
        "Exit code: 0, or 1 if an experiment is worse than its baseline."
    )
  )

const evaluate = Effect.fnUntraced(function*<R>(options: Options<R>, input: Input) {
  yield* distinct(options.experiments.map(({ name }) => name))
  const experiments = yield* chosen(options.experiments, input)
  // a baseline that is missing is told before the first trial
  const baselines = yield* Effect.forEach(experiments, ({ name }) => baselineOf(name, input))
  const running = Effect.forEach(experiments, (experiment) => tryExperiment(experiment, options, input))
  const reports = Option.isNone(input.resume)
    ? yield* running
    : yield* Effect.provide(running, TrialStore.layerFile(input.resume.value))
  const failed: Array<string> = []
  for (const [index, report] of reports.entries()) {
    yield* updateBaseline(report, input)
    const baseline = baselines[index]
    const before = input.compare ? reports.slice(0, index).find(hasCasesOf(report)) ?? baseline : baseline
    const rule = Option.getOrUndefined(input.rule) ?? options.rule
    const regressions = baseline === undefined ? [] : Comparison.regressions(report, baseline, { rule })
    const view = { regressions, comparison: before === undefined ? undefined : Comparison.make(report, before) }
    yield* Console.log(`${index === 0 ? "" : "\n"}${ReportView.toText(report, view)}`)
    if (Option.isSome(input.output)) yield* writeAll(input.output.value, report, view)
    if (regressions.length > 0) failed.push(report.experiment)
  }
  if (failed.length > 0) return yield* new EvalsFailed({ experiments: failed })
})

/** Experiments with one file would take the baseline of the other. Some file systems do not know upper case. */
const distinct = (names: ReadonlyArray<string>): Effect.Effect<void> => {
  const files = names.map((name) => fileName(name).toLowerCase())
  const second = files.findIndex((file, index) => files.indexOf(file) !== index)
  if (second === -1) return Effect.void
  const first = names[files.indexOf(files[second])]
  return Effect.die(new Error(`The experiments \`${first}\` and \`${names[second]}\` would have the same files`))
}

const hasCasesOf = (report: Report.Report) => (other: Report.Report): boolean =>
  other.cases.length === report.cases.length &&
  other.cases.every(({ id }) => report.cases.some((one) => one.id === id))

const chosen = Effect.fnUntraced(function*<R>(experiments: ReadonlyArray<Eval.Any<R>>, input: Input) {
  const known = experiments.map(({ name }) => name)
  const unknown = input.names.find((name) => !known.includes(name))
  if (unknown !== undefined) return yield* new UnknownExperiment({ name: unknown, known })
  const wanted = experiments.filter(({ name }) => input.names.length === 0 || input.names.includes(name))
  const all = wanted.flatMap(({ cases }) => cases)
  const missing = [
    ...input.cases.map((value) => ({ by: "id" as const, value, selection: { ids: [value] } })),
    ...input.tags.map((value) => ({ by: "tag" as const, value, selection: { tags: [value] } })),
    ...Option.toArray(input.split).map((value) => ({ by: "split" as const, value, selection: { split: value } }))
  ].find(({ selection }) => Dataset.select(all, selection).length === 0)
  if (missing !== undefined) return yield* new UnknownCases({ by: missing.by, value: missing.value })
  return wanted.map((experiment) => ({ ...experiment, cases: Dataset.select(experiment.cases, selectionOf(input)) }))
})

const selectionOf = (input: Input) => ({
  ids: input.cases.length === 0 ? undefined : input.cases,
  tags: input.tags.length === 0 ? undefined : input.tags,
  split: Option.getOrUndefined(input.split)
})

const tryExperiment = <R>(experiment: Eval.Any<R>, { options }: Options<R>, input: Input) =>
  Effect.scoped(Effect.gen(function*() {
    const progress = yield* Progress.make(experiment.name)
    return yield* Eval.run(experiment as Eval.Experiment<unknown, unknown, unknown, unknown, R>, {
      ...options,
      trials: Option.getOrUndefined(input.trials) ?? options?.trials,
      concurrency: Option.getOrUndefined(input.concurrency) ?? options?.concurrency,
      onTrial: (record, state) => Effect.andThen(progress(state), options?.onTrial?.(record, state) ?? Effect.void)
    })
  }))

/** The baseline of the chosen cases, unless it is written anew. */
const baselineOf = Effect.fnUntraced(function*(experiment: string, input: Input) {
  if (Option.isNone(input.baselines) || input.update) return undefined
  const baseline = yield* Report.read(yield* fileFor(input.baselines.value, experiment, "baseline.json"))
  return { ...baseline, cases: Dataset.select(baseline.cases, selectionOf(input)) }
})

/** Writes the baseline, if that is asked for. If only some cases were chosen, those of the others stay. */
const updateBaseline = Effect.fnUntraced(function*(report: Report.Report, input: Input) {
  if (Option.isNone(input.baselines) || !input.update) return
  const path = yield* fileFor(input.baselines.value, report.experiment, "baseline.json")
  const isSelected = Object.values(selectionOf(input)).some((wanted) => wanted !== undefined)
  const written = Report.toBaseline(report)
  const fileSystem = yield* FileSystem.FileSystem
  const cases = isSelected && (yield* fileSystem.exists(path)) ? (yield* Report.read(path)).cases : []
  const now = new Map(written.cases.map((one) => [one.id, one]))
  const kept = cases.map((one) => now.get(one.id) ?? one)
  const known = new Set(kept.map(({ id }) => id))
  yield* Report.write(path, { ...written, cases: [...kept, ...written.cases.filter(({ id }) => !known.has(id))] })
})

const writeAll = Effect.fnUntraced(function*(folder: string, report: Report.Report, view: ReportView.Options) {
  const fileSystem = yield* FileSystem.FileSystem
  yield* Report.write(yield* fileFor(folder, report.experiment, "json"), report)
  yield* fileSystem.writeFileString(
    yield* fileFor(folder, report.experiment, "md"),
    ReportView.toMarkdown(report, view)
  )
  yield* fileSystem.writeFileString(yield* fileFor(folder, report.experiment, "html"), ReportView.toHtml(report, view))
})

/** A file in a folder, which is made if it is missing. The name of an experiment may have characters that a file cannot. */
const fileFor = Effect.fnUntraced(function*(folder: string, experiment: string, end: string) {
  const fileSystem = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  yield* fileSystem.makeDirectory(folder, { recursive: true })
  return path.join(folder, `${fileName(experiment)}.${end}`)
})

const fileName = (experiment: string): string =>
  experiment.replace(/[^\p{L}\p{N}.-]+/gu, "-").replace(/^[.-]+|-+$/g, "") || "experiment"

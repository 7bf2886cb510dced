/**
 * Reports: the trials of an experiment, as JSON, and what they add up to.
 *
 * **Example** (What a report says)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Eval, Report, Scorer } from "effect-agents/evals"
 *
 * const experiment = Eval.make("doubling", {
 *   cases: [{ id: "two", input: 2, expected: 4 }, { id: "three", input: 3, expected: 6 }],
 *   task: (n: number) => Effect.succeed(n * n),
 *   scorers: [Scorer.numeric()]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { cases, passRate, scorers } = Report.summary(yield* Eval.run(experiment))
 *   yield* Console.log(`${cases} cases, pass rate ${passRate}`)
 *   yield* Console.log(scorers.map(({ mean, name }) => `${name} ${mean}`).join(", "))
 * })
 *
 * Effect.runPromise(program)
 * // => 2 cases, pass rate 0.5
 * // => numeric 0.5
 * ```
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import type * as PlatformError from "effect/PlatformError"
import * as Schema from "effect/Schema"
import * as AgentRun from "../AgentRun.ts"
import type * as Dataset from "./Dataset.ts"
import * as Statistics from "./Statistics.ts"
import * as Trial from "./Trial.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * A case in a report, with its trials in order. `input` and `expected` are texts.
 *
 * @category models
 * @since 0.1.0
 */
export const Case = Schema.Struct({
  id: Schema.String,
  input: Schema.String,
  expected: Schema.optionalKey(Schema.String),
  tags: Schema.Array(Schema.String),
  split: Schema.optionalKey(Schema.String),
  trials: Schema.Array(Trial.Record)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Case = typeof Case.Type

/**
 * The report of an experiment. It is a schema: encode it with `toJson` to keep it in a file. `started` is the time at
 * which the experiment began, in ISO 8601, and `milliseconds` is how long it took.
 *
 * @category models
 * @since 0.1.0
 */
export const Report = Schema.Struct({
  version: Schema.Literal(1),
  experiment: Schema.String,
  started: Schema.String,
  milliseconds: Schema.Finite,
  cases: Schema.Array(Case)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Report = typeof Report.Type

/**
 * What the scores of one scorer add up to. `passRate` is missing if the scorer only measures.
 *
 * @category models
 * @since 0.1.0
 */
export interface ScorerSummary {
  readonly name: string
  readonly scores: number
  readonly mean: number
  /** The part of the scores with a threshold that pass. `undefined` if none of them has one. */
  readonly passRate: number | undefined
}

/**
 * What the trials of a report add up to. `cost` is `undefined` if the cost of one trial is not known. `scoring` is what
 * the scorers used.
 *
 * @category models
 * @since 0.1.0
 */
export interface Summary {
  readonly cases: number
  readonly trials: number
  readonly passed: number
  readonly passRate: number
  readonly outcomes: Readonly<Record<Trial.Outcome, number>>
  readonly scorers: ReadonlyArray<ScorerSummary>
  readonly usage: AgentRun.Usage
  readonly cost: number | undefined
  readonly modelCalls: number
  readonly steps: number
  readonly toolCalls: number
  /** The sum of the times of all trials. */
  readonly milliseconds: number
  readonly scoring: { readonly usage: AgentRun.Usage; readonly cost: number | undefined }
}

// =============================================================================
// Errors
// =============================================================================

/**
 * A file is not a report, or was written by a newer version.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidReport extends Schema.Error<InvalidReport>("effect-agents/evals/Report/InvalidReport")({
  _tag: Schema.tag("InvalidReport"),
  path: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `\`${this.path}\` is not a report: ${this.description}`
  }
}

// =============================================================================
// Constructors
// =============================================================================

/**
 * Creates a report.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (fields: Omit<Report, "version">): Report => ({ version: 1, ...fields })

/**
 * Creates the case of a report from its trials.
 *
 * @category constructors
 * @since 0.1.0
 */
export const caseOf = (of: Dataset.Case, trials: ReadonlyArray<Trial.Record>): Case => ({
  id: of.id,
  input: Trial.textOf(of.input),
  ...(of.expected !== undefined && { expected: Trial.textOf(of.expected) }),
  tags: of.tags ?? [],
  ...(of.split !== undefined && { split: of.split }),
  trials: trials.toSorted((a, b) => a.number - b.number)
})

// =============================================================================
// Accessors
// =============================================================================

/**
 * Returns all trials of a report, case by case.
 *
 * @category accessors
 * @since 0.1.0
 */
export const trials = (self: Report): ReadonlyArray<Trial.Record> => self.cases.flatMap((_) => _.trials)

/**
 * Returns what the trials of a report add up to.
 *
 * @category accessors
 * @since 0.1.0
 */
export const summary = (self: Report): Summary => {
  const all = trials(self)
  const passed = all.filter((_) => _.passed).length
  const outcomes = { completed: 0, failed: 0, died: 0, "timed-out": 0, "over-budget": 0, interrupted: 0 }
  for (const { outcome } of all) outcomes[outcome]++
  return {
    cases: self.cases.length,
    trials: all.length,
    passed,
    passRate: all.length === 0 ? 0 : passed / all.length,
    outcomes,
    scorers: scorersOf(all),
    usage: all.reduce((sum, { usage }) => AgentRun.addUsage(sum, usage), AgentRun.emptyUsage),
    cost: sumOfKnown(all.map(({ cost }) => cost)),
    modelCalls: sum(all.map(({ modelCalls }) => modelCalls)),
    steps: sum(all.map(({ steps }) => steps)),
    toolCalls: sum(all.map(({ toolCalls }) => toolCalls.length)),
    milliseconds: sum(all.map(({ milliseconds }) => milliseconds)),
    scoring: {
      usage: all.reduce((sum, { scoring }) => AgentRun.addUsage(sum, scoring.usage), AgentRun.emptyUsage),
      cost: sumOfKnown(all.map(({ scoring }) => scoring.cost))
    }
  }
}

const scorersOf = (all: ReadonlyArray<Trial.Record>): ReadonlyArray<ScorerSummary> => {
  const byName = new Map<string, Array<Trial.Score>>()
  for (const score of all.flatMap((_) => _.scores)) {
    const scores = byName.get(score.name)
    if (scores === undefined) byName.set(score.name, [score])
    else scores.push(score)
  }
  return Array.from(byName, ([name, scores]) => {
    const gated = scores.filter(({ passed }) => passed !== undefined)
    return {
      name,
      scores: scores.length,
      mean: sum(scores.map(({ value }) => value)) / scores.length,
      passRate: gated.length === 0 ? undefined : gated.filter(({ passed }) => passed === true).length / gated.length
    }
  })
}

const sum = (numbers: ReadonlyArray<number>): number => numbers.reduce((a, b) => a + b, 0)

const sumOfKnown = (numbers: ReadonlyArray<number | undefined>): number | undefined => {
  let total = 0
  for (const number of numbers) {
    if (number === undefined) return undefined
    total += number
  }
  return numbers.length === 0 ? undefined : total
}

/**
 * Returns the interval of the pass rate, with a confidence of 95 %. With one trial for each case it is Wilson's. With
 * more, the trials of a case are not independent, so it is a bootstrap over the cases; if all cases have the same pass
 * rate, it is Wilson's for the number of cases.
 *
 * @category statistics
 * @since 0.1.0
 */
export const interval = (self: Report, options?: Statistics.Sampling): Statistics.Interval => {
  const rates = triedOf(self).map((one) => passedIn(one) / one.trials.length)
  const total = rates.reduce((a, b) => a + b, 0)
  return trialsOfEach(self) <= 1 || rates.every((rate) => rate === rates[0])
    ? Statistics.wilson(total, rates.length)
    : Statistics.bootstrap(rates, Statistics.mean, options)
}

/**
 * Returns the mean over the cases of the estimate that at least one of `k` trials passes. It is `NaN` if a case has less
 * than `k` trials.
 *
 * @category statistics
 * @since 0.1.0
 */
export const passAtK = (self: Report, k: number): number =>
  Statistics.mean(triedOf(self).map((one) => Statistics.passAtK(one.trials.length, passedIn(one), k)))

/**
 * Returns the mean over the cases of the estimate that all of `k` trials pass. It is `NaN` if a case has less than `k`
 * trials.
 *
 * @category statistics
 * @since 0.1.0
 */
export const passHatK = (self: Report, k: number): number =>
  Statistics.mean(triedOf(self).map((one) => Statistics.passHatK(one.trials.length, passedIn(one), k)))

/**
 * Returns the smallest number of trials that a case has; 0 without a case.
 *
 * @category accessors
 * @since 0.1.0
 */
export const trialsOfEach = (self: Report): number =>
  self.cases.reduce((least, one) => Math.min(least, one.trials.length), self.cases[0]?.trials.length ?? 0)

/**
 * Returns the flaky cases: some of their trials pass, and some do not.
 *
 * @category accessors
 * @since 0.1.0
 */
export const flaky = (self: Report): ReadonlyArray<Case> =>
  self.cases.filter((one) => {
    const passed = passedIn(one)
    return passed > 0 && passed < one.trials.length
  })

/**
 * Returns how far the judges of a scorer agree beyond chance: Fleiss' kappa of whether they pass a trial. Only scores
 * with as many judges as the first count. It is `undefined` without two judges.
 *
 * @category statistics
 * @since 0.1.0
 */
export const agreement = (self: Report, scorer: string): number | undefined => {
  const judged = trials(self).flatMap(({ scores }) =>
    scores.flatMap(({ judgements, name }) => name === scorer && judgements !== undefined ? [judgements] : [])
  )
  const judges = judged[0]?.length ?? 0
  if (judges < 2) return undefined
  return Statistics.fleissKappa(
    judged.filter(({ length }) => length === judges).map((judgements) => {
      const passed = judgements.filter((_) => _.passed).length
      return [passed, judges - passed]
    })
  )
}

const triedOf = (self: Report): ReadonlyArray<Case> => self.cases.filter((one) => one.trials.length > 0)

const passedIn = ({ trials }: Case): number => trials.filter((_) => _.passed).length

// =============================================================================
// Files
// =============================================================================

const Json = Schema.fromJsonString(Schema.toCodecJson(Report))

const encode = Schema.encodeEffect(Schema.toCodecJson(Report))

/**
 * Returns a report as JSON, with one field on each line, so that a difference can be read.
 *
 * @category files
 * @since 0.1.0
 */
export const toJson = (self: Report): Effect.Effect<string> =>
  // every report has a JSON form
  Effect.map(Effect.orDie(encode(self)), (json) => `${JSON.stringify(json, null, 2)}\n`)

/**
 * Reads a report from JSON.
 *
 * @category files
 * @since 0.1.0
 */
export const fromJson: (text: string) => Effect.Effect<Report, Schema.SchemaError> = Schema.decodeEffect(Json)

/**
 * Writes a report into a file.
 *
 * @category files
 * @since 0.1.0
 */
export const write = (
  path: string,
  self: Report
): Effect.Effect<void, PlatformError.PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    yield* fileSystem.writeFileString(path, yield* toJson(self))
  })

/**
 * Reads a report from a file.
 *
 * @category files
 * @since 0.1.0
 */
export const read = (
  path: string
): Effect.Effect<Report, InvalidReport | PlatformError.PlatformError, FileSystem.FileSystem> =>
  Effect.gen(function*() {
    const fileSystem = yield* FileSystem.FileSystem
    const text = yield* fileSystem.readFileString(path)
    return yield* Effect.mapError(fromJson(text), ({ message }) => new InvalidReport({ path, description: message }))
  })

/**
 * Returns the part of a report that a baseline in a repository needs: the cases, and of each trial its outcome, its
 * scores and whether it passed. Times, tokens, outputs and messages are left out, so that the file of a task that always
 * does the same changes only with its scores.
 *
 * @category files
 * @since 0.1.0
 */
export const toBaseline = (self: Report): Report => ({
  ...self,
  started: "",
  milliseconds: 0,
  cases: self.cases.map((one) => ({
    ...one,
    trials: one.trials.map((trial) => ({
      ...trial,
      output: "",
      milliseconds: 0,
      usage: AgentRun.emptyUsage,
      modelCalls: 0,
      steps: 0,
      toolCalls: [],
      scoring: { usage: AgentRun.emptyUsage },
      trace: []
    }))
  }))
})

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

import * as Schema from "effect/Schema"
import * as AgentRun from "../AgentRun.ts"
import type * as Dataset from "./Dataset.ts"
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

/**
 * Trials: each is one attempt of a task at a case, and however it ends it is data.
 *
 * A task that fails, dies, is interrupted, takes too long or exceeds its budget is a trial like any other. A `Trial` is
 * what scorers look at. A `Record` is what a report keeps of it, as JSON.
 *
 * **Example** (The trial of a task that fails)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Eval } from "effect-agents/evals"
 *
 * const experiment = Eval.make("division", {
 *   cases: [{ id: "by-zero", input: 0 }],
 *   task: (divisor: number) => divisor === 0 ? Effect.fail("cannot divide") : Effect.succeed(10 / divisor),
 *   scorers: []
 * })
 *
 * const program = Effect.gen(function*() {
 *   const report = yield* Eval.run(experiment)
 *   const [trial] = report.cases[0].trials
 *   yield* Console.log(trial.outcome, trial.error, trial.passed)
 * })
 *
 * Effect.runPromise(program)
 * // => failed cannot divide false
 * ```
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Exit from "effect/Exit"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AgentRun from "../AgentRun.ts"
import * as Budget from "../Budget.ts"
import * as Fields from "../internal/words/fields.ts"
import type * as Dataset from "./Dataset.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * How a trial ended:
 *
 * - `"completed"`: the task has a value.
 * - `"failed"`, `"died"`: the task failed with a typed error, or with a defect.
 * - `"timed-out"`: the task was interrupted after the `timeout` of the experiment.
 * - `"over-budget"`: the task failed with `BudgetExceeded`.
 * - `"interrupted"`: something in the task interrupted it.
 *
 * @category models
 * @since 0.1.0
 */
export const Outcome = Schema.Literals(["completed", "failed", "died", "timed-out", "over-budget", "interrupted"])

/**
 * @category models
 * @since 0.1.0
 */
export type Outcome = typeof Outcome.Type

/**
 * A run of an agent in a trial, and how it ended. A `nested` run was called by another run of the trial.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly agent: string
  readonly runId: string
  readonly nested: boolean
  readonly outcome: AgentRun.Outcome
}

/**
 * One attempt of a task at a case. `number` counts the trials of the case from 1. `usage`, `cost` and `modelCalls` are
 * those of all runs in the trial, whatever became of them; `cost` is `undefined` without a price for each of the models.
 * `runs` are in the order of their beginnings.
 *
 * @category models
 * @since 0.1.0
 */
export interface Trial<out I = unknown, out X = unknown, out A = unknown> {
  readonly case: Dataset.Case<I, X>
  readonly number: number
  readonly exit: Exit.Exit<A, unknown>
  readonly outcome: Outcome
  readonly milliseconds: number
  readonly usage: AgentRun.Usage
  readonly cost: number | undefined
  readonly modelCalls: number
  readonly runs: ReadonlyArray<Run>
}

/**
 * The opinion of one judge in a score. `passed` says whether its value alone would pass.
 *
 * @category models
 * @since 0.1.0
 */
export const Judgement = Schema.Struct({
  judge: Schema.String,
  value: Schema.Finite,
  passed: Schema.Boolean,
  reason: Schema.String
})

/**
 * @category models
 * @since 0.1.0
 */
export type Judgement = typeof Judgement.Type

/**
 * What a scorer says of a trial. `passed` is missing if the scorer only measures. `error` says why there is no better
 * score: the trial has no value, or the scorer itself failed; such a score is 0 and does not pass.
 *
 * @category models
 * @since 0.1.0
 */
export const Score = Schema.Struct({
  name: Schema.String,
  value: Schema.Finite,
  passed: Schema.optionalKey(Schema.Boolean),
  label: Schema.optionalKey(Schema.String),
  explanation: Schema.optionalKey(Schema.String),
  error: Schema.optionalKey(Schema.String),
  judgements: Schema.optionalKey(Schema.Array(Judgement))
})

/**
 * @category models
 * @since 0.1.0
 */
export type Score = typeof Score.Type

/**
 * The messages of a run in a trial, with the instructions and the history left out.
 *
 * @category models
 * @since 0.1.0
 */
export const Trace = Schema.Struct({
  agent: Schema.String,
  runId: Schema.String,
  nested: Schema.Boolean,
  outcome: Schema.Literals(["Completed", "Failed", "Interrupted", "Abandoned"]),
  transcript: Fields.Transcript
})

/**
 * @category models
 * @since 0.1.0
 */
export type Trace = typeof Trace.Type

/**
 * What a report keeps of a trial. `output` is the value of the task as a text. `scoring` is what the scorers used
 * themselves, apart from the task. `toolCalls` and `steps` are those of runs that are not nested.
 *
 * @category models
 * @since 0.1.0
 */
export const Record = Schema.Struct({
  case: Schema.String,
  number: Schema.Int,
  outcome: Outcome,
  passed: Schema.Boolean,
  output: Schema.String,
  error: Schema.optionalKey(Schema.String),
  milliseconds: Schema.Finite,
  usage: AgentRun.Usage,
  cost: Schema.optionalKey(Schema.Finite),
  modelCalls: Schema.Int,
  steps: Schema.Int,
  toolCalls: Schema.Array(AgentRun.ToolCall),
  scores: Schema.Array(Score),
  scoring: Schema.Struct({ usage: AgentRun.Usage, cost: Schema.optionalKey(Schema.Finite) }),
  trace: Schema.Array(Trace)
})

/**
 * @category models
 * @since 0.1.0
 */
export type Record = typeof Record.Type

// =============================================================================
// Errors
// =============================================================================

/**
 * A task took longer than the `timeout` of its experiment.
 *
 * @category errors
 * @since 0.1.0
 */
export class TrialTimedOut extends Schema.Error<TrialTimedOut>("effect-agents/evals/Trial/TrialTimedOut")({
  _tag: Schema.tag("TrialTimedOut"),
  milliseconds: Schema.Finite
}) {
  override get message(): string {
    return `The trial took longer than ${this.milliseconds} ms`
  }
}

// =============================================================================
// Accessors
// =============================================================================

/**
 * Tells how a trial ended from the `Exit` of its task.
 *
 * @category accessors
 * @since 0.1.0
 */
export const outcomeOf = (exit: Exit.Exit<unknown, unknown>): Outcome => {
  if (Exit.isSuccess(exit)) return "completed"
  const { reasons } = exit.cause
  if (reasons.some(Cause.isDieReason)) return "died"
  const failures = reasons.filter(Cause.isFailReason)
  if (failures.length === 0) return "interrupted"
  if (failures.some(({ error }) => error instanceof TrialTimedOut)) return "timed-out"
  return failures.some(({ error }) => error instanceof Budget.BudgetExceeded) ? "over-budget" : "failed"
}

/**
 * Returns the finished steps of the runs that are not nested.
 *
 * @category accessors
 * @since 0.1.0
 */
export const steps = (self: Trial): ReadonlyArray<AgentRun.Step> =>
  self.runs.flatMap(({ nested, outcome }) =>
    nested ? [] : outcome._tag === "Completed" ? outcome.result.steps : outcome.partial.steps
  )

/**
 * Returns the tool calls in the finished steps of the runs that are not nested, in order.
 *
 * @category accessors
 * @since 0.1.0
 */
export const toolCalls = (self: Trial): ReadonlyArray<AgentRun.ToolCall> => steps(self).flatMap((_) => _.toolCalls)

/**
 * Returns the answer in the value of a task: the `value` of the result of a run, or its `text` if it has no value. Every
 * other value is the answer itself.
 *
 * @category accessors
 * @since 0.1.0
 */
export const answerOf = (value: unknown): unknown => isResult(value) ? value.value ?? value.text : value

const isResult = (u: unknown): u is AgentRun.Result =>
  Predicate.isObject(u) && "transcript" in u && "stopReason" in u && "totalUsage" in u && typeof u.text === "string"

/**
 * Returns a value as a text: a text as it is, a result of a run as its answer, anything else as JSON.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = (value: unknown): string =>
  readable(() => {
    const answer = answerOf(value)
    return answer === undefined ? "" : Inspectable.toStringUnknown(answer, 2)
  })

/**
 * Returns what a failed trial says of its failure: one line. Returns `undefined` for a trial with a value.
 *
 * @category accessors
 * @since 0.1.0
 */
export const errorOf = (exit: Exit.Exit<unknown, unknown>): string | undefined => {
  if (Exit.isSuccess(exit)) return undefined
  const [reason] = [
    ...exit.cause.reasons.filter(Cause.isDieReason),
    ...exit.cause.reasons.filter(Cause.isFailReason)
  ]
  if (reason === undefined) return "interrupted"
  const error = Cause.isDieReason(reason) ? reason.defect : reason.error
  const said = readable(() =>
    Predicate.hasProperty(error, "message") && typeof error.message === "string"
      ? error.message
      : Inspectable.toStringUnknown(error, 0)
  ).trim()
  return said === "" ? "failed without a message" : said
}

/** The getters of a foreign value may throw. */
const readable = (text: () => string): string => Result.getOrElse(Result.try(text), () => "(cannot be read)")

/**
 * Returns the traces of the runs of a trial.
 *
 * @category accessors
 * @since 0.1.0
 */
export const traceOf = (self: Trial): ReadonlyArray<Trace> =>
  self.runs.map(({ agent, nested, outcome, runId }) => ({
    agent,
    runId,
    nested,
    outcome: outcome._tag,
    transcript: transcriptOf(outcome)
  }))

const transcriptOf = (outcome: AgentRun.Outcome): Prompt.Prompt =>
  outcome._tag === "Completed" ? outcome.result.transcript : outcome.partial.transcript

/**
 * Returns what a report keeps of a trial.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRecord = (
  self: Trial,
  scored: {
    readonly passed: boolean
    readonly scores: ReadonlyArray<Score>
    readonly scoring: { readonly usage: AgentRun.Usage; readonly cost: number | undefined }
    readonly isTraced: boolean
  }
): Record => {
  const error = errorOf(self.exit)
  const { cost, usage } = scored.scoring
  return {
    case: self.case.id,
    number: self.number,
    outcome: self.outcome,
    passed: scored.passed,
    output: Exit.isSuccess(self.exit) ? textOf(self.exit.value) : partialText(self),
    ...(error !== undefined && { error }),
    milliseconds: self.milliseconds,
    usage: self.usage,
    ...(self.cost !== undefined && { cost: self.cost }),
    modelCalls: self.modelCalls,
    steps: steps(self).length,
    toolCalls: toolCalls(self),
    scores: scored.scores,
    scoring: { usage, ...(cost !== undefined && { cost }) },
    trace: scored.isTraced ? traceOf(self) : []
  }
}

/** What the last run that is not nested had said. */
const partialText = ({ runs }: Trial): string => {
  const last = runs.findLast(({ nested }) => !nested)?.outcome
  return last === undefined ? "" : last._tag === "Completed" ? last.result.text : last.partial.text
}

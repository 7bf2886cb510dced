/**
 * Evals: a task is tried at the cases of a dataset, and scorers say how good it is.
 *
 * An experiment has a name, cases, a task and scorers. `run` tries the task at each case, as often as there are
 * `trials`, and returns a report. It never fails: a task that fails, dies, is interrupted, takes too long or exceeds
 * its budget is a trial with a score. Interrupting `run` ends all trials.
 *
 * With a `TrialStore` in the context, `run` goes on with the trials that are missing. With `AgentTelemetry` each trial has
 * a span, `eval_trial {experiment}`, with the spans of its runs in it, and each score is a log record in that span: the
 * event `gen_ai.evaluation.result` of the GenAI conventions.
 *
 * The task is any function to an `Effect`. It usually runs an agent: the usage, the cost, the steps, the tool calls and
 * the messages of all runs in it are recorded, also of those that were interrupted.
 *
 * **Example** (An agent, two questions, three trials each)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Eval, Report, Scorer } from "effect-agents/evals"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const assistant = Agent.make("assistant", { instructions: "You know capitals." })
 *
 * const experiment = Eval.make("capitals", {
 *   cases: [
 *     { id: "norway", input: "What is the capital of Norway?", expected: "Oslo" },
 *     { id: "kenya", input: "What is the capital of Kenya?", expected: "Nairobi" }
 *   ],
 *   task: (prompt: string) => Agent.run(assistant, { prompt }),
 *   scorers: [Scorer.includes()]
 * })
 *
 * const answer = ScriptedModel.text("I would say Oslo.")
 *
 * const program = Effect.gen(function*() {
 *   const report = yield* Eval.run(experiment, { trials: 3 })
 *   const { passed, trials, usage } = Report.summary(report)
 *   yield* Console.log(`${passed} of ${trials} trials pass, with ${usage.outputTokens.total} tokens of output`)
 * })
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer(Array.from({ length: 6 }, () => answer))))
 * // => 3 of 6 trials pass, with 30 tokens of output
 * ```
 *
 * @since 0.1.0
 */

import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as DateTime from "effect/DateTime"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Stream from "effect/Stream"
import * as Budget from "../Budget.ts"
import type * as Dataset from "./Dataset.ts"
import { attempt, attemptWithin } from "./internal/attempt.ts"
import { Meter } from "./internal/meter.ts"
import { Recorder } from "./internal/recorder.ts"
import { isPassed, scoresOf } from "./internal/scoring.ts"
import * as Stored from "./internal/stored.ts"
import * as Telemetry from "./internal/telemetry.ts"
import * as Report from "./Report.ts"
import * as Scorer from "./Scorer.ts"
import * as Trial from "./Trial.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/evals/Eval"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/evals/Eval"

// =============================================================================
// Models
// =============================================================================

/**
 * A task, the cases it is tried at, and the scorers of its trials. `R` is what the task and the scorers need.
 *
 * @category models
 * @since 0.1.0
 */
export interface Experiment<in out I, in out X, in out A, out E, out R> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly cases: ReadonlyArray<Dataset.Case<I, X>>
  readonly task: (input: I, of: Dataset.Case<I, X>) => Effect.Effect<A, E, R>
  readonly scorers: ReadonlyArray<Scorer.Scorer<I, X, A, R>>
}

/**
 * An experiment with any cases and any task.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any<out R = any> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly cases: ReadonlyArray<Dataset.Case>
  readonly task: (input: any, of: any) => Effect.Effect<any, unknown, R>
  readonly scorers: ReadonlyArray<Scorer.Scorer<any, any, any, R>>
}

/**
 * The services that the task and the scorers of an experiment need.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<T> = T extends Any<infer R> ? R : never

/**
 * How far an experiment has come.
 *
 * @category models
 * @since 0.1.0
 */
export interface Progress {
  readonly finished: number
  readonly passed: number
  /** The number of trials of the whole experiment. */
  readonly trials: number
}

/**
 * The options of a trial.
 *
 * @category models
 * @since 0.1.0
 */
export interface TrialOptions {
  /** What the runs of one trial may spend together. Scorers do not draw from it. Default: no limit. */
  readonly budget?: Budget.Budget<unknown> | undefined
  /** The time limit of one trial, without its scorers. Default: none. */
  readonly timeout?: Duration.Input | undefined
  /** The prices of the models, for the costs of the trials. Default: costs are not known. */
  readonly prices?: Budget.Price | Budget.Prices | undefined
  /** The trials whose messages are kept in the report. Default: `"all"`. */
  readonly trace?: "all" | "not-passed" | "none" | undefined
}

/**
 * The options of an experiment's run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends TrialOptions {
  /** The number of trials of each case. Default: 1. */
  readonly trials?: number | undefined
  /** The number of trials that run at the same time. Default: 4. */
  readonly concurrency?: number | undefined
  /** Called after each trial, one call at a time. Default: does nothing. */
  readonly onTrial?: ((record: Trial.Record, progress: Progress) => Effect.Effect<void>) | undefined
}

// =============================================================================
// Constructors
// =============================================================================

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/**
 * Creates an experiment. Nothing runs until `run` does.
 *
 * **Gotchas**
 *
 * Two cases with one id, or two scorers with one name, are a defect of this call.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <
  I,
  T extends Effect.Effect<any, any, any>,
  X = unknown,
  const Scorers extends ReadonlyArray<Scorer.Scorer<NoInfer<I>, NoInfer<X>, Effect.Success<NoInfer<T>>, any>> = []
>(
  name: string,
  options: {
    /** The cases. */
    readonly cases: ReadonlyArray<Dataset.Case<I, X>>
    /** Tries one case. */
    readonly task: (input: I, of: Dataset.Case<I, X>) => T
    /** The scorers of each trial. */
    readonly scorers: Scorers
  }
): Experiment<
  I,
  X,
  Effect.Success<T>,
  Effect.Error<T>,
  Effect.Services<T> | Scorer.Services<Scorers[number]>
> => {
  unique(`the experiment \`${name}\``, "case", options.cases.map(({ id }) => id))
  unique(`the experiment \`${name}\``, "scorer", options.scorers.map((scorer) => scorer.name))
  return Object.assign(Object.create(Proto), {
    name,
    cases: options.cases,
    task: options.task,
    scorers: options.scorers
  })
}

const unique = (where: string, what: string, names: ReadonlyArray<string>): void => {
  const seen = new Set<string>()
  const twice = names.find((name) => seen.size === seen.add(name).size)
  if (twice !== undefined) throw new Error(`Two ${what}s of ${where} are called \`${twice}\``)
}

// =============================================================================
// Combinators
// =============================================================================

/**
 * Returns the experiment with services for its task and its scorers. A layer is built anew for each of them, in each
 * trial; build it outside and give it as a context if it has to outlive a trial.
 *
 * @category combinators
 * @since 0.1.0
 */
export const provide: {
  <ROut, E1, R1>(
    layer: Layer.Layer<ROut, E1, R1>
  ): <I, X, A, E, R>(self: Experiment<I, X, A, E, R>) => Experiment<I, X, A, E | E1, R1 | Exclude<R, ROut>>
  <Services>(
    context: Context.Context<Services>
  ): <I, X, A, E, R>(self: Experiment<I, X, A, E, R>) => Experiment<I, X, A, E, Exclude<R, Services>>
  <I, X, A, E, R, ROut, E1, R1>(
    self: Experiment<I, X, A, E, R>,
    layer: Layer.Layer<ROut, E1, R1>
  ): Experiment<I, X, A, E | E1, R1 | Exclude<R, ROut>>
  <I, X, A, E, R, Services>(
    self: Experiment<I, X, A, E, R>,
    context: Context.Context<Services>
  ): Experiment<I, X, A, E, Exclude<R, Services>>
} = dual(2, (self: Any, services: Context.Context<any>): Any =>
  Object.assign(Object.create(Proto), {
    name: self.name,
    cases: self.cases,
    task: (input: unknown, of: Dataset.Case) => Effect.provide(self.task(input, of), services),
    scorers: self.scorers.map((scorer) => Scorer.provide(scorer, services))
  }))

// =============================================================================
// Running
// =============================================================================

/**
 * Runs an experiment to its report. The cases and trials of the report are in the order of the experiment, whatever
 * ended first.
 *
 * @category running
 * @since 0.1.0
 */
export const run = <I, X, A, E, R>(
  self: Experiment<I, X, A, E, R>,
  options?: Options
): Effect.Effect<Report.Report, never, R> =>
  Effect.gen(function*() {
    const started = yield* DateTime.now
    const from = yield* Clock.currentTimeMillis
    const records = new Map(self.cases.map(({ id }) => [id, [] as Array<Trial.Record>]))
    yield* Stream.runForEach(
      stream(self, options),
      (record) => Effect.sync(() => records.get(record.case)?.push(record))
    )
    return Report.make({
      experiment: self.name,
      started: DateTime.formatIso(started),
      milliseconds: (yield* Clock.currentTimeMillis) - from,
      cases: self.cases.map((of) => Report.caseOf(of, records.get(of.id) ?? []))
    })
  })

/**
 * Runs an experiment and emits the record of each trial when it has ended. `run` is the fold of this stream, and keeps
 * all records; a consumer that keeps none of them needs no more memory for more trials.
 *
 * @category running
 * @since 0.1.0
 */
export const stream = <I, X, A, E, R>(
  self: Experiment<I, X, A, E, R>,
  options?: Options
): Stream.Stream<Trial.Record, never, R> =>
  Stream.suspend(() => {
    const { concurrency = 4, onTrial, trials = 1 } = options ?? {}
    const progress = { finished: 0, passed: 0, trials: trials * self.cases.length }
    const records = Stream.mapEffect(
      Stream.fromIterable({ [Symbol.iterator]: () => attemptsOf(self.cases, trials) }),
      ([of, number]) => Stored.once(self, of, number, options, trial(self, of, number, options)),
      // not a number is less than one, too
      { concurrency: concurrency >= 1 ? concurrency : 1, unordered: true }
    )
    return onTrial === undefined ? records : Stream.tap(records, (record) => {
      progress.finished++
      if (record.passed) progress.passed++
      return onTrial(record, { ...progress })
    })
  })

function* attemptsOf<C>(cases: ReadonlyArray<C>, trials: number): Iterator<readonly [C, number]> {
  for (let number = 1; number <= trials; number++) {
    for (const of of cases) yield [of, number]
  }
}

/**
 * Runs one trial of a case. `number` is the number of the trial, from 1.
 *
 * @category running
 * @since 0.1.0
 */
export const trial = <I, X, A, E, R>(
  self: Experiment<I, X, A, E, R>,
  of: Dataset.Case<I, X>,
  number: number,
  options: TrialOptions = {}
): Effect.Effect<Trial.Record, never, R> =>
  Telemetry.traced(
    Effect.gen(function*() {
      const recorder = new Recorder()
      const ended = yield* tried(self, of, number, options, recorder)
      const scoring = new Meter(options.prices)
      const scores = yield* Effect.updateContext(
        scoresOf(self.scorers, ended),
        (context: Context.Context<R>) => scoring.provide(context)
      )
      const passed = isPassed(self.scorers, ended.outcome, scores)
      const record = Trial.toRecord(ended, {
        passed,
        scores,
        scoring: { usage: scoring.usage, cost: scoring.cost },
        isTraced: options.trace === "none" ? false : options.trace === "not-passed" ? !passed : true
      })
      return { record, capturesContent: recorder.capturesContent }
    }),
    self.name,
    of.id,
    number
  )

const tried = <I, X, A, E, R>(
  self: Experiment<I, X, A, E, R>,
  of: Dataset.Case<I, X>,
  number: number,
  { budget, prices, timeout }: TrialOptions,
  recorder: Recorder
): Effect.Effect<Trial.Trial<I, X, A>, never, R> =>
  Effect.gen(function*() {
    const meter = new Meter(prices)
    const task = Effect.updateContext(
      Effect.suspend(() => self.task(of.input, of)),
      (context: Context.Context<R>) => recorder.provide(meter.provide(context))
    )
    const limited: Effect.Effect<A, unknown, R> = budget === undefined ? task : Budget.provide(budget)(task)
    const from = yield* Clock.currentTimeMillis
    const exit = timeout === undefined
      ? yield* attempt(limited)
      : yield* attemptWithin(limited, Duration.fromInputUnsafe(timeout), () =>
        new Trial.TrialTimedOut({ milliseconds: Duration.toMillis(timeout) }))
    return {
      case: of,
      number,
      exit,
      outcome: Trial.outcomeOf(exit),
      milliseconds: (yield* Clock.currentTimeMillis) - from,
      usage: meter.usage,
      cost: meter.cost,
      modelCalls: meter.modelCalls,
      runs: recorder.runs()
    }
  })

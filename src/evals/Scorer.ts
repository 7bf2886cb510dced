/**
 * Scorers: each gives a trial a score, and its threshold says whether the trial passes.
 *
 * A scorer is a function of a trial. It may be an `Effect`: `Judge` asks a model. A trial passes when none of its scores
 * fails; a scorer without a threshold only measures. `check` and `compare` need a predicate; the others are the usual
 * ones: `exact`, `includes`, `matches`, `numeric`, `similarity`, `schema`, `outcome`, `latency`, `cost`, `tokens`,
 * `steps`. Those for tool calls are in `Trajectory`.
 *
 * **Details**
 *
 * Most scorers need the value of the task, so a trial that has none gets 0 from them and does not pass. `outcome` says
 * which end is the wanted one: with `outcome("failed")` a trial passes by failing, and the scorers that need a value say
 * nothing about it. A scorer that compares with `expected` says nothing about a case that has none. A scorer that fails,
 * dies or is interrupted gives 0, does not pass, and its score says why.
 *
 * **Example** (Two scorers)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Eval, Scorer } from "effect-agents/evals"
 *
 * const experiment = Eval.make("capitals", {
 *   cases: [
 *     { id: "norway", input: "Norway", expected: "Oslo" },
 *     { id: "kenya", input: "Kenya", expected: "Nairobi" }
 *   ],
 *   task: (country: string) => Effect.succeed(country === "Norway" ? "It is Oslo." : "It is Mombasa."),
 *   scorers: [
 *     Scorer.includes(),
 *     Scorer.check("short", (answer: string) => answer.length < 20)
 *   ]
 * })
 *
 * const program = Effect.gen(function*() {
 *   const report = yield* Eval.run(experiment)
 *   for (const { id, trials } of report.cases) {
 *     yield* Console.log(id, trials[0].passed, trials[0].scores.map(({ name, value }) => `${name} ${value}`).join(", "))
 *   }
 * })
 *
 * Effect.runPromise(program)
 * // => norway true includes 1, short 1
 * // => kenya false includes 0, short 1
 * ```
 *
 * @since 0.1.0
 */

import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import { dual } from "effect/Function"
import type * as Layer from "effect/Layer"
import { type Pipeable, pipeArguments } from "effect/Pipeable"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Dataset from "./Dataset.ts"
import { similarityOf } from "./internal/similarity.ts"
import * as Trial from "./Trial.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/evals/Scorer"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/evals/Scorer"

// =============================================================================
// Models
// =============================================================================

/**
 * What a scorer says: a number, `true` for 1 and `false` for 0, or a number with a label and an explanation.
 *
 * @category models
 * @since 0.1.0
 */
export type Verdict = number | boolean | {
  readonly value: number | boolean
  /** A word for the value, such as `"helpful"`. Default: none. */
  readonly label?: string | undefined
  /** Why the value is what it is. Default: none. */
  readonly explanation?: string | undefined
  /** The opinions that the value was made from. Default: none. */
  readonly judgements?: ReadonlyArray<Trial.Judgement> | undefined
}

/**
 * A trial that has a value.
 *
 * @category models
 * @since 0.1.0
 */
export interface Valued<out I = unknown, out X = unknown, out A = unknown> extends Trial.Trial<I, X, A> {
  readonly value: A
}

/**
 * The bounds that a score has to keep to pass. Without both the scorer only measures.
 *
 * @category models
 * @since 0.1.0
 */
export interface Threshold {
  /** The lowest value that passes. Default: no bound. */
  readonly atLeast?: number | undefined
  /** The highest value that passes. Default: no bound. */
  readonly atMost?: number | undefined
}

/**
 * A scorer for the cases `I`, with the references `X`, of a task with the value `A`. `R` is what it needs.
 *
 * `of` says which trials it looks at: those that have a value, every trial, or every trial in order to accept its
 * outcome.
 *
 * @category models
 * @since 0.1.0
 */
export interface Scorer<in I, in X, in A, out R = never> extends Pipeable {
  readonly [TypeId]: TypeId
  readonly name: string
  readonly of: "value" | "trial" | "outcome"
  readonly threshold: Threshold
  /** Gives `undefined` for a trial that it says nothing about. */
  readonly score: (trial: Valued<I, X, A>) => Verdict | undefined | Effect.Effect<Verdict | undefined, unknown, R>
}

/**
 * A scorer of any task.
 *
 * @category models
 * @since 0.1.0
 */
export interface Any extends Scorer<never, never, never, any> {}

/**
 * The services that a scorer needs.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Services<S> = S extends Scorer<never, never, never, infer R> ? R : never

// =============================================================================
// Constructors
// =============================================================================

const Proto = {
  [TypeId]: TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

const fromFields = <I, X, A, R>(
  fields: Omit<Scorer<I, X, A, R>, TypeId | "pipe">
): Scorer<I, X, A, R> => Object.assign(Object.create(Proto), fields)

/**
 * Creates a scorer of the value of a task. Without bounds it only measures.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = <I = unknown, X = unknown, A = unknown, R = never>(
  name: string,
  options: Threshold & {
    readonly score: (trial: Valued<I, X, A>) => Verdict | undefined | Effect.Effect<Verdict | undefined, unknown, R>
  }
): Scorer<I, X, A, R> => fromFields({ name, of: "value", threshold: thresholdOf(options), score: options.score })

/**
 * Creates a scorer that looks at every trial, also at those without a value. Without bounds it only measures.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofTrial = <I = unknown, X = unknown, A = unknown, R = never>(
  name: string,
  options: Threshold & {
    readonly score: (
      trial: Trial.Trial<I, X, A>
    ) => Verdict | undefined | Effect.Effect<Verdict | undefined, unknown, R>
  }
): Scorer<I, X, A, R> => fromFields({ name, of: "trial", threshold: thresholdOf(options), score: options.score })

/**
 * Creates a scorer from a predicate over the value of a task.
 *
 * @category constructors
 * @since 0.1.0
 */
export const check = <A = unknown, I = unknown, X = unknown>(
  name: string,
  holds: (value: A, of: Dataset.Case<I, X>) => boolean
): Scorer<I, X, A> =>
  fromFields({ name, of: "value", threshold: whole, score: (trial) => holds(trial.value, trial.case) })

/**
 * Creates a scorer that compares the value of a task with the reference of its case, from a function that returns a
 * number from 0 to 1 or a boolean. It passes from 1 on, or from `atLeast` on. It says nothing about a case without a
 * reference.
 *
 * @category constructors
 * @since 0.1.0
 */
export const compare = <A = unknown, X = unknown>(
  name: string,
  score: (value: A, expected: X) => Verdict,
  options?: {
    /** The lowest value that passes. Default: 1. */
    readonly atLeast?: number | undefined
  }
): Scorer<unknown, X, A> =>
  fromFields({
    name,
    of: "value",
    threshold: { atLeast: options?.atLeast ?? 1 },
    score: ({ case: { expected }, value }) => expected === undefined ? undefined : score(value, expected)
  })

const whole: Threshold = { atLeast: 1 }

const thresholdOf = ({ atLeast, atMost }: Threshold): Threshold => ({ atLeast, atMost })

/**
 * The wanted end of a trial. Every trial that ends so passes this scorer; the others do not. Without this scorer the
 * wanted end is `"completed"`.
 *
 * @category outcomes
 * @since 0.1.0
 */
export const outcome = (
  ...wanted: readonly [Trial.Outcome, ...Array<Trial.Outcome>]
): Scorer<unknown, unknown, unknown> =>
  fromFields({
    name: "outcome",
    of: "outcome",
    threshold: whole,
    score: (trial) => ({ value: wanted.includes(trial.outcome), label: trial.outcome })
  })

// =============================================================================
// Combinators
// =============================================================================

/**
 * Returns the scorer with other bounds.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withThreshold: {
  (threshold: Threshold): <I, X, A, R>(self: Scorer<I, X, A, R>) => Scorer<I, X, A, R>
  <I, X, A, R>(self: Scorer<I, X, A, R>, threshold: Threshold): Scorer<I, X, A, R>
} = dual(
  2,
  <I, X, A, R>(self: Scorer<I, X, A, R>, threshold: Threshold): Scorer<I, X, A, R> =>
    fromFields({ ...self, threshold: thresholdOf(threshold) })
)

/**
 * Returns the scorer with another name. Names are unique in an experiment.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withName: {
  (name: string): <I, X, A, R>(self: Scorer<I, X, A, R>) => Scorer<I, X, A, R>
  <I, X, A, R>(self: Scorer<I, X, A, R>, name: string): Scorer<I, X, A, R>
} = dual(
  2,
  <I, X, A, R>(self: Scorer<I, X, A, R>, name: string): Scorer<I, X, A, R> => fromFields({ ...self, name })
)

/**
 * Returns the scorer with services. A layer is built anew for each score.
 *
 * @category combinators
 * @since 0.1.0
 */
export const provide: {
  <ROut, E1, R1>(
    layer: Layer.Layer<ROut, E1, R1>
  ): <I, X, A, R>(self: Scorer<I, X, A, R>) => Scorer<I, X, A, R1 | Exclude<R, ROut>>
  <Services>(
    context: Context.Context<Services>
  ): <I, X, A, R>(self: Scorer<I, X, A, R>) => Scorer<I, X, A, Exclude<R, Services>>
  <I, X, A, R, ROut, E1, R1>(
    self: Scorer<I, X, A, R>,
    layer: Layer.Layer<ROut, E1, R1>
  ): Scorer<I, X, A, R1 | Exclude<R, ROut>>
  <I, X, A, R, Services>(
    self: Scorer<I, X, A, R>,
    context: Context.Context<Services>
  ): Scorer<I, X, A, Exclude<R, Services>>
} = dual(
  2,
  (self: Scorer<any, any, any, any>, services: Context.Context<any>): Scorer<any, any, any, any> =>
    fromFields({
      ...self,
      score: (trial) => {
        const verdict = self.score(trial)
        return Effect.isEffect(verdict) ? Effect.provide(verdict, services) : verdict
      }
    })
)

/**
 * Returns whether a value keeps the bounds of a scorer; `undefined` if it has none.
 *
 * @category accessors
 * @since 0.1.0
 */
export const passes = ({ atLeast, atMost }: Threshold, value: number): boolean | undefined =>
  atLeast === undefined && atMost === undefined
    ? undefined
    : (atLeast === undefined || value >= atLeast) && (atMost === undefined || value <= atMost)

// =============================================================================
// Answers
// =============================================================================

/**
 * How a scorer of texts reads an answer and its reference.
 *
 * @category models
 * @since 0.1.0
 */
export interface TextOptions {
  /** Whether upper and lower case differ. Default: they do. */
  readonly ignoreCase?: boolean | undefined
}

/**
 * Passes an answer that equals its reference, by `Equal`. The answer of an agent is the `value` of its result, or its
 * `text` if it has no `output`.
 *
 * @category answers
 * @since 0.1.0
 */
export const exact = (): Scorer<unknown, unknown, unknown> =>
  compare("exact", (value, expected) => Equal.equals(Trial.answerOf(value), expected))

/**
 * Passes an answer whose text has the reference in it, or each of several.
 *
 * @category answers
 * @since 0.1.0
 */
export const includes = (
  options?: TextOptions
): Scorer<unknown, string | ReadonlyArray<string>, unknown> =>
  compare("includes", (value, expected: string | ReadonlyArray<string>) => {
    const text = readText(value, options)
    const missing = (typeof expected === "string" ? [expected] : expected).filter((part) =>
      !text.includes(readText(part, options))
    )
    return missing.length === 0
      ? true
      : { value: false, explanation: `missing: ${missing.map((part) => JSON.stringify(part)).join(", ")}` }
  })

/**
 * Passes an answer whose text matches a pattern.
 *
 * @category answers
 * @since 0.1.0
 */
export const matches = (pattern: RegExp): Scorer<unknown, unknown, unknown> =>
  // a pattern with the flag `g` or `y` remembers where it was
  check(`matches ${pattern}`, (value) => Trial.textOf(value).search(pattern) !== -1)

/**
 * Passes an answer that decodes with a schema. A text is not read as JSON; use `Schema.fromJsonString` for that.
 *
 * @category answers
 * @since 0.1.0
 */
export const schema = <A, I>(schema: Schema.Codec<A, I>): Scorer<unknown, unknown, unknown> => {
  const decode = Schema.decodeUnknownResult(schema)
  return fromFields({
    name: "schema",
    of: "value",
    threshold: whole,
    score: ({ value }) => {
      const decoded = decode(Trial.answerOf(value))
      return Result.isSuccess(decoded) ? true : { value: false, explanation: decoded.failure.message }
    }
  })
}

/**
 * Passes an answer that is a number near its reference. A text counts as the last number in it, in the notation of
 * JSON; a comma between three digits and three digits is left out.
 *
 * @category answers
 * @since 0.1.0
 */
export const numeric = (options?: {
  /** The greatest difference that passes. Default: 0. */
  readonly tolerance?: number | undefined
  /** The greatest difference that passes, as a part of the reference. Default: 0. */
  readonly relative?: number | undefined
}): Scorer<unknown, number, unknown> => {
  const { relative = 0, tolerance = 0 } = options ?? {}
  return compare("numeric", (value, expected: number) => {
    const found = numberIn(Trial.answerOf(value))
    if (found === undefined) return { value: false, explanation: "there is no number in the answer" }
    const isNear = Math.abs(found - expected) <= Math.max(tolerance, relative * Math.abs(expected))
    return isNear ? true : { value: false, explanation: `${found} is not ${expected}` }
  })
}

const numberIn = (answer: unknown): number | undefined => {
  if (typeof answer === "number") return answer
  const found = Trial.textOf(answer).replace(/(?<=\d),(?=\d{3}(?!\d))/g, "").match(/-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g)
  return found === null ? undefined : Number(found.at(-1))
}

/**
 * Scores how similar the text of an answer is to its reference, from 0 to 1: twice the number of characters that a
 * shortest edit script keeps, divided by the number of characters of both. This is the normalised indel similarity, the
 * `ratio` of RapidFuzz. White space counts as one space.
 *
 * @category answers
 * @since 0.1.0
 */
export const similarity = (
  options?: TextOptions & {
    /** The lowest similarity that passes. Default: 0.8. */
    readonly atLeast?: number | undefined
  }
): Scorer<unknown, string, unknown> =>
  compare(
    "similarity",
    (value, expected: string) => similarityOf(words(readText(value, options)), words(readText(expected, options))),
    { atLeast: options?.atLeast ?? 0.8 }
  )

const words = (text: string): string => text.trim().replace(/\s+/g, " ")

const readText = (value: unknown, options: TextOptions | undefined): string => {
  const text = Trial.textOf(value)
  return options?.ignoreCase === true ? text.toLowerCase() : text
}

// =============================================================================
// Measures
// =============================================================================

/**
 * Measures the milliseconds that a trial took, by the `Clock`.
 *
 * @category measures
 * @since 0.1.0
 */
export const latency = (threshold: Threshold = {}): Scorer<unknown, unknown, unknown> =>
  ofTrial("latency", { ...threshold, score: ({ milliseconds }) => milliseconds })

/**
 * Measures the cost of the model calls of a trial, in the currency of the `prices` of the experiment. It says nothing
 * about a trial whose cost is not known.
 *
 * @category measures
 * @since 0.1.0
 */
export const cost = (threshold: Threshold = {}): Scorer<unknown, unknown, unknown> =>
  ofTrial("cost", { ...threshold, score: ({ cost }) => cost })

/**
 * Measures the input and output tokens of a trial together.
 *
 * @category measures
 * @since 0.1.0
 */
export const tokens = (threshold: Threshold = {}): Scorer<unknown, unknown, unknown> =>
  ofTrial("tokens", {
    ...threshold,
    score: ({ usage }) => (usage.inputTokens.total ?? 0) + (usage.outputTokens.total ?? 0)
  })

/**
 * Measures the finished steps of a trial, without those of nested runs.
 *
 * @category measures
 * @since 0.1.0
 */
export const steps = (threshold: Threshold = {}): Scorer<unknown, unknown, unknown> =>
  ofTrial("steps", { ...threshold, score: (trial) => Trial.steps(trial).length })

/**
 * The scores of a trial, and whether it passes.
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scorer from "../Scorer.ts"
import * as Trial from "../Trial.ts"
import { attempt } from "./attempt.ts"

/**
 * A scorer of the experiment that a trial belongs to.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyScorer<R = any> = Scorer.Scorer<any, any, any, R>

/**
 * Scores a trial with every scorer, one after the other.
 *
 * @category running
 * @since 0.1.0
 */
export const scoresOf = Effect.fnUntraced(function*<R>(
  scorers: ReadonlyArray<AnyScorer<R>>,
  trial: Trial.Trial
): Effect.fn.Return<ReadonlyArray<Trial.Score>, never, R> {
  const scores: Array<Trial.Score> = []
  const isWanted = trial.outcome === "completed" || scorers.some((_) => _.of === "outcome")
  let isAccepted = isWanted
  // the wanted outcomes first: the others depend on them
  for (const scorer of [...scorers].sort((a, b) => Number(b.of === "outcome") - Number(a.of === "outcome"))) {
    const score = scorer.of === "value" && Exit.isFailure(trial.exit)
      ? isAccepted ? undefined : noValue(scorer.name, trial)
      : yield* scoreOf(scorer, trial)
    if (score === undefined) continue
    if (scorer.of === "outcome" && score.passed === false) isAccepted = false
    scores.push(score)
  }
  return scores
})

/**
 * Returns whether a trial passes with these scores.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isPassed = (
  scorers: ReadonlyArray<AnyScorer>,
  outcome: Trial.Outcome,
  scores: ReadonlyArray<Trial.Score>
): boolean =>
  scores.every(({ passed }) => passed !== false) &&
  (outcome === "completed" || scorers.some((_) => _.of === "outcome"))

const noValue = (name: string, { outcome }: Trial.Trial): Trial.Score => ({
  name,
  value: 0,
  passed: false,
  error: `the trial is ${outcome}`
})

const scoreOf = <R>(
  scorer: AnyScorer<R>,
  trial: Trial.Trial
): Effect.Effect<Trial.Score | undefined, never, R> => {
  const { name } = scorer
  const valued = Exit.isSuccess(trial.exit) ? { ...trial, value: trial.exit.value } : trial
  const scoring = Effect.suspend((): Effect.Effect<Scorer.Verdict | undefined, unknown, R> => {
    const verdict = scorer.score(valued as Scorer.Valued)
    return Effect.isEffect(verdict) ? verdict : Effect.succeed(verdict)
  })
  // a verdict that is none is a failure of the scorer
  const scored = Effect.map(scoring, (verdict) => verdict === undefined ? undefined : toScore(scorer, verdict))
  return Effect.map(
    attempt(scored),
    (exit): Trial.Score | undefined =>
      Exit.isFailure(exit) ? { name, value: 0, passed: false, error: failureOf(exit.cause) } : exit.value
  )
}

const toScore = ({ name, threshold }: AnyScorer, verdict: Scorer.Verdict): Trial.Score => {
  const { explanation, judgements, label, value } = typeof verdict === "object" ? verdict : { value: verdict }
  const number = Number(value)
  const strange = [number, ...(judgements ?? []).map(({ value }) => value)].find((_) => !Number.isFinite(_))
  if (strange !== undefined) return { name, value: 0, passed: false, error: `the score is ${strange}` }
  const passed = Scorer.passes(threshold, number)
  return {
    name,
    value: number,
    ...(passed !== undefined && { passed }),
    ...(label !== undefined && { label }),
    ...(explanation !== undefined && { explanation }),
    ...(judgements !== undefined && { judgements })
  }
}

const failureOf = (cause: Cause.Cause<unknown>): string => Trial.errorOf(Exit.failCause(cause)) ?? ""

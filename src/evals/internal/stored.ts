/**
 * Trials that are tried once, where the context has a store for them.
 *
 * @since 0.1.0
 */

import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Formatter from "effect/Formatter"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import type * as Budget from "../../Budget.ts"
import type * as Dataset from "../Dataset.ts"
import type * as Trial from "../Trial.ts"
import * as TrialStore from "../TrialStore.ts"
import type { AnyScorer } from "./scoring.ts"

interface Limits {
  readonly budget?: Budget.Budget<unknown> | undefined
  readonly timeout?: Duration.Input | undefined
}

/**
 * Returns the stored record of a trial, or runs the trial and stores its record. A store that fails is logged, and the
 * trial is tried as without it.
 *
 * @category running
 * @since 0.1.0
 */
export const once = <R>(
  experiment: { readonly name: string; readonly scorers: ReadonlyArray<AnyScorer> },
  of: Dataset.Case,
  number: number,
  limits: Limits | undefined,
  trial: Effect.Effect<Trial.Record, never, R>
): Effect.Effect<Trial.Record, never, R> =>
  Effect.flatMap(Effect.context<never>(), (context) => {
    const store = Context.getOrUndefined(context, TrialStore.TrialStore)
    if (store === undefined) return trial
    const key = keyOf(experiment, of, number, limits ?? {})
    const loaded = store.load(key).pipe(Effect.catch((error) => Effect.as(log(error), Option.none<Trial.Record>())))
    return Effect.flatMap(loaded, (record) =>
      Option.isSome(record)
        ? Effect.succeed(record.value)
        : Effect.tap(trial, (record) => store.save(key, record).pipe(Effect.catch(log))))
  })

const log = (error: TrialStore.TrialStoreError): Effect.Effect<void> => Effect.logWarning(error.message, error.cause)

const keyOf = (
  { name, scorers }: { readonly name: string; readonly scorers: ReadonlyArray<AnyScorer> },
  of: Dataset.Case,
  number: number,
  { budget, timeout }: Limits
): string => {
  const judgedBy = scorers.map(({ name, of, threshold: { atLeast, atMost } }) => [name, of, atLeast, atMost])
  // JSON has nothing of a `Map` or a `Set`
  const asked = [Formatter.format(of.input), Formatter.format(of.expected), judgedBy]
  const limits = [timeout === undefined ? null : Duration.toMillis(timeout), budget?.limits, budget?.atLimit]
  return JSON.stringify([name, of.id, number, Hash.string(JSON.stringify([asked, limits]))])
}

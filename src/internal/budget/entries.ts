/**
 * The operations on an account in an execution with a journal. Each is done once, in one of the attempts.
 *
 * @since 0.1.0
 */

import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Journal from "../../Journal.ts"
import * as Scope from "../journal/scope.ts"
import * as Step from "../journal/step.ts"
import type { Cost, Entry } from "../model/spending.ts"
import type { JournalError } from "../words/journalError.ts"

/**
 * Records one effect, if `isKept`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Recorder {
  <A, E>(codecs: Journal.Codecs<A, E>, effect: Effect.Effect<A, E>): Effect.Effect<A, E>
  readonly isKept: boolean
}

/**
 * Records the answers of an account under a name, which is made unique when this is called. Without a journal nothing
 * is recorded. The run fails with an invalid record, although the type does not say so.
 *
 * @category constructors
 * @since 0.1.0
 */
export const recorder = (account: string, what: string): Effect.Effect<Recorder> =>
  Effect.contextWith((context: Context.Context<never>) => {
    const scope = openScope(context)
    if (scope === undefined) return Effect.succeed(plain)
    const name = nameIn(scope, account, what)
    const record = <A, E>(codecs: Journal.Codecs<A, E>, effect: Effect.Effect<A, E>) =>
      Step.inScope(scope, name, codecs, effect) as Effect.Effect<A, E>
    return Effect.succeed(Object.assign(record, { isKept: true }))
  })

const plain: Recorder = Object.assign(<A, E>(_: unknown, effect: Effect.Effect<A, E>) => effect, { isKept: false })

/**
 * Runs an effect in the first attempt that comes to it, and in no later one.
 *
 * @category running
 * @since 0.1.0
 */
export const atMostOnce = (account: string, what: string, effect: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(recorder(account, what), (recorded) => {
    let isFirst = false
    const mark = Effect.sync(() => {
      isFirst = true
    })
    // the record comes first, because something that is taken back twice would be missing for ever
    return Effect.andThen(
      recorded({ success: Schema.Void }, mark),
      Effect.suspend(() => isFirst ? effect : Effect.void)
    )
  })

/**
 * Returns the entry of a model call that begins in this context, or `undefined` if there is no journal.
 *
 * `write` writes a cost, and returns whether that has succeeded. If it has not, another attempt writes it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const entry = (
  account: string,
  context: Context.Context<never>,
  write: (cost: Cost) => Effect.Effect<boolean>
): Entry | undefined => {
  const scope = openScope(context)
  if (scope === undefined) return undefined
  const name = nameIn(scope, account, "cost")
  const written = (cost: Cost, count: number): Effect.Effect<void, JournalError> => {
    let isLive = false
    const writing = Effect.suspend(() => {
      isLive = true
      return write(cost)
    })
    return Effect.flatMap(
      Step.inScope(scope, count === 0 ? name : `${name}/${count}`, { success: Schema.Boolean }, writing),
      (isWritten) => isWritten || isLive ? Effect.void : written(cost, count + 1)
    )
  }
  return {
    // after the record of the call, so that the next attempt writes the cost if this process dies in between
    end: (cost) => written(cost, 0) as Effect.Effect<void>,
    cut: (cost) => cost.isReplayed ? Effect.void : Effect.asVoid(write(cost))
  }
}

const openScope = (context: Context.Context<never>): Scope.Scope | undefined => {
  const scope = Scope.of(context)
  return scope === undefined || scope.isClosed ? undefined : scope
}

const nameIn = (scope: Scope.Scope, account: string, what: string): string =>
  scope.unique(`account/${Scope.segment(account)}/${what}`)

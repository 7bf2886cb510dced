/**
 * One effect that is recorded.
 *
 * @since 0.1.0
 */

import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as Journal from "../../Journal.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import type { JournalError } from "../words/journalError.ts"
import * as Scope from "./scope.ts"

/**
 * Runs an effect once in the life of an execution.
 *
 * @category running
 * @since 0.1.0
 */
export const step = <A, E, R>(
  name: string,
  codecs: Journal.Codecs<A, E>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | JournalError, R> =>
  Effect.contextWith((context: Context.Context<R>) => {
    const scope = Scope.of(context as Context.Context<never>)
    if (scope === undefined || scope.isClosed) return effect
    return inScope(scope, scope.unique(Scope.segment(name)), codecs, effect)
  })

/**
 * Runs an effect once, as the record of this name.
 *
 * @category running
 * @since 0.1.0
 */
export const inScope = <A, E, R>(
  scope: Scope.Scope,
  name: string,
  codecs: Journal.Codecs<A, E>,
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | JournalError, R> =>
  Effect.contextWith((context: Context.Context<R>) => {
    const success = JsonCodec.make<A, unknown, never, never>(codecs.success)
    const failure = codecs.failure === undefined ? undefined : JsonCodec.make<E, unknown, never, never>(codecs.failure)
    let live: Exit.Exit<A, E> | undefined
    const encoded = (codec: Schema.Codec<any, unknown>, key: string, value: unknown) =>
      Effect.mapBoth(Schema.encodeUnknownEffect(codec)(value), {
        onFailure: ({ message }) => Scope.invalid(name, `its value has no JSON: ${message}`),
        onSuccess: (value) => ({ [key]: value })
      })
    const execute = Effect.flatMap(
      Effect.exit(
        Effect.updateContext(
          effect,
          (inner: Context.Context<never>) =>
            Scope.carried(inner, context as Context.Context<never>) as Context.Context<R>
        )
      ),
      (exit) => {
        live = exit
        if (Exit.isSuccess(exit)) return encoded(success, "success", exit.value)
        const error = Cause.findErrorOption(exit.cause)
        return error._tag === "None" || failure === undefined
          ? Effect.failCause(exit.cause as Cause.Cause<never>)
          : encoded(failure, "failure", error.value)
      }
    )
    return Effect.flatMap(
      scope.record(name, "step", execute),
      ({ isLive, value }): Effect.Effect<A, E | JournalError> => {
        if (isLive) return live!
        const record = value as { readonly success?: unknown; readonly failure?: unknown }
        const decoded = <T>(codec: Schema.Codec<T, unknown>, encoded: unknown) =>
          Effect.catchTag(
            Schema.decodeUnknownEffect(codec)(encoded),
            "SchemaError",
            ({ message }) => scope.broken(Scope.invalid(name, `it does not decode: ${message}`))
          )
        return "failure" in record && failure !== undefined
          ? Effect.flatMap(decoded(failure, record.failure), (error) => Effect.fail(error))
          : decoded(success, record.success)
      }
    )
  })

/**
 * The time for decisions of an execution.
 *
 * @category accessors
 * @since 0.1.0
 */
export const currentTimeMillis: Effect.Effect<number> = Effect.contextWith((context: Context.Context<never>) => {
  const scope = Scope.of(context)
  return scope === undefined
    ? Clock.currentTimeMillis
    : scope.now === undefined
    ? momentIn(scope)
    : Effect.succeed(scope.now)
})

/**
 * The time of the last record, or of the clock if there is none. Nothing is recorded.
 *
 * @category accessors
 * @since 0.1.0
 */
export const now: Effect.Effect<number> = Effect.contextWith((context: Context.Context<never>) => {
  const moment = Scope.of(context)?.now
  return moment === undefined ? Clock.currentTimeMillis : Effect.succeed(moment)
})

/**
 * The time of the first call in the life of an execution. It is recorded.
 *
 * @category accessors
 * @since 0.1.0
 */
export const moment: Effect.Effect<number> = Effect.contextWith((context: Context.Context<never>) => {
  const scope = Scope.of(context)
  return scope === undefined || scope.isClosed ? Clock.currentTimeMillis : momentIn(scope)
})

const momentIn = (scope: Scope.Scope): Effect.Effect<number> => {
  const name = scope.unique("now")
  // everything else here fails with the same invalid record
  return Effect.map(Effect.orDie(inScope(scope, name, { success: Schema.Void }, Effect.void)), () => scope.now!)
}

/**
 * The time of the clock without the time in which nobody worked on the execution. While everything is read from records
 * it is the time of the last one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const workingTime: Effect.Effect<number> = Effect.contextWith((context: Context.Context<never>) => {
  const scope = Scope.of(context)
  return scope === undefined ? Clock.currentTimeMillis : scope.workingTime
})

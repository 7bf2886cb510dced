/**
 * The ids of runs, and of the calls of programs.
 *
 * @since 0.1.0
 */

import * as IdGenerator from "effect/ai/IdGenerator"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/**
 * Creates the id of a run that begins in this context. Without an `IdGenerator` in the context it needs no effect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (context: Context.Context<never>): string | Effect.Effect<string> => makerIn(context)()

/**
 * Returns what creates the ids of the runs that begin in this context, or other ids with a prefix of their own.
 *
 * @category constructors
 * @since 0.1.0
 */
export const makerIn = (context: Context.Context<never>, prefix = "run"): () => string | Effect.Effect<string> => {
  const generator = Context.getOrUndefined(context, IdGenerator.IdGenerator)
  if (generator !== undefined) return () => generator.generateId()
  const source = Context.get(context, Random.Random)
  return () => random(prefix, source)
}

/**
 * Creates the id of a run that begins in the context of this effect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const next: Effect.Effect<string> = Effect.contextWith((context: Context.Context<never>) => {
  const id = make(context)
  return typeof id === "string" ? Effect.succeed(id) : id
})

const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/** As long as the ids of effect's default generator, which needs an operation for each character. */
const random = (prefix: string, source: Context.Service.Shape<typeof Random.Random>): string =>
  `${prefix}_${half(source.nextDoubleUnsafe())}${half(source.nextDoubleUnsafe())}`

/** Eight characters, because a random number between 0 and 1 holds no more. */
const half = (number: number): string => {
  const scaled = number * quarters
  const first = Math.floor(scaled)
  const second = Math.floor((scaled - first) * quarters)
  // every run has an id: the quotients are small integers, and the characters are read from one text
  const b = Math.floor(first / length)
  const c = Math.floor(b / length)
  const d = Math.floor(c / length)
  const f = Math.floor(second / length)
  const g = Math.floor(f / length)
  const h = Math.floor(g / length)
  return String.fromCharCode(
    codeAt(second - f * length),
    codeAt(f - g * length),
    codeAt(g - h * length),
    codeAt(h),
    codeAt(first - b * length),
    codeAt(b - c * length),
    codeAt(c - d * length),
    codeAt(d)
  )
}

const { length } = alphabet

/** The number of texts of four characters. */
const quarters = length ** 4

const codeAt = (index: number): number => alphabet.charCodeAt(index)

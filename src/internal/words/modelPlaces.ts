/**
 * What a function around a model call is there for, where that is known: a program makes no model calls of its own, and
 * applies those that are about what it is asked, what it answers, and how long it may take.
 *
 * @since 0.1.0
 */

import type * as Middleware from "../../Middleware.ts"

/**
 * - `checks-input`: it lets the prompt of the run through, or not.
 * - `checks-output`: it lets the text of the run through, or not.
 * - `limits`: it ends what takes too long, or costs too much.
 *
 * @category models
 * @since 0.1.0
 */
export type Purpose = "checks-input" | "checks-output" | "limits"

const purposes = new WeakMap<object, Purpose>()

/**
 * Says what a place of a middleware is there for, and returns it.
 *
 * @category guards
 * @since 0.1.0
 */
export const withPurpose = <E, R>(
  place: Middleware.ModelPlace<E, R>,
  purpose: Purpose
): Middleware.ModelPlace<E, R> => {
  purposes.set(place, purpose)
  return place
}

/**
 * Returns what a place of a middleware is there for; undefined when nothing was said of it.
 *
 * @category guards
 * @since 0.1.0
 */
export const purposeOf = (place: Middleware.ModelPlace<any, any>): Purpose | undefined => purposes.get(place)

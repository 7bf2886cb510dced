/**
 * The purposes of functions around a model call, if they are known. A program makes no model calls of its own, so it
 * applies only the functions that check its prompt or its answer, or that limit it.
 *
 * @since 0.1.0
 */

import type * as Middleware from "../../Middleware.ts"

/**
 * - `checks-input`: it checks the prompt of the run.
 * - `checks-output`: it checks the text of the run.
 * - `limits`: it ends a run that takes too long, or costs too much.
 *
 * @category models
 * @since 0.1.0
 */
export type Purpose = "checks-input" | "checks-output" | "limits"

const purposes = new WeakMap<object, Purpose>()

/**
 * Records the purpose of a model place, and returns the place.
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
 * Returns the purpose of a model place, or `undefined` if none was recorded.
 *
 * @category guards
 * @since 0.1.0
 */
export const purposeOf = (place: Middleware.ModelPlace<any, any>): Purpose | undefined => purposes.get(place)

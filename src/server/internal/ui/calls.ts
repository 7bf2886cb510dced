/**
 * What a message says about the end of a tool call.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"

/**
 * Returns the text of a failed result. The model has read the same.
 *
 * @category conversions
 * @since 0.1.0
 */
export const errorText = (encodedResult: unknown): string => {
  if (Predicate.isString(encodedResult)) return encodedResult
  if (Predicate.hasProperty(encodedResult, "type") && Predicate.hasProperty(encodedResult, "reason")) {
    const { reason, type } = encodedResult
    if (Predicate.isString(type) && type.startsWith("execution-") && Predicate.isString(reason)) return reason
  }
  return JSON.stringify(encodedResult) ?? ""
}

/**
 * Returns whether the result of a call is that it was denied.
 *
 * @category guards
 * @since 0.1.0
 */
export const isDenied = (encodedResult: unknown): boolean =>
  Predicate.hasProperty(encodedResult, "type") && encodedResult.type === "execution-denied"

/**
 * Returns the id of the approval of a call that waits for the approvals of the agent that it runs. `first` is the id of
 * the first of them.
 *
 * @category constructors
 * @since 0.1.0
 */
export const automatic = (first: string): string => `automatic:${first}`

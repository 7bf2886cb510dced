/**
 * What an error says for itself.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"

/**
 * Returns the message of an error of any kind: its own, its tag, or itself when it is text. `unknown` is for an error that
 * says nothing.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (error: unknown, unknown: string): string => {
  if (Predicate.hasProperty(error, "message") && typeof error.message === "string" && error.message !== "") {
    return error.message
  }
  if (Predicate.hasProperty(error, "_tag")) return String(error._tag)
  return typeof error === "string" && error !== "" ? error : unknown
}

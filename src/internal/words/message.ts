/**
 * The message of any error.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"

/**
 * Returns the message of an error of any kind: its own message, its tag, or the error itself if it is a text. Returns
 * `unknown` if the error has none of them.
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

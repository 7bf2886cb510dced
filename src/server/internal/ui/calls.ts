/**
 * What a message says about a tool call.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import type * as Wire from "./wire.ts"

/**
 * Where a call is: its parameters are being written; it runs; it waits for an approval or for the page; it has ended.
 *
 * @category models
 * @since 0.1.0
 */
export type State = "streaming" | "running" | "asked" | "ended"

/**
 * Returns where a call of a message is.
 *
 * @category conversions
 * @since 0.1.0
 */
export const stateOf = (part: Wire.ToolPart): State => {
  switch (part.state) {
    case "approval-requested":
    case "input-available":
      return "asked"
    case "approval-responded":
      // the result of a nested call is not in this conversation
      return part.approval.id === part.toolCallId ? "ended" : "running"
    default:
      return "ended"
  }
}

/**
 * Returns the chunk of a call whose parameters are known.
 *
 * @category constructors
 * @since 0.1.0
 */
export const inputOf = (
  toolCallId: string,
  toolName: string,
  input: unknown,
  providerExecuted: boolean
): Wire.Chunk => ({
  type: "tool-input-available",
  toolCallId,
  toolName,
  input: input ?? null,
  ...(providerExecuted && { providerExecuted })
})

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

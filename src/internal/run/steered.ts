/**
 * The body of a run whose prompt another run on its session has taken: it has no steps.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as AgentRun from "../../AgentRun.ts"
import type * as Lifecycle from "./lifecycle.ts"

/**
 * Returns whether another run has taken and saved the prompt of this one.
 *
 * @category guards
 * @since 0.1.0
 */
export const isSteered = (run: Lifecycle.Run): boolean => run.sessionRun?.inLine?.offer === "kept"

/**
 * Creates the body of a steered run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const body = (run: Lifecycle.Run): Lifecycle.Body => {
  const nothing = { text: "", usage: AgentRun.emptyUsage, steps: [], transcript: Prompt.empty }
  return {
    opening: [],
    advance: () => run.complete({ ...nothing, stopReason: "steered" }),
    partial: () => nothing,
    stop: () => {
      // a request to stop this run must not stop the next one
      if (run.steering !== undefined) run.steering.inbox.isStopping = false
      return undefined
    }
  }
}

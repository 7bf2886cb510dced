/**
 * The outcome of a call, as the program receives it.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Program from "../../Program.ts"
import * as Json from "../words/json.ts"
import * as ProgramCall from "../words/programCall.ts"
import type { ProgramCalls } from "./calls.ts"
import * as Codec from "./codec.ts"

/**
 * Creates the failure of a call that was not run, or not to its end.
 *
 * @category results
 * @since 0.1.0
 */
export const refused = (
  tool: string,
  toolCallId: string,
  problem: Program.NotExecuted["problem"],
  reason: string
): Program.NotExecuted => new Program.NotExecuted({ tool, toolCallId, problem, reason })

/** Reads a result that no tool gave. */
const refusalOf = (tool: string, toolCallId: string, said: unknown): Program.NotExecuted => {
  const { reason, type } = typeof said === "object" && said !== null
    ? said as { readonly reason?: unknown; readonly type?: unknown }
    : {}
  const problem = type === "execution-denied" ? "denied" : type === "execution-interrupted" ? "interrupted" : "invalid"
  return refused(tool, toolCallId, problem, typeof reason === "string" ? reason : Json.toText(said))
}

/**
 * Returns the outcome of a call that has ended.
 *
 * @category results
 * @since 0.1.0
 */
export const exitOf = (calls: ProgramCalls, index: number): Exit.Exit<unknown, unknown> => {
  const cause = calls.failures.get(index)
  if (cause !== undefined) return Exit.failCause(cause)
  const result = calls.results[index]!
  if (!result.isFailure) return Exit.succeed(result.result)
  return Exit.fail(calls.isRefused(index) ? refusalOf(result.name, result.id, result.encodedResult) : result.result)
}

/**
 * Returns the outcome of a call whose result is in the transcript.
 *
 * @category results
 * @since 0.1.0
 */
export const kept = (tool: Tool.Any, result: Prompt.ToolResultPart): Effect.Effect<unknown, unknown> => {
  const codec = Codec.of(tool)
  if (ProgramCall.endOf(result) === "denied") return Effect.fail(refusalOf(result.name, result.id, result.result))
  return result.isFailure
    ? Effect.flatMap(Effect.orDie(codec.decodeFailure(result.result)), Effect.fail)
    : Effect.orDie(codec.decodeSuccess(result.result))
}

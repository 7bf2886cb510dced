/**
 * What every run does before its first step, whatever works in it: its tools are found, and its prompt is checked.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as AgentError from "../../AgentError.ts"
import * as ToolHandler from "../tool/handler.ts"
import * as Text from "../words/text.ts"
import type * as Contributions from "./contributions.ts"
import type * as Lifecycle from "./lifecycle.ts"

/**
 * The toolkit of an agent.
 *
 * @category models
 * @since 0.1.0
 */
export type Own = ToolHandler.WithHandler | Effect.Effect<ToolHandler.WithHandler, unknown> | undefined

/**
 * Opens a body with the agent's own tools, once they are there.
 *
 * @category running
 * @since 0.1.0
 */
export const withOwn = (
  toolkit: Own,
  context: Context.Context<never>,
  open: (own: ToolHandler.WithHandler | undefined) => Lifecycle.Body | Effect.Effect<Lifecycle.Body, unknown>
): Lifecycle.Body | Effect.Effect<Lifecycle.Body, unknown> => {
  if (toolkit === undefined || !Effect.isEffect(toolkit)) return open(toolkit)
  // agents as tools are resolved already
  if (Exit.isExit(toolkit) && Exit.isSuccess(toolkit)) return open(toolkit.value as ToolHandler.WithHandler)
  return Effect.flatMap(Effect.provideContext(toolkit, context), (own) => {
    const body = open(own)
    return Effect.isEffect(body) ? body : Exit.succeed(body)
  })
}

/**
 * Returns all toolkits of a run, its own first. No two tools may have one name.
 *
 * @category accessors
 * @since 0.1.0
 */
export const toolkitsOf = (
  own: ToolHandler.WithHandler | undefined,
  contributions: Contributions.Contributions
): Result.Result<Array<ToolHandler.WithHandler>, AgentError.DuplicateTool> => {
  if (contributions.toolkits.length === 0) return Result.succeed(own === undefined ? [] : [own])
  const duplicate = ToolHandler.findDuplicate(own, contributions.toolkits)
  if (duplicate !== undefined) return Result.fail(new AgentError.DuplicateTool(duplicate))
  const contributed = contributions.toolkits.map(({ toolkit }) => toolkit)
  return Result.succeed(own === undefined ? contributed : [own, ...contributed])
}

const noTools = Result.succeed(undefined)

/**
 * Returns the toolkits as one. A tool that no model can be offered is refused.
 *
 * @category accessors
 * @since 0.1.0
 */
export const merged = (
  toolkits: ReadonlyArray<ToolHandler.WithHandler>
): Result.Result<ToolHandler.WithHandler | undefined, AgentError.InvalidTool> => {
  if (toolkits.length === 0) return noTools
  const refusal = ToolHandler.findRefusal(toolkits)
  if (refusal !== undefined) return Result.fail(new AgentError.InvalidTool(refusal))
  return Result.succeed(toolkits.length > 1 ? ToolHandler.merge(toolkits) : toolkits[0])
}

/**
 * Returns why a prompt cannot be sent, if it has no message, or if its messages say nothing. `instead` says what to do
 * without a message.
 *
 * @category accessors
 * @since 0.1.0
 */
export const refusalOf = (prompt: Prompt.Prompt, instead = ""): AgentError.InvalidPrompt | undefined => {
  let hasMessage = false
  for (const message of prompt.content) {
    if (message.role === "system") continue
    if (!Text.isBlank(message)) return undefined
    hasMessage = true
  }
  const description = hasMessage
    ? "there is nothing but white space in its messages"
    : `there is no message to send${instead}`
  return new AgentError.InvalidPrompt({ description })
}

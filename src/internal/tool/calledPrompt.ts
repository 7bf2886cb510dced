/**
 * What an agent is asked that is called as a tool.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import type { ParentRun } from "../words/parentRun.ts"

/**
 * Creates the prompt of an agent of what its tool is called with: after the conversation of its caller, where it sees
 * that.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  parent: ParentRun["Service"] | undefined,
  params: any,
  { prompt, session }: {
    /** Default: the `prompt` of the parameters. */
    readonly prompt?: ((params: any, conversation: Prompt.Prompt) => Prompt.RawInput) | undefined
    /** Default: it sees nothing of its caller. */
    readonly session?: "none" | "own" | "parent" | undefined
  }
): Prompt.RawInput => {
  if (prompt === undefined && session !== "parent") return params.prompt
  const messages = parent === undefined ? [] : parent.messages()
  const conversation = Prompt.fromMessages(messages.filter((message) => message.role !== "system"))
  const made = prompt === undefined ? params.prompt : prompt(params, conversation)
  return session === "parent" && parent !== undefined ? Prompt.concat(conversation, made) : made
}

/**
 * Whether a conversation asks for an answer.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Waiting from "../approval/waiting.ts"

/**
 * Why a run cannot continue a conversation without another message; undefined when it can.
 *
 * @category accessors
 * @since 0.1.0
 */
export const problemOf = (messages: ReadonlyArray<Prompt.Message>): string | undefined => {
  const waiting = Waiting.lastStepOf(messages)?.waiting ?? []
  if (waiting.length > 0) return "the conversation waits for approvals, which `Agent.resume` answers"
  switch (messages[messages.length - 1]?.role) {
    case "user":
    case "tool":
      return undefined
    case "assistant":
      return "the last message of the conversation is an answer"
    default:
      return "the conversation has no messages"
  }
}

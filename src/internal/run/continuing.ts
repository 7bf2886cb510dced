/**
 * Continues a conversation without a new message.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Result from "effect/Result"
import { aroundSession } from "../approval/approval.ts"
import * as Waiting from "../approval/waiting.ts"
import * as Cut from "../words/cut.ts"
import type { Contributions } from "./contributions.ts"

/**
 * Returns the messages for the model call, or the reason why the conversation needs no answer.
 *
 * **Details**
 *
 * The conversation is the session that a provider has loaded, or else everything that the providers contribute. An
 * incomplete text at its end is left out: the model answers again.
 *
 * @category accessors
 * @since 0.1.0
 */
export const messagesOf = (
  { kept, messages }: Pick<Contributions, "kept" | "messages">
): Result.Result<Array<Prompt.Message>, string> => {
  const { from, to } = kept ?? { from: 0, to: messages.length }
  const conversation = withoutCutText(messages.slice(from, to))
  const problem = problemOf(conversation)
  if (problem !== undefined) return Result.fail(problem)
  const contributed = [...messages.slice(0, from), ...conversation, ...messages.slice(to)]
  return Result.succeed([...aroundSession(contributed, { from, to: from + conversation.length })])
}

const withoutCutText = (conversation: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> => {
  const last = conversation.findLastIndex((message) => message.role !== "assistant" || !Cut.isCut(message))
  return conversation.slice(0, last + 1)
}

const problemOf = (conversation: ReadonlyArray<Prompt.Message>): string | undefined => {
  const waiting = Waiting.lastStepOf(conversation)?.waiting ?? []
  if (waiting.length > 0) return "the conversation waits for approvals, which `Agent.resume` answers"
  switch (conversation[conversation.length - 1]?.role) {
    case "user":
    case "tool":
      return undefined
    case "assistant":
      return "the last message of the conversation is an answer"
    default:
      return "the conversation has no messages"
  }
}

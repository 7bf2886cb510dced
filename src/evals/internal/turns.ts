/**
 * The questions of a conversation, and their answers.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"

/**
 * A user message with everything before it, and the text that the assistant answered.
 *
 * @category models
 * @since 0.1.0
 */
export interface Turn {
  readonly prompt: Prompt.Prompt
  readonly answer: string
}

/**
 * Returns a turn for each user message.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Turn> => {
  const asked = messages.flatMap(({ role }, index) => role === "user" ? [index] : [])
  return asked.map((index, number) => ({
    prompt: Prompt.fromMessages(messages.slice(0, index + 1)),
    answer: textOf(messages.slice(index + 1, asked[number + 1]).findLast(({ role }) => role === "assistant"))
  }))
}

/**
 * Returns the text of an assistant's message.
 *
 * @category accessors
 * @since 0.1.0
 */
export const textOf = (message: Prompt.Message | undefined): string =>
  message?.role === "assistant"
    ? message.content.map((part) => part.type === "text" ? part.text : "").join("")
    : ""

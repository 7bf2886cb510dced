/**
 * The mark of the messages of a step that did not end.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"

/**
 * The key of the mark in the options of a message.
 *
 * @category marks
 * @since 0.1.0
 */
export const optionsKey = "effect-agents/AgentRun"

const marked = { [optionsKey]: { cut: true } } as const

/**
 * Creates an assistant message of a step that did not end.
 *
 * @category constructors
 * @since 0.1.0
 */
export const assistantMessage = (content: ReadonlyArray<Prompt.AssistantMessagePart>): Prompt.AssistantMessage =>
  Prompt.assistantMessage({ content, options: marked })

/**
 * Creates a tool message of a step that did not end.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toolMessage = (content: ReadonlyArray<Prompt.ToolMessagePart>): Prompt.ToolMessage =>
  Prompt.toolMessage({ content, options: marked })

/**
 * Returns whether a message belongs to a step that did not end.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCut = ({ options }: Prompt.Message): boolean => {
  const mark = options[optionsKey]
  return Predicate.hasProperty(mark, "cut") && mark.cut === true
}

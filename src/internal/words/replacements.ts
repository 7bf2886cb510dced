/**
 * Refusals and replacements by guardrails, which the run learns separately from the parts.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * The replacements in one model call.
 *
 * - `refused`: the guardrail that has refused the input.
 * - `isAnswered`: whether that guardrail has answered in place of the model.
 * - `text`: whether a part of the model's text was replaced, or all of it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Replacements {
  refused: string | undefined
  isAnswered: boolean
  text: "part" | "whole" | undefined
}

/**
 * The replacements of the model call in progress. Default: none are recorded.
 *
 * @category references
 * @since 0.1.0
 */
export const Current = Context.Reference<Replacements | undefined>("effect-agents/internal/Replacements", {
  defaultValue: () => undefined
})

/**
 * Tells the run that a guardrail has refused or replaced something.
 *
 * @category accessors
 * @since 0.1.0
 */
export const tell = (replacement: Partial<Replacements>): Effect.Effect<void> =>
  Effect.map(Current, (current) => {
    if (current !== undefined) Object.assign(current, replacement)
  })

/**
 * Returns whether a model call ended with the text of a guardrail, which a model must not correct.
 *
 * @category guards
 * @since 0.1.0
 */
export const isFinal = (replacements: Replacements | undefined): boolean =>
  replacements !== undefined && (replacements.isAnswered || replacements.text === "whole")

/**
 * Returns the message without the user's text that a guardrail has refused.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refuse = (message: Prompt.Message, guardrail: string): Prompt.Message =>
  message.role === "user"
    ? Prompt.userMessage({ content: [Prompt.textPart({ text: `[refused by the guardrail \`${guardrail}\`]` })] })
    : message

/**
 * Returns the prompt without the user's text that a guardrail has refused.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refusePrompt = (prompt: Prompt.Prompt, guardrail: string): Prompt.Prompt =>
  Prompt.fromMessages(prompt.content.map((message) => refuse(message, guardrail)))

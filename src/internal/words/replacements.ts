/**
 * What guardrails have refused or put in the place of something, told to the run beside the parts.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * The replacements of one model call.
 *
 * - `refused`: the guardrail that has refused the input.
 * - `isAnswered`: whether it has answered in the place of the model.
 * - `text`: whether what the model said was replaced in part, or all of it.
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
 * The replacements of the model call in progress. Default: nobody listens.
 *
 * @category references
 * @since 0.1.0
 */
export const Current = Context.Reference<Replacements | undefined>("effect-agents/internal/Replacements", {
  defaultValue: () => undefined
})

/**
 * Tells the run what a guardrail has refused or put in the place of something.
 *
 * @category accessors
 * @since 0.1.0
 */
export const tell = (replacement: Partial<Replacements>): Effect.Effect<void> =>
  Effect.map(Current, (current) => {
    if (current !== undefined) Object.assign(current, replacement)
  })

/**
 * Returns whether a model call ended with what a guardrail says: then nothing of it is for a model to correct.
 *
 * @category guards
 * @since 0.1.0
 */
export const isFinal = (replacements: Replacements | undefined): boolean =>
  replacements !== undefined && (replacements.isAnswered || replacements.text === "whole")

/**
 * Returns the message without what a user has said in it, which a guardrail has refused.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refuse = (message: Prompt.Message, guardrail: string): Prompt.Message =>
  message.role === "user"
    ? Prompt.userMessage({ content: [Prompt.textPart({ text: `[refused by the guardrail \`${guardrail}\`]` })] })
    : message

/**
 * Returns the prompt without what a user has said in it, which a guardrail has refused.
 *
 * @category combinators
 * @since 0.1.0
 */
export const refusePrompt = (prompt: Prompt.Prompt, guardrail: string): Prompt.Prompt =>
  Prompt.fromMessages(prompt.content.map((message) => refuse(message, guardrail)))

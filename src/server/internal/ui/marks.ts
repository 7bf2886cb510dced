/**
 * What the message of a user remembers about the page: the ids that the page knows messages by, and where the
 * conversation was before.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"

/**
 * - `id`: the id of this message.
 * - `answer`: the id of the message that answers it.
 * - `version`, `length`: the version of the session before this message, and the number of its messages.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Mark = Schema.Struct({
  id: Schema.String,
  answer: Schema.String,
  version: Schema.Int,
  length: Schema.Int
})

/**
 * @category models
 * @since 0.1.0
 */
export type Mark = typeof Mark.Type

/** The key of the mark in the options of a message. Model providers read the options that have their own name. */
const optionsKey = "effect-agents/server/UiMessages"

const decode = Schema.decodeUnknownOption(Mark)

/**
 * Returns a message with a mark.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (message: Prompt.UserMessage, mark: Mark): Prompt.UserMessage => ({
  ...message,
  options: { ...message.options, [optionsKey]: { ...mark } }
})

/**
 * Returns the mark of a message, if it has one.
 *
 * @category getters
 * @since 0.1.0
 */
export const of = (message: Prompt.Message): Mark | undefined =>
  message.role === "user" ? Option.getOrUndefined(decode(message.options[optionsKey])) : undefined

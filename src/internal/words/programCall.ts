/**
 * The marks of a program's calls in a conversation.
 *
 * The options of a call say which call of the program it was, and the options of a result say how the call ended. The
 * content of a tool's result is never used for this.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Parts from "./responseParts.ts"

/**
 * The key of the marks in the options.
 *
 * @category models
 * @since 0.1.0
 */
export const optionsKey = "effect-agents/Program"

/**
 * Which call of its program it was: the `n`-th, with the `key` that the program gave it.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallMark {
  readonly n: number
  readonly key: string | undefined
}

/**
 * How a call ended, for a program that is run again.
 *
 * - `result`: the program received this result.
 * - `denied`: the program received a `NotExecuted`.
 * - `cancelled`: the program had interrupted the call.
 * - `failed`: the program received a failure that has no JSON form.
 *
 * @category models
 * @since 0.1.0
 */
export type End = "result" | "denied" | "cancelled" | "failed"

const ends: ReadonlyArray<unknown> = ["result", "denied", "cancelled", "failed"] satisfies ReadonlyArray<End>

/**
 * Creates the options of a call.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toCallOptions = ({ key, n }: CallMark): Prompt.ProviderOptions => ({
  [optionsKey]: key === undefined ? { n } : { n, key }
})

/**
 * Adds the end of a call to the options of its result.
 *
 * @category conversions
 * @since 0.1.0
 */
export const withEnd = (part: Prompt.ToolResultPart, end: End): Prompt.ToolResultPart => ({
  ...part,
  options: { ...part.options, [optionsKey]: { end } }
})

/**
 * Returns which call of a program this is, or `undefined` if a model has made it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const callMarkOf = ({ options }: Prompt.ToolCallPart): CallMark | undefined => {
  const mark = options[optionsKey]
  if (!Predicate.hasProperty(mark, "n") || !Predicate.isNumber(mark.n)) return undefined
  return { n: mark.n, key: Predicate.hasProperty(mark, "key") && Predicate.isString(mark.key) ? mark.key : undefined }
}

/**
 * Returns how the call of this result ended, or `undefined` if its run ended before.
 *
 * @category accessors
 * @since 0.1.0
 */
export const endOf = ({ options }: Prompt.ToolResultPart): End | undefined => {
  const mark = options[optionsKey]
  return Predicate.hasProperty(mark, "end") && ends.includes(mark.end) ? mark.end as End : undefined
}

/**
 * Returns whether a message has calls of a program.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOfProgram = (message: Prompt.Message): boolean =>
  message.role === "assistant" &&
  message.content.some((part) => part.type === "tool-call" && callMarkOf(part) !== undefined)

/**
 * Creates the messages that record which calls were undone: a call and its result for each.
 *
 * @category conversions
 * @since 0.1.0
 */
export const undoneMessages = (
  calls: ReadonlyArray<{ readonly id: string; readonly name: string }>
): ReadonlyArray<Prompt.Message> => {
  if (calls.length === 0) return []
  const idOf = (id: string) => `undo_${id}`
  return [
    Parts.assistantMessage(calls.map(({ id, name }) =>
      Parts.promptToolCall(
        { id: idOf(id), name: "undo", params: { tool: name, toolCallId: id }, providerExecuted: false },
        { [optionsKey]: { undoes: id } }
      )
    )),
    Parts.toolMessage(calls.map(({ id }) =>
      Parts.promptToolResult(
        {
          id: idOf(id),
          name: "undo",
          isFailure: false,
          result: "undone",
          providerExecuted: false,
          modelOutput: undefined
        },
        Parts.empty
      )
    ))
  ]
}

/**
 * Returns the ids of the calls that were undone according to these messages.
 *
 * @category accessors
 * @since 0.1.0
 */
export const undoneIn = (messages: ReadonlyArray<Prompt.Message>): ReadonlySet<string> =>
  new Set(messages.flatMap((message) =>
    message.role !== "assistant" ? [] : message.content.flatMap((part) => {
      const mark = part.type === "tool-call" ? part.options[optionsKey] : undefined
      return Predicate.hasProperty(mark, "undoes") && Predicate.isString(mark.undoes) ? mark.undoes : []
    })
  ))

/**
 * What a conversation says of the calls that a program has made.
 *
 * Each stands in the options of its parts: of the call, which one it was; of the result, how the call ended. What a tool
 * says in its result is not asked.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Parts from "./responseParts.ts"

/**
 * Where the parts of a call keep it.
 *
 * @category models
 * @since 0.1.0
 */
export const optionsKey = "effect-agents/Program"

/**
 * Which call of its program it was: the `n`-th, by the `key` that the program gave it.
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
 * - `result`: the program was given the result that stands there.
 * - `denied`: it was given a `NotExecuted`.
 * - `cancelled`: it had interrupted the call.
 * - `failed`: it was given a failure that has no JSON form.
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
 * Returns which call of a program this is; undefined when a model has made it.
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
 * Returns how the call of this result ended; undefined when its run ended before it did.
 *
 * @category accessors
 * @since 0.1.0
 */
export const endOf = ({ options }: Prompt.ToolResultPart): End | undefined => {
  const mark = options[optionsKey]
  return Predicate.hasProperty(mark, "end") && ends.includes(mark.end) ? mark.end as End : undefined
}

/**
 * Returns whether a message has calls that a program has made.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOfProgram = (message: Prompt.Message): boolean =>
  message.role === "assistant" &&
  message.content.some((part) => part.type === "tool-call" && callMarkOf(part) !== undefined)

/**
 * Creates the messages that say which calls were undone: a call and its result for each.
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
 * Returns the ids of the calls that these messages say were undone.
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

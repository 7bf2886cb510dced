/**
 * The sessions of an owner: what they are called in the store, and what is shown of them.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as AgentRun from "../../AgentRun.ts"
import * as Cut from "../../internal/words/cut.ts"

/**
 * Returns the beginning of the ids of all sessions of an owner. No other owner has one that begins with it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const prefixOf = (owner: string): string => `${owner.replace(/[%/]/g, (_) => _ === "%" ? "%25" : "%2F")}/`

/**
 * Returns a part as the owner knows it: sessions have the ids that the owner has given them.
 *
 * @category conversions
 * @since 0.1.0
 */
export const shown = (part: AgentRun.Part, prefix: string): AgentRun.Part => {
  switch (part.type) {
    case "run-start":
      return { ...part, session: idOf(part.session, prefix) }
    case "run-end":
      return { ...part, result: { ...part.result, session: idOf(part.result.session, prefix) } }
    case "agent-part": {
      const own = shown(part.part, prefix)
      // what was a part of one run still is
      return own === part.part ? part : { ...part, part: own as typeof part.part }
    }
    default:
      return part
  }
}

const idOf = (session: string | undefined, prefix: string): string | undefined =>
  session?.startsWith(prefix) === true ? session.slice(prefix.length) : undefined

/**
 * Returns messages without what the providers of models have said about them, and what a run keeps for itself. That a
 * message was cut stays.
 *
 * @category conversions
 * @since 0.1.0
 */
export const shownMessages = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> =>
  messages.map((message) => {
    const options = Cut.isCut(message) ? { [Cut.optionsKey]: message.options[Cut.optionsKey] } : {}
    const content = typeof message.content === "string"
      ? message.content
      : message.content.map((part) => ({ ...part, options: {} }))
    return { ...message, options, content } as Prompt.Message
  })

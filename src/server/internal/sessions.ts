/**
 * The sessions of an owner: what they are called in the store, and what is shown of them.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as Schemas from "../../internal/wire/schemas.ts"
import * as Cut from "../../internal/words/cut.ts"

/**
 * Returns the beginning of the ids of all sessions of an owner. No other owner has one that begins with it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const prefixOf = (owner: string): string =>
  // the sessions of the agents of tools begin with this name (`AgentTool.ownSession`)
  owner === "effect-agents" ? "%65ffect-agents/" : `${owner.replace(/[%/]/g, (_) => _ === "%" ? "%25" : "%2F")}/`

/**
 * Returns the owner of a session. A session that no wire has made has none.
 *
 * @category conversions
 * @since 0.1.0
 */
export const ownerOf = (session: string): string | undefined => {
  const end = session.indexOf("/")
  if (end < 0) return undefined
  const owner = session.slice(0, end).replace(/%(25|2F|65)/g, (_, code) => escaped[code as keyof typeof escaped])
  return prefixOf(owner) === session.slice(0, end + 1) ? owner : undefined
}

const escaped = { 25: "%", "2F": "/", 65: "e" } as const

/**
 * Returns a part as its owner sees it. Sessions have the ids that the owner has given them, an error is its public
 * description (`AgentError.describe`), and the metadata of model providers is left out.
 *
 * @category conversions
 * @since 0.1.0
 */
export const shown = (part: AgentRun.Part, prefix: string): AgentRun.Part => {
  switch (part.type) {
    case "run-start":
      return { ...part, session: idOf(part.session, prefix) }
    case "run-end": {
      const { session, transcript } = part.result
      return {
        ...part,
        result: {
          ...part.result,
          session: idOf(session, prefix),
          transcript: Prompt.fromMessages(shownMessages(transcript.content))
        }
      }
    }
    case "steering": {
      const [message] = shownMessages([part.message])
      return { ...part, message: message as Prompt.UserMessage }
    }
    case "error":
      return { ...part, metadata: {}, error: AgentError.describe(Cause.fail(part.error)) }
    case "agent-part": {
      const own = shown(part.part, prefix)
      // what was a part of one run still is
      return own === part.part ? part : { ...part, part: own as typeof part.part }
    }
    default:
      return "metadata" in part && !Schemas.isEmpty(part.metadata) ? { ...part, metadata: {} } : part
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

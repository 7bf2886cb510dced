/**
 * The sessions of an owner: what they are called in the store, and what is shown of them.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as AgentFailed from "../../internal/tool/agentFailed.ts"
import * as Schemas from "../../internal/wire/schemas.ts"
import * as Cut from "../../internal/words/cut.ts"
import * as FailureDetails from "./failureDetails.ts"

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
 * How much an owner sees of failures: their public description (`AgentError.describe`), or everything.
 *
 * @category models
 * @since 0.1.0
 */
export type Failures = "public" | "detailed"

/**
 * Returns a part as its owner sees it. Sessions have the ids that the owner has given them, an error is its public
 * description, and the metadata of model providers is left out.
 *
 * With `"detailed"` an error has `details`, and the failure of a tool has them in its metadata, under `effect-agents`: the
 * failure of an agent that was called is in them, of which the model reads the message alone.
 *
 * @category conversions
 * @since 0.1.0
 */
export const shown = (part: AgentRun.Part, prefix: string, failures: Failures = "public"): AgentRun.Part => {
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
    case "error": {
      const cause = Cause.fail(part.error)
      const error = AgentError.describe(cause)
      return {
        ...part,
        metadata: {},
        error: failures === "public" ? error : { ...error, details: FailureDetails.ofCause(cause) }
      }
    }
    case "tool-result": {
      if (failures === "public" || !part.isFailure || part.preliminary) return bare(part)
      const error = AgentFailed.isAgentFailed(part.result) ? part.result.error ?? part.result : part.result
      return { ...part, metadata: { "effect-agents": { failure: FailureDetails.of(error, false) } } }
    }
    case "agent-part": {
      const own = shown(part.part, prefix, failures)
      // what was a part of one run still is
      return own === part.part ? part : { ...part, part: own as typeof part.part }
    }
    default:
      return bare(part)
  }
}

const bare = (part: AgentRun.Part): AgentRun.Part =>
  "metadata" in part && !Schemas.isEmpty(part.metadata) ? { ...part, metadata: {} } as AgentRun.Part : part

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

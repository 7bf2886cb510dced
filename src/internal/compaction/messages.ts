/**
 * The messages that may be removed from a conversation without breaking it.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import { toText } from "../words/json.ts"

type Messages = ReadonlyArray<Prompt.Message>

/**
 * The indexes at which a conversation may begin anew, in order. Each is a user message, not newer than the newest one,
 * and not between a call and its result or between a request for approval and its response.
 *
 * @category cuts
 * @since 0.1.0
 */
export const cuts = (messages: Messages): ReadonlyArray<number> => {
  const ends = endsOf(messages)
  const found: Array<number> = []
  let open = -1
  for (let index = 0; index < messages.length; index++) {
    if (index > 0 && messages[index]!.role === "user" && open < index) found.push(index)
    open = Math.max(open, ends[index]!)
  }
  return found
}

/** For each message, the index of the last message that answers something in it. */
const endsOf = (messages: Messages): ReadonlyArray<number> => {
  const ends: Array<number> = messages.map(() => -1)
  const asked = new Map<string, number>()
  for (let index = 0; index < messages.length; index++) {
    const message = messages[index]!
    if (message.role !== "assistant" && message.role !== "tool") continue
    for (const part of message.content) {
      switch (part.type) {
        case "tool-call": {
          asked.set(`call ${part.id}`, index)
          break
        }
        case "tool-approval-request": {
          asked.set(`approval ${part.approvalId}`, index)
          break
        }
        case "tool-result":
        case "tool-approval-response": {
          const from = asked.get(part.type === "tool-result" ? `call ${part.id}` : `approval ${part.approvalId}`)
          if (from !== undefined) ends[from] = index
        }
      }
    }
  }
  return ends
}

/**
 * The messages from a cut on, after the system messages before it.
 *
 * @category cuts
 * @since 0.1.0
 */
export const from = (messages: Messages, cut: number, summary?: Prompt.Message): Array<Prompt.Message> => {
  const kept = messages.slice(0, cut).filter(isSystem)
  if (summary !== undefined) kept.push(summary)
  for (let index = cut; index < messages.length; index++) kept.push(messages[index]!)
  return kept
}

/**
 * The messages that a cut removes.
 *
 * @category cuts
 * @since 0.1.0
 */
export const before = (messages: Messages, cut: number): Array<Prompt.Message> =>
  messages.slice(0, cut).filter((message) => !isSystem(message))

const isSystem = (message: Prompt.Message): boolean => message.role === "system"

/**
 * The first cut that leaves no more than the given number of tokens, or else the last cut.
 *
 * @category cuts
 * @since 0.1.0
 */
export const firstCut = (
  messages: Messages,
  tokens: ReadonlyArray<number>,
  most: number
): number | undefined => {
  const all = cuts(messages)
  let left = tokens.reduce((sum, n) => sum + n, 0)
  let index = 0
  for (const cut of all) {
    for (; index < cut; index++) if (!isSystem(messages[index]!)) left -= tokens[index]!
    if (left <= most) return cut
  }
  return all[all.length - 1]
}

// -----------------------------------------------------------------------------
// made messages
// -----------------------------------------------------------------------------

/**
 * The options of messages made by compaction. They are no provider's, so that no provider takes a message for the
 * original.
 */
const made = (id: string): Prompt.ProviderOptions => ({ "effect-agents": { compaction: id } })

/**
 * Returns whether a message or a part was made by compaction.
 *
 * @category made messages
 * @since 0.1.0
 */
export const isMade = (part: { readonly options: Prompt.ProviderOptions }): boolean => "effect-agents" in part.options

/**
 * Creates a user message that stands for the messages before it.
 *
 * @category made messages
 * @since 0.1.0
 */
export const summaryMessage = (id: string, text: string): Prompt.Message =>
  Prompt.userMessage({ content: [Prompt.textPart({ text: `${summaryTitle}\n\n${text}` })], options: made(id) })

const summaryTitle = "Summary of the conversation so far:"

/**
 * The indexes of tool messages with results that may be collapsed, oldest first. The newest `keep` results, the results
 * that the model has not read yet, and results that are already collapsed are not included.
 *
 * @category made messages
 * @since 0.1.0
 */
export const collapsible = (messages: Messages, keep: number): ReadonlyMap<number, ReadonlySet<number>> => {
  const found: Array<readonly [number, ReadonlySet<number>]> = []
  let read = false
  let newer = 0
  for (let index = messages.length - 1; index >= 0; index--) {
    const message = messages[index]!
    if (message.role === "assistant") read = true
    if (message.role !== "tool") continue
    const parts = new Set<number>()
    for (let part = message.content.length - 1; part >= 0; part--) {
      const result = message.content[part]!
      if (result.type !== "tool-result") continue
      if (read && newer >= keep && !isMade(result)) parts.add(part)
      newer++
    }
    if (parts.size > 0) found.push([index, parts])
  }
  return new Map(found.reverse())
}

/**
 * Creates a tool message in which the results at these places are replaced by a note.
 *
 * @category made messages
 * @since 0.1.0
 */
export const collapse = (
  message: Prompt.Message,
  parts: ReadonlySet<number>,
  id: string
): Prompt.Message =>
  message.role !== "tool" ? message : Prompt.toolMessage({
    content: message.content.map((part, index) =>
      part.type === "tool-result" && parts.has(index)
        ? Prompt.toolResultPart({
          id: part.id,
          name: part.name,
          isFailure: part.isFailure,
          result: "[removed to save space; call the tool again if it is needed]",
          providerExecuted: part.providerExecuted,
          options: made(id)
        })
        : part
    ),
    options: made(id)
  })

// -----------------------------------------------------------------------------
// text
// -----------------------------------------------------------------------------

/**
 * Returns a message as text for a model that writes a summary. Reasoning is left out.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toTranscript = (message: Prompt.Message): string => {
  if (typeof message.content === "string") return `${message.role}: ${message.content}`
  const lines: Array<string> = []
  for (const part of message.content) {
    switch (part.type) {
      case "text": {
        lines.push(isMade(message) ? part.text : `${message.role}: ${part.text}`)
        break
      }
      case "file": {
        lines.push(`${message.role}: [file ${part.fileName ?? part.mediaType}]`)
        break
      }
      case "tool-call": {
        lines.push(`${message.role} calls ${part.name}: ${toText(part.params)}`)
        break
      }
      case "tool-result": {
        const output = part.modelOutput === undefined
          ? toText(part.result)
          : Prompt.toolModelOutputToText(part.modelOutput)
        lines.push(`${part.name} ${part.isFailure ? "fails" : "gives"}: ${output}`)
      }
    }
  }
  return lines.join("\n")
}

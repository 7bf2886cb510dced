/**
 * Responses that are in a session, and not in the hub any more. They are told from the conversation, which has no sources
 * and no files of the agent.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type * as AgentRun from "../../../AgentRun.ts"
import * as Approval from "../../../Approval.ts"
import * as Json from "../../../internal/words/json.ts"
import type * as OwnedRuns from "../ownedRuns.ts"
import * as Kept from "./kept.ts"
import type { InputItem } from "./responseModels.ts"
import type * as ResponseParts from "./responseParts.ts"
import * as Words from "./words.ts"

/**
 * A response of a conversation: what it was asked, what it has said, and how that is told.
 *
 * @category models
 * @since 0.1.0
 */
export interface Stored {
  readonly id: Kept.Id
  readonly input: ReadonlyArray<Prompt.Message>
  readonly said: ReadonlyArray<Prompt.Message>
  /** What the conversation waited for before it. */
  readonly waited: ReadonlyArray<Approval.Approval>
  readonly parts: Stream.Stream<AgentRun.Part>
  readonly options: ResponseParts.ResponseOptions
}

/**
 * Returns the responses of a conversation up to one of them, which is the last. There are none if the owner has no such
 * response.
 *
 * @category accessors
 * @since 0.1.0
 */
export const upTo = (
  { history, state }: Pick<OwnedRuns.OwnedSession, "history" | "state">,
  { conversation, own }: Kept.Id
): ReadonlyArray<Stored> => {
  const all = Kept.all(state)
  const last = all.findIndex(({ deleted, id }) => id === own && deleted !== true)
  return all.slice(0, last + 1).flatMap((kept, index) => {
    // a record of an earlier version does not say where it begins
    if (kept.from === undefined) return []
    const end = all.slice(index + 1).find(({ from }) => from !== undefined)?.from
    return [toStored({ conversation, own: kept.id }, kept, history.content.slice(0, end))]
  })
}

const toStored = (id: Kept.Id, kept: Kept.Kept, messages: ReadonlyArray<Prompt.Message>): Stored => {
  const before = messages.slice(0, kept.from)
  const own = messages.slice(kept.from)
  const first = own.findIndex(({ role }) => role === "assistant")
  const input = first === -1 ? own : own.slice(0, first)
  const waited = Approval.pending(Prompt.fromMessages(before))
  const previous = kept.previous === undefined ? undefined : Kept.fromText(kept.previous)
  return {
    id,
    input,
    said: own.slice(input.length),
    waited,
    // the results of earlier calls are told, too
    parts: partsOf(own, kept, Approval.pending(Prompt.fromMessages(messages))),
    options: {
      id: Kept.toText(id),
      model: kept.model,
      created: kept.created ?? 0,
      completed: kept.ended?.at,
      previous: kept.previous,
      metadata: kept.metadata,
      earlier: previous === undefined ? new Map() : earlierCalls(previous, before, waited)
    }
  }
}

/**
 * Returns the calls that were made, with the approvals that they waited for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const earlierCalls = (
  id: Kept.Id,
  messages: ReadonlyArray<Prompt.Message>,
  approvals: ReadonlyArray<Approval.Approval>
): ReadonlyMap<string, ResponseParts.EarlierCall> => {
  const calls = new Map<string, ResponseParts.EarlierCall>()
  for (const message of messages) {
    if (message.role !== "assistant") continue
    for (const part of message.content) {
      if (part.type === "tool-call") calls.set(part.id, { name: part.name, params: part.params })
      if (part.type !== "tool-approval-request") continue
      const index = approvals.findIndex(({ approvalId }) => approvalId === part.approvalId)
      const call = calls.get(part.toolCallId)
      if (index === -1 || call === undefined) continue
      const isOfClient = Words.isOfClient(approvals[index]!)
      calls.set(part.toolCallId, { ...call, approvalId: Words.toApprovalItem(id, index), isOfClient })
    }
  }
  return calls
}

/** The parts of a run that say the messages. */
const partsOf = (
  messages: ReadonlyArray<Prompt.Message>,
  { ended }: Kept.Kept,
  approvals: ReadonlyArray<Approval.Approval>
): Stream.Stream<AgentRun.Part> => {
  const parts: Array<unknown> = [{ type: "run-start" }]
  let step = 0
  let texts = 0
  let text = ""
  for (const message of messages) {
    if (message.role === "user" || message.role === "system") continue
    if (message.role === "assistant") {
      parts.push({ type: "step-start", index: step++ })
      text = ""
    }
    for (const part of message.content) {
      switch (part.type) {
        case "text":
        case "reasoning": {
          const id = String(texts++)
          if (part.type === "text") text += part.text
          parts.push(
            { type: `${part.type}-start`, id },
            { type: `${part.type}-delta`, id, delta: part.text },
            { type: `${part.type}-end`, id }
          )
          break
        }
        case "tool-call":
          parts.push(part)
          break
        case "tool-result":
          parts.push({ ...part, encodedResult: part.result, preliminary: false })
      }
    }
  }
  const end = ended === undefined ? [] : [{
    type: "run-end",
    result: { text, value: ended.answer, approvals, stopReason: ended.stopReason, totalUsage: ended.usage }
  }]
  // the wire reads nothing else of them
  return Stream.fromIterable([...parts, ...end] as ReadonlyArray<AgentRun.Part>)
}

// -----------------------------------------------------------------------------
// Input
// -----------------------------------------------------------------------------

/**
 * Returns the items that a response was asked with: messages of the user, and answers to what the response before has
 * asked for.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toInput = ({ id, input, options, waited }: Stored): Effect.Effect<ReadonlyArray<InputItem>> =>
  Effect.sync(() => {
    const stem = `${id.conversation}_${id.own}`
    const previous = options.previous === undefined ? undefined : Kept.fromText(options.previous)
    const items: Array<InputItem> = []
    const add = (kind: string, make: (id: string) => InputItem) => items.push(make(`${kind}_${stem}_in${items.length}`))
    for (const message of input) {
      if (message.role === "user") {
        const content = message.content.map((part) =>
          part.type === "text"
            ? { type: "input_text" as const, text: part.text }
            : part.mediaType.startsWith("image/")
            ? { type: "input_image" as const, image_url: Words.toUrl(part), detail: "auto" as const }
            : { type: "input_file" as const, filename: part.fileName ?? null, file_data: Words.toUrl(part) }
        )
        add("msg", (id) => ({ type: "message", id, role: "user", status: "completed", content }))
      }
      if (message.role !== "tool") continue
      for (const part of message.content) {
        if (part.type === "tool-approval-response") {
          const index = waited.findIndex(({ approvalId }) => approvalId === part.approvalId)
          if (index === -1 || previous === undefined || Words.isOfClient(waited[index]!)) continue
          add("mcprr", (id) => ({
            type: "mcp_approval_response",
            id,
            approval_request_id: Words.toApprovalItem(previous, index),
            approve: part.approved,
            reason: part.reason ?? null
          }))
        } else if (part.type === "tool-result" && options.earlier?.get(part.id)?.isOfClient === true) {
          const { id: call_id, result } = part
          add("fco", (id) => ({
            type: "function_call_output",
            id,
            call_id,
            output: Json.toText(result),
            status: "completed"
          }))
        }
      }
    }
    return items
  })

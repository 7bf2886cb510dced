/**
 * A stored conversation as the messages of a page, and such a message as chunks again.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Base64 from "effect/encoding/Base64"
import * as Predicate from "effect/Predicate"
import * as AgentRun from "../../../AgentRun.ts"
import * as Waiting from "../../../internal/approval/waiting.ts"
import * as FileData from "../../../internal/words/fileData.ts"
import * as Calls from "./calls.ts"
import * as Marks from "./marks.ts"
import type * as Wire from "./wire.ts"

/**
 * Returns the texts and files of a user.
 *
 * @category conversions
 * @since 0.1.0
 */
export const userParts = ({ content }: Prompt.UserMessage): Array<Wire.TextPart | Wire.FilePart> =>
  content.map((part) => part.type === "text" ? { type: "text", text: part.text } : filePart(part))

const filePart = ({ data, fileName, mediaType }: Prompt.FilePart): Wire.FilePart => {
  const file = FileData.read(data)
  const base64 = () => file._tag !== "Data" ? "" : Predicate.isString(file.data) ? file.data : Base64.encode(file.data)
  return {
    type: "file",
    mediaType,
    url: file._tag === "Url" ? file.text : `data:${mediaType};base64,${base64()}`,
    ...(fileName !== undefined && { filename: fileName })
  }
}

/**
 * Returns the messages of a conversation.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toMessages = (history: Prompt.Prompt): Array<Wire.Message> => read(history.content, 0)

/**
 * Returns the last message of a conversation, if it has one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const lastMessage = ({ content }: Prompt.Prompt): Wire.Message | undefined =>
  read(content, Math.max(0, content.findLastIndex(({ role }) => role === "user"))).at(-1)

/**
 * Returns the index of the message of a user that a page knows by this id, if there is one.
 *
 * @category getters
 * @since 0.1.0
 */
export const indexOf = ({ content }: Prompt.Prompt, id: string): number | undefined => {
  const ids = new Ids()
  const index = content.findIndex((message, index) => ids.next(message, index) === id && message.role === "user")
  return index < 0 ? undefined : index
}

/** The messages from an index on, with the ids that they have in the whole conversation. */
const read = (content: ReadonlyArray<Prompt.Message>, from: number): Array<Wire.Message> => {
  const ids = new Ids()
  const reader = new Reader(content)
  content.forEach((message, index) => {
    const id = ids.next(message, index)
    if (index >= from) reader.read(message, id)
  })
  return reader.messages
}

/** The ids of the messages of a page. */
class Ids {
  private readonly taken = new Set<string>()
  private answer: string | undefined = undefined
  private isAnswering = false

  /** The id of the message that begins here. All messages up to the next one of a user are one message. */
  next(message: Prompt.Message, index: number): string | undefined {
    if (message.role === "user") {
      const mark = Marks.of(message)
      this.isAnswering = false
      this.answer = mark?.answer
      return this.unique(mark?.id, index)
    }
    if (message.role !== "assistant" || this.isAnswering) return undefined
    this.isAnswering = true
    return this.unique(this.answer, index)
  }

  /** Two messages with one id would be one message of the page. */
  private unique(id: string | undefined, index: number): string {
    const unique = id !== undefined && !this.taken.has(id) ? id : `message-${index}`
    this.taken.add(unique)
    return unique
  }
}

/** The answer to an approval, as it is stored. */
interface Answer {
  readonly approved: boolean
  readonly reason: string | undefined
  readonly params: unknown
}

class Reader {
  readonly messages: Array<Wire.Message> = []
  private readonly waiting: ReadonlySet<string>
  /** The parts that an answer or a result will change, by the id of the call, in the message of the assistant. */
  private calls = new Map<string, CallPart>()
  private parts: Array<Wire.MessagePart> = []

  constructor(messages: ReadonlyArray<Prompt.Message>) {
    this.waiting = new Set(Waiting.approvalsOf(messages).map(({ approvalId }) => approvalId))
  }

  /** With an `id`, a message of the page begins here. */
  read(message: Prompt.Message, id: string | undefined): void {
    switch (message.role) {
      case "system":
        return
      case "user":
        this.messages.push({ id: id!, role: "user", parts: userParts(message) })
        return
      case "assistant":
        return this.assistant(message, id)
      case "tool": {
        for (const part of message.content) {
          if (part.type === "tool-result") this.result(part)
          else this.answer(part)
        }
      }
    }
  }

  private assistant(message: Prompt.AssistantMessage, id: string | undefined): void {
    if (id !== undefined) {
      this.parts = []
      this.calls = new Map()
      this.messages.push({ id, role: "assistant", parts: this.parts })
    }
    if (AgentRun.isCut(message)) {
      this.messages.push({ ...this.messages.pop()!, metadata: { cut: true } })
    }
    if (message.content.some(({ type }) => type !== "tool-approval-request")) this.parts.push({ type: "step-start" })
    for (const part of message.content) {
      switch (part.type) {
        case "text":
        case "reasoning":
          this.parts.push({ type: part.type, text: part.text, state: "done" })
          break
        case "file":
          this.parts.push(filePart(part))
          break
        case "tool-call":
          this.add(part.id, part.name, part.params, part.providerExecuted)
          break
        case "tool-result":
          this.result(part)
          break
        case "tool-approval-request":
          this.request(part)
      }
    }
  }

  private add(id: string, name: string, input: unknown, providerExecuted: boolean): CallPart {
    const part = new CallPart(id, name, input ?? null, providerExecuted)
    this.calls.set(id, part)
    this.parts.push(part.shown)
    return part
  }

  private request(request: Prompt.ToolApprovalRequestPart): void {
    const { approvalId, toolCallId } = request
    const call = this.calls.get(toolCallId)
    const approval = call === undefined
      ? Waiting.toHostedApproval(request)
      : Waiting.toApproval(request, { id: toolCallId, name: call.name, params: call.input })
    const { params, path, tool } = approval
    const input = params ?? null
    if (path.length > 0) call?.approve(Calls.automatic(approvalId))
    const asks = path.length > 0
      ? this.add(approvalId, tool, input, false)
      : call ?? this.add(toolCallId, tool, input, true)
    // one that nobody waits for has an answer or a result further on
    if (approval.runsIn === "client") asks.wait()
    else asks.ask(approvalId, { tool, params: input, path })
    if (!this.waiting.has(approvalId)) asks.interrupt()
  }

  private answer({ approvalId, approved, options, reason }: Prompt.ToolApprovalResponsePart): void {
    const edited = options[Waiting.optionsKey]
    const params = Predicate.hasProperty(edited, "params") ? edited.params : undefined
    for (const call of this.calls.values()) call.answer(approvalId, { approved, reason, params })
  }

  private result({ id, isFailure, result }: Prompt.ToolResultPart): void {
    this.calls.get(id)?.end(isFailure, result)
  }
}

type Mutable<A> = { -readonly [Key in keyof A]: A[Key] }

/** A tool call whose part becomes what later messages say about it. */
class CallPart {
  readonly name: string
  readonly shown: Wire.ToolPart
  input: unknown
  private descriptor: Wire.ApprovalDescriptor | undefined = undefined
  private approval: { readonly id: string; readonly isAutomatic: boolean } | undefined = undefined
  private answered: Omit<Answer, "params"> | undefined = undefined

  constructor(id: string, name: string, input: unknown, providerExecuted: boolean) {
    this.name = name
    this.input = input
    this.shown = {
      type: `tool-${name}`,
      toolCallId: id,
      input,
      ...(providerExecuted && { providerExecuted }),
      state: "output-error",
      errorText: interrupted
    }
  }

  approve(id: string): void {
    if (this.approval?.isAutomatic === true) return
    this.approval = { id, isAutomatic: true }
    this.answered = { approved: true, reason: undefined }
    this.become({ state: "approval-responded", approval: this.told(true) })
  }

  ask(id: string, descriptor: Wire.ApprovalDescriptor): void {
    this.approval = { id, isAutomatic: false }
    this.descriptor = descriptor
    this.answered = undefined
    this.become({ state: "approval-requested", approval: { id, descriptor } })
  }

  wait(): void {
    this.become({ state: "input-available" })
  }

  interrupt(): void {
    this.become({ state: "output-error", errorText: interrupted })
  }

  answer(id: string, { params, ...answer }: Answer): void {
    if (this.approval?.id !== id) return
    this.answered = answer
    if (params !== undefined) {
      this.input = params
      this.become({ input: params })
    }
    this.become(
      !answer.approved && (this.shown.toolCallId === id || this.shown.providerExecuted === true)
        // its result is in the conversation of the agent that has asked, and a provider gives none
        ? { state: "output-denied", approval: this.told(false) }
        : { state: "approval-responded", approval: this.told(answer.approved) }
    )
  }

  end(isFailure: boolean, result: unknown): void {
    const approval = this.answered?.approved === true ? { approval: this.told(true) } : {}
    if (!isFailure) this.become({ state: "output-available", output: result ?? null, ...approval })
    else if (this.answered?.approved === false && Calls.isDenied(result)) {
      this.become({ state: "output-denied", approval: this.told(false) })
    } else this.become({ state: "output-error", errorText: Calls.errorText(result), ...approval })
  }

  private told<Approved extends boolean>(approved: Approved): Wire.ToolApproval<Approved> {
    const { id, isAutomatic } = this.approval!
    const reason = this.answered?.reason
    return {
      id,
      ...(this.descriptor !== undefined && { descriptor: this.descriptor }),
      ...(isAutomatic && { isAutomatic }),
      approved,
      ...(reason !== undefined && { reason })
    }
  }

  /** The part stays where it is in its message. */
  private become(state: object): void {
    const shown = this.shown as Mutable<Partial<Record<string, unknown>>>
    if ("state" in state) { for (const key of ["output", "errorText", "approval"]) delete shown[key] }
    Object.assign(shown, state)
  }
}

const interrupted = "The call was interrupted."

/**
 * Returns the chunks that make a message of an assistant, without an end: a run goes on with it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toChunks = ({ id, parts }: Wire.Message): ReadonlyArray<Wire.Chunk> => {
  const chunks: Array<Wire.Chunk> = [{ type: "start", messageId: id }]
  let isOpen = false
  parts.forEach((part, index) => {
    switch (part.type) {
      case "step-start":
        if (isOpen) chunks.push({ type: "finish-step" })
        isOpen = true
        chunks.push({ type: "start-step" })
        return
      case "text":
      case "reasoning": {
        const of = `history:${index}`
        chunks.push(
          { type: `${part.type}-start`, id: of },
          { type: `${part.type}-delta`, id: of, delta: part.text },
          { type: `${part.type}-end`, id: of }
        )
        return
      }
      case "file":
        chunks.push({ type: "file", mediaType: part.mediaType, url: part.url })
        return
      default:
        chunks.push(...callChunks(part))
    }
  })
  if (isOpen) chunks.push({ type: "finish-step" })
  return chunks
}

const callChunks = (part: Wire.ToolPart): ReadonlyArray<Wire.Chunk> => {
  const { input, providerExecuted, toolCallId } = part
  const toolName = part.type.slice("tool-".length)
  const executed = providerExecuted === true ? { providerExecuted } : undefined
  const chunks: Array<Wire.Chunk> = part.state === "input-available"
    // the page has run this call before, and would run it again
    ? [
      { type: "tool-input-start", toolCallId, toolName, ...executed },
      { type: "tool-input-delta", toolCallId, inputTextDelta: JSON.stringify(input) }
    ]
    : [{ type: "tool-input-available", toolCallId, toolName, input, ...executed }]
  if ("approval" in part && part.approval !== undefined) {
    const { descriptor, id: approvalId, isAutomatic } = part.approval
    chunks.push({
      type: "tool-approval-request",
      approvalId,
      toolCallId,
      ...(descriptor !== undefined && { approvalDescriptor: descriptor }),
      ...(isAutomatic === true && { isAutomatic })
    })
    if ("approved" in part.approval) {
      const { approved, reason } = part.approval
      chunks.push({ type: "tool-approval-response", approvalId, approved, ...(reason !== undefined && { reason }) })
    }
  }
  switch (part.state) {
    case "output-available":
      chunks.push({ type: "tool-output-available", toolCallId, output: part.output })
      break
    case "output-error":
      chunks.push({ type: "tool-output-error", toolCallId, errorText: part.errorText })
      break
    case "output-denied":
      chunks.push({ type: "tool-output-denied", toolCallId })
  }
  return chunks
}

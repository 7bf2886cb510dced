/**
 * The conversation of a handoff, read from its transcript: who has done what, who has it now, and what each member
 * sees.
 *
 * There is no second record. The work of a member is the result of its call, in the transcript of the run or in the
 * history of the session.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Waiting from "../../internal/approval/waiting.ts"
import * as Fields from "../../internal/words/fields.ts"
import * as Json from "../../internal/words/json.ts"
import * as JsonCodec from "../../internal/words/jsonCodec.ts"
import * as ProgramCall from "../../internal/words/programCall.ts"
import * as Parts from "../../internal/words/responseParts.ts"
import * as Session from "../../Session.ts"

/**
 * The work of one member while it had the conversation.
 *
 * @category models
 * @since 0.1.0
 */
export interface Work {
  /** The name of the member; `undefined` if it was none of them. */
  readonly by: string | undefined
  /** The text of its answer. */
  readonly text: string
  /** Its messages, with its tool calls and their results. */
  readonly messages: ReadonlyArray<Prompt.Message>
  /** The member that has the conversation after it; `undefined` if it has answered. */
  readonly to: string | undefined
  /** Its note to that member. */
  readonly note: string | undefined
}

/**
 * What a member sees of the work of another one.
 *
 * @category models
 * @since 0.1.0
 */
export type View = (work: Work) => ReadonlyArray<Prompt.Message>

/**
 * The messages and the work, in order; the member that has the conversation, if one has had it; and the number of
 * handovers since the last message of the user.
 *
 * @category models
 * @since 0.1.0
 */
export interface Course {
  readonly said: ReadonlyArray<Prompt.UserMessage | Work>
  readonly holder: string | undefined
  readonly transfers: number
}

/**
 * The result of the call of a member.
 *
 * @category schemas
 * @since 0.1.0
 */
export const resultOf = <S extends Schema.Constraint>(value: S) =>
  Schema.Struct({
    text: Schema.String,
    transcript: Fields.Transcript,
    to: Schema.optionalKey(Schema.String),
    note: Schema.optionalKey(Schema.String),
    value: Schema.optionalKey(value)
  })

// only the program uses the value
const decodeResult = Schema.decodeUnknownOption(JsonCodec.make(resultOf(Schema.Unknown)))
const decodeTranscript = Schema.decodeUnknownOption(JsonCodec.make(Fields.Transcript))

/** Returns the work in a result, or `undefined` if it is not the result of a handoff. */
const workOf = (by: string, { isFailure, result }: Prompt.ToolResultPart): Work | undefined => {
  const work = isFailure || Json.isTooDeep(result) ? Option.none() : decodeResult(result)
  if (Option.isNone(work)) return undefined
  const { note, text, to, transcript } = work.value
  return { by, text, messages: transcript.content, to, note }
}

/** The work of a member whose approvals nobody has answered. */
const unansweredOf = (by: string, transcript: unknown): Work | undefined => {
  const read = Json.isTooDeep(transcript) ? Option.none() : decodeTranscript(transcript)
  if (Option.isNone(read) || endOfPrompt(read.value.content) === -1) return undefined
  return { by, text: "", messages: Session.close(ownOf(read.value.content)), to: undefined, note: undefined }
}

// -----------------------------------------------------------------------------
// What was said
// -----------------------------------------------------------------------------

/**
 * Reads the messages of a handoff.
 *
 * @category accessors
 * @since 0.1.0
 */
export const read = (messages: ReadonlyArray<Prompt.Message>): Course => {
  const reading = new Reading()
  for (const message of messages) reading.add(message)
  reading.endOthers()
  return reading
}

class Reading implements Course {
  readonly said: Array<Prompt.UserMessage | Work> = []
  holder: string | undefined = undefined
  transfers = 0
  /** The calls of the program that have no result yet, by id. */
  private readonly calls = new Map<string, { readonly member: string; transcript: unknown }>()
  /** Messages of another agent. */
  private others: Array<Prompt.Message> = []
  /** The answer of a run repeats the texts of its members. */
  private hasWork = false

  add(message: Prompt.Message): void {
    switch (message.role) {
      case "user": {
        this.endOthers()
        this.said.push(message)
        this.transfers = 0
        this.hasWork = false
        return
      }
      case "assistant": {
        for (const part of message.content) this.addCall(part)
        return this.addOther(message)
      }
      case "tool": {
        const content = message.content.filter((part) => part.type !== "tool-result" || !this.endCall(part))
        if (content.length === message.content.length) this.addOther(message)
        else if (content.length > 0) this.addOther(Prompt.toolMessage({ content, options: message.options }))
      }
    }
  }

  private addCall(part: Prompt.AssistantMessagePart): void {
    if (part.type === "tool-call" && isMarked(part)) {
      this.calls.set(part.id, { member: part.name, transcript: undefined })
    }
    if (part.type !== "tool-approval-request") return
    const call = this.calls.get(part.toolCallId)
    const asked = part.options[Waiting.optionsKey]
    if (call !== undefined && Predicate.hasProperty(asked, "transcript")) call.transcript = asked.transcript
  }

  /** Returns whether this is the result of a call of the program. */
  private endCall(part: Prompt.ToolResultPart): boolean {
    const call = this.calls.get(part.id)
    if (call === undefined) return false
    this.calls.delete(part.id)
    const { member, transcript } = call
    const work = ProgramCall.endOf(part) === "result" ? workOf(member, part) : unansweredOf(member, transcript)
    if (work === undefined) return true
    this.endOthers()
    this.said.push(work)
    this.holder = work.to ?? work.by
    if (work.to !== undefined) this.transfers++
    this.hasWork = true
    return true
  }

  private addOther(message: Prompt.AssistantMessage | Prompt.ToolMessage): void {
    if (this.hasWork) return
    const parts: ReadonlyArray<Prompt.Part> = message.content
    const content = parts.filter((part) => part.type !== "tool-call" || !isMarked(part))
    if (content.length === 0) return
    // the parts are those of the original message
    this.others.push(content.length === parts.length ? message : { ...message, content } as Prompt.Message)
  }

  endOthers(): void {
    const messages = Waiting.forModel(this.others)
    this.others = []
    if (messages.length > 0) this.said.push({ by: undefined, text: "", messages, to: undefined, note: undefined })
  }
}

const isMarked = ({ options }: Prompt.Part): boolean => options[ProgramCall.optionsKey] !== undefined

// -----------------------------------------------------------------------------
// What a member sees
// -----------------------------------------------------------------------------

/**
 * What members see of the work of others, by name.
 *
 * @category constants
 * @since 0.1.0
 */
export const views: { readonly [Name in "texts" | "full" | "none"]: View } = {
  texts: ({ messages, text }) => {
    const content = messages.flatMap((message) =>
      message.role === "assistant"
        ? message.content.flatMap((part) => part.type === "text" ? Prompt.textPart({ text: part.text }) : [])
        : []
    ).filter(({ text }) => text !== "")
    // an agent with an output may answer with a tool
    if (content.length === 0 && text !== "") content.push(Prompt.textPart({ text }))
    return content.length === 0 ? [] : [Prompt.assistantMessage({ content })]
  },
  // only the model itself reads its reasoning
  full: ({ messages }) =>
    messages.flatMap((message): ReadonlyArray<Prompt.Message> => {
      if (message.role !== "assistant") return message.role === "system" ? [] : [message]
      const content = message.content.filter((part) => part.type !== "reasoning")
      return content.length === 0 ? [] : [Prompt.assistantMessage({ content, options: message.options })]
    }),
  none: () => []
}

/**
 * Returns the conversation as one member sees it: the messages of the user, its own work, and a view of the other
 * members' work. Unless a view ends with a message that is not an assistant's, a message about the handover follows.
 *
 * @category accessors
 * @since 0.1.0
 */
export const seenBy = (reader: string, { said }: Course, view: View): ReadonlyArray<Prompt.Message> => {
  const seen: Array<Prompt.Message> = []
  for (const one of said) {
    if ("role" in one) {
      seen.push(one)
      continue
    }
    if (one.by === reader) {
      seen.push(...one.messages)
      continue
    }
    const told = view(one)
    seen.push(...told)
    const isTold = told.length > 0 && told[told.length - 1].role !== "assistant"
    if (one.to !== undefined && !isTold) seen.push(handedOver(one))
  }
  return seen
}

const handedOver = ({ by, note, to }: Work): Prompt.UserMessage => {
  const text = `The conversation was handed over to \`${to}\` by \`${by}\`${note === undefined ? "." : `: ${note}`}`
  return Prompt.userMessage({ content: [Prompt.textPart({ text })] })
}

// -----------------------------------------------------------------------------
// The prompt of a member, and its own messages after it
// -----------------------------------------------------------------------------

/** The key of a mark on the last message of a member's prompt. It also says whether the member may hand over. */
const optionsKey = "effect-agents/Handoff"

const prompts = new WeakSet<Prompt.Prompt>()

/**
 * Creates the prompt of a member from what it sees.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toPrompt = (seen: ReadonlyArray<Prompt.Message>, isLast: boolean): Prompt.Prompt => {
  const messages = seen.map((message, index) =>
    index === seen.length - 1
      // the message is the original one
      ? { ...message, options: { ...message.options, [optionsKey]: { isLast } } } as Prompt.Message
      : message
  )
  const prompt = Prompt.fromMessages(messages)
  prompts.add(prompt)
  return prompt
}

const endOfPrompt = (messages: ReadonlyArray<Prompt.Message>): number =>
  messages.findLastIndex(({ options }) => options[optionsKey] !== undefined)

/**
 * Returns whether the member with this prompt, or with this beginning of its conversation, may hand the conversation
 * over.
 *
 * @category guards
 * @since 0.1.0
 */
export const mayHandOver = (messages: ReadonlyArray<Prompt.Message>): boolean => {
  const mark = messages[endOfPrompt(messages)]?.options[optionsKey]
  return !(Predicate.hasProperty(mark, "isLast") && mark.isLast === true)
}

/**
 * Returns the messages that a member has added to its prompt, as a model would see them.
 *
 * @category accessors
 * @since 0.1.0
 */
export const ownOf = (transcript: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> => {
  const end = endOfPrompt(transcript)
  // a guardrail may have replaced the prompt by a note
  const from = end === -1 ? transcript.findLastIndex(({ role }) => role === "user") : end
  return Waiting.forModel(transcript.slice(from + 1))
}

/**
 * Returns a foreign prompt without its marks of program calls, because only a session, and the caller of a nested run,
 * know which member has the conversation.
 *
 * @category conversions
 * @since 0.1.0
 */
export const received = (prompt: Prompt.RawInput): Prompt.RawInput => {
  if (typeof prompt === "string" || (Parts.isPrompt(prompt) && prompts.has(prompt))) return prompt
  // the run refuses a prompt that cannot be read
  const read = Parts.isPrompt(prompt) || Predicate.isIterable(prompt)
    ? Result.try(() => Prompt.make(prompt))
    : undefined
  if (read === undefined || Result.isFailure(read)) return prompt
  return Prompt.fromMessages(read.success.content.map(unmarked))
}

const unmarked = (message: Prompt.Message): Prompt.Message => {
  if (message.role !== "assistant" && message.role !== "tool") return message
  const parts: ReadonlyArray<Prompt.Part> = message.content
  if (!parts.some(isMarked)) return message
  const content = parts.map((part) => {
    if (!isMarked(part)) return part
    const { [ProgramCall.optionsKey]: _, ...options } = part.options
    return { ...part, options }
  })
  // the parts are those of the original message
  return { ...message, content } as Prompt.Message
}

// -----------------------------------------------------------------------------
// Transfers
// -----------------------------------------------------------------------------

/**
 * The transfer of a member's last step: the first successful call of one of these tools.
 *
 * @category accessors
 * @since 0.1.0
 */
export const transferIn = (
  own: ReadonlyArray<Prompt.Message>,
  tools: ReadonlyMap<string, string>
): { readonly to: string; readonly note: string | undefined } | undefined => {
  const last = own.findLastIndex(({ role }) => role === "assistant")
  const step = own[last]
  if (step?.role !== "assistant") return undefined
  const succeeded = new Set(
    own.slice(last + 1).flatMap((message) =>
      message.role === "tool"
        ? message.content.flatMap((part) => part.type === "tool-result" && !part.isFailure ? part.id : [])
        : []
    )
  )
  for (const part of step.content) {
    if (part.type !== "tool-call") continue
    const to = tools.get(part.name)
    if (to === undefined || !succeeded.has(part.id)) continue
    const said = Predicate.hasProperty(part.params, "message") ? part.params.message : undefined
    return { to, note: typeof said === "string" && said.trim() !== "" ? said : undefined }
  }
  return undefined
}

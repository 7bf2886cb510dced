/**
 * The requests of AG-UI clients, and what of them a server takes.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Approval from "../../../Approval.ts"
import * as ClientTool from "../../../internal/tool/clientTool.ts"
import * as NestedTools from "../../../internal/tool/nested.ts"
import * as Json from "../../../internal/words/json.ts"
import * as AgentApi from "../../AgentApi.ts"
import * as ClientTools from "../../ClientTools.ts"
import { failed } from "../failures.ts"
import { CallIds } from "./callIds.ts"

const Id = Schema.String.check(Schema.isMaxLength(1000))
const Text = Schema.String.check(Schema.isMaxLength(AgentApi.maximumText))

const Source = Schema.Union([
  Schema.Struct({ type: Schema.tag("data"), value: Schema.String, mimeType: Schema.String }),
  Schema.Struct({ type: Schema.tag("url"), value: Schema.String, mimeType: Schema.optional(Schema.String) })
])

const ContentPart = Schema.Union([
  Schema.Struct({ type: Schema.tag("text"), text: Text }),
  Schema.Struct({ type: Schema.Literals(["image", "audio", "video", "document"]), source: Source })
])

const Content = Schema.Union([Text, Schema.Array(ContentPart).check(Schema.isMaxLength(AgentApi.maximumParts))])

const ToolCall = Schema.Struct({
  id: Id,
  function: Schema.Struct({ name: Schema.String, arguments: Text })
})

const Message = Schema.Union([
  Schema.Struct({ role: Schema.tag("user"), id: Id, content: Content }),
  Schema.Struct({
    role: Schema.tag("assistant"),
    content: Schema.optional(Text),
    toolCalls: Schema.optional(Schema.Array(ToolCall).check(Schema.isMaxLength(1000)))
  }),
  Schema.Struct({ role: Schema.tag("tool"), toolCallId: Id, content: Content, error: Schema.optional(Text) }),
  // nothing of them is read
  Schema.Struct({ role: Schema.Literals(["system", "developer", "reasoning", "activity"]) })
])

type Message = typeof Message.Type

/**
 * The largest number of messages in a request. A client sends the whole conversation each time.
 *
 * @category constants
 * @since 0.1.0
 */
export const maximumMessages = 10_000

/**
 * Schema for the body of a request (`RunAgentInput` of AG-UI 1.0).
 *
 * @category schemas
 * @since 0.1.0
 */
export const RunInput = Schema.Struct({
  threadId: AgentApi.SessionId,
  runId: Id,
  messages: Schema.Array(Message).check(Schema.isMaxLength(maximumMessages)),
  tools: Schema.optional(ClientTools.Declarations),
  context: Schema.optional(
    Schema.Array(Schema.Struct({ description: Text, value: Text })).check(Schema.isMaxLength(1000))
  ),
  state: Schema.optional(Schema.Unknown),
  forwardedProps: Schema.optional(Schema.Unknown),
  resume: Schema.optional(
    Schema.Array(Schema.Struct({
      interruptId: Id,
      status: Schema.Literals(["resolved", "cancelled"]),
      payload: Schema.optional(Schema.Unknown)
    })).check(Schema.isMaxLength(AgentApi.maximumAnswers))
  )
})

/**
 * @category models
 * @since 0.1.0
 */
export type RunInput = typeof RunInput.Type

const invalid = (message: string): AgentApi.RunFailed => failed("invalid-request", 400, false, message)

// -----------------------------------------------------------------------------
// Messages of the user
// -----------------------------------------------------------------------------

/** The key in the options of a message for the id that its client has given it. */
const optionsKey = "effect-agents/AgUi"

/** The id that a client has given to a stored message of the user. */
const idOf = ({ options }: Prompt.Message): string | undefined => {
  const own = options[optionsKey]
  return Predicate.isObject(own) && "id" in own && Predicate.isString(own.id) ? own.id : undefined
}

/**
 * Returns the id of a stored message for a client that is shown the conversation: the one of its client, or its place.
 *
 * @category accessors
 * @since 0.1.0
 */
export const shownIdOf = (threadId: string, message: Prompt.Message, index: number): string =>
  idOf(message) ?? `${threadId}-${index}`

/**
 * Returns the messages that the user has added since the last one that the session has. A run that failed, or that was
 * stopped, may have saved nothing of its own.
 *
 * If the session has messages, but none of those in the request, they are known by other ids. Then the messages at the
 * end are new.
 *
 * @category accessors
 * @since 0.1.0
 */
export const added = (
  { messages, threadId }: Pick<RunInput, "messages" | "threadId">,
  history: ReadonlyArray<Prompt.Message>
): Result.Result<ReadonlyArray<Prompt.UserMessage>, AgentApi.RunFailed> => {
  const stored = new Set(
    history.flatMap((message, index) => message.role === "user" ? shownIdOf(threadId, message, index) : [])
  )
  const isStored = (message: Message) => message.role === "user" && stored.has(message.id)
  const last = messages.some(isStored) || stored.size === 0
    ? messages.findLastIndex(isStored)
    : messages.findLastIndex(({ role }) => role === "assistant" || role === "tool")
  return collect(messages.slice(last + 1).flatMap((message) => message.role === "user" ? toUserMessage(message) : []))
}

const collect = <A, E>(results: ReadonlyArray<Result.Result<A | undefined, E>>): Result.Result<Array<A>, E> => {
  const all: Array<A> = []
  for (const result of results) {
    if (Result.isFailure(result)) return Result.fail(result.failure)
    if (result.success !== undefined) all.push(result.success)
  }
  return Result.succeed(all)
}

const decodeMessage = Schema.decodeUnknownResult(Schema.toCodecJson(AgentApi.Message))

const toUserMessage = (
  { content, id }: Extract<Message, { readonly role: "user" }>
): Result.Result<Prompt.UserMessage | undefined, AgentApi.RunFailed> => {
  const said = Predicate.isString(content)
    ? [{ type: "text", text: content }]
    : content.map((part) =>
      part.type === "text" ? part : {
        type: "file",
        mediaType: part.source.mimeType ?? (part.type === "document" ? "application/pdf" : `${part.type}/*`),
        data: part.source.value
      }
    )
  const parts = said.filter((part) => !("text" in part) || part.text !== "")
  if (parts.length === 0) return Result.succeed(undefined)
  return Result.mapBoth(decodeMessage(parts), {
    onFailure: () => invalid("A file of a message is not base64, or no URL with http:, https: or data:."),
    onSuccess: (message) =>
      Prompt.userMessage({ content: AgentApi.toUserMessage(message).content, options: { [optionsKey]: { id } } })
  })
}

// -----------------------------------------------------------------------------
// Answers
// -----------------------------------------------------------------------------

const Payload = Schema.Struct({
  approved: Schema.Boolean,
  reason: Schema.optional(Text),
  editedArgs: Schema.optional(Schema.Json)
})

const decodePayload = Schema.decodeUnknownResult(Payload)

/**
 * Returns the answers to the approvals that a request resolves or cancels.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decisions = (
  resume: RunInput["resume"] = []
): Result.Result<ReadonlyArray<AgentApi.Answer>, AgentApi.RunFailed> =>
  collect(resume.map(({ interruptId: approvalId, payload, status }): Result.Result<
    AgentApi.Answer,
    AgentApi.RunFailed
  > => {
    if (status === "cancelled") {
      return Result.succeed({ approvalId, approved: false, reason: "The user has cancelled it" })
    }
    return Result.mapBoth(decodePayload(payload), {
      onFailure: () => invalid("The payload of an interrupt is not `{ approved, reason?, editedArgs? }`."),
      onSuccess: ({ approved, editedArgs, reason }) => ({
        approvalId,
        approved,
        reason,
        ...approved && editedArgs !== undefined && { params: editedArgs }
      })
    })
  }))

/**
 * Returns the ids of the tool calls that the client has, in their order.
 *
 * @category accessors
 * @since 0.1.0
 */
export const knownCalls = (messages: ReadonlyArray<Message>): ReadonlyArray<string> =>
  messages.flatMap((message) => message.role === "assistant" ? message.toolCalls?.map(({ id }) => id) ?? [] : [])

/**
 * Returns the answers to the calls that wait for the client, from its tool messages. Messages for other calls are those of
 * the conversation until now, which the session has itself.
 *
 * @category conversions
 * @since 0.1.0
 */
export const results = (
  { messages, tools: declared = [] }: RunInput,
  approvals: ReadonlyArray<Approval.Approval>,
  own: Readonly<Record<string, Tool.Any>> | undefined
): Result.Result<ReadonlyArray<AgentApi.Answer>, AgentApi.RunFailed> => {
  const ids = new CallIds(knownCalls(messages))
  const last = new Map<string, Extract<Message, { readonly role: "tool" }>>()
  for (const message of messages) if (message.role === "tool") last.set(message.toolCallId, message)
  const returned: Array<ClientTools.Returned> = []
  const waiting = ClientTools.waiting(approvals)
  const taken = new Set<string>()
  for (const approval of waiting) {
    const id = ids.before(approval.toolCallId)
    const message = last.get(id)
    if (message === undefined) continue
    if (taken.has(id)) {
      return Result.fail(failed("call-ambiguous", 409, false, "More than one call waits for this result."))
    }
    taken.add(id)
    returned.push({ id: approval.approvalId, ...outcomeOf(message, reading(approval, own, declared)) })
  }
  return ClientTools.answersTo(approvals, returned)
}

const textOf = (content: typeof Content.Type): string =>
  Predicate.isString(content) ? content : content.map((part) => part.type === "text" ? part.text : "").join("")

const parse = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

/** The JSON of a text; that of one which is none, or is nested too deeply, is the text itself. */
const fromJson = (text: string): Schema.Json => {
  const parsed = parse(text)
  // what was parsed is JSON
  return Result.isSuccess(parsed) && !Json.isTooDeep(parsed.success) ? parsed.success as Schema.Json : text
}

/** A result is a text that may be JSON. */
const outcomeOf = (
  { content, error }: Extract<Message, { readonly role: "tool" }>,
  read: (text: string, json: Schema.Json) => Schema.Json = (_, json) => json
): Omit<ClientTools.Returned, "id"> => {
  if (error !== undefined) return { failure: error }
  const text = textOf(content)
  return { result: read(text, fromJson(text)) }
}

/** The schema of a tool decides if both fit. A tool that only the run knows reads the text itself. */
const reading = (
  { path, tool: name }: Approval.Approval,
  own: Readonly<Record<string, Tool.Any>> | undefined,
  declared: ReadonlyArray<ClientTools.Declaration>
) =>
(text: string, json: Schema.Json): Schema.Json => {
  const tool = own && NestedTools.find(own, path, name)
  if (tool === undefined) return declared.some((declaration) => declaration.name === name) ? json : text
  const fits = ClientTool.decode(tool, { result: json, isFailure: false })
  return Exit.isExit(fits) && Exit.isFailure(fits) ? text : json
}

// -----------------------------------------------------------------------------
// Conversations that the client keeps
// -----------------------------------------------------------------------------

/**
 * Returns the conversation of a client for a server that keeps none: the messages of the user, the texts of the assistant,
 * and the calls of tools that run in the client. Calls of other tools are left out, with their results: what the client
 * says about them proves nothing.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPrompt = (
  messages: ReadonlyArray<Message>,
  isInClient: (tool: string) => boolean
): Result.Result<Prompt.Prompt, AgentApi.RunFailed> => {
  const results = new Map<string, Extract<Message, { readonly role: "tool" }>>()
  for (const message of messages) if (message.role === "tool") results.set(message.toolCallId, message)
  return Result.map(
    collect(messages.map((message): Result.Result<ReadonlyArray<Prompt.Message> | undefined, AgentApi.RunFailed> => {
      switch (message.role) {
        case "user":
          return Result.map(toUserMessage(message), (user) => user === undefined ? undefined : [user])
        case "assistant":
          return Result.succeed(answered(message, results, isInClient))
        default:
          return Result.succeed(undefined)
      }
    })),
    (messages) => Prompt.fromMessages(messages.flat())
  )
}

const answered = (
  { content = "", toolCalls = [] }: Extract<Message, { readonly role: "assistant" }>,
  results: ReadonlyMap<string, Extract<Message, { readonly role: "tool" }>>,
  isInClient: (tool: string) => boolean
): ReadonlyArray<Prompt.Message> => {
  const seen = new Set<string>()
  const calls = toolCalls.flatMap(({ function: called, id }) => {
    const result = seen.has(id) ? undefined : results.get(id)
    seen.add(id)
    const params = fromJson(called.arguments || "{}")
    if (result === undefined || !isInClient(called.name) || !Predicate.isObject(params)) return []
    const { failure, result: value } = outcomeOf(result)
    return [{ id, name: called.name, params, isFailure: failure !== undefined, result: failure ?? value ?? null }]
  })
  const said = content === "" ? [] : [Prompt.textPart({ text: content })]
  if (calls.length === 0 && said.length === 0) return []
  const assistant = Prompt.assistantMessage({
    content: [
      ...said,
      ...calls.map(({ id, name, params }) => Prompt.toolCallPart({ id, name, params, providerExecuted: false }))
    ]
  })
  if (calls.length === 0) return [assistant]
  return [
    assistant,
    Prompt.toolMessage({
      content: calls.map(({ id, isFailure, name, result }) =>
        Prompt.toolResultPart({ id, name, isFailure, result, providerExecuted: false })
      )
    })
  ]
}

/**
 * Decodes the body of a request.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (body: unknown): Effect.Effect<RunInput, AgentApi.RunFailed> =>
  Effect.mapError(decodeInput(body), (error) => invalid(`The request is not valid. ${error.message.slice(0, 500)}`))

const decodeInput = Schema.decodeUnknownEffect(RunInput)

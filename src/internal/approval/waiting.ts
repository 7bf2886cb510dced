/**
 * The approvals in a conversation: which ones it waits for, which ones were answered, and what the model sees.
 *
 * A request is in the assistant message of its call, or in an assistant message that has only requests. An answer is in
 * a tool message, before the result of the call. The model sees neither.
 *
 * A provider may ask, too, before it runs a tool of its own. That answer is sent to the provider.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import * as Arr from "effect/Array"
import * as Predicate from "effect/Predicate"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import * as ClientTool from "../tool/clientTool.ts"
import type { ApprovedAs } from "../tool/handler.ts"
import * as HostedApproval from "../words/hostedApproval.ts"
import * as ProgramCall from "../words/programCall.ts"
import * as Parts from "../words/responseParts.ts"
import type { StreamPart } from "../words/stepBuilder.ts"

/**
 * The key for everything that effect/ai's parts of an approval have no field for: the edited parameters of an answer,
 * and the requested call if it is not the call that the request is beside.
 *
 * @category models
 * @since 0.1.0
 */
export const optionsKey = "effect-agents/Approval"

/**
 * A call that waits for an approval, with its request.
 *
 * @category models
 * @since 0.1.0
 */
export interface WaitingCall {
  readonly call: Prompt.ToolCallPart
  readonly requests: ReadonlyArray<Prompt.ToolApprovalRequestPart>
  /**
   * What was approved of the call before, if a middleware runs it as another tool. The new request is for that tool.
   */
  readonly approvedAs?: ApprovedAs | undefined
}

/**
 * The last step of a conversation, if only its own results come after it.
 *
 * @category models
 * @since 0.1.0
 */
export interface LastStep {
  readonly assistant: Prompt.AssistantMessage
  /** The calls without a result, in the order of the calls. */
  readonly open: ReadonlyArray<Prompt.ToolCallPart>
  /** The open calls that wait for an approval. */
  readonly waiting: ReadonlyArray<WaitingCall>
}

/**
 * Finds the last step of a conversation. Returns `undefined` if the conversation has gone on since, or if the step made
 * no calls.
 *
 * @category accessors
 * @since 0.1.0
 */
export const lastStepOf = (messages: ReadonlyArray<Prompt.Message>): LastStep | undefined => {
  let start = messages.length - 1
  while (start >= 0 && (messages[start].role === "tool" || isRequestsOnly(messages[start]))) start--
  start = firstOfProgram(messages, start)
  const assistant = messages[start]
  if (assistant?.role !== "assistant") return undefined
  const open = new Map<
    string,
    {
      readonly call: Prompt.ToolCallPart
      requests: Array<Prompt.ToolApprovalRequestPart>
      approvedAs?: ApprovedAs | undefined
    }
  >()
  const hosted: Array<WaitingCall> = []
  const requestOf = new Map<string, Prompt.ToolApprovalRequestPart>()
  const doubled = new Set<string>()
  for (let index = start; index < messages.length; index++) {
    const message = messages[index]
    if (message.role !== "assistant" && message.role !== "tool") continue
    for (const part of message.content) {
      switch (part.type) {
        case "tool-call": {
          // two calls with the same id cannot be distinguished, so neither can be answered
          if (open.has(part.id)) doubled.add(part.id)
          if (!part.providerExecuted) open.set(part.id, { call: part, requests: [] })
          break
        }
        case "tool-result": {
          open.delete(part.id)
          break
        }
        case "tool-approval-request": {
          const call = hostedCallOf(part)
          if (call !== undefined) hosted.push({ call, requests: [part] })
          else {
            requestOf.set(part.approvalId, part)
            open.get(part.toolCallId)?.requests.push(part)
          }
          break
        }
        case "tool-approval-response": {
          for (let i = hosted.length - 1; i >= 0; i--) {
            if (hosted[i].requests[0].approvalId === part.approvalId) hosted.splice(i, 1)
          }
          // the call continues with this answer; if it needs another approval, it requests it again
          const request = requestOf.get(part.approvalId)
          const waiting = open.get(request?.toolCallId ?? "")
          if (request === undefined || waiting === undefined) break
          waiting.requests = []
          waiting.approvedAs = approvedAs(request, part) ?? waiting.approvedAs
        }
      }
    }
  }
  const calls = [...open.values()]
  return {
    assistant,
    open: calls.map(({ call }) => call),
    waiting: [...calls.filter(({ call, requests }) => requests.length > 0 && !doubled.has(call.id)), ...hosted]
  }
}

/** What an answer has approved of a call that a middleware runs as another tool. */
const approvedAs = (
  { options }: Prompt.ToolApprovalRequestPart,
  answer: Prompt.ToolApprovalResponsePart
): ApprovedAs | undefined => {
  const asked = options[optionsKey]
  if (!answer.approved || !isDescribed(asked) || asked.path.length > 0) return undefined
  const edited = answer.options[optionsKey]
  const params = Predicate.hasProperty(edited, "params") ? edited.params : asked.params
  return { tool: asked.tool, asked: asked.params, params }
}

/** The calls of a program are one step: while some of them wait it makes others, in messages of their own. */
const firstOfProgram = (messages: ReadonlyArray<Prompt.Message>, last: number): number => {
  if (last < 0 || !ProgramCall.isOfProgram(messages[last])) return last
  let first = last
  for (let index = last - 1; index >= 0; index--) {
    if (ProgramCall.isOfProgram(messages[index])) first = index
    else if (messages[index].role !== "tool" && !isRequestsOnly(messages[index])) break
  }
  return first
}

/** The call that a provider asks about, as a call of the provider. */
const hostedCallOf = (part: Prompt.ToolApprovalRequestPart): Prompt.ToolCallPart | undefined => {
  const call = HostedApproval.callOf(part.options)
  return call &&
    Prompt.toolCallPart({ id: part.toolCallId, name: call.tool, params: call.params, providerExecuted: true })
}

const isRequestsOnly = (message: Prompt.Message): boolean =>
  message.role === "assistant" && message.content.length > 0 &&
  message.content.every((part) => part.type === "tool-approval-request" && hostedCallOf(part) === undefined)

/**
 * Returns the approvals that a conversation waits for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const approvalsOf = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Approval.Approval> =>
  lastStepOf(messages)?.waiting.flatMap(({ call, requests }) => requests.map((request) => toApproval(request, call))) ??
    []

/**
 * Returns the approval of a request. For a nested run, or a call that runs as another tool, the request itself holds
 * the call.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toApproval = (
  { approvalId, options }: Prompt.ToolApprovalRequestPart,
  call: { readonly id: string; readonly name: string; readonly params: unknown }
): Approval.Approval => {
  const asked = options[optionsKey]
  const ofClient = Object.hasOwn(options, ClientTool.optionsKey) && { runsIn: "client" as const }
  return isDescribed(asked)
    ? {
      approvalId,
      toolCallId: asked.toolCallId,
      tool: asked.tool,
      params: asked.params,
      path: asked.path,
      ...ofClient
    }
    : { approvalId, toolCallId: call.id, tool: call.name, params: call.params, path: [], ...ofClient }
}

/**
 * Returns the approval that a provider requests.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toHostedApproval = (request: Prompt.ToolApprovalRequestPart): Approval.Approval => {
  const { approvalId, options, toolCallId } = request
  const { params, tool } = HostedApproval.callOf(options) ?? HostedApproval.unknownCall
  return { approvalId, toolCallId, tool, params, path: [] }
}

/**
 * Creates the part of a run for a request.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toPart = (
  request: Prompt.ToolApprovalRequestPart,
  call: { readonly id: string; readonly name: string; readonly params: unknown }
): AgentRun.ApprovalRequest & { readonly approval: Approval.Approval } => ({
  ...Response.makePart("tool-approval-request", { approvalId: request.approvalId, toolCallId: request.toolCallId }),
  approval: toApproval(request, call)
})

/**
 * Adds the requested call to those parts of a model that are requests of the provider. Returns the same array if there
 * are none.
 *
 * @category conversions
 * @since 0.1.0
 */
export const describeHosted = (
  parts: Arr.NonEmptyReadonlyArray<StreamPart>,
  requests: ReadonlyArray<Prompt.ToolApprovalRequestPart>
): Arr.NonEmptyReadonlyArray<AgentRun.Part> =>
  parts.some((part) => part.type === "tool-approval-request")
    ? Arr.map(parts, (part): AgentRun.Part => {
      if (part.type !== "tool-approval-request") return part
      const request = requests.find(({ approvalId }) => approvalId === part.approvalId)
      return request === undefined ? part : { ...part, approval: toHostedApproval(request) }
    })
    : parts

const isDescribed = (u: unknown): u is Omit<Approval.Approval, "approvalId"> =>
  Predicate.hasProperty(u, "path") && Array.isArray(u.path) && Predicate.hasProperty(u, "toolCallId") &&
  Predicate.isString(u.toolCallId) && Predicate.hasProperty(u, "tool") && Predicate.isString(u.tool) &&
  Predicate.hasProperty(u, "params")

/**
 * Returns the state of an approval that nothing waits for.
 *
 * @category accessors
 * @since 0.1.0
 */
export const statusOf = (
  messages: ReadonlyArray<Prompt.Message>,
  approvalId: string
): "unknown" | "answered" | "expired" => {
  let status: "unknown" | "answered" | "expired" = "unknown"
  for (const message of messages) {
    if (message.role !== "assistant" && message.role !== "tool") continue
    for (const part of message.content) {
      if (part.type === "tool-approval-request" && part.approvalId === approvalId && status === "unknown") {
        status = "expired"
      }
      if (part.type === "tool-approval-response" && part.approvalId === approvalId) status = "answered"
    }
  }
  return status
}

/**
 * Returns whether a message has the answer to an approval.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isApprovalAnswer = (message: Prompt.Message): boolean =>
  message.role === "tool" && message.content.some((part) => part.type === "tool-approval-response")

/**
 * Returns whether a message contains anything about approvals.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isAboutApproval = (message: Prompt.Message): boolean =>
  message.role === "assistant"
    ? message.content.some((part) => part.type === "tool-approval-request")
    : isApprovalAnswer(message)

/**
 * Returns the conversation as the model sees it: without requests and answers, except answers to the provider; every
 * call as it ran; and the results of a step in one message. Returns the same array if nothing has to change.
 *
 * @category conversions
 * @since 0.1.0
 */
export const forModel = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> => {
  if (!messages.some(isAboutApproval)) return messages
  const seen: Array<Prompt.Message> = []
  const callOf = new Map<string, string>()
  const hosted = new Set<string>()
  for (const message of messages) {
    if (message.role === "assistant") {
      const content = message.content.filter((part) => {
        if (part.type !== "tool-approval-request") return true
        // effect removes an answer that is beside its request, so the answer is sent alone
        if (hostedCallOf(part) !== undefined) hosted.add(part.approvalId)
        // the request is for another call than the one that the model has made
        if (isDescribed(part.options[optionsKey])) callOf.delete(part.approvalId)
        else callOf.set(part.approvalId, part.toolCallId)
        return false
      })
      if (content.length === message.content.length) seen.push(message)
      else if (content.length > 0) seen.push(Prompt.assistantMessage({ content, options: message.options }))
    } else if (message.role === "tool") {
      const content = message.content.filter((part) => {
        if (part.type !== "tool-approval-response" || hosted.has(part.approvalId)) return true
        const answer = part.options[optionsKey]
        const toolCallId = callOf.get(part.approvalId)
        if (toolCallId !== undefined && Predicate.hasProperty(answer, "params")) edit(seen, toolCallId, answer.params)
        return false
      })
      const last = seen[seen.length - 1]
      if (content.length === 0) continue
      if (last?.role === "tool") {
        seen[seen.length - 1] = Prompt.toolMessage({ content: [...last.content, ...content], options: last.options })
      } else seen.push(content.length === message.content.length ? message : Parts.toolMessage(content))
    } else seen.push(message)
  }
  return seen.some(ProgramCall.isOfProgram) ? inOrder(seen) : seen
}

/**
 * The results of a program's calls right after the calls. One that waited for an approval has its result behind calls that
 * the program has made since, which the servers of models refuse.
 */
const inOrder = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> => {
  const rest: Array<Prompt.Message> = []
  const late = new Map<number, Array<Prompt.ToolMessagePart>>()
  const owners = new Map<string, number>()
  let last = -1
  for (const message of messages) {
    if (message.role === "assistant") {
      last = rest.length
      for (const part of message.content) if (part.type === "tool-call") owners.set(part.id, last)
    }
    if (message.role !== "tool") {
      rest.push(message)
      continue
    }
    const inPlace = message.content.filter((part) => {
      const owner = part.type === "tool-result" ? owners.get(part.id) : undefined
      if (owner === undefined || owner === last) return true
      const moved = late.get(owner)
      if (moved === undefined) late.set(owner, [part])
      else moved.push(part)
      return false
    })
    if (inPlace.length === message.content.length) rest.push(message)
    else if (inPlace.length > 0) rest.push(Prompt.toolMessage({ content: inPlace, options: message.options }))
  }
  const ordered: Array<Prompt.Message> = []
  for (let index = 0; index < rest.length; index++) {
    const message = rest[index]
    ordered.push(message)
    if (message.role !== "assistant" || !ProgramCall.isOfProgram(message)) continue
    const next = rest[index + 1]
    const ids = message.content.flatMap((part) => part.type === "tool-call" ? part.id : [])
    const place = (part: Prompt.ToolMessagePart) => part.type === "tool-result" ? ids.indexOf(part.id) : -1
    const content = [...next?.role === "tool" ? next.content : [], ...late.get(index) ?? []]
    if (content.length > 0) ordered.push(Parts.toolMessage(content.sort((self, that) => place(self) - place(that))))
    if (next?.role === "tool") index++
  }
  return ordered
}

const edit = (messages: Array<Prompt.Message>, toolCallId: string, params: unknown): void => {
  const index = messages.findLastIndex((message) =>
    message.role === "assistant" && message.content.some((part) => part.type === "tool-call" && part.id === toolCallId)
  )
  const message = messages[index]
  if (message?.role !== "assistant") return
  const content = message.content.map((part) =>
    part.type === "tool-call" && part.id === toolCallId ? Parts.promptToolCall({ ...part, params }, part.options) : part
  )
  messages[index] = Prompt.assistantMessage({ content, options: message.options })
}

/**
 * Continues a run with the answers to the approvals that an earlier run waits for.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as AgentError from "../../AgentError.ts"
import type * as Approval from "../../Approval.ts"
import type * as Middleware from "../../Middleware.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as Fields from "../words/fields.ts"
import * as Json from "../words/json.ts"
import type { Nested } from "../words/parentRun.ts"
import * as Parts from "../words/responseParts.ts"
import type { Call } from "../words/stepBuilder.ts"
import type { Origin } from "./origin.ts"
import * as Waiting from "./waiting.ts"
import * as NestedTools from "../tool/nested.ts"
import * as ClientTool from "../tool/clientTool.ts"
import * as ToolHandler from "../tool/handler.ts"

/**
 * A call whose approval was answered: it runs with these parameters, or does not run.
 *
 * @category models
 * @since 0.1.0
 */
export type Answered =
  | {
    readonly _tag: "Run"
    readonly call: Call
    readonly nested?: Nested
    /** The approved call, if a middleware runs the call as another tool. */
    readonly approvedAs?: ToolHandler.ApprovedAs
    /** What the client has returned for the call. */
    readonly returned?: ClientTool.Returned
  }
  | { readonly _tag: "Denied"; readonly call: Call; readonly reason: string }

/**
 * A step that continues with its answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resumption {
  /** The conversation of the answers, as this program has kept it. */
  readonly conversation: ReadonlyArray<Prompt.Message>
  /** The messages before those of the run: those of the session, and those of the providers. */
  readonly history: ReadonlyArray<Prompt.Message>
  /** The messages that begin the transcript: those of the resumed result, or none. */
  readonly own: ReadonlyArray<Prompt.Message>
  /** Where the answers are recorded, if no session does that. */
  readonly origin: Origin["Service"] | undefined
  /** The assistant message of the step. */
  readonly assistant: Prompt.AssistantMessage
  /** All calls of the step that waited. */
  readonly waited: ReadonlyArray<Waiting.WaitingCall>
  /** The calls that got an answer, in the order of the calls. */
  readonly answered: ReadonlyArray<Answered>
  /** The answers as they are kept. */
  readonly responses: ReadonlyArray<Prompt.ToolApprovalResponsePart>
  readonly approvalIds: ReadonlyArray<string>
  /** The calls that have no answer and go on waiting. */
  readonly waiting: ReadonlyArray<Waiting.WaitingCall>
}

/**
 * The places where a run may find the step that it continues.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  readonly session: string | undefined
  /** The messages of the providers, in their order. */
  readonly contributed: ReadonlyArray<Prompt.Message>
  /** The part of these messages that the session keeps. */
  readonly kept: { readonly from: number; readonly to: number; readonly keepsAnswers: boolean } | undefined
  readonly origin: Origin["Service"] | undefined
  readonly prompt: Prompt.Prompt
  readonly answers: ReadonlyArray<Approval.Answer>
}

type Problem = AgentError.ApprovalRejected["problem"]

const rejected = (approvalId: string, problem: Problem, description?: string) =>
  Exit.fail(new AgentError.ApprovalRejected({ approvalId, problem, description }))

/**
 * Finds the calls that these answers are for. If a session keeps the conversation, only the session is used; otherwise
 * what this program knows about it, but never what the caller has handed in.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resumption = (found: Found): Exit.Exit<Resumption, AgentError.ApprovalRejected> => {
  const { answers } = found
  if (answers.length === 0) return rejected("", "unknown", "there is no answer")
  const place = placeOf(found)
  if (Exit.isExit(place)) return place
  const { conversation, ...rest } = place
  const step = Waiting.lastStepOf(conversation)
  const asked = askedIn(step)
  const given = new Map<string, Approval.Answer>()
  for (const answer of answers) {
    const { approvalId } = answer.approval
    if (given.has(approvalId)) return rejected(approvalId, "answered")
    const [stored, other] = asked.get(approvalId) ?? []
    if (stored === undefined) return rejected(approvalId, Waiting.statusOf(conversation, approvalId))
    if (other !== undefined) return rejected(approvalId, "ambiguous")
    if (!isSame(answer.approval, stored)) return rejected(approvalId, "changed")
    const mismatch = mismatchOf(answer, stored)
    if (mismatch !== undefined) return rejected(approvalId, "invalid", mismatch)
    if (isEdited(answer) && isHosted(approvalId, step)) {
      return rejected(approvalId, "invalid", "the provider runs this call with the parameters that it has asked for")
    }
    given.set(approvalId, answer)
  }
  const waited = step!.waiting
  const isAnswered = ({ requests }: Waiting.WaitingCall) => requests.some(({ approvalId }) => given.has(approvalId))
  const assistant = rest.own.length === 0 ? step!.assistant : assistantIn(rest.own, waited)
  if (assistant === undefined) return rejected(answers[0].approval.approvalId, "changed", "the prompt has another call")
  return Exit.succeed({
    ...rest,
    conversation,
    assistant,
    waited,
    // the provider runs its own calls
    answered: waited.filter(({ call }) => !call.providerExecuted).filter(isAnswered)
      .map((call) => answeredOf(call, given)),
    responses: answers.map(toResponse),
    approvalIds: [...given.keys()],
    waiting: waited.filter((call) => !isAnswered(call))
  })
}

/** A client gives results, a person decides. What is stored says which of them a call waits for. */
const mismatchOf = ({ _tag }: Approval.Answer, { runsIn }: Approval.Approval): string | undefined => {
  if (_tag === "Result" && runsIn !== "client") return "the call does not run in the client"
  return _tag === "Approve" && runsIn === "client" ? "the call waits for its result from the client" : undefined
}

const isHosted = (approvalId: string, step: Waiting.LastStep | undefined): boolean =>
  step?.waiting.some(({ call, requests }) => call.providerExecuted && requests[0].approvalId === approvalId) === true

type Place = Pick<Resumption, "conversation" | "history" | "own" | "origin">

const placeOf = (
  { answers, contributed, kept, origin, prompt, session }: Found
): Place | Exit.Exit<never, AgentError.ApprovalRejected> => {
  const unknown = (description: string) => rejected(answers[0].approval.approvalId, "unknown", description)
  if (kept !== undefined) {
    if (!kept.keepsAnswers) return unknown("nothing saves the answers to the session before their calls run")
    const conversation = contributed.slice(kept.from, kept.to)
    return { conversation, own: [], origin: undefined, history: aroundSession(contributed, kept) }
  }
  if (origin === undefined) return unknown("this program has neither given out the result nor kept a session of it")
  if (origin.transcript === undefined) return unknown(origin.problem ?? "the run does not wait for anything")
  if (origin.keeper === "session") return unknown("the approvals are those of a session, and this agent keeps none")
  if (origin.session !== session) return unknown("the approvals are those of a run in another session")
  return { conversation: origin.transcript.content, own: prompt.content, origin, history: contributed }
}

/**
 * Puts the messages of the providers that follow those of the session where they were in the run before: before the
 * prompt of that run. The results follow their calls.
 *
 * @category combinators
 * @since 0.1.0
 */
export const aroundSession = (
  contributed: ReadonlyArray<Prompt.Message>,
  { from, to }: { readonly from: number; readonly to: number }
): ReadonlyArray<Prompt.Message> => {
  if (to === contributed.length) return contributed
  const asking = contributed.slice(from, to).findLastIndex(({ role }) => role === "user")
  const at = from + Math.max(asking, 0)
  return [...contributed.slice(0, at), ...contributed.slice(to), ...contributed.slice(at, to)]
}

/** The requested approvals by their ids. Two calls with the same id cannot be distinguished once they are answered. */
const askedIn = (step: Waiting.LastStep | undefined): ReadonlyMap<string, ReadonlyArray<Approval.Approval>> => {
  const asked = new Map<string, Array<Approval.Approval>>()
  for (const { call, requests } of step?.waiting ?? []) {
    for (const request of requests) {
      const same = asked.get(request.approvalId)
      if (same === undefined) asked.set(request.approvalId, [Waiting.toApproval(request, call)])
      else same.push(Waiting.toApproval(request, call))
    }
  }
  return asked
}

/** The message of the step in a prompt that a middleware may have rebuilt, if it still has the waiting calls. */
const assistantIn = (
  messages: ReadonlyArray<Prompt.Message>,
  waited: ReadonlyArray<Waiting.WaitingCall>
): Prompt.AssistantMessage | undefined => {
  const step = Waiting.lastStepOf(messages)
  const hosted = step?.waiting.flatMap(({ call }) => call.providerExecuted ? call : []) ?? []
  const hasCall = ({ call: { id, name, params } }: Waiting.WaitingCall) =>
    [...step?.open ?? [], ...hosted].some((call) =>
      call.id === id && call.name === name && isSameJson(call.params, params)
    )
  return waited.every(hasCall) ? step?.assistant : undefined
}

/** Whether the requested and the answered approval are equal; one of them may come from JSON. */
const isSame = (self: Approval.Approval, that: Approval.Approval): boolean =>
  self.tool === that.tool && self.toolCallId === that.toolCallId && Json.isSame(self.path, that.path) &&
  isSameJson(self.params, that.params)

const isSameJson = (self: unknown, that: unknown): boolean => Json.isSame(Fields.toJson(self), Fields.toJson(that))

const answeredOf = (
  { approvedAs: before, call, requests }: Waiting.WaitingCall,
  given: ReadonlyMap<string, Approval.Answer>
): Answered => {
  const answers = requests.flatMap(({ approvalId }) => given.get(approvalId) ?? [])
  const answer = answers[0]
  const asked = requests.map(({ options }) => options[Waiting.optionsKey]).find(isObject)
  if (asked !== undefined && answer.approval.path.length > 0) {
    // the nested run knows these approvals as its own
    const below = answers.map((answer) => ({
      ...answer,
      approval: { ...answer.approval, path: answer.approval.path.slice(1) }
    }))
    return {
      _tag: "Run",
      call: toCall(call, call.params),
      nested: { answers: below, transcript: asked["transcript"] },
      ...(before === undefined ? undefined : { approvedAs: before })
    }
  }
  if (answer._tag === "Deny") {
    return { _tag: "Denied", call: toCall(call, call.params), reason: answer.reason ?? "The call was denied" }
  }
  const returned = answer._tag === "Result" && { returned: answer }
  if (asked === undefined) {
    return { _tag: "Run", call: toCall(call, isEdited(answer) ? answer.params : call.params), ...returned }
  }
  const { params, tool } = answer.approval
  const approvedAs = { tool, asked: asked["params"], params: isEdited(answer) ? answer.params : params }
  return { _tag: "Run", call: toCall(call, call.params), approvedAs, ...returned }
}

const toCall = ({ id, name }: Prompt.ToolCallPart, params: unknown): Call => Parts.toolCall(id, name, params, false)

/** Whether the answer has other parameters. `null` is a possible value of them. */
const isEdited = (answer: Approval.Answer): answer is Extract<Approval.Answer, { readonly _tag: "Approve" }> =>
  answer._tag === "Approve" && answer.params !== undefined

const isObject = (u: Schema.Json | null | undefined): u is Schema.JsonObject =>
  typeof u === "object" && u !== null && !Array.isArray(u)

const toResponse = (answer: Approval.Answer): Prompt.ToolApprovalResponsePart => {
  const { approvalId } = answer.approval
  if (answer._tag === "Deny") {
    return Prompt.toolApprovalResponsePart({
      approvalId,
      approved: false,
      ...answer.reason && { reason: answer.reason }
    })
  }
  return Prompt.toolApprovalResponsePart({
    approvalId,
    approved: true,
    // a value that is not JSON does not decode, and is rejected before it is kept
    ...isEdited(answer) && { options: { [Waiting.optionsKey]: { params: answer.params as Schema.Json } } }
  })
}

/**
 * The result of a call that was denied.
 *
 * @category results
 * @since 0.1.0
 */
export const denied = ({ call, reason }: Extract<Answered, { readonly _tag: "Denied" }>): Middleware.ToolResult =>
  ToolHandler.notExecuted(call, "execution-denied", reason)

/**
 * Finds the calls that these answers are for, and decodes edited parameters and results of clients. If one of the answers is wrong,
 * nothing runs.
 *
 * @category running
 * @since 0.1.0
 */
export const resume = (
  found: Found,
  tools: Readonly<Record<string, Tool.Any>>
): Effect.Effect<Resumption, AgentError.ApprovalRejected> =>
  Effect.flatMap(
    resumption(found),
    (resumption) =>
      Effect.as(Effect.forEach(found.answers, (answer) => checkGiven(answer, tools), { discard: true }), resumption)
  )

/** The edited parameters of an approval, or the result of a client. */
const checkGiven = (
  answer: Approval.Answer,
  tools: Readonly<Record<string, Tool.Any>>
): Effect.Effect<unknown, AgentError.ApprovalRejected> => {
  const { approvalId, path, tool } = answer.approval
  const isResult = answer._tag === "Result"
  if (!isResult && !isEdited(answer)) return Effect.void
  const given = isResult ? answer.result : answer.params
  if (Json.isTooDeep(given) || !isJson(given)) {
    return rejected(approvalId, "invalid", `the ${isResult ? "result is" : "edited parameters are"} not JSON`)
  }
  const asked = NestedTools.find(tools, path, tool)
  // approvals that only a nested run knows are decoded there
  if (asked === undefined) return Effect.void
  return Effect.matchEffect(isResult ? ClientTool.decode(asked, answer) : ToolCodec.decodeParams(asked, given), {
    onFailure: (error) => rejected(approvalId, "invalid", error.message),
    onSuccess: () => Effect.void
  })
}

const isJson = Schema.is(Schema.Json)

/**
 * Uses the answers, once: for a session by saving it, otherwise in the record of this process. If the save fails, they
 * are not used.
 *
 * @category running
 * @since 0.1.0
 */
export const claim = (
  { approvalIds, origin }: Resumption,
  save: Effect.Effect<unknown, unknown>
): Effect.Effect<unknown, unknown> => {
  if (origin === undefined) return save
  // who is interrupted between the two has taken nothing
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(origin.taken.take(approvalIds), (twice) => {
      if (twice !== undefined) return rejected(twice, "answered")
      return Effect.onExit(
        restore(save),
        (exit) => Exit.isFailure(exit) ? origin.taken.release(approvalIds) : Effect.void
      )
    })
  )
}

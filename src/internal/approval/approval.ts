/**
 * How a run goes on with the answers to the approvals that the one before it waits for.
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
import * as ToolHandler from "../tool/handler.ts"

/**
 * A call that somebody has answered: it runs with these parameters, or it does not.
 *
 * @category models
 * @since 0.1.0
 */
export type Answered =
  | {
    readonly _tag: "Run"
    readonly call: Call
    readonly nested?: Nested
    /** What was approved, when a middleware runs the call as another tool. */
    readonly approvedAs?: ToolHandler.ApprovedAs
  }
  | { readonly _tag: "Denied"; readonly call: Call; readonly reason: string }

/**
 * A step that goes on with its answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resumption {
  /** The conversation that the answers are for, as this program has kept it. */
  readonly conversation: ReadonlyArray<Prompt.Message>
  /** The messages before those of the run: the session's, and what the providers contribute. */
  readonly history: ReadonlyArray<Prompt.Message>
  /** The messages that begin the transcript: those of the result that was resumed, or none. */
  readonly own: ReadonlyArray<Prompt.Message>
  /** Who has to know that they are answered, when no session does. */
  readonly origin: Origin["Service"] | undefined
  /** The message of the step, as it stands in the messages. */
  readonly assistant: Prompt.AssistantMessage
  /** All calls of the step that waited. */
  readonly waited: ReadonlyArray<Waiting.WaitingCall>
  /** The calls that got an answer, in call order. */
  readonly answered: ReadonlyArray<Answered>
  /** The answers, as they are kept. */
  readonly responses: ReadonlyArray<Prompt.ToolApprovalResponsePart>
  readonly approvalIds: ReadonlyArray<string>
  /** The calls that wait on: they have no answer. */
  readonly waiting: ReadonlyArray<Waiting.WaitingCall>
}

/**
 * Where a run may find what it goes on with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Found {
  readonly session: string | undefined
  /** What the providers contribute, in their order. */
  readonly contributed: ReadonlyArray<Prompt.Message>
  /** Which of it the session keeps. */
  readonly kept: { readonly from: number; readonly to: number; readonly keepsAnswers: boolean } | undefined
  readonly origin: Origin["Service"] | undefined
  readonly prompt: Prompt.Prompt
  readonly answers: ReadonlyArray<Approval.Answer>
}

type Problem = AgentError.ApprovalRejected["problem"]

const rejected = (approvalId: string, problem: Problem, description?: string) =>
  Exit.fail(new AgentError.ApprovalRejected({ approvalId, problem, description }))

/**
 * Finds the calls that these answers are for. A session is asked alone when it keeps the
 * conversation; otherwise what this program knows of it, never what was handed in.
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
    // the provider runs its own
    answered: waited.filter(({ call }) => !call.providerExecuted).filter(isAnswered)
      .map((call) => answeredOf(call, given)),
    responses: answers.map(toResponse),
    approvalIds: [...given.keys()],
    waiting: waited.filter((call) => !isAnswered(call))
  })
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
 * Puts what comes after the messages of the session where it stood when the run before this one was: before
 * the prompt of that run. The results follow their calls.
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

/** What is asked for, by approval id. Two calls under one id cannot be told apart once they are answered. */
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

/** The step in a prompt that a middleware may have rebuilt, if it still has the calls that wait. */
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

/** What was asked and what is answered are the same; one of them may come from JSON. */
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
    // the run below it knows them as its own
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
  if (asked === undefined) return { _tag: "Run", call: toCall(call, isEdited(answer) ? answer.params : call.params) }
  const { params, tool } = answer.approval
  const approvedAs = { tool, asked: asked["params"], params: isEdited(answer) ? answer.params : params }
  return { _tag: "Run", call: toCall(call, call.params), approvedAs }
}

const toCall = ({ id, name }: Prompt.ToolCallPart, params: unknown): Call => Parts.toolCall(id, name, params, false)

/** Null is a parameter like any other. */
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
    // what is no JSON does not decode, and is rejected before it is kept
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
 * Finds the calls that these answers are for, and decodes what was edited. Nothing
 * runs when one of the answers is wrong.
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
      Effect.as(Effect.forEach(found.answers, (answer) => checkEdited(answer, tools), { discard: true }), resumption)
  )

const checkEdited = (
  answer: Approval.Answer,
  tools: Readonly<Record<string, Tool.Any>>
): Effect.Effect<unknown, AgentError.ApprovalRejected> => {
  const { approvalId, path, tool } = answer.approval
  if (!isEdited(answer)) return Effect.void
  if (Json.isTooDeep(answer.params) || !isJson(answer.params)) {
    return rejected(approvalId, "invalid", "the edited parameters are not JSON")
  }
  const asked = NestedTools.find(tools, path, tool)
  // what only a nested run knows is decoded there
  if (asked === undefined) return Effect.void
  return Effect.matchEffect(ToolCodec.decodeParams(asked, answer.params), {
    onFailure: (error) => rejected(approvalId, "invalid", error.message),
    onSuccess: () => Effect.void
  })
}

const isJson = Schema.is(Schema.Json)

/**
 * Takes the answers, once: of a session by saving it, of anything else where it is known.
 * A save that fails takes nothing.
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

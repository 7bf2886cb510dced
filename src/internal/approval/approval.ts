/**
 * How a run goes on with the answers to the approvals that the one before it waits for.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as AgentError from "../../AgentError.ts"
import type * as Approval from "../../Approval.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Parts from "../words/responseParts.ts"
import type { Call } from "../words/stepBuilder.ts"
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
  | { readonly _tag: "Run"; readonly call: Call; readonly nested: Nested | undefined }
  | { readonly _tag: "Denied"; readonly call: Call; readonly reason: string }

/**
 * The answers to what a nested run asked, and where that run stands.
 *
 * @category models
 * @since 0.1.0
 */
export interface Nested {
  readonly answers: ReadonlyArray<Approval.Answer>
  /** Its conversation as JSON. */
  readonly transcript: Schema.Json | undefined
}

/**
 * A step that goes on with its answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resumption {
  /** The messages that begin the transcript: those of the result that was resumed, or none. */
  readonly own: ReadonlyArray<Prompt.Message>
  /** Whether it is a result that is resumed, not the history. */
  readonly fromResult: boolean
  readonly step: Waiting.LastStep
  /** The calls that got an answer, in call order. */
  readonly answered: ReadonlyArray<Answered>
  /** The answers, as they are kept. */
  readonly responses: ReadonlyArray<Prompt.ToolApprovalResponsePart>
  readonly approvalIds: ReadonlyArray<string>
  /** The calls that wait on: they have no answer. */
  readonly waiting: ReadonlyArray<Waiting.WaitingCall>
}

type Problem = AgentError.ApprovalRejected["problem"]

const rejected = (approvalId: string, problem: Problem, description?: string) =>
  Exit.fail(new AgentError.ApprovalRejected({ approvalId, problem, description }))

/**
 * Finds the calls that these answers are for. The history is asked first; where it
 * knows none of the approvals, the messages of the result are.
 *
 * @category constructors
 * @since 0.1.0
 */
export const resumption = (
  history: ReadonlyArray<Prompt.Message>,
  result: ReadonlyArray<Prompt.Message>,
  answers: ReadonlyArray<Approval.Answer>
): Exit.Exit<Resumption, AgentError.ApprovalRejected> => {
  const isKnown = ({ approval }: Approval.Answer) => Waiting.statusOf(history, approval.approvalId) !== "unknown"
  const fromResult = result.length > 0 && !answers.some(isKnown)
  const own = fromResult ? result : []
  const messages = [...history, ...own]
  const step = Waiting.lastStepOf(messages)
  const waiting = step?.waiting ?? []
  const asked = new Map(
    waiting.flatMap(({ call, requests }) =>
      requests.map((request) => [request.approvalId, Waiting.toApproval(request, call)] as const)
    )
  )
  const given = new Map<string, Approval.Answer>()
  for (const answer of answers) {
    const { approval } = answer
    const stored = asked.get(approval.approvalId)
    if (given.has(approval.approvalId)) return rejected(approval.approvalId, "answered")
    if (stored === undefined) {
      const status = Waiting.statusOf(messages, approval.approvalId)
      return rejected(approval.approvalId, status)
    }
    if (!isSame(approval, stored)) return rejected(approval.approvalId, "changed")
    given.set(approval.approvalId, answer)
  }
  const isAnswered = ({ requests }: Waiting.WaitingCall) => requests.some(({ approvalId }) => given.has(approvalId))
  if (step === undefined || answers.length === 0) {
    return rejected("", "unknown", "there is no answer")
  }
  return Exit.succeed({
    own,
    fromResult,
    step,
    answered: waiting.filter(isAnswered).map((call) => answeredOf(call, given)),
    responses: answers.map(toResponse),
    approvalIds: [...given.keys()],
    waiting: waiting.filter((call) => !isAnswered(call))
  })
}

/** What was asked and what is answered are the same; one of them may come from JSON. */
const isSame = (self: Approval.Approval, that: Approval.Approval): boolean =>
  self.tool === that.tool && self.toolCallId === that.toolCallId && Equal.equals(self.path, that.path) &&
  Equal.equals(self.params ?? null, that.params ?? null)

const answeredOf = (
  { call, requests }: Waiting.WaitingCall,
  given: ReadonlyMap<string, Approval.Answer>
): Answered => {
  const answers = requests.flatMap(({ approvalId }) => given.get(approvalId) ?? [])
  const nested = requests.map(({ options }) => options[Waiting.optionsKey]).find(isObject)
  if (nested !== undefined) {
    // the run below it knows them as its own
    const below = answers.map((answer) => ({
      ...answer,
      approval: { ...answer.approval, path: answer.approval.path.slice(1) }
    }))
    return {
      _tag: "Run",
      call: toCall(call, call.params),
      nested: { answers: below, transcript: nested["transcript"] }
    }
  }
  const answer = answers[0]
  return answer._tag === "Deny"
    ? { _tag: "Denied", call: toCall(call, call.params), reason: answer.reason ?? "The call was denied" }
    : { _tag: "Run", call: toCall(call, answer.params ?? call.params), nested: undefined }
}

const toCall = ({ id, name }: Prompt.ToolCallPart, params: unknown): Call => Parts.toolCall(id, name, params, false)

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
    ...answer.params !== undefined && { options: { [Waiting.optionsKey]: { params: answer.params as Schema.Json } } }
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
  history: ReadonlyArray<Prompt.Message>,
  prompt: Prompt.Prompt,
  answers: ReadonlyArray<Approval.Answer>,
  tools: Readonly<Record<string, Tool.Any>>
): Effect.Effect<Resumption, AgentError.ApprovalRejected> =>
  Effect.flatMap(
    resumption(history, prompt.content, answers),
    (resumption) =>
      Effect.as(Effect.forEach(answers, (answer) => checkEdited(answer, tools), { discard: true }), resumption)
  )

const checkEdited = (
  answer: Approval.Answer,
  tools: Readonly<Record<string, Tool.Any>>
): Effect.Effect<unknown, AgentError.ApprovalRejected> => {
  const { approvalId, path, tool } = answer.approval
  if (answer._tag === "Deny" || answer.params === undefined) return Effect.void
  if (!isJson(answer.params)) return rejected(approvalId, "invalid", "the edited parameters are not JSON")
  const asked = NestedTools.find(tools, path, tool)
  // what only a nested run knows is decoded there
  if (asked === undefined) return Effect.void
  return Effect.matchEffect(ToolHandler.decodeParams(asked, answer.params), {
    onFailure: (error) => rejected(approvalId, "invalid", error.message),
    onSuccess: () => Effect.void
  })
}

const isJson = Schema.is(Schema.Json)

// What was answered of a result that no session has, by its transcript.
const claimed = new WeakMap<Prompt.Prompt, Set<string>>()

/**
 * Takes the answers, once: of a result in this process, of a session by saving it. A
 * save that fails takes nothing.
 *
 * @category running
 * @since 0.1.0
 */
export const claim = (
  result: Prompt.Prompt,
  { approvalIds, fromResult }: Resumption,
  save: Effect.Effect<unknown, unknown>
): Effect.Effect<unknown, unknown> =>
  Effect.suspend(() => {
    if (!fromResult) return save
    const taken = claimed.get(result) ?? new Set()
    const twice = approvalIds.find((id) => taken.has(id))
    if (twice !== undefined) return rejected(twice, "answered")
    claimed.set(result, taken)
    for (const id of approvalIds) taken.add(id)
    return Effect.onExit(save, (exit) =>
      Effect.sync(() => {
        if (Exit.isFailure(exit)) { for (const id of approvalIds) taken.delete(id) }
      }))
  })

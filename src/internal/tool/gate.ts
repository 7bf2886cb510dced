/**
 * What a call has to pass before it is run: the standing rules, and who has to be
 * asked. A call that does not pass has a result that says so.
 *
 * @since 0.1.0
 */
import * as IdGenerator from "effect/ai/IdGenerator"
import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Approval from "../../Approval.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Parts from "../words/responseParts.ts"

/**
 * A failure result for a call that was not allowed to run, or not to its end.
 *
 * @category results
 * @since 0.1.0
 */
export const notExecuted = (
  call: { readonly id: string; readonly name: string },
  type: "execution-denied" | "execution-interrupted",
  reason: string
): Middleware.ToolResult => {
  const result = { type, reason }
  return Parts.toolResult({
    id: call.id,
    name: call.name,
    result,
    encodedResult: result,
    isFailure: true,
    preliminary: false
  })
}

/**
 * Why a standing rule forbids a call. Fails closed: a rule that throws, or that answers
 * with anything but a boolean or a text, forbids it.
 *
 * @category accessors
 * @since 0.1.0
 */
export const refusalOf = (rules: ReadonlyArray<Approval.Rule>, params: unknown): string | undefined => {
  for (const rule of rules) {
    if (rule._tag !== "Never") continue
    const held = Result.try(() => rule.holds(params))
    if (Result.isSuccess(held) && held.success === false) continue
    return Result.isSuccess(held) && Predicate.isString(held.success) ? held.success : "The call is not allowed"
  }
  return undefined
}

/**
 * Whether a standing rule lets a call run that needs an approval. Fails closed: a rule
 * that throws does not.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isAllowed = (rules: ReadonlyArray<Approval.Rule>, params: unknown): boolean =>
  rules.some((rule) => {
    if (rule._tag !== "Always") return false
    const held = Result.try(() => rule.holds(params))
    return Result.isSuccess(held) && held.success === true
  })

/**
 * Whether a call needs an approval. Fails closed: what cannot tell needs one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const isApprovalNeeded = (
  needsApproval: true | Tool.NeedsApprovalFunction<any>,
  params: unknown,
  context: Tool.NeedsApprovalContext
): Effect.Effect<boolean> =>
  Effect.suspend(() => {
    const needed = needsApproval === true ? true : needsApproval(params, context)
    return Effect.isEffect(needed) ? needed : Exit.succeed(needed)
  }).pipe(
    Effect.matchCause({ onFailure: () => true, onSuccess: (needed) => needed !== false })
  )

const WaitingTypeId = "~effect-agents/internal/Waiting"

/**
 * The result of a call that waits for approvals. Where nobody can be asked it is what
 * it says: a denied call.
 *
 * @category results
 * @since 0.1.0
 */
export const waiting = (
  call: { readonly id: string; readonly name: string },
  requests: ReadonlyArray<Prompt.ToolApprovalRequestPart>
): Middleware.ToolResult => {
  const denied = notExecuted(
    call,
    "execution-denied",
    "The call needs an approval, and this run has nobody to give it"
  )
  return { ...denied, result: Object.assign({ [WaitingTypeId]: requests }, denied.result) }
}

/**
 * What a call waits for, if this is the result of one that does.
 *
 * @category results
 * @since 0.1.0
 */
export const requestsOf = (
  { result }: Middleware.ToolResult
): ReadonlyArray<Prompt.ToolApprovalRequestPart> | undefined =>
  Predicate.hasProperty(result, WaitingTypeId)
    ? result[WaitingTypeId] as ReadonlyArray<Prompt.ToolApprovalRequestPart>
    : undefined

/**
 * The result of a call that waits for an approval of its own.
 *
 * @category results
 * @since 0.1.0
 */
export const unapproved = (
  request: Middleware.ToolRequest,
  context: Context.Context<never>
): Effect.Effect<Middleware.ToolResult> => {
  const ids = Context.getOrUndefined(context, IdGenerator.IdGenerator) ?? IdGenerator.defaultIdGenerator
  return Effect.map(
    ids.generateId(),
    (approvalId) => waiting(request, [Prompt.toolApprovalRequestPart({ approvalId, toolCallId: request.id })])
  )
}

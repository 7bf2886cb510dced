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
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as Approval from "../../Approval.ts"
import type * as Middleware from "../../Middleware.ts"
// two spellings of one key, held together by its type
import type * as Waiting from "../approval/waiting.ts"
import * as JsonValue from "../words/jsonValue.ts"
import * as Parts from "../words/responseParts.ts"

/**
 * What the run knows of a result that no handler gave. It stands beside the result, under
 * its identity: what is in a result may come from a tool, and says nothing about the run.
 */
interface Mark {
  /** What the result is a failure of. */
  readonly type: ExecutionFailure | "mistake"
  /** The approvals that the call waits for. */
  readonly requests: ReadonlyArray<Prompt.ToolApprovalRequestPart>
}

type ExecutionFailure = "execution-denied" | "execution-interrupted"

const marks = new WeakMap<Middleware.ToolResult, Mark>()

/** Only failures are marked. */
const markOf = (result: Middleware.ToolResult): Mark | undefined => result.isFailure ? marks.get(result) : undefined

const marked = (result: Middleware.ToolResult, type: Mark["type"], requests: Mark["requests"] = []) => {
  marks.set(result, { type, requests })
  return result
}

/**
 * A failure result for a call that was not allowed to run, or not to its end.
 *
 * @category results
 * @since 0.1.0
 */
export const notExecuted = (
  call: { readonly id: string; readonly name: string },
  type: ExecutionFailure,
  reason: string
): Middleware.ToolResult => marked(executionFailure(call, type, reason), type)

const executionFailure = (
  call: { readonly id: string; readonly name: string },
  type: ExecutionFailure,
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
 * The result of a call that comes after the last one that may run.
 *
 * @category results
 * @since 0.1.0
 */
export const exhausted = (call: { readonly id: string; readonly name: string }): Middleware.ToolResult =>
  notExecuted(call, "execution-denied", "The tool call budget of this run is exhausted")

/**
 * The result of a call that did not end in time.
 *
 * @category results
 * @since 0.1.0
 */
export const tooSlow = (
  call: { readonly id: string; readonly name: string },
  timeout: Duration.Duration
): Middleware.ToolResult =>
  notExecuted(call, "execution-interrupted", `The tool did not end within ${Duration.format(timeout)}`)

/**
 * Marks the result of a call that was not let through because the model made a mistake.
 *
 * @category results
 * @since 0.1.0
 */
export const asMistake = (result: Middleware.ToolResult): Middleware.ToolResult => marked(result, "mistake")

/**
 * Whether the call that this is the result of was let through to its tool.
 *
 * @category accessors
 * @since 0.1.0
 */
export const wasExecuted = (result: Middleware.ToolResult): boolean => {
  const type = markOf(result)?.type
  return type === undefined || type === "execution-interrupted"
}

/**
 * The type of a failure that is none of the tool's: the call was denied, or cut.
 *
 * @category accessors
 * @since 0.1.0
 */
export const executionFailureOf = (result: Middleware.ToolResult): ExecutionFailure | undefined => {
  const type = markOf(result)?.type
  return type === "mistake" ? undefined : type
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
): Middleware.ToolResult =>
  marked(
    executionFailure(call, "execution-denied", "The call needs an approval, and this run has nobody to give it"),
    "execution-denied",
    requests
  )

/**
 * What a call waits for, if this is the result of one that does.
 *
 * @category results
 * @since 0.1.0
 */
export const requestsOf = (
  result: Middleware.ToolResult
): ReadonlyArray<Prompt.ToolApprovalRequestPart> | undefined => {
  const requests = markOf(result)?.requests
  return requests === undefined || requests.length === 0 ? undefined : requests
}

/**
 * The result of a call that waits, where nobody can be asked: it is denied.
 *
 * @category results
 * @since 0.1.0
 */
export const unanswerable = (result: Middleware.ToolResult): Middleware.ToolResult =>
  requestsOf(result) === undefined ? result : marked({ ...result }, "execution-denied")

/**
 * How far a call came below its middleware, the last time that they asked for it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Below {
  began: boolean
  result: Middleware.ToolResult | undefined
}

/**
 * The result of a call whose middleware gave this one. They may have copied or replaced
 * what came from below; whether the call ran, was refused or waits is known from there. A
 * call that waits has its answer when a middleware made a success of it.
 *
 * @category results
 * @since 0.1.0
 */
export const fromMiddleware = (result: Middleware.ToolResult, below: Below): Middleware.ToolResult => {
  if (!result.isFailure) return result
  if (below.result !== undefined && requestsOf(below.result) !== undefined) return below.result
  const ran = below.began && (below.result === undefined || wasExecuted(below.result))
  if (ran === wasExecuted(result)) return result
  return ran ? { ...result } : marked({ ...result }, "execution-denied")
}

/** Where a request keeps what effect/ai's has no place for. */
const optionsKey = "effect-agents/Approval" satisfies typeof Waiting.optionsKey

/**
 * The result of a call that a middleware runs as another tool, when that tool waits for an approval: it is asked for
 * what would run. Parameters that are no JSON cannot be asked for, and the call is denied.
 *
 * @category results
 * @since 0.1.0
 */
export const waitingAs = (
  call: { readonly id: string; readonly name: string },
  { name: tool, params }: { readonly name: string; readonly params: unknown },
  requests: ReadonlyArray<Prompt.ToolApprovalRequestPart>
): Middleware.ToolResult => {
  const json = JsonValue.toJson(params ?? {})
  if (Result.isFailure(json)) {
    const reason =
      `The call needs an approval as \`${tool}\`, and nobody can be asked: its parameters have ${json.failure}`
    return notExecuted(call, "execution-denied", reason)
  }
  const options = { [optionsKey]: { path: [], toolCallId: call.id, tool, params: json.success } }
  return waiting(call, requests.map((request) => Prompt.toolApprovalRequestPart({ ...request, options })))
}

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

/**
 * Marks the result of a call that no handler gave as it was marked before it was recorded.
 *
 * @category results
 * @since 0.1.0
 */
export const remark = (result: Middleware.ToolResult, type: ExecutionFailure | "mistake"): Middleware.ToolResult =>
  marked(result, type)

/**
 * The checks before a tool call runs: standing rules, and whether an approval is needed. A call that does not pass gets
 * a result that says so.
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
// the same key is written in two places, and its type holds them together
import type * as Waiting from "../approval/waiting.ts"
import * as JsonValue from "../words/jsonValue.ts"
import * as Parts from "../words/responseParts.ts"
import * as ClientTool from "./clientTool.ts"

/**
 * What the run knows about a result that no handler gave. It is kept beside the result, by identity. The content of a
 * result may come from a tool, so it proves nothing.
 */
interface Mark {
  /** The kind of failure. */
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
 * Creates the failure result of a call that was not allowed to run, or that was interrupted.
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
 * Creates the result of a call beyond the number of calls that may run.
 *
 * @category results
 * @since 0.1.0
 */
export const exhausted = (call: { readonly id: string; readonly name: string }): Middleware.ToolResult =>
  notExecuted(call, "execution-denied", "The tool call budget of this run is exhausted")

/**
 * Creates the result of a call that did not end in time.
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
 * Marks the result of a call that did not run because of a mistake of the model.
 *
 * @category results
 * @since 0.1.0
 */
export const asMistake = (result: Middleware.ToolResult): Middleware.ToolResult => marked(result, "mistake")

/**
 * Returns whether the call of this result reached its tool.
 *
 * @category accessors
 * @since 0.1.0
 */
export const wasExecuted = (result: Middleware.ToolResult): boolean => {
  const type = markOf(result)?.type
  return type === undefined || type === "execution-interrupted"
}

/**
 * Returns the kind of a failure that is not the tool's own: the call was denied, or interrupted.
 *
 * @category accessors
 * @since 0.1.0
 */
export const executionFailureOf = (result: Middleware.ToolResult): ExecutionFailure | undefined => {
  const type = markOf(result)?.type
  return type === "mistake" ? undefined : type
}

/**
 * Returns why a standing rule forbids a call. It fails closed: a rule that throws, or that returns anything but a
 * boolean or a text, forbids the call.
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
 * Returns whether a standing rule allows a call that needs an approval. It fails closed: a rule that throws does not
 * allow it.
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
 * Returns whether a call needs an approval. It fails closed: if this cannot be decided, it does.
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
 * Creates the result of a call that waits for approvals. If nobody can be asked, it reads as a denied call.
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
 * Returns what a call waits for, if this is the result of a waiting call.
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
 * Creates the result of a call that needs an approval when nobody can be asked: it is denied.
 *
 * @category results
 * @since 0.1.0
 */
export const unanswerable = (result: Middleware.ToolResult): Middleware.ToolResult =>
  requestsOf(result) === undefined ? result : marked({ ...result }, "execution-denied")

/**
 * What happened to a call below its middleware, the last time that the middleware called `next`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Below {
  began: boolean
  result: Middleware.ToolResult | undefined
}

/**
 * Returns the result of a call whose middleware gave this one. A middleware may copy or replace a result, so whether
 * the call ran, was refused or waits is taken from below. A waiting call counts as answered if a middleware made its
 * result a success.
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

/** The key in the options of a request for everything that effect/ai has no field for. */
const optionsKey = "effect-agents/Approval" satisfies typeof Waiting.optionsKey

/**
 * Creates the result of a call that a middleware runs as another tool, if that tool waits for an approval. The approval
 * is requested for what would run. Parameters that are not JSON cannot be shown, so such a call is denied.
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
  return waiting(
    call,
    requests.map((request) =>
      Prompt.toolApprovalRequestPart({ ...request, options: { ...request.options, ...options } })
    )
  )
}

/**
 * Creates the result of a call that waits for an approval of its own, or for a client.
 *
 * @category results
 * @since 0.1.0
 */
export const unapproved = (
  request: Middleware.ToolRequest,
  context: Context.Context<never>
): Effect.Effect<Middleware.ToolResult> => {
  const ids = Context.getOrUndefined(context, IdGenerator.IdGenerator) ?? IdGenerator.defaultIdGenerator
  const options = ClientTool.isClientTool(request.tool) ? { [ClientTool.optionsKey]: {} } : {}
  return Effect.map(
    ids.generateId(),
    (approvalId) => waiting(request, [Prompt.toolApprovalRequestPart({ approvalId, toolCallId: request.id, options })])
  )
}

/**
 * Marks a recorded result that no handler gave in the way that it was marked before.
 *
 * @category results
 * @since 0.1.0
 */
export const remark = (result: Middleware.ToolResult, type: ExecutionFailure | "mistake"): Middleware.ToolResult =>
  marked(result, type)

/**
 * Approvals that a provider asks for, before it runs a tool of its own.
 *
 * effect/ai has a part for such a request, without the call that it is about. The call is in the same response, or
 * beside the request: an adapter puts it there when effect/ai has no part for the call. In a conversation the call
 * stands with the request.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"

/**
 * Where the call stands, in the metadata of a request and in the options of its part of a conversation.
 *
 * @category constants
 * @since 0.1.0
 */
export const key = "effect-agents/HostedApproval"

/**
 * The call that is asked about: the tool as the provider names it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly tool: string
  readonly params: unknown
}

/**
 * What stands for a call that the provider has not told: somebody can still say no to it.
 *
 * @category constants
 * @since 0.1.0
 */
export const unknownCall: Call = { tool: "unknown", params: null }

/**
 * Creates the metadata of a request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const mark = (tool: string, params: Schema.MutableJson): { readonly [key]: Schema.MutableJson } => ({
  [key]: { tool, params }
})

/**
 * Creates the part of a conversation that is a request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toPrompt = (
  { approvalId, toolCallId }: Response.ToolApprovalRequestPart,
  { params = null, tool }: Call
): Prompt.ToolApprovalRequestPart =>
  // what a provider says is JSON
  Prompt.toolApprovalRequestPart({
    approvalId,
    toolCallId,
    options: { [key]: { tool, params: params as Schema.Json } }
  })

/**
 * Returns the call that a request is about; undefined when no provider has asked.
 *
 * @category getters
 * @since 0.1.0
 */
export const callOf = (options: Readonly<Record<string, unknown>>): Call | undefined => {
  const call = options[key]
  return Predicate.hasProperty(call, "tool") && Predicate.isString(call.tool) && Predicate.hasProperty(call, "params")
    ? { tool: call.tool, params: call.params }
    : undefined
}

/**
 * Approvals that a provider requests before it runs a tool of its own.
 *
 * effect/ai has a part for such a request, but the part does not contain the call. The call is in the same response. If
 * effect/ai has no part for the call, an adapter puts it into the metadata of the request. In a conversation the call
 * is always stored with the request.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"

/**
 * The key of the call, in the metadata of a request and in the options of its part in a conversation.
 *
 * @category constants
 * @since 0.1.0
 */
export const key = "effect-agents/HostedApproval"

/**
 * The call that needs the approval, with the tool's name at the provider.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly tool: string
  readonly params: unknown
}

/**
 * Stands for a call that the provider has not sent. It can still be denied.
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
 * Creates the part of a conversation for a request.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toPrompt = (
  { approvalId, toolCallId }: Response.ToolApprovalRequestPart,
  { params = null, tool }: Call
): Prompt.ToolApprovalRequestPart =>
  // the data of a provider is JSON
  Prompt.toolApprovalRequestPart({
    approvalId,
    toolCallId,
    options: { [key]: { tool, params: params as Schema.Json } }
  })

/**
 * Returns the call of a request, or `undefined` if no provider has made the request.
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

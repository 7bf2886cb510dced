/**
 * Values of a run in the words of OpenAI, for both of its wires.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as AgentRun from "../../../AgentRun.ts"
import type * as Approval from "../../../Approval.ts"
import * as Fields from "../../../internal/words/fields.ts"
import * as FileData from "../../../internal/words/fileData.ts"
import * as Json from "../../../internal/words/json.ts"
import { failed } from "../failures.ts"
import type { ChatFinishReason, ChatUsage } from "./chatModels.ts"
import type { ResponseUsage } from "./responseModels.ts"
import * as Failures from "./failures.ts"

/**
 * The failure of a run that waits for an approval that nobody can give over chat completions.
 *
 * @category constants
 * @since 0.1.0
 */
export const approvalRequired: Failures.Failure = Failures.ofRun(
  failed("approval-required", 422, false, "The agent needs the approval of a person, which cannot be given here.")
)

/**
 * The failure of a stream of parts that ends without the end of its run.
 *
 * @category constants
 * @since 0.1.0
 */
export const cut: Failures.Failure = Failures.ofRun(failed("internal", 500, false, "Something went wrong."))

/**
 * Returns how an answer ended. A limit on tokens is a length; whatever else stops a run has let it answer.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toFinishReason = (reason: AgentRun.StopReason): ChatFinishReason =>
  reason === "length" || reason === "token-limit" ? "length" : reason === "content-filter" ? "content_filter" : "stop"

/**
 * Returns the usage of a run, or `undefined` if no model has reported any.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toChatUsage = ({ inputTokens, outputTokens }: AgentRun.Usage): ChatUsage | undefined => {
  if (inputTokens.total === undefined && outputTokens.total === undefined) return undefined
  const input = inputTokens.total ?? 0
  const output = outputTokens.total ?? 0
  return {
    prompt_tokens: input,
    completion_tokens: output,
    total_tokens: input + output,
    prompt_tokens_details: { cached_tokens: inputTokens.cacheRead ?? 0 },
    completion_tokens_details: { reasoning_tokens: outputTokens.reasoning ?? 0 }
  }
}

/**
 * Returns the usage of a run, or `undefined` if no model has reported any.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResponseUsage = ({ inputTokens, outputTokens }: AgentRun.Usage): ResponseUsage | undefined => {
  if (inputTokens.total === undefined && outputTokens.total === undefined) return undefined
  const input = inputTokens.total ?? 0
  const output = outputTokens.total ?? 0
  return {
    input_tokens: input,
    input_tokens_details: {
      cached_tokens: inputTokens.cacheRead ?? 0,
      cache_write_tokens: inputTokens.cacheWrite ?? 0
    },
    output_tokens: output,
    output_tokens_details: { reasoning_tokens: outputTokens.reasoning ?? 0 },
    total_tokens: input + output
  }
}

/**
 * Returns why an answer is incomplete, or `undefined` if it is complete.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toIncompleteReason = (
  reason: AgentRun.StopReason
): "max_output_tokens" | "content_filter" | undefined => {
  const finish = toFinishReason(reason)
  return finish === "length" ? "max_output_tokens" : finish === "content_filter" ? "content_filter" : undefined
}

/**
 * Returns the id of the item that asks for an approval of a response. `index` is its place among all that the run waits
 * for.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toApprovalItem = (
  { conversation, own }: { readonly conversation: string; readonly own: string },
  index: number
): string => `mcpr_${conversation}_${own}_${index}`

/**
 * Returns whether the client runs the call that waits.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOfClient = ({ runsIn }: Approval.Approval): boolean => runsIn === "client"

/**
 * Returns the parameters of a call as the text of a JSON object.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toArguments = (params: unknown): string =>
  params === undefined ? "{}" : JSON.stringify(Json.shallow(params))

const encodeValue = Schema.encodeUnknownResult(Schema.Struct({ value: Fields.AnyAnswer }))

/**
 * Returns the answer of an agent with an `output`, if its last step has not said it as text: JSON, or the text itself.
 *
 * @category conversions
 * @since 0.1.0
 */
export const answerOf = ({ text, value }: AgentRun.Result): string => {
  if (value === undefined || text.trim() !== "") return ""
  const encoded = encodeValue({ value })
  return Result.isSuccess(encoded) ? Json.toText(encoded.success.value) : ""
}

/**
 * Returns the address of a file of a user: the one that was sent, or its data.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toUrl = ({ data, mediaType }: Prompt.FilePart): string => {
  const read = FileData.read(data)
  if (read._tag === "Url") return read.text
  return `data:${mediaType};base64,${typeof read.data === "string" ? read.data : Base64.encode(read.data)}`
}

const decodeJson = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

/**
 * Returns the value of a text in JSON, or `undefined` if it is none, or nested too deeply.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromJson = (text: string): Schema.Json | undefined => {
  // JSON says nothing else
  const value = Result.getOrElse(decodeJson(text), () => undefined) as Schema.Json | undefined
  return Json.isTooDeep(value) ? undefined : value
}

/**
 * Returns the result of a tool of the client. An object or an array in JSON is read; any other text stays a text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResult = (text: string): Schema.Json => (/^\s*[{[]/.test(text) ? fromJson(text) : undefined) ?? text

/**
 * Returns whether a client can answer a call that no session keeps: a call of its own tool by the agent itself, which the
 * client says again with its next request.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAnswerable = (approval: Approval.Approval): boolean => isOfClient(approval) && approval.path.length === 0

/**
 * Returns the id by which the client gives the result of its call. Agents that are called may use an id again.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toCallId = (approval: Approval.Approval, approvals: ReadonlyArray<Approval.Approval>): string =>
  approvals.some((other) => other !== approval && isOfClient(other) && other.toolCallId === approval.toolCallId)
    ? approval.approvalId
    : approval.toolCallId

/**
 * The approvals of an agent of this package, as a caller elsewhere has them. The id of an approval names its task, so
 * that the answer finds it from any process.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@a2a-js/sdk"
import * as Prompt from "effect/ai/Prompt"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Approval from "../../Approval.ts"
import * as ClientTool from "../../internal/tool/clientTool.ts"
import * as Waiting from "../../internal/approval/waiting.ts"
import * as Json from "../../internal/words/json.ts"
import type * as AgentApi from "../../server/AgentApi.ts"

/**
 * Returns the approvals that a task asks for. Parts of other agents ask for none.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromParts = (parts: ReadonlyArray<Sdk.Part>, taskId: string): ReadonlyArray<Approval.Approval> =>
  parts.flatMap(({ content }) => {
    if (content?.$case !== "data" || Json.isTooDeep(content.value)) return []
    const decoded = decode(content.value)
    return Result.isFailure(decoded) ? [] : decoded.success.approvals.map((approval) => ({
      ...approval,
      approvalId: `${encodeURIComponent(taskId)}/${approval.approvalId}`
    }))
  })

const decode = Schema.decodeUnknownResult(
  Schema.toCodecJson(Schema.Struct({ approvals: Schema.NonEmptyArray(Approval.Approval) }))
)

/**
 * Returns the task that an answer is for, and the answer as its agent knows it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toAnswer = (
  given: Approval.Answer
): { readonly taskId: string; readonly answer: AgentApi.Answer } | undefined => {
  const [, task, approvalId] = /^([^/]+)\/(.*)$/s.exec(given.approval.approvalId) ?? []
  const taskId = task === undefined ? Result.fail(undefined) : Result.try(() => decodeURIComponent(task))
  return Result.isFailure(taskId) || approvalId === undefined
    ? undefined
    : { taskId: taskId.success, answer: { approvalId, ...answerOf(given) } }
}

const answerOf = (given: Approval.Answer): Omit<AgentApi.Answer, "approvalId"> => {
  switch (given._tag) {
    case "Deny":
      return given.reason === undefined ? { approved: false } : { approved: false, reason: given.reason }
    case "Result":
      return given.isFailure
        ? { approved: true, failure: String(given.result) }
        // results and parameters are JSON, and the agent decodes them
        : { approved: true, result: (given.result ?? null) as Schema.Json }
    case "Approve":
      return given.params === undefined ? { approved: true } : { approved: true, params: given.params as Schema.Json }
  }
}

/**
 * Returns the requests for approvals as a transcript has them, beside their calls.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRequests = (
  approvals: ReadonlyArray<Approval.Approval>
): ReadonlyArray<Prompt.ToolApprovalRequestPart> =>
  approvals.map(({ approvalId, params, path, runsIn, tool, toolCallId }) =>
    Prompt.toolApprovalRequestPart({
      approvalId,
      toolCallId,
      options: {
        ...runsIn === "client" && { [ClientTool.optionsKey]: {} },
        ...path.length > 0 && {
          [Waiting.optionsKey]: { path, toolCallId, tool, params: (params ?? null) as Schema.Json }
        }
      }
    })
  )

/**
 * How a run has ended that waits for approvals or for its client.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import type * as Approval from "../../../Approval.ts"
import * as ToolCodec from "../../../internal/model/toolCodec.ts"
import * as NestedTools from "../../../internal/tool/nested.ts"
import type * as Models from "./models.ts"

type Tools = Readonly<Record<string, Tool.Any>>

/**
 * An approval that a run waits for, with its call as the client knows it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Waiting {
  readonly approval: Approval.Approval
  readonly toolCallId: string
  readonly tag: { readonly subagentRunId?: string } | undefined
}

/**
 * Returns how a run has ended that waits for this. An interrupt has no field for the calls that wait for the client, so
 * they are in `metadata` then.
 *
 * @category conversions
 * @since 0.1.0
 */
export const of = (waiting: ReadonlyArray<Waiting>, tools: Tools | undefined): {
  readonly outcome: Models.Outcome
  readonly metadata?: { readonly pendingToolCallIds: Array<string> }
} => {
  const ofClient = waiting.filter(({ approval }) => approval.runsIn === "client")
  const asked = waiting.filter((one) => !ofClient.includes(one))
  const pendingToolCallIds = ofClient.map(({ toolCallId }) => toolCallId)
  const isPending = pendingToolCallIds.length > 0
  if (asked.length === 0) return { outcome: { type: "success", ...isPending && { pendingToolCallIds } } }
  const interrupts = asked.map((one) => toInterrupt(one, tools))
  return { outcome: { type: "interrupt", interrupts }, ...isPending && { metadata: { pendingToolCallIds } } }
}

const toInterrupt = ({ approval, tag, toolCallId }: Waiting, tools: Tools | undefined): Models.Interrupt => {
  const { approvalId, params, path, tool } = approval
  const known = tools && NestedTools.find(tools, path, tool)
  return {
    id: approvalId,
    reason: "approval-required",
    message: `Run \`${tool}\`?`,
    toolCallId,
    responseSchema: {
      type: "object",
      properties: {
        approved: { type: "boolean" },
        reason: { type: "string" },
        editedArgs: known === undefined ? { type: "object" } : ToolCodec.of(known).jsonSchema
      },
      required: ["approved"]
    },
    metadata: { tool, params: params ?? null, path: [...path] },
    ...tag
  }
}

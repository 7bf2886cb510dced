/**
 * The tools of an agent in the form that the runtime is offered, and their results in the form that it accepts.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@github/copilot-sdk"
import * as Tool from "effect/ai/Tool"
import * as ToolCodec from "../../internal/model/toolCodec.ts"
import type * as ToolHandler from "../../internal/tool/handler.ts"
import * as FileData from "../../internal/words/fileData.ts"
import * as Text from "../../internal/words/text.ts"
import type * as Middleware from "../../Middleware.ts"

/**
 * Answers a call of a tool. It never rejects. A call without an answer stays open until the runtime's work is stopped.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer = (
  call: { readonly id: string; readonly name: string; readonly params: unknown },
  signal: AbortSignal | undefined
) => Promise<Sdk.ToolResultObject>

/**
 * Declares the tools of a toolkit. They run without a permission request, because they belong to the agent: its
 * approvals and middleware may stop them. A tool with the name of a tool of the runtime replaces it.
 *
 * @category conversions
 * @since 0.1.0
 */
export const declare = (toolkit: ToolHandler.WithHandler | undefined, answer: Answer): Array<Sdk.Tool> =>
  Object.values(toolkit?.tools ?? {}).map((tool) => {
    const description = Tool.getDescription(tool)
    return {
      name: tool.name,
      ...(description === undefined ? undefined : { description }),
      parameters: { ...ToolCodec.of(tool).jsonSchema },
      skipPermission: true,
      overridesBuiltInTool: true,
      defer: "never",
      handler: (params, { signal, toolCallId }) => answer({ id: toolCallId, name: tool.name, params }, signal)
    }
  })

/**
 * The result of a call, for the model of the runtime.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResult = ({ encodedResult, isFailure, modelOutput }: Middleware.ToolResult): Sdk.ToolResultObject => {
  const text = modelOutput === undefined
    ? toText(encodedResult)
    : modelOutput.flatMap((part) => part.type === "text" ? part.text : []).join("\n")
  const binary = modelOutput?.flatMap((part): ReadonlyArray<BinaryResult> => {
    if (part.type !== "file") return []
    const file = FileData.read(part.data)
    return file._tag === "Url" ? [] : [{
      type: part.mediaType.startsWith("image/") ? "image" : "resource",
      mimeType: part.mediaType,
      data: FileData.toBase64(file.data)
    }]
  })
  return Text.wellFormedValue<Sdk.ToolResultObject>({
    textResultForLlm: text,
    ...(binary === undefined || binary.length === 0 ? undefined : { binaryResultsForLlm: binary }),
    ...(isFailure ? { resultType: "failure", error: text } : { resultType: "success" })
  })
}

type BinaryResult = NonNullable<Sdk.ToolResultObject["binaryResultsForLlm"]>[number]

const toText = (result: unknown): string => {
  if (typeof result === "string") return result
  return result === undefined ? "" : JSON.stringify(result)
}

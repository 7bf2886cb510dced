/**
 * Failures of calls of effect's `McpClient`, as a model reads them: the server's answer, or what went wrong on the way.
 *
 * @since 0.1.0
 */
import type * as McpClientError from "effect/ai/McpClientError"
import type * as McpSchema from "effect/ai/McpSchema"
import * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Json from "../words/json.ts"

/**
 * What a model reads about a call: the reason of its failure or, if the server's result is not only text, the parts of
 * it.
 *
 * @category models
 * @since 0.1.0
 */
export type Told =
  | { readonly _tag: "Failure"; readonly text: string }
  | {
    readonly _tag: "Success"
    readonly text: string
    readonly parts: ReadonlyArray<Prompt.ToolModelOutputPart>
  }

/** Effect's guard is in a module with the schemas of the whole protocol, which a run without MCP should not load. */
const TypeId = "~effect/ai/McpClientError"

/**
 * Returns whether a value is an error of effect's `McpClient`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isError = (u: unknown): u is McpClientError.McpClientError =>
  Predicate.isError(u) && Predicate.hasProperty(u, TypeId)

/**
 * Returns what a model reads about the error of a call.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toTold = ({ reason }: McpClientError.McpClientError): Told => {
  switch (reason._tag) {
    case "ToolError":
      return { _tag: "Failure", text: textOf(reason.result) || "The tool failed" }
    case "UnsupportedError": {
      const { result } = reason
      if (result === undefined) return { _tag: "Failure", text: reason.message }
      return { _tag: "Success", text: textOf(result), parts: result.content.map(toPart) }
    }
    default:
      return { _tag: "Failure", text: reason.message }
  }
}

const textOf = ({ content, structuredContent }: McpSchema.CallToolResult): string =>
  content.length === 0 && structuredContent !== undefined
    ? Json.toText(structuredContent)
    : content.map((block) => {
      const part = toPart(block)
      return part.type === "text"
        ? part.text
        : `[${part.fileName === undefined ? "" : `${part.fileName}, `}${part.mediaType}]`
    }).join("\n")

const toPart = (block: McpSchema.ContentBlock): Prompt.ToolModelOutputPart => {
  switch (block.type) {
    case "text":
      return Prompt.textPart({ text: block.text })
    case "image":
    case "audio":
      return Prompt.filePart({ mediaType: block.mimeType, data: block.data })
    case "resource_link": {
      const about = block.description === undefined ? "" : `\n${block.description}`
      return Prompt.textPart({ text: `${block.title ?? block.name}: ${block.uri}${about}` })
    }
    case "resource": {
      const { resource } = block
      return "text" in resource
        ? Prompt.textPart({ text: resource.text })
        : Prompt.filePart({
          mediaType: resource.mimeType ?? "application/octet-stream",
          fileName: resource.uri,
          data: resource.blob
        })
    }
  }
}

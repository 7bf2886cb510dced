/**
 * What a server answered to a call, as a result of a tool: for the model and for the program.
 *
 * @since 0.1.0
 */
import type * as McpSchema from "effect/ai/McpSchema"
import * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as Json from "../../internal/words/json.ts"
import * as Text from "../../internal/words/text.ts"

/**
 * A result that is not only text: the texts and files that the model reads, and the server's `structuredContent`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Content {
  readonly parts: ReadonlyArray<Prompt.ToolModelOutputPart>
  /** The JSON of a tool with an `outputSchema`. Default: the server gave none. */
  readonly structured?: Schema.Json
}

/**
 * Schema for `Content`.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Content = Schema.Struct({
  parts: Schema.Array(Prompt.ToolModelOutputPart),
  structured: Schema.optionalKey(Schema.Json)
})

/**
 * The result of a tool of a server.
 *
 * @category models
 * @since 0.1.0
 */
export type Result = string | Content

/**
 * How long a result may be: its text in UTF-16 units, and its files in bytes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Bounds {
  readonly maximumText: number
  readonly maximumBytes: number
}

/**
 * Returns what the model reads, if it is not the result itself.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toModelOutput = (result: Result): ReadonlyArray<Prompt.ToolModelOutputPart> | undefined =>
  Predicate.isString(result) ? undefined : result.parts

/**
 * Returns the result of a call that the server did not call an error.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toResult = (result: McpSchema.CallToolResult, bounds: Bounds): Result => {
  const structured = toStructured(result.structuredContent, bounds)
  const parts = toParts(result, bounds)
  if (structured !== undefined) return { parts, structured }
  return parts.every(({ type }) => type === "text") ? textOf(parts) : { parts }
}

/**
 * Returns what the model reads of a result that the server called an error. It holds no files, because a model reads a
 * failure as text.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toFailure = (result: McpSchema.CallToolResult, bounds: Bounds): string =>
  Text.shorten(textOf(toParts(result, bounds)), bounds.maximumText) || "The tool failed"

const textOf = (parts: ReadonlyArray<Prompt.ToolModelOutputPart>): string =>
  parts.map((part) => part.type === "text" ? part.text : placeholder(part.mediaType, part.fileName)).join("\n")

const placeholder = (mediaType: string, name: string | undefined, note = "") =>
  `[${name === undefined ? "" : `${name}, `}${mediaType}${note}]`

/** JSON that a walk over a result could not bear, or that is longer than a result may be, is left to its text. */
const toStructured = (structured: unknown, { maximumText }: Bounds): Schema.Json | undefined =>
  structured === undefined || Json.isTooDeep(structured) || Json.toText(structured).length > maximumText
    ? undefined
    : Text.wellFormedValue(structured) as Schema.Json

const toParts = (
  { content, structuredContent }: McpSchema.CallToolResult,
  bounds: Bounds
): ReadonlyArray<Prompt.ToolModelOutputPart> => {
  const rest = { text: bounds.maximumText, bytes: bounds.maximumBytes }
  const parts: Array<Prompt.ToolModelOutputPart> = []
  const blocks = content.length === 0 && structuredContent !== undefined
    ? [Json.toText(structuredContent)]
    : content.map(toPart)
  for (const [index, block] of blocks.entries()) {
    if (rest.text <= 0) {
      parts.push(Prompt.textPart({ text: `[${blocks.length - index} more parts were left out]` }))
      break
    }
    if (typeof block !== "string" && sizeOf(block) <= rest.bytes) {
      rest.bytes -= sizeOf(block)
      parts.push(block)
      continue
    }
    const text = typeof block === "string"
      ? block
      : placeholder(block.mediaType, block.fileName, `, left out because it has ${sizeOf(block)} bytes`)
    const told = Text.shorten(Text.wellFormed(text), rest.text, "… [the rest was left out]")
    // a part without text is a part too, so that their number is bounded
    rest.text -= told.length + 1
    parts.push(Prompt.textPart({ text: told }))
  }
  return parts
}

const sizeOf = ({ data }: Prompt.FilePart): number => data instanceof Uint8Array ? data.length : String(data).length

const toPart = (block: McpSchema.ContentBlock): string | Prompt.FilePart => {
  switch (block.type) {
    case "text":
      return block.text
    case "image":
    case "audio":
      return Prompt.filePart({ mediaType: toMediaType(block.mimeType), data: block.data })
    case "resource_link": {
      const about = block.description === undefined ? "" : `\n${block.description}`
      const type = block.mimeType === undefined ? "" : ` (${block.mimeType})`
      return `${block.title ?? block.name}: ${block.uri}${type}${about}`
    }
    case "resource": {
      const { resource } = block
      return "text" in resource
        ? `${resource.uri}:\n${resource.text}`
        : Prompt.filePart({
          mediaType: toMediaType(resource.mimeType),
          fileName: Text.shorten(Text.wellFormed(resource.uri), 255),
          data: resource.blob
        })
    }
  }
}

/** It becomes part of headers and of data: URLs of a provider. */
const toMediaType = (type: string | undefined): string =>
  type !== undefined && type.length <= 255 && /^[\w.+*-]+\/[\w.+*-]+(;[ -~]*)?$/.test(type)
    ? type
    : "application/octet-stream"

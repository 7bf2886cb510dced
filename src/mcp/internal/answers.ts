/**
 * The result of a run as the result of an MCP tool.
 *
 * @since 0.1.0
 */

import * as McpSchema from "effect/ai/McpSchema"
import * as Tool from "effect/ai/Tool"
import type * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as Promised from "../../internal/run/promised.ts"
import * as FileData from "../../internal/words/fileData.ts"
import * as Json from "../../internal/words/json.ts"
import * as JsonCodec from "../../internal/words/jsonCodec.ts"
import * as ObjectRoot from "../../internal/words/jsonSchema.ts"
import * as Text from "../../internal/words/text.ts"

/**
 * How the value of an agent becomes structured content.
 *
 * @category models
 * @since 0.1.0
 */
export interface Structured {
  readonly outputSchema: McpSchema.ToolOutputJson
  readonly encode: (value: unknown) => Effect.Effect<unknown, Schema.SchemaError>
}

/**
 * Returns how values of this schema become structured content, which is always an object: other values are its
 * `value`.
 *
 * @category conversions
 * @since 0.1.0
 */
export const structuredOf = (schema: Schema.Codec<unknown, unknown, unknown, unknown>): Structured => {
  const own = ObjectRoot.toObjectRoot(Tool.getJsonSchemaFromSchema(schema))
  const wrapped = Schema.Struct({ value: schema })
  const isOwn = Result.isSuccess(own)
  const root = isOwn ? own : ObjectRoot.toObjectRoot(Tool.getJsonSchemaFromSchema(wrapped))
  const codec = JsonCodec.make<unknown, unknown, unknown, unknown>(isOwn ? schema : wrapped)
  // its services are among those of the agent's layer
  const encode = Schema.encodeUnknownEffect(codec) as Structured["encode"]
  return {
    outputSchema: Result.getOrThrow(root),
    encode: (value) => encode(isOwn ? value : { value })
  }
}

/**
 * Collects the pages that the last step of a run has used as its sources. Other sources have no address.
 *
 * @category models
 * @since 0.1.0
 */
export class Sources {
  readonly links: Array<McpSchema.ContentBlock> = []

  see(parts: ReadonlyArray<AgentRun.Part>): void {
    for (const part of parts) {
      if (part.type === "step-start") this.links.length = 0
      if (part.type !== "source" || part.sourceType !== "url" || !/^https?:$/.test(part.url.protocol)) continue
      const name = Text.wellFormed(part.title)
      this.links.push(McpSchema.ResourceLink.make({ type: "resource_link", uri: part.url.href, name }))
    }
  }
}

const stopReasonKey = "effect-agents/stop-reason"
const codeKey = "effect-agents/code"

/**
 * Returns the result of a run that has completed.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toAnswer = (
  agent: string,
  result: AgentRun.Result,
  structured: Structured | undefined,
  sources: Sources
): Effect.Effect<McpSchema.CallToolResult, AgentError.AgentError | Schema.SchemaError> =>
  Effect.gen(function*() {
    const { stopReason, text, value } = result
    const broken = structured === undefined || value !== undefined ? undefined : Promised.broken(result)
    if (broken !== undefined) return yield* AgentError.make(agent, broken)
    const structuredContent = structured === undefined ? undefined : yield* structured.encode(value)
    const said = structuredContent !== undefined
      ? Json.toText(structuredContent)
      : text === "" && value !== undefined
      ? Json.toText(value)
      : text
    return new McpSchema.CallToolResult({
      _meta: { [stopReasonKey]: stopReason },
      isError: false,
      content: [
        McpSchema.TextContent.make({ type: "text", text: Text.wellFormed(said) }),
        ...filesOf(result),
        ...sources.links
      ],
      ...structuredContent !== undefined && { structuredContent }
    })
  })

/** The files of the last answer of the model. */
const filesOf = ({ transcript }: AgentRun.Result): ReadonlyArray<McpSchema.ContentBlock> => {
  const last = transcript.content.findLast((message) => message.role === "assistant")
  return (last?.content ?? []).flatMap((part, index): ReadonlyArray<McpSchema.ContentBlock> => {
    if (part.type !== "file") return []
    const { fileName, mediaType: mimeType } = part
    const file = FileData.read(part.data)
    if (file._tag === "Url") {
      return [McpSchema.ResourceLink.make({
        type: "resource_link",
        uri: file.text,
        name: fileName ?? file.text,
        mimeType
      })]
    }
    const bytes = typeof file.data === "string" ? Base64.decode(file.data) : Result.succeed(file.data)
    if (Result.isFailure(bytes)) return []
    const data = bytes.success
    if (mimeType.startsWith("image/")) return [McpSchema.ImageContent.make({ type: "image", data, mimeType })]
    if (mimeType.startsWith("audio/")) return [McpSchema.AudioContent.make({ type: "audio", data, mimeType })]
    const uri = `file:///${encodeURIComponent(fileName ?? `${index + 1}`)}`
    const resource = McpSchema.BlobResourceContents.make({ uri, mimeType, blob: data })
    return [McpSchema.EmbeddedResource.make({ type: "resource", resource })]
  })
}

/**
 * Returns the result of a run that has failed: its public description, and nothing else of the failure.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toFailure = (cause: Cause.Cause<unknown>): McpSchema.CallToolResult => {
  const { code, message } = AgentError.describe(cause)
  return new McpSchema.CallToolResult({
    _meta: { [codeKey]: code },
    isError: true,
    content: [McpSchema.TextContent.make({ type: "text", text: message })]
  })
}

/**
 * Returns the result of a run that waits for approvals which nobody can give.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toUnanswered = ({ stopReason }: AgentRun.Result): McpSchema.CallToolResult =>
  new McpSchema.CallToolResult({
    _meta: { [stopReasonKey]: stopReason, [codeKey]: "approval-required" },
    isError: true,
    content: [McpSchema.TextContent.make({
      type: "text",
      text: "The agent needs an approval, and nobody can be asked for it"
    })]
  })

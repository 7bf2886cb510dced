/**
 * The content of a run (prompts, answers, arguments, results) as the JSON strings of the GenAI conventions.
 *
 * The forms are those of the JSON schemas in https://github.com/open-telemetry/semantic-conventions-genai (main at
 * 6fd0d763). A value without a JSON form is left out.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as ToolCodec from "../model/toolCodec.ts"
import * as FileData from "../words/fileData.ts"
import * as Text from "../words/text.ts"

/**
 * Returns the JSON of a value with its strings cut at `maxLength`, or `undefined` if it has none.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toJson = (value: unknown, maxLength: number): string | undefined => {
  // `toJSON` and getters are foreign code, and a value may contain itself
  const exit = Effect.runSyncExit(
    Effect.sync(() =>
      JSON.stringify(
        value,
        (_key, leaf: unknown) => {
          if (typeof leaf === "bigint") return String(leaf)
          if (typeof leaf === "string") return Text.cut(Text.wellFormed(leaf), maxLength)
          return Predicate.isObject(leaf) ? withWellFormedKeys(leaf) : leaf
        }
      )
    )
  )
  return Exit.isSuccess(exit) ? exit.value : undefined
}

const withWellFormedKeys = (value: object): object =>
  Object.keys(value).every((key) => key.isWellFormed())
    ? value
    : Object.fromEntries(Object.entries(value).map(([key, item]) => [Text.wellFormed(key), item]))

/**
 * Returns the value as a JSON object: itself, or an object with the value as its only field.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toJsonObject = (field: string, value: unknown, maxLength: number): string | undefined => {
  const json = toJson(value ?? null, maxLength)
  return json === undefined || json.startsWith("{") ? json : `{"${field}":${json}}`
}

/**
 * Returns the system messages at the beginning, and the other messages.
 *
 * @category messages
 * @since 0.1.0
 */
export const split = (
  messages: ReadonlyArray<Prompt.Message>
): readonly [instructions: ReadonlyArray<string>, messages: ReadonlyArray<Prompt.Message>] => {
  const instructions: Array<string> = []
  for (const message of messages) {
    if (message.role !== "system") break
    instructions.push(message.content)
  }
  return [instructions, messages.slice(instructions.length)]
}

/**
 * Returns the value of `gen_ai.system_instructions`.
 *
 * @category messages
 * @since 0.1.0
 */
export const systemInstructions = (instructions: ReadonlyArray<string>): ReadonlyArray<object> | undefined =>
  instructions.length === 0 ? undefined : instructions.map((content) => ({ type: "text", content }))

/**
 * Returns the value of `gen_ai.input.messages`.
 *
 * @category messages
 * @since 0.1.0
 */
export const inputMessages = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<object> =>
  messages.map((message) => ({
    role: message.role,
    parts: typeof message.content === "string"
      ? [{ type: "text", content: message.content }]
      : message.content.map(part)
  }))

/**
 * Returns the value of `gen_ai.output.messages`, or `undefined` if there was no output. Its schema requires a finish
 * reason.
 *
 * @category messages
 * @since 0.1.0
 */
export const outputMessages = (
  content: ReadonlyArray<Prompt.AssistantMessagePart>,
  finishReason: string | undefined
): ReadonlyArray<object> | undefined =>
  content.length === 0
    ? undefined
    : [{ role: "assistant", parts: content.map(part), finish_reason: finishReason ?? "unknown" }]

const part = (part: Prompt.AssistantMessagePart | Prompt.UserMessagePart | Prompt.ToolMessagePart): object => {
  switch (part.type) {
    case "text":
    case "reasoning":
      return { type: part.type, content: part.text }
    case "file":
      return file(part)
    case "tool-call":
      return part.providerExecuted
        ? {
          type: "server_tool_call",
          id: part.id,
          name: part.name,
          server_tool_call: { type: part.name, arguments: part.params }
        }
        : { type: "tool_call", id: part.id, name: part.name, arguments: part.params }
    case "tool-result":
      return part.providerExecuted
        ? {
          type: "server_tool_call_response",
          id: part.id,
          server_tool_call_response: { type: part.name, response: part.result ?? null }
        }
        : { type: "tool_call_response", id: part.id, response: part.result ?? null }
    case "tool-approval-request":
      return { type: "tool_approval_request", id: part.approvalId, tool_call_id: part.toolCallId }
    case "tool-approval-response":
      return { type: "tool_approval_response", id: part.approvalId, approved: part.approved }
  }
}

const file = ({ data, fileName, mediaType }: Prompt.FilePart): object => {
  const [kind] = mediaType.split("/")
  const about = {
    mime_type: mediaType,
    modality: kind === "image" || kind === "video" || kind === "audio" ? kind : "document",
    name: fileName
  }
  const read = FileData.read(data)
  return read._tag === "Url"
    ? { type: "uri", ...about, uri: read.url.href }
    : { type: "blob", ...about, content: FileData.toBase64(read.data) }
}

/**
 * Returns the value of `gen_ai.tool.definitions`.
 *
 * @category messages
 * @since 0.1.0
 */
export const toolDefinitions = (tools: Readonly<Record<string, Tool.Any>>): ReadonlyArray<object> | undefined => {
  const definitions = Object.values(tools).map(toolDefinition)
  return definitions.length === 0 ? undefined : definitions
}

// The JSON schema of a tool is created once.
const toolDefinitionCache = new WeakMap<Tool.Any, object>()

const toolDefinition = (tool: Tool.Any): object => {
  let definition = toolDefinitionCache.get(tool)
  if (definition === undefined) {
    definition = Tool.isProviderDefined(tool)
      ? { type: "extension", name: tool.name }
      : {
        type: "function",
        name: tool.name,
        description: Tool.getDescription(tool),
        parameters: ToolCodec.of(tool).jsonSchema
      }
    toolDefinitionCache.set(tool, definition)
  }
  return definition
}

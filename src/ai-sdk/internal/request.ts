/**
 * From a call of effect's `LanguageModel` to a call of an AI SDK model.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import * as Base64 from "effect/encoding/Base64"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as AiSdk from "../AiSdk.ts"
import * as Extension from "./extension.ts"

type AssistantPart = Extract<Sdk.LanguageModelV4Message, { role: "assistant" }>["content"][number]
type ToolPart = Extract<Sdk.LanguageModelV4Message, { role: "tool" }>["content"][number]
type UserPart = Extract<Sdk.LanguageModelV4Message, { role: "user" }>["content"][number]
type WithOptions = { readonly providerOptions?: Sdk.SharedV4ProviderOptions }

/**
 * Creates the options of a call. Throws what `Tool.getJsonSchema` throws.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: LanguageModel.ProviderOptions,
  settings: AiSdk.Settings,
  version: string,
  codecTransformer: LanguageModel.CodecTransformer | undefined,
  abortSignal: AbortSignal
): Sdk.LanguageModelV4CallOptions => {
  const call: Sdk.LanguageModelV4CallOptions = { ...request(settings), prompt: [], abortSignal }
  for (const message of options.prompt.content) {
    const converted = toMessage(message, options.tools)
    if (converted !== undefined) call.prompt.push(version === "v3" ? toV3(converted) : converted)
  }
  if (options.tools.length > 0) {
    call.tools = options.tools.map(toTool)
    call.toolChoice = toToolChoice(options.toolChoice)
  }
  if (options.responseFormat.type === "json") {
    const { objectName, schema } = options.responseFormat
    const transformer = codecTransformer === undefined ? undefined : { transformer: codecTransformer }
    call.responseFormat = {
      type: "json",
      name: objectName,
      schema: asJsonSchema(Tool.getJsonSchemaFromSchema(schema, transformer))
    }
  }
  return call
}

// The settings that have the same name in both, without what is undefined.
const request = ({ codecTransformer: _, ...settings }: AiSdk.Settings): Omit<
  Sdk.LanguageModelV4CallOptions,
  "prompt"
> => Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined))

// Effect and the AI SDK each have a type for JSON schemas: both are the same JSON.
const asJsonSchema = (schema: JsonSchema.JsonSchema): Sdk.LanguageModelV4FunctionTool["inputSchema"] => schema

// =============================================================================
// Tools
// =============================================================================

const schemas = new WeakMap<Tool.Any, JsonSchema.JsonSchema>()

/** The schema of a tool's parameters: made once for a tool. */
const schemaOf = (tool: Tool.Any): JsonSchema.JsonSchema => {
  const known = schemas.get(tool)
  if (known !== undefined) return known
  const schema = Tool.getStrictMode(tool) === true && !Tool.isDynamic(tool)
    // providers refuse a strict tool whose objects are open
    ? Tool.getJsonSchemaFromSchema(tool.parametersSchema, { transformer: closed })
    : Tool.getJsonSchema(tool)
  schemas.set(tool, schema)
  return schema
}

const closed: LanguageModel.CodecTransformer = (codec) => {
  const { definitions, schema } = Schema.toJsonSchemaDocument(codec, { onExcessProperty: "error" })
  return {
    codec,
    jsonSchema: Object.keys(definitions).length === 0 ? schema : { ...schema, $defs: definitions }
  }
}

const toTool = (tool: Tool.Any): Sdk.LanguageModelV4FunctionTool | Sdk.LanguageModelV4ProviderTool => {
  if (Tool.isProviderDefined(tool)) {
    return {
      type: "provider",
      id: tool.id,
      name: tool.name,
      args: Predicate.isObject(tool.args) ? { ...tool.args } : {}
    }
  }
  const description = Tool.getDescription(tool)
  const strict = Tool.getStrictMode(tool)
  return {
    type: "function",
    name: tool.name,
    inputSchema: asJsonSchema(schemaOf(tool)),
    ...(description === undefined ? undefined : { description }),
    ...(strict === undefined ? undefined : { strict })
  }
}

// The tools that a `oneOf` leaves out have been taken away by effect.
const toToolChoice = (choice: LanguageModel.ProviderOptions["toolChoice"]): Sdk.LanguageModelV4ToolChoice => {
  if (typeof choice === "string") return { type: choice }
  if ("tool" in choice) return { type: "tool", toolName: choice.tool }
  return { type: choice.mode ?? "auto" }
}

// =============================================================================
// Messages
// =============================================================================

/** Returns the message, or undefined when there is nothing in it that could be sent. */
const toMessage = (
  message: Prompt.Message,
  tools: ReadonlyArray<Tool.Any>
): Sdk.LanguageModelV4Message | undefined => {
  const options = toOptions(message.options)
  switch (message.role) {
    case "system":
      return { role: "system", content: message.content, ...options }
    case "user":
      return { role: "user", content: message.content.flatMap(toUserPart), ...options }
    case "assistant": {
      const content = message.content.flatMap((part) => toAssistantPart(part, tools))
      return content.length === 0 ? undefined : { role: "assistant", content, ...options }
    }
    case "tool": {
      const content = message.content.map(toToolPart)
      return content.length === 0 ? undefined : { role: "tool", content, ...options }
    }
  }
}

const toUserPart = (part: Prompt.UserMessagePart): ReadonlyArray<UserPart> => {
  const options = toOptions(part.options)
  return part.type === "file"
    ? [{ ...toFile(part), ...options }]
    : isNothing(part.text, options)
    ? []
    : [{ type: "text", text: part.text, ...options }]
}

const toAssistantPart = (
  part: Prompt.AssistantMessagePart,
  tools: ReadonlyArray<Tool.Any>
): ReadonlyArray<AssistantPart> => {
  const options = toOptions(part.options)
  switch (part.type) {
    case "text":
      return isNothing(part.text, options) ? [] : [{ type: "text", text: part.text, ...options }]
    case "reasoning":
      return [toCarried(part.options, options) ?? { type: "reasoning", text: part.text, ...options }]
    case "file": {
      const file = toFile(part)
      return [
        Extension.isReasoningFile(part.options) && (file.data.type === "data" || file.data.type === "url")
          ? { type: "reasoning-file", mediaType: file.mediaType, data: file.data, ...options }
          : { ...file, ...options }
      ]
    }
    case "tool-call":
      return [{
        type: "tool-call",
        toolCallId: part.id,
        toolName: part.name,
        input: toInput(part, tools),
        ...(part.providerExecuted ? { providerExecuted: true } : undefined),
        ...options
      }]
    case "tool-result":
      return [toToolResult(part, options)]
    default:
      // a request for approval is known to the provider by its call
      return []
  }
}

/** What effect/ai has no part for, as it came from the provider. */
const toCarried = (
  marks: Prompt.ProviderOptions,
  options: WithOptions | undefined
): AssistantPart | undefined => {
  const kind = Extension.customKind(marks)
  if (kind !== undefined) return { type: "custom", kind, ...options }
  const call = Extension.toolCall(marks)
  if (call !== undefined) {
    return {
      type: "tool-call",
      toolCallId: call.id,
      toolName: call.name,
      input: call.input,
      providerExecuted: true,
      ...options
    }
  }
  const result = Extension.toolResult(marks)
  return result === undefined
    ? undefined
    : toToolResult(Prompt.makePart("tool-result", { ...result, providerExecuted: true }), options)
}

const toToolPart = (part: Prompt.ToolMessagePart): ToolPart => {
  const options = toOptions(part.options)
  return part.type === "tool-result" ? toToolResult(part, options) : {
    type: "tool-approval-response",
    approvalId: part.approvalId,
    approved: part.approved,
    ...(part.reason === undefined ? undefined : { reason: part.reason }),
    ...options
  }
}

// Providers refuse an empty text, except that it may carry a cache mark or a signature.
const isNothing = (text: string, options: WithOptions | undefined): boolean => text === "" && options === undefined

/** What the model wrote. Arguments that are no JSON have been answered with an error, and are not sent again. */
const toInput = ({ name, params }: Prompt.ToolCallPart, tools: ReadonlyArray<Tool.Any>): unknown => {
  if (Predicate.isObject(params)) return params
  return tools.some((tool) => tool.name === name && Tool.isProviderDefined(tool)) ? params : {}
}

const toToolResult = (
  part: Prompt.ToolResultPart,
  options: WithOptions | undefined
): Sdk.LanguageModelV4ToolResultPart => ({
  type: "tool-result",
  toolCallId: part.id,
  toolName: part.name,
  output: toOutput(part),
  ...options
})

const toOutput = (part: Prompt.ToolResultPart): Sdk.LanguageModelV4ToolResultOutput => {
  const { isFailure, modelOutput } = part
  if (modelOutput !== undefined && !isFailure) {
    return modelOutput.every((part) => part.type === "text")
      ? { type: "text", value: Prompt.toolModelOutputToText(modelOutput) }
      : { type: "content", value: modelOutput.map(toContent) }
  }
  // What a tool returned was encoded to JSON when it came, and a session stores nothing else.
  const value = (part.result === undefined ? null : part.result) as Exclude<Schema.Json, undefined>
  if (part.providerExecuted) return { type: isFailure ? "error-json" : "json", value }
  if (!isFailure) return typeof value === "string" ? { type: "text", value } : { type: "json", value }
  if (typeof value === "string") return { type: "error-text", value }
  // a failure that says it was denied may be the tool's own: it is sent as it is
  return { type: "error-json", value }
}

const toContent = (
  part: Prompt.ToolModelOutputPart
): Extract<Sdk.LanguageModelV4ToolResultOutput, { type: "content" }>["value"][number] =>
  part.type === "text"
    ? { type: "text", text: part.text, ...toOptions(part.options) }
    : { ...toFile(part), ...toOptions(part.options) }

// =============================================================================
// Files and options
// =============================================================================

const toFile = (part: Prompt.FilePart): Sdk.LanguageModelV4FilePart => ({
  type: "file",
  mediaType: part.mediaType,
  data: toFileData(part.data),
  ...(part.fileName === undefined ? undefined : { filename: part.fileName })
})

const toFileData = (data: Prompt.FilePart["data"]): Sdk.SharedV4FileDataData | Sdk.SharedV4FileDataUrl => {
  if (data instanceof Uint8Array) return { type: "data", data }
  const text = data instanceof URL ? data.href : data
  const inline = /^data:[^,]*;base64,/.exec(text)
  if (inline !== null) return { type: "data", data: text.slice(inline[0].length) }
  if (data instanceof URL) return { type: "url", url: data }
  return /^https?:\/\//.test(text) && URL.canParse(text)
    ? { type: "url", url: new URL(text) }
    : { type: "data", data: text }
}

/** The options that are for providers: one object for each. Ours were taken out where they are used. */
const toOptions = (options: Prompt.ProviderOptions): WithOptions | undefined => {
  let providerOptions: Sdk.SharedV4ProviderOptions | undefined
  for (const provider of Object.keys(options)) {
    const value = options[provider]
    if (provider === Extension.key || !Predicate.isObject(value)) continue
    providerOptions ??= {}
    // an object among JSON values is a JSON object
    providerOptions[provider] = value as Sdk.SharedV4ProviderOptions[string]
  }
  return providerOptions === undefined ? undefined : { providerOptions }
}

// =============================================================================
// Specification v3
// =============================================================================

/** In v3 the data of a file is not wrapped, and a file that a tool returned has other names. */
const toV3 = (message: Sdk.LanguageModelV4Message): Sdk.LanguageModelV4Message =>
  message.role === "system" ? message : {
    ...message,
    // The shapes of v3 are not those of v4: from here on they are only passed through.
    content: (message.content as ReadonlyArray<AssistantPart | ToolPart>).flatMap(toV3Part) as any
  }

const toV3Part = (part: AssistantPart | ToolPart): ReadonlyArray<unknown> => {
  switch (part.type) {
    case "file":
      return [{ ...part, data: toV3Data(part.data) }]
    case "tool-result":
      return [part.output.type === "content" ? { ...part, output: toV3Output(part.output) } : part]
    case "custom":
    case "reasoning-file":
      return []
    default:
      return [part]
  }
}

const toV3Data = (data: Sdk.SharedV4FileData): unknown =>
  data.type === "data" ? data.data : data.type === "url" ? data.url : undefined

const toV3Output = (output: Extract<Sdk.LanguageModelV4ToolResultOutput, { type: "content" }>) => ({
  ...output,
  value: output.value.map((part) => {
    if (part.type !== "file") return part
    const { data, ...rest } = part
    if (data.type === "url") return { ...rest, type: "file-url", url: data.url.href }
    return {
      ...rest,
      type: "file-data",
      data: data.type === "data" ? toBase64(data.data) : undefined
    }
  })
})

const toBase64 = (data: string | Uint8Array): string => typeof data === "string" ? data : Base64.encode(data)

/**
 * Translates a call of effect's `LanguageModel` to a call of an AI SDK model.
 *
 * @since 0.1.0
 */
import type * as Sdk from "@ai-sdk/provider"
import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import type * as JsonSchema from "effect/JsonSchema"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as ToolCodec from "../../internal/model/toolCodec.ts"
import * as FileData from "../../internal/words/fileData.ts"
import * as Json from "../../internal/words/json.ts"
import * as ObjectRoot from "../../internal/words/jsonSchema.ts"
import * as Text from "../../internal/words/text.ts"
import type * as AiSdk from "../AiSdk.ts"
import { type Conversation, copyMessage, copyTool, type UserPart, type WithOptions } from "./conversation.ts"
import * as Extension from "./extension.ts"
import * as Files from "./files.ts"
import * as Names from "./names.ts"
import { toJson } from "./response.ts"
import * as Target from "./target.ts"

type AssistantPart = Extract<Sdk.LanguageModelV4Message, { role: "assistant" }>["content"][number]
type ToolPart = Extract<Sdk.LanguageModelV4Message, { role: "tool" }>["content"][number]

/**
 * The parameters of a call beside those of effect. `version` is the version of the specification that the model
 * implements.
 *
 * @category models
 * @since 0.1.0
 */
export interface With {
  readonly settings: FromSettings
  readonly conversation: Conversation
  readonly version: string
  readonly codecTransformer: LanguageModel.CodecTransformer | undefined
  readonly abortSignal: AbortSignal
}

/**
 * Creates the options of a call, whose prompt is well formed. An exception of an output's transformer is thrown.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  options: LanguageModel.ProviderOptions,
  { abortSignal, codecTransformer, conversation, settings, version }: With
): Sdk.LanguageModelV4CallOptions => {
  const { names, target } = conversation
  const messages = toMessages(conversation, options.prompt)
  const prompt = version === "v3" ? messages.map(toV3) : messages
  const call: Sdk.LanguageModelV4CallOptions = { ...settings, prompt, abortSignal }
  // each chunk of Google holds the usage so far, which is the only report for a response that is cut
  if (target.family === "google") call.includeRawChunks = true
  if (options.tools.length > 0) {
    call.tools = (conversation.offered ??= options.tools.map((tool) => toTool(tool, names))).map(copyTool)
    call.toolChoice = toToolChoice(options.toolChoice, names)
  }
  if (options.responseFormat.type === "json") {
    const { objectName, schema } = options.responseFormat
    const transformer = codecTransformer === undefined ? undefined : { transformer: codecTransformer }
    const jsonSchema = Tool.getJsonSchemaFromSchema(schema, transformer)
    call.responseFormat = {
      type: "json",
      name: Names.fitName(objectName).slice(0, 64),
      schema: asJsonSchema(
        Text.wellFormedValue(Result.getOrElse(ObjectRoot.toObjectRoot(jsonSchema), () => jsonSchema))
      )
    }
  }
  return call
}

/** Converts the messages that are new, and keeps all for the next call of the run. */
const toMessages = (conversation: Conversation, prompt: Prompt.Prompt): Array<Sdk.LanguageModelV4Message> => {
  const { messages, seen } = conversation
  conversation.calls.expect(prompt.content)
  for (let i = seen.length; i < prompt.content.length; i++) {
    const message = prompt.content[i]
    if (message.role !== "tool") flushFiles(conversation, messages)
    const converted = toMessage(conversation, message)
    if (converted !== undefined) messages.push(converted)
    seen.push(message)
  }
  const all = messages.map(copyMessage)
  // more results of the same step may follow in the next call
  if (conversation.files.length > 0) all.push(copyMessage({ role: "user", content: conversation.files }))
  return all
}

/** Adds the files when every call of the step has its result. */
const flushFiles = (conversation: Conversation, messages: Array<Sdk.LanguageModelV4Message>): void => {
  if (conversation.files.length === 0) return
  messages.push({ role: "user", content: conversation.files })
  conversation.files = []
}

/**
 * Creates the part of the options that are settings: those with the same name in both, without undefined values.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofSettings = ({ codecTransformer: _, ...settings }: AiSdk.Settings): FromSettings =>
  // A server refuses half of a surrogate pair, wherever it came from.
  Text.wellFormedValue(Object.fromEntries(Object.entries(settings).filter(([, value]) => value !== undefined)))

/**
 * The options of a call that are settings.
 *
 * @category models
 * @since 0.1.0
 */
export type FromSettings = Omit<Sdk.LanguageModelV4CallOptions, "prompt">

// Effect and the AI SDK each have a type for JSON schemas; both are the same JSON.
const asJsonSchema = (schema: JsonSchema.JsonSchema): Sdk.LanguageModelV4FunctionTool["inputSchema"] => schema

// =============================================================================
// Tools
// =============================================================================

const toTool = (
  tool: Tool.Any,
  names: Names.ToolNames
): Sdk.LanguageModelV4FunctionTool | Sdk.LanguageModelV4ProviderTool => {
  if (Tool.isProviderDefined(tool)) {
    return {
      type: "provider",
      id: tool.id,
      name: names.wire(tool.name),
      args: Predicate.isObject(tool.args) ? Text.wellFormedValue({ ...tool.args }) : {}
    }
  }
  const description = Tool.getDescription(tool)
  const strict = Tool.getStrictMode(tool)
  return {
    type: "function",
    name: names.wire(tool.name),
    inputSchema: asJsonSchema(ToolCodec.of(tool).jsonSchema),
    ...(description === undefined ? undefined : { description: Text.wellFormed(description) }),
    ...(strict === undefined ? undefined : { strict })
  }
}

// effect has already removed the tools that a `oneOf` leaves out.
const toToolChoice = (
  choice: LanguageModel.ProviderOptions["toolChoice"],
  names: Names.ToolNames
): Sdk.LanguageModelV4ToolChoice => {
  if (typeof choice === "string") return { type: choice }
  if ("tool" in choice) return { type: "tool", toolName: names.wire(choice.tool) }
  return { type: choice.mode ?? "auto" }
}

// =============================================================================
// Messages
// =============================================================================

/** Returns the message, or `undefined` if it has no content that could be sent. */
const toMessage = (conversation: Conversation, message: Prompt.Message): Sdk.LanguageModelV4Message | undefined => {
  switch (message.role) {
    case "system": {
      const options = toOptions(message.options)
      return message.content.trim() === "" && options === undefined
        ? undefined
        : { role: "system", content: message.content, ...options }
    }
    case "user": {
      const content = partsOf(message.content, (part) => toUserPart(conversation.target, part))
      return content.length === 0 ? undefined : { role: "user", content, ...toOptions(message.options) }
    }
    case "assistant": {
      const parts = partsOf(message.content, (part) => toAssistantPart(conversation, part))
      const content = conversation.target.isChat ? parts.filter((part) => isSaid(conversation.target, part)) : parts
      return content.length === 0
        ? undefined
        : { role: "assistant", content, ...toOptions(message.options, conversation.target) }
    }
    case "tool": {
      const content = partsOf(message.content, (part) => toToolPart(conversation, part))
      return content.length === 0
        ? undefined
        : { role: "tool", content, ...toOptions(message.options, conversation.target) }
    }
  }
}

/** `flatMap` takes several times as long, and each step converts the conversation anew. */
const partsOf = <A, B>(parts: ReadonlyArray<A>, convert: (part: A) => ReadonlyArray<B>): Array<B> => {
  const out: Array<B> = []
  for (let i = 0; i < parts.length; i++) {
    const converted = convert(parts[i])
    for (let j = 0; j < converted.length; j++) out.push(converted[j])
  }
  return out
}

/** Whether a chat API has a form for this content. A message without any would be empty. */
const isSaid = ({ family }: Target.Target, { type }: AssistantPart): boolean =>
  type === "text" || type === "tool-call" || (type === "reasoning" && family !== "openai")

const toUserPart = (target: Target.Target, part: Prompt.UserMessagePart): ReadonlyArray<UserPart> => {
  const options = toOptions(part.options)
  return part.type === "file"
    ? [{ ...Files.toFile(part), ...options }]
    : isNothing(target, part.text, options)
    ? []
    : [{ type: "text", text: part.text, ...options }]
}

const toAssistantPart = (
  conversation: Conversation,
  part: Prompt.AssistantMessagePart
): ReadonlyArray<AssistantPart> => {
  const { calls, names, target } = conversation
  const options = toOptions(part.options, target)
  switch (part.type) {
    case "text":
      return isNothing(target, part.text, options) ? [] : [{ type: "text", text: part.text, ...options }]
    case "reasoning":
      if (isCarried(part.options)) return toCarried(conversation, part.options, options)
      return wantsSigned(target) && options === undefined ? [] : [{ type: "reasoning", text: part.text, ...options }]
    case "file": {
      const file = Files.toFile(part)
      return [
        Extension.isReasoningFile(part.options) && (file.data.type === "data" || file.data.type === "url")
          ? { type: "reasoning-file", mediaType: file.mediaType, data: file.data, ...options }
          : { ...file, ...options }
      ]
    }
    case "tool-call": {
      if (part.providerExecuted && conversation.isForeign(part.id, part.name, part.options)) return []
      const id = part.providerExecuted ? part.id : calls.call(part.id)
      if (!part.providerExecuted) {
        if (options !== undefined) conversation.options.set(id, options)
        conversation.handled.add(part.id)
      }
      return [{
        type: "tool-call",
        toolCallId: id,
        toolName: part.providerExecuted && !names.has(part.name) ? part.name : names.wire(part.name),
        input: toInput(conversation, part),
        ...(part.providerExecuted ? { providerExecuted: true } : undefined),
        ...options
      }]
    }
    case "tool-result":
      if (part.providerExecuted && conversation.isForeign(part.id, part.name, part.options)) return []
      return [toToolResult(conversation, part, options)]
    default:
      // the provider knows a request for approval by its call
      if (conversation.handled.has(part.toolCallId)) conversation.handledApprovals.add(part.approvalId)
      return []
  }
}

// These APIs refuse reasoning without their own signature, and repeat all of it in the error.
const wantsSigned = ({ family, isChat }: Target.Target): boolean =>
  family === "anthropic" || (family === "openai" && !isChat)

const isCarried = (marks: Prompt.ProviderOptions): boolean =>
  Extension.customKind(marks) !== undefined || Extension.toolCall(marks) !== undefined ||
  Extension.toolResult(marks) !== undefined

/**
 * Content that effect/ai has no part for, in the provider's original form. Nothing if it came from another provider.
 */
const toCarried = (
  conversation: Conversation,
  marks: Prompt.ProviderOptions,
  options: WithOptions | undefined
): ReadonlyArray<AssistantPart> => {
  const kind = Extension.customKind(marks)
  if (kind !== undefined) {
    return Target.isForeign(conversation.target, kind.split(".")[0]) ? [] : [{ type: "custom", kind, ...options }]
  }
  const call = Extension.toolCall(marks)
  if (call !== undefined) {
    return conversation.isForeign(call.id, call.name, marks) ? [] : [{
      type: "tool-call",
      toolCallId: call.id,
      toolName: call.name,
      input: call.input,
      providerExecuted: true,
      ...options
    }]
  }
  const result = Extension.toolResult(marks)
  return result === undefined || conversation.isForeign(result.id, result.name, marks)
    ? []
    : [toToolResult(conversation, Prompt.makePart("tool-result", { ...result, providerExecuted: true }), options)]
}

const toToolPart = (conversation: Conversation, part: Prompt.ToolMessagePart): ReadonlyArray<ToolPart> => {
  const options = toOptions(part.options, conversation.target)
  if (part.type === "tool-result") return [toToolResult(conversation, part, options)]
  // another provider has not requested it
  const isKnown = !conversation.handledApprovals.has(part.approvalId) &&
    !conversation.isForeign(part.approvalId, "", part.options)
  return !isKnown ? [] : [{
    type: "tool-approval-response",
    approvalId: part.approvalId,
    approved: part.approved,
    ...(part.reason === undefined ? undefined : { reason: part.reason }),
    ...options
  }]
}

// Providers refuse an empty text, unless it carries a cache mark or a signature; Anthropic always refuses it.
const isNothing = ({ family }: Target.Target, text: string, options: WithOptions | undefined): boolean =>
  text.trim() === "" && (options === undefined || family === "anthropic")

/**
 * The parameters that the model wrote. Providers accept only an object. Any other value was answered with an error, and
 * is put into an object under the name that the AI SDK itself uses.
 */
const toInput = ({ tools }: Conversation, { name, params }: Prompt.ToolCallPart): unknown => {
  if (Predicate.isObject(params) && !Array.isArray(params)) return params
  const tool = tools.find((tool) => tool.name === name)
  if (tool !== undefined && Tool.isProviderDefined(tool)) return params
  // a call without arguments
  if (params === undefined || (params === null && tool !== undefined && ToolCodec.takesNothing(tool))) return {}
  return { rawInvalidInput: Text.shorten(Json.toText(params), maximumRawInput) }
}

const maximumRawInput = 2000

const toToolResult = (
  conversation: Conversation,
  part: Prompt.ToolResultPart,
  own: WithOptions | undefined
): Sdk.LanguageModelV4ToolResultPart => {
  const { calls, names, target } = conversation
  const id = part.providerExecuted ? part.id : calls.result(part.id)
  const options = withCallOptions(conversation.options.get(id), own)
  return {
    type: "tool-result",
    toolCallId: id,
    toolName: part.providerExecuted && !names.has(part.name) ? part.name : names.wire(part.name),
    output: toOutput(target, part, conversation.files),
    ...options
  }
}

const toOutput = (
  target: Target.Target,
  part: Prompt.ToolResultPart,
  files: Array<UserPart>
): Sdk.LanguageModelV4ToolResultOutput => {
  const { isFailure, modelOutput } = part
  if (modelOutput !== undefined && !isFailure) {
    return modelOutput.every((part) => part.type === "text")
      ? { type: "text", value: Prompt.toolModelOutputToText(modelOutput) }
      : Files.toToolOutput(
        target,
        modelOutput.map((part) => [part, toOptions(part.options, target)] as const),
        files
      )
  }
  const value = toJson(part.result) ?? null
  if (part.providerExecuted) return { type: isFailure ? "error-json" : "json", value }
  if (!isFailure) return typeof value === "string" ? { type: "text", value } : { type: "json", value }
  if (typeof value === "string") return { type: "error-text", value }
  // a failure that says it was denied may be the tool's own, so it is sent as it is
  return { type: "error-json", value }
}

// =============================================================================
// Options
// =============================================================================

/**
 * The options for providers, one object for each. Our own options were removed where they are used. A target gets no
 * options of another provider that came from a model.
 */
const toOptions = (options: Prompt.ProviderOptions, target?: Target.Target): WithOptions | undefined => {
  let providerOptions: Sdk.SharedV4ProviderOptions | undefined
  for (const provider of Object.keys(options)) {
    const value = options[provider]
    if (provider === Extension.key || !Predicate.isObject(value)) continue
    if (target !== undefined && Target.isForeign(target, provider)) continue
    providerOptions ??= {}
    // an object among JSON values is a JSON object
    providerOptions[provider] = value as Sdk.SharedV4ProviderOptions[string]
  }
  return providerOptions === undefined ? undefined : { providerOptions }
}

// A cache mark is valid only at its place.
const placeMarks: ReadonlyArray<string> = ["cacheControl", "cache_control", "cachePoint", "promptCacheBreakpoint"]

/**
 * Adds the metadata of a call to its result, where providers look for it: who made the call, and which reasoning led to
 * it.
 */
const withCallOptions = (call: WithOptions | undefined, own: WithOptions | undefined): WithOptions | undefined => {
  const ofCall = call?.providerOptions
  if (ofCall === undefined) return own
  const providerOptions: Sdk.SharedV4ProviderOptions = { ...own?.providerOptions }
  for (const [provider, options] of Object.entries(ofCall)) {
    // options under this name are written into the message as they are
    if (provider === "openaiCompatible") continue
    const kept = Object.entries(options).filter(([name]) => !placeMarks.includes(name))
    if (kept.length > 0) providerOptions[provider] = { ...Object.fromEntries(kept), ...providerOptions[provider] }
  }
  return Object.keys(providerOptions).length === 0 ? undefined : { providerOptions }
}

// =============================================================================
// Specification v3
// =============================================================================

/** In v3 the data of a file is not wrapped, and files in tool results have other names. */
const toV3 = (message: Sdk.LanguageModelV4Message): Sdk.LanguageModelV4Message =>
  message.role === "system" ? message : {
    ...message,
    // The types of v3 differ from those of v4; from here on the values are only passed through.
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
      data: data.type === "data" ? FileData.toBase64(data.data) : undefined
    }
  })
})

/**
 * The requests of chat completions.
 *
 * @since 0.1.0
 */

import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Content from "./content.ts"
import type * as Conversation from "./conversation.ts"
import * as Failures from "./failures.ts"
import * as Parameters from "./parameters.ts"
import * as Tools from "./tools.ts"

const { maybe, Text } = Content

const Texts = Schema.Union([Text, Schema.Array(Schema.Struct({ type: Schema.tag("text"), text: Text }))])

const UserContent = Schema.Union([
  Schema.Struct({ type: Schema.tag("text"), text: Text }),
  Schema.Struct({ type: Schema.tag("image_url"), image_url: Schema.Struct({ url: Schema.String }) }),
  Schema.Struct({
    type: Schema.tag("input_audio"),
    input_audio: Schema.Struct({ data: Schema.String, format: Schema.Literals(["wav", "mp3"]) })
  }),
  Schema.Struct({
    type: Schema.tag("file"),
    file: Schema.Struct({
      file_data: maybe(Schema.String),
      filename: maybe(Schema.String),
      file_id: maybe(Schema.String)
    })
  })
])

const AssistantContent = Schema.Union([
  Schema.Struct({ type: Schema.tag("text"), text: Text }),
  Schema.Struct({ type: Schema.tag("refusal"), refusal: Text })
])

const ToolCall = Schema.Struct({
  id: Schema.NonEmptyString,
  type: Schema.tag("function"),
  function: Schema.Struct({ name: Schema.NonEmptyString, arguments: Text })
})

const AnyMessage = Schema.Union([
  Schema.Struct({ role: Schema.tag("system"), content: Texts }),
  Schema.Struct({ role: Schema.tag("developer"), content: Texts }),
  Schema.Struct({ role: Schema.tag("user"), content: Schema.Union([Text, Schema.Array(UserContent)]) }),
  Schema.Struct({
    role: Schema.tag("assistant"),
    content: maybe(Schema.Union([Text, Schema.Array(AssistantContent)])),
    refusal: maybe(Text),
    tool_calls: maybe(Schema.Array(ToolCall))
  }),
  Schema.Struct({ role: Schema.tag("tool"), tool_call_id: Schema.String, content: Texts })
])

const Tool = Schema.Struct({ type: Schema.tag("function"), function: Tools.Function })

/**
 * Schema for a request. Fields that are not in it are ignored, and `Parameters.refusalOf` refuses some of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ChatRequest = Schema.Struct({
  model: Parameters.Model,
  messages: Schema.Array(AnyMessage).check(Schema.isMinLength(1), Schema.isMaxLength(Parameters.maximumItems)),
  stream: maybe(Schema.Boolean),
  stream_options: maybe(Schema.Struct({ include_usage: maybe(Schema.Boolean) })),
  ...Parameters.sampling,
  max_tokens: maybe(Parameters.Count),
  max_completion_tokens: maybe(Parameters.Count),
  presence_penalty: maybe(Parameters.Penalty),
  frequency_penalty: maybe(Parameters.Penalty),
  seed: maybe(Schema.Int),
  stop: maybe(Schema.Union([Content.Text, Schema.Array(Content.Text).check(Schema.isMaxLength(4))])),
  reasoning_effort: maybe(Parameters.Effort),
  tools: maybe(Schema.Array(Tool)),
  tool_choice: maybe(Schema.Unknown),
  parallel_tool_calls: maybe(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ChatRequest = typeof ChatRequest.Type

type Message = ChatRequest["messages"][number]

/**
 * Returns what the messages say.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toSaid = (
  messages: ChatRequest["messages"]
): Result.Result<ReadonlyArray<Conversation.Said>, Failures.Failure> => {
  const said: Array<Conversation.Said> = []
  for (const [index, message] of messages.entries()) {
    const param = `messages[${index}]`
    switch (message.role) {
      case "user": {
        const content = toContent(message.content, `${param}.content`)
        if (Result.isFailure(content)) return Result.fail(content.failure)
        said.push({ kind: "user", content: content.success, param: `${param}.content` })
        break
      }
      case "assistant": {
        for (const text of textsOf(message)) said.push({ kind: "answer", text, param })
        for (const [at, { function: called, id }] of (message.tool_calls ?? []).entries()) {
          said.push({
            kind: "call",
            id,
            name: called.name,
            arguments: called.arguments,
            param: `${param}.tool_calls[${at}]`
          })
        }
        break
      }
      case "tool":
        said.push({ kind: "result", id: message.tool_call_id, text: Content.toText(message.content), param })
        break
      default:
        said.push({ kind: "instructions", text: Content.toText(message.content), param })
    }
  }
  return Result.succeed(said)
}

type Of<Role extends Message["role"]> = Extract<Message, { readonly role: Role }>

const textsOf = ({ content, refusal }: Of<"assistant">): ReadonlyArray<string> =>
  content == null || typeof content === "string"
    ? [content ?? "", refusal ?? ""]
    : content.map((part) => part.type === "text" ? part.text : part.refusal)

const toContent = (
  content: Of<"user">["content"],
  param: string
): Result.Result<ReadonlyArray<Content.Content>, Failures.Failure> => {
  if (typeof content === "string") return Result.succeed([{ type: "text", text: content }])
  const parts: Array<Content.Content> = []
  for (const [index, part] of content.entries()) {
    switch (part.type) {
      case "text":
        parts.push(part)
        break
      case "image_url":
        parts.push(Content.image(part.image_url.url))
        break
      case "input_audio": {
        const { data, format } = part.input_audio
        parts.push({ type: "file", mediaType: format === "wav" ? "audio/wav" : "audio/mpeg", data })
        break
      }
      case "file": {
        const { file_data, filename } = part.file
        if (file_data == null) return Result.fail(Failures.noFiles(`${param}[${index}].file`))
        parts.push(Content.file(file_data, filename))
      }
    }
  }
  return Result.succeed(parts)
}

/**
 * Returns what the request says about the way in which a model writes.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toSampling = (request: ChatRequest): Parameters.Sampling => ({
  temperature: request.temperature ?? undefined,
  topP: request.top_p ?? undefined,
  maxOutputTokens: request.max_completion_tokens ?? request.max_tokens ?? undefined,
  presencePenalty: request.presence_penalty ?? undefined,
  frequencyPenalty: request.frequency_penalty ?? undefined,
  seed: request.seed ?? undefined,
  stop: typeof request.stop === "string" ? [request.stop] : request.stop ?? undefined,
  reasoningEffort: request.reasoning_effort ?? undefined
})

/**
 * The requests of chat completions, and the prompts that they say.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Content from "./content.ts"
import * as Failures from "./failures.ts"
import * as Parameters from "./parameters.ts"
import * as Words from "./words.ts"

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

const Message = Schema.Union([
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

/**
 * Schema for a request. Fields that are not in it are ignored, and `Parameters.refusalOf` refuses some of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ChatRequest = Schema.Struct({
  model: Parameters.Model,
  messages: Schema.Array(Message).check(Schema.isMinLength(1), Schema.isMaxLength(Parameters.maximumItems)),
  stream: maybe(Schema.Boolean),
  stream_options: maybe(Schema.Struct({ include_usage: maybe(Schema.Boolean) })),
  ...Parameters.sampling,
  max_tokens: maybe(Parameters.Count),
  max_completion_tokens: maybe(Parameters.Count),
  presence_penalty: maybe(Parameters.Penalty),
  frequency_penalty: maybe(Parameters.Penalty),
  seed: maybe(Schema.Int),
  stop: maybe(Schema.Union([Content.Text, Schema.Array(Content.Text).check(Schema.isMaxLength(4))])),
  reasoning_effort: maybe(Parameters.Effort)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ChatRequest = typeof ChatRequest.Type

type AnyMessage = ChatRequest["messages"][number]

/**
 * The conversation of a request, and the instructions in it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Conversation {
  readonly prompt: Prompt.Prompt
  readonly instructions: ReadonlyArray<string>
}

/**
 * Returns the conversation. The only calls that it may have are calls of the client's tools: an agent never tells its
 * own. Each of them has its result.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toConversation = (
  messages: ReadonlyArray<AnyMessage>,
  clientTools: ReadonlySet<string>
): Result.Result<Conversation, Failures.Failure> => {
  const instructions: Array<string> = []
  const content: Array<Prompt.Message> = []
  /** The calls of the last message of the assistant that have no result yet, and their results. */
  const open = new Map<string, string>()
  let results: Array<Prompt.ToolResultPart> = []
  const close = () => {
    if (results.length > 0) content.push(Prompt.toolMessage({ content: results }))
    results = []
  }
  for (const [index, message] of messages.entries()) {
    const param = `messages[${index}]`
    if (message.role === "tool") {
      const name = open.get(message.tool_call_id)
      if (name === undefined) return Result.fail(Failures.refused(strayResult, { param: `${param}.tool_call_id` }))
      open.delete(message.tool_call_id)
      results.push(toResult(message.tool_call_id, name, Content.toText(message.content)))
      continue
    }
    close()
    if (open.size > 0) return Result.fail(Failures.refused(openCalls, { param }))
    switch (message.role) {
      case "user": {
        const parts = toContent(message.content, param)
        const said = Result.flatMap(parts, (parts) => Content.toUserMessage(parts, `${param}.content`))
        if (Result.isFailure(said)) return Result.fail(said.failure)
        if (said.success !== undefined) content.push(said.success)
        break
      }
      case "assistant": {
        const answer = toAnswer(message, clientTools, param)
        if (Result.isFailure(answer)) return Result.fail(answer.failure)
        for (const part of answer.success) if (part.type === "tool-call") open.set(part.id, part.name)
        if (answer.success.length > 0) content.push(Prompt.assistantMessage({ content: answer.success }))
        break
      }
      default:
        instructions.push(Content.toText(message.content))
    }
  }
  close()
  if (open.size > 0) return Result.fail(Failures.refused(openCalls, { param: `messages[${messages.length - 1}]` }))
  return Result.succeed({ prompt: Prompt.fromMessages(content), instructions })
}

const openCalls =
  "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'."
const strayResult = "Messages with role 'tool' must be a response to a preceding message with 'tool_calls'."

const toContent = (
  content: Extract<AnyMessage, { readonly role: "user" }>["content"],
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
        if (file_data == null) return Result.fail(Failures.noFiles(`${param}.content[${index}].file`))
        parts.push(Content.file(file_data, filename))
      }
    }
  }
  return Result.succeed(parts)
}

const toAnswer = (
  { content, refusal, tool_calls }: Extract<AnyMessage, { readonly role: "assistant" }>,
  clientTools: ReadonlySet<string>,
  param: string
): Result.Result<ReadonlyArray<Prompt.AssistantMessagePart>, Failures.Failure> => {
  const texts = content == null || typeof content === "string"
    ? [content ?? "", refusal ?? ""]
    : content.map((part) => part.type === "text" ? part.text : part.refusal)
  const parts: Array<Prompt.AssistantMessagePart> = texts.flatMap((text) =>
    text === "" ? [] : [Prompt.textPart({ text })]
  )
  const ids = new Set<string>()
  for (const [index, { function: called, id }] of (tool_calls ?? []).entries()) {
    const place = `${param}.tool_calls[${index}]`
    if (!clientTools.has(called.name)) return Result.fail(unknownCall(called.name, `${place}.function.name`))
    if (ids.has(id)) {
      return Result.fail(Failures.refused(`Duplicate value for 'tool_call_id': '${Failures.shorten(id)}'.`))
    }
    const params = Words.fromJson(called.arguments === "" ? "{}" : called.arguments)
    if (!Predicate.isObject(params)) {
      return Result.fail(
        Failures.refused("The arguments must be a JSON object.", { param: `${place}.function.arguments` })
      )
    }
    ids.add(id)
    parts.push(Prompt.toolCallPart({ id, name: called.name, params, providerExecuted: false }))
  }
  return Result.succeed(parts)
}

const unknownCall = (name: string, param: string): Failures.Failure =>
  Failures.refused(`There is no tool '${Failures.shorten(name)}' in the 'tools' of the request.`, { param })

const toResult = (id: string, name: string, text: string): Prompt.ToolResultPart =>
  Prompt.toolResultPart({ id, name, isFailure: false, result: Words.toResult(text), providerExecuted: false })

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

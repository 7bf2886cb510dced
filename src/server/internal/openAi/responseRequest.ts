/**
 * The requests of responses.
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

const Part = Schema.Union([
  Schema.Struct({ type: Schema.tag("input_text"), text: Text }),
  Schema.Struct({ type: Schema.tag("output_text"), text: Text }),
  Schema.Struct({ type: Schema.tag("refusal"), refusal: Text }),
  Schema.Struct({
    type: Schema.tag("input_image"),
    image_url: maybe(Schema.String),
    file_id: maybe(Schema.String)
  }),
  Schema.Struct({
    type: Schema.tag("input_file"),
    file_data: maybe(Schema.String),
    file_url: maybe(Schema.String),
    filename: maybe(Schema.String),
    file_id: maybe(Schema.String)
  })
])

type Part = typeof Part.Type

const Message = Schema.Struct({
  type: Schema.tag("message"),
  role: Schema.Literals(["user", "assistant", "system", "developer"]),
  content: Schema.Union([Text, Schema.Array(Part)])
})

/** What a server has said, which a client sends back: it tells the server nothing. */
const Echo = Schema.Struct({
  type: Schema.Literals(["reasoning", "mcp_call", "mcp_approval_request", "mcp_list_tools"])
})

const Item = Schema.Union([
  Message,
  Schema.Struct({
    type: Schema.tag("function_call"),
    call_id: Schema.NonEmptyString,
    name: Schema.NonEmptyString,
    arguments: Text
  }),
  Schema.Struct({
    type: Schema.tag("function_call_output"),
    call_id: Schema.NonEmptyString,
    output: Schema.Union([Text, Schema.Array(Part)])
  }),
  Schema.Struct({
    type: Schema.tag("mcp_approval_response"),
    approval_request_id: Schema.NonEmptyString,
    approve: Schema.Boolean,
    reason: maybe(Text)
  }),
  Schema.Struct({ type: Schema.tag("item_reference"), id: Schema.NonEmptyString }),
  Echo
])

/**
 * An item of the input.
 *
 * @category models
 * @since 0.1.0
 */
export type Item = typeof Item.Type

/**
 * Schema for a request, whose items all have a type (see `typed`). Fields that are not in it are ignored, and
 * `Parameters.refusalOf` refuses some of them.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ResponseRequest = Schema.Struct({
  model: Parameters.Model,
  input: Schema.Union([Text, Schema.Array(Item).check(Schema.isMaxLength(Parameters.maximumItems))]),
  instructions: maybe(Text),
  previous_response_id: maybe(Schema.String),
  store: maybe(Schema.Boolean),
  stream: maybe(Schema.Boolean),
  background: maybe(Schema.Boolean),
  metadata: maybe(
    Schema.Record(Schema.String.check(Schema.isMaxLength(64)), Schema.String.check(Schema.isMaxLength(512))).check(
      Schema.isMaxProperties(16)
    )
  ),
  ...Parameters.sampling,
  max_output_tokens: maybe(Parameters.Count),
  reasoning: maybe(Schema.Struct({ effort: maybe(Parameters.Effort) })),
  tools: maybe(Schema.Array(Schema.Struct({ type: Schema.tag("function"), ...Tools.Function.fields }))),
  tool_choice: maybe(Schema.Unknown),
  parallel_tool_calls: maybe(Schema.Boolean)
})

/**
 * @category models
 * @since 0.1.0
 */
export type ResponseRequest = typeof ResponseRequest.Type

/**
 * Returns the body of a request with the type of each item. A message and a reference may leave it out.
 *
 * @category conversions
 * @since 0.1.0
 */
export const typed = (body: unknown): unknown =>
  hasItems(body)
    ? {
      ...body,
      input: body.input.map((item: unknown) =>
        typeof item !== "object" || item === null || ("type" in item && item.type != null)
          ? item
          : { ...item, type: "role" in item ? "message" : "item_reference" }
      )
    }
    : body

const hasItems = (body: unknown): body is { readonly input: ReadonlyArray<unknown> } =>
  typeof body === "object" && body !== null && "input" in body && Array.isArray(body.input)

/**
 * The items of a request that come after everything that it refers to. `reference` is the last item of an earlier
 * response that it refers to.
 *
 * @category models
 * @since 0.1.0
 */
export interface New {
  readonly items: ReadonlyArray<readonly [item: Exclude<Item, { readonly type: "item_reference" }>, param: string]>
  readonly reference: { readonly id: string; readonly param: string } | undefined
}

/**
 * Returns what is new in the input. The items before a reference are in the conversation that it refers to.
 *
 * @category conversions
 * @since 0.1.0
 */
export const newItems = (input: ResponseRequest["input"]): New => {
  const items: Array<New["items"][number]> = []
  let reference: New["reference"]
  const all: ReadonlyArray<Item> = typeof input === "string"
    ? [{ type: "message", role: "user", content: input }]
    : input
  for (const [index, item] of all.entries()) {
    const param = typeof input === "string" ? "input" : `input[${index}]`
    if (item.type === "item_reference") {
      reference = { id: item.id, param }
      items.length = 0
    } else items.push([item, param])
  }
  return { items, reference }
}

/**
 * Returns the id of the response that an item belongs to.
 *
 * @category conversions
 * @since 0.1.0
 */
export const responseOf = (item: string): string | undefined => {
  const found = /^(?:msg|rs|mcp|mcpr|fc)_([A-Za-z0-9]+_[A-Za-z0-9]+)_\d+$/.exec(item)?.[1]
  return found === undefined ? undefined : `resp_${found}`
}

/**
 * Returns what the items say. Answers to approvals belong to a conversation that is kept, so there are none here.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toSaid = (items: New["items"]): Result.Result<ReadonlyArray<Conversation.Said>, Failures.Failure> => {
  const said: Array<Conversation.Said> = []
  for (const [item, param] of items) {
    switch (item.type) {
      case "message": {
        const { content, role } = item
        if (role === "user") {
          const parts = toContent(content, `${param}.content`)
          if (Result.isFailure(parts)) return Result.fail(parts.failure)
          said.push({ kind: "user", content: parts.success, param: `${param}.content` })
        } else said.push({ kind: role === "assistant" ? "answer" : "instructions", text: textOf(content), param })
        break
      }
      case "function_call":
        said.push({ kind: "call", id: item.call_id, name: item.name, arguments: item.arguments, param })
        break
      case "function_call_output":
        said.push({ kind: "result", id: item.call_id, text: textOf(item.output), param })
        break
      case "mcp_approval_response":
        return Result.fail(unknownApproval(item.approval_request_id, param))
    }
  }
  return Result.succeed(said)
}

/**
 * Creates the failure of an answer to an approval that nothing waits for.
 *
 * @category constructors
 * @since 0.1.0
 */
export const unknownApproval = (id: string, param: string): Failures.Failure =>
  Failures.refused(`Approval request with id '${Failures.shorten(id)}' not found.`, {
    status: 404,
    param,
    code: "approval_unknown"
  })

/**
 * Returns a text of the client, without files.
 *
 * @category conversions
 * @since 0.1.0
 */
export const textOf = (content: string | ReadonlyArray<Part>): string =>
  typeof content === "string"
    ? content
    : content.map((part) => part.type === "refusal" ? part.refusal : "text" in part ? part.text : "").join("")

const toContent = (
  content: string | ReadonlyArray<Part>,
  param: string
): Result.Result<ReadonlyArray<Content.Content>, Failures.Failure> => {
  if (typeof content === "string") return Result.succeed([{ type: "text", text: content }])
  const parts: Array<Content.Content> = []
  for (const [index, part] of content.entries()) {
    const at = `${param}[${index}]`
    switch (part.type) {
      case "input_text":
      case "output_text":
        parts.push({ type: "text", text: part.text })
        break
      case "refusal":
        parts.push({ type: "text", text: part.refusal })
        break
      case "input_image":
        if (part.image_url == null) return Result.fail(Failures.noFiles(at))
        parts.push(Content.image(part.image_url))
        break
      case "input_file": {
        const data = part.file_data ?? part.file_url
        if (data == null) return Result.fail(Failures.noFiles(at))
        parts.push(Content.file(data, part.filename))
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
export const toSampling = (request: ResponseRequest): Parameters.Sampling => ({
  temperature: request.temperature ?? undefined,
  topP: request.top_p ?? undefined,
  maxOutputTokens: request.max_output_tokens ?? undefined,
  presencePenalty: undefined,
  frequencyPenalty: undefined,
  seed: undefined,
  stop: undefined,
  reasoningEffort: request.reasoning?.effort ?? undefined
})

/**
 * The calls of the model that is recorded: their requests as JSON, and their answers.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type * as AgentRun from "../../AgentRun.ts"
import * as Fields from "../../internal/words/fields.ts"
import type * as Tape from "./tape.ts"

// -----------------------------------------------------------------------------
// requests
// -----------------------------------------------------------------------------

const encodePrompt = Schema.encodeEffect(Schema.toCodecJson(Fields.Transcript))

/**
 * Returns the request of a call as JSON.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toRequest = (
  method: Tape.ModelRequest["method"],
  { prompt, responseFormat, toolChoice, tools }: LanguageModel.ProviderOptions
): Effect.Effect<Tape.ModelRequest, Schema.SchemaError> =>
  Effect.map(encodePrompt(prompt), (messages) => ({
    method,
    prompt: messages as Schema.Json,
    tools: tools.map(toTool),
    toolChoice: toolChoice as Schema.Json,
    responseFormat: responseFormat.type === "text" ? "text" : {
      name: responseFormat.objectName,
      schema: Tool.getJsonSchemaFromSchema(responseFormat.schema) as unknown as Schema.Json
    }
  }))

const toTool = (tool: Tool.Any): Schema.Json =>
  Tool.isProviderDefined(tool)
    ? { id: tool.id, name: tool.name, args: (Fields.toJson(tool.args) ?? null) as Schema.Json }
    : {
      name: tool.name,
      description: tool.description ?? null,
      parameters: Tool.getJsonSchema(tool) as unknown as Schema.Json
    }

// -----------------------------------------------------------------------------
// the model
// -----------------------------------------------------------------------------

/**
 * The parts of an answer, as a stream has them or all at once.
 *
 * @category models
 * @since 0.1.0
 */
export type Recorded = ReadonlyArray<AgentRun.Part | Response.TextPart | Response.ReasoningPart>

const toCall = ({ prompt, toolChoice, tools }: LanguageModel.ProviderOptions) => ({
  prompt,
  toolChoice,
  toolkit: {
    tools: Object.fromEntries(tools.map((tool) => [tool.name, tool])),
    handle: () => Effect.die("The caller of a cassette handles its own tool calls")
  } as unknown as Toolkit.WithHandler<Record<string, Tool.Any>>,
  disableToolCallResolution: true,
  toolCallValidation: "deferred"
} as const)

/**
 * Asks a model for a stream.
 *
 * @category running
 * @since 0.1.0
 */
export const askStream = (model: LanguageModel.LanguageModel, provided: LanguageModel.ProviderOptions) =>
  // the tools are erased
  model.streamText(toCall(provided) as never) as Stream.Stream<AgentRun.Part, AiError.AiError>

/**
 * Asks a model for a text or an object. The text of an object is the JSON of its schema, whatever form of it the provider
 * asked for.
 *
 * @category running
 * @since 0.1.0
 */
export const ask = (
  model: LanguageModel.LanguageModel,
  provided: LanguageModel.ProviderOptions
): Effect.Effect<Recorded, AiError.AiError> => {
  const { responseFormat } = provided
  if (responseFormat.type === "text") {
    const asked = model.generateText(toCall(provided) as never) as Effect.Effect<
      LanguageModel.GenerateTextResponse<{}>,
      AiError.AiError
    >
    return Effect.map(asked, ({ content }) => content as unknown as Recorded)
  }
  const { objectName, schema } = responseFormat
  const asked = model.generateObject({ ...toCall(provided), schema, objectName } as never) as unknown as Effect.Effect<
    LanguageModel.GenerateObjectResponse<{}, unknown>,
    AiError.AiError
  >
  const encode = Schema.encodeUnknownEffect(
    Schema.fromJsonString(Schema.toCodecJson(schema as Schema.Codec<unknown, unknown>))
  )
  return Effect.flatMap(asked, ({ content, value }) =>
    Effect.map(Effect.orDie(encode(value)), (text) => {
      const first = content.findIndex(({ type }) => type === "text")
      const other: ReadonlyArray<unknown> = content.flatMap((part, index): ReadonlyArray<unknown> =>
        part.type !== "text" ? [part] : index === first ? [{ ...part, text }] : []
      )
      return other as Recorded
    }))
}

/**
 * Returns a pull with one array.
 *
 * @category conversions
 * @since 0.1.0
 */
export const once = (answer: Effect.Effect<Recorded, AiError.AiError>): Pull.Pull<Recorded, AiError.AiError> => {
  let isAsked = false
  return Effect.suspend((): Pull.Pull<Recorded, AiError.AiError> => {
    if (isAsked) return Cause.done()
    isAsked = true
    return answer
  })
}

/**
 * Tools in effect's own loop. A model reads and writes the JSON of our codec. effect decodes the calls with the tools'
 * own schemas, and encodes their results with them. This module converts between the two, for a provider that is not
 * called by a run.
 *
 * @since 0.1.0
 */

import type * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as JsonCodec from "../words/jsonCodec.ts"
import * as JsonValue from "../words/jsonValue.ts"
import * as ToolCodec from "./toolCodec.ts"

type Coder = (value: unknown) => Effect.Effect<unknown, Schema.SchemaError>

interface Bare {
  readonly toBareParams: Coder
  readonly toJsonParams: Coder
  readonly toJsonResult: (result: unknown, isFailure: boolean) => ReturnType<Coder>
}

const bares = new WeakMap<Tool.Any, Bare>()

const bareOf = (tool: Tool.Any): Bare => {
  let bare = bares.get(tool)
  if (bare === undefined) {
    // the services of a schema are those of the fiber that calls the model
    const decode = (schema: Schema.Top) => Schema.decodeUnknownEffect(schema) as Coder
    const encode = (schema: Schema.Top) => Schema.encodeUnknownEffect(schema) as Coder
    const encodeBare = encode(tool.parametersSchema)
    const decodeBare = decode(tool.parametersSchema)
    const decodeSuccess = decode(tool.successSchema)
    const decodeFailure = decode(Tool.failureResultSchema(tool))
    const { encodeFailure, encodeSuccess } = ToolCodec.of(tool)
    const encodeJson = encode(JsonCodec.make(tool.parametersSchema))
    bare = {
      toBareParams: (params) => Effect.flatMap(ToolCodec.decodeParams(tool, params), encodeBare),
      toJsonParams: (params) => Effect.flatMap(decodeBare(params), encodeJson),
      toJsonResult: (result, isFailure) =>
        isFailure
          ? Effect.flatMap(decodeFailure(result), encodeFailure)
          : Effect.flatMap(decodeSuccess(result), encodeSuccess)
    }
    bares.set(tool, bare)
  }
  return bare
}

/**
 * Converts the calls of a response to the form that effect decodes.
 *
 * @category models
 * @since 0.1.0
 */
export type ToBare = <Parts extends ReadonlyArray<Response.AllPartsEncoded>>(parts: Parts) => Effect.Effect<Parts>

/** The tools that a run offers need no conversion, because their parameters are JSON. */
const isRaw = (tool: Tool.Any): boolean => Schema.isSchema(tool.parametersSchema) && ToolCodec.of(tool).tool === tool

/**
 * Creates the conversion of the calls in a response to the form that effect decodes. A call that our codec refuses
 * stays as it is, so that effect refuses it. No conversion is needed if the caller decodes the calls itself.
 *
 * @category conversions
 * @since 0.1.0
 */
export const makeCalls = ({ toolCallValidation, tools }: LanguageModel.ProviderOptions): ToBare | undefined => {
  const raw = toolCallValidation === "deferred" ? [] : tools.filter(isRaw)
  if (raw.length === 0) return undefined
  const byName = new Map(raw.map((tool) => [tool.name, tool]))
  const toBare = <Part extends Response.AllPartsEncoded>(part: Part): Effect.Effect<Part> => {
    const tool = part.type === "tool-call" ? byName.get(part.name) : undefined
    if (part.type !== "tool-call" || tool === undefined) return Effect.succeed(part)
    return Effect.match(bareOf(tool).toBareParams(part.params), {
      onFailure: () => part,
      onSuccess: (params) => ({ ...part, params })
    })
  }
  return <Parts extends ReadonlyArray<Response.AllPartsEncoded>>(parts: Parts) =>
    parts.some((part) => part.type === "tool-call")
      // the number of parts stays the same
      ? Effect.forEach(parts, toBare) as unknown as Effect.Effect<Parts>
      : Effect.succeed(parts)
}

/**
 * Returns the prompt with calls and results as JSON. effect keeps them in the form of the tools' own schemas. Values
 * that are already JSON, and calls of other tools, stay as they are.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toJsonPrompt = (
  { prompt, toolCallValidation, tools }: LanguageModel.ProviderOptions
): Effect.Effect<Prompt.Prompt> => {
  if (toolCallValidation === "deferred" || tools.length === 0 || !prompt.content.some(hasBare)) {
    return Effect.succeed(prompt)
  }
  const byName = new Map(tools.map((tool) => [tool.name, tool]))
  const toPart = <Part extends Prompt.Part>(part: Part): Effect.Effect<Part> => {
    const tool = part.type === "tool-call" || part.type === "tool-result" ? byName.get(part.name) : undefined
    return tool === undefined || !isBare(part) ? Effect.succeed(part) : toJsonPart(tool, part)
  }
  return Effect.map(
    Effect.forEach(prompt.content, (message) =>
      hasBare(message)
        // each part keeps its type
        ? Effect.map(Effect.forEach(message.content as ReadonlyArray<Prompt.Part>, toPart), (content) =>
          ({ ...message, content }) as Prompt.Message)
        : Effect.succeed(message)),
    Prompt.fromMessages
  )
}

const hasBare = (message: Prompt.Message): boolean => Array.isArray(message.content) && message.content.some(isBare)

const isBare = (part: Prompt.Part): boolean => {
  if (part.type !== "tool-call" && part.type !== "tool-result") return false
  const value = part.type === "tool-call" ? part.params : part.result
  const json = JsonValue.toJson(value)
  return Result.isFailure(json) || json.success !== value
}

const toJsonPart = <Part extends Prompt.Part>(tool: Tool.Any, part: Part): Effect.Effect<Part> => {
  const bare = bareOf(tool)
  const changed = part.type === "tool-call"
    ? Effect.map(bare.toJsonParams(part.params), (params) => ({ ...part, params }))
    : part.type === "tool-result"
    ? Effect.map(bare.toJsonResult(part.result, part.isFailure), (result) => ({ ...part, result }))
    : Effect.succeed(part)
  return Effect.orElseSucceed(changed, () => part)
}

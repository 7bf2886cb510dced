/**
 * The result of a tool as it is sent: the form that the model reads, and never the value that the tool returned.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Prompt from "effect/ai/Prompt"
import * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as ToolCodec from "../model/toolCodec.ts"
import * as Fields from "../words/fields.ts"
import * as TellableError from "../words/tellableError.ts"
import * as Schemas from "./schemas.ts"

/**
 * The sent form of a result.
 *
 * - `isVerbatim`: the result is the `encodedResult` itself. The schema of its tool may not accept it, because a
 *   guardrail has replaced it.
 * - `error`: the model's mistake in its call. The model reads only its message.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Sent = Schema.Struct({
  ...Schemas.base,
  type: Schema.tag("tool-result"),
  id: Schema.String,
  name: Schema.String,
  encodedResult: Fields.Value,
  isFailure: Schemas.Flag,
  isVerbatim: Schemas.Flag,
  error: Schema.optionalKey(AiError.AiError),
  modelOutput: Schema.optionalKey(Schema.Array(Prompt.ToolModelOutputPart)),
  providerExecuted: Schemas.Flag,
  preliminary: Schemas.Flag
})

/**
 * The sent form of a result.
 *
 * @category models
 * @since 0.1.0
 */
export type Sent = typeof Sent.Type

/**
 * A result as a part of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = Response.ToolResultPart<string, unknown, unknown>

/**
 * Takes the sent form out of a part.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toSent = ({ modelOutput, result, ...part }: Part): Sent => ({
  ...part,
  ...modelOutput !== undefined && { modelOutput },
  // the model reads only the message
  ...AiError.isAiError(result) && typeof part.encodedResult === "string" && { error: TellableError.of(result) },
  isVerbatim: Object.is(result, part.encodedResult)
})

/**
 * Reads the result with the codec of its tool. The result of an unknown tool stays encoded.
 *
 * @category conversions
 * @since 0.1.0
 */
export const fromSent = (
  { error, isVerbatim, modelOutput, ...sent }: Sent,
  tool: Tool.Any | undefined
): Effect.Effect<Part, SchemaIssue.Issue, unknown> => {
  const { encodedResult, isFailure } = sent
  const toPart = (result: unknown) =>
    Response.makePart("tool-result", { ...sent, result, ...modelOutput !== undefined && { modelOutput } })
  if (error !== undefined) return Effect.succeed(toPart(error))
  if (tool === undefined) return Effect.succeed(toPart(encodedResult))
  const { decodeFailure, decodeSuccess } = ToolCodec.readerOf(tool)
  const decoded = (isFailure ? decodeFailure : decodeSuccess)(encodedResult)
  return Effect.matchEffect(decoded, {
    onSuccess: (result) => Effect.succeed(toPart(result)),
    onFailure: ({ issue }) =>
      // a provider need not keep to the schema of its own tool
      isVerbatim || sent.providerExecuted
        ? Effect.succeed(toPart(encodedResult))
        : Effect.fail(new SchemaIssue.Pointer(["encodedResult"], issue))
  })
}

/**
 * The result of a tool as it is sent: what the model reads, and never what the tool gave.
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
 * What is sent of a result.
 *
 * - `isVerbatim`: the result is the `encodedResult` itself. It may be none that the schema of its tool knows: a guardrail
 *   has replaced it.
 * - `error`: the mistake that a model has made in its call, of which it reads the message.
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
 * What is sent of a result.
 *
 * @category models
 * @since 0.1.0
 */
export type Sent = typeof Sent.Type

/**
 * A result, as a part of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type Part = Response.ToolResultPart<string, unknown, unknown>

/**
 * Takes what is sent out of a part.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toSent = ({ modelOutput, result, ...part }: Part): Sent => ({
  ...part,
  ...modelOutput !== undefined && { modelOutput },
  // the model reads the message alone
  ...AiError.isAiError(result) && typeof part.encodedResult === "string" && { error: TellableError.of(result) },
  isVerbatim: Object.is(result, part.encodedResult)
})

/**
 * Reads the result with the codec of its tool. That of an unknown tool is as it was encoded.
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
      // the schema of a provider's own tool is no promise of the provider
      isVerbatim || sent.providerExecuted
        ? Effect.succeed(toPart(encodedResult))
        : Effect.fail(new SchemaIssue.Pointer(["encodedResult"], issue))
  })
}

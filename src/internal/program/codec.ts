/**
 * The values of a tool as its caller has them: the opposite direction of the codecs for a model's calls.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Tool from "effect/ai/Tool"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import * as JsonCodec from "../words/jsonCodec.ts"
import * as PlainJson from "../words/plainJson.ts"
import * as TellableError from "../words/tellableError.ts"
import * as NestedTools from "../tool/nested.ts"

type Coder = (value: unknown) => Effect.Effect<unknown, Schema.SchemaError>

/**
 * How the caller of a tool encodes parameters, and decodes recorded results.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallerCodec {
  readonly encodeParams: Coder
  readonly decodeSuccess: Coder
  readonly decodeFailure: Coder
  /** The JSON of a failure; `undefined` if decoding it would not give the same failure. */
  readonly failureToJson: (failure: unknown) => Schema.Json | undefined
}

const codecs = new WeakMap<Tool.Any, CallerCodec>()

/**
 * Returns the codec of a tool. It is created once.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = (tool: Tool.Any): CallerCodec => {
  const known = codecs.get(tool)
  if (known !== undefined) return known
  const { parametersSchema, successSchema } = tool
  const failureSchema = JsonCodec.make(Tool.failureResultSchema(tool))
  const encodeFailure = Schema.encodeUnknownEffect(failureSchema) as Coder
  // an agent may fail with anything, and only the message is sent
  const isTold = tool.failureMode === "error" && tool.annotations.mapUnsafe.has(NestedTools.CalledAgent.key)
  const made: CallerCodec = {
    encodeParams: Schema.isSchema(parametersSchema)
      ? PlainJson.readFirst(
        parametersSchema,
        Schema.encodeUnknownEffect(JsonCodec.make(parametersSchema)) as Coder
      )
      : Effect.succeed,
    decodeSuccess: Schema.decodeUnknownEffect(JsonCodec.make(successSchema)) as Coder,
    decodeFailure: Schema.decodeUnknownEffect(failureSchema) as Coder,
    failureToJson: (failure) => {
      if (isTold) return undefined
      // models read the transcript
      const encoded = encodeFailure(AiError.isAiError(failure) ? TellableError.of(failure) : failure)
      return Exit.isExit(encoded) && Exit.isSuccess(encoded) ? encoded.value as Schema.Json : undefined
    }
  }
  codecs.set(tool, made)
  return made
}

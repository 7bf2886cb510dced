/**
 * Tools that run in the client. The run does not run their calls: a call waits, and its result comes with the answers of
 * the run that continues.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import type * as Middleware from "../../Middleware.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as Parts from "../words/responseParts.ts"

/**
 * Annotation of a tool that runs in the client.
 *
 * @category annotations
 * @since 0.1.0
 */
export class ClientTool extends Context.Service<ClientTool, "client">()("effect-agents/internal/ClientTool") {}

/**
 * Returns whether a tool runs in the client.
 *
 * @category guards
 * @since 0.1.0
 */
export const isClientTool = (tool: Tool.Any | undefined): boolean =>
  tool !== undefined && Option.isSome(Context.getOption(tool.annotations, ClientTool))

/**
 * The key in the options of a request whose call waits for a client. It is written when the call is made, so that no
 * later request can change who runs the call.
 *
 * @category constants
 * @since 0.1.0
 */
export const optionsKey = "effect-agents/ClientTool"

/**
 * What a client has returned for a call: the result as JSON, or the text of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export interface Returned {
  readonly result: unknown
  readonly isFailure: boolean
}

/**
 * Checks what a client has returned with the tool's schema of results. A tool that the run does not have any more has
 * none. Many clients send every result as a text: one that does not fit is read as JSON.
 *
 * @category conversions
 * @since 0.1.0
 */
export const decode = (
  tool: Tool.Any | undefined,
  { isFailure, result }: Returned
): Effect.Effect<unknown, Schema.SchemaError> => {
  if (isFailure) return decodeText(result)
  if (tool === undefined) return Effect.succeed(result)
  const { decodeSuccess } = ToolCodec.readerOf(tool)
  return Effect.matchEffect(decodeSuccess(result), {
    onSuccess: Effect.succeed,
    onFailure: (error) => {
      const json = Predicate.isString(result) ? fromJson(result) : undefined
      return json === undefined || Result.isFailure(json) ? Effect.fail(error) : decodeSuccess(json.success)
    }
  })
}

const fromJson = Schema.decodeUnknownResult(Schema.fromJsonString(Schema.Unknown))

const decodeText = Schema.decodeUnknownEffect(Schema.String)

/**
 * Creates the result of a call from what the client has returned. It holds no more than the tool's schema of results
 * describes. If it does not fit this schema, the model reads that the tool has failed.
 *
 * @category results
 * @since 0.1.0
 */
export const toResult = (
  tool: Tool.Any | undefined,
  { id, name }: { readonly id: string; readonly name: string },
  returned: Returned
): Effect.Effect<Middleware.ToolResult> => {
  const made = (result: unknown, encodedResult: unknown, isFailure: boolean) => {
    const modelOutput = isFailure ? undefined : tool?.toModelOutput?.(result)
    return Parts.toolResult({ id, name, result, encodedResult, isFailure, preliminary: false, modelOutput })
  }
  return decode(tool, returned).pipe(
    Effect.flatMap((value) =>
      returned.isFailure || tool === undefined
        ? Effect.succeed(made(value, value, returned.isFailure))
        : Effect.map(ToolCodec.of(tool).encodeSuccess(value), (encoded) => made(value, encoded, false))
    ),
    Effect.catch((error) => {
      const told = `The result of the tool is not valid: ${error.message}`
      return Effect.succeed(made(told, told, true))
    })
  )
}

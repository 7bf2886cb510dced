/**
 * Executes an allowed tool call: runs the handler and encodes its results.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as Middleware from "../../Middleware.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as Json from "../words/json.ts"
import * as JsonValue from "../words/jsonValue.ts"
import * as Parts from "../words/responseParts.ts"
import * as Text from "../words/text.ts"
import { notExecuted } from "./gate.ts"
import type { WithHandler } from "./handler.ts"
import { invalidParameters } from "./mistakes.ts"

/**
 * Runs a call whose parameters are decoded and that needs no approval any more.
 *
 * @category models
 * @since 0.1.0
 */
export type Admitted = (
  request: Middleware.ToolRequest,
  preliminary: (result: Middleware.ToolResult) => Effect.Effect<void>,
  params: unknown
) => Effect.Effect<Middleware.ToolResult, unknown>

/**
 * The function that a user writes for a tool.
 *
 * @category models
 * @since 0.1.0
 */
export type HandlerFunction = (
  params: unknown,
  context: Toolkit.HandlerContext<Tool.Any>
) => Effect.Effect<unknown, unknown>

/**
 * Runs calls by calling the function of their tool.
 *
 * @category running
 * @since 0.1.0
 */
export const direct = (tool: Tool.Any, handler: HandlerFunction): Admitted => {
  const { encodeFailure, encodeSuccess } = ToolCodec.of(tool)

  const result = (
    { id, name }: Middleware.ToolRequest,
    result: unknown,
    encodedResult: unknown,
    isFailure: boolean,
    preliminary: boolean
  ): Middleware.ToolResult => {
    const modelOutput: ReadonlyArray<Prompt.ToolModelOutputPart> | undefined =
      isFailure || preliminary || tool.toModelOutput === undefined ? undefined : tool.toModelOutput(result)
    return Parts.toolResult({ id, name, result, encodedResult, isFailure, preliminary, modelOutput })
  }

  const success = (request: Middleware.ToolRequest, value: unknown, preliminary: boolean) =>
    mapSync(
      encodeSuccess(value),
      (encoded) => result(request, value, encoded, false, preliminary),
      (cause) => notEncoded(request.name, value, cause)
    )

  const failure = (request: Middleware.ToolRequest, raw: unknown): Effect.Effect<Middleware.ToolResult, unknown> => {
    // one that throws when it is read is what it is
    const error = Result.getOrElse(Result.try(() => normalize(request.name, raw)), () => raw)
    if (tool.failureMode === "error") return Exit.fail(error)
    return mapSync(
      encodeFailure(error),
      (encoded) => result(request, error, encoded, true, false),
      (cause) => notEncoded(request.name, error, cause)
    )
  }

  return (request, preliminary, params) => {
    // the handler has no channel for this failure, and may catch what ends it
    let unencodable: Cause.Cause<unknown> | undefined
    const ended = (effect: Effect.Effect<Middleware.ToolResult, unknown>) =>
      unencodable === undefined ? effect : Exit.failCause(unencodable)
    return Effect.matchCauseEffect(
      handler(params, {
        toolCallId: request.id,
        preliminary: (value) =>
          Effect.matchCauseEffect(success(request, value, true), {
            onFailure: (cause) => {
              unencodable = cause
              return Effect.failCause(Cause.die(Cause.squash(cause)))
            },
            onSuccess: preliminary
          })
      }),
      {
        onFailure: (cause) => {
          const error = isDefect(tool, cause) ? Option.none() : Cause.findErrorOption(cause)
          return ended(
            error._tag === "Some" ? failure(request, error.value) : Exit.failCause(cause as Cause.Cause<never>)
          )
        },
        onSuccess: (value) => ended(success(request, value, false))
      }
    )
  }
}

/**
 * Runs calls through the public interface of a toolkit: any `WithHandler`, whatever its handlers are made of. It
 * decodes and encodes with the tool's own schemas.
 *
 * @category running
 * @since 0.1.0
 */
export const throughHandle = (tool: Tool.Any, toolkit: WithHandler): Admitted => {
  const { encodeFailure, encodeSuccess } = ToolCodec.of(tool)
  const encodeParams = Schema.isSchema(tool.parametersSchema)
    ? Schema.encodeUnknownEffect(tool.parametersSchema) as (params: unknown) => Effect.Effect<unknown, unknown>
    : Effect.succeed

  const encoded = ({ encodedResult, isFailure, result }: Tool.HandlerResult<Tool.Any>, name: string) =>
    Effect.matchCauseEffect((isFailure ? encodeFailure : encodeSuccess)(result), {
      onSuccess: (json) => Exit.succeed<unknown>(json),
      // a handler of this kind may return a result that does not fit its schema, beside the form that the model reads
      onFailure: (cause) => {
        const json = JsonValue.toJson(encodedResult)
        return json._tag === "Success" ? Exit.succeed(json.success) : notEncoded(name, result, cause)
      }
    })

  return (request, preliminary, params) => {
    let last: Middleware.ToolResult | undefined
    const { id, name } = request
    const handled = Effect.flatMap(
      // parameters that cannot be encoded keep the form that the model wrote
      Effect.catchCause(encodeParams(params), () => Exit.succeed(request.params)),
      // the services of the tools are in the context of the run
      (bare) =>
        toolkit.handle(name, bare as never, id) as Effect.Effect<
          Stream.Stream<Tool.HandlerResult<Tool.Any>, unknown>,
          unknown
        >
    )
    return Stream.unwrap(handled).pipe(
      Stream.runForEach((output) =>
        Effect.flatMap(encoded(output, name), (encodedResult) => {
          const { isFailure, modelOutput, preliminary: isPreliminary, result } = output
          if (output.failureOrigin === "parameters" && AiError.isAiError(result)) {
            last = invalidParameters(request, result.reason.message)
            return Effect.void
          }
          const part = Parts.toolResult({
            id,
            name,
            result,
            encodedResult,
            isFailure,
            preliminary: isPreliminary,
            modelOutput
          })
          if (isPreliminary) return preliminary(part)
          last = part
          return Effect.void
        })
      ),
      Effect.matchCauseEffect({
        onSuccess: () =>
          Exit.succeed(last ?? notExecuted(request, "execution-interrupted", "The tool ended without a result")),
        onFailure: (cause): Exit.Exit<Middleware.ToolResult, unknown> => {
          const error = Cause.findErrorOption(cause)
          const ofModel = Context.get(Cause.annotations(cause), Toolkit.FailureOrigin) === "parameters"
          return ofModel && error._tag === "Some" && AiError.isAiError(error.value)
            ? Exit.succeed(invalidParameters(request, error.value.reason.message))
            : Exit.failCause(cause)
        }
      })
    )
  }
}

/** A failure that the model reads must not hide a defect that came with it. */
const isDefect = (tool: Tool.Any, cause: Cause.Cause<unknown>): boolean =>
  tool.failureMode === "return" && Cause.hasDies(cause)

const mapSync = <A, E, B, E2>(
  effect: Effect.Effect<A, E>,
  onSuccess: (a: A) => B,
  onFailure: (cause: Cause.Cause<E>) => Effect.Effect<B, E2>
): Effect.Effect<B, E2> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)
    ? Exit.succeed(onSuccess(effect.value as A))
    : Effect.matchCauseEffect(effect, { onFailure, onSuccess: (a) => Exit.succeed(onSuccess(a)) })

/**
 * A getter that throws, or a cycle in a recursive schema, is a defect of the encoder. Here it means that the result is
 * not JSON.
 */
const notEncoded = (name: string, result: unknown, cause: Cause.Cause<unknown>): Exit.Exit<never, unknown> => {
  if (Cause.hasInterruptsOnly(cause)) return Exit.failCause(cause)
  const error = Cause.squash(cause)
  return Exit.fail(encodingError(name, result, Predicate.isError(error) ? error.message : String(error)))
}

/**
 * The failure of a call whose result is not JSON. The error itself is JSON, so it may be stored and sent.
 *
 * @category results
 * @since 0.1.0
 */
export const encodingError = (toolName: string, result: unknown, description: string): AiError.AiError =>
  AiError.make({
    module: "ToolLoop",
    method: toolName,
    reason: new AiError.ToolResultEncodingError({
      toolName,
      toolResult: Text.shorten(Json.toText(result), 1000),
      description
    })
  })

/** Handles the errors of a handler as `Toolkit.handle` does. */
const normalize = (name: string, error: unknown): unknown =>
  // a value that is not an error is data, whatever it looks like
  !(error instanceof Error)
    ? error
    : Schema.isSchemaError(error)
    ? AiError.make({
      module: "Toolkit",
      method: `${name}.handle`,
      reason: new AiError.InvalidToolResultError({
        toolName: name,
        description: `Tool handler returned invalid result: ${error.message}`
      })
    })
    : AiError.isAiErrorReason(error)
    ? AiError.make({ module: "Toolkit", method: `${name}.handle`, reason: error })
    : error

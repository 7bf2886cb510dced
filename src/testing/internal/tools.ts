/**
 * Handlers of tools that record and replay.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as JsonCodec from "../../internal/words/jsonCodec.ts"
import * as TellableError from "../../internal/words/tellableError.ts"
import * as Once from "./once.ts"
import type * as Opened from "./opened.ts"
import type * as Tape from "./tape.ts"

type AnyHandler = Tool.Handler<string>

type HandlerContext = Toolkit.HandlerContext<Tool.Any>

// the services of a tool's schemas are in the context of its call
const codecOf = (schema: Schema.Top): Schema.Codec<unknown, unknown> =>
  JsonCodec.make(schema as Schema.Codec<unknown, unknown>)

const encodeWith = (schema: Schema.Top, value: unknown): Effect.Effect<Schema.Json, Schema.SchemaError> =>
  // a codec of JSON gives JSON
  Schema.encodeUnknownEffect(codecOf(schema))(value) as Effect.Effect<Schema.Json, Schema.SchemaError>

/**
 * Returns the handlers of a toolkit around those in a context. A handler that is missing there only replays.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (
  opened: Opened.Opened<Tape.ToolRequest>,
  tools: Readonly<Record<string, Tool.Any>>,
  live: Context.Context<never>
): Context.Context<never> =>
  Context.makeUnsafe(
    new Map(
      Object.values(tools).map((tool) => [
        tool.id,
        handlerOf(opened, tool, live.mapUnsafe.get(tool.id) as AnyHandler | undefined)
      ])
    )
  )

const handlerOf = (
  opened: Opened.Opened<Tape.ToolRequest>,
  tool: Tool.Any,
  live: AnyHandler | undefined
): Omit<AnyHandler, "_"> => ({
  name: tool.name,
  context: Context.empty(),
  handler: (params: unknown, context: HandlerContext) =>
    Effect.flatMap(Effect.orDie(encodeParams(tool, params)), (encoded) => {
      const preliminaries: Array<unknown> = []
      const handled = live === undefined
        ? Effect.die("A cassette without handlers called one")
        : live.handler(params, {
          ...context,
          preliminary: (result: unknown) =>
            Effect.andThen(Effect.sync(() => preliminaries.push(result)), context.preliminary(result as never))
        }).pipe(Effect.updateContext((own: Context.Context<never>) => Context.merge(live.context, own)))
      return Once.answer(
        opened,
        { method: "tool", name: tool.name, params: encoded },
        handled,
        answerOf(tool, preliminaries, context)
      )
    })
})

const encodeParams = (tool: Tool.Any, params: unknown): Effect.Effect<Schema.Json, Schema.SchemaError> =>
  Schema.isSchema(tool.parametersSchema)
    ? encodeWith(tool.parametersSchema, params)
    // parameters of a dynamic tool are the JSON of the model
    : Effect.succeed(params as Schema.Json)

/** A handler may fail with the reason of an error of effect/ai; its toolkit makes the error. */
const encodeFailure = (tool: Tool.Any, error: unknown): Effect.Effect<Schema.Json, Schema.SchemaError> =>
  encodeWith(
    Tool.failureResultSchema(tool),
    AiError.isAiErrorReason(error)
      ? TellableError.of(AiError.make({ module: "Toolkit", method: `${tool.name}.handle`, reason: error }))
      : AiError.isAiError(error)
      ? TellableError.of(error)
      : error
  )

const notFit = (tool: Tool.Any, message: string): AiError.AiError =>
  AiError.make({
    module: "Toolkit",
    method: `${tool.name}.handle`,
    reason: new AiError.InvalidToolResultError({
      toolName: tool.name,
      description: `The failure of the handler does not fit its schema: ${message}`
    })
  })

const answerOf = (
  tool: Tool.Any,
  preliminaries: ReadonlyArray<unknown>,
  context: HandlerContext
): Once.Answer<unknown, unknown> => {
  const early = Effect.suspend(() =>
    Effect.forEach(
      preliminaries,
      (value) => Effect.map(encodeWith(tool.successSchema, value), (preliminary): Schema.Json => ({ preliminary }))
    )
  )
  return {
    encode: (value) =>
      Effect.orDie(Effect.zipWith(early, encodeWith(tool.successSchema, value), (before, result) => [
        ...before,
        { result }
      ])),
    failed: (error) =>
      Effect.matchEffect(encodeFailure(tool, error), {
        onSuccess: (failure) =>
          Effect.map(Effect.orDie(early), (before) => ({
            parts: [...before, { failure }],
            end: { end: "done" as const }
          })),
        // effect's toolkits fail with such an error too
        onFailure: ({ message }) =>
          Effect.succeed({ parts: [], end: { end: "failed" as const, error: notFit(tool, message) } })
      }),
    decode: (parts) =>
      Effect.gen(function*() {
        for (const part of parts) {
          if (Predicate.hasProperty(part, "preliminary")) {
            const result = yield* Schema.decodeUnknownEffect(codecOf(tool.successSchema))(part.preliminary)
            yield* context.preliminary(result as never)
          }
        }
        const last = parts[parts.length - 1]
        if (Predicate.hasProperty(last, "failure")) {
          const failure = yield* Schema.decodeUnknownEffect(codecOf(Tool.failureResultSchema(tool)))(last.failure)
          return Exit.fail(failure)
        }
        const result = Predicate.hasProperty(last, "result") ? last.result : undefined
        return Exit.succeed(yield* Schema.decodeUnknownEffect(codecOf(tool.successSchema))(result))
      })
  }
}

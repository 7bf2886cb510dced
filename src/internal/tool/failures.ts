/**
 * Toolkits whose failures are results: their tools, and how they run calls.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import type * as Tool from "effect/ai/Tool"
import * as Toolkit from "effect/ai/Toolkit"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaTransformation from "effect/SchemaTransformation"
import * as Stream from "effect/Stream"
// this module implements that one
import type * as ToolFailure from "../../ToolFailure.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as JsonCodec from "../words/jsonCodec.ts"
import * as Message from "../words/message.ts"
import * as Mcp from "./mcp.ts"

/**
 * Creates a failure that the model reads as a message.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (message: string, error: unknown): ToolFailure.ToolFailure => ({
  _tag: "ToolFailure",
  message,
  error
})

/**
 * Returns whether a value is a failure that the model reads as a message.
 *
 * @category guards
 * @since 0.1.0
 */
export const isToolFailure = (u: unknown): u is ToolFailure.ToolFailure =>
  Predicate.isTagged(u, "ToolFailure") && Predicate.hasProperty(u, "message") && Predicate.isString(u.message)

/**
 * The codec that encodes any failure as its message.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Told: Schema.Codec<ToolFailure.ToolFailure, string> = Schema.String.pipe(Schema.decodeTo(
  // in a union it comes last, and gets whatever the tool's own schema does not describe
  Schema.declare((_): _ is ToolFailure.ToolFailure => true),
  SchemaTransformation.transform({
    decode: (message) => make(message, undefined),
    // reading a message may run user code
    encode: (error) => Result.getOrElse(Result.try(() => Message.of(error, unspoken)), () => unspoken)
  })
))

const unspoken = "The tool failed"

const returningTools = new WeakMap<Tool.Any, Tool.Any>()

/**
 * Returns the tool with failures that are results. The same tool gives the same object.
 *
 * @category combinators
 * @since 0.1.0
 */
export const returning = (tool: Tool.Any): Tool.Any => {
  if (tool.failureMode === "return") return tool
  let made = returningTools.get(tool)
  if (made === undefined) {
    // failures of the run never needed a JSON form of their schema, so it may have none
    const own = Result.isSuccess(Result.try(() => JsonCodec.make(tool.failureSchema)))
    const failure = Schema.Union(own ? [tool.failureSchema, Told] : [Told])
    made = Object.assign(tool.setFailure(failure), { failureMode: "return" as const })
    returningTools.set(tool, made)
  }
  return made
}

type WithHandler = Toolkit.WithHandler<Record<string, Tool.Any>>

const returningKits = new WeakMap<WithHandler, WithHandler>()

/**
 * Returns the toolkit with failures that are results. The same toolkit gives the same object, so that a model can cache
 * by identity.
 *
 * @category combinators
 * @since 0.1.0
 */
export const returningAll = (toolkit: WithHandler): WithHandler => {
  const known = returningKits.get(toolkit)
  if (known !== undefined) return known
  const tools = Object.fromEntries(Object.entries(toolkit.tools).map(([name, tool]) => [name, returning(tool)]))
  const made: WithHandler = {
    tools,
    handle: (name, ...args) => {
      const tool = Object.hasOwn(tools, name) ? tools[name] : undefined
      const handled = toolkit.handle(name, ...args)
      // the tools of a toolkit may fail with anything, but `Tool.Any` does not say so
      return tool === undefined || tool === toolkit.tools[name] ? handled : returned(tool, handled) as typeof handled
    }
  }
  returningKits.set(toolkit, made)
  return made
}

type HandlerResult = Tool.HandlerResult<Tool.Any>

type Results = Stream.Stream<HandlerResult, unknown, unknown>

const returned = (tool: Tool.Any, handled: Effect.Effect<Results, unknown, unknown>): Effect.Effect<Results> => {
  const encode = ToolCodec.of(tool).encodeFailure
  const orFail = (cause: Cause.Cause<unknown>) => toResult(cause, encode)
  return Effect.matchCause(handled, {
    onFailure: (cause) => Stream.fromEffect(orFail(cause)),
    onSuccess: Stream.catchCause((cause) => Stream.fromEffect(orFail(cause)))
  }) as Effect.Effect<Results>
}

/** Fails with anything that is not a failure of the tool: a defect, an interruption, a result that is not JSON. */
const toResult = (
  cause: Cause.Cause<unknown>,
  encode: (error: unknown) => Effect.Effect<unknown, unknown>
): Effect.Effect<HandlerResult, unknown> => {
  const fail = cause.reasons.find(Cause.isFailReason)
  if (fail === undefined || Cause.hasDies(cause) || isEncodingError(fail.error)) return Effect.failCause(cause)
  const told = Mcp.isError(fail.error) ? Mcp.toTold(fail.error) : undefined
  if (told?._tag === "Success") {
    const { parts, text } = told
    return Effect.succeed({
      result: text,
      encodedResult: text,
      modelOutput: parts,
      isFailure: false,
      preliminary: false
    })
  }
  const error = told === undefined ? fail.error : make(told.text, fail.error)
  const failureOrigin = Context.get(Cause.annotations(cause), Toolkit.FailureOrigin)
  return Effect.map(encode(error), (encodedResult) => ({
    result: error as never,
    encodedResult,
    isFailure: true,
    failureOrigin,
    preliminary: false
  }))
}

const isEncodingError = (error: unknown): boolean =>
  AiError.isAiError(error) && error.reason._tag === "ToolResultEncodingError"

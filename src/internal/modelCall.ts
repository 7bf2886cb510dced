/**
 * One model call, through the middleware of its place.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Middleware from "../Middleware.ts"
import type { StreamPart } from "./stepBuilder.ts"

/**
 * Creates the stream of a model call. Nothing is called until it is pulled.
 * `onCall` is told what the model is asked when the middleware has seen it.
 *
 * @category running
 * @since 0.1.0
 */
export const callModel = (
  request: Middleware.ModelRequest,
  model: LanguageModel.LanguageModel,
  middleware: ReadonlyArray<Middleware.ModelPlace<any, any>>,
  call: Call = (model, request) => streamText(model, request)
): Stream.Stream<StreamPart, any> => {
  if (middleware.length === 0) return call(model, request)
  const throughContext = (request: Middleware.ModelRequest) =>
    Stream.unwrap(Effect.map(Effect.service(LanguageModel.LanguageModel), (model) => call(model, request)))
  return Stream.provideService(
    Middleware.compose(middleware, throughContext)(request),
    LanguageModel.LanguageModel,
    model
  )
}

/**
 * Makes the call that a request is for, after all middleware.
 *
 * @category models
 * @since 0.1.0
 */
export type Call = (
  model: LanguageModel.LanguageModel,
  request: Middleware.ModelRequest
) => Stream.Stream<StreamPart, AiError.AiError>

/**
 * The option of a call that names its prompt when the run knows that there is no
 * approval in it: a model need not look through a long prompt again at every step.
 *
 * @category models
 * @since 0.1.0
 */
export const WithoutApprovals: unique symbol = Symbol("effect-agents/internal/WithoutApprovals")

/**
 * The call that streams text and tool calls.
 *
 * @category running
 * @since 0.1.0
 */
export const streamText = (
  model: LanguageModel.LanguageModel,
  request: Middleware.ModelRequest,
  withoutApprovals?: Prompt.Prompt
): Stream.Stream<StreamPart, AiError.AiError> => {
  const call = {
    prompt: request.prompt,
    disableToolCallResolution: true,
    toolCallValidation: "deferred",
    [WithoutApprovals]: withoutApprovals
  }
  // its overloads infer from literal options
  const erased = model as { readonly streamText: (call: object) => Stream.Stream<StreamPart, AiError.AiError> }
  return request.toolkit === undefined
    ? erased.streamText(call)
    : erased.streamText({ ...call, toolkit: request.toolkit, toolChoice: toolChoiceOf(request) })
}

const toolChoiceOf = (
  { answerTool, finalAnswer, toolChoice }: Middleware.ModelRequest
): LanguageModel.ToolChoice<string> =>
  finalAnswer === undefined ? toolChoice : answerTool === undefined ? "none" : { tool: answerTool }

/**
 * The failure of a model that reports an error within its parts.
 *
 * @category errors
 * @since 0.1.0
 */
export const promote = (part: Response.ErrorPart): AiError.AiError => {
  const { error } = part
  if (AiError.isAiError(error)) return error
  const description = error instanceof Error
    ? error.message
    : typeof error === "string"
    ? error
    : "The model reported an error in its response"
  return AiError.make({ module: "ToolLoop", method: "ask", reason: new AiError.UnknownError({ description }) })
}

/**
 * The failure of a model that gives `error` as its finish reason and says no more.
 *
 * @category errors
 * @since 0.1.0
 */
export const finishedWithError = AiError.make({
  module: "ToolLoop",
  method: "ask",
  reason: new AiError.UnknownError({ description: "The model finished with reason `error`" })
})

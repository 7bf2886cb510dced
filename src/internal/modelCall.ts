/**
 * One model call, through the middleware of its place.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
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
  call: Call = streamText
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
 * The call that streams text and tool calls.
 *
 * @category running
 * @since 0.1.0
 */
export const streamText: Call = (model, request) =>
  (request.toolkit === undefined
    ? model.streamText({
      prompt: request.prompt,
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    })
    : model.streamText({
      prompt: request.prompt,
      toolkit: request.toolkit,
      toolChoice: toolChoiceOf(request),
      disableToolCallResolution: true,
      toolCallValidation: "deferred"
    })) as Stream.Stream<StreamPart, AiError.AiError>

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

/**
 * One model call, through the middleware of its place.
 *
 * @since 0.1.0
 */
import * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as References from "effect/References"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Middleware from "../../Middleware.ts"
import {
  type CallOptions,
  directModels,
  type EncodedParts,
  openDirect,
  type PromptCall,
  WithoutApprovals
} from "./direct.ts"
import { offer } from "./toolCodec.ts"
import type { ModelSpan } from "../telemetry/instrumentation.ts"
import type * as Lifecycle from "../run/lifecycle.ts"
import type { StreamPart } from "../words/stepBuilder.ts"
import * as Text from "../words/text.ts"

/**
 * Creates the stream of a model call. Nothing is called until it is pulled. `call`
 * makes it, of the request that the middleware has left.
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
 * What becomes of each array of parts of a call, and of its end.
 *
 * @category models
 * @since 0.1.0
 */
export interface Handlers {
  readonly onSuccess: (parts: StreamParts) => Lifecycle.PartPull
  readonly onFailure: (cause: Cause.Cause<unknown>) => Lifecycle.PartPull
}

/**
 * Opens a call in the context of its span: the pull of its parts, handled.
 *
 * @category running
 * @since 0.1.0
 */
export const openCall = (
  call: () => Stream.Stream<StreamPart, any>,
  scope: Scope.Scope,
  span: ModelSpan | undefined,
  handlers: Handlers
): Effect.Effect<Lifecycle.PartPull, any> => {
  const open = Effect.suspend(() => Channel.toPullScoped(call().channel, scope))
  const handled = (pull: PartsPull) => Effect.matchCauseEffect(pull, handlers)
  if (span === undefined) return Effect.map(open, handled)
  const { context } = span
  return Effect.map(
    Effect.updateContext(open, () => context),
    (pull) => handled(Effect.updateContext(pull, () => context))
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
export const streamText = (
  model: LanguageModel.LanguageModel,
  request: Middleware.ModelRequest,
  withoutApprovals?: Prompt.Prompt
): Stream.Stream<StreamPart, AiError.AiError> =>
  // its overloads infer from literal options
  (model as { readonly streamText: (call: CallOptions) => Stream.Stream<StreamPart, AiError.AiError> })
    .streamText(callOf(request, withoutApprovals))

const callOf = (request: Middleware.ModelRequest, withoutApprovals: Prompt.Prompt | undefined): PromptCall => {
  // half of a surrogate pair is refused by servers, and lost by those who write UTF-8
  const prompt = Text.wellFormedPrompt(request.prompt)
  const { toolkit } = request
  return toolkit === undefined
    ? {
      prompt,
      disableToolCallResolution: true,
      toolCallValidation: "deferred",
      [WithoutApprovals]: withoutApprovals
    }
    : {
      prompt,
      toolkit: offer(toolkit),
      toolChoice: toolChoiceOf(request),
      disableToolCallResolution: true,
      toolCallValidation: "deferred",
      [WithoutApprovals]: withoutApprovals
    }
}

/**
 * Returns how a run may open its calls of a model without a stream in between:
 * `undefined` when it has to call the service.
 *
 * Without telemetry, a program that traces gets effect's span of a model call, which
 * only the service makes.
 *
 * @category running
 * @since 0.1.0
 */
export const directly = (model: LanguageModel.LanguageModel, context: Context.Context<never>): Direct | undefined => {
  const direct = directModels.get(model)
  if (direct === undefined || model.streamText !== direct.streamText) return undefined
  const traces = Context.get(context, References.TracerEnabled)
  return (request, withoutApprovals, scope, span, handlers) => {
    if (span === undefined && traces) return undefined
    const call = direct.begin(callOf(request, withoutApprovals), {
      context: span?.context ?? context,
      scope,
      span: span?.current
    })
    if (call === undefined) return undefined
    const { onFailure } = handlers
    const onSuccess = (encoded: EncodedParts) => {
      // the types of its parts went with those of its tools
      const decoded = Result.try(() => call.decode(encoded) as StreamParts | PartsPull)
      if (Result.isFailure(decoded)) return onFailure(Cause.die(decoded.failure))
      const parts = decoded.success
      return Effect.isEffect(parts) ? Effect.matchCauseEffect(parts, handlers) : handlers.onSuccess(parts)
    }
    return Effect.map(
      openDirect(call, span?.context),
      (pull) => Effect.matchCauseEffect(pull, { onSuccess, onFailure })
    )
  }
}

/**
 * Opens a call: the pull of its parts, handled.
 *
 * @category models
 * @since 0.1.0
 */
export type Direct = (
  request: Middleware.ModelRequest,
  withoutApprovals: Prompt.Prompt | undefined,
  scope: Scope.Scope,
  span: ModelSpan | undefined,
  handlers: Handlers
) => Effect.Effect<Lifecycle.PartPull, AiError.AiError> | undefined

type StreamParts = readonly [StreamPart, ...Array<StreamPart>]

type PartsPull = Pull.Pull<StreamParts, AiError.AiError>

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
  // a provider may report any JSON, also one with the marks of an error
  if (error instanceof Error && AiError.isAiError(error)) return error
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

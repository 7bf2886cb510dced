/**
 * Makes one model call, through its middleware.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Channel from "effect/Channel"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Middleware from "../../Middleware.ts"
import {
  type CallOptions,
  CleanUsage,
  directModels,
  type EncodedParts,
  type PromptCall,
  pullDirect,
  WithoutApprovals
} from "./direct.ts"
import type { Edge, EdgeCall } from "./edge.ts"
import { offer } from "./toolCodec.ts"
// a call passes its context to its span, but makes no span
import type { ModelSpan } from "../telemetry/instrumentation.ts"
import type { PartPull } from "../words/partPull.ts"
import type { StreamPart } from "../words/stepBuilder.ts"

/**
 * Creates the stream of a model call, with the edge before all middleware. Nothing is called until the stream is
 * pulled. `call` makes the call, with the request as the middleware has left it, and with the model of the context in
 * which it is pulled.
 *
 * @category running
 * @since 0.1.0
 */
export const callModel = (
  request: Middleware.ModelRequest,
  middleware: ReadonlyArray<Middleware.ModelPlace<any, any>>,
  edge: Edge,
  call: Call = (model, request) => streamText(model, request)
): Stream.Stream<StreamPart, any, LanguageModel.LanguageModel> => {
  const atEdge = (
    request: Middleware.ModelRequest
  ): Stream.Stream<StreamPart, AiError.AiError, LanguageModel.LanguageModel> =>
    Stream.fromChannel(
      Channel.fromTransform((_upstream: unknown, scope) =>
        Effect.contextWith((context: Context.Context<LanguageModel.LanguageModel>) => {
          const called = edge.begin(edge.prepare(context))
          const provide = <R>(context: Context.Context<R>) => called.provide(context)
          const { left } = called
          const open = Effect.suspend(() =>
            Channel.toPullScoped(
              call(Context.get(context, LanguageModel.LanguageModel), edge.outgoing(request)).channel,
              scope
            )
          )
          return Effect.map(
            Effect.updateContext(
              left === undefined ? open : Effect.tap(open, Scope.addFinalizer(scope, left)),
              provide
            ),
            (pull) => called.pull(Effect.updateContext(pull, provide))
          )
        })
      )
    )
  return Middleware.compose(middleware, atEdge)(request)
}

/**
 * Handlers for each array of parts of a call, for its end, and for its failure.
 *
 * @category models
 * @since 0.1.0
 */
export interface Handlers {
  /** Receives the pull of the later parts, with the other handlers applied. */
  readonly onOpen: (pull: PartPull) => void
  readonly onSuccess: (parts: StreamParts) => PartPull
  readonly onDone: () => PartPull
  readonly onFailure: (cause: Cause.Cause<unknown>) => PartPull
}

const onEnd = ({ onDone, onFailure }: Handlers) => (cause: Cause.Cause<unknown>): PartPull =>
  Pull.isDoneCause(cause) ? onDone() : onFailure(cause)

/** The end of a call without middleware, which is already at the edge. */
const onEndAtEdge = (called: EdgeCall, { onDone, onFailure }: Handlers) => (cause: Cause.Cause<unknown>): PartPull => {
  if (!Pull.isDoneCause(cause)) return onFailure(cause)
  const error = called.onDone()
  return error === undefined ? onDone() : onFailure(Cause.fail(error))
}

/**
 * Opens a call in a context, and pulls it for the first time.
 *
 * @category running
 * @since 0.1.0
 */
export const open = (
  request: Middleware.ModelRequest,
  options: {
    /** The model of the run. A middleware may provide another one. */
    readonly model: LanguageModel.LanguageModel
    readonly middleware: ReadonlyArray<Middleware.ModelPlace<any, any>>
    readonly call: Call
    readonly context: Context.Context<never>
    readonly scope: Scope.Scope
    readonly edge: Edge
    readonly handlers: Handlers
  }
): PartPull => {
  const { call, context, edge, handlers, middleware, model, scope } = options
  // most runs have the model of their context
  const withModel = Context.getOrUndefined(context, LanguageModel.LanguageModel) === model
    ? context as Context.Context<LanguageModel.LanguageModel>
    : Context.add(context, LanguageModel.LanguageModel, model)
  if (middleware.length > 0) {
    const around = () => callModel(request, middleware, edge, call)
    return openStream(around, scope, withModel, handlers.onOpen, {
      onSuccess: handlers.onSuccess,
      onFailure: onEnd(handlers)
    })
  }
  const called = edge.begin(edge.prepare(withModel))
  return openStream(
    () => call(model, edge.outgoing(request)),
    scope,
    called.provide(withModel),
    handlers.onOpen,
    { onSuccess: (parts) => handlers.onSuccess(called.onParts(parts)), onFailure: onEndAtEdge(called, handlers) }
  )
}

const openStream = (
  call: () => Stream.Stream<StreamPart, any, LanguageModel.LanguageModel>,
  scope: Scope.Scope,
  context: Context.Context<LanguageModel.LanguageModel>,
  onOpen: Handlers["onOpen"],
  pulled: Pick<Handlers, "onFailure" | "onSuccess">
): PartPull => {
  const services = () => context
  const open = Effect.suspend(() => Channel.toPullScoped(call().channel, scope))
  const first = Effect.flatMap(open, (pull) => {
    onOpen(Effect.matchCauseEffect(Effect.updateContext(pull, services), pulled))
    return pull
  })
  return Effect.matchCauseEffect(Effect.updateContext(first, services), pulled)
}

/**
 * Makes the call of a request, after all middleware.
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
  const { prompt, toolkit } = request
  return toolkit === undefined
    ? {
      prompt,
      disableToolCallResolution: true,
      toolCallValidation: "deferred",
      [WithoutApprovals]: withoutApprovals,
      [CleanUsage]: true
    }
    : {
      prompt,
      toolkit: offer(toolkit),
      toolChoice: toolChoiceOf(request),
      disableToolCallResolution: true,
      toolCallValidation: "deferred",
      [WithoutApprovals]: withoutApprovals,
      [CleanUsage]: true
    }
}

/**
 * Returns how a run may open its calls of a model without a stream in between, or `undefined` if it has to call the
 * service.
 *
 * Without telemetry, a program that traces gets effect's span of a model call, and only the service makes that span.
 *
 * @category running
 * @since 0.1.0
 */
export const directly = (
  model: LanguageModel.LanguageModel,
  context: Context.Context<never>,
  settings?: (context: Context.Context<never>) => Context.Context<never>
): Direct | undefined => {
  const direct = directModels.get(model)
  if (direct === undefined || model.streamText !== direct.streamText) return undefined
  const traces = Context.get(context, References.TracerEnabled)
  return (request, withoutApprovals, scope, span, edge, handlers) => {
    if (span === undefined && traces) return undefined
    const own = settings === undefined ? span?.context : settings(span?.context ?? context)
    const callContext = own ?? context
    const called = edge.prepare(callContext)
    const call = direct.begin(callOf(edge.outgoing(request), withoutApprovals), {
      context: callContext,
      scope,
      span: span?.current,
      report: called
    })
    if (call === undefined) return undefined
    edge.begin(called)
    const onFailure = onEndAtEdge(called, handlers)
    const atEdge = (parts: StreamParts) => handlers.onSuccess(called.onParts(parts))
    const onSuccess = (encoded: EncodedParts) => {
      // the types of its parts were erased with those of its tools
      const decoded = Result.try(() => call.decode(encoded) as StreamParts | PartsPull)
      if (Result.isFailure(decoded)) return onFailure(Cause.die(decoded.failure))
      const parts = decoded.success
      return isParts(parts) ? atEdge(parts) : Effect.matchCauseEffect(parts, { onSuccess: atEdge, onFailure })
    }
    const pulled = { onSuccess, onFailure }
    const onOpen = (pull: Pull.Pull<EncodedParts, AiError.AiError>) =>
      handlers.onOpen(Effect.matchCauseEffect(pull, pulled))
    return Effect.matchCauseEffect(pullDirect(call, onOpen, own), pulled)
  }
}

/**
 * Opens a call, and pulls it for the first time. Returns `undefined` if the service has to be called.
 *
 * @category models
 * @since 0.1.0
 */
export type Direct = (
  request: Middleware.ModelRequest,
  withoutApprovals: Prompt.Prompt | undefined,
  scope: Scope.Scope,
  span: ModelSpan | undefined,
  edge: Edge,
  handlers: Handlers
) => PartPull | undefined

type StreamParts = readonly [StreamPart, ...Array<StreamPart>]

type PartsPull = Pull.Pull<StreamParts, AiError.AiError>

const isParts = (decoded: StreamParts | PartsPull): decoded is StreamParts => Array.isArray(decoded)

const toolChoiceOf = (
  { answerTool, finalAnswer, toolChoice }: Middleware.ModelRequest
): LanguageModel.ToolChoice<string> =>
  finalAnswer === undefined ? toolChoice : answerTool === undefined ? "none" : { tool: answerTool }

/**
 * The interface between a run and a model made by `DirectLanguageModel`. The run calls it without a stream in between,
 * and with its own span.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as IdGenerator from "effect/ai/IdGenerator"
import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constant } from "effect/Function"
import type * as Pull from "effect/Pull"
import type * as Scope from "effect/Scope"
import type * as Tracer from "effect/Tracer"
import { type CallReport, Report } from "./spending.ts"

/**
 * The option of a call that holds its prompt if the run knows that the prompt contains no approvals, so that the model
 * does not have to search a long prompt at every step.
 *
 * @category models
 * @since 0.1.0
 */
export const WithoutApprovals: unique symbol = Symbol("effect-agents/internal/WithoutApprovals")

/**
 * The option of a call whose usage is corrected: an invalid number of tokens is left out, and the answer is kept.
 * Without it the call is refused, as by effect.
 *
 * @category models
 * @since 0.1.0
 */
export const CleanUsage: unique symbol = Symbol("effect-agents/internal/CleanUsage")

/**
 * The option of a call that names the listener for the provider's reports beside the parts.
 *
 * @category models
 * @since 0.1.0
 */
export const ReportTo: unique symbol = Symbol("effect-agents/internal/ReportTo")

/**
 * The options of one call with their types erased, for use inside of the service.
 *
 * @category models
 * @since 0.1.0
 */
export type CallOptions = LanguageModel.GenerateTextOptions<any> & {
  readonly [WithoutApprovals]?: Prompt.Prompt | undefined
  readonly [CleanUsage]?: true | undefined
}

/**
 * A call with a `Prompt` as its messages.
 *
 * @category models
 * @since 0.1.0
 */
export type PromptCall = CallOptions & { readonly prompt: Prompt.Prompt }

/**
 * @category models
 * @since 0.1.0
 */
export type DecodedPart = Response.StreamPart<{}> | Response.ToolCallPart<string, unknown>

/**
 * @category models
 * @since 0.1.0
 */
export type DecodedParts = readonly [DecodedPart, ...Array<DecodedPart>]

/**
 * @category models
 * @since 0.1.0
 */
export type EncodedParts = readonly [Response.StreamPartEncoded, ...Array<Response.StreamPartEncoded>]

/**
 * One call. `open` opens the stream of the provider. The stream and its pulls run in a context to which `provide` has
 * added. `decode` returns the parts themselves if they are common ones.
 *
 * @category models
 * @since 0.1.0
 */
export interface DirectCall {
  readonly open: Effect.Effect<
    Pull.Pull<EncodedParts, AiError.AiError, void, IdGenerator.IdGenerator>,
    AiError.AiError,
    IdGenerator.IdGenerator
  >
  readonly decode: (parts: EncodedParts) => DecodedParts | Effect.Effect<DecodedParts, AiError.AiError>
  readonly provide: (context: Context.Context<never>) => Context.Context<IdGenerator.IdGenerator>
}

/**
 * Opens a call, in the context of the fiber. Returns the pull of its parts, which are not decoded yet.
 *
 * @category running
 * @since 0.1.0
 */
export const openDirect = (
  { open, provide }: DirectCall
): Effect.Effect<Pull.Pull<EncodedParts, AiError.AiError>, AiError.AiError> =>
  Effect.map(Effect.updateContext(open, provide), (pull) => Effect.updateContext(pull, provide))

/**
 * Opens a call and pulls it for the first time, in the context of the fiber or in this one. `onOpen` receives the pull
 * for the later parts.
 *
 * @category running
 * @since 0.1.0
 */
export const pullDirect = (
  { open, provide }: DirectCall,
  onOpen: (pull: Pull.Pull<EncodedParts, AiError.AiError>) => void,
  context?: Context.Context<never>
): Pull.Pull<EncodedParts, AiError.AiError> => {
  if (context === undefined) {
    const first = Effect.flatMap(open, (pull) => {
      onOpen(Effect.updateContext(pull, provide))
      return pull
    })
    return Effect.updateContext(first, provide)
  }
  const services: typeof provide = constant(provide(context))
  // the context may have a span, and a tracer may do much around each operation in it
  return Effect.flatMap(Effect.updateContext(open, services), (opened) => {
    const pull = Effect.updateContext(opened, services)
    onOpen(pull)
    return pull
  })
}

/**
 * Begins a call in a context and a scope. Returns `undefined` if effect has to make the call. The provider writes on
 * `span`, if there is one.
 *
 * @category models
 * @since 0.1.0
 */
export type Begin = (
  call: PromptCall,
  options: {
    readonly context: Context.Context<never>
    readonly scope: Scope.Scope
    readonly span: Tracer.Span | undefined
    readonly report: CallReport
  }
) => DirectCall | undefined

/**
 * The models that `DirectLanguageModel` has made, with the method that a run may bypass. A method that replaces it is
 * called.
 *
 * @category services
 * @since 0.1.0
 */
export const directModels = new WeakMap<
  LanguageModel.LanguageModel,
  { readonly begin: Begin; readonly streamText: LanguageModel.LanguageModel["streamText"] }
>()

/**
 * Returns the listener for the provider's reports in a call with these options.
 *
 * @category getters
 * @since 0.1.0
 */
export const reportOf = (
  options: LanguageModel.ProviderOptions & { readonly [ReportTo]?: CallReport },
  context: Context.Context<never>
): CallReport => options[ReportTo] ?? Context.get(context, Report)

/**
 * Returns whether a run makes the call itself, without a stream in between. Its prompt is then already well formed.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOfRun = (options: LanguageModel.ProviderOptions & { readonly [ReportTo]?: CallReport }): boolean =>
  options[ReportTo] !== undefined

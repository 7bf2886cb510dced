/**
 * How a run calls a model that `DirectLanguageModel` has made: without the stream in
 * between, and with the run's own span.
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
 * The option of a call that names its prompt when the run knows that there is no
 * approval in it: a model need not look through a long prompt again at every step.
 *
 * @category models
 * @since 0.1.0
 */
export const WithoutApprovals: unique symbol = Symbol("effect-agents/internal/WithoutApprovals")

/**
 * The option of a call whose usage is cleaned: a count of tokens that is none is left out, and the answer kept. Without
 * it the call is refused, as by effect.
 *
 * @category models
 * @since 0.1.0
 */
export const CleanUsage: unique symbol = Symbol("effect-agents/internal/CleanUsage")

/**
 * The option of a call of a provider that names who listens to what it says beside its parts.
 *
 * @category models
 * @since 0.1.0
 */
export const ReportTo: unique symbol = Symbol("effect-agents/internal/ReportTo")

/**
 * The options of one call with its types erased: what is left inside the service.
 *
 * @category models
 * @since 0.1.0
 */
export type CallOptions = LanguageModel.GenerateTextOptions<any> & {
  readonly [WithoutApprovals]?: Prompt.Prompt | undefined
  readonly [CleanUsage]?: true | undefined
}

/**
 * A call whose messages are a `Prompt`.
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
 * One call. `open` opens the stream of the provider; it and its pulls run in a
 * context that `provide` has added to. `decode` gives the parts themselves when
 * they are common ones.
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
 * Opens a call, in the context of the fiber or in this one: the pull of its parts,
 * which are still to be decoded.
 *
 * @category running
 * @since 0.1.0
 */
export const openDirect = (
  { open, provide }: DirectCall,
  context?: Context.Context<never>
): Effect.Effect<Pull.Pull<EncodedParts, AiError.AiError>, AiError.AiError> => {
  const services = context === undefined ? provide : constant(provide(context))
  return Effect.map(Effect.updateContext(open, services), (pull) => Effect.updateContext(pull, services))
}

/**
 * Begins a call in a context and a scope; `undefined` when effect has to make it. The
 * provider writes on `span`, when there is one.
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
 * The models that `DirectLanguageModel` has made, with the method that a run may leave
 * out: one that was put in its place is called.
 *
 * @category services
 * @since 0.1.0
 */
export const directModels = new WeakMap<
  LanguageModel.LanguageModel,
  { readonly begin: Begin; readonly streamText: LanguageModel.LanguageModel["streamText"] }
>()

/**
 * Who listens to the provider in a call with these options.
 *
 * @category getters
 * @since 0.1.0
 */
export const reportOf = (
  options: LanguageModel.ProviderOptions & { readonly [ReportTo]?: CallReport },
  context: Context.Context<never>
): CallReport => options[ReportTo] ?? Context.get(context, Report)

/**
 * Whether a run makes the call by itself, without a stream in between: then its prompt is well formed.
 *
 * @category guards
 * @since 0.1.0
 */
export const isOfRun = (options: LanguageModel.ProviderOptions & { readonly [ReportTo]?: CallReport }): boolean =>
  options[ReportTo] !== undefined

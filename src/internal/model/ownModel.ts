/**
 * The model that an agent brings, in a context beside that of its caller.
 *
 * @since 0.1.0
 */
import * as LanguageModel from "effect/ai/LanguageModel"
import * as Model from "effect/ai/Model"
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"

/**
 * The option `model` of `Agent.make`, with its types erased.
 *
 * @category models
 * @since 0.1.0
 */
export type AnyModel =
  | Layer.Layer<LanguageModel.LanguageModel, any, any>
  | Effect.Effect<LanguageModel.LanguageModel, any, any>

/**
 * Builds the model in a scope.
 *
 * @category running
 * @since 0.1.0
 */
export const build = (
  model: AnyModel,
  scope: Scope.Scope
): Effect.Effect<Context.Context<LanguageModel.LanguageModel>, any, any> =>
  Effect.isEffect(model)
    ? Effect.map(
      Effect.provideService(model, Scope.Scope, scope),
      (model) => Context.make(LanguageModel.LanguageModel, model)
    )
    : Layer.buildWithScope(model, scope)

/**
 * Returns the context with the model, and its names, of the other context, or without a model if that has none.
 *
 * @category combinators
 * @since 0.1.0
 */
export const withModelOf = <R>(self: Context.Context<R>, other: Context.Context<never>): Context.Context<R> => {
  const none = Context.omit(...services)(self)
  // `R` may contain them, because code that needs a model always runs with one
  return Context.merge(none, Context.pick(...services)(other)) as Context.Context<any>
}

const services = [LanguageModel.LanguageModel, Model.ProviderName, Model.ModelName] as const

/**
 * Tools that run with the model of the agent's caller, which is in `context`, instead of the agent's own.
 *
 * @category models
 * @since 0.1.0
 */
export interface Outside {
  readonly tools: Readonly<Record<string, Tool.Any>>
  readonly context: Context.Context<never>
}

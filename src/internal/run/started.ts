/**
 * The providers that a run has begun, with the request that each of them received.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Scope from "effect/Scope"
import type * as ContextProvider from "../../ContextProvider.ts"

/**
 * The request of a provider. Its prompt may be replaced when a guardrail refuses it.
 *
 * @category models
 * @since 0.1.0
 */
export type Told = ContextProvider.Request & { prompt: Prompt.Prompt }

/**
 * A provider that a run has begun. Its finalizers are in its own scope.
 *
 * @category models
 * @since 0.1.0
 */
export interface Started {
  readonly provider: ContextProvider.ContextProvider<unknown, never>
  readonly scope: Scope.Closeable
  readonly request: Told
  contribution: ContextProvider.Contribution | undefined
}

/**
 * Creates the entry of a provider that is about to begin.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (provider: ContextProvider.ContextProvider<unknown, never>, request: Told): Started => ({
  provider,
  scope: Scope.makeUnsafe(),
  request,
  contribution: undefined
})

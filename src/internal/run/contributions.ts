/**
 * The contributions of the providers when the body of a run begins.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import type * as ContextProvider from "../../ContextProvider.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as StopCondition from "../../StopCondition.ts"

/**
 * The contributions of all providers of a run, in the order of the agent's list.
 *
 * @category models
 * @since 0.1.0
 */
export interface Contributions {
  instructions: ReadonlyArray<string>
  messages: ReadonlyArray<Prompt.Message>
  /** The messages that belong to the session: a committing provider saves the messages that it loads. */
  kept: Kept | undefined
  toolkits: ReadonlyArray<
    { readonly provider: string; readonly toolkit: Toolkit.WithHandler<Record<string, Tool.Any>> }
  >
  middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>
  stopWhen: ReadonlyArray<StopCondition.StopCondition>
  atStart: ReadonlyArray<(run: ContextProvider.StartedRun) => Effect.Effect<unknown, unknown>>
  everyStep: ReadonlyArray<(step: ContextProvider.FinishedStep) => Effect.Effect<unknown, unknown>>
}

/**
 * The messages of the session among those of the providers. `keepsAnswers` says whether answers to its approvals are
 * saved before any of their calls runs.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kept {
  readonly from: number
  readonly to: number
  readonly keepsAnswers: boolean
}

// Most providers contribute little, so all runs share it.
const none: ReadonlyArray<never> = []

/**
 * Creates the contributions of no provider.
 *
 * @category constructors
 * @since 0.1.0
 */
export const empty = (): Contributions => ({
  instructions: none,
  messages: none,
  kept: undefined,
  toolkits: none,
  middleware: none,
  stopWhen: none,
  atStart: none,
  everyStep: none
})

/**
 * Adds the contribution of a provider. The services of its functions and its middleware are in the context that the run
 * captures, like those of the provider itself.
 *
 * @category combinators
 * @since 0.1.0
 */
export const add = (
  self: Contributions,
  { commitment, name: provider }: Pick<ContextProvider.Any, "commitment" | "name">,
  contribution: ContextProvider.Contribution,
  session: string | undefined
): void => {
  const { atStart, everyStep, instructions, messages, middleware, stopWhen, toolkit } = contribution
  if (instructions !== undefined) self.instructions = [...self.instructions, instructions]
  if (messages !== undefined) {
    const from = self.messages.length
    self.messages = [...self.messages, ...messages]
    if (commitment === "committing" && session !== undefined) {
      self.kept ??= { from, to: self.messages.length, keepsAnswers: atStart !== undefined }
    }
  }
  if (middleware !== undefined) {
    self.middleware = [...self.middleware, middleware as Middleware.Middleware<unknown, never>]
  }
  if (stopWhen !== undefined) self.stopWhen = [...self.stopWhen, ...stopWhen]
  if (atStart !== undefined) self.atStart = [...self.atStart, atStart as Contributions["atStart"][number]]
  if (everyStep !== undefined) self.everyStep = [...self.everyStep, everyStep as Contributions["everyStep"][number]]
  if (toolkit !== undefined) self.toolkits = [...self.toolkits, { provider, toolkit }]
}

/**
 * Calls functions of the providers one after the other, up to the first failure.
 *
 * @category running
 * @since 0.1.0
 */
export const callAll = <A>(
  functions: ReadonlyArray<(a: A) => Effect.Effect<unknown, unknown>>,
  a: A
): Effect.Effect<void, unknown> => Effect.forEach(functions, (f) => Effect.suspend(() => f(a)), { discard: true })

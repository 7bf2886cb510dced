/**
 * Who is told what model calls cost, and by whom.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import * as Context from "effect/Context"
import type * as AgentRun from "../../AgentRun.ts"

/**
 * The cost of one call, which was `before` until now. Before anything is known of it that is the empty usage.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cost {
  readonly before: AgentRun.Usage
  readonly after: AgentRun.Usage
  /** The model that has answered, as far as it is known, and the one that `before` was told of. */
  readonly model: string | undefined
  readonly modelBefore: string | undefined
  /** The provider that the context of the call names. */
  readonly provider: string | undefined
}

/**
 * Those who keep an account of the model calls of every run in a context. Default: none.
 *
 * @category references
 * @since 0.1.0
 */
export const Accountants = Context.Reference<ReadonlyArray<(cost: Cost) => void>>(
  "effect-agents/internal/Accountants",
  { defaultValue: () => [] }
)

/**
 * What a provider says of a call beside its parts.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallReport {
  /**
   * What the call has cost so far. The `finish` part takes the place of it; when there comes none, because the call is
   * cut, this is what is known.
   */
  usage(usage: AgentRun.Usage): void
  /** Why the call finishes with the reason `error`. */
  failure(error: AiError.AiError): void
  /** The call was made before, by another attempt of the run: what it says now is taken from a record. */
  replayed?(): void
}

/**
 * Who listens to the provider in a call. Default: nobody.
 *
 * @category references
 * @since 0.1.0
 */
export const Report = Context.Reference<CallReport>("effect-agents/internal/CallReport", {
  defaultValue: () => ({ usage: () => {}, failure: () => {} })
})

/**
 * Who is told what model calls cost, and by whom.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
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
  /** Whether another attempt of the execution has made the call, and this one has read of it in a journal. */
  readonly isReplayed: boolean
}

/**
 * How many calls have begun. Negative numbers take back those that did not reach their tool.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  readonly modelCalls?: number | undefined
  readonly toolCalls?: number | undefined
}

/**
 * One model call in the books of somebody who writes a cost once in the life of an execution.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  /** Writes what the call has cost, when it has ended. */
  readonly end: (cost: Cost) => Effect.Effect<void>
  /** Writes what is known of a call that was left before its end. */
  readonly cut: (cost: Cost) => Effect.Effect<void>
}

/**
 * Somebody who keeps an account.
 *
 * @category models
 * @since 0.1.0
 */
export interface Accountant {
  /** Called whenever more is known of the cost of a call. */
  readonly spend: (cost: Cost) => void
  /** Called when a call begins in this context. The cost of one that has an entry is told to that, and not to `spend`. */
  readonly begin?: ((context: Context.Context<never>) => Entry | undefined) | undefined
  /** Called when an accountant has counted calls. */
  readonly onCounts?: ((by: Accountant, counts: Counts) => void) | undefined
  /** Called with what it has counted in a tool call that is read from a journal. */
  readonly restore?: ((counts: Counts) => void) | undefined
}

/**
 * Those who keep an account of the model calls of every run in a context. Default: none.
 *
 * @category references
 * @since 0.1.0
 */
export const Accountants = Context.Reference<ReadonlyArray<Accountant>>(
  "effect-agents/internal/Accountants",
  { defaultValue: () => [] }
)

/**
 * Tells everybody in the context what this accountant has counted.
 *
 * @category running
 * @since 0.1.0
 */
export const counted = (by: Accountant, counts: Counts): Effect.Effect<void> =>
  Effect.map(Accountants, (accountants) => {
    for (const accountant of accountants) accountant.onCounts?.(by, counts)
  })

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

/**
 * Reports of the usage of model calls: who sends them, and who receives them.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as AgentRun from "../../AgentRun.ts"

/**
 * The usage of one call, which was `before` until now. Before anything is known it is the empty usage.
 *
 * @category models
 * @since 0.1.0
 */
export interface Cost {
  readonly before: AgentRun.Usage
  readonly after: AgentRun.Usage
  /** The model that has answered, if it is known, and the model that was reported with `before`. */
  readonly model: string | undefined
  readonly modelBefore: string | undefined
  /** The provider that the context of the call names. */
  readonly provider: string | undefined
  /** Whether another attempt of the execution has made the call, so that this one reads it from a journal. */
  readonly isReplayed: boolean
}

/**
 * The number of calls that have begun. Negative numbers take back calls that did not reach their tool.
 *
 * @category models
 * @since 0.1.0
 */
export interface Counts {
  readonly modelCalls?: number | undefined
  readonly toolCalls?: number | undefined
}

/**
 * One model call for an accountant that writes a cost once in the life of an execution.
 *
 * @category models
 * @since 0.1.0
 */
export interface Entry {
  /** Writes the usage of the call when it has ended. */
  readonly end: (cost: Cost) => Effect.Effect<void>
  /** Writes what is known about a call that was left before its end. */
  readonly cut: (cost: Cost) => Effect.Effect<void>
}

/**
 * A receiver of usage reports.
 *
 * @category models
 * @since 0.1.0
 */
export interface Accountant {
  /** Called whenever more is known about the usage of a call. */
  readonly spend: (cost: Cost) => void
  /**
   * Called when a call begins in this context. The usage of a call with an entry is reported to the entry, and not to
   * `spend`.
   */
  readonly begin?: ((context: Context.Context<never>) => Entry | undefined) | undefined
  /** Called when an accountant has counted calls. */
  readonly onCounts?: ((by: Accountant, counts: Counts) => void) | undefined
  /** Called with the counts of a tool call that is read from a journal. */
  readonly restore?: ((counts: Counts) => void) | undefined
}

/**
 * The accountants for the model calls of every run in a context. Default: none.
 *
 * @category references
 * @since 0.1.0
 */
export const Accountants = Context.Reference<ReadonlyArray<Accountant>>(
  "effect-agents/internal/Accountants",
  { defaultValue: () => [] }
)

/**
 * Tells all accountants in the context what this one has counted.
 *
 * @category running
 * @since 0.1.0
 */
export const counted = (by: Accountant, counts: Counts): Effect.Effect<void> =>
  Effect.map(Accountants, (accountants) => {
    for (const accountant of accountants) accountant.onCounts?.(by, counts)
  })

/**
 * A value that a provider knows by its class, such as the messages that it has already converted.
 *
 * @category models
 * @since 0.1.0
 */
export interface Kept {
  value: unknown
}

/**
 * The reports of a provider about a call, beside its parts.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallReport {
  /**
   * The usage of the call so far. The `finish` part replaces it. If the call is cut and has none, this is all that is
   * known.
   */
  usage(usage: AgentRun.Usage): void
  /** Why the call finishes with the reason `error`. */
  failure(error: AiError.AiError): void
  /** What the provider keeps from one call of a run for the next one, until the run ends. */
  readonly kept?: Kept | undefined
  /** The call was made by an earlier attempt of the run, and its reports are taken from a record. */
  replayed?(): void
}

/**
 * The listener for the provider's reports in a call. Default: none.
 *
 * @category references
 * @since 0.1.0
 */
export const Report = Context.Reference<CallReport>("effect-agents/internal/CallReport", {
  defaultValue: () => ({ usage: () => {}, failure: () => {} })
})

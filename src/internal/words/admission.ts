/**
 * The input of a model call, which is kept only after the guardrails of the input have let it through. It is the prompt
 * of a run, or messages that steer the run later.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"

/**
 * The checked input of a run: its prompt, or the messages that were `added` later. It is admitted once: when the model
 * is called and no check is running, or when the model call has ended without a refusal.
 *
 * @category models
 * @since 0.1.0
 */
export class Admission {
  private isAsked = false
  private checks = 0
  private onAdmitted: Effect.Effect<void> | undefined
  readonly added: ReadonlyArray<Prompt.Message> | undefined

  /** `onAdmitted` runs when the input is admitted. The check or model call that admits it waits for that. */
  constructor(onAdmitted: Effect.Effect<void>, added?: ReadonlyArray<Prompt.Message>) {
    this.onAdmitted = onAdmitted
    this.added = added
  }

  /** Whether the input may still be refused. */
  get isPending(): boolean {
    return this.onAdmitted !== undefined
  }

  /** The model is called, so every check before the call has passed. */
  readonly ask: Effect.Effect<void> = Effect.suspend(() => {
    this.isAsked = true
    return this.admit()
  })

  /** The model call has ended without a refusal. */
  readonly end: Effect.Effect<void> = Effect.suspend(() => {
    this.checks = 0
    return this.ask
  })

  /** Refuses the input for good. */
  refuse(): void {
    this.onAdmitted = undefined
  }

  /** Runs a check that stands beside the model call. */
  during<A, E, R>(check: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.checks++
      const ended = Effect.onExit(check, () => Effect.sync(() => void this.checks--))
      return Effect.tap(ended, () => this.admit())
    })
  }

  private admit(): Effect.Effect<void> {
    const { onAdmitted } = this
    if (onAdmitted === undefined || !this.isAsked || this.checks > 0) return Effect.void
    this.onAdmitted = undefined
    return onAdmitted
  }
}

/**
 * The admission that the model call in progress waits for. Default: none.
 *
 * @category references
 * @since 0.1.0
 */
export const Current = Context.Reference<Admission | undefined>("effect-agents/internal/Admission", {
  defaultValue: () => undefined
})

/**
 * The messages that were added to the run since the last model call, or `undefined` if there are none.
 *
 * @category accessors
 * @since 0.1.0
 */
export const added: Effect.Effect<ReadonlyArray<Prompt.Message> | undefined> = Effect.map(
  Current,
  (admission) => admission?.added
)

/**
 * Runs a check of the input beside the model call.
 *
 * @category running
 * @since 0.1.0
 */
export const during = <A, E, R>(check: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.flatMap(Current, (admission) => admission === undefined ? check : admission.during(check))

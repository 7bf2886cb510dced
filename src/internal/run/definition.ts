/**
 * The definition of a run, and its body: the work between its providers.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import type * as AgentRun from "../../AgentRun.ts"
import type * as ContextProvider from "../../ContextProvider.ts"
import type * as Contributions from "./contributions.ts"
import type { PartPull } from "../words/partPull.ts"
import type { Run } from "./lifecycle.ts"
import type { Surroundings } from "./surroundings.ts"

export type {
  /**
   * One pull of a run.
   *
   * @category models
   * @since 0.1.0
   */
  PartPull
} from "../words/partPull.ts"

/**
 * The work of a run between its providers. `advance` is one pull; it ends in `run.complete` or `run.fail`. `stop` is
 * called once when the run ends in any way, and ends everything that is still open.
 *
 * @category models
 * @since 0.1.0
 */
export interface Body {
  readonly opening: ReadonlyArray<AgentRun.Part>
  readonly advance: () => PartPull
  readonly stop: (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown> | undefined
  /** What `stop` has added to the transcript of a run that did not complete. Default: nothing. */
  readonly afterwards?: ReadonlyArray<Prompt.Message> | undefined
  readonly partial: () => Omit<AgentRun.Partial, "runId" | "totalUsage">
}

/**
 * The definition of a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Definition {
  readonly name: string
  readonly description: string | undefined
  readonly remote: boolean
  /** The provider and the model; otherwise those of the context. */
  readonly provider?: string | undefined
  readonly model?: string | undefined
  /** The services of the providers are in the context that the run captures. */
  readonly providers: ReadonlyArray<ContextProvider.ContextProvider<unknown, never>>
  /** Whether every run that completes has a value. A run without one then fails. */
  readonly promisesValue?: boolean | undefined
  /** What its last run found in its context. */
  surroundings?: Surroundings | undefined
  readonly body: (run: Run, contributions: Contributions.Contributions) => Body | Effect.Effect<Body, any>
}

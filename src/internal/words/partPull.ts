/**
 * The pull of a run's parts.
 *
 * @since 0.1.0
 */

import type * as Pull from "effect/Pull"
import type * as AgentRun from "../../AgentRun.ts"

/**
 * One pull of a run.
 *
 * @category models
 * @since 0.1.0
 */
export type PartPull = Pull.Pull<readonly [AgentRun.Part, ...Array<AgentRun.Part>], any>

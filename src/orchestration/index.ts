/**
 * Agents that are made from other agents.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as AgentGraph from "./AgentGraph.ts"

/**
 * @since 0.1.0
 */
export * as Background from "./Background.ts"

/**
 * @since 0.1.0
 */
export * as Handoff from "./Handoff.ts"

/**
 * @since 0.1.0
 */
export * as Orchestration from "./Orchestration.ts"

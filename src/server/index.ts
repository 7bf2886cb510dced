/**
 * Agents behind a server: runs that have readers, and the HTTP API of an agent.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as AgentApi from "./AgentApi.ts"

/**
 * @since 0.1.0
 */
export * as AgentHttp from "./AgentHttp.ts"

/**
 * @since 0.1.0
 */
export * as RunHub from "./RunHub.ts"

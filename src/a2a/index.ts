/**
 * The Agent2Agent protocol: agents for its clients, and its agents as agents. Needs the package `@a2a-js/sdk`.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as A2aServer from "./A2aServer.ts"

/**
 * @since 0.1.0
 */
export * as A2aAgent from "./A2aAgent.ts"

/**
 * @since 0.1.0
 */
export * as A2aError from "./A2aError.ts"

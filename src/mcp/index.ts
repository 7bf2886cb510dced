/**
 * Agents and the Model Context Protocol.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as McpAgent from "./McpAgent.ts"

/**
 * @since 0.1.0
 */
export * as McpToolkit from "./McpToolkit.ts"

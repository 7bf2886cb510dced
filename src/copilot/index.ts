/**
 * The GitHub Copilot runtime as an agent. Needs the package `@github/copilot-sdk`, which brings the runtime.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as CopilotAgent from "./CopilotAgent.ts"

/**
 * @since 0.1.0
 */
export * as CopilotError from "./CopilotError.ts"

/**
 * @since 0.1.0
 */
export * as CopilotRuntime from "./CopilotRuntime.ts"

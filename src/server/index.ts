/**
 * Agents behind a server: runs with readers, the HTTP API of an agent, and agents that run elsewhere.
 *
 * @since 0.1.0
 */

/**
 * @since 0.1.0
 */
export * as AgUi from "./AgUi.ts"

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
export * as AgentRpc from "./AgentRpc.ts"

/**
 * @since 0.1.0
 */
export * as ClientTools from "./ClientTools.ts"

/**
 * @since 0.1.0
 */
export * as LocalServer from "./LocalServer.ts"

/**
 * @since 0.1.0
 */
export * as OpenAiApi from "./OpenAiApi.ts"

/**
 * @since 0.1.0
 */
export * as RemoteAgent from "./RemoteAgent.ts"

/**
 * @since 0.1.0
 */
export * as RunHub from "./RunHub.ts"

/**
 * @since 0.1.0
 */
export * as UiMessages from "./UiMessages.ts"

/**
 * The failures of this subpath that `AgentError.describe` does not know.
 *
 * @since 0.1.0
 */

import * as AgentApi from "../AgentApi.ts"

/**
 * Creates a failure with a fixed text.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failed = (code: string, status: number, retryable: boolean, message: string): AgentApi.RunFailed =>
  new AgentApi.RunFailed({ code, status, retryable, message })

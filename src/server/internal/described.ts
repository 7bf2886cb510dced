/**
 * A failure that was described for clients already. The runs of an owner fail with it, so that no wire can tell more.
 *
 * @since 0.1.0
 */

// the api asks for it, so it stands below the api
import type * as AgentApi from "../AgentApi.ts"

/**
 * @category models
 * @since 0.1.0
 */
export class Described {
  readonly failure: AgentApi.RunFailed

  constructor(failure: AgentApi.RunFailed) {
    this.failure = failure
  }
}

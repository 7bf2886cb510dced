/**
 * The calls of one response that its provider runs itself. A request for an approval names such a call only by its id.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as HostedApproval from "../../internal/words/hostedApproval.ts"

/**
 * The calls so far.
 *
 * @category models
 * @since 0.1.0
 */
export class AskedCalls {
  private readonly marks = new Map<string, ReturnType<typeof HostedApproval.mark>>()

  /** Remembers a call. */
  add(id: string, name: string, params: Schema.MutableJson): void {
    this.marks.set(id, HostedApproval.mark(name, params))
  }

  /** Returns the call of a request as metadata, or `undefined` if no call has this id. */
  markOf(id: string): ReturnType<typeof HostedApproval.mark> | undefined {
    return this.marks.get(id)
  }
}

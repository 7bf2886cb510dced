/**
 * The calls of one response that its provider runs, for the approvals that it asks for: a request names its call by
 * the id alone.
 *
 * @since 0.1.0
 */
import type * as Schema from "effect/Schema"
import * as HostedApproval from "../../internal/words/hostedApproval.ts"

/**
 * The calls that have come so far.
 *
 * @category models
 * @since 0.1.0
 */
export class AskedCalls {
  private readonly marks = new Map<string, ReturnType<typeof HostedApproval.mark>>()

  /** Takes a call down. */
  add(id: string, name: string, params: Schema.MutableJson): void {
    this.marks.set(id, HostedApproval.mark(name, params))
  }

  /** The call of a request, as metadata; undefined when none has come with this id. */
  markOf(id: string): ReturnType<typeof HostedApproval.mark> | undefined {
    return this.marks.get(id)
  }
}

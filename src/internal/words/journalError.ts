/**
 * The error of a journal's record.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"

/**
 * A record cannot be read, belongs to another call than the one that asks for it, or cannot be written because a value
 * has no JSON form.
 *
 * A run fails with it as the reason `InvalidRecord` of an `AgentError`.
 *
 * @category errors
 * @since 0.1.0
 */
export class JournalError extends Schema.Error<JournalError>("effect-agents/Journal/JournalError")({
  _tag: Schema.tag("JournalError"),
  record: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `Record \`${this.record}\` of the journal: ${this.description}`
  }
}

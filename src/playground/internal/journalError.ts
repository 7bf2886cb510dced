/**
 * The failure of a journal of runs.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"

/**
 * The journal cannot be read or written.
 *
 * @category errors
 * @since 0.1.0
 */
export class RunJournalError extends Schema.Error<RunJournalError>("effect-agents/playground/RunJournalError")({
  _tag: Schema.tag("RunJournalError"),
  operation: Schema.String,
  cause: Schema.Defect()
}) {
  override get message(): string {
    return `The journal of runs has failed (\`${this.operation}\`)`
  }
}

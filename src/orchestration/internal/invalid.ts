/**
 * The refusal of an orchestration.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"

/**
 * An orchestration was not made: it has no members, two of one name, or a bound that is none. It is thrown, as a mistake
 * of the program that makes the orchestration.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOrchestration
  extends Schema.Error<InvalidOrchestration>("effect-agents/orchestration/InvalidOrchestration")({
    _tag: Schema.tag("InvalidOrchestration"),
    orchestration: Schema.String,
    problem: Schema.String
  })
{
  override get message(): string {
    return `The orchestration \`${this.orchestration}\` cannot be made: ${this.problem}`
  }
}

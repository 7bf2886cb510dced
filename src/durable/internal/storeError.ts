/**
 * The failure of an execution store.
 *
 * @since 0.1.0
 */

import * as Schema from "effect/Schema"

/**
 * The store cannot be read or written.
 *
 * @category errors
 * @since 0.1.0
 */
export class ExecutionStoreError
  extends Schema.Error<ExecutionStoreError>("effect-agents/durable/ExecutionStoreError")({
    _tag: Schema.tag("ExecutionStoreError"),
    operation: Schema.String,
    cause: Schema.Defect()
  })
{
  override get message(): string {
    return `The executions could not be read or written (${this.operation})`
  }
}

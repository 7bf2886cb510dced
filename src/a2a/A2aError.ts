/**
 * The failures between a run and an agent that is reached by the A2A protocol.
 *
 * `A2aError` is the error, and its `reason` says what happened: the connection was lost, the agent refused the request,
 * the task failed, the agent sent something that is not of the protocol, or the input cannot be sent.
 *
 * **Example** (Catching one reason)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { A2aError } from "effect-agents/a2a"
 *
 * const lost = A2aError.make(new A2aError.ConnectionLost({ taskId: "task-7" }))
 *
 * const program = Effect.fail(lost).pipe(
 *   Effect.catchReason("A2aError", "ConnectionLost", ({ taskId }) => Console.log(`look at ${taskId} later`))
 * )
 *
 * Effect.runPromise(program)
 * // => look at task-7 later
 * ```
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/a2a/A2aError"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/a2a/A2aError"

/**
 * The agent could not be reached, or the connection ended before the task did. With a `taskId` the task may go on, and
 * `A2aAgent.join` reads it.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionLost extends Schema.Error<ConnectionLost>("effect-agents/a2a/A2aError/ConnectionLost")({
  _tag: Schema.tag("ConnectionLost"),
  taskId: Schema.optional(Schema.String),
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return this.taskId === undefined
      ? "the agent could not be reached"
      : `the connection was lost before the task \`${this.taskId}\` ended`
  }
}

/**
 * The agent did not accept the request. `code` is its own code, such as `"approval-unknown"`, the reason by the protocol,
 * such as `"TASK_NOT_FOUND"`, or the status of the response, such as `"HTTP_401"`.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestRefused extends Schema.Error<RequestRefused>("effect-agents/a2a/A2aError/RequestRefused")({
  _tag: Schema.tag("RequestRefused"),
  code: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `the agent refused the request (${this.code}): ${this.description}`
  }
}

/**
 * The task failed, or the agent rejected it. `description` is the text of the agent. `code` and `retryable` are known if
 * the agent is one of this package.
 *
 * @category errors
 * @since 0.1.0
 */
export class TaskFailed extends Schema.Error<TaskFailed>("effect-agents/a2a/A2aError/TaskFailed")({
  _tag: Schema.tag("TaskFailed"),
  taskId: Schema.String,
  state: Schema.Literals(["failed", "rejected"]),
  description: Schema.String,
  code: Schema.optional(Schema.String),
  retryable: Schema.optional(Schema.Boolean)
}) {
  override get message(): string {
    const detail = this.description === "" ? "" : `: ${this.description}`
    return `the task \`${this.taskId}\` was ${this.state === "failed" ? "not completed" : "rejected"}${detail}`
  }
}

/**
 * The agent sent something other than the protocol allows, or a value that the `output` does not accept.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidResponse extends Schema.Error<InvalidResponse>("effect-agents/a2a/A2aError/InvalidResponse")({
  _tag: Schema.tag("InvalidResponse"),
  description: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `the agent sent an invalid response: ${this.description}`
  }
}

/**
 * The input of the run cannot be sent. Nothing was asked.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidInput extends Schema.Error<InvalidInput>("effect-agents/a2a/A2aError/InvalidInput")({
  _tag: Schema.tag("InvalidInput"),
  description: Schema.String
}) {
  override get message(): string {
    return `the input cannot be sent: ${this.description}`
  }
}

/**
 * @category errors
 * @since 0.1.0
 */
export type A2aErrorReason = ConnectionLost | RequestRefused | TaskFailed | InvalidResponse | InvalidInput

/**
 * @category errors
 * @since 0.1.0
 */
export const A2aErrorReason: Schema.Union<[
  typeof ConnectionLost,
  typeof RequestRefused,
  typeof TaskFailed,
  typeof InvalidResponse,
  typeof InvalidInput
]> = Schema.Union([ConnectionLost, RequestRefused, TaskFailed, InvalidResponse, InvalidInput])

/**
 * A failure between a run and an agent that is reached by the A2A protocol.
 *
 * Catch it by its tag, or one of its reasons with `Effect.catchReason("A2aError", "ConnectionLost", ...)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class A2aError extends Schema.Error<A2aError>(TypeId)({
  _tag: Schema.tag("A2aError"),
  reason: A2aErrorReason
}) {
  /**
   * Marks a value as an A2A error, for guards at run time.
   *
   * @since 0.1.0
   */
  readonly [TypeId]: TypeId = TypeId

  override get message(): string {
    return this.reason.message
  }
}

/**
 * Returns whether a value is an `A2aError`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isA2aError = (u: unknown): u is A2aError => Predicate.isError(u) && Predicate.hasProperty(u, TypeId)

/**
 * Creates an `A2aError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reason: A2aErrorReason): A2aError => new A2aError({ reason })

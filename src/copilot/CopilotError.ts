/**
 * The failures between a run and the Copilot runtime.
 *
 * `CopilotError` is the error, and its `reason` says what happened: the runtime could not be started, it ended, it
 * refused a request, it does not know a session, its model failed, or its work was stopped from outside.
 *
 * **Example** (Catching one reason)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { CopilotError } from "effect-agents/copilot"
 *
 * const program = Effect.fail(CopilotError.make(new CopilotError.RuntimeExited({ exitCode: 1 }))).pipe(
 *   Effect.catchReason("CopilotError", "RuntimeExited", (reason) => Console.log(reason.message))
 * )
 *
 * Effect.runPromise(program)
 * // => the Copilot runtime exited with code 1
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
export const TypeId: TypeId = "~effect-agents/copilot/CopilotError"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/copilot/CopilotError"

/**
 * The runtime could not be started, or there is no answer at the given address.
 *
 * @category errors
 * @since 0.1.0
 */
export class RuntimeUnavailable extends Schema.Error<RuntimeUnavailable>(
  "effect-agents/copilot/CopilotError/RuntimeUnavailable"
)({
  _tag: Schema.tag("RuntimeUnavailable"),
  description: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `the Copilot runtime could not be started: ${this.description}`
  }
}

/**
 * The process of the runtime, or the connection to it, ended while an operation waited for it. The next run starts
 * another process.
 *
 * @category errors
 * @since 0.1.0
 */
export class RuntimeExited extends Schema.Error<RuntimeExited>("effect-agents/copilot/CopilotError/RuntimeExited")({
  _tag: Schema.tag("RuntimeExited"),
  exitCode: Schema.optional(Schema.Int),
  signal: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const how = this.signal !== undefined
      ? `was ended by ${this.signal}`
      : this.exitCode !== undefined
      ? `exited with code ${this.exitCode}`
      : "closed its connection"
    return `the Copilot runtime ${how}`
  }
}

/**
 * The runtime does not know the session that a run should continue. Nothing was asked.
 *
 * @category errors
 * @since 0.1.0
 */
export class SessionNotFound extends Schema.Error<SessionNotFound>(
  "effect-agents/copilot/CopilotError/SessionNotFound"
)({
  _tag: Schema.tag("SessionNotFound"),
  sessionId: Schema.String
}) {
  override get message(): string {
    return `the Copilot runtime has no session \`${this.sessionId}\``
  }
}

/**
 * The runtime refused a request, or it cannot use the options of the agent.
 *
 * @category errors
 * @since 0.1.0
 */
export class RequestRejected extends Schema.Error<RequestRejected>(
  "effect-agents/copilot/CopilotError/RequestRejected"
)({
  _tag: Schema.tag("RequestRejected"),
  operation: Schema.String,
  description: Schema.String,
  cause: Schema.optional(Schema.Defect())
}) {
  override get message(): string {
    return `\`${this.operation}\` was rejected: ${this.description}`
  }
}

/**
 * The model that the runtime called has failed. `kind` is the runtime's own word (`"authentication"`, `"rate_limit"`,
 * `"quota"`, `"context_limit"`, `"query"`, ...; `"transport"` when the connection broke, `"api"` when the provider
 * answered with an error). `detail` is the text of the provider.
 *
 * @category errors
 * @since 0.1.0
 */
export class ModelFailed extends Schema.Error<ModelFailed>("effect-agents/copilot/CopilotError/ModelFailed")({
  _tag: Schema.tag("ModelFailed"),
  kind: Schema.String,
  description: Schema.String,
  statusCode: Schema.optional(Schema.Int),
  detail: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const detail = this.detail === undefined ? "" : ` (${this.detail})`
    return `the model failed: ${this.description}${detail}`
  }
}

/**
 * The work of the runtime for this run was stopped by something other than the run.
 *
 * @category errors
 * @since 0.1.0
 */
export class WorkStopped extends Schema.Error<WorkStopped>("effect-agents/copilot/CopilotError/WorkStopped")({
  _tag: Schema.tag("WorkStopped"),
  description: Schema.String
}) {
  override get message(): string {
    return `the Copilot runtime stopped its work: ${this.description}`
  }
}

/**
 * @category errors
 * @since 0.1.0
 */
export type CopilotErrorReason =
  | RuntimeUnavailable
  | RuntimeExited
  | SessionNotFound
  | RequestRejected
  | ModelFailed
  | WorkStopped

/**
 * @category errors
 * @since 0.1.0
 */
export const CopilotErrorReason: Schema.Union<[
  typeof RuntimeUnavailable,
  typeof RuntimeExited,
  typeof SessionNotFound,
  typeof RequestRejected,
  typeof ModelFailed,
  typeof WorkStopped
]> = Schema.Union([RuntimeUnavailable, RuntimeExited, SessionNotFound, RequestRejected, ModelFailed, WorkStopped])

/**
 * A failure of the Copilot runtime, or of something that it uses.
 *
 * Catch it by its tag, or one of its reasons with `Effect.catchReason("CopilotError", "RuntimeExited", ...)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class CopilotError extends Schema.Error<CopilotError>(TypeId)({
  _tag: Schema.tag("CopilotError"),
  reason: CopilotErrorReason
}) {
  /**
   * Marks a value as a Copilot error, for guards at run time.
   *
   * @since 0.1.0
   */
  readonly [TypeId]: TypeId = TypeId

  override get message(): string {
    return this.reason.message
  }
}

/**
 * Returns whether a value is a `CopilotError`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCopilotError = (u: unknown): u is CopilotError =>
  Predicate.isError(u) && Predicate.hasProperty(u, TypeId)

/**
 * Creates a `CopilotError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (reason: CopilotErrorReason): CopilotError => new CopilotError({ reason })

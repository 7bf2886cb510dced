/**
 * The errors that this package adds to a run.
 *
 * `AgentError` is the error, and its `reason` says what happened. The failures of models, tools and providers keep
 * their own types and stand beside it in `E`.
 *
 * **Example** (Catching one reason)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const program = Agent.run(Agent.make("assistant"), { prompt: "" }).pipe(
 *   Effect.catchReason("AgentError", "InvalidPrompt", (reason) => Console.log(`not sent: ${reason.message}`))
 * )
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer([])))
 * // => not sent: Invalid prompt: there is nothing but white space in its messages
 * ```
 *
 * @since 0.1.0
 */

import type * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import * as AgentRun from "./AgentRun.ts"
import * as Describe from "./internal/words/describe.ts"

/**
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId: TypeId = "~effect-agents/AgentError"

/**
 * @category type IDs
 * @since 0.1.0
 */
export type TypeId = "~effect-agents/AgentError"

/**
 * The prompt of a run could not be read, or it was empty.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidPrompt extends Schema.Error<InvalidPrompt>("effect-agents/AgentError/InvalidPrompt")({
  _tag: Schema.tag("InvalidPrompt"),
  description: Schema.String
}) {
  override get message(): string {
    return `Invalid prompt: ${this.description}`
  }
}

/**
 * The run was given a session id that is reserved for the agent of a tool (`AgentTool.ownSession`).
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidSession extends Schema.Error<InvalidSession>("effect-agents/AgentError/InvalidSession")({
  _tag: Schema.tag("InvalidSession"),
  session: Schema.String
}) {
  override get message(): string {
    return `The session \`${this.session}\` is kept for the agent of a tool: no other run may have it`
  }
}

/**
 * `Agent.continue` found no message that needs an answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class NothingToContinue extends Schema.Error<NothingToContinue>("effect-agents/AgentError/NothingToContinue")({
  _tag: Schema.tag("NothingToContinue"),
  description: Schema.String
}) {
  override get message(): string {
    return `There is nothing to continue: ${this.description}`
  }
}

/**
 * A critical `afterRun` failed, died, or exceeded its time limit. The model had finished: `result` is the complete
 * result of the run. `cause` is the provider's own.
 *
 * @category errors
 * @since 0.1.0
 */
export class AfterRunFailed extends Schema.Error<AfterRunFailed>("effect-agents/AgentError/AfterRunFailed")({
  _tag: Schema.tag("AfterRunFailed"),
  provider: Schema.String,
  // the schema leaves out a value that is `undefined`; the type does not
  result: AgentRun.Result as Schema.Codec<AgentRun.Result, typeof AgentRun.Result.Encoded>,
  cause: Schema.Defect()
}) {
  override get message(): string {
    const detail = Predicate.isError(this.cause) ? `: ${this.cause.message}` : ""
    return `The \`afterRun\` of context provider \`${this.provider}\` failed${detail}`
  }
}

/**
 * A `StopCondition` made with `StopCondition.orFail` held.
 *
 * @category errors
 * @since 0.1.0
 */
export class LimitReached extends Schema.Error<LimitReached>("effect-agents/AgentError/LimitReached")({
  _tag: Schema.tag("LimitReached"),
  limit: Schema.String,
  steps: Schema.Array(AgentRun.Step),
  usage: AgentRun.Usage
}) {
  override get message(): string {
    return `The run reached its limit \`${this.limit}\` after ${this.steps.length} steps`
  }
}

/**
 * Two tools of one run have the same name: one of the agent and one that a context provider contributed, or two
 * contributed ones.
 *
 * @category errors
 * @since 0.1.0
 */
export class DuplicateTool extends Schema.Error<DuplicateTool>("effect-agents/AgentError/DuplicateTool")({
  _tag: Schema.tag("DuplicateTool"),
  tool: Schema.String,
  provider: Schema.String
}) {
  override get message(): string {
    return `Context provider \`${this.provider}\` contributes tool \`${this.tool}\`, which the run already has`
  }
}

/**
 * A tool of the run cannot be offered to a model: its parameters are not an object, or its schemas have no JSON form.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidTool extends Schema.Error<InvalidTool>("effect-agents/AgentError/InvalidTool")({
  _tag: Schema.tag("InvalidTool"),
  tool: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `Tool \`${this.tool}\` cannot be offered to a model: ${this.description}`
  }
}

/**
 * Agents called agents deeper than `AgentTool.MaximumDepth` allows. The agent named in the error was not run.
 *
 * @category errors
 * @since 0.1.0
 */
export class DepthExceeded extends Schema.Error<DepthExceeded>("effect-agents/AgentError/DepthExceeded")({
  _tag: Schema.tag("DepthExceeded"),
  maximum: Schema.Finite
}) {
  override get message(): string {
    return `The agent was not run: agents may call agents no more than ${this.maximum} deep`
  }
}

/**
 * The model gave no final answer that decodes, and no corrections are left.
 *
 * `issues` say what is wrong and where in its last answer. `raw` is that answer as the model wrote it. `usage` is what
 * the run has used.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOutput extends Schema.Error<InvalidOutput>("effect-agents/AgentError/InvalidOutput")({
  _tag: Schema.tag("InvalidOutput"),
  issues: Schema.Array(Schema.Struct({
    path: Schema.Array(Schema.Union([Schema.String, Schema.Finite])),
    message: Schema.String
  })),
  raw: Schema.String,
  steps: Schema.Array(AgentRun.Step),
  usage: AgentRun.Usage
}) {
  override get message(): string {
    const issues = this.issues.map(({ message, path }) =>
      path.length === 0 ? message : `${message} at ${path.join(".")}`
    )
    return `The model gave no valid output: ${issues.join("; ")}`
  }
}

/**
 * A run of an agent with an `output` had to end without a value, and the agent does not allow that
 * (`AgentOutput.orWaiting` does). The call that waited for an approval was not run.
 *
 * An agent that is called as a tool outside of a run also fails with this error when it has to wait: there is nobody to
 * ask.
 *
 * - `stopReason`: the stop reason with which the run would have completed.
 * - `tool`: the first tool that waits for an approval, if there is one.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoValue extends Schema.Error<NoValue>("effect-agents/AgentError/NoValue")({
  _tag: Schema.tag("NoValue"),
  stopReason: Schema.Literals(["approval-required", "steered"]),
  tool: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const why = this.tool === undefined
      ? "Another run has taken the prompt of this one"
      : `The call of tool \`${this.tool}\` waits for an approval`
    return `${why}, so that the run has no value. Write \`output: AgentOutput.orWaiting(...)\` to let it end so`
  }
}

/**
 * An answer to an approval was rejected. Nothing was run, and no answer was kept.
 *
 * - `unknown`: nobody has asked for it: neither the session, nor a result that a run of this process gave, nor a sealed
 *   result.
 * - `changed`: it was requested for another tool or for other parameters.
 * - `answered`: it already has an answer.
 * - `expired`: the conversation went on without an answer.
 * - `ambiguous`: more than one call waits under its id.
 * - `invalid`: the edited parameters do not decode.
 * - `unsupported`: the agent never asks for approvals.
 *
 * @category errors
 * @since 0.1.0
 */
export class ApprovalRejected extends Schema.Error<ApprovalRejected>("effect-agents/AgentError/ApprovalRejected")({
  _tag: Schema.tag("ApprovalRejected"),
  approvalId: Schema.String,
  problem: Schema.Literals(["unknown", "changed", "answered", "expired", "ambiguous", "invalid", "unsupported"]),
  description: Schema.optional(Schema.String)
}) {
  override get message(): string {
    const detail = this.description === undefined ? "" : ` (${this.description})`
    return `The answer to approval \`${this.approvalId}\` was rejected: ${this.problem}${detail}`
  }
}

/**
 * A program that was run again did not repeat a call that was approved. The call was not run.
 *
 * @category errors
 * @since 0.1.0
 */
export class CallNotRepeated extends Schema.Error<CallNotRepeated>("effect-agents/AgentError/CallNotRepeated")({
  _tag: Schema.tag("CallNotRepeated"),
  tool: Schema.String,
  toolCallId: Schema.String
}) {
  override get message(): string {
    return `The call \`${this.toolCallId}\` of \`${this.tool}\` was approved, but the program does not make it any more`
  }
}

/**
 * A record of the run's journal cannot be used: it cannot be read, it belongs to another call, or it could not be
 * written because a value has no JSON form. See `Journal`. The run repeats nothing until the record is mended.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRecord extends Schema.Error<InvalidRecord>("effect-agents/AgentError/InvalidRecord")({
  _tag: Schema.tag("InvalidRecord"),
  record: Schema.String,
  description: Schema.String
}) {
  override get message(): string {
    return `Record \`${this.record}\` of the journal: ${this.description}`
  }
}

/**
 * @category errors
 * @since 0.1.0
 */
export type AgentErrorReason =
  | InvalidPrompt
  | InvalidSession
  | NothingToContinue
  | AfterRunFailed
  | LimitReached
  | DuplicateTool
  | InvalidTool
  | DepthExceeded
  | InvalidOutput
  | NoValue
  | CallNotRepeated
  | ApprovalRejected
  | InvalidRecord

/**
 * @category errors
 * @since 0.1.0
 */
export const AgentErrorReason: Schema.Union<[
  typeof InvalidPrompt,
  typeof InvalidSession,
  typeof NothingToContinue,
  typeof AfterRunFailed,
  typeof LimitReached,
  typeof DuplicateTool,
  typeof InvalidTool,
  typeof DepthExceeded,
  typeof InvalidOutput,
  typeof NoValue,
  typeof CallNotRepeated,
  typeof ApprovalRejected,
  typeof InvalidRecord
]> = Schema.Union([
  InvalidPrompt,
  InvalidSession,
  NothingToContinue,
  AfterRunFailed,
  LimitReached,
  DuplicateTool,
  InvalidTool,
  DepthExceeded,
  InvalidOutput,
  NoValue,
  CallNotRepeated,
  ApprovalRejected,
  InvalidRecord
])

/**
 * A failure of a run that comes from neither the model, nor a tool, nor a provider.
 *
 * Catch it by its tag, or one of its reasons with `Effect.catchReason("AgentError", "AfterRunFailed", ...)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class AgentError extends Schema.Error<AgentError>(TypeId)({
  _tag: Schema.tag("AgentError"),
  agent: Schema.String,
  reason: AgentErrorReason
}) {
  /**
   * Marks a value as an agent error, for guards at run time.
   *
   * @since 0.1.0
   */
  readonly [TypeId]: TypeId = TypeId

  override get message(): string {
    return `Agent \`${this.agent}\`: ${this.reason.message}`
  }
}

/**
 * Returns whether a value is an `AgentError`.
 *
 * @category guards
 * @since 0.1.0
 */
export const isAgentError = (u: unknown): u is AgentError => Predicate.isError(u) && Predicate.hasProperty(u, TypeId)

/**
 * Creates an `AgentError`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (agent: string, reason: AgentErrorReason): AgentError => new AgentError({ agent, reason })

/**
 * Schema for the public description of a failure.
 *
 * @category models
 * @since 0.1.0
 */
export const Description = Schema.Struct({
  code: Schema.String,
  message: Schema.String,
  retryable: Schema.Boolean,
  status: Schema.Int
})

/**
 * The description of a failure that a server may show to a user, who must not learn anything about its inside.
 *
 * - `code`: what went wrong, for a program: `"rate-limited"`, `"session-conflict"`, ...
 * - `message`: what went wrong, as a sentence for a person.
 * - `retryable`: whether the same request may succeed later.
 * - `status`: the HTTP status to answer with. 499 means that the client went away.
 *
 * @category models
 * @since 0.1.0
 */
export interface Description extends Schema.Schema.Type<typeof Description> {}

/**
 * Returns the public description of a failure. It knows the failures of this package, those of `effect/ai`, and
 * `TimeoutError`.
 *
 * Every code and message is a fixed text. Nothing of the failure is in it: not its message, and no tool, argument, key
 * or path.
 *
 * **Details**
 *
 * - A defect is `"internal"`, even if there is an expected failure beside it.
 * - Your own failures, of tools and providers, are `"failed"`, because even a tag may say too much. If a client should
 *   know more, handle them before this.
 * - Interruption without a failure is `"interrupted"`.
 * - Otherwise the first failure in the cause decides.
 *
 * **Example** (What a server answers)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent, AgentError } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const program = Agent.run(Agent.make("assistant"), { prompt: " " }).pipe(
 *   Effect.catchCause((cause) => {
 *     const { code, message, status } = AgentError.describe(cause)
 *     return Console.log(status, code, message)
 *   })
 * )
 *
 * Effect.runPromise(Effect.provide(program, ScriptedModel.layer([])))
 * // => 400 invalid-prompt The prompt could not be read, or it is empty.
 * ```
 *
 * @category accessors
 * @since 0.1.0
 */
export const describe: (cause: Cause.Cause<unknown>) => Description = Describe.describe

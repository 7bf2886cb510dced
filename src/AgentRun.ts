/**
 * The words of an agent run: the parts it streams, the steps it takes, the
 * result it ends with, and the four ways in which it can end.
 *
 * A run is a `Stream` of `Part`s. Its end is a value: an `Exit` whose success is
 * a `Result` and whose failure carries what there was until then. `outcome`
 * reads that `Exit`; nothing else decides how a run ended.
 *
 * @since 0.1.0
 */
import type * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import * as Cut from "./internal/words/cut.ts"
import * as Fold from "./internal/words/fold.ts"
import * as Results from "./internal/words/result.ts"
import * as UsageSum from "./internal/words/usage.ts"
import type * as Approval from "./Approval.ts"

// -----------------------------------------------------------------------------
// Usage
// -----------------------------------------------------------------------------

/**
 * Tokens as the providers reported them. A field is `undefined` until a model
 * call reported it.
 *
 * @category models
 * @since 0.1.0
 */
export const Usage = Results.Usage

/**
 * @category models
 * @since 0.1.0
 */
export type Usage = typeof Usage.Type

/**
 * The usage of no model call.
 *
 * @category models
 * @since 0.1.0
 */
export const emptyUsage: Usage = UsageSum.empty

/**
 * Returns the sum of two usages. What neither reports stays `undefined`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const addUsage: (self: Usage, that: Usage) => Usage = UsageSum.add

// -----------------------------------------------------------------------------
// Steps and results
// -----------------------------------------------------------------------------

/**
 * A tool call of a finished step, and how it ended.
 *
 * `executed` is false when the handler never ran: an unknown tool, parameters
 * that did not decode, a limit that was reached, an incomplete finish, or a tool
 * that the provider executed itself.
 *
 * @category models
 * @since 0.1.0
 */
export const ToolCall = Results.ToolCall

/**
 * @category models
 * @since 0.1.0
 */
export type ToolCall = typeof ToolCall.Type

/**
 * One finished model call and the tool calls it asked for. `index` counts from 0.
 * `provider` and `model` are who answered, as far as that is known.
 *
 * @category models
 * @since 0.1.0
 */
export const Step = Results.Step

/**
 * @category models
 * @since 0.1.0
 */
export type Step = typeof Step.Type

/**
 * Why a completed run stopped: the model's own finish reason (`"stop"`,
 * `"length"`, `"content-filter"`, ...) when it asked for no tools, otherwise the
 * name of the `StopCondition` that held, `"output"` when it gave its final answer,
 * `"stopped"` when the caller asked it to stop, `"approval-required"` when tool calls
 * of its last step wait for an approval, or `"steered"` when another run on its session
 * has taken its prompt (`whenHeld` of `SessionHistory`): then it has no steps.
 *
 * @category models
 * @since 0.1.0
 */
export type StopReason =
  | Response.FinishReason
  | "step-limit"
  | "tool-call-limit"
  | "tool-error-limit"
  | "token-limit"
  | "duration-limit"
  | "tool-called"
  | "output"
  | "stopped"
  | "approval-required"
  | "steered"
  | (string & {})

/**
 * What a completed run gives.
 *
 * - `runId`: the id of the run.
 * - `text`: the text of the last step; empty when there was none.
 * - `value`: the decoded answer of an agent with an `output`; otherwise undefined.
 * - `usage`: the sum of this run's own model calls.
 * - `totalUsage`: `usage` and that of the runs nested in this one.
 * - `steps`: every finished step, in order.
 * - `transcript`: this run's messages from its prompt on, without loaded history
 *   and without the system message. Every tool call in it has a result, or waits for
 *   one of the `approvals`.
 * - `approvals`: what a run that stopped with `"approval-required"` waits for. It has no `value`,
 *   nor has one that was `"steered"`: see `AgentOutput.orWaiting`.
 * - `seal`: what `ApprovalSeal.seal` has put there, for a result that comes back from a
 *   client.
 *
 * @category models
 * @since 0.1.0
 */
export const Result = Results.Result

/**
 * What a completed run gives; `A` is the type of its `value`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result<out A = unknown> extends Schema.Schema.Type<typeof Result> {
  readonly value: A
}

// -----------------------------------------------------------------------------
// Parts
// -----------------------------------------------------------------------------

/**
 * The first part: every `beforeRun` has succeeded, no model was called yet.
 *
 * `parentRunId` is the id of the run that has called this one in a tool, if one has.
 *
 * @category parts
 * @since 0.1.0
 */
export interface RunStart {
  readonly type: "run-start"
  readonly agent: string
  readonly runId: string
  readonly parentRunId?: string | undefined
  readonly session: string | undefined
}

/**
 * A step begins; its model call is made when the next part is pulled.
 *
 * @category parts
 * @since 0.1.0
 */
export interface StepStart {
  readonly type: "step-start"
  readonly index: number
}

/**
 * A step has finished: its model call and all its tool calls.
 *
 * @category parts
 * @since 0.1.0
 */
export interface StepEnd {
  readonly type: "step-end"
  readonly step: Step
}

/**
 * The last part, and the receipt of the run: every critical `afterRun` has
 * succeeded, everything was saved.
 *
 * @category parts
 * @since 0.1.0
 */
export interface RunEnd<out A = unknown> {
  readonly type: "run-end"
  readonly result: Result<A>
}

/**
 * A message that came while the run worked is now part of its transcript, and the next model call reads it. It was sent
 * with `Steering`, or it is the prompt of a run that waited for the session (`whenHeld` of `SessionHistory`).
 *
 * @category parts
 * @since 0.1.0
 */
export interface SteeringMessage {
  readonly type: "steering"
  readonly message: Prompt.UserMessage
}

/**
 * A call waits for an approval: one of the run, of a run nested in it, or of the provider. What is asked for is in
 * `approval`, as in the result. A request without one waits for nothing: a model has said it about a call of the run.
 *
 * The request of a nested run comes twice: as an `agent-part`, and from the run that called it, which is to be answered.
 *
 * @category parts
 * @since 0.1.0
 */
export interface ApprovalRequest extends Response.ToolApprovalRequestPart {
  readonly approval?: Approval.Approval | undefined
}

/**
 * What there is of the final answer of an agent with an `output` while the model
 * writes it: parsed from the JSON that has come so far, neither decoded nor checked.
 *
 * A later one replaces an earlier one. A string may still grow; a number and a
 * literal are whole. An answer that is rejected has had its partial values too.
 *
 * @category parts
 * @since 0.1.0
 */
export interface OutputPartial<out P = unknown> {
  readonly type: "output-partial"
  readonly value: P
}

/**
 * A result that no handler gave: the model's mistake, a limit, a timeout, or an
 * interruption. `encodedResult` is what the model reads.
 *
 * @category parts
 * @since 0.1.0
 */
export type SynthesizedToolResult = Response.ToolResultFailure<
  string,
  AiError.AiError | typeof Tool.ExecutionFailure.Type
>

/**
 * A part of the run of an agent that this run calls as a tool.
 *
 * `path` are the names of the agents from the one that this run has called to the
 * one whose part it is. `toolCallId` is the call that runs the last of them: its
 * `tool-call` came before, in this run or in the run of the agent before it. `runId` is
 * the run whose part it is, `parentRunId` the run that has called it.
 *
 * @category parts
 * @since 0.1.0
 */
export interface AgentPart {
  readonly type: "agent-part"
  readonly path: readonly [string, ...Array<string>]
  readonly toolCallId: string
  readonly runId: string
  readonly parentRunId: string
  readonly part: Exclude<Part, AgentPart>
}

/**
 * One element of a run's stream, told apart by `type`: effect/ai's stream parts,
 * those of a run, and the parts of the runs nested in it.
 *
 * The order is `run-start`, then for each step `step-start`, its `steering` messages, the model's parts,
 * its `tool-result`s and `agent-part`s as they come, `step-end`; at last `run-end`.
 * `A` is the type of the result's `value`, `P` that of its partial values.
 *
 * **Details**
 *
 * The id of a tool call is unique in its step, and the id of a text or of a reasoning from its start to its end. Across
 * steps, and across runs nested in one another, they are told apart by the `runId` of the run (that of its `run-start`,
 * or of the `agent-part`), the `index` of the step (that of the last `step-start` of this run), and the id.
 *
 * The `params` of a `tool-call` are unknown, also with a known `name`: the model wrote them, and nobody has decoded them
 * yet. A `tool-result` with a name of the toolkit that is no failure has the result of that tool.
 *
 * @category parts
 * @since 0.1.0
 */
export type Part<Tools extends Record<string, Tool.Any> = any, A = unknown, P = unknown> =
  | Exclude<Response.StreamPart<Tools, "deferred">, Response.ToolApprovalRequestPart>
  | ApprovalRequest
  | SynthesizedToolResult
  | RunStart
  | StepStart
  | SteeringMessage
  | StepEnd
  | RunEnd<A>
  | OutputPartial<P>
  | AgentPart

export {
  /**
   * A part as JSON. Its `type` is that of the part.
   *
   * @category parts
   * @since 0.1.0
   */
  type PartEncoded,
  /**
   * Creates the codec of the parts of a run, to JSON and back. It is a schema, for `Schema.encodeEffect`,
   * `Schema.fromJsonString`, an RPC or an HTTP API.
   *
   * With a toolkit the parts have its types, and results are decoded with the schemas of its tools. With an `output`, as
   * the agent has it, so is the `value` of the result. Without them a result is its `encodedResult`, and the value is
   * JSON: a date is a string.
   *
   * **Details**
   *
   * - Of the result of a tool only the `encodedResult` is sent, never the `result` itself.
   * - Empty metadata and false flags are left out. What a `finish` part knows of the HTTP response, its status and
   *   headers, is left out too, and so are headers, bodies and causes in the error of a provider.
   * - A result that a guardrail or a middleware has put in place of another is its `encodedResult` when the schema of
   *   the tool does not decode it.
   * - A part of an unknown type, which a newer version may send, does not decode. Look at `type` before to skip it.
   *
   * @category schemas
   * @since 0.1.0
   */
  parts
} from "./internal/wire/parts.ts"

// -----------------------------------------------------------------------------
// Outcomes
// -----------------------------------------------------------------------------

export type {
  /**
   * The consumer stopped pulling.
   *
   * @category outcomes
   * @since 0.1.0
   */
  Abandoned,
  /**
   * Every step and every critical `afterRun` succeeded.
   *
   * @category outcomes
   * @since 0.1.0
   */
  Completed,
  /**
   * The run failed or died.
   *
   * @category outcomes
   * @since 0.1.0
   */
  Failed,
  /**
   * The fiber that ran it was interrupted.
   *
   * @category outcomes
   * @since 0.1.0
   */
  Interrupted,
  /**
   * How a run ended.
   *
   * @category outcomes
   * @since 0.1.0
   */
  Outcome,
  /**
   * What there is of a run that did not complete.
   *
   * @category outcomes
   * @since 0.1.0
   */
  Partial
} from "./internal/words/outcome.ts"

export {
  /**
   * Annotation that tells an abandoned run from an interrupted one.
   *
   * @category outcomes
   * @since 0.1.0
   */
  AbandonedRun,
  /**
   * Adds a finalizer to the scope that a provider's `beforeRun` runs in. It is called
   * once, however the run ends, with the `Exit` of the run, after those added later
   * and before the consumer goes on.
   *
   * `Effect.addFinalizer` does the same; this one knows the type of the `Exit`.
   *
   * @category outcomes
   * @since 0.1.0
   */
  addFinalizer,
  /**
   * Returns whether a run that did not complete goes on elsewhere: it has a `Journal`, and its process hands it over.
   * What a finalizer would do for a run that has ended is then left to the next attempt.
   *
   * @category outcomes
   * @since 0.1.0
   */
  isSuspended,
  /**
   * Folds the four outcomes of a run into one value.
   *
   * @category outcomes
   * @since 0.1.0
   */
  matchOutcome,
  /**
   * Tells how a run ended from the `Exit` that its finalizers receive, or from that of `Agent.run`. In the `Exit` of a
   * fiber that was interrupted itself `partial` is empty, be it of `Agent.run` or of who consumes `Agent.stream`: a
   * finalizer of the run has all of it.
   *
   * @category outcomes
   * @since 0.1.0
   */
  outcome,
  /**
   * Annotation of the cause of every run that did not complete.
   *
   * @category outcomes
   * @since 0.1.0
   */
  PartialResult,
  /**
   * Annotation of the cause of a run that goes on elsewhere.
   *
   * @category outcomes
   * @since 0.1.0
   */
  SuspendedRun,
  /**
   * Returns the `Exit` that stands for an outcome; the inverse of `outcome`.
   *
   * @category outcomes
   * @since 0.1.0
   */
  toExit
} from "./internal/words/outcome.ts"

/**
 * Returns whether a message belongs to a step that did not end: its run failed, was
 * interrupted or was abandoned in it. The mark is in the `options` of the message, under
 * `"effect-agents/AgentRun"`, and survives JSON. It changes nothing: it is for whoever
 * shows the conversation.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCut: (message: Prompt.Message) => boolean = Cut.isCut

// -----------------------------------------------------------------------------
// Running
// -----------------------------------------------------------------------------

/**
 * The time that each of these may take before it is interrupted and recorded: an
 * `afterRun`, each finalizer of a provider, the end of a model stream, the end of
 * the running tools. Default: 10 seconds.
 *
 * @category references
 * @since 0.1.0
 */
export const FinalizationBudget = Context.Reference<Duration.Input>("effect-agents/AgentRun/FinalizationBudget", {
  defaultValue: () => "10 seconds"
})

/**
 * Runs a stream of parts to its end and returns the result of its `run-end`.
 *
 * A stream that ends without a `run-end` breaks the contract of a run: a defect.
 *
 * @category running
 * @since 0.1.0
 */
export const fold: <E, R, A = unknown>(
  stream: Stream.Stream<Part<any, A>, E, R>
) => Effect.Effect<Result<A>, E, R> = Fold.fold

/**
 * The vocabulary of an agent run: the parts that it streams, its steps, its result, and the four ways in which it can
 * end.
 *
 * A run is a `Stream` of `Part`s. It ends with an `Exit`: the success is a `Result`, and the cause of a failure carries
 * what the run had done until then. `outcome` reads that `Exit`, and nothing else decides how a run ended.
 *
 * **Example** (How a run ended)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent, AgentRun } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const run = Agent.run(Agent.make("assistant"), { prompt: "Hello?" })
 *
 * const program = Effect.flatMap(Effect.exit(run), (exit) => {
 *   const outcome = AgentRun.outcome(exit)
 *   return outcome._tag === "Completed"
 *     ? Console.log(outcome.result.text, outcome.result.stopReason)
 *     : Console.log(outcome._tag, outcome.partial.steps.length)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Hello!")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => Hello! stop
 * ```
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

/**
 * The number of tokens, as the providers reported them. A field is `undefined` until a model call has reported it.
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
 * The usage of zero model calls.
 *
 * @category models
 * @since 0.1.0
 */
export const emptyUsage: Usage = UsageSum.empty

/**
 * Returns the sum of two usages. A field that neither of them reports stays `undefined`.
 *
 * @category combinators
 * @since 0.1.0
 */
export const addUsage: (self: Usage, that: Usage) => Usage = UsageSum.add

/**
 * A tool call of a finished step, and how it ended.
 *
 * `executed` is false when no handler ran: the tool is unknown, the parameters did not decode, a limit was reached, the
 * model's answer was incomplete, or the provider executed the tool itself.
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
 * One finished model call and the tool calls that it asked for. `index` counts from 0. `provider` and `model` name who
 * answered, if that is known.
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
 * Why a completed run stopped:
 *
 * - the finish reason of the model (`"stop"`, `"length"`, `"content-filter"`, ...) if it asked for no tools,
 * - the name of the `StopCondition` that held,
 * - `"output"`: the model gave its final answer,
 * - `"stopped"`: the caller asked the run to stop,
 * - `"approval-required"`: tool calls of its last step wait for an approval,
 * - `"steered"`: another run on its session has taken its prompt (`whenHeld` of `SessionHistory`). The run has no
 *   steps.
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
 * The result of a completed run.
 *
 * - `runId`: the id of the run.
 * - `text`: the text of the last step, or `""` if it has none.
 * - `value`: the decoded answer of an agent with an `output`, otherwise `undefined`.
 * - `usage`: the sum of the run's own model calls.
 * - `totalUsage`: `usage` and the usage of all runs nested in this one.
 * - `steps`: every finished step, in order.
 * - `transcript`: the messages of this run, beginning with its prompt. Loaded history and the system message are not in
 *   it. Every tool call in it has a result or waits for one of the `approvals`.
 * - `approvals`: the approvals that a run with stop reason `"approval-required"` waits for. Such a run has no `value`,
 *   and neither has one that was `"steered"`: see `AgentOutput.orWaiting`.
 * - `seal`: the signature that `ApprovalSeal.seal` adds, for a result that a client sends back.
 *
 * @category models
 * @since 0.1.0
 */
export const Result = Results.Result

/**
 * The result of a completed run. `A` is the type of its `value`.
 *
 * @category models
 * @since 0.1.0
 */
export interface Result<out A = unknown> extends Schema.Schema.Type<typeof Result> {
  readonly value: A
}

/**
 * The first part. Every `beforeRun` has succeeded, and no model was called yet.
 *
 * `parentRunId` is the id of the run that called this one through a tool, if there is one.
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
 * A step begins. Its model call is made when the next part is pulled.
 *
 * With `restarted` the model call of this step begins again, because the process that made it has ended: what was told
 * of the step before does not count. Only the log of a durable execution has such a part.
 *
 * @category parts
 * @since 0.1.0
 */
export interface StepStart {
  readonly type: "step-start"
  readonly index: number
  readonly restarted?: true | undefined
}

/**
 * A step has finished: its model call and all of its tool calls.
 *
 * @category parts
 * @since 0.1.0
 */
export interface StepEnd {
  readonly type: "step-end"
  readonly step: Step
}

/**
 * The last part, and the receipt of the run: every critical `afterRun` has succeeded, and everything is saved.
 *
 * @category parts
 * @since 0.1.0
 */
export interface RunEnd<out A = unknown> {
  readonly type: "run-end"
  readonly result: Result<A>
}

/**
 * A message that arrived during the run is now part of the transcript, and the next model call reads it. `Steering`
 * sent it, or it is the prompt of a run that waited for the session (`whenHeld` of `SessionHistory`).
 *
 * @category parts
 * @since 0.1.0
 */
export interface SteeringMessage {
  readonly type: "steering"
  readonly message: Prompt.UserMessage
}

/**
 * A tool call waits for an approval. It is a call of this run, of a run nested in it, or of the provider. `approval`
 * holds the tool and its parameters, as in the result. A request without `approval` needs no answer: the model emitted
 * it for a call of the run.
 *
 * The request of a nested run comes twice: once as an `agent-part`, and once from the run that called the nested one.
 * Answer the second.
 *
 * @category parts
 * @since 0.1.0
 */
export interface ApprovalRequest extends Response.ToolApprovalRequestPart {
  readonly approval?: Approval.Approval | undefined
}

/**
 * The partial value of an agent's `output`, as far as the model has written it. It is parsed from incomplete JSON; it
 * is neither decoded nor checked.
 *
 * Each one replaces the one before. A string may still grow; a number or a literal is complete. Partial values also
 * come for an answer that is rejected afterwards.
 *
 * @category parts
 * @since 0.1.0
 */
export interface OutputPartial<out P = unknown> {
  readonly type: "output-partial"
  readonly value: P
}

/**
 * A tool result that no handler gave. The run makes it after a mistake of the model, a limit, a timeout or an
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
 * `path` lists the names of the agents from the one that this run called to the one that emitted the part. `toolCallId`
 * is the call that runs the last agent of `path`; its `tool-call` came before, in this run or in the run of the agent
 * before it in `path`. `runId` is the run that emitted the part, and `parentRunId` the run that called it.
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
 * One element of the stream of a run, distinguished by `type`. It is a stream part of effect/ai, a part that this
 * package adds, or a part of a nested run.
 *
 * The order is `run-start`; for each step `step-start`, its `steering` messages, the model's parts, its `tool-result`s
 * and `agent-part`s as they come, and `step-end`; at last `run-end`. `A` is the type of the result's `value`, and `P`
 * the type of its partial values.
 *
 * **Details**
 *
 * The id of a tool call is unique within its step. The id of a text or reasoning is unique from its start to its end.
 * To tell ids apart across steps and nested runs, use three values together: the `runId` (of `run-start` or
 * `agent-part`), the `index` of the step (of the last `step-start` of that run), and the id.
 *
 * The `params` of a `tool-call` are `unknown` even if its `name` is known, because the model wrote them and they are
 * not decoded yet (`decodeParams`). A `tool-result` that is no failure, and that has the name of a tool in the toolkit, has that tool's
 * type.
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
   * A part as JSON. Its `type` is the `type` of the part.
   *
   * @category parts
   * @since 0.1.0
   */
  type PartEncoded,
  /**
   * Creates the codec that turns the parts of a run into JSON and back. It is a schema: use it with
   * `Schema.encodeEffect`, `Schema.fromJsonString`, an RPC or an HTTP API.
   *
   * With a `toolkit` the parts have the types of its tools, and results are decoded with the tools' schemas. With the
   * `output` of the agent, the `value` of the result is decoded too; that of a nested run needs only the toolkit. Without
   * them a result is its `encodedResult` and the value is plain JSON, in which a date is a string.
   *
   * **Details**
   *
   * - Only the `encodedResult` of a tool result is sent, never the `result` itself.
   * - Empty metadata and false flags are left out. So are the status and headers of the HTTP response in a `finish`
   *   part, and the headers, bodies and causes in a provider's error.
   * - A result that a guardrail or middleware has replaced is decoded as its `encodedResult` when the tool's schema
   *   does not accept it.
   * - A part whose type is unknown, because a newer version sent it, does not decode. To skip such parts look at `type`
   *   first.
   *
   * @category schemas
   * @since 0.1.0
   */
  parts
} from "./internal/wire/parts.ts"
export * from "./internal/wire/typed.ts"

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
   * What a run that did not complete had done until then.
   *
   * @category outcomes
   * @since 0.1.0
   */
  Partial
} from "./internal/words/outcome.ts"

export {
  /**
   * Annotation of the cause of an abandoned run, which tells it from an interrupted one.
   *
   * @category outcomes
   * @since 0.1.0
   */
  AbandonedRun,
  /**
   * Adds a finalizer to the scope of a provider's `beforeRun`. It is called once, however the run ends, with the `Exit`
   * of the run. Finalizers run in reverse order of their addition, and before the consumer goes on.
   *
   * `Effect.addFinalizer` does the same, but does not know the type of the `Exit`.
   *
   * @category outcomes
   * @since 0.1.0
   */
  addFinalizer,
  /**
   * Returns whether a run that did not complete goes on elsewhere: it has a `Journal`, and its process hands it over. A
   * finalizer should then leave its work to the next attempt.
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
   * Tells how a run ended from the `Exit` that its finalizers receive, or from the `Exit` of `Agent.run`. `partial` is
   * empty in the `Exit` of a fiber that was itself interrupted, whether it ran `Agent.run` or consumed `Agent.stream`.
   * A finalizer of the run always has all of it.
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
 * Returns whether a message belongs to a step that did not end, because the run failed, was interrupted or was
 * abandoned. The mark is in the `options` of the message, under `"effect-agents/AgentRun"`, and survives JSON. It
 * changes nothing in a run; programs that show the conversation may use it.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCut: (message: Prompt.Message) => boolean = Cut.isCut

/**
 * The time limit for each of these: an `afterRun`, each finalizer of a provider, the end of a model stream, the end of
 * the running tools. One that takes longer is interrupted, and that is recorded. Default: 10 seconds.
 *
 * @category references
 * @since 0.1.0
 */
export const FinalizationBudget = Context.Reference<Duration.Input>("effect-agents/AgentRun/FinalizationBudget", {
  defaultValue: () => "10 seconds"
})

/**
 * Runs a stream of parts to its end, and returns the result in its `run-end`.
 *
 * A stream that ends without a `run-end` is a defect, because it breaks the contract of a run.
 *
 * @category running
 * @since 0.1.0
 */
export const fold: <E, R, A = unknown>(
  stream: Stream.Stream<Part<any, A>, E, R>
) => Effect.Effect<Result<A>, E, R> = Fold.fold

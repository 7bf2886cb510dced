/**
 * The interface between a run and telemetry: a span for the run, one for each model call, and one for each tool call.
 *
 * A run without an `Instrumentation` in its context calls nothing of it. All of it is synchronous and returns nothing
 * to the run, so telemetry cannot pull, force or repeat anything.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Response from "effect/ai/Response"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import type * as Tracer from "effect/Tracer"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"

/**
 * What is known about a run before it begins.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunInfo {
  readonly agent: string
  readonly runId: string
  readonly description: string | undefined
  readonly session: string | undefined
  /** Whether the agent runs outside this process. */
  readonly remote: boolean
  /** The provider and the model, if the agent itself knows them. */
  readonly provider?: string | undefined
  readonly model?: string | undefined
}

/**
 * Service that observes runs. `startRun` is called once, when the run begins, with the context of the run.
 *
 * @category services
 * @since 0.1.0
 */
export class Instrumentation extends Context.Service<Instrumentation, {
  readonly startRun: (info: RunInfo, context: Context.Context<never>) => RunSpan
}>()("effect-agents/AgentTelemetry") {}

/**
 * The span of a run. `context` is the context of the run with this span as the parent. `onInput` is called once, when
 * all providers have contributed and no guardrail can refuse the input any more; content before that is not written.
 * `end` is called once, with the outcome, after every finalizer.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunSpan {
  readonly context: Context.Context<never>
  readonly onInput: (instructions: string, messages: ReadonlyArray<Prompt.Message>) => void
  /** A guardrail has refused the input; this is shown instead. */
  readonly onRefused: (instructions: string, messages: ReadonlyArray<Prompt.Message>) => void
  readonly startModel: (request: Middleware.ModelRequest, begins: ModelBegins) => ModelSpan
  readonly startTool: (request: Middleware.ToolRequest) => ToolSpan
  /**
   * A finalizer or a best-effort `afterRun` failed, or took too long (then there is no cause). The run itself is not
   * affected.
   */
  readonly onFinalizerFailure: (name: string, cause: Cause.Cause<unknown> | undefined) => void
  readonly end: (outcome: AgentRun.Outcome) => void
  /** Whether content may be exported, also in logs. */
  readonly capturesContent: boolean
}

/**
 * When a model call begins.
 *
 * - `at-once`: no middleware is around it.
 * - `when-asked`: a middleware may answer without a model, and then there is no call.
 * - `unchecked`: like `when-asked`, and a guardrail may still refuse its prompt.
 *
 * @category models
 * @since 0.1.0
 */
export type ModelBegins = "at-once" | "when-asked" | "unchecked"

/**
 * The method of a model call's tracer that returns the tracer for a call in JSON mode. That is another method of the
 * model, but has the same span.
 *
 * @category models
 * @since 0.1.0
 */
export const AnswerTracer: unique symbol = Symbol("effect-agents/internal/AnswerTracer")

/**
 * @category models
 * @since 0.1.0
 */
export type ModelCallTracer = Tracer.Tracer & { readonly [AnswerTracer]?: () => Tracer.Tracer }

/**
 * The span of a model call, if there is one. The model stream is opened and pulled in `context`. `end` is called once:
 * with the step if the model finished, with a cause if it failed, and without an argument if the call was interrupted
 * or left.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelSpan {
  readonly context: Context.Context<never>
  /** The span that a provider may write on; `undefined` if no span was made. */
  readonly current: Tracer.Span | undefined
  /** A model is called in this context: that of the run, or one that a middleware has provided. */
  readonly onCall: (context: Context.Context<never>) => void
  readonly onParts: (parts: ReadonlyArray<Response.StreamPart<any, "deferred">>) => void
  /** The prompt of an `unchecked` call was accepted. */
  readonly onInput: (messages: ReadonlyArray<Prompt.Message>) => void
  /** A guardrail has refused the input; these messages are shown instead. */
  readonly onRefused: (messages: ReadonlyArray<Prompt.Message>) => void
  readonly end: (end: ModelEnd) => void
}

/**
 * How a model call ended. `content` is the output of the model.
 *
 * @category models
 * @since 0.1.0
 */
export type ModelEnd =
  | {
    readonly _tag: "Finished" | "Cancelled"
    readonly usage: AgentRun.Usage
    /** `undefined` until the model has given its finish reason. */
    readonly finishReason: Response.FinishReason | undefined
    readonly content: ReadonlyArray<Prompt.AssistantMessagePart>
  }
  | { readonly _tag: "Failed"; readonly cause: Cause.Cause<unknown>; readonly usage: AgentRun.Usage }

/**
 * The span of a tool call. The handler runs in `context`. `end` is called once: with the final result, with a cause, or
 * without an argument if the call was interrupted or left.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolSpan {
  readonly context: Context.Context<never>
  readonly end: (end: ToolEnd) => void
}

/**
 * How a tool call ended. A `Result` may itself be a failure that the model reads. `Waiting`: an agent that the tool has
 * called waits for an approval.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolEnd =
  | { readonly _tag: "Result"; readonly result: Middleware.ToolResult }
  | { readonly _tag: "Failed"; readonly cause: Cause.Cause<unknown> }
  | { readonly _tag: "Cancelled" }
  | { readonly _tag: "Waiting" }

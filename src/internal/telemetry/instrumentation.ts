/**
 * The questions that a run asks of telemetry: a span for itself, one for each
 * model call, one for each tool call.
 *
 * A run without an `Instrumentation` in its context asks nothing. Everything here
 * is synchronous and returns nothing to the run: telemetry cannot pull, force or
 * re-run any of it.
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
 * What is known of a run before it begins.
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
  /** Who runs it, and with which model, when the agent itself knows. */
  readonly provider?: string | undefined
  readonly model?: string | undefined
}

/**
 * Service that observes runs. `startRun` is called once, when the run begins,
 * with the context that the run captured.
 *
 * @category services
 * @since 0.1.0
 */
export class Instrumentation extends Context.Service<Instrumentation, {
  readonly startRun: (info: RunInfo, context: Context.Context<never>) => RunSpan
}>()("effect-agents/AgentTelemetry") {}

/**
 * The span of a run. `context` is the run's, with this span as the parent.
 * `onInput` is called once, when the run's providers have all contributed and no
 * guardrail may refuse the input any more. What is said before that is not written.
 * `end` is called once, with the outcome, after every finalizer.
 *
 * @category models
 * @since 0.1.0
 */
export interface RunSpan {
  readonly context: Context.Context<never>
  readonly onInput: (instructions: string, messages: ReadonlyArray<Prompt.Message>) => void
  /** A guardrail has refused the input: this takes its place. */
  readonly onRefused: (instructions: string, messages: ReadonlyArray<Prompt.Message>) => void
  readonly startModel: (request: Middleware.ModelRequest, begins: ModelBegins) => ModelSpan
  readonly startTool: (request: Middleware.ToolRequest) => ToolSpan
  /** A finalizer or a best-effort `afterRun` failed (or overran its budget: no cause). Nothing else changes. */
  readonly onFinalizerFailure: (name: string, cause: Cause.Cause<unknown> | undefined) => void
  readonly end: (outcome: AgentRun.Outcome) => void
  /** Whether what was said may be exported, also by a log. */
  readonly capturesContent: boolean
}

/**
 * When a model call begins.
 *
 * - `at-once`: nothing is around it.
 * - `when-asked`: middleware may answer without a model, and then there is no call.
 * - `unchecked`: so it is, and its prompt may still be refused.
 *
 * @category models
 * @since 0.1.0
 */
export type ModelBegins = "at-once" | "when-asked" | "unchecked"

/**
 * The method of the tracer of a model call that gives the tracer for a call that asks
 * for the answer of the run in JSON mode: another method of the model, and the same
 * span.
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
 * The span of a model call, when there is one. The model stream is opened and pulled in `context`.
 * `end` is called once: with the step when the model finished, with a cause when
 * it failed, with nothing when the call was cut short.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelSpan {
  readonly context: Context.Context<never>
  /** What a provider may write on; undefined when no span was made. */
  readonly current: Tracer.Span | undefined
  /** A model is called, in this context: that of the run, or another one that a middleware has provided. */
  readonly onCall: (context: Context.Context<never>) => void
  readonly onParts: (parts: ReadonlyArray<Response.StreamPart<any, "deferred">>) => void
  /** The prompt of an `unchecked` call was let through. */
  readonly onInput: (messages: ReadonlyArray<Prompt.Message>) => void
  /** A guardrail has refused the input: these messages take its place. */
  readonly onRefused: (messages: ReadonlyArray<Prompt.Message>) => void
  readonly end: (end: ModelEnd) => void
}

/**
 * How a model call ended. `content` is what the model said.
 *
 * @category models
 * @since 0.1.0
 */
export type ModelEnd =
  | {
    readonly _tag: "Finished" | "Cancelled"
    readonly usage: AgentRun.Usage
    /** Undefined until the model said why it finished. */
    readonly finishReason: Response.FinishReason | undefined
    readonly content: ReadonlyArray<Prompt.AssistantMessagePart>
  }
  | { readonly _tag: "Failed"; readonly cause: Cause.Cause<unknown>; readonly usage: AgentRun.Usage }

/**
 * The span of a tool call. `context` is what the handler runs in. `end` is called
 * once: with the final result, with a cause, or with nothing when it was cut short.
 *
 * @category models
 * @since 0.1.0
 */
export interface ToolSpan {
  readonly context: Context.Context<never>
  readonly end: (end: ToolEnd) => void
}

/**
 * How a tool call ended. A `Result` may itself be a failure that goes to the model.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolEnd =
  | { readonly _tag: "Result"; readonly result: Middleware.ToolResult }
  | { readonly _tag: "Failed"; readonly cause: Cause.Cause<unknown> }
  | { readonly _tag: "Cancelled" }

/**
 * A functional agent toolkit for Effect: an agent is an immutable value, running it is a `Stream` of parts, and the
 * finalizers of a run receive its `Exit`.
 *
 * Every module is also a subpath of its own, as in `effect-agents/Agent`. The subpaths `effect-agents/testing`,
 * `effect-agents/sqlite` and `effect-agents/otel` are not part of this barrel.
 *
 * @since 0.1.0
 */

/** @since 0.1.0 */
export * as Agent from "./Agent.ts"

/** @since 0.1.0 */
export * as AgentError from "./AgentError.ts"

/** @since 0.1.0 */
export * as AgentOutput from "./AgentOutput.ts"

/** @since 0.1.0 */
export * as AgentRun from "./AgentRun.ts"

/** @since 0.1.0 */
export * as AgentTelemetry from "./AgentTelemetry.ts"

/** @since 0.1.0 */
export * as AgentTool from "./AgentTool.ts"

/** @since 0.1.0 */
export * as Approval from "./Approval.ts"

/** @since 0.1.0 */
export * as ApprovalSeal from "./ApprovalSeal.ts"

/** @since 0.1.0 */
export * as Budget from "./Budget.ts"

/** @since 0.1.0 */
export * as BudgetAccount from "./BudgetAccount.ts"

/** @since 0.1.0 */
export * as BudgetStore from "./BudgetStore.ts"

/** @since 0.1.0 */
export * as Compaction from "./Compaction.ts"

/** @since 0.1.0 */
export * as ContextProvider from "./ContextProvider.ts"

/** @since 0.1.0 */
export * as DirectLanguageModel from "./DirectLanguageModel.ts"

/** @since 0.1.0 */
export * as Guardrail from "./Guardrail.ts"

/** @since 0.1.0 */
export * as Journal from "./Journal.ts"

/** @since 0.1.0 */
export * as Middleware from "./Middleware.ts"

/** @since 0.1.0 */
export * as ModelFallback from "./ModelFallback.ts"

/** @since 0.1.0 */
export * as Program from "./Program.ts"

/** @since 0.1.0 */
export * as Session from "./Session.ts"

/** @since 0.1.0 */
export * as SessionHistory from "./SessionHistory.ts"

/** @since 0.1.0 */
export * as SessionState from "./SessionState.ts"

/** @since 0.1.0 */
export * as SessionStore from "./SessionStore.ts"

/** @since 0.1.0 */
export * as Steering from "./Steering.ts"

/** @since 0.1.0 */
export * as StopCondition from "./StopCondition.ts"

/** @since 0.1.0 */
export * as ToolFailure from "./ToolFailure.ts"

/** @since 0.1.0 */
export * as ToolLoop from "./ToolLoop.ts"

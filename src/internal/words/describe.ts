/**
 * Public descriptions of failures.
 *
 * Every text is in this file. Nothing is copied from an error: its tags only choose an entry.
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import * as Cause from "effect/Cause"
import * as Predicate from "effect/Predicate"
import * as Result from "effect/Result"
import type * as AgentError from "../../AgentError.ts"
// one of the reasons of a failed run
import type * as Budget from "../../Budget.ts"
// one of the reasons of a failed run
import type * as Compaction from "../../Compaction.ts"
// one of the reasons of a failed run
import type * as Guardrail from "../../Guardrail.ts"
import type * as Program from "../../Program.ts"
import type * as Session from "../../Session.ts"
import type { JournalError } from "./journalError.ts"

const known = (code: string, status: number, retryable: boolean, message: string): AgentError.Description => ({
  code,
  message,
  retryable,
  status
})

const internal = known("internal", 500, false, "Something went wrong.")
const failed = known("failed", 500, false, "The run failed.")
const interrupted = known("interrupted", 499, true, "The run was stopped before it ended.")

const invalidPrompt = known("invalid-prompt", 400, false, "The prompt could not be read, or it is empty.")
const invalidOutput = known("invalid-output", 502, true, "The model gave no valid answer.")
const invalidCall = known("invalid-tool-call", 502, true, "The model called a tool wrongly.")
const misconfigured = known("misconfigured", 500, false, "The agent is not set up correctly.")
const modelFailed = known("model-failed", 502, false, "The model failed.")
const modelUnavailable = known("model-unavailable", 503, false, "The model is not available.")
const journalUnreadable = known("journal-unreadable", 500, false, "The records of the run cannot be read.")
const sessionUnreadable = known("session-unreadable", 500, false, "The stored conversation cannot be read.")
const toolFailed = known("tool-failed", 500, false, "A tool of the agent failed.")
const agentFailed = known("agent-failed", 502, false, "Another agent has failed.")
const unavailable = known("unavailable", 503, true, "The agent is not available now.")

const agentReasons: Record<Exclude<AgentError.AgentErrorReason["_tag"], "ApprovalRejected">, AgentError.Description> = {
  InvalidPrompt: invalidPrompt,
  InvalidSession: known("invalid-session", 400, false, "The session cannot be used for this run."),
  NothingToContinue: known(
    "nothing-to-continue",
    409,
    false,
    "The conversation has no message that needs an answer."
  ),
  AfterRunFailed: known("after-run-failed", 500, false, "The answer is complete, but the work after it failed."),
  LimitReached: known("limit-reached", 422, false, "The run reached a limit before it had an answer."),
  DuplicateTool: misconfigured,
  InvalidTool: misconfigured,
  DepthExceeded: known("depth-exceeded", 500, false, "Agents called agents too deeply."),
  InvalidOutput: invalidOutput,
  NoValue: misconfigured,
  CallNotRepeated: known("call-not-repeated", 409, false, "The agent does not make the approved call any more."),
  InvalidRecord: journalUnreadable
}

const approvalProblems: Record<AgentError.ApprovalRejected["problem"], AgentError.Description> = {
  unknown: known("approval-unknown", 404, false, "Nobody asked for this approval."),
  changed: known("approval-changed", 409, false, "The approval was asked for another call."),
  answered: known("approval-answered", 409, false, "The approval was answered before."),
  expired: known("approval-expired", 409, false, "The conversation went on without this approval."),
  ambiguous: known("approval-ambiguous", 409, false, "More than one call waits for this approval."),
  invalid: known("approval-invalid", 422, false, "The tool does not accept this answer."),
  unsupported: known("approval-unsupported", 400, false, "The agent asks for no approvals.")
}

/** Whether to retry is decided by `retryable` of the error itself. */
const modelReasons: Record<AiError.AiErrorReason["_tag"], AgentError.Description> = {
  RateLimitError: known("rate-limited", 429, true, "The model gets too many requests. Try again later."),
  QuotaExhaustedError: modelUnavailable,
  AuthenticationError: modelUnavailable,
  ContentPolicyError: known("content-refused", 422, false, "The model refused the content of the request."),
  InvalidRequestError: known("model-refused", 502, false, "The model did not accept the request."),
  InvalidResponseError: modelFailed,
  InternalProviderError: modelFailed,
  NetworkError: modelUnavailable,
  InvalidOutputError: invalidOutput,
  StructuredOutputError: invalidOutput,
  UnsupportedSchemaError: misconfigured,
  UnknownError: modelFailed,
  ToolNotFoundError: invalidCall,
  ToolParameterValidationError: invalidCall,
  InvalidToolResultError: toolFailed,
  ToolResultEncodingError: toolFailed,
  ToolConfigurationError: misconfigured,
  ToolkitRequiredError: misconfigured,
  InvalidUserInputError: invalidPrompt
}

const sessionReasons: Record<Session.SessionErrorReason["_tag"], AgentError.Description> = {
  SessionConflict: known("session-conflict", 409, true, "The conversation was changed elsewhere in the meantime."),
  SessionCursorInvalid: known("session-cursor-invalid", 400, false, "The list of conversations has no such page."),
  SessionInUse: known("session-in-use", 409, true, "Another run works on the conversation."),
  SessionRecordInvalid: sessionUnreadable,
  SessionStateInvalid: sessionUnreadable,
  SessionStoreUnavailable: unavailable,
  SessionVersionUnknown: known("session-version-unknown", 404, false, "The conversation has no such version.")
}

/** A subpath cannot be named here, not even as a type. The tests compare the tags. */
const copilotReasons: Readonly<Record<string, AgentError.Description>> = {
  RuntimeUnavailable: unavailable,
  RuntimeExited: unavailable,
  SessionNotFound: known("session-not-found", 404, false, "The conversation is not known."),
  RequestRejected: known("model-refused", 502, false, "The model did not accept the request."),
  ModelFailed: modelFailed,
  WorkStopped: known("work-stopped", 503, true, "The work was stopped from outside.")
}

/** The same for agents that are reached by the A2A protocol. */
const a2aReasons: Readonly<Record<string, AgentError.Description>> = {
  ConnectionLost: unavailable,
  RequestRefused: known("agent-refused", 502, false, "Another agent did not accept the request."),
  TaskFailed: agentFailed,
  InvalidResponse: agentFailed,
  InvalidInput: invalidPrompt
}

const others = {
  JournalError: journalUnreadable,
  BudgetExceeded: known("budget-exceeded", 429, false, "The budget of the run is used up."),
  GuardrailTripped: known("content-blocked", 422, false, "The content is not allowed here."),
  NotExecuted: known("not-executed", 403, false, "A call of the agent was denied or interrupted."),
  PromptTooLong: known("prompt-too-long", 413, false, "The conversation is too long for the model."),
  TimeoutError: known("timeout", 504, true, "The run did not end in time.")
} satisfies Record<
  | Budget.BudgetExceeded["_tag"]
  | Guardrail.GuardrailTripped["_tag"]
  | Compaction.PromptTooLong["_tag"]
  | Program.NotExecuted["_tag"]
  | Cause.TimeoutError["_tag"]
  | JournalError["_tag"],
  AgentError.Description
>

/**
 * Returns the public description of a cause.
 *
 * @category accessors
 * @since 0.1.0
 */
export const describe = (cause: Cause.Cause<unknown>): AgentError.Description => {
  // a defect may have left anything behind, so it takes precedence over an expected failure
  if (cause.reasons.some(Cause.isDieReason)) return internal
  const reason = cause.reasons.find(Cause.isFailReason)
  if (reason === undefined) return cause.reasons.length === 0 ? internal : interrupted
  // a failure is a value of the user, and reading it may throw
  return Result.getOrElse(Result.try(() => ofError(reason.error)), () => failed)
}

const ofError = (error: unknown): AgentError.Description => {
  const tag = tagOf(error)
  const reason = Predicate.hasProperty(error, "reason") ? error.reason : undefined
  switch (tag) {
    case "AiError": {
      const found = lookUp(modelReasons, tagOf(reason)) ?? modelFailed
      return { ...found, retryable: Predicate.hasProperty(error, "isRetryable") && error.isRetryable === true }
    }
    case "AgentError": {
      const problem = Predicate.hasProperty(reason, "problem") ? reason.problem : undefined
      return tagOf(reason) === "ApprovalRejected"
        ? lookUp(approvalProblems, problem) ?? failed
        : lookUp(agentReasons, tagOf(reason)) ?? failed
    }
    case "SessionError": {
      const found = lookUp(sessionReasons, tagOf(reason)) ?? failed
      // a caller that holds the session itself would hold it the next time too
      return found === sessionReasons.SessionInUse && Predicate.hasProperty(reason, "holder") &&
          reason.holder === "caller"
        ? { ...found, retryable: false }
        : found
    }
    case "CopilotError":
      return lookUp(copilotReasons, tagOf(reason)) ?? failed
    case "A2aError": {
      const found = lookUp(a2aReasons, tagOf(reason)) ?? failed
      return Predicate.hasProperty(reason, "retryable") && reason.retryable === true
        ? { ...found, retryable: true }
        : found
    }
    default:
      return lookUp(others, tag) ?? failed
  }
}

const tagOf = (u: unknown): unknown => Predicate.hasProperty(u, "_tag") ? u._tag : undefined

const lookUp = (
  table: Readonly<Record<string, AgentError.Description>>,
  key: unknown
): AgentError.Description | undefined => Predicate.isString(key) && Object.hasOwn(table, key) ? table[key] : undefined

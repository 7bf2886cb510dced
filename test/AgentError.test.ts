import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Exit, type Layer, Schema, Stream } from "effect"
import { AiError, type LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { Agent, AgentError, AgentRun, Budget, Compaction, ContextProvider, Guardrail, Session } from "../src/index.ts"
import * as A2aError from "../src/a2a/A2aError.ts"
import * as CopilotError from "../src/copilot/CopilotError.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

/** Stands wherever an error takes a text. */
const canary = "canary-7f3a"

const leak = Object.assign(new Error(canary), { path: `/${canary}`, [canary]: canary })

const result: AgentRun.Result = {
  agent: canary,
  runId: canary,
  session: canary,
  text: canary,
  value: canary,
  usage: AgentRun.emptyUsage,
  totalUsage: AgentRun.emptyUsage,
  steps: [],
  stopReason: canary,
  transcript: Prompt.make(canary),
  approvals: []
}

const ai = (reason: AiError.AiErrorReason) => AiError.make({ module: canary, method: canary, reason })

const agent = (reason: AgentError.AgentErrorReason) => AgentError.make(canary, reason)

const session = (reason: Session.SessionErrorReason) => new Session.SessionError({ sessionId: canary, reason, result })

const rejected = (problem: AgentError.ApprovalRejected["problem"]) =>
  agent(new AgentError.ApprovalRejected({ approvalId: canary, problem, description: canary }))

const network = (reason: "TransportError" | "EncodeError") =>
  new AiError.NetworkError({ reason, method: canary, url: `https://${canary}`, description: canary, cause: leak })

const metadata = { [canary]: { [canary]: canary } }

/** Each error with what it may tell: code, status, and whether the same request may succeed later. */
const errors: ReadonlyArray<readonly [unknown, string, number, boolean]> = [
  [agent(new AgentError.InvalidPrompt({ description: canary })), "invalid-prompt", 400, false],
  [agent(new AgentError.InvalidSession({ session: canary })), "invalid-session", 400, false],
  [agent(new AgentError.NothingToContinue({ description: canary })), "nothing-to-continue", 409, false],
  [
    agent(new AgentError.AfterRunFailed({ provider: canary, result, cause: leak })),
    "after-run-failed",
    500,
    false
  ],
  [
    agent(new AgentError.LimitReached({ limit: canary, steps: [], usage: AgentRun.emptyUsage })),
    "limit-reached",
    422,
    false
  ],
  [agent(new AgentError.DuplicateTool({ tool: canary, provider: canary })), "misconfigured", 500, false],
  [agent(new AgentError.InvalidTool({ tool: canary, description: canary })), "misconfigured", 500, false],
  [agent(new AgentError.NoValue({ stopReason: "approval-required", tool: canary })), "misconfigured", 500, false],
  [
    agent(new AgentError.CallNotRepeated({ tool: canary, toolCallId: canary })),
    "call-not-repeated",
    409,
    false
  ],
  [agent(new AgentError.DepthExceeded({ maximum: 1 })), "depth-exceeded", 500, false],
  [agent(new AgentError.InvalidRecord({ record: canary, description: canary })), "journal-unreadable", 500, false],
  [
    agent(
      new AgentError.InvalidOutput({
        issues: [{ path: [canary], message: canary }],
        raw: canary,
        steps: [],
        usage: AgentRun.emptyUsage
      })
    ),
    "invalid-output",
    502,
    true
  ],
  [rejected("unknown"), "approval-unknown", 404, false],
  [rejected("changed"), "approval-changed", 409, false],
  [rejected("answered"), "approval-answered", 409, false],
  [rejected("expired"), "approval-expired", 409, false],
  [rejected("ambiguous"), "approval-ambiguous", 409, false],
  [rejected("invalid"), "approval-invalid", 422, false],
  [rejected("unsupported"), "approval-unsupported", 400, false],
  [ai(new AiError.RateLimitError({ retryAfter: Duration.seconds(1), metadata })), "rate-limited", 429, true],
  [ai(new AiError.QuotaExhaustedError({ metadata })), "model-unavailable", 503, false],
  [ai(new AiError.AuthenticationError({ kind: "InvalidKey", metadata })), "model-unavailable", 503, false],
  [ai(new AiError.ContentPolicyError({ description: canary, metadata })), "content-refused", 422, false],
  [ai(new AiError.InvalidRequestError({ description: canary, metadata })), "model-refused", 502, false],
  [ai(new AiError.InvalidResponseError({ description: canary, metadata })), "model-failed", 502, false],
  [ai(new AiError.InternalProviderError({ description: canary, metadata })), "model-failed", 502, true],
  [ai(network("TransportError")), "model-unavailable", 503, true],
  [ai(network("EncodeError")), "model-unavailable", 503, false],
  [ai(new AiError.InvalidOutputError({ description: canary })), "invalid-output", 502, true],
  [ai(new AiError.StructuredOutputError({ description: canary, responseText: canary })), "invalid-output", 502, true],
  [ai(new AiError.UnsupportedSchemaError({ description: canary })), "misconfigured", 500, false],
  [ai(new AiError.UnknownError({ description: canary, metadata })), "model-failed", 502, false],
  [ai(new AiError.ToolNotFoundError({ toolName: canary, availableTools: [canary] })), "invalid-tool-call", 502, true],
  [
    ai(
      new AiError.ToolParameterValidationError({
        toolName: canary,
        description: canary
      })
    ),
    "invalid-tool-call",
    502,
    true
  ],
  [ai(new AiError.InvalidToolResultError({ toolName: canary, description: canary })), "tool-failed", 500, false],
  [
    ai(new AiError.ToolResultEncodingError({ toolName: canary, toolResult: canary, description: canary })),
    "tool-failed",
    500,
    false
  ],
  [ai(new AiError.ToolConfigurationError({ toolName: canary, description: canary })), "misconfigured", 500, false],
  [ai(new AiError.ToolkitRequiredError({ pendingApprovals: [canary] })), "misconfigured", 500, false],
  [ai(new AiError.InvalidUserInputError({ description: canary })), "invalid-prompt", 400, false],
  [session(new Session.SessionConflict({ expectedVersion: 1, actualVersion: 2 })), "session-conflict", 409, true],
  [session(new Session.SessionInUse({ holder: "other" })), "session-in-use", 409, true],
  [session(new Session.SessionInUse({ holder: "caller" })), "session-in-use", 409, false],
  [
    session(new Session.SessionRecordInvalid({ record: canary, description: canary })),
    "session-unreadable",
    500,
    false
  ],
  [session(new Session.SessionStateInvalid({ name: canary, description: canary })), "session-unreadable", 500, false],
  [session(new Session.SessionStoreUnavailable({ operation: "load", cause: leak })), "unavailable", 503, true],
  [session(new Session.SessionCursorInvalid({ cursor: canary })), "session-cursor-invalid", 400, false],
  [session(new Session.SessionVersionUnknown({ version: 7 })), "session-version-unknown", 404, false],
  [
    new Budget.BudgetExceeded({ budget: canary, resource: "tokens", limit: 1, used: 2 }),
    "budget-exceeded",
    429,
    false
  ],
  [
    new Guardrail.GuardrailTripped({ guardrail: canary, place: "input", info: { [canary]: canary } }),
    "content-blocked",
    422,
    false
  ],
  [new Compaction.PromptTooLong({ tokens: 2, maxTokens: 1 }), "prompt-too-long", 413, false],
  [new Cause.TimeoutError(canary), "timeout", 504, true],
  [
    CopilotError.make(new CopilotError.RuntimeUnavailable({ description: canary, cause: leak })),
    "unavailable",
    503,
    true
  ],
  [CopilotError.make(new CopilotError.RuntimeExited({ signal: canary })), "unavailable", 503, true],
  [CopilotError.make(new CopilotError.SessionNotFound({ sessionId: canary })), "session-not-found", 404, false],
  [
    CopilotError.make(new CopilotError.RequestRejected({ operation: canary, description: canary })),
    "model-refused",
    502,
    false
  ],
  [CopilotError.make(new CopilotError.ModelFailed({ kind: canary, description: canary })), "model-failed", 502, false],
  [CopilotError.make(new CopilotError.WorkStopped({ description: canary })), "work-stopped", 503, true],
  [A2aError.make(new A2aError.ConnectionLost({ taskId: canary, cause: leak })), "unavailable", 503, true],
  [A2aError.make(new A2aError.RequestRefused({ code: canary, description: canary })), "agent-refused", 502, false],
  [
    A2aError.make(new A2aError.TaskFailed({ taskId: canary, state: "failed", description: canary, code: canary })),
    "agent-failed",
    502,
    false
  ],
  [
    A2aError.make(
      new A2aError.TaskFailed({ taskId: canary, state: "rejected", description: canary, retryable: true })
    ),
    "agent-failed",
    502,
    true
  ],
  [A2aError.make(new A2aError.InvalidResponse({ description: canary, cause: leak })), "agent-failed", 502, false],
  [A2aError.make(new A2aError.InvalidInput({ description: canary })), "invalid-prompt", 400, false]
]

/** Failures of a user, some of which look like ours. */
const foreign: ReadonlyArray<unknown> = [
  leak,
  canary,
  undefined,
  null,
  7,
  { _tag: canary, code: canary, message: canary, status: 200, retryable: true },
  { _tag: "AgentError", reason: { _tag: canary } },
  { _tag: "AgentError", reason: { _tag: "ApprovalRejected", problem: canary } },
  { _tag: "AgentError", reason: { _tag: "constructor" } },
  { _tag: "CopilotError", reason: leak },
  { _tag: "SessionError" },
  { _tag: "__proto__" },
  {
    get _tag() {
      throw leak
    }
  },
  new Proxy({}, {
    has() {
      throw leak
    }
  })
]

const tags = (
  members: ReadonlyArray<{ readonly fields: { readonly _tag: { readonly schema: { readonly literal: string } } } }>
) => members.map(({ fields }) => fields._tag.schema.literal)

describe("AgentError", () => {
  describe("describe", () => {
    it("says of every failure what it is, and nothing that stands in it", () => {
      for (const [error, code, status, retryable] of errors) {
        const description = AgentError.describe(Cause.fail(error))
        assert.deepStrictEqual(
          { code: description.code, status: description.status, retryable: description.retryable },
          { code, status, retryable }
        )
        assert.notInclude(JSON.stringify(description), canary)
        assert.match(description.message, /^[A-Z][^`/]+\.$/)
      }
    })

    it("knows every reason of every error", () => {
      const known = new Set(
        errors.map(([error]) => (error as { readonly reason?: { readonly _tag: string } }).reason?._tag)
      )
      for (
        const union of [
          AgentError.AgentErrorReason,
          AiError.AiErrorReason,
          Session.SessionErrorReason,
          CopilotError.CopilotErrorReason,
          A2aError.A2aErrorReason
        ]
      ) {
        for (const tag of tags(union.members as never)) assert.isTrue(known.has(tag), tag)
      }
    })

    it("says as much of what went through JSON", () => {
      const codec = Schema.toCodecJson(Schema.Union([AgentError.AgentError, AiError.AiError, Session.SessionError]))
      for (const [error] of errors) {
        if (!Schema.is(codec)(error)) continue
        const json = JSON.parse(JSON.stringify(Schema.encodeUnknownSync(codec)(error)))
        assert.deepStrictEqual(
          AgentError.describe(Cause.fail(Schema.decodeUnknownSync(codec)(json))),
          AgentError.describe(Cause.fail(error))
        )
      }
    })

    it("says nothing of a failure of the user", () => {
      for (const error of foreign) {
        const { code, message, retryable, status } = AgentError.describe(Cause.fail(error))
        assert.deepStrictEqual({ code, message, retryable, status }, {
          code: "failed",
          message: "The run failed.",
          retryable: false,
          status: 500
        })
      }
    })

    it("says that a defect is one, whatever is beside it", () => {
      const internal = { code: "internal", message: "Something went wrong.", retryable: false, status: 500 }
      for (const [error] of errors) {
        assert.deepStrictEqual(AgentError.describe(Cause.die(error)), internal)
        assert.deepStrictEqual(AgentError.describe(Cause.combine(Cause.fail(error), Cause.die(leak))), internal)
      }
      assert.deepStrictEqual(AgentError.describe(Cause.empty), internal)
    })

    it("says that a run was interrupted only when nothing failed", () => {
      const budget = new Budget.BudgetExceeded({ budget: canary, resource: "tokens", limit: 1, used: 2 })
      assert.strictEqual(AgentError.describe(Cause.interrupt(7)).code, "interrupted")
      assert.strictEqual(AgentError.describe(Cause.interrupt(7)).status, 499)
      assert.strictEqual(
        AgentError.describe(Cause.combine(Cause.interrupt(7), Cause.fail(budget))).code,
        "budget-exceeded"
      )
    })

    it.effect("says of a run how it ended: it failed, died, was interrupted, or was left", () =>
      Effect.gen(function*() {
        const Fails = Tool.make("fails", { failure: Schema.Struct({ _tag: Schema.tag("Boom"), key: Schema.String }) })
        const toolkit = Toolkit.make(Fails)
        const handlers = toolkit.toLayer({ fails: () => Effect.fail({ _tag: "Boom" as const, key: canary }) })
        const model = () => ScriptedModel.layer([ScriptedModel.toolCalls({ name: "fails", params: {} })])
        const exits: Array<Exit.Exit<AgentRun.Result, unknown>> = []
        const seen = ContextProvider.make("seen", {
          beforeRun: () => AgentRun.addFinalizer((exit) => Effect.sync(() => exits.push(exit)))
        })
        const assistant = Agent.make("a", { toolkit, providers: [seen] })
        const run = (layer: Layer.Layer<LanguageModel.LanguageModel>) =>
          Effect.exit(Effect.provide(Agent.run(assistant, { prompt: canary }), [layer, handlers]))
        yield* run(model())
        yield* run(ScriptedModel.layer([ScriptedModel.fail(ai(new AiError.RateLimitError({ metadata })))]))
        yield* Effect.exit(
          Agent.stream(assistant, { prompt: canary }).pipe(
            Stream.tap(() => Effect.interrupt),
            Stream.runDrain,
            Effect.provide([model(), handlers])
          )
        )
        yield* Agent.stream(assistant, { prompt: canary }).pipe(
          Stream.take(1),
          Stream.runDrain,
          Effect.provide([model(), handlers])
        )
        assert.deepStrictEqual(
          exits.map((exit) => Exit.isFailure(exit) ? AgentError.describe(exit.cause).code : "completed"),
          ["failed", "rate-limited", "interrupted", "interrupted"]
        )
      }))
  })
})

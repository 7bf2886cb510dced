import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
import { Prompt } from "effect/ai"
import { AgentError, AgentRun, Approval, Session, ToolLoop } from "../src/index.ts"

/** What a value becomes on the wire: a key that holds nothing is left out, elsewhere nothing is null. */
const asJson = (u: unknown): unknown => u === undefined ? null : JSON.parse(JSON.stringify(u))

/** JSON, and `undefined` anywhere in it. */
const Loose = Schema.Union([
  Schema.Undefined,
  Schema.Json,
  Schema.Struct({ a: Schema.UndefinedOr(Schema.Json), b: Schema.Array(Schema.UndefinedOr(Schema.Json)) })
])

const Params = Schema.Struct({
  params: Loose,
  edited: Loose,
  reason: Schema.UndefinedOr(Schema.String),
  tool: Schema.String
})

/** Sends a value as a server does: the JSON codec, a text, and back. */
const send = <A>(schema: Schema.Codec<A, unknown>, value: A): { readonly back: A; readonly wire: unknown } => {
  const codec = Schema.toCodecJson(schema)
  const wire = JSON.parse(JSON.stringify(Schema.encodeUnknownSync(codec)(value)))
  return { back: Schema.decodeUnknownSync(codec)(wire) as A, wire }
}

describe("what has a schema survives its JSON codec", () => {
  it.effect.prop("Approval and Answer", { given: Arbitrary.schema(Params) }, ({ given }) =>
    Effect.sync(() => {
      const { edited, params, reason, tool } = given
      const approval: Approval.Approval = { approvalId: "i", toolCallId: "c", tool, params, path: ["x"] }
      assert.deepStrictEqual(send(Approval.Approval, approval).back, { ...approval, params: asJson(params) })
      const approved = send(Approval.Answer, Approval.approve(approval, { params: edited })).back
      assert(approved._tag === "Approve")
      assert.deepStrictEqual(approved.params, edited === undefined ? undefined : asJson(edited))
      assert.strictEqual("params" in approved, edited !== undefined)
      const denied = send(Approval.Answer, Approval.deny(approval, reason)).back
      assert(denied._tag === "Deny")
      assert.strictEqual(denied.reason, reason)
    }))

  it.effect.prop(
    "Result, State, Session and the errors that carry them",
    { given: Arbitrary.schema(Params) },
    ({ given }) =>
      Effect.sync(() => {
        const { edited, params, tool } = given
        const step: AgentRun.Step = {
          index: 0,
          text: "",
          finishReason: "tool-calls",
          toolCalls: [{ id: "c", name: tool, params, executed: true, isFailure: false }],
          usage: AgentRun.emptyUsage
        }
        const transcript = Prompt.fromMessages([
          Prompt.userMessage({
            content: [
              Prompt.filePart({ mediaType: "image/png", data: new Uint8Array([1, 2]) }),
              Prompt.filePart({ mediaType: "image/png", data: new URL("http://a/b") })
            ]
          }),
          Prompt.assistantMessage({
            content: [Prompt.toolCallPart({ id: "c", name: tool, params, providerExecuted: false })]
          }),
          Prompt.toolMessage({
            content: [
              Prompt.toolResultPart({ id: "c", name: tool, isFailure: false, result: edited, providerExecuted: false })
            ]
          })
        ])
        const result: AgentRun.Result = {
          agent: "a",
          runId: "r",
          session: undefined,
          text: "",
          value: edited,
          usage: AgentRun.emptyUsage,
          totalUsage: AgentRun.emptyUsage,
          steps: [step],
          stopReason: "stop",
          transcript,
          approvals: [{ approvalId: "i", toolCallId: "c", tool, params, path: [] }]
        }
        const { back, wire } = send(AgentRun.Result as Schema.Codec<AgentRun.Result, unknown>, result)
        assert.deepStrictEqual(back.value, edited === undefined ? undefined : asJson(edited))
        assert.deepStrictEqual(back.steps, [{
          ...step,
          toolCalls: [{ ...step.toolCalls[0]!, params: asJson(params) }]
        }])
        assert.deepStrictEqual([back.session, back.usage, back.approvals[0]!.params], [
          undefined,
          AgentRun.emptyUsage,
          asJson(params)
        ])
        assert.deepStrictEqual(back.transcript.content[0], transcript.content[0])
        const answered = back.transcript.content[2]
        assert(answered?.role === "tool" && answered.content[0]?.type === "tool-result")
        assert.deepStrictEqual(answered.content[0].result, asJson(edited))
        // what came back is sent as the same again
        assert.deepStrictEqual(send(AgentRun.Result as Schema.Codec<AgentRun.Result, unknown>, back).wire, wire)

        const state: ToolLoop.State = { transcript: transcript.content, steps: [step], usage: AgentRun.emptyUsage }
        assert.deepStrictEqual(send(ToolLoop.State, state).back.transcript, back.transcript.content)

        const session = { ...Session.empty("s"), history: back.transcript }
        assert.deepStrictEqual(send(Session.Session, session).back, session)

        const failed = AgentError.make(
          "a",
          new AgentError.AfterRunFailed({ provider: "p", result, cause: new Error("x") })
        )
        const error = send(AgentError.AgentError, failed).back
        assert(error.reason._tag === "AfterRunFailed")
        assert.deepStrictEqual(error.reason.result.steps, back.steps)
        const rejected = AgentError.make(
          "a",
          new AgentError.ApprovalRejected({ approvalId: "i", problem: "ambiguous" })
        )
        assert.deepStrictEqual(send(AgentError.AgentError, rejected).back, rejected)
      })
  )

  it("refuses what is no JSON", () => {
    for (const params of [1n, () => 1, Symbol.iterator, new Map(), Number.NaN]) {
      const approval: Approval.Approval = { approvalId: "i", toolCallId: "c", tool: "t", params, path: [] }
      assert.isTrue(Exit.isFailure(Schema.encodeUnknownExit(Schema.toCodecJson(Approval.Approval))(approval)))
    }
  })
})

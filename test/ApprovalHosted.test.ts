/**
 * Approvals that a provider asks for, before it runs a tool of its own.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema, Stream } from "effect"
import { Toolkit } from "effect/ai"
import { AiSdk } from "../src/ai-sdk/index.ts"
import {
  Agent,
  AgentError,
  AgentOutput,
  AgentRun,
  AgentTool,
  Approval,
  SessionHistory,
  SessionStore,
  StopCondition
} from "../src/index.ts"
import { providers, rawServer, recording, type Sent } from "./fixtures/ai-sdk.ts"
import {
  agent,
  approvalOf,
  asks,
  calls,
  finish,
  modelOf,
  responsesIn,
  says,
  Shop,
  toolkit
} from "./fixtures/hostedApprovals.ts"

describe("approvals that a provider asks for", () => {
  it.effect("end the run, and the answers go to the provider, over HTTP", () =>
    Effect.gen(function*() {
      const created = { id: "r", object: "response", created_at: 1, model: "gpt-5" }
      const item = {
        id: "mcpr_7",
        type: "mcp_approval_request",
        server_label: "shop",
        name: "refund",
        arguments: "{\"order\":42}"
      }
      const message = { type: "message", id: "m", role: "assistant" }
      const completed = {
        type: "response.completed",
        response: { ...created, usage: { input_tokens: 9, output_tokens: 4 } }
      }
      const first = [
        { type: "response.created", response: created },
        { type: "response.output_item.added", output_index: 0, item },
        { type: "response.output_item.done", output_index: 0, item },
        completed
      ]
      const second = [
        { type: "response.created", response: created },
        { type: "response.output_item.added", output_index: 0, item: message },
        { type: "response.output_text.delta", item_id: "m", output_index: 0, content_index: 0, delta: "Refunded" },
        { type: "response.output_item.done", output_index: 0, item: message },
        completed
      ]
      for (const approved of [true, false]) {
        const sent: Array<Sent> = []
        const url = yield* rawServer((request, response) => {
          const events = sent.length === 1 ? first : second
          request.resume().on("end", () => {
            response.writeHead(200, { "content-type": "text/event-stream" })
            response.end(events.map((event) => `data: ${JSON.stringify(event)}\n\n`).join(""))
          })
        })
        const kept = Agent.make("clerk", { toolkit: Toolkit.make(Shop), providers: [SessionHistory.provider] })
        const done = yield* Effect.gen(function*() {
          const asked = yield* Agent.run(kept, { prompt: "refund 42", session: "s" })
          assert.strictEqual(asked.stopReason, "approval-required")
          const [approval] = asked.approvals
          assert.deepStrictEqual(asked.approvals, [{
            approvalId: "mcpr_7",
            toolCallId: approval.toolCallId,
            tool: "mcp.refund",
            params: { order: 42 },
            path: []
          }])
          const { history } = yield* (yield* SessionStore.SessionStore).load("s")
          assert.deepStrictEqual(Approval.pending(history), asked.approvals)
          const answer = approved ? Approval.approve(approval) : Approval.deny(approval, "no")
          return yield* Agent.resume(kept, { session: "s" }, [answer])
        }).pipe(
          Effect.provide([AiSdk.layer(providers(url, recording(sent))["openai responses"]), SessionStore.layerMemory])
        )
        assert.strictEqual(done.text, "Refunded")
        assert.deepStrictEqual(sent[1].body.input, [
          { role: "user", content: [{ type: "input_text", text: "refund 42" }] },
          { type: "item_reference", id: "mcpr_7" },
          { type: "mcp_approval_response", approval_request_id: "mcpr_7", approve: approved }
        ])
      }
    }).pipe(Effect.scoped))

  it.effect("are parts that say what is asked for, also from the run that goes on without their answers", () =>
    Effect.gen(function*() {
      const { layer } = modelOf([
        [...asks(1), calls("delete", { file: "a" }), ...asks(2, "mcp"), finish("tool-calls")],
        says("done")
      ])
      const asked = (parts: ReadonlyArray<AgentRun.Part>) =>
        parts.flatMap((part) => part.type === "tool-approval-request" ? [part.approval] : [])
      const resultOf = (parts: ReadonlyArray<AgentRun.Part>) => AgentRun.fold(Stream.fromIterable(parts))
      yield* Effect.gen(function*() {
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "go" }))
        const first = yield* resultOf(parts)
        const own = first.approvals.find(({ tool }) => tool === "delete")!
        assert.deepStrictEqual(asked(parts), [approvalOf(1), approvalOf(2, [], "mcp"), own])
        const resumed = yield* Stream.runCollect(
          Agent.resumeStream(agent, { result: first }, [
            Approval.approve(own),
            Approval.approve(approvalOf(2, [], "mcp"))
          ])
        )
        assert.deepStrictEqual(asked(resumed), [approvalOf(1)])
        assert.deepStrictEqual((yield* resultOf(resumed)).approvals, [approvalOf(1)])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("wait beside calls of the run, each for its own answer", () =>
    Effect.gen(function*() {
      const { asked, layer } = modelOf([
        [
          ...asks(1),
          calls("delete", { file: "a" }),
          calls("note", { text: "x" }),
          ...asks(2, "mcp"),
          finish("tool-calls")
        ],
        says("done")
      ])
      yield* Effect.gen(function*() {
        const first = yield* Agent.run(agent, { prompt: "go" })
        const own = first.approvals.find(({ tool }) => tool === "delete")!
        assert.strictEqual(first.stopReason, "approval-required")
        assert.deepStrictEqual(first.approvals, [own, approvalOf(1), approvalOf(2, [], "mcp")])
        // through JSON, as from a client
        const json = Schema.toCodecJson(Schema.Array(Approval.Answer))
        const answers = yield* Schema.decodeEffect(json)(
          yield* Schema.encodeEffect(json)([Approval.approve(approvalOf(1)), Approval.approve(own)])
        )
        const second = yield* Agent.resume(agent, { result: first }, answers)
        assert.deepStrictEqual(
          [second.stopReason, second.approvals],
          ["approval-required", [approvalOf(2, [], "mcp")]]
        )
        assert.strictEqual(asked.length, 1)
        const third = yield* Agent.resume(agent, { result: second }, [Approval.deny(approvalOf(2, [], "mcp"))])
        assert.strictEqual(third.text, "done")
        assert.deepStrictEqual(responsesIn(asked[1]), ["note", ["mcpr_1", true], "delete", ["mcpr_2", false]])
        const twice = yield* Effect.flip(
          Agent.resume(agent, { result: second }, [Approval.approve(approvalOf(2, [], "mcp"))])
        )
        assert.strictEqual(problemOf(twice), "answered")
      }).pipe(Effect.provide(layer))
    }))

  it.effect("are not answered with other parameters, nor when they are not the ones that were asked for", () =>
    Effect.gen(function*() {
      const { asked, layer } = modelOf([[...asks(1), finish()]])
      yield* Effect.gen(function*() {
        const first = yield* Agent.run(agent, { prompt: "go" })
        const problems = yield* Effect.forEach(
          [
            Approval.approve(approvalOf(1), { params: { order: 2 } }),
            Approval.approve({ ...approvalOf(1), params: { order: 2 } }),
            Approval.approve({ ...approvalOf(1), tool: "note" }),
            Approval.approve(approvalOf(2))
          ],
          (answer) => Effect.map(Effect.flip(Agent.resume(agent, { result: first }, [answer])), problemOf)
        )
        assert.deepStrictEqual(problems, ["invalid", "changed", "changed", "unknown"])
        assert.strictEqual(asked.length, 1)
      }).pipe(Effect.provide(layer))
    }))

  it.effect("of a nested run are asked for by its callers", () =>
    Effect.gen(function*() {
      const Inner = AgentTool.make(agent, { name: "clerk", description: "Refunds" })
      const tools = AgentTool.toolkit(Inner)
      const outer = Agent.make("outer", { toolkit: tools })
      const { asked, layer } = modelOf([
        [calls("clerk", { prompt: "refund 1" }), finish("tool-calls")],
        [...asks(1), finish()],
        says("inner done"),
        says("outer done")
      ])
      yield* Effect.gen(function*() {
        const first = yield* Agent.run(outer, { prompt: "go" })
        assert.deepStrictEqual([first.stopReason, first.approvals.map(({ approvalId: _, ...rest }) => rest)], [
          "approval-required",
          [{ toolCallId: "c1", tool: "mcp.refund", params: { order: 1 }, path: ["clerk"] }]
        ])
        const done = yield* Agent.resume(outer, { result: first }, [Approval.approve(first.approvals[0])])
        assert.strictEqual(done.text, "outer done")
        assert.deepStrictEqual(responsesIn(asked[2]), [["mcpr_1", true]])
      }).pipe(Effect.provide(layer))
    }))

  it.effect("come before a missing output and before a limit", () =>
    Effect.gen(function*() {
      const Answer = Schema.Struct({ ok: Schema.Boolean })
      const output = AgentOutput.orWaiting(Answer)
      const withOutput = Agent.make("clerk", { toolkit, output, stopWhen: [StopCondition.stepCount(1)] })
      const { layer } = modelOf([[...asks(1), finish()]])
      const result = yield* Effect.provide(Agent.run(withOutput, { prompt: "go" }), layer)
      assert.deepStrictEqual([result.stopReason, result.approvals], ["approval-required", [approvalOf(1)]])
    }))

  it.effect("are not kept of a response that was cut", () =>
    Effect.gen(function*() {
      const { layer } = modelOf([asks(1)])
      const keeps = Agent.make("clerk", { toolkit, providers: [SessionHistory.make({ keep: "always" })] })
      yield* Effect.gen(function*() {
        const exit = yield* Effect.exit(Agent.run(keeps, { prompt: "go", session: "s" }))
        assert.isTrue(Exit.isFailure(exit))
        const { history } = yield* (yield* SessionStore.SessionStore).load("s")
        assert.deepStrictEqual(Approval.pending(history), [])
        assert.isFalse(history.content.some((message) =>
          message.role === "assistant" && message.content.some((part) => part.type === "tool-approval-request")
        ))
      }).pipe(Effect.provide([layer, SessionStore.layerMemory]))
    }))

  it.effect("are not answered to another provider", () =>
    Effect.gen(function*() {
      const { layer } = modelOf([[...asks(1), finish()], says("done")])
      const history = yield* Effect.gen(function*() {
        const first = yield* Agent.run(agent, { prompt: "go" })
        return (yield* Agent.resume(agent, { result: first }, [Approval.approve(approvalOf(1))])).transcript
      }).pipe(Effect.provide(layer))
      const other = modelOf([says("hello")], "anthropic.messages")
      yield* Effect.provide(
        Agent.run(Agent.make("other"), { prompt: [...history.content, { role: "user", content: "and now?" }] }),
        other.layer
      )
      assert.deepStrictEqual(responsesIn(other.asked[0]), [])
    }))
})

const problemOf = (error: unknown) =>
  AgentError.isAgentError(error) && error.reason._tag === "ApprovalRejected" ? error.reason.problem : error

import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer } from "effect"
import { Toolkit } from "effect/ai"
import { Agent, AgentTool, Approval, Session, SessionHistory, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import {
  approveAll,
  handlers,
  history,
  ids,
  look,
  prompts,
  rejection,
  Remove,
  remove,
  toolkit
} from "./fixtures/approvals.ts"
import { collectAll, type Log, showPrompt } from "./utils.ts"

const { layer: script, text, toolCalls } = ScriptedModel

describe("Approval", () => {
  describe("of a nested run", () => {
    const delegate = (prompt: string): ScriptedModel.ToolCall => ({
      name: "ask",
      params: { prompt },
      id: `c-${prompt}`
    })
    const child = Agent.make("child", { toolkit })
    const middle = Agent.make("middle", { toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })) })
    const top = Agent.make("top", {
      toolkit: AgentTool.toolkit(AgentTool.make(middle, { name: "ask" })),
      providers: [SessionHistory.provider]
    })
    const flat = Agent.make("flat", { toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })) })
    const layers = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
      Layer.mergeAll(script(steps), SessionStore.layerMemory, ids)
    /** The outer run asks its child, that one its own, which has a call to approve. */
    const threeDeep = layers(
      toolCalls(delegate("middle")),
      toolCalls(delegate("deep")),
      toolCalls(remove("a"), look("b")),
      text("child done"),
      text("middle done"),
      text("top done")
    )

    it.effect("at any depth are the approvals of the outer run, and are answered from the top", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(top, { prompt: "go", session: "s" }))
        assert.strictEqual(asked.stopReason, "approval-required")
        assert.deepStrictEqual(asked.approvals, [{
          approvalId: "approval-1",
          toolCallId: "r-a",
          tool: "remove",
          params: { file: "a" },
          path: ["middle", "child"]
        }])
        assert.deepStrictEqual(Approval.pending(yield* history("s")), asked.approvals)
        const approvals = Approval.pending(yield* history("s"))
        const { exit, parts } = yield* run(collectAll(
          Agent.resumeStream(top, { session: "s" }, approvals.map((approval) => Approval.approve(approval)))
        ))
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(log, ["look b", "remove a"])
        const end = parts.at(-1)
        assert.strictEqual(end?.type === "run-end" ? end.result.text : undefined, "top done")
        assert.deepStrictEqual((yield* prompts).slice(3), [
          [
            "user: deep",
            "assistant: remove#r-a({\"file\":\"a\"}), look#l-b({\"file\":\"b\"})",
            "tool: look#l-b = \"saw b\", remove#r-a = \"no a\""
          ],
          ["user: middle", "assistant: ask#c-deep({\"prompt\":\"deep\"})", "tool: ask#c-deep = \"child done\""],
          ["user: go", "assistant: ask#c-middle({\"prompt\":\"middle\"})", "tool: ask#c-middle = \"middle done\""]
        ])
        const stored = yield* history("s")
        assert.strictEqual(Session.close(stored.content), stored.content)
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide(threeDeep)))

    it.effect("are decoded again at any depth before anything runs, and stay open when they do not fit", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(top, { prompt: "go", session: "s" }))
        const [approval] = asked.approvals
        const edit = (params: unknown) => [Approval.approve(approval!, { params })]
        assert.deepStrictEqual(yield* rejection(run(Agent.resume(top, { session: "s" }, edit({ file: 1 })))), [
          "invalid",
          approval!.approvalId
        ])
        assert.deepStrictEqual([log, Approval.pending(yield* history("s"))], [["look b"], asked.approvals])
        const done = yield* run(Agent.resume(top, { session: "s" }, edit({ file: "z" })))
        assert.deepStrictEqual([done.text, log], ["top done", ["look b", "remove z"]])
      }).pipe(Effect.provide(threeDeep)))

    it.effect("are answered one by one, and may be followed by others", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const first = yield* run(Agent.run(flat, { prompt: "go" }))
        const [a, b] = first.approvals
        const second = yield* run(Agent.resume(flat, { result: first }, [Approval.deny(b!, "no")]))
        assert.deepStrictEqual([second.stopReason, second.approvals, log], ["approval-required", [a], []])
        const third = yield* run(
          Agent.resume(flat, { result: second }, [Approval.approve(a!, { params: { file: "z" } })])
        )
        assert.deepStrictEqual(third.approvals.map(({ params, path }) => [params, path]), [[{ file: "c" }, ["child"]]])
        assert.deepStrictEqual(yield* rejection(run(Agent.resume(flat, { result: third }, [Approval.approve(a!)]))), [
          "answered",
          a!.approvalId
        ])
        const last = yield* run(Agent.resume(flat, { result: third }, approveAll(third)))
        assert.deepStrictEqual([last.text, log], ["done", ["remove z", "remove c"]])
      }).pipe(Effect.provide(layers(
        toolCalls(delegate("x")),
        toolCalls(remove("a"), remove("b")),
        toolCalls(remove("c")),
        text("child done"),
        text("done")
      ))))

    it.effect("beside those of the run itself", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asking = AgentTool.make(child, { name: "ask" })
        const both = Agent.make("both", { toolkit: Toolkit.make(Remove, asking.tool) })
        const delegating = Toolkit.make(asking.tool).toLayer({ ask: asking.handler })
        const run = Effect.provide(Layer.merge(handlers(log), delegating))
        const asked = yield* run(Agent.run(both, { prompt: "go" }))
        assert.deepStrictEqual(asked.approvals.map(({ params, path }) => [params, path]), [
          [{ file: "o" }, []],
          [{ file: "i" }, ["child"]]
        ])
        const done = yield* run(Agent.resume(both, { result: asked }, approveAll(asked)))
        assert.deepStrictEqual([done.text, log], ["done", ["remove o", "remove i"]])
      }).pipe(Effect.provide(layers(
        toolCalls(remove("o"), delegate("x")),
        toolCalls(remove("i")),
        text("child done"),
        text("done")
      ))))

    it.effect("in a session of its own", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const remembering = Agent.make("child", { toolkit, providers: [SessionHistory.provider] })
        const outer = Agent.make("outer", {
          toolkit: AgentTool.toolkit(AgentTool.make(remembering, { name: "ask", session: "own" })),
          providers: [SessionHistory.provider]
        })
        const asked = yield* run(Agent.run(outer, { prompt: "go", session: "s" }))
        assert.strictEqual(Approval.pending(yield* history("s/ask")).length, 1)
        yield* run(Agent.resume(outer, { session: "s" }, approveAll(asked)))
        assert.deepStrictEqual(log, ["remove a"])
        assert.deepStrictEqual(showPrompt(yield* history("s/ask")), [
          "user: x",
          "assistant: remove#r-a({\"file\":\"a\"}), tool-approval-request",
          "tool: tool-approval-response",
          "tool: remove#r-a = \"no a\"",
          "assistant: child done"
        ])
      }).pipe(Effect.provide(layers(
        toolCalls(delegate("x")),
        toolCalls(remove("a")),
        text("child done"),
        text("done")
      ))))

    it.effect("that is itself a call that needs an approval: one after the other", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const gated = Agent.make("gated", {
          toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask", needsApproval: true }))
        })
        const first = yield* run(Agent.run(gated, { prompt: "go" }))
        const second = yield* run(Agent.resume(gated, { result: first }, approveAll(first)))
        assert.deepStrictEqual(
          [first, second].map(({ approvals }) => approvals.map(({ path, tool }) => [tool, path])),
          [
            [["ask", []]],
            [["remove", ["child"]]]
          ]
        )
        const third = yield* run(Agent.resume(gated, { result: second }, approveAll(second)))
        assert.deepStrictEqual([third.text, log], ["done", ["remove a"]])
      }).pipe(Effect.provide(layers(
        toolCalls(delegate("x")),
        toolCalls(remove("a")),
        text("child done"),
        text("done")
      ))))
  })
})

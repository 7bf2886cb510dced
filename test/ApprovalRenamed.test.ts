import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentTool, Approval, Middleware, SessionHistory, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { approveAll, ids, rejection } from "./fixtures/approvals.ts"
import { type Log, showPrompt } from "./utils.ts"

const { layer: script, text, toolCalls } = ScriptedModel

const File = Schema.Struct({ file: Schema.String })
const Shell = Tool.make("shell", { parameters: Schema.Struct({ line: Schema.String }), success: Schema.String })
const Guarded = Tool.make("guarded", { parameters: File, success: Schema.String, needsApproval: true })
const Remove = Tool.make("remove", { parameters: File, success: Schema.String, needsApproval: true })
const toolkit = Toolkit.make(Shell, Guarded, Remove)

const handlers = (log: Log) =>
  toolkit.toLayer({
    shell: ({ line }) => Effect.sync(() => (log.push(`shell ${line}`), "ran")),
    guarded: ({ file }) => Effect.sync(() => (log.push(`guarded ${file}`), "guarded")),
    remove: ({ file }) => Effect.sync(() => (log.push(`remove ${file}`), "removed"))
  })

/** Runs calls of `name` as `remove`. */
const asRemove = (name: string, file: () => unknown = () => "a") =>
  Middleware.make("as-remove", {
    tool: (request, next) =>
      request.name === name ? next({ ...request, name: "remove", params: { file: file() } }) : next(request)
  })

const shell = toolCalls({ name: "shell", params: { line: "rm a" }, id: "call" })
const guarded = toolCalls({ name: "guarded", params: { file: "b" }, id: "call" })

describe("Approval of a call that a middleware runs as another tool", () => {
  const agent = Agent.make("agent", {
    toolkit,
    middleware: [asRemove("shell")],
    providers: [SessionHistory.provider]
  })

  const places = [["a session", "s"], ["a result", undefined]] as const
  for (const [where, session] of places) {
    const resume = (result: Effect.Success<ReturnType<typeof run>>, answer: Approval.Answer) =>
      Agent.resume(agent, session === undefined ? { result } : { session }, [answer])
    const run = () => Agent.run(agent, { prompt: "go", session })

    it.effect(`is asked for the tool that runs, and runs it once with what was asked (${where})`, () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Effect.gen(function*() {
          const asked = yield* run()
          assert.strictEqual(asked.stopReason, "approval-required")
          assert.deepStrictEqual(
            asked.approvals.map(({ params, path, tool, toolCallId }) => ({ params, path, tool, toolCallId })),
            [{ params: { file: "a" }, path: [], tool: "remove", toolCallId: "call" }]
          )
          assert.deepStrictEqual(log, [])
          const [answer] = approveAll(asked)
          const done = yield* resume(asked, answer)
          assert.deepStrictEqual([done.text, log], ["done", ["remove a"]])
          assert.deepStrictEqual(yield* rejection(resume(asked, answer)), ["answered", answer.approval.approvalId])
          assert.deepStrictEqual(log, ["remove a"])
          // the model sees the call as it made it
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual(showPrompt((yield* requests)[1].prompt), [
            "user: go",
            "assistant: shell#call({\"line\":\"rm a\"})",
            "tool: shell#call = \"removed\""
          ])
        }).pipe(Effect.provide(handlers(log)))
      }).pipe(Effect.provide([script([shell, text("done")]), ids, SessionStore.layerMemory])))

    it.effect(`is denied, or edited, as that tool (${where})`, () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          const asked = yield* run()
          const [approval] = asked.approvals
          const wrong = resume(asked, Approval.approve(approval, { params: { line: "rm b" } }))
          assert.deepStrictEqual(yield* rejection(wrong), ["invalid", approval.approvalId])
          const done = yield* resume(asked, Approval.approve(approval, { params: { file: "b" } }))
          assert.deepStrictEqual([done.text, log], ["done", ["remove b"]])
          yield* store.remove("s")
          const again = yield* run()
          const denied = yield* resume(again, Approval.deny(again.approvals[0], "no"))
          assert.strictEqual(denied.text, "denied")
          assert.include(JSON.stringify(denied.transcript), "\"no\"")
          assert.deepStrictEqual(log, ["remove b"])
        }).pipe(Effect.provide(handlers(log)))
      }).pipe(Effect.provide([
        script([shell, text("done"), shell, text("denied")]),
        ids,
        SessionStore.layerMemory
      ])))
  }

  it.effect("is asked for again when the middleware calls something else, or is gone", () =>
    Effect.gen(function*() {
      const log: Log = []
      let count = 0
      const changing = Agent.make("agent", { toolkit, middleware: [asRemove("guarded", () => `f${count++}`)] })
      const plain = Agent.make("agent", { toolkit })
      yield* Effect.gen(function*() {
        const first = yield* Agent.run(changing, { prompt: "go" })
        assert.deepStrictEqual(first.approvals.map(({ params }) => params), [{ file: "f0" }])
        const second = yield* Agent.resume(changing, { result: first }, approveAll(first))
        assert.deepStrictEqual(second.approvals.map(({ params, tool }) => [tool, params]), [["remove", { file: "f1" }]])
        const third = yield* Agent.resume(plain, { result: second }, approveAll(second))
        assert.deepStrictEqual(third.approvals.map(({ params, tool }) => [tool, params]), [["guarded", { file: "b" }]])
        assert.deepStrictEqual(log, [])
        yield* Agent.resume(plain, { result: third }, approveAll(third))
        assert.deepStrictEqual(log, ["guarded b"])
      }).pipe(Effect.provide(handlers(log)))
    }).pipe(Effect.provide([script([guarded, text("done")]), ids])))

  it.effect("of a nested run is asked for by the outer one", () =>
    Effect.gen(function*() {
      const log: Log = []
      const child = Agent.make("child", { toolkit, middleware: [asRemove("shell")] })
      const outer = Agent.make("outer", {
        toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })),
        providers: [SessionHistory.provider]
      })
      yield* Effect.gen(function*() {
        const asked = yield* Agent.run(outer, { prompt: "go", session: "s" })
        assert.deepStrictEqual(asked.approvals.map(({ params, path, tool }) => ({ params, path, tool })), [
          { params: { file: "a" }, path: ["child"], tool: "remove" }
        ])
        const edited = asked.approvals.map((one) => Approval.approve(one, { params: { file: "c" } }))
        const done = yield* Agent.resume(outer, { session: "s" }, edited)
        assert.deepStrictEqual([done.text, log], ["done", ["remove c"]])
      }).pipe(Effect.provide(handlers(log)))
    }).pipe(Effect.provide([
      script([toolCalls({ name: "ask", params: { prompt: "x" } }), shell, text("child done"), text("done")]),
      ids,
      SessionStore.layerMemory
    ])))

  for (const keeping of [true, false]) {
    it.effect(`that is an agent is asked for once, whatever its run asks for (${keeping ? "a session" : "a result"})`, () =>
      Effect.gen(function*() {
        const log: Log = []
        const child = Agent.make("child", { toolkit })
        const asking = Toolkit.make(AgentTool.make(child, { name: "ask", needsApproval: true }).tool, Shell)
        const asAsk = Middleware.make("as-ask", {
          tool: (request, next) =>
            request.name === "shell"
              ? next({ ...request, name: "ask", params: { prompt: "remove them" } })
              : next(request)
        })
        const outer = Agent.make("outer", {
          toolkit: asking,
          middleware: [asAsk],
          providers: keeping ? [SessionHistory.provider] : []
        })
        const { handler } = AgentTool.make(child, { name: "ask", needsApproval: true })
        const session = keeping ? "s" : undefined
        yield* Effect.gen(function*() {
          let run = yield* Agent.run(outer, { prompt: "go", session })
          const asked: Array<unknown> = []
          while (run.approvals.length > 0) {
            asked.push(run.approvals.map(({ params, path, tool }) => [...path, tool, params]))
            run = yield* Agent.resume(outer, keeping ? { session: "s" } : { result: run }, approveAll(run))
          }
          assert.deepStrictEqual(asked, [
            [["ask", { prompt: "remove them" }]],
            [["child", "remove", { file: "a" }]],
            [["child", "guarded", { file: "b" }]]
          ])
          assert.deepStrictEqual([run.text, log], ["done", ["remove a", "guarded b"]])
        }).pipe(Effect.provide([
          handlers(log),
          asking.toLayer({ ask: handler, shell: () => Effect.succeed("never") })
        ]))
      }).pipe(Effect.provide([
        script([
          shell,
          toolCalls({ name: "remove", params: { file: "a" }, id: "one" }),
          toolCalls({ name: "guarded", params: { file: "b" }, id: "two" }),
          text("child done"),
          text("done")
        ]),
        ids,
        SessionStore.layerMemory
      ])))
  }

  it.effect("cannot be asked with parameters that are no JSON: the call is denied", () =>
    Effect.gen(function*() {
      const log: Log = []
      const odd = Agent.make("agent", { toolkit, middleware: [asRemove("shell", () => 1n)] })
      const run = yield* Effect.provide(Agent.run(odd, { prompt: "go" }), handlers(log))
      assert.deepStrictEqual([run.stopReason, run.approvals, log], ["stop", [], []])
    }).pipe(Effect.provide([script([shell, text("done")]), ids])))
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Stream } from "effect"
import { Toolkit } from "effect/ai"
import {
  Agent,
  AgentError,
  type AgentRun,
  AgentTool,
  Approval,
  Session,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
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
          approvalId: "approval-3",
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
        // the caller keeps it with its call until it is answered
        assert.deepStrictEqual(showPrompt(yield* history(AgentTool.ownSession("s", "ask"))), [])
        yield* run(Agent.resume(outer, { session: "s" }, approveAll(asked)))
        assert.deepStrictEqual(log, ["remove a"])
        assert.deepStrictEqual(showPrompt(yield* history(AgentTool.ownSession("s", "ask"))), [
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

    describe("two of one step with sessions of their own", () => {
      const kinds = [SessionHistory.provider, SessionHistory.providerEveryStep]
      const make = (kind: typeof SessionHistory.provider) => {
        const remembering = Agent.make("child", { toolkit, providers: [kind] })
        return Agent.make("outer", {
          toolkit: AgentTool.toolkit(AgentTool.make(remembering, { name: "ask", session: "own" })),
          providers: [kind]
        })
      }
      /** Each child looks first, then asks: its answers depend on what it was asked alone. */
      const child: ScriptedModel.Step = ({ prompt, tools }) => {
        const said = showPrompt(prompt)
        const last = said.at(-1)!
        if (tools.includes("ask")) {
          return last.startsWith("tool:")
            ? text("done")
            : toolCalls(delegate("a"), delegate("b"))
        }
        const file = said.findLast((line) => line.startsWith("user: "))!.slice("user: ".length)
        if (last.startsWith("user:")) return toolCalls(look(file))
        return last.includes("look#") ? toolCalls(remove(file)) : text(`${file} is gone`)
      }
      const conversation = (file: string) => [
        `user: ${file}`,
        `assistant: look#l-${file}({"file":"${file}"})`,
        `tool: look#l-${file} = "saw ${file}"`,
        `assistant: remove#r-${file}({"file":"${file}"}), tool-approval-request`,
        "tool: tool-approval-response",
        `tool: remove#r-${file} = "no ${file}"`,
        `assistant: ${file} is gone`
      ]
      for (const [index, kind] of kinds.entries()) {
        for (const order of [["a"], ["b"], ["a", "b"], ["b", "a"], ["a+b"], ["b+a"]]) {
          it.effect(`are answered in any order: ${order.join(", ")} (${index})`, () =>
            Effect.gen(function*() {
              const log: Log = []
              const run = Effect.provide(handlers(log))
              // each time as in another process: an agent of its own, and only the session known
              yield* run(Agent.run(make(kind), { prompt: "go", session: "s" }))
              for (const files of order) {
                const pending = Approval.pending(yield* history("s"))
                const answers = files.split("+").map((file) =>
                  Approval.approve(pending.find(({ toolCallId }) => toolCallId === `r-${file}`)!)
                )
                const { stopReason } = yield* run(Agent.resume(make(kind), { session: "s" }, answers))
                assert.strictEqual(stopReason, pending.length > answers.length ? "approval-required" : "stop")
              }
              const answered = order.flatMap((files) => files.split("+"))
              const removed = log.filter((line) => line.startsWith("remove"))
              assert.deepStrictEqual(removed.toSorted(), answered.map((file) => `remove ${file}`).toSorted())
              // what was answered together runs in call order
              assert.deepStrictEqual(
                showPrompt(yield* history(AgentTool.ownSession("s", "ask"))),
                removed.flatMap((line) => conversation(line.slice("remove ".length)))
              )
              for (const id of ["s", AgentTool.ownSession("s", "ask")]) {
                const stored = (yield* history(id)).content
                const waiting = new Set(answered.length === 2 ? [] : ["c-a", "c-b"])
                assert.strictEqual(Session.close(stored, { except: waiting }), stored)
              }
            }).pipe(Effect.provide(layers(...Array.from({ length: 20 }, () => child)))))
        }
      }

      it.effect("cannot be answered behind the back of their caller", () =>
        Effect.gen(function*() {
          const log: Log = []
          const run = Effect.provide(handlers(log))
          const seen: Array<AgentRun.Result> = []
          yield* run(
            Stream.runForEach(Agent.stream(make(SessionHistory.provider), { prompt: "go", session: "s" }), (part) =>
              Effect.sync(() => {
                if (part.type === "agent-part" && part.part.type === "run-end") {
                  seen.push(part.part.result)
                }
              }))
          )
          const alone = Agent.make("child", { toolkit, providers: [SessionHistory.provider] })
          for (const result of seen) {
            const [approval] = result.approvals
            const session = AgentTool.ownSession("s", "ask")
            for (const waiting of [{ result }, { session }]) {
              assert.deepStrictEqual(
                yield* Effect.flip(run(Agent.resume(alone, waiting, [Approval.approve(approval!)]))),
                AgentError.make("child", new AgentError.InvalidSession({ session }))
              )
            }
          }
          assert.strictEqual(seen.length, 2)
          assert.deepStrictEqual(
            log.filter((line) =>
              line.startsWith("remove")
            ),
            []
          )
        }).pipe(Effect.provide(layers(...Array.from({ length: 20 }, () => child)))))
    })
  })
})

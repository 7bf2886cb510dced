import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Result, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentTool, Approval, ContextProvider, Middleware, SessionHistory, SessionStore } from "../src/index.ts"
import { ClientTools } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { history, ids, prompts, rejection } from "./fixtures/approvals.ts"
import { collectAll } from "./utils.ts"

const { layer: script, text, toolCalls } = ScriptedModel

const SetColor = ClientTools.make("set_color", {
  description: "Changes the color of the page",
  parameters: Schema.Struct({ color: Schema.String }),
  success: Schema.Struct({ before: Schema.String, at: Schema.optional(Schema.DateFromString) })
})
const Remove = Tool.make("remove", {
  parameters: Schema.Struct({ file: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
const Look = Tool.make("look", { success: Schema.String })
const toolkit = Toolkit.make(SetColor, Remove, Look)

const make = () => {
  const done: Array<string> = []
  const handlers = toolkit.toLayer({
    set_color: ClientTools.handler,
    remove: ({ file }) => Effect.sync(() => (done.push(`remove ${file}`), "gone")),
    look: () => Effect.sync(() => (done.push("look"), "seen"))
  })
  return { done, handlers }
}

const painter = Agent.make("painter", { toolkit, providers: [SessionHistory.provider] })

const paint = (color: string, id = `p-${color}`): ScriptedModel.ToolCall => ({
  name: "set_color",
  params: { color },
  id
})
const remove = (file: string): ScriptedModel.ToolCall => ({ name: "remove", params: { file }, id: `r-${file}` })

const layers = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
  Layer.mergeAll(script(steps), SessionStore.layerMemory, ids)

const layersWith = <A>(handlers: Layer.Layer<A>, ...steps: ReadonlyArray<ScriptedModel.Step>) =>
  Layer.merge(handlers, layers(...steps))

const pending = Effect.map(history("s"), Approval.pending)

const Openfile: ClientTools.Declaration = {
  name: "open_file",
  description: "Opens a file in the editor",
  parameters: { type: "object", properties: { path: { type: "string" } }, required: ["path"] }
}
const declaring = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  agent: Agent.Agent<Tools, E, R, A, P>,
  ...declarations: ReadonlyArray<ClientTools.Declaration>
) => Result.getOrThrow(ClientTools.withDeclared(agent, declarations))

describe("ClientTools", () => {
  it.effect("a call waits for the client, beside calls that run, and its checked result is what the model reads", () => {
    const { done, handlers } = make()
    return Effect.gen(function*() {
      const asked = yield* Agent.run(painter, { prompt: "go", session: "s" })
      assert.strictEqual(asked.stopReason, "approval-required")
      assert.deepStrictEqual(done, ["look"])
      assert.deepStrictEqual(asked.approvals, [{
        approvalId: asked.approvals[0].approvalId,
        toolCallId: "p-blue",
        tool: "set_color",
        params: { color: "blue" },
        path: [],
        runsIn: "client"
      }])
      // what the session keeps is the same
      const waiting = yield* pending
      assert.deepStrictEqual(waiting, asked.approvals)
      const result = { before: "white", at: "2026-01-02T03:04:05.000Z", more: "not in the schema" }
      const done2 = yield* Agent.resume(painter, { session: "s" }, [Approval.giveResult(waiting[0], result)])
      assert.strictEqual(done2.text, "blue it is")
      const call = done2.steps[0].toolCalls[0]
      assert.deepStrictEqual([call.name, call.isFailure], ["set_color", false])
      const last = (yield* prompts)[1]
      assert.strictEqual(
        last.at(-1),
        "tool: look#l = \"seen\", set_color#p-blue = {\"before\":\"white\",\"at\":\"2026-01-02T03:04:05.000Z\"}"
      )
    }).pipe(
      Effect.provide(
        layersWith(handlers, toolCalls(paint("blue"), { name: "look", params: {}, id: "l" }), text("blue it is"))
      )
    )
  })

  it.effect("a part of a result has the decoded result, and a failure is a text that the model reads", () => {
    const { handlers } = make()
    return Effect.gen(function*() {
      yield* Agent.run(painter, { prompt: "go", session: "s" })
      const [blue, red] = yield* pending
      const { parts } = yield* collectAll(Agent.resumeStream(painter, { session: "s" }, [
        Approval.giveResult(blue, { before: "white" }),
        Approval.giveFailure(red, "no red here")
      ]))
      const results = parts.flatMap((part) => part.type === "tool-result" ? [part] : [])
      assert.deepStrictEqual(
        results.map(({ id, isFailure, result }) => [id, isFailure, result]),
        [["p-blue", false, { before: "white" }], ["p-red", true, "no red here"]]
      )
    }).pipe(
      Effect.provide(layersWith(handlers, toolCalls(paint("blue"), paint("red")), text("done")))
    )
  })

  it.effect("a client may refuse a call, and calls without an answer go on waiting", () => {
    const { handlers } = make()
    return Effect.gen(function*() {
      yield* Agent.run(painter, { prompt: "go", session: "s" })
      const [blue] = yield* pending
      const again = yield* Agent.resume(painter, { session: "s" }, [Approval.deny(blue, "not now")])
      assert.deepStrictEqual([again.stopReason, again.approvals.map(({ toolCallId }) => toolCallId)], [
        "approval-required",
        ["p-red"]
      ])
      const end = yield* Agent.resume(painter, { session: "s" }, [
        Approval.giveResult(again.approvals[0], { before: "" })
      ])
      assert.strictEqual(end.text, "done")
    }).pipe(
      Effect.provide(layersWith(handlers, toolCalls(paint("blue"), paint("red")), text("done")))
    )
  })

  describe("what is refused", () => {
    const asking = layers(toolCalls(paint("blue"), remove("a")), text("done"))

    it.effect("a result for a call of another tool runs nothing", () => {
      const { done, handlers } = make()
      return Effect.gen(function*() {
        yield* Agent.run(painter, { prompt: "go", session: "s" })
        const [, removing] = yield* pending
        const forged = { ...removing, runsIn: "client" as const }
        for (const approval of [removing, forged]) {
          const answers = [Approval.giveResult(approval, "gone")]
          assert.deepStrictEqual(
            yield* rejection(Agent.resume(painter, { session: "s" }, answers)),
            ["invalid", removing.approvalId]
          )
        }
        assert.deepStrictEqual([done, (yield* pending).length], [[], 2])
      }).pipe(Effect.provide(Layer.merge(handlers, asking)))
    })

    it.effect("the approval of a person is no result, and neither is what does not fit the schema", () => {
      const { done, handlers } = make()
      return Effect.gen(function*() {
        yield* Agent.run(painter, { prompt: "go", session: "s" })
        const [painting] = yield* pending
        const { runsIn: _, ...bare } = painting
        const deep = (levels: number): unknown => levels === 0 ? 1 : [deep(levels - 1)]
        const wrong = [
          Approval.approve(painting),
          Approval.approve(bare),
          Approval.approve(painting, { params: { color: "red" } }),
          Approval.giveResult(painting, "white"),
          Approval.giveResult(painting, { before: 1 }),
          Approval.giveResult(painting, undefined),
          Approval.giveResult(painting, deep(2000)),
          { ...Approval.giveFailure(painting, ""), result: { not: "a text" } } as Approval.Answer
        ]
        for (const answer of wrong) {
          assert.deepStrictEqual(
            yield* rejection(Agent.resume(painter, { session: "s" }, [answer])),
            ["invalid", painting.approvalId]
          )
        }
        assert.deepStrictEqual([done, (yield* pending).length], [[], 2])
      }).pipe(Effect.provide(Layer.merge(handlers, asking)))
    })

    it.effect("a result is given once", () => {
      const { handlers } = make()
      return Effect.gen(function*() {
        yield* Agent.run(painter, { prompt: "go", session: "s" })
        const [painting] = yield* pending
        const answer = Approval.giveResult(painting, { before: "white" })
        yield* Agent.resume(painter, { session: "s" }, [answer])
        assert.deepStrictEqual(
          yield* rejection(Agent.resume(painter, { session: "s" }, [answer])),
          ["answered", painting.approvalId]
        )
      }).pipe(Effect.provide(Layer.merge(handlers, asking)))
    })

    it.effect("a call that waited for a client never runs a tool that has taken its name", () => {
      const { done, handlers } = make()
      const bare = Agent.make("painter", { providers: [SessionHistory.provider] })
      const declared = declaring(bare, { ...Openfile, name: "remove" })
      return Effect.gen(function*() {
        yield* Agent.run(declared, { prompt: "go", session: "s" })
        const [waiting] = yield* pending
        assert.strictEqual(waiting.runsIn, "client")
        // now the server itself has a tool with this name, which needs the approval of a person
        const asked = yield* Agent.resume(painter, { session: "s" }, [Approval.giveResult(waiting, "gone")])
        assert.deepStrictEqual([done, asked.stopReason], [[], "approval-required"])
        assert.deepStrictEqual(asked.approvals.map(({ runsIn, tool }) => [tool, runsIn]), [["remove", undefined]])
        yield* Agent.resume(painter, { session: "s" }, asked.approvals.map((approval) => Approval.approve(approval)))
        assert.deepStrictEqual(done, ["remove a"])
      }).pipe(Effect.provide(layersWith(handlers, toolCalls(remove("a")), text("done"))))
    })

    it.effect("no standing rule lets a call run without the client, and one that forbids it holds", () => {
      const { handlers } = make()
      return Effect.gen(function*() {
        const asked = yield* Agent.run(painter, { prompt: "go", session: "s" }).pipe(
          Effect.provideService(Approval.Rules, [Approval.always(SetColor), Approval.always(Remove)])
        )
        assert.deepStrictEqual(asked.approvals.map(({ tool }) => tool), ["set_color"])
        const denied = yield* Agent.run(painter, { prompt: "go", session: "t" }).pipe(
          Effect.provideService(Approval.Rules, [Approval.never(SetColor)])
        )
        assert.deepStrictEqual([denied.stopReason, denied.steps[0].toolCalls[0].isFailure], ["stop", true])
      }).pipe(
        Effect.provide(layersWith(handlers, toolCalls(paint("blue"), remove("a")), toolCalls(paint("red")), text("no")))
      )
    })
  })

  it.effect("a nested run waits for the client of the outer one, also for two calls with the same id", () => {
    const { handlers } = make()
    const child = (name: string) => AgentTool.make(Agent.make(name, { toolkit: Toolkit.make(SetColor) }), { name })
    const left = child("left")
    const right = child("right")
    const top = Agent.make("top", { toolkit: AgentTool.toolkit(left, right), providers: [SessionHistory.provider] })
    const script = (color: string) =>
      Layer.mergeAll(
        ScriptedModel.layer([
          toolCalls({ name: "left", params: { prompt: "x" }, id: "l" }, {
            name: "right",
            params: { prompt: "y" },
            id: "r"
          }),
          toolCalls(paint(color, "same")),
          toolCalls(paint(color, "same")),
          text("one is done"),
          text("another is done"),
          text("all done")
        ]),
        SessionStore.layerMemory,
        ids
      )
    return Effect.gen(function*() {
      const asked = yield* Agent.run(top, { prompt: "go", session: "s" })
      const { approvals } = asked
      assert.deepStrictEqual(approvals.map(({ path, runsIn, toolCallId }) => [path, toolCallId, runsIn]), [
        [["left"], "same", "client"],
        [["right"], "same", "client"]
      ])
      assert.deepStrictEqual(yield* pending, approvals)
      // the id of a call is not enough
      const returned = (ids: ReadonlyArray<string>) => ids.map((id, n) => ({ id, result: { before: `color ${n}` } }))
      assert.strictEqual(code(ClientTools.answersTo(approvals, returned(["same"]))), "call-ambiguous")
      const ids = approvals.map(({ approvalId }) => approvalId)
      assert.deepStrictEqual(
        Result.getOrThrow(ClientTools.answersTo(approvals, returned(ids))),
        ids.map((approvalId, n) => ({ approvalId, approved: true, result: { before: `color ${n}` } }))
      )
      const end = yield* Agent.resume(
        top,
        { session: "s" },
        approvals.map((approval, n) => Approval.giveResult(approval, { before: `color ${n}` }))
      )
      assert.strictEqual(end.text, "all done")
      const seen = (yield* prompts).slice(3, 5).map((prompt) => prompt.at(-1))
      assert.deepStrictEqual(seen.toSorted(), [
        "tool: set_color#same = {\"before\":\"color 0\"}",
        "tool: set_color#same = {\"before\":\"color 1\"}"
      ])
    }).pipe(Effect.provide(Layer.merge(handlers, script("blue"))))
  })

  it.effect("a middleware sees the result, and may call a tool of the client in place of another", () => {
    const { done, handlers } = make()
    const log: Array<string> = []
    const painting = Agent.withMiddleware(
      painter,
      Middleware.make("watch", {
        tool: (request, next) => {
          const { file } = request.params as { readonly file?: string }
          log.push(request.name)
          return next(file === undefined ? request : { ...request, name: "set_color", params: { color: file } })
        }
      })
    )
    return Effect.gen(function*() {
      const asked = yield* Agent.run(painting, { prompt: "go", session: "s" })
      assert.deepStrictEqual(asked.approvals.map(({ params, runsIn, tool }) => [tool, params, runsIn]), [
        ["set_color", { color: "a" }, "client"]
      ])
      const end = yield* Agent.resume(
        painting,
        { session: "s" },
        asked.approvals.map((approval) => Approval.giveResult(approval, { before: "green" }))
      )
      assert.deepStrictEqual([end.text, done, log], ["done", [], ["remove", "remove"]])
      assert.strictEqual((yield* prompts)[1].at(-1), "tool: remove#r-a = {\"before\":\"green\"}")
    }).pipe(Effect.provide(layersWith(handlers, toolCalls(remove("a")), text("done"))))
  })

  it.effect("a program waits for the client, too", () => {
    const { handlers } = make()
    const program = Agent.program("painter", {
      toolkit: Toolkit.make(SetColor),
      providers: [SessionHistory.provider],
      run: (_, calls) => Effect.map(calls.set_color({ color: "blue" }), ({ before }) => `it was ${before}`)
    })
    return Effect.gen(function*() {
      const asked = yield* Agent.run(program, { prompt: "go", session: "s" })
      assert.deepStrictEqual(asked.approvals.map(({ runsIn, tool }) => [tool, runsIn]), [["set_color", "client"]])
      const end = yield* Agent.resume(
        program,
        { session: "s" },
        asked.approvals.map((approval) => Approval.giveResult(approval, { before: "white" }))
      )
      assert.strictEqual(end.value, "it was white")
    }).pipe(Effect.provide(layersWith(handlers)))
  })

  describe("Declaration", () => {
    it.effect("a request declares tools for its run, and the next request need not declare them again", () =>
      Effect.gen(function*() {
        const offered: Array<Tool.Any> = []
        const spy = Middleware.make("spy", {
          model: (request, next) => {
            offered.push(...Object.values(request.toolkit?.tools ?? {}))
            return next(request)
          }
        })
        const editor = Agent.make("editor", { providers: [SessionHistory.provider], middleware: [spy] })
        const asked = yield* Agent.run(declaring(editor, Openfile), { prompt: "go", session: "s" })
        assert.deepStrictEqual(offered.map((tool) => [tool.name, tool.description, Tool.getJsonSchema(tool)]), [
          ["open_file", "Opens a file in the editor", Openfile.parameters]
        ])
        assert.deepStrictEqual(asked.approvals.map(({ params, runsIn, tool }) => [tool, params, runsIn]), [
          ["open_file", { path: "a.ts" }, "client"]
        ])
        const end = yield* Agent.resume(
          editor,
          { session: "s" },
          asked.approvals.map((approval) => Approval.giveResult(approval, { lines: [1, null, "x"] }))
        )
        assert.strictEqual(end.text, "it has lines")
        assert.strictEqual((yield* prompts)[1].at(-1), "tool: open_file#o = {\"lines\":[1,null,\"x\"]}")
      }).pipe(Effect.provide(layers(
        toolCalls({ name: "open_file", params: { path: "a.ts" }, id: "o" }),
        text("it has lines")
      ))))

    it.effect("a name that the agent has is refused, also if only a run knows it", () => {
      const { handlers } = make()
      const late = ContextProvider.make("late", {
        beforeRun: () => Effect.map(Toolkit.make(Look), (toolkit) => ({ toolkit }))
      })
      return Effect.gen(function*() {
        assert.strictEqual(code(ClientTools.withDeclared(painter, [{ ...Openfile, name: "look" }])), "tool-name-taken")
        const agent = declaring(Agent.make("a", { providers: [late] }), { ...Openfile, name: "look" })
        const cause = yield* Effect.flip(Effect.sandbox(Agent.run(agent, { prompt: "go" })))
        const refused = ClientTools.refusalOf(cause)
        assert.deepStrictEqual([refused?.code, refused?.status], ["tool-name-taken", 400])
      }).pipe(Effect.provide(layersWith(handlers)))
    })

    it("is bounded and checked", () => {
      const deep = (levels: number) => {
        let schema: Schema.Json = 1
        for (let level = 0; level < levels; level++) schema = { properties: schema }
        return schema
      }
      const good: ReadonlyArray<unknown> = [
        { name: "a" },
        { name: "a", parameters: {} },
        { name: "a", description: "x", parameters: { type: "object", properties: { a: { type: "string" } } } },
        { name: "a", parameters: deep(60) }
      ]
      const bad: ReadonlyArray<unknown> = [
        {},
        { name: "" },
        { name: "a b" },
        { name: "__proto__" },
        { name: "a".repeat(65) },
        { name: "a", description: "x".repeat(ClientTools.maximumDescription + 1) },
        { name: "a", parameters: { type: "string" } },
        { name: "a", parameters: [] },
        { name: "a", parameters: "{}" },
        { name: "a", parameters: deep(100) },
        { name: "a", parameters: deep(100_000) },
        { name: "a", parameters: { description: "x".repeat(ClientTools.maximumSchema) } }
      ]
      const is = (u: unknown) => Result.isSuccess(Schema.decodeUnknownResult(ClientTools.Declaration)(u))
      assert.deepStrictEqual(good.map(is), good.map(() => true))
      assert.deepStrictEqual(bad.map(is), bad.map(() => false))
      const all = (length: number, name = (n: number) => `t${n}`) =>
        Result.isSuccess(
          Schema.decodeResult(ClientTools.Declarations)(
            Array.from({ length }, (_, n) => ({ name: name(n) }))
          )
        )
      assert.deepStrictEqual([all(128), all(129), all(2, () => "same")], [true, false, false])
    })
  })

  it("answers only calls that wait for a client", () => {
    const approval = (id: string, runsIn?: "client"): Approval.Approval => ({
      approvalId: `a-${id}`,
      toolCallId: id,
      tool: "t",
      params: {},
      path: [],
      ...runsIn && { runsIn }
    })
    const approvals = [approval("1", "client"), approval("2")]
    const answers = (...returned: ReadonlyArray<ClientTools.Returned>) => ClientTools.answersTo(approvals, returned)
    assert.deepStrictEqual(ClientTools.waiting(approvals), [approvals[0]])
    assert.deepStrictEqual(Result.getOrThrow(answers({ id: "1", result: 5 })), [
      { approvalId: "a-1", approved: true, result: 5 }
    ])
    assert.deepStrictEqual(Result.getOrThrow(answers({ id: "a-1", failure: "no" })), [
      { approvalId: "a-1", approved: true, failure: "no" }
    ])
    assert.deepStrictEqual(Result.getOrThrow(answers({ id: "1" })), [{
      approvalId: "a-1",
      approved: true,
      result: null
    }])
    assert.deepStrictEqual(
      [answers({ id: "2", result: 5 }), answers({ id: "3" }), answers({ id: "1" }, { id: "a-1" })].map(code),
      ["call-unknown", "call-unknown", "call-answered"]
    )
  })
})

const code = (result: Result.Result<unknown, { readonly code: string }>): string | undefined =>
  Result.isFailure(result) ? result.failure.code : undefined

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentOutput,
  AgentRun,
  Approval,
  ContextProvider,
  Middleware,
  Session,
  SessionHistory,
  SessionStore,
  StopCondition
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import {
  agent,
  approveAll,
  handlers,
  history,
  ids,
  keeper,
  Look,
  look,
  prompts,
  rejection,
  Remove,
  remove,
  toolkit
} from "./fixtures/approvals.ts"
import { lines, nodeSdk } from "./fixtures/telemetry.ts"
import { Boom, collectAll, hanging, type Log, logged, showExit, showPrompt, types } from "./utils.ts"

const { fail, layer: script, text, toolCalls } = ScriptedModel

describe("Approval", () => {
  describe("a call that needs an approval", () => {
    it.effect("is not run: the others are, and the run completes with what it waits for", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { exit, parts } = yield* collectAll(Agent.stream(agent, { prompt: "go" })).pipe(
          Effect.provide(handlers(log))
        )
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(log, ["look b"])
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          "tool-call",
          "tool-call",
          "finish",
          "tool-approval-request",
          "tool-result",
          "step-end",
          "run-end"
        ])
        const end = parts.at(-1)
        if (end?.type !== "run-end") return assert.fail("no run-end")
        const { approvals, steps, stopReason, transcript } = end.result
        assert.strictEqual(stopReason, "approval-required")
        assert.deepStrictEqual(approvals, [
          { approvalId: "approval-1", toolCallId: "r-a", tool: "remove", params: { file: "a" }, path: [] }
        ])
        assert.deepStrictEqual(Approval.pending(transcript), approvals)
        assert.deepStrictEqual(showPrompt(transcript), [
          "user: go",
          "assistant: remove#r-a({\"file\":\"a\"}), look#l-b({\"file\":\"b\"}), tool-approval-request",
          "tool: look#l-b = \"saw b\""
        ])
        assert.deepStrictEqual(
          steps[0]!.toolCalls.map(({ executed, isFailure, name }) => [name, executed, isFailure]),
          [
            ["remove", false, false],
            ["look", true, false]
          ]
        )
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide([script([toolCalls(remove("a"), look("b"))]), ids])))

    it.effect("is asked for by a function that cannot tell, and with edited parameters that it reads itself", () =>
      Effect.gen(function*() {
        const Risky = Tool.make("risky", {
          parameters: Schema.Struct({ n: Schema.Int }),
          success: Schema.String,
          needsApproval: ({ n }) => n > 1 ? Effect.die("cannot tell") : false
        })
        const kit = Toolkit.make(Risky)
        const ran: Array<number> = []
        const layer = kit.toLayer({ risky: ({ n }) => Effect.sync(() => (ran.push(n), "ok")) })
        const asked = yield* Agent.run(Agent.make("agent", { toolkit: kit }), { prompt: "go" }).pipe(
          Effect.provide(layer)
        )
        assert.deepStrictEqual(ran, [1])
        assert.deepStrictEqual(asked.approvals.map(({ params }) => params), [{ n: 2 }])
      }).pipe(Effect.provide([
        script([toolCalls({ name: "risky", params: { n: 1 } }, { name: "risky", params: { n: 2 } })]),
        ids
      ])))

    it.effect("is no execution, and has no span of one", () =>
      Effect.gen(function*() {
        const program = Agent.run(agent, { prompt: "go" }).pipe(
          Effect.provide([handlers([]), script([toolCalls(remove("a"))]), ids])
        )
        const [, exported] = yield* nodeSdk.run(program)
        assert.deepStrictEqual(lines(exported).slice(1), [
          "invoke_agent agent (internal) UNSET tool_call"
        ])
      }))

    it.effect("whose parameters do not decode goes back to the model, and nobody is asked", () =>
      Effect.gen(function*() {
        const log: Log = []
        const { approvals, text } = yield* Agent.run(agent, { prompt: "go" }).pipe(Effect.provide(handlers(log)))
        assert.deepStrictEqual([approvals, text, log], [[], "sorry", []])
      }).pipe(Effect.provide([script([toolCalls({ name: "remove", params: { file: 1 } }), text("sorry")]), ids])))
  })

  describe("resume", () => {
    it.effect("from a session: runs what is approved, tells the model what is denied, and goes on", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(keeper, { prompt: "go", session: "s" }))
        assert.deepStrictEqual(log, ["look c"])
        const [a, b] = Approval.pending(yield* history("s"))
        assert.deepStrictEqual([a, b], [...asked.approvals])
        const { exit, parts } = yield* run(collectAll(
          Agent.resumeStream(keeper, { session: "s" }, [Approval.deny(a!, "keep it"), Approval.approve(b!)])
        ))
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(log, ["look c", "remove b"])
        assert.deepStrictEqual(types(parts).slice(0, 6), [
          "run-start",
          "step-start",
          "tool-result",
          "tool-result",
          "step-end",
          "step-start"
        ])
        const end = parts.at(-1)
        if (end?.type !== "run-end") return assert.fail("no run-end")
        assert.deepStrictEqual([end.result.text, end.result.stopReason, end.result.approvals], ["done", "stop", []])
        assert.deepStrictEqual(
          end.result.steps.map((
            { index, toolCalls }
          ) => [index, toolCalls.map(({ executed, id, isFailure }) => [id, executed, isFailure])]),
          [
            [0, [["r-a", false, true], ["r-b", true, false]]],
            [1, []]
          ]
        )
        const asking =
          "assistant: remove#r-a({\"file\":\"a\"}), remove#r-b({\"file\":\"b\"}), look#l-c({\"file\":\"c\"})"
        const denied = "remove#r-a failed = {\"type\":\"execution-denied\",\"reason\":\"keep it\"}"
        assert.deepStrictEqual(showPrompt(end.result.transcript), [
          "tool: tool-approval-response, tool-approval-response",
          `tool: ${denied}, remove#r-b = "no b"`,
          "assistant: done"
        ])
        // all of it is kept, and the model sees a closed conversation without the approvals
        assert.deepStrictEqual(showPrompt(yield* history("s")), [
          "user: go",
          `${asking}, tool-approval-request, tool-approval-request`,
          "tool: look#l-c = \"saw c\"",
          ...showPrompt(end.result.transcript)
        ])
        assert.deepStrictEqual((yield* prompts)[1], [
          "user: go",
          asking,
          `tool: look#l-c = "saw c", ${denied}, remove#r-b = "no b"`
        ])
        assert.deepStrictEqual(Approval.pending(yield* history("s")), [])
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide([
        script([toolCalls(remove("a"), remove("b"), look("c")), text("done")]),
        SessionStore.layerMemory,
        ids
      ])))

    it.effect("from a result: the transcript of the new one is the whole conversation", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked = yield* Agent.run(agent, { prompt: "go" }).pipe(Effect.provide(handlers(log)))
        const done = yield* Agent.resume(agent, { result: asked }, approveAll(asked)).pipe(
          Effect.provide(handlers(log))
        )
        assert.deepStrictEqual(log, ["remove a"])
        assert.deepStrictEqual(showPrompt(done.transcript), [
          "user: go",
          "assistant: remove#r-a({\"file\":\"a\"}), tool-approval-request",
          "tool: tool-approval-response",
          "tool: remove#r-a = \"no a\"",
          "assistant: done"
        ])
      }).pipe(Effect.provide([script([toolCalls(remove("a")), text("done")]), ids])))

    it.effect("with edited parameters: they run, are decoded, and are what the model sees and the session keeps", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(keeper, { prompt: "go", session: "s" }))
        const wrong = Agent.resume(keeper, { session: "s" }, approveAll(asked, { params: { file: 7 } }))
        assert.deepStrictEqual(yield* rejection(run(wrong)), ["invalid", "approval-1"])
        const noJson = Agent.resume(keeper, { session: "s" }, approveAll(asked, { params: { file: () => 1 } }))
        assert.deepStrictEqual(yield* rejection(run(noJson)), ["invalid", "approval-1"])
        assert.deepStrictEqual(log, [])
        const done = yield* run(
          Agent.resume(keeper, { session: "s" }, approveAll(asked, { params: { file: "z" } }))
        )
        assert.deepStrictEqual(log, ["remove z"])
        assert.deepStrictEqual(done.steps[0]!.toolCalls[0]!.params, { file: "z" })
        yield* run(Agent.run(keeper, { prompt: "and?", session: "s" }))
        const seen = ["user: go", "assistant: remove#r-a({\"file\":\"z\"})", "tool: remove#r-a = \"no z\""]
        assert.deepStrictEqual((yield* prompts).slice(1), [seen, [...seen, "assistant: done", "user: and?"]])
      }).pipe(Effect.provide([
        script([toolCalls(remove("a")), text("done"), text("again")]),
        SessionStore.layerMemory,
        ids
      ])))

    it.effect("with a part of the answers: the rest waits on, and no model is called", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(agent, { prompt: "go" }))
        const [a, b] = asked.approvals
        const half = yield* run(Agent.resume(agent, { result: asked }, [Approval.approve(b!)]))
        assert.deepStrictEqual([half.stopReason, half.approvals, half.usage, log], [
          "approval-required",
          [a],
          AgentRun.emptyUsage,
          ["remove b"]
        ])
        const done = yield* run(Agent.resume(agent, { result: half }, [Approval.deny(a!)]))
        assert.deepStrictEqual([done.text, log], ["done", ["remove b"]])
        assert.deepStrictEqual(
          (yield* prompts)[1]!.at(-1),
          "tool: remove#r-b = \"no b\", remove#r-a failed = {\"type\":\"execution-denied\",\"reason\":\"The call was denied\"}"
        )
      }).pipe(Effect.provide([script([toolCalls(remove("a"), remove("b")), text("done")]), ids])))

    it.effect("may ask again", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const first = yield* run(Agent.run(agent, { prompt: "go" }))
        const second = yield* run(Agent.resume(agent, { result: first }, approveAll(first)))
        assert.deepStrictEqual(second.approvals.map(({ approvalId, params }) => [approvalId, params]), [["approval-2", {
          file: "b"
        }]])
        const third = yield* run(Agent.resume(agent, { result: second }, approveAll(second)))
        assert.deepStrictEqual([third.text, log], ["done", ["remove a", "remove b"]])
      }).pipe(Effect.provide([script([toolCalls(remove("a")), toolCalls(remove("b")), text("done")]), ids])))

    it.effect("of a conversation that has gone on is rejected; the run that went on closed the calls", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(keeper, { prompt: "go", session: "s" }))
        yield* run(Agent.run(keeper, { prompt: "never mind", session: "s" }))
        const interrupted =
          "tool: remove#r-a failed = {\"type\":\"execution-interrupted\",\"reason\":\"The run ended before this tool call had a result\"}"
        assert.deepStrictEqual((yield* prompts)[1], [
          "user: go",
          "assistant: remove#r-a({\"file\":\"a\"})",
          interrupted,
          "user: never mind"
        ])
        const stored = yield* history("s")
        assert.deepStrictEqual(showPrompt(stored).slice(2), [interrupted, "user: never mind", "assistant: fine"])
        assert.strictEqual(Session.close(stored.content), stored.content)
        const late = run(Agent.resume(keeper, { session: "s" }, approveAll(asked)))
        assert.deepStrictEqual(yield* rejection(late), ["expired", "approval-1"])
        assert.deepStrictEqual(log, [])
      }).pipe(Effect.provide([
        script([toolCalls(remove("a")), text("fine")]),
        SessionStore.layerMemory,
        ids
      ])))
  })

  describe("an answer is rejected, and nothing runs,", () => {
    const waiting = Effect.fnUntraced(function*(log: Log) {
      return yield* Agent.run(keeper, { prompt: "go", session: "s" }).pipe(Effect.provide(handlers(log)))
    })
    const layers = Layer.mergeAll(
      script([toolCalls(remove("a"), remove("b")), text("done"), text("more")]),
      SessionStore.layerMemory,
      ids
    )
    const cases: ReadonlyArray<
      readonly [
        string,
        (a: Approval.Approval, b: Approval.Approval) => ReadonlyArray<Approval.Answer>,
        problem: string,
        approvalId: string
      ]
    > = [
      ["when nobody has asked", (a) => [Approval.approve({ ...a, approvalId: "made up" })], "unknown", "made up"],
      [
        "when one of them was not asked for",
        (a, b) => [Approval.approve(a), Approval.approve({ ...b, approvalId: "x" })],
        "unknown",
        "x"
      ],
      ["for other parameters", (a) => [Approval.approve({ ...a, params: { file: "b" } })], "changed", "approval-1"],
      ["for another tool", (a) => [Approval.approve({ ...a, tool: "look" })], "changed", "approval-1"],
      ["for another call", (a, b) => [Approval.approve({ ...a, toolCallId: b.toolCallId })], "changed", "approval-1"],
      ["for another agent", (a) => [Approval.approve({ ...a, path: ["child"] })], "changed", "approval-1"],
      ["given twice at once", (a) => [Approval.approve(a), Approval.deny(a)], "answered", "approval-1"],
      ["without any", () => [], "unknown", ""]
    ]
    for (const [what, answers, problem, approvalId] of cases) {
      for (const from of ["session", "result"] as const) {
        it.effect(`${what} (${from})`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const asked = yield* from === "session"
              ? waiting(log)
              : Agent.run(agent, { prompt: "go" }).pipe(Effect.provide(handlers(log)))
            const [a, b] = asked.approvals
            const before = yield* history("s")
            const resumed = from === "session"
              ? Agent.resume(keeper, { session: "s" }, answers(a!, b!))
              : Agent.resume(agent, { result: asked }, answers(a!, b!))
            assert.deepStrictEqual(yield* rejection(Effect.provide(resumed, handlers(log))), [problem, approvalId])
            assert.deepStrictEqual(log, [])
            assert.deepStrictEqual(yield* history("s"), before)
          }).pipe(Effect.provide(layers)))
      }
    }

    it.effect("given before", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* waiting(log)
        const answers = approveAll(asked)
        yield* run(Agent.resume(keeper, { session: "s" }, answers))
        assert.deepStrictEqual(yield* rejection(run(Agent.resume(keeper, { session: "s" }, answers))), [
          "answered",
          "approval-1"
        ])
        // the result knows less than the session
        assert.deepStrictEqual(yield* rejection(run(Agent.resume(keeper, { result: asked }, answers))), [
          "answered",
          "approval-1"
        ])
        assert.deepStrictEqual(log, ["remove a", "remove b"])
      }).pipe(Effect.provide(layers)))

    /** How two that run at the same time end. */
    const twiceAtOnce = <E, R>(run: Effect.Effect<AgentRun.Result, E, R>) =>
      Effect.map(
        Effect.all([Effect.exit(run), Effect.exit(run)], { concurrency: "unbounded" }),
        (both) => both.map(showExit).sort()
      )
    const onlyOne = ["Completed \"done\"", "Failed Fail AgentError.ApprovalRejected after \"\""]

    it.effect("given at the same time: the tool runs once", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked = yield* waiting(log)
        const resumed = Agent.resume(keeper, { session: "s" }, approveAll(asked))
        assert.deepStrictEqual(yield* Effect.provide(twiceAtOnce(resumed), handlers(log)), onlyOne)
        assert.deepStrictEqual(log, ["remove a", "remove b"])
      }).pipe(Effect.provide(layers)))

    it.effect("given at the same time for one result: the tool runs once", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked = yield* Agent.run(agent, { prompt: "go" }).pipe(Effect.provide(handlers(log)))
        const resumed = Agent.resume(agent, { result: asked }, approveAll(asked))
        assert.deepStrictEqual(yield* Effect.provide(twiceAtOnce(resumed), handlers(log)), onlyOne)
        assert.deepStrictEqual(log, ["remove a", "remove b"])
      }).pipe(Effect.provide(layers)))

    it.effect("when another process has saved in the meantime: a conflict, and the tool runs once", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked = yield* waiting(log)
        const store = yield* SessionStore.SessionStore
        // as another process does: without a turn, both have loaded before one of them saves
        const loaded = yield* Effect.all([Deferred.make<void>(), Deferred.make<void>()])
        let loads = 0
        const other = SessionStore.SessionStore.of({
          ...store,
          serialize: () => Effect.void,
          load: (id) =>
            Effect.tap(store.load(id), () =>
              Effect.andThen(
                Effect.suspend(() => Deferred.succeed(loaded[loads++]!, undefined)),
                Effect.all(loaded.map(Deferred.await))
              ))
        })
        const both = yield* Effect.forEach(
          [1, 2],
          () =>
            Effect.exit(
              Agent.resume(keeper, { session: "s" }, approveAll(asked)).pipe(
                Effect.provideService(SessionStore.SessionStore, other)
              )
            ),
          { concurrency: "unbounded" }
        ).pipe(Effect.provide(handlers(log, (file) => Effect.as(Effect.yieldNow, file))))
        assert.deepStrictEqual(both.map(showExit).sort(), [
          "Completed \"done\"",
          "Failed Fail SessionError.SessionConflict after \"\""
        ])
        assert.deepStrictEqual(log, ["remove a", "remove b"])
      }).pipe(Effect.provide(layers)))
  })

  describe("a resumed run", () => {
    const layers = (...steps: ReadonlyArray<ScriptedModel.Step>) =>
      Layer.mergeAll(script([toolCalls(remove("a")), ...steps]), SessionStore.layerMemory, ids)
    const withLog = (log: Log) =>
      Agent.make("keeper", { toolkit, providers: [logged("p", log), SessionHistory.provider] })

    it.effect("completes: its providers see the answers, once each", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const seen: Array<unknown> = []
        const watching = ContextProvider.make("watching", {
          beforeRun: ({ answers }) => Effect.sync(() => void seen.push(answers?.length))
        })
        const agent = Agent.make("keeper", {
          toolkit,
          providers: [logged("p", log), SessionHistory.provider, watching]
        })
        const asked = yield* run(Agent.run(agent, { prompt: "go", session: "s" }))
        yield* run(Agent.resume(agent, { session: "s" }, approveAll(asked)))
        assert.deepStrictEqual(seen, [undefined, 1])
        assert.deepStrictEqual(log, [
          "p before",
          "p after \"\"",
          "p end: Completed \"\"",
          "p before",
          "remove a",
          "p after \"done\"",
          "p end: Completed \"done\""
        ])
      }).pipe(Effect.provide(layers(text("done")))))

    it.effect("that fails in the model keeps what came of the answered calls", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const agent = withLog(log)
        const asked = yield* run(Agent.run(agent, { prompt: "go", session: "s" }))
        const exit = yield* Effect.exit(run(Agent.resume(agent, { session: "s" }, approveAll(asked))))
        assert.strictEqual(showExit(exit), "Failed Fail AiError.RateLimitError after \"\"")
        assert.deepStrictEqual(log.at(-1), "p end: Failed Fail AiError.RateLimitError after \"\"")
        assert.deepStrictEqual(showPrompt(yield* history("s")).slice(2), [
          "tool: tool-approval-response",
          "tool: remove#r-a = \"no a\""
        ])
        const next = yield* run(Agent.run(agent, { prompt: "again", session: "s" }))
        assert.strictEqual(next.text, "done")
        assert.deepStrictEqual((yield* prompts).at(-1), [
          "user: go",
          "assistant: remove#r-a({\"file\":\"a\"})",
          "tool: remove#r-a = \"no a\"",
          "user: again"
        ])
      }).pipe(Effect.provide(layers(fail(new AiError.RateLimitError({})), text("done")))))

    it.effect("whose tool fails fails with its type; the call is interrupted from then on, and cannot be answered again", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = withLog(log)
        const run = Effect.provide(handlers(log, (file) => Effect.fail(new Boom({ of: file }))))
        const asked = yield* run(Agent.run(agent, { prompt: "go", session: "s" }))
        const answers = approveAll(asked)
        const exit = yield* Effect.exit(run(Agent.resume(agent, { session: "s" }, answers)))
        assert.strictEqual(showExit(exit), "Failed Fail Boom(a) after \"\"")
        assert.deepStrictEqual(yield* rejection(run(Agent.resume(agent, { session: "s" }, answers))), [
          "answered",
          "approval-1"
        ])
        yield* run(Agent.run(agent, { prompt: "again", session: "s" }))
        assert.deepStrictEqual((yield* prompts).at(-1)!.slice(2), [
          "tool: remove#r-a failed = {\"type\":\"execution-interrupted\",\"reason\":\"The run ended before this tool call had a result\"}",
          "user: again"
        ])
        assert.deepStrictEqual(log.filter((line) => line.startsWith("remove")), ["remove a"])
      }).pipe(Effect.provide(layers(text("done")))))

    it.effect("that is interrupted interrupts the tool first", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = withLog(log)
        const started = yield* Deferred.make<void>()
        const run = Effect.provide(
          handlers(log, () => Effect.andThen(Deferred.succeed(started, undefined), hanging("tool", log)))
        )
        const asked = yield* run(Agent.run(agent, { prompt: "go", session: "s" }))
        const fiber = yield* Effect.forkChild(run(Agent.resume(agent, { session: "s" }, approveAll(asked))))
        yield* Deferred.await(started)
        yield* Effect.yieldNow
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(showExit(yield* Fiber.await(fiber)), "Interrupted after \"\"")
        assert.deepStrictEqual(log.slice(-3), ["tool runs", "tool interrupted", "p end: Interrupted after \"\""])
        assert.deepStrictEqual(Approval.pending(yield* history("s")), [])
      }).pipe(Effect.provide(layers())))

    it.effect("that nobody reads on after its first results has kept the answers", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = withLog(log)
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(agent, { prompt: "go", session: "s" }))
        const parts = yield* run(Stream.runCollect(Stream.takeUntil(
          Agent.resumeStream(agent, { session: "s" }, approveAll(asked)),
          (part) => part.type === "tool-result"
        )))
        assert.deepStrictEqual(types(parts), ["run-start", "step-start", "tool-result"])
        assert.strictEqual(log.at(-1), "p end: Abandoned after \"\"")
        assert.deepStrictEqual(showPrompt(yield* history("s")).slice(2), [
          "tool: tool-approval-response",
          "tool: remove#r-a = \"no a\""
        ])
      }).pipe(Effect.provide(layers())))

    it.effect("whose first model call would be beyond a limit stops", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const agent = Agent.make("agent", { toolkit, stopWhen: [StopCondition.toolCalled("remove")] })
        const asked = yield* run(Agent.run(agent, { prompt: "go" }))
        const done = yield* run(Agent.resume(agent, { result: asked }, approveAll(asked)))
        assert.deepStrictEqual([done.stopReason, log], ["tool-called", ["remove a"]])
      }).pipe(Effect.provide(layers())))

    it.effect("goes through the middleware of its agent, at all three places", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const watching = Middleware.make("watching", {
          agent: (request, next) => {
            log.push(`run with ${request.answers?.length ?? 0} answers`)
            return next(request)
          },
          model: (request, next) => {
            log.push(`model after ${request.steps.length} steps`)
            return next(request)
          },
          tool: (request, next) => {
            log.push(`tool ${JSON.stringify(request.params)}`)
            return next(request)
          }
        })
        const agent = Agent.make("agent", { toolkit, middleware: [watching] })
        const asked = yield* run(Agent.run(agent, { prompt: "go" }))
        yield* run(Agent.resume(agent, { result: asked }, approveAll(asked)))
        assert.deepStrictEqual(log, [
          "run with 0 answers",
          "model after 0 steps",
          "tool {\"file\":\"a\"}",
          "run with 1 answers",
          "tool {\"file\":\"a\"}",
          "remove a",
          "model after 1 steps"
        ])
      }).pipe(Effect.provide(layers(text("done")))))

    it.effect("that cannot keep the answers runs nothing, and the approvals still wait", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(keeper, { prompt: "go", session: "s" }))
        const store = yield* SessionStore.SessionStore
        const full = new Session.SessionError({
          sessionId: "s",
          reason: new Session.SessionStoreUnavailable({ operation: "save", cause: new Error("full") })
        })
        const failing = { ...store, save: () => Effect.fail(full) }
        const resumed = run(Agent.resume(keeper, { session: "s" }, approveAll(asked)))
        assert.deepStrictEqual(
          yield* Effect.flip(Effect.provideService(resumed, SessionStore.SessionStore, failing)),
          full
        )
        assert.deepStrictEqual([log, Approval.pending(yield* history("s"))], [[], asked.approvals])
        assert.strictEqual((yield* resumed).text, "done")
      }).pipe(Effect.provide(layers(text("done")))))

    it.effect("that is interrupted while it keeps the answers runs nothing", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(keeper, { prompt: "go", session: "s" }))
        const store = yield* SessionStore.SessionStore
        const saving = yield* Deferred.make<void>()
        const slow = { ...store, save: () => Effect.andThen(Deferred.succeed(saving, undefined), Effect.never) }
        const fiber = yield* run(Agent.resume(keeper, { session: "s" }, approveAll(asked))).pipe(
          Effect.provideService(SessionStore.SessionStore, slow),
          Effect.forkChild
        )
        yield* Deferred.await(saving)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual(showExit(yield* Fiber.await(fiber)), "Interrupted after \"\"")
        assert.deepStrictEqual([log, Approval.pending(yield* history("s"))], [[], asked.approvals])
      }).pipe(Effect.provide(layers())))

    it.effect("whose provider fails before it begins leaves the approvals as they are", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(keeper, { prompt: "go", session: "s" }))
        const broken = Agent.make("keeper", {
          toolkit,
          providers: [SessionHistory.provider, logged("p", log, { beforeRun: Effect.fail(new Boom({ of: "p" })) })]
        })
        const exit = yield* Effect.exit(run(Agent.resume(broken, { session: "s" }, approveAll(asked))))
        assert.strictEqual(showExit(exit), "Failed Fail Boom(p) after \"\"")
        assert.deepStrictEqual(Approval.pending(yield* history("s")), asked.approvals)
      }).pipe(Effect.provide(layers())))

    it.effect("keeps each message once when every step is saved", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const agent = Agent.make("keeper", { toolkit, providers: [SessionHistory.providerEveryStep] })
        const asked = yield* run(Agent.run(agent, { prompt: "go", session: "s" }))
        yield* run(Agent.resume(agent, { session: "s" }, approveAll(asked)))
        assert.deepStrictEqual(showPrompt(yield* history("s")), [
          "user: go",
          "assistant: remove#r-a({\"file\":\"a\"}), tool-approval-request",
          "tool: tool-approval-response",
          "tool: remove#r-a = \"no a\"",
          "assistant: look#l-b({\"file\":\"b\"})",
          "tool: look#l-b = \"saw b\"",
          "assistant: done"
        ])
      }).pipe(Effect.provide(layers(toolCalls(look("b")), text("done")))))

    it.effect("of an agent with an output has its value in the end", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const agent = Agent.make("agent", {
          toolkit,
          output: AgentOutput.orWaiting(Schema.Struct({ left: Schema.Int }))
        })
        const asked = yield* run(Agent.run(agent, { prompt: "go" }))
        assert.deepStrictEqual([asked.stopReason, asked.value], ["approval-required", undefined])
        const done = yield* run(Agent.resume(agent, { result: asked }, approveAll(asked)))
        assert.deepStrictEqual([done.value, log], [{ left: 3 }, ["remove a"]])
      }).pipe(Effect.provide(layers(({ tools }) =>
        toolCalls({
          name: tools.find((name) => name !== "remove" && name !== "look") ?? "none",
          params: { left: 3 }
        })
      ))))
  })

  describe("standing rules", () => {
    const withRules = (...rules: ReadonlyArray<Approval.Rule>) => Effect.provideService(Approval.Rules, rules)
    const two = script([toolCalls(remove("a"), remove("b")), text("done")])
    const thrown = (): boolean => {
      throw new Error("bug")
    }

    it.effect("`always` lets run what its predicate holds for; the rest is asked for", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked = yield* Agent.run(agent, { prompt: "go" }).pipe(
          withRules(Approval.always(Remove, ({ file }) => file === "b")),
          Effect.provide(handlers(log))
        )
        assert.deepStrictEqual([log, asked.approvals.map(({ params }) => params)], [["remove b"], [{ file: "a" }]])
      }).pipe(Effect.provide([two, ids])))

    it.effect("`always` for all calls asks for none", () =>
      Effect.gen(function*() {
        const log: Log = []
        const done = yield* Agent.run(agent, { prompt: "go" }).pipe(
          withRules(Approval.always("remove")),
          Effect.provide(handlers(log))
        )
        assert.deepStrictEqual([log, done.text], [["remove a", "remove b"], "done"])
      }).pipe(Effect.provide([two, ids])))

    it.effect("`never` refuses with a reason that the model sees, whatever `always` says, and nobody is asked", () =>
      Effect.gen(function*() {
        const log: Log = []
        const done = yield* Agent.run(agent, { prompt: "go" }).pipe(
          withRules(
            Approval.always(Remove),
            Approval.never(Remove, ({ file }) => file === "a" && "a is not ours")
          ),
          Effect.provide(handlers(log))
        )
        assert.deepStrictEqual([log, done.text], [["remove b"], "done"])
        assert.include((yield* prompts)[1]!.at(-1), "{\"type\":\"execution-denied\",\"reason\":\"a is not ours\"}")
      }).pipe(Effect.provide([two, ids])))

    it.effect("`never` refuses what somebody has approved, and what needs no approval", () =>
      Effect.gen(function*() {
        const log: Log = []
        const run = Effect.provide(handlers(log))
        const asked = yield* run(Agent.run(agent, { prompt: "go" }))
        yield* run(Agent.resume(agent, { result: asked }, approveAll(asked))).pipe(
          withRules(Approval.never("remove"), Approval.never(Look))
        )
        assert.deepStrictEqual(log, [])
      }).pipe(Effect.provide([script([toolCalls(remove("a")), toolCalls(look("b")), text("done")]), ids])))

    it.effect("a rule that throws allows nothing", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked = yield* Agent.run(agent, { prompt: "go" }).pipe(
          withRules(Approval.always(Remove, thrown), Approval.never(Look, thrown)),
          Effect.provide(handlers(log))
        )
        assert.deepStrictEqual([log, asked.approvals.length], [[], 1])
      }).pipe(Effect.provide([script([toolCalls(remove("a"), look("b"))]), ids])))

    it.effect("a rule whose predicate answers neither yes nor no allows nothing", () =>
      Effect.gen(function*() {
        const log: Log = []
        // what plain JavaScript can give: nothing, and a promise
        const nothing: any = () => undefined
        const promise: any = () => Promise.resolve(false)
        const asked = yield* Agent.run(agent, { prompt: "go" }).pipe(
          withRules(Approval.always(Remove, promise), Approval.never(Look, nothing)),
          Effect.provide(handlers(log))
        )
        assert.deepStrictEqual([log, asked.approvals.length], [[], 1])
        const denied = yield* Agent.run(agent, { prompt: "go" }).pipe(
          withRules(Approval.never(Look, promise)),
          Effect.provide(handlers(log))
        )
        assert.deepStrictEqual([log, denied.text], [[], "done"])
        const refusal = "{\"type\":\"execution-denied\",\"reason\":\"The call is not allowed\"}"
        assert.include((yield* prompts)[2]!.at(-1), refusal)
      }).pipe(
        Effect.provide([script([toolCalls(remove("a"), look("b")), toolCalls(look("c")), text("done")]), ids])
      ))
  })
})

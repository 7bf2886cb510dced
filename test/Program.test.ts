import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Ref, Schema, Stream } from "effect"
import { AiError, IdGenerator, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentError,
  AgentRun,
  AgentTool,
  Approval,
  Budget,
  ContextProvider,
  Middleware,
  Program,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { prompts } from "./fixtures/approvals.ts"
import { collectAll, type Log, showExit, showPrompt, types } from "./utils.ts"

/** Ids that count. */
const ids = Layer.sync(IdGenerator.IdGenerator)(() => {
  let next = 0
  return { generateId: () => Effect.sync(() => `id-${next++}`) }
})

class OutOfInk extends Schema.TaggedError<OutOfInk>()("OutOfInk", { left: Schema.Int }) {}

const X = Schema.Struct({ x: Schema.String })

/** Tools of one text, which answer with it in brackets. */
const Step = Tool.make("step", { parameters: X, success: Schema.String, failure: OutOfInk })
const Other = Tool.make("other", { parameters: X, success: Schema.String })
const Gate = Tool.make("gate", { parameters: X, success: Schema.String, needsApproval: true })
const kit = Toolkit.make(Step, Other, Gate)

const handlers = (log: Log, step?: (x: string) => Effect.Effect<string, OutOfInk>) => {
  const answer = (name: string) => ({ x }: { readonly x: string }) =>
    Effect.sync(() => {
      log.push(`${name} ${x}`)
      return `${name}(${x})`
    })
  return kit.toLayer({
    step: step === undefined ? answer("step") : ({ x }) => step(x),
    other: answer("other"),
    gate: answer("gate")
  })
}

const usage = (
  input: number
) => [ScriptedModel.text("said"), ScriptedModel.finish("stop", ScriptedModel.usage(input, 1))]

describe("Program", () => {
  describe("calls", () => {
    it.effect("are steps of the run, with their results in the transcript, and the value is what the program gives", () =>
      Effect.gen(function*() {
        const agent = Agent.program("two", {
          toolkit: kit,
          run: ({ prompt }, call) =>
            Effect.gen(function*() {
              const one = yield* call.step({ x: prompt })
              return { two: yield* call.other({ x: one }) }
            })
        })
        const { parts } = yield* collectAll(Agent.stream(agent, { prompt: "go" }))
        const aCall = ["step-start", "tool-call", "tool-result", "step-end"]
        const anAnswer = ["step-start", "text-start", "text-delta", "text-end", "step-end"]
        assert.deepStrictEqual(types(parts), [
          "run-start",
          ...aCall,
          ...aCall,
          ...anAnswer,
          "run-end"
        ])
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual(result.value, { two: "other(step(go))" })
        assert.strictEqual(result.text, `{"two":"other(step(go))"}`)
        assert.deepStrictEqual(result.steps.map(({ finishReason }) => finishReason), [
          "tool-calls",
          "tool-calls",
          "stop"
        ])
        assert.deepStrictEqual(showPrompt(result.transcript), [
          "user: go",
          "assistant: step#id-1({\"x\":\"go\"})",
          "tool: step#id-1 = \"step(go)\"",
          "assistant: other#id-2({\"x\":\"step(go)\"})",
          "tool: other#id-2 = \"other(step(go))\"",
          "assistant: {\"two\":\"other(step(go))\"}"
        ])
      }).pipe(Effect.provide([handlers([]), ids])))

    it.effect("keep nothing of what the provider of a model has sent with the error of a tool", () =>
      Effect.gen(function*() {
        const error = AiError.make({
          module: "m",
          method: "x",
          reason: new AiError.InternalProviderError({
            description: "overloaded",
            http: { response: { status: 500, headers: { "set-cookie": "secret" } }, body: "secret" }
          })
        })
        const Ask = Tool.make("ask", { parameters: X, success: Schema.String, failure: AiError.AiError })
        const toolkit = Toolkit.make(Ask)
        const agent = Agent.program("asks", {
          toolkit,
          run: ({ prompt }, call) =>
            call.ask({ x: prompt }).pipe(Effect.catchTag("AiError", ({ _tag }) => Effect.succeed(_tag)))
        })
        const result = yield* Agent.run(agent, { prompt: "go" }).pipe(
          Effect.provide(toolkit.toLayer({ ask: () => Effect.fail(error) }))
        )
        assert.strictEqual(result.value, "AiError")
        const transcript = JSON.stringify(result.transcript)
        assert.include(transcript, "overloaded")
        assert.notInclude(transcript, "secret")
      }))

    it.effect("fail with the failure of their tool, whatever its failure mode", () =>
      Effect.gen(function*() {
        const agent = Agent.program("inked", {
          toolkit: kit,
          run: ({ prompt }, call) =>
            call.step({ x: prompt }).pipe(Effect.catchTag("OutOfInk", ({ left }) => call.other({ x: `${left} left` })))
        })
        const { value } = yield* Agent.run(agent, { prompt: "go" })
        assert.strictEqual(value, "other(3 left)")
      }).pipe(Effect.provide(handlers([], () => Effect.fail(new OutOfInk({ left: 3 }))))))

    it.effect("that nobody catches fail the run with the failure of their tool", () =>
      Effect.gen(function*() {
        const agent = Agent.program("inked", { toolkit: kit, run: ({ prompt }, call) => call.step({ x: prompt }) })
        const error = yield* Effect.flip(Agent.run(agent, { prompt: "go" }))
        assert.deepStrictEqual(error, new OutOfInk({ left: 0 }))
      }).pipe(Effect.provide(handlers([], () => Effect.fail(new OutOfInk({ left: 0 }))))))

    it.effect("sibling of a failing node goes on: it is interrupted, and has ended before the program goes on", () =>
      Effect.gen(function*() {
        const log: Log = []
        const begun = yield* Deferred.make<void>()
        const step = (x: string) =>
          x === "fails"
            ? Effect.andThen(Deferred.await(begun), Effect.fail(new OutOfInk({ left: 0 })))
            : Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
              Effect.onInterrupt(() => Effect.andThen(Effect.yieldNow, Effect.sync(() => log.push("sibling ended"))))
            )
        const agent = Agent.program("both", {
          toolkit: kit,
          run: (_, call) =>
            Effect.all([call.step({ x: "fails" }), call.step({ x: "hangs" })], { concurrency: 2 }).pipe(
              Effect.catchTag("OutOfInk", () => Effect.sync(() => log.push("caught")))
            )
        })
        yield* Effect.provide(Agent.run(agent, { prompt: "go" }), handlers([], step))
        assert.deepStrictEqual(log, ["sibling ended", "caught"])
      }))

    it.effect("that lose a race are interrupted, and their cost is counted", () =>
      Effect.gen(function*() {
        const agent = Agent.program("race", {
          toolkit: AgentTool.toolkit(
            AgentTool.make(Agent.make("slow", { toolkit: kit })),
            AgentTool.make(Agent.make("fast"))
          ),
          run: ({ prompt }, call) =>
            Effect.raceFirst(call.slow({ prompt }), Effect.andThen(Effect.yieldNow, call.fast({ prompt })))
        })
        const result = yield* Agent.run(agent, { prompt: "go" })
        assert.strictEqual(result.value, "said")
        assert.strictEqual(result.usage.inputTokens.total, undefined)
        assert.strictEqual(result.totalUsage.inputTokens.total, 12)
        const [loser] = result.transcript.content.flatMap((message) =>
          message.role === "tool" ? message.content.filter((part) => part.type === "tool-result" && part.isFailure) : []
        )
        assert.strictEqual(loser.type === "tool-result" && loser.name, "slow")
      }).pipe(Effect.provide([
        ScriptedModel.layer([
          [
            ScriptedModel.toolCalls({ name: "step", params: { x: "a" } }),
            ScriptedModel.finish("tool-calls", ScriptedModel.usage(7, 1))
          ],
          usage(5)
        ]),
        handlers([], () => Effect.never)
      ])))

    it.effect("of a name that the toolkit does not have are not there", () =>
      Effect.sync(() => {
        Agent.program("none", {
          toolkit: kit,
          // @ts-expect-error Property 'stepp' does not exist
          run: (_, call) => call.stepp({ x: "a" })
        })
      }))

    it.effect("whose middleware fails, fail the run and not the program", () =>
      Effect.gen(function*() {
        const refusing = Middleware.make("refusing", { tool: () => Stream.fail("refused" as const) })
        const agent = Agent.program("kept", {
          toolkit: kit,
          middleware: [refusing],
          run: ({ prompt }, call) => Effect.orElseSucceed(call.step({ x: prompt }), () => "caught")
        })
        assert.strictEqual(yield* Effect.flip(Agent.run(agent, { prompt: "go" })), "refused")
      }).pipe(Effect.provide(handlers([]))))

    it.effect("that are the answer give a text by a function where nothing was streamed; one that throws fails the run", () =>
      Effect.gen(function*() {
        const agent = (textOf: (result: string) => string) =>
          Agent.program("answers", {
            toolkit: kit,
            run: ({ prompt }, call) => call.step({ x: prompt }, { answer: textOf })
          })
        const { text, value } = yield* Agent.run(agent((result) => result.toUpperCase()), { prompt: "go" })
        assert.deepStrictEqual([text, value], ["STEP(GO)", "step(go)"])
        const broken = agent(() => {
          throw new Error("no text")
        })
        const exit = yield* Effect.exit(Agent.run(broken, { prompt: "go" }))
        assert.strictEqual(showExit(exit), `Failed Die no text after ""`)
      }).pipe(Effect.provide(handlers([]))))

    it.effect("beyond a budget are not executed, and a budget that fails ends the run", () =>
      Effect.gen(function*() {
        const agent = Agent.program("costly", {
          toolkit: kit,
          run: (_, call) =>
            Effect.andThen(call.step({ x: "a" }), call.step({ x: "b" })).pipe(
              Effect.catchTag("NotExecuted", ({ problem }) => Effect.succeed(problem))
            )
        })
        const budget = Budget.make({ toolCalls: 1 })
        const soft = yield* Agent.run(agent.withMiddleware(Budget.middleware(budget)), { prompt: "go" })
        assert.strictEqual(soft.value, "denied")
        const hard = agent.withMiddleware(Budget.middleware(Budget.orFail(budget)))
        const error = yield* Effect.flip(Agent.run(hard, { prompt: "go" }))
        assert.strictEqual(error._tag, "BudgetExceeded")
      }).pipe(Effect.provide(handlers([]))))
  })

  describe("run again", () => {
    const layers = (log: Log, step?: (x: string) => Effect.Effect<string, OutOfInk>) =>
      Layer.mergeAll(handlers(log, step), SessionStore.layerMemory)
    const stored = Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s"))

    it.effect("resume re-executes finished nodes: only what has no result is called", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.program("gated", {
          toolkit: kit,
          run: ({ prompt }, call) =>
            Effect.gen(function*() {
              const one = yield* call.step({ x: prompt })
              const two = yield* call.gate({ x: one })
              return yield* call.other({ x: two })
            })
        })
        yield* Effect.gen(function*() {
          const waiting = yield* Agent.run(agent, { prompt: "go" })
          assert.strictEqual(waiting.stopReason, "approval-required")
          assert.isUndefined(waiting.value)
          const { value } = yield* Agent.resume(
            agent,
            { result: waiting },
            waiting.approvals.map((one) => Approval.approve(one))
          )
          assert.strictEqual(value, "other(gate(step(go)))")
        }).pipe(Effect.provide(layers(log)))
        assert.deepStrictEqual(log, ["step go", "gate step(go)", "other gate(step(go))"])
      }))

    it.effect("nested approvals do not survive a restart: two wait, one is answered, the program goes on, the other waits", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.program("gates", {
          toolkit: kit,
          providers: [SessionHistory.provider],
          run: (_, call) =>
            Effect.all([
              Effect.flatMap(call.gate({ x: "a" }), (a) => call.step({ x: a })),
              Effect.flatMap(call.gate({ x: "b" }), (b) => call.other({ x: b }))
            ], { concurrency: 2 })
        })
        yield* Effect.gen(function*() {
          const first = yield* Agent.run(agent, { prompt: "go", session: "s" })
          assert.deepStrictEqual(first.approvals.map(({ params }) => params), [{ x: "a" }, { x: "b" }])
          const [a, b] = first.approvals
          const second = yield* Agent.resume(agent, { session: "s" }, [Approval.approve(a)])
          assert.deepStrictEqual(second.approvals, [b])
          assert.deepStrictEqual(log, ["gate a", "step gate(a)"])
          const third = yield* Agent.resume(agent, { session: "s" }, [Approval.approve(b)])
          assert.deepStrictEqual(third.value, ["step(gate(a))", "other(gate(b))"])
          const late = yield* Effect.flip(Agent.resume(agent, { session: "s" }, [Approval.approve(b)]))
          assert.strictEqual(late._tag === "AgentError" && late.reason._tag, "ApprovalRejected")
        }).pipe(Effect.provide(layers(log)))
        assert.deepStrictEqual(log, ["gate a", "step gate(a)", "gate b", "other gate(b)"])
      }))

    it.effect("human input is the edited parameters of a call", () =>
      Effect.gen(function*() {
        const agent = Agent.program("asks", { toolkit: kit, run: (_, call) => call.gate({ x: "your name?" }) })
        const waiting = yield* Agent.run(agent, { prompt: "go" })
        const answer = Approval.approve(waiting.approvals[0], { params: { x: "Ada" } })
        const { value } = yield* Agent.resume(agent, { result: waiting }, [answer])
        assert.strictEqual(value, "gate(Ada)")
      }).pipe(Effect.provide(layers([]))))

    it.effect("a denied call is a typed NotExecuted, and an answer to what was dropped is rejected", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.program("review", {
          toolkit: kit,
          providers: [SessionHistory.provider],
          run: (_, call) =>
            Effect.all([call.gate({ x: "legal" }), call.gate({ x: "finance" })], { concurrency: 2 }).pipe(
              Effect.andThen(call.step({ x: "publish" })),
              Effect.catchTag("NotExecuted", ({ problem, reason, tool }) => Effect.succeed([tool, problem, reason]))
            )
        })
        yield* Effect.gen(function*() {
          const { approvals } = yield* Agent.run(agent, { prompt: "go", session: "s" })
          const { stopReason, value } = yield* Agent.resume(agent, { session: "s" }, [
            Approval.deny(approvals[0], "no")
          ])
          assert.deepStrictEqual([stopReason, value], ["stop", ["gate", "denied", "no"]])
          const late = yield* Effect.flip(Agent.resume(agent, { session: "s" }, [Approval.approve(approvals[1])]))
          assert.deepStrictEqual(
            late._tag === "AgentError" && late.reason._tag === "ApprovalRejected" && late.reason.problem,
            "expired"
          )
        }).pipe(Effect.provide(layers(log)))
        assert.deepStrictEqual(log, [])
      }))

    it.effect("an approved call that the program does not make any more does not run, and fails the run typed", () =>
      Effect.gen(function*() {
        const log: Log = []
        const asked = yield* Ref.make("a")
        const agent = Agent.program("changing", {
          toolkit: kit,
          run: (_, call) => Effect.flatMap(Ref.getAndSet(asked, "b"), (x) => call.gate({ x }))
        })
        yield* Effect.gen(function*() {
          const waiting = yield* Agent.run(agent, { prompt: "go" })
          const error = yield* Effect.flip(
            Agent.resume(agent, { result: waiting }, [Approval.approve(waiting.approvals[0])])
          )
          assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "CallNotRepeated")
        }).pipe(Effect.provide(layers(log)))
        assert.deepStrictEqual(log, [])
      }))

    it.effect("a call with a key is known by it, whatever its parameters are", () =>
      Effect.gen(function*() {
        const asked = yield* Ref.make("a")
        const agent = Agent.program("changing", {
          toolkit: kit,
          run: (_, call) => Effect.flatMap(Ref.getAndSet(asked, "b"), (x) => call.gate({ x }, { key: "the gate" }))
        })
        const waiting = yield* Agent.run(agent, { prompt: "go" })
        const { value } = yield* Agent.resume(agent, { result: waiting }, [Approval.approve(waiting.approvals[0])])
        assert.strictEqual(value, "gate(a)")
      }).pipe(Effect.provide(layers([]))))

    it.effect("a member that waits for approval is ignored and the next one runs on its empty text: the next one waits", () =>
      Effect.gen(function*() {
        const log: Log = []
        const member = Agent.make("member", { toolkit: kit })
        const next = Agent.make("next")
        const agent = Agent.program("team", {
          providers: [SessionHistory.provider],
          toolkit: AgentTool.toolkit(AgentTool.make(member), AgentTool.make(next)),
          run: ({ prompt }, call) => Effect.flatMap(call.member({ prompt }), (said) => call.next({ prompt: said }))
        })
        yield* Effect.gen(function*() {
          const waiting = yield* Agent.run(agent, { prompt: "go", session: "s" })
          assert.deepStrictEqual(waiting.approvals.map(({ path, tool }) => [path, tool]), [[["member"], "gate"]])
          const { value } = yield* Agent.resume(agent, { session: "s" }, [Approval.approve(waiting.approvals[0])])
          assert.strictEqual(value, "next has read it")
          assert.deepStrictEqual((yield* prompts).map((prompt) => prompt.at(-1)), [
            "user: go",
            "tool: gate#id-2 = \"gate(a)\"",
            "user: member is through"
          ])
        }).pipe(Effect.provide([
          layers(log),
          ids,
          ScriptedModel.layer([
            ScriptedModel.toolCalls({ name: "gate", params: { x: "a" }, id: "id-2" }),
            ScriptedModel.text("member is through"),
            ScriptedModel.text("next has read it")
          ])
        ]))
        assert.deepStrictEqual(log, ["gate a"])
      }))

    it.effect("with every step kept a result is saved before the program has it, and a failed run is continued from there", () =>
      Effect.gen(function*() {
        const log: Log = []
        const seen: Array<number> = []
        const fails = yield* Ref.make(true)
        const agent = Agent.program("kept", {
          toolkit: kit,
          providers: [SessionHistory.providerEveryStep],
          run: ({ prompt }, call) =>
            Effect.gen(function*() {
              const [one, two] = yield* Effect.all([call.step({ x: prompt }), call.other({ x: prompt })], {
                concurrency: 2
              })
              seen.push((yield* stored).history.content.length)
              if (yield* Ref.getAndSet(fails, false)) return yield* Effect.fail("too early" as const)
              return yield* call.other({ x: one + two })
            })
        })
        yield* Effect.gen(function*() {
          assert.strictEqual(yield* Effect.flip(Agent.run(agent, { prompt: "go", session: "s" })), "too early")
          const { text, value } = yield* Agent.continue(agent, { session: "s" })
          assert.deepStrictEqual([value, text], ["other(step(go)other(go))", "other(step(go)other(go))"])
          const again = yield* Effect.flip(Agent.continue(agent, { session: "s" }))
          assert.strictEqual(
            again !== "too early" && again._tag === "AgentError" && again.reason._tag,
            "NothingToContinue"
          )
        }).pipe(Effect.provide(layers(log)))
        assert.deepStrictEqual(seen, [5, 5])
        assert.deepStrictEqual(log, ["step go", "other go", "other step(go)other(go)"])
      }))

    it.effect("results come in the order in which they came before, and calls that are the same keep theirs", () =>
      Effect.gen(function*() {
        const second = yield* Deferred.make<void>()
        const count = yield* Ref.make(0)
        // of two calls that are the same, the second one ends first
        const step = (x: string) =>
          Effect.flatMap(Ref.updateAndGet(count, (n) => n + 1), (n) =>
            n === 1
              ? Effect.as(Effect.andThen(Deferred.await(second), Effect.yieldNow), `${x}1`)
              : Effect.as(Deferred.succeed(second, undefined), `${x}${n}`))
        const orders: Array<ReadonlyArray<string>> = []
        const agent = Agent.program("order", {
          toolkit: kit,
          run: (_, call) =>
            Effect.gen(function*() {
              const order: Array<string> = []
              const one = Effect.tap(call.step({ x: "x" }), (x) => Effect.sync(() => order.push(x)))
              const both = yield* Effect.all([one, one], { concurrency: 2 })
              orders.push(order)
              return [both, yield* call.gate({ x: order.join() })]
            })
        })
        const waiting = yield* Effect.provide(Agent.run(agent, { prompt: "go" }), layers([], step))
        const { value } = yield* Effect.provide(
          Agent.resume(agent, { result: waiting }, [Approval.approve(waiting.approvals[0])]),
          layers([], step)
        )
        assert.deepStrictEqual(orders, [["x2", "x1"], ["x2", "x1"]])
        assert.deepStrictEqual(value, [["x1", "x2"], "gate(x2,x1)"])
        assert.strictEqual(yield* Ref.get(count), 2)
      }))

    it.effect("a call that lost its race does not run again, and one that was cut with a failed sibling does", () =>
      Effect.gen(function*() {
        const log: Log = []
        const isBroken = yield* Ref.make(true)
        const begun = yield* Deferred.make<void>()
        const step = (x: string) =>
          Effect.gen(function*() {
            log.push(x)
            if (x === "loser") return yield* Effect.never
            if (x === "cut") yield* Deferred.succeed(begun, undefined)
            if (x === "cut" && (yield* Ref.get(isBroken))) return yield* Effect.never
            return x
          })
        const broken = Agent.program("broken", {
          toolkit: kit,
          run: () =>
            Effect.flatMap(
              Ref.getAndSet(isBroken, false),
              (isBroken) => isBroken ? Effect.fail("broken" as const) : Effect.succeed("said")
            )
        })
        const agent = Agent.program("cuts", {
          toolkit: AgentTool.toolkit(
            AgentTool.make(broken, { parts: "none" }),
            AgentTool.make(
              Agent.program("inner", { toolkit: kit, run: ({ prompt }, call) => call.step({ x: prompt }) })
            )
          ),
          providers: [SessionHistory.providerEveryStep],
          run: (_, call) =>
            Effect.gen(function*() {
              const won = yield* Effect.raceFirst(call.inner({ prompt: "loser" }), call.inner({ prompt: "winner" }))
              const both = yield* Effect.all([
                call.inner({ prompt: "cut" }),
                Effect.andThen(Deferred.await(begun), call.broken({ prompt: "x" }))
              ], { concurrency: 2 })
              return [won, ...both]
            })
        })
        yield* Effect.gen(function*() {
          yield* Effect.flip(Agent.run(agent, { prompt: "go", session: "s" }))
          assert.deepStrictEqual(log, ["loser", "winner", "cut"])
          const { value } = yield* Agent.continue(agent, { session: "s" })
          assert.deepStrictEqual(value, ["winner", "cut", "said"])
          assert.deepStrictEqual(log, ["loser", "winner", "cut", "cut"])
        }).pipe(Effect.provide(layers([], step)))
      }))
  })

  describe("outcomes", () => {
    it.effect("interrupted, it leaves nothing running, and a closed transcript", () =>
      Effect.gen(function*() {
        const log: Log = []
        const begun = yield* Deferred.make<void>()
        const step = () =>
          Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
            Effect.onInterrupt(() => Effect.sync(() => log.push("stopped")))
          )
        const outcomes: Array<AgentRun.Outcome> = []
        const witness = ContextProvider.make("witness", {
          beforeRun: () =>
            AgentRun.addFinalizer((exit) => Effect.sync(() => void outcomes.push(AgentRun.outcome(exit)))).pipe(
              Effect.as(undefined)
            )
        })
        const agent = Agent.program("hangs", {
          toolkit: kit,
          providers: [witness],
          run: (_, call) =>
            Effect.onInterrupt(
              Effect.andThen(call.other({ x: "a" }), call.step({ x: "b" })),
              () => Effect.sync(() => log.push("program interrupted"))
            )
        })
        const fiber = yield* Effect.forkChild(
          Effect.provide(Agent.run(agent, { prompt: "go" }), [handlers([], step), ids])
        )
        yield* Deferred.await(begun)
        yield* Fiber.interrupt(fiber)
        const [outcome] = outcomes
        assert.deepStrictEqual(log.toSorted(), ["program interrupted", "stopped"])
        assert(outcome._tag === "Interrupted")
        assert.deepStrictEqual(showPrompt(outcome.partial.transcript), [
          "user: go",
          "assistant: other#id-1({\"x\":\"a\"})",
          "tool: other#id-1 = \"other(a)\"",
          "assistant: step#id-2({\"x\":\"b\"})",
          "tool: step#id-2 failed = {\"type\":\"execution-interrupted\",\"reason\":\"The run ended before this tool call had a result\"}"
        ])
      }))

    it.effect("left early it is abandoned, and stops", () =>
      Effect.gen(function*() {
        const log: Log = []
        const step = () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.push("stopped")))
        const agent = Agent.program("hangs", {
          toolkit: kit,
          run: (_, call) => Effect.all([call.step({ x: "b" }), call.other({ x: "a" })], { concurrency: 2 })
        })
        const parts = yield* Stream.runCollect(Stream.take(Agent.stream(agent, { prompt: "go" }), 5)).pipe(
          Effect.provide(handlers([], step))
        )
        assert.deepStrictEqual(types(parts), ["run-start", "step-start", "tool-call", "tool-call", "tool-result"])
        assert.deepStrictEqual(log, ["stopped"])
      }))

    it.effect("nested sixteen deep, its usage is the sum of the model calls", () =>
      Effect.gen(function*() {
        const leaf = Agent.make("leaf")
        const twice = (agent: Agent.Agent<any, any, any, any>, name: string) =>
          Agent.program(name, {
            toolkit: AgentTool.toolkit(AgentTool.make(agent, { name: "below" }), AgentTool.make(leaf)),
            run: ({ prompt }, call) =>
              Effect.map(Effect.all([call.below({ prompt }), call.leaf({ prompt })]), (said) => said.join())
          })
        let agent: Agent.Agent<any, any, any, any> = leaf
        for (let depth = 1; depth <= 16; depth++) agent = twice(agent, `depth-${depth}`)
        const result = yield* Effect.provideService(Agent.run(agent, { prompt: "go" }), AgentTool.MaximumDepth, 16)
        assert.strictEqual(result.totalUsage.inputTokens.total, 17 * 5)
        assert.isUndefined(result.usage.inputTokens.total)
      }).pipe(Effect.provide(ScriptedModel.layer(Array.from({ length: 17 }, () => usage(5))))))
  })

  it("NotExecuted says what was not executed", () => {
    const error = new Program.NotExecuted({ tool: "gate", toolCallId: "1", problem: "denied", reason: "no" })
    assert.strictEqual(error.message, "The call of `gate` was denied: no")
    assert.strictEqual(
      AgentError.describe((Exit.fail(error) as Exit.Failure<never, typeof error>).cause).code,
      "not-executed"
    )
  })
})

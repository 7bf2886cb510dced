import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { AiError, LanguageModel, Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentError,
  AgentOutput,
  AgentRun,
  AgentTool,
  Middleware,
  SessionHistory,
  SessionStore,
  ToolLoop
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Exporter, nodeSdk } from "./fixtures/telemetry.ts"
import { Boom, collectAll, hanging, type Log, logged, showCause, showExit, showPrompt, types } from "./utils.ts"

const { delay, fail, finish, hang, layer: script, step, text, toolCalls, usage } = ScriptedModel

const ask = (prompt: string, id = `id-${prompt}`): ScriptedModel.ToolCall => ({ name: "ask", params: { prompt }, id })

const rateLimit = AiError.make({ module: "test", method: "test", reason: new AiError.RateLimitError({}) })

/** Answers by the text of the last message, so that agents may call the model in any order. */
const byPrompt = (answers: Readonly<Record<string, ScriptedModel.Piece | ReadonlyArray<ScriptedModel.Piece>>>) =>
  script(Array.from({ length: 20 }, () => ({ prompt }: ScriptedModel.Request) => {
    const last = showPrompt(prompt).at(-1)!
    const key = Object.keys(answers).find((key) => last.includes(key))
    return key === undefined ? fail(new AiError.UnknownError({ description: `no answer to: ${last}` })) : answers[key]!
  }))

/** The parts in short: `run-start`, `child:text-delta`, `child/grandchild:run-end`. */
const shown = (parts: Iterable<AgentRun.Part>): Array<string> =>
  Array.from(parts, (part) => part.type === "agent-part" ? `${part.path.join("/")}:${part.part.type}` : part.type)

const child = Agent.make("child")
const parentOf = (agentTool: AgentTool.Any, log: Log = []) =>
  Agent.make("parent", { toolkit: AgentTool.toolkit(agentTool), providers: [logged("parent", log)] })

const parent = Agent.make("parent", { toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })) })

describe("AgentTool", () => {
  describe("make", () => {
    it.effect("runs the agent with the prompt of the call, and gives its text to the model", () =>
      Effect.gen(function*() {
        const result = yield* Agent.run(parent, { prompt: "go" })
        assert.strictEqual(result.text, "done")
        assert.deepStrictEqual(showPrompt(result.transcript), [
          "user: go",
          "assistant: ask#id-why?({\"prompt\":\"why?\"})",
          "tool: ask#id-why? = \"because\"",
          "assistant: done"
        ])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual((yield* requests).map(({ prompt }) => showPrompt(prompt)[0]), [
          "user: go",
          "user: why?",
          "user: go"
        ])
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide(script([toolCalls(ask("why?")), text("because"), text("done")]))))

    it.effect("is called by the handle that replaces the one of its toolkit", () =>
      Effect.gen(function*() {
        const toolkit = yield* AgentTool.toolkit(AgentTool.make(child, { name: "ask" }))
        const { handle } = toolkit
        const handled: Array<string> = []
        Object.assign(toolkit, {
          handle: (...call: Parameters<typeof handle>) => {
            handled.push(String(call[0]))
            return handle(...call)
          }
        })
        yield* Agent.run(Agent.make("parent", { toolkit: Effect.succeed(toolkit) }), { prompt: "go" })
        assert.deepStrictEqual(handled, ["ask"])
      }).pipe(Effect.provide(script([toolCalls(ask("why?")), text("because"), text("done")]))))

    it("describes the tool as the agent describes itself", () => {
      const { tool } = AgentTool.make(Agent.make("child", { description: "Knows" }))
      assert.deepStrictEqual([tool.name, tool.description, tool.failureMode], ["child", "Knows", "error"])
      assert.deepStrictEqual(Tool.getJsonSchema(tool), {
        type: "object",
        properties: {
          prompt: { type: "string", description: "What the agent is asked, with everything it needs to know" }
        },
        required: ["prompt"],
        additionalProperties: true
      })
      const named = AgentTool.make(child, { name: "ask", description: "Asks", failureMode: "return" }).tool
      assert.deepStrictEqual([named.name, named.description, named.failureMode], ["ask", "Asks", "return"])
    })

    it.effect("takes other parameters and gives another result", () =>
      Effect.gen(function*() {
        const Height = AgentTool.make(child, {
          name: "height",
          parameters: Schema.Struct({ of: Schema.String, unit: Schema.Literals(["m", "ft"]) }),
          prompt: ({ of, unit }) => `height of ${of} in ${unit}`,
          success: Schema.Struct({ height: Schema.Int, steps: Schema.Int }),
          result: ({ steps, text }) => ({ height: text.length, steps: steps.length })
        })
        const parts = yield* Stream.runCollect(Agent.stream(parentOf(Height), { prompt: "go" }))
        const results = Array.from(parts).flatMap((part) => part.type === "tool-result" ? [part.result] : [])
        assert.deepStrictEqual(results, [{ height: 3, steps: 1 }])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual(showPrompt((yield* requests)[1]!.prompt), ["user: height of K2 in ft"])
      }).pipe(Effect.provide(script([
        toolCalls({ name: "height", params: { of: "K2", unit: "ft" } }),
        text("abc"),
        text("done")
      ]))))

    for (
      const [mode, Answer, answer] of [
        ["tool", AgentOutput.tool(Schema.String), toolCalls({ name: "final_answer", params: { value: "12 m" } })],
        ["json", AgentOutput.json(Schema.String), text("{\"value\":\"12 m\"}")]
      ] as const
    ) {
      it.effect(`gives the value of an agent whose output is a text: ${mode}`, () =>
        Effect.gen(function*() {
          const measuring = Agent.make("measuring", { output: Answer })
          const asking = AgentTool.make(measuring, { name: "ask" })
          const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(asking) })
          const result = yield* Agent.run(lead, { prompt: "How high?" })
          assert.strictEqual(result.text, "12 m high")
          assert.strictEqual(showPrompt(result.transcript)[2], "tool: ask#ask = \"12 m\"")
        }).pipe(Effect.provide(script([
          toolCalls({ name: "ask", params: { prompt: "Height?" }, id: "ask" }),
          answer,
          text("12 m high")
        ]))))
    }

    it.effect("gives the value of an agent whose output may be nothing", () =>
      Effect.gen(function*() {
        const Maybe = Schema.UndefinedOr(Schema.String)
        const finding = Agent.make("finding", { output: Maybe })
        const { handler } = AgentTool.make(finding, { name: "find", success: Maybe })
        assert.isUndefined(yield* handler({ prompt: "Find it" }, {}))
      }).pipe(Effect.provide(script([
        toolCalls({ name: "final_answer", params: { value: null } })
      ]))))

    it.effect("gives the value of an agent with an output", () =>
      Effect.gen(function*() {
        const Height = Schema.Struct({ metres: Schema.FiniteFromString })
        const measuring = Agent.make("measuring", { output: Height })
        const asking = AgentTool.make(measuring, { name: "ask", success: Height })
        const parts = yield* Stream.runCollect(Agent.stream(parentOf(asking), { prompt: "go" }))
        const [result] = Array.from(parts).flatMap((part) => part.type === "tool-result" ? [part] : [])
        assert.deepStrictEqual([result!.result, result!.encodedResult], [{ metres: 2469 }, { metres: "2469" }])
      }).pipe(Effect.provide(script([
        toolCalls(ask("why?")),
        toolCalls({ name: "final_answer", params: { metres: "2469" } }),
        text("done")
      ]))))

    it.effect("stands beside other tools in a toolkit, with its handler in the layer", () =>
      Effect.gen(function*() {
        const asking = AgentTool.make(child, { name: "ask" })
        const Add = Tool.make("add", { parameters: Schema.Struct({ a: Schema.Int }), success: Schema.Int })
        const toolkit = Toolkit.make(Add, asking.tool)
        const handlers = toolkit.toLayer({ add: ({ a }) => Effect.succeed(a + 1), ask: asking.handler })
        const agent = Agent.make("parent", { toolkit })
        const { exit, parts } = yield* collectAll(Agent.stream(agent, { prompt: "go" })).pipe(Effect.provide(handlers))
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(
          parts.flatMap((part) => part.type === "tool-result" ? [[part.name, part.result]] : []),
          [["add", 2], ["ask", "because"]]
        )
        assert.includeMembers(shown(parts), ["child:run-start", "child:run-end"])
      }).pipe(Effect.provide(script([
        toolCalls({ name: "add", params: { a: 1 } }, ask("why?")),
        text("because"),
        text("done")
      ]))))

    it.effect("works outside a run", () =>
      Effect.gen(function*() {
        const response = yield* LanguageModel.generateText({
          prompt: "go",
          toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask", session: "parent" }))
        })
        assert.deepStrictEqual(response.toolResults.map(({ result }) => result), ["because"])
      }).pipe(Effect.provide(script([toolCalls(ask("why?")), text("because")]))))

    it.effect("can itself need an approval", () =>
      Effect.gen(function*() {
        const gated = parentOf(AgentTool.make(child, { name: "ask", needsApproval: true }))
        yield* collectAll(Agent.stream(gated, { prompt: "go" }))
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.notInclude((yield* requests).map(({ prompt }) => showPrompt(prompt)[0]), "user: why?")
      }).pipe(Effect.provide(script([toolCalls(ask("why?")), text("done")]))))
  })

  describe("parts", () => {
    it.effect("are in the stream of the caller, in order, before the result of the call", () =>
      Effect.gen(function*() {
        const parts = yield* Stream.runCollect(Agent.stream(parent, { prompt: "go" }))
        assert.deepStrictEqual(shown(parts), [
          "run-start",
          "step-start",
          "tool-call",
          "finish",
          "child:run-start",
          "child:step-start",
          "child:text-start",
          "child:text-delta",
          "child:text-delta",
          "child:text-end",
          "child:finish",
          "child:step-end",
          "child:run-end",
          "tool-result",
          "step-end",
          "step-start",
          "text-start",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
        const ids = Array.from(parts).flatMap((part) => part.type === "agent-part" ? [part.toolCallId] : [])
        assert.deepStrictEqual(new Set(ids), new Set(["id-why?"]))
      }).pipe(Effect.provide(script([toolCalls(ask("why?")), text(["be", "cause"]), text("done")]))))

    it.effect("of a nested agent have the whole path, and the call that runs it", () =>
      Effect.gen(function*() {
        const grandchild = Agent.make("grandchild")
        const middle = Agent.make("child", {
          toolkit: AgentTool.toolkit(AgentTool.make(grandchild, { name: "ask" }))
        })
        const parts = yield* Stream.runCollect(
          Agent.stream(parentOf(AgentTool.make(middle, { name: "ask" })), { prompt: "go" })
        )
        const deltas = Array.from(parts).flatMap((part) =>
          part.type === "agent-part" && part.part.type === "text-delta"
            ? [`${part.path.join("/")}#${part.toolCallId} ${part.part.delta}`]
            : []
        )
        assert.deepStrictEqual(deltas, ["child/grandchild#id-deep deep answer", "child#id-high high answer"])
        assert.strictEqual(shown(parts).filter((_) => _.startsWith("child/grandchild:run-")).length, 2)
      }).pipe(Effect.provide(script([
        toolCalls(ask("high")),
        toolCalls(ask("deep")),
        text("deep answer"),
        text("high answer"),
        text("done")
      ]))))

    it.effect("of agents that run at the same time come as they happen, told apart by their calls", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.forkChild(Stream.runCollect(Agent.stream(parent, { prompt: "go" })))
        yield* TestClock.adjust("10 seconds")
        const parts = yield* Fiber.join(fiber)
        assert.deepStrictEqual(
          Array.from(parts).flatMap((part) =>
            part.type === "agent-part" && part.part.type === "text-delta" ? [[part.toolCallId, part.part.delta]] : []
          ),
          [["id-fast", "f1"], ["id-slow", "s1"], ["id-fast", "f2"], ["id-slow", "s2"]]
        )
        // in call order for the model, whoever was first
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.strictEqual(
          showPrompt((yield* requests).at(-1)!.prompt).at(-1),
          "tool: ask#id-slow = \"s1s2\", ask#id-fast = \"f1f2\""
        )
      }).pipe(Effect.provide(byPrompt({
        go: toolCalls(ask("slow"), ask("fast")),
        "user: slow": [delay("1 second"), text(["s1", "s2"], { every: "1 second" })],
        "user: fast": [delay("500 millis"), text(["f1", "f2"], { every: "1 second" })],
        "tool:": text("done")
      }))))

    it.effect("can be left out, without a difference to the rest", () =>
      Effect.gen(function*() {
        const run = (agent: typeof parent) =>
          Effect.map(
            Effect.all([
              Stream.runCollect(Agent.stream(agent, { prompt: "go", runId: "run" })).pipe(
                Effect.map((parts) => Array.from(parts))
              ),
              ScriptedModel.assertDone
            ]),
            ([parts]) => parts
          ).pipe(Effect.provide(script([toolCalls(ask("why?")), text("because"), text("done")])))
        const quiet = Agent.make("parent", {
          toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask", parts: "none" }))
        })
        const without = yield* run(quiet)
        const full = yield* run(parent)
        assert.notInclude(types(without), "agent-part")
        assert.deepStrictEqual(without, full.filter((part) => part.type !== "agent-part"))
      }))

    it.effect("nobody reads hold the agent up", () =>
      Effect.gen(function*() {
        let said = 0
        const counting = Middleware.make("counting", {
          model: (request, next) => Stream.tap(next(request), () => Effect.sync(() => said++))
        })
        const talker = Agent.make("talker", { middleware: [counting] })
        const reached = yield* Deferred.make<void>()
        const goOn = yield* Deferred.make<void>()
        const fiber = yield* Agent.stream(parentOf(AgentTool.make(talker, { name: "ask" })), { prompt: "go" }).pipe(
          Stream.runForEach((part) =>
            part.type === "agent-part" && part.part.type === "text-delta"
              ? Effect.andThen(Deferred.succeed(reached, undefined), Deferred.await(goOn))
              : Effect.void
          ),
          Effect.forkChild
        )
        yield* Deferred.await(reached)
        for (let i = 0; i < 5000; i++) yield* Effect.yieldNow
        // what the caller has taken at once, and what may wait for it
        assert.isAtLeast(said, 1 + 3)
        assert.isAtMost(said, 3 * 256)
        yield* Deferred.succeed(goOn, undefined)
        yield* Fiber.join(fiber)
        // the text, its start and its end, the finish
        assert.strictEqual(said, 2000 + 3)
      }).pipe(Effect.provide(script([
        toolCalls(ask("talk")),
        text(Array.from({ length: 2000 }, () => "a")),
        text("done")
      ]))))

    it.effect("end with the call: an agent that overruns its time is interrupted, and says nothing more", () =>
      Effect.gen(function*() {
        const log: Log = []
        const slow = Agent.make("slow", { providers: [logged("slow", log)] })
        const { tool, handler } = AgentTool.make(slow, { name: "ask", failureMode: "return" })
        const toolkit = Toolkit.make(tool.annotate(ToolLoop.ToolTimeout, "2 seconds"))
        const agent = Agent.make("parent", { toolkit })
        const fiber = yield* collectAll(Agent.stream(agent, { prompt: "go" })).pipe(
          Effect.provide(toolkit.toLayer({ ask: handler })),
          Effect.forkChild
        )
        yield* TestClock.adjust("10 seconds")
        const { exit, parts } = yield* Fiber.join(fiber)
        assert.isTrue(Exit.isSuccess(exit))
        assert.deepStrictEqual(shown(parts).slice(4, 9), [
          "slow:run-start",
          "slow:step-start",
          "slow:text-start",
          "slow:text-delta",
          "tool-result"
        ])
        assert.deepStrictEqual(log, ["slow before", "slow end: Interrupted after \"a\""])
      }).pipe(
        Effect.provide(script([toolCalls(ask("x")), step(text(["a", "b"], { every: "1500 millis" })), text("done")]))
      ))
  })

  describe("usage", () => {
    const spent = (used: AgentRun.Usage) => [used.inputTokens.total, used.outputTokens.total]
    const priced = (input: number, output: number) => finish("stop", usage(input, output))
    const calling = step(toolCalls(ask("x")), finish("tool-calls", usage(100, 10)))

    it.effect("of the agent is in the total of the caller, not in its own", () =>
      Effect.gen(function*() {
        const result = yield* Agent.run(parent, { prompt: "go" })
        assert.deepStrictEqual(spent(result.usage), [300, 30])
        assert.deepStrictEqual(spent(result.totalUsage), [305, 33])
      }).pipe(Effect.provide(script([
        calling,
        step(text("because"), priced(5, 3)),
        step(text("done"), priced(200, 20))
      ]))))

    const cases: ReadonlyArray<
      readonly [
        outcome: string,
        child: ScriptedModel.Step,
        consume: (stream: Stream.Stream<AgentRun.Part, unknown, LanguageModel.LanguageModel>) => Effect.Effect<
          unknown,
          unknown,
          LanguageModel.LanguageModel
        >
      ]
    > = [
      ["Failed", step(text("x"), fail(rateLimit)), Stream.runDrain],
      ["Interrupted", step(text("x"), hang), (stream) =>
        Effect.gen(function*() {
          const inside = yield* Deferred.make<void>()
          const fiber = yield* stream.pipe(
            Stream.tap((part) =>
              part.type === "agent-part" && part.part.type === "text-delta"
                ? Deferred.succeed(inside, undefined)
                : Effect.void
            ),
            Stream.runDrain,
            Effect.forkChild
          )
          yield* Deferred.await(inside)
          yield* Fiber.interrupt(fiber)
        })],
      ["Abandoned", step(text("x"), hang), (stream) =>
        stream.pipe(
          Stream.takeUntil((part) => part.type === "agent-part" && part.part.type === "text-delta"),
          Stream.runDrain
        )]
    ]

    it.effect.each(cases)(
      "of an agent is in the partial of a caller that is %s",
      ([outcome, second, consume]) =>
        Effect.gen(function*() {
          // the agent spends in a first step, and ends in its second one
          const inner = Agent.make("inner", { toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })) })
          let end: AgentRun.Outcome | undefined
          const outer = Agent.make("outer", {
            toolkit: AgentTool.toolkit(AgentTool.make(inner, { name: "ask" })),
            providers: [logged("outer", []), {
              ...logged("observer", []),
              beforeRun: () =>
                Effect.as(
                  AgentRun.addFinalizer((exit) => Effect.sync(() => void (end = AgentRun.outcome(exit)))),
                  {}
                )
            }]
          })
          yield* Effect.exit(consume(Agent.stream(outer, { prompt: "go" }))).pipe(
            Effect.provide(script([calling, step(toolCalls(ask("y")), finish("tool-calls", usage(5, 3))), second]))
          )
          assert.strictEqual(end?._tag, outcome)
          if (end === undefined || end._tag === "Completed") return assert.fail("it has no partial")
          assert.deepStrictEqual(spent(end.partial.usage), [100, 10])
          assert.deepStrictEqual(spent(end.partial.totalUsage), [105, 13])
        })
    )
  })

  describe("failures", () => {
    const failing = Agent.make("failing", {
      providers: [logged("p", [], { beforeRun: Effect.fail(new Boom({ of: "child" })) })]
    })

    it.effect("in mode error are the caller's own, catchable by tag", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("parent", {
          toolkit: AgentTool.toolkit(AgentTool.make(failing, { name: "ask" })),
          providers: [logged("parent", log)]
        })
        const caught = yield* Agent.run(agent, { prompt: "go" }).pipe(
          Effect.as("not caught"),
          Effect.catchTag("Boom", (error) => Effect.succeed(`caught ${error.of}`))
        )
        assert.strictEqual(caught, "caught child")
        assert.deepStrictEqual(log, ["parent before", "parent end: Failed Fail Boom(child) after \"\""])
      }).pipe(Effect.provide(script([toolCalls(ask("x"))]))))

    it.effect("of the agent's model in mode error keep their reason", () =>
      Effect.gen(function*() {
        const { exit, parts } = yield* collectAll(Agent.stream(parent, { prompt: "go" }))
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail AiError.RateLimitError")
        assert.notInclude(types(parts), "tool-result")
      }).pipe(Effect.provide(script([toolCalls(ask("x")), step(text("x"), fail(rateLimit))]))))

    it.effect("in mode return are read by the model, and keep their type in the result", () =>
      Effect.gen(function*() {
        const asking = AgentTool.make(failing, { name: "ask", failureMode: "return" })
        const { exit, parts } = yield* collectAll(Agent.stream(parentOf(asking), { prompt: "go" }))
        assert.strictEqual(showExit(Exit.map(exit, () => lastResult(parts))), "Completed \"done\"")
        const [result] = parts.flatMap((part) => part.type === "tool-result" ? [part] : [])
        assert.isTrue(result!.isFailure)
        assert.isTrue(AgentTool.isAgentFailed(result!.result) && result!.result.error instanceof Boom)
        assert.deepStrictEqual(result!.encodedResult, { agent: "failing", message: "Boom" })
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.strictEqual(
          showPrompt((yield* requests)[1]!.prompt).at(-1),
          `tool: ask#id-x failed = {"agent":"failing","message":"Boom"}`
        )
      }).pipe(Effect.provide(script([toolCalls(ask("x")), text("done")]))))

    it.effect("of the agent's model in mode return tell the model the message and nothing of the request", () =>
      Effect.gen(function*() {
        const asking = AgentTool.make(child, { name: "ask", failureMode: "return" })
        const result = yield* Agent.run(parentOf(asking), { prompt: "go" })
        assert.deepStrictEqual(
          showPrompt(result.transcript).at(-2),
          `tool: ask#id-x failed = {"agent":"child","message":${JSON.stringify(rateLimit.message)}}`
        )
      }).pipe(Effect.provide(script([toolCalls(ask("x")), fail(rateLimit), text("done")]))))

    it.effect("that were returned can be stored and read again, without the error itself", () =>
      Effect.gen(function*() {
        const { tool } = AgentTool.make(failing, { name: "ask", failureMode: "return" })
        const part = Response.makePart("tool-result", {
          id: "1",
          name: "ask",
          result: { _tag: "AgentFailed", agent: "failing", message: "Boom", error: new Boom({ of: "child" }) } as const,
          encodedResult: { agent: "failing", message: "Boom" },
          isFailure: true,
          providerExecuted: false,
          preliminary: false
        })
        const codec = Schema.fromJsonString(
          Schema.toCodecJson(Response.ToolResultPart("ask", tool.successSchema, tool.failureSchema))
        )
        const json = yield* Schema.encodeEffect(codec)(part as never)
        const again = yield* Schema.decodeEffect(codec)(json)
        assert.deepStrictEqual(again.result, {
          _tag: "AgentFailed",
          agent: "failing",
          message: "Boom",
          error: undefined
        })
      }))

    it.effect("of a kind that nobody expected are defects in both modes", () =>
      Effect.forEach(["error", "return"] as const, (failureMode) =>
        Effect.gen(function*() {
          const log: Log = []
          const broken = Agent.make("broken", { providers: [logged("p", log, { beforeRun: Effect.die("bug") })] })
          const asking = AgentTool.make(broken, { name: "ask", failureMode })
          const { exit } = yield* collectAll(Agent.stream(parentOf(asking, log), { prompt: "go" }))
          assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Die bug")
          assert.deepStrictEqual(log, [
            "parent before",
            "p before",
            "p end: Failed Die bug after \"\"",
            "parent end: Failed Die bug after \"\""
          ])
        }).pipe(Effect.provide(script([toolCalls(ask("x"))])))))

    it.effect("interrupt the agents beside it, first", () =>
      Effect.gen(function*() {
        const log: Log = []
        const waiting = Agent.make("waiting", { providers: [logged("waiting", log)] })
        const agent = Agent.make("parent", {
          toolkit: AgentTool.toolkit(
            AgentTool.make(waiting, { name: "wait" }),
            AgentTool.make(failing, { name: "ask" })
          ),
          providers: [logged("parent", log)]
        })
        const { exit } = yield* collectAll(Agent.stream(agent, { prompt: "go" }))
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail Boom(child)")
        assert.deepStrictEqual(log, [
          "parent before",
          "waiting before",
          "waiting end: Interrupted after \"\"",
          "parent end: Failed Fail Boom(child) after \"\""
        ])
      }).pipe(Effect.provide(byPrompt({
        go: toolCalls({ name: "wait", params: { prompt: "w" } }, ask("x")),
        "user: w": hang
      }))))
  })

  describe("interruption", () => {
    const ends = (how: "interrupt" | "leave", agentsFirst: string, callersLast: string) =>
      Effect.gen(function*() {
        const log: Log = []
        const tools = Toolkit.make(Tool.make("wait", { success: Schema.String }))
        const inner = Agent.make("inner", { toolkit: tools, providers: [logged("inner", log)] })
        const outer = parentOf(AgentTool.make(inner, { name: "ask" }), log)
        const running = yield* Deferred.make<void>()
        const runs = (part: AgentRun.Part) => part.type === "agent-part" && part.part.type === "tool-result"
        const stream = Agent.stream(outer, { prompt: "go" }).pipe(
          Stream.tap((part) => runs(part) ? Deferred.succeed(running, undefined) : Effect.void)
        )
        const handlers = tools.toLayer({
          wait: (_, { preliminary }) => Effect.andThen(preliminary("it runs"), hanging("wait", log))
        })
        if (how === "interrupt") {
          const fiber = yield* Stream.runDrain(stream).pipe(Effect.provide(handlers), Effect.forkChild)
          yield* Deferred.await(running)
          yield* Fiber.interrupt(fiber)
        } else {
          yield* stream.pipe(Stream.takeUntil(runs), Stream.runDrain, Effect.provide(handlers))
        }
        log.push("consumer")
        assert.deepStrictEqual(log, [
          "parent before",
          "inner before",
          "wait runs",
          "wait interrupted",
          `inner end: ${agentsFirst} after ""`,
          `parent end: ${callersLast} after ""`,
          "consumer"
        ])
      }).pipe(Effect.provide(script([toolCalls(ask("x")), toolCalls({ name: "wait", params: {} })])))

    it.effect("of the caller ends the agent first, its tools before it", () =>
      ends("interrupt", "Interrupted", "Interrupted"))

    it.effect("also when the consumer leaves: the agent is interrupted, the caller abandoned", () =>
      ends("leave", "Interrupted", "Abandoned"))

    it.effect("closes the model stream of the agent before control returns", () =>
      Effect.gen(function*() {
        yield* Agent.stream(parent, { prompt: "go" }).pipe(
          Stream.takeUntil((part) => part.type === "agent-part" && part.part.type === "text-delta"),
          Stream.runDrain
        )
        const { closed, opened } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual([yield* opened, (yield* closed).length], [2, 2])
        const last = (yield* closed)[1]!
        assert.isTrue(Exit.isFailure(last) && Cause.hasInterruptsOnly(last.cause))
      }).pipe(Effect.provide(script([toolCalls(ask("x")), step(text("a"), hang)]))))
  })

  describe("session", () => {
    const memory = SessionStore.layerMemory
    const rememberer = Agent.make("child", { providers: [SessionHistory.provider] })
    const caller = (session: "none" | "own" | "parent") =>
      Agent.make("parent", {
        instructions: "You lead.",
        toolkit: AgentTool.toolkit(AgentTool.make(rememberer, { name: "ask", session })),
        providers: [SessionHistory.provider]
      })
    const stored = (id: string) =>
      Effect.map(
        Effect.flatMap(SessionStore.SessionStore, (store) => store.load(id)),
        (session) => showPrompt(session.history)
      )
    const twice = [
      toolCalls(ask("one")),
      text("1"),
      text("done"),
      toolCalls(ask("two")),
      text("2"),
      text("done")
    ]
    /** Runs it twice in session `s`, and gives what the agent was asked the second time. */
    const second = (session: "none" | "own" | "parent", id: string | undefined) =>
      Effect.gen(function*() {
        yield* Agent.run(caller(session), { prompt: "first", session: id })
        yield* Agent.run(caller(session), { prompt: "second", session: id })
        const { requests } = yield* ScriptedModel.ScriptedModel
        return showPrompt((yield* requests)[4]!.prompt)
      })

    it.effect("none: the agent knows its prompt, and saves nothing", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* second("none", "s"), ["user: two"])
        assert.strictEqual((yield* stored("s")).length, 8)
        assert.deepStrictEqual(yield* stored(AgentTool.ownSession("s", "ask")), [])
      }).pipe(Effect.provide([script(twice), memory])))

    it.effect("own: the agent knows what it was asked in the session of the caller before", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* second("own", "s"), ["user: one", "assistant: 1", "user: two"])
        assert.deepStrictEqual(yield* stored(AgentTool.ownSession("s", "ask")), [
          "user: one",
          "assistant: 1",
          "user: two",
          "assistant: 2"
        ])
      }).pipe(Effect.provide([script(twice), memory])))

    it.effect("own: a caller without a session gives none", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* second("own", undefined), ["user: two"])
      }).pipe(Effect.provide([script(twice), memory])))

    it.effect("own: two calls of one step follow each other", () =>
      Effect.gen(function*() {
        yield* Agent.run(caller("own"), { prompt: "go", session: "s" })
        assert.deepStrictEqual(yield* stored(AgentTool.ownSession("s", "ask")), [
          "user: one",
          "assistant: 1",
          "user: two",
          "assistant: 2"
        ])
      }).pipe(Effect.provide([
        script([toolCalls(ask("one"), ask("two")), text("1"), text("2"), text("done")]),
        memory
      ])))

    it.effect("parent: the agent sees the conversation up to the call, and saves nothing of its own", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* second("parent", "s"), [
          "user: first",
          "assistant: ask#id-one({\"prompt\":\"one\"})",
          "tool: ask#id-one = \"1\"",
          "assistant: done",
          "user: second",
          "user: two"
        ])
        assert.deepStrictEqual(yield* stored("s"), [
          "user: first",
          "assistant: ask#id-one({\"prompt\":\"one\"})",
          "tool: ask#id-one = \"1\"",
          "assistant: done",
          "user: second",
          "assistant: ask#id-two({\"prompt\":\"two\"})",
          "tool: ask#id-two = \"2\"",
          "assistant: done"
        ])
        assert.deepStrictEqual(yield* stored(AgentTool.ownSession("s", "ask")), [])
      }).pipe(Effect.provide([script(twice), memory])))

    it.effect("of an agent that failed keeps nothing", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Agent.run(caller("own"), { prompt: "go", session: "s" }))
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual([yield* stored("s"), yield* stored(AgentTool.ownSession("s", "ask"))], [[], []])
      }).pipe(Effect.provide([script([toolCalls(ask("one")), step(text("x"), fail(rateLimit))]), memory])))
  })

  describe("depth", () => {
    type Recursive = Agent.Agent<any, AiError.AiError | AgentError.AgentError, LanguageModel.LanguageModel>
    const recursive = (failureMode: Tool.FailureMode): Recursive => {
      const agent: Recursive = Agent.make("recursive", {
        toolkit: AgentTool.toolkit(AgentTool.make((): Recursive => agent, { name: "ask", failureMode }))
      })
      return agent
    }
    /** Calls itself for ever, unless it is told that it cannot. */
    const digging = script(
      Array.from(
        { length: 40 },
        () => ({ prompt }: ScriptedModel.Request) =>
          showPrompt(prompt).at(-1)!.startsWith("tool:") ? text("up") : toolCalls(ask("deeper"))
      )
    )

    it.effect("is limited to 8 by default; the failure is typed", () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(Agent.run(recursive("error"), { prompt: "go" }))
        if (error._tag !== "AgentError") return assert.fail(error.message)
        assert.deepStrictEqual(error.reason, new AgentError.DepthExceeded({ maximum: 8 }))
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.strictEqual((yield* requests).length, 9)
      }).pipe(Effect.provide(digging)))

    it.effect("is a knob; in mode return the deepest model is told, and all go up again", () =>
      Effect.gen(function*() {
        const { exit, parts } = yield* collectAll(Agent.stream(recursive("return"), { prompt: "go" }))
        assert.strictEqual(showExit(Exit.map(exit, () => lastResult(parts))), "Completed \"up\"")
        const depths = parts.flatMap((part) =>
          part.type === "agent-part" && part.part.type === "run-start" ? [part.path.length] : []
        )
        assert.deepStrictEqual(depths, [1, 2])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.include(showPrompt((yield* requests)[3]!.prompt).at(-1)!, "agents may call agents no more than 2 deep")
      }).pipe(Effect.provide(digging), Effect.provideService(AgentTool.MaximumDepth, 2)))

    it.effect("can be read: 0 in a run that no agent has called", () =>
      Effect.gen(function*() {
        const depths: Array<number> = []
        const observed = (
          name: string,
          ...called: ReadonlyArray<
            Agent.Agent<any, Boom | AiError.AiError | AgentError.AgentError, LanguageModel.LanguageModel>
          >
        ) =>
          Agent.make(name, {
            toolkit: AgentTool.toolkit(...called.map((agent) => AgentTool.make(agent, { name: "ask" }))),
            providers: [{
              ...logged("depth", []),
              beforeRun: () => Effect.map(AgentTool.Depth, (depth) => void depths.push(depth))
            }]
          })
        const inner = observed("inner")
        yield* Agent.run(observed("outer", inner), { prompt: "go" })
        assert.deepStrictEqual(depths, [0, 1])
      }).pipe(Effect.provide(script([toolCalls(ask("x")), text("y"), text("done")]))))
  })

  describe("telemetry", () => {
    it.effect("the agent's span is under the execute_tool of its call, and theirs under it", () =>
      Effect.gen(function*() {
        const [, { spans }] = yield* (nodeSdk satisfies Exporter).run(
          Agent.run(parent, { prompt: "go" }).pipe(
            Effect.provide(script([toolCalls(ask("why?")), text("because"), text("done")]))
          )
        )
        const path = (span: typeof spans[number]): string => {
          const above = spans.find(({ id }) => id === span.parentId)
          return above === undefined ? span.name : `${path(above)} > ${span.name}`
        }
        assert.deepStrictEqual(
          new Set(spans.map(path)),
          new Set([
            "invoke_agent parent",
            "invoke_agent parent > chat",
            "invoke_agent parent > execute_tool ask",
            "invoke_agent parent > execute_tool ask > invoke_agent child",
            "invoke_agent parent > execute_tool ask > invoke_agent child > chat"
          ])
        )
      }))
  })
})

const lastResult = (parts: ReadonlyArray<AgentRun.Part>): AgentRun.Result => {
  const last = parts.at(-1)
  return last?.type === "run-end" ? last.result : assert.fail("no run-end")
}

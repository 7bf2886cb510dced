import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema, Stream } from "effect"
import { IdGenerator, LanguageModel, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentRun,
  AgentTelemetry,
  AgentTool,
  Approval,
  ContextProvider,
  Middleware,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { handlers as approvalHandlers, keeper, remove } from "./fixtures/approvals.ts"
import { collecting } from "./fixtures/spans.ts"

/** Ids that count. */
const ids = Layer.sync(IdGenerator.IdGenerator)(() => {
  let next = 0
  return { generateId: () => Effect.sync(() => `id-${++next}`) }
})

const plain = Agent.make("plain")

/** A text as a provider gives it that counts from 0 in each response. */
const numbered = ScriptedModel.parts([
  { type: "text-start", id: "0" },
  { type: "text-delta", id: "0", delta: "x" },
  { type: "text-end", id: "0" }
])

const idOf = (parts: ReadonlyArray<AgentRun.Part>) =>
  parts.flatMap((part) => part.type === "run-start" ? [part.runId] : part.type === "run-end" ? [part.result.runId] : [])

/** The run id that the partial of a run has, however it ended. */
const partialId = AgentRun.matchOutcome({
  onCompleted: ({ runId }) => `completed ${runId}`,
  onFailed: (_, { runId }) => `failed ${runId}`,
  onInterrupted: ({ runId }) => `interrupted ${runId}`,
  onAbandoned: ({ runId }) => `abandoned ${runId}`
})

const seeing = (seen: Array<string>) =>
  Agent.make("seen", {
    providers: [
      ContextProvider.make("seen", {
        beforeRun: () => AgentRun.addFinalizer((exit) => Effect.sync(() => void seen.push(partialId(exit))))
      })
    ]
  })

describe("the id of a run", () => {
  it.effect("is one for each run, in its first part and in its result", () =>
    Effect.gen(function*() {
      const stream = Agent.stream(plain, { prompt: "hi" })
      const [first, second] = [yield* Stream.runCollect(stream), yield* Stream.runCollect(stream)].map(idOf)
      assert.match(first[0], /^run_[0-9A-Za-z]{16}$/)
      assert.strictEqual(first[0], first[1])
      assert.strictEqual(second[0], second[1])
      assert.notStrictEqual(first[0], second[0])
    }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("a"), ScriptedModel.text("b")]))))

  it.effect("is the one that it was given, if that is one", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Agent.run(plain, { prompt: "hi", runId: "r-7" })).runId, "r-7")
      assert.strictEqual((yield* Agent.run(plain, { prompt: "hi", runId: "" })).runId, "id-1")
    }).pipe(Effect.provide([ids, ScriptedModel.layer([ScriptedModel.text("a"), ScriptedModel.text("b")])])))

  it.effect("comes from the generator in the context, once for a run", () =>
    Effect.gen(function*() {
      assert.strictEqual((yield* Agent.run(plain, { prompt: "hi" })).runId, "id-1")
      assert.strictEqual((yield* Agent.run(plain, { prompt: "hi" })).runId, "id-2")
    }).pipe(Effect.provide([ids, ScriptedModel.layer([ScriptedModel.text("a"), ScriptedModel.text("b")])])))

  it.effect("fails the run when the generator does, and is waited for", () =>
    Effect.gen(function*() {
      const run = Agent.run(plain, { prompt: "hi" })
      const dies = { generateId: () => Effect.die("no ids") }
      const died = yield* Effect.exit(Effect.provideService(run, IdGenerator.IdGenerator, dies))
      assert.strictEqual(partialId(died), "failed undefined")
      const hangs = { generateId: () => Effect.never }
      const fiber = yield* Effect.forkChild(Effect.provideService(run, IdGenerator.IdGenerator, hangs))
      yield* Effect.yieldNow
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(partialId(yield* Fiber.await(fiber)), "interrupted undefined")
    }).pipe(Effect.provide(ScriptedModel.layer([]))))

  it.effect("is in what is left of a run that failed, was interrupted, or was left", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const agent = seeing(seen)
      const stream = Agent.stream(agent, { prompt: "hi" })
      yield* Stream.runDrain(stream)
      yield* Effect.exit(Stream.runDrain(stream))
      yield* Effect.exit(Stream.runDrain(Stream.tap(stream, () => Effect.interrupt)))
      yield* Stream.runDrain(Stream.take(stream, 1))
      assert.deepStrictEqual(seen, ["completed id-1", "failed id-2", "interrupted id-3", "abandoned id-4"])
    }).pipe(
      Effect.provide([ids, ScriptedModel.layer([ScriptedModel.text("a"), ScriptedModel.die("broken")])])
    ))

  it.effect("is that of its span, and of no metric", () =>
    Effect.gen(function*() {
      const { spans, tracer } = collecting()
      yield* Agent.run(plain, { prompt: "hi", runId: "r-7" }).pipe(Effect.withTracer(tracer))
      assert.deepStrictEqual(
        spans.map(({ attributes, name }) => [name.split(" ")[0], attributes.get("effect_agents.run_id")]),
        [["invoke_agent", "r-7"], ["chat", undefined]]
      )
    }).pipe(Effect.provide([AgentTelemetry.layer(), ScriptedModel.layer([ScriptedModel.text("a")])])))

  it.effect("may be given to a run that goes on", () =>
    Effect.gen(function*() {
      const asked = yield* Agent.run(keeper, { prompt: "go", session: "s", runId: "first" })
      const answers = asked.approvals.map((approval) => Approval.approve(approval))
      const next = yield* Agent.resume(keeper, { result: asked, runId: "second" }, answers)
      assert.deepStrictEqual([asked.runId, next.runId], ["first", "second"])
      const again = yield* Agent.run(keeper, { prompt: "go", session: "t" })
      const last = yield* Agent.resume(
        keeper,
        { session: "t", runId: "third" },
        again.approvals.map((approval) => Approval.approve(approval))
      )
      assert.strictEqual(last.runId, "third")
    }).pipe(Effect.provide([
      approvalHandlers([]),
      SessionStore.layerMemory,
      ScriptedModel.layer([
        ScriptedModel.toolCalls(remove("a")),
        ScriptedModel.text("done"),
        ScriptedModel.toolCalls(remove("b")),
        ScriptedModel.text("done")
      ])
    ])))

  it.effect("is known to a program before its first part", () =>
    Effect.gen(function*() {
      const program = Agent.fromStream("program", {
        stream: (input) => Agent.stream(plain, input)
      })
      assert.deepStrictEqual(idOf(yield* Stream.runCollect(Agent.stream(program, { prompt: "hi" }))), ["id-1", "id-1"])
      const around = Agent.withMiddleware(
        program,
        Middleware.make("names", { agent: (request, next) => next({ ...request, runId: "named" }) })
      )
      assert.deepStrictEqual(idOf(yield* Stream.runCollect(Agent.stream(around, { prompt: "hi" }))), ["named", "named"])
    }).pipe(Effect.provide([ids, ScriptedModel.layer([ScriptedModel.text("a"), ScriptedModel.text("b")])])))

  it.effect("of a nested run says who has called it, at any depth", () =>
    Effect.gen(function*() {
      const leaf = Agent.make("leaf")
      const middle = Agent.make("middle", { toolkit: AgentTool.toolkit(AgentTool.make(leaf)) })
      const top = Agent.make("top", { toolkit: AgentTool.toolkit(AgentTool.make(middle)) })
      const parts = yield* Stream.runCollect(Agent.stream(top, { prompt: "go", runId: "top" }))
      const nested = parts.flatMap((part) => part.type === "agent-part" ? [part] : [])
      assert.deepStrictEqual(
        nested.filter(({ part }) => part.type === "run-start" || part.type === "run-end").map((
          { parentRunId, part, path, runId }
        ) => [
          path.join("/"),
          runId,
          parentRunId,
          part.type === "run-start" ? [part.runId, part.parentRunId] : part.type === "run-end" && part.result.runId
        ]),
        [
          ["middle", "id-1", "top", ["id-1", "top"]],
          ["middle/leaf", "id-2", "id-1", ["id-2", "id-1"]],
          ["middle/leaf", "id-2", "id-1", "id-2"],
          ["middle", "id-1", "top", "id-1"]
        ]
      )
      const idsByPath = new Set(nested.map(({ path, runId }) => `${path.join("/")} ${runId}`))
      assert.deepStrictEqual([...idsByPath], ["middle id-1", "middle/leaf id-2"])
    }).pipe(Effect.provide([
      ids,
      ScriptedModel.layer([
        ScriptedModel.toolCalls({ name: "middle", params: { prompt: "x" } }),
        ScriptedModel.toolCalls({ name: "leaf", params: { prompt: "y" } }),
        ScriptedModel.text("leaf"),
        ScriptedModel.text("middle"),
        ScriptedModel.text("top")
      ])
    ])))

  it.effect("of a run that a handler runs by itself says who has called it", () =>
    Effect.gen(function*() {
      const Ask = Tool.make("ask", {
        success: Schema.Array(Schema.String),
        dependencies: [LanguageModel.LanguageModel]
      })
      const toolkit = Toolkit.make(Ask)
      const handlers = toolkit.toLayer({
        ask: () =>
          Agent.stream(plain, { prompt: "x", runId: "inner" }).pipe(
            Stream.filter((part) => part.type === "run-start"),
            Stream.map(({ parentRunId, runId }) => [runId, String(parentRunId)]),
            Stream.runCollect,
            Effect.map((found) => found.flat()),
            Effect.orDie
          )
      })
      const parts = yield* Agent.stream(Agent.make("top", { toolkit }), { prompt: "go", runId: "top" }).pipe(
        Stream.runCollect,
        Effect.provide(handlers)
      )
      assert.deepStrictEqual(
        parts.flatMap((part) => part.type === "tool-result" ? [part.result] : []),
        [["inner", "top"]]
      )
    }).pipe(Effect.provide(ScriptedModel.layer([
      ScriptedModel.toolCalls({ name: "ask", params: {} }),
      ScriptedModel.text("inner"),
      ScriptedModel.text("outer")
    ]))))

  it.effect("with the step tells apart what a provider numbers anew each time", () =>
    Effect.gen(function*() {
      const child = Agent.make("child")
      const top = Agent.make("top", { toolkit: AgentTool.toolkit(AgentTool.make(child)) })
      const parts = yield* Stream.runCollect(Agent.stream(top, { prompt: "go" }))
      const keys: Array<string> = []
      const steps = new Map<string, number>()
      const collect = (part: AgentRun.Part, runId: string): void => {
        if (part.type === "agent-part") collect(part.part, part.runId)
        else if (part.type === "step-start") steps.set(runId, part.index)
        else if (part.type === "text-start" || part.type === "tool-call") {
          keys.push(JSON.stringify([runId, steps.get(runId), part.type, part.id]))
        }
      }
      const [start] = parts
      assert.isTrue(start.type === "run-start")
      for (const part of parts) collect(part, (start as AgentRun.RunStart).runId)
      assert.strictEqual(keys.length, 6)
      assert.strictEqual(new Set(keys).size, keys.length)
    }).pipe(Effect.provide(ScriptedModel.layer([
      ScriptedModel.toolCalls({ name: "child", params: { prompt: "x" }, id: "0" }),
      numbered,
      ScriptedModel.toolCalls({ name: "child", params: { prompt: "x" }, id: "0" }),
      numbered,
      ScriptedModel.parts([{ type: "text-start", id: "0" }, { type: "text-end", id: "0" }, {
        type: "text-start",
        id: "1"
      }])
    ]))))
})

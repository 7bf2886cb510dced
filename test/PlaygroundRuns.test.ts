import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, FileSystem, Layer, Schedule, Schema, Tracer } from "effect"
import { AiError, Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer } from "effect/http"
import { WorkflowEngine } from "effect/workflow"
import { Durable, DurableHub, ExecutionStore } from "../src/durable/index.ts"
import { Agent, AgentTelemetry, AgentTool, ContextProvider, SessionHistory } from "../src/index.ts"
import { AgentGraph } from "../src/orchestration/index.ts"
import { Playground, RunJournal } from "../src/playground/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import { Cassette, ScriptedModel } from "../src/testing/index.ts"

const { fail, finish, hang, reasoning, text, toolCalls, usage } = ScriptedModel

type Json = any

/** The playground as functions of a path. */
const open = <E>(layer: Layer.Layer<never, E, HttpRouter.HttpRouter>) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => HttpRouter.toWebHandler(layer as never, { disableLogger: true })),
      ({ dispose }) => Effect.promise(dispose)
    ),
    ({ handler }) => {
      const send = (method: string, path: string, body?: Json) =>
        Effect.promise(async () => {
          const response = await (handler as (request: Request) => Promise<Response>)(
            new Request(`http://localhost/playground/api/${path}`, {
              method,
              headers: { host: "localhost", "content-type": "application/json" },
              ...(body !== undefined && { body: JSON.stringify(body) })
            })
          )
          return { status: response.status, text: await response.text() }
        })
      const json = (path: string): Effect.Effect<Json> =>
        Effect.map(send("GET", path), ({ text }) => text === "" ? undefined : JSON.parse(text))
      const post = (path: string, body: Json = {}) => send("POST", path, body)
      return { send, json, post }
    }
  )

const services = HttpServer.layerServices

const Weather = Tool.make("weather", { parameters: Schema.Struct({ city: Schema.String }), success: Schema.String })
const Remove = Tool.make("remove", {
  parameters: Schema.Struct({ file: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
class Full extends Schema.Error<Full>("test/Full")({ _tag: Schema.tag("Full"), rows: Schema.Int }) {}
const helper = AgentTool.make(Agent.make("helper"), { name: "helper" })
const toolkit = Toolkit.make(Weather, Remove, helper.tool)
const handlers = toolkit.toLayer({
  weather: ({ city }) => Effect.succeed(`rain in ${city}`),
  remove: ({ file }) => Effect.succeed(`removed ${file}`),
  helper: helper.handler
})
const assistant = Agent.make("assistant", { toolkit, providers: [SessionHistory.provider] })

const answer = (said: string) => [text(said), finish("stop", usage(1_000_000, 500_000))]

const made = (options: {
  readonly script: ReadonlyArray<ScriptedModel.Step>
  readonly journal?: Layer.Layer<RunJournal.RunJournal> | undefined
}) =>
  open(
    Playground.layer({
      agents: [assistant],
      prices: (model) => model === "priced" ? { input: 2, output: 10 } : undefined,
      ...(options.journal !== undefined && { journal: options.journal })
    }).pipe(
      Layer.provide([
        handlers,
        ScriptedModel.model(options.script, { provider: "scripted", name: "priced" }),
        services
      ])
    ) as Layer.Layer<never, never, HttpRouter.HttpRouter>
  )

/** Asks until the answer is the one that is waited for. */
const until = <A>(ask: Effect.Effect<A>, isReached: (answer: A) => boolean): Effect.Effect<A> =>
  ask.pipe(
    Effect.repeat({ until: isReached, schedule: Schedule.spaced("5 millis") }),
    Effect.timeout("10 seconds"),
    Effect.orDie
  ) as Effect.Effect<A>

/** The end of a run is written after its readers have seen it. */
const ended = ({ json }: { readonly json: (path: string) => Effect.Effect<Json> }, session: string) =>
  Effect.map(
    until(
      json(`agents/0/sessions/${session}/runs`),
      ({ runs }) => runs?.length > 0 && runs[0].outcome !== "running"
    ),
    ({ runs }) => runs as ReadonlyArray<Json>
  )

describe("the runs of the playground", () => {
  it.live("are in the journal, however they end, with what they used", () =>
    Effect.gen(function*() {
      const page = yield* made({
        script: [
          answer("Hello."),
          [text("in the middle"), fail(new AiError.RateLimitError({}))],
          [text("a"), hang],
          toolCalls({ name: "remove", params: { file: "a" }, id: "c1" })
        ]
      })
      const { json, post, send } = page
      yield* post("agents/0/runs", { prompt: "hello", session: "s1", runId: "run-00001" })
      const [completed] = yield* ended(page, "s1")
      assert.strictEqual(completed.cost, 7)
      assert.deepStrictEqual(
        [completed.outcome, completed.prompt, completed.stopReason, completed.usage.inputTokens.total],
        ["completed", "hello", "stop", 1_000_000]
      )
      assert.deepStrictEqual([completed.session, completed.isCut, completed.traceId], ["s1", false, null])
      yield* post("agents/0/runs", { prompt: "fail", session: "s2" })
      const [failed] = yield* ended(page, "s2")
      assert.deepStrictEqual([failed.outcome, failed.failure.code], ["failed", "rate-limited"])

      // the response of a run that is stopped ends with it
      yield* Effect.forkScoped(post("agents/0/runs", { prompt: "hang", session: "s3", runId: "run-00003" }))
      yield* until(json("agents/0/journal/run-00003"), ({ parts }) => parts?.length > 1)
      yield* post("agents/0/runs/run-00003/stop")
      assert.strictEqual((yield* ended(page, "s3"))[0].outcome, "interrupted")
      yield* post("agents/0/runs", { prompt: "remove", session: "s4" })
      assert.strictEqual((yield* ended(page, "s4"))[0].outcome, "waiting")

      const { parts, run } = yield* json("agents/0/journal/run-00001")
      assert.strictEqual(run.runId, "run-00001")
      assert.deepStrictEqual(
        parts.map(({ part }: Json) => part.type),
        ["run-start", "step-start", "text-start", "text-delta", "text-end", "finish", "step-end", "run-end"]
      )
      assert.strictEqual(parts.at(-1).part.result.text, "Hello.")
      assert.isTrue(parts.every(({ at }: Json) => at >= run.startedAt && at <= run.endedAt))
      assert.strictEqual((yield* send("GET", "agents/0/journal/unknown")).status, 404)

      yield* send("DELETE", "agents/0/sessions/s1")
      assert.deepStrictEqual(yield* json("agents/0/sessions/s1/runs"), { runs: [] })
    }).pipe(Effect.scoped))

  it.live("tell failures as they are: those of the model, of tools, of agents that were called, and defects", () =>
    Effect.gen(function*() {
      const tellsFailures = AgentTool.make(Agent.make("helper"), { name: "helper", failureMode: "return" })
      const Books = Tool.make("books", { success: Schema.String, failure: Full })
      const tools = Toolkit.make(tellsFailures.tool, Books)
      const limited = fail(new AiError.RateLimitError({}))
      const page = yield* open(
        Playground.layer({
          agents: [
            Agent.make("assistant", { toolkit: tools, providers: [SessionHistory.provider] }),
            Agent.make("early", {
              providers: [ContextProvider.make("early", { beforeRun: () => new Full({ rows: 0 }) })]
            })
          ]
        }).pipe(
          Layer.provide([
            tools.toLayer({ helper: tellsFailures.handler, books: () => new Full({ rows: 7 }) }),
            ScriptedModel.layer([
              [text("in the middle"), limited],
              toolCalls({ name: "helper", params: { prompt: "x" }, id: "c1" }),
              [limited],
              answer("Never mind."),
              toolCalls({ name: "books", params: {}, id: "c2" }),
              [ScriptedModel.die(new TypeError("s3cret"))],
              [ScriptedModel.parts([{ type: "error", error: new Full({ rows: 3 }) } as never]), text("Well.")]
            ]),
            services
          ])
        ) as Layer.Layer<never, never, HttpRouter.HttpRouter>
      )
      const { json, post } = page
      const tagsOf = ({ details }: Json) => details.map(({ tags }: Json) => tags.join(" "))
      const told = (agent: number, session: string, said: string) =>
        Effect.gen(function*() {
          const { text } = yield* post(`agents/${agent}/runs`, { prompt: said, session, runId: `run-of-${session}` })
          const [run] = (yield* until(
            json(`agents/${agent}/sessions/${session}/runs`),
            ({ runs }) => runs?.length > 0 && runs[0].outcome !== "running"
          )).runs as ReadonlyArray<Json>
          return {
            run,
            text,
            parts: (yield* json(`agents/${agent}/journal/${run.runId}`)).parts as ReadonlyArray<Json>
          }
        })

      const failed = yield* told(0, "s1", "fail")
      assert.strictEqual(failed.run.failure.code, "rate-limited")
      assert.deepStrictEqual(tagsOf(failed.run.failure), ["AiError RateLimitError"])
      // the stream tells the same
      assert.include(failed.text, JSON.stringify(failed.run.failure.details))

      const nested = yield* told(0, "s2", "ask the helper")
      assert.strictEqual(nested.run.outcome, "completed")
      const { encodedResult, metadata } = nested.parts.find(({ part }) => part.type === "tool-result").part
      assert.deepStrictEqual(Object.keys(encodedResult), ["agent", "message"])
      assert.deepStrictEqual(metadata["effect-agents"].failure.tags, ["AiError", "RateLimitError"])

      const tool = yield* told(0, "s3", "books")
      assert.deepStrictEqual([tool.run.failure.code, tagsOf(tool.run.failure)], ["failed", ["Full"]])
      assert.deepStrictEqual(tool.run.failure.details[0].data, { message: "", _tag: "Full", rows: 7 })

      const died = yield* told(0, "s4", "die")
      assert.deepStrictEqual([died.run.failure.code, tagsOf(died.run.failure)], ["internal", ["TypeError"]])
      assert.match(died.run.failure.details[0].data.stack, /^TypeError: s3cret\n/)

      const noted = yield* told(0, "s5", "note")
      assert.match(tagsOf(noted.run.failure)[0], /^AiError /)

      // a run that fails before its first part is one, too
      const early = yield* told(1, "s6", "begin")
      assert.deepStrictEqual([early.run.outcome, early.run.prompt, early.parts], ["failed", "begin", []])
      assert.deepStrictEqual(tagsOf(early.run.failure), ["Full"])
      assert.deepStrictEqual(tagsOf(JSON.parse(early.text)), ["Full"])
    }).pipe(Effect.scoped))

  it.live("know where in the session they began", () =>
    Effect.gen(function*() {
      const page = yield* made({
        script: [
          answer("Hello."),
          [fail(new AiError.RateLimitError({}))],
          toolCalls({ name: "remove", params: { file: "a" }, id: "c1" }),
          answer("Done.")
        ]
      })
      for (const [index, prompt] of ["hello", "fail", "remove"].entries()) {
        yield* page.post("agents/0/runs", { prompt, session: "s" })
        yield* until(page.json("agents/0/sessions/s/runs"), ({ runs }) =>
          runs.length === index + 1 && runs[0].outcome !== "running")
      }
      const { approvals } = yield* page.json("agents/0/sessions/s")
      yield* page.post("agents/0/sessions/s/answers", {
        answers: [{ approvalId: approvals[0].approvalId, approved: true }]
      })
      const { runs } = yield* until(page.json("agents/0/sessions/s/runs"), ({ runs }) =>
        runs.length === 4 && runs[0].outcome !== "running")
      assert.deepStrictEqual(
        runs.map(({ before, outcome, prompt }: Json) => [outcome, before, prompt]).reverse(),
        [["completed", 0, "hello"], ["failed", 2, "fail"], ["waiting", 2, "remove"], ["completed", 4, null]]
      )
      // a fork has those of the messages that it begins with
      const inFork = (to: string, length?: number) =>
        Effect.andThen(
          page.post("agents/0/sessions/s/fork", { to, length }),
          Effect.map(page.json(`agents/0/sessions/${to}/runs`), ({ runs }) =>
            runs.map(({ outcome, session }: Json) => [outcome, session]).reverse())
        )
      assert.deepStrictEqual(yield* inFork("f", 2), [["completed", "s"]])
      assert.lengthOf(yield* inFork("g"), 4)
    }).pipe(Effect.scoped))

  it.live("have what came, if their process ends in the middle of a text; the end, if it stops in order", () =>
    Effect.gen(function*() {
      const database = yield* Layer.build(SqliteClient.layer({ filename: ":memory:" }))
      const journal = Layer.orDie(Layer.provide(RunJournal.layer(), Layer.succeedContext(database)))
      yield* Effect.scoped(Effect.gen(function*() {
        const page = yield* made({ script: [[text(["half a ", "sentence"]), hang]], journal })
        yield* Effect.forkScoped(page.post("agents/0/runs", { prompt: "go", session: "s", runId: "run-00001" }))
        // nothing comes any more, and all of it is written
        const { parts } = yield* until(
          page.json("agents/0/journal/run-00001"),
          ({ parts }) => parts?.some(({ part }: Json) => part.type === "text-delta")
        )
        assert.strictEqual(parts.at(-1).part.delta, "half a sentence")
      }))
      const { json } = yield* made({ script: [], journal })
      const { runs } = yield* json("agents/0/sessions/s/runs")
      assert.deepStrictEqual(runs.map(({ outcome }: Json) => outcome), ["interrupted"])
    }).pipe(Effect.scoped))

  it.live("are copied as a test and as a cassette that say the same again", () =>
    Effect.gen(function*() {
      const script = [
        [reasoning("look"), text("Let me \"see\". "), toolCalls({ name: "helper", params: { prompt: "x" }, id: "c1" })],
        [text(["I ", "help", "."])],
        answer("It rains.")
      ]
      const page = yield* made({ script })
      const { json, post, send } = page
      yield* post("agents/0/runs", { prompt: "weather?", session: "s", runId: "run-00001" })
      yield* ended(page, "s")
      const { parts } = yield* json("agents/0/journal/run-00001")
      const nested = parts.flatMap(({ part }: Json) => part.type === "agent-part" ? [part.part] : [])
      assert.deepStrictEqual(
        nested.flatMap(({ delta }: Json) => delta ?? []),
        ["I help."]
      )
      const { text: test } = yield* json("agents/0/journal/run-00001/test")
      assert.include(test, "import { ScriptedModel } from \"effect-agents/testing\"")
      assert.include(test, "weather?")
      assert.include(test, "It rains.")
      const run = (model: Layer.Layer<any, any>) =>
        Agent.run(Agent.make("assistant", { toolkit }), { prompt: "weather?" }).pipe(
          Effect.provide(Layer.provideMerge(handlers, model))
        ) as Effect.Effect<Json>
      const { text: cassette } = yield* json("agents/0/journal/run-00001/cassette")
      const files = new Map([["run.jsonl", cassette as string]])
      const replay = Cassette.layer({ path: "run.jsonl", mode: "replay" }).pipe(
        Layer.provide(FileSystem.layerNoop({ readFileString: (path) => Effect.sync(() => files.get(path)!) }))
      )
      const expected = yield* run(ScriptedModel.layer(script))
      const replayed = yield* run(replay)
      assert.deepStrictEqual(
        [replayed.text, replayed.totalUsage, replayed.transcript],
        [expected.text, expected.totalUsage, expected.transcript]
      )
      assert.strictEqual((yield* send("GET", "agents/0/journal/run-00002/cassette")).status, 404)
    }).pipe(Effect.scoped))

  it.live("are seen after a restart, and one whose process has ended is lost", () =>
    Effect.gen(function*() {
      // a database that outlives its playgrounds
      const database = yield* Layer.build(SqliteClient.layer({ filename: ":memory:" }))
      const journal = Layer.orDie(Layer.provide(RunJournal.layer(), Layer.succeedContext(database)))
      yield* Effect.scoped(Effect.gen(function*() {
        const page = yield* made({ script: [answer("Hello.")], journal })
        yield* page.post("agents/0/runs", { prompt: "hello", session: "s", runId: "run-00001" })
        yield* ended(page, "s")
      }))
      yield* Effect.provide(
        Effect.flatMap(RunJournal.RunJournal, ({ write }) =>
          write(RunJournal.begun({
            runId: "run-00002",
            agent: "assistant",
            owner: "playground/assistant",
            session: "playground%2Fassistant/s",
            startedAt: Date.now()
          }))),
        journal
      )
      const { json } = yield* made({ script: [], journal })
      const { runs } = yield* json("agents/0/sessions/s/runs")
      assert.deepStrictEqual(runs.map(({ outcome }: Json) => outcome), ["lost", "completed"])
      assert.isAbove((yield* json("agents/0/journal/run-00001")).parts.length, 5)
    }).pipe(Effect.scoped))

  it.live("belong to the trace of their request, if there are spans", () =>
    Effect.gen(function*() {
      const page = yield* open(
        Playground.layer({ agents: [assistant] }).pipe(
          Layer.provide([handlers, AgentTelemetry.layer(), ScriptedModel.layer([answer("Hello.")]), services]),
          // effect's own makes no spans of requests, because nobody could see them
          Layer.provideMerge(
            Layer.succeed(Tracer.Tracer)(
              Tracer.make({ span: (options) => new Tracer.NativeSpan(options) })
            )
          )
        ) as Layer.Layer<never, never, HttpRouter.HttpRouter>
      )
      yield* page.post("agents/0/runs", { prompt: "hello", session: "s" })
      assert.match((yield* ended(page, "s"))[0].traceId, /^[0-9a-f]{32}$/)
    }).pipe(Effect.scoped))

  it.live("have parts that are bounded", () =>
    Effect.gen(function*() {
      const page = yield* made({
        script: [
          toolCalls({ name: "weather", params: { city: "x".repeat(600_000) }, id: "c1" }),
          [text(Array.from({ length: 1000 }, () => "y".repeat(5000)))]
        ]
      })
      yield* page.post("agents/0/runs", { prompt: "much", session: "s", runId: "run-00001" })
      const [run] = yield* ended(page, "s")
      assert.isTrue(run.isCut)
      const { parts } = yield* page.json("agents/0/journal/run-00001")
      assert.isBelow(JSON.stringify(parts).length, 4_500_000)
      assert.strictEqual(parts.at(-1).part.type, "run-end")
      const call = parts.find(({ part }: Json) => part.type === "tool-call").part
      assert.deepStrictEqual([call.name, call.params], ["weather", "This value is too large for the journal."])
    }).pipe(Effect.scoped))

  it.live("edited arguments that are none of the tool are refused, and the session waits on", () =>
    Effect.gen(function*() {
      const page = yield* made({
        script: [toolCalls({ name: "remove", params: { file: "a" }, id: "c1" }), answer("Done.")]
      })
      const { json, post } = page
      yield* post("agents/0/runs", { prompt: "remove", session: "s" })
      const { approvals } = yield* json("agents/0/sessions/s")
      const approvalId = approvals[0].approvalId
      for (const params of [{ file: 3 }, { files: "b" }, "b", null]) {
        const refused = yield* post("agents/0/sessions/s/answers", {
          answers: [{ approvalId, approved: true, params }]
        })
        assert.strictEqual(refused.status, 422)
        assert.match(JSON.parse(refused.text).message, /^These are no arguments of remove: /)
      }
      const params = { file: "b" }
      const done = yield* post("agents/0/sessions/s/answers", { answers: [{ approvalId, approved: true, params }] })
      assert.include(done.text, "removed b")
    }).pipe(Effect.scoped))
})

describe("what the playground says of agents", () => {
  it.live("their tools with schemas, and their graphs", () =>
    Effect.gen(function*() {
      const graph = AgentGraph.make("article")
        .agent("draft", Agent.make("writer"))
        .effect("words", {
          after: ["draft"],
          when: { draft: () => true },
          success: Schema.Int,
          run: () => Effect.succeed(1)
        })
        .loop("words", "draft", { times: 2, when: () => false })
      const { json } = yield* open(
        Playground.layer({ agents: [assistant, AgentGraph.toAgent(graph)] as never, graphs: [graph] }).pipe(
          Layer.provide([handlers, ScriptedModel.layer([]), services])
        ) as Layer.Layer<never, never, HttpRouter.HttpRouter>
      )
      const [own, article] = yield* json("agents")
      assert.deepStrictEqual(
        own.tools.map(({ approval, name, parameters }: Json) => [name, approval, parameters.type]),
        [
          ["weather", false, "object"],
          ["remove", true, "object"],
          ["helper", false, "object"]
        ]
      )
      assert.deepStrictEqual(own.tools[0].parameters.properties.city.type, "string")
      assert.deepStrictEqual(article.graph, {
        nodes: [{ name: "draft", kind: "agent" }, { name: "words", kind: "effect" }],
        edges: [
          { from: 0, to: 1, isConditional: true },
          { from: 1, to: 0, isConditional: false, loop: 2 }
        ]
      })
    }).pipe(Effect.scoped))

  it.live("the executions of a durable agent, which are answered, interrupted, resumed and purged", () =>
    Effect.gen(function*() {
      const durable = Durable.make(Agent.make("keeper", { toolkit, providers: [SessionHistory.provider] }), {
        version: 1
      })
      const removes = toolCalls({ name: "remove", params: { file: "a" }, id: "c1" })
      const executions = yield* Layer.build(ExecutionStore.layerMemory)
      const store = Context.get(executions, ExecutionStore.ExecutionStore)
      const engine = Layer.mergeAll(WorkflowEngine.layerMemory, Layer.succeedContext(executions))
      const dies = ScriptedModel.die(new Error("broken"))
      const limited = fail(new AiError.RateLimitError({}))
      const model = ScriptedModel.model([removes, removes, [dies], answer("Well."), answer("Done."), [limited]], {
        provider: "scripted",
        name: "model"
      })
      const { json, post, send } = yield* open(
        Playground.layer({ agents: [DurableHub.agent(durable)], executions: [durable] }).pipe(
          Layer.provide(Durable.layer(durable)),
          Layer.provide([engine, handlers, model, services])
        ) as Layer.Layer<never, never, HttpRouter.HttpRouter>
      )
      const list = Effect.map(
        json("agents/0/executions"),
        ({ executions }) => executions as ReadonlyArray<Json>
      )
      const statuses = Effect.map(list, (all) => all.map(({ id, status }) => `${id} ${status}`))
      const reach = (...expected: ReadonlyArray<string>) => until(statuses, (found) => found.join() === expected.join())
      assert.deepStrictEqual((yield* json("agents"))[0].hasExecutions, true)
      for (const runId of ["run-00001", "run-00002"]) {
        yield* post("agents/0/runs", { prompt: "go", session: runId, runId })
      }
      yield* reach("run-00001 waiting", "run-00002 waiting")
      // this one cannot go on: its model is broken, until it is resumed
      yield* Effect.forkScoped(post("agents/0/runs", { prompt: "go", session: "c", runId: "run-00003" }))
      yield* reach("run-00001 waiting", "run-00002 waiting", "run-00003 parked")
      assert.include((yield* list)[2].cause, "broken")
      yield* post("agents/0/executions/run-00003/resume")
      yield* reach("run-00001 waiting", "run-00002 waiting", "run-00003 completed")

      const { approvalId } = (yield* list)[0].approvals[0]
      const wrong = yield* post("agents/0/executions/run-00001/answers", {
        answers: [{ approvalId, approved: true, params: { file: 3 } }]
      })
      assert.deepStrictEqual([wrong.status, JSON.parse(wrong.text).code], [422, "approval-invalid"])
      assert.strictEqual(
        (yield* post("agents/0/executions/run-00001/answers", { answers: [{ approvalId, approved: true }] })).status,
        204
      )
      yield* reach("run-00001 completed", "run-00002 waiting", "run-00003 completed")
      yield* post("agents/0/executions/run-00002/interrupt")
      yield* reach("run-00001 completed", "run-00002 interrupted", "run-00003 completed")
      assert.strictEqual((yield* post("agents/0/executions/none/resume")).status, 404)
      yield* send("DELETE", "agents/0/executions/run-00003")
      const purged = yield* post("agents/0/executions/purge", { endedBefore: Date.now() + 1000 })
      assert.deepStrictEqual(JSON.parse(purged.text), { purged: 2 })
      assert.deepStrictEqual(yield* statuses, [])

      yield* post("agents/0/runs", { prompt: "go", session: "d", runId: "run-00004" })
      yield* reach("run-00004 failed")
      assert.strictEqual(JSON.parse((yield* list)[0].failure).reason._tag, "RateLimitError")
      // one that no process has begun to work on
      yield* Effect.flatMap(
        ExecutionStore.created({ id: "6:keeper:run-00005", agent: "keeper", version: 1, payload: "{}" }),
        store.create
      )
      yield* reach("run-00004 failed", "run-00005 queued")
    }).pipe(Effect.scoped))
})

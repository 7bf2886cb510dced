// node peers/ours/features.mjs [json]: what a run costs that uses a feature once; prints one line of JSON.
//
// Every case does the work of its base and one thing more. They take turns, and the cost of a feature is the median of
// the differences of the rounds.
import assert from "node:assert/strict"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Agent from "effect-agents/Agent"
import * as AgentOutput from "effect-agents/AgentOutput"
import * as AgentRun from "effect-agents/AgentRun"
import * as AgentTelemetry from "effect-agents/AgentTelemetry"
import * as AgentTool from "effect-agents/AgentTool"
import * as Budget from "effect-agents/Budget"
import * as Compaction from "effect-agents/Compaction"
import * as ContextProvider from "effect-agents/ContextProvider"
import * as DirectLanguageModel from "effect-agents/DirectLanguageModel"
import * as Guardrail from "effect-agents/Guardrail"
import * as Middleware from "effect-agents/Middleware"
import * as SessionHistory from "effect-agents/SessionHistory"
import * as SessionStore from "effect-agents/SessionStore"
import * as Steering from "effect-agents/Steering"
import { A2aServer } from "effect-agents/a2a"
import { Durable, ExecutionStore } from "effect-agents/durable"
import { AgUi, OpenAiApi, RunHub, UiMessages } from "effect-agents/server"
import { SqliteSessionStore } from "effect-agents/sqlite"
import { Cause, Effect, Layer, ManagedRuntime, References, Schema, Stream } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { WorkflowEngine } from "effect/workflow"

const options = { rounds: 15, ms: 30, warmMs: 600, ...JSON.parse(process.argv[2] ?? "{}") }
const folder = mkdtempSync(join(tmpdir(), "effect-agents-features-"))

// -----------------------------------------------------------------------------
// the model
// -----------------------------------------------------------------------------

const finish = (reason) => ({ type: "finish", reason, usage: { inputTokens: { total: 10 }, outputTokens: { total: 5 } } })
const called = (name, params) => [{ type: "tool-call", id: "call", name, params }, finish("tool-calls")]
const said = (...deltas) => [
  { type: "text-start", id: "t" },
  ...deltas.map((delta) => ({ type: "text-delta", id: "t", delta })),
  { type: "text-end", id: "t" },
  finish("stop")
]

/** Calls the tool that the last question names, once, and then answers. */
const answer = ({ prompt, tools }) => {
  if (tools.some(({ name }) => name === "final_answer")) return called("final_answer", { n: 1 })
  const messages = prompt.content.slice(prompt.content.findLastIndex(({ role }) => role === "user"))
  const question = messages[0].content[0].text
  if (messages.some(({ role }) => role === "tool")) return said("Done.")
  if (question === "add") return called("add", { a: 1, b: 1 })
  return question === "member" ? called("member", { prompt: "hello" }) : said("Hello.", " I am here.")
}

const model = DirectLanguageModel.make({
  generateText: () => Effect.succeed([{ type: "text", text: "{\"n\":1}" }, finish("stop")]),
  streamText: (call) =>
    Stream.fromPull(Effect.sync(() => {
      let parts = answer(call)
      return Effect.suspend(() => {
        const next = parts
        parts = undefined
        return next === undefined ? Cause.done() : Effect.succeed(next)
      })
    }))
})

// -----------------------------------------------------------------------------
// the agents
// -----------------------------------------------------------------------------

const Tools = Toolkit.make(
  Tool.make("add", { parameters: Schema.Struct({ a: Schema.Number, b: Schema.Number }), success: Schema.String })
)
const Numbered = Schema.Struct({ n: Schema.Number })
const pass = () => Effect.succeed(Guardrail.pass)

const plain = (extra = {}) => Agent.make("plain", extra)
const tooled = (extra = {}) => Agent.make("tooled", { toolkit: Tools, ...extra })
const lead = Agent.make("lead", { toolkit: AgentTool.toolkit({ member: Agent.make("member") }) })
const program = Agent.program("program", { toolkit: Tools, run: (_, call) => call.add({ a: 1, b: 1 }) })
const durable = Durable.make(Agent.make("durable"), { version: 1 })

/** Runs to the end. The session and the id of each run are its own. */
let count = 0
const run = (agent, prompt, input = () => ({})) => () => Agent.run(agent, { prompt, ...input() })
const session = () => ({ session: `session-${count++}` })
const drain = (stream) => Stream.runForEachArray(stream, () => Effect.void)
const streamed = (agent, prompt, f) => () => f(Agent.stream(agent, { prompt }))

const bases = {
  "a text": run(plain(), "hello"),
  "a tool call and a text": run(tooled(), "add"),
  "the same, streamed": streamed(tooled(), "add", drain)
}

const named = { id: "chatcmpl-1", model: "tooled", created: 0 }
const encode = Schema.encodeEffect(AgentRun.parts(Tools))
const around = Middleware.make("around", {
  agent: (request, next) => next(request),
  model: (request, next) => next(request),
  tool: (request, next) => next(request)
})

/** By base: what a run costs that does one thing more. */
const features = {
  "a text": {
    "output as a tool": run(plain({ output: Numbered }), "hello"),
    "output in JSON mode": run(plain({ output: AgentOutput.json(Numbered) }), "hello"),
    "provider with a finalizer and an afterRun": run(
      plain({
        providers: [
          ContextProvider.make("hooks", {
            beforeRun: () => AgentRun.addFinalizer(() => Effect.void),
            afterRun: () => Effect.void
          })
        ]
      }),
      "hello"
    ),
    "guardrail on the input": run(plain({ middleware: [Guardrail.input("check", pass)] }), "hello"),
    "guardrail on the output": run(plain({ middleware: [Guardrail.output("check", pass)] }), "hello"),
    "compaction that has nothing to do": run(
      plain({ providers: [Compaction.make({ maxTokens: 1e6, strategies: [Compaction.dropOldest] })] }),
      "hello"
    ),
    "session in memory": run(plain({ providers: [SessionHistory.provider] }), "hello", session),
    "session in SQLite": {
      make: run(plain({ providers: [SessionHistory.provider] }), "hello", session),
      layer: SqliteSessionStore.layerFile({ filename: join(folder, "sessions.db") })
    },
    "durable, in memory": () => {
      const id = `run-${count++}`
      return Effect.andThen(Durable.start(durable, { id, prompt: "hello" }), Durable.result(durable, id))
    },
    "hub with one reader": () =>
      Effect.flatMap(
        Effect.flatMap(RunHub.RunHub, (hub) => hub.start(plainAgent, { prompt: "hello" })),
        (live) => drain(live.parts())
      )
  },
  "a tool call and a text": {
    "guardrail on a tool": run(tooled({ middleware: [Guardrail.tool("check", { before: pass })] }), "add"),
    "middleware around run, model and tool": run(tooled({ middleware: [around] }), "add"),
    "budget": run(tooled({ middleware: [Budget.middleware(Budget.make({ tokens: 1e9, toolCalls: 1e9 }))] }), "add"),
    "steering without messages": () =>
      Effect.flatMap(Steering.make, (steering) => Agent.run(tooledAgent, { prompt: "add", steering })),
    "an agent as the tool": run(lead, "member"),
    "a program in place of the model": run(program, "hello"),
    "telemetry, effect's tracer": { make: run(tooled(), "add"), layer: AgentTelemetry.layer(), traces: true }
  },
  "the same, streamed": {
    "parts as JSON": streamed(tooled(), "add", (parts) =>
      Stream.runForEachArray(parts, (parts) => Effect.forEach(parts, encode, { discard: true }))),
    "AG-UI": streamed(tooled(), "add", (parts) => drain(AgUi.fromParts(parts, { threadId: "thread" }))),
    "messages of useChat": streamed(tooled(), "add", (parts) => drain(UiMessages.fromParts(parts))),
    "OpenAI, chat completions": streamed(tooled(), "add", (parts) => drain(OpenAiApi.chatChunksFromParts(parts, named))),
    "OpenAI, responses": streamed(tooled(), "add", (parts) =>
      drain(OpenAiApi.responseEventsFromParts(parts, { ...named, id: "resp_1" }))),
    "A2A": streamed(tooled(), "add", (parts) =>
      drain(A2aServer.fromParts(parts, { taskId: "task", contextId: "context", runId: "run-1" })))
  }
}
const plainAgent = plain()
const tooledAgent = tooled()

// -----------------------------------------------------------------------------
// measuring
// -----------------------------------------------------------------------------

const layerOf = ({ layer = Layer.empty, traces = false }) =>
  Durable.layer(durable).pipe(
    Layer.provideMerge(Layer.mergeAll(
      Layer.effect(LanguageModel.LanguageModel, model),
      Tools.toLayer({ add: ({ a, b }) => Effect.succeed(String(a + b)) }),
      Layer.succeed(References.TracerEnabled, traces),
      SessionStore.layerMemory,
      WorkflowEngine.layerMemory,
      ExecutionStore.layerMemory,
      RunHub.layer({ keep: 0 })
    )),
    // last, so that it takes precedence
    (base) => Layer.merge(base, layer)
  )

const caseOf = async (feature) => {
  const { make, ...given } = typeof feature === "function" ? { make: feature } : feature
  const runtime = ManagedRuntime.make(layerOf(given))
  const runPromise = Effect.runPromiseWith(await runtime.context())
  return async () => {
    const result = await runPromise(make())
    // a stream that was read to its end has no result
    if (result !== undefined) assert.ok(["stop", "output"].includes(result.stopReason), result.stopReason)
  }
}

/** µs of work of a run. */
const measure = async (body, ms) => {
  const before = process.threadCpuUsage()
  let runs = 0
  let cpu
  do {
    await body()
    runs++
    const { system, user } = process.threadCpuUsage(before)
    cpu = system + user
  } while (cpu < ms * 1e3)
  return cpu / runs
}

const median = (xs) => [...xs].sort((a, b) => a - b)[xs.length >> 1]

const rows = []
for (const [base, given] of Object.entries(features)) {
  const cases = [[base, await caseOf(bases[base])]]
  for (const [name, feature] of Object.entries(given)) cases.push([name, await caseOf(feature)])
  for (const [, body] of cases) await measure(body, options.warmMs)
  const us = cases.map(() => [])
  for (let round = 0; round < options.rounds; round++) {
    for (const [index, [, body]] of cases.entries()) us[index].push(await measure(body, options.ms))
  }
  cases.forEach(([name], index) => {
    const more = us[index].map((x, round) => x - us[0][round])
    rows.push({ base, name, us: median(us[index]), more: median(more), times: median(us[index].map((x, round) => x / us[0][round])) })
  })
}
assert.equal(rows.length, Object.keys(bases).length + Object.values(features).flatMap(Object.keys).length)
rmSync(folder, { recursive: true })
console.log(JSON.stringify(rows))
process.exit(0)

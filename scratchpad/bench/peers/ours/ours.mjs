// effect-agents, as a user of the package would write it: public modules, nothing else.
//
//   variant "make"     a model made with effect's LanguageModel.make, as third-party models are
//   variant "direct"   a model made with DirectLanguageModel.make
//   variant "ai-sdk"   a provider of the AI SDK in the process, through effect-agents/ai-sdk
//
// Hooks are on: one context provider with a beforeRun, a finalizer on the run's scope and an
// afterRun. Spans are off unless telemetry is asked for.
import assert from "node:assert/strict"
import * as Agent from "effect-agents/Agent"
import * as AgentRun from "effect-agents/AgentRun"
import * as ContextProvider from "effect-agents/ContextProvider"
import * as DirectLanguageModel from "effect-agents/DirectLanguageModel"
import { Cause, Effect, Layer, ManagedRuntime, References, Schema, Stream } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { add, answer, fullText, PROMPT, TOOL_STEPS, USAGE } from "../../lib/work.mjs"

const finish = (reason) => ({
  type: "finish",
  reason,
  usage: { inputTokens: { total: USAGE.input }, outputTokens: { total: USAGE.output } }
})

const answered = (prompt) => {
  let count = 0
  for (const message of prompt.content) if (message.role === "tool") count++
  return count
}

const toParts = (step) => {
  if (step.tool) {
    const { id, input, name } = step.tool
    return [{ type: "tool-call", id, name, params: input }, finish("tool-calls")]
  }
  const parts = [{ type: "text-start", id: "t" }]
  for (let i = 0; i < step.n; i++) parts.push({ type: "text-delta", id: "t", delta: step.delta })
  parts.push({ type: "text-end", id: "t" }, finish("stop"))
  return parts
}

/** Arrays of `size` parts: what a read of a socket gives. */
const arraysOf = (parts, size) => {
  let next = 0
  return Effect.suspend(() => {
    if (next >= parts.length) return Cause.done()
    const from = next
    next += size
    return Effect.succeed(size < parts.length ? parts.slice(from, next) : parts)
  })
}

/** Parts one by one, each when it is asked for: what an SDK gives. */
async function* each(parts) {
  for (const part of parts) yield part
}

/** Short answers come at once, as pi's do; deltas from an async iterable, one for each pull, or 64. */
const sizes = { pulls: 1, arrays: 64 }
const emit = (kind, parts) =>
  kind === "deltas"
    ? DirectLanguageModel.fromAsyncIterable(each(parts), (error) => error)
    : Stream.fromPull(Effect.sync(() => arraysOf(parts, sizes[kind] ?? parts.length)))

const effectModel = (make) => (kind) =>
  Layer.effect(LanguageModel.LanguageModel, make({
    generateText: (options) =>
      Effect.sync(() => [{ type: "text", text: fullText(answer(kind, answered(options.prompt))) }, finish("stop")]),
    streamText: (options) => emit(kind, toParts(answer(kind, answered(options.prompt))))
  }))

// --- a provider of the AI SDK: an object of its LanguageModelV4, nothing from its packages ---

const sdkUsage = {
  inputTokens: { total: USAGE.input, noCache: USAGE.input, cacheRead: 0, cacheWrite: 0 },
  outputTokens: { total: USAGE.output, text: USAGE.output, reasoning: 0 }
}
const sdkFinish = (reason) => ({ type: "finish", finishReason: { unified: reason, raw: reason }, usage: sdkUsage })

const toSdkParts = (step) => {
  const start = { type: "stream-start", warnings: [] }
  if (step.tool) {
    const { id, input, name } = step.tool
    const call = { type: "tool-call", toolCallId: id, toolName: name, input: JSON.stringify(input) }
    return [start, call, sdkFinish("tool-calls")]
  }
  const parts = [start, { type: "text-start", id: "t" }]
  for (let i = 0; i < step.n; i++) parts.push({ type: "text-delta", id: "t", delta: step.delta })
  parts.push({ type: "text-end", id: "t" }, sdkFinish("stop"))
  return parts
}

const sdkModel = async () => {
  const { AiSdk } = await import("effect-agents/ai-sdk")
  return (kind) =>
    AiSdk.layer({
      specificationVersion: "v4",
      provider: "bench",
      modelId: "bench",
      supportedUrls: {},
      doGenerate: () => Promise.reject(new Error("not used")),
      doStream: ({ prompt }) => {
        const parts = toSdkParts(answer(kind, prompt.filter(({ role }) => role === "tool").length))
        const size = sizes[kind === "deltas" ? "pulls" : kind] ?? parts.length
        let next = 0
        return Promise.resolve({
          stream: new ReadableStream({
            pull(controller) {
              for (const end = next + size; next < end && next < parts.length; next++) controller.enqueue(parts[next])
              if (next === parts.length) controller.close()
            }
          })
        })
      }
    })
}

const models = {
  make: () => effectModel(LanguageModel.make),
  direct: () => effectModel(DirectLanguageModel.make),
  "ai-sdk": sdkModel
}

export const Tools = Toolkit.make(
  Tool.make("add", { parameters: Schema.Struct({ a: Schema.Number, b: Schema.Number }), success: Schema.String })
)

const hooks = { beforeRun: 0, afterRun: 0, finalizer: 0 }
const provider = ContextProvider.make("hooks", {
  beforeRun: () =>
    Effect.as(
      AgentRun.addFinalizer(() => Effect.sync(() => { hooks.finalizer++ })),
      { state: hooks.beforeRun++ }
    ),
  afterRun: ({ result }) =>
    Effect.sync(() => {
      assert.equal(result.usage.inputTokens.total, USAGE.input * result.steps.length)
      hooks.afterRun++
    })
})

export default {
  name: "ours",
  cases: ["text", "stream", "tools", "tools100", "deltas", "pulls", "arrays"],
  async setup({ otel, variant }) {
    const spans = otel ? await import("./telemetry.mjs") : undefined
    const telemetry = otel && otel !== "bare" ? await spans.layer(otel) : Layer.succeed(References.TracerEnabled, false)
    const handlers = Tools.toLayer({ add: (input) => Effect.sync(() => add(input)) })
    const model = await models[variant]()
    const run = {}
    for (const kind of ["text", "deltas", "pulls", "arrays", "tools"]) {
      const layer = Layer.mergeAll(model(kind), handlers, telemetry)
      run[kind] = Effect.runPromiseWith(await ManagedRuntime.make(layer).context())
    }
    const plain = Agent.make("bench", { providers: [provider] })
    const tooled = Agent.make("bench", { toolkit: Tools, providers: [provider] })
    const input = { prompt: PROMPT }

    const drain = (agent) =>
      Effect.suspend(() => {
        let deltas = 0
        let text = ""
        return Effect.map(
          Stream.runForEachArray(Agent.stream(agent, input), (parts) => {
            for (const part of parts) {
              if (part.type === "text-delta") deltas++
              else if (part.type === "run-end") text = part.result.text
            }
            return Effect.void
          }),
          () => ({ deltas, text })
        )
      })
    // every run that has ended had each of its hooks called once
    let inFlight = 0
    const hooked = async (start) => {
      inFlight++
      const result = await start()
      if (--inFlight === 0) assert.ok(hooks.beforeRun === hooks.afterRun && hooks.finalizer === hooks.afterRun, "hooks")
      return result
    }
    return {
      text: () => hooked(() => run.text(Agent.run(plain, input))),
      stream: (kind) => hooked(() => run[kind](drain(plain))),
      tools: otel === "bare"
        ? async () => {
          const result = await hooked(() => run.tools(drain(tooled)))
          spans.bareSpans()
          return result
        }
        : () => hooked(() => run.tools(drain(tooled)))
    }
  }
}

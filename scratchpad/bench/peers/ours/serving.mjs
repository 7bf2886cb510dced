// node --expose-gc peers/ours/serving.mjs: an agent behind `AgentHttp`, driven over IPC by lib/serving.mjs.
//
// `{ ask: "pipeline" }` measures what a delta costs on its way from the model to the bytes of a response, without a socket.
import { NodeHttpServer } from "@effect/platform-node"
import { Cause, Context, Effect, Layer, ManagedRuntime, References, Schema, Stream } from "effect"
import { LanguageModel } from "effect/ai"
import { HttpRouter, HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiEndpoint, HttpApiGroup, HttpApiMiddleware, HttpApiSchema } from "effect/http-api"
import * as Agent from "effect-agents/Agent"
import * as AgentRun from "effect-agents/AgentRun"
import * as DirectLanguageModel from "effect-agents/DirectLanguageModel"
import * as SessionStore from "effect-agents/SessionStore"
import { AgentApi, AgentHttp, RunHub } from "effect-agents/server"
import { createServer } from "node:http"
import { answering, deltasOf } from "../../lib/servedWork.mjs"
import { events } from "./node_modules/effect-agents/dist/server/internal/sse.js"

const usage = { inputTokens: { total: 10 }, outputTokens: { total: 5 } }
const finish = { type: "finish", reason: "stop", usage }

const textOf = ({ prompt }) => prompt.content.at(-1).content.map(({ text }) => text).join("")

async function* parts(prompt) {
  yield { type: "text-start", id: "t" }
  for await (const delta of deltasOf(prompt)) yield { type: "text-delta", id: "t", delta }
  yield { type: "text-end", id: "t" }
  yield finish
}

const model = DirectLanguageModel.make({
  generateText: () => Effect.die("not used"),
  streamText: (call) => DirectLanguageModel.fromAsyncIterable(parts(textOf(call)), (error) => error)
})

class Everybody extends HttpApiMiddleware.Service()("Everybody") {
  static layer = Layer.succeed(this, (effect) => Effect.provideService(effect, AgentApi.Owner, { id: "everybody" }))
}

const agent = Agent.make("assistant")
class Api extends HttpApi.make("agents").add(AgentApi.group("assistant").middleware(Everybody)) {}
const Handlers = HttpApiBuilder.group(
  Api,
  "assistant",
  Effect.fn(function*(handlers) {
    return handlers.handleAll(yield* AgentHttp.handlers(agent))
  })
).pipe(Layer.provide(Everybody.layer))

const services = (model) =>
  Layer.mergeAll(
    RunHub.layer({ keep: "1 second", grace: 0 }),
    SessionStore.layerMemory,
    Layer.effect(LanguageModel.LanguageModel, model),
    Layer.succeed(References.TracerEnabled, false)
  )

// --- what a delta costs, in the process

const DELTAS = 10_000

/** Deltas in arrays of so many, as they are pulled. */
const pulled = (size) =>
  DirectLanguageModel.make({
    generateText: () => Effect.die("not used"),
    streamText: () => {
      const delta = { type: "text-delta", id: "t", delta: "tok " }
      const array = Array.from({ length: size }, () => delta)
      let next = -1
      return Stream.fromPull(Effect.sync(() =>
        Effect.suspend(() => {
          if (next === -1) {
            next = 0
            return Effect.succeed([{ type: "text-start", id: "t" }])
          }
          if (next < DELTAS) {
            next += size
            return Effect.succeed(array)
          }
          if (next === Infinity) return Cause.done()
          next = Infinity
          return Effect.succeed([{ type: "text-end", id: "t" }, finish])
        })
      ))
    }
  })

/** The same runs, with the encoder of effect's `HttpApi` in place of ours. */
class Effects extends HttpApi.make("effect").add(HttpApiGroup.make("runs").add(HttpApiEndpoint.post("run", "/runs", {
  success: HttpApiSchema.StreamSse({
    events: Schema.Struct({
      id: Schema.FiniteFromString,
      event: Schema.tag("message"),
      data: Schema.fromJsonString(AgentRun.parts())
    }),
    error: AgentApi.RunFailed
  })
}))) {}
const EffectsHandlers = HttpApiBuilder.group(
  Effects,
  "runs",
  Effect.fn(function*(handlers) {
    const hub = yield* RunHub.RunHub
    const context = yield* Effect.context()
    return handlers.handle("run", () =>
      Effect.map(Effect.provide(hub.start(agent, { prompt: "hi" }), context), (live) =>
        live.parts().pipe(
          Stream.map(({ part, seq }) => ({ id: seq, event: "message", data: part })),
          Stream.mapError((error) => AgentApi.describe(Cause.fail(error)))
        )))
  })
)

const bodyOf = (layer, path, init) => {
  const { handler } = HttpRouter.toWebHandler(layer, { disableLogger: true })
  return async () => {
    const response = await handler(new Request(`http://localhost${path}`, { method: "POST", ...init }))
    let bytes = 0
    for await (const chunk of response.body) bytes += chunk.length
    if (response.status !== 200 || bytes < DELTAS * 10) throw new Error(`${response.status}, ${bytes} bytes`)
  }
}

const drain = (stream) => Stream.runForEachArray(stream, () => Effect.void)

const pipelines = async (size) => {
  const layer = Layer.mergeAll(services(pulled(size)), HttpServer.layerServices)
  const runtime = ManagedRuntime.make(layer)
  const alone = () => runtime.runPromise(drain(Agent.stream(agent, { prompt: "hi" })))
  const plain = () =>
    runtime.runPromise(Effect.suspend(() => {
      let seq = 0
      return drain(Stream.encodeText(events(Stream.map(Agent.stream(agent, { prompt: "hi" }), (part) => ({ seq: seq++, part })))))
    }))
  const ours = bodyOf(HttpApiBuilder.layer(Api).pipe(Layer.provide(Handlers), Layer.provide(layer)), "/agents/assistant/runs", {
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ prompt: "hi" })
  })
  const effects = bodyOf(HttpApiBuilder.layer(Effects).pipe(Layer.provide(EffectsHandlers), Layer.provide(layer)), "/runs")
  return { "the agent alone": alone, "plain: encoded as events": plain, "AgentHttp: hub, keep-alive, response": ours,
    "the same with the encoder of HttpApi": effects }
}

const pipeline = async ({ rounds }) => {
  const rows = {}
  for (const size of [1, 64]) {
    const cases = Object.entries(await pipelines(size))
    const us = new Map(cases.map(([name]) => [name, []]))
    for (let round = -2; round < rounds; round++) {
      for (const [name, run] of cases) {
        const before = process.threadCpuUsage()
        await run()
        const { system, user } = process.threadCpuUsage(before)
        if (round >= 0) us.get(name).push((system + user) / DELTAS)
      }
    }
    for (const [name, times] of us) (rows[name] ??= []).push(times)
  }
  return rows
}

// --- a server

const server = HttpRouter.serve(HttpApiBuilder.layer(Api), { disableListenLog: true, disableLogger: true }).pipe(
  Layer.provide(Handlers),
  Layer.provide(services(model)),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)
const { address } = Context.get(await ManagedRuntime.make(server).context(), HttpServer.HttpServer)
answering(Number(new URL(HttpServer.formatAddress(address)).port), { pipeline })

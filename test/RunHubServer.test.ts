/** A server that stops while clients read: what they are told, and how long it takes. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { RpcMiddleware, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"
import { connect } from "node:net"
import { Agent, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, AgentRpc, RunHub, UiMessages } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

/** A server of an agent, in a scope of its own. */
const serve = (script: ReadonlyArray<ScriptedModel.Step>) =>
  Effect.gen(function*() {
    const agent = Agent.make("agent", { providers: [SessionHistory.provider] })
    const ann = HttpRouter.middleware<{ provides: AgentApi.Owner }>()(
      Effect.succeed((effect) => Effect.provideService(effect, AgentApi.Owner, { id: "ann" }))
    ).layer
    class Everybody extends RpcMiddleware.Service<Everybody, { provides: AgentApi.Owner }>()("test/Everybody") {
      static readonly layer = Layer.succeed(this, (effect) =>
        Effect.provideService(effect, AgentApi.Owner, { id: "ann" }))
    }
    class Rpcs extends AgentRpc.group("agent").middleware(Everybody) {}
    const routes = Layer.mergeAll(
      UiMessages.layer(agent).pipe(Layer.provide(ann)),
      RpcServer.layerHttp({ group: Rpcs, path: "/rpc", protocol: "http" }).pipe(
        Layer.provide([Rpcs.toLayer(AgentRpc.handlers("agent", agent)), Everybody.layer, RpcSerialization.layerNdjson])
      )
    )
    const app = RunHub.closeBefore(HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true })).pipe(
      Layer.provide([SessionStore.layerMemory, ScriptedModel.layer(script)]),
      Layer.provideMerge(RunHub.layer({ grace: 0 })),
      Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
    )
    const scope = yield* Scope.make()
    const services = yield* Layer.buildWithScope(app, scope)
    const { address } = Context.get(services, HttpServer.HttpServer)
    return { hub: Context.get(services, RunHub.RunHub), scope, url: HttpServer.formatAddress(address) }
  })

const body = JSON.stringify({
  id: "c",
  trigger: "submit-message",
  messages: [{ id: "m", role: "user", parts: [{ type: "text", text: "hi" }] }]
})

/** A client that sends a request, reads the first bytes of the answer, and then nothing. */
const silent = (url: string, path: string, type: string, body: string) =>
  Effect.callback<ReturnType<typeof connect>>((resume) => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1", () => {
      const length = Buffer.byteLength(body)
      socket.write(
        `POST ${path} HTTP/1.1\r\nhost: x\r\ncontent-type: ${type}\r\ncontent-length: ${length}\r\n\r\n${body}`
      )
    })
    socket.once("readable", () => {
      socket.read()
      socket.pause()
      resume(Effect.succeed(socket))
    })
    socket.on("error", () => {})
  })

describe("closeBefore", () => {
  const rpc = JSON.stringify({
    _tag: "Request",
    id: "1",
    tag: "agent.run",
    payload: { prompt: "hi" },
    headers: []
  }) + "\n"
  it.live("cuts the connections of clients that do not read: a page, and a client of Rpc", () =>
    Effect.gen(function*() {
      const long = ScriptedModel.text(Array.from({ length: 100 }, () => "x".repeat(100_000)))
      const { hub, scope, url } = yield* serve([[long, ScriptedModel.hang], [long, ScriptedModel.hang]])
      const page = yield* silent(url, "/api/chat", "application/json", body)
      const program = yield* silent(url, "/rpc", "application/ndjson", rpc)
      const runs = yield* hub.running
      assert.lengthOf(runs, 2)
      const closed = Promise.all(
        [page, program].map((socket) => new Promise<void>((resolve) => socket.once("close", () => resolve())))
      )
      const begun = performance.now()
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(performance.now() - begun, 4000)
      for (const run of runs) assert.isTrue(Exit.isFailure(yield* run.exit))
      // what was sent before is still there to be read
      page.resume()
      program.resume()
      yield* Effect.promise(() => closed)
    }))

  it.live("a client that reads is told the end, and the server waits for no connection", () =>
    Effect.gen(function*() {
      const { scope, url } = yield* serve([[ScriptedModel.text("a"), ScriptedModel.hang]])
      // this client keeps its connections open, as browsers do
      const response = yield* Effect.promise(() =>
        fetch(`${url}/api/chat`, {
          method: "POST",
          body,
          headers: { "content-type": "application/json" }
        })
      )
      assert.strictEqual(response.status, 200)
      const text = response.text()
      const begun = performance.now()
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(performance.now() - begun, 1500)
      const told = yield* Effect.promise(() => text)
      assert.include(told, "\"finishReason\":\"interrupted\"")
      assert.isTrue(told.endsWith("data: [DONE]\n\n"))
    }))
})

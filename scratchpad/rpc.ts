/**
 * An agent over effect's Rpc on a WebSocket, and its client: an agent again, here as a tool of another one, whose
 * sessions are listed. `node scratchpad/rpc.ts`
 */
import { NodeHttpServer, NodeSocket } from "@effect/platform-node"
import { Console, Effect, Layer, Schema } from "effect"
import { Headers, HttpRouter, HttpServer } from "effect/http"
import { RpcClient, RpcMiddleware, RpcSerialization, RpcServer } from "effect/rpc"
import { createServer } from "node:http"
import { Agent, AgentTool, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, AgentRpc, RemoteAgent, RunHub } from "../src/server/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const { text, toolCalls } = ScriptedModel

// --- what both sides know

class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}) {}

/** The token says who asks: sessions and runs belong to their owner. */
class Tokens extends RpcMiddleware.Service<Tokens, { provides: AgentApi.Owner }>()("Tokens", {
  error: Unauthorized,
  requiredForClient: true
}) {}

class Guide extends AgentRpc.group("guide").middleware(Tokens) {}

// --- the server

const owners: Record<string, string> = { "token-of-ann": "ann" }

const TokensLive = Layer.succeed(Tokens, (effect, { headers }) => {
  const id = owners[headers["authorization"] ?? ""]
  return id === undefined ? Effect.fail(new Unauthorized()) : Effect.provideService(effect, AgentApi.Owner, { id })
})

const guide = Agent.make("guide", { providers: [SessionHistory.provider] })

const Server = HttpRouter.serve(
  RpcServer.layerHttp({ group: Guide, path: "/rpc", protocol: "websocket" }),
  { disableListenLog: true, disableLogger: true }
).pipe(
  Layer.provide([Guide.toLayer(AgentRpc.handlers("guide", guide)), TokensLive]),
  Layer.provide([
    RunHub.layer(),
    SessionStore.layerMemory,
    ScriptedModel.layer([text("Galdhøpiggen is the highest."), text("It is 2469 m high.")])
  ]),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

// --- the client

const Client = Layer.unwrap(Effect.map(HttpServer.HttpServer, ({ address }) =>
  RpcClient.layerProtocolSocket().pipe(
    Layer.provide(NodeSocket.layerWebSocket(`${HttpServer.formatAddress(address).replace("http", "ws")}/rpc`)),
    Layer.provideMerge(
      RpcMiddleware.layerClient(Tokens, ({ next, request }) =>
        next({ ...request, headers: Headers.set(request.headers, "authorization", "token-of-ann") }))
    )
  )))

const program = Effect.gen(function*() {
  const client = yield* RpcClient.make(Guide)
  const remote = RemoteAgent.fromRpc("guide", client, { description: "Knows the mountains" })

  const { text: answer } = yield* Agent.run(remote, { prompt: "Which mountain is the highest?", session: "mountains" })
  yield* Console.log("the guide:", answer)
  const { sessions } = yield* client["guide.sessions"]({})
  yield* Console.log("sessions:", ...sessions.map(({ id, title }) => `${id} (${title})`))

  const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(remote)) })
  const { text: said, totalUsage } = yield* Agent.run(lead, { prompt: "How high is Galdhøpiggen?" }).pipe(
    Effect.provide(ScriptedModel.layer([
      toolCalls({ id: "call_1", name: "guide", params: { prompt: "How high is Galdhøpiggen?" } }),
      text("2469 m.")
    ]))
  )
  yield* Console.log(`the lead: ${said} (${totalUsage.inputTokens.total} tokens in all three calls)`)
})

Effect.runPromise(
  Effect.scoped(Effect.provide(
    program,
    Layer.provideMerge(Client, Server).pipe(Layer.provide(RpcSerialization.layerNdjson))
  ))
)

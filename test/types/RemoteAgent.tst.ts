import { Effect, type Layer, Schema } from "effect"
import { type LanguageModel, Tool, Toolkit } from "effect/ai"
import { HttpApi, HttpApiBuilder, HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { RpcClient, RpcMiddleware, RpcTest } from "effect/rpc"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type SessionStore } from "../../src/index.ts"
import { AgentApi, AgentHttp, AgentRpc, RemoteAgent, type RunHub } from "../../src/server/index.ts"

class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}, { httpApiStatus: 401 }) {}

const toolkit = Toolkit.make(Tool.make("weather", { success: Schema.Struct({ degrees: Schema.Finite }) }))
const output = Schema.Struct({ nights: Schema.FiniteFromString })

class HttpAuth extends HttpApiMiddleware.Service<HttpAuth, { provides: AgentApi.Owner }>()("HttpAuth", {
  error: Unauthorized
}) {}
class Api extends HttpApi.make("agents").add(AgentApi.group("assistant", { toolkit, output }).middleware(HttpAuth)) {}
class Open extends HttpApi.make("agents").add(AgentApi.group("assistant")) {}

class RpcAuth extends RpcMiddleware.Service<RpcAuth, { provides: AgentApi.Owner }>()("RpcAuth", {
  error: Unauthorized
}) {}
class Rpcs extends AgentRpc.group("assistant", { toolkit, output }).middleware(RpcAuth) {}
class OpenRpcs extends AgentRpc.group("assistant") {}

type Remote = Agent.Agent<
  Toolkit.Tools<typeof toolkit>,
  AgentApi.RunFailed | Unauthorized,
  never,
  { readonly nights: number },
  { readonly nights?: string | undefined }
>

const agent = Agent.make("assistant", { toolkit, output })

describe("RemoteAgent", () => {
  it("has the tools, the output and the failures that a client of HttpApi knows", () => {
    const assistant = Effect.map(HttpApiClient.make(Api), (client) => RemoteAgent.make("assistant", client.assistant))
    expectTypeOf<Agent.Error<Effect.Success<typeof assistant>>>().toEqualTypeOf<Agent.Error<Remote>>()
    expectTypeOf<Agent.Services<Effect.Success<typeof assistant>>>().toEqualTypeOf<never>()
    expectTypeOf<Effect.Success<typeof assistant>>().toExtend<Remote>()
  })

  it("has those that a client of Rpc knows, over a network and in one process", () => {
    const far = Effect.map(RpcClient.make(Rpcs), (client) => RemoteAgent.fromRpc("assistant", client))
    const near = Effect.map(RpcTest.makeClient(Rpcs), (client) => RemoteAgent.fromRpc("assistant", client))
    expectTypeOf<Effect.Success<typeof far>>().toExtend<Remote>()
    expectTypeOf<Agent.Error<Effect.Success<typeof far>>>().toEqualTypeOf<Agent.Error<Remote>>()
    expectTypeOf<Agent.Services<Effect.Success<typeof far>>>().toEqualTypeOf<never>()
    expectTypeOf<Effect.Success<typeof near>>().toEqualTypeOf<Effect.Success<typeof far>>()
  })

  it("takes the client of its own group alone", () => {
    type Client = Effect.Success<ReturnType<typeof openClient>>
    const openClient = () => RpcTest.makeClient(OpenRpcs)
    expectTypeOf<Client>().toExtend<RemoteAgent.RpcClient<"assistant">>()
    expectTypeOf<Client>().not.toExtend<RemoteAgent.RpcClient<"other">>()
  })
})

describe("AgentRpc.handlers", () => {
  const handlers = AgentRpc.handlers("assistant", agent)

  it("need what the agent needs, a hub and a store", () => {
    expectTypeOf<Effect.Services<typeof handlers>>().toEqualTypeOf<
      LanguageModel.LanguageModel | Tool.Handler<"weather"> | RunHub.RunHub | SessionStore.SessionStore
    >()
    expectTypeOf<Layer.Services<ReturnType<typeof served>>>().toEqualTypeOf<Effect.Services<typeof handlers>>()
  })

  const served = () => Rpcs.toLayer(handlers)

  it("have the output of their group", () => {
    const other = AgentRpc.handlers("assistant", Agent.make("assistant", { toolkit }))
    type Given = Parameters<typeof Rpcs.toLayer>[0]
    expectTypeOf(handlers).toExtend<Given>()
    expectTypeOf(other).not.toExtend<Given>()
  })

  it("need an owner, which no request can name", () => {
    const open = OpenRpcs.toLayer(handlers)
    expectTypeOf<Extract<Layer.Services<typeof open>, AgentApi.Owner>>().toEqualTypeOf<AgentApi.Owner>()
    expectTypeOf(open).not.toExtend<Layer.Layer<any, never, Effect.Services<typeof handlers>>>()
  })
})

describe("AgentHttp.handlers", () => {
  it("need an owner, which no request can name", () => {
    const open = HttpApiBuilder.group(
      Open,
      "assistant",
      Effect.fnUntraced(function*(handlers) {
        return handlers.handleAll(yield* AgentHttp.handlers(agent))
      })
    )
    const owned = HttpApiBuilder.group(
      Api,
      "assistant",
      Effect.fnUntraced(function*(handlers) {
        return handlers.handleAll(yield* AgentHttp.handlers(agent))
      })
    )
    expectTypeOf<Extract<Layer.Services<typeof open>, { readonly kind: "Requires" }>>().not.toBeNever()
    expectTypeOf<Extract<Layer.Services<typeof owned>, { readonly kind: "Requires" }>>().toBeNever()
  })
})

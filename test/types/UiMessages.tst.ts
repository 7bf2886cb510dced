import type { DataUIPart, UIDataTypes, UIMessage, UIMessageChunk } from "ai"
import { Context, type Layer } from "effect"
import type { HttpRouter } from "effect/http"
import { expectTypeOf, test } from "vitest"
import type { Agent, AgentError, SessionStore } from "../../src/index.ts"
import { type AgentApi, type RunHub, UiMessages } from "../../src/server/index.ts"

type Metadata = UiMessages.Metadata

test("chunks and messages are those of the AI SDK", () => {
  expectTypeOf<UiMessages.Chunk>().toExtend<UIMessageChunk<Metadata>>()
  expectTypeOf<UiMessages.Message>().toExtend<UIMessage<Metadata>>()
  expectTypeOf<Extract<UiMessages.Chunk, { readonly type: "data-agent" }>>().toExtend<DataUIPart<UIDataTypes>>()
})

class User extends Context.Service<User, { readonly name: string }>()("test/User") {}
class Tenant extends Context.Service<Tenant, { readonly id: string }>()("test/Tenant") {}

declare const agent: Agent.Agent<{}, AgentError.AgentError, Tenant | User>

test("the layer needs what the agent needs, and an owner of each request", () => {
  expectTypeOf(UiMessages.layer(agent)).toEqualTypeOf<
    Layer.Layer<
      never,
      never,
      | HttpRouter.HttpRouter
      | HttpRouter.Request<"Requires", AgentApi.Owner>
      | Tenant
      | User
      | RunHub.RunHub
      | SessionStore.SessionStore
    >
  >()
  expectTypeOf(UiMessages.layer(agent, { fromRequest: [Tenant, User] })).toEqualTypeOf<
    Layer.Layer<
      never,
      never,
      | HttpRouter.HttpRouter
      | HttpRouter.Request<"Requires", AgentApi.Owner>
      | HttpRouter.Request<"Requires", Tenant>
      | HttpRouter.Request<"Requires", User>
      | RunHub.RunHub
      | SessionStore.SessionStore
    >
  >()
})

test("one service of a request, the others of the layer", () => {
  expectTypeOf(UiMessages.layer(agent, { fromRequest: [User] })).toEqualTypeOf<
    Layer.Layer<
      never,
      never,
      | HttpRouter.HttpRouter
      | HttpRouter.Request<"Requires", AgentApi.Owner>
      | HttpRouter.Request<"Requires", User>
      | Tenant
      | RunHub.RunHub
      | SessionStore.SessionStore
    >
  >()
})

test("describe receives the errors of the agent", () => {
  UiMessages.layer(agent, {
    describe: (error) => {
      expectTypeOf(error).toEqualTypeOf<AgentError.AgentError>()
      return undefined
    }
  })
})

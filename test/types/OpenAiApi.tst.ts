/** The objects of the OpenAI API are those of the `openai` package, and a server needs an owner. */
import { Context, Effect, Layer, type Stream } from "effect"
import type { LanguageModel } from "effect/ai"
import { HttpRouter } from "effect/http"
import type OpenAI from "openai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentRun, type SessionStore } from "../../src/index.ts"
import { AgentApi, OpenAiApi, type RunHub } from "../../src/server/index.ts"

class Tenant extends Context.Service<Tenant, { readonly id: string }>()("Tenant") {}

/** The `openai` package adds this to each response that it reads. */
type Read<T> = T extends { readonly response: infer R }
  ? Omit<T, "response"> & { readonly response: R & { readonly output_text: string } }
  : T

describe("OpenAiApi", () => {
  it("sends what the openai package reads", () => {
    expectTypeOf<OpenAiApi.ChatCompletion>().toExtend<OpenAI.ChatCompletion>()
    expectTypeOf<OpenAiApi.ChatCompletionChunk>().toExtend<OpenAI.ChatCompletionChunk>()
    expectTypeOf<OpenAiApi.ResponseObject>().toExtend<Omit<OpenAI.Responses.Response, "output_text">>()
    expectTypeOf<Read<OpenAiApi.ResponseEvent>>().toExtend<OpenAI.Responses.ResponseStreamEvent>()
  })

  it("maps parts without failures of its own", () => {
    const parts = {} as Stream.Stream<AgentRun.Part, Error, Tenant>
    expectTypeOf(OpenAiApi.chatChunksFromParts(parts, { id: "c", model: "m", created: 0 })).toEqualTypeOf<
      Stream.Stream<OpenAiApi.ChatCompletionChunk | OpenAiApi.ErrorBody, never, Tenant>
    >()
  })

  it("needs what the agents need, and an owner for each request", () => {
    const plain = Agent.make("plain")
    const tenants = Agent.fromStream("tenants", { stream: () => ({}) as Stream.Stream<AgentRun.Part, never, Tenant> })
    const layer = OpenAiApi.layer({ plain, tenants })
    expectTypeOf(layer).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        | HttpRouter.HttpRouter
        | HttpRouter.Request<"Requires", AgentApi.Owner>
        | LanguageModel.LanguageModel
        | Tenant
        | RunHub.RunHub
        | SessionStore.SessionStore
      >
    >()
    const ofRequest = OpenAiApi.layer({ plain, tenants }, { fromRequest: [Tenant] })
    expectTypeOf(ofRequest).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        | HttpRouter.HttpRouter
        | HttpRouter.Request<"Requires", AgentApi.Owner>
        | HttpRouter.Request<"Requires", Tenant>
        | LanguageModel.LanguageModel
        | RunHub.RunHub
        | SessionStore.SessionStore
      >
    >()
    const middleware = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
      Effect.provideService(handler, AgentApi.Owner, { id: "ann" })
    )
    expectTypeOf(Layer.provide(ofRequest, middleware.layer)).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        | HttpRouter.HttpRouter
        | HttpRouter.Request<"Requires", Tenant>
        | LanguageModel.LanguageModel
        | RunHub.RunHub
        | SessionStore.SessionStore
      >
    >()
  })
})

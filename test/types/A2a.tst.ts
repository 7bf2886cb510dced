import type { Client } from "@a2a-js/sdk/client"
import { Context, Effect, type Layer, Schema, Stream } from "effect"
import type { LanguageModel } from "effect/ai"
import type { HttpRouter } from "effect/http"
import { describe, expectTypeOf, it } from "vitest"
import { A2aAgent, type A2aError, A2aServer } from "../../src/a2a/index.ts"
import { Agent, type AgentRun, type SessionStore } from "../../src/index.ts"
import { type AgentApi, type RunHub } from "../../src/server/index.ts"

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}
class Key extends Context.Service<Key, string>()("Key") {}
class User extends Context.Service<User, string>()("User") {}

const assistant = Agent.make("assistant")

declare const end: AgentRun.RunEnd

describe("A2aServer.layer", () => {
  it("needs what the agent needs, the hub, the sessions, and an owner from each request", () => {
    const layer = A2aServer.layer(assistant)
    expectTypeOf<Layer.Services<typeof layer>>().toEqualTypeOf<
      | HttpRouter.HttpRouter
      | HttpRouter.Request<"Requires", AgentApi.Owner>
      | LanguageModel.LanguageModel
      | RunHub.RunHub
      | SessionStore.SessionStore
    >()
  })

  it("takes services from each request where that is said", () => {
    const agent = Agent.fromStream("user", { stream: () => Stream.fromEffect(Effect.as(User, end)) })
    const layer = A2aServer.layer(agent, { fromRequest: [User] })
    expectTypeOf<Layer.Services<typeof layer>>().toEqualTypeOf<
      | HttpRouter.HttpRouter
      | HttpRouter.Request<"Requires", AgentApi.Owner>
      | HttpRouter.Request<"Requires", User>
      | RunHub.RunHub
      | SessionStore.SessionStore
    >()
  })

  it("describes failures of the agent alone", () => {
    A2aServer.layer(assistant, {
      describe: (error) => {
        expectTypeOf(error).toEqualTypeOf<Agent.Error<typeof assistant>>()
        return undefined
      }
    })
  })
})

describe("A2aServer.requestHandler", () => {
  it("cannot be made without the owner of a request", () => {
    // @ts-expect-error Property 'owner' is missing
    expectTypeOf(A2aServer.requestHandler(assistant, {})).not.toBeAny()
  })
})

describe("A2aAgent.make", () => {
  it("fails with the errors of the protocol and of its client, and has an unknown value without an output", () => {
    const client = Effect.flatMap(Key, () => Effect.fail(new Refused())) as Effect.Effect<Client, Refused, Key>
    const agent = A2aAgent.make("remote", client)
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<A2aError.A2aError | Refused>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<Key>()
    expectTypeOf<Agent.Output<typeof agent>>().toEqualTypeOf<unknown>()
  })

  it("has the value of its output", () => {
    const output = Schema.Struct({ at: Schema.Date })
    const agent = A2aAgent.make("remote", A2aAgent.connect("https://example.com"), { output })
    expectTypeOf<Agent.Output<typeof agent>>().toEqualTypeOf<{ readonly at: Date }>()
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<A2aError.A2aError>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<never>()
  })
})

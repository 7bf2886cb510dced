import type * as Core from "@ag-ui/core"
import { Context, type Layer, Stream } from "effect"
import type { LanguageModel } from "effect/ai"
import type { HttpRouter } from "effect/http"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentRun, type SessionStore } from "../../src/index.ts"
import { type AgentApi, AgUi, type RunHub } from "../../src/server/index.ts"

/** An enum of strings, as its strings. */
type Plain<E> = E extends { type: infer T extends string } ? Omit<E, "type"> & { type: `${T}` } : never

class Tenant extends Context.Service<Tenant, string>()("Tenant") {}

describe("AgUi", () => {
  it("events are those of the protocol", () => {
    expectTypeOf<AgUi.Event>().toExtend<Plain<Core.AGUIEvent>>()
    expectTypeOf<AgUi.Message>().toExtend<Core.Message>()
    expectTypeOf<AgUi.Interrupt>().toExtend<Core.Interrupt>()
    expectTypeOf<AgUi.TokenUsage>().toExtend<Core.TokenUsage>()
    // @ts-expect-error an event of another name is none
    expectTypeOf<{ readonly type: "TEXT" }>().toExtend<Plain<Core.AGUIEvent>>()
  })

  it("the mapping never fails, and keeps the services", () => {
    const parts = Stream.empty as Stream.Stream<AgentRun.Part, Error, Tenant>
    expectTypeOf(AgUi.fromParts(parts, { threadId: "t" })).toEqualTypeOf<Stream.Stream<AgUi.Event, never, Tenant>>()
  })

  it("the layer needs the services of the agent, and an owner from each request", () => {
    const agent = Agent.make("assistant")
    expectTypeOf(AgUi.layer(agent)).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        | HttpRouter.HttpRouter
        | HttpRouter.Request.From<"Requires", AgentApi.Owner>
        | LanguageModel.LanguageModel
        | RunHub.RunHub
        | SessionStore.SessionStore
      >
    >()
    expectTypeOf<AgUi.ClientInput["state"]>().toEqualTypeOf<unknown>()
  })
})

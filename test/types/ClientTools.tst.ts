import { type Effect, Schema } from "effect"
import { type Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentRun, type Approval } from "../../src/index.ts"
import { ClientTools } from "../../src/server/index.ts"

const SetColor = ClientTools.make("set_color", {
  parameters: Schema.Struct({ color: Schema.String }),
  success: Schema.Struct({ at: Schema.DateFromString })
})
const Bare = ClientTools.make("bare")

describe("ClientTools", () => {
  it("a tool has the types of its schemas, and its failures are texts", () => {
    expectTypeOf<Tool.Parameters<typeof SetColor>>().toEqualTypeOf<{ readonly color: string }>()
    expectTypeOf<Tool.Success<typeof SetColor>>().toEqualTypeOf<{ readonly at: Date }>()
    expectTypeOf<Tool.HandlerError<typeof SetColor>>().toEqualTypeOf<never>()
    expectTypeOf<Tool.Success<typeof Bare>>().toEqualTypeOf<Schema.Json>()
  })

  it("`handler` is a handler of every such tool", () => {
    const toolkit = Toolkit.make(SetColor, Bare)
    toolkit.toLayer({ set_color: ClientTools.handler, bare: ClientTools.handler })
    // @ts-expect-error a tool of the client needs its handler, too
    toolkit.toLayer({ set_color: ClientTools.handler })
    const agent = Agent.make("painter", { toolkit })
    type Results = Extract<Agent.Part<typeof agent>, { type: "tool-result"; name: "set_color"; isFailure: false }>
    expectTypeOf<Results["result"]>().toEqualTypeOf<{ readonly at: Date }>()
  })

  it("tools of a request leave the type of the agent as it is", () => {
    const agent = Agent.make("plain")
    const declared = ClientTools.withDeclared(agent, [])
    if (declared._tag === "Success") expectTypeOf(declared.success).toEqualTypeOf<typeof agent>()
  })

  it("an approval says where its call runs", () => {
    expectTypeOf<Approval.Approval["runsIn"]>().toEqualTypeOf<"client" | undefined>()
    expectTypeOf<AgentRun.Result["approvals"]>().toEqualTypeOf<ReadonlyArray<Approval.Approval>>()
    expectTypeOf(ClientTools.handler({})).toEqualTypeOf<Effect.Effect<never>>()
  })
})

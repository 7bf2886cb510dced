import { Effect, Schema } from "effect"
import { type AiError, type LanguageModel, type McpClient, type McpClientError, Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, AgentTool, ToolFailure } from "../../src/index.ts"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

const find = Tool.make("find", { failure: NotFound })
const look = Tool.make("look", { failure: NotFound, failureMode: "return" })
const toolkit = Toolkit.make(find, look)

type Errors = AiError.AiError | AgentError.AgentError

describe("ToolFailure", () => {
  it("takes the failures of a toolkit out of the errors of a run", () => {
    expectTypeOf<Agent.Error<ReturnType<typeof failing>>>().toEqualTypeOf<Errors | NotFound>()
    const agent = Agent.make("agent", { toolkit: ToolFailure.returnToModel(toolkit) })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Errors>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<
      LanguageModel.LanguageModel | Tool.Handler<"find"> | Tool.Handler<"look">
    >()
  })

  const failing = () => Agent.make("agent", { toolkit })

  it("keeps the layer of the handlers, and what they may fail with", () => {
    const returning = ToolFailure.returnToModel(toolkit)
    const { find: own, look: other } = returning.tools
    expectTypeOf<Tool.Failure<typeof own>>().toEqualTypeOf<NotFound | ToolFailure.ToolFailure>()
    expectTypeOf(other).toEqualTypeOf(look)
    returning.toLayer({ find: () => Effect.fail(new NotFound()), look: () => Effect.void })
  })

  it("leaves the failure of the effect that makes the toolkit", () => {
    const agent = Agent.make("agent", { toolkit: ToolFailure.returnToModel(made) })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Errors | NotFound>()
  })

  it("takes agents and MCP servers", () => {
    const child = AgentTool.make(failing(), { name: "ask" })
    const parent = Agent.make("parent", { toolkit: ToolFailure.returnToModel(AgentTool.toolkit(child)) })
    expectTypeOf<Agent.Error<typeof parent>>().toEqualTypeOf<Errors>()
    const agent = Agent.make("agent", { toolkit: ToolFailure.returnToModel(mcp) })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Errors | McpClientError.McpClientError>()
  })
})

declare const made: Effect.Effect<Toolkit.WithHandler<Toolkit.Tools<typeof toolkit>>, NotFound>
declare const mcp: ReturnType<typeof McpClient.toolkit>

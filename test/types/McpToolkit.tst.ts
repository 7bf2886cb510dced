import { Effect, type Layer, type Scope } from "effect"
import { type AiError, type LanguageModel, type McpClient, type McpClientError, Tool, Toolkit } from "effect/ai"
import type { HttpClient } from "effect/http"
import type { ChildProcessSpawner } from "effect/process/ChildProcessSpawner"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, type ToolFailure } from "../../src/index.ts"
import { McpToolkit } from "../../src/mcp/index.ts"

declare const files: Layer.Layer<McpClient.McpClient, McpClientError.McpClientError, ChildProcessSpawner>
declare const search: Layer.Layer<McpClient.McpClient, McpClientError.McpClientError, HttpClient.HttpClient>

type Errors = AiError.AiError | AgentError.AgentError

describe("McpToolkit", () => {
  it("needs what its clients need, and fails where its tools are listed", () => {
    const layer = McpToolkit.layer({ files, search }, { optional: ["search"] })
    expectTypeOf(layer).toEqualTypeOf<
      Layer.Layer<McpToolkit.McpToolkit, never, ChildProcessSpawner | HttpClient.HttpClient>
    >()
    const made = McpToolkit.make({ files })
    expectTypeOf<Effect.Services<typeof made>>().toEqualTypeOf<ChildProcessSpawner | Scope.Scope>()
    expectTypeOf<Effect.Error<typeof made>>().toEqualTypeOf<never>()
    const agent = Agent.make("agent", { toolkit: McpToolkit.toolkit })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Errors | McpToolkit.ServerUnavailable>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<LanguageModel.LanguageModel | McpToolkit.McpToolkit>()
  })

  it("names the servers in its options", () => {
    // @ts-expect-error "other" is none of the servers
    McpToolkit.layer({ files, search }, { optional: ["other"] })
    // @ts-expect-error a server is a layer of a client
    McpToolkit.layer({ files: Effect.void })
    McpToolkit.layer({ files, search }, {
      toName: (server, tool) => {
        expectTypeOf(server).toEqualTypeOf<"files" | "search">()
        return tool
      }
    })
  })

  it("adds its error and its service to an agent with other tools", () => {
    const agent = Agent.make("agent", { toolkit: Toolkit.make(Tool.make("own")), providers: [McpToolkit.provider] })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Errors | McpToolkit.ServerUnavailable>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<
      LanguageModel.LanguageModel | McpToolkit.McpToolkit | Tool.Handler<"own">
    >()
  })

  it("has results that are texts or contents, and failures that the model reads", () => {
    expectTypeOf<Tool.Success<McpToolkit.McpTool>>().toEqualTypeOf<string | McpToolkit.Content>()
    expectTypeOf<Tool.Failure<McpToolkit.McpTool>>().toEqualTypeOf<ToolFailure.ToolFailure>()
  })
})

import { Context, Effect, type Layer, Schema } from "effect"
import { type LanguageModel, McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import type { HttpRouter } from "effect/http"
import type { Stdio } from "effect/Stdio"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, SessionHistory, type SessionStore } from "../../src/index.ts"
import { McpAgent } from "../../src/mcp/index.ts"

class User extends Context.Service<User, { readonly id: string }>()("User") {}

const agent = Agent.make("agent", { providers: [SessionHistory.provider], toolkit: Toolkit.make(Tool.make("own")) })
const owner = Effect.map(User, ({ id }) => id)

type Own = LanguageModel.LanguageModel | SessionStore.SessionStore | Tool.Handler<"own">
type Needs<L> = L extends Layer.Layer<any, any, infer R> ? R : never

describe("McpAgent", () => {
  it("needs what its agent needs, and what tells the owner from each request", () => {
    const layer = McpAgent.layer(agent, { owner })
    expectTypeOf(layer).toEqualTypeOf<
      Layer.Layer<never, never, McpServer.McpServer | Own | McpServer.McpRequest<"Requires", User>>
    >()
    const options = { name: "a", version: "1", protocols: [McpProtocol.v2025_11_25] } as const
    const http = McpServer.layerHttp({ ...options, path: "/mcp", registrations: layer })
    expectTypeOf<Needs<typeof http>>().toEqualTypeOf<
      Own | HttpRouter.HttpRouter | HttpRouter.Request<"Requires", User>
    >()
    const stdio = McpServer.layerStdio({ ...options, registrations: McpAgent.layer(agent) })
    expectTypeOf<Needs<typeof stdio>>().toEqualTypeOf<Own | Stdio>()
  })

  it("asks for a prompt where the parameters have none", () => {
    const parameters = Schema.Struct({ city: Schema.String })
    McpAgent.layer(agent, { parameters, prompt: ({ city }) => `Rain in ${city}?` })
    // @ts-expect-error nothing says what the agent is asked
    McpAgent.layer(agent, { parameters })
    McpAgent.layer(agent, { parameters: Schema.Struct({ prompt: Schema.String, loud: Schema.Boolean }) })
  })

  it("takes the output of its agent", () => {
    const output = Schema.Struct({ city: Schema.String })
    const answering = Agent.make("answering", { output })
    McpAgent.layer(answering, { output })
    // @ts-expect-error the agent answers with something else
    McpAgent.layer(answering, { output: Schema.Struct({ city: Schema.Boolean }) })
  })
})

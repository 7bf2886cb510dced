/**
 * Agents as models of the OpenAI API, and the clients that people already have: the `openai` package, and an agent whose
 * model is the other agent.
 *
 * `node scratchpad/openai.ts`
 */
import { createOpenAI } from "@ai-sdk/openai"
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Effect, Layer, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer, HttpServerRequest } from "effect/http"
import { createServer } from "node:http"
import OpenAI from "openai"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Agent, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, OpenAiApi, RunHub } from "../src/server/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

// --- the server

const toolkit = Toolkit.make(
  Tool.make("get_weather", { parameters: Schema.Struct({ city: Schema.String }), success: Schema.String }),
  Tool.make("send_mail", {
    parameters: Schema.Struct({ to: Schema.String }),
    success: Schema.String,
    needsApproval: true
  })
)

const assistant = Agent.make("assistant", { toolkit, providers: [SessionHistory.provider] })

/** The key says who asks. */
const owners: Record<string, string> = { "sk-ann": "ann" }

const Keys = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
    const id = owners[headers.authorization?.replace(/^Bearer /, "") ?? ""]
    return id === undefined
      ? Effect.succeed(OpenAiApi.unauthorized)
      : Effect.provideService(handler, AgentApi.Owner, { id })
  })
)

const weather = [
  [ScriptedModel.text("Let me look."), ScriptedModel.toolCalls({ name: "get_weather", params: { city: "Oslo" } })],
  ScriptedModel.text(["It rains ", "in Oslo."])
]
const mail = [ScriptedModel.toolCalls({ name: "send_mail", params: { to: "bob" } }), ScriptedModel.text("Bob knows.")]

const Server = HttpRouter.serve(OpenAiApi.layer({ assistant }).pipe(Layer.provide(Keys.layer)), {
  disableListenLog: true,
  disableLogger: true
}).pipe(
  Layer.provide([
    RunHub.layer(),
    SessionStore.layerMemory,
    ScriptedModel.layer([...weather, ...mail, ...weather]),
    toolkit.toLayer({
      get_weather: ({ city }) => Effect.as(Console.log(`(the agent looks up ${city})`), "rain"),
      send_mail: ({ to }) => Effect.as(Console.log(`(the agent writes to ${to})`), "sent")
    })
  ]),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

// --- the clients

const program = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  const baseURL = `${HttpServer.formatAddress(address)}/v1`

  const openai = new OpenAI({ baseURL, apiKey: "sk-ann" })
  const chunks = yield* Effect.promise(() =>
    openai.chat.completions.create({
      model: "assistant",
      messages: [{ role: "user", content: "How is the weather in Oslo?" }],
      stream: true
    })
  )
  yield* Effect.promise(async () => {
    for await (const { choices } of chunks) {
      const { delta, finish_reason } = choices[0]!
      console.log(finish_reason ?? JSON.stringify(delta.content))
    }
  })

  const stranger = new OpenAI({ baseURL, apiKey: "sk-bob" })
  yield* Effect.promise(() => stranger.models.list().catch((error) => console.log(error.message)))

  // a conversation that the server keeps, in which a person is asked
  const asked = yield* Effect.promise(() => openai.responses.create({ model: "assistant", input: "Tell Bob" }))
  const requests = asked.output.filter((item) => item.type === "mcp_approval_request")
  for (const { arguments: params, name } of requests) yield* Console.log("may it?", name, params)
  const answered = yield* Effect.promise(() =>
    openai.responses.create({
      model: "assistant",
      previous_response_id: asked.id,
      input: requests.map(({ id }) => ({
        type: "mcp_approval_response" as const,
        approval_request_id: id,
        approve: true
      }))
    })
  )
  yield* Console.log(answered.output_text)

  // an agent that has the other one as its model
  const { chat } = createOpenAI({ baseURL, apiKey: "sk-ann" })
  const outer = Agent.make("outer", { model: AiSdk.model(chat("assistant")) })
  const { text, usage } = yield* Agent.run(outer, { prompt: "How is the weather in Oslo?" })
  yield* Console.log(`${JSON.stringify(text)}, ${usage.outputTokens.total} tokens`)
})

Effect.runPromise(Effect.scoped(Effect.provide(program, Server)))

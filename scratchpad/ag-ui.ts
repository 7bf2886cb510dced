/**
 * An agent behind AG-UI, and the client of frontends: `HttpAgent` of `@ag-ui/client`, with a tool of the page, and an
 * approval with edited arguments.
 *
 * `node scratchpad/ag-ui.ts`
 */
import { HttpAgent } from "@ag-ui/client"
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Effect, Layer, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import { Agent, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, AgUi, RunHub } from "../src/server/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

// --- the server

const toolkit = Toolkit.make(
  Tool.make("send_mail", {
    parameters: Schema.Struct({ to: Schema.String }),
    success: Schema.String,
    needsApproval: true
  })
)

const assistant = Agent.make("assistant", { toolkit, providers: [SessionHistory.provider] })

/** The token says who asks. */
const Auth = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
  Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) =>
    headers.authorization === "Bearer token-of-ann"
      ? Effect.provideService(handler, AgentApi.Owner, { id: "ann" })
      : Effect.succeed(HttpServerResponse.empty({ status: 401 })))
)

const Server = HttpRouter.serve(AgUi.layer(assistant).pipe(Layer.provide(Auth.layer)), {
  disableListenLog: true,
  disableLogger: true
}).pipe(
  Layer.provide([
    RunHub.layer(),
    SessionStore.layerMemory,
    ScriptedModel.layer([
      [ScriptedModel.text("I paint."), ScriptedModel.toolCalls({ name: "set_color", params: { color: "blue" } })],
      ScriptedModel.text(["The page ", "is blue."]),
      ScriptedModel.toolCalls({ name: "send_mail", params: { to: "everybody" } }),
      ScriptedModel.text("The mail is sent.")
    ]),
    toolkit.toLayer({ send_mail: ({ to }) => Effect.as(Console.log(`(a mail to ${to})`), "sent") })
  ]),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

// --- the page

const tools = [{
  name: "set_color",
  description: "Sets the color of the page",
  parameters: { type: "object", properties: { color: { type: "string" } }, required: ["color"] }
}]

const page = async (url: string) => {
  const painted: Array<string> = []
  const agent = new HttpAgent({ url, threadId: "chat-1", headers: { authorization: "Bearer token-of-ann" } })
  agent.subscribe({
    onTextMessageContentEvent: ({ event }) => console.log(JSON.stringify(event.delta)),
    onRunFinishedEvent: ({ event }) => console.log(event.outcome?.type)
  })

  agent.addMessage({ id: "1", role: "user", content: "Paint the page blue" })
  await agent.runAgent({ tools }, {
    onToolCallEndEvent: ({ toolCallArgs, toolCallName }) =>
      console.log(`(the page runs ${toolCallName} ${JSON.stringify(toolCallArgs)})`),
    onRunFinishedEvent: (end) => {
      if (end.outcome === "success") { for (const id of end.pendingToolCallIds) painted.push(id) }
    }
  })
  for (const id of painted) agent.addMessage({ id: `of-${id}`, role: "tool", toolCallId: id, content: "done" })
  await agent.runAgent({ tools })

  agent.addMessage({ id: "3", role: "user", content: "Tell everybody" })
  await agent.runAgent({ tools })
  const resume = agent.pendingInterrupts.map(({ id, message }) => {
    console.log(message)
    return { interruptId: id, status: "resolved" as const, payload: { approved: true, editedArgs: { to: "bob" } } }
  })
  await agent.runAgent({ tools, resume })
}

const program = Effect.gen(function*() {
  const { address } = yield* HttpServer.HttpServer
  yield* Effect.promise(() => page(`${HttpServer.formatAddress(address)}/ag-ui`))
})

Effect.runPromise(Effect.scoped(Effect.provide(program, Server)))

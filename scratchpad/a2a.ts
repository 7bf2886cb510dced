/**
 * Agents that talk to each other by the Agent2Agent protocol, in one process and without a network beyond loopback: one
 * is served to clients of the protocol, and another one has it as a tool.
 *
 * `node scratchpad/a2a.ts`
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Console, Context, Effect, Layer, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { createServer } from "node:http"
import { A2aAgent, A2aServer } from "../src/a2a/index.ts"
import { Agent, AgentTool, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, RunHub } from "../src/server/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

// --- the agent that is served: it removes files, and asks before it does

const Remove = Tool.make("remove_file", {
  parameters: Schema.Struct({ file: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
const toolkit = Toolkit.make(Remove)

const cleaner = Agent.make("cleaner", {
  description: "Removes files",
  toolkit,
  providers: [SessionHistory.provider]
})

/** The token of a request names its owner. A real one is checked. */
const Bearer = HttpRouter.middleware<{ provides: AgentApi.Owner }>()(
  Effect.succeed((effect) =>
    Effect.flatMap(HttpServerRequest.HttpServerRequest, ({ headers }) => {
      const [, id] = /^Bearer (.+)$/.exec(headers["authorization"] ?? "") ?? []
      return id === undefined
        ? Effect.succeed(HttpServerResponse.empty({ status: 401 }))
        : Effect.provideService(effect, AgentApi.Owner, { id })
    })
  )
)

const Server = HttpRouter.serve(
  A2aServer.layer(cleaner).pipe(
    Layer.provide(Bearer.layer),
    // everybody may read the card
    Layer.merge(A2aServer.layerCard(cleaner))
  ),
  { disableListenLog: true, disableLogger: true }
).pipe(
  Layer.provide([
    RunHub.layer(),
    SessionStore.layerMemory,
    toolkit.toLayer({ remove_file: ({ file }) => Effect.succeed(`${file} is gone`) }),
    ScriptedModel.layer([
      ScriptedModel.text(["I keep ", "files ", "in order."]),
      ScriptedModel.toolCalls({ name: "remove_file", params: { file: "old.txt" } }),
      ScriptedModel.text("It is gone.")
    ])
  ]),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

// --- the agents that reach it

const authorized: typeof fetch = (input, init) => {
  const headers = new Headers(init?.headers)
  headers.set("authorization", "Bearer editor")
  return fetch(input, { ...init, headers })
}

const program = Effect.gen(function*() {
  const services = yield* Layer.build(Server)
  const url = HttpServer.formatAddress(Context.get(services, HttpServer.HttpServer).address)

  const remote = yield* A2aAgent.discover(url, { fetch: authorized })
  yield* Console.log(`${remote.name}: ${remote.description}`)

  // the same parts as those of an agent at home
  yield* Stream.runForEach(
    Agent.stream(remote, { prompt: "What do you do?" }),
    (part) => part.type === "text-delta" ? Console.log(`  ${part.delta}`) : Effect.void
  )

  // as a tool it asks through its caller
  const editor = Agent.make("editor", { toolkit: AgentTool.toolkit(AgentTool.make(remote)) })
  const asked = yield* Agent.run(editor, { prompt: "Tidy up" })
  for (const { params, path, tool } of asked.approvals) {
    yield* Console.log(`${path.join(" > ")} wants to call ${tool} with ${JSON.stringify(params)}`)
  }
  const done = yield* Agent.resume(editor, { result: asked }, asked.approvals.map((_) => Approval.approve(_)))
  yield* Console.log(`the editor: ${done.text} (${asked.stopReason}, then ${done.stopReason})`)
})

const model = ScriptedModel.layer([
  ScriptedModel.toolCalls({ name: "cleaner", params: { prompt: "Remove old.txt" } }),
  ScriptedModel.text("old.txt is gone.")
])

await Effect.runPromise(Effect.scoped(Effect.provide(program, model)))

/**
 * An agent behind an MCP server, and an agent that has the tools of that server. The server is this program again, as a
 * process of its own, and asks for an approval only where its tool does more than read.
 *
 * `node scratchpad/mcp.ts`
 */
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeServices from "@effect/platform-node/NodeServices"
import * as NodeStdio from "@effect/platform-node/NodeStdio"
import { Console, Effect, Layer, Logger, Schema } from "effect"
import { McpClient, McpProtocol, McpServer, Tool, Toolkit } from "effect/ai"
import { ChildProcess } from "effect/process"
import { Agent, Approval } from "../src/index.ts"
import { McpAgent, McpToolkit } from "../src/mcp/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const protocol = McpProtocol.v2025_11_25

// --- the server: an agent and a tool

const guide = Agent.make("guide", { description: "Knows the mountains of Norway" })

const kit = Toolkit.make(
  Tool.make("book_hut", { parameters: Schema.Struct({ hut: Schema.String }), success: Schema.String })
)
const booking = kit.toLayer({ book_hut: ({ hut }) => Effect.succeed(`${hut} is booked`) })

const server = McpServer.layerStdio({
  name: "mountains",
  version: "1.0.0",
  protocols: [protocol],
  registrations: Layer.merge(
    McpAgent.layer(guide, { annotations: { readOnlyHint: true } }),
    Layer.provide(McpServer.toolkit(kit), booking)
  )
}).pipe(
  Layer.provide(ScriptedModel.layer([ScriptedModel.text("Galdhøpiggen, 2469 m. Spiterstulen is the nearest hut.")])),
  Layer.provide(NodeStdio.layer),
  // what is logged must not be on the wire
  Layer.provide(Logger.layer([]))
)

// --- the client: an agent with the tools of the server

const mountains = McpClient.layerStdio({
  name: "lead",
  version: "1.0.0",
  protocol,
  command: ChildProcess.make(process.execPath, [import.meta.filename, "serve"])
})

const lead = Agent.make("lead", { toolkit: McpToolkit.toolkit })

const program = Effect.gen(function*() {
  for (const { isReadOnly, name } of yield* (yield* McpToolkit.McpToolkit).tools) {
    yield* Console.log(name, isReadOnly ? "only reads" : "needs an approval")
  }
  const asked = yield* Agent.run(lead, { prompt: "Plan a trip to the highest mountain" })
  for (const { params, tool } of asked.approvals) yield* Console.log("may it?", tool, JSON.stringify(params))
  const done = yield* Agent.resume(
    lead,
    { result: asked },
    asked.approvals.map((approval) => Approval.approve(approval))
  )
  yield* Console.log(done.text)
})

const model = ScriptedModel.layer([
  ScriptedModel.toolCalls({ name: "mountains__guide", params: { prompt: "Which mountain is the highest?" } }),
  ScriptedModel.toolCalls({ name: "mountains__book_hut", params: { hut: "Spiterstulen" } }),
  ScriptedModel.text("You climb Galdhøpiggen, and sleep at Spiterstulen.")
])

const tools = McpToolkit.layer({ mountains }).pipe(Layer.provide(NodeServices.layer))

if (process.argv[2] === "serve") NodeRuntime.runMain(Layer.launch(server))
else NodeRuntime.runMain(Effect.provide(program, [tools, model]))

/**
 * `npm run playground`: the page of the demo's agent, with the offline planner for a model. No key, no network.
 */
import { NodeHttpServer, NodeRuntime } from "@effect/platform-node"
import { Console, Context, Effect, Layer, Redacted } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { randomBytes } from "node:crypto"
import { createServer } from "node:http"
import { Agent, SessionHistory } from "../../src/index.ts"
import { Playground } from "../../src/playground/index.ts"
import * as Folder from "../ask/Folder.ts"
import * as FolderContext from "../ask/FolderContext.ts"
import * as FolderTools from "../ask/FolderTools.ts"
import * as OfflinePlanner from "../ask/planner/OfflinePlanner.ts"

const ask = Agent.make("ask", {
  description: "Answers questions about the files of this folder",
  instructions:
    "You answer questions about the files in one folder. Look before you answer, and say where you found it.",
  toolkit: FolderTools.toolkit,
  providers: [FolderContext.provider, SessionHistory.provider]
})

const token = randomBytes(24).toString("base64url")

const Server = HttpRouter.serve(Playground.layer({ agents: [ask], token: Redacted.make(token) }), {
  disableListenLog: true,
  disableLogger: true
}).pipe(
  Layer.provide([
    FolderTools.layer.pipe(Layer.provideMerge(Folder.layer(".", { includeIgnored: false, includeSecrets: false }))),
    OfflinePlanner.model
  ]),
  Layer.provideMerge(NodeHttpServer.layer(createServer, {
    port: Number(process.env.PORT ?? 0),
    host: "127.0.0.1",
    // a page that reads a run does not hold the server when it is stopped
    gracefulShutdownTimeout: "1 second"
  }))
)

const program = Effect.gen(function*() {
  const { address } = Context.get(yield* Layer.build(Server), HttpServer.HttpServer)
  yield* Console.log(`${HttpServer.formatAddress(address)}/playground#token=${token}`)
  return yield* Effect.never
})

NodeRuntime.runMain(Effect.scoped(program))

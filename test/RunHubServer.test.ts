/** A server that stops while clients read: what they are told, and how long it takes. */
import { assert, describe, it } from "@effect/vitest"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { Context, Effect, Exit, Layer, Scope } from "effect"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { Agent, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, RunHub, UiMessages } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

describe("closeBefore", () => {
  it.live("a client that reads is told the end, and the server waits for no connection", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [SessionHistory.provider] })
      const ann = HttpRouter.middleware<{ provides: AgentApi.Owner }>()(
        Effect.succeed((effect) => Effect.provideService(effect, AgentApi.Owner, { id: "ann" }))
      ).layer
      const routes = UiMessages.layer(agent).pipe(Layer.provide(ann))
      const app = RunHub.closeBefore(HttpRouter.serve(routes, { disableListenLog: true, disableLogger: true })).pipe(
        Layer.provide([SessionStore.layerMemory, ScriptedModel.layer([[ScriptedModel.text("a"), ScriptedModel.hang]])]),
        Layer.provide(RunHub.layer({ grace: 0 })),
        Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
      )
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(app, scope)
      const { address } = Context.get(services, HttpServer.HttpServer)
      const body = JSON.stringify({
        id: "c",
        trigger: "submit-message",
        messages: [{ id: "m", role: "user", parts: [{ type: "text", text: "hi" }] }]
      })
      // this client keeps its connections open, as browsers do
      const response = yield* Effect.promise(() =>
        fetch(`${HttpServer.formatAddress(address)}/api/chat`, {
          method: "POST",
          body,
          headers: { "content-type": "application/json" }
        })
      )
      assert.strictEqual(response.status, 200)
      const text = response.text()
      const begun = performance.now()
      yield* Scope.close(scope, Exit.void)
      assert.isBelow(performance.now() - begun, 1500)
      const told = yield* Effect.promise(() => text)
      assert.include(told, "\"finishReason\":\"interrupted\"")
      assert.isTrue(told.endsWith("data: [DONE]\n\n"))
    }))
})

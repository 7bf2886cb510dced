/**
 * What a page with `useChat` of the AI SDK and its server say to one another: a question, an approval, and the stored
 * conversation. A scripted model answers; nothing leaves the machine. Run it with `node scratchpad/ui-messages.ts`.
 */
import { Console, Effect, Layer, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer } from "effect/http"
import { Agent, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, RunHub, UiMessages } from "../src/server/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const Remove = Tool.make("remove", {
  parameters: Schema.Struct({ file: Schema.String }),
  success: Schema.String,
  needsApproval: true
})
const toolkit = Toolkit.make(Remove)
const handlers = toolkit.toLayer({ remove: ({ file }) => Effect.succeed(`${file} is gone`) })

const cleaner = Agent.make("cleaner", { toolkit, providers: [SessionHistory.make({ keep: "always" })] })

const model = ScriptedModel.layer([
  ScriptedModel.step(
    ScriptedModel.text(["I will ", "clean up."]),
    ScriptedModel.toolCalls({ name: "remove", params: { file: "old.txt" }, id: "call-1" })
  ),
  ScriptedModel.text("All clean")
])

// a real middleware finds the owner by a cookie or a token
const Ada = HttpRouter.middleware<{ provides: AgentApi.Owner }>()((handler) =>
  Effect.provideService(handler, AgentApi.Owner, { id: "ada" })
)

const App = UiMessages.layer(cleaner).pipe(
  Layer.provide(Ada.layer),
  Layer.provide([RunHub.layer(), SessionStore.layerMemory, model, handlers]),
  Layer.provide(HttpServer.layerServices)
)

const program = Effect.gen(function*() {
  const { dispose, handler } = HttpRouter.toWebHandler(App, { disableLogger: true })
  yield* Effect.addFinalizer(() => Effect.promise(dispose))
  const call = Effect.fn(function*(method: string, path: string, body?: unknown) {
    yield* Console.log(`\n${method} /api/chat${path}`)
    const request = new Request(`http://localhost/api/chat${path}`, {
      method,
      headers: { "content-type": "application/json" },
      ...(body !== undefined && { body: JSON.stringify(body) })
    })
    const text = yield* Effect.promise(async () => (await handler(request)).text())
    yield* Console.log(text.replace(/\n\n/g, "\n").trim())
    return text
  })

  const question = { id: "question-1", role: "user", parts: [{ type: "text", text: "Clean up" }] }
  const asked = yield* call("POST", "", { id: "chat-1", messages: [question] })

  const approvalId = /"approvalId":"([^"]+)"/.exec(asked)?.[1]
  const answer = {
    id: "answer-1",
    role: "assistant",
    // this is all that is read of the message
    parts: [{ type: "tool-remove", state: "approval-responded", approval: { id: approvalId, approved: true } }]
  }
  yield* call("POST", "", { id: "chat-1", messages: [question, answer] })

  const messages: Array<UiMessages.Message> = JSON.parse(yield* call("GET", "/chat-1/messages"))
  yield* Console.log("")
  for (const { parts, role } of messages) {
    yield* Console.log(`${role}: ${parts.map((part) => part.type === "text" ? `"${part.text}"` : part.type).join(" ")}`)
  }
})

Effect.runPromise(Effect.scoped(program))

/**
 * An agent behind HTTP, and its client: the run goes on when the client has gone, is joined after the last part that was
 * seen, and waits for an approval that the client answers. Nobody else sees any of it.
 *
 * `node scratchpad/server.ts`
 */
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Effect, Layer, Redacted, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { FetchHttpClient, HttpClientRequest, HttpRouter, HttpServer } from "effect/http"
import { HttpApi, HttpApiBuilder, HttpApiClient, HttpApiMiddleware, HttpApiSecurity } from "effect/http-api"
import { createServer } from "node:http"
import { Agent, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentApi, AgentHttp, RemoteAgent, RunHub } from "../src/server/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

// --- what both sides know

const toolkit = Toolkit.make(
  Tool.make("remove", {
    parameters: Schema.Struct({ file: Schema.String }),
    success: Schema.String,
    needsApproval: true
  })
)

class Unauthorized extends Schema.TaggedError<Unauthorized>()("Unauthorized", {}, { httpApiStatus: 401 }) {}

/** The token says who asks: sessions and runs belong to their owner. */
class Tokens extends HttpApiMiddleware.Service<Tokens, { provides: AgentApi.Owner }>()("Tokens", {
  security: { bearer: HttpApiSecurity.bearer },
  error: Unauthorized,
  requiredForClient: true
}) {}

class Api extends HttpApi.make("agents").add(AgentApi.group("assistant", { toolkit }).middleware(Tokens)) {}

// --- the server

const assistant = Agent.make("assistant", { toolkit, providers: [SessionHistory.provider] })

const owners: Record<string, string> = { "token-of-ann": "ann", "token-of-bob": "bob" }

const TokensLive = Layer.succeed(Tokens, {
  bearer: (effect, { credential }) => {
    const id = owners[Redacted.value(credential)]
    return id === undefined ? Effect.fail(new Unauthorized()) : Effect.provideService(effect, AgentApi.Owner, { id })
  }
})

const Handlers = HttpApiBuilder.group(
  Api,
  "assistant",
  Effect.fn(function*(handlers) {
    return handlers.handleAll(yield* AgentHttp.handlers(assistant, { whenLeft: "continue" }))
  })
).pipe(Layer.provide(TokensLive))

const model = ScriptedModel.layer([
  [ScriptedModel.text(["Once ", "upon "]), ScriptedModel.delay("100 millis"), ScriptedModel.text(["a ", "time."])],
  ScriptedModel.toolCalls({ id: "call_1", name: "remove", params: { file: "draft.md" } }),
  ScriptedModel.text("It is gone.")
])

const Server = HttpRouter.serve(HttpApiBuilder.layer(Api), { disableListenLog: true, disableLogger: true }).pipe(
  Layer.provide(Handlers),
  Layer.provide([
    RunHub.layer(),
    SessionStore.layerMemory,
    model,
    toolkit.toLayer({ remove: ({ file }) => Effect.as(Console.log(`(the server removes ${file})`), "removed") })
  ]),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

// --- the client

const clientOf = (token: string) =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    const { assistant } = yield* HttpApiClient.make(Api, { baseUrl: HttpServer.formatAddress(address) })
    return assistant
  }).pipe(Effect.provide([
    HttpApiMiddleware.layerClient(Tokens, ({ next, request }) => next(HttpClientRequest.bearerToken(request, token))),
    FetchHttpClient.layer
  ]))

const program = Effect.gen(function*() {
  const ann = yield* clientOf("token-of-ann")
  const chat = { params: { session: "chat" } }
  const runId = "story-run-1"

  // a client that goes away in the middle
  const seen = yield* Stream.unwrap(ann.run({ payload: { prompt: "Tell me a story", session: "chat", runId } })).pipe(
    Stream.takeUntil(({ data }) => data.type === "text-delta"),
    Stream.runCollect
  )
  yield* Console.log(`left after part ${seen.length - 1} of the run`)
  yield* Stream.unwrap(ann.join({ params: { runId }, query: { after: seen.length - 1 }, headers: {} })).pipe(
    Stream.runForEach(({ data, id }) =>
      data.type === "text-delta" ? Console.log(`joined: part ${id} ${JSON.stringify(data.delta)}`) : Effect.void
    )
  )

  // nobody else has this session
  const bob = yield* clientOf("token-of-bob")
  yield* Console.log("bob:", (yield* Effect.flip(bob.session(chat))).message)

  // the same agent, as one of this program
  const remote = RemoteAgent.make("assistant", ann)
  const asked = yield* Agent.run(remote, { prompt: "Remove the draft", session: "chat" })
  const answers = asked.approvals.map((approval) => Approval.approve(approval))
  yield* Console.log("waits for:", ...asked.approvals.map(({ params, tool }) => `${tool} ${JSON.stringify(params)}`))
  const result = yield* Agent.resume(remote, { session: "chat" }, answers)
  yield* Console.log(result.text)
})

Effect.runPromise(Effect.scoped(Effect.provide(program, Server)))

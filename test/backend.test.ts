/** The service of `scratchpad/backend`, over real HTTP on loopback. */
import { Chat } from "@ai-sdk/react"
import { assert, describe, it, layer } from "@effect/vitest"
import {
  type APICallError,
  DefaultChatTransport,
  isToolUIPart,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  type UIMessage
} from "ai"
import { Cause, ConfigProvider, Context, Effect, Exit, Fiber, Layer, Redacted, Schedule, Scope } from "effect"
import { FetchHttpClient, HttpClientRequest, HttpServer } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { spawn } from "node:child_process"
import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Api, Authorization } from "../scratchpad/backend/api.ts"
import { Sessions } from "../scratchpad/backend/http.ts"
import { Main } from "../scratchpad/backend/server.ts"
import { Tenants } from "../scratchpad/backend/tenants.ts"
import { Agent, Approval, BudgetAccount, BudgetStore } from "../src/index.ts"
import { RemoteAgent } from "../src/server/index.ts"
import * as Postgres from "./fixtures/postgres.ts"
import { databaseUrl } from "./fixtures/postgresClient.ts"

const folder = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "effect-agents-backend-"))),
  (path) => Effect.promise(() => rm(path, { recursive: true, force: true }))
)

const environment = (path: string) => ({
  PORT: "0",
  TOKENS: "ada=ada@acme,bob=bob@globex,eve=eve@acme",
  DATABASE_FILE: join(path, "backend.db")
})

/** Starts the service in this process, and returns its address and a client for each token. */
const serve = (variables: Record<string, string> = {}) =>
  Effect.gen(function*() {
    const path = yield* folder
    const config = ConfigProvider.fromUnknown({ ...environment(path), ...variables })
    const services = yield* Layer.build(Layer.provide(Main, ConfigProvider.layer(config)))
    const url = HttpServer.formatAddress(Context.get(services, HttpServer.HttpServer).address)
    return { url, as: clients(url) }
  })

const clients = (url: string) => (token: string) =>
  HttpApiClient.make(Api, { baseUrl: url }).pipe(Effect.provide([
    HttpApiMiddleware.layerClient(
      Authorization,
      ({ next, request }) => next(HttpClientRequest.bearerToken(request, token))
    ),
    FetchHttpClient.layer
  ]))

const untilBusy = Effect.fnUntraced(function*(url: string) {
  const ada = yield* clients(url)("ada")
  // the model call of a run is counted when it begins
  yield* ada.account.balance().pipe(
    Effect.repeat({ until: ({ spent }) => spent.modelCalls > 0, schedule: Schedule.spaced("20 millis") })
  )
})

/** Starts the service as a process of its own, which ends with the scope. */
const start = (variables: Record<string, string>) =>
  Effect.gen(function*() {
    const path = yield* folder
    const child = yield* Effect.acquireRelease(
      Effect.sync(() =>
        spawn(process.execPath, [new URL("../scratchpad/backend/main.ts", import.meta.url).pathname], {
          env: { ...process.env, ...environment(path), ...variables }
        })
      ),
      (child) => Effect.sync(() => child.kill("SIGKILL"))
    )
    let said = ""
    const url = yield* Effect.callback<string>((resume) => {
      const listen = (chunk: Buffer) => {
        said += chunk.toString()
        const listening = /http:\/\/127\.0\.0\.1:\d+/.exec(said)
        if (listening !== null) resume(Effect.succeed(listening[0]))
      }
      child.stdout.on("data", listen)
      child.stderr.on("data", listen)
      child.on("exit", (code) => resume(Effect.die(new Error(`The service ended with ${code}: ${said}`))))
    })
    const exit = yield* Effect.forkChild(Effect.callback<number | null>((resume) => {
      child.on("exit", (code) => resume(Effect.succeed(code)))
    }))
    const health = Effect.gen(function*() {
      const ada = yield* clients(url)("ada")
      return yield* ada.health.get()
    }).pipe(
      // the signal needs a moment
      Effect.repeat({ schedule: Schedule.spaced("10 millis"), times: 200 })
    )
    return { child, url, health, untilBusy: untilBusy(url), exit: Fiber.join(exit) }
  })

/** An OpenTelemetry collector: the names of the spans that it has received. */
const collect = Effect.gen(function*() {
  const names: Array<string> = []
  const server = createServer((request, response) => {
    let body = ""
    request.on("data", (chunk) => body += chunk)
    request.on("end", () => {
      if (request.url === "/v1/traces") { for (const [, name] of body.matchAll(/"name":"([^"]*)"/g)) names.push(name!) }
      response.end("{}")
    })
  })
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () => Effect.sync(() => server.close())
  )
  const address = server.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  return { url: `http://127.0.0.1:${port}`, spans: () => names }
})

type Client = Effect.Success<ReturnType<ReturnType<typeof clients>>>

const ask = (client: Client, prompt: string, session?: string) =>
  Agent.run(RemoteAgent.make("support", client.support), { prompt, session })

/** What every user of the service relies on, whatever its database. */
const story = (variables?: Record<string, string>) =>
  Effect.gen(function*() {
    const { as } = yield* serve(variables)
    const ada = yield* as("ada")
    const bob = yield* as("bob")

    assert.include((yield* ask(ada, "my orders", "chat")).text, "a teapot")
    assert.include((yield* ask(bob, "order o-1", "chat")).text, "null")
    assert.strictEqual((yield* Effect.flip(bob.orders.get({ params: { id: "o-1" } })))._tag, "OrderNotFound")

    const asked = yield* ask(ada, "refund o-1", "chat")
    assert.deepStrictEqual(asked.approvals.map(({ params, tool }) => ({ params, tool })), [
      { params: { id: "o-1" }, tool: "refund_order" }
    ])
    assert.strictEqual((yield* ada.orders.get({ params: { id: "o-1" } })).status, "shipped")
    // an approval of somebody else's does not exist
    const [approval] = asked.approvals
    const payload = { answers: [{ approvalId: approval!.approvalId, approved: true }] } as const
    const foreign = yield* Effect.flip(bob.support.answer({ params: { session: "chat" }, payload }))
    assert.strictEqual(foreign._tag === "RunFailed" && foreign.code, "approval-unknown")
    const remote = RemoteAgent.make("support", ada.support)
    const refunded = yield* Agent.resume(remote, { session: "chat" }, [Approval.approve(approval!)])
    assert.include(refunded.text, "refunded")
    assert.strictEqual((yield* ada.orders.get({ params: { id: "o-1" } })).status, "refunded")
    const twice = yield* Effect.flip(Agent.resume(remote, { session: "chat" }, [Approval.approve(approval!)]))
    assert.strictEqual(twice._tag === "RunFailed" && twice.status, 404)

    // 4 calls of the model by ada, 2 by bob
    assert.deepStrictEqual((yield* ada.account.balance()).spent.modelCalls, 4)
    assert.deepStrictEqual((yield* bob.account.balance()).spent.modelCalls, 2)
    assert.deepStrictEqual(yield* ada.health.get(), { status: "ok" })
  })

describe("backend", () => {
  it.live("answers, asks before it refunds, and keeps users apart: SQLite", () => Effect.scoped(story()))

  layer(Postgres.Server.layer, { timeout: "2 minutes", excludeTestServices: true })("on PostgreSQL", (it) => {
    it.effect("answers, asks before it refunds, and keeps users apart", () =>
      Effect.gen(function*() {
        const port = yield* Postgres.Server
        const database = yield* Postgres.createDatabase(port)
        yield* Effect.scoped(story({ DATABASE_URL: databaseUrl(port, database) }))
      }))
  })

  it.live("useChat talks to it, with the same users, chats and accounts", () =>
    Effect.gen(function*() {
      const { as, url } = yield* serve()
      const chatOf = (token: string) =>
        new Chat({
          id: "chat",
          transport: new DefaultChatTransport({
            api: `${url}/api/chat`,
            headers: { authorization: `Bearer ${token}` }
          }),
          sendAutomaticallyWhen: lastAssistantMessageIsCompleteWithApprovalResponses
        })
      const textOf = (chat: Chat<UIMessage>) =>
        chat.messages.at(-1)?.parts.map((part) => part.type === "text" ? part.text : "").join("")
      const ada = chatOf("ada")
      const client = yield* as("ada")
      yield* Effect.promise(() => ada.sendMessage({ text: "refund o-1" }))
      const [call] = ada.messages.at(-1)!.parts.filter(isToolUIPart)
      assert.deepStrictEqual([call?.type, call?.state], ["tool-refund_order", "approval-requested"])
      assert.strictEqual((yield* client.orders.get({ params: { id: "o-1" } })).status, "shipped")
      yield* Effect.promise(async () => {
        await ada.addToolApprovalResponse({ id: call!.approval!.id, approved: true })
      })
      yield* Effect.suspend(() => Effect.succeed(textOf(ada))).pipe(
        Effect.repeat({
          until: (text) => ada.status === "ready" && text !== "",
          schedule: Schedule.spaced("10 millis")
        })
      )
      assert.include(textOf(ada), "refunded")
      assert.strictEqual((yield* client.orders.get({ params: { id: "o-1" } })).status, "refunded")
      // the same chat by the API
      assert.lengthOf((yield* client.support.session({ params: { session: "chat" } })).messages, 5)
      assert.deepStrictEqual((yield* client.account.balance()).spent.modelCalls, 2)

      const nobody = chatOf("mallory")
      yield* Effect.promise(() => nobody.sendMessage({ text: "my orders" }))
      assert.strictEqual((nobody.error as APICallError).statusCode, 401)
      const bob = chatOf("bob")
      yield* Effect.promise(() => bob.sendMessage({ text: "order o-1" }))
      assert.include(textOf(bob), "null")
    }).pipe(Effect.scoped))

  it.live("a token that nobody has is refused, and a tenant that has spent all is told", () =>
    Effect.gen(function*() {
      const { as } = yield* serve({ TENANT_TOKENS: "200" })
      const nobody = yield* as("mallory")
      assert.strictEqual((yield* Effect.flip(nobody.orders.list()))._tag, "Unauthorized")
      const ada = yield* as("ada")
      yield* ask(ada, "my orders")
      const refused = yield* Effect.flip(ask(yield* as("eve"), "my orders"))
      assert.deepStrictEqual(
        refused._tag === "RunFailed" && [refused.code, refused.status, refused.retryable],
        ["budget-exceeded", 429, false],
        "eve is of the same tenant"
      )
      assert.include((yield* ask(yield* as("bob"), "my orders")).text, "a kettle")
    }).pipe(Effect.scoped))

  it.effect("a request holds the account of its tenant no longer than it lasts", () =>
    Effect.gen(function*() {
      const services = Layer.provideMerge(Sessions.layer, Tenants.layer).pipe(
        Layer.provide([BudgetStore.layerMemory, ConfigProvider.layer(ConfigProvider.fromUnknown(environment("")))])
      )
      const context = yield* Layer.build(services)
      const { rcMap } = Context.get(context, Tenants)
      const holders = () =>
        rcMap.state._tag === "Open" ? Array.from(rcMap.state.map, ([, { refCount }]) => refCount) : []
      const { of } = Context.get(context, Sessions)
      const account = () => Effect.map(of(Redacted.make("ada")), Context.get(BudgetAccount.BudgetAccount))
      const first = yield* Effect.scoped(
        Effect.tap(account(), () => Effect.sync(() => assert.deepEqual(holders(), [1])))
      )
      for (let request = 0; request < 10; request++) {
        assert.strictEqual(yield* Effect.scoped(account()), first)
      }
      assert.deepStrictEqual(holders(), [0])
    }).pipe(Effect.scoped))

  it.live("a process that is told to end lets runs end, and exports what they did", () =>
    Effect.gen(function*() {
      const collector = yield* collect
      const process = yield* start({ GRACE: "5 seconds", OTEL_EXPORTER_OTLP_ENDPOINT: collector.url })
      const run = yield* Effect.forkChild(ask(yield* clients(process.url)("ada"), "word ".repeat(100)))
      yield* process.untilBusy
      process.child.kill("SIGTERM")
      const health = yield* Effect.flip(process.health)
      assert.strictEqual(health._tag, "Unhealthy", "nobody sends requests here any more")
      assert.include((yield* Fiber.join(run)).text, "Ask me about your orders.")
      assert.strictEqual(yield* process.exit, 130, "as effect's runMain tells a signal")
      const spans = collector.spans()
      for (const name of ["invoke_agent support", "chat offline-1"]) assert.include(spans, name)
    }).pipe(Effect.scoped))

  it.live("a run that is longer than the grace is interrupted, and its client is told", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { url } = yield* Scope.provide(serve({ GRACE: "100 millis" }), scope)
      const run = yield* Effect.forkChild(ask(yield* clients(url)("ada"), "word ".repeat(3000)))
      yield* untilBusy(url)
      yield* Scope.close(scope, Exit.void)
      const exit = yield* Fiber.await(run)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), String(exit))
    }))
})

/** Durable agents behind the wires: the process of the server dies, and its clients go on with the next one. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Option, Scope, Stream } from "effect"
import { FetchHttpClient, HttpClient, HttpClientRequest } from "effect/http"
import { HttpApiClient, HttpApiMiddleware } from "effect/http-api"
import { RpcClient, RpcSerialization } from "effect/rpc"
import { WorkflowEngine } from "effect/workflow"
import { spawn } from "node:child_process"
import { existsSync, readFileSync, writeFileSync } from "node:fs"
import { Durable, DurableHub, ExecutionStore } from "../src/durable/index.ts"
import { Agent, AgentRun, Approval } from "../src/index.ts"
import { RemoteAgent, RunHub } from "../src/server/index.ts"
import * as Sessions from "../src/server/internal/sessions.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { bundled } from "./fixtures/bundled.ts"
import { OpenChat, show } from "./fixtures/chatServer.ts"
import { Api, Auth, Rpcs } from "./fixtures/durableServer.ts"
import { inFile } from "./fixtures/programKills.ts"

const fixture = await bundled("./durableServer.ts")

/** A server in a process of its own. `kill` ends it without a word. */
const serve = (filename: string) =>
  Effect.acquireRelease(
    Effect.callback<{ readonly url: string; readonly kill: Effect.Effect<void> }>((resume) => {
      const child = spawn(process.execPath, [fixture, filename], { stdio: ["ignore", "pipe", "inherit"] })
      const kill = Effect.callback<void>((resume) => {
        if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
        child.once("exit", () => resume(Effect.void)).kill("SIGKILL")
      })
      child.once("exit", (code) => resume(Effect.die(new Error(`the server ended with ${code}`))))
      child.stdout.once("data", (port) =>
        resume(Effect.succeed({ url: `http://127.0.0.1:${String(port).trim()}`, kill })))
    }),
    ({ kill }) =>
      kill
  )

const agentAt = (url: string, owner = "ann") =>
  HttpApiClient.make(Api, { transformClient: HttpClient.mapRequest(HttpClientRequest.prependUrl(url)) }).pipe(
    Effect.map(({ assistant }) => RemoteAgent.make("assistant", assistant, { whenExists: "join" })),
    Effect.provide([
      HttpApiMiddleware.layerClient(Auth, ({ next, request }) => next(HttpClientRequest.bearerToken(request, owner))),
      FetchHttpClient.layer
    ])
  )

/** The same agent over effect's Rpc. */
const rpcAgentAt = (url: string) =>
  Effect.map(
    Effect.provide(
      RpcClient.make(Rpcs),
      RpcClient.layerProtocolHttp({ url: `${url}/rpc` }).pipe(
        Layer.provide([RpcSerialization.layerNdjson, FetchHttpClient.layer])
      )
    ),
    (client) => RemoteAgent.fromRpc("assistant", client, { whenExists: "join" })
  )

describe("DurableHub, with a server that dies", () => {
  it.live(
    "a run goes on in the next process, and both clients read all of it: `RemoteAgent` and a page",
    () =>
      inFile((file) =>
        Effect.gen(function*() {
          const first = yield* serve(file)
          const input = { prompt: "Count", runId: "3f1c2b6e-5a0d-4c8e-9b7a-1d2e3f4a5b6c", session: "chat" }
          const begun = yield* Deferred.make<void>()
          const lost = yield* Effect.forkChild(Effect.flip(Stream.runForEach(
            Agent.stream(yield* agentAt(first.url), input),
            (part) => part.type === "text-delta" ? Deferred.succeed(begun, undefined) : Effect.void
          )))
          yield* Deferred.await(begun)
          yield* first.kill
          assert.strictEqual((yield* Fiber.join(lost)).code, "connection-lost")

          const next = yield* serve(file)
          // nothing of it belongs to anybody else
          const stranger = yield* Effect.promise(() =>
            fetch(`${next.url}/agents/assistant/runs/${input.runId}`, { headers: { authorization: "Bearer bob" } })
          )
          assert.strictEqual(stranger.status, 404)
          const remote = yield* Effect.forkChild(Agent.run(yield* agentAt(next.url), input), { startImmediately: true })
          const overRpc = yield* Effect.forkChild(Agent.run(yield* rpcAgentAt(next.url), input), {
            startImmediately: true
          })
          // a page that is loaded again
          const page = new OpenChat(next.url, "chat", "ann")
          const joined = yield* Effect.forkChild(Effect.promise(() => page.chat.resumeStream()), {
            startImmediately: true
          })
          yield* page.until(({ messages }) => messages.some((message) => show(message).length > 0))
          writeFileSync(`${file}.go`, "")
          const result = yield* Fiber.join(remote)
          assert.deepStrictEqual([result.text, result.runId, result.session], ["one two three", input.runId, "chat"])
          assert.strictEqual((yield* Fiber.join(overRpc)).text, "one two three")
          yield* Fiber.join(joined)
          assert.deepStrictEqual([page.shown, page.finished.map(({ finishReason }) => finishReason)], [
            ["one two three"],
            ["stop"]
          ])
          const stored = yield* Effect.promise(async () => (await fetch(`${next.url}/api/chat/chat/messages`)).text())
          assert.include(stored, "one two three")
          assert.notInclude(stored, "one one")
          // the same input is the same execution, also when the hub has ended with it
          assert.strictEqual((yield* Agent.run(yield* agentAt(next.url), input)).text, "one two three")

          // what waits for a person is answered in whichever process there is
          const asked = yield* Agent.run(yield* agentAt(next.url), {
            prompt: "The bill",
            runId: "4f1c2b6e-5a0d-4c8e-9b7a-1d2e3f4a5b6d",
            session: "bill"
          })
          yield* next.kill
          const last = yield* serve(file)
          const answers = asked.approvals.map((approval) => Approval.approve(approval))
          const paid = yield* Agent.resume(yield* rpcAgentAt(last.url), { result: asked }, answers)
          assert.strictEqual(paid.text, "one two three")
          assert.strictEqual(readFileSync(`${file}.paid`, "utf8"), "paid\n")
          assert.isTrue(existsSync(file))
        })
      ),
    120_000
  )
})

describe("DurableHub", () => {
  const { hang, text } = ScriptedModel
  const durable = Durable.make(Agent.make("assistant"), { version: 1 })
  const engine = Layer.merge(WorkflowEngine.layerMemory, ExecutionStore.layerMemory)
  const input = { prompt: "hi", runId: "r", session: "ann/s" }
  const worker = Durable.layer(durable).pipe(Layer.provide(ScriptedModel.layer([[text("a"), hang]])))
  const statusOf = Effect.map(Durable.status(durable, "r"), ({ status }) => status)

  it.live("a stop ends the execution, and a hub that is closed leaves it to the next one", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const inHub = <A, E, R>(self: Effect.Effect<A, E, R>) =>
        Effect.flatMap(
          Layer.buildWithScope(RunHub.layer({ grace: 0 }), scope),
          (context) => Effect.provideContext(self, context)
        )
      const started = yield* inHub(
        Effect.flatMap(RunHub.RunHub, (hub) => Effect.tap(hub.start(DurableHub.agent(durable), input), () => hub.close))
      )
      assert.isTrue(Exit.isFailure(yield* started.exit))
      assert.strictEqual(yield* statusOf, "running")
      yield* inHub(Effect.gen(function*() {
        const hub = yield* RunHub.RunHub
        yield* Layer.build(DurableHub.layer(durable))
        const joined = yield* hub.ofSession("ann/s")
        assert.deepStrictEqual([joined?.runId, joined?.owner, joined?.start], ["r", "ann", started.start])
        assert.strictEqual(yield* hub.get("r"), joined)
        yield* joined!.stop
        assert.strictEqual(AgentRun.outcome((yield* joined!.exit) as Exit.Exit<never, unknown>)._tag, "Interrupted")
        assert.strictEqual(yield* statusOf, "interrupted")
      }))
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(worker, engine))))

  it.live("while a hub is being closed a stop ends the execution, and a reader that goes away does not", () =>
    Effect.gen(function*() {
      const end = (whenLeft: "continue" | "stop", use: (run: RunHub.Live) => Effect.Effect<void>) =>
        Effect.gen(function*() {
          const hub = yield* RunHub.RunHub
          const run = yield* hub.start(DurableHub.agent(durable), input, { whenLeft })
          const reader = yield* Effect.forkChild(Stream.runDrain(run.parts()), { startImmediately: true })
          yield* Effect.forkScoped(hub.close, { startImmediately: true })
          assert.isTrue(yield* hub.isClosing)
          yield* use({ ...run, stop: Effect.andThen(run.stop, Fiber.await(reader)) })
          yield* Effect.andThen(Fiber.interrupt(reader), run.exit)
          return yield* statusOf
        }).pipe(
          Effect.scoped,
          Effect.provide([RunHub.layer({ grace: "1 minute" }), Layer.fresh(Layer.provideMerge(worker, engine))])
        )
      assert.strictEqual(yield* end("stop", () => Effect.void), "running")
      assert.strictEqual(yield* end("continue", ({ stop }) => stop), "interrupted")
      assert.strictEqual(yield* end("stop", ({ stop }) => stop), "interrupted")
    }))

  it.live("an execution that another process has started later is found when it is asked for, and stopped", () =>
    Effect.gen(function*() {
      const hubOf = Effect.map(Layer.build(Layer.fresh(RunHub.layer({ grace: 0 }))), Context.get(RunHub.RunHub))
      const here = yield* hubOf
      const there = yield* hubOf
      const find = <A>(use: (hub: RunHub.RunHub["Service"]) => Effect.Effect<A>) => use(there)
      yield* Effect.provideService(Layer.build(DurableHub.layer(durable)), RunHub.RunHub, there)
      assert.isUndefined(yield* find((hub) => hub.get("r")))
      const started = yield* Effect.provideService(
        here.start(DurableHub.agent(durable), input),
        RunHub.RunHub,
        here
      )
      // the parts are written a moment later
      yield* Effect.repeat(find((hub) => hub.get("r")), { until: (found) => found !== undefined })
      const [byId, again, bySession] = yield* Effect.all([
        find((hub) => hub.get("r")),
        find((hub) => hub.get("r")),
        find((hub) => hub.ofSession("ann/s"))
      ], { concurrency: "unbounded" })
      assert.deepStrictEqual([byId?.start, byId?.owner], [started.start, "ann"])
      assert.isTrue(byId === again && byId === bySession)
      assert.isUndefined(yield* find((hub) => hub.get("nobody")))
      assert.isUndefined(yield* find((hub) => hub.ofSession("bob/s")))
      const text = yield* Stream.runHead(Stream.filter(byId!.parts(), ({ part }) => part.type === "text-delta"))
      assert.isTrue(Option.isSome(text))
      yield* find((hub) => hub.stopSession("ann/s"))
      assert.strictEqual(yield* statusOf, "interrupted")
      assert.isTrue(Exit.isFailure(yield* started.exit))
    }).pipe(Effect.scoped, Effect.provide(Layer.provideMerge(worker, engine))))

  it("finds the owner of a session, whatever the name of the owner", () => {
    for (const owner of ["ann", "a/b", "a%2Fb", "effect-agents", "%65", ""]) {
      assert.strictEqual(Sessions.ownerOf(`${Sessions.prefixOf(owner)}s/t`), owner)
    }
    for (const session of ["s", "effect-agents/tool/c", "a%41/s"]) {
      assert.strictEqual(Sessions.ownerOf(session), undefined)
    }
  })
})

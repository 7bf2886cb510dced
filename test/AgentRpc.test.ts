/** An agent over effect's Rpc, on each of its wires, beside the same over HTTP. */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Layer, Logger, Schema, Stream } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { FetchHttpClient, HttpClient, HttpRouter, HttpServer, HttpServerResponse } from "effect/http"
import { RpcClient, RpcSerialization } from "effect/rpc"
import { createServer } from "node:http"
import { connect, createServer as createProxy, type Server, type Socket } from "node:net"
import { Agent, AgentRun, ContextProvider, SessionHistory, SessionStore } from "../src/index.ts"
import { type AgentApi, RemoteAgent } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { CurrentOwner, RpcAuth, Rpcs, type Wire, Wires, wires } from "./fixtures/remoteWires.ts"
import { types } from "./utils.ts"

const { hang, text, toolCalls } = ScriptedModel

const rpcWires = wires.filter((wire) => wire !== "HTTP")

const toolkit = Toolkit.make(
  Tool.make("delete", {
    parameters: Schema.Struct({ file: Schema.String }),
    success: Schema.Struct({ deleted: Schema.String }),
    needsApproval: true
  }),
  Tool.make("odd", { success: Schema.Unknown })
)

/** Serves an agent with this script on all wires. */
const serve = Effect.fnUntraced(function*(script: ReadonlyArray<ScriptedModel.Step>, options?: {
  readonly providers?: ReadonlyArray<ContextProvider.ContextProvider>
  readonly whenLeft?: "continue"
}) {
  const { remote, store } = yield* Wires
  const deleted: Array<string> = []
  const agent = Agent.make("agent", { toolkit, providers: [SessionHistory.provider, ...options?.providers ?? []] })
  const handlers = yield* Layer.build(toolkit.toLayer({
    delete: ({ file }) =>
      Effect.sync(() => {
        deleted.push(file)
        return { deleted: file, secret: "s3cret" }
      }),
    // no JSON
    odd: () => Effect.succeed({ s3cret: 1n })
  }))
  const { languageModel } = yield* ScriptedModel.make(script)
  const served = (wire: Wire) =>
    remote(wire, agent, { whenLeft: options?.whenLeft }).pipe(
      Effect.provide(handlers),
      Effect.provideService(LanguageModel.LanguageModel, languageModel),
      Effect.provideService(SessionStore.SessionStore, store)
    )
  return { deleted, remote: served }
})

const as = (owner: string) => Effect.provideService(CurrentOwner, owner)

const codeOf = <A, E, R>(effect: Effect.Effect<A, E, R>) =>
  Effect.map(
    Effect.flip(effect),
    (error) => (error as { readonly code?: string }).code ?? (error as { _tag: string })._tag
  )

/** Some calls of a client, whatever its wire. */
const callsOf = (wire: Wire) =>
  Effect.map(Wires, ({ http, rpc }) => {
    const client = wire === "HTTP" ? undefined : rpc[wire]
    return {
      sessions: (query: AgentApi.SessionQuery): Effect.Effect<AgentApi.SessionPage, unknown> =>
        client === undefined ? http.sessions({ query }) : client["agent.sessions"](query),
      sessionOf: (session: string): Effect.Effect<AgentApi.SessionView, unknown> =>
        client === undefined ? http.session({ params: { session } }) : client["agent.session"]({ session }),
      stop: (runId: string): Effect.Effect<void, unknown> =>
        client === undefined ? http.stop({ params: { runId } }) : client["agent.stop"]({ runId })
    }
  })

/** A way to a port of this machine that can be cut. */
const proxy = (port: number) =>
  Effect.gen(function*() {
    const sockets = new Set<Socket>()
    const server = yield* Effect.acquireRelease(
      Effect.callback<Server>((resume) => {
        const server = createProxy((socket) => {
          const other = connect(port, "127.0.0.1")
          for (const [from, to] of [[socket, other], [other, socket]] as const) {
            sockets.add(from)
            from.on("error", () => to.destroy()).on("close", () => to.destroy()).pipe(to)
          }
        })
        server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
      }),
      (server) => Effect.sync(() => server.close())
    )
    const cut = Effect.sync(() => {
      server.close()
      for (const socket of sockets) socket.destroy()
    })
    yield* Effect.addFinalizer(() => cut)
    const address = server.address()
    return { cut, url: `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}` }
  })

let names = 0
const unique = () => `name-${++names}`

describe("AgentRpc", () => {
  it.layer(Wires.layer, { excludeTestServices: true })((it) => {
    for (const wire of rpcWires) {
      it.effect(`${wire}: a run is read, numbered, joined after a part, and stopped`, () =>
        Effect.gen(function*() {
          const client = (yield* Wires).rpc[wire]
          yield* Effect.flatMap(serve([[text("a"), hang]], { whenLeft: "continue" }), (_) => _.remote(wire))
          const session = unique()
          const seen = yield* client["agent.run"]({ prompt: "hi", session }).pipe(Stream.take(4), Stream.runCollect)
          assert.deepStrictEqual(seen.map(({ seq }) => seq), [0, 1, 2, 3])
          assert.deepStrictEqual(types(seen.map(({ part }) => part)), [
            "run-start",
            "step-start",
            "text-start",
            "text-delta"
          ])
          const { runId = "" } = yield* client["agent.session"]({ session })
          const rest = client["agent.join"]({ runId, after: 1 })
          assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(rest, 2)), seen.slice(2))
          yield* client["agent.stop"]({ runId })
          const exit = yield* Effect.exit(Stream.runDrain(rest))
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), "the client is told")
          assert.strictEqual(yield* codeOf(client["agent.steer"]({ runId, message: "x" })), "run-ended")
        }))

      it.effect(`${wire}: runs and sessions of somebody else do not exist`, () =>
        Effect.gen(function*() {
          const client = (yield* Wires).rpc[wire]
          yield* Effect.flatMap(
            serve([text("a"), [text("b"), hang]], { whenLeft: "continue" }),
            (_) => _.remote(wire)
          )
          const session = unique()
          yield* Stream.runDrain(client["agent.run"]({ prompt: "mine", session }))
          yield* Stream.runDrain(Stream.take(client["agent.run"]({ prompt: "more", session }), 1))
          const { runId = "" } = yield* client["agent.session"]({ session })
          const answers = [{ approvalId: "a", approved: true }] as const
          const asked = [
            client["agent.session"]({ session }),
            client["agent.session"]({ session: `ann/${session}` }),
            Stream.runDrain(client["agent.join"]({ runId })),
            client["agent.stop"]({ runId }),
            client["agent.steer"]({ runId, message: "x" }),
            Stream.runDrain(client["agent.answer"]({ session, answers }))
          ]
          for (const owner of ["bob", "an", "effect-agents", `ann/${session}`]) {
            assert.deepStrictEqual(yield* Effect.forEach(asked, codeOf).pipe(as(owner)), [
              "session-not-found",
              "session-not-found",
              "run-unknown",
              "run-unknown",
              "run-unknown",
              "approval-unknown"
            ])
            const changes = [
              client["agent.rename"]({ session, title: "x" }),
              client["agent.fork"]({ session, to: "own" })
            ]
            assert.deepStrictEqual(yield* Effect.forEach(changes, codeOf).pipe(as(owner)), [
              "session-not-found",
              "session-not-found"
            ])
            assert.deepStrictEqual((yield* as(owner)(client["agent.sessions"]({}))).sessions, [])
            yield* as(owner)(client["agent.forget"]({ session }))
          }
          assert.strictEqual(yield* codeOf(as("")(client["agent.session"]({ session }))), "Unauthorized")
          const { version } = yield* client["agent.session"]({ session })
          assert.strictEqual(version, 1)
          yield* client["agent.stop"]({ runId })
          yield* client["agent.rename"]({ session, title: "Renamed" })
          yield* client["agent.fork"]({ session, to: `${session}-fork` })
          const { sessions } = yield* client["agent.sessions"]({ search: "renamed" })
          assert.deepStrictEqual(sessions.map(({ title }) => title), ["Renamed", "Renamed"])
          yield* client["agent.forget"]({ session: `${session}-fork` })
          yield* client["agent.forget"]({ session })
          assert.strictEqual(yield* codeOf(client["agent.session"]({ session })), "session-not-found")
        }))

      it.effect(`${wire}: nothing of the inside is told, by no failure, no defect and no part`, () =>
        Effect.gen(function*() {
          const client = (yield* Wires).rpc[wire]
          const dying = ContextProvider.make("q", {
            beforeRun: ({ prompt }) =>
              JSON.stringify(prompt).includes("before") ? Effect.die(new Error("s3cret")) : Effect.succeed({})
          })
          const { remote } = yield* serve([
            [text("a"), ScriptedModel.die(new Error("s3cret"))],
            toolCalls({ id: "o", name: "odd", params: {} }),
            toolCalls({ id: "d", name: "delete", params: { file: "a" } }),
            text("b")
          ], { providers: [dying] })
          yield* remote(wire)
          const said: Array<string> = []
          const run = (prompt: string, session: string) =>
            client["agent.run"]({ prompt, session }).pipe(
              Stream.runForEach(({ part }) => Effect.sync(() => said.push(JSON.stringify(part)))),
              Effect.exit,
              Effect.map((exit) => {
                said.push(JSON.stringify(exit), Exit.isFailure(exit) ? Cause.pretty(exit.cause) : "")
                const [reason] = Exit.isFailure(exit) ? exit.cause.reasons : []
                return reason !== undefined && Cause.isFailReason(reason) && (reason.error as { code?: string }).code
              })
            )
          const session = unique()
          assert.strictEqual(yield* run("before", session), "internal")
          assert.strictEqual(yield* run("dies", session), "internal")
          assert.notStrictEqual(yield* run("odd", session), undefined)
          yield* run("deletes", session)
          const { approvals: [approval] } = yield* client["agent.session"]({ session })
          const answered = yield* client["agent.answer"]({
            session,
            answers: [{ approvalId: approval.approvalId, approved: true }]
          }).pipe(Stream.runCollect)
          // in one process nothing is encoded, so a result is what the tool gave
          if (wire !== "Rpc in the process") said.push(JSON.stringify(answered))
          assert.strictEqual(answered.at(-1)?.part.type, "run-end")
          assert.notInclude(said.join(), "s3cret")
        }).pipe(Effect.provide(Logger.layer([]))))

      it.effect(`${wire}: a client that goes away ends the run, also one that begins`, () =>
        Effect.gen(function*() {
          const { hub, rpc } = yield* Wires
          const client = rpc[wire]
          const begins = yield* Deferred.make<void>()
          const ends = yield* Deferred.make<string>()
          const slow = ContextProvider.make("q", {
            beforeRun: () =>
              Effect.andThen(Deferred.succeed(begins, undefined), Effect.never).pipe(
                Effect.onInterrupt(() => Deferred.succeed(ends, "interrupted"))
              )
          })
          yield* Effect.flatMap(serve([], { providers: [slow] }), (_) => _.remote(wire))
          const fiber = yield* Effect.forkChild(Stream.runDrain(client["agent.run"]({ prompt: "hi" })))
          yield* Deferred.await(begins)
          yield* Fiber.interrupt(fiber)
          assert.strictEqual(yield* Deferred.await(ends), "interrupted")
          yield* Effect.flatMap(serve([[text("a"), hang]]), (_) => _.remote(wire))
          yield* client["agent.run"]({ prompt: "hi", runId: `run_${wire.replace(/\W/g, "_")}` }).pipe(
            Stream.takeUntil(({ part }) => part.type === "text-delta"),
            Stream.runDrain
          )
          const live = yield* hub.get(`run_${wire.replace(/\W/g, "_")}`)
          const exit = yield* live!.exit
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        }))

      it.effect(`${wire}: a failure of the middleware is one of the remote agent, with its own type`, () =>
        Effect.gen(function*() {
          const { remote } = yield* serve([])
          const error = yield* Effect.flip(as("")(Agent.run(yield* remote(wire), { prompt: "hi" })))
          const tag: "RunFailed" | "Unauthorized" = error._tag
          assert.strictEqual(tag, "Unauthorized")
        }))
    }

    for (const wire of ["HTTP", "Rpc over HTTP", "Rpc over a WebSocket"] as const) {
      it.effect(`${wire}: a connection that is lost in the middle is a typed failure, with what there was`, () =>
        Effect.gen(function*() {
          const { hub, remoteAt, url } = yield* Wires
          yield* Effect.flatMap(serve([[text("a"), hang]]), (_) => _.remote(wire))
          const way = yield* proxy(Number(new URL(url).port))
          const agent = yield* remoteAt(wire, way.url)
          const runId = `lost_${wire.replace(/\W/g, "_")}`
          const exit = yield* Agent.stream(agent, { prompt: "hi", runId }).pipe(
            Stream.runForEach((part) => part.type === "text-delta" ? way.cut : Effect.void),
            Effect.exit
          )
          const outcome = AgentRun.outcome(exit as Exit.Exit<never, unknown>)
          assert(outcome._tag === "Failed")
          assert.strictEqual(yield* codeOf(Effect.failCause(outcome.cause)), "connection-lost")
          assert.deepStrictEqual([outcome.partial.text, outcome.partial.runId], ["a", runId])
          const there = yield* Effect.flatMap(hub.get(runId), (live) => live!.exit)
          assert.isTrue(Exit.isFailure(there) && Cause.hasInterruptsOnly(there.cause))
        }))
    }

    for (const wire of wires) {
      it.effect(`${wire}: the sessions of an owner are listed, those saved last first, with their runs`, () =>
        Effect.gen(function*() {
          const { sessionOf, sessions, stop } = yield* callsOf(wire)
          const { remote } = yield* serve([text("a"), text("b"), text("c"), text("d"), [text("e"), hang]], {
            whenLeft: "continue"
          })
          const agent = yield* remote(wire)
          const owner = `${unique()}%_/`
          const run = (session: string, prompt: string) => Agent.run(agent, { prompt, session })
          for (const id of ["one", "two", "%", "two"]) yield* as(owner)(run(id, `I am ${id}`))
          yield* as(owner)(Stream.runDrain(Stream.take(Agent.stream(agent, { prompt: "more", session: "one" }), 1)))
          const first = yield* as(owner)(sessions({ limit: 2 }))
          const second = yield* as(owner)(sessions({ limit: 2, cursor: first.next }))
          const listed = [...first.sessions, ...second.sessions]
          assert.deepStrictEqual(
            listed.map(({ id, size, title, version }) => [id, title, version, size]),
            [["two", "I am two", 2, 4], ["%", "I am %", 1, 2], ["one", "I am one", 1, 2]]
          )
          const { runId } = yield* as(owner)(sessionOf("one"))
          assert.isDefined(runId)
          assert.deepStrictEqual(listed.map((one) => one.runId), [undefined, undefined, runId])
          assert.isUndefined(second.next)
          for (const other of [owner.slice(0, -1), `${owner}/`, owner.replace("%", "x")]) {
            assert.deepStrictEqual((yield* as(other)(sessions({}))).sessions, [])
          }
          assert.strictEqual(yield* codeOf(as(owner)(sessions({ cursor: "x" }))), "session-cursor-invalid")
          yield* as(owner)(stop(runId!))
        }))
    }
  })
})

describe("RemoteAgent.fromRpc", () => {
  /** An agent behind a server that answers what it is told to. */
  const foreign = (answer: HttpServerResponse.HttpServerResponse, options?: {
    readonly maxBufferSize?: number
    readonly isChecked?: boolean
  }) =>
    Effect.gen(function*() {
      const services = yield* Layer.build(
        HttpRouter.serve(HttpRouter.add("POST", "/", answer), { disableListenLog: true, disableLogger: true }).pipe(
          Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
        )
      )
      const { address } = Context.get(services, HttpServer.HttpServer)
      const protocol = RpcClient.layerProtocolHttp({
        url: HttpServer.formatAddress(address),
        transformClient: (client) => options?.isChecked === true ? HttpClient.filterStatusOk(client) as never : client
      }).pipe(
        Layer.provide([
          RpcSerialization.layerNdjsonWith({ maxBufferSize: options?.maxBufferSize }),
          FetchHttpClient.layer
        ])
      )
      const client = yield* Effect.provide(RpcClient.make(Rpcs), Layer.merge(protocol, RpcAuth.client))
      return RemoteAgent.fromRpc("agent", client)
    })

  const failureOf = <A, E, R>(run: Effect.Effect<A, E, R>) =>
    Effect.map(Effect.flip(run), (error) => {
      const { code, retryable, status } = error as { code?: string; status?: number; retryable?: boolean }
      return [code, status, retryable]
    })

  const runId = "run_12345678"
  const run = (agent: Effect.Success<ReturnType<typeof foreign>>) =>
    failureOf(Agent.run(agent, { prompt: "hi", runId }))
  const lines = (...messages: ReadonlyArray<unknown>) =>
    HttpServerResponse.text(messages.map((message) => `${JSON.stringify(message)}\n`).join(""))

  it.live("a server that sends anything but the parts of the run fails it, typed", () =>
    Effect.gen(function*() {
      const invalid = ["invalid-response", 502, false]
      const lost = ["connection-lost", 503, true]
      const cases: ReadonlyArray<
        readonly [HttpServerResponse.HttpServerResponse, ReadonlyArray<unknown>, Parameters<typeof foreign>[1]?]
      > = [
        [HttpServerResponse.text(""), lost],
        [HttpServerResponse.text("<html>\n"), invalid],
        [HttpServerResponse.text("<html>\n", { status: 404 }), invalid],
        [HttpServerResponse.text("x", { status: 404 }), ["request-refused", 404, false], { isChecked: true }],
        [HttpServerResponse.text("x", { status: 503 }), ["unavailable", 503, true], { isChecked: true }],
        [HttpServerResponse.text("x".repeat(2000)), ["response-too-large", 502, false], { maxBufferSize: 1000 }],
        [lines({ _tag: "Defect", defect: "s3cret" }), ["internal", 500, false]]
      ]
      for (const [answer, told, options] of cases) {
        assert.deepStrictEqual(yield* run(yield* foreign(answer, options)), told)
      }
    }).pipe(Effect.scoped))
})

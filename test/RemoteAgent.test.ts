/** An agent behind real HTTP, used as a local one. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { Toolkit } from "effect/ai"
import { createServer } from "node:http"
import { Agent, AgentRun, AgentTool, Approval, Budget, ContextProvider, Steering } from "../src/index.ts"
import { ClientTools, RemoteAgent } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { serve } from "./fixtures/agentServer.ts"
import { type Log, logged, showCause, types } from "./utils.ts"

const { hang, text, toolCalls } = ScriptedModel

const remote = (server: Effect.Success<ReturnType<typeof serve>>, owner = "ann") =>
  Effect.map(server.client(owner), (client) => RemoteAgent.make("assistant", client))

interface Answer {
  readonly status?: number
  readonly body?: string
}

const events = (...parts: ReadonlyArray<unknown>): Answer => ({
  body: parts.map((part, index) => `id: ${index}\ndata: ${JSON.stringify(part)}\n\n`).join("")
})

const runEnd = (totalUsage: object, text = "hello") => ({
  type: "run-end",
  result: {
    agent: "assistant",
    runId: "run_12345678",
    text,
    value: null,
    usage: totalUsage,
    totalUsage,
    steps: [],
    stopReason: "stop",
    transcript: { content: [] },
    approvals: []
  }
})

/** An agent behind a server that answers what it is told to. */
const foreignServer = Effect.gen(function*() {
  let answer: Answer = {}
  const http = yield* Effect.acquireRelease(
    Effect.callback<ReturnType<typeof createServer>>((resume) => {
      const server = createServer((request, response) => {
        request.resume()
        response.writeHead(answer.status ?? 200, { "content-type": "text/event-stream" }).end(answer.body)
      })
      server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
    }),
    (server) =>
      Effect.sync(() => {
        server.close()
        server.closeAllConnections()
      })
  )
  const server = yield* serve({ script: [] })
  const address = http.address()
  const port = typeof address === "object" && address !== null ? address.port : 0
  const client = yield* server.client("ann", `http://127.0.0.1:${port}`)
  return {
    answerWith: (next: Answer) => {
      answer = next
    },
    assistant: RemoteAgent.make("assistant", client)
  }
})

describe("RemoteAgent", () => {
  it.live("a call that runs in the client comes to the caller, who gives its result, once", () =>
    Effect.gen(function*() {
      const Ask = ClientTools.make("ask", { success: Schema.Struct({ said: Schema.String }) })
      const tools = Toolkit.make(Ask)
      const server = yield* serve({
        script: [toolCalls({ name: "ask", params: {}, id: "a" }, { name: "ask", params: {}, id: "b" }), text("thanks")],
        providers: [
          ContextProvider.make("asks", {
            beforeRun: () =>
              Effect.provide(
                Effect.map(tools, (toolkit) => ({ toolkit })),
                tools.toLayer({ ask: ClientTools.handler })
              )
          })
        ]
      })
      const agent = yield* remote(server)
      const asked = yield* Agent.run(agent, { prompt: "go", session: "s" })
      assert.deepStrictEqual(asked.approvals.map(({ runsIn, tool }) => [tool, runsIn]), [
        ["ask", "client"],
        ["ask", "client"]
      ])
      const [first, second] = asked.approvals
      const wrong = yield* Effect.flip(Agent.resume(agent, { session: "s" }, [Approval.giveResult(first!, { no: 1 })]))
      assert.strictEqual((wrong as { readonly code?: string }).code, "approval-invalid")
      const answers = [Approval.giveResult(first!, { said: "yes" }), Approval.giveFailure(second!, "nobody is here")]
      const end = yield* Agent.resume(agent, { session: "s" }, answers)
      assert.strictEqual(end.text, "thanks")
      const results = end.steps[0]!.toolCalls.map(({ isFailure }) => isFailure)
      assert.deepStrictEqual(results, [false, true])
      const twice = yield* Effect.flip(Agent.resume(agent, { session: "s" }, answers))
      assert.strictEqual((twice as { readonly code?: string }).code, "approval-unknown")
    }).pipe(Effect.scoped))

  it.live("gives the parts and the result that the run on the server has, under the id of the run here", () =>
    Effect.gen(function*() {
      const server = yield* serve({ script: [text(["Hel", "lo"])] })
      const assistant = yield* remote(server)
      const parts = yield* Stream.runCollect(
        Agent.stream(assistant, { prompt: "hi", session: "chat", runId: "run_12345678" })
      )
      const run = yield* server.hub.get("run_12345678")
      const there = (yield* Stream.runCollect(run!.parts())).map(({ part }) => part)
      assert.deepStrictEqual(types(parts), types(there))
      const result = yield* AgentRun.fold(Stream.fromIterable(parts))
      const { session, transcript, ...rest } = yield* AgentRun.fold(Stream.fromIterable(there))
      assert.deepStrictEqual({ ...result }, { ...rest, session: "chat", transcript: result.transcript })
      assert.strictEqual(session, "ann/chat")
      assert.deepStrictEqual(result.transcript.content.length, transcript.content.length)
    }).pipe(Effect.scoped))

  it.live("all four outcomes are those of the run on the server", () =>
    Effect.gen(function*() {
      const log: Log = []
      const server = yield* serve({
        script: [text("a"), [text("b"), ScriptedModel.die("no")], [text("c"), hang], [text("d"), hang], [
          text("e"),
          hang
        ]],
        providers: [logged("p", log)]
      })
      const assistant = yield* remote(server)
      const ended = Effect.suspend(() => Effect.flatMap(server.hub.running, Effect.forEach(({ exit }) => exit)))

      assert.strictEqual((yield* Agent.run(assistant, { prompt: "1" })).text, "a")

      const failed = yield* Effect.exit(Agent.run(assistant, { prompt: "2" }))
      assert.strictEqual(Exit.isFailure(failed) && showCause(failed.cause), "Fail RunFailed")
      const outcome = AgentRun.outcome(failed)
      assert.strictEqual(outcome._tag, "Failed")

      // left here: the request is aborted, which is an interrupt there
      yield* Stream.runDrain(Stream.takeUntil(Agent.stream(assistant, { prompt: "3" }), (_) => _.type === "text-delta"))
      yield* ended
      // interrupted here
      const fiber = yield* Effect.forkChild(Agent.run(assistant, { prompt: "4" }))
      let live = yield* server.hub.running
      while (live.length === 0) {
        yield* Effect.promise(() => new Promise(setImmediate))
        live = yield* server.hub.running
      }
      yield* live[0].parts().pipe(Stream.takeUntil(({ part }) => part.type === "text-delta"), Stream.runDrain)
      yield* Fiber.interrupt(fiber)
      yield* ended
      // interrupted there
      const stopped = yield* Effect.exit(
        Agent.stream(assistant, { prompt: "5" }).pipe(
          Stream.tap((part) =>
            part.type === "text-delta"
              ? Effect.flatMap(server.hub.running, Effect.forEach(({ stop }) => stop))
              : Effect.void
          ),
          Stream.runDrain
        )
      )
      assert.strictEqual(AgentRun.outcome(stopped as Exit.Exit<never, unknown>)._tag, "Interrupted")
      assert.deepStrictEqual(log.filter((line) => line.startsWith("p end")), [
        "p end: Completed \"a\"",
        "p end: Failed Die no after \"b\"",
        "p end: Interrupted after \"c\"",
        "p end: Interrupted after \"d\"",
        "p end: Interrupted after \"e\""
      ])
    }).pipe(Effect.scoped))

  it.live("is a tool of another agent, with its parts and its usage", () =>
    Effect.gen(function*() {
      const server = yield* serve({
        script: [[text("found"), ScriptedModel.finish("stop", ScriptedModel.usage(3, 4))]]
      })
      const lead = Agent.make("lead", {
        toolkit: AgentTool.toolkit(AgentTool.make(yield* remote(server)))
      })
      const parts = yield* Stream.runCollect(Agent.stream(lead, { prompt: "go" })).pipe(Effect.provide(
        ScriptedModel.layer([toolCalls({ id: "c", name: "assistant", params: { prompt: "look" } }), text("done")])
      ))
      const result = yield* AgentRun.fold(Stream.fromIterable(parts))
      assert.strictEqual(result.text, "done")
      // the lead's own two calls, and that of the remote run
      assert.deepStrictEqual([result.usage.inputTokens.total, result.totalUsage.inputTokens.total], [20, 23])
      const nested = parts.filter((part) => part.type === "agent-part")
      assert.include(nested.map(({ part }) => part.type), "text-delta")
      assert.deepStrictEqual(new Set(nested.map(({ path, runId }) => `${path.join()} ${runId}`)).size, 1)
    }).pipe(Effect.scoped))

  it.live("goes on after an approval, by `Agent.resume` with its session", () =>
    Effect.gen(function*() {
      const asks = toolCalls({ id: "c", name: "delete", params: { file: "a" } })
      const server = yield* serve({ script: [asks, text("done"), asks, text("edited"), asks, text("denied")] })
      const assistant = yield* remote(server)
      const go = (session: string, answer: (approval: Approval.Approval) => Approval.Answer) =>
        Effect.gen(function*() {
          const asked = yield* Agent.run(assistant, { prompt: "delete a", session })
          assert.strictEqual(asked.stopReason, "approval-required")
          const answers = asked.approvals.map(answer)
          const result = yield* Agent.resume(assistant, { session }, answers)
          const again = yield* Effect.flip(Agent.resume(assistant, { session }, answers))
          assert.strictEqual(again._tag === "RunFailed" && again.code, "approval-unknown")
          return [result.text, ...server.deleted]
        })
      assert.deepStrictEqual(yield* go("one", (_) => Approval.approve(_)), ["done", "a"])
      assert.deepStrictEqual(yield* go("two", (_) => Approval.approve(_, { params: { file: "b" } })), [
        "edited",
        "a",
        "b"
      ])
      assert.deepStrictEqual(yield* go("three", (_) => Approval.deny(_, "no")), ["denied", "a", "b"])
    }).pipe(Effect.scoped))

  it.live("sends messages on while the run works, and keeps what the server does not take", () =>
    Effect.gen(function*() {
      const server = yield* serve({ script: [[text("a"), hang]] })
      const assistant = yield* remote(server)
      const steering = yield* Steering.make
      const fiber = yield* Effect.forkChild(Effect.exit(Agent.run(assistant, { prompt: "hi", steering })))
      yield* steering.send("and this")
      const arrived = Effect.gen(function*() {
        const unread = yield* Effect.flatMap(server.hub.running, Effect.forEach(({ steering }) => steering.unread))
        return unread.flat().map(({ content }) => content.map((part) => part.type === "text" ? part.text : "")).flat()
      })
      while ((yield* arrived).length === 0) yield* Effect.promise(() => new Promise(setImmediate))
      assert.deepStrictEqual(yield* arrived, ["and this"])
      while ((yield* steering.unread).length > 0) yield* Effect.promise(() => new Promise(setImmediate))
      yield* Effect.flatMap(server.hub.running, Effect.forEach(({ stop }) => stop))
      yield* Fiber.join(fiber)
      yield* steering.send("too late")
      assert.lengthOf(yield* steering.unread, 1)
    }).pipe(Effect.scoped))

  it.live("a lost connection is a typed failure, before the first part and in the middle", () =>
    Effect.gen(function*() {
      const start = JSON.stringify({ type: "run-start", agent: "assistant", runId: "run_12345678" })
      let whole = false
      const port = yield* Effect.acquireRelease(
        Effect.callback<ReturnType<typeof createServer>>((resume) => {
          const server = createServer((_request, response) => {
            if (!whole) return void response.destroy()
            response.writeHead(200, { "content-type": "text/event-stream" })
            response.end(`id: 0\ndata: ${start}\n\n`)
          })
          server.listen(0, "127.0.0.1", () => resume(Effect.succeed(server)))
        }),
        (server) => Effect.sync(() => server.close())
      )
      const server = yield* serve({ script: [] })
      const address = port.address()
      const url = `http://127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`
      const assistant = RemoteAgent.make("assistant", yield* server.client("ann", url))
      for (const cut of [false, true]) {
        whole = cut
        const error = yield* Effect.flip(Agent.run(assistant, { prompt: "hi", runId: "run_12345678" }))
        assert.deepStrictEqual(error._tag === "RunFailed" && [error.code, error.retryable], ["connection-lost", true])
      }
    }).pipe(Effect.scoped))

  it.live("what a server does not take is refused here", () =>
    Effect.gen(function*() {
      const assistant = yield* remote(yield* serve({ script: [] }))
      for (
        const prompt of [
          [{ role: "assistant", content: [{ type: "text", text: "I said" }] }] as const,
          [{ role: "system", content: "be kind" }, { role: "user", content: "hi" }] as const
        ]
      ) {
        const error = yield* Effect.flip(Agent.run(assistant, { prompt }))
        assert.strictEqual(error._tag === "RunFailed" && error.code, "invalid-prompt")
      }
      const png = { type: "file", mediaType: "image/png", data: "file:///etc/passwd" } as const
      const approval = { approvalId: "a", toolCallId: "c", tool: "delete", params: {}, path: [] }
      const given: ReadonlyArray<readonly [code: string, Agent.Input]> = [
        ["invalid-prompt", { prompt: "" }],
        ["invalid-prompt", { prompt: "x".repeat(1_000_001) }],
        ["invalid-prompt", { prompt: [{ role: "user", content: [png] }] }],
        ["invalid-prompt", { prompt: [], answers: [Approval.approve(approval)] }],
        ["invalid-request", { prompt: "hi", runId: "r" }],
        ["invalid-request", { prompt: "hi", runId: "../../agents" }],
        ["invalid-request", { prompt: "hi", session: "" }],
        ["invalid-request", { prompt: "hi", session: "s".repeat(101) }],
        ["invalid-request", { prompt: [], session: "..", answers: [Approval.approve(approval)] }]
      ]
      for (const [code, input] of given) {
        const error = yield* Effect.flip(Agent.run(assistant, input))
        assert.deepStrictEqual(error._tag === "RunFailed" && [error.code, error.status, error.retryable], [
          code,
          400,
          false
        ])
      }
    }).pipe(Effect.scoped))

  it.live("a failure of the security middleware is one of the agent, with its own type", () =>
    Effect.gen(function*() {
      const assistant = yield* remote(yield* serve({ script: [] }), "")
      const error = yield* Effect.flip(Agent.run(assistant, { prompt: "hi" }))
      const tag: "RunFailed" | "Unauthorized" = error._tag
      assert.strictEqual(tag, "Unauthorized")
    }).pipe(Effect.scoped))

  it.live("a server that sends anything but the parts of the run fails it, typed, with what there was of it", () =>
    Effect.gen(function*() {
      const { answerWith, assistant } = yield* foreignServer
      const runId = "run_12345678"
      const start = { type: "run-start", agent: "assistant", runId }
      const end = runEnd({ inputTokens: { total: 10 }, outputTokens: { total: 5 } })
      const step = { type: "step-start", index: 0 }
      const invalid: Array<string | number | boolean> = ["invalid-response", 502, false]
      const cases: ReadonlyArray<
        readonly [Answer, types: ReadonlyArray<string>, told: Array<string | number | boolean>]
      > = [
        [events(step, end), [], invalid],
        [events(end), [], invalid],
        [events({ ...start, runId: "run_87654321" }, end), [], invalid],
        [events(start, start, end), ["run-start"], invalid],
        [events(start, end, end), ["run-start", "run-end"], invalid],
        [events(start, end, step), ["run-start", "run-end"], invalid],
        [events(start, { type: "of-tomorrow" }, end), [], invalid],
        [events(start, step), ["run-start", "step-start"], ["connection-lost", 503, true]],
        [{ body: "data: {\n\n" }, [], invalid],
        [{ body: "nothing" }, [], ["connection-lost", 503, true]],
        [{ body: `data: ${"x".repeat(RemoteAgent.maximumEvent)}` }, [], ["response-too-large", 502, false]],
        [{ status: 400 }, [], ["request-refused", 400, false]],
        [{ status: 404, body: "<html>" }, [], ["request-refused", 404, false]],
        [{ status: 413 }, [], ["request-refused", 413, false]],
        [{ status: 429 }, [], ["request-refused", 429, true]],
        [{ status: 500, body: "s3cret" }, [], ["unavailable", 500, false]],
        [{ status: 503 }, [], ["unavailable", 503, true]]
      ]
      for (const [answer, seen, told] of cases) {
        answerWith(answer)
        const parts: Array<AgentRun.Part> = []
        const error = yield* Agent.stream(assistant, { prompt: "hi", runId }).pipe(
          Stream.runForEach((part) => Effect.sync(() => parts.push(part))),
          Effect.flip
        )
        const name = JSON.stringify(answer).slice(0, 200)
        assert.deepStrictEqual(error._tag === "RunFailed" && [error.code, error.status, error.retryable], told, name)
        assert.deepStrictEqual(types(parts), seen, name)
      }
      // the last part has the whole transcript, and is larger than what a client of events takes by default
      answerWith(events(start, runEnd({ inputTokens: {}, outputTokens: {} }, "x".repeat(11_000_000))))
      assert.lengthOf((yield* Agent.run(assistant, { prompt: "hi", runId })).text, 11_000_000)
    }).pipe(Effect.scoped))

  it.live("what it costs is counted once, also when it fails, and a server gives nothing back", () =>
    Effect.gen(function*() {
      const { answerWith, assistant } = yield* foreignServer
      const runId = "run_12345678"
      const start = { type: "run-start", agent: "assistant", runId }
      const usage = (input: number) => ({ inputTokens: { total: input }, outputTokens: { total: 0 } })
      const stepEnd = (input: number) => ({
        type: "step-end",
        step: { index: 0, text: "", finishReason: "stop", toolCalls: [], usage: usage(input) }
      })
      const spent = (answer: Answer) =>
        Effect.gen(function*() {
          answerWith(answer)
          const budget = Budget.make({ tokens: 1_000_000 })
          return yield* Effect.exit(Agent.run(assistant, { prompt: "hi", runId })).pipe(
            Effect.andThen(Budget.spent(budget)),
            Effect.map((spent) => Option.getOrUndefined(spent)?.tokens),
            Budget.provide(budget)
          )
        })
      assert.strictEqual(yield* spent(events(start, stepEnd(7), stepEnd(8), runEnd(usage(15)))), 15)
      // what no step tells
      assert.strictEqual(yield* spent(events(start, stepEnd(7), runEnd(usage(20)))), 20)
      assert.strictEqual(yield* spent(events(start, stepEnd(7), stepEnd(8))), 15)
      assert.strictEqual(yield* spent(events(start, stepEnd(7), runEnd(usage(-1000)))), 7)
      assert.strictEqual(yield* spent(events(start, stepEnd(7), stepEnd(-1000), runEnd(usage(0)))), 7)
    }).pipe(Effect.scoped))

  it.live("a run that is stopped on the server while it begins is interrupted here", () =>
    Effect.gen(function*() {
      const begins = yield* Deferred.make<void>()
      const server = yield* serve({
        script: [],
        providers: [ContextProvider.make("q", {
          beforeRun: () => Effect.andThen(Deferred.succeed(begins, undefined), Effect.never)
        })]
      })
      const run = yield* Effect.forkChild(Effect.exit(
        Agent.run(yield* remote(server), { prompt: "hi", session: "chat" })
      ))
      yield* Deferred.await(begins)
      yield* server.hub.stopSession("ann/chat")
      assert.strictEqual(AgentRun.outcome((yield* Fiber.join(run)) as Exit.Exit<never, unknown>)._tag, "Interrupted")
    }).pipe(Effect.scoped))
})

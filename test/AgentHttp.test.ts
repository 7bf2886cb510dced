/** An agent behind real HTTP on loopback: with the client of effect's `HttpApi`, and with plain requests. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Stream } from "effect"
import { connect } from "node:net"
import { AgentRun, ContextProvider } from "../src/index.ts"
import type { AgentApi, RunHub } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { serve } from "./fixtures/agentServer.ts"
import { Boom, type Log, logged, types } from "./utils.ts"

const { hang, text, toolCalls } = ScriptedModel

const parts = <A extends { readonly data: unknown }, E, R>(events: Stream.Stream<A, E, R>) =>
  Stream.map(events, ({ data }) => data as A["data"])

describe("AgentHttp", () => {
  it.live("a client reads the parts of a run, numbered, and folds them to its result", () =>
    Effect.gen(function*() {
      const { client } = yield* serve({ script: [text(["Hel", "lo"])] })
      const ann = yield* client("ann")
      const events = yield* Stream.runCollect(yield* ann.run({ payload: { prompt: "hi", session: "chat" } }))
      assert.deepStrictEqual(events.map(({ id }) => id), events.map((_, index) => index))
      const all = events.map(({ data }) => data)
      assert.deepStrictEqual(
        types(all),
        [
          "run-start",
          "step-start",
          "text-start",
          "text-delta",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ]
      )
      const result = yield* AgentRun.fold(Stream.fromIterable(all))
      assert.deepStrictEqual([result.text, result.session, result.agent], ["Hello", "chat", "assistant"])
      const session = yield* ann.session({ params: { session: "chat" } })
      assert.deepStrictEqual([session.id, session.version, session.runId], ["chat", 1, undefined])
      assert.deepStrictEqual(session.messages.map(({ role }) => role), ["user", "assistant"])
    }).pipe(Effect.scoped))

  it.live("a client that goes away interrupts the run", () =>
    Effect.gen(function*() {
      const log: Log = []
      const { client, hub } = yield* serve({ script: [[text("a"), hang]], providers: [logged("p", log)] })
      const ann = yield* client("ann")
      yield* Stream.unwrap(ann.run({ payload: { prompt: "hi" } })).pipe(
        Stream.filter(({ data }) => data.type === "text-delta"),
        Stream.take(1),
        Stream.runDrain
      )
      const [run] = yield* hub.running
      yield* run?.exit ?? Effect.void
      assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"a\""])
    }).pipe(Effect.scoped))

  it.live("a run goes on without clients where that is asked for, and is joined after the part that was seen last", () =>
    Effect.gen(function*() {
      const { client, hub } = yield* serve({
        script: [[text("a"), hang]],
        http: { whenLeft: "continue" }
      })
      const ann = yield* client("ann")
      const seen = yield* Stream.unwrap(ann.run({ payload: { prompt: "hi", session: "chat" } })).pipe(
        Stream.take(4),
        Stream.runCollect
      )
      const { runId } = yield* ann.session({ params: { session: "chat" } })
      assert.isDefined(runId)
      const rest = Stream.unwrap(ann.join({ params: { runId: runId! }, query: { after: 1 }, headers: {} }))
      const joined = yield* Stream.runCollect(Stream.take(rest, 2))
      assert.deepStrictEqual(joined, seen.slice(2))
      yield* ann.stop({ params: { runId: runId! } })
      assert.deepStrictEqual(yield* hub.running, [])
      const exit = yield* Effect.exit(Stream.runCollect(rest))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause), "the client is told")
    }).pipe(Effect.scoped))

  it.live("runs and sessions of somebody else do not exist", () =>
    Effect.gen(function*() {
      const { client } = yield* serve({ script: [text("a"), [text("b"), hang]], http: { whenLeft: "continue" } })
      const ann = yield* client("ann")
      yield* Stream.runDrain(yield* ann.run({ payload: { prompt: "mine", session: "chat" } }))
      yield* Stream.unwrap(ann.run({ payload: { prompt: "more", session: "chat" } })).pipe(
        Stream.take(1),
        Stream.runDrain
      )
      const { runId = "" } = yield* ann.session({ params: { session: "chat" } })
      for (const owner of ["bob", "an", "ann/chat", "ann%2F", ""]) {
        const other = yield* client(owner)
        const codes = yield* Effect.forEach([
          other.session({ params: { session: "chat" } }),
          other.session({ params: { session: "ann/chat" } }),
          other.join({ params: { runId }, query: {}, headers: {} }),
          other.stop({ params: { runId } }),
          other.steer({ params: { runId }, payload: { message: "x" } })
        ], (request) =>
          Effect.map(Effect.flip(request as Effect.Effect<unknown, AgentApi.RunFailed>), ({ code }) => code))
        assert.deepStrictEqual(
          codes,
          owner === "" ? [undefined, undefined, undefined, undefined, undefined] as never : [
            "session-not-found",
            "session-not-found",
            "run-unknown",
            "run-unknown",
            "run-unknown"
          ],
          owner
        )
        if (owner !== "") {
          yield* other.forget({ params: { session: "chat" } })
        }
      }
      assert.strictEqual((yield* ann.session({ params: { session: "chat" } })).version, 1)
      yield* ann.stop({ params: { runId } })
    }).pipe(Effect.scoped))

  it.live("an approval is answered once, from the session, with nothing of it from the client", () =>
    Effect.gen(function*() {
      const { client, deleted, post } = yield* serve({
        script: [toolCalls({ id: "c", name: "delete", params: { file: "a.txt" } }), text("done")]
      })
      const ann = yield* client("ann")
      const asked = yield* Stream.runCollect(yield* ann.run({ payload: { prompt: "delete a.txt", session: "chat" } }))
      assert.strictEqual((yield* AgentRun.fold(parts(Stream.fromIterable(asked)))).stopReason, "approval-required")
      const { approvals: [approval] } = yield* ann.session({ params: { session: "chat" } })
      assert.deepStrictEqual([approval.tool, approval.params], ["delete", { file: "a.txt" }])
      const answer = {
        params: { session: "chat" },
        payload: { answers: [{ approvalId: approval.approvalId, approved: true }] }
      } as const

      const forged = yield* post("/sessions/chat/answers", {
        answers: [{ approvalId: "other", approved: true, approval: { ...approval, params: { file: "b.txt" } } }]
      })
      assert.strictEqual(forged.status, 404)
      // neither does a history that a client makes up
      const history = yield* post("/runs", {
        prompt: [{
          role: "assistant",
          content: [{ type: "tool-call", id: "x", name: "delete", params: { file: "b" } }]
        }]
      })
      assert.strictEqual(history.status, 400)
      assert.deepStrictEqual(deleted, [])

      const answered = yield* Stream.runCollect(yield* ann.answer(answer))
      assert.deepStrictEqual(deleted, ["a.txt"])
      assert.strictEqual((yield* AgentRun.fold(parts(Stream.fromIterable(answered)))).text, "done")
      const result = answered.map(({ data }) => data).find((part) => part.type === "tool-result")
      assert.deepStrictEqual(result?.type === "tool-result" && result.result, { deleted: "a.txt" })
      const again = yield* Effect.flip(ann.answer(answer))
      assert.strictEqual((again as AgentApi.RunFailed).code, "approval-unknown")
      assert.deepStrictEqual(deleted, ["a.txt"])
    }).pipe(Effect.scoped))

  it.live("nothing of the inside is told: neither in the status, nor in an event, nor in a result", () =>
    Effect.gen(function*() {
      const failing = (of: string) =>
        ContextProvider.make(of, { beforeRun: () => Effect.fail(new Boom({ of: "s3cret" })) })
      const before = yield* serve({ script: [], providers: [failing("q")] })
      const refused = yield* before.post("/runs", { prompt: "hi" })
      assert.strictEqual(refused.status, 500)
      const said = yield* Effect.promise(() => refused.text())
      assert.deepStrictEqual(JSON.parse(said), {
        _tag: "RunFailed",
        code: "failed",
        message: "The run failed.",
        retryable: false,
        status: 500
      })
      const later = yield* serve({
        script: [
          [text("a"), ScriptedModel.die(new Error("s3cret"))],
          toolCalls({ id: "c", name: "delete", params: { file: "a" } }),
          text("b")
        ]
      })
      const cut = yield* Effect.flatMap(later.post("/runs", { prompt: "hi" }), (_) => Effect.promise(() => _.text()))
      assert.include(cut, "event: effect/http-api/stream/failure")
      assert.include(cut, "\"internal\"")
      const ann = yield* later.client("ann")
      const exit = yield* Effect.exit(
        Stream.runDrain(Stream.unwrap(ann.run({ payload: { prompt: "x", session: "s" } })))
      )
      assert.isTrue(Exit.isSuccess(exit))
      const { approvals: [approval] } = yield* ann.session({ params: { session: "s" } })
      const answered = yield* Effect.flatMap(
        later.post("/sessions/s/answers", { answers: [{ approvalId: approval.approvalId, approved: true }] }),
        (_) => Effect.promise(() => _.text())
      )
      assert.include(answered, "run-end")
      for (const text of [said, cut, answered]) assert.notInclude(text, "s3cret")
    }).pipe(Effect.scoped))

  it.live("a session that has a run is refused with 409, and a bad request with 400", () =>
    Effect.gen(function*() {
      const { post } = yield* serve({ script: [[text("a"), hang]], http: { whenLeft: "continue" } })
      const first = yield* post("/runs", { prompt: "hi", session: "chat" })
      const busy = yield* post("/runs", { prompt: "hi", session: "chat" })
      assert.strictEqual(busy.status, 409)
      assert.strictEqual((yield* Effect.promise(() => busy.json() as Promise<{ code: string }>)).code, "session-in-use")
      for (const body of [{}, { prompt: "" }, { prompt: [] }, { prompt: "x", session: "" }, { prompt: 1 }]) {
        assert.strictEqual((yield* post("/runs", body)).status, 400, JSON.stringify(body))
      }
      yield* Effect.promise(() => first.body!.cancel())
    }).pipe(Effect.scoped))

  it.live("a quiet stream says that it is there", () =>
    Effect.gen(function*() {
      const { post } = yield* serve({ script: [[text("a"), hang]], http: { keepAlive: "5 millis" } })
      const response = yield* post("/runs", { prompt: "hi" })
      const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
      let said = ""
      while (said.split(": keep-alive\n\n").length < 4) said += (yield* Effect.promise(() => reader.read())).value
      assert.include(said, "\"delta\":\"a\"")
      yield* Effect.promise(() => reader.cancel())
    }).pipe(Effect.scoped))

  it.live("a client that reads nothing holds up neither the run nor its session", () =>
    Effect.gen(function*() {
      const script = [text(Array.from({ length: 3000 }, () => "x".repeat(1000))), text("b")]
      const { hub, port, post } = yield* serve({ script, http: { whenLeft: "continue" } })
      const socket = yield* Effect.acquireRelease(
        Effect.sync(() => connect(port, "127.0.0.1")),
        (socket) => Effect.sync(() => socket.destroy())
      )
      socket.pause()
      const body = JSON.stringify({ prompt: "hi", session: "chat" })
      yield* Effect.sync(() =>
        socket.write(
          `POST /agents/assistant/runs HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ann\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
        )
      )
      let run: RunHub.Live | undefined
      while (run === undefined) {
        yield* Effect.promise(() => new Promise(setImmediate))
        run = yield* hub.ofSession("ann/chat")
      }
      assert.isTrue(Exit.isSuccess(yield* run.exit))
      const next = yield* post("/runs", { prompt: "again", session: "chat" })
      assert.include(yield* Effect.promise(() => next.text()), "run-end")
    }).pipe(Effect.scoped))
})

/**
 * The run contract at the other end of a wire: each case runs here, and then as a remote agent over HTTP and over effect's
 * Rpc (HTTP, WebSocket, in the process). Its parts, its result and its providers are the same.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Layer, Logger, Option, Schema, Stream } from "effect"
import { AiError, LanguageModel } from "effect/ai"
import { Agent, AgentRun, AgentTool, Approval, Budget, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Wire, Wires, wires } from "./fixtures/remoteWires.ts"
import { agentOf, calls, type Case, cases, type Parts, plain, readCase, Script, toCase } from "./fixtures/runCases.ts"
import { type Log, showExit, types } from "./utils.ts"

const { fail, finish, hang, text, usage } = ScriptedModel

const rateLimit = fail(new AiError.RateLimitError({}))

let runs = 0

/** Runs a case, and waits until everything has ended: here, or at the other end of a wire. */
const play = Effect.fnUntraced(function*(given: Case, wire: Wire | undefined) {
  const { hub, remote, store } = yield* Wires
  const { agent, handlers, log, script } = agentOf(given)
  const scripted = yield* ScriptedModel.make(script)
  const services = yield* Layer.build(handlers)
  return yield* Effect.gen(function*() {
    const there = wire === undefined ? undefined : yield* remote(wire, agent)
    const runId = `run_${String(++runs).padStart(8, "0")}`
    const input: Agent.Input = { prompt: "hi", runId, ...given.input }
    const stream: Parts = there === undefined ? Agent.stream(agent, input) : Agent.stream(there, input)
    const { end, parts } = yield* readCase(given, stream)
    const live = yield* hub.get(runId)
    if (live !== undefined) yield* live.exit
    return {
      parts,
      end,
      log,
      opened: yield* scripted.script.opened,
      closed: (yield* scripted.script.closed).length
    }
  }).pipe(
    Effect.provideContext(services as never),
    Effect.provide(Logger.layer([])),
    Effect.provideService(LanguageModel.LanguageModel, scripted.languageModel),
    Effect.provideService(SessionStore.SessionStore, store)
  )
}, Effect.scoped)

/** A consumer that goes away is an interrupt at the other end. */
const interrupted = (log: Log): Log => log.map((line) => line.replace("end: Abandoned", "end: Interrupted"))

/** A remote agent of a case, whose model has its script. */
const remoteOf = Effect.fnUntraced(function*(wire: Wire, given: Case) {
  const { remote, store } = yield* Wires
  const { agent, handlers, log, script } = agentOf(given)
  const scripted = yield* ScriptedModel.make(script)
  const there = yield* remote(wire, agent).pipe(
    Effect.provide(yield* Layer.build(handlers)),
    Effect.provideService(LanguageModel.LanguageModel, scripted.languageModel),
    Effect.provideService(SessionStore.SessionStore, store)
  )
  return { agent: there, log, requests: scripted.script.requests }
})

const Remote = Schema.Struct({ ...Script.fields, wire: Schema.Literals(wires) })

/** A conversation that waits says which session on the server continues it. */
const unmarked = (value: unknown): unknown =>
  JSON.parse(JSON.stringify(plain(value)).replace(/"effect-agents\/server\/RemoteAgent":\{"session":"[^"]*"\}/g, ""))

/** A failure loses its name on the way, and nothing else. */
const unnamed = (end: string) => end.replace(/^Failed .* after/, "Failed after")

describe("the contract of a remote run", () => {
  it.layer(Wires.layer, { excludeTestServices: true })((it) => {
    for (const given of cases) {
      it.effect(given.name, () =>
        Effect.gen(function*() {
          const here = yield* play(given, undefined)
          if (given.ends !== undefined) assert.strictEqual(here.end, given.ends[0])
          assert.strictEqual(here.closed, here.opened)
          for (const wire of wires) {
            const remote = yield* play(given, wire)
            assert.deepStrictEqual(types(remote.parts), types(here.parts), wire)
            assert.deepStrictEqual(plain(remote.parts), plain(here.parts), wire)
            if (given.ends !== undefined) assert.strictEqual(remote.end, given.ends[1], wire)
            assert.deepStrictEqual(remote.log, interrupted(here.log), wire)
            assert.deepStrictEqual([remote.opened, remote.closed], [here.opened, here.closed], wire)
          }
        }))
    }

    it.effect.prop(
      "any run has the parts, the result, the end and the providers that it has here",
      { script: Arbitrary.schema(Remote) },
      ({ script }) =>
        Effect.gen(function*() {
          const given = toCase(script)
          const here = yield* play(given, undefined)
          const remote = yield* play(given, script.wire)
          assert.deepStrictEqual(unmarked(remote.parts), plain(here.parts))
          assert.strictEqual(unnamed(remote.end), unnamed(here.end))
          assert.deepStrictEqual(remote.log, here.log)
          const expected = here.parts.at(-1)
          if (expected?.type !== "run-end") return
          const result = yield* AgentRun.fold(Stream.fromIterable(remote.parts))
          assert.deepStrictEqual(result.totalUsage, expected.result.totalUsage)
          assert.deepStrictEqual(unmarked(result.transcript), plain(expected.result.transcript))
        }),
      { timeout: 60_000, arbitrary: { runs: 60, seed: "remote" } }
    )

    for (const wire of wires) {
      it.effect(`${wire}: nothing is sent until the stream is read, and each reading is a run of its own`, () =>
        Effect.gen(function*() {
          const { hub } = yield* Wires
          const { agent, log, requests } = yield* remoteOf(wire, { name: "", script: [text("a"), text("b")] })
          const stream = Agent.stream(agent, { prompt: "hi" })
          assert.deepStrictEqual([yield* hub.running, log], [[], []])
          const first = yield* AgentRun.fold(stream)
          const second = yield* AgentRun.fold(stream)
          assert.deepStrictEqual([first.text, second.text, (yield* requests).length], ["a", "b", 2])
          assert.notStrictEqual(first.runId, second.runId)
        }))

      it.effect(`${wire}: a ReadableStream that is cancelled interrupts the run`, () =>
        Effect.gen(function*() {
          const { hub } = yield* Wires
          const { agent, log } = yield* remoteOf(wire, { name: "", script: [[text("a"), hang]] })
          const stream = yield* Stream.toReadableStreamEffect(Agent.stream(agent, { prompt: "hi" }))
          const reader = stream.getReader()
          while ((yield* Effect.promise(() => reader.read())).value?.type !== "text-delta");
          const [live] = yield* hub.running
          yield* Effect.promise(() => reader.cancel())
          yield* live.exit
          assert.deepStrictEqual(log.slice(2), ["p2 end: Interrupted after \"a\"", "p1 end: Interrupted after \"a\""])
        }))

      it.effect(`${wire}: a budget counts each step once, also of a run that fails or is left`, () =>
        Effect.gen(function*() {
          const used = finish("tool-calls", usage(30, 12))
          const { agent } = yield* remoteOf(wire, {
            name: "",
            script: [
              [calls("ok"), used],
              [text("a"), finish("stop", usage(5, 3))],
              [calls("ok"), used],
              rateLimit,
              [calls("ok"), used],
              [text("b"), hang]
            ]
          })
          const spent = (read: (parts: Parts) => Parts) =>
            Effect.gen(function*() {
              const budget = Budget.make({ tokens: 1_000_000 })
              const parts = read(Agent.stream(agent, { prompt: "hi" }) as Parts) as Stream.Stream<AgentRun.Part>
              return yield* Effect.exit(Stream.runDrain(parts)).pipe(
                Effect.andThen(Budget.spent(budget)),
                Effect.map((spent) => Option.getOrUndefined(spent)?.tokens),
                Budget.provide(budget)
              )
            })
          assert.strictEqual(yield* spent((parts) => parts), 50)
          assert.strictEqual(yield* spent((parts) => parts), 42)
          assert.strictEqual(yield* spent(Stream.takeUntil((part) => part.type === "text-delta")), 42)
        }))

      it.effect(`${wire}: as a tool its usage is in the total of its caller once, beside its parts`, () =>
        Effect.gen(function*() {
          const { agent } = yield* remoteOf(wire, {
            name: "",
            script: [[calls("ok"), finish("tool-calls", usage(30, 12))], [text("found"), finish("stop", usage(5, 3))]]
          })
          const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(agent)) })
          const parts = yield* Stream.runCollect(Agent.stream(lead, { prompt: "go" })).pipe(Effect.provide(
            ScriptedModel.layer([
              [
                ScriptedModel.toolCalls({ id: "c", name: "agent", params: { prompt: "look" } }),
                finish("tool-calls", usage(7, 1))
              ],
              [text("done"), finish("stop", usage(8, 1))]
            ])
          ))
          const { totalUsage, usage: own } = yield* AgentRun.fold(Stream.fromIterable(parts))
          assert.deepStrictEqual([own.inputTokens.total, totalUsage.inputTokens.total], [15, 50])
          assert.deepStrictEqual([own.outputTokens.total, totalUsage.outputTokens.total], [2, 17])
        }))

      it.effect(`${wire}: as a tool it asks its caller: approved, edited, denied, left, and nothing stays on the server`, () =>
        Effect.gen(function*() {
          const { store } = yield* Wires
          const sessions = Effect.map(store.list(), ({ sessions }) => sessions.length)
          const before = yield* sessions
          const asks = calls("asks")
          const { agent, log } = yield* remoteOf(wire, {
            name: "",
            providers: () => [],
            script: [asks, text("done"), asks, text("edited"), asks, text("denied"), text("plain")]
          })
          const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(agent)) })
          const tool = ScriptedModel.toolCalls({ id: "c", name: "agent", params: { prompt: "look" } })
          const go = Effect.fnUntraced(function*(answer?: (approval: Approval.Approval) => Approval.Answer) {
            const asked = yield* Agent.run(lead, { prompt: "go" })
            if (answer === undefined) return [asked.text]
            assert.deepStrictEqual(
              asked.approvals.map(({ params, path, tool }) => ({ params, path, tool })),
              [{ params: { n: 0 }, path: ["agent"], tool: "asks" }]
            )
            // the waiting conversation comes back from wherever its caller keeps it
            const { text, transcript } = yield* Agent.resume(lead, { result: asked }, asked.approvals.map(answer))
            const results = transcript.content.flatMap(({ content, role }) =>
              role === "tool" ? content.flatMap((part) => part.type === "tool-result" ? [part.result] : []) : []
            )
            return [text, ...results]
          })
          const model = ScriptedModel.layer([
            ...["a", "b", "c"].flatMap((said) => [tool, text(said)]),
            tool,
            text("d")
          ])
          yield* Effect.gen(function*() {
            assert.deepStrictEqual(yield* go((_) => Approval.approve(_)), ["a", "done"])
            assert.deepStrictEqual(yield* go((_) => Approval.approve(_, { params: { n: 5 } })), ["b", "edited"])
            assert.deepStrictEqual(yield* go((_) => Approval.deny(_, "no")), ["c", "denied"])
            assert.deepStrictEqual(yield* go(), ["d"])
          }).pipe(Effect.provide(model))
          assert.deepStrictEqual(log, ["asks 0 runs", "asks 5 runs"])
          assert.strictEqual(yield* sessions, before)
        }))

      it.effect(`${wire}: without a session it goes on with its result, once`, () =>
        Effect.gen(function*() {
          const { agent, log } = yield* remoteOf(wire, {
            name: "",
            providers: () => [],
            script: [calls("asks"), text("done")]
          })
          const asked = yield* Agent.run(agent, { prompt: "go" })
          assert.isUndefined(asked.session)
          const answers = asked.approvals.map((approval) => Approval.approve(approval))
          const done = yield* Agent.resume(agent, { result: asked }, answers)
          assert.deepStrictEqual([done.text, done.session], ["done", undefined])
          const again = yield* Effect.flip(Agent.resume(agent, { result: asked }, answers))
          assert.strictEqual(again._tag === "RunFailed" && again.code, "approval-unknown")
          assert.deepStrictEqual(log, ["asks 0 runs"])
        }))

      it.effect(`${wire}: a run that the server has is joined by whoever runs it again`, () =>
        Effect.gen(function*() {
          const { hub, remote } = yield* Wires
          const runId = `join_${wire.replaceAll(" ", "_")}`
          const model = ScriptedModel.layer([[text(["one ", "two"]), hang]])
          const there = Agent.make("agent")
          const agent = yield* Effect.provide(
            remote(wire, there, { whenLeft: "continue" }, { whenExists: "join" }),
            model
          )
          const said = Stream.takeUntil(
            Stream.flatMap(
              Agent.stream(agent, { prompt: "go", runId }),
              (part) => part.type === "text-delta" ? Stream.succeed(part.delta) : Stream.empty
            ),
            (delta) => delta === "two"
          )
          // each of them leaves the run, which goes on
          assert.deepStrictEqual(yield* Stream.runCollect(said), ["one ", "two"])
          assert.deepStrictEqual(yield* Stream.runCollect(said), ["one ", "two"])
          const live = yield* hub.get(runId)
          yield* live!.stop
          // one that has ended has its outcome
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "go", runId }))
          assert.strictEqual(showExit(exit), "Interrupted after \"one two\"")
        }))

      it.effect(`${wire}: approvals are answered once: approved, edited, denied, forged`, () =>
        Effect.gen(function*() {
          const asks = calls("asks")
          const { agent, log } = yield* remoteOf(wire, {
            name: "",
            providers: () => [],
            script: [asks, text("done"), asks, text("edited"), asks, text("denied")]
          })
          const go = Effect.fnUntraced(function*(
            session: string,
            answer: (approval: Approval.Approval) => Approval.Answer
          ) {
            const id = `${wire} ${session}`
            const asked = yield* Agent.run(agent, { prompt: "go", session: id })
            assert.strictEqual(asked.stopReason, "approval-required")
            const forged = asked.approvals.map((approval) =>
              Approval.approve({ ...approval, approvalId: "other", params: { n: 9 } })
            )
            const refused = yield* Effect.flip(Agent.resume(agent, { session: id }, forged))
            const answers = asked.approvals.map(answer)
            const { text } = yield* Agent.resume(agent, { session: id }, answers)
            const again = yield* Effect.flip(Agent.resume(agent, { session: id }, answers))
            return [text, ...[refused, again].map((error) => error._tag === "RunFailed" && error.code)]
          })
          const unknown = ["approval-unknown", "approval-unknown"]
          // what a client says about a call beside its parameters is not looked at
          assert.deepStrictEqual(
            yield* go("one", (_) => Approval.approve({ ..._, params: { n: 7 }, tool: "dies" })),
            ["done", ...unknown]
          )
          assert.deepStrictEqual(
            yield* go("two", (_) => Approval.approve(_, { params: { n: 5 } })),
            ["edited", ...unknown]
          )
          assert.deepStrictEqual(yield* go("three", (_) => Approval.deny(_, "no")), ["denied", ...unknown])
          assert.deepStrictEqual(log, ["asks 0 runs", "asks 5 runs"])
        }))
    }
  })
})

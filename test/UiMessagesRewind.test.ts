/** A message that is answered again or edited: what it replaces is forgotten when its run saves, and not before. */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Fiber, Layer, Schema } from "effect"
import { AiError, type Prompt, Tool, Toolkit } from "effect/ai"
import { WorkflowEngine } from "effect/workflow"
import { Durable, DurableHub, ExecutionStore } from "../src/durable/index.ts"
import {
  Agent,
  Budget,
  BudgetAccount,
  BudgetStore,
  ContextProvider,
  Guardrail,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import { RunHub, type UiMessages } from "../src/server/index.ts"
import { SqliteClient, SqliteSessionStore } from "../src/sqlite/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import * as ChatServer from "./fixtures/chatServer.ts"
import { Boom } from "./utils.ts"

const wordOf = (prompt: Prompt.Prompt): string => {
  const last = prompt.content.findLast(({ role }) => role === "user")
  return last?.role === "user" ? last.content.map((part) => part.type === "text" ? part.text : "").join("") : ""
}

const make = (keep: SessionHistory.Keep) => {
  const refusing = ContextProvider.make("refusing", {
    beforeRun: ({ prompt }) => wordOf(prompt) === "refused" ? Effect.fail(new Boom({ of: "refusing" })) : Effect.void
  })
  const guard = Guardrail.input(
    "word",
    ({ prompt }) => Effect.succeed(wordOf(prompt) === "tripped" ? Guardrail.trip("no") : Guardrail.pass)
  )
  const agent = Agent.make("agent", {
    providers: [refusing, SessionHistory.make({ keep })],
    middleware: [guard]
  })
  const overloaded = AiError.make({ module: "test", method: "run", reason: new AiError.RateLimitError({}) })
  const model = ScriptedModel.layer(Array.from({ length: 200 }, () =>
    ScriptedModel.step(({ prompt }) => {
      const word = wordOf(prompt)
      if (word === "fails") return [ScriptedModel.fail(overloaded)]
      if (word === "waits") return [ScriptedModel.text("partly "), ScriptedModel.hang]
      return [ScriptedModel.text(`${prompt.content.filter(({ role }) => role === "user").length} ${word}`)]
    })))
  return { agent, model }
}

const serve = (
  keep: SessionHistory.Keep,
  options?: UiMessages.Options<never, any>,
  grace = 0,
  store: Layer.Layer<SessionStore.SessionStore, unknown> = SessionStore.layerMemory
) => {
  const { agent, model } = make(keep)
  return Effect.gen(function*() {
    const services = Layer.mergeAll(store, model, RunHub.layer({ grace }))
    const server = yield* ChatServer.serve(agent, services, { reconnect: 0, ...options })
    const say = (id: string, text: string, trigger?: string) =>
      server.call("POST", "", {
        id: "c",
        trigger,
        messageId: id,
        messages: [{ id, role: "user", parts: [{ type: "text", text }] }]
      })
    const shown = Effect.map(server.messages("c"), (messages) => messages.map((message) => ChatServer.show(message)[0]))
    const stored = Effect.map(server.store.load("ann/c"), ({ history, version }) => [version, history.content.length])
    yield* say("a", "a")
    yield* say("b", "b")
    return { ...server, say, shown, stored }
  })
}

/** A message at a place, or after the last one, whose run completes, fails, or is refused. */
const Turn = Schema.Struct({
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 6 })),
  word: Schema.Literals(["ok", "fails", "refused", "tripped"])
})

const before = ["a", "1 a", "b", "2 b"]

const running = (hub: RunHub.RunHub["Service"]) =>
  Effect.eventually(Effect.filterOrFail(hub.running, (running) => running.length > 0))

const idle = (hub: RunHub.RunHub["Service"]) =>
  Effect.eventually(Effect.filterOrFail(hub.running, (running) => running.length === 0))

describe("UiMessages, a message that is replaced", () => {
  for (const message of ["a", "b"] as const) {
    for (const word of ["fails", "refused", "tripped", "waits, stopped", "waits, left"] as const) {
      it.live(`${message}: nothing is forgotten if its run saves nothing: ${word}`, () =>
        Effect.gen(function*() {
          const { call, hub, say, shown, stored } = yield* serve("completed")
          const text = word.split(",")[0]
          const sent = yield* Effect.forkChild(say(message, text, "regenerate-message"), { startImmediately: true })
          if (text === "waits") {
            yield* running(hub)
            // a page that is loaded meanwhile sees what will be there
            assert.deepStrictEqual(yield* shown, [...message === "b" ? ["a", "1 a"] : [], "waits"])
            if (word.endsWith("stopped")) yield* call("POST", "/c/stop")
            else yield* Fiber.interrupt(sent)
            yield* idle(hub)
          }
          yield* Fiber.await(sent)
          assert.deepStrictEqual(yield* shown, before)
          assert.deepStrictEqual(yield* stored, [2, 4])
          // and it can be replaced after all
          yield* say(message, "new")
          assert.deepStrictEqual(yield* shown, message === "a" ? ["new", "1 new"] : ["a", "1 a", "new", "2 new"])
          assert.deepStrictEqual(yield* stored, [3, message === "a" ? 2 : 4])
          yield* say("a", "again")
          assert.deepStrictEqual(yield* shown, ["again", "1 again"])
        }).pipe(Effect.scoped))
    }
  }

  it.live("a run that keeps what it has said replaces the message when it begins, unless it is refused", () =>
    Effect.gen(function*() {
      const { call, hub, say, shown } = yield* serve("always")
      for (const word of ["refused", "tripped"]) {
        yield* say("b", word)
        assert.deepStrictEqual(yield* shown, before)
      }
      const sent = yield* Effect.forkChild(say("b", "waits"), { startImmediately: true })
      yield* running(hub)
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "waits"])
      yield* call("POST", "/c/stop")
      yield* Fiber.join(sent)
      assert.deepStrictEqual((yield* shown).slice(0, 3), ["a", "1 a", "waits"])
      yield* say("b", "fails")
      assert.deepStrictEqual((yield* shown).slice(0, 3), ["a", "1 a", "fails"])
      yield* say("b", "new")
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "new", "2 new"])
    }).pipe(Effect.scoped))

  it.live("no run is stopped for a message that is not answered", () =>
    Effect.gen(function*() {
      const { hub, say, shown } = yield* serve("completed", { whenBusy: "replace" }, 60_000)
      const sent = yield* Effect.forkChild(say("c", "waits"), { startImmediately: true })
      const [run] = yield* running(hub)
      const closing = yield* Effect.forkChild(hub.close, { startImmediately: true })
      const refused = yield* say("b", "new")
      assert.deepStrictEqual([refused.status, refused.json().code], [503, "unavailable"])
      assert.deepStrictEqual((yield* hub.running).map(({ runId }) => runId), [run.runId])
      yield* run.stop
      yield* Fiber.join(closing)
      yield* Fiber.join(sent)
      assert.deepStrictEqual(yield* shown, before)
    }).pipe(Effect.scoped))

  it.live("a run that its page has left is not stopped for a message that is refused, and is for one that is not", () =>
    Effect.gen(function*() {
      const { call, hub, say, shown } = yield* serve("completed", { reconnect: 60_000 }, 60_000)
      const leave = Effect.gen(function*() {
        const sent = yield* Effect.forkChild(say("c", "waits"), { startImmediately: true })
        const [run] = yield* running(hub)
        yield* Fiber.interrupt(sent)
        yield* Effect.eventually(Effect.filterOrFail(run.isLeft, (isLeft) => isLeft))
        return run
      })
      const ids = Effect.map(hub.running, (running) => running.map(({ runId }) => runId))
      const left = yield* leave
      const known = { id: "a", role: "user", parts: [{ type: "text", text: "a" }] }
      const refused = yield* call("POST", "", { id: "c", message: known })
      assert.deepStrictEqual([refused.status, refused.json().code], [409, "message-exists"])
      assert.deepStrictEqual(yield* ids, [left.runId])
      yield* say("b", "new")
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "new", "2 new"])
      assert.deepStrictEqual(yield* ids, [])
      const again = yield* leave
      const closing = yield* Effect.forkChild(hub.close, { startImmediately: true })
      for (const message of ["a", "d"]) {
        const closed = yield* say(message, "late")
        assert.deepStrictEqual([closed.status, closed.json().code], [503, "unavailable"])
      }
      assert.deepStrictEqual(yield* ids, [again.runId])
      yield* again.stop
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "new", "2 new"])
    }).pipe(Effect.scoped))

  it.live("a run that is replaced may have saved before it stops", () =>
    Effect.gen(function*() {
      const { hub, say, shown } = yield* serve("always", { whenBusy: "replace" })
      const sent = yield* Effect.forkChild(say("c", "waits"), { startImmediately: true })
      yield* running(hub)
      yield* say("b", "new")
      yield* Fiber.join(sent)
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "new", "2 new"])
      // a new message comes after what was saved, and is replaced there
      const again = yield* Effect.forkChild(say("b", "waits"), { startImmediately: true })
      yield* running(hub)
      yield* say("d", "next")
      yield* Fiber.join(again)
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "waits", "partly ", "next", "3 next"])
      yield* say("d", "last")
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "waits", "partly ", "last", "3 last"])
    }).pipe(Effect.scoped))

  it.live("a message is not replaced while another run works on the conversation", () =>
    Effect.gen(function*() {
      for (const whenBusy of ["refuse", "start"] as const) {
        const { call, hub, say, shown } = yield* serve("completed", { whenBusy })
        const sent = yield* Effect.forkChild(say("c", "waits"), { startImmediately: true })
        yield* running(hub)
        const refused = yield* say("b", "new")
        assert.deepStrictEqual([refused.status, refused.json().code], [409, "session-in-use"])
        yield* call("POST", "/c/stop")
        yield* Fiber.join(sent)
        assert.deepStrictEqual(yield* shown, before)
      }
    }).pipe(Effect.scoped))

  for (
    const [name, store] of [
      ["memory", SessionStore.layerMemory],
      ["SQLite", Layer.provide(SqliteSessionStore.layer, SqliteClient.layer({ filename: ":memory:" }))]
    ] as const
  ) {
    it.live.prop(
      `any messages, new and replaced, of runs that save or do not, leave what was saved last (${name})`,
      { turns: Arbitrary.schema(Schema.Array(Turn).check(Schema.isMaxLength(12))) },
      ({ turns }) =>
        Effect.gen(function*() {
          const { say, shown } = yield* serve("completed", {}, 0, store)
          // the questions of the conversation by their ids
          let saved: ReadonlyArray<readonly [id: string, text: string]> = [["a", "a"], ["b", "b"]]
          for (const [index, { at, word }] of turns.entries()) {
            const place = Math.min(at, saved.length)
            const id = saved[place]?.[0] ?? `m${index}`
            const text = word === "ok" ? `ok${index}` : word
            yield* say(id, text)
            if (word === "ok") saved = [...saved.slice(0, place), [id, text]]
            const expected = saved.flatMap(([, text], index) => [text, `${index + 1} ${text}`])
            assert.deepStrictEqual(yield* shown, expected, JSON.stringify(turns))
          }
        }).pipe(Effect.scoped),
      { arbitrary: { runs: 4, seed: "replaced" } }
    )
  }

  for (const keep of ["completed", "every-step", "always"] as const) {
    it.live(`a budget that is used up before the run has saved leaves the conversation as it is (${keep})`, () =>
      Effect.gen(function*() {
        const Look = Tool.make("look", { success: Schema.String })
        const agent = Agent.make("agent", {
          toolkit: Toolkit.make(Look),
          providers: [SessionHistory.make({ keep })],
          middleware: [BudgetAccount.middleware, Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 1 })))]
        })
        const model = ScriptedModel.layer(Array.from({ length: 5 }, () =>
          ScriptedModel.step(({ prompt }) => [
            ScriptedModel.text(`about ${wordOf(prompt)}`),
            ...wordOf(prompt) === "spends" ? [ScriptedModel.toolCalls({ name: "look", params: {} })] : []
          ])))
        // for four runs, one of which has asked twice
        const account = BudgetAccount.layer(Budget.make({ modelCalls: 5 }), {
          id: "acme",
          refill: "1 day",
          refuse: "run"
        })
        const server = yield* ChatServer.serve(
          agent,
          Layer.mergeAll(
            SessionStore.layerMemory,
            model,
            Toolkit.make(Look).toLayer({ look: () => Effect.succeed("a view") }),
            Layer.provide(account, BudgetStore.layerMemory)
          )
        )
        const say = (id: string, text: string) =>
          server.call("POST", "", {
            id: "c",
            messageId: id,
            messages: [{ id, role: "user", parts: [{ type: "text", text }] }]
          })
        const shown = Effect.map(server.messages("c"), (messages) => messages.map((each) => ChatServer.show(each)[0]))
        yield* say("a", "a")
        yield* say("b", "b")
        const before = ["a", "about a", "b", "about b"]
        // what has saved its first step has replaced the message
        const spent = yield* say("b", "spends")
        assert.include(spent.text, "budget-exceeded")
        assert.deepStrictEqual(
          yield* shown,
          keep === "completed" ? before : ["a", "about a", "spends", "about spends"]
        )
        yield* say("b", "b")
        assert.deepStrictEqual(yield* shown, before)
        for (const message of ["a", "b"]) {
          const refused = yield* say(message, "late")
          assert.deepStrictEqual([refused.status, refused.json().code], [429, "budget-exceeded"])
          assert.deepStrictEqual(yield* shown, before)
        }
      }).pipe(Effect.scoped))
  }

  it.live("of a durable agent: its execution takes the place of the message with it", () =>
    Effect.gen(function*() {
      const { agent, model } = make("completed")
      const durable = Durable.make(agent, { version: 1, failure: Schema.Union([Boom, Guardrail.GuardrailTripped]) })
      const engine = Layer.merge(WorkflowEngine.layerMemory, ExecutionStore.layerMemory)
      const stores = Layer.merge(SessionStore.layerMemory, model)
      const services = Layer.provideMerge(Durable.layer(durable), Layer.merge(engine, stores))
      const hub = RunHub.layer({ grace: 0 })
      const server = yield* ChatServer.serve(DurableHub.agent(durable), Layer.merge(services, hub))
      const say = (id: string, text: string) =>
        server.call("POST", "", {
          id: "c",
          messageId: id,
          messages: [{ id, role: "user", parts: [{ type: "text", text }] }]
        })
      const shown = Effect.map(server.messages("c"), (messages) => messages.map((each) => ChatServer.show(each)[0]))
      yield* say("a", "a")
      yield* say("b", "b")
      yield* say("b", "fails")
      assert.deepStrictEqual(yield* shown, before)
      yield* say("b", "new")
      assert.deepStrictEqual(yield* shown, ["a", "1 a", "new", "2 new"])
    }).pipe(Effect.scoped))
})

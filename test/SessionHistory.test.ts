import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Logger, Schema, Stream } from "effect"
import { AiError, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { spawn } from "node:child_process"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Agent, AgentRun, Approval, ContextProvider, Session, SessionHistory, SessionStore } from "../src/index.ts"
import { SqliteSessionStore } from "../src/sqlite/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"
import { bundled } from "./fixtures/bundled.ts"

const { fail, layer: script, step, text, toolCalls } = ScriptedModel

const Note = Tool.make("note", { parameters: Schema.Struct({ text: Schema.String }), success: Schema.String })
const toolkit = Toolkit.make(Note)
const Notes = toolkit.toLayer({ note: ({ text }) => Effect.succeed(`noted ${text}`) })

const agent = Agent.make("scribe", { toolkit, providers: [SessionHistory.provider] })
const everyStep = Agent.make("scribe", { toolkit, providers: [SessionHistory.providerEveryStep] })

const overloaded = AiError.make({ module: "test", method: "test", reason: new AiError.RateLimitError({}) })

/** The messages in short: `user: hi`, `assistant: call note`, `tool: noted hi`. */
const brief = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<string> =>
  messages.map((message) => {
    if (typeof message.content === "string") return `${message.role}: ${message.content}`
    const parts = message.content.map((part) =>
      part.type === "text"
        ? part.text
        : part.type === "tool-call"
        ? `call ${part.name}`
        : part.type === "tool-result"
        ? String(part.result)
        : part.type
    )
    return `${message.role}: ${parts.join(", ")}`
  })

const stored = (id: string) =>
  Effect.map(
    Effect.flatMap(SessionStore.SessionStore, (store) => store.load(id)),
    (session) => ({ version: session.version, history: brief(session.history.content) })
  )

const nothing = { version: 0, history: [] }

describe("SessionHistory", () => {
  describe("provider", () => {
    it.effect("gives a second run what the first one said, and stores both", () =>
      Effect.gen(function*() {
        yield* Agent.run(agent, { prompt: "I am Ada", session: "s" })
        const result = yield* Agent.run(agent, { prompt: "who am I?", session: "s" })
        assert.deepStrictEqual(brief(result.transcript.content), ["user: who am I?", "assistant: Ada"])

        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual((yield* requests).map(({ prompt }) => brief(prompt.content)), [
          ["user: I am Ada"],
          ["user: I am Ada", "assistant: hello Ada", "user: who am I?"]
        ])
        assert.deepStrictEqual(yield* stored("s"), {
          version: 2,
          history: ["user: I am Ada", "assistant: hello Ada", "user: who am I?", "assistant: Ada"]
        })
      }).pipe(Effect.provide([script([text("hello Ada"), text("Ada")]), SessionStore.layerMemory, Notes])))

    it.effect("stores nothing for a run without a session", () =>
      Effect.gen(function*() {
        const result = yield* Agent.run(agent, { prompt: "hi" })
        assert.strictEqual(result.session, undefined)
        assert.deepStrictEqual(yield* stored("undefined"), nothing)
      }).pipe(Effect.provide([script([text("hello")]), SessionStore.layerMemory, Notes])))

    it.effect("stores nothing when the run fails, is interrupted, or is left early", () =>
      Effect.gen(function*() {
        const input = { prompt: "hi", session: "s" }
        const failed = yield* Effect.exit(Agent.run(agent, input))
        assert.strictEqual(Exit.isFailure(failed) && Cause.squash(failed.cause), overloaded)

        const started = yield* Deferred.make<void>()
        const running = yield* Agent.stream(agent, input).pipe(
          Stream.tap((part) => part.type === "text-delta" ? Deferred.succeed(started, undefined) : Effect.void),
          Stream.runDrain,
          Effect.forkChild
        )
        yield* Deferred.await(started)
        yield* Fiber.interrupt(running)

        yield* Agent.stream(agent, input).pipe(
          Stream.takeUntil((part) => part.type === "tool-result"),
          Stream.runDrain
        )
        assert.deepStrictEqual(yield* stored("s"), nothing)

        // none of them still holds the session
        yield* Agent.run(agent, input)
        assert.deepStrictEqual(yield* stored("s"), { version: 1, history: ["user: hi", "assistant: done"] })
      }).pipe(Effect.provide([
        script([
          step(text(["a", "b", "c"]), fail(overloaded)),
          step(text("a"), ScriptedModel.hang),
          toolCalls({ name: "note", params: { text: "x" } }),
          text("done")
        ]),
        SessionStore.layerMemory,
        Notes
      ])))

    it.effect("saves after every other provider, and not when one of them failed", () =>
      Effect.gen(function*() {
        const order: Array<string> = []
        const seen = (name: string, fails: boolean) =>
          ContextProvider.make(name, {
            beforeRun: () => Effect.void,
            afterRun: () =>
              Effect.gen(function*() {
                const { version } = yield* stored("s")
                order.push(`${name} ${version}`)
                return yield* fails ? Effect.fail("no") : Effect.void
              })
          })
        const input = { prompt: "hi", session: "s" }
        const good = Agent.make("x", { providers: [seen("a", false), SessionHistory.provider, seen("b", false)] })
        yield* Agent.run(good, input)
        assert.deepStrictEqual(order, ["b 0", "a 0"])
        assert.strictEqual((yield* stored("s")).version, 1)

        const bad = Agent.make("x", { providers: [seen("a", true), SessionHistory.provider, seen("b", false)] })
        const error = yield* Effect.flip(Agent.run(bad, input))
        assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "AfterRunFailed")
        assert.deepStrictEqual(order, ["b 0", "a 0", "b 1", "a 1"])
        assert.strictEqual((yield* stored("s")).version, 1)
      }).pipe(Effect.provide([script([text("one"), text("two")]), SessionStore.layerMemory])))

    it.effect("lets runs on one session follow each other, and runs on others pass", () =>
      Effect.gen(function*() {
        const gate = yield* Deferred.make<void>()
        const order: Array<string> = []
        const waits = ContextProvider.make("waits", {
          beforeRun: (request) =>
            Effect.gen(function*() {
              order.push(`${brief(request.prompt.content)[0]} starts`)
              yield* AgentRun.addFinalizer(() =>
                Effect.sync(() => order.push(`${brief(request.prompt.content)[0]} ends`))
              )
              if (request.prompt.content.length === 1 && order.length === 1) yield* Deferred.await(gate)
            })
        })
        const slow = Agent.make("x", { providers: [SessionHistory.provider, waits] })
        const first = yield* Effect.forkChild(Agent.run(slow, { prompt: "1", session: "s" }), {
          startImmediately: true
        })
        const second = yield* Effect.forkChild(Agent.run(slow, { prompt: "2", session: "s" }), {
          startImmediately: true
        })
        yield* Agent.run(slow, { prompt: "other", session: "t" })
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.join(first)
        yield* Fiber.join(second)
        assert.deepStrictEqual(order, [
          "user: 1 starts",
          "user: other starts",
          "user: other ends",
          "user: 1 ends",
          "user: 2 starts",
          "user: 2 ends"
        ])
        assert.deepStrictEqual(yield* stored("s"), {
          version: 2,
          history: ["user: 1", "assistant: ok", "user: 2", "assistant: ok"]
        })
      }).pipe(Effect.provide([script([text("ok"), text("ok"), text("ok")]), SessionStore.layerMemory])))

    it.effect("a waiting run can be interrupted, and holds nothing then", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        yield* Effect.scoped(Effect.gen(function*() {
          yield* store.serialize("s")
          const waiting = yield* Effect.forkChild(Agent.run(agent, { prompt: "hi", session: "s" }), {
            startImmediately: true
          })
          const exit = yield* Effect.andThen(Fiber.interrupt(waiting), Fiber.await(waiting))
          assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
        }))
        yield* Agent.run(agent, { prompt: "hi", session: "s" })
        assert.strictEqual((yield* stored("s")).version, 1)
      }).pipe(Effect.provide([script([text("ok")]), SessionStore.layerMemory, Notes])))

    it.effect("a save that somebody else was faster with fails the run, and the error has the result", () =>
      Effect.gen(function*() {
        const filename = join(mkdtempSync(join(tmpdir(), "effect-agents-")), "sessions.sqlite")
        yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(join(filename, ".."), { recursive: true })))
        const Store = SqliteSessionStore.layerFile({ filename })
        // a store of its own connection stands for the other process
        const save = Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          yield* store.save(yield* store.load("s"), { append: [] })
        }).pipe(Effect.provide(Layer.fresh(Store)))
        const other = ContextProvider.make("other", { beforeRun: () => Effect.void, afterRun: () => save })
        const racing = Agent.make("x", { providers: [SessionHistory.provider, other] })
        const outcome = yield* Effect.gen(function*() {
          const exit = yield* Effect.exit(Agent.run(racing, { prompt: "hi", session: "s" }))
          return { exit, stored: yield* stored("s") }
        }).pipe(Effect.provide(Store))
        assert.deepStrictEqual(outcome.stored, { version: 1, history: [] })
        const error = Exit.isFailure(outcome.exit) ? Cause.squash(outcome.exit.cause) : undefined
        assert(error instanceof Session.SessionError)
        assert.strictEqual(error.result?.text, "paid for")
        assert.deepStrictEqual(error.reason, new Session.SessionConflict({ expectedVersion: 0, actualVersion: 1 }))
      }).pipe(Effect.provide(script([text("paid for")]))))

    it.effect("closes a history that another program has left open", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const open = yield* Agent.stream(agent, { prompt: "note it" }).pipe(
          Stream.runCollect,
          Effect.map((parts) => parts.at(-1))
        )
        const transcript = open?.type === "run-end" ? open.result.transcript.content : []
        yield* store.save(Session.empty("s"), { append: transcript.slice(0, 2) })
        yield* Agent.run(agent, { prompt: "go on", session: "s" })
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual(brief((yield* requests).at(-1)!.prompt.content), [
          "user: note it",
          "assistant: call note",
          "tool: [object Object]",
          "user: go on"
        ])
      }).pipe(Effect.provide([
        script([toolCalls({ name: "note", params: { text: "x" } }), text("done"), text("on")]),
        SessionStore.layerMemory,
        Notes
      ])))
  })

  describe("providerEveryStep", () => {
    it.effect("has stored the finished steps before the model is called again, closed, also if the run then fails", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Agent.run(everyStep, { prompt: "go", session: "s" }))
        assert.isTrue(Exit.isFailure(exit))
        assert.deepStrictEqual(yield* stored("s"), {
          version: 2,
          history: [
            "user: go",
            "assistant: call note",
            "tool: noted a",
            "assistant: call note",
            "tool: noted b"
          ]
        })
        yield* Agent.run(everyStep, { prompt: "again", session: "s" })
        assert.deepStrictEqual((yield* stored("s")).history.slice(5), ["user: again", "assistant: done"])
      }).pipe(Effect.provide([
        script([
          toolCalls({ name: "note", params: { text: "a" } }),
          toolCalls({ name: "note", params: { text: "b" } }),
          step(text("x"), fail(overloaded)),
          text("done")
        ]),
        SessionStore.layerMemory,
        Notes
      ])))

    it.effect("stores a completed run as `provider` does", () =>
      Effect.gen(function*() {
        yield* Agent.run(everyStep, { prompt: "go", session: "s" })
        assert.deepStrictEqual(yield* stored("s"), {
          version: 2,
          history: ["user: go", "assistant: call note", "tool: noted a", "assistant: done"]
        })
      }).pipe(Effect.provide([
        script([toolCalls({ name: "note", params: { text: "a" } }), text("done")]),
        SessionStore.layerMemory,
        Notes
      ])))
  })

  describe("make", () => {
    const slow = Tool.make("slow", { success: Schema.String })
    const both = Toolkit.make(Note, slow)
    const always = Agent.make("scribe", { toolkit: both, providers: [SessionHistory.make({ keep: "always" })] })
    const cutShort = (marked: ReadonlyArray<Prompt.Message>) => marked.map(AgentRun.isCut)
    /** The first step notes `x`; in the second one, a note is written and a tool does not end. */
    const twoCalls = [
      toolCalls({ name: "note", params: { text: "x" } }),
      step(text(["Let me ", "see"]), toolCalls({ name: "note", params: { text: "y" } }, { name: "slow", params: {} })),
      text("on")
    ]
    const kept = [
      "user: go",
      "assistant: call note",
      "tool: noted x",
      "assistant: Let me see, call note, call slow",
      "tool: noted y, [object Object]"
    ]
    const input = { prompt: "go", session: "s" }
    const isNoted = (part: AgentRun.Part) => part.type === "tool-result" && part.encodedResult === "noted y"
    const never = both.toLayer({ note: ({ text }) => Effect.succeed(`noted ${text}`), slow: () => Effect.never })
    const fails = both.toLayer({
      note: ({ text }) => Effect.succeed(`noted ${text}`),
      slow: () => Effect.andThen(Effect.yieldNow, Effect.die("broken"))
    })

    const isKept = Effect.gen(function*() {
      const { history } = yield* (yield* SessionStore.SessionStore).load("s")
      assert.deepStrictEqual(brief(history.content), kept)
      assert.deepStrictEqual(cutShort(history.content), [false, false, false, true, true])
      const last = history.content[4]
      assert.deepStrictEqual(
        last.role === "tool" && last.content[1],
        Session.interruptedResult({
          id: last.role === "tool" && last.content[1].type === "tool-result" ? last.content[1].id : "",
          name: "slow"
        })
      )
      // the mark survives JSON, and the model sees a conversation like any other
      const codec = Schema.toCodecJson(Session.Session)
      const session = yield* (yield* SessionStore.SessionStore).load("s")
      const back = yield* Schema.decodeEffect(codec)(
        JSON.parse(JSON.stringify(yield* Schema.encodeEffect(codec)(session)))
      )
      assert.deepStrictEqual(cutShort(back.history.content), [false, false, false, true, true])
      yield* Agent.run(always, { prompt: "go on", session: "s" })
      const requests = yield* (yield* ScriptedModel.ScriptedModel).requests
      assert.deepStrictEqual(brief(requests.at(-1)!.prompt.content), [...kept, "user: go on"])
    })

    it.effect("`always` keeps the step that an interrupted run was in, closed and marked", () =>
      Effect.gen(function*() {
        const noted = yield* Deferred.make<void>()
        const running = yield* Agent.stream(always, input).pipe(
          Stream.tap((part) => isNoted(part) ? Deferred.succeed(noted, undefined) : Effect.void),
          Stream.runDrain,
          Effect.forkChild
        )
        yield* Deferred.await(noted)
        yield* Fiber.interrupt(running)
        yield* isKept
      }).pipe(Effect.provide([script(twoCalls), SessionStore.layerMemory, never])))

    it.effect("`always` keeps the step that an abandoned run was in", () =>
      Effect.gen(function*() {
        yield* Agent.stream(always, input).pipe(Stream.takeUntil(isNoted), Stream.runDrain)
        yield* isKept
      }).pipe(Effect.provide([script(twoCalls), SessionStore.layerMemory, never])))

    it.effect("`always` keeps the step that a failed run was in, and its `partial` has it too", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Agent.run(always, input))
        const outcome = AgentRun.outcome(exit)
        assert.deepStrictEqual(outcome._tag === "Failed" && brief(outcome.partial.transcript.content), kept)
        yield* isKept
      }).pipe(Effect.provide([script(twoCalls), SessionStore.layerMemory, fails])))

    it.effect("`always` stores a completed run as `completed` does", () =>
      Effect.gen(function*() {
        yield* Agent.run(always, input)
        assert.deepStrictEqual(yield* stored("s"), {
          version: 3,
          history: ["user: go", "assistant: call note", "tool: noted x", "assistant: done"]
        })
        const { history } = yield* (yield* SessionStore.SessionStore).load("s")
        assert.deepStrictEqual(cutShort(history.content), [false, false, false, false])
      }).pipe(Effect.provide([
        script([toolCalls({ name: "note", params: { text: "x" } }), text("done")]),
        SessionStore.layerMemory,
        never
      ])))

    it.effect("`always` keeps the prompt when the run starts", () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        yield* Agent.stream(always, input).pipe(
          Stream.tap((part) =>
            part.type === "run-start" ? Effect.map(stored("s"), (stored) => seen.push(stored)) : Effect.void
          ),
          Stream.runDrain
        )
        assert.deepStrictEqual(seen, [{ version: 1, history: ["user: go"] }])
      }).pipe(Effect.provide([script([text("done")]), SessionStore.layerMemory, never])))

    it.effect("a text that is cut is kept without what its provider says of it", () =>
      Effect.gen(function*() {
        const model = script([step(
          ScriptedModel.parts([
            { type: "reasoning-start", id: "r", metadata: { test: { id: "rs" } } },
            { type: "reasoning-delta", id: "r", delta: "hm" },
            { type: "reasoning-end", id: "r" },
            { type: "text-start", id: "t", metadata: { test: { id: "msg" } } },
            { type: "text-delta", id: "t", delta: "half an ans" }
          ]),
          fail(overloaded)
        )])
        yield* Effect.exit(Effect.provide(Agent.run(always, input), model))
        const { history } = yield* (yield* SessionStore.SessionStore).load("s")
        assert.deepStrictEqual(brief(history.content), ["user: go", "assistant: half an ans"])
        const last = history.content[1]
        assert.deepStrictEqual(last.role === "assistant" && last.content.map(({ options }) => options), [{}])
      }).pipe(Effect.provide([SessionStore.layerMemory, never])))

    it.effect("a save of a cut run that fails is recorded, and the run ends as it would have", () =>
      Effect.gen(function*() {
        const other = Effect.gen(function*() {
          const store = yield* SessionStore.SessionStore
          yield* store.save(yield* store.load("s"), { append: [] })
        })
        const logged: Array<unknown> = []
        const logger = Logger.make(({ message }) => void logged.push(message))
        const exit = yield* Agent.stream(always, input).pipe(
          Stream.tap((part) => part.type === "text-delta" ? other : Effect.void),
          Stream.runDrain,
          Effect.exit,
          Effect.provide(Logger.layer([logger]))
        )
        assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), overloaded)
        assert.deepStrictEqual((logged[0] as ReadonlyArray<unknown>)[0], "The finalizer of `session-history` failed")
        assert.deepStrictEqual(yield* stored("s"), { version: 2, history: ["user: go"] })
      }).pipe(Effect.provide([
        script([step(text("half"), fail(overloaded))]),
        SessionStore.layerMemory,
        never
      ])))

    it.effect("a save that hangs ends with the budget of the finalizer, and the session is free then", () =>
      Effect.gen(function*() {
        const inner = yield* SessionStore.SessionStore
        let hangs = false
        const hanging = SessionStore.SessionStore.of({
          ...inner,
          save: (session, change) => hangs ? Effect.never : inner.save(session, change)
        })
        const running = yield* Agent.stream(always, input).pipe(
          Stream.tap((part) => Effect.sync(() => void (hangs = part.type === "text-delta" || hangs))),
          Stream.runDrain,
          Effect.exit,
          Effect.provideService(SessionStore.SessionStore, hanging),
          Effect.provide(Logger.layer([])),
          Effect.forkChild({ startImmediately: true })
        )
        yield* TestClock.adjust("10 seconds")
        const exit = yield* Fiber.join(running)
        assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), overloaded)
        yield* Agent.run(always, { prompt: "again", session: "s" })
        assert.deepStrictEqual((yield* stored("s")).history, ["user: go", "user: again", "assistant: ok"])
      }).pipe(Effect.provide([
        script([step(text("half"), fail(overloaded)), text("ok")]),
        SessionStore.layerMemory,
        never
      ])))
  })

  describe("Agent.continue", () => {
    const reminding = ContextProvider.make("reminding", {
      beforeRun: () =>
        Effect.succeed({ messages: [Prompt.userMessage({ content: [Prompt.textPart({ text: "be brief" })] })] })
    })

    const reasonOf = (id: string) =>
      Effect.map(
        Effect.flip(Agent.continue(everyStep, { session: id })),
        (error) => error._tag === "AgentError" && error.reason._tag === "NothingToContinue" && error.reason.description
      )

    it.effect("answers the last message of a session, and keeps what came of it", () =>
      Effect.gen(function*() {
        yield* Effect.exit(Agent.run(everyStep, { prompt: "go", session: "s" }))
        const result = yield* Agent.continue(everyStep, { session: "s" })
        assert.deepStrictEqual(brief(result.transcript.content), ["assistant: done"])
        assert.deepStrictEqual((yield* stored("s")).history, [
          "user: go",
          "assistant: call note",
          "tool: noted a",
          "assistant: done"
        ])
        assert.strictEqual(yield* reasonOf("s"), "the last message of the conversation is an answer")
        assert.strictEqual(yield* reasonOf("unknown"), "the conversation has no messages")
      }).pipe(Effect.provide([
        script([toolCalls({ name: "note", params: { text: "a" } }), fail(overloaded), text("done")]),
        SessionStore.layerMemory,
        Notes
      ])))

    it.effect("answers again what was cut, and does not send what there was of it", () =>
      Effect.gen(function*() {
        const always = Agent.make("scribe", {
          toolkit,
          providers: [SessionHistory.make({ keep: "always" }), reminding]
        })
        yield* Effect.exit(Agent.run(always, { prompt: "go", session: "s" }))
        // cut once more
        yield* Effect.exit(Agent.continue(always, { session: "s" }))
        const result = yield* Agent.continue(always, { session: "s" })
        assert.strictEqual(result.text, "whole")
        const { requests } = yield* ScriptedModel.ScriptedModel
        const step = ["user: be brief", "user: go", "assistant: call note", "tool: noted a"]
        assert.deepStrictEqual((yield* requests).slice(-2).map(({ prompt }) => brief(prompt.content)), [step, step])
        assert.deepStrictEqual((yield* stored("s")).history, [
          ...step.slice(1),
          "assistant: ha",
          "assistant: hal",
          "assistant: whole"
        ])
        const error = yield* Effect.flip(Agent.continue(always, { session: "s" }))
        // what another provider contributes behind the session is none of its messages
        assert.include(String(error), "the last message of the conversation is an answer")
      }).pipe(Effect.provide([
        script([
          toolCalls({ name: "note", params: { text: "a" } }),
          step(text("ha"), fail(overloaded)),
          step(text("hal"), fail(overloaded)),
          text("whole")
        ]),
        SessionStore.layerMemory,
        Notes
      ])))

    it.effect("does not go on where approvals are waited for, and does not end them", () =>
      Effect.gen(function*() {
        const careful = Toolkit.make(Tool.make("pay", { success: Schema.String, needsApproval: true }))
        const payer = Agent.make("payer", { toolkit: careful, providers: [SessionHistory.provider] })
        yield* Effect.gen(function*() {
          const { approvals } = yield* Agent.run(payer, { prompt: "pay", session: "s" })
          const error = yield* Effect.flip(Agent.continue(payer, { session: "s" }))
          assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "NothingToContinue")
          const paid = yield* Agent.resume(payer, { session: "s" }, approvals.map((one) => Approval.approve(one)))
          assert.strictEqual(paid.text, "done")
        }).pipe(Effect.provide(careful.toLayer({ pay: () => Effect.succeed("paid") })))
      }).pipe(Effect.provide([
        script([toolCalls({ name: "pay", params: {} }), text("done")]),
        SessionStore.layerMemory
      ])))
  })

  describe("a process that is killed in its second step", () => {
    const fixture = bundled("./historyProcess.ts")
    const firstStep = ["user: go", "assistant: call note", "tool: noted"]
    const keeps = { completed: [], "every-step": firstStep, always: firstStep }

    for (const [keep, expected] of Object.entries(keeps)) {
      it.live(`keeps the finished one on SQLite as \`${keep}\` says, and the session goes on`, () =>
        Effect.gen(function*() {
          const folder = mkdtempSync(join(tmpdir(), "effect-agents-"))
          yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
          const filename = join(folder, "sessions.sqlite")
          const program = yield* Effect.promise(() => fixture)
          yield* Effect.promise(() =>
            new Promise<void>((resolve) => {
              const child = spawn(process.execPath, [program, filename, keep], { stdio: ["ignore", "pipe", "inherit"] })
              child.stdout.once("data", () => child.kill("SIGKILL"))
              child.once("exit", () => resolve())
            })
          )
          yield* Effect.gen(function*() {
            assert.deepStrictEqual((yield* stored("s")).history, expected)
            if (expected.length === 0) return
            const result = yield* Agent.continue(everyStep, { session: "s" })
            assert.strictEqual(result.text, "done")
          }).pipe(Effect.provide([SqliteSessionStore.layerFile({ filename }), script([text("done")]), Notes]))
        }))
    }
  })
})

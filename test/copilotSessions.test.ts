import { assert, describe, layer } from "@effect/vitest"
import { Effect, Exit, Stream } from "effect"
import { Prompt } from "effect/ai"
import * as CopilotAgent from "../src/copilot/CopilotAgent.ts"
import * as CopilotRuntime from "../src/copilot/CopilotRuntime.ts"
import { Agent, ContextProvider, SessionHistory, SessionStore } from "../src/index.ts"
import * as Copilot from "./fixtures/copilot.ts"
import { Boom, type Log, logged, showCause, showExit, showPrompt } from "./utils.ts"

layer(Copilot.runtime)("CopilotAgent", (it) => {
  describe("sessions", () => {
    it.effect("are gone on with by their id", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"))
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        yield* Agent.run(agent, { prompt: "first", session: "goes-on" })
        yield* Agent.run(agent, { prompt: "second", session: "goes-on" })
        assert.deepStrictEqual(Copilot.conversation(server.requests[1]), [
          "user: first",
          "assistant: one",
          "user: second"
        ])
      }))

    it.effect("follow each other when two runs have one", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"))
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const run = (prompt: string) => Agent.run(agent, { prompt, session: "at-once" })
        yield* Effect.all([run("first"), run("second")], { concurrency: 2 })
        assert.deepStrictEqual(Copilot.conversation(server.requests[1]), [
          "user: first",
          "assistant: one",
          "user: second"
        ])
      }))

    it.effect("that the runtime does not know are a typed failure of an agent that begins none", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer()
        const agent = CopilotAgent.make("copilot", {
          ...Copilot.base(server),
          sessions: "existing",
          providers: [logged("p", log)]
        })
        const message = yield* Agent.run(agent, { prompt: "hi", session: "nobody-knows" }).pipe(
          Effect.catchReason("CopilotError", "SessionNotFound", (reason) => Effect.succeed(reason.message))
        )
        assert.strictEqual(message, "the Copilot runtime has no session `nobody-knows`")
        assert.deepStrictEqual(log, ["p before", "p end: Failed Fail CopilotError.SessionNotFound after \"\""])
        assert.lengthOf(server.requests, 0)
      }))

    it.effect("with an id that the runtime does not accept are a typed failure", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer()
        const exit = yield* Effect.exit(
          Agent.run(CopilotAgent.make("copilot", Copilot.base(server)), { prompt: "hi", session: "a b/../c" })
        )
        assert.strictEqual(Exit.isFailure(exit) && showCause(exit.cause), "Fail CopilotError.RequestRejected")
      }))

    it.effect("leave nothing behind when a run has none", () =>
      Effect.gen(function*() {
        const folder = yield* Copilot.temporaryFolder
        const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"))
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const kept = yield* Effect.gen(function*() {
          yield* Agent.run(agent, { prompt: "canary without" })
          yield* Agent.run(agent, { prompt: "canary within", session: "kept" })
          return {
            without: yield* Copilot.filesWith(folder, "canary without"),
            within: yield* Copilot.filesWith(folder, "canary within")
          }
        }).pipe(Effect.provide(CopilotRuntime.layer(Copilot.optionsIn(folder))))
        assert.deepStrictEqual(kept.without, [])
        assert.isNotEmpty(kept.within)
      }))

    it.effect("have nothing of a run that did not complete", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(
          Copilot.text("one"),
          Copilot.breaking("tw"),
          Copilot.hanging("thr"),
          Copilot.text("four")
        )
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const ask = (prompt: string) => Agent.stream(agent, { prompt, session: "uncommitted" })
        yield* Stream.runDrain(ask("first"))
        yield* Effect.exit(Stream.runDrain(ask("second")))
        yield* Stream.runDrain(Stream.takeUntil(ask("third"), (part) => part.type === "text-delta"))
        yield* Stream.runDrain(ask("fourth"))
        assert.deepStrictEqual(Copilot.conversation(server.requests[3]), [
          "user: first",
          "assistant: one",
          "user: fourth"
        ])
      }))

    describe("with SessionHistory", () => {
      const remembering = (
        server: Copilot.ModelServer,
        ...others: ReadonlyArray<ContextProvider.ContextProvider<Boom>>
      ) => CopilotAgent.make("copilot", { ...Copilot.base(server), providers: [SessionHistory.provider, ...others] })

      it.effect("save the transcript, and are gone on with without telling it again", () =>
        Effect.gen(function*() {
          const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"))
          const agent = remembering(server)
          yield* Agent.run(agent, { prompt: "first", session: "saved" })
          yield* Agent.run(agent, { prompt: "second", session: "saved" })
          const { history, version } = yield* (yield* SessionStore.SessionStore).load("saved")
          assert.strictEqual(version, 2)
          assert.deepStrictEqual(showPrompt(history), [
            "user: first",
            "assistant: one",
            "user: second",
            "assistant: two"
          ])
          assert.deepStrictEqual(Copilot.conversation(server.requests[1]), [
            "user: first",
            "assistant: one",
            "user: second"
          ])
        }).pipe(Effect.provide(SessionStore.layerMemory)))

      it.effect("are told what another agent has said meanwhile", () =>
        Effect.gen(function*() {
          const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"))
          const agent = remembering(server)
          const store = yield* SessionStore.SessionStore
          yield* Agent.run(agent, { prompt: "first", session: "shared" })
          const session = yield* store.load("shared")
          yield* store.save(session, {
            append: Prompt.make([
              { role: "user", content: "and elsewhere?" },
              { role: "assistant", content: "elsewhere too" }
            ]).content
          })
          yield* Agent.run(agent, { prompt: "second", session: "shared" })
          assert.deepStrictEqual(Copilot.conversation(server.requests[1]), [
            "user: first",
            "assistant: one",
            "user: <conversation>\nuser: and elsewhere?\nassistant: elsewhere too\n</conversation>\n\nsecond"
          ])
        }).pipe(Effect.provide(SessionStore.layerMemory)))

      it.effect("go back to what was saved when the runtime has more", () =>
        Effect.gen(function*() {
          const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("lost"), Copilot.text("two"))
          const agent = remembering(server)
          yield* Agent.run(agent, { prompt: "first", session: "ahead" })
          // the same session of the runtime, and nobody saves
          yield* Agent.run(CopilotAgent.make("other", Copilot.base(server)), { prompt: "unsaved", session: "ahead" })
          yield* Agent.run(agent, { prompt: "second", session: "ahead" })
          assert.deepStrictEqual(Copilot.conversation(server.requests[2]), [
            "user: first",
            "assistant: one",
            "user: second"
          ])
        }).pipe(Effect.provide(SessionStore.layerMemory)))

      it.effect("have nothing of a run whose afterRun failed, here and with the runtime", () =>
        Effect.gen(function*() {
          const log: Log = []
          const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"))
          const failing = logged("p", log, { afterRun: Effect.fail("no") })
          const exit = yield* Effect.exit(
            Agent.run(remembering(server, failing), { prompt: "first", session: "unpaid" })
          )
          assert.strictEqual(showExit(exit), "Failed Fail AgentError.AfterRunFailed(p) after \"one\"")
          yield* Agent.run(remembering(server), { prompt: "second", session: "unpaid" })
          assert.deepStrictEqual(Copilot.conversation(server.requests[1]), ["user: second"])
        }).pipe(Effect.provide(SessionStore.layerMemory)))

      it.effect("have each step that the consumer has seen end, also the last one of a run left there", () =>
        Effect.gen(function*() {
          const server = yield* Copilot.modelServer(
            Copilot.calls(["a", "nope", {}]),
            Copilot.text("one"),
            Copilot.text("two")
          )
          const store = yield* SessionStore.SessionStore
          const agent = CopilotAgent.make("copilot", {
            ...Copilot.base(server),
            providers: [SessionHistory.providerEveryStep]
          })
          const saved: Array<number> = []
          yield* Agent.stream(agent, { prompt: "first", session: "left" }).pipe(
            Stream.filter((part) => part.type === "step-end"),
            Stream.tap(() => Effect.map(store.load("left"), ({ history }) => saved.push(history.content.length))),
            Stream.take(2),
            Stream.runDrain
          )
          assert.deepStrictEqual(saved, [2, 3])
          // the runtime has taken back what the run has said, and is told it in words
          yield* Agent.run(agent, { prompt: "second", session: "left" })
          const [told, ...rest] = Copilot.conversation(server.requests[2])
          assert.deepStrictEqual(rest, [])
          assert.match(told, /^user: <conversation>\nuser: first\n.*assistant: one\n<\/conversation>\n\nsecond$/s)
        }).pipe(Effect.provide(SessionStore.layerMemory)))

      it.effect("are told again what was saved by a run that then failed", () =>
        Effect.gen(function*() {
          const log: Log = []
          const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"), Copilot.text("three"))
          const agentOf = (...others: ReadonlyArray<ContextProvider.ContextProvider<Boom>>) =>
            CopilotAgent.make("copilot", {
              ...Copilot.base(server),
              providers: [SessionHistory.providerEveryStep, ...others]
            })
          const run = (agent: ReturnType<typeof agentOf>, prompt: string) =>
            Effect.exit(Agent.run(agent, { prompt, session: "failed-late" }))
          yield* run(agentOf(), "first")
          yield* run(agentOf(logged("p", log, { afterRun: Effect.fail("no") })), "second")
          yield* run(agentOf(), "third")
          assert.deepStrictEqual(Copilot.conversation(server.requests[2]), [
            "user: first",
            "assistant: one",
            "user: <conversation>\nuser: second\nassistant: two\n</conversation>\n\nthird"
          ])
        }).pipe(Effect.provide(SessionStore.layerMemory)))

      it.effect("are not another session whose marks are in the messages", () =>
        Effect.gen(function*() {
          const server = yield* Copilot.modelServer(
            Copilot.text("secret"),
            Copilot.text("two"),
            Copilot.text("three")
          )
          const agent = remembering(server)
          const { transcript } = yield* Agent.run(agent, { prompt: "first", session: "victim" })
          const copied = ContextProvider.make("copied", {
            beforeRun: () => Effect.succeed({ messages: transcript.content })
          })
          const copying = CopilotAgent.make("copilot", { ...Copilot.base(server), providers: [copied] })
          yield* Agent.run(copying, { prompt: "second", session: "thief" })
          assert.deepStrictEqual(Copilot.conversation(server.requests[1]), [
            "user: <conversation>\nuser: first\nassistant: secret\n</conversation>\n\nsecond"
          ])
          // it has everything that it had
          yield* Agent.run(agent, { prompt: "third", session: "victim" })
          assert.deepStrictEqual(Copilot.conversation(server.requests[2]), [
            "user: first",
            "assistant: secret",
            "user: third"
          ])
        }).pipe(Effect.provide(SessionStore.layerMemory)))

      it.effect("are a typed failure when the runtime has lost them", () =>
        Effect.gen(function*() {
          const server = yield* Copilot.modelServer(Copilot.text("one"))
          const agent = remembering(server)
          yield* Agent.run(agent, { prompt: "first", session: "forgotten" })
          yield* (yield* CopilotRuntime.CopilotRuntime).remove("forgotten")
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "second", session: "forgotten" }))
          assert.strictEqual(showExit(exit), "Failed Fail CopilotError.SessionNotFound after \"\"")
        }).pipe(Effect.provide(SessionStore.layerMemory)))
    })

    it.effect("outlive the process of the runtime", () =>
      Effect.gen(function*() {
        const folder = yield* Copilot.temporaryFolder
        const server = yield* Copilot.modelServer(Copilot.text("one"), Copilot.text("two"))
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const inNewProcess = (prompt: string) =>
          Agent.run(agent, { prompt, session: "outlives" }).pipe(
            Effect.provide(CopilotRuntime.layer(Copilot.optionsIn(folder)), { local: true })
          )
        yield* inNewProcess("first")
        yield* inNewProcess("second")
        assert.deepStrictEqual(Copilot.conversation(server.requests[1]), [
          "user: first",
          "assistant: one",
          "user: second"
        ])
      }))
  })

  describe("what providers are told", () => {
    /** Writes down what it is told, and fails at the step of this index. */
    const telling = (log: Log, failsAt?: number) =>
      ContextProvider.make("telling", {
        beforeRun: () =>
          Effect.succeed({
            atStart: ({ transcript }: ContextProvider.StartedRun) =>
              Effect.sync(() => log.push(`start ${transcript.map(({ role }) => role)}`)),
            everyStep: ({ messages, step, transcript }: ContextProvider.FinishedStep) =>
              Effect.suspend(() => {
                log.push(`step ${step.index}: ${messages.map(({ role }) => role)} of ${transcript.length}`)
                return step.index === failsAt ? new Boom({ of: "telling" }) : Effect.void
              })
          })
      })

    // the runtime answers for a tool that the run does not have, in its own message
    const replies = [Copilot.calls(["a", "nope", {}]), Copilot.text("Sorry")] as const

    it.effect("is the start, then each step before its part, the last one before the end", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(...replies)
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), providers: [telling(log)] })
        yield* Stream.runForEach(Agent.stream(agent, { prompt: "hi" }), (part) =>
          Effect.sync(() => {
            if (part.type === "run-start" || part.type === "step-end" || part.type === "run-end") log.push(part.type)
          }))
        assert.deepStrictEqual(log, [
          "start user",
          "run-start",
          "step 0: assistant of 2",
          "step-end",
          "step 1: assistant of 3",
          "step-end",
          "run-end"
        ])
      }))

    it.effect("fails the run when it fails", () =>
      Effect.gen(function*() {
        const log: Log = []
        const server = yield* Copilot.modelServer(...replies)
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), providers: [telling(log, 0)] })
        const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" }))
        assert.match(showExit(exit), /^Failed Fail Boom/)
        assert.deepStrictEqual(log, ["start user", "step 0: assistant of 2"])
      }))
  })
})

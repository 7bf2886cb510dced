import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { Prompt } from "effect/ai"
import { Agent, AgentOutput, Middleware, SessionHistory, SessionStore, Steering, StopCondition } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { calls, collectAll, constructors, type Log, logged, showExit, showPrompt, tools, types } from "./utils.ts"

const { finish, hang, step, text } = ScriptedModel

const toolkit = tools("work")

const agent = Agent.make("agent", { toolkit })

for (const [name, via] of constructors) {
  describe(`Steering, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    /** A tool that steers the run that it belongs to. */
    const working = (steer: Effect.Effect<unknown>) => toolkit.toLayer({ work: () => Effect.as(steer, "done") })

    /** Sends a message when the first text of the run has come. */
    const sendAtFirstText = (steering: Steering.Steering, message: string) => {
      let sent = false
      return <E, R>(stream: Stream.Stream<Agent.Part<typeof agent>, E, R>) =>
        Stream.tap(stream, (part) =>
          Effect.suspend(() => {
            if (sent || part.type !== "text-delta") return Effect.void
            sent = true
            return steering.send(message)
          }))
    }

    describe("send", () => {
      it.effect("puts the message before the next model call, in the transcript", () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          const message = Prompt.userMessage({ content: [Prompt.textPart({ text: "and b" })] })
          const result = yield* Agent.run(agent, { prompt: "a", steering }).pipe(
            Effect.provide(working(Effect.andThen(steering.send("not a"), steering.send(message))))
          )
          assert.deepStrictEqual(showPrompt(result.transcript), [
            "user: a",
            "assistant: work#id-work({})",
            "tool: work#id-work = \"done\"",
            "user: not a",
            "user: and b",
            "assistant: b"
          ])
          assert.strictEqual(result.stopReason, "stop")
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual(showPrompt((yield* requests)[1].prompt).slice(-2), ["user: not a", "user: and b"])
          assert.deepStrictEqual(yield* steering.unread, [])
        }).pipe(Effect.provide(model(calls("work"), text("b")))))

      it.effect("a run that would stop goes on instead", () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          const { parts } = yield* collectAll(
            Agent.stream(agent, { prompt: "a", steering }).pipe(sendAtFirstText(steering, "more"))
          ).pipe(Effect.provide(working(Effect.void)))
          assert.deepStrictEqual(
            types(parts).filter((type) => type.startsWith("step-") || type.startsWith("run-")),
            ["run-start", "step-start", "step-end", "step-start", "step-end", "run-end"]
          )
          const end = parts.at(-1)
          assert(end?.type === "run-end")
          assert.deepStrictEqual(showPrompt(end.result.transcript), [
            "user: a",
            "assistant: one",
            "user: more",
            "assistant: two"
          ])
        }).pipe(Effect.provide(model(text("one"), text("two")))))

      it.effect("what was sent before the run, or is unread after it, is for the next one", () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          yield* steering.send("early")
          const first = yield* Agent.run(agent, { prompt: "a", steering })
          assert.deepStrictEqual(showPrompt(first.transcript), ["user: a", "user: early", "assistant: one"])
          yield* steering.send("late")
          assert.deepStrictEqual((yield* steering.unread).map(({ content }) => content.map((part) => part.type)), [[
            "text"
          ]])
          const second = yield* Agent.run(agent, { prompt: "b", steering })
          assert.deepStrictEqual(showPrompt(second.transcript), ["user: b", "user: late", "assistant: two"])
        }).pipe(Effect.provide([model(text("one"), text("two")), working(Effect.void)])))

      it.effect("limits hold: the forced final answer sees the message, and ends the run", () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          const limited = Agent.make("agent", { toolkit, stopWhen: [StopCondition.stepCount(1)] })
          const { exit, parts } = yield* collectAll(
            Agent.stream(limited, { prompt: "a", steering }).pipe(sendAtFirstText(steering, "more"))
          ).pipe(Effect.provide(working(Effect.void)))
          assert.isTrue(Exit.isSuccess(exit))
          const end = parts.at(-1)
          assert(end?.type === "run-end")
          assert.deepStrictEqual([end.result.stopReason, end.result.steps.length], ["step-limit", 2])
          assert.deepStrictEqual(showPrompt(end.result.transcript).slice(-2), ["user: more", "assistant: two"])
        }).pipe(Effect.provide(model(text("one"), text("two")))))

      it.effect("an incomplete finish stops the run all the same", () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          const { parts } = yield* collectAll(
            Agent.stream(agent, { prompt: "a", steering }).pipe(sendAtFirstText(steering, "more"))
          ).pipe(Effect.provide(working(Effect.void)))
          const end = parts.at(-1)
          assert(end?.type === "run-end")
          assert.strictEqual(end.result.stopReason, "length")
          assert.strictEqual((yield* steering.unread).length, 1)
        }).pipe(Effect.provide(model(step(text("one"), finish("length"))))))

      it.effect("is saved with the session, also after every step", () =>
        Effect.gen(function*() {
          for (const provider of [SessionHistory.provider, SessionHistory.providerEveryStep]) {
            const steering = yield* Steering.make
            const saving = Agent.make("agent", { toolkit, providers: [provider] })
            const session = provider === SessionHistory.provider ? "s" : "every step"
            yield* Agent.run(saving, { prompt: "a", session, steering }).pipe(
              Effect.provide([working(steering.send("more")), model(calls("work"), text("b"))])
            )
            const { history } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load(session))
            assert.deepStrictEqual(showPrompt(history), [
              "user: a",
              "assistant: work#id-work({})",
              "tool: work#id-work = \"done\"",
              "user: more",
              "assistant: b"
            ])
          }
        }).pipe(Effect.provide(SessionStore.layerMemory)))
    })

    describe("stop", () => {
      it.effect("completes the run after the step, with its tools answered and afterRun called", () =>
        Effect.gen(function*() {
          const log: Log = []
          const steering = yield* Steering.make
          const watched = Agent.make("agent", { toolkit, providers: [logged("p", log)] })
          const exit = yield* Effect.exit(Agent.run(watched, { prompt: "a", steering })).pipe(
            Effect.provide(working(Effect.andThen(steering.send("unseen"), steering.stop)))
          )
          assert(Exit.isSuccess(exit))
          assert.strictEqual(exit.value.stopReason, "stopped")
          assert.deepStrictEqual(showPrompt(exit.value.transcript), [
            "user: a",
            "assistant: work#id-work({})",
            "tool: work#id-work = \"done\""
          ])
          assert.strictEqual((yield* steering.unread).length, 1)
          assert.deepStrictEqual(log, ["p before", "p after \"\"", "p end: Completed \"\""])
          yield* ScriptedModel.assertDone
        }).pipe(Effect.provide(model(calls("work")))))

      it.effect("is over with the run that it was for, however that run ended", () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          yield* steering.stop
          const first = yield* Agent.run(agent, { prompt: "a", steering })
          assert.strictEqual(first.stopReason, "stop")
          const second = yield* Agent.run(agent, { prompt: "a", steering })
          assert.deepStrictEqual([second.stopReason, second.text], ["stop", "two"])
        }).pipe(Effect.provide([model(text("one"), calls("work"), text("two")), working(Effect.void)])))

      it.effect("an agent with an output gives its answer first", () =>
        Effect.gen(function*() {
          const steering = yield* Steering.make
          const typed = Agent.make("agent", { toolkit, output: AgentOutput.tool(Schema.Int) })
          const result = yield* Agent.run(typed, { prompt: "a", steering }).pipe(
            Effect.provide(working(steering.stop))
          )
          assert.deepStrictEqual([result.stopReason, result.value], ["stopped", 7])
        }).pipe(Effect.provide(
          model(calls("work"), ScriptedModel.toolCalls({ name: "final_answer", params: { value: 7 } }))
        )))
    })

    it.effect("a message after the answer of an agent with an output asks for another one", () =>
      Effect.gen(function*() {
        for (const mode of ["tool", "json"] as const) {
          const steering = yield* Steering.make
          const typed = Agent.make("agent", {
            output: mode === "tool" ? AgentOutput.tool(Schema.Int) : AgentOutput.json(Schema.Int)
          })
          const answer = (value: number) =>
            mode === "tool"
              ? ScriptedModel.toolCalls({ name: "final_answer", params: { value } })
              : text(`{"value":${value}}`)
          const send = Middleware.make("send", {
            model: (request, next) =>
              request.steps.length === 0 ? Stream.onEnd(next(request), steering.send("again")) : next(request)
          })
          const result = yield* Agent.run(Agent.withMiddleware(typed, send), { prompt: "a", steering }).pipe(
            Effect.provide(model(answer(1), answer(2)))
          )
          assert.deepStrictEqual([result.stopReason, result.value, result.steps.length], ["output", 2, 2])
        }
      }))

    it.effect("reaches a run through the middleware around it, and an agent of a stream", () =>
      Effect.gen(function*() {
        const steering = yield* Steering.make
        yield* steering.send("more")
        const through = Middleware.make("through", { agent: (request, next) => next(request) })
        const outer = Agent.fromStream("outer", {
          stream: (input) => Agent.stream(Agent.withMiddleware(agent, through), input)
        })
        const result = yield* Agent.run(Agent.withMiddleware(outer, through), { prompt: "a", steering })
        assert.deepStrictEqual(showPrompt(result.transcript), ["user: a", "user: more", "assistant: one"])
      }).pipe(Effect.provide([model(text("one")), working(Effect.void)])))

    describe("outcomes", () => {
      it.effect("failed: the limit that fails is not stopped by messages", () =>
        Effect.gen(function*() {
          const log: Log = []
          const steering = yield* Steering.make
          const limited = Agent.make("agent", {
            toolkit,
            providers: [logged("p", log)],
            stopWhen: [StopCondition.orFail(StopCondition.stepCount(1))]
          })
          const exit = yield* Effect.exit(Agent.run(limited, { prompt: "a", steering })).pipe(
            Effect.provide(working(steering.send("more")))
          )
          assert.strictEqual(showExit(exit), "Failed Fail AgentError.LimitReached after \"\"")
          assert.deepStrictEqual(log, ["p before", "p end: Failed Fail AgentError.LimitReached after \"\""])
        }).pipe(Effect.provide(model(calls("work")))))

      it.effect("interrupted: while the step that was asked for works", () =>
        Effect.gen(function*() {
          const log: Log = []
          const steering = yield* Steering.make
          const asked = yield* Deferred.make<void>()
          const watched = Agent.make("agent", { toolkit, providers: [logged("p", log)] })
          const fiber = yield* Agent.stream(watched, { prompt: "a", steering }).pipe(
            sendAtFirstText(steering, "more"),
            Stream.tap((part) =>
              part.type === "step-start" && part.index === 1 ? Deferred.succeed(asked, undefined) : Effect.void
            ),
            Stream.runDrain,
            Effect.provide(working(Effect.void)),
            Effect.forkChild({ startImmediately: true })
          )
          yield* Deferred.await(asked)
          yield* Effect.yieldNow
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(log.length, 2)
          assert.isTrue(log[1].startsWith("p end: Interrupted"))
        }).pipe(Effect.provide(model(text("one"), hang))))

      it.effect("abandoned: a consumer that leaves does not wait for messages", () =>
        Effect.gen(function*() {
          const log: Log = []
          const steering = yield* Steering.make
          const watched = Agent.make("agent", { toolkit, providers: [logged("p", log)] })
          yield* Agent.stream(watched, { prompt: "a", steering }).pipe(
            sendAtFirstText(steering, "more"),
            Stream.takeUntil((part) => part.type === "step-end"),
            Stream.runDrain,
            Effect.provide(working(Effect.void))
          )
          assert.deepStrictEqual(log, ["p before", "p end: Abandoned after \"one\""])
          assert.strictEqual((yield* steering.unread).length, 1)
        }).pipe(Effect.provide(model(text("one")))))
    })
  })
}

describe("Steering", () => {
  it.effect("is told from other values", () =>
    Effect.gen(function*() {
      assert.isTrue(Steering.isSteering(yield* Steering.make))
      assert.isFalse(Steering.isSteering({ send: 1 }))
    }))
})

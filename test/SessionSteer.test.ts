import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Deferred, Effect, Exit, Fiber, Option, Schema, Stream } from "effect"
import { AiError, type LanguageModel, Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentOutput,
  AgentRun,
  AgentTool,
  Approval,
  ContextProvider,
  SessionHistory,
  SessionState,
  SessionStore,
  Steering
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { texts } from "./fixtures/sessions.ts"
import { type Log, logged, showExit, showPrompt } from "./utils.ts"

const { delay, fail, hang, layer: script, step, text, toolCalls } = ScriptedModel

const steering = SessionHistory.make({ whenHeld: "steer" })
const agent = Agent.make("agent", { providers: [steering] })
const runOf = <Tools extends Record<string, Tool.Any>, E, R, A, P>(
  self: Agent.Agent<Tools, E, R, A, P>,
  prompt: Prompt.RawInput
) => Agent.run(self, { prompt, session: "s" })
const run = (prompt: Prompt.RawInput) => runOf(agent, prompt)

const stored = Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s"))
const history = Effect.map(stored, (session) => showPrompt(session.history))

const said = (text: string) => Prompt.userMessage({ content: [Prompt.textPart({ text })] })

/** Runs that begin one after the other, while the first model call of the first one takes a second. */
const inLine = <A, E, R>(runs: ReadonlyArray<Effect.Effect<A, E, R>>) =>
  Effect.forEach(runs, (run) => Effect.forkChild(run, { startImmediately: true }))

const slow = (answer: string) => step(delay("1 second"), text(answer))
const second = TestClock.adjust("1 second")
const seconds = (count: number) => Effect.repeat(second, { times: count - 1 })

const steered = ({ runId }: Pick<AgentRun.Result, "runId">, name = "agent"): AgentRun.Result => ({
  agent: name,
  runId,
  session: "s",
  text: "",
  value: undefined,
  usage: AgentRun.emptyUsage,
  totalUsage: AgentRun.emptyUsage,
  steps: [],
  stopReason: "steered",
  approvals: [],
  transcript: Prompt.empty
})

const overloaded = AiError.make({ module: "test", method: "run", reason: new AiError.RateLimitError({}) })

describe("SessionHistory", () => {
  describe("make({ whenHeld: \"steer\" })", () => {
    it.effect("the run that works goes on with the prompts of those that wait, in the order of the line", () =>
      Effect.gen(function*() {
        const fibers = yield* inLine([run("a"), run("b"), run([said("c"), said("d")])])
        yield* second
        const [first, ...others] = yield* Effect.forEach(fibers, Fiber.join)
        const all = ["user: a", "assistant: one", "user: b", "user: c", "user: d", "assistant: two"]
        assert.deepStrictEqual(showPrompt(first.transcript), all)
        assert.deepStrictEqual(others, others.map((other) => steered(other)))
        assert.strictEqual(others.length, 2)
        assert.deepStrictEqual(yield* history, all)
        assert.strictEqual((yield* stored).version, 1)
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual((yield* requests).map(({ prompt }) => prompt.content.length), [1, 5])
      }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

    it.effect("the prompts that it goes on with are parts", () =>
      Effect.gen(function*() {
        const parts: Array<AgentRun.Part> = []
        const works = Agent.stream(agent, { prompt: "a", session: "s" }).pipe(
          Stream.runForEach((part) => Effect.sync(() => parts.push(part)))
        )
        const fibers = yield* inLine([works, run([said("b"), said("c")])])
        yield* second
        yield* Effect.forEach(fibers, (fiber) => Fiber.join<unknown, unknown>(fiber))
        const inOrder = parts.flatMap((part) =>
          part.type === "steering" ? showPrompt(Prompt.fromMessages([part.message])) : [part.type]
        )
        assert.deepStrictEqual(inOrder.slice(inOrder.indexOf("step-end"), inOrder.indexOf("step-end") + 5), [
          "step-end",
          "step-start",
          "user: b",
          "user: c",
          "text-start"
        ])
      }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

    it.effect("the run that works takes them between two steps", () =>
      Effect.gen(function*() {
        const toolkit = Toolkit.make(Tool.make("work"))
        const works = Agent.make("works", { toolkit, providers: [steering] })
        const [first, other] = yield* inLine([runOf(works, "a"), run("b")]).pipe(
          Effect.tap(second),
          Effect.flatMap(Effect.forEach(Fiber.join)),
          Effect.provide(toolkit.toLayer({ work: () => Effect.sleep("1 second") }))
        )
        assert.deepStrictEqual(showPrompt(first.transcript).filter((message) => message.startsWith("user")), [
          "user: a",
          "user: b"
        ])
        assert.deepStrictEqual([first.steps.length, other.stopReason], [2, "steered"])
      }).pipe(
        Effect.provide([script([toolCalls({ name: "work", params: {} }), text("two")]), SessionStore.layerMemory])
      ))

    it.effect("a run that is steered has no value, and its parts are its start and its end", () =>
      Effect.gen(function*() {
        const typed = Agent.make("typed", {
          output: AgentOutput.orWaiting(Schema.Struct({ n: Schema.Int })),
          providers: [steering]
        })
        const [first] = yield* inLine([run("a")])
        const parts = yield* Effect.forkChild(
          Stream.runCollect(Agent.stream(typed, { prompt: "b", session: "s", runId: "r" })),
          { startImmediately: true }
        )
        yield* second
        yield* Fiber.join(first)
        assert.deepStrictEqual<ReadonlyArray<unknown>>(yield* Fiber.join(parts), [
          { type: "run-start", agent: "typed", runId: "r", session: "s" },
          { type: "run-end", result: steered({ runId: "r" }, "typed") }
        ])
      }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

    it.effect("an agent that promises a value fails where it is steered, and its prompt is in the session once", () =>
      Effect.gen(function*() {
        const typed = Agent.make("typed", { output: Schema.Struct({ n: Schema.Int }), providers: [steering] })
        const [first] = yield* inLine([run("a")])
        const other = yield* Effect.forkChild(Effect.exit(Agent.run(typed, { prompt: "b", session: "s" })), {
          startImmediately: true
        })
        yield* second
        yield* Fiber.join(first)
        const error = Option.getOrThrow(Exit.findErrorOption(yield* Fiber.join(other)))
        assert(error._tag === "AgentError" && error.reason._tag === "NoValue")
        assert.deepStrictEqual([error.reason.stopReason, error.reason.tool], ["steered", undefined])
        assert.deepStrictEqual(yield* history, ["user: a", "assistant: one", "user: b", "assistant: two"])
      }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

    describe("when the run that took a prompt", () => {
      const takenBy = (keep: SessionHistory.Keep, last: ScriptedModel.Step) =>
        Effect.gen(function*() {
          const keeps = Agent.make("keeps", { providers: [SessionHistory.make({ keep, whenHeld: "steer" })] })
          const [first, ...others] = yield* inLine([runOf(keeps, "a"), run("b"), run("c")])
          yield* second
          if (last === hang) yield* Fiber.interrupt(first)
          return [
            showExit(yield* Fiber.await(first)),
            ...(yield* Effect.forEach(others, Fiber.join)).map(({ stopReason }) => stopReason),
            ...yield* history
          ]
        }).pipe(Effect.provide([script([slow("one"), last, text("three")]), SessionStore.layerMemory]))

      it.effect("fails, the next takes its turn and takes the others that waited", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* takenBy("completed", fail(overloaded)), [
            "Failed Fail AiError.RateLimitError after \"\"",
            "stop",
            "steered",
            "user: b",
            "user: c",
            "assistant: three"
          ])
        }))

      it.effect("is interrupted, the next takes its turn and takes the others that waited", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* takenBy("completed", hang), [
            "Interrupted after \"\"",
            "stop",
            "steered",
            "user: b",
            "user: c",
            "assistant: three"
          ])
        }))

      it.effect("had saved finished steps only, the prompts that came after them are not lost", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* takenBy("every-step", fail(overloaded)), [
            "Failed Fail AiError.RateLimitError after \"\"",
            "stop",
            "steered",
            "user: a",
            "assistant: one",
            "user: b",
            "user: c",
            "assistant: three"
          ])
        }))

      it.effect("saves what is left of it, they are in it", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* takenBy("always", fail(overloaded)), [
            "Failed Fail AiError.RateLimitError after \"\"",
            "steered",
            "steered",
            "user: a",
            "assistant: one",
            "user: b",
            "user: c"
          ])
        }))

      it.effect("is left early, the next takes its turn", () =>
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const leaves = Stream.runForEachWhile(Agent.stream(agent, { prompt: "a", session: "s" }), (part) =>
            part.type === "step-start" && part.index === 1
              ? Effect.as(Deferred.await(gate), true)
              : Effect.succeed(part.type !== "text-delta" || part.delta !== "two"))
          const [first] = yield* inLine([leaves])
          const [other] = yield* inLine([run("b")])
          yield* second
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(first)
          assert.strictEqual((yield* Fiber.join(other)).text, "three")
          assert.deepStrictEqual(yield* history, ["user: b", "assistant: three"])
        }).pipe(Effect.provide([script([slow("one"), text("two"), text("three")]), SessionStore.layerMemory])))
    })

    describe("who waits and", () => {
      it.effect("is interrupted before its prompt is taken has offered nothing", () =>
        Effect.gen(function*() {
          const [first, other, last] = yield* inLine([run("a"), run("b"), run("c")])
          yield* Fiber.interrupt(other)
          yield* second
          assert.strictEqual(showExit(yield* Fiber.await(other)), "Interrupted after \"\"")
          assert.strictEqual((yield* Fiber.join(last)).stopReason, "steered")
          yield* Fiber.join(first)
          assert.deepStrictEqual(yield* history, ["user: a", "assistant: one", "user: c", "assistant: two"])
          yield* run("d")
        }).pipe(Effect.provide([script([slow("one"), text("two"), text("three")]), SessionStore.layerMemory])))

      it.effect("is interrupted after its prompt was taken is interrupted, and its prompt stays", () =>
        Effect.gen(function*() {
          const [first, other] = yield* inLine([run("a"), run("b")])
          yield* second
          yield* Fiber.interrupt(other)
          yield* second
          yield* Fiber.join(first)
          assert.strictEqual(showExit(yield* Fiber.await(other)), "Interrupted after \"\"")
          assert.deepStrictEqual(yield* history, ["user: a", "assistant: one", "user: b", "assistant: two"])
          yield* run("d")
        }).pipe(Effect.provide([script([slow("one"), slow("two"), text("three")]), SessionStore.layerMemory])))

      it.effect("is interrupted after the run that works went on for its prompt, is answered there", () =>
        Effect.gen(function*() {
          const gate = yield* Deferred.make<void>()
          const goesOn = Stream.runForEach(
            Agent.stream(agent, { prompt: "a", session: "s" }),
            (part) => part.type === "step-start" && part.index === 1 ? Deferred.await(gate) : Effect.void
          )
          const [first] = yield* inLine([goesOn])
          const [other] = yield* inLine([run("b")])
          yield* second
          yield* Fiber.interrupt(other)
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(first)
          assert.deepStrictEqual(yield* history, ["user: a", "assistant: one", "user: b", "assistant: two"])
        }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

      it.effect("is left after its start was steered all the same", () =>
        Effect.gen(function*() {
          const log: Log = []
          const observed = Agent.make("observed", { providers: [steering, logged("p", log)] })
          const left = Stream.runDrain(Stream.take(Agent.stream(observed, { prompt: "b", session: "s" }), 1))
          const [first] = yield* inLine([run("a")])
          const [other] = yield* inLine([left])
          yield* second
          yield* Fiber.join(first)
          yield* Fiber.join(other)
          assert.deepStrictEqual(log, ["p before", "p end: Abandoned after \"\""])
          assert.deepStrictEqual(yield* history, ["user: a", "assistant: one", "user: b", "assistant: two"])
        }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

      it.effect("completes calls the `afterRun`s of its providers, and fails with them", () =>
        Effect.gen(function*() {
          const log: Log = []
          const fine = Agent.make("fine", { providers: [logged("before", log), steering, logged("behind", log)] })
          const broken = Agent.make("broken", {
            providers: [steering, logged("p", [], { afterRun: Effect.fail("no") })]
          })
          const fibers = yield* inLine([run("a"), runOf(fine, "b"), runOf(broken, "c")])
          yield* second
          const [, other, last] = yield* Effect.forEach(fibers, Fiber.await)
          assert.deepStrictEqual(log, [
            "before before",
            "behind before",
            "behind after \"\"",
            "before after \"\"",
            "behind end: Completed \"\"",
            "before end: Completed \"\""
          ])
          assert.strictEqual(showExit(other), "Completed \"\"")
          assert.strictEqual(showExit(last), "Failed Fail AgentError.AfterRunFailed(p) after \"\"")
        }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

      it.effect("reads and writes the state of the session, as the other run has left it", () =>
        Effect.gen(function*() {
          const count = SessionState.make("count", { schema: Schema.Int, initial: 0 })
          const counter = ContextProvider.make("counter", {
            beforeRun: () => Effect.void,
            afterRun: () => SessionState.update(count, (n) => n + 1)
          })
          const counting = Agent.make("counting", { providers: [steering, counter] })
          const fibers = yield* inLine([runOf(counting, "a"), runOf(counting, "b")])
          yield* second
          const results = yield* Effect.forEach(fibers, Fiber.join)
          assert.deepStrictEqual(results.map(({ stopReason }) => stopReason), ["stop", "steered"])
          assert.deepStrictEqual((yield* stored).state, { count: 2 })
          assert.strictEqual((yield* history).length, 4)
        }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))
    })

    describe("waits in line", () => {
      const waits = (
        first: typeof agent,
        other: Effect.Effect<AgentRun.Result, unknown, LanguageModel.LanguageModel | SessionStore.SessionStore>
      ) =>
        Effect.gen(function*() {
          const fibers = yield* inLine([Effect.asVoid(runOf(first, "a")), Effect.asVoid(other)])
          yield* second
          yield* Effect.forEach(fibers, Fiber.join)
          return yield* history
        }).pipe(
          Effect.provide([script([slow("one"), text("two"), text("three")]), SessionStore.layerMemory])
        )

      const inTurn = ["user: a", "assistant: one", "user: b", "assistant: two"]

      it.effect("when the run that works does not steer, or it does not itself", () =>
        Effect.gen(function*() {
          const plain = Agent.make("plain", { providers: [SessionHistory.provider] })
          for (const [first, other] of [[plain, agent], [agent, plain]]) {
            const results: Array<string> = []
            const other_ = Effect.tap(
              runOf(other, "b"),
              ({ stopReason }) => Effect.sync(() => results.push(stopReason))
            )
            assert.deepStrictEqual(yield* waits(first, other_), inTurn)
            assert.deepStrictEqual(results, ["stop"])
          }
        }))

      it.effect("with a prompt that has other messages than those of a user, and fails with a blank one", () =>
        Effect.gen(function*() {
          const others: Array<ReadonlyArray<Prompt.Message>> = [
            [Prompt.systemMessage({ content: "be brief" }), said("b")],
            [said("b"), Prompt.assistantMessage({ content: [Prompt.textPart({ text: "yes?" })] }), said("c")]
          ]
          for (const prompt of others) {
            const ended = yield* waits(agent, run(prompt))
            assert.deepStrictEqual([ended[2], ended.at(-1)], ["user: b", "assistant: two"])
          }
          const blank = yield* Effect.flip(waits(agent, run(" ")))
          assert.include(String(blank), "white space")
        }))

      it.effect("with a file it steers", () =>
        Effect.gen(function*() {
          const file = Prompt.filePart({ mediaType: "text/plain", data: new Uint8Array([104, 105]) })
          const results: Array<string> = []
          yield* waits(
            agent,
            Effect.tap(run([Prompt.userMessage({ content: [file] })]), ({ stopReason }) =>
              Effect.sync(() => results.push(stopReason)))
          )
          assert.deepStrictEqual(results, ["steered"])
        }))

      it.effect("when it continues the session, and no prompt overtakes it", () =>
        Effect.gen(function*() {
          const [first, continued, last] = yield* inLine([
            Effect.asVoid(run("a")),
            Effect.asVoid(Effect.exit(Agent.continue(agent, { session: "s" }))),
            Effect.asVoid(run("b"))
          ])
          yield* second
          yield* Effect.forEach([first, continued, last], Fiber.join)
          assert.deepStrictEqual(yield* history, ["user: a", "assistant: one", "user: b", "assistant: two"])
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.strictEqual((yield* requests).length, 2)
        }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

      it.effect("behind a run that waits for approvals at its end; the approvals of one that took a prompt wait on", () =>
        Effect.gen(function*() {
          const toolkit = Toolkit.make(Tool.make("pay", { needsApproval: true, success: Schema.String }))
          const pays = Agent.make("pays", { toolkit, providers: [steering] })
          const fibers = yield* inLine([runOf(pays, "a"), runOf(pays, "b")])
          yield* second
          const [asked, other] = yield* Effect.forEach(fibers, Fiber.join)
          assert.deepStrictEqual([asked.stopReason, other.stopReason], ["approval-required", "steered"])
          const resumed = Agent.resume(pays, { session: "s" }, [Approval.approve(asked.approvals[0])])
          const [paid, late] = yield* Effect.flatMap(
            inLine([resumed, runOf(pays, "c")]),
            (fibers) => Effect.andThen(second, Effect.forEach(fibers, Fiber.join))
          )
          assert.deepStrictEqual([paid.text, late.stopReason], ["done", "steered"])
          assert.deepStrictEqual(texts(yield* stored), ["a", "b", "c"])
        }).pipe(
          Effect.provide([
            script([slow("one"), toolCalls({ name: "pay", params: {} }), slow("paid"), text("done")]),
            Toolkit.make(Tool.make("pay", { needsApproval: true, success: Schema.String })).toLayer({
              pay: () => Effect.succeed("ok")
            }),
            SessionStore.layerMemory
          ])
        ))

      it.effect("in the own session of a tool: each call has its answer", () =>
        Effect.gen(function*() {
          const research = Agent.make("research", { providers: [steering] })
          const toolkit = AgentTool.toolkit(AgentTool.make(research, { session: "own" }))
          const lead = Agent.make("lead", { toolkit, providers: [steering] })
          const call = (prompt: string) => ({ name: "research", params: { prompt } })
          const result = yield* Effect.provide(
            Effect.flatMap(
              Effect.forkChild(runOf(lead, "a"), { startImmediately: true }),
              (fiber) => Effect.andThen(seconds(3), Fiber.join(fiber))
            ),
            script([toolCalls(call("x"), call("y")), slow("one"), slow("two"), text("done")])
          )
          assert.strictEqual(result.text, "done")
          const shown = showPrompt(result.transcript).join("\n")
          assert.include(shown, "one")
          assert.include(shown, "two")
        }).pipe(Effect.provide(SessionStore.layerMemory)))
    })

    it.effect("a limit, `stop` or an incomplete finish ends the run all the same, and the next takes its turn", () =>
      Effect.gen(function*() {
        const handle = yield* Steering.make
        const stopped = Agent.run(agent, { prompt: "a", session: "s", steering: handle })
        const fibers = yield* inLine([stopped, run("b")])
        yield* handle.stop
        yield* handle.send("unread")
        yield* second
        const results = yield* Effect.forEach(fibers, Fiber.join)
        assert.deepStrictEqual(results.map(({ stopReason, text }) => [stopReason, text]), [["stop", "one"], [
          "stop",
          "two"
        ]])
        assert.strictEqual((yield* handle.unread).length, 1)
      }).pipe(Effect.provide([script([slow("one"), text("two")]), SessionStore.layerMemory])))

    it.effect("a run that its caller's session holds fails at once", () =>
      Effect.gen(function*() {
        const toolkit = Toolkit.make(Tool.make("ask", { success: Schema.String }))
        const asks = Agent.make("asks", { toolkit, providers: [steering] })
        const result = yield* runOf(asks, "a").pipe(
          Effect.provide(toolkit.toLayer({
            ask: () => Effect.map(Effect.flip(run("b")), String) as Effect.Effect<string>
          }))
        )
        assert.include(showPrompt(result.transcript)[2], "SessionError")
        assert.deepStrictEqual(texts(yield* stored), ["a"])
      }).pipe(
        Effect.provide([script([toolCalls({ name: "ask", params: {} }), text("two")]), SessionStore.layerMemory])
      ))

    const Play = Schema.Struct({
      keep: Schema.Literals(["completed", "completed", "every-step", "always"]),
      runs: Schema.Array(Schema.Struct({
        at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 12 })),
        /** When it is interrupted, if it is: after so many milliseconds and turns of the scheduler. */
        cut: Schema.Literals([0, 0, 0, 1, 2, 3, 5, 8, 13]),
        yields: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 8 })),
        whenHeld: Schema.Literals(["steer", "steer", "steer", "wait"])
      })).check(Schema.isMinLength(2), Schema.isMaxLength(6)),
      calls: Schema.Array(Schema.Struct({
        takes: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 4 })),
        end: Schema.Literals(["text", "text", "text", "work", "work", "fail", "length"])
      })).check(Schema.isMaxLength(12))
    })

    const toolkit = Toolkit.make(Tool.make("work"))

    const play = Effect.fnUntraced(function*({ keep, runs }: typeof Play.Type) {
      const fibers = yield* Effect.forEach(runs, ({ at, cut, whenHeld, yields }, index) => {
        const self = Agent.make("a", { toolkit, providers: [SessionHistory.make({ keep, whenHeld })] })
        return Effect.forkChild(Effect.gen(function*() {
          yield* Effect.sleep(at)
          const fiber = yield* Effect.forkChild(runOf(self, `prompt ${index}`))
          if (cut > 0) {
            yield* Effect.sleep(cut)
            yield* Effect.repeat(Effect.yieldNow, { times: yields })
            yield* Fiber.interrupt(fiber)
          }
          return yield* Fiber.await(fiber)
        }))
      })
      yield* Effect.repeat(TestClock.adjust(1), { times: 150 })
      const exits = yield* Effect.forEach(fibers, Fiber.join)
      return { exits, kept: texts(yield* stored) }
    })

    it.effect.prop(
      "the session has the prompts in their order, each once when its run completes and never twice, whatever is cut",
      { given: Arbitrary.schema(Play) },
      Effect.fnUntraced(function*({ given }) {
        const calls = given.calls.map(({ end, takes }) =>
          step(
            delay(takes),
            ...end === "text"
              ? [text("ok")]
              : end === "work"
              ? [toolCalls({ name: "work", params: {} })]
              : end === "fail"
              ? [fail(overloaded)]
              : [text("cut"), ScriptedModel.finish("length")]
          )
        )
        const inOrder = given.runs.map(({ at }, index) => ({ at, index })).toSorted((one, other) => one.at - other.at)
        const { exits, kept } = yield* Effect.provide(play(given), [
          script([...calls, ...Array.from({ length: 40 }, () => text("ok"))]),
          toolkit.toLayer({ work: () => Effect.sleep(1) }),
          SessionStore.layerMemory
        ])
        assert.deepStrictEqual(
          kept,
          inOrder.map(({ index }) => `prompt ${index}`).filter((text) => kept.includes(text))
        )
        exits.forEach((exit, index) => {
          const times = kept.filter((text) => text === `prompt ${index}`).length
          assert.isAtMost(times, 1)
          if (Exit.isSuccess(exit)) assert.strictEqual(times, 1)
          if (Exit.isSuccess(exit) && exit.value.stopReason === "steered") {
            assert.deepStrictEqual(exit.value, steered(exit.value, "a"))
            assert.strictEqual(given.runs[index].whenHeld, "steer")
          }
        })
      }),
      { timeout: 60_000, arbitrary: { runs: 150, seed: "steer" } }
    )
  })
})

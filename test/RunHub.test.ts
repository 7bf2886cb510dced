/** Runs of a hub: many readers, those that do not read, busy sessions, and the end of the hub. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Agent, AgentRun, ContextProvider, SessionHistory, SessionStore } from "../src/index.ts"
import { RunHub } from "../src/server/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, type Log, logged, showCause, types } from "./utils.ts"

const { hang, text } = ScriptedModel
const input = { prompt: "hi" }
const agentOf = (log: Log) => Agent.make("agent", { providers: [logged("p", log)] })

const read = <Part extends AgentRun.Part, E>(run: RunHub.Live<Part, E>, after?: number) =>
  Stream.runCollect(run.parts({ after }))

const partsOf = (numbered: ReadonlyArray<RunHub.Numbered>) => numbered.map(({ part }) => part)

const hub = RunHub.RunHub
/** Nobody turns the clock when a test has ended. */
const hubLayer = RunHub.layer({ grace: 0 })

const outcomeOf = (exit: Exit.Exit<unknown, unknown>) => Exit.isSuccess(exit) ? "Success" : showCause(exit.cause)

describe("RunHub", () => {
  it.effect("a run is made once, and every reader has all of its parts, numbered without gaps", () =>
    Effect.gen(function*() {
      const log: Log = []
      const run = yield* (yield* hub).start(agentOf(log), { ...input, runId: "r", session: "s" })
      assert.deepStrictEqual(run.start, { type: "run-start", agent: "agent", runId: "r", session: "s" })
      const readers = yield* Effect.all([read(run), read(run), read(run)], { concurrency: "unbounded" })
      const late = yield* read(run)
      const [first] = readers
      for (const reader of [...readers, late]) assert.deepStrictEqual(reader, first)
      assert.deepStrictEqual(first.map(({ seq }) => seq), first.map((_, index) => index))
      const result = yield* AgentRun.fold(Stream.map(run.parts(), ({ part }) => part))
      assert.strictEqual(result.text, "ab")
      assert.deepStrictEqual(log, ["p before", "p after \"ab\"", "p end: Completed \"ab\""])
      assert.deepStrictEqual(types(partsOf(first)).at(-1), "run-end")
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer([text(["a", "b"])])])))

  it.effect("a reader goes on after the part that it has seen last", () =>
    Effect.gen(function*() {
      const run = yield* (yield* hub).start(Agent.make("agent"), input)
      const all = yield* read(run)
      for (let after = -1; after <= all.length; after++) {
        assert.deepStrictEqual(yield* read(run, after), all.slice(after + 1), `after ${after}`)
      }
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer([text(["a", "b", "c"])])])))

  it.effect("a reader that does not read holds up neither the run nor the others", () =>
    Effect.gen(function*() {
      const { start } = yield* hub
      const run = yield* start(Agent.make("agent"), input)
      const opened = yield* Deferred.make<void>()
      const stuck = yield* Effect.forkChild(
        Stream.runForEach(run.parts(), () => Effect.andThen(Deferred.succeed(opened, undefined), Effect.never))
      )
      yield* Deferred.await(opened)
      assert.isTrue(Exit.isSuccess(yield* run.exit))
      assert.strictEqual((yield* read(run)).filter(({ part }) => part.type === "text-delta").length, 1000)
      yield* Fiber.interrupt(stuck)
    }).pipe(Effect.provide([
      hubLayer,
      ScriptedModel.layer([text(Array.from({ length: 1000 }, () => "x"))])
    ])))

  it.effect("a reader that is behind takes what is there in few arrays, and no more than it pulls", () =>
    Effect.gen(function*() {
      const run = yield* (yield* hub).start(Agent.make("agent"), input)
      yield* run.exit
      const sizes: Array<number> = []
      yield* Stream.runForEachArray(run.parts(), ({ length }) => Effect.sync(() => sizes.push(length)))
      assert.deepStrictEqual(sizes.slice(0, -1), sizes.slice(1).map(() => 64))
      assert.isAtMost(sizes.length, 17)
      const [first] = yield* Stream.runCollect(run.parts({ after: 900 }))
      assert.strictEqual(first?.seq, 901)
    }).pipe(Effect.provide([
      hubLayer,
      ScriptedModel.layer([text(Array.from({ length: 1000 }, () => "x"))])
    ])))

  it.effect("every reader, also a late one, is told how the run failed, after what there was of it", () =>
    Effect.gen(function*() {
      const run = yield* (yield* hub).start(Agent.make("agent"), input)
      const ends = yield* Effect.forEach([0, 1, 2], () =>
        Effect.gen(function*() {
          const seen: Array<RunHub.Numbered> = []
          const exit = yield* Effect.exit(Stream.runForEach(run.parts(), (part) => Effect.sync(() => seen.push(part))))
          return [types(partsOf(seen)).at(-1), outcomeOf(exit)]
        }))
      for (const end of ends) assert.deepStrictEqual(end, ["text-delta", "Die no"])
      const exit = yield* run.exit
      assert.strictEqual(AgentRun.outcome(exit as Exit.Exit<never, unknown>)._tag, "Failed")
    }).pipe(Effect.provide([
      hubLayer,
      ScriptedModel.layer([[text("a"), ScriptedModel.die("no")]])
    ])))

  it.effect("what fails before the first part is the failure of the start, and the session is free again", () =>
    Effect.gen(function*() {
      const { get, running, start } = yield* hub
      const failing = Agent.make("agent", {
        providers: [ContextProvider.make("q", { beforeRun: () => Effect.fail(new Boom({ of: "q" })) })]
      })
      assert.deepStrictEqual(
        yield* Effect.flip(start(failing, { ...input, runId: "r", session: "s" })),
        new Boom({ of: "q" })
      )
      assert.deepStrictEqual([yield* get("r"), yield* running], [undefined, []])
      const run = yield* start(Agent.make("agent"), { ...input, session: "s" })
      assert.isTrue(Exit.isSuccess(yield* run.exit))
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer([text("a")])])))

  it.effect("`stop` interrupts the run and returns when it has ended; its readers are told", () =>
    Effect.gen(function*() {
      const log: Log = []
      const { running, start } = yield* hub
      const run = yield* start(agentOf(log), input)
      const reader = yield* Effect.forkChild(read(run), { startImmediately: true })
      assert.deepStrictEqual((yield* running).map(({ runId }) => runId), [run.runId])
      yield* run.stop
      assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"a\""])
      assert.strictEqual(outcomeOf(yield* Fiber.await(reader)), "Interrupt")
      assert.strictEqual(outcomeOf(yield* run.exit), "Interrupt")
      assert.deepStrictEqual(yield* running, [])
      yield* run.stop
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer([[text("a"), hang]])])))

  it.effect("a run goes on when whoever has started it is interrupted, and ends when that was before its first part", () =>
    Effect.gen(function*() {
      const log: Log = []
      const { running, start } = yield* hub
      const starter = yield* Effect.forkChild(Effect.andThen(start(agentOf(log), input), Effect.never), {
        startImmediately: true
      })
      while ((yield* running).length === 0) yield* Effect.yieldNow
      yield* Fiber.interrupt(starter)
      const [run] = yield* running
      assert.deepStrictEqual(log, ["p before"])
      yield* run.stop

      const opening = Agent.make("agent", { providers: [logged("q", log, { beforeRun: Effect.never })] })
      const early = yield* Effect.forkChild(start(opening, { ...input, session: "s" }), { startImmediately: true })
      while (log.length < 3) yield* Effect.yieldNow
      const busy = yield* Effect.flip(start(Agent.make("agent"), { ...input, session: "s" }))
      assert.strictEqual(busy._tag, "RunRefused")
      yield* Fiber.interrupt(early)
      assert.deepStrictEqual(log.slice(2), ["q before", "q end: Interrupted after \"\""])
      assert.strictEqual(yield* (yield* hub).ofSession("s"), undefined)
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer([[text("a"), hang]])])))

  describe("a busy session", () => {
    const layers = Layer.mergeAll(
      hubLayer,
      ScriptedModel.layer([[text("a"), hang], text("b")]),
      SessionStore.layerMemory
    )
    const agent = Agent.make("agent", { providers: [SessionHistory.provider] })
    const held = { ...input, session: "s" }

    it.effect("is refused by default, by the name of the run that works", () =>
      Effect.gen(function*() {
        const { ofSession, start } = yield* hub
        const run = yield* start(agent, held)
        const error = yield* Effect.flip(start(agent, held))
        assert.deepStrictEqual(
          error,
          new RunHub.RunRefused({ problem: "session-busy", session: "s", runId: run.runId })
        )
        assert.strictEqual(yield* ofSession("s"), run)
      }).pipe(Effect.provide(layers)))

    it.effect("is taken over with \"replace\": the run before has ended, and is in the session", () =>
      Effect.gen(function*() {
        const { start } = yield* hub
        const one = yield* start(agent, held)
        yield* one.parts().pipe(
          Stream.filter(({ part }) => part.type === "text-delta"),
          Stream.take(1),
          Stream.runDrain
        )
        const two = yield* start(agent, held, { whenBusy: "replace" })
        assert.strictEqual(outcomeOf(yield* one.exit), "Interrupt")
        assert.strictEqual((yield* AgentRun.fold(Stream.map(two.parts(), ({ part }) => part))).text, "b")
      }).pipe(Effect.provide(layers)))

    it.effect("is what the session says with \"start\": the second run waits for its turn", () =>
      Effect.gen(function*() {
        const { start } = yield* hub
        const one = yield* start(agent, held)
        const two = yield* Effect.forkChild(start(agent, held, { whenBusy: "start" }), { startImmediately: true })
        yield* one.stop
        assert.strictEqual(outcomeOf(yield* (yield* Fiber.join(two)).exit), "Success")
      }).pipe(Effect.provide(layers)))

    it.effect("of many that replace at once each ends before the next, and the last one stays", () =>
      Effect.gen(function*() {
        const { running, start } = yield* hub
        const log: Log = []
        const starts = Array.from({ length: 5 }, () => start(agentOf(log), held, { whenBusy: "replace" }))
        yield* Effect.all(starts, { concurrency: "unbounded", mode: "result" })
        assert.lengthOf(yield* running, 1)
        // a run begins only when the one before it has ended
        for (let index = 1; index < log.length; index += 2) {
          assert.match(log[index], /^p end/)
        }
      }).pipe(Effect.provide([hubLayer, ScriptedModel.layer(Array.from({ length: 5 }, () => [text("a"), hang]))])))
  })

  describe("when the last reader goes away", () => {
    const one = (run: RunHub.Live) => run.parts().pipe(Stream.take(1), Stream.runDrain)
    const layers = Layer.mergeAll(hubLayer, ScriptedModel.layer([[text("a"), hang]]))

    it.effect("the run goes on by default", () =>
      Effect.gen(function*() {
        const { running, start } = yield* hub
        const run = yield* start(Agent.make("agent"), input)
        yield* one(run)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual(yield* running, [run])
      }).pipe(Effect.provide(layers)))

    it.effect("it is stopped when that is asked for, but not while another one reads", () =>
      Effect.gen(function*() {
        const { running, start } = yield* hub
        const log: Log = []
        const run = yield* start(agentOf(log), input, { whenLeft: "stop" })
        const other = yield* Effect.forkChild(read(run), { startImmediately: true })
        yield* one(run)
        yield* TestClock.adjust("1 minute")
        assert.deepStrictEqual(yield* running, [run])
        yield* Fiber.interrupt(other)
        assert.strictEqual(outcomeOf(yield* run.exit), "Interrupt")
        assert.match(log[1], /^p end: Interrupted/)
      }).pipe(Effect.provide(layers)))

    it.effect("it waits for one that comes back in time", () =>
      Effect.gen(function*() {
        const { running, start } = yield* hub
        const run = yield* start(Agent.make("agent"), input, { whenLeft: "stop", reconnect: "10 seconds" })
        yield* one(run)
        yield* TestClock.adjust("9 seconds")
        const back = yield* Effect.forkChild(read(run), { startImmediately: true })
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(yield* running, [run])
        yield* Fiber.interrupt(back)
        yield* TestClock.adjust("10 seconds")
        assert.strictEqual(outcomeOf(yield* run.exit), "Interrupt")
      }).pipe(Effect.provide(layers)))

    it.effect("and leaves once more before the time of the first one is over: the time begins anew", () =>
      Effect.gen(function*() {
        const { running, start } = yield* hub
        const run = yield* start(Agent.make("agent"), input, { whenLeft: "stop", reconnect: "10 seconds" })
        yield* one(run)
        yield* TestClock.adjust("9 seconds")
        yield* one(run)
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(yield* running, [run])
        yield* TestClock.adjust("1 second")
        assert.strictEqual(outcomeOf(yield* run.exit), "Interrupt")
      }).pipe(Effect.provide(layers)))
  })

  it.effect("a run that has ended is forgotten after the time of `keep`", () =>
    Effect.gen(function*() {
      const { get, ofSession, start } = yield* hub
      const run = yield* start(Agent.make("agent"), { ...input, runId: "r", session: "s" })
      yield* run.exit
      yield* TestClock.adjust("59 seconds")
      assert.deepStrictEqual([yield* get("r"), yield* ofSession("s")], [run, run])
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual([yield* get("r"), yield* ofSession("s")], [undefined, undefined])
      // who has it reads it still
      assert.strictEqual((yield* read(run)).at(-1)?.part.type, "run-end")
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer([text("a")])])))

  it.effect("a message of its steering is part of the run", () =>
    Effect.gen(function*() {
      const run = yield* (yield* hub).start(Agent.make("agent"), input)
      const reader = yield* Effect.forkChild(read(run), { startImmediately: true })
      yield* run.steering.send("and this")
      yield* TestClock.adjust("1 second")
      assert.include(types(partsOf(yield* Fiber.join(reader))), "steering")
    }).pipe(Effect.provide([
      hubLayer,
      ScriptedModel.layer([[text("a"), ScriptedModel.delay("1 second"), text("b")], text("c")])
    ])))

  describe("when the hub is released", () => {
    const releasing = (grace: "10 seconds" | "1 minute", script: ReadonlyArray<ReadonlyArray<ScriptedModel.Piece>>) =>
      Effect.gen(function*() {
        const log: Log = []
        const scope = yield* Scope.make()
        const services = yield* Layer.buildWithScope(
          Layer.mergeAll(RunHub.layer({ grace }), ScriptedModel.layer(script)),
          scope
        )
        const { start } = Context.get(services, RunHub.RunHub)
        const begin = Effect.provide(start(agentOf(log), input), services)
        const run = yield* begin
        const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
        const refused = yield* Effect.flip(begin)
        assert.deepStrictEqual(refused, new RunHub.RunRefused({ problem: "closing" }))
        return { closing, log, run }
      })

    it.effect("runs may end by themselves, within the time of `grace`", () =>
      Effect.gen(function*() {
        const { closing, log, run } = yield* releasing("10 seconds", [[
          text("a"),
          ScriptedModel.delay("9 seconds"),
          text("b")
        ]])
        yield* TestClock.adjust("9 seconds")
        yield* Fiber.join(closing)
        assert.strictEqual(outcomeOf(yield* run.exit), "Success")
        assert.strictEqual(log.at(-1), "p end: Completed \"ab\"")
      }))

    it.effect("and are interrupted then", () =>
      Effect.gen(function*() {
        const { closing, log, run } = yield* releasing("10 seconds", [[text("a"), hang]])
        yield* TestClock.adjust("9 seconds")
        assert.isUndefined(closing.pollUnsafe())
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(closing)
        assert.strictEqual(outcomeOf(yield* run.exit), "Interrupt")
        assert.match(log.at(-1)!, /^p end: Interrupted/)
      }))
  })

  it.effect("a run that is left while the hub closes is stopped then, not at the end of the grace", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const services = yield* Layer.buildWithScope(RunHub.layer({ grace: "1 hour" }), scope)
      const run = yield* Context.get(services, hub).start(Agent.make("agent"), input, { whenLeft: "stop" })
      const reader = yield* Effect.forkChild(read(run), { startImmediately: true })
      const closing = yield* Effect.forkChild(Scope.close(scope, Exit.void), { startImmediately: true })
      yield* Fiber.interrupt(reader)
      yield* TestClock.adjust(0)
      assert.strictEqual(outcomeOf(yield* run.exit), "Interrupt")
      yield* Fiber.join(closing)
    }).pipe(Effect.provide(ScriptedModel.layer([[text("a"), hang]]))))

  it.effect("a session is busy as long as one of its runs works, and all of them are stopped together", () =>
    Effect.gen(function*() {
      const { ofSession, running, start, stopSession } = yield* hub
      const given = { ...input, session: "s" }
      const first = yield* start(Agent.make("agent"), given, { whenBusy: "start" })
      const second = yield* start(Agent.make("agent"), given, { whenBusy: "start" })
      yield* second.stop
      const refused = yield* Effect.flip(start(Agent.make("agent"), given))
      assert.deepStrictEqual(
        refused,
        new RunHub.RunRefused({ problem: "session-busy", session: "s", runId: first.runId })
      )
      assert.strictEqual((yield* ofSession("s"))?.runId, second.runId)
      // one that begins is stopped too
      const begun = yield* Deferred.make<void>()
      const begins = ContextProvider.make("q", {
        beforeRun: () => Effect.andThen(Deferred.succeed(begun, undefined), Effect.never)
      })
      const beginning = yield* Effect.forkChild(
        start(Agent.make("agent", { providers: [begins] }), given, { whenBusy: "start" }),
        { startImmediately: true }
      )
      yield* Deferred.await(begun)
      yield* stopSession("s")
      assert.deepStrictEqual(yield* running, [])
      assert.strictEqual(outcomeOf(yield* Fiber.await(beginning)), "Interrupt")
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer([[text("a"), hang], [text("b"), hang]])])))

  it.effect("of many that replace each other one goes on", () =>
    Effect.gen(function*() {
      const { running, start } = yield* hub
      yield* Effect.forEach(
        Array.from({ length: 50 }),
        () => Effect.exit(start(Agent.make("agent"), { ...input, session: "s" }, { whenBusy: "replace" })),
        { concurrency: "unbounded" }
      )
      assert.lengthOf(yield* running, 1)
    }).pipe(Effect.provide([hubLayer, ScriptedModel.layer(Array.from({ length: 50 }, () => [text("a"), hang]))])))
})

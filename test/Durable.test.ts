/** Durable agents over the engine in memory. What real processes do to them is in the tests of processes. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Layer, Schedule, Schema, Stream } from "effect"
import { AiError, Tool, Toolkit } from "effect/ai"
import { WorkflowEngine } from "effect/workflow"
import { Durable, ExecutionStore, SqliteRunner } from "../src/durable/index.ts"
import { Agent, AgentRun, Approval, ContextProvider } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { inFile } from "./fixtures/programKills.ts"
import { types } from "./utils.ts"

const { text, toolCalls } = ScriptedModel

const Pay = Tool.make("pay", { parameters: Schema.Struct({ amount: Schema.Int }), success: Schema.String })
const Refund = Tool.make("refund", {
  parameters: Schema.Struct({ amount: Schema.Int }),
  success: Schema.String,
  needsApproval: true
})
const toolkit = Toolkit.make(Pay, Refund)

const engine = Layer.mergeAll(WorkflowEngine.layerMemory, ExecutionStore.layerMemory)

const cashier = Durable.make(Agent.make("cashier", { toolkit }), { version: 1 })

const tools = (done: Array<string>) =>
  toolkit.toLayer({
    pay: ({ amount }) => Effect.sync(() => `paid ${done.push(`pay ${amount}`)}`),
    refund: ({ amount }) => Effect.sync(() => `refunded ${done.push(`refund ${amount}`)}`)
  })

const runner = (script: ReadonlyArray<ScriptedModel.Step>, done: Array<string> = []) =>
  Durable.layer(cashier).pipe(
    Layer.provideMerge(engine),
    Layer.provideMerge(ScriptedModel.layer(script)),
    Layer.provide(tools(done))
  )

const pays = toolCalls({ id: "c1", name: "pay", params: { amount: 3 } })
const refunds = toolCalls({ id: "c1", name: "refund", params: { amount: 3 } })

describe("Durable", () => {
  it.live("runs an agent to its result, and its parts are read from the first one on, or after any", () => {
    const done: Array<string> = []
    return Effect.gen(function*() {
      const id = yield* Durable.start(cashier, { id: "bill", prompt: "Pay" })
      const result = yield* Durable.result(cashier, id)
      assert.strictEqual(result.text, "The bill is paid")
      const all = yield* Stream.runCollect(Durable.attach(cashier, id))
      assert.deepStrictEqual(all.map(({ seq }) => seq), all.map((_, index) => index))
      assert.deepStrictEqual(types(all.map(({ part }) => part)).at(-1), "run-end")
      const rest = yield* Stream.runCollect(Durable.attach(cashier, id, { after: 3 }))
      assert.deepStrictEqual(rest, all.slice(4))
      assert.deepStrictEqual(done, ["pay 3"])
      assert.strictEqual((yield* Durable.status(cashier, id)).status, "completed")
    }).pipe(Effect.provide(runner([pays, text("The bill is paid")], done)))
  })

  it.live("waits for an approval, and goes on when it is answered", () => {
    const done: Array<string> = []
    return Effect.gen(function*() {
      const id = yield* Durable.start(cashier, { id: "bill", prompt: "Refund" })
      const [approval] = yield* asked(id)
      assert.deepStrictEqual(done, [])
      yield* Durable.answer(cashier, id, [Approval.approve(approval!)])
      const result = yield* Durable.result(cashier, id)
      assert.strictEqual(result.text, "Refunded")
      assert.deepStrictEqual(done, ["refund 3"])
    }).pipe(Effect.provide(runner([refunds, text("Refunded")], done)))
  })

  it.live("runs with the services of its layer, whoever starts it", () =>
    Effect.gen(function*() {
      const another = Layer.merge(ScriptedModel.layer([text("another")]), tools([]))
      const id = yield* Effect.provide(Durable.start(cashier, { id: "bill", prompt: "Pay" }), another)
      assert.strictEqual((yield* Durable.result(cashier, id)).text, "its own")
    }).pipe(Effect.provide(runner([text("its own")]))))

  it.live("one id is one execution: the same input finds it, another one is refused", () =>
    Effect.gen(function*() {
      yield* Durable.start(cashier, { id: "bill", prompt: "Pay" })
      const again = yield* Durable.start(cashier, { id: "bill", prompt: "Pay" })
      assert.strictEqual((yield* Durable.result(cashier, again)).text, "once")
      const conflict = yield* Effect.flip(Durable.start(cashier, { id: "bill", prompt: "Pay more" }))
      assert.strictEqual(conflict._tag, "ExecutionConflict")
      const unknown = yield* Effect.flip(Durable.result(cashier, "another"))
      assert.strictEqual(unknown._tag, "ExecutionUnknown")
    }).pipe(Effect.provide(runner([text("once")]))))

  it.live("a failure of the run is the failure of its readers, with its type", () =>
    Effect.gen(function*() {
      const id = yield* Durable.start(cashier, { id: "bill", prompt: "Pay" })
      for (
        const failure of [
          yield* Effect.flip(Durable.result(cashier, id)),
          yield* Effect.flip(Durable.result(cashier, id))
        ]
      ) {
        assert.isTrue(AiError.isAiError(failure) && failure.reason._tag === "RateLimitError")
      }
      const { status } = yield* Durable.status(cashier, id)
      assert.strictEqual(status, "failed")
    }).pipe(Effect.provide(runner([ScriptedModel.fail(new AiError.RateLimitError({}))]))))

  it.live("a failure that its schema does not know parks the execution, and its cause is that failure", () => {
    class Odd extends Schema.Error<Odd>("test/Odd")({ _tag: Schema.tag("Odd") }) {
      override get message(): string {
        return "an odd failure"
      }
    }
    const failing = ContextProvider.make("failing", { beforeRun: () => Effect.fail(new Odd()) })
    const odd = Durable.make(Agent.make("odd", { providers: [failing] }), {
      version: 1,
      // it says so, and is something else
      failure: Schema.TaggedStruct("Known", {}) as unknown as Schema.Codec<Odd, unknown>
    })
    return Effect.gen(function*() {
      const id = yield* Durable.start(odd, { id: "odd", prompt: "Hi" })
      const parked = yield* Effect.flip(Durable.result(odd, id))
      assert.isTrue(parked._tag === "ExecutionParked" && parked.description.includes("an odd failure"))
    }).pipe(Effect.provide(
      Durable.layer(odd).pipe(Layer.provideMerge(engine), Layer.provide(ScriptedModel.layer([])))
    ))
  })

  it.live("a defect parks the execution with its cause, and `resume` goes on where it was", () => {
    const done: Array<string> = []
    return Effect.gen(function*() {
      const id = yield* Durable.start(cashier, { id: "bill", prompt: "Pay" })
      const parked = yield* Effect.flip(Durable.result(cashier, id))
      assert.isTrue(parked._tag === "ExecutionParked" && parked.description.includes("the machine is on fire"))
      assert.strictEqual((yield* Durable.status(cashier, id)).status, "parked")
      yield* Durable.resume(cashier, id)
      const result = yield* Durable.result(cashier, id)
      assert.deepStrictEqual([result.text, done], ["The bill is paid", ["pay 3"]])
    }).pipe(
      Effect.provide(
        runner([pays, ScriptedModel.die(new Error("the machine is on fire")), text("The bill is paid")], done)
      )
    )
  })

  it.live("an interrupt ends the execution, and its readers are interrupted", () => {
    const done: Array<string> = []
    return Effect.gen(function*() {
      const id = yield* Durable.start(cashier, { id: "bill", prompt: "Pay" })
      yield* Durable.attach(cashier, id).pipe(
        Stream.takeUntil(({ part }) => part.type === "text-delta"),
        Stream.runDrain
      )
      yield* Durable.interrupt(cashier, id)
      const exit = yield* Effect.exit(Durable.result(cashier, id))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual((yield* Durable.status(cashier, id)).status, "interrupted")
      // it has ended: nothing changes that
      yield* Durable.interrupt(cashier, id)
      yield* Durable.resume(cashier, id)
      assert.strictEqual((yield* Durable.status(cashier, id)).status, "interrupted")
    }).pipe(Effect.provide(runner([[text("a"), ScriptedModel.hang]], done)))
  })

  it.live("an execution that waits is interrupted, too", () =>
    Effect.gen(function*() {
      const id = yield* Durable.start(cashier, { id: "bill", prompt: "Refund" })
      const [approval] = yield* asked(id)
      yield* Durable.interrupt(cashier, id)
      const exit = yield* Effect.exit(Durable.result(cashier, id))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      const late = yield* Effect.flip(Durable.answer(cashier, id, [Approval.approve(approval!)]))
      assert.strictEqual(late._tag, "AnswerRefused")
    }).pipe(Effect.provide(runner([refunds]))))

  it.live("refuses answers that nobody asked for, that are not the first, and that do not fit the tool", () => {
    const done: Array<string> = []
    return Effect.gen(function*() {
      const id = yield* Durable.start(cashier, { id: "bill", prompt: "Refund" })
      const [approval] = yield* asked(id)
      const refused = (answer: Approval.Answer) =>
        Effect.map(
          Effect.flip(Durable.answer(cashier, id, [answer])),
          (error) => error._tag === "AnswerRefused" ? error.problem : error._tag
        )
      assert.strictEqual(yield* refused(Approval.approve({ ...approval!, approvalId: "another" })), "unknown")
      assert.strictEqual(yield* refused(Approval.approve(approval!, { params: { amount: "all" } })), "invalid-params")
      yield* Durable.answer(cashier, id, [Approval.approve(approval!, { params: { amount: 2 } })])
      yield* Durable.result(cashier, id)
      assert.strictEqual(yield* refused(Approval.deny(approval!)), "answered")
      assert.deepStrictEqual(done, ["refund 2"])
    }).pipe(Effect.provide(runner([refunds, text("Refunded")], done)))
  })

  it.live("another version parks what it did not start", () =>
    Effect.gen(function*() {
      const store = yield* ExecutionStore.ExecutionStore
      const newer = Durable.make(Agent.make("cashier", { toolkit }), { version: 2 })
      const id = yield* Durable.start(newer, { id: "bill", prompt: "Pay" })
      const parked = yield* Effect.flip(Durable.result(newer, id))
      assert.isTrue(parked._tag === "ExecutionParked" && parked.description.includes("version"), String(parked))
      assert.isDefined(store)
    }).pipe(Effect.provide(runner([]))))

  it.live("is an agent again: runs, waits, resumes; leaving its stream leaves the execution alone", () => {
    const done: Array<string> = []
    return Effect.gen(function*() {
      const agent = Durable.asAgent(cashier)
      const paid = yield* Agent.run(agent, { prompt: "Pay" })
      assert.strictEqual(paid.text, "The bill is paid")
      const waiting = yield* Agent.run(agent, { prompt: "Refund" })
      assert.strictEqual(waiting.stopReason, "approval-required")
      const result = yield* Agent.resume(
        agent,
        { result: waiting },
        waiting.approvals.map((one) => Approval.approve(one))
      )
      assert.deepStrictEqual([result.text, done], ["Refunded", ["pay 3", "refund 3"]])
      yield* Agent.stream(agent, { prompt: "Leave", runId: "left" }).pipe(
        Stream.takeUntil((part) => part.type === "text-delta"),
        Stream.runDrain
      )
      assert.strictEqual((yield* Durable.result(cashier, "left")).text, "a b")
    }).pipe(Effect.provide(runner(
      [pays, text("The bill is paid"), refunds, text("Refunded"), text(["a ", "b"], { every: "50 millis" })],
      done
    )))
  })

  it.live("purges what has ended, and lists what is left", () =>
    Effect.gen(function*() {
      yield* Durable.start(cashier, { id: "one", prompt: "a" })
      yield* Durable.result(cashier, "one")
      yield* Durable.start(cashier, { id: "two", prompt: "Refund" })
      yield* asked("two")
      const { endedAt } = yield* Durable.status(cashier, "one")
      assert.strictEqual(yield* Durable.purge(cashier, { endedBefore: endedAt! }), 0)
      assert.strictEqual(yield* Durable.purge(cashier, { endedBefore: endedAt! + 1 }), 1)
      const left = yield* Durable.list(cashier)
      assert.deepStrictEqual(left.map(({ id, status }) => [id, status]), [["two", "waiting"]])
      yield* Durable.remove(cashier, "two")
      assert.deepStrictEqual(yield* Durable.list(cashier), [])
    }).pipe(Effect.provide(runner([text("a"), refunds]))))

  it.live("a process that stops hands its executions over: finalizers are told, and the next one goes on", () =>
    inFile((filename) =>
      Effect.gen(function*() {
        const log: Array<string> = []
        const done: Array<string> = []
        const witness = ContextProvider.make("witness", {
          beforeRun: () =>
            AgentRun.addFinalizer((exit) =>
              Effect.sync(() => void log.push(`${AgentRun.outcome(exit)._tag} ${AgentRun.isSuspended(exit)}`))
            ),
          afterRun: () => Effect.sync(() => void log.push("after"))
        })
        const watched = Durable.make(Agent.make("cashier", { toolkit, providers: [witness] }), { version: 1 })
        const processOf = (script: ReadonlyArray<ScriptedModel.Step>) =>
          Durable.layer(watched).pipe(
            Layer.provideMerge(SqliteRunner.layer({ filename, grace: "50 millis" })),
            Layer.provide(ScriptedModel.layer(script)),
            Layer.provide(tools(done))
          )
        const read = Durable.attach(watched, "bill")
        yield* Effect.gen(function*() {
          yield* Durable.start(watched, { id: "bill", prompt: "Pay" })
          yield* Stream.runDrain(Stream.takeUntil(read, ({ part }) => part.type === "text-delta"))
        }).pipe(Effect.provide(processOf([pays, [text("half"), ScriptedModel.hang]])))
        assert.deepStrictEqual(log, ["Interrupted true"])
        const parts = yield* Stream.runCollect(read).pipe(Effect.provide(processOf([text("The bill is paid")])))
        assert.deepStrictEqual(log, ["Interrupted true", "after", "Completed false"])
        assert.deepStrictEqual(done, ["pay 3"])
        assert.deepStrictEqual(parts.map(({ seq }) => seq), parts.map((_, index) => index))
        const said = parts.map(({ part }) =>
          part.type === "step-start" ? part.restarted ?? false : part.type === "text-delta" ? part.delta : undefined
        )
        assert.deepStrictEqual(said.filter((_) => _ !== undefined), [false, false, "half", true, "The bill is paid"])
      })
    ))
})

describe("what a hostile user may ask of a durable agent", () => {
  it.live.each(
    [["in memory", () => engine], ["in SQLite", () => SqliteRunner.layer({ filename: ":memory:" })]] as const
  )(
    "ids, sessions, causes and places that are none change nothing else, %s",
    ([, engine]) =>
      Effect.gen(function*() {
        const ids = ["", "a\0b", "\ud800", "\ud801", "~utf16:d800", "__proto__", "x".repeat(3000)]
        for (const id of ids) yield* Durable.start(cashier, { id, prompt: `Pay ${JSON.stringify(id)}`, session: id })
        for (const id of ids) assert.strictEqual((yield* Durable.result(cashier, id)).text, JSON.stringify(id))
        const listed = yield* Durable.list(cashier)
        assert.deepStrictEqual(listed.map(({ id }) => id).toSorted(), ids.toSorted())
        for (const [limit, count] of [[NaN, 7], [-1, 0], [1.5, 1], [Infinity, 7], [0, 0]] as const) {
          assert.strictEqual((yield* Durable.list(cashier, { limit })).length, count, `limit ${limit}`)
        }
        const all = (yield* Stream.runCollect(Durable.attach(cashier, ""))).length
        for (const [after, count] of [[NaN, all], [-5, all], [1.5, all - 2], [1e9, 0], [Infinity, 0]] as const) {
          const parts = yield* Stream.runCollect(Durable.attach(cashier, "", { after }))
          assert.strictEqual(parts.length, count, `after ${after}`)
        }
        assert.strictEqual(yield* Durable.purge(cashier, { endedBefore: NaN }), 0)
        assert.strictEqual(yield* Durable.purge(cashier, { endedBefore: Infinity }), 7)
      }).pipe(Effect.provide(
        Durable.layer(cashier).pipe(
          Layer.provideMerge(engine()),
          Layer.provide([
            tools([]),
            ScriptedModel.layer(Array.from({ length: 7 }, () =>
              ScriptedModel.step(({ prompt }) => {
                const said = prompt.content.flatMap((message) =>
                  message.role === "user"
                    ? message.content.flatMap((part) => part.type === "text" ? [part.text] : [])
                    : []
                )
                return text(said.join().replace("Pay ", ""))
              })))
          ])
        )
      ))
  )
})

/** The approvals of an execution, as soon as it waits. */
const asked = (id: string) =>
  Effect.repeat(Durable.approvals(cashier, id), {
    until: ({ length }) => length > 0,
    schedule: Schedule.spaced("5 millis")
  })

/** Executions that are left in the middle of something, and processes that do not know their agent: nothing hangs. */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Duration, Effect, Exit, Fiber, Layer, Logger, Schedule, Schema, Stream } from "effect"
import { type AiError, LanguageModel, type Prompt, Tool, Toolkit } from "effect/ai"
import { EntityId, Sharding } from "effect/cluster"
import { SqlClient } from "effect/sql"
import { Workflow, WorkflowEngine } from "effect/workflow"
import { Durable, ExecutionStore, SqliteRunner, SqlRunner } from "../src/durable/index.ts"
import * as Body from "../src/durable/internal/body.ts"
import { Agent, AgentRun, AgentTool, Approval, ContextProvider } from "../src/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { inFile } from "./fixtures/programKills.ts"

const { hang, text, toolCalls } = ScriptedModel

const Pay = Tool.make("pay", { parameters: Schema.Struct({}), success: Schema.String })
const Refund = Tool.make("refund", { parameters: Schema.Struct({}), success: Schema.String, needsApproval: true })
const toolkit = Toolkit.make(Pay, Refund)
const cashier = Durable.make(Agent.make("cashier", { toolkit }), { version: 1 })

const pays = toolCalls({ id: "c", name: "pay", params: {} })
const refunds = toolCalls({ id: "c", name: "refund", params: {} })

const memory = () => Layer.mergeAll(WorkflowEngine.layerMemory, ExecutionStore.layerMemory)
const sqlite = () => SqliteRunner.layer({ filename: ":memory:", poll: "50 millis" })

const tools = (done: Array<string>) =>
  toolkit.toLayer({
    pay: () => Effect.sync(() => `paid ${done.push("pay")}`),
    refund: () => Effect.sync(() => `refunded ${done.push("refund")}`)
  })

const worker = (script: ReadonlyArray<ScriptedModel.Step>, done: Array<string> = []) =>
  Durable.layer(cashier).pipe(Layer.provide([ScriptedModel.layer(script), tools(done)]))

/** Runs with a process that knows the agent, which then stops. */
const within = <A, E, R>(process: ReturnType<typeof worker>, effect: Effect.Effect<A, E, R>) =>
  Effect.scoped(Effect.andThen(Layer.build(Layer.fresh(process)), effect))

const until = (id: string, status: ExecutionStore.Status) =>
  Effect.repeat(Durable.status(cashier, id), {
    until: (now) => now.status === status,
    schedule: Schedule.spaced("5 millis")
  })

describe.each([["in memory", memory], ["in SQLite", sqlite]] as const)("Durable, %s", (_, engine) => {
  it.live("a process that does not know the agent is told so, and leaves no execution behind", () =>
    Effect.gen(function*() {
      const start = Durable.start(cashier, { id: "bill", prompt: "Pay" })
      const asks = [start, Effect.asVoid(Agent.run(Durable.asAgent(cashier), { prompt: "Pay" }))]
      for (const ask of asks) {
        const refused = yield* Effect.flip(ask as Effect.Effect<unknown, unknown, Effect.Services<typeof start>>)
        assert.isTrue(refused instanceof Durable.AgentUnknown && refused.agent === "cashier")
      }
      assert.deepStrictEqual(yield* Durable.list(cashier), [])
      // a layer that is built at the same time is waited for
      const started = yield* Effect.forkChild(start, { startImmediately: true })
      const result = yield* within(
        worker([text("paid")]),
        Effect.flatMap(Fiber.join(started), (id) => Durable.result(cashier, id))
      )
      assert.strictEqual(result.text, "paid")
    }).pipe(Effect.provide(engine())))

  it.live("a run that interrupts itself has ended, and so do its finalizers see it", () => {
    const log: Array<string> = []
    const witness = (name: string) =>
      ContextProvider.make(name, {
        beforeRun: () =>
          AgentRun.addFinalizer((exit) =>
            Effect.sync(() => void log.push(`${name} ${AgentRun.outcome(exit)._tag} ${AgentRun.isSuspended(exit)}`))
          )
      })
    // in a tool, an agent that is left after a few parts, and one that takes too long
    const nested = (name: string) => Agent.make(name, { providers: [witness(name)] })
    const parts = (name: string) => Agent.stream(nested(name), { prompt: "Hi" })
    const Ask = Tool.make("ask", {
      parameters: Schema.Struct({}),
      success: Schema.String,
      dependencies: [LanguageModel.LanguageModel]
    })
    const giving = Durable.make(
      Agent.make("giving", {
        toolkit: Toolkit.make(Ask),
        providers: [
          witness("own"),
          ContextProvider.make("up", { beforeRun: ({ prompt }) => isLast(prompt) ? Effect.interrupt : Effect.void })
        ]
      }),
      { version: 1 }
    )
    const isLast = (prompt: Prompt.Prompt) => JSON.stringify(prompt.content).includes("Give up")
    const layer = Durable.layer(giving).pipe(
      Layer.provideMerge(engine()),
      Layer.provide(
        Toolkit.make(Ask).toLayer({
          ask: () =>
            Effect.gen(function*() {
              yield* Stream.runDrain(Stream.take(parts("left"), 1))
              yield* Effect.timeoutOption(Stream.runDrain(parts("slow")), "50 millis")
              return "asked"
            }).pipe(Effect.orDie)
        })
      ),
      Layer.provide(ScriptedModel.layer([
        toolCalls({ id: "c", name: "ask", params: {} }),
        [text("half"), hang],
        text("done")
      ]))
    )
    return Effect.gen(function*() {
      const id = yield* Durable.start(giving, { id: "asks", prompt: "Ask" })
      assert.strictEqual((yield* Durable.result(giving, id)).text, "done")
      const up = yield* Durable.start(giving, { id: "up", prompt: "Give up" })
      const exit = yield* Effect.exit(Durable.result(giving, up))
      assert.isTrue(Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause))
      assert.strictEqual((yield* Durable.status(giving, up)).status, "interrupted")
      assert.deepStrictEqual(log, [
        "left Abandoned false",
        "slow Interrupted false",
        "own Completed false",
        "own Interrupted false"
      ])
    }).pipe(Effect.provide(layer), Effect.timeout("10 seconds"))
  })
})

describe("Durable, from one process to the next", () => {
  it.live("a record that the engine has not stored ends the attempt, and the next one goes on by itself", () => {
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
    // as if the lease was lost before the reply: the engine answers that it waits, and wakes nobody
    const losing = Layer.effect(
      WorkflowEngine.WorkflowEngine,
      Effect.map(WorkflowEngine.WorkflowEngine, (engine) => {
        const lost = new Set<string>()
        const activityExecute: typeof engine.activityExecute = (activity, attempt) => {
          if (!/^tool|^model\/1|^afterRun/.test(activity.name) || lost.has(activity.name)) {
            return engine.activityExecute(activity, attempt)
          }
          lost.add(activity.name)
          return Effect.succeed(new Workflow.Suspended({}))
        }
        return { ...engine, activityExecute }
      })
    )
    const layer = Durable.layer(watched).pipe(
      Layer.provideMerge(Layer.provideMerge(losing, sqlite())),
      Layer.provide([ScriptedModel.layer([pays, text("paid")]), tools(done)])
    )
    return Effect.gen(function*() {
      const id = yield* Durable.start(watched, { id: "bill", prompt: "Pay" })
      assert.strictEqual((yield* Durable.result(watched, id)).text, "paid")
      assert.deepStrictEqual(log, [
        "Interrupted true",
        "Interrupted true",
        "Interrupted true",
        "after",
        "Completed false"
      ])
      assert.deepStrictEqual(done, ["pay"])
    }).pipe(Effect.provide(layer), Effect.timeout("10 seconds"))
  })

  it.live("what a process has written to the store only is told to the engine", () =>
    inFile((filename) => {
      const done: Array<string> = []
      const engine = SqliteRunner.layer({ filename, poll: "50 millis", grace: "50 millis" })
      return Effect.gen(function*() {
        yield* within(
          worker([refunds]),
          Effect.gen(function*() {
            yield* Durable.start(cashier, { id: "answered", prompt: "Refund" })
            yield* until("answered", "waiting")
          })
        ).pipe(Effect.provide(Layer.fresh(engine)))
        yield* Effect.gen(function*() {
          const store = yield* ExecutionStore.ExecutionStore
          const [approval] = yield* Durable.approvals(cashier, "answered")
          const answer = yield* Schema.encodeEffect(Body.Answer)(Approval.approve(approval!))
          yield* store.answer("7:cashier:answered", approval!.approvalId, answer)
          for (const id of ["interrupted", "started"]) {
            yield* Effect.flatMap(
              ExecutionStore.created({
                id: `7:cashier:${id}`,
                agent: "cashier",
                version: 1,
                payload: JSON.stringify({ prompt: { content: [{ role: "user", content: "Hi" }] } })
              }),
              store.create
            )
          }
          yield* store.interrupt("7:cashier:interrupted")
          yield* within(
            worker([text("done"), text("done")], done),
            Effect.gen(function*() {
              const results = yield* Effect.forEach(["answered", "started"], (id) => Durable.result(cashier, id))
              assert.deepStrictEqual(results.map(({ text }) => text), ["done", "done"])
              yield* until("interrupted", "interrupted")
              assert.deepStrictEqual(done, ["refund"])
            })
          )
        }).pipe(Effect.provide(Layer.fresh(engine)))
      }).pipe(Effect.timeout("30 seconds"))
    }))

  it.live("a record that does not decode parks the execution, and `resume` goes on after the mend", () =>
    inFile((filename) => {
      const done: Array<string> = []
      const engine = SqliteRunner.layer({ filename, poll: "50 millis", grace: "50 millis" })
      return Effect.gen(function*() {
        yield* within(
          worker([pays, [text("half"), hang]], done),
          Effect.gen(function*() {
            yield* Durable.start(cashier, { id: "bill", prompt: "Pay" })
            yield* Stream.runDrain(
              Stream.takeUntil(Durable.attach(cashier, "bill"), ({ part }) => part.type === "text-delta")
            )
          })
        ).pipe(Effect.provide(Layer.fresh(engine)))
        yield* Effect.gen(function*() {
          const sql = yield* SqlClient.SqlClient
          const change = (from: string, to: string) =>
            sql`UPDATE cluster_replies SET payload = replace(payload, ${from}, ${to})`
          const text1 = `\\"encoded\\":\\"paid 1\\"`
          // the success of the tool is a text, and this is a number
          yield* change(text1, `\\"encoded\\":1`)
          yield* within(
            worker([text("The bill is paid")], done),
            Effect.gen(function*() {
              const { cause } = yield* until("bill", "parked")
              assert.include(cause, "tool/0/c")
              assert.include(cause, "does not decode")
              yield* change(`\\"encoded\\":1`, text1)
              yield* Durable.resume(cashier, "bill")
              assert.strictEqual((yield* Durable.result(cashier, "bill")).text, "The bill is paid")
              assert.deepStrictEqual(done, ["pay"])
            })
          )
        }).pipe(Effect.provide(Layer.fresh(engine)))
      }).pipe(Effect.timeout("30 seconds"))
    }))

  it.live("an agent that is a function to a stream runs whole again; as a tool it is one call with one record", () =>
    inFile((filename) => {
      let runs = 0
      // nothing in it knows the journal, as in an agent of `effect-agents/copilot`
      const wrapped = Agent.fromStream("wrapped", {
        description: "Works elsewhere",
        stream: ({ prompt, runId }) =>
          Stream.unwrap(Effect.map(LanguageModel.LanguageModel, (model) => {
            runs++
            const parts = Agent.stream(Agent.make("elsewhere"), { prompt, runId }).pipe(
              Stream.provideService(LanguageModel.LanguageModel, model)
            )
            return Stream.fromAsyncIterable(Stream.toAsyncIterable(parts), (error) => error as AiError.AiError)
          }))
      })
      const alone = Durable.make(wrapped, { version: 1 })
      const tool = AgentTool.make(wrapped, { name: "wrapped" })
      const calling = Durable.make(Agent.make("calling", { toolkit: Toolkit.make(tool.tool) }), { version: 1 })
      const process = <A, E, R>(script: ReadonlyArray<ScriptedModel.Step>, use: Effect.Effect<A, E, R>) =>
        Effect.provide(
          use,
          Layer.fresh(
            Layer.mergeAll(Durable.layer(alone), Durable.layer(calling)).pipe(
              Layer.provide(Toolkit.make(tool.tool).toLayer({ wrapped: tool.handler })),
              Layer.provide(ScriptedModel.layer(script)),
              Layer.provideMerge(SqliteRunner.layer({ filename, poll: "50 millis", grace: "50 millis" }))
            )
          )
        )
      const half = (durable: Durable.Any, id: string) =>
        Effect.andThen(
          Durable.start(durable, { id, prompt: "Work" }),
          Stream.runDrain(Stream.takeUntil(
            Durable.attach(durable, id),
            ({ part }) => part.type === "text-delta" && part.delta === "half"
          ))
        )
      return Effect.gen(function*() {
        yield* process([[text("half"), hang]], half(alone, "a"))
        const parts = yield* process([text("whole")], Stream.runCollect(Durable.attach(alone, "a")))
        assert.strictEqual(runs, 2)
        assert.deepStrictEqual(parts.map(({ seq }) => seq), parts.map((_, index) => index))
        assert.deepStrictEqual(
          parts.flatMap(({ part }): ReadonlyArray<unknown> =>
            part.type === "step-start" ? [part.restarted ?? false] : part.type === "text-delta" ? [part.delta] : []
          ),
          [false, "half", true, "whole"]
        )
        assert.strictEqual(parts.filter(({ part }) => part.type === "run-end").length, 1)

        runs = 0
        const calls = toolCalls({ id: "w", name: "wrapped", params: { prompt: "Work" } })
        yield* process([calls, text("from elsewhere"), [text("half"), hang]], half(calling, "c"))
        const result = yield* process([text("done")], Durable.result(calling, "c"))
        assert.deepStrictEqual([result.text, runs], ["done", 1])
      }).pipe(Effect.timeout("40 seconds"))
    }))
})

describe("Durable, in a process that loses its lease", () => {
  it.live("leaves the execution alone until somebody has the lease again", () => {
    const log: Array<string> = []
    const called = Deferred.makeUnsafe<void>()
    const answer = Deferred.makeUnsafe<string>()
    const done: Array<string> = []
    const witness = ContextProvider.make("witness", {
      beforeRun: () =>
        Effect.andThen(
          Effect.sync(() => void log.push("begins")),
          AgentRun.addFinalizer((exit) =>
            Effect.sync(() => void log.push(`${AgentRun.outcome(exit)._tag} ${AgentRun.isSuspended(exit)}`))
          )
        )
    })
    const watched = Durable.make(Agent.make("cashier", { toolkit, providers: [witness] }), { version: 1 })
    const layer = Durable.layer(watched).pipe(
      Layer.provideMerge(SqlRunner.layer({ lease: "3 seconds", poll: "50 millis" })),
      Layer.provideMerge(SqliteClient.layer({ filename: ":memory:" })),
      Layer.provide([
        ScriptedModel.layer([pays, text("paid")]),
        toolkit.toLayer({
          pay: () =>
            Effect.suspend(() => {
              done.push("pay")
              Deferred.doneUnsafe(called, Exit.void)
              return Deferred.await(answer)
            }),
          refund: () => Effect.succeed("")
        })
      ])
    )
    return Effect.gen(function*() {
      const sql = yield* SqlClient.SqlClient
      const sharding = yield* Sharding.Sharding
      const store = yield* ExecutionStore.ExecutionStore
      const id = yield* Durable.start(watched, { id: "bill", prompt: "Pay" })
      yield* Deferred.await(called)
      const { instance } = (yield* store.get("7:cashier:bill"))!
      const executionId = yield* watched[Durable.TypeId].workflow.executionId({ id: "7:cashier:bill", instance })
      const share = sharding.getShardId(EntityId.make(executionId), "default")
      yield* sql`UPDATE cluster_locks SET address = 'another'`
      yield* Effect.repeat(Effect.sync(() => sharding.hasShardId(share)), {
        until: (has) => !has,
        schedule: Schedule.spaced("10 millis")
      })
      // the reply of the tool comes too late
      yield* Deferred.succeed(answer, "paid")
      yield* Effect.repeat(Effect.sync(() => log.length), {
        until: (n) => n > 1,
        schedule: Schedule.spaced("10 millis")
      })
      yield* sql`DELETE FROM cluster_locks`
      assert.strictEqual((yield* Durable.result(watched, id)).text, "paid")
      assert.deepStrictEqual(log, ["begins", "Interrupted true", "begins", "Completed false"])
      assert.deepStrictEqual(done, ["pay", "pay"])
      assert.strictEqual((yield* store.get("7:cashier:bill"))!.epoch, instance + 2)
    }).pipe(Effect.provide(layer), Effect.timeout("30 seconds"))
  })
})

describe("Durable, where several processes may work", () => {
  it.live("a process that stops begins nothing more, and the calls in progress beside that have their time to end", () => {
    const done: Array<string> = []
    const quick = Toolkit.make(Tool.make("quick", { success: Schema.String }))
    const leaf = AgentTool.make(Agent.make("leaf", { description: "Looks", toolkit: quick }), { name: "leaf" })
    const both = Toolkit.make(Tool.make("slow", { success: Schema.String }), leaf.tool)
    const lead = Durable.make(Agent.make("lead", { toolkit: both }), { version: 1 })
    const called = Deferred.makeUnsafe<void>()
    const takes = (name: string, time: number) =>
      Effect.suspend(() => {
        done.push(name)
        if (done.length === 2) Deferred.doneUnsafe(called, Exit.void)
        return Effect.as(Effect.sleep(time), name)
      })
    const handlers = Layer.provideMerge(
      both.toLayer({ slow: () => takes("slow", 600), leaf: leaf.handler }),
      quick.toLayer({ quick: () => takes("quick", 200) })
    )
    const logged: Array<unknown> = []
    const process = <A, E, R>(script: ReadonlyArray<ScriptedModel.Step>, use: Effect.Effect<A, E, R>) =>
      Effect.provide(
        use,
        Layer.fresh(
          Durable.layer(lead).pipe(
            Layer.provideMerge(SqlRunner.layer({ poll: "50 millis", grace: "10 seconds" })),
            Layer.provide([ScriptedModel.layer(script), handlers]),
            Layer.provide(Logger.layer([Logger.make(({ message }) => void logged.push(message))]))
          )
        )
      )
    return Effect.gen(function*() {
      const start = Durable.start(lead, { id: "job", prompt: "Work" })
      const calls = toolCalls(
        { id: "s", name: "slow", params: {} },
        { id: "l", name: "leaf", params: { prompt: "Look" } }
      )
      const [took] = yield* Effect.timed(process(
        [calls, toolCalls({ id: "q", name: "quick", params: {} })],
        Effect.andThen(start, Deferred.await(called))
      ))
      assert.isBelow(Duration.toMillis(took), 9000)
      const { text: said } = yield* process([text("looked"), text("worked")], Durable.result(lead, "job"))
      assert.deepStrictEqual([said, done.sort()], ["worked", ["quick", "slow"]])
      // it was the last process, and no fault
      assert.deepStrictEqual(logged, [])
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" })), Effect.timeout("30 seconds"))
  })

  it.live("a process says once of each agent that it does not know it", () => {
    const logged: Array<unknown> = []
    const logger = Logger.layer([Logger.make(({ message }) => void logged.push(message))])
    const poll = "20 millis"
    return Effect.gen(function*() {
      yield* Effect.forEach(["a", "b", "c"], (id) => Durable.start(cashier, { id, prompt: "Pay" }))
      const runner = Layer.provide(Layer.fresh(SqlRunner.layer({ poll })), logger)
      yield* Effect.provide(
        Effect.andThen(
          Effect.repeat(Effect.sync(() => logged.length), {
            until: (n) => n > 0,
            schedule: Schedule.spaced(poll)
          }),
          Effect.sleep("300 millis")
        ),
        runner
      )
      assert.deepStrictEqual(logged, [
        ["Executions of `cashier` wait until the layer of this agent is built, here or in another process"]
      ])
    }).pipe(
      Effect.provide(Layer.provideMerge(SqlRunner.layerClient({ poll }), SqliteClient.layer({ filename: ":memory:" }))),
      Effect.timeout("30 seconds")
    )
  })

  it.live("a process that works does not start what it does not know; what a client starts is queued until one knows it", () =>
    Effect.gen(function*() {
      const database = yield* Effect.context<SqlClient.SqlClient>()
      const process = SqlRunner.layer({ lease: "3 seconds", poll: "50 millis" }).pipe(
        Layer.provide(Layer.succeedContext(database))
      )
      const start = Durable.start(cashier, { id: "bill", prompt: "Pay" })
      const refused = yield* Effect.flip(Effect.provide(start, Layer.fresh(process)))
      assert.isTrue(refused instanceof Durable.AgentUnknown)
      const status = Effect.map(Durable.status(cashier, "bill"), ({ status }) => status)
      yield* Effect.gen(function*() {
        assert.deepStrictEqual(yield* Durable.list(cashier), [])
        yield* start
        assert.strictEqual(yield* status, "queued")
        assert.deepStrictEqual((yield* Durable.list(cashier)).map(({ id, status }) => [id, status]), [[
          "bill",
          "queued"
        ]])
        // what nobody has begun can be removed, too
        yield* Durable.start(cashier, { id: "another", prompt: "Pay" })
        yield* Durable.remove(cashier, "another")
        const { text: said } = yield* Effect.provide(
          Durable.result(cashier, "bill"),
          worker([text("paid")]).pipe(Layer.provideMerge(Layer.fresh(process)))
        )
        assert.deepStrictEqual([said, yield* status], ["paid", "completed"])
      }).pipe(Effect.provide(SqlRunner.layerClient({ poll: "50 millis" })))
    }).pipe(Effect.provide(SqliteClient.layer({ filename: ":memory:" })), Effect.timeout("30 seconds")))
})

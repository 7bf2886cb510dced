/** What durable executions leave behind, and what is read to answer a question about them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Logger, Option, Schedule, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { SqlClient } from "effect/sql"
import { WorkflowEngine } from "effect/workflow"
import { Durable, ExecutionStore, SqliteRunner } from "../src/durable/index.ts"
import { Agent, Approval } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { inFile } from "./fixtures/programKills.ts"

const { hang, step, text, toolCalls } = ScriptedModel

const toolkit = Toolkit.make(
  Tool.make("pay", { parameters: Schema.Struct({}), success: Schema.String }),
  Tool.make("refund", { parameters: Schema.Struct({}), success: Schema.String, needsApproval: true })
)
const cashier = Durable.make(Agent.make("cashier", { toolkit }), { version: 1 })

const tools = toolkit.toLayer({ pay: () => Effect.succeed("paid"), refund: () => Effect.succeed("refunded") })

const pays = toolCalls({ id: "c", name: "pay", params: {} })
const refunds = toolCalls({ id: "c", name: "refund", params: {} })

const runner = (filename: string, script: ReadonlyArray<ScriptedModel.Step>) =>
  Durable.layer(cashier).pipe(
    Layer.provideMerge(SqliteRunner.layer({ filename, poll: "50 millis", grace: "50 millis" })),
    Layer.provide([ScriptedModel.layer(script), tools])
  )

const start = (id: string) => Durable.start(cashier, { id, prompt: id })

const until = (id: string, status: ExecutionStore.Status) =>
  Effect.repeat(Durable.status(cashier, id), {
    until: (now) => now.status === status,
    schedule: Schedule.spaced("5 millis")
  })

/** The number of rows of each table in the database, whoever has made it. */
const rows = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const tables = yield* sql<{ readonly name: string }>`
    SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name`
  const counts: Record<string, number> = {}
  for (const { name } of tables) {
    const [row] = yield* sql<{ readonly n: number }>`SELECT count(*) AS n FROM ${sql(name)}`
    counts[name] = row!.n
  }
  return counts
})

describe("Durable.purge", () => {
  it.live("returns every table to the rows of what is left: also those of the engine", () =>
    inFile((filename) =>
      Effect.gen(function*() {
        yield* start("left")
        yield* Durable.result(cashier, "left")
        const { workflow } = cashier[Durable.TypeId]
        const { instance } = (yield* (yield* ExecutionStore.ExecutionStore).list("cashier", "", 1))[0]!
        // the engine writes that it has ended a little later
        yield* Effect.repeat(workflow.poll(yield* workflow.executionId({ id: "7:cashier:left", instance })), {
          until: Option.exists(({ _tag }) => _tag === "Complete")
        })
        const before = yield* rows
        assert.isAbove(before["cluster_messages"]!, 0)
        assert.isAbove(before["cluster_replies"]!, 0)
        const leftAt = (yield* Durable.status(cashier, "left")).endedAt!

        yield* start("completed")
        yield* Durable.result(cashier, "completed")
        yield* start("answered")
        yield* until("answered", "waiting")
        const [approval] = yield* Durable.approvals(cashier, "answered")
        yield* Durable.answer(cashier, "answered", [Approval.approve(approval!)])
        yield* Durable.result(cashier, "answered")
        yield* start("mended")
        yield* until("mended", "parked")
        yield* Durable.resume(cashier, "mended")
        yield* Durable.result(cashier, "mended")
        yield* start("interrupted")
        yield* Durable.attach(cashier, "interrupted").pipe(
          Stream.takeUntil(({ part }) => part.type === "text-delta"),
          Stream.runDrain
        )
        yield* Durable.interrupt(cashier, "interrupted")
        yield* until("interrupted", "interrupted")
        const { endedAt } = yield* Durable.status(cashier, "interrupted")
        assert.isAbove((yield* rows)["effect_agents_parts"]!, before["effect_agents_parts"]!)

        const list = yield* Durable.list(cashier)
        for (const { id } of list) if (id !== "left") yield* Durable.remove(cashier, id)
        assert.deepStrictEqual(yield* rows, before)
        assert.strictEqual(yield* Durable.purge(cashier, { endedBefore: leftAt }), 0)
        assert.strictEqual(yield* Durable.purge(cashier, { endedBefore: endedAt! + 1 }), 1)
        for (const [table, count] of Object.entries(yield* rows)) {
          if (!/migrations/.test(table)) assert.strictEqual(count, 0, table)
        }
      }).pipe(Effect.provide(runner(filename, [
        step(pays),
        text("left"),
        step(pays),
        text("completed"),
        refunds,
        text("answered"),
        ScriptedModel.die("broken"),
        text("mended"),
        [text("a"), hang]
      ])))
    ))
})

describe("Durable.remove", () => {
  it.live("needs no process that works on the execution", () =>
    inFile((filename) =>
      Effect.gen(function*() {
        const empty = yield* Effect.gen(function*() {
          const empty = yield* rows
          yield* start("waits")
          yield* until("waits", "waiting")
          yield* start("works")
          yield* Durable.attach(cashier, "works").pipe(
            Stream.takeUntil(({ part }) => part.type === "text-delta"),
            Stream.runDrain
          )
          return empty
        }).pipe(Effect.provide(runner(filename, [refunds, [text("a"), hang]])))
        // a client: it does not know the agent's workflow
        yield* Effect.gen(function*() {
          yield* Effect.timeout(Durable.remove(cashier, "waits"), "2 seconds")
          yield* Durable.remove(cashier, "works")
          assert.deepStrictEqual(yield* rows, empty)
          const unknown = yield* Effect.flip(Durable.status(cashier, "works"))
          assert.strictEqual(unknown._tag, "ExecutionUnknown")
        }).pipe(Effect.provide([SqliteRunner.layer({ filename, grace: "50 millis" }), Logger.layer([])]))
      })
    ))

  it.live("one that works is ended first, and another one may have its id at once", () =>
    inFile((filename) =>
      Effect.gen(function*() {
        yield* start("order")
        yield* Durable.attach(cashier, "order").pipe(
          Stream.takeUntil(({ part }) => part.type === "text-delta"),
          Stream.runDrain
        )
        yield* Durable.remove(cashier, "order")
        yield* start("order")
        assert.strictEqual((yield* Durable.result(cashier, "order")).text, "again")
      }).pipe(Effect.provide(runner(filename, [[text("a"), hang], text("again")])))
    ))
})

describe("Durable.result, Durable.approvals", () => {
  it.live("read the ends of runs, not their parts", () =>
    Effect.gen(function*() {
      const store = yield* ExecutionStore.ExecutionStore
      yield* start("bill")
      yield* until("bill", "waiting")
      const blind = Effect.provideService(ExecutionStore.ExecutionStore, {
        ...store,
        rows: () => Effect.die("the parts are read")
      })
      const [approval] = yield* blind(Durable.approvals(cashier, "bill"))
      assert.strictEqual(approval?.tool, "refund")
      yield* Durable.answer(cashier, "bill", [Approval.approve(approval!)])
      assert.strictEqual((yield* blind(Durable.result(cashier, "bill"))).text, "done")
      assert.deepStrictEqual(yield* blind(Durable.approvals(cashier, "bill")), [])
    }).pipe(Effect.provide(
      Durable.layer(cashier).pipe(
        Layer.provideMerge([WorkflowEngine.layerMemory, ExecutionStore.layerMemory]),
        Layer.provide([ScriptedModel.layer([refunds, text("done")]), tools])
      )
    )))
})

describe("an execution that kills its process", () => {
  it.live("is parked with its cause after `maximumAttempts`, and `resume` gives it as many again", () =>
    Effect.gen(function*() {
      const poison = Durable.make(Agent.make("cashier", { toolkit }), { version: 1, maximumAttempts: 3 })
      yield* inFile((filename) =>
        Effect.gen(function*() {
          let calls = 0
          const process = (use: Effect.Effect<void, any, any>, script: ReadonlyArray<ScriptedModel.Step>) =>
            use.pipe(
              Effect.provide(
                Durable.layer(poison).pipe(
                  Layer.provideMerge(SqliteRunner.layer({ filename, poll: "50 millis", grace: "50 millis" })),
                  Layer.provide([ScriptedModel.layer(script), tools])
                )
              )
            ) as Effect.Effect<void>
          // a process that ends before anything is recorded
          const dies = (begins: Effect.Effect<unknown, any, any>) =>
            process(
              Effect.gen(function*() {
                yield* begins
                const store = yield* ExecutionStore.ExecutionStore
                yield* Effect.repeat(store.get("7:cashier:order"), {
                  until: (now) => now?.attempts === calls + 1,
                  schedule: Schedule.spaced("5 millis")
                })
                calls++
              }),
              [[text("a"), hang]]
            )
          yield* dies(Durable.start(poison, { id: "order", prompt: "Hi" }))
          yield* dies(Effect.void)
          yield* dies(Effect.void)
          yield* process(
            Effect.gen(function*() {
              const { cause, status } = yield* until("order", "parked")
              assert.strictEqual(status, "parked")
              assert.include(cause, "has ended 3 times")
              yield* Durable.resume(poison, "order")
              assert.strictEqual((yield* Durable.result(poison, "order")).text, "mended")
            }),
            [text("mended")]
          )
        })
      )
    }))
})

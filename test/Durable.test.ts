/** Durable agents over the engine in memory. What real processes do to them is in the tests of processes. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { WorkflowEngine } from "effect/workflow"
import { Durable, ExecutionStore } from "../src/durable/index.ts"
import { Agent, Approval } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
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

const runner = (script: ReadonlyArray<ScriptedModel.Step>, done: Array<string> = []) =>
  Durable.layer(cashier).pipe(
    Layer.provideMerge(engine),
    Layer.provideMerge(ScriptedModel.layer(script)),
    Layer.provide(toolkit.toLayer({
      pay: ({ amount }) => Effect.sync(() => `paid ${done.push(`pay ${amount}`)}`),
      refund: ({ amount }) => Effect.sync(() => `refunded ${done.push(`refund ${amount}`)}`)
    }))
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
      const [asked] = yield* Durable.attach(cashier, id).pipe(
        Stream.takeUntil(({ part }) => part.type === "run-end"),
        Stream.runCollect,
        Effect.flatMap(() => Effect.repeat(Durable.approvals(cashier, id), { until: ({ length }) => length > 0 }))
      )
      assert.deepStrictEqual(done, [])
      yield* Durable.answer(cashier, id, [Approval.approve(asked!)])
      const result = yield* Durable.result(cashier, id)
      assert.strictEqual(result.text, "Refunded")
      assert.deepStrictEqual(done, ["refund 3"])
    }).pipe(Effect.provide(runner([refunds, text("Refunded")], done)))
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Option, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Activity, DurableDeferred, Workflow, WorkflowEngine } from "effect/workflow"
import { Agent, AgentTool, Approval, Journal, SessionHistory, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import type { Log } from "./utils.ts"

/** A journal whose records are activities of the workflow that this runs in. */
const journalOf = Effect.gen(function*() {
  const context = yield* Effect.context<WorkflowEngine.WorkflowEngine | WorkflowEngine.WorkflowInstance>()
  const instance = Context.get(context, WorkflowEngine.WorkflowInstance)
  return Journal.Journal.of({
    id: instance.executionId,
    record: (name, execute) =>
      Activity.make({
        name,
        success: Schema.String,
        error: Journal.JournalError,
        // what ends because the workflow is suspended has not ended
        execute: Effect.gen(function*() {
          const text = yield* execute
          return instance.suspended ? yield* Workflow.suspend(yield* WorkflowEngine.WorkflowInstance) : text
        })
      }).pipe(Effect.provideContext(context), Effect.withTracerEnabled(false)),
    isSuspended: (cause) =>
      Effect.succeed(
        Cause.hasDies(cause) || instance.suspended || (Cause.hasInterruptsOnly(cause) && !instance.interrupted)
      )
  })
})

const { layer: script, step, text, toolCalls } = ScriptedModel

const Pay = Tool.make("pay", {
  parameters: Schema.Struct({ n: Schema.Finite }),
  success: Schema.Struct({ at: Schema.Date }),
  needsApproval: ({ n }) => n === 2
})
const paying = Toolkit.make(Pay)
const leaf = Agent.make("leaf", { toolkit: paying })
const main = Agent.make("main", {
  toolkit: AgentTool.toolkit(AgentTool.make(leaf)),
  providers: [SessionHistory.provider]
})

const Answers = DurableDeferred.make("approval/answers", { success: Schema.Boolean })

const Assistant = Workflow.make("assistant", {
  payload: { prompt: Schema.String },
  idempotencyKey: ({ prompt }) => prompt,
  success: Schema.String
}).annotate(Workflow.SuspendOnFailure, true)

describe("a run in a workflow", () => {
  it.live("goes on after a defect and after an approval, with what its activities have kept", () =>
    Effect.gen(function*() {
      const log: Log = []
      const bodies = { begun: 0, defects: 1 }
      const handlers = paying.toLayer({
        pay: ({ n }) =>
          Effect.suspend(() => {
            log.push(`pay ${n}`)
            if (n === 1 && bodies.defects-- > 0) return Effect.die("a bug that is going to be mended")
            return Effect.succeed({ at: new Date(n) })
          })
      })
      const model = script([
        step(text("I ask"), toolCalls({ id: "d", name: "leaf", params: { prompt: "pay" } })),
        toolCalls(
          { id: "c1", name: "pay", params: { n: 1 } },
          { id: "c2", name: "pay", params: { n: 2 } },
          { id: "c3", name: "pay", params: { n: 3 } }
        ),
        text("leaf"),
        text(["all ", "paid"])
      ])
      const body = Assistant.toLayer(({ prompt }) =>
        Effect.gen(function*() {
          bodies.begun++
          const journal = yield* journalOf
          const waiting = yield* Agent.run(main, { prompt, session: "s" }).pipe(
            Effect.provideService(Journal.Journal, journal)
          )
          const isApproved = yield* DurableDeferred.await(Answers)
          const answers = waiting.approvals.map((approval) =>
            isApproved ? Approval.approve(approval) : Approval.deny(approval)
          )
          const { text } = yield* Agent.resume(main, { session: "s" }, answers).pipe(
            Effect.provideService(Journal.Journal, journal)
          )
          return text
        }).pipe(Effect.orDie)
      )
      return yield* Effect.gen(function*() {
        const id = yield* Assistant.execute({ prompt: "Pay the bills" }, { discard: true })
        const count = (line: string) => log.filter((each) => each === line).length
        assert.strictEqual(yield* settled(id), "Suspended")
        assert.strictEqual(count("pay 1"), 1)

        // mended: what was in flight is done again
        yield* Assistant.resume(id)
        assert.strictEqual(yield* settled(id), "Suspended")
        assert.deepStrictEqual([count("pay 1"), count("pay 2")], [2, 0])

        const token = DurableDeferred.tokenFromExecutionId(Answers, { workflow: Assistant, executionId: id })
        yield* DurableDeferred.succeed(Answers, { token, value: true })
        assert.strictEqual(yield* Assistant.execute({ prompt: "Pay the bills" }), "all paid")
        assert.deepStrictEqual([count("pay 1"), count("pay 2")], [2, 1])
        assert.isAtMost(count("pay 3"), 2)
        assert.isAtLeast(bodies.begun, 3)

        const { history, version } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s"))
        assert.deepStrictEqual(history.content.map(({ role }) => role), [
          "user",
          "assistant",
          "tool",
          "tool",
          "assistant"
        ])
        assert.isAtLeast(version, 2)
        yield* ScriptedModel.assertDone
      }).pipe(
        Effect.provide(body),
        Effect.provide([WorkflowEngine.layerMemory, model, handlers, SessionStore.layerMemory])
      )
    }))
})

const settled = Effect.fnUntraced(function*(id: string) {
  for (let n = 0; n < 20_000; n++) {
    const result = yield* Assistant.poll(id)
    if (Option.isSome(result)) return result.value._tag
    yield* Effect.yieldNow
  }
  return "Running"
})

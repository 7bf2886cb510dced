/**
 * Approvals that a provider asks for, beside each of the other features: whatever stands around the run, it waits with
 * what was asked, and the provider gets the one answer.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, ExecutionPlan, Exit, Schema } from "effect"
import type { LanguageModel, Prompt } from "effect/ai"
import {
  Agent,
  Approval,
  Budget,
  Compaction,
  type ContextProvider,
  Guardrail,
  type Middleware,
  ModelFallback,
  SessionHistory,
  SessionStore,
  Steering
} from "../src/index.ts"
import { nodeSdk } from "./fixtures/telemetry.ts"
import { approvalOf, asks, finish, modelOf, responsesIn, says, toolkit } from "./fixtures/hostedApprovals.ts"

const Features = Schema.Struct({
  guard: Schema.Literals(["none", "input", "sentences", "whole", "replaces"]),
  compaction: Schema.Literals(["none", "roomy", "tight"]),
  keep: Schema.Literals(["nothing", "completed", "every-step", "always"]),
  fallback: Schema.Boolean,
  budget: Schema.Boolean,
  traced: Schema.Boolean,
  steered: Schema.Boolean,
  spoken: Schema.Boolean,
  approved: Schema.Boolean
})

const old = "word ".repeat(100).trim()
const talk: Prompt.RawInput = [
  { role: "user", content: old },
  { role: "assistant", content: "ok" },
  { role: "user", content: "refund 1" }
]

const pass = () => Effect.succeed(Guardrail.pass)

const guards: Record<
  typeof Features.Type["guard"],
  ReadonlyArray<Middleware.Middleware<unknown, LanguageModel.LanguageModel>>
> = {
  none: [],
  input: [Guardrail.input("in", pass)],
  sentences: [Guardrail.output("out", pass)],
  whole: [Guardrail.outputWhole("out", pass)],
  replaces: [Guardrail.outputWhole("out", ({ text }) => Effect.succeed(Guardrail.replace(text.toUpperCase())))]
}

const agentOf = ({ budget, compaction, fallback, guard, keep }: typeof Features.Type) => {
  const providers: ReadonlyArray<
    ContextProvider.ContextProvider<unknown, SessionStore.SessionStore | LanguageModel.LanguageModel>
  > = [
    ...(keep === "nothing" ? [] : [SessionHistory.make({ keep })]),
    ...(compaction === "none" ? [] : [
      Compaction.make({
        maxTokens: compaction === "tight" ? 60 : 10_000,
        strategies: [Compaction.dropOldest]
      })
    ])
  ]
  return Agent.make("clerk", {
    toolkit,
    providers,
    middleware: [
      ...guards[guard],
      ...(fallback ? [ModelFallback.make(ExecutionPlan.make({ provide: Context.empty(), attempts: 2 }))] : []),
      ...(budget ? [Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 2 })))] : [])
    ]
  })
}

describe("approvals that a provider asks for", () => {
  it.effect.prop(
    "wait and are answered, whatever stands around the run",
    { features: Features },
    Effect.fnUntraced(function*({ features }) {
      const { approved, guard, keep, spoken, steered, traced } = features
      const agent = agentOf(features)
      const said = spoken ? says("May I?").slice(0, 3) : []
      const { asked, layer } = modelOf([[...said, ...asks(1), finish()], says("done")])
      const steering = steered ? yield* Steering.make : undefined
      const session = keep === "nothing" ? undefined : "s"
      const program = Effect.gen(function*() {
        if (steering !== undefined) yield* steering.send("And be quick.")
        const first = yield* Agent.run(agent, { prompt: talk, session, steering })
        const answer = approved ? Approval.approve(approvalOf(1)) : Approval.deny(approvalOf(1), "no")
        const second = yield* Agent.resume(agent, session === undefined ? { result: first } : { session }, [answer])
        return [first, second] as const
      })
      const run = Effect.provide(program, [layer, SessionStore.layerMemory])
      const [exit, exported] = traced ? yield* nodeSdk.run(run) : [yield* Effect.exit(run), undefined]
      if (Exit.isFailure(exit)) return assert.fail(Cause.pretty(exit.cause))
      const [first, second] = exit.value
      const shown = (text: string) => guard === "replaces" ? text.toUpperCase() : text
      assert.deepStrictEqual([first.stopReason, first.approvals, first.text], [
        "approval-required",
        [approvalOf(1)],
        spoken ? shown("May I?") : ""
      ])
      assert.deepStrictEqual([second.stopReason, second.approvals, second.text], ["stop", [], shown("done")])
      assert.lengthOf(asked, 2)
      assert.deepStrictEqual(responsesIn(asked[1]), [["mcpr_1", approved]])
      const users = asked[1].prompt.flatMap(({ content, role }) =>
        role === "user" ? content.map((part) => part.type === "text" && part.text) : []
      )
      assert.deepStrictEqual(users, [
        ...(features.compaction === "tight" ? [] : [old]),
        "refund 1",
        ...(steered ? ["And be quick."] : [])
      ])
      // nobody has run it here
      if (exported !== undefined) {
        const operations = exported.spans.map(({ name }) => name.split(" ")[0])
        assert.deepStrictEqual(operations.sort(), ["chat", "chat", "invoke_agent", "invoke_agent"])
      }
    }),
    { timeout: 120_000, arbitrary: { runs: 100, seed: "hosted" } }
  )
})

import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Schedule, Schema } from "effect"
import { AiError, LanguageModel, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentError,
  AgentTool,
  Approval,
  Budget,
  BudgetAccount,
  BudgetStore,
  Compaction,
  ContextProvider,
  Guardrail,
  Journal,
  ModelFallback
} from "../src/index.ts"
import { SqlBudgetStore } from "../src/sql/index.ts"
import { SqliteClient } from "../src/sqlite/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { showExit } from "./utils.ts"

const { fail, finish, hang, layer: script, step, text, toolCalls, usage } = ScriptedModel

const answer = (said: string, ...calls: ReadonlyArray<ScriptedModel.ToolCall>) =>
  step(
    calls.length === 0 ? text(said) : toolCalls(...calls),
    finish(calls.length === 0 ? "stop" : "tool-calls", usage(20, 10))
  )

const Note = Tool.make("note", { success: Schema.String })
const Exact = Tool.make("exact", { parameters: Schema.Struct({ a: Schema.Int }) })
const ByHand = Tool.make("byHand", { success: Schema.String, dependencies: [LanguageModel.LanguageModel] })
const Pay = Tool.make("pay", { needsApproval: true })
const Beside = Tool.make("beside", { dependencies: [BudgetAccount.BudgetAccount] })
const toolkit = Toolkit.make(Note, Exact, ByHand, Pay, Beside)
const inner = Agent.make("inner", { instructions: "inner" })
const handlers = toolkit.toLayer({
  note: () => Effect.succeed("noted"),
  exact: () => Effect.void,
  byHand: () => Effect.orDie(Effect.map(Agent.run(inner, { prompt: "by hand" }), ({ text }) => text)),
  pay: () => Effect.void,
  beside: () => Effect.orDie(Effect.asVoid(charge({ tokens: 7 })))
})
const charge = (amounts: Partial<BudgetStore.Amounts>) =>
  Effect.flatMap(BudgetAccount.BudgetAccount, (account) => account.charge(amounts))
const leaf = Agent.make("leaf", { toolkit: Toolkit.make(Note) })
const call = (name: string, params: unknown = {}) => ({ id: `c-${name}`, name, params })

const amounts = (given: Partial<BudgetStore.Amounts>): BudgetStore.Amounts => ({ ...BudgetStore.nothing, ...given })

type Store = BudgetStore.BudgetStore["Service"]

const memory = BudgetStore.layerMemory
const sqlite = Layer.provide(SqlBudgetStore.layer, SqliteClient.layer({ filename: ":memory:" }))

const plenty = Budget.make({ tokens: 10_000, modelCalls: 100, toolCalls: 100 })

/** Each attempt opens the account as a process of its own does. */
const account = (store: Store, budget: Budget.Budget<unknown> = plenty, refuse: "run" | "call" = "call") =>
  Layer.provide(
    Layer.fresh(BudgetAccount.layer(budget, { id: "acme", refuse, seed: { money: 1 } })),
    Layer.succeed(BudgetStore.BudgetStore)(store)
  )

const spentIn = (store: Store) => Effect.map(store.balance("acme", 0), ({ spent }) => spent)

type Run = Effect.Effect<unknown, unknown, any>

/** What runs with an account, and what it has spent. */
const worlds: ReadonlyArray<{
  readonly name: string
  readonly run: Run
  readonly script: ReadonlyArray<ScriptedModel.Step>
  readonly spent: Partial<BudgetStore.Amounts>
}> = [
  {
    name: "its own calls and those of its tools",
    run: Agent.run(Agent.make("agent", { toolkit, middleware: [BudgetAccount.middleware] }), { prompt: "go" }),
    script: [answer("", call("note"), call("exact"), call("ghost")), answer("done")],
    spent: { tokens: 60, modelCalls: 2, toolCalls: 1 }
  },
  {
    name: "an agent that is a tool",
    run: Agent.run(
      Agent.make("agent", {
        toolkit: AgentTool.toolkit(AgentTool.make(leaf)),
        middleware: [BudgetAccount.middleware]
      }),
      { prompt: "go" }
    ),
    script: [answer("", call("leaf", { prompt: "x" })), answer("", call("note")), answer("leaf"), answer("done")],
    spent: { tokens: 120, modelCalls: 4, toolCalls: 2 }
  },
  {
    name: "a run that a tool has begun, and what the tool has charged itself",
    run: Agent.run(Agent.make("agent", { toolkit, middleware: [BudgetAccount.middleware] }), { prompt: "go" }),
    script: [answer("", call("byHand")), answer("by hand"), answer("", call("beside")), answer("done")],
    spent: { tokens: 127, modelCalls: 4, toolCalls: 2 }
  },
  {
    name: "a call that is made again because the first one has failed",
    run: Agent.run(
      Agent.make("agent", { middleware: [ModelFallback.retry(Schedule.recurs(2)), BudgetAccount.middleware] }),
      { prompt: "go" }
    ),
    script: [step(fail(new AiError.RateLimitError({}))), answer("done")],
    spent: { tokens: 30, modelCalls: 2 }
  },
  {
    name: "an agent that summarises, and not what else asks a model",
    run: Agent.run(
      Agent.make("agent", {
        providers: [
          Compaction.make({
            maxTokens: 60,
            strategies: [
              Compaction.summariseWith((prompt) => Effect.map(Agent.run(inner, { prompt }), ({ text }) => text))
            ]
          }),
          ContextProvider.make("charges", {
            beforeRun: () =>
              Effect.as(
                Effect.andThen(
                  LanguageModel.generateText({ prompt: "beside" }),
                  Effect.all([charge({ tokens: 5 }), charge({ tokens: 6 }), charge({ tokens: 5 })], {
                    concurrency: "unbounded"
                  })
                ),
                {}
              )
          })
        ],
        middleware: [
          BudgetAccount.middleware,
          Guardrail.inputBefore(
            "judge",
            () => Effect.as(LanguageModel.generateText({ prompt: "Is it fine?" }), Guardrail.pass)
          )
        ]
      }),
      {
        prompt: [
          ...Array.from({ length: 6 }, (_, index) => [
            { role: "user" as const, content: `A long question with the number ${index} and many words` },
            { role: "assistant" as const, content: [{ type: "text" as const, text: `An answer to ${index}` }] }
          ]).flat(),
          { role: "user", content: "And now?" }
        ]
      }
    ),
    script: Array.from({ length: 12 }, () => answer("a summary")),
    spent: { tokens: 166, modelCalls: 5 }
  },
  {
    name: "a run that goes on after an approval",
    run: Effect.gen(function*() {
      const agent = Agent.make("agent", { toolkit, middleware: [BudgetAccount.middleware] })
      const result = yield* Agent.run(agent, { prompt: "go" })
      return yield* Agent.resume(agent, { result }, result.approvals.map((approval) => Approval.approve(approval)))
    }),
    script: [answer("", call("pay")), answer("done")],
    spent: { tokens: 60, modelCalls: 2, toolCalls: 1 }
  }
]

describe("BudgetAccount with a Journal", () => {
  for (const [where, budgets] of [["memory", memory], ["SQLite", sqlite]] as const) {
    it.effect.each(worlds)(
      `charges once, in ${where}: $name`,
      ({ run, script: steps, spent }) =>
        Effect.forEach(["call", "run"] as const, (refuse) =>
          Effect.scoped(Effect.gen(function*() {
            const store = Context.get(yield* Layer.build(Layer.fresh(budgets)), BudgetStore.BudgetStore)
            const records = new Map<string, string>()
            const once = (steps: ReadonlyArray<ScriptedModel.Step>) =>
              Effect.exit(run).pipe(
                Effect.provide([script(steps), handlers, account(store, plenty, refuse), Journal.layerMemory(records)])
              ) as Effect.Effect<Exit.Exit<unknown>>
            const first = yield* once(steps)
            assert.isTrue(Exit.isSuccess(first), showExit(first))
            const expected = amounts({ money: 1, ...spent })
            assert.deepStrictEqual(yield* spentIn(store), expected)
            assert.deepStrictEqual(yield* once([]), first)
            assert.deepStrictEqual(yield* spentIn(store), expected)
            // those who have made the calls did not come to write their costs
            for (const name of records.keys()) if (/\/cost(~\d+)?$/.test(name)) records.delete(name)
            assert.deepStrictEqual(yield* once([]), first)
            assert.isAbove((yield* spentIn(store)).tokens, expected.tokens)
          })))
    )
  }

  const agent = Agent.make("agent", { toolkit, middleware: [BudgetAccount.middleware] })
  const opened = Effect.map(Effect.provide(BudgetStore.BudgetStore, memory), (store) => ({
    store,
    records: new Map<string, string>()
  }))
  const go = (
    { records, store }: Effect.Success<typeof opened>,
    steps: ReadonlyArray<ScriptedModel.Step>,
    budget: Budget.Budget<unknown>
  ) =>
    Agent.run(agent, { prompt: "go" }).pipe(
      Effect.provide([script(steps), handlers, account(store, budget), Journal.layerMemory(records)])
    )

  const tight: ReadonlyArray<readonly [string, Budget.Budget<unknown>]> = [
    ["final answers", Budget.make({ modelCalls: 2 })],
    ["failures", Budget.orFail(Budget.make({ modelCalls: 2 }))]
  ]
  it.effect.each(tight)(
    "lets a run go on that has drawn the last calls itself: %s",
    ([, budget]) =>
      Effect.gen(function*() {
        const world = yield* opened
        const cut = yield* Effect.forkChild(
          Effect.timeoutOption(go(world, [answer("", call("note")), step(text("half"), hang)], budget), "1 second")
        )
        yield* TestClock.adjust("1 second")
        yield* Fiber.join(cut)
        assert.strictEqual((yield* spentIn(world.store)).modelCalls, 2)
        const result = yield* go(world, [answer("done")], budget)
        assert.deepStrictEqual([result.text, result.stopReason], ["done", "stop"])
        assert.strictEqual((yield* spentIn(world.store)).modelCalls, 2)
        // another execution is a new run
        const other = yield* Effect.flip(go({ ...world, records: new Map() }, [], budget))
        assert.strictEqual((other as Budget.BudgetExceeded)._tag, "BudgetExceeded")
      })
  )

  it.effect("refuses again what it has refused, also when it was refilled in the meantime", () =>
    Effect.gen(function*() {
      const world = yield* opened
      yield* world.store.charge({ id: "acme", window: 0, amounts: amounts({ tokens: 50 }) })
      const budget = Budget.make({ tokens: 50 })
      const first = yield* Effect.exit(go(world, [], budget))
      yield* world.store.topUp("acme", 0, amounts({ tokens: 50 }))
      assert.deepStrictEqual(yield* Effect.exit(go(world, [], budget)), first)
      assert.strictEqual(showExit(first).split(" after")[0], "Failed Fail BudgetExceeded")
    }))

  it.effect("fails with `InvalidRecord` when a record of an account cannot be used", () =>
    Effect.gen(function*() {
      const world = yield* opened
      yield* go(world, [answer("", call("note")), answer("done")], plenty)
      const names = [...world.records.keys()].filter((name) => name.includes("account/"))
      assert.isAtLeast(names.length, 4)
      for (const name of names) {
        const records = new Map([...world.records, [name, "{"]])
        const exit = yield* Effect.exit(go({ ...world, records }, [], plenty))
        const error = Exit.isFailure(exit) ? Cause.squash(exit.cause) : undefined
        assert(AgentError.isAgentError(error) && error.reason._tag === "InvalidRecord", `${name} ${showExit(exit)}`)
        assert.strictEqual(error.reason.record, name)
      }
    }))
})

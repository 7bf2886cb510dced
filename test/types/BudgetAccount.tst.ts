import { type Cron, type Duration, type Effect, Layer, Schema } from "effect"
import type { AiError, LanguageModel } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, Budget, BudgetAccount, BudgetStore } from "../../src/index.ts"

const budget = Budget.make({ tokens: 5 })
const opened = BudgetAccount.layer(budget, { id: "acme", refuse: "call" })

describe("BudgetAccount", () => {
  it("is a layer over a store, which fails when the account makes no sense", () => {
    expectTypeOf(opened).toEqualTypeOf<
      Layer.Layer<
        BudgetAccount.BudgetAccount,
        BudgetStore.BudgetStoreError | BudgetAccount.InvalidAccount,
        BudgetStore.BudgetStore
      >
    >()
    expectTypeOf(Layer.provide(opened, BudgetStore.layerMemory)).toEqualTypeOf<
      Layer.Layer<BudgetAccount.BudgetAccount, BudgetStore.BudgetStoreError | BudgetAccount.InvalidAccount>
    >()
    expectTypeOf<BudgetAccount.Options["refill"]>().toEqualTypeOf<Duration.Input | Cron.Cron | undefined>()
  })

  it("shows in the type of an agent: what it needs, and what it fails with", () => {
    const agent = Agent.make("agent", { middleware: [BudgetAccount.middleware] })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<
      Budget.BudgetExceeded | BudgetStore.BudgetStoreError | AgentError.AgentError | AiError.AiError
    >()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<
      BudgetAccount.BudgetAccount | LanguageModel.LanguageModel
    >()
  })

  it("has amounts that are schemas", () => {
    expectTypeOf(Schema.decodeUnknownEffect(BudgetStore.Balance)).returns.toEqualTypeOf<
      Effect.Effect<BudgetStore.Balance, Schema.SchemaError>
    >()
  })

  it("refuses what has no meaning", () => {
    // @ts-expect-error an account has an id
    BudgetAccount.layer(budget, { refuse: "call" })
    // @ts-expect-error what is refused of a run that works is a choice
    BudgetAccount.layer(budget, { id: "acme" })
    // @ts-expect-error a duration or a schedule
    BudgetAccount.layer(budget, { id: "acme", refuse: "run", refill: new Date() })
    // @ts-expect-error no account has a wall time
    BudgetAccount.layer(budget, { id: "acme", refuse: "run", seed: { wallTime: 5 } })
  })
})

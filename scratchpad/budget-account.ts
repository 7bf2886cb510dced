/**
 * Accounts: each of two tenants has three model calls a day. The account of a tenant is a layer, one store keeps all
 * accounts, and a new day begins at midnight in Berlin.
 *
 * Run it with `npx node scratchpad/budget-account.ts`: the model is scripted and the clock a test's, no network.
 */
import { Console, Cron, Effect } from "effect"
import { TestClock } from "effect/testing"
import { Agent, Budget, BudgetAccount, BudgetStore } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const assistant = Agent.make("assistant", { middleware: [BudgetAccount.middleware] })

const daily = Budget.make({ name: "daily", modelCalls: 3 })

const tenant = (id: string) =>
  BudgetAccount.layer(daily, {
    id,
    refuse: "call",
    refill: Cron.parseUnsafe("0 0 * * *", "Europe/Berlin"),
    // acme has already made one call today, with another system
    seed: id === "acme" ? { modelCalls: 1 } : {}
  })

const ask = (id: string) =>
  Effect.gen(function*() {
    const { text } = yield* Agent.run(assistant, { prompt: "Hello" })
    const { spent } = yield* Effect.flatMap(BudgetAccount.BudgetAccount, (account) => account.balance)
    yield* Console.log(`${id}: ${text} (${spent.modelCalls} of 3 calls)`)
  }).pipe(
    Effect.catchTag("BudgetExceeded", (error) => Console.log(`${id}: ${error.message}`)),
    Effect.provide(tenant(id))
  )

const program = Effect.gen(function*() {
  yield* TestClock.setTime(Date.UTC(2026, 5, 1, 21, 59))
  for (const id of ["acme", "umbrella", "acme", "acme", "umbrella"]) yield* ask(id)
  yield* Console.log("midnight in Berlin")
  yield* TestClock.adjust("1 minute")
  yield* ask("acme")
})

const answers = Array.from({ length: 5 }, () => ScriptedModel.text("Hello."))

Effect.runPromise(
  program.pipe(Effect.provide([ScriptedModel.layer(answers), BudgetStore.layerMemory, TestClock.layer()]))
)

/**
 * The prices of models in US dollars, from the table that `@pydantic/genai-prices` maintains.
 *
 * The table is part of that package, so nothing is loaded at run time. Its `updatePrices` loads a newer table.
 *
 * **Example** (What a tenant may spend in a day, in dollars)
 *
 * ```ts
 * import { Console, Effect, Layer } from "effect"
 * import { Agent, Budget, BudgetAccount, BudgetStore } from "effect-agents"
 * import { GenAiPrices } from "effect-agents/prices"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const agent = Agent.make("agent", { middleware: [BudgetAccount.middleware] })
 *
 * const account = BudgetAccount.layer(Budget.make({ money: 0.01, prices: GenAiPrices.price }), {
 *   id: "acme",
 *   refill: "1 day",
 *   refuse: "run"
 * })
 *
 * const program = Effect.gen(function*() {
 *   yield* Agent.run(agent, { prompt: "Hello" })
 *   const { spent } = yield* Effect.flatMap(BudgetAccount.BudgetAccount, (account) => account.balance)
 *   yield* Console.log(spent.money > 0.01)
 *   yield* Agent.run(agent, { prompt: "Hello" })
 * }).pipe(
 *   Effect.catchTag("BudgetExceeded", (error) => Console.log(error.resource))
 * )
 *
 * const model = ScriptedModel.model(
 *   [ScriptedModel.step(ScriptedModel.text("Hello."), ScriptedModel.finish("stop", ScriptedModel.usage(1000, 2000)))],
 *   { name: "gpt-4o", provider: "openai" }
 * )
 *
 * Effect.runPromise(Effect.provide(program, [model, Layer.provide(account, BudgetStore.layerMemory)]))
 * // => true
 * // => money
 * ```
 *
 * @since 0.1.0
 */

import { calcPrice } from "@pydantic/genai-prices"
import type * as Budget from "../Budget.ts"
import { tokensOf } from "../internal/budget/cost.ts"

/**
 * Returns the price of a million tokens for a call, or `undefined` for a model that is not in the table.
 *
 * **Details**
 *
 * The price includes the rates of cached tokens and of long calls: it is the average over the tokens of the call, so
 * that the total is the amount that the table gives. Without a provider the table looks for the provider that has the
 * model. For a provider that is not in the table there are no prices, whatever the names of its models. The AI SDK's
 * names of providers are recognized: `openai.responses` is `openai`.
 *
 * @category accessors
 * @since 0.1.0
 */
export const price: Budget.Prices = (model, provider, usage) => {
  if (model === undefined) return undefined
  const { cacheRead, cacheWrite, input, output } = tokensOf(usage)
  const tokens = {
    // the cached tokens are a part of the input, even if a provider reports fewer input tokens
    input_tokens: Math.max(input, cacheRead + cacheWrite),
    cache_read_tokens: cacheRead,
    cache_write_tokens: cacheWrite,
    output_tokens: output
  }
  const found = provider === undefined
    ? calcPrice(tokens, model)
    : calcPrice(tokens, model, { providerId: provider }) ??
      calcPrice(tokens, model, { providerId: provider.split(".")[0]! })
  if (found === null) return undefined
  const rate = (money: number, count: number): number => count === 0 ? 0 : money * 1_000_000 / count
  const inputRate = rate(found.input_price, tokens.input_tokens)
  return { input: inputRate, output: rate(found.output_price, output) }
}

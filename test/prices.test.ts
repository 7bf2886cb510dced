import { assert, describe, it } from "@effect/vitest"
import { calcPrice } from "@pydantic/genai-prices"
import { Effect, Option } from "effect"
import { Agent, AgentRun, Budget } from "../src/index.ts"
import { GenAiPrices } from "../src/prices/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"

const { finish, model, step, text } = ScriptedModel

interface Tokens {
  readonly total: number
  readonly cacheRead?: number
  readonly cacheWrite?: number
  readonly output: number
}

/** What a run of one call costs. */
const money = (name: string, provider: string, { output, ...input }: Tokens) => {
  const budget = Budget.make({ money: 1000, prices: GenAiPrices.price })
  return Effect.andThen(Agent.run(Agent.make("agent"), { prompt: "go" }), Budget.spent(budget)).pipe(
    Budget.provide(budget),
    Effect.map((spent) => Option.getOrThrow(spent).money),
    Effect.provide(model(
      [step(text("done"), finish("stop", { inputTokens: input, outputTokens: { total: output } }))],
      { name, provider }
    ))
  )
}

describe("GenAiPrices", () => {
  const table = (name: string, providerId: string, { cacheRead, cacheWrite, output, total }: Tokens) =>
    calcPrice(
      {
        input_tokens: total,
        output_tokens: output,
        ...cacheRead !== undefined && { cache_read_tokens: cacheRead },
        ...cacheWrite !== undefined && { cache_write_tokens: cacheWrite }
      },
      name,
      { providerId }
    )!.total_price

  const cases: ReadonlyArray<readonly [string, string, string, Tokens]> = [
    ["gpt-5", "openai", "openai.responses", { total: 1000, output: 200 }],
    ["gpt-5", "openai", "openai", { total: 1000, cacheRead: 900, output: 0 }],
    ["claude-sonnet-4-5-20250929", "anthropic", "anthropic.messages", {
      total: 9000,
      cacheRead: 4000,
      cacheWrite: 3000,
      output: 70
    }],
    // the tier of long calls
    ["claude-sonnet-4-5", "anthropic", "anthropic", { total: 300_000, cacheRead: 50_000, output: 70 }],
    ["gemini-2.5-pro", "google", "google.generative-ai", { total: 200_001, output: 70 }]
  ]

  it.effect.each(cases)(
    "has the money of %s as the table has it",
    ([name, providerId, provider, tokens]) =>
      Effect.gen(function*() {
        const expected = table(name, providerId, tokens)
        assert.isAbove(expected, 0)
        assert.closeTo(yield* money(name, provider, tokens), expected, 1e-12)
      })
  )

  it.effect("is dearer in a long call, and cheaper from a cache", () =>
    Effect.gen(function*() {
      const short = yield* money("claude-sonnet-4-5", "anthropic", { total: 100_000, output: 0 })
      const long = yield* money("claude-sonnet-4-5", "anthropic", { total: 400_000, output: 0 })
      const cached = yield* money("claude-sonnet-4-5", "anthropic", { total: 100_000, cacheRead: 100_000, output: 0 })
      assert.isAbove(long, 4 * short)
      assert.isBelow(cached, short / 2)
    }))

  it.effect("has none for a model or a provider that the table does not know: its call uses up the money", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* money("unheard-of", "openai", { total: 1, output: 1 }), 1000)
      assert.strictEqual(yield* money("gpt-5", "reseller", { total: 1, output: 1 }), 1000)
    }))

  it("believes no cache that is more than all of the input, and needs no provider", () => {
    const usage: AgentRun.Usage = {
      ...AgentRun.emptyUsage,
      inputTokens: { ...AgentRun.emptyUsage.inputTokens, total: 5, cacheRead: 9 }
    }
    const price = GenAiPrices.price("gpt-5", undefined, usage)
    assert.isTrue(price !== undefined && price.input > 0 && price.output === 0)
    assert.isUndefined(GenAiPrices.price(undefined, "openai", usage))
  })
})

/**
 * Budgets: an editor asks three writers at the same time, and all of them draw from the editor's budget. A run that
 * finds it used up gives a final answer. A hard limit around it fails the whole run.
 *
 * Run it with `npx node scratchpad/budget.ts`: the model is scripted, no network.
 */
import { Console, Effect, Option, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentTool, Budget } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const { delay, finish, layer, step, text, toolCalls, usage } = ScriptedModel

const Left = Tool.make("left", { description: "What may still be spent", success: Schema.String })
const toolkit = Toolkit.make(Left)
const handlers = toolkit.toLayer({
  left: () =>
    Effect.map(Budget.remaining, ({ modelCalls, money }) => `${modelCalls} model calls, ${money?.toFixed(2)} euros`)
})

const writer = Agent.make("writer", { toolkit })
const editor = Agent.make("editor", { toolkit: AgentTool.toolkit(AgentTool.make(writer, { name: "write" })) })

const budget = Budget.make({
  name: "article",
  modelCalls: 4,
  money: 1,
  prices: { input: 100, output: 500 }
})

// the writers run at the same time, so the answer depends on the prompt, not on the order of calls
const answer = ({ prompt, toolChoice }: ScriptedModel.Request): ReadonlyArray<ScriptedModel.Piece> => {
  const last = JSON.stringify(prompt.content.at(-1)?.content)
  if (last.includes("An article")) {
    const write = ["spring", "summer", "autumn"].map((season) => ({ name: "write", params: { prompt: season } }))
    return [toolCalls(...write), finish("tool-calls", usage(500, 100))]
  }
  return toolChoice === "none" || last.includes("euros")
    ? [delay("10 millis"), text("A few words."), finish("stop", usage(500, 100))]
    : [toolCalls({ name: "left", params: {} }), finish("tool-calls", usage(500, 100))]
}

const report = <E>(budget: Budget.Budget<E>) =>
  Effect.gen(function*() {
    const { stopReason, text } = yield* Agent.run(editor, { prompt: "An article, please" })
    const spent = Option.getOrThrow(yield* Budget.spent(budget))
    yield* Console.log(`${text} (${stopReason})`)
    yield* Console.log(`${spent.modelCalls} model calls, ${spent.tokens} tokens, ${spent.money.toFixed(2)} euros`)
  }).pipe(Budget.provide(budget))

const program = Effect.gen(function*() {
  yield* report(budget)
  yield* report(Budget.orFail(budget)).pipe(
    Effect.catchTag("BudgetExceeded", (error) => Console.log(error.message))
  )
})

Effect.runPromise(
  program.pipe(Effect.provide([layer(Array.from({ length: 20 }, () => step(answer))), handlers]))
)

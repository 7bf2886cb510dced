/**
 * An overloaded model is called again, and then another one answers. Tools are not repeated, and the usage of every
 * attempt is counted.
 */
import { Console, Context, Effect, ExecutionPlan, Schema, Stream } from "effect"
import { AiError, Tool, Toolkit } from "effect/ai"
import { Agent, ModelFallback } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const Weather = Tool.make("get_weather", {
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.String
})
const toolkit = Toolkit.make(Weather)

const overloaded = ScriptedModel.fail(new AiError.InternalProviderError({ description: "Overloaded" }))

const second = ScriptedModel.layer([ScriptedModel.text("Yes, says the second model.")])

const plan = ExecutionPlan.make(
  // the model of the agent, three times
  { provide: Context.empty(), attempts: 3, schedule: ModelFallback.backoff({ base: "10 millis" }) },
  { provide: second }
)

const assistant = Agent.make("assistant", { toolkit, middleware: [ModelFallback.make(plan)] })

const program = Agent.stream(assistant, { prompt: "Will it rain in Oslo?" }).pipe(
  Stream.runForEach((part) => {
    switch (part.type) {
      case "tool-call":
        return Console.log(`the first model calls ${part.name}`)
      case "run-end":
        return Console.log(`${part.result.text} (${part.result.steps.length} steps)`)
      default:
        return Effect.void
    }
  })
)

const first = ScriptedModel.layer([
  overloaded,
  ScriptedModel.toolCalls({ name: "get_weather", params: { city: "Oslo" } }),
  overloaded,
  overloaded,
  overloaded
])
const tools = toolkit.toLayer({ get_weather: ({ city }) => Effect.as(Console.log(`  (asking for ${city})`), "rain") })

Effect.runPromise(Effect.provide(program, [first, tools]))

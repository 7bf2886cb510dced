import { assert, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

// the results of the tool calls, as they were in the run
const results: Record<string, Effect.Effect<Schema.Json, Schema.Json>> = {
  "call-1-1": Effect.succeed({ time: "12:00 Oslo" }),
  "call-1-2": Effect.fail("no such zone")
}

const parameters = Schema.Record(Schema.String, Schema.Json)
const options = { parameters, success: Schema.Json, failure: Schema.Json, failureMode: "return" } as const
const toolkit = Toolkit.make(
  Tool.make("now", options)
)
const tools = toolkit.toLayer({
  now: (_, { toolCallId }) => results[toolCallId ?? ""]
})

// put your own agent in its place
const agent = Agent.make("clock", { toolkit })

const model = ScriptedModel.layer([
  [
    ScriptedModel.toolCalls(
      { id: "call-1-1", name: "now", params: { zone: "Oslo" } },
      { id: "call-1-2", name: "now", params: { zone: "Mars" } }
    )
  ],
  [ScriptedModel.text(["noon ", "in Oslo"])]
])

it.effect("answers: What is the time in Oslo?", () =>
  Effect.gen(function*() {
    const result = yield* Agent.run(agent, { prompt: "What is the time in Oslo?" })
    assert.strictEqual(result.text, "noon in Oslo")
    yield* ScriptedModel.assertDone
  }).pipe(Effect.provide([model, tools])))

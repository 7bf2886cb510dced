/**
 * A run that receives a message while it works, and is then asked to stop.
 *
 * `node scratchpad/steering.ts`
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, Steering } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const toolkit = Toolkit.make(
  Tool.make("search", { parameters: Schema.Struct({ for: Schema.String }), success: Schema.String })
)

const handlers = toolkit.toLayer({ search: (query) => Effect.succeed(`three pages about ${query.for}`) })

const researcher = Agent.make("researcher", { toolkit })

const search = (query: string) => ScriptedModel.toolCalls({ name: "search", params: { for: query } })

const model = ScriptedModel.layer([
  search("whales"),
  ScriptedModel.step(({ prompt }) => {
    const last = prompt.content.findLast((message) => message.role === "user")?.content[0]
    return search(last?.type === "text" ? last.text : "nothing")
  }),
  search("never asked")
])

const program = Effect.gen(function*() {
  const steering = yield* Steering.make
  yield* Agent.stream(researcher, { prompt: "Find out about whales", steering }).pipe(
    Stream.tap((part) => {
      if (part.type !== "tool-call") return Effect.void
      return part.id === "call-1-1" ? steering.send("blue whales") : steering.stop
    }),
    Stream.runForEach((part) => {
      switch (part.type) {
        case "tool-result":
          return Console.log(part.encodedResult)
        case "run-end":
          return Console.log(part.result.stopReason, "after", part.result.steps.length, "steps")
        default:
          return Effect.void
      }
    })
  )
}).pipe(Effect.provide([model, handlers]))

Effect.runPromise(program)

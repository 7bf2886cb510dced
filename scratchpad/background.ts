/** A lead whose researchers work in the background: `node scratchpad/background.ts` */
import { Console, Effect, Stream } from "effect"
import { Agent } from "../src/index.ts"
import { Background } from "../src/orchestration/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const researcher = Agent.make("researcher", { description: "Finds things out" })

const lead = Agent.make("lead", {
  instructions: "Start researchers, write the introduction meanwhile, and then ask for what they have found.",
  providers: [Background.provider({ researcher })]
})

const start = (prompt: string): ScriptedModel.ToolCall => ({
  name: "start_worker",
  params: { worker: "researcher", prompt }
})

const wait = (id: string): ScriptedModel.ToolCall => ({ name: "await_worker", params: { id, seconds: 10 } })

/** The model of all of them: it answers by what it is asked, since nobody knows who asks first. */
const answer = ({ prompt }: ScriptedModel.Request): ScriptedModel.Piece | ReadonlyArray<ScriptedModel.Piece> => {
  const asked = JSON.stringify(prompt.content.at(-1))
  if (asked.includes("How high")) return [ScriptedModel.delay("20 millis"), ScriptedModel.text("2469 m")]
  if (asked.includes("How old")) return ScriptedModel.hang
  if (asked.includes("Galdhøpiggen")) return ScriptedModel.toolCalls(start("How high is it?"), start("How old is it?"))
  if (asked.includes("2469 m")) return ScriptedModel.toolCalls({ name: "stop_worker", params: { id: "task-2" } })
  if (asked.includes("stopped")) return ScriptedModel.text("Galdhøpiggen is 2469 m high. Nobody knows its age in time.")
  return ScriptedModel.toolCalls(wait("task-1"))
}

const model = ScriptedModel.layer(Array.from({ length: 8 }, () => answer))

const program = Agent.stream(lead, { prompt: "Write about Galdhøpiggen" }).pipe(
  Stream.runForEach((part) => {
    switch (part.type) {
      case "tool-call":
        return Console.log(part.name, JSON.stringify(part.params))
      case "tool-result":
        return Console.log("  ", JSON.stringify(part.encodedResult))
      case "run-end":
        return Console.log(part.result.text)
      default:
        return Effect.void
    }
  })
)

Effect.runPromise(Effect.provide(program, model))

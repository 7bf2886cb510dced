/**
 * Agents as tools: a lead asks two researchers at the same time. Their parts are in its stream, and their usage is in
 * its total. When a researcher fails, the lead reads the failure.
 *
 * Run it with `npx node scratchpad/agent-tool.ts`: the model is scripted, no network.
 */
import { Console, Effect, Stream } from "effect"
import type { Prompt } from "effect/ai"
import { AiError } from "effect/ai"
import { Agent, type AgentRun, AgentTool } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const { delay, fail, finish, layer, step, text, toolCalls, usage } = ScriptedModel

const geographer = Agent.make("geographer", { description: "Knows mountains and rivers" })
const historian = Agent.make("historian", { description: "Knows what happened when" })

const lead = Agent.make("lead", {
  instructions: "Ask the others, then answer.",
  toolkit: AgentTool.toolkit(
    AgentTool.make(geographer, { name: "geography" }),
    AgentTool.make(historian, { name: "history", failureMode: "return" })
  )
})

const show = (part: AgentRun.Part): Effect.Effect<void> => {
  switch (part.type) {
    case "tool-call":
      return Console.log(`lead calls ${part.name}`)
    case "tool-result":
      return Console.log(`lead reads ${JSON.stringify(part.encodedResult)}`)
    case "agent-part":
      return part.part.type === "text-delta"
        ? Console.log(`  ${part.path.join("/")} says ${part.part.delta}`)
        : Effect.void
    case "run-end": {
      const { text, totalUsage, usage } = part.result
      const tokens = ({ inputTokens, outputTokens }: AgentRun.Usage) =>
        `${inputTokens.total} in, ${outputTokens.total} out`
      return Console.log(`${text}\nown: ${tokens(usage)}; with the agents it called: ${tokens(totalUsage)}`)
    }
    default:
      return Effect.void
  }
}

const questionOf = (prompt: Prompt.Prompt): string => JSON.stringify(prompt.content.at(-1)?.content)

// the researchers run at the same time, so the answer depends on the prompt, not on the order of calls
const answer = ({ prompt }: ScriptedModel.Request): ReadonlyArray<ScriptedModel.Piece> => {
  const question = questionOf(prompt)
  if (question.includes("How high")) {
    return [
      delay("20 millis"),
      text(["2469 m", " above the sea"], { every: "20 millis" }),
      finish("stop", usage(40, 8))
    ]
  }
  if (question.includes("Who climbed")) {
    return [text("I recall"), fail(new AiError.RateLimitError({}))]
  }
  return question.includes("tool-result")
    ? [text("It is 2469 m high; who was first I could not find out."), finish("stop", usage(150, 16))]
    : [
      toolCalls(
        { name: "geography", params: { prompt: "How high is Galdhøpiggen?" } },
        { name: "history", params: { prompt: "Who climbed it first?" } }
      ),
      finish("tool-calls", usage(100, 30))
    ]
}

Effect.runPromise(
  Agent.stream(lead, { prompt: "Tell me of Galdhøpiggen" }).pipe(
    Stream.runForEach(show),
    Effect.provide(layer(Array.from({ length: 4 }, () => step(answer))))
  )
)

/**
 * A team that works by a plan: the planner writes down what is known and what is to be done, the manager says who does what
 * next, and the plan is made anew when it does not lead on.
 *
 * Run it with `npx node scratchpad/plan.ts`: the model is scripted, no network.
 */
import { Console, Effect, Stream } from "effect"
import { Agent, type AgentRun } from "../src/index.ts"
import { Orchestration } from "../src/orchestration/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const research = Orchestration.plan("research", {
  web: Agent.make("web", { description: "Reads the web" }),
  archive: Agent.make("archive", { description: "Has the old newspapers" })
}, {
  planner: Agent.make("planner", { output: Orchestration.Plan }),
  manager: Agent.make("manager", { output: Orchestration.Ledger(["web", "archive"]) }),
  writer: Agent.make("writer"),
  stalls: 1
})

const show = (part: AgentRun.Part): Effect.Effect<void> => {
  switch (part.type) {
    case "tool-result":
      return Console.log(`${part.name}: ${JSON.stringify(part.encodedResult)}`)
    case "run-end":
      return Console.log(part.result.text)
    default:
      return Effect.void
  }
}

const gives = (params: Orchestration.Plan | Orchestration.Ledger<"web" | "archive">) =>
  ScriptedModel.toolCalls({ name: "final_answer", params })

const goesOn = { isDone: false, isProgressing: true, isLooping: false } as const

const model = ScriptedModel.layer([
  gives({ facts: "To look up: who climbed it first", plan: "web looks" }),
  gives({ ...goesOn, next: "web", instruction: "Who climbed Galdhøpiggen first?" }),
  ScriptedModel.text("I find nothing."),
  gives({ ...goesOn, isProgressing: false, next: "web", instruction: "Look again" }),
  gives({ facts: "The web does not know", plan: "archive looks" }),
  gives({ ...goesOn, next: "archive", instruction: "Who climbed Galdhøpiggen first?" }),
  ScriptedModel.text("Steinar Sulheim, in 1850."),
  gives({ ...goesOn, isDone: true, next: "archive", instruction: "" }),
  ScriptedModel.text("Steinar Sulheim climbed it first, in 1850.")
])

Effect.runPromise(
  Agent.stream(research, { prompt: "Who climbed Galdhøpiggen first?" }).pipe(
    Stream.runForEach(show),
    Effect.provide(model)
  )
)

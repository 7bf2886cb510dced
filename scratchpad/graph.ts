/**
 * A graph: two researchers at the same time, a writer, and an editor that sends the text back once. A person allows the
 * result, in another process it could be; then the diagram shows where the run is.
 *
 * Run it with `npx node scratchpad/graph.ts`: the model is scripted, no network. The diagrams are for `mermaid.live`.
 */
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Agent, type AgentRun, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { AgentGraph } from "../src/orchestration/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const Verdict = Schema.Struct({ accepted: Schema.Boolean, feedback: Schema.String })

const article = AgentGraph.make("article")
  .agent("web", Agent.make("web"))
  .agent("archive", Agent.make("archive"))
  .agent("draft", Agent.make("writer"), { after: ["web", "archive"] })
  .effect("words", {
    after: ["draft"],
    success: Schema.Int,
    run: ({ draft }) => Effect.succeed(draft.split(" ").length)
  })
  .agent("editor", Agent.make("editor", { output: Verdict }), {
    after: ["draft", "words"],
    prompt: ({ draft, words }) => `Judge these ${words} words: ${draft}`
  })
  .loop("editor", "draft", { times: 2, when: ({ accepted }) => !accepted, feedback: ({ feedback }) => feedback })
  .effect("publish", {
    after: ["draft", "editor"],
    when: { editor: ({ accepted }) => accepted },
    success: Schema.String,
    approval: { parameters: Schema.Struct({ text: Schema.String }), params: ({ draft }) => ({ text: draft }) },
    run: (_, { params }) => Effect.succeed(`Published: ${params.text}`)
  })

const agent = AgentGraph.toAgent(article).pipe(Agent.withProvider(SessionHistory.providerEveryStep))

const show = (part: AgentRun.Part): Effect.Effect<void> => {
  switch (part.type) {
    case "tool-call":
      return Console.log(`${part.name} ...`)
    case "tool-result":
      return Console.log(`${part.name}: ${JSON.stringify(part.encodedResult)}`)
    case "tool-approval-request":
      return Console.log(`May it be published? ${JSON.stringify(part.approval?.params)}`)
    default:
      return Effect.void
  }
}

const program = Effect.gen(function*() {
  const parts = yield* Stream.runCollect(
    Stream.tap(Agent.stream(agent, { prompt: "Galdhøpiggen", session: "a" }), show)
  )
  const live = parts.reduce((state, part) => AgentGraph.reduce(state, part), AgentGraph.initial(article))
  yield* Console.log(`\n${AgentGraph.toMermaid(article, { state: live })}\n`)

  const end = parts.find((part) => part.type === "run-end")
  const approvals = end?.result.approvals.map((approval) => Approval.approve(approval)) ?? []
  const { value } = yield* Agent.resume(agent, { session: "a" }, approvals)
  yield* Console.log(value)

  const store = yield* SessionStore.SessionStore
  const stored = AgentGraph.ofHistory(article, (yield* store.load("a")).history)
  yield* Console.log(
    Object.entries(stored.nodes).map(([name, { runs, status }]) => `${name} ${status} ×${runs}`).join(", ")
  )
})

const judge = (accepted: boolean, feedback: string) =>
  ScriptedModel.toolCalls({ name: "final_answer", params: { accepted, feedback } })

const model = ScriptedModel.layer([
  ScriptedModel.text("2469 m high"),
  ScriptedModel.text("climbed in 1850"),
  ScriptedModel.text("A mountain"),
  judge(false, "Say more."),
  ScriptedModel.text("A mountain of 2469 m, climbed in 1850"),
  judge(true, "")
])

Effect.runPromise(Effect.provide(program, Layer.mergeAll(model, SessionStore.layerMemory)))

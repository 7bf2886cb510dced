/**
 * A desk whose agents hand a conversation over to one another, in a session of two runs: triage sends the user on to
 * billing, which asks for an approval, and still has the conversation in the next run, until it gives it back.
 *
 * Run it with `npx node scratchpad/handoff.ts`: the model is scripted, no network.
 */
import { Console, Effect, Layer, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, type AgentRun, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { Handoff } from "../src/orchestration/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const { layer, text, toolCalls } = ScriptedModel

const toolkit = Toolkit.make(
  Tool.make("refund", {
    parameters: Schema.Struct({ order: Schema.String }),
    success: Schema.String,
    needsApproval: true
  })
)
const tools = toolkit.toLayer({ refund: ({ order }) => Effect.succeed(`refunded ${order}`) })

const triage = Agent.make("triage", { description: "Finds out who can help" })
const billing = Agent.make("billing", { description: "Invoices and refunds", toolkit })
const repairs = Agent.make("repairs", { description: "Things that are broken" })

const desk = Handoff.make("desk", { triage, billing, repairs }, {
  routes: { triage: ["billing", "repairs"], billing: ["triage"], repairs: ["triage"] }
}).pipe(Agent.withProvider(SessionHistory.provider))

const show = (part: AgentRun.Part): Effect.Effect<void> => {
  switch (part.type) {
    case "tool-call":
      return Console.log(`[${part.name} has the conversation]`)
    case "text-delta":
      return Console.log(part.delta)
    case "tool-approval-request":
      return Console.log(`May ${part.approval?.path.join("/")} call ${part.approval?.tool}?`)
    default:
      return Effect.void
  }
}

const ask = (prompt: string) =>
  Agent.stream(desk, { prompt, session: "ada" }).pipe(
    Stream.onStart(Console.log(`\n> ${prompt}`)),
    Stream.tap(show),
    Stream.runFold((): ReadonlyArray<Approval.Approval> => [], (approvals, part) =>
      part.type === "run-end" ? part.result.approvals : approvals)
  )

const program = Effect.gen(function*() {
  const approvals = yield* ask("Order 7 was charged twice")
  yield* Agent.resumeStream(desk, { session: "ada" }, approvals.map((approval) => Approval.approve(approval))).pipe(
    Stream.runForEach(show)
  )
  yield* ask("Thank you. And the kettle does not heat")
  const store = yield* SessionStore.SessionStore
  const { history } = yield* store.load("ada")
  yield* Console.log(`\n${Handoff.holder(history)} has the conversation now`)
})

const model = layer([
  [text("One moment."), toolCalls({ name: "transfer_to_billing", params: { message: "order 7, charged twice" } })],
  toolCalls({ name: "refund", params: { order: "7" } }),
  text("You have your money back."),
  toolCalls({ name: "transfer_to_triage", params: {} }),
  toolCalls({ name: "transfer_to_repairs", params: {} }),
  text("Is it plugged in?")
])

Effect.runPromise(Effect.provide(program, Layer.mergeAll(model, tools, SessionStore.layerMemory)))

/**
 * Approvals: asked for, edited, denied, answered in a session, and standing rules. Run it with
 * `npx node scratchpad/approval.ts`: no network, no key.
 */
import { Console, Effect, Layer, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentTool, Approval, SessionHistory, SessionStore } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const Pay = Tool.make("pay", {
  parameters: Schema.Struct({ to: Schema.String, amount: Schema.Finite }),
  success: Schema.String,
  needsApproval: ({ amount }) => amount > 10
})
const toolkit = Toolkit.make(Pay)
const handlers = toolkit.toLayer({
  pay: ({ amount, to }) => Effect.as(Console.log(`  (paying ${amount} to ${to})`), `paid ${amount} to ${to}`)
})

/** The cashier pays, and is called by another agent. */
const cashier = Agent.make("cashier", { toolkit })
const office = Agent.make("office", {
  toolkit: AgentTool.toolkit(AgentTool.make(cashier)),
  providers: [SessionHistory.provider]
})

const pay = (to: string, amount: number) => ({ name: "pay", params: { to, amount } })

const model = ScriptedModel.layer([
  ScriptedModel.toolCalls({ name: "cashier", params: { prompt: "Pay Ada 5, Bob 50 and Eve 500" } }),
  ScriptedModel.toolCalls(pay("Ada", 5), pay("Bob", 50), pay("Eve", 500)),
  ScriptedModel.text("Ada and Bob are paid, Eve is not."),
  ScriptedModel.text("Two of three are paid."),
  ScriptedModel.toolCalls({ name: "cashier", params: { prompt: "Pay Zoe 20 and Eve 20" } }),
  ScriptedModel.toolCalls(pay("Zoe", 20), pay("Eve", 20)),
  ScriptedModel.text("Zoe is paid, Eve never is."),
  ScriptedModel.text("One of two is paid.")
])

/** The decision of a person, made by a function here. */
const decide = (approval: Approval.Approval): Approval.Answer => {
  const { amount, to } = approval.params as typeof Pay.parametersSchema.Type
  return amount > 100
    ? Approval.deny(approval, "Too much for today")
    : Approval.approve(approval, { params: { to, amount: amount - 1 } })
}

const show = ({ params, path, tool }: Approval.Approval) =>
  Console.log(`  ${path.join("/")} wants to call ${tool} with ${JSON.stringify(params)}`)

const program = Effect.gen(function*() {
  const asked = yield* Agent.run(office, { prompt: "Pay everyone", session: "october" })
  yield* Console.log(`The run stopped: ${asked.stopReason}`)

  // this may be in another process, because the session keeps the approvals
  const { history } = yield* Effect.flatMap(SessionStore.SessionStore, (store) => store.load("october"))
  const approvals = Approval.pending(history)
  yield* Effect.forEach(approvals, show)
  const answers = approvals.map(decide)
  const done = yield* Agent.resume(office, { session: "october" }, answers)
  yield* Console.log(done.text)

  const again = yield* Effect.flip(Agent.resume(office, { session: "october" }, answers))
  yield* Console.log(`Once more: ${again.message}`)

  const ruled = yield* Agent.run(office, { prompt: "And the rest", session: "october" }).pipe(
    Effect.provideService(Approval.Rules, [
      Approval.always(Pay, ({ amount }) => amount < 50),
      Approval.never(Pay, ({ to }) => to === "Eve" && "Eve is not a customer")
    ])
  )
  yield* Console.log(ruled.text)
})

Effect.runPromise(Effect.provide(program, Layer.mergeAll(model, handlers, SessionStore.layerMemory)))

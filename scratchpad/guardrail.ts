/**
 * Guardrails on the input, the output and a tool. Run it with `npx node scratchpad/guardrail.ts`: no network, no key.
 */
import { Console, Effect, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, Guardrail } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const Pay = Tool.make("pay", {
  parameters: Schema.Struct({ to: Schema.String, amount: Schema.Finite }),
  success: Schema.String
})
const toolkit = Toolkit.make(Pay)
const handlers = toolkit.toLayer({ pay: ({ amount, to }) => Effect.succeed(`paid ${amount} to ${to}`) })

/** Runs beside the model call. It is slow, so the model begins to answer meanwhile. */
const onTopic = Guardrail.input("on-topic", ({ text }) =>
  Effect.as(
    Effect.sleep("120 millis"),
    /poem/i.test(text) ? Guardrail.trip({ topic: "poetry" }) : Guardrail.pass
  ))

/** Checks sentence by sentence, so an account number is never shown. */
const noAccounts = Guardrail.output(
  "no-accounts",
  ({ text }) =>
    Effect.succeed(/\d{6,}/.test(text) ? Guardrail.replace(text.replace(/\d{6,}/g, "******")) : Guardrail.pass)
)

/** Checks a tool call before it runs: at most 100 at once. */
const small = Guardrail.tool("small", {
  tools: ["pay"],
  before: ({ params }) =>
    Effect.succeed(
      Schema.is(Schema.Struct({ amount: Schema.Finite }))(params) && params.amount > 100
        ? Guardrail.refuse("Payments above 100 need a human")
        : Guardrail.pass
    )
})

const teller = Agent.make("teller", { toolkit, middleware: [onTopic, noAccounts, small] })

const model = ScriptedModel.layer([
  ScriptedModel.step(
    ScriptedModel.text(["Paying from 12", "345678 now. ", "One moment."], { every: "30 millis" }),
    ScriptedModel.toolCalls({ name: "pay", params: { to: "Ada", amount: 500 } })
  ),
  ScriptedModel.text(["That is too much, ", "ask a human."]),
  ScriptedModel.text(["Roses ", "are ", "red, ", "violets ", "are ", "blue."], { every: "30 millis" })
])

const show = (prompt: string) =>
  Console.log(`\n> ${prompt}`).pipe(
    Effect.andThen(
      Stream.runForEach(Agent.stream(teller, { prompt }), (part) =>
        part.type === "text-delta"
          ? Console.log(`  ${part.delta}`)
          : part.type === "tool-result"
          ? Console.log(`  ${part.name}: ${JSON.stringify(part.encodedResult)}`)
          : Effect.void)
    ),
    Effect.catchTag("GuardrailTripped", (error) => Console.log(`  ${error.message}:`, error.info))
  )

Effect.runPromise(
  Effect.andThen(show("Pay Ada 500"), show("Write a poem")).pipe(Effect.provide([model, handlers]))
)

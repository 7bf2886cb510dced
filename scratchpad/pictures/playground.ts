/**
 * Takes the README's picture of the playground, from the page itself: `npx node scratchpad/pictures/playground.ts`.
 */
import { NodeHttpServer } from "@effect/platform-node"
import { Console, Context, Effect, Layer, Redacted, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { HttpRouter, HttpServer } from "effect/http"
import { createServer } from "node:http"
import { join } from "node:path"
import { Agent, AgentTool, SessionHistory } from "../../src/index.ts"
import { Playground } from "../../src/playground/index.ts"
import { ScriptedModel } from "../../src/testing/index.ts"
import * as Browser from "../../test/fixtures/browser.ts"

const { delay, finish, reasoning, step, text, toolCalls, usage } = ScriptedModel

const Trains = Tool.make("find_trains", {
  description: "Finds the trains of a day",
  parameters: Schema.Struct({ from: Schema.String, to: Schema.String, day: Schema.String }),
  success: Schema.Array(Schema.Struct({ leaves: Schema.String, arrives: Schema.String, price: Schema.Int }))
})
const Book = Tool.make("book_seat", {
  description: "Books a seat, and pays for it",
  parameters: Schema.Struct({ train: Schema.String, seat: Schema.Literals(["window", "aisle"]), price: Schema.Int }),
  success: Schema.String,
  needsApproval: true
})
const guide = AgentTool.make(
  Agent.make("guide", { description: "Knows what is to be seen on the way" }),
  { name: "guide" }
)

const toolkit = Toolkit.make(Trains, Book, guide.tool)

const handlers = toolkit.toLayer({
  find_trains: () =>
    Effect.delay(
      Effect.succeed([
        { leaves: "08:25", arrives: "15:12", price: 549 },
        { leaves: "12:03", arrives: "18:51", price: 399 }
      ]),
      "420 millis"
    ),
  book_seat: () => Effect.succeed("booked"),
  guide: guide.handler
})

const travel = Agent.make("travel", {
  description: "Plans journeys by train, and books them when you agree",
  instructions: "Look before you answer. Book nothing without being asked.",
  toolkit,
  providers: [SessionHistory.provider]
})

const words = (said: string) => said.split(/(?<= )/)

const model = ScriptedModel.model([
  step(
    reasoning("Both questions can be asked at the same time.", { every: "80 millis" }),
    text(words("I look for trains, and ask the guide what is to be seen. "), { every: "25 millis" }),
    toolCalls(
      { id: "call_1", name: "find_trains", params: { from: "Oslo", to: "Bergen", day: "2026-06-12" } },
      { id: "call_2", name: "guide", params: { prompt: "What is to be seen between Oslo and Bergen?" } }
    ),
    finish("tool-calls", usage(1240, 96))
  ),
  step(
    delay("240 millis"),
    text(words("Sit on the **left**: the Hardangervidda, and the *Flåm* valley after Myrdal."), { every: "40 millis" }),
    finish("stop", usage(310, 41))
  ),
  step(
    delay("300 millis"),
    text(
      words(
        "Two trains go on Friday:\n\n| Train | Leaves | Arrives | Price |\n| --- | --- | --- | --- |\n| 601 | 08:25 | 15:12 | 549 kr |\n| 609 | 12:03 | 18:51 | 399 kr |\n\n" +
          "With train **609** you are on the plateau in the afternoon light. May I book a window seat on the left?"
      ),
      { every: "14 millis" }
    ),
    toolCalls({ id: "call_3", name: "book_seat", params: { train: "609", seat: "window", price: 399 } }),
    finish("tool-calls", usage(1690, 148))
  )
], { provider: "scripted", name: "scripted" })

const token = "picture"

const Server = HttpRouter.serve(
  Playground.layer({ agents: [travel], token: Redacted.make(token), prices: { input: 3, output: 15 } }),
  { disableListenLog: true, disableLogger: true }
).pipe(
  Layer.provide([handlers, model]),
  Layer.provideMerge(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" }))
)

const file = join(import.meta.dirname, "playground.png")

const program = Effect.gen(function*() {
  const { address } = Context.get(yield* Layer.build(Server), HttpServer.HttpServer)
  const { page } = yield* Browser.open(`${HttpServer.formatAddress(address)}/playground#token=${token}`)
  yield* Effect.promise(async () => {
    await page.setViewportSize({ width: 1360, height: 1010 })
    await page.locator(".theme select").selectOption("light")
    await page.locator("#message").fill("From Oslo to Bergen on Friday, please. What do I see on the way?")
    await page.keyboard.press("Enter")
    await page.locator("article[data-state=waiting]").waitFor()
    await page.locator(".runs button").waitFor()
    await page.locator(".facts", { hasText: "Cost" }).waitFor()
    await page.locator(".log").evaluate((log) => log.scrollTo(0, log.scrollHeight))
    await page.screenshot({ path: file })
  })
  yield* Console.log(file)
})

Effect.runPromise(Effect.scoped(program).pipe(Effect.provide(Browser.TestBrowser.layer)))

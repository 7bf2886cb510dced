/**
 * The model of the service: OpenAI if there is a key, otherwise one that needs no network and understands a few words.
 */
import { createOpenAI } from "@ai-sdk/openai"
import { Config, Effect, Layer, Redacted, Stream } from "effect"
import { LanguageModel, Model, type Prompt, type Response } from "effect/ai"
import { AiSdk } from "../../src/ai-sdk/index.ts"
import { DirectLanguageModel } from "../../src/index.ts"

/** Says what it is asked for, a word at a time. `orders`, `order o-1` and `refund o-1` are calls of tools. */
const offline = Model.make(
  "offline",
  "offline-1",
  Layer.effect(
    LanguageModel.LanguageModel,
    DirectLanguageModel.make({
      // the agent streams
      generateText: () => Effect.die("unused"),
      streamText: ({ prompt }) => answer(prompt)
    })
  )
)

const answer = (prompt: Prompt.Prompt): Stream.Stream<Response.StreamPartEncoded> => {
  const last = prompt.content.at(-1)
  if (last?.role === "tool") {
    const results = last.content.flatMap((part) => part.type === "tool-result" ? [JSON.stringify(part.result)] : [])
    return say(`This is what I found: ${results.join(", ")}`)
  }
  const text = last?.role === "user" ? last.content.map((part) => part.type === "text" ? part.text : "").join("") : ""
  const id = /\bo-\d+\b/.exec(text)?.[0]
  if (/refund/i.test(text) && id !== undefined) return call("refund_order", { id })
  if (id !== undefined) return call("find_order", { id })
  if (/orders/i.test(text)) return call("list_orders", {})
  return say(`You said: ${text}. Ask me about your orders.`)
}

let calls = 0

const call = (name: string, params: unknown): Stream.Stream<Response.StreamPartEncoded> =>
  Stream.make({ type: "tool-call", id: `call-${++calls}`, name, params }, finish("tool-calls"))

const say = (text: string): Stream.Stream<Response.StreamPartEncoded> => {
  const words: ReadonlyArray<Response.StreamPartEncoded> = text.split(/(?<= )/).map((delta) => ({
    type: "text-delta",
    id: "text",
    delta
  }))
  return Stream.fromIterable<Response.StreamPartEncoded>([{ type: "text-start", id: "text" }]).pipe(
    Stream.concat(Stream.fromIterable(words).pipe(Stream.rechunk(1), Stream.tap(() => Effect.sleep("10 millis")))),
    Stream.concat(Stream.make({ type: "text-end", id: "text" }, finish("stop")))
  )
}

const finish = (reason: Response.FinishReason): Response.StreamPartEncoded => ({
  type: "finish",
  reason,
  usage: { inputTokens: { total: 100 }, outputTokens: { total: 50 } }
})

export const ModelLive = Layer.unwrap(Effect.gen(function*() {
  const { key, name } = yield* Config.all({
    key: Config.Redacted("OPENAI_API_KEY").pipe(Config.withDefault(Redacted.make(""))),
    name: Config.String("MODEL").pipe(Config.withDefault("gpt-5"))
  })
  const apiKey = Redacted.value(key)
  return apiKey === "" ? offline : AiSdk.model(createOpenAI({ apiKey, fetch: AiSdk.fetch })(name))
}))

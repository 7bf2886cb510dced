/**
 * A conversation that grows beyond its budget: what is stored, and what the model sees. Run it with
 * `npx node scratchpad/compaction.ts`: no network, no key.
 */
import { Console, Effect } from "effect"
import { KeyValueStore } from "effect/persistence"
import { Agent, Compaction, SessionHistory, SessionStore } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const facts = [
  "My name is Ada and I live in Oslo.",
  "I like long walks, but not in the rain.",
  "My sister Berit is coming on Friday.",
  "We want to see the harbour and a museum.",
  "Berit does not eat fish, so find something else.",
  "She leaves again on Sunday at noon.",
  "What should we do on Saturday?"
]

const guide = Agent.make("guide", {
  instructions: "You plan weekends.",
  providers: [
    SessionHistory.provider,
    Compaction.make({
      maxTokens: 120,
      strategies: [Compaction.collapseToolResults(), Compaction.summariseOnce(), Compaction.dropOldest],
      onCompacted: (done) =>
        Console.log(
          `  ${done.strategies.join(", ")}: ${done.tokensBefore} -> ${done.tokensAfter} tokens, ` +
            `${done.messagesBefore} -> ${done.messagesAfter} messages`
        )
    })
  ]
})

/** Writes a summary if the prompt asks for one, otherwise an answer. */
const model = ScriptedModel.layer(Array.from({ length: 20 }, () =>
  ScriptedModel.step(({ prompt }) => {
    const sumsUp = JSON.stringify(prompt.content[0]).includes("Sum up")
    return ScriptedModel.text(
      sumsUp ? "Ada (Oslo) plans a weekend with her sister Berit." : `Noted; I saw ${prompt.content.length} messages.`
    )
  })))

const program = Effect.gen(function*() {
  for (const prompt of facts) {
    yield* Console.log(`> ${prompt}`)
    const { text } = yield* Agent.run(guide, { prompt, session: "ada" })
    yield* Console.log(`  ${text}`)
  }
  const store = yield* SessionStore.SessionStore
  const { history } = yield* store.load("ada")
  yield* Console.log(`stored: ${history.content.length} messages, ${Compaction.estimate(history)} tokens`)
})

Effect.runPromise(Effect.provide(program, [model, SessionStore.layerMemory, KeyValueStore.layerMemory]))

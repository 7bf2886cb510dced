import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Layer, Stream } from "effect"
import { AiError } from "effect/ai"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Agent, AgentRun, ContextProvider } from "../src/index.ts"
import { handlers, modelServer, providerNames, providers, toolkit } from "./fixtures/ai-sdk.ts"

/** The requests that Node's own HTTP client has open at a server. */
const openRequests = (origin: string): number => {
  const dispatcher = (globalThis as any)[Symbol.for("undici.globalDispatcher.1")]
  const stats = dispatcher.stats[origin] as {
    readonly running: number
    readonly pending: number
    readonly queued: number
  }
  return stats.running + stats.pending + stats.queued
}

const turn = Effect.callback<void>((resume) => void setImmediate(() => resume(Effect.void)))

/** How a run is used: to its end, left after some parts, or interrupted after some. */
type Use = "run" | "stream" | "leave" | "interrupt"
const uses: ReadonlyArray<Use> = ["run", "stream", "leave", "interrupt"]

describe("AiSdk under chaos", () => {
  it.live("every run ends in one outcome, and nothing is left open", () =>
    Effect.gen(function*() {
      const mock = yield* modelServer((mock) => {
        mock.on({ userMessage: "trip", hasToolResult: false }, {
          toolCalls: [
            { name: "weather", arguments: { city: "Oslo" }, id: "call_a" },
            { name: "weather", arguments: { city: "Rome" }, id: "call_b" }
          ]
        })
        mock.on({ userMessage: "trip", hasToolResult: true }, { content: "Go to Rome. ".repeat(20) }, { chunkSize: 5 })
        mock.onMessage("cut", { content: "This is never said to its end. ".repeat(9) }, {
          chunkSize: 5,
          truncateAfterChunks: 12
        })
        mock.onMessage("talk", { content: "One word and another. ".repeat(40), reasoning: "Well." }, { chunkSize: 7 })
      }, { dropRate: 0.08, malformedRate: 0.08, rateLimitRate: 0.08, disconnectRate: 0.08 })

      const finalizers = new Map<number, Array<string>>()
      const tags: Record<string, number> = {}

      const once = Effect.fnUntraced(function*(index: number) {
        const use = uses[index % uses.length]
        const prompt = ["trip", "talk", "cut"][index % 3]
        const seen: Array<string> = []
        finalizers.set(index, seen)
        const witness = ContextProvider.make("witness", {
          beforeRun: () =>
            Effect.as(
              AgentRun.addFinalizer((exit) => Effect.sync(() => void seen.push(AgentRun.outcome(exit)._tag))),
              {}
            )
        })
        const agent = Agent.make("agent", { toolkit, providers: [witness] })
        const layers = Layer.merge(
          AiSdk.layer(providers(mock.url)[providerNames[index % providerNames.length]]),
          handlers
        )
        const stream = Agent.stream(agent, { prompt })
        const exit: Exit.Exit<unknown, unknown> = yield* Effect.gen(function*() {
          switch (use) {
            case "run":
              return yield* Effect.exit(Agent.run(agent, { prompt }))
            case "stream":
              return yield* Effect.exit(Stream.runDrain(stream))
            case "leave":
              return yield* Effect.exit(Stream.runDrain(Stream.take(stream, 2 + index % 7)))
            case "interrupt": {
              const begun = yield* Deferred.make<void>()
              let parts = 0
              const fiber = yield* stream.pipe(
                Stream.runForEach(() => ++parts > 2 ? Deferred.succeed(begun, void 0) : Effect.void),
                Effect.ensuring(Deferred.succeed(begun, void 0)),
                Effect.forkChild
              )
              yield* Deferred.await(begun)
              yield* Fiber.interrupt(fiber)
              return yield* Fiber.await(fiber)
            }
          }
        }).pipe(Effect.provide(layers))
        // the finalizer has run when the run is over, once
        assert.strictEqual(seen.length, 1, `${index} ${use} ${prompt}: ${seen.join()}`)
        const [tag] = seen
        tags[tag] = (tags[tag] ?? 0) + 1
        const failed = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause)
        if (failed) {
          const error = Cause.squash(exit.cause)
          assert.isTrue(AiError.isAiError(error), String(error))
          assert.strictEqual(tag, "Failed")
        } else if (use === "leave") assert.include(["Abandoned", "Completed"], tag)
        else if (use === "interrupt") assert.include(["Interrupted", "Completed"], tag)
        else assert.strictEqual(tag, "Completed")
        if (prompt === "cut" && (use === "run" || use === "stream")) assert.strictEqual(tag, "Failed")
      })

      yield* Effect.forEach(Array.from({ length: 400 }, (_, index) => index), once, { concurrency: 10, discard: true })

      assert.strictEqual(finalizers.size, 400)
      assert.deepStrictEqual(Object.keys(tags).sort(), ["Abandoned", "Completed", "Failed", "Interrupted"])
      // what was aborted is told to the socket in a turn of the event loop
      for (let turns = 0; openRequests(mock.url) > 0 && turns < 1000; turns++) yield* turn
      assert.strictEqual(openRequests(mock.url), 0)
    }), 60_000)
})

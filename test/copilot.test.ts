import { assert, describe, layer } from "@effect/vitest"
import { Effect, Stream } from "effect"
import { Agent } from "../src/index.ts"
import * as CopilotAgent from "../src/copilot/CopilotAgent.ts"
import * as Copilot from "./fixtures/copilot.ts"
import { types } from "./utils.ts"

layer(Copilot.runtime)("CopilotAgent", (it) => {
  describe("make", () => {
    it.effect("streams the parts of an answer, and ends with its result", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("Hello", " world"))
        const agent = CopilotAgent.make("copilot", {
          model: "test-model",
          provider: Copilot.providerAt(server.url)
        })
        const parts = yield* Stream.runCollect(Agent.stream(agent, { prompt: "Who is there?" }))
        assert.deepStrictEqual(types(parts), [
          "run-start",
          "step-start",
          "text-start",
          "text-delta",
          "text-delta",
          "text-end",
          "finish",
          "step-end",
          "run-end"
        ])
      }))
  })
})

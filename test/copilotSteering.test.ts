import { assert, describe, layer } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import * as CopilotAgent from "../src/copilot/CopilotAgent.ts"
import { Agent, type AgentRun, Steering } from "../src/index.ts"
import * as Copilot from "./fixtures/copilot.ts"
import { showPrompt } from "./utils.ts"

const Look = Tool.make("look", { success: Schema.String })
const toolkit = Toolkit.make(Look)

layer(Copilot.runtime)("a steering handle of a Copilot agent", (it) => {
  describe("send", () => {
    it.effect("before the run begins adds to its prompt", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("ok"))
        const steering = yield* Steering.make
        yield* steering.send("And be brief.")
        const { transcript } = yield* Agent.run(CopilotAgent.make("copilot", Copilot.base(server)), {
          prompt: "hi",
          steering
        })
        assert.deepStrictEqual(showPrompt(transcript), ["user: hi", "user: And be brief.", "assistant: ok"])
        assert.deepStrictEqual(Copilot.conversation(server.requests[0]), ["user: hi\n\nAnd be brief."])
      }))

    it.effect("while a tool runs is read by the model in its next call", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "look", {}]), Copilot.text("ok"))
        const steering = yield* Steering.make
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit })
        const { transcript } = yield* Agent.run(agent, { prompt: "hi", steering, session: "steered" }).pipe(
          Effect.provide(toolkit.toLayer({ look: () => Effect.as(steering.send("look left too"), "seen") }))
        )
        assert.deepStrictEqual(showPrompt(transcript), [
          "user: hi",
          "assistant: look#a({})",
          `tool: look#a = "seen"`,
          "user: look left too",
          "assistant: ok"
        ])
        assert.lengthOf(server.requests, 2)
        assert.include(Copilot.conversation(server.requests[1]).at(-1), "look left too")
        assert.deepStrictEqual(yield* steering.unread, [])
      }))

    it.effect("when the model has finished lets the run go on", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.text("one, two"), Copilot.text("three"))
        const steering = yield* Steering.make
        const agent = CopilotAgent.make("copilot", Copilot.base(server))
        const parts = yield* Agent.stream(agent, { prompt: "Count to two", steering, session: "goes-on-counting" })
          .pipe(
            Stream.tap((part) =>
              part.type === "text-delta" && part.delta === "one, two" ? steering.send("And to three") : Effect.void
            ),
            Stream.runCollect
          )
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual(showPrompt(result.transcript), [
          "user: Count to two",
          "assistant: one, two",
          "user: And to three",
          "assistant: three"
        ])
        assert.deepStrictEqual(result.steps.map(({ index, text }) => [index, text]), [[0, "one, two"], [1, "three"]])
        assert.deepStrictEqual(Copilot.conversation(server.requests[1]), [
          "user: Count to two",
          "assistant: one, two",
          "user: And to three"
        ])
      }))
  })

  it.effect("takes nothing of a message that came too late, and leaves nothing of a run that failed", () =>
    Effect.gen(function*() {
      const server = yield* Copilot.modelServer(
        Copilot.calls(["a", "look", {}]),
        Copilot.breaking("o"),
        Copilot.text("ok")
      )
      const steering = yield* Steering.make
      const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit })
      const look = toolkit.toLayer({ look: () => Effect.as(steering.send("look left too"), "seen") })
      const session = "steered-and-failed"
      yield* Effect.exit(Effect.provide(Agent.run(agent, { prompt: "first", steering, session }), look))
      yield* steering.send("too late")
      assert.deepStrictEqual(
        (yield* steering.unread).map(({ content }) => content.map((part) => part.type === "text" && part.text)),
        [["too late"]]
      )
      yield* Effect.provide(Agent.run(agent, { prompt: "second", session }), look)
      assert.deepStrictEqual(Copilot.conversation(server.requests[2]), ["user: second"])
    }))

  describe("stop", () => {
    it.effect("ends the run after its step, and the model is not asked again", () =>
      Effect.gen(function*() {
        const server = yield* Copilot.modelServer(Copilot.calls(["a", "look", {}]), Copilot.hanging("never"))
        const steering = yield* Steering.make
        const agent = CopilotAgent.make("copilot", { ...Copilot.base(server), toolkit })
        const { steps, stopReason, text } = yield* Agent.run(agent, { prompt: "hi", steering }).pipe(
          Effect.provide(toolkit.toLayer({ look: () => Effect.as(steering.stop, "seen") }))
        )
        assert.deepStrictEqual([steps.length, stopReason, text], [1, "stopped", ""])
      }))
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { Agent, type AgentRun, AgentTool } from "../src/index.ts"
import { Orchestration } from "../src/orchestration/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, showPrompt, types } from "./utils.ts"

const asked = Effect.gen(function*() {
  const { requests } = yield* ScriptedModel.ScriptedModel
  return (yield* requests).map(({ prompt }) => showPrompt(prompt))
})

describe("Orchestration", () => {
  describe("sequential", () => {
    it.effect("asks each member what the one before has answered, and streams the text of the last one", () =>
      Effect.gen(function*() {
        const team = Orchestration.sequential("team", [Agent.make("a"), Agent.make("b")])
        const { parts } = yield* collectAll(Agent.stream(team, { prompt: "go" }))
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.strictEqual(result.value, "two")
        assert.strictEqual(result.text, "two")
        assert.deepStrictEqual(yield* asked, [["user: go"], ["user: one"]])
        const own = types(parts).filter((type) => type !== "agent-part")
        const call = ["step-start", "tool-call", "tool-result", "step-end"]
        const streamed = ["step-start", "tool-call", "text-start", "text-delta", "text-end", "tool-result", "step-end"]
        assert.deepStrictEqual(own, ["run-start", ...call, ...streamed, "step-start", "step-end", "run-end"])
      }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("one"), ScriptedModel.text("two")]))))

    it.effect("gives the value of a member with an output, and tells the next one its JSON", () =>
      Effect.gen(function*() {
        const Trip = Schema.Struct({ from: Schema.DateFromString })
        const planner = Agent.make("planner", { output: Trip })
        const team = Orchestration.sequential("team", [planner, planner])
        const { value } = yield* Agent.run(team, { prompt: "go" })
        assert.deepStrictEqual(value, { from: new Date("2026-02-01") })
        assert.deepStrictEqual((yield* asked)[1], [`user: {"from":"2026-01-01T00:00:00.000Z"}`])
      }).pipe(Effect.provide(ScriptedModel.layer(
        ["2026-01-01", "2026-02-01"].map((from) => ScriptedModel.toolCalls({ name: "final_answer", params: { from } }))
      ))))
  })

  describe("InvalidOrchestration", () => {
    const message = (make: () => unknown): string => {
      try {
        make()
        return "made"
      } catch (error) {
        return (error as Orchestration.InvalidOrchestration).message
      }
    }

    it("is thrown for no members, and for two of one name that are not the same", () => {
      assert.strictEqual(
        message(() => Orchestration.sequential("team", [])),
        "The orchestration `team` cannot be made: it has no members"
      )
      assert.strictEqual(
        message(() => Orchestration.sequential("team", [Agent.make("a"), Agent.make("a")])),
        "The orchestration `team` cannot be made: two of its members have the name `a`"
      )
    })
  })
})

describe("AgentTool", () => {
  it.effect("makes the prompt of the conversation of its caller too", () =>
    Effect.gen(function*() {
      const tool = AgentTool.make(Agent.make("a"), {
        prompt: ({ prompt }, conversation) => `${showPrompt(conversation)}; ${prompt}`
      })
      const team = Agent.program("team", {
        toolkit: AgentTool.toolkit(tool),
        run: (_, call) => call.a({ prompt: "and this" })
      })
      yield* Agent.run(team, { prompt: "go" })
      assert.deepStrictEqual(yield* asked, [["user: user: go; and this"]])
    }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("one")]))))
})

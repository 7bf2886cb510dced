/**
 * Answers as models give them: in words, in fences, as text instead of a call, nested without end.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentOutput } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, constructors, showPrompt } from "./utils.ts"

const { text, toolCalls } = ScriptedModel

const City = Schema.Struct({ city: Schema.String, degrees: Schema.Int })

const input = { prompt: "How warm is it?" }

const answer = (params: unknown) => toolCalls({ name: "final_answer", params, id: "answer" })

/** The answer as a provider streams it. */
const streamed = (json: string): ScriptedModel.Piece =>
  ScriptedModel.parts([
    { type: "tool-params-start", id: "answer", name: "final_answer" },
    { type: "tool-params-delta", id: "answer", delta: json },
    { type: "tool-params-end", id: "answer" },
    { type: "tool-call", id: "answer", name: "final_answer", params: JSON.parse(json) }
  ])

const wide = Array.from({ length: 2_000 }, () => ({ city: 1 }))

const notes = Toolkit.make(
  Tool.make("note", { parameters: Schema.Struct({ text: Schema.String }), success: Schema.String })
)

for (const [name, via] of constructors) {
  describe(`AgentOutput, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    for (const [mode, make] of [["tool", AgentOutput.tool], ["json", AgentOutput.json]] as const) {
      it.effect(`what is told of an answer that is wrong in very many places is cut, with ${mode}`, () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { output: make(Schema.Array(City)) })
          const { value } = yield* Agent.run(agent, input)
          assert.deepStrictEqual(value, [{ city: "Oslo", degrees: 4 }])
          const { requests } = yield* ScriptedModel.ScriptedModel
          const told = showPrompt((yield* requests)[1]!.prompt).at(-1)!
          assert.include(told, "city")
          assert.isBelow(told.length, 5_000)
        }).pipe(Effect.provide(model(
          mode === "tool" ? answer({ value: wide }) : text(JSON.stringify({ value: wide })),
          mode === "tool" ? answer({ value: [JSON.parse(right)] }) : text(`{"value":[${right}]}`)
        ))))
    }

    const right = "{\"city\":\"Oslo\",\"degrees\":4}"
    const around = [
      ["a fence", `\`\`\`json\n${right}\n\`\`\``],
      ["a thought before it", `<think>{"city":"Rome","degrees":1}?</think>\n${right}`],
      ["a BOM", `\ufeff${right}`],
      ["words around it", `The answer is ${right}, I think.`],
      ["something else that is JSON", `For {"question":1}: ${right}`],
      ["itself, once more", `${right}\n\nSo: ${right}`]
    ] as const
    for (const [what, said] of around) {
      for (const tools of [false, true]) {
        it.effect(`takes the answer out of ${what}, ${tools ? "with tools" : "without tools"}`, () =>
          Effect.gen(function*() {
            const agent = Agent.make("weather", {
              output: AgentOutput.json(City),
              ...(tools ? { toolkit: notes } : undefined)
            })
            const result = yield* Agent.run(agent, input)
            assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
            assert.strictEqual(result.text, said)
            yield* ScriptedModel.assertDone
          }).pipe(Effect.provide([
            model(...(tools ? [text("Four.")] : []), text(said)),
            notes.toLayer({ note: () => Effect.succeed("noted") })
          ])))
      }

      it.effect(`a tool's answer that is given as text is taken out of ${what}`, () =>
        Effect.gen(function*() {
          const result = yield* Agent.run(Agent.make("weather", { output: City }), input)
          assert.deepStrictEqual([result.value, result.stopReason], [{ city: "Oslo", degrees: 4 }, "output"])
          yield* ScriptedModel.assertDone
        }).pipe(Effect.provide(model(text(said)))))
    }

    it.effect("two answers that differ go back to the model, and so does one that is not valid", () =>
      Effect.gen(function*() {
        const agent = Agent.make("weather", { output: AgentOutput.json(City) })
        const result = yield* Agent.run(agent, input)
        assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
        assert.deepStrictEqual(showPrompt(result.transcript).filter((line) => line.startsWith("user")).slice(1), [
          "user: The answer is not valid. Answer again, with JSON only.\n" +
          "Expected one JSON value, got 2 that may be meant",
          "user: The answer is not valid. Answer again, with JSON only.\nExpected number\n  at [\"degrees\"]"
        ])
      }).pipe(Effect.provide(model(
        text(`${right} or {"city":"Rome","degrees":9}`),
        text("```json\n{\"city\":\"Oslo\",\"degrees\":\"4\"}\n```"),
        text(right)
      ))))

    it.effect("all that is wrong with an answer goes back to the model", () =>
      Effect.gen(function*() {
        const agent = Agent.make("weather", { output: AgentOutput.json(City) })
        const { transcript } = yield* Agent.run(agent, input)
        assert.deepStrictEqual(showPrompt(transcript).filter((line) => line.startsWith("user")).slice(1), [
          "user: The answer is not valid. Answer again, with JSON only.\n" +
          "Expected string\n  at [\"city\"]\nMissing key\n  at [\"degrees\"]"
        ])
      }).pipe(Effect.provide(model(text(`{"city":1}`), text(right)))))

    it.effect("takes a value that is not in what its schema is wrapped in", () =>
      Effect.gen(function*() {
        for (const mode of [AgentOutput.json, AgentOutput.tool]) {
          const { value } = yield* Agent.run(Agent.make("list", { output: mode(Schema.Array(Schema.Int)) }), input)
          assert.deepStrictEqual(value, [1, 2])
        }
      }).pipe(Effect.provide(model(text("[1, 2]"), text("```\n[1, 2]\n```")))))

    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree: Schema.Codec<Tree> = Schema.Struct({ children: Schema.Array(Schema.suspend(() => Tree)) }).annotate({
      identifier: "Tree"
    })
    const nested = (depth: number) => `${"{\"children\":[".repeat(depth)}${"]}".repeat(depth)}`
    for (const depth of [1e2, 1e3, 1e5]) {
      const json = nested(depth)
      for (
        const [what, output, said] of [
          ["as JSON", AgentOutput.json(Tree), text(json)],
          ["as JSON in words", AgentOutput.json(Tree), text(`Here: ${json}.`)],
          ["as a tool", AgentOutput.tool(Tree), answer(JSON.parse(json))],
          ["as a tool's text", AgentOutput.tool(Tree), text(json)],
          ["of a tool, streamed", AgentOutput.tool(Tree), streamed(json)]
        ] as const
      ) {
        it.effect(`an answer of ${depth} levels ${what} is ${depth > 256 ? "a mistake" : "valid"}`, () =>
          Effect.gen(function*() {
            const agent = Agent.make("deep", { output })
            const { parts, exit } = yield* collectAll(Agent.stream(agent, input))
            assert(Exit.isSuccess(exit))
            const end = parts.at(-1)
            assert(end?.type === "run-end")
            const value = end.result.value as Tree
            assert.strictEqual(value.children.length, depth > 256 ? 0 : 1)
            assert.strictEqual(end.result.steps.length, depth > 256 ? 2 : 1)
            for (const part of parts) {
              if (part.type === "output-partial") assert.isString(JSON.stringify(part.value))
            }
          }).pipe(Effect.provide(model(
            said,
            output.mode === "json" ? text("{\"children\":[]}") : answer({ children: [] })
          ))))
      }
    }
  })
}

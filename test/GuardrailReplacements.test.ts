/**
 * What a guardrail has refused reaches no model: with every kind of output, in sessions, nested and compacted.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Schema } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentOutput,
  AgentTool,
  Budget,
  Compaction,
  Guardrail,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, showExit, showPrompt } from "./utils.ts"

const { text, toolCalls } = ScriptedModel

const Answer = Schema.Struct({ a: Schema.Int })

const notes = Toolkit.make(Tool.make("note", { success: Schema.String }))
const handlers = notes.toLayer({ note: () => Effect.succeed("noted") })

const outputs = {
  "no output": undefined,
  "a tool": AgentOutput.tool(Answer),
  "JSON": AgentOutput.json(Answer)
}

const guards = (said: string) => ({
  inputBefore: Guardrail.inputBefore(
    "g",
    ({ text }) => Effect.succeed(text.includes("BOMB") ? Guardrail.replace(said) : Guardrail.pass)
  ),
  outputWhole: Guardrail.outputWhole(
    "g",
    ({ text }) => Effect.succeed(text.includes("BOMB") ? Guardrail.replace(said) : Guardrail.pass)
  ),
  output: Guardrail.output(
    "g",
    ({ text }) => Effect.succeed(text.includes("BOMB") ? Guardrail.replace(said) : Guardrail.pass)
  )
})

const asked = Effect.map(
  Effect.flatMap(ScriptedModel.ScriptedModel, ({ requests }) => requests),
  (requests) => requests.map(({ prompt }) => showPrompt(prompt).join("\n"))
)

describe("Guardrail", () => {
  describe("a replacement", () => {
    for (const place of ["inputBefore", "outputWhole", "output"] as const) {
      for (const [what, output] of Object.entries(outputs)) {
        for (const tools of [false, true]) {
          // in a call that is not for the answer a part of the text that is replaced is no answer
          const goesOn = place === "output" && (output?.mode === "tool" || (output?.mode === "json" && tools))
          if (goesOn) continue
          for (const said of ["I cannot help.", "{\"a\":7}"]) {
            const isValue = output !== undefined && said.startsWith("{")
            const ends = output === undefined || isValue ? "completes the run" : "fails the run"
            it.effect(`of ${place}, with ${what}${tools ? " and tools" : ""}: ${said} ${ends}`, () =>
              Effect.gen(function*() {
                const agent = Agent.make("agent", {
                  ...(output === undefined ? undefined : { output }),
                  ...(tools ? { toolkit: notes } : undefined),
                  middleware: [guards(said)[place]],
                  providers: [
                    SessionHistory.provider,
                    Compaction.make({ maxTokens: 40, strategies: [Compaction.summarise()] })
                  ]
                })
                const prompt = place === "inputBefore" ? "A BOMB?" : "How?"
                const { exit, parts } = yield* collectAll(Agent.stream(agent, { prompt, session: "s" }))
                const calls = place === "inputBefore" ? 0 : 1
                assert.lengthOf(yield* asked, calls)
                assert.strictEqual(Exit.isSuccess(exit), output === undefined || isValue)
                const end = parts.at(-1)
                if (end?.type === "run-end") {
                  assert.strictEqual(end.result.text, said)
                  assert.deepStrictEqual(end.result.value, isValue ? { a: 7 } : undefined)
                  assert.notInclude(showPrompt(end.result.transcript).join(), "BOMB")
                } else {
                  assert.strictEqual(
                    showExit(exit as never),
                    `Failed Fail AgentError.InvalidOutput after "${said}"`
                  )
                }
                // the next run of the session, whose history is summed up
                yield* Effect.exit(Agent.run(agent, { prompt: "word ".repeat(30), session: "s" }))
                const store = yield* SessionStore.SessionStore
                assert.notInclude(JSON.stringify(showPrompt((yield* store.load("s")).history)), "BOMB")
                const all = yield* asked
                assert.isAbove(all.length, calls)
                assert.notInclude(all.join(), "BOMB")
              }).pipe(Effect.provide([
                ScriptedModel.layer([
                  ...(place === "inputBefore" ? [] : [text("A BOMB is made so.")]),
                  ...Array.from({ length: 4 }, () => text("{\"a\":1}"))
                ]),
                SessionStore.layerMemory,
                handlers
              ])))
          }
        }
      }
    }

    it.effect("of one piece does not end a run that has not been asked for its answer", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          output: AgentOutput.json(Answer),
          toolkit: notes,
          middleware: [guards("A (no). ").output]
        })
        const { value } = yield* Agent.run(agent, { prompt: "How?" })
        assert.deepStrictEqual(value, { a: 1 })
        assert.notInclude((yield* asked).join(), "BOMB")
      }).pipe(Effect.provide([
        ScriptedModel.layer([text("A BOMB. I have it."), text("{\"a\":1}")]),
        handlers
      ])))

    for (const place of ["inputBefore", "outputWhole"] as const) {
      it.effect(`of ${place} in an agent that is called as a tool is all that its caller knows`, () =>
        Effect.gen(function*() {
          const inner = Agent.make("inner", { output: AgentOutput.json(Answer), middleware: [guards("no")[place]] })
          const lead = Agent.make("lead", {
            toolkit: AgentTool.toolkit(
              AgentTool.make(inner, { name: "ask", success: Answer, failureMode: "return", prompt: () => "A BOMB?" })
            )
          })
          const result = yield* Agent.run(lead, { prompt: "go" })
          assert.strictEqual(result.text, "done")
          assert.notInclude(showPrompt(result.transcript).join(), "BOMB")
          assert.lengthOf(yield* asked, place === "inputBefore" ? 2 : 3)
        }).pipe(Effect.provide(ScriptedModel.layer([
          toolCalls({ name: "ask", params: { prompt: "x" } }),
          ...(place === "inputBefore" ? [] : [text("A BOMB is made so.")]),
          text("done")
        ]))))
    }
  })

  describe("what a check spends", () => {
    const judge = Agent.make("judge")
    const checks = {
      "an agent": Effect.asVoid(Agent.run(judge, { prompt: "is it good?" })),
      "a model": Effect.asVoid(LanguageModel.generateText({ prompt: "is it good?" }))
    }
    for (const [what, spend] of Object.entries(checks)) {
      const check = () => Effect.as(spend, Guardrail.pass)
      for (
        const [place, guard] of [
          ["input", Guardrail.input("g", check)],
          ["inputBefore", Guardrail.inputBefore("g", check)],
          ["output", Guardrail.output("g", check)],
          ["outputWhole", Guardrail.outputWhole("g", check)],
          ["tool before", Guardrail.tool("g", { before: check })],
          ["tool after", Guardrail.tool("g", { after: check })]
        ] as const
      ) {
        it.effect(`is not in the usage of the run: ${what} in ${place}`, () =>
          Effect.gen(function*() {
            const budget = Budget.make({ tokens: 1_000 })
            const agent = Agent.make("agent", { toolkit: notes, middleware: [guard as never] })
            const [result, { tokens }] = yield* Effect.zip(
              Agent.run(agent, { prompt: "go" }),
              Budget.remaining
            ).pipe(Budget.provide(budget))
            // two calls of the run, and one of an agent that its check runs
            assert.strictEqual(tokens, 1_000 - 15 * (what === "an agent" ? 3 : 2))
            assert.strictEqual(result.usage.inputTokens.total, 20)
            assert.strictEqual(result.totalUsage.inputTokens.total, 20)
          }).pipe(Effect.provide([byPrompt, handlers])))
      }
    }
  })
})

/** Asks for the tool, then is done; a judge says that it is good. */
const byPrompt = ScriptedModel.layer(Array.from({ length: 6 }, () => ({ prompt }: ScriptedModel.Request) => {
  const last = showPrompt(prompt).at(-1)!
  return last.includes("good?") ? text("good") : last.startsWith("tool") ? text("done") : toolCalls({
    name: "note",
    params: {}
  })
}))

/**
 * What a guardrail has refused reaches no model: with every kind of output, in sessions, nested and compacted.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Schema, Stream, Tracer } from "effect"
import { LanguageModel, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentOutput,
  AgentRun,
  AgentTelemetry,
  AgentTool,
  Budget,
  Compaction,
  ContextProvider,
  Guardrail,
  Middleware,
  Session,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collecting } from "./fixtures/spans.ts"
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

  describe("refused input", () => {
    const slowly = (verdict: Guardrail.Trip | Guardrail.Replace<string>) => ({ text }: Guardrail.Input) =>
      Effect.as(Effect.sleep("1 second"), text.includes("BOMB") ? verdict : Guardrail.pass)
    const refusals = {
      "input trips": Guardrail.input("g", slowly(Guardrail.trip()) as never),
      "inputBefore trips": Guardrail.inputBefore("g", slowly(Guardrail.trip())),
      "inputBefore answers": Guardrail.inputBefore("g", slowly(Guardrail.replace("no")))
    }
    const refused = "user: [refused by the guardrail `g`]"
    for (const keep of ["completed", "every-step", "always"] as const) {
      for (const [how, guard] of Object.entries(refusals)) {
        it.effect(`is in no session and on no span: ${how}, keep ${keep}`, () =>
          Effect.gen(function*() {
            const { spans, tracer } = collecting()
            const outcomes: Array<AgentRun.Outcome> = []
            const agent = Agent.make("agent", {
              middleware: [guard as never],
              providers: [
                SessionHistory.make({ keep }),
                ContextProvider.make("outcome", {
                  beforeRun: () =>
                    AgentRun.addFinalizer((exit) => Effect.sync(() => void outcomes.push(AgentRun.outcome(exit))))
                })
              ]
            })
            const fiber = yield* Agent.run(agent, { prompt: "A BOMB?", session: "s" }).pipe(
              Effect.exit,
              Effect.provideService(Tracer.Tracer, tracer),
              Effect.forkChild
            )
            yield* TestClock.adjust("1 second")
            yield* Fiber.join(fiber)
            const store = yield* SessionStore.SessionStore
            const answers = how === "inputBefore answers"
            assert.deepStrictEqual(
              showPrompt((yield* store.load("s")).history),
              answers ? [refused, "assistant: no"] : []
            )
            const [outcome] = outcomes
            const { transcript } = outcome!._tag === "Completed" ? outcome.result : outcome!.partial
            assert.strictEqual(showPrompt(transcript)[0], refused)
            const calls = how === "input trips" ? ["chat"] : []
            assert.deepStrictEqual(spans.map(({ name }) => name), ["invoke_agent agent", ...calls])
            assert.notInclude(JSON.stringify(spans.map(({ attributes }) => [...attributes])), "BOMB")
          }).pipe(Effect.provide([
            ScriptedModel.layer([ScriptedModel.step(ScriptedModel.delay("2 seconds"), text("Well."))]),
            SessionStore.layerMemory,
            AgentTelemetry.layer({ captureContent: true })
          ])))
      }
    }

    for (const [how, guard] of Object.entries(refusals)) {
      it.effect(`keep always keeps what was not refused when it is let through, and not before: ${how}`, () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [guard as never],
            providers: [SessionHistory.make({ keep: "always" })]
          })
          const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: "fine", session: "s" }))
          const store = yield* SessionStore.SessionStore
          const stored = Effect.map(store.load("s"), ({ history }) => showPrompt(history))
          yield* TestClock.adjust("999 millis")
          assert.deepStrictEqual(yield* stored, [])
          yield* TestClock.adjust("1 millis")
          assert.deepStrictEqual(yield* stored, ["user: fine"])
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(yield* stored, ["user: fine"])
        }).pipe(Effect.provide([ScriptedModel.layer([ScriptedModel.hang]), SessionStore.layerMemory])))
    }

    it.effect("a save of the prompt that fails ends the run with its error, whatever a middleware makes of it", () =>
      Effect.gen(function*() {
        const store = yield* SessionStore.SessionStore
        const error = new Session.SessionError({
          sessionId: "s",
          reason: new Session.SessionConflict({ expectedVersion: 0, actualVersion: 1 })
        })
        const again = Middleware.make("again", {
          model: (request, next) => Stream.catchCause(next(request), () => next(request))
        })
        const agent = Agent.make("agent", {
          middleware: [again, refusals["inputBefore trips"]],
          providers: [SessionHistory.make({ keep: "always" })]
        })
        const run = Agent.run(agent, { prompt: "fine", session: "s" }).pipe(
          Effect.provideService(SessionStore.SessionStore, { ...store, save: () => Effect.fail(error) }),
          Effect.exit
        )
        const fiber = yield* Effect.forkChild(run)
        yield* TestClock.adjust("2 seconds")
        const exit = yield* Fiber.join(fiber)
        assert.strictEqual(Exit.isFailure(exit) && Cause.squash(exit.cause), error)
        assert.deepStrictEqual(yield* asked, [])
      }).pipe(Effect.provide([ScriptedModel.layer([text("done")]), SessionStore.layerMemory])))
  })

  describe("a run whose text is replaced", () => {
    for (const place of ["inputBefore", "outputWhole", "output"] as const) {
      for (const how of ["is interrupted", "is left"] as const) {
        it.effect(`keeps nothing that was refused when it ${how}: ${place}`, () =>
          Effect.gen(function*() {
            const outcomes: Array<AgentRun.Outcome> = []
            const agent = Agent.make("agent", {
              middleware: [guards("no").inputBefore, guards("no")[place]],
              providers: [
                SessionHistory.make({ keep: "always" }),
                ContextProvider.make("outcome", {
                  beforeRun: () =>
                    AgentRun.addFinalizer((exit) => Effect.sync(() => void outcomes.push(AgentRun.outcome(exit))))
                })
              ]
            })
            const shown = yield* Deferred.make<void>()
            const stream = Agent.stream(agent, { prompt: place === "inputBefore" ? "A BOMB?" : "How?", session: "s" })
            const isShown = (part: AgentRun.Part) => part.type === "text-delta" && part.delta === "no"
            if (how === "is left") {
              yield* Stream.runDrain(Stream.takeUntil(stream, (part) => isShown(part)))
            } else {
              const fiber = yield* Effect.forkChild(Stream.runForEach(stream, (part) =>
                isShown(part)
                  ? Effect.andThen(Deferred.succeed(shown, undefined), Effect.never)
                  : Effect.void))
              yield* Deferred.await(shown)
              yield* Fiber.interrupt(fiber)
            }
            const [outcome] = outcomes
            assert.strictEqual(outcome!._tag, how === "is left" ? "Abandoned" : "Interrupted")
            const { text, transcript } = (outcome as Extract<AgentRun.Outcome, { partial: unknown }>).partial
            assert.strictEqual(text, "no")
            assert.notInclude(showPrompt(transcript).join(), "BOMB")
            const store = yield* SessionStore.SessionStore
            const { history } = yield* store.load("s")
            assert.deepStrictEqual(
              showPrompt(history),
              place === "inputBefore" ? [] : ["user: How?", "assistant: no"]
            )
          }).pipe(Effect.provide([
            ScriptedModel.layer(place === "inputBefore" ? [] : [text(["A BOMB is so. "])]),
            SessionStore.layerMemory
          ])))
      }
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

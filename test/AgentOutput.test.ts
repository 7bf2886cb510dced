import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Option, Schedule, Schema, SchemaGetter, Stream, Tracer } from "effect"
import { AiError, LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentError,
  AgentOutput,
  type AgentRun,
  AgentTelemetry,
  Approval,
  ContextProvider,
  Middleware,
  ModelFallback,
  SessionHistory,
  SessionStore,
  StopCondition
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collecting } from "./fixtures/spans.ts"
import { Boom, calls, collectAll, constructors, type Log, logged, showExit, showPrompt, types } from "./utils.ts"

const { fail, finish, hang, step, text, toolCalls } = ScriptedModel

const City = Schema.Struct({ city: Schema.String, degrees: Schema.Int })

const answer = (params: unknown, name = "final_answer", id = "answer") => toolCalls({ name, params, id })

const oslo = answer({ city: "Oslo", degrees: 4 })

const input = { prompt: "How warm is it?" }

/** A call as a provider streams it. */
const streamed = (deltas: ReadonlyArray<string>, name = "final_answer", id = "answer"): ScriptedModel.Piece => {
  const parts: ReadonlyArray<Response.StreamPartEncoded> = [
    { type: "tool-params-start", id, name },
    ...deltas.map((delta) => ({ type: "tool-params-delta" as const, id, delta })),
    { type: "tool-params-end", id },
    { type: "tool-call", id, name, params: JSON.parse(deltas.join("")) }
  ]
  return ScriptedModel.parts(parts)
}

const asked = Effect.flatMap(ScriptedModel.ScriptedModel, ({ requests }) => requests)

const invalidOutput = (exit: Exit.Exit<unknown, unknown>) => {
  const error = Option.getOrThrow(Exit.findErrorOption(exit))
  assert(AgentError.isAgentError(error) && error.reason._tag === "InvalidOutput")
  return error.reason
}

const note = Tool.make("note", { parameters: Schema.Struct({ text: Schema.String }), success: Schema.String })

const notes = Toolkit.make(note)

for (const [name, via] of constructors) {
  describe(`AgentOutput, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    describe("tool", () => {
      it.effect("gives the decoded value in run, in run-end and to afterRun, with a closed transcript", () =>
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const keep = ContextProvider.make("keep", {
            beforeRun: () => Effect.succeed({}),
            afterRun: ({ result }) => Effect.sync(() => seen.push(result.value))
          })
          const agent = Agent.make("weather", { output: City, providers: [keep] })
          const { exit, parts } = yield* collectAll(Agent.stream(agent, { ...input, runId: "run" }))
          assert.deepStrictEqual(exit, Exit.void)
          assert.deepStrictEqual(types(parts), [
            "run-start",
            "step-start",
            "tool-call",
            "finish",
            "tool-result",
            "step-end",
            "run-end"
          ])
          const end = parts.at(-1)
          assert(end?.type === "run-end")
          assert.deepStrictEqual(end.result.value, { city: "Oslo", degrees: 4 })
          assert.strictEqual(end.result.stopReason, "output")
          assert.deepStrictEqual(showPrompt(end.result.transcript), [
            "user: How warm is it?",
            "assistant: final_answer#answer({\"city\":\"Oslo\",\"degrees\":4})",
            "tool: final_answer#answer = \"Accepted\""
          ])
          assert.deepStrictEqual(seen, [{ city: "Oslo", degrees: 4 }])
          const ran = yield* Agent.run(agent, { ...input, runId: "run" })
          assert.deepStrictEqual(ran, end.result)
          const [first] = yield* asked
          assert.deepStrictEqual([first.tools, first.toolChoice], [["final_answer"], { tool: "final_answer" }])
        }).pipe(Effect.provide(model(oslo, oslo))))

      it.effect("requires a tool while there are others, and goes on with them until the answer", () =>
        Effect.gen(function*() {
          const result = yield* Agent.run(Agent.make("weather", { output: City, toolkit: notes }), input)
          assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
          assert.deepStrictEqual(
            (yield* asked).map(({ toolChoice, tools }) => [tools, toolChoice]),
            [[["note", "final_answer"], "required"], [["note", "final_answer"], "required"]]
          )
        }).pipe(
          Effect.provide([
            model(toolCalls({ name: "note", params: { text: "a" } }), oslo),
            notes.toLayer({ note: () => Effect.succeed("noted") })
          ])
        ))

      it.effect("runs the other tools of the last step, and keeps the order of the calls", () =>
        Effect.gen(function*() {
          const result = yield* Agent.run(Agent.make("weather", { output: City, toolkit: notes }), input)
          assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
          assert.deepStrictEqual(showPrompt(result.transcript).slice(-1), [
            "tool: note#1 = \"noted a\", final_answer#answer = \"Accepted\", note#2 = \"noted b\", " +
            "final_answer#late failed = {\"type\":\"execution-denied\"," +
            "\"reason\":\"An answer of this step was accepted before this one\"}"
          ])
        }).pipe(
          Effect.provide([
            model(step(
              toolCalls({ name: "note", params: { text: "a" }, id: "1" }),
              oslo,
              toolCalls({ name: "note", params: { text: "b" }, id: "2" }),
              answer({ city: "Rome", degrees: 9 }, "final_answer", "late")
            )),
            notes.toLayer({ note: ({ text }) => Effect.succeed(`noted ${text}`) })
          ])
        ))

      it.effect("takes another name when its name is taken, also by a contributed tool", () =>
        Effect.gen(function*() {
          const taken = Toolkit.make(Tool.make("final_answer", { success: Schema.String }))
          const other = Toolkit.make(Tool.make("final_answer_2", { success: Schema.String }))
          const provider = ContextProvider.make("other", {
            beforeRun: () => Effect.map(other, (toolkit) => ({ toolkit }))
          })
          const result = yield* Agent.run(
            Agent.make("weather", { output: City, toolkit: taken, providers: [provider] }),
            input
          ).pipe(
            Effect.provide([
              taken.toLayer({ final_answer: () => Effect.succeed("mine") }),
              other.toLayer({ final_answer_2: () => Effect.succeed("mine too") })
            ])
          )
          assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
          assert.deepStrictEqual((yield* asked)[0].tools, ["final_answer", "final_answer_2", "final_answer_3"])
        }).pipe(Effect.provide(model(
          toolCalls({ name: "final_answer", params: {} }),
          answer({ city: "Oslo", degrees: 4 }, "final_answer_3")
        ))))

      it.effect("sends the issues back, and accepts the corrected answer", () =>
        Effect.gen(function*() {
          const result = yield* Agent.run(Agent.make("weather", { output: City }), input)
          assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
          assert.strictEqual(result.usage.inputTokens.total, 20)
          assert.deepStrictEqual(result.steps.map(({ toolCalls }) => toolCalls.map((call) => call.isFailure)), [
            [true],
            [false]
          ])
          assert.deepStrictEqual(showPrompt(result.transcript).slice(1, 3), [
            "assistant: final_answer#answer({\"city\":1})",
            "tool: final_answer#answer failed = " + JSON.stringify(
              "Invalid parameters for tool 'final_answer': Expected string\n  at [\"city\"]\nMissing key\n  at [\"degrees\"]"
            )
          ])
        }).pipe(Effect.provide(model(answer({ city: 1 }), oslo))))

      for (const corrections of [0, 1, 2]) {
        it.effect(`fails after ${corrections} corrections, with the issues, what the model wrote, and the usage`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const agent = Agent.make("weather", {
              output: AgentOutput.tool(City, { corrections }),
              providers: [logged("p", log)]
            })
            const exit = yield* Effect.exit(Agent.run(agent, input))
            const reason = invalidOutput(exit)
            assert.deepStrictEqual(reason.issues, [{ path: ["degrees"], message: "Expected number" }])
            assert.strictEqual(reason.raw, "{\"city\":\"Oslo\",\"degrees\":\"4\"}")
            assert.strictEqual(reason.usage.inputTokens.total, 10 * (corrections + 1))
            assert.strictEqual(reason.steps.length, corrections + 1)
            assert.deepStrictEqual(log, ["p before", "p end: Failed Fail AgentError.InvalidOutput after \"\""])
            yield* ScriptedModel.assertDone
          }).pipe(
            Effect.provide(
              model(...Array.from({ length: corrections + 1 }, () => answer({ city: "Oslo", degrees: "4" })))
            )
          ))
      }

      it.effect("tells a model that answers with text to use the tool, once", () =>
        Effect.gen(function*() {
          const agent = Agent.make("weather", { output: City })
          const result = yield* Agent.run(agent, input)
          assert.deepStrictEqual(showPrompt(result.transcript).slice(1, 3), [
            "assistant: It is 4 degrees",
            "user: Give your answer by calling the tool `final_answer`, not as text."
          ])
          const reason = invalidOutput(yield* Effect.exit(Agent.run(agent, input)))
          assert.deepStrictEqual(reason.issues, [{ path: [], message: "Expected a call of the tool `final_answer`" }])
          assert.strictEqual(reason.raw, "Still 4")
          yield* ScriptedModel.assertDone
        }).pipe(Effect.provide(model(text("It is 4 degrees"), oslo, text("It is 4"), text("Still 4")))))

      for (const reason of ["length", "content-filter"] as const) {
        it.effect(`an answer cut short by ${reason} is not valid, and not asked for again`, () =>
          Effect.gen(function*() {
            const exit = yield* Effect.exit(Agent.run(Agent.make("weather", { output: City }), input))
            const { issues, raw } = invalidOutput(exit)
            assert.deepStrictEqual(issues, [{ path: [], message: `The response was incomplete: ${reason}` }])
            assert.strictEqual(raw, "It is")
          }).pipe(Effect.provide(model(step(text("It is"), finish(reason))))))
      }

      it.effect("a limit asks for this answer, and a tool that is called instead is denied", () =>
        Effect.gen(function*() {
          const agent = Agent.make("weather", {
            output: City,
            toolkit: notes,
            stopWhen: [StopCondition.toolCalls(1)]
          })
          const result = yield* Agent.run(agent, input)
          assert.deepStrictEqual([result.stopReason, result.value], ["tool-call-limit", { city: "Oslo", degrees: 4 }])
          assert.deepStrictEqual((yield* asked).map(({ toolChoice }) => toolChoice), [
            "required",
            { tool: "final_answer" },
            { tool: "final_answer" }
          ])
          assert.deepStrictEqual(result.steps.map(({ toolCalls }) => toolCalls.map((call) => call.executed)), [
            [true],
            [false],
            [true]
          ])
        }).pipe(
          Effect.provide([
            model(
              toolCalls({ name: "note", params: { text: "a" } }),
              toolCalls({ name: "note", params: { text: "b" } }),
              oslo
            ),
            notes.toLayer({ note: () => Effect.succeed("noted") })
          ])
        ))

      it.effect("what would stop a run asks for the answer first, also when a middleware decides it", () =>
        Effect.gen(function*() {
          const stopping = Agent.make("weather", {
            output: City,
            toolkit: notes,
            stopWhen: [StopCondition.toolCalled("note")]
          })
          const stopped = yield* Agent.run(stopping, input)
          assert.deepStrictEqual([stopped.stopReason, stopped.value], ["tool-called", { city: "Oslo", degrees: 4 }])
          const final = Middleware.make("final", {
            model: (request, next) => next({ ...request, finalAnswer: "budget" })
          })
          const cut = yield* Agent.run(
            Agent.make("weather", { output: City, toolkit: notes, middleware: [final] }),
            input
          )
          assert.deepStrictEqual([cut.stopReason, cut.value], ["budget", { city: "Oslo", degrees: 4 }])
          assert.deepStrictEqual((yield* asked).map(({ toolChoice }) => toolChoice), [
            "required",
            { tool: "final_answer" },
            { tool: "final_answer" }
          ])
        }).pipe(
          Effect.provide([
            model(toolCalls({ name: "note", params: { text: "a" } }), oslo, oslo),
            notes.toLayer({ note: () => Effect.succeed("noted") })
          ])
        ))

      it.effect("an answer beside a call that waits for an approval is refused, and given when that is answered", () =>
        Effect.gen(function*() {
          const gated = Toolkit.make(Tool.make("pay", { success: Schema.String, needsApproval: true }))
          const agent = Agent.make("weather", { output: AgentOutput.orWaiting(City), toolkit: gated })
          const paid = gated.toLayer({ pay: () => Effect.succeed("paid") })
          const result = yield* Agent.run(agent, input).pipe(Effect.provide(paid))
          assert.deepStrictEqual([result.stopReason, result.value], ["approval-required", undefined])
          const refused = showPrompt(result.transcript).find((line) => line.includes("final_answer#answer failed"))
          assert.include(refused, "wait for an approval")
          const resumed = yield* Agent.resume(agent, { result }, result.approvals.map((one) => Approval.approve(one)))
            .pipe(
              Effect.provide(paid)
            )
          assert.deepStrictEqual([resumed.stopReason, resumed.value], ["output", { city: "Oslo", degrees: 4 }])
        }).pipe(Effect.provide(model(step(calls("pay"), oslo), oslo))))

      it.effect("is no tool call for middleware", () =>
        Effect.gen(function*() {
          const log: Log = []
          const watch = Middleware.make("watch", {
            tool: (request, next) => {
              log.push(request.name)
              return next(request)
            }
          })
          yield* Agent.run(Agent.make("weather", { output: City, toolkit: notes, middleware: [watch] }), input)
          assert.deepStrictEqual(log, ["note"])
        }).pipe(
          Effect.provide([
            model(step(toolCalls({ name: "note", params: { text: "a" } }), oslo)),
            notes.toLayer({ note: () => Effect.succeed("noted") })
          ])
        ))
    })

    describe("schemas", () => {
      interface Tree {
        readonly name: string
        readonly children: ReadonlyArray<Tree>
      }
      const Tree = Schema.Struct({
        name: Schema.String,
        children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree))
      })
      class Place extends Schema.Class<Place>("Place")({ name: Schema.String, at: Schema.Date }) {}
      const Shape = Schema.Union([
        Schema.Struct({ kind: Schema.Literal("circle"), radius: Schema.Finite }),
        Schema.Struct({ kind: Schema.Literal("square"), side: Schema.Finite })
      ])
      const noon = "2026-06-01T12:00:00.000Z"

      const cases: ReadonlyArray<readonly [string, Schema.Codec<any, any>, written: unknown, value: unknown]> = [
        ["a string", Schema.String, { value: "Oslo" }, "Oslo"],
        ["a number that is written as a string", Schema.FiniteFromString, { value: "4" }, 4],
        ["an array", Schema.Array(Schema.Int), { value: [1, 2] }, [1, 2]],
        ["a union", Shape, { value: { kind: "square", side: 2 } }, { kind: "square", side: 2 }],
        ["literals", Schema.Literals(["yes", "no"]), { value: "no" }, "no"],
        ["a record", Schema.Record(Schema.String, Schema.Int), { a: 1 }, { a: 1 }],
        ["a date", Schema.Struct({ at: Schema.Date }), { at: noon }, { at: new Date(noon) }],
        ["a class", Place, { name: "Opera", at: noon }, new Place({ name: "Opera", at: new Date(noon) })],
        [
          "a recursive schema",
          Tree,
          { name: "a", children: [{ name: "b", children: [] }] },
          { name: "a", children: [{ name: "b", children: [] }] }
        ]
      ]
      for (const [what, schema, written, value] of cases) {
        it.effect(`takes ${what}, as a tool and in JSON mode`, () =>
          Effect.gen(function*() {
            const tool = yield* Agent.run(Agent.make("agent", { output: schema }), input)
            assert.deepStrictEqual(tool.value, value)
            const json = yield* Agent.run(Agent.make("agent", { output: AgentOutput.json(schema) }), input)
            assert.deepStrictEqual(json.value, value)
          }).pipe(Effect.provide(model(answer(written), text(JSON.stringify(written))))))
      }

      it.effect("the path of an issue is that in the schema, not in what it is wrapped in", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { output: AgentOutput.tool(Schema.Array(Schema.Int), { corrections: 0 }) })
          assert.deepStrictEqual(invalidOutput(yield* Effect.exit(Agent.run(agent, input))).issues, [
            { path: [1], message: "Expected number" }
          ])
        }).pipe(Effect.provide(model(answer({ value: [1, "x"] })))))

      it.effect("services that the decoding needs come from the run", () =>
        Effect.gen(function*() {
          class Suffix extends Context.Service<Suffix, string>()("test/Suffix") {}
          const Suffixed = Schema.String.pipe(Schema.decode({
            decode: SchemaGetter.transformEffect((s: string) => Effect.map(Suffix, (suffix) => s + suffix)),
            encode: SchemaGetter.passthrough()
          }))
          const agent = Agent.make("agent", { output: Schema.Struct({ name: Suffixed }) })
          const { value } = yield* Agent.run(agent, input).pipe(Effect.provideService(Suffix, "!"))
          assert.deepStrictEqual(value, { name: "Oslo!" })
        }).pipe(Effect.provide(model(answer({ name: "Oslo" })))))

      it.effect("a schema that dies is a defect of the run", () =>
        Effect.gen(function*() {
          const Dying = Schema.String.pipe(Schema.decode({
            decode: SchemaGetter.transformEffect(() => Effect.die(new Error("oops"))),
            encode: SchemaGetter.passthrough()
          }))
          const exit = yield* Effect.exit(Agent.run(Agent.make("agent", { output: Dying }), input))
          assert.strictEqual(showExit(exit), "Failed Die oops after \"\"")
        }).pipe(Effect.provide(model(answer({ value: "x" })))))
    })

    describe("partial values", () => {
      const partials = (parts: ReadonlyArray<AgentRun.Part>) =>
        parts.flatMap((part) => part.type === "output-partial" ? [part.value] : [])

      it.effect("come from the arriving JSON, at most one for each array of parts", () =>
        Effect.gen(function*() {
          const { parts } = yield* collectAll(Agent.stream(Agent.make("weather", { output: City }), input))
          assert.deepStrictEqual(partials(parts), [{ city: "O" }, { city: "Oslo" }, { city: "Oslo", degrees: 4 }])
          assert.deepStrictEqual(types(parts).slice(2, 8), [
            "tool-params-start",
            "tool-params-delta",
            "output-partial",
            "tool-params-delta",
            "output-partial",
            "tool-params-delta"
          ])
        }).pipe(Effect.provide(model(streamed(["{\"city\":\"O", "slo\",\"degrees\":", "4}"])))))

      it.effect("are those of the schema when it is wrapped, and of every attempt", () =>
        Effect.gen(function*() {
          const { parts } = yield* collectAll(
            Agent.stream(Agent.make("weather", { output: Schema.Array(Schema.Int) }), input)
          )
          assert.deepStrictEqual(partials(parts), [[1], [1, true], [3]])
        }).pipe(
          Effect.provide(model(streamed(["{\"value\":[1,", "true]}"]), streamed(["{\"value\":[3]}"])))
        ))

      for (const ids of [["f1", "f2"], ["f", "f"]] as const) {
        it.effect(`are those of the attempt that is running, not of one that broke: ${ids}`, () =>
          Effect.gen(function*() {
            const agent = Agent.make("weather", {
              output: Schema.Struct({ city: Schema.String }),
              middleware: [ModelFallback.retry(Schedule.recurs(2), { afterParts: true })]
            })
            const { parts } = yield* collectAll(Agent.stream(agent, input))
            assert.deepStrictEqual(partials(parts), [{ city: "Wro" }, { city: "Ri" }, { city: "Right" }])
            const end = parts.at(-1)
            assert.deepStrictEqual(end?.type === "run-end" && end.result.value, { city: "Right" })
          }).pipe(Effect.provide(model(
            step(
              ScriptedModel.parts([
                { type: "tool-params-start", id: ids[0], name: "final_answer" },
                { type: "tool-params-delta", id: ids[0], delta: "{\"city\":\"Wro" }
              ]),
              fail(new AiError.InternalProviderError({ description: "cut" }))
            ),
            streamed(["{\"city\":\"Ri", "ght\"}"], "final_answer", ids[1])
          ))))
      }

      it.effect("are those of the first of two answers in one step", () =>
        Effect.gen(function*() {
          const { parts } = yield* collectAll(Agent.stream(Agent.make("weather", { output: City }), input))
          assert.deepStrictEqual(partials(parts), [{ city: "Oslo", degrees: 4 }])
        }).pipe(Effect.provide(model(step(
          streamed(["{\"city\":\"Oslo\",\"degrees\":4}"], "final_answer", "a"),
          streamed(["{\"city\":\"Rome\",\"degrees\":9}"], "final_answer", "b")
        )))))

      it.effect("are not made of another tool's parameters, nor without an output", () =>
        Effect.gen(function*() {
          const { parts } = yield* collectAll(
            Agent.stream(Agent.make("weather", { output: City, toolkit: notes }), input)
          )
          assert.deepStrictEqual(partials(parts), [])
          const plain = yield* collectAll(Agent.stream(Agent.make("weather", { toolkit: notes }), input))
          assert.deepStrictEqual(partials(plain.parts), [])
        }).pipe(
          Effect.provide([
            model(
              step(streamed(["{\"text\":\"a\"}"], "note", "n"), oslo),
              streamed(["{\"text\":\"a\"}"], "note"),
              text("ok")
            ),
            notes.toLayer({ note: () => Effect.succeed("noted") })
          ])
        ))
    })

    describe("json", () => {
      it.effect("asks for JSON, and gives its parts as text", () =>
        Effect.gen(function*() {
          const agent = Agent.make("weather", { output: AgentOutput.json(City) })
          const { parts } = yield* collectAll(Agent.stream(agent, input))
          assert.deepStrictEqual(types(parts), [
            "run-start",
            "step-start",
            "text-start",
            "text-delta",
            "text-end",
            "finish",
            "step-end",
            "run-end"
          ])
          const end = parts.at(-1)
          assert(end?.type === "run-end")
          assert.deepStrictEqual(end.result.value, { city: "Oslo", degrees: 4 })
          assert.deepStrictEqual([end.result.stopReason, end.result.text], [
            "output",
            "{\"city\":\"Oslo\",\"degrees\":4}"
          ])
        }).pipe(Effect.provide(model(text("{\"city\":\"Oslo\",\"degrees\":4}")))))

      it.effect("works with the tools first, and asks for the answer without them", () =>
        Effect.gen(function*() {
          const agent = Agent.make("weather", { output: AgentOutput.json(City), toolkit: notes })
          const result = yield* Agent.run(agent, input)
          assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
          assert.deepStrictEqual((yield* asked).map(({ tools }) => tools), [["note"], ["note"], []])
          assert.deepStrictEqual(showPrompt(result.transcript).slice(-3), [
            "assistant: Four degrees.",
            "user: Now give the final answer.",
            "assistant: {\"city\":\"Oslo\",\"degrees\":4}"
          ])
        }).pipe(
          Effect.provide([
            model(
              toolCalls({ name: "note", params: { text: "a" } }),
              text("Four degrees."),
              text("{\"city\":\"Oslo\",\"degrees\":4}")
            ),
            notes.toLayer({ note: () => Effect.succeed("noted") })
          ])
        ))

      it.effect("corrects what does not decode and what is no JSON, and counts what they cost", () =>
        Effect.gen(function*() {
          const agent = Agent.make("weather", { output: AgentOutput.json(City) })
          const result = yield* Agent.run(agent, input)
          assert.deepStrictEqual(result.value, { city: "Oslo", degrees: 4 })
          assert.strictEqual(result.usage.inputTokens.total, 30)
          const users = showPrompt(result.transcript).filter((line) => line.startsWith("user"))
          assert.isTrue(users[1].startsWith("user: The answer is not valid. Answer again, with JSON only.\n"))
          assert.include(users[1], "at [\"degrees\"]")
          const reason = invalidOutput(yield* Effect.exit(Agent.run(agent, input)))
          assert.deepStrictEqual([reason.raw, reason.usage.inputTokens.total], ["c", 30])
        }).pipe(
          Effect.provide(model(
            text("{\"city\":\"Oslo\"}"),
            text("Oslo"),
            text("{\"city\":\"Oslo\",\"degrees\":4}"),
            text("a"),
            text("b"),
            text("c")
          ))
        ))

      it.effect("decodes what a middleware has made of the answer", () =>
        Effect.gen(function*() {
          const warmer = Middleware.make("warmer", {
            model: (request, next) =>
              Stream.map(next(request), (part) =>
                part.type === "text-delta" ? { ...part, delta: part.delta.replace("4", "5") } : part)
          })
          const agent = Agent.make("weather", { output: AgentOutput.json(City), middleware: [warmer] })
          assert.deepStrictEqual((yield* Agent.run(agent, input)).value, { city: "Oslo", degrees: 5 })
        }).pipe(Effect.provide(model(text("{\"city\":\"Oslo\",\"degrees\":4}")))))

      it.effect("any other failure of the model fails the run", () =>
        Effect.gen(function*() {
          const exit = yield* Effect.exit(
            Agent.run(Agent.make("weather", { output: AgentOutput.json(City) }), input)
          )
          assert.strictEqual(showExit(exit), "Failed Fail AiError.RateLimitError after \"\"")
        }).pipe(Effect.provide(model(fail(new AiError.RateLimitError({}))))))
    })

    describe("outcomes", () => {
      const outputs = [["tool", AgentOutput.tool(City)], ["json", AgentOutput.json(City)]] as const

      for (const [mode, output] of outputs) {
        const good = mode === "tool" ? oslo : text("{\"city\":\"Oslo\",\"degrees\":4}")
        const bad = mode === "tool" ? answer({ city: 1 }) : text("{\"city\":1}")

        it.effect(`${mode}: completed, and saved after that`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const agent = Agent.make("weather", { output, providers: [logged("p", log), SessionHistory.provider] })
            const exit = yield* Effect.exit(Agent.run(agent, { ...input, session: "s" }))
            assert.strictEqual(Exit.isSuccess(exit) && exit.value.value.city, "Oslo")
            assert.strictEqual(log.length, 3)
            const { load } = yield* SessionStore.SessionStore
            const { history } = yield* load("s")
            assert.deepStrictEqual(
              Exit.isSuccess(exit) && showPrompt(exit.value.transcript),
              showPrompt(history)
            )
          }).pipe(Effect.provide([model(good), SessionStore.layerMemory])))

        it.effect(`${mode}: failed by an answer that is not valid, and nothing is saved`, () =>
          Effect.gen(function*() {
            const agent = Agent.make("weather", { output, providers: [SessionHistory.provider] })
            const error = yield* Agent.run(agent, { ...input, session: "s" }).pipe(
              Effect.flip,
              Effect.provide(model(bad, bad, bad))
            )
            assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "InvalidOutput")
            const { load } = yield* SessionStore.SessionStore
            assert.deepStrictEqual((yield* load("s")).history.content, [])
          }).pipe(Effect.provide(SessionStore.layerMemory)))

        it.effect(`${mode}: interrupted while it is corrected`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const agent = Agent.make("weather", { output, providers: [logged("p", log)] })
            const fiber = yield* Effect.forkChild(Agent.run(agent, input), { startImmediately: true })
            yield* Fiber.interrupt(fiber)
            assert.strictEqual(log[1].slice(0, 20), "p end: Interrupted a")
          }).pipe(Effect.provide(model(bad, hang))))

        it.effect(`${mode}: abandoned before run-end, no afterRun ran`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const agent = Agent.make("weather", { output, providers: [logged("p", log)] })
            yield* Agent.stream(agent, input).pipe(
              Stream.takeUntil((part) => part.type === "step-end"),
              Stream.runDrain
            )
            assert.strictEqual(log[1].slice(0, 18), "p end: Abandoned a")
          }).pipe(Effect.provide(model(good))))
      }

      it.effect("a tool beside the answer that fails the run takes the answer with it", () =>
        Effect.gen(function*() {
          const toolkit = Toolkit.make(Tool.make("save", { success: Schema.String, failure: Boom }))
          const agent = Agent.make("weather", { output: City, toolkit })
          const exit = yield* Effect.exit(Agent.run(agent, input)).pipe(
            Effect.provide(toolkit.toLayer({ save: () => Effect.fail(new Boom({ of: "save" })) }))
          )
          assert.strictEqual(showExit(exit), "Failed Fail Boom(save) after \"\"")
        }).pipe(Effect.provide(model(step(calls("save"), oslo)))))

      it.effect("interrupted while it decodes", () =>
        Effect.gen(function*() {
          const log: Log = []
          const Slow = Schema.String.pipe(Schema.decode({
            decode: SchemaGetter.transformEffect(() => Effect.never),
            encode: SchemaGetter.passthrough()
          }))
          const agent = Agent.make("weather", { output: Slow, providers: [logged("p", log)] })
          const fiber = yield* Effect.forkChild(Agent.run(agent, input), { startImmediately: true })
          yield* Fiber.interrupt(fiber)
          assert.deepStrictEqual(log, ["p before", "p end: Interrupted after \"\""])
        }).pipe(Effect.provide(model(answer({ value: "x" })))))
    })
  })
}

describe("AgentOutput", () => {
  it("is told from a schema", () => {
    assert.isTrue(AgentOutput.isAgentOutput(AgentOutput.tool(City)))
    assert.isFalse(AgentOutput.isAgentOutput(City))
  })

  it.effect("is one span for each model call, and none for the answer's tool", () =>
    Effect.gen(function*() {
      const { spans, tracer } = collecting()
      const answers = [
        [AgentOutput.tool(City), oslo],
        [AgentOutput.json(City), text("{\"city\":\"Oslo\",\"degrees\":4}")]
      ] as const
      for (const [output, said] of answers) {
        yield* Agent.run(Agent.make("weather", { output }), input).pipe(
          Effect.provide([AgentTelemetry.layer(), ScriptedModel.layer([said])]),
          Effect.provideService(Tracer.Tracer, tracer)
        )
      }
      assert.deepStrictEqual(
        spans.map(({ attributes, name }) => [
          name,
          attributes.get("gen_ai.output.type"),
          attributes.get("gen_ai.request.stream")
        ]),
        [
          ["invoke_agent weather", undefined, undefined],
          ["chat", undefined, true],
          ["invoke_agent weather", undefined, undefined],
          ["chat", "json", undefined]
        ]
      )
    }))

  it.effect("describes its tool by the annotation of the schema", () =>
    Effect.gen(function*() {
      const seen: Array<string | undefined> = []
      const spy = yield* LanguageModel.make({
        generateText: () => Effect.succeed([]),
        streamText: ({ tools }) => {
          seen.push(...tools.map(Tool.getDescription))
          return Stream.fail(AiError.make({ module: "m", method: "s", reason: new AiError.RateLimitError({}) }))
        }
      })
      const agents = [
        Agent.make("a", { output: City.annotate({ description: "The weather in a city" }) }),
        Agent.make("b", { output: City }),
        Agent.make("c", { output: AgentOutput.tool(City, { description: "Says it" }) })
      ]
      for (const agent of agents) {
        yield* Effect.exit(Agent.run(agent, input)).pipe(Effect.provideService(LanguageModel.LanguageModel, spy))
      }
      assert.deepStrictEqual(seen, [
        "Gives the final answer and ends the work: The weather in a city",
        "Gives the final answer and ends the work",
        "Says it"
      ])
    }))
})

import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Effect, Exit, Fiber, Layer, Schedule, Schema, Stream } from "effect"
import { AiError, LanguageModel, Prompt, Response, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, type AgentRun, ContextProvider, Middleware, StopCondition, ToolLoop } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import {
  Boom,
  calls,
  constructors,
  hanging,
  type Log,
  logged,
  showCause,
  showExit,
  showPrompt,
  tools,
  types
} from "./utils.ts"

const { fail, step, text, toolCalls } = ScriptedModel
const rateLimit = new AiError.RateLimitError({})

/** A middleware that writes down when its call begins and when it ends, at each place. */
const tracing = (name: string, log: Log) => {
  const around = (what: string) => <A, E, R>(stream: Stream.Stream<A, E, R>): Stream.Stream<A, E, R> =>
    Stream.suspend(() => {
      log.push(`${name} ${what} >`)
      return Stream.ensuring(stream, Effect.sync(() => log.push(`${name} ${what} <`)))
    })
  return Middleware.make(name, {
    agent: (request, next) => around("run")(next(request)),
    model: (request, next) => around("model")(next(request)),
    tool: (request, next) => around(`tool ${request.name}`)(next(request))
  })
}

const toolResult = (id: string, name: string, value: unknown) =>
  Response.makePart("tool-result", {
    id,
    name,
    result: value,
    encodedResult: value,
    isFailure: false,
    providerExecuted: false,
    preliminary: false
  })

for (const [name, via] of constructors) {
  describe(`Middleware, with a model of ${name}`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })
    const toolkit = tools("work")
    const ok = toolkit.toLayer({ work: () => Effect.succeed("worked") })

    it.effect("the first of a list is the outermost, at all three places; a provider's is the innermost", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("agent", {
          toolkit,
          middleware: [tracing("a", log), tracing("b", log)],
          providers: [
            ContextProvider.make("p", { beforeRun: () => Effect.succeed({ middleware: tracing("p", log) }) })
          ]
        }).pipe(Agent.withMiddleware(tracing("outer", log)))
        yield* Agent.run(agent, { prompt: "hi" })
        const call = (what: string, ...names: ReadonlyArray<string>) => [
          ...names.map((name) => `${name} ${what} >`),
          ...names.toReversed().map((name) => `${name} ${what} <`)
        ]
        const all = ["outer", "a", "b", "p"]
        assert.deepStrictEqual(log, [
          "outer run >",
          "a run >",
          "b run >",
          ...call("model", ...all),
          ...call("tool work", ...all),
          ...call("model", ...all),
          "b run <",
          "a run <",
          "outer run <"
        ])
      }).pipe(Effect.provide([ok, model(calls("work"), text("ok"))])))

    describe("around a run", () => {
      it.effect("changes the prompt; the transcript tells what was sent", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent").pipe(Agent.withMiddleware(Middleware.make("polite", {
            agent: (request, next) => next({ ...request, prompt: "please" })
          })))
          const run = yield* Agent.run(agent, { prompt: "hi" })
          assert.deepStrictEqual(showPrompt(run.transcript), ["user: please", "assistant: ok"])
        }).pipe(Effect.provide(model(text("ok")))))

      it.effect("changes parts, and `run` is the fold of what it lets through", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent").pipe(Agent.withMiddleware(Middleware.make("loud", {
            agent: (request, next) =>
              Stream.map(next(request), (part) =>
                part.type === "run-end"
                  ? { ...part, result: { ...part.result, text: part.result.text.toUpperCase() } }
                  : part)
          })))
          assert.strictEqual((yield* Agent.run(agent, { prompt: "hi" })).text, "OK")
        }).pipe(Effect.provide(model(text("ok")))))

      it.effect("short-circuits: no run begins", () =>
        Effect.gen(function*() {
          const log: Log = []
          const inner = Agent.make("agent", { providers: [logged("p1", log)] })
          const result = yield* Agent.run(inner, { prompt: "hi" })
          const cached = inner.pipe(Agent.withMiddleware(Middleware.make("cache", {
            agent: () => Stream.succeed<AgentRun.Part>({ type: "run-end", result })
          })))
          const before = log.length
          assert.deepStrictEqual(yield* Agent.run(cached, { prompt: "hi" }), result)
          assert.strictEqual(log.length, before)
        }).pipe(Effect.provide(model(text("ok")))))

      it.effect("runs `next` again: each time is a run with its own providers", () =>
        Effect.gen(function*() {
          const log: Log = []
          const agent = Agent.make("agent", { providers: [logged("p1", log)] }).pipe(
            Agent.withMiddleware(Middleware.make("retry", {
              agent: (request, next) => Stream.retry(next(request), Schedule.recurs(1))
            }))
          )
          assert.strictEqual((yield* Agent.run(agent, { prompt: "hi" })).text, "ok")
          assert.deepStrictEqual(log, [
            "p1 before",
            "p1 end: Failed Fail AiError.RateLimitError after \"a\"",
            "p1 before",
            "p1 after \"ok\"",
            "p1 end: Completed \"ok\""
          ])
        }).pipe(Effect.provide(model(step(text("a"), fail(rateLimit)), text("ok")))))

      it.effect("leaves early: the run is abandoned", () =>
        Effect.gen(function*() {
          const log: Log = []
          const agent = Agent.make("agent", { providers: [logged("p1", log)] }).pipe(
            Agent.withMiddleware(Middleware.make("short", { agent: (request, next) => Stream.take(next(request), 4) }))
          )
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" }))
          assert.strictEqual(
            Exit.isFailure(exit) && showCause(exit.cause),
            "Die The stream of the run ended without a `run-end` part"
          )
          assert.deepStrictEqual(log, ["p1 before", "p1 end: Abandoned after \"ok\""])
        }).pipe(Effect.provide(model(text("ok")))))
    })

    describe("around a model call", () => {
      it.effect("sees the request: steps, transcript, prompt, tools; and may change it", () =>
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const agent = Agent.make("agent", {
            toolkit,
            instructions: "A",
            middleware: [Middleware.make("m", {
              model: (request, next) => {
                seen.push([
                  request.agent,
                  request.session,
                  request.steps.length,
                  showPrompt(Prompt.fromMessages(request.transcript)),
                  Object.keys(request.toolkit!.tools),
                  request.toolChoice
                ])
                return next({ ...request, prompt: Prompt.setSystem(request.prompt, "B"), toolChoice: "required" })
              }
            })]
          })
          const run = yield* Agent.run(agent, { prompt: "hi", session: "s1" })
          assert.deepStrictEqual(seen, [
            ["agent", "s1", 0, ["user: hi"], ["work"], "auto"],
            [
              "agent",
              "s1",
              1,
              ["user: hi", "assistant: work#id-work({})", "tool: work#id-work = \"worked\""],
              ["work"],
              "auto"
            ]
          ])
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual(
            (yield* requests).map(({ prompt, toolChoice }) => [showPrompt(prompt)[0], toolChoice]),
            [["system: B", "required"], ["system: B", "required"]]
          )
          assert.strictEqual(showPrompt(run.transcript)[0], "user: hi")
        }).pipe(Effect.provide([ok, model(calls("work"), text("ok"))])))

      it.effect("changes the parts: consumer, transcript and tools see what it made of them", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [Middleware.make("m", {
              model: (request, next) =>
                Stream.map(next(request), (part) =>
                  part.type === "text-delta"
                    ? Response.makePart("text-delta", { id: part.id, delta: part.delta.replaceAll("secret", "***") })
                    : part)
            })]
          })
          const seen: Array<string> = []
          const run = yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.tap((part) => Effect.sync(() => part.type === "text-delta" && seen.push(part.delta))),
            Stream.runLast
          )
          assert(run._tag === "Some" && run.value.type === "run-end")
          assert.deepStrictEqual(seen, ["the ***"])
          assert.strictEqual(run.value.result.text, "the ***")
        }).pipe(Effect.provide(model(text("the secret")))))

      it.effect("short-circuits: the model is not called", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [Middleware.make("m", {
              model: () =>
                Stream.make(
                  Response.makePart("text-start", { id: "1" }),
                  Response.makePart("text-delta", { id: "1", delta: "no" }),
                  Response.makePart("text-end", { id: "1" })
                )
            })]
          })
          assert.strictEqual((yield* Agent.run(agent, { prompt: "hi" })).text, "no")
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual(yield* requests, [])
        }).pipe(Effect.provide(model())))

      it.effect("retries `next`: one step, two calls of the model", () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", {
            middleware: [
              Middleware.make("m", { model: (request, next) => Stream.retry(next(request), Schedule.recurs(2)) })
            ]
          })
          const run = yield* Agent.run(agent, { prompt: "hi" })
          assert.deepStrictEqual([run.text, run.steps.length, run.usage.inputTokens.total], ["ok", 1, 10])
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.strictEqual((yield* requests).length, 3)
        }).pipe(Effect.provide(model(fail(rateLimit), fail(rateLimit), text("ok")))))

      it.effect("provides another model", () =>
        Effect.gen(function*() {
          const other = yield* ScriptedModel.make([text("from the other")], { via })
          const agent = Agent.make("agent", {
            middleware: [Middleware.make("m", {
              model: (request, next) =>
                Stream.provideService(next(request), LanguageModel.LanguageModel, other.languageModel)
            })]
          })
          assert.strictEqual((yield* Agent.run(agent, { prompt: "hi" })).text, "from the other")
          const { requests } = yield* ScriptedModel.ScriptedModel
          assert.deepStrictEqual(yield* requests, [])
        }).pipe(Effect.provide(model())))

      it.effect("falls back to another model when the first one fails", () =>
        Effect.gen(function*() {
          const other = yield* ScriptedModel.make([text("from the other")], { via })
          const agent = Agent.make("agent", {
            middleware: [Middleware.make("m", {
              model: (request, next) =>
                Stream.catchTag(next(request), "AiError", () =>
                  Stream.provideService(next(request), LanguageModel.LanguageModel, other.languageModel))
            })]
          })
          assert.strictEqual((yield* Agent.run(agent, { prompt: "hi" })).text, "from the other")
        }).pipe(Effect.provide(model(fail(rateLimit)))))

      it.effect("one that throws when it is called is a defect of the run", () =>
        Effect.gen(function*() {
          const log: Log = []
          const agent = Agent.make("agent", {
            providers: [logged("p1", log)],
            middleware: [Middleware.make("m", {
              model: (): Stream.Stream<never> => {
                throw new Error("bug")
              }
            })]
          })
          const exit = yield* Effect.exit(Agent.run(agent, { prompt: "hi" }))
          assert.strictEqual(showExit(exit), "Failed Die bug after \"\"")
          assert.deepStrictEqual(log, ["p1 before", "p1 end: Failed Die bug after \"\""])
        }).pipe(Effect.provide(model())))

      it.effect("its own error and its own services are the run's", () =>
        Effect.gen(function*() {
          class Quota extends Context.Service<Quota, { readonly left: number }>()("test/Quota") {}
          const agent = Agent.make("agent", {
            middleware: [Middleware.make("m", {
              model: (request, next) =>
                Stream.unwrap(Effect.flatMap(Quota, ({ left }) =>
                  left > 0 ? Effect.succeed(next(request)) : Effect.fail(new Boom({ of: "quota" }))))
            })]
          })
          const run = (left: number) =>
            Agent.run(agent, { prompt: "hi" }).pipe(
              Effect.map(({ text }) =>
                text
              ),
              Effect.catchTag("Boom", ({ of }) => Effect.succeed(`no ${of}`)),
              Effect.provideService(Quota, { left })
            )
          assert.deepStrictEqual([yield* run(1), yield* run(0)], ["ok", "no quota"])
        }).pipe(Effect.provide(model(text("ok")))))
    })

    describe("around a tool call", () => {
      const withTool = (tool: Parameters<typeof Middleware.make>[1]["tool"]) =>
        Agent.make("agent", { toolkit, middleware: [Middleware.make("m", { tool })] }) as Agent.Agent<
          {},
          AiError.AiError | Boom,
          Agent.Services<ReturnType<typeof Agent.make>> | Layer.Success<typeof ok>
        >
      const transcript = (agent: ReturnType<typeof withTool>) =>
        Effect.map(Agent.run(agent, { prompt: "hi" }), ({ steps, transcript }) => [
          showPrompt(transcript)[2],
          steps[0]!.toolCalls.map(({ executed, isFailure }) => [executed, isFailure])
        ])

      it.effect("sees the call and changes its result", () =>
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const agent = withTool((request, next) => {
            seen.push([request.agent, request.id, request.name, request.params, request.tool?.name])
            return Stream.map(next(request), (result) => ({ ...result, encodedResult: "changed" }))
          })
          assert.deepStrictEqual(yield* transcript(agent), ["tool: work#id-work = \"changed\"", [[true, false]]])
          assert.deepStrictEqual(seen, [["agent", "id-work", "work", {}, "work"]])
        }).pipe(Effect.provide([ok, model(calls("work"), text("ok"))])))

      it.effect("changes the parameters before they are decoded", () =>
        Effect.gen(function*() {
          const Echo = Tool.make("echo", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.Int })
          const echoes = Toolkit.make(Echo)
          const agent = Agent.make("agent", {
            toolkit: echoes,
            middleware: [Middleware.make("m", {
              tool: (request, next) => next({ ...request, params: { n: Number((request.params as { n: string }).n) } })
            })]
          })
          const run = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(echoes.toLayer({ echo: ({ n }) => Effect.succeed(n) }))
          )
          assert.strictEqual(showPrompt(run.transcript)[2], "tool: echo#1 = 7")
        }).pipe(Effect.provide(model(toolCalls({ id: "1", name: "echo", params: { n: "7" } }), text("ok")))))

      it.effect("short-circuits: the handler does not run", () =>
        Effect.gen(function*() {
          const agent = withTool(({ id, name }) => Stream.succeed(toolResult(id, name, "cached")))
          assert.deepStrictEqual(yield* transcript(agent), ["tool: work#id-work = \"cached\"", [[true, false]]])
        }).pipe(Effect.provide([toolkit.toLayer({ work: () => Effect.die("ran") }), model(calls("work"), text("ok"))])))

      it.effect("a result for another call answers this one: the transcript stays closed", () =>
        Effect.gen(function*() {
          const agent = withTool(() => Stream.succeed(toolResult("other", "another", "odd")))
          assert.deepStrictEqual(yield* transcript(agent), ["tool: work#id-work = \"odd\"", [[true, false]]])
        }).pipe(Effect.provide([ok, model(calls("work"), text("ok"))])))

      it.effect("no final result: the call gets a synthesized failure", () =>
        Effect.gen(function*() {
          assert.deepStrictEqual(yield* transcript(withTool(() => Stream.empty)), [
            "tool: work#id-work failed = " +
            "{\"type\":\"execution-interrupted\",\"reason\":\"The tool ended without a result\"}",
            [[true, true]]
          ])
        }).pipe(Effect.provide([ok, model(calls("work"), text("ok"))])))

      it.effect("the first final result ends the call: the handler behind it is interrupted", () =>
        Effect.gen(function*() {
          const log: Log = []
          const agent = withTool(({ id, name, ...rest }, next) =>
            Stream.merge(
              next({ id, name, ...rest }),
              Stream.fromEffect(Effect.delay(Effect.succeed(toolResult(id, name, "faster")), "1 second"))
            )
          )
          const fiber = yield* transcript(agent).pipe(
            Effect.provide(toolkit.toLayer({ work: () => hanging("work", log) })),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 second")
          assert.deepStrictEqual(yield* Fiber.join(fiber), ["tool: work#id-work = \"faster\"", [[true, false]]])
          assert.deepStrictEqual(log, ["work runs", "work interrupted"])
        }).pipe(Effect.provide(model(calls("work"), text("ok")))))

      it.effect("what follows the final result runs, and the tool does not run again", () =>
        Effect.gen(function*() {
          const log: Log = []
          const note = (what: string) => Effect.sync(() => void log.push(what))
          const agent = withTool((request, next) =>
            next(request).pipe(
              Stream.onEnd(note("end")),
              Stream.concat(next(request)),
              Stream.concat(Stream.drain(Stream.fromEffect(note("concat")))),
              Stream.ensuring(note("ensuring"))
            )
          )
          yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(toolkit.toLayer({ work: () => Effect.as(note("work"), "worked") }))
          )
          assert.deepStrictEqual(log, ["work", "end", "concat", "ensuring"])
        }).pipe(Effect.provide(model(calls("work"), text("ok")))))

      it.effect("another name runs that tool, with its services; the transcript keeps the call of the model", () =>
        Effect.gen(function*() {
          class Place extends Context.Service<Place, string>()("test/Place") {}
          const Here = Tool.make("here", { success: Schema.String })
          const There = Tool.make("there", { parameters: Schema.Struct({ n: Schema.Finite }), success: Schema.String })
          const here = Toolkit.make(Here)
          const there = Toolkit.make(There)
          const layers = Layer.merge(
            here.toLayer(Effect.map(Place, (place) => ({ here: () => Effect.succeed(place) }))).pipe(
              Layer.provide(Layer.succeed(Place, "here"))
            ),
            there.toLayer(Effect.map(Place, (place) => ({ there: ({ n }) => Effect.succeed(`${place} ${n}`) }))).pipe(
              Layer.provide(Layer.succeed(Place, "there"))
            )
          )
          const agent = Agent.make("agent", {
            toolkit: Toolkit.merge(here, there),
            middleware: [Middleware.make("m", {
              tool: (request, next) =>
                request.name === "there" ? next(request) : next({ ...request, name: "there", params: { n: 7 } })
            })]
          })
          const run = yield* Effect.provide(Agent.run(agent, { prompt: "hi" }), layers)
          assert.deepStrictEqual(showPrompt(run.transcript).slice(1, 3), [
            "assistant: here#id-here({}), nowhere#id-nowhere({})",
            "tool: here#id-here = \"there 7\", nowhere#id-nowhere = \"there 7\""
          ])
          assert.deepStrictEqual(run.steps[0].toolCalls.map(({ executed, name }) => [name, executed]), [
            ["here", true],
            ["nowhere", true]
          ])
        }).pipe(Effect.provide(model(calls("here", "nowhere"), text("ok")))))

      it.effect("another name passes neither an approval nor a limit", () =>
        Effect.gen(function*() {
          const log: Log = []
          const Free = Tool.make("free", { success: Schema.String })
          const Careful = Tool.make("careful", { success: Schema.String, needsApproval: true })
          const kit = Toolkit.make(Free, Careful)
          const handlers = kit.toLayer({
            free: () => Effect.sync(() => (log.push("free"), "ran")),
            careful: () => Effect.sync(() => (log.push("careful"), "ran"))
          })
          const renaming = (name: string) =>
            Middleware.make("m", { tool: (request, next) => next({ ...request, name }) })
          const careful = Agent.make("agent", { toolkit: kit, middleware: [renaming("careful")] })
          const asked = yield* Effect.provide(Agent.run(careful, { prompt: "hi" }), handlers)
          assert.deepStrictEqual(asked.approvals.map(({ tool }) => tool), ["careful"])
          const limited = Agent.make("agent", {
            toolkit: kit,
            middleware: [renaming("free")],
            stopWhen: [StopCondition.toolCalls(1)]
          })
          const run = yield* Effect.provide(Agent.run(limited, { prompt: "hi" }), handlers)
          assert.deepStrictEqual(run.steps[0].toolCalls.map(({ executed }) => executed), [true, false])
          assert.deepStrictEqual(log, ["free"])
        }).pipe(Effect.provide(model(calls("free"), calls("a", "b"), text("ok")))))

      it.effect("retries a handler that failed; preliminary results pass through", () =>
        Effect.gen(function*() {
          let tries = 0
          const agent = withTool((request, next) => Stream.retry(next(request), Schedule.recurs(2)))
          const seen: Array<string> = []
          yield* Agent.stream(agent, { prompt: "hi" }).pipe(
            Stream.runForEach((part) =>
              Effect.sync(() => part.type === "tool-result" && seen.push(String(part.encodedResult)))
            ),
            Effect.provide(toolkit.toLayer({
              work: (_, { preliminary }) =>
                Effect.andThen(
                  preliminary(`try ${++tries}`),
                  tries < 3 ? Effect.fail(new Boom({ of: "flaky" })) : Effect.succeed("worked")
                )
            }))
          )
          assert.deepStrictEqual(seen, ["try 1", "try 2", "try 3", "worked"])
        }).pipe(Effect.provide(model(calls("work"), text("ok")))))

      it.effect("a call of a tool that is not there passes through it too", () =>
        Effect.gen(function*() {
          const seen: Array<unknown> = []
          const agent = withTool((request, next) => {
            seen.push([request.name, request.tool])
            return next(request)
          })
          assert.deepStrictEqual(yield* transcript(agent), [
            "tool: ghost#id-ghost failed = \"Tool 'ghost' not found. Available tools: work\"",
            [[false, true]]
          ])
          assert.deepStrictEqual(seen, [["ghost", undefined]])
        }).pipe(Effect.provide([ok, model(calls("ghost"), text("ok"))])))

      it.effect("the tool timeout holds for the middleware too", () =>
        Effect.gen(function*() {
          const fiber = yield* transcript(withTool(() => Stream.never)).pipe(
            Effect.provideService(ToolLoop.ToolTimeout, "1 second"),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 second")
          const [result] = yield* Fiber.join(fiber)
          assert.match(String(result), /The tool did not end within 1s/)
        }).pipe(Effect.provide([ok, model(calls("work"), text("ok"))])))

      it.effect("a tool that interrupts its own fiber ends also behind a middleware", () =>
        Effect.gen(function*() {
          const agent = withTool((request, next) => next(request))
          const [result] = yield* transcript(agent).pipe(
            Effect.provide(toolkit.toLayer({
              work: () => Effect.withFiber((fiber) => Effect.andThen(Fiber.interrupt(fiber), Effect.never))
            }))
          )
          assert.match(String(result), /The tool was interrupted/)
        }).pipe(Effect.provide(model(calls("work"), text("ok")))))

      it.effect("its failure is the run's, and a defect too", () =>
        Effect.gen(function*() {
          const failing = withTool(() => Stream.fail(new Boom({ of: "denied" })) as never)
          const error = yield* Effect.flip(Agent.run(failing, { prompt: "hi" }))
          assert.deepStrictEqual(error, new Boom({ of: "denied" }))
          const dying = withTool(() => Stream.die("bug"))
          const exit = yield* Effect.exit(Agent.run(dying, { prompt: "hi" }))
          assert.strictEqual(Exit.isFailure(exit) && Cause.hasDies(exit.cause), true)
        }).pipe(Effect.provide([ok, model(calls("work"), calls("work"))])))

      it.effect("interrupting the run interrupts middleware and handler, and waits for both", () =>
        Effect.gen(function*() {
          const log: Log = []
          const agent = withTool((request, next) =>
            Stream.ensuring(next(request), Effect.sync(() => log.push("middleware ends")))
          )
          const fiber = yield* Agent.run(agent, { prompt: "hi" }).pipe(
            Effect.provide(toolkit.toLayer({ work: () => hanging("work", log) })),
            Effect.forkChild
          )
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(fiber)
          log.push("next statement")
          assert.deepStrictEqual(log.toSorted(), [
            "middleware ends",
            "next statement",
            "work interrupted",
            "work runs"
          ])
          assert.strictEqual(log.at(-1), "next statement")
        }).pipe(Effect.provide(model(calls("work")))))
    })
  })
}

describe("Agent.fromStream", () => {
  const result: AgentRun.Result = {
    agent: "double",
    runId: "run-1",
    session: undefined,
    text: "hello",
    value: undefined,
    approvals: [],
    usage: { inputTokens: {}, outputTokens: {} } as AgentRun.Usage,
    totalUsage: { inputTokens: {}, outputTokens: {} } as AgentRun.Usage,
    steps: [],
    stopReason: "stop",
    transcript: Prompt.empty
  }

  it.effect("is an agent: run folds it, a middleware goes around it, and making it does nothing", () =>
    Effect.gen(function*() {
      const log: Log = []
      const double = Agent.fromStream("double", {
        stream: ({ prompt, runId }) => {
          log.push(String(prompt))
          return Stream.make<ReadonlyArray<AgentRun.Part>>(
            { type: "run-start", agent: "double", runId, session: undefined },
            { type: "run-end", result: { ...result, runId } }
          )
        }
      }).pipe(Agent.withMiddleware(Middleware.make("m", {
        agent: (request, next) => next({ ...request, prompt: `${request.prompt}!` })
      })))
      const stream = Agent.stream(double, { prompt: "hi" })
      assert.deepStrictEqual(log, [])
      assert.deepStrictEqual(types(yield* Stream.runCollect(stream)), ["run-start", "run-end"])
      assert.strictEqual((yield* Agent.run(double, { prompt: "ho" })).text, "hello")
      assert.deepStrictEqual(log, ["hi!", "ho!"])
    }))
})

/** Agents that bring their own services, model, settings and tool choice. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, type Exit, Fiber, Layer, Logger, Schema, Stream, Tracer } from "effect"
import { LanguageModel, Model, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentOutput,
  AgentRun,
  AgentTelemetry,
  AgentTool,
  ContextProvider,
  Middleware,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { Boom, type Constructor, constructors, type Log, logged, showExit, showPrompt } from "./utils.ts"

const { text, toolCalls } = ScriptedModel
const input = { prompt: "hi" }

class Name extends Context.Service<Name, string>()("test/Name") {}

/** A service that writes down how it was built and released. */
const named = (name: string, log: Log, release: Effect.Effect<void> = Effect.void) =>
  Layer.effect(
    Name,
    Effect.acquireRelease(
      Effect.sync(() => {
        log.push(`build ${name}`)
        return name
      }),
      (_, exit) => Effect.andThen(Effect.sync(() => log.push(`release ${name}: ${showExit(exit)}`)), release)
    )
  )

const asksName = (log: Log) =>
  ContextProvider.make("asks", {
    beforeRun: () => Effect.map(Name, (name) => void log.push(`provider sees ${name}`)),
    afterRun: () => Effect.map(Name, (name) => log.push(`after sees ${name}`))
  })

const recorded = Effect.fnUntraced(function*(...steps: ReadonlyArray<ScriptedModel.Step>) {
  const { languageModel, script } = yield* ScriptedModel.make(steps)
  return { model: Layer.succeed(LanguageModel.LanguageModel, languageModel), languageModel, script }
})

describe("Agent.provide", () => {
  const scripted = ScriptedModel.layer([text(["a", "b", "c"])])

  describe("builds the layer for each run and releases it with the run's exit", () => {
    const agentOf = (log: Log) =>
      Agent.make("agent", { providers: [logged("p", log), asksName(log)] }).pipe(Agent.provide(named("n", log)))
    const begin = ["build n", "p before", "provider sees n"]

    it.effect("completed", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = agentOf(log)
        for (let i = 0; i < 2; i++) yield* Effect.provide(Agent.run(agent, input), scripted)
        const once = [
          ...begin,
          "after sees n",
          "p after \"abc\"",
          "p end: Completed \"abc\"",
          "release n: Completed \"abc\""
        ]
        assert.deepStrictEqual(log, [...once, ...once])
      }))

    it.effect("failed", () =>
      Effect.gen(function*() {
        const log: Log = []
        const failing = ScriptedModel.layer([[text("a"), ScriptedModel.die(new Error("boom"))]])
        yield* Effect.exit(Effect.provide(Agent.run(agentOf(log), input), failing))
        assert.deepStrictEqual(log, [
          ...begin,
          "p end: Failed Die boom after \"a\"",
          "release n: Failed Die boom after \"a\""
        ])
      }))

    it.effect("interrupted", () =>
      Effect.gen(function*() {
        const log: Log = []
        const reached = yield* Deferred.make<void>()
        const fiber = yield* Agent.stream(agentOf(log), input).pipe(
          Stream.runForEach((part) => part.type === "text-delta" ? Deferred.succeed(reached, undefined) : Effect.void),
          Effect.provide(ScriptedModel.layer([[text("a"), ScriptedModel.hang]])),
          Effect.forkChild
        )
        yield* Deferred.await(reached)
        yield* Fiber.interrupt(fiber)
        assert.deepStrictEqual(log, [...begin, "p end: Interrupted after \"a\"", "release n: Interrupted after \"a\""])
      }))

    it.effect("left early, and not at all when it was never pulled", () =>
      Effect.gen(function*() {
        const log: Log = []
        const stream = Stream.provide(Agent.stream(agentOf(log), input), scripted)
        assert.deepStrictEqual(log, [])
        yield* Stream.runDrain(Stream.take(stream, 4))
        assert.deepStrictEqual(log, [...begin, "p end: Abandoned after \"a\"", "release n: Abandoned after \"a\""])
      }))

    it.effect("with what the last one has decided, when the consumer leaves at run-end", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Agent.stream(agentOf(log), input).pipe(
          Stream.takeUntil((part) => part.type === "run-end"),
          Stream.runDrain,
          Effect.provide(scripted)
        )
        assert.strictEqual(log.at(-1), "release n: Completed \"abc\"")
      }))

    it.effect("of a program too", () =>
      Effect.gen(function*() {
        const log: Log = []
        const inner = Agent.make("inner")
        const program = Agent.fromStream("program", {
          stream: (input) =>
            Stream.unwrap(Effect.map(Name, (name) => Agent.stream(inner, { ...input, prompt: `${name}?` })))
        }).pipe(Agent.provide(named("n", log)))
        const result = yield* Effect.provide(Agent.run(program, input), scripted)
        yield* Effect.provide(Stream.runDrain(Stream.take(Agent.stream(program, input), 2)), scripted)
        assert.strictEqual(result.text, "abc")
        assert.deepStrictEqual(log, [
          "build n",
          "release n: Completed \"abc\"",
          "build n",
          "release n: Abandoned after \"\""
        ])
      }))
  })

  describe("tells the layer of a program what there is of its run", () => {
    const Look = Tool.make("look", { success: Schema.String })
    const toolkit = Toolkit.make(Look)
    const model = ScriptedModel.layer([
      ScriptedModel.step(text("first "), toolCalls({ name: "look", params: {} })),
      ScriptedModel.step(text(["sec", "ond"]), toolCalls({ name: "look", params: {} }), ScriptedModel.hang)
    ])
    /** Without ids, which two runs do not share. */
    const shown = ({ partial }: Exclude<AgentRun.Outcome, { readonly _tag: "Completed" }>) => ({
      ...partial,
      runId: typeof partial.runId,
      transcript: showPrompt(partial.transcript)
    })
    const outcomeIn = (seen: Array<AgentRun.Outcome>) => (exit: Exit.Exit<unknown, unknown>) =>
      Effect.sync(() => void seen.push(AgentRun.outcome(exit as Exit.Exit<AgentRun.Result, unknown>)))
    for (const end of ["fails", "is interrupted", "is left"] as const) {
      it.effect(`which ${end}`, () =>
        Effect.gen(function*() {
          const inside: Array<AgentRun.Outcome> = []
          const outside: Array<AgentRun.Outcome> = []
          const inner = Agent.make("inner", {
            toolkit,
            providers: [ContextProvider.make("seeing", { beforeRun: () => AgentRun.addFinalizer(outcomeIn(inside)) })]
          })
          const release = Layer.effectDiscard(Effect.acquireRelease(Effect.void, (_, exit) => outcomeIn(outside)(exit)))
          const program = Agent.fromStream("program", {
            stream: (input) =>
              Agent.stream(inner, input).pipe(Stream.tap((part) =>
                end === "fails" && part.type === "text-delta" && part.delta === "ond"
                  ? Effect.fail(new Boom({ of: "program" }))
                  : Effect.void
              ))
          }).pipe(Agent.provide(release))
          const stream = Stream.takeUntil(
            Agent.stream(program, input),
            (part) =>
              end === "is left" && part.type === "text-delta" && part.delta === "ond"
          )
          const fiber = yield* Effect.forkChild(Stream.runDrain(stream))
          yield* TestClock.adjust("1 second")
          yield* Fiber.interrupt(fiber)
          const [one] = inside
          const [other] = outside
          assert(one !== undefined && one._tag !== "Completed" && other !== undefined && other._tag !== "Completed")
          assert.strictEqual(
            other._tag,
            { "fails": "Failed", "is interrupted": "Interrupted", "is left": "Abandoned" }[end]
          )
          const { text, ...rest } = shown(other)
          // the last part that came was not seen by who failed with it
          assert.strictEqual(text, end === "fails" ? "sec" : shown(one).text)
          if (end !== "fails") assert.deepStrictEqual({ ...rest, text }, shown(one))
          assert.deepStrictEqual(rest.steps.map((step) => step.text), ["first "])
          assert.strictEqual(rest.transcript[0], "user: hi")
        }).pipe(Effect.provide([model, toolkit.toLayer({ look: () => Effect.succeed("seen") })])))
    }
  })

  it.effect("a failing layer fails the run before anything of it runs", () =>
    Effect.gen(function*() {
      const log: Log = []
      const broken = Layer.effect(Name, Effect.fail(new Boom({ of: "layer" })))
      const agent = Agent.make("agent", { providers: [logged("p", log), asksName(log)] }).pipe(
        Agent.provide(Layer.provideMerge(
          broken,
          Layer.effectDiscard(Effect.addFinalizer((exit) => Effect.sync(() => log.push(showExit(exit)))))
        ))
      )
      const error = yield* Effect.flip(Effect.provide(Agent.run(agent, input), scripted))
      assert.deepStrictEqual(error, new Boom({ of: "layer" }))
      assert.deepStrictEqual(log, ["Failed Fail Boom(layer) after \"\""])
    }))

  it.effect("a release that hangs or dies changes nothing, and holds up no other", () =>
    Effect.gen(function*() {
      const log: Log = []
      const logger = Logger.make(({ message }) => void log.push(String((message as ReadonlyArray<unknown>)[0])))
      const agent = Agent.make("agent").pipe(
        Agent.provide(named("a", log)),
        Agent.provide(named("b", log, Effect.die(new Error("b")))),
        Agent.provide(named("c", log, Effect.never))
      )
      const fiber = yield* Agent.run(agent, input).pipe(
        Effect.provide([scripted, Logger.layer([logger])]),
        Effect.forkChild
      )
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual((yield* Fiber.join(fiber)).text, "abc")
      assert.deepStrictEqual(log, [
        "build c",
        "build b",
        "build a",
        "release a: Completed \"abc\"",
        "release b: Completed \"abc\"",
        "The release of a service of `agent` failed",
        "release c: Completed \"abc\"",
        "The release of a service of `agent` overran its budget"
      ])
    }))

  it.effect("the nearest layer wins, and the caller's services are not there for the layer's", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", { providers: [asksName(log)] }).pipe(
        Agent.provide(Layer.succeed(Name, "near")),
        Agent.provide(Layer.succeed(Name, "far"))
      )
      yield* Agent.run(agent, input).pipe(Effect.provide(scripted), Effect.provideService(Name, "caller"))
      assert.deepStrictEqual(log, ["provider sees near", "after sees near"])
    }))

  it.effect("a middleware put around it later is around the layer, and in the run with its other places", () =>
    Effect.gen(function*() {
      const log: Log = []
      const see = (place: string) =>
        Effect.contextWith((context: Context.Context<never>) =>
          Effect.sync(() => log.push(`${place} sees ${Context.getOrUndefined(context, Name)}`))
        )
      const seeing = Middleware.make("seeing", {
        agent: (request, next) => Stream.onStart(next(request), see("agent")),
        model: (request, next) => Stream.onStart(next(request), see("model"))
      })
      const agent = Agent.make("agent").pipe(Agent.provide(named("n", log)), Agent.withMiddleware(seeing))
      yield* Effect.provide(Agent.run(agent, input), scripted)
      assert.deepStrictEqual(log, [
        "agent sees undefined",
        "build n",
        "model sees n",
        "release n: Completed \"abc\""
      ])
    }))

  it.effect("a middleware that recovers makes the run a completed one for the layer", () =>
    Effect.gen(function*() {
      const log: Log = []
      const again = Middleware.make("again", {
        agent: (request, next) => Stream.catchCause(next(request), () => next(request))
      })
      const agent = Agent.make("agent", { middleware: [again] }).pipe(Agent.provide(named("n", log)))
      yield* Effect.provide(
        Agent.run(agent, input),
        ScriptedModel.layer([ScriptedModel.die(new Error("first")), text("ok")])
      )
      assert.deepStrictEqual(log, ["build n", "release n: Completed \"ok\""])
    }))

  it.effect("runs at the same time share nothing", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent").pipe(
        Agent.provide(Layer.mergeAll(ScriptedModel.layer([text("own")]), named("n", log)))
      )
      const results = yield* Effect.all([Agent.run(agent, input), Agent.run(agent, input)], { concurrency: 2 })
      assert.deepStrictEqual(results.map((_) => _.text), ["own", "own"])
      assert.deepStrictEqual(log.filter((line) => line.startsWith("build")), ["build n", "build n"])
    }))
})

describe("Agent.provide with a context", () => {
  it.effect("gives all runs the same services, which nobody releases", () =>
    Effect.gen(function*() {
      const agentOf = Agent.make("agent", { providers: [SessionHistory.provider], model: echoing })
      const ids = Effect.map(SessionStore.SessionStore, (store) => store)
      const store = yield* Effect.provide(ids, SessionStore.layerMemory)
      const agent = Agent.provide(agentOf, Context.make(SessionStore.SessionStore, store))
      yield* Agent.run(agent, { prompt: "one", session: "s" })
      const { text } = yield* Agent.run(agent, { prompt: "two", session: "s" })
      assert.strictEqual(text, "user: one | assistant: user: one | user: two")
    }))

  it.effect("a layer of a store in memory begins anew with each run", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [SessionHistory.provider], model: echoing }).pipe(
        Agent.provide(SessionStore.layerMemory)
      )
      yield* Agent.run(agent, { prompt: "one", session: "s" })
      const { text } = yield* Agent.run(agent, { prompt: "two", session: "s" })
      assert.strictEqual(text, "user: two")
    }))
})

/** A model that says what it was told. */
const echoing = ScriptedModel.layer([({ prompt }) => text(showPrompt(prompt).join(" | "))])

describe("the model of an agent", () => {
  const models = (steps: ReadonlyArray<ScriptedModel.Step>) =>
    Effect.map(recorded(...steps), ({ languageModel, model, script }) => ({
      script,
      given: [
        ["a layer", model],
        ["a Model", Model.make("scripted", "own", model)],
        ["an effect", Effect.succeed(languageModel)]
      ] as const
    }))

  it.effect("is called in place of the caller's", () =>
    Effect.gen(function*() {
      const { given, script } = yield* models([text("own"), text("own"), text("own")])
      for (const [name, model] of given) {
        const { text } = yield* Agent.run(Agent.make("agent", { model }), input)
        assert.strictEqual(text, "own", name)
      }
      yield* script.assertDone
    }))

  it.effect("is that of its providers and its middleware, not of its tools", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const see = (who: string) =>
        Effect.contextWith((context: Context.Context<never>) =>
          Effect.sync(() => {
            const model = Context.getOrUndefined(context, LanguageModel.LanguageModel)
            const name = Context.getOrUndefined(context, Model.ModelName)
            seen.push(`${who}: ${name} ${model === own.languageModel ? "own" : model === undefined ? "none" : "other"}`)
          })
        )
      const Look = Tool.make("look", { success: Schema.String })
      const Find = Tool.make("find", { success: Schema.String })
      const kit = Toolkit.make(Look)
      const found = Toolkit.make(Find)
      const own = yield* recorded(toolCalls({ name: "look", params: {} }, { name: "find", params: {} }), text("done"))
      const outer = yield* recorded()
      const agent = Agent.make("agent", {
        model: Model.make("scripted", "own", own.model),
        toolkit: Effect.tap(kit, see("toolkit")),
        providers: [
          ContextProvider.make("p", {
            beforeRun: () => Effect.andThen(see("provider"), Effect.map(found, (toolkit) => ({ toolkit })))
          })
        ],
        middleware: [
          Middleware.make("m", {
            agent: (request, next) => Stream.onStart(next(request), see("agent")),
            model: (request, next) => Stream.onStart(next(request), see("model")),
            tool: (request, next) => Stream.onStart(next(request), see(`around ${request.name}`))
          })
        ]
      })
      const handlers = Layer.mergeAll(
        kit.toLayer({ look: () => Effect.as(see("look"), "") }),
        found.toLayer({ find: () => Effect.as(see("find"), "") })
      )
      const run = Agent.run(agent, input).pipe(Effect.provide(handlers))
      yield* Effect.provide(run, Model.make("scripted", "outer", outer.model))
      assert.deepStrictEqual(seen.filter((line) => !line.includes("own own")), [
        "toolkit: outer other",
        "look: outer other"
      ])
      assert.sameMembers(seen.filter((line) => line.includes("own own")).map((line) => line.split(":")[0]), [
        "agent",
        "provider",
        "model",
        "model",
        "around look",
        "around find",
        "find"
      ])
    }))

  it.effect("is not that of an agent that it calls: neither with a model nor without", () =>
    Effect.gen(function*() {
      const lead = yield* recorded(
        toolCalls({ name: "with", params: { prompt: "1" } }, { name: "without", params: { prompt: "2" } }),
        text("lead")
      )
      const nested = yield* recorded(text("nested"))
      const outer = yield* recorded(text("outer"))
      const agent = Agent.make("lead", {
        model: lead.model,
        toolkit: AgentTool.toolkit(
          AgentTool.make(Agent.make("with", { model: nested.model })),
          AgentTool.make(Agent.make("without"))
        )
      })
      const { text: answer, transcript } = yield* Effect.provide(Agent.run(agent, input), outer.model)
      assert.strictEqual(answer, "lead")
      const results = transcript.content.flatMap((message) =>
        message.role === "tool" ? message.content.flatMap((part) => part.type === "tool-result" ? part.result : []) : []
      )
      assert.deepStrictEqual(results, ["nested", "outer"])
    }))

  it.effect("that cannot be built fails the run with its error", () =>
    Effect.gen(function*() {
      const model = Layer.effect(LanguageModel.LanguageModel, Effect.fail(new Boom({ of: "model" })))
      const error = yield* Effect.flip(Agent.run(Agent.make("agent", { model }), input))
      assert.deepStrictEqual(error, new Boom({ of: "model" }))
    }))

  it.effect("is released after the run, with its exit", () =>
    Effect.gen(function*() {
      const log: Log = []
      const { languageModel } = yield* recorded(text("ok"))
      const model = Effect.acquireRelease(
        Effect.succeed(languageModel),
        (_, exit) => Effect.sync(() => log.push(`release: ${showExit(exit)}`))
      )
      yield* Agent.run(Agent.make("agent", { model, providers: [logged("p", log)] }), input)
      assert.deepStrictEqual(log.slice(-2), ["p end: Completed \"ok\"", "release: Completed \"ok\""])
    }))

  it.effect("gives its names to the spans, in place of the caller's", () =>
    Effect.gen(function*() {
      const spans: Array<string> = []
      const { languageModel, model } = yield* recorded(text("ok"), text("ok"))
      for (const own of [Model.make("scripted", "own", model), Effect.succeed(languageModel)]) {
        yield* Agent.run(Agent.make("agent", { model: own }), input).pipe(
          Effect.provide(AgentTelemetry.layer()),
          Effect.provideService(Model.ModelName, "outer"),
          Effect.provideService(
            Tracer.Tracer,
            Tracer.make({
              span: (options) => {
                spans.push(options.name)
                return new Tracer.NativeSpan(options)
              }
            })
          )
        )
      }
      assert.deepStrictEqual(spans, ["invoke_agent agent", "chat own", "invoke_agent agent", "chat"])
    }))
})

describe("the settings of an agent", () => {
  const Setting = Context.Reference<string>("test/Setting", { defaultValue: () => "none" })
  /** A model that writes down the setting of each call. */
  const model = (name: string, seen: Array<string>, via: Constructor, ...steps: ReadonlyArray<ScriptedModel.Step>) =>
    ScriptedModel.layer(steps, {
      via: (params) =>
        via({
          ...params,
          streamText: (options) =>
            Stream.unwrap(Effect.map(Setting, (setting) => {
              seen.push(`${name}: ${setting}`)
              return params.streamText(options)
            }))
        })
    })

  for (const [name, via] of constructors) {
    for (const telemetry of ["without telemetry", "with telemetry"]) {
      it.effect(`are for its own calls of a model, not for those of its tools: ${name}, ${telemetry}`, () =>
        Effect.gen(function*() {
          const seen: Array<string> = []
          const nested = Agent.make("nested", { model: model("nested", seen, via, text("n")) })
          const own = Agent.make("own", {
            model: model("own", seen, via, text("o")),
            settings: Context.add(Setting, "own")
          })
          const lead = Agent.make("lead", {
            model: model(
              "lead",
              seen,
              via,
              toolCalls({ name: "nested", params: { prompt: "1" } }),
              toolCalls({ name: "own", params: { prompt: "2" } }),
              text("done")
            ),
            settings: (context) => Context.add(context, Setting, `${Context.get(context, Setting)}+lead`),
            toolkit: AgentTool.toolkit(AgentTool.make(nested), AgentTool.make(own))
          })
          const run = Effect.provideService(Agent.run(lead, input), Setting, "caller")
          yield* telemetry === "with telemetry" ? Effect.provide(run, AgentTelemetry.layer()) : run
          assert.deepStrictEqual(seen, [
            "lead: caller+lead",
            "nested: caller",
            "lead: caller+lead",
            "own: own",
            "lead: caller+lead"
          ])
        }))

      it.effect(`are below those of a middleware, and for what it is around: ${name}, ${telemetry}`, () =>
        Effect.gen(function*() {
          const seen: Array<string> = []
          const louder = Middleware.make("louder", {
            model: (request, next) =>
              Stream.unwrap(
                Effect.map(Setting, (setting) => Stream.provideService(next(request), Setting, `${setting}!`))
              )
          })
          const agent = Agent.make("agent", { settings: Context.add(Setting, "own"), middleware: [louder] })
          const run = Effect.provide(Agent.run(agent, input), model("model", seen, via, text("ok")))
          yield* telemetry === "with telemetry" ? Effect.provide(run, AgentTelemetry.layer()) : run
          assert.deepStrictEqual(seen, ["model: own!"])
        }))
    }
  }

  it.effect("of the AI SDK are above those of the context and of the model", () =>
    Effect.gen(function*() {
      const asked: Array<Record<string, unknown>> = []
      const sdk: AiSdk.SdkLanguageModel = {
        specificationVersion: "v4",
        provider: "test",
        modelId: "test",
        supportedUrls: {},
        doGenerate: () => Promise.reject(new Error("not used")),
        doStream: ({ seed, temperature, topP }) => {
          asked.push({ temperature, topP, seed })
          return Promise.reject(new Error("no answer"))
        }
      }
      const agent = Agent.make("agent", {
        model: AiSdk.model(sdk, { temperature: 1, topP: 1, seed: 1 }),
        settings: AiSdk.settings({ temperature: 0 })
      })
      yield* Agent.run(agent, input).pipe(
        Effect.provideService(AiSdk.CurrentSettings, { temperature: 0.5, topP: 0.5 }),
        Effect.exit
      )
      assert.deepStrictEqual(asked, [{ temperature: 0, topP: 0.5, seed: 1 }])
    }))
})

describe("the tool choice of an agent", () => {
  const Look = Tool.make("look", { success: Schema.String })
  const kit = Toolkit.make(Look)
  const handlers = kit.toLayer({ look: () => Effect.succeed("seen") })
  const look = toolCalls({ name: "look", params: {} })

  const choices = Effect.fnUntraced(function*<E, R>(
    agent: Agent.Agent<any, E, R, any, any>,
    ...steps: ReadonlyArray<ScriptedModel.Step>
  ) {
    const { model, script } = yield* recorded(...steps)
    yield* Agent.run(agent, input).pipe(Effect.provide([model, handlers]), Effect.exit)
    return (yield* script.requests).map((request) => request.toolChoice)
  })

  it.effect("is that of each model call, or what a function of the steps says", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(yield* choices(Agent.make("a", { toolkit: kit }), look, text("ok")), ["auto", "auto"])
      assert.deepStrictEqual(
        yield* choices(Agent.make("a", { toolkit: kit, toolChoice: "required" }), look, text("ok")),
        ["required", "required"]
      )
      const first = Agent.make("a", {
        toolkit: kit,
        toolChoice: (steps) => steps.length === 0 ? { tool: "look" } : "none"
      })
      assert.deepStrictEqual(yield* choices(first, look, text("ok")), [{ tool: "look" }, "none"])
    }))

  it.effect("leaves the answer of an output free to be chosen", () =>
    Effect.gen(function*() {
      const output = AgentOutput.tool(Schema.Struct({ n: Schema.Finite }), { name: "answer" })
      const answer = toolCalls({ name: "answer", params: { n: 1 } })
      const of = (toolChoice: Agent.ToolChoice<"look">) =>
        choices(Agent.make("a", { toolkit: kit, output, toolChoice }), answer)
      assert.deepStrictEqual(yield* of("auto"), ["required"])
      assert.deepStrictEqual(yield* of("required"), ["required"])
      assert.deepStrictEqual(yield* of("none"), [{ tool: "answer" }])
      assert.deepStrictEqual(yield* of({ tool: "look" }), [{ tool: "look" }])
      assert.deepStrictEqual(yield* of({ oneOf: ["look"] }), [{ mode: "required", oneOf: ["look", "answer"] }])
    }))

  it.effect("is not that of an agent among its tools", () =>
    Effect.gen(function*() {
      const nested = yield* recorded(text("n"))
      const inner = Agent.make("inner", { model: nested.model, toolkit: kit })
      const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(inner)), toolChoice: "required" })
      const asked = yield* choices(lead, toolCalls({ name: "inner", params: { prompt: "?" } }), text("ok"))
      assert.deepStrictEqual(asked, ["required", "required"])
      assert.deepStrictEqual((yield* nested.script.requests).map((request) => request.toolChoice), ["auto"])
    }))
})

describe("a function of the agent's options that throws", () => {
  const die = (): never => {
    throw new Error("boom")
  }
  const later = <A>(first: A) => {
    let calls = 0
    return () => calls++ === 0 ? first : die()
  }
  const Look = Tool.make("look", { success: Schema.String })
  const kit = Toolkit.make(Look)
  const handlers = kit.toLayer({ look: () => Effect.succeed("seen") })
  const options = {
    "settings, at once": () => ({ settings: die }),
    "settings, in the second step": () => ({ settings: later(Context.empty()) }),
    "toolChoice, at once": () => ({ toolChoice: die }),
    "toolChoice, in the second step": () => ({ toolChoice: later("auto" as const) }),
    "toolChoice, of an agent with an output": () => ({ toolChoice: die, output: Schema.Struct({ n: Schema.Finite }) })
  }
  for (const [name, make] of Object.entries(options)) {
    for (const telemetry of [Layer.empty, AgentTelemetry.layer()]) {
      it.effect(`fails the run: ${name}, ${telemetry === Layer.empty ? "without" : "with"} telemetry`, () =>
        Effect.gen(function*() {
          const log: Log = []
          const { settings, toolChoice, output } = {
            settings: undefined,
            toolChoice: undefined,
            output: undefined,
            ...make()
          }
          const providers = [logged("p", log)]
          const agent = Agent.make("agent", { toolkit: kit, providers, settings, toolChoice, output })
          const exit = yield* Effect.exit(Agent.run(agent, input)).pipe(
            Effect.provide([
              ScriptedModel.layer([toolCalls({ name: "look", params: {} }), text("a")]),
              handlers,
              telemetry
            ])
          )
          assert.strictEqual(showExit(exit), "Failed Die boom after \"\"")
          assert.deepStrictEqual(log, ["p before", "p end: Failed Die boom after \"\""])
        }))
    }
  }
})

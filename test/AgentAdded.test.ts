/** Providers and tools that an agent, or one run of it, is given; the tools that an agent offers. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentTool, Approval, ContextProvider, Middleware, SessionHistory, SessionStore } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { Boom, type Log, logged, showCause, showExit, showPrompt } from "./utils.ts"

const { text, toolCalls } = ScriptedModel
const input = { prompt: "hi" }

const instructing = (name: string) =>
  ContextProvider.make(name, { beforeRun: () => Effect.succeed({ instructions: name }) })

const sent = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  ({ requests }) => Effect.map(requests, (all) => all.map(({ prompt }) => showPrompt(prompt)[0]))
)

const Locate = Tool.make("locate", { success: Schema.String, failure: Boom })
const located = Toolkit.make(Locate)
const Look = Tool.make("look", { success: Schema.String })

describe("Agent.withProvider", () => {
  it.effect("adds one after those that the agent has, and changes no other agent", () =>
    Effect.gen(function*() {
      const log: Log = []
      const agent = Agent.make("agent", { providers: [logged("a", log)] })
      const more = agent.pipe(Agent.withProvider(logged("b", log)))
      yield* Agent.run(more, input)
      yield* Agent.run(agent, input)
      assert.deepStrictEqual(log, [
        "a before",
        "b before",
        "b after \"ok\"",
        "a after \"ok\"",
        "b end: Completed \"ok\"",
        "a end: Completed \"ok\"",
        "a before",
        "a after \"ok\"",
        "a end: Completed \"ok\""
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok"), text("ok")]))))

  it("refuses a second one of a name", () => {
    const agent = Agent.make("agent", { providers: [instructing("p")] })
    assert.throws(
      () => Agent.withProvider(agent, instructing("p")),
      "Agent `agent` has two context providers named `p`"
    )
  })

  it.effect("keeps the middleware, and is kept by it and by a layer", () =>
    Effect.gen(function*() {
      const log: Log = []
      const seeing = (name: string) =>
        Middleware.make(name, {
          agent: (request, next) => Stream.onStart(next(request), Effect.sync(() => log.push(name))),
          model: (request, next) => Stream.onStart(next(request), Effect.sync(() => log.push(`${name} model`)))
        })
      const agent = Agent.make("agent", { middleware: [seeing("inner")] }).pipe(
        Agent.withProvider(instructing("one")),
        Agent.withMiddleware(seeing("middle")),
        Agent.provide(Context.empty()),
        Agent.withProvider(instructing("two")),
        Agent.withMiddleware(seeing("outer")),
        Agent.withProvider(instructing("three"))
      )
      yield* Agent.run(agent, input)
      assert.deepStrictEqual(log, ["outer", "middle", "inner", "outer model", "middle model", "inner model"])
      assert.deepStrictEqual(yield* sent, ["system: one\n\ntwo\n\nthree"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))

  it.effect("gives it to a program in its input, also below a middleware", () =>
    Effect.gen(function*() {
      const inner = Agent.make("inner", { providers: [instructing("own")] })
      const program = Agent.fromStream("program", { stream: (input) => Agent.stream(inner, input) }).pipe(
        Agent.withProvider(instructing("one")),
        Agent.withMiddleware(
          Middleware.make("m", { agent: (request, next) => next({ ...request, prompt: "changed" }) })
        ),
        Agent.withProvider(instructing("two"))
      )
      yield* Agent.run(program, { ...input, providers: [instructing("three")] })
      yield* Agent.run(program, input)
      assert.deepStrictEqual(yield* sent, ["system: own\n\none\n\ntwo\n\nthree", "system: own\n\none\n\ntwo"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok"), text("ok")]))))
})

describe("the providers and the toolkit of one run", () => {
  const kit = (answer: Effect.Effect<string, Boom>) =>
    Effect.provide(located, located.toLayer({ locate: () => answer }))

  it.effect("are of that run alone", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [instructing("own")] })
      const { transcript } = yield* Agent.run(agent, {
        ...input,
        providers: [instructing("request")],
        toolkit: kit(Effect.succeed("Oslo"))
      })
      yield* Agent.run(agent, input)
      assert.deepStrictEqual(showPrompt(transcript).slice(1, 3), [
        "assistant: locate#call-1-1({})",
        "tool: locate#call-1-1 = \"Oslo\""
      ])
      assert.deepStrictEqual(yield* sent, ["system: own\n\nrequest", "system: own\n\nrequest", "system: own"])
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.deepStrictEqual((yield* requests).map(({ tools }) => tools), [["locate"], ["locate"], []])
    }).pipe(
      Effect.provide(ScriptedModel.layer([toolCalls({ name: "locate", params: {} }), text("there"), text("ok")]))
    ))

  it.effect("fail the run with what they fail with", () =>
    Effect.gen(function*() {
      const failing = ContextProvider.make("p", { beforeRun: () => Effect.fail(new Boom({ of: "provider" })) })
      const agent = Agent.make("agent")
      const of = (exit: Exit.Exit<unknown, unknown>) => showExit(exit)
      const run1 = yield* Effect.exit(Agent.run(agent, { ...input, providers: [failing] }))
      const run2 = yield* Effect.exit(
        Agent.run(agent, { ...input, toolkit: kit(Effect.fail(new Boom({ of: "tool" }))) })
      )
      const run3 = yield* Effect.exit(Agent.run(agent, { ...input, toolkit: Effect.fail(new Boom({ of: "toolkit" })) }))
      assert.deepStrictEqual([run1, run2, run3].map(of), [
        "Failed Fail Boom(provider) after \"\"",
        "Failed Fail Boom(tool) after \"\"",
        "Failed Fail Boom(toolkit) after \"\""
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([toolCalls({ name: "locate", params: {} })]))))

  it.effect("a tool of a name that the agent has fails the run, a provider of such a name is a defect of it", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", {
        toolkit: kit(Effect.succeed("agent")),
        providers: [instructing("p")]
      })
      const twice = yield* Effect.exit(Agent.run(agent, { ...input, toolkit: kit(Effect.succeed("client")) }))
      assert.strictEqual(showExit(twice), "Failed Fail AgentError.DuplicateTool(the tools of the input) after \"\"")
      const stream = Agent.stream(agent, { ...input, providers: [instructing("p")] })
      const exit = yield* Effect.exit(Stream.runDrain(stream))
      assert.strictEqual(
        Exit.isFailure(exit) ? showCause(exit.cause) : "",
        "Die Agent `agent` has two context providers named `p`"
      )
    }).pipe(Effect.provide(ScriptedModel.layer([]))))

  it.effect("reach no agent among the tools", () =>
    Effect.gen(function*() {
      const nested = yield* ScriptedModel.make([text("n")])
      const inner = Agent.make("inner", { model: Effect.succeed(nested.languageModel) })
      const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(inner)) })
      yield* Agent.run(lead, {
        ...input,
        providers: [instructing("request")],
        toolkit: kit(Effect.succeed("Oslo"))
      })
      const [request] = yield* nested.script.requests
      assert.deepStrictEqual([showPrompt(request.prompt), request.tools], [["user: ?"], []])
    }).pipe(
      Effect.provide(ScriptedModel.layer([toolCalls({ name: "inner", params: { prompt: "?" } }), text("ok")]))
    ))

  it.effect("are given again to a run that goes on", () =>
    Effect.gen(function*() {
      const Send = Tool.make("send", { success: Schema.String, needsApproval: true })
      const sending = Toolkit.make(Send)
      const toolkit = Effect.provide(sending, sending.toLayer({ send: () => Effect.succeed("sent") }))
      const agent = Agent.make("agent", { providers: [SessionHistory.provider] })
      for (const by of ["session", "result"] as const) {
        const session = by === "session" ? "s" : undefined
        const waiting = yield* Agent.run(agent, { ...input, session, toolkit })
        const answers = waiting.approvals.map((approval) => Approval.approve(approval))
        const where = session === undefined ? { result: waiting } : { session }
        const { text, transcript } = yield* Agent.resume(
          agent,
          { ...where, toolkit, providers: [instructing(by)] },
          answers
        )
        assert.strictEqual(text, "done")
        assert.include(showPrompt(transcript).join("\n"), "send#call-")
        assert.include(showPrompt(transcript).join("\n"), "= \"sent\"")
      }
      assert.deepStrictEqual((yield* sent).filter((line) => line.startsWith("system")), [
        "system: session",
        "system: result"
      ])
    }).pipe(
      Effect.provide([
        ScriptedModel.layer([
          toolCalls({ name: "send", params: {} }),
          text("done"),
          toolCalls({ name: "send", params: {} }),
          text("done")
        ]),
        SessionStore.layerMemory
      ])
    ))

  it.effect("go on through a program that adds tools of its own", () =>
    Effect.gen(function*() {
      const looking = Toolkit.make(Look)
      const inner = Agent.make("inner")
      const program = Agent.fromStream("program", {
        stream: (input) =>
          Agent.stream(inner, {
            ...input,
            toolkit: Effect.provide(looking, looking.toLayer({ look: () => Effect.succeed("seen") }))
          })
      })
      yield* Agent.run(program, { ...input, toolkit: kit(Effect.succeed("Oslo")) })
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.deepStrictEqual((yield* requests).map(({ tools }) => tools), [["locate", "look"]])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))

  it.effect("see how the run ends when it is left", () =>
    Effect.gen(function*() {
      const log: Log = []
      const stream = Agent.stream(Agent.make("agent"), { ...input, providers: [logged("p", log)] })
      assert.deepStrictEqual(log, [])
      yield* Stream.runDrain(Stream.take(stream, 1))
      assert.deepStrictEqual(log, ["p before", "p end: Abandoned after \"\""])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))
})

describe("Agent.tools", () => {
  it("are those of a toolkit, of agents as tools, or none, whatever is put around", () => {
    const kit = Toolkit.make(Look, Locate)
    const agent = Agent.make("agent", { toolkit: kit })
    assert.strictEqual(Agent.tools(agent)!.look, Look)
    assert.deepStrictEqual(Object.keys(Agent.tools(agent)!), ["look", "locate"])
    const around = agent.pipe(
      Agent.withMiddleware(Middleware.make("m", {})),
      Agent.withProvider(instructing("p")),
      Agent.provide(Context.empty())
    )
    assert.deepStrictEqual(Object.keys(Agent.tools(around)!), ["look", "locate"])
    assert.deepStrictEqual(Agent.tools(Agent.make("none")), {})
    const lead = Agent.make("lead", { toolkit: AgentTool.toolkit(AgentTool.make(agent, { name: "ask" })) })
    assert.deepStrictEqual(Object.keys(Agent.tools(lead)!), ["ask"])
  })

  it("are undefined where only a run knows them", () => {
    assert.isUndefined(Agent.tools(Agent.make("late", { toolkit: Effect.suspend(() => Toolkit.make(Look)) })))
    assert.isUndefined(Agent.tools(Agent.fromStream("program", { stream: () => Stream.empty })))
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Exit, Fiber, Layer, Ref, Schema, Stream } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Agent, AgentRun, AgentTool, ContextProvider, SessionHistory, SessionStore, Steering } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { prompts } from "./fixtures/approvals.ts"
import { lines, nodeSdk, spanNamed } from "./fixtures/telemetry.ts"
import { type Log, logged, showPrompt } from "./utils.ts"

class OutOfInk extends Schema.TaggedError<OutOfInk>()("OutOfInk", {}) {}

const X = Schema.Struct({ x: Schema.String })
const kit = Toolkit.make(Tool.make("echo", { parameters: X, success: Schema.String }))
const handlers = (log: Log = []) =>
  kit.toLayer({
    echo: ({ x }) =>
      Effect.sync(() => {
        log.push(x)
        return x
      })
  })

const [writer, critic] = [Agent.make("writer"), Agent.make("critic")]

const stored = (session: string) =>
  Effect.map(
    Effect.flatMap(SessionStore.SessionStore, (store) => store.load(session)),
    ({ history }) => showPrompt(history)
  )

describe("an agent that is a program", () => {
  it.effect("of agents in a record, one of which fails typed", () =>
    Effect.gen(function*() {
      const empty = yield* Ref.make(true)
      const ink = ContextProvider.make("ink", {
        beforeRun: () =>
          Effect.flatMap(Ref.get(empty), (empty) => empty ? Effect.fail(new OutOfInk()) : Effect.succeed({}))
      })
      const critic = Agent.make("critic", { providers: [ink] })
      const team = Agent.program("team", {
        toolkit: AgentTool.toolkit({ writer, critic }),
        run: ({ prompt }, call) =>
          Effect.gen(function*() {
            const draft = yield* call.writer({ prompt })
            return yield* call.critic({ prompt: draft }).pipe(
              Effect.catchTag("OutOfInk", () => call.writer({ prompt }))
            )
          })
      })
      assert.strictEqual((yield* Agent.run(team, { prompt: "go" })).value, "second")
      yield* Ref.set(empty, false)
      assert.strictEqual((yield* Agent.run(team, { prompt: "go" })).value, "judged")
      assert.deepStrictEqual((yield* prompts).map((prompt) => prompt.at(-1)), [
        "user: go",
        "user: go",
        "user: go",
        "user: third"
      ])
    }).pipe(
      Effect.provide(
        ScriptedModel.layer(["first", "second", "third", "judged"].map((said) => ScriptedModel.text(said)))
      )
    ))

  it.effect("has its providers around it, and a session of its own", () => {
    const log: Log = []
    return Effect.gen(function*() {
      const agent = Agent.program("asks", {
        toolkit: kit,
        providers: [logged("p", log), SessionHistory.provider],
        run: ({ conversation, prompt, session }, call) =>
          call.echo({ x: `${prompt} of ${session}, ${showPrompt(conversation).length}` })
      }).pipe(Agent.withProvider(logged("q", log)))
      yield* Agent.run(agent, { prompt: "one", session: "s" })
      const { value } = yield* Agent.run(agent, { prompt: "two", session: "s" })
      assert.strictEqual(value, "two of s, 5")
      assert.deepStrictEqual(log.filter((line) => line.startsWith("q")).length, 6)
      assert.strictEqual((yield* stored("s")).filter((line) => line.startsWith("user")).length, 2)
    }).pipe(Effect.provide([handlers(), SessionStore.layerMemory]))
  })

  it.effect("one agent's provider leaks into another: those of the program are not those of its members", () =>
    Effect.gen(function*() {
      const saying = (instructions: string) =>
        ContextProvider.make(instructions, { beforeRun: () => Effect.succeed({ instructions }) })
      const team = Agent.program("team", {
        providers: [saying("of the team"), SessionHistory.provider],
        toolkit: AgentTool.toolkit({
          writer: Agent.make("writer", { providers: [saying("of the writer")] }),
          critic: Agent.make("critic", { providers: [saying("of the critic"), SessionHistory.provider] })
        }),
        run: ({ prompt }, call) => Effect.all([call.writer({ prompt }), call.critic({ prompt })])
      })
      yield* Agent.run(team, { prompt: "go", session: "s" })
      assert.deepStrictEqual(yield* prompts, [
        ["system: of the writer", "user: go"],
        ["system: of the critic", "user: go"]
      ])
    }).pipe(Effect.provide([
      ScriptedModel.layer([ScriptedModel.text("a"), ScriptedModel.text("b")]),
      SessionStore.layerMemory
    ])))

  it.effect("has the services that it is provided with, and its members too", () =>
    Effect.gen(function*() {
      class Name extends Context.Service<Name, string>()("test/Name") {}
      const agent = Agent.program("named", {
        toolkit: AgentTool.toolkit({ writer }),
        run: ({ prompt }, call) =>
          Effect.flatMap(Name, (name) => Effect.map(call.writer({ prompt }), (said) => `${name}: ${said}`))
      })
      const own = Agent.provide(
        agent,
        Layer.merge(Layer.succeed(Name)("own"), ScriptedModel.layer([ScriptedModel.text("of its model")]))
      )
      const { value } = yield* Agent.run(own, { prompt: "go" })
      assert.strictEqual(value, "own: of its model")
    }))

  it.effect("is opened: what fails before its first part is the failure of that", () => {
    const log: Log = []
    return Effect.gen(function*() {
      const agent = Agent.program("opened", { toolkit: kit, run: ({ prompt }, call) => call.echo({ x: prompt }) })
      const { parts, start } = yield* Agent.open(agent, { prompt: "go" })
      assert.deepStrictEqual(log, [])
      const result = yield* AgentRun.fold(parts)
      assert.deepStrictEqual([result.value, result.runId, log], ["go", start.runId, ["go"]])
      const error = yield* Effect.flip(Agent.open(agent, { prompt: "" }))
      assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "InvalidPrompt")
    }).pipe(Effect.scoped, Effect.provide(handlers(log)))
  })

  it.effect("continued with nothing that asks for it, fails typed", () =>
    Effect.gen(function*() {
      const agent = Agent.program("asks", {
        toolkit: kit,
        providers: [SessionHistory.provider],
        run: ({ prompt }, call) => call.echo({ x: prompt })
      })
      const error = yield* Effect.flip(Agent.continue(agent, { session: "none" }))
      assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "NothingToContinue")
    }).pipe(Effect.provide([handlers(), SessionStore.layerMemory])))

  it.effect("has the span of an agent, its members' below their calls, no chat of its own, and its messages", () =>
    Effect.gen(function*() {
      const team = Agent.program("team", {
        toolkit: AgentTool.toolkit({ writer }),
        run: ({ prompt }, call) => call.writer({ prompt })
      })
      const [exit, exported] = yield* nodeSdk.run(
        Agent.run(team, { prompt: "go" }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("said")]))),
        { captureContent: true }
      )
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(lines(exported), [
        "chat (client) UNSET stop < invoke_agent writer",
        "invoke_agent writer (internal) UNSET stop < execute_tool writer",
        "execute_tool writer (internal) UNSET < invoke_agent team",
        "invoke_agent team (internal) UNSET stop"
      ])
      const { attributes } = spanNamed(exported, "invoke_agent team")
      assert.include(String(attributes["gen_ai.input.messages"]), "\"go\"")
      assert.include(String(attributes["gen_ai.output.messages"]), "\"said\"")
    }))

  describe("steering", () => {
    const gates = Effect.gen(function*() {
      const [begun, open] = [yield* Deferred.make<void>(), yield* Deferred.make<void>()]
      const log: Log = []
      const layer = kit.toLayer({
        echo: ({ x }) =>
          Effect.as(
            Effect.andThen(
              Effect.andThen(Effect.sync(() => log.push(x)), Deferred.succeed(begun, undefined)),
              Deferred.await(open)
            ),
            x
          )
      })
      return { begun, log, layer, open }
    })

    const twice = Agent.program("twice", {
      toolkit: kit,
      run: (_, call) =>
        Effect.andThen(call.echo({ x: "one" }), call.echo({ x: "two" })).pipe(
          Effect.catchTag("NotExecuted", ({ problem, tool }) => Effect.succeed(`${tool} ${problem}`))
        )
    })

    it.effect("stop lets the calls end that run, and no other begin; a message stays unread", () =>
      Effect.gen(function*() {
        const { begun, layer, log, open } = yield* gates
        const steering = yield* Steering.make
        const fiber = yield* Effect.forkChild(
          Effect.provide(Agent.run(twice, { prompt: "go", steering }), layer)
        )
        yield* Deferred.await(begun)
        yield* steering.send("and now?")
        yield* steering.stop
        yield* Deferred.succeed(open, undefined)
        const { stopReason, value } = yield* Fiber.join(fiber)
        assert.deepStrictEqual([stopReason, value, log], ["stopped", "echo denied", ["one"]])
        assert.deepStrictEqual((yield* steering.unread).length, 1)
        assert.isFalse(steering.inbox.isStopping)
      }))

    it.effect("a run that would steer it takes its turn after it", () =>
      Effect.gen(function*() {
        const { begun, layer, open } = yield* gates
        const agent = Agent.program("line", {
          toolkit: kit,
          providers: [SessionHistory.make({ whenHeld: "steer" })],
          run: ({ prompt }, call) => call.echo({ x: prompt })
        })
        yield* Effect.gen(function*() {
          const run = (prompt: string) =>
            Effect.forkChild(Agent.run(agent, { prompt, session: "s" }), { startImmediately: true })
          const [first, second] = [yield* run("one"), yield* run("two")]
          yield* Deferred.await(begun)
          yield* Deferred.succeed(open, undefined)
          const results = [yield* Fiber.join(first), yield* Fiber.join(second)]
          assert.deepStrictEqual(results.map(({ stopReason, value }) => [stopReason, value]), [
            ["stop", "one"],
            ["stop", "two"]
          ])
        }).pipe(Effect.provide([layer, SessionStore.layerMemory]))
      }))
  })

  it.effect("a toolkit of a record calls each agent by its key", () =>
    Effect.gen(function*() {
      const named = AgentTool.make(Agent.make("agent", { providers: [SessionHistory.provider] }), {
        name: "other",
        session: "own"
      })
      const toolkit = AgentTool.toolkit({ first: named, other: named, plain: critic })
      assert.deepStrictEqual(Object.values((yield* toolkit).tools).map(({ name }) => name), ["first", "other", "plain"])
      const lead = Agent.make("lead", { toolkit, providers: [SessionHistory.provider] })
      assert.deepStrictEqual(Object.keys(Agent.tools(lead) ?? {}), ["first", "other", "plain"])
      yield* Agent.run(lead, { prompt: "go", session: "s" })
      assert.deepStrictEqual(yield* stored(AgentTool.ownSession("s", "first")), ["user: a", "assistant: for a"])
      assert.deepStrictEqual(yield* stored(AgentTool.ownSession("s", "other")), ["user: b", "assistant: for b"])
    }).pipe(Effect.provide([
      ScriptedModel.layer([
        ScriptedModel.toolCalls({ name: "first", params: { prompt: "a" } }),
        ScriptedModel.text("for a"),
        ScriptedModel.toolCalls({ name: "other", params: { prompt: "b" } }),
        ScriptedModel.text("for b"),
        ScriptedModel.text("done")
      ]),
      SessionStore.layerMemory
    ])))

  it.effect("a stream of it is a new run each time", () =>
    Effect.gen(function*() {
      const agent = Agent.program("asks", { toolkit: kit, run: ({ prompt }, call) => call.echo({ x: prompt }) })
      const stream = Agent.stream(agent, { prompt: "go" })
      yield* Effect.all([Stream.runDrain(stream), Stream.runDrain(stream)], { concurrency: 2 })
      const log: Log = []
      yield* Effect.provide(Stream.runDrain(stream), handlers(log))
      assert.deepStrictEqual(log, ["go"])
    }).pipe(Effect.provide(handlers())))
})

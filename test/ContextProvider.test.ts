import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Schema, Stream } from "effect"
import { Prompt } from "effect/ai"
import { Agent, AgentError, ContextProvider, Middleware } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { constructors, type Log, logged, showExit, showPrompt } from "./utils.ts"

const { text } = ScriptedModel

const instructing = (name: string, instructions: string) =>
  ContextProvider.make(name, { beforeRun: () => Effect.succeed({ instructions }) })

const remembering = (name: string, ...messages: ReadonlyArray<Prompt.MessageEncoded>) =>
  ContextProvider.make(name, { beforeRun: () => Effect.succeed({ messages: Prompt.make(messages).content }) })

const sent = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  ({ requests }) => Effect.map(requests, (all) => showPrompt(all.at(-1)!.prompt))
)

for (const [name, via] of constructors) {
  describe(`what a model of ${name} is asked with`, () => {
    const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => ScriptedModel.layer(steps, { via })

    it.effect("one system message: the agent's instructions, then the providers' in order", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          instructions: "You are terse.",
          providers: [instructing("p1", "The user is Ada."), instructing("p2", "It is Monday.")]
        })
        const run = yield* Agent.run(agent, { prompt: "hi" })
        assert.deepStrictEqual(yield* sent, [
          "system: You are terse.\n\nThe user is Ada.\n\nIt is Monday.",
          "user: hi"
        ])
        assert.deepStrictEqual(showPrompt(run.transcript), ["user: hi", "assistant: ok"])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("no instructions, no system message", () =>
      Effect.gen(function*() {
        yield* Agent.run(Agent.make("agent"), { prompt: "hi" })
        assert.deepStrictEqual(yield* sent, ["user: hi"])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("system messages of the prompt come after the instructions, before the history", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          instructions: "A",
          providers: [remembering("history", { role: "user", content: "before" }, {
            role: "assistant",
            content: "indeed"
          })]
        })
        const run = yield* Agent.run(agent, {
          prompt: [{ role: "system", content: "B" }, { role: "user", content: "hi" }]
        })
        assert.deepStrictEqual(yield* sent, ["system: A", "system: B", "user: before", "assistant: indeed", "user: hi"])
        assert.deepStrictEqual(showPrompt(run.transcript), ["user: hi", "assistant: ok"])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("the messages of several providers in the order of the list, the prompt last", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          providers: [
            remembering("p1", { role: "user", content: "one" }),
            remembering("p2", { role: "user", content: "two" })
          ]
        })
        yield* Agent.run(agent, { prompt: "three" })
        assert.deepStrictEqual(yield* sent, ["user: one", "user: two", "user: three"])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("a call of the history that nobody answered gets an interrupted result", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          providers: [remembering("history", { role: "user", content: "before" }, {
            role: "assistant",
            content: [{ type: "tool-call", id: "c1", name: "look", params: {}, providerExecuted: false }]
          })]
        })
        const run = yield* Agent.run(agent, { prompt: "hi" })
        const [before, call, result, last] = yield* sent
        assert.deepStrictEqual([before, call, last], ["user: before", "assistant: look#c1({})", "user: hi"])
        assert.match(result!, /^tool: look#c1 failed = \{"type":"execution-interrupted"/)
        assert.deepStrictEqual(showPrompt(run.transcript), ["user: hi", "assistant: ok"])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("a call of the history that the prompt answers is left as it is", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          providers: [remembering("history", {
            role: "assistant",
            content: [{ type: "tool-call", id: "c1", name: "look", params: {}, providerExecuted: false }]
          })]
        })
        const run = yield* Agent.run(agent, {
          prompt: [{
            role: "tool",
            content: [{
              type: "tool-result",
              id: "c1",
              name: "look",
              isFailure: false,
              result: "seen",
              providerExecuted: false
            }]
          }]
        })
        assert.deepStrictEqual(yield* sent, ["assistant: look#c1({})", "tool: look#c1 = \"seen\""])
        assert.deepStrictEqual(showPrompt(run.transcript), ["tool: look#c1 = \"seen\"", "assistant: ok"])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("a call of the prompt that nobody answered gets an interrupted result", () =>
      Effect.gen(function*() {
        const run = yield* Agent.run(Agent.make("agent"), {
          prompt: [
            {
              role: "assistant",
              content: [{ type: "tool-call", id: "c1", name: "look", params: {}, providerExecuted: false }]
            },
            { role: "user", content: "never mind" }
          ]
        })
        const transcript = showPrompt(run.transcript)
        assert.match(transcript[1]!, /^tool: look#c1 failed = \{"type":"execution-interrupted"/)
        assert.deepStrictEqual([transcript[0], ...transcript.slice(2)], [
          "assistant: look#c1({})",
          "user: never mind",
          "assistant: ok"
        ])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("a prompt may be a string, messages or a Prompt", () =>
      Effect.gen(function*() {
        const inputs: ReadonlyArray<Prompt.RawInput> = [
          "hi",
          [{ role: "user", content: "hi" }],
          Prompt.make("hi")
        ]
        for (const prompt of inputs) {
          const run = yield* Agent.run(Agent.make("agent"), { prompt })
          assert.deepStrictEqual(yield* sent, ["user: hi"])
          assert.deepStrictEqual(showPrompt(run.transcript), ["user: hi", "assistant: ok"])
        }
      }).pipe(Effect.provide(model(text("ok"), text("ok"), text("ok")))))
  })
}

describe("prompts that cannot be sent", () => {
  const invalid: ReadonlyArray<readonly [string, Prompt.RawInput, before: boolean]> = [
    ["messages that are none", [{ role: "nobody", content: "hi" }] as never, false],
    ["what is no list at all", 42 as never, false],
    ["no message", [], true],
    ["only a system message", [{ role: "system", content: "be nice" }], true],
    ["an empty Prompt", Prompt.empty, true],
    ["an empty text", "", true],
    ["a text of white space", " \n\t\u00a0", true],
    ["only blank messages", [
      { role: "system", content: "be nice" },
      { role: "user", content: [{ type: "text", text: "" }, { type: "text", text: "  " }] },
      { role: "user", content: " " }
    ], true]
  ]
  for (const [what, prompt, before] of invalid) {
    it.effect(`${what} is InvalidPrompt, and the model is not asked`, () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("agent", { providers: [logged("p1", log)] })
        const exit = yield* Effect.exit(Agent.run(agent, { prompt }))
        assert.strictEqual(showExit(exit), "Failed Fail AgentError.InvalidPrompt after \"\"")
        const end = "p1 end: Failed Fail AgentError.InvalidPrompt after \"\""
        assert.deepStrictEqual(log, before ? ["p1 before", end] : [])
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual(yield* requests, [])
      }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))
  }

  it.effect("a blank prompt is InvalidPrompt whatever a provider remembers", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [remembering("history", { role: "user", content: "before" })] })
      const exit = yield* Effect.exit(Agent.run(agent, { prompt: "" }))
      assert.strictEqual(showExit(exit), "Failed Fail AgentError.InvalidPrompt after \"\"")
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))

  it.effect("an empty prompt goes on from what a provider remembers", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [remembering("history", { role: "user", content: "before" })] })
      const run = yield* Agent.run(agent, { prompt: Prompt.empty })
      assert.deepStrictEqual(showPrompt(run.transcript), ["assistant: ok"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))
})

describe("ContextProvider", () => {
  class Profile extends Context.Service<Profile, { readonly name: string }>()("test/Profile") {}

  it.effect("gets the request of the run and the services of who runs it", () =>
    Effect.gen(function*() {
      const seen: Array<unknown> = []
      const profile = ContextProvider.make("profile", {
        beforeRun: Effect.fnUntraced(function*(request) {
          const { name } = yield* Profile
          seen.push(request.agent, request.session, showPrompt(request.prompt))
          return { instructions: `The user is ${name}.` }
        }),
        afterRun: () => Effect.map(Profile, ({ name }) => seen.push(name))
      })
      yield* Agent.run(Agent.make("agent", { providers: [profile] }), { prompt: "hi", session: "s1" }).pipe(
        Effect.provideService(Profile, { name: "Ada" })
      )
      assert.deepStrictEqual(seen, ["agent", "s1", ["user: hi"], "Ada"])
      assert.deepStrictEqual(yield* sent, ["system: The user is Ada.", "user: hi"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))

  it.effect("its finalizers keep their services when the consumer leaves", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const profile = ContextProvider.make("profile", {
        beforeRun: () => Effect.addFinalizer(() => Effect.map(Profile, ({ name }) => seen.push(name)))
      })
      yield* Agent.stream(Agent.make("agent", { providers: [profile] }), { prompt: "hi" }).pipe(
        Stream.provideService(Profile, { name: "Ada" }),
        Stream.take(1),
        Stream.runDrain
      )
      assert.deepStrictEqual(seen, ["Ada"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))

  it.effect("what it acquires is released when the run ends, not when beforeRun does, nor with the caller", () =>
    Effect.gen(function*() {
      const log: Log = []
      const opening = ContextProvider.make("opening", {
        beforeRun: () =>
          Effect.as(
            Effect.acquireRelease(
              Effect.sync(() => log.push("acquired")),
              () => Effect.sync(() => log.push("released"))
            ),
            {}
          )
      })
      yield* Effect.scoped(Effect.gen(function*() {
        yield* Agent.stream(Agent.make("agent", { providers: [opening] }), { prompt: "hi" }).pipe(
          Stream.runForEach((part) => Effect.sync(() => log.push(part.type)))
        )
        log.push("next statement")
      }))
      assert.deepStrictEqual(
        log.filter((line) => !line.startsWith("text-") && !line.startsWith("step-") && line !== "finish"),
        ["acquired", "run-start", "run-end", "released", "next statement"]
      )
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))

  it("two of one name are rejected when the agent is made", () => {
    assert.throws(
      () => Agent.make("agent", { providers: [instructing("same", "a"), instructing("same", "b")] }),
      "Agent `agent` has two context providers named `same`"
    )
  })

  it.effect("an agent keeps those it was made with when the array changes later, and its middleware", () =>
    Effect.gen(function*() {
      const log: Log = []
      const passing = Middleware.make("m", { agent: (request, next) => next(request) })
      const shouting = Middleware.make("n", { agent: (request, next) => (log.push("n"), next(request)) })
      const providers = [logged("p", log)]
      const middleware = [passing]
      const agent = Agent.make("agent", { providers, middleware })
      providers.push(logged("q", log))
      middleware.push(shouting)
      yield* Agent.run(agent, { prompt: "hi" })
      yield* Agent.run(Agent.withMiddleware(agent, passing), { prompt: "hi" })
      const lines = ["p before", "p after \"ok\"", "p end: Completed \"ok\""]
      assert.deepStrictEqual(log, [...lines, ...lines])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok"), text("ok")]))))

  it.effect("contributions of one run are not seen by another", () =>
    Effect.gen(function*() {
      let run = 0
      const counting = ContextProvider.make("counting", {
        beforeRun: () => Effect.sync(() => ({ instructions: `run ${++run}` }))
      })
      const agent = Agent.make("agent", { providers: [counting] })
      const exits = yield* Effect.forEach([1, 2, 3], () => Effect.exit(Agent.run(agent, { prompt: "hi" })))
      assert.isTrue(exits.every(Exit.isSuccess))
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.deepStrictEqual((yield* requests).map(({ prompt }) => showPrompt(prompt)[0]), [
        "system: run 1",
        "system: run 2",
        "system: run 3"
      ])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok"), text("ok"), text("ok")]))))

  it.effect("a committing and a best-effort provider are values of their own: the first is as it was", () =>
    Effect.sync(() => {
      const provider = instructing("p", "a")
      assert.deepStrictEqual(
        [
          ContextProvider.committing(provider).commitment,
          ContextProvider.bestEffort(provider).commitment,
          provider.commitment
        ],
        ["committing", "best-effort", "critical"]
      )
    }))

  it.effect("AfterRunFailed and the others survive their schema", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", {
        providers: [ContextProvider.make("p", { beforeRun: () => Effect.void, afterRun: () => Effect.fail("no") })]
      })
      const error = yield* Effect.flip(Agent.run(agent, { prompt: "hi" }))
      assert(AgentError.isAgentError(error))
      const json = JSON.stringify(yield* Schema.encodeEffect(AgentError.AgentError)(error))
      const back = yield* Schema.decodeUnknownEffect(AgentError.AgentError)(JSON.parse(json))
      assert(back.reason._tag === "AfterRunFailed")
      assert.deepStrictEqual([back.message, back.reason.result.text], [error.message, "ok"])
    }).pipe(Effect.provide(ScriptedModel.layer([text("ok")]))))
})

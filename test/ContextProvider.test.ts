import { assert, describe, it } from "@effect/vitest"
import { Cause, Context, Deferred, Effect, Exit, Fiber, Logger, Schema, Stream } from "effect"
import { AiError, Prompt } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentError, AgentRun, ContextProvider, Middleware, StopCondition } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { calls, constructors, type Log, logged, showExit, showPrompt, tools } from "./utils.ts"

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

  it.effect("an empty prompt is refused; `Agent.continue` goes on from what a provider remembers", () =>
    Effect.gen(function*() {
      const agent = Agent.make("agent", { providers: [remembering("history", { role: "user", content: "before" })] })
      const error = yield* Effect.flip(Agent.run(agent, { prompt: Prompt.empty, session: "s" }))
      assert.strictEqual(error._tag === "AgentError" && error.reason._tag, "InvalidPrompt")
      const run = yield* Agent.continue(agent, { session: "s" })
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

describe("atStart, everyStep and stopWhen", () => {
  class Lost extends Schema.TaggedError<Lost>()("Lost", { at: Schema.String }) {}
  class Log_ extends Context.Service<Log_, Log>()("test/Log") {}

  const toolkit = tools("work")
  const work = toolkit.toLayer({ work: () => Effect.succeed("worked") })
  const script = [calls("work"), text("ok")]
  /** Writes down what it is told; `fails` says where it fails. */
  const watching = (fails?: string) =>
    ContextProvider.make("watching", {
      beforeRun: Effect.fnUntraced(function*() {
        const log = yield* Log_
        const told = (what: string, messages: ReadonlyArray<Prompt.Message>) =>
          Effect.suspend(() => {
            log.push(`${what}: ${showPrompt(Prompt.fromMessages(messages)).join(" | ")}`)
            return fails === what ? Effect.fail(new Lost({ at: what })) : Effect.void
          })
        yield* Effect.addFinalizer((exit) => Effect.sync(() => log.push(exit._tag)))
        return {
          atStart: ({ transcript }: ContextProvider.StartedRun) => told("start", transcript),
          everyStep: ({ messages, step }: ContextProvider.FinishedStep) =>
            Effect.andThen(Log_, told(`step ${step.index}`, messages))
        }
      }),
      afterRun: () => Effect.flatMap(Log_, (log) => Effect.sync(() => log.push("afterRun")))
    })
  const agentOf = (fails?: string) => Agent.make("agent", { toolkit, providers: [watching(fails)] })
  const first = "step 0: assistant: work#id-work({}) | tool: work#id-work = \"worked\""

  /** Runs it, with the parts in the same log. */
  const logOf = <E, R>(run: (log: Log) => Effect.Effect<unknown, E, R>) =>
    Effect.suspend(() => {
      const log: Log = []
      return Effect.map(Effect.provideService(Effect.exit(run(log)), Log_, log), (exit) => ({ log, exit }))
    })
  const parts = (log: Log, agent: ReturnType<typeof agentOf>) =>
    Stream.tap(Agent.stream(agent, { prompt: "hi" }), (part) =>
      Effect.sync(() => {
        if (["run-start", "step-end", "run-end"].includes(part.type)) log.push(part.type)
      }))

  it.effect("a run that completes: each is called before its part is told, the last step before afterRun", () =>
    Effect.gen(function*() {
      const { log } = yield* logOf((log) => Stream.runDrain(parts(log, agentOf())))
      assert.deepStrictEqual(log, [
        "start: user: hi",
        "run-start",
        first,
        "step-end",
        "step 1: assistant: ok",
        "step-end",
        "afterRun",
        "run-end",
        "Success"
      ])
    }).pipe(Effect.provide([ScriptedModel.layer(script), work])))

  it.effect("a failing one fails the run with its own error, after the step's parts", () =>
    Effect.gen(function*() {
      const atStart = yield* logOf((log) => Stream.runDrain(parts(log, agentOf("start"))))
      assert.deepStrictEqual(atStart.log, ["start: user: hi", "Failure"])
      assert.deepStrictEqual(
        Exit.isFailure(atStart.exit) ? Cause.squash(atStart.exit.cause) : undefined,
        new Lost({ at: "start" })
      )
      const atStep = yield* logOf((log) => Stream.runDrain(parts(log, agentOf("step 0"))))
      assert.deepStrictEqual(atStep.log, ["start: user: hi", "run-start", first, "step-end", "Failure"])
      assert.deepStrictEqual(
        Exit.isFailure(atStep.exit) ? Cause.squash(atStep.exit.cause) : undefined,
        new Lost({ at: "step 0" })
      )
    }).pipe(Effect.provide([ScriptedModel.layer(script), work])))

  it.effect("a run that is left in a step is told of the steps before it", () =>
    Effect.gen(function*() {
      const { log } = yield* logOf((log) =>
        Stream.runDrain(Stream.takeUntil(parts(log, agentOf()), (part) => part.type === "text-delta"))
      )
      assert.deepStrictEqual(log, ["start: user: hi", "run-start", first, "step-end", "Failure"])
    }).pipe(Effect.provide([ScriptedModel.layer(script), work])))

  it.effect("a run that is interrupted while one works is interrupted, and calls no model", () =>
    Effect.gen(function*() {
      const reached = yield* Deferred.make<void>()
      const ended: Array<AgentRun.Outcome> = []
      const hangs = ContextProvider.make("hangs", {
        beforeRun: () =>
          Effect.as(
            AgentRun.addFinalizer((exit) => Effect.sync(() => ended.push(AgentRun.outcome(exit)))),
            { everyStep: () => Effect.andThen(Deferred.succeed(reached, undefined), Effect.never) }
          )
      })
      const running = yield* Effect.forkChild(
        Agent.run(Agent.make("agent", { toolkit, providers: [hangs] }), { prompt: "hi" })
      )
      yield* Deferred.await(reached)
      yield* Fiber.interrupt(running)
      const [outcome] = ended
      assert(outcome._tag === "Interrupted")
      assert.deepStrictEqual(showPrompt(outcome.partial.transcript), [
        "user: hi",
        "assistant: work#id-work({})",
        "tool: work#id-work = \"worked\""
      ])
      const { requests } = yield* ScriptedModel.ScriptedModel
      assert.strictEqual((yield* requests).length, 1)
    }).pipe(Effect.provide([ScriptedModel.layer(script), work])))

  it.effect("a contributed condition stops the run, and a limit takes the place of the default", () =>
    Effect.gen(function*() {
      const stopping = (...stopWhen: ReadonlyArray<StopCondition.StopCondition>) =>
        Agent.make("agent", {
          toolkit,
          providers: [ContextProvider.make("stops", { beforeRun: () => Effect.succeed({ stopWhen }) })]
        })
      const stopped = yield* Agent.run(stopping(StopCondition.toolCalled("work")), { prompt: "hi" })
      assert.deepStrictEqual([stopped.stopReason, stopped.steps.length], ["tool-called", 1])
      const many = yield* Agent.run(stopping(StopCondition.stepCount(20)), { prompt: "hi" })
      assert.deepStrictEqual([many.stopReason, many.steps.length], ["stop", 19])
    }).pipe(Effect.provide([
      ScriptedModel.layer([calls("work"), ...Array.from({ length: 18 }, () => calls("work")), text("ok")]),
      work
    ])))

  describe("the finalizers of one provider", () => {
    /** Three of them; the second hangs in the way that is given. */
    const hanging = (log: Log, hang: Effect.Effect<never>) =>
      ContextProvider.make("three", {
        beforeRun: () =>
          Effect.gen(function*() {
            yield* Effect.addFinalizer(() => Effect.sync(() => log.push("first")))
            yield* Effect.addFinalizer(() => Effect.onInterrupt(hang, () => Effect.sync(() => log.push("interrupted"))))
            yield* Effect.addFinalizer(() => Effect.die("bug"))
            yield* Effect.addFinalizer(() => Effect.sync(() => log.push("last")))
            return {}
          })
      })

    const ends = [
      ["completes", Effect.exit],
      ["fails", Effect.exit],
      ["is interrupted", <A, E, R>(run: Effect.Effect<A, E, R>) => Effect.exit(Effect.timeout(run, "1 second"))],
      ["is left early", undefined]
    ] as const
    for (const [how, through] of ends) {
      for (
        const [what, hang] of [["hangs", Effect.never], [
          "cannot be interrupted",
          Effect.uninterruptible(Effect.never)
        ]] as const
      ) {
        it.effect(`all run when a run ${how} and one of them ${what}`, () =>
          Effect.gen(function*() {
            const log: Log = []
            const agent = Agent.make("agent", { providers: [logged("before", log), hanging(log, hang)] })
            const run = through === undefined
              ? Stream.runDrain(Stream.take(Agent.stream(agent, { prompt: "hi" }), 1))
              : through(Agent.run(agent, { prompt: "hi" }))
            const fiber = yield* Effect.forkChild(Effect.provide(run, Logger.layer([])))
            yield* TestClock.adjust("11 seconds")
            yield* Fiber.join(fiber)
            const ended = log.filter((line) => !/before before|before after|end:/.test(line))
            assert.deepStrictEqual(ended, what === "hangs" ? ["last", "interrupted", "first"] : ["last", "first"])
            assert.lengthOf(log.filter((line) => line.startsWith("before end:")), 1)
          }).pipe(Effect.provide(ScriptedModel.layer([
            how === "fails"
              ? ScriptedModel.fail(new AiError.RateLimitError({}))
              : how === "completes"
              ? text("ok")
              : ScriptedModel.step(text("a"), ScriptedModel.hang)
          ]))))
      }
    }
  })
})

import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Layer, Schema, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentRun,
  AgentTool,
  Budget,
  Guardrail,
  Middleware,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, type Log, showExit, showPrompt, types } from "./utils.ts"

const X = Schema.Struct({ x: Schema.String })
const kit = Toolkit.make(
  Tool.make("echo", { parameters: X, success: Schema.String }),
  Tool.make("hang", { success: Schema.Void })
)

const handlers = (log: Log) =>
  kit.toLayer({
    echo: ({ x }) =>
      Effect.sync(() => {
        log.push(`echo ${x}`)
        return x
      }),
    hang: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.push("stopped")))
  })

/** A model for the types of guardrails, which is never asked. */
const nobody = ScriptedModel.layer([])

const noSecret = ({ text }: { readonly text: string }) =>
  Effect.succeed(text.includes("secret") ? Guardrail.trip("secret") : Guardrail.pass)

const hidden = ({ text }: { readonly text: string }) =>
  Effect.succeed(text.includes("secret") ? Guardrail.replace(text.replaceAll("secret", "***")) : Guardrail.pass)

const echo = (middleware: ReadonlyArray<Middleware.Middleware<any, any>>, log: Log = []) =>
  Agent.program("echoing", {
    toolkit: kit,
    middleware,
    providers: [SessionHistory.providerEveryStep],
    run: ({ prompt }, call) => {
      log.push("program")
      return call.echo({ x: prompt })
    }
  })

const stored = Effect.map(
  Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s")),
  ({ history }) => showPrompt(history)
)

describe("guardrails of a program", () => {
  describe.each([["input", Guardrail.input], ["inputBefore", Guardrail.inputBefore]] as const)("%s", (_, make) => {
    it.effect("trips before the program runs, and nothing is kept", () => {
      const log: Log = []
      return Effect.gen(function*() {
        const agent = echo([make("no-secret", noSecret)], log)
        const exit = yield* Effect.exit(Agent.run(agent, { prompt: "a secret", session: "s" }))
        assert.strictEqual(showExit(exit), `Failed Fail GuardrailTripped after ""`)
        const outcome = AgentRun.outcome(exit)
        assert.deepStrictEqual(
          outcome._tag === "Failed" && showPrompt(outcome.partial.transcript),
          ["user: [refused by the guardrail `no-secret`]"]
        )
        assert.deepStrictEqual([log, yield* stored], [[], []])
      }).pipe(Effect.provide([handlers(log), nobody, SessionStore.layerMemory]))
    })

    it.effect("lets the program run, and a check that fails fails the run", () => {
      const log: Log = []
      return Effect.gen(function*() {
        const agent = echo([make("no-secret", noSecret)], log)
        const { value } = yield* Agent.run(agent, { prompt: "hello", session: "s" })
        assert.deepStrictEqual([value, log], ["hello", ["program", "echo hello"]])
        const broken = echo([make("broken", () => Effect.fail("broken"))], log)
        assert.strictEqual(yield* Effect.flip(Agent.run(broken, { prompt: "hello" })), "broken")
        assert.strictEqual(log.length, 2)
      }).pipe(Effect.provide([handlers(log), nobody, SessionStore.layerMemory]))
    })
  })

  it.effect("a check is interrupted with the run, and the program has not begun", () => {
    const log: Log = []
    return Effect.gen(function*() {
      const begun = yield* Deferred.make<void>()
      const slow = Guardrail.input("slow", () =>
        Effect.andThen(Deferred.succeed(begun, undefined), Effect.never).pipe(
          Effect.onInterrupt(() => Effect.sync(() => log.push("check interrupted")))
        ))
      const running = Agent.run(echo([slow], log), { prompt: "hello" })
      yield* Effect.raceFirst(running, Deferred.await(begun))
      assert.deepStrictEqual(log, ["check interrupted"])
    }).pipe(Effect.provide([handlers(log), nobody, SessionStore.layerMemory]))
  })

  it.effect("inputBefore answers in the place of the program, which has no value then", () => {
    const log: Log = []
    return Effect.gen(function*() {
      const agent = echo([
        Guardrail.output("shouts", ({ text }) => Effect.succeed(Guardrail.replace(text.toUpperCase()))),
        Guardrail.inputBefore("refusing", () => Effect.succeed(Guardrail.replace("not that")))
      ], log)
      const { parts } = yield* collectAll(Agent.stream(agent, { prompt: "hello", session: "s" }))
      assert.deepStrictEqual(types(parts), [
        "run-start",
        "step-start",
        "text-start",
        "text-delta",
        "text-end",
        "step-end",
        "run-end"
      ])
      const { result } = parts[parts.length - 1] as AgentRun.RunEnd
      assert.deepStrictEqual([result.text, result.value, result.stopReason], ["NOT THAT", undefined, "stop"])
      assert.deepStrictEqual([log, yield* stored], [[], [
        "user: [refused by the guardrail `refusing`]",
        "assistant: NOT THAT"
      ]])
    }).pipe(Effect.provide([handlers(log), nobody, SessionStore.layerMemory]))
  })

  describe.each([["output", Guardrail.output], ["outputWhole", Guardrail.outputWhole]] as const)("%s", (_, make) => {
    it.effect("trips before the answer is told", () =>
      Effect.gen(function*() {
        const told: Log = []
        const exit = yield* Agent.stream(echo([make("no-secret", noSecret)]), { prompt: "a secret", session: "s" })
          .pipe(
            Stream.runForEach((part) => Effect.sync(() => void (part.type === "text-delta" && told.push(part.delta)))),
            Effect.exit
          )
        assert.deepStrictEqual([told, showExit(exit)], [[], `Failed Fail GuardrailTripped after ""`])
      }).pipe(Effect.provide([handlers([]), nobody, SessionStore.layerMemory])))

    it.effect("replaces the text, and the value with it", () =>
      Effect.gen(function*() {
        const { text, transcript, value } = yield* Agent.run(echo([make("hidden", hidden)]), { prompt: "a secret" })
        assert.deepStrictEqual([text, value, showPrompt(transcript).at(-1)], ["a ***", "a ***", "assistant: a ***"])
      }).pipe(Effect.provide([handlers([]), nobody, SessionStore.layerMemory])))
  })

  it.effect("what a guardrail of the output has let through is told before it trips", () =>
    Effect.gen(function*() {
      const exit = yield* Effect.exit(
        Agent.run(echo([Guardrail.output("no-secret", noSecret)]), { prompt: "All is well. A secret! Bye." })
      )
      assert.strictEqual(showExit(exit), `Failed Fail GuardrailTripped after "All is well. "`)
    }).pipe(Effect.provide([handlers([]), nobody, SessionStore.layerMemory])))

  const structured = (middleware: ReadonlyArray<Middleware.Middleware<any, any>>, x: string) =>
    Agent.program("structured", { toolkit: kit, middleware, run: () => Effect.succeed({ x }) })

  it.effect("a value that is no text is checked as JSON, and nothing takes its place", () =>
    Effect.gen(function*() {
      const agent = structured([Guardrail.output("hidden", hidden)], "fine")
      assert.deepStrictEqual((yield* Agent.run(agent, { prompt: "go" })).value, { x: "fine" })
      const replaced = structured([Guardrail.output("hidden", hidden)], "secret")
      const error = yield* Effect.flip(Agent.run(replaced, { prompt: "go" }))
      assert(error._tag === "AgentError" && error.reason._tag === "InvalidOutput")
      assert.strictEqual(error.reason.raw, "{\"x\":\"***\"}")
    }).pipe(Effect.provide([handlers([]), nobody])))

  it.effect("a streamed answer is told when it was checked, and the value beside it is checked too", () =>
    Effect.gen(function*() {
      const writer = Agent.make("writer")
      const team = (value: string) =>
        Agent.program("team", {
          toolkit: AgentTool.toolkit({ writer }),
          middleware: [Guardrail.output("hidden", hidden)],
          run: ({ prompt }, call) => Effect.as(call.writer({ prompt }, { answer: true }), value)
        })
      const { parts } = yield* collectAll(Agent.stream(team("the secret value"), { prompt: "go" }))
      const deltas = parts.flatMap((part) => part.type === "text-delta" ? part.delta : [])
      const { result } = parts[parts.length - 1] as AgentRun.RunEnd
      assert.deepStrictEqual([deltas, result.text, result.value], [["my ***"], "my ***", "the *** value"])
    }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text(["my ", "secret"])]))))
})

describe("budgets of a program", () => {
  const worker = (name: string, log: Log) =>
    Agent.make(name, {
      toolkit: kit,
      middleware: [Middleware.make("ends", {
        agent: (request, next) => Stream.ensuring(next(request), Effect.sync(() => log.push(`${name} ended`)))
      })]
    })

  const hang = ScriptedModel.toolCalls({ name: "hang", params: {} })

  it.effect("one that fails ends all members, and the program", () => {
    const log: Log = []
    return Effect.gen(function*() {
      const team = Agent.program("team", {
        toolkit: AgentTool.toolkit({ one: worker("one", log), two: worker("two", log), three: worker("three", log) }),
        middleware: [Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 2 })))],
        run: ({ prompt }, call) =>
          Effect.all([call.one({ prompt }), call.two({ prompt }), call.three({ prompt })], { concurrency: 3 }).pipe(
            Effect.onInterrupt(() => Effect.sync(() => log.push("program ended"))),
            // it cannot keep what it may not have
            Effect.catchCause(() => Effect.succeed("caught"))
          )
      })
      const exit = yield* Effect.exit(Agent.run(team, { prompt: "go" }))
      assert.strictEqual(showExit(exit), `Failed Fail BudgetExceeded after ""`)
      assert.deepStrictEqual(
        log.toSorted(),
        ["one ended", "program ended", "stopped", "stopped", "three ended", "two ended"]
      )
    }).pipe(Effect.provide([handlers(log), ScriptedModel.layer([hang, hang, hang])]))
  })

  it.effect("the tokens of all members count, each once", () =>
    Effect.gen(function*() {
      const [writer, critic] = [Agent.make("writer"), Agent.make("critic")]
      const budget = Budget.make({ tokens: 11 })
      const team = Agent.program("team", {
        toolkit: AgentTool.toolkit({ writer, critic }),
        middleware: [Budget.middleware(Budget.orFail(budget))],
        run: ({ prompt }, call) =>
          Effect.andThen(call.writer({ prompt }), Effect.andThen(call.critic({ prompt }), call.writer({ prompt })))
      })
      const error = yield* Effect.flip(Agent.run(team, { prompt: "go" }))
      assert.deepStrictEqual(error._tag === "BudgetExceeded" && [error.resource, error.used], ["tokens", 12])
    }).pipe(Effect.provide(ScriptedModel.layer(Array.from({ length: 3 }, () => [
      ScriptedModel.text("said"),
      ScriptedModel.finish("stop", ScriptedModel.usage(5, 1))
    ])))))

  it.effect("one of time that fails ends a program that makes no call", () =>
    Effect.gen(function*() {
      const agent = Agent.program("sleepy", {
        toolkit: kit,
        middleware: [Budget.middleware(Budget.orFail(Budget.make({ wallTime: "1 second" })))],
        run: () => Effect.sleep("1 hour")
      })
      const exit = yield* Effect.all([Effect.exit(Agent.run(agent, { prompt: "go" })), TestClock.adjust("2 seconds")], {
        concurrency: 2
      })
      assert.strictEqual(showExit(exit[0]), `Failed Fail BudgetExceeded after ""`)
    }).pipe(Effect.provide(Layer.mergeAll(handlers([])))))
})

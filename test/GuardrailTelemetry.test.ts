/**
 * What a guardrail has refused, or has not yet let through, is nowhere but with the caller: on no span, in no metric of a
 * call that was not made, and with no provider.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schedule, Stream } from "effect"
import { AiError, LanguageModel, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentRun, ContextProvider, Guardrail, Middleware, Steering } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Exported, exporters } from "./fixtures/telemetry.ts"
import { showPrompt } from "./utils.ts"

const { input, inputBefore } = Guardrail
const { text } = ScriptedModel

const judge = Agent.make("judge")

const ways = {
  "at once": Effect.void,
  "later": Effect.sleep("1 second"),
  "with an agent": Effect.asVoid(Agent.run(judge, { prompt: "is it good?" })),
  "with a model": Effect.asVoid(LanguageModel.generateText({ prompt: "is it good?" }))
}

type Way = keyof typeof ways

const verdicts = { passes: Guardrail.pass, trips: Guardrail.trip("no"), answers: Guardrail.replace("no") }

const check = (way: Way, verdict: keyof typeof verdicts) => () => Effect.as(ways[way], verdicts[verdict])

const echo = text("A BOMB? Well.")

/** Answers the judge at once, and the run with these pieces. */
const layer = (...pieces: ReadonlyArray<ScriptedModel.Piece>) =>
  ScriptedModel.model(
    Array.from(
      { length: 3 },
      () => ({ prompt }: ScriptedModel.Request) => showPrompt(prompt).join().includes("good?") ? text("good") : pieces
    ),
    { name: "m" }
  )

const ends = ["completes", "is interrupted", "is left"] as const

/** Runs for two seconds, and then is interrupted or left. */
const run = <E, R>(stream: Stream.Stream<AgentRun.Part, E, R>, end: typeof ends[number]) =>
  Effect.gen(function*() {
    const left = Stream.runDrain(
      Stream.takeUntil(stream, (part) => end === "is left" && part.type === "text-delta")
    )
    const fiber = yield* Effect.forkChild(left)
    yield* TestClock.adjust("2 seconds")
    if (end === "is interrupted") yield* Fiber.interrupt(fiber)
    return yield* Fiber.await(fiber)
  })

const chats = ({ spans }: Exported) => {
  const own = spans.find(({ name }) => name === "invoke_agent agent")!
  return spans.filter(({ name, parentId }) => name === "chat m" && parentId === own.id)
}

const calls = ({ metrics }: Exported) =>
  metrics.find(({ name }) => name === "gen_ai.invoke_agent.inference_calls")!.points
    .find(({ attributes }) => attributes["gen_ai.agent.name"] === "agent")!.sum

const durations = ({ metrics }: Exported) =>
  (metrics.find(({ name }) => name === "gen_ai.client.inference.duration")?.points ?? [])
    .reduce((sum, { count }) => sum + count!, 0)

describe.each(exporters)("the input of a run, exported by $name", (exporter) => {
  const captured = <A, E>(program: Effect.Effect<A, E>) => exporter.run(program, { captureContent: true })

  for (const way of Object.keys(ways) as Array<Way>) {
    const guards = {
      "input trips": [input("g", check(way, "trips") as never)],
      "inputBefore trips": [inputBefore("g", check(way, "trips"))],
      "inputBefore answers": [inputBefore("g", check(way, "answers"))],
      "inputBefore answers a check of the output": [
        Guardrail.outputWhole("o", check(way, "passes")),
        inputBefore("g", check("at once", "answers"))
      ],
      "inputBefore trips, and again": [
        Middleware.make("again", { model: (request, next) => Stream.retry(next(request), Schedule.recurs(1)) }),
        inputBefore("g", check("at once", "trips"))
      ]
    }
    for (const [how, middleware] of Object.entries(guards)) {
      // a check beside the model is decided at once, or when the model was asked
      if (["input trips", "inputBefore trips, and again"].includes(how) && way !== "at once") continue
      it.effect(`${how}, ${way}: there is no call of a model that was not asked`, () =>
        Effect.gen(function*() {
          const agent = Agent.make("agent", { middleware: middleware as never })
          const [, exported] = yield* captured(
            Effect.provide(run(Agent.stream(agent, { prompt: "A BOMB?" }), "completes"), layer(echo))
          )
          assert.deepStrictEqual(chats(exported), [])
          assert.strictEqual(calls(exported), 0)
          assert.strictEqual(durations(exported), way === "with an agent" ? 1 : 0)
          assert.notInclude(exported.text, "BOMB")
          // what the check does is beside the call that was not made
          const root = exported.spans.find(({ name }) => name === "invoke_agent agent")!
          const inside = exported.spans.filter(({ name }) => name === "invoke_agent judge" || name.includes("generate"))
          assert.deepStrictEqual(inside.map(({ parentId }) => parentId), inside.map(() => root.id))
          assert.lengthOf(inside, way.startsWith("with") ? 1 : 0)
        }))
    }
  }

  it.effect("a middleware that answers by itself asks no model", () =>
    Effect.gen(function*() {
      const canned = Middleware.make("canned", { model: () => Stream.empty })
      const agent = Agent.make("agent", { middleware: [canned] })
      const [, exported] = yield* captured(
        Effect.provide(run(Agent.stream(agent, { prompt: "hi" }), "completes"), layer(echo))
      )
      assert.deepStrictEqual([chats(exported), calls(exported), durations(exported)], [[], 0, 0])
    }))

  describe("beside the model", () => {
    const failure = AiError.make({ module: "m", method: "m", reason: new AiError.RateLimitError({}) })
    const cases = [
      ["trips while the model works", "trips", "completes", [ScriptedModel.hang]],
      ["trips when the model has repeated it", "trips", "completes", [echo, ScriptedModel.hang]],
      ["trips when the model has finished", "trips", "completes", [echo]],
      ["has not decided when the model fails", "passes", "completes", [echo, ScriptedModel.fail(failure)]],
      ["has not decided when the run is left", "trips", "is left", [echo, ScriptedModel.hang]]
    ] as const
    for (const [what, verdict, end, pieces] of cases) {
      it.effect(`a check that ${what}: the prompt is on no span`, () =>
        Effect.gen(function*() {
          const guard = input("g", check("later", verdict) as never)
          const agent = Agent.make("agent", { instructions: "Be kind.", middleware: [guard] })
          const [, exported] = yield* captured(
            Effect.provide(run(Agent.stream(agent, { prompt: "A BOMB?" }), end), layer(...pieces))
          )
          assert.deepStrictEqual([chats(exported).length, calls(exported), durations(exported)], [1, 1, 1])
          assert.notInclude(exported.text, "BOMB")
        }))
    }

    it.effect("a check that has not decided when the run is interrupted: the prompt is on no span", () =>
      Effect.gen(function*() {
        const guard = input("g", () => Effect.never)
        const agent = Agent.make("agent", { middleware: [guard] })
        const [, exported] = yield* captured(
          Effect.provide(
            run(Agent.stream(agent, { prompt: "A BOMB?" }), "is interrupted"),
            layer(echo, ScriptedModel.hang)
          )
        )
        assert.lengthOf(chats(exported), 1)
        assert.notInclude(exported.text, "BOMB")
      }))

    it.effect("a check that fails: the prompt is on no span", () =>
      Effect.gen(function*() {
        const guard = input("g", () => Effect.andThen(ways.later, Effect.fail("broken")))
        const agent = Agent.make("agent", { middleware: [guard] })
        const [, exported] = yield* captured(
          Effect.provide(run(Agent.stream(agent, { prompt: "A BOMB?" }), "completes"), layer(ScriptedModel.hang))
        )
        assert.notInclude(exported.text, "BOMB")
      }))

    for (const place of ["input", "inputBefore"] as const) {
      for (const end of ends) {
        it.effect(`a check that has let it through: the prompt is on both spans of a run that ${end} (${place})`, () =>
          Effect.gen(function*() {
            const guard = { input, inputBefore }[place]("g", check("later", "passes") as never)
            const agent = Agent.make("agent", { instructions: "Be kind.", middleware: [guard] })
            const works = place === "input" ? [ScriptedModel.delay("1500 millis")] : []
            const pieces = [...works, text("Well."), ...end === "completes" ? [] : [ScriptedModel.hang]]
            const [, exported] = yield* captured(
              Effect.provide(run(Agent.stream(agent, { prompt: "Is it?" }), end), layer(...pieces))
            )
            const said = JSON.stringify([{ role: "user", parts: [{ type: "text", content: "Is it?" }] }])
            const spans = [exported.spans.find(({ name }) => name === "invoke_agent agent")!, ...chats(exported)]
            assert.deepStrictEqual(spans.map(({ attributes }) => attributes["gen_ai.input.messages"]), [said, said])
            const instructions = JSON.stringify([{ type: "text", content: "Be kind." }])
            assert.deepStrictEqual(
              spans.map(({ attributes }) => attributes["gen_ai.system_instructions"]),
              [instructions, instructions]
            )
          }))
      }
    }
  })

  it.effect("a tool call that a check with an agent refuses has no span", () =>
    Effect.gen(function*() {
      const toolkit = Toolkit.make(Tool.make("pay"))
      const guard = Guardrail.tool("g", { before: () => Effect.as(ways["with an agent"], Guardrail.refuse("no")) })
      const agent = Agent.make("agent", { toolkit, middleware: [guard] })
      const model = ScriptedModel.model([
        ScriptedModel.toolCalls({ name: "pay", params: {} }),
        text("good"),
        text("ok")
      ])
      const [, exported] = yield* captured(
        Effect.provide(
          Agent.run(agent, { prompt: "go" }),
          Layer.merge(model, toolkit.toLayer({ pay: () => Effect.void }))
        )
      )
      const root = exported.spans.find(({ name }) => name === "invoke_agent agent")!
      assert.deepStrictEqual(
        exported.spans.filter(({ parentId }) => parentId === root.id).map(({ name }) => name).sort(),
        ["chat script", "chat script", "invoke_agent judge"]
      )
    }))
})

describe("a prompt that was refused", () => {
  const refused = "user: [refused by the guardrail `g`]"
  const guards = {
    "input trips at once": [input("g", check("at once", "trips") as never), "Failed"],
    "input trips later": [input("g", check("later", "trips") as never), "Failed"],
    "inputBefore trips": [inputBefore("g", check("later", "trips")), "Failed"],
    "inputBefore answers": [inputBefore("g", check("later", "answers")), "Completed"]
  } as const
  for (const [how, [guard, outcome]] of Object.entries(guards)) {
    it.effect(`is not in the request of a provider any more: ${how}`, () =>
      Effect.gen(function*() {
        const seen: Array<unknown> = []
        const see = (where: string, { prompt }: ContextProvider.Request) =>
          Effect.sync(() => void seen.push([where, ...showPrompt(prompt)]))
        const looking = ContextProvider.make("looking", {
          beforeRun: (request) =>
            Effect.gen(function*() {
              yield* see("beforeRun", request)
              yield* AgentRun.addFinalizer((exit) => {
                seen.push(AgentRun.outcome(exit)._tag)
                return see("finalizer", request)
              })
              return {
                everyStep: ({ request }) => see("everyStep", request),
                atStart: () => Effect.sync(() => void seen.push("atStart"))
              }
            }),
          afterRun: ({ request }) => see("afterRun", request)
        })
        const agent = Agent.make("agent", { middleware: [guard as never], providers: [looking] })
        const exit = yield* run(Agent.stream(agent, { prompt: "A BOMB?" }), "completes")
        assert.strictEqual(Exit.isSuccess(exit), outcome === "Completed")
        assert.deepStrictEqual(seen, [
          ["beforeRun", "user: A BOMB?"],
          ...outcome === "Completed" ? [["everyStep", refused], ["afterRun", refused]] : [],
          outcome,
          ["finalizer", refused]
        ])
      }).pipe(Effect.provide(layer(ScriptedModel.hang))))
  }

  it.effect("does not begin the run when the run goes on with something else", () =>
    Effect.gen(function*() {
      const steering = yield* Steering.make
      const seen: Array<string> = []
      const looking = ContextProvider.make("looking", {
        beforeRun: () =>
          Effect.succeed({
            atStart: () => Effect.sync(() => void seen.push("atStart")),
            everyStep: ({ step }: ContextProvider.FinishedStep) => Effect.sync(() => void seen.push(step.text))
          })
      })
      const isBad = ({ text }: Guardrail.Input) =>
        Effect.succeed(text.includes("BOMB") ? verdicts.answers : Guardrail.pass)
      const agent = Agent.make("agent", { middleware: [inputBefore("g", isBad)], providers: [looking] })
      yield* steering.send("fine")
      const stream = Agent.stream(agent, { prompt: "A BOMB?", steering })
      const sending = Stream.tap(stream, (part) => part.type === "text-end" ? steering.send("fine") : Effect.void)
      yield* run(Stream.takeUntil(sending, (part) => part.type === "step-end" && part.step.index === 1), "completes")
      assert.deepStrictEqual(seen, ["no", "Well."])
    }).pipe(Effect.provide(layer(text("Well.")))))

  it.effect("begins the run when a middleware answers before the checks", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const looking = ContextProvider.make("looking", {
        beforeRun: () => Effect.succeed({ atStart: () => Effect.sync(() => void seen.push("atStart")) }),
        afterRun: () => Effect.sync(() => void seen.push("afterRun"))
      })
      const canned = Middleware.make("canned", { model: () => Stream.empty })
      const agent = Agent.make("agent", {
        middleware: [canned, guards["inputBefore trips"][0]],
        providers: [looking]
      })
      yield* Agent.run(agent, { prompt: "hi" })
      assert.deepStrictEqual(seen, ["atStart", "afterRun"])
    }).pipe(Effect.provide(layer())))
})

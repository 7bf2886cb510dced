import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, type Exit, Fiber, Layer, Logger, References, Schema, Stream, Tracer } from "effect"
import type { LanguageModel, Prompt } from "effect/ai"
import { TestClock } from "effect/testing"
import { Agent, AgentRun, AgentTelemetry, ContextProvider, SessionHistory, SessionStore } from "../src/index.ts"
import { Orchestration } from "../src/orchestration/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { type Answer, gate, gated, is, model, Refused, said } from "./fixtures/orchestrations.ts"
import { type Log, showExit } from "./utils.ts"

/** Orchestrations of two agents, of every kind. */
const kinds = {
  sequential: (a: Agent.Any, b: Agent.Any) => Orchestration.sequential("team", [a, b]),
  concurrent: (a: Agent.Any, b: Agent.Any) => Orchestration.concurrent("team", { a, b }),
  collect: (a: Agent.Any, b: Agent.Any) => Orchestration.collect("team", { a, b }),
  race: (a: Agent.Any, b: Agent.Any) => Orchestration.race("team", [a, b]),
  hedged: (a: Agent.Any, b: Agent.Any) => Orchestration.race("team", [a, b], { hedge: "150 millis" }),
  quorum: (a: Agent.Any, b: Agent.Any) => Orchestration.quorum("team", [a, b, a], { size: 2 }),
  route: (a: Agent.Any, b: Agent.Any) =>
    Orchestration.route("team", { a, b }, {
      choose: Agent.make("router", { instructions: "I am router", output: Schema.Literals(["a", "b"]) })
    }),
  refine: (a: Agent.Any) =>
    Orchestration.refine("team", a, {
      until: Agent.make("critic", { instructions: "I am critic", output: Orchestration.Verdict })
    }),
  groupChat: (a: Agent.Any, b: Agent.Any) =>
    Orchestration.groupChat("team", { a, b }, {
      next: ({ turns }) => Effect.succeed(turns.length === 3 ? null : turns.length === 1 ? "b" : "a")
    }),
  plan: (a: Agent.Any, b: Agent.Any) =>
    Orchestration.plan("team", { a, b }, {
      planner: Agent.make("planner", { instructions: "I am planner", output: Orchestration.Plan }),
      manager: Agent.make("manager", { instructions: "I am manager", output: Orchestration.Ledger(["a", "b"]) }),
      writer: is("writer")
    }),
  nested: (a: Agent.Any, b: Agent.Any) =>
    Orchestration.sequential("team", [
      Orchestration.concurrent("both", [
        Orchestration.refine("refined", a, { until: () => Effect.succeed(Orchestration.accepted) }),
        b
      ]),
      is("writer")
    ])
}
const names = Object.keys(kinds) as ReadonlyArray<keyof typeof kinds>

const gives = (params: Record<string, unknown>) => ScriptedModel.toolCalls({ name: "final_answer", params })
const ledger = { isDone: false, isProgressing: true, isLooping: false, next: "a", instruction: "Look" }
const roles = {
  router: [gives({ value: "a" })],
  critic: [gives({ accepted: false, feedback: "no" }), gives({ accepted: true, feedback: "" })],
  planner: [gives({ facts: "none", plan: "a looks" })],
  manager: [gives(ledger), gives({ ...ledger, next: "b" }), gives({ ...ledger, isDone: true })],
  writer: ["the end"]
}

const behaviours = {
  answers: said("yes"),
  slow: [ScriptedModel.delay("200 millis"), ...said("late")],
  hangs: [ScriptedModel.text("well"), ScriptedModel.hang],
  dies: ScriptedModel.die(new Error("bug"))
} satisfies Record<string, Answer>

const Behaviour = Schema.Literals(["answers", "answers", "slow", "hangs", "dies", "fails", "waits"])

const Cancel = Schema.Struct({
  how: Schema.Literals(["never", "take", "interrupt", "interrupt", "interrupt"]),
  at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 20 })),
  operations: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 80 }))
})

/** A provider that keeps how each run of its agent has begun and ended. */
const watching = (log: Log, outcomes: Array<AgentRun.Outcome>, fails = false) =>
  ContextProvider.make("watching", {
    beforeRun: () =>
      Effect.gen(function*() {
        log.push("begun")
        yield* Effect.addFinalizer((exit) =>
          Effect.sync(() => {
            log.push("ended")
            outcomes.push(AgentRun.outcome(exit as Exit.Exit<AgentRun.Result, unknown>))
          })
        )
        if (fails) return yield* new Refused({ by: "member" })
        return {}
      })
  })

const tokensOf = (outcome: AgentRun.Outcome) => {
  const { totalUsage } = outcome._tag === "Completed" ? outcome.result : outcome.partial
  return totalUsage.inputTokens.total ?? 0
}

/** The calls without a result, except those whose approval somebody was asked for. */
const openCalls = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<string> => {
  const results = messages.flatMap((message) =>
    message.role === "tool" ? message.content.flatMap((part) => part.type === "tool-result" ? part.id : []) : []
  )
  return messages.flatMap((message) =>
    message.role === "assistant"
      ? message.content.flatMap((part) =>
        part.type === "tool-call" && !results.includes(part.id) &&
          !message.content.some((one) => one.type === "tool-approval-request" && one.toolCallId === part.id)
          ? part.name
          : []
      )
      : []
  )
}

const play = Effect.fnUntraced(function*(
  kind: keyof typeof kinds,
  [a, b]: readonly [typeof Behaviour.Type, typeof Behaviour.Type],
  cancel: typeof Cancel.Type,
  fine = false
) {
  const log: Log = []
  const outcomes: Array<AgentRun.Outcome> = []
  const inner: Log = []
  const innerOutcomes: Array<AgentRun.Outcome> = []
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = Tracer.nativeTracer.span(options)
      spans.push(span)
      return span
    }
  })
  const member = (name: string, behaviour: typeof Behaviour.Type) =>
    (behaviour === "waits" ? gated(name) : is(name)).pipe(
      Agent.withProvider(watching(inner, innerOutcomes, behaviour === "fails"))
    )
  const answersOf = (behaviour: typeof Behaviour.Type): ReadonlyArray<Answer> =>
    behaviour === "waits"
      ? [ScriptedModel.toolCalls({ name: "gate", params: {} })]
      : behaviour === "fails"
      ? []
      : [behaviours[behaviour]]
  const team = (kinds[kind](member("a", a), member("b", b)) as Agent.Agent<any, unknown, LanguageModel.LanguageModel>)
    .pipe(
      Agent.withProvider(watching(log, outcomes)),
      Agent.withProvider(SessionHistory.make({ keep: "always" }))
    )
  const stream = Agent.stream(team, { prompt: "go", session: "s" })
  const running = Effect.gen(function*() {
    const fiber = yield* (cancel.how === "take" ? Stream.take(stream, cancel.at + 1) : stream).pipe(
      Stream.runDrain,
      // the fibers yield after every few operations, so that an interrupt may come between any two
      Effect.provideService(References.MaxOpsBeforeYield, fine ? 8 : 2048),
      Effect.forkChild({ startImmediately: true })
    )
    // what hangs is left after a while
    const last = cancel.how === "interrupt" ? cancel.at : 25
    for (let tick = 0; tick < last && fiber.pollUnsafe() === undefined; tick++) {
      for (let n = 0; n < 15 && fiber.pollUnsafe() === undefined; n++) yield* Effect.yieldNow
      yield* TestClock.adjust("50 millis")
    }
    if (cancel.how === "interrupt") yield* Effect.repeat(Effect.yieldNow, { times: cancel.operations })
    yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
    for (let tick = 0; tick < 50 && fiber.pollUnsafe() === undefined; tick++) {
      for (let n = 0; n < 30 && fiber.pollUnsafe() === undefined; n++) yield* Effect.yieldNow
      yield* TestClock.adjust("10 millis")
    }
    if (fiber.pollUnsafe() === undefined) return yield* Effect.die(new Error("the run does not end"))
    const { closed, opened } = yield* ScriptedModel.ScriptedModel
    const store = yield* SessionStore.SessionStore
    return {
      exit: yield* Fiber.await(fiber),
      opened: yield* opened,
      closed: (yield* closed).length,
      stored: (yield* store.load("s")).history.content
    }
  })
  const end = yield* Effect.provide(running, [
    model({ ...roles, a: answersOf(a), b: answersOf(b) }),
    gate([]),
    SessionStore.layerMemory,
    AgentTelemetry.layer(),
    Logger.layer([]),
    Layer.succeed(Tracer.Tracer, tracer)
  ])
  return { ...end, log, outcomes, inner, innerOutcomes, spans }
})

type Played = Effect.Success<ReturnType<typeof play>>

/** What holds however a run ends. */
const nothingIsLeft = ({ closed, inner, log, opened, spans, stored }: Played) => {
  const count = (list: Log, what: string) => list.filter((line) => line === what).length
  assert.strictEqual(count(log, "ended"), count(log, "begun"))
  assert.strictEqual(count(inner, "ended"), count(inner, "begun"))
  assert.strictEqual(closed, opened)
  assert.deepStrictEqual(spans.filter((span) => span.status._tag !== "Ended").map(({ name }) => name), [])
  assert.deepStrictEqual(openCalls(stored), [])
}

describe("an orchestration of any kind", () => {
  const never = { how: "never", at: 0, operations: 0 } as const

  it.effect.each(names)("%s completes", (kind) =>
    Effect.gen(function*() {
      const played = yield* play(kind, ["answers", "answers"], never)
      assert.deepStrictEqual(played.outcomes.map(({ _tag }) => _tag), ["Completed"])
      nothingIsLeft(played)
    }))

  it.effect.each(names)("%s fails with its members, or has their exits", (kind) =>
    Effect.gen(function*() {
      const played = yield* play(kind, ["fails", "fails"], never)
      const { exit, outcomes } = played
      assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag), [kind === "collect" ? "Completed" : "Failed"])
      if (kind !== "collect") assert.include(showExit(exit), "Fail Refused")
      nothingIsLeft(played)
    }))

  it.effect.each(names)("%s is interrupted with its members", (kind) =>
    Effect.gen(function*() {
      const played = yield* play(kind, ["hangs", "hangs"], { how: "interrupt", at: 10, operations: 0 })
      assert.deepStrictEqual(played.outcomes.map(({ _tag }) => _tag), ["Interrupted"])
      assert.isAtLeast(played.innerOutcomes.length, 1)
      assert.deepStrictEqual(new Set(played.innerOutcomes.map(({ _tag }) => _tag)), new Set(["Interrupted"]))
      nothingIsLeft(played)
    }))

  it.effect.each(names)("%s is left early with its members", (kind) =>
    Effect.gen(function*() {
      const played = yield* play(kind, ["answers", "hangs"], { how: "take", at: 8, operations: 0 })
      assert.deepStrictEqual(played.outcomes.map(({ _tag }) => _tag), ["Abandoned"])
      nothingIsLeft(played)
    }))

  it.effect("ends the spans of the calls that wait for approvals in their members", () =>
    Effect.gen(function*() {
      const played = yield* play("concurrent", ["answers", "waits"], never)
      const [outcome] = played.outcomes
      assert.strictEqual(outcome?._tag === "Completed" && outcome.result.stopReason, "approval-required")
      assert.include(played.spans.map(({ name }) => name), "execute_tool b")
      nothingIsLeft(played)
    }))

  it.effect.prop(
    "leaves nothing running wherever it is cancelled: every finalizer once, no open span, no open call in the store",
    {
      kind: Arbitrary.schema(Schema.Literals(names)),
      members: Arbitrary.schema(Schema.Tuple([Behaviour, Behaviour])),
      cancel: Arbitrary.schema(Cancel),
      fine: Arbitrary.schema(Schema.Boolean)
    },
    Effect.fnUntraced(function*({ cancel, fine, kind, members }) {
      const played = yield* play(kind, members, cancel, fine)
      nothingIsLeft(played)
      assert.isAtMost(played.outcomes.length, 1)
      // what the members have cost is in the total
      const [outcome] = played.outcomes
      const spent = played.innerOutcomes.reduce((sum, one) => sum + tokensOf(one), 0)
      if (outcome !== undefined) assert.isAtLeast(tokensOf(outcome), spent)
    }),
    { timeout: 60_000, arbitrary: { runs: 150, seed: "any orchestration" } }
  )
})

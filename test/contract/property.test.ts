import { assert, describe, it } from "@effect/vitest"
import {
  Arbitrary,
  Duration,
  Effect,
  Exit,
  Fiber,
  Layer,
  Logger,
  Pull,
  References,
  Schema,
  Stream,
  Tracer
} from "effect"
import { AiError, LanguageModel, type Prompt, Tool, Toolkit } from "effect/ai"
import { TestClock } from "effect/testing"
import {
  Agent,
  AgentRun,
  AgentTelemetry,
  ContextProvider,
  DirectLanguageModel,
  Middleware,
  StopCondition,
  ToolLoop
} from "../../src/index.ts"
import * as ScriptedModel from "../../src/testing/ScriptedModel.ts"
import { Boom, type Log, showExit } from "../utils.ts"

const kinds = [
  "ok",
  "preliminary",
  "slow",
  "returns",
  "fails",
  "dies",
  "interrupts",
  "ghost",
  "bad",
  "nested",
  "kill"
] as const

const Step = Schema.Struct({
  deltas: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 3 })),
  slow: Schema.Boolean,
  // most calls are harmless, so that runs get far
  calls: Schema.Array(Schema.Literals(["ok", "ok", "ok", "slow", "slow", "preliminary", ...kinds])).check(
    Schema.isMaxLength(4)
  ),
  tokens: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 })),
  end: Schema.Literals(["finish", "finish", "finish", "finish", "fail", "error", "length", "cut", "hang"])
})

const Script = Schema.Struct({
  steps: Schema.Array(Step).check(Schema.isMaxLength(4)),
  providers: Schema.Array(
    Schema.Literals([
      "fine",
      "fine",
      "fine",
      "before-fails",
      "after-fails",
      "best-effort-fails",
      "finalizer-dies",
      "committing"
    ])
  ).check(Schema.isMaxLength(3)),
  middleware: Schema.Boolean,
  direct: Schema.Boolean,
  traced: Schema.Boolean,
  // the fibers yield after every other operation, so that an interrupt may come between any two
  fine: Schema.Boolean,
  chunking: Schema.Literals(["one", "all"]),
  concurrency: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 4 })),
  timeout: Schema.Literals([0, 0, 700]),
  limit: Schema.Literals(["none", "steps", "calls", "fail"])
})

const Cancel = Schema.Union([
  Schema.Struct({ how: Schema.Literals(["never", "never-run", "forked-pulls"]) }),
  Schema.Struct({
    how: Schema.Literals(["take", "consumer-fails", "consumer-dies"]),
    at: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 40 }))
  }),
  Schema.Struct({
    how: Schema.Literal("interrupt"),
    at: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 })),
    operations: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 60 }))
  })
])

const toStep = (step: typeof Step.Type): ScriptedModel.Step => {
  const pieces: Array<ScriptedModel.Piece> = []
  if (step.deltas > 0) {
    pieces.push(ScriptedModel.text(
      Array.from({ length: step.deltas }, (_, index) => `d${index}`),
      step.slow ? { every: "300 millis" } : undefined
    ))
  }
  if (step.calls.length > 0) {
    pieces.push(ScriptedModel.toolCalls(...step.calls.map((kind, index) => ({
      id: `${kind}-${index}`,
      name: kind === "bad" ? "ok" : kind,
      params: kind === "bad" ? { n: "x" } : { n: index }
    }))))
  }
  const used = ScriptedModel.usage(step.tokens, 1)
  switch (step.end) {
    case "fail":
      return [...pieces, ScriptedModel.fail(new AiError.RateLimitError({}))]
    case "error":
      return [...pieces, ScriptedModel.parts([{ type: "error", error: "overloaded" }])]
    case "cut":
      return [...pieces, ScriptedModel.end]
    case "hang":
      return [...pieces, ScriptedModel.hang]
    default:
      return [
        ...pieces,
        ScriptedModel.finish(step.end === "length" ? "length" : step.calls.length > 0 ? "tool-calls" : "stop", used)
      ]
  }
}

const parameters = Schema.Struct({ n: Schema.Int })
const tool = <const Name extends string>(name: Name) =>
  Tool.make(name, { parameters, success: Schema.String, failure: Boom })
const toolkit = Toolkit.make(
  tool("ok"),
  tool("preliminary"),
  tool("slow"),
  Tool.make("returns", { parameters, success: Schema.String, failure: Boom, failureMode: "return" }),
  tool("fails"),
  tool("dies"),
  tool("interrupts"),
  tool("nested"),
  tool("kill")
)

/** One run of a script, with everything that was begun and ended in it. */
const play = Effect.fnUntraced(function*(script: typeof Script.Type, cancel: typeof Cancel.Type) {
  const log: Log = []
  const tools = { begun: 0, ended: 0 }
  const spans: Array<Tracer.Span> = []
  const tracer = Tracer.make({
    span: (options) => {
      const span = Tracer.nativeTracer.span(options)
      spans.push(span)
      return span
    }
  })
  const scripted = yield* ScriptedModel.make([...script.steps.map(toStep), ScriptedModel.text("the end")], {
    via: script.direct ? DirectLanguageModel.make : LanguageModel.make,
    chunking: script.chunking
  })
  const counted = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.sync(() => tools.begun++),
      () => effect,
      () => Effect.sync(() => tools.ended++)
    )
  const handlers = toolkit.toLayer({
    ok: () => counted(Effect.succeed("ok")),
    preliminary: (_, { preliminary }) =>
      counted(Effect.andThen(preliminary("half"), Effect.andThen(Effect.sleep("200 millis"), Effect.succeed("whole")))),
    slow: ({ n }) => counted(Effect.delay(Effect.succeed("slow"), Duration.millis(500 * (n + 1)))),
    returns: () => counted(Effect.fail(new Boom({ of: "returned" }))),
    fails: () => counted(Effect.delay(Effect.fail(new Boom({ of: "tool" })), "100 millis")),
    dies: () => counted(Effect.delay(Effect.die("bug"), "100 millis")),
    interrupts: () => counted(Effect.interrupt),
    nested: ({ n }) => counted(nested(n)),
    // a tool that interrupts who runs its agent
    kill: () =>
      counted(Effect.suspend(() => {
        fiber?.interruptUnsafe()
        return Effect.never
      }))
  })
  let fiber = undefined as Fiber.Fiber<AgentRun.Result | void, unknown> | undefined
  const nestedTokens: Array<number> = []
  const sub = Agent.make("sub", {
    providers: [ContextProvider.make("sub", {
      beforeRun: () =>
        Effect.addFinalizer((exit) =>
          Effect.sync(() => {
            const end = AgentRun.outcome(exit as Exit.Exit<AgentRun.Result, unknown>)
            nestedTokens.push(tokensOf(end._tag === "Completed" ? end.result.totalUsage : end.partial.totalUsage))
          })
        )
    })]
  })
  const nested = Effect.fnUntraced(function*(n: number) {
    const { languageModel } = yield* ScriptedModel.make([
      ScriptedModel.step(
        ScriptedModel.delay("100 millis"),
        ScriptedModel.finish("stop", ScriptedModel.usage(1000, 1)),
        n === 1 ? ScriptedModel.fail(new AiError.RateLimitError({})) : ScriptedModel.delay("300 millis")
      )
    ])
    return yield* Agent.run(sub, { prompt: "sub" }).pipe(
      Effect.as("nested"),
      Effect.mapError(() => new Boom({ of: "nested" })),
      Effect.provideService(LanguageModel.LanguageModel, languageModel)
    )
  })
  const outcomes: Array<AgentRun.Outcome> = []
  const providers = script.providers.map((kind, index) => {
    const provider = ContextProvider.make(`${kind}-${index}`, {
      beforeRun: () =>
        Effect.gen(function*() {
          log.push(`${index} before`)
          yield* Effect.addFinalizer((exit) => {
            log.push(`${index} end ${showExit(exit)}`)
            outcomes.push(AgentRun.outcome(exit as Exit.Exit<AgentRun.Result, unknown>))
            return kind === "finalizer-dies" ? Effect.die("finalizer") : Effect.void
          })
          if (kind === "before-fails") return yield* new Boom({ of: "before" })
          return {}
        }),
      afterRun: () => {
        log.push(`${index} after`)
        return kind.startsWith("after") || kind.startsWith("best") ? Effect.fail("after") : Effect.sleep("50 millis")
      }
    })
    return kind === "committing"
      ? ContextProvider.committing(provider)
      : kind === "best-effort-fails"
      ? ContextProvider.bestEffort(provider)
      : provider
  })
  const through = Middleware.make("through", {
    agent: (request, next) => next(request),
    model: (request, next) => Stream.map(next(request), (part) => part),
    tool: (request, next) => Stream.map(next(request), (part) => part)
  })
  const agent = Agent.make("agent", {
    toolkit,
    providers,
    middleware: script.middleware ? [through] : [],
    stopWhen: script.limit === "steps"
      ? [StopCondition.stepCount(2)]
      : script.limit === "calls"
      ? [StopCondition.toolCalls(2)]
      : script.limit === "fail"
      ? [StopCondition.orFail(StopCondition.toolErrors(2))]
      : []
  })
  const stream = Agent.stream(agent, { prompt: "hi", runId: "run" })
  const parts: Array<AgentRun.Part> = []
  const consume = Stream.runForEach(
    cancel.how === "take" ? Stream.take(stream, cancel.at) : stream,
    (part) =>
      Effect.suspend(() => {
        parts.push(part)
        if (cancel.how === "consumer-fails" && parts.length === cancel.at) return Effect.fail("consumer" as const)
        if (cancel.how === "consumer-dies" && parts.length === cancel.at) return Effect.die("consumer")
        return Effect.void
      })
  )
  const forkedPulls = Effect.scoped(Effect.gen(function*() {
    const pull = yield* Stream.toPull(stream)
    while (true) for (const part of yield* Effect.flatMap(Effect.forkChild(pull), Fiber.join)) parts.push(part)
  })).pipe(Pull.catchDone(() => Effect.void))
  const running: Effect.Effect<AgentRun.Result | void, unknown, Agent.Services<typeof agent>> =
    cancel.how === "never-run"
      ? Agent.run(agent, { prompt: "hi", runId: "run" })
      : cancel.how === "forked-pulls"
      ? forkedPulls
      : consume
  fiber = yield* running.pipe(
    Effect.provide([handlers, Logger.layer([]), script.traced ? AgentTelemetry.layer() : Layer.empty]),
    Effect.provideService(Tracer.Tracer, tracer),
    Effect.provideService(LanguageModel.LanguageModel, scripted.languageModel),
    Effect.provideService(ToolLoop.ToolConcurrency, script.concurrency),
    Effect.provideService(ToolLoop.ToolTimeout, script.timeout === 0 ? undefined : script.timeout),
    Effect.provideService(References.MaxOpsBeforeYield, script.fine ? 2 : 2048),
    Effect.forkChild({ startImmediately: true })
  )
  // a hanging model is left after a while
  const last = cancel.how === "interrupt" ? cancel.at : 300
  for (let tick = 0; tick < last && fiber.pollUnsafe() === undefined; tick++) yield* TestClock.adjust("100 millis")
  if (cancel.how === "interrupt") {
    for (let n = 0; n < cancel.operations; n++) yield* Effect.yieldNow
  }
  yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
  // an `afterRun` is waited for; a fiber that yields all the time takes its time
  for (let tick = 0; tick < 300 && fiber.pollUnsafe() === undefined; tick++) yield* TestClock.adjust("10 millis")
  if (fiber.pollUnsafe() === undefined) return yield* Effect.die(new Error("the run does not end"))
  const exit = yield* Fiber.await(fiber)
  const opened = yield* scripted.script.opened
  const closed = yield* scripted.script.closed
  return {
    log,
    parts,
    exit,
    outcomes,
    nestedTokens,
    tools,
    spans,
    opened,
    closed: closed.length,
    requests: yield* scripted.script.requests
  }
})

/** The calls of a conversation that have no result, or more than one, or one out of order. */
const unclosed = (messages: ReadonlyArray<Prompt.Message>): Array<string> => {
  const open: Array<string> = []
  const wrong: Array<string> = []
  for (const message of messages) {
    if (message.role === "assistant") {
      wrong.push(...open.splice(0))
      for (const part of message.content) if (part.type === "tool-call") open.push(part.id)
    } else if (message.role === "tool") {
      for (const part of message.content) {
        if (part.type === "tool-result" && open.shift() !== part.id) wrong.push(part.id)
      }
    }
  }
  return [...wrong, ...open]
}

const tokensOf = (usage: AgentRun.Usage) => usage.inputTokens.total ?? 0

describe("any run", () => {
  it.effect.prop(
    "closes its transcript, finalizes each started provider once, ends its spans, leaves nothing running, and sums its usage",
    { script: Arbitrary.schema(Script), cancel: Arbitrary.schema(Cancel) },
    Effect.fnUntraced(function*({ cancel, script }) {
      const { closed, exit, log, nestedTokens, opened, outcomes, parts, requests, spans, tools } = yield* play(
        script,
        cancel
      )

      // every provider that was started was finalized once, in reverse order, and all saw the same end
      const started = log.filter((line) => line.endsWith("before")).map((line) => line[0])
      const finalized = log.filter((line) => line.includes(" end "))
      assert.deepStrictEqual(finalized.map((line) => line[0]), started.toReversed())
      assert.isAtMost(new Set(finalized.map((line) => line.slice(2))).size, 1)
      assert.deepStrictEqual(log.slice(log.length - finalized.length), finalized)

      // nothing is left
      assert.strictEqual(tools.ended, tools.begun)
      assert.strictEqual(closed, opened)
      assert.deepStrictEqual(spans.filter((span) => span.status._tag !== "Ended").map((span) => span.name), [])
      const named = (name: string) => spans.filter((span) => span.name.startsWith(name)).length
      assert.strictEqual(named("chat"), script.traced ? opened + nestedTokens.length : 0)
      assert.strictEqual(named("invoke_agent"), script.traced && spans.length > 0 ? 1 + nestedTokens.length : 0)
      // that of effect's own `LanguageModel.make` is the model's
      if (!script.traced) assert.strictEqual(named("LanguageModel.streamText"), spans.length)

      // afterRun: once each, in reverse order, the committing ones last, only before an end that is its doing
      const outcome = outcomes[0]
      const after = log.filter((line) => line.endsWith("after")).map((line) => Number(line[0]))
      const isCommitting = (index: number) => script.providers[index] === "committing"
      const order = script.providers.map((_, index) => index).toReversed()
      const expected = [...order.filter((index) => !isCommitting(index)), ...order.filter(isCommitting)]
      const skipped = script.providers.some((kind) => kind === "after-fails")
      if (outcome?._tag === "Completed") assert.deepStrictEqual(after, expected)
      if (after.length > 0) {
        assert.deepStrictEqual(after, expected.filter((index) => !skipped || !isCommitting(index)))
        assert.strictEqual(outcome!._tag, skipped ? "Failed" : "Completed")
      }

      // run-end is the receipt
      const end = parts.at(-1)
      if (end?.type === "run-end") {
        if (outcome !== undefined) assert.strictEqual(outcome._tag, "Completed")
        assert.deepStrictEqual(unclosed(end.result.transcript.content), [])
        assert.strictEqual(end.result.steps.length, parts.filter((part) => part.type === "step-end").length)
        assert.strictEqual(end.result.text, end.result.steps.at(-1)!.text)
      }
      const toTheEnd = cancel.how === "never" || cancel.how === "forked-pulls"
      if (toTheEnd && Exit.isSuccess(exit)) assert.strictEqual(end?.type, "run-end")

      // what was sent again was closed
      for (const { prompt } of requests) assert.deepStrictEqual(unclosed(prompt.content), [])

      // each call has one final result, and nothing comes after it
      const finals = parts.filter((part) => part.type === "tool-result" && !part.preliminary)
      const calls = parts.filter((part) => part.type === "tool-call")
      const stepEnds = parts.filter((part) => part.type === "step-end")
      assert.isAtMost(finals.length, calls.length)
      assert.isAtLeast(finals.length, stepEnds.flatMap(({ step }) => step.toolCalls).length)

      // usage is what the model calls have told
      const told = parts.reduce((sum, part) => part.type === "finish" ? sum + tokensOf(part.usage) : sum, 0)
      if (outcome !== undefined && cancel.how !== "never-run") {
        const { totalUsage, usage } = outcome._tag === "Completed" ? outcome.result : outcome.partial
        // an array of which the consumer took a part was told as a whole
        if (script.chunking === "one" || toTheEnd) assert.strictEqual(tokensOf(usage), told)
        else assert.isAtLeast(tokensOf(usage), told)
        assert.strictEqual(tokensOf(totalUsage) - tokensOf(usage), nestedTokens.reduce((sum, n) => sum + n, 0))
      }
    }),
    { timeout: 30_000, arbitrary: { runs: 300, seed: "any run" } }
  )

  it.effect.prop(
    "gives by `run` what it gives by the fold of `stream`",
    { script: Arbitrary.schema(Script) },
    Effect.fnUntraced(function*({ script }) {
      // what happens at the same instant has one order then
      const steady = { ...script, fine: false }
      const streamed = yield* play(steady, { how: "never" })
      const ran = yield* play(steady, { how: "never-run" })
      assert.deepStrictEqual(ran.log, streamed.log)
      assert.deepStrictEqual([ran.opened, ran.closed, ran.tools], [streamed.opened, streamed.closed, streamed.tools])
      const end = streamed.parts.at(-1)
      if (Exit.isSuccess(ran.exit)) {
        assert(end?.type === "run-end")
        assert.deepStrictEqual(ran.exit.value, end.result)
      } else {
        assert.isTrue(Exit.isFailure(streamed.exit))
        assert.strictEqual(showExit(ran.exit), showExit(streamed.exit))
      }
    }),
    { timeout: 30_000, arbitrary: { runs: 100, seed: "run and stream" } }
  )

  it.effect.prop(
    "has parts that cross JSON, however it ends",
    { script: Arbitrary.schema(Script), cancel: Arbitrary.schema(Cancel) },
    Effect.fnUntraced(function*({ cancel, script }) {
      const { parts } = yield* play(script, cancel)
      const codec = Schema.fromJsonString(AgentRun.parts(toolkit) as Schema.Codec<AgentRun.Part, AgentRun.PartEncoded>)
      const back: Array<AgentRun.Part> = []
      for (const part of parts) back.push(yield* Schema.decodeEffect(codec)(yield* Schema.encodeEffect(codec)(part)))
      assert.deepStrictEqual(back, parts)
    }),
    { timeout: 30_000, arbitrary: { runs: 100, seed: "parts" } }
  )
})

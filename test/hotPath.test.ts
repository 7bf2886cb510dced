/**
 * What a run costs, in counts that are the same on every machine: operations of the fiber, fibers, spans, reads of a
 * part, decodings of parameters. A count that grows here is a run that got slower; `npm run bench` says by how much.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Layer, Metric, References, Scheduler, Schema, SchemaGetter, Stream, Tracer } from "effect"
import { LanguageModel, Response, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentRun,
  AgentTelemetry,
  AgentTool,
  ContextProvider,
  DirectLanguageModel,
  Guardrail,
  Middleware,
  SessionStore,
  Steering
} from "../src/index.ts"
import { AiSdk } from "../src/ai-sdk/index.ts"
import { RunHub } from "../src/server/index.ts"
import { sdkModel } from "./fixtures/ai-sdk.ts"

type Encoded = Response.StreamPartEncoded

const usage = { inputTokens: { total: 10 }, outputTokens: { total: 5 } } as const

const finish = (reason: "stop" | "tool-calls"): Encoded => ({ type: "finish", reason, usage })

/** The parts of a text, as arrays of so many deltas. */
const textArrays = (deltas: number, size: number): Array<Array<Encoded>> => {
  const arrays: Array<Array<Encoded>> = [[{ type: "text-start", id: "t" }]]
  for (let i = 0; i < deltas; i += size) {
    arrays.push(
      Array.from({ length: Math.min(size, deltas - i) }, () => ({ type: "text-delta", id: "t", delta: "tok " }))
    )
  }
  arrays.push([{ type: "text-end", id: "t" }, finish("stop")])
  return arrays
}

/** Emits these arrays one pull at a time. */
const pulled = <A>(arrays: ReadonlyArray<ReadonlyArray<A>>): Stream.Stream<A> =>
  Stream.fromPull(Effect.sync(() => {
    let next = 0
    return Effect.suspend(() => {
      const array = arrays[next++]
      return array === undefined ? Cause.done() : Effect.succeed(array as unknown as readonly [A, ...Array<A>])
    })
  }))

const model = (answer: (toolResults: number) => ReadonlyArray<ReadonlyArray<Encoded>>) =>
  Layer.effect(
    LanguageModel.LanguageModel,
    DirectLanguageModel.make({
      generateText: () => Effect.die(new Error("not used")),
      streamText: ({ prompt }) => pulled(answer(prompt.content.filter(({ role }) => role === "tool").length))
    })
  )

const toolSteps = 10

/** Effect counts one operation more for every 32 continuations that it calls in a row. */
const slack = 1 + 2 / 32

const toolLoop = model((toolResults) =>
  toolResults < toolSteps
    ? [[{ type: "tool-call", id: `call-${toolResults}`, name: "double", params: { n: 21 } }, finish("tool-calls")]]
    : textArrays(1, 1)
)

interface Counts {
  operations: number
  fibers: number
  /** Of them, those inside of a span: a tracer may do much around each. */
  insideSpans: number
  readonly spans: Array<string>
}

/** Counts what happens until an effect that never suspends has ended. */
const counted = Effect.fnUntraced(function*<A, E, R>(effect: Effect.Effect<A, E, R>, options?: {
  readonly tracing: boolean
}) {
  const counts: Counts = { operations: 0, fibers: 0, insideSpans: 0, spans: [] }
  const tracer = Tracer.make({
    span(options) {
      counts.spans.push(options.name)
      return new Tracer.NativeSpan(options)
    },
    context(primitive, fiber) {
      if (fiber.cache.span !== undefined) counts.insideSpans++
      return primitive["~effect/Effect/evaluate"](fiber)
    }
  })
  const value = yield* Effect.flatMap(
    // a fiber counts its operations from the moment it runs
    Effect.withFiber((fiber) => {
      const before = fiber.currentOpCount
      return Effect.map(effect, (value) => {
        counts.operations = fiber.currentOpCount - before
        return value
      })
    }),
    Effect.succeed
  ).pipe(
    Effect.provideService(Tracer.Tracer, tracer),
    Effect.provideService(References.TracerEnabled, options?.tracing === true),
    Effect.provideService(Scheduler.PreventSchedulerYield, true),
    Effect.provideService(Metric.FiberRuntimeMetrics, {
      recordFiberStart: () => {},
      recordFiberEnd: () => {
        counts.fibers++
      }
    })
  )
  return { ...counts, value }
})

const hooks = ContextProvider.make("hooks", {
  beforeRun: () => AgentRun.addFinalizer(() => Effect.void),
  afterRun: () => Effect.void
})

const plain = Agent.make("plain", { providers: [hooks] })
const input = { prompt: "go" }

const drained = (agent: typeof plain) =>
  Effect.suspend(() => {
    let deltas = 0
    return Effect.map(
      Stream.runForEachArray(Agent.stream(agent, input), (parts) => {
        for (const part of parts) if (part.type === "text-delta") deltas++
        return Effect.void
      }),
      () => deltas
    )
  })

describe("hot path", () => {
  describe("one step of text", () => {
    it.effect("takes few operations, a fiber for each hook that has a budget, and no span", () =>
      Effect.gen(function*() {
        const { fibers, operations, spans, value } = yield* counted(Agent.run(plain, input))
        assert.strictEqual(value.text, "tok ")
        assert.isAtMost(operations, 60)
        // afterRun, the finalizers of the provider
        assert.strictEqual(fibers, 2)
        assert.deepStrictEqual(spans, [])
      }).pipe(Effect.provide(model(() => textArrays(1, 1)))))

    it.effect("makes the id of the run in no operation more than one that is given takes", () =>
      Effect.gen(function*() {
        const made = yield* counted(Agent.run(plain, input))
        const given = yield* counted(Agent.run(plain, { ...input, runId: "given" }))
        assert.strictEqual(given.value.runId, "given")
        assert.strictEqual(made.operations, given.operations)
        assert.strictEqual(made.fibers, given.fibers)
      }).pipe(Effect.provide(model(() => textArrays(1, 1)))))

    it.effect("makes no span of its own without telemetry", () =>
      Effect.gen(function*() {
        const { spans } = yield* counted(Agent.run(plain, input), { tracing: true })
        // effect's, for every model call
        assert.deepStrictEqual(spans, ["LanguageModel.streamText"])
      }).pipe(Effect.provide(model(() => textArrays(1, 1)))))

    it.effect("takes no fiber for a model of the AI SDK, whose parts come as one array", () =>
      Effect.gen(function*() {
        const told: Array<number> = []
        const { fibers } = yield* counted(
          Stream.runForEachArray(Agent.stream(Agent.make("bare"), input), (parts) => {
            told.push(parts.length)
            return Effect.void
          })
        )
        // run-start and step-start; the text; step-end; run-end
        assert.deepStrictEqual(told, [2, 4, 1, 1])
        assert.strictEqual(fibers, 0)
      }).pipe(Effect.provide(AiSdk.layer(sdkModel([
        { type: "stream-start", warnings: [] },
        { type: "text-start", id: "t" },
        { type: "text-delta", id: "t", delta: "tok " },
        { type: "text-end", id: "t" },
        { type: "finish", usage: {}, finishReason: { unified: "stop", raw: "stop" } }
      ])))))

    it.effect("starts nothing for a provider without hooks", () =>
      Effect.gen(function*() {
        const agent = Agent.make("bare", {
          providers: [ContextProvider.make("none", { beforeRun: () => Effect.void })]
        })
        const { fibers } = yield* counted(Agent.run(agent, input))
        assert.strictEqual(fibers, 0)
      }).pipe(Effect.provide(model(() => textArrays(1, 1)))))
  })

  describe("ten steps with a tool call each", () => {
    const decoded: Array<unknown> = []
    const encoded: Array<unknown> = []
    const Params = Schema.Struct({
      n: Schema.Finite.pipe(Schema.decodeTo(Schema.Finite, {
        decode: SchemaGetter.transform((n: number) => {
          decoded.push(n)
          return n
        }),
        encode: SchemaGetter.transform((n: number) => n)
      }))
    })
    const Success = Schema.Finite.pipe(Schema.decodeTo(Schema.Finite, {
      decode: SchemaGetter.transform((n: number) => n),
      encode: SchemaGetter.transform((n: number) => {
        encoded.push(n)
        return n
      })
    }))
    const Double = Toolkit.make(Tool.make("double", { parameters: Params, success: Success }))
    const agent = Agent.make("tools", { providers: [hooks], toolkit: Double })
    const layer = Layer.merge(toolLoop, Double.toLayer({ double: ({ n }) => Effect.succeed(2 * n) }))

    it.effect("decodes parameters and encodes results once a call, each call in one fiber", () =>
      Effect.gen(function*() {
        decoded.length = 0
        encoded.length = 0
        const { fibers, operations, value } = yield* counted(Agent.run(agent, input))
        assert.strictEqual(value.steps.length, toolSteps + 1)
        assert.deepStrictEqual(decoded, Array.from({ length: toolSteps }, () => 21))
        assert.deepStrictEqual(encoded, Array.from({ length: toolSteps }, () => 42))
        assert.strictEqual(fibers, toolSteps + 2)
        assert.isAtMost(operations, 310)
      }).pipe(Effect.provide(layer)))

    it.effect("makes a span for the run, each model call and each tool call, and takes few operations inside of them", () =>
      Effect.gen(function*() {
        const { insideSpans, spans } = yield* counted(Agent.run(agent, input), { tracing: true })
        assert.deepStrictEqual(
          spans,
          [
            "invoke_agent tools",
            ...Array.from({ length: toolSteps }, () => ["chat", "execute_tool double"]).flat(),
            "chat"
          ]
        )
        // five of a model call are the provider's, one of a tool call the handler's
        assert.isAtMost(insideSpans, 132)
      }).pipe(Effect.provide(Layer.merge(layer, AgentTelemetry.layer()))))

    it.effect("takes no fiber but that of the program and one for each call, if a program makes the calls", () =>
      Effect.gen(function*() {
        const program = Agent.program("program", {
          toolkit: Double,
          // it yields between two calls, while the run waits for the next one
          run: (_, call) => Effect.repeat(call.double({ n: 21 }), { times: toolSteps - 1 })
        })
        const { fibers, value } = yield* counted(Agent.run(program, input))
        assert.strictEqual(value.steps.length, toolSteps + 1)
        assert.strictEqual(fibers, toolSteps + 1)
      }).pipe(Effect.provide(layer)))

    it.effect("takes no fiber but that of the call, if an agent is the tool", () =>
      Effect.gen(function*() {
        const lead = Agent.make("lead", { toolkit: AgentTool.toolkit({ member: Agent.make("member") }) })
        const model = DirectLanguageModel.make({
          generateText: () => Effect.die(new Error("not used")),
          streamText: ({ prompt, tools }) =>
            pulled(
              tools.length > 0 && prompt.content.every(({ role }) => role !== "tool")
                ? [[{ type: "tool-call", id: "c", name: "member", params: { prompt: "go" } }, finish("tool-calls")]]
                : textArrays(1, 1)
            )
        })
        const { fibers, operations, value } = yield* counted(Agent.run(lead, input)).pipe(
          Effect.provideServiceEffect(LanguageModel.LanguageModel, model)
        )
        assert.strictEqual(value.totalUsage.inputTokens.total, 30)
        assert.strictEqual(fibers, 1)
        assert.isAtMost(operations, 70)
      }))

    it.effect("costs the same for each step", () =>
      Effect.gen(function*() {
        const operationsOf = (steps: number) => {
          const answers = model((toolResults) =>
            toolResults < steps
              ? [[{ type: "tool-call", id: `c${toolResults}`, name: "double", params: { n: 1 } }, finish("tool-calls")]]
              : textArrays(1, 1)
          )
          return Effect.map(Effect.provide(counted(Agent.run(agent, input)), answers), ({ operations }) => operations)
        }
        const [one, two, twelve] = [yield* operationsOf(1), yield* operationsOf(2), yield* operationsOf(12)]
        assert.isAbove(two, one)
        assert.isAtMost(twelve - two, 10 * (two - one) * slack)
      }).pipe(Effect.provide(layer)))
  })

  describe("deltas", () => {
    const operationsOf = (deltas: number, size: number) =>
      counted(drained(plain)).pipe(
        Effect.provide(model(() => textArrays(deltas, size))),
        Effect.map(({ operations, value }) => {
          assert.strictEqual(value, deltas)
          return operations
        })
      )

    it.effect("takes no operation for a delta", () =>
      Effect.gen(function*() {
        const one = yield* operationsOf(1, 1)
        const many = yield* operationsOf(10_000, 10_000)
        assert.strictEqual(many, one)
      }))

    it.effect("takes the same few operations for each array", () =>
      Effect.gen(function*() {
        const one = yield* operationsOf(1, 1)
        const two = yield* operationsOf(2, 1)
        const many = yield* operationsOf(10_000, 1)
        assert.isAtMost(two - one, 9)
        assert.isAtMost(many - one, 9_999 * (two - one) * slack)
      }))

    it.effect("hands on the arrays of the model as they are", () =>
      Effect.gen(function*() {
        const arrays = textArrays(10_000, 64).map((parts) =>
          parts.map((part) =>
            part.type === "text-delta"
              ? Response.makePart("text-delta", { id: part.id, delta: part.delta })
              : part.type === "finish"
              ? Response.makePart("finish", { reason: "stop", usage: new Response.Usage(usage) })
              : Response.makePart(part.type as "text-start", { id: "t" })
          )
        )
        const service = LanguageModel.LanguageModel.of({
          streamText: () => pulled(arrays)
        } as unknown as LanguageModel.LanguageModel)
        const seen: Array<unknown> = []
        yield* Stream.runForEachArray(Agent.stream(plain, input), (parts) => {
          seen.push(parts)
          return Effect.void
        }).pipe(Effect.provideService(LanguageModel.LanguageModel, service))
        // run-start; step-end; run-end
        assert.strictEqual(seen.length, arrays.length + 3)
        arrays.forEach((array, index) => assert.strictEqual(seen[index + 1], array))
      }))

    it.effect("reads the text of a delta a fixed number of times", () =>
      Effect.gen(function*() {
        let reads = 0
        const part: Encoded = {
          type: "text-delta",
          id: "t",
          get delta() {
            reads++
            return "tok "
          }
        }
        const arrays: Array<Array<Encoded>> = [
          [{ type: "text-start", id: "t" }],
          Array.from({ length: 1_000 }, () => part),
          [{ type: "text-end", id: "t" }, finish("stop")]
        ]
        yield* Effect.provide(drained(plain), model(() => arrays))
        // is it a string, and the string; a decoder reads every key several times
        assert.isAtMost(reads, 2_000)
      }))
  })

  describe("what a run does not use", () => {
    const Unused = Toolkit.make(Tool.make("unused", { success: Schema.String }))
    const member = AgentTool.toolkit({ member: Agent.make("member") })
    const around = Middleware.make("around", { tool: (request, next) => next(request) })
    const check = Guardrail.tool("check", { before: () => Effect.succeed(Guardrail.pass) })
    const services = Layer.mergeAll(
      model(() => textArrays(1, 1)),
      Unused.toLayer({ unused: () => Effect.succeed("") }),
      SessionStore.layerMemory,
      RunHub.layer()
    )
    const unused: Readonly<Record<string, Effect.Effect<Agent.Agent<any, any, any, any, any>>>> = {
      "nothing": Effect.succeed(Agent.make("plain", { providers: [hooks], middleware: [], stopWhen: [] })),
      "tools": Effect.succeed(Agent.make("plain", { providers: [hooks], toolkit: Unused })),
      "agents as tools": Effect.succeed(Agent.make("plain", { providers: [hooks], toolkit: member })),
      "functions around tool calls": Effect.succeed(
        Agent.make("plain", { providers: [hooks], toolkit: Unused, middleware: [around, check] })
      )
    }
    for (const [name, make] of Object.entries(unused)) {
      it.effect(`costs no operation and no fiber: ${name}`, () =>
        Effect.gen(function*() {
          const bare = yield* counted(Agent.run(plain, input))
          const { fibers, operations } = yield* counted(Agent.run(yield* make, input))
          assert.deepStrictEqual({ fibers, operations }, { fibers: bare.fibers, operations: bare.operations })
        }).pipe(Effect.provide(services)))
    }

    it.effect("costs no operation and no fiber: services in the context, and steering without messages", () =>
      Effect.gen(function*() {
        const bare = yield* Effect.provide(counted(Agent.run(plain, input)), model(() => textArrays(1, 1)))
        const steering = yield* Steering.make
        const { fibers, operations } = yield* counted(Agent.run(plain, { ...input, steering }))
        assert.deepStrictEqual({ fibers, operations }, { fibers: bare.fibers, operations: bare.operations })
      }).pipe(Effect.provide(services)))
  })
})

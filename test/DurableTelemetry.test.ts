/** The spans of an execution that two processes have worked on. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Schema, Stream, Tracer } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { Durable, SqliteRunner } from "../src/durable/index.ts"
import { Agent, AgentTelemetry } from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { inFile } from "./fixtures/programKills.ts"
import { collecting } from "./fixtures/spans.ts"

const { hang, text, toolCalls } = ScriptedModel

const toolkit = Toolkit.make(Tool.make("pay", { parameters: Schema.Struct({}), success: Schema.String }))
const cashier = Durable.make(Agent.make("cashier", { toolkit }), { version: 1 })

describe("the telemetry of an execution", () => {
  it.live("is one trace across processes; what is replayed has no span, and the engine has none", () =>
    inFile((filename) =>
      Effect.gen(function*() {
        const process = (
          use: Effect.Effect<unknown, any, any>,
          tracer: Tracer.Tracer,
          script: ReadonlyArray<ScriptedModel.Step>
        ) =>
          use.pipe(
            Effect.provide(
              Durable.layer(cashier).pipe(
                Layer.provideMerge(SqliteRunner.layer({ filename, poll: "50 millis", grace: "50 millis" })),
                Layer.provide([ScriptedModel.layer(script), toolkit.toLayer({ pay: () => Effect.succeed("paid") })]),
                Layer.provideMerge(AgentTelemetry.layer()),
                Layer.provideMerge(Layer.succeed(Tracer.Tracer)(tracer))
              )
            )
          ) as Effect.Effect<unknown>
        const first = collecting()
        yield* process(
          Effect.gen(function*() {
            yield* Effect.withSpan(Durable.start(cashier, { id: "order", prompt: "Pay" }), "request")
            yield* Durable.attach(cashier, "order").pipe(
              Stream.takeUntil(({ part }) => part.type === "text-delta"),
              Stream.runDrain
            )
          }),
          first.tracer,
          [toolCalls({ id: "c", name: "pay", params: {} }), [text("half"), hang]]
        )
        const second = collecting()
        yield* process(Durable.result(cashier, "order"), second.tracer, [text("whole")])
        const names = (spans: ReadonlyArray<Tracer.NativeSpan>) => spans.map(({ name }) => name.split(" ")[0]).sort()
        assert.deepStrictEqual(names(first.spans), ["chat", "chat", "execute_tool", "invoke_agent", "request"])
        // the call that was in progress, not the one before it, and not its tool
        assert.deepStrictEqual(names(second.spans), ["chat", "invoke_agent"])
        const request = first.spans.find(({ name }) => name === "request")!
        const all = [...first.spans, ...second.spans]
        assert.deepStrictEqual([...new Set(all.map(({ traceId }) => traceId))], [request.traceId])
        const tokens = (spans: ReadonlyArray<Tracer.NativeSpan>) =>
          spans.filter(({ name }) => name.startsWith("chat")).map(({ attributes }) =>
            attributes.get("gen_ai.usage.output_tokens")
          )
        // each call once: the one that was cut has no usage
        assert.deepStrictEqual([...tokens(first.spans), ...tokens(second.spans)], [5, undefined, 5])
      })
    ))
})

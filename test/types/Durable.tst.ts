/** What the types of durable agents say. */
import type { Layer, Stream } from "effect"
import { Effect, Schema } from "effect"
import type { AiError, Tool } from "effect/ai"
import { Tool as Tools, Toolkit } from "effect/ai"
import type { LanguageModel } from "effect/ai/LanguageModel"
import type { WorkflowEngine } from "effect/workflow"
import { describe, expectTypeOf, it } from "vitest"
import { Durable, type ExecutionStore } from "../../src/durable/index.ts"
import { Agent, type AgentError, ContextProvider } from "../../src/index.ts"

class OutOfInk extends Schema.TaggedError<OutOfInk>()("OutOfInk", {}) {}

const toolkit = Toolkit.make(Tools.make("look", { success: Schema.String }))

describe("Durable", () => {
  it("an agent with a failure of its own needs the schema of that failure", () => {
    const failing = Agent.make("failing", {
      providers: [ContextProvider.make("p", { beforeRun: () => Effect.fail(new OutOfInk()) })]
    })
    // @ts-expect-error Property 'failure' is missing
    Durable.make(failing, { version: 1 })
    const durable = Durable.make(failing, { version: 1, failure: OutOfInk })
    expectTypeOf<Effect.Error<ReturnType<typeof Durable.result<{}, OutOfInk, never, undefined, never>>>>()
      .toEqualTypeOf<
        | OutOfInk
        | Durable.ExecutionUnknown
        | Durable.ExecutionParked
        | ExecutionStore.ExecutionStoreError
      >()
    expectTypeOf(Durable.result(durable, "x")).toExtend<
      Effect.Effect<
        unknown,
        | OutOfInk
        | AiError.AiError
        | AgentError.AgentError
        | Durable.ExecutionUnknown
        | Durable.ExecutionParked
        | ExecutionStore.ExecutionStoreError,
        ExecutionStore.ExecutionStore
      >
    >()
  })

  it("the layer needs what the agent needs, the engine and the store; readers need the store alone", () => {
    const durable = Durable.make(Agent.make("agent", { toolkit }), { version: 1 })
    expectTypeOf(Durable.layer(durable)).toEqualTypeOf<
      Layer.Layer<
        never,
        never,
        | LanguageModel
        | Tool.Handler<"look">
        | WorkflowEngine.WorkflowEngine
        | ExecutionStore.ExecutionStore
      >
    >()
    expectTypeOf<Stream.Services<ReturnType<typeof attach>>>().toEqualTypeOf<ExecutionStore.ExecutionStore>()
    const attach = () => Durable.attach(durable, "x")
  })

  it("the value of a result has the type of the agent's output", () => {
    const durable = Durable.make(Agent.make("agent", { output: Schema.Struct({ n: Schema.Int }) }), { version: 1 })
    expectTypeOf<Effect.Success<ReturnType<typeof result>>["value"]>().toEqualTypeOf<{ readonly n: number }>()
    const result = () => Durable.result(durable, "x")
  })
})

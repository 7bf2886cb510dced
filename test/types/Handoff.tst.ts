import { Schema } from "effect"
import type { AiError, LanguageModel } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, type ContextProvider, type Program } from "../../src/index.ts"
import { Handoff } from "../../src/orchestration/index.ts"

class OutOfInk extends Schema.TaggedError<OutOfInk>()("OutOfInk", {}) {}

declare const provider: ContextProvider.ContextProvider<OutOfInk, "Library">

const triage = Agent.make("triage")
const billing = Agent.make("billing", { output: Schema.Struct({ refund: Schema.Int }), providers: [provider] })

describe("Handoff", () => {
  it("fails and needs what its members do, and gives the value of one of them", () => {
    const desk = Handoff.make("desk", [triage, billing])
    type Failure = OutOfInk | AiError.AiError | AgentError.AgentError | Program.NotExecuted
    expectTypeOf<Agent.Error<typeof desk>>().toEqualTypeOf<Failure>()
    expectTypeOf<Agent.Services<typeof desk>>().toEqualTypeOf<LanguageModel.LanguageModel | "Library">()
    expectTypeOf<Agent.Output<typeof desk>>().toEqualTypeOf<string | { readonly refund: number } | undefined>()
  })

  it("has routes between the members of a record only", () => {
    Handoff.make("desk", { triage, billing }, { routes: { triage: ["billing"] } })
    // @ts-expect-error '"bilin"' is not assignable to type '"triage" | "billing"'
    Handoff.make("desk", { triage, billing }, { routes: { triage: ["bilin"] } })
    // @ts-expect-error 'triag' does not exist in type
    Handoff.make("desk", { triage, billing }, { routes: { triag: ["billing"] } })
    // @ts-expect-error '"all"' is not assignable to type
    Handoff.make("desk", { triage, billing }, { view: "all" })
  })
})

import { Effect, type Exit, Schema } from "effect"
import { type AiError, Decision, type DecisionModel, type LanguageModel } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, type ContextProvider, type Program } from "../../src/index.ts"
import { Orchestration } from "../../src/orchestration/index.ts"

class OutOfInk extends Schema.TaggedError<OutOfInk>()("OutOfInk", {}) {}
class NoRoute extends Schema.TaggedError<NoRoute>()("NoRoute", {}) {}

declare const provider: ContextProvider.ContextProvider<OutOfInk, "Library">
declare const library: Effect.Effect<"writer", NoRoute, "Maps">

const writer = Agent.make("writer", { providers: [provider] })
const dated = Agent.make("dated", { output: Schema.Struct({ at: Schema.DateFromString }) })
const counted = Agent.make("counted", { output: Schema.Int })

type Base = AiError.AiError | AgentError.AgentError | Program.NotExecuted

describe("Orchestration", () => {
  it("fails with what its members fail with, and needs what they need", () => {
    const all = Orchestration.concurrent("all", { writer, dated })
    expectTypeOf<Agent.Error<typeof all>>().toEqualTypeOf<OutOfInk | Base>()
    expectTypeOf<Agent.Services<typeof all>>().toEqualTypeOf<LanguageModel.LanguageModel | "Library">()
    const pipeline = Orchestration.sequential("pipeline", [writer, dated])
    expectTypeOf<Agent.Error<typeof pipeline>>().toEqualTypeOf<OutOfInk | Base>()
    expectTypeOf<Agent.Services<typeof pipeline>>().toEqualTypeOf<LanguageModel.LanguageModel | "Library">()
  })

  it("gives the value of a member with an output, and the text of another", () => {
    const list = Orchestration.concurrent("all", [writer, dated])
    expectTypeOf<Agent.Output<typeof list>>().toEqualTypeOf<readonly [string, { readonly at: Date }] | undefined>()
    const record = Orchestration.concurrent("all", { writer, dated })
    expectTypeOf<Agent.Output<typeof record>>().toEqualTypeOf<
      { readonly writer: string; readonly dated: { readonly at: Date } } | undefined
    >()
    const last = Orchestration.sequential("last", [writer, counted])
    expectTypeOf<Agent.Output<typeof last>>().toEqualTypeOf<number | undefined>()
    const any = Orchestration.race("any", [writer, counted])
    expectTypeOf<Agent.Output<typeof any>>().toEqualTypeOf<string | number | undefined>()
    const some = Orchestration.quorum("some", [writer, counted], { size: 1 })
    expectTypeOf<Agent.Output<typeof some>>().toEqualTypeOf<ReadonlyArray<string | number> | undefined>()
    const nested = Orchestration.concurrent("nested", [list])
    expectTypeOf<Agent.Output<typeof nested>>().toEqualTypeOf<
      readonly [readonly [string, { readonly at: Date }]] | undefined
    >()
  })

  it("gives the exit of each member with the failures of that one", () => {
    const sources = Orchestration.collect("sources", { writer, counted })
    type Expected = {
      readonly writer: Exit.Exit<string, OutOfInk | Base>
      readonly counted: Exit.Exit<number, Base>
    }
    expectTypeOf<Agent.Output<typeof sources>>().toEqualTypeOf<Expected | undefined>()
  })

  it("chooses a member of those that it has", () => {
    const byCode = Orchestration.route("route", { writer, counted }, { choose: () => library })
    expectTypeOf<Agent.Error<typeof byCode>>().toEqualTypeOf<OutOfInk | NoRoute | Base>()
    expectTypeOf<Agent.Services<typeof byCode>>().toEqualTypeOf<LanguageModel.LanguageModel | "Library" | "Maps">()
    expectTypeOf<Agent.Output<typeof byCode>>().toEqualTypeOf<string | number | undefined>()
    Orchestration.route("route", { writer, counted }, {
      choose: ({ prompt }) => Effect.succeed(prompt.includes("?") ? "writer" : "counted")
    })
    Orchestration.route("route", { writer, counted }, {
      // @ts-expect-error Type '"writr"' is not assignable to type '"writer" | "counted"'
      choose: () => Effect.succeed("writr")
    })
    const router = Agent.make("router", { output: Schema.Literals(["writer", "counted"]), providers: [provider] })
    const byAgent = Orchestration.route("route", { counted, writer }, { choose: router })
    expectTypeOf<Agent.Error<typeof byAgent>>().toEqualTypeOf<OutOfInk | Base>()
    Orchestration.route("route", { counted, dated }, {
      // @ts-expect-error Type '"writer"' is not assignable to type '"counted" | "dated"'
      choose: router
    })
    // @ts-expect-error an agent without an output chooses nothing
    Orchestration.route("route", { counted, dated }, { choose: writer })
    const decision = Decision.classify({ instructions: "Who?", criteria: { counted: null, dated: null } })
    const byDecision = Orchestration.route("route", { counted, dated }, { choose: decision })
    expectTypeOf<Agent.Services<typeof byDecision>>().toEqualTypeOf<
      LanguageModel.LanguageModel | DecisionModel.DecisionModel
    >()
    // @ts-expect-error Type '"dated"' is not assignable to type '"counted" | "writer"'
    Orchestration.route("route", { counted, writer }, { choose: decision })
  })

  it("refines the value of its member", () => {
    const good = Orchestration.refine("good", counted, {
      until: (value, round) => Effect.succeed(value > round ? Orchestration.accepted : Orchestration.revise("larger"))
    })
    expectTypeOf<Agent.Error<typeof good>>().toEqualTypeOf<Orchestration.NotAccepted | Base>()
    expectTypeOf<Agent.Output<typeof good>>().toEqualTypeOf<number | undefined>()
    const critic = Agent.make("critic", { output: Orchestration.Verdict, providers: [provider] })
    const judged = Orchestration.refine("good", counted, { until: critic })
    expectTypeOf<Agent.Error<typeof judged>>().toEqualTypeOf<Orchestration.NotAccepted | OutOfInk | Base>()
    // @ts-expect-error an agent whose value is no verdict
    Orchestration.refine("good", counted, { until: dated })
  })

  it("lets members speak that it has", () => {
    const chat = Orchestration.groupChat("chat", { writer, counted }, {
      next: ({ turns }) => Effect.succeed(turns[0]?.from === "writer" ? "counted" : null)
    })
    expectTypeOf<Agent.Output<typeof chat>>().toEqualTypeOf<
      Orchestration.Discussion<"writer" | "counted"> | undefined
    >()
    expectTypeOf<Agent.Error<typeof chat>>().toEqualTypeOf<OutOfInk | Base>()
    Orchestration.groupChat("chat", { writer, counted }, {
      // @ts-expect-error Type '"nobody"' is not assignable to type '"writer" | "counted" | null'
      next: () => Effect.succeed("nobody")
    })
    const manager = Agent.make("manager", { output: Schema.NullOr(Schema.Literals(["writer", "dated"])) })
    // @ts-expect-error Type '"dated"' is not assignable to type '"counted" | "writer" | null'
    Orchestration.groupChat("chat", { writer, counted }, { next: manager })
  })

  it("plans with the names of its members, and gives the value of its writer", () => {
    const roles = { planner: Agent.make("planner", { output: Orchestration.Plan }), writer: dated }
    const manager = Agent.make("manager", { output: Orchestration.Ledger(["writer"]) })
    const team = Orchestration.plan("team", { writer }, { ...roles, manager })
    expectTypeOf<Agent.Output<typeof team>>().toEqualTypeOf<{ readonly at: Date } | undefined>()
    expectTypeOf<Agent.Error<typeof team>>().toEqualTypeOf<OutOfInk | Orchestration.NotDone | Base>()
    // @ts-expect-error Type '"writer"' is not assignable to type '"counted"'
    Orchestration.plan("team", { counted }, { ...roles, manager })
    // @ts-expect-error a planner without a plan
    Orchestration.plan("team", { writer }, { planner: writer, writer: dated, manager })
  })

  it("keeps the types of agents that are made in their place", () => {
    const team = Orchestration.sequential("team", [Agent.make("a", { providers: [provider] }), Agent.make("b")])
    expectTypeOf<Agent.Error<typeof team>>().toEqualTypeOf<OutOfInk | Base>()
    expectTypeOf<Agent.Services<typeof team>>().toEqualTypeOf<LanguageModel.LanguageModel | "Library">()
  })
})

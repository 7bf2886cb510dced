import { type Effect, Schema, type Stream } from "effect"
import type { AiError, LanguageModel } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, AgentOutput, AgentRun, type AgentTool, type Steering } from "../../src/index.ts"

class Geo extends Schema.Class<Geo>("Geo")({ at: Schema.Date }) {}

const Forecast = Schema.Struct({
  city: Schema.String,
  degrees: Schema.FiniteFromString,
  sky: Schema.Literals(["clear", "grey"]),
  places: Schema.Array(Geo)
})
type Forecast = typeof Forecast.Type

type Always = AiError.AiError | AgentError.AgentError

describe("Agent.make with an output", () => {
  const agent = Agent.make("weather", { output: Forecast })

  it("gives a result with a value of the schema's type, in run and in run-end", () => {
    expectTypeOf<Agent.Output<typeof agent>>().toEqualTypeOf<Forecast>()
    expectTypeOf(Agent.run(agent, { prompt: "hi" })).toEqualTypeOf<
      Effect.Effect<AgentRun.Result<Forecast>, Always, LanguageModel.LanguageModel>
    >()
    type End = Extract<Agent.Part<typeof agent>, { readonly type: "run-end" }>
    expectTypeOf<End["result"]["value"]>().toEqualTypeOf<Forecast>()
    const stream = Agent.stream(agent, { prompt: "hi" })
    expectTypeOf<Stream.Success<typeof stream>>().toEqualTypeOf<Agent.Part<typeof agent>>()
  })

  it("gives partial values that are deeply partial of what the model writes", () => {
    type Partial = Extract<Agent.Part<typeof agent>, { readonly type: "output-partial" }>
    expectTypeOf<Partial["value"]>().toEqualTypeOf<{
      readonly city?: string
      readonly degrees?: string
      readonly sky?: string
      readonly places?: ReadonlyArray<{ readonly at?: string }>
    }>()
  })

  it("is the same by the two constructors", () => {
    expectTypeOf(Agent.make("weather", { output: AgentOutput.tool(Forecast) })).toEqualTypeOf<typeof agent>()
    expectTypeOf(Agent.make("weather", { output: AgentOutput.json(Forecast, { corrections: 1 }) }))
      .toEqualTypeOf<typeof agent>()
  })

  it("takes any schema", () => {
    const one = Agent.make("a", { output: Schema.Array(Schema.Int) })
    expectTypeOf<Agent.Output<typeof one>>().toEqualTypeOf<ReadonlyArray<number>>()
    const two = Agent.make("b", { output: Schema.Literals(["yes", "no"]) })
    expectTypeOf<Agent.Output<typeof two>>().toEqualTypeOf<"yes" | "no">()
    interface Tree {
      readonly children: ReadonlyArray<Tree>
    }
    const Tree = Schema.Struct({ children: Schema.Array(Schema.suspend((): Schema.Codec<Tree> => Tree)) })
    const three = Agent.make("c", { output: Tree })
    expectTypeOf<Agent.Output<typeof three>>().toExtend<Tree>()
  })

  it("keeps its value through middleware and folds", () => {
    expectTypeOf(AgentRun.fold(Agent.stream(agent, { prompt: "hi" }))).toEqualTypeOf<
      Effect.Effect<AgentRun.Result<Forecast>, Always, LanguageModel.LanguageModel>
    >()
    const outer = Agent.fromStream("outer", { stream: (input) => Agent.stream(agent, input) })
    expectTypeOf<Agent.Output<typeof outer>>().toEqualTypeOf<Forecast>()
  })

  it("is an agent of an unknown value, and any agent", () => {
    expectTypeOf(agent).toExtend<Agent.Agent<{}, Always, LanguageModel.LanguageModel, unknown, unknown>>()
    expectTypeOf(agent).toExtend<Agent.Any>()
    // @ts-expect-error an agent with an output is not one without
    expectTypeOf(agent).toExtend<Agent.Agent<{}, Always, LanguageModel.LanguageModel>>()
  })

  it("takes no value for a schema", () => {
    // @ts-expect-error a string is neither a schema nor an output
    Agent.make("weather", { output: "Forecast" })
  })
})

describe("Agent.make with an output that may wait", () => {
  const agent = Agent.make("weather", { output: AgentOutput.orWaiting(Forecast) })
  type Result = Effect.Success<ReturnType<typeof run>>
  const run = () => Agent.run(agent, { prompt: "hi" })

  it("has a value that cannot be read without a look", () => {
    expectTypeOf<Result>().toEqualTypeOf<AgentRun.Result<Forecast | undefined>>()
    expectTypeOf<Agent.Output<typeof agent>>().toEqualTypeOf<Forecast | undefined>()
    const read = (result: Result) => {
      // @ts-expect-error the value is possibly undefined
      void result.value.city
      if (result.value !== undefined) expectTypeOf(result.value).toEqualTypeOf<Forecast>()
    }
    expectTypeOf(read).toBeFunction()
  })

  it("keeps its mode and its partial values", () => {
    expectTypeOf(AgentOutput.orWaiting(AgentOutput.json(Forecast))).toEqualTypeOf<
      AgentOutput.AgentOutput<Forecast | undefined, typeof Forecast.Encoded>
    >()
    type Partial = Extract<Agent.Part<typeof agent>, { readonly type: "output-partial" }>
    expectTypeOf<Partial["value"]>().toEqualTypeOf<AgentOutput.DeepPartial<typeof Forecast.Encoded>>()
  })

  it("is not an agent that promises a value", () => {
    // @ts-expect-error the value is possibly undefined
    expectTypeOf(agent).toExtend<Agent.Agent<{}, Always, LanguageModel.LanguageModel, Forecast, unknown>>()
    expectTypeOf<AgentTool.Answer<Agent.Output<typeof agent>>>().toEqualTypeOf<Forecast>()
  })
})

describe("Agent.make without an output", () => {
  const agent = Agent.make("plain")

  it("gives a result without a value, and no partial values", () => {
    expectTypeOf<Agent.Output<typeof agent>>().toEqualTypeOf<undefined>()
    expectTypeOf<Effect.Success<ReturnType<typeof run>>>().toEqualTypeOf<AgentRun.Result<undefined>>()
    type Partial = Extract<Agent.Part<typeof agent>, { readonly type: "output-partial" }>
    expectTypeOf<Partial["value"]>().toEqualTypeOf<never>()
  })

  const run = (steering: Steering.Steering) => Agent.run(agent, { prompt: "hi", steering })
})

describe("AgentOutput.DeepPartial", () => {
  it("does not know what JSON writes in a form of its own", () => {
    const Odd = Schema.Struct({
      nick: Schema.Option(Schema.String),
      seen: Schema.ReadonlyMap(Schema.String, Schema.Int),
      name: Schema.String
    })
    expectTypeOf<AgentOutput.DeepPartial<typeof Odd.Encoded>>().toEqualTypeOf<
      { readonly nick?: unknown; readonly seen?: unknown; readonly name?: string }
    >()
  })
})

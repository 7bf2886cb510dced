import { Context, type Effect, Schema } from "effect"
import { Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, AgentOutput, AgentRun, AgentTool } from "../../src/index.ts"

class Zone extends Context.Service<Zone, string>()("Zone") {}
class Rates extends Context.Service<Rates, number>()("Rates") {}

declare const Zoned: Schema.Codec<Date, string, Zone, Rates>

const toolkit = Toolkit.make(
  Tool.make("look", { parameters: Schema.Struct({ n: Schema.Int }), success: Schema.Date }),
  Tool.make("count", { success: Schema.Int })
)
const Answer = Schema.Struct({ when: Schema.Date })

describe("AgentRun.parts", () => {
  it("is a schema of any parts, without services", () => {
    expectTypeOf(AgentRun.parts()).toEqualTypeOf<Schema.Codec<AgentRun.Part, AgentRun.PartEncoded>>()
    expectTypeOf(Schema.encodeEffect(AgentRun.parts())).returns.toEqualTypeOf<
      Effect.Effect<AgentRun.PartEncoded, Schema.SchemaError>
    >()
  })

  it("has the results of the tools of its toolkit", () => {
    const codec = AgentRun.parts(toolkit)
    type Result = Exclude<Extract<typeof codec.Type, { readonly type: "tool-result" }>, AgentRun.SynthesizedToolResult>
    type Success<Name> = Extract<Result, { readonly name: Name; readonly isFailure: false }>["result"]
    expectTypeOf<Success<"look">>().toEqualTypeOf<Date>()
    expectTypeOf<Success<"count">>().toEqualTypeOf<number>()
    expectTypeOf<typeof codec.DecodingServices>().toBeNever()
    expectTypeOf<typeof codec.EncodingServices>().toBeNever()
  })

  it("takes the toolkit of agents, and one that is resolved", () => {
    const agents = AgentTool.toolkit(AgentTool.make(Agent.make("sub")))
    const ofAgents = AgentRun.parts(agents)
    type Success = Extract<typeof ofAgents.Type, { readonly type: "tool-result"; readonly isFailure: false }>
    expectTypeOf<Success["result"]>().toEqualTypeOf<string>()
    const resolved = AgentRun.parts({} as Toolkit.WithHandler<typeof toolkit.tools>)
    expectTypeOf(resolved).toEqualTypeOf(AgentRun.parts(toolkit))
  })

  it("has the value of the output, and what there is of it", () => {
    const codec = AgentRun.parts(toolkit, { output: Answer })
    type End = Extract<typeof codec.Type, { readonly type: "run-end" }>
    type Partial = Extract<typeof codec.Type, { readonly type: "output-partial" }>
    expectTypeOf<End>().toEqualTypeOf<AgentRun.RunEnd<{ readonly when: Date }>>()
    expectTypeOf<Partial["value"]>().toEqualTypeOf<{ readonly when?: string }>()
    expectTypeOf(AgentRun.parts(toolkit, { output: AgentOutput.tool(Answer) })).toEqualTypeOf(codec)
    expectTypeOf<Extract<ReturnType<typeof of>["Type"], { readonly type: "run-end" }>>().toEqualTypeOf<End>()
    const of = () => AgentRun.parts(undefined, { output: Answer })
  })

  it("takes the parts of the agent that has this toolkit and this output", () => {
    const agent = Agent.make("a", { toolkit, output: Answer })
    const encode = Schema.encodeEffect(AgentRun.parts(toolkit, { output: Answer }))
    expectTypeOf<Agent.Part<typeof agent>>().toExtend<Parameters<typeof encode>[0]>()
    expectTypeOf<Agent.Part<typeof agent>>().toExtend<AgentRun.Part>()
  })

  it("needs what the schemas of results and of the output need", () => {
    const codec = AgentRun.parts(Toolkit.make(Tool.make("zoned", { success: Zoned })))
    expectTypeOf<typeof codec.DecodingServices>().toEqualTypeOf<Zone>()
    expectTypeOf<typeof codec.EncodingServices>().toBeNever()
    const both = AgentRun.parts(undefined, { output: Zoned })
    expectTypeOf<typeof both.DecodingServices>().toEqualTypeOf<Zone>()
    expectTypeOf<typeof both.EncodingServices>().toEqualTypeOf<Rates>()
  })

  it("has the parameters of a call decoded for its tool, and the results of an output", () => {
    const part = {} as Extract<AgentRun.Part<typeof toolkit.tools>, { readonly type: "tool-call" }>
    expectTypeOf(AgentRun.decodeParams(toolkit.tools.look, part)).toEqualTypeOf<
      Effect.Effect<{ readonly n: number }, Schema.SchemaError>
    >()
    const zoned = Tool.make("zoned", { parameters: Schema.Struct({ at: Zoned }) })
    expectTypeOf(AgentRun.decodeParams(zoned, part)).toEqualTypeOf<
      Effect.Effect<{ readonly at: Date }, Schema.SchemaError, Zone>
    >()
    // @ts-expect-error a part that is no call has no parameters
    const refused = AgentRun.decodeParams(zoned, {} as AgentRun.StepStart)
    expectTypeOf(refused).not.toBeAny()
    expectTypeOf(AgentRun.resultOf(Answer)).toEqualTypeOf<
      Schema.Codec<AgentRun.Result<{ readonly when: Date }>, Schema.Json>
    >()
    expectTypeOf(AgentRun.resultOf(AgentOutput.json(Answer))).toEqualTypeOf(AgentRun.resultOf(Answer))
    expectTypeOf(AgentRun.resultOf(Zoned)).toEqualTypeOf<
      Schema.Codec<AgentRun.Result<Date>, Schema.Json, Zone, Rates>
    >()
  })

  it("takes no list of tools", () => {
    // @ts-expect-error a toolkit is made of them with `Toolkit.make`
    AgentRun.parts([Tool.make("look")])
  })
})

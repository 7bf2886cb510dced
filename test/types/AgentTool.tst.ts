import { Effect, Schema } from "effect"
import { type AiError, type LanguageModel, type Prompt, Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, AgentTool, type ContextProvider } from "../../src/index.ts"

class NotFound extends Schema.TaggedError<NotFound>()("NotFound", {}) {}

declare const provider: ContextProvider.ContextProvider<NotFound, "Library">

const child = Agent.make("child", { providers: [provider] })

type Errors = AiError.AiError | AgentError.AgentError | NotFound
type Services = LanguageModel.LanguageModel | "Library"

describe("AgentTool", () => {
  it("has the agent's failures and services", () => {
    const { handler, tool } = AgentTool.make(child, { name: "ask" })
    expectTypeOf(tool.name).toEqualTypeOf<"ask">()
    expectTypeOf<Tool.Parameters<typeof tool>>().toEqualTypeOf<{ readonly prompt: string }>()
    expectTypeOf<Tool.Success<typeof tool>>().toEqualTypeOf<string>()
    expectTypeOf<Tool.Failure<typeof tool>>().toEqualTypeOf<Errors>()
    expectTypeOf<Tool.Requirements<typeof tool>>().toEqualTypeOf<Services>()
    expectTypeOf(handler).returns.toEqualTypeOf<Effect.Effect<string, Errors, Services>>()
  })

  it("adds them to the agent that calls it, in failure mode error", () => {
    const parent = Agent.make("parent", { toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })) })
    expectTypeOf<Agent.Error<typeof parent>>().toEqualTypeOf<Errors>()
    expectTypeOf<Agent.Services<typeof parent>>().toEqualTypeOf<Services>()
  })

  it("keeps them in the result, in failure mode return", () => {
    const returning = AgentTool.make(child, { name: "ask", failureMode: "return" })
    expectTypeOf<Tool.Failure<typeof returning.tool>>().toEqualTypeOf<AgentTool.AgentFailed<Errors>>()
    const parent = Agent.make("parent", { toolkit: AgentTool.toolkit(returning) })
    expectTypeOf<Agent.Error<typeof parent>>().toEqualTypeOf<AiError.AiError | AgentError.AgentError>()
    expectTypeOf<Agent.Services<typeof parent>>().toEqualTypeOf<Services>()
  })

  it("stands beside other tools, and its handler in their layer", () => {
    const Add = Tool.make("add", { success: Schema.Int })
    const asking = AgentTool.make(child, { name: "ask" })
    const toolkit = Toolkit.make(Add, asking.tool)
    toolkit.toLayer({ add: () => Effect.succeed(1), ask: asking.handler })
    // @ts-expect-error the handler of `add` gives a number
    toolkit.toLayer({ add: asking.handler, ask: asking.handler })
    const parent = Agent.make("parent", { toolkit })
    expectTypeOf<Agent.Error<typeof parent>>().toEqualTypeOf<Errors>()
    expectTypeOf<Agent.Services<typeof parent>>().toEqualTypeOf<Services | Tool.Handler<"add"> | Tool.Handler<"ask">>()
  })

  it("wants to know how other parameters become a prompt, and a result another success", () => {
    const parameters = Schema.Struct({ city: Schema.String })
    const asking = AgentTool.make(child, {
      name: "ask",
      parameters,
      prompt: ({ city }) => `Weather in ${city}?`,
      success: Schema.Int,
      result: ({ steps }) => steps.length
    })
    expectTypeOf<Tool.Parameters<typeof asking.tool>>().toEqualTypeOf<{ readonly city: string }>()
    expectTypeOf<Tool.Success<typeof asking.tool>>().toEqualTypeOf<number>()
    // @ts-expect-error no prompt
    AgentTool.make(child, { name: "ask", parameters })
    // @ts-expect-error no result
    AgentTool.make(child, { name: "ask", success: Schema.Int })
    AgentTool.make(child, {
      name: "ask",
      parameters: Schema.Struct({ prompt: Schema.String, tone: Schema.String })
    })
  })

  it("answers with the value of an agent that has an output", () => {
    const Height = Schema.Struct({ metres: Schema.FiniteFromString })
    const measuring = Agent.make("measuring", { output: Height })
    const asking = AgentTool.make(measuring, { name: "ask", success: Height })
    expectTypeOf<Tool.Success<typeof asking.tool>>().toEqualTypeOf<{ readonly metres: number }>()
    AgentTool.make(measuring, { name: "ask", result: ({ value }) => `${value.metres} m` })
    // @ts-expect-error its value is no text
    AgentTool.make(measuring, { name: "ask" })
    // @ts-expect-error its value is no number
    AgentTool.make(measuring, { name: "ask", success: Schema.Int })
  })

  it("of an agent that is given later has a name", () => {
    AgentTool.make(() => child, { name: "ask" })
    // @ts-expect-error no name
    AgentTool.make(() => child, {})
  })

  it("stands in a record, whose keys are the names of the tools", () => {
    const asking = AgentTool.make(child, { name: "ask", failureMode: "return" })
    const kit = AgentTool.toolkit({ writer: child, critic: asking })
    type Tools = Effect.Success<typeof kit>["tools"]
    expectTypeOf<keyof Tools>().toEqualTypeOf<"writer" | "critic">()
    expectTypeOf<Tools["writer"]["name"]>().toEqualTypeOf<"writer">()
    expectTypeOf<Tools["critic"]["name"]>().toEqualTypeOf<"critic">()
    expectTypeOf<Tool.Failure<Tools["writer"]>>().toEqualTypeOf<Errors>()
    expectTypeOf<Tool.Failure<Tools["critic"]>>().toEqualTypeOf<AgentTool.AgentFailed<Errors>>()
    expectTypeOf<Tool.Requirements<Tools["writer"]>>().toEqualTypeOf<Services>()
    const parent = Agent.make("parent", { toolkit: kit })
    expectTypeOf<Agent.Services<typeof parent>>().toEqualTypeOf<Services>()
    const measuring = Agent.make("measuring", { output: Schema.Int })
    const valued = AgentTool.toolkit({ measuring: AgentTool.make(measuring, { success: Schema.Int }) })
    expectTypeOf<Tool.Success<Effect.Success<typeof valued>["tools"]["measuring"]>>().toEqualTypeOf<number>()
    // @ts-expect-error its value is no text
    Agent.make("parent", { toolkit: AgentTool.toolkit({ measuring }) })
    // @ts-expect-error no agent
    Agent.make("parent", { toolkit: AgentTool.toolkit({ writer: "child" }) })
  })

  it("has its parts in those of the caller, not nested in one another", () => {
    const parent = Agent.make("parent", { toolkit: AgentTool.toolkit(AgentTool.make(child, { name: "ask" })) })
    type AgentPart = Extract<Agent.Part<typeof parent>, { readonly type: "agent-part" }>
    expectTypeOf<AgentPart["path"]>().toEqualTypeOf<readonly [string, ...Array<string>]>()
    expectTypeOf<Extract<AgentPart["part"], { readonly type: "agent-part" }>>().toBeNever()
    expectTypeOf<Extract<AgentPart["part"], { readonly type: "text-delta" }>["delta"]>().toEqualTypeOf<string>()
  })

  it("may be given a whole prompt", () => {
    AgentTool.make(child, { name: "ask", prompt: ({ prompt }): Prompt.RawInput => [{ role: "user", content: prompt }] })
  })
})

import { Effect, Schema } from "effect"
import { type AiError, type LanguageModel, Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, AgentTool, type ContextProvider, type Program } from "../../src/index.ts"

class OutOfInk extends Schema.TaggedError<OutOfInk>()("OutOfInk", {}) {}

declare const provider: ContextProvider.ContextProvider<OutOfInk, "Library">

const writer = Agent.make("writer", { providers: [provider] })
const look = Tool.make("look", { parameters: Schema.Struct({ id: Schema.Int }), success: Schema.Date })
const toolkit = AgentTool.toolkit(AgentTool.make(writer))

describe("Program", () => {
  it("has the failures that its program does not catch, and the services of its members", () => {
    const team = Agent.program("team", { toolkit, run: ({ prompt }, call) => call.writer({ prompt }) })
    type Expected = OutOfInk | AiError.AiError | AgentError.AgentError | Program.NotExecuted
    expectTypeOf<Agent.Error<typeof team>>().toEqualTypeOf<Expected>()
    expectTypeOf<Agent.Services<typeof team>>().toEqualTypeOf<LanguageModel.LanguageModel | "Library">()
  })

  it("has not those that its program catches", () => {
    const team = Agent.program("team", {
      toolkit,
      run: ({ prompt }, call) => Effect.catchTag(call.writer({ prompt }), "OutOfInk", () => Effect.succeed("nothing"))
    })
    type Expected = AiError.AiError | AgentError.AgentError | Program.NotExecuted
    expectTypeOf<Agent.Error<typeof team>>().toEqualTypeOf<Expected>()
  })

  it("has the failures of one member, and catches them by their tag", () => {
    const critic = Agent.make("critic")
    const both = Agent.program("team", {
      toolkit: AgentTool.toolkit({ writer, critic }),
      run: ({ prompt }, call) => Effect.flatMap(call.critic({ prompt }), (prompt) => call.writer({ prompt }))
    })
    type One = OutOfInk | AiError.AiError | AgentError.AgentError | Program.NotExecuted
    expectTypeOf<Agent.Error<typeof both>>().toEqualTypeOf<One>()
    expectTypeOf<Agent.Output<typeof both>>().toEqualTypeOf<string | undefined>()
    const caught = Agent.program("team", {
      toolkit: AgentTool.toolkit({ writer, critic }),
      run: ({ prompt }, call) =>
        Effect.gen(function*() {
          const draft = yield* call.critic({ prompt })
          return yield* call.writer({ prompt: draft }).pipe(
            Effect.catchTag("OutOfInk", () => call.critic({ prompt }))
          )
        })
    })
    type Expected = AiError.AiError | AgentError.AgentError | Program.NotExecuted
    expectTypeOf<Agent.Error<typeof caught>>().toEqualTypeOf<Expected>()
    Agent.program("team", {
      toolkit: AgentTool.toolkit({ writer, critic }),
      // @ts-expect-error Property 'editor' does not exist
      run: ({ prompt }, call) => call.editor({ prompt })
    })
  })

  it("has the value that its program gives, unless it waits", () => {
    const team = Agent.program("team", {
      toolkit: Toolkit.make(look),
      run: (_, call) => Effect.map(call.look({ id: 1 }), (date) => ({ date }))
    })
    expectTypeOf<Agent.Output<typeof team>>().toEqualTypeOf<{ date: Date } | undefined>()
  })

  it("has calls of its tools only, with their parameters", () => {
    Agent.program("team", {
      toolkit: Toolkit.make(look),
      // @ts-expect-error Property 'lok' does not exist
      run: (_, call) => call.lok({ id: 1 })
    })
    Agent.program("team", {
      toolkit: Toolkit.make(look),
      // @ts-expect-error Type 'string' is not assignable to type 'number'
      run: (_, call) => call.look({ id: "1" })
    })
    Agent.program("team", {
      toolkit: Toolkit.make(look),
      // @ts-expect-error Expected 1-2 arguments, but got 0
      run: (_, call) => call.look()
    })
  })
})

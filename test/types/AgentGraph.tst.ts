import { Effect, Schema } from "effect"
import type { AiError, LanguageModel } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, type ContextProvider, type Program } from "../../src/index.ts"
import { AgentGraph } from "../../src/orchestration/index.ts"

class OutOfInk extends Schema.TaggedError<OutOfInk>()("OutOfInk", {}) {}

declare const provider: ContextProvider.ContextProvider<OutOfInk, "Library">

const writer = Agent.make("writer", { providers: [provider] })
const judge = Agent.make("judge", { output: Schema.Struct({ good: Schema.Boolean }) })
declare const count: Effect.Effect<number, "uncountable", "Counter">

const graph = AgentGraph.make("article")
  .agent("draft", writer)
  .effect("words", {
    after: ["draft"],
    success: Schema.Int,
    failure: Schema.Literal("uncountable"),
    run: ({ draft }) => {
      expectTypeOf(draft).toEqualTypeOf<string>()
      return count
    }
  })
  .agent("check", judge, {
    after: ["draft", "words"],
    when: {
      words: (words) => {
        expectTypeOf(words).toEqualTypeOf<number>()
        return words > 3
      }
    },
    prompt: ({ draft, words }) => {
      expectTypeOf(draft).toEqualTypeOf<string>()
      expectTypeOf(words).toEqualTypeOf<number>()
      return draft
    }
  })
  .loop("check", "draft", { times: 2, when: ({ good }) => !good })

describe("AgentGraph", () => {
  it("fails and needs what its nodes do, and has the value of its last node", () => {
    const agent = AgentGraph.toAgent(graph)
    type Failure = OutOfInk | "uncountable" | AiError.AiError | AgentError.AgentError | Program.NotExecuted
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Failure>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<LanguageModel.LanguageModel | "Library" | "Counter">()
    expectTypeOf<Agent.Output<typeof agent>>().toEqualTypeOf<{ readonly good: boolean } | undefined>()
  })

  it("has the values of several last nodes by their names: of those that may be skipped too", () => {
    const several = AgentGraph.make("several")
      .agent("draft", writer)
      .agent("short", writer, { after: ["draft"], when: { draft: (draft) => draft.length > 9 } })
      .agent("poem", writer, { after: ["draft"] })
    const agent = AgentGraph.toAgent(several)
    expectTypeOf<Agent.Output<typeof agent>>().toEqualTypeOf<
      { readonly short: string | undefined; readonly poem: string } | undefined
    >()
    const outer = AgentGraph.make("outer").add("inner", several).effect("end", {
      after: ["inner"],
      success: Schema.String,
      run: ({ inner }) => {
        expectTypeOf(inner).toEqualTypeOf<{ readonly short: string | undefined; readonly poem: string }>()
        return Effect.succeed(inner.poem)
      }
    })
    expectTypeOf(AgentGraph.initial(outer).nodes.end.status).toEqualTypeOf<AgentGraph.Status>()
  })

  it("has values of several nodes that may be skipped, and none of a node that it does not come after", () => {
    AgentGraph.make("merge")
      .agent("draft", writer)
      .agent("short", writer, { after: ["draft"], when: { draft: () => true } })
      .agent("end", writer, {
        after: ["draft", "short"],
        prompt: ({ draft, short }) => {
          expectTypeOf(draft).toEqualTypeOf<string>()
          expectTypeOf(short).toEqualTypeOf<string | undefined>()
          return draft
        }
      })
      .agent("only", writer, {
        after: ["short"],
        prompt: ({ short }) => {
          expectTypeOf(short).toEqualTypeOf<string>()
          return short
        }
      })
  })

  it("has no value of an inner graph that may have none", () => {
    const inner = AgentGraph.make("inner")
      .agent("draft", writer)
      .agent("a", writer, { after: ["draft"], when: { draft: () => true } })
      .agent("b", writer, { after: ["draft"], when: { draft: () => false } })
    AgentGraph.make("outer").add("inner", inner).agent("other", writer).agent("end", writer, {
      after: ["inner", "other"],
      prompt: ({ inner }) => {
        expectTypeOf(inner).toEqualTypeOf<
          { readonly a: string | undefined; readonly b: string | undefined } | undefined
        >()
        return ""
      }
    })
  })

  it("has names of its own nodes only", () => {
    // @ts-expect-error Type '"drat"' is not assignable to type '"draft" | "words" | "check"'
    graph.agent("end", writer, { after: ["drat"] })
    // @ts-expect-error 'words' does not exist in type
    graph.agent("end", writer, { after: ["draft"], when: { words: () => true } })
    // @ts-expect-error '"chek"' is not assignable to parameter of type
    graph.loop("chek", "draft", { times: 1, when: () => true })
    // @ts-expect-error Argument of type 'string' is not assignable to parameter of type 'never'
    graph.agent("draft", writer)
    graph.effect("end", {
      after: ["draft"],
      success: Schema.String,
      // @ts-expect-error Property 'words' does not exist on type
      run: ({ words }) => Effect.succeed(words)
    })
    // @ts-expect-error Type 'number' is not assignable to type 'string'
    graph.effect("end", { success: Schema.String, run: () => Effect.succeed(1) })
  })
})

import { Context, Effect, Schema } from "effect"
import { describe, expectTypeOf, it } from "vitest"
import { Agent, type AgentError, ContextProvider } from "../../src/index.ts"
import type { AiError, LanguageModel } from "effect/ai"

class DiskFull extends Schema.TaggedError<DiskFull>()("DiskFull", {}) {}
class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}
class Offline extends Schema.TaggedError<Offline>()("Offline", {}) {}
class Disk extends Context.Service<Disk, { readonly write: Effect.Effect<void, DiskFull> }>()("Disk") {}
class Audit extends Context.Service<Audit, { readonly begin: Effect.Effect<void, Refused> }>()("Audit") {}

describe("what a provider contributes", () => {
  const journal = ContextProvider.make("journal", {
    beforeRun: () =>
      Effect.succeed({
        atStart: () => Effect.flatMap(Audit, ({ begin }) => begin),
        everyStep: ({ step }: ContextProvider.FinishedStep) =>
          step.index === 0 ? Effect.flatMap(Disk, ({ write }) => write) : Effect.fail(new Offline())
      })
  })

  it("has the errors and the services of its functions", () => {
    expectTypeOf(journal).toEqualTypeOf<
      ContextProvider.ContextProvider<DiskFull | Refused | Offline, Disk | Audit>
    >()
    expectTypeOf<ContextProvider.Error<typeof journal>>().toEqualTypeOf<DiskFull | Refused | Offline>()
    expectTypeOf<ContextProvider.Services<typeof journal>>().toEqualTypeOf<Disk | Audit>()
  })

  it("gives them to the agent", () => {
    const agent = Agent.make("agent", { providers: [journal] })
    const run = Agent.run(agent, { prompt: "hi" })
    expectTypeOf<Effect.Error<typeof run>>().toEqualTypeOf<
      AiError.AiError | AgentError.AgentError | DiskFull | Refused | Offline
    >()
    expectTypeOf<Effect.Services<typeof run>>().toEqualTypeOf<LanguageModel.LanguageModel | Disk | Audit>()
  })

  it("has none of functions that it may leave out", () => {
    const sometimes = ContextProvider.make("sometimes", {
      beforeRun: ({ session }) =>
        Effect.succeed({
          atStart: session === undefined ? undefined : () => Effect.fail(new Offline()),
          everyStep: undefined
        })
    })
    expectTypeOf(sometimes).toEqualTypeOf<ContextProvider.ContextProvider<Offline, never>>()
  })
})

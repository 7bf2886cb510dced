import { Context, Effect, Schema } from "effect"
import { type AiError, Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import {
  Agent,
  type AgentError,
  type AgentRun,
  Middleware,
  type Session,
  SessionHistory,
  type SessionStore
} from "../../src/index.ts"
import { CopilotAgent, type CopilotError, CopilotRuntime } from "../../src/copilot/index.ts"

class Refused extends Schema.TaggedError<Refused>()("Refused", {}) {}
class CityUnknown extends Schema.TaggedError<CityUnknown>()("CityUnknown", { city: Schema.String }) {}
class Policy extends Context.Service<Policy, { readonly allows: (kind: string) => boolean }>()("Policy") {}

const Weather = Tool.make("get_weather", {
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.String,
  failure: CityUnknown
})

describe("CopilotAgent.make", () => {
  it("adds what the runtime can fail with, and needs the runtime alone", () => {
    const agent = CopilotAgent.make("plain", { model: "m" })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<CopilotError.CopilotError | AgentError.AgentError>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<CopilotRuntime.CopilotRuntime>()
  })

  it("infers the rest from tools, providers, middleware and the permission handler", () => {
    const agent = CopilotAgent.make("whole", {
      model: "m",
      toolkit: Toolkit.make(Weather),
      providers: [SessionHistory.provider],
      permissions: (request) =>
        Effect.flatMap(
          Policy,
          ({ allows }) => allows(request.kind) ? Effect.succeed(CopilotAgent.approve) : Effect.fail(new Refused())
        )
    })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<
      | CopilotError.CopilotError
      | AgentError.AgentError
      | CityUnknown
      | AiError.AiError
      | Session.SessionError
      | Refused
    >()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<
      | CopilotRuntime.CopilotRuntime
      | Tool.HandlersFor<{ readonly get_weather: typeof Weather }>
      | SessionStore.SessionStore
      | Policy
    >()
    const around = Agent.withMiddleware(
      agent,
      Middleware.make("m", { tool: (request, next) => next(request) })
    )
    expectTypeOf<Agent.Error<typeof around>>().toEqualTypeOf<Agent.Error<typeof agent>>()
  })

  it("gives a result without a value, and is runnable when the runtime is there", () => {
    const agent = CopilotAgent.make("plain", { model: "m" })
    const run = Agent.run(agent, { prompt: "hi" })
    expectTypeOf(run).toEqualTypeOf<
      Effect.Effect<
        AgentRun.Result<undefined>,
        CopilotError.CopilotError | AgentError.AgentError,
        CopilotRuntime.CopilotRuntime
      >
    >()
    expectTypeOf(Effect.provide(run, CopilotRuntime.layer())).toEqualTypeOf<
      Effect.Effect<AgentRun.Result<undefined>, CopilotError.CopilotError | AgentError.AgentError>
    >()
  })

  it("does not take what is the run's for a setting", () => {
    // @ts-expect-error the run listens to the session
    CopilotAgent.make("wrong", { model: "m", settings: { onEvent: () => {} } })
    // @ts-expect-error a model has to be named
    CopilotAgent.make("wrong", {})
    // @ts-expect-error no decision is not a decision
    CopilotAgent.make("wrong", { model: "m", permissions: () => Effect.succeed({ kind: "no-result" } as const) })
  })
})

import { type Cause, Context, Effect, type Layer, Schema, type Scope, Stream } from "effect"
import { type AiError, type LanguageModel, type Response, Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import {
  Agent,
  type AgentError,
  AgentRun,
  ContextProvider,
  Middleware,
  SessionHistory,
  type SessionStore,
  StopCondition,
  ToolLoop
} from "../../src/index.ts"

class CityUnknown extends Schema.TaggedError<CityUnknown>()("CityUnknown", { city: Schema.String }) {}
class ProfileError extends Schema.TaggedError<ProfileError>()("ProfileError", {}) {}
class QuotaExceeded extends Schema.TaggedError<QuotaExceeded>()("QuotaExceeded", {}) {}
class Profiles
  extends Context.Service<Profiles, { readonly name: Effect.Effect<string, ProfileError> }>()("Profiles")
{}
class Quota extends Context.Service<Quota, { readonly left: number }>()("Quota") {}
class Atlas extends Context.Service<Atlas, { readonly cities: ReadonlyArray<string> }>()("Atlas") {}

const Weather = Tool.make("get_weather", {
  parameters: Schema.Struct({ city: Schema.String }),
  success: Schema.Struct({ celsius: Schema.Finite }),
  failure: CityUnknown
})
const Lenient = Tool.make("lenient", { success: Schema.String, failure: CityUnknown, failureMode: "return" })
const Dependent = Tool.make("dependent", { success: Schema.String, dependencies: [Atlas] })
const toolkit = Toolkit.make(Weather)

const profile = ContextProvider.make("profile", {
  beforeRun: Effect.fnUntraced(function*() {
    const profiles = yield* Profiles
    return { instructions: yield* profiles.name }
  })
})

type Failure<A> = A extends Stream.Stream<infer _A, infer E, infer _R> ? E : never
type Needs<A> = A extends Stream.Stream<infer _A, infer _E, infer R> ? R : never
const input = { prompt: "hi" }

type Always = AiError.AiError | AgentError.AgentError

describe("Agent.make", () => {
  it("of a name only needs a model", () => {
    const agent = Agent.make("plain")
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Always>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    const run = Agent.run(agent, input)
    expectTypeOf<Effect.Success<typeof run>>().toExtend<AgentRun.Result>()
    expectTypeOf<Effect.Error<typeof run>>().toEqualTypeOf<Always>()
    expectTypeOf<Effect.Services<typeof run>>().toEqualTypeOf<LanguageModel.LanguageModel>()
  })

  it("E and R come from tools, providers and the model", () => {
    const agent = Agent.make("assistant", {
      description: "Answers questions about the weather",
      instructions: "You are terse.",
      toolkit,
      providers: [SessionHistory.provider, profile]
    })
    const stream = Agent.stream(agent, input)
    expectTypeOf<
      Exclude<Failure<typeof stream>, Always | CityUnknown | ProfileError | { readonly _tag: "SessionError" }>
    >()
      .toEqualTypeOf<never>()
    expectTypeOf<CityUnknown>().toExtend<Failure<typeof stream>>()
    expectTypeOf<ProfileError>().toExtend<Failure<typeof stream>>()
    expectTypeOf<Needs<typeof stream>>().toEqualTypeOf<
      | LanguageModel.LanguageModel
      | SessionStore.SessionStore
      | Profiles
      | Tool.HandlersFor<{ readonly get_weather: typeof Weather }>
    >()
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Failure<typeof stream>>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<Needs<typeof stream>>()
    const run = Agent.run(agent, input)
    expectTypeOf<Effect.Error<typeof run>>().toEqualTypeOf<Failure<typeof stream>>()
    expectTypeOf<Effect.Services<typeof run>>().toEqualTypeOf<Needs<typeof stream>>()
  })

  it("a tool whose failures go to the model adds none", () => {
    const agent = Agent.make("lenient", { toolkit: Toolkit.make(Lenient) })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Always>()
    const run = Agent.run(agent, input)
    // @ts-expect-error CityUnknown is not among the failures
    expectTypeOf(Effect.catchTag(run, "CityUnknown", () => Effect.void))
  })

  it("a tool's request-level services are needed by who runs the agent", () => {
    const agent = Agent.make("dependent", { toolkit: Toolkit.make(Dependent) })
    expectTypeOf<Atlas>().toExtend<Agent.Services<typeof agent>>()
  })

  it("a toolkit given as an effect adds what it fails with and needs", () => {
    const effect = Effect.gen(function*() {
      const quota = yield* Quota
      if (quota.left === 0) return yield* new QuotaExceeded()
      return yield* toolkit
    })
    const agent = Agent.make("late", { toolkit: effect })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Always | QuotaExceeded | CityUnknown>()
    expectTypeOf<Quota>().toExtend<Agent.Services<typeof agent>>()
  })

  it("a resolved toolkit leaves no handlers to provide", () => {
    const handlers = toolkit.toLayer({ get_weather: () => Effect.succeed({ celsius: 20 }) })
    const run = Agent.run(Agent.make("a", { toolkit }), input).pipe(Effect.provide(handlers))
    expectTypeOf<Effect.Services<typeof run>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    expectTypeOf<Layer.Error<typeof handlers>>().toEqualTypeOf<never>()
  })

  it("a middleware adds its own E and R, and nothing of what it is around", () => {
    const passing = Middleware.make("passing", {
      agent: (request, next) => next(request),
      model: (request, next) => next(request),
      tool: (request, next) => next(request)
    })
    const plain = Agent.make("plain", { middleware: [passing] })
    expectTypeOf<Agent.Error<typeof plain>>().toEqualTypeOf<Always>()
    expectTypeOf<Agent.Services<typeof plain>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    const inline = Agent.make("inline", {
      middleware: [Middleware.make("m", { agent: (request, next) => next(request) })]
    })
    expectTypeOf<Agent.Error<typeof inline>>().toEqualTypeOf<Always>()
    expectTypeOf<Agent.Services<typeof inline>>().toEqualTypeOf<LanguageModel.LanguageModel>()

    const limited = Middleware.make("limited", {
      model: (request, next) =>
        Stream.unwrap(
          Effect.flatMap(
            Quota,
            ({ left }) => left > 0 ? Effect.succeed(next(request)) : Effect.fail(new QuotaExceeded())
          )
        )
    })
    const agent = Agent.make("agent", { middleware: [limited] })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Always | QuotaExceeded>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<LanguageModel.LanguageModel | Quota>()
    const piped = Agent.make("agent").pipe(Agent.withMiddleware(limited))
    expectTypeOf<Agent.Error<typeof piped>>().toEqualTypeOf<Always | QuotaExceeded>()
    expectTypeOf<Agent.Services<typeof piped>>().toEqualTypeOf<LanguageModel.LanguageModel | Quota>()
  })

  it("parts are told apart by their type", () => {
    const agent = Agent.make("agent", { toolkit })
    type Part = Agent.Part<typeof agent>
    expectTypeOf<Extract<Part, { readonly type: "run-end" }>["result"]>().toExtend<AgentRun.Result>()
    expectTypeOf<Extract<Part, { readonly type: "text-delta" }>>().toEqualTypeOf<Response.TextDeltaPart>()
    expectTypeOf<Extract<Part, { readonly type: "step-end" }>["step"]>().toEqualTypeOf<AgentRun.Step>()
    type ToolResult = Exclude<Extract<Part, { readonly type: "tool-result" }>, AgentRun.SynthesizedToolResult>
    expectTypeOf<Extract<ToolResult, { readonly isFailure: false }>["result"]>().toEqualTypeOf<
      { readonly celsius: number }
    >()
    expectTypeOf<Extract<ToolResult, { readonly isFailure: false }>["name"]>().toEqualTypeOf<"get_weather">()
  })

  it("refuses what is not an option", () => {
    // @ts-expect-error 'tools' does not exist
    Agent.make("agent", { tools: [] })
    // @ts-expect-error a middleware is not a provider
    Agent.make("agent", { providers: [Middleware.make("m", {})] })
    // @ts-expect-error a string is not a stop condition
    Agent.make("agent", { stopWhen: ["step-limit"] })
    // @ts-expect-error a prompt is needed
    expectTypeOf(Agent.run(Agent.make("agent"), {}))
  })
})

describe("ContextProvider.make", () => {
  it("E and R come from beforeRun, R from afterRun too; its scope is the run's", () => {
    const provider = ContextProvider.make("p", {
      beforeRun: () =>
        Effect.gen(function*() {
          yield* Effect.addFinalizer(() => Effect.void)
          const { name } = yield* Profiles
          return { instructions: yield* name }
        }),
      afterRun: () => Effect.flatMap(Quota, () => Effect.fail("not in E: it is an AgentError"))
    })
    expectTypeOf(provider).toEqualTypeOf<ContextProvider.ContextProvider<ProfileError, Profiles | Quota>>()
  })

  it("needs nothing when it uses nothing, also written where it is used", () => {
    expectTypeOf(ContextProvider.make("p", { beforeRun: () => Effect.void })).toEqualTypeOf<
      ContextProvider.ContextProvider
    >()
    const agent = Agent.make("agent", {
      providers: [
        ContextProvider.make("p", { beforeRun: () => Effect.succeed({ instructions: "a" }) }),
        ContextProvider.bestEffort(ContextProvider.make("q", { beforeRun: () => Effect.void }))
      ]
    })
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Always>()
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<LanguageModel.LanguageModel>()
  })

  it("tells afterRun the state that beforeRun has given", () => {
    ContextProvider.make("p", {
      beforeRun: () => Effect.succeed({ state: { count: 1 } }),
      afterRun: ({ result, state }) => {
        expectTypeOf(state).toEqualTypeOf<{ count: number }>()
        expectTypeOf(result).toExtend<AgentRun.Result>()
        return Effect.void
      }
    })
    ContextProvider.make("p", {
      beforeRun: () => Effect.succeed({ state: 1 }),
      // @ts-expect-error Property 'length' does not exist on type 'number'
      afterRun: ({ state }) => Effect.succeed(state.length)
    })
  })

  it("adds the failures of the tools and the middleware that it contributes", () => {
    const provider = ContextProvider.make("p", {
      beforeRun: () => Effect.map(toolkit, (resolved) => ({ toolkit: resolved }))
    })
    expectTypeOf<ContextProvider.Error<typeof provider>>().toEqualTypeOf<CityUnknown | AiError.AiError>()
    const limiting = ContextProvider.make("p", {
      beforeRun: () =>
        Effect.succeed({ middleware: Middleware.make("m", { tool: () => Stream.fail(new QuotaExceeded()) }) })
    })
    expectTypeOf<ContextProvider.Error<typeof limiting>>().toEqualTypeOf<QuotaExceeded>()
  })

  it("refuses a contribution that is none", () => {
    // @ts-expect-error a number is not instructions
    ContextProvider.make("p", { beforeRun: () => Effect.succeed({ instructions: 1 }) })
  })
})

describe("Middleware.make", () => {
  it("its failures are its own: what passes through is not among them", () => {
    const caught = Middleware.make("m", {
      model: (request, next) => Stream.catchTag(next(request), "AiError", () => Stream.fail(new QuotaExceeded()))
    })
    expectTypeOf<Middleware.Error<typeof caught>>().toEqualTypeOf<QuotaExceeded>()
    expectTypeOf(Middleware.make("m", { tool: (request, next) => next(request) })).toEqualTypeOf<
      Middleware.Middleware
    >()
  })

  it("the stream of a place gives the parts of that place", () => {
    Middleware.make("m", {
      // @ts-expect-error a string is not a part
      model: () => Stream.succeed("text")
    })
  })
})

describe("AgentRun", () => {
  it("matchOutcome gives what its cases give, and each case what there is", () => {
    const match = AgentRun.matchOutcome({
      onCompleted: ({ text }) => text,
      onFailed: (_cause, partial) => partial.steps.length,
      onInterrupted: () => true as const,
      onAbandoned: () => undefined
    })
    expectTypeOf<ReturnType<typeof match>>().toEqualTypeOf<string | number | true | undefined>()
  })

  it("an outcome keeps the error of its run", () => {
    expectTypeOf<Extract<AgentRun.Outcome<CityUnknown>, { readonly _tag: "Failed" }>["cause"]>().toExtend<
      Cause.Cause<CityUnknown>
    >()
  })
})

describe("ToolLoop", () => {
  it("ask fails with the model and with its middleware", () => {
    const limited = Middleware.make("limited", { model: () => Stream.fail(new QuotaExceeded()) })
    const request = {} as Middleware.ModelRequest
    expectTypeOf(ToolLoop.ask(request)).toExtend<
      Stream.Stream<unknown, AiError.AiError, LanguageModel.LanguageModel>
    >()
    const asked = ToolLoop.ask(request, [limited])
    expectTypeOf<Failure<typeof asked>>().toEqualTypeOf<AiError.AiError | QuotaExceeded>()
  })

  it("the knobs are references: nobody needs to provide them", () => {
    const run = Agent.run(Agent.make("a", { stopWhen: [StopCondition.stepCount(2)] }), input).pipe(
      Effect.provideService(ToolLoop.ToolConcurrency, 2),
      Effect.provideService(ToolLoop.ToolTimeout, "1 second")
    )
    expectTypeOf<Effect.Services<typeof run>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    expectTypeOf<Scope.Scope>().not.toExtend<Effect.Services<typeof run>>()
  })
})

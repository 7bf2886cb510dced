import { Context, Effect, Layer, Schema, type Scope, type Stream } from "effect"
import { type AiError, LanguageModel, Model, Tool, Toolkit } from "effect/ai"
import { describe, expectTypeOf, it } from "vitest"
import {
  Agent,
  type AgentError,
  type AgentRun,
  AgentTool,
  ContextProvider,
  ModelFallback,
  SessionHistory,
  SessionStore
} from "../../src/index.ts"
import { AiSdk } from "../../src/ai-sdk/index.ts"

class Missing extends Schema.TaggedError<Missing>()("Missing", {}) {}
class NoKey extends Schema.TaggedError<NoKey>()("NoKey", {}) {}
class Key extends Context.Service<Key, string>()("Key") {}
class Profiles extends Context.Service<Profiles, string>()("Profiles") {}

type Always = AiError.AiError | AgentError.AgentError

const Look = Tool.make("look", { success: Schema.String, failure: Missing })
const kit = Toolkit.make(Look)
type Handlers = Tool.HandlersFor<{ readonly look: typeof Look }>

const model = {} as Layer.Layer<LanguageModel.LanguageModel, NoKey, Key>
const profile = ContextProvider.make("profile", {
  beforeRun: () =>
    Effect.flatMap(
      Profiles,
      (name) => name === "" ? Effect.fail(new Missing()) : Effect.succeed({ instructions: name })
    )
})
const input = { prompt: "hi" }

describe("Agent.provide", () => {
  it("takes what the layer gives out of R, and adds what it needs and fails with", () => {
    const agent = Agent.make("agent", { toolkit: kit, providers: [SessionHistory.provider] })
    const provided = agent.pipe(Agent.provide(model))
    expectTypeOf<Agent.Services<typeof provided>>().toEqualTypeOf<Key | SessionStore.SessionStore | Handlers>()
    expectTypeOf<NoKey>().toExtend<Agent.Error<typeof provided>>()
    expectTypeOf(Agent.provide(agent, model)).toEqualTypeOf(provided)
    expectTypeOf<Agent.Part<typeof provided>>().toEqualTypeOf<Agent.Part<typeof agent>>()
    const whole = Agent.provide(
      provided,
      Layer.mergeAll(
        SessionStore.layerMemory,
        kit.toLayer({ look: () => Effect.succeed("") }),
        Layer.succeed(Key, "key")
      )
    )
    expectTypeOf<Agent.Services<typeof whole>>().toEqualTypeOf<never>()
  })

  it("takes a context", () => {
    const agent = Agent.make("agent", { providers: [profile] })
    const provided = Agent.provide(agent, Context.make(Profiles, "Ada"))
    expectTypeOf<Agent.Services<typeof provided>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    expectTypeOf(agent.pipe(Agent.provide(Context.make(Profiles, "Ada")))).toEqualTypeOf(provided)
  })

  it("leaves what is put around it later", () => {
    const agent = Agent.make("agent").pipe(Agent.provide(Layer.succeed(Profiles, "Ada")), Agent.withProvider(profile))
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<LanguageModel.LanguageModel | Profiles>()
  })

  it("refuses a service that is none", () => {
    // @ts-expect-error a string is no layer
    Agent.provide(Agent.make("agent"), "key")
  })
})

describe("what a model call is made with", () => {
  it("an agent with a model needs what its model needs", () => {
    const agent = Agent.make("agent", { model })
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<Key>()
    expectTypeOf<Agent.Error<typeof agent>>().toEqualTypeOf<Always | NoKey>()
    const named = Agent.make("agent", {
      model: Model.make("p", "n", Layer.succeed(LanguageModel.LanguageModel, {} as any))
    })
    expectTypeOf<Agent.Services<typeof named>>().toEqualTypeOf<never>()
    expectTypeOf<Agent.Error<typeof named>>().toEqualTypeOf<Always>()
    const effect = {} as Effect.Effect<LanguageModel.LanguageModel, NoKey, Key | Scope.Scope>
    const made = Agent.make("agent", { model: effect })
    expectTypeOf<Agent.Services<typeof made>>().toEqualTypeOf<Key>()
    expectTypeOf<Agent.Error<typeof made>>().toEqualTypeOf<Always | NoKey>()
  })

  it("so do its middleware and its providers, and not its tools", () => {
    const agent = Agent.make("agent", { model, middleware: [ModelFallback.retry(ModelFallback.backoff())] })
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<Key>()
    const nested = AgentTool.toolkit(AgentTool.make(Agent.make("nested")))
    const lead = Agent.make("lead", { model, toolkit: nested })
    expectTypeOf<Agent.Services<typeof lead>>().toEqualTypeOf<Key | LanguageModel.LanguageModel>()
  })

  it("a model that may be undefined may have to come from the context", () => {
    const maybe = {} as Layer.Layer<LanguageModel.LanguageModel> | undefined
    const agent = Agent.make("agent", { model: maybe })
    expectTypeOf<Agent.Services<typeof agent>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    const none = Agent.make("agent", { model: undefined })
    expectTypeOf<Agent.Services<typeof none>>().toEqualTypeOf<LanguageModel.LanguageModel>()
  })

  it("settings are those of a provider", () => {
    Agent.make("agent", { settings: AiSdk.settings({ temperature: 0 }) })
    Agent.make("agent", { settings: Context.add(Profiles, "Ada") })
    // @ts-expect-error AiSdk has no such setting
    Agent.make("agent", { settings: AiSdk.settings({ warmth: 0 }) })
    // @ts-expect-error the settings of no provider
    Agent.make("agent", { settings: { temperature: 0 } })
  })

  it("a tool choice names tools of the agent", () => {
    Agent.make("agent", { toolkit: kit, toolChoice: { tool: "look" } })
    Agent.make("agent", { toolkit: kit, toolChoice: ({ length }) => length > 0 ? "auto" : { oneOf: ["look"] } })
    Agent.make("agent", { providers: [profile], toolChoice: { tool: "of a provider" } })
    // @ts-expect-error no such tool
    Agent.make("agent", { toolkit: kit, toolChoice: { tool: "lock" } })
  })

  it("refuses a model that is none", () => {
    // @ts-expect-error a layer of something else
    Agent.make("agent", { model: Layer.succeed(Profiles, "Ada") })
    // @ts-expect-error a name is no model
    Agent.make("agent", { model: "gpt-5" })
  })
})

describe("what one run is given", () => {
  const agent = Agent.make("agent")

  it("shows in the type of that run", () => {
    const stream = Agent.stream(agent, { ...input, providers: [profile], toolkit: kit })
    expectTypeOf(stream).toEqualTypeOf<
      Stream.Stream<
        AgentRun.Part<{ readonly look: typeof Look }, undefined, never>,
        Always | Missing,
        LanguageModel.LanguageModel | Profiles | Handlers
      >
    >()
    const run = Agent.run(agent, { ...input, providers: [profile] })
    expectTypeOf<Effect.Error<typeof run>>().toEqualTypeOf<Always | Missing>()
    expectTypeOf<Effect.Services<typeof run>>().toEqualTypeOf<LanguageModel.LanguageModel | Profiles>()
    const late = Agent.run(agent, { ...input, toolkit: Effect.flatMap(Key, () => kit) })
    expectTypeOf<Effect.Services<typeof late>>().toEqualTypeOf<LanguageModel.LanguageModel | Key | Handlers>()
  })

  it("so it does where a run goes on", () => {
    const resumed = Agent.resume(agent, { session: "s", providers: [profile], toolkit: kit }, [])
    expectTypeOf<Effect.Error<typeof resumed>>().toEqualTypeOf<Always | Missing>()
    expectTypeOf<Effect.Services<typeof resumed>>().toEqualTypeOf<LanguageModel.LanguageModel | Profiles | Handlers>()
    const continued = Agent.continue(agent, { session: "s", providers: [profile] })
    expectTypeOf<Effect.Services<typeof continued>>().toEqualTypeOf<LanguageModel.LanguageModel | Profiles>()
    expectTypeOf(Agent.resumeStream(agent, { session: "s" }, [])).toEqualTypeOf(agent.stream(input))
    expectTypeOf(Agent.continueStream(agent, { session: "s" })).toEqualTypeOf(agent.stream(input))
  })

  it("nothing given adds nothing, with an input of any origin", () => {
    const given: Agent.Input = input
    expectTypeOf(Agent.stream(agent, given)).toEqualTypeOf(agent.stream(given))
    expectTypeOf<Effect.Error<ReturnType<typeof plain>>>().toEqualTypeOf<Always>()
    const plain = () => Agent.run(agent, given)
  })

  it("the parts of its tools are beside those of the agent", () => {
    const own = Tool.make("own", { success: Schema.Finite })
    const stream = Agent.stream(Agent.make("agent", { toolkit: Toolkit.make(own) }), { ...input, toolkit: kit })
    type Result = Exclude<
      Extract<Stream.Success<typeof stream>, { readonly type: "tool-result" }>,
      AgentRun.SynthesizedToolResult
    >
    expectTypeOf<Result["name"]>().toEqualTypeOf<"own" | "look">()
  })

  it("is handed on by a program, whose own type has it already", () => {
    const program = Agent.fromStream("program", { stream: (input) => Agent.stream(agent, input) })
    expectTypeOf<Agent.Error<typeof program>>().toEqualTypeOf<Always>()
    expectTypeOf<Agent.Services<typeof program>>().toEqualTypeOf<LanguageModel.LanguageModel>()
    const more = Agent.withProvider(program, profile)
    expectTypeOf<Agent.Error<typeof more>>().toEqualTypeOf<Always | Missing>()
    expectTypeOf<Agent.Services<typeof more>>().toEqualTypeOf<LanguageModel.LanguageModel | Profiles>()
  })

  it("refuses what is none", () => {
    // @ts-expect-error a tool is no toolkit
    expectTypeOf(Agent.run(agent, { ...input, toolkit: Look }))
    // @ts-expect-error a string is no provider
    expectTypeOf(Agent.run(agent, { ...input, providers: ["profile"] }))
  })
})

describe("Agent.open", () => {
  it("fails before the first part and later with what the run fails with, and needs a scope", () => {
    const agent = Agent.make("agent", { model })
    const opening = Agent.open(agent, { ...input, providers: [profile] })
    type Failure = Always | NoKey | Missing
    expectTypeOf<Effect.Error<typeof opening>>().toEqualTypeOf<Failure>()
    expectTypeOf<Effect.Services<typeof opening>>().toEqualTypeOf<Key | Profiles | Scope.Scope>()
    type Opened = Effect.Success<typeof opening>
    expectTypeOf<Opened["start"]>().toEqualTypeOf<AgentRun.RunStart>()
    expectTypeOf<Opened["parts"]>().toEqualTypeOf<Stream.Stream<Agent.Part<typeof agent>, Failure>>()
  })
})

describe("Agent.tools", () => {
  it("are those of the toolkit, by name", () => {
    expectTypeOf(Agent.tools(Agent.make("agent", { toolkit: kit }))).toEqualTypeOf<
      Readonly<{ readonly look: typeof Look }> | undefined
    >()
  })
})

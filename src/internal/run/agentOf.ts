/**
 * Makes an agent from the definition of its runs.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
// this module makes agents; their types are in `Agent`
import type * as Agent from "../../Agent.ts"
import type * as AgentRun from "../../AgentRun.ts"
import * as ContextProvider from "../../ContextProvider.ts"
import * as Middleware from "../../Middleware.ts"
import * as Origin from "../approval/origin.ts"
import * as Layered from "./layered.ts"
import { Seen } from "./seen.ts"
import type * as Lifecycle from "./lifecycle.ts"
import * as RunStream from "./stream.ts"
import * as OwnModel from "../model/ownModel.ts"
import * as NestedTools from "../tool/nested.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as ToolHandler from "../tool/handler.ts"
import * as CurrentRun from "../words/currentRun.ts"
import type * as Misuse from "../words/misuse.ts"
import * as RunId from "../words/runId.ts"

/**
 * The prototype of every agent.
 *
 * @category prototypes
 * @since 0.1.0
 */
export const Proto = {
  ["~effect-agents/Agent" satisfies Agent.TypeId]: "~effect-agents/Agent" satisfies Agent.TypeId,
  pipe() {
    return pipeArguments(this, arguments)
  }
}

/**
 * How the runs of an agent are made, and how an agent with other services, providers or middleware is derived.
 *
 * @category models
 * @since 0.1.0
 */
export interface Making {
  readonly stream: (input: Agent.Input, around?: Layered.Within) => Stream.Stream<AgentRun.Part, any, any>
  readonly withMiddleware: (middleware: Middleware.Any) => Making
  readonly withProvider: (provider: ContextProvider.Any) => Making
  /** The schema of the `value` of the results, where it is known. */
  readonly value?: Schema.Constraint | undefined
}

const makings = new WeakMap<object, Making>()

/**
 * Creates an agent from the functions that make its runs.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromMaking = (
  of: Pick<Agent.Any, "description" | "name">,
  making: Making,
  tools: Readonly<Record<string, Tool.Any>> | undefined
): Agent.Agent<any, any, any, any, never> => {
  const self: Agent.Agent<any, any, any, any, never> = Object.assign(Object.create(Proto), {
    name: of.name,
    description: of.description,
    stream: (input: Agent.Input) => making.stream(input),
    withMiddleware: (outer: Middleware.Any) => fromMaking(self, making.withMiddleware(outer), tools)
  })
  makings.set(self, making)
  // it may be made of another agent
  if (NestedTools.isWhole(of)) NestedTools.rememberWhole(self)
  return NestedTools.remember(self, tools, making.value)
}

/**
 * Returns the functions that make the runs of an agent.
 *
 * @category accessors
 * @since 0.1.0
 */
export const makingOf = (agent: Agent.Any): Making => makings.get(agent) ?? ofFunction(agent.name, agent.stream)

/**
 * Runs an agent with the providers and tools that its input adds. Parts, failures and services are those of the agent and
 * of the additions.
 *
 * @category running
 * @since 0.1.0
 */
export const forRun = <Part extends AgentRun.Part, E, R>(
  agent: Agent.Any,
  input: Agent.Input & Agent.Added<ReadonlyArray<ContextProvider.Any>, any, any, any>
): Stream.Stream<Part, E, R> => {
  if (input.providers === undefined && input.toolkit === undefined) {
    return CurrentRun.streamMadeHere(input, agent.stream(input) as Stream.Stream<any, any, any>)
  }
  const { providers = [], toolkit, ...own } = input
  const added = toolkit === undefined ? providers : [...providers, inputTools(toolkit, providers)]
  const stream: Stream.Stream<any, any, any> = Stream.suspend(() =>
    added.reduce((making, one) => making.withProvider(one), makingOf(agent)).stream(own)
  )
  return CurrentRun.streamMadeHere(input, stream)
}

/** A function to a stream may pass on the tools of its input, and add tools of its own. */
const inputTools = (
  toolkit: Effect.Effect<Toolkit.WithHandler<any>, any, any> | Misuse.NotAToolkit,
  beside: ReadonlyArray<ContextProvider.Any>
): ContextProvider.Any => {
  const name = "the tools of the input"
  const before = beside.filter((provider) => provider.name.startsWith(name)).length
  return ContextProvider.make(before === 0 ? name : `${name} (${before + 1})`, {
    // the compiler has refused every other value
    beforeRun: () => Effect.map(toolkit as Effect.Effect<Toolkit.WithHandler<any>>, (toolkit) => ({ toolkit }))
  })
}

/**
 * The runs of an agent that is a function to a stream. Its providers are in its input. Of a middleware, only the function
 * around a run applies.
 *
 * @category constructors
 * @since 0.1.0
 */
export const ofFunction = (
  name: string,
  stream: (input: Agent.ProgramInput) => Stream.Stream<AgentRun.Part, any, any>,
  middleware: ReadonlyArray<Middleware.Any> = [],
  providers: ReadonlyArray<ContextProvider.Any> = []
): Making => {
  // their failures and services are in the type of the agent that has them
  const given = providers as ReadonlyArray<ContextProvider.ContextProvider>
  const last = given.length === 0 ? stream : (input: Agent.ProgramInput) => stream({ ...input, providers: given })
  const around = middleware.length === 0
    ? last
    : aroundRun(name, middleware, (request) => last(request as Agent.ProgramInput))
  const plain = (input: Agent.Input) => remembering(identified(around, input))
  return {
    stream: (input, within) => within?.onSeen === undefined ? plain(input) : seen(plain(input), input, within.onSeen),
    withMiddleware: (outer) => ofFunction(name, stream, [outer, ...middleware], providers),
    withProvider: (provider) => ofFunction(name, stream, middleware, [...providers, provider])
  }
}

/** Builds the partial result of a run that does not report its own. */
const seen = (
  stream: Stream.Stream<AgentRun.Part, any, any>,
  { prompt, runId }: Agent.Input,
  onSeen: (run: Seen) => void
): Stream.Stream<AgentRun.Part, any, any> =>
  Stream.suspend(() => {
    const run = new Seen(prompt, runId)
    onSeen(run)
    return Stream.mapArray(stream, (parts) => {
      run.add(parts)
      return parts
    })
  })

/**
 * The parts of an agent whose runs go through the life cycle of a run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parts {
  readonly middleware: ReadonlyArray<Middleware.Any>
  readonly providers: ReadonlyArray<ContextProvider.Any>
  /** The agent's own model, in place of its caller's. */
  readonly model?: OwnModel.AnyModel | undefined
  readonly value?: Schema.Constraint | undefined
}

/**
 * The definition of runs, with their middleware and providers. The services of these are in the type of the agent, and are
 * captured when a run begins.
 *
 * @category models
 * @since 0.1.0
 */
export type Define = (
  middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>,
  providers: Lifecycle.Definition["providers"]
) => Lifecycle.Definition

/**
 * Creates an agent from the definition of its runs. Each middleware and each provider that is added makes a new one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromBody = (
  agent: Pick<Agent.Any, "description" | "name">,
  parts: Parts,
  define: Define,
  tools?: Readonly<Record<string, Tool.Any>>
): Agent.Agent<any, any, any, any, never> => fromMaking(agent, fromDefinition(agent.name, parts, define), tools)

const fromDefinition = (name: string, parts: Parts, define: Define): Making => {
  // copies: the arrays may change later, the agent does not
  const middleware: ReadonlyArray<Middleware.Any> = [...parts.middleware]
  const providers = providersOf(name, parts.providers)
  const definition = define(middleware as ReadonlyArray<Middleware.Middleware<unknown, never>>, providers)
  const within = (around?: Layered.Within) =>
    aroundRun(name, middleware, (request) => RunStream.stream(definition, request, around))
  const plain = within()
  const { model, value } = parts
  return {
    value,
    stream: model === undefined
      ? (input, around) => around === undefined ? plain(input) : within(around)(input)
      : (input, around) => Layered.stream(name, servicesOfModel(model), (own) => within(own)(input), around),
    withMiddleware: (outer) =>
      fromDefinition(name, { ...parts, middleware: [outer, ...middleware], providers }, define),
    withProvider: (provider) =>
      fromDefinition(name, { ...parts, middleware, providers: [...providers, provider] }, define)
  }
}

const servicesOfModel = (model: OwnModel.AnyModel): Layered.Services => ({
  build: (scope) => OwnModel.build(model, scope),
  enter: OwnModel.withModelOf
})

/**
 * The runs of an agent with services of its own. A middleware that is put around it later stays around the layer with
 * its function for runs; its functions for model and tool calls have their place in the run, like a provider.
 *
 * @category combinators
 * @since 0.1.0
 */
export const provided = (
  name: string,
  self: Making,
  given: Layer.Layer<any, any, any> | Context.Context<any>,
  outer: ReadonlyArray<Middleware.Any> = []
): Making => {
  const services: Layered.Services = {
    build: (scope) => Layer.isLayer(given) ? Layer.buildWithScope(given, scope) : Effect.succeed(given),
    enter: Context.merge
  }
  const within = (around?: Layered.Within) =>
    aroundRun(
      name,
      outer,
      (request) =>
        Layered.stream(name, services, ({ onEnd, onSeen }) => self.stream(request, { onEnd, onSeen }), around)
    )
  const plain = within()
  return {
    value: self.value,
    stream: (input, around) => around === undefined ? plain(input) : within(around)(input),
    withMiddleware: (middleware) =>
      provided(
        name,
        self.withMiddleware(Middleware.make(middleware.name, { ...middleware, agent: undefined })),
        given,
        [
          middleware,
          ...outer
        ]
      ),
    withProvider: (provider) => provided(name, self.withProvider(provider), given, outer)
  }
}

/**
 * Puts the functions of the agent place around a run.
 *
 * @category combinators
 * @since 0.1.0
 */
export const aroundRun = (
  agent: string,
  middleware: ReadonlyArray<Middleware.Any>,
  last: (request: Middleware.AgentRequest) => Stream.Stream<AgentRun.Part, any, any>
): (input: Agent.Input) => Stream.Stream<AgentRun.Part, any, any> => {
  const places = middleware.flatMap((m) => m.agent ?? [])
  const request = (input: Agent.Input) => ({
    agent,
    prompt: input.prompt,
    session: input.session,
    runId: input.runId,
    answers: input.answers,
    steering: input.steering,
    continues: input.continues
  })
  if (places.length === 0) return (input) => last(request(input))
  const around = Middleware.compose(places, last)
  return (input) => remembering(Stream.suspend(() => around(request(input))))
}

/**
 * Remembers the result of a run that waits for approvals, as its caller sees it: a middleware or a program may have
 * replaced it.
 *
 * @category combinators
 * @since 0.1.0
 */
export const remembering = <Part extends AgentRun.Part, E, R>(
  stream: Stream.Stream<Part, E, R>
): Stream.Stream<Part, E, R> =>
  Stream.mapArray(stream, (parts) => {
    const last = parts[parts.length - 1]
    if (last.type === "run-end") Origin.rememberRebuilt(last.result)
    return parts
  })

/**
 * The stream of a function that is given the id of its run.
 *
 * @category combinators
 * @since 0.1.0
 */
export const identified = <Part, E, R>(
  stream: (input: Agent.ProgramInput) => Stream.Stream<Part, E, R>,
  input: Agent.Input
): Stream.Stream<Part, E, R> =>
  Stream.unwrap(Effect.map(
    input.runId === undefined || input.runId === "" ? RunId.next : Effect.succeed(input.runId),
    (runId) => stream({ ...input, runId })
  ))

/**
 * The tools of an agent as its runs use them: a `Toolkit` is resolved once, other
 * effects in each run. A tool that no model can be offered is a defect of the program
 * that makes the agent, as far as the tools are known then.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toolkitOf = (
  agent: string,
  toolkit: Effect.Effect<Toolkit.WithHandler<any>, any, any> | Misuse.NotAToolkit | undefined
): ToolHandler.WithHandler | Effect.Effect<Toolkit.WithHandler<Record<string, Tool.Any>>, any, never> | undefined => {
  if (toolkit === undefined) return undefined
  if (!Effect.isEffect(toolkit)) {
    throw new Error(`The toolkit of agent \`${agent}\` is none: it is a \`Toolkit\`, or an effect that gives one`)
  }
  const refusal = ToolCodec.findRefusal(Object.values(toolsOf(toolkit) ?? {}))
  if (refusal !== undefined && !refusal.isEarly) {
    throw new Error(`Agent \`${agent}\` cannot offer its tool \`${refusal.tool}\`: ${refusal.description}`)
  }
  return isToolkit(toolkit)
    ? ToolHandler.fromToolkit(toolkit)
    // what it needs is in the type of the agent, and captured when a run begins
    : toolkit as Effect.Effect<Toolkit.WithHandler<any>, any>
}

/**
 * Returns the tools of a toolkit, when they are known before a run.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toolsOf = (
  toolkit: object
): Readonly<Record<string, Tool.Any>> | undefined => isToolkit(toolkit) ? toolkit.tools : NestedTools.of(toolkit)

const isToolkit = (u: object): u is Toolkit.Toolkit<any> => Predicate.hasProperty(u, ToolkitTypeId)

const ToolkitTypeId: keyof Toolkit.Any = "~effect/ai/Toolkit"

/**
 * The context providers of an agent, as its runs use them. Two of one name are a
 * defect of the program that makes the agent.
 *
 * @category conversions
 * @since 0.1.0
 */
export const providersOf = (
  agent: string,
  providers: ReadonlyArray<ContextProvider.Any> | undefined = []
): ReadonlyArray<ContextProvider.ContextProvider<unknown, never>> => {
  const names = providers.map((provider) => provider.name)
  const duplicate = names.find((name, index) => names.indexOf(name) !== index)
  if (duplicate !== undefined) {
    throw new Error(`Agent \`${agent}\` has two context providers named \`${duplicate}\``)
  }
  // a copy, like the middleware above
  const own: ReadonlyArray<ContextProvider.Any> = [...providers]
  return own as ReadonlyArray<ContextProvider.ContextProvider<unknown, never>>
}

/**
 * How an agent is made of the definition of its runs.
 *
 * @since 0.1.0
 */
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import { pipeArguments } from "effect/Pipeable"
import * as Predicate from "effect/Predicate"
import * as Stream from "effect/Stream"
import type * as Agent from "../../Agent.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as ContextProvider from "../../ContextProvider.ts"
import * as Middleware from "../../Middleware.ts"
import * as Origin from "../approval/origin.ts"
import * as Lifecycle from "./lifecycle.ts"
import * as NestedTools from "../tool/nested.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as ToolHandler from "../tool/handler.ts"
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
 * Creates an agent whose runs are those of a definition. The definition is made
 * again with each middleware that is put around the agent.
 *
 * What the middleware needs is in the type of the agent, and captured when a run
 * begins.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromBody = (
  name: string,
  description: string | undefined,
  middleware: ReadonlyArray<Middleware.Any>,
  define: (middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>) => Lifecycle.Definition,
  tools?: Readonly<Record<string, Tool.Any>>
): Agent.Agent<any, any, any, any, never> => {
  // a copy: the array may change later, the agent does not
  const own: ReadonlyArray<Middleware.Any> = [...middleware]
  const definition = define(own as ReadonlyArray<Middleware.Middleware<unknown, never>>)
  const self = Object.assign(Object.create(Proto), {
    name,
    description,
    stream: aroundRun(name, own, (request) => Lifecycle.stream(definition, request)),
    withMiddleware: (outer: Middleware.Any) => fromBody(name, description, [outer, ...own], define, tools)
  })
  return NestedTools.remember(self, tools)
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
 * Remembers the result of a run as its caller sees it, when it waits for approvals: a
 * middleware or a program may have made another one of it.
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
 * The stream of a program, which knows the id of its run.
 *
 * @category combinators
 * @since 0.1.0
 */
export const identified = <Part, E, R>(
  stream: (input: Agent.Input & { readonly runId: string }) => Stream.Stream<Part, E, R>,
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
  toolkit: Effect.Effect<Toolkit.WithHandler<any>, any, any> | undefined
): ToolHandler.WithHandler | Effect.Effect<Toolkit.WithHandler<Record<string, Tool.Any>>, any, never> | undefined => {
  if (toolkit === undefined) return undefined
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
  toolkit: Effect.Effect<Toolkit.WithHandler<any>, any, any>
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

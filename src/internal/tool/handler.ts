/**
 * Answers one tool call: decodes its parameters, checks whether it may run, and calls its handler.
 *
 * `Toolkit.handle` costs fifty times as much as the handler (a queue, a fiber, five stream operators). So the handler
 * is read from the context, under the tool's id, where `Toolkit.toLayer` put it. This relies on a convention of
 * effect/ai. A toolkit whose handlers are not found there is run by `handle`, the public interface.
 *
 * @since 0.1.0
 */

import * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import type * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Predicate from "effect/Predicate"
import * as Approval from "../../Approval.ts"
import type * as Middleware from "../../Middleware.ts"
import * as OwnModel from "../model/ownModel.ts"
import * as ToolCodec from "../model/toolCodec.ts"
import * as ClientTool from "./clientTool.ts"
import { type Admitted, direct, type HandlerFunction, throughHandle } from "./execute.ts"
import { isAllowed, isApprovalNeeded, notExecuted, refusalOf, unapproved } from "./gate.ts"
import { invalidParameters, issuesOf, mistake, notAnObject } from "./mistakes.ts"

/**
 * The tools of a run, resolved.
 *
 * @category models
 * @since 0.1.0
 */
export type WithHandler = Toolkit.WithHandler<Record<string, Tool.Any>>

/**
 * Runs one call to its final result. It fails with a failure of the tool or a defect; a mistake of the model is a
 * result.
 *
 * @category models
 * @since 0.1.0
 */
export type Handler = (
  request: Middleware.ToolRequest,
  preliminary: (result: Middleware.ToolResult) => Effect.Effect<void>,
  asked: Asked
) => Effect.Effect<Middleware.ToolResult, unknown>

/**
 * Records what a call returns, once its parameters are decoded. See `Journal`.
 *
 * @category models
 * @since 0.1.0
 */
export type Keep = (
  request: Middleware.ToolRequest,
  tool: Tool.Any,
  handled: Effect.Effect<Middleware.ToolResult, unknown>
) => Effect.Effect<Middleware.ToolResult, unknown>

/**
 * How calls came about: the messages that the model was called with, whether the calls are approved, and whether more
 * were made than may run. With `approvedAs` the call is approved only if a middleware runs it in that form. `keep` is
 * set in a run with a journal. `returned` is what a client has returned for an approved call.
 *
 * @category models
 * @since 0.1.0
 */
export interface Asked {
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly isApproved: boolean
  readonly isExhausted: boolean
  readonly approvedAs?: ApprovedAs | undefined
  readonly returned?: ClientTool.Returned | undefined
  /** Receives the failure of the tool itself; a middleware around it may fail with something else. */
  readonly onFailure?: ((cause: Cause.Cause<unknown>) => void) | undefined
  readonly keep?: Keep | undefined
}

/**
 * The approval of a call that a middleware runs as another tool. `asked` are the parameters that were shown, and
 * `params` those that it runs with.
 *
 * @category models
 * @since 0.1.0
 */
export interface ApprovedAs {
  readonly tool: string
  readonly asked: unknown
  readonly params: unknown
}

/**
 * A handler, and the context that it runs in: the services of the run, and over them those that the handler was made
 * with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Resolved {
  readonly handler: Handler
  readonly context: Context.Context<never>
}

// -----------------------------------------------------------------------------
// results that no handler gave
// -----------------------------------------------------------------------------

export {
  /**
   * What happened to a call below its middleware, the last time that the middleware called `next`.
   *
   * @category models
   * @since 0.1.0
   */
  type Below,
  /**
   * Returns the kind of a failure that is not the tool's own: the call was denied, or interrupted.
   *
   * @category accessors
   * @since 0.1.0
   */
  executionFailureOf,
  /**
   * Creates the result of a call beyond the number of calls that may run.
   *
   * @category results
   * @since 0.1.0
   */
  exhausted,
  /**
   * Returns the result of a call whose middleware gave this one.
   *
   * @category results
   * @since 0.1.0
   */
  fromMiddleware,
  /**
   * Creates the failure result of a call that was not allowed to run, or that was interrupted.
   *
   * @category results
   * @since 0.1.0
   */
  notExecuted,
  /**
   * Returns what a call waits for, if this is the result of a waiting call.
   *
   * @category results
   * @since 0.1.0
   */
  requestsOf,
  /**
   * Creates the result of a call that did not end in time.
   *
   * @category results
   * @since 0.1.0
   */
  tooSlow,
  /**
   * Creates the result of a call that needs an approval when nobody can be asked: it is denied.
   *
   * @category results
   * @since 0.1.0
   */
  unanswerable,
  /**
   * Creates the result of a call that waits for approvals.
   *
   * @category results
   * @since 0.1.0
   */
  waiting,
  /**
   * Creates the result of a call that waits for the approval of another tool.
   *
   * @category results
   * @since 0.1.0
   */
  waitingAs,
  /**
   * Returns whether the call of this result reached its tool.
   *
   * @category accessors
   * @since 0.1.0
   */
  wasExecuted
} from "./gate.ts"

export {
  /**
   * Answers a call whose parameters do not decode.
   *
   * @category results
   * @since 0.1.0
   */
  invalidParameters
} from "./mistakes.ts"

/**
 * Answers the calls of a tool that the run does not have. A client that has returned the result of a call needs no tool.
 *
 * @category results
 * @since 0.1.0
 */
export const unknownTool =
  (availableTools: ReadonlyArray<string>): Handler => (request, _preliminary, { isApproved, returned }) =>
    isApproved && returned !== undefined
      ? ClientTool.toResult(undefined, request, returned)
      : Exit.succeed(
        mistake(request, new AiError.ToolNotFoundError({ toolName: request.name, availableTools: [...availableTools] }))
      )

// -----------------------------------------------------------------------------
// running
// -----------------------------------------------------------------------------

/**
 * Finds how to run a tool of this toolkit in this context.
 *
 * @category running
 * @since 0.1.0
 */
export const resolve = (toolkit: WithHandler, tool: Tool.Any, context: Context.Context<never>): Resolved => {
  const owner = isMerged(toolkit)
    ? toolkit[MergedTypeId].find(({ tools }) => Object.hasOwn(tools, tool.name))!
    : toolkit
  const own = (isDirect(owner) ? context : madeWith(owner))?.mapUnsafe.get(tool.id)
  return isHandler(own)
    ? { handler: guarded(tool, direct(tool, own.handler), context), context: mergeContexts(own, context) }
    : { handler: guarded(tool, throughHandle(tool, owner), context), context }
}

/**
 * Finds how to run a tool with the model of another context. Its middleware keeps the model of this context.
 *
 * @category running
 * @since 0.1.0
 */
export const resolveOutside = (
  toolkit: WithHandler,
  tool: Tool.Any,
  context: Context.Context<never>,
  outside: Context.Context<never>
): Resolved => {
  const resolved = resolve(toolkit, tool, outside)
  return {
    handler: (request, preliminary, asked) =>
      Effect.updateContext(
        resolved.handler(request, preliminary, asked),
        (context: Context.Context<never>) => OwnModel.withModelOf(context, resolved.context)
      ),
    context: OwnModel.withModelOf(resolved.context, context)
  }
}

// Contexts are copied to be merged. Most runs begin in the same context as the run before, so the last result is kept.
const lastMerged = new WeakMap<
  object,
  { readonly of: Context.Context<never>; readonly merged: Context.Context<never> }
>()

const mergeContexts = (
  handler: { readonly context: Context.Context<never> },
  context: Context.Context<never>
): Context.Context<never> => {
  const last = lastMerged.get(handler)
  if (last?.of === context) return last.merged
  const merged = Context.merge(handler.context, context)
  lastMerged.set(handler, { of: context, merged })
  return merged
}

const DirectTypeId = "~effect-agents/internal/DirectToolkit"
const MergedTypeId = "~effect-agents/internal/MergedToolkit"

/**
 * The tools of a `Toolkit` whose handlers are in the context of the run. It is created once for an agent, because a
 * model caches by identity.
 *
 * @category running
 * @since 0.1.0
 */
export const fromToolkit = (toolkit: Toolkit.Toolkit<any>): WithHandler => {
  const handle = (...args: [any, any, any?, any?]) =>
    Effect.flatMap(toolkit as Effect.Effect<WithHandler>, (resolved) => resolved.handle(...args))
  return Object.assign({ tools: toolkit.tools, handle } as WithHandler, { [DirectTypeId]: DirectTypeId })
}

// The key is a toolkit that was made with its handlers.
const handlers = new WeakMap<
  object,
  { readonly context: Context.Context<never>; readonly handle: WithHandler["handle"] }
>()

/** The handlers of a toolkit that was made with them. A `handle` that replaces its own is called. */
const madeWith = (toolkit: WithHandler): Context.Context<never> | undefined => {
  const made = handlers.get(toolkit)
  return made?.handle === toolkit.handle ? made?.context : undefined
}

/**
 * Resolves a toolkit with these handlers. A run calls them itself, like those in its context.
 *
 * @category running
 * @since 0.1.0
 */
export const withHandlers = <Tools extends Record<string, Tool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>,
  functions: Toolkit.HandlersFrom<Tools>
): Effect.Effect<Toolkit.WithHandler<Tools>> =>
  Effect.flatMap(
    toolkit.toHandlers(functions),
    (context) =>
      Effect.map(Effect.provide(toolkit, context), (resolved) => {
        handlers.set(resolved, { context, handle: resolved.handle as WithHandler["handle"] })
        return resolved
      })
  )

/**
 * Merges toolkits that have no tool in common.
 *
 * @category running
 * @since 0.1.0
 */
export const merge = (toolkits: ReadonlyArray<WithHandler>): WithHandler => {
  const tools: Record<string, Tool.Any> = Object.assign({}, ...toolkits.map((toolkit) => toolkit.tools))
  const handle = (name: string, ...args: [any, any?, any?]) =>
    toolkits.find((toolkit) => Object.hasOwn(toolkit.tools, name))!.handle(name, ...args)
  return Object.assign({ tools, handle } as WithHandler, { [MergedTypeId]: toolkits })
}

/**
 * Finds a tool of a provider whose name the run already has.
 *
 * @category running
 * @since 0.1.0
 */
export const findDuplicate = (
  own: WithHandler | undefined,
  contributed: ReadonlyArray<{ readonly provider: string; readonly toolkit: WithHandler }>
): { readonly provider: string; readonly tool: string } | undefined => {
  if (contributed.length === 0) return undefined
  const names = new Set(Object.keys(own?.tools ?? {}))
  for (const { provider, toolkit } of contributed) {
    for (const tool of Object.keys(toolkit.tools)) {
      if (names.has(tool)) return { provider, tool }
      names.add(tool)
    }
  }
  return undefined
}

/**
 * Finds a tool of these toolkits that cannot be offered to a model, and the reason.
 *
 * @category running
 * @since 0.1.0
 */
export const findRefusal = (
  toolkits: ReadonlyArray<WithHandler>
): { readonly tool: string; readonly description: string } | undefined => {
  for (const toolkit of toolkits) {
    if (offerable.has(toolkit)) continue
    const refusal = ToolCodec.findRefusal(Object.values(toolkit.tools))
    if (refusal !== undefined) return refusal
    offerable.add(toolkit)
  }
  return undefined
}

// Every run asks, and most runs have the toolkit of their agent.
const offerable = new WeakSet<WithHandler>()

const isMerged = (
  toolkit: WithHandler
): toolkit is WithHandler & { readonly [MergedTypeId]: ReadonlyArray<WithHandler> } =>
  Predicate.hasProperty(toolkit, MergedTypeId)

const isDirect = (toolkit: WithHandler): boolean => Predicate.hasProperty(toolkit, DirectTypeId)

const isHandler = (
  u: unknown
): u is { readonly handler: HandlerFunction; readonly context: Context.Context<never> } =>
  Predicate.hasProperty(u, "handler") && Predicate.isFunction(u.handler) &&
  Predicate.hasProperty(u, "context") && Context.isContext(u.context)

/** The checks of a call before its handler runs, for handlers of every kind. */
const guarded = (tool: Tool.Any, run: Admitted, context: Context.Context<never>): Handler => {
  const { needsApproval } = tool
  const rules = Context.get(context, Approval.Rules).filter((rule) => rule.tool === tool.name)
  const isProviderDefined = Tool.isProviderDefined(tool)
  const isFree = needsApproval === undefined || needsApproval === false
  const isOfClient = ClientTool.isClientTool(tool)
  const admitted = (
    request: Middleware.ToolRequest,
    preliminary: Parameters<Handler>[1],
    asked: Asked,
    params: unknown
  ) => {
    const refusal = refusalOf(rules, params)
    if (refusal !== undefined) return Exit.succeed(notExecuted(request, "execution-denied", refusal))
    const { isApproved, returned } = asked
    if (isOfClient) {
      return isApproved && returned !== undefined
        ? ClientTool.toResult(tool, request, returned)
        : unapproved({ ...request, tool }, context)
    }
    // a client that returns a result has approved nothing
    if (isFree || (isApproved && returned === undefined) || isAllowed(rules, params)) {
      return run(request, preliminary, params)
    }
    return Effect.flatMap(
      isApprovalNeeded(needsApproval, params, { toolCallId: request.id, messages: asked.messages }),
      (needed) => needed ? unapproved(request, context) : run(request, preliminary, params)
    )
  }
  return (request, preliminary, asked) => {
    const { keep, onFailure } = asked
    const problem = isProviderDefined ? undefined : notAnObject(request.params)
    if (problem !== undefined) return Exit.succeed(invalidParameters(request, problem))
    return flatMapSync(
      ToolCodec.decodeParams(tool, request.params),
      (params) => {
        const handled = keep === undefined
          ? admitted(request, preliminary, asked, params)
          : keep(request, tool, Effect.suspend(() => admitted(request, preliminary, asked, params)))
        return onFailure === undefined
          ? handled
          : Effect.tapCause(handled, (cause) => Effect.sync(() => onFailure(cause)))
      },
      (error) => Exit.succeed(invalidParameters(request, issuesOf(request.params, error)))
    )
  }
}

// A decoder returns an Exit if it did not have to wait, and then there is nothing to run.
const flatMapSync = <A, E, B, E2>(
  effect: Effect.Effect<A, E>,
  onSuccess: (a: A) => Effect.Effect<B, E2>,
  onFailure: (e: E) => Effect.Effect<B, E2>
): Effect.Effect<B, E2> =>
  Exit.isExit(effect) && Exit.isSuccess(effect)
    ? onSuccess(effect.value as A)
    : Effect.matchEffect(effect, { onFailure, onSuccess })

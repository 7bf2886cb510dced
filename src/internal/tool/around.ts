/**
 * Runs one tool call through its middleware.
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import type * as Tool from "effect/ai/Tool"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Queue from "effect/Queue"
import * as Stream from "effect/Stream"
import * as Middleware from "../../Middleware.ts"
import * as Json from "../words/json.ts"
import * as JsonValue from "../words/jsonValue.ts"
import { encodingError } from "./execute.ts"
import * as ToolHandler from "./handler.ts"
import * as NestedTools from "./nested.ts"

/** The number of results that may wait in a middleware before a handler with preliminary results has to wait. */
const highWater = 256

/**
 * The tool that runs below the middleware. Without a `tool` the model is told that there is none.
 *
 * @category models
 * @since 0.1.0
 */
export interface Target {
  readonly tool: Tool.Any | undefined
  readonly own: ToolHandler.Handler
  readonly context: Context.Context<never>
  readonly timeout: Duration.Duration | undefined
}

/**
 * Runs a tool through the middleware. Its results become a stream. The first final result is the result of the call,
 * and ends a handler that still runs. The call ends when the stream ends.
 *
 * `called` is the call of the model; a middleware may run another tool in its place.
 *
 * @category running
 * @since 0.1.0
 */
export const throughMiddleware = (
  middleware: ReadonlyArray<Middleware.ToolPlace<any, any>>,
  called: Target,
  find: (name: string) => Target
): ToolHandler.Handler => {
  const compose = (call: Middleware.ToolRequest, asked: ToolHandler.Asked, state: State) => {
    const { below, running } = state
    const last = (request: Middleware.ToolRequest) =>
      Stream.callback<Middleware.ToolResult, unknown>(
        (queue) =>
          Effect.withFiber((fiber): Effect.Effect<unknown> => {
            // the call has its result, so nothing runs again
            if (state.final !== undefined) return Queue.end(queue)
            below.began = true
            below.result = undefined
            running.add(fiber)
            const handler = request.name === call.name ? called.own : instead(call, called, find(request.name))
            const offer = (result: Middleware.ToolResult) => {
              state.encoded.add(result.encodedResult)
              return Effect.asVoid(Queue.offer(queue, result))
            }
            return handler({ ...request, id: call.id }, offer, asked).pipe(
              Effect.flatMap((result) => {
                below.result = result
                return offer(result)
              }),
              // also when the handler interrupts its own fiber
              Effect.onExit((exit) => {
                running.delete(fiber)
                return Exit.isSuccess(exit) || state.final !== undefined
                  ? Queue.end(queue)
                  : Queue.failCause(queue, exit.cause)
              }),
              Effect.exit
            )
          }),
        { bufferSize: highWater }
      )
    return Middleware.compose(middleware, last)
  }
  return (call, preliminary, asked) =>
    Effect.suspend(() => {
      const state: State = {
        final: undefined,
        below: { began: false, result: undefined },
        encoded: new Set(),
        running: new Set()
      }
      return compose(call, asked, state)(call).pipe(
        Stream.runForEach((result) => {
          // whatever comes after the final result is dropped
          if (state.final !== undefined) return Effect.void
          const own = encodedOf(resultOf(call, result), state)
          if (Exit.isExit(own)) return own
          if (own.preliminary) return preliminary(own)
          state.final = ToolHandler.fromMiddleware(own, state.below)
          for (const fiber of state.running) fiber.interruptUnsafe()
          return Effect.void
        }),
        Effect.map(() =>
          state.final ?? ToolHandler.notExecuted(call, "execution-interrupted", "The tool ended without a result")
        )
      )
    })
}

interface State {
  final: Middleware.ToolResult | undefined
  readonly below: ToolHandler.Below
  /** The results that were encoded below the middleware. */
  readonly encoded: Set<unknown>
  /** The fibers of handlers that have not ended. */
  readonly running: Set<Fiber.Fiber<unknown, unknown>>
}

/** Whatever a middleware returns, the result has the id and name of the call. */
const resultOf = ({ id, name }: Middleware.ToolRequest, result: Middleware.ToolResult): Middleware.ToolResult =>
  result.id === id && result.name === name ? result : { ...result, id, name }

/** The result that a middleware has made has to be JSON, too. */
const encodedOf = (
  result: Middleware.ToolResult,
  { encoded }: State
): Middleware.ToolResult | Exit.Exit<never, AiError.AiError> => {
  const { encodedResult, name } = result
  if (typeof encodedResult === "string" || encoded.has(encodedResult)) return result
  const json = JsonValue.toJson(encodedResult)
  if (json._tag === "Failure") return Exit.fail(encodingError(name, encodedResult, json.failure))
  return json.success === encodedResult ? result : { ...result, encodedResult: json.success }
}

/**
 * Runs another tool than the one that the model called, with that tool's services and time limit. An approval of the
 * original call does not count for it.
 */
const instead = (
  call: Middleware.ToolRequest,
  called: Target,
  target: Target
): ToolHandler.Handler =>
(request, preliminary, { approvedAs, isExhausted, keep, messages, onFailure, returned }) => {
  if (called.tool === undefined && target.tool !== undefined && isExhausted) {
    return Exit.succeed(ToolHandler.exhausted(request))
  }
  // a journal that records the call also applies its time limit
  const timeout = keep === undefined || NestedTools.isNested(target.tool) ? target.timeout : undefined
  const isApproved = approvedAs !== undefined && approvedAs.tool === request.name &&
    isSameJson(approvedAs.asked, request.params)
  const approved = isApproved ? { ...request, params: approvedAs.params } : request
  const run = target.own(approved, preliminary, { messages, isApproved, isExhausted: false, keep, onFailure, returned })
  const inTime = timeout === undefined ? run : Effect.timeoutOrElse(run, {
    duration: timeout,
    orElse: () => Exit.succeed(ToolHandler.tooSlow(request, timeout))
  })
  const handled = Effect.map(inTime, (result) => {
    const requests = ToolHandler.requestsOf(result)
    return requests === undefined ? result : ToolHandler.waitingAs(call, request, requests)
  })
  return Effect.updateContext(handled, (context) => exchange(context, called.context, target.context))
}

/** The requested parameters are JSON. */
const isSameJson = (asked: unknown, params: unknown): boolean => {
  const json = JsonValue.toJson(params ?? {})
  return json._tag === "Success" && Json.isSame(asked, json.success)
}

/** The services of the other tool, and those that the middleware has provided. */
const exchange = (
  context: Context.Context<never>,
  called: Context.Context<never>,
  target: Context.Context<never>
): Context.Context<never> => {
  const services = new Map(target.mapUnsafe)
  for (const [key, service] of context.mapUnsafe) {
    if (called.mapUnsafe.get(key) !== service) services.set(key, service)
  }
  return Context.makeUnsafe(services)
}

/**
 * The runtime's calls of the run's tools. Each comes by itself, and is answered by a promise.
 *
 * @since 0.1.0
 */

import type * as Sdk from "@github/copilot-sdk"
import type * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import type * as Fiber from "effect/Fiber"
import * as Semaphore from "effect/Semaphore"
import type * as AgentRun from "../../AgentRun.ts"
import * as Parts from "../../internal/words/responseParts.ts"
import * as ToolCalls from "../../internal/tool/calls.ts"
import * as ToolHandler from "../../internal/tool/handler.ts"
import type * as Middleware from "../../Middleware.ts"
import { type Answer, toResult } from "./offeredTools.ts"

/**
 * Receives what the calls emit. `fork` runs a call in a fiber that ends with the run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Listener {
  readonly fork: (effect: Effect.Effect<void>) => Fiber.Fiber<void, unknown>
  readonly messages: () => ReadonlyArray<Prompt.Message>
  readonly onPart: (callId: string, part: Middleware.ToolResult | AgentRun.AgentPart) => void
  readonly onFailure: (cause: Cause.Cause<unknown>) => void
  readonly beforeResult: () => void
}

/**
 * Answers calls, as many at once as the run allows. A call that fails the run is not answered, because the runtime
 * would call its model again.
 *
 * @category models
 * @since 0.1.0
 */
export class ToolAnswers {
  private readonly tools: ToolCalls.Tools
  private readonly listener: Listener
  private readonly permits: Semaphore.Semaphore

  constructor(tools: ToolCalls.Tools, listener: Listener) {
    this.tools = tools
    this.listener = listener
    this.permits = Semaphore.makeUnsafe(new ToolCalls.Runner(tools).concurrency)
  }

  readonly answer: Answer = (call, signal) =>
    new Promise((resolve) => {
      const fiber = this.listener.fork(this.permits.withPermit(this.runTool(call, resolve)))
      signal?.addEventListener("abort", () => fiber.interruptUnsafe(), { once: true })
    })

  private runTool(
    call: Parameters<Answer>[0],
    resolve: (result: Sdk.ToolResultObject) => void
  ): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { beforeResult, messages, onFailure, onPart } = this.listener
      // a runner handles one set of calls at a time
      const runner = new ToolCalls.Runner(this.tools)
      const calls = new ToolCalls.ToolCalls(runner, {
        calls: [Parts.toolCall(call.id, call.name, call.params, false)],
        messages: messages(),
        allowance: Infinity
      })
      const settle: Effect.Effect<void> = Effect.suspend(() => {
        for (const part of calls.take()) {
          if (part.type === "agent-part") onPart(call.id, part)
          if (part.type === "tool-result") onPart(call.id, part)
        }
        if (calls.failure !== undefined) return Effect.sync(() => onFailure(calls.failure!))
        const [result] = calls.results
        if (result === undefined) return Effect.flatMap(calls.wait(), () => settle)
        return Effect.sync(() => {
          beforeResult()
          resolve(toResult(result))
        })
      })
      const cancelled = Effect.suspend(() => {
        onPart(call.id, ToolHandler.notExecuted(call, "execution-interrupted", "The runtime went on"))
        return calls.stop() ?? Effect.void
      })
      return Effect.onExit(settle, (exit) => {
        if (Exit.isSuccess(exit)) return runner.ended() ?? Effect.void
        // without an answer the runtime would wait for ever
        if (!Cause.hasInterruptsOnly(exit.cause)) onFailure(exit.cause)
        return cancelled
      })
    })
  }
}

/**
 * Programs that call the tools of an agent, in place of a model. See `Agent.program`.
 *
 * A program is a function from an `Input` to an `Effect`. It makes its calls with the functions of `Calls`: one for
 * each tool, with the tool's parameters, success and failure. Use Effect's own combinators for concurrency, retries,
 * races and time limits.
 *
 * Each call is a tool call of the run. It goes through middleware, rules and approvals, and is in the transcript with
 * its result. Calls that end together are one step, and the answer is the last step. When a program interrupts a call,
 * such as the loser of a race, the call stops before the program goes on, and its usage is counted.
 *
 * When a call waits for an approval and the program makes no other call, the run completes with `"approval-required"`.
 * `Agent.resume` then runs the program again from its beginning. It gets the results that are in the transcript, in the
 * same order as before, and makes only the calls without a result. `Agent.continue` does the same for a session after a
 * process has ended: with `keep: "every-step"` of `SessionHistory` a result is saved before the program gets it.
 * Everything else that a program does is done again.
 *
 * A call is identified by its tool and its `key`, or by its tool and its parameters if it has no key. Equal calls are
 * identified by their order. If the program does not repeat an approved call, the run fails with `AgentError`
 * (`CallNotRepeated`). A program that has ended needs no approvals, so a later answer is rejected.
 *
 * Guardrails of a program check its prompt before it runs, each of its calls, and its answer before it is emitted. The
 * answer is its text, and its value as a text if that differs. If a guardrail checks the output, the text of an
 * `answer` call is emitted as a whole at the end. When a guardrail replaces the value, the replacement becomes the
 * value if the value was a text; otherwise the run fails with `AgentError` (`InvalidOutput`). A run that a guardrail
 * answers in place of the program has no value. The answers of members are checked by the members' own guardrails.
 *
 * A budget of a program is shared by all of its members. A budget made by `Budget.orFail` ends all of them, and the
 * program. No other middleware around model calls applies, because a program makes no model calls of its own.
 *
 * A program receives no messages: messages of `Steering` stay `unread`, and a run that would steer it waits in line.
 * When it is asked to stop, its running calls run to their end, and later calls are not executed.
 *
 * **Example** (A writer and a critic)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent, AgentTool } from "effect-agents"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const writer = Agent.make("writer")
 * const critic = Agent.make("critic")
 *
 * const team = Agent.program("team", {
 *   toolkit: AgentTool.toolkit({ writer, critic }),
 *   run: ({ prompt }, call) =>
 *     Effect.gen(function*() {
 *       const draft = yield* call.writer({ prompt })
 *       return yield* call.critic({ prompt: draft })
 *     })
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { value } = yield* Agent.run(team, { prompt: "Write a haiku" })
 *   yield* Console.log(value)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("a haiku"), ScriptedModel.text("not bad")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => not bad
 * ```
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import type * as Toolkit from "effect/ai/Toolkit"
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import type * as AgentError from "./AgentError.ts"
// the options of a program contain providers
import type * as ContextProvider from "./ContextProvider.ts"
// the options of a program contain middleware
import type * as Middleware from "./Middleware.ts"

/**
 * The input of a program.
 *
 * - `prompt`: the text of the user's last message.
 * - `conversation`: the messages up to that message, beginning with those of the session. It has no system message.
 * - `session`: the id of the session, if the run has one.
 *
 * @category models
 * @since 0.1.0
 */
export interface Input {
  readonly prompt: string
  readonly conversation: Prompt.Prompt
  readonly session: string | undefined
}

/**
 * The options of a call.
 *
 * **Gotchas**
 *
 * In a process that is killed, nothing or not everything is undone, and the transcript does not say what was undone.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions<in A> {
  /**
   * Identifies the call when the program is run again. Give a key if the parameters may differ the next time. Default:
   * the parameters.
   */
  readonly key?: string | undefined
  /**
   * Whether the text of the called agent is streamed as the text of this run. A function returns the text of a result
   * that was not streamed in this run, for example because an earlier run has made the call; with `true` the text is
   * the result itself. Default: `false`.
   */
  readonly answer?: boolean | ((result: A) => string) | undefined
  /**
   * Undoes a call that succeeded, if the run does not complete. It receives the exit of the run. The calls are undone
   * in reverse order, after everything that ran was stopped, within `AgentRun.FinalizationBudget`. A failure is logged,
   * and the others are undone all the same. A run that waits for approvals counts as completed. Default: nothing is
   * undone.
   *
   * The transcript records that a call was undone, and `Agent.continue` makes it again. A call whose `undo` has failed
   * keeps its result.
   */
  readonly undo?: ((result: A, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown>) | undefined
}

/**
 * The failures of a call: the failure of its tool, an `AiError` if the result does not fit the tool's schema, or
 * `NotExecuted`. A failure of a middleware around the call does not reach the program: it fails the run.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CallError<T extends Tool.Any> = Tool.Failure<T> | AiError.AiError | NotExecuted

/**
 * The calls of a program: one function for each tool, under its name.
 *
 * @category models
 * @since 0.1.0
 */
export type Calls<Tools extends Record<string, Tool.Any>> = {
  readonly [Name in keyof Tools]: {} extends Tool.Parameters<Tools[Name]> ? (
      params?: Tool.Parameters<Tools[Name]>,
      options?: CallOptions<Tool.Success<Tools[Name]>>
    ) => Effect.Effect<Tool.Success<Tools[Name]>, CallError<Tools[Name]>>
    : (
      params: Tool.Parameters<Tools[Name]>,
      options?: CallOptions<Tool.Success<Tools[Name]>>
    ) => Effect.Effect<Tool.Success<Tools[Name]>, CallError<Tools[Name]>>
}

/**
 * The options of an agent whose tools are called by a program.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<
  Tools extends Record<string, Tool.Any>,
  A,
  E,
  R,
  ToolkitError,
  ToolkitServices,
  Providers extends ReadonlyArray<ContextProvider.Any>,
  Middlewares extends ReadonlyArray<Middleware.Any>
> {
  /** The description that a calling model reads when this agent is a tool. Default: none. */
  readonly description?: string | undefined
  /** The tools that the program may call. Default: none. */
  readonly toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, ToolkitError, ToolkitServices> | undefined
  /** Context providers, in the order of their `beforeRun`s. Names are unique. Default: none. */
  readonly providers?: Providers | undefined
  /** Middleware around the run and its calls; the first is the outermost. Default: none. */
  readonly middleware?: Middlewares | undefined
  /** The program. */
  readonly run: (input: Input, call: Calls<Tools>) => Effect.Effect<A, E, R>
}

/**
 * The failures of such an agent, without those of its program and its toolkit.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AgentFailure<
  Providers extends ReadonlyArray<ContextProvider.Any>,
  Middlewares extends ReadonlyArray<Middleware.Any>
> = AgentError.AgentError | ContextProvider.Error<Providers[number]> | Middleware.Error<Middlewares[number]>

/**
 * The services of such an agent, without those of its program and its toolkit.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AgentServices<
  Tools extends Record<string, Tool.Any>,
  Providers extends ReadonlyArray<ContextProvider.Any>,
  Middlewares extends ReadonlyArray<Middleware.Any>
> =
  | Tool.HandlerServices<Tools[keyof Tools]>
  | ContextProvider.Services<Providers[number]>
  | Middleware.Services<Middlewares[number]>

/**
 * A call was not run, or did not run to its end, and the failure is not its tool's.
 *
 * - `denied`: a person, a rule, a limit or a middleware has refused it.
 * - `interrupted`: it was stopped, because the tool took too long or interrupted itself.
 * - `invalid`: its parameters were not accepted.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotExecuted extends Schema.Error<NotExecuted>("effect-agents/Program/NotExecuted")({
  _tag: Schema.tag("NotExecuted"),
  tool: Schema.String,
  toolCallId: Schema.String,
  problem: Schema.Literals(["denied", "interrupted", "invalid"]),
  reason: Schema.String
}) {
  override get message(): string {
    return `The call of \`${this.tool}\` was ${this.problem}: ${this.reason}`
  }
}

/**
 * Programs that call the tools of an agent, where another agent has a model: see `Agent.program`.
 *
 * A program is a function from an `Input` to an `Effect`. It makes its calls by the functions of `Calls`: one for each
 * tool, with the tool's parameters, success and failure. Effect's own combinators say what runs at the same time, what is
 * tried again, what races, and for how long.
 *
 * Each call is a tool call of the run: it goes through middleware, rules and approvals, and it is in the transcript with
 * its result. The calls that end together are a step, and the answer is the last one. A call that its program interrupts,
 * such as the loser of a race, has stopped before the program goes on, and its costs are counted.
 *
 * When a call waits for an approval, and the program makes no other one, the run completes with `"approval-required"`.
 * `Agent.resume` runs the program again from its beginning: it gets the results that are in the transcript, in the order
 * in which it got them before, and makes only the calls that have none. So does `Agent.continue` on its session after a
 * process has ended: with a `SessionHistory` of `"every-step"` a result is saved before the program gets it. What a
 * program does besides its calls is done again.
 *
 * A call is known by its tool and its `key`, or its parameters. Calls that are the same are known by the order in which
 * they were made. An approved call that the program does not make any more fails the run with `AgentError`
 * (`CallNotRepeated`). A program that ends needs no approvals any more: an answer that comes later is rejected.
 *
 * Guardrails of a program check its own prompt before it runs, each of its calls, and its answer before that is told: the
 * text, and the value as a text where it is not the same. With one that checks the output, a text of `answer` is told at
 * the end, as a whole. A text that a guardrail puts in the place of a value is the value then, if that was a text; otherwise
 * the run fails with `AgentError` (`InvalidOutput`). One that a guardrail answers in the place of the program has no value.
 * What a member says is checked by the guardrails of the member.
 *
 * A budget of a program is that of all of its members. One with `Budget.orFail` ends them all, and the program. Whatever
 * else a middleware has around a model call does not apply: a program makes no model call of its own.
 *
 * A program takes no messages: what `Steering` sends stays `unread`, and a run that would steer it waits in line. When it is
 * asked to stop, the calls that run end, and those that the program makes after that are not executed.
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
// what the input of a program and its options are told of, in the words of the seams
import type * as ContextProvider from "./ContextProvider.ts"
// as above
import type * as Middleware from "./Middleware.ts"

/**
 * What a program is told.
 *
 * - `prompt`: the text of the last message of the user.
 * - `conversation`: the messages up to that one, with it: those of the session come first. It has no system message.
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
 * How a call is made.
 *
 * **Gotchas**
 *
 * A process that is killed undoes nothing, or not everything, and its transcript does not say what it has undone.
 *
 * @category models
 * @since 0.1.0
 */
export interface CallOptions<in A> {
  /**
   * What the call is known by when the program is run again. Give one where the parameters are not the same the next time.
   * Default: its parameters.
   */
  readonly key?: string | undefined
  /**
   * Whether the text of the agent that is called is streamed as the text of this run. A function gives the text of a
   * result where nothing was streamed, as when the result is of an earlier run; with `true` it is the result itself.
   * Default: false.
   */
  readonly answer?: boolean | ((result: A) => string) | undefined
  /**
   * What is done when the call has succeeded and the run does not complete: the last one first, after everything that ran
   * was stopped, within `AgentRun.FinalizationBudget`. It is told how the run ended. One that fails is logged, and the
   * others are still called. A run that waits for approvals has completed. Default: nothing.
   *
   * The transcript says of a call that it was undone: `Agent.continue` makes it again. One whose `undo` has failed keeps
   * its result.
   */
  readonly undo?: ((result: A, exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown>) | undefined
}

/**
 * What a call fails with: the failure of its tool, an `AiError` where the tool's result is not of its schema, or
 * `NotExecuted`. What a middleware around the call fails with is not told to the program: it fails the run.
 *
 * @category utility types
 * @since 0.1.0
 */
export type CallError<T extends Tool.Any> = Tool.Failure<T> | AiError.AiError | NotExecuted

/**
 * The calls of a program: a function for each tool, by its name.
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
 * What an agent is made of whose tools are called by a program.
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
  /** What a model is told of the agent that may call it. Default: nothing. */
  readonly description?: string | undefined
  /** The tools that the program may call. Default: none. */
  readonly toolkit?: Effect.Effect<Toolkit.WithHandler<Tools>, ToolkitError, ToolkitServices> | undefined
  /** Context providers, in the order of their `beforeRun`s. Names are unique. Default: none. */
  readonly providers?: Providers | undefined
  /** What is around the run and its calls, the outermost first. Default: none. */
  readonly middleware?: Middlewares | undefined
  /** The program. */
  readonly run: (input: Input, call: Calls<Tools>) => Effect.Effect<A, E, R>
}

/**
 * What an agent fails with beside its program and its toolkit.
 *
 * @category utility types
 * @since 0.1.0
 */
export type AgentFailure<
  Providers extends ReadonlyArray<ContextProvider.Any>,
  Middlewares extends ReadonlyArray<Middleware.Any>
> = AgentError.AgentError | ContextProvider.Error<Providers[number]> | Middleware.Error<Middlewares[number]>

/**
 * What an agent needs beside its program and its toolkit.
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
 * A call was not run, or not to its end, and its tool did not say so.
 *
 * - `denied`: a person, a rule, a limit or a middleware did not let it run.
 * - `interrupted`: it was stopped: the tool took longer than it may, or interrupted itself.
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

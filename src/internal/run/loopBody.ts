/**
 * How the steps of a run begin: with its tools found, its prompt checked, and the
 * answers that it goes on with.
 *
 * @since 0.1.0
 */

import type * as LanguageModel from "effect/ai/LanguageModel"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as StopCondition from "../../StopCondition.ts"
import * as Approvals from "../approval/approval.ts"
import * as Continuing from "./continuing.ts"
import type * as Contributions from "./contributions.ts"
import type * as Lifecycle from "./lifecycle.ts"
import { Loop } from "./loop.ts"
import { ResumedLoop } from "./loopResumed.ts"
import * as Output from "../output/output.ts"
import * as Opening from "./opening.ts"
import * as Stopping from "./stopping.ts"
import type * as ToolHandler from "../tool/handler.ts"

/**
 * The options of an agent that the loop reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly instructions: string | undefined
  readonly toolkit: Opening.Own
  readonly middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>
  readonly stopWhen: ReadonlyArray<StopCondition.StopCondition>
  readonly output?: Output.Prepared | undefined
  readonly settings?: ((context: Context.Context<never>) => Context.Context<never>) | undefined
  readonly toolChoice?: ToolChoice | undefined
}

/**
 * The tool choice that a model is given: the same in each step, or a function of the finished steps.
 *
 * @category models
 * @since 0.1.0
 */
export type ToolChoice =
  | LanguageModel.ToolChoice<string>
  | ((steps: ReadonlyArray<AgentRun.Step>) => LanguageModel.ToolChoice<string>)

/**
 * The tools, the prompt and the answers that the steps of a run begin with.
 *
 * @category models
 * @since 0.1.0
 */
export interface Opened {
  readonly run: Lifecycle.Run
  readonly options: Options
  readonly contributions: Contributions.Contributions
  /** The agent's own tools. */
  readonly own: ToolHandler.WithHandler | undefined
  /** All tools of the run, its own and those that providers contribute. */
  readonly toolkit: ToolHandler.WithHandler | undefined
  readonly output: Output.RunOutput | undefined
  readonly stopping: Stopping.Stopping
}

/**
 * Makes the calls of a run: a model does, or a program.
 *
 * @category models
 * @since 0.1.0
 */
export interface Make {
  readonly begun: (opened: Opened) => Lifecycle.Body | Effect.Effect<Lifecycle.Body, unknown>
  readonly resumed: (opened: Opened, resumption: Approvals.Resumption) => Lifecycle.Body
}

/**
 * Creates the body of a run: its steps, between the `beforeRun`s and the `afterRun`s of its providers.
 *
 * @category constructors
 * @since 0.1.0
 */
export const body = (
  options: Options,
  make: Make = ofModel
): (
  run: Lifecycle.Run,
  contributions: Contributions.Contributions
) => Lifecycle.Body | Effect.Effect<Lifecycle.Body, unknown> => {
  const named = [...options.stopWhen]
  const stoppingOfAgent = Stopping.make(named)
  return (run, contributions) => {
    const open = (
      own: ToolHandler.WithHandler | undefined
    ): Lifecycle.Body | Effect.Effect<Lifecycle.Body, unknown> => {
      const found = Opening.toolkitsOf(own, contributions)
      if (Result.isFailure(found)) return Exit.fail(run.error(found.failure))
      const toolkits = found.success
      const output = options.output === undefined ? undefined : Output.open(options.output, toolkits)
      const merged = Opening.merged(toolkits)
      if (Result.isFailure(merged)) return Exit.fail(run.error(merged.failure))
      const toolkit = merged.success
      const { stopWhen } = contributions
      const stopping = stopWhen.length === 0 ? stoppingOfAgent : Stopping.make([...named, ...stopWhen])
      const opened = { run, options, contributions, own, toolkit, output, stopping }
      if (run.answers !== undefined) {
        const { kept, messages: contributed } = contributions
        const found = { session: run.session, contributed, kept, origin: run.origin, prompt: run.prompt }
        const resume = Approvals.resume({ ...found, answers: run.answers }, toolkit?.tools ?? {})
        return Effect.mapBoth(Effect.provideContext(resume, run.context), {
          onFailure: (reason) => run.error(reason),
          onSuccess: (resumption) => make.resumed(opened, resumption)
        })
      }
      if (run.continues === true) {
        const messages = Continuing.messagesOf(contributions)
        return Result.isFailure(messages)
          ? Exit.fail(run.error(new AgentError.NothingToContinue({ description: messages.failure })))
          : make.begun({ ...opened, contributions: { ...contributions, messages: messages.success } })
      }
      const refusal = Opening.refusalOf(run.prompt, "; `Agent.continue` goes on without one")
      return refusal === undefined ? make.begun(opened) : Exit.fail(run.error(refusal))
    }
    return Opening.withOwn(options.toolkit, run.outside ?? run.context, open)
  }
}

const ofModel: Make = {
  begun: (opened) => {
    const loop = new Loop(opened)
    const beginning = loop.begin()
    return beginning === undefined ? loop : Effect.as(beginning, loop)
  },
  resumed: (opened, resumption) => new ResumedLoop(opened, resumption)
}

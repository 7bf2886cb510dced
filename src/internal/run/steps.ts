/**
 * The finished steps of a run, and what comes after each: another step, or the end.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Approval from "../../Approval.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as StopCondition from "../../StopCondition.ts"
import * as Waiting from "../approval/waiting.ts"
import { type Edge, Tally } from "../model/edge.ts"
import type * as Output from "../output/output.ts"
import * as ToolHandler from "../tool/handler.ts"
import type { RunJournal } from "../journal/run.ts"
import type { Call, StepBuilder } from "../words/stepBuilder.ts"
import * as Contributions from "./contributions.ts"
import * as Inbox from "./inbox.ts"
import type * as Lifecycle from "./lifecycle.ts"
import type { Opened } from "./loopBody.ts"
import { compose, isIncomplete, progressOf, toMessages, toStep } from "./step.ts"
import * as Stopping from "./stopping.ts"

/**
 * Parts that contain at least the end of a step.
 *
 * @category models
 * @since 0.1.0
 */
export type Parts = [AgentRun.Part, ...Array<AgentRun.Part>]

const none: ReadonlyArray<Prompt.ToolApprovalRequestPart> = []

/**
 * The finished steps of one run: the state between two steps. Subclasses make the steps.
 *
 * @category models
 * @since 0.1.0
 */
export abstract class Steps {
  protected phase: "ask" | "asking" | "answering" | "telling" | "stopping" | "failing" = "ask"
  protected readonly run: Lifecycle.Run
  protected readonly output: Output.RunOutput | undefined
  protected readonly stopping: Stopping.Stopping
  protected readonly messages: Array<Prompt.Message>
  protected readonly transcriptFrom: number
  private readonly instructions: string
  /** The index up to which the messages are input. Messages of `Steering` come after it. */
  private readonly inputFrom: number
  private readonly inputTo: number
  readonly clock: Clock.Clock
  readonly startedAt: number
  readonly steps: Array<AgentRun.Step> = []
  protected readonly tally: Tally
  executedToolCalls = 0
  failedToolCalls = 0
  /** The step in progress. */
  protected builder: StepBuilder | undefined = undefined
  /** The edge of its model calls; `undefined` if the step began in another run. */
  protected edge: Edge | undefined = undefined
  protected approvals: Array<Approval.Approval> = []
  /** Whether the run has received the input that waited when it began. */
  protected hasListened = false
  // the end
  protected finalAnswer: AgentRun.StopReason | undefined = undefined
  protected value: unknown = undefined
  protected failure: Cause.Cause<unknown> = Cause.empty
  protected stopReason: AgentRun.StopReason = "stop"
  // the knowledge of the providers
  protected readonly contributions: Contributions.Contributions
  /** The step that has ended, until the providers know it. */
  private ended: { readonly step: AgentRun.Step; readonly to: number } | undefined = undefined
  /** The index up to which the providers know the messages. */
  protected toldTo: number

  constructor(
    { contributions, options, output, run, stopping }: Opened,
    own: ReadonlyArray<Prompt.Message>,
    waiting: ReadonlyArray<string> | undefined
  ) {
    const { accountants, clock } = run.surroundings
    this.run = run
    this.output = output
    this.stopping = stopping
    this.contributions = contributions
    this.tally = new Tally(accountants)
    this.clock = clock
    this.startedAt = clock.currentTimeMillisUnsafe()
    const instructions = contributions.instructions.length === 0
      ? options.instructions ?? ""
      : [options.instructions ?? [], contributions.instructions].flat().join("\n\n")
    const { history, prompt, system } = compose(instructions, contributions.messages, own, waiting)
    this.messages = [...system, ...history, ...prompt]
    this.transcriptFrom = system.length + history.length
    this.toldTo = this.messages.length
    this.instructions = instructions
    this.inputFrom = system.length
    this.inputTo = this.messages.length
  }

  /** Telemetry receives the input when nobody can refuse it any more, or its replacement. */
  protected showInput(isRefused: boolean): void {
    const { instructions, run } = this
    if (run.span === undefined && run.journal === undefined) return
    const input = this.messages.slice(this.inputFrom, this.inputTo)
    run.observe((span) => isRefused ? span.onRefused(instructions, input) : span.onInput(instructions, input))
  }

  get journal(): RunJournal | undefined {
    return this.run.journal
  }

  get usage(): AgentRun.Usage {
    return this.tally.usage
  }

  /** The messages of the run, from its prompt on. */
  protected transcript(): ReadonlyArray<Prompt.Message> {
    return this.messages.slice(this.transcriptFrom)
  }

  /** Tells the providers that the run begins. */
  protected start(): Effect.Effect<void, unknown> {
    const started = { request: this.run.request(), transcript: this.transcript() }
    return Effect.provideContext(Contributions.callAll(this.contributions.atStart, started), this.run.context)
  }

  // --- a step ends ------------------------------------------------------------

  protected endStep(
    calls: ReadonlyArray<Call>,
    results: ReadonlyArray<Middleware.ToolResult>
  ): AgentRun.StepEnd {
    const builder = this.builder!
    const usage = this.tally.endStep(builder)
    const step = toStep(this.steps.length, builder, { usage, names: this.edge?.answered?.names() }, calls, results)
    for (const { executed, isFailure } of step.toolCalls) {
      if (executed) this.executedToolCalls++
      if (isFailure) this.failedToolCalls++
    }
    for (let i = 0; i < calls.length; i++) {
      const requests = ToolHandler.requestsOf(results[i]) ?? none
      for (const request of requests) this.approvals.push(Waiting.toApproval(request, calls[i]))
    }
    for (const request of builder.hostedApprovals ?? none) this.approvals.push(Waiting.toHostedApproval(request))
    for (const message of this.toMessages(builder, results)) this.messages.push(message)
    this.steps.push(step)
    if (this.contributions.everyStep.length > 0) this.ended = { step, to: this.messages.length }
    this.builder = undefined
    return { type: "step-end", step }
  }

  protected toMessages(
    builder: StepBuilder,
    results: ReadonlyArray<Middleware.ToolResult>
  ): ReadonlyArray<Prompt.Message> {
    return toMessages(builder, results)
  }

  /** The model has finished. The run stops, unless messages wait for it. */
  protected finished(reason: AgentRun.StopReason, parts: Parts): Lifecycle.PartPull {
    return Inbox.isRecorded(this.run)
      ? this.listen(() => this.finishedNow(reason, parts))
      : this.finishedNow(reason, parts)
  }

  private finishedNow(reason: AgentRun.StopReason, parts: Parts): Lifecycle.PartPull {
    const mayGoOn = this.approvals.length === 0 && !Inbox.isStopping(this.run) && !isIncomplete(reason)
    if (!mayGoOn || !Inbox.goesOn(this.run)) return this.stopNext(reason, parts)
    this.output?.again()
    return this.follow(parts)
  }

  protected afterStep(parts: Parts): Lifecycle.PartPull {
    return Inbox.isRecorded(this.run) ? this.listen(() => this.follow(parts)) : this.follow(parts)
  }

  /** In a journal external input is recorded before the run decides by it. */
  protected listen(then: () => Lifecycle.PartPull): Lifecycle.PartPull {
    this.hasListened = true
    // if it is interrupted meanwhile, the run cannot go on
    this.phase = "telling"
    return Effect.matchCauseEffect(Effect.updateContext(Inbox.listen(this.run), () => this.run.context), {
      onFailure: (cause) => this.run.fail(cause),
      onSuccess: then
    })
  }

  private follow(parts: Parts): Lifecycle.PartPull {
    if (this.approvals.length > 0) return this.stopNext("approval-required", parts)
    const progress = progressOf(this)
    // predicates are user code; an exception fails the run
    const held = Result.try(() => this.stopping.conditions.find((condition) => condition.holds(progress)))
    return Result.isSuccess(held)
      ? this.nextStep(held.success, parts)
      : this.failNext(Cause.die(held.failure), parts)
  }

  private nextStep(condition: StopCondition.StopCondition | undefined, parts: Parts): Lifecycle.PartPull {
    if (condition !== undefined && Stopping.isLeave(condition)) return this.stopNext(condition.reason, parts)
    const isStopping = Inbox.isStopping(this.run)
    if (isStopping || condition?.then === "stop") {
      const reason = isStopping ? "stopped" : condition!.reason
      // a run with an output has to get its value
      return this.output === undefined ? this.stopNext(reason, parts) : this.askNext(reason, parts)
    }
    if (condition?.then === "fail") {
      const { steps, usage } = this
      return this.failNext(
        Cause.fail(this.run.error(new AgentError.LimitReached({ limit: condition.reason, steps, usage }))),
        parts
      )
    }
    return this.askNext(condition?.reason, parts)
  }

  // --- what follows -----------------------------------------------------------

  protected askNext(finalAnswer: AgentRun.StopReason | undefined, parts: Parts): Lifecycle.PartPull {
    this.finalAnswer = finalAnswer
    this.phase = "ask"
    parts.push({ type: "step-start", index: this.steps.length })
    return this.tell(parts)
  }

  protected stopNext(reason: AgentRun.StopReason, parts: Parts): Lifecycle.PartPull {
    this.stopReason = this.approvals.length > 0 ? "approval-required" : reason
    this.phase = "stopping"
    return this.tell(parts)
  }

  protected failNext(
    cause: Cause.Cause<unknown>,
    parts: readonly [AgentRun.Part, ...Array<AgentRun.Part>]
  ): Lifecycle.PartPull {
    this.failure = cause
    this.phase = "failing"
    return this.tell(parts)
  }

  /** The providers learn about a finished step before the consumer. */
  protected tell(parts: readonly [AgentRun.Part, ...Array<AgentRun.Part>]): Lifecycle.PartPull {
    const { ended, failure, phase } = this
    if (ended === undefined) return this.give(parts)
    const { step, to } = ended
    const finished = {
      request: this.run.request(),
      step,
      messages: this.messages.slice(this.toldTo, to),
      transcript: this.messages.slice(this.transcriptFrom, to)
    }
    this.ended = undefined
    this.toldTo = to
    // if it is interrupted while they are told, the run cannot go on
    this.phase = "telling"
    const telling = Contributions.callAll(this.contributions.everyStep, finished)
    return Effect.matchCauseEffect(Effect.provideContext(telling, this.run.context), {
      onFailure: (cause) => {
        this.failure = phase === "failing" ? Cause.combine(failure, cause) : cause
        this.phase = "failing"
        return this.give(parts)
      },
      onSuccess: () => {
        this.phase = phase
        return this.give(parts)
      }
    })
  }

  /** Ends the pull in progress with these parts. */
  protected give(parts: readonly [AgentRun.Part, ...Array<AgentRun.Part>]): Lifecycle.PartPull {
    this.run.turns.end()
    return Exit.succeed(parts)
  }

  protected complete(): Lifecycle.PartPull {
    const { approvals, steps, stopReason, usage, value } = this
    return this.run.complete({
      text: steps[steps.length - 1].text,
      value,
      usage,
      steps,
      stopReason,
      approvals,
      transcript: Prompt.fromMessages(this.transcript())
    })
  }
}

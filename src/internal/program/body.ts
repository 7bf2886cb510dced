/**
 * The run of an agent whose tools are called by a program.
 *
 * The program is one fiber beside the pull, which emits the parts of its calls. The answer is a step of its own, the
 * last one.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as Program from "../../Program.ts"
import * as Session from "../../Session.ts"
import * as Approvals from "../approval/approval.ts"
import * as Waiting from "../approval/waiting.ts"
import type * as Lifecycle from "../run/lifecycle.ts"
import type { Make, Opened } from "../run/loopBody.ts"
import type { Parts as StepParts } from "../run/steps.ts"
import * as ToolCalls from "../tool/calls.ts"
import type * as ToolHandler from "../tool/handler.ts"
import * as Json from "../words/json.ts"
import { ParentRun } from "../words/parentRun.ts"
import * as ProgramCall from "../words/programCall.ts"
import * as Replacements from "../words/replacements.ts"
import * as Parts from "../words/responseParts.ts"
import { StepBuilder, type StreamPart } from "../words/stepBuilder.ts"
import { ProgramCalls } from "./calls.ts"
import { type Checked, Checks } from "./checks.ts"
import { type CallOf, ProgramSteps } from "./steps.ts"
import type { PartPull } from "../words/partPull.ts"

/**
 * A program in a run. Its services are in the context that the run captures.
 *
 * @category models
 * @since 0.1.0
 */
export type Run = (input: Program.Input, calls: Record<string, CallOf>) => Effect.Effect<unknown, unknown>

const ended = "The program ended before this call did"

/**
 * The state of one run of a program.
 *
 * @category models
 * @since 0.1.0
 */
export class ProgramBody extends ProgramSteps implements Lifecycle.Body {
  readonly opening: ReadonlyArray<AgentRun.Part> = []
  private readonly program: Run
  private readonly toolkit: ToolHandler.WithHandler | undefined
  private readonly middleware: ReadonlyArray<Middleware.Middleware<unknown, never>>
  /** The guards of the program as a whole; `undefined` if it has no middleware. */
  private readonly checks: Checks | undefined
  private fiber: Fiber.Fiber<unknown, unknown> | undefined = undefined
  private exit: Exit.Exit<unknown, unknown> | undefined = undefined
  private readonly undone: Array<Pick<Prompt.ToolCallPart, "id" | "name">> = []

  constructor(opened: Opened, program: Run, resumption: Approvals.Resumption | undefined) {
    super(opened, resumption)
    this.program = program
    this.toolkit = opened.toolkit
    const { inherited } = opened.run.surroundings
    this.middleware = [...opened.options.middleware, ...opened.contributions.middleware, ...inherited]
    this.checks = this.middleware.length === 0 ? undefined : new Checks(this.middleware, opened.run.context)
    this.answers.isHeld = this.checks?.ofOutput === true
  }

  advance(): PartPull {
    switch (this.phase) {
      case "ask":
        return this.begin()
      case "answering":
        return this.drain()
      case "failing":
        return this.run.fail(this.failure)
      case "stopping":
        return this.complete()
      default:
        // the pull before this one was interrupted while the providers were told about something
        return this.run.fail(Cause.interrupt())
    }
  }

  // --- the beginning ----------------------------------------------------------

  private begin(): PartPull {
    // the prompt of a run that continues with answers was checked when the first run began
    return this.resumption === undefined && this.checks?.ofInput === true ? this.admit(this.checks) : this.enter()
  }

  /** Nothing of the prompt is kept, and the providers are told nothing, before its checks have let it through. */
  private admit(checks: Checks): PartPull {
    this.phase = "telling"
    return Effect.flatMap(checks.input(this.request()), ({ failure, isReplaced, refused, text }) => {
      if (refused !== undefined) this.refuse(refused)
      if (failure !== undefined) return this.run.fail(failure)
      return isReplaced ? this.tellAnswer([], undefined, [{ text, isStreamed: false }]) : this.enter()
    })
  }

  private refuse(guardrail: string): void {
    for (let i = this.transcriptFrom; i < this.messages.length; i++) {
      this.messages[i] = Replacements.refuse(this.messages[i], guardrail)
    }
    this.run.refuse(guardrail)
    this.showInput(true)
  }

  /** The program in the form of a model request. Without a prompt the last one of the conversation is used. */
  private request(): Middleware.ModelRequest {
    const { continues, definition, session } = this.run
    const transcript = continues === true
      ? this.messages.slice(this.messages.findLastIndex((message) => message.role === "user"))
      : this.transcript().slice()
    return {
      agent: definition.name,
      session,
      steps: this.steps.slice(),
      transcript,
      prompt: Prompt.fromMessages(Waiting.forModel(this.messages)),
      toolkit: this.toolkit,
      toolChoice: "auto"
    }
  }

  /** The answers are kept before any of their calls runs. */
  private enter(): PartPull {
    const { resumption, run } = this
    this.showInput(false)
    if (resumption === undefined && this.contributions.atStart.length === 0) return this.launch()
    this.phase = "telling"
    const start = Effect.suspend(() => this.start())
    return Effect.matchCauseEffect(resumption === undefined ? start : Approvals.claim(resumption, start), {
      onFailure: (cause) =>
        run.fail(Cause.map(cause, (e) => e instanceof AgentError.ApprovalRejected ? run.error(e) : e)),
      onSuccess: () => this.launch()
    })
  }

  private launch(): PartPull {
    const { run, toolkit } = this
    this.phase = "answering"
    const { journal, span } = run
    const runner = new ToolCalls.Runner({
      agent: run.definition.name,
      session: run.session,
      toolkit,
      middleware: this.middleware.flatMap((m) => m.tool ?? []),
      context: run.context,
      parent: run,
      startSpan: span === undefined && journal === undefined
        ? undefined
        : (request) => run.liveSpan()?.startTool(request),
      journal,
      ask: Waiting.toPart
    })
    this.calls = new ProgramCalls(runner, {
      messages: this.messages,
      allowance: this.stopping.toolCallLimit,
      onEnd: (index) => this.onCallEnd(index),
      onParts: (toolCallId, parts) => this.answers.emitted(toolCallId, parts)
    })
    const functions = Object.values(toolkit?.tools ?? {}).map((tool) => [tool.name, this.callOf(tool)] as const)
    const context = runner.parentRun === undefined ? run.context : Context.add(run.context, ParentRun, runner.parentRun)
    const program = Effect.suspend(() => this.program(this.input(), Object.fromEntries(functions)))
    // the program begins after the run knows its fiber, because it could end the run at once
    const begun = Effect.andThen(Effect.yieldNow, this.checks?.limit(program, () => this.request()) ?? program)
    this.fiber = Effect.runForkWith(context)(begun)
    this.fiber.addObserver((exit) => {
      this.exit = exit
      this.calls!.tell()
    })
    return this.drain()
  }

  private input(): Program.Input {
    const last = this.messages.findLastIndex((message) => message.role === "user")
    const user = this.messages[last]
    const text = user?.role === "user" ? user.content.flatMap((part) => part.type === "text" ? part.text : []) : []
    const conversation = Waiting.forModel(this.messages.slice(0, last + 1)).filter(({ role }) => role !== "system")
    return { prompt: text.join(""), conversation: Prompt.fromMessages(conversation), session: this.run.session }
  }

  /** Called when nothing has happened for a while. */
  protected override onQuiet(): void {
    if (!this.isWaiting || this.exit !== undefined || this.isEnding || this.calls!.isBusy) return
    if (this.over.length > 0 || this.undelivered.length > 0) return
    this.isSuspended = true
    this.calls!.tell()
  }

  // --- what is told -----------------------------------------------------------

  private drain(): PartPull {
    const calls = this.calls!
    const out: Array<AgentRun.Part> = this.answers.tell(calls.take())
    if (out.length > 0) this.openStep(out)
    const { over } = this
    if (over.length > 0) this.over = []
    const { failure } = calls
    if (over.length > 0) return this.endCalls(out, over)
    if (failure !== undefined) return Arr.isArrayNonEmpty(out) ? this.failNext(failure, out) : this.run.fail(failure)
    if (this.exit !== undefined || this.isSuspended) {
      return Arr.isArrayNonEmpty(out) ? this.give(out) : this.settle()
    }
    if (Arr.isArrayNonEmpty(out)) return this.give(out)
    return calls.begin() ? this.drain() : Effect.flatMap(calls.wait(), () => this.drain())
  }

  // --- the end ----------------------------------------------------------------

  /** The program has ended, or waits only for approvals. */
  private settle(): PartPull {
    const calls = this.calls!
    this.isEnding = true
    const stopping = this.fiber!.pollUnsafe() === undefined ? Fiber.interrupt(this.fiber!) : undefined
    const rest = calls.stop()
    if (stopping === undefined && rest === undefined) return this.settled()
    this.phase = "telling"
    const stopped = Effect.suspend(() =>
      this.run.closing(this.run.definition.name, Effect.andThen(stopping ?? Effect.void, rest ?? Effect.void)) ??
        Effect.void
    )
    return Effect.flatMap(Effect.uninterruptible(stopped), () => {
      this.phase = "answering"
      return this.settled()
    })
  }

  private settled(): PartPull {
    const { exit, isSuspended } = this
    const out: Array<AgentRun.Part> = this.answers.tell(this.calls!.take())
    const forgotten = this.replay.records.rest().find((record) =>
      record._tag === "Answered" && record.answered._tag === "Run"
    )
    const failure = !isSuspended && exit !== undefined && Exit.isFailure(exit)
      ? exit.cause
      : forgotten !== undefined
      ? Cause.fail(this.run.error(
        new AgentError.CallNotRepeated({ tool: forgotten.call.name, toolCallId: forgotten.call.id })
      ))
      : undefined
    if (failure === undefined && isSuspended) return this.suspend(out)
    const dropped = this.drop()
    if (dropped !== undefined) {
      this.openStep(out)
      out.push(...dropped)
    }
    if (failure !== undefined) {
      return Arr.isArrayNonEmpty(out) ? this.failNext(failure, out) : this.run.fail(failure)
    }
    if (dropped !== undefined) {
      this.undelivered = []
      return this.tell(out as StepParts)
    }
    return this.answer(out, (exit as Exit.Success<unknown>).value)
  }

  /** The open calls of the transcript that the program has not repeated. */
  private takeForgotten(): ReadonlyArray<Prompt.ToolCallPart> {
    return this.replay.records.takeRest().flatMap(({ _tag, call }) =>
      _tag === "Waiting" || _tag === "Answered" ? call : []
    )
  }

  /** The run ends with the approvals that it waits for. */
  private suspend(out: Array<AgentRun.Part>): PartPull {
    this.close(this.takeForgotten())
    const waiting = [...this.open].sort((self, that) => self - that)
    for (const { call, requests } of this.replay.waitingCalls) {
      for (const request of requests) {
        const part = Waiting.toPart(request, call)
        this.approvals.push(part.approval)
        out.push(part)
      }
    }
    this.openStep(out)
    out.push(this.stepOf(waiting))
    return this.stopNext("approval-required", out as StepParts)
  }

  /** Ends the calls that still ran, and those that wait for approvals that nobody needs any more. */
  private drop(): ReadonlyArray<AgentRun.Part> | undefined {
    const calls = this.calls!
    const indexes = [...this.open].sort((self, that) => self - that)
    for (const index of indexes) calls.drop(index, ended)
    const results = indexes.map((index) => calls.results[index]!)
    const earlier = [...this.replay.waitingCalls].map(({ call }) => call).concat(this.takeForgotten())
    this.replay.waitingCalls.clear()
    if (indexes.length === 0 && earlier.length === 0) return undefined
    this.close(earlier)
    return [...results, this.stepOf(indexes)]
  }

  /** Ends calls of the transcript that the program does not need any more. */
  private close(calls: ReadonlyArray<Prompt.ToolCallPart>): void {
    if (calls.length === 0) return
    this.messages.push(Parts.toolMessage(
      calls.map((call) => ProgramCall.withEnd(Session.interruptedResult(call, ended), "cancelled"))
    ))
  }

  private answer(out: Array<AgentRun.Part>, value: unknown): PartPull {
    const said = value === undefined ? "" : Json.toText(value)
    const texts = this.answers.all ?? [{ text: said, isStreamed: false }]
    const { checks } = this
    if (checks?.ofOutput !== true) return this.tellAnswer(out, value, texts)
    // if it is interrupted meanwhile, the run cannot go on
    this.phase = "telling"
    const text = texts.map(({ text }) => text).join("")
    const request = this.request()
    return Effect.flatMap(checks.output(request, text), (answer) => {
      if (answer.failure !== undefined) return this.stopAnswer(out, answer.text, answer.failure)
      // the value is checked too, even if the answer is another text
      const checked = said === text || said === "" ? Effect.succeed(answer) : checks.output(request, said)
      return Effect.flatMap(checked, (inValue) => {
        const failure = inValue.failure ?? (typeof value === "string" ? undefined : this.notReplaceable(said, inValue))
        if (failure !== undefined) return this.stopAnswer(out, answer.text, failure)
        const told = inValue.isReplaced && said !== "" ? inValue.text : value
        return this.tellAnswer(out, told, [{ text: answer.text, isStreamed: false }])
      })
    })
  }

  /** A text that replaces a value of another type is not a value of the program. */
  private notReplaceable(said: string, { isReplaced, text }: Checked): Cause.Cause<unknown> | undefined {
    if (!isReplaced || said === "") return undefined
    const message = "a guardrail has put a text in the place of a value that is no text"
    const { steps, usage } = this
    const issues = [{ path: [], message }]
    return Cause.fail(this.run.error(new AgentError.InvalidOutput({ issues, raw: text, steps, usage })))
  }

  /** A check has stopped the answer. The text that it had let through is emitted. */
  private stopAnswer(out: Array<AgentRun.Part>, text: string, failure: Cause.Cause<unknown>): PartPull {
    this.answers.letThrough = text
    if (text !== "") {
      this.openStep(out)
      out.push(...answerParts(0, text))
    }
    return Arr.isArrayNonEmpty(out) ? this.failNext(failure, out) : this.run.fail(failure)
  }

  private tellAnswer(
    out: Array<AgentRun.Part>,
    value: unknown,
    texts: ReadonlyArray<{ readonly text: string; readonly isStreamed: boolean }>
  ): PartPull {
    const builder = this.builder = new StepBuilder()
    builder.finishReason = "stop"
    this.value = value
    this.openStep(out)
    texts.forEach(({ isStreamed, text }, index) => {
      if (text === "") return
      const parts = answerParts(index, text)
      for (const part of parts) builder.add(part)
      if (!isStreamed) out.push(...parts)
    })
    this.inStep = false
    out.push(this.endStep([], []))
    return this.stopNext(this.limit ?? "stop", out as StepParts)
  }

  stop(exit: Exit.Exit<unknown, unknown>): Effect.Effect<unknown> | undefined {
    this.isEnding = true
    if (this.run.steering !== undefined) this.run.steering.inbox.isStopping = false
    const program = this.fiber === undefined || this.fiber.pollUnsafe() !== undefined
      ? undefined
      : Fiber.interrupt(this.fiber)
    const calls = this.calls?.stop()
    const stopped = program === undefined || calls === undefined
      ? program ?? calls
      : Effect.all([program, calls], { concurrency: 2, discard: true })
    if (Exit.isSuccess(exit) || (this.undos.length === 0 && stopped === undefined)) return stopped
    return Effect.andThen(stopped ?? Effect.void, Effect.suspend(() => this.undo(exit)))
  }

  /** Undoes the calls in reverse order, and records failures. The transcript records which calls were undone. */
  private undo(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.forEach(
      this.undos.splice(0).reverse(),
      ({ call, undo }) =>
        Effect.suspend(() => {
          const undoing = Effect.map(Effect.orDie(Effect.suspend(() => undo(exit))), () => void this.undone.push(call))
          return this.run.closing(`${call.name} (undo)`, undoing) ?? Effect.void
        }),
      { discard: true }
    )
  }

  get afterwards(): ReadonlyArray<Prompt.Message> {
    return ProgramCall.undoneMessages(this.undone)
  }

  partial(): Omit<AgentRun.Partial, "runId" | "totalUsage"> {
    const { steps, usage } = this
    return {
      transcript: Prompt.fromMessages(Session.close([...this.transcript(), ...this.cut()])),
      text: this.answers.text || (steps[steps.length - 1]?.text ?? ""),
      usage,
      steps
    }
  }
}

const answerParts = (index: number, text: string): ReadonlyArray<StreamPart> => {
  const id = `answer-${index}`
  return [Parts.textStart(id), Parts.textDelta(id, text), Parts.textEnd(id)]
}

/**
 * Creates the part of a run that makes the calls of a program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (program: Run): Make => ({
  begun: (opened) => new ProgramBody(opened, program, undefined),
  resumed: (opened, resumption) => new ProgramBody(opened, program, resumption)
})

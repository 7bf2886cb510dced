/**
 * The steps of one run, behind one pull.
 *
 * `openModel` is `ToolLoop.ask`, `drain` is `ToolLoop.answer` and `endStep` is `ToolLoop.advance`, over mutable state
 * and without a stream operator between the model and the consumer. A stream operator costs more for each part than
 * everything that happens here. The array of parts from the model is the array that the consumer gets.
 *
 * @since 0.1.0
 */

import * as LanguageModel from "effect/ai/LanguageModel"
import * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as AgentError from "../../AgentError.ts"
import * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Session from "../../Session.ts"
import * as Waiting from "../approval/waiting.ts"
import type { ModelEnd } from "../telemetry/instrumentation.ts"
import * as Cut from "./cut.ts"
import * as Inbox from "./inbox.ts"
import type * as Lifecycle from "./lifecycle.ts"
import type { Opened, Options, ToolChoice } from "./loopBody.ts"
import * as ModelCall from "../model/call.ts"
import { Edge, promote } from "../model/edge.ts"
import * as Output from "../output/output.ts"
import { isIncomplete, userMessage } from "./step.ts"
import { Checked } from "./checked.ts"
import type { Parts } from "./steps.ts"
import { type Call, StepBuilder, type StreamPart } from "../words/stepBuilder.ts"
import * as Text from "../words/text.ts"
import * as ToolCalls from "../tool/calls.ts"
import * as ToolHandler from "../tool/handler.ts"

const none: ReadonlyArray<never> = []

const opening: ReadonlyArray<AgentRun.Part> = [{ type: "step-start", index: 0 }]

/**
 * The mutable state of one run's steps, behind one pull.
 *
 * ask -> asking -> (answering ->) ask ... -> stopping
 *
 * @category models
 * @since 0.1.0
 */
export class Loop extends Checked implements Lifecycle.Body {
  readonly opening = opening
  private readonly model: LanguageModel.LanguageModel
  private readonly direct: ModelCall.Direct | undefined
  private readonly toolkit: ToolHandler.WithHandler | undefined
  private readonly own: ToolHandler.WithHandler | undefined
  private readonly toolChoice: ToolChoice
  private readonly settings: Options["settings"]
  private readonly hasApprovals: boolean
  // the current step
  private modelPull: Lifecycle.PartPull = Effect.never
  private readonly prompts = new Text.WellFormedPrompts()
  private pulling = false
  private modelScope: Scope.Closeable | undefined = undefined
  private freeScope: Scope.Closeable | undefined = undefined
  /** The prompt of the call, if it contains no approvals. */
  private plainPrompt: Prompt.Prompt | undefined = undefined
  private runner: ToolCalls.Runner | undefined = undefined
  protected toolCalls: ToolCalls.ToolCalls | undefined = undefined
  private reading: Output.Reading | undefined = undefined

  constructor(
    opened: Opened,
    own: ReadonlyArray<Prompt.Message> = opened.run.prompt.content,
    waiting?: ReadonlyArray<string>
  ) {
    super(opened, own, waiting)
    const { options, output, own: ownTools, run: { context }, toolkit } = opened
    this.model = Context.getUnsafe(context, LanguageModel.LanguageModel)
    this.toolkit = toolkit
    this.own = ownTools
    this.toolChoice = options.toolChoice ?? "auto"
    this.settings = options.settings
    this.direct = this.modelPlaces.length === 0 && output === undefined && opened.run.journal === undefined
      ? ModelCall.directly(this.model, context, options.settings)
      : undefined
    this.hasApprovals = this.messages.some(Waiting.isAboutApproval)
  }

  advance(): Lifecycle.PartPull {
    switch (this.phase) {
      case "asking":
        // the pull before this one was interrupted, and the model call with it
        if (this.pulling) return this.run.fail(Cause.interrupt())
        this.pulling = true
        return this.modelPull
      case "answering":
        // the pull before this one was interrupted after the calls were answered
        return this.toolCalls === undefined ? this.run.fail(Cause.interrupt()) : this.drain()
      case "ask":
        return Inbox.isRecorded(this.run) && !this.hasListened ? this.listen(() => this.ask()) : this.ask()
      case "telling":
        // the pull before this one was interrupted while the providers were told about a step
        return this.run.fail(Cause.interrupt())
      case "failing":
        return this.modelFailed(this.failure)
      case "stopping":
        return this.complete()
    }
  }

  // --- ask ------------------------------------------------------------------

  private ask(): Lifecycle.PartPull {
    this.phase = "ask"
    const taken = this.takeAdded()
    return taken === undefined ? this.openModel() : this.give(taken)
  }

  private openModel(): Lifecycle.PartPull {
    this.phase = "asking"
    this.pulling = true
    this.builder = new StepBuilder()
    if (this.settings === undefined && typeof this.toolChoice !== "function") return this.askModel()
    // these functions are user code; an exception fails the run
    const asked = Result.try(() => this.askModel())
    return Result.isFailure(asked) ? this.modelFailed(Cause.die(asked.failure)) : asked.success
  }

  private askModel(): Lifecycle.PartPull {
    // an empty scope serves the next call, too
    const scope = this.modelScope = this.freeScope ?? Scope.makeUnsafe()
    this.freeScope = undefined
    const request = this.request()
    this.checkAdded()
    // in a journal the span begins when the model is called
    const span = this.modelSpan = this.run.journal === undefined
      ? this.run.span?.startModel(request, this.begins())
      : undefined
    const edge = this.edge = new Edge(this.tally, this.prompts, span?.onCall)
    const { call, direct, model, modelHandlers: handlers, modelPlaces: middleware, plainPrompt } = this
    // the settings are for the agent's own model calls, and for the middleware around them
    const context = span?.context ?? this.run.context
    return direct?.(request, plainPrompt, scope, span, edge, handlers) ?? ModelCall.open(
      request,
      {
        model,
        middleware,
        call,
        context: this.listening(this.settings?.(context) ?? context),
        scope,
        edge,
        handlers
      }
    )
  }

  /** Called after all middleware, which may have made this the final call. */
  private readonly call: ModelCall.Call = (model, request) => {
    this.finalAnswer = request.finalAnswer
    const { journal } = this.run
    const own = journal === undefined
      ? model
      : journal.model(
        model,
        this.steps.length,
        () => this.modelSpan ??= this.run.liveSpan()?.startModel(request, this.begins())
      )
    const parts = this.output === undefined
      ? ModelCall.streamText(own, request, this.plainPrompt)
      : this.output.call(own, request)
    if (this.startFailure !== undefined) return Stream.die(this.startFailure)
    return this.admission === undefined ? parts : Stream.unwrap(Effect.as(this.admission.ask, parts))
  }

  private request(): Middleware.ModelRequest {
    // copies that only middleware can see
    const observed = this.modelPlaces.length > 0
    const content = this.messages.slice()
    this.asked = this.hasApprovals ? Waiting.forModel(content) : content
    const prompt = Prompt.fromMessages(this.asked)
    this.plainPrompt = this.hasApprovals ? undefined : prompt
    const chosen = typeof this.toolChoice === "function" ? this.toolChoice(this.steps.slice()) : this.toolChoice
    const wanted = this.output?.request(this.toolkit, chosen, this.finalAnswer)
    return {
      agent: this.run.definition.name,
      session: this.run.session,
      steps: observed ? this.steps.slice() : none,
      transcript: observed ? content.slice(this.transcriptFrom) : none,
      prompt,
      toolkit: wanted === undefined ? this.toolkit : wanted.toolkit,
      toolChoice: wanted?.toolChoice ?? (this.finalAnswer === undefined ? chosen : "none"),
      finalAnswer: this.finalAnswer,
      answerTool: wanted?.answerTool
    }
  }

  private readonly modelHandlers: ModelCall.Handlers = {
    onOpen: (pull) => {
      this.modelPull = pull
    },
    onSuccess: (parts) => this.onParts(parts),
    onDone: () => this.onModelEnd(),
    onFailure: (cause) => this.modelFailed(cause)
  }

  /** The same array is passed on to the consumer, unless the provider requests an approval in it. */
  private onParts(parts: readonly [StreamPart, ...Array<StreamPart>]): Lifecycle.PartPull {
    const builder = this.builder!
    this.pulling = false
    for (let i = 0; i < parts.length && builder.error === undefined; i++) builder.add(parts[i])
    this.modelSpan?.onParts(parts)
    const { error, hostedApprovals } = builder
    const told = hostedApprovals === undefined ? parts : Waiting.describeHosted(parts, hostedApprovals)
    if (error === undefined) {
      const partial = this.output?.onParts(parts)
      return this.give(partial === undefined ? told : [...told, partial])
    }
    const before = told.slice(0, parts.indexOf(error))
    const cause = Cause.fail(promote(error))
    return Arr.isArrayNonEmpty(before) ? this.failNext(cause, before) : this.modelFailed(cause)
  }

  private onModelEnd(): Lifecycle.PartPull {
    const { admission, replacements } = this
    if (admission?.isPending === true && replacements?.refused === undefined) {
      return Effect.matchCauseEffect(admission.end, {
        onFailure: (failure) => this.modelFailed(failure),
        onSuccess: () => this.onModelEnd()
      })
    }
    const scope = this.modelScope!
    if (scope.state._tag === "Empty") {
      this.freeScope = scope
      return this.afterModel()
    }
    // an interruption in here ends the run before its tools run, and waits for the end of the model
    const closing = Effect.suspend(() => {
      const close = Scope.closeUnsafe(scope, Exit.void) ?? Exit.void
      return this.run.closing(this.run.definition.name, close) ?? Effect.void
    })
    return Effect.flatMap(Effect.uninterruptible(closing), () => this.afterModel())
  }

  private modelFailed(cause: Cause.Cause<unknown>): Lifecycle.PartPull {
    this.refuseInput()
    if (!Cause.hasInterruptsOnly(cause)) this.endModelSpan({ _tag: "Failed", cause, usage: this.stepUsage() })
    return this.run.fail(this.startFailure ?? cause)
  }

  private endModelSpan(end: ModelEnd): void {
    const span = this.modelSpan
    this.modelSpan = undefined
    span?.end(end)
  }

  private stepUsage(): AgentRun.Usage {
    return this.tally.liveUsage(this.builder?.usage ?? AgentRun.emptyUsage)
  }

  private modelEnd(tag: "Finished" | "Cancelled"): ModelEnd {
    const builder = this.builder!
    return { _tag: tag, finishReason: builder.finishReason, usage: this.stepUsage(), content: builder.content() }
  }

  /** The model has finished: its calls are answered, or the step ends. */
  private afterModel(): Lifecycle.PartPull {
    const { calls, finishReason = "unknown" } = this.builder!
    this.modelScope = undefined
    this.pulling = false
    if (this.startFailure !== undefined) return this.modelFailed(this.startFailure)
    this.refuseInput()
    this.endAdded()
    if (this.modelSpan !== undefined) this.endModelSpan(this.modelEnd("Finished"))
    if (this.output !== undefined) return this.readOutput(this.output)
    if (calls === undefined) {
      const parts: Parts = [this.endStep([], [])]
      if (this.finalAnswer !== undefined) return this.stopNext(this.finalAnswer, parts)
      // the provider wants to continue with its own tools
      return finishReason === "pause" ? this.afterStep(parts) : this.finished(finishReason, parts)
    }
    if (this.finalAnswer !== undefined) {
      return this.deny(calls, this.finalAnswer, "No more tools may be called in this run")
    }
    if (isIncomplete(finishReason)) {
      return this.deny(calls, finishReason, `The response was incomplete: ${finishReason}`)
    }
    return this.runTools(calls)
  }

  /** With an output, the calls that are answers are not run, and the run ends with a value or fails. */
  private readOutput(output: Output.RunOutput): Lifecycle.PartPull {
    const builder = this.builder!
    const { finalAnswer } = this
    // if it is interrupted while it decodes, the run cannot go on
    this.pulling = true
    return Effect.matchCauseEffect(
      Effect.provideContext(output.read(builder, finalAnswer, this.replacements), this.run.context),
      {
        onFailure: (cause) => this.run.fail(cause),
        onSuccess: (reading) => {
          this.pulling = false
          this.reading = reading
          const calls = (builder.calls ?? []).filter((_, index) => reading.results[index] === undefined)
          return calls.length > 0 ? this.runTools(calls) : this.answered([], [])
        }
      }
    )
  }

  private runTools(calls: ReadonlyArray<Call>): Lifecycle.PartPull {
    this.toolCalls = new ToolCalls.ToolCalls(this.tools(), {
      calls,
      step: this.steps.length,
      messages: this.asked,
      allowance: this.stopping.toolCallLimit - this.executedToolCalls
    })
    this.phase = "answering"
    return this.drain()
  }

  protected tools(): ToolCalls.Runner {
    return this.runner ??= this.makeRunner()
  }

  private makeRunner(): ToolCalls.Runner {
    const { middleware, own, run, toolkit } = this
    const { journal, outside, span } = run
    return new ToolCalls.Runner({
      agent: run.definition.name,
      session: run.session,
      toolkit,
      middleware: middleware.flatMap((m) => m.tool ?? []),
      context: run.context,
      outside: outside === undefined || own === undefined ? undefined : { tools: own.tools, context: outside },
      parent: run,
      startSpan: span === undefined && journal === undefined
        ? undefined
        : (request) => run.liveSpan()?.startTool(request),
      ask: Waiting.toPart,
      journal
    })
  }

  // --- answer ---------------------------------------------------------------

  protected drain(): Lifecycle.PartPull {
    const toolCalls = this.toolCalls!
    // before `take`, which lets handlers go on that wait for the consumer
    const { done, failure } = toolCalls
    const out: Array<AgentRun.Part> = toolCalls.take()
    if (failure !== undefined) return Arr.isArrayNonEmpty(out) ? this.failNext(failure, out) : this.run.fail(failure)
    if (!done) {
      if (!Arr.isArrayNonEmpty(out)) return Effect.flatMap(toolCalls.wait(), () => this.drain())
      return this.give(out)
    }
    return this.afterTools(out, toolCalls.results as Array<Middleware.ToolResult>)
  }

  /** Every call has its result. */
  protected afterTools(out: Array<AgentRun.Part>, results: ReadonlyArray<Middleware.ToolResult>): Lifecycle.PartPull {
    if (this.reading !== undefined) return this.answered(out, results)
    out.push(this.endStep(this.builder!.calls!, results))
    return this.afterStep(out as Parts)
  }

  /** All calls have a result. If there was an answer, it ends the run or goes back to the model. */
  private answered(parts: Array<AgentRun.Part>, ran: ReadonlyArray<Middleware.ToolResult>): Lifecycle.PartPull {
    const { finalAnswer, steps } = this
    const { answer } = this.reading!
    const { calls = [] } = this.builder!
    const { all, own } = Output.settle(this.reading!, calls, ran)
    parts.push(...own, this.endStep(calls, all))
    this.reading = undefined
    const out = parts as Parts
    if (this.approvals.length > 0) return this.afterStep(out)
    const next = this.output!.next(answer)
    if (next._tag === "GoOn") {
      if (next.message !== undefined) this.messages.push(userMessage(next.message))
      return finalAnswer === undefined ? this.afterStep(out) : this.askNext(finalAnswer, out)
    }
    if (next._tag === "Accepted") {
      this.value = next.value
      return finalAnswer === undefined ? this.finished("output", out) : this.stopNext(finalAnswer, out)
    }
    const { issues, raw } = next
    const reason = new AgentError.InvalidOutput({ issues, raw, steps, usage: this.usage })
    return this.failNext(Cause.fail(this.run.error(reason)), out)
  }

  protected override endStep(
    calls: ReadonlyArray<Call>,
    results: ReadonlyArray<Middleware.ToolResult>
  ): AgentRun.StepEnd {
    this.toolCalls = undefined
    return super.endStep(calls, results)
  }

  /** Answers calls that may not run, and stops. */
  private deny(calls: ReadonlyArray<Call>, stopReason: AgentRun.StopReason, reason: string): Lifecycle.PartPull {
    const results = calls.map((call) => ToolHandler.notExecuted(call, "execution-denied", reason))
    const end = this.endStep(calls, results)
    return this.stopNext(stopReason, [...results as [Middleware.ToolResult], end])
  }

  // --- the end --------------------------------------------------------------

  stop(exit: Exit.Exit<unknown, unknown>): Effect.Effect<unknown> | undefined {
    // a request to stop this run must not stop the next one
    if (this.run.steering !== undefined) this.run.steering.inbox.isStopping = false
    const tools = this.toolCalls === undefined ? this.runner?.ended() : this.toolCalls.stop()
    const model = this.stopModel(exit)
    if (tools === undefined || model === undefined) return tools ?? model
    return Effect.all([model, tools], { concurrency: 2, discard: true })
  }

  private stopModel(exit: Exit.Exit<unknown, unknown>): Effect.Effect<unknown> | undefined {
    if (this.modelScope === undefined) return undefined
    const close = Scope.closeUnsafe(this.modelScope, exit) ?? Effect.void
    if (this.modelSpan === undefined) return close
    return Effect.onExit(close, () => Effect.sync(() => this.endModelSpan(this.modelEnd("Cancelled"))))
  }

  /** The messages of the unfinished step. */
  protected cut(): ReadonlyArray<Prompt.Message> {
    return this.builder === undefined ? [] : Cut.toMessages(this.builder, (call) => this.resultOf(call))
  }

  protected resultOf(call: Call): Middleware.ToolResult | undefined {
    const own = this.reading?.results[this.builder!.calls!.indexOf(call)]
    return own ?? this.toolCalls?.resultOf(call)
  }

  partial(): Omit<AgentRun.Partial, "runId" | "totalUsage"> {
    this.refuseInput()
    const { builder, steps } = this
    const rest = this.withhold() ? [] : this.cut()
    return {
      transcript: Prompt.fromMessages(Session.close([...this.transcript(), ...rest])),
      text: builder?.text() ?? steps[steps.length - 1]?.text ?? "",
      usage: builder === undefined ? this.usage : this.tally.usageWith(builder.usage),
      steps
    }
  }
}

/**
 * Runs the tool calls of one step. Each call has its own fiber, and only a limited number run at once. Results are
 * streamed as they come, and kept in the order of the calls.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import * as Tracer from "effect/Tracer"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
// it stands above; here it is asked for the recorded results of a call
import type { CallJournal, RunJournal } from "../journal/run.ts"
import type { Outside } from "../model/ownModel.ts"
// a call tells its span how it ended, but makes none
import type { ToolSpan } from "../telemetry/instrumentation.ts"
import { type Nested, ParentRun } from "../words/parentRun.ts"
import type { Call } from "../words/stepBuilder.ts"
import * as Around from "./around.ts"
import * as ToolHandler from "./handler.ts"
import * as NestedTools from "./nested.ts"

/** The number of results that may wait for the consumer before a handler with preliminary results has to wait. */
const highWater = 256

/**
 * The number of tool calls of one step that run at the same time. Default: 8.
 *
 * @category references
 * @since 0.1.0
 */
export const ToolConcurrency = Context.Reference<number>("effect-agents/ToolLoop/ToolConcurrency", {
  defaultValue: () => 8
})

/**
 * The time limit of a tool. A tool that takes longer is interrupted, the model is told, and the run goes on. Annotate a
 * single tool with it (`tool.annotate(ToolLoop.ToolTimeout, "5 seconds")`), or provide it for all tools of a run.
 * Default: no limit.
 *
 * @category references
 * @since 0.1.0
 */
export const ToolTimeout = Context.Reference<Duration.Input | undefined>("effect-agents/ToolLoop/ToolTimeout", {
  defaultValue: () => undefined
})

/**
 * What all tool calls of a run have in common.
 *
 * @category models
 * @since 0.1.0
 */
export interface Tools {
  readonly agent: string
  readonly session: string | undefined
  readonly toolkit: ToolHandler.WithHandler | undefined
  readonly middleware: ReadonlyArray<Middleware.ToolPlace<any, any>>
  readonly context: Context.Context<never>
  /** The tools that run with the model of the agent's caller, if that is another one than the agent's. */
  readonly outside?: Outside | undefined
  /** The run of the calls, which adds up the usage of the runs nested in them. */
  readonly parent: { readonly id: string; readonly addNestedUsage: (usage: AgentRun.Usage) => void } | undefined
  readonly startSpan: ((request: Middleware.ToolRequest) => ToolSpan | undefined) | undefined
  /** Requests the approval that a call needs. Without it such a call is denied. */
  readonly ask: ((request: Prompt.ToolApprovalRequestPart, call: Call) => AgentRun.ApprovalRequest) | undefined
  readonly journal?: RunJournal | undefined
}

/**
 * Prepares the tools of a run. Each handler is looked up once.
 *
 * @category constructors
 * @since 0.1.0
 */
export class Runner {
  readonly tools: Tools
  readonly concurrency: number
  /** The interrupted fibers of all steps that have not ended yet. */
  readonly ending = new Set<Fiber.Fiber<unknown, unknown>>()
  /** Whether no further call may start. */
  stopped = false
  /** The calls of the current step, or of the last one. */
  current: ToolCalls | undefined = undefined
  /** What the fibers of the tools know about the run. */
  readonly parentRun: ParentRun["Service"] | undefined
  private readonly prepared = new Map<string, Prepared>()

  constructor(tools: Tools) {
    this.tools = tools
    const concurrency = Context.get(tools.context, ToolConcurrency)
    this.concurrency = concurrency >= 1 ? concurrency : 1
    const { parent, session } = tools
    this.parentRun = parent === undefined ? undefined : {
      runId: parent.id,
      session,
      addNestedUsage: (usage) => parent.addNestedUsage(usage),
      messages: () => this.current?.messages ?? [],
      emit: (toolCallId, parts) => this.current?.emit(toolCallId, parts) ?? Effect.void,
      resumed: (toolCallId) => this.current?.resumed?.get(toolCallId),
      wait: (toolCallId, requests) =>
        Effect.suspend(() => {
          this.current?.suspend(toolCallId, requests)
          return Effect.interrupt
        })
    }
  }

  /** Starts no further call, and waits for the interrupted ones. Returns `undefined` if all have ended. */
  ended(): Effect.Effect<unknown> | undefined {
    this.stopped = true
    return this.ending.size === 0 ? undefined : Fiber.awaitAll([...this.ending])
  }

  /** Finds how to run the tool with this name. If there is no such tool, the model is told so. */
  find(name: string): Prepared {
    let prepared = this.prepared.get(name)
    if (prepared === undefined) {
      const { parentRun } = this
      const { context, middleware, outside, toolkit } = this.tools
      const tool = toolkit !== undefined && Object.hasOwn(toolkit.tools, name) ? toolkit.tools[name] : undefined
      const resolved = toolkit === undefined || tool === undefined
        ? { handler: ToolHandler.unknownTool(Object.keys(toolkit?.tools ?? {})), context }
        : outside !== undefined && Object.hasOwn(outside.tools, name)
        ? ToolHandler.resolveOutside(toolkit, tool, context, outside.context)
        : ToolHandler.resolve(toolkit, tool, context)
      const merged = parentRun === undefined ? resolved.context : Context.add(resolved.context, ParentRun, parentRun)
      const target = {
        tool,
        own: resolved.handler,
        context: merged,
        timeout: tool === undefined ? undefined : timeoutOf(tool, context)
      }
      prepared = {
        ...target,
        handler: middleware.length === 0
          ? target.own
          : Around.throughMiddleware(middleware, target, (other) => this.find(other)),
        fork: Effect.runForkWith(merged)
      }
      this.prepared.set(name, prepared)
    }
    return prepared
  }
}

const timeoutOf = (tool: Tool.Any, context: Context.Context<never>): Duration.Duration | undefined => {
  const annotated = tool.annotations.mapUnsafe.has(ToolTimeout.key)
  const timeout = Context.get(annotated ? tool.annotations : context, ToolTimeout)
  return timeout === undefined ? undefined : Duration.fromInputUnsafe(timeout)
}

interface Prepared extends Around.Target {
  readonly handler: ToolHandler.Handler
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.Fiber<A, E>
}

/**
 * The calls of one step, the messages that the model was called with, and the number of calls that may run.
 *
 * @category models
 * @since 0.1.0
 */
export interface Asked {
  readonly calls: ReadonlyArray<Call>
  /** The index of the step. */
  readonly step?: number | undefined
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly allowance: number
  /** Whether the calls are approved, so that nobody is asked again. */
  readonly isApproved?: boolean | undefined
  /** What the nested runs of the calls go on with, by the id of the call. */
  readonly resumed?: ReadonlyMap<string, Nested> | undefined
  /** The form in which calls are approved, and what a client has returned for them, by the id of the call. */
  readonly answers?: ReadonlyMap<string, Pick<ToolHandler.Asked, "approvedAs" | "returned">> | undefined
}

/**
 * What a step emits while its calls are answered.
 *
 * @category models
 * @since 0.1.0
 */
export type Answered = Middleware.ToolResult | AgentRun.ApprovalRequest | AgentRun.AgentPart | Call

/**
 * The calls of one step while they are answered.
 *
 * @category models
 * @since 0.1.0
 */
export class ToolCalls {
  /** The final results in the order of the calls. They are complete when `pull` is done. */
  readonly results: Array<Middleware.ToolResult | undefined>
  /** The number of calls that reached their tool. */
  executed = 0
  /** The cause of the first call that fails the run. */
  failure: Cause.Cause<unknown> | undefined = undefined
  protected readonly runner: Runner
  protected readonly calls: ReadonlyArray<Call>
  /** The messages that the model was called with. */
  readonly messages: ReadonlyArray<Prompt.Message>
  readonly isApproved: boolean
  readonly resumed: ReadonlyMap<string, Nested> | undefined
  /** The calls that end because a run nested in them waits for approvals. */
  private suspended: Map<string, ReadonlyArray<Prompt.ToolApprovalRequestPart>> | undefined = undefined
  protected allowance: number
  private readonly answers: Asked["answers"]
  private readonly step: number
  /** In a journal: the time by which decisions about the calls are made. */
  private readonly now: number | undefined
  protected readonly running = new Map<number, Running>()
  protected out: Array<Answered> = []
  protected next = 0
  protected pending: number
  protected wake: (() => void) | undefined = undefined
  private drained: Array<() => void> = []

  constructor(runner: Runner, asked: Asked) {
    const { allowance, answers, calls, isApproved = false, messages, resumed, step = 0 } = asked
    this.step = step
    this.now = runner.tools.journal?.scope.now
    this.runner = runner
    this.calls = calls
    this.messages = messages
    this.isApproved = isApproved
    this.resumed = resumed
    this.allowance = allowance
    this.answers = answers
    this.pending = calls.length
    this.results = calls.map(() => undefined)
    runner.current = this
    this.launch(undefined)
  }

  /** All that has come since the last time, in the order of arrival, with preliminary results and nested parts. */
  take(): Array<Answered> {
    const out = this.out
    this.out = []
    if (this.drained.length > 0) { for (const resume of this.drained.splice(0)) resume() }
    return out
  }

  /** Returns the final result of a call, if it has one. */
  resultOf(call: Call): Middleware.ToolResult | undefined {
    return this.results[this.calls.indexOf(call)]
  }

  /** Whether more calls were made than may run. */
  get isExhausted(): boolean {
    return this.executed > this.allowance
  }

  /** Whether every call has its final result. */
  get done(): boolean {
    return this.pending === 0
  }

  /** Succeeds when there is something to take, when all calls are done, or when a call has failed the run. */
  wait(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.out.length > 0 || this.pending === 0 || this.failure !== undefined) return resume(Effect.void)
      this.wake = () => resume(Effect.void)
    })
  }

  /** The results as a pull: done when every call has its final one, failed with the cause of a failing call. */
  pull(): Pull.Pull<readonly [Middleware.ToolResult, ...Array<Middleware.ToolResult>], unknown> {
    return Effect.suspend(() => {
      // nested parts and requests come only if there is a parent run
      const [first, ...rest] = this.take() as Array<Middleware.ToolResult>
      if (first !== undefined) return Exit.succeed([first, ...rest] as const)
      if (this.failure !== undefined) return Exit.failCause(this.failure)
      return this.done ? Cause.done() : Effect.flatMap(this.wait(), () => this.pull())
    })
  }

  /** Interrupts the calls that still run, and waits for them. Returns `undefined` if there are none. */
  stop(): Effect.Effect<unknown> | undefined {
    if (this.running.size === 0) return this.runner.ended()
    return Effect.suspend(() => {
      this.interrupt()
      return this.runner.ended() ?? Effect.void
    })
  }

  private interrupt(): void {
    const running = [...this.running.values()]
    this.running.clear()
    for (const { fiber, span, timer } of running) {
      timer?.interruptUnsafe()
      span?.end({ _tag: "Cancelled" })
      this.runner.ending.add(fiber)
      fiber.interruptUnsafe()
    }
  }

  /**
   * Calls that start while the consumer waits begin after a yield. Something that they emit at once could otherwise end
   * the run before it knows their fibers.
   */
  protected launch(begin: Effect.Effect<void> | undefined): void {
    while (this.mayStart) this.start(this.next++, begin)
  }

  /** Whether a call is in line that may run now. */
  protected get mayStart(): boolean {
    const { concurrency, stopped } = this.runner
    return this.next < this.calls.length && this.running.size < concurrency && this.failure === undefined && !stopped
  }

  protected start(index: number, begin: Effect.Effect<void> | undefined): void {
    const call = this.calls[index]
    const prepared = this.runner.find(call.name)
    const { agent, session, startSpan } = this.runner.tools
    const request: Middleware.ToolRequest = {
      agent,
      session,
      id: call.id,
      name: call.name,
      params: call.params,
      tool: prepared.tool
    }
    if (prepared.tool !== undefined && this.executed >= this.allowance) {
      return this.settle(index, ToolHandler.exhausted(call))
    }
    this.executed++
    const kept = this.keeping(call, startSpan && (() => startSpan(request)))
    const span = kept ?? startSpan?.(request)
    const handler = Effect.suspend(() =>
      prepared.handler(request, (result) => this.preliminary(index, result), this.askedOf(call, kept))
    )
    const handling = begin === undefined ? handler : Effect.andThen(begin, handler)
    const fiber = span === undefined
      ? prepared.fork(handling)
      : Effect.runForkWith(kept?.provide(prepared.context) ?? inSpan(prepared.context, span))(handling)
    const exit = fiber.pollUnsafe()
    if (exit !== undefined) return this.ended(index, call, span, exit)
    // a call has stopped the run before the run knew its fiber or this step
    if (this.runner.stopped) {
      span?.end({ _tag: "Cancelled" })
      fiber.interruptUnsafe()
      return this.interrupt()
    }
    const running: Running = { fiber, span, timer: undefined }
    this.running.set(index, running)
    const { timeout, tool } = prepared
    // a journal that records the call also applies its time limit
    const isTimed = timeout !== undefined && (kept === undefined || NestedTools.isRecorded(tool))
    if (isTimed) running.timer = this.startTimer(index, call, timeout)
    fiber.addObserver((exit) => {
      this.runner.ending.delete(fiber)
      if (this.running.get(index)?.fiber !== fiber) return
      this.running.delete(index)
      running.timer?.interruptUnsafe()
      this.ended(index, call, span, exit)
      this.launch(Effect.yieldNow)
      this.signal()
    })
  }

  protected askedOf({ id }: Call, kept: CallJournal | undefined): ToolHandler.Asked {
    const answer = this.answers?.get(id)
    if (answer === undefined && kept === undefined) return this
    const { isExhausted, messages } = this
    const isApproved = this.isApproved && answer?.approvedAs === undefined
    return { messages, isApproved, isExhausted, ...answer, keep: kept?.keep }
  }

  private keeping({ id }: Call, startSpan: (() => ToolSpan | undefined) | undefined): CallJournal | undefined {
    const { context, journal } = this.runner.tools
    return journal?.call(this.step, id, {
      now: this.now,
      startSpan,
      timeoutOf: (tool) => timeoutOf(tool, context),
      waitsFor: () => this.suspended?.get(id),
      onSlow: (fiber) => {
        this.runner.ending.add(fiber)
        fiber.addObserver(() => this.runner.ending.delete(fiber))
      }
    })
  }

  /** Interrupts a tool that does not end in time, and answers its call. Only the end of the run waits for the tool. */
  private startTimer(index: number, call: Call, timeout: Duration.Duration): Fiber.Fiber<void> {
    const timer = Effect.runForkWith(this.runner.tools.context)(Effect.sleep(timeout))
    timer.addObserver((exit) => {
      const running = this.running.get(index)
      if (Exit.isFailure(exit) || running === undefined) return
      this.running.delete(index)
      this.runner.ending.add(running.fiber)
      running.fiber.interruptUnsafe()
      const result = ToolHandler.tooSlow(call, timeout)
      running.span?.end({ _tag: "Result", result })
      this.settle(index, result)
      this.launch(Effect.yieldNow)
      this.signal()
    })
    return timer
  }

  protected ended(
    index: number,
    call: Call,
    span: ToolSpan | undefined,
    exit: Exit.Exit<Middleware.ToolResult, unknown>
  ): void {
    if (Exit.isSuccess(exit)) {
      span?.end({ _tag: "Result", result: exit.value })
      // the call did not reach its tool, so another one may
      if (!ToolHandler.wasExecuted(exit.value)) this.executed--
      return this.settle(index, exit.value)
    }
    if (Cause.hasInterruptsOnly(exit.cause) && this.runner.tools.journal?.isOver !== true) {
      const requests = this.suspended?.get(call.id)
      if (requests !== undefined) {
        const result = ToolHandler.waiting(call, requests)
        span?.end({ _tag: "Waiting" })
        this.executed--
        return this.settle(index, result)
      }
      const result = ToolHandler.notExecuted(call, "execution-interrupted", "The tool was interrupted")
      span?.end({ _tag: "Result", result })
      return this.settle(index, result)
    }
    span?.end({ _tag: "Failed", cause: exit.cause })
    this.failure = exit.cause
    this.interrupt()
  }

  protected settle(index: number, result: Middleware.ToolResult): void {
    this.pending--
    this.results[index] = result
    const requests = ToolHandler.requestsOf(result)
    if (requests === undefined) return void this.out.push(result)
    const { ask } = this.runner.tools
    if (ask === undefined) return void this.out.push(this.results[index] = ToolHandler.unanswerable(result))
    for (const request of requests) this.out.push(ask(request, this.calls[index]))
  }

  /** After the final result of a call, or after a failure of the step, nothing more is emitted. */
  private preliminary(index: number, result: Middleware.ToolResult): Effect.Effect<void> {
    if (this.results[index] !== undefined || this.failure !== undefined) return Effect.void
    this.out.push(result)
    return this.offered()
  }

  /** Emits the parts of a run nested in a call, as long as the call has no result. */
  emit(toolCallId: string, parts: ReadonlyArray<AgentRun.AgentPart>): Effect.Effect<void> {
    if (!this.isOpen(toolCallId) || this.failure !== undefined) return Effect.void
    for (const part of parts) this.out.push(part)
    return this.offered()
  }

  suspend(toolCallId: string, requests: ReadonlyArray<Prompt.ToolApprovalRequestPart>): void {
    this.suspended ??= new Map()
    this.suspended.set(toolCallId, requests)
  }

  protected isOpen(toolCallId: string): boolean {
    return this.calls.some(({ id }, index) => id === toolCallId && this.results[index] === undefined)
  }

  private offered(): Effect.Effect<void> {
    this.signal()
    return this.out.length < highWater ? Effect.void : Effect.callback<void>((resume) => {
      if (this.out.length < highWater) resume(Effect.void)
      else this.drained.push(() => resume(Effect.void))
    })
  }

  protected signal(): void {
    const wake = this.wake
    if (wake !== undefined) {
      this.wake = undefined
      wake()
    }
  }
}

/** The context of the run with the span as the parent. The handler gets its own services, too. */
const inSpan = (context: Context.Context<never>, span: ToolSpan): Context.Context<never> => {
  const parent = Context.getOrUndefined(span.context, Tracer.ParentSpan)
  return parent === undefined ? context : Context.add(context, Tracer.ParentSpan, parent)
}

interface Running {
  readonly fiber: Fiber.Fiber<Middleware.ToolResult, unknown>
  readonly span: ToolSpan | undefined
  timer: Fiber.Fiber<void> | undefined
}

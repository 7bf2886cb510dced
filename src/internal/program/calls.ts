/**
 * The tool calls of a program. They come one by one, and each ends by itself.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Scheduler from "effect/Scheduler"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as Program from "../../Program.ts"
import type * as Approvals from "../approval/approval.ts"
import type { CallJournal } from "../journal/run.ts"
import type { ToolSpan } from "../telemetry/instrumentation.ts"
import * as ToolCalls from "../tool/calls.ts"
import * as ToolHandler from "../tool/handler.ts"
import type * as ProgramCall from "../words/programCall.ts"
import * as Parts from "../words/responseParts.ts"
import type { Call } from "../words/stepBuilder.ts"
import * as Codec from "./codec.ts"
import type { Nested } from "../words/parentRun.ts"

/**
 * A call of a program. If its approval was answered, it is already in the transcript.
 *
 * @category models
 * @since 0.1.0
 */
export interface Made {
  readonly call: Call
  readonly answered?: Approvals.Answered | undefined
  readonly options: Program.CallOptions<unknown>
}

/**
 * The tool calls of a program.
 *
 * @category models
 * @since 0.1.0
 */
export class ProgramCalls extends ToolCalls.ToolCalls {
  /** The causes of the calls that have failed. */
  readonly failures = new Map<number, Cause.Cause<unknown>>()
  readonly made: Array<Made> = []
  private readonly own: Array<Call>
  private readonly indexes = new Map<string, number>()
  private readonly nested: Map<string, Nested>
  private readonly onEnd: (index: number) => void
  private readonly onParts: (toolCallId: string, parts: ReadonlyArray<AgentRun.AgentPart>) => void
  /** The calls that the program has interrupted, or did not wait for. */
  private readonly dropped = new Set<number>()
  /** The calls whose failure has no JSON form. */
  private readonly untold = new Set<number>()
  /** The failures of the tools themselves. */
  private readonly ofTool = new Map<number, Cause.Cause<unknown>>()
  private hasNews = false
  private isSignalling = false
  /** The dispatcher of the fiber that waits. */
  private dispatcher: Scheduler.SchedulerDispatcher | undefined = undefined

  constructor(
    runner: ToolCalls.Runner,
    options: {
      readonly messages: ReadonlyArray<Prompt.Message>
      readonly allowance: number
      /** Called when a call has its result, or waits for approvals. */
      readonly onEnd: (index: number) => void
      /** Called with the parts that the agent of a call emits. */
      readonly onParts: (toolCallId: string, parts: ReadonlyArray<AgentRun.AgentPart>) => void
    },
    own: Array<Call> = [],
    nested = new Map<string, Nested>()
  ) {
    super(runner, { calls: own, messages: options.messages, allowance: options.allowance, resumed: nested })
    this.own = own
    this.nested = nested
    this.onEnd = options.onEnd
    this.onParts = options.onParts
  }

  /** Makes a call. It begins when the run waits for it. */
  add(made: Made): number {
    const { answered, call } = made
    const index = this.own.push(call) - 1
    this.indexes.set(call.id, index)
    this.made.push(made)
    this.results.push(undefined)
    this.pending++
    if (answered === undefined) this.out.push(call)
    if (answered?._tag === "Denied") {
      this.settle(index, ToolHandler.notExecuted(call, "execution-denied", answered.reason))
    } else if (answered?.nested !== undefined) {
      this.nested.set(call.id, answered.nested)
    }
    this.signalLater()
    return index
  }

  /** Calls that the program makes together begin together, so a fiber that waits is woken after all of them. */
  private signalLater(): void {
    if (this.wake === undefined || this.isSignalling) return
    this.isSignalling = true
    this.dispatcher!.scheduleTask(() => {
      this.isSignalling = false
      this.signal()
    }, 0)
  }

  /**
   * Begins the calls in line, as far as the number of running calls permits, until anything comes of it at once, and
   * returns whether it did. Only the fiber that would wait otherwise may do this, because a call can end the run.
   */
  begin(): boolean {
    while (!this.hasCome && this.mayStart) this.start(this.next++, undefined)
    return this.hasCome
  }

  private get hasCome(): boolean {
    return this.out.length > 0 || this.hasNews
  }

  /** Lets no more calls run. */
  refuseMore(): void {
    this.allowance = 0
  }

  /** The approvals that a call waits for. */
  requestsOf(index: number): ReadonlyArray<Prompt.ToolApprovalRequestPart> | undefined {
    const result = this.results[index]
    return result === undefined ? undefined : ToolHandler.requestsOf(result)
  }

  /** Whether a call runs, or waits in line. */
  get isBusy(): boolean {
    return this.pending > 0
  }

  /**
   * Interrupts a call that is not needed any more. Afterwards everything that it began has ended, and its usage is
   * counted.
   */
  cancel(index: number, reason: string): Effect.Effect<void> {
    return Effect.suspend(() => {
      const end = () => {
        const result = this.results[index]
        if (result !== undefined && ToolHandler.requestsOf(result) === undefined) return
        if (result !== undefined) this.pending++
        this.dropped.add(index)
        this.settle(index, ToolHandler.notExecuted(this.own[index], "execution-interrupted", reason))
        this.launch(Effect.yieldNow)
        this.signal()
      }
      const running = this.running.get(index)
      if (running === undefined) return Effect.sync(end)
      this.running.delete(index)
      running.timer?.interruptUnsafe()
      running.span?.end({ _tag: "Cancelled" })
      this.runner.ending.add(running.fiber)
      running.fiber.interruptUnsafe()
      return Effect.andThen(Fiber.await(running.fiber), Effect.sync(end))
    })
  }

  /** Ends a call that is not over when the program ends. */
  drop(index: number, reason: string): void {
    this.results[index] = ToolHandler.notExecuted(this.own[index], "execution-interrupted", reason)
    this.dropped.add(index)
  }

  /** Whether the program learns that a call was not run, or not to its end. */
  isRefused(index: number): boolean {
    const result = this.results[index]
    return result !== undefined && !this.failures.has(index) &&
      (!ToolHandler.wasExecuted(result) || ToolHandler.executionFailureOf(result) !== undefined)
  }

  /** How a call has ended; `undefined` if it has not, or if it is not a call of this program. */
  endOf(id: string): ProgramCall.End | undefined {
    const index = this.indexes.get(id)
    if (index === undefined || this.results[index] === undefined) return undefined
    if (this.dropped.has(index)) return "cancelled"
    if (this.failures.has(index)) return this.untold.has(index) ? "failed" : "result"
    return this.isRefused(index) ? "denied" : "result"
  }

  override take(): ReturnType<ToolCalls.ToolCalls["take"]> {
    this.hasNews = false
    return super.take()
  }

  /** Wakes the waiting fiber. */
  tell(): void {
    this.hasNews = true
    this.signal()
  }

  private readonly news = Effect.callback<void>((resume) => {
    const come = () => {
      this.hasNews = false
      resume(Effect.void)
    }
    if (this.hasCome) come()
    else this.wake = come
  })

  /** Succeeds when there is something to take, or after `tell`. */
  override wait(): Effect.Effect<void> {
    return Effect.withFiber((fiber) => {
      this.dispatcher = fiber.currentDispatcher
      return this.news
    })
  }

  protected override start(index: number, begin: Effect.Effect<void> | undefined): void {
    // it was cancelled while it waited in line
    if (this.results[index] === undefined) super.start(index, begin)
  }

  protected override askedOf(call: Call, kept: CallJournal | undefined): ToolHandler.Asked {
    const index = this.indexes.get(call.id)!
    const { answered } = this.made[index]
    const { approvedAs, returned } = answered?._tag === "Run" ? answered : {}
    return {
      messages: this.messages,
      isApproved: answered?._tag === "Run" && approvedAs === undefined,
      isExhausted: this.isExhausted,
      approvedAs,
      returned,
      onFailure: (cause) => this.ofTool.set(index, cause),
      keep: kept?.keep
    }
  }

  protected override ended(
    index: number,
    call: Call,
    span: ToolSpan | undefined,
    exit: Exit.Exit<Middleware.ToolResult, unknown>
  ): void {
    const isOfTool = Exit.isFailure(exit) && !Cause.hasInterruptsOnly(exit.cause) && this.isOfTool(index, exit.cause)
    if (!isOfTool) {
      super.ended(index, call, span, exit)
      return this.failure === undefined ? undefined : this.tell()
    }
    span?.end({ _tag: "Failed", cause: exit.cause })
    this.failures.set(index, exit.cause)
    this.settle(index, this.failed(index, call, exit.cause))
  }

  /** A failure of a middleware is not a failure of the call: it fails the run. */
  private isOfTool(index: number, cause: Cause.Cause<unknown>): boolean {
    const own = this.ofTool.get(index)
    return own === cause || own !== undefined && Cause.squash(own) === Cause.squash(cause)
  }

  /** The program receives the failure itself, and readers of the transcript its JSON. */
  private failed(index: number, call: Call, cause: Cause.Cause<unknown>): Middleware.ToolResult {
    const error = Cause.findErrorOption(cause)
    const { tool } = this.runner.find(call.name)
    const json = error._tag === "Some" && tool !== undefined ? Codec.of(tool).failureToJson(error.value) : undefined
    if (json === undefined) this.untold.add(index)
    const result = json ?? "The call failed"
    return Parts.toolResult({
      id: call.id,
      name: call.name,
      result,
      encodedResult: result,
      isFailure: true,
      preliminary: false
    })
  }

  protected override isOpen(toolCallId: string): boolean {
    const index = this.indexes.get(toolCallId)
    return index !== undefined && this.results[index] === undefined
  }

  override emit(toolCallId: string, parts: ReadonlyArray<AgentRun.AgentPart>): Effect.Effect<void> {
    this.onParts(toolCallId, parts)
    return super.emit(toolCallId, parts)
  }

  protected override settle(index: number, result: Middleware.ToolResult): void {
    super.settle(index, result)
    this.onEnd(index)
  }
}

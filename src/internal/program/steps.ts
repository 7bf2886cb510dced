/**
 * The steps of a program: its calls, and the results that it receives.
 *
 * A step contains the calls that have ended since the step before. They are in the transcript, and the providers know
 * them, before the program receives their results.
 *
 * @since 0.1.0
 */

import * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import type * as Program from "../../Program.ts"
import type * as Approvals from "../approval/approval.ts"
import * as Cut from "../run/cut.ts"
import type { Opened } from "../run/loopBody.ts"
import { progressOf, toMessages } from "../run/step.ts"
import { type Parts as StepParts, Steps } from "../run/steps.ts"
import * as Json from "../words/json.ts"
import * as ProgramCall from "../words/programCall.ts"
import * as Parts from "../words/responseParts.ts"
import * as RunId from "../words/runId.ts"
import { type Call, StepBuilder } from "../words/stepBuilder.ts"
import { Answers } from "./answers.ts"
import type { ProgramCalls } from "./calls.ts"
import * as Codec from "./codec.ts"
import { Records } from "./records.ts"
import { Replay } from "./replay.ts"
import * as Results from "./results.ts"
import type { PartPull } from "../words/partPull.ts"

/**
 * A call of a program, as a function.
 *
 * @category models
 * @since 0.1.0
 */
export type CallOf = (params?: unknown, options?: Program.CallOptions<unknown>) => Effect.Effect<unknown, unknown>

type Called = Pick<Prompt.ToolCallPart, "id" | "name">

type Undo = (exit: Exit.Exit<unknown, unknown>) => Effect.Effect<unknown, unknown>

const notNeeded = "The program did not need the result any more"

/**
 * The state of the steps of one program.
 *
 * @category models
 * @since 0.1.0
 */
export abstract class ProgramSteps extends Steps {
  protected readonly resumption: Approvals.Resumption | undefined
  protected readonly replay: Replay
  protected calls: ProgramCalls | undefined = undefined
  /** Whether no more calls may be made. */
  protected isEnding = false
  /** Whether the program only waits for approvals. */
  protected isSuspended = false
  /** The calls that have ended since the last step, in order. */
  protected over: Array<number> = []
  /** The calls of the last step whose results the program has not received yet. */
  protected undelivered: ReadonlyArray<number> = []
  /** The calls that are not in a step yet. */
  protected readonly open = new Set<number>()
  /** The `undo`s of the calls that have succeeded, in order. */
  protected readonly undos: Array<{ readonly call: Called; readonly undo: Undo }> = []
  protected readonly answers = new Answers()
  /** The stop reason, if the program did not end by itself. */
  protected limit: AgentRun.StopReason | undefined = undefined
  protected inStep = false
  /** The calls that wait for approvals. */
  private readonly asking = new Set<number>()
  /** The functions that wait for the end of a call, by its index. */
  private readonly waiters = new Map<number, (exit: Exit.Exit<unknown, unknown>) => void>()
  private readonly makeId: () => string | Effect.Effect<string>

  constructor(opened: Opened, resumption: Approvals.Resumption | undefined) {
    const { contributions, run } = opened
    super(
      resumption === undefined
        ? opened
        : { ...opened, contributions: { ...contributions, messages: [...resumption.history] } },
      resumption?.own ?? run.prompt.content,
      resumption?.waited.map(({ call }) => call.id)
    )
    this.resumption = resumption
    this.makeId = RunId.makerIn(run.context, "call")
    // a conversation that a caller has handed in proves nothing about what has run
    const known = resumption?.conversation ?? (run.continues === true ? this.messages : [])
    this.replay = new Replay(
      new Records(afterUser(known), resumption?.answered ?? [], resumption?.waiting ?? []),
      run.context,
      () => this.onQuiet()
    )
    if (resumption !== undefined) {
      this.messages.push(Prompt.toolMessage({ content: resumption.responses }))
      this.toldTo = this.messages.length
    }
  }

  /** Called when the program has done nothing for a while. */
  protected abstract onQuiet(): void

  // --- a call -----------------------------------------------------------------

  protected callOf(tool: Tool.Any): CallOf {
    const codec = Codec.of(tool)
    return (params = {}, options = {}) =>
      Effect.suspend(() => {
        if (this.isSuspended) return Effect.never
        if (this.isEnding) return Effect.fail(Results.refused(tool.name, "", "interrupted", "The run is at its end"))
        const encoded = codec.encodeParams(params)
        return Exit.isExit(encoded) && Exit.isSuccess(encoded)
          ? this.call(tool, encoded.value, options)
          : Effect.flatMap(Effect.orDie(encoded), (encoded) => this.call(tool, encoded, options))
      })
  }

  private call(
    tool: Tool.Any,
    params: unknown,
    options: Program.CallOptions<unknown>
  ): Effect.Effect<unknown, unknown> {
    const { records } = this.replay
    const record = records.take(tool.name, options.key, params)
    const make = () => this.make(tool.name, params, { n: records.next++, key: options.key }, options)
    switch (record?._tag) {
      case undefined:
      case "Again":
        return make()
      case "Ended":
        return this.replay.inOrder(record.rank, () =>
          Effect.map(Results.kept(tool, record.result), (value) => {
            this.succeeded(record.call, value, options)
            return value
          }))
      case "Cancelled":
        return this.replay.unlessCancelled(make)
      case "Answered":
        return this.made({ call: record.answered.call, answered: record.answered, options })
      case "Waiting":
        return this.replay.waiting(record.waiting)
    }
  }

  private make(
    name: string,
    params: unknown,
    mark: ProgramCall.CallMark,
    options: Program.CallOptions<unknown>
  ): Effect.Effect<unknown, unknown> {
    const withId = (id: string) =>
      this.made({ call: Parts.toolCall(id, name, params, false, ProgramCall.toCallOptions(mark)), options })
    const id = this.makeId()
    return typeof id === "string" ? withId(id) : Effect.flatMap(id, withId)
  }

  private made(made: ProgramCalls["made"][number]): Effect.Effect<unknown, unknown> {
    return Effect.callback<unknown, unknown>((resume) => {
      const calls = this.calls!
      const index = calls.made.length
      this.waiters.set(index, resume)
      this.open.add(index)
      this.replay.touch()
      if (made.options.answer !== undefined && made.options.answer !== false) this.answers.add(made.call.id)
      calls.add(made)
      return Effect.suspend(() => {
        if (this.isEnding || !this.waiters.delete(index)) return Effect.void
        this.replay.touch()
        return calls.cancel(index, notNeeded)
      })
    })
  }

  /** A successful call is undone if the run does not complete, even if the program has never received its result. */
  private succeeded(call: Called, value: unknown, options: Program.CallOptions<unknown>): void {
    const { answer, undo } = options
    if (answer !== undefined && answer !== false) {
      // the function is user code; an exception fails the run
      const told = Result.try(() => this.answers.succeeded(call.id, value, answer === true ? Json.toText : answer))
      if (Result.isFailure(told)) this.calls!.failure ??= Cause.die(told.failure)
    }
    if (undo !== undefined) this.undos.push({ call, undo: (exit) => undo(value, exit) })
  }

  protected onCallEnd(index: number): void {
    if (this.calls!.requestsOf(index) === undefined) {
      const { call, options } = this.calls!.made[index]
      const exit = Results.exitOf(this.calls!, index)
      if (Exit.isSuccess(exit)) this.succeeded(call, exit.value, options)
      this.asking.delete(index)
      this.over.push(index)
    } else {
      this.asking.add(index)
      this.replay.watch()
    }
    this.calls!.tell()
  }

  protected get isWaiting(): boolean {
    return this.asking.size > 0 || this.replay.isHolding
  }

  // --- a step -----------------------------------------------------------------

  protected openStep(out: Array<AgentRun.Part>): void {
    if (this.inStep) return
    this.inStep = true
    out.unshift({ type: "step-start", index: this.steps.length })
  }

  /** Calls that have ended together are one step. */
  protected endCalls(out: Array<AgentRun.Part>, over: ReadonlyArray<number>): PartPull {
    this.openStep(out)
    out.push(this.stepOf(over))
    this.undelivered = over
    const isStopping = this.run.steering?.inbox.isStopping === true
    if (this.contributions.stopWhen.length === 0 && !isStopping) return this.tell(out as StepParts)
    const progress = progressOf(this)
    const held = Result.try(() => this.contributions.stopWhen.find((condition) => condition.holds(progress)))
    if (Result.isFailure(held)) return this.failNext(Cause.die(held.failure), out as StepParts)
    if (held.success?.then === "fail") {
      const { steps, usage } = this
      const reason = new AgentError.LimitReached({ limit: held.success.reason, steps, usage })
      return this.failNext(Cause.fail(this.run.error(reason)), out as StepParts)
    }
    if (held.success !== undefined || isStopping) {
      this.limit ??= isStopping ? "stopped" : held.success!.reason
      this.calls!.refuseMore()
    }
    return this.tell(out as StepParts)
  }

  protected stepOf(indexes: ReadonlyArray<number>): AgentRun.StepEnd {
    const calls = this.calls!
    const builder = this.builder = new StepBuilder()
    builder.finishReason = "tool-calls"
    this.inStep = false
    for (const index of indexes) {
      this.open.delete(index)
      const { answered, call } = calls.made[index]
      if (answered === undefined) builder.add(call)
    }
    return this.endStep(indexes.map((index) => calls.made[index].call), indexes.map((index) => calls.results[index]!))
  }

  protected override toMessages(
    builder: StepBuilder,
    results: ReadonlyArray<Middleware.ToolResult>
  ): ReadonlyArray<Prompt.Message> {
    return toMessages(builder, results).map((message) => this.withEnds(message))
  }

  /** Records in each result how its call ended. */
  private withEnds(message: Prompt.Message): Prompt.Message {
    if (message.role !== "tool") return message
    const content = message.content.map((part) => {
      if (part.type !== "tool-result") return part
      const end = this.calls?.endOf(part.id)
      return end === undefined ? part : ProgramCall.withEnd(part, end)
    })
    return message.options === Parts.empty
      ? Parts.toolMessage(content)
      : Prompt.toolMessage({ content, options: message.options })
  }

  /** The program goes on when the providers know the results. */
  protected override give(parts: StepParts): PartPull {
    if (this.phase === "failing") return super.give(parts)
    const isDelivery = this.undelivered.length > 0
    this.deliver()
    return super.give(isDelivery && this.phase === "answering" ? this.withMade(parts) : parts)
  }

  /** The calls that the program makes at once with its results come together with the step before. */
  private withMade(parts: StepParts): StepParts {
    if (this.over.length > 0) return parts
    const made = this.answers.tell(this.calls!.take())
    if (made.length > 0) this.openStep(made)
    parts.push(...made)
    return parts
  }

  private deliver(): void {
    const indexes = this.undelivered
    this.undelivered = []
    for (const index of indexes) {
      const waiter = this.waiters.get(index)
      this.waiters.delete(index)
      this.replay.touch()
      waiter?.(Results.exitOf(this.calls!, index))
    }
    if (indexes.length > 0 && this.isWaiting) this.replay.watch()
  }

  /** The calls that are not in a step, with the results that they have. */
  protected cut(): ReadonlyArray<Prompt.Message> {
    const calls = this.calls
    if (calls === undefined || this.open.size === 0) return []
    const made = [...this.open].sort((self, that) => self - that).map((index) => calls.made[index])
    const builder = new StepBuilder()
    builder.finishReason = "tool-calls"
    for (const { answered, call } of made) if (answered === undefined) builder.add(call)
    const earlier = made.filter(({ answered }) => answered !== undefined).map(({ call }) => call)
    const resultOf = (call: Call) => calls.resultOf(call)
    return [
      ...Cut.toMessages(builder, resultOf),
      ...earlier.length > 0 ? [Cut.toResults(earlier, resultOf)] : []
    ].map((message) => this.withEnds(message))
  }
}

const afterUser = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> =>
  messages.slice(messages.findLastIndex((message) => message.role === "user") + 1)

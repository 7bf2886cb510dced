/**
 * The steps of a run that continues with answers to approvals.
 *
 * @since 0.1.0
 */
import * as Prompt from "effect/ai/Prompt"
import * as Arr from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as AgentError from "../../AgentError.ts"
import type * as AgentRun from "../../AgentRun.ts"
import type * as Middleware from "../../Middleware.ts"
import * as Approvals from "../approval/approval.ts"
import * as Waiting from "../approval/waiting.ts"
import * as Cut from "./cut.ts"
import { Loop } from "./loop.ts"
import type { Opened } from "./loopBody.ts"
import { StepBuilder } from "../words/stepBuilder.ts"
import * as ToolCalls from "../tool/calls.ts"
import type { PartPull } from "../words/partPull.ts"

/**
 * The steps of a run whose first step is the one that waited. The answered calls are run or denied, and then the run
 * goes on like any other.
 *
 * @category models
 * @since 0.1.0
 */
export class ResumedLoop extends Loop {
  private hasBegun = false
  private resumption: Approvals.Resumption | undefined

  constructor(opened: Opened, resumption: Approvals.Resumption) {
    const waiting = resumption.waited.map(({ call }) => call.id)
    super(
      { ...opened, contributions: { ...opened.contributions, messages: [...resumption.history] } },
      resumption.own,
      waiting
    )
    this.showInput(false)
    this.resumption = resumption
    this.asked = Waiting.forModel(this.messages.slice(0, this.messages.indexOf(resumption.assistant)))
    this.messages.push(Prompt.toolMessage({ content: resumption.responses }))
    this.toldTo = this.messages.length
  }

  override advance(): PartPull {
    if (this.hasBegun) return super.advance()
    this.hasBegun = true
    return this.resume(this.resumption!)
  }

  /** The answers are saved before any of their calls runs, so each call runs at most once. */
  private resume(resumption: Approvals.Resumption): PartPull {
    // if it is interrupted while they are saved, the run cannot go on
    this.phase = "answering"
    const { run } = this
    return Effect.matchCauseEffect(Approvals.claim(resumption, Effect.suspend(() => this.start())), {
      onFailure: (cause) =>
        run.fail(Cause.map(cause, (e) => e instanceof AgentError.ApprovalRejected ? run.error(e) : e)),
      onSuccess: () => this.runAnswered(resumption)
    })
  }

  /** The denied calls are answered first. */
  private runAnswered({ answered }: Approvals.Resumption): PartPull {
    const approved = answered.filter((one) => one._tag === "Run")
    this.builder = new StepBuilder()
    this.builder.finishReason = "tool-calls"
    this.toolCalls = new ToolCalls.ToolCalls(this.tools(), {
      calls: approved.map(({ call }) => call),
      messages: this.asked,
      allowance: this.stopping.toolCallLimit,
      isApproved: true,
      resumed: new Map(
        approved.flatMap(({ call, nested }) => nested === undefined ? [] : [[call.id, nested] as const])
      ),
      answers: new Map(
        approved.flatMap(({ approvedAs, call, returned }) =>
          approvedAs === undefined && returned === undefined ? [] : [[call.id, { approvedAs, returned }] as const]
        )
      )
    })
    const denied = answered.filter((one) => one._tag === "Denied").map(Approvals.denied)
    return Arr.isArrayNonEmpty(denied) ? Exit.succeed(denied) : this.drain()
  }

  protected override afterTools(
    parts: Array<AgentRun.Part>,
    ran: ReadonlyArray<Middleware.ToolResult>
  ): PartPull {
    if (this.resumption === undefined) return super.afterTools(parts, ran)
    const { answered, waiting } = this.resumption
    const next = ran[Symbol.iterator]()
    const results = answered.map((one) => one._tag === "Denied" ? Approvals.denied(one) : next.next().value!)
    this.resumption = undefined
    const end = this.endStep(answered.map(({ call }) => call), results)
    const asked = waiting.flatMap(({ call, requests }) => requests.map((request) => Waiting.toPart(request, call)))
    for (const { approval } of asked) this.approvals.push(approval)
    const out: Parts = [...parts as [AgentRun.Part], ...asked, end]
    return this.afterStep(out)
  }

  /** The step that waited did not end: its answers were saved before its calls ran, or not at all. */
  protected override cut(): ReadonlyArray<Prompt.Message> {
    if (this.resumption === undefined) return super.cut()
    const { answered } = this.resumption
    const calls = this.toolCalls === undefined ? [] : answered.map(({ call }) => call)
    const denied = new Map(answered.flatMap((one) => one._tag === "Denied" ? [[one.call, Approvals.denied(one)]] : []))
    return calls.length === 0 ? [] : [Cut.toResults(calls, (call) => denied.get(call) ?? this.resultOf(call))]
  }
}

type Parts = [AgentRun.Part, ...Array<AgentRun.Part>]

/**
 * What a run on another machine has cost, told to those who keep an account of the run that called it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as AgentRun from "../../AgentRun.ts"
import * as Spending from "../../internal/model/spending.ts"
import { ParentRun } from "../../internal/words/parentRun.ts"
import * as Usage from "../../internal/words/usage.ts"

/**
 * The cost of one run. It is known step by step, and at the end from the result, which also has what no step tells.
 *
 * @category models
 * @since 0.1.0
 */
export class RemoteUsage {
  private readonly accountants: ReadonlyArray<Spending.Accountant>
  private readonly parent: ParentRun["Service"] | undefined
  private total = AgentRun.emptyUsage

  constructor(context: Context.Context<never>) {
    this.accountants = Context.get(context, Spending.Accountants)
    this.parent = Context.getOrUndefined(context, ParentRun)
  }

  /** Returns whether this is the end of the run. */
  see(part: AgentRun.Part): boolean {
    switch (part.type) {
      case "run-end":
        this.spend(part.result.totalUsage, undefined, undefined)
        return true
      case "step-end":
        this.spend(AgentRun.addUsage(this.total, part.step.usage), part.step.model, part.step.provider)
        return false
      case "agent-part":
        if (part.part.type === "step-end") this.see(part.part)
        return false
      default:
        return false
    }
  }

  /** Called once, however the run ends here. */
  end(): void {
    this.parent?.addNestedUsage(this.total)
  }

  /** The usage that a server reports may be wrong. It never reduces a cost that was counted. */
  private spend(reported: AgentRun.Usage, model: string | undefined, provider: string | undefined): void {
    const after = notBelow(this.total, Usage.clean(reported))
    const cost: Spending.Cost = { before: this.total, after, model, modelBefore: model, provider, isReplayed: false }
    for (const accountant of this.accountants) accountant.spend(cost)
    this.total = after
  }
}

const notBelow = (before: AgentRun.Usage, after: AgentRun.Usage): AgentRun.Usage => ({
  inputTokens: largest(before.inputTokens, after.inputTokens),
  outputTokens: largest(before.outputTokens, after.outputTokens)
})

const largest = <Counts extends Readonly<Record<string, number | undefined>>>(
  before: Counts,
  after: Counts
): Counts => {
  const counts: Record<string, number | undefined> = { ...after }
  for (const key of Object.keys(before)) {
    const known = before[key]
    if (known !== undefined) counts[key] = Math.max(known, after[key] ?? 0)
  }
  return counts as Counts
}

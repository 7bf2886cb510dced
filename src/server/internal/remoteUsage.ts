/**
 * What a run on another machine has cost, told to those who keep an account of the run that called it.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as AgentRun from "../../AgentRun.ts"
import * as Spending from "../../internal/model/spending.ts"
import { ParentRun } from "../../internal/words/parentRun.ts"

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

  private spend(after: AgentRun.Usage, model: string | undefined, provider: string | undefined): void {
    const cost: Spending.Cost = { before: this.total, after, model, modelBefore: model, provider, isReplayed: false }
    for (const accountant of this.accountants) accountant.spend(cost)
    this.total = after
  }
}

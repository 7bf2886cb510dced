/**
 * What a run tells, on its way into the journal. Deltas that follow each other are one, and a run that is too large loses
 * parts.
 *
 * @since 0.1.0
 */

import * as Budget from "../../Budget.ts"
import * as AgentRun from "../../AgentRun.ts"
import { costOf } from "../../internal/budget/cost.ts"
import type { PartEncoded } from "../../internal/wire/parts.ts"
import type * as RunJournal from "../RunJournal.ts"

/** The most that is kept of the parts of a run, in characters of JSON. */
const maximumRun = 4_000_000

/** The most that is kept of one part. */
const maximumPart = 500_000

type Encoded = PartEncoded & Record<string, any>

/** The model that a run uses, as far as the context of its caller says it. */
interface Named {
  readonly model: string | undefined
  readonly provider: string | undefined
}

/**
 * Folds the parts of a run into those that are kept, and counts what the run has used.
 *
 * @category models
 * @since 0.1.0
 */
export class Recorder {
  private readonly budget: Budget.Budget | undefined
  private readonly named: Named
  private pending: Array<RunJournal.Told> = []
  private size = 0
  private models = new Map<string, string>()
  usage: AgentRun.Usage = AgentRun.emptyUsage
  cost: number | undefined
  stopReason: string | undefined
  isWaiting = false
  isCut = false

  constructor(prices: Budget.Price | Budget.Prices | undefined, named: Named) {
    this.budget = prices === undefined ? undefined : Budget.make({ money: 1, prices })
    this.named = named
  }

  /** Takes a part, and returns whether what is pending should be written now. */
  add(part: AgentRun.Part, encoded: PartEncoded, at: number): boolean {
    this.count(part, "")
    const own = innermost(encoded)
    const isDelta = own.type.endsWith("-delta")
    const last = this.pending.at(-1)
    if (isDelta && last !== undefined && isSameDelta(last.part as Encoded, encoded as Encoded)) {
      if (this.fits(own.delta.length)) innermost(last.part as Encoded).delta += own.delta
      return false
    }
    const kept: Encoded = { ...encoded }
    const length = JSON.stringify(kept).length
    if (length > maximumPart) this.isCut = true
    const shown = length > maximumPart ? shortened(kept) : kept
    // the end of a run is always kept
    if (part.type === "run-end" || this.fits(Math.min(length, maximumPart))) {
      this.pending.push({ at, part: shown as never })
    }
    return !isDelta
  }

  take(): ReadonlyArray<RunJournal.Told> {
    const { pending } = this
    this.pending = []
    return pending
  }

  private fits(length: number): boolean {
    this.size += length
    if (this.size > maximumRun) this.isCut = true
    return this.size <= maximumRun
  }

  private count(part: AgentRun.Part, runId: string): void {
    switch (part.type) {
      case "agent-part":
        return this.count(part.part, part.runId)
      case "response-metadata":
        if (part.modelId !== undefined) this.models.set(runId, part.modelId)
        return
      case "finish": {
        const usage = part.usage as AgentRun.Usage
        this.usage = AgentRun.addUsage(this.usage, usage)
        if (this.budget === undefined) return
        const { money } = costOf(this.budget, usage, this.models.get(runId) ?? this.named.model, this.named.provider)
        if (money !== undefined) this.cost = (this.cost ?? 0) + money
        return
      }
      case "run-end":
        if (runId !== "") return
        this.stopReason = part.result.stopReason
        this.isWaiting = part.result.approvals.length > 0
    }
  }
}

/** What a nested run has told, or the part itself. */
const innermost = (part: PartEncoded): Encoded =>
  part.type === "agent-part" ? innermost((part as Encoded)["part"]) : part as Encoded

const isSameDelta = (before: Encoded, encoded: Encoded): boolean => {
  if (before.type !== encoded.type) return false
  return before.type === "agent-part"
    ? before["runId"] === encoded["runId"] && isSameDelta(before["part"], encoded["part"])
    : before.id === encoded.id && typeof before.delta === "string"
}

/** What tells a part from others, without its values. */
const shortened = (part: Encoded): Encoded => {
  const { isFailure, id, name, part: inner, parentRunId, path, runId, toolCallId, type } = part
  const note = "This value is too large for the journal."
  const fields = {
    type,
    id,
    name,
    runId,
    parentRunId,
    path,
    toolCallId,
    isFailure,
    ...(type === "tool-result" && { result: note, encodedResult: note }),
    ...(type === "tool-call" && { params: note }),
    ...(inner !== undefined && { part: shortened(inner) }),
    ...(type === "run-end" && {
      result: { stopReason: part["result"].stopReason, usage: part["result"].usage, approvals: [] }
    })
  }
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as unknown as Encoded
}

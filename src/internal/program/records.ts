/**
 * The calls in the transcript of a program that is run again.
 *
 * A call of the program is the call of the transcript with the same tool and the same key, or, if neither has a key,
 * with the same tool and parameters. Equal calls are matched in the order in which the program had made them. Results
 * are given in the order in which the program had received them the first time, so that its next actions do not depend
 * on which of its fibers asks first.
 *
 * @since 0.1.0
 */

import type * as Prompt from "effect/ai/Prompt"
import type * as Approvals from "../approval/approval.ts"
import type * as Waiting from "../approval/waiting.ts"
import * as Json from "../words/json.ts"
import * as ProgramCall from "../words/programCall.ts"

/**
 * The state of a call in the transcript.
 *
 * - `Ended`: it has the result, which was the `rank`-th that the program received.
 * - `Cancelled`: the program had interrupted it, and will probably do so again.
 * - `Again`: its end is unknown or has no JSON form, or the call was undone, so it is made again.
 * - `Answered`: the approval that it waited for has an answer.
 * - `Waiting`: it waits for an approval.
 *
 * @category models
 * @since 0.1.0
 */
export type Record =
  & { readonly n: number; readonly call: Prompt.ToolCallPart }
  & (
    | { readonly _tag: "Ended"; readonly rank: number; readonly result: Prompt.ToolResultPart }
    | { readonly _tag: "Cancelled" }
    | { readonly _tag: "Again" }
    | { readonly _tag: "Answered"; readonly answered: Approvals.Answered }
    | { readonly _tag: "Waiting"; readonly waiting: Waiting.WaitingCall }
  )

/**
 * The calls of the transcript that the program has not repeated yet.
 *
 * @category models
 * @since 0.1.0
 */
export class Records {
  /** The number of the next call that is not in the transcript. */
  next = 0
  private readonly byName = new Map<string, Array<Record>>()

  constructor(
    messages: ReadonlyArray<Prompt.Message>,
    answered: ReadonlyArray<Approvals.Answered>,
    waiting: ReadonlyArray<Waiting.WaitingCall>
  ) {
    const results = new Map<string, { readonly part: Prompt.ToolResultPart; readonly rank: number }>()
    const undone = ProgramCall.undoneIn(messages)
    let rank = 0
    for (const message of messages) {
      if (message.role !== "tool") continue
      for (const part of message.content) {
        if (part.type !== "tool-result" || undone.has(part.id)) continue
        results.set(part.id, { part, rank: isGiven(part) ? rank++ : rank })
      }
    }
    const found: Array<{ readonly name: string; readonly record: Record }> = []
    for (const message of messages) {
      if (message.role !== "assistant") continue
      for (const call of message.content) {
        if (call.type !== "tool-call") continue
        const mark = ProgramCall.callMarkOf(call)
        if (mark === undefined) continue
        this.next = Math.max(this.next, mark.n + 1)
        const about = { n: mark.n, call }
        const answer = answered.find((one) => one.call.id === call.id)
        const waits = waiting.find((one) => one.call.id === call.id)
        found.push({
          name: nameOf(call.name, mark.key, call.params),
          record: answer !== undefined
            ? { ...about, _tag: "Answered", answered: answer }
            : waits !== undefined
            ? { ...about, _tag: "Waiting", waiting: waits }
            : ofResult(about, results.get(call.id))
        })
      }
    }
    found.sort((self, that) => self.record.n - that.record.n)
    for (const { name, record } of found) {
      const same = this.byName.get(name)
      if (same === undefined) this.byName.set(name, [record])
      else same.push(record)
    }
  }

  /** Removes and returns the record of this call, if there is one. */
  take(tool: string, key: string | undefined, params: unknown): Record | undefined {
    if (this.byName.size === 0) return undefined
    const name = nameOf(tool, key, params)
    const same = this.byName.get(name)
    const record = same?.shift()
    if (same?.length === 0) this.byName.delete(name)
    return record
  }

  /** Removes and returns the records that the program has not asked for. */
  takeRest(): ReadonlyArray<Record> {
    const rest = this.rest()
    this.byName.clear()
    return rest
  }

  /** Returns the records that the program has not asked for. */
  rest(): ReadonlyArray<Record> {
    return [...this.byName.values()].flat()
  }
}

const nameOf = (tool: string, key: string | undefined, params: unknown): string =>
  JSON.stringify(key === undefined ? [tool, Json.toKey(params)] : [tool, "", key])

const isGiven = (result: Prompt.ToolResultPart): boolean => {
  const end = ProgramCall.endOf(result)
  return end === "result" || end === "denied"
}

const ofResult = (
  about: { readonly n: number; readonly call: Prompt.ToolCallPart },
  result: { readonly part: Prompt.ToolResultPart; readonly rank: number } | undefined
): Record => {
  if (result === undefined) return { ...about, _tag: "Again" }
  if (isGiven(result.part)) return { ...about, _tag: "Ended", rank: result.rank, result: result.part }
  return ProgramCall.endOf(result.part) === "cancelled" ? { ...about, _tag: "Cancelled" } : { ...about, _tag: "Again" }
}

/**
 * The text of a program's run, as far as it is the text of agents that the program calls.
 *
 * @since 0.1.0
 */

import type * as AgentRun from "../../AgentRun.ts"
import * as Parts from "../words/responseParts.ts"

interface Streamed {
  /** The text of the step in progress, or of the last one. */
  text: string
  /** The same text, with the part of it that the run has not told yet. */
  whole: string
  /** The block that has not ended. */
  open: string | undefined
}

/**
 * The texts of the calls with the option `answer`.
 *
 * @category models
 * @since 0.1.0
 */
export class Answers {
  /** Whether the text is emitted as a whole after it was checked, and not as it comes. */
  isHeld = false
  /** The part of the text that checks have let through. */
  letThrough = ""
  private readonly streamed = new Map<string, Streamed>()
  private readonly ended: Array<{ readonly text: string; readonly isStreamed: boolean }> = []

  /** Makes the text of this call the text of the run. */
  add(toolCallId: string): void {
    this.streamed.set(toolCallId, { text: "", whole: "", open: undefined })
  }

  /** The agent of a call has emitted these parts, which the run may tell later. A call may end before that. */
  emitted(toolCallId: string, parts: ReadonlyArray<AgentRun.AgentPart>): void {
    const streamed = this.streamed.get(toolCallId)
    if (streamed === undefined) return
    for (const { part, path } of parts) {
      if (path.length > 1) continue
      if (part.type === "step-start") streamed.whole = ""
      else if (part.type === "text-delta") streamed.whole += part.delta
    }
  }

  /** The call has succeeded; one of an earlier run has streamed nothing in this one. */
  succeeded(toolCallId: string, value: unknown, textOf: (value: unknown) => string): void {
    const text = this.streamed.get(toolCallId)?.whole ?? ""
    const isStreamed = text !== "" && !this.isHeld
    this.ended.push({ text: text === "" ? textOf(value) : text, isStreamed })
  }

  /** What the answer is, in the order in which the calls have ended; undefined when none of them is. */
  get all(): ReadonlyArray<{ readonly text: string; readonly isStreamed: boolean }> | undefined {
    return this.ended.length === 0 ? undefined : this.ended
  }

  /** The text so far. */
  get text(): string {
    if (this.isHeld) return this.letThrough
    const begun = [...this.streamed.values()].map(({ text }) => text)
    return this.ended.length > 0 ? this.ended.map(({ text }) => text).join("") : begun.join("")
  }

  /** The parts, with the text of the answer beside that of its agent. */
  tell(parts: Array<AgentRun.Part>): Array<AgentRun.Part> {
    if (this.streamed.size === 0) return parts
    const told = parts.flatMap((part) => this.partsOf(part))
    return this.isHeld ? parts : told
  }

  private partsOf(part: AgentRun.Part): ReadonlyArray<AgentRun.Part> {
    if (part.type === "tool-result") {
      const open = this.streamed.get(part.id)?.open
      return open === undefined || part.preliminary ? [part] : [this.end(part.id, open), part]
    }
    if (part.type !== "agent-part" || part.path.length > 1) return [part]
    const streamed = this.streamed.get(part.toolCallId)
    if (streamed === undefined) return [part]
    const inner = part.part
    switch (inner.type) {
      case "step-start":
        streamed.text = ""
        return [part]
      case "text-start":
        streamed.open = inner.id
        return [part, Parts.textStart(idOf(part.toolCallId, inner.id))]
      case "text-delta":
        streamed.text += inner.delta
        return [part, Parts.textDelta(idOf(part.toolCallId, inner.id), inner.delta)]
      case "text-end":
        return [part, this.end(part.toolCallId, inner.id)]
      default:
        return [part]
    }
  }

  private end(toolCallId: string, id: string): AgentRun.Part {
    this.streamed.get(toolCallId)!.open = undefined
    return Parts.textEnd(idOf(toolCallId, id))
  }
}

const idOf = (toolCallId: string, id: string): string => `${toolCallId}:${id}`

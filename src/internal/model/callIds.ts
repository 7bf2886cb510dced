/**
 * The ids of tool calls. Each id is unique in its step.
 *
 * A provider may give several calls of one response the same id, or an empty one, and the attempts of one step may use
 * the same ids again. Data that belongs to a call by its id would then belong to another call: parameters, results,
 * approvals, spans. The first call keeps its id. A later call with the same id gets a number after it, in characters
 * that every provider accepts.
 *
 * @since 0.1.0
 */
import type { StreamPart } from "../words/stepBuilder.ts"

/**
 * The ids that are in use in a step.
 *
 * @category models
 * @since 0.1.0
 */
export class TakenIds {
  /** Most steps have one call. */
  private first: string | undefined = undefined
  private others: Set<string> | undefined = undefined
  /** The next number, for each id that has come. */
  private numbers: Map<string, number> | undefined = undefined

  /** Takes the id, or the next free one with a number. */
  take(id: string): string {
    const base = id.trim() === "" ? "call" : id
    if (this.add(base)) return base
    const numbers = this.numbers ??= new Map()
    let n = numbers.get(base) ?? 2
    while (!this.add(`${base}_${n}`)) n++
    numbers.set(base, n + 1)
    return `${base}_${n}`
  }

  /** Returns whether the id was free. */
  private add(id: string): boolean {
    if (this.first === undefined) {
      this.first = id
      return true
    }
    const others = this.others ??= new Set()
    if (id === this.first || others.has(id)) return false
    others.add(id)
    return true
  }
}

/** A call of a response that has more parts to come, with the id that it got. */
interface Known {
  readonly id: string
  readonly name: string
  hasEnded: boolean
  isAsked: boolean
}

/** The calls that came with the same id, in the order in which they began. */
interface SameId {
  /** The calls whose parameters were streamed, and that were not made yet. */
  readonly written: Array<Known>
  /** The calls that the provider executes, without a result yet. */
  readonly executed: Array<Known>
}

/**
 * The calls of one response. It gives each of their parts the id of its call.
 *
 * @category models
 * @since 0.1.0
 */
export class CallIds {
  private readonly ids: TakenIds
  private known: Map<string, SameId> | undefined = undefined

  constructor(ids: TakenIds) {
    this.ids = ids
  }

  /** Returns the part with the id of its call. Most often it is the same part. */
  rename(part: StreamPart): StreamPart {
    switch (part.type) {
      case "tool-params-start": {
        const call = this.begin(part)
        this.of(part.id).written.push(call)
        return renamed(part, call)
      }
      case "tool-params-delta":
      case "tool-params-end": {
        const call = this.of(part.id).written.findLast(({ hasEnded }) => !hasEnded)
        if (call !== undefined && part.type === "tool-params-end") call.hasEnded = true
        return renamed(part, call)
      }
      case "tool-call": {
        // most calls come as a whole, before any part of another call
        if (this.known === undefined && !part.providerExecuted) return withId(part, this.ids.take(part.id))
        const written = this.known?.get(part.id)?.written ?? []
        const call = takeFirst(written, ({ hasEnded, name }) => hasEnded && name === part.name) ??
          takeFirst(written, ({ name }) => name === part.name) ?? this.begin(part)
        if (part.providerExecuted) this.of(part.id).executed.push(call)
        return renamed(part, call)
      }
      case "tool-result": {
        const { executed } = this.of(part.id)
        const call = executed.find(({ name }) => name === part.name) ?? executed[0]
        if (!part.preliminary) takeFirst(executed, (other) => other === call)
        // without a call in this response it is the result of a call in an earlier step
        return renamed(part, call)
      }
      case "tool-approval-request": {
        const call = this.of(part.toolCallId).executed.find(({ isAsked }) => !isAsked)
        if (call === undefined) return part
        call.isAsked = true
        return call.id === part.toolCallId ? part : { ...part, toolCallId: call.id }
      }
      default:
        return part
    }
  }

  private of(id: string): SameId {
    const known = this.known ??= new Map()
    const same = known.get(id) ?? { written: [], executed: [] }
    known.set(id, same)
    return same
  }

  private begin({ id, name }: { readonly id: string; readonly name: string }): Known {
    return { id: this.ids.take(id), name, hasEnded: false, isAsked: false }
  }
}

const renamed = <Part extends StreamPart & { readonly id: string }>(part: Part, call: Known | undefined): Part =>
  call === undefined ? part : withId(part, call.id)

const withId = <Part extends StreamPart & { readonly id: string }>(part: Part, id: string): Part =>
  part.id === id ? part : { ...part, id }

const takeFirst = <A>(from: Array<A>, predicate: (a: A) => boolean): A | undefined => {
  const index = from.findIndex(predicate)
  return index === -1 ? undefined : from.splice(index, 1)[0]
}

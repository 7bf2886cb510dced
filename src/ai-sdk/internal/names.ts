/**
 * The names of tools and the ids of calls within one request, in a form that its target accepts, and back.
 *
 * An accepted name or id stays as it is. Another one is always changed in the same way, so the beginning of a growing
 * conversation stays the same, and no two become equal.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Hash from "effect/Hash"
import type { CallIds, Target } from "./target.ts"

const maximumName = 64

/** The names on the wire by those of ours, and the way back. */
interface Fitted {
  readonly onWire: Map<string, string>
  readonly back: Map<string, string>
}

const emptyFitted = (): Fitted => ({ onWire: new Map(), back: new Map() })

/**
 * The names of the tools of a call.
 *
 * @category models
 * @since 0.1.0
 */
export class ToolNames {
  private readonly declared: ReadonlySet<string>
  private readonly offered: Fitted
  /** Those that only the conversation has. */
  private others: Fitted | undefined = undefined
  private readonly anyStart: boolean

  /**
   * The names of the tools that are offered do not depend on those in the conversation: a call with the same tools as
   * the one before takes them over.
   */
  constructor({ anyStart }: Pick<Target, "anyStart">, tools: ReadonlyArray<Tool.Any>, before?: ToolNames) {
    this.anyStart = anyStart
    this.declared = before?.declared ?? new Set(tools.map((tool) => tool.name))
    this.offered = before?.offered ?? this.offer()
  }

  private offer(): Fitted {
    const offered = emptyFitted()
    for (const name of this.declared) if (this.isAccepted(name)) add(offered, name, name)
    for (const name of this.declared) {
      if (!offered.onWire.has(name)) add(offered, name, this.fit(name, (wire) => offered.back.has(wire)))
    }
    return offered
  }

  /** Returns whether a tool with this name is offered. */
  has(name: string): boolean {
    return this.declared.has(name)
  }

  /** Returns the target's name of a tool. */
  wire(name: string): string {
    const known = this.offered.onWire.get(name) ?? this.others?.onWire.get(name)
    if (known !== undefined) return known
    const others = this.others ??= emptyFitted()
    const isTaken = (wire: string) => this.offered.back.has(wire) || others.back.has(wire)
    return add(others, name, this.isAccepted(name) && !isTaken(name) ? name : this.fit(name, isTaken))
  }

  /** Returns our name of a tool that the target has named. */
  ours(wire: string): string {
    return this.offered.back.get(wire) ?? this.others?.back.get(wire) ?? wire
  }

  private fit(name: string, isTaken: (wire: string) => boolean): string {
    const fit = fitName(name, this.anyStart)
    let wire = fit.slice(0, maximumName)
    for (let salt = 0; (fit.length > maximumName && salt === 0) || isTaken(wire) || isInherited(wire); salt++) {
      wire = `${fit.slice(0, maximumName - 8)}_${digest(`${salt}:${name}`, 7)}`
    }
    return wire
  }

  private isAccepted(name: string): boolean {
    return /^[a-zA-Z0-9_-]{1,64}$/.test(name) && (this.anyStart || /^[a-zA-Z_]/.test(name)) && !isInherited(name)
  }
}

const add = ({ back, onWire }: Fitted, name: string, wire: string): string => {
  onWire.set(name, wire)
  back.set(wire, name)
  return wire
}

/**
 * Returns what makes the names of each call of one model. Most calls have the tools of the call before.
 *
 * @category constructors
 * @since 0.1.0
 */
export const maker = (target: Pick<Target, "anyStart">): (tools: ReadonlyArray<Tool.Any>) => ToolNames => {
  let last: { readonly tools: ReadonlyArray<Tool.Any>; readonly names: ToolNames } | undefined
  return (tools) => {
    const isSame = last !== undefined && last.tools.length === tools.length &&
      last.tools.every((tool, index) => tool === tools[index])
    const names = new ToolNames(target, tools, isSame ? last?.names : undefined)
    if (!isSame) last = { tools, names: new ToolNames(target, tools, names) }
    return names
  }
}

// Providers look names up in plain objects.
const isInherited = (name: string): boolean => name in Object.prototype

/** Returns a name that every API accepts, except for its length. */
export const fitName = (name: string, anyStart = false): string => {
  const plain = name.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replace(/[^a-zA-Z0-9_-]+/g, "_")
  if (!/[a-zA-Z0-9]/.test(plain)) return "tool"
  return anyStart || /^[a-zA-Z_]/.test(plain) ? plain : `_${plain}`
}

/**
 * The ids of the calls in a conversation. A result belongs to the last call with its id that has no result yet, because
 * providers that count the calls of each response anew use the same ids again and again.
 *
 * @category models
 * @since 0.1.0
 */
export class CallNames {
  private readonly ids: CallIds
  private messages: ReadonlyArray<Prompt.Message> = []
  private kept: ReadonlySet<string> | undefined = undefined
  /** The ids that were made here. Most ids stay as they are. */
  private made: Set<string> | undefined = undefined
  /** The wire ids of the calls with an id, and the number of these calls that have a result. */
  private readonly calls = new Map<string, { readonly wires: Array<string>; answered: number }>()

  constructor({ callId }: Pick<Target, "callId">) {
    this.ids = callId
  }

  /** Prepares for the calls in these messages, whose accepted ids stay as they are. */
  expect(messages: ReadonlyArray<Prompt.Message>): void {
    this.messages = messages
    this.kept = undefined
  }

  /** Returns the id of the next call. */
  call(id: string): string {
    const wire = this.ids.accepted.test(id) && !this.isUsed(id) ? id : this.make(id)
    const calls = this.calls.get(id)
    if (calls === undefined) this.calls.set(id, { wires: [wire], answered: 0 })
    else calls.wires.push(wire)
    return wire
  }

  /** Returns the id of the call that the next result belongs to. */
  result(id: string): string {
    const calls = this.calls.get(id)
    if (calls === undefined) return this.call(id)
    const { wires } = calls
    return calls.answered < wires.length ? wires[calls.answered++] : wires[wires.length - 1]
  }

  private isUsed(wire: string): boolean {
    return this.calls.get(wire)?.wires[0] === wire || this.made?.has(wire) === true
  }

  private make(id: string): string {
    const { maximum } = this.ids
    const kept = this.kept ??= this.findKept()
    const length = Math.min(9, maximum)
    const prefix = maximum - length < 2
      ? ""
      : `${id.replace(/[^a-zA-Z0-9_-]+/g, "_").slice(0, maximum - length - 1) || "call"}_`
    for (let salt = 0;; salt++) {
      const wire = `${prefix}${digest(`${salt}:${id}`, length)}`
      if (this.isUsed(wire) || kept.has(wire)) continue
      this.made ??= new Set()
      this.made.add(wire)
      return wire
    }
  }

  private findKept(): ReadonlySet<string> {
    const kept = new Set<string>()
    for (const message of this.messages) {
      if (message.role !== "assistant") continue
      for (const part of message.content) {
        if (part.type === "tool-call" && this.ids.accepted.test(part.id)) kept.add(part.id)
      }
    }
    return kept
  }
}

/** Letters and digits that identify a text. */
const digest = (text: string, length: number): string => {
  let out = ""
  for (let round = 0; out.length < length; round++) out += (Hash.string(`${text}:${round}`) >>> 0).toString(36)
  return out.slice(0, length)
}

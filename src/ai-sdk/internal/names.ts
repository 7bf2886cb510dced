/**
 * The names of tools and the ids of calls within one request, as its target accepts
 * them, and the way back.
 *
 * A name or an id that is accepted stays as it is. Another one is made fit, always in
 * the same way, so that the beginning of a growing conversation stays the same; no two
 * become one.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Tool from "effect/ai/Tool"
import * as Hash from "effect/Hash"
import type { CallIds, Target } from "./target.ts"

const maximumName = 64

/**
 * The names of the tools of a call.
 *
 * @category models
 * @since 0.1.0
 */
export class ToolNames {
  private readonly declared: ReadonlySet<string>
  private readonly onWire = new Map<string, string>()
  private readonly back = new Map<string, string>()
  private readonly anyStart: boolean

  /** The names of the tools that are offered do not depend on those in the conversation. */
  constructor({ anyStart }: Pick<Target, "anyStart">, tools: ReadonlyArray<Tool.Any>) {
    this.anyStart = anyStart
    this.declared = new Set(tools.map((tool) => tool.name))
    for (const name of this.declared) if (this.isAccepted(name)) this.add(name, name)
    for (const name of this.declared) this.wire(name)
  }

  /** Whether a tool of this name is offered. */
  has(name: string): boolean {
    return this.declared.has(name)
  }

  /** The name that the target knows a tool by. */
  wire(name: string): string {
    const known = this.onWire.get(name)
    if (known !== undefined) return known
    if (this.isAccepted(name) && !this.back.has(name)) return this.add(name, name)
    const fit = fitName(name, this.anyStart)
    let wire = fit.slice(0, maximumName)
    for (let salt = 0; (fit.length > maximumName && salt === 0) || this.back.has(wire) || isInherited(wire); salt++) {
      wire = `${fit.slice(0, maximumName - 8)}_${digest(`${salt}:${name}`, 7)}`
    }
    return this.add(name, wire)
  }

  /** The name of ours that the target means. */
  ours(wire: string): string {
    return this.back.get(wire) ?? wire
  }

  private add(name: string, wire: string): string {
    this.onWire.set(name, wire)
    this.back.set(wire, name)
    return wire
  }

  private isAccepted(name: string): boolean {
    return /^[a-zA-Z0-9_-]{1,64}$/.test(name) && (this.anyStart || /^[a-zA-Z_]/.test(name)) && !isInherited(name)
  }
}

// Providers look names up in plain objects.
const isInherited = (name: string): boolean => name in Object.prototype

/** A name that every API accepts, but for its length. */
export const fitName = (name: string, anyStart = false): string => {
  const plain = name.normalize("NFKD").replace(/[\u0300-\u036f]/g, "").replace(/[^a-zA-Z0-9_-]+/g, "_")
  if (!/[a-zA-Z0-9]/.test(plain)) return "tool"
  return anyStart || /^[a-zA-Z_]/.test(plain) ? plain : `_${plain}`
}

/**
 * The ids of the calls of a conversation. A result belongs to the last call with its id
 * that has none yet: providers that count their calls from the beginning in each
 * response give the same ids again and again.
 *
 * @category models
 * @since 0.1.0
 */
export class CallNames {
  private readonly ids: CallIds
  private readonly messages: ReadonlyArray<Prompt.Message>
  /** What is taken, and what stays as it is: most ids do. */
  private readonly used = new Set<string>()
  private kept: ReadonlySet<string> | undefined = undefined
  private readonly calls = new Map<string, Array<{ readonly wire: string; answered: boolean }>>()

  constructor({ callId }: Pick<Target, "callId">, messages: ReadonlyArray<Prompt.Message>) {
    this.ids = callId
    this.messages = messages
  }

  /** The id of the next call. */
  call(id: string): string {
    const wire = this.ids.accepted.test(id) && !this.used.has(id) ? id : this.make(id)
    this.used.add(wire)
    const calls = this.calls.get(id)
    if (calls === undefined) this.calls.set(id, [{ wire, answered: false }])
    else calls.push({ wire, answered: false })
    return wire
  }

  /** The id of the call that the next result belongs to. */
  result(id: string): string {
    const calls = this.calls.get(id)
    if (calls === undefined) return this.call(id)
    const call = calls.find(({ answered }) => !answered) ?? calls[calls.length - 1]
    call.answered = true
    return call.wire
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
      if (!this.used.has(wire) && !kept.has(wire)) return wire
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

/** Letters and digits that say which text it was. */
const digest = (text: string, length: number): string => {
  let out = ""
  for (let round = 0; out.length < length; round++) out += (Hash.string(`${text}:${round}`) >>> 0).toString(36)
  return out.slice(0, length)
}

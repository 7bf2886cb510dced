/**
 * The model calls of a run that has ended, found in its parts.
 *
 * The parts of a run do not contain the requests of its model: the system message, the history and the tools are missing.
 * They contain what each call answers, and that is enough to recognise it.
 *
 * @since 0.1.0
 */
import type * as Prompt from "effect/ai/Prompt"
import type * as Schema from "effect/Schema"
import type * as AgentRun from "../../AgentRun.ts"
import * as Address from "./address.ts"
import * as Turns from "./turns.ts"

type Json = Schema.Json

type Fields = Readonly<Record<string, Json>>

type Part = AgentRun.PartEncoded

/**
 * What a user says.
 *
 * @category models
 * @since 0.1.0
 */
export type Said = string | ReadonlyArray<Prompt.MessageEncoded>

/**
 * A model call of a run.
 *
 * - `turn`: the messages that it answers. It is empty if it is not known.
 * - `isWhole`: whether the answer of the model has come to its end.
 * - `results`: the final results of its tool calls, in the order of the calls.
 *
 * @category models
 * @since 0.1.0
 */
export interface ModelCall {
  readonly parts: ReadonlyArray<Part>
  readonly turn: ReadonlyArray<Turns.Message>
  readonly isWhole: boolean
  readonly results: ReadonlyArray<Part>
}

/**
 * A run, or a run that is nested in one.
 *
 * - `prompt`: the prompt, as far as it is known.
 * - `waiting`: the ids of the calls that wait for an approval.
 * - `result`: the result of a run that completed.
 *
 * @category models
 * @since 0.1.0
 */
export interface Run {
  readonly agent: string
  readonly isNested: boolean
  readonly prompt: ReadonlyArray<Turns.Message>
  readonly calls: ReadonlyArray<ModelCall>
  readonly waiting: ReadonlySet<string>
  readonly result: Fields | undefined
}

interface Step {
  readonly order: number
  readonly index: number
  readonly parts: Array<Part>
  readonly results: Array<Part>
  readonly steering: Array<Json>
  /** Whether a tool of the program has told something. */
  hasResults: boolean
}

class Found {
  agent = ""
  steps: Array<Step> = []
  result: Fields | undefined
  readonly waiting = new Set<string>()
  readonly isNested: boolean
  readonly isContinued: boolean

  constructor(isNested: boolean, isContinued: boolean) {
    this.isNested = isNested
    this.isContinued = isContinued
  }

  /** The steps with a model call. A run that goes on after approvals begins with a step that has tool calls only. */
  get asked(): ReadonlyArray<Step> {
    return this.steps.filter(({ hasResults, parts }, index) =>
      parts.length > 0 || !(hasResults || (index === 0 && this.isContinued))
    )
  }

  add(part: Part, order: number): void {
    const step = this.steps[this.steps.length - 1]
    switch (part.type) {
      case "step-end":
      case "output-partial":
        return
      case "run-start":
        this.agent = String(part.agent)
        return
      case "step-start":
        // the process has ended in the middle of this step, and another one makes its call again
        if (step !== undefined && step.index === part.index) this.steps.pop()
        this.steps.push({ order, index: Number(part.index), parts: [], results: [], steering: [], hasResults: false })
        return
      case "run-end":
        this.result = part.result as Fields
        return
      case "steering":
        step?.steering.push(part.message)
        return
      case "tool-approval-request":
        if (part.approval === undefined) step?.parts.push(part)
        this.waiting.add(String(part.toolCallId))
        return
      case "tool-result": {
        const isOfRun = part.providerExecuted !== true
        if (!isOfRun) step?.parts.push(part)
        else if (step !== undefined) step.hasResults = true
        if (isOfRun && part.preliminary !== true) step?.results.push(part)
        return
      }
      default:
        step?.parts.push(part)
    }
  }
}

const idsOf = (parts: ReadonlyArray<Part>): ReadonlyArray<Json> =>
  parts.flatMap((part) => part.type === "tool-call" ? [part.id] : [])

/** The results in the order of their calls, as the transcript has them. */
const inOrder = ({ parts, results }: Step): ReadonlyArray<Part> => {
  const ids = idsOf(parts)
  return results.slice().sort((a, b) => ids.indexOf(a.id) - ids.indexOf(b.id))
}

/** The messages after a step, as far as its parts and those of the next step tell them. */
const turnAfter = (before: Step, step: Step): ReadonlyArray<Turns.Message> =>
  Turns.messagesOf([
    {
      role: "tool",
      content: inOrder(before).map(({ encodedResult, id, isFailure, name }) => ({
        type: "tool-result",
        id,
        name,
        result: encodedResult ?? null,
        ...isFailure === true && { isFailure }
      }))
    },
    ...step.steering
  ])

/** The turns of the steps in the transcript, if each step has one answer in it. */
const turnsOf = ({ asked: steps, result }: Found): ReadonlyArray<ReadonlyArray<Turns.Message>> | undefined => {
  const messages = Turns.messagesOf(result?.transcript)
  const answers = messages.flatMap(({ role }, index) => role === "assistant" ? [index] : []).slice(-steps.length)
  const isComplete = answers.length === steps.length && answers.every((at, index) => {
    const calls = messages[at].content as unknown as ReadonlyArray<Part>
    return idsOf(calls).join() === idsOf(steps[index].parts).join()
  })
  return isComplete ? answers.map((at) => Turns.turnOf(messages.slice(0, at))) : undefined
}

interface Ordered extends Run {
  readonly orders: ReadonlyArray<number>
}

const toRun = (found: Found, prompt: Said | undefined): Ordered => {
  const { agent, asked, isNested, result, steps, waiting } = found
  const turns = turnsOf(found)
  const first = prompt === undefined
    ? []
    : Turns.turnOf(Turns.messagesOf(typeof prompt === "string" ? [{ role: "user", content: prompt }] : prompt))
  return {
    agent,
    isNested,
    // the first turn of a run that goes on has results of tools
    prompt: prompt === undefined && steps[0] === asked[0] ? turns?.[0] ?? [] : first,
    result,
    waiting,
    orders: asked.map(({ order }) => order),
    calls: asked.map((step, index): ModelCall => {
      const before = steps[steps.indexOf(step) - 1]
      return {
        parts: step.parts,
        results: inOrder(step),
        isWhole: step.parts.some(({ type }) => type === "finish"),
        turn: turns?.[index] ??
          (before === undefined ? [...first, ...Turns.messagesOf(step.steering)] : turnAfter(before, step))
      }
    })
  }
}

/** The runs in the order in which they began. A run that goes on after approvals is another run than the one before. */
const collect = (parts: Iterable<Part>, prompt: Said | undefined): ReadonlyArray<Ordered> => {
  const runs = new Map<string, Found>()
  const runOf = (id: string, isNested: boolean) => {
    const known = runs.get(id)
    if (known !== undefined) return known
    const isContinued = !isNested && Array.from(runs.values()).some((run) => !run.isNested && run.waiting.size > 0)
    const run = new Found(isNested, isContinued)
    runs.set(id, run)
    return run
  }
  let current = ""
  let order = 0
  for (const part of parts) {
    order++
    if (part.type === "agent-part") {
      // a part of a nested run has a part
      runOf(String(part.runId), true).add(part.part as unknown as Part, order)
      continue
    }
    if (part.type === "run-start") current = String(part.runId)
    runOf(current, false).add(part, order)
  }
  return Array.from(runs.values(), (found, index) => toRun(found, index === 0 ? prompt : undefined))
}

/**
 * Returns the run of these parts: the first that is not nested in another one.
 *
 * @category conversions
 * @since 0.1.0
 */
export const runOf = (parts: Iterable<Part>, prompt: Said | undefined): Run =>
  collect(parts, prompt).find(({ isNested }) => !isNested) ?? toRun(new Found(false, false), prompt)

/**
 * Returns the text of a cassette with the model calls of these parts, in the order in which they began.
 *
 * @category conversions
 * @since 0.1.0
 */
export const toCassette = (header: string, parts: Iterable<Part>, prompt: Said | undefined): string => {
  const counts = new Map<string, number>()
  const calls = collect(parts, prompt)
    .flatMap(({ calls, orders }) => calls.map((call, index) => ({ ...call, order: orders[index] })))
    .sort((a, b) => a.order - b.order)
  const lines = calls.flatMap(({ isWhole, parts, turn }) => {
    const request = { method: "streamText", turn }
    const call = Address.addressOf(Address.textOf(request))
    const nth = (counts.get(call) ?? 0) + 1
    counts.set(call, nth)
    return [
      JSON.stringify({ call, ...nth > 1 && { nth }, request }),
      ...parts.map((part) => JSON.stringify({ parts: [part] })),
      JSON.stringify({ end: isWhole ? "done" : "interrupted" })
    ]
  })
  return [header, ...lines, ""].join("\n")
}

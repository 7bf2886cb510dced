/**
 * A run as the text of a test: what its models have said, as the steps of a `ScriptedModel`.
 *
 * @since 0.1.0
 */

import * as Predicate from "effect/Predicate"
import type * as RunJournal from "../RunJournal.ts"

type Json = any

interface Step {
  readonly run: string
  readonly pieces: Array<string>
  readonly calls: Array<string>
  said: { readonly kind: "text" | "reasoning"; text: string } | undefined
  hasEnded: boolean
}

/**
 * Returns the steps of a run as source text, in the order in which the models were called: `[]` of arrays of pieces.
 *
 * @category conversions
 * @since 0.1.0
 */
export const stepsOf = (parts: ReadonlyArray<RunJournal.Told>): string => {
  const steps: Array<Step> = []
  const open = new Map<string, Step>()
  const add = (part: Json, run: string): void => {
    if (part.type === "agent-part") return add(part.part, part.runId)
    if (part.type === "step-start") {
      const begun = { run, pieces: [], calls: [], said: undefined, hasEnded: false }
      // a call that began again takes the place of the one before
      const before = part.restarted === true ? open.get(run) : undefined
      if (before === undefined) steps.push(begun)
      else steps[steps.indexOf(before)] = begun
      open.set(run, begun)
      return
    }
    const step = open.get(run)
    if (step !== undefined && !step.hasEnded) tell(step, part)
  }
  for (const { part } of parts) add(part, "")
  const texts = steps.map((step) => {
    close(step)
    if (!step.hasEnded) step.pieces.push("ScriptedModel.end")
    return `    [${step.pieces.join(", ")}]`
  })
  return `[\n${texts.join(",\n")}\n  ]`
}

const tell = (step: Step, part: Json): void => {
  switch (part.type) {
    case "text-delta":
    case "reasoning-delta": {
      const kind = part.type === "text-delta" ? "text" : "reasoning"
      if (step.said?.kind !== kind) {
        close(step)
        step.said = { kind, text: "" }
      }
      step.said!.text += part.delta
      return
    }
    case "text-end":
    case "reasoning-end":
      return close(step)
    case "tool-call":
      if (part.providerExecuted === true) return
      close(step, true)
      step.calls.push(`{ id: ${source(part.id)}, name: ${source(part.name)}, params: ${source(part.params)} }`)
      return
    case "source":
    case "file":
      close(step)
      step.pieces.push(`ScriptedModel.parts([${source(part)}])`)
      return
    case "finish": {
      const hasCalls = step.calls.length > 0
      close(step)
      const { inputTokens, outputTokens } = part.usage ?? {}
      const usage = `ScriptedModel.usage(${inputTokens?.total ?? 0}, ${outputTokens?.total ?? 0})`
      step.pieces.push(`ScriptedModel.finish(${source(part.reason ?? (hasCalls ? "tool-calls" : "stop"))}, ${usage})`)
      step.hasEnded = true
    }
  }
}

/** Writes down what was said, or the calls that were asked for. */
const close = (step: Step, callsGoOn = false): void => {
  if (step.said !== undefined) step.pieces.push(`ScriptedModel.${step.said.kind}(${source(step.said.text)})`)
  step.said = undefined
  if (callsGoOn || step.calls.length === 0) return
  step.pieces.push(`ScriptedModel.toolCalls(${step.calls.splice(0).join(", ")})`)
}

const source = (value: unknown): string => JSON.stringify(value) ?? "undefined"

/**
 * Returns the text of a test that makes the run again with a scripted model. The tools are those of the agent.
 *
 * @category conversions
 * @since 0.1.0
 */
export const testOf = (run: RunJournal.Run, parts: ReadonlyArray<RunJournal.Told>): string => {
  const end: Json = parts.findLast(({ part }) => Predicate.hasProperty(part, "type") && part.type === "run-end")?.part
  const { text, value } = end?.result ?? {}
  const checks = [
    end === undefined
      ? `    // the run was ${run.outcome}${run.failure === undefined ? "" : `: ${run.failure.code}`}`
      : `    assert.strictEqual(result.stopReason, ${source(end.result.stopReason)})`,
    ...(typeof text === "string" ? [`    assert.strictEqual(result.text, ${source(text)})`] : []),
    ...(value === undefined || value === null ? [] : [`    assert.deepStrictEqual(result.value, ${source(value)})`])
  ]
  return `import { assert, it } from "@effect/vitest"
import { Effect } from "effect"
import { Agent } from "effect-agents"
import { ScriptedModel } from "effect-agents/testing"
import { agent } from "./agents.ts" // the agent ${source(run.agent)}, and the layers of its tools

it.effect(${source(run.prompt ?? run.agent)}, () =>
  Effect.gen(function*() {
    const result = yield* Agent.run(agent, { prompt: ${source(run.prompt ?? "")} })
${checks.join("\n")}
  }).pipe(Effect.provide(ScriptedModel.layer(${stepsOf(parts)}))))
`
}

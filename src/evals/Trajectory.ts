/**
 * Scorers of the way to an answer: which tools an agent called, in which order, and with which arguments.
 *
 * The modes have the names of agentevals: `strict` (these calls, in this order), `unordered` (these calls, in any
 * order), `subset` (none but these) and `superset` (these, and perhaps others). A call is the name of a tool, or a name
 * with a condition on its arguments. The calls of nested runs do not count: they belong to the agent that was called.
 *
 * **Example** (A search before the answer)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Tool, Toolkit } from "effect/ai"
 * import { Agent } from "effect-agents"
 * import { Eval, Trajectory } from "effect-agents/evals"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const toolkit = Toolkit.make(Tool.make("search", {
 *   parameters: Schema.Struct({ text: Schema.String, limit: Schema.Int }),
 *   success: Schema.String
 * }))
 * const handlers = toolkit.toLayer({ search: () => Effect.succeed("nothing") })
 * const agent = Agent.make("librarian", { toolkit })
 *
 * const experiment = Eval.make("library", {
 *   cases: [{ id: "whales", input: "Is there a book on whales?" }],
 *   task: (prompt: string) => Agent.run(agent, { prompt }),
 *   scorers: [Trajectory.strict([Trajectory.including("search", { text: "whale" })])]
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "search", params: { text: "whales", limit: 10 } }),
 *   ScriptedModel.text("No.")
 * ])
 *
 * const program = Effect.gen(function*() {
 *   const report = yield* Eval.run(experiment)
 *   yield* Console.log(report.cases[0].trials[0].scores[0].explanation)
 * })
 *
 * Effect.runPromise(Effect.provide(program, [model, handlers]))
 * // => missing: search {"text":"whale"}; not expected: search {"text":"whales","limit":10}
 * ```
 *
 * @since 0.1.0
 */

import * as Equal from "effect/Equal"
import * as Inspectable from "effect/Inspectable"
import * as Predicate from "effect/Predicate"
import * as Schema from "effect/Schema"
import type * as AgentRun from "../AgentRun.ts"
import type * as Dataset from "./Dataset.ts"
import { pairUp } from "./internal/pairing.ts"
import * as Scorer from "./Scorer.ts"
import * as Trial from "./Trial.ts"

// =============================================================================
// Models
// =============================================================================

/**
 * An expected call: a tool, and a condition on the arguments as the model wrote them. `title` names it in explanations.
 *
 * @category models
 * @since 0.1.0
 */
export interface Call {
  readonly tool: string
  readonly title: string
  readonly matches: (params: unknown) => boolean
}

/**
 * Expected calls, for all cases or for each. The name of a tool stands for a call with any arguments.
 *
 * @category models
 * @since 0.1.0
 */
export type Expected<I = unknown, X = unknown> =
  | ReadonlyArray<string | Call>
  | ((of: Dataset.Case<I, X>) => ReadonlyArray<string | Call>)

// =============================================================================
// Calls
// =============================================================================

/**
 * A call with any arguments.
 *
 * @category calls
 * @since 0.1.0
 */
export const call = (tool: string): Call => ({ tool, title: tool, matches: () => true })

/**
 * A call with exactly these arguments.
 *
 * @category calls
 * @since 0.1.0
 */
export const exactly = (tool: string, params: unknown): Call => ({
  tool,
  title: `${tool} ${Inspectable.toStringUnknown(params, 0)}`,
  matches: (made) => Equal.equals(made, params)
})

/**
 * A call with at least these arguments. Objects in the arguments are compared in the same way, other values as a whole.
 *
 * @category calls
 * @since 0.1.0
 */
export const including = (tool: string, params: Readonly<Record<string, unknown>>): Call => ({
  tool,
  title: `${tool} ${Inspectable.toStringUnknown(params, 0)}`,
  matches: (made) => hasAll(made, params)
})

const hasAll = (made: unknown, wanted: unknown): boolean =>
  Predicate.isObject(wanted) && !Array.isArray(wanted)
    ? Predicate.isObject(made) &&
      Object.entries(wanted).every(([key, value]) => Object.hasOwn(made, key) && hasAll(made[key], value))
    : Equal.equals(made, wanted)

/**
 * A call whose arguments decode with a schema.
 *
 * @category calls
 * @since 0.1.0
 */
export const matching = <A, I>(tool: string, schema: Schema.Codec<A, I>): Call => {
  const decode = Schema.decodeUnknownResult(schema)
  return { tool, title: `${tool} with other arguments`, matches: (made) => decode(made)._tag === "Success" }
}

/**
 * A call whose arguments satisfy a predicate.
 *
 * @category calls
 * @since 0.1.0
 */
export const where = (tool: string, holds: (params: unknown) => boolean): Call => ({
  tool,
  title: `${tool} with other arguments`,
  matches: holds
})

// =============================================================================
// Scorers
// =============================================================================

/**
 * Passes a trial with exactly these calls, in this order.
 *
 * @category scorers
 * @since 0.1.0
 */
export const strict = <I = unknown, X = unknown>(expected: Expected<I, X>): Scorer.Scorer<I, X, unknown> =>
  of("strict", expected, (made, calls) => {
    const { extra, missing } = unpaired(made, calls)
    return missing.length === 0 && extra.length === 0 && !calls.every((call, index) => isMade(call, made[index]))
      ? { value: false, explanation: `in another order: ${made.map(titleOf).join(", ")}` }
      : verdict(missing, extra)
  })

/**
 * Passes a trial with exactly these calls, in any order.
 *
 * @category scorers
 * @since 0.1.0
 */
export const unordered = <I = unknown, X = unknown>(expected: Expected<I, X>): Scorer.Scorer<I, X, unknown> =>
  of("unordered", expected, (made, calls) => {
    const { extra, missing } = unpaired(made, calls)
    return verdict(missing, extra)
  })

/**
 * Passes a trial that has none but these calls. Some of them may be missing.
 *
 * @category scorers
 * @since 0.1.0
 */
export const subset = <I = unknown, X = unknown>(expected: Expected<I, X>): Scorer.Scorer<I, X, unknown> =>
  of("subset", expected, (made, calls) => verdict([], unpaired(made, calls).extra))

/**
 * Passes a trial that has all of these calls. It may have others, too.
 *
 * @category scorers
 * @since 0.1.0
 */
export const superset = <I = unknown, X = unknown>(expected: Expected<I, X>): Scorer.Scorer<I, X, unknown> =>
  of("superset", expected, (made, calls) => verdict(unpaired(made, calls).missing, []))

const of = <I, X>(
  mode: string,
  expected: Expected<I, X>,
  compare: (made: ReadonlyArray<AgentRun.ToolCall>, calls: ReadonlyArray<Call>) => Scorer.Verdict
): Scorer.Scorer<I, X, unknown> =>
  Scorer.make<I, X, unknown>(`trajectory ${mode}`, {
    atLeast: 1,
    score: (trial) => {
      const calls = typeof expected === "function" ? expected(trial.case) : expected
      return compare(Trial.toolCalls(trial), calls.map((_) => typeof _ === "string" ? call(_) : _))
    }
  })

const isMade = ({ matches, tool }: Call, { name, params }: AgentRun.ToolCall): boolean =>
  tool === name && matches(params)

const unpaired = (made: ReadonlyArray<AgentRun.ToolCall>, calls: ReadonlyArray<Call>) => {
  const { left, right } = pairUp(calls, made, isMade)
  return { missing: left, extra: right }
}

const verdict = (missing: ReadonlyArray<Call>, extra: ReadonlyArray<AgentRun.ToolCall>): Scorer.Verdict => {
  const parts = [
    ...(missing.length === 0 ? [] : [`missing: ${missing.map(({ title }) => title).join(", ")}`]),
    ...(extra.length === 0 ? [] : [`not expected: ${extra.map(titleOf).join(", ")}`])
  ]
  return parts.length === 0 ? true : { value: false, explanation: parts.join("; ") }
}

const titleOf = ({ name, params }: AgentRun.ToolCall): string => `${name} ${Inspectable.toStringUnknown(params, 0)}`

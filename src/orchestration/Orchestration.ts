/**
 * Agents whose work is done by other agents.
 *
 * An orchestration is an agent whose members are called by a program of a few lines (`Agent.program`) instead of a model.
 * So it has all that an agent has: it runs, streams, waits for approvals, keeps a session, has a budget and spans, is a
 * tool of another agent, and a member of another orchestration.
 *
 * **Example** (A writer and an editor)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const writer = Agent.make("writer")
 * const editor = Agent.make("editor")
 *
 * const team = Orchestration.sequential("team", [writer, editor])
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(team, { prompt: "Write a haiku" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("a haiku"), ScriptedModel.text("a better haiku")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => a better haiku
 * ```
 *
 * A member is told the conversation of the orchestration: what its users have asked and what it has answered, without the
 * calls in between. It answers with the `value` of its result, or with its text. The value of an agent with an `output`
 * is kept by its schema; any other value has to be JSON.
 *
 * Each call of a member is a tool call of the run, with the name of the member: it has its parts in the stream, its cost
 * in the total usage, and its result in the transcript. While a member waits for an approval the run waits, as soon as no
 * other member works. `Agent.resume` and `Agent.continue` go on with the results that are there.
 *
 * What a member fails with is a failure of the orchestration. At most `ToolLoop.ToolConcurrency` members work at the same
 * time, and agents are at most `AgentTool.MaximumDepth` deep.
 *
 * An orchestration without members, with two members of one name, or with a bound that is no positive integer throws
 * `InvalidOrchestration` where it is made.
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import * as Effect from "effect/Effect"
import type * as Agent from "../Agent.ts"
import type * as AgentError from "../AgentError.ts"
import type * as Program from "../Program.ts"
import * as Member from "./internal/members.ts"

// -----------------------------------------------------------------------------
// Models
// -----------------------------------------------------------------------------

/**
 * The agents of an orchestration. Those of a record have their keys as names, those of a list their own names.
 *
 * @category models
 * @since 0.1.0
 */
export type Members = ReadonlyArray<Agent.Any> | Readonly<Record<string, Agent.Any>>

/**
 * An agent that is made of others: it gives an `A`, and fails and needs what they do, beside `E` and `R`.
 *
 * @category models
 * @since 0.1.0
 */
export type Orchestration<Of extends Members, A, E = never, R = never> = Agent.Agent<
  any,
  | Agent.Error<MemberOf<Of>>
  | AgentError.AgentError
  | AiError.AiError
  | Program.NotExecuted
  | E,
  Agent.Services<MemberOf<Of>> | R,
  A | undefined
>

/**
 * Any of the members.
 *
 * @category utility types
 * @since 0.1.0
 */
export type MemberOf<Of extends Members> = Of extends ReadonlyArray<infer A> ? A : Of[keyof Of]

/**
 * What a member answers: the `value` of its result, or its text if it has none.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Value<A> = A extends Agent.Agent<any, any, any, infer V, any>
  ? unknown extends V ? unknown : [V] extends [undefined] ? string : Exclude<V, undefined>
  : never

/**
 * What the members answer, as they are given: a tuple of a list, a record of a record.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Values<Of extends Members> = { readonly [K in keyof Of]: Value<Of[K]> }

/**
 * What every orchestration may be given.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** What a model is told of the agent that may call it. Default: nothing. */
  readonly description?: string | undefined
}

// -----------------------------------------------------------------------------
// Errors
// -----------------------------------------------------------------------------

export {
  /**
   * An orchestration was not made: it has no members, two of one name, or a bound that is none. It is thrown, as a
   * mistake of the program that makes the orchestration.
   *
   * @category errors
   * @since 0.1.0
   */
  InvalidOrchestration
} from "./internal/invalid.ts"

// -----------------------------------------------------------------------------
// Constructors
// -----------------------------------------------------------------------------

/**
 * Asks the members one after the other: the first one is told the conversation, each other the answer of the one before
 * it, and nothing else. It gives the answer of the last one, whose text is streamed as the text of the run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const sequential = <const Of extends ReadonlyArray<Agent.Any>>(
  name: string,
  members: Of,
  options: Options = {}
): Orchestration<Of, Value<Of extends readonly [...infer _, infer Last] ? Last : Of[number]>> => {
  const named = Member.named(name, members)
  const last = members[members.length - 1]!
  return Member.orchestrate(name, {
    ...options,
    members: named,
    value: Member.valueOf(last),
    run: Effect.fnUntraced(function*(_, ask) {
      let said: Member.Said | undefined
      for (const [index, { name }] of members.entries()) {
        said = yield* ask(name, said && { prompt: said.text }, { answer: index === members.length - 1 })
      }
      return said!.value
    })
  })
}

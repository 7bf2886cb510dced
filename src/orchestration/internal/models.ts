/**
 * The types of orchestrations: their members, their values, and their failures.
 *
 * @since 0.1.0
 */

import type * as AiError from "effect/ai/AiError"
import type * as Decision from "effect/ai/Decision"
import type * as DecisionModel from "effect/ai/DecisionModel"
import type * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Agent from "../../Agent.ts"
import type * as AgentError from "../../AgentError.ts"
import type * as Program from "../../Program.ts"

/**
 * Any agent. An agent that is made at its place in a list keeps its own types.
 *
 * @category models
 * @since 0.1.0
 */
export interface AnyMember extends Pick<Agent.Any, Agent.TypeId | "description" | "name"> {}

/**
 * The agents of an orchestration. In a record their names are the keys, in a list their own names.
 *
 * @category models
 * @since 0.1.0
 */
export type Members = ReadonlyArray<AnyMember> | Readonly<Record<string, AnyMember>>

/**
 * An agent that is made from others. It returns an `A`. Its failures and services are those of the others, and `E` and
 * `R`.
 *
 * @category models
 * @since 0.1.0
 */
export type Orchestration<Of extends Members, A, E = never, R = never> = Agent.Agent<
  any,
  MemberError<MemberOf<Of>> | E,
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
 * The answer of a member: the `value` of its result, or its text if it has none.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Value<A> = A extends Agent.Agent<any, any, any, infer V, any>
  ? unknown extends V ? unknown : [V] extends [undefined] ? string : Exclude<V, undefined>
  : never

/**
 * The answers of the members: a tuple for a list, a record for a record.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Values<Of extends Members> = { readonly [K in keyof Of]: Value<Of[K]> }

/**
 * The failures of a member's call.
 *
 * @category utility types
 * @since 0.1.0
 */
export type MemberError<A> = Agent.Error<A> | AgentError.AgentError | AiError.AiError | Program.NotExecuted

/**
 * The options of every orchestration.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The description that a calling model reads when the orchestration is a tool. Default: none. */
  readonly description?: string | undefined
}

/**
 * The verdict of a judge: the answer is good enough, or something is wrong with it.
 *
 * @category models
 * @since 0.1.0
 */
export const Verdict = Schema.Struct({
  accepted: Schema.Boolean,
  feedback: Schema.String.annotate({ description: "What to do better; empty if accepted" })
})

/**
 * @category models
 * @since 0.1.0
 */
export type Verdict = typeof Verdict.Type

/**
 * The verdict on an answer that is good enough.
 *
 * @category models
 * @since 0.1.0
 */
export const accepted: Verdict = { accepted: true, feedback: "" }

/**
 * Creates the verdict on an answer that has to be improved.
 *
 * @category models
 * @since 0.1.0
 */
export const revise = (feedback: string): Verdict => ({ accepted: false, feedback })

/**
 * Chooses a member: a function, an agent whose value is the name, or a classification of effect's `Decision`. An agent
 * and a decision are called like the members, so their choice is in the transcript. A function is called again when the
 * program is run again.
 *
 * @category models
 * @since 0.1.0
 */
export type Chooser<Name extends string> =
  | ((input: Program.Input) => Effect.Effect<Name, any, any>)
  | Decision.Classify<Name>
  | AnyMember

/**
 * Judges an answer: a function, or an agent whose value is a `Verdict`. An agent is called like the members, so its
 * verdict is in the transcript. A function is called again when the program is run again.
 *
 * @category models
 * @since 0.1.0
 */
export type Judge<A> = ((value: A, round: number) => Effect.Effect<Verdict, any, any>) | AnyMember

/**
 * Requires that the agent which chooses or judges has a value of the right type.
 *
 * @category utility types
 * @since 0.1.0
 */
export type Says<J, Value> = J extends Agent.Agent<any, any, any, infer Given, any>
  ? [Given] extends [Value] ? unknown : { readonly "The `output` of this agent has to be": Value }
  : unknown

/**
 * The failures of a chooser or a judge.
 *
 * @category utility types
 * @since 0.1.0
 */
export type JudgeError<J> = J extends (...args: any) => Effect.Effect<any, infer E, any> ? E : Agent.Error<J>

/**
 * The services of a chooser or a judge.
 *
 * @category utility types
 * @since 0.1.0
 */
export type JudgeServices<J> = J extends (...args: any) => Effect.Effect<any, any, infer R> ? R
  : J extends Decision.Classify<any> ? DecisionModel.DecisionModel
  : Agent.Services<J>

/**
 * The answer in the last round of a `refine` was not accepted either. It has that answer.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotAccepted extends Schema.Error<NotAccepted>("effect-agents/orchestration/NotAccepted")({
  _tag: Schema.tag("NotAccepted"),
  orchestration: Schema.String,
  rounds: Schema.Int,
  value: Schema.Unknown,
  feedback: Schema.String
}) {
  override get message(): string {
    return `No answer of \`${this.orchestration}\` was accepted in ${this.rounds} rounds: ${this.feedback}`
  }
}

/**
 * An orchestration was not made: it has no members, two of one name, or a bound that is none; a handoff also if a route
 * leads to nobody, or if a member has a tool with the name of a transfer. It is thrown, as a mistake of the program that
 * makes the orchestration.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOrchestration
  extends Schema.Error<InvalidOrchestration>("effect-agents/orchestration/InvalidOrchestration")({
    _tag: Schema.tag("InvalidOrchestration"),
    orchestration: Schema.String,
    problem: Schema.String
  })
{
  override get message(): string {
    return `The orchestration \`${this.orchestration}\` cannot be made: ${this.problem}`
  }
}

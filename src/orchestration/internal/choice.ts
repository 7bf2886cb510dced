/**
 * Choosers and judges: a function, or an agent that is called like the members.
 *
 * @since 0.1.0
 */

import * as Decision from "effect/ai/Decision"
import * as DecisionModel from "effect/ai/DecisionModel"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { programOf } from "../../internal/program/agentOf.ts"
import type * as Member from "./members.ts"
import type { AnyMember, Chooser, Judge, Verdict } from "./models.ts"

/**
 * Returns the function that chooses, and its agent, if it is one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const of = <Input>(chooser: ((input: Input) => Effect.Effect<any, any, any>) | Chooser<string>): {
  readonly member: AnyMember | undefined
  readonly choose: (ask: Member.Ask, input: Input, hears?: ReadonlyArray<string>) => Effect.Effect<any, any, any>
} => {
  if (typeof chooser === "function") {
    return {
      member: undefined,
      choose: (_, input) => (chooser as (input: Input) => Effect.Effect<any, any, any>)(input)
    }
  }
  const member = "_tag" in chooser ? decider(chooser) : chooser
  return { member, choose: (ask, _, hears = []) => ask(member.name, hears.length === 0 ? {} : { hears }) }
}

/**
 * Returns the function that judges an answer, and its agent, if it is one.
 *
 * @category accessors
 * @since 0.1.0
 */
export const judge = (judge: Judge<any>): {
  readonly member: AnyMember | undefined
  readonly judge: (
    ask: Member.Ask,
    said: Member.Said,
    round: number
  ) => Effect.Effect<Verdict, any, any>
} =>
  typeof judge === "function"
    ? { member: undefined, judge: (_, { value }, round) => judge(value, round) }
    : { member: judge, judge: (ask, { turn }) => ask(judge.name, { turns: [turn] }) }

const Said = Schema.Struct({ role: Schema.String, text: Schema.String })

/** An agent that decides with the model for decisions, and answers with a label. */
const decider = (department: Decision.Classify<string>): AnyMember => {
  const definition = Decision.make({
    input: Schema.Struct({ conversation: Schema.Array(Said) }),
    decisions: { choice: department }
  })
  return programOf("decision", {
    toolkit: Effect.succeed({ tools: {}, handle: () => Effect.die("it has no tools") }),
    run: ({ conversation }) => {
      const said = conversation.content.flatMap(({ content, role }) =>
        typeof content === "string"
          ? []
          : { role, text: content.map((part) => part.type === "text" ? part.text : "").join("") }
      )
      return Effect.map(
        DecisionModel.decide(definition, { input: { conversation: said } }),
        ({ answers }) => answers.choice.label
      )
    }
  }, Schema.Literals(Object.keys(department.criteria)))
}

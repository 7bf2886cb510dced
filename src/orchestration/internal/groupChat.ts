/**
 * Discussions of agents.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type * as Program from "../../Program.ts"
import { requirePositive } from "./bounds.ts"
import * as Choice from "./choice.ts"
import * as Member from "./members.ts"
import type { AnyMember, Chooser, JudgeError, JudgeServices, Options, Orchestration, Says } from "./models.ts"

/**
 * What has been said in a discussion, in its order, and why it has ended: somebody has closed it, or there were no more
 * rounds.
 *
 * @category models
 * @since 0.1.0
 */
export interface Discussion<out Name extends string = string> {
  readonly turns: ReadonlyArray<{ readonly from: Name; readonly text: string }>
  readonly end: "closed" | "rounds"
}

/**
 * Who says whose turn it is, or `null` when the discussion is closed: a function, which is also told what was said, or
 * one of the others that choose (`Chooser`).
 *
 * @category models
 * @since 0.1.0
 */
export type SpeakerChooser<Name extends string> =
  | ((input: Program.Input & Pick<Discussion<Name>, "turns">) => Effect.Effect<Name | null, any, any>)
  | Exclude<Chooser<Name>, (...args: any) => any>

/**
 * Lets the members speak in turns. Each is told the conversation and what was said since then: its own turns are those of
 * the assistant, those of the others have their names. It gives the `Discussion`, and the text of each turn is streamed as
 * the text of the run.
 *
 * An agent that says whose turn it is has `Schema.NullOr(Schema.Literals([...]))` of the names as its output, and is told
 * the same. It does not speak itself.
 *
 * **Example** (A manager)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const debate = Orchestration.groupChat("debate", { pro: Agent.make("pro"), con: Agent.make("con") }, {
 *   next: Agent.make("manager", { output: Schema.NullOr(Schema.Literals(["pro", "con"])) })
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { value } = yield* Agent.run(debate, { prompt: "Tabs or spaces?" })
 *   yield* Console.log(value?.turns.map(({ from, text }) => `${from}: ${text}`).join(" "), value?.end)
 * })
 *
 * const next = (value: string | null) => ScriptedModel.toolCalls({ name: "final_answer", params: { value } })
 * const model = ScriptedModel.layer([
 *   next("pro"),
 *   ScriptedModel.text("Tabs."),
 *   next("con"),
 *   ScriptedModel.text("Spaces."),
 *   next(null)
 * ])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => pro: Tabs. con: Spaces. closed
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const groupChat = <
  const Of extends Readonly<Record<string, AnyMember>>,
  const C extends SpeakerChooser<keyof Of & string>
>(
  name: string,
  members: Of,
  options: Options & {
    /** Who says whose turn it is. */
    readonly next: C & Says<C, (keyof Of & string) | null>
    /** How many turns there are at most. Default: 10. */
    readonly rounds?: number | undefined
  }
): Orchestration<Of, Discussion<keyof Of & string>, JudgeError<C>, JudgeServices<C>> => {
  const { description, next, rounds = 10 } = options
  requirePositive(name, "rounds", rounds)
  const named = Member.named(name, members)
  const chooser = Choice.of(next)
  const hears = [...named.keys()]
  return Member.orchestrate(name, {
    description,
    members: Member.and(name, named, chooser.member),
    value: DiscussionSchema,
    run: Effect.fnUntraced(function*({ ask, say }, input) {
      const turns: Array<Member.Said["turn"]> = []
      while (turns.length < rounds) {
        const speaker = yield* chooser.choose(ask, { ...input, turns: [...turns] }, hears)
        if (speaker === null) return { turns, end: "closed" }
        turns.push((yield* say(speaker, { hears }, { answer: true })).turn)
      }
      return { turns, end: "rounds" }
    })
  })
}

const DiscussionSchema = Schema.Struct({
  turns: Schema.Array(Schema.Struct({ from: Schema.String, text: Schema.String })),
  end: Schema.Literals(["closed", "rounds"])
})

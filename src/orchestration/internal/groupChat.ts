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
 * The turns of a discussion, in order, and why it has ended: it was closed, or no rounds were left.
 *
 * @category models
 * @since 0.1.0
 */
export interface Discussion<out Name extends string = string> {
  readonly turns: ReadonlyArray<{ readonly from: Name; readonly text: string }>
  readonly end: "closed" | "rounds"
}

/**
 * Chooses the next speaker, or `null` to close the discussion. It is a function, which also receives the turns so far,
 * or any other `Chooser`.
 *
 * @category models
 * @since 0.1.0
 */
export type SpeakerChooser<Name extends string> =
  | ((input: Program.Input & Pick<Discussion<Name>, "turns">) => Effect.Effect<Name | null, any, any>)
  | Exclude<Chooser<Name>, (...args: any) => any>

/**
 * Lets the members speak in turns. Each receives the conversation and the turns since then: its own turns as an
 * assistant's, those of the others with their names. The result is the `Discussion`, and the text of each turn is
 * streamed as the text of the run.
 *
 * An agent that chooses the speaker has `Schema.NullOr(Schema.Literals([...]))` of the names as its output. It receives
 * the same messages, and does not speak itself.
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
    /** Chooses the next speaker. */
    readonly next: C & Says<C, (keyof Of & string) | null>
    /** The maximum number of turns. Default: 10. */
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

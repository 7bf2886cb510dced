/**
 * Work by a plan, which is replaced if it does not lead to progress.
 *
 * @since 0.1.0
 */

import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { requirePositive } from "./bounds.ts"
import * as Member from "./members.ts"
import type { AnyMember, MemberError, Options, Orchestration, Says, Value } from "./models.ts"
import type * as Agent from "../../Agent.ts"

/**
 * The output of a planner: what is known about the task or has to be looked up, and what to do.
 *
 * @category models
 * @since 0.1.0
 */
export const Plan = Schema.Struct({
  facts: Schema.String.annotate({ description: "What is given, what is to be looked up, what is a guess" }),
  plan: Schema.String.annotate({ description: "Who of the team does what, in a few steps" })
})

/**
 * @category models
 * @since 0.1.0
 */
export type Plan = typeof Plan.Type

/**
 * The output of a manager before each round: the state of the work, and the next assignment.
 *
 * - `isDone`: the task is done, and the writer answers.
 * - `isProgressing`: the last rounds have made progress.
 * - `isLooping`: the same work is repeated.
 * - `next`: the member that works next; `instruction`: what it has to do.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ledger<out Name extends string> {
  readonly isDone: boolean
  readonly isProgressing: boolean
  readonly isLooping: boolean
  readonly next: Name
  readonly instruction: string
}

/**
 * Creates the output of a manager of a team with these names.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Ledger = <const Names extends ReadonlyArray<string>>(
  names: Names
): Schema.Codec<Ledger<Names[number]>, unknown> =>
  Schema.Struct({
    isDone: Schema.Boolean.annotate({ description: "Whether the task is done" }),
    isProgressing: Schema.Boolean.annotate({ description: "Whether the last answers have brought the work on" }),
    isLooping: Schema.Boolean.annotate({ description: "Whether the same is done again and again" }),
    next: Schema.Literals(names).annotate({ description: "Who works next" }),
    instruction: Schema.String.annotate({ description: "What it is told to do" })
  })

/**
 * A team has not done its task: no rounds were left, or the last plan has not led to progress either.
 *
 * @category errors
 * @since 0.1.0
 */
export class NotDone extends Schema.Error<NotDone>("effect-agents/orchestration/NotDone")({
  _tag: Schema.tag("NotDone"),
  orchestration: Schema.String,
  limit: Schema.Literals(["rounds", "replans"]),
  plan: Plan
}) {
  override get message(): string {
    return `\`${this.orchestration}\` has not done its task: there are no more ${this.limit}`
  }
}

/**
 * Lets the members work by a plan, as Magentic does. The planner writes down what is known and what to do. Before each
 * round the manager reports the state of the work, and chooses the member that works next. When too many rounds make no
 * progress, the planner makes another plan. When the task is done, the writer answers: its value is the value of the
 * run, and its text is streamed as the text of the run.
 *
 * All of them receive the conversation and the answers of the members since then; the manager and the writer also
 * receive the plan. A round without progress counts as a stall, and a round with progress takes one stall back. The run
 * fails with `NotDone` when a limit is reached.
 *
 * **Example** (A plan with one member)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const research = Orchestration.plan("research", { web: Agent.make("web", { description: "Reads the web" }) }, {
 *   planner: Agent.make("planner", { output: Orchestration.Plan }),
 *   manager: Agent.make("manager", { output: Orchestration.Ledger(["web"]) }),
 *   writer: Agent.make("writer")
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(research, { prompt: "How high is Galdhøpiggen?" })
 *   yield* Console.log(text)
 * })
 *
 * const gives = (params: Orchestration.Plan | Orchestration.Ledger<"web">) =>
 *   ScriptedModel.toolCalls({ name: "final_answer", params })
 * const ledger = { isDone: false, isProgressing: true, isLooping: false, next: "web", instruction: "Look" } as const
 * const model = ScriptedModel.layer([
 *   gives({ facts: "To look up: its height", plan: "web looks" }),
 *   gives(ledger),
 *   ScriptedModel.text("2469 m"),
 *   gives({ ...ledger, isDone: true }),
 *   ScriptedModel.text("It is 2469 m high.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => It is 2469 m high.
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const plan = <
  const Of extends Readonly<Record<string, AnyMember>>,
  const P extends AnyMember,
  const M extends AnyMember,
  const W extends AnyMember
>(
  name: string,
  members: Of,
  options: Options & {
    /** Makes the plan. Its output is `Plan`. */
    readonly planner: P & Says<P, Plan>
    /** Directs the work. Its output is the `Ledger` of the names. */
    readonly manager: M & Says<M, Ledger<keyof Of & string>>
    /** Answers when the task is done. */
    readonly writer: W
    /** The maximum number of rounds in which a member works. Default: 20. */
    readonly rounds?: number | undefined
    /** The number of stalls until another plan is made. Default: 3. */
    readonly stalls?: number | undefined
    /** The maximum number of further plans. Default: 2. */
    readonly replans?: number | undefined
  }
): Orchestration<Of, Value<W>, NotDone | MemberError<P | M | W>, Agent.Services<P | M | W>> => {
  const { description, manager, planner, replans = 2, rounds = 20, stalls = 3, writer } = options
  requirePositive(name, "rounds", rounds)
  requirePositive(name, "stalls", stalls)
  requirePositive(name, "replans", replans)
  const named = Member.named(name, members)
  const hears = [...named.keys()]
  const team = [...named].map(([name, { description = "" }]) => `- ${name}: ${description}`).join("\n")
  return Member.orchestrate(name, {
    description,
    members: [planner, manager, writer].reduce<Member.Named>((all, one) => Member.and(name, all, one), named),
    value: Member.valueOf(writer),
    run: Effect.fnUntraced(function*({ ask }) {
      const tell = (member: AnyMember, plan: Plan, text: string, answer = false) =>
        ask(member.name, { hears, turns: [{ text: `${show(plan)}\n\n${text}` }] }, { answer })
      let plan: Plan = yield* ask(planner.name, { turns: [{ text: `Your team:\n${team}\n\n${make}` }] })
      let stalled = 0
      let replanned = 0
      for (let round = 0;;) {
        const ledger: Ledger<string> = yield* tell(manager, plan, `Your team:\n${team}\n\n${proceed}`)
        if (ledger.isDone) return yield* tell(writer, plan, answer, true)
        stalled = ledger.isProgressing && !ledger.isLooping ? Math.max(0, stalled - 1) : stalled + 1
        if (stalled >= stalls) {
          if (replanned++ === replans) return yield* new NotDone({ orchestration: name, limit: "replans", plan })
          plan = yield* tell(planner, plan, `Your team:\n${team}\n\n${remake}`)
          stalled = 0
        } else {
          if (round++ === rounds) return yield* new NotDone({ orchestration: name, limit: "rounds", plan })
          yield* ask(ledger.next, { hears, turns: [{ text: ledger.instruction }] })
        }
      }
    })
  })
}

const show = ({ facts, plan }: Plan): string => `Facts:\n${facts}\n\nPlan:\n${plan}`

const make = "Write down what is known about the task, and the plan by which the team does it."

const remake = "The work does not lead on. Write down what is known by now, and a plan that avoids what went wrong."

const proceed = "Say where the work stands, and who does what next."

const answer = "The task is done. Answer it by what the team has found out."

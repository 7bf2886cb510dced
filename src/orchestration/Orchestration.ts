/**
 * Agents whose work is done by other agents.
 *
 * An orchestration is an agent whose members are called by a short program (`Agent.program`) instead of a model. So it
 * can do everything that an agent can: it streams, waits for approvals, keeps a session, has a budget and spans, and
 * may be a tool of another agent or a member of another orchestration.
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
 * A member receives the conversation of the orchestration: the questions of its users and its answers, without the
 * calls in between. It answers with the `value` of its result, or with its text. The value of an agent with an `output`
 * is kept by its schema; any other value has to be JSON.
 *
 * Each call of a member is a tool call of the run, with the name of the member. The member's parts are in the stream,
 * its usage is in the total usage, and its result is in the transcript. While a member waits for an approval, the other
 * members finish, and then the run waits. `Agent.resume` and `Agent.continue` continue with the results that exist.
 *
 * A failure of a member is a failure of the orchestration. At most `ToolLoop.ToolConcurrency` members work at the same
 * time, and agents are nested at most `AgentTool.MaximumDepth` deep.
 *
 * An orchestration without members, with two members of the same name, or with a bound that is not a positive integer,
 * throws `InvalidOrchestration` when it is made.
 *
 * @since 0.1.0
 */

import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Schema from "effect/Schema"
import { requirePositive } from "./internal/bounds.ts"
import * as Choice from "./internal/choice.ts"
import * as Member from "./internal/members.ts"
import {
  type AnyMember,
  type Chooser,
  type Judge,
  type JudgeError,
  type JudgeServices,
  type MemberError,
  type MemberOf,
  type Members,
  NotAccepted,
  type Options,
  type Orchestration,
  type Says,
  type Value,
  type Values,
  type Verdict
} from "./internal/models.ts"
import * as Quorum from "./internal/quorum.ts"
import * as Schemas from "./internal/schemas.ts"

export * from "./internal/groupChat.ts"
export * from "./internal/models.ts"
export * from "./internal/plan.ts"

/**
 * Asks the members one after the other. The first one receives the conversation, each other one only the answer of the
 * one before. The result is the answer of the last one, whose text is streamed as the text of the run.
 *
 * **Example** (A pipeline)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const pipeline = Orchestration.sequential("pipeline", [Agent.make("writer"), Agent.make("translator")])
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(pipeline, { prompt: "Write a haiku" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("a haiku"), ScriptedModel.text("et haiku")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => et haiku
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const sequential = <const Of extends ReadonlyArray<AnyMember>>(
  name: string,
  members: Of,
  options: Options = {}
): Orchestration<Of, Value<Of extends readonly [...infer _, infer Last] ? Last : Of[number]>> => {
  const named = Member.named(name, members)
  const last = members.length - 1
  return Member.orchestrate(name, {
    ...options,
    members: named,
    value: Member.valueOf(members[last]!),
    run: Effect.fnUntraced(function*({ say }) {
      let said: Member.Said | undefined
      for (const [index, { name }] of members.entries()) {
        said = yield* say(name, said && { prompt: said.text }, { answer: index === last })
      }
      return said!.value
    })
  })
}

/**
 * Asks all members at the same time; each receives the conversation. The result has their answers, as a list or a
 * record like the members. When one of them fails, the others are interrupted.
 *
 * **Example** (Two opinions)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const opinions = Orchestration.concurrent("opinions", {
 *   lawyer: Agent.make("lawyer"),
 *   engineer: Agent.make("engineer")
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { value } = yield* Agent.run(opinions, { prompt: "May we ship it?" })
 *   yield* Console.log(value?.lawyer, value?.engineer)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("It depends."), ScriptedModel.text("Sure.")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => It depends. Sure.
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const concurrent = <const Of extends Members>(
  name: string,
  members: Of,
  options: Options = {}
): Orchestration<Of, Values<Of>> =>
  Member.orchestrate(name, {
    ...options,
    members: Member.named(name, members),
    value: Schemas.all(members, Member.valueOf),
    run: ({ ask }) => Effect.all(Member.each(members, (name) => ask(name)), { concurrency: "unbounded" })
  })

/**
 * Asks all members at the same time, and returns the `Exit` of each. When one of them fails, the others go on.
 *
 * **Gotchas**
 *
 * A member that has failed is asked again when the run is continued. If this orchestration is itself a member of
 * another one, its failures are kept as their messages, and are read back as defects.
 *
 * **Example** (Results and failures)
 *
 * ```ts
 * import { Console, Effect, Exit } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const sources = Orchestration.collect("sources", { archive: Agent.make("archive"), web: Agent.make("web") })
 *
 * const program = Effect.gen(function*() {
 *   const { value } = yield* Agent.run(sources, { prompt: "Who climbed it first?" })
 *   yield* Console.log(value && Exit.isSuccess(value.archive), value && Exit.isSuccess(value.web))
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Slingsby, I think."), ScriptedModel.die("offline")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => true false
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const collect = <const Of extends Members>(
  name: string,
  members: Of,
  options: Options = {}
): Orchestration<Of, { readonly [K in keyof Of]: Exit.Exit<Value<Of[K]>, MemberError<Of[K]>> }> =>
  Member.orchestrate(name, {
    ...options,
    members: Member.named(name, members),
    value: Schemas.all(members, (agent) => Schemas.exit(Member.valueOf(agent))),
    run: ({ ask }) => Effect.all(Member.each(members, (name) => Effect.exit(ask(name))), { concurrency: "unbounded" })
  })

/**
 * Asks all members at the same time, and returns the first answer. The others are interrupted, and their usage is
 * counted. If all members fail, it fails with all of their failures.
 *
 * With `hedge` the members are asked in their order. The next one is asked when those before it have not answered for
 * this duration, or when one of them has failed.
 *
 * **Example** (The second one is asked after 20 ms)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const answer = Orchestration.race("answer", [Agent.make("usual"), Agent.make("spare")], { hedge: "20 millis" })
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(answer, { prompt: "Hello?" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.hang, ScriptedModel.text("The spare one is here.")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => The spare one is here.
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const race = <const Of extends Members>(
  name: string,
  members: Of,
  options: Options & {
    /** How long the members before have to answer until the next one is asked. Default: all are asked at once. */
    readonly hedge?: Duration.Input | undefined
  } = {}
): Orchestration<Of, Value<MemberOf<Of>>> => {
  const { description, hedge } = options
  const named = Member.named(name, members)
  return Member.orchestrate(name, {
    description,
    members: named,
    value: Schemas.oneOf(named.values(), Member.valueOf),
    run: ({ ask }) => {
      const asking = Member.list(members, (name) => ask(name))
      return hedge === undefined ? Effect.raceAll(asking) : Quorum.hedged(asking, hedge)
    }
  })
}

/**
 * Asks all members at the same time, and returns the first `size` answers, in the order in which they come. The other
 * members are interrupted, and their usage is counted. If too many have failed, the others are interrupted, and it
 * fails with all of the failures.
 *
 * To ask one agent several times, put it into the list several times.
 *
 * **Example** (Two of three)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const judge = Agent.make("judge")
 * const panel = Orchestration.quorum("panel", [judge, judge, judge], { size: 2 })
 *
 * const program = Effect.gen(function*() {
 *   const { value } = yield* Agent.run(panel, { prompt: "Is it a bug?" })
 *   yield* Console.log(value)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("yes"), ScriptedModel.hang, ScriptedModel.text("no")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => [ 'yes', 'no' ]
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const quorum = <const Of extends Members>(
  name: string,
  members: Of,
  options: Options & {
    /** How many answers are needed. */
    readonly size: number
  }
): Orchestration<Of, ReadonlyArray<Value<MemberOf<Of>>>> => {
  const { description, size } = options
  const named = Member.named(name, members)
  requirePositive(name, "size", size, Member.list(members, () => 1).length)
  return Member.orchestrate(name, {
    description,
    members: named,
    value: Schema.Array(Schemas.oneOf(named.values(), Member.valueOf)),
    run: ({ ask }) => Quorum.first(Member.list(members, (name) => ask(name)), size)
  })
}

/**
 * Asks the chosen member, and returns its answer. The member receives the conversation, and its text is streamed as the
 * text of the run.
 *
 * **Example** (By an agent)
 *
 * ```ts
 * import { Console, Effect, Schema } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const support = Orchestration.route("support", {
 *   billing: Agent.make("billing"),
 *   technical: Agent.make("technical")
 * }, {
 *   choose: Agent.make("router", { output: Schema.Literals(["billing", "technical"]) })
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(support, { prompt: "My invoice is wrong" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([
 *   ScriptedModel.toolCalls({ name: "final_answer", params: { value: "billing" } }),
 *   ScriptedModel.text("It is corrected.")
 * ])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => It is corrected.
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const route = <
  const Of extends Readonly<Record<string, AnyMember>>,
  const C extends Chooser<keyof Of & string>
>(
  name: string,
  members: Of,
  options: Options & {
    /** Chooses the member. */
    readonly choose: C & Says<C, keyof Of & string>
  }
): Orchestration<Of, Value<MemberOf<Of>>, JudgeError<C>, JudgeServices<C>> => {
  const { choose, description } = options
  const named = Member.named(name, members)
  const chooser = Choice.of(choose)
  return Member.orchestrate(name, {
    description,
    members: Member.and(name, named, chooser.member),
    value: Schemas.oneOf(named.values(), Member.valueOf),
    run: ({ ask }, input) => Effect.flatMap(chooser.choose(ask, input), (chosen) => ask(chosen, {}, { answer: true }))
  })
}

/**
 * Asks an agent until its answer is accepted. Each time it receives the conversation, its last answer, and what was
 * wrong with it. The result is the accepted answer; otherwise it fails with `NotAccepted`, which has the last answer.
 *
 * **Example** (Until it is short)
 *
 * ```ts
 * import { Console, Effect } from "effect"
 * import { Agent } from "effect-agents"
 * import { Orchestration } from "effect-agents/orchestration"
 * import { ScriptedModel } from "effect-agents/testing"
 *
 * const haiku = Orchestration.refine("haiku", Agent.make("poet"), {
 *   until: (text) => Effect.succeed(text.length < 10 ? Orchestration.accepted : Orchestration.revise("Shorter"))
 * })
 *
 * const program = Effect.gen(function*() {
 *   const { text } = yield* Agent.run(haiku, { prompt: "Write a haiku" })
 *   yield* Console.log(text)
 * })
 *
 * const model = ScriptedModel.layer([ScriptedModel.text("Once upon a time there was"), ScriptedModel.text("A frog")])
 *
 * Effect.runPromise(Effect.provide(program, model))
 * // => A frog
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const refine = <const A extends AnyMember, const J extends Judge<Value<A>>>(
  name: string,
  member: A,
  options: Options & {
    /** Judges an answer. An accepted answer is the last one. */
    readonly until: J & Says<J, Verdict>
    /** How often the agent is asked at most. Default: 3. */
    readonly rounds?: number | undefined
  }
): Orchestration<readonly [A], Value<A>, NotAccepted | JudgeError<J>, JudgeServices<J>> => {
  const { description, rounds = 3, until } = options
  requirePositive(name, "rounds", rounds)
  const judge = Choice.judge(until)
  return Member.orchestrate(name, {
    description,
    members: Member.and(name, Member.named(name, [member]), judge.member),
    value: Member.valueOf(member),
    run: Effect.fnUntraced(function*({ ask, say }) {
      const turns: Array<Member.Turn> = []
      for (let round = 1;; round++) {
        const said = yield* say(member.name, { turns })
        const { accepted, feedback } = yield* judge.judge(ask, said, round)
        if (accepted) return said.value
        if (round === rounds) {
          return yield* new NotAccepted({ orchestration: name, rounds, value: said.value, feedback })
        }
        turns.push(said.turn, { text: feedback })
      }
    })
  })
}

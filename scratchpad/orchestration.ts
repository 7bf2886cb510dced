/**
 * Orchestrations: the same agents one after the other, at the same time, in a race, by a quorum, by a route, until an
 * answer is accepted, and in a discussion.
 *
 * Run it with `npx node scratchpad/orchestration.ts`: the model is scripted, no network.
 */
import { Console, Effect, Exit, Schema } from "effect"
import type { LanguageModel } from "effect/ai"
import { Agent } from "../src/index.ts"
import { Orchestration } from "../src/orchestration/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const { die, hang, layer, text, toolCalls } = ScriptedModel

const writer = Agent.make("writer", { description: "Writes drafts" })
const editor = Agent.make("editor", { description: "Makes drafts better" })
const lawyer = Agent.make("lawyer", { description: "Knows what is allowed" })

/** Answers with a value. */
const gives = (params: unknown) => toolCalls({ name: "final_answer", params })

/** Runs an orchestration, with what its members answer, in their order. */
const show = <A, E>(
  kind: string,
  team: Agent.Agent<any, E, LanguageModel.LanguageModel, A>,
  answers: ReadonlyArray<ScriptedModel.Step>,
  print: (value: A) => unknown = (value) => value
) =>
  Agent.run(team, { prompt: "Announce the release" }).pipe(
    Effect.flatMap(({ value }) => Console.log(`${kind}: ${JSON.stringify(print(value))}`)),
    Effect.provide(layer(answers))
  )

const sequential = Orchestration.sequential("pipeline", [writer, editor])

const concurrent = Orchestration.concurrent("opinions", { writer, lawyer })

const collect = Orchestration.collect("what there is", { writer, lawyer })

const race = Orchestration.race("first", [writer, editor], { hedge: "10 millis" })

const quorum = Orchestration.quorum("two of three", [lawyer, lawyer, lawyer], { size: 2 })

const route = Orchestration.route("desk", { writer, lawyer }, {
  choose: ({ prompt }) => Effect.succeed(prompt.includes("Announce") ? "writer" : "lawyer")
})

const refine = Orchestration.refine("until it is good", writer, {
  until: Agent.make("critic", { output: Orchestration.Verdict })
})

const groupChat = Orchestration.groupChat("discussion", { writer, lawyer }, {
  next: Agent.make("manager", { output: Schema.NullOr(Schema.Literals(["writer", "lawyer"])) })
})

const program = Effect.gen(function*() {
  yield* show("sequential", sequential, [text("it is out"), text("It is out!")])
  yield* show("concurrent", concurrent, [text("It is out!"), text("You may say so.")])
  yield* show(
    "collect",
    collect,
    [text("It is out!"), die("the lawyer is ill")],
    (exits) => exits && [Exit.isSuccess(exits.writer), Exit.isSuccess(exits.lawyer)]
  )
  yield* show("race", race, [hang, text("It is out, says the spare one.")])
  yield* show("quorum", quorum, [text("yes"), hang, text("no")])
  yield* show("route", route, [text("It is out!")])
  yield* show("refine", refine, [
    text("it is out"),
    gives({ accepted: false, feedback: "Say what" }),
    text("Version 2 is out!"),
    gives({ accepted: true, feedback: "" })
  ])
  yield* show(
    "group chat",
    groupChat,
    [
      gives({ value: "writer" }),
      text("It is the best."),
      gives({ value: "lawyer" }),
      text("Is it?"),
      gives({ value: null })
    ],
    (discussion) => discussion?.turns.map(({ from, text }) => `${from}: ${text}`)
  )
})

Effect.runPromise(program)

import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Layer, Schema } from "effect"
import { Decision, DecisionModel, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  type AgentRun,
  AgentTool,
  Approval,
  Budget,
  ContextProvider,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import { Orchestration } from "../src/orchestration/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import {
  type Answer,
  approveAll,
  errorsOf,
  failing,
  gate,
  gated,
  is,
  later,
  model,
  Refused,
  said,
  throughGate
} from "./fixtures/orchestrations.ts"
import { collectAll, type Log, showPrompt, types } from "./utils.ts"

const asked = Effect.gen(function*() {
  const { requests } = yield* ScriptedModel.ScriptedModel
  return (yield* requests).map(({ prompt }) => showPrompt(prompt))
})

const layersOf = (answers: Readonly<Record<string, ReadonlyArray<Answer>>>) => Layer.mergeAll(model(answers), gate([]))

describe("Orchestration", () => {
  describe("sequential", () => {
    it.effect("asks each member what the one before has answered, and streams the text of the last one", () =>
      Effect.gen(function*() {
        const team = Orchestration.sequential("team", [Agent.make("a"), Agent.make("b")])
        const { parts } = yield* collectAll(Agent.stream(team, { prompt: "go" }))
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.strictEqual(result.value, "two")
        assert.strictEqual(result.text, "two")
        assert.deepStrictEqual(yield* asked, [["user: go"], ["user: one"]])
        const own = types(parts).filter((type) => type !== "agent-part")
        const call = ["step-start", "tool-call", "tool-result", "step-end"]
        const streamed = ["step-start", "tool-call", "text-start", "text-delta", "text-end", "tool-result", "step-end"]
        assert.deepStrictEqual(own, ["run-start", ...call, ...streamed, "step-start", "step-end", "run-end"])
      }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("one"), ScriptedModel.text("two")]))))

    it.effect("gives the value of a member with an output, and tells the next one its JSON", () =>
      Effect.gen(function*() {
        const Trip = Schema.Struct({ from: Schema.DateFromString })
        const planner = Agent.make("planner", { output: Trip })
        const team = Orchestration.sequential("team", [planner, planner])
        const { value } = yield* Agent.run(team, { prompt: "go" })
        assert.deepStrictEqual(value, { from: new Date("2026-02-01") })
        assert.deepStrictEqual((yield* asked)[1], [`user: {"from":"2026-01-01T00:00:00.000Z"}`])
      }).pipe(Effect.provide(ScriptedModel.layer(
        ["2026-01-01", "2026-02-01"].map((from) => ScriptedModel.toolCalls({ name: "final_answer", params: { from } }))
      ))))
  })

  describe("concurrent", () => {
    it.effect("asks all members at the same time, and gives what they answer in their shape", () =>
      Effect.gen(function*() {
        const slow = [ScriptedModel.delay("1 second"), ...said("slow")]
        const record = Orchestration.concurrent("team", { first: is("a"), second: is("b") })
        const fiber = yield* Effect.forkChild(
          Effect.provide(Agent.run(record, { prompt: "go" }), model({ a: [slow], b: [slow] }))
        )
        yield* later
        assert.deepStrictEqual((yield* Fiber.join(fiber)).value, { first: "slow", second: "slow" })
        const list = Orchestration.concurrent("team", [is("a"), is("b")])
        const { value } = yield* Effect.provide(Agent.run(list, { prompt: "go" }), model({ a: ["one"], b: ["two"] }))
        assert.deepStrictEqual(value, ["one", "two"])
      }))

    it.effect("sibling of a failing node goes on: it is interrupted, and its failure is that of the run", () =>
      Effect.gen(function*() {
        const log: Log = []
        const hanging = is("b").pipe(Agent.withProvider(ContextProvider.make("watched", {
          beforeRun: () => Effect.as(Effect.addFinalizer((exit) => Effect.sync(() => log.push(exit._tag))), {})
        })))
        const failingLate = is("a").pipe(Agent.withProvider(ContextProvider.make("late", {
          beforeRun: () => Effect.andThen(Effect.sleep("1 second"), Effect.fail(new Refused({ by: "a" })))
        })))
        const team = Orchestration.concurrent("team", [failingLate, hanging])
        const fiber = yield* Effect.forkChild(Effect.flip(Agent.run(team, { prompt: "go" })))
        yield* later
        assert.deepStrictEqual(yield* Fiber.join(fiber), new Refused({ by: "a" }))
        assert.deepStrictEqual(log, ["Failure"])
      }).pipe(Effect.provide(model({ b: [ScriptedModel.hang] }))))

    it.effect("one agent's provider leaks into another: each member has its own", () =>
      Effect.gen(function*() {
        const knowing = (name: string) =>
          is(name).pipe(Agent.withProvider(ContextProvider.make("knows", {
            beforeRun: () => Effect.succeed({ instructions: `${name} knows` })
          })))
        yield* Agent.run(Orchestration.concurrent("team", [knowing("a"), is("b"), knowing("c")]), { prompt: "go" })
        const { requests } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual(
          (yield* requests).map(({ prompt }) => showPrompt(prompt)[0]),
          ["system: I am a\n\na knows", "system: I am b", "system: I am c\n\nc knows"]
        )
      }).pipe(Effect.provide(ScriptedModel.layer(["1", "2", "3"].map((text) => ScriptedModel.text(text))))))
  })

  describe("collect", () => {
    it.effect("gives the exit of each member, and the others go on", () =>
      Effect.gen(function*() {
        const team = Orchestration.collect("team", { a: failing("a"), b: is("b") })
        const { value } = yield* Agent.run(team, { prompt: "go" })
        assert.deepStrictEqual(value && Exit.match(value.a, { onSuccess: () => [], onFailure: errorsOf }), [
          new Refused({ by: "a" })
        ])
        assert.deepStrictEqual(value?.b, Exit.succeed("two"))
      }).pipe(Effect.provide(model({ b: ["two"] }))))

    it.effect("is a member: its exits are told as JSON", () =>
      Effect.gen(function*() {
        const inner = Orchestration.collect("inner", { a: failing("a"), b: is("b") })
        const team = Orchestration.sequential("team", [inner, is("c")])
        assert.strictEqual((yield* Agent.run(team, { prompt: "go" })).value, "three")
        assert.deepStrictEqual((yield* asked)[1], [
          "system: I am c",
          `user: {"a":{"_tag":"Failure","message":"Refused"},"b":{"_tag":"Success","value":"two"}}`
        ])
      }).pipe(Effect.provide(model({ b: ["two"], c: ["three"] }))))
  })

  describe("race", () => {
    it.effect("gives the first answer; the loser has ended, and its cost is counted", () =>
      Effect.gen(function*() {
        const log: Log = []
        const tools = Toolkit.make(Tool.make("look", { success: Schema.String }))
        const loser = Agent.make("a", { instructions: "I am a", toolkit: tools })
        const team = Orchestration.race("team", [loser, is("b")])
        const looks = tools.toLayer({
          look: () => Effect.onInterrupt(Effect.never, () => Effect.sync(() => log.push("stopped")))
        })
        const fiber = yield* Effect.forkChild(Effect.provide(Agent.run(team, { prompt: "go" }), looks))
        yield* later
        const result = yield* Fiber.join(fiber)
        assert.strictEqual(result.value, "fast")
        assert.deepStrictEqual(log, ["stopped"])
        assert.strictEqual(result.totalUsage.inputTokens.total, 8)
      }).pipe(Effect.provide(model({
        a: [[
          ScriptedModel.toolCalls({ name: "look", params: {} }),
          ScriptedModel.finish("tool-calls", ScriptedModel.usage(7, 1))
        ]],
        b: [[ScriptedModel.delay("1 second"), ...said("fast")]]
      }))))

    it.effect("fails when all have failed", () =>
      Effect.gen(function*() {
        const team = Orchestration.race("team", [failing("a"), failing("b")])
        assert.deepStrictEqual(yield* Effect.flip(Agent.run(team, { prompt: "go" })), new Refused({ by: "a" }))
        assert.strictEqual(
          (yield* Agent.run(Orchestration.race("team", [failing("a"), is("b")]), { prompt: "go" })).value,
          "two"
        )
      }).pipe(Effect.provide(model({ b: ["two"] }))))

    it.effect("asks the next one after the delay of its hedge, and at once when the one before has failed", () =>
      Effect.gen(function*() {
        const team = Orchestration.race("team", [is("a"), failing("f"), is("b")], { hedge: "2 seconds" })
        const fiber = yield* Effect.forkChild(Agent.run(team, { prompt: "go" }))
        yield* later
        assert.strictEqual((yield* asked).length, 1)
        yield* later
        yield* later
        assert.deepStrictEqual((yield* asked).map(([system]) => system), ["system: I am a", "system: I am b"])
        assert.strictEqual((yield* Fiber.join(fiber)).value, "two")
      }).pipe(Effect.provide(model({ a: [ScriptedModel.hang], b: ["two"] }))))
  })

  describe("quorum", () => {
    it.effect("gives the first answers in the order in which they came", () =>
      Effect.gen(function*() {
        const team = Orchestration.quorum("team", { a: is("a"), b: is("b"), f: failing("f"), c: is("c") }, { size: 2 })
        const fiber = yield* Effect.forkChild(Agent.run(team, { prompt: "go" }))
        yield* later
        assert.deepStrictEqual((yield* Fiber.join(fiber)).value, ["two", "one"])
      }).pipe(Effect.provide(model({
        a: [[ScriptedModel.delay("1 second"), ...said("one")]],
        b: ["two"],
        c: [ScriptedModel.hang]
      }))))

    it.effect("fails as soon as it cannot be reached", () =>
      Effect.gen(function*() {
        const team = Orchestration.quorum("team", [failing("a"), is("b"), failing("c")], { size: 2 })
        const exit = yield* Effect.exit(Agent.run(team, { prompt: "go" }))
        const errors = Exit.match(exit, { onSuccess: () => [], onFailure: errorsOf })
        assert.deepStrictEqual(errors, [new Refused({ by: "a" }), new Refused({ by: "c" })])
      }).pipe(Effect.provide(model({ b: [ScriptedModel.hang] }))))
  })

  describe("route", () => {
    const members = { billing: is("billing"), technical: is("technical") }

    it.effect("asks the member that a function chooses, and streams its text", () =>
      Effect.gen(function*() {
        const team = Orchestration.route("team", members, {
          choose: ({ prompt }) => Effect.succeed(prompt.includes("invoice") ? "billing" : "technical")
        })
        const { parts } = yield* collectAll(Agent.stream(team, { prompt: "my invoice" }))
        assert.strictEqual((parts[parts.length - 1] as AgentRun.RunEnd).result.text, "paid")
        assert.deepStrictEqual(yield* asked, [["system: I am billing", "user: my invoice"]])
        const deltas = parts.flatMap((part) => part.type === "text-delta" ? part.delta : [])
        assert.deepStrictEqual(deltas, ["paid"])
      }).pipe(Effect.provide(model({ billing: ["paid"] }))))

    it.effect("asks the member that an agent chooses, or a decision", () =>
      Effect.gen(function*() {
        const router = Agent.make("router", {
          instructions: "I am router",
          output: Schema.Literals(["billing", "technical"])
        })
        const byAgent = Orchestration.route("team", members, { choose: router })
        assert.strictEqual((yield* Agent.run(byAgent, { prompt: "it is broken" })).value, "mended")
        const choose = Decision.classify({
          instructions: "Who can help?",
          criteria: { billing: "payments", technical: "bugs" }
        })
        const states: Array<unknown> = []
        const decides = Layer.effect(
          DecisionModel.DecisionModel,
          DecisionModel.make({
            decide: ({ state }) =>
              Effect.sync(() => {
                states.push(state)
                return {
                  answers: {
                    choice: { _tag: "Classify", label: "billing", probabilities: { billing: 1, technical: 0 } }
                  },
                  usage: { inputTokens: undefined, outputTokens: undefined }
                }
              })
          })
        )
        const byDecision = Orchestration.route("team", members, { choose })
        const result = yield* Effect.provide(Agent.run(byDecision, { prompt: "it is broken" }), decides)
        assert.strictEqual(result.value, "paid")
        assert.deepStrictEqual(states, [{ conversation: [{ role: "user", text: "it is broken" }] }])
        assert.deepStrictEqual(result.steps.flatMap(({ toolCalls }) => toolCalls.map(({ name }) => name)), [
          "decision",
          "billing"
        ])
      }).pipe(Effect.provide(model({
        router: [ScriptedModel.toolCalls({ name: "final_answer", params: { value: "technical" } })],
        billing: ["paid"],
        technical: ["mended"]
      }))))
  })

  describe("refine", () => {
    it.effect("asks again with what was wrong, until it is accepted", () =>
      Effect.gen(function*() {
        const good = Orchestration.refine("good", is("poet"), {
          until: (text, round) =>
            Effect.succeed(text === "better" ? Orchestration.accepted : Orchestration.revise(`no ${round}`))
        })
        const { value } = yield* Agent.run(good, { prompt: "write" })
        assert.strictEqual(value, "better")
        assert.deepStrictEqual(yield* asked, [
          ["system: I am poet", "user: write"],
          ["system: I am poet", "user: write", "assistant: bad", "user: no 1"]
        ])
      }).pipe(Effect.provide(model({ poet: ["bad", "better"] }))))

    it.effect("fails with the last answer when none was accepted; a critic is told it", () =>
      Effect.gen(function*() {
        const critic = Agent.make("critic", { instructions: "I am critic", output: Orchestration.Verdict })
        const good = Orchestration.refine("good", is("poet"), { until: critic, rounds: 2 })
        const error = yield* Effect.flip(Agent.run(good, { prompt: "write" }))
        assert.deepStrictEqual(
          error,
          new Orchestration.NotAccepted({ orchestration: "good", rounds: 2, value: "worse", feedback: "longer" })
        )
        assert.deepStrictEqual((yield* asked)[1], ["system: I am critic", "user: write", "user: poet: bad"])
      }).pipe(Effect.provide(model({
        poet: ["bad", "worse"],
        critic: [ScriptedModel.toolCalls({
          name: "final_answer",
          params: { accepted: false, feedback: "longer" }
        })]
      }))))
  })

  describe("groupChat", () => {
    const members = { a: is("a"), b: is("b") }

    it.effect("lets the one speak that a function says, who has heard all the others, and streams all texts", () =>
      Effect.gen(function*() {
        const heard: Array<number> = []
        const chat = Orchestration.groupChat("chat", members, {
          rounds: 3,
          next: ({ turns }) => {
            heard.push(turns.length)
            return Effect.succeed(turns.length % 2 === 0 ? "a" : "b")
          }
        })
        const { parts } = yield* collectAll(Agent.stream(chat, { prompt: "go" }))
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        const turns = [{ from: "a", text: "one" }, { from: "b", text: "two" }, { from: "a", text: "three" }]
        assert.deepStrictEqual(result.value, { turns, end: "rounds" })
        assert.strictEqual(result.text, "onetwothree")
        assert.deepStrictEqual(heard, [0, 1, 2])
        assert.deepStrictEqual((yield* asked)[2], [
          "system: I am a",
          "user: go",
          "assistant: one",
          "user: b: two"
        ])
      }).pipe(Effect.provide(model({ a: ["one", "three"], b: ["two"] }))))

    it.effect("is led by a manager, which hears all and does not speak, until it closes the discussion", () =>
      Effect.gen(function*() {
        const manager = Agent.make("manager", {
          instructions: "I am manager",
          output: Schema.NullOr(Schema.Literals(["a", "b"]))
        })
        const chat = Orchestration.groupChat("chat", members, { next: manager })
        const { value } = yield* Agent.run(chat, { prompt: "go" })
        assert.deepStrictEqual(value, { turns: [{ from: "b", text: "two" }], end: "closed" })
        assert.deepStrictEqual((yield* asked)[2], ["system: I am manager", "user: go", "user: b: two"])
      }).pipe(Effect.provide(model({
        manager: ["b", null].map((value) => ScriptedModel.toolCalls({ name: "final_answer", params: { value } })),
        b: ["two"]
      }))))
  })

  describe("plan", () => {
    const gives = (params: Orchestration.Plan | Orchestration.Ledger<"a" | "b">) =>
      ScriptedModel.toolCalls({ name: "final_answer", params })
    const ledger = { isDone: false, isProgressing: true, isLooping: false, next: "a", instruction: "Look" } as const
    const roles = {
      planner: Agent.make("planner", { instructions: "I am planner", output: Orchestration.Plan }),
      manager: Agent.make("manager", { instructions: "I am manager", output: Orchestration.Ledger(["a", "b"]) }),
      writer: is("writer")
    }
    const members = { a: Agent.make("a", { instructions: "I am a", description: "Looks" }), b: is("b") }
    const firstPlan = { facts: "nothing", plan: "a looks" }
    const secondPlan = { facts: "a knows nothing", plan: "b looks" }

    it.effect("is followed, and made anew after so many stalls; the writer answers with all that was found", () =>
      Effect.gen(function*() {
        const team = Orchestration.plan("team", members, { ...roles, stalls: 2 })
        const { parts } = yield* collectAll(Agent.stream(team, { prompt: "how high?" }))
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.strictEqual(result.value, "It is high.")
        assert.strictEqual(
          parts.flatMap((part) => part.type === "text-delta" ? part.delta : []).join(""),
          "It is high."
        )
        const names = result.steps.flatMap(({ toolCalls }) => toolCalls.map(({ name }) => name))
        assert.deepStrictEqual(names, [
          "planner",
          "manager",
          "a",
          "manager",
          "a",
          "manager",
          "planner",
          "manager",
          "b",
          "manager",
          "writer"
        ])
        const all = yield* asked
        assert.deepStrictEqual(all[2], ["system: I am a", "user: how high?", "user: Look"])
        assert.deepStrictEqual(all[4], [
          "system: I am a",
          "user: how high?",
          "assistant: no idea",
          "user: Look again"
        ])
        assert.include(all[6]![4], "a looks")
        assert.include(all[6]![4], "- a: Looks")
        assert.deepStrictEqual(all[10]!.slice(0, 5), [
          "system: I am writer",
          "user: how high?",
          "user: a: no idea",
          "user: a: still none",
          "user: b: 2469 m"
        ])
        assert.include(all[10]![5], "b looks")
      }).pipe(Effect.provide(model({
        planner: [gives(firstPlan), gives(secondPlan)],
        manager: [
          gives(ledger),
          gives({ ...ledger, isProgressing: false, instruction: "Look again" }),
          gives({ ...ledger, isLooping: true }),
          gives({ ...ledger, next: "b" }),
          gives({ ...ledger, isDone: true })
        ],
        a: ["no idea", "still none"],
        b: ["2469 m"],
        writer: ["It is high."]
      }))))

    it.effect("fails at its bounds: with the last plan that has not led on, or at its last round", () =>
      Effect.gen(function*() {
        const stalled = Orchestration.plan("team", members, { ...roles, stalls: 1, replans: 1 })
        const answers = {
          planner: [gives(firstPlan), gives(secondPlan)],
          manager: [gives({ ...ledger, isProgressing: false })],
          a: ["no idea"]
        }
        const failed = yield* Effect.provide(Effect.flip(Agent.run(stalled, { prompt: "go" })), model(answers))
        assert.deepStrictEqual(
          failed,
          new Orchestration.NotDone({ orchestration: "team", limit: "replans", plan: secondPlan })
        )
        const endless = Orchestration.plan("team", members, { ...roles, rounds: 2 })
        const error = yield* Effect.provide(
          Effect.flip(Agent.run(endless, { prompt: "go" })),
          model({ ...answers, manager: [gives(ledger)] })
        )
        assert.deepStrictEqual(
          error,
          new Orchestration.NotDone({ orchestration: "team", limit: "rounds", plan: firstPlan })
        )
      }))
  })

  describe("a member that waits for an approval", () => {
    const layers = (log: Log, answers: Readonly<Record<string, ReadonlyArray<Answer>>>) =>
      Layer.mergeAll(model(answers), gate(log))

    it.effect("a member that waits for approval is ignored and the next one runs on its empty text: the run waits", () =>
      Effect.gen(function*() {
        const team = Orchestration.sequential("team", [gated("a"), is("b")])
        const waiting = yield* Agent.run(team, { prompt: "go" })
        assert.strictEqual(waiting.stopReason, "approval-required")
        assert.strictEqual((yield* asked).length, 1)
        const result = yield* Agent.resume(team, { result: waiting }, approveAll(waiting))
        assert.strictEqual(result.value, "two")
        assert.deepStrictEqual((yield* asked)[2], ["system: I am b", "user: one"])
      }).pipe(Effect.provide(layers([], { a: throughGate("one"), b: ["two"] }))))

    it.effect("fan-in is lost on resume: the others are not asked again, and all values are there", () =>
      Effect.gen(function*() {
        const team = Orchestration.concurrent("team", { a: is("a"), b: gated("b"), c: gated("c") })
        const first = yield* Agent.run(team, { prompt: "go" })
        assert.strictEqual(first.approvals.length, 2)
        const second = yield* Agent.resume(team, { result: first }, [Approval.approve(first.approvals[0])])
        assert.strictEqual(second.approvals.length, 1)
        const third = yield* Agent.resume(team, { result: second }, approveAll(second))
        assert.deepStrictEqual(third.value, { a: "one", b: "two", c: "three" })
        assert.deepStrictEqual((yield* asked).map(([system]) => system).sort(), [
          "system: I am a",
          "system: I am b",
          "system: I am b",
          "system: I am c",
          "system: I am c"
        ])
      }).pipe(Effect.provide(layers([], { a: ["one"], b: throughGate("two"), c: throughGate("three") }))))

    const waitingOnes: ReadonlyArray<readonly [string, Agent.Agent<any, any, any, any>, unknown]> = [
      ["collect", Orchestration.collect("team", { a: gated("a"), b: is("b") }), {
        a: Exit.succeed("one"),
        b: Exit.succeed("two")
      }],
      ["quorum", Orchestration.quorum("team", [gated("a"), is("b")], { size: 2 }), ["two", "one"]],
      ["race", Orchestration.race("team", [gated("a"), failing("f")]), "one"],
      ["route", Orchestration.route("team", { a: gated("a") }, { choose: () => Effect.succeed("a") }), "one"],
      [
        "groupChat",
        Orchestration.groupChat("team", { a: gated("a") }, {
          next: ({ turns }) => Effect.succeed(turns.length === 0 ? "a" : null)
        }),
        { turns: [{ from: "a", text: "one" }], end: "closed" }
      ],
      [
        "plan",
        Orchestration.plan("team", { a: gated("a") }, {
          planner: Agent.make("planner", { instructions: "I am planner", output: Orchestration.Plan }),
          manager: Agent.make("manager", { instructions: "I am manager", output: Orchestration.Ledger(["a"]) }),
          writer: is("b")
        }),
        "two"
      ],
      [
        "refine",
        Orchestration.refine("team", gated("a"), { until: () => Effect.succeed(Orchestration.accepted) }),
        "one"
      ]
    ]

    it.effect.each(waitingOnes)("lets a %s wait and go on", ([, team, value]) =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Effect.gen(function*() {
          const waiting = yield* Agent.run(team, { prompt: "go" })
          assert.strictEqual(waiting.stopReason, "approval-required")
          assert.isUndefined(waiting.value)
          const result = yield* Agent.resume(team, { result: waiting }, approveAll(waiting))
          assert.deepStrictEqual(result.value, value)
        }).pipe(Effect.provide(layers(log, {
          a: throughGate("one"),
          b: ["two"],
          planner: [ScriptedModel.toolCalls({ name: "final_answer", params: { facts: "none", plan: "a" } })],
          manager: [false, true].map((isDone) =>
            ScriptedModel.toolCalls({
              name: "final_answer",
              params: { isDone, isProgressing: true, isLooping: false, next: "a", instruction: "Open" }
            })
          )
        })))
        assert.deepStrictEqual(log, ["gate"])
      }))

    it.effect("loses a race against one that does not", () =>
      Effect.gen(function*() {
        const { approvals, value } = yield* Agent.run(
          Orchestration.race("team", [gated("a"), is("b")]),
          { prompt: "go" }
        )
        assert.strictEqual(value, "two")
        assert.deepStrictEqual(approvals, [])
      }).pipe(Effect.provide(layers([], { a: throughGate("one"), b: ["two"] }))))
  })

  describe("orchestrations of orchestrations", () => {
    const write = Orchestration.refine("write", is("poet"), {
      until: (text) => Effect.succeed(text === "good" ? Orchestration.accepted : Orchestration.revise("better"))
    })
    const both = Orchestration.concurrent("both", { write, look: is("b") })
    const team = Orchestration.sequential("team", [both, is("c")]).pipe(Agent.withProvider(SessionHistory.provider))
    const answers = { poet: ["bad", "good"], b: ["two"], c: ["three", "four"] }

    it.effect("are one run: with its session, its usage and its budget", () =>
      Effect.gen(function*() {
        const budget = Budget.make({ modelCalls: 4 })
        const limited = team.pipe(Agent.withMiddleware(Budget.middleware(Budget.orFail(budget))))
        const first = yield* Agent.run(limited, { prompt: "go", session: "s" })
        assert.strictEqual(first.value, "three")
        assert.strictEqual(first.totalUsage.inputTokens.total, 4)
        assert.deepStrictEqual((yield* asked)[3], ["system: I am c", `user: {"write":"good","look":"two"}`])
        yield* Agent.run(team, { prompt: "again", session: "s" })
        const again = (yield* asked).slice(4).find(([system]) => system === "system: I am poet")
        assert.deepStrictEqual(again, ["system: I am poet", "user: go", "assistant: three", "user: again"])
      }).pipe(Effect.provide([model(answers), SessionStore.layerMemory])))

    it.effect("end together when their budget is used up", () =>
      Effect.gen(function*() {
        const limited = team.pipe(
          Agent.withMiddleware(Budget.middleware(Budget.orFail(Budget.make({ modelCalls: 3 }))))
        )
        const error = yield* Effect.flip(Agent.run(limited, { prompt: "go", session: "s" }))
        assert.strictEqual(error._tag, "BudgetExceeded")
      }).pipe(Effect.provide([model(answers), SessionStore.layerMemory])))

    it.effect("give their values back as they were when they go on, whatever they are made of", () =>
      Effect.gen(function*() {
        const Dated = Schema.Struct({ at: Schema.DateFromString })
        const dated = Agent.make("dated", { instructions: "I am dated", output: Dated })
        const inner = Orchestration.concurrent("inner", {
          either: Orchestration.race("either", { text: failing("f"), dated }),
          all: Orchestration.collect("all", [dated]),
          some: Orchestration.quorum("some", [is("a"), dated], { size: 2 })
        })
        const outer = Orchestration.concurrent("outer", [inner, gated("b")])
        const waiting = yield* Agent.run(outer, { prompt: "go" })
        const { value } = yield* Agent.resume(outer, { result: waiting }, approveAll(waiting))
        const at = { at: new Date("2026-01-01") }
        assert.deepStrictEqual(value, [
          { either: at, all: [Exit.succeed(at)], some: value?.[0].some[0] === "one" ? ["one", at] : [at, "one"] },
          "two"
        ])
      }).pipe(Effect.provide(layersOf({
        a: ["one"],
        b: throughGate("two"),
        dated: [ScriptedModel.toolCalls({ name: "final_answer", params: { at: "2026-01-01" } })]
      }))))
  })

  describe("InvalidOrchestration", () => {
    const message = (make: () => unknown): string => {
      try {
        make()
        return "made"
      } catch (error) {
        return (error as Orchestration.InvalidOrchestration).message
      }
    }

    it("is thrown for no members, and for two of one name that are not the same", () => {
      assert.strictEqual(
        message(() => Orchestration.sequential("team", [])),
        "The orchestration `team` cannot be made: it has no members"
      )
      assert.strictEqual(
        message(() => Orchestration.sequential("team", [Agent.make("a"), Agent.make("a")])),
        "The orchestration `team` cannot be made: two of its members have the name `a`"
      )
      const router = Agent.make("a", { output: Schema.Literal("a") })
      assert.strictEqual(
        message(() => Orchestration.route("team", { a: is("b") }, { choose: router })),
        "The orchestration `team` cannot be made: two of its members have the name `a`"
      )
    })

    it.each([0, -1, 1.5, NaN, Infinity])("is thrown for a bound of %s", (bound) => {
      const problem = `has to be a positive integer, and is ${bound}`
      assert.strictEqual(
        message(() => Orchestration.quorum("team", [is("a"), is("b")], { size: bound })),
        `The orchestration \`team\` cannot be made: its \`size\` ${problem}`
      )
      assert.strictEqual(
        message(() =>
          Orchestration.refine("team", is("a"), { until: () => Effect.succeed(Orchestration.accepted), rounds: bound })
        ),
        `The orchestration \`team\` cannot be made: its \`rounds\` ${problem}`
      )
    })

    it("is thrown for a quorum that is larger than it can be", () => {
      assert.strictEqual(
        message(() => Orchestration.quorum("team", [is("a"), is("b")], { size: 3 })),
        "The orchestration `team` cannot be made: its `size` is 3, and it has 2 members"
      )
    })
  })
})

describe("AgentTool", () => {
  it.effect("makes the prompt of the conversation of its caller too", () =>
    Effect.gen(function*() {
      const tool = AgentTool.make(Agent.make("a"), {
        prompt: ({ prompt }, conversation) => `${showPrompt(conversation)}; ${prompt}`
      })
      const team = Agent.program("team", {
        toolkit: AgentTool.toolkit(tool),
        run: (_, call) => call.a({ prompt: "and this" })
      })
      yield* Agent.run(team, { prompt: "go" })
      assert.deepStrictEqual(yield* asked, [["user: user: go; and this"]])
    }).pipe(Effect.provide(ScriptedModel.layer([ScriptedModel.text("one")]))))
})

import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Deferred, Effect, Exit, Fiber, Schema, Stream } from "effect"
import { AiError, Prompt, Tool, Toolkit } from "effect/ai"
import {
  Agent,
  AgentRun,
  AgentTool,
  Approval,
  Budget,
  ContextProvider,
  SessionHistory,
  SessionStore,
  StopCondition
} from "../src/index.ts"
import { Handoff } from "../src/orchestration/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { collectAll, type Log, logged, showExit, showPrompt, types } from "./utils.ts"

const { layer: model, text, toolCalls } = ScriptedModel

const X = Schema.Struct({ x: Schema.String })
const Look = Tool.make("look", { parameters: X, success: Schema.String })
const Pay = Tool.make("pay", { parameters: X, success: Schema.String, needsApproval: true })
const kit = Toolkit.make(Look, Pay)
const handlers = (log: Log = []) =>
  kit.toLayer({
    look: ({ x }) => Effect.sync(() => (log.push(`look ${x}`), `saw ${x}`)),
    pay: ({ x }) => Effect.sync(() => (log.push(`pay ${x}`), `paid ${x}`))
  })

const triage = Agent.make("triage", { description: "Knows who can help", toolkit: kit })
const billing = Agent.make("billing", { toolkit: kit })
const legal = Agent.make("legal")
const remembering = Agent.withProvider(SessionHistory.provider)

const transfer = (to: string, message?: string): ScriptedModel.Piece =>
  toolCalls({ name: `transfer_to_${to}`, params: message === undefined ? {} : { message } })
const call = (name: string, x: string): ScriptedModel.ToolCall => ({ name, params: { x }, id: `${name}-${x}` })

const requests = Effect.flatMap(ScriptedModel.ScriptedModel, ({ requests }) => requests)
const prompts = Effect.map(requests, (all) => all.map(({ prompt }) => showPrompt(prompt)))
const lastPrompt = Effect.map(prompts, (all) => all[all.length - 1])
const history = Effect.flatMap(
  SessionStore.SessionStore,
  (store) => Effect.map(store.load("s"), ({ history }) => history)
)
const holder = Effect.map(history, Handoff.holder)

describe("Handoff", () => {
  describe("a run", () => {
    it.effect("goes on with the member that it was handed over to, without a model call in between", () =>
      Effect.gen(function*() {
        const desk = Handoff.make("desk", [triage, billing, legal])
        const { parts } = yield* collectAll(Agent.stream(desk, { prompt: "twice charged" }))
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.deepStrictEqual([result.value, result.stopReason], ["Refunded.", "stop"])
        assert.deepStrictEqual(yield* prompts, [
          ["user: twice charged"],
          [
            "user: twice charged",
            "assistant: One moment.",
            "user: The conversation was handed over to `billing` by `triage`: order 7"
          ]
        ])
        assert.deepStrictEqual((yield* requests).map(({ tools }) => tools), [
          ["look", "pay", "transfer_to_billing", "transfer_to_legal"],
          ["look", "pay", "transfer_to_triage", "transfer_to_legal"]
        ])
        // two calls and the answer
        assert.strictEqual(result.steps.length, 3)
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide([
        handlers(),
        model([[text("One moment."), transfer("billing", "order 7")], text("Refunded.")])
      ])))

    it.effect("streams the texts of its members as its text, each once", () =>
      Effect.gen(function*() {
        const desk = Handoff.make("desk", [triage, billing])
        const { parts } = yield* collectAll(Agent.stream(desk, { prompt: "hi" }))
        const told = parts.flatMap((part) => part.type === "text-delta" ? part.delta : [])
        assert.deepStrictEqual(told, ["One ", "moment.", "Re", "funded."])
        const { result } = parts[parts.length - 1] as AgentRun.RunEnd
        assert.strictEqual(result.text, told.join(""))
        assert.deepStrictEqual(
          types(parts).filter((type) => type === "text-start" || type === "text-end"),
          ["text-start", "text-end", "text-start", "text-end"]
        )
      }).pipe(Effect.provide([
        handlers(),
        model([[text(["One ", "moment."]), transfer("billing")], text(["Re", "funded."])])
      ])))

    it.effect("ends the member that hands over at once, whatever its limits and its output are", () =>
      Effect.gen(function*() {
        const first = Agent.make("first", {
          output: Schema.Struct({ n: Schema.Int }),
          stopWhen: [StopCondition.stepCount(1)]
        })
        const desk = Handoff.make("desk", { first, legal })
        const { value } = yield* Agent.run(desk, { prompt: "hi" })
        assert.strictEqual(value, "Legal answers.")
        assert.strictEqual((yield* requests).length, 2)
      }).pipe(Effect.provide(model([transfer("legal"), text("Legal answers.")]))))

    it.effect("gives the value of an output, and others read it", () =>
      Effect.gen(function*() {
        const counter = Agent.make("counter", { output: Schema.Struct({ on: Schema.DateFromString }) })
        const desk = remembering(Handoff.make("desk", [counter, legal]))
        const { text, value } = yield* Agent.run(desk, { prompt: "when?", session: "s" })
        assert.deepStrictEqual(value, { on: new Date("2026-01-01T00:00:00.000Z") })
        assert.strictEqual(text, `{"on":"2026-01-01T00:00:00.000Z"}`)
        yield* Agent.run(desk, { prompt: "and legally?", session: "s" })
        assert.deepStrictEqual(yield* lastPrompt, [
          "user: when?",
          `assistant: {"on":"2026-01-01T00:00:00.000Z"}`,
          "user: and legally?",
          "user: The conversation was handed over to `legal` by `counter`."
        ])
      }).pipe(Effect.provide([
        SessionStore.layerMemory,
        model([
          toolCalls({ name: "final_answer", params: { on: "2026-01-01T00:00:00.000Z" } }),
          transfer("legal"),
          text("Legally too.")
        ])
      ])))

    it.effect("may hand over so often: then the member that has the conversation has to answer", () =>
      Effect.gen(function*() {
        const desk = Handoff.make("desk", [triage, legal], { maximumTransfers: 2 })
        const { stopReason, value } = yield* Agent.run(desk, { prompt: "hi" })
        assert.deepStrictEqual([stopReason, value], ["transfer-limit", "I do it."])
        assert.deepStrictEqual((yield* requests).map(({ tools }) => tools), [
          ["look", "pay", "transfer_to_legal"],
          ["transfer_to_triage"],
          // the last two calls are of one member
          ["look", "pay"],
          ["look", "pay"]
        ])
      }).pipe(Effect.provide([
        handlers(),
        model([transfer("legal"), transfer("triage"), transfer("legal"), text("I do it.")])
      ])))

    it.effect("keeps to its budget, and counts what all members spend", () =>
      Effect.gen(function*() {
        const desk = Handoff.make("desk", [triage, billing])
        const result = yield* Agent.run(desk, { prompt: "hi" })
        assert.strictEqual(result.totalUsage.inputTokens.total, 20)
        const budget = Budget.orFail(Budget.make({ modelCalls: 1 }))
        const error = yield* Effect.flip(
          Agent.run(Agent.withMiddleware(desk, Budget.middleware(budget)), { prompt: "hi" })
        )
        assert.strictEqual(error._tag, "BudgetExceeded")
        assert.strictEqual((yield* requests).length, 3)
      }).pipe(Effect.provide([
        handlers(),
        model([transfer("billing"), text("Done."), transfer("billing")])
      ])))
  })

  describe("transfers", () => {
    it.effect("parallel handoffs leave calls without results: the first one is taken, and every call has a result", () =>
      Effect.gen(function*() {
        const desk = Handoff.make("desk", [triage, billing, legal], { view: "full" })
        const { transcript } = yield* Agent.run(desk, { prompt: "hi" })
        const [, seen] = yield* prompts
        assert.deepStrictEqual(seen.slice(1), [
          "assistant: look#look-a({\"x\":\"a\"}), transfer_to_legal#l({}), transfer_to_billing#b({})",
          "tool: look#look-a = \"saw a\", transfer_to_legal#l = \"Handed over: `legal` has the conversation now\", " +
          "transfer_to_billing#b failed = \"Not handed over: the conversation goes to `legal`\""
        ])
        assert.strictEqual(Handoff.holder(transcript), "legal")
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide([
        handlers(),
        model([
          toolCalls(
            call("look", "a"),
            { name: "transfer_to_legal", params: {}, id: "l" },
            { name: "transfer_to_billing", params: {}, id: "b" }
          ),
          text("Legal answers.")
        ])
      ])))

    it.effect("control never comes back: a member may hand over to the one before it, also in a later run", () =>
      Effect.gen(function*() {
        const desk = remembering(Handoff.make("desk", [triage, billing]))
        yield* Agent.run(desk, { prompt: "one", session: "s" })
        assert.strictEqual(yield* holder, "triage")
        yield* Agent.run(desk, { prompt: "two", session: "s" })
        assert.strictEqual(yield* holder, "billing")
        yield* Agent.run(desk, { prompt: "three", session: "s" })
        assert.strictEqual(yield* holder, "triage")
        assert.deepStrictEqual(yield* lastPrompt, [
          "user: one",
          "assistant: look#look-a({\"x\":\"a\"}), transfer_to_billing#call-1-2({})",
          "tool: look#look-a = \"saw a\", transfer_to_billing#call-1-2 = \"Handed over: `billing` has the conversation now\"",
          "assistant: Not mine.",
          "user: The conversation was handed over to `triage` by `billing`.",
          "assistant: Then I do it.",
          "user: two",
          "assistant: transfer_to_billing#call-4-1({})",
          "tool: transfer_to_billing#call-4-1 = \"Handed over: `billing` has the conversation now\"",
          "assistant: Mine.",
          "user: three",
          "user: The conversation was handed over to `triage` by `billing`."
        ])
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([
          toolCalls(call("look", "a"), { name: "transfer_to_billing", params: {} }),
          [text("Not mine."), transfer("triage")],
          text("Then I do it."),
          transfer("billing"),
          text("Mine."),
          transfer("triage"),
          text("Back again.")
        ])
      ])))

    it.effect("that no route allows are not offered, and a call of one is a mistake that the model is told", () =>
      Effect.gen(function*() {
        const desk = Handoff.make("desk", { triage, billing, legal }, { routes: { triage: ["billing"] } })
        const { value } = yield* Agent.run(desk, { prompt: "hi" })
        assert.strictEqual(value, "Refunded.")
        assert.deepStrictEqual((yield* requests).map(({ tools }) => tools), [
          ["look", "pay", "transfer_to_billing"],
          ["look", "pay", "transfer_to_billing"],
          ["look", "pay"]
        ])
        assert.deepStrictEqual((yield* prompts)[1], [
          "user: hi",
          "assistant: transfer_to_legal#call-1-1({})",
          "tool: transfer_to_legal#call-1-1 failed = \"Tool 'transfer_to_legal' not found. Available tools: look, pay, transfer_to_billing\""
        ])
      }).pipe(Effect.provide([
        handlers(),
        model([transfer("legal"), transfer("billing"), text("Refunded.")])
      ])))

    it.effect("whose name a tool of a run has fail that run", () =>
      Effect.gen(function*() {
        const own = Toolkit.make(Tool.make("transfer_to_legal"))
        const clashing = Agent.make("clashing", {
          toolkit: Effect.provide(own, own.toLayer({ transfer_to_legal: () => Effect.void }))
        })
        const desk = Handoff.make("desk", [clashing, legal])
        const error = yield* Effect.flip(Agent.run(desk, { prompt: "hi" }))
        assert.deepStrictEqual(
          error._tag === "AgentError" && error.reason._tag === "DuplicateTool" &&
            [error.reason.tool, error.reason.provider],
          ["transfer_to_legal", "handoff of desk"]
        )
      }).pipe(Effect.provide(model([]))))
  })

  describe("make", () => {
    const refusal = (make: () => unknown): string => {
      try {
        make()
        return "made"
      } catch (error) {
        return (error as Error).message
      }
    }
    const refused = (problem: string) => `The orchestration \`desk\` cannot be made: ${problem}`

    it("refuses a tool of a member that has the name of a transfer, also of one that no route allows", () => {
      const own = Agent.make("own", { toolkit: Toolkit.make(Tool.make("transfer_to_legal")) })
      const expected = refused(
        "its member `own` has a tool of its own with the name of a transfer, `transfer_to_legal`"
      )
      assert.strictEqual(refusal(() => Handoff.make("desk", [own, legal])), expected)
      assert.strictEqual(refusal(() => Handoff.make("desk", [own, legal], { routes: {} })), expected)
    })

    it("refuses members and routes that are none", () => {
      assert.strictEqual(refusal(() => Handoff.make("desk", [])), refused("it has no members"))
      assert.strictEqual(
        refusal(() => Handoff.make("desk", [legal, Agent.make("legal")])),
        refused("two of its members have the name `legal`")
      )
      assert.strictEqual(
        refusal(() => Handoff.make("desk", [triage, legal], { routes: { triage: ["illegal"] } })),
        refused("its `routes` have `illegal`, which is none of its members")
      )
      assert.strictEqual(
        refusal(() => Handoff.make("desk", [triage, legal], { routes: { triage: ["triage"] } })),
        refused("its `routes` have one from `triage` to itself")
      )
      for (const maximumTransfers of [0, 1.5, NaN]) {
        assert.strictEqual(
          refusal(() => Handoff.make("desk", [triage, legal], { maximumTransfers })),
          refused(`its \`maximumTransfers\` is ${maximumTransfers}, and no positive integer`)
        )
      }
    })
  })

  describe("what a member sees", () => {
    const script = model([
      [ScriptedModel.reasoning("hm"), text("I look."), toolCalls(call("look", "a"))],
      transfer("legal", "it is a"),
      text("Legal answers.")
    ])
    const work = [
      "assistant: I look., look#look-a({\"x\":\"a\"})",
      "tool: look#look-a = \"saw a\"",
      "assistant: transfer_to_legal#call-2-1({\"message\":\"it is a\"})",
      "tool: transfer_to_legal#call-2-1 = \"Handed over: `legal` has the conversation now\""
    ]
    const note = "user: The conversation was handed over to `legal` by `triage`: it is a"

    it.effect.each(
      [
        ["texts", ["assistant: I look.", note]],
        ["full", work],
        ["none", [note]],
        [
          ({ by, messages, note, text, to }: Handoff.Work) => [
            Prompt.userMessage({
              content: [Prompt.textPart({ text: JSON.stringify([by, messages.length, note, text, to]) })]
            })
          ],
          [`user: ["triage",4,"it is a","","legal"]`]
        ]
      ] as const
    )("of the work of others is what the view says: %s", ([view, seen]) =>
      Effect.gen(function*() {
        yield* Agent.run(Handoff.make("desk", [triage, legal], { view }), { prompt: "hi" })
        assert.deepStrictEqual(yield* lastPrompt, ["user: hi", ...seen])
      }).pipe(Effect.provide([handlers(), script])))

    it.effect("of the work of another agent in the session is what the view says", () =>
      Effect.gen(function*() {
        yield* Agent.run(remembering(Agent.make("other", { toolkit: kit })), { prompt: "before", session: "s" })
        yield* Agent.run(remembering(Handoff.make("desk", [legal, triage])), { prompt: "hi", session: "s" })
        assert.deepStrictEqual(yield* lastPrompt, ["user: before", "assistant: Seen.", "user: hi"])
        yield* Agent.run(remembering(Handoff.make("desk", [legal, triage], { view: "full" })), {
          prompt: "on",
          session: "s"
        })
        assert.deepStrictEqual(yield* lastPrompt, [
          "user: before",
          "assistant: look#look-a({\"x\":\"a\"})",
          "tool: look#look-a = \"saw a\"",
          "assistant: Seen.",
          "user: hi",
          "assistant: Legal answers.",
          "user: on"
        ])
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([toolCalls(call("look", "a")), text("Seen."), text("Legal answers."), text("On.")])
      ])))

    const Turn = Schema.Struct({
      says: Schema.Boolean,
      then: Schema.Literals(["look", "transfer", "transfer", "both", "answer", "answer"]),
      to: Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 1 }))
    })
    it.effect.prop("handoff copies the history twice: no message is twice in a request, nor in the session", {
      turns: Arbitrary.schema(Schema.Array(Turn).check(Schema.isMaxLength(24))),
      view: Arbitrary.schema(Schema.Literals(["texts", "full", "none"]))
    }, ({ turns, view }) =>
      Effect.gen(function*() {
        const desk = remembering(
          Handoff.make("desk", [triage, billing, Agent.make("legal", { toolkit: kit })], { view, maximumTransfers: 3 })
        )
        let next = 0
        const step = ScriptedModel.step(({ tools }) => {
          const n = next++
          const turn = turns[n]
          const said = turn === undefined || turn.says || turn.then === "answer" ? [text(`t${n}.`)] : []
          if (turn === undefined || turn.then === "answer") return said
          const targets = tools.filter((name) => name.startsWith("transfer_to_"))
          const handing = { name: targets[turn.to] ?? "look", params: targets.length === 0 ? { x: `x${n}` } : {} }
          const looking = { name: "look", params: { x: `y${n}` } }
          return [
            ...said,
            turn.then === "look"
              ? toolCalls(looking)
              : turn.then === "both"
              ? toolCalls(looking, handing)
              : toolCalls(handing)
          ]
        })
        yield* Effect.gen(function*() {
          for (const n of [1, 2, 3]) yield* Agent.run(desk, { prompt: `user ${n}.`, session: "s" })
          const asked = [...(yield* requests).map(({ prompt }) => prompt), yield* history]
          asked.forEach((prompt, index) => {
            const isHistory = index === asked.length - 1
            const content = prompt.content.flatMap((message): ReadonlyArray<string> =>
              message.role === "user" || message.role === "assistant" && !isHistory
                ? message.content.flatMap((part) =>
                  part.type === "text" ? part.text.match(/t\d+\.|user \d\./g) ?? [] : []
                )
                : message.role === "tool"
                ? message.content.flatMap((part) => part.type === "tool-result" ? part.id : [])
                : []
            )
            assert.deepStrictEqual(content, [...new Set(content)])
          })
        }).pipe(Effect.provide([
          handlers(),
          SessionStore.layerMemory,
          model(Array.from({ length: 80 }, () => step))
        ]))
      }), { arbitrary: { runs: 12, seed: "handoff" } })
  })

  describe("a session", () => {
    const desk = remembering(Handoff.make("desk", [triage, billing]))

    it.effect("goes on with the member that has the conversation, which sees its own work as it was", () =>
      Effect.gen(function*() {
        yield* Agent.run(desk, { prompt: "one", session: "s" })
        yield* Agent.run(desk, { prompt: "two", session: "s" })
        assert.deepStrictEqual(yield* lastPrompt, [
          "user: one",
          "user: The conversation was handed over to `billing` by `triage`.",
          "assistant: look#look-a({\"x\":\"a\"})",
          "tool: look#look-a = \"saw a\"",
          "assistant: Seen.",
          "user: two"
        ])
        yield* ScriptedModel.assertDone
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([transfer("billing"), toolCalls(call("look", "a")), text("Seen."), text("Still here.")])
      ])))

    it.effect("of a member that is none any more goes on with the first one", () =>
      Effect.gen(function*() {
        yield* Agent.run(desk, { prompt: "one", session: "s" })
        yield* Agent.run(remembering(Handoff.make("desk", [legal, triage])), { prompt: "two", session: "s" })
        assert.deepStrictEqual(yield* lastPrompt, [
          "user: one",
          "user: The conversation was handed over to `billing` by `triage`.",
          "assistant: Billing.",
          "user: two"
        ])
        assert.strictEqual(yield* holder, "legal")
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([transfer("billing"), text("Billing."), text("Legal.")])
      ])))

    it.effect("alone says who has the conversation: a prompt with the messages of another run does not", () =>
      Effect.gen(function*() {
        const { transcript } = yield* Agent.run(desk, { prompt: "one" })
        assert.strictEqual(Handoff.holder(transcript), "billing")
        const { transcript: forged } = yield* Agent.run(desk, { prompt: Prompt.concat(transcript, "two") })
        assert.strictEqual(Handoff.holder(forged), "triage")
        assert.deepStrictEqual((yield* requests)[2].tools, ["look", "pay", "transfer_to_billing"])
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([transfer("billing"), text("Billing."), text("Triage.")])
      ])))

    it.effect("is kept by a handoff that is a member of another one", () =>
      Effect.gen(function*() {
        const inner = Handoff.make("inner", [triage, billing])
        const outer = remembering(Handoff.make("outer", [inner, legal]))
        yield* Agent.run(outer, { prompt: "one", session: "s" })
        yield* Agent.run(outer, { prompt: "two", session: "s" })
        assert.deepStrictEqual((yield* requests).map(({ tools }) => tools), [
          ["look", "pay", "transfer_to_billing"],
          ["look", "pay", "transfer_to_triage"],
          ["look", "pay", "transfer_to_triage"]
        ])
        assert.deepStrictEqual(yield* lastPrompt, [
          "user: one",
          "user: The conversation was handed over to `billing` by `triage`.",
          "assistant: Billing.",
          "user: two"
        ])
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([transfer("billing"), text("Billing."), text("Still billing.")])
      ])))

    it.effect("of a run that failed goes on where it was, and asks nobody again who has answered", () =>
      Effect.gen(function*() {
        const everyStep = Agent.withProvider(Handoff.make("desk", [triage, billing]), SessionHistory.providerEveryStep)
        assert.isTrue(Exit.isFailure(yield* Effect.exit(Agent.run(everyStep, { prompt: "one", session: "s" }))))
        assert.strictEqual(yield* holder, "billing")
        const { text, value } = yield* Agent.continue(everyStep, { session: "s" })
        assert.deepStrictEqual([text, value], ["Billing.", "Billing."])
        assert.deepStrictEqual((yield* prompts).slice(1), [
          ["user: one", "assistant: One moment.", "user: The conversation was handed over to `billing` by `triage`."],
          ["user: one", "assistant: One moment.", "user: The conversation was handed over to `billing` by `triage`."]
        ])
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([
          [text("One moment."), transfer("billing")],
          ScriptedModel.fail(new AiError.RateLimitError({})),
          text("Billing.")
        ])
      ])))
  })

  describe("approvals", () => {
    const desk = remembering(Handoff.make("desk", [triage, billing]))

    it.effect("of a member that was handed over to are answered from the top, one by one", () =>
      Effect.gen(function*() {
        const log: Log = []
        yield* Effect.gen(function*() {
          const first = yield* Agent.run(desk, { prompt: "go", session: "s" })
          assert.deepStrictEqual(
            first.approvals.map(({ params, path, tool }) => [path, tool, params]),
            [[["billing"], "pay", { x: "a" }], [["billing"], "pay", { x: "b" }]]
          )
          assert.strictEqual(yield* holder, "billing")
          const second = yield* Agent.resume(desk, { session: "s" }, [Approval.approve(first.approvals[1])])
          assert.deepStrictEqual(second.approvals.map(({ params }) => params), [{ x: "a" }])
          const third = yield* Agent.resume(desk, { session: "s" }, [Approval.deny(second.approvals[0], "no")])
          assert.deepStrictEqual([third.value, third.text], ["Paid b.", "Paid b."])
          assert.deepStrictEqual(log, ["pay b"])
          yield* ScriptedModel.assertDone
        }).pipe(Effect.provide([
          handlers(log),
          SessionStore.layerMemory,
          model([transfer("billing"), toolCalls(call("pay", "a"), call("pay", "b")), text("Paid b.")])
        ]))
      }))

    it.effect("beside a transfer are answered before it is handed over", () =>
      Effect.gen(function*() {
        const log: Log = []
        const open = Handoff.make("desk", [triage, billing])
        yield* Effect.gen(function*() {
          const waiting = yield* Agent.run(open, { prompt: "go" })
          assert.strictEqual(waiting.stopReason, "approval-required")
          const { value } = yield* Agent.resume(open, { result: waiting }, [Approval.approve(waiting.approvals[0])])
          assert.strictEqual(value, "Billing.")
          assert.deepStrictEqual(log, ["pay a"])
          assert.deepStrictEqual(yield* lastPrompt, [
            "user: go",
            "user: The conversation was handed over to `billing` by `triage`: it is paid"
          ])
          yield* ScriptedModel.assertDone
        }).pipe(Effect.provide([
          handlers(log),
          model([
            toolCalls(call("pay", "a"), { name: "transfer_to_billing", params: { message: "it is paid" } }),
            text("Billing.")
          ])
        ]))
      }))

    it.effect("that nobody answers leave the member what it has done before", () =>
      Effect.gen(function*() {
        yield* Agent.run(desk, { prompt: "one", session: "s" })
        yield* Agent.run(desk, { prompt: "two", session: "s" })
        assert.deepStrictEqual(yield* lastPrompt, [
          "user: one",
          "user: The conversation was handed over to `billing` by `triage`.",
          "assistant: look#look-a({\"x\":\"a\"}), pay#pay-b({\"x\":\"b\"})",
          "tool: look#look-a = \"saw a\", pay#pay-b failed = {\"type\":\"execution-interrupted\",\"reason\":\"The run ended before this tool call had a result\"}",
          "user: two"
        ])
      }).pipe(Effect.provide([
        handlers(),
        SessionStore.layerMemory,
        model([transfer("billing"), toolCalls(call("look", "a"), call("pay", "b")), text("Not paid.")])
      ])))
  })

  describe("outcomes", () => {
    const script = [[text("One moment."), transfer("billing")], [text("Ref"), ScriptedModel.hang]] as const

    it.effect("fails with the failure of the member that has the conversation", () =>
      Effect.gen(function*() {
        const exit = yield* Effect.exit(Agent.run(Handoff.make("desk", [triage, billing]), { prompt: "hi" }))
        assert.strictEqual(showExit(exit), "Failed Fail AiError.RateLimitError after \"One moment.\"")
        const outcome = AgentRun.outcome(exit)
        assert.strictEqual(outcome._tag === "Failed" && outcome.partial.totalUsage.inputTokens.total, 10)
      }).pipe(Effect.provide([
        handlers(),
        model([script[0], ScriptedModel.fail(new AiError.RateLimitError({}))])
      ])))

    it.effect("interrupted and abandoned, everything of it has ended", () =>
      Effect.gen(function*() {
        for (const how of ["interrupt", "take"] as const) {
          const log: Log = []
          const begun = yield* Deferred.make<void>()
          const desk = Handoff.make("desk", [triage, Agent.withProvider(billing, logged("member", log))]).pipe(
            Agent.withProvider(logged("desk", log))
          )
          const parts = Agent.stream(desk, { prompt: "hi" })
          yield* Effect.gen(function*() {
            if (how === "take") {
              yield* Stream.runDrain(
                Stream.takeUntil(parts, (part) => part.type === "text-delta" && part.delta === "Ref")
              )
            } else {
              const waiting = Stream.runForEach(parts, (part) =>
                part.type === "text-delta" && part.delta === "Ref" ? Deferred.succeed(begun, undefined) : Effect.void)
              const fiber = yield* Effect.forkChild(waiting)
              yield* Deferred.await(begun)
              yield* Fiber.interrupt(fiber)
            }
            const { closed, opened } = yield* ScriptedModel.ScriptedModel
            assert.strictEqual((yield* closed).length, yield* opened)
          }).pipe(Effect.provide([handlers(), model(script)]))
          const end = how === "take" ? "Abandoned" : "Interrupted"
          assert.deepStrictEqual(log, [
            "desk before",
            "member before",
            "member end: Interrupted after \"Ref\"",
            `desk end: ${end} after "One moment."`
          ])
        }
      }))

    it.effect.prop("cancelled anywhere it leaves nothing running, and no open call in the store", {
      at: Arbitrary.schema(Schema.Int.check(Schema.isBetween({ minimum: 0, maximum: 50 }))),
      how: Arbitrary.schema(Schema.Literals(["take", "interrupt"])),
      keep: Arbitrary.schema(Schema.Literals(["completed", "every-step", "always"]))
    }, ({ at, how, keep }) =>
      Effect.gen(function*() {
        const ends: Array<string> = []
        const witness = (name: string) =>
          ContextProvider.make(`witness of ${name}`, {
            beforeRun: () => Effect.as(AgentRun.addFinalizer(() => Effect.sync(() => void ends.push(name))), undefined)
          })
        const slow = Toolkit.make(Tool.make("slow", { success: Schema.String }))
        const desk = Handoff.make("desk", [
          Agent.make("triage", { toolkit: slow }).pipe(Agent.withProvider(witness("triage"))),
          Agent.make("billing", { toolkit: slow }).pipe(Agent.withProvider(witness("billing")))
        ]).pipe(Agent.withProvider(SessionHistory.make({ keep })), Agent.withProvider(witness("desk")))
        let running = 0
        const handler = Effect.sync(() => running++).pipe(
          Effect.andThen(Effect.yieldNow),
          Effect.as("done"),
          Effect.ensuring(Effect.sync(() => running--))
        )
        const calling = toolCalls({ name: "slow", params: {} }, { name: "slow", params: {} })
        yield* Effect.gen(function*() {
          const parts = Agent.stream(desk, { prompt: "hi", session: "s" })
          let begun = 0
          if (how === "take") yield* Stream.runForEach(Stream.take(parts, at), () => Effect.sync(() => begun++))
          else {
            const reached = yield* Deferred.make<void>()
            const counting = Stream.runForEach(parts, () =>
              ++begun >= at ? Effect.andThen(Deferred.succeed(reached, undefined), Effect.yieldNow) : Effect.yieldNow)
            const fiber = yield* Effect.forkChild(Effect.ensuring(counting, Deferred.succeed(reached, undefined)))
            if (at > 0) {
              yield* Deferred.await(reached)
            }
            yield* Fiber.interrupt(fiber)
          }
          const { closed, opened } = yield* ScriptedModel.ScriptedModel
          assert.strictEqual((yield* closed).length, yield* opened)
          assert.strictEqual(running, 0)
          assert.deepStrictEqual(ends.toSorted(), [...new Set(ends)].toSorted())
          if (begun > 0) {
            assert.strictEqual(ends[ends.length - 1], "desk")
          }
          const { content } = yield* history
          const ids = (type: string) =>
            content.flatMap((message) =>
              message.role === "system" ?
                [] :
                (message.content as ReadonlyArray<Prompt.Part>).flatMap((part) =>
                  part.type === type && "id" in part ? String(part.id) : []
                )
            )
          assert.deepStrictEqual(ids("tool-result"), ids("tool-call"))
        }).pipe(Effect.provide([
          slow.toLayer({
            slow: () =>
              handler
          }),
          SessionStore.layerMemory,
          model([[text("A"), calling], [text("B"), transfer("billing")], [text("C"), calling], text(["D", "E"])])
        ]))
      }), { arbitrary: { runs: 25, seed: "handoff" } })
  })

  it.effect("is an agent like others: a tool of another one", () =>
    Effect.gen(function*() {
      const lead = Agent.make("lead", {
        toolkit: AgentTool.toolkit(AgentTool.make(Handoff.make("desk", [legal, triage])))
      })
      const { text } = yield* Agent.run(lead, { prompt: "hi" })
      assert.strictEqual(text, "They say it is legal.")
      assert.deepStrictEqual((yield* lastPrompt).slice(1), [
        "assistant: desk#call-1-1({\"prompt\":\"is it legal?\"})",
        "tool: desk#call-1-1 = \"Legal.\""
      ])
    }).pipe(Effect.provide([
      handlers(),
      model([
        toolCalls({ name: "desk", params: { prompt: "is it legal?" } }),
        text("Legal."),
        text("They say it is legal.")
      ])
    ])))
})

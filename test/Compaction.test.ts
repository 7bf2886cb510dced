import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Schema, Stream } from "effect"
import { AiError, IdGenerator, type LanguageModel, Prompt, Tokenizer, Tool, Toolkit } from "effect/ai"
import { KeyValueStore } from "effect/persistence"
import { expectTypeOf } from "vitest"
import { outcome } from "../src/AgentRun.ts"
import {
  Agent,
  type AgentRun,
  Compaction,
  type ContextProvider,
  Middleware,
  SessionHistory,
  SessionStore
} from "../src/index.ts"
import * as ScriptedModel from "../src/testing/ScriptedModel.ts"
import { exporters, spanNamed } from "./fixtures/telemetry.ts"
import { tokenizer, total, words, wordsOf } from "./fixtures/words.ts"
import { Boom, type Log, logged, showExit, showPrompt } from "./utils.ts"

const { fail, finish, hang, layer: script, step, text, toolCalls, usage } = ScriptedModel

const { collapseToolResults, dropOldest, summarise, summariseWith } = Compaction

const overloaded = AiError.make({ module: "test", method: "test", reason: new AiError.RateLimitError({}) })

const model = (...steps: ReadonlyArray<ScriptedModel.Step>) => Layer.merge(script(steps), SessionStore.layerMemory)

/** The prompts that the model was given. */
const prompts = Effect.flatMap(
  ScriptedModel.ScriptedModel,
  (script) => Effect.map(script.requests, (requests) => requests.map(({ prompt }) => prompt))
)

const shown = Effect.map(prompts, (all) => all.map(showPrompt))

const storedHistory = Effect.map(
  Effect.flatMap(SessionStore.SessionStore, (store) => store.load("s")),
  (session) => showPrompt(session.history)
)

const talk: Prompt.RawInput = [
  { role: "user", content: "one two three" },
  { role: "assistant", content: "four five" },
  { role: "user", content: "six" },
  { role: "assistant", content: "seven eight" },
  { role: "user", content: "nine ten" }
]

const Read = Tool.make("read", {
  parameters: Schema.Struct({ n: Schema.Int }),
  success: Schema.String,
  failureMode: "return",
  failure: Schema.String
})
const toolkit = Toolkit.make(Read)
const handlers = toolkit.toLayer({
  read: ({ n }) =>
    n < 0
      ? Effect.fail("no ".repeat(20).trim())
      : Effect.succeed("word ".repeat(n).trim())
})
const read = (n: number, id: string) => toolCalls({ name: "read", params: { n }, id })

const note = `"[removed to save space; call the tool again if it is needed]"`

const throughJson = (message: Prompt.Message): Prompt.Message =>
  Schema.decodeUnknownSync(Prompt.Prompt)(
    JSON.parse(JSON.stringify(Schema.encodeSync(Prompt.Prompt)(Prompt.fromMessages([message]))))
  ).content[0]!

describe("Compaction", () => {
  describe("make", () => {
    it.effect("leaves a prompt that fits as it is", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          instructions: "be good",
          providers: [Compaction.make({
            maxTokens: 12,
            strategies: [dropOldest],
            tokenizer,
            onCompacted: () => Effect.die("nothing to do")
          })]
        })
        const prompt = Prompt.make(talk)
        yield* Agent.run(agent, { prompt })
        const [seen] = yield* prompts
        assert.deepStrictEqual(seen!.content.slice(1), prompt.content)
        assert.isTrue(seen!.content.slice(1).every((message, index) => message === prompt.content[index]))
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("shows the model less, while the transcript and the session stay whole", () =>
      Effect.gen(function*() {
        const reports: Array<Compaction.Compacted> = []
        const agent = Agent.make("agent", {
          instructions: "be good",
          providers: [
            SessionHistory.provider,
            Compaction.make({
              maxTokens: 11,
              targetTokens: 8,
              strategies: [dropOldest],
              tokenizer,
              onCompacted: (compacted) => Effect.sync(() => reports.push(compacted))
            })
          ]
        })
        const { transcript } = yield* Agent.run(agent, { prompt: talk, session: "s" })
        assert.deepStrictEqual(yield* shown, [[
          "system: be good",
          "user: six",
          "assistant: seven eight",
          "user: nine ten"
        ]])
        const whole = [
          "user: one two three",
          "assistant: four five",
          "user: six",
          "assistant: seven eight",
          "user: nine ten",
          "assistant: ok"
        ]
        assert.deepStrictEqual(showPrompt(transcript), whole)
        assert.deepStrictEqual(yield* storedHistory, whole)
        assert.deepStrictEqual(reports, [{
          agent: "agent",
          session: "s",
          step: 0,
          strategies: ["drop-oldest"],
          messagesBefore: 6,
          messagesAfter: 4,
          tokensBefore: 12,
          tokensAfter: 7,
          usage: {
            inputTokens: { uncached: undefined, total: undefined, cacheRead: undefined, cacheWrite: undefined },
            outputTokens: { total: undefined, text: undefined, reasoning: undefined }
          }
        }])
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("fails when nothing more can go: the model is not called, nothing is saved", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("agent", {
          instructions: "be good",
          providers: [
            logged("p", log),
            SessionHistory.provider,
            Compaction.make({ maxTokens: 3, strategies: [collapseToolResults(), dropOldest], tokenizer })
          ]
        })
        const exit = yield* Effect.exit(Agent.run(agent, { prompt: talk, session: "s" }))
        const end = outcome(exit)
        assert.strictEqual(end._tag, "Failed")
        assert.deepStrictEqual(
          end._tag === "Failed" && end.cause.reasons.map((reason) => reason._tag === "Fail" && reason.error),
          [new Compaction.PromptTooLong({ tokens: 4, maxTokens: 3 })]
        )
        assert.deepStrictEqual(log, ["p before", "p end: Failed Fail PromptTooLong after \"\""])
        assert.deepStrictEqual(yield* prompts, [])
        assert.deepStrictEqual(yield* storedHistory, [])
      }).pipe(Effect.provide(model(text("never")))))

    it.effect("fails in a later step with the steps until then", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          toolkit,
          providers: [Compaction.make({ maxTokens: 20, strategies: [collapseToolResults(), dropOldest], tokenizer })]
        })
        const exit = yield* Effect.exit(Effect.provide(Agent.run(agent, { prompt: "go" }), handlers))
        const end = outcome(exit)
        assert.deepStrictEqual(
          end._tag === "Failed" && [end.partial.steps.length, end.partial.usage.inputTokens.total],
          [
            1,
            10
          ]
        )
        assert.strictEqual(showExit(exit), "Failed Fail PromptTooLong after \"\"")
      }).pipe(Effect.provide(model(read(30, "a"), text("never")))))

    it.effect("keeps the prefix between two compactions of a run", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          toolkit,
          providers: [Compaction.make({
            maxTokens: 130,
            targetTokens: 80,
            strategies: [collapseToolResults({ keep: 1 })],
            tokenizer
          })]
        })
        yield* Effect.provide(Agent.run(agent, { prompt: "go" }), handlers)
        const all = yield* prompts
        assert.deepStrictEqual(all.map(({ content }) => total(content)), [1, 32, 63, 94, 125, 84, 115, 110])
        // every prompt begins with the one before it, message for message, but for the two that were compacted
        const continued = all.slice(1).map(({ content }, index) =>
          all[index]!.content.every((message, at) => message === content[at])
        )
        assert.deepStrictEqual(continued, [true, true, true, true, false, true, false])
      }).pipe(Effect.provide(model(...Array.from({ length: 7 }, (_, n) => read(30, `c${n}`)), text("done")))))

    it.effect("shows a loaded session with the prefix that it had when it was alive", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          instructions: "be good",
          providers: [
            SessionHistory.provider,
            Compaction.make({ maxTokens: 30, targetTokens: 15, strategies: [dropOldest], tokenizer })
          ]
        })
        for (let n = 0; n < 12; n++) yield* Agent.run(agent, { prompt: `question number ${n}`, session: "s" })
        const all = yield* shown
        const cutAt = all.flatMap((prompt, index) =>
          index > 0 && !all[index - 1]!.every((message, at) => message === prompt[at]) ? [index] : []
        )
        assert.deepStrictEqual(cutAt, [6, 10])
        assert.deepStrictEqual(all.map((prompt) => prompt.length), [2, 4, 6, 8, 10, 12, 6, 8, 10, 12, 6, 8])
        assert.isTrue((yield* prompts).every(({ content }) => total(content) <= 30))
        assert.lengthOf(yield* storedHistory, 24)
      }).pipe(Effect.provide(model(...Array.from({ length: 12 }, () => text("an answer"))))))

    it.effect("begins anew when a middleware around it changes the prompt", () =>
      Effect.gen(function*() {
        const forget = Middleware.make("forget", {
          model: (request, next) =>
            next(request.steps.length === 0 ? request : { ...request, prompt: Prompt.make("another prompt") })
        })
        const agent = Agent.make("agent", {
          toolkit,
          middleware: [forget],
          providers: [Compaction.make({ maxTokens: 5, strategies: [dropOldest], tokenizer })]
        })
        yield* Effect.provide(Agent.run(agent, { prompt: talk }), handlers)
        assert.deepStrictEqual(yield* shown, [
          ["user: six", "assistant: seven eight", "user: nine ten"],
          ["user: another prompt"]
        ])
      }).pipe(Effect.provide(model(read(1, "a"), text("done")))))

    it.effect("an interrupted run interrupts the summary, and one that is left stays whole too", () =>
      Effect.gen(function*() {
        const log: Log = []
        const agent = Agent.make("agent", {
          providers: [
            logged("p", log),
            SessionHistory.provider,
            Compaction.make({ maxTokens: 9, strategies: [summarise(), dropOldest], tokenizer })
          ]
        })
        const fiber = yield* Effect.forkChild(Agent.run(agent, { prompt: talk, session: "s" }))
        const { opened } = yield* ScriptedModel.ScriptedModel
        yield* Effect.yieldNow.pipe(Effect.repeat({ until: () => Effect.map(opened, (n) => n === 1) }))
        yield* Fiber.interrupt(fiber)
        const { closed } = yield* ScriptedModel.ScriptedModel
        assert.deepStrictEqual((yield* closed).map(Exit.hasInterrupts), [true])

        yield* Agent.stream(agent, { prompt: talk, session: "s" }).pipe(
          Stream.takeUntil((part) => part.type === "text-delta"),
          Stream.runDrain
        )
        assert.deepStrictEqual(log, [
          "p before",
          "p end: Interrupted after \"\"",
          "p before",
          "p end: Abandoned after \"an\""
        ])
        assert.deepStrictEqual(yield* storedHistory, [])
      }).pipe(Effect.provide(model(hang, text("short"), text(["an", "swer"])))))

    it.effect("counts with the tokenizer of the run, or by an estimate", () =>
      Effect.gen(function*() {
        const counts: Array<number> = []
        const agent = Agent.make("agent", {
          providers: [Compaction.make({
            maxTokens: 9,
            targetTokens: 9,
            strategies: [dropOldest],
            onCompacted: ({ tokensBefore }) => Effect.sync(() => counts.push(tokensBefore))
          })]
        })
        yield* Agent.run(agent, { prompt: talk }).pipe(Effect.provideService(Tokenizer.Tokenizer, tokenizer))
        assert.deepStrictEqual(counts, [10])
        yield* Agent.run(agent, { prompt: talk })
        assert.deepStrictEqual(counts, [10, Compaction.estimate(talk)])
      }).pipe(Effect.provide(model(text("a"), text("b")))))

    it("shows the errors and services of its strategies in its type", () => {
      const own = summariseWith((conversation) =>
        Effect.flatMap(Summaries, (write) => conversation === "" ? Effect.fail(new Boom({ of: "summary" })) : write)
      )
      expectTypeOf(Compaction.make({ maxTokens: 1, strategies: [dropOldest, own] })).toEqualTypeOf<
        ContextProvider.ContextProvider<
          Compaction.PromptTooLong | AiError.AiError | Boom,
          LanguageModel.LanguageModel | Summaries
        >
      >()
      const inline = Agent.make("agent", { providers: [Compaction.make({ maxTokens: 1, strategies: [dropOldest] })] })
      expectTypeOf<Agent.Services<typeof inline>>().toEqualTypeOf<LanguageModel.LanguageModel>()
      assert.strictEqual(own.name, "summarise")
    })

    class Summaries extends Context.Service<Summaries, Effect.Effect<string>>()("test/Summaries") {}

    for (const exporter of exporters) {
      it.effect(`marks the span of a compacted call, through ${exporter.name}`, () =>
        Effect.gen(function*() {
          const program = (maxTokens: number) =>
            Agent.run(
              Agent.make("agent", { providers: [Compaction.make({ maxTokens, strategies: [dropOldest], tokenizer })] }),
              { prompt: talk }
            ).pipe(Effect.provide(model(text("ok"))))
          const [, compacted] = yield* exporter.run(program(9))
          assert.strictEqual(spanNamed(compacted, "chat").attributes["gen_ai.conversation.compacted"], true)
          const [, whole] = yield* exporter.run(program(10))
          assert.isFalse("gen_ai.conversation.compacted" in spanNamed(whole, "chat").attributes)
        }))
    }

    it.effect("does not write on a span that is not the model call's", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          providers: [Compaction.make({ maxTokens: 9, strategies: [dropOldest], tokenizer })]
        })
        const attributes = yield* Agent.run(agent, { prompt: talk }).pipe(
          Effect.andThen(Effect.map(Effect.currentSpan, (span) => Array.from(span.attributes.keys()))),
          Effect.withSpan("mine")
        )
        assert.notInclude(attributes, "gen_ai.conversation.compacted")
      }).pipe(Effect.provide(model(text("ok")))))
  })

  describe("collapseToolResults", () => {
    const agentWith = (maxTokens: number, ...strategies: ReadonlyArray<Compaction.Strategy>) =>
      Agent.make("agent", {
        toolkit,
        providers: [Compaction.make({ maxTokens, targetTokens: maxTokens, strategies, tokenizer })]
      })

    it.effect("mentions old results, the oldest first, and keeps calls, failures and new results", () =>
      Effect.gen(function*() {
        const { transcript } = yield* Effect.provide(
          Agent.run(agentWith(65, collapseToolResults({ keep: 1 })), { prompt: "go" }),
          handlers
        )
        const word = (n: number) => JSON.stringify("word ".repeat(n).trim())
        assert.deepStrictEqual((yield* shown).at(-1), [
          "user: go",
          `assistant: read#a({"n":-1})`,
          `tool: read#a failed = ${note}`,
          `assistant: read#b({"n":20})`,
          `tool: read#b = ${note}`,
          `assistant: read#c({"n":15})`,
          `tool: read#c = ${word(15)}`,
          `assistant: read#d({"n":15})`,
          `tool: read#d = ${word(15)}`
        ])
        assert.strictEqual(showPrompt(transcript)[4], `tool: read#b = ${word(20)}`)
      }).pipe(Effect.provide(model(read(-1, "a"), read(20, "b"), read(15, "c"), read(15, "d"), text("done")))))

    it.effect("leaves short results, and those that the model has not read", () =>
      Effect.gen(function*() {
        yield* Effect.exit(
          Effect.provide(Agent.run(agentWith(30, collapseToolResults({ keep: 0 })), { prompt: "go" }), handlers)
        )
        const unread = yield* Effect.exit(Effect.provide(
          Agent.run(agentWith(30, collapseToolResults({ keep: 0 })), { prompt: "go" }),
          handlers
        ))
        assert.strictEqual(showExit(unread), "Failed Fail PromptTooLong after \"\"")
        assert.deepStrictEqual((yield* shown).slice(0, 2), [["user: go"], [
          "user: go",
          `assistant: read#a({"n":2}), read#b({"n":20})`,
          `tool: read#a = "word word", read#b = ${JSON.stringify("word ".repeat(20).trim())}`
        ]])
      }).pipe(Effect.provide(model(
        toolCalls({ name: "read", params: { n: 2 }, id: "a" }, { name: "read", params: { n: 20 }, id: "b" }),
        text("done"),
        read(40, "c")
      ))))

    it.effect("gives what it makes an id of its own, and no options of a provider", () =>
      Effect.gen(function*() {
        let ids = 0
        const result = Prompt.toolResultPart({
          id: "a",
          name: "read",
          isFailure: false,
          result: "word ".repeat(40),
          providerExecuted: false,
          options: { openai: { itemId: "item" } }
        })
        const call = Prompt.toolCallPart({ id: "a", name: "read", params: {}, providerExecuted: false })
        const prompt = Prompt.fromMessages([
          Prompt.userMessage({ content: [Prompt.textPart({ text: "go" })] }),
          Prompt.assistantMessage({ content: [call] }),
          Prompt.toolMessage({ content: [result], options: { openai: { itemId: "message" } } }),
          Prompt.assistantMessage({ content: [Prompt.textPart({ text: "so" })] }),
          Prompt.userMessage({ content: [Prompt.textPart({ text: "on" })] })
        ])
        yield* Agent.run(agentWith(30, collapseToolResults({ keep: 0 })), { prompt }).pipe(
          Effect.provideService(IdGenerator.IdGenerator, { generateId: () => Effect.sync(() => `id-${++ids}`) }),
          Effect.provide(handlers)
        )
        const [seen] = yield* prompts
        const message = seen!.content[2]!
        assert.strictEqual(seen!.content[1], prompt.content[1])
        assert.deepStrictEqual(message.options, { "effect-agents": { compaction: "id-2" } })
        assert.deepStrictEqual(
          message.role === "tool" && message.content.map((part) => part.options),
          [{ "effect-agents": { compaction: "id-2" } }]
        )
      }).pipe(Effect.provide(model(text("ok")))))

    it.effect("is followed by the next strategy only when that is needed", () =>
      Effect.gen(function*() {
        const used: Array<ReadonlyArray<string>> = []
        const long = (n: number): Prompt.RawInput => [
          { role: "user", content: "word ".repeat(n) },
          {
            role: "assistant",
            content: [{ type: "tool-call", id: "a", name: "read", params: {}, providerExecuted: false }]
          },
          {
            role: "tool",
            content: [{ type: "tool-result", id: "a", name: "read", result: "word ".repeat(30), isFailure: false }]
          },
          { role: "assistant", content: "so" },
          { role: "user", content: "on" }
        ]
        const agent = Agent.make("agent", {
          providers: [Compaction.make({
            maxTokens: 30,
            strategies: [collapseToolResults({ keep: 0 }), dropOldest],
            tokenizer,
            onCompacted: ({ strategies }) => Effect.sync(() => used.push(strategies))
          })]
        })
        yield* Agent.run(agent, { prompt: long(5) })
        yield* Agent.run(agent, { prompt: long(25) })
        assert.deepStrictEqual(used, [["collapse-tool-results"], ["collapse-tool-results", "drop-oldest"]])
        assert.deepStrictEqual((yield* shown)[1], ["user: on"])
      }).pipe(Effect.provide(model(text("a"), text("b")))))
  })

  describe("summarise", () => {
    it.effect("puts a summary by the model in the place of the oldest exchanges; its usage is reported apart", () =>
      Effect.gen(function*() {
        const spent: Array<AgentRun.Usage> = []
        const agent = Agent.make("agent", {
          instructions: "be good",
          providers: [
            SessionHistory.provider,
            Compaction.make({
              maxTokens: 24,
              targetTokens: 18,
              strategies: [summarise({ instructions: "Sum up.", reserveTokens: 8 })],
              tokenizer,
              onCompacted: ({ usage }) => Effect.sync(() => spent.push(usage))
            })
          ]
        })
        const prompt: Prompt.RawInput = [
          { role: "user", content: "word ".repeat(8).trim() },
          {
            role: "assistant",
            content: [
              { type: "reasoning", text: "hm" },
              { type: "text", text: "let me see" },
              { type: "tool-call", id: "a", name: "read", params: { n: 2 }, providerExecuted: false }
            ]
          },
          {
            role: "tool",
            content: [{ type: "tool-result", id: "a", name: "read", result: { found: 2 }, isFailure: false }]
          },
          { role: "assistant", content: "seven eight" },
          { role: "user", content: "and now ten words of the user, one two three" }
        ]
        const result = yield* Agent.run(agent, { prompt, session: "s" })
        assert.deepStrictEqual(yield* shown, [
          [
            "system: Sum up.",
            `user: ${
              [
                `user: ${"word ".repeat(8).trim()}`,
                "assistant: let me see",
                `assistant calls read: {"n":2}`,
                `read gives: {"found":2}`,
                "assistant: seven eight"
              ].join("\n")
            }`
          ],
          [
            "system: be good",
            "user: Summary of the conversation so far:\n\nin short",
            "user: and now ten words of the user, one two three"
          ]
        ])
        assert.strictEqual(result.usage.inputTokens.total, 10)
        assert.deepStrictEqual(spent.map((usage) => [usage.inputTokens.total, usage.outputTokens.total]), [[7, 3]])
        assert.deepStrictEqual((yield* storedHistory).length, 6)
      }).pipe(Effect.provide(model([text("in short"), finish("stop", usage(7, 3))], text("ok")))))

    it.effect("keeps one summary until the budget is reached again", () =>
      Effect.gen(function*() {
        const given: Array<string> = []
        const agent = Agent.make("agent", {
          toolkit,
          providers: [
            SessionHistory.provider,
            Compaction.make({
              maxTokens: 40,
              targetTokens: 20,
              strategies: [summariseWith((conversation) => Effect.sync(() => `summary ${given.push(conversation)}`))],
              tokenizer
            })
          ]
        })
        const prompt = (n: number): Prompt.RawInput => [
          ...Array.from({ length: n }, (_, index): Prompt.MessageEncoded => ({
            role: index % 2 === 0 ? "user" : "assistant",
            content: `m${index} ${"word ".repeat(6).trim()}`
          })),
          { role: "user", content: "go" }
        ]
        yield* Effect.provide(Agent.run(agent, { prompt: prompt(6) }), handlers)
        const all = yield* shown
        assert.lengthOf(given, 1)
        assert.deepStrictEqual(all.map((prompt) => prompt.slice(0, 2)), [
          ["user: Summary of the conversation so far:\n\nsummary 1", "user: m4 word word word word word word"],
          ["user: Summary of the conversation so far:\n\nsummary 1", "user: m4 word word word word word word"],
          ["user: Summary of the conversation so far:\n\nsummary 1", "user: m4 word word word word word word"]
        ])
      }).pipe(Effect.provide(model(read(5, "a"), read(5, "b"), text("done")))))

    for (
      const [what, copy] of [
        ["each message", (message: Prompt.Message): Prompt.Message => ({ ...message })],
        ["all that is in them", (message: Prompt.Message): Prompt.Message => structuredClone(message)],
        ["them through their JSON", throughJson]
      ] as const
    ) {
      it.effect(`keeps its summary when a middleware copies ${what}`, () =>
        Effect.gen(function*() {
          const given: Array<string> = []
          const reports: Array<Compaction.Compacted> = []
          const copying = Middleware.make("copying", {
            model: (request, next) =>
              next({ ...request, prompt: Prompt.fromMessages(request.prompt.content.map(copy)) })
          })
          const agent = Agent.make("agent", {
            toolkit,
            middleware: [copying],
            providers: [Compaction.make({
              maxTokens: 40,
              targetTokens: 20,
              strategies: [summariseWith((conversation) => Effect.sync(() => `summary ${given.push(conversation)}`))],
              tokenizer,
              onCompacted: (compacted) => Effect.sync(() => reports.push(compacted))
            })]
          })
          const prompt: Prompt.RawInput = [
            ...Array.from({ length: 6 }, (_, index): Prompt.MessageEncoded => ({
              role: index % 2 === 0 ? "user" : "assistant",
              content: `m${index} ${"word ".repeat(6).trim()}`
            })),
            { role: "user", content: "go" }
          ]
          yield* Effect.provide(Agent.run(agent, { prompt }), handlers)
          const all = yield* shown
          assert.lengthOf(given, 1)
          assert.lengthOf(reports, 1)
          assert.deepStrictEqual(all.map(([first]) => first), [
            "user: Summary of the conversation so far:\n\nsummary 1",
            "user: Summary of the conversation so far:\n\nsummary 1",
            "user: Summary of the conversation so far:\n\nsummary 1"
          ])
        }).pipe(Effect.provide(model(read(5, "a"), read(5, "b"), text("done")))))
    }

    it.effect("is told nothing when a middleware copies messages that fit", () =>
      Effect.gen(function*() {
        const copying = Middleware.make("copying", {
          model: (request, next) =>
            next({ ...request, prompt: Prompt.fromMessages(request.prompt.content.map((message) => ({ ...message }))) })
        })
        const agent = Agent.make("agent", {
          toolkit,
          middleware: [copying],
          providers: [Compaction.make({
            maxTokens: 1_000,
            strategies: [dropOldest],
            tokenizer,
            onCompacted: () => Effect.die("nothing to do")
          })]
        })
        yield* Effect.provide(Agent.run(agent, { prompt: "go" }), handlers)
        assert.deepStrictEqual((yield* shown).map((prompt) => prompt.length), [1, 3])
      }).pipe(Effect.provide(model(read(1, "a"), text("done")))))

    it.effect("sums up an older summary with what came after it, and a long conversation piece by piece", () =>
      Effect.gen(function*() {
        const given: Array<string> = []
        const strategy = summariseWith((conversation) => Effect.sync(() => `summary ${given.push(conversation)}`))
        const exchange = (n: number): Prompt.RawInput => [
          { role: "user", content: `q${n}` },
          { role: "assistant", content: `a${n} ${"word ".repeat(18).trim()}` }
        ]
        const messages = Prompt.make([...[0, 1, 2].flatMap((n) => exchange(n) as Array<Prompt.MessageEncoded>), {
          role: "user",
          content: "go"
        }]).content
        const request = (messages: ReadonlyArray<Prompt.Message>): Compaction.Request => ({
          messages,
          tokens: total(messages),
          maxTokens: 28,
          targetTokens: 12,
          count: (messages) => Effect.succeed(messages.map(wordsOf)),
          generateId: Effect.succeed("id"),
          addUsage: () => {}
        })
        const first = yield* strategy.apply(request(messages))
        const word = "word ".repeat(18).trim()
        assert.deepStrictEqual(given, [
          `user: q0\nassistant: a0 ${word}\nuser: q1`,
          `Summary so far:\n\nsummary 1\n\nThe conversation goes on:\n\nassistant: a1 ${word}\nuser: q2`,
          `Summary so far:\n\nsummary 2\n\nThe conversation goes on:\n\nassistant: a2 ${word}`
        ])
        assert.deepStrictEqual(showPrompt(Prompt.fromMessages(first)), [
          "user: Summary of the conversation so far:\n\nsummary 3",
          "user: go"
        ])
        given.length = 0
        yield* strategy.apply(request([
          ...first,
          ...Prompt.make([{ role: "assistant", content: word }, {
            role: "user",
            content: "on"
          }]).content
        ]))
        assert.deepStrictEqual(given, [
          "Summary of the conversation so far:\n\nsummary 3\nuser: go",
          `Summary so far:\n\nsummary 1\n\nThe conversation goes on:\n\nassistant: ${word}`
        ])
        // a summary alone is not summed up again
        assert.strictEqual(yield* strategy.apply(request(first)), first)
        // and a message that is longer than a call loses its middle
        given.length = 0
        yield* strategy.apply(request(
          Prompt.make([
            { role: "user", content: `begin ${"word ".repeat(60)} end` },
            { role: "assistant", content: "ok" },
            { role: "user", content: "on" }
          ]).content
        ))
        assert.match(given[0]!, /^user: begin (word )+.* \[\.\.\.\] .*(word )+ end$/)
        assert.isBelow(words(given[0]!), 26)
      }))

    it.effect("once: a summary is written once for a session, and its later runs show the same prefix", () =>
      Effect.gen(function*() {
        const reports: Array<ReadonlyArray<string>> = []
        const agent = Agent.make("agent", {
          providers: [
            SessionHistory.provider,
            Compaction.make({
              maxTokens: 44,
              targetTokens: 30,
              strategies: [Compaction.summariseOnce({ instructions: "Sum up.", reserveTokens: 8 })],
              tokenizer,
              onCompacted: ({ strategies }) => Effect.sync(() => reports.push(strategies))
            })
          ]
        })
        for (let n = 0; n < 10; n++) {
          yield* Agent.run(agent, { prompt: `q${n} ${"word ".repeat(8).trim()}`, session: "s" })
        }
        const all = yield* shown
        const isSummary = (prompt: ReadonlyArray<string>) => prompt[0] === "system: Sum up."
        const summaries = all.filter(isSummary)
        assert.deepStrictEqual(
          summaries.map((prompt) =>
            prompt[1]!.slice("user: ".length).split("\n").map((line) => line.split(" word")[0])
          ),
          [
            [
              "user: q0",
              "assistant: an answer",
              "user: q1",
              "assistant: an answer",
              "user: q2",
              "assistant: an answer"
            ],
            [
              "Summary of the conversation so far:",
              "",
              "in short",
              "user: q3",
              "assistant: an answer",
              "user: q4",
              "assistant: an answer"
            ],
            [
              "Summary of the conversation so far:",
              "",
              "in short",
              "user: q5",
              "assistant: an answer",
              "user: q6",
              "assistant: an answer"
            ]
          ]
        )
        const asked = all.filter((prompt) => !isSummary(prompt))
        const cutAt = asked.flatMap((prompt, index) =>
          index > 0 && !asked[index - 1]!.every((message, at) => message === prompt[at]) ? [index] : []
        )
        assert.deepStrictEqual(cutAt, [4, 6, 8])
        // each run says what it shows less
        assert.lengthOf(reports, 6)
      }).pipe(Effect.provide([
        model(
          ...Array.from(
            { length: 13 },
            () =>
              ScriptedModel.step(({ prompt }) =>
                text(showPrompt(prompt)[0] === "system: Sum up." ? "in short" : "an answer")
              )
          )
        ),
        KeyValueStore.layerMemory
      ])))

    it.effect("the run fails with the error of the summary, and with the model's", () =>
      Effect.gen(function*() {
        const agent = (strategy: Compaction.Strategy<Boom | AiError.AiError, LanguageModel.LanguageModel>) =>
          Agent.make("agent", { providers: [Compaction.make({ maxTokens: 9, strategies: [strategy], tokenizer })] })
        const own = summariseWith(() => Effect.fail(new Boom({ of: "summary" })))
        assert.strictEqual(
          showExit(yield* Effect.exit(Agent.run(agent(own), { prompt: talk }))),
          "Failed Fail Boom(summary) after \"\""
        )
        assert.strictEqual(
          showExit(yield* Effect.exit(Agent.run(agent(summarise()), { prompt: talk }))),
          "Failed Fail AiError.RateLimitError after \"\""
        )
      }).pipe(Effect.provide(model(fail(overloaded)))))

    it.effect("the run fails when its model has not written the summary to its end", () =>
      Effect.gen(function*() {
        const agent = Agent.make("agent", {
          providers: [Compaction.make({ maxTokens: 9, strategies: [summarise(), dropOldest], tokenizer })]
        })
        const failures: Array<unknown> = []
        for (let i = 0; i < 3; i++) {
          const error = yield* Effect.flip(Agent.run(agent, { prompt: talk }))
          failures.push(AiError.isAiError(error) && [error.reason._tag, error.isRetryable])
        }
        assert.deepStrictEqual(failures, [
          ["InvalidOutputError", true],
          ["InvalidOutputError", true],
          ["InternalProviderError", true]
        ])
      }).pipe(Effect.provide(model(
        step(text("one"), finish("length")),
        step(text("one"), finish("content-filter")),
        step(text("one"), ScriptedModel.end)
      ))))

    it.effect("an empty summary, or one that is no shorter, changes nothing: the next strategy goes on", () =>
      Effect.gen(function*() {
        for (const summary of ["", " ", "word ".repeat(30)]) {
          const agent = Agent.make("agent", {
            providers: [Compaction.make({
              maxTokens: 9,
              strategies: [summariseWith(() => Effect.succeed(summary)), dropOldest],
              tokenizer
            })]
          })
          yield* Agent.run(agent, { prompt: talk })
        }
        assert.deepStrictEqual(yield* shown, Array(3).fill(["user: six", "assistant: seven eight", "user: nine ten"]))
      }).pipe(Effect.provide(model(text("a"), text("b"), text("c")))))
  })

  describe("estimate", () => {
    // what the tokenizers of the larger providers say is between these
    for (
      const [name, prompt, least, most] of [
        ["English", "The quick brown fox jumps over the lazy dog. It has done so a thousand times, hasn't it?", 22, 32],
        ["code", "const add = (a: number, b: number): number => a + b // adds two numbers", 20, 36],
        ["JSON", JSON.stringify({ city: "Oslo", temperature: 4, wind: { speed: 12.5, from: "north" } }), 24, 44],
        ["Japanese", "今日は天気がいいですね。散歩に行きましょう。", 14, 30],
        ["numbers", "3.14159 2718281828 42", 10, 20]
      ] as const
    ) {
      it(`is near for ${name}`, () => {
        const tokens = Compaction.estimate(prompt)
        assert.isAtLeast(tokens, least)
        assert.isAtMost(tokens, most)
      })
    }

    it("counts calls, results and files", () => {
      assert.strictEqual(
        Compaction.estimate([
          {
            role: "assistant",
            content: [{ type: "tool-call", id: "a", name: "read", params: { n: 1 }, providerExecuted: false }]
          },
          {
            role: "tool",
            content: [{ type: "tool-result", id: "a", name: "read", result: "a word", isFailure: false }]
          },
          { role: "user", content: [{ type: "file", mediaType: "image/png", data: "aGk=" }] }
        ]),
        4 + 4 + 1 + 1 + 5 + (4 + 4 + 1 + 2) + (4 + 1_000)
      )
    })
  })
})

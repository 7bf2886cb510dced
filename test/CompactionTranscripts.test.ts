import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema, Stream } from "effect"
import { Prompt } from "effect/ai"
import { Compaction, Session } from "../src/index.ts"
import { tokenizer, total } from "./fixtures/words.ts"
import { showExit, showPrompt } from "./utils.ts"

const { collapseToolResults, dropOldest, summariseWith } = Compaction

describe("Compaction", () => {
  describe("from any transcript", () => {
    /** A part of a conversation: `late` results come after the next user message, as those of approved calls do. */
    const Unit = Schema.Struct({
      kind: Schema.Literals(["system", "user", "say", "calls", "late", "unanswered", "approval"]),
      size: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 12 })),
      calls: Schema.Int.check(Schema.isBetween({ minimum: 1, maximum: 3 })),
      sameId: Schema.Boolean
    })

    const toMessages = (units: ReadonlyArray<typeof Unit.Type>): ReadonlyArray<Prompt.Message> => {
      const messages: Array<Prompt.MessageEncoded> = []
      let late: Array<Prompt.ToolMessagePartEncoded> = []
      units.forEach(({ calls, kind, sameId, size }, index) => {
        const content = `${index} ${"word ".repeat(size).trim()}`
        if (kind === "system" || kind === "user") {
          messages.push({ role: kind, content })
          if (kind === "user" && late.length > 0) {
            messages.push({ role: "tool", content: late })
            late = []
          }
          return
        }
        if (kind === "say") return void messages.push({ role: "assistant", content })
        const ids = Array.from({ length: calls }, (_, n) => sameId ? `c${n}` : `c${index}-${n}`)
        messages.push({
          role: "assistant",
          content: ids.flatMap((id): Array<Prompt.AssistantMessagePartEncoded> => [
            { type: "tool-call", id, name: "read", params: { n: 1 }, providerExecuted: false },
            ...(kind === "approval"
              ? [{ type: "tool-approval-request" as const, approvalId: `ok ${id}`, toolCallId: id }]
              : [])
          ])
        })
        const results = ids.map((id): Prompt.ToolMessagePartEncoded => ({
          type: "tool-result",
          id,
          name: "read",
          result: content,
          isFailure: false
        }))
        if (kind === "calls") messages.push({ role: "tool", content: results })
        if (kind === "late") late.push(...results)
        if (kind === "approval") {
          late.push(
            ...ids.map((id) => ({ type: "tool-approval-response" as const, approvalId: `ok ${id}`, approved: true })),
            ...results
          )
        }
      })
      const prompt = Prompt.make(messages).content
      return Session.close(
        prompt.some(({ role }) => role !== "system") ? prompt : [...prompt, ...Prompt.make("hi").content]
      )
    }

    const partsOf = (message: Prompt.Message): ReadonlyArray<Prompt.Part> =>
      typeof message.content === "string" ? [] : message.content

    const isMade = (message: Prompt.Message): boolean => "effect-agents" in message.options

    const isNote = (part: Prompt.Part): boolean =>
      part.type === "tool-result" && String(part.result).startsWith("[removed")

    /** Whether each answer comes after what it answers, and each call has its result. */
    const isClosed = (messages: ReadonlyArray<Prompt.Message>): boolean => {
      const asked = new Set<string>()
      const good = messages.every((message) =>
        partsOf(message).every((part) => {
          if (part.type === "tool-call") asked.add(part.id)
          if (part.type === "tool-approval-request") asked.add(part.approvalId)
          if (part.type === "tool-approval-response") return asked.has(part.approvalId)
          return part.type !== "tool-result" || asked.has(part.id)
        })
      )
      return good && Session.close(messages) === messages
    }

    /** From the last place on at which a conversation can be cut: found by trying all. */
    const shortest = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<Prompt.Message> => {
      for (let cut = messages.length - 1; cut > 0; cut--) {
        if (messages[cut]!.role !== "user") continue
        const [before, after] = [messages.slice(0, cut), messages.slice(cut)]
        const answers = (list: ReadonlyArray<Prompt.Message>) =>
          list.flatMap(partsOf).filter((part) => part.type === "tool-result" || part.type === "tool-approval-response")
            .length
        // the calls before the cut are answered before it, those after it after it
        const open = before.flatMap(partsOf).filter((part) =>
          part.type === "tool-call" || part.type === "tool-approval-request"
        )
        if (open.length === answers(before) && isClosed(before) && isClosed(after)) {
          return [...before.filter(({ role }) => role === "system"), ...after]
        }
      }
      return messages
    }

    /** What the provider shows of these messages, in the order in which they are given to it: one run. */
    const runOf = (provider: ReturnType<typeof Compaction.make>) =>
      Effect.map(provider.beforeRun({ agent: "agent", session: undefined, prompt: Prompt.empty }), (contribution) => {
        const place = contribution!.middleware!.model!
        return (messages: ReadonlyArray<Prompt.Message>) =>
          Effect.suspend(() => {
            let shown: ReadonlyArray<Prompt.Message> = []
            const request = {
              agent: "agent",
              session: undefined,
              steps: [],
              transcript: [],
              prompt: Prompt.fromMessages(messages),
              toolkit: undefined,
              toolChoice: "auto" as const
            }
            return Stream.runDrain(place(request, ({ prompt }) => {
              shown = prompt.content
              return Stream.empty
            })).pipe(Effect.map(() => shown))
          })
      })

    const check = (
      name: string,
      strategies: ReadonlyArray<Compaction.Strategy>,
      least: (messages: ReadonlyArray<Prompt.Message>) => number
    ) =>
      it.effect.prop(name, {
        units: Arbitrary.array(Arbitrary.schema(Unit), { minLength: 1, maxLength: 14 }),
        maxTokens: Schema.Int.check(Schema.isBetween({ minimum: 5, maximum: 120 }))
      }, ({ maxTokens, units }) =>
        Effect.gen(function*() {
          const whole = toMessages(units)
          const show = yield* runOf(Compaction.make({ maxTokens, strategies, tokenizer }))
          const exit = yield* Effect.exit(show(whole))
          if (Exit.isFailure(exit)) {
            assert.strictEqual(showExit(exit), "Failed Fail PromptTooLong after \"\"")
            assert.isAbove(least(whole), maxTokens)
            return
          }
          const seen = exit.value
          if (total(whole) <= maxTokens) return assert.deepStrictEqual(seen, whole)

          assert.isAtMost(total(seen), maxTokens)
          assert.isTrue(isClosed(seen))
          const systems = (messages: ReadonlyArray<Prompt.Message>) => messages.filter(({ role }) => role === "system")
          assert.deepStrictEqual(systems(seen), systems(whole))
          // the rest is the end of the conversation, in its order, but for results that are only mentioned
          const talk = seen.filter((message) =>
            message.role !== "system" && !(message.role === "user" && isMade(message))
          )
          const end = whole.filter(({ role }) => role !== "system").slice(-talk.length)
          assert.deepStrictEqual(
            talk.map(partsOf).map((parts) => parts.filter((part) => !isNote(part))),
            end.map(partsOf).map((parts, index) => parts.filter((_, at) => !isNote(partsOf(talk[index]!)[at]!)))
          )
          assert.deepStrictEqual(talk.map(({ role }) => role), end.map(({ role }) => role))
          // with the newest user message and all after it
          const newest = whole.findLastIndex(({ role }) => role === "user")
          assert.isAtLeast(
            talk.length,
            newest === -1 ? 1 : whole.slice(newest).filter(({ role }) => role !== "system").length
          )
          // and it begins as a conversation does, if anything went
          const first = seen.find(({ role }) => role !== "system")
          assert.isTrue(talk.length === whole.length - systems(whole).length || first?.role === "user")
        }).pipe(Effect.scoped), { arbitrary: { runs: 300, seed: name } })

    const fewest = (messages: ReadonlyArray<Prompt.Message>) => total(shortest(messages))

    /** With the results that may be collapsed only mentioned, in each tool message that becomes shorter by it. */
    const collapsed = (messages: ReadonlyArray<Prompt.Message>, keep: number): ReadonlyArray<Prompt.Message> => {
      const lastRead = messages.findLastIndex(({ role }) => role === "assistant")
      let newer = 0
      return messages.map((message, index) => [message, index] as const).toReversed().map(([message, index]) => {
        if (message.role !== "tool") return message
        const content = message.content.toReversed().map((part) =>
          part.type === "tool-result" && newer++ >= keep && index < lastRead && !("effect-agents" in part.options)
            ? { ...part, result: "word ".repeat(12) }
            : part
        ).toReversed()
        const mentioned = Prompt.toolMessage({ content })
        return total([mentioned]) < total([message]) ? mentioned : message
      }).toReversed()
    }

    check("dropping the oldest gives a valid prompt within the budget, or the error", [dropOldest], fewest)
    check(
      "so does collapsing results before",
      [collapseToolResults({ keep: 0 }), dropOldest],
      (messages) => total(collapsed(shortest(messages), 0))
    )
    check(
      "so does a summary before",
      [summariseWith(() => Effect.succeed("in short")), collapseToolResults({ keep: 1 }), dropOldest],
      (messages) => total(collapsed(shortest(messages), 1))
    )

    it.effect.prop("a prefix is shown again while there is room, and after loading as it was when it was alive", {
      exchanges: Arbitrary.array(Arbitrary.schema(Unit), { minLength: 10, maxLength: 24 }),
      maxTokens: Schema.Int.check(Schema.isBetween({ minimum: 40, maximum: 90 }))
    }, ({ exchanges, maxTokens }) =>
      Effect.gen(function*() {
        const whole = toMessages(exchanges.flatMap((unit) => [
          { ...unit, kind: "user" as const },
          ...(unit.kind === "calls" || unit.kind === "approval" ? [{ ...unit, kind: "calls" as const }] : []),
          { ...unit, kind: "say" as const }
        ]))
        const provider = Compaction.make({
          maxTokens,
          strategies: [collapseToolResults({ keep: 1 }), dropOldest],
          tokenizer
        })
        const alive = yield* runOf(provider)
        let before: { readonly shown: ReadonlyArray<Prompt.Message>; readonly length: number } = {
          shown: [],
          length: 0
        }
        for (let length = 1; length <= whole.length; length++) {
          // a model call is followed by what the model said
          if (whole[length]?.role !== "assistant" && length < whole.length) continue
          const messages = whole.slice(0, length)
          const exit = yield* Effect.exit(alive(messages))
          if (Exit.isFailure(exit)) return
          const shown = exit.value
          const longer = [...before.shown, ...messages.slice(before.length)]
          if (total(longer) <= maxTokens) assert.deepStrictEqual(shown, longer)
          const loaded = yield* Effect.flatMap(runOf(provider), (load) => load(messages))
          assert.deepStrictEqual(
            showPrompt(Prompt.fromMessages(loaded)),
            showPrompt(Prompt.fromMessages(shown))
          )
          before = { shown, length }
        }
      }).pipe(Effect.scoped), { arbitrary: { runs: 100, seed: "a prefix" } })
  })
})

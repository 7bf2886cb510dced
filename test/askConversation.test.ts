import { NodeServices } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, FileSystem, Layer, Option } from "effect"
import { AiError, type Prompt } from "effect/ai"
import * as Commands from "../scratchpad/ask/chat/Commands.ts"
import * as Conversation from "../scratchpad/ask/chat/Conversation.ts"
import * as Folder from "../scratchpad/ask/Folder.ts"
import type * as FolderAgent from "../scratchpad/ask/FolderAgent.ts"
import * as FolderTools from "../scratchpad/ask/FolderTools.ts"
import * as OfflinePlanner from "../scratchpad/ask/planner/OfflinePlanner.ts"
import * as Style from "../scratchpad/ask/Style.ts"
import { AgentRun, Steering } from "../src/index.ts"
import { ScriptedModel } from "../src/testing/index.ts"

const offline: FolderAgent.Model = { title: "planner", layer: OfflinePlanner.model, isOffline: true }

const scripted = (...steps: ReadonlyArray<ScriptedModel.Step>): FolderAgent.Model => ({
  title: "script",
  layer: ScriptedModel.layer(steps)
})

/** A conversation about a folder with a README of some length. */
const make = Effect.fnUntraced(function*(model: FolderAgent.Model, others: Record<string, FolderAgent.Model> = {}) {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "ask-conversation-" })
  yield* fs.writeFileString(`${folder}/README.md`, `# Kiln\n\n${"Kiln fires clay pots on a schedule.\n".repeat(90)}`)
  return yield* Conversation.make({
    model,
    select: (name) => name in others ? Effect.succeed(others[name]) : Effect.fail(`no model ${name}`),
    session: undefined,
    sessionFile: `${folder}/s.sqlite`
  }).pipe(Effect.provide(FolderTools.layer.pipe(Layer.provideMerge(Folder.layer(folder)))))
})

const ask = Effect.fnUntraced(function*(self: Conversation.Conversation, question: string) {
  return yield* self.ask(question, yield* Steering.make, () => Effect.void)
})

const textsOf = (messages: ReadonlyArray<Prompt.Message>): ReadonlyArray<string> =>
  messages.flatMap(({ content }) =>
    typeof content === "string" ? [content] : content.flatMap((part) => part.type === "text" ? [part.text] : [])
  )

const command = (self: Conversation.Conversation, line: string) =>
  Effect.map(
    Commands.run(self, line, { columns: 200, style: Style.plain }),
    (lines) => lines === "leave" ? lines : lines.join("\n")
  )

describe("the conversation of a chat", () => {
  it.layer(NodeServices.layer)((it) => {
    it.effect("is kept under a name when it gets one, and goes on in a shorter session", () =>
      Effect.gen(function*() {
        const chat = yield* make(offline)
        assert.include(yield* command(chat, "/session"), "This conversation is not kept")
        assert.strictEqual(yield* command(chat, "/compact"), "There is nothing to make shorter.")
        yield* ask(chat, "show README.md")
        yield* ask(chat, "show README.md, lines 10-60")
        assert.strictEqual(
          yield* command(chat, "/session pots"),
          "The session pots goes on. The last question was: show README.md, lines 10-60"
        )
        const before = yield* chat.history
        assert.match(
          yield* command(chat, "/compact"),
          /had about [\d,]+ tokens, and now has about [\d,]+\. .*session pots-2; pots still/
        )
        assert.deepStrictEqual(chat.session().name, "pots-2")
        const after = yield* chat.history
        // What was said stays, what tools have returned is a note
        assert.deepStrictEqual(textsOf(after), textsOf(before))
        assert.isBelow(JSON.stringify(after).length, JSON.stringify(before).length * 0.7)
        yield* command(chat, "/session pots")
        assert.deepStrictEqual(yield* chat.history, before)
        assert.match(
          yield* command(chat, "/session"),
          /^This is the session pots\.\n( +pots(-2)? +\d+ messages, show README\.md\n?){2}$/
        )
        assert.strictEqual(yield* command(chat, "/session new"), "The session new begins.")
      }))

    it.effect("has a summary from a model that can write one", () =>
      Effect.gen(function*() {
        const long = "It fires pots. ".repeat(400)
        const chat = yield* make(scripted(ScriptedModel.text(long)), {
          two: scripted(ScriptedModel.text(long)),
          sum: scripted(ScriptedModel.text("They spoke of pots."))
        })
        yield* ask(chat, "what does it do?")
        yield* chat.setModel("two")
        yield* ask(chat, "and then?")
        assert.strictEqual(yield* command(chat, "/model sum"), "script answers from now on.")
        const compacted = Option.getOrThrow(yield* chat.compact)
        assert.strictEqual(compacted.name, "chat-2")
        assert.isBelow(compacted.after, compacted.before)
        assert.include(JSON.stringify(yield* chat.history), "They spoke of pots.")
        const failure = yield* Effect.flip(chat.setModel("none"))
        assert.strictEqual(failure, "no model none")
        assert.strictEqual(yield* command(chat, "/model"), "script answers.")
      }))

    it.effect("counts what was spent, and ends an answer at the limit", () =>
      Effect.gen(function*() {
        const chat = yield* make(offline)
        assert.include(yield* command(chat, "/budget"), "There is no limit")
        assert.include(yield* command(chat, "/budget much"), "much is no number of tokens")
        assert.include(yield* command(chat, "/budget 10"), "10 of 10 tokens are left")
        const outcome = yield* ask(chat, "where is the clay?")
        assert.strictEqual(outcome._tag === "Completed" && outcome.result.stopReason, "budget-tokens")
        assert.strictEqual(chat.spent().left, 0)
        const { input, output, total } = chat.spent()
        assert.strictEqual(input + output, total)
        assert.include(yield* command(chat, "/budget off"), `${total.toLocaleString("en-US")} tokens were spent`)
        assert.isUndefined(chat.spent().left)
        yield* ask(chat, "hello")
        assert.isAbove(chat.spent().total, total)
        assert.match(yield* command(chat, "/trace"), /^trace [0-9a-f]{32}.*\ninvoke_agent ask /)
      }))

    it.effect("keeps what an interrupted answer has said, and tells how an answer fails", () =>
      Effect.gen(function*() {
        const hangs = ScriptedModel.step(ScriptedModel.text("It is here, and"), ScriptedModel.hang)
        const fails = ScriptedModel.fail(new AiError.RateLimitError({}))
        const broken: FolderAgent.Model = {
          title: "broken",
          layer: Layer.effectDiscard(Effect.fail("no key")) as never
        }
        const chat = yield* make(scripted(hangs), { fails: scripted(fails), broken })
        const said = yield* Deferred.make<void>()
        const running = chat.ask("where?", yield* Steering.make, (part) =>
          part.type === "text-delta" ? Effect.asVoid(Deferred.succeed(said, undefined)) : Effect.void)
        const outcome = yield* Deferred.make<AgentRun.Outcome>()
        const fiber = yield* Effect.forkChild(Effect.uninterruptible(Effect.flatMap(running, (end) =>
          Deferred.succeed(outcome, end))))
        yield* Deferred.await(said)
        yield* Fiber.interrupt(fiber)
        assert.strictEqual((yield* Deferred.await(outcome))._tag, "Interrupted")
        const [question, answer] = yield* chat.history
        assert.deepStrictEqual(textsOf([question, answer]), ["where?", "It is here, and"])
        assert.isTrue(AgentRun.isCut(answer))

        yield* chat.setModel("fails")
        assert.strictEqual((yield* ask(chat, "and now?"))._tag, "Failed")
        yield* chat.setModel("broken")
        assert.strictEqual((yield* ask(chat, "and now?"))._tag, "Failed")
      }))
  })
})

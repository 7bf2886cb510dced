import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Schema } from "effect"
import { Prompt } from "effect/ai"
import * as Session from "../src/Session.ts"

const user = (text: string) => Prompt.userMessage({ content: [Prompt.textPart({ text })] })

const call = (id: string, providerExecuted = false) =>
  Prompt.toolCallPart({ id, name: `tool-${id}`, params: {}, providerExecuted })

const calls = (...ids: ReadonlyArray<string>) => Prompt.assistantMessage({ content: ids.map((id) => call(id)) })

const result = (id: string) =>
  Prompt.toolResultPart({ id, name: `tool-${id}`, isFailure: false, result: "ok", providerExecuted: false })

const results = (...ids: ReadonlyArray<string>) => Prompt.toolMessage({ content: ids.map(result) })

describe("Session", () => {
  describe("close", () => {
    it("returns the same array when every call has a result", () => {
      const messages = [
        user("hi"),
        calls("a", "b"),
        results("b"),
        results("a"),
        Prompt.assistantMessage({ content: [call("p", true)] }),
        user("bye")
      ]
      assert.strictEqual(Session.close(messages), messages)
      assert.deepStrictEqual(Session.close([]), [])
    })

    it("adds a tool message after the assistant message", () => {
      const messages = [user("hi"), calls("a", "b"), user("and?")]
      assert.deepStrictEqual(Session.close(messages), [
        messages[0],
        messages[1],
        Prompt.toolMessage({
          content: [
            Session.interruptedResult({ id: "a", name: "tool-a" }),
            Session.interruptedResult({ id: "b", name: "tool-b" })
          ]
        }),
        messages[2]
      ])
    })

    it("adds to the tool message that is there, and keeps its options", () => {
      const tool = Prompt.toolMessage({ content: [result("b")], options: { provider: { cached: true } } })
      const messages = [calls("a", "b", "c"), tool, user("and?")]
      assert.deepStrictEqual(Session.close(messages, { reason: "stopped" }), [
        messages[0],
        Prompt.toolMessage({
          content: [
            result("b"),
            Session.interruptedResult({ id: "a", name: "tool-a" }, "stopped"),
            Session.interruptedResult({ id: "c", name: "tool-c" }, "stopped")
          ],
          options: { provider: { cached: true } }
        }),
        messages[2]
      ])
    })

    it("takes a result that comes later as the result", () => {
      const messages = [calls("a"), user("wait"), results("a")]
      assert.strictEqual(Session.close(messages), messages)
    })

    it("does not take a result that came before, or that of a later call with the same id", () => {
      const early = [results("a"), calls("a")]
      assert.deepStrictEqual(Session.close(early), [
        ...early,
        Prompt.toolMessage({ content: [Session.interruptedResult({ id: "a", name: "tool-a" })] })
      ])
      const again = [calls("a"), user("again"), calls("a"), results("a")]
      assert.deepStrictEqual(Session.close(again), [
        again[0],
        Prompt.toolMessage({ content: [Session.interruptedResult({ id: "a", name: "tool-a" })] }),
        ...again.slice(1)
      ])
    })

    it("closes a call that waits for an approval, unless it is excepted", () => {
      const messages = [
        Prompt.assistantMessage({
          content: [call("a"), Prompt.toolApprovalRequestPart({ approvalId: "1", toolCallId: "a" }), call("b")]
        })
      ]
      assert.deepStrictEqual(Session.close(messages, { except: new Set(["a"]) }), [
        messages[0],
        Prompt.toolMessage({ content: [Session.interruptedResult({ id: "b", name: "tool-b" })] })
      ])
      assert.strictEqual(Session.close(messages, { except: new Set(["a", "b"]) }), messages)
    })

    const Id = Schema.Literals(["a", "b", "c"])
    const Script = Schema.Union([
      Schema.TaggedStruct("User", {}),
      Schema.TaggedStruct("Calls", {
        calls: Schema.Array(Schema.Struct({ id: Id, providerExecuted: Schema.Boolean }))
      }),
      Schema.TaggedStruct("Results", { ids: Schema.Array(Id) })
    ])
    const toMessage = (script: typeof Script.Type): Prompt.Message => {
      switch (script._tag) {
        case "User":
          return user("hi")
        case "Calls":
          return Prompt.assistantMessage({ content: script.calls.map((each) => call(each.id, each.providerExecuted)) })
        case "Results":
          return results(...script.ids)
      }
    }
    const parts = (messages: ReadonlyArray<Prompt.Message>) =>
      messages.flatMap((message): ReadonlyArray<Prompt.Part> => message.role === "system" ? [] : message.content)

    it.prop(
      "gives any transcript the results it needs, and nothing else",
      [Arbitrary.array(Arbitrary.schema(Script), { maxLength: 12 })],
      ([scripts]) => {
        const messages = scripts.map(toMessage)
        const closed = Session.close(messages)
        assert.strictEqual(Session.close(closed), closed)

        const given = parts(messages)
        const added = parts(closed).filter((part) => !given.includes(part))
        assert.deepStrictEqual(parts(closed).filter((part) => given.includes(part)), given)
        assert.isTrue(added.every((part) => part.type === "tool-result" && part.isFailure))
        assert.strictEqual(added.length === 0, closed === messages)
        assert.deepStrictEqual(
          closed.filter((message) => message.role !== "tool"),
          messages.filter((message) => message.role !== "tool")
        )

        const open: Array<string> = []
        for (const part of parts(closed)) {
          if (part.type === "tool-call" && !part.providerExecuted) open.push(part.id)
          if (part.type === "tool-result" && open.includes(part.id)) open.splice(open.lastIndexOf(part.id), 1)
        }
        assert.deepStrictEqual(open, [])
      },
      { arbitrary: { runs: 300, seed: "close" } }
    )
  })

  describe("SessionError", () => {
    const conflict = new Session.SessionError({
      sessionId: "user-7",
      reason: new Session.SessionConflict({ expectedVersion: 1, actualVersion: 2 })
    })

    it("says what happened", () => {
      const cause = new Error("disk is full")
      const messages = [
        conflict,
        new Session.SessionError({
          sessionId: "user-7",
          reason: new Session.SessionRecordInvalid({ record: "user-7.head", description: "Expected a string" })
        }),
        new Session.SessionError({
          sessionId: "user-7",
          reason: new Session.SessionStoreUnavailable({ operation: "save", cause })
        })
      ].map((error) => error.message)
      assert.deepStrictEqual(messages, [
        "Session `user-7`: the save was made from version 1, but version 2 is stored; load it again",
        "Session `user-7`: the stored record `user-7.head` is not valid: Expected a string",
        "Session `user-7`: the session store is not available for `save`: disk is full"
      ])
    })

    it.effect("is caught by its tag and by the tag of its reason", () =>
      Effect.gen(function*() {
        const byTag = yield* Effect.catchTag(conflict, "SessionError", (error) => Effect.succeed(error.reason._tag))
        assert.strictEqual(byTag, "SessionConflict")
        const byReason = yield* Effect.catchReason(conflict, "SessionError", "SessionConflict", (reason) =>
          Effect.succeed(reason.actualVersion))
        assert.strictEqual(byReason, 2)
        const other = yield* Effect.flip(
          Effect.catchReason(conflict, "SessionError", "SessionRecordInvalid", () =>
            Effect.void)
        )
        assert.strictEqual(other, conflict)
      }))
  })
})

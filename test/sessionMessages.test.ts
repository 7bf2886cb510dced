/**
 * Stored messages are read back as their codec reads them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, Effect, Exit, Schema } from "effect"
import { Prompt } from "effect/ai"
import * as Messages from "../src/internal/session/messages.ts"

const decode = Schema.decodeUnknownExit(Prompt.Message)
const encode = Schema.encodeSync(Messages.FromJson)

const Json = Schema.Union([
  Schema.Null,
  Schema.String,
  Schema.Finite,
  Schema.Array(Schema.String),
  Schema.Record(Schema.String, Schema.Finite)
])

const Part = Schema.Union([
  Schema.Struct({ type: Schema.Literals(["text", "reasoning"]), text: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("tool-call"),
    id: Schema.String,
    name: Schema.String,
    params: Json,
    providerExecuted: Schema.optionalKey(Schema.Boolean)
  }),
  Schema.Struct({
    type: Schema.Literal("tool-result"),
    id: Schema.String,
    name: Schema.String,
    isFailure: Schema.Boolean,
    result: Json,
    providerExecuted: Schema.optionalKey(Schema.Boolean)
  }),
  Schema.Struct({ type: Schema.Literal("file"), mediaType: Schema.String, data: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("tool-approval-request"),
    approvalId: Schema.String,
    toolCallId: Schema.String
  })
])

/** The JSON of messages, also of some that no store has written. */
const Message = Schema.Struct({
  role: Schema.Literals(["system", "user", "assistant", "tool", "other"]),
  content: Schema.Union([Schema.String, Schema.Array(Part)]),
  options: Schema.optionalKey(Schema.Record(Schema.String, Schema.Record(Schema.String, Schema.Finite)))
})

/** The same value with one thing in it taken away, added or replaced. */
function* variants(value: unknown): Generator<unknown> {
  yield* [null, "a", 1, true, [], {}]
  if (typeof value !== "object" || value === null) return
  for (const [name, item] of Object.entries(value)) {
    if (!Array.isArray(value)) {
      const { [name]: _, ...rest } = value as Record<string, unknown>
      yield rest
      yield { ...value, more: item }
    }
    for (const inner of variants(item)) {
      yield Array.isArray(value)
        ? value.map((item, index) => String(index) === name ? inner : item)
        : { ...value, [name]: inner }
    }
  }
}

const plain = Prompt.fromMessages([
  Prompt.systemMessage({ content: "Be short." }),
  Prompt.userMessage({ content: [Prompt.textPart({ text: "one" }), Prompt.textPart({ text: "" })] }),
  Prompt.assistantMessage({
    content: [
      Prompt.reasoningPart({ text: "think" }),
      Prompt.textPart({ text: "look" }),
      Prompt.toolCallPart({ id: "1", name: "search", params: { query: ["a"] }, providerExecuted: false }),
      Prompt.toolCallPart({ id: "2", name: "hosted", params: null, providerExecuted: true }),
      Prompt.toolResultPart({ id: "2", name: "hosted", isFailure: false, result: 1, providerExecuted: true })
    ]
  }),
  Prompt.toolMessage({
    content: [Prompt.toolResultPart({ id: "1", name: "search", isFailure: true, result: {}, providerExecuted: false })]
  }),
  Prompt.assistantMessage({ content: [] })
]).content

describe("stored messages", () => {
  it.effect.prop("a message that is read is the one that the codec decodes", { message: Arbitrary.schema(Message) }, ({
    message
  }) =>
    Effect.sync(() => {
      for (const value of [message, ...variants(message)]) {
        const read = Messages.read(value)
        if (read !== undefined) assert.deepStrictEqual(decode(value), Exit.succeed(read))
      }
    }))

  it("plain messages are read, and those with more in them are left to the codec", () => {
    assert.deepStrictEqual(Messages.readTexts(plain.map((message) => encode(message))), plain)
    const options = { some: { cache: true } }
    const others = [
      Prompt.userMessage({ content: [Prompt.textPart({ text: "a", options })] }),
      Prompt.userMessage({ content: [], options }),
      Prompt.userMessage({ content: [Prompt.filePart({ mediaType: "text/plain", data: "aGk=" })] }),
      Prompt.assistantMessage({ content: [Prompt.toolApprovalRequestPart({ approvalId: "a", toolCallId: "1" })] })
    ]
    assert.deepStrictEqual(Messages.readTexts(others.map((message) => encode(message))), others.map(() => undefined))
  })

  it("a text that is not one whole message is read by nobody", () => {
    const [first, second] = plain.slice(1, 3).map((message) => encode(message)) as [string, string]
    const split = second.indexOf("},{") + 1
    for (
      const texts of [
        [first, "{"],
        // the halves of a message, and two messages at once
        [second.slice(0, split), second.slice(split + 1), `${first},${first}`],
        [`${first},0`, ""],
        [`${first},0,${first}`],
        ["", first],
        [first, "null"],
        []
      ]
    ) {
      const read = Messages.readTexts(texts)
      assert.strictEqual(read.length, texts.length)
      for (const [index, message] of read.entries()) {
        if (message !== undefined) assert.strictEqual(texts[index], encode(message))
      }
    }
    assert.deepStrictEqual(Messages.readTexts([first, "null"]), [plain[1], undefined])
  })
})

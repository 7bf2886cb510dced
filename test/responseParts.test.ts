import { assert, describe, it } from "@effect/vitest"
import { deepStrictEqual } from "node:assert"
import { Prompt, Response } from "effect/ai"
import * as Parts from "../src/internal/words/responseParts.ts"

const metadata = { provider: { signature: "s", nested: [1, null] } }

const same = (ours: object, theirs: object) => {
  deepStrictEqual(ours, theirs)
  assert.deepStrictEqual(Object.keys(ours).sort(), Object.keys(theirs).sort())
}

describe("responseParts", () => {
  it("makes the response parts that Response.makePart makes", () => {
    same(Parts.textStart("t"), Response.makePart("text-start", { id: "t" }))
    same(Parts.textStart("t", metadata), Response.makePart("text-start", { id: "t", metadata }))
    same(Parts.textDelta("t", "a"), Response.makePart("text-delta", { id: "t", delta: "a" }))
    same(Parts.textDelta("t", "a", metadata), Response.makePart("text-delta", { id: "t", delta: "a", metadata }))
    same(Parts.textEnd("t"), Response.makePart("text-end", { id: "t" }))
    same(Parts.reasoningStart("t"), Response.makePart("reasoning-start", { id: "t" }))
    same(Parts.reasoningDelta("t", "a"), Response.makePart("reasoning-delta", { id: "t", delta: "a" }))
    same(Parts.reasoningEnd("t", metadata), Response.makePart("reasoning-end", { id: "t", metadata }))
    same(
      Parts.toolParamsStart("c", "add", false),
      Response.makePart("tool-params-start", { id: "c", name: "add", providerExecuted: false })
    )
    same(Parts.toolParamsDelta("c", "{"), Response.makePart("tool-params-delta", { id: "c", delta: "{" }))
    same(Parts.toolParamsEnd("c"), Response.makePart("tool-params-end", { id: "c" }))
    same(
      Parts.toolCall("c", "add", { a: 1 }, true),
      Response.makePart("tool-call", { id: "c", name: "add", params: { a: 1 }, providerExecuted: true })
    )
    const usage = new Response.Usage({ inputTokens: { total: 1 }, outputTokens: {} })
    same(Parts.finish("stop", usage), Response.makePart("finish", { reason: "stop", usage }))
    const result = {
      id: "c",
      name: "add",
      result: 3,
      encodedResult: "3",
      isFailure: false,
      preliminary: true
    } as const
    same(Parts.toolResult(result), Response.makePart("tool-result", { ...result, providerExecuted: false }))
    const modelOutput = [Prompt.makePart("text", { text: "three" })]
    same(
      Parts.toolResult({ ...result, modelOutput }),
      Response.makePart("tool-result", { ...result, modelOutput, providerExecuted: false })
    )
    same(Parts.toolResult({ ...result, modelOutput: undefined }), Parts.toolResult(result))
  })

  it("makes the prompt parts that Prompt.makePart makes", () => {
    same(Parts.promptText("a"), Prompt.makePart("text", { text: "a" }))
    same(Parts.promptText("a", metadata), Prompt.makePart("text", { text: "a", options: metadata }))
    same(Parts.promptReasoning("a"), Prompt.makePart("reasoning", { text: "a" }))
    const call = { id: "c", name: "add", params: { a: 1 }, providerExecuted: false }
    same(Parts.promptToolCall(call, metadata), Prompt.makePart("tool-call", { ...call, options: metadata }))
    same(Parts.promptToolCall(Parts.toolCall("c", "add", { a: 1 }, false)), Prompt.makePart("tool-call", call))
    const result = { id: "c", name: "add", isFailure: true, result: "no", providerExecuted: false }
    same(Parts.promptToolResult(result), Prompt.makePart("tool-result", result))
    const modelOutput = [Prompt.makePart("text", { text: "three" })]
    same(Parts.promptToolResult({ ...result, modelOutput }), Prompt.makePart("tool-result", { ...result, modelOutput }))
    const file = { mediaType: "text/plain", data: new Uint8Array([1]) }
    same(Parts.promptFile(file), Prompt.makePart("file", file))
    same(Parts.promptFile({ ...file, fileName: "a" }), Prompt.makePart("file", { ...file, fileName: "a" }))
  })

  it("makes the messages that Prompt.makeMessage makes", () => {
    const text = [Parts.promptText("a")]
    same(Parts.assistantMessage(text), Prompt.makeMessage("assistant", { content: text }))
    same(Parts.userMessage(text), Prompt.makeMessage("user", { content: text }))
    same(Prompt.fromMessages([Parts.userMessage(text)]), Prompt.make("a"))
    const results = [
      Parts.promptToolResult({ id: "c", name: "add", isFailure: false, result: 1, providerExecuted: false })
    ]
    same(Parts.toolMessage(results), Prompt.makeMessage("tool", { content: results }))
  })

  it("knows the brand keys of this version of effect", () => {
    // The literal path is taken: it shares one frozen empty record, which the public constructors do not.
    assert.strictEqual(Parts.textDelta("t", "a").metadata, Parts.textEnd("t").metadata)
    assert.strictEqual(Parts.promptText("a").options, Parts.assistantMessage([]).options)
    assert.isTrue(Response.isPart(Parts.textDelta("t", "a")))
    assert.isTrue(Prompt.isPart(Parts.promptText("a")))
    assert.isTrue(Prompt.isMessage(Parts.assistantMessage([])))
  })
})
